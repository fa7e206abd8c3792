/*
 * rewrite.h
 *	  Whether the events of a walk, written out again, are the bytes that were
 *	  walked: then nothing of a message is lost or made up.
 *
 * The events are compared with the body as they come, so no memory is needed.
 */
#ifndef FUZZ_REWRITE_H
#define FUZZ_REWRITE_H

#include "fuzz.h"
#include "wire/walk.h"

/* A body, and how far events were found in it. */
typedef struct Rewriting
{
	const uint8_t *body;
	size_t len;
	size_t at;
} Rewriting;

/*
 * Finds bytes where the last event ended.
 */
static void
expect_bytes(Rewriting *rewriting, const void *bytes, size_t len)
{
	REQUIRE(len <= rewriting->len - rewriting->at);
	if (len > 0)
		REQUIRE(memcmp(rewriting->body + rewriting->at, bytes, len) == 0);
	rewriting->at += len;
}

/*
 * Finds an integer in network byte order.
 */
static void
expect_number(Rewriting *rewriting, int64_t number, int size)
{
	uint8_t bytes[8];

	for (int i = 0; i < size; i++)
		bytes[i] = (uint8_t) ((uint64_t) number >> (8 * (size - 1 - i)));
	expect_bytes(rewriting, bytes, (size_t) size);
}

/*
 * Finds bytes that an event refers to: the body's own, not equal ones elsewhere.
 */
static void
expect_span(Rewriting *rewriting, WireSpan span)
{
	REQUIRE(span.len == 0 || span.data == rewriting->body + rewriting->at);
	expect_bytes(rewriting, span.data, span.len);
}

/*
 * Tells whether a kind of list is ended by a zero byte.
 */
static bool
is_ended(WireKind kind)
{
	return kind == WIRE_KIND_PAIRS || kind == WIRE_KIND_STRINGS || kind == WIRE_KIND_ERROR_FIELDS;
}

/*
 * Takes an event: finds it in the body.
 */
static bool
expect_event(void *arg, const WireEvent *event)
{
	Rewriting *rewriting = arg;

	switch (event->kind)
	{
		case WIRE_EVENT_NUMBER:
			REQUIRE(event->bytes.data == rewriting->body + rewriting->at);
			expect_number(rewriting, event->number, wire_number_size(event->member));
			break;
		case WIRE_EVENT_BYTES:
			expect_span(rewriting, event->bytes);
			if (event->member == WIRE_KIND_STRING)
				expect_number(rewriting, 0, 1);
			break;
		case WIRE_EVENT_VALUE:
			expect_number(rewriting, event->number, 4);
			if (event->number > 0)
				expect_span(rewriting, event->bytes);
			break;
		case WIRE_EVENT_ERROR_FIELD:
			expect_number(rewriting, event->number, 1);
			expect_span(rewriting, event->bytes);
			expect_number(rewriting, 0, 1);
			break;
		case WIRE_EVENT_LIST:
			if (event->number >= 0)
				expect_number(rewriting, event->number,
				              event->field == WIRE_KIND_COUNTED_STRINGS ? 4 : 2);
			break;
		case WIRE_EVENT_LIST_END:
			if (is_ended(event->field))
				expect_number(rewriting, 0, 1);
			break;
		case WIRE_EVENT_ITEM:
		case WIRE_EVENT_ITEM_END:
			break;
	}
	return true;
}

/*
 * Walks a body and requires that its events are the body.  Returns whether it is
 * well formed.
 */
static bool
rewrites(WireMessageId id, const uint8_t *body, size_t len, WireWalk *walk)
{
	Rewriting rewriting = {body, len, 0};
	bool is_whole;

	if (len >= wire_code_size(id) && wire_code_size(id) > 0)
		expect_number(&rewriting, wire_code_of(id), 4);
	is_whole = wire_walk(id, body, len, walk, expect_event, &rewriting);
	REQUIRE(is_whole == (walk->reason == NULL));
	REQUIRE(walk->at <= len);
	REQUIRE(!is_whole || rewriting.at == len);
	return is_whole;
}

#endif /* FUZZ_REWRITE_H */
