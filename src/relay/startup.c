/*
 * startup.c
 *	  The untyped packets at the begin of a connection.
 *
 * SSLRequest is answered as the server would, GSSENCRequest with 'N'; a
 * CancelRequest goes on to a carrier of its own; a StartupMessage is kept whole, checked, and decides
 * whether the session is let in and recorded before the server hears of it.
 *
 * Protocol documentation: "Message Flow", sections "Start-up", "Canceling
 * Requests in Progress", "SSL Session Encryption".
 */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "relay/fault.h"
#include "relay/process.h"

#define CANCEL_REQUEST_CODE 80877102u
#define SSL_REQUEST_CODE 80877103u
#define GSSENC_REQUEST_CODE 80877104u

/*
 * Reads a 32-bit integer in network byte order.
 */
static uint32_t
get_u32(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

/*
 * Takes the first bytes off the input.
 */
static void
consume(Session *session, size_t len)
{
	Buffer *input = &session->input;

	input->len -= len;
	memmove(input->data, input->data + len, input->len);
	if (input->len == 0)
		buffer_free(&session->relay->budget, input);
}

/*
 * Answers a request for encryption, each kind once.  What came behind it in clear
 * may be anybody's, so it ends the session.  False: the session is over.
 */
static bool
answer_encryption(Session *session, bool *seen, const char *name, uint8_t answer)
{
	int64_t now = session_now(session);

	if (*seen || session->input.len > 8)
	{
		session_refuse(session, "protocol_violation", "08P01",
		               *seen ? "%s was sent twice" : "received unencrypted data after %s", name);
		return false;
	}
	*seen = true;
	tracker_add_startup(&session->tracker, WIRE_FRONTEND, session->input.data, 8, now, HAS_STARTUP);
	tracker_add_startup(&session->tracker, WIRE_BACKEND, &answer, 1, now, HAS_STARTUP);
	session->answers++;
	consume(session, 8);
	if (pump_send(session, &session->client, &answer, 1))
		return true;
	session_close(session, "client_reset");
	return false;
}

/*
 * Takes an SSLRequest.  False: it has to wait, or the session is over.
 */
static bool
take_ssl_request(Session *session)
{
	uint8_t answer = secure_answer(session);

	session->waits_for_tls = answer == 0;
	if (answer == 0 || !answer_encryption(session, &session->saw_ssl, "SSLRequest", answer))
		return false;
	if (answer != 'S')
		return true;
	session->saw_gss = true;
	return secure_client(session);
}

/*
 * Finds a parameter of the startup packet; the last one of a name counts, as it
 * does for the server.
 */
WireSpan
startup_parameter(WireSpan pairs, const char *wanted)
{
	WireSpan found = {NULL, 0};
	WireSpan name;
	WireSpan value;
	size_t at = 0;

	while (wire_pair_next(pairs, &at, &name, &value))
		if (name.len == strlen(wanted) && memcmp(name.data, wanted, name.len) == 0)
			found = value;
	return found;
}

/*
 * Checks what would keep the carrier token from being added where the server
 * looks for it.  False: the session was refused.
 */
static bool
check_packet(Session *session, WireSpan pairs, uint32_t version)
{
	WireSpan name;
	WireSpan value;
	size_t at = 0;
	size_t limit = STARTUP_PACKET_MAX - BOARD_TOKEN_ADDS;

	if (version >> 16 != 3)
	{
		session_refuse(session, "protocol_violation", "0A000",
		               "unsupported frontend protocol %u.%u: pgwire_trace passes on 3.x",
		               version >> 16, version & 0xffff);
		return false;
	}
	if (session->packet.len > limit)
	{
		session_refuse(session, "protocol_violation", "08P01",
		               "startup packet of %zu bytes is too long for pgwire_trace, which takes "
		               "%zu of the server's %d; connect to the server's own port",
		               session->packet.len, limit, STARTUP_PACKET_MAX);
		return false;
	}
	while (wire_pair_next(pairs, &at, &name, &value))
		if (name.len == strlen(BOARD_TOKEN_PARAMETER) &&
		    strncasecmp((const char *) name.data, BOARD_TOKEN_PARAMETER, name.len) == 0)
		{
			session_refuse(session, "protocol_violation", "08P01",
			               "parameter \"%s\" is reserved for pgwire_trace itself",
			               BOARD_TOKEN_PARAMETER);
			return false;
		}
	if (pairs.len == 0 || at != pairs.len - 1 || pairs.data[at] != 0)
	{
		session_refuse(session, "protocol_violation", "08P01",
		               "invalid startup packet layout: expected terminator as last byte");
		return false;
	}
	return true;
}

/*
 * Counts the session as open, if there is room.
 */
static bool
count_session(Session *session)
{
	Relay *relay = session->relay;

	/* signed: a relay that dies between two counters may leave it below zero */
	if ((int64_t) atomic_fetch_add(&relay->board->sessions_open, 1) >=
	    (int64_t) relay->config.max_sessions)
	{
		atomic_fetch_sub(&relay->board->sessions_open, 1);
		return false;
	}
	board_add(&relay->stats->sessions_open, 1);
	board_add(&relay->stats->sessions_total, 1);
	session->is_counted = true;
	return true;
}

/*
 * Decides whether the session is recorded: filters, then the sample.
 */
static bool
decide_recording(Session *session, WireSpan pairs)
{
	Relay *relay = session->relay;
	WireSpan user = startup_parameter(pairs, "user");
	WireSpan database = startup_parameter(pairs, "database");
	WireSpan application = startup_parameter(pairs, "application_name");
	uint32_t dice;

	session->is_replication = startup_parameter(pairs, "replication").len > 0;
	if (database.len == 0)
		database = user;
	if (config_filtered(&relay->config, database, user, application))
	{
		board_add(&relay->stats->sessions_filtered, 1);
		return false;
	}
	if (relay->config.sample_rate < 1.0)
	{
		if (getrandom(&dice, sizeof(dice), 0) != sizeof(dice) ||
		    dice >= relay->config.sample_rate * 4294967296.0)
		{
			board_add(&relay->stats->sessions_sampled_out, 1);
			return false;
		}
	}
	return true;
}

/*
 * Reads a digit of a token; -1: it is none.
 */
static int
hex_digit(uint8_t digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/*
 * Tells whether this is a session of a replay that runs here: it shows the run's
 * token.  That is blanked out, as the server would not know it; one that is not known
 * here stays, and the server refuses it.
 */
static bool
take_replay_token(Session *session, WireSpan options)
{
	size_t begin = sizeof(BOARD_REPLAY_PARAMETER) - 1;
	uint8_t token[BOARD_TOKEN];

	if (options.len < begin + 2 * BOARD_TOKEN ||
	    memcmp(options.data, BOARD_REPLAY_PARAMETER, begin) != 0)
		return false;
	for (size_t i = 0; i < BOARD_TOKEN; i++)
	{
		int high = hex_digit(options.data[begin + 2 * i]);
		int low = hex_digit(options.data[begin + 2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		token[i] = (uint8_t) (high << 4 | low);
	}
	if (!board_knows_replay(session->relay->board, token))
		return false;
	memset(session->packet.data + (options.data - session->packet.data), ' ',
	       begin + 2 * BOARD_TOKEN);
	return true;
}

/*
 * Notes that a session is no silent one: its packet is here.
 */
static void
note_packet(Session *session)
{
	session->has_packet = true;
	if (session->is_waiting)
		board_add(&session->relay->stats->asking, 1);
}

/*
 * Tells whether the packet names, in whatever parameter, the setting by which a
 * client asks not to be recorded.  Whether it asks, and may, the server says.
 */
static bool
names_record(WireSpan pairs)
{
	size_t len = sizeof(BOARD_RECORD_SETTING) - 1;

	for (size_t at = 0; at + len <= pairs.len; at++)
		if (strncasecmp((const char *) pairs.data + at, BOARD_RECORD_SETTING, len) == 0)
			return true;
	return false;
}

/*
 * Takes a whole StartupMessage.
 */
static void
take_startup(Session *session, uint32_t version)
{
	Relay *relay = session->relay;
	WireSpan pairs = {session->packet.data + 8, session->packet.len - 8};

	note_packet(session);
	session->tracker.minor_version = version & 0xffff;
	session->is_recorded = !take_replay_token(session, startup_parameter(pairs, "options")) &&
	                       decide_recording(session, pairs);
	session->may_decline = names_record(pairs);
	if (!session->is_recorded)
		session_leave_out(session);
	if (!check_packet(session, pairs, version))
		return;
	if (!count_session(session))
	{
		board_add(&relay->stats->sessions_refused, 1);
		session_refuse(session, "too_many_sessions", "53300",
		               "too many traced sessions: pgwire_trace.max_sessions is %u",
		               relay->config.max_sessions);
		return;
	}
	RELAY_FAULT("packet");
	carrier_open(session);
}

/*
 * Takes a whole CancelRequest.
 */
static void
take_cancel(Session *session)
{
	struct timeval wait = {CANCEL_WAIT_MS / 1000, 0};

	note_packet(session);
	session->is_recorded = true;
	session->end_reason = "cancel_request";
	evtimer_add(session->deadline, &wait);
	carrier_open(session);
}

/*
 * Takes a whole packet of a connection's begin off the input.  False: nothing
 * more is to be looked for here.
 */
static bool
take_packet(Session *session, uint32_t length, uint32_t code)
{
	Buffer *input = &session->input;

	if (code == SSL_REQUEST_CODE && length == 8)
		return take_ssl_request(session);
	if (code == GSSENC_REQUEST_CODE && length == 8)
	{
		session->asked_gss = true;
		return answer_encryption(session, &session->saw_gss, "GSSENCRequest", 'N');
	}
	session->packet_at = session->tracker.first ? session->tracker.first->request.bytes : 0;
	tracker_add_startup(&session->tracker, WIRE_FRONTEND, input->data, length, session_now(session),
	                    code == CANCEL_REQUEST_CODE ? HAS_CANCEL : HAS_STARTUP);
	/* whatever is left to capture with: what is recorded of others must keep nobody out */
	if (!buffer_keep(&session->relay->budget, &session->packet, input->data, length))
	{
		session_close(session, "protocol_violation");
		return false;
	}
	consume(session, length);
	if (code == CANCEL_REQUEST_CODE)
		take_cancel(session);
	else
		take_startup(session, code);
	return false;
}

/*
 * Takes the packets that are whole.
 */
void
startup_go_on(Session *session)
{
	while (session->state == SESSION_STARTUP && session->input.len >= 4)
	{
		uint32_t length = get_u32(session->input.data);

		if (length < 8 || length > STARTUP_PACKET_MAX)
		{
			board_add(&session->relay->stats->sessions_refused, 1);
			session_refuse(session, "protocol_violation", "08P01",
			               "invalid length of startup packet: %u (8 to %d expected)", length,
			               STARTUP_PACKET_MAX);
			return;
		}
		if (session->input.len < length ||
		    !take_packet(session, length, get_u32(session->input.data + 4)))
			break;
	}
	session_update(session);
	leg_read_on(&session->client);
}

/*
 * Ends a session whose client went away, or could not be understood.
 */
static void
client_left(Session *session, ssize_t n)
{
	if (n < 0 && errno == EPROTO)
		relay_log(session->relay, RELAY_LOG, "could not accept TLS connection: %s", tls_error());
	session_close(session, n == 0 ? "client_closed" : "client_reset");
}

/*
 * Event: the client sent something before its startup packet was whole.
 */
void
startup_readable(Session *session)
{
	Relay *relay = session->relay;
	ssize_t n;

	if (!session->client.is_reading || !secure_look(session))
		return;
	if (session->begins_tls && !secure_may_step(relay))
		return;
	n = leg_recv(&session->client, relay->io, STARTUP_PACKET_MAX);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
	{
		session_update(session);
		return;
	}
	if (n <= 0)
	{
		client_left(session, n);
		return;
	}
	board_add(&relay->stats->bytes_from_client, (uint64_t) n);
	if (!buffer_keep(&relay->budget, &session->input, relay->io, (size_t) n))
		session_close(session, "protocol_violation");
	else if (secure_note(session))
		startup_go_on(session);
}
