/*
 * worker_read_only.c
 *	  What a request would do, by the server's own raw parser: whether it only reads,
 *	  what it makes of its session's state.
 *
 * A request is filtered when any statement in it is not known to read only.  What is
 * allowed is listed; what is not in the list is refused, so a kind of statement that
 * a later version brings is refused too.  What a function called by a SELECT does
 * cannot be seen here: default_transaction_read_only on the target is the second
 * net, and no more than that is promised.
 *
 * The texts are those of strangers: each must be read here as the target reads it, and
 * whatever is in it must not end the plan.
 */
#include "replay/worker.h"

#include "catalog/pg_collation.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "replay/outline.h"
#include "utils/formatting.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define NAME_SIZE NAMEDATALEN

/* A prepared statement, and why it is not read-only. */
typedef struct NamedStatement
{
	char name[NAME_SIZE]; /* key; longer names are cut, as the server does not */
	const char *reason;
} NamedStatement;

struct StatementKinds
{
	HTAB *statements;
};

/*
 * Makes an empty map of statements, one a session.
 */
StatementKinds *
replay_kinds_begin(void)
{
	StatementKinds *kinds = palloc0(sizeof(StatementKinds));
	HASHCTL control = {
	    .keysize = NAME_SIZE, .entrysize = sizeof(NamedStatement), .hcxt = CurrentMemoryContext};

	kinds->statements =
	    hash_create("replay statements", 64, &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	return kinds;
}

/*
 * Copies a statement's name, as the map has it.
 */
static void
copy_name(char name[NAME_SIZE], WireSpan from)
{
	memset(name, 0, NAME_SIZE);
	memcpy(name, from.data, Min(from.len, NAME_SIZE - 1));
}

/*
 * Returns a name as a span.
 */
static WireSpan
name_span(const char *name)
{
	return (WireSpan){(const uint8 *) name, strlen(name)};
}

/*
 * Notes a statement that is prepared, and why it is not read-only.
 */
static void
enter_statement(StatementKinds *kinds, WireSpan name, const char *reason)
{
	char key[NAME_SIZE];
	NamedStatement *statement;

	copy_name(key, name);
	statement = hash_search(kinds->statements, key, HASH_ENTER, NULL);
	statement->reason = reason;
}

/*
 * Judges what runs a prepared statement.  One that nobody saw may do anything.
 */
static const char *
judge_name(StatementKinds *kinds, WireSpan name)
{
	char key[NAME_SIZE];
	NamedStatement *statement;

	copy_name(key, name);
	statement = hash_search(kinds->statements, key, HASH_FIND, NULL);
	return statement ? statement->reason : "its statement was prepared out of sight";
}

/*
 * Tells whether a setting holds the read-only mode up, or says who the session is.
 */
static bool
is_guarded(const char *setting)
{
	static const char *const guarded[] = {"transaction_read_only", "default_transaction_read_only",
	                                      "role", "session_authorization"};

	for (size_t i = 0; i < lengthof(guarded); i++)
		if (pg_strcasecmp(setting, guarded[i]) == 0)
			return true;
	return false;
}

/*
 * Tells whether a function is called that sets a guarded setting, or one that only
 * shows when it runs.
 */
static bool
lifts_mode(const FuncCall *call)
{
	const Node *first = call->args == NIL ? NULL : linitial(call->args);

	if (strcmp(strVal(llast(call->funcname)), "set_config") != 0)
		return false;
	return !first || !IsA(first, A_Const) || !IsA(&((const A_Const *) first)->val, String) ||
	       is_guarded(strVal(&((const A_Const *) first)->val));
}

/*
 * Looks inside a query for what writes or locks.
 */
static bool
find_write(Node *node, void *arg)
{
	const char **reason = arg;

	if (node == NULL || *reason)
		return *reason != NULL;
	switch (nodeTag(node))
	{
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			*reason = "it changes rows";
			return true;
		case T_LockingClause:
			*reason = "it locks rows";
			return true;
		case T_FuncCall:
			if (lifts_mode((FuncCall *) node))
			{
				*reason = "it may lift the read-only mode";
				return true;
			}
			break;
		case T_SelectStmt:
			if (((SelectStmt *) node)->intoClause)
			{
				*reason = "it makes a table";
				return true;
			}
			break;
		default:
			break;
	}
	return raw_expression_tree_walker(node, find_write, arg);
}

static const char *why_not_read_only(StatementKinds *kinds, Node *statement);

/*
 * Judges EXPLAIN: with ANALYZE it runs its statement.
 */
static const char *
judge_explain(StatementKinds *kinds, ExplainStmt *explain)
{
	ListCell *cell;

	foreach (cell, explain->options)
		if (strcmp(((DefElem *) lfirst(cell))->defname, "analyze") == 0)
			return why_not_read_only(kinds, explain->query);
	return NULL;
}

/*
 * Judges COPY: out of a table or query to the client.
 */
static const char *
judge_copy(StatementKinds *kinds, CopyStmt *copy)
{
	if (copy->is_from)
		return "it copies in";
	if (copy->is_program || copy->filename)
		return "it copies to a program or file of the server";
	return copy->query ? why_not_read_only(kinds, copy->query) : NULL;
}

/*
 * Judges the characteristics of a transaction: not those of one that writes.
 */
static const char *
judge_transaction(List *options)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, "transaction_read_only") == 0 &&
		    !(option->arg && IsA(option->arg, A_Const) &&
		      intVal(&((A_Const *) option->arg)->val) != 0))
			return "it asks for a transaction that writes";
	}
	return NULL;
}

/*
 * Judges SET: not what would lift the read-only mode.
 */
static const char *
judge_set(VariableSetStmt *set)
{
	/* of the three with that kind, TRANSACTION SNAPSHOT has no characteristics */
	if (set->kind == VAR_SET_MULTI && strcmp(set->name, "TRANSACTION") == 0)
		return judge_transaction(set->args);
	if (set->kind == VAR_RESET_ALL || is_guarded(set->name) ||
	    (set->kind == VAR_SET_MULTI && strcmp(set->name, "SESSION CHARACTERISTICS") == 0))
		return "it may lift the read-only mode";
	return NULL;
}

/*
 * Returns why a statement is not read-only; NULL: it is.
 */
static const char *
why_not_read_only(StatementKinds *kinds, Node *statement)
{
	const char *reason = NULL;

	switch (nodeTag(statement))
	{
		case T_SelectStmt:
			find_write(statement, &reason);
			return reason;
		case T_ExplainStmt:
			return judge_explain(kinds, (ExplainStmt *) statement);
		case T_CopyStmt:
			return judge_copy(kinds, (CopyStmt *) statement);
		case T_TransactionStmt:
			switch (((TransactionStmt *) statement)->kind)
			{
				case TRANS_STMT_PREPARE:
				case TRANS_STMT_COMMIT_PREPARED:
				case TRANS_STMT_ROLLBACK_PREPARED:
					return "it is about a prepared transaction";
				default:
					return judge_transaction(((TransactionStmt *) statement)->options);
			}
		case T_VariableSetStmt:
			return judge_set((VariableSetStmt *) statement);
		case T_DeclareCursorStmt:
			return why_not_read_only(kinds, ((DeclareCursorStmt *) statement)->query);
		case T_PrepareStmt:
			reason = why_not_read_only(kinds, ((PrepareStmt *) statement)->query);
			enter_statement(kinds, name_span(((PrepareStmt *) statement)->name), reason);
			return reason;
		case T_ExecuteStmt:
			return judge_name(kinds, name_span(((ExecuteStmt *) statement)->name));
		case T_VariableShowStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
		case T_DeallocateStmt:
			return NULL;
		default:
			return "it is no kind of statement that only reads";
	}
}

/*
 * Parses a text in the current memory context.  False: it does not parse here.
 */
bool
replay_parse_text(const char *text, Size len, List **statements)
{
	MemoryContext context = CurrentMemoryContext;
	bool volatile parses = true;

	/* PG_TRY: recorded text may be anything; the parser holds nothing but memory */
	PG_TRY();
	{
		*statements = raw_parser(pnstrdup(text, len), RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		parses = false;
	}
	PG_END_TRY();
	return parses;
}

/*
 * Judges the statements of a text.
 */
static const char *
judge_statements(StatementKinds *kinds, List *statements)
{
	MemoryContext context = CurrentMemoryContext;
	const char *volatile reason = NULL;

	/* PG_TRY: an expression may be nested deeper than the walk through it can go */
	PG_TRY();
	{
		ListCell *cell;

		foreach (cell, statements)
			if (!reason)
				reason = why_not_read_only(kinds, ((RawStmt *) lfirst(cell))->stmt);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		reason = "it is nested too deep to tell";
	}
	PG_END_TRY();
	return reason;
}

/*
 * Tells whether a text reads differently by settings of its session; see worker.h.
 */
bool
replay_text_is_ambiguous(const char *text, Size len)
{
	for (Size i = 0; i < len; i++)
		if (text[i] == '\\' &&
		    ((i + 1 < len && text[i + 1] == '\'') || (i > 0 && IS_HIGHBIT_SET(text[i - 1]))))
			return true;
	return false;
}

/*
 * Judges a text.  One that does not parse here may on the target, and is refused.
 */
static const char *
judge_text(StatementKinds *kinds, WireSpan text)
{
	MemoryContext context;
	MemoryContext before;
	const char *reason;
	List *statements;

	if (replay_text_is_ambiguous((const char *) text.data, text.len))
		return "what it says depends on settings of its session";
	context = AllocSetContextCreate(CurrentMemoryContext, "replay parse", ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(context);
	reason = replay_parse_text((const char *) text.data, text.len, &statements)
	             ? judge_statements(kinds, statements)
	             : "it does not parse";
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	return reason;
}

/*
 * Tells whether a text is not known to only read; see worker.h.
 */
bool
replay_text_writes(StatementKinds *kinds, const char *text, Size len)
{
	return judge_text(kinds, (WireSpan){(const uint8 *) text, len}) != NULL;
}

/*
 * Tells whether a statement sets something for the rest of its session.
 */
static bool
is_session_set(Node *statement)
{
	VariableSetStmt *set = (VariableSetStmt *) statement;

	return IsA(statement, VariableSetStmt) && !set->is_local &&
	       !(set->kind == VAR_SET_MULTI && strcmp(set->name, "SESSION CHARACTERISTICS") != 0);
}

/*
 * Finds what a statement does to the state of its session.
 */
static StateChange
state_of(Node *statement)
{
	DeallocateStmt *deallocate = (DeallocateStmt *) statement;

	if (is_session_set(statement))
		return (StateChange){STATE_SET, NULL};
	if (IsA(statement, PrepareStmt))
		return (StateChange){STATE_PREPARE, ((PrepareStmt *) statement)->name};
	if (IsA(statement, DeallocateStmt))
		return deallocate->name ? (StateChange){STATE_DEALLOCATE, deallocate->name}
		                        : (StateChange){STATE_DEALLOCATE_ALL, NULL};
	if (IsA(statement, DiscardStmt) && ((DiscardStmt *) statement)->target == DISCARD_ALL)
		return (StateChange){STATE_DISCARD, NULL};
	return (StateChange){STATE_NONE, NULL};
}

/*
 * Finds what a text does to the state of its session; see worker.h.
 */
StateChange
replay_text_state(const char *text, Size len)
{
	StateChange change = {STATE_NONE, NULL};
	List *statements;
	ListCell *cell;

	if (!replay_parse_text(text, len, &statements) || statements == NIL)
		return change;
	change = state_of(linitial_node(RawStmt, statements)->stmt);
	if (list_length(statements) == 1)
		return change;
	foreach (cell, statements)
		if (!is_session_set(lfirst_node(RawStmt, cell)->stmt))
			change.kind = STATE_NONE;
	return change;
}

/*
 * Returns why a request is not read-only; see worker.h.
 */
const char *
replay_request_writes(StatementKinds *kinds, const uint8 *request, Size len)
{
	const char *reason = NULL;
	WireValue values[WIRE_MAX_FIELDS];
	WireMessageId id;
	WireSpan body;
	Size at = 0;
	Size used;

	/* to the end, whatever is found: what it prepares must be known */
	while ((used = outline_message(WIRE_FRONTEND, (WireSpan){request, len}, at, &id, &body)) > 0)
	{
		const char *found = NULL;

		at += used;
		wire_decode(id, body.data, body.len, values);
		if (id == WIRE_MSG_Query)
			found = judge_text(kinds, values[WIRE_Query_query].bytes);
		else if (id == WIRE_MSG_Parse)
		{
			found = judge_text(kinds, values[WIRE_Parse_query].bytes);
			enter_statement(kinds, values[WIRE_Parse_statement].bytes, found);
		}
		else if (id == WIRE_MSG_Bind)
			found = judge_name(kinds, values[WIRE_Bind_statement].bytes);
		else if (id == WIRE_MSG_FunctionCall)
			found = "it calls a function by its OID";
		if (!reason)
			reason = found;
	}
	return reason;
}

/*
 * Finds the next text of a request; false: there is none.
 */
static bool
next_text(const uint8 *request, Size len, Size *at, WireSpan *text)
{
	WireValue values[WIRE_MAX_FIELDS];
	WireMessageId id;
	WireSpan body;
	Size used;

	while ((used = outline_message(WIRE_FRONTEND, (WireSpan){request, len}, *at, &id, &body)) > 0)
	{
		*at += used;
		if (id != WIRE_MSG_Query && id != WIRE_MSG_Parse)
			continue;
		wire_decode(id, body.data, body.len, values);
		*text =
		    id == WIRE_MSG_Query ? values[WIRE_Query_query].bytes : values[WIRE_Parse_query].bytes;
		return true;
	}
	return false;
}

/*
 * Tells whether a statement could end a SET SESSION AUTHORIZATION.
 */
static bool
leaves_user(Node *statement)
{
	VariableSetStmt *set = (VariableSetStmt *) statement;

	if (IsA(statement, VariableSetStmt))
		return set->name && strcmp(set->name, "session_authorization") == 0;
	if (IsA(statement, PrepareStmt))
		return leaves_user(((PrepareStmt *) statement)->query);
	return IsA(statement, DiscardStmt) && ((DiscardStmt *) statement)->target == DISCARD_ALL;
}

/*
 * Tells whether a request could end a SET SESSION AUTHORIZATION; see worker.h.  A text
 * that does not parse here may on the target.
 */
bool
replay_request_leaves_user(const uint8 *request, Size len)
{
	bool found = false;
	WireSpan text;
	Size at = 0;

	while (!found && next_text(request, len, &at, &text))
	{
		char *lower = str_tolower((const char *) text.data, text.len, C_COLLATION_OID);
		List *statements = NIL;
		ListCell *cell;

		if (!strstr(lower, "authorization") && !strstr(lower, "discard"))
			continue;
		found = strstr(lower, "set_config") || strstr(lower, "pg_settings") ||
		        !replay_parse_text((const char *) text.data, text.len, &statements);
		foreach (cell, statements)
			found = found || leaves_user(lfirst_node(RawStmt, cell)->stmt);
	}
	return found;
}
