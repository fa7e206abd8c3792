/*
 * session.c
 *	  A session's life: from accept to its last row.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/fault.h"
#include "relay/process.h"

/*
 * Returns microseconds since the session was accepted.
 */
int64_t
session_now(const Session *session)
{
	return clock_monotonic() - session->accepted_at;
}

/*
 * Tells whether a session is a CancelRequest's: there is nobody to tell anything.
 */
static bool
is_cancel(const Session *session)
{
	return session->end_reason && strcmp(session->end_reason, "cancel_request") == 0;
}

/*
 * Event: the client took too long to get in, or a cancel to be taken.
 */
static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	Session *session = arg;

	(void) fd;
	(void) what;
	if (!session->has_packet)
		session_close(session, "authentication_timeout");
	else if (is_cancel(session))
		session_close(session, NULL);
	else if (session->state == SESSION_FLUSHING)
		session_close(session, NULL);
	else
		session_refuse(session, "authentication_timeout", "57014",
		               "canceling authentication due to timeout");
}

/*
 * Turns on what a socket needs: no delay of small segments, and probes that
 * find out about a peer that is gone.
 */
static void
tune_socket(int fd, int family)
{
	int on = 1;

	if (family == AF_UNIX)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/*
 * Returns the user at the other end of a Unix socket, as the kernel knows it.
 */
static uint32_t
peer_uid(int fd, int family)
{
#ifdef SO_PEERCRED
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		return peer.uid;
#else
	uid_t uid;
	gid_t gid;

	if (family == AF_UNIX && getpeereid(fd, &uid, &gid) == 0)
		return uid;
#endif
	return UINT32_MAX;
}

/*
 * Opens a session for an accepted socket.  NULL: no memory, the socket is
 * closed.
 */
Session *
session_open(Relay *relay, int fd, const struct sockaddr_storage *addr)
{
	Session *session = budget_alloc(&relay->budget, sizeof(Session));
	struct timeval timeout = {relay->config.authentication_timeout_ms / 1000,
	                          (relay->config.authentication_timeout_ms % 1000) * 1000};

	if (!session)
	{
		close(fd);
		return NULL;
	}
	session->relay = relay;
	session->slot = -1;
	session->authenticated_at = session->ended_at = -1;
	session->client.fd = session->server.fd = -1;
	session->client_addr = *addr;
	session->client_uid = peer_uid(fd, addr->ss_family);
	session->accepted_at = clock_monotonic();
	session->accepted_wall = clock_wall();
	tune_socket(fd, addr->ss_family);
	leg_attach(relay->base, &session->client, fd, pump_client_readable, pump_client_writable,
	           session);
	session->deadline = evtimer_new(relay->base, on_deadline, session);
	evtimer_add(session->deadline, &timeout);

	tracker_init(&session->tracker, &relay->env);
	session->tracker.recorded = relay->config.capture != RELAY_CAPTURE_OFF;
	session->is_tracked = session->is_waiting = true;
	board_add(&relay->stats->unauthenticated, 1);

	session->next = relay->sessions;
	if (relay->sessions)
		relay->sessions->prev = session;
	relay->sessions = session;
	session_update(session);
	RELAY_FAULT("accepted");
	return session;
}

/*
 * Takes a session out of the count of those that are not authenticated.
 */
static void
stop_waiting(Session *session)
{
	if (session->is_waiting)
		atomic_fetch_sub(&session->relay->stats->unauthenticated, 1);
	if (session->is_waiting && session->has_packet)
		atomic_fetch_sub(&session->relay->stats->asking, 1);
	session->is_waiting = false;
}

/*
 * Tells whether the client should be read.
 */
static bool
wants_client(const Session *session)
{
	const Buffer *input = &session->input;

	if (session->client.at_end || session->server.pending.len > 0)
		return false;
	switch (session->state)
	{
		case SESSION_STARTUP:
			return !session->waits_for_tls;
		case SESSION_AUTHENTICATING:
			return input->len == 0 || (input->data[0] == 'p' && input->len <= AUTH_MESSAGE_MAX);
		case SESSION_OPEN:
			return !(session->is_tracked && tracker_throttled(&session->tracker));
		default:
			return false;
	}
}

/*
 * Derives from the state of a session which events it waits for.
 */
void
session_update(Session *session)
{
	bool held = session->relay->is_held;
	bool passing = session->state == SESSION_SECURING || session->state == SESSION_AUTHENTICATING ||
	               session->state == SESSION_OPEN || session->state == SESSION_CANCELLING;

	if (session->state == SESSION_CLOSED)
		return;
	leg_wait(&session->client, !held && wants_client(session), session->client.pending.len > 0);
	leg_wait(&session->server,
	         !held && passing && !session->server.at_end && session->client.pending.len == 0,
	         session->server.pending.len > 0 || session->state == SESSION_CONNECTING);
}

/*
 * Goes on to full forwarding: the server has let the client in.
 */
void
session_authenticated(Session *session)
{
	session->state = SESSION_OPEN;
	evtimer_del(session->deadline);
	stop_waiting(session);
	pump_release_held(session);
	if (!session->is_recorded)
	{
		session->authenticated_at = session_now(session);
		session_stop_tracking(session);
	}
}

/*
 * Leaves a session out of the record, with what there is of it.
 */
void
session_leave_out(Session *session)
{
	Tracker *tracker = &session->tracker;

	session->is_recorded = tracker->recorded = false;
	for (Exchange *exchange = tracker->first; exchange; exchange = exchange->next)
		exchange->recorded = exchange->is_paused = false;
	if (tracker->async)
		tracker->async->recorded = tracker->async->is_paused = false;
}

/*
 * Stops decoding what a session that is let in but not recorded says.
 */
void
session_stop_tracking(Session *session)
{
	if (!session->is_tracked)
		return;
	session->is_tracked = false;
	tracker_end(&session->tracker, session_now(session));
	tracker_free(&session->tracker);
	session->tracker.is_ready = true;
}

/*
 * Goes on to the end of a session: what is pending still goes to the client, as
 * long as that takes bytes at all.
 */
void
session_flush(Session *session)
{
	struct timeval wait = {FLUSH_WAIT_S, 0};
	struct timeval moment = {1, 0};

	session->state = SESSION_FLUSHING;
	if (session->client.pending.len == 0)
	{
		session_close(session, NULL);
		return;
	}
	/* one that was never let in gets no more time than it had, or a moment */
	if (session->authenticated_at >= 0)
		evtimer_add(session->deadline, &wait);
	else if (!evtimer_pending(session->deadline, NULL))
		evtimer_add(session->deadline, &moment);
	session_update(session);
}

/*
 * Ends a session with an ErrorResponse to the client.
 */
void
session_refuse(Session *session, const char *reason, const char *sqlstate, const char *format, ...)
{
	char message[512];
	uint8_t packet[640];
	size_t len;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	len = wire_put_error(packet, sizeof(packet), "FATAL", sqlstate, message);
	relay_log(session->relay, RELAY_LOG, "client refused: %s", message);
	if (!session->end_reason)
		session->end_reason = reason;
	if (session->is_tracked)
		tracker_backend(&session->tracker, packet, len, session_now(session));
	leg_close(&session->relay->budget, &session->server);
	carrier_release(session);
	if (pump_send(session, &session->client, packet, len))
		session_flush(session);
	else
		session_close(session, NULL);
}

/*
 * Closes the client's socket without taking from it what was sent last: unread
 * bytes would make the kernel reset the connection, and a client may then never
 * see the error that it was told.
 */
static void
close_gently(Session *session)
{
	uint8_t *io = session->relay->io;

	if (session->client.fd < 0)
		return;
	leg_end(&session->client, !session->is_cut);
	for (int i = 0; i < RELAY_READS_A_TURN; i++)
		if (recv(session->client.fd, io, RELAY_IO_SIZE, MSG_DONTWAIT) <= 0)
			break;
	leg_close(&session->relay->budget, &session->client);
}

/*
 * Records what a session leaves: its open exchanges, and its row, which the
 * end of the loop turn adds to the journal.
 */
static void
record_end(Session *session)
{
	session->ended_at = session_now(session);
	if (session->authenticated_at < 0 && !is_cancel(session))
		board_add(&session->relay->stats->startups_failed, 1);
	if (!session->has_packet)
		return;
	if (session->is_tracked)
		tracker_end(&session->tracker, session->ended_at);
}

/*
 * Ends a session.  Its memory stays until its row is in the journal.
 */
void
session_close(Session *session, const char *reason)
{
	Relay *relay = session->relay;

	if (session->state == SESSION_CLOSED)
		return;
	if (reason)
		session->end_reason = reason;
	record_end(session);
	session->state = SESSION_CLOSED;
	close_gently(session);
	leg_close(&session->relay->budget, &session->server);
	carrier_release(session);
	stop_waiting(session);
	if (session->is_counted)
	{
		atomic_fetch_sub(&relay->board->sessions_open, 1);
		atomic_fetch_sub(&relay->stats->sessions_open, 1);
	}
	event_free(session->deadline);
	if (session->retry)
		event_free(session->retry);

	if (session->prev)
		session->prev->next = session->next;
	else
		relay->sessions = session->next;
	if (session->next)
		session->next->prev = session->prev;
	session->prev = NULL;
	session->next = relay->closed;
	relay->closed = session;
	relay->closed_count++;
}

/*
 * Frees a closed session.
 */
void
session_free(Session *session)
{
	Budget *budget = &session->relay->budget;

	if (session->is_tracked)
	{
		/* a client that never sent a startup packet leaves its exchange behind */
		session->tracker.recorded = false;
		session->is_recorded = false;
		tracker_end(&session->tracker, session->ended_at);
		tracker_free(&session->tracker);
	}
	buffer_free(budget, &session->input);
	buffer_free(budget, &session->packet);
	budget_free(budget, session->redaction, sizeof(RedactColumns));
	budget_free(budget, session, sizeof(Session));
}
