/*
 * redact.c
 *	  Overwrites values in a message's body, keeping lengths.
 *
 * What is a value is asked of the walker.  Where a body is cut short, or makes no
 * sense from some place on, everything behind that place is overwritten: what
 * can't be read can't be told from a value.
 */
#include <string.h>

#include "wire/lex.h"
#include "wire/walk.h"
#include "wire/wire.h"

typedef struct Redaction
{
	uint8_t *body;
	const bool *columns; /* NULL: every value */
	size_t column_count;
	size_t values; /* seen */
	size_t end;    /* of what was understood */
	bool changes;  /* something was overwritten */
} Redaction;

/*
 * Takes an event: overwrites a value.
 */
static bool
take(void *arg, const WireEvent *event)
{
	Redaction *redaction = arg;
	size_t at;

	if (event->kind == WIRE_EVENT_VALUE)
	{
		size_t value = redaction->values++;

		if (event->number > 0 &&
		    (!redaction->columns || value >= redaction->column_count || redaction->columns[value]))
		{
			memset(redaction->body + (event->bytes.data - redaction->body), '*', event->bytes.len);
			redaction->changes = true;
		}
	}
	if (event->bytes.data)
	{
		at = (size_t) (event->bytes.data - redaction->body) + event->bytes.len;
		if (at > redaction->end)
			redaction->end = at;
	}
	return true;
}

/*
 * Overwrites the values of a body; see wire.h.
 */
bool
wire_redact_values(WireMessageId id, uint8_t *body, size_t len, const bool *columns,
                   size_t column_count)
{
	Redaction redaction = {.body = body, .columns = columns, .column_count = column_count};
	WireWalk walk = {0};

	if (len == 0)
		return false;
	if (id != WIRE_MSG_CopyData &&
	    (wire_walk(id, body, len, &walk, take, &redaction) || redaction.end >= len))
		return redaction.changes;
	memset(body + redaction.end, '*', len - redaction.end);
	return true;
}

/*
 * Overwrites the constants of query text; see wire.h.
 */
bool
wire_redact_constants(char *text, size_t len, bool standard_strings)
{
	size_t at = 0;
	bool changes = false;
	LexToken token;

	while ((token = lex_next(text, len, &at, standard_strings)).kind != LEX_END)
	{
		if (token.is_cut)
		{
			/* it does not lex: where a constant ends nobody knows */
			memset(text + token.begin, '*', len - token.begin);
			return true;
		}
		changes |= token.kind == LEX_STRING || token.kind == LEX_NUMBER;
		if (token.kind == LEX_STRING)
			memset(text + token.content_begin, '*', token.content_end - token.content_begin);
		else if (token.kind == LEX_NUMBER)
			memset(text + token.begin, '0', token.end - token.begin);
	}
	return changes;
}

/*
 * Tells whether a text holds another, in any case.
 */
static bool
holds(const char *text, size_t len, const char *wanted)
{
	size_t wanted_len = strlen(wanted);

	for (size_t at = 0; at + wanted_len <= len; at++)
	{
		size_t same = 0;

		while (same < wanted_len && lex_lower(text[at + same]) == lex_lower(wanted[same]))
			same++;
		if (same == wanted_len)
			return true;
	}
	return false;
}

/*
 * Tells whether query text names a table: as a word of its own, in any case, as
 * identifiers are folded, or anywhere in a constant.
 */
bool
wire_text_names(const char *text, size_t len, bool standard_strings, const char *table)
{
	size_t table_len = strlen(table);
	size_t at = 0;
	LexToken token;

	while ((token = lex_next(text, len, &at, standard_strings)).kind != LEX_END)
	{
		size_t begin = token.kind == LEX_QUOTED_WORD ? token.content_begin : token.begin;
		size_t end = token.kind == LEX_QUOTED_WORD ? token.content_end : token.end;
		size_t same = 0;

		if (token.is_cut || token.is_unicode)
			return true; /* it may */
		if (token.kind == LEX_STRING &&
		    holds(text + token.content_begin, token.content_end - token.content_begin, table))
			return true; /* a DO block, say */
		if (token.kind != LEX_WORD && token.kind != LEX_QUOTED_WORD)
			continue;
		while (same < table_len && begin + same < end &&
		       lex_lower(text[begin + same]) == lex_lower(table[same]))
			same++;
		if (same == table_len && begin + same == end)
			return true;
	}
	return false;
}

/*
 * Overwrites what is between double quotes in a field.  Returns whether there is
 * anything.
 */
static bool
redact_quoted(uint8_t *text, size_t len)
{
	uint8_t *begin = memchr(text, '"', len);
	uint8_t *end = text + len;

	if (!begin)
		return false;
	while (end > begin + 1 && end[-1] != '"')
		end--;
	if (end <= begin + 2)
		return false;
	memset(begin + 1, '*', (size_t) (end - begin) - 2);
	return true;
}

/*
 * Overwrites what an error or notice may quote of values: details, contexts and
 * internal queries, the message where functions write it (class P0, and notices
 * of no class), and what the message of a data exception quotes; see wire.h.
 */
bool
wire_redact_prose(uint8_t *body, size_t len)
{
	WireSpan state;
	bool has_state = wire_error_field(body, len, 'C', &state) && state.len == 5;
	bool is_own = !has_state || !memcmp(state.data, "P0", 2) || !memcmp(state.data, "00", 2) ||
	              !memcmp(state.data, "01", 2);
	bool is_data = has_state && (!memcmp(state.data, "22", 2) || !memcmp(state.data, "42601", 5));
	bool changes = false;
	size_t at = 0;

	while (at < len && body[at] != 0)
	{
		char code = (char) body[at++];
		const uint8_t *end = memchr(body + at, 0, len - at);
		size_t n = end ? (size_t) (end - (body + at)) : len - at;

		if (strchr("DHWq", code) || (code == 'M' && is_own))
		{
			memset(body + at, '*', n);
			changes |= n > 0;
		}
		else if (code == 'M' && is_data)
			changes |= redact_quoted(body + at, n);
		at += n + 1;
	}
	return changes;
}
