/*
 * cancel.c
 *	  Recorded cancel requests, each sent while the target works on the exchange that it
 *	  hit then, as long after that began as it was recorded.
 *
 * libpq's call blocks, so a helper makes it.  From libpq 17 on it goes as the session's
 * connection does, with TLS where that has it; before that it goes in the clear.  Until
 * the target has taken the request the session sends nothing new, so that it cannot hit
 * what comes next.  A request whose exchange has ended before is not sent.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/process.h"
#include "replay/child.h"

#define CANCEL_US 10000000 /* a request is given up then */

/*
 * Reports what became of a cancel request.
 */
static void
report(Replay *replay, int64_t session_id, int64_t exchange_no, int64_t sent_at, const char *reason)
{
	LinkExchange exchange = {.session_id = session_id,
	                         .exchange_no = exchange_no,
	                         .sent_at = clock_wall() - (clock_monotonic() - sent_at),
	                         .late_us = -1,
	                         .target_late_us = -1};
	LinkSession session = {.session_id = session_id,
	                       .state = reason ? LINK_SESSION_LOST : LINK_SESSION_FINISHED,
	                       .sent = !reason,
	                       .left = reason != NULL};

	if (!reason)
	{
		report_put(replay, LINK_EXCHANGE, &exchange, sizeof(exchange), NULL, 0);
		replay->progress.sent++;
	}
	report_put(replay, LINK_SESSION, &session, sizeof(session), reason,
	           reason ? strlen(reason) : 0);
}

/*
 * Sends a request; runs in a helper.
 */
static bool
request(void *arg, char *answer, size_t size)
{
	PGconn *conn = ((Cancel *) arg)->conn;
#ifdef LIBPQ_HAS_ASYNC_CANCEL
	PGcancelConn *cancel = PQcancelCreate(conn);
	bool is_sent = cancel && PQcancelBlocking(cancel);

	snprintf(answer, size, "%s", cancel ? PQcancelErrorMessage(cancel) : "out of memory");
	return is_sent;
#else
	PGcancel *cancel = PQgetCancel(conn);

	snprintf(answer, size, "it has no secret key");
	return cancel && PQcancel(cancel, answer, (int) size);
#endif
}

/*
 * Takes notice that a helper has ended.
 */
static void
finish(void *arg, bool is_sent, const char *answer)
{
	Cancel *cancel = arg;
	Replay *replay = cancel->replay;
	Cancel **at = &replay->cancels;
	char reason[LINK_TEXT / 2];

	snprintf(reason, sizeof(reason), "the target did not take the cancel request: %s", answer);
	report(replay, cancel->session_id, cancel->exchange_no, cancel->sent_at,
	       is_sent ? NULL : reason);
	while (*at != cancel)
		at = &(*at)->next;
	*at = cancel->next;
	if (cancel->player)
	{
		cancel->player->is_cancelling = false;
		cancel_check(cancel->player);
		replay_queue(cancel->player);
	}
	free(cancel);
	event_active(replay->kick, 0, 0);
}

/*
 * Starts a request for the exchange that the target works on.
 */
static void
start(Player *player)
{
	Replay *replay = player->replay;
	const PlanExchange *exchange = &player->exchanges[player->done];
	Cancel *cancel = calloc(1, sizeof(Cancel));

	if (!cancel)
		return;
	*cancel = (Cancel){.conn = player->conn,
	                   .replay = replay,
	                   .player = player,
	                   .session_id = exchange->cancel_session_id,
	                   .exchange_no = exchange->cancel_exchange_no,
	                   .sent_at = clock_monotonic()};
	if (!helper_start(replay, CANCEL_US, request, finish, cancel))
	{
		free(cancel);
		return; /* it is missed when the exchange ends */
	}
	cancel->next = replay->cancels;
	replay->cancels = cancel;
	player->is_cancelling = true;
	player->moments[player->done].is_cancelled = true;
}

/*
 * Timer: it is time for a request.
 */
static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	cancel_check(arg);
}

/*
 * Sends, when it is time, the cancel request for the exchange that the target works on.
 */
void
cancel_check(Player *player)
{
	const Replay *replay = player->replay;
	const PlanExchange *exchange = &player->exchanges[player->done];
	const Moment *moment = &player->moments[player->done];
	double speed = replay->settings.timing == TIMING_ASAP ? 1 : replay->settings.speed;
	struct timeval timeout;
	int64_t wait;

	if (player->done >= player->plan->count || exchange->cancel_us < 0 || moment->sent == 0 ||
	    moment->is_cancelled || player->is_cancelling)
		return;
	wait = (int64_t) ((double) exchange->cancel_us / speed) - (clock_monotonic() - moment->sent);
	if (wait <= 0)
	{
		start(player);
		return;
	}
	if (!player->cancel_timer)
		player->cancel_timer = evtimer_new(replay->base, on_timer, player);
	timeout.tv_sec = (time_t) (wait / 1000000);
	timeout.tv_usec = (suseconds_t) (wait % 1000000);
	evtimer_add(player->cancel_timer, &timeout);
}

/*
 * Takes notice that an exchange has ended, or is never sent: its request is missed,
 * unless it was sent.
 */
void
cancel_missed(Player *player, uint32_t number)
{
	const PlanExchange *exchange = &player->exchanges[number];

	if (exchange->outcome == PLAN_SEND && exchange->cancel_us >= 0 &&
	    !player->moments[number].is_cancelled)
		report(player->replay, exchange->cancel_session_id, exchange->cancel_exchange_no, 0,
		       "the exchange that it is to cancel was not in flight");
}

/*
 * Lets no request remember a session that ends.
 */
void
cancel_forget(Player *player)
{
	for (Cancel *cancel = player->replay->cancels; cancel; cancel = cancel->next)
		if (cancel->player == player)
			cancel->player = NULL;
}
