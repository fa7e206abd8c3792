/*
 * worker_planner.h
 *	  A plan in the making: what worker_plan.c (sessions) and worker_exchange.c (their
 *	  exchanges) share.
 */
#ifndef REPLAY_WORKER_PLANNER_H
#define REPLAY_WORKER_PLANNER_H

#include "replay/worker.h"
#include "utils/hsearch.h"

#include "utils/hsearch.h"
#include "wire/wire.h"

/* Rows that are fetched at one time: so many, but no more bytes, or one row alone. */
#define PLANNER_FETCH_ROWS 100
#define PLANNER_FETCH_BYTES (4 * 1024 * 1024)

typedef struct PlannerCancels PlannerCancels;
typedef struct Prelude Prelude;

typedef struct Planner
{
	const ReplayRequest *request;
	PlanWriter *writer; /* NULL: it only counts */
	PlanSummary *summary;
	PlanTake take;
	void *arg;
	ReplayTarget *target;
	PlannerCancels *cancels;
	HTAB *noise;      /* NULL: there are no rules */
	TimestampTz base; /* the plan's zero */
	List *begins;     /* TimestampTz of sessions that are replayed, for the peak */
	List *ends;
	MemoryContext context; /* a session's */
	MemoryContext result;

	/* the session in hand */
	int64 session_id;
	int64 largest; /* bytes of its largest exchange */
	const char *user;
	StatementKinds *kinds;
	Prelude *prelude;
	HTAB *rollback;        /* prepared statements, see worker_rollback.c */
	char status;           /* of the transaction, behind the last exchange */
	PlanExchange exchange; /* its parts so far */
	bool has_exchange;
	bool is_copy;
	bool is_redacted;         /* something in it was overwritten, */
	bool is_request_redacted; /* in its request: it is not what was sent */
	bool writes;              /* it is not known to only read; not found out where nobody asks */
	uint64 response_bytes;
	StringInfoData bytes; /* of the exchange's request */
	StringInfoData answer;
	int64 *finished; /* of its exchanges */
	int64 turn;      /* of the last exchange */
	uint32 count;
	int64 after;
	int64 filtered;
	int64 skipped;
} Planner;

/* ---- worker_plan.c ---- */

/* Notes why exchanges are not sent. */
extern void planner_add_reason(Planner *planner, PlanOutcome outcome, const char *text,
                               int64 exchanges, int64 sessions);

/* Raises an error about the plan's files. */
extern void planner_cannot_write(const Planner *planner);

/* ---- worker_exchange.c ---- */

/* Reads a session's exchanges into the plan. */
extern void planner_read_exchanges(Planner *planner, int64 session_id);

/* ---- worker_prelude.c ---- */

/* Begins what goes before a session's exchanges. */
extern Prelude *planner_prelude_begin(void);

/* Takes an exchange that is not sent, and one that is. */
extern void planner_prelude_pass(Planner *planner, WireSpan request, WireSpan answer,
                                 bool takes_queries);
extern void planner_prelude_send(Planner *planner, WireSpan request);

/* Whether a request runs a statement whose text the record overwrote. */
extern bool planner_prelude_lacks(Planner *planner, WireSpan request);

/* Gives the session its prelude. */
extern void planner_prelude_finish(Planner *planner, PlanSession *session);

/* ---- worker_noise.c ---- */

/* Reads the rules about columns that are not compared. */
extern void planner_noise_begin(Planner *planner);

/* Gives an exchange those for its text. */
extern void planner_noise_take(Planner *planner, PlanExchange *exchange, int64 query_hash);

/* ---- worker_rollback.c ---- */

extern HTAB *planner_rollback_begin(void);

/*
 * Makes of the exchange in hand what it is in a replay that rolls back.  Returns why it
 * is not to be sent; NULL: it is.
 */
extern const char *planner_roll_back(Planner *planner);

/* ---- worker_cancel.c ---- */

/* Reads the cancel requests that may go with sessions (an array; all: whichever). */
extern PlannerCancels *planner_cancels_begin(Datum sessions, bool all, TimestampTz until);

/* Gives an exchange that is sent the request that hit it. */
extern void planner_take_cancel(Planner *planner, PlanExchange *exchange);

/* Whether a cancel request goes with an exchange that is sent. */
extern bool planner_sends_cancel(const Planner *planner, int64 session_id);

#endif /* REPLAY_WORKER_PLANNER_H */
