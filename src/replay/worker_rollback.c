/*
 * worker_rollback.c
 *	  Requests of a replay that rolls back: what commits becomes what rolls back.
 *
 * A COMMIT (or END) is rewritten into ROLLBACK wherever its text goes to the target,
 * by the server's own raw parser, and the recorded tags with it, so that answers
 * compare.  What stands outside of a transaction is marked: the child puts BEGIN
 * before it and ROLLBACK behind.  What cannot be rolled back like that (a statement
 * that refuses to run in a transaction block, a prepared transaction, statements
 * behind a COMMIT in one text) is not sent.
 */
#include "replay/worker_planner.h"

#include <xxhash.h>

#include "nodes/parsenodes.h"
#include "port/pg_bswap.h"
#include "replay/outline.h"
#include "utils/hsearch.h"

/* What the texts of a request come to. */
typedef struct Texts
{
	bool in_block; /* a transaction block is open */
	bool has_transaction;
	bool has_other;    /* a statement that is no transaction command and no SET */
	bool begins_block; /* the first statement does */
	bool ends_block;   /* a statement does */
	bool is_empty;
	HTAB *statements;   /* of the session, that were prepared */
	const char *reason; /* why it is not sent */
} Texts;

/* What a prepared statement is, by a digest of its name. */
typedef struct Prepared
{
	uint64 key;
	bool begins_block;
	bool ends_block;
} Prepared;

/*
 * Makes an empty set of prepared statements, one a session.
 */
HTAB *
planner_rollback_begin(void)
{
	HASHCTL control = {
	    .keysize = sizeof(uint64), .entrysize = sizeof(Prepared), .hcxt = CurrentMemoryContext};

	return hash_create("replay rollback", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Tells why a statement cannot be rolled back; NULL: it can.
 */
static const char *
why_not_in_block(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_VacuumStmt:
			return ((VacuumStmt *) statement)->is_vacuumcmd ? "VACUUM cannot be rolled back" : NULL;
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_CreateTableSpaceStmt:
		case T_DropTableSpaceStmt:
		case T_AlterSystemStmt:
		case T_CreateSubscriptionStmt:
		case T_DropSubscriptionStmt:
		case T_CheckPointStmt:
			return "it runs outside of transactions only";
		case T_IndexStmt:
			return ((IndexStmt *) statement)->concurrent ? "it runs outside of transactions only"
			                                             : NULL;
		default:
			return NULL;
	}
}

/*
 * Tells whether a statement is about the session alone: it is no part of a transaction
 * that is to be rolled back.
 */
static bool
is_of_session(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_VariableSetStmt:
			return ((VariableSetStmt *) statement)->is_local == false;
		case T_VariableShowStmt:
		case T_PrepareStmt:
		case T_DeallocateStmt:
		case T_DiscardStmt:
			return true;
		default:
			return false;
	}
}

/*
 * Takes a transaction command.  Returns what it becomes; NULL: it stays.
 */
static const char *
take_transaction(Texts *texts, const TransactionStmt *statement)
{
	texts->has_transaction = true;
	switch (statement->kind)
	{
		case TRANS_STMT_BEGIN:
		case TRANS_STMT_START:
			texts->in_block = true;
			return NULL;
		case TRANS_STMT_COMMIT:
			texts->in_block = statement->chain;
			texts->ends_block = true;
			return statement->chain ? "ROLLBACK AND CHAIN" : "ROLLBACK";
		case TRANS_STMT_ROLLBACK:
			texts->in_block = statement->chain;
			texts->ends_block = true;
			return NULL;
		case TRANS_STMT_PREPARE:
		case TRANS_STMT_COMMIT_PREPARED:
		case TRANS_STMT_ROLLBACK_PREPARED:
			texts->reason = "a prepared transaction cannot be rolled back";
			return NULL;
		default: /* savepoints */
			return NULL;
	}
}

/*
 * Takes notice that something else than a transaction command is run.
 */
static void
take_other(Texts *texts)
{
	texts->has_other = true;
	if (texts->has_transaction && !texts->in_block)
		texts->reason = "it goes on behind the end of a transaction";
}

/*
 * Takes a statement of a text.  Returns what it becomes; NULL: it stays.
 */
static const char *
take_statement(Texts *texts, Node *statement, bool is_first)
{
	const char *reason;

	if (IsA(statement, TransactionStmt))
	{
		const TransactionStmt *transaction = (TransactionStmt *) statement;

		texts->begins_block |= is_first && (transaction->kind == TRANS_STMT_BEGIN ||
		                                    transaction->kind == TRANS_STMT_START);
		return take_transaction(texts, transaction);
	}
	if (is_of_session(statement))
		return NULL;
	reason = why_not_in_block(statement);
	if (reason)
		texts->reason = reason;
	take_other(texts);
	return NULL;
}

/*
 * Tells whether a text that does not parse here could commit where it does.
 */
static bool
names_commit(const char *text)
{
	for (; *text; text++)
		if (pg_strncasecmp(text, "commit", 6) == 0 || pg_strncasecmp(text, "end", 3) == 0)
			return true;
	return false;
}

/*
 * Appends a text as it is to be sent.
 */
static void
rewrite_text(Texts *texts, StringInfo out, const char *text)
{
	List *statements;
	ListCell *cell;
	int at = 0;

	if (replay_text_is_ambiguous(text, strlen(text)) && names_commit(text))
		texts->reason = "what it says depends on settings of its session, and it may commit";
	if (!replay_parse_text(text, strlen(text), &statements))
	{
		texts->has_other = true;
		if (names_commit(text))
			texts->reason = "it does not parse here, and may commit on the target";
		appendStringInfoString(out, text);
		return;
	}
	foreach (cell, statements)
	{
		const RawStmt *raw = lfirst_node(RawStmt, cell);
		const char *other = take_statement(texts, raw->stmt, texts->is_empty);
		int len = raw->stmt_len ? raw->stmt_len : (int) strlen(text) - raw->stmt_location;

		texts->is_empty = false;
		if (!other)
			continue;
		appendBinaryStringInfo(out, text + at, raw->stmt_location - at);
		appendStringInfo(out, " %s", other);
		at = raw->stmt_location + len;
	}
	appendStringInfoString(out, text + at);
}

/*
 * Appends a message of which a text is replaced: what stands before it, the text with
 * its zero byte, what stands behind.
 */
static void
put_message(StringInfo out, char type, WireSpan before, const StringInfo text, WireSpan after)
{
	uint32 size = pg_hton32((uint32) (before.len + (Size) text->len + 1 + after.len) + 4);

	appendStringInfoChar(out, type);
	appendBinaryStringInfo(out, (char *) &size, sizeof(size));
	appendBinaryStringInfo(out, (const char *) before.data, (int) before.len);
	appendBinaryStringInfo(out, text->data, text->len + 1);
	appendBinaryStringInfo(out, (const char *) after.data, (int) after.len);
}

/*
 * Notes what a prepared statement is, by what its text comes to.
 */
static void
take_parse(Texts *texts, WireSpan name, const Texts *own)
{
	uint64 key = XXH3_64bits(name.data, name.len);
	Prepared *prepared = hash_search(texts->statements, &key, HASH_ENTER, NULL);

	prepared->begins_block = own->begins_block;
	prepared->ends_block = own->ends_block;
	if (own->reason)
		texts->reason = own->reason;
}

/*
 * Takes a Bind: its statement is run.  One that nobody saw could commit.
 */
static void
take_bind(Texts *texts, WireSpan name)
{
	uint64 key = XXH3_64bits(name.data, name.len);
	const Prepared *prepared = hash_search(texts->statements, &key, HASH_FIND, NULL);

	if (!prepared)
		texts->reason = "its statement was prepared out of sight, and may commit";
	else if (prepared->begins_block || prepared->ends_block)
	{
		texts->has_transaction = true;
		texts->in_block = prepared->begins_block;
		texts->begins_block |= prepared->begins_block && texts->is_empty;
	}
	else
		take_other(texts);
	texts->is_empty = false;
}

/*
 * Appends a Query or Parse as it is to be sent.
 */
static void
rewrite_own_text(Texts *texts, StringInfo out, char type, WireSpan old, WireSpan body)
{
	Size before = (Size) (old.data - body.data);
	StringInfoData text;

	initStringInfo(&text);
	rewrite_text(texts, &text, pnstrdup((const char *) old.data, old.len));
	put_message(out, type, (WireSpan){body.data, before}, &text,
	            (WireSpan){old.data + old.len + 1, body.len - before - old.len - 1});
}

/*
 * Appends a message as it is to be sent.
 */
static void
rewrite_message(Texts *texts, StringInfo out, WireSpan whole, WireMessageId id, WireSpan body)
{
	WireValue values[WIRE_MAX_FIELDS];
	Texts own = {.is_empty = true};

	wire_decode(id, body.data, body.len, values);
	if ((id == WIRE_MSG_Query && !values[WIRE_Query_query].complete) ||
	    (id == WIRE_MSG_Parse && !values[WIRE_Parse_query].complete))
	{
		texts->reason = "a text in it does not come to its end";
		return;
	}
	if (id == WIRE_MSG_Query)
	{
		rewrite_own_text(texts, out, 'Q', values[WIRE_Query_query].bytes, body);
		return;
	}
	if (id == WIRE_MSG_Parse)
	{
		rewrite_own_text(&own, out, 'P', values[WIRE_Parse_query].bytes, body);
		take_parse(texts, values[WIRE_Parse_statement].bytes, &own);
		return;
	}
	if (id == WIRE_MSG_Bind)
		take_bind(texts, values[WIRE_Bind_statement].bytes);
	else if (id == WIRE_MSG_FunctionCall)
		take_other(texts);
	appendBinaryStringInfo(out, (const char *) whole.data, (int) whole.len);
}

/*
 * Ends the rewriting of bytes: what follows the last whole message stays, and the new
 * bytes take the place of the old.
 */
static void
put_back(StringInfo bytes, Size rest, StringInfo out)
{
	appendBinaryStringInfo(out, bytes->data + rest, bytes->len - (int) rest);
	resetStringInfo(bytes);
	appendBinaryStringInfo(bytes, out->data, out->len);
	pfree(out->data);
}

/*
 * Rewrites all messages of a request.
 */
static void
rewrite_request(Texts *texts, StringInfo request)
{
	WireSpan bytes = {(const uint8 *) request->data, (size_t) request->len};
	StringInfoData out;
	WireMessageId id;
	WireSpan body;
	Size at = 0;
	Size used;

	initStringInfo(&out);
	while ((used = outline_message(WIRE_FRONTEND, bytes, at, &id, &body)) > 0)
	{
		rewrite_message(texts, &out, (WireSpan){bytes.data + at, used}, id, body);
		at += used;
	}
	put_back(request, at, &out);
}

/*
 * Says ROLLBACK where a recorded answer says COMMIT.
 */
static void
rewrite_answer(StringInfo answer)
{
	static const char rolled_back[] = "C\0\0\0\x0dROLLBACK";
	WireSpan bytes = {(const uint8 *) answer->data, (size_t) answer->len};
	StringInfoData out;
	WireMessageId id;
	WireSpan body;
	Size at = 0;
	Size used;

	initStringInfo(&out);
	while ((used = outline_message(WIRE_BACKEND, bytes, at, &id, &body)) > 0)
	{
		if (id == WIRE_MSG_CommandComplete && body.len == 7 && memcmp(body.data, "COMMIT", 7) == 0)
			appendBinaryStringInfo(&out, rolled_back, sizeof(rolled_back));
		else
			appendBinaryStringInfo(&out, answer->data + at, (int) used);
		at += used;
	}
	put_back(answer, at, &out);
}

/*
 * Makes of an exchange what it is in a replay that rolls back; see worker_planner.h.
 */
const char *
planner_roll_back(Planner *planner)
{
	PlanExchange *exchange = &planner->exchange;
	Texts texts = {
	    .in_block = planner->status != 'I', .is_empty = true, .statements = planner->rollback};

	rewrite_request(&texts, &planner->bytes);
	rewrite_answer(&planner->answer);
	if (exchange->tag_len == 6 && memcmp(exchange->tag, "COMMIT", 6) == 0)
	{
		exchange->tag_len = 8;
		memcpy(exchange->tag, "ROLLBACK", 8);
	}
	exchange->is_wrapped = texts.has_other && !texts.begins_block;
	return texts.reason;
}
