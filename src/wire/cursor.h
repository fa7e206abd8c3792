/*
 * cursor.h
 *	  A place in a body that checks every read.
 */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

#include <string.h>

#include "wire/wire.h"

typedef struct WireCursor
{
	const uint8_t *data;
	size_t len;
	size_t at;
} WireCursor;

/*
 * Returns how many bytes are left.
 */
static inline size_t
cursor_left(const WireCursor *cursor)
{
	return cursor->len - cursor->at;
}

/*
 * Reads an integer of 1 to 4 bytes; false, and nothing moves, if there are
 * fewer.
 */
static inline bool
cursor_integer(WireCursor *cursor, int bytes, uint32_t *number)
{
	const uint8_t *at;

	*number = 0;
	if (cursor_left(cursor) < (size_t) bytes)
		return false;
	at = cursor->data + cursor->at;
	if (bytes == 4) /* compilers make one load of this, and of no loop */
		*number = (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
	else
		for (int i = 0; i < bytes; i++)
			*number = *number << 8 | at[i];
	cursor->at += (size_t) bytes;
	return true;
}

/*
 * Reads an integer of 8 bytes; false, and nothing moves, if there are fewer.
 */
static inline bool
cursor_integer64(WireCursor *cursor, uint64_t *number)
{
	uint32_t high;
	uint32_t low;

	if (cursor_left(cursor) < 8)
		return false;
	cursor_integer(cursor, 4, &high);
	cursor_integer(cursor, 4, &low);
	*number = (uint64_t) high << 32 | low;
	return true;
}

/*
 * Reads a number of bytes; false, and nothing moves, if there are fewer.
 */
static inline bool
cursor_bytes(WireCursor *cursor, size_t len, WireSpan *span)
{
	if (cursor_left(cursor) < len)
		return false;
	span->data = len > 0 ? cursor->data + cursor->at : cursor->data;
	span->len = len;
	cursor->at += len;
	return true;
}

/*
 * Reads a string up to its zero byte.  False if there is none: then the string
 * holds all that is left.
 */
static inline bool
cursor_string(WireCursor *cursor, WireSpan *span)
{
	size_t left = cursor_left(cursor);
	const uint8_t *begin = left > 0 ? cursor->data + cursor->at : cursor->data;
	const uint8_t *end = left > 0 ? memchr(begin, 0, left) : NULL;

	span->data = begin;
	span->len = end ? (size_t) (end - begin) : left;
	cursor->at += span->len + (end ? 1 : 0);
	return end != NULL;
}

#endif /* WIRE_CURSOR_H */
