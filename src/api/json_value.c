/*
 * json_value.c
 *	  Values of the protocol as values of jsonb.
 *
 * Bytes become a JSON string where they are text in the session's encoding that
 * comes back unchanged from the database's, else {"hex": ...}: nothing is lost by
 * showing them.  Strings that need no conversion point into the message.
 *
 * Trees are built as JsonbValues in place, not pushed token by token: their
 * shape is known beforehand.
 */
#include "api/json.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* What a value takes besides its text, at most. */
#define OVERHEAD 64

/* jsonb keeps lengths in 28 bits; a margin for what OVERHEAD leaves out. */
#define LIMIT ((size_t) 0x0FFFFFFF - 1024 * 1024)

/*
 * Looks up what it takes to show values of an encoding.
 */
void
json_encoding_init(JsonEncoding *encoding, int from)
{
	int to = GetDatabaseEncoding();

	memset(encoding, 0, sizeof(*encoding));
	encoding->encoding = from;
	if (from == PG_SQL_ASCII) /* it says nothing: take the bytes as the database's own */
		encoding->encoding = to;
	if (encoding->encoding == to || to == PG_SQL_ASCII)
		return;
	encoding->is_converted = true;
	encoding->to_database = FindDefaultConversionProc(from, to);
	encoding->from_database = FindDefaultConversionProc(to, from);
}

/*
 * Tells whether bytes are ASCII without a zero byte, eight at a time.
 */
static bool
is_plain_ascii(const uint8 *data, size_t len)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);
	uint64 bad = 0;
	size_t at = 0;

	for (; at + 8 <= len; at += 8)
	{
		uint64 word;

		memcpy(&word, data + at, 8);
		/* the high bit of a byte: set in itself, or borrowed for because it is zero */
		bad |= word | (word - ones);
	}
	if (bad & (ones << 7))
		return false;
	for (; at < len; at++)
		if (data[at] == 0 || data[at] > 0x7f)
			return false;
	return true;
}

/*
 * Converts all of some text.  Returns NULL if it has no equivalent.
 */
static char *
convert(Oid function, int from, int to, const char *text, size_t len, size_t *out_len)
{
	size_t size = len * MAX_CONVERSION_GROWTH + 1;
	char *out;

	if (!OidIsValid(function) || size > MaxAllocSize)
		return NULL;
	out = palloc(size);
	if (pg_do_encoding_conversion_buf(function, from, to,
	                                  (unsigned char *) unconstify(char *, text), (int) len,
	                                  (unsigned char *) out, (int) size, true) != (int) len)
	{
		pfree(out);
		return NULL;
	}
	*out_len = strlen(out);
	return out;
}

/*
 * Converts bytes to the database's encoding, if that loses nothing.
 */
static const char *
convert_there_and_back(const JsonEncoding *encoding, const char *text, size_t len, size_t *out_len)
{
	int database = GetDatabaseEncoding();
	size_t back_len;
	char *back;
	char *out = convert(encoding->to_database, encoding->encoding, database, text, len, out_len);

	if (!out)
		return NULL;
	back = convert(encoding->from_database, database, encoding->encoding, out, *out_len, &back_len);
	if (back && back_len == len && memcmp(back, text, len) == 0)
	{
		pfree(back);
		return out;
	}
	pfree(out);
	return NULL;
}

/*
 * Returns bytes as text in the database's encoding; NULL if they are none.
 */
static const char *
as_text(const JsonEncoding *encoding, WireSpan bytes, size_t *len)
{
	const char *text = (const char *) bytes.data;

	*len = bytes.len;
	if (bytes.len == 0)
		return "";
	if (is_plain_ascii(bytes.data, bytes.len))
		return text;
	if (bytes.len > MaxAllocSize ||
	    !pg_verify_mbstr(encoding->encoding, text, (int) bytes.len, true))
		return NULL;
	if (!encoding->is_converted)
		return text;
	return convert_there_and_back(encoding, text, bytes.len, len);
}

/*
 * Takes room for a value.
 */
static bool
spend(JsonBudget *budget, size_t len)
{
	if (len > LIMIT || budget->used + len + OVERHEAD > LIMIT)
		return false;
	budget->used += len + OVERHEAD;
	return true;
}

/*
 * Sets a value to text of ours.
 */
void
json_set_text(JsonbValue *value, const char *text)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, text);
	value->val.string.len = (int) strlen(text);
}

/*
 * Sets a value to bytes; see json.h.
 */
bool
json_set_bytes(JsonbValue *value, const JsonEncoding *encoding, JsonBudget *budget, WireSpan bytes,
               bool is_binary)
{
	size_t len;
	const char *text = NULL;
	JsonbValue hex;

	if (bytes.len > LIMIT)
		return false;
	if (!is_binary && (text = as_text(encoding, bytes, &len)))
	{
		value->type = jbvString;
		value->val.string.val = unconstify(char *, text);
		value->val.string.len = (int) len;
		return spend(budget, len);
	}
	if (!spend(budget, bytes.len * 2))
		return false;
	hex.type = jbvString;
	hex.val.string.val = palloc(bytes.len * 2 + 1);
	hex.val.string.len = (int) hex_encode((const char *) bytes.data, bytes.len, hex.val.string.val);
	json_set_single(value, "hex", &hex);
	return true;
}

/*
 * Sets a value to a number.
 */
bool
json_set_number(JsonbValue *value, JsonBudget *budget, int64 number)
{
	value->type = jbvNumeric;
	value->val.numeric = int64_to_numeric(number);
	return spend(budget, 0);
}

/*
 * Sets a value to an array.
 */
void
json_set_array(JsonbValue *value, JsonbValue *elems, int count)
{
	value->type = jbvArray;
	value->val.array.nElems = count;
	value->val.array.elems = elems;
	value->val.array.rawScalar = false;
}

/*
 * Compares keys in jsonb's order: shorter ones come first.
 */
static int
compare_pairs(const void *a, const void *b)
{
	const JsonbValue *left = &((const JsonbPair *) a)->key;
	const JsonbValue *right = &((const JsonbPair *) b)->key;

	if (left->val.string.len != right->val.string.len)
		return left->val.string.len < right->val.string.len ? -1 : 1;
	return memcmp(left->val.string.val, right->val.string.val, left->val.string.len);
}

/*
 * Sets a value to an object of pairs whose keys differ.
 */
void
json_set_object(JsonbValue *value, JsonbPair *pairs, int count)
{
	if (count > 1)
		qsort(pairs, count, sizeof(JsonbPair), compare_pairs);
	value->type = jbvObject;
	value->val.object.nPairs = count;
	value->val.object.pairs = pairs;
}

/*
 * Sets a value to an object of a single key.
 */
void
json_set_single(JsonbValue *value, const char *key, const JsonbValue *content)
{
	JsonbPair *pair = palloc0(sizeof(JsonbPair));

	json_set_text(&pair->key, key);
	pair->value = *content;
	json_set_object(value, pair, 1);
}
