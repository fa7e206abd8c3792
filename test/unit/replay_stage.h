/*
 * replay_stage.h
 *	  The network processes of a replay on a stage: sessions and a plan that are made up,
 *	  and no network, so that what the processes have in common can be tested by itself.
 *
 * Each child has an event loop and a view of the mapping of its own, so that it can be
 * a thread.  An exchange is sent when order.c says so, and ends a turn of the loop later.
 * Nothing ticks, so a wake-up that is lost, or not sent, is one for ever.
 */
#ifndef REPLAY_STAGE_H
#define REPLAY_STAGE_H

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

#endif /* REPLAY_STAGE_H */
