/*
 * json_encode_value.c
 *	  Values and lists of a message's bytes from jsonb, for encode_message().
 */
#include "api/json_encode.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/*
 * Returns what a value is, in words for an error.
 */
const char *
encode_found(const JsonbValue *value)
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
 * Raises an error that names the field, what was expected, and the begin of what
 * was found.
 */
void
encode_fail(const Encoder *encoder, const char *expected, const char *found)
{
	int len = pg_mbcliplen(found, (int) strlen(found), 200);

	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("field \"%s\" of %s must be %s, but is %s", encoder->field,
	                       encoder->message, expected, pnstrdup(found, (Size) len))));
}

/*
 * Finds a key of an object; NULL: it is not there.
 */
JsonbValue *
encode_find_key(JsonbContainer *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, key, (int) strlen(key), value);
}

/*
 * Appends an integer.
 */
void
encode_integer(Encoder *encoder, uint64 number, int bytes)
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
		encode_fail(encoder, expected, encode_found(value));
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	errno = 0;
	number = strtoi64(text, &end, 10);
	if (errno != 0 || *end || number < least || number > most)
		encode_fail(encoder, expected, text);
	return number;
}

/*
 * Reads text: its bytes in the session's encoding.
 */
static WireSpan
get_text(const Encoder *encoder, const JsonbValue *value)
{
	WireSpan span;
	const char *bytes = read_bytes(&encoder->encoding, value->val.string.val,
	                               (size_t) value->val.string.len, &span.len);

	if (!bytes)
		encode_fail(encoder,
		            psprintf("text that encoding \"%s\" has",
		                     pg_encoding_to_char(encoder->encoding.encoding)),
		            pnstrdup(value->val.string.val, value->val.string.len));
	span.data = (const uint8 *) bytes;
	return span;
}

/*
 * Reads bytes of hexadecimal digits.
 */
static WireSpan
get_hex(const Encoder *encoder, const JsonbValue *hex)
{
	char *digits = pnstrdup(hex->val.string.val, hex->val.string.len);
	size_t len = (size_t) hex->val.string.len;
	char *bytes = palloc(len / 2 + 1);

	if (len % 2 != 0 || strspn(digits, "0123456789abcdefABCDEF") != len)
		encode_fail(encoder, "{\"hex\": ...} with two hexadecimal digits a byte", digits);
	hex_decode(digits, len, bytes);
	return (WireSpan){(const uint8 *) bytes, len / 2};
}

/*
 * Reads bytes: a string of text, or {"hex": ...}.
 */
static WireSpan
get_bytes(const Encoder *encoder, const JsonbValue *value)
{
	JsonbValue hex;

	if (value && value->type == jbvString)
		return get_text(encoder, value);
	if (!value || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data) ||
	    JsonContainerSize(value->val.binary.data) != 1)
		encode_fail(encoder, "a string or {\"hex\": ...}", encode_found(value));
	if (encode_find_key(value->val.binary.data, "masked", &hex))
		encode_fail(encoder, "a string or {\"hex\": ...}", "masked: what it was is not known");
	if (!encode_find_key(value->val.binary.data, "hex", &hex) || hex.type != jbvString)
		encode_fail(encoder, "a string or {\"hex\": ...}", "another object");
	return get_hex(encoder, &hex);
}

/*
 * Appends a string with its zero byte.
 */
void
encode_string(Encoder *encoder, const JsonbValue *value, bool may_be_empty)
{
	WireSpan span = get_bytes(encoder, value);

	if (span.len > 0 && memchr(span.data, 0, span.len))
		encode_fail(encoder, "without a zero byte", "a string with one");
	if (span.len == 0 && !may_be_empty)
		encode_fail(encoder, "a list of strings that are not empty", "one with an empty string");
	appendBinaryStringInfo(encoder->out, (const char *) span.data, (int) span.len);
	appendStringInfoChar(encoder->out, '\0');
}

/*
 * Appends bytes as they are.
 */
void
encode_bytes(Encoder *encoder, const JsonbValue *value)
{
	WireSpan span = get_bytes(encoder, value);

	appendBinaryStringInfo(encoder->out, (const char *) span.data, (int) span.len);
}

/*
 * Appends bytes behind their length.
 */
static void
put_length_and_bytes(Encoder *encoder, const JsonbValue *value)
{
	WireSpan span = get_bytes(encoder, value);

	encode_integer(encoder, span.len, 4);
	appendBinaryStringInfo(encoder->out, (const char *) span.data, (int) span.len);
}

/*
 * Appends a value behind its length; null has length -1.
 */
void
encode_value(Encoder *encoder, const JsonbValue *value)
{
	if (value && value->type == jbvNull)
		encode_integer(encoder, PG_UINT32_MAX, 4);
	else
		put_length_and_bytes(encoder, value);
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
		encode_fail(encoder, "a protocol version such as \"3.0\"", text);
	encode_integer(encoder, major << 16 | minor, 4);
}

/*
 * Appends a place in the WAL.
 */
static void
put_lsn(Encoder *encoder, const JsonbValue *value)
{
	WireSpan span = get_bytes(encoder, value);
	char *text = pnstrdup((const char *) span.data, span.len);
	char *slash = strchr(text, '/');
	size_t low = slash ? strlen(slash + 1) : 0;

	if (!slash || slash == text || slash - text > 8 || low == 0 || low > 8 ||
	    strspn(text, "0123456789abcdefABCDEF/") != span.len || strchr(slash + 1, '/'))
		encode_fail(encoder, "an LSN such as \"0/016B3748\"", text);
	encode_integer(encoder, strtoul(text, NULL, 16), 4);
	encode_integer(encoder, strtoul(slash + 1, NULL, 16), 4);
}

/*
 * Appends a number or character by its kind.
 */
void
encode_number(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	int64 number;
	WireSpan span;

	switch (kind)
	{
		case WIRE_KIND_CHAR:
			span = get_bytes(encoder, value);
			if (span.len != 1)
				encode_fail(encoder, "a single byte", "longer or empty");
			encode_integer(encoder, span.data[0], 1);
			return;
		case WIRE_KIND_VERSION:
			put_version(encoder, value);
			return;
		case WIRE_KIND_LSN:
			put_lsn(encoder, value);
			return;
		case WIRE_KIND_TIME:
		case WIRE_KIND_INT64:
			number = get_integer(encoder, value, PG_INT64_MIN, PG_INT64_MAX);
			break;
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
	encode_integer(encoder, (uint64) number, wire_number_size(kind));
}

/*
 * Returns an array's container.
 */
static JsonbContainer *
get_array(const Encoder *encoder, const JsonbValue *value)
{
	if (!value || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		encode_fail(encoder, "an array", encode_found(value));
	return value->val.binary.data;
}

/*
 * Checks that an object has only keys of a list of fields, and all of them.
 */
void
encode_check_keys(Encoder *encoder, JsonbContainer *object, const WireField *fields)
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
 * Appends a column of RowDescription or Relation.
 */
static void
put_column(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	const WireField *members = wire_column_members(kind);
	const char *field = encoder->field;
	JsonbValue member_value;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		encode_fail(encoder, "an array of objects", "one of other things");
	encode_check_keys(encoder, value->val.binary.data, members);
	for (const WireField *member = members; member->kind != WIRE_KIND_END; member++)
	{
		JsonbValue *found = encode_find_key(value->val.binary.data, member->name, &member_value);

		encoder->field = member->name;
		if (member->kind == WIRE_KIND_STRING)
			encode_string(encoder, found, true);
		else
			encode_number(encoder, found, member->kind);
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
		encode_fail(encoder, "an array of arrays of two strings", "one of others");
	first = getIthJsonbValueFromContainer(pair, 0);
	if (is_error_field)
	{
		encode_number(encoder, first, WIRE_KIND_CHAR);
		if (encoder->out->data[encoder->out->len - 1] == 0)
			encode_fail(encoder, "without a zero byte for a code", "an array with one");
	}
	else
		encode_string(encoder, first, false);
	encode_string(encoder, getIthJsonbValueFromContainer(pair, 1), true);
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
			encode_number(encoder, value, WIRE_KIND_INT16);
			break;
		case WIRE_KIND_OIDS:
		case WIRE_KIND_COUNTED_OIDS:
			encode_number(encoder, value, WIRE_KIND_UINT32);
			break;
		case WIRE_KIND_VALUES:
			encode_value(encoder, value);
			break;
		case WIRE_KIND_COLUMNS:
		case WIRE_KIND_ATTRIBUTES:
			put_column(encoder, value, kind);
			break;
		case WIRE_KIND_PAIRS:
			put_pair(encoder, value, false);
			break;
		case WIRE_KIND_ERROR_FIELDS:
			put_pair(encoder, value, true);
			break;
		default:
			encode_string(encoder, value, kind == WIRE_KIND_COUNTED_STRINGS);
			break;
	}
}

/*
 * Begins a list of so many items: writes its count, unless a zero byte ends it.
 */
static void
put_list_count(Encoder *encoder, WireKind kind, bool is_ended, uint32 count)
{
	uint32 counted = pg_hton32(count);

	if (kind == WIRE_KIND_COUNTED_OIDS)
		memcpy(encoder->out->data + encoder->count_at, &counted, 4);
	else if (!is_ended)
		encode_integer(encoder, count, kind == WIRE_KIND_COUNTED_STRINGS ? 4 : 2);
}

/*
 * Appends a list: behind its count, or before a zero byte.
 */
void
encode_list(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	bool is_ended =
	    kind == WIRE_KIND_PAIRS || kind == WIRE_KIND_STRINGS || kind == WIRE_KIND_ERROR_FIELDS;
	bool may_be_long =
	    is_ended || kind == WIRE_KIND_COUNTED_STRINGS || kind == WIRE_KIND_COUNTED_OIDS;
	JsonbContainer *array = get_array(encoder, value);
	uint32 count = JsonContainerSize(array);

	if (count > (may_be_long ? WIRE_MAX_ITEMS : PG_UINT16_MAX))
		encode_fail(encoder, "an array that a message can hold", "longer");
	put_list_count(encoder, kind, is_ended, count);
	for (uint32 i = 0; i < count; i++)
		put_item(encoder, getIthJsonbValueFromContainer(array, i), kind);
	if (is_ended)
		encode_integer(encoder, 0, 1);
}

/*
 * Returns what a value of a tuple is an object of: its only key's value.
 */
static JsonbValue *
tuple_content(Encoder *encoder, const JsonbValue *value, const char *key, JsonbValue *content)
{
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data) ||
	    JsonContainerSize(value->val.binary.data) != 1)
		encode_fail(encoder,
		            "an array of strings, nulls, {\"hex\": ...}, {\"text\": ...} and "
		            "{\"unchanged\": true}",
		            "one of other things");
	return encode_find_key(value->val.binary.data, key, content);
}

/*
 * Appends a value of a tuple: its kind, and its bytes if it has any.
 */
static void
put_tuple_value(Encoder *encoder, const JsonbValue *value)
{
	JsonbValue content;

	if (value->type == jbvNull)
		encode_integer(encoder, 'n', 1);
	else if (value->type == jbvString)
	{
		encode_integer(encoder, 't', 1);
		encode_value(encoder, value);
	}
	else if (tuple_content(encoder, value, "text", &content))
	{
		encode_integer(encoder, 't', 1);
		put_length_and_bytes(encoder, &content);
	}
	else if (tuple_content(encoder, value, "unchanged", &content))
	{
		if (content.type != jbvBool || !content.val.boolean)
			encode_fail(encoder, "{\"unchanged\": true}", encode_found(&content));
		encode_integer(encoder, 'u', 1);
	}
	else
	{
		encode_integer(encoder, 'b', 1);
		put_length_and_bytes(encoder, value);
	}
}

/*
 * Appends a tuple of pgoutput's behind its tag.
 */
void
encode_tuple(Encoder *encoder, const JsonbValue *value, uint8 tag)
{
	JsonbContainer *array = get_array(encoder, value);
	uint32 count = JsonContainerSize(array);

	if (count > PG_UINT16_MAX)
		encode_fail(encoder, "an array that a message can hold", "longer");
	encode_integer(encoder, tag, 1);
	encode_integer(encoder, count, 2);
	for (uint32 i = 0; i < count; i++)
		put_tuple_value(encoder, getIthJsonbValueFromContainer(array, i));
}
