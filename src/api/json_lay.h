/*
 * json_lay.h
 *	  Pieces of jsonb laid out in place: what its two writers share.
 *
 * utils/jsonb.h describes what jsonb looks like.  Whoever lays a piece out has
 * made sure of the room: each may write up to JSON_SLACK bytes behind what it
 * returns as its end, which the next piece, or nobody, overwrites.
 */
#ifndef API_JSON_LAY_H
#define API_JSON_LAY_H

#include "api/json.h"

#include "utils/builtins.h"

/* A numeric of 64 bits is no larger than this. */
#define JSON_NUMBER_SIZE 20

/* What pieces may write behind their end. */
#define JSON_SLACK 32

/* Numbers repeat (lengths, OIDs, format codes), so the last ones are kept made. */
#define JSON_NUMBER_SLOTS 256

/* A number as jsonb holds it; len 0: none. */
typedef struct JsonNumberSlot
{
	int64 number;
	uint32 len;
	char bytes[JSON_NUMBER_SIZE];
} JsonNumberSlot;

typedef struct JsonNumbers
{
	JsonNumberSlot slots[JSON_NUMBER_SLOTS];
} JsonNumbers;

/* Returns the numbers that a writer keeps. */
extern JsonNumbers *json_numbers(JsonWriter *writer);

/* Makes a number and keeps it in a slot. */
extern void json_make_number(JsonNumberSlot *slot, int64 number);

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

/*
 * Copies bytes and tells whether all are ASCII other than zero, in one go: then
 * they are text in any encoding.
 */
static inline bool
json_copy_plain(char *at, const uint8 *from, size_t len)
{
	const uint64 highs = UINT64CONST(0x8080808080808080);
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64 found = 0; /* a byte's high bit: set in itself, or borrowed for as it is zero */
	uint64 word;
	uint32 half[2];

	if (len >= 8)
	{
		for (size_t i = 0; i + 8 < len; i += 8)
		{
			memcpy(&word, from + i, 8);
			memcpy(at + i, &word, 8);
			found |= word | (word - ones);
		}
		memcpy(&word, from + len - 8, 8);
		memcpy(at + len - 8, &word, 8);
		found |= word | (word - ones);
	}
	else if (len >= 4)
	{
		memcpy(&half[0], from, 4);
		memcpy(&half[1], from + len - 4, 4);
		memcpy(at, &half[0], 4);
		memcpy(at + len - 4, &half[1], 4);
		word = half[0] | (uint64) half[1] << 32;
		found = word | (word - ones);
	}
	else
		for (size_t i = 0; i < len; i++)
		{
			at[i] = (char) from[i];
			found |= from[i] | (uint8) (from[i] - 1);
		}
	return (found & highs) == 0;
}

/*
 * Moves to where integers and containers may stand, over bytes that are zero.
 */
static inline char *
json_pad(char *at)
{
	const uint32 zero = 0;

	memcpy(at, &zero, sizeof(zero));
	return (char *) TYPEALIGN(sizeof(uint32), at);
}

/*
 * Lays a number out, aligned.
 */
static inline char *
json_lay_number(JsonNumbers *numbers, int64 number, char *at)
{
	uint64 hash = (uint64) number * UINT64CONST(0x9E3779B97F4A7C15);
	JsonNumberSlot *slot = &numbers->slots[hash / (PG_UINT64_MAX / JSON_NUMBER_SLOTS + 1)];

	if (unlikely(slot->len == 0 || slot->number != number))
		json_make_number(slot, number);
	at = json_pad(at);
	memcpy(at, slot->bytes, JSON_NUMBER_SIZE);
	return at + slot->len;
}

/*
 * Writes a place in the WAL as "%X/%08X".  Replication is full of them, and psprintf()
 * takes as long as all the rest of a message.
 */
static inline char *
json_lay_lsn(char *at, uint64 lsn)
{
	static const char digits[] = "0123456789ABCDEF";
	int shift = 60;

	while (shift > 32 && (lsn >> shift) == 0)
		shift -= 4;
	for (; shift >= 32; shift -= 4)
		*at++ = digits[lsn >> shift & 0xf];
	*at++ = '/';
	for (; shift >= 0; shift -= 4)
		*at++ = digits[lsn >> shift & 0xf];
	return at;
}

/*
 * Writes the entry of a container's value number i, of which the data ends at
 * `end` in the container's: mostly its length, here and there that end.
 */
static inline void
json_set_entry(JEntry *entries, uint32 i, JEntry entry, size_t end)
{
	if (i % JB_OFFSET_STRIDE == 0)
		entry = (entry & JENTRY_TYPEMASK) | (uint32) end | JENTRY_HAS_OFF;
	entries[i] = entry;
}

/*
 * Lays {"hex": ...} out, aligned.
 */
static inline char *
json_lay_hex(char *at, const void *bytes, size_t len)
{
	static const char key[] = "hex";
	uint32 *object = (uint32 *) (at = json_pad(at));

	object[0] = 1 | JB_FOBJECT;
	object[1] = (sizeof(key) - 1) | JENTRY_HAS_OFF;
	object[2] = (uint32) len * 2; /* a string's entry is its length */
	at = json_copy((char *) (object + 3), key, sizeof(key) - 1);
	return at + hex_encode(bytes, len, at);
}

#endif /* API_JSON_LAY_H */
