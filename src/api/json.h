/*
 * json.h
 *	  Message bodies as jsonb, by the events of the codec's walker.
 *
 *		walker --events--> json.c --values--> json_write.c --> jsonb
 *
 * json.c knows what a body looks like, json_write.c what jsonb is made of.  Plain
 * rows have a shorter way, json_row.c.
 */
#ifndef API_JSON_H
#define API_JSON_H

#include "postgres.h"

#include "read/encoding.h"
#include "utils/jsonb.h"
#include "wire/stream.h"
#include "wire/walk.h"

/* ---- json_write.c: jsonb from values as they come ---- */

typedef struct JsonWriter JsonWriter;

typedef enum JsonKind
{
	JSON_STRING,
	JSON_HEX, /* a string: its bytes as hex digits */
	JSON_NUMBER,
	JSON_TRUE,
	JSON_NULL,
	JSON_ARRAY,
	JSON_OBJECT
} JsonKind;

/* Makes a writer in the present memory context. */
extern JsonWriter *json_writer_create(void);

/*
 * Add a value to the innermost container that is not ended, or begin and end such
 * a container.  In an object each value has a key that no other there has; in an
 * array it is NULL.  Keys are constants, told apart by their address; bytes are not
 * copied: they must stay as they are until json_finish.  False: what was added is
 * more than jsonb can hold.
 */
extern bool json_begin(JsonWriter *writer, const char *key, JsonKind kind);
extern void json_end(JsonWriter *writer);
extern bool json_put_string(JsonWriter *writer, const char *key, const void *bytes, size_t len);
extern bool json_put_hex(JsonWriter *writer, const char *key, const void *bytes, size_t len);
extern bool json_put_number(JsonWriter *writer, const char *key, int64 number);
extern bool json_put_constant(JsonWriter *writer, const char *key, JsonKind kind);

/* Adds bytes: as text if they are that, else {"hex": ...}. */
extern bool json_put_bytes(JsonWriter *writer, const ReadEncoding *encoding, const char *key,
                           WireSpan bytes, bool is_binary);

/*
 * Copies bytes and returns the place behind them.  Most are few, and a call would
 * cost more than their copy: two overlapping pieces make any length between theirs.
 */
static inline char *
json_copy(char *at, const void *bytes, size_t len)
{
	const char *from = bytes;

	if (len > 16)
		memcpy(at, from, len);
	else if (len >= 8)
	{
		memcpy(at, from, 8);
		memcpy(at + len - 8, from + len - 8, 8);
	}
	else if (len >= 4)
	{
		memcpy(at, from, 4);
		memcpy(at + len - 4, from + len - 4, 4);
	}
	else
		for (size_t i = 0; i < len; i++)
			at[i] = from[i];
	return at + len;
}

/* Forgets what was added. */
extern void json_reset(JsonWriter *writer);

/*
 * Returns the jsonb, in the present memory context, and resets the writer.  There
 * is one outermost container, and all are ended.
 */
extern Jsonb *json_finish(JsonWriter *writer);

/* What makes a body's jsonb besides its bytes. */
typedef struct JsonContext
{
	JsonWriter *writer;
	ReadEncoding encoding;
	bool is_masked;      /* secrets were overwritten before the bytes came here */
	bool is_regress;     /* placeholders for what differs between two runs */
	WireFormats formats; /* of a DataRow or function result, as other messages say */
	bool data_is_binary; /* of CopyData, likewise */
} JsonContext;

/* ---- json_row.c ---- */

/*
 * Returns the body of a whole message that is one list of values, all of them
 * text as they are or NULL, in the present memory context; NULL for any other.
 */
extern Jsonb *json_row_body(const JsonContext *context, const WireMessage *message);

/* ---- json.c ---- */

/* Looks up what it takes to show values of an encoding; makes the writer. */
extern void json_context_init(JsonContext *context, int encoding);

/* Returns the name that a message is shown by. */
extern const char *json_message_name(const WireMessage *message);

/*
 * Returns a message's body, in the present memory context.  is_cut: it was too
 * long for jsonb, so that only its first bytes are there.
 */
extern Jsonb *json_message_body(const JsonContext *context, const WireMessage *message,
                                bool *is_cut);

/* Error fields: code and key, in the server's order; ended by a NULL key. */
typedef struct JsonErrorKey
{
	char code;
	const char *key;
} JsonErrorKey;

extern const JsonErrorKey json_error_keys[];

#endif /* API_JSON_H */
