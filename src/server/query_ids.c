/*
 * query_ids.c
 *	  Tells the relay the query ids of what a traced session runs.
 *
 * The server's own query id joins the record to pg_stat_statements.  Only the
 * backend knows it, so it notes in its slot which id the text in hand has, when
 * the text's first statement begins; the relay looks the text up before it
 * records the exchange.  The text is that of the message (debug_query_string):
 * what functions run inside is left out by comparing with it, so no nesting has
 * to be counted.  An EXECUTE stands for the statement that it runs, as it does in
 * pg_stat_statements.
 *
 * The same hooks see to redaction (redaction.c).
 *
 * Nothing is noted while the server computes no ids (compute_query_id), or for
 * sessions on the main port.
 */
#include "server/server.h"

#include <xxhash.h>

#include "access/xact.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"

static ExecutorStart_hook_type previous_start = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* The message whose text was noted last: several statements of one have the first one's id. */
static uint64 noted_hash = 0;
static TimestampTz noted_at = 0;

/* An EXECUTE has begun: the statement that starts next is what it runs. */
static bool is_executing = false;

/*
 * Notes the id of the message's text, once a message.
 */
static void
note_id(uint64 query_id)
{
	size_t len = strlen(debug_query_string);
	uint64 hash = XXH3_64bits(debug_query_string, Min(len, BOARD_TEXT_HASHED));
	TimestampTz now = GetCurrentStatementStartTimestamp();

	if (hash == noted_hash && now == noted_at)
		return;
	noted_hash = hash;
	noted_at = now;
	board_set_query_id(pgwt_my_slot, hash, query_id);
}

/*
 * Tells whether a text is that of the message in hand.
 */
static bool
is_message(const char *text)
{
	return text && debug_query_string &&
	       (text == debug_query_string || strcmp(text, debug_query_string) == 0);
}

/*
 * Hook: a statement begins.
 */
static void
on_executor_start(QueryDesc *query, int flags)
{
	if (pgwt_my_slot)
		redaction_start(query->plannedstmt);
	if (pgwt_my_slot && query->plannedstmt->queryId != 0 &&
	    (is_message(query->sourceText) || (is_executing && debug_query_string)))
	{
		is_executing = false;
		note_id((uint64) query->plannedstmt->queryId);
	}
	if (previous_start)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/*
 * Hook: a utility command begins.
 */
static void
on_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
           ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
           DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_utility ? previous_utility : standard_ProcessUtility;

	if (pgwt_my_slot && context == PROCESS_UTILITY_TOPLEVEL)
	{
		redaction_command(planned->utilityStmt);
		is_executing = IsA(planned->utilityStmt, ExecuteStmt);
		if (!is_executing && planned->queryId != 0 && is_message(query))
			note_id((uint64) planned->queryId);
	}
	next(planned, query, read_only_tree, context, params, environment, dest, completion);
	if (context == PROCESS_UTILITY_TOPLEVEL)
	{
		is_executing = false;
		redaction_refresh(); /* it may have changed the catalog */
	}
}

/*
 * Installs the hooks.
 */
void
query_ids_install(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = on_executor_start;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
