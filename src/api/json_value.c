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

#include "utils/builtins.h"
#include "utils/numeric.h"

/* What a value takes besides its text, at most. */
#define OVERHEAD 64

/* jsonb keeps lengths in 28 bits; a margin for what OVERHEAD leaves out. */
#define LIMIT ((size_t) 0x0FFFFFFF - 1024 * 1024)

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
json_set_bytes(JsonbValue *value, const ReadEncoding *encoding, JsonBudget *budget, WireSpan bytes,
               bool is_binary)
{
	size_t len;
	const char *text = NULL;
	JsonbValue hex;

	if (bytes.len > LIMIT)
		return false;
	if (!is_binary && (text = read_text(encoding, bytes, &len)))
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
