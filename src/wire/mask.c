/*
 * mask.c
 *	  Overwrites what must never be stored in a message's body.
 *
 * The list says which fields are secrets.  Bodies of the frontend's 'p' are
 * overwritten whole, whichever of the four messages the caller takes them for:
 * all that stays is the name of a SASL mechanism, of those that a server offers,
 * and the length behind it.
 */
#include <string.h>

#include "wire/list.h"
#include "wire/secret.h"
#include "wire/wire.h"

/*
 * Returns how many bytes at the begin of a 'p' body name a SASL mechanism and
 * give the length of its data; 0 if none does.
 */
static size_t
mechanism_len(const uint8_t *body, size_t len)
{
	static const char *const mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER"};

	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
	{
		size_t size = strlen(mechanisms[i]) + 1;

		if (len >= size + 4 && memcmp(body, mechanisms[i], size) == 0)
			return size + 4;
	}
	return 0;
}

/*
 * Overwrites the body of a 'p'.  A password's zero byte stays, so that the
 * message still reads as one.
 */
static void
mask_response(uint8_t *body, size_t len)
{
	size_t keep = mechanism_len(body, len);

	if (len > 0 && keep == 0 && body[len - 1] == 0)
		len--;
	memset(body + keep, '*', len - keep);
}

/*
 * Returns how long the string at a place is, at most up to the body's end.
 */
static size_t
string_len(const uint8_t *body, size_t len, size_t at)
{
	const uint8_t *end = at < len ? memchr(body + at, 0, len - at) : NULL;

	return end ? (size_t) (end - (body + at)) : len - at;
}

/*
 * Tells whether a field of an error is prose, which may quote anything.
 */
static bool
is_prose(char code)
{
	return code != 0 && strchr("MDHWq", code) != NULL;
}

/*
 * Tells whether an error or notice quotes a secret; see wire.h.
 */
bool
wire_error_secret(const uint8_t *body, size_t len)
{
	size_t at = 0;

	while (at < len && body[at] != 0)
	{
		char code = (char) body[at++];
		size_t n = string_len(body, len, at);

		if (is_prose(code) && secret_in_prose((const char *) body + at, n))
			return true;
		at += n + 1;
	}
	return false;
}

/*
 * Overwrites what is between the first and the last double quote.  Returns whether
 * there is anything.
 */
static bool
mask_quoted(uint8_t *text, size_t len)
{
	size_t begin = 0;

	while (begin < len && text[begin] != '"')
		begin++;
	while (len > begin && text[len - 1] != '"')
		len--;
	if (len <= begin + 2)
		return false;
	memset(text + begin + 1, '*', len - begin - 2);
	return true;
}

/*
 * Overwrites secrets in an error or notice: a syntax error quotes what it is
 * near to, a context or internal query the command that was run.  Returns whether
 * there is any.
 */
static bool
mask_error(uint8_t *body, size_t len)
{
	WireSpan state;
	bool is_syntax = wire_error_field(body, len, 'C', &state) && state.len == 5 &&
	                 !memcmp(state.data, "42601", 5);
	bool changes = false;
	size_t at = 0;

	while (at < len && body[at] != 0)
	{
		char code = (char) body[at++];
		size_t n = string_len(body, len, at);

		if (is_prose(code))
		{
			if (secret_in_prose((const char *) body + at, n))
			{
				memset(body + at, '*', n);
				changes = true;
			}
			else if (is_syntax)
				changes |= mask_quoted(body + at, n);
		}
		at += n + 1;
	}
	return changes;
}

/*
 * Overwrites what must never be stored in a body; see wire.h.
 */
bool
wire_mask_body(WireMessageId id, uint8_t *body, size_t len, bool standard_strings)
{
	const WireField *field = wire_types[id].fields;
	uint8_t type = WIRE_TYPE_BYTE(wire_types[id].type);
	size_t at = type == 'R' ? 4 : 0; /* behind an authentication code */
	bool changes = false;

	if (type == 'p')
	{
		mask_response(body, len);
		return false;
	}
	for (; field->kind != WIRE_KIND_END && at < len; field++)
	{
		size_t n;

		switch (field->kind)
		{
			case WIRE_KIND_UINT32:
				at += 4;
				break;
			case WIRE_KIND_STRING:
				at += string_len(body, len, at) + 1;
				break;
			case WIRE_KIND_QUERY:
				n = string_len(body, len, at);
				changes |= wire_mask_query((char *) body + at, n, standard_strings);
				at += n + 1;
				break;
			case WIRE_KIND_ERROR_FIELDS:
				return mask_error(body, len);
			case WIRE_KIND_SECRET:
				memset(body + at, '*', len - at);
				return false;
			default:
				return changes;
		}
	}
	return changes;
}
