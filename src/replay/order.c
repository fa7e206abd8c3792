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
 * waited for its locks may have been answered before.)
 *
 * The same goes for what is a transaction by itself: one that waited for its locks, in a
 * transaction that goes on, may have been answered before.  So in a transaction what
 * writes waits, besides, for those of them that were in flight when it was answered, and
 * were answered soon after, before the transaction was to end.
 *
 * So whoever waits, waits for a turn before that of its own transaction's end, and no
 * circle closes; and who gets a lock first is who got it then.
 *
 * All of that is a lane or two: exchanges in an order, which of them are past, and for
 * each exchange to be sent its need: how many of the first must be.  Lanes come from
 * the plan alone, so every child of the run has the same.  What is past only ever
 * grows, and is all that children tell one another (common.h): the mark, before which
 * all are past, is what each finds when it looks.  Those who wait for their need are
 * in a heap; of what stands before the least of them a child awaits one that is not
 * past, as until that is nobody of its own can go.
 *
 * Where the target does not do as the record did, a mark may stand still: after the
 * order's timeout it is moved by force, and that is counted.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/process.h"
#include "replay/child.h"

#define NOWHERE UINT32_MAX
#define OVERTAKEN_US 100000 /* by so much may the later of two answers overtake the other */

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
lane_begin(Lane *lane, size_t size, size_t sessions)
{
	lane->exchanges = calloc(size, sizeof(uint32_t));
	lane->place_of = malloc(size * sizeof(uint32_t));
	lane->waiting = calloc(sessions, sizeof(Player *));
	if (!lane->exchanges || !lane->place_of || !lane->waiting)
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
 * Returns the number of the lane that an exchange of the plan goes by.
 */
static uint32_t
lane_of(const Replay *replay, uint64_t exchange)
{
	return replay->order.lane_count > 1 && only_reads(&replay->plan.exchanges[exchange]);
}

/*
 * Goes on with the need of one that writes in a transaction that goes on: over what was
 * a transaction by itself, may have had its locks, and whose answer it overtook.
 */
static uint32_t
add_overtaken(const Replay *replay, const Lane *lane, uint32_t need, const PlanExchange *exchange,
              int64_t transaction_end)
{
	const PlanExchange *exchanges = replay->plan.exchanges;

	for (uint32_t i = need; i < lane->count; i++)
	{
		const PlanExchange *other = &exchanges[lane->exchanges[i]];

		if (other->turn_us >= transaction_end || other->turn_us > exchange->turn_us + OVERTAKEN_US)
			break;
		if (other->started_us < exchange->finished_us)
			need = i + 1; /* what only reads has its turn when it began: it is not here */
	}
	return need;
}

/*
 * Finds what an exchange needs of its lane: how many stand before its turn.
 */
static uint32_t
find_need(Replay *replay, uint32_t exchange)
{
	const PlanExchange *exchanges = replay->plan.exchanges;
	uint32_t number = lane_of(replay, exchange);
	const Lane *lane = &replay->order.lanes[number];
	bool by_finish = number > 0;
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
 * Puts into a lane, in order, what is in it.
 */
static void
lane_fill(Replay *replay, Lane *lane, int (*compare)(const void *, const void *))
{
	const ReplayPlan *plan = &replay->plan;
	bool by_commit = replay->settings.ordering == ORDERING_COMMIT;

	for (size_t n = 0; n < plan->exchange_count; n++)
		if (plan->exchanges[n].outcome == PLAN_SEND &&
		    (!by_commit || plan->exchanges[n].transaction_status == 'I'))
			lane->exchanges[lane->count++] = (uint32_t) n;
	lane_sort(lane, compare);
}

/*
 * Finds what the exchanges of a session need.
 */
static void
find_needs(Replay *replay, const PlanSession *session)
{
	Order *order = &replay->order;
	int64_t transaction_end = INT64_MAX;

	for (uint32_t i = session->count; i > 0; i--)
	{
		uint64_t n = session->first + i - 1;
		const PlanExchange *exchange = &replay->plan.exchanges[n];

		if (exchange->transaction_status == 'I')
			transaction_end = exchange->turn_us;
		if (exchange->outcome != PLAN_SEND)
			continue;
		order->needs[n] = find_need(replay, (uint32_t) n);
		if (order->lane_count > 1 && exchange->transaction_status != 'I' && !only_reads(exchange))
			order->needs[n] =
			    add_overtaken(replay, &order->lanes[0], order->needs[n], exchange, transaction_end);
	}
}

/*
 * Finds the order of a plan.
 */
bool
order_begin(Replay *replay)
{
	Order *order = &replay->order;
	const ReplayPlan *plan = &replay->plan;
	size_t size = plan->exchange_count + 1;

	if (replay->settings.ordering == ORDERING_NONE)
		return true;
	if (plan->exchange_count > replay->common->places)
		return false;
	order->lane_count = replay->settings.ordering == ORDERING_COMMIT ? 2 : 1;
	order->needs = calloc(size, sizeof(uint32_t));
	if (!order->needs)
		return false;
	sorted_exchanges = plan->exchanges;
	for (uint32_t i = 0; i < order->lane_count; i++)
	{
		order->lanes[i].stalled_at = clock_monotonic();
		if (!lane_begin(&order->lanes[i], size, plan->session_count + 1))
			return false;
		lane_fill(replay, &order->lanes[i], i == 0 ? by_turn : by_end);
	}
	for (size_t i = 0; i < plan->session_count; i++)
		find_needs(replay, &plan->sessions[i]);
	return true;
}

/*
 * Puts a player into a heap, at a place or above it.
 */
static void
sift_up(Player **heap, uint32_t at, Player *player)
{
	while (at > 0 && heap[(at - 1) / 2]->need > player->need)
	{
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = player;
}

/*
 * Takes the player at a place out of a lane's heap.
 */
static void
take_out(Lane *lane, uint32_t at)
{
	Player **heap = lane->waiting;
	uint32_t count = --lane->waiting_count;
	Player *last = heap[count];

	heap[at]->is_waiting = false;
	if (at == count)
		return;
	for (uint32_t next = 2 * at + 1; next < count; next = 2 * at + 1)
	{
		next += next + 1 < count && heap[next + 1]->need < heap[next]->need;
		if (heap[next]->need >= last->need)
			break;
		heap[at] = heap[next];
		at = next;
	}
	sift_up(heap, at, last);
}

/*
 * Moves a mark over what is past, and steps the players that waited for that.
 */
static void
move_mark(Replay *replay, uint32_t number)
{
	Lane *lane = &replay->order.lanes[number];

	while (lane->mark < lane->count && common_is_past(replay->common, number, lane->mark))
		lane->mark++;
	while (lane->waiting_count > 0 && lane->waiting[0]->need <= lane->mark)
	{
		Player *player = lane->waiting[0];
		Moment *moment = &player->moments[player->at];

		if (moment->ready >= 0) /* until now others kept it back */
			moment->ready = schedule_now(replay);
		take_out(lane, 0);
		replay_queue(player);
	}
}

/*
 * Looks what can go on in a lane; goes on looking until another child will wake this
 * one when there is more.
 */
static void
look(Replay *replay, uint32_t number)
{
	Lane *lane = &replay->order.lanes[number];
	uint32_t place;

	do
	{
		move_mark(replay, number);
		if (lane->waiting_count == 0 || replay->common->child_count == 1)
			return;
		/* the last that is not past, as it is likely to be the last to pass */
		place = lane->waiting[0]->need - 1;
		while (place > lane->mark && common_is_past(replay->common, number, place))
			place--;
	} while (!common_await(replay->common, number, place));
}

/*
 * Looks what can go on, as another child may have passed something.
 */
void
order_look(Replay *replay)
{
	for (uint32_t i = 0; i < replay->order.lane_count; i++)
		if (replay->order.lanes[i].waiting_count > 0)
			look(replay, i);
}

/*
 * Takes notice that an exchange is past, in the lanes that it is in.
 */
static void
pass(Replay *replay, uint64_t exchange)
{
	for (uint32_t i = 0; i < replay->order.lane_count; i++)
	{
		Lane *lane = &replay->order.lanes[i];
		uint32_t place = lane->place_of[exchange];

		if (place == NOWHERE)
			continue;
		common_pass(replay->common, i, place);
		if (lane->waiting_count > 0)
			look(replay, i);
	}
}

/*
 * Tells whether the next exchange of a session may be sent.
 */
bool
order_may_send(Player *player)
{
	Replay *replay = player->replay;
	uint64_t exchange = player->plan->first + player->at;
	uint32_t number;
	Lane *lane;

	if (replay->settings.ordering == ORDERING_NONE)
		return true;
	if (player->is_waiting)
		return false;
	number = lane_of(replay, exchange);
	lane = &replay->order.lanes[number];
	player->need = replay->order.needs[exchange];
	if (player->need > lane->mark)
		move_mark(replay, number);
	if (player->need <= lane->mark)
		return true;
	player->is_waiting = true;
	sift_up(lane->waiting, lane->waiting_count++, player);
	look(replay, number);
	return false; /* if it may by now, it is stepped again */
}

/*
 * Takes notice that an exchange was sent.
 */
void
order_sent(Player *player, uint32_t exchange)
{
	if (player->replay->settings.ordering == ORDERING_ARRIVAL)
		pass(player->replay, player->plan->first + exchange);
}

/*
 * Takes notice that an exchange has ended.
 */
void
order_ended(Player *player, uint32_t exchange)
{
	if (player->replay->settings.ordering == ORDERING_COMMIT)
		pass(player->replay, player->plan->first + exchange);
}

/*
 * Takes a player out of those that wait.
 */
static void
stop_waiting(Player *player)
{
	Replay *replay = player->replay;
	Lane *lane = &replay->order.lanes[lane_of(replay, player->plan->first + player->at)];

	for (uint32_t i = 0; i < lane->waiting_count; i++)
		if (lane->waiting[i] == player)
		{
			take_out(lane, i);
			return;
		}
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
 * Tells whether a lane stands still: somebody waits, and what for should have come.
 */
static bool
is_stalled(Replay *replay, Lane *lane)
{
	bool has_moved = lane->mark != lane->mark_before;

	lane->mark_before = lane->mark;
	if (lane->waiting_count == 0 || has_moved || replay->is_paused)
		return false;
	return replay->settings.timing == TIMING_ASAP ||
	       replay->plan.exchanges[lane->exchanges[lane->mark]].started_us <= schedule_now(replay);
}

/*
 * Moves the marks by force when they have stood still for too long.
 */
void
order_tick(Replay *replay, int64_t now)
{
	Order *order = &replay->order;

	order_look(replay);
	for (uint32_t i = 0; i < order->lane_count; i++)
	{
		Lane *lane = &order->lanes[i];

		if (!is_stalled(replay, lane))
			lane->stalled_at = now;
		if (now - lane->stalled_at < replay->settings.order_timeout_us)
			continue;
		lane->stalled_at = now;
		pass(replay, lane->exchanges[lane->mark]);
		if (++order->timeouts <= 10)
			report_text(replay, LINK_NOTE, "an exchange waited %lld ms for its turn and was let go",
			            (long long) (replay->settings.order_timeout_us / 1000));
	}
}
