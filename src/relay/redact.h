/*
 * redact.h
 *	  What of an exchange the administrator's rules take out of the record.
 *
 * A rule on query text is judged once a text (redact_text), and exchanges collect
 * what their texts say.  Rules on columns and types are resolved by the backend,
 * which knows the catalog of its database, and come through the slot.  Where the
 * relay cannot know whether a value is meant, the value goes.
 *
 * Public routines:
 *		redact_configure	take rules over
 *		redact_has_rules	whether there are any
 *		redact_copy			what the backend has resolved
 *		redact_text			what the rules say of a query text
 *		redact_error		take values out of an error's or notice's body
 *		redact_exchange		take values out of an exchange's kept bytes
 */
#ifndef RELAY_REDACT_H
#define RELAY_REDACT_H

#include <regex.h>

#include "relay/exchange.h"
#include "relay/relay.h"

/* What is taken out; an exchange's bits are those of all its texts. */
enum
{
	REDACT_PARAMETERS = 1 << 0,  /* values of parameters, and what errors quote of them */
	REDACT_TEXT = 1 << 1,        /* constants in query text, CopyData */
	REDACT_EXPRESSIONS = 1 << 2, /* result columns that come from no table */
	REDACT_RESULTS = 1 << 3      /* all result columns */
};

#define REDACT_ALL (REDACT_PARAMETERS | REDACT_TEXT | REDACT_EXPRESSIONS | REDACT_RESULTS)

/* Longer text is not searched by a regular expression: it counts as a match. */
#define REDACT_TEXT_MAX (64 * 1024)
#define REDACT_TABLES 64

typedef struct RedactRules
{
	uint32_t epoch;      /* counted up when rules change, from 1 */
	bool has_parameters; /* redact_parameters */
	bool has_columns;    /* redact_columns or redact_types */
	uint64_t columns_hash;
	bool has_queries; /* redact_queries */
	bool is_broken;   /* which is no regular expression: it means everything */
	regex_t queries;
	uint32_t table_count;
	const char *tables[REDACT_TABLES];
	char names[RELAY_FILTER_SIZE]; /* what tables points into */
} RedactRules;

/* What goes of a statement that means a column of the rules. */
#define REDACT_STATEMENT (REDACT_PARAMETERS | REDACT_TEXT | REDACT_EXPRESSIONS)

/* What the backend of a session has looked up. */
typedef struct RedactColumns
{
	uint64_t rules_hash; /* of the rules that it is about */
	uint32_t column_count;
	uint32_t type_count;
	uint32_t relations[BOARD_REDACTED]; /* 0: expressions of the type in columns */
	uint32_t columns[BOARD_REDACTED];   /* 0: all of the relation */
	uint32_t types[BOARD_REDACTED];
} RedactColumns;

/*
 * Copies what the backend has looked up; rules_hash is 0 where that is not known, or is
 * too much to be told.  False: it is being written just now.
 */
extern bool redact_copy(RedactColumns *columns, const BoardRedaction *redaction);

/* Whether there is any rule. */
extern bool redact_has_rules(const RedactRules *rules);

/* Takes rules over from the settings.  False: the regular expression is none, and so
 * means every text. */
extern bool redact_configure(RedactRules *rules, const RelayConfig *config);

/* Returns what the rules say of a query text. */
extern uint32_t redact_text(const RedactRules *rules, const char *text, size_t len,
                            bool standard_strings, Buffer *scratch, Budget *budget);

/* Takes out what an error quotes, where the bits say so.  Returns whether there was anything. */
extern bool redact_error(uint32_t bits, uint8_t *body, size_t len);

/*
 * Takes values out of the kept bytes, and makes the digests anew, without what
 * was taken out; columns: what the backend resolved, NULL where no
 * rule means any.
 */
extern void redact_exchange(Exchange *exchange, uint32_t bits, const RedactColumns *columns,
                            bool standard_strings, uint64_t digest_seed);

#endif /* RELAY_REDACT_H */
