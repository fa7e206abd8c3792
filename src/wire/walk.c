/*
 * walk.c
 *	  Everything in a message's body, field by field, as a series of events.
 *
 * One function a shape of field.  Each returns false where the body is not
 * well formed, having said why and where, or where the taker stopped.
 */
#include "wire/walk.h"

#include "wire/cursor.h"

/* A walk under way. */
typedef struct Walker
{
	WireCursor cursor;
	WireWalk *walk;
	WireTake take;
	void *arg;
	const WireField *field;
	WireFormats formats; /* the last that the message gave */
} Walker;

const WireField wire_column_members[] = {
    {"name", WIRE_KIND_STRING},     {"table_oid", WIRE_KIND_UINT32},
    {"column_no", WIRE_KIND_INT16}, {"type_oid", WIRE_KIND_UINT32},
    {"type_size", WIRE_KIND_INT16}, {"type_modifier", WIRE_KIND_INT32},
    {"format", WIRE_KIND_INT16},    {NULL, WIRE_KIND_END},
};

/*
 * Notes why the body is not well formed.
 */
static bool
malformed(Walker *walker, const char *reason)
{
	walker->walk->reason = reason;
	walker->walk->at = walker->cursor.at;
	return false;
}

/*
 * Hands an event to the taker.
 */
static bool
give(Walker *walker, WireEvent event)
{
	event.field = walker->field->kind;
	if (walker->take(walker->arg, &event))
		return true;
	walker->walk->is_stopped = true;
	return false;
}

/*
 * Walks an integer.
 */
static bool
walk_number(Walker *walker, WireKind kind, const char *name)
{
	WireEvent event = {.kind = WIRE_EVENT_NUMBER, .name = name, .member = kind};
	int bytes = wire_number_size(kind);
	uint32_t number;

	if (!cursor_integer(&walker->cursor, bytes, &number))
		return malformed(walker, "the message ends inside a number");
	event.number = number;
	if (kind == WIRE_KIND_INT16)
		event.number = (int16_t) number;
	else if (kind == WIRE_KIND_INT32)
		event.number = (int32_t) number;
	event.bytes = (WireSpan){walker->cursor.data + walker->cursor.at - bytes, (size_t) bytes};
	return give(walker, event);
}

/*
 * Walks a string with its zero byte.
 */
static bool
walk_string(Walker *walker, const char *name)
{
	WireEvent event = {.kind = WIRE_EVENT_BYTES, .name = name, .member = WIRE_KIND_STRING};
	size_t begin = walker->cursor.at;

	if (!cursor_string(&walker->cursor, &event.bytes))
	{
		walker->cursor.at = begin;
		return malformed(walker, "a string has no end");
	}
	return give(walker, event);
}

/*
 * Walks the rest of the message.
 */
static bool
walk_rest(Walker *walker, const char *name)
{
	WireEvent event = {.kind = WIRE_EVENT_BYTES, .name = name, .member = WIRE_KIND_BYTES};

	event.is_binary = walker->walk->data_is_binary;
	cursor_bytes(&walker->cursor, cursor_left(&walker->cursor), &event.bytes);
	return give(walker, event);
}

/*
 * Walks a value: its length, -1 for NULL, and its bytes.
 */
static bool
walk_value(Walker *walker, const char *name, bool is_binary)
{
	WireEvent event = {.kind = WIRE_EVENT_VALUE, .name = name, .member = WIRE_KIND_VALUE};
	uint32_t length;

	if (!cursor_integer(&walker->cursor, 4, &length))
		return malformed(walker, "the message ends inside a number");
	event.number = (int32_t) length;
	event.is_binary = is_binary;
	if (event.number < -1)
		return malformed(walker, "a value has a negative length");
	if (event.number >= 0 && !cursor_bytes(&walker->cursor, length, &event.bytes))
		return malformed(walker, "a value is longer than the message");
	return give(walker, event);
}

/*
 * Walks the count of a list, of which each item takes at least `least` bytes,
 * and begins the list.
 */
static bool
begin_list(Walker *walker, int count_bytes, size_t least, uint32_t *count)
{
	WireEvent event = {.kind = WIRE_EVENT_LIST, .name = walker->field->name, .number = -1};

	if (count_bytes > 0)
	{
		if (!cursor_integer(&walker->cursor, count_bytes, count))
			return malformed(walker, "the message ends inside a number");
		if (*count > cursor_left(&walker->cursor) / least)
			return malformed(walker, "a list is longer than the message");
		if (*count > WIRE_MAX_ITEMS)
			return malformed(walker, "a list has too many items");
		event.number = *count;
	}
	return give(walker, event);
}

/*
 * Ends a list.
 */
static bool
end_list(Walker *walker)
{
	return give(walker, (WireEvent){.kind = WIRE_EVENT_LIST_END, .name = walker->field->name});
}

/*
 * Walks a counted list of integers; keeps format codes for the values behind.
 */
static bool
walk_numbers(Walker *walker, WireKind kind)
{
	uint32_t count;

	if (!begin_list(walker, 2, (size_t) wire_number_size(kind), &count))
		return false;
	if (kind == WIRE_KIND_INT16)
		walker->formats = (WireFormats){walker->cursor.data + walker->cursor.at, count};
	for (uint32_t i = 0; i < count; i++)
		if (!walk_number(walker, kind, NULL))
			return false;
	return end_list(walker);
}

/*
 * Walks a counted list of values.
 */
static bool
walk_values(Walker *walker)
{
	uint32_t count;

	if (!begin_list(walker, 2, 4, &count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!walk_value(walker, NULL, wire_is_binary(&walker->formats, i)))
			return false;
	return end_list(walker);
}

/*
 * Walks a column of RowDescription.
 */
static bool
walk_column(Walker *walker)
{
	if (!give(walker, (WireEvent){.kind = WIRE_EVENT_ITEM}))
		return false;
	for (const WireField *member = wire_column_members; member->kind != WIRE_KIND_END; member++)
		if (!(member->kind == WIRE_KIND_STRING ? walk_string(walker, member->name)
		                                       : walk_number(walker, member->kind, member->name)))
			return false;
	return give(walker, (WireEvent){.kind = WIRE_EVENT_ITEM_END});
}

/*
 * Walks a counted list of columns or strings.
 */
static bool
walk_counted(Walker *walker)
{
	bool columns = walker->field->kind == WIRE_KIND_COLUMNS;
	uint32_t count;

	if (!begin_list(walker, columns ? 2 : 4, columns ? 19 : 1, &count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!(columns ? walk_column(walker) : walk_string(walker, NULL)))
			return false;
	return end_list(walker);
}

/*
 * Walks a pair of strings.
 */
static bool
walk_pair(Walker *walker)
{
	return give(walker, (WireEvent){.kind = WIRE_EVENT_ITEM}) && walk_string(walker, NULL) &&
	       walk_string(walker, NULL) && give(walker, (WireEvent){.kind = WIRE_EVENT_ITEM_END});
}

/*
 * Walks a coded field of an error or notice.
 */
static bool
walk_error_field(Walker *walker)
{
	WireEvent event = {.kind = WIRE_EVENT_ERROR_FIELD};
	size_t begin = walker->cursor.at;

	event.number = walker->cursor.data[walker->cursor.at++];
	if (!cursor_string(&walker->cursor, &event.bytes))
	{
		walker->cursor.at = begin;
		return malformed(walker, "a string has no end");
	}
	return give(walker, event);
}

/*
 * Walks a list that a zero byte ends: pairs, strings or error fields.
 */
static bool
walk_ended(Walker *walker)
{
	uint32_t count = 0;

	if (!begin_list(walker, 0, 0, &count))
		return false;
	for (;; count++)
	{
		bool ok;

		if (cursor_left(&walker->cursor) == 0)
			return malformed(walker, "a list has no end");
		if (walker->cursor.data[walker->cursor.at] == 0)
			break;
		if (count >= WIRE_MAX_ITEMS)
			return malformed(walker, "a list has too many items");
		if (walker->field->kind == WIRE_KIND_PAIRS)
			ok = walk_pair(walker);
		else if (walker->field->kind == WIRE_KIND_STRINGS)
			ok = walk_string(walker, NULL);
		else
			ok = walk_error_field(walker);
		if (!ok)
			return false;
	}
	walker->cursor.at++;
	return end_list(walker);
}

/*
 * Walks a field.
 */
static bool
walk_field(Walker *walker)
{
	const WireField *field = walker->field;

	switch (field->kind)
	{
		case WIRE_KIND_CHAR:
		case WIRE_KIND_INT8:
		case WIRE_KIND_INT16:
		case WIRE_KIND_INT32:
		case WIRE_KIND_UINT32:
		case WIRE_KIND_VERSION:
			return walk_number(walker, field->kind, field->name);
		case WIRE_KIND_STRING:
		case WIRE_KIND_QUERY:
		case WIRE_KIND_SECRET_STRING:
			return walk_string(walker, field->name);
		case WIRE_KIND_BYTES:
		case WIRE_KIND_SECRET:
			return walk_rest(walker, field->name);
		case WIRE_KIND_VALUE:
		case WIRE_KIND_SECRET_VALUE:
			return walk_value(walker, field->name, wire_is_binary(&walker->formats, 0));
		case WIRE_KIND_FORMATS:
			return walk_numbers(walker, WIRE_KIND_INT16);
		case WIRE_KIND_OIDS:
			return walk_numbers(walker, WIRE_KIND_UINT32);
		case WIRE_KIND_VALUES:
			return walk_values(walker);
		case WIRE_KIND_COLUMNS:
		case WIRE_KIND_COUNTED_STRINGS:
			return walk_counted(walker);
		case WIRE_KIND_PAIRS:
		case WIRE_KIND_STRINGS:
		case WIRE_KIND_ERROR_FIELDS:
			return walk_ended(walker);
		case WIRE_KIND_END:
			break;
	}
	return false;
}

/*
 * Walks a whole body; see walk.h.
 */
bool
wire_walk(WireMessageId id, const uint8_t *body, size_t len, WireWalk *walk, WireTake take,
          void *arg)
{
	Walker walker = {{body, len, 0}, walk, take, arg, wire_types[id].fields, walk->formats};
	size_t code = wire_code_size(id);

	walk->reason = NULL;
	walk->at = 0;
	walk->is_stopped = false;
	if (len < code)
		return malformed(&walker, "the message ends inside a number");
	walker.cursor.at = code;
	for (; walker.field->kind != WIRE_KIND_END; walker.field++)
		if (!walk_field(&walker))
			return false;
	if (cursor_left(&walker.cursor) > 0)
		return malformed(&walker, "bytes are left over behind the last field");
	return true;
}

/*
 * Tells whether an item of a list is binary.
 */
bool
wire_is_binary(const WireFormats *formats, size_t item)
{
	if (formats->count == 1)
		item = 0;
	if (item >= formats->count)
		return false;
	return formats->codes[item * 2] == 0 && formats->codes[item * 2 + 1] == 1;
}
