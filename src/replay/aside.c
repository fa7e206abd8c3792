/*
 * aside.c
 *	  What a session says besides the plan's exchanges: the prelude, which sets up what
 *	  was there when its part of the record begins.
 *
 * An aside is said while nothing is in flight, and nothing else is sent until it is
 * answered.  Its answers are compared with nothing.  The tracker sees it as it sees
 * every request; that it is an aside is told by when it comes.
 */
#include <string.h>

#include "relay/process.h"
#include "replay/child.h"

/*
 * Begins an aside.
 */
static void
begin(Player *player, AsideKind kind, WireSpan bytes)
{
	player->aside = (Aside){.kind = kind, .bytes = bytes, .began = clock_monotonic()};
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
		begin(player, ASIDE_PRELUDE,
		      (WireSpan){player->replay->plan.bytes + plan->prelude_at, plan->prelude_len});
		return true;
	}
	return false;
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
void
aside_check(Player *player)
{
	const Tracker *tracker = &player->tracker;

	if (player->aside.kind == ASIDE_NONE || player->aside.sent < player->aside.bytes.len ||
	    tracker->first || tracker->queue.count > 0)
		return;
	player->aside.kind = ASIDE_NONE;
	if (player->aside_failed)
		player_end(player, "what goes before its exchanges failed on the target");
}
