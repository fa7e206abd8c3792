/*
 * decode.h
 *	  What the functions that show messages share: arguments, and reading a
 *	  session's exchanges out of the tables.
 */
#ifndef API_DECODE_H
#define API_DECODE_H

#include "postgres.h"

#include "api/json.h"
#include "datatype/timestamp.h"

/* ---- decode_args.c: argument checks; raise 22023 ---- */

extern WireDirection decode_direction(const char *argument);
extern WirePhase decode_phase(const char *argument);
extern int decode_encoding(const char *argument);

/* ---- decode_formats.c: which values of the answers are binary ---- */

typedef struct FormatTracker FormatTracker;

/* Makes a tracker in the present memory context. */
extern FormatTracker *formats_create(void);

/* Forgets what is unanswered: another exchange begins. */
extern void formats_begin_exchange(FormatTracker *tracker);

/* Sets what is known of the values of a message that comes next. */
extern void formats_apply(const FormatTracker *tracker, WireDirection direction, WireMessageId id,
                          JsonContext *context);

/* Notes that a message passed. */
extern void formats_pass(FormatTracker *tracker, WireDirection direction,
                         const WireMessage *message);

/* ---- messages_read.c: the messages of a session, in wire order ---- */

typedef struct RecordedMessage
{
	int64 exchange_no;
	int32 message_no; /* in its exchange, from 1 */
	TimestampTz at;   /* when its last byte passed */
	WireDirection direction;
	const WireMessage *message;
	const JsonContext *context;
} RecordedMessage;

typedef void (*RecordedTake)(void *arg, const RecordedMessage *recorded);

/* Gives each message to `take`, in a memory context that is reset behind it. */
extern void messages_read(int64 session_id, bool has_exchange, int64 exchange_no, RecordedTake take,
                          void *arg);

#endif /* API_DECODE_H */
