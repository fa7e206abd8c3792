/*
 * items.c
 *	  Columns, values and formats inside messages.
 *
 * The record may hold whatever a client or server sent: every read is checked, and a
 * count is never believed beyond the bytes that are there.
 */
#include "read/read.h"

#include "wire/cursor.h"

/*
 * Reads a RowDescription's columns; see read.h.
 */
ReadColumns *
read_columns(const ReadSession *session, WireSpan body)
{
	WireCursor cursor = {body.data, body.len, 0};
	ReadColumns *columns;
	uint32 count;

	if (!cursor_integer(&cursor, 2, &count) || count * 19 > cursor_left(&cursor))
		return NULL;
	columns = palloc(offsetof(ReadColumns, columns) + sizeof(ReadColumn) * count);
	columns->count = (int) count;
	for (uint32 i = 0; i < count; i++)
	{
		ReadColumn *column = &columns->columns[i];
		WireSpan name;
		uint32 skipped;
		uint32 type;
		uint32 modifier;
		uint32 format;

		if (!cursor_string(&cursor, &name) || !cursor_integer(&cursor, 4, &skipped) ||
		    !cursor_integer(&cursor, 2, &skipped) || !cursor_integer(&cursor, 4, &type) ||
		    !cursor_integer(&cursor, 2, &skipped) || !cursor_integer(&cursor, 4, &modifier) ||
		    !cursor_integer(&cursor, 2, &format))
			return NULL;
		column->name = read_string(session, name);
		column->type = type;
		column->modifier = (int32) modifier;
		column->format = (int) format;
	}
	return columns;
}

/*
 * Reads a list of format codes.
 */
static bool
take_formats(WireCursor *cursor, WireFormats *formats)
{
	uint32 count;
	WireSpan codes;

	if (!cursor_integer(cursor, 2, &count) || !cursor_bytes(cursor, (size_t) count * 2, &codes))
		return false;
	formats->codes = codes.data;
	formats->count = count;
	return true;
}

/*
 * Begins with the values that follow in a body.
 */
static bool
take_items(WireCursor *cursor, ReadItems *items)
{
	uint32 count;

	if (!cursor_integer(cursor, 2, &count) || (size_t) count * 4 > cursor_left(cursor))
		return false;
	items->body = (WireSpan){cursor->data, cursor->len};
	items->at = cursor->at;
	items->count = (int) count;
	items->given = 0;
	return true;
}

/*
 * Begins with the values of a DataRow; their formats stand elsewhere.
 */
bool
read_row_items(WireSpan body, ReadItems *items)
{
	WireCursor cursor = {body.data, body.len, 0};

	memset(items, 0, sizeof(*items));
	return take_items(&cursor, items);
}

/*
 * Begins with the values of a Bind.
 */
bool
read_bind_items(WireSpan body, ReadItems *items)
{
	WireCursor cursor = {body.data, body.len, 0};
	WireSpan name;

	memset(items, 0, sizeof(*items));
	return cursor_string(&cursor, &name) && cursor_string(&cursor, &name) &&
	       take_formats(&cursor, &items->formats) && take_items(&cursor, items);
}

/*
 * Begins with the arguments of a FunctionCall.
 */
bool
read_call_items(WireSpan body, uint32 *function, ReadItems *items)
{
	WireCursor cursor = {body.data, body.len, 0};

	memset(items, 0, sizeof(*items));
	return cursor_integer(&cursor, 4, function) && take_formats(&cursor, &items->formats) &&
	       take_items(&cursor, items);
}

/*
 * Gives the next value; see read.h.
 */
bool
read_items_next(ReadItems *items, WireSpan *value, int *format)
{
	WireCursor cursor = {items->body.data, items->body.len, items->at};
	uint32 length;

	*value = (WireSpan){NULL, 0};
	if (items->given >= items->count || !cursor_integer(&cursor, 4, &length))
		return false;
	if (length != PG_UINT32_MAX)
	{
		if (!cursor_bytes(&cursor, length, value))
			return false;
	}
	*format = wire_is_binary(&items->formats, items->given) ? 1 : 0;
	items->given++;
	items->at = cursor.at;
	return true;
}

/*
 * Returns the format codes of a Bind's results; none if it is malformed.
 */
WireFormats
read_bind_result_formats(WireSpan body)
{
	WireFormats formats = {NULL, 0};
	ReadItems items;
	WireSpan value;
	int format;
	WireCursor cursor;

	if (!read_bind_items(body, &items))
		return formats;
	while (read_items_next(&items, &value, &format))
		;
	cursor = (WireCursor){items.body.data, items.body.len, items.at};
	if (items.given < items.count || !take_formats(&cursor, &formats))
		return (WireFormats){NULL, 0};
	return formats;
}

/*
 * Reads a list of OIDs; see read.h.
 */
int
read_oids(WireSpan bytes, Oid **oids)
{
	WireCursor cursor = {bytes.data, bytes.len, 0};
	uint32 count;

	*oids = NULL;
	if (!cursor_integer(&cursor, 2, &count) || (size_t) count * 4 != cursor_left(&cursor))
		return -1;
	*oids = palloc(sizeof(Oid) * Max(count, 1));
	for (uint32 i = 0; i < count; i++)
	{
		uint32 oid;

		cursor_integer(&cursor, 4, &oid);
		(*oids)[i] = oid;
	}
	return (int) count;
}
