/*
 * container.c
 *	  Binary arrays, records, ranges and multiranges as the server writes them as text.
 *
 * What these formats are, and when their text has quotes, follows the server's
 * array_send and array_out, and the like for the others.  Elements carry their types'
 * OIDs in arrays and records, so these can be read also when the type has changed.
 */
#include "read/value.h"

#include "miscadmin.h"
#include "utils/array.h"
#include "utils/rangetypes.h"
#include "wire/cursor.h"

/*
 * Raises that bytes are not what their type says.
 */
static void
malformed(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
	                errmsg("bytes are no binary %s", what)));
}

/*
 * Reads an integer of 4 bytes.
 */
static uint32
take_integer(WireCursor *cursor, const char *what)
{
	uint32 number;

	if (!cursor_integer(cursor, 4, &number))
		malformed(what);
	return number;
}

/*
 * Reads an item behind its length; false: it is NULL.
 */
static bool
take_item(WireCursor *cursor, WireSpan *item, const char *what)
{
	uint32 length = take_integer(cursor, what);

	if (length == PG_UINT32_MAX)
		return false;
	if (length > PG_INT32_MAX || !cursor_bytes(cursor, length, item))
		malformed(what);
	return true;
}

/*
 * Tells whether a character is white space to array_in() and record_in().
 */
static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * Appends text in double quotes; quotes and backslashes in it are escaped, by a
 * backslash or by being doubled.
 */
static void
append_quoted(StringInfo out, const char *text, bool is_doubled)
{
	appendStringInfoCharMacro(out, '"');
	for (; *text; text++)
	{
		if (*text == '"' || *text == '\\')
			appendStringInfoCharMacro(out, is_doubled ? *text : '\\');
		appendStringInfoCharMacro(out, *text);
	}
	appendStringInfoCharMacro(out, '"');
}

/*
 * Tells whether text needs quotes: it is empty, or has white space or one of these.
 */
static bool
needs_quotes(const char *text, const char *special)
{
	if (*text == '\0')
		return true;
	for (; *text; text++)
		if (is_space(*text) || strchr(special, *text))
			return true;
	return false;
}

/* An array being written. */
typedef struct ArrayText
{
	ReadSession *session;
	Oid element;
	char special[8]; /* what needs quotes in an element */
	char delimiter;
	int dimensions;
	int sizes[MAXDIM];
	int bounds[MAXDIM];
	StringInfo out;
} ArrayText;

/*
 * Appends an element.
 */
static void
append_element(ArrayText *array, WireCursor *cursor)
{
	WireSpan item;
	StringInfoData text;

	CHECK_FOR_INTERRUPTS();
	if (!take_item(cursor, &item, "array"))
	{
		appendStringInfoString(array->out, "NULL");
		return;
	}
	initStringInfo(&text);
	value_append(array->session, array->element, item, &text);
	if (needs_quotes(text.data, array->special) || pg_strcasecmp(text.data, "NULL") == 0)
		append_quoted(array->out, text.data, false);
	else
		appendBinaryStringInfo(array->out, text.data, text.len);
	pfree(text.data);
}

/*
 * Appends the elements of a dimension and those within.
 */
static void
append_dimension(ArrayText *array, WireCursor *cursor, int dimension)
{
	appendStringInfoCharMacro(array->out, '{');
	for (int i = 0; i < array->sizes[dimension]; i++)
	{
		if (i > 0)
			appendStringInfoCharMacro(array->out, array->delimiter);
		if (dimension == array->dimensions - 1)
			append_element(array, cursor);
		else
			append_dimension(array, cursor, dimension + 1);
	}
	appendStringInfoCharMacro(array->out, '}');
}

/*
 * Reads an array's dimensions; returns whether text must name them.
 */
static bool
take_dimensions(ArrayText *array, WireCursor *cursor)
{
	bool is_named = false;
	int64 items = 1;

	for (int i = 0; i < array->dimensions; i++)
	{
		array->sizes[i] = (int) take_integer(cursor, "array");
		array->bounds[i] = (int) take_integer(cursor, "array");
		if (array->sizes[i] < 0)
			malformed("array");
		is_named |= array->bounds[i] != 1;
		items *= array->sizes[i];
		/* each has a length of its own: so many there can't be, and no product overflows */
		if ((size_t) items > cursor->len)
			malformed("array");
	}
	if (items == 0)
		array->dimensions = 0;
	return is_named;
}

/*
 * Appends an array.
 */
static void
append_array(ReadSession *session, WireCursor *cursor, StringInfo out)
{
	ArrayText array = {.session = session, .out = out};
	bool is_named;

	array.dimensions = (int) take_integer(cursor, "array");
	take_integer(cursor, "array"); /* whether there are NULLs: seen anyway */
	array.element = take_integer(cursor, "array");
	if (array.dimensions < 0 || array.dimensions > MAXDIM)
		malformed("array");
	array.delimiter = read_type(session, array.element)->delimiter;
	if (array.delimiter == '\0')
		array.delimiter = ',';
	snprintf(array.special, sizeof(array.special), "\"\\{}%c", array.delimiter);
	is_named = take_dimensions(&array, cursor);
	if (array.dimensions == 0)
	{
		appendStringInfoString(out, "{}");
		return;
	}
	for (int i = 0; is_named && i < array.dimensions; i++)
		appendStringInfo(out, "[%d:%d]%s", array.bounds[i],
		                 (int) ((int64) array.bounds[i] + array.sizes[i] - 1),
		                 i == array.dimensions - 1 ? "=" : "");
	append_dimension(&array, cursor, 0);
}

/*
 * Appends a record.
 */
static void
append_record(ReadSession *session, WireCursor *cursor, StringInfo out)
{
	uint32 count = take_integer(cursor, "record");

	if ((size_t) count * 8 > cursor_left(cursor))
		malformed("record");
	appendStringInfoCharMacro(out, '(');
	for (uint32 i = 0; i < count; i++)
	{
		Oid type = take_integer(cursor, "record");
		StringInfoData text;
		WireSpan item;

		if (i > 0)
			appendStringInfoCharMacro(out, ',');
		if (!take_item(cursor, &item, "record"))
			continue;
		initStringInfo(&text);
		value_append(session, type, item, &text);
		if (needs_quotes(text.data, "\"\\(),"))
			append_quoted(out, text.data, true);
		else
			appendBinaryStringInfo(out, text.data, text.len);
		pfree(text.data);
	}
	appendStringInfoCharMacro(out, ')');
}

/*
 * Appends a range's bound.
 */
static void
append_bound(ReadSession *session, Oid subtype, WireCursor *cursor, StringInfo out)
{
	StringInfoData text;
	WireSpan item;

	if (!take_item(cursor, &item, "range"))
		malformed("range");
	initStringInfo(&text);
	value_append(session, subtype, item, &text);
	if (needs_quotes(text.data, "\"\\()[],"))
		append_quoted(out, text.data, true);
	else
		appendBinaryStringInfo(out, text.data, text.len);
	pfree(text.data);
}

/*
 * Appends a range.  No canonical form is made: the server had done so.
 */
static void
append_range(ReadSession *session, Oid subtype, WireCursor *cursor, StringInfo out)
{
	uint32 flags;

	if (!cursor_integer(cursor, 1, &flags))
		malformed("range");
	if (flags & RANGE_EMPTY)
	{
		appendStringInfoString(out, RANGE_EMPTY_LITERAL);
		return;
	}
	appendStringInfoCharMacro(out, (flags & RANGE_LB_INC) ? '[' : '(');
	if (!(flags & RANGE_LB_INF))
		append_bound(session, subtype, cursor, out);
	appendStringInfoCharMacro(out, ',');
	if (!(flags & RANGE_UB_INF))
		append_bound(session, subtype, cursor, out);
	appendStringInfoCharMacro(out, (flags & RANGE_UB_INC) ? ']' : ')');
}

/*
 * Appends a multirange.
 */
static void
append_multirange(ReadSession *session, Oid range, WireCursor *cursor, StringInfo out)
{
	uint32 count = take_integer(cursor, "multirange");

	if ((size_t) count * 4 > cursor_left(cursor))
		malformed("multirange");
	appendStringInfoCharMacro(out, '{');
	for (uint32 i = 0; i < count; i++)
	{
		WireSpan item;

		if (i > 0)
			appendStringInfoCharMacro(out, ',');
		if (!take_item(cursor, &item, "multirange"))
			malformed("multirange");
		value_append(session, range, item, out);
	}
	appendStringInfoCharMacro(out, '}');
}

/*
 * Appends a value that is made of others.
 */
void
container_append(ReadSession *session, const ReadType *type, WireSpan bytes, StringInfo out)
{
	WireCursor cursor = {bytes.data, bytes.len, 0};

	switch (type->kind)
	{
		case READ_TYPE_ARRAY:
			append_array(session, &cursor, out);
			break;
		case READ_TYPE_RECORD:
			append_record(session, &cursor, out);
			break;
		case READ_TYPE_RANGE:
			append_range(session, type->element, &cursor, out);
			break;
		default:
			append_multirange(session, type->element, &cursor, out);
			break;
	}
	if (cursor_left(&cursor) > 0)
		malformed("value of its type: bytes are left over");
}
