/*
 * plan.h
 *	  The plan of a replay: what the worker read from the record, laid out so that
 *	  the child that does the network can map it and never copies a byte of it.
 *
 * Three files, of the same name with different ends:
 *
 *		.sessions	PlanSession, in the order in which they began
 *		.exchanges	PlanExchange, session after session, in their order
 *		.bytes		requests and responses, at the offsets that the exchanges name
 *
 * The worker writes them, its children map them, and it removes them as soon as they
 * have.  Times are microseconds since the earliest begin in the plan.
 *
 * Public routines:
 *		plan_create, plan_add_bytes, plan_add_exchange, plan_add_session, plan_finish
 *		plan_open, plan_close	the mapped plan
 *		plan_remove				the files
 */
#ifndef REPLAY_PLAN_H
#define REPLAY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PLAN_PATH_SIZE 1024
#define PLAN_TAG_SIZE 64
#define PLAN_RESPONSE_KEPT \
	(256 * 1024)            /* bytes of an answer that are compared; beyond, its digests */
#define PLAN_BEGUN ".begun" /* beside the plan: ids of the sessions that have begun */

/* What becomes of an exchange; those that are not sent are in the plan to keep its order. */
typedef enum PlanOutcome
{
	PLAN_SEND,
	PLAN_FILTERED, /* the caller does not want it sent */
	PLAN_SKIPPED   /* it cannot be sent */
} PlanOutcome;

/* A recorded exchange, its parts put together. */
typedef struct PlanExchange
{
	int64_t exchange_no;
	int64_t started_us;
	int64_t finished_us;
	int64_t turn_us; /* when its turn is in the order across sessions, see order.c */
	int64_t after;   /* which of the session's exchanges had ended when it began; -1: none */
	uint64_t request_at;
	uint64_t response_at;
	uint32_t request_len;
	uint32_t response_len;

	/* the record's columns */
	int64_t row_count;
	int64_t data_row_count;
	uint64_t row_digest;
	uint64_t row_set_digest;
	int32_t statement_count;
	uint8_t outcome; /* PlanOutcome */
	bool has_digest;
	bool is_complete;
	bool has_oids;     /* its request may hold numbers of users' types */
	bool is_truncated; /* of the response: its bytes end early */
	bool is_wrapped; /* where everything is rolled back: in BEGIN and ROLLBACK, outside of others */
	char transaction_status; /* 0: none */
	char sqlstate[5];        /* [0] is 0 without an error */
	uint8_t tag_len;
	char tag[PLAN_TAG_SIZE];

	/* columns that noise rules leave out, as OutlineIgnore has them */
	uint64_t noise_at; /* plus 1; 0: none */
	uint32_t noise_len;

	/* a cancel request that hit it */
	int64_t cancel_us; /* after it began; -1: none */
	int64_t cancel_session_id;
	int64_t cancel_exchange_no;
} PlanExchange;

typedef struct PlanSession
{
	int64_t session_id;
	int64_t started_us;
	int64_t ready_us; /* its startup had ended */
	int64_t ended_us;
	uint64_t first; /* of its exchanges */
	uint32_t count;
	uint32_t conninfo; /* number of its connection string */
	bool knows_types;  /* it was in the database whose types the child was told */

	/*
	 * What is sent before the first exchange, and compared with nothing: requests, each
	 * ended by a Query or a Sync.  A Query that fails loses the session; a Parse that
	 * fails does not, as who binds it then gets an error of its own.
	 */
	uint32_t prelude_len;
	uint64_t prelude_at;
} PlanSession;

/* A plan that is being written. */
typedef struct PlanWriter
{
	FILE *sessions;
	FILE *exchanges;
	FILE *bytes;
	uint64_t session_count;
	uint64_t exchange_count;
	uint64_t byte_count;
} PlanWriter;

/* A plan that is mapped. */
typedef struct ReplayPlan
{
	const PlanSession *sessions;
	const PlanExchange *exchanges;
	const uint8_t *bytes;
	size_t session_count;
	size_t exchange_count;
	size_t byte_count;
} ReplayPlan;

/* Makes the files.  False: errno says why; then and later the caller removes them. */
extern bool plan_create(PlanWriter *writer, const char *path);

/* Appends bytes; *at is where they are. */
extern bool plan_add_bytes(PlanWriter *writer, const void *data, size_t len, uint64_t *at);
extern bool plan_add_exchange(PlanWriter *writer, const PlanExchange *exchange);
extern bool plan_add_session(PlanWriter *writer, const PlanSession *session);

/* Closes the files; false: something of them was not written, errno says why. */
extern bool plan_finish(PlanWriter *writer);

/* Maps the files, and checks that they fit one another. */
extern bool plan_open(ReplayPlan *plan, const char *path);
extern void plan_close(ReplayPlan *plan);

extern void plan_remove(const char *path);

#endif /* REPLAY_PLAN_H */
