/*
 * redact.c
 *	  Takes values out of the record by the administrator's rules.
 *
 * It runs on the kept bytes when an exchange is recorded, before the journal
 * sees them.  Result columns are told by the RowDescription that stands before
 * the rows; rows without one (of a statement that was described earlier, or in a
 * later part) lose all values where a rule on columns or types is in force.
 */
#include "relay/redact.h"

#include <string.h>
#include <xxhash.h>

#include "wire/walk.h"

#define MAX_COLUMNS 1664 /* a result has no more */

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
 * Copies what the backend has resolved.
 */
bool
redact_copy(RedactColumns *columns, const BoardRedaction *redaction)
{
	columns->rules_hash = atomic_load(&redaction->rules_hash);
	columns->column_count = atomic_load(&redaction->column_count);
	columns->type_count = atomic_load(&redaction->type_count);
	if (columns->rules_hash == 0 || columns->column_count > BOARD_REDACTED ||
	    columns->type_count > BOARD_REDACTED)
		return false;
	for (uint32_t i = 0; i < BOARD_REDACTED; i++)
	{
		columns->relations[i] = atomic_load(&redaction->relations[i]);
		columns->columns[i] = atomic_load(&redaction->columns[i]);
		columns->types[i] = atomic_load(&redaction->types[i]);
	}
	return true;
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
			bits |= REDACT_PARAMETERS | REDACT_TEXT | REDACT_EXPRESSIONS;
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

/* ---- kept bytes ---- */

typedef struct Redactor
{
	uint32_t bits;
	const RedactColumns *rules;
	bool standard_strings;
	bool knows_columns; /* a RowDescription came */
	bool masks_some;    /* of its columns */
	bool columns[MAX_COLUMNS];
	size_t column_count;
	uint32_t relation; /* of the column in hand */
	int32_t column;
	Exchange *exchange;
	uint64_t seed;
	XXH3_state_t *hash;
} Redactor;

/*
 * Tells whether a rule of the backend's means a result column.
 */
static bool
is_meant(const Redactor *redactor, uint32_t type)
{
	const RedactColumns *rules = redactor->rules;

	if ((redactor->bits & REDACT_RESULTS) ||
	    (redactor->relation == 0 && (redactor->bits & REDACT_EXPRESSIONS)))
		return true;
	for (uint32_t i = 0; rules && i < rules->column_count; i++)
		if (redactor->relation != 0 && rules->relations[i] == redactor->relation &&
		    (rules->columns[i] == 0 || (int32_t) rules->columns[i] == redactor->column))
			return true;
	for (uint32_t i = 0; rules && i < rules->type_count; i++)
		if (rules->types[i] == type)
			return true;
	return false;
}

/*
 * Takes an event of a RowDescription: the table, number and type of a column.
 */
static bool
take_column(void *arg, const WireEvent *event)
{
	Redactor *redactor = arg;

	if (event->kind != WIRE_EVENT_NUMBER || !event->name)
		return true;
	if (strcmp(event->name, "table_oid") == 0)
		redactor->relation = (uint32_t) event->number;
	else if (strcmp(event->name, "column_no") == 0)
		redactor->column = (int32_t) event->number;
	else if (strcmp(event->name, "type_oid") == 0 && redactor->column_count < MAX_COLUMNS)
	{
		bool meant = is_meant(redactor, (uint32_t) event->number);

		redactor->masks_some |= meant;
		redactor->columns[redactor->column_count++] = meant;
	}
	return true;
}

/*
 * Reads a RowDescription.  One that is cut short tells of no columns at all.
 */
static void
read_columns(Redactor *redactor, const uint8_t *body, size_t len)
{
	WireWalk walk = {0};

	redactor->column_count = 0;
	redactor->masks_some = false;
	redactor->knows_columns =
	    wire_walk(WIRE_MSG_RowDescription, body, len, &walk, take_column, redactor);
}

/*
 * Takes an event of a DataRow: adds what is not taken out to the row's hash.
 */
static bool
take_value(void *arg, const WireEvent *event)
{
	Redactor *redactor = arg;

	if (event->kind != WIRE_EVENT_VALUE)
		return true;
	if (redactor->knows_columns && redactor->column_count < MAX_COLUMNS &&
	    !redactor->columns[redactor->column_count])
	{
		XXH3_64bits_update(redactor->hash, &event->number, sizeof(event->number));
		XXH3_64bits_update(redactor->hash, event->bytes.data, event->bytes.len);
	}
	redactor->column_count++;
	return true;
}

/*
 * Adds a row to the digests that are made anew, without what is taken out.
 */
static void
digest_row(Redactor *redactor, const uint8_t *body, size_t len)
{
	WireWalk walk = {0};
	size_t columns = redactor->column_count;

	XXH3_64bits_reset_withSeed(redactor->hash, redactor->seed);
	redactor->column_count = 0; /* counts values here */
	wire_walk(WIRE_MSG_DataRow, body, len, &walk, take_value, redactor);
	redactor->column_count = columns;
	exchange_add_digest(redactor->exchange, XXH3_64bits_digest(redactor->hash));
}

/*
 * Takes values out of a row.
 */
static void
redact_row(Redactor *redactor, uint8_t *body, size_t len, bool is_whole)
{
	bool has_rules = redactor->rules || (redactor->bits & (REDACT_EXPRESSIONS | REDACT_RESULTS));

	if (!redactor->knows_columns && has_rules)
	{
		redactor->masks_some = true;
		redactor->column_count = 0;
	}
	if (redactor->hash && is_whole)
		digest_row(redactor, body, len);
	if (redactor->masks_some)
		redactor->exchange->is_redacted |= wire_redact_values(
		    WIRE_MSG_DataRow, body, len, redactor->columns, redactor->column_count);
}

/*
 * Takes values out of one message.
 */
static void
redact_message(Redactor *redactor, WireDirection direction, const WireFrame *frame, uint8_t *body)
{
	size_t len = frame->body.len;
	bool *changes = &redactor->exchange->is_redacted;
	WireMessageId id =
	    wire_type_of(direction, frame->type, WIRE_PHASE_NORMAL, frame->body.data, len);

	if (id == WIRE_MSG_Unknown)
		id = wire_type_of(direction, frame->type, WIRE_PHASE_COPY, frame->body.data, len);
	switch (id)
	{
		case WIRE_MSG_Query:
		case WIRE_MSG_Parse:
			if (redactor->bits & REDACT_TEXT)
			{
				size_t at = id == WIRE_MSG_Parse ? strnlen((const char *) body, len) + 1 : 0;

				if (at < len)
					*changes |= wire_redact_constants((char *) body + at,
					                      strnlen((const char *) body + at, len - at),
					                      redactor->standard_strings);
			}
			break;
		case WIRE_MSG_Bind:
		case WIRE_MSG_FunctionCall:
			if (redactor->bits & REDACT_PARAMETERS)
				*changes |= wire_redact_values(id, body, len, NULL, 0);
			break;
		case WIRE_MSG_CopyData:
		case WIRE_MSG_FunctionCallResponse:
			if (redactor->rules || (redactor->bits & (REDACT_TEXT | REDACT_RESULTS)))
				*changes |= wire_redact_values(id, body, len, NULL, 0);
			break;
		case WIRE_MSG_RowDescription:
			read_columns(redactor, body, len);
			break;
		case WIRE_MSG_DataRow:
			redact_row(redactor, body, len, frame->ends);
			break;
		case WIRE_MSG_ErrorResponse:
		case WIRE_MSG_NoticeResponse:
			*changes |= redact_error(redactor->bits, body, len);
			break;
		default:
			break;
	}
}

/*
 * Takes values out of one direction's kept bytes.
 */
static void
redact_side(Redactor *redactor, WireDirection direction, Buffer *kept)
{
	WireFramer framer = {.have = 0};
	size_t at = 0;

	while (at < kept->len)
	{
		WireFrame frame;
		size_t consumed = wire_frame_next(&framer, kept->data + at, kept->len - at, &frame);

		if (frame.bad)
		{
			memset(kept->data + at, '*', kept->len - at);
			redactor->exchange->is_redacted = true;
			return;
		}
		at += consumed;
		if (frame.begins && frame.body.len > 0)
			redact_message(redactor, direction, &frame, kept->data + (at - frame.body.len));
	}
}

/*
 * Takes values out of the kept bytes of an exchange.
 */
void
redact_exchange(Exchange *exchange, uint32_t bits, const RedactColumns *columns,
                bool standard_strings, uint64_t digest_seed)
{
	Redactor redactor = {.bits = bits,
	                     .rules = columns,
	                     .standard_strings = standard_strings,
	                     .exchange = exchange,
	                     .seed = digest_seed};
	bool has_results = columns || (bits & (REDACT_EXPRESSIONS | REDACT_RESULTS));

	if (has_results && exchange->has_digest)
	{
		/* with rows that are not there no digest can be made */
		exchange->row_digest = exchange->row_set_digest = 0;
		exchange->has_digest = false;
		if (!exchange->response.is_cut && exchange->part_no == 1 && exchange->is_complete)
			redactor.hash = XXH3_createState();
	}
	redact_side(&redactor, WIRE_FRONTEND, &exchange->request.kept);
	redact_side(&redactor, WIRE_BACKEND, &exchange->response.kept);
	if (redactor.hash)
		XXH3_freeState(redactor.hash);
}
