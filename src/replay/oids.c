/*
 * oids.c
 *	  Numbers of users' types inside messages.
 *
 * A value is gone through twice: whether it is sound, and only then for its numbers.
 */
#include "replay/oids.h"

#include <string.h>

#include "replay/outline.h"

#define TYPE_OID 26
#define MAX_DIMENSIONS 6
#define MAX_COLUMNS 1664
#define MAX_DEPTH 4 /* of arrays and composites in one another */

/* What is done about numbers. */
typedef struct Walk
{
	const UserTypes *from; /* with `to` NULL: any number of a user's type is looked for */
	const UserTypes *to;
	bool is_dry; /* looks alone whether a value is sound */
	bool found;
} Walk;

/*
 * Takes a number that stands somewhere.
 */
static void
take_number(Walk *walk, uint8_t *at)
{
	uint32_t oid = (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
	uint32_t other = oid;

	if (walk->is_dry || oid < TYPES_FIRST_USER_OID)
		return;
	if (walk->to)
		other = types_translate(walk->from, oid, walk->to);
	walk->found |= !walk->to || other != oid;
	if (other == oid)
		return;
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t) (other >> (8 * (3 - i)));
}

static bool walk_value(Walk *walk, uint8_t *data, size_t len, int depth);

/*
 * Goes through a value with its length before it, which may be inside others.
 */
static bool
walk_item(Walk *walk, WireCursor *cursor, bool is_number, int depth)
{
	uint8_t *data;
	uint32_t len;

	if (!cursor_integer(cursor, 4, &len))
		return false;
	if (len == UINT32_MAX)
		return true;
	if (len > cursor_left(cursor))
		return false;
	data = (uint8_t *) cursor->data + cursor->at;
	cursor->at += len;
	if (is_number && len == 4)
		take_number(walk, data);
	else if (!walk->is_dry && depth < MAX_DEPTH)
		(void) walk_value(walk, data, len, depth + 1);
	return true;
}

/*
 * Reads the sizes of an array's dimensions; *count is that of its elements.
 */
static bool
read_dimensions(WireCursor *cursor, uint32_t dimensions, uint64_t *count)
{
	uint32_t size;
	uint32_t bound;

	*count = dimensions > 0;
	for (uint32_t i = 0; i < dimensions; i++)
	{
		if (!cursor_integer(cursor, 4, &size) || !cursor_integer(cursor, 4, &bound))
			return false;
		*count *= size;
		if (*count > cursor->len)
			return false;
	}
	return true;
}

/*
 * Goes through an array: dimensions, whether there are NULLs, type, the dimensions'
 * sizes and lower bounds, elements.
 */
static bool
walk_array(Walk *walk, uint8_t *data, size_t len, int depth)
{
	WireCursor cursor = {data, len, 0};
	uint32_t dimensions;
	uint32_t has_nulls;
	uint32_t type;
	uint64_t count;

	if (!cursor_integer(&cursor, 4, &dimensions) || dimensions > MAX_DIMENSIONS ||
	    !cursor_integer(&cursor, 4, &has_nulls) || has_nulls > 1 ||
	    !cursor_integer(&cursor, 4, &type) || !read_dimensions(&cursor, dimensions, &count))
		return false;
	take_number(walk, data + 8);
	for (; count > 0; count--)
		if (!walk_item(walk, &cursor, type == TYPE_OID, depth))
			return false;
	return cursor_left(&cursor) == 0;
}

/*
 * Goes through a composite: how many columns, then type and value of each.
 */
static bool
walk_composite(Walk *walk, uint8_t *data, size_t len, int depth)
{
	WireCursor cursor = {data, len, 0};
	uint32_t count;
	uint32_t type;

	if (!cursor_integer(&cursor, 4, &count) || count == 0 || count > MAX_COLUMNS)
		return false;
	for (; count > 0; count--)
	{
		size_t at = cursor.at;

		if (!cursor_integer(&cursor, 4, &type))
			return false;
		take_number(walk, data + at);
		if (!walk_item(walk, &cursor, type == TYPE_OID, depth))
			return false;
	}
	return cursor_left(&cursor) == 0;
}

/*
 * Goes through a value, if it is an array or a composite.
 */
static bool
walk_value(Walk *walk, uint8_t *data, size_t len, int depth)
{
	Walk dry = {.is_dry = true};

	if (walk_array(&dry, data, len, depth))
		return walk_array(walk, data, len, depth);
	return walk_composite(&dry, data, len, depth) && walk_composite(walk, data, len, depth);
}

/*
 * Goes through the types that a Parse declares.
 */
static void
walk_parse(Walk *walk, WireSpan body)
{
	WireCursor cursor = {body.data, body.len, 0};
	WireSpan text;
	uint32_t count;

	if (!cursor_string(&cursor, &text) || !cursor_string(&cursor, &text) ||
	    !cursor_integer(&cursor, 2, &count))
		return;
	for (; count > 0 && cursor_left(&cursor) >= 4; count--)
	{
		take_number(walk, (uint8_t *) body.data + cursor.at);
		cursor.at += 4;
	}
}

/*
 * Goes through the parameters of a Bind, those that come binary.
 */
static void
walk_bind(Walk *walk, WireSpan body)
{
	WireCursor cursor = {body.data, body.len, 0};
	WireCursor formats;
	WireSpan value;
	uint32_t format_count;
	uint32_t format = 0;
	uint32_t count;

	if (!cursor_string(&cursor, &value) || !cursor_string(&cursor, &value) ||
	    !cursor_integer(&cursor, 2, &format_count))
		return;
	formats = cursor;
	if (!cursor_bytes(&cursor, 2 * (size_t) format_count, &value) ||
	    !cursor_integer(&cursor, 2, &count))
		return;
	for (uint32_t i = 0; i < count; i++)
	{
		if (i < format_count && !cursor_integer(&formats, 2, &format))
			return;
		if (!outline_value(&cursor, &value))
			return;
		if (format == 1 && value.data)
			(void) walk_value(walk, (uint8_t *) value.data, value.len, 0);
	}
}

/*
 * Goes through a request.
 */
static void
walk_request(Walk *walk, WireSpan request)
{
	size_t at = 0;
	size_t used;
	uint8_t type;
	WireSpan body;

	while ((used = outline_split(request, at, &type, &body)) > 0)
	{
		if (type == 'P')
			walk_parse(walk, body);
		else if (type == 'B')
			walk_bind(walk, body);
		at += used;
	}
}

/*
 * Tells whether a request may hold the number of a user's type.
 */
bool
oids_in_request(WireSpan request)
{
	Walk walk = {.from = NULL};

	walk_request(&walk, request);
	return walk.found;
}

/*
 * Writes another server's numbers of types into a request.
 */
void
oids_translate(uint8_t *request, size_t len, const UserTypes *from, const UserTypes *to)
{
	Walk walk = {.from = from, .to = to};

	if (from && to)
		walk_request(&walk, (WireSpan){request, len});
}

/*
 * Writes another server's numbers of types into a value.
 */
bool
oids_translate_value(uint8_t *value, size_t len, const UserTypes *from, const UserTypes *to)
{
	Walk walk = {.from = from, .to = to};

	if (from && to)
		(void) walk_value(&walk, value, len, 0);
	return walk.found;
}

/*
 * Reads a value of type oid: four bytes, or digits.
 */
static uint32_t
read_number(WireSpan value)
{
	WireCursor cursor = {value.data, value.len, 0};
	uint32_t binary;
	uint64_t number = 0;

	if (!value.data || value.len == 0 || value.len > 10)
		return 0;
	for (size_t i = 0; i < value.len; i++)
	{
		if (value.data[i] < '0' || value.data[i] > '9')
			return value.len == 4 && cursor_integer(&cursor, 4, &binary) ? binary : 0;
		number = number * 10 + (uint64_t) (value.data[i] - '0');
	}
	return number > UINT32_MAX ? 0 : (uint32_t) number;
}

/*
 * Tells whether two values are the numbers of one type.
 */
bool
oids_same_number(WireSpan left, const UserTypes *left_types, WireSpan right,
                 const UserTypes *right_types)
{
	const char *before = types_find(left_types, read_number(left));
	const char *after = types_find(right_types, read_number(right));

	return before && after && strcmp(before, after) == 0;
}
