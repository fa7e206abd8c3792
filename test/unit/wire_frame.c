/*
 * wire_frame.c
 *	  Framing under every split, lengths that lie, and the flat decoder.
 */
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "wire/stream.h"
#include "wire/wire.h"

/* Bytes of a stream of some messages: types Q S d Z, body lengths 5 0 3 1. */
static const uint8_t stream[] = "Q\0\0\0\11hell\0S\0\0\0\4d\0\0\0\7abcZ\0\0\0\5I";

#define STREAM_LEN (sizeof(stream) - 1)

/* What framing found, in one line. */
typedef struct Found
{
	char text[256];
	size_t len;
} Found;

/*
 * Frames a piece of a stream; in memory of its own, so that a sanitizer sees a
 * read behind it.
 */
static void
frame_piece(WireFramer *framer, const uint8_t *data, size_t len, Found *found)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	size_t at = 0;

	memcpy(copy, data, len);
	while (at < len)
	{
		WireFrame frame;
		size_t used = wire_frame_next(framer, copy + at, len - at, &frame);

		if (used == 0 || frame.bad)
		{
			found->text[found->len++] = '!';
			break;
		}
		if (frame.begins)
			found->text[found->len++] = (char) frame.type;
		if (frame.body.len > 0)
			memcpy(found->text + found->len, frame.body.data, frame.body.len);
		found->len += frame.body.len;
		if (frame.ends)
			found->text[found->len++] = ';';
		at += used;
	}
	free(copy);
}

/*
 * Tests that the stream cut in three at any two places gives the same messages.
 */
static void
test_splits(void)
{
	static const char expected[] = "Qhell\0;S;dabc;ZI;";
	bool ok = true;

	for (size_t first = 0; first <= STREAM_LEN; first++)
		for (size_t second = first; second <= STREAM_LEN; second++)
		{
			WireFramer framer = {.have = 0};
			Found found = {.len = 0};

			frame_piece(&framer, stream, first, &found);
			frame_piece(&framer, stream + first, second - first, &found);
			frame_piece(&framer, stream + second, STREAM_LEN - second, &found);
			ok &= found.len == sizeof(expected) - 1 &&
			      memcmp(found.text, expected, found.len) == 0 && framer.have == 0;
		}
	check(ok, "every split in three");
}

/*
 * Tests that the stream byte by byte gives the same messages.
 */
static void
test_single_bytes(void)
{
	WireFramer framer = {.have = 0};
	Found found = {.len = 0};

	for (size_t i = 0; i < STREAM_LEN; i++)
		frame_piece(&framer, stream + i, 1, &found);
	check(found.len == 17 && memcmp(found.text, "Qhell\0;S;dabc;ZI;", 17) == 0, "byte by byte");
}

/*
 * Tests a length: whether it is refused, and for ever.
 */
static void
test_length(const char *what, const char *header, bool bad)
{
	WireFramer framer = {.have = 0};
	WireFrame frame;
	size_t used = wire_frame_next(&framer, (const uint8_t *) header, 5, &frame);

	check(frame.bad == bad && used <= 5, what);
	check(bad || frame.begins, what);
	if (!bad)
		return;
	used = wire_frame_next(&framer, (const uint8_t *) "S\0\0\0\4", 5, &frame);
	check(frame.bad && used == 0, what);
}

/*
 * Tests that a message of a type may be as long as its limit and no longer, as a
 * stream and whole.
 */
static void
test_limit(const char *what, WireDirection direction, char type, uint32_t limit)
{
	for (uint32_t more = 0; more < 2; more++)
	{
		uint32_t length = limit + more;
		uint8_t header[5] = {(uint8_t) type, (uint8_t) (length >> 24), (uint8_t) (length >> 16),
		                     (uint8_t) (length >> 8), (uint8_t) length};
		WireFramer framer = {.limits = wire_length_limits(direction)};
		WireFrame frame;
		WirePhases phases;
		WireMessage message;

		wire_frame_next(&framer, header, 5, &frame);
		check(frame.bad == (more == 1) && frame.begins == (more == 0), what);
		wire_stream_begin(&phases, direction, WIRE_PHASE_NORMAL);
		wire_stream_next(&phases, direction, header, 5, &message);
		check(message.form == (more ? WIRE_FORM_OPAQUE : WIRE_FORM_CUT) && message.size == 5, what);
	}
}

/*
 * Tests that a packet without a type byte may be as long as the server takes it.
 */
static void
test_startup_limit(void)
{
	for (uint32_t length = 10000; length <= 10001; length++)
	{
		uint8_t packet[8] = {0, 0, (uint8_t) (length >> 8), (uint8_t) length, 0, 3, 0, 0};
		WirePhases phases;
		WireMessage message;

		wire_stream_begin(&phases, WIRE_FRONTEND, WIRE_PHASE_STARTUP);
		wire_stream_next(&phases, WIRE_FRONTEND, packet, sizeof(packet), &message);
		check(message.form == (length > 10000 ? WIRE_FORM_OPAQUE : WIRE_FORM_CUT),
		      "a startup packet's limit");
	}
}

/*
 * Tests limits by kind of message.
 */
static void
test_limits(void)
{
	test_limit("a Sync", WIRE_FRONTEND, 'S', 10000);
	test_limit("a ParameterStatus", WIRE_BACKEND, 'S', 0x3ffffffe);
	test_limit("an answer to an authentication request", WIRE_FRONTEND, 'p', 65535);
	test_limit("an authentication request", WIRE_BACKEND, 'R', 65535);
	test_limit("a Query", WIRE_FRONTEND, 'Q', 0x3ffffffe);
	test_limit("a Describe", WIRE_FRONTEND, 'D', 10000);
	test_limit("a DataRow", WIRE_BACKEND, 'D', 0x3ffffffe);
	test_limit("a CopyInResponse", WIRE_BACKEND, 'G', 300000);
	test_limit("a ReadyForQuery", WIRE_BACKEND, 'Z', 10000);
	test_limit("an unknown type", WIRE_BACKEND, 'y', 0x3ffffffe);
}

/*
 * Tests the flat decoder where the relay uses it.
 */
static void
test_decode(void)
{
	static const uint8_t parse[] = "s1\0select $1\0\0\1\0\0\0\27";
	static const uint8_t salt[] = "\0\0\0\5salt";
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan span;
	size_t at = 0;

	check(wire_decode(WIRE_MSG_Parse, parse, sizeof(parse) - 1, values) == 3 &&
	          values[WIRE_Parse_query].complete && values[WIRE_Parse_query].bytes.len == 9,
	      "Parse whole");
	check(wire_decode(WIRE_MSG_Parse, parse, 6, values) == 2 &&
	          !values[WIRE_Parse_query].complete && values[WIRE_Parse_query].bytes.len == 3,
	      "Parse cut in its text");
	check(wire_decode(WIRE_MSG_Parse, parse, 1, values) == 1 &&
	          !values[WIRE_Parse_statement].complete && values[WIRE_Parse_query].bytes.data == NULL,
	      "Parse cut in its name");
	check(wire_decode(WIRE_MSG_Parse, NULL, 0, values) == 1, "no bytes");
	wire_decode(WIRE_MSG_AuthenticationMD5Password, salt, sizeof(salt) - 1, values);
	check(values[WIRE_AuthenticationMD5Password_salt].bytes.len == 4 &&
	          memcmp(values[WIRE_AuthenticationMD5Password_salt].bytes.data, "salt", 4) == 0,
	      "behind an authentication code");
	check(wire_error_field((const uint8_t *) "SERROR\0C42P01\0Mx\0", 17, 'C', &span) &&
	          span.len == 5 && memcmp(span.data, "42P01", 5) == 0,
	      "an error's code");
	check(!wire_error_field((const uint8_t *) "SERROR\0", 8, 'C', &span), "an error without it");
	check(wire_pair_next((WireSpan){(const uint8_t *) "a\0b\0c", 6}, &at, &span, &span) &&
	          at == 4 && span.len == 1,
	      "a pair");
	check(!wire_pair_next((WireSpan){(const uint8_t *) "a\0b\0c", 6}, &at, &span, &span),
	      "half a pair");
}

/*
 * Tests one command tag.
 */
static void
test_tag(const char *tag, int64_t rows)
{
	check(wire_tag_rows(tag, strlen(tag)) == rows, tag);
}

int
main(void)
{
	uint8_t error[64];
	size_t len;

	test_splits();
	test_single_bytes();
	test_length("length 4", "S\0\0\0\4", false);
	test_length("length 3", "S\0\0\0\3", true);
	test_length("length 0", "S\0\0\0\0", true);
	test_length("length -1", "S\377\377\377\377", true);
	test_length("length -2 GB", "S\200\0\0\0", true);
	test_length("length 2 GB - 1", "S\177\377\377\377", false);
	test_limits();
	test_decode();
	test_tag("INSERT 0 5", 5);
	test_tag("SELECT 0", 0);
	test_tag("COPY 123456789012345678", INT64_C(123456789012345678));
	test_tag("COPY 1234567890123456789", -1);
	test_tag("CREATE TABLE", -1);
	test_tag("12", -1);
	test_tag("", -1);
	len = wire_put_error(error, sizeof(error), "FATAL", "53300", "no");
	check(len == 31 && error[0] == 'E' && error[4] == 30 && error[len - 1] == 0, "an error");
	check(wire_put_error(error, 30, "FATAL", "53300", "no") == 0 &&
	          wire_put_error(error, 3, "FATAL", "53300", "no") == 0,
	      "no room for an error");
	test_startup_limit();
	return finish();
}
