/*
 * ready.c
 *	  Whether storing makes sense now.
 */
#include "store/store.h"

#include <sys/statvfs.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#define SPACE_KEPT (UINT64CONST(1) << 30)

/* What a look at the database found. */
typedef struct Found
{
	bool has_tables;
	bool is_published;
} Found;

/*
 * Tells whether a publication FOR ALL TABLES is in the database: it would
 * publish the record, and stop subscribers that lack its tables.
 */
static bool
is_published(void)
{
	static SPIPlanPtr plan;

	if (!plan)
	{
		plan = SPI_prepare("SELECT FROM pg_publication WHERE puballtables", 0, NULL);
		if (!plan || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare to look at publications");
	}
	if (SPI_execute_plan(plan, NULL, NULL, true, 1) < 0)
		elog(ERROR, "could not look at publications");
	return SPI_processed > 0;
}

/*
 * Looks at the database, and sees to the session ids while it is at it.
 */
static Found
look(void)
{
	Found found;

	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	found.has_tables = tables_exist();
	found.is_published = found.has_tables && is_published();
	ids_ensure(found.has_tables);
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	return found;
}

/*
 * Tells whether the data directory's file system has room for rows.
 */
static bool
has_space(void)
{
	struct statvfs fs;
	uint64 kept;

	if (statvfs(DataDir, &fs) != 0)
		return true;
	kept = Min((uint64) fs.f_blocks * fs.f_frsize / 20, SPACE_KEPT);
	return (uint64) fs.f_bavail * fs.f_frsize >= kept;
}

/*
 * Looks whether storing makes sense now, and shows why if not.
 */
bool
ready_to_store(void)
{
	Found found;

	if (RecoveryInProgress())
	{
		writer_set_state(WRITER_STANDBY);
		(void) look();
		return false;
	}
	found = look();
	if (!found.has_tables)
		writer_error(WRITER_WAITING_EXTENSION,
		             "extension \"pgwire_trace\" is not in database \"%s\": run CREATE "
		             "EXTENSION pgwire_trace there",
		             connect_name());
	else if (found.is_published)
		writer_error(WRITER_REFUSED,
		             "database \"%s\" has a publication FOR ALL TABLES, which would "
		             "publish the record: name its tables instead, or record into "
		             "another database",
		             connect_name());
	else if (!has_space())
		writer_error(WRITER_WAITING_DISK, "the data directory's file system is nearly full");
	else
		return true;
	return false;
}
