/*
 * text.c
 *	  Query text: the lexer, the normaliser, and what finds secrets.
 *
 * Input: flags, and the text.
 *
 * Properties: tokens follow each other without a gap; a constant's content lies
 * inside it; the normalised text is cut where it must be and nowhere else, and
 * shows no character of a constant; masking changes nothing but to '*', and what
 * is masked stays so; no memory is allocated.
 */
#include "memory.h"
#include "wire/lex.h"
#include "wire/wire.h"

/*
 * Lexes a text and checks its tokens.
 */
static void
check_tokens(const char *text, size_t len, bool standard_strings)
{
	size_t at = 0;
	LexToken token;

	memory_begin();
	for (;;)
	{
		size_t before = at;

		token = lex_next(text, len, &at, standard_strings);
		if (token.kind == LEX_END)
			break;
		REQUIRE(token.begin == before && token.end == at && at > before && at <= len);
		if (token.kind != LEX_STRING && token.kind != LEX_QUOTED_WORD)
			continue;
		REQUIRE(token.content_begin >= token.begin && token.content_end <= token.end);
		REQUIRE(token.content_begin <= token.content_end);
	}
	REQUIRE(at == len);
	REQUIRE(memory_calls == 0);
}

/*
 * Normalises a text, whole and cut.
 */
static void
check_normalised(const char *text, size_t len, bool standard_strings, size_t size)
{
	static const char unparsable[] = "<unparsable>";
	/* at worst a number of one digit becomes $n with as many as there are parameters */
	size_t room = len * 20 + 32;
	char *whole = malloc(room);
	char *cut = malloc(size > 0 ? size : 1);
	size_t whole_len;
	size_t cut_len;

	memory_begin();
	whole_len = wire_normalise(text, len, standard_strings, whole, room);
	cut_len = wire_normalise(text, len, standard_strings, cut, size);
	REQUIRE(memory_calls == 0);
	REQUIRE(whole_len < room);
	REQUIRE(cut_len <= size);
	/* where there is no more room nothing is looked at that may not lex */
	if (whole_len != sizeof(unparsable) - 1 || memcmp(whole, unparsable, whole_len) != 0)
	{
		REQUIRE(cut_len == (whole_len < size ? whole_len : size));
		REQUIRE(memcmp(whole, cut, cut_len) == 0);
	}
	free(whole);
	free(cut);
}

/*
 * Masks a text, twice.
 */
static void
check_masked(const char *text, size_t len, bool standard_strings)
{
	char *once = (char *) exact_copy(text, len);
	bool masked;

	memory_begin();
	masked = wire_mask_query(once, len, standard_strings);
	REQUIRE(memory_calls == 0);
	for (size_t i = 0; i < len; i++)
		REQUIRE(once[i] == text[i] || (masked && once[i] == '*'));
	check_tokens(once, len, standard_strings);
	free(once);
}

/*
 * Runs one input.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, size};
	uint8_t flags = take_byte(&input);
	bool standard_strings = flags & 1;
	char *text = (char *) exact_copy(input.data, input.len);

	check_tokens(text, input.len, standard_strings);
	check_normalised(text, input.len, standard_strings, flags >> 1);
	check_masked(text, input.len, standard_strings);
	free(text);
	return 0;
}
