/*
 * run.c
 *	  A statement's run: what the request at the head of the queue runs, and what it does
 *	  to the session's prepared statements and portals.
 */
#include "read/follow.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "wire/cursor.h"

/*
 * Returns the head of the queue; see follow.h.
 */
Request *
follow_head(ReadFollow *follow)
{
	if (follow->is_lost || follow->head >= follow->count)
		return NULL;
	return &follow->requests[follow->head];
}

/*
 * Returns the name in a message as text; one that is not text, by its digits.
 */
char *
follow_name(const ReadFollow *follow, WireSpan name)
{
	char *text = read_string(follow->session, name);

	if (!text)
	{
		text = palloc(name.len * 2 + 3);
		strcpy(text, "\\x");
		text[2 + hex_encode((const char *) name.data, name.len, text + 2)] = '\0';
	}
	return text;
}

/*
 * Reads one or two strings at the begin of a body, behind some bytes.
 */
void
follow_names(const ReadFollow *follow, WireSpan body, size_t skip, char **first, char **second)
{
	WireCursor cursor = {body.data, body.len, Min(skip, body.len)};
	WireSpan name;

	cursor_string(&cursor, &name);
	*first = follow_name(follow, name);
	if (second)
	{
		cursor_string(&cursor, &name);
		*second = follow_name(follow, name);
	}
}

/*
 * Makes the statement of a Parse known.
 */
static void
apply_parse(ReadFollow *follow, WireSpan body)
{
	WireValue values[WIRE_MAX_FIELDS];
	ReadStatement *statement;
	MemoryContext before;

	wire_decode(WIRE_MSG_Parse, body.data, body.len, values);
	statement =
	    read_known_prepare(follow->known, follow_name(follow, values[WIRE_Parse_statement].bytes),
	                       read_string(follow->session, values[WIRE_Parse_query].bytes));
	before = MemoryContextSwitchTo(statement->context);
	statement->type_count =
	    Max(read_oids(values[WIRE_Parse_parameter_types].bytes, &statement->types), 0);
	MemoryContextSwitchTo(before);
	if (follow->sink->prepared)
		follow->sink->prepared(follow->arg, statement);
}

/*
 * Tells whether the Bind at the head is the first request that has a text: the exchange's
 * row has that text too.
 */
static bool
is_first_text(const ReadFollow *follow)
{
	for (int i = 0; i < follow->head; i++)
		if (follow->requests[i].id != WIRE_MSG_Close && follow->requests[i].id != WIRE_MSG_Describe)
			return false;
	return true;
}

/*
 * Returns the text that a Bind's statement had by the relay's account; NULL: not known.
 * Hashes stand for the Binds whose texts the relay knew, so their number must agree.
 */
static const char *
text_of_bind(ReadFollow *follow)
{
	const ReadExchange *exchange = follow->exchange;
	const char *text = NULL;

	if (exchange->hash_count == follow->bind_count)
		text = read_text_of_hash(follow->session, exchange->hashes[follow->binds_done]);
	if (!text && is_first_text(follow) &&
	    (follow->bind_count == 1 || exchange->hash_count == follow->bind_count))
		text = exchange->query;
	return text;
}

/*
 * Returns the statement that a Bind names.  One that was parsed before the record, or
 * before a gap in it, is what the relay says that it is.
 */
static ReadStatement *
statement_of_bind(ReadFollow *follow, const char *name)
{
	ReadStatement *statement = read_known_statement(follow->known, name);
	const char *text;

	if (statement && statement->is_current)
		return statement;
	text = text_of_bind(follow);
	if (statement && text && statement->query && strcmp(statement->query, text) == 0)
	{
		statement->is_current = true;
		return statement;
	}
	statement = read_known_prepare(follow->known, name, text);
	statement->is_current = text != NULL;
	return statement;
}

/*
 * Makes the portal of a Bind known.
 */
static void
apply_bind(ReadFollow *follow, WireSpan body)
{
	char *portal;
	char *name;

	follow_names(follow, body, 0, &portal, &name);
	read_known_bind(follow->known, portal, statement_of_bind(follow, name), body);
	follow->binds_done++;
}

/*
 * Forgets what a Close names.
 */
static void
apply_close(ReadFollow *follow, WireSpan body)
{
	char *name;

	if (body.len == 0)
		return;
	follow_names(follow, body, 1, &name, NULL);
	if (body.data[0] == 'P')
	{
		read_known_drop_portal(follow->known, name);
		return;
	}
	if (follow->sink->closed && read_known_statement(follow->known, name))
		follow->sink->closed(follow->arg, name);
	read_known_drop(follow->known, name);
}

/*
 * Does what the server does with the head of the queue; see follow.h.
 */
void
follow_apply(ReadFollow *follow)
{
	Request *head = follow_head(follow);

	if (head->id == WIRE_MSG_Parse)
		apply_parse(follow, head->body);
	else if (head->id == WIRE_MSG_Bind)
		apply_bind(follow, head->body);
	else if (head->id == WIRE_MSG_Close)
		apply_close(follow, head->body);
	follow->head++;
}

/*
 * Finds the statements in the text of the Query at the head.
 */
static void
split_query(ReadFollow *follow, WireSpan body)
{
	WireCursor cursor = {body.data, body.len, 0};
	WireSpan text;

	if (follow->is_split)
		return;
	cursor_string(&cursor, &text);
	follow->text = read_string(follow->session, text);
	follow->piece_count = 1;
	follow->piece = 0;
	follow->is_split = true;
	if (follow->text)
		follow->piece_count = read_split(follow->text, strlen(follow->text),
		                                 follow->session->standard_strings, &follow->pieces);
	read_known_drop(follow->known, ""); /* a Query takes the unnamed ones' place */
	read_known_drop_portal(follow->known, "");
}

/*
 * Describes the run of a statement of a Query.
 */
static void
describe_simple(ReadFollow *follow, const Request *head)
{
	ReadRun *run = &follow->run;
	ReadCommand command;

	split_query(follow, head->body);
	run->kind = READ_RUN_SIMPLE;
	run->is_first_piece = follow->piece == 0;
	run->is_last_piece = follow->piece == follow->piece_count - 1;
	if (!follow->text || follow->piece >= follow->piece_count)
		return;
	run->query = pnstrdup(follow->text + follow->pieces[follow->piece].begin,
	                      follow->pieces[follow->piece].end - follow->pieces[follow->piece].begin);
	read_command(run->query, strlen(run->query), follow->session->standard_strings, &command);
	if (command.kind == READ_COMMAND_EXECUTE)
	{
		const ReadStatement *prepared = read_known_statement(follow->known, command.name);

		if (prepared && prepared->is_current && prepared->query)
			run->prepared_query = pstrdup(prepared->query);
	}
}

/*
 * Describes a run by its prepared statement.
 */
static void
describe_statement(ReadRun *run, const ReadStatement *statement)
{
	run->kind = READ_RUN_EXTENDED;
	run->statement_name = pstrdup(statement->name);
	if (!statement->is_current)
		return;
	run->prepared = statement;
	run->columns = statement->columns;
	run->query = statement->query ? pstrdup(statement->query) : NULL;
}

/*
 * Describes the run of a portal.
 */
static void
describe_portal(ReadFollow *follow, char *name)
{
	ReadRun *run = &follow->run;
	const ReadPortal *portal = read_known_portal(follow->known, name);

	run->kind = READ_RUN_EXTENDED;
	if (portal)
	{
		describe_statement(run, portal->statement);
		run->bind = portal->bind;
		run->is_resumed = portal->is_suspended;
		run->formats = read_bind_result_formats(portal->bind);
	}
	run->portal_name = name;
}

/*
 * Describes a run that failed at a Parse, Bind, Describe or Close.
 */
static void
describe_failed(ReadFollow *follow, const Request *head)
{
	ReadRun *run = &follow->run;
	const ReadStatement *statement = NULL;
	char *name;
	char *query;

	run->kind = READ_RUN_EXTENDED;
	if (head->id == WIRE_MSG_Parse)
	{
		WireValue values[WIRE_MAX_FIELDS];

		wire_decode(WIRE_MSG_Parse, head->body.data, head->body.len, values);
		run->statement_name = follow_name(follow, values[WIRE_Parse_statement].bytes);
		query = read_string(follow->session, values[WIRE_Parse_query].bytes);
		run->query = query;
		return;
	}
	if (head->body.len > 0 && head->id == WIRE_MSG_Describe && head->body.data[0] == 'P')
	{
		follow_names(follow, head->body, 1, &name, NULL);
		describe_portal(follow, name);
		return;
	}
	if (head->id == WIRE_MSG_Bind)
	{
		char *portal;

		follow_names(follow, head->body, 0, &portal, &name);
		statement = statement_of_bind(follow, name);
		run->portal_name = portal;
		run->bind = head->body;
	}
	else
	{
		follow_names(follow, head->body, 1, &name, NULL);
		statement = read_known_statement(follow->known, name);
	}
	if (statement)
		describe_statement(run, statement);
	else
		run->statement_name = name;
}

/*
 * Begins a statement's run; see follow.h.
 */
void
follow_begin_run(ReadFollow *follow)
{
	const Request *head = follow_head(follow);
	ReadRun *run = &follow->run;

	if (follow->is_running)
		return;
	follow->is_running = true;
	*run = (ReadRun){.exchange = follow->exchange,
	                 .statement_no = follow->runs + 1,
	                 .kind = READ_RUN_NONE,
	                 .row_count = -1,
	                 .is_first_piece = true,
	                 .is_last_piece = true};
	if (!head)
		return;
	if (head->id == WIRE_MSG_Query)
		describe_simple(follow, head);
	else if (head->id == WIRE_MSG_FunctionCall)
	{
		run->kind = READ_RUN_CALL;
		run->bind = head->body;
	}
	else if (head->id == WIRE_MSG_Execute)
	{
		WireValue values[WIRE_MAX_FIELDS];

		wire_decode(WIRE_MSG_Execute, head->body.data, head->body.len, values);
		describe_portal(follow, follow_name(follow, values[WIRE_Execute_portal].bytes));
		run->max_rows = (int) values[WIRE_Execute_max_rows].number;
	}
	else
		describe_failed(follow, head);
}

/*
 * Follows what a statement did to the prepared ones.
 */
static void
follow_tag(ReadFollow *follow)
{
	const ReadRun *run = &follow->run;
	ReadCommand command;

	if (!run->command_tag)
		return;
	if (strcmp(run->command_tag, "DISCARD ALL") == 0 ||
	    strcmp(run->command_tag, "DEALLOCATE ALL") == 0)
		read_known_drop_all(follow->known);
	if (!run->query ||
	    (strcmp(run->command_tag, "PREPARE") != 0 && strcmp(run->command_tag, "DEALLOCATE") != 0))
		return;
	read_command(run->query, strlen(run->query), follow->session->standard_strings, &command);
	if (command.kind == READ_COMMAND_PREPARE)
		read_known_prepare(follow->known, command.name, command.query)->is_sql = true;
	else if (command.kind == READ_COMMAND_DEALLOCATE && command.name)
		read_known_drop(follow->known, command.name);
}

/*
 * Notes that a portal is suspended.
 */
static void
suspend_portal(ReadFollow *follow, const char *name)
{
	ReadPortal *portal = read_known_portal(follow->known, name);

	if (portal)
		portal->is_suspended = true;
}

/*
 * Ends a run; see follow.h.
 */
void
follow_end_run(ReadFollow *follow)
{
	ReadRun *run = &follow->run;
	const Request *head = follow_head(follow);

	if (run->copy == READ_COPY_IN && follow->copies_done < list_length(follow->copies))
		run->copy_in = list_nth(follow->copies, follow->copies_done++);
	follow->has_error |= run->sqlstate != NULL;
	if (follow->sink->run)
		follow->sink->run(follow->arg, run);
	follow_tag(follow);
	if (run->is_suspended && run->portal_name)
		suspend_portal(follow, run->portal_name);
	follow->is_running = false;
	follow->runs++;
	if (run->sqlstate)
		follow->head = follow->count; /* the rest is skipped */
	else if (head && head->id == WIRE_MSG_Query)
		follow->piece++;
	else if (head)
		follow->head++;
}

/*
 * Finds the statement in a Query that an error belongs to: one whose text does not
 * parse fails as a whole, and its position may lie further on.
 */
void
follow_widen(ReadFollow *follow, WireSpan body)
{
	WireSpan position;
	const char *text = follow->text;
	int64 at;

	if (follow->run.kind != READ_RUN_SIMPLE || !text || follow->piece > 0 ||
	    !wire_error_field(body.data, body.len, 'P', &position) || position.len > 10)
		return;
	at = strtol(pnstrdup((const char *) position.data, position.len), NULL, 10);
	if (at <= pg_mbstrlen_with_len(text, (int) follow->pieces[0].end) + 1)
		return;
	follow->run.query = text;
	follow->run.is_last_piece = true;
}
