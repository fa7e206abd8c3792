/*
 * schedule.c
 *	  When things happen: the replay's clock, and what is due by it.
 *
 * The clock runs `speed` times as fast as the world's and stands still in a pause,
 * so a change of speed or a pause changes nothing that is in the plan.  Its zero is
 * the plan's.  As fast as possible, nothing waits for it.
 *
 * All children of a run have the same clock: a change of its pace is from a moment on
 * that the worker names, and what it is put forward is in common.h.  So are the limits:
 * sessions begin in the plan's order, whosever they are, and each child that begins or
 * ends one wakes the child whose session is next.
 */
#include <math.h>
#include <sys/resource.h>

#include "relay/process.h"
#include "replay/child.h"

#define FILES_BESIDE 56 /* that are not of sessions: helpers, link, event loop, certificates */

/*
 * Returns what the clock would be at a monotonic time, had it not been put forward.
 */
static int64_t
clock_at(const Replay *replay, int64_t at)
{
	return replay->clock_value + (int64_t) ((double) (at - replay->clock_at) * replay->clock_rate);
}

/*
 * Returns the replay's clock at a monotonic time since its pace last changed.
 */
int64_t
schedule_at(const Replay *replay, int64_t monotonic)
{
	return clock_at(replay, monotonic) +
	       atomic_load_explicit(&replay->common->state->skipped, memory_order_relaxed);
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
 * Lets all sessions look at the clock again.
 */
static void
step_all(Replay *replay)
{
	for (Player *player = replay->sessions; player; player = player->next)
		replay_queue(player);
	schedule_start(replay);
}

/*
 * Changes speed, or pauses, or goes on.
 */
void
schedule_set(Replay *replay, const LinkPace *pace)
{
	replay->clock_value = clock_at(replay, pace->at);
	replay->clock_at = pace->at;
	replay->settings.speed = pace->speed;
	replay->is_paused = pace->is_paused;
	replay->clock_rate = pace->is_paused ? 0 : pace->speed;
	step_all(replay);
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
until_connect(const Replay *replay, int64_t last)
{
	uint32_t rate = replay->settings.connect_rate;

	if (rate == 0 || last == 0)
		return 0;
	return last + 1000000 / rate - clock_monotonic();
}

/*
 * Takes the right to connect now, which all children share.  Returns how long to wait
 * until there is one; not above 0: it is taken.
 */
int64_t
schedule_claim_connect(Replay *replay)
{
	_Atomic int64_t *connected = &replay->common->state->last_connect;
	int64_t last = atomic_load(connected);
	int64_t wait;

	do
		wait = until_connect(replay, last);
	while (wait <= 0 && !atomic_compare_exchange_weak(connected, &last, clock_monotonic()));
	return wait;
}

/*
 * Wakes the child whose session is next, if that is another one.
 */
static void
wake_next(const Replay *replay)
{
	const Common *common = replay->common;
	uint32_t next = atomic_load(&common->state->begun) % common->child_count;

	if (next != common->own)
		common_wake(common, next);
}

/*
 * Begins this child's next session, which is the run's.
 */
static void
begin_next(Replay *replay)
{
	CommonState *state = replay->common->state;
	uint32_t session = replay->next_session;

	replay->next_session += replay->common->child_count;
	atomic_fetch_add(&state->live, 1);
	atomic_store(&state->begun, session + 1);
	wake_next(replay);
	player_open(replay, session);
}

/*
 * Returns how many sessions this process can have open, by the files that it may open.
 */
static uint32_t
most_sessions(const Replay *replay)
{
	rlim_t others = FILES_BESIDE + 2 * (rlim_t) replay->common->child_count;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > UINT32_MAX)
		return UINT32_MAX;
	return limit.rlim_cur > others ? (uint32_t) (limit.rlim_cur - others) : 1;
}

/*
 * Tells whether one more session may be open: fewer than were asked for, and than this
 * process has files for.  Who waits goes on when one ends.
 */
static bool
has_place(Replay *replay)
{
	if (replay->most_sessions == 0)
		replay->most_sessions = most_sessions(replay);
	if (replay->live >= replay->most_sessions && !replay->told_most_sessions)
	{
		replay->told_most_sessions = true;
		report_text(replay, LINK_NOTE,
		            "no more than %u sessions are open at one time in a network process: it may"
		            " open no more files",
		            replay->most_sessions);
	}
	return replay->live < replay->most_sessions &&
	       atomic_load(&replay->common->state->live) < replay->settings.max_sessions;
}

/*
 * Begins the sessions that are due, as many as may be open.
 */
void
schedule_start(Replay *replay)
{
	const ReplayPlan *plan = &replay->plan;
	CommonState *state = replay->common->state;

	connect_next(replay);
	while (replay->is_going && !replay->is_paused && !replay->is_cancelled &&
	       replay->next_session < plan->session_count)
	{
		const PlanSession *next = &plan->sessions[replay->next_session];
		int64_t wait = until_connect(replay, atomic_load(&state->last_connect));

		if (atomic_load(&state->begun) != replay->next_session)
			return; /* who begins the one before wakes this child */
		if (!has_place(replay) || replay->connecting >= MAX_CONNECTING || replay->first_to_connect)
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
		begin_next(replay);
	}
}

/*
 * Takes notice that a session has ended.
 */
void
schedule_ended(Replay *replay)
{
	atomic_fetch_sub(&replay->common->state->live, 1);
	wake_next(replay);
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
 * Finds when a session wants to go on.  False: something of it is in flight.  Who waits
 * for its turn is idle: it goes on when another one does.
 */
static bool
find_next(const Player *player, int64_t *next)
{
	const Moment *moment = &player->moments[player->at];

	if (player->state != PLAYER_RUNNING || player->aside.kind != ASIDE_NONE ||
	    player->is_cancelling || player->is_queued || player->done < player->at)
		return false;
	if (player->is_waiting)
		return true;
	if (player->at < player->plan->count && (moment->sent != 0 || moment->ready < 0))
		return false;
	if (player->at < player->plan->count && moment->due < *next)
		*next = moment->due;
	return true;
}

/*
 * Finds until when this child has nothing to do.
 */
static int64_t
find_idle(const Replay *replay)
{
	int64_t next = INT64_MAX;

	for (const Player *player = replay->sessions; player; player = player->next)
		if (!find_next(player, &next))
			return COMMON_BUSY;
	if (replay->next_session < replay->plan.session_count &&
	    replay->plan.sessions[replay->next_session].started_us < next)
		next = replay->plan.sessions[replay->next_session].started_us;
	return next;
}

/*
 * Looks whether the clock was put forward.
 */
void
schedule_look(Replay *replay)
{
	int64_t skipped = atomic_load(&replay->common->state->skipped);

	if (skipped == replay->clock_skipped)
		return;
	replay->clock_skipped = skipped;
	step_all(replay);
}

/*
 * Skips what idle_max does not allow: where every session, of all children, waits for
 * the clock, or for one that does, it is put forward.  A child that said it is idle until
 * some time, and has gone on since, has done so as that time has come, and then nothing
 * is skipped; or as another one has passed what it awaits, who then said that it is
 * busy: unless it passed that before, which is why it is looked for again.
 */
void
schedule_tick(Replay *replay)
{
	Common *common = replay->common;
	int64_t limit = longest_pause(replay);
	int64_t before = atomic_load(&common->state->skipped);
	int64_t next;
	int64_t span;

	if (limit < 0 || replay->is_paused || replay->settings.timing == TIMING_ASAP)
		return;
	common_say_idle(common, find_idle(replay));
	order_look(replay);
	if (find_idle(replay) == COMMON_BUSY)
		common_say_idle(common, COMMON_BUSY);
	next = common_idle_until(common);
	if (next == COMMON_BUSY || next == INT64_MAX)
		return;
	span = next - schedule_now(replay) - limit;
	if (span <= 0 || !common_put_forward(common, before, span))
		return;
	common_wake_all(common);
	schedule_look(replay);
}
