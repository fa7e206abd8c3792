/*
 * known.c
 *	  Prepared statements and portals of a session, as of the message that is read.
 *
 * Names are cut to NAMEDATALEN - 1 bytes, as the server's own tables do.  A statement
 * has a memory context of its own and counts who uses it: a portal goes on running what
 * it was bound to when the name means something else.
 */
#include "read/read.h"

#include "utils/memutils.h"

/* A name and what it means. */
typedef struct StatementEntry
{
	char name[NAMEDATALEN]; /* key */
	ReadStatement *statement;
} StatementEntry;

/*
 * Makes a table by name.
 */
static HTAB *
make_table(MemoryContext context, const char *what, Size entry_size)
{
	HASHCTL control = {.keysize = NAMEDATALEN, .entrysize = entry_size};

	control.hcxt = context;
	return hash_create(what, 32, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/*
 * Makes the tables of a session, in a context under the present one.
 */
ReadKnown *
read_known_create(void)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "prepared statements", ALLOCSET_DEFAULT_SIZES);
	ReadKnown *known = MemoryContextAllocZero(context, sizeof(ReadKnown));

	known->context = context;
	known->statements = make_table(context, "statements", sizeof(StatementEntry));
	known->portals = make_table(context, "portals", sizeof(ReadPortal));
	return known;
}

/*
 * Gives up one use of a statement; the last one frees it.
 */
static void
release(ReadStatement *statement)
{
	if (statement && --statement->users == 0)
		MemoryContextDelete(statement->context);
}

/*
 * Returns the statement of a name; NULL: none is known.
 */
ReadStatement *
read_known_statement(ReadKnown *known, const char *name)
{
	StatementEntry *entry = hash_search(known->statements, name, HASH_FIND, NULL);

	return entry ? entry->statement : NULL;
}

/*
 * Makes a statement in place of one with this name.
 */
ReadStatement *
read_known_prepare(ReadKnown *known, const char *name, const char *query)
{
	MemoryContext context =
	    AllocSetContextCreate(known->context, "prepared statement", ALLOCSET_SMALL_SIZES);
	ReadStatement *statement = MemoryContextAllocZero(context, sizeof(ReadStatement));
	StatementEntry *entry;
	bool found;

	statement->context = context;
	statement->users = 1;
	statement->name = MemoryContextStrdup(context, name);
	statement->query = query ? MemoryContextStrdup(context, query) : NULL;
	statement->is_current = true;
	entry = hash_search(known->statements, name, HASH_ENTER, &found);
	if (found)
		release(entry->statement);
	entry->statement = statement;
	return statement;
}

/*
 * Forgets the statement of a name.
 */
void
read_known_drop(ReadKnown *known, const char *name)
{
	StatementEntry *entry = hash_search(known->statements, name, HASH_FIND, NULL);

	if (!entry)
		return;
	release(entry->statement);
	hash_search(known->statements, name, HASH_REMOVE, NULL);
}

/*
 * Forgets all named statements, as DEALLOCATE ALL does.
 */
void
read_known_drop_all(ReadKnown *known)
{
	HASH_SEQ_STATUS scan;
	StatementEntry *entry;

	hash_seq_init(&scan, known->statements);
	while ((entry = hash_seq_search(&scan)))
	{
		if (entry->name[0] == '\0')
			continue;
		release(entry->statement);
		hash_search(known->statements, entry->name, HASH_REMOVE, NULL);
	}
}

/*
 * Returns the portal of a name; NULL: none is known.
 */
ReadPortal *
read_known_portal(ReadKnown *known, const char *name)
{
	return hash_search(known->portals, name, HASH_FIND, NULL);
}

/*
 * Makes a portal in place of one with this name.
 */
ReadPortal *
read_known_bind(ReadKnown *known, const char *name, ReadStatement *statement, WireSpan bind)
{
	bool found;
	ReadPortal *portal = hash_search(known->portals, name, HASH_ENTER, &found);

	if (!found)
	{
		portal->statement = NULL;
		portal->bind = (WireSpan){NULL, 0};
		portal->bind_size = 0;
	}
	statement->users++;
	release(portal->statement);
	portal->statement = statement;
	portal->is_suspended = false;
	if (bind.len > portal->bind_size)
	{
		if (portal->bind.data)
			pfree(unconstify(uint8 *, portal->bind.data));
		portal->bind_size = Max(bind.len, 64);
		portal->bind.data = MemoryContextAllocHuge(known->context, portal->bind_size);
	}
	if (bind.len > 0)
		memcpy(unconstify(uint8 *, portal->bind.data), bind.data, bind.len);
	portal->bind.len = bind.len;
	return portal;
}

/*
 * Frees what a portal holds.
 */
static void
empty_portal(ReadPortal *portal)
{
	release(portal->statement);
	if (portal->bind.data)
		pfree(unconstify(uint8 *, portal->bind.data));
}

/*
 * Forgets the portal of a name.
 */
void
read_known_drop_portal(ReadKnown *known, const char *name)
{
	ReadPortal *portal = read_known_portal(known, name);

	if (!portal)
		return;
	empty_portal(portal);
	hash_search(known->portals, name, HASH_REMOVE, NULL);
}

/*
 * Forgets all portals: their transaction is over.
 */
void
read_known_drop_portals(ReadKnown *known)
{
	HASH_SEQ_STATUS scan;
	ReadPortal *portal;

	if (hash_get_num_entries(known->portals) == 0)
		return;
	hash_seq_init(&scan, known->portals);
	while ((portal = hash_seq_search(&scan)))
	{
		empty_portal(portal);
		hash_search(known->portals, portal->name, HASH_REMOVE, NULL);
	}
}

/*
 * Notes that something was not recorded; see read.h.
 */
void
read_known_doubt(ReadKnown *known)
{
	HASH_SEQ_STATUS scan;
	StatementEntry *entry;

	hash_seq_init(&scan, known->statements);
	while ((entry = hash_seq_search(&scan)))
		entry->statement->is_current = false;
	read_known_drop_portals(known);
}
