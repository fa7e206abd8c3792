/*
 * expect.h
 *	  What the network processes may say, by the plan that they were given.
 *
 * They read what a foreign server sends, and may say anything after that.  So each record
 * is held against the plan before it becomes a row: it is as long as its kind is, it is
 * about a session and an exchange that are to be sent, and each is begun, sent and ended
 * once.  A record that cannot be ends the run.
 *
 * Public routines:
 *		expect_begin, expect_end	by a plan, which must stay where it is
 *		expect_next		the next record of a packet
 *		expect_record	whether a record can be
 *		expect_no_more	whether all sessions have ended
 */
#ifndef REPLAY_EXPECT_H
#define REPLAY_EXPECT_H

#include "replay/link.h"

/* A session that is replayed, or a cancel request: then exchange_no is its only one. */
typedef struct ExpectedSession
{
	int64_t session_id;
	const PlanSession *plan; /* NULL: a cancel request */
	int64_t exchange_no;
	uint64_t first; /* of its exchanges, in Expect's */
	uint8_t state;
} ExpectedSession;

/* What was said of an exchange. */
typedef struct ExpectedExchange
{
	bool is_sent;
	uint8_t differences;
} ExpectedExchange;

typedef struct Expect
{
	const ReplayPlan *plan;
	ExpectedSession *sessions; /* by session_id */
	size_t session_count;
	ExpectedExchange *exchanges; /* the plan's, then the cancel requests' */
} Expect;

/* False: out of memory. */
extern bool expect_begin(Expect *expect, const ReplayPlan *plan);
extern void expect_end(Expect *expect);

/* Finds the record at *at, and steps over it.  False: there is none that is whole. */
extern bool expect_next(const char *packet, size_t len, size_t *at, LinkRecord *record,
                        const char **data);

/* Says what is wrong with a record; NULL: nothing, and it is noted. */
extern const char *expect_record(Expect *expect, LinkKind kind, const char *data, size_t size);

/* Whether all sessions have ended. */
extern bool expect_no_more(const Expect *expect);

#endif /* REPLAY_EXPECT_H */
