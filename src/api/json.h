/*
 * json.h
 *	  Message bodies as jsonb, by the events of the codec's walker.
 */
#ifndef API_JSON_H
#define API_JSON_H

#include "postgres.h"

#include "read/encoding.h"
#include "utils/jsonb.h"
#include "wire/stream.h"
#include "wire/walk.h"

/* What makes a body's jsonb besides its bytes. */
typedef struct JsonContext
{
	ReadEncoding encoding;
	bool is_masked;      /* secrets were overwritten before the bytes came here */
	WireFormats formats; /* of a DataRow or function result, as other messages say */
	bool data_is_binary; /* of CopyData, likewise */
} JsonContext;

/* Returns the name that a message is shown by. */
extern const char *json_message_name(const WireMessage *message);

/*
 * Returns a message's body.  is_cut: it was too long for jsonb, so that only
 * its first bytes are there.
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

/* ---- json_value.c ---- */

/* Keeps the size of what is built within jsonb's limits. */
typedef struct JsonBudget
{
	size_t used;
} JsonBudget;

/* Sets a value to bytes: text if they are, else {"hex": ...}. False: too large. */
extern bool json_set_bytes(JsonbValue *value, const ReadEncoding *encoding, JsonBudget *budget,
                           WireSpan bytes, bool is_binary);
extern bool json_set_number(JsonbValue *value, JsonBudget *budget, int64 number);
extern void json_set_text(JsonbValue *value, const char *text);
extern void json_set_array(JsonbValue *value, JsonbValue *elems, int count);

/* Sets a value to an object; sorts the pairs as jsonb wants them. */
extern void json_set_object(JsonbValue *value, JsonbPair *pairs, int count);

/* Sets a value to an object of a single key. */
extern void json_set_single(JsonbValue *value, const char *key, const JsonbValue *content);

#endif /* API_JSON_H */
