/*
 * worker.h
 *	  The worker of a replay: it plans and stores; its child does the network.
 *
 * A replay's request goes from the caller's backend to the worker through a dynamic
 * shared memory segment, as it holds secrets and is nobody else's business.  What
 * the run comes to is in tables, committed batch by batch; who waits for it, or
 * wants it to pause or end, does so through a slot of the board.
 *
 * Files: worker.c (its life), worker_plan.c and worker_exchange.c (record -> plan:
 * sessions, and their exchanges), worker_cancel.c (cancel requests), worker_target.c
 * (connection strings), worker_read_only.c (what a request would do), worker_noise.c
 * (columns that are left out), worker_rollback.c (what rolls back), worker_prelude.c
 * (what goes before), worker_types.c (names of types), worker_record.c (the run's row),
 * worker_resume.c (aborted runs go on), worker_children.c (the network processes),
 * expect.c (what these may say),
 * worker_store.c (their records -> rows), worker_guard.c (what keeps others from using it),
 * worker_slot.c (the board).
 */
#ifndef REPLAY_WORKER_H
#define REPLAY_WORKER_H

#include "server/server.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "replay/common.h"
#include "replay/link.h"

/* What is to be replayed, and how. */
typedef struct ReplayRequest
{
	Size size; /* of all */
	int64 run_id;
	int slot;
	Oid database;
	Oid role;
	bool by_superuser;
	bool read_only;
	bool resumes;                    /* an aborted run goes on */
	char token[2 * BOARD_TOKEN + 1]; /* by the worker: what it shows to this server's relays */
	ReplaySettings settings;         /* what the caller says of them */
	TimestampTz since;               /* DT_NOBEGIN: not given */
	TimestampTz until;               /* DT_NOEND: not given */
	int32 session_count;             /* -1: all */
	Size sessions_at;                /* int64 ..., in data; texts too */
	Size target_at;
	Size options_at; /* jsonb as text */
	char data[];
} ReplayRequest;

/* Exchanges that have something in common. */
typedef struct PlanReason
{
	PlanOutcome outcome;
	const char *reason;
	int64 exchanges;
	int64 sessions; /* all of whose exchanges */
} PlanReason;

/* What a plan comes to. */
typedef struct PlanSummary
{
	int64 sessions;
	int64 sessions_skipped;
	int64 captured; /* exchanges */
	int64 filtered;
	int64 skipped;
	int64 bytes;
	int64 missing_digests; /* results that can be compared by digests only, and have none */
	int64 noisy;           /* exchanges that noise rules leave columns out of */
	int64 duration_us;     /* as captured */
	int32 peak;            /* sessions open at one time */
	List *reasons;         /* PlanReason */
	List *conninfos;       /* char * */
	List *types;           /* StringInfo: names of this database's types, as LINK_TYPES */
} PlanSummary;

/* Takes what becomes of a session (exchange_no -1) or of a single exchange that is not sent. */
typedef void (*PlanTake)(void *arg, int64 session_id, int64 exchange_no, PlanOutcome outcome,
                         const char *reason, int64 captured, int64 filtered, int64 skipped);

/* ---- worker_plan.c; SPI is connected ---- */

/* Reads the record; without a writer it only counts. */
extern void replay_plan_build(const ReplayRequest *request, PlanWriter *writer,
                              PlanSummary *summary, PlanTake take, void *arg);

/* Raises 0A000 where a plan wants digests that the record does not have. */
extern void replay_refuse_missing(const ReplayRequest *request, const PlanSummary *summary);

/* The same before there is a plan; where there may be some it makes one that only counts. */
extern void replay_require_digests(const ReplayRequest *request);

/* ---- worker_types.c; SPI is connected ---- */

/* Packs the names of this database's types for the child; SPI leaves another context. */
extern List *replay_types_pack(MemoryContext result);

/* ---- worker_record.c; SPI is connected ---- */

/* Returns the sessions that a request names, as an array. */
extern Datum replay_request_sessions(const ReplayRequest *request);

extern void replay_record_run(const ReplayRequest *request);
extern void replay_record_plan(int64 run_id, const PlanSummary *summary);

/* Sets the state; the message is why it was aborted, or NULL. */
extern void replay_record_state(int64 run_id, const char *state, const char *message);
extern void replay_record_timeouts(int64 run_id, int64 timeouts);

/* ---- worker_resume.c; SPI is connected ---- */

/*
 * Lets an aborted run go on: ends the sessions in whose middle it was aborted, and returns
 * the request for those that had not begun.  Changes the request where it says so.
 */
extern ReplayRequest *replay_resume_request(ReplayRequest *request);

/* Ends the sessions in whose middle a run was aborted. */
extern void replay_resume_cut(const ReplayRequest *request);

/* Takes notice that a session that had not begun cannot be replayed any more. */
extern void replay_resume_without(int64 run_id, int64 session_id, const char *reason);

/* ---- worker_target.c ---- */

/* Checks a conninfo; raises 22023. Returns it without what is secret. */
extern char *replay_target_shown(const char *target);

/* A target, taken apart once. */
typedef struct ReplayTarget ReplayTarget;
extern ReplayTarget *replay_target_open(const ReplayRequest *request);

/*
 * Returns the connection string for a session; NULL: it is not to be replayed, and
 * *reason says why.  parameters: name, value, ..., of its startup packet.
 */
extern char *replay_target_conninfo(ReplayTarget *target, const char *user, const char *database,
                                    List *parameters, const char **reason);

/* ---- worker_read_only.c ---- */

/* The prepared statements of a session, of which some write. */
typedef struct StatementKinds StatementKinds;
extern StatementKinds *replay_kinds_begin(void);

/* Returns why a request is not read-only; NULL: it is. */
extern const char *replay_request_writes(StatementKinds *kinds, const uint8 *request, Size len);

/* Whether a text, by itself, is not known to only read. */
extern bool replay_text_writes(StatementKinds *kinds, const char *text, Size len);

/*
 * Whether where a text's constants end depends on settings of its session: a backslash
 * before a quote, by standard_conforming_strings, or behind a byte that some
 * client_encoding makes one character with it.
 */
extern bool replay_text_is_ambiguous(const char *text, Size len);

/* Parses a text in the current memory context.  False: it does not parse here. */
extern bool replay_parse_text(const char *text, Size len, List **statements);

/* What a text does to the state of its session. */
typedef enum StateKind
{
	STATE_NONE,
	STATE_SET, /* nothing but SET and RESET */
	STATE_PREPARE,
	STATE_DEALLOCATE,
	STATE_DEALLOCATE_ALL,
	STATE_DISCARD /* ALL */
} StateKind;

typedef struct StateChange
{
	StateKind kind;
	const char *name; /* of a prepared statement */
} StateChange;

extern StateChange replay_text_state(const char *text, Size len);

/* Whether a request could end a SET SESSION AUTHORIZATION. */
extern bool replay_request_leaves_user(const uint8 *request, Size len);

/* ---- worker_store.c ---- */

/* What waits to be stored. */
typedef struct ReplayStore ReplayStore;
extern ReplayStore *replay_store_begin(int64 run_id);
extern void replay_store_record(ReplayStore *store, LinkKind kind, const char *data, Size size);
extern void replay_store_unsent(ReplayStore *store, int64 session_id, int64 exchange_no,
                                PlanOutcome outcome, const char *reason);

/* Whether it is time to commit. */
extern bool replay_store_is_due(const ReplayStore *store);

/* Returns text of the child's as text of the database's encoding. */
extern char *replay_safe_text(const char *data, Size len);

/* Writes all that waits; in a transaction. */
extern void replay_store_write(ReplayStore *store);

/* ---- worker_children.c: the network processes of the one run that a worker has ---- */

/* Takes a record that a child sent. */
typedef void (*ReplayTake)(LinkKind kind, const char *data, Size size);

extern void replay_children_start(const ReplaySettings *settings, uint64 sessions,
                                  uint64 exchanges);
extern void replay_children_tell(LinkCommand command, const void *data, Size len);
extern void replay_children_wait(long timeout_ms);
extern void replay_children_read(ReplayTake take);
extern void replay_children_progress(LinkProgress *progress);

/* Says why the run cannot go on; NULL: it can. */
extern const char *replay_children_failure(void);
extern bool replay_children_are_done(void);
extern bool replay_children_have_plan(void);
extern void replay_children_end(bool kills);
extern void replay_children_kill(void);

/* ---- worker_guard.c ---- */

/* Pins what the database or a role may have set to something else. */
extern void replay_guard_settings(void);

/* Raises 42P01 where the tables of replays are not the extension's; in each transaction. */
extern void replay_guard_tables(bool all);

/* ---- worker_slot.c ---- */

/* Claims a slot for a run; raises 53400 when there is none. */
extern int replay_slot_claim(int64 run_id);
extern void replay_slot_release(int slot, int64 run_id);

/* The slot of a run that runs; -1: it does not. */
extern int replay_slot_find(int64 run_id);
extern BoardReplay *replay_slot(int slot);

PGDLLEXPORT void pgwire_trace_replay_main(Datum arg);

#endif /* REPLAY_WORKER_H */
