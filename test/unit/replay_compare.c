/*
 * replay_compare.c
 *	  What two answers differ in: each verdict, at each level; hostile bytes; the plan's
 *	  files.
 *
 * Answers are written as in relay_tracker.c: a type byte a message, and after ':' the
 * body's text, in which '/' stands for a zero byte; a DataRow's text is its values,
 * each behind a ','.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checks.h"
#include "replay/compare.h"
#include "replay/plan.h"

#define ANSWER_SIZE 4096
#define HOSTILE_ROUNDS 20000

/*
 * Appends an integer.
 */
static size_t
put_integer(uint8_t *out, uint32_t number, int bytes)
{
	for (int i = 0; i < bytes; i++)
		out[i] = (uint8_t) (number >> (8 * (bytes - 1 - i)));
	return (size_t) bytes;
}

/*
 * Builds the body of a DataRow, or of a RowDescription with columns of these names.
 */
static size_t
build_list(char type, const char *text, size_t len, uint8_t *out)
{
	uint32_t count = 0;
	size_t size = 2;

	for (size_t i = 0; i < len;)
	{
		size_t begin = ++i;

		while (i < len && text[i] != ',')
			i++;
		count++;
		if (type == 'D')
		{
			size += put_integer(out + size, (uint32_t) (i - begin), 4);
			memcpy(out + size, text + begin, i - begin);
			size += i - begin;
			continue;
		}
		memcpy(out + size, text + begin, i - begin);
		size += i - begin;
		out[size++] = 0;
		size += put_integer(out + size, 0, 4); /* table */
		size += put_integer(out + size, 0, 2);
		size += put_integer(out + size, text[begin] == 'f' ? 701 : 25, 4);
		size += put_integer(out + size, 8, 2);
		size += put_integer(out + size, 0, 4);
		size += put_integer(out + size, 0, 2); /* format */
	}
	put_integer(out, count, 2);
	return size;
}

/*
 * Builds an answer.
 */
static size_t
build(const char *tokens, uint8_t *out)
{
	size_t size = 0;

	while (*tokens)
	{
		const char *end = strchr(tokens, ' ');
		size_t len = end ? (size_t) (end - tokens) : strlen(tokens);
		const char *text = len > 2 ? tokens + 2 : "";
		size_t text_len = len > 2 ? len - 2 : 0;
		uint8_t *body = out + size + 5;
		size_t body_len = text_len;

		if (tokens[0] == 'D' || tokens[0] == 'T')
			body_len = build_list(tokens[0], text, text_len, body);
		else
			for (size_t i = 0; i < text_len; i++)
				body[i] = text[i] == '/' ? 0 : text[i] == '_' ? ' ' : (uint8_t) text[i];
		out[size] = (uint8_t) tokens[0];
		put_integer(out + size + 1, (uint32_t) body_len + 4, 4);
		size += 5 + body_len;
		tokens += len + (end ? 1 : 0);
	}
	return size;
}

/*
 * Notes a difference as text.
 */
static void
note(void *arg, const Difference *difference)
{
	char *text = arg;

	snprintf(text + strlen(text), ANSWER_SIZE - strlen(text), "%s%d:%s", text[0] ? " " : "",
	         difference->statement_no, verdict_name(difference->verdict));
	if (difference->captured.has_value && difference->captured.column.len > 0)
		snprintf(text + strlen(text), ANSWER_SIZE - strlen(text), "(%d,%.*s)",
		         (int) difference->captured.row_no, (int) difference->captured.column.len,
		         (const char *) difference->captured.column.data);
}

typedef struct Case
{
	int level;
	const char *captured;
	const char *replayed;
	const char *expected;
} Case;

#define ROWS "T:,a,f D:,x,1 D:,y,2 "
#define END " Z:I"

static const Case cases[] = {
    {5, ROWS "C:SELECT_2/" END, ROWS "C:SELECT_2/" END, ""},
    {0, "C:SELECT_2/" END, "E:C42P01//" END, ""},
    {1, "C:SELECT_2/" END, "E:C42P01//" END, "1:error_new"},
    {1, "E:C42P01//" END, "E:C42703//" END, "1:error_changed"},
    {1, "E:C42P01/Ma//" END, "E:C42P01/Mb//" END, ""},
    {1, "E:C42P01//" END, "C:SELECT_2/" END, "1:error_gone"},
    {1, "C:BEGIN/ Z:T", "C:BEGIN/ Z:E", "2:transaction_state"},
    {1, "C:INSERT_0_1/" END, "C:UPDATE_1/" END, ""},
    {2, "C:INSERT_0_1/" END, "C:UPDATE_1/" END, "1:shape"},
    {2, "C:INSERT_0_1/" END, "C:INSERT_0_2/" END, "1:rows"},
    {3, "1 t:/\x01///\x17 n" END, "1 t:/\x01///\x19 n" END, "1:shape"},
    {2, "1 t:/\x01///\x17 n" END, "1 t:/\x01///\x19 n" END, ""},
    {3, "G:/// C:COPY_0/" END, "G:\x01// C:COPY_0/" END, "1:shape"},
    {3, "H:/// C:COPY_0/" END, "H:\x01// C:COPY_0/" END, "1:shape"},
    {2, "H:/// C:COPY_0/" END, "H:\x01// C:COPY_0/" END, ""},
    {4, "V:///\x01x" END, "V:///\x01y" END, "1:data"},
    {3, "V:///\x01x" END, "V:///\x01y" END, ""},
    {1, "1 2 C:SELECT_0/" END, "1 2 I" END, "1:shape"},
    {1, "T:,a D:,x C:SELECT_1/" END, "T:,a C:SELECT_0/" END, ""},
    {2, "T:,a D:,x C:SELECT_1/" END, "T:,a C:SELECT_0/" END, "1:rows"},
    {2, "T:,a D:,x C:SELECT_1/" END, "T:,a D:,x D:,x C:SELECT_2/" END, "1:rows"},
    {2, "T:,a D:,x D:,y C:SELECT_2/" END, "T:,a D:,x E:C22012//" END, "1:error_new"},
    {5, "T:,a D:,x E:C22012//" END, "T:,a D:,x D:,y C:SELECT_2/" END, "1:error_gone"},
    {3, "2 T:,a D:,x C:FETCH_1/" END, "2 n E:C34000//" END, "1:error_new"},
    {2, "T:,a D:,x E:C22012//" END, "T:,a D:,x D:,y E:C22012//" END, "1:rows"},
    {2, "T:,a D:,x C:X/ C:X/" END, "T:,a D:,x D:,y C:X/ E:C22012//" END, "1:rows 2:error_new"},
    {2, "T:,a" END, "T:,b" END, ""},
    {3, "T:,a" END, "T:,b" END, "1:shape"},
    {3, "T:,a" END, "T:,a,b" END, "1:shape"},
    {3, "T:,a" END, "T:,f" END, "1:shape"},
    {3, "N:C01000// C:X/" END, "C:X/" END, "0:shape"},
    {2, "N:C01000// C:X/" END, "C:X/" END, ""},
    {3, "T:,a D:,x C:X/" END, "T:,a D:,y C:X/" END, ""},
    {4, "T:,a D:,x C:X/" END, "T:,a D:,y C:X/" END, "1:data"},
    {5, "T:,a,b D:,x,y D:,z,z C:X/" END, "T:,a,b D:,x,y D:,z,w C:X/" END, "1:data(2,b)"},
    {4, "T:,a D:,x D:,y C:X/" END, "T:,a D:,y D:,x C:X/" END, "1:order_only"},
    {5, "T:,a D:,x D:,y C:X/" END, "T:,a D:,y D:,x C:X/" END, "1:order_only"},
    {5, "T:,now D:,x C:X/" END, "T:,now D:,y C:X/" END, ""},
    {5, "T:,a,now D:,x,1 D:,y,2 C:X/" END, "T:,a,now D:,y,3 D:,x,4 C:X/" END, "1:order_only"},
    {5, "T:,f D:,1.0000001 C:X/" END, "T:,f D:,1.0000002 C:X/" END, ""},
    {5, "T:,f D:,1.1 C:X/" END, "T:,f D:,1.2 C:X/" END, "1:data(1,f)"},
    {5, "T:,a D:,1.0000001 C:X/" END, "T:,a D:,1.0000002 C:X/" END, "1:data(1,a)"},
    {4, "T:,a,b D:,***,1 C:X/" END, "T:,a,b D:,abc,1 C:X/" END, ""},
    {4, "T:,a,b D:,***,1 C:X/" END, "T:,a,b D:,abcd,1 C:X/" END, "1:data"},
    {5, "T:,a,b D:,***,1 C:X/" END, "T:,a,b D:,abc,2 C:X/" END, "1:data(1,b)"},
    {5, "T:,a,b D:,x,y D:,x,y C:X/" END, "T:,a,b D:,x,y D:,x,* C:X/" END, "1:data(2,b)"},
    {5, "2 D:,x,y,1 C:X/" END, "2 D:,x,y,2 C:X/" END, ""},
    {5, "2 D:,x,y,1 C:X/" END, "2 D:,x,z,2 C:X/" END, "1:data"},
    {5, "T:,a,b,c D:,x,y,1 C:X/" END, "T:,a,b,c D:,x,y,2 C:X/" END, ""},
    {4, "T:,a D:,x C:X/ T:,a D:,x C:X/" END, "T:,a D:,y C:X/ T:,a D:,z C:X/" END, "1:data 2:data"},
    {4, "H:/// d:x d:y c C:COPY_2/" END, "H:/// d:x d:z c C:COPY_2/" END, "1:data"},
    {2, "H:/// d:x d:y c C:COPY_2/" END, "H:/// d:x c C:COPY_1/" END, "1:rows"},
    {5, "S:a/b/ A:1234a/b/ C:X/" END, "C:X/" END, ""},
};

/*
 * Compares the answers of a case.
 */
static void
run_case(const Case *test, bool types_agree)
{
	static uint8_t bytes[2][ANSWER_SIZE];
	CompareRules rules = {.level = test->level,
	                      .float_tolerance = 1e-6,
	                      .ignore = {.names = "now\0", .more = "#3\0"},
	                      .types_agree = types_agree};
	Answer captured = {.bytes = {bytes[0], 0}, .is_whole = true, .is_complete = true};
	Answer replayed = {.bytes = {bytes[1], 0}, .is_whole = true, .is_complete = true};
	char found[ANSWER_SIZE] = "";
	char what[ANSWER_SIZE];

	captured.bytes.len = build(test->captured, bytes[0]);
	replayed.bytes.len = build(test->replayed, bytes[1]);
	compare_answers(&rules, &captured, &replayed, note, found);
	if (strcmp(test->expected, "0:shape") == 0 && strstr(found, ":shape"))
		strcpy(found, "0:shape"); /* a notice belongs to no statement in particular */
	snprintf(what, sizeof(what), "level %d, '%s' and '%s': got '%s', expected '%s'", test->level,
	         test->captured, test->replayed, found, test->expected);
	check(strcmp(found, test->expected) == 0, what);
}

/*
 * Compares an answer whose column is of a user's type with itself: the OID may be another
 * type there.
 */
static void
run_types(void)
{
	uint8_t bytes[ANSWER_SIZE];
	UserTypes captured = {.count = 0};
	UserTypes replayed = {.count = 0};
	CompareRules rules = {.level = 3, .captured_types = &captured, .replayed_types = &replayed};
	Answer answer = {.is_whole = true, .is_complete = true};
	char found[ANSWER_SIZE] = "";
	size_t len = build("T:,a C:X/" END, bytes);

	/* the type's OID stands behind the name, the table's OID and the column's number */
	memcpy(bytes + 5 + 2 + 2 + 4 + 2, (uint8_t[]){0, 0, 0x40, 1}, 4);
	answer.bytes = (WireSpan){bytes, len};
	check(types_add(&captured, 16385, "s.one") && types_add(&captured, 16390, "s.two") &&
	          types_add(&replayed, 16390, "s.two") && types_add(&replayed, 16385, "s.one"),
	      "types are listed");
	types_sort(&captured);
	types_sort(&replayed);
	check(types_agree(&captured, &replayed), "the same types agree");
	rules.types_agree = true;
	check(compare_answers(&rules, &answer, &answer, note, found) == 0, "and compare as the same");
	free(replayed.list[0].name);
	replayed.list[0].name = strdup("s.other");
	check(!types_agree(&captured, &replayed), "an OID that is another type there does not agree");
	rules.types_agree = false;
	compare_answers(&rules, &answer, &answer, note, found);
	check(strcmp(found, "1:shape") == 0, "and its column differs, though no byte does");
	types_free(&captured);
	types_free(&replayed);
}

/*
 * Compares answers whose column comes in another format.
 */
static void
run_format(void)
{
	uint8_t text[ANSWER_SIZE];
	uint8_t binary[ANSWER_SIZE];
	size_t len = build("T:,a", text);
	CompareRules rules = {.level = 3};
	Answer captured = {.bytes = {text, len}, .is_whole = true, .is_complete = true};
	Answer replayed = {.bytes = {binary, len}, .is_whole = true, .is_complete = true};
	char found[ANSWER_SIZE] = "";

	build("T:,a", binary);
	binary[len - 1] = 1;
	compare_answers(&rules, &captured, &replayed, note, found);
	check(strcmp(found, "1:shape") == 0, "another format is another shape");
}

/*
 * Compares answers of which only the columns are known.
 */
static void
run_columns(void)
{
	CompareRules rules = {.level = 4};
	Answer captured = {.tag = {(const uint8_t *) "SELECT 5", 8},
	                   .transaction_status = 'I',
	                   .statement_count = 1,
	                   .row_count = 5,
	                   .data_row_count = 5,
	                   .has_digest = true,
	                   .row_digest = 1,
	                   .row_set_digest = 2};
	Answer replayed = captured;
	char found[ANSWER_SIZE] = "";

	check(compare_answers(&rules, &captured, &replayed, note, found) == 0, "the same columns");
	replayed.statement_count = 2;
	compare_answers(&rules, &captured, &replayed, note, found);
	replayed.statement_count = 1;
	replayed.row_digest = 7;
	compare_answers(&rules, &captured, &replayed, note, found);
	replayed.row_set_digest = 7;
	compare_answers(&rules, &captured, &replayed, note, found);
	replayed.row_count = 6;
	replayed.tag = (WireSpan){(const uint8_t *) "SELECT 6", 8};
	compare_answers(&rules, &captured, &replayed, note, found);
	replayed.transaction_status = 'T';
	compare_answers(&rules, &captured, &replayed, note, found);
	memcpy(replayed.sqlstate, "42P01", 5);
	compare_answers(&rules, &captured, &replayed, note, found);
	check(strcmp(found, "1:shape 1:order_only 1:data 1:rows 1:transaction_state 1:error_new") == 0,
	      found);
}

/*
 * Compares answers that no server would send: nothing may be read that is not there.
 */
static void
run_hostile(void)
{
	const char *good = "T:,a,f D:,x,1 D:,y,2 C:SELECT_2/ N:C01000// E:C42P01/Mx// Z:I";
	CompareRules rules = {.level = 5, .float_tolerance = 1e-6, .ignore = {.names = "a\0"}};
	int64_t found = 0;

	srandom(1);
	for (int round = 0; round < HOSTILE_ROUNDS; round++)
	{
		uint8_t built[ANSWER_SIZE];
		size_t len = build(good, built);
		size_t cut = (size_t) random() % (len + 1);
		uint8_t *exact = malloc(cut + 1); /* so that a read beyond it is seen */
		Answer captured = {.bytes = {built, len}, .is_whole = true};
		Answer replayed = {.is_whole = true};
		char text[ANSWER_SIZE] = "";

		memcpy(exact, built, cut);
		for (int i = random() % 4; i > 0 && cut > 0; i--)
			exact[(size_t) random() % cut] = (uint8_t) random();
		replayed.bytes = (WireSpan){exact, cut};
		found += compare_answers(&rules, &captured, &replayed, note, text);
		free(exact);
	}
	check(found > HOSTILE_ROUNDS / 2, "hostile answers differ from good ones");
}

/*
 * Writes a plan and maps it; one that names what it does not hold is refused.
 */
static void
run_plan(void)
{
	char path[64];
	PlanWriter writer;
	ReplayPlan plan;
	PlanExchange exchange = {.exchange_no = 5, .request_len = 3};
	PlanSession session = {.session_id = 9, .count = 1};

	snprintf(path, sizeof(path), "/tmp/replay_plan_test.%d", (int) getpid());
	check(plan_create(&writer, path) && plan_add_bytes(&writer, "abc", 3, &exchange.request_at) &&
	          plan_add_exchange(&writer, &exchange) && plan_add_session(&writer, &session) &&
	          plan_finish(&writer),
	      "a plan is written");
	check(plan_open(&plan, path) && plan.session_count == 1 && plan.exchange_count == 1 &&
	          plan.exchanges[0].exchange_no == 5 &&
	          memcmp(plan.bytes + plan.exchanges[0].request_at, "abc", 3) == 0,
	      "and mapped");
	plan_close(&plan);
	exchange.request_len = 4;
	check(plan_create(&writer, path) && plan_add_bytes(&writer, "abc", 3, &exchange.request_at) &&
	          plan_add_exchange(&writer, &exchange) && plan_add_session(&writer, &session) &&
	          plan_finish(&writer) && !plan_open(&plan, path),
	      "bytes that are not there");
	plan_close(&plan);
	plan_remove(path);
	check(!plan_open(&plan, path), "removed");
}

/*
 * Runs the tests.
 */
int
main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		run_case(&cases[i], false);
		run_case(&cases[i], true); /* then answers of the same bytes are not looked into */
	}
	run_types();
	run_columns();
	run_format();
	run_hostile();
	run_plan();
	return finish();
}
