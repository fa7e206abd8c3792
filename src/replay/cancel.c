/*
 * cancel.c
 *	  Recorded cancel requests, each sent while the target works on the exchange that it
 *	  hit then, as long after that began as it was recorded.
 *
 * libpq's call blocks, and may in a process of its own: it is made to be safe in a
 * signal handler, so it is behind a fork.  Until the target has taken the request the
 * session sends nothing new, so that it cannot hit what comes next.  A request whose
 * exchange has ended before is not sent.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/process.h"
#include "replay/child.h"

#define CANCEL_SECONDS 10 /* a request is given up then */

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
 * Sends a request, in a process of its own, and ends that.
 */
static void
request(Replay *replay, PGconn *conn)
{
	char message[256];
	PGcancel *cancel = PQgetCancel(conn);

	/* what others watch the end of must not stay open here */
	close(replay->link);
	for (Player *player = replay->sessions; player; player = player->next)
		if (player->fd >= 0)
			close(player->fd);
	signal(SIGALRM, SIG_DFL);
	alarm(CANCEL_SECONDS);
	_exit(cancel && PQcancel(cancel, message, sizeof(message)) ? 0 : 1);
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
	cancel->pid = fork();
	if (cancel->pid == 0)
		request(replay, player->conn);
	if (cancel->pid < 0)
	{
		free(cancel);
		return; /* it is missed when the exchange ends */
	}
	cancel->player = player;
	cancel->session_id = exchange->cancel_session_id;
	cancel->exchange_no = exchange->cancel_exchange_no;
	cancel->sent_at = clock_monotonic();
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

/*
 * Takes notice that a request's process has ended.
 */
static void
finish(Replay *replay, const Cancel *cancel, int status)
{
	bool is_sent = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	report(replay, cancel->session_id, cancel->exchange_no, cancel->sent_at,
	       is_sent ? NULL : "the target did not take the cancel request");
	if (!cancel->player)
		return;
	cancel->player->is_cancelling = false;
	cancel_check(cancel->player);
	replay_queue(cancel->player);
}

/*
 * Event: a process has ended.
 */
static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	Replay *replay = arg;
	Cancel **at = &replay->cancels;

	(void) fd;
	(void) what;
	while (*at)
	{
		Cancel *cancel = *at;
		int status;

		if (waitpid(cancel->pid, &status, WNOHANG) != cancel->pid)
		{
			at = &cancel->next;
			continue;
		}
		*at = cancel->next;
		finish(replay, cancel, status);
		free(cancel);
	}
	event_active(replay->kick, 0, 0);
}

/*
 * Watches for the ends of requests.
 */
void
cancel_start(Replay *replay)
{
	replay->reaper = evsignal_new(replay->base, SIGCHLD, on_child, replay);
	event_add(replay->reaper, NULL);
}
