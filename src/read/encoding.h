/*
 * encoding.h
 *	  Bytes of a recorded session as text of this database.
 *
 * A session's strings are in its client_encoding.  They are shown as text where
 * they are valid in it and come back unchanged from the database's encoding, so
 * nothing is lost by showing them; what is not text is shown as hexadecimal
 * digits by whoever asked.
 *
 * Public routines:
 *		read_encoding_init	look up the way from one encoding to the database's
 *		read_text			bytes as text, if they are that
 */
#ifndef READ_ENCODING_H
#define READ_ENCODING_H

#include "postgres.h"

#include "wire/wire.h"

/* How bytes become text: their encoding, and the way to the database's and back. */
typedef struct ReadEncoding
{
	int encoding;
	bool is_converted; /* bytes differ between the two */
	Oid to_database;   /* conversion functions, if so; InvalidOid: there is none */
	Oid from_database;
} ReadEncoding;

/* Looks up what it takes to show bytes in an encoding. */
extern void read_encoding_init(ReadEncoding *encoding, int from);

/*
 * Returns bytes as text in the database's encoding, which is not zero-terminated;
 * NULL if they are none.  What needs no conversion is returned in place.
 */
extern const char *read_text(const ReadEncoding *encoding, WireSpan bytes, size_t *len);

#endif /* READ_ENCODING_H */
