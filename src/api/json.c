/*
 * json.c
 *	  Message bodies as jsonb, by the events of the codec's walker.
 *
 * A body is an object with a key a field.  The walker says what each field is
 * called and made of; nothing here knows of any message.
 */
#include "api/json_lay.h"

/* So many first bytes are shown of what is too long for jsonb. */
#define CUT_TO (1024 * 1024)

/* Longest text of a place in the WAL. */
#define LSN_SIZE 17

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

/* A body in the making. */
typedef struct Builder
{
	const JsonContext *context;
	JsonWriter *writer;
	bool hides_secrets;   /* as they are masked, or differ between two runs */
	bool lists_errors;    /* error fields are a list, not keys of the body */
	int last_error_place; /* of the last error field, in the server's order */
} Builder;

/*
 * Makes a context; see json.h.
 */
void
json_context_init(JsonContext *context, int encoding)
{
	memset(context, 0, sizeof(*context));
	context->writer = json_writer_create();
	context->shapes = json_shapes_create();
	read_encoding_init(&context->encoding, encoding);
}

/*
 * Adds a placeholder.
 */
static bool
put_placeholder(Builder *builder, const char *name, const char *text)
{
	return json_put_string(builder->writer, name, text, strlen(text));
}

/*
 * Tells whether integers of a kind differ between two runs: OIDs, process and
 * transaction ids, times, places in the WAL.
 */
static bool
is_unstable(WireKind kind)
{
	return kind == WIRE_KIND_UINT32 || kind == WIRE_KIND_TIME || kind == WIRE_KIND_LSN;
}

/*
 * Adds a place in the WAL.
 */
static bool
put_lsn(Builder *builder, const WireEvent *event)
{
	char *text = palloc(LSN_SIZE);
	char *end = json_lay_lsn(text, (uint64) event->number);

	return json_put_string(builder->writer, event->name, text, (size_t) (end - text));
}

/*
 * Adds an integer field as it is shown.
 */
static bool
put_number(Builder *builder, const WireEvent *event)
{
	char *text;

	if (builder->context->is_regress && is_unstable(event->member))
		return put_placeholder(builder, event->name, "NNNN");
	if (event->member == WIRE_KIND_CHAR)
		return json_put_bytes(builder->writer, &builder->context->encoding, event->name,
		                      event->bytes, false);
	if (event->member == WIRE_KIND_VERSION)
		text = psprintf("%u.%u", (unsigned) (event->number >> 16),
		                (unsigned) (event->number & 0xffff));
	else if (event->member == WIRE_KIND_LSN)
		return put_lsn(builder, event);
	else
		return json_put_number(builder->writer, event->name, event->number);
	return json_put_string(builder->writer, event->name, text, strlen(text));
}

/*
 * Adds how long a secret was.
 */
static bool
put_masked(Builder *builder, const WireEvent *event)
{
	if (!json_begin(builder->writer, event->name, JSON_OBJECT) ||
	    !json_put_number(builder->writer, "masked", (int64) event->bytes.len))
		return false;
	json_end(builder->writer);
	return true;
}

/*
 * Tells whether fields of a kind are masked before they are stored.
 */
static bool
is_secret(WireKind kind)
{
	return kind == WIRE_KIND_SECRET || kind == WIRE_KIND_SECRET_STRING ||
	       kind == WIRE_KIND_SECRET_VALUE;
}

/*
 * Adds a string, bytes or a value, unless it is a secret.
 */
static bool
put_bytes(Builder *builder, const WireEvent *event)
{
	if (event->kind == WIRE_EVENT_VALUE && event->number < 0)
		return json_put_constant(builder->writer, event->name, JSON_NULL);
	if (builder->hides_secrets && is_secret(event->field))
		return builder->context->is_regress ? put_placeholder(builder, event->name, "BBBB")
		                                    : put_masked(builder, event);
	return json_put_bytes(builder->writer, &builder->context->encoding, event->name, event->bytes,
	                      event->is_binary);
}

/*
 * Returns the place of an error field in the server's order; -1: unknown.
 */
static int
error_place(int64 code)
{
	for (int i = 0; json_error_keys[i].key; i++)
		if (json_error_keys[i].code == code)
			return i;
	return -1;
}

/*
 * Tells whether an error field names a session's own schema of temporary tables.
 */
static bool
is_temporary_schema(const WireEvent *event)
{
	static const char prefix[] = "pg_temp_";

	return event->number == 's' && event->bytes.len >= sizeof(prefix) &&
	       memcmp(event->bytes.data, prefix, sizeof(prefix) - 1) == 0;
}

/*
 * Adds the text of an error field.  Places in the server's source differ between
 * its versions, the number of a session's temporary schema between sessions.
 */
static bool
put_error_text(Builder *builder, const char *key, const WireEvent *event)
{
	bool is_place = event->number == 'F' || event->number == 'L' || event->number == 'R';

	if (builder->context->is_regress && is_place)
		return put_placeholder(builder, key, "SSSS");
	if (builder->context->is_regress && is_temporary_schema(event))
		return put_placeholder(builder, key, "pg_temp_NNNN");
	return json_put_bytes(builder->writer, &builder->context->encoding, key, event->bytes, false);
}

/*
 * Adds an error field: a key of the body, or, where that would lose their order
 * or one of them, an element of a list.  That is known when the first such field
 * comes: then the walk stops, to be done again.
 */
static bool
put_error_field(Builder *builder, const WireEvent *event)
{
	int place = error_place(event->number);
	WireSpan code = {event->bytes.data - 1, 1};

	if (builder->lists_errors)
	{
		if (!json_begin(builder->writer, NULL, JSON_ARRAY) ||
		    !json_put_bytes(builder->writer, &builder->context->encoding, NULL, code, false) ||
		    !put_error_text(builder, NULL, event))
			return false;
		json_end(builder->writer);
		return true;
	}
	builder->lists_errors = place <= builder->last_error_place;
	builder->last_error_place = place;
	return !builder->lists_errors && put_error_text(builder, json_error_keys[place].key, event);
}

/*
 * Adds a value of a tuple.  Those that are not text say what they are: a value in
 * binary format is {"hex": ...}, so bytes that should be text are {"text": ...}.
 */
static bool
put_tuple_value(Builder *builder, const WireEvent *event)
{
	JsonWriter *writer = builder->writer;
	const ReadEncoding *encoding = &builder->context->encoding;
	size_t len;

	if (event->number == 'n')
		return json_put_constant(writer, NULL, JSON_NULL);
	if (event->number != 'u' && (event->is_binary || read_text(encoding, event->bytes, &len)))
		return json_put_bytes(writer, encoding, NULL, event->bytes, event->is_binary);
	if (!json_begin(writer, NULL, JSON_OBJECT))
		return false;
	if (event->number == 'u' ? !json_put_constant(writer, "unchanged", JSON_TRUE)
	                         : !json_put_bytes(writer, encoding, "text", event->bytes, false))
		return false;
	json_end(writer);
	return true;
}

/*
 * Begins a message that a field holds: its key takes the field's place, or is the
 * only one in the field.
 */
static bool
begin_part(Builder *builder, const WireEvent *event)
{
	return (!event->name || json_begin(builder->writer, event->name, JSON_OBJECT)) &&
	       json_begin(builder->writer, event->part, JSON_OBJECT);
}

/*
 * Ends it.
 */
static void
end_part(Builder *builder, const WireEvent *event)
{
	json_end(builder->writer);
	if (event->name)
		json_end(builder->writer);
}

/*
 * Tells whether a list is no array: error fields that are keys of the body.
 */
static bool
is_no_list(const Builder *builder, const WireEvent *event)
{
	return event->field == WIRE_KIND_ERROR_FIELDS && !builder->lists_errors;
}

/*
 * Takes an event of the walk.  False: the body is too long for jsonb, or the walk
 * must be done again.
 */
static bool
take_event(void *arg, const WireEvent *event)
{
	Builder *builder = arg;
	switch (event->kind)
	{
		case WIRE_EVENT_NUMBER:
			return put_number(builder, event);
		case WIRE_EVENT_BYTES:
		case WIRE_EVENT_VALUE:
			return put_bytes(builder, event);
		case WIRE_EVENT_ERROR_FIELD:
			return put_error_field(builder, event);
		case WIRE_EVENT_LIST:
			return is_no_list(builder, event) ||
			       json_begin(builder->writer, event->name, JSON_ARRAY);
		case WIRE_EVENT_LIST_END:
			if (!is_no_list(builder, event))
				json_end(builder->writer);
			return true;
		case WIRE_EVENT_ITEM:
			return json_begin(builder->writer, NULL,
			                  event->field == WIRE_KIND_PAIRS ? JSON_ARRAY : JSON_OBJECT);
		case WIRE_EVENT_ITEM_END:
			json_end(builder->writer);
			return true;
		case WIRE_EVENT_TUPLE_VALUE:
			return put_tuple_value(builder, event);
		case WIRE_EVENT_ABSENT:
			return json_put_constant(builder->writer, event->name, JSON_NULL);
		case WIRE_EVENT_PART:
			return begin_part(builder, event);
		case WIRE_EVENT_PART_END:
			end_part(builder, event);
			return true;
	}
	return false;
}

/*
 * Ends the body and returns it.
 */
static Jsonb *
finish_body(JsonWriter *writer)
{
	json_end(writer);
	return json_finish(writer);
}

/*
 * Begins a body of its own, whatever was there.
 */
static void
begin_body(JsonWriter *writer)
{
	json_reset(writer);
	json_begin(writer, NULL, JSON_OBJECT);
}

/*
 * Returns {"truncated": true, "data": ...}, with as many bytes as jsonb can hold,
 * or not many if that is too few.
 */
static Jsonb *
truncated_body(const JsonContext *context, WireSpan bytes)
{
	for (;;)
	{
		begin_body(context->writer);
		json_put_constant(context->writer, "truncated", JSON_TRUE);
		if (json_put_bytes(context->writer, &context->encoding, "data", bytes, false))
			return finish_body(context->writer);
		bytes.len = CUT_TO;
	}
}

/*
 * Ends a body with the message's bytes under "data"; where they are too many it is
 * a truncated one.
 */
static Jsonb *
finish_with_data(const JsonContext *context, WireSpan bytes, bool *is_cut)
{
	*is_cut = !json_put_bytes(context->writer, &context->encoding, "data", bytes, false);
	if (!*is_cut)
		return finish_body(context->writer);
	bytes.len = Min(bytes.len, (size_t) CUT_TO);
	return truncated_body(context, bytes);
}

/*
 * Returns {"data": ...}, with the type byte of a message of unknown type.
 */
static Jsonb *
unknown_body(const JsonContext *context, const WireMessage *message, bool *is_cut)
{
	begin_body(context->writer);
	if (message->has_type)
		json_put_bytes(context->writer, &context->encoding, "type", (WireSpan){&message->type, 1},
		               false);
	return finish_with_data(context, message->body, is_cut);
}

/*
 * Returns {"malformed": reason, "at": n, "data": ...}.
 */
static Jsonb *
malformed_body(const JsonContext *context, const WireMessage *message, const WireWalk *walk,
               bool *is_cut)
{
	begin_body(context->writer);
	json_put_string(context->writer, "malformed", walk->reason, strlen(walk->reason));
	json_put_number(context->writer, "at", (int64) walk->at);
	return finish_with_data(context, message->body, is_cut);
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
 * Adds the fields of a body to one that is begun.  Returns whether it was taken to
 * its end.
 */
static bool
put_fields(Builder *builder, const WireMessage *message, WireWalk *walk)
{
	begin_body(builder->writer);
	builder->last_error_place = -1;
	return wire_walk(message->id, message->body.data, message->body.len, walk, take_event, builder);
}

/*
 * Returns a message's body, by events.
 */
Jsonb *
json_walked_body(const JsonContext *context, const WireMessage *message, bool *is_cut)
{
	Builder builder = {.context = context,
	                   .writer = context->writer,
	                   .hides_secrets = context->is_masked || context->is_regress};
	WireWalk walk = {.formats = context->formats,
	                 .data_is_binary = context->data_is_binary,
	                 .content = message->content};
	bool is_whole;

	*is_cut = message->form == WIRE_FORM_CUT;
	if (*is_cut)
		return truncated_body(context, message->body);
	if (message->id == WIRE_MSG_Unknown)
		return unknown_body(context, message, is_cut);
	is_whole = put_fields(&builder, message, &walk);
	if (!is_whole && builder.lists_errors)
		is_whole = put_fields(&builder, message, &walk);
	if (is_whole)
		return finish_body(context->writer);
	if (!walk.is_stopped)
		return malformed_body(context, message, &walk, is_cut);
	*is_cut = true;
	return truncated_body(context,
	                      (WireSpan){message->body.data, Min(message->body.len, (size_t) CUT_TO)});
}

/*
 * Returns a message's body; see json.h.
 */
Jsonb *
json_message_body(const JsonContext *context, const WireMessage *message, bool *is_cut)
{
	Jsonb *body = json_flat_body(context, message);

	if (!body)
		return json_walked_body(context, message, is_cut);
	*is_cut = false;
	return body;
}
