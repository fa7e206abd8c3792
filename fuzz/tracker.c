/*
 * tracker.c
 *	  What a relay makes of a session's bytes, both directions interleaved.
 *
 * Input: flags, limits, and pieces: a byte that says the direction and how many
 * bytes follow, and those bytes.
 *
 * Properties: every byte that passed is in one exchange, unless the stream made no
 * sense as protocol; no exchange holds more than passed or than its limit; numbers
 * are given once, in order of parts; memory is bounded by what passed, and all of
 * it is given back.
 */
#include "fuzz.h"
#include "relay/tracker.h"

/* Memory that a session may take: some for each byte that passed, and a start. */
#define MEMORY_PER_BYTE 600
#define MEMORY_START (256 * 1024)

static Budget budget;
static TextPool texts;
static ExchangePool pool;
static uint64_t passed[2]; /* bytes, by direction */
static uint64_t in_exchanges[2];
static int64_t highest_no;
static const struct TrackerEnv *present;

/*
 * Checks one direction of a finished exchange.
 */
static void
check_side(const Exchange *exchange, const ExchangeSide *side, int64_t limit, int direction)
{
	uint64_t in_passages = 0;

	in_exchanges[direction] += side->bytes;
	REQUIRE(in_exchanges[direction] <= passed[direction]);
	REQUIRE(side->kept.len <= side->bytes);
	REQUIRE(side->kept.len <= (size_t) limit);
	REQUIRE(exchange->is_truncated || !exchange->recorded || side->kept.len == side->bytes);
	for (size_t i = 0; i < exchange->passages.len / sizeof(Passage); i++)
	{
		const Passage *passage = (const Passage *) exchange->passages.data + i;

		if ((int) (passage->bytes & 1) == direction)
			in_passages += passage->bytes >> 1;
	}
	REQUIRE(exchange->is_truncated || !exchange->recorded || in_passages == side->bytes);
	REQUIRE(in_passages <= side->bytes);
}

/*
 * Takes a part of an exchange that goes on.
 */
static void
on_part(Tracker *tracker, Exchange *exchange)
{
	int64_t request_limit = present->keeps_bytes ? present->request_limit : 0;
	int64_t response_limit = present->keeps_bytes ? present->response_limit : 0;

	(void) tracker;
	check_side(exchange, &exchange->request, request_limit, 0);
	check_side(exchange, &exchange->response, response_limit, 1);
	REQUIRE(exchange->exchange_no >= 0 && exchange->exchange_no <= highest_no + 1);
	if (exchange->exchange_no > highest_no)
		highest_no = exchange->exchange_no;
	REQUIRE(exchange->statement_count >= 0 && exchange->tag_len <= sizeof(exchange->tag));
	REQUIRE(exchange_kind(exchange) < FACTS_KINDS);
}

/*
 * Takes a finished exchange.
 */
static void
on_finished(Tracker *tracker, Exchange *exchange)
{
	on_part(tracker, exchange);
	exchange_release(&pool, exchange);
}

static void
on_text(Tracker *tracker, Text *text)
{
	(void) tracker;
	REQUIRE(text->len <= TEXT_MAX);
}

static void
on_ready(Tracker *tracker)
{
	REQUIRE(tracker->is_ready);
}

/*
 * Passes one piece, in memory of its own.
 */
static void
pass_piece(Tracker *tracker, bool is_backend, Input piece, int64_t now)
{
	uint8_t *copy = exact_copy(piece.data, piece.len);

	passed[is_backend] += piece.len;
	if (is_backend)
		tracker_backend(tracker, copy, piece.len, now);
	else
		tracker_frontend(tracker, copy, piece.len, now);
	free(copy);
	tracker_throttled(tracker);
	REQUIRE(budget.used <= MEMORY_START + MEMORY_PER_BYTE * (passed[0] + passed[1]));
}

/*
 * Passes the rest of an input in pieces.
 */
static void
pass_all(Tracker *tracker, Input *input)
{
	for (int64_t now = 1000; input->len > 0; now += 10)
	{
		uint8_t head = take_byte(input);
		size_t len = (head & 0x7f) < 120 ? head & 0x7f : (size_t) 64 << ((head & 7) * 2);

		pass_piece(tracker, head & 0x80, take_bytes(input, len), now);
	}
}

/*
 * Begins a session: the startup packet, and, if it is to, its login.
 */
static void
begin(Tracker *tracker, bool logs_in)
{
	static const uint8_t startup[] = "\0\0\0\21\0\3\0\0user\0a\0\0";
	static const uint8_t login[] = "R\0\0\0\10\0\0\0\0Z\0\0\0\5I";
	Input piece = {login, sizeof(login) - 1};

	passed[0] += sizeof(startup) - 1;
	tracker_add_startup(tracker, WIRE_FRONTEND, startup, sizeof(startup) - 1, 1, HAS_STARTUP);
	if (logs_in)
		pass_piece(tracker, true, piece, 2);
}

/*
 * Requires that every byte is in an exchange: all but a piece of a header, which
 * is counted when it is whole.
 */
static void
check_conserved(bool desynchronised)
{
	for (int i = 0; i < 2; i++)
	{
		if (!desynchronised && passed[i] - in_exchanges[i] > 4)
			fprintf(stderr, "direction %d: %llu of %llu bytes are in exchanges\n", i,
			        (unsigned long long) in_exchanges[i], (unsigned long long) passed[i]);
		REQUIRE(in_exchanges[i] <= passed[i]);
		REQUIRE(desynchronised || passed[i] - in_exchanges[i] <= 4);
	}
}

/*
 * Runs one input.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, size};
	uint8_t flags = take_byte(&input);
	TrackerEnv env = {.budget = &budget,
	                  .texts = &texts,
	                  .exchanges = &pool,
	                  .request_limit = (int64_t) take_byte(&input) * 64,
	                  .response_limit = (int64_t) take_byte(&input) * 64,
	                  .keeps_bytes = !(flags & 1),
	                  .part_us = flags & 16 ? 30 : 0,
	                  .finished = on_finished,
	                  .part_finished = on_part,
	                  .text_seen = on_text,
	                  .ready = on_ready};
	Tracker tracker;
	bool desynchronised;

	memset(passed, 0, sizeof(passed));
	memset(in_exchanges, 0, sizeof(in_exchanges));
	memset(&budget, 0, sizeof(budget));
	budget.limit = flags & 2 ? 4096 : SIZE_MAX;
	highest_no = -1;
	present = &env;
	texts.budget = pool.budget = &budget;
	pool.texts = &texts;
	tracker_init(&tracker, &env);
	tracker.recorded = !(flags & 4);
	begin(&tracker, !(flags & 8));
	pass_all(&tracker, &input);
	desynchronised = tracker.desynchronised;
	tracker_end(&tracker, INT64_C(1) << 40);
	tracker_free(&tracker);
	check_conserved(desynchronised);
	exchange_pool_free(&pool);
	text_pool_free(&texts);
	if (budget.used != 0)
		fprintf(stderr, "%zu bytes are not given back\n", budget.used);
	REQUIRE(budget.used == 0);
	return 0;
}
