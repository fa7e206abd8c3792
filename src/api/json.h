/*
 * json.h
 *	  Message bodies as jsonb, by the events of the codec's walker.
 *
 *		walker --events--> json.c --values--> json_write.c --> jsonb
 *
 * json.c knows what a body looks like, json_write.c what jsonb is made of.  Most
 * messages have a shorter way, json_flat.c.
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
typedef struct JsonShapes JsonShapes; /* json_flat.c */

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

/* Forgets what was added. */
extern void json_reset(JsonWriter *writer);

/*
 * Returns the jsonb, which is there until the next one is made, and resets the
 * writer.  There is one outermost container, and all are ended.
 */
extern Jsonb *json_finish(JsonWriter *writer);

/*
 * Returns where the next jsonb of at most so many bytes is laid out; what was there
 * is gone.  In front of it are JSON_LEAD bytes for whoever wants to make a row of it.
 */
#define JSON_LEAD 128
extern char *json_room(JsonWriter *writer, size_t size);

/* What makes a body's jsonb besides its bytes. */
typedef struct JsonContext
{
	JsonWriter *writer;
	JsonShapes *shapes;
	ReadEncoding encoding;
	bool is_masked;      /* secrets were overwritten before the bytes came here */
	bool is_regress;     /* placeholders for what differs between two runs */
	WireFormats formats; /* of a DataRow or function result, as other messages say */
	bool data_is_binary; /* of CopyData, likewise */
} JsonContext;

/* ---- json_flat.c: bodies without events ---- */

/* Makes room for what is kept of messages' fields, in the present memory context. */
extern JsonShapes *json_shapes_create(void);

/*
 * Returns the body of a message of plain fields, like json_message_body; NULL: that
 * has to be made by events.
 */
extern Jsonb *json_flat_body(const JsonContext *context, const WireMessage *message);

/* ---- json.c ---- */

/* Looks up what it takes to show values of an encoding; makes the writer. */
extern void json_context_init(JsonContext *context, int encoding);

/* Returns the name that a message is shown by. */
extern const char *json_message_name(const WireMessage *message);

/*
 * Returns a message's body, which is there until the next one is made.  is_cut: it
 * was too long for jsonb, so that only its first bytes are there.
 */
extern Jsonb *json_message_body(const JsonContext *context, const WireMessage *message,
                                bool *is_cut);

/* The same, always by events. */
extern Jsonb *json_walked_body(const JsonContext *context, const WireMessage *message,
                               bool *is_cut);

/* Error fields: code and key, in the server's order; ended by a NULL key. */
typedef struct JsonErrorKey
{
	char code;
	const char *key;
} JsonErrorKey;

extern const JsonErrorKey json_error_keys[];

#endif /* API_JSON_H */
