/*
 * lex.h
 *	  A lexer for query text, just enough to find constants and secrets.
 *
 * It follows the token boundaries of the server's scanner (scan.l) and knows
 * nothing of grammar.  Text need not end with a zero byte; a token that the
 * text's end cuts off reaches to the end and is marked.
 */
#ifndef WIRE_LEX_H
#define WIRE_LEX_H

#include <stdbool.h>
#include <stddef.h>

typedef enum LexKind
{
	LEX_END,
	LEX_SPACE, /* white space and comments */
	LEX_WORD,  /* identifier or key word */
	LEX_QUOTED_WORD,
	LEX_STRING, /* any quoted constant, dollar quoted ones as well */
	LEX_NUMBER,
	LEX_PARAMETER, /* $1 */
	LEX_OTHER      /* one character of anything else, or two dots */
} LexKind;

typedef struct LexToken
{
	LexKind kind;
	size_t begin;
	size_t end;
	size_t content_begin; /* inside the quotes */
	size_t content_end;
	bool is_cut;      /* the text ended inside it */
	bool is_dollar;   /* $$...$$ */
	bool is_unicode;  /* U&"..." */
	bool has_escapes; /* a constant in which a backslash means something */
} LexToken;

/* Reads the token at *at and moves behind it. */
extern LexToken lex_next(const char *text, size_t len, size_t *at, bool standard_strings);

/* Whether a token is this word, given in lower case. */
extern bool lex_is_word(const char *text, const LexToken *token, const char *word);

/* Lower case of an ASCII letter, as the scanner folds key words. */
extern char lex_lower(char c);

#endif /* WIRE_LEX_H */
