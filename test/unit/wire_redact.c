/*
 * wire_redact.c
 *	  Values that are redacted are gone, wherever a body is cut, and lengths and
 *	  everything else stay.
 *
 * Values are the byte 'Z' in the bodies below, and 'Z' is in nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "wire/wire.h"

/*
 * Tells whether a value is left, other than in the columns that stay.
 */
static bool
has_value(const uint8_t *body, size_t len)
{
	return len > 0 && memchr(body, 'Z', len) != NULL;
}

/*
 * Tests that a body loses its values, cut at each byte.
 */
static void
gone(const char *what, WireMessageId id, const char *bytes, size_t len)
{
	for (size_t cut = 0; cut <= len; cut++)
	{
		uint8_t *copy = malloc(cut ? cut : 1);

		memcpy(copy, bytes, cut);
		wire_redact_values(id, copy, cut, NULL, 0);
		check(!has_value(copy, cut), what);
		if (cut == len)
			for (size_t i = 0; i < len; i++)
				check(bytes[i] == 'Z' ? copy[i] == '*' : copy[i] == (uint8_t) bytes[i], what);
		free(copy);
	}
}

/*
 * Tests bodies that hold values.
 */
static void
test_values(void)
{
	static const char bind[] = "portal\0s\0\0\1\0\1\0\3\0\0\0\4ZZZZ\377\377\377\377\0\0\0\2ZZ\0\0";
	static const char row[] = "\0\3\0\0\0\1Z\377\377\377\377\0\0\0\3ZZZ";
	static const char call[] = "\0\0\1\2\0\0\0\1\0\0\0\2ZZ\0\0";
	static const char result[] = "\0\0\0\3ZZZ";
	static const bool second[] = {false, true, true};
	uint8_t copy[sizeof(row)];

	gone("Bind", WIRE_MSG_Bind, bind, sizeof(bind) - 1);
	gone("DataRow", WIRE_MSG_DataRow, row, sizeof(row) - 1);
	gone("FunctionCall", WIRE_MSG_FunctionCall, call, sizeof(call) - 1);
	gone("FunctionCallResponse", WIRE_MSG_FunctionCallResponse, result, sizeof(result) - 1);
	gone("CopyData", WIRE_MSG_CopyData, "ZZZ", 3);
	memcpy(copy, row, sizeof(row));
	wire_redact_values(WIRE_MSG_DataRow, copy, sizeof(row) - 1, second, 3);
	check(copy[6] == 'Z' && copy[15] == '*' && copy[17] == '*', "columns that stay");
	memcpy(copy, row, sizeof(row));
	wire_redact_values(WIRE_MSG_DataRow, copy, sizeof(row) - 1, second, 1);
	check(copy[6] == 'Z' && copy[15] == '*', "columns that nobody told of go");
	/* a length that makes no sense: what is behind it can't be read, and goes */
	memcpy(copy, row, sizeof(row));
	copy[3] = 0x70;
	wire_redact_values(WIRE_MSG_DataRow, copy, sizeof(row) - 1, NULL, 0);
	check(!has_value(copy, sizeof(row) - 1), "nonsense");
}

/*
 * Tests what becomes of a query text's constants.
 */
static void
constants(const char *text, const char *expected)
{
	size_t len = strlen(text);
	char *copy = malloc(len + 1);

	memcpy(copy, text, len);
	wire_redact_constants(copy, len, true);
	if (memcmp(copy, expected, len) != 0)
		printf("   got: %.*s\n", (int) len, copy);
	check(len == strlen(expected) && memcmp(copy, expected, len) == 0, text);
	free(copy);
}

/*
 * Tests which texts name a table.
 */
static void
names(const char *text, bool expected)
{
	check(wire_text_names(text, strlen(text), true, "card") == expected, text);
}

/*
 * Tests what an error keeps.
 */
static void
prose(const char *sqlstate, const char *message, const char *expected)
{
	char body[256];
	int len = snprintf(body, sizeof(body),
	                   "SERROR%cC%s%cM%s%cDthe detail ZZ%cHa hint Z%cWin Z%cR"
	                   "routine%c%c",
	                   0, sqlstate, 0, message, 0, 0, 0, 0, 0, 0);
	WireSpan field;

	wire_redact_prose((uint8_t *) body, (size_t) len);
	check(wire_error_field((uint8_t *) body, (size_t) len, 'M', &field) &&
	          field.len == strlen(expected) && memcmp(field.data, expected, field.len) == 0,
	      message);
	check(!has_value((uint8_t *) body, (size_t) len), "nothing of the rest is left");
	check(wire_error_field((uint8_t *) body, (size_t) len, 'R', &field) && field.len == 7 &&
	          memcmp(field.data, "routine", 7) == 0,
	      "the routine is");
}

int
main(void)
{
	test_values();
	constants("select 'Z', 12, a1 from t -- 'x'", "select '*', 00, a1 from t -- 'x'");
	constants("insert into t values (E'a\\'Z', $$ZZ$$, B'10', 1.5e3, $1)",
	          "insert into t values (E'****', $$**$$, B'**', 00000, $1)");
	constants("select \"Quoted\", 'it''s'", "select \"Quoted\", '*****'");
	constants("select 'ZZ", "select ***");
	constants("", "");
	names("select * from card", true);
	names("SELECT * FROM crm.CARD c", true);
	names("select * from \"card\"", true);
	names("select * from cards", false);
	names("select discard from t", false);
	names("do $$ begin perform * from card; end $$", true);
	names("select 1 /* card */", false);
	names("select 'unfinished", true);
	prose("22P02", "invalid input for type x: \"ZZ\"", "invalid input for type x: \"**\"");
	prose("42P01", "relation \"t\" does not exist", "relation \"t\" does not exist");
	prose("P0001", "raised Z", "********");
	return finish();
}
