/*
 * exchange.c
 *	  One exchange in the making.
 */
#include "relay/exchange.h"

#include <stdlib.h>
#include <string.h>

/* Spare exchanges that the pool keeps, and how much memory each may keep. */
#define POOL_KEEPS 256
#define BUFFER_KEEPS 4096
#define PASSAGES_MOVED 1024 /* to make room for one that comes late */

/*
 * Makes an empty exchange, from the spare ones if there is one.
 */
Exchange *
exchange_begin(ExchangePool *pool, int64_t now, bool recorded)
{
	Exchange *exchange = pool->free;

	if (exchange)
	{
		pool->free = exchange->next;
		pool->free_count--;
	}
	else if (!(exchange = budget_alloc(pool->budget, sizeof(Exchange))))
		return NULL;
	exchange->next = NULL;
	exchange->exchange_no = -1;
	exchange->part_no = 1;
	exchange->recorded = recorded;
	exchange->started_at = exchange->part_started_at = now;
	exchange->first_response_at = -1;
	exchange->finished_at = -1;
	return exchange;
}

/*
 * Takes an exchange back: empties it, keeps small buffers for the next use.
 */
void
exchange_release(ExchangePool *pool, Exchange *exchange)
{
	Buffer request = exchange->request.kept;
	Buffer response = exchange->response.kept;
	Buffer passages = exchange->passages;
	Buffer hashes = exchange->query_hashes;
	bool spare = pool->free_count < POOL_KEEPS;
	size_t keep = spare ? BUFFER_KEEPS : 0;

	text_release(pool->texts, exchange->query);
	buffer_free(pool->budget, &exchange->error_message);
	buffer_reset(pool->budget, &request, keep);
	buffer_reset(pool->budget, &response, keep);
	buffer_reset(pool->budget, &passages, keep);
	buffer_reset(pool->budget, &hashes, keep);
	if (!spare)
	{
		budget_free(pool->budget, exchange, sizeof(Exchange));
		return;
	}
	memset(exchange, 0, sizeof(*exchange));
	exchange->request.kept = request;
	exchange->response.kept = response;
	exchange->passages = passages;
	exchange->query_hashes = hashes;
	exchange->next = pool->free;
	pool->free = exchange;
	pool->free_count++;
}

/*
 * Frees the spare exchanges.
 */
void
exchange_pool_free(ExchangePool *pool)
{
	Exchange *exchange;

	while ((exchange = pool->free))
	{
		pool->free = exchange->next;
		buffer_free(pool->budget, &exchange->request.kept);
		buffer_free(pool->budget, &exchange->response.kept);
		buffer_free(pool->budget, &exchange->passages);
		buffer_free(pool->budget, &exchange->query_hashes);
		budget_free(pool->budget, exchange, sizeof(Exchange));
	}
	pool->free_count = 0;
}

/*
 * Returns how many passages were not later than a time.
 */
static size_t
passages_until(const Passage *passages, size_t count, int64_t at)
{
	size_t low = 0;

	while (low < count)
	{
		size_t middle = low + (count - low) / 2;

		if (passages[middle].at > at)
			count = middle;
		else
			low = middle + 1;
	}
	return low;
}

/*
 * Notes that bytes passed.  What passed in one direction at one time is one
 * entry; so is what passed while nothing of it was kept, or a COPY of hours
 * would fill the memory with times of bytes that nobody can see.  A bare Sync
 * comes to its exchange late, when what was answered behind it is there already:
 * entries are in the order of time.  One that comes far too late, as when a client
 * sends a Sync with each CopyData, counts as passed now.
 */
static void
note_passage(ExchangePool *pool, Exchange *exchange, WireDirection direction, size_t len,
             int64_t now, bool kept)
{
	uint64_t low = direction == WIRE_BACKEND;
	Passage *passages = (Passage *) exchange->passages.data;
	size_t count = exchange->passages.len / sizeof(Passage);
	Passage entry = {now, (uint64_t) len << 1 | low};
	size_t place = count;

	if (count > 0 && passages[count - 1].at > now)
		place = passages_until(passages, count, now);
	if (count - place > PASSAGES_MOVED)
	{
		exchange->is_truncated = true; /* of the time when they passed */
		place = count;
		entry.at = now = passages[count - 1].at;
	}
	if (place > 0 && (passages[place - 1].bytes & 1) == low &&
	    (passages[place - 1].at == now || !kept))
	{
		passages[place - 1].bytes += (uint64_t) len << 1;
		return;
	}
	if (!buffer_append(pool->budget, &exchange->passages, &entry, sizeof(entry)))
	{
		exchange->is_truncated = true;
		return;
	}
	if (place == count)
		return;
	passages = (Passage *) exchange->passages.data;
	memmove(passages + place + 1, passages + place, (count - place) * sizeof(Passage));
	passages[place] = entry;
}

/*
 * Adds bytes of a direction.
 */
void
exchange_take(ExchangePool *pool, Exchange *exchange, WireDirection direction, const uint8_t *data,
              size_t len, int64_t now, int64_t limit)
{
	ExchangeSide *side = direction == WIRE_FRONTEND ? &exchange->request : &exchange->response;
	uint64_t taken = side->before + side->bytes;
	size_t room = taken < (uint64_t) limit ? (size_t) ((uint64_t) limit - taken) : 0;
	size_t keep = len < room ? len : room;

	if (len == 0)
		return;
	if (exchange->recorded)
	{
		/* once bytes were left out nothing behind them is kept: no holes */
		if (side->is_cut || !buffer_append(pool->budget, &side->kept, data, keep))
			keep = 0;
		if (keep < len)
			side->is_cut = exchange->is_truncated = true;
		note_passage(pool, exchange, direction, len, now, keep > 0);
	}
	side->bytes += len;
}

/*
 * Begins the next part of an exchange.
 */
void
exchange_next_part(ExchangePool *pool, Exchange *exchange, int64_t now)
{
	ExchangeSide *sides[2] = {&exchange->request, &exchange->response};

	for (int i = 0; i < 2; i++)
	{
		buffer_reset(pool->budget, &sides[i]->kept, 0);
		sides[i]->before += sides[i]->bytes;
		sides[i]->bytes = 0;
	}
	buffer_reset(pool->budget, &exchange->passages, BUFFER_KEEPS);
	buffer_reset(pool->budget, &exchange->query_hashes, BUFFER_KEEPS);
	buffer_free(pool->budget, &exchange->error_message);
	memset(exchange->sqlstate, 0, sizeof(exchange->sqlstate));
	exchange->part_no++;
	exchange->part_started_at = now;
	exchange->is_truncated = exchange->is_redacted = exchange->is_request_redacted = false;
	exchange->tag_len = 0;
	exchange->statement_count = 0;
	exchange->row_count = exchange->data_row_count = 0;
}

/*
 * Merges the passages of two exchanges by time.  False: no memory.
 */
static bool
merge_passages(ExchangePool *pool, Exchange *first, const Exchange *second)
{
	size_t n = first->passages.len / sizeof(Passage);
	size_t m = second->passages.len / sizeof(Passage);
	Passage *to;
	const Passage *from = (const Passage *) second->passages.data;

	if (!buffer_reserve(pool->budget, &first->passages, m * sizeof(Passage)))
		return false;
	to = (Passage *) first->passages.data;
	first->passages.len += m * sizeof(Passage);
	/* from the back, so that nothing is overwritten before it was moved */
	while (m > 0)
	{
		if (n > 0 && to[n - 1].at > from[m - 1].at)
		{
			to[n + m - 1] = to[n - 1];
			n--;
		}
		else
		{
			to[n + m - 1] = from[m - 1];
			m--;
		}
	}
	return true;
}

/*
 * Moves the last bytes of an exchange's request to a new one: a message of which
 * the rest is still to come, when the exchange is over.
 */
void
exchange_split(ExchangePool *pool, Exchange *exchange, Exchange *late, uint64_t bytes,
               int64_t limit)
{
	Buffer *kept = &exchange->request.kept;
	Passage *passages = (Passage *) exchange->passages.data;
	uint64_t left = bytes;
	uint64_t stay = exchange->request.bytes - bytes;
	size_t moved = kept->len > stay ? kept->len - (size_t) stay : 0; /* of the kept ones */

	if (!exchange->request.is_cut && kept->len >= bytes)
		moved = bytes;
	kept->len -= moved;
	if (moved > 0)
		exchange_take(pool, late, WIRE_FRONTEND, kept->data + kept->len, moved, late->started_at,
		              limit);
	exchange_take(pool, late, WIRE_FRONTEND, NULL, bytes - moved, late->started_at, 0);
	exchange->request.bytes = stay;
	for (size_t i = exchange->passages.len / sizeof(Passage); i > 0 && left > 0; i--)
	{
		uint64_t here = passages[i - 1].bytes >> 1;
		uint64_t gone = here < left ? here : left;

		if (passages[i - 1].bytes & 1)
			continue;
		passages[i - 1].bytes -= gone << 1;
		left -= gone;
	}
}

/*
 * Moves all that `second` holds to the end of `first` and releases it.  It has
 * requests only: its answer, if it had one, would have made it the first.
 */
void
exchange_merge(ExchangePool *pool, Exchange *first, Exchange *second, int64_t limit)
{
	ExchangeSide *side = &first->request;
	uint64_t taken = side->before + side->bytes;
	uint64_t room = taken < (uint64_t) limit ? (uint64_t) limit - taken : 0;
	size_t keep = second->request.kept.len < room ? second->request.kept.len : (size_t) room;

	if (first->recorded && second->recorded)
	{
		if (side->is_cut ||
		    !buffer_append(pool->budget, &side->kept, second->request.kept.data, keep))
			keep = 0;
		if (keep < second->request.bytes)
			side->is_cut = first->is_truncated = true;
		if (!merge_passages(pool, first, second))
			first->is_truncated = true;
	}
	first->request.bytes += second->request.bytes;
	first->has |= second->has;
	first->has_bind |= second->has_bind;
	first->has_secret |= second->has_secret;
	first->is_redacted |= second->is_redacted;
	first->is_request_redacted |= second->is_request_redacted;
	first->redact |= second->redact;
	first->terminated = second->terminated;
	first->orphaned = false;
	first->uncertain |= second->uncertain;
	first->is_truncated |= second->is_truncated;
	if (second->query)
		exchange_set_query(first, second->query, second->query_is_parsed);
	exchange_release(pool, second);
}

/*
 * Sets the query text unless a statement before had one.
 */
void
exchange_set_query(Exchange *exchange, Text *text, bool is_parsed)
{
	if (exchange->query || !text)
		return;
	text->users++;
	exchange->query = text;
	exchange->query_is_parsed = is_parsed;
}

/*
 * Returns the kind: the first that applies.
 */
FactsKind
exchange_kind(const Exchange *exchange)
{
	static const struct
	{
		uint32_t flag;
		FactsKind kind;
	} kinds[] = {
	    {HAS_CANCEL, FACTS_CANCEL},       {HAS_STARTUP, FACTS_STARTUP},
	    {HAS_TERMINATE, FACTS_TERMINATE}, {HAS_REPLICATION, FACTS_REPLICATION},
	    {HAS_COPY, FACTS_COPY},           {HAS_FUNCTION_CALL, FACTS_FUNCTION_CALL},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (exchange->has & kinds[i].flag)
			return kinds[i].kind;
	if (exchange->has & HAS_EXTENDED)
		return FACTS_EXTENDED;
	return exchange->has & HAS_QUERY ? FACTS_QUERY : FACTS_ASYNC;
}

/*
 * Adds a DataRow's hash to both digests: one that depends on the order of the
 * rows, and a sum, which does not.
 */
void
exchange_add_digest(Exchange *exchange, uint64_t hash)
{
	exchange->has_digest = true;
	exchange->row_digest = facts_digest_row(exchange->row_digest, hash);
	exchange->row_set_digest += hash;
}

/*
 * Tells whether the request came at once, and its response at once when it was
 * finished: then nothing needs to be stored of when bytes passed.
 */
bool
exchange_is_plain(const Exchange *exchange)
{
	const Passage *passages = (const Passage *) exchange->passages.data;

	return exchange->passages.len == 2 * sizeof(Passage) &&
	       passages[0].bytes == exchange->request.bytes << 1 &&
	       passages[0].at == exchange->started_at &&
	       passages[1].bytes == (exchange->response.bytes << 1 | 1) &&
	       passages[1].at == exchange->finished_at;
}

/*
 * Encodes the passages as the record's chunks.
 */
bool
exchange_chunks(Budget *budget, const Exchange *exchange, Buffer *out)
{
	const Passage *passages = (const Passage *) exchange->passages.data;
	size_t count = exchange->passages.len / sizeof(Passage);
	int64_t before = exchange->started_at;

	for (size_t i = 0; i < count; i++)
	{
		int64_t gap = passages[i].at - before;
		uint8_t entry[2 * FACTS_VARINT];
		size_t len = facts_put_varint(entry, passages[i].bytes);

		len += facts_put_varint(entry + len, gap > 0 ? (uint64_t) gap : 0);
		if (!buffer_append(budget, out, entry, len))
			return false;
		before = passages[i].at;
	}
	return true;
}
