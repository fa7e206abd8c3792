/*
 * init.c
 *	  _PG_init: settings, the board, the hooks, the supervisor.
 *
 * Loaded in any other way than by shared_preload_libraries the library offers
 * its SQL functions and nothing else; CREATE EXTENSION says what to do then.
 */
#include "server/server.h"

#include <sys/mman.h>

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

PG_MODULE_MAGIC;

Board *pgwt_board = NULL;

PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(pgwire_trace_check_installation);

/*
 * Makes the board: shared by all processes forked from here on, and, since it is
 * not the server's shared memory, kept by relays that have left that.
 */
static Board *
make_board(void)
{
	uint32 slots = (uint32) pgwt_max_sessions * 2;
	Board *board =
	    mmap(NULL, BOARD_SIZE(slots), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (board == MAP_FAILED)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY),
		                errmsg("could not map %zu bytes of memory for pgwire_trace: %m",
		                       BOARD_SIZE(slots)),
		                errhint("Reduce \"pgwire_trace.max_sessions\".")));
	board->slot_count = slots;
	board->relay_count = (uint32) pgwt_relay_processes;
	return board;
}

/*
 * Starts up, in the postmaster alone: neither in a single-user server, nor in
 * those that pg_upgrade runs, which would start workers like any other.
 */
void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	settings_define();
	if (IsBinaryUpgrade || !IsPostmasterEnvironment)
		return;
	pgwt_board = make_board();
	auth_install();
	utility_install();
	supervisor_register();
}

/*
 * Raises 55000 where the library was not preloaded.
 */
void
pgwt_require_preloaded(void)
{
	if (pgwt_board)
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("pgwire_trace must be loaded via \"shared_preload_libraries\""),
	                errhint("Add pgwire_trace to \"shared_preload_libraries\" in "
	                        "postgresql.conf and restart the server.")));
}

/*
 * Appends an item to both ways of writing a list.
 */
static void
append_library(StringInfo in_file, StringInfo in_command, const char *name)
{
	const char *separator = in_file->len > 0 ? ", " : "";

	appendStringInfo(in_file, "%s%s", separator, name);
	appendStringInfo(in_command, "%s%s", separator, quote_literal_cstr(name));
}

/*
 * Raises 55000 where the library was not preloaded, and says what to write where
 * so that it is, next to the libraries that are loaded already.
 */
static void
refuse_installation(void)
{
	const char *libraries = GetConfigOption("shared_preload_libraries", true, false);
	const char *file = GetConfigOption("config_file", true, false);
	StringInfoData in_file;
	StringInfoData in_command;
	List *names = NIL;
	ListCell *cell;

	initStringInfo(&in_file);
	initStringInfo(&in_command);
	if (libraries && SplitDirectoriesString(pstrdup(libraries), ',', &names))
		foreach (cell, names)
			append_library(&in_file, &in_command, lfirst(cell));
	append_library(&in_file, &in_command, "pgwire_trace");
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("pgwire_trace must be loaded via \"shared_preload_libraries\""),
	                errdetail("It was not loaded when the server started."),
	                errhint("In file \"%s\" set shared_preload_libraries = '%s', or run ALTER "
	                        "SYSTEM SET shared_preload_libraries = %s; then restart the server.",
	                        file ? file : "postgresql.conf", in_file.data, in_command.data)));
}

/*
 * Checks for the install script that the extension can work, and says so when the
 * record goes to another database than this one.
 */
Datum
pgwire_trace_check_installation(PG_FUNCTION_ARGS)
{
	const char *here = get_database_name(MyDatabaseId);

	if (!pgwt_board)
		refuse_installation();
	if (here && strcmp(here, pgwt_database) != 0)
		ereport(WARNING,
		        (errmsg("pgwire_trace records into database \"%s\", not into this one, \"%s\"",
		                pgwt_database, here),
		         errhint("Run CREATE EXTENSION pgwire_trace in database \"%s\", or run ALTER "
		                 "SYSTEM SET pgwire_trace.database = %s; and SELECT pg_reload_conf();",
		                 pgwt_database, quote_literal_cstr(here))));
	PG_RETURN_VOID();
}

/*
 * Returns the time as the board counts it.
 */
int64
pgwt_now(void)
{
	return GetCurrentTimestamp();
}
