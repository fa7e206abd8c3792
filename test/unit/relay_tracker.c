/*
 * relay_tracker.c
 *	  Pairing: which answer belongs to which request, under every split.
 *
 * A scenario is two lines of tokens, a token a message; the frontend's bytes are
 * given to the tracker first, then the backend's, each cut in two at every byte
 * and also one byte at a time.  After each scenario come a `select 42` and its
 * answer, which must be alone in their exchange.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "relay/redact.h"
#include "relay/tracker.h"

#define MAX_EXCHANGES 64

/* What the tests look at of a finished exchange. */
typedef struct Seen
{
	int64_t no;
	int part;
	char kind[16];
	char query[32];
	char request[64]; /* type bytes */
	char response[64];
	int64_t request_bytes;
	int64_t rows;
	int statements;
	bool is_complete;
	bool uncertain;
	char sqlstate[6];
} Seen;

static uint64_t front_bytes; /* of all finished exchanges */
static uint64_t back_bytes;
static uint64_t passage_bytes[2];
static int part_count;
static bool parts_whole;
static bool passages_in_order = true;
static Seen seen[MAX_EXCHANGES];
static int seen_count;
static Budget budget;
static TextPool texts;
static ExchangePool pool;

/*
 * Lists the type bytes of kept messages.
 */
static void
list_types(char *out, size_t size, const Buffer *kept, bool is_startup)
{
	WireFramer framer = {.have = 0};
	const uint8_t *data = kept->data;
	size_t len = kept->len;
	size_t n = 0;

	if (is_startup && len > 0)
	{
		snprintf(out, size, "startup");
		return;
	}
	while (len > 0)
	{
		WireFrame frame;
		size_t used = wire_frame_next(&framer, data, len, &frame);

		if (frame.ends && n + 1 < size)
			out[n++] = (char) frame.type;
		data += used;
		len -= used;
	}
	out[n] = 0;
}

/*
 * Tells whether kept bytes are whole messages.
 */
static bool
is_whole(const Buffer *kept, bool is_startup)
{
	WireFramer framer = {.have = 0};
	size_t at = 0;

	while (!is_startup && at < kept->len)
	{
		WireFrame frame;

		at += wire_frame_next(&framer, kept->data + at, kept->len - at, &frame);
	}
	return framer.have == 0 && framer.left == 0;
}

/*
 * Takes a part of a long exchange, or the whole of one.
 */
static void
on_part(Tracker *tracker, Exchange *exchange)
{
	Seen *s = &seen[seen_count < MAX_EXCHANGES ? seen_count++ : MAX_EXCHANGES - 1];

	(void) tracker;
	if (exchange->finished_at >= 0 && tracker->first == exchange)
	{
		part_count++;
		parts_whole &=
		    is_whole(&exchange->request.kept, false) && is_whole(&exchange->response.kept, false);
	}
	front_bytes += exchange->request.bytes;
	back_bytes += exchange->response.bytes;
	for (size_t i = 0; i < exchange->passages.len / sizeof(Passage); i++)
	{
		const Passage *passage = (const Passage *) exchange->passages.data + i;

		passage_bytes[passage->bytes & 1] += passage->bytes >> 1;
		passages_in_order &= i == 0 || passage->at >= (passage - 1)->at;
	}
	memset(s, 0, sizeof(*s));
	s->no = exchange->exchange_no;
	s->part = exchange->part_no;
	snprintf(s->kind, sizeof(s->kind), "%s", facts_kind_name(exchange_kind(exchange)));
	if (exchange->query)
		snprintf(s->query, sizeof(s->query), "%.*s", (int) exchange->query->len,
		         exchange->query->data);
	list_types(s->request, sizeof(s->request), &exchange->request.kept,
	           exchange->has & HAS_STARTUP);
	list_types(s->response, sizeof(s->response), &exchange->response.kept, false);
	s->request_bytes = (int64_t) exchange->request.bytes;
	s->rows = exchange->row_count;
	s->statements = exchange->statement_count;
	s->is_complete = exchange->is_complete;
	s->uncertain = exchange->uncertain;
	memcpy(s->sqlstate, exchange->sqlstate, 5);
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
	(void) text;
}

static void
on_ready(Tracker *tracker)
{
	(void) tracker;
}

static const TrackerEnv env = {.budget = &budget,
                               .texts = &texts,
                               .exchanges = &pool,
                               .request_limit = 1 << 20,
                               .response_limit = 1 << 20,
                               .keeps_bytes = true,
                               .part_us = 100,
                               .finished = on_finished,
                               .part_finished = on_part,
                               .text_seen = on_text,
                               .ready = on_ready};

/*
 * Appends a message.
 */
static size_t
put(uint8_t *out, char type, const void *body, size_t len)
{
	uint32_t length = (uint32_t) len + 4;

	out[0] = (uint8_t) type;
	for (int i = 0; i < 4; i++)
		out[1 + i] = (uint8_t) (length >> (24 - 8 * i));
	if (len > 0)
		memcpy(out + 5, body, len);
	return len + 5;
}

/*
 * Builds a stream from tokens: a type byte, and after ':' the body's text, in
 * which '/' stands for a zero byte.
 */
static size_t
build(const char *tokens, bool is_backend, uint8_t *out)
{
	size_t size = 0;

	while (*tokens)
	{
		char body[64];
		size_t len = 0;
		char type = *tokens++;

		if (type == ' ')
			continue;
		if (*tokens == ':')
			for (tokens++; *tokens && *tokens != ' '; tokens++)
				body[len++] = *tokens == '/' ? 0 : *tokens == '_' ? ' ' : *tokens;
		else if (is_backend && type == 'Z')
			body[len++] = 'I';
		else if (is_backend && type == 'C')
		{
			memcpy(body, "SELECT 1", 9);
			len = 9;
		}
		else if (is_backend && type == 'E')
		{
			memcpy(body, "SERROR\0C42601\0Mbad\0\0", 20);
			len = 20;
		}
		else if (!is_backend && type == 'Q')
		{
			memcpy(body, "select 42", 10);
			len = 10;
		}
		size += put(out + size, type, body, len);
	}
	return size;
}

/*
 * Brings a tracker to where the first ReadyForQuery was seen.
 */
static void
start(Tracker *tracker)
{
	uint8_t stream[256];
	size_t len;

	seen_count = 0;
	tracker_init(tracker, &env);
	tracker->recorded = true;
	tracker_add_startup(tracker, WIRE_FRONTEND, (const uint8_t *) "\0\0\0\10\0\3\0\0", 8, 1,
	                    HAS_STARTUP);
	len = put(stream, 'R', "\0\0\0\0", 4);
	len += build("Z", true, stream + len);
	tracker_backend(tracker, stream, len, 2);
	seen_count = 0;
}

/*
 * Feeds a stream, cut at one place (or, with cut = SIZE_MAX, at each byte).
 */
static void
feed(Tracker *tracker, bool is_backend, const uint8_t *data, size_t len, size_t cut)
{
	size_t at = 0;

	while (at < len)
	{
		size_t n = cut == SIZE_MAX ? 1 : at < cut && cut < len ? cut - at : len - at;
		uint8_t *copy = malloc(n); /* so that reading behind its end is seen */

		memcpy(copy, data + at, n);
		if (is_backend)
			tracker_backend(tracker, copy, n, 10 + (int64_t) at);
		else
			tracker_frontend(tracker, copy, n, 5 + (int64_t) at);
		free(copy);
		at += n;
	}
}

/*
 * Compares what was seen with what a scenario expects: "request>response" for
 * each exchange, parts of late CopyData among them.
 */
static bool
matches(const char *expected, char *got, size_t size)
{
	size_t n = 0;

	got[0] = 0;
	for (int i = 0; i < seen_count && n < size - 1; i++)
		n += (size_t) snprintf(got + n, size - n, "%s%s>%s%s", i ? " " : "", seen[i].request,
		                       seen[i].response, seen[i].uncertain ? "?" : "");
	return strcmp(expected, got) == 0;
}

/*
 * Runs a scenario under every split.
 */
static void
scenario(const char *name, const char *front, const char *back, const char *expected)
{
	uint8_t f[1024];
	uint8_t b[1024];
	size_t flen = build(front, false, f);
	size_t blen = build(back, true, b);
	uint8_t query[64];
	uint8_t answer[64];
	size_t qlen = build("Q", false, query);
	size_t alen = build("T D C Z", true, answer);
	char want[512];
	bool ok = true;

	snprintf(want, sizeof(want), "%s Q>TDCZ", expected);
	for (size_t cut = 1; ok && cut <= flen + blen + 1; cut++)
	{
		Tracker tracker;
		char got[512];
		size_t all = cut == flen + blen + 1 ? SIZE_MAX : 0;

		start(&tracker);
		feed(&tracker, false, f, flen, all ? all : cut);
		feed(&tracker, true, b, blen, all ? all : cut > flen ? cut - flen : blen);
		feed(&tracker, false, query, qlen, 0);
		feed(&tracker, true, answer, alen, 0);
		if (!matches(want, got, sizeof(got)))
		{
			printf("FAILED %s, cut at %zu: expected %s, got %s\n", name, cut, want, got);
			ok = false;
		}
		tracker_end(&tracker, 100);
		tracker_free(&tracker);
	}
	if (ok)
		passed++;
	else
		failed++;
}

/*
 * Runs a scenario in steps: "F tokens" and "B tokens" in turn.
 */
static void
steps(const char *name, const char *const *step, const char *expected)
{
	Tracker tracker;
	char got[512];
	uint8_t stream[1024];

	start(&tracker);
	for (int64_t now = 20; *step; step++, now++)
	{
		bool is_backend = (*step)[0] == 'B';
		size_t len = build(*step + 2, is_backend, stream);

		if (is_backend)
			tracker_backend(&tracker, stream, len, now);
		else
			tracker_frontend(&tracker, stream, len, now);
	}
	tracker_end(&tracker, 100);
	tracker_free(&tracker);
	if (matches(expected, got, sizeof(got)))
		passed++;
	else
	{
		failed++;
		printf("FAILED %s: expected %s, got %s\n", name, expected, got);
	}
}

/*
 * What was seen on a server, row by row, and the plain cases.
 */
static void
test_table(void)
{
	scenario("simple", "Q", "T D C Z", "Q>TDCZ");
	scenario("extended", "P:/x/ B:// D:S/ E:/ S", "1 2 t T D C Z", "PBDES>12tTDCZ");
	scenario("describe portal", "P:/x/ B:// D:P/ E:/ S", "1 2 n C Z", "PBDES>12nCZ");
	scenario("two at once", "Q Q", "T D C Z T D C Z", "Q>TDCZ Q>TDCZ");
	scenario("pipeline", "P:/x/ B:// E:/ S P:/y/ B:// E:/ S", "1 2 D C Z 1 2 D C Z",
	         "PBES>12DCZ PBES>12DCZ");
	scenario("bad parse, query", "P:/x/ Q S", "E Z", "PQS>EZ");
	scenario("bad parse, function call, query", "P:/x/ F Q S", "E Z", "PFQS>EZ");
	scenario("extended without sync, query", "P:/x/ B:// E:/ Q", "1 2 D C T D C Z",
	         "PBEQ>12DCTDCZ");
	scenario("libpq copy", "P:/x/ B:// E:/ S d:a c S", "1 2 G C Z", "PBESdcS>12GCZ");
	scenario("copy fails before its first read", "P:/x/ B:// E:/ S d:a c S", "1 2 E Z Z",
	         "PBESdc>12EZ S>Z");
	scenario("copy fails after a read", "P:/x/ B:// E:/ S d:a c S", "1 2 G E Z", "PBESdcS>12GEZ");
	scenario("copy without an early sync fails", "P:/x/ B:// E:/ d:a c S", "1 2 G E Z",
	         "PBEdcS>12GEZ");
	scenario("query copy fails, late data", "Q d:a c Q", "G E Z T D C Z", "Qdc>GEZ Q>TDCZ");
	scenario("query copy", "Q d:a d:b c", "G C Z", "Qddc>GCZ");
	scenario("two copies in a query", "Q d:a c d:b c", "G C G C Z", "Qdcdc>GCGCZ");
	scenario("query copy with ignored syncs", "Q d:a S S c", "G C Z", "QdcSS>GCZ");
	scenario("copy out", "Q", "H d:a d:b c C Z", "Q>HddcCZ");
	scenario("bare syncs", "S S S", "Z Z Z", "S>Z S>Z S>Z");
	scenario("sync after an error", "P:/x/ S S", "E Z Z", "PS>EZ S>Z");
	scenario("bad parse, query, syncs", "P:/x/ Q S S", "E Z Z", "PQS>EZ S>Z");
	scenario("bad parse, two queries", "P:/x/ Q Q S", "E Z", "PQQS>EZ");
	scenario("bad parse, next batch in it", "P:/x/ Q P:/y/ B:// E:/ S", "E Z", "PQPBES>EZ");
	scenario("function call", "F", "V Z", "F>VZ");
	scenario("flush", "P:/x/ H B:// H E:/ S", "1 2 C Z", "PHBHES>12CZ");
	scenario("close", "C:Sx/ S", "3 Z", "CS>3Z");
	scenario("error at sync", "P:/x/ B:// E:/ S", "1 2 C E Z", "PBES>12CEZ");
	scenario("suspended portal", "P:/x/ B:// E:/ S E:/ S", "1 2 D s Z D C Z", "PBES>12DsZ ES>DCZ");
	scenario("several statements", "Q", "C C E Z", "Q>CCEZ");
	scenario("empty query", "Q", "I Z", "Q>IZ");
	scenario("notice first", "Q", "N C Z", "Q>NCZ");
}

/*
 * What depends on who spoke first.
 */
static void
test_steps(void)
{
	const char *const late[] = {"F Q", "B G", "F d:a", "B E Z", "F d:b c Q", "B T D C Z", NULL};
	static const uint8_t half[] = {'d', 0, 0, 0, 7, 'a'};
	static const uint8_t rest[] = {'b', '\n', 'c', 0, 0, 0, 4};
	Tracker tracker;
	uint8_t stream[64];
	char got[512];
	const char *const skip[] = {"F P:/x/ H", "B E", "F Q S Q", "B Z C Z", NULL};
	const char *const async[] = {"B A", "F Q", "B A C Z", "B S:a/b/ N", NULL};
	const char *const copy[] = {"F P:/x/ B:// E:/ S", "B 1 2 G", "F d:a c S", "B C Z", NULL};
	const char *const swallowed[] = {
	    "F P:/x/ B:// E:/ S", "B 1 2 G", "F d:a", "B E", "F c S", "B Z", "F Q", "B C Z", NULL};
	const char *const early[] = {
	    "F P:/x/ B:// E:/ S", "B 1 2 G E Z", "F d:a c S", "B Z", "F Q", "B C Z", NULL};
	const char *const stray[] = {"F P:/x/ B:// E:/ S d:a c S Q", "B 1 2 G E Z Z C Z", NULL};
	const char *const cut[] = {"F Q P:/x/ B:// E:/ S", "B C Z 1", NULL};
	const char *const end[] = {"F Q", "B C Z", "F X", NULL};

	steps("late CopyData is a part of the exchange that failed", late, "Qd>GEZ dc> Q>TDCZ");
	check(seen[0].no == seen[1].no && seen[1].part == 2, "its number is the same");
	start(&tracker);
	tracker_frontend(&tracker, stream, build("Q", false, stream), 20);
	tracker_frontend(&tracker, half, sizeof(half), 21);
	tracker_backend(&tracker, stream, build("G E Z", true, stream), 22);
	tracker_frontend(&tracker, rest, sizeof(rest), 23);
	tracker_end(&tracker, 30);
	tracker_free(&tracker);
	check(matches("Q>GEZ dc>", got, sizeof(got)), "a CopyData that is cut by the end stays whole");
	check(seen[0].request_bytes == 15 && seen[1].request_bytes == 13,
	      "and no byte is counted twice");
	steps("skipped after the error was seen", skip, "PHQS>EZ Q>CZ");
	steps("asynchronous messages", async, ">A Q>ACZ >SN");
	check(strcmp(seen[0].kind, "async") == 0, "their kind");
	steps("copy in lock-step", copy, "PBESdcS>12GCZ");
	steps("copy fails while data comes, sync swallowed", swallowed, "PBESdcS>12GEZ Q>CZ");
	steps("copy fails before data comes", early, "PBES>12GEZ dc> S>Z Q>CZ");
	steps("a ReadyForQuery too many is never taken for an answer", stray,
	      "PBESdcS>12GEZ >Z? Q>CZ?");
	steps("cut off in the middle", cut, "Q>CZ PBES>1");
	check(!seen[1].is_complete && seen[0].is_complete, "it is incomplete");
	steps("terminate", end, "Q>CZ X>");
	check(strcmp(seen[1].kind, "terminate") == 0, "terminate's kind");
}

/*
 * The query text that an exchange is shown with.
 */
static void
test_statements(void)
{
	const char *const named[] = {"F P:s1/select_1/ S", "B 1 Z", "F B:/s1/ E:/ S", "B 2 C Z", NULL};
	const char *const again[] = {
	    "F P:s1/good/ S", "B 1 Z", "F P:s1/bad/ S", "B E Z", "F B:/s1/ E:/ S", "B 2 C Z", NULL};
	const char *const closed[] = {"F P:s1/good/ S", "B 1 Z", "F C:Ss1/ S", "B 3 Z",
	                              "F B:/s1/ E:/ S", "B E Z", NULL};
	const char *const both[] = {"F P:s1/a/ B:/s1/ E:/ P:s2/b/ B:/s2/ E:/ S",
	                            "B 1 2 C:INSERT_0_5/ 1 2 C:UPDATE_2/ Z", NULL};

	steps("named statement", named, "PS>1Z BES>2CZ");
	check(strcmp(seen[1].query, "select 1") == 0, "its text");
	steps("failed parse of a name in use", again, "PS>1Z PS>EZ BES>2CZ");
	check(strcmp(seen[2].query, "good") == 0, "the first text stays");
	check(strcmp(seen[1].query, "bad") == 0, "the failed one is shown where it failed");
	check(strcmp(seen[1].sqlstate, "42601") == 0, "its SQLSTATE");
	steps("closed statement", closed, "PS>1Z CS>3Z BES>EZ");
	check(seen[2].query[0] == 0, "is forgotten");
	steps("two statements", both, "PBEPBES>12C12CZ");
	check(seen[0].rows == 7 && seen[0].statements == 2, "counts add up");
	check(strcmp(seen[0].query, "a") == 0, "the first one's text");
}

/*
 * What a client may send without reading: memory stays bounded, and reading
 * stops only while the server owes an answer.
 */
static void
test_limits(void)
{
	Tracker tracker;
	uint8_t sync[5] = {'S', 0, 0, 0, 4};
	static uint8_t many[5 * 13000];
	uint8_t batch[128];
	size_t len;

	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = sync[i % 5];
	start(&tracker);
	for (int i = 0; i < 70; i++)
		tracker_frontend(&tracker, many, sizeof(many), 100 + i);
	check(tracker.queue.count == 70, "bare Syncs of a read are one entry");
	check(tracker_throttled(&tracker), "reading stops for them");
	check(budget.used < 1024 * 1024, "memory is bounded");
	tracker_end(&tracker, 1000);
	tracker_free(&tracker);

	start(&tracker);
	len = build("B:// D:P/ E:/", false, batch);
	for (int i = 0; i < 50000; i++)
		tracker_frontend(&tracker, batch, len, 100);
	check(!tracker_throttled(&tracker), "what the server may keep to itself never stops reading");
	check(tracker.queue.count <= TRACKER_QUEUE_LIMIT, "the queue is bounded");
	tracker_frontend(&tracker, sync, 5, 200);
	check(tracker_throttled(&tracker), "a Sync does");
	tracker_end(&tracker, 1000);
	tracker_free(&tracker);

	start(&tracker);
	tracker_frontend(&tracker, (const uint8_t *) "Q\200\0\0\0xxxx", 9, 100);
	check(tracker.desynchronised, "a negative length ends decoding");
	tracker_frontend(&tracker, many, sizeof(many), 101);
	tracker_end(&tracker, 1000);
	tracker_free(&tracker);

	start(&tracker);
	tracker_frontend(&tracker, (const uint8_t *) "d\177\377\377\377xxxx", 9, 100);
	check(budget.used < 1024 * 1024, "a length of 2 GB takes no memory");
	tracker_end(&tracker, 1000);
	tracker_free(&tracker);
}

/*
 * Returns the next of a series of numbers that is the same in each run.
 */
static uint32_t
random_below(uint32_t limit)
{
	static uint64_t state = 42;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (state >> 33) % limit;
}

/*
 * Takes cancel keys of every length that protocol 3.2 allows: a cancel request is
 * linked by a hash of the whole of one.
 */
static void
test_keys(void)
{
	uint8_t body[4 + 256] = {0, 0, 1, 2};
	uint8_t stream[512];
	bool all = true;

	for (size_t i = 4; i < sizeof(body); i++)
		body[i] = (uint8_t) (i * 7);
	for (size_t key = 4; key <= 256; key++)
	{
		Tracker tracker;
		size_t len = put(stream, 'R', "\0\0\0\0", 4);

		len += put(stream + len, 'K', body, 4 + key);
		len += build("Z", true, stream + len);
		seen_count = 0;
		tracker_init(&tracker, &env);
		tracker.recorded = true;
		tracker_add_startup(&tracker, WIRE_FRONTEND, (const uint8_t *) "\0\0\0\10\0\3\0\2", 8, 1,
		                    HAS_STARTUP);
		feed(&tracker, true, stream, len, SIZE_MAX);
		all &= tracker.backend_pid == 258 && tracker.cancel_key == XXH3_64bits(body, 4 + key);
		tracker_end(&tracker, 100);
		tracker_free(&tracker);
	}
	check(all, "cancel keys of 4 to 256 bytes");
}

/*
 * Builds a message of a random type with a body of random bytes.
 */
static size_t
random_message(bool is_backend, uint8_t *out)
{
	static const char front[] = "QPBDECSSSHFdcfX?";
	static const char back[] = "123nTtDDCEZZZIsNASGHWdcVKR?";
	uint8_t body[24];
	size_t len = random_below(sizeof(body));
	char type =
	    is_backend ? back[random_below(sizeof(back) - 1)] : front[random_below(sizeof(front) - 1)];

	if (type == 'S' && !is_backend)
		len = 0;
	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t) random_below(4) * 83;
	return put(out, type, body, len);
}

/*
 * Lets both sides say anything in any order, in any pieces: each byte must end
 * up in one exchange, in order, and no memory may stay behind.
 */
static void
test_anything(void)
{
	bool conserved = true;
	bool passages = true;

	part_count = 0;
	parts_whole = true;
	for (int run = 0; run < 2000; run++)
	{
		Tracker tracker;
		uint64_t sent[2] = {0, 0};
		int64_t now = 0;
		size_t before;

		start(&tracker);
		before = tracker.request_bytes;
		front_bytes = back_bytes = passage_bytes[0] = passage_bytes[1] = 0;
		for (int i = 0; i < 300; i++)
		{
			uint8_t stream[256];
			bool is_backend = random_below(2) == 1;
			size_t len = 0;

			for (uint32_t n = random_below(6) + 1; n > 0; n--)
				len += random_message(is_backend, stream + len);
			feed(&tracker, is_backend, stream, len, random_below((uint32_t) len) + 1);
			sent[is_backend] += len;
			if (run % 2 && random_below(20) == 0)
				tracker_check_long(&tracker, now += 10000);
		}
		tracker_end(&tracker, now + 100000);
		conserved &= front_bytes == sent[0] && back_bytes == sent[1];
		passages &= passage_bytes[0] == sent[0] && passage_bytes[1] == sent[1];
		conserved &= tracker.request_bytes == before + sent[0];
		tracker_free(&tracker);
	}
	check(conserved, "each byte is in one exchange");
	check(passages, "and in its chunks");
	check(part_count > 1000, "long exchanges are recorded in parts");
	check(parts_whole, "which cut no message");
	check(passages_in_order, "which are in the order of time");
}

/*
 * Feeds `count` times the same tokens, all at once.
 */
static void
feed_many(Tracker *tracker, bool is_backend, const char *tokens, int count)
{
	uint8_t one[256];
	size_t len = build(tokens, is_backend, one);
	uint8_t *all = malloc(len * (size_t) count);

	for (int i = 0; i < count; i++)
		memcpy(all + len * (size_t) i, one, len);
	feed(tracker, is_backend, all, len * (size_t) count, 0);
	free(all);
}

/*
 * As many messages as the queue takes, where the relay would look through them again
 * and again if it were careless: this takes a moment, or minutes.
 */
static void
test_many(void)
{
	const int many = TRACKER_QUEUE_LIMIT - 1000;
	Tracker tracker;

	start(&tracker);
	feed_many(&tracker, false, "P:/x/ B:// E:/ S", 1);
	feed_many(&tracker, false, "c", many);
	feed_many(&tracker, false, "S", 1);
	feed_many(&tracker, true, "1 2 G E Z", 1);
	check(seen_count == 1 && seen[0].request_bytes > 5 * many && !seen[0].uncertain,
	      "an end of COPY is dropped as often as it came");
	tracker_end(&tracker, 100);
	tracker_free(&tracker);

	start(&tracker);
	feed_many(&tracker, false, "Q", 1);
	feed_many(&tracker, false, "d:a c", many);
	feed_many(&tracker, true, "G C", many);
	feed_many(&tracker, true, "Z", 1);
	check(seen_count == 1 && seen[0].request_bytes > 11 * many && !seen[0].uncertain,
	      "a Query copies in as often as it says");
	tracker_end(&tracker, 100);
	tracker_free(&tracker);

	start(&tracker);
	feed_many(&tracker, false, "Q", 1);
	feed_many(&tracker, true, "G", 1);
	for (int i = 0; i < many; i++)
	{
		static const uint8_t piece[] = {'d', 0, 0, 0, 5, 'a', 'S', 0, 0, 0, 4};

		tracker_frontend(&tracker, piece, 6, 20 + 2 * i);
		tracker_frontend(&tracker, piece + 6, 5, 21 + 2 * i);
	}
	tracker_frontend(&tracker, (const uint8_t *) "c\0\0\0\4", 5, 20 + 2 * many);
	tracker_backend(&tracker, (const uint8_t *) "C\0\0\0\13COPY 1\0Z\0\0\0\5I", 18, 21 + 2 * many);
	check(seen_count == 1 && seen[0].request_bytes > 11 * many && !seen[0].uncertain,
	      "Syncs that a COPY has swallowed");
	tracker_end(&tracker, 30 + 2 * many);
	tracker_free(&tracker);
}

/*
 * A driver that prepares whatever it runs: as many names and texts as it likes, each
 * as quickly found as the first.
 */
static void
test_many_statements(void)
{
	const int many = 100000;
	Tracker tracker;
	uint8_t stream[256];
	uint8_t answers[256];
	size_t front = 0;
	size_t back = 0;
	int found = 0;

	start(&tracker);
	for (int step = 0; step < 2; step++)
	{
		for (int i = 0; i < many; i++)
		{
			char tokens[64];

			snprintf(tokens, sizeof(tokens), step == 0 ? "P:s%d/select_%d/ S" : "B:/s%d/ E:/ S", i,
			         i);
			front = build(tokens, false, stream);
			tracker_frontend(&tracker, stream, front, 5);
			back = build(step == 0 ? "1 Z" : "2 C Z", true, answers);
			seen_count = 0;
			tracker_backend(&tracker, answers, back, 6);
			snprintf(tokens, sizeof(tokens), "select %d", i);
			found += seen_count == 1 && strcmp(seen[0].query, tokens) == 0;
		}
	}
	check(found == 2 * many, "each statement's text is found");
	tracker_end(&tracker, 100);
	tracker_free(&tracker);
}

/*
 * A portal that is executed again and again, under rules that must know its statement.
 */
static void
test_many_executes(void)
{
	const int many = TRACKER_QUEUE_LIMIT - 1000;
	static const RedactRules rules = {.epoch = 1, .has_parameters = true};
	Tracker tracker;

	texts.rules = &rules;
	start(&tracker);
	feed_many(&tracker, false, "P:/x/ B:// E:/ S", 1);
	feed_many(&tracker, true, "1 2 s Z:T", 1);
	seen_count = 0;
	feed_many(&tracker, false, "E:/", many);
	feed_many(&tracker, false, "S", 1);
	feed_many(&tracker, true, "s", many);
	feed_many(&tracker, true, "Z", 1);
	check(seen_count == 1 && seen[0].request_bytes > 6 * many && !seen[0].uncertain,
	      "a portal goes on as often as it is executed");
	tracker_end(&tracker, 100);
	tracker_free(&tracker);
	texts.rules = NULL;
}

int
main(void)
{
	budget.limit = 64 * 1024 * 1024;
	texts.budget = &budget;
	pool.budget = &budget;
	pool.texts = &texts;
	test_table();
	test_steps();
	test_statements();
	test_limits();
	test_keys();
	test_anything();
	test_many();
	test_many_statements();
	test_many_executes();
	exchange_pool_free(&pool);
	text_pool_free(&texts);
	check(budget.used == 0, "all memory is given back");
	return finish();
}
