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
 *		read_bytes			text as bytes, if it can be that
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

/*
 * Returns text of the database's as bytes in the encoding; NULL if that cannot say
 * it.  What needs no conversion is returned in place.
 */
extern const char *read_bytes(const ReadEncoding *encoding, const char *text, size_t len,
                              size_t *out_len);

/*
 * Tells whether eight bytes are ASCII and none is zero.
 */
static inline bool
read_is_plain_word(const uint8 *data)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64 word;

	memcpy(&word, data, sizeof(word));
	/* the high bit of a byte: set in itself, or borrowed for because it is zero */
	return ((word | (word - ones)) & (ones << 7)) == 0;
}

/*
 * Tells whether bytes are ASCII without a zero byte: then they are text in any
 * encoding, in place.
 */
static inline bool
read_is_plain(const uint8 *data, size_t len)
{
	if (len < 8)
	{
		for (size_t at = 0; at < len; at++)
			if (data[at] == 0 || data[at] > 0x7f)
				return false;
		return true;
	}
	for (size_t at = 0; at + 8 < len; at += 8)
		if (!read_is_plain_word(data + at))
			return false;
	return read_is_plain_word(data + len - 8);
}

#endif /* READ_ENCODING_H */
