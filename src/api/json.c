/*
 * json.c
 *	  Message bodies as jsonb, by the events of the codec's walker.
 *
 * A body is an object with a key a field.  The walker says what each field is
 * called and made of; nothing here knows of any message.
 */
#include "api/json.h"

#include "utils/builtins.h"

/* Most keys of a body, error fields counted, and most members of an item. */
#define MAX_PAIRS 24
#define MAX_MEMBERS 8

/* So many first bytes are shown of what is too long for jsonb. */
#define CUT_TO (1024 * 1024)

const JsonErrorKey json_error_keys[] = {
    {'S', "severity_local"},
    {'V', "severity"},
    {'C', "sqlstate"},
    {'M', "message"},
    {'D', "detail"},
    {'H', "hint"},
    {'W', "context"},
    {'s', "schema"},
    {'t', "table"},
    {'c', "column"},
    {'d', "data_type"},
    {'n', "constraint"},
    {'P', "position"},
    {'p', "internal_position"},
    {'q', "internal_query"},
    {'F', "file"},
    {'L', "line"},
    {'R', "routine"},
    {0, NULL},
};

/* An object being filled. */
typedef struct Object
{
	JsonbPair pairs[MAX_PAIRS];
	int count;
} Object;

/* A body in the making. */
typedef struct Builder
{
	const JsonContext *context;
	JsonBudget budget;
	Object body;
	bool in_list;
	JsonbValue *list;
	int list_count;
	int list_size;
	bool in_item;
	bool item_has_names;
	JsonbPair item[MAX_MEMBERS]; /* a pair of strings uses the values alone */
	int item_count;
} Builder;

/*
 * Adds a pair to an object.
 */
static void
add_pair(Object *object, const char *key, const JsonbValue *value)
{
	JsonbPair *pair = &object->pairs[object->count++];

	Assert(object->count <= MAX_PAIRS);
	json_set_text(&pair->key, key);
	pair->value = *value;
}

/*
 * Adds an element to the list.
 */
static void
add_element(Builder *builder, const JsonbValue *value)
{
	if (builder->list_count == builder->list_size)
	{
		builder->list_size = Max(builder->list_size * 2, 16);
		builder->list = builder->list
		                    ? repalloc(builder->list, sizeof(JsonbValue) * builder->list_size)
		                    : palloc(sizeof(JsonbValue) * builder->list_size);
	}
	builder->list[builder->list_count++] = *value;
}

/*
 * Adds a value where the walk is: to an item, a list, or the body.
 */
static void
add_value(Builder *builder, const char *name, const JsonbValue *value)
{
	if (builder->in_item)
	{
		JsonbPair *pair = &builder->item[builder->item_count++];

		Assert(builder->item_count <= MAX_MEMBERS);
		if (name)
			json_set_text(&pair->key, name);
		pair->value = *value;
		builder->item_has_names = name != NULL;
	}
	else if (builder->in_list)
		add_element(builder, value);
	else
		add_pair(&builder->body, name, value);
}

/*
 * Sets a value to how long a secret was.
 */
static bool
set_masked(Builder *builder, JsonbValue *value, size_t len)
{
	JsonbValue number;

	if (!json_set_number(&number, &builder->budget, (int64) len))
		return false;
	json_set_single(value, "masked", &number);
	return true;
}

/*
 * Sets a value to an integer field as it is shown.
 */
static bool
set_number(Builder *builder, JsonbValue *value, const WireEvent *event)
{
	uint8 byte = (uint8) event->number;

	if (event->member == WIRE_KIND_CHAR)
	{
		uint8 *copy = palloc(1);

		*copy = byte;
		return json_set_bytes(value, &builder->context->encoding, &builder->budget,
		                      (WireSpan){copy, 1}, false);
	}
	if (event->member == WIRE_KIND_VERSION)
	{
		json_set_text(value, psprintf("%u.%u", (unsigned) (event->number >> 16),
		                              (unsigned) (event->number & 0xffff)));
		return true;
	}
	return json_set_number(value, &builder->budget, event->number);
}

/*
 * Sets a value to a string, bytes or a value, unless it is a secret.
 */
static bool
set_bytes(Builder *builder, JsonbValue *value, const WireEvent *event)
{
	bool is_secret = event->field == WIRE_KIND_SECRET || event->field == WIRE_KIND_SECRET_STRING ||
	                 event->field == WIRE_KIND_SECRET_VALUE;

	if (event->kind == WIRE_EVENT_VALUE && event->number < 0)
	{
		value->type = jbvNull;
		return true;
	}
	if (is_secret && builder->context->is_masked)
		return set_masked(builder, value, event->bytes.len);
	return json_set_bytes(value, &builder->context->encoding, &builder->budget, event->bytes,
	                      event->is_binary);
}

/*
 * Begins an item of several members.
 */
static void
begin_item(Builder *builder)
{
	builder->in_item = true;
	builder->item_count = 0;
}

/*
 * Ends an item: an object of members with names, or an array.
 */
static void
end_item(Builder *builder)
{
	JsonbValue value;

	builder->in_item = false;
	if (builder->item_has_names)
	{
		size_t size = sizeof(JsonbPair) * builder->item_count;

		json_set_object(&value, memcpy(palloc(size), builder->item, size), builder->item_count);
	}
	else
	{
		JsonbValue *elems = palloc(sizeof(JsonbValue) * builder->item_count);

		for (int i = 0; i < builder->item_count; i++)
			elems[i] = builder->item[i].value;
		json_set_array(&value, elems, builder->item_count);
	}
	add_element(builder, &value);
}

/*
 * Adds an error field to the list, as an array of its code and text.
 */
static bool
add_error_field(Builder *builder, const WireEvent *event)
{
	JsonbValue *elems = palloc(sizeof(JsonbValue) * 2);
	uint8 *code = palloc(1);
	JsonbValue value;

	*code = (uint8) event->number;
	if (!json_set_bytes(&elems[0], &builder->context->encoding, &builder->budget,
	                    (WireSpan){code, 1}, false) ||
	    !json_set_bytes(&elems[1], &builder->context->encoding, &builder->budget, event->bytes,
	                    false))
		return false;
	json_set_array(&value, elems, 2);
	add_element(builder, &value);
	return true;
}

/*
 * Returns the place of an error field in the server's order; -1: unknown.
 */
static int
error_place(const JsonbValue *field)
{
	const JsonbValue *code = &field->val.array.elems[0];

	if (code->type != jbvString || code->val.string.len != 1)
		return -1;
	for (int i = 0; json_error_keys[i].key; i++)
		if (json_error_keys[i].code == code->val.string.val[0])
			return i;
	return -1;
}

/*
 * Ends the error fields: keys of the body, or, where that would lose their order
 * or one of them, a list.
 */
static void
end_error_fields(Builder *builder, const char *name)
{
	JsonbValue value;
	int last = -1;

	for (int i = 0; i < builder->list_count; i++)
	{
		int place = error_place(&builder->list[i]);

		if (place <= last)
		{
			json_set_array(&value, builder->list, builder->list_count);
			add_pair(&builder->body, name, &value);
			return;
		}
		last = place;
	}
	for (int i = 0; i < builder->list_count; i++)
		add_pair(&builder->body, json_error_keys[error_place(&builder->list[i])].key,
		         &builder->list[i].val.array.elems[1]);
}

/*
 * Ends a list.
 */
static void
end_list(Builder *builder, const WireEvent *event)
{
	JsonbValue value;

	builder->in_list = false;
	if (event->field == WIRE_KIND_ERROR_FIELDS)
	{
		end_error_fields(builder, event->name);
		return;
	}
	json_set_array(&value, builder->list, builder->list_count);
	add_pair(&builder->body, event->name, &value);
}

/*
 * Begins a list.
 */
static void
begin_list(Builder *builder, const WireEvent *event)
{
	builder->in_list = true;
	builder->list_count = 0;
	builder->list_size = event->number > 0 ? (int) event->number : 0;
	builder->list = builder->list_size > 0 ? palloc(sizeof(JsonbValue) * builder->list_size) : NULL;
}

/*
 * Takes an event of the walk.  False: the body is too long for jsonb.
 */
static bool
take_event(void *arg, const WireEvent *event)
{
	Builder *builder = arg;
	JsonbValue value;

	switch (event->kind)
	{
		case WIRE_EVENT_NUMBER:
			if (!set_number(builder, &value, event))
				return false;
			add_value(builder, event->name, &value);
			return true;
		case WIRE_EVENT_BYTES:
		case WIRE_EVENT_VALUE:
			if (!set_bytes(builder, &value, event))
				return false;
			add_value(builder, event->name, &value);
			return true;
		case WIRE_EVENT_ERROR_FIELD:
			return add_error_field(builder, event);
		case WIRE_EVENT_LIST:
			begin_list(builder, event);
			return true;
		case WIRE_EVENT_LIST_END:
			end_list(builder, event);
			return true;
		case WIRE_EVENT_ITEM:
			begin_item(builder);
			return true;
		case WIRE_EVENT_ITEM_END:
			end_item(builder);
			return true;
	}
	return false;
}

/*
 * Makes jsonb of an object.
 */
static Jsonb *
object_jsonb(Object *object)
{
	JsonbValue value;

	json_set_object(&value, object->pairs, object->count);
	return JsonbValueToJsonb(&value);
}

/*
 * Adds bytes under "data", cut to what jsonb can hold.  Returns whether they
 * were cut.
 */
static bool
add_data(Object *object, const JsonContext *context, WireSpan bytes)
{
	JsonBudget budget = {0};
	JsonbValue value;
	bool fits = json_set_bytes(&value, &context->encoding, &budget, bytes, false);

	if (!fits)
	{
		budget.used = 0;
		bytes.len = CUT_TO;
		json_set_bytes(&value, &context->encoding, &budget, bytes, false);
	}
	add_pair(object, "data", &value);
	return !fits;
}

/*
 * Returns {"truncated": true, "data": ...}.
 */
static Jsonb *
truncated_body(const JsonContext *context, WireSpan bytes)
{
	Object object = {.count = 0};
	JsonbValue value;

	value.type = jbvBool;
	value.val.boolean = true;
	add_pair(&object, "truncated", &value);
	add_data(&object, context, bytes);
	return object_jsonb(&object);
}

/*
 * Returns {"data": ...}, with the type byte of a message of unknown type.
 */
static Jsonb *
unknown_body(const JsonContext *context, const WireMessage *message, bool *is_cut)
{
	Object object = {.count = 0};
	JsonBudget budget = {0};
	JsonbValue value;

	if (message->has_type)
	{
		json_set_bytes(&value, &context->encoding, &budget, (WireSpan){&message->type, 1}, false);
		add_pair(&object, "type", &value);
	}
	*is_cut = add_data(&object, context, message->body);
	if (*is_cut)
		return truncated_body(context, (WireSpan){message->body.data, CUT_TO});
	return object_jsonb(&object);
}

/*
 * Returns {"malformed": reason, "at": n, "data": ...}.
 */
static Jsonb *
malformed_body(const JsonContext *context, const WireMessage *message, const WireWalk *walk,
               bool *is_cut)
{
	Object object = {.count = 0};
	JsonBudget budget = {0};
	JsonbValue value;

	json_set_text(&value, walk->reason);
	add_pair(&object, "malformed", &value);
	json_set_number(&value, &budget, (int64) walk->at);
	add_pair(&object, "at", &value);
	*is_cut = add_data(&object, context, message->body);
	if (*is_cut)
		return truncated_body(context, (WireSpan){message->body.data, CUT_TO});
	return object_jsonb(&object);
}

/*
 * Returns the name that a message is shown by.
 */
const char *
json_message_name(const WireMessage *message)
{
	if (message->form == WIRE_FORM_OPAQUE ||
	    (message->form == WIRE_FORM_CUT && !message->has_length))
		return "Opaque";
	return wire_name_of(message->id);
}

/*
 * Returns a message's body; see json.h.
 */
Jsonb *
json_message_body(const JsonContext *context, const WireMessage *message, bool *is_cut)
{
	Builder builder = {.context = context};
	WireWalk walk = {.formats = context->formats, .data_is_binary = context->data_is_binary};

	*is_cut = message->form == WIRE_FORM_CUT;
	if (*is_cut)
		return truncated_body(context, message->body);
	if (message->id == WIRE_MSG_Unknown)
		return unknown_body(context, message, is_cut);
	if (wire_walk(message->id, message->body.data, message->body.len, &walk, take_event, &builder))
		return object_jsonb(&builder.body);
	if (!walk.is_stopped)
		return malformed_body(context, message, &walk, is_cut);
	*is_cut = true;
	return truncated_body(context,
	                      (WireSpan){message->body.data, Min(message->body.len, (size_t) CUT_TO)});
}
