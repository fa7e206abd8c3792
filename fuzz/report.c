/*
 * report.c
 *	  What a replay's worker makes of a network process that reports anything.
 *
 * Input: packets, each two bytes that say how long it is, and that many bytes.  The plan is
 * a fixed one: a session of three exchanges, of which the second is not to be sent and the
 * third is hit by a cancel request; a session of one; a session of none.
 *
 * Properties: a record that is taken is one that can be: of its kind's size, about a session
 * and an exchange that are to be sent, nothing twice; facts are whole; nothing is read that
 * is not there; memory does not grow.
 */
#include "fuzz.h"
#include "memory.h"
#include "replay/compare.h"
#include "replay/expect.h"

#define SESSIONS 3
#define EXCHANGES 4

static const PlanSession sessions[SESSIONS] = {{.session_id = 9, .first = 0, .count = 3},
                                               {.session_id = 7, .first = 3, .count = 1},
                                               {.session_id = 8, .first = 4, .count = 0}};
static const PlanExchange exchanges[EXCHANGES] = {
    {.exchange_no = 1, .cancel_us = -1},
    {.exchange_no = 2, .cancel_us = -1, .outcome = PLAN_FILTERED},
    {.exchange_no = 4, .cancel_us = 5, .cancel_session_id = 11, .cancel_exchange_no = 0},
    {.exchange_no = 1, .cancel_us = -1}};
static const ReplayPlan plan = {.sessions = sessions,
                                .exchanges = exchanges,
                                .session_count = SESSIONS,
                                .exchange_count = EXCHANGES};

/* What was taken: exchanges (9, 1), (9, 4), (11, 0), (7, 1); begins and ends of 7, 8, 9, 11. */
static int sent[4];
static int begun[4];
static int ended[4];

/*
 * Checks an exchange that was taken.
 */
static void
take_exchange(const char *data, size_t size)
{
	static const int64_t known[4][2] = {{9, 1}, {9, 4}, {11, 0}, {7, 1}};
	LinkExchange record;
	int found = -1;

	REQUIRE(size == sizeof(record));
	memcpy(&record, data, sizeof(record));
	for (int i = 0; i < 4; i++)
		if (known[i][0] == record.session_id && known[i][1] == record.exchange_no)
			found = i;
	REQUIRE(found >= 0);
	REQUIRE(++sent[found] == 1);
}

/*
 * Checks a session's begin or end that was taken.
 */
static void
take_session(const char *data, size_t size)
{
	LinkSession record;
	int at;

	REQUIRE(size >= sizeof(record));
	memcpy(&record, data, sizeof(record));
	at = record.session_id == 11 ? 3 : (int) record.session_id - 7;
	REQUIRE(at >= 0 && at < 4);
	if (record.state == LINK_SESSION_RUNNING)
		REQUIRE(++begun[at] == 1 && ended[at] == 0);
	else
		REQUIRE(++ended[at] == 1);
}

/*
 * Goes through the facts of a difference that was taken, as the worker does.
 */
static void
take_difference(const char *data, size_t size)
{
	LinkDifference record;
	size_t at = sizeof(record);
	unsigned int sum = 0;

	REQUIRE(size >= sizeof(record));
	memcpy(&record, data, sizeof(record));
	REQUIRE(verdict_name((Verdict) record.verdict) != NULL);
	while (at < size)
	{
		LinkFact fact;

		REQUIRE(size - at >= sizeof(fact));
		memcpy(&fact, data + at, sizeof(fact));
		at += sizeof(fact);
		REQUIRE(fact.len <= size - at && fact.key < FACT_COUNT);
		for (uint32_t i = 0; i < fact.len; i++)
			sum += (uint8_t) data[at + i];
		at += fact.len;
	}
	REQUIRE(at == size && sum < UINT32_MAX);
}

/*
 * Takes a packet apart.
 */
static void
take_packet(Expect *expect, Input packet)
{
	char *copy = (char *) exact_copy(packet.data, packet.len);
	size_t at = 0;
	LinkRecord record;
	const char *data;

	while (expect_next(copy, packet.len, &at, &record, &data))
	{
		REQUIRE(data >= copy && data + record.size <= copy + packet.len);
		if (expect_record(expect, (LinkKind) record.kind, data, record.size))
			continue;
		if (record.kind == LINK_EXCHANGE)
			take_exchange(data, record.size);
		else if (record.kind == LINK_SESSION)
			take_session(data, record.size);
		else if (record.kind == LINK_DIFFERENCE)
			take_difference(data, record.size);
		else
			REQUIRE(record.size <= LINK_TEXT);
	}
	REQUIRE(at <= packet.len);
	free(copy);
}

/*
 * Runs an input.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, size};
	Expect expect;

	memset(sent, 0, sizeof(sent));
	memset(begun, 0, sizeof(begun));
	memset(ended, 0, sizeof(ended));
	memory_begin();
	REQUIRE(expect_begin(&expect, &plan));
	while (input.len > 0)
	{
		size_t high = take_byte(&input);

		take_packet(&expect, take_bytes(&input, high * 256 + take_byte(&input)));
	}
	REQUIRE(expect_no_more(&expect) == (ended[0] && ended[1] && ended[2]));
	REQUIRE(memory_most <= 1024 + size);
	expect_end(&expect);
	return 0;
}
