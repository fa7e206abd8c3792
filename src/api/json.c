/*
 * json.c
 *	  Message bodies as jsonb, by the field programs of the one list.
 *
 * Strings and bytes alike are JSON strings where they are text in the session's
 * encoding that comes back unchanged from the database's, else {"hex": ...}; so
 * nothing is lost by showing it.
 */
#include "api/decode.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "wire/list.h"

/* More than this in one body is shown cut: jsonb has its limits. */
#define BODY_MAX (100 * 1024 * 1024)
#define CUT_TO 1024

/* A body being walked into jsonb. */
typedef struct Walk
{
	Decoder *decoder;
	WireMessageId id;
	const uint8 *body;
	size_t len;
	size_t at;
	const char *malformed; /* the reason, once it is found */
	JsonbParseState *state;
	List *formats; /* the last FORMATS field */
} Walk;

/* Error fields: code, key, in the order in which the server sends them. */
static const struct
{
	char code;
	const char *key;
} error_keys[] = {
	{'S', "severity_local"}, {'V', "severity"},			 {'C', "sqlstate"},
	{'M', "message"},		 {'D', "detail"},			 {'H', "hint"},
	{'W', "context"},		 {'s', "schema"},			 {'t', "table"},
	{'c', "column"},		 {'d', "data_type"},		 {'n', "constraint"},
	{'P', "position"},		 {'p', "internal_position"}, {'q', "internal_query"},
	{'F', "file"},			 {'L', "line"},				 {'R', "routine"},
};

/* ---- emitting ---- */

/*
 * Pushes a scalar: an element in an array, a value behind its key.
 */
static void
push_scalar(Walk *walk, JsonbIteratorToken token, JsonbValue *value)
{
	pushJsonbValue(&walk->state, token, value);
}

/*
 * Pushes text of ours as a key, value or element.
 */
static void
push_text(Walk *walk, JsonbIteratorToken token, const char *text)
{
	JsonbValue value;

	value.type = jbvString;
	value.val.string.val = pstrdup(text);
	value.val.string.len = (int) strlen(text);
	push_scalar(walk, token, &value);
}

static void
push_key(Walk *walk, const char *key)
{
	push_text(walk, WJB_KEY, key);
}

static void
push_number(Walk *walk, JsonbIteratorToken token, int64 number)
{
	JsonbValue value;

	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	push_scalar(walk, token, &value);
}

static void
push_null(Walk *walk, JsonbIteratorToken token)
{
	JsonbValue value;

	value.type = jbvNull;
	push_scalar(walk, token, &value);
}

/*
 * Returns text in the database's encoding, if it is text and comes back from
 * there unchanged; else NULL.
 */
static char *
as_text(const Decoder *decoder, const uint8 *data, size_t len, size_t *out_len)
{
	int database = GetDatabaseEncoding();
	int encoding = decoder->encoding;
	char *text;
	char *back;
	Oid there;
	Oid back_again;

	if (memchr(data, 0, len))
		return NULL;
	*out_len = len;
	if (encoding == database || encoding == PG_SQL_ASCII || database == PG_SQL_ASCII)
	{
		/* jsonb holds text of the database's encoding alone */
		if (pg_encoding_verifymbstr(database, (const char *) data, (int) len) != (int) len)
			return NULL;
		return pnstrdup((const char *) data, len);
	}
	if (pg_encoding_verifymbstr(encoding, (const char *) data, (int) len) != (int) len)
		return NULL;
	there = FindDefaultConversionProc(encoding, database);
	back_again = FindDefaultConversionProc(database, encoding);
	if (!OidIsValid(there) || !OidIsValid(back_again))
		return NULL;
	text = palloc_extended(len * MAX_CONVERSION_GROWTH + 1, MCXT_ALLOC_HUGE);
	if (pg_do_encoding_conversion_buf(there, encoding, database, (unsigned char *) data, (int) len,
									  (unsigned char *) text, (int) (len * MAX_CONVERSION_GROWTH + 1),
									  true) != (int) len)
		return NULL;
	*out_len = strlen(text);
	back = palloc_extended(*out_len * MAX_CONVERSION_GROWTH + 1, MCXT_ALLOC_HUGE);
	if (pg_do_encoding_conversion_buf(back_again, database, encoding, (unsigned char *) text,
									  (int) *out_len, (unsigned char *) back,
									  (int) (*out_len * MAX_CONVERSION_GROWTH + 1),
									  true) != (int) *out_len ||
		strlen(back) != len || memcmp(back, data, len) != 0)
		return NULL;
	return text;
}

/*
 * Pushes bytes: as text if they are, or as {"hex": ...}.
 */
static void
push_bytes(Walk *walk, JsonbIteratorToken token, const uint8 *data, size_t len, bool is_binary)
{
	size_t text_len;
	char *text = is_binary ? NULL : as_text(walk->decoder, data, len, &text_len);
	JsonbValue value;

	value.type = jbvString;
	if (text)
	{
		value.val.string.val = text;
		value.val.string.len = (int) text_len;
		push_scalar(walk, token, &value);
		return;
	}
	text = palloc_extended(len * 2 + 1, MCXT_ALLOC_HUGE);
	hex_encode((const char *) data, len, text);
	pushJsonbValue(&walk->state, WJB_BEGIN_OBJECT, NULL);
	push_key(walk, "hex");
	value.val.string.val = text;
	value.val.string.len = (int) len * 2;
	push_scalar(walk, WJB_VALUE, &value);
	pushJsonbValue(&walk->state, WJB_END_OBJECT, NULL);
}

/*
 * Pushes what was a secret: how long it was.
 */
static void
push_masked(Walk *walk, size_t len)
{
	pushJsonbValue(&walk->state, WJB_BEGIN_OBJECT, NULL);
	push_key(walk, "masked");
	push_number(walk, WJB_VALUE, (int64) len);
	pushJsonbValue(&walk->state, WJB_END_OBJECT, NULL);
}

/* ---- reading ---- */

/*
 * Notes that the body does not parse.
 */
static bool
fail(Walk *walk, const char *reason)
{
	if (!walk->malformed)
		walk->malformed = reason;
	return false;
}

/*
 * Reads an unsigned integer of 1, 2 or 4 bytes.
 */
static bool
read_integer(Walk *walk, int bytes, uint32 *number)
{
	*number = 0;
	if (walk->len - walk->at < (size_t) bytes)
		return fail(walk, "the message ends inside a number");
	for (int i = 0; i < bytes; i++)
		*number = *number << 8 | walk->body[walk->at++];
	return true;
}

/*
 * Reads a string.
 */
static bool
read_string(Walk *walk, WireSpan *span)
{
	const uint8 *begin = walk->body + walk->at;
	const uint8 *end = walk->at < walk->len ? memchr(begin, 0, walk->len - walk->at) : NULL;

	if (!end)
		return fail(walk, "the message ends inside a string");
	*span = (WireSpan){begin, (size_t) (end - begin)};
	walk->at += span->len + 1;
	return true;
}

/*
 * Reads a 16-bit count of things that take at least `least` bytes each, so that
 * a count that can't be true is told before anything is done about it.
 */
static bool
read_count(Walk *walk, size_t least, uint32 *count)
{
	if (!read_integer(walk, 2, count))
		return false;
	if (*count > INT16_MAX + UINT32_C(32768) || *count * least > walk->len - walk->at)
		return fail(walk, "a count is larger than the message");
	return true;
}

/*
 * Walks a value: NULL, or bytes shown by their format.
 */
static bool
walk_value(Walk *walk, JsonbIteratorToken token, bool is_binary)
{
	uint32 length;

	if (!read_integer(walk, 4, &length))
		return false;
	if (length == UINT32_MAX)
	{
		push_null(walk, token);
		return true;
	}
	if (length > walk->len - walk->at)
		return fail(walk, "a value is longer than the message");
	push_bytes(walk, token, walk->body + walk->at, length, is_binary);
	walk->at += length;
	return true;
}

/*
 * Tells whether value i is binary: one format stands for all.
 */
static bool
is_binary(const List *formats, int i)
{
	if (list_length(formats) == 1)
		return linitial_int(formats) == 1;
	return i < list_length(formats) && list_nth_int(formats, i) == 1;
}

/*
 * Walks a list of values.
 */
static bool
walk_values(Walk *walk)
{
	List *formats = walk->id == WIRE_MSG_DataRow ? walk->decoder->row_formats : walk->formats;
	uint32 count;

	if (!read_count(walk, 4, &count))
		return false;
	pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < count; i++)
		if (!walk_value(walk, WJB_ELEM, is_binary(formats, (int) i)))
			return false;
	pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	return true;
}

/*
 * Walks a list of numbers; formats are remembered.
 */
static bool
walk_numbers(Walk *walk, bool is_formats)
{
	uint32 count;
	uint32 number;

	if (!read_count(walk, is_formats ? 2 : 4, &count))
		return false;
	walk->formats = NIL;
	pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < count; i++)
	{
		if (!read_integer(walk, is_formats ? 2 : 4, &number))
			return false;
		if (is_formats)
			walk->formats = lappend_int(walk->formats, (int16) number);
		push_number(walk, WJB_ELEM, is_formats ? (int16) number : (int64) number);
	}
	pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	return true;
}

/*
 * Walks one column of a RowDescription.
 */
static bool
walk_column(Walk *walk)
{
	static const struct
	{
		const char *key;
		int bytes;
		bool is_signed;
	} fields[] = {{"table_oid", 4, false},	   {"column_no", 2, true}, {"type_oid", 4, false},
				  {"type_size", 2, true},	   {"type_modifier", 4, true}, {"format", 2, true}};
	WireSpan name;
	uint32 number = 0;

	if (!read_string(walk, &name))
		return false;
	pushJsonbValue(&walk->state, WJB_BEGIN_OBJECT, NULL);
	push_key(walk, "name");
	push_bytes(walk, WJB_VALUE, name.data, name.len, false);
	for (size_t i = 0; i < lengthof(fields); i++)
	{
		int64 value;

		if (!read_integer(walk, fields[i].bytes, &number))
			return false;
		value = number;
		if (fields[i].is_signed)
			value = fields[i].bytes == 2 ? (int16) number : (int32) number;
		push_key(walk, fields[i].key);
		push_number(walk, WJB_VALUE, value);
	}
	walk->formats = lappend_int(walk->formats, (int16) number);
	pushJsonbValue(&walk->state, WJB_END_OBJECT, NULL);
	return true;
}

/*
 * Walks the columns of a RowDescription.
 */
static bool
walk_columns(Walk *walk)
{
	uint32 count;

	if (!read_count(walk, 19, &count))
		return false;
	walk->formats = NIL;
	pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < count; i++)
		if (!walk_column(walk))
			return false;
	pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	return true;
}

/*
 * Walks strings or pairs of them up to a zero byte.
 */
static bool
walk_strings(Walk *walk, bool pairs)
{
	WireSpan name;
	WireSpan value;

	pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
	while (walk->at < walk->len && walk->body[walk->at] != 0)
	{
		if (!read_string(walk, &name) || (pairs && !read_string(walk, &value)))
			return false;
		if (pairs)
			pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
		push_bytes(walk, WJB_ELEM, name.data, name.len, false);
		if (!pairs)
			continue;
		push_bytes(walk, WJB_ELEM, value.data, value.len, false);
		pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	}
	pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	if (walk->at >= walk->len)
		return fail(walk, "a list has no end");
	walk->at++;
	return true;
}

/*
 * Walks strings behind a 32-bit count.
 */
static bool
walk_counted_strings(Walk *walk)
{
	uint32 count;
	WireSpan string;

	if (!read_integer(walk, 4, &count))
		return false;
	if (count > walk->len - walk->at)
		return fail(walk, "a count is larger than the message");
	pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
	for (uint32 i = 0; i < count; i++)
	{
		if (!read_string(walk, &string))
			return false;
		push_bytes(walk, WJB_ELEM, string.data, string.len, false);
	}
	pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	return true;
}

/*
 * Returns the place of an error field's code in the server's order; -1: unknown.
 */
static int
error_place(char code)
{
	for (size_t i = 0; i < lengthof(error_keys); i++)
		if (error_keys[i].code == code)
			return (int) i;
	return -1;
}

/*
 * Tells whether error fields come once each and in the server's order.
 */
static bool
is_regular_error(const Walk *walk)
{
	int last = -1;
	size_t at = 0;

	while (at < walk->len && walk->body[at] != 0)
	{
		int place = error_place((char) walk->body[at]);
		const uint8 *end = memchr(walk->body + at, 0, walk->len - at);

		if (place <= last || !end)
			return false;
		last = place;
		at = (size_t) (end - walk->body) + 1;
	}
	return true;
}

/*
 * Walks error fields: keys of the body itself, or, where that would lose their
 * order, a list.
 */
static bool
walk_error_fields(Walk *walk)
{
	bool regular = is_regular_error(walk);
	WireSpan value;

	if (!regular)
	{
		push_key(walk, "fields");
		pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
	}
	while (walk->at < walk->len && walk->body[walk->at] != 0)
	{
		uint8 code = walk->body[walk->at++];

		if (!read_string(walk, &value))
			return false;
		if (regular)
		{
			push_key(walk, error_keys[error_place((char) code)].key);
			push_bytes(walk, WJB_VALUE, value.data, value.len, false);
			continue;
		}
		pushJsonbValue(&walk->state, WJB_BEGIN_ARRAY, NULL);
		push_bytes(walk, WJB_ELEM, &code, 1, false);
		push_bytes(walk, WJB_ELEM, value.data, value.len, false);
		pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	}
	if (!regular)
		pushJsonbValue(&walk->state, WJB_END_ARRAY, NULL);
	if (walk->at >= walk->len)
		return fail(walk, "the fields have no end");
	walk->at++;
	return true;
}

/*
 * Walks a number.
 */
static bool
walk_number(Walk *walk, WireKind kind)
{
	int bytes = kind == WIRE_KIND_INT8 ? 1 : kind == WIRE_KIND_INT16 ? 2 : 4;
	uint32 number;
	int64 value;

	if (!read_integer(walk, bytes, &number))
		return false;
	value = number;
	if (kind == WIRE_KIND_INT16)
		value = (int16) number;
	else if (kind == WIRE_KIND_INT32)
		value = (int32) number;
	push_number(walk, WJB_VALUE, value);
	return true;
}

/*
 * Walks the rest of the message.
 */
static bool
walk_rest(Walk *walk, bool is_secret)
{
	bool binary = walk->id == WIRE_MSG_CopyData && walk->decoder->copy_format == 1;

	if (is_secret && walk->decoder->is_masked)
		push_masked(walk, walk->len - walk->at);
	else
		push_bytes(walk, WJB_VALUE, walk->body + walk->at, walk->len - walk->at, binary);
	walk->at = walk->len;
	return true;
}

/*
 * Walks a value that is a secret.
 */
static bool
walk_secret_value(Walk *walk)
{
	uint32 length;

	if (!walk->decoder->is_masked)
		return walk_value(walk, WJB_VALUE, false);
	if (!read_integer(walk, 4, &length))
		return false;
	if (length == UINT32_MAX)
		push_null(walk, WJB_VALUE);
	else
		push_masked(walk, walk->len - walk->at);
	walk->at = walk->len;
	return true;
}

/*
 * Walks one character, a string or a version.
 */
static bool
walk_text(Walk *walk, WireKind kind)
{
	WireSpan span;
	uint32 number;
	char version[24];

	if (kind == WIRE_KIND_CHAR)
	{
		if (!read_integer(walk, 1, &number))
			return false;
		push_bytes(walk, WJB_VALUE, walk->body + walk->at - 1, 1, false);
		return true;
	}
	if (kind == WIRE_KIND_VERSION)
	{
		if (!read_integer(walk, 4, &number))
			return false;
		snprintf(version, sizeof(version), "%u.%u", number >> 16, number & 0xffff);
		push_text(walk, WJB_VALUE, version);
		return true;
	}
	if (!read_string(walk, &span))
		return false;
	if (kind == WIRE_KIND_SECRET_STRING && walk->decoder->is_masked)
		push_masked(walk, span.len);
	else
		push_bytes(walk, WJB_VALUE, span.data, span.len, false);
	return true;
}

/*
 * Walks one field.
 */
static bool
walk_field(Walk *walk, const WireField *field)
{
	if (field->kind == WIRE_KIND_ERROR_FIELDS)
		return walk_error_fields(walk);
	push_key(walk, field->name);
	switch (field->kind)
	{
		case WIRE_KIND_INT8:
		case WIRE_KIND_INT16:
		case WIRE_KIND_INT32:
		case WIRE_KIND_UINT32:
			return walk_number(walk, field->kind);
		case WIRE_KIND_BYTES:
			return walk_rest(walk, false);
		case WIRE_KIND_SECRET:
			return walk_rest(walk, true);
		case WIRE_KIND_VALUE:
			return walk_value(walk, WJB_VALUE, false);
		case WIRE_KIND_SECRET_VALUE:
			return walk_secret_value(walk);
		case WIRE_KIND_FORMATS:
			return walk_numbers(walk, true);
		case WIRE_KIND_OIDS:
			return walk_numbers(walk, false);
		case WIRE_KIND_VALUES:
			return walk_values(walk);
		case WIRE_KIND_COLUMNS:
			return walk_columns(walk);
		case WIRE_KIND_PAIRS:
			return walk_strings(walk, true);
		case WIRE_KIND_STRINGS:
			return walk_strings(walk, false);
		case WIRE_KIND_COUNTED_STRINGS:
			return walk_counted_strings(walk);
		default:
			return walk_text(walk, field->kind);
	}
}

/*
 * Returns {"malformed": ...} for a body that does not parse.
 */
static Jsonb *
malformed_body(Walk *failed)
{
	Walk walk = {.decoder = failed->decoder};

	pushJsonbValue(&walk.state, WJB_BEGIN_OBJECT, NULL);
	push_key(&walk, "malformed");
	push_text(&walk, WJB_VALUE, failed->malformed);
	push_key(&walk, "at");
	push_number(&walk, WJB_VALUE, (int64) failed->at);
	push_key(&walk, "data");
	push_bytes(&walk, WJB_VALUE, failed->body, failed->len, true);
	return JsonbValueToJsonb(pushJsonbValue(&walk.state, WJB_END_OBJECT, NULL));
}

/*
 * Remembers what later messages' values are shown by.
 */
static void
remember_formats(Walk *walk)
{
	Decoder *decoder = walk->decoder;

	if (!decoder->knows_formats)
		return;
	switch (walk->id)
	{
		case WIRE_MSG_Bind:
			decoder->bind_formats = lappend(decoder->bind_formats, walk->formats);
			break;
		case WIRE_MSG_BindComplete:
			if (decoder->bind_formats == NIL)
				break;
			decoder->row_formats = linitial(decoder->bind_formats);
			decoder->bind_formats = list_delete_first(decoder->bind_formats);
			decoder->rows_by_bind = true;
			break;
		case WIRE_MSG_RowDescription:
			if (!decoder->rows_by_bind)
				decoder->row_formats = walk->formats;
			break;
		case WIRE_MSG_CopyInResponse:
		case WIRE_MSG_CopyOutResponse:
		case WIRE_MSG_CopyBothResponse:
			decoder->copy_format = walk->body[0];
			break;
		case WIRE_MSG_ReadyForQuery:
			decoder->rows_by_bind = false;
			decoder->row_formats = NIL;
			decoder->copy_format = 0;
			break;
		default:
			break;
	}
}

/*
 * Returns a body as jsonb.
 */
Jsonb *
json_body(Decoder *decoder, WireMessageId id, const uint8 *body, size_t len)
{
	Walk walk = {.decoder = decoder, .id = id, .body = body, .len = len};
	const WireField *field = wire_types[id].fields;

	if (len > BODY_MAX)
		return json_data(decoder, "truncated", body, CUT_TO);
	if (wire_types[id].type > 0xff)
		walk.at = 4; /* behind the code that made it this message */
	pushJsonbValue(&walk.state, WJB_BEGIN_OBJECT, NULL);
	for (; field->kind != WIRE_KIND_END; field++)
		if (!walk_field(&walk, field))
			return malformed_body(&walk);
	if (walk.at != len)
	{
		fail(&walk, "bytes are left behind the last field");
		return malformed_body(&walk);
	}
	remember_formats(&walk);
	return JsonbValueToJsonb(pushJsonbValue(&walk.state, WJB_END_OBJECT, NULL));
}

/*
 * Returns bytes that are no whole message: what says why, "truncated", "type"
 * (the first byte is an unknown type) or NULL.
 */
Jsonb *
json_data(Decoder *decoder, const char *what, const uint8 *data, size_t len)
{
	Walk walk = {.decoder = decoder};
	JsonbValue yes;

	pushJsonbValue(&walk.state, WJB_BEGIN_OBJECT, NULL);
	if (what && strcmp(what, "truncated") == 0)
	{
		yes.type = jbvBool;
		yes.val.boolean = true;
		push_key(&walk, what);
		push_scalar(&walk, WJB_VALUE, &yes);
	}
	else if (what)
	{
		push_key(&walk, what);
		push_bytes(&walk, WJB_VALUE, data, 1, false);
		data++;
		len--;
	}
	push_key(&walk, "data");
	push_bytes(&walk, WJB_VALUE, data, len, false);
	return JsonbValueToJsonb(pushJsonbValue(&walk.state, WJB_END_OBJECT, NULL));
}
