/*
 * types.c
 *	  Names of types that users made.
 */
#include "replay/types.h"

#include <stdlib.h>
#include <string.h>

/*
 * Adds a type.
 */
bool
types_add(UserTypes *names, uint32_t oid, const char *name)
{
	if (names->count == names->size)
	{
		size_t size = names->size ? names->size * 2 : 64;
		UserType *grown = realloc(names->list, size * sizeof(UserType));

		if (!grown)
			return false;
		names->list = grown;
		names->size = size;
	}
	names->list[names->count] = (UserType){oid, strdup(name)};
	return names->list[names->count++].name != NULL;
}

/*
 * Compares two types by their OIDs.
 */
static int
by_oid(const void *a, const void *b)
{
	uint32_t left = ((const UserType *) a)->oid;
	uint32_t right = ((const UserType *) b)->oid;

	return left < right ? -1 : left > right;
}

/*
 * Compares two types by their names.
 */
static int
by_name(const void *a, const void *b)
{
	return strcmp(((const UserType *) a)->name, ((const UserType *) b)->name);
}

/*
 * Ends a list that all types are in.
 */
void
types_sort(UserTypes *names)
{
	names->is_whole = true;
	if (names->count == 0)
		return;
	qsort(names->list, names->count, sizeof(UserType), by_oid);
	names->named = malloc(names->count * sizeof(UserType));
	if (!names->named)
		return;
	memcpy(names->named, names->list, names->count * sizeof(UserType));
	qsort(names->named, names->count, sizeof(UserType), by_name);
}

/*
 * Frees a list.
 */
void
types_free(UserTypes *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->list[i].name);
	free(names->list);
	free(names->named);
	memset(names, 0, sizeof(*names));
}

/*
 * Returns the name of a type.
 */
const char *
types_find(const UserTypes *names, uint32_t oid)
{
	UserType key = {oid, NULL};
	const UserType *found;

	if (!names || !names->is_whole || names->count == 0)
		return NULL;
	found = bsearch(&key, names->list, names->count, sizeof(UserType), by_oid);
	return found ? found->name : NULL;
}

/*
 * Tells whether two types are the same; see types.h.
 */
bool
types_are_same(const UserTypes *left, uint32_t left_oid, const UserTypes *right, uint32_t right_oid)
{
	const char *before;
	const char *after;

	if (left_oid < TYPES_FIRST_USER_OID || right_oid < TYPES_FIRST_USER_OID)
		return left_oid == right_oid;
	before = types_find(left, left_oid);
	after = types_find(right, right_oid);
	return !before || !after || strcmp(before, after) == 0;
}

/*
 * Tells whether no OID is one type here and another one there.
 */
bool
types_agree(const UserTypes *left, const UserTypes *right)
{
	for (size_t i = 0; i < left->count; i++)
		if (!types_are_same(left, left->list[i].oid, right, left->list[i].oid))
			return false;
	return true;
}

/*
 * Returns the number that a type of one list has in another.
 */
uint32_t
types_translate(const UserTypes *from, uint32_t oid, const UserTypes *to)
{
	UserType key = {0, (char *) types_find(from, oid)};
	const UserType *found = NULL;

	if (key.name && to && to->named)
		found = bsearch(&key, to->named, to->count, sizeof(UserType), by_name);
	return found ? found->oid : oid;
}
