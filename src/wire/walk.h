/*
 * walk.h
 *	  Everything in a message's body, field by field, as a series of events.
 *
 * The walker follows the message's field program and checks what the protocol
 * asks for: every byte belongs to a field, and writing the events out again
 * gives the same bytes.  JSON and the text trace are made from its events and
 * know of no message.  It allocates nothing; spans point into the body.
 *
 * Public routines:
 *		wire_walk			walk one body
 *		wire_content_id		the message that CopyData or XLogData holds
 *		wire_code_size		bytes in a body that told its type
 *		wire_code_of		that code
 *		wire_is_binary		format of an item by a list of format codes
 */
#ifndef WIRE_WALK_H
#define WIRE_WALK_H

#include "wire/list.h"

/* Lists without a count of their own hold at most so many items. */
#define WIRE_MAX_ITEMS 100000

typedef enum WireEventKind
{
	WIRE_EVENT_NUMBER,      /* an integer kind: number, and its bytes */
	WIRE_EVENT_BYTES,       /* a string, or the rest of the message: bytes */
	WIRE_EVENT_VALUE,       /* number: length or -1; bytes, is_binary */
	WIRE_EVENT_ERROR_FIELD, /* number: its code; bytes, which stand behind it */
	WIRE_EVENT_LIST,        /* a list begins; number: its count, -1 without one */
	WIRE_EVENT_LIST_END,
	WIRE_EVENT_ITEM, /* an item of several members begins: a column, a pair */
	WIRE_EVENT_ITEM_END,
	WIRE_EVENT_TUPLE_VALUE, /* number: its kind, n, u, t or b; bytes */
	WIRE_EVENT_ABSENT,      /* a field that may be left out, and is */
	WIRE_EVENT_PART,        /* a message begins; number: its type; part: its key */
	WIRE_EVENT_PART_END
} WireEventKind;

typedef struct WireEvent
{
	WireEventKind kind;
	WireKind field;   /* kind of the field that it belongs to */
	WireKind member;  /* kind of the number or bytes itself */
	bool is_binary;   /* the message, or the context, says format 1 */
	const char *name; /* field, or member of a column; NULL for items */
	const char *part; /* the message that the field holds */
	int64_t number;
	WireSpan bytes;
} WireEvent;

/* A list of format codes: none means all text, a single one goes for all. */
typedef struct WireFormats
{
	const uint8_t *codes; /* 16 bits each */
	size_t count;
} WireFormats;

/* Returns the members of a column of RowDescription or Relation, ended by WIRE_KIND_END. */
extern const WireField *wire_column_members(WireKind kind);

/* Takes an event; false ends the walk. */
typedef bool (*WireTake)(void *arg, const WireEvent *event);

typedef struct WireWalk
{
	/* in: what other messages say of this one's values */
	WireFormats formats; /* columns of a DataRow; result of a FunctionCall */
	bool data_is_binary; /* CopyData */
	WireContent content; /* CopyData */

	/* out */
	const char *reason; /* NULL: the body is well formed */
	size_t at;          /* where it is not */
	bool is_stopped;    /* the taker did not want more */
} WireWalk;

/*
 * Walks a whole body; one of an authentication or cancel request begins with
 * its code, a part of another message with its type byte.  Returns whether it
 * was well formed and taken to its end.
 */
extern bool wire_walk(WireMessageId id, const uint8_t *body, size_t len, WireWalk *walk,
                      WireTake take, void *arg);

/*
 * Finds the message that CopyData holds (place WIRE_PHASE_IN_COPY_DATA), or
 * XLogData's data (WIRE_PHASE_IN_XLOG_DATA): one that is well formed to its last
 * byte; Unknown if there is none.  *in_stream: pgoutput's transaction ids are there.
 */
extern WireMessageId wire_content_id(const WireContent *content, WirePhase place, WireSpan bytes,
                                     bool *in_stream);

/* Returns how many bytes at the begin of a body are the code that told its type. */
extern size_t wire_code_size(WireMessageId id);

/* Returns that code. */
extern uint32_t wire_code_of(WireMessageId id);

/* Whether an item of a list is binary. */
extern bool wire_is_binary(const WireFormats *formats, size_t item);

#endif /* WIRE_WALK_H */
