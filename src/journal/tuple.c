/*
 * tuple.c
 *	  Makes a tuple in the binary format of COPY.
 */
#include "journal/tuple.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define INET_FAMILY_4 2 /* as inet's send function writes families */
#define INET_FAMILY_6 3

/*
 * Makes room for `more` bytes and returns where they go; NULL: no memory.
 */
static uint8_t *
make_room(Tuple *tuple, size_t more)
{
	uint8_t *at;

	if (tuple->failed)
		return NULL;
	if (tuple->cap - tuple->len < more)
	{
		size_t cap = tuple->cap * 2 > tuple->len + more ? tuple->cap * 2 : tuple->len + more + 1024;
		uint8_t *data = realloc(tuple->data, cap);

		if (!data)
		{
			tuple->failed = true;
			return NULL;
		}
		tuple->data = data;
		tuple->cap = cap;
	}
	at = tuple->data + tuple->len;
	tuple->len += more;
	return at;
}

/*
 * Writes an integer in network byte order.
 */
static void
put_integer(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t) (value >> (8 * (bytes - 1 - i)));
}

/*
 * Begins a column: its length and room for its bytes.
 */
static uint8_t *
begin_column(Tuple *tuple, size_t len)
{
	uint8_t *at = make_room(tuple, 4 + len);

	tuple->columns--;
	if (!at)
		return NULL;
	put_integer(at, len, 4);
	return at + 4;
}

/*
 * Begins a tuple.
 */
void
tuple_begin(Tuple *tuple, int columns)
{
	uint8_t *at;

	tuple->len = 0;
	tuple->failed = tuple->has_high_bytes = false;
	tuple->columns = columns;
	at = make_room(tuple, 2);
	if (at)
		put_integer(at, (uint64_t) columns, 2);
}

/*
 * Adds a NULL.
 */
void
tuple_null(Tuple *tuple)
{
	uint8_t *at = make_room(tuple, 4);

	tuple->columns--;
	if (at)
		put_integer(at, UINT32_MAX, 4);
}

/*
 * Adds bytes.
 */
void
tuple_bytes(Tuple *tuple, const void *bytes, size_t len)
{
	uint8_t *at = begin_column(tuple, len);

	if (at && len > 0)
		memcpy(at, bytes, len);
}

/*
 * Adds bytes that are in several places.
 */
void
tuple_parts(Tuple *tuple, const struct iovec *parts, int count)
{
	size_t len = 0;
	uint8_t *at;

	for (int i = 0; i < count; i++)
		len += parts[i].iov_len;
	at = begin_column(tuple, len);
	for (int i = 0; i < count && at; i++)
	{
		if (parts[i].iov_len > 0)
			memcpy(at, parts[i].iov_base, parts[i].iov_len);
		at += parts[i].iov_len;
	}
}

/*
 * Adds a text and notes whether it may need conversion.
 */
void
tuple_text(Tuple *tuple, const void *text, size_t len)
{
	const uint8_t *bytes = text;
	uint8_t high = 0;

	for (size_t i = 0; i < len; i++)
		high |= bytes[i];
	tuple->has_high_bytes |= (high & 0x80) != 0;
	tuple_bytes(tuple, text, len);
}

/*
 * Adds an integer of so many bytes.
 */
static void
add_integer(Tuple *tuple, uint64_t value, int bytes)
{
	uint8_t *at = begin_column(tuple, (size_t) bytes);

	if (at)
		put_integer(at, value, bytes);
}

void
tuple_bool(Tuple *tuple, bool value)
{
	add_integer(tuple, value, 1);
}

void
tuple_int4(Tuple *tuple, int32_t value)
{
	add_integer(tuple, (uint32_t) value, 4);
}

void
tuple_int8(Tuple *tuple, int64_t value)
{
	add_integer(tuple, (uint64_t) value, 8);
}

void
tuple_oid(Tuple *tuple, uint32_t value)
{
	add_integer(tuple, value, 4);
}

void
tuple_time(Tuple *tuple, int64_t value)
{
	add_integer(tuple, (uint64_t) value, 8);
}

/*
 * Adds an address: family, bits, whether it is a cidr, length, bytes.
 */
void
tuple_inet(Tuple *tuple, int family, const void *address)
{
	bool is_4 = family == AF_INET;
	size_t len = is_4 ? 4 : 16;
	uint8_t *at = begin_column(tuple, 4 + len);

	if (!at)
		return;
	at[0] = is_4 ? INET_FAMILY_4 : INET_FAMILY_6;
	at[1] = (uint8_t) (len * 8);
	at[2] = 0;
	at[3] = (uint8_t) len;
	memcpy(at + 4, address, len);
}

/*
 * Ends a tuple.
 */
bool
tuple_end(Tuple *tuple)
{
	return !tuple->failed && tuple->columns == 0;
}

/*
 * Frees the tuple's memory.
 */
void
tuple_free(Tuple *tuple)
{
	free(tuple->data);
	memset(tuple, 0, sizeof(*tuple));
}
