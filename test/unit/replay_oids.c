/*
 * replay_oids.c
 *	  Numbers of users' types inside messages: what is changed, what is left alone, and
 *	  hostile bytes.
 *
 * The record's server has mood as 17000 and its array as 17001, the target as 18000 and
 * 18001; type "gone" is the record's alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "replay/oids.h"

#define HOSTILE_ROUNDS 200000

static UserTypes from;
static UserTypes to;

/*
 * Makes the two lists.
 */
static void
make_lists(void)
{
	CHECK(types_add(&from, 17001, "public._mood") && types_add(&from, 17000, "public.mood") &&
	      types_add(&from, 17002, "public.gone"));
	CHECK(types_add(&to, 18000, "public.mood") && types_add(&to, 18001, "public._mood") &&
	      types_add(&to, 17000, "public.other"));
	types_sort(&from);
	types_sort(&to);
}

/* Bytes in the making. */
typedef struct Bytes
{
	uint8_t data[512];
	size_t len;
} Bytes;

/*
 * Appends an integer.
 */
static void
put(Bytes *bytes, uint32_t number, int size)
{
	for (int i = size - 1; i >= 0; i--)
		bytes->data[bytes->len++] = (uint8_t) (number >> (8 * i));
}

/*
 * Appends a text, its zero byte too if it is one of a message.
 */
static void
put_text(Bytes *bytes, const char *text, bool with_end)
{
	size_t len = strlen(text) + with_end;

	memcpy(bytes->data + bytes->len, text, len);
	bytes->len += len;
}

/*
 * Appends an array of one dimension: each element is text, or a number as four bytes.
 */
static void
put_array(Bytes *bytes, uint32_t type, const char *const *texts, uint32_t number)
{
	put(bytes, texts || number ? 1 : 0, 4);
	put(bytes, 0, 4);
	put(bytes, type, 4);
	if (!texts && !number)
		return;
	put(bytes, texts ? 2 : 1, 4);
	put(bytes, 1, 4);
	for (int i = 0; texts && i < 2; i++)
	{
		put(bytes, (uint32_t) strlen(texts[i]), 4);
		put_text(bytes, texts[i], false);
	}
	if (!texts)
	{
		put(bytes, 4, 4);
		put(bytes, number, 4);
	}
}

/*
 * Builds a composite of a mood and of an array of moods.
 */
static Bytes
make_composite(uint32_t mood, uint32_t array_type)
{
	static const char *const moods[] = {"sad", "ok"};
	Bytes bytes = {.len = 0};
	Bytes array = {.len = 0};

	put_array(&array, mood, moods, 0);
	put(&bytes, 3, 4);
	put(&bytes, mood, 4);
	put(&bytes, 3, 4);
	put_text(&bytes, "sad", false);
	put(&bytes, array_type, 4);
	put(&bytes, (uint32_t) array.len, 4);
	memcpy(bytes.data + bytes.len, array.data, array.len);
	bytes.len += array.len;
	put(&bytes, 23, 4);
	put(&bytes, UINT32_MAX, 4);
	return bytes;
}

/*
 * Begins a message; returns where its length is.
 */
static size_t
begin(Bytes *bytes, char type)
{
	bytes->data[bytes->len++] = (uint8_t) type;
	bytes->len += 4;
	return bytes->len - 4;
}

/*
 * Ends it.
 */
static void
end(Bytes *bytes, size_t at)
{
	size_t size = bytes->len;

	bytes->len = at;
	put(bytes, (uint32_t) (size - at), 4);
	bytes->len = size;
}

/*
 * Builds a request: a Parse that declares types, a Bind with a text, a composite and
 * an array of numbers of types, Sync.
 */
static Bytes
make_request(uint32_t mood, uint32_t array_type)
{
	Bytes composite = make_composite(mood, array_type);
	Bytes numbers = {.len = 0};
	Bytes bytes = {.len = 0};
	size_t at = begin(&bytes, 'P');

	put_array(&numbers, 26, NULL, array_type);
	put_text(&bytes, "one", true);
	put_text(&bytes, "select $1, $2, $3", true);
	put(&bytes, 3, 2);
	put(&bytes, mood, 4);
	put(&bytes, 17002, 4);
	put(&bytes, 23, 4);
	end(&bytes, at);
	at = begin(&bytes, 'B');
	put_text(&bytes, "", true);
	put_text(&bytes, "one", true);
	put(&bytes, 3, 2);
	put(&bytes, 0, 2);
	put(&bytes, 1, 2);
	put(&bytes, 1, 2);
	put(&bytes, 3, 2);
	put(&bytes, 4, 4);
	put(&bytes, 17000, 4); /* a text, whatever it looks like */
	put(&bytes, (uint32_t) composite.len, 4);
	memcpy(bytes.data + bytes.len, composite.data, composite.len);
	bytes.len += composite.len;
	put(&bytes, (uint32_t) numbers.len, 4);
	memcpy(bytes.data + bytes.len, numbers.data, numbers.len);
	bytes.len += numbers.len;
	put(&bytes, 0, 2);
	end(&bytes, at);
	end(&bytes, begin(&bytes, 'S'));
	return bytes;
}

/*
 * Tells whether two are the same.
 */
static bool
is_same(const Bytes *a, const Bytes *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/*
 * Requests.
 */
static void
test_requests(void)
{
	Bytes captured = make_request(17000, 17001);
	Bytes wanted = make_request(18000, 18001);
	Bytes plain = make_request(23, 1007);
	Bytes unknown = captured;
	Bytes cut;

	CHECK(oids_in_request((WireSpan){captured.data, captured.len}));
	oids_translate(captured.data, captured.len, &from, &to);
	CHECK(is_same(&captured, &wanted));
	captured = unknown;
	oids_translate(captured.data, captured.len, NULL, &to);
	oids_translate(captured.data, captured.len, &from, NULL);
	CHECK(is_same(&captured, &unknown));
	memcpy(plain.data + 5 + 4 + 18 + 2 + 4, "\0\0\0\x17", 4); /* in place of 17002 */
	CHECK(!oids_in_request((WireSpan){plain.data, plain.len}));
	for (cut = unknown; cut.len > 0; cut.len--)
		oids_translate(cut.data, cut.len, &from, &to);
}

/*
 * Values.
 */
static void
test_values(void)
{
	Bytes captured = make_composite(17000, 17001);
	Bytes wanted = make_composite(18000, 18001);
	Bytes longer = captured;
	Bytes empty = {.len = 0};
	Bytes other = {.len = 0};

	CHECK(oids_translate_value(captured.data, captured.len, &from, &to));
	CHECK(is_same(&captured, &wanted));
	longer.len++; /* a byte too many: it is no composite */
	wanted = longer;
	CHECK(!oids_translate_value(longer.data, longer.len, &from, &to));
	CHECK(is_same(&longer, &wanted));
	put_array(&empty, 17000, NULL, 0);
	CHECK(oids_translate_value(empty.data, empty.len, &from, &to));
	CHECK(memcmp(empty.data + 8, "\0\0\x46\x50", 4) == 0);
	put_array(&other, 17002, NULL, 0);
	CHECK(!oids_translate_value(other.data, other.len, &from, &to));
}

/*
 * Values of type oid.
 */
static void
test_numbers(void)
{
	WireSpan text = {(const uint8_t *) "17000", 5};
	WireSpan same = {(const uint8_t *) "18000", 5};
	WireSpan other = {(const uint8_t *) "18001", 5};
	WireSpan binary = {(const uint8_t *) "\0\0\x46\x50", 4};
	WireSpan word = {(const uint8_t *) "17000x", 6};
	WireSpan none = {NULL, 0};

	CHECK(oids_same_number(text, &from, same, &to));
	CHECK(oids_same_number(text, &from, binary, &to));
	CHECK(!oids_same_number(text, &from, other, &to));
	CHECK(!oids_same_number(text, NULL, same, &to));
	CHECK(!oids_same_number(word, &from, same, &to));
	CHECK(!oids_same_number(none, &from, same, &to));
}

/*
 * Bytes that make no sense, in memory of their very size.
 */
static void
test_hostile(void)
{
	Bytes request = make_request(17000, 17001);

	srand(1);
	for (int i = 0; i < HOSTILE_ROUNDS; i++)
	{
		size_t len = 1 + (size_t) rand() % request.len;
		uint8_t *data = malloc(len);

		memcpy(data, request.data, len);
		for (int j = rand() % 4; j >= 0; j--)
			data[(size_t) rand() % len] = (uint8_t) (rand() % 3 ? rand() : 0);
		oids_translate(data, len, &from, &to);
		(void) oids_translate_value(data, len, &from, &to);
		(void) oids_in_request((WireSpan){data, len});
		free(data);
	}
	CHECK(true);
}

int
main(void)
{
	make_lists();
	test_requests();
	test_values();
	test_numbers();
	test_hostile();
	types_free(&from);
	types_free(&to);
	return finish();
}
