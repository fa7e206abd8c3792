/*
 * lex.c
 *	  A lexer for query text, just enough to find constants and secrets.
 */
#include "wire/lex.h"

#include <string.h>

/* The text with a place in it. */
typedef struct Lexer
{
	const char *text;
	size_t len;
	size_t at;
} Lexer;

/*
 * Returns the character `ahead` of the place, 0 behind the end.
 */
static char
peek(const Lexer *lexer, size_t ahead)
{
	return lexer->at + ahead < lexer->len ? lexer->text[lexer->at + ahead] : 0;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool
is_line_break(char c)
{
	return c == '\n' || c == '\r';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_word_begin(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool
is_word_part(char c)
{
	return is_word_begin(c) || is_digit(c) || c == '$';
}

/*
 * Returns the lower case of an ASCII letter.
 */
char
lex_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + 32) : c;
}

/*
 * Moves behind white space and comments.  False: there were none.
 */
static bool
skip_space(Lexer *lexer, bool *cut)
{
	size_t begin = lexer->at;

	for (;;)
	{
		if (is_space(peek(lexer, 0)) && lexer->at < lexer->len)
			lexer->at++;
		else if (peek(lexer, 0) == '-' && peek(lexer, 1) == '-')
			while (lexer->at < lexer->len && !is_line_break(peek(lexer, 0)))
				lexer->at++;
		else if (peek(lexer, 0) == '/' && peek(lexer, 1) == '*')
		{
			int depth = 0;

			do
			{
				if (peek(lexer, 0) == '/' && peek(lexer, 1) == '*')
					depth++, lexer->at += 2;
				else if (peek(lexer, 0) == '*' && peek(lexer, 1) == '/')
					depth--, lexer->at += 2;
				else
					lexer->at++;
			} while (depth > 0 && lexer->at < lexer->len);
			if (lexer->at > lexer->len)
				lexer->at = lexer->len;
			*cut = depth > 0;
		}
		else
			return lexer->at > begin;
	}
}

/*
 * Tells whether a constant goes on behind its closing quote: white space and
 * comments with a line break among them, then another quote.  Moves behind that
 * quote.
 */
static bool
continues(Lexer *lexer)
{
	size_t begin = lexer->at;
	bool line_break = false;

	while (lexer->at < lexer->len)
	{
		if (peek(lexer, 0) == '-' && peek(lexer, 1) == '-')
			while (lexer->at < lexer->len && !is_line_break(peek(lexer, 0)))
				lexer->at++;
		else if (is_space(peek(lexer, 0)))
			line_break |= is_line_break(lexer->text[lexer->at++]);
		else
			break;
	}
	if (line_break && peek(lexer, 0) == '\'')
	{
		lexer->at++;
		return true;
	}
	lexer->at = begin;
	return false;
}

/*
 * Moves to the next character that may mean something inside quotes.
 */
static void
skip_content(Lexer *lexer, char quote, bool escapes)
{
	if (escapes)
		while (lexer->at < lexer->len && peek(lexer, 0) != quote && peek(lexer, 0) != '\\')
			lexer->at++;
	else if (lexer->at < lexer->len)
	{
		const char *begin = lexer->text + lexer->at;
		const char *found = memchr(begin, quote, lexer->len - lexer->at);

		lexer->at = found ? (size_t) (found - lexer->text) : lexer->len;
	}
}

/*
 * Reads up to the closing quote; the place is behind the opening one.
 */
static void
read_quoted(Lexer *lexer, LexToken *token, char quote, bool escapes, bool doubles)
{
	token->content_begin = lexer->at;
	for (;;)
	{
		skip_content(lexer, quote, escapes);
		if (lexer->at >= lexer->len)
		{
			token->is_cut = true;
			token->content_end = lexer->len;
			return;
		}
		if (peek(lexer, 0) == '\\')
			lexer->at += lexer->at + 1 < lexer->len ? 2 : 1;
		else if (doubles && peek(lexer, 1) == quote)
			lexer->at += 2;
		else
		{
			token->content_end = lexer->at++;
			if (quote != '\'' || !continues(lexer))
				return;
		}
	}
}

/*
 * Finds the tag of `tag` characters at the place again, from `at` on.
 */
static const char *
find_tag(const Lexer *lexer, size_t at, size_t tag)
{
	while (at + tag <= lexer->len)
	{
		const char *found = memchr(lexer->text + at, '$', lexer->len - at - tag + 1);

		if (!found || memcmp(found, lexer->text + lexer->at, tag) == 0)
			return found;
		at = (size_t) (found - lexer->text) + 1;
	}
	return NULL;
}

/*
 * Reads a dollar quoted constant, if that is what begins here.
 */
static bool
read_dollar(Lexer *lexer, LexToken *token)
{
	size_t tag = 1;
	const char *end;

	if (is_word_begin(peek(lexer, 1)))
		while (is_word_begin(peek(lexer, tag)) || is_digit(peek(lexer, tag)))
			tag++;
	if (peek(lexer, tag) != '$')
		return false;
	tag++;
	token->kind = LEX_STRING;
	token->is_dollar = true;
	token->content_begin = lexer->at + tag;
	end = find_tag(lexer, token->content_begin, tag);
	token->is_cut = end == NULL;
	token->content_end = end ? (size_t) (end - lexer->text) : lexer->len;
	lexer->at = end ? token->content_end + tag : lexer->len;
	token->end = lexer->at;
	return true;
}

/*
 * Reads a number: integer, with a fraction, an exponent, underscores, or in
 * another base.
 */
static void
read_number(Lexer *lexer)
{
	char base = lex_lower(peek(lexer, 1));

	if (peek(lexer, 0) == '0' && (base == 'x' || base == 'o' || base == 'b'))
	{
		lexer->at += 2;
		while (is_digit(peek(lexer, 0)) || peek(lexer, 0) == '_' ||
		       (lex_lower(peek(lexer, 0)) >= 'a' && lex_lower(peek(lexer, 0)) <= 'f'))
			lexer->at++;
		return;
	}
	while (is_digit(peek(lexer, 0)) || (peek(lexer, 0) == '_' && is_digit(peek(lexer, 1))))
		lexer->at++;
	if (peek(lexer, 0) == '.' && peek(lexer, 1) != '.')
	{
		lexer->at++;
		while (is_digit(peek(lexer, 0)) || (peek(lexer, 0) == '_' && is_digit(peek(lexer, 1))))
			lexer->at++;
	}
	if (lex_lower(peek(lexer, 0)) == 'e')
	{
		size_t sign = peek(lexer, 1) == '+' || peek(lexer, 1) == '-' ? 2 : 1;

		if (!is_digit(peek(lexer, sign)))
			return;
		lexer->at += sign;
		while (is_digit(peek(lexer, 0)))
			lexer->at++;
	}
}

/*
 * Returns the length of a prefix that makes a quote special, such as E' or
 * U&", with the quote; 0 for none.
 */
static size_t
quote_prefix(const Lexer *lexer)
{
	char first = lex_lower(peek(lexer, 0));

	if (peek(lexer, 0) == '\'' || peek(lexer, 0) == '"')
		return 1;
	if (strchr("ebxn", first) && first && peek(lexer, 1) == '\'')
		return 2;
	if (first == 'u' && peek(lexer, 1) == '&' && (peek(lexer, 2) == '\'' || peek(lexer, 2) == '"'))
		return 3;
	return 0;
}

/*
 * Reads a quoted constant or identifier with this prefix.
 */
static void
read_quotes(Lexer *lexer, LexToken *token, size_t prefix, bool standard_strings)
{
	char first = lex_lower(peek(lexer, 0));
	char quote = peek(lexer, prefix - 1);
	bool escapes = first == 'e' && prefix == 2;

	/* without standard strings, plain and national ones have escapes as well */
	if (!standard_strings && (prefix == 1 || (first == 'n' && prefix == 2)))
		escapes = true;
	token->kind = quote == '"' ? LEX_QUOTED_WORD : LEX_STRING;
	token->is_unicode = prefix == 3;
	token->has_escapes = quote == '\'' && (escapes || prefix == 3);
	lexer->at += prefix;
	/* a bit string has no quotes in it: two of them end it and begin another */
	read_quoted(lexer, token, quote, quote == '\'' && escapes,
	            prefix != 2 || (first != 'b' && first != 'x'));
}

/*
 * Reads the token at a place.
 */
LexToken
lex_next(const char *text, size_t len, size_t *at, bool standard_strings)
{
	Lexer lexer = {text, len, *at};
	LexToken token = {.kind = LEX_OTHER, .begin = *at};
	char c = peek(&lexer, 0);
	size_t prefix;

	if (lexer.at >= len)
		token.kind = LEX_END;
	else if (skip_space(&lexer, &token.is_cut))
		token.kind = LEX_SPACE;
	else if ((prefix = quote_prefix(&lexer)) > 0)
		read_quotes(&lexer, &token, prefix, standard_strings);
	else if (is_word_begin(c))
	{
		token.kind = LEX_WORD;
		while (lexer.at < len && is_word_part(peek(&lexer, 0)))
			lexer.at++;
	}
	else if (is_digit(c) || (c == '.' && is_digit(peek(&lexer, 1))))
	{
		token.kind = LEX_NUMBER;
		read_number(&lexer);
	}
	else if (c == '$' && is_digit(peek(&lexer, 1)))
	{
		token.kind = LEX_PARAMETER;
		for (lexer.at++; is_digit(peek(&lexer, 0));)
			lexer.at++;
	}
	else if (c == '.' && peek(&lexer, 1) == '.')
		lexer.at += 2;
	else if (c != '$' || !read_dollar(&lexer, &token))
		lexer.at++;
	token.end = lexer.at;
	*at = lexer.at;
	return token;
}

/*
 * Tells whether a token is this word.
 */
bool
lex_is_word(const char *text, const LexToken *token, const char *word)
{
	size_t len = token->end - token->begin;

	if (token->kind != LEX_WORD || strlen(word) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (lex_lower(text[token->begin + i]) != word[i])
			return false;
	return true;
}
