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
 * Returns the replay's clock.
 */
int64_t
schedule_now(const Replay *replay)
{
	int64_t passed = clock_monotonic() - replay->clock_at;

	return replay->clock_value + (int64_t) ((double) passed * replay->clock_rate);
}

/*
 * Begins the clock.
 */
void
schedule_begin(Replay *replay)
{
	replay->clock_at = clock_monotonic();
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

	while (replay->is_going && !replay->is_paused && replay->next_session < plan->session_count)
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
		player_open(replay, replay->next_session++);
	}
}

/*
 * Returns how long after its predecessor an exchange of the plan began.
 */
static int64_t
gap_before(const Player *player, const PlanExchange *exchange)
{
	int64_t limit = player->replay->settings.idle_max_us;
	int64_t before = exchange->after >= 0 ? player->exchanges[exchange->after].finished_us
	                                      : player->plan->ready_us;
	int64_t gap = exchange->started_us - before;

	if (gap < 0)
		gap = 0;
	return limit >= 0 && gap > limit ? limit : gap;
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
	int64_t now;
	int64_t open;

	if (replay->is_paused)
		return false;
	if (replay->settings.timing == TIMING_ASAP)
		return true;
	now = schedule_now(replay);
	if (moment->ready < 0)
	{
		open = exchange->after >= 0 ? player->moments[exchange->after].done : player->opened_at;
		moment->due = replay->settings.timing == TIMING_THINK ? open + gap_before(player, exchange)
		                                                      : exchange->started_us;
		moment->ready = moment->due > open ? moment->due : open;
	}
	if (moment->due <= now)
		return true;
	arm(replay, player->timer, moment->due);
	return false;
}
