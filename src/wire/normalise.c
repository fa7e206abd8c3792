/*
 * normalise.c
 *	  Query text with its constants taken out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/lex.h"
#include "wire/wire.h"

/* What is written, cut to its size. */
typedef struct Output
{
	char *data;
	size_t size;
	size_t len;
} Output;

/*
 * Appends text.
 */
static void
put(Output *out, const char *text, size_t len)
{
	if (len > out->size - out->len)
		len = out->size - out->len;
	memcpy(out->data + out->len, text, len);
	out->len += len;
}

/*
 * Returns the highest number of a parameter in the text; 0 for none.
 */
static long
highest_parameter(const char *text, size_t len, bool standard_strings)
{
	size_t at = 0;
	long highest = 0;
	LexToken token;

	if (len == 0 || !memchr(text, '$', len))
		return 0;
	while ((token = lex_next(text, len, &at, standard_strings)).kind != LEX_END)
	{
		if (token.kind == LEX_PARAMETER)
		{
			long number = 0;

			for (size_t i = token.begin + 1; i < token.end && number < 100000; i++)
				number = number * 10 + (text[i] - '0');
			if (number > highest)
				highest = number;
		}
	}
	return highest;
}

/*
 * Writes query text with its constants replaced; see wire.h.
 */
size_t
wire_normalise(const char *text, size_t len, bool standard_strings, char *out, size_t size)
{
	static const char unparsable[] = "<unparsable>";
	Output output = {out, size, 0};
	long number = highest_parameter(text, len, standard_strings);
	bool space = false;
	size_t at = 0;
	LexToken token;

	while (output.len < size &&
	       (token = lex_next(text, len, &at, standard_strings)).kind != LEX_END)
	{
		char parameter[24];

		if (token.is_cut)
		{
			output.len = 0;
			put(&output, unparsable, sizeof(unparsable) - 1);
			return output.len;
		}
		if (token.kind == LEX_SPACE)
		{
			space = output.len > 0;
			continue;
		}
		if (space)
			put(&output, " ", 1);
		space = false;
		if (token.kind == LEX_STRING || token.kind == LEX_NUMBER)
			put(&output, parameter,
			    (size_t) snprintf(parameter, sizeof(parameter), "$%ld", ++number));
		else
			put(&output, text + token.begin, token.end - token.begin);
	}
	return output.len;
}
