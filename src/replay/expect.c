/*
 * expect.c
 *	  What the network processes may say, by the plan that they were given; see expect.h.
 */
#include "replay/expect.h"

#include <stdlib.h>
#include <string.h>

#include "replay/compare.h"

#define MAX_DIFFERENCES 64 /* an exchange; the child gives fewer */

/* Times that the server's timestamps hold. */
#define FIRST_MOMENT INT64_C(-211813488000000000)
#define END_OF_TIME INT64_C(9223371331200000000)

/* How far a session is. */
enum
{
	HAS_BEGUN = 1,
	HAS_ENDED = 2
};

/*
 * Compares two sessions by their ids.
 */
static int
by_id(const void *a, const void *b)
{
	int64_t left = ((const ExpectedSession *) a)->session_id;
	int64_t right = ((const ExpectedSession *) b)->session_id;

	return left < right ? -1 : left > right;
}

/*
 * Adds the cancel requests of a plan, behind its sessions and exchanges.
 */
static void
add_cancels(Expect *expect)
{
	const ReplayPlan *plan = expect->plan;
	size_t count = plan->session_count;

	for (size_t i = 0; i < plan->exchange_count; i++)
		if (plan->exchanges[i].cancel_us >= 0)
		{
			expect->sessions[count] =
			    (ExpectedSession){.session_id = plan->exchanges[i].cancel_session_id,
			                      .exchange_no = plan->exchanges[i].cancel_exchange_no,
			                      .first = plan->exchange_count + count - plan->session_count};
			count++;
		}
}

/*
 * Learns what is to come.
 */
bool
expect_begin(Expect *expect, const ReplayPlan *plan)
{
	size_t cancels = 0;

	for (size_t i = 0; i < plan->exchange_count; i++)
		cancels += plan->exchanges[i].cancel_us >= 0;
	expect->plan = plan;
	expect->session_count = plan->session_count + cancels;
	expect->sessions = calloc(expect->session_count + 1, sizeof(ExpectedSession));
	expect->exchanges = calloc(plan->exchange_count + cancels + 1, sizeof(ExpectedExchange));
	if (!expect->sessions || !expect->exchanges)
	{
		expect_end(expect);
		return false;
	}
	for (size_t i = 0; i < plan->session_count; i++)
		expect->sessions[i] = (ExpectedSession){.session_id = plan->sessions[i].session_id,
		                                        .plan = &plan->sessions[i],
		                                        .first = plan->sessions[i].first};
	add_cancels(expect);
	qsort(expect->sessions, expect->session_count, sizeof(ExpectedSession), by_id);
	return true;
}

/*
 * Forgets it.
 */
void
expect_end(Expect *expect)
{
	free(expect->sessions);
	free(expect->exchanges);
	memset(expect, 0, sizeof(*expect));
}

/*
 * Finds the next record of a packet; see expect.h.
 */
bool
expect_next(const char *packet, size_t len, size_t *at, LinkRecord *record, const char **data)
{
	if (len - *at < sizeof(*record))
		return false;
	memcpy(record, packet + *at, sizeof(*record));
	if (record->size > len - *at - sizeof(*record))
		return false;
	*data = packet + *at + sizeof(*record);
	*at += sizeof(*record) + record->size;
	return true;
}

/*
 * Finds a session; NULL: it is not in the plan.
 */
static ExpectedSession *
find_session(const Expect *expect, int64_t session_id)
{
	ExpectedSession key = {.session_id = session_id};

	return bsearch(&key, expect->sessions, expect->session_count, sizeof(ExpectedSession), by_id);
}

/*
 * Finds an exchange, and whether it is to be sent; NULL: it is not in the plan.
 */
static ExpectedExchange *
find_exchange(const Expect *expect, int64_t session_id, int64_t exchange_no, bool *is_to_send)
{
	const ExpectedSession *session = find_session(expect, session_id);
	const PlanExchange *planned;
	uint64_t low = 0;
	uint64_t high;

	if (!session)
		return NULL;
	*is_to_send = true;
	if (!session->plan)
		return session->exchange_no == exchange_no ? &expect->exchanges[session->first] : NULL;
	planned = expect->plan->exchanges + session->first;
	for (high = session->plan->count; low < high;)
	{
		uint64_t middle = (low + high) / 2;

		if (planned[middle].exchange_no < exchange_no)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == session->plan->count || planned[low].exchange_no != exchange_no)
		return NULL;
	*is_to_send = planned[low].outcome == PLAN_SEND;
	return &expect->exchanges[session->first + low];
}

/*
 * Checks that an exchange was sent that is to be, and only now.
 */
static const char *
check_exchange(const Expect *expect, const char *data, size_t size)
{
	LinkExchange record;
	ExpectedExchange *exchange;
	bool is_to_send;

	if (size != sizeof(record))
		return "an exchange of another size";
	memcpy(&record, data, sizeof(record));
	exchange = find_exchange(expect, record.session_id, record.exchange_no, &is_to_send);
	if (!exchange || !is_to_send)
		return "an exchange that is not to be sent";
	if (exchange->is_sent)
		return "an exchange for the second time";
	if (record.sent_at < FIRST_MOMENT || record.sent_at >= END_OF_TIME)
		return "an exchange at no time that there is";
	exchange->is_sent = true;
	return NULL;
}

/*
 * Checks that a difference is one, and of an exchange of the plan.
 */
static const char *
check_difference(const Expect *expect, const char *data, size_t size)
{
	LinkDifference record;
	ExpectedExchange *exchange;
	bool is_to_send;
	size_t at = sizeof(record);

	if (size < sizeof(record))
		return "a difference that is cut";
	memcpy(&record, data, sizeof(record));
	if (record.verdict < 0 || record.verdict >= VERDICT_COUNT)
		return "a verdict that there is not";
	exchange = find_exchange(expect, record.session_id, record.exchange_no, &is_to_send);
	if (!exchange)
		return "a difference in an exchange that is not in the plan";
	if (exchange->differences++ == MAX_DIFFERENCES)
		return "differences without an end";
	while (at < size)
	{
		LinkFact fact;

		if (size - at < sizeof(fact))
			return "a fact that is cut";
		memcpy(&fact, data + at, sizeof(fact));
		at += sizeof(fact);
		if (fact.key >= FACT_COUNT || fact.len > size - at ||
		    (fact.key == FACT_DIFFERING && fact.len < sizeof(int64_t)))
			return "a fact that is none";
		at += fact.len;
	}
	return NULL;
}

/*
 * Checks that a session begins or ends that did not before.
 */
static const char *
check_session(const Expect *expect, const char *data, size_t size)
{
	LinkSession record;
	ExpectedSession *session;
	uint8_t state;

	if (size < sizeof(record))
		return "a session that is cut";
	memcpy(&record, data, sizeof(record));
	session = find_session(expect, record.session_id);
	if (!session)
		return "a session that is not in the plan";
	switch (record.state)
	{
		case LINK_SESSION_RUNNING:
			state = HAS_BEGUN;
			break;
		case LINK_SESSION_FINISHED:
		case LINK_SESSION_LOST:
			state = HAS_ENDED;
			break;
		default:
			return "a session in no state that there is";
	}
	if (session->state >= state)
		return "a session's begin or end for the second time";
	session->state = state;
	return NULL;
}

/*
 * Checks a record.  Returns what is wrong with it; NULL: nothing.
 */
const char *
expect_record(Expect *expect, LinkKind kind, const char *data, size_t size)
{
	switch (kind)
	{
		case LINK_EXCHANGE:
			return check_exchange(expect, data, size);
		case LINK_DIFFERENCE:
			return check_difference(expect, data, size);
		case LINK_SESSION:
			return check_session(expect, data, size);
		case LINK_PROGRESS:
			return size == sizeof(LinkProgress) ? NULL : "progress of another size";
		case LINK_NOTE:
		case LINK_REFUSED:
			return size <= LINK_TEXT ? NULL : "a text that is too long";
		case LINK_MAPPED:
		case LINK_DONE:
			return size == 0 ? NULL : "an end that is too long";
	}
	return "a record of no kind that there is";
}

/*
 * Says whether all sessions of the plan have ended.
 */
bool
expect_no_more(const Expect *expect)
{
	for (size_t i = 0; i < expect->session_count; i++)
		if (expect->sessions[i].plan && expect->sessions[i].state != HAS_ENDED)
			return false;
	return true;
}
