/*
 * secret.c
 *	  Commands with a secret in them, written in all the ways that the input picks:
 *	  it is masked.
 *
 * Input: a series of choices.  They say what stands before the command, how its
 * words are written and separated, how the secret is quoted, and what is behind.
 *
 * Properties: the secret is gone, in part as well, also where the text is cut off
 * inside it; the length stays.
 */
#include "fuzz.h"
#include "wire/wire.h"

#define SECRET "hunter2"
#define SECRET_LEN (sizeof(SECRET) - 1)

#define LENGTH(list) (sizeof(list) / sizeof((list)[0]))

/* A text in the making. */
typedef struct Text
{
	char data[4096];
	size_t len;
} Text;

/* What may stand before a statement. */
static const char *const befores[] = {
    "",
    ";",
    "select 1;",
    "select 'a''b', E'\\'', $$x$$;",
    "begin; set x = 'y';",
    "-- a comment; 'with a quote\n",
    "/* a /* nested */ comment' */",
    "select $a$ ; $a$, \"a;\"\"b\", U&'d\\0061t' ;",
    "select 1.5e3, .5, 0x1f, $1;",
};

/* Commands up to where the secret stands as a constant. */
static const char *const commands[] = {
    "create role r login password",
    "create user r with encrypted password",
    "alter role r password",
    "alter user r with valid until 'infinity' password",
    "create group g password",
    "create subscription s connection",
    "alter subscription s connection",
    "create server s foreign data wrapper w options ( password",
    "create user mapping for u server s options ( user 'me' , password",
    "alter user mapping for u server s options ( set password",
    "select dblink_connect (",
    "select * from dblink (",
};

/* What separates words. */
static const char *const spaces[] = {" ", "  ", "\t", "\n", "/**/", " -- c\n", " /* ' */ ", "\r\n"};

/* How a secret is quoted. */
static const char *const quotes[][2] = {
    {"'", "'"},
    {"E'", "'"},
    {"$$", "$$"},
    {"$a$", "$a$"},
    {"U&'", "'"},
    {"'a'\n'", "'"},
    {"e'\\'", "'"},
    {"'it''s ", "'"},
    {"'host=h password=", " x=y'"},
    {"'postgres://u:", "@h/d'"},
};

/* What may stand behind it. */
static const char *const afters[] = {"",    ";", " ; select 'x'", ")", " valid until 'infinity'",
                                     " /* "};

/*
 * Appends text.
 */
static void
put(Text *text, const char *string, size_t len)
{
	REQUIRE(text->len + len <= sizeof(text->data));
	memcpy(text->data + text->len, string, len);
	text->len += len;
}

/*
 * Appends a command's text: its words in either case, with other separators.
 */
static void
put_command(Text *text, const char *command, Input *input)
{
	uint8_t upper = take_byte(input);
	bool in_constant = false;

	for (int i = 0; command[i]; i++)
	{
		const char *space = spaces[take_byte(input) % LENGTH(spaces)];
		char c = command[i];

		in_constant ^= c == '\'';
		if (c == ' ' && !in_constant)
			put(text, space, strlen(space));
		else
		{
			if (!in_constant && c >= 'a' && c <= 'z' && (upper >> (i % 8) & 1))
				c = (char) (c - 32);
			put(text, &c, 1);
		}
	}
	put(text, spaces[upper % LENGTH(spaces)], strlen(spaces[upper % LENGTH(spaces)]));
}

/*
 * Tells whether text holds the secret, or more than half of it.
 */
static bool
holds_secret(const char *text, size_t len)
{
	for (size_t at = 0; at + 4 <= len; at++)
		if (memcmp(text + at, SECRET, 4) == 0)
			return true;
	return false;
}

/*
 * Makes the text that the input asks for.  Returns where the secret begins.
 */
static size_t
make_text(Text *text, Input *input)
{
	const char *before = befores[take_byte(input) % LENGTH(befores)];
	const char *command = commands[take_byte(input) % LENGTH(commands)];
	const char *const *quote = quotes[take_byte(input) % LENGTH(quotes)];
	const char *after = afters[take_byte(input) % LENGTH(afters)];
	size_t begin;

	put(text, before, strlen(before));
	put_command(text, command, input);
	put(text, quote[0], strlen(quote[0]));
	begin = text->len;
	put(text, SECRET, SECRET_LEN);
	put(text, quote[1], strlen(quote[1]));
	put(text, after, strlen(after));
	return begin;
}

/*
 * Runs one input.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, size};
	uint8_t flags = take_byte(&input);
	bool in_do = flags & 2;
	Text text = {.len = 0};
	size_t begin;
	size_t len;
	char *copy;

	if (in_do) /* inside code, as a constant of its own */
		put(&text, "do $do$begin ", 13);
	begin = make_text(&text, &input);
	if (in_do)
		put(&text, " end$do$", 8);
	len = flags & 4 ? begin + 4 + take_byte(&input) % (SECRET_LEN - 3) : text.len;
	copy = (char *) exact_copy(text.data, len);
	wire_mask_query(copy, len, flags & 1);
	if (holds_secret(copy, len))
		fprintf(stderr, "of: %.*s\ngot: %.*s\n", (int) len, text.data, (int) len, copy);
	REQUIRE(!holds_secret(copy, len));
	free(copy);
	return 0;
}
