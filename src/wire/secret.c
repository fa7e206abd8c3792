/*
 * secret.c
 *	  Overwrites what must never be stored: secrets in query text.
 *
 * It would rather mask too much than too little.  Most texts are let through by
 * one look for a few letters.  The others are read token by token, a statement
 * at a time, twice: first to learn whether it can hold a secret at all, for what
 * says so may stand behind it, then to mask all its constants.  A statement can
 * hold a secret when
 *
 *	 - CREATE or ALTER stands before ROLE, USER or GROUP, with PASSWORD behind
 *	 - CREATE or ALTER stands before SUBSCRIPTION, SERVER, USER MAPPING, FOREIGN
 *	   DATA WRAPPER: connection strings and options
 *	 - it names a function of dblink
 *	 - its constants, taken together, read like any of these: dynamic SQL
 *	 - it runs dynamic SQL in which characters are written as escapes
 *
 * A constant that is a connection string with a password is masked by itself.
 * Bodies in dollar quotes are read like texts of their own.
 */
#include <string.h>

#include "wire/lex.h"
#include "wire/secret.h"
#include "wire/wire.h"

/* How deep bodies inside bodies are read; deeper ones are masked whole. */
#define MAX_DEPTH 4

/* Longest run of white space and comments looked through between two words. */
#define MAX_SEPARATOR 1000

/* What a statement has shown so far. */
typedef struct Statement
{
	bool makes_role;       /* CREATE or ALTER ROLE, USER, GROUP */
	bool makes_connection; /* ... SUBSCRIPTION, SERVER, USER MAPPING, FOREIGN ... */
	bool has_password;
	bool calls_dblink;
	bool is_dynamic;  /* EXECUTE */
	bool has_body;    /* DO, CREATE FUNCTION: constants in dollar quotes are code */
	bool has_escapes; /* a constant writes characters as escapes */
	int words;
	bool behind_make; /* the last word was CREATE or ALTER */
	bool behind_user; /* ... CREATE or ALTER, then USER */
} Statement;

/*
 * Tells whether text begins with a word in lower case, without regard to case.
 */
static bool
begins_with(const char *text, size_t len, const char *word)
{
	size_t i = 0;

	for (; word[i]; i++)
		if (i >= len || lex_lower(text[i]) != word[i])
			return false;
	return true;
}

/*
 * Finds a word in text, without regard to case.
 */
static bool
contains(const char *text, size_t len, const char *word)
{
	for (size_t i = 0; i < len; i++)
		if (lex_lower(text[i]) == word[0] && begins_with(text + i, len - i, word))
			return true;
	return false;
}

/*
 * Tells whether a character written as an escape begins at a place.
 */
static bool
is_escape(const char *at, size_t len)
{
	return len > 1 && at[0] == '\\' && at[1] && strchr("xuU+01234567", at[1]);
}

/* What a look at a text can find; a secret is possible with either of them. */
enum
{
	HINT_SECRET = 1, /* a word that leads to one */
	HINT_ESCAPE = 2, /* a character written as an escape ... */
	HINT_CODE = 4    /* ... and a word that runs text as code */
};

/*
 * Returns the hint that begins at a place, 0 for none.
 */
static int
hint_at(const char *at, size_t len)
{
	static const char *const secret[] = {
	    "pas",     "postgres", "dblink", "subscription", "server",
	    "mapping", "foreign",  "u&\"",   "uescape",
	};
	static const char *const code[] = {"execute", "do", "function", "procedure"};
	char first = lex_lower(*at);

	if (first == '\\')
		return is_escape(at, len) ? HINT_ESCAPE : 0;
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		if (secret[i][0] == first && begins_with(at, len, secret[i]))
			return HINT_SECRET;
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++)
		if (code[i][0] == first && begins_with(at, len, code[i]))
			return HINT_CODE;
	return 0;
}

/*
 * Tells whether a text must be read at all.
 */
static bool
is_possible(const char *text, size_t len)
{
	/* letters that a hint begins with, and the second ones, in either case */
	static const bool first[256] = {
	    ['p'] = true, ['P'] = true, ['d'] = true, ['D'] = true, ['s'] = true,
	    ['S'] = true, ['m'] = true, ['M'] = true, ['f'] = true, ['F'] = true,
	    ['u'] = true, ['U'] = true, ['e'] = true, ['E'] = true, ['\\'] = true,
	};
	static const bool second[256] = {
	    ['a'] = true, ['A'] = true, ['o'] = true, ['O'] = true, ['b'] = true, ['B'] = true,
	    ['u'] = true, ['U'] = true, ['e'] = true, ['E'] = true, ['x'] = true, ['X'] = true,
	    ['r'] = true, ['R'] = true, ['&'] = true, ['+'] = true, ['0'] = true, ['1'] = true,
	    ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true, ['6'] = true, ['7'] = true,
	};
	int hints = 0;

	for (size_t i = 0; i + 1 < len; i++)
	{
		if (!first[(unsigned char) text[i]] || !second[(unsigned char) text[i + 1]])
			continue;
		hints |= hint_at(text + i, len - i);
		if ((hints & HINT_SECRET) || hints == (HINT_ESCAPE | HINT_CODE))
			return true;
	}
	return false;
}

/*
 * Returns the length of what separates words in a command inside a constant:
 * white space, comments, escapes such as \n.  It is looked for so far and no
 * farther, or a text of nothing but such would be read again and again.
 */
static size_t
separator_len(const char *text, size_t len)
{
	size_t at = 0;

	if (len > MAX_SEPARATOR)
		len = MAX_SEPARATOR;
	while (at < len)
	{
		if (text[at] == '\\' && at + 1 < len)
			at += 2;
		else if (begins_with(text + at, len - at, "/*"))
		{
			for (at += 2; at < len && !begins_with(text + at, len - at, "*/"); at++)
				;
			at = at + 2 < len ? at + 2 : len;
		}
		else if (begins_with(text + at, len - at, "--"))
			while (at < len && text[at] != '\n')
				at++;
		else if ((unsigned char) text[at] <= ' ')
			at++;
		else
			break;
	}
	return at;
}

/*
 * Takes notice of a command that makes something: what is named behind CREATE
 * or ALTER at this place of a constant.
 */
static void
note_command(Statement *statement, const char *at, size_t len)
{
	size_t skip = separator_len(at, len);

	at += skip;
	len -= skip;
	if (skip == 0)
		return;
	if (skip == MAX_SEPARATOR)
		statement->makes_connection = true; /* what hides like that is no text to keep */
	if (begins_with(at, len, "user"))
	{
		statement->makes_role = true;
		skip = 4 + separator_len(at + 4, len - 4);
		statement->makes_connection |= begins_with(at + skip, len - skip, "mapping");
	}
	statement->makes_role |= begins_with(at, len, "role") || begins_with(at, len, "group");
	statement->makes_connection |= begins_with(at, len, "subscription") ||
	                               begins_with(at, len, "server") ||
	                               begins_with(at, len, "foreign");
}

/*
 * Takes notice of what a constant holds: it may be run as a command.
 */
static void
note_constant(Statement *statement, const char *content, size_t len, bool has_escapes)
{
	static const bool first[256] = {
	    ['c'] = true, ['C'] = true, ['a'] = true, ['A'] = true,  ['p'] = true,
	    ['P'] = true, ['d'] = true, ['D'] = true, ['\\'] = true,
	};

	for (size_t i = 0; i < len; i++)
	{
		const char *at = content + i;
		size_t left = len - i;

		if (!first[(unsigned char) *at])
			continue;
		switch (lex_lower(*at))
		{
			case 'c':
				if (begins_with(at, left, "create"))
					note_command(statement, at + 6, left - 6);
				break;
			case 'a':
				if (begins_with(at, left, "alter"))
					note_command(statement, at + 5, left - 5);
				break;
			case 'p':
				statement->has_password |= begins_with(at, left, "pas");
				break;
			case 'd':
				statement->calls_dblink |= begins_with(at, left, "dblink");
				break;
			case '\\':
				statement->has_escapes |= has_escapes && is_escape(at, left);
				break;
			default:
				break;
		}
	}
}

/*
 * Takes notice of a key word or identifier.
 */
static void
note_word(Statement *statement, const char *text, const LexToken *token)
{
	bool behind_make = statement->behind_make;
	bool behind_user = statement->behind_user;

	statement->behind_make =
	    lex_is_word(text, token, "create") || lex_is_word(text, token, "alter");
	statement->behind_user = behind_make && lex_is_word(text, token, "user");
	if (behind_make)
	{
		statement->makes_role |= statement->behind_user || lex_is_word(text, token, "role") ||
		                         lex_is_word(text, token, "group");
		statement->makes_connection |= lex_is_word(text, token, "subscription") ||
		                               lex_is_word(text, token, "server") ||
		                               lex_is_word(text, token, "foreign");
	}
	statement->makes_connection |= behind_user && lex_is_word(text, token, "mapping");
	/* misspelt it is a secret all the same */
	statement->has_password |= token->kind == LEX_WORD &&
	                           begins_with(text + token->begin, token->end - token->begin, "pas");
	statement->is_dynamic |= lex_is_word(text, token, "execute");
	statement->has_escapes |= lex_is_word(text, token, "uescape");
	if (statement->words == 0 && lex_is_word(text, token, "do"))
		statement->has_body = true;
	if (lex_is_word(text, token, "function") || lex_is_word(text, token, "procedure"))
		statement->has_body = true;
	/* a name in Unicode escapes may be any */
	statement->calls_dblink |=
	    token->is_unicode || contains(text + token->begin, token->end - token->begin, "dblink");
	statement->words++;
}

/*
 * Tells whether all constants of a statement are masked.
 */
static bool
hides_all(const Statement *statement)
{
	return statement->calls_dblink || statement->makes_connection ||
	       (statement->makes_role && statement->has_password) ||
	       (statement->has_escapes && (statement->is_dynamic || statement->has_body));
}

/*
 * Tells whether a constant is a connection string with a password.
 */
static bool
is_connection_string(const char *content, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		const char *at = content + i;
		size_t left = len - i;
		size_t skip = 8;

		if (*at != 'p' && *at != 'P')
			continue;
		if (begins_with(at, left, "postgresql://") || begins_with(at, left, "postgres://"))
			return true;
		if (!begins_with(at, left, "password"))
			continue;
		while (skip < left && (unsigned char) at[skip] <= ' ')
			skip++;
		/* sslpassword= as well; a comparison in SQL is none, unless a quote follows */
		if (skip < left && at[skip] == '=')
			return true;
	}
	return false;
}

/*
 * Overwrites a run of bytes.  False: there are none.
 */
static bool
overwrite(char *text, size_t begin, size_t end)
{
	memset(text + begin, '*', end - begin);
	return end > begin;
}

/*
 * Learns what a statement is, up to its end.
 */
static Statement
look_at_statement(const char *text, size_t len, size_t at, bool standard_strings)
{
	Statement statement = {0};
	LexToken token;

	while ((token = lex_next(text, len, &at, standard_strings)).kind != LEX_END)
	{
		if (token.kind == LEX_SPACE)
			continue;
		if (token.kind == LEX_OTHER && text[token.begin] == ';')
			break;
		if (token.kind == LEX_WORD || token.kind == LEX_QUOTED_WORD)
		{
			note_word(&statement, text, &token);
			continue;
		}
		statement.behind_make = statement.behind_user = false;
		if (token.kind == LEX_STRING && !(token.is_dollar && statement.has_body))
			note_constant(&statement, text + token.content_begin,
			              token.content_end - token.content_begin, token.has_escapes);
	}
	return statement;
}

/*
 * Tells whether prose of the server quotes a command or a connection string that
 * holds a secret.
 */
bool
secret_in_prose(const char *text, size_t len)
{
	Statement statement = {0};

	note_constant(&statement, text, len, false);
	return hides_all(&statement) || is_connection_string(text, len);
}

static bool mask_text(char *text, size_t len, bool standard_strings, int depth);

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
		return overwrite(text, token->content_begin, token->content_end);
	if (!is_possible(content, len))
		return false;
	if (token->is_dollar && depth < MAX_DEPTH)
		return mask_text(content, len, standard_strings, depth + 1);
	if (depth >= MAX_DEPTH || is_connection_string(content, len))
		return overwrite(text, token->content_begin, token->content_end);
	return false;
}

/*
 * Masks the secrets in a text, statement by statement.
 */
static bool
mask_text(char *text, size_t len, bool standard_strings, int depth)
{
	Statement statement = look_at_statement(text, len, 0, standard_strings);
	bool masked = false;
	bool behind_password = false;
	size_t at = 0;
	LexToken token;

	while ((token = lex_next(text, len, &at, standard_strings)).kind != LEX_END)
	{
		if (token.kind == LEX_SPACE)
			continue;
		if (token.kind == LEX_STRING)
			masked |= mask_constant(text, &token, &statement, standard_strings, depth);
		else if (behind_password && (statement.makes_role || statement.makes_connection) &&
		         token.kind != LEX_OTHER && !lex_is_word(text, &token, "null"))
			masked |= overwrite(text, token.begin, token.end); /* wrong quotes, or none */
		behind_password = token.kind == LEX_WORD &&
		                  begins_with(text + token.begin, token.end - token.begin, "passw");
		if (token.kind == LEX_OTHER && text[token.begin] == ';')
			statement = look_at_statement(text, len, at, standard_strings);
	}
	return masked;
}

/*
 * Overwrites the secrets in query text; see wire.h.  Where a backslash stands in
 * it, constants end elsewhere under the other setting, and the setting may have
 * changed unseen: then it is read both ways.
 */
bool
wire_mask_query(char *text, size_t len, bool standard_strings)
{
	bool masked;

	if (!is_possible(text, len))
		return false;
	masked = mask_text(text, len, standard_strings, 0);
	if (memchr(text, '\\', len))
		masked |= mask_text(text, len, !standard_strings, 0);
	return masked;
}
