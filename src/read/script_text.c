/*
 * script_text.c
 *	  Text that psql sends as it was sent; literals; comments.
 *
 * psql ends a statement at a semicolon, replaces :name by a variable's value, and takes a
 * backslash for a command of its own; a backslash before a semicolon or colon says that it
 * is none of this.
 */
#include "read/script.h"

#include "utils/builtins.h"
#include "wire/lex.h"

/*
 * Tells whether psql would take a colon before this for a variable's.
 */
static bool
begins_variable(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '\'' || c == '"' || c == '{' ||
	       (c & 0x80) != 0;
}

/*
 * Appends a token that is neither word nor constant; false: psql cannot send it.
 */
static bool
append_other(StringInfo out, const char *text, const LexToken *token, size_t len)
{
	char c = text[token->begin];
	bool is_first = token->begin == 0 || text[token->begin - 1] != ':';

	if (c == '\\')
		return false;
	if (c == ';' || (c == ':' && is_first && token->end < len && begins_variable(text[token->end])))
		appendStringInfoChar(out, '\\');
	appendBinaryStringInfo(out, text + token->begin, (int) (token->end - token->begin));
	return true;
}

/*
 * Appends a statement's text; see script.h.
 */
bool
script_append_text(StringInfo out, const char *text, bool standard_strings)
{
	size_t len = strlen(text);
	size_t at = 0;
	int begin = out->len;
	LexToken token = lex_next(text, len, &at, standard_strings);

	while (token.kind != LEX_END)
	{
		bool is_open = token.is_cut && (token.kind == LEX_STRING || token.kind == LEX_QUOTED_WORD ||
		                                token.kind == LEX_SPACE);
		bool is_comment = token.kind == LEX_SPACE && token.end == len;

		if (is_open && token.kind == LEX_SPACE && strncmp(text + token.begin, "--", 2) == 0)
			is_open = false; /* a comment that ends with the text */
		if (is_open || (token.kind == LEX_OTHER && !append_other(out, text, &token, len)))
		{
			out->len = begin;
			out->data[begin] = '\0';
			return false;
		}
		if (token.kind != LEX_OTHER)
			appendBinaryStringInfo(out, text + token.begin, (int) (token.end - token.begin));
		if (is_comment)
			appendStringInfoChar(out, '\n');
		token = lex_next(text, len, &at, standard_strings);
	}
	return true;
}

/*
 * Appends a statement that psql cannot read; see script.h.
 */
void
script_append_generated(StringInfo out, const char *text)
{
	char *tag = pstrdup("$text$");

	/* nor may the text's end and the tag's begin make one */
	for (int i = 1; strstr(psprintf("%s%s", text, tag), tag)[strlen(tag)] != '\0'; i++)
		tag = psprintf("$text%d$", i);
	appendStringInfo(out, "SELECT %s%s%s \\gexec\n", tag, text, tag);
}

/*
 * Appends text as comments; see script.h.  psql ends one at a carriage return as well.
 */
void
script_append_comment(StringInfo out, const char *text)
{
	do
	{
		size_t len = strcspn(text, "\r\n");

		appendStringInfo(out, "-- %.*s\n", (int) len, text);
		text += len;
	} while (*text++ != '\0');
}

/*
 * Returns a parameter as a literal of its type; see script.h.
 */
char *
script_literal(const ReadSession *session, Oid type, const ReadValue *value)
{
	const char *cast = "";

	if (read_type_is_known(session, type))
		cast = psprintf("::%s", format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY));
	if (value->is_null)
		return psprintf("NULL%s", cast);
	if (!value->is_text)
		return NULL;
	return psprintf("%s%s", quote_literal_cstr(pnstrdup(value->text, value->len)), cast);
}

/*
 * Returns a text with its parameters replaced by literals; see script.h.
 */
char *
script_replace(const char *text, bool standard_strings, int count, char *const *literals)
{
	size_t len = strlen(text);
	size_t at = 0;
	StringInfoData out;
	LexToken token = lex_next(text, len, &at, standard_strings);

	initStringInfo(&out);
	for (; token.kind != LEX_END; token = lex_next(text, len, &at, standard_strings))
	{
		long number = token.kind == LEX_PARAMETER ? strtol(text + token.begin + 1, NULL, 10) : 0;

		if (number >= 1 && number <= count)
			appendStringInfoString(&out, literals[number - 1]);
		else
			appendBinaryStringInfo(&out, text + token.begin, (int) (token.end - token.begin));
	}
	return out.data;
}

/*
 * Tells whether a text's first word is one of these; a parenthesis counts as the word
 * "(".
 */
static bool
begins_with(const char *text, bool standard_strings, const char *const *words)
{
	size_t len = strlen(text);
	size_t at = 0;
	LexToken token;

	do
		token = lex_next(text, len, &at, standard_strings);
	while (token.kind == LEX_SPACE);
	for (; *words; words++)
		if (lex_is_word(text, &token, *words) ||
		    (token.kind == LEX_OTHER && text[token.begin] == **words))
			return true;
	return false;
}

/*
 * Tells whether a text can be PREPAREd.
 */
bool
script_is_preparable(const char *text, bool standard_strings)
{
	static const char *const words[] = {"select", "insert", "update", "delete", "merge",
	                                    "values", "with",   "table",  "(",      NULL};

	return begins_with(text, standard_strings, words);
}

/*
 * Tells whether a text has a COPY FROM STDIN, or looks like that.
 */
bool
script_has_copy_in(const char *text, bool standard_strings)
{
	size_t len = strlen(text);
	size_t at = 0;
	bool is_copy = false;

	for (;;)
	{
		LexToken token = lex_next(text, len, &at, standard_strings);

		if (token.kind == LEX_END)
			return false;
		if (lex_is_word(text, &token, "copy"))
			is_copy = true;
		else if (is_copy && lex_is_word(text, &token, "stdin"))
			return true;
	}
}

/*
 * Tells whether a statement begins, ends or divides a transaction.
 */
bool
script_is_transaction(const char *text, bool standard_strings)
{
	static const char *const words[] = {"begin",    "start", "commit", "end",
	                                    "rollback", "abort", NULL};

	return begins_with(text, standard_strings, words);
}

/*
 * Tells whether secrets in a text were masked: they would be masked again.
 */
bool
script_is_masked(const char *text, bool standard_strings)
{
	return wire_mask_query(pstrdup(text), strlen(text), standard_strings);
}
