/*
 * utility.c
 *	  Lets the writer go before a command that needs its database to itself.
 *
 * DROP, RENAME, SET TABLESPACE and use as a TEMPLATE fail while somebody is
 * connected.  Before one of these runs on the writer's database the writer is
 * ended, and the supervisor starts none until the command is over, or for some
 * seconds should the backend die in it.  What follows needs no help: a writer
 * that connects waits for the command's lock on the database until the
 * transaction has ended, either way.
 *
 * The command sets the hold and then looks for a writer; the supervisor shows
 * that it starts a writer and then looks for a hold.  So one of the two always
 * sees the other.
 */
#include "server/server.h"

#include <signal.h>

#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"

#define HOLD_US INT64CONST(10000000)
#define WAIT_STEPS 500 /* of 10 ms */

static ProcessUtility_hook_type previous_hook = NULL;

/*
 * Returns the template that CREATE DATABASE names, or its default.
 */
static const char *
template_of(const CreatedbStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			return defGetString(option);
	}
	return "template1";
}

/*
 * Tells whether ALTER DATABASE is to move the database to another tablespace.
 */
static bool
sets_tablespace(const AlterDatabaseStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->options)
		if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
			return true;
	return false;
}

/*
 * Returns the database that a command needs to itself; NULL for none.
 */
static const char *
database_needed(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreatedbStmt:
			return template_of((CreatedbStmt *) statement);
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) statement)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			if (sets_tablespace((AlterDatabaseStmt *) statement))
				return ((AlterDatabaseStmt *) statement)->dbname;
			return NULL;
		default:
			return NULL;
	}
}

/*
 * Tells whether the role may create databases.
 */
static bool
may_create_databases(Oid role)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool may;

	if (!HeapTupleIsValid(tuple))
		return false;
	may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return may;
}

/*
 * Tells whether everybody may copy the database who may create one.
 */
static bool
is_template(Oid database)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool is;

	if (!HeapTupleIsValid(tuple))
		return false;
	is = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return is;
}

/*
 * Tells whether a command can succeed at all: others must not be able to send
 * the writer away by commands that they may not run.
 */
static bool
is_permitted(Node *statement, const char *database)
{
	Oid role = GetUserId();
	Oid oid = get_database_oid(database, true);
	bool owns;

	if (!OidIsValid(oid))
		return false;
	if (superuser())
		return true;
	owns = COMPAT_DATABASE_OWNERCHECK(oid, role);
	if (IsA(statement, CreatedbStmt))
		return may_create_databases(role) && (owns || is_template(oid));
	return owns;
}

/*
 * Ends the writer and waits until it is gone, for a bounded time: the command
 * itself then says what is in its way.
 */
static void
end_writer(void)
{
	for (int i = 0; i < WAIT_STEPS && atomic_load(&pgwt_board->writer_present); i++)
	{
		pid_t pid = (pid_t) atomic_load(&pgwt_board->writer.pid);

		if (pid != 0 && i % 10 == 0 && BackendPidGetProc(pid))
			kill(pid, SIGTERM);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
		                 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Tells whether the writer must be out of a command's way.
 */
static bool
needs_writer_gone(Node *statement)
{
	const char *database = database_needed(statement);

	return database && strcmp(database, pgwt_database) == 0 && is_permitted(statement, database);
}

/*
 * Runs a command as the server does.  A function of its own: what PG_TRY's longjmp
 * could clobber should not be a variable of the one that has it.
 */
static void
run_command(PlannedStmt *planned, const char *query, bool read_only_tree,
            ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
            DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_hook ? previous_hook : standard_ProcessUtility;

	next(planned, query, read_only_tree, context, params, environment, dest, completion);
}

/*
 * Hook: a utility command is about to run.
 */
static void
on_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
           ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
           DestReceiver *dest, QueryCompletion *completion)
{
	int64 hold;

	if (!needs_writer_gone(planned->utilityStmt))
	{
		run_command(planned, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	hold = pgwt_now() + HOLD_US;
	atomic_store(&pgwt_board->writer_hold_until, hold);
	/* PG_TRY: the board is not the server's, nothing else would let the writer back */
	PG_TRY();
	{
		end_writer();
		run_command(planned, query, read_only_tree, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		/* another command may hold it by now */
		atomic_compare_exchange_strong(&pgwt_board->writer_hold_until, &hold, 0);
	}
	PG_END_TRY();
}

/*
 * Installs the hook.
 */
void
utility_install(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
