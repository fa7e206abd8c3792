/*
 * outline.c
 *	  An answer as a sequence of units.
 */
#include "replay/outline.h"

#include <stdlib.h>
#include <xxhash.h>

/*
 * Tells whether a list names a column.
 */
static bool
is_listed(const char *at, WireSpan name, uint32_t column_no)
{
	for (; at && *at; at += strlen(at) + 1)
	{
		if (name.len > 0 && strlen(at) == name.len && memcmp(at, name.data, name.len) == 0)
			return true;
		if (at[0] == '#' && strtoul(at + 1, NULL, 10) == column_no + 1UL)
			return true;
	}
	return false;
}

/*
 * Tells whether a column is among those to ignore.
 */
bool
outline_is_ignored(const OutlineIgnore *ignore, WireSpan name, uint32_t column_no)
{
	return ignore &&
	       (is_listed(ignore->names, name, column_no) || is_listed(ignore->more, name, column_no));
}

/*
 * Notes columns that are ignored by their number, for rows that nothing describes.
 */
static void
ignore_numbers(Outline *outline, const char *at)
{
	for (; at && *at; at += strlen(at) + 1)
	{
		unsigned long number = at[0] == '#' ? strtoul(at + 1, NULL, 10) : 0;

		if (number == 0 || number > OUTLINE_MAX_IGNORED)
			continue;
		outline->ignored[(number - 1) / 8] |= (uint8_t) (1u << (number - 1) % 8);
		outline->any_ignored = true;
	}
}

/*
 * Begins with the columns of a RowDescription.
 */
bool
outline_columns(WireSpan body, WireCursor *cursor, uint32_t *count)
{
	*cursor = (WireCursor){body.data, body.len, 0};
	return cursor_integer(cursor, 2, count);
}

/*
 * Reads the next column.
 */
bool
outline_column(WireCursor *cursor, OutlineColumn *column)
{
	uint32_t unused;

	return cursor_string(cursor, &column->name) && cursor_integer(cursor, 4, &unused) &&
	       cursor_integer(cursor, 2, &unused) && cursor_integer(cursor, 4, &column->type) &&
	       cursor_integer(cursor, 2, &unused) && cursor_integer(cursor, 4, &unused) &&
	       cursor_integer(cursor, 2, &column->format);
}

/*
 * Begins with the values of a DataRow.
 */
bool
outline_values(WireSpan body, WireCursor *cursor, uint32_t *count)
{
	*cursor = (WireCursor){body.data, body.len, 0};
	return cursor_integer(cursor, 2, count);
}

/*
 * Reads the next value; NULL has no data.
 */
bool
outline_value(WireCursor *cursor, WireSpan *value)
{
	uint32_t len;

	*value = (WireSpan){NULL, 0};
	if (!cursor_integer(cursor, 4, &len))
		return false;
	return len == UINT32_MAX || cursor_bytes(cursor, len, value);
}

/*
 * Begins with an answer's bytes.
 */
void
outline_begin(Outline *outline, WireSpan bytes, bool notices, const OutlineIgnore *ignore)
{
	memset(outline, 0, sizeof(*outline));
	outline->bytes = bytes;
	outline->notices = notices;
	outline->statement_no = 1;
	if (!ignore || ((!ignore->names || !*ignore->names) && (!ignore->more || !*ignore->more)))
		return;
	outline->ignore = ignore;
	ignore_numbers(outline, ignore->names);
	ignore_numbers(outline, ignore->more);
}

/*
 * Finds a message that is there whole.  Returns its size; 0: there is none.
 */
size_t
outline_message(WireDirection direction, WireSpan bytes, size_t at, WireMessageId *id,
                WireSpan *body)
{
	uint8_t type;
	size_t used = outline_split(bytes, at, &type, body);

	if (used == 0)
		return 0;
	*id = wire_type_of(direction, type, WIRE_PHASE_COPY, body->data, body->len);
	if (*id == WIRE_MSG_Unknown)
		*id = wire_type_of(direction, type, WIRE_PHASE_NORMAL, body->data, body->len);
	return used;
}

/*
 * Steps to the next message of a run.
 */
bool
outline_run_next(WireSpan run, size_t *at, WireSpan *body)
{
	uint8_t type;
	size_t used = outline_split(run, *at, &type, body);

	*at += used;
	return used > 0;
}

/*
 * Notes what columns come, and which of them are ignored.
 */
static void
take_columns(Outline *outline, WireSpan body)
{
	OutlineColumn column;
	WireCursor cursor;
	uint32_t count;

	outline->columns = body;
	outline->any_ignored = false;
	if (!outline->ignore || !outline_columns(body, &cursor, &count))
		return;
	memset(outline->ignored, 0, sizeof(outline->ignored));
	for (uint32_t i = 0; i < count && i < OUTLINE_MAX_IGNORED; i++)
	{
		if (!outline_column(&cursor, &column))
			return;
		if (!outline_is_ignored(outline->ignore, column.name, i))
			continue;
		outline->ignored[i / 8] |= (uint8_t) (1u << i % 8);
		outline->any_ignored = true;
	}
}

/*
 * Hashes a row without the columns that are ignored.
 */
static uint64_t
hash_values(const Outline *outline, WireSpan body)
{
	uint64_t hash = 0;
	WireCursor cursor;
	WireSpan value;
	uint32_t count;

	if (!outline_values(body, &cursor, &count))
		return XXH3_64bits(body.data, body.len);
	for (uint32_t i = 0; i < count && outline_value(&cursor, &value); i++)
	{
		if (i < OUTLINE_MAX_IGNORED && (outline->ignored[i / 8] >> i % 8 & 1))
			continue;
		hash = XXH3_64bits_withSeed(value.data ? value.data : (const uint8_t *) "", value.len,
		                            hash + i + (value.data ? 1 : 0x10001));
	}
	return hash;
}

/*
 * Adds a message to a run.
 */
static void
add_to_run(const Outline *outline, Unit *unit, WireSpan body)
{
	bool plain = unit->id != WIRE_MSG_DataRow || !outline->any_ignored;
	uint64_t hash = plain ? XXH3_64bits(body.data, body.len) : hash_values(outline, body);

	unit->count++;
	unit->digest = XXH3_64bits_withSeed(&hash, sizeof(hash), unit->digest);
	unit->set_digest += hash;
}

/*
 * Takes the rest of a run, whose first message was found at `begin`.
 */
static void
take_run(Outline *outline, Unit *unit, size_t begin)
{
	WireMessageId id = unit->id;
	WireSpan body = unit->body;
	size_t used = 0;

	unit->columns = outline->columns;
	do
	{
		outline->at += used;
		if (id == unit->id)
			add_to_run(outline, unit, body);
		used = outline_message(WIRE_BACKEND, outline->bytes, outline->at, &id, &body);
	} while (used > 0 && (id == unit->id || id == WIRE_MSG_NoticeResponse ||
	                      id == WIRE_MSG_ParameterStatus || id == WIRE_MSG_NotificationResponse));
	unit->run = (WireSpan){outline->bytes.data + begin, outline->at - begin};
	unit->body = (WireSpan){NULL, 0};
}

/*
 * Tells whether a message ends a statement.
 */
static bool
ends_statement(WireMessageId id)
{
	return id == WIRE_MSG_CommandComplete || id == WIRE_MSG_EmptyQueryResponse ||
	       id == WIRE_MSG_PortalSuspended || id == WIRE_MSG_ErrorResponse;
}

/*
 * Tells whether a message is no unit of this outline.
 */
static bool
is_passed_over(const Outline *outline, WireMessageId id)
{
	if (outline->notices)
		return id != WIRE_MSG_NoticeResponse;
	return id == WIRE_MSG_NoticeResponse || id == WIRE_MSG_ParameterStatus ||
	       id == WIRE_MSG_NotificationResponse;
}

/*
 * Finds the next unit.
 */
bool
outline_next(Outline *outline, Unit *unit)
{
	size_t begin;
	size_t used;

	memset(unit, 0, sizeof(*unit));
	do
	{
		begin = outline->at;
		used = outline_message(WIRE_BACKEND, outline->bytes, begin, &unit->id, &unit->body);
		outline->at += used;
		unit->statement_no = outline->statement_no;
		if (used > 0 && ends_statement(unit->id))
			outline->statement_no++;
	} while (used > 0 && is_passed_over(outline, unit->id));
	if (used == 0)
		return false;
	unit->count = 1;
	if (unit->id == WIRE_MSG_RowDescription)
		take_columns(outline, unit->body);
	else if (unit->id == WIRE_MSG_DataRow || unit->id == WIRE_MSG_CopyData)
	{
		unit->count = 0;
		take_run(outline, unit, begin);
	}
	return true;
}
