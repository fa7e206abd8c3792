/*
 * pump.c
 *	  Moves bytes between the legs of a session.
 *
 * One function pumps either direction: read, observe, send on at once.  Bytes
 * are observed before they are sent so that an exchange is counted as finished
 * before its client can know of it.  Only what a socket does not take is kept.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "relay/fault.h"
#include "relay/process.h"

/*
 * Returns the other leg.
 */
static Leg *
other_leg(Session *session, Leg *leg)
{
	return leg == &session->client ? &session->server : &session->client;
}

/*
 * Sends bytes to a leg, behind what is pending.  False: it is gone.
 */
bool
pump_send(Session *session, Leg *leg, const uint8_t *data, size_t len)
{
	if (leg->fd >= 0 && leg == &session->client)
		board_add(&session->relay->stats->bytes_to_client, len);
	return leg_send(&session->relay->budget, leg, data, len);
}

/*
 * Passes a leg's end on to the other, once all its bytes are through.
 */
static void
pass_end(Session *session, Leg *from, Leg *to)
{
	if (!from->at_end || to->fd < 0 || to->passed_end || to->pending.len > 0 ||
	    session->input.len > 0)
		return;
	to->passed_end = true;
	leg_end(to, !from->is_cut);
}

/*
 * Notes that the server has closed the carrier, or it broke: what is pending
 * still goes to the client, then the session is over.
 */
void
pump_server_gone(Session *session)
{
	Relay *relay = session->relay;

	if (!session->end_reason)
	{
		if (session->tracker.terminate)
			session->end_reason = "terminate";
		else if (relay->is_stopping)
			session->end_reason = "server_shutdown";
		else if (!session->tracker.is_ready &&
		         strncmp(session->tracker.last_sqlstate, "28", 2) == 0)
			session->end_reason = "authentication_failed";
		else
			session->end_reason = "server_closed";
	}
	session->is_cut = session->server.is_cut;
	leg_close(&session->relay->budget, &session->server);
	carrier_release(session);
	session_flush(session);
}

/*
 * Notes that the client is gone for good: the server gets to know as it would
 * without us, by a closed connection.
 */
static void
client_gone(Session *session)
{
	session_close(session, session->tracker.terminate ? "terminate" : "client_reset");
}

/*
 * Observes bytes that were read from a leg.
 */
static void
observe(Session *session, Leg *from, const uint8_t *data, size_t len)
{
	Tracker *tracker = &session->tracker;
	bool was_desynchronised = tracker->desynchronised;

	if (!session->is_tracked)
		return;
	if (from == &session->client)
		tracker_frontend(tracker, data, len, session_now(session));
	else
		tracker_backend(tracker, data, len, session_now(session));
	if (!session->is_recorded && session->state == SESSION_OPEN && tracker->is_ready)
	{
		session_stop_tracking(session); /* as it asked for */
		return;
	}
	if (session->slot >= 0)
		atomic_store_explicit(&session->relay->board->slots[session->slot].exchange_no,
		                      tracker_current_no(tracker), memory_order_relaxed);
	if (tracker->desynchronised && !was_desynchronised)
	{
		board_add(&session->relay->stats->sessions_desynchronised, 1);
		relay_log(session->relay, RELAY_LOG,
		          "session %llu is forwarded, but no longer decoded: its %s sends what is no "
		          "protocol",
		          (unsigned long long) session->session_id,
		          from == &session->client ? "client" : "server");
	}
}

/*
 * Handles the end of what a leg sends.
 */
static void
leg_ended(Session *session, Leg *from)
{
	from->at_end = true;
	if (from == &session->server)
	{
		pump_server_gone(session);
		return;
	}
	if (!session->end_reason && !session->tracker.terminate)
		session->end_reason = "client_closed";
	pass_end(session, from, other_leg(session, from));
	session_update(session);
}

/*
 * Handles an error on reading from a leg.
 */
static void
leg_broken(Session *session, Leg *from)
{
	from->is_cut = true;
	if (from == &session->server)
		pump_server_gone(session);
	else
		client_gone(session);
}

/*
 * Keeps what a client sends before AuthenticationOk, and passes on its answers
 * to authentication requests alone, one a request: a stranger's stream of them
 * must not cost more than it can sensibly say.  A client that was asked and says
 * something else is refused at once, as the server would: a backend waits for the
 * answer, and that the client hung up meanwhile cannot be seen behind bytes that
 * are held.  False: the session is over.
 */
static bool
pass_answers(Session *session)
{
	Relay *relay = session->relay;
	Buffer *input = &session->input;

	while (session->tracker.asked && input->len >= 5 && input->data[0] == 'p')
	{
		uint32_t length = (uint32_t) input->data[1] << 24 | (uint32_t) input->data[2] << 16 |
		                  (uint32_t) input->data[3] << 8 | input->data[4];
		size_t size = (size_t) length + 1;

		if (length < 4 || length > AUTH_MESSAGE_MAX)
		{
			session_refuse(session, "protocol_violation", "08P01",
			               "invalid length of authentication message: %u (4 to %d expected)",
			               length, AUTH_MESSAGE_MAX);
			return false;
		}
		if (input->len < size)
			return true;
		session->tracker.asked = false;
		tracker_frontend(&session->tracker, input->data, size, session_now(session));
		if (!pump_send(session, &session->server, input->data, size))
		{
			pump_server_gone(session);
			return false;
		}
		input->len -= size;
		memmove(input->data, input->data + size, input->len);
	}
	if (input->len == 0)
		buffer_free(&relay->budget, input);
	else if (session->tracker.asked && input->data[0] != 'p')
	{
		session_refuse(session, "protocol_violation", "08P01",
		               "expected password response, got message type %d", input->data[0]);
		return false;
	}
	return true;
}

/*
 * Passes on what was kept back until AuthenticationOk.
 */
void
pump_release_held(Session *session)
{
	Buffer held = session->input;

	memset(&session->input, 0, sizeof(session->input));
	if (held.len > 0)
	{
		observe(session, &session->client, held.data, held.len);
		if (!pump_send(session, &session->server, held.data, held.len))
			session->server.at_end = true;
	}
	buffer_free(&session->relay->budget, &held);
	pass_end(session, &session->client, &session->server);
}

/*
 * Tells whether what came from the server so far may go to the client.  The server
 * takes the token before it asks the client anything: whoever asks without that is
 * another program at the server's address, and must not get an answer.  False: the
 * session was refused.
 */
static bool
is_believed(Session *session)
{
	const BoardSlot *slot = &session->relay->board->slots[session->slot];

	if (session->tracker.desynchronised)
	{
		session_refuse(session, "protocol_violation", "08P01",
		               "the server's answer to the startup packet makes no sense");
		return false;
	}
	if ((session->tracker.asked || session->tracker.authenticated) &&
	    atomic_load(&slot->backend_pid) == 0)
	{
		session_refuse(session, "server_unreachable", "08006",
		               "what answers at the PostgreSQL server's address is not that server, or "
		               "runs without pgwire_trace");
		return false;
	}
	return true;
}

/*
 * Deals with bytes read from a leg.  False: the session is over.
 */
static bool
pass(Session *session, Leg *from, Leg *to, const uint8_t *data, size_t len)
{
	Relay *relay = session->relay;

	if (from == &session->client)
	{
		board_add(&relay->stats->bytes_from_client, len);
		if (session->state == SESSION_AUTHENTICATING)
		{
			if (buffer_keep(&relay->budget, &session->input, data, len))
				return pass_answers(session);
			client_gone(session);
			return false;
		}
	}
	if (session->state == SESSION_AUTHENTICATING)
		RELAY_FAULT("answered");
	observe(session, from, data, len);
	if (session->state == SESSION_AUTHENTICATING && !is_believed(session))
		return false;
	if (!pump_send(session, to, data, len))
	{
		if (to == &session->client)
			client_gone(session);
		else
			pump_server_gone(session);
		return false;
	}
	if (session->state != SESSION_AUTHENTICATING)
		return true;
	RELAY_FAULT("passed");
	if (!session->tracker.authenticated)
		return pass_answers(session);
	session_authenticated(session);
	return true;
}

/*
 * Pumps from one leg to the other, a bounded number of reads.
 */
static void
pump(Session *session, Leg *from)
{
	Relay *relay = session->relay;
	Leg *to = other_leg(session, from);

	for (int i = 0; i < RELAY_READS_A_TURN && from->is_reading; i++)
	{
		ssize_t n = leg_recv(from, relay->io, sizeof(relay->io));

		if (n == 0)
		{
			leg_ended(session, from);
			return;
		}
		if (n < 0)
		{
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				leg_broken(session, from);
			else if (from->read_wants_write)
				session_update(session);
			return;
		}
		if (!pass(session, from, to, relay->io, (size_t) n))
			return;
		session_update(session);
		if (!from->has_more)
			return;
	}
	leg_read_on(from);
}

/*
 * Handles what came on the client's leg, or may have.
 */
static void
read_client(Session *session)
{
	if (session->state == SESSION_STARTUP)
		startup_readable(session);
	else
		pump(session, &session->client);
}

/*
 * Handles what came on the carrier, or may have.
 */
static void
read_server(Session *session)
{
	if (session->state == SESSION_SECURING)
		secure_go_on(session);
	else
		pump(session, &session->server);
}

/*
 * Sends what is pending for the client.
 */
static void
write_client(Session *session)
{
	if (!leg_flush(&session->relay->budget, &session->client))
	{
		client_gone(session);
		return;
	}
	if (session->state == SESSION_FLUSHING)
	{
		session_flush(session);
		return;
	}
	pass_end(session, &session->server, &session->client);
	session_update(session);
}

/*
 * Sends what is pending for the server.
 */
static void
write_server(Session *session)
{
	if (!leg_flush(&session->relay->budget, &session->server))
	{
		pump_server_gone(session);
		return;
	}
	pass_end(session, &session->client, &session->server);
	session_update(session);
}

/*
 * Event: the client sent something.
 */
void
pump_client_readable(evutil_socket_t fd, short what, void *arg)
{
	Session *session = arg;

	(void) fd;
	(void) what;
	if (session->client.write_wants_read)
		write_client(session);
	read_client(session);
}

/*
 * Event: the server sent something.
 */
void
pump_server_readable(evutil_socket_t fd, short what, void *arg)
{
	Session *session = arg;

	(void) fd;
	(void) what;
	if (session->server.write_wants_read)
		write_server(session);
	read_server(session);
}

/*
 * Event: the client takes bytes again.
 */
void
pump_client_writable(evutil_socket_t fd, short what, void *arg)
{
	Session *session = arg;

	(void) fd;
	(void) what;
	if (session->client.read_wants_write)
		read_client(session);
	if (session->client.pending.len > 0 || session->state == SESSION_FLUSHING)
		write_client(session);
}

/*
 * Event: the carrier is connected, or takes bytes again.
 */
void
pump_server_writable(evutil_socket_t fd, short what, void *arg)
{
	Session *session = arg;

	(void) fd;
	(void) what;
	if (session->state == SESSION_CONNECTING)
	{
		carrier_writable(session);
		return;
	}
	if (session->server.read_wants_write)
		read_server(session);
	if (session->server.pending.len > 0)
		write_server(session);
}
