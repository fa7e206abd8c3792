/*
 * json_flat.c
 *	  Message bodies as jsonb without events: messages of plain fields.
 *
 * Nearly all that passes are messages of a few numbers, strings and lists.  What
 * their objects begin with, the keys in jsonb's order, is made once for each list of
 * fields (a shape).  A body is read twice: once in the order of the wire, to find
 * its fields; then they are laid out in the order of their keys.  That takes a third
 * of the time of events, and decode_messages() does little else.
 *
 * It is a second way to what json.c makes, byte by byte the same.  What is not plain,
 * or not well formed, has no body from here.
 */
#include "api/json_flat.h"
#include "wire/values.h"

/* Longer bodies are not worth a second reading. */
#define MAX_BODY (1024 * 1024)
#define MAX_PART (64 * 1024) /* as flat_room_of_part() is generous */

/* Least bytes of a column of RowDescription. */
#define LEAST_COLUMN 19

/*
 * Finds values: those that are the last field are checked when they are laid out,
 * others are stepped over.
 */
static bool
find_values(Flat *flat, WireCursor *cursor, bool is_last, Found *found)
{
	WireValues values = wire_values_begin(cursor->data + cursor->at, cursor_left(cursor));
	WireSpan value;

	flat->room += values.left * FLAT_VALUE_ROOM + cursor_left(cursor) * 2;
	found->formats = flat->formats;
	if (is_last)
		return !values.reason && cursor_bytes(cursor, cursor_left(cursor), &found->bytes);
	while (wire_values_next(&values, &value))
		;
	return !values.reason && cursor_bytes(cursor, values.cursor.at, &found->bytes);
}

/*
 * Finds columns, the last field, and how many there are.
 */
static bool
find_columns(Flat *flat, WireCursor *cursor, Found *found)
{
	uint32 count;

	if (!cursor_integer(cursor, 2, &count) || count > cursor_left(cursor) / LEAST_COLUMN)
		return false;
	found->number = count;
	flat->room += count * (flat->column->len + flat->column->count * FLAT_VALUE_ROOM) +
	              cursor_left(cursor) * 2;
	return cursor_bytes(cursor, cursor_left(cursor), &found->bytes);
}

/*
 * Finds a list of integers and its count.
 */
static bool
find_integers(WireCursor *cursor, WireKind kind, Found *found)
{
	size_t size = kind == WIRE_KIND_FORMATS ? 2 : 4;
	uint32 count;

	if (!cursor_integer(cursor, 2, &count) || !cursor_bytes(cursor, count * size, &found->bytes))
		return false;
	found->number = count;
	return true;
}

/*
 * Finds a field, and adds to the room that is needed.
 */
static inline bool
find_field(Flat *flat, WireCursor *cursor, const WireField *field, Found *found)
{
	uint32 number = 0;
	bool is_there;

	flat->room += FLAT_VALUE_ROOM;
	switch (field->kind)
	{
		case WIRE_KIND_INT16:
			is_there = cursor_integer(cursor, 2, &number);
			found->number = (int16) number;
			return is_there;
		case WIRE_KIND_INT32:
			is_there = cursor_integer(cursor, 4, &number);
			found->number = (int32) number;
			return is_there;
		case WIRE_KIND_UINT32:
			is_there = cursor_integer(cursor, 4, &number);
			found->number = number;
			return is_there;
		case WIRE_KIND_INT8:
			is_there = cursor_integer(cursor, 1, &number);
			found->number = number;
			return is_there;
		case WIRE_KIND_CHAR:
			return cursor_bytes(cursor, 1, &found->bytes);
		case WIRE_KIND_STRING:
		case WIRE_KIND_QUERY:
			is_there = cursor_string(cursor, &found->bytes);
			flat->room += found->bytes.len * 2;
			return is_there;
		case WIRE_KIND_FORMATS:
		case WIRE_KIND_OIDS:
			is_there = find_integers(cursor, field->kind, found);
			flat->room += (size_t) found->number * FLAT_VALUE_ROOM;
			if (field->kind == WIRE_KIND_FORMATS)
				flat->formats = (WireFormats){found->bytes.data, (size_t) found->number};
			return is_there;
		case WIRE_KIND_VALUES:
			return find_values(flat, cursor, field[1].kind == WIRE_KIND_END, found);
		case WIRE_KIND_COLUMNS:
			return find_columns(flat, cursor, found);
		case WIRE_KIND_BYTES:
		case WIRE_KIND_CONTENT:
		case WIRE_KIND_VALUE: /* the rest; checked when it is laid out */
			flat->room += cursor_left(cursor) * 2;
			found->formats = flat->formats;
			return cursor_bytes(cursor, cursor_left(cursor), &found->bytes);
		default:
			return flat_find_in_part(flat, cursor, field->kind, found);
	}
}

/*
 * Lays a value out that has no data if it is NULL.
 */
static inline char *
lay_value(const Flat *flat, WireSpan value, bool is_binary, char *at, JEntry *entry)
{
	*entry = JENTRY_ISNULL;
	return value.data ? flat_lay_bytes(flat, value, is_binary, at, entry) : at;
}

/*
 * Lays the only value of a field out.
 */
static char *
lay_single(const Flat *flat, const Found *found, char *at, JEntry *entry)
{
	WireValues values = {.cursor = {found->bytes.data, found->bytes.len, 0}, .left = 1};
	WireSpan value;

	if (!wire_values_next(&values, &value) || cursor_left(&values.cursor) > 0)
		return NULL;
	return lay_value(flat, value, wire_is_binary(&found->formats, 0), at, entry);
}

/*
 * Lays a list of values out.
 */
static char *
lay_values(const Flat *flat, const Found *found, char *at)
{
	WireValues values = wire_values_begin(found->bytes.data, found->bytes.len);
	JEntry *entries = (JEntry *) at + 1;
	bool has_formats = found->formats.count > 0;
	WireSpan value;
	char *begin;

	if (values.reason)
		return NULL;
	entries[-1] = values.left | JB_FARRAY;
	begin = at = (char *) (entries + values.left);
	for (uint32 i = 0; wire_values_next(&values, &value); i++)
	{
		JEntry entry;

		at = lay_value(flat, value, has_formats && wire_is_binary(&found->formats, i), at, &entry);
		if (!at)
			return NULL;
		json_set_entry(entries, i, entry, (size_t) (at - begin));
	}
	return values.reason || cursor_left(&values.cursor) > 0 ? NULL : at;
}

/*
 * Lays a list of integers out.
 */
static char *
lay_integers(const Flat *flat, WireKind kind, const Found *found, char *at)
{
	WireCursor cursor = {found->bytes.data, found->bytes.len, 0};
	JEntry *entries = (JEntry *) at + 1;
	uint32 count = (uint32) found->number;
	char *begin;

	entries[-1] = count | JB_FARRAY;
	begin = at = (char *) (entries + count);
	for (uint32 i = 0; i < count; i++)
	{
		char *before = at;
		uint32 number;

		cursor_integer(&cursor, kind == WIRE_KIND_FORMATS ? 2 : 4, &number);
		if (kind == WIRE_KIND_FORMATS)
			at = json_lay_number(flat->numbers, (int16) number, at);
		else
			at = json_lay_number(flat->numbers, number, at);
		json_set_entry(entries, i, JENTRY_ISNUMERIC | (JEntry) (at - before),
		               (size_t) (at - begin));
	}
	return at;
}

/*
 * Begins an object: lays its keys out.  Returns the place behind them.
 */
static inline char *
lay_head(const JsonShape *shape, char *at)
{
	memcpy(at, shape->head, shape->len);
	return at + shape->len;
}

/*
 * Finds a member of a column: a string or a number.
 */
static inline bool
find_member(WireCursor *cursor, WireKind kind, Found *found)
{
	uint32 number;

	if (kind == WIRE_KIND_STRING)
		return cursor_string(cursor, &found->bytes);
	if (kind == WIRE_KIND_INT16)
	{
		if (!cursor_integer(cursor, 2, &number))
			return false;
		found->number = (int16) number;
		return true;
	}
	if (!cursor_integer(cursor, 4, &number))
		return false;
	found->number = kind == WIRE_KIND_UINT32 ? (int64) number : (int32) number;
	return true;
}

/*
 * Lays a column out: strings and numbers.
 */
static char *
lay_column(Flat *flat, WireCursor *cursor, char *at)
{
	const JsonShape *shape = flat->column;
	JEntry *entries = (JEntry *) at + 1 + shape->count;
	Found found[WIRE_MAX_FIELDS];

	for (int i = 0; i < shape->count; i++)
		if (!find_member(cursor, shape->fields[i].kind, &found[i]))
			return NULL;
	at = lay_head(shape, at);
	for (int i = 0; i < shape->count; i++)
	{
		int field = shape->order[i];
		char *before = at;

		if (shape->fields[field].kind == WIRE_KIND_STRING)
		{
			at = flat_lay_bytes(flat, found[field].bytes, false, at, &entries[i]);
			if (!at)
				return NULL;
			continue;
		}
		at = json_lay_number(flat->numbers, found[field].number, at);
		entries[i] = JENTRY_ISNUMERIC | (JEntry) (at - before);
	}
	return at;
}

/*
 * Lays a list of columns out.
 */
static char *
lay_columns(Flat *flat, const Found *found, char *at)
{
	WireCursor cursor = {found->bytes.data, found->bytes.len, 0};
	JEntry *entries = (JEntry *) at + 1;
	uint32 count = (uint32) found->number;
	char *begin;

	entries[-1] = count | JB_FARRAY;
	begin = at = (char *) (entries + count);
	for (uint32 i = 0; i < count; i++)
	{
		char *before = at;

		at = lay_column(flat, &cursor, json_pad(at));
		if (!at)
			return NULL;
		json_set_entry(entries, i, JENTRY_ISCONTAINER | (JEntry) (at - before),
		               (size_t) (at - begin));
	}
	return cursor_left(&cursor) > 0 ? NULL : at;
}

/*
 * Lays a field out.
 */
static inline char *
lay_field(Flat *flat, WireKind kind, const Found *found, char *at, JEntry *entry)
{
	char *begin = at;

	switch (kind)
	{
		case WIRE_KIND_CHAR:
		case WIRE_KIND_STRING:
		case WIRE_KIND_QUERY:
			return flat_lay_bytes(flat, found->bytes, false, at, entry);
		case WIRE_KIND_BYTES:
		case WIRE_KIND_CONTENT:
			return flat_lay_bytes(flat, found->bytes, flat->context->data_is_binary, at, entry);
		case WIRE_KIND_VALUE:
			return lay_single(flat, found, at, entry);
		case WIRE_KIND_VALUES:
			at = lay_values(flat, found, json_pad(at));
			break;
		case WIRE_KIND_FORMATS:
		case WIRE_KIND_OIDS:
			at = lay_integers(flat, kind, found, json_pad(at));
			break;
		case WIRE_KIND_COLUMNS:
			at = lay_columns(flat, found, json_pad(at));
			break;
		case WIRE_KIND_INT8:
		case WIRE_KIND_INT16:
		case WIRE_KIND_INT32:
		case WIRE_KIND_UINT32:
			at = json_lay_number(flat->numbers, found->number, at);
			*entry = JENTRY_ISNUMERIC | (JEntry) (at - begin);
			return at;
		default:
			return flat_lay_in_part(flat, kind, found, at, entry);
	}
	*entry = at ? JENTRY_ISCONTAINER | (JEntry) (at - begin) : 0;
	return at;
}

/*
 * Finds the fields of a message, to its last byte; see json_flat.h.
 */
bool
flat_find_fields(Flat *flat, const JsonShape *shape, WireCursor *cursor, Found *found)
{
	for (int i = 0; i < shape->count; i++)
		if (!find_field(flat, cursor, &shape->fields[i], &found[i]))
			return false;
	return cursor_left(cursor) == 0;
}

/*
 * Finds the fields of an error, to the body's last byte.  Returns their shape; NULL
 * where they can't be keys.
 */
static const JsonShape *
find_error(Flat *flat, WireCursor *cursor, Found *found)
{
	char codes[JSON_SHAPE_FIELDS];
	uint32 code;
	int count = 0;

	for (;; count++)
	{
		if (!cursor_integer(cursor, 1, &code))
			return NULL;
		if (code == 0)
			break;
		if (count == JSON_SHAPE_FIELDS || !cursor_string(cursor, &found[count].bytes))
			return NULL;
		codes[count] = (char) code;
	}
	if (cursor_left(cursor) > 0)
		return NULL;
	flat->room += cursor->len * 2 + (size_t) count * FLAT_VALUE_ROOM;
	return json_shape_of_error(flat->context->shapes, codes, count);
}

/*
 * Finds all fields of a message.  Returns their shape; NULL: they are not for here.
 */
static const JsonShape *
find_all(Flat *flat, const WireMessage *message, Found *found)
{
	WireCursor cursor = {message->body.data, message->body.len, wire_code_size(message->id)};
	const JsonShape *shape;

	if (cursor.at > cursor.len)
		return NULL;
	if (wire_types[message->id].fields[0].kind == WIRE_KIND_ERROR_FIELDS)
		return find_error(flat, &cursor, found);
	shape = json_shape_of_message(flat->context->shapes, message->id);
	return shape->is_flat && flat_find_fields(flat, shape, &cursor, found) ? shape : NULL;
}

/*
 * Lays an object of fields out, in the order of their keys; see json_flat.h.
 */
char *
flat_lay_fields(Flat *flat, const JsonShape *shape, const Found *found, char *at)
{
	JEntry *entries = (JEntry *) at + 1;
	char *data = (char *) (entries + shape->count * 2);

	at = lay_head(shape, at);
	for (int i = 0; i < shape->count; i++)
	{
		int field = shape->order[i];
		JEntry entry;

		at = lay_field(flat, shape->fields[field].kind, &found[field], at, &entry);
		if (!at)
			return NULL;
		json_set_entry(entries, (uint32) (shape->count + i), entry, (size_t) (at - data));
	}
	return at;
}

/*
 * Tells whether a message may have a body from here.
 */
static bool
is_for_here(const JsonContext *context, const WireMessage *message)
{
	size_t most = message->content.is_replication ? MAX_PART : MAX_BODY;

	return message->form == WIRE_FORM_WHOLE && message->id != WIRE_MSG_Unknown &&
	       message->body.len <= most && !context->is_regress;
}

/*
 * Lays a message's body out; see json.h.
 */
Jsonb *
json_flat_body(const JsonContext *context, const WireMessage *message)
{
	Flat flat = {.context = context,
	             .numbers = json_numbers(context->writer),
	             .column = json_shape_of_column(context->shapes),
	             .formats = context->formats,
	             .content = &message->content,
	             .room = VARHDRSZ + JSON_SHAPE_ROOM};
	Found found[JSON_SHAPE_FIELDS];
	const JsonShape *shape = NULL;
	Jsonb *jsonb;
	char *end;

	if (!is_for_here(context, message))
		return NULL;
	if (message->content.is_replication)
		flat.room = flat_room_of_part(message->body.len);
	else if (!(shape = find_all(&flat, message, found)))
		return NULL;
	jsonb = (Jsonb *) json_room(context->writer, flat.room);
	end = shape ? flat_lay_fields(&flat, shape, found, VARDATA(jsonb))
	            : flat_lay_part(&flat, WIRE_PHASE_IN_COPY_DATA, message->body, VARDATA(jsonb));
	if (!end)
		return NULL;
	if (end > (char *) jsonb + flat.room) /* never; but what else would notice? */
		elog(ERROR, "body of %s overran its room", wire_name_of(message->id));
	SET_VARSIZE(jsonb, end - (char *) jsonb);
	return jsonb;
}
