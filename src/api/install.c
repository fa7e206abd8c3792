/*
 * install.c
 *	  What the install script asks: may the extension be created here?
 *
 * Without the library in shared_preload_libraries nothing would be recorded, so
 * CREATE EXTENSION fails and says what to write where.
 */
#include "server/server.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(pgwire_trace_check_installation);

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
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("pgwire_trace records into database \"%s\", not into this one, \"%s\"",
		                pgwt_database, here),
		         errhint("Run CREATE EXTENSION pgwire_trace in database \"%s\", or run ALTER "
		                 "SYSTEM SET pgwire_trace.database = %s; and SELECT pg_reload_conf();",
		                 pgwt_database, quote_literal_cstr(here))));
	PG_RETURN_VOID();
}
