/*
 * utility.c
 *	  Lets the writer go before a command that needs its database to itself.
 *
 * DROP, RENAME, SET TABLESPACE and use as a TEMPLATE fail while somebody is
 * connected.  Before one of these runs on the writer's database the writer is
 * ended, and none is started until the command is over, or for some seconds if
 * its end can't be told.
 */
#include "server/server.h"

#include <signal.h>

#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

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
			return ((AlterDatabaseStmt *) statement)->dbname;
		default:
			return NULL;
	}
}

/*
 * Ends the writer and waits until it is gone, for a bounded time: the command
 * itself then says what is in its way.
 */
static void
end_writer(void)
{
	for (int i = 0; i < WAIT_STEPS; i++)
	{
		pid_t pid = (pid_t) atomic_load(&pgwt_board->writer.pid);

		if (pid == 0)
			return;
		if (i % 10 == 0)
			kill(pid, SIGTERM);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Hook: a utility command is about to run.
 */
static void
on_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
		   ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		   DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_hook ? previous_hook : standard_ProcessUtility;
	const char *database = database_needed(planned->utilityStmt);
	bool holds = database && strcmp(database, pgwt_database) == 0;

	if (!holds)
	{
		next(planned, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	atomic_store(&pgwt_board->writer_hold_until, pgwt_now() + HOLD_US);
	/* PG_TRY: the board is not the server's, nothing else would let the writer back */
	PG_TRY();
	{
		end_writer();
		next(planned, query, read_only_tree, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		atomic_store(&pgwt_board->writer_hold_until, 0);
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
