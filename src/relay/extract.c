/*
 * extract.c
 *	  Reads the columns of the record out of the messages that pass.
 *
 * What a message's fields are is asked of the codec.  Bodies may be cut at
 * what extract_wants() asked for; a field that is not whole is left out, a
 * query text is kept as far as it goes.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/redact.h"
#include "relay/tracker.h"

/* Body bytes that a handler wants to see of messages with short fields. */
#define WANTS_SHORT 1024
#define WANTS_NAMES (16 * 1024)
#define WANTS_ERROR (64 * 1024)

/*
 * Returns how much of a body its handler wants: 0 for none.
 */
size_t
extract_wants(const Tracker *tracker, WireMessageId id)
{
	switch (id)
	{
		case WIRE_MSG_Query:
		case WIRE_MSG_Parse:
			return TEXT_MAX;
		case WIRE_MSG_Bind:
		case WIRE_MSG_Describe:
		case WIRE_MSG_Close:
		case WIRE_MSG_Execute:
			return WANTS_NAMES;
		case WIRE_MSG_ErrorResponse:
		case WIRE_MSG_NoticeResponse:
			return WANTS_ERROR;
		case WIRE_MSG_CommandComplete:
		case WIRE_MSG_ReadyForQuery:
		case WIRE_MSG_ParameterStatus:
			return WANTS_SHORT;
		default:
			return tracker->is_ready ? 0 : WANTS_SHORT;
	}
}

/*
 * Ends the exchange of the message that was just read.
 */
static void
terminate(Tracker *tracker, Exchange *exchange, QueueEntry entry)
{
	if (exchange && !tracker->skipping)
		exchange->terminated = true;
	queue_push(tracker, entry);
}

/*
 * Tells whether the bytes of a text must be walked for secrets: one was found,
 * or the text could not be looked at whole.
 */
static bool
may_hide_secret(const Text *text, WireSpan query)
{
	return !text || text->has_secret || query.len >= TEXT_MAX;
}

/*
 * Reads a Query.
 */
static void
read_query(Tracker *tracker, Exchange *exchange, const uint8_t *body, size_t len)
{
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan query;
	Text *text;

	wire_decode(WIRE_MSG_Query, body, len, values);
	query = values[WIRE_Query_query].bytes;
	text = text_get(tracker->env->texts, query.data, query.len, tracker->standard_strings);
	exchange->has |= HAS_QUERY;
	exchange->has_secret |= may_hide_secret(text, query);
	names_note_rules(tracker, exchange, text);
	if (tracker->skipping)
	{
		text_release(tracker->env->texts, text);
		return;
	}
	terminate(tracker, exchange, (QueueEntry){.id = WIRE_MSG_Query, .count = 1, .text = text});
}

/*
 * Reads a Parse: its statement goes to the map when the server has confirmed it.
 */
static void
read_parse(Tracker *tracker, Exchange *exchange, const uint8_t *body, size_t len)
{
	const TrackerEnv *env = tracker->env;
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan name;
	WireSpan query;
	Text *text;

	wire_decode(WIRE_MSG_Parse, body, len, values);
	name = values[WIRE_Parse_statement].bytes;
	query = values[WIRE_Parse_query].bytes;
	text = text_get(env->texts, query.data, query.len, tracker->standard_strings);
	exchange->has_secret |= may_hide_secret(text, query);
	names_note_rules(tracker, exchange, text);
	if (text && exchange->recorded)
		env->text_seen(tracker, text);
	if (tracker->skipping)
	{
		text_release(env->texts, text);
		return;
	}
	queue_push(tracker,
	           (QueueEntry){.id = WIRE_MSG_Parse,
	                        .count = 1,
	                        .statement = statement_make(env->texts, name.data, name.len, text)});
}

/*
 * Reads a Bind, Describe or Close: the name of the statement, if it has one.
 */
static void
read_named(Tracker *tracker, Exchange *exchange, WireMessageId id, const uint8_t *body, size_t len)
{
	QueueEntry entry = {.id = (uint16_t) id, .count = 1};
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan name;

	wire_decode(id, body, len, values);
	if (id == WIRE_MSG_Bind)
	{
		WireSpan portal = values[WIRE_Bind_portal].bytes;

		name = values[WIRE_Bind_statement].bytes;
		exchange->has_bind = true;
		names_note_statement(tracker, exchange, name);
		if (portal.len > 0)
			entry.named = statement_make(tracker->env->texts, portal.data, portal.len, NULL);
	}
	else if (id == WIRE_MSG_Execute && !exchange->has_bind)
	{
		WireSpan portal = values[WIRE_Execute_portal].bytes;

		name = (WireSpan){NULL, 0};
		names_note_portal(tracker, exchange, portal);
		if (portal.len > 0)
			entry.named = statement_make(tracker->env->texts, portal.data, portal.len, NULL);
	}
	else if (id == WIRE_MSG_Close)
	{
		name = values[WIRE_Close_name].bytes;
		entry.portal = len > 0 && body[0] == 'P';
	}
	else
		name = (WireSpan){NULL, 0};
	if (name.len > 0)
		entry.statement = statement_make(tracker->env->texts, name.data, name.len, NULL);
	queue_push(tracker, entry);
}

/*
 * Reads a Sync.  A bare one has no exchange object until it is answered.
 */
static void
read_sync(Tracker *tracker, Exchange *exchange)
{
	QueueEntry entry = {.id = WIRE_MSG_Sync, .count = 1};

	tracker->skipping = false;
	if (!exchange)
	{
		entry.bare = true;
		entry.at = tracker->front.header_at;
		queue_push(tracker, entry);
		return;
	}
	exchange->has |= HAS_EXTENDED;
	terminate(tracker, exchange, entry);
}

/*
 * Notes the end of the client's side of a COPY.
 */
static void
read_copy_end(Tracker *tracker, Exchange *exchange, WireMessageId id)
{
	if (exchange == tracker->late)
		tracker_finish_late(tracker);
	else if (!tracker->skipping)
		queue_push(tracker, (QueueEntry){.id = (uint16_t) id, .count = 1});
}

/*
 * Returns what an exchange holds by a frontend message that it does not hold whole.
 */
static uint32_t
kind_of_cut(WireMessageId id)
{
	switch (id)
	{
		case WIRE_MSG_Query:
			return HAS_QUERY;
		case WIRE_MSG_FunctionCall:
			return HAS_FUNCTION_CALL;
		case WIRE_MSG_CopyData:
		case WIRE_MSG_CopyDone:
		case WIRE_MSG_CopyFail:
			return HAS_COPY;
		case WIRE_MSG_Parse:
		case WIRE_MSG_Bind:
		case WIRE_MSG_Describe:
		case WIRE_MSG_Execute:
		case WIRE_MSG_Close:
		case WIRE_MSG_Flush:
		case WIRE_MSG_Sync:
			return HAS_EXTENDED;
		default:
			return 0;
	}
}

/*
 * Notes that an exchange ends in the middle of a message.  What that would have
 * told was not read, so whatever could be secret in it counts as secret.
 */
void
extract_cut(Tracker *tracker, Exchange *exchange, WireDirection direction)
{
	exchange->has_secret = true;
	exchange->redact |= text_redacts(tracker->env->texts, NULL);
	if (direction == WIRE_FRONTEND && tracker->authenticated)
		exchange->has |= kind_of_cut(tracker->front.id);
}

/*
 * Reads a frontend message that has come whole.
 */
void
extract_frontend(Tracker *tracker, WireMessageId id, const uint8_t *body, size_t len)
{
	Exchange *exchange = tracker->front.target;

	if (exchange && tracker->front.framer.header[0] == 'p')
		exchange->has_secret = true; /* whatever it is doing here */
	if (!tracker->authenticated || (!exchange && id != WIRE_MSG_Sync))
		return;
	switch (id)
	{
		case WIRE_MSG_Query:
			read_query(tracker, exchange, body, len);
			break;
		case WIRE_MSG_FunctionCall:
			exchange->has |= HAS_FUNCTION_CALL;
			exchange->redact |= text_redacts(tracker->env->texts, NULL);
			if (!tracker->skipping)
				terminate(tracker, exchange, (QueueEntry){.id = WIRE_MSG_FunctionCall, .count = 1});
			break;
		case WIRE_MSG_Sync:
			read_sync(tracker, exchange);
			break;
		case WIRE_MSG_Parse:
			exchange->has |= HAS_EXTENDED;
			read_parse(tracker, exchange, body, len);
			break;
		case WIRE_MSG_Bind:
		case WIRE_MSG_Describe:
		case WIRE_MSG_Close:
		case WIRE_MSG_Execute:
			exchange->has |= HAS_EXTENDED;
			if (!tracker->skipping)
				read_named(tracker, exchange, id, body, len);
			break;
		case WIRE_MSG_Flush:
			exchange->has |= HAS_EXTENDED;
			tracker->queue.owed = tracker->queue.pushed;
			break;
		case WIRE_MSG_CopyDone:
		case WIRE_MSG_CopyFail:
			read_copy_end(tracker, exchange, id);
			break;
		default:
			break;
	}
}

/*
 * Reads a command tag.
 */
static void
read_tag(Exchange *exchange, const uint8_t *body, size_t len)
{
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan tag;
	int64_t rows;

	wire_decode(WIRE_MSG_CommandComplete, body, len, values);
	tag = values[WIRE_CommandComplete_tag].bytes;
	exchange->statement_count++;
	exchange->tag_len =
	    (uint32_t) (tag.len < sizeof(exchange->tag) ? tag.len : sizeof(exchange->tag));
	if (exchange->tag_len > 0)
		memcpy(exchange->tag, tag.data, exchange->tag_len);
	rows = wire_tag_rows((const char *) tag.data, tag.len);
	if (rows > 0)
		exchange->row_count += rows;
}

/*
 * Follows what a command tag says of the prepared statements.
 */
static void
follow_tag(Tracker *tracker, const Exchange *exchange)
{
	static const char discard_all[] = "DISCARD ALL";
	static const char deallocate_all[] = "DEALLOCATE ALL";
	size_t len = exchange->tag_len;

	if ((len == sizeof(discard_all) - 1 && memcmp(exchange->tag, discard_all, len) == 0) ||
	    (len == sizeof(deallocate_all) - 1 && memcmp(exchange->tag, deallocate_all, len) == 0))
		statement_drop_all(tracker->env->texts, &tracker->statements);
}

/*
 * Keeps the message of an ErrorResponse, without what it quotes and must not be
 * stored.
 */
static void
keep_message(Tracker *tracker, Exchange *exchange, WireMessageId id, const uint8_t *body,
             size_t len)
{
	Budget *budget = tracker->env->budget;
	Buffer copy = {NULL, 0, 0};
	WireSpan message;

	if (exchange->has_secret || exchange->redact)
	{
		if (!buffer_append(budget, &copy, body, len))
			return;
		if (exchange->has_secret)
			exchange->is_redacted |= wire_mask_body(id, copy.data, len, tracker->standard_strings);
		exchange->is_redacted |= redact_error(exchange->redact, copy.data, len);
		body = copy.data;
	}
	if (wire_error_field(body, len, 'M', &message))
		buffer_append(budget, &exchange->error_message, message.data, message.len);
	buffer_free(budget, &copy);
}

/*
 * Reads an ErrorResponse: the first of an exchange makes its columns.
 */
static void
read_error(Tracker *tracker, Exchange *exchange, const uint8_t *body, size_t len)
{
	WireSpan state;

	exchange->has_secret |= wire_error_secret(body, len);
	if (wire_error_field(body, len, 'C', &state) && state.len == 5)
	{
		memcpy(tracker->last_sqlstate, state.data, 5);
		if (exchange->sqlstate[0] == 0)
		{
			memcpy(exchange->sqlstate, state.data, 5);
			if (exchange->recorded)
				keep_message(tracker, exchange, WIRE_MSG_ErrorResponse, body, len);
		}
	}
	if (!(exchange->has & HAS_STARTUP))
		exchange->statement_count++;
	pairing_error(tracker);
}

/*
 * Copies a reported value into a fixed place, cut to its size.
 */
static void
keep_value(char *to, size_t size, WireSpan value)
{
	size_t len = value.len < size - 1 ? value.len : size - 1;

	memset(to, 0, size);
	if (len > 0)
		memcpy(to, value.data, len);
}

/*
 * Reads a ParameterStatus.
 */
static void
read_parameter(Tracker *tracker, const uint8_t *body, size_t len)
{
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan name;
	WireSpan value;

	if (wire_decode(WIRE_MSG_ParameterStatus, body, len, values) < 2 ||
	    !values[WIRE_ParameterStatus_value].complete)
		return;
	name = values[WIRE_ParameterStatus_name].bytes;
	value = values[WIRE_ParameterStatus_value].bytes;
	if (!tracker->is_ready)
		buffer_append(tracker->env->budget, &tracker->server_parameters, body, len);
	if (name.len == 15 && memcmp(name.data, "client_encoding", 15) == 0)
		keep_value(tracker->client_encoding, sizeof(tracker->client_encoding), value);
	else if (name.len == 27 && memcmp(name.data, "standard_conforming_strings", 27) == 0)
		tracker->standard_strings = value.len == 2;
	else if (name.len == 16 && memcmp(name.data, "application_name", 16) == 0)
	{
		keep_value(tracker->application_name, sizeof(tracker->application_name), value);
		tracker->has_application_name = true;
	}
}

/*
 * Reads a message of the startup: how the client is asked, and for what key.
 */
static void
read_startup(Tracker *tracker, WireMessageId id, const uint8_t *body, size_t len)
{
	WireValue values[WIRE_MAX_FIELDS];

	switch (id)
	{
		case WIRE_MSG_AuthenticationOk:
			tracker->authenticated = true;
			break;
		case WIRE_MSG_AuthenticationCleartextPassword:
		case WIRE_MSG_AuthenticationMD5Password:
			tracker->asked = true;
			break;
		case WIRE_MSG_AuthenticationSASL:
			tracker->asked = true;
			tracker->auth_phase = WIRE_PHASE_SASL_INITIAL;
			break;
		case WIRE_MSG_AuthenticationSASLContinue:
			tracker->asked = true;
			tracker->auth_phase = WIRE_PHASE_SASL;
			break;
		case WIRE_MSG_AuthenticationGSS:
		case WIRE_MSG_AuthenticationGSSContinue:
		case WIRE_MSG_AuthenticationSSPI:
			tracker->asked = true;
			tracker->auth_phase = WIRE_PHASE_GSS;
			break;
		case WIRE_MSG_BackendKeyData:
			wire_decode(id, body, len, values);
			tracker->backend_pid = (uint32_t) values[WIRE_BackendKeyData_process_id].number;
			tracker->cancel_key = XXH3_64bits(body, len);
			break;
		case WIRE_MSG_NegotiateProtocolVersion:
			wire_decode(id, body, len, values);
			tracker->minor_version =
			    (uint32_t) values[WIRE_NegotiateProtocolVersion_newest_version].number & 0xffff;
			break;
		default:
			break;
	}
}

/*
 * Reads a ReadyForQuery.
 */
static void
read_ready(Tracker *tracker, Exchange *exchange, const uint8_t *body, size_t len)
{
	WireValue values[WIRE_MAX_FIELDS];

	wire_decode(WIRE_MSG_ReadyForQuery, body, len, values);
	exchange->transaction_status = (char) values[WIRE_ReadyForQuery_status].number;
	if (!tracker->is_ready)
	{
		tracker->is_ready = true;
		tracker->env->ready(tracker);
	}
	pairing_ready(tracker);
	if (body && len > 0 && body[0] == 'I')
		names_drop_portals(tracker);
}

/*
 * Notes a Copy*Response.
 */
static void
read_copy(Tracker *tracker, Exchange *exchange, WireMessageId id)
{
	exchange->has |= id == WIRE_MSG_CopyBothResponse ? HAS_REPLICATION : HAS_COPY;
	if (id == WIRE_MSG_CopyInResponse)
		pairing_copy_in(tracker);
}

/*
 * Reads a backend message that has come whole.
 */
void
extract_backend(Tracker *tracker, WireMessageId id, const uint8_t *body, size_t len)
{
	Exchange *exchange = tracker->back.target;

	if (!exchange)
		return;
	if (!tracker->is_ready)
		read_startup(tracker, id, body, len);
	switch (id)
	{
		case WIRE_MSG_CommandComplete:
			read_tag(exchange, body, len);
			follow_tag(tracker, exchange);
			pairing_answer(tracker, id);
			break;
		case WIRE_MSG_EmptyQueryResponse:
		case WIRE_MSG_PortalSuspended:
			exchange->statement_count++;
			pairing_answer(tracker, id);
			break;
		case WIRE_MSG_ParseComplete:
		case WIRE_MSG_BindComplete:
		case WIRE_MSG_CloseComplete:
		case WIRE_MSG_RowDescription:
		case WIRE_MSG_NoData:
			pairing_answer(tracker, id);
			break;
		case WIRE_MSG_FunctionCallResponse:
			exchange->statement_count++;
			break;
		case WIRE_MSG_CopyInResponse:
		case WIRE_MSG_CopyOutResponse:
		case WIRE_MSG_CopyBothResponse:
			read_copy(tracker, exchange, id);
			break;
		case WIRE_MSG_ErrorResponse:
			read_error(tracker, exchange, body, len);
			break;
		case WIRE_MSG_NoticeResponse:
			exchange->has_secret |= wire_error_secret(body, len);
			break;
		case WIRE_MSG_ParameterStatus:
			read_parameter(tracker, body, len);
			break;
		case WIRE_MSG_ReadyForQuery:
			read_ready(tracker, exchange, body, len);
			break;
		default:
			break;
	}
}

/*
 * Hashes a piece of a DataRow, or of what COPY sends out; what comes whole needs no
 * state.  Replication is nothing to compare.
 */
void
extract_row(Tracker *tracker, const uint8_t *part, size_t len, bool begins, bool ends)
{
	Exchange *exchange = tracker->back.target;
	uint64_t seed = tracker->env->digest_seed;
	bool is_row = tracker->back.id == WIRE_MSG_DataRow;

	if (!exchange || !exchange->recorded || (!is_row && (exchange->has & HAS_REPLICATION)))
		return;
	if (ends && is_row)
		exchange->data_row_count++;
	if (begins && ends)
	{
		exchange_add_digest(exchange, XXH3_64bits_withSeed(part, len, seed));
		return;
	}
	if (!tracker->row_hash && !(tracker->row_hash = XXH3_createState()))
		return;
	if (begins)
		XXH3_64bits_reset_withSeed(tracker->row_hash, seed);
	XXH3_64bits_update(tracker->row_hash, part, len);
	if (ends)
		exchange_add_digest(exchange, XXH3_64bits_digest(tracker->row_hash));
}
