/*
 * journal_tuple.c
 *	  Tests of the tuples that records hold: the bytes are those of COPY's binary
 *	  format.
 */
#include <sys/socket.h>

#include "journal/tuple.h"
#include "journal_test.h"

/*
 * Tells whether a tuple is exactly these bytes.
 */
static bool
is_tuple(const Tuple *tuple, const char *bytes, size_t len)
{
	return tuple->len == len && memcmp(tuple->data, bytes, len) == 0;
}

#define IS_TUPLE(tuple, bytes) is_tuple(tuple, bytes, sizeof(bytes) - 1)

/*
 * Each kind of column.
 */
static void
test_kinds(void)
{
	Tuple tuple = {0};
	struct iovec parts[3] = {{"ab", 2}, {NULL, 0}, {"c", 1}};
	uint8_t four[4] = {127, 0, 0, 1};
	uint8_t six[16] = {0x20, 0x01, [15] = 1};

	tuple_begin(&tuple, 3);
	tuple_null(&tuple);
	tuple_text(&tuple, "ab", 2);
	tuple_text(&tuple, NULL, 0);
	CHECK(tuple_end(&tuple) && !tuple.has_high_bytes);
	CHECK(IS_TUPLE(&tuple, "\0\3\xff\xff\xff\xff\0\0\0\2ab\0\0\0\0"));

	tuple_begin(&tuple, 3);
	tuple_bool(&tuple, true);
	tuple_bool(&tuple, false);
	tuple_int4(&tuple, -2);
	CHECK(tuple_end(&tuple));
	CHECK(IS_TUPLE(&tuple, "\0\3\0\0\0\1\1\0\0\0\1\0\0\0\0\4\xff\xff\xff\xfe"));

	tuple_begin(&tuple, 3);
	tuple_int8(&tuple, INT64_MIN);
	tuple_time(&tuple, 258);
	tuple_oid(&tuple, 4294967295U);
	CHECK(tuple_end(&tuple));
	CHECK(IS_TUPLE(&tuple, "\0\3\0\0\0\x8\x80\0\0\0\0\0\0\0\0\0\0\x8\0\0\0\0\0\0\1\2\0\0\0\4"
	                       "\xff\xff\xff\xff"));

	tuple_begin(&tuple, 2);
	tuple_inet(&tuple, AF_INET, four);
	tuple_inet(&tuple, AF_INET6, six);
	CHECK(tuple_end(&tuple));
	CHECK(IS_TUPLE(&tuple, "\0\2\0\0\0\x8\2\x20\0\4\x7f\0\0\1\0\0\0\x14\3\x80\0\x10"
	                       "\x20\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1"));

	tuple_begin(&tuple, 2);
	tuple_parts(&tuple, parts, 3);
	tuple_parts(&tuple, parts, 0);
	CHECK(tuple_end(&tuple));
	CHECK(IS_TUPLE(&tuple, "\0\2\0\0\0\3abc\0\0\0\0"));
	tuple_free(&tuple);
	CHECK(tuple.data == NULL && tuple.len == 0);
}

/*
 * A text over 127 is noticed, bytes are not looked at, and the next tuple begins
 * anew.
 */
static void
test_high_bytes(void)
{
	Tuple tuple = {0};

	tuple_begin(&tuple, 1);
	tuple_bytes(&tuple, "\xff", 1);
	CHECK(tuple_end(&tuple) && !tuple.has_high_bytes);
	tuple_begin(&tuple, 2);
	tuple_text(&tuple, "ab\xc3\xa4", 4);
	tuple_text(&tuple, "ab", 2);
	CHECK(tuple_end(&tuple) && tuple.has_high_bytes);
	tuple_begin(&tuple, 1);
	tuple_text(&tuple, "\x7f", 1);
	CHECK(tuple_end(&tuple) && !tuple.has_high_bytes);
	tuple_free(&tuple);
}

/*
 * A tuple with too few or too many columns is none.
 */
static void
test_count(void)
{
	Tuple tuple = {0};

	tuple_begin(&tuple, 2);
	tuple_null(&tuple);
	CHECK(!tuple_end(&tuple));
	tuple_null(&tuple);
	CHECK(tuple_end(&tuple));
	tuple_null(&tuple);
	CHECK(!tuple_end(&tuple));
	tuple_free(&tuple);
}

/*
 * It grows.
 */
static void
test_growth(void)
{
	Tuple tuple = {0};
	char *big = malloc(3000000);

	memset(big, 'x', 3000000);
	tuple_begin(&tuple, 1001);
	for (int i = 0; i < 1000; i++)
		tuple_text(&tuple, "0123456789", 10);
	tuple_bytes(&tuple, big, 3000000);
	CHECK(tuple_end(&tuple) && tuple.len == 2 + 1000 * 14 + 4 + 3000000);
	CHECK(memcmp(tuple.data + 2 + 1000 * 14 + 4, big, 3000000) == 0);
	free(big);
	tuple_free(&tuple);
}

int
main(void)
{
	test_kinds();
	test_high_bytes();
	test_count();
	test_growth();
	return finish_journal();
}
