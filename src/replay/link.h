/*
 * link.h
 *	  What the worker and its child tell each other, over a SOCK_SEQPACKET pair.
 *
 * The worker's packets begin with a LinkCommand.  The child's are runs of records,
 * each a LinkRecord with what follows it; a record is never cut.  Both ends are
 * the same build of the same library, so structures pass as they are in memory.
 *
 *		worker -> child		settings, conninfo ..., go; then pace, cancel
 *		child -> worker		mapped; exchange, difference, session, note, progress; refused or done
 */
#ifndef REPLAY_LINK_H
#define REPLAY_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "replay/plan.h"

#define LINK_PACKET (64 * 1024)
#define LINK_IGNORED 4096
#define LINK_TEXT 2048 /* longest text of a record */

typedef enum LinkCommand
{
	LINK_SETTINGS = 1, /* ReplaySettings */
	LINK_CONNINFO,     /* zero-terminated; the first is number 0 */
	LINK_TYPES,        /* the recorder's types: OID, zero-terminated name, ... */
	LINK_GO,           /* int64_t: the clock's zero, monotonic */
	LINK_PACE,         /* LinkPace */
	LINK_CANCEL
} LinkCommand;

typedef enum ReplayTiming
{
	TIMING_ASAP,
	TIMING_THINK,
	TIMING_SCHEDULE,
	TIMING_CATCH_UP
} ReplayTiming;

typedef enum ReplayOrdering
{
	ORDERING_NONE,
	ORDERING_ARRIVAL,
	ORDERING_COMMIT
} ReplayOrdering;

typedef struct ReplaySettings
{
	char plan_path[PLAN_PATH_SIZE];
	uint32_t timing;
	uint32_t ordering;
	int32_t compare;
	double speed;
	double catch_up; /* who is late makes his pauses so many times as short */
	double float_tolerance;
	int64_t idle_max_us; /* longest gap between exchanges; -1: any */
	int64_t exchange_timeout_us;
	int64_t order_timeout_us;
	int64_t connect_timeout_us;
	int64_t connect_delay_us; /* before another attempt */
	uint32_t max_sessions;
	uint32_t connect_rate; /* a second; 0: any */
	uint32_t connect_attempts;
	uint32_t child_count;   /* of which each runs its share of the sessions */
	bool reconnects;        /* a session that is lost goes on with another connection */
	bool asks_permission;   /* the target's allow_replay must be on */
	bool refuses_self;      /* own_start must not be the target's */
	bool requires_password; /* the target must have asked for one */
	bool ignores_noise_rules;
	bool rolls_back;         /* see worker_rollback.c */
	bool sets_authorization; /* the target's own user logs in, and becomes that of the session */
	char own_start[64];      /* when the worker's server started, as the target would say it */
	uint64_t digest_seed;
	char ignored[LINK_IGNORED]; /* see OutlineIgnore */
} ReplaySettings;

/* How fast the clock is to run, from a moment on: the same one for all children. */
typedef struct LinkPace
{
	int64_t at; /* monotonic */
	double speed;
	bool is_paused;
} LinkPace;

typedef enum LinkKind
{
	LINK_EXCHANGE = 1, /* LinkExchange */
	LINK_DIFFERENCE,   /* LinkDifference, then LinkFact ... */
	LINK_SESSION,      /* LinkSession, text */
	LINK_NOTE,         /* text */
	LINK_PROGRESS,     /* LinkProgress */
	LINK_REFUSED,      /* text: the run is not to go on */
	LINK_MAPPED,       /* the plan's files are not needed any more */
	LINK_DONE
} LinkKind;

typedef struct LinkRecord
{
	uint32_t kind;
	uint32_t size; /* of what follows */
} LinkRecord;

/* An exchange was sent, and answered as far as it was. */
typedef struct LinkExchange
{
	int64_t session_id;
	int64_t exchange_no;
	int64_t sent_at; /* microseconds since 2000-01-01 UTC */
	int64_t duration_us;
	int64_t late_us;        /* behind when it could have been sent */
	int64_t target_late_us; /* behind the schedule, because answers were */
	int64_t row_count;
	uint64_t row_digest;
	int32_t differences;
	bool has_digest;
	bool is_answered;
	char sqlstate[5];
} LinkExchange;

typedef struct LinkDifference
{
	int64_t session_id;
	int64_t exchange_no;
	int64_t caused_by; /* exchange_no; -1: it is a root */
	int32_t statement_no;
	int32_t verdict;
} LinkDifference;

typedef enum LinkFactKey
{
	FACT_MESSAGE,
	FACT_SQLSTATE,
	FACT_ERROR_MESSAGE,
	FACT_TAG,
	FACT_ROWS, /* int64_t, as all numbers */
	FACT_TRANSACTION_STATUS,
	FACT_DIGEST,
	FACT_ROW_NO,
	FACT_COLUMN,
	FACT_TYPE,
	FACT_TYPE_NAME,
	FACT_VALUE,
	FACT_BINARY_VALUE,
	FACT_REASON,
	FACT_DIFFERING, /* a column that differs: int64_t digest, then its name or "#" and its number */
	FACT_COUNT
} LinkFactKey;

/* A fact of a difference: its bytes follow. */
typedef struct LinkFact
{
	uint8_t is_replayed; /* 0: of the captured side */
	uint8_t key;         /* LinkFactKey */
	bool is_null;
	bool is_number;
	uint32_t len;
} LinkFact;

typedef enum LinkSessionState
{
	LINK_SESSION_RUNNING,
	LINK_SESSION_FINISHED,
	LINK_SESSION_LOST
} LinkSessionState;

/* A session began, or ended; the text says why it was lost. */
typedef struct LinkSession
{
	int64_t session_id;
	int32_t state;
	uint32_t sent; /* exchanges */
	uint32_t left; /* exchanges to send that were not */
} LinkSession;

typedef struct LinkProgress
{
	uint64_t sent; /* exchanges */
	uint32_t sessions_live;
	uint32_t sessions_ended;
	int64_t late_us; /* greatest of late */
	int64_t target_late_us;
	uint64_t order_timeouts;
} LinkProgress;

#endif /* REPLAY_LINK_H */
