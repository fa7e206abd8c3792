/*
 * wire.h
 *	  The codec of the frontend/backend protocol: bytes in, values out.
 *
 * Everything that is known of a message stands in one list, messages.h; what
 * is declared here is derived from it or walks it.  The room has no server
 * headers, opens no sockets and allocates nothing: callers own every buffer,
 * and all results point into the caller's bytes.
 *
 * Protocol documentation: chapter "Frontend/Backend Protocol", sections
 * "Message Formats" and "Error and Notice Message Fields".
 *
 * Public routines:
 *		wire_length_limits	how long messages may be
 *		wire_frame_next		split a stream into messages, whatever its segments
 *		wire_type_of		message type by (direction, byte, phase)
 *		wire_decode			top-level fields of one body, without allocation
 *		wire_error_field	one coded field of ErrorResponse / NoticeResponse
 *		wire_pair_next		name/value pairs of a StartupMessage
 *		wire_tag_rows		row count of a command tag
 *		wire_put_error		build an ErrorResponse
 *		wire_mask_body		overwrite what must never be stored
 *		wire_error_secret	whether an error quotes a secret
 *		wire_mask_query		overwrite passwords in query text
 *		wire_normalise		query text with constants as $n
 *		wire_redact_values	overwrite parameters, results, CopyData
 *		wire_redact_constants	overwrite the constants of query text
 *		wire_redact_prose	overwrite what errors may quote of values
 *		wire_text_names		whether query text names a table
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which side sent it. */
typedef enum WireDirection
{
	WIRE_FRONTEND = 'F',
	WIRE_BACKEND = 'B'
} WireDirection;

/* What the meaning of a type byte depends on besides its direction. */
typedef enum WirePhase
{
	WIRE_PHASE_STARTUP,      /* no type byte yet */
	WIRE_PHASE_PASSWORD,     /* 'p' answers a password request */
	WIRE_PHASE_SASL_INITIAL, /* 'p' answers AuthenticationSASL */
	WIRE_PHASE_SASL,         /* 'p' answers AuthenticationSASLContinue */
	WIRE_PHASE_GSS,          /* 'p' answers AuthenticationGSS, GSSContinue */
	WIRE_PHASE_NORMAL,
	WIRE_PHASE_COPY,        /* between Copy*Response and its end */
	WIRE_PHASE_REPLICATION, /* CopyBoth of a walsender */
	WIRE_PHASE_SSL_ANSWER,  /* one byte without a length */
	WIRE_PHASE_COUNT,

	/* what the byte is looked up for where a message is part of another one */
	WIRE_PHASE_IN_COPY_DATA = WIRE_PHASE_COUNT, /* in phase replication */
	WIRE_PHASE_IN_XLOG_DATA,                    /* of pgoutput */
	WIRE_PLACE_COUNT
} WirePhase;

/*
 * Message ids WIRE_MSG_<name>, and field numbers WIRE_<message>_<field>, both
 * from the list: e.g. WIRE_MSG_Parse, WIRE_Parse_query.
 */
typedef enum WireMessageId
{
	WIRE_MSG_Unknown = 0,
#define WIRE_MESSAGE(name, ...) WIRE_MSG_##name,
#define WIRE_FIELD(...)
#include "wire/messages.h"
#undef WIRE_MESSAGE
#undef WIRE_FIELD
	WIRE_MSG_COUNT
} WireMessageId;

enum
{
#define WIRE_MESSAGE(name, ...) WIRE_##name##_before_first = -1,
#define WIRE_FIELD(message, name, kind) WIRE_##message##_##name,
#include "wire/messages.h"
#undef WIRE_MESSAGE
#undef WIRE_FIELD
	WIRE_FIELDS_END
};

/* Most top-level fields that any message has. */
#define WIRE_MAX_FIELDS 8

/* A run of bytes in a buffer of the caller's. */
typedef struct WireSpan
{
	const uint8_t *data;
	size_t len;
} WireSpan;

/* Whose messages XLogData holds. */
typedef enum WirePlugin
{
	WIRE_PLUGIN_UNKNOWN, /* the command was not seen: see by each message */
	WIRE_PLUGIN_NONE,    /* WAL itself, or another output plugin's */
	WIRE_PLUGIN_PGOUTPUT
} WirePlugin;

/* What CopyData holds; all zeroes: bytes. */
typedef struct WireContent
{
	bool is_replication; /* messages of streaming replication or of a base backup */
	bool in_stream;      /* pgoutput: between StreamStart and StreamStop */
	WirePlugin plugin;
	WireDirection direction;
} WireContent;

/*
 * Returns the greatest length field that makes sense in a direction, by type byte.
 * All bytes that are the same type's have the same limit; for types that are not
 * known it is 1 GB.
 */
extern const uint32_t *wire_length_limits(WireDirection direction);

/*
 * Framing of messages that have a type byte.  All zeroes is a fresh framer.
 * `have` counts header bytes seen (0 to 5), `left` body bytes still to come.
 * `limits` are wire_length_limits(); NULL: any length that is not negative.
 */
typedef struct WireFramer
{
	uint8_t header[5];
	uint8_t have;
	uint32_t left;
	const uint32_t *limits;
} WireFramer;

/* What one step of framing found. */
typedef struct WireFrame
{
	bool begins;     /* its header was completed by this step */
	bool ends;       /* its last byte is in this step */
	bool bad;        /* the length makes no sense: give up decoding */
	uint8_t type;    /* type byte; valid once the header is there */
	uint32_t length; /* the length field: with itself, without type */
	WireSpan body;   /* body bytes that came with this step */
} WireFrame;

/*
 * Takes one step: consumes header bytes and as much of one message's body as
 * data holds.  Returns the bytes consumed, at least 1 if len > 0 and not bad.
 * When neither the header nor the body moved to an end, begins and ends are
 * false and body is what came.  A length below 4, or above what makes sense (as a
 * signed one a negative length is), sets bad and consumes nothing more, ever.
 */
extern size_t wire_frame_next(WireFramer *framer, const uint8_t *data, size_t len,
                              WireFrame *frame);

/*
 * Returns the message type that this byte is, sent in this direction in this
 * phase; WIRE_MSG_Unknown for none.  Authentication requests, all of type
 * 'R', need the body's first four bytes: pass what there is of the body.
 */
extern WireMessageId wire_type_of(WireDirection direction, uint8_t type, WirePhase phase,
                                  const uint8_t *body, size_t body_len);

/* Returns the protocol documentation's name of a message. */
extern const char *wire_name_of(WireMessageId id);

/* One decoded top-level field: a number, or bytes (without a terminator). */
typedef struct WireValue
{
	int64_t number; /* integer kinds */
	WireSpan bytes; /* strings, and the raw bytes of lists */
	bool complete;  /* false: the body ended inside it */
} WireValue;

/*
 * Decodes the top-level fields of a body, in the list's order, into
 * values[WIRE_<message>_<field>].  Returns how many were reached; a body cut
 * short gives its last one with complete = false (a string then holds what
 * there is).  Values not reached are zeroed.
 */
extern int wire_decode(WireMessageId id, const uint8_t *body, size_t len,
                       WireValue values[WIRE_MAX_FIELDS]);

/* Finds a field of an ErrorResponse or NoticeResponse by its code. */
extern bool wire_error_field(const uint8_t *body, size_t len, char code, WireSpan *value);

/*
 * Steps through name/value pairs ended by a zero byte.  *at starts at 0.
 * Returns false at the end or at the first pair that is not whole.
 */
extern bool wire_pair_next(WireSpan pairs, size_t *at, WireSpan *name, WireSpan *value);

/*
 * Returns the row count a command tag names ("INSERT 0 5" is 5), -1 for none.
 */
extern int64_t wire_tag_rows(const char *tag, size_t len);

/*
 * Writes an ErrorResponse with severity, SQLSTATE and message into out.
 * Returns its size, or 0 if size is too small.
 */
extern size_t wire_put_error(uint8_t *out, size_t size, const char *severity, const char *sqlstate,
                             const char *message);

/*
 * Overwrites, keeping lengths, what must never be stored: bodies of frontend
 * 'p' messages (whichever of the four it is given as), AuthenticationSASLContinue,
 * SASLFinal and GSSContinue data, secret keys, passwords in query text (Query,
 * Parse), and what errors and notices quote of such text: so those are only to be
 * given where the text held a secret, or wire_error_secret() says so.  body may
 * be cut short; a CancelRequest's begins behind its code.
 * standard_strings: standard_conforming_strings as last reported.  Returns whether
 * query text, an error or a notice was changed.
 */
extern bool wire_mask_body(WireMessageId id, uint8_t *body, size_t len, bool standard_strings);

/*
 * Tells whether an ErrorResponse or NoticeResponse quotes a command or connection
 * string that holds a secret, as a context of dynamic SQL does.
 */
extern bool wire_error_secret(const uint8_t *body, size_t len);

/*
 * Overwrites with '*' the secrets in query text: passwords in CREATE/ALTER
 * ROLE|USER|GROUP, connection strings and options of CREATE/ALTER
 * SUBSCRIPTION, SERVER, USER MAPPING, and of dblink calls.  Returns whether
 * anything was masked.  text need not be zero-terminated.
 */
extern bool wire_mask_query(char *text, size_t len, bool standard_strings);

/*
 * Writes query text with its constants replaced by $n and comments and runs
 * of white space folded.  Parameters of the text keep their numbers; new ones
 * count on from the highest.  Text that does not lex becomes '<unparsable>'.
 * Returns the length, cut to size; out is not zero-terminated.  What is behind
 * the place where out is full is not looked at.
 */
extern size_t wire_normalise(const char *text, size_t len, bool standard_strings, char *out,
                             size_t size);

/*
 * Overwrites, keeping lengths, the values in the body of a Bind, FunctionCall,
 * FunctionCallResponse, DataRow or CopyData: those of the columns that are true,
 * or that are beyond column_count; columns NULL: all.  What can't be read, in a
 * body that is cut short, is overwritten as well.  Returns whether anything was.
 */
extern bool wire_redact_values(WireMessageId id, uint8_t *body, size_t len, const bool *columns,
                               size_t column_count);

/*
 * Overwrites, keeping lengths, the constants of query text; all behind what does not lex.
 * Returns whether there was any.
 */
extern bool wire_redact_constants(char *text, size_t len, bool standard_strings);

/*
 * Overwrites, keeping lengths, what an ErrorResponse or NoticeResponse may quote of values.
 * Returns whether there was anything.
 */
extern bool wire_redact_prose(uint8_t *body, size_t len);

/* Tells whether query text names a table, or can't be read as far as to tell. */
extern bool wire_text_names(const char *text, size_t len, bool standard_strings, const char *table);

#endif /* WIRE_H */
