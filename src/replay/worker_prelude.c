/*
 * worker_prelude.c
 *	  What a session's first exchange that is sent relies on, and is not sent itself.
 *
 * Where a replay begins in the middle of a session, the exchanges before made
 * prepared statements and settings that those behind use.  They become requests that
 * go before all others: settings first (SET, and what the server reported of them),
 * then the statements that were there at that moment, by Parse or PREPARE.  A
 * statement that was parsed before its session was recorded is prepared from
 * query_text when a Bind names it.
 */
#include "replay/worker_planner.h"

#include <xxhash.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "port/pg_bswap.h"
#include "replay/outline.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

/* Settings that the server reports and that can be set. */
static const char *const reported[] = {
    "client_encoding",  "DateStyle",  "IntervalStyle", "TimeZone", "standard_conforming_strings",
    "application_name", "search_path"};

/* A statement that is there. */
typedef struct Statement
{
	uint64 key;           /* of its name */
	StringInfoData bytes; /* the request that makes it; empty: an exchange that is sent does */
	bool is_overwritten;  /* its text is not what it was: it is on no target */
} Statement;

struct Prelude
{
	HTAB *statements;
	char *settings[lengthof(reported)]; /* NULL: as it was at first */
	StringInfoData queries;             /* SET ... */
	StringInfoData bytes;               /* of the prelude, once an exchange is sent */
	bool is_begun;
};

/*
 * Begins a session's prelude.
 */
Prelude *
planner_prelude_begin(void)
{
	Prelude *prelude = palloc0(sizeof(Prelude));
	HASHCTL control = {
	    .keysize = sizeof(uint64), .entrysize = sizeof(Statement), .hcxt = CurrentMemoryContext};

	prelude->statements =
	    hash_create("replay prelude", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	initStringInfo(&prelude->queries);
	initStringInfo(&prelude->bytes);
	return prelude;
}

/*
 * Notes a statement, whose bytes are empty at first.
 */
static Statement *
enter(Prelude *prelude, WireSpan name)
{
	uint64 key = XXH3_64bits(name.data, name.len);
	bool found;
	Statement *statement = hash_search(prelude->statements, &key, HASH_ENTER, &found);

	if (!found)
		initStringInfo(&statement->bytes);
	resetStringInfo(&statement->bytes);
	statement->is_overwritten = false;
	return statement;
}

/*
 * Forgets a statement.
 */
static void
forget(Prelude *prelude, WireSpan name)
{
	uint64 key = XXH3_64bits(name.data, name.len);

	hash_search(prelude->statements, &key, HASH_REMOVE, NULL);
}

/*
 * Forgets all statements.
 */
static void
forget_all(Prelude *prelude)
{
	HASH_SEQ_STATUS status;
	Statement *statement;

	hash_seq_init(&status, prelude->statements);
	while ((statement = hash_seq_search(&status)))
		hash_search(prelude->statements, &statement->key, HASH_REMOVE, NULL);
}

/*
 * Appends a message.
 */
static void
put_message(StringInfo out, char type, const char *body, Size len)
{
	uint32 size = pg_hton32((uint32) len + 4);

	appendStringInfoChar(out, type);
	appendBinaryStringInfo(out, (char *) &size, sizeof(size));
	appendBinaryStringInfo(out, body, (int) len);
}

/*
 * Takes a Query that was not sent: what it makes of the session's state goes on.
 */
static void
pass_query(Prelude *prelude, const char *message, Size used, WireSpan text)
{
	StateChange change = replay_text_state((const char *) text.data, text.len);
	WireSpan name = {(const uint8_t *) change.name, change.name ? strlen(change.name) : 0};

	switch (change.kind)
	{
		case STATE_SET:
			appendBinaryStringInfo(&prelude->queries, message, (int) used);
			break;
		case STATE_PREPARE:
			appendBinaryStringInfo(&enter(prelude, name)->bytes, message, (int) used);
			break;
		case STATE_DEALLOCATE:
			forget(prelude, name);
			break;
		case STATE_DISCARD:
			resetStringInfo(&prelude->queries);
			memset(prelude->settings, 0, sizeof(prelude->settings));
			forget_all(prelude);
			break;
		case STATE_DEALLOCATE_ALL:
			forget_all(prelude);
			break;
		case STATE_NONE:
			break;
	}
}

/*
 * Takes what the server reported of its settings.
 */
static void
pass_reports(Prelude *prelude, WireSpan answer)
{
	WireMessageId id;
	WireSpan body;
	Size at = 0;
	Size used;

	while ((used = outline_message(WIRE_BACKEND, answer, at, &id, &body)) > 0)
	{
		WireValue values[WIRE_MAX_FIELDS];
		WireSpan name;
		WireSpan value;

		at += used;
		if (id != WIRE_MSG_ParameterStatus)
			continue;
		wire_decode(id, body.data, body.len, values);
		name = values[WIRE_ParameterStatus_name].bytes;
		value = values[WIRE_ParameterStatus_value].bytes;
		for (Size i = 0; i < lengthof(reported); i++)
			if (strlen(reported[i]) == name.len && memcmp(reported[i], name.data, name.len) == 0 &&
			    !replay_text_is_ambiguous((const char *) value.data, value.len))
				prelude->settings[i] = pnstrdup((const char *) value.data, value.len);
	}
}

/*
 * Takes a Parse that was not sent: who binds its statement later needs it.
 */
static void
pass_parse(Planner *planner, const char *message, Size used, WireSpan name, WireSpan text)
{
	StringInfo bytes;

	if (planner->is_request_redacted)
		return;
	if (planner->request->read_only &&
	    replay_text_writes(planner->kinds, (const char *) text.data, text.len))
		return;
	bytes = &enter(planner->prelude, name)->bytes;
	appendBinaryStringInfo(bytes, message, (int) used);
	put_message(bytes, 'S', "", 0);
}

/*
 * Notes which statements an exchange would make, of which the record overwrote something.
 */
static void
pass_overwritten(Prelude *prelude, WireSpan request)
{
	WireMessageId id;
	WireSpan body;
	Size at = 0;
	Size used;

	while ((used = outline_message(WIRE_FRONTEND, request, at, &id, &body)) > 0)
	{
		WireValue values[WIRE_MAX_FIELDS];

		at += used;
		if (id != WIRE_MSG_Parse)
			continue;
		wire_decode(id, body.data, body.len, values);
		enter(prelude, values[WIRE_Parse_statement].bytes)->is_overwritten = true;
	}
}

/*
 * Tells whether a request runs a statement whose text the record overwrote.
 */
bool
planner_prelude_lacks(Planner *planner, WireSpan request)
{
	WireMessageId id;
	WireSpan body;
	Size at = 0;
	Size used;

	while ((used = outline_message(WIRE_FRONTEND, request, at, &id, &body)) > 0)
	{
		WireValue values[WIRE_MAX_FIELDS];
		WireSpan name;
		Statement *statement;
		uint64 key;

		at += used;
		if (id != WIRE_MSG_Parse && id != WIRE_MSG_Bind)
			continue;
		wire_decode(id, body.data, body.len, values);
		name = values[id == WIRE_MSG_Parse ? WIRE_Parse_statement : WIRE_Bind_statement].bytes;
		key = XXH3_64bits(name.data, name.len);
		statement = hash_search(planner->prelude->statements, &key, HASH_FIND, NULL);
		if (statement && statement->is_overwritten && id == WIRE_MSG_Bind)
			return true;
		if (statement)
			statement->is_overwritten = false; /* the name has another now */
	}
	return false;
}

/*
 * Takes an exchange that is not sent; those behind the first that is do not matter.
 */
void
planner_prelude_pass(Planner *planner, WireSpan request, WireSpan answer, bool takes_queries)
{
	Prelude *prelude = planner->prelude;
	WireMessageId id;
	WireSpan body;
	Size at = 0;
	Size used;

	if (planner->is_request_redacted)
		pass_overwritten(prelude, request);
	if (prelude->is_begun)
		return;
	pass_reports(prelude, answer);
	while ((used = outline_message(WIRE_FRONTEND, request, at, &id, &body)) > 0)
	{
		const char *message = (const char *) request.data + at;
		WireValue values[WIRE_MAX_FIELDS];

		at += used;
		wire_decode(id, body.data, body.len, values);
		if (id == WIRE_MSG_Parse)
			pass_parse(planner, message, used, values[WIRE_Parse_statement].bytes,
			           values[WIRE_Parse_query].bytes);
		else if (id == WIRE_MSG_Close && values[WIRE_Close_kind].number == 'S')
			forget(prelude, values[WIRE_Close_name].bytes);
		else if (id == WIRE_MSG_Query && takes_queries)
			pass_query(prelude, message, used, values[WIRE_Query_query].bytes);
	}
}

/*
 * Puts a Query into the prelude.
 */
static void
put_query(Prelude *prelude, const char *query)
{
	put_message(&prelude->bytes, 'Q', query, strlen(query) + 1);
}

/*
 * Puts user, settings and statements into the prelude: an exchange is sent.
 */
static void
begin_sending(Planner *planner)
{
	Prelude *prelude = planner->prelude;
	HASH_SEQ_STATUS status;
	Statement *statement;

	prelude->is_begun = true;
	if (planner->request->settings.sets_authorization)
		put_query(prelude,
		          psprintf("SET SESSION AUTHORIZATION %s", quote_literal_cstr(planner->user)));
	appendBinaryStringInfo(&prelude->bytes, prelude->queries.data, prelude->queries.len);
	for (Size i = 0; i < lengthof(reported); i++)
		if (prelude->settings[i])
			put_query(prelude, psprintf("SELECT pg_catalog.set_config('%s', %s, false)",
			                            reported[i], quote_literal_cstr(prelude->settings[i])));
	hash_seq_init(&status, prelude->statements);
	while ((statement = hash_seq_search(&status)))
		if (!statement->is_overwritten)
			appendBinaryStringInfo(&prelude->bytes, statement->bytes.data, statement->bytes.len);
}

/*
 * Returns the text that a Bind of an exchange ran, by its place among them; NULL: it
 * is not known.
 */
static char *
find_text(Planner *planner, int bind_no)
{
	char *text = NULL;
	Oid types[3] = {INT8OID, INT8OID, INT4OID};
	Datum values[3] = {Int64GetDatum(planner->session_id),
	                   Int64GetDatum(planner->exchange.exchange_no), Int32GetDatum(bind_no)};

	if (SPI_execute_with_args("SELECT t.query FROM pgwire_trace.exchange e"
	                          " JOIN pgwire_trace.query_text t ON t.query_hash = e.query_hashes[$3]"
	                          " WHERE e.session_id = $1 AND e.exchange_no = $2 AND e.part_no = 1",
	                          3, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	MemoryContextSwitchTo(planner->context);
	if (SPI_processed > 0)
		text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SPI_freetuptable(SPI_tuptable);
	return text;
}

/*
 * Prepares a statement that a Bind names and that nobody has made.
 */
static void
prepare(Planner *planner, WireSpan name, int bind_no)
{
	Prelude *prelude = planner->prelude;
	char *text = planner->writer ? find_text(planner, bind_no) : NULL; /* a dry run needs none */
	StringInfoData body;

	enter(prelude, name);
	if (!text)
		return;
	initStringInfo(&body);
	appendBinaryStringInfo(&body, (const char *) name.data, (int) name.len);
	appendStringInfoChar(&body, '\0');
	appendBinaryStringInfo(&body, text, (int) strlen(text) + 1);
	appendBinaryStringInfo(&body, "\0\0", 2); /* parameter types: as the server finds them */
	put_message(&prelude->bytes, 'P', body.data, (Size) body.len);
	put_message(&prelude->bytes, 'S', "", 0);
	pfree(body.data);
}

/*
 * Takes an exchange that is sent: what it relies on must be there.
 */
void
planner_prelude_send(Planner *planner, WireSpan request)
{
	Prelude *prelude = planner->prelude;
	WireMessageId id;
	WireSpan body;
	Size at = 0;
	Size used;
	int bind_no = 0;

	if (!prelude->is_begun)
		begin_sending(planner);
	while ((used = outline_message(WIRE_FRONTEND, request, at, &id, &body)) > 0)
	{
		WireValue values[WIRE_MAX_FIELDS];

		at += used;
		if (id != WIRE_MSG_Parse && id != WIRE_MSG_Bind)
			continue;
		wire_decode(id, body.data, body.len, values);
		if (id == WIRE_MSG_Parse)
			enter(prelude, values[WIRE_Parse_statement].bytes);
		else
		{
			WireSpan name = values[WIRE_Bind_statement].bytes;
			uint64 key = XXH3_64bits(name.data, name.len);

			bind_no++;
			if (!hash_search(prelude->statements, &key, HASH_FIND, NULL))
				prepare(planner, name, bind_no);
		}
	}
}

/*
 * Gives a session its prelude.
 */
void
planner_prelude_finish(Planner *planner, PlanSession *session)
{
	Prelude *prelude = planner->prelude;

	session->prelude_len = (uint32) prelude->bytes.len;
	if (planner->writer && prelude->bytes.len > 0 &&
	    !plan_add_bytes(planner->writer, prelude->bytes.data, (Size) prelude->bytes.len,
	                    &session->prelude_at))
		planner_cannot_write(planner);
}
