/*
 * record.c
 *	  Makes journal records of sessions, and masks what exchanges hold.
 *
 * What must never be stored is masked here, in the kept bytes, before the
 * journal sees them.  In metadata mode no bytes and no values are stored, and
 * query text only with its constants taken out.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/record.h"
#include "journal/tuple.h"
#include "relay/process.h"

/*
 * Turns a session's time into TimestampTz.
 */
static int64_t
wall(const Session *session, int64_t at)
{
	return session->accepted_wall + at;
}

/*
 * Adds a time, or NULL where it is none.
 */
static void
add_time(Tuple *tuple, const Session *session, int64_t at)
{
	if (at < 0)
		tuple_null(tuple);
	else
		tuple_time(tuple, wall(session, at));
}

/*
 * Adds a text, or NULL where it has no bytes.
 */
static void
add_span(Tuple *tuple, WireSpan span)
{
	if (span.len == 0)
		tuple_null(tuple);
	else
		tuple_text(tuple, span.data, span.len);
}

/*
 * Adds a zero-terminated text, or NULL.
 */
static void
add_string(Tuple *tuple, const char *string)
{
	if (!string)
		tuple_null(tuple);
	else
		tuple_text(tuple, string, strlen(string));
}

/*
 * Adds the finished tuple to the journal's batch, behind its header.
 */
bool
record_add(Session *session, JournalRecordType type, int64_t recorded_at, Tuple *tuple)
{
	RecordHeader header = {.session_id = session->session_id, .recorded_at = recorded_at};
	struct iovec parts[2];

	if (!tuple_end(tuple))
		return false;
	header.has_high_bytes = tuple->has_high_bytes;
	memcpy(header.encoding, session->tracker.client_encoding, sizeof(header.encoding));
	parts[0] = (struct iovec){&header, sizeof(header)};
	parts[1] = (struct iovec){tuple->data, tuple->len};
	return journal_add(session->relay->journal, type, parts, 2);
}

/*
 * Appends a JSON string.
 */
static void
json_string(Budget *budget, Buffer *out, WireSpan value)
{
	buffer_append(budget, out, "\"", 1);
	for (size_t i = 0; i < value.len; i++)
	{
		uint8_t c = value.data[i];
		char escaped[8];

		if (c == '"' || c == '\\')
		{
			escaped[0] = '\\';
			escaped[1] = (char) c;
			buffer_append(budget, out, escaped, 2);
		}
		else if (c < 0x20)
		{
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
			buffer_append(budget, out, escaped, 6);
		}
		else
			buffer_append(budget, out, &c, 1);
	}
	buffer_append(budget, out, "\"", 1);
}

/*
 * Adds name/value pairs as a JSON object.
 */
static void
add_pairs(Tuple *tuple, Session *session, WireSpan pairs)
{
	Budget *budget = &session->relay->budget;
	Buffer out = {NULL, 0, 0};
	WireSpan name;
	WireSpan value;
	size_t at = 0;

	buffer_append(budget, &out, "{", 1);
	while (wire_pair_next(pairs, &at, &name, &value))
	{
		if (out.len > 1)
			buffer_append(budget, &out, ",", 1);
		json_string(budget, &out, name);
		buffer_append(budget, &out, ":", 1);
		json_string(budget, &out, value);
	}
	if (buffer_append(budget, &out, "}", 1))
		tuple_text(tuple, out.data, out.len);
	else
		tuple_null(tuple);
	buffer_free(budget, &out);
}

/*
 * Adds the client's address and port.
 */
static void
add_client(Tuple *tuple, const Session *session)
{
	const struct sockaddr_storage *addr = &session->client_addr;

	if (addr->ss_family == AF_INET)
	{
		const struct sockaddr_in *in = (const struct sockaddr_in *) addr;

		tuple_inet(tuple, AF_INET, &in->sin_addr);
		tuple_int4(tuple, ntohs(in->sin_port));
	}
	else if (addr->ss_family == AF_INET6)
	{
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) addr;

		tuple_inet(tuple, AF_INET6, &in6->sin6_addr);
		tuple_int4(tuple, ntohs(in6->sin6_port));
	}
	else
	{
		tuple_null(tuple);
		tuple_int4(tuple, -1);
	}
}

/*
 * Adds what the startup packet says of the client: user, database, application.
 */
static void
add_names(Tuple *tuple, const Session *session, WireSpan pairs)
{
	const Tracker *tracker = &session->tracker;
	WireSpan user = startup_parameter(pairs, "user");
	WireSpan database = startup_parameter(pairs, "database");

	add_span(tuple, user);
	add_span(tuple, database.len > 0 ? database : user);
	if (tracker->has_application_name)
		add_string(tuple, tracker->application_name);
	else
		add_span(tuple, startup_parameter(pairs, "application_name"));
}

/*
 * Adds what the server told of itself.
 */
static void
add_backend(Tuple *tuple, const Session *session)
{
	if (session->database_oid)
		tuple_oid(tuple, session->database_oid);
	else
		tuple_null(tuple);
	if (session->tracker.backend_pid)
		tuple_int4(tuple, (int32_t) session->tracker.backend_pid);
	else
		tuple_null(tuple);
	if (session->backend_start)
		tuple_time(tuple, session->backend_start);
	else
		tuple_null(tuple);
}

/*
 * Adds the version of the protocol, NULL for a connection that has none.
 */
static void
add_version(Tuple *tuple, const Session *session, bool is_cancel)
{
	char version[16];

	if (is_cancel)
	{
		tuple_null(tuple);
		return;
	}
	snprintf(version, sizeof(version), "3.%u", session->tracker.minor_version);
	add_string(tuple, version);
}

/*
 * Returns an empty tuple of the relay's, ready for a record.
 */
Tuple *
record_tuple(Relay *relay, int columns)
{
	tuple_begin(&relay->tuple, columns);
	return &relay->tuple;
}

/*
 * Adds the whole state of a session.
 */
bool
record_session(Session *session)
{
	Relay *relay = session->relay;
	Tracker *tracker = &session->tracker;
	bool is_cancel = session->end_reason && strcmp(session->end_reason, "cancel_request") == 0;
	WireSpan pairs = {NULL, 0};
	Tuple *tuple = record_tuple(relay, SESSION_COLUMNS);

	if (!is_cancel && session->packet.len > 8)
		pairs = (WireSpan){session->packet.data + 8, session->packet.len - 8};
	tuple_int8(tuple, (int64_t) session->session_id);
	tuple_time(tuple, session->accepted_wall);
	add_time(tuple, session, session->authenticated_at);
	add_time(tuple, session, session->ended_at);
	add_client(tuple, session);
	add_names(tuple, session, pairs);
	add_backend(tuple, session);
	add_version(tuple, session, is_cancel);
	add_string(tuple, session->tls_version);
	add_string(tuple, session->tls_cipher);
	add_pairs(tuple, session, pairs);
	add_pairs(tuple, session,
	          (WireSpan){tracker->server_parameters.data, tracker->server_parameters.len});
	tuple_int8(tuple, session->exchange_count);
	tuple_int8(tuple, (int64_t) tracker->request_bytes);
	tuple_int8(tuple, (int64_t) tracker->response_bytes);
	tuple_int8(tuple, (int64_t) session->dropped_exchanges);
	tuple_bool(tuple, tracker->desynchronised);
	add_string(tuple, session->ended_at >= 0 ? session->end_reason : NULL);
	tuple_int8(tuple, (int64_t) journal_series(relay->journal));
	return record_add(session, JOURNAL_SESSION, 0, tuple);
}

/*
 * Masks the messages with a type byte in one direction's kept bytes.  Returns
 * whether query text or an error was changed.
 */
static bool
mask_messages(const Tracker *tracker, WireDirection direction, uint8_t *data, size_t len)
{
	WireFramer framer = {.have = 0};
	WireFrame frame;
	bool changes = false;

	while (len > 0)
	{
		size_t consumed = wire_frame_next(&framer, data, len, &frame);

		if (frame.bad)
			return changes;
		if (frame.begins && frame.body.len > 0)
		{
			/* a 'p' is a secret wherever it comes, also where it makes no sense */
			WirePhase meant = frame.type == 'p' ? WIRE_PHASE_PASSWORD : WIRE_PHASE_NORMAL;

			changes |= wire_mask_body(
			    wire_type_of(direction, frame.type, meant, frame.body.data, frame.body.len),
			    data + (consumed - frame.body.len), frame.body.len, tracker->standard_strings);
		}
		data += consumed;
		len -= consumed;
	}
	return changes;
}

/*
 * Masks exchange 0: untyped packets and answers come first.
 */
static void
mask_startup(const Session *session, Exchange *exchange)
{
	const Tracker *tracker = &session->tracker;
	Buffer *request = &exchange->request.kept;
	Buffer *response = &exchange->response.kept;
	size_t typed = session->packet_at + session->packet.len;

	if (exchange->has & HAS_CANCEL)
	{
		if (request->len > session->packet_at + 8)
			wire_mask_body(WIRE_MSG_CancelRequest, request->data + session->packet_at + 8,
			               request->len - session->packet_at - 8, true);
		return;
	}
	if (request->len > typed)
		mask_messages(tracker, WIRE_FRONTEND, request->data + typed, request->len - typed);
	if (response->len > session->answers)
		mask_messages(tracker, WIRE_BACKEND, response->data + session->answers,
		              response->len - session->answers);
}

/*
 * Masks what must never be stored in the kept bytes of an exchange.
 */
void
record_mask(const Session *session, Exchange *exchange)
{
	Buffer *request = &exchange->request.kept;
	Buffer *response = &exchange->response.kept;

	if (!exchange->has_secret)
		return;
	if (exchange->has & (HAS_STARTUP | HAS_CANCEL))
	{
		mask_startup(session, exchange);
		return;
	}
	exchange->is_request_redacted |=
	    mask_messages(&session->tracker, WIRE_FRONTEND, request->data, request->len);
	exchange->is_redacted |=
	    exchange->is_request_redacted |
	    mask_messages(&session->tracker, WIRE_BACKEND, response->data, response->len);
}
