/*
 * child.h
 *	  The process that does a replay's network: all sessions in one event loop.
 *
 * It has left the server, as a relay has, and is plain C.  What it sends is what
 * the plan holds; what comes back goes through the relay's own tracker, which
 * tells where an answer ends, and is compared there and then.  Its results go to
 * the worker over the link.
 *
 * A session of the plan, from left to right.  Exchanges count from 0; those between
 * `done` and `at` are in flight.  What the tracker calls an exchange need not be
 * one of the plan's: after an error the server skips, and exchanges merge.  So they
 * are matched by bytes: an exchange of the plan has ended when the tracker's have
 * ended up to its last byte, or nothing is owed any more.
 *
 *		0 ... done | in flight ... at (being sent) ... count
 *
 * Files: child.c (start, link's commands), report.c (link's records), life.c (a
 * session's begin, loss and end), connect.c (libpq), lookup.c (host names), player.c
 * (sending and receiving), aside.c (what is said besides the plan's exchanges),
 * cancel.c (cancel requests), helper.c (processes for what blocks), judge.c (what
 * ended, and how it compares), cause.c (what a difference came from), schedule.c
 * (time), order.c (order across sessions).
 */
#ifndef REPLAY_CHILD_H
#define REPLAY_CHILD_H

#include <event2/event.h>
#include <libpq-fe.h>
#include <openssl/ssl.h>

#include "relay/tracker.h"
#include "replay/child_main.h"
#include "replay/common.h"
#include "replay/compare.h"
#include "replay/link.h"

#define MAX_CONNECTING 64 /* sessions that log in at one time */

struct Replay;

typedef enum PlayerState
{
	PLAYER_CONNECTING,
	PLAYER_CHECKING, /* asks the target whether it agrees */
	PLAYER_RUNNING,
	PLAYER_ENDED
} PlayerState;

/* How far a session is that connects. */
typedef enum ConnectPhase
{
	CONNECT_NONE,   /* it does not, or waits for its next attempt */
	CONNECT_NAMES,  /* host names are looked up */
	CONNECT_QUEUED, /* others log in before it */
	CONNECT_LOGGING_IN
} ConnectPhase;

/* What keeps the next bytes of an exchange back. */
typedef enum Gate
{
	GATE_NONE,
	GATE_COPY, /* data wait for CopyInResponse */
	GATE_FLUSH /* the answers up to a Flush */
} Gate;

typedef struct Moment
{
	int64_t sent;  /* monotonic; 0: not yet */
	int64_t due;   /* on the replay's clock, as all below */
	int64_t ready; /* nothing but the clock kept it back */
	int64_t late;  /* behind that; as the world counts */
	int64_t done;
	bool is_cancelled; /* its cancel request was sent */
} Moment;

/* What a session says besides the plan's exchanges; see aside.c. */
typedef enum AsideKind
{
	ASIDE_NONE,
	ASIDE_PRELUDE,
	ASIDE_BEGIN,
	ASIDE_ROLLBACK
} AsideKind;

typedef struct Aside
{
	AsideKind kind;
	WireSpan bytes;
	size_t sent;
	int64_t began; /* monotonic */
} Aside;

#define HELPER_ANSWER 2048 /* bytes, with a zero at the end */

/* What a helper does.  It answers a text, never an empty one, and whether all went well. */
typedef bool (*HelperMain)(void *arg, char *answer, size_t size);
typedef void (*HelperEnded)(void *arg, bool good, const char *answer);

/* A process for what blocks; see helper.c. */
typedef struct Helper
{
	struct Helper *next;
	pid_t pid;
	int answer; /* pipe */
	HelperEnded ended;
	void *arg;
} Helper;

/* A host name of the target's; see lookup.c. */
typedef struct HostName
{
	struct HostName *next;
	struct Replay *replay;
	char *name;
	bool is_wanted; /* to be looked up when there is a place */
	bool is_in_hand;
	bool is_known;       /* there is an answer */
	int64_t asked_at;    /* monotonic: when the last look-up began, */
	int64_t answered_at; /* and when that began which the answer is of, */
	int64_t known_at;    /* and when it came */
	bool is_good;
	char answer[HELPER_ANSWER]; /* addresses with commas between them; or what went wrong */
	bool is_told;               /* that it is left out */
} HostName;

/* Where a connection leads, as libpq wants it; NULL: as the connection string says. */
typedef struct Route
{
	char *host;
	char *hostaddr;
	char *port;
} Route;

typedef enum RouteState
{
	ROUTE_READY,
	ROUTE_PENDING, /* connect_names() is called when there is news */
	ROUTE_FAILED
} RouteState;

/* A cancel request that is on its way. */
typedef struct Cancel
{
	struct Cancel *next;
	PGconn *conn; /* whose backend it is for; while it begins */
	struct Replay *replay;
	struct Player *player; /* NULL: it has ended */
	int64_t session_id;    /* of the request */
	int64_t exchange_no;
	int64_t sent_at;
} Cancel;

/* The answer to an exchange that came in pieces. */
typedef struct Pieces
{
	int count;
	Answer answer;
	Buffer bytes;
	char tag[PLAN_TAG_SIZE];
} Pieces;

/* An exchange that failed, and what that came from: it may be why something is missing. */
typedef struct Failure
{
	uint32_t exchange; /* of the session */
	int64_t root_no;
} Failure;

#define CAUSE_FAILURES 64 /* that are remembered, a session */

typedef struct Player
{
	struct Replay *replay;
	struct Player *next; /* of those that are open */
	struct Player *prev;
	struct Player *next_queued;
	bool is_queued;
	bool is_waiting; /* for its turn, */
	uint32_t need;   /* until so many of its lane are past */

	const PlanSession *plan;
	const PlanExchange *exchanges;
	uint32_t index; /* in the plan */
	PlayerState state;
	uint32_t attempts; /* of connecting, since an answer came */
	uint32_t losses;   /* connections that were lost, but for the last */
	ConnectPhase phase;
	struct Player *next_connecting;
	int64_t connect_until; /* monotonic */
	int64_t began_at;      /* the attempt */
	int64_t failed_at;     /* the connection before it, or the attempt */
	int64_t login_memory;  /* that libpq took for its login */
	int64_t opened_at;

	PGconn *conn;
	SSL *ssl; /* NULL: none */
	int fd;
	struct event *io_event; /* libpq's, while it connects */
	struct event *read_event;
	struct event *write_event;
	struct event *timer;
	struct event *cancel_timer;
	bool waits_to_write;
	bool writes_when_read;   /* TLS must hear something before it can say more, */
	bool reads_when_written; /* or the reverse */

	Tracker tracker;
	Aside aside;
	bool prelude_said;
	bool aside_failed;
	char status;        /* of the target's transaction, when it was last idle */
	bool is_wrapped;    /* in a BEGIN of the replay's own, */
	uint32_t wrapped;   /* for this exchange */
	bool is_cancelling; /* a cancel request is on its way: nothing new is sent */
	uint32_t at;
	uint32_t done;
	uint32_t sent;      /* exchanges */
	uint32_t passed;    /* exchanges that went with a connection, and were not sent */
	size_t offset;      /* bytes of exchanges[at] that were sent */
	size_t allowed;     /* bytes of it before the next gate */
	Gate gate;          /* what stands there */
	uint64_t gate_owed; /* answers that GATE_FLUSH waits for */
	bool gate_passed;
	bool in_copy;      /* the message before `allowed` was CopyData */
	uint64_t sent_end; /* bytes of all requests, sent */
	uint64_t done_end; /* of those that have ended */
	uint64_t live_end; /* of those that the tracker says have ended */
	Buffer own;        /* request of exchanges[at], or prelude, with the target's numbers */
	Pieces pieces;
	Moment *moments; /* an exchange */

	int64_t root_no; /* exchange of the last difference that had no cause; -1 */
	bool root_open;  /* its transaction has not ended */
	bool root_is_error;
	bool root_timed_out;
	int64_t lost_no; /* root that a connection went with, and what was made on it; -1 */
	uint32_t failed; /* exchanges, of which the last are in failures */
	Failure failures[CAUSE_FAILURES];
} Player;

/* Exchanges in an order, and how far it has come; which are past is in common.h. */
typedef struct Lane
{
	uint32_t *exchanges; /* numbers in the plan */
	uint32_t *place_of;  /* by number in the plan; UINT32_MAX: it is not in this lane */
	uint32_t count;
	uint32_t mark;    /* all before it are past, when this child last looked */
	Player **waiting; /* a heap: who needs the least is first */
	uint32_t waiting_count;
	uint32_t mark_before; /* the last tick */
	int64_t stalled_at;
} Lane;

/* The order across sessions; see order.c. */
typedef struct Order
{
	Lane lanes[COMMON_LANES];
	uint32_t lane_count;
	uint32_t *needs; /* by number in the plan: what its lane's mark must be */
	uint64_t timeouts;
} Order;

typedef struct Replay
{
	ReplaySettings settings;
	ReplayPlan plan;
	Common *common; /* with the run's other children */
	char **conninfos;
	uint32_t conninfo_count;
	bool is_going;
	bool is_paused;
	bool is_cancelled;
	bool is_done;

	struct event_base *base;
	struct event *link_event;
	struct event *link_write_event;
	struct event *kick; /* the queue of sessions to step */
	struct event *tick;
	struct event *start_timer;
	struct event *reaper; /* of helpers */
	struct event *woken;  /* by another child */
	Helper *helpers;
	HostName *names;
	uint32_t lookups; /* that are in hand */
	Cancel *cancels;
	int begun; /* file of the sessions that have begun; -1: none */
	Player *queued;
	Player *last_queued;
	Player *sessions; /* open ones */
	uint32_t next_session;
	uint32_t live;
	Player *first_to_connect; /* those that wait for their turn */
	Player *last_to_connect;
	uint32_t connecting;    /* that log in */
	uint32_t most_sessions; /* that there are files for; 0: not known yet */
	bool told_most_sessions;
	int64_t login_memory; /* theirs */
	uint32_t ended;

	Budget budget;
	TextPool texts;
	ExchangePool pool;
	TrackerEnv env;
	CompareRules rules;
	UserTypes captured_types;
	UserTypes *target_types; /* a connection string */
	Order order;

	/*
	 * The replay's clock: clock_value at monotonic clock_at, then clock_rate times as fast;
	 * besides, common to all children, what it was put forward.
	 */
	int64_t clock_at;
	int64_t clock_value;
	double clock_rate;
	int64_t clock_skipped; /* so far, when this child last looked */
	int64_t wall_offset;   /* of the world's clock to the monotonic one, when last looked at */

	/* the link */
	int link;
	uint8_t packet[LINK_PACKET];
	size_t packet_len;
	Buffer backlog; /* packets that the worker has not taken: size, bytes */
	size_t backlog_at;
	LinkProgress progress;   /* its lag is that since lag_since */
	LinkProgress lag_before; /* of the second before that */
	int64_t lag_since;
	int64_t reported_at;
} Replay;

/* ---- child.c ---- */

/* Lets a session be stepped at the end of this turn. */
extern void replay_queue(Player *player);

/* ---- report.c ---- */

/* Appends a record: a structure, and what follows it. */
extern void report_put(Replay *replay, LinkKind kind, const void *fixed, size_t size,
                       const void *more, size_t len);
extern void report_text(Replay *replay, LinkKind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
extern void report_difference(Player *player, int64_t exchange_no, int64_t caused_by,
                              const Difference *difference);
extern void report_flush(Replay *replay);
extern void report_tick(Replay *replay, int64_t now);

/* Whether so much waits for the worker that nothing more should be sent. */
extern bool report_is_full(const Replay *replay);

/* Writes what is left, waiting for the worker, and ends the process. */
extern void report_end(Replay *replay);

/* ---- life.c ---- */

extern void player_open(Replay *replay, uint32_t index);
extern void player_run(Player *player);

/* Ends a player; with a reason it was lost. */
extern void player_end(Player *player, const char *reason);

/* The connection is lost: the session goes on with another one, or ends. */
extern void player_lose(Player *player, const char *reason);

/* Looks for what takes too long. */
extern void player_check(Player *player, int64_t now);

/* ---- connect.c ---- */

/* Begins to connect; the session runs when that is through. */
extern void connect_begin(Player *player);

/* Goes on when there is news of host names. */
extern void connect_names(Player *player);

/* Lets those log in whose turn it is. */
extern void connect_next(Replay *replay);

/* Ends an attempt that takes too long. */
extern void connect_check(Player *player, int64_t now);

/* Takes notice that a session ends. */
extern void connect_forget(Player *player);

/* ---- lookup.c ---- */

/*
 * Finds where a connection string leads, with addresses for host names.  ROUTE_FAILED:
 * *reason says why, for as long as nothing else is asked.
 */
extern RouteState lookup_route(Player *player, Route *route, const char **reason);
extern void route_free(Route *route);

/* ---- helper.c ---- */

/* Watches for the ends of helpers. */
extern void helper_begin(Replay *replay);

/*
 * Starts one, which is given up after that time; `ended` is called in any case.  False:
 * there is none.
 */
extern bool helper_start(Replay *replay, int64_t timeout_us, HelperMain run, HelperEnded ended,
                         void *arg);

/* ---- player.c ---- */

/* Takes the connection over from libpq. */
extern void player_attach(Player *player);

/* Takes notice that the exchange that is being sent is, as far as it ever will be. */
extern void player_note_sent(Player *player);

/* Sends what may be sent now. */
extern void player_step(Player *player);

/* Returns bytes of the plan as the target is to get them: its numbers of types are in them. */
extern WireSpan player_translate(Player *player, uint64_t at, size_t len);

/* Sends bytes.  Returns how many went; 0: none now; -1: the connection is lost. */
extern ssize_t player_send(Player *player, const uint8_t *data, size_t len);

/* ---- aside.c ---- */

/* Begins what is to be said before the next exchange, whenever that is; false: nothing. */
extern bool aside_begin(Player *player);

/* Begins what is to be said right before it; false: nothing. */
extern bool aside_begin_block(Player *player);

/* Sends of it what may be sent.  False: the session was lost over it. */
extern bool aside_send(Player *player);

/* Takes the answer to a request of it. */
extern void aside_answered(Player *player, const Exchange *exchange);

/* Ends it when all of it is answered.  False: that ended the session. */
extern bool aside_check(Player *player);

/* ---- cancel.c ---- */

/* Sends, when it is time, the cancel request for the exchange that the target works on. */
extern void cancel_check(Player *player);

/* Takes notice that the exchange that one is for has ended, or is never sent. */
extern void cancel_missed(Player *player, uint32_t exchange);
extern void cancel_forget(Player *player);

/* ---- judge.c ---- */

extern void judge_begin(Replay *replay);
extern void judge_finished(Tracker *tracker, Exchange *exchange);

/* Takes notice that the server owes nothing any more. */
extern void judge_idle(Player *player);

/* The exchange in flight ends without an answer, for this reason. */
extern void judge_broken(Player *player, Verdict verdict, const char *reason);

/* ---- cause.c ---- */

/* Returns the exchange that a difference comes from; -1: none, it is a root. */
extern int64_t cause_find(const Player *player, const Difference *difference);

/* Takes notice of a difference, so that it may explain others. */
extern void cause_note(Player *player, uint32_t exchange, Verdict verdict, int64_t cause);

/* Takes notice that all that was made on a connection is gone with it. */
extern void cause_lost(Player *player);

/* ---- schedule.c ---- */

/* Begins the clock, whose zero is a monotonic time. */
extern void schedule_begin(Replay *replay, int64_t zero);

/* Changes its pace. */
extern void schedule_set(Replay *replay, const LinkPace *pace);

/* Now, or at a monotonic time, on the replay's clock. */
extern int64_t schedule_now(const Replay *replay);
extern int64_t schedule_at(const Replay *replay, int64_t monotonic);

/* Turns a span of the replay's clock into one of the world's. */
extern int64_t schedule_real(const Replay *replay, int64_t span);

/* Takes the right to connect now; or returns how long to wait until there is one. */
extern int64_t schedule_claim_connect(Replay *replay);

/* Begins the sessions that are due, and lets those connect whose turn it is. */
extern void schedule_start(Replay *replay);

/* Whether the next exchange of a session is due; arms its timer if not. */
extern bool schedule_is_due(Player *player);

/* Takes notice that a session has ended: another one may begin. */
extern void schedule_ended(Replay *replay);

/* Skips what idle_max does not allow. */
extern void schedule_tick(Replay *replay);

/* Looks whether another child has put the clock forward. */
extern void schedule_look(Replay *replay);

/* ---- order.c ---- */

extern bool order_begin(Replay *replay);

/* Whether the next exchange of a session may be sent; else the session is stepped when it may. */
extern bool order_may_send(Player *player);
extern void order_sent(Player *player, uint32_t exchange);
extern void order_ended(Player *player, uint32_t exchange);

/* Lets nobody wait for exchanges that are never sent: from `done` up to one. */
extern void order_abandon(Player *player, uint32_t end);
extern void order_tick(Replay *replay, int64_t now);

/* Looks what may go on since other children have passed something. */
extern void order_look(Replay *replay);

#endif /* REPLAY_CHILD_H */
