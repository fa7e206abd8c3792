/*
 * split.c
 *	  The statements in the text of a Query, and what PREPARE, EXECUTE and DEALLOCATE name.
 *
 * By the codec's lexer, which knows where constants and comments end.  A semicolon ends a
 * statement outside parentheses (CREATE RULE has some inside) and outside the body of a
 * function that is written as BEGIN ATOMIC ... END; CASE has an END as well.
 */
#include "read/read.h"

#include "parser/scansup.h"
#include "wire/lex.h"

/* A place in a text. */
typedef struct Scan
{
	const char *text;
	size_t len;
	size_t at;
	bool standard_strings;
} Scan;

/*
 * Returns the next token that is not white space or a comment.
 */
static LexToken
next_token(Scan *scan)
{
	LexToken token;

	do
		token = lex_next(scan->text, scan->len, &scan->at, scan->standard_strings);
	while (token.kind == LEX_SPACE);
	return token;
}

/* Depths at a place of a text. */
typedef struct Depth
{
	int parentheses;
	int blocks; /* BEGIN ATOMIC, and CASE inside one */
	bool after_begin;
} Depth;

/*
 * Follows what a token opens or closes.
 */
static void
follow_depth(Depth *depth, const char *text, const LexToken *token)
{
	bool is_begin = false;

	if (token->kind == LEX_OTHER && text[token->begin] == '(')
		depth->parentheses++;
	else if (token->kind == LEX_OTHER && text[token->begin] == ')')
		depth->parentheses = Max(depth->parentheses - 1, 0);
	else if (token->kind == LEX_WORD)
	{
		is_begin = lex_is_word(text, token, "begin");
		if ((depth->after_begin && lex_is_word(text, token, "atomic")) ||
		    (depth->blocks > 0 && lex_is_word(text, token, "case")))
			depth->blocks++;
		else if (depth->blocks > 0 && lex_is_word(text, token, "end"))
			depth->blocks--;
	}
	depth->after_begin = is_begin;
}

/*
 * Finds the statements in a text; see read.h.
 */
int
read_split(const char *text, size_t len, bool standard_strings, ReadPiece **pieces)
{
	Scan scan = {text, len, 0, standard_strings};
	int size = 4;
	int count = 0;
	Depth depth = {0};
	ReadPiece piece = {0, 0};
	bool is_empty = true;

	*pieces = palloc(sizeof(ReadPiece) * size);
	for (;;)
	{
		LexToken token = next_token(&scan);
		bool is_end = token.kind == LEX_END;
		bool is_over = is_end || (token.kind == LEX_OTHER && text[token.begin] == ';' &&
		                          depth.parentheses == 0 && depth.blocks == 0);

		if (!is_over)
		{
			follow_depth(&depth, text, &token);
			if (is_empty)
				piece.begin = token.begin;
			piece.end = token.end;
			is_empty = false;
			continue;
		}
		if (!is_empty)
		{
			if (count == size)
				*pieces = repalloc(*pieces, sizeof(ReadPiece) * (size *= 2));
			(*pieces)[count++] = piece;
		}
		if (is_end)
			break;
		is_empty = true;
		depth = (Depth){0};
	}
	if (count == 0)
		(*pieces)[count++] = (ReadPiece){0, len};
	return count;
}

/*
 * Returns the name that a token is, as the server folds and cuts it; NULL if it is none.
 */
static char *
token_name(const char *text, const LexToken *token)
{
	char *name;

	if (token->kind == LEX_WORD)
		return downcase_truncate_identifier(text + token->begin, (int) (token->end - token->begin),
		                                    false);
	if (token->kind != LEX_QUOTED_WORD || token->is_cut || token->is_unicode)
		return NULL;
	name = palloc(token->content_end - token->content_begin + 1);
	{
		char *to = name;

		for (size_t i = token->content_begin; i < token->content_end; i++)
		{
			*to++ = text[i];
			if (text[i] == '"')
				i++; /* doubled */
		}
		*to = '\0';
	}
	truncate_identifier(name, (int) strlen(name), false);
	return name;
}

/*
 * Reads what stands behind PREPARE: a name, types in parentheses, AS, the query.
 */
static void
read_prepare(Scan *scan, ReadCommand *command)
{
	LexToken token = next_token(scan);
	char *name = token_name(scan->text, &token);
	int depth = 0;

	for (token = next_token(scan); token.kind != LEX_END; token = next_token(scan))
	{
		char c = token.kind == LEX_OTHER ? scan->text[token.begin] : 0;

		if (depth == 0 && token.kind == LEX_WORD && lex_is_word(scan->text, &token, "as"))
			break;
		depth += (c == '(') - (c == ')');
	}
	if (!name || token.kind == LEX_END)
		return;
	token = next_token(scan);
	command->kind = READ_COMMAND_PREPARE;
	command->name = name;
	command->query = pnstrdup(scan->text + token.begin, scan->len - token.begin);
}

/*
 * Reads the command in a piece of text; see read.h.
 */
void
read_command(const char *text, size_t len, bool standard_strings, ReadCommand *command)
{
	Scan scan = {text, len, 0, standard_strings};
	LexToken token = next_token(&scan);

	memset(command, 0, sizeof(*command));
	if (token.kind != LEX_WORD)
		return;
	if (lex_is_word(text, &token, "prepare"))
	{
		read_prepare(&scan, command);
		return;
	}
	if (lex_is_word(text, &token, "execute"))
		command->kind = READ_COMMAND_EXECUTE;
	else if (lex_is_word(text, &token, "deallocate"))
		command->kind = READ_COMMAND_DEALLOCATE;
	else
		return;
	token = next_token(&scan);
	if (command->kind == READ_COMMAND_DEALLOCATE && token.kind == LEX_WORD &&
	    lex_is_word(text, &token, "prepare"))
		token = next_token(&scan);
	if (command->kind == READ_COMMAND_DEALLOCATE && token.kind == LEX_WORD &&
	    lex_is_word(text, &token, "all"))
		return;
	command->name = token_name(text, &token);
	if (!command->name)
		command->kind = READ_COMMAND_OTHER;
}
