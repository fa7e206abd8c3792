/*
 * redact.c
 *	  The administrator's rules of redaction, and what they say of query texts.
 */
#include "relay/redact.h"

#include <string.h>
#include <xxhash.h>

#include "wire/wire.h"

/*
 * Splits "schema.table.column, ..." into the tables' names.  More than there is
 * room for, or what is no such list, is cut to nothing: the settings were checked.
 */
static void
take_tables(RedactRules *rules, const char *list)
{
	char *at = rules->names;

	rules->table_count = 0;
	memset(rules->names, 0, sizeof(rules->names));
	memcpy(rules->names, list, strnlen(list, sizeof(rules->names) - 1));
	while (*at && rules->table_count < REDACT_TABLES)
	{
		char *end = at + strcspn(at, ",");
		char *table = memchr(at, '.', (size_t) (end - at));
		char *dot = table ? memchr(table + 1, '.', (size_t) (end - table - 1)) : NULL;
		bool last = *end == 0;

		if (dot)
		{
			*dot = 0;
			rules->tables[rules->table_count++] = table + 1;
		}
		*end = 0;
		at = last ? end : end + 1;
	}
}

/*
 * Returns the hash of rules on columns and types.
 */
uint64_t
redact_rules_hash(const char *columns, const char *types)
{
	uint64_t hash = XXH3_64bits_withSeed(columns, strlen(columns), 1);

	hash = XXH3_64bits_withSeed(types, strlen(types), hash);
	return hash ? hash : 1;
}

/*
 * Checks a pattern.
 */
bool
redact_check_pattern(const char *pattern, char *reason, size_t size)
{
	regex_t regex;
	int error = regcomp(&regex, pattern, REG_EXTENDED | REG_ICASE | REG_NOSUB);

	if (error == 0)
		regfree(&regex);
	else
		regerror(error, &regex, reason, size);
	return error == 0;
}

/*
 * Takes rules over from the settings.
 */
bool
redact_configure(RedactRules *rules, const RelayConfig *config)
{
	if (rules->has_queries && !rules->is_broken)
		regfree(&rules->queries);
	rules->epoch++;
	rules->has_parameters = config->redact_parameters;
	rules->has_columns = config->redact_columns[0] || config->redact_types[0];
	rules->columns_hash = redact_rules_hash(config->redact_columns, config->redact_types);
	take_tables(rules, config->redact_columns);
	rules->has_queries = config->redact_queries[0] != 0;
	rules->is_broken = rules->has_queries && regcomp(&rules->queries, config->redact_queries,
	                                                 REG_EXTENDED | REG_ICASE | REG_NOSUB) != 0;
	return !rules->is_broken;
}

/*
 * Tells whether there is any rule.
 */
bool
redact_has_rules(const RedactRules *rules)
{
	return rules->has_parameters || rules->has_columns || rules->has_queries;
}

/*
 * Copies what the backend has looked up.
 */
bool
redact_copy(RedactColumns *columns, const BoardRedaction *redaction)
{
	uint32_t version = atomic_load(&redaction->version);

	columns->rules_hash = atomic_load(&redaction->rules_hash);
	columns->column_count = atomic_load(&redaction->column_count);
	columns->type_count = atomic_load(&redaction->type_count);
	for (uint32_t i = 0; i < BOARD_REDACTED; i++)
	{
		columns->relations[i] = atomic_load(&redaction->relations[i]);
		columns->columns[i] = atomic_load(&redaction->columns[i]);
		columns->types[i] = atomic_load(&redaction->types[i]);
	}
	if (columns->column_count > BOARD_REDACTED || columns->type_count > BOARD_REDACTED)
		columns->rules_hash = 0;
	return (version & 1) == 0 && atomic_load(&redaction->version) == version;
}

/*
 * Tells whether the regular expression matches a text, or can't be asked.
 */
static bool
matches(const RedactRules *rules, const char *text, size_t len, Buffer *scratch, Budget *budget)
{
	bool found;

	if (len > REDACT_TEXT_MAX || rules->is_broken)
		return true;
	scratch->len = 0;
	if (!buffer_append(budget, scratch, text, len) || !buffer_append(budget, scratch, "", 1))
		return true;
	found = regexec(&rules->queries, (const char *) scratch->data, 0, NULL, 0) != REG_NOMATCH;
	buffer_reset(budget, scratch, 4096);
	return found;
}

/*
 * Returns what the rules say of a query text.
 */
uint32_t
redact_text(const RedactRules *rules, const char *text, size_t len, bool standard_strings,
            Buffer *scratch, Budget *budget)
{
	uint32_t bits = rules->has_parameters ? REDACT_PARAMETERS : 0;

	for (uint32_t i = 0; i < rules->table_count; i++)
		if (wire_text_names(text, len, standard_strings, rules->tables[i]))
		{
			bits |= REDACT_STATEMENT;
			break;
		}
	if (rules->has_queries && matches(rules, text, len, scratch, budget))
		bits |= REDACT_ALL;
	return bits;
}

/*
 * Takes out what an error quotes.
 */
bool
redact_error(uint32_t bits, uint8_t *body, size_t len)
{
	return bits && wire_redact_prose(body, len);
}
