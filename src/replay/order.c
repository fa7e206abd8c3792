/*
 * order.c
 *	  The order of exchanges across sessions.
 *
 * An exchange's turn is the moment, in the record, that its effect belongs to.  For
 * one that only reads, or begins or ends a transaction, that is when it began; for one
 * that writes or locks it is when it ended, as it may have waited for a lock until
 * then: sent when it began, it could get the lock before who had it.
 *
 * arrival: an exchange is sent when all whose turn is before its own were sent.
 * commit: one that writes is sent when the transactions have ended that ended, by
 * their last exchange's turn, before its own; one that reads, when those have whose
 * end the client knew of.  A transaction's end is an exchange after which the server
 * was idle, whatever its command was.  (When a COMMIT was answered says little: who
 * waited for its locks may have been answered before.)  Whoever waits, waits for an
 * earlier turn, so no circle closes; and who gets a lock first is who got it then.
 *
 * All of that is a lane or two: exchanges in an order, a mark that moves on over those
 * that are past, and for each exchange to be sent what the mark must be.  Where the
 * target does not do as the record did, a mark may stand still: after the order's
 * timeout it is moved by force, and that is counted.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/process.h"
#include "replay/child.h"

#define NOWHERE UINT32_MAX

/* The plan that qsort's comparisons look at. */
static const PlanExchange *sorted_exchanges;

/*
 * Compares two exchanges of the plan by a time, then by their place.
 */
static int
compare_times(int64_t before, int64_t after, uint32_t left, uint32_t right)
{
	if (before != after)
		return before < after ? -1 : 1;
	return left < right ? -1 : left > right;
}

/*
 * Compares two exchanges by their turn.
 */
static int
by_turn(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *) a;
	uint32_t right = *(const uint32_t *) b;

	return compare_times(sorted_exchanges[left].turn_us, sorted_exchanges[right].turn_us, left,
	                     right);
}

/*
 * Compares two exchanges by when they ended.
 */
static int
by_end(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *) a;
	uint32_t right = *(const uint32_t *) b;

	return compare_times(sorted_exchanges[left].finished_us, sorted_exchanges[right].finished_us,
	                     left, right);
}

/*
 * Makes an empty lane.
 */
static bool
lane_begin(Lane *lane, size_t size)
{
	lane->exchanges = calloc(size, sizeof(uint32_t));
	lane->place_of = malloc(size * sizeof(uint32_t));
	lane->is_past = calloc(size, sizeof(bool));
	lane->waiting = calloc(size, sizeof(Player *));
	if (!lane->exchanges || !lane->place_of || !lane->is_past || !lane->waiting)
		return false;
	memset(lane->place_of, 0xff, size * sizeof(uint32_t));
	return true;
}

/*
 * Puts the exchanges of a lane in order.
 */
static void
lane_sort(Lane *lane, int (*compare)(const void *, const void *))
{
	qsort(lane->exchanges, lane->count, sizeof(uint32_t), compare);
	for (uint32_t i = 0; i < lane->count; i++)
		lane->place_of[lane->exchanges[i]] = i;
}

/*
 * Tells whether an exchange's turn is when it began, and was not put off.
 */
static bool
only_reads(const PlanExchange *exchange)
{
	return exchange->turn_us == exchange->started_us;
}

/*
 * Returns the lane that an exchange of the plan goes by.
 */
static Lane *
lane_of(Replay *replay, uint32_t exchange)
{
	Order *order = &replay->order;

	return &order->lanes[order->lane_count > 1 && only_reads(&replay->plan.exchanges[exchange])];
}

/*
 * Finds what an exchange needs of its lane: how many stand before its turn.
 */
static uint32_t
find_need(Replay *replay, uint32_t exchange)
{
	const PlanExchange *exchanges = replay->plan.exchanges;
	const Lane *lane = lane_of(replay, exchange);
	bool by_finish = lane != &replay->order.lanes[0];
	uint32_t low = 0;
	uint32_t high = lane->count;

	if (replay->settings.ordering == ORDERING_ARRIVAL)
		return lane->place_of[exchange];
	while (low < high)
	{
		uint32_t middle = low + (high - low) / 2;
		const PlanExchange *other = &exchanges[lane->exchanges[middle]];

		if ((by_finish ? other->finished_us : other->turn_us) < exchanges[exchange].turn_us)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Finds the order of a plan.  False: no memory.
 */
bool
order_begin(Replay *replay)
{
	Order *order = &replay->order;
	const ReplayPlan *plan = &replay->plan;
	bool by_commit = replay->settings.ordering == ORDERING_COMMIT;
	size_t size = plan->exchange_count + 1;

	if (replay->settings.ordering == ORDERING_NONE)
		return true;
	order->lane_count = by_commit ? 2 : 1;
	order->needs = calloc(size, sizeof(uint32_t));
	if (!order->needs || !lane_begin(&order->lanes[0], size) ||
	    (by_commit && !lane_begin(&order->lanes[1], size)))
		return false;
	sorted_exchanges = plan->exchanges;
	for (uint32_t i = 0; i < order->lane_count; i++)
	{
		Lane *lane = &order->lanes[i];

		for (size_t n = 0; n < plan->exchange_count; n++)
			if (plan->exchanges[n].outcome == PLAN_SEND &&
			    (!by_commit || plan->exchanges[n].transaction_status == 'I'))
				lane->exchanges[lane->count++] = (uint32_t) n;
		lane_sort(lane, i == 0 ? by_turn : by_end);
	}
	for (size_t n = 0; n < plan->exchange_count; n++)
		if (plan->exchanges[n].outcome == PLAN_SEND)
			order->needs[n] = find_need(replay, (uint32_t) n);
	order->stalled_at = clock_monotonic();
	return true;
}

/*
 * Steps the players that waited for the mark to be here.
 */
static void
wake(Order *order, Lane *lane, uint32_t need)
{
	Player *player = lane->waiting[need];

	lane->waiting[need] = NULL;
	while (player)
	{
		Player *next = player->next_waiting;
		Moment *moment = &player->moments[player->at];

		if (moment->ready >= 0) /* until now others kept it back */
			moment->ready = schedule_now(player->replay);
		player->is_waiting = false;
		order->waiting_count--;
		replay_queue(player);
		player = next;
	}
}

/*
 * Moves the mark over what is past.
 */
static void
move_mark(Order *order, Lane *lane)
{
	uint32_t before = lane->mark;

	while (lane->mark < lane->count && lane->is_past[lane->mark])
		wake(order, lane, ++lane->mark);
	if (lane->mark != before)
		order->stalled_at = clock_monotonic();
}

/*
 * Takes notice that an exchange is past, in the lanes that it is in.
 */
static void
pass(Order *order, uint64_t exchange)
{
	for (uint32_t i = 0; i < order->lane_count; i++)
	{
		Lane *lane = &order->lanes[i];
		uint32_t place = lane->place_of[exchange];

		if (place == NOWHERE)
			continue;
		lane->is_past[place] = true;
		move_mark(order, lane);
	}
}

/*
 * Tells whether the next exchange of a session may be sent.
 */
bool
order_may_send(Player *player)
{
	Replay *replay = player->replay;
	Order *order = &replay->order;
	uint32_t exchange = (uint32_t) player->plan->first + player->at;
	Lane *lane;

	if (replay->settings.ordering == ORDERING_NONE)
		return true;
	lane = lane_of(replay, exchange);
	if (order->needs[exchange] <= lane->mark)
		return true;
	if (player->is_waiting)
		return false;
	if (order->waiting_count++ == 0)
		order->stalled_at = clock_monotonic();
	player->is_waiting = true;
	player->next_waiting = lane->waiting[order->needs[exchange]];
	lane->waiting[order->needs[exchange]] = player;
	return false;
}

/*
 * Takes notice that an exchange was sent.
 */
void
order_sent(Player *player, uint32_t exchange)
{
	if (player->replay->settings.ordering == ORDERING_ARRIVAL)
		pass(&player->replay->order, player->plan->first + exchange);
}

/*
 * Takes notice that an exchange has ended.
 */
void
order_ended(Player *player, uint32_t exchange)
{
	if (player->replay->settings.ordering == ORDERING_COMMIT)
		pass(&player->replay->order, player->plan->first + exchange);
}

/*
 * Takes a player out of those that wait.
 */
static void
stop_waiting(Player *player)
{
	Order *order = &player->replay->order;
	uint32_t exchange = (uint32_t) player->plan->first + player->at;
	Player **at = &lane_of(player->replay, exchange)->waiting[order->needs[exchange]];

	while (*at && *at != player)
		at = &(*at)->next_waiting;
	if (*at)
		*at = player->next_waiting;
	player->is_waiting = false;
	order->waiting_count--;
}

/*
 * Lets nobody wait for exchanges that are never sent: from `done` up to one.
 */
void
order_abandon(Player *player, uint32_t end)
{
	if (player->is_waiting)
		stop_waiting(player);
	for (uint32_t i = player->done; i < end; i++)
		if (player->exchanges[i].outcome == PLAN_SEND)
		{
			order_sent(player, i);
			order_ended(player, i);
		}
}

/*
 * Tells whether what a lane waits for is not due yet by the clock: then nothing stalls.
 */
static bool
is_not_due(Replay *replay, const Lane *lane)
{
	return replay->settings.timing != TIMING_ASAP &&
	       replay->plan.exchanges[lane->exchanges[lane->mark]].started_us > schedule_now(replay);
}

/*
 * Moves the marks by force when they have stood still for too long.
 */
void
order_tick(Replay *replay, int64_t now)
{
	Order *order = &replay->order;

	if (order->waiting_count == 0)
		return;
	for (uint32_t i = 0; i < order->lane_count; i++)
	{
		Lane *lane = &order->lanes[i];

		if (lane->mark < lane->count && (replay->is_paused || is_not_due(replay, lane)))
			order->stalled_at = now;
	}
	if (now - order->stalled_at < replay->settings.order_timeout_us)
		return;
	if (++order->timeouts <= 10)
		report_text(replay, LINK_NOTE, "an exchange waited %lld ms for its turn and was let go",
		            (long long) (replay->settings.order_timeout_us / 1000));
	for (uint32_t i = 0; i < order->lane_count; i++)
	{
		Lane *lane = &order->lanes[i];

		if (lane->mark < lane->count)
			pass(order, lane->exchanges[lane->mark]);
	}
	order->stalled_at = now;
}
