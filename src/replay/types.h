/*
 * types.h
 *	  Names of types that users made, by which those of two servers are compared: their
 *	  OIDs are others in every database.
 *
 * Public routines:
 *		types_add, types_sort	a list in the making
 *		types_find				the name of a type
 *		types_are_same			whether a type of one list is one of another
 *		types_translate			the number that a type of one list has in another
 *		types_agree				whether an OID is the same type in both
 */
#ifndef REPLAY_TYPES_H
#define REPLAY_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types from here on are made by users. */
#define TYPES_FIRST_USER_OID 16384

/* Their OIDs and names, as text, in both servers' words. */
#define TYPES_QUERY                                                           \
	"SELECT t.oid AS type_oid, pg_catalog.quote_ident(n.nspname) || '.'"      \
	" || pg_catalog.quote_ident(t.typname) AS name FROM pg_catalog.pg_type t" \
	" JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"               \
	" WHERE t.oid >= 16384 AND n.nspname !~ '^pg_t(emp|oast)'"

typedef struct UserType
{
	uint32_t oid;
	char *name; /* schema and name, quoted where they need it */
} UserType;

typedef struct UserTypes
{
	UserType *list;  /* by OID, once it is whole */
	UserType *named; /* the same by name; NULL: no memory */
	size_t count;
	size_t size;
	bool is_whole; /* all are in it, and sorted */
	bool agrees;   /* of a target's: with the record's, see types_agree */
} UserTypes;

/* False: no memory. */
extern bool types_add(UserTypes *names, uint32_t oid, const char *name);
extern void types_sort(UserTypes *names);
extern void types_free(UserTypes *names);

/* NULL: it is not in the list. */
extern const char *types_find(const UserTypes *names, uint32_t oid);

/* Types that a list, which may be NULL, does not name count as the same. */
extern bool types_are_same(const UserTypes *left, uint32_t left_oid, const UserTypes *right,
                           uint32_t right_oid);

/* Whether types_are_same() of every OID and itself; both lists are sorted, or not whole. */
extern bool types_agree(const UserTypes *left, const UserTypes *right);

/* Returns the OID itself where a list does not name the type. */
extern uint32_t types_translate(const UserTypes *from, uint32_t oid, const UserTypes *to);

#endif /* REPLAY_TYPES_H */
