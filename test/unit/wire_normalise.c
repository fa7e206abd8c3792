/*
 * wire_normalise.c
 *	  Query text with its constants taken out; the lexer's rules with it.
 */
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "wire/wire.h"

/*
 * Tests that a text becomes another.
 */
static void
test_with(const char *text, bool standard_strings, const char *expected)
{
	char out[512];
	size_t len = strlen(text);
	char *copy = malloc(len > 0 ? len : 1);
	size_t n;

	memcpy(copy, text, len);
	n = wire_normalise(copy, len, standard_strings, out, sizeof(out));
	free(copy);
	if (n != strlen(expected) || memcmp(out, expected, n) != 0)
	{
		printf("   got: %.*s\nwanted: %s\n", (int) n, out, expected);
		check(false, text);
	}
	else
		check(true, text);
}

static void
test(const char *text, const char *expected)
{
	test_with(text, true, expected);
}

int
main(void)
{
	char out[8];

	test("", "");
	test("select 1", "select $1");
	test("  select\t1 ,\n'x'  ", "select $1 , $2");
	test("select $2, 'a', $1", "select $2, $3, $1");
	test("select 1 -- comment 2\n, 3", "select $1 , $2");
	test("select /* a /* nested */ 1 */ 2", "select $1");
	test("select 'it''s', E'it\\'s', U&'d\\0061', B'01', X'ff', N'n'",
	     "select $1, $2, $3, $4, $5, $6");
	test("select 'a'\n 'b'", "select $1");
	test("select 'a' -- x\n 'b'", "select $1");
	test("select 'a' 'b'", "select $1 $2");
	test("select B'1''0'", "select $1$2");
	test("select $$a$$, $x$ $$ $y$ $x$", "select $1, $2");
	test("select a$b, c$1", "select a$b, c$1");
	test("select \"a\"\"1\", U&\"b\"", "select \"a\"\"1\", U&\"b\"");
	test("select 1.5, .5, 1., 1e10, 1.5e-3, 0x1F", "select $1, $2, $3, $4, $5, $6");
	test("select 1..2", "select $1..$2");
	test("select a1, _1", "select a1, _1");
	test("select x'a'y", "select $1y");
	test("select 'a\\'", "select $1");
	test_with("select 'a\\'' , 1", false, "select $1 , $2");
	test_with("select N'a\\'' , 1", false, "select $1 , $2");
	test_with("select B'1', '\\\\'", false, "select $1, $2");
	test("select 'cut", "<unparsable>");
	test("select \"cut", "<unparsable>");
	test("select $$cut", "<unparsable>");
	test("select /* cut", "<unparsable>");
	test("select $a$ cut $a", "<unparsable>");
	test("select 'caf\303\251', caf\303\251", "select $1, caf\303\251");
	test("a-1", "a-$1");
	test("select '{}'::jsonb->>'a'", "select $1::jsonb->>$2");
	check(wire_normalise("select 1, 2", 11, true, out, sizeof(out)) == 8 &&
	          memcmp(out, "select $", 8) == 0,
	      "cut to size");
	return finish();
}
