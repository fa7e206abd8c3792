/*
 * diff_body.c
 *	  Two bodies, value by value: where they differ, as in jsonpath.
 */
#include "api/diff.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

/* So many places are named. */
#define MOST_PLACES 3

/* Two bodies being compared. */
typedef struct Comparing
{
	StringInfoData places; /* the result */
	StringInfoData path;   /* to where the comparison is */
	int count;
} Comparing;

static void compare_containers(Comparing *comparing, JsonbContainer *left, JsonbContainer *right);

/*
 * Notes that the bodies differ here.
 */
static void
note_place(Comparing *comparing, const char *detail)
{
	comparing->count++;
	if (comparing->count > MOST_PLACES + 1)
		return;
	if (comparing->count > 1)
		appendStringInfoString(&comparing->places, ", ");
	if (comparing->count > MOST_PLACES)
		appendStringInfoString(&comparing->places, "...");
	else
		appendStringInfo(&comparing->places, "%s%s", comparing->path.data, detail);
}

/*
 * Tells whether two values that are no containers are the same.
 */
static bool
same_scalar(const JsonbValue *left, const JsonbValue *right)
{
	if (left->type != right->type)
		return false;
	switch (left->type)
	{
		case jbvNull:
			return true;
		case jbvBool:
			return left->val.boolean == right->val.boolean;
		case jbvNumeric:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(left->val.numeric),
			                                        NumericGetDatum(right->val.numeric)));
		case jbvString:
			return left->val.string.len == right->val.string.len &&
			       memcmp(left->val.string.val, right->val.string.val, left->val.string.len) == 0;
		default:
			return false;
	}
}

/*
 * Compares two values.
 */
static void
compare_values(Comparing *comparing, const JsonbValue *left, const JsonbValue *right)
{
	if (left->type == jbvBinary && right->type == jbvBinary &&
	    JsonContainerIsArray(left->val.binary.data) == JsonContainerIsArray(right->val.binary.data))
		compare_containers(comparing, left->val.binary.data, right->val.binary.data);
	else if (!same_scalar(left, right))
		note_place(comparing, "");
}

/*
 * Compares two arrays, element by element if there are as many.
 */
static void
compare_arrays(Comparing *comparing, JsonbContainer *left, JsonbContainer *right)
{
	uint32 count = JsonContainerSize(left);
	int path_len = comparing->path.len;

	if (count != JsonContainerSize(right))
	{
		note_place(comparing, psprintf(" (%u and %u elements)", count, JsonContainerSize(right)));
		return;
	}
	for (uint32 i = 0; i < count && comparing->count <= MOST_PLACES; i++)
	{
		appendStringInfo(&comparing->path, "[%u]", i);
		compare_values(comparing, getIthJsonbValueFromContainer(left, i),
		               getIthJsonbValueFromContainer(right, i));
		comparing->path.len = path_len;
		comparing->path.data[path_len] = '\0';
	}
}

/*
 * Compares what two objects have under the keys of the first; with only_missing,
 * notes those alone that the second does not have.
 */
static void
compare_keys(Comparing *comparing, JsonbContainer *left, JsonbContainer *right, bool only_missing)
{
	JsonbIterator *iterator = JsonbIteratorInit(left);
	JsonbIteratorToken token;
	JsonbValue key;
	int path_len = comparing->path.len;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		JsonbValue *mine;
		JsonbValue *other;

		if (token != WJB_KEY)
			continue;
		mine = getKeyJsonValueFromContainer(left, key.val.string.val, key.val.string.len, NULL);
		other = getKeyJsonValueFromContainer(right, key.val.string.val, key.val.string.len, NULL);
		if (path_len > 0)
			appendStringInfoChar(&comparing->path, '.');
		appendBinaryStringInfo(&comparing->path, key.val.string.val, key.val.string.len);
		if (!other)
			note_place(comparing, "");
		else if (!only_missing)
			compare_values(comparing, mine, other);
		comparing->path.len = path_len;
		comparing->path.data[path_len] = '\0';
	}
}

/*
 * Compares two arrays or two objects.
 */
static void
compare_containers(Comparing *comparing, JsonbContainer *left, JsonbContainer *right)
{
	if (JsonContainerIsArray(left))
		compare_arrays(comparing, left, right);
	else
	{
		compare_keys(comparing, left, right, false);
		compare_keys(comparing, right, left, true);
	}
}

/*
 * Returns the places in which two bodies differ; see diff.h.
 */
const char *
diff_places(const Jsonb *left, const Jsonb *right)
{
	Comparing comparing = {.count = 0};

	initStringInfo(&comparing.places);
	initStringInfo(&comparing.path);
	compare_containers(&comparing, unconstify(JsonbContainer *, &left->root),
	                   unconstify(JsonbContainer *, &right->root));
	return comparing.count > 0 ? comparing.places.data : "behind what is shown";
}
