/*
 * replay_order.c
 *	  The order of exchanges across sessions, kept by several network processes.
 *
 * The processes are threads here, so that ThreadSanitizer can watch them.  Who is not
 * woken waits for ever: the test's alarm ends it.  That the order was kept is found out
 * by comparing each exchange with every other one.
 */
#include "replay_stage.h"

/*
 * Tells whether an exchange must have waited for another one, by what docs/replay.md
 * says.
 */
static bool
must_wait(uint32_t ordering, const PlanExchange *one, const PlanExchange *other)
{
	if (ordering == ORDERING_ARRIVAL)
		return other->turn_us < one->turn_us || (other->turn_us == one->turn_us && other < one);
	if (other->transaction_status != 'I')
		return false;
	return (one->turn_us == one->started_us ? other->finished_us : other->turn_us) < one->turn_us;
}

/*
 * Counts the exchanges that were sent before another one that they must wait for.
 */
static uint32_t
count_early(uint32_t ordering)
{
	uint32_t early = 0;

	for (uint32_t i = 0; i < TOTAL; i++)
		for (uint32_t n = 0; sent_at[i] > 0 && n < TOTAL; n++)
		{
			uint32_t other =
			    ordering == ORDERING_ARRIVAL && sent_at[n] > 0 ? sent_at[n] : past_at[n];

			if (exchanges[n].outcome == PLAN_SEND &&
			    must_wait(ordering, &exchanges[i], &exchanges[n]))
				early += other == 0 || other > sent_at[i];
		}
	return early;
}

/*
 * Counts the exchanges that were to be sent and were not.
 */
static uint32_t
count_unsent(void)
{
	uint32_t unsent = 0;

	for (uint32_t i = 0; i < TOTAL; i++)
		unsent += exchanges[i].outcome == PLAN_SEND && sent_at[i] == 0;
	return unsent;
}

/*
 * Makes a plan of two sessions: one writes in a transaction that ends later, the other
 * one's single statement was answered after it, or did not even run beside it.  Returns
 * whether the first must wait for that.
 */
static bool
waits_for(int64_t started, int64_t finished, int64_t end)
{
	bool waits;

	make_plan();
	for (uint32_t i = 0; i < TOTAL; i++)
		exchanges[i].outcome = PLAN_SKIPPED;
	exchanges[0] = (PlanExchange){
	    .started_us = 1000, .finished_us = 2000, .turn_us = 2000, .transaction_status = 'T'};
	exchanges[1] = (PlanExchange){
	    .started_us = end, .finished_us = end + 10, .turn_us = end, .transaction_status = 'I'};
	exchanges[EXCHANGES] = (PlanExchange){.started_us = started,
	                                      .finished_us = finished,
	                                      .turn_us = finished,
	                                      .transaction_status = 'I'};
	make_children(1, (ReplaySettings){.ordering = ORDERING_COMMIT, .timing = TIMING_ASAP});
	cast(&children[0], 0);
	cast(&children[0], 1);
	waits = !order_may_send(&actors[0].player);
	order_ended(&actors[1].player, 0);
	CHECK(!actors[0].player.is_waiting);
	free_children(1);
	return waits;
}

/*
 * Finds what may have had the locks that one waited for, whose answer came before.
 */
static void
test_overtaken(void)
{
	CHECK(waits_for(500, 1500, 9000));      /* it had ended */
	CHECK(waits_for(500, 2100, 9000));      /* its answer was overtaken */
	CHECK(!waits_for(2000, 2100, 9000));    /* it began later */
	CHECK(!waits_for(500, 9000, 9000));     /* it may have waited for the transaction */
	CHECK(!waits_for(500, 500000, 900000)); /* no answer takes that long */
}

/*
 * Runs a child's loop; it is a thread's.
 */
static void *
run_thread(void *arg)
{
	Child *child = arg;

	if (child->left > 0)
		event_base_dispatch(child->replay.base);
	return NULL;
}

/*
 * Plays a plan by so many children; may lose some of its sessions on the way.
 */
static void
play(uint32_t ordering, uint32_t count, bool loses)
{
	make_plan();
	make_children(count, (ReplaySettings){.ordering = ordering, .timing = TIMING_ASAP, .speed = 1});
	for (uint32_t i = 0; i < SESSIONS; i++)
	{
		cast(&children[i % count], i);
		if (loses && i % 3 == 0)
			actors[i].lost_at = (uint32_t) below(EXCHANGES);
		replay_queue(&actors[i].player);
	}
	for (uint32_t i = 0; i < count; i++)
		CHECK(pthread_create(&children[i].thread, NULL, run_thread, &children[i]) == 0);
	for (uint32_t i = 0; i < count; i++)
		pthread_join(children[i].thread, NULL);
	CHECK(count_early(ordering) == 0);
	CHECK(loses || count_unsent() == 0);
	free_children(count);
}

/*
 * Passes, in a thread of its own, each other exchange as soon as somebody is about to
 * wait for it.
 */
static void *
run_passer(void *arg)
{
	const _Atomic uint32_t *asked = arg;

	for (uint32_t place = 0; place + 1 < TOTAL; place += 2)
	{
		uint32_t delay = (uint32_t) below(64);

		while (atomic_load(asked) <= place)
			;
		while (delay > 0)
			atomic_signal_fence(memory_order_seq_cst), delay--;
		common_pass(&children[1].common, 0, place);
	}
	return NULL;
}

/*
 * Waits for an exchange in the very moment in which it passes, again and again.  One
 * session has all exchanges; each other one is passed by the other child.
 */
static void
test_race(void)
{
	static _Atomic uint32_t asked;
	Player *player = &actors[0].player;

	make_plan();
	for (uint32_t i = 0; i < TOTAL; i++)
	{
		exchanges[i].outcome = PLAN_SEND;
		exchanges[i].turn_us = i;
	}
	make_children(2, (ReplaySettings){.ordering = ORDERING_ARRIVAL, .timing = TIMING_ASAP});
	cast(&children[0], 0);
	atomic_store(&asked, 0);
	CHECK(pthread_create(&children[1].thread, NULL, run_passer, &asked) == 0);
	for (player->at = 1; player->at < TOTAL; player->at += 2)
	{
		atomic_store(&asked, player->at);
		while (!order_may_send(player))
		{
			struct pollfd fd = {common_wake_fd(&children[0].common), POLLIN, 0};

			if (player->is_waiting && poll(&fd, 1, 5000) != 1)
			{
				CHECK(!"a wake-up is lost");
				break;
			}
			common_woken(&children[0].common);
			order_look(&children[0].replay);
		}
		order_sent(player, player->at);
	}
	pthread_join(children[1].thread, NULL);
	free_children(2);
}

/*
 * Lets sessions wait in any order, of which some stop waiting: the others go on one by
 * one, as their turns come.
 */
static void
test_waiting(void)
{
	static const uint32_t steps[] = {1, 5, 7, 11, 13, 17, 19, 23};
	uint32_t step = steps[below(8)]; /* no divisor in common with their number */
	bool waits[SESSIONS] = {false};

	make_plan();
	for (uint32_t i = 0; i < TOTAL; i++)
	{
		exchanges[i].outcome = i % EXCHANGES == 0 ? PLAN_SEND : PLAN_SKIPPED;
		exchanges[i].turn_us = i / EXCHANGES;
	}
	make_children(1, (ReplaySettings){.ordering = ORDERING_ARRIVAL, .timing = TIMING_ASAP});
	for (uint32_t i = 0; i < SESSIONS; i++)
		cast(&children[0], i);
	for (uint32_t n = 0, i = 0; n < SESSIONS; n++, i = (i + step) % SESSIONS)
		waits[i] = !order_may_send(&actors[i].player);
	CHECK(!waits[0] && waits[1] && waits[SESSIONS - 1]);
	for (int gone = 0; gone < 8; gone++)
	{
		int64_t i = below(SESSIONS);

		order_abandon(&actors[i].player, 0);
		waits[i] = false;
	}
	for (uint32_t n = 0; n + 1 < SESSIONS; n++)
	{
		order_sent(&actors[n].player, 0);
		for (uint32_t i = 0; i < SESSIONS; i++)
			CHECK(actors[i].player.is_waiting == (waits[i] && i > n + 1));
	}
	free_children(1);
}

/*
 * Runs the tests.
 */
int
main(void)
{
	alarm(TEST_SECONDS);
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_overtaken();
	for (int i = 0; i < 50 && failed == 0; i++)
		test_waiting();
	for (int i = 0; i < 50 && failed == 0; i++)
		test_race();
	for (uint32_t i = 0; i < 60 && failed == 0; i++)
		play(i % 2 ? ORDERING_COMMIT : ORDERING_ARRIVAL, 1 + i % MAX_CHILDREN, i % 5 == 0);
	return finish();
}
