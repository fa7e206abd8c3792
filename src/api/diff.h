/*
 * diff.h
 *	  Where two recorded sessions differ.
 *
 *		diff.c			session_diff(): exchanges that have a counterpart, or none
 *		diff_outline.c	a session as keys of its exchanges
 *		diff_exchange.c	two exchanges, message by message
 *		diff_body.c		two bodies, value by value
 *		diff_columns.c	what is known of exchanges whose bytes were left out
 *
 * Messages are compared by their bodies as jsonb in regress mode, so what differs
 * between any two runs is a placeholder in both.
 */
#ifndef API_DIFF_H
#define API_DIFF_H

#include "api/align.h"
#include "api/decode.h"
#include "nodes/execnodes.h"

/* An exchange by what was said in it. */
typedef struct DiffOutline
{
	AlignKeys keys; /* of the request; of the answer, where there was none */
	uint64 whole;   /* of all messages, each direction by itself */
	int64 exchange_no;
	bool has_columns; /* not all of its bytes are there */
} DiffOutline;

/*
 * Returns a message's body in regress mode, and its keys unless they are NULL: all
 * that it says; its query without constants; its name.
 */
extern Jsonb *diff_message_body(const RecordedMessage *recorded, AlignKeys *keys);

/* Adds a key to one that stands for those before it. */
extern uint64 diff_add_key(uint64 before, uint64 key);

/* What is known of an exchange whose bytes were not all kept. */
typedef struct DiffColumns
{
	int64 exchange_no;
	AlignKeys keys; /* of its query */
	uint64 whole;
	Jsonb *body;
} DiffColumns;

typedef void (*DiffTakeColumns)(void *arg, const DiffColumns *columns);

/* Gives that of a session's exchanges, or of one, in their order. */
extern void diff_read_columns(int64 session_id, bool has_exchange, int64 exchange_no,
                              DiffTakeColumns take, void *arg);

/* Returns the outlines of a session's exchanges, in the present memory context. */
extern AlignSequence diff_outline(int64 session_id);

/* Adds a row; a message_no of 0 is NULL, so are bodies. */
extern void diff_put(ReturnSetInfo *result, int64 exchange_no, int32 message_no, const char *what,
                     const Jsonb *left, const Jsonb *right);

/* Adds a row for each message in which an exchange of each session differ. */
extern void diff_exchanges(ReturnSetInfo *result, const int64 sessions[2], const DiffOutline *left,
                           const DiffOutline *right);

/* Returns the places in which two bodies differ: the first few, as in jsonpath. */
extern const char *diff_places(const Jsonb *left, const Jsonb *right);

#endif /* API_DIFF_H */
