/*
 * secret.c
 *	  Overwrites what must never be stored.
 *
 * In query text it would rather mask too much than too little: a statement that
 * can hold a password loses all its string constants.  Texts that can't be such
 * are told by a quick look for a few words.
 */
#include <string.h>

#include "wire/lex.h"
#include "wire/list.h"

/* How deep constants inside constants are looked into. */
#define MAX_DEPTH 4

/*
 * Finds a lower-case word in text, without regard to case.
 */
static bool
contains(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (size_t i = 0; i + word_len <= len; i++)
	{
		size_t j = 0;

		while (j < word_len && lex_lower(text[i + j]) == word[j])
			j++;
		if (j == word_len)
			return true;
	}
	return false;
}

/*
 * Tells whether text may hold a secret at all: one pass, most letters need one
 * comparison.
 */
static bool
may_hold_secret(const char *text, size_t len)
{
	for (size_t i = 0; i + 3 <= len; i++)
	{
		const char *word;

		switch (lex_lower(text[i]))
		{
			case 'p':
				word = "passw";
				break;
			case 'd':
				word = "dblink";
				break;
			case 's':
				word = lex_lower(text[i + 1]) == 'u' ? "subscription" : "server";
				break;
			case 'm':
				word = "mapping";
				break;
			case 'w':
				word = "wrapper";
				break;
			case ':':
				word = "://";
				break;
			case 'u':
				word = "u&\"";
				break;
			default:
				continue;
		}
		if (lex_lower(text[i + 1]) == word[1] && lex_lower(text[i + 2]) == word[2] &&
		    contains(text + i, len - i < strlen(word) ? len - i : strlen(word), word))
			return true;
	}
	return false;
}

/* What is known of the statement that is being looked at. */
typedef struct Statement
{
	int words;          /* so many of its first words were seen */
	bool makes;         /* CREATE or ALTER */
	bool is_role;       /* ... ROLE, USER, GROUP */
	bool is_connection; /* ... SUBSCRIPTION, SERVER, USER MAPPING, FOREIGN DATA WRAPPER */
	bool has_password;
	bool calls_dblink;
} Statement;

/*
 * Takes notice of a word or identifier.
 */
static void
note_word(Statement *statement, const char *text, const LexToken *token)
{
	static const char *const roles[] = {"role", "user", "group"};
	static const char *const connections[] = {"subscription", "server", "mapping", "wrapper"};

	if (token->kind == LEX_QUOTED_WORD)
	{
		statement->calls_dblink |=
		    token->is_unicode || contains(text + token->begin, token->end - token->begin, "dblink");
		return;
	}
	statement->calls_dblink |= contains(text + token->begin, token->end - token->begin, "dblink");
	statement->has_password |= lex_is_word(text, token, "password");
	statement->makes |= statement->words == 0 &&
	                    (lex_is_word(text, token, "create") || lex_is_word(text, token, "alter"));
	if (statement->makes && statement->words < 5)
	{
		for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
			statement->is_role |= lex_is_word(text, token, roles[i]);
		for (size_t i = 0; i < sizeof(connections) / sizeof(connections[0]); i++)
			statement->is_connection |= lex_is_word(text, token, connections[i]);
	}
	statement->words++;
}

/*
 * Tells whether all constants of a statement are masked.
 */
static bool
hides_all(const Statement *statement)
{
	return statement->calls_dblink || (statement->makes && statement->is_connection) ||
	       (statement->makes && statement->is_role && statement->has_password);
}

/*
 * Tells whether a constant is a secret by itself: a connection string with a
 * password, or a command in quotes that sets one.
 */
static bool
is_secret(const char *content, size_t len)
{
	return contains(content, len, "passw") || contains(content, len, "://") ||
	       contains(content, len, "dblink");
}

static bool mask_text(char *text, size_t len, bool standard_strings, int depth);

/*
 * Masks a run of bytes.  False: there was nothing to mask.
 */
static bool
mask(char *text, size_t begin, size_t end)
{
	memset(text + begin, '*', end - begin);
	return end > begin;
}

/*
 * Masks a constant if the statement, or what it holds, asks for that.
 */
static bool
mask_constant(char *text, const LexToken *token, const Statement *statement, bool standard_strings,
              int depth)
{
	char *content = text + token->content_begin;
	size_t len = token->content_end - token->content_begin;

	if (hides_all(statement))
		return mask(text, token->content_begin, token->content_end);
	if (!may_hold_secret(content, len))
		return false;
	/* a body in dollar quotes reads like any text; other quotes are doubled inside */
	if (token->is_dollar && depth < MAX_DEPTH)
		return mask_text(content, len, standard_strings, depth + 1);
	if (is_secret(content, len) || depth >= MAX_DEPTH)
		return mask(text, token->content_begin, token->content_end);
	return false;
}

/*
 * Learns what a statement is, up to its end, before any of it is masked: a
 * password's key word may stand behind a constant.
 */
static Statement
look_at_statement(const char *text, size_t len, size_t at, bool standard_strings)
{
	Statement statement = {0};
	LexToken token;

	while ((token = lex_next(text, len, &at, standard_strings)).kind != LEX_END)
	{
		if (token.kind == LEX_OTHER && text[token.begin] == ';')
			break;
		if (token.kind == LEX_WORD || token.kind == LEX_QUOTED_WORD)
			note_word(&statement, text, &token);
	}
	return statement;
}

/*
 * Masks the secrets in a text, statement by statement.
 */
static bool
mask_text(char *text, size_t len, bool standard_strings, int depth)
{
	bool masked = false;
	bool behind_password = false;
	size_t at = 0;
	Statement statement = look_at_statement(text, len, 0, standard_strings);
	LexToken token;

	while ((token = lex_next(text, len, &at, standard_strings)).kind != LEX_END)
	{
		if (token.kind == LEX_SPACE)
			continue;
		if (token.kind == LEX_STRING)
			masked |= mask_constant(text, &token, &statement, standard_strings, depth);
		else if (behind_password && hides_all(&statement) && !lex_is_word(text, &token, "null") &&
		         token.kind != LEX_OTHER)
			masked |= mask(text, token.begin, token.end); /* wrong quotes, still a password */
		behind_password = lex_is_word(text, &token, "password");
		if (token.kind == LEX_OTHER && text[token.begin] == ';')
			statement = look_at_statement(text, len, at, standard_strings);
	}
	return masked;
}

/*
 * Overwrites the secrets in query text; see wire.h.
 */
bool
wire_mask_query(char *text, size_t len, bool standard_strings)
{
	return may_hold_secret(text, len) && mask_text(text, len, standard_strings, 0);
}

/*
 * Returns how long the string at a place is, at most up to the body's end.
 */
static size_t
string_len(const uint8_t *body, size_t len, size_t at)
{
	const uint8_t *end = at < len ? memchr(body + at, 0, len - at) : NULL;

	return end ? (size_t) (end - (body + at)) : len - at;
}

/*
 * Overwrites what must never be stored in a body; see wire.h.
 */
void
wire_mask_body(WireMessageId id, uint8_t *body, size_t len, bool standard_strings)
{
	const WireField *field = wire_types[id].fields;
	size_t at = wire_types[id].type > 0xff ? 4 : 0; /* behind an authentication code */

	for (; field->kind != WIRE_KIND_END && at < len; field++)
	{
		size_t n;

		switch (field->kind)
		{
			case WIRE_KIND_UINT32:
			case WIRE_KIND_INT32:
				at += 4;
				break;
			case WIRE_KIND_STRING:
				at += string_len(body, len, at) + 1;
				break;
			case WIRE_KIND_QUERY:
			case WIRE_KIND_SECRET_STRING:
				n = string_len(body, len, at);
				if (field->kind == WIRE_KIND_QUERY)
					wire_mask_query((char *) body + at, n, standard_strings);
				else
					memset(body + at, '*', n);
				at += n + 1;
				break;
			case WIRE_KIND_SECRET_VALUE:
				at += 4;
				if (at >= len)
					return;
				memset(body + at, '*', len - at);
				return;
			case WIRE_KIND_SECRET:
				memset(body + at, '*', len - at);
				return;
			default:
				return;
		}
	}
}
