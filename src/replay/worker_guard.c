/*
 * worker_guard.c
 *	  What keeps others from using a replay's worker, which is a superuser.
 *
 * A database's owner sets its settings, and whoever owns a table, or may make triggers
 * on it, decides what runs when it is written.  So settings are pinned, the tables must
 * be the extension's, and triggers do not fire.
 */
#include "replay/worker.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/guc.h"

/*
 * Pins what the database or a role may have set to something else.  A server without
 * one of the settings has no need of it.
 */
void
replay_guard_settings(void)
{
	static const char *const settings[][2] = {{"role", "none"},
	                                          {"search_path", "pg_catalog"},
	                                          {"session_replication_role", "replica"},
	                                          {"statement_timeout", "0"},
	                                          {"lock_timeout", "0"},
	                                          {"transaction_timeout", "0"},
	                                          {"idle_in_transaction_session_timeout", "0"},
	                                          {"default_transaction_read_only", "off"},
	                                          {"default_transaction_deferrable", "off"},
	                                          {"default_transaction_isolation", "read committed"},
	                                          {"exit_on_error", "off"},
	                                          {"row_security", "off"},
	                                          {"synchronous_commit", "off"},
	                                          {"DateStyle", "ISO"},
	                                          {"TimeZone", "UTC"}};

	SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true); /* a database may have set another */
	for (size_t i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false))
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Locks the tables that the worker writes, or only the runs', and raises an error where one
 * is not the extension's: who drops that may leave others of the same name.
 */
void
replay_guard_tables(bool all)
{
	static const char *const tables[] = {"replay_run_state", "replay_run_session",
	                                     "replay_run_sent", "replay_run_unsent",
	                                     "replay_divergence"};
	Oid extension = get_extension_oid("pgwire_trace", true);

	for (size_t i = 0; i < (all ? lengthof(tables) : 1); i++)
	{
		RangeVar *range = makeRangeVar("pgwire_trace", (char *) tables[i], -1);
		Oid table = RangeVarGetRelid(range, RowExclusiveLock, true);

		if (!OidIsValid(extension) || !OidIsValid(table) ||
		    getExtensionOfObject(RelationRelationId, table) != extension)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
			                errmsg("extension \"pgwire_trace\" has no table \"%s\"", tables[i])));
	}
}
