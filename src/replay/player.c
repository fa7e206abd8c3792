/*
 * player.c
 *	  Sends a session's exchanges, and reads what comes back.
 *
 * Bytes go out as they were recorded, straight from the plan.  What holds them back:
 * the answers that the client had when it sent them, the clock, the order across
 * sessions; and inside an exchange a gate, where the client must have waited: data
 * of a COPY for CopyInResponse, what stands behind a Flush for the answers before it.
 * Whoever opens a gate steps the session.
 */
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/process.h"
#include "replay/child.h"
#include "replay/oids.h"

#define READ_SIZE (64 * 1024)
#define READS_A_TURN 8
#define WRITE_SIZE (64 * 1024)

static void on_readable(evutil_socket_t fd, short what, void *arg);

/*
 * Event: the socket takes bytes again.
 */
static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	Player *player = arg;

	player->waits_to_write = player->writes_when_read;
	if (player->reads_when_written)
		on_readable(fd, what, player);
	else
		player_step(player);
}

/*
 * Takes the connection over from libpq.  The tracker takes over behind its login.
 */
void
player_attach(Player *player)
{
	struct event_base *base = player->replay->base;
	const char *strings = PQparameterStatus(player->conn, "standard_conforming_strings");

	player->ssl = PQsslInUse(player->conn) ? PQsslStruct(player->conn, "OpenSSL") : NULL;
	player->fd = PQsocket(player->conn);
	player->waits_to_write = player->writes_when_read = player->reads_when_written = false;
	player->tracker.authenticated = player->tracker.is_ready = player->tracker.recorded = true;
	player->tracker.standard_strings = !strings || strcmp(strings, "on") == 0;
	player->read_event = event_new(base, player->fd, EV_READ | EV_PERSIST, on_readable, player);
	player->write_event = event_new(base, player->fd, EV_WRITE, on_writable, player);
	event_add(player->read_event, NULL);
}

/*
 * Waits until the socket takes bytes.
 */
static void
wait_to_write(Player *player)
{
	player->waits_to_write = true;
	event_add(player->write_event, NULL);
}

/*
 * Sends bytes.  Returns how many went; 0: none now; -1: the connection is lost.
 */
ssize_t
player_send(Player *player, const uint8_t *data, size_t len)
{
	ssize_t sent;

	if (len > WRITE_SIZE)
		len = WRITE_SIZE;
	if (player->ssl)
	{
		ERR_clear_error();
		sent = SSL_write(player->ssl, data, (int) len);
		if (sent > 0)
			return sent;
		switch (SSL_get_error(player->ssl, (int) sent))
		{
			case SSL_ERROR_WANT_WRITE:
				wait_to_write(player);
				return 0;
			case SSL_ERROR_WANT_READ: /* a handshake: the socket would take bytes all the time */
				player->waits_to_write = player->writes_when_read = true;
				return 0;
			default:
				return -1;
		}
	}
	sent = send(player->fd, data, len, MSG_NOSIGNAL);
	if (sent >= 0)
		return sent;
	if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
		return -1;
	wait_to_write(player);
	return 0;
}

/*
 * Returns bytes of the plan as the target is to get them.  Where there is no memory, or
 * the types of a side are not known, they are as they were recorded.
 */
WireSpan
player_translate(Player *player, uint64_t at, size_t len)
{
	Replay *replay = player->replay;
	WireSpan bytes = {replay->plan.bytes + at, len};

	buffer_reset(&replay->budget, &player->own, 0);
	if (!player->plan->knows_types ||
	    !buffer_append(&replay->budget, &player->own, bytes.data, bytes.len))
		return bytes;
	oids_translate(player->own.data, len, &replay->captured_types,
	               &replay->target_types[player->plan->conninfo]);
	return (WireSpan){player->own.data, len};
}

/*
 * Returns the request that is being sent, which was translated when it began.
 */
static WireSpan
request_of(const Player *player)
{
	const PlanExchange *exchange = &player->exchanges[player->at];
	const uint8_t *bytes = player->replay->plan.bytes + exchange->request_at;

	if (exchange->has_oids && player->own.len == exchange->request_len)
		bytes = player->own.data;
	return (WireSpan){bytes, exchange->request_len};
}

/*
 * Finds how far the exchange that is being sent may go before the next gate.
 */
static void
find_gate(Player *player)
{
	WireSpan request = request_of(player);
	uint8_t type;
	WireSpan body;
	size_t used;

	player->gate = GATE_NONE;
	while (player->allowed < request.len)
	{
		bool is_copy;

		used = outline_split(request, player->allowed, &type, &body);
		if (used == 0)
		{
			player->allowed = request.len; /* no sense as protocol: as it was recorded */
			return;
		}
		is_copy = type == 'd' || type == 'c' || type == 'f'; /* CopyData, CopyDone, CopyFail */
		if (is_copy && !player->in_copy)
		{
			player->in_copy = true;
			player->gate = GATE_COPY;
			return;
		}
		player->in_copy = is_copy;
		player->allowed += used;
		if (type == 'H' && player->allowed < request.len) /* Flush */
		{
			player->gate = GATE_FLUSH;
			return;
		}
	}
}

/*
 * Tells whether the gate is open: what the client waited for has come, or never
 * will.
 */
static bool
gate_is_open(const Player *player)
{
	const Tracker *tracker = &player->tracker;

	if (tracker->skipping || tracker->queue.count == 0)
		return true;
	if (player->gate == GATE_COPY)
		return tracker->copy_in;
	return tracker->queue.answered >= tracker->queue.owed;
}

/*
 * Tells whether the next exchange may begin.
 */
static bool
may_begin(Player *player)
{
	const Replay *replay = player->replay;

	/* what is rolled back goes one by one: each begins with what the one before left */
	if (replay->settings.rolls_back && player->done < player->at)
		return false;
	return player->exchanges[player->at].after < (int64_t) player->done && !replay->is_paused &&
	       !player->is_cancelling && !report_is_full(replay) && schedule_is_due(player) &&
	       order_may_send(player);
}

/*
 * Notes when an exchange began, and how late that was.
 */
static void
note_begin(Player *player)
{
	Replay *replay = player->replay;
	Moment *moment = &player->moments[player->at];
	int64_t late;

	moment->sent = clock_monotonic();
	player->gate = GATE_NONE;
	player->allowed = 0;
	player->in_copy = false;
	if (player->exchanges[player->at].has_oids)
		(void) player_translate(player, player->exchanges[player->at].request_at,
		                        player->exchanges[player->at].request_len);
	cancel_check(player);
	if (replay->settings.timing == TIMING_ASAP)
		return;
	moment->late = schedule_real(replay, schedule_at(replay, moment->sent) - moment->ready);
	if (moment->late < 0)
		moment->late = 0; /* a pause began a moment ago, and was heard of now */
	if (moment->late > replay->progress.late_us)
		replay->progress.late_us = moment->late;
	late = schedule_real(replay, moment->ready - player->exchanges[player->at].started_us);
	if (late > replay->progress.target_late_us)
		replay->progress.target_late_us = late;
}

/*
 * Takes notice that an exchange is sent, as far as it ever will be.
 */
void
player_note_sent(Player *player)
{
	uint32_t exchange = player->at++;

	player->offset = 0;
	player->sent++;
	player->replay->progress.sent++;
	order_sent(player, exchange);
	if (player->pieces.count > 0)
		judge_idle(
		    player); /* an answer was there before the rest of it: a COPY that failed at once */
}

/*
 * Returns the time for the tracker that a piece of a request is sent: it is enough that
 * none goes backwards, as nothing is told by it but what follows no answer.
 */
static int64_t
time_of_sending(const Player *player)
{
	int64_t began = player->moments[player->at].sent;

	return began > player->tracker.now ? began : player->tracker.now;
}

/*
 * Sends what may be sent of an exchange.  Returns whether it is sent to its end.
 */
static bool
send_exchange(Player *player)
{
	const PlanExchange *exchange = &player->exchanges[player->at];
	const uint8_t *request = request_of(player).data;

	while (player->offset < exchange->request_len)
	{
		ssize_t sent;

		if (player->offset == player->allowed)
		{
			if (player->gate != GATE_NONE && !gate_is_open(player))
				return false;
			find_gate(player);
			continue;
		}
		sent = player_send(player, request + player->offset, player->allowed - player->offset);
		if (sent < 0)
		{
			player_lose(player, "the connection was lost while sending");
			return false;
		}
		if (sent == 0)
			return false;
		tracker_frontend(&player->tracker, request + player->offset, (size_t) sent,
		                 time_of_sending(player));
		player->offset += (size_t) sent;
		player->sent_end += (size_t) sent;
	}
	player_note_sent(player);
	return true;
}

/*
 * Steps over an exchange that is not to be sent, once those before it have ended.
 */
static bool
step_over(Player *player)
{
	if (player->done < player->at)
		return false;
	player->moments[player->at].done = schedule_now(player->replay);
	player->at++;
	player->done++;
	return true;
}

/*
 * Goes on with the exchange that is next.  False: there is nothing to do now.
 */
static bool
step_exchange(Player *player)
{
	const PlanExchange *exchange = &player->exchanges[player->at];

	if (exchange->outcome != PLAN_SEND || exchange->request_len == 0)
		return step_over(player);
	if (player->moments[player->at].sent == 0)
	{
		if (!may_begin(player))
			return false;
		if (aside_begin_block(player))
			return true;
		note_begin(player);
	}
	return send_exchange(player);
}

/*
 * Sends what may be sent now.
 */
void
player_step(Player *player)
{
	while (player->state == PLAYER_RUNNING && !player->waits_to_write)
	{
		if (player->aside.kind != ASIDE_NONE || aside_begin(player))
		{
			if (!aside_send(player) || player->aside.kind != ASIDE_NONE)
				return;
		}
		else if (player->at == player->plan->count)
		{
			if (player->done == player->plan->count)
				player_end(player, NULL);
			return;
		}
		else if (!step_exchange(player))
			return;
	}
}

/*
 * Reads bytes.  Returns how many came; 0: none now; -1: the connection is over.
 */
static ssize_t
read_bytes(Player *player, uint8_t *data, size_t size)
{
	ssize_t got;

	if (player->ssl)
	{
		ERR_clear_error();
		got = SSL_read(player->ssl, data, (int) size);
		if (got > 0)
			return got;
		switch (SSL_get_error(player->ssl, (int) got))
		{
			case SSL_ERROR_WANT_WRITE:
				player->reads_when_written = true;
				event_add(player->write_event, NULL);
				return 0;
			case SSL_ERROR_WANT_READ:
				return 0;
			default:
				return -1;
		}
	}
	got = recv(player->fd, data, size, 0);
	if (got > 0)
		return got;
	return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : -1;
}

/*
 * Event: bytes of the target's have come.  What TLS holds decrypted is read before
 * the socket is waited for again.
 */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t data[READ_SIZE];
	Player *player = arg;
	ssize_t got = 0;

	(void) fd;
	(void) what;
	player->reads_when_written = false;
	if (player->writes_when_read)
		player->waits_to_write = player->writes_when_read = false;
	for (int i = 0; i < READS_A_TURN || (player->ssl && SSL_pending(player->ssl) > 0); i++)
	{
		got = read_bytes(player, data, sizeof(data));
		if (got <= 0)
			break;
		tracker_backend(&player->tracker, data, (size_t) got, clock_monotonic());
		if (!player->ssl && (size_t) got < sizeof(data))
			break;
	}
	judge_idle(player);
	if (!aside_check(player))
		return;
	if (player->tracker.desynchronised)
		player_lose(player, "what the target sent makes no sense as protocol");
	else if (got < 0)
		player_lose(player, "the target closed the connection");
	else
		player_step(player);
}
