/*
 * aside.c
 *	  What a session says besides the plan's exchanges: the prelude, which sets up what
 *	  was there when its part of the record begins, and the begin and end of the
 *	  transactions of a replay that rolls back.
 *
 * An aside is said while nothing is in flight, and nothing else is sent until it is
 * answered.  Its answers are compared with nothing.  The tracker sees it as it sees
 * every request; that it is an aside is told by when it comes.
 */
#include <string.h>

#include "relay/process.h"
#include "replay/child.h"

static const uint8_t begin_block[] = {'Q', 0, 0, 0, 10, 'B', 'E', 'G', 'I', 'N', 0};
static const uint8_t roll_back[] = {'Q', 0, 0, 0, 13, 'R', 'O', 'L', 'L', 'B', 'A', 'C', 'K', 0};

/*
 * Begins an aside.
 */
static void
begin(Player *player, AsideKind kind, WireSpan bytes)
{
	player->aside = (Aside){.kind = kind, .bytes = bytes, .began = clock_monotonic()};
}

/*
 * Tells whether the transaction that was begun for an exchange is to end: the exchange
 * has, and left no block open when it was recorded.
 */
static bool
is_block_over(const Player *player)
{
	char status;

	if (!player->is_wrapped || player->at <= player->wrapped)
		return false;
	status = player->exchanges[player->at - 1].transaction_status;
	return status != 'T' && status != 'E';
}

/*
 * Begins what is to be said before the next exchange.
 */
bool
aside_begin(Player *player)
{
	const PlanSession *plan = player->plan;

	if (player->done < player->at || player->offset > 0 || player->at == plan->count)
		return false;
	if (!player->prelude_said && plan->prelude_len > 0)
	{
		player->prelude_said = true;
		begin(player, ASIDE_PRELUDE, player_translate(player, plan->prelude_at, plan->prelude_len));
		return true;
	}
	if (is_block_over(player))
	{
		player->is_wrapped = false;
		begin(player, ASIDE_ROLLBACK, (WireSpan){roll_back, sizeof(roll_back)});
		return true;
	}
	return false;
}

/*
 * Begins a transaction before an exchange that would be one of its own.
 */
bool
aside_begin_block(Player *player)
{
	if (!player->replay->settings.rolls_back || !player->exchanges[player->at].is_wrapped ||
	    player->status != 'I')
		return false;
	player->is_wrapped = true;
	player->wrapped = player->at;
	begin(player, ASIDE_BEGIN, (WireSpan){begin_block, sizeof(begin_block)});
	return true;
}

/*
 * Sends of an aside what may be sent.
 */
bool
aside_send(Player *player)
{
	Aside *aside = &player->aside;

	while (aside->sent < aside->bytes.len)
	{
		const uint8_t *from = aside->bytes.data + aside->sent;
		ssize_t sent = player_send(player, from, aside->bytes.len - aside->sent);

		if (sent < 0)
		{
			player_lose(player, "the connection was lost while sending");
			return false;
		}
		if (sent == 0)
			return true;
		tracker_frontend(&player->tracker, from, (size_t) sent, clock_monotonic());
		aside->sent += (size_t) sent;
	}
	return true;
}

/*
 * Takes the answer to a request of an aside.  Where a Query fails, the session is not
 * what it was; where a Parse does, who binds it gets an error of his own.
 */
void
aside_answered(Player *player, const Exchange *exchange)
{
	if (exchange->sqlstate[0] && (exchange->has & HAS_QUERY))
		player->aside_failed = true;
}

/*
 * Ends an aside when all of it is answered.
 */
bool
aside_check(Player *player)
{
	const Tracker *tracker = &player->tracker;

	if (player->aside.kind == ASIDE_NONE || player->aside.sent < player->aside.bytes.len ||
	    tracker->first || tracker->queue.count > 0)
		return true;
	player->aside.kind = ASIDE_NONE;
	if (!player->aside_failed)
		return true;
	player_end(player, "what goes before its exchanges failed on the target");
	return false;
}
