/*
 * wire_docs.c
 *	  docs/messages.md is the list of messages, printed.
 *
 *		wire_docs			compares the page with the list
 *		wire_docs print		prints the page: what is written by hand, then the list
 *
 * Also here: the names that the protocol documentation gives to messages, all of
 * which the list must have, and nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "wire/list.h"

#define PAGE "docs/messages.md"

/* What is above this line is written by hand. */
#define MARK "<!-- below: printed from src/wire by `make docs/messages.md` -->\n"

/* A message as the protocol documentation describes it. */
typedef struct Documented
{
	const char *name;
	const char *row; /* our name */
	uint8_t directions;
	uint8_t type;
} Documented;

#define F WIRE_DIR_F
#define B WIRE_DIR_B
#define FB WIRE_DIR_FB
static const Documented documented[] = {
#define DOCUMENTED(name, row, directions, type) {name, #row, directions, type},
#include "wire_documented.h"
#undef DOCUMENTED
};

/*
 * Prints the phases of a message.
 */
static void
print_phases(FILE *out, const WireMessageType *type)
{
	const char *between = "";

	if (type->phases & (1u << WIRE_PHASE_NORMAL))
	{
		fputs("any", out);
		return;
	}
	for (int phase = 0; phase < WIRE_PLACE_COUNT; phase++)
		if (type->phases & (1u << phase))
		{
			fprintf(out, "%s%s", between, wire_phase_names[phase]);
			between = ", ";
		}
}

/*
 * Prints a message's fields and their kinds.
 */
static void
print_fields(FILE *out, const WireMessageType *type)
{
	static const char *const kinds[] = {"",
#define KIND_NAME(name, wire, json) #name,
	                                    WIRE_KINDS(KIND_NAME)
#undef KIND_NAME
	};

	for (const WireField *field = type->fields; field->kind != WIRE_KIND_END; field++)
		fprintf(out, "%s%s %s", field == type->fields ? "" : ", ", field->name, kinds[field->kind]);
}

/*
 * Prints a message's type byte, with its code if it has one.
 */
static void
print_type(FILE *out, const WireMessageType *type)
{
	uint8_t byte = WIRE_TYPE_BYTE(type->type);

	if (byte != 0 && !(type->phases & (1u << WIRE_PHASE_SSL_ANSWER)))
		fprintf(out, "%c", byte);
	if (WIRE_HAS_CODE(type->type))
		fprintf(out, "%s%u", byte ? " " : "", WIRE_CODE(type->type));
}

/*
 * Prints how long a message may be, if it has a length.
 */
static void
print_limit(FILE *out, const WireMessageType *type)
{
	if (type->phases & (1u << WIRE_PHASE_SSL_ANSWER))
		fputs(" | ", out);
	else if (type->limit >= 1000000000)
		fputs(" | 1 GB", out);
	else
		fprintf(out, " | %u,%03u", (unsigned) type->limit / 1000, (unsigned) type->limit % 1000);
}

/*
 * Prints a message's row.
 */
static void
print_row(FILE *out, const WireMessageType *type)
{
	static const char *const directions[] = {"", "F", "B", "F, B"};

	fprintf(out, "| %s | %s | ", type->key ? type->key : type->name, directions[type->directions]);
	print_type(out, type);
	fputs(" | ", out);
	if (type->phases & (1u << WIRE_PHASE_IN_XLOG_DATA))
		fprintf(out, "version %d", type->since);
	else if (type->phases & (1u << WIRE_PHASE_IN_COPY_DATA))
		fprintf(out, "%d.%d", type->since / 10, type->since % 10);
	else
		print_phases(out, type);
	if (!type->key)
		print_limit(out, type);
	fprintf(out, " | %s | ", type->help);
	print_fields(out, type);
	fputs(" |\n", out);
}

/*
 * Prints the messages of some phases in a table.
 */
static void
print_table(FILE *out, const char *title, const char *columns, unsigned phase_bits)
{
	fprintf(out, "\n## %s\n\n| %s | what it does | fields |\n", title, columns);
	for (const char *at = columns; at; at = strchr(at + 1, '|'))
		fputs("|---", out);
	fputs("|---|---|\n", out);
	for (int id = 1; id < WIRE_MSG_COUNT; id++)
		if (wire_types[id].phases & phase_bits)
			print_row(out, &wire_types[id]);
}

/*
 * Prints what the page has below the mark.
 */
static void
print_list(FILE *out)
{
	unsigned messages = (1u << WIRE_PHASE_COUNT) - 1;

	fputs(MARK, out);
	print_table(out, "Messages", "message | from | type | phase | longest", messages);
	print_table(out, "Inside CopyData", "key | from | type | protocol",
	            1u << WIRE_PHASE_IN_COPY_DATA);
	print_table(out, "Inside XLogData: pgoutput", "key | from | type | pgoutput",
	            1u << WIRE_PHASE_IN_XLOG_DATA);
	fputs("\n## Kinds of fields\n\n| kind | in the message | in JSON |\n|---|---|---|\n", out);
#define KIND_ROW(name, wire, json) fputs("| " #name " | " wire " | " json " |\n", out);
	WIRE_KINDS(KIND_ROW)
#undef KIND_ROW
}

/*
 * Reads a whole stream from its begin, into memory with a zero byte behind it.
 */
static char *
read_all(FILE *in)
{
	long len;
	char *text;

	fseek(in, 0, SEEK_END);
	len = ftell(in);
	text = calloc(1, (size_t) len + 1);
	rewind(in);
	if (fread(text, 1, (size_t) len, in) != (size_t) len)
		text[0] = 0;
	return text;
}

/*
 * Returns the page as it is.
 */
static char *
read_page(void)
{
	FILE *in = fopen(PAGE, "r");
	char *text;

	if (!in)
		return calloc(1, 1);
	text = read_all(in);
	fclose(in);
	return text;
}

/*
 * Prints the page with what is written by hand as it is.
 */
static void
print_page(const char *page)
{
	const char *mark = strstr(page, MARK);

	fwrite(page, 1, mark ? (size_t) (mark - page) : strlen(page), stdout);
	print_list(stdout);
}

/*
 * Tests that the page is up to date.
 */
static void
test_page(const char *page)
{
	FILE *out = tmpfile();
	const char *mark = strstr(page, MARK);
	char *list;

	print_list(out);
	list = read_all(out);
	fclose(out);
	check(mark && strlen(list) > 1000 && strcmp(mark, list) == 0,
	      PAGE " has the list; if not: make docs/messages.md");
	free(list);
}

/*
 * Tells whether a row is for a message of the documentation's.
 */
static bool
is_for(const WireMessageType *type, const Documented *message)
{
	return strcmp(type->name, message->row) == 0 && type->directions == message->directions &&
	       WIRE_TYPE_BYTE(type->type) == message->type;
}

/*
 * Tests that what is documented has one row, and each row is documented.
 */
static void
test_documented(void)
{
	size_t count = sizeof(documented) / sizeof(documented[0]);
	int found[WIRE_MSG_COUNT] = {0};

	for (size_t i = 0; i < count; i++)
	{
		int rows = 0;

		for (int id = 1; id < WIRE_MSG_COUNT; id++)
			if (is_for(&wire_types[id], &documented[i]))
			{
				rows++;
				found[id]++;
			}
		check(rows == 1, documented[i].name);
	}
	for (int id = 1; id < WIRE_MSG_COUNT; id++)
		check(found[id] == 1, wire_types[id].name);
}

int
main(int argc, char **argv)
{
	char *page = read_page();

	if (argc > 1 && strcmp(argv[1], "print") == 0)
	{
		print_page(page);
		free(page);
		return 0;
	}
	test_page(page);
	test_documented();
	free(page);
	return finish();
}
