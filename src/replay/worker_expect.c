/*
 * worker_expect.c
 *	  What the network processes may say, by the plan that they were given.
 *
 * They read what a foreign server sends, and may say anything after that.  So each record
 * is held against the plan before it becomes a row: it is as long as its kind is, it is
 * about a session and an exchange that are to be sent, and each is begun, sent and ended
 * once.  A record that cannot be ends the run.
 */
#include "replay/worker.h"

#include <errno.h>

#include "replay/compare.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_DIFFERENCES 64 /* an exchange; the child gives fewer */

/* How far a session is. */
enum
{
	HAS_BEGUN = 1,
	HAS_ENDED = 2
};

/* A session that is replayed, or a cancel request: then exchange_no is its only one. */
typedef struct ExpectedSession
{
	int64 session_id;
	const PlanSession *plan; /* NULL: a cancel request */
	int64 exchange_no;
	uint64 first; /* of its exchanges, in `exchanges` below */
	uint8 state;
} ExpectedSession;

/* What was said of an exchange. */
typedef struct ExpectedExchange
{
	bool is_sent;
	uint8 differences;
} ExpectedExchange;

static ReplayPlan plan;
static ExpectedSession *sessions; /* by session_id */
static Size session_count;
static ExpectedExchange *exchanges;

/*
 * Compares two sessions by their ids.
 */
static int
by_id(const void *a, const void *b)
{
	int64 left = ((const ExpectedSession *) a)->session_id;
	int64 right = ((const ExpectedSession *) b)->session_id;

	return left < right ? -1 : left > right;
}

/*
 * Learns what is to come from the plan at a path.
 */
void
replay_expect_plan(const char *path)
{
	Size cancels = 0;
	Size count = 0;

	if (!plan_open(&plan, path))
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not read the plan of the replay at \"%s\": %m", path)));
	for (Size i = 0; i < plan.exchange_count; i++)
		cancels += plan.exchanges[i].cancel_us >= 0;
	session_count = plan.session_count + cancels;
	sessions =
	    MemoryContextAllocHuge(TopMemoryContext, Max(session_count, 1) * sizeof(ExpectedSession));
	exchanges = MemoryContextAllocExtended(
	    TopMemoryContext, (plan.exchange_count + cancels + 1) * sizeof(ExpectedExchange),
	    MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (; count < plan.session_count; count++)
		sessions[count] = (ExpectedSession){.session_id = plan.sessions[count].session_id,
		                                    .plan = &plan.sessions[count],
		                                    .first = plan.sessions[count].first};
	for (Size i = 0; i < plan.exchange_count; i++)
		if (plan.exchanges[i].cancel_us >= 0)
		{
			sessions[count] =
			    (ExpectedSession){.session_id = plan.exchanges[i].cancel_session_id,
			                      .exchange_no = plan.exchanges[i].cancel_exchange_no,
			                      .first = plan.exchange_count + count - plan.session_count};
			count++;
		}
	qsort(sessions, session_count, sizeof(ExpectedSession), by_id);
}

/*
 * Finds a session; NULL: it is not in the plan.
 */
static ExpectedSession *
find_session(int64 session_id)
{
	ExpectedSession key = {.session_id = session_id};

	return bsearch(&key, sessions, session_count, sizeof(ExpectedSession), by_id);
}

/*
 * Finds an exchange, and whether it is to be sent; NULL: it is not in the plan.
 */
static ExpectedExchange *
find_exchange(int64 session_id, int64 exchange_no, bool *is_to_send)
{
	const ExpectedSession *session = find_session(session_id);
	uint64 low = 0;
	uint64 high;

	if (!session)
		return NULL;
	*is_to_send = true;
	if (!session->plan)
		return session->exchange_no == exchange_no ? &exchanges[session->first] : NULL;
	for (high = session->plan->count; low < high;)
	{
		uint64 middle = (low + high) / 2;

		if (plan.exchanges[session->first + middle].exchange_no < exchange_no)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == session->plan->count ||
	    plan.exchanges[session->first + low].exchange_no != exchange_no)
		return NULL;
	*is_to_send = plan.exchanges[session->first + low].outcome == PLAN_SEND;
	return &exchanges[session->first + low];
}

/*
 * Checks that an exchange was sent that is to be, and only now.
 */
static const char *
check_exchange(const char *data, Size size)
{
	LinkExchange record;
	ExpectedExchange *exchange;
	bool is_to_send;

	if (size != sizeof(record))
		return "an exchange of another size";
	memcpy(&record, data, sizeof(record));
	exchange = find_exchange(record.session_id, record.exchange_no, &is_to_send);
	if (!exchange || !is_to_send)
		return "an exchange that is not to be sent";
	if (exchange->is_sent)
		return "an exchange for the second time";
	if (!IS_VALID_TIMESTAMP(record.sent_at))
		return "an exchange at no time that there is";
	exchange->is_sent = true;
	return NULL;
}

/*
 * Checks that a difference is one, and of an exchange of the plan.
 */
static const char *
check_difference(const char *data, Size size)
{
	LinkDifference record;
	ExpectedExchange *exchange;
	bool is_to_send;
	Size at = sizeof(record);

	if (size < sizeof(record))
		return "a difference that is cut";
	memcpy(&record, data, sizeof(record));
	if (record.verdict < 0 || record.verdict >= VERDICT_COUNT)
		return "a verdict that there is not";
	exchange = find_exchange(record.session_id, record.exchange_no, &is_to_send);
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
		    (fact.key == FACT_DIFFERING && fact.len < sizeof(int64)))
			return "a fact that is none";
		at += fact.len;
	}
	return NULL;
}

/*
 * Checks that a session begins or ends that did not before.
 */
static const char *
check_session(const char *data, Size size)
{
	LinkSession record;
	ExpectedSession *session;
	uint8 state;

	if (size < sizeof(record))
		return "a session that is cut";
	memcpy(&record, data, sizeof(record));
	session = find_session(record.session_id);
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
replay_expect_record(LinkKind kind, const char *data, Size size)
{
	switch (kind)
	{
		case LINK_EXCHANGE:
			return check_exchange(data, size);
		case LINK_DIFFERENCE:
			return check_difference(data, size);
		case LINK_SESSION:
			return check_session(data, size);
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
replay_expect_no_more(void)
{
	for (Size i = 0; i < session_count; i++)
		if (sessions[i].plan && sessions[i].state != HAS_ENDED)
			return false;
	return true;
}
