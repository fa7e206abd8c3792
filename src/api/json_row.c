/*
 * json_row.c
 *	  The body of a message that is one list of values, as a DataRow is.
 *
 * Most messages are rows, and most values in them are text that needs no
 * conversion: their jsonb is laid out while the values are stepped through, without
 * events and notes in between.  That is half of the time that decode_messages()
 * would take.  As soon as a value is anything else (or the body is not well formed)
 * there is no body from here, and json.c makes it as for all messages.
 */
#include "api/json.h"

#include "wire/values.h"

/* Longer bodies are not worth a second reading. */
#define MAX_BODY (1024 * 1024)

/*
 * Writes an entry of an array: mostly its length, here and there where it ends.
 */
static inline void
set_entry(JEntry *entries, uint32 i, uint32 type, size_t len, size_t end)
{
	entries[i] =
	    i % JB_OFFSET_STRIDE == 0 ? type | (uint32) end | JENTRY_HAS_OFF : type | (uint32) len;
}

/*
 * Tells whether bytes are text of the database's as they are.
 */
static inline bool
is_text(const ReadEncoding *encoding, WireSpan value)
{
	size_t len;

	return read_is_plain(value.data, value.len) ||
	       (!encoding->is_converted && read_text(encoding, value, &len));
}

/*
 * Lays out the values behind the entries of their array.  Returns the place behind
 * them; NULL where they are not all text as they are, or NULL.
 */
static char *
lay_values(const ReadEncoding *encoding, WireValues *values, JEntry *entries, char *begin)
{
	char *at = begin;
	WireSpan value;

	for (uint32 i = 0; wire_values_next(values, &value); i++)
	{
		if (!value.data)
		{
			set_entry(entries, i, JENTRY_ISNULL, 0, at - begin);
			continue;
		}
		if (!is_text(encoding, value))
			return NULL;
		at = json_copy(at, value.data, value.len);
		set_entry(entries, i, JENTRY_ISSTRING, value.len, at - begin);
	}
	return values->reason || cursor_left(&values->cursor) > 0 ? NULL : at;
}

/*
 * Lays out {key: [value, ...]}.  Returns the place behind it, or NULL.
 */
static char *
lay_body(const ReadEncoding *encoding, char *at, const char *key, WireValues *values)
{
	size_t key_len = strlen(key);
	size_t head = sizeof(uint32) + 2 * sizeof(JEntry);
	size_t padded_len = INTALIGN(key_len);
	JEntry *body = (JEntry *) at;
	uint32 *list = (uint32 *) (at + head + padded_len);
	uint32 count = values->left;
	char *end = lay_values(encoding, values, list + 1, (char *) (list + 1 + count));

	if (!end)
		return NULL;
	body[0] = 1 | JB_FOBJECT;
	body[1] = (uint32) key_len | JENTRY_HAS_OFF;
	/* the padding before a container is part of it */
	body[2] = (uint32) (end - at - head - key_len) | JENTRY_ISCONTAINER;
	memset(at + head, 0, padded_len);
	memcpy(at + head, key, key_len);
	list[0] = count | JB_FARRAY;
	return end;
}

/*
 * Tells whether a message is one list of values that may be text.
 */
static bool
is_row(const JsonContext *context, const WireMessage *message)
{
	const WireField *fields = wire_types[message->id].fields;

	return fields[0].kind == WIRE_KIND_VALUES && fields[1].kind == WIRE_KIND_END &&
	       context->formats.count == 0;
}

/*
 * Returns the body of a message, if it is one list of text and NULLs; see json.h.
 */
Jsonb *
json_row_body(const JsonContext *context, const WireMessage *message)
{
	WireValues values;
	Jsonb *jsonb;
	const char *key;
	char *end;

	if (!is_row(context, message) || message->body.len > MAX_BODY)
		return NULL;
	values = wire_values_begin(message->body.data, message->body.len);
	if (values.reason)
		return NULL;
	key = wire_types[message->id].fields[0].name;
	/* a value's entry takes the four bytes of its length; 32: all that is around */
	jsonb = palloc(message->body.len + 32 + strlen(key));
	end = lay_body(&context->encoding, VARDATA(jsonb), key, &values);
	if (!end)
	{
		pfree(jsonb);
		return NULL;
	}
	SET_VARSIZE(jsonb, end - (char *) jsonb);
	return jsonb;
}
