/*
 * text.c
 *	  Query texts and prepared statements as the relay knows them.
 */
#include "relay/text.h"

#include <string.h>
#include <xxhash.h>

#include "relay/redact.h"
#include "wire/wire.h"

/*
 * Returns the bytes that a Text of this length takes.
 */
static size_t
text_size(size_t len)
{
	return sizeof(Text) + len;
}

/*
 * Hashes a text, keyed.  0 means none, and none has it.
 */
uint64_t
text_hash(const TextPool *pool, const void *text, size_t len)
{
	uint64_t hash = XXH3_64bits_withSeed(text, len, pool->seed);

	return hash ? hash : 1;
}

/*
 * Returns what the rules say of a text.
 */
static uint32_t
judge(TextPool *pool, const char *text, size_t len, bool standard_strings)
{
	if (!pool->rules || !redact_has_rules(pool->rules))
		return 0;
	return redact_text(pool->rules, text, len, standard_strings, &pool->pattern_scratch,
	                   pool->budget);
}

/*
 * Returns what the present rules say of a text, which may be older than they are.
 */
uint32_t
text_redacts(TextPool *pool, Text *text)
{
	if (!pool->rules || !redact_has_rules(pool->rules))
		return 0;
	if (!text)
		return pool->rules->has_columns || pool->rules->has_queries ? REDACT_ALL
		                                                            : REDACT_PARAMETERS;
	if (text->redact_epoch != pool->rules->epoch)
	{
		text->redact = judge(pool, text->data, text->len, true);
		text->redact_epoch = pool->rules->epoch;
	}
	return text->redact;
}

/*
 * Adds the text that stands in the scratch buffer.  NULL: no memory.
 */
static Text *
add_text(TextPool *pool, uint64_t query_hash, size_t len)
{
	Text *text = budget_alloc(pool->budget, text_size(len));

	if (!text)
		return NULL;
	text->entry.hash = query_hash;
	text->hash = XXH3_64bits(pool->scratch.data, len);
	text->len = (uint32_t) len;
	if (len > 0)
		memcpy(text->data, pool->scratch.data, len);
	if (table_add(pool->budget, &pool->texts, &text->entry))
		return text;
	budget_free(pool->budget, text, text_size(len));
	return NULL;
}

/*
 * Makes or finds the Text of a query.  Masking comes before hashing: not even
 * the hash of a password may be stored.
 */
Text *
text_get(TextPool *pool, const uint8_t *query, size_t len, bool standard_strings)
{
	bool has_secret;
	bool is_masked;
	uint32_t redact;
	uint64_t hash;
	TableEntry *entry;
	Text *text;

	if (pool->keeps_none)
		return NULL;
	if (len > TEXT_MAX)
		len = TEXT_MAX;
	pool->scratch.len = 0;
	if (!buffer_append(pool->budget, &pool->scratch, query, len))
		return NULL;
	has_secret = len > 0 && wire_mask_query((char *) pool->scratch.data, len, standard_strings);
	redact = judge(pool, (const char *) pool->scratch.data, len, standard_strings);
	is_masked = has_secret;
	if (redact & REDACT_TEXT)
		is_masked |= wire_redact_constants((char *) pool->scratch.data, len, standard_strings);
	hash = text_hash(pool, pool->scratch.data, len);
	for (entry = table_first(&pool->texts, hash); entry; entry = table_next(entry))
		if (((Text *) entry)->len == len &&
		    (len == 0 || memcmp(((Text *) entry)->data, pool->scratch.data, len) == 0))
			break;
	text = (Text *) entry;
	if (!text && !(text = add_text(pool, hash, len)))
		return NULL;
	text->has_secret = has_secret;
	text->is_masked = is_masked;
	text->redact = redact;
	text->redact_epoch = pool->rules ? pool->rules->epoch : 0;
	text->users++;
	buffer_reset(pool->budget, &pool->scratch, 64 * 1024);
	return text;
}

/*
 * Gives up one use of a text; the last one frees it.
 */
void
text_release(TextPool *pool, Text *text)
{
	if (!text || --text->users > 0)
		return;
	table_remove(&pool->texts, &text->entry);
	budget_free(pool->budget, text, text_size(text->len));
}

/*
 * Tells whether a text must go to the journal now, and notes that it does.  The
 * table forgets by overwriting: then a text is sent again, no harm.
 */
bool
text_must_send(TextPool *pool, uint64_t hash, int64_t now)
{
	TextSent *sent = &pool->sent[hash % TEXT_SENT];

	if (sent->hash == hash && now >= sent->at && now - sent->at < TEXT_RENEW_US)
		return false;
	*sent = (TextSent){hash, now};
	return true;
}

/*
 * Forgets what was sent.
 */
void
text_forget_sent(TextPool *pool)
{
	memset(pool->sent, 0, sizeof(pool->sent));
}

/*
 * Frees what the pool itself holds; all texts must have been released.
 */
void
text_pool_free(TextPool *pool)
{
	buffer_free(pool->budget, &pool->scratch);
	buffer_free(pool->budget, &pool->pattern_scratch);
	table_dissolve(pool->budget, &pool->texts);
}

/*
 * Makes a statement.  Where memory is refused the text is released.
 */
Statement *
statement_make(TextPool *pool, const uint8_t *name, size_t len, Text *text)
{
	Statement *statement = budget_alloc(pool->budget, sizeof(Statement) + len);

	if (!statement)
	{
		text_release(pool, text);
		return NULL;
	}
	statement->text = text;
	statement->name_len = (uint32_t) len;
	if (len > 0)
		memcpy(statement->name, name, len);
	return statement;
}

/*
 * Frees a statement and its use of a text.
 */
void
statement_free(TextPool *pool, Statement *statement)
{
	if (!statement)
		return;
	text_release(pool, statement->text);
	budget_free(pool->budget, statement, sizeof(Statement) + statement->name_len);
}

/*
 * Finds a statement by its name; NULL for none.
 */
Statement *
statement_find(const TextPool *pool, const StatementMap *map, const char *name, size_t len)
{
	TableEntry *entry;

	if (len == 0)
		return map->unnamed;
	for (entry = table_first(&map->named, text_hash(pool, name, len)); entry;
	     entry = table_next(entry))
	{
		Statement *statement = (Statement *) entry;

		if (statement->name_len == len && memcmp(statement->name, name, len) == 0)
			return statement;
	}
	return NULL;
}

/*
 * Puts a statement into the map, in place of one of the same name.
 */
void
statement_put(TextPool *pool, StatementMap *map, Statement *statement)
{
	statement_drop(pool, map, statement->name, statement->name_len);
	if (statement->name_len == 0)
	{
		map->unnamed = statement;
		return;
	}
	statement->entry.hash = text_hash(pool, statement->name, statement->name_len);
	if (!table_add(pool->budget, &map->named, &statement->entry))
		statement_free(pool, statement);
}

/*
 * Drops the statement of a name, if there is one.
 */
void
statement_drop(TextPool *pool, StatementMap *map, const char *name, size_t len)
{
	Statement *statement = statement_find(pool, map, name, len);

	if (!statement)
		return;
	if (statement == map->unnamed)
		map->unnamed = NULL;
	else
		table_remove(&map->named, &statement->entry);
	statement_free(pool, statement);
}

/*
 * Drops all statements and the map's memory.
 */
void
statement_drop_all(TextPool *pool, StatementMap *map)
{
	TableEntry *entry = table_dissolve(pool->budget, &map->named);

	statement_free(pool, map->unnamed);
	map->unnamed = NULL;
	while (entry)
	{
		TableEntry *next = entry->next;

		statement_free(pool, (Statement *) entry);
		entry = next;
	}
}
