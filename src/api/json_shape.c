/*
 * json_shape.c
 *	  What the object of a list of fields begins with; see json_shape.h.
 */
#include "api/json_shape.h"

#include "api/json_lay.h"

/* The shape of the last error: the next one often has the same fields. */
typedef struct ErrorShape
{
	JsonShape shape;
	char codes[JSON_SHAPE_FIELDS];
	WireField fields[JSON_SHAPE_FIELDS + 1];
} ErrorShape;

struct JsonShapes
{
	JsonShape messages[WIRE_MSG_COUNT];
	JsonShape column;
	ErrorShape error;
};

/*
 * Makes room for shapes; see json.h.
 */
JsonShapes *
json_shapes_create(void)
{
	return palloc0(sizeof(JsonShapes));
}

/*
 * Tells whether fields of a kind can be laid out here.
 */
static bool
is_flat_kind(WireKind kind, bool is_last)
{
	switch (kind)
	{
		case WIRE_KIND_CHAR:
		case WIRE_KIND_INT8:
		case WIRE_KIND_INT16:
		case WIRE_KIND_INT32:
		case WIRE_KIND_UINT32:
		case WIRE_KIND_STRING:
		case WIRE_KIND_QUERY:
		case WIRE_KIND_FORMATS:
		case WIRE_KIND_OIDS:
		case WIRE_KIND_VALUES:
		case WIRE_KIND_INT64:
		case WIRE_KIND_TIME:
		case WIRE_KIND_LSN:
		case WIRE_KIND_STREAM_XID:
		case WIRE_KIND_KEY_TUPLE:
		case WIRE_KIND_OLD_TUPLE:
		case WIRE_KIND_NEW_TUPLE:
			return true;
		case WIRE_KIND_VALUE:
		case WIRE_KIND_BYTES:
		case WIRE_KIND_PLUGIN_DATA:
		case WIRE_KIND_COLUMNS:
		case WIRE_KIND_CONTENT:
			return is_last;
		default:
			return false;
	}
}

/*
 * Tells whether a key comes before another in jsonb: the shorter one does.
 */
static bool
is_before(const char *a, const char *b)
{
	size_t a_len = strlen(a);
	size_t b_len = strlen(b);

	return a_len != b_len ? a_len < b_len : memcmp(a, b, a_len) < 0;
}

/*
 * Finds the order of a shape's keys.
 */
static void
sort_fields(JsonShape *shape)
{
	for (int i = 0; i < shape->count; i++)
	{
		int place = i;

		for (; place > 0 &&
		       is_before(shape->fields[i].name, shape->fields[shape->order[place - 1]].name);
		     place--)
			shape->order[place] = shape->order[place - 1];
		shape->order[place] = (uint8) i;
	}
}

/*
 * Lays out what an object begins with.
 */
static void
make_head(JsonShape *shape)
{
	uint32 *count = (uint32 *) shape->head;
	JEntry *entries = count + 1;
	char *keys = (char *) (entries + shape->count * 2);
	char *at = keys;

	*count = (uint32) shape->count | JB_FOBJECT;
	for (int i = 0; i < shape->count; i++)
	{
		const char *key = shape->fields[shape->order[i]].name;
		size_t len = strlen(key);

		memcpy(at, key, len);
		at += len;
		json_set_entry(entries, (uint32) i, (JEntry) len, (size_t) (at - keys));
	}
	shape->len = (uint32) (at - shape->head);
}

/*
 * Makes the shape of some fields.
 */
static void
make_shape(JsonShape *shape, const WireField *fields)
{
	size_t room = sizeof(uint32);

	shape->fields = fields;
	shape->is_known = shape->is_flat = true;
	for (; fields[shape->count].kind != WIRE_KIND_END; shape->count++)
	{
		const WireField *field = &fields[shape->count];

		room += strlen(field->name) + 2 * sizeof(JEntry);
		if (!is_flat_kind(field->kind, field[1].kind == WIRE_KIND_END))
			shape->is_flat = false;
	}
	if (room > JSON_SHAPE_ROOM || shape->count > JSON_SHAPE_FIELDS)
		shape->is_flat = false;
	if (!shape->is_flat)
		return;
	sort_fields(shape);
	make_head(shape);
}

/*
 * Returns the shape of a message's fields; see json_shape.h.
 */
const JsonShape *
json_shape_of_message(JsonShapes *shapes, WireMessageId id)
{
	JsonShape *shape = &shapes->messages[id];

	if (unlikely(!shape->is_known))
		make_shape(shape, wire_types[id].fields);
	return shape;
}

/*
 * Returns the shape of a column; see json_shape.h.
 */
const JsonShape *
json_shape_of_column(JsonShapes *shapes)
{
	if (unlikely(!shapes->column.is_known))
		make_shape(&shapes->column, wire_column_members(WIRE_KIND_COLUMNS));
	return &shapes->column;
}

/*
 * Lists the keys of error fields; false where they are no keys.
 */
static bool
list_error_keys(WireField *fields, const char *codes, int count)
{
	const JsonErrorKey *key = json_error_keys;

	for (int i = 0; i < count; i++, key++)
	{
		while (key->key && key->code != codes[i])
			key++;
		if (!key->key)
			return false;
		fields[i] = (WireField){key->key, WIRE_KIND_STRING};
	}
	fields[count] = (WireField){NULL, WIRE_KIND_END};
	return true;
}

/*
 * Returns the shape of an error's fields; see json_shape.h.
 */
const JsonShape *
json_shape_of_error(JsonShapes *shapes, const char *codes, int count)
{
	ErrorShape *error = &shapes->error;

	if (error->shape.is_known && error->shape.count == count &&
	    memcmp(error->codes, codes, (size_t) count) == 0)
		return &error->shape;
	error->shape = (JsonShape){.fields = NULL};
	if (!list_error_keys(error->fields, codes, count))
		return NULL;
	memcpy(error->codes, codes, (size_t) count);
	make_shape(&error->shape, error->fields);
	return &error->shape;
}
