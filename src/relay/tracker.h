/*
 * tracker.h
 *	  What a session's bytes mean: framing, pairing, and the columns of the
 *	  record.  It only observes: nothing here forwards, waits or fails a client.
 *
 * The queue of unanswered frontend messages.  Each backend message answers its
 * head: ParseComplete a Parse, and so on; Query and Sync wait for ReadyForQuery.
 * The exchanges that are not finished stand in a list; a *terminator* in the
 * queue (Query, Sync, FunctionCall, the startup packet) ends one of them, in the
 * same order, so entries need no pointer to their exchange:
 *
 *		queue	P  B  E  S | P  B  E  S | B  E			exchanges	#7 -> #8 -> #9
 *		         #7            #8          #9 (open)
 *
 * Invariants:
 *	 - the last exchange of the list is open (not `terminated`), or the next
 *	   frontend message begins a new one; all before it are terminated
 *	 - the queue holds exactly one terminator for each terminated exchange, and
 *	   besides those only *bare* Syncs: a Sync that is alone in its exchange has
 *	   no exchange object until its answer comes.  Adjacent bare Syncs that came
 *	   at one time are one entry with a count
 *	 - what the server sends belongs to the first exchange of the list; with
 *	   none there it is async
 *
 * Protocol documentation: "Message Flow", sections "Extended Query",
 * "Pipelining", "COPY Operations", "Asynchronous Operations".
 *
 * Public routines:
 *		tracker_init, tracker_free
 *		tracker_add_startup	bytes of the startup that the relay handled itself
 *		tracker_frontend, tracker_backend	observe a piece of the stream
 *		tracker_throttled	whether reading from the client should stop
 *		tracker_check_long	records a long exchange in parts
 *		tracker_current_no	the exchange that the server works on
 *		tracker_end			the session is over: finish what is open
 */
#ifndef RELAY_TRACKER_H
#define RELAY_TRACKER_H

#include <xxhash.h>

#include "relay/board.h"
#include "relay/exchange.h"
#include "relay/text.h"
#include "wire/wire.h"

/* Reading from the client stops at so many unanswered messages. */
#define TRACKER_OWED_LIMIT 1000
/* Beyond so many entries extended messages are no longer told apart. */
#define TRACKER_QUEUE_LIMIT 100000

struct Tracker;

/* What all trackers of a relay share. */
typedef struct TrackerEnv
{
	Budget *budget;
	TextPool *texts;
	ExchangePool *exchanges;
	int64_t request_limit;
	int64_t response_limit;
	uint64_t row_limit; /* the first row of an exchange, either way, that is not kept; 0: none */
	bool keeps_bytes;   /* capture = all */
	const BoardU32 *is_paused; /* NULL: there is no board */
	int64_t part_us; /* an exchange that takes longer is recorded in parts; 0: it is not */
	uint64_t digest_seed;
	/* takes a finished exchange over, and must release it */
	void (*finished)(struct Tracker *tracker, Exchange *exchange);
	/* records what there is of a long exchange, which goes on */
	void (*part_finished)(struct Tracker *tracker, Exchange *exchange);
	/* a text came in a Parse, or a Bind uses it */
	void (*text_seen)(struct Tracker *tracker, Text *text);
	/* the server's first ReadyForQuery, called before exchange 0 is finished */
	void (*ready)(struct Tracker *tracker);
} TrackerEnv;

/* An unanswered frontend message. */
typedef struct QueueEntry
{
	uint16_t id; /* WireMessageId */
	bool bare;   /* a Sync without an exchange object */
	bool portal; /* Describe, Close: of a portal */
	uint32_t count;
	int64_t at;           /* bare: when it came */
	Statement *statement; /* Parse: the statement; Bind, Close: name alone */
	Statement *named;     /* Bind, Execute: the portal's name alone; NULL: the unnamed one */
	Text *text;           /* Query */
} QueueEntry;

typedef struct Queue
{
	QueueEntry *entries; /* ring of `cap`, a power of two */
	uint32_t cap;
	uint32_t head;
	uint32_t count;
	uint64_t pushed;   /* messages ever */
	uint64_t answered; /* messages ever popped */
	uint64_t owed;     /* value of pushed at the last one that makes the server answer */
} Queue;

/* One direction's message in progress. */
typedef struct TrackerSide
{
	WireFramer framer;
	Buffer assembly;
	WireMessageId id;
	size_t wanted; /* body bytes that the handler wants to see */
	Exchange *target;
	bool has_target; /* a message is in progress; target NULL: its exchange is gone */
	int64_t header_at;
} TrackerSide;

typedef struct Tracker
{
	const TrackerEnv *env;
	bool recorded; /* exchanges that begin now make rows */
	bool authenticated;
	bool asked;    /* an authentication request waits for the client's answer */
	bool is_ready; /* first ReadyForQuery was seen */
	bool desynchronised;
	bool skipping;     /* the server skips to the next Sync, which has not come */
	bool copy_in;      /* the head of the queue is copying in */
	bool copy_unsure;  /* its COPY failed: a Sync sent before may be swallowed */
	bool uncertain;    /* counts disagree */
	bool client_waits; /* nothing from the client since ReadyForQuery */
	bool part_due;     /* the first exchange is recorded in part when no message is cut by it */
	bool standard_strings;
	WirePhase auth_phase; /* what a frontend 'p' means */
	int64_t now;

	TrackerSide front;
	TrackerSide back;
	Queue queue;
	Exchange *first;
	Exchange *last;
	Exchange *async;
	Exchange *late; /* CopyData behind a COPY that failed, or stray */
	Exchange *terminate;
	int64_t terminated_at;
	int64_t next_no;
	int64_t failed_copy_no; /* exchange that late CopyData belongs to; -1: none */
	int32_t failed_copy_parts;
	StatementMap statements;
	StatementMap portals;   /* named ones, with the texts of their statements */
	Text *unnamed_portal;   /* the text of the unnamed one; NULL: not known */
	bool hides_results;     /* SQL's own cursors or statements may be of a text that rules mean */
	XXH3_state_t *row_hash; /* of a DataRow that came in pieces */

	/* facts for the session's row */
	uint32_t backend_pid;
	uint64_t cancel_key; /* XXH3 of BackendKeyData's body; 0: it was not sent */
	uint32_t minor_version;
	char client_encoding[16];
	char application_name[64];
	bool has_application_name;
	char last_sqlstate[6];
	Buffer server_parameters; /* name, zero, value, zero, ... */
	uint64_t request_bytes;
	uint64_t response_bytes;
} Tracker;

extern void tracker_init(Tracker *tracker, const TrackerEnv *env);
extern void tracker_free(Tracker *tracker);

/* Adds bytes to exchange 0 that the relay handled by itself. */
extern void tracker_add_startup(Tracker *tracker, WireDirection direction, const uint8_t *data,
                                size_t len, int64_t now, uint32_t kind_flag);

/* Observes bytes that passed, or are about to. */
extern void tracker_frontend(Tracker *tracker, const uint8_t *data, size_t len, int64_t now);
extern void tracker_backend(Tracker *tracker, const uint8_t *data, size_t len, int64_t now);

/* Whether the server owes answers to so many messages that reading should stop. */
extern bool tracker_throttled(const Tracker *tracker);

/* Records what there is of the first exchange if that takes long; called now and then. */
extern void tracker_check_long(Tracker *tracker, int64_t now);

/* Returns the number of the exchange that the server works on; -1: none. */
extern int64_t tracker_current_no(const Tracker *tracker);

/* Finishes what is open, in order, as incomplete. */
extern void tracker_end(Tracker *tracker, int64_t now);

/* ---- between the tracker's own files ---- */

/* queue.c */
extern bool queue_push(Tracker *tracker, QueueEntry entry);
extern QueueEntry *queue_at(const Queue *queue, uint32_t i);
extern bool queue_is_terminator(const QueueEntry *entry);
extern bool queue_is_copy_end(const QueueEntry *entry);
extern void queue_pop(Tracker *tracker);
extern void queue_split_bare(Tracker *tracker);

/* pairing.c */
extern void pairing_answer(Tracker *tracker, WireMessageId id);
extern void pairing_error(Tracker *tracker);
extern void pairing_ready(Tracker *tracker);
extern void pairing_copy_in(Tracker *tracker);
extern void pairing_abandon(Tracker *tracker, bool is_uncertain);
extern bool pairing_is_open(const Tracker *tracker);
extern Exchange *pairing_front(Tracker *tracker);
extern Exchange *pairing_copy_target(Tracker *tracker);
extern Exchange *pairing_current(Tracker *tracker, WireMessageId id);
extern void tracker_finish(Tracker *tracker, Exchange *exchange, bool is_complete);
extern void tracker_finish_late(Tracker *tracker);
extern Exchange *tracker_begin(Tracker *tracker, int64_t at);

/* names.c */
extern void names_put_portal(Tracker *tracker, QueueEntry *entry, Text *text);
extern void names_drop_portals(Tracker *tracker);
extern Text *names_portal_text(const Tracker *tracker, const char *name, size_t len);
extern void names_note_rules(Tracker *tracker, Exchange *exchange, Text *text);
extern void names_note_statement(Tracker *tracker, Exchange *exchange, WireSpan name);
extern void names_note_portal(Tracker *tracker, Exchange *exchange, WireSpan name);

/* extract.c */
extern size_t extract_wants(const Tracker *tracker, WireMessageId id);
extern void extract_frontend(Tracker *tracker, WireMessageId id, const uint8_t *body, size_t len);
extern void extract_backend(Tracker *tracker, WireMessageId id, const uint8_t *body, size_t len);
extern void extract_cut(Tracker *tracker, Exchange *exchange, WireDirection direction);
extern void extract_row(Tracker *tracker, const uint8_t *part, size_t len, bool begins, bool ends);

#endif /* RELAY_TRACKER_H */
