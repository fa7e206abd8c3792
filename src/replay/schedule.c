/*
 * schedule.c
 *	  When things happen: the replay's clock, and what is due by it.
 *
 * The clock runs `speed` times as fast as the world's and stands still in a pause,
 * so a change of speed or a pause changes nothing that is in the plan.  Its zero is
 * the plan's.  As fast as possible, nothing waits for it.
 */
#include <math.h>

#include "relay/process.h"
#include "replay/child.h"

/*
 * Returns the replay's clock at a monotonic time since its last change.
 */
int64_t
schedule_at(const Replay *replay, int64_t monotonic)
{
	int64_t passed = monotonic - replay->clock_at;

	return replay->clock_value + (int64_t) ((double) passed * replay->clock_rate);
}

/*
 * Returns the replay's clock.
 */
int64_t
schedule_now(const Replay *replay)
{
	return schedule_at(replay, clock_monotonic());
}

/*
 * Turns a span of the replay's clock into one of the world's.
 */
int64_t
schedule_real(const Replay *replay, int64_t span)
{
	return (int64_t) ((double) span / replay->settings.speed);
}

/*
 * Begins the clock.
 */
void
schedule_begin(Replay *replay, int64_t zero)
{
	replay->clock_at = zero;
	replay->clock_value = 0;
	replay->clock_rate = replay->settings.speed;
}

/*
 * Changes speed, or pauses, or goes on.
 */
void
schedule_set(Replay *replay, bool is_paused, double speed)
{
	replay->clock_value = schedule_now(replay);
	replay->clock_at = clock_monotonic();
	replay->settings.speed = speed;
	replay->is_paused = is_paused;
	replay->clock_rate = is_paused ? 0 : speed;
	for (Player *player = replay->sessions; player; player = player->next)
		replay_queue(player);
	schedule_start(replay);
}

/*
 * Arms a timer for a moment of the replay's clock.  In a pause there is none; the
 * end of the pause arms it.
 */
static void
arm(Replay *replay, struct event *timer, int64_t value)
{
	double wait = (double) (value - schedule_now(replay)) / replay->clock_rate;
	struct timeval timeout;

	if (replay->is_paused)
		return;
	if (wait < 0)
		wait = 0;
	if (wait > 3600e6)
		wait = 3600e6; /* looks again then */
	wait = ceil(wait);
	timeout.tv_sec = (time_t) (wait / 1e6);
	timeout.tv_usec = (suseconds_t) (wait - (double) timeout.tv_sec * 1e6);
	evtimer_add(timer, &timeout);
}

/*
 * Returns how long to wait until the rate of connections allows another one.
 */
static int64_t
until_connect(const Replay *replay)
{
	uint32_t rate = replay->settings.connect_rate;
	int64_t next;

	if (rate == 0 || replay->last_connect == 0)
		return 0;
	next = replay->last_connect + 1000000 / rate;
	return next - clock_monotonic();
}

/*
 * Begins the sessions that are due, as many as may be open.
 */
void
schedule_start(Replay *replay)
{
	const ReplayPlan *plan = &replay->plan;

	while (replay->is_going && !replay->is_paused && !replay->is_cancelled &&
	       replay->next_session < plan->session_count)
	{
		const PlanSession *next = &plan->sessions[replay->next_session];
		int64_t wait = until_connect(replay);

		if (replay->live >= replay->settings.max_sessions || replay->connecting >= MAX_CONNECTING)
			return; /* one that goes on, or ends, calls again */
		if (wait > 0)
		{
			struct timeval timeout = {wait / 1000000, (suseconds_t) (wait % 1000000)};

			evtimer_add(replay->start_timer, &timeout);
			return;
		}
		if (replay->settings.timing != TIMING_ASAP && schedule_now(replay) < next->started_us)
		{
			arm(replay, replay->start_timer, next->started_us);
			return;
		}
		replay->last_connect = clock_monotonic();
		player_open(replay, replay->next_session);
		replay->next_session += replay->settings.child_count;
	}
}

/*
 * Returns the longest pause, on the replay's clock; -1: any.
 */
static int64_t
longest_pause(const Replay *replay)
{
	if (replay->settings.idle_max_us < 0)
		return -1;
	return (int64_t) ((double) replay->settings.idle_max_us * replay->settings.speed);
}

/*
 * Returns how long after its predecessor an exchange of the plan began.
 */
static int64_t
gap_before(const Player *player, const PlanExchange *exchange)
{
	int64_t limit = longest_pause(player->replay);
	int64_t before = exchange->after >= 0 ? player->exchanges[exchange->after].finished_us
	                                      : player->plan->ready_us;
	int64_t gap = exchange->started_us - before;

	if (gap < 0)
		gap = 0;
	return limit >= 0 && gap > limit ? limit : gap;
}

/*
 * Returns when the next exchange of a session is due, by the timing.  Who catches up
 * keeps to the record's clock as long as that can be done with pauses that are so
 * many times as short.
 */
static int64_t
find_due(const Player *player, const PlanExchange *exchange, int64_t open)
{
	const ReplaySettings *settings = &player->replay->settings;
	int64_t gap = gap_before(player, exchange);
	int64_t soonest;

	switch (settings->timing)
	{
		case TIMING_THINK:
			return open + gap;
		case TIMING_CATCH_UP:
			soonest = open + (int64_t) ((double) gap / settings->catch_up);
			return soonest > exchange->started_us ? soonest : exchange->started_us;
		default:
			return exchange->started_us;
	}
}

/*
 * Tells whether the next exchange of a session is due.  Notes when it was, and when
 * it could have been sent, as lateness is counted from there.
 */
bool
schedule_is_due(Player *player)
{
	Replay *replay = player->replay;
	const PlanExchange *exchange = &player->exchanges[player->at];
	Moment *moment = &player->moments[player->at];
	int64_t open;

	if (replay->is_paused)
		return false;
	if (replay->settings.timing == TIMING_ASAP)
		return true;
	if (moment->ready < 0)
	{
		open = exchange->after >= 0 ? player->moments[exchange->after].done : player->opened_at;
		if (open < player->opened_at)
			open = player->opened_at; /* it has another connection since */
		moment->due = find_due(player, exchange, open);
		moment->ready = moment->due > open ? moment->due : open;
	}
	if (moment->due <= schedule_now(replay))
		return true;
	arm(replay, player->timer, moment->due);
	return false;
}

/*
 * Finds when a session wants to go on.  False: something of it is in flight, or
 * waits for something else than the clock.
 */
static bool
find_next(const Player *player, int64_t *next)
{
	const Moment *moment = &player->moments[player->at];

	if (player->state != PLAYER_RUNNING || player->aside.kind != ASIDE_NONE ||
	    player->is_cancelling || player->is_queued || player->done < player->at)
		return false;
	if (player->at < player->plan->count &&
	    (moment->sent != 0 || moment->ready < 0 || player->is_waiting))
		return false;
	if (player->at < player->plan->count && moment->due < *next)
		*next = moment->due;
	return true;
}

/*
 * Skips what idle_max does not allow: where every session waits for the clock, it is
 * put forward.
 */
void
schedule_tick(Replay *replay)
{
	int64_t limit = longest_pause(replay);
	int64_t next = INT64_MAX;
	int64_t skipped;

	if (limit < 0 || replay->is_paused || replay->settings.timing == TIMING_ASAP)
		return;
	for (Player *player = replay->sessions; player; player = player->next)
		if (!find_next(player, &next))
			return;
	if (replay->next_session < replay->plan.session_count &&
	    replay->plan.sessions[replay->next_session].started_us < next)
		next = replay->plan.sessions[replay->next_session].started_us;
	skipped = next - schedule_now(replay) - limit;
	if (next == INT64_MAX || skipped <= 0)
		return;
	replay->clock_value += skipped;
	for (Player *player = replay->sessions; player; player = player->next)
		replay_queue(player);
	schedule_start(replay);
}
