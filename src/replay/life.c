/*
 * life.c
 *	  A session's begin, its losses, and its end.
 *
 * A session that loses its connection has lost what it made there: transaction,
 * prepared statements, temporary tables, settings.  Told to reconnect it goes on
 * behind the transaction that was lost, with what follows from the loss named as
 * such.  Attempts count from the last answer, so a target that lets in and closes
 * again is not asked for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/process.h"
#include "replay/child.h"

#define INCOMPLETE_GRACE_US 1000000

/*
 * Timer: connects again, or looks whether something is due now.
 */
static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	Player *player = arg;

	(void) fd;
	(void) what;
	if (player->state == PLAYER_CONNECTING)
		connect_begin(player);
	else
		player_step(player);
}

/*
 * Opens a session of the plan: begins to connect.
 */
void
player_open(Replay *replay, uint32_t index)
{
	const PlanSession *plan = &replay->plan.sessions[index];
	Player *player = calloc(1, sizeof(Player));

	if (!player || !(player->moments = calloc(plan->count + 1, sizeof(Moment))))
	{
		report_text(replay, LINK_REFUSED, "out of memory");
		report_end(replay);
		return;
	}
	player->replay = replay;
	player->plan = plan;
	player->exchanges = replay->plan.exchanges + plan->first;
	player->index = index;
	player->fd = -1;
	player->status = 'I';
	player->root_no = player->lost_no = -1;
	for (uint32_t i = 0; i < plan->count; i++)
		player->moments[i].ready = -1;
	player->timer = evtimer_new(replay->base, on_timer, player);
	tracker_init(&player->tracker, &replay->env);
	player->next = replay->sessions;
	if (replay->sessions)
		replay->sessions->prev = player;
	replay->sessions = player;
	replay->live++;
	connect_begin(player);
}

/*
 * Notes that a session begins to send, for who resumes the run after its abort: what
 * the worker has not stored by then is lost, this is not.  Where it cannot be noted the
 * run ends, as the session could be run twice.
 */
static void
note_begun(const Player *player)
{
	int64_t id = player->plan->session_id;

	if (player->replay->begun < 0)
		return;
	errno = ENOSPC; /* what a part of it means */
	if (write(player->replay->begun, &id, sizeof(id)) == (ssize_t) sizeof(id))
		return;
	report_text(player->replay, LINK_REFUSED, "could not note that session %lld has begun: %s",
	            (long long) id, strerror(errno));
	report_end(player->replay);
}

/*
 * Begins to send: the login is through.
 */
void
player_run(Player *player)
{
	Replay *replay = player->replay;
	LinkSession record = {.session_id = player->plan->session_id, .state = LINK_SESSION_RUNNING};

	player->state = PLAYER_RUNNING;
	player->opened_at = schedule_now(replay);
	player_attach(player);
	if (player->losses == 0)
	{
		note_begun(player);
		report_put(replay, LINK_SESSION, &record, sizeof(record), NULL, 0);
	}
	replay_queue(player);
}

/*
 * Closes a session's connection, and forgets what was on it.
 */
static void
disconnect(Player *player)
{
	struct event **events[] = {&player->io_event, &player->read_event, &player->write_event};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
	{
		if (*events[i])
			event_free(*events[i]);
		*events[i] = NULL;
	}
	if (player->conn)
		PQfinish(player->conn); /* says Terminate first */
	player->conn = NULL;
	player->ssl = NULL;
	player->fd = -1;
	tracker_end(&player->tracker, clock_monotonic());
	tracker_free(&player->tracker);
	buffer_free(&player->replay->budget, &player->pieces.bytes);
	buffer_free(&player->replay->budget, &player->own);
	player->pieces.count = 0;
}

/*
 * Frees what a session holds.
 */
static void
release(Player *player)
{
	disconnect(player);
	cancel_forget(player);
	event_free(player->timer);
	if (player->cancel_timer)
		event_free(player->cancel_timer);
	player->timer = player->cancel_timer = NULL;
	free(player->moments);
	player->moments = NULL;
}

/*
 * Counts what a session was to send and did not.
 */
static uint32_t
count_left(const Player *player)
{
	uint32_t left = player->passed;

	for (uint32_t i = player->at; i < player->plan->count; i++)
		left += player->exchanges[i].outcome == PLAN_SEND;
	return left;
}

/*
 * Reports how a session ended.
 */
static void
report_session(Player *player, const char *reason)
{
	LinkSession record = {.session_id = player->plan->session_id,
	                      .state = reason ? LINK_SESSION_LOST : LINK_SESSION_FINISHED,
	                      .sent = player->sent,
	                      .left = count_left(player)};
	char text[128];

	if (!reason && player->losses > 0)
	{
		snprintf(text, sizeof(text), "its connection was lost and made again, %u times",
		         player->losses);
		reason = text;
	}
	report_put(player->replay, LINK_SESSION, &record, sizeof(record), reason,
	           reason ? strlen(reason) : 0);
}

/*
 * Ends a player; with a reason it was lost.
 */
void
player_end(Player *player, const char *reason)
{
	Replay *replay = player->replay;

	if (player->state == PLAYER_ENDED)
		return;
	connect_forget(player);
	/* where it was to connect again, its loss has been told */
	if (reason && !replay->is_cancelled && (player->state == PLAYER_RUNNING || player->losses == 0))
		judge_broken(player, VERDICT_SESSION_LOST, reason);
	report_session(player, reason);
	for (uint32_t i = player->done; i < player->plan->count; i++)
		cancel_missed(player, i);
	order_abandon(player, player->plan->count);
	player->state = PLAYER_ENDED;
	release(player);
	if (player->next)
		player->next->prev = player->prev;
	if (player->prev)
		player->prev->next = player->next;
	else
		replay->sessions = player->next;
	replay->live--;
	replay->ended++;
	schedule_ended(replay);
	if (!player->is_queued)
		free(player);
	event_active(replay->kick, 0, 0);
}

/*
 * Finds where a session can go on without what was on its connection: at the next
 * exchange that began, in the record, outside of a transaction.
 */
static uint32_t
find_restart(const Player *player)
{
	uint32_t at = player->at;

	while (at > 0 && at < player->plan->count)
	{
		char status = player->exchanges[at - 1].transaction_status;

		if (status != 'T' && status != 'E')
			break;
		at++;
	}
	return at;
}

/*
 * Passes over the exchanges that went with a connection.
 */
static void
pass_over(Player *player, uint32_t restart)
{
	order_abandon(player, restart);
	for (; player->at < restart; player->at++)
	{
		cancel_missed(player, player->at);
		player->passed += player->exchanges[player->at].outcome == PLAN_SEND;
		player->moments[player->at].done = schedule_now(player->replay);
	}
	player->done = player->at;
	player->moments[restart] = (Moment){.ready = -1};
	player->live_end = player->sent_end = player->done_end;
}

/*
 * Takes notice that the connection is lost: the session goes on with another one, or
 * ends.
 */
void
player_lose(Player *player, const char *reason)
{
	Replay *replay = player->replay;
	const ReplaySettings *settings = &replay->settings;
	struct timeval delay = {settings->connect_delay_us / 1000000,
	                        (suseconds_t) (settings->connect_delay_us % 1000000)};
	uint32_t restart;

	if (player->state == PLAYER_RUNNING && player->done == player->plan->count)
	{
		player_end(player, NULL); /* it has all that it wanted */
		return;
	}
	if (player->state != PLAYER_RUNNING || !settings->reconnects || replay->is_cancelled ||
	    ++player->attempts >= settings->connect_attempts)
	{
		player_end(player, reason);
		return;
	}
	judge_broken(player, VERDICT_SESSION_LOST, reason);
	restart = find_restart(player);
	if (restart >= player->plan->count)
	{
		player_end(player, reason);
		return;
	}
	pass_over(player, restart);
	/* what was made on the connection is gone, whatever the loss was of */
	cause_lost(player);
	disconnect(player);
	tracker_init(&player->tracker, &replay->env);
	player->aside.kind = ASIDE_NONE;
	player->is_wrapped = false;
	player->status = 'I';
	player->prelude_said = false;
	player->losses++;
	player->state = PLAYER_CONNECTING;
	player->failed_at = clock_monotonic();
	evtimer_add(player->timer, &delay);
}

/*
 * Looks at an exchange in flight that takes too long.  An answer that was not complete
 * when it was recorded is not waited for much longer than it was then.
 */
static void
check_exchange(Player *player, int64_t now)
{
	const Replay *replay = player->replay;
	const PlanExchange *exchange = &player->exchanges[player->done];
	int64_t passed = now - player->moments[player->done].sent;

	if (!exchange->is_complete && player->done < player->at &&
	    passed > exchange->finished_us - exchange->started_us + INCOMPLETE_GRACE_US)
	{
		judge_broken(player, VERDICT_COUNT, NULL);
		player_end(player, NULL);
	}
	else if (passed > replay->settings.exchange_timeout_us)
	{
		report_text(player->replay, LINK_NOTE,
		            "session %lld, exchange %lld: no answer in %lld ms, its connection is given up",
		            (long long) player->plan->session_id, (long long) exchange->exchange_no,
		            (long long) (replay->settings.exchange_timeout_us / 1000));
		judge_broken(player, VERDICT_TIMEOUT, "no answer in time");
		player_lose(player, "an exchange timed out");
	}
}

/*
 * Looks for what takes too long.
 */
void
player_check(Player *player, int64_t now)
{
	const ReplaySettings *settings = &player->replay->settings;

	if (player->state == PLAYER_CONNECTING || player->state == PLAYER_CHECKING)
		connect_check(player, now);
	else if (player->state != PLAYER_RUNNING)
		return;
	else if (player->aside.kind != ASIDE_NONE)
	{
		if (now - player->aside.began > settings->exchange_timeout_us)
			player_lose(player, "what goes before its exchanges timed out");
	}
	else if (player->done < player->plan->count && player->moments[player->done].sent != 0)
		check_exchange(player, now);
}
