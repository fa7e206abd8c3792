/*
 * json_encode.c
 *	  encode_message(): a message's bytes from what decode_messages() shows.
 *
 * The same list that a body is decoded by says which keys it must have.  Every
 * field must be there, and nothing else: a key that is misspelt is an error, not
 * a field left out.
 */
#include "api/decode.h"

#include <ctype.h>

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(pgwire_trace_encode_message);

/* Keys of bodies that were not decoded; without the type they are an Opaque's. */
static const WireField unknown_keys[] = {
    {"type", WIRE_KIND_CHAR}, {"data", WIRE_KIND_BYTES}, {NULL, WIRE_KIND_END}};
static const WireField malformed_keys[] = {{"malformed", WIRE_KIND_STRING},
                                           {"at", WIRE_KIND_INT32},
                                           {"data", WIRE_KIND_BYTES},
                                           {NULL, WIRE_KIND_END}};

/* A message being written. */
typedef struct Encoder
{
	const char *message;
	const char *field; /* being written */
	int encoding;
	StringInfo out;
} Encoder;

/*
 * Returns what a value is, in words for an error.
 */
static const char *
found_type(const JsonbValue *value)
{
	if (!value)
		return "missing";
	switch (value->type)
	{
		case jbvNull:
			return "null";
		case jbvString:
			return "a string";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		case jbvBinary:
			return JsonContainerIsArray(value->val.binary.data) ? "an array" : "an object";
		default:
			return "something else";
	}
}

/*
 * Raises an error that names the field, what was expected, and what was found.
 */
static void
pg_attribute_noreturn() fail(const Encoder *encoder, const char *expected, const char *found)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("field \"%s\" of %s must be %s, but is %s", encoder->field,
	                       encoder->message, expected, found)));
}

/*
 * Finds a key of an object; NULL: it is not there.
 */
static JsonbValue *
find_key(JsonbContainer *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, key, (int) strlen(key), value);
}

/*
 * Appends an integer.
 */
static void
put_integer(Encoder *encoder, uint64 number, int bytes)
{
	for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
		appendStringInfoCharMacro(encoder->out, (char) (number >> shift));
}

/*
 * Reads an integer within bounds.
 */
static int64
get_integer(const Encoder *encoder, const JsonbValue *value, int64 least, int64 most)
{
	char *text;
	char *end;
	int64 number;
	char expected[64];

	snprintf(expected, sizeof(expected), "an integer from " INT64_FORMAT " to " INT64_FORMAT, least,
	         most);
	if (!value || value->type != jbvNumeric)
		fail(encoder, expected, found_type(value));
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	errno = 0;
	number = strtoi64(text, &end, 10);
	if (errno != 0 || *end || number < least || number > most)
		fail(encoder, expected, text);
	return number;
}

/*
 * Reads bytes: a string of text, or {"hex": ...}.
 */
static WireSpan
get_bytes(const Encoder *encoder, const JsonbValue *value)
{
	JsonbValue hex;
	WireSpan span;
	char *bytes;

	if (value && value->type == jbvString)
	{
		char *text = pnstrdup(value->val.string.val, value->val.string.len);
		char *converted = pg_server_to_any(text, value->val.string.len, encoder->encoding);

		span.data = (const uint8 *) converted;
		span.len = converted == text ? (size_t) value->val.string.len : strlen(converted);
		return span;
	}
	if (!value || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data) ||
	    JsonContainerSize(value->val.binary.data) != 1)
		fail(encoder, "a string or {\"hex\": ...}", found_type(value));
	if (find_key(value->val.binary.data, "masked", &hex))
		fail(encoder, "a string or {\"hex\": ...}", "masked: what it was is not known");
	if (!find_key(value->val.binary.data, "hex", &hex) || hex.type != jbvString)
		fail(encoder, "a string or {\"hex\": ...}", "another object");
	bytes = palloc(hex.val.string.len / 2 + 1);
	span.len = hex_decode(hex.val.string.val, hex.val.string.len, bytes);
	span.data = (const uint8 *) bytes;
	return span;
}

/*
 * Appends a string with its zero byte.
 */
static void
put_string(Encoder *encoder, const JsonbValue *value, bool may_be_empty)
{
	WireSpan span = get_bytes(encoder, value);

	if (span.len > 0 && memchr(span.data, 0, span.len))
		fail(encoder, "without a zero byte", "a string with one");
	if (span.len == 0 && !may_be_empty)
		fail(encoder, "a list of strings that are not empty", "one with an empty string");
	appendBinaryStringInfo(encoder->out, (const char *) span.data, (int) span.len);
	appendStringInfoChar(encoder->out, '\0');
}

/*
 * Appends bytes as they are.
 */
static void
put_bytes(Encoder *encoder, const JsonbValue *value)
{
	WireSpan span = get_bytes(encoder, value);

	appendBinaryStringInfo(encoder->out, (const char *) span.data, (int) span.len);
}

/*
 * Appends a value behind its length; null has length -1.
 */
static void
put_value(Encoder *encoder, const JsonbValue *value)
{
	WireSpan span;

	if (value && value->type == jbvNull)
	{
		put_integer(encoder, PG_UINT32_MAX, 4);
		return;
	}
	span = get_bytes(encoder, value);
	put_integer(encoder, span.len, 4);
	appendBinaryStringInfo(encoder->out, (const char *) span.data, (int) span.len);
}

/*
 * Appends a protocol version.
 */
static void
put_version(Encoder *encoder, const JsonbValue *value)
{
	WireSpan span = get_bytes(encoder, value);
	char *text = pnstrdup((const char *) span.data, span.len);
	unsigned int major;
	unsigned int minor;
	int used = 0;

	if (sscanf(text, "%5u.%5u%n", &major, &minor, &used) != 2 || text[used] ||
	    !isdigit((unsigned char) text[0]) || !isdigit((unsigned char) text[used - 1]) ||
	    major > PG_UINT16_MAX || minor > PG_UINT16_MAX)
		fail(encoder, "a protocol version such as \"3.0\"", text);
	put_integer(encoder, major << 16 | minor, 4);
}

/*
 * Appends a number or character by its kind.
 */
static void
put_number(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	int64 number;
	WireSpan span;

	switch (kind)
	{
		case WIRE_KIND_CHAR:
			span = get_bytes(encoder, value);
			if (span.len != 1)
				fail(encoder, "a single byte", "longer or empty");
			put_integer(encoder, span.data[0], 1);
			return;
		case WIRE_KIND_VERSION:
			put_version(encoder, value);
			return;
		case WIRE_KIND_INT8:
			number = get_integer(encoder, value, 0, PG_UINT8_MAX);
			break;
		case WIRE_KIND_INT16:
			number = get_integer(encoder, value, PG_INT16_MIN, PG_INT16_MAX);
			break;
		case WIRE_KIND_INT32:
			number = get_integer(encoder, value, PG_INT32_MIN, PG_INT32_MAX);
			break;
		default:
			number = get_integer(encoder, value, 0, PG_UINT32_MAX);
			break;
	}
	put_integer(encoder, (uint64) number, wire_number_size(kind));
}

/*
 * Returns an array's container.
 */
static JsonbContainer *
get_array(const Encoder *encoder, const JsonbValue *value)
{
	if (!value || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		fail(encoder, "an array", found_type(value));
	return value->val.binary.data;
}

/*
 * Checks that an object has only keys of a list of fields, and all of them.
 */
static void
check_keys(Encoder *encoder, JsonbContainer *object, const WireField *fields)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		const WireField *field = fields;

		if (token != WJB_KEY)
			continue;
		while (field->kind != WIRE_KIND_END &&
		       (strlen(field->name) != (size_t) value.val.string.len ||
		        memcmp(field->name, value.val.string.val, value.val.string.len) != 0))
			field++;
		if (field->kind == WIRE_KIND_END)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("%s has no field \"%s\"", encoder->message,
			                       pnstrdup(value.val.string.val, value.val.string.len))));
	}
}

/*
 * Appends a column of RowDescription.
 */
static void
put_column(Encoder *encoder, const JsonbValue *value)
{
	const char *field = encoder->field;
	JsonbValue member_value;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		fail(encoder, "an array of objects", "one of other things");
	check_keys(encoder, value->val.binary.data, wire_column_members);
	for (const WireField *member = wire_column_members; member->kind != WIRE_KIND_END; member++)
	{
		JsonbValue *found = find_key(value->val.binary.data, member->name, &member_value);

		encoder->field = member->name;
		if (member->kind == WIRE_KIND_STRING)
			put_string(encoder, found, true);
		else
			put_number(encoder, found, member->kind);
	}
	encoder->field = field;
}

/*
 * Appends a pair of strings, or a code and a string.
 */
static void
put_pair(Encoder *encoder, const JsonbValue *value, bool is_error_field)
{
	JsonbContainer *pair = get_array(encoder, value);
	JsonbValue *first;

	if (JsonContainerSize(pair) != 2)
		fail(encoder, "an array of arrays of two strings", "one of others");
	first = getIthJsonbValueFromContainer(pair, 0);
	if (is_error_field)
	{
		put_number(encoder, first, WIRE_KIND_CHAR);
		if (encoder->out->data[encoder->out->len - 1] == 0)
			fail(encoder, "without a zero byte for a code", "an array with one");
	}
	else
		put_string(encoder, first, false);
	put_string(encoder, getIthJsonbValueFromContainer(pair, 1), true);
}

/*
 * Appends an item of a list.
 */
static void
put_item(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	switch (kind)
	{
		case WIRE_KIND_FORMATS:
			put_number(encoder, value, WIRE_KIND_INT16);
			break;
		case WIRE_KIND_OIDS:
			put_number(encoder, value, WIRE_KIND_UINT32);
			break;
		case WIRE_KIND_VALUES:
			put_value(encoder, value);
			break;
		case WIRE_KIND_COLUMNS:
			put_column(encoder, value);
			break;
		case WIRE_KIND_PAIRS:
			put_pair(encoder, value, false);
			break;
		case WIRE_KIND_ERROR_FIELDS:
			put_pair(encoder, value, true);
			break;
		default:
			put_string(encoder, value, kind == WIRE_KIND_COUNTED_STRINGS);
			break;
	}
}

/*
 * Appends a list: behind its count, or before a zero byte.
 */
static void
put_list(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	bool is_ended =
	    kind == WIRE_KIND_PAIRS || kind == WIRE_KIND_STRINGS || kind == WIRE_KIND_ERROR_FIELDS;
	JsonbContainer *array = get_array(encoder, value);
	uint32 count = JsonContainerSize(array);

	if (count > (is_ended || kind == WIRE_KIND_COUNTED_STRINGS ? WIRE_MAX_ITEMS : PG_UINT16_MAX))
		fail(encoder, "an array that a message can hold", "longer");
	if (!is_ended)
		put_integer(encoder, count, kind == WIRE_KIND_COUNTED_STRINGS ? 4 : 2);
	for (uint32 i = 0; i < count; i++)
		put_item(encoder, getIthJsonbValueFromContainer(array, i), kind);
	if (is_ended)
		put_integer(encoder, 0, 1);
}

/*
 * Appends a field.
 */
static void
put_field(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	switch (kind)
	{
		case WIRE_KIND_CHAR:
		case WIRE_KIND_INT8:
		case WIRE_KIND_INT16:
		case WIRE_KIND_INT32:
		case WIRE_KIND_UINT32:
		case WIRE_KIND_VERSION:
			put_number(encoder, value, kind);
			break;
		case WIRE_KIND_STRING:
		case WIRE_KIND_QUERY:
		case WIRE_KIND_SECRET_STRING:
			put_string(encoder, value, true);
			break;
		case WIRE_KIND_BYTES:
		case WIRE_KIND_SECRET:
			put_bytes(encoder, value);
			break;
		case WIRE_KIND_VALUE:
		case WIRE_KIND_SECRET_VALUE:
			put_value(encoder, value);
			break;
		default:
			put_list(encoder, value, kind);
			break;
	}
}

/*
 * Appends error fields that are keys of the body itself, in the server's order.
 */
static void
put_error_keys(Encoder *encoder, JsonbContainer *body)
{
	WireField fields[24] = {{NULL, WIRE_KIND_END}};
	JsonbValue value;

	for (int i = 0; json_error_keys[i].key; i++)
	{
		fields[i] = (WireField){json_error_keys[i].key, WIRE_KIND_STRING};
		fields[i + 1].kind = WIRE_KIND_END;
	}
	check_keys(encoder, body, fields);
	for (const JsonErrorKey *key = json_error_keys; key->key; key++)
	{
		encoder->field = key->key;
		if (!find_key(body, key->key, &value))
			continue;
		put_integer(encoder, (uint8) key->code, 1);
		put_string(encoder, &value, true);
	}
	put_integer(encoder, 0, 1);
}

/*
 * Appends all fields of a message.
 */
static void
put_fields(Encoder *encoder, WireMessageId id, JsonbContainer *body)
{
	const WireField *fields = wire_types[id].fields;
	JsonbValue value;

	if (wire_code_size(id) > 0)
		put_integer(encoder, wire_code_of(id), 4);
	if (fields[0].kind == WIRE_KIND_ERROR_FIELDS && !find_key(body, fields[0].name, &value))
	{
		put_error_keys(encoder, body);
		return;
	}
	check_keys(encoder, body, fields);
	for (const WireField *field = fields; field->kind != WIRE_KIND_END; field++)
	{
		JsonbValue *found = find_key(body, field->name, &value);

		encoder->field = field->name;
		put_field(encoder, found, field->kind);
	}
}

/*
 * Appends the bytes under the key "data" of a body that was not decoded, which
 * has these keys.
 */
static void
put_data(Encoder *encoder, JsonbContainer *body, const WireField *keys)
{
	JsonbValue value;

	check_keys(encoder, body, keys);
	encoder->field = "data";
	put_bytes(encoder, find_key(body, "data", &value));
}

/*
 * Finds a message by its name and direction.
 */
static WireMessageId
find_message(const char *name, WireDirection direction)
{
	int bit = direction == WIRE_FRONTEND ? WIRE_DIR_F : WIRE_DIR_B;

	for (int id = 1; id < WIRE_MSG_COUNT; id++)
		if (strcmp(wire_types[id].name, name) == 0 && (wire_types[id].directions & bit))
			return (WireMessageId) id;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("argument \"name\" must be a message of direction %c, not \"%s\"",
	                       (char) direction, name),
	                errhint("See pgwire_trace.message_types().")));
}

/*
 * Appends a message: its type byte, length and body.
 */
static void
put_message(Encoder *encoder, WireDirection direction, JsonbContainer *body)
{
	bool is_unknown = strcmp(encoder->message, "Unknown") == 0;
	WireMessageId id = is_unknown ? WIRE_MSG_Unknown : find_message(encoder->message, direction);
	uint8 type = WIRE_TYPE_BYTE(wire_types[id].type);
	bool has_length = (wire_types[id].phases & (1u << WIRE_PHASE_SSL_ANSWER)) == 0;
	JsonbValue value;
	int length_at;

	if (is_unknown)
	{
		encoder->field = "type";
		put_number(encoder, find_key(body, "type", &value), WIRE_KIND_CHAR);
	}
	else if (type && has_length)
		put_integer(encoder, type, 1);
	length_at = encoder->out->len;
	if (has_length)
		put_integer(encoder, 0, 4);
	if (is_unknown)
		put_data(encoder, body, unknown_keys);
	else if (find_key(body, "malformed", &value))
		put_data(encoder, body, malformed_keys);
	else
		put_fields(encoder, id, body);
	if (has_length)
	{
		uint32 length = pg_hton32((uint32) (encoder->out->len - length_at));

		memcpy(encoder->out->data + length_at, &length, 4);
	}
}

/*
 * encode_message(direction, name, body, encoding)
 */
Datum
pgwire_trace_encode_message(PG_FUNCTION_ARGS)
{
	WireDirection direction = decode_direction(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Jsonb *body = PG_GETARG_JSONB_P(2);
	StringInfoData out;
	Encoder encoder = {.message = text_to_cstring(PG_GETARG_TEXT_PP(1)),
	                   .encoding = decode_encoding(NameStr(*PG_GETARG_NAME(3))),
	                   .out = &out};
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(body))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("argument \"body\" must be a JSON object")));
	if (find_key(&body->root, "truncated", &value))
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("%s was truncated: its other bytes are not known", encoder.message)));
	initStringInfo(&out);
	if (strcmp(encoder.message, "Opaque") == 0)
		put_data(&encoder, &body->root, unknown_keys + 1);
	else
		put_message(&encoder, direction, &body->root);
	PG_RETURN_BYTEA_P(cstring_to_text_with_len(out.data, out.len));
}
