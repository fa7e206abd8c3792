/*
 * replay_order.c
 *	  What several network processes of a replay have in common: the order of their
 *	  exchanges, their clock, and how many sessions they open.
 *
 * The processes are threads here, each with an event loop and a view of the mapping of
 * its own, so that ThreadSanitizer can watch them.  They do no network: an exchange is
 * sent when order.c says so, and ends a turn of the loop later.  Nothing ticks, so a
 * wake-up that is lost, or not sent, is one for ever: the test's alarm ends it.  That
 * the order was kept is found out by comparing each exchange with every other one.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checks.h"
#include "relay/process.h"
#include "replay/child.h"

#define TEST_SECONDS 50
#define MAX_CHILDREN 4
#define SESSIONS 24
#define EXCHANGES 40 /* of each */
#define TOTAL (SESSIONS * EXCHANGES)

/* A session that is played without a network. */
typedef struct Actor
{
	Player player; /* first: it is what order.c knows */
	bool in_flight;
	uint32_t lost_at; /* the connection breaks when it waits, from this exchange on */
} Actor;

/* One of the children. */
typedef struct Child
{
	Replay replay;
	Common common;
	pthread_t thread;
	uint32_t left; /* sessions that have not ended */
} Child;

static Child children[MAX_CHILDREN];
static Actor actors[SESSIONS];
static Moment moments[TOTAL];
static PlanSession sessions[SESSIONS];
static PlanExchange exchanges[TOTAL];
static char nowhere[] = "host=/nonexistent";
static char *conninfos[] = {nowhere};

/* When each exchange was sent and was past, by one count of all that happens. */
static _Atomic uint32_t happened;
static uint32_t sent_at[TOTAL];
static uint32_t past_at[TOTAL];

/* ---- a plan ---- */

/*
 * Returns a number below a limit.
 */
static int64_t
below(int limit)
{
	static uint64_t seed = 1;

	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (int64_t) ((seed >> 33) % (uint64_t) limit);
}

/*
 * Makes up sessions that ran beside one another: some of their exchanges write, some
 * end a transaction, some are not to be sent.
 */
static void
make_plan(void)
{
	for (uint32_t i = 0; i < SESSIONS; i++)
	{
		int64_t time = below(1000);

		sessions[i] = (PlanSession){.session_id = i, .first = i * EXCHANGES, .count = EXCHANGES};
		for (uint32_t n = 0; n < EXCHANGES; n++)
		{
			PlanExchange *exchange = &exchanges[i * EXCHANGES + n];

			*exchange = (PlanExchange){.exchange_no = n, .started_us = time += below(60)};
			exchange->finished_us = time += below(100);
			exchange->turn_us = below(2) ? exchange->finished_us : exchange->started_us;
			exchange->transaction_status = below(3) ? 'I' : 'T';
			exchange->outcome = below(10) ? PLAN_SEND : PLAN_FILTERED;
		}
	}
	memset(sent_at, 0, sizeof(sent_at));
	memset(past_at, 0, sizeof(past_at));
	atomic_store(&happened, 0);
}

/* ---- a child ---- */

/*
 * Takes notice that a session has ended.
 */
static void
end_actor(Player *player)
{
	Child *child = (Child *) player->replay;

	player->state = PLAYER_ENDED;
	if (--child->left == 0)
		event_base_loopbreak(child->replay.base);
}

/*
 * Loses a session: what it has not sent is past.
 */
static void
lose(Player *player)
{
	for (uint32_t i = player->at; i < EXCHANGES; i++)
		past_at[player->plan->first + i] = atomic_fetch_add(&happened, 1) + 1;
	order_abandon(player, EXCHANGES);
	end_actor(player);
}

/*
 * Goes on with a session: its exchange in flight ends, then the next may be sent.
 */
static void
step(Actor *actor)
{
	Player *player = &actor->player;
	uint32_t first = (uint32_t) player->plan->first;

	if (actor->in_flight)
	{
		actor->in_flight = false;
		past_at[first + player->done] = atomic_fetch_add(&happened, 1) + 1;
		order_ended(player, player->done++);
	}
	while (player->at < EXCHANGES && player->exchanges[player->at].outcome != PLAN_SEND)
		player->done = ++player->at;
	if (player->at == EXCHANGES)
		end_actor(player);
	else if (order_may_send(player))
	{
		sent_at[first + player->at] = atomic_fetch_add(&happened, 1) + 1;
		order_sent(player, player->at++);
		actor->in_flight = true;
		replay_queue(player);
	}
}

/*
 * Event: steps what is queued.
 */
static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	Replay *replay = arg;
	Player *player;

	(void) fd;
	(void) what;
	while ((player = replay->queued))
	{
		replay->queued = player->next_queued;
		if (!replay->queued)
			replay->last_queued = NULL;
		player->is_queued = false;
		if (player->state != PLAYER_ENDED)
			step((Actor *) player);
	}
	for (int i = 0; i < SESSIONS; i++)
		if (actors[i].player.replay == replay && actors[i].player.is_waiting &&
		    actors[i].player.at >= actors[i].lost_at)
			lose(&actors[i].player);
}

/*
 * Event: another child woke this one.
 */
static void
on_woken(evutil_socket_t fd, short what, void *arg)
{
	Replay *replay = arg;

	(void) fd;
	(void) what;
	common_woken(replay->common);
	order_look(replay);
}

/*
 * Makes children that have all in common but their sessions.
 */
static void
make_children(uint32_t count, ReplaySettings settings)
{
	int64_t zero = clock_monotonic();
	Common common;

	CHECK(common_make(&common, count, TOTAL));
	for (uint32_t i = 0; i < count; i++)
	{
		Replay *replay = &children[i].replay;

		memset(&children[i], 0, sizeof(children[i]));
		children[i].common = common;
		children[i].common.own = i;
		replay->common = &children[i].common;
		replay->settings = settings;
		replay->plan = (ReplayPlan){sessions, exchanges, NULL, SESSIONS, TOTAL, 0};
		replay->conninfos = conninfos;
		replay->next_session = i;
		replay->begun = -1;
		replay->base = event_base_new();
		replay->kick = event_new(replay->base, -1, 0, on_kick, replay);
		replay->start_timer = evtimer_new(replay->base, on_kick, replay);
		replay->woken = event_new(replay->base, common_wake_fd(&children[i].common),
		                          EV_READ | EV_PERSIST, on_woken, replay);
		event_add(replay->woken, NULL);
		CHECK(order_begin(replay));
		judge_begin(replay);
		schedule_begin(replay, zero);
	}
}

/*
 * Frees the children.
 */
static void
free_children(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
	{
		Replay *replay = &children[i].replay;

		while (replay->sessions)
			player_end(replay->sessions, NULL);
		event_free(replay->woken);
		event_free(replay->kick);
		event_free(replay->start_timer);
		event_base_free(replay->base);
		free(replay->order.needs);
		for (int lane = 0; lane < COMMON_LANES; lane++)
		{
			free(replay->order.lanes[lane].exchanges);
			free(replay->order.lanes[lane].place_of);
			free(replay->order.lanes[lane].waiting);
		}
	}
	common_leave(&children[0].common);
}

/*
 * Gives a session to a child.
 */
static void
cast(Child *child, uint32_t session)
{
	Actor *actor = &actors[session];
	Player *player = &actor->player;

	*actor = (Actor){.lost_at = EXCHANGES};
	player->replay = &child->replay;
	player->plan = &sessions[session];
	player->exchanges = exchanges + player->plan->first;
	player->moments = moments + player->plan->first;
	player->state = PLAYER_RUNNING;
	for (uint32_t i = 0; i < EXCHANGES; i++)
		player->moments[i] = (Moment){.ready = -1};
	child->left++;
}

/* ---- order ---- */

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

/* ---- one step after the other ---- */

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
 * Runs the tests.
 */
int
main(void)
{
	alarm(TEST_SECONDS);
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_wake();
	test_timeout();
	test_clock();
	test_limits();
	test_overtaken();
	for (int i = 0; i < 50 && failed == 0; i++)
		test_waiting();
	for (int i = 0; i < 50 && failed == 0; i++)
		test_race();
	for (uint32_t i = 0; i < 60; i++)
		play(i % 2 ? ORDERING_COMMIT : ORDERING_ARRIVAL, 1 + i % MAX_CHILDREN, i % 5 == 0);
	return finish();
}
