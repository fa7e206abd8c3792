/*
 * text.h
 *	  Query texts and prepared statements as the relay knows them.
 *
 * A Text is one distinct query text, masked, shared by all sessions of a relay
 * and counted by its users.  A session maps statement names to Texts: the map
 * follows what the server has confirmed (ParseComplete, CloseComplete), so a
 * failed Parse changes nothing.
 *
 * The journal gets each text that came in a Parse, and each normalised text of a
 * Query, once an hour while it is used, as far as a table of recently sent hashes
 * remembers.  So the writer knows of each text when it was last needed, to an hour,
 * and a text that it dropped with its last exchange comes again with the next.
 */
#ifndef RELAY_TEXT_H
#define RELAY_TEXT_H

#include "relay/buffer.h"
#include "relay/table.h"

/* Longest text that is kept; the rest is cut off. */
#define TEXT_MAX (1024 * 1024)

typedef struct Text
{
	TableEntry entry; /* its hash is the record's query_hash: keyed, so that nobody can make
	                   * two texts one */
	uint64_t hash;    /* XXH3 of the masked text without a key, as backends know it */
	uint32_t users;
	uint32_t len;
	bool has_secret; /* a password was masked in it */
	bool is_masked;  /* so it was, or constants were */
	uint32_t redact; /* what the rules say of it */
	uint32_t redact_epoch;
	char data[];
} Text;

#define TEXT_SENT 65536
#define TEXT_RENEW_US INT64_C(3600000000)

/* A text that the journal has. */
typedef struct TextSent
{
	uint64_t hash;
	int64_t at; /* wall clock */
} TextSent;

/* All texts of a relay. */
typedef struct TextPool
{
	Budget *budget;
	const struct RedactRules *rules; /* NULL: none */
	bool keeps_none;                 /* nobody wants texts: there are none */
	Table texts;
	TextSent sent[TEXT_SENT];
	uint64_t seed; /* of the keyed hashes */
	Buffer scratch;
	Buffer pattern_scratch;
} TextPool;

/* A prepared statement of a session, or a Parse that waits for its answer. */
typedef struct Statement
{
	TableEntry entry;
	Text *text;
	uint32_t name_len;
	char name[];
} Statement;

/* The prepared statements of a session, the unnamed one apart. */
typedef struct StatementMap
{
	Statement *unnamed;
	Table named;
} StatementMap;

/* Makes or finds the Text of a query text, masked; adds a user. NULL: no memory, or none are kept. */
extern Text *text_get(TextPool *pool, const uint8_t *query, size_t len, bool standard_strings);
extern void text_release(TextPool *pool, Text *text);

/* Hashes a text, keyed. */
extern uint64_t text_hash(const TextPool *pool, const void *text, size_t len);

/* Whether the text of a hash must go to the journal now; notes that it does. */
extern bool text_must_send(TextPool *pool, uint64_t hash, int64_t now);
/* What the present rules say of a text; of one that is not known, all that they may. */
extern uint32_t text_redacts(TextPool *pool, Text *text);

/* Forgets what was sent: the journal threw a batch away. */
extern void text_forget_sent(TextPool *pool);
extern void text_pool_free(TextPool *pool);

/* Makes a statement; takes over the caller's use of text (which may be NULL). */
extern Statement *statement_make(TextPool *pool, const uint8_t *name, size_t len, Text *text);
extern void statement_free(TextPool *pool, Statement *statement);

/* Puts a statement into the map, in place of one of the same name. */
extern void statement_put(TextPool *pool, StatementMap *map, Statement *statement);
extern Statement *statement_find(const TextPool *pool, const StatementMap *map, const char *name,
                                 size_t len);
extern void statement_drop(TextPool *pool, StatementMap *map, const char *name, size_t len);
extern void statement_drop_all(TextPool *pool, StatementMap *map);

#endif /* RELAY_TEXT_H */
