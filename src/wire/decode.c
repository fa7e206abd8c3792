/*
 * decode.c
 *	  The fields that a relay asks for, without allocation.
 *
 * wire_decode walks a message's field program as far as its fields have a
 * simple place; from a list on, the rest of the body is given as it is.
 */
#include <string.h>

#include "wire/cursor.h"
#include "wire/list.h"

/*
 * Reads a number into a value.
 */
static void
read_number(WireCursor *cursor, WireKind kind, WireValue *value)
{
	uint64_t wide;
	uint32_t number;

	if (wire_number_size(kind) == 8)
	{
		value->complete = cursor_integer64(cursor, &wide);
		value->number = value->complete ? (int64_t) wide : 0;
		return;
	}
	value->complete = cursor_integer(cursor, wire_number_size(kind), &number);
	if (kind == WIRE_KIND_INT16)
		value->number = (int16_t) number;
	else if (kind == WIRE_KIND_INT32)
		value->number = (int32_t) number;
	else
		value->number = number;
}

/*
 * Decodes the top-level fields of a body; see wire.h.
 */
int
wire_decode(WireMessageId id, const uint8_t *body, size_t len, WireValue values[WIRE_MAX_FIELDS])
{
	const WireField *field = wire_types[id].fields;
	WireCursor cursor = {body, len, 0};
	int count = 0;

	memset(values, 0, sizeof(WireValue) * WIRE_MAX_FIELDS);
	if (WIRE_HAS_CODE(wire_types[id].type) &&
	    WIRE_TYPE_BYTE(wire_types[id].type) == 'R') /* behind an authentication code */
		cursor.at = len < 4 ? len : 4;
	else if (wire_types[id].key) /* behind the type byte of a part */
		cursor.at = len < 1 ? len : 1;
	for (; field->kind != WIRE_KIND_END; field++)
	{
		WireValue *value = &values[count++];

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
				read_number(&cursor, field->kind, value);
				break;
			case WIRE_KIND_STRING:
			case WIRE_KIND_QUERY:
			case WIRE_KIND_SECRET_STRING:
				value->complete = cursor_string(&cursor, &value->bytes);
				break;
			default:
				value->bytes = (WireSpan){body + cursor.at, len - cursor.at};
				value->complete = true;
				return count;
		}
		if (!value->complete)
			break;
	}
	return count;
}

/*
 * Finds a field of an ErrorResponse or NoticeResponse by its code.
 */
bool
wire_error_field(const uint8_t *body, size_t len, char code, WireSpan *value)
{
	WireCursor cursor = {body, len, 0};

	while (cursor.at < len && body[cursor.at] != 0)
	{
		char found = (char) body[cursor.at++];

		if (!cursor_string(&cursor, value))
			return false;
		if (found == code)
			return true;
	}
	return false;
}

/*
 * Steps through name/value pairs ended by a zero byte.
 */
bool
wire_pair_next(WireSpan pairs, size_t *at, WireSpan *name, WireSpan *value)
{
	WireCursor cursor = {pairs.data, pairs.len, *at};

	if (*at >= pairs.len || pairs.data[*at] == 0 || !cursor_string(&cursor, name) ||
	    !cursor_string(&cursor, value))
		return false;
	*at = cursor.at;
	return true;
}

/*
 * Returns the row count a command tag names: its last word, if that is a
 * number.
 */
int64_t
wire_tag_rows(const char *tag, size_t len)
{
	size_t at = len;
	int64_t rows = 0;

	while (at > 0 && tag[at - 1] >= '0' && tag[at - 1] <= '9')
		at--;
	if (at == len || at == 0 || tag[at - 1] != ' ' || len - at > 18)
		return -1;
	for (; at < len; at++)
		rows = rows * 10 + (tag[at] - '0');
	return rows;
}

/*
 * Appends a coded field to an ErrorResponse.
 */
static size_t
put_field(uint8_t *out, size_t at, size_t size, char code, const char *text)
{
	size_t len = strlen(text) + 1;

	if (at == 0 || size - at < len + 2) /* 2: the code, and the message's end */
		return 0;
	out[at] = (uint8_t) code;
	memcpy(out + at + 1, text, len);
	return at + 1 + len;
}

/*
 * Writes an ErrorResponse; see wire.h.
 */
size_t
wire_put_error(uint8_t *out, size_t size, const char *severity, const char *sqlstate,
               const char *message)
{
	size_t at = 5;
	uint32_t length;

	if (size < at)
		return 0;
	at = put_field(out, at, size, 'S', severity);
	at = put_field(out, at, size, 'V', severity);
	at = put_field(out, at, size, 'C', sqlstate);
	at = put_field(out, at, size, 'M', message);
	if (at == 0)
		return 0;
	out[at++] = 0;
	length = (uint32_t) at - 1;
	out[0] = 'E';
	for (int i = 0; i < 4; i++)
		out[1 + i] = (uint8_t) (length >> (24 - 8 * i));
	return at;
}
