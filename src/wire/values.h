/*
 * values.h
 *	  Steps through a counted list of values, such as a DataRow's body is.
 *
 * Rows are most of what passes and the values all that is in them, so this is
 * what must be fast: it stands in the caller's loop.  wire_walk() makes its events
 * of values with it, too.
 *
 *		WireValues values = wire_values_begin(body, len);
 *		while (wire_values_next(&values, &value))
 *			...
 *		if (values.reason) the list is not well formed
 */
#ifndef WIRE_VALUES_H
#define WIRE_VALUES_H

#include "wire/cursor.h"

typedef struct WireValues
{
	WireCursor cursor;
	uint32_t left;      /* values still to come */
	const char *reason; /* NULL: what was seen of the list is well formed */
} WireValues;

/*
 * Begins a list: reads its count.
 */
static inline WireValues
wire_values_begin(const uint8_t *data, size_t len)
{
	WireValues values = {.cursor = {data, len, 0}};

	if (!cursor_integer(&values.cursor, 2, &values.left))
		values.reason = "the message ends inside a number";
	else if (values.left > cursor_left(&values.cursor) / 4)
	{
		values.reason = "a list is longer than the message";
		values.left = 0;
	}
	return values;
}

/*
 * Steps to the next value; a NULL one has no data, an empty one has.  False behind
 * the last, and where the list is not well formed.
 */
static inline bool
wire_values_next(WireValues *values, WireSpan *value)
{
	WireCursor *cursor = &values->cursor;
	size_t left = cursor_left(cursor);
	uint32_t length;

	if (values->left == 0)
		return false;
	values->left--;
	if (!cursor_integer(cursor, 4, &length))
		values->reason = "the message ends inside a number";
	else if (length <= left - 4 && length <= INT32_MAX) /* mostly */
	{
		*value = (WireSpan){cursor->data + cursor->at, length};
		cursor->at += length;
		return true;
	}
	else if (length == UINT32_MAX)
	{
		*value = (WireSpan){NULL, 0};
		return true;
	}
	else
		values->reason = length > INT32_MAX ? "a value has a negative length"
		                                    : "a value is longer than the message";
	values->left = 0;
	return false;
}

#endif /* WIRE_VALUES_H */
