/*
 * walk.c
 *	  Everything in a message's body, field by field, as a series of events.
 *
 * One function a shape of field.  Each returns false where the body is not
 * well formed, having said why and where, or where the taker stopped.
 */
#include "wire/values.h"
#include "wire/walker.h"

static const WireField column_members[] = {
    {"name", WIRE_KIND_STRING},     {"table_oid", WIRE_KIND_UINT32},
    {"column_no", WIRE_KIND_INT16}, {"type_oid", WIRE_KIND_UINT32},
    {"type_size", WIRE_KIND_INT16}, {"type_modifier", WIRE_KIND_INT32},
    {"format", WIRE_KIND_INT16},    {NULL, WIRE_KIND_END},
};

static const WireField attribute_members[] = {
    {"flags", WIRE_KIND_INT8},          {"name", WIRE_KIND_STRING}, {"type_oid", WIRE_KIND_UINT32},
    {"type_modifier", WIRE_KIND_INT32}, {NULL, WIRE_KIND_END},
};

/*
 * Returns the members of a column.
 */
const WireField *
wire_column_members(WireKind kind)
{
	return kind == WIRE_KIND_ATTRIBUTES ? attribute_members : column_members;
}

/*
 * Notes why the body is not well formed.
 */
bool
walker_malformed(Walker *walker, const char *reason)
{
	walker->walk->reason = reason;
	walker->walk->at = walker->cursor.at;
	return false;
}

/*
 * Notes that the taker did not want more.
 */
bool
walker_stopped(Walker *walker)
{
	walker->walk->is_stopped = true;
	return false;
}

/*
 * Walks an integer.
 */
bool
walker_number(Walker *walker, WireKind kind, const char *name)
{
	WireEvent event = {.kind = WIRE_EVENT_NUMBER, .name = name, .member = kind};
	/* most are of these two */
	int bytes = kind == WIRE_KIND_INT16 ? 2 : kind == WIRE_KIND_UINT32 ? 4 : wire_number_size(kind);
	uint64_t wide = 0;
	uint32_t number = 0;

	if (bytes == 8 ? !cursor_integer64(&walker->cursor, &wide)
	               : !cursor_integer(&walker->cursor, bytes, &number))
		return walker_malformed(walker, "the message ends inside a number");
	event.number = bytes == 8 ? (int64_t) wide : number;
	if (kind == WIRE_KIND_INT16)
		event.number = (int16_t) number;
	else if (kind == WIRE_KIND_INT32)
		event.number = (int32_t) number;
	else if (kind == WIRE_KIND_LSN)
	{
		walker->lsns[0] = walker->lsns[1];
		walker->lsns[1] = wide;
	}
	event.bytes = (WireSpan){walker->cursor.data + walker->cursor.at - bytes, (size_t) bytes};
	return walker_give(walker, &event);
}

/*
 * Walks a string with its zero byte.
 */
bool
walker_string(Walker *walker, const char *name)
{
	WireEvent event = {.kind = WIRE_EVENT_BYTES, .name = name, .member = WIRE_KIND_STRING};
	size_t begin = walker->cursor.at;

	if (!cursor_string(&walker->cursor, &event.bytes))
	{
		walker->cursor.at = begin;
		return walker_malformed(walker, "a string has no end");
	}
	return walker_give(walker, &event);
}

/*
 * Walks the rest of the message.
 */
bool
walker_rest(Walker *walker, const char *name)
{
	WireEvent event = {.kind = WIRE_EVENT_BYTES, .name = name, .member = WIRE_KIND_BYTES};

	event.is_binary = walker->walk->data_is_binary;
	cursor_bytes(&walker->cursor, cursor_left(&walker->cursor), &event.bytes);
	return walker_give(walker, &event);
}

/*
 * Walks so many values.  What the loop needs of the walk is at hand here: most events
 * are values.
 */
static bool
walk_some_values(Walker *walker, uint32_t count, const char *name)
{
	WireEvent event = {.kind = WIRE_EVENT_VALUE, .name = name, .member = WIRE_KIND_VALUE};
	WireValues values = {.cursor = walker->cursor, .left = count};
	WireFormats formats = walker->formats;
	WireTake take = walker->take;
	void *arg = walker->arg;
	WireSpan value;

	event.field = walker->field->kind;
	for (uint32_t i = 0; wire_values_next(&values, &value); i++)
	{
		event.bytes = value;
		event.number = value.data ? (int64_t) value.len : -1;
		event.is_binary = formats.count > 0 && wire_is_binary(&formats, i);
		if (take && !take(arg, &event))
			return walker_stopped(walker);
	}
	walker->cursor = values.cursor;
	return !values.reason || walker_malformed(walker, values.reason);
}

/*
 * Walks the count of a list, of which each item takes at least `least` bytes,
 * and begins the list.
 */
bool
walker_begin_list(Walker *walker, int count_bytes, size_t least, uint32_t *count)
{
	WireEvent event = {.kind = WIRE_EVENT_LIST, .name = walker->field->name, .number = -1};

	if (count_bytes > 0)
	{
		if (!cursor_integer(&walker->cursor, count_bytes, count))
			return walker_malformed(walker, "the message ends inside a number");
		if (*count * least > cursor_left(&walker->cursor)) /* both are small */
			return walker_malformed(walker, "a list is longer than the message");
		if (*count > WIRE_MAX_ITEMS)
			return walker_malformed(walker, "a list has too many items");
		event.number = *count;
	}
	return walker_give(walker, &event);
}

/*
 * Ends a list.
 */
bool
walker_end_list(Walker *walker)
{
	return walker_give_name(walker, WIRE_EVENT_LIST_END, walker->field->name);
}

/*
 * Walks a counted list of integers; keeps format codes for the values behind.
 */
static bool
walk_numbers(Walker *walker, WireKind kind)
{
	uint32_t count;

	if (!walker_begin_list(walker, 2, (size_t) wire_number_size(kind), &count))
		return false;
	if (kind == WIRE_KIND_INT16)
		walker->formats = (WireFormats){walker->cursor.data + walker->cursor.at, count};
	for (uint32_t i = 0; i < count; i++)
		if (!walker_number(walker, kind, NULL))
			return false;
	return walker_end_list(walker);
}

/*
 * Walks a counted list of values.
 */
static bool
walk_values(Walker *walker)
{
	uint32_t count;

	return walker_begin_list(walker, 2, 4, &count) && walk_some_values(walker, count, NULL) &&
	       walker_end_list(walker);
}

/*
 * Walks a column of RowDescription or Relation.
 */
static bool
walk_column(Walker *walker)
{
	if (!walker_give_name(walker, WIRE_EVENT_ITEM, NULL))
		return false;
	for (const WireField *member = wire_column_members(walker->field->kind);
	     member->kind != WIRE_KIND_END; member++)
		if (!(member->kind == WIRE_KIND_STRING ? walker_string(walker, member->name)
		                                       : walker_number(walker, member->kind, member->name)))
			return false;
	return walker_give_name(walker, WIRE_EVENT_ITEM_END, NULL);
}

/*
 * Walks a counted list of columns or strings.
 */
static bool
walk_counted(Walker *walker)
{
	bool columns = walker->field->kind != WIRE_KIND_COUNTED_STRINGS;
	size_t least = walker->field->kind == WIRE_KIND_COLUMNS ? 19 : 10;
	uint32_t count;

	if (!walker_begin_list(walker, columns ? 2 : 4, columns ? least : 1, &count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!(columns ? walk_column(walker) : walker_string(walker, NULL)))
			return false;
	return walker_end_list(walker);
}

/*
 * Walks a pair of strings.
 */
static bool
walk_pair(Walker *walker)
{
	return walker_give_name(walker, WIRE_EVENT_ITEM, NULL) && walker_string(walker, NULL) &&
	       walker_string(walker, NULL) && walker_give_name(walker, WIRE_EVENT_ITEM_END, NULL);
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
		return walker_malformed(walker, "a string has no end");
	}
	return walker_give(walker, &event);
}

/*
 * Walks a list that a zero byte ends: pairs, strings or error fields.
 */
static bool
walk_ended(Walker *walker)
{
	uint32_t count = 0;

	if (!walker_begin_list(walker, 0, 0, &count))
		return false;
	for (;; count++)
	{
		bool ok;

		if (cursor_left(&walker->cursor) == 0)
			return walker_malformed(walker, "a list has no end");
		if (walker->cursor.data[walker->cursor.at] == 0)
			break;
		if (count >= WIRE_MAX_ITEMS)
			return walker_malformed(walker, "a list has too many items");
		if (walker->field->kind == WIRE_KIND_PAIRS)
			ok = walk_pair(walker);
		else if (walker->field->kind == WIRE_KIND_STRINGS)
			ok = walker_string(walker, NULL);
		else
			ok = walk_error_field(walker);
		if (!ok)
			return false;
	}
	walker->cursor.at++;
	return walker_end_list(walker);
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
		case WIRE_KIND_INT64:
		case WIRE_KIND_TIME:
		case WIRE_KIND_LSN:
			return walker_number(walker, field->kind, field->name);
		case WIRE_KIND_STRING:
		case WIRE_KIND_QUERY:
		case WIRE_KIND_SECRET_STRING:
			return walker_string(walker, field->name);
		case WIRE_KIND_BYTES:
		case WIRE_KIND_SECRET:
			return walker_rest(walker, field->name);
		case WIRE_KIND_VALUE:
		case WIRE_KIND_SECRET_VALUE:
			return walk_some_values(walker, 1, field->name);
		case WIRE_KIND_FORMATS:
			return walk_numbers(walker, WIRE_KIND_INT16);
		case WIRE_KIND_OIDS:
			return walk_numbers(walker, WIRE_KIND_UINT32);
		case WIRE_KIND_VALUES:
			return walk_values(walker);
		case WIRE_KIND_COLUMNS:
		case WIRE_KIND_ATTRIBUTES:
		case WIRE_KIND_COUNTED_STRINGS:
			return walk_counted(walker);
		case WIRE_KIND_PAIRS:
		case WIRE_KIND_STRINGS:
		case WIRE_KIND_ERROR_FIELDS:
			return walk_ended(walker);
		default:
			return walker_content_field(walker);
	}
}

/*
 * Walks all fields of a message, up to its last byte.
 */
bool
walker_fields(Walker *walker, WireMessageId id)
{
	for (walker->field = wire_types[id].fields; walker->field->kind != WIRE_KIND_END;
	     walker->field++)
		if (!walk_field(walker))
			return false;
	if (cursor_left(&walker->cursor) > 0)
		return walker_malformed(walker, "bytes are left over behind the last field");
	return true;
}

/*
 * Walks a whole body; see walk.h.
 */
bool
wire_walk(WireMessageId id, const uint8_t *body, size_t len, WireWalk *walk, WireTake take,
          void *arg)
{
	Walker walker;
	size_t code = wire_types[id].key ? 1 : WIRE_HAS_CODE(wire_types[id].type) ? 4 : 0;

	/* one by one: compilers clear a structure of this size with a slow instruction */
	walker.cursor = (WireCursor){body, len, 0};
	walker.walk = walk;
	walker.take = take;
	walker.arg = arg;
	walker.formats = walk->formats;
	walker.in_stream = walk->content.in_stream;
	walker.lsns[0] = walker.lsns[1] = 0;
	walker.count = 0;
	walk->reason = NULL;
	walk->at = 0;
	walk->is_stopped = false;
	if (len < code)
		return walker_malformed(&walker, "the message ends inside a number");
	walker.cursor.at = code;
	return walker_fields(&walker, id);
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
