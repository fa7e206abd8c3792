/*
 * script.c
 *	  A recorded session as a script for psql.
 *
 *	 - a Query goes as it was, all its statements at once (psql's \;)
 *	 - a named prepared statement is PREPAREd where it was parsed, an unnamed one with
 *	   parameters under a name of ours, and EXECUTEd with typed literals; what cannot be
 *	   PREPAREd has its literals put into the text
 *	 - statements without a Sync between them are one transaction, so they get BEGIN and
 *	   COMMIT around them
 *	 - errors are comments behind what failed; what can't be in a script is a comment
 *	   instead, and where it failed something fails there with the same SQLSTATE
 *	 - a COPY that does not begin leaves its data, which anybody may have sent, to older psql
 *	   as commands, and newer psql skips to some end of data: so the script ends there, and a
 *	   COPY that failed is not in it
 *
 * An exchange is collected before it is written: whether it takes BEGIN is known at its
 * end.
 */
#include "read/script.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* A script being written. */
typedef struct Script
{
	ReadSession *session;
	ReadPutLine put;
	void *arg;
	List *prepared; /* names that are PREPAREd in the script, in the session's context */
	bool is_whole;  /* of all exchanges */
	int names;      /* of ours, given out */
	bool has_head;

	/* of the exchange in hand */
	StringInfo text;
	StringInfo query;    /* the statements of a Query so far; NULL: none */
	bool is_generated;   /* psql cannot read them */
	StringInfo data;     /* of their COPYs */
	StringInfo notes;    /* comments behind them */
	const char *problem; /* why they can't be in the script */
	char *sqlstate;      /* how they failed; NULL: they did not */
	int statements;      /* of the extended protocol */
	bool has_transaction;
} Script;

/*
 * Appends what a failure of the session is shown by.
 */
static void
append_error(StringInfo out, const ReadRun *run)
{
	if (run->sqlstate)
		script_append_comment(
		    out, psprintf("%s:  %s: %s", run->error_severity ? run->error_severity : "ERROR",
		                  run->sqlstate, run->error_message ? run->error_message : ""));
	if (run->is_truncated)
		script_append_comment(out, "(its answer is not in the record to its end)");
}

/*
 * Appends what stands for statements that can't be in the script.
 */
static void
append_instead(StringInfo out, const char *text, const char *problem, const char *sqlstate)
{
	script_append_comment(out, psprintf("not in this script: %s", problem));
	script_append_comment(out, text);
	if (!sqlstate)
		return;
	if (strlen(sqlstate) != 5 || strspn(sqlstate, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5)
		sqlstate = "XX000";
	appendStringInfo(out,
	                 "DO $$ BEGIN RAISE 'what failed here is not in this script' USING ERRCODE = "
	                 "'%s'; END $$;\n",
	                 sqlstate);
}

/*
 * Tells why a statement with text can't be in the script whatever its values: behind a COPY
 * that fails psql may take what follows for its data, or data for what follows.
 */
static const char *
text_problem(const Script *script, const ReadRun *run)
{
	if (!run->sqlstate || !script_has_copy_in(run->query, script->session->standard_strings))
		return NULL;
	return run->copy_in && run->copy_in->has_failed ? "the client gave the COPY up"
	                                                : "the COPY failed";
}

/*
 * Begins and ends what has COPY data behind it: should it fail, psql reads no further.
 */
static void
append_guard(StringInfo out, bool is_on)
{
	appendStringInfo(out, "\\set ON_ERROR_STOP %s\n", is_on ? "on" : "off");
}

/*
 * Writes the Query that was collected.
 */
static void
flush_query(Script *script)
{
	StringInfo query = script->query;
	bool has_data;

	if (!query)
		return;
	script->query = NULL;
	has_data = script->data->len > 0;
	if (has_data && script->sqlstate && !script->problem)
		script->problem = "it has COPY data and failed";
	if (script->problem)
		append_instead(script->text, query->data, script->problem, script->sqlstate);
	else
	{
		if (has_data)
			append_guard(script->text, true);
		if (script->is_generated)
			script_append_generated(script->text, query->data);
		else
			appendStringInfo(script->text, "%s;\n", query->data);
		appendBinaryStringInfo(script->text, script->data->data, script->data->len);
		if (has_data)
			append_guard(script->text, false);
	}
	appendBinaryStringInfo(script->text, script->notes->data, script->notes->len);
}

/*
 * Adds a statement of a Query.
 */
static void
add_simple(Script *script, const ReadRun *run)
{
	bool standard_strings = script->session->standard_strings;

	if (run->is_first_piece)
		flush_query(script);
	if (!script->query)
	{
		script->query = makeStringInfo();
		script->data = makeStringInfo();
		script->notes = makeStringInfo();
		script->is_generated = false;
		script->problem = NULL;
		script->sqlstate = NULL;
	}
	else
		appendStringInfoString(script->query, script->is_generated ? "; " : "\\; ");
	if (!run->query)
		script->problem = "its text is not known";
	else if (!run->exchange->has_bytes)
	{
		script->problem = "it was recorded without its values";
		appendStringInfoString(script->query, run->query);
	}
	else if (script->is_generated ||
	         !script_append_text(script->query, run->query, standard_strings))
	{
		script->is_generated = true;
		appendStringInfoString(script->query, run->query);
	}
	if (run->query && script_is_masked(run->query, standard_strings))
		script_append_comment(script->notes, "(a secret in it was masked)");
	if (run->query && !script->problem)
		script->problem = text_problem(script, run);
	if (run->copy == READ_COPY_IN && !script->problem)
		script->problem = script_append_copy(script->session, script->data, run);
	if (run->copy == READ_COPY_BOTH)
		script->problem = "it is a replication stream";
	if (run->sqlstate)
		script->sqlstate = pstrdup(run->sqlstate);
	append_error(script->notes, run);
}

/*
 * Tells whether a name is PREPAREd in the script.
 */
static bool
is_prepared(const Script *script, const char *name)
{
	ListCell *cell;

	foreach (cell, script->prepared)
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

/*
 * Appends PREPARE for a statement.
 */
static void
append_prepare(Script *script, const char *name, const char *query, int type_count,
               const Oid *types)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "PREPARE %s", quote_identifier(name));
	for (int i = 0; i < type_count; i++)
		appendStringInfo(&text, "%s%s", i == 0 ? " (" : ", ",
		                 read_type_is_known(script->session, types[i])
		                     ? format_type_extended(types[i], -1, FORMAT_TYPE_FORCE_QUALIFY)
		                     : "unknown");
	appendStringInfo(&text, "%s AS %s", type_count > 0 ? ")" : "", query);
	{
		int begin = script->text->len;

		if (script_append_text(script->text, text.data, script->session->standard_strings))
			appendStringInfoString(script->text, ";\n");
		else
		{
			script->text->len = begin;
			script_append_generated(script->text, text.data);
		}
	}
}

/*
 * Notes that a name is PREPAREd in the script.
 */
static void
note_prepared(Script *script, const char *name)
{
	MemoryContext before;

	if (is_prepared(script, name))
		return;
	before = MemoryContextSwitchTo(script->session->context);
	script->prepared = lappend(script->prepared, pstrdup(name));
	MemoryContextSwitchTo(before);
}

/*
 * Takes a statement that was parsed: one with a name is PREPAREd, if it can be.
 */
static void
take_prepared(void *arg, const ReadStatement *statement)
{
	Script *script = arg;

	if (statement->name[0] == '\0' || !statement->query ||
	    !script_is_preparable(statement->query, script->session->standard_strings))
		return;
	flush_query(script);
	append_prepare(script, statement->name, statement->query, statement->type_count,
	               statement->types);
	note_prepared(script, statement->name);
}

/*
 * Takes a statement that is closed.
 */
static void
take_closed(void *arg, const char *name)
{
	Script *script = arg;
	ListCell *cell;

	foreach (cell, script->prepared)
		if (strcmp(lfirst(cell), name) == 0)
		{
			flush_query(script);
			appendStringInfo(script->text, "DEALLOCATE %s;\n", quote_identifier(name));
			script->prepared = foreach_delete_current(script->prepared, cell);
		}
}

/*
 * Makes literals of a run's parameters; returns NULL, or why that can't be.
 */
static const char *
make_literals(Script *script, const ReadRun *run, int *count, char ***literals, ReadBytes **bytes)
{
	ReadValue *values;

	*count = read_parameters(script->session, run, bytes);
	*literals = palloc(sizeof(char *) * Max(*count, 1));
	values = palloc(sizeof(ReadValue) * Max(*count, 1));
	read_values(script->session, *count, *bytes, values);
	for (int i = 0; i < *count; i++)
	{
		(*literals)[i] = script_literal(script->session, (*bytes)[i].type, &values[i]);
		if (!(*literals)[i])
			return psprintf("parameter %d has no text: %s", i + 1, values[i].reason);
	}
	return NULL;
}

/*
 * Appends a statement's text as it is.
 */
static void
append_plain(Script *script, const char *text)
{
	if (script_append_text(script->text, text, script->session->standard_strings))
		appendStringInfoString(script->text, ";\n");
	else
		script_append_generated(script->text, text);
}

/*
 * Appends PREPARE and EXECUTE.
 */
static void
append_execute(Script *script, const ReadRun *run, int count, char *const *literals,
               const ReadBytes *bytes)
{
	const char *name = run->statement_name;
	bool is_ours = name[0] == '\0';
	bool is_ignored = run->sqlstate && strcmp(run->sqlstate, "25P02") == 0;
	/* a PREPARE of the session's is in the script as it was */
	bool is_in_text = script->is_whole && run->prepared && run->prepared->is_sql;

	if (is_ours)
		name = psprintf("pgwire_trace_%d", ++script->names);
	if (!is_prepared(script, name) && !is_ignored && !is_in_text)
	{
		Oid *types = palloc(sizeof(Oid) * Max(count, 1));

		for (int i = 0; i < count; i++)
			types[i] = bytes[i].type;
		append_prepare(script, name, run->query, count, types);
		if (!is_ours)
			note_prepared(script, name);
	}
	if (run->sqlstate && !run->portal_name)
		return; /* it did not get beyond Parse or Describe */
	appendStringInfo(script->text, "EXECUTE %s", quote_identifier(name));
	for (int i = 0; i < count; i++)
		appendStringInfo(script->text, "%s%s", i == 0 ? "(" : ", ", literals[i]);
	appendStringInfo(script->text, "%s;\n", count > 0 ? ")" : "");
	if (is_ours && !run->sqlstate)
		appendStringInfo(script->text, "DEALLOCATE %s;\n", quote_identifier(name));
}

/*
 * Adds a statement of the extended protocol.
 */
static void
add_extended(Script *script, const ReadRun *run)
{
	bool standard_strings = script->session->standard_strings;
	int count;
	char **literals;
	ReadBytes *bytes;
	const char *problem;
	StringInfoData data;
	bool has_data;

	flush_query(script);
	if (run->is_resumed)
	{
		script_append_comment(script->text,
		                      psprintf("(portal \"%s\" goes on: %lld rows)", run->portal_name,
		                               (long long) run->data_row_count));
		append_error(script->text, run);
		return;
	}
	script->statements++;
	initStringInfo(&data);
	problem = make_literals(script, run, &count, &literals, &bytes);
	if (!run->query)
		problem = "its text is not known";
	else if (!problem)
		problem = text_problem(script, run);
	if (!problem && run->copy == READ_COPY_IN)
		problem = script_append_copy(script->session, &data, run);
	if (run->query && script_is_transaction(run->query, standard_strings))
		script->has_transaction = true;
	has_data = !problem && data.len > 0;
	if (has_data)
		append_guard(script->text, true);
	if (problem)
		append_instead(script->text, run->query ? run->query : "", problem, run->sqlstate);
	else if (!script_is_preparable(run->query, standard_strings))
		append_plain(script, script_replace(run->query, standard_strings, count, literals));
	else if (count == 0 && !is_prepared(script, run->statement_name))
		append_plain(script, run->query);
	else
		append_execute(script, run, count, literals, bytes);
	if (has_data)
	{
		appendBinaryStringInfo(script->text, data.data, data.len);
		append_guard(script->text, false);
	}
	if (run->query && script_is_masked(run->query, standard_strings))
		script_append_comment(script->text, "(a secret in it was masked)");
	if (run->is_suspended)
		script_append_comment(
		    script->text, psprintf("(suspended after %lld rows)", (long long) run->data_row_count));
	append_error(script->text, run);
}

/*
 * Adds a function call, as a SELECT.
 */
static void
add_call(Script *script, const ReadRun *run)
{
	Oid function = read_run_function(run);
	const char *problem;
	char **literals;
	ReadBytes *bytes;
	char *name = NULL;
	int count;

	flush_query(script);
	problem = make_literals(script, run, &count, &literals, &bytes);
	if (read_function_is_known(script->session, function))
		name = quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
		                                  get_func_name(function));
	else if (!problem)
		problem = "its function is not known here";
	if (problem)
		append_instead(script->text, psprintf("call of function %u", function), problem,
		               run->sqlstate);
	else
	{
		appendStringInfo(script->text, "SELECT %s(", name);
		for (int i = 0; i < count; i++)
			appendStringInfo(script->text, "%s%s", i > 0 ? ", " : "", literals[i]);
		appendStringInfoString(script->text, ");\n");
	}
	append_error(script->text, run);
}

/*
 * Takes a statement.
 */
static void
take_run(void *arg, const ReadRun *run)
{
	Script *script = arg;

	switch (run->kind)
	{
		case READ_RUN_SIMPLE:
			add_simple(script, run);
			break;
		case READ_RUN_EXTENDED:
			add_extended(script, run);
			break;
		case READ_RUN_CALL:
			add_call(script, run);
			break;
		case READ_RUN_NONE:
			flush_query(script);
			if (run->query)
				append_instead(script->text, run->query, "its request is not in the record",
				               run->sqlstate);
			append_error(script->text, run);
			break;
	}
}

/*
 * Writes text, line by line.
 */
static void
put_lines(const Script *script, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end)
	{
		const char *line_end = memchr(text, '\n', end - text);

		if (!line_end)
			line_end = end;
		script->put(script->arg, text, line_end - text);
		text = line_end + 1;
	}
}

/*
 * Writes what stands before everything: who it was, and settings that its text depends on.
 */
static void
put_head(Script *script)
{
	const ReadSession *session = script->session;
	StringInfoData head;

	initStringInfo(&head);
	script_append_comment(&head, psprintf("session %lld, user \"%s\", database \"%s\"",
	                                      (long long) session->session_id,
	                                      session->user_name ? session->user_name : "",
	                                      session->database_name ? session->database_name : ""));
	/* in which the reader gets it */
	appendStringInfo(&head, "\\encoding %s\n", pg_get_client_encoding_name());
	appendStringInfoString(&head, "\\set ON_ERROR_STOP off\n\\set AUTOCOMMIT on\n");
	for (int i = 0; i < READ_SETTING_COUNT; i++)
	{
		if (i == READ_CLIENT_ENCODING || !session->settings[i])
			continue;
		if (i == READ_SEARCH_PATH)
			appendStringInfo(&head, "SELECT pg_catalog.set_config('search_path', %s, false);\n",
			                 quote_literal_cstr(session->settings[i]));
		else
			appendStringInfo(&head, "SET %s = %s;\n", read_setting_names[i],
			                 quote_literal_cstr(session->settings[i]));
	}
	put_lines(script, head.data, head.len);
	script->has_head = true;
}

/*
 * Begins an exchange.
 */
static void
take_exchange(void *arg, const ReadExchange *exchange)
{
	Script *script = arg;

	if (!script->has_head)
		put_head(script);
	script->text = makeStringInfo();
	script->query = NULL;
	script->statements = 0;
	script->has_transaction = false;
}

/*
 * Ends an exchange: writes it.
 */
static void
take_end(void *arg, const ReadExchange *exchange)
{
	Script *script = arg;
	bool is_wrapped;
	char *comment;

	flush_query(script);
	if (script->text->len == 0)
		return;
	is_wrapped = script->statements > 1 && !script->has_transaction &&
	             exchange->status_before != 'T' && exchange->status_before != 'E';
	comment = psprintf("-- exchange %lld, %s%s\n", (long long) exchange->exchange_no,
	                   timestamptz_to_str(exchange->started_at),
	                   is_wrapped ? ": one transaction, as there is no Sync inside\nBEGIN;" : "");
	put_lines(script, comment, strlen(comment));
	put_lines(script, script->text->data, script->text->len);
	if (is_wrapped)
		put_lines(script, "COMMIT;", 7);
}

/*
 * Takes the session that is read.
 */
static void
take_session(void *arg, ReadSession *session)
{
	((Script *) arg)->session = session;
}

/*
 * Reads a session to a script; see script.h.
 */
bool
read_script(int64 session_id, bool has_exchange, int64 exchange_no, ReadPutLine put, void *arg)
{
	static const ReadSink sink = {.exchange = take_exchange,
	                              .prepared = take_prepared,
	                              .closed = take_closed,
	                              .run = take_run,
	                              .end = take_end};
	Script script = {.put = put, .arg = arg, .is_whole = !has_exchange};

	return read_session(session_id, has_exchange, exchange_no, &sink, take_session, &script);
}
