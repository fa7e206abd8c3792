/*
 * json_encode.h
 *	  A message's bytes from jsonb: what the encoder's files share.
 *
 * Each routine that appends raises 22023 with an error that names the message's
 * field, what was expected, and what was found.
 */
#ifndef API_JSON_ENCODE_H
#define API_JSON_ENCODE_H

#include "api/decode.h"
#include "compat.h"
#include "lib/stringinfo.h"

/* A message being written. */
typedef struct Encoder
{
	const char *message;
	const char *field; /* being written */
	WireDirection direction;
	ReadEncoding encoding;
	int count_at; /* where the count of a list to come stands */
	StringInfo out;
} Encoder;

/* Raises the error. */
pg_noreturn extern void encode_fail(const Encoder *encoder, const char *expected,
                                    const char *found);

/* Returns what a value is, in words for it; NULL: it is missing. */
extern const char *encode_found(const JsonbValue *value);

/* Finds a key of an object; NULL: it is not there. */
extern JsonbValue *encode_find_key(JsonbContainer *object, const char *key, JsonbValue *value);

/* Checks that an object has no other keys than a list of fields. */
extern void encode_check_keys(Encoder *encoder, JsonbContainer *object, const WireField *fields);

extern void encode_integer(Encoder *encoder, uint64 number, int bytes);
extern void encode_number(Encoder *encoder, const JsonbValue *value, WireKind kind);
extern void encode_string(Encoder *encoder, const JsonbValue *value, bool may_be_empty);
extern void encode_bytes(Encoder *encoder, const JsonbValue *value);
extern void encode_value(Encoder *encoder, const JsonbValue *value);
extern void encode_list(Encoder *encoder, const JsonbValue *value, WireKind kind);

/* Appends a tuple of pgoutput's behind its tag. */
extern void encode_tuple(Encoder *encoder, const JsonbValue *value, uint8 tag);

#endif /* API_JSON_ENCODE_H */
