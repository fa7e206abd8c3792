/*
 * findings_steps.c
 *	  What the messages of requests show of a client's habits: texts parsed again and
 *	  again, statements prepared and never bound, or described once more; see findings.h.
 *
 * Texts and names are known by their hashes of 64 bits, so that a session of many takes
 * little memory; a text itself is kept only where it is a finding, or may become one.
 */
#include "read/findings.h"

#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "read/steps.h"
#include "utils/builtins.h"

#define PARSED_AGAIN 5 /* so many Parse messages of a text are a finding */

/* A text that came in Parse messages. */
typedef struct TextHabit
{
	uint64 hash; /* key */
	char *query; /* once it is a finding */
	ReadEvidence parsed;
	int64 first[PARSED_AGAIN - 1]; /* exchanges, before it is one */
	ReadEvidence unused;           /* prepared with it and never bound */
	StringInfo unused_names;
} TextHabit;

/* A statement that was prepared, or described. */
typedef struct StatementHabit
{
	uint64 hash; /* key */
	char *name;  /* once it is needed */
	bool is_unused;
	int64 exchange_no; /* of its Parse */
	uint64 text_hash;
	char *query;       /* of its Parse, while it is unused */
	bool is_described; /* since its Parse */
	ReadEvidence described;
} StatementHabit;

/*
 * Returns the hash of bytes.
 */
static uint64
hash_of(WireSpan bytes)
{
	return hash_bytes_extended(bytes.data, (int) bytes.len, 0);
}

/*
 * Makes a table of entries under a hash.
 */
static HTAB *
make_table(const char *name, Size entry_size, MemoryContext context)
{
	HASHCTL control = {.keysize = sizeof(uint64), .entrysize = entry_size, .hcxt = context};

	return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Begins; see findings.h.
 */
void
read_habits_begin(ReadHabits *habits, MemoryContext context, int encoding)
{
	habits->context = context;
	read_encoding_init(&habits->encoding, encoding);
	habits->texts = make_table("texts", sizeof(TextHabit), context);
	habits->statements = make_table("statements", sizeof(StatementHabit), context);
}

/*
 * Returns a copy of a client's string as text; what is none is hexadecimal digits.
 */
static char *
copy_text(const ReadHabits *habits, WireSpan bytes)
{
	MemoryContext before = MemoryContextSwitchTo(habits->context);
	size_t len;
	const char *text = read_text(&habits->encoding, bytes, &len);
	char *copy;

	if (text)
		copy = pnstrdup(text, len);
	else
	{
		copy = palloc(bytes.len * 2 + 3);
		strcpy(copy, "\\x");
		copy[2 + hex_encode((const char *) bytes.data, bytes.len, copy + 2)] = '\0';
	}
	MemoryContextSwitchTo(before);
	return copy;
}

/*
 * Finds what is known under a hash, or makes an empty entry.
 */
static void *
find_or_make(HTAB *table, uint64 hash, Size entry_size)
{
	bool found;
	char *entry = hash_search(table, &hash, HASH_ENTER, &found);

	if (!found)
		memset(entry + sizeof(uint64), 0, entry_size - sizeof(uint64));
	return entry;
}

/*
 * Notes that a text was parsed.
 */
static void
note_text(const ReadHabits *habits, uint64 hash, WireSpan query, int64 exchange_no)
{
	TextHabit *text = find_or_make(habits->texts, hash, sizeof(TextHabit));

	if (text->parsed.count < PARSED_AGAIN - 1)
	{
		text->first[text->parsed.count++] = exchange_no;
		return;
	}
	if (text->parsed.count == PARSED_AGAIN - 1)
	{
		text->parsed.count = 0;
		for (int i = 0; i < PARSED_AGAIN - 1; i++)
			read_evidence_add(&text->parsed, habits->context, text->first[i]);
		if (!text->query)
			text->query = copy_text(habits, query);
	}
	read_evidence_add(&text->parsed, habits->context, exchange_no);
}

/*
 * Notes that a statement was prepared and not used, with its text.
 */
static void
note_unused(const ReadHabits *habits, const StatementHabit *statement)
{
	TextHabit *text = find_or_make(habits->texts, statement->text_hash, sizeof(TextHabit));
	MemoryContext before = MemoryContextSwitchTo(habits->context);

	if (!text->query)
		text->query = pstrdup(statement->query);
	if (!text->unused_names)
		text->unused_names = makeStringInfo();
	read_evidence_add(&text->unused, habits->context, statement->exchange_no);
	if (text->unused.count <= FINDING_EXCHANGES)
		appendStringInfo(text->unused_names, "%s%s", text->unused.count > 1 ? ", " : "",
		                 statement->name);
	MemoryContextSwitchTo(before);
}

/*
 * Forgets that a statement was not used yet.
 */
static void
clear_unused(StatementHabit *statement)
{
	if (!statement->is_unused)
		return;
	statement->is_unused = false;
	pfree(statement->query);
	statement->query = NULL;
}

/*
 * Takes a Parse.
 */
static void
take_parse(const ReadHabits *habits, const ReadStep *step, int64 exchange_no, bool has_failed)
{
	uint64 hash = hash_of(step->query);
	StatementHabit *statement;

	note_text(habits, hash, step->query, exchange_no);
	if (has_failed)
		return;
	statement = find_or_make(habits->statements, hash_of(step->statement), sizeof(StatementHabit));
	statement->is_described = false;
	if (step->statement.len == 0)
		return;
	if (!statement->name)
		statement->name = copy_text(habits, step->statement);
	if (statement->is_unused)
		note_unused(habits, statement);
	clear_unused(statement);
	statement->is_unused = true;
	statement->exchange_no = exchange_no;
	statement->text_hash = hash;
	statement->query = copy_text(habits, step->query);
}

/*
 * Takes a Describe of a statement.
 */
static void
take_describe(const ReadHabits *habits, const ReadStep *step, int64 exchange_no)
{
	StatementHabit *statement =
	    find_or_make(habits->statements, hash_of(step->statement), sizeof(StatementHabit));

	if (!statement->name)
		statement->name = copy_text(habits, step->statement);
	if (statement->is_described)
		read_evidence_add(&statement->described, habits->context, exchange_no);
	statement->is_described = true;
}

/*
 * Takes a Bind or Close of a statement.
 */
static void
take_use(const ReadHabits *habits, const ReadStep *step)
{
	uint64 hash = hash_of(step->statement);
	StatementHabit *statement = hash_search(habits->statements, &hash, HASH_FIND, NULL);

	if (!statement)
		return;
	if (step->id == WIRE_MSG_Bind)
		clear_unused(statement);
	else
		statement->is_described = false;
	if (!statement->is_unused && !statement->is_described && statement->described.count == 0)
	{
		if (statement->name)
			pfree(statement->name);
		hash_search(habits->statements, &hash, HASH_REMOVE, NULL);
	}
}

/*
 * Takes a request; see findings.h.
 */
void
read_habits_request(ReadHabits *habits, int64 exchange_no, WireSpan request, bool is_whole,
                    bool has_failed)
{
	ReadSteps steps;
	ReadStep step;

	read_steps_begin(&steps, request);
	while (read_steps_next(&steps, &step))
	{
		if (step.id == WIRE_MSG_Parse && step.query.data)
			take_parse(habits, &step, exchange_no, has_failed);
		else if (!step.statement.data)
			continue;
		else if (step.id == WIRE_MSG_Describe)
			take_describe(habits, &step, exchange_no);
		else
			take_use(habits, &step);
	}
	if (!is_whole || steps.left.len > 0)
		read_habits_doubt(habits);
}

/*
 * Takes note that something was not recorded: it may have used any statement, or made it anew.
 */
void
read_habits_doubt(ReadHabits *habits)
{
	HASH_SEQ_STATUS scan;
	StatementHabit *statement;

	hash_seq_init(&scan, habits->statements);
	while ((statement = hash_seq_search(&scan)) != NULL)
	{
		clear_unused(statement);
		statement->is_described = false;
	}
}

/*
 * Tells what was found; see findings.h.  A statement may still be bound while its session
 * goes on.
 */
void
read_habits_end(ReadHabits *habits, bool has_ended, char *(*text_of)(void *arg, int64 exchange_no),
                void *text_arg, ReadFindingPut put, void *put_arg)
{
	HASH_SEQ_STATUS scan;
	StatementHabit *statement;
	TextHabit *text;

	hash_seq_init(&scan, habits->statements);
	while ((statement = hash_seq_search(&scan)) != NULL)
	{
		if (statement->is_unused)
			note_unused(habits, statement);
		if (statement->described.count > 0)
			put(put_arg,
			    &(ReadFinding){"described_again", &statement->described,
			                   text_of(text_arg, statement->described.exchanges[0]),
			                   psprintf("statement %s was described %lld times more than needed",
			                            quote_literal_cstr(statement->name),
			                            (long long) statement->described.count)});
	}
	hash_seq_init(&scan, habits->texts);
	while ((text = hash_seq_search(&scan)) != NULL)
	{
		if (text->parsed.exchanges)
			put(put_arg, &(ReadFinding){"parsed_again", &text->parsed, text->query,
			                            psprintf("parsed %lld times: parse it once under a name",
			                                     (long long) text->parsed.count)});
		if (text->unused.count > 0 && has_ended)
			put(put_arg, &(ReadFinding){
			                 "unused_statement", &text->unused, text->query,
			                 psprintf("prepared as %s and never bound", text->unused_names->data)});
	}
}
