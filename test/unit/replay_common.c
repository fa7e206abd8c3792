/*
 * replay_common.c
 *	  What several network processes of a replay have in common, one step after the
 *	  other: wake-ups, turns that do not come, the clock, the limits.
 */
#include "replay_stage.h"

/*
 * Tells whether a child was woken, and lets it look.
 */
static bool
was_woken(Child *child)
{
	struct pollfd fd = {common_wake_fd(&child->common), POLLIN, 0};

	if (poll(&fd, 1, 0) != 1)
		return false;
	common_woken(&child->common);
	return true;
}

/*
 * Passes and awaits in each order that two children can do it in.
 */
static void
test_wake(void)
{
	make_plan();
	make_children(2, (ReplaySettings){.ordering = ORDERING_COMMIT, .speed = 1});
	CHECK(common_await(&children[0].common, 1, 7));
	common_pass(&children[1].common, 0, 7);
	common_pass(&children[1].common, 1, 6);
	CHECK(!was_woken(&children[0]));
	common_pass(&children[1].common, 1, 7);
	CHECK(was_woken(&children[0]));
	CHECK(!was_woken(&children[0]) && !was_woken(&children[1]));
	common_pass(&children[1].common, 1, 7);
	CHECK(!was_woken(&children[0]));
	common_pass(&children[1].common, 1, 8);
	CHECK(!common_await(&children[0].common, 1, 8));
	for (int i = 0; i < 100000; i++) /* a pipe that is full blocks nobody */
		common_wake(&children[1].common, 0);
	CHECK(was_woken(&children[0]));
	free_children(2);
}

/*
 * Lets turns time out: who waits longest counts it, and all others go on as well.
 */
static void
test_timeout(void)
{
	int64_t start = clock_monotonic();

	make_plan();
	for (uint32_t i = 0; i < TOTAL; i++)
		exchanges[i].outcome = i % EXCHANGES == 0 && i < 4 * EXCHANGES ? PLAN_SEND : PLAN_SKIPPED;
	for (uint32_t i = 0; i < 4; i++)
		exchanges[i * EXCHANGES].turn_us = i;
	make_children(3, (ReplaySettings){.ordering = ORDERING_ARRIVAL,
	                                  .timing = TIMING_ASAP,
	                                  .speed = 1,
	                                  .order_timeout_us = 2000000});
	cast(&children[0], 1);
	cast(&children[1], 2);
	cast(&children[1], 3);
	for (uint32_t i = 1; i < 4; i++)
		CHECK(!order_may_send(&actors[i].player));
	for (uint32_t i = 0; i < 3; i++)
		order_tick(&children[i].replay, start + 1999999);
	CHECK(actors[1].player.is_waiting && actors[2].player.is_waiting);
	for (uint32_t i = 0; i < 3; i++)
		order_tick(&children[i].replay, start + 4000000);
	CHECK(children[0].replay.order.timeouts == 1 && children[1].replay.order.timeouts == 0);
	CHECK(!actors[1].player.is_waiting && actors[1].player.is_queued);
	CHECK(actors[2].player.is_waiting && actors[3].player.is_waiting);
	/* the first one is lost: its other turns pass at once */
	order_abandon(&actors[1].player, EXCHANGES);
	CHECK(was_woken(&children[1]));
	order_look(&children[1].replay);
	CHECK(!actors[2].player.is_waiting && actors[3].player.is_waiting);
	CHECK(order_may_send(&actors[2].player));
	/* the second one was not sent, and is not its own any more: who waits goes on all the same */
	order_abandon(&actors[3].player, 0);
	CHECK(!actors[3].player.is_waiting && children[1].replay.order.lanes[0].waiting_count == 0);
	free_children(3);
}

/*
 * Puts the clock forward: only when all have nothing to do, and then for all.
 */
static void
test_clock(void)
{
	LinkPace pace = {.speed = 10};
	int64_t now;

	make_plan();
	make_children(2, (ReplaySettings){.timing = TIMING_THINK, .speed = 1, .idle_max_us = 1000000});
	for (uint32_t i = 0; i < 2; i++)
	{
		cast(&children[i], i);
		children[i].replay.sessions = &actors[i].player;
		children[i].replay.next_session = SESSIONS;
		actors[i].player.moments[0] = (Moment){.ready = 0, .due = 100000000 - i * 50000000};
	}
	schedule_tick(&children[0].replay);
	CHECK(schedule_now(&children[0].replay) < 20000000); /* who knows what the other does */
	schedule_tick(&children[1].replay);
	now = schedule_now(&children[1].replay);
	CHECK(now >= 49000000 && now < 69000000 && actors[1].player.is_queued);
	now = clock_monotonic();
	CHECK(schedule_at(&children[0].replay, now) == schedule_at(&children[1].replay, now));
	CHECK(was_woken(&children[0]) && !actors[0].player.is_queued);
	schedule_look(&children[0].replay);
	CHECK(actors[0].player.is_queued);
	/* the second is at work: the first may be as idle as it likes */
	actors[0].player.is_queued = false;
	actors[1].player.moments[0].sent = 1;
	schedule_tick(&children[1].replay);
	schedule_tick(&children[0].replay);
	CHECK(schedule_now(&children[0].replay) < 90000000);
	/* another pace, of which one hears later than the other */
	pace.at = clock_monotonic();
	schedule_set(&children[0].replay, &pace);
	usleep(20000);
	schedule_set(&children[1].replay, &pace);
	now = clock_monotonic();
	CHECK(schedule_at(&children[0].replay, now) == schedule_at(&children[1].replay, now));
	children[0].replay.sessions = children[1].replay.sessions = NULL;
	free_children(2);
}

/*
 * Puts the clock forward where one waits for its turn, for another one that waits for
 * the clock; but not when that turn has come, even if nobody has noticed yet.
 */
static void
test_clock_waiting(void)
{
	CommonState *state;

	make_plan();
	for (uint32_t i = 0; i < TOTAL; i++)
	{
		exchanges[i].outcome = i % EXCHANGES == 0 && i < 2 * EXCHANGES ? PLAN_SEND : PLAN_SKIPPED;
		exchanges[i].turn_us = 2 - i / EXCHANGES;
	}
	make_children(2, (ReplaySettings){.ordering = ORDERING_ARRIVAL,
	                                  .timing = TIMING_THINK,
	                                  .speed = 1,
	                                  .idle_max_us = 1000000});
	state = children[0].common.state;
	for (uint32_t i = 0; i < 2; i++)
	{
		cast(&children[i], i);
		children[i].replay.sessions = &actors[i].player;
		children[i].replay.next_session = SESSIONS;
		actors[i].player.moments[0] = (Moment){.ready = 0, .due = i * 50000000};
	}
	CHECK(!order_may_send(&actors[0].player)); /* the second session is first */
	schedule_tick(&children[0].replay);
	schedule_tick(&children[1].replay);
	CHECK(atomic_load(&state->skipped) > 40000000);
	/* both are idle until the second goes on */
	actors[1].player.moments[0].due = 200000000;
	schedule_tick(&children[0].replay);
	CHECK(atomic_load(&state->children[0].idle_until) == INT64_MAX);
	order_sent(&actors[1].player, 0);
	actors[1].player.is_queued = false;
	schedule_tick(&children[1].replay);
	CHECK(atomic_load(&state->skipped) < 60000000 && was_woken(&children[0]));
	schedule_tick(&children[0].replay);
	CHECK(actors[0].player.is_queued && !actors[0].player.is_waiting);
	CHECK(atomic_load(&state->children[0].idle_until) == COMMON_BUSY);
	children[0].replay.sessions = children[1].replay.sessions = NULL;
	free_children(2);
}

/*
 * Begins sessions, of which so many may be open, in the plan's order.
 */
static void
test_limits(void)
{
	CommonState *state;

	make_plan();
	/* nobody answers there: they go on connecting */
	make_children(2, (ReplaySettings){.timing = TIMING_ASAP,
	                                  .speed = 1,
	                                  .max_sessions = 3,
	                                  .connect_attempts = 100,
	                                  .connect_delay_us = 60000000});
	state = children[0].common.state;
	children[0].replay.is_going = children[1].replay.is_going = true;
	schedule_start(&children[1].replay);
	CHECK(atomic_load(&state->live) == 0); /* its session is the second */
	schedule_start(&children[0].replay);
	CHECK(children[0].replay.live == 1 && was_woken(&children[1]));
	schedule_start(&children[1].replay);
	CHECK(children[1].replay.live == 1 && was_woken(&children[0]));
	schedule_start(&children[0].replay);
	CHECK(children[0].replay.live == 2 && was_woken(&children[1]));
	schedule_start(&children[1].replay);
	CHECK(children[1].replay.live == 1 && atomic_load(&state->begun) == 3);
	player_end(children[0].replay.sessions, NULL);
	CHECK(atomic_load(&state->live) == 2 && was_woken(&children[1]));
	schedule_start(&children[1].replay);
	CHECK(children[1].replay.live == 2 && atomic_load(&state->begun) == 4);
	free_children(2);
}

/*
 * Lets a child that a target took over write anything into the mapping: the others may
 * go early or late, and nothing else.
 */
static void
test_hostile(void)
{
	make_plan();
	make_children(2, (ReplaySettings){.ordering = ORDERING_COMMIT,
	                                  .timing = TIMING_THINK,
	                                  .speed = 1,
	                                  .idle_max_us = 1000,
	                                  .order_timeout_us = 1});
	for (uint32_t i = 0; i < SESSIONS; i++)
		cast(&children[i % 2], i);
	for (int round = 0; round < 300; round++)
	{
		uint8_t *bytes = (uint8_t *) children[0].common.state;
		Player *player = &actors[below(SESSIONS)].player;

		for (size_t i = 0; i < sizeof(CommonState) + COMMON_LANES * TOTAL; i++)
			bytes[i] = (uint8_t) below(round % 3 ? 256 : 2);
		if (player->at < EXCHANGES && player->exchanges[player->at].outcome == PLAN_SEND)
		{
			player->moments[player->at].ready = 0;
			if (!player->is_waiting && order_may_send(player))
				order_sent(player, player->at);
		}
		order_tick(player->replay, clock_monotonic() + round);
		schedule_tick(player->replay);
		schedule_look(player->replay);
		if (!player->is_waiting && player->at + 1 < EXCHANGES)
			order_ended(player, player->at++);
		common_woken(player->replay->common);
	}
	CHECK(children[0].replay.order.lanes[0].mark <= children[0].replay.order.lanes[0].count);
	free_children(2);
}

/*
 * Runs the tests.
 */
int
main(void)
{
	alarm(TEST_SECONDS);
	test_wake();
	test_timeout();
	test_clock();
	test_clock_waiting();
	test_limits();
	test_hostile();
	return finish();
}
