/*
 * explain.c
 *	  The plan that a recorded statement would get now.
 *
 * Planning runs code: a literal is read by its type's input, constants are folded by
 * calling functions, checks of domains among them.  So everything from parse analysis on
 * is done as the recorded role, restricted, in a subtransaction that is undone.  Where
 * that role is a superuser it would run whatever anybody wrote, as superuser; then the
 * database must not have functions, operators, types or tables of others at all.  Whether
 * it has is asked when the statement's names have become objects, so nobody can put one in
 * between; and that is done as a role that can find all names, but owns and may change
 * nothing.
 */
#include "read/explain.h"

#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/explain.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "read/guard.h"
#include "read/value.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

/* Whether the database has what a role that is no superuser could have put code into. */
#define OTHERS_QUERY                                                                        \
	"SELECT 1 FROM pg_catalog.pg_roles r WHERE NOT r.rolsuper AND ("                        \
	"EXISTS (SELECT 1 FROM pg_catalog.pg_proc WHERE proowner OPERATOR(pg_catalog.=) r.oid " \
	"AND oid OPERATOR(pg_catalog.>=) 16384) OR "                                            \
	"EXISTS (SELECT 1 FROM pg_catalog.pg_operator WHERE oprowner OPERATOR(pg_catalog.=) "   \
	"r.oid AND oid OPERATOR(pg_catalog.>=) 16384) OR "                                      \
	"EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relowner OPERATOR(pg_catalog.=) "      \
	"r.oid AND oid OPERATOR(pg_catalog.>=) 16384) OR "                                      \
	"EXISTS (SELECT 1 FROM pg_catalog.pg_type WHERE typowner OPERATOR(pg_catalog.=) r.oid " \
	"AND oid OPERATOR(pg_catalog.>=) 16384)) LIMIT 1"

/* A statement being explained. */
typedef struct Explaining
{
	ReadSession *session;
	const char *query;
	int count; /* of parameters */
	const Oid *types;
	const ReadBytes *bytes;
	List *lines;
	DestReceiver receiver; /* adds to `current`'s lines */
} Explaining;

/* A DestReceiver has no argument of ours. */
static Explaining *current;

/*
 * Raises that a statement can't be explained, and why.
 */
static void
refuse(const ReadRun *run, const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("statement %d of recorded exchange %lld cannot be explained",
	                       run->statement_no, (long long) run->exchange->exchange_no),
	                errdetail_internal("%s", detail)));
}

/*
 * Tells whether roles that are no superusers own anything here, at this moment: names are
 * looked up in what is there now, whatever the transaction's snapshot.
 */
static bool
others_own_something(void)
{
	bool found;

	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute(OTHERS_QUERY, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the catalogs");
	found = SPI_processed > 0;
	SPI_freetuptable(SPI_tuptable);
	PopActiveSnapshot();
	return found;
}

/*
 * Raises unless a statement and its role allow that it is explained.
 */
static void
check(const ReadSession *session, const ReadRun *run)
{
	const char *problem = read_role_problem(session);

	if (!session->is_here)
		refuse(run, psprintf("It ran in database \"%s\".",
		                     session->database_name ? session->database_name : ""));
	if (run->kind == READ_RUN_CALL)
		refuse(run, "It is a function call.");
	if (!run->query)
		refuse(run, "Its text is not known.");
	if (!run->exchange->has_bytes)
		refuse(run, "It was recorded without its values.");
	if (problem)
		refuse(run, psprintf("It is planned as the role that ran it: %s.", problem));
}

/*
 * Takes a row of the plan.
 */
static bool
take_line(TupleTableSlot *slot, DestReceiver *self)
{
	bool is_null;
	Datum value = slot_getattr(slot, 1, &is_null);

	if (!is_null)
		current->lines = lappend(current->lines, TextDatumGetCString(value));
	return true;
}

static void
begin_lines(DestReceiver *self, int operation, TupleDesc columns)
{
}

static void
end_lines(DestReceiver *self)
{
}

/*
 * Returns the statement to explain: what a cursor or a new table is made from counts.
 */
static RawStmt *
parse(const char *query)
{
	List *statements = raw_parser(query, RAW_PARSE_DEFAULT);
	RawStmt *raw;

	if (list_length(statements) != 1)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("it is %d statements", list_length(statements))));
	raw = linitial_node(RawStmt, statements);
	if (IsA(raw->stmt, DeclareCursorStmt))
		raw->stmt = ((DeclareCursorStmt *) raw->stmt)->query;
	else if (IsA(raw->stmt, CreateTableAsStmt))
		raw->stmt = ((CreateTableAsStmt *) raw->stmt)->query;
	if (IsA(raw->stmt, SelectStmt))
		((SelectStmt *) raw->stmt)->intoClause = NULL;
	else if (!IsA(raw->stmt, InsertStmt) && !IsA(raw->stmt, UpdateStmt) &&
	         !IsA(raw->stmt, DeleteStmt) && !IsA(raw->stmt, MergeStmt))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("it is no statement that has a plan")));
	return raw;
}

/*
 * Returns a parameter's value as text of a type, which parse analysis may have found.
 */
static char *
parameter_text(const Explaining *explaining, int number, Oid type)
{
	ReadBytes bytes = explaining->bytes[number];
	StringInfoData out;
	char *text;

	initStringInfo(&out);
	if (bytes.format == 1)
	{
		value_append(explaining->session, type, bytes.bytes, &out);
		return out.data;
	}
	text = read_string(explaining->session, bytes.bytes);
	if (!text)
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
		                errmsg("the value of parameter %d is no text", number + 1)));
	return text;
}

/*
 * Makes the parameters of a statement from the recorded values.
 */
static ParamListInfo
make_parameters(const Explaining *explaining, const Oid *types, int count)
{
	ParamListInfo list = makeParamList(count);

	for (int i = 0; i < count; i++)
	{
		ParamExternData *parameter = &list->params[i];
		char *text = NULL;
		Oid function;
		Oid io_parameter;

		if (i >= explaining->count)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("parameter %d was not bound", i + 1)));
		parameter->ptype = OidIsValid(types[i]) ? types[i] : TEXTOID;
		parameter->pflags = PARAM_FLAG_CONST;
		parameter->isnull = explaining->bytes[i].bytes.data == NULL;
		if (!parameter->isnull)
			text = parameter_text(explaining, i, parameter->ptype);
		getTypeInputInfo(parameter->ptype, &function, &io_parameter);
		parameter->value = OidInputFunctionCall(function, text, io_parameter, -1);
	}
	return list;
}

/*
 * Gives this process a setting that names and constants are read by.
 */
static void
apply_setting(ReadSetting setting, const char *value)
{
	set_config_option(read_setting_names[setting], value, PGC_USERSET, PGC_S_SESSION,
	                  GUC_ACTION_SAVE, true, ERROR, false);
}

/*
 * Returns the session's search path; "$user" is the recorded role whoever looks names up.
 */
static char *
search_path(const ReadSession *session)
{
	const char *path = session->settings[READ_SEARCH_PATH];
	List *schemas;
	ListCell *cell;
	StringInfoData out;

	if (!SplitIdentifierString(pstrdup(path ? path : "\"$user\", public"), ',', &schemas))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("its search path is none: %s", path)));
	initStringInfo(&out);
	foreach (cell, schemas)
	{
		const char *schema = lfirst(cell);

		if (strcmp(schema, "$user") == 0)
			schema = session->user_name;
		appendStringInfo(&out, "%s%s", out.len > 0 ? ", " : "", quote_identifier(schema));
	}
	return out.data;
}

/*
 * Makes a tree of the statement's objects.
 */
static Query *
analyse(const Explaining *explaining, Oid **types, int *count)
{
	const ReadSession *session = explaining->session;
	bool is_superuser = superuser_arg(session->role);
	ReadRole before;
	Query *query;

	read_role_enter(is_superuser ? ROLE_PG_READ_ALL_DATA : session->role, &before);
	query =
	    parse_analyze_varparams(parse(explaining->query), explaining->query, types, count, NULL);
	read_role_leave(&before);
	if (is_superuser && others_own_something())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("it was run by superuser \"%s\", and could run functions of other "
		                       "roles as such",
		                       session->user_name)));
	return query;
}

/*
 * Explains a statement as the recorded role.
 */
static void
explain(void *arg)
{
	Explaining *explaining = arg;
	ExplainStmt *statement = makeNode(ExplainStmt);
	ParseState *state = make_parsestate(NULL);
	ReadRole before;
	int count = explaining->count;
	Oid *types = palloc(sizeof(Oid) * Max(count, 1));

	memcpy(types, explaining->types, sizeof(Oid) * count);
	apply_setting(READ_SEARCH_PATH, search_path(explaining->session));
	apply_setting(READ_STANDARD_STRINGS, explaining->session->standard_strings ? "on" : "off");
	PushActiveSnapshot(GetTransactionSnapshot());
	statement->query = (Node *) analyse(explaining, &types, &count);
	state->p_sourcetext = explaining->query;
	current = explaining;
	read_role_enter(explaining->session->role, &before);
	ExplainQuery(state, statement, make_parameters(explaining, types, count),
	             &explaining->receiver);
	PopActiveSnapshot();
	read_role_leave(&before);
}

/*
 * Returns the lines of the plan; see explain.h.
 */
List *
read_explain(ReadSession *session, const ReadRun *run)
{
	Explaining explaining = {.session = session, .query = run->query};
	ReadBytes *bytes;
	Oid *types;
	ErrorData *error;

	check(session, run);
	explaining.count = read_parameters(session, run, &bytes);
	types = palloc(sizeof(Oid) * Max(explaining.count, 1));
	for (int i = 0; i < explaining.count; i++)
		types[i] = bytes[i].type;
	explaining.bytes = bytes;
	explaining.types = types;
	explaining.receiver = (DestReceiver){.receiveSlot = take_line,
	                                     .rStartup = begin_lines,
	                                     .rShutdown = end_lines,
	                                     .rDestroy = end_lines,
	                                     .mydest = DestNone};
	read_session_apply(session);
	if (!read_guard_undone(session, explain, &explaining, &error))
		refuse(run, psprintf("Planning it fails: %s.", error->message));
	return explaining.lines;
}
