/*
 * journal_facts.c
 *	  Tests of the facts of an exchange: what goes in comes out, the usual is small,
 *	  and bytes that are no facts are refused.
 */
#include "journal/facts.h"
#include "journal_test.h"

/*
 * Returns the facts of what is most usual: a Query with one row.
 */
static Facts
usual(void)
{
	Facts facts = {.kind = FACTS_QUERY,
	               .text = FACTS_TEXT_REQUEST,
	               .transaction_status = 'I',
	               .is_complete = true,
	               .has_request = true,
	               .has_response = true,
	               .has_chunks = true,
	               .part_no = 1,
	               .statement_count = 1,
	               .duration = 150,
	               .first_response = 150,
	               .think = 20,
	               .row_count = 1,
	               .data_row_count = 1,
	               .request_bytes = 62,
	               .response_bytes = 67,
	               .request_kept = 62,
	               .response_kept = 67,
	               .tag = "SELECT 1",
	               .tag_len = 8,
	               .has_digests = true,
	               .row_set_digest = UINT64_C(0x123456789abcdef0)};

	facts.row_digest = facts_digest_row(0, facts.row_set_digest);
	return facts;
}

/*
 * Returns facts of which nothing is usual.
 */
static Facts
unusual(void)
{
	Facts facts = {.kind = FACTS_ASYNC,
	               .text = FACTS_TEXT_NORMALISED,
	               .transaction_status = 'x',
	               .is_truncated = true,
	               .pairing_uncertain = true,
	               .is_redacted = true,
	               .is_request_redacted = true,
	               .has_request = true,
	               .has_response = true,
	               .has_chunks = true,
	               .part_no = INT32_MAX,
	               .statement_count = 1000000,
	               .duration = INT64_C(1) << 52,
	               .first_response = 0,
	               .think = INT64_MAX,
	               .row_count = INT64_MAX,
	               .data_row_count = INT64_C(1) << 40,
	               .request_bytes = UINT64_MAX >> 1,
	               .response_bytes = UINT64_MAX >> 1,
	               .request_kept = 268435456,
	               .response_kept = 65536,
	               .chunks_len = 100000,
	               .hash_count = 1000000,
	               .sqlstate = {'4', '2', 'P', '0', '1'},
	               .has_query_id = true,
	               .query_id = -1,
	               .has_digests = true,
	               .row_digest = 1,
	               .row_set_digest = 2,
	               .has_cancelled = true,
	               .cancelled_session_id = INT64_MAX,
	               .cancelled_exchange_no = INT64_MAX};

	memset(facts.tag, 'T', sizeof(facts.tag));
	facts.tag_len = sizeof(facts.tag);
	return facts;
}

/*
 * Encodes, decodes and compares; returns the encoded length.
 */
static size_t
round_trip(Facts facts)
{
	uint8_t data[FACTS_SIZE];
	size_t len = facts_encode(&facts, data);
	char tag[FACTS_TAG + 1] = {0};
	Facts back;

	CHECK(len <= FACTS_SIZE);
	CHECK(facts_decode(data, len, &back));
	CHECK(facts_tag(&back, tag) == facts.tag_len);
	CHECK(memcmp(tag, facts.tag, facts.tag_len) == 0);
	/* what only one side has */
	memset(back.tag, 0, sizeof(back.tag));
	memset(facts.tag, 0, sizeof(facts.tag));
	back.tag_len = facts.tag_len = 0;
	back.tag_number = 0;
	CHECK(back.kind == facts.kind && back.text == facts.text);
	CHECK(back.transaction_status == facts.transaction_status);
	CHECK(back.is_complete == facts.is_complete && back.is_truncated == facts.is_truncated &&
	      back.pairing_uncertain == facts.pairing_uncertain &&
	      back.is_redacted == facts.is_redacted &&
	      back.is_request_redacted == facts.is_request_redacted);
	CHECK(back.has_request == facts.has_request && back.has_response == facts.has_response &&
	      back.has_chunks == facts.has_chunks);
	CHECK(back.part_no == facts.part_no && back.statement_count == facts.statement_count);
	CHECK(back.duration == facts.duration && back.first_response == facts.first_response);
	CHECK(back.think == facts.think);
	CHECK(back.row_count == facts.row_count && back.data_row_count == facts.data_row_count);
	CHECK(back.request_bytes == facts.request_bytes && back.response_bytes == facts.response_bytes);
	CHECK(back.request_kept == facts.request_kept && back.response_kept == facts.response_kept);
	CHECK(back.chunks_len == facts.chunks_len && back.hash_count == facts.hash_count &&
	      back.hash_is_query == facts.hash_is_query);
	CHECK(memcmp(back.sqlstate, facts.sqlstate, sizeof(facts.sqlstate)) == 0);
	CHECK(back.has_query_id == facts.has_query_id && back.query_id == facts.query_id);
	CHECK(back.has_digests == facts.has_digests && back.row_digest == facts.row_digest &&
	      back.row_set_digest == facts.row_set_digest);
	CHECK(back.has_cancelled == facts.has_cancelled &&
	      back.cancelled_session_id == facts.cancelled_session_id &&
	      back.cancelled_exchange_no == facts.cancelled_exchange_no);
	return len;
}

/*
 * What goes in comes out.
 */
static void
test_round_trips(void)
{
	Facts none = {.part_no = 1};
	Facts facts = usual();

	CHECK(round_trip(facts) == 19);
	CHECK(round_trip(unusual()) > 100);
	none.first_response = none.think = -1;
	CHECK(round_trip(none) < 10);
	facts.first_response = 149;
	facts.hash_is_query = true;
	round_trip(facts);
	for (int kind = 0; kind < FACTS_KINDS; kind++)
	{
		facts.kind = (FactsKind) kind;
		facts.is_redacted = facts.is_request_redacted = false;
		CHECK(round_trip(facts) + 1 == round_trip((facts.is_redacted = true, facts)));
		facts.is_request_redacted = true;
		CHECK(round_trip(facts) == round_trip((facts.is_redacted = false, facts)));
		CHECK(facts_kind_of(facts_kind_name(facts.kind)) == facts.kind);
	}
	CHECK(facts_kind_of("Query") == FACTS_KINDS && facts_kind_of("") == FACTS_KINDS);
}

/*
 * Tags that look like known ones, with another number or another spelling.
 */
static void
test_tags(void)
{
	static const char *const tags[] = {"SELECT 1",   "SELECT 2",
	                                   "SELECT 01",  "SELECT ",
	                                   "SELECT 1 ",  "SELECT",
	                                   "SELECT -1",  "INSERT 0 1",
	                                   "INSERT 5 1", "BEGIN",
	                                   "BEGINN",     "CREATE MATERIALIZED VIEW",
	                                   "COPY 1",     "SELECT 1000000000000000000000000000000001"};
	Facts facts = usual();

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
	{
		memset(facts.tag, 0, sizeof(facts.tag));
		facts.tag_len = (uint32_t) strlen(tags[i]);
		memcpy(facts.tag, tags[i], facts.tag_len);
		round_trip(facts);
	}
}

/*
 * No byte may be missing or too many; flags of a later version are refused.
 */
static void
test_refused(void)
{
	uint8_t data[FACTS_SIZE + 1] = {0};
	Facts facts = unusual();
	size_t len = facts_encode(&facts, data);
	Facts back;

	for (size_t i = 0; i < len; i++)
		CHECK(!facts_decode(data, i, &back));
	CHECK(facts_decode(data, len, &back));
	CHECK(!facts_decode(data, len + 1, &back));
	data[4] |= 0x40; /* a flag that is not known, beside the kind */
	CHECK(!facts_decode(data, len, &back));
	data[4] = 0x10 | FACTS_KINDS;
	CHECK(!facts_decode(data, len, &back));
	data[0] = (uint8_t) ((data[0] & 0xf0) | FACTS_KINDS);
	CHECK(!facts_decode(data, len, &back));
}

/*
 * Any bytes are decoded without harm.
 */
static void
test_noise(void)
{
	uint8_t data[64];
	uint32_t state = 1;
	int decoded = 0;

	for (int i = 0; i < 200000; i++)
	{
		size_t len = (size_t) i % sizeof(data);
		char tag[FACTS_TAG + 1];
		Facts back;

		for (size_t j = 0; j < len; j++)
		{
			state = state * 1103515245 + 12345;
			data[j] = (uint8_t) (state >> 16) & (i & 1 ? 0xff : 0x13);
		}
		if (facts_decode(data, len, &back) && facts_tag(&back, tag) <= FACTS_TAG)
			decoded++;
	}
	CHECK(decoded > 0);
}

/*
 * Numbers of every length.
 */
static void
test_varints(void)
{
	for (int bit = 0; bit < 64; bit++)
	{
		uint8_t data[FACTS_VARINT];
		uint64_t number = UINT64_C(1) << bit;
		size_t len = facts_put_varint(data, number);
		uint64_t back;
		size_t at = 0;

		CHECK(facts_get_varint(data, len, &at, &back) && back == number && at == len);
		at = 0;
		CHECK(!facts_get_varint(data, len - 1, &at, &back));
	}
}

int
main(void)
{
	test_round_trips();
	test_tags();
	test_refused();
	test_noise();
	test_varints();
	return finish_journal();
}
