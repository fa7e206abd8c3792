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
	size_t count_at; /* where the count of a list to come stands */
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
 * Finds the begin of a list: its tag, or its count, which may have come before.
 */
static void
expect_list(Rewriting *rewriting, const WireEvent *event)
{
	size_t at = rewriting->at;

	switch (event->field)
	{
		case WIRE_KIND_COUNTED_OIDS:
			rewriting->at = rewriting->count_at;
			expect_number(rewriting, event->number, 4);
			rewriting->at = at;
			return;
		case WIRE_KIND_KEY_TUPLE:
			expect_number(rewriting, 'K', 1);
			break;
		case WIRE_KIND_OLD_TUPLE:
			expect_number(rewriting, 'O', 1);
			break;
		case WIRE_KIND_NEW_TUPLE:
			expect_number(rewriting, 'N', 1);
			break;
		default:
			break;
	}
	if (event->number >= 0)
		expect_number(rewriting, event->number, event->field == WIRE_KIND_COUNTED_STRINGS ? 4 : 2);
}

/*
 * Finds a number; the count of a list may stand before it.
 */
static void
expect_number_event(Rewriting *rewriting, const WireEvent *event)
{
	if (event->field == WIRE_KIND_COUNT_INT8)
	{
		rewriting->count_at = rewriting->at;
		REQUIRE(rewriting->len - rewriting->at >= 4);
		rewriting->at += 4;
	}
	REQUIRE(event->bytes.data == rewriting->body + rewriting->at);
	expect_number(rewriting, event->number, wire_number_size(event->member));
}

/*
 * Finds a value of a tuple: its kind, and what two of the kinds have.
 */
static void
expect_tuple_value(Rewriting *rewriting, const WireEvent *event)
{
	expect_number(rewriting, event->number, 1);
	if (event->number != 't' && event->number != 'b')
		return;
	expect_number(rewriting, (int64_t) event->bytes.len, 4);
	expect_span(rewriting, event->bytes);
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
			expect_number_event(rewriting, event);
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
			expect_list(rewriting, event);
			break;
		case WIRE_EVENT_LIST_END:
			if (is_ended(event->field))
				expect_number(rewriting, 0, 1);
			break;
		case WIRE_EVENT_TUPLE_VALUE:
			expect_tuple_value(rewriting, event);
			break;
		case WIRE_EVENT_PART:
			expect_number(rewriting, event->number, 1);
			break;
		case WIRE_EVENT_ITEM:
		case WIRE_EVENT_ITEM_END:
		case WIRE_EVENT_ABSENT:
		case WIRE_EVENT_PART_END:
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
	Rewriting rewriting = {.body = body, .len = len};
	bool is_whole;

	if (wire_types[id].key) /* a part of another message begins with its type byte */
		rewriting.at = 1;
	if (len >= wire_code_size(id) && wire_code_size(id) > 0)
		expect_number(&rewriting, wire_code_of(id), 4);
	is_whole = wire_walk(id, body, len, walk, expect_event, &rewriting);
	REQUIRE(is_whole == (walk->reason == NULL));
	REQUIRE(walk->at <= len);
	REQUIRE(!is_whole || rewriting.at == len);
	return is_whole;
}

#endif /* FUZZ_REWRITE_H */
