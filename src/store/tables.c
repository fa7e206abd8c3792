/*
 * tables.c
 *	  The extension's tables, found and locked.
 *
 * The writer runs as a superuser, and whoever owns a table decides what its
 * triggers and defaults do.  So a table that only has the right name is not good
 * enough: it must be the extension's.
 */
#include "store/store.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

static const struct
{
	const char *name;
	LOCKMODE lock;
} tables_known[STORE_TABLES] = {{"session", RowExclusiveLock},
                                {"stored_exchange", RowExclusiveLock},
                                {"query_text", RowExclusiveLock},
                                {"journal_position", RowExclusiveLock},
                                {"quarantine", RowExclusiveLock},
                                /* whoever makes a partition locks it for as long as that takes */
                                {"partition", AccessShareLock}};

/*
 * Finds a table of the extension and locks it; InvalidOid where it is not there.
 */
static Oid
find_table(StoreTable table, Oid extension, LOCKMODE lock)
{
	RangeVar *range = makeRangeVar("pgwire_trace", (char *) tables_known[table].name, -1);
	Oid oid = RangeVarGetRelid(range, lock, true);

	if (OidIsValid(oid) && getExtensionOfObject(RelationRelationId, oid) != extension)
		return InvalidOid;
	return oid;
}

/*
 * Tells whether the extension and its tables are in the database.
 */
bool
tables_exist(void)
{
	Oid extension = get_extension_oid("pgwire_trace", true);

	if (!OidIsValid(extension))
		return false;
	for (int i = 0; i < STORE_TABLES; i++)
		if (!OidIsValid(find_table((StoreTable) i, extension, NoLock)))
			return false;
	return true;
}

/*
 * Locks the extension's tables, always in the same order.
 */
void
tables_lock(Oid tables[STORE_TABLES])
{
	Oid extension = get_extension_oid("pgwire_trace", true);

	for (int i = 0; i < STORE_TABLES; i++)
	{
		tables[i] = OidIsValid(extension)
		                ? find_table((StoreTable) i, extension, tables_known[i].lock)
		                : InvalidOid;
		if (!OidIsValid(tables[i]))
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
			                errmsg("extension \"pgwire_trace\" has no table \"%s\"",
			                       tables_known[i].name)));
	}
}
