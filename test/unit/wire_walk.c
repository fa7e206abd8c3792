/*
 * wire_walk.c
 *	  Every message of the list: found, walked, and cut at every byte.
 *
 * From a walk's events a body is written again, which must give the same bytes:
 * so no byte is read twice, left out, or read as something else.
 */
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "wire/stream.h"
#include "wire/walk.h"

/* A body being written from events. */
typedef struct Writer
{
	uint8_t data[4096];
	size_t len;
	size_t count_at;  /* of the count of a list to come */
	const char *part; /* the last message begun inside another */
} Writer;

typedef struct Sample
{
	const char *name;
	WireMessageId id;
	WireMessageId part; /* inside it; Unknown: none */
	WireDirection direction;
	WirePhase phase;
	char type;
	const char *body;
	size_t body_len;
} Sample;

static const Sample samples[] = {
#define SAMPLE(name, direction, phase, type, body) \
	{                                              \
	    #name,                                     \
	    WIRE_MSG_##name,                           \
	    WIRE_MSG_Unknown,                          \
	    (WireDirection) direction,                 \
	    WIRE_PHASE_##phase,                        \
	    type,                                      \
	    body,                                      \
	    sizeof(body) - 1},
#define PART_SAMPLE(name, direction, head, body) \
	{#name,                                      \
	 WIRE_MSG_CopyData,                          \
	 WIRE_MSG_##name,                            \
	 (WireDirection) direction,                  \
	 WIRE_PHASE_REPLICATION,                     \
	 'd',                                        \
	 head body,                                  \
	 sizeof(head body) - 1},
#include "wire_samples.h"
#undef SAMPLE
};

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/*
 * Appends an integer.
 */
static void
put_number(Writer *writer, int64_t number, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
		writer->data[writer->len++] = (uint8_t) (number >> (8 * i));
}

/*
 * Appends bytes.
 */
static void
put_bytes(Writer *writer, WireSpan span)
{
	memcpy(writer->data + writer->len, span.data, span.len);
	writer->len += span.len;
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
 * Writes a number; the count that may stand before it is written later.
 */
static void
write_number(Writer *writer, const WireEvent *event)
{
	if (event->field == WIRE_KIND_COUNT_INT8)
	{
		writer->count_at = writer->len;
		put_number(writer, 0, 4);
	}
	put_number(writer, event->number, wire_number_size(event->member));
}

/*
 * Writes the begin of a list: a tag, or a count.
 */
static void
write_list(Writer *writer, const WireEvent *event)
{
	switch (event->field)
	{
		case WIRE_KIND_COUNTED_OIDS:
			for (int i = 0; i < 4; i++)
				writer->data[writer->count_at + (size_t) i] =
				    (uint8_t) (event->number >> (24 - 8 * i));
			return;
		case WIRE_KIND_KEY_TUPLE:
			put_number(writer, 'K', 1);
			break;
		case WIRE_KIND_OLD_TUPLE:
			put_number(writer, 'O', 1);
			break;
		case WIRE_KIND_NEW_TUPLE:
			put_number(writer, 'N', 1);
			break;
		default:
			break;
	}
	if (event->number >= 0)
		put_number(writer, event->number, event->field == WIRE_KIND_COUNTED_STRINGS ? 4 : 2);
}

/*
 * Writes a value of a tuple.
 */
static void
write_tuple_value(Writer *writer, const WireEvent *event)
{
	put_number(writer, event->number, 1);
	if (event->number == 't' || event->number == 'b')
	{
		put_number(writer, (int64_t) event->bytes.len, 4);
		put_bytes(writer, event->bytes);
	}
}

/*
 * Takes an event: writes it as the protocol has it.
 */
static bool
write_event(void *arg, const WireEvent *event)
{
	Writer *writer = arg;

	switch (event->kind)
	{
		case WIRE_EVENT_NUMBER:
			write_number(writer, event);
			break;
		case WIRE_EVENT_BYTES:
			put_bytes(writer, event->bytes);
			if (event->member == WIRE_KIND_STRING)
				put_number(writer, 0, 1);
			break;
		case WIRE_EVENT_VALUE:
			put_number(writer, event->number, 4);
			if (event->number > 0)
				put_bytes(writer, event->bytes);
			break;
		case WIRE_EVENT_ERROR_FIELD:
			put_number(writer, event->number, 1);
			put_bytes(writer, event->bytes);
			put_number(writer, 0, 1);
			break;
		case WIRE_EVENT_LIST:
			write_list(writer, event);
			break;
		case WIRE_EVENT_LIST_END:
			if (is_ended(event->field))
				put_number(writer, 0, 1);
			break;
		case WIRE_EVENT_TUPLE_VALUE:
			write_tuple_value(writer, event);
			break;
		case WIRE_EVENT_PART:
			put_number(writer, event->number, 1);
			writer->part = event->part;
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
 * Returns a copy of bytes in memory of just that size, so that a sanitizer sees
 * a read behind it.
 */
static uint8_t *
exact_copy(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

/*
 * Returns how many bytes a sample has before its body.
 */
static size_t
header_size(const Sample *sample)
{
	if (sample->phase == WIRE_PHASE_SSL_ANSWER)
		return 0;
	return sample->type ? 5 : 4;
}

/*
 * Returns the whole message of a sample, in memory of its size.
 */
static uint8_t *
whole_message(const Sample *sample, size_t *len)
{
	size_t header = header_size(sample);
	Writer writer = {.len = 0};

	if (sample->type)
		put_number(&writer, sample->type, 1);
	if (header > 0)
		put_number(&writer, (int64_t) sample->body_len + 4, 4);
	put_bytes(&writer, (WireSpan){(const uint8_t *) sample->body, sample->body_len});
	*len = writer.len;
	return exact_copy(writer.data, writer.len);
}

/* The message that the last walk found inside another; NULL: none. */
static const char *last_part;

/*
 * Walks a body and tells whether writing the events gives it again.
 */
static bool
writes_again(const Sample *sample, const uint8_t *body, size_t len, bool *well_formed)
{
	WireMessageId id = sample->id;
	Writer writer = {.len = 0};
	WireWalk walk = {.content = {.is_replication = sample->phase == WIRE_PHASE_REPLICATION,
	                             .direction = sample->direction}};

	if (wire_code_size(id) > 0)
		put_number(&writer, wire_code_of(id), 4);
	*well_formed = wire_walk(id, body, len, &walk, write_event, &writer);
	if (!*well_formed)
		return walk.reason != NULL && walk.at <= len;
	last_part = writer.part;
	return writer.len == len && memcmp(writer.data, body, len) == 0;
}

/*
 * Tests one sample whole: it is found, well formed, and written again.
 */
static void
test_whole(const Sample *sample)
{
	size_t len;
	uint8_t *bytes = whole_message(sample, &len);
	WirePhases phases;
	WireMessage message;
	bool well_formed;

	wire_stream_begin(&phases, sample->direction, sample->phase);
	wire_stream_next(&phases, sample->direction, bytes, len, &message);
	check(message.form == WIRE_FORM_WHOLE && message.id == sample->id, sample->name);
	check(message.size == len, sample->name);
	check(writes_again(sample, message.body.data, message.body.len, &well_formed), sample->name);
	check(well_formed, sample->name);
	check(last_part == wire_types[sample->part].key, sample->name);
	free(bytes);
}

/*
 * Tests a sample cut at every byte, as a stream and as a body of that length.
 */
static void
test_cut(const Sample *sample)
{
	size_t header = header_size(sample);
	size_t len;
	uint8_t *whole = whole_message(sample, &len);

	for (size_t cut = 1; cut < len; cut++)
	{
		uint8_t *bytes = exact_copy(whole, cut);
		WirePhases phases;
		WireMessage message;
		bool well_formed;

		wire_stream_begin(&phases, sample->direction, sample->phase);
		wire_stream_next(&phases, sample->direction, bytes, cut, &message);
		if (message.form != WIRE_FORM_CUT || message.size != cut)
			check(false, sample->name);
		free(bytes);
		if (cut < header)
			continue;
		bytes = exact_copy(whole + header, cut - header);
		if (!writes_again(sample, bytes, cut - header, &well_formed))
			check(false, sample->name);
		free(bytes);
	}
	free(whole);
	check(true, sample->name);
}

/*
 * Tests a body with each of its bytes set to each of a few values: lengths and
 * counts that lie among them.
 */
static void
test_hostile(const Sample *sample)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	size_t len = sample->body_len;
	uint8_t *body = exact_copy(sample->body, len);
	bool ok = true;

	for (size_t at = wire_code_size(sample->id); at < len; at++)
		for (size_t i = 0; i < sizeof(values); i++)
		{
			uint8_t before = body[at];
			bool well_formed;

			body[at] = values[i];
			ok &= writes_again(sample, body, len, &well_formed);
			body[at] = before;
		}
	check(ok, sample->name);
	free(body);
}

/*
 * Tests that the list and the samples are of the same messages, and that every
 * row is found by its own byte, direction and phases.
 */
static void
test_coverage(void)
{
	for (int id = 1; id < WIRE_MSG_COUNT; id++)
	{
		const WireMessageType *type = &wire_types[id];
		bool found = false;

		for (size_t i = 0; i < SAMPLES; i++)
			found |= (int) samples[i].id == id || (int) samples[i].part == id;
		check(found, type->name);
		check(type->help[0] && type->directions != 0, type->name);
		check(type->phases & (1u << WIRE_PHASE_IN_XLOG_DATA) ? type->since >= 1 && type->since <= 4
		                                                     : type->since >= 30,
		      type->name);
		for (int phase = WIRE_PHASE_PASSWORD; phase < WIRE_PLACE_COUNT; phase++)
			for (int direction = 0; direction < 2; direction++)
			{
				uint8_t code[4] = {0, 0, 0, (uint8_t) WIRE_CODE(type->type)};

				if (!(type->directions & (1 << direction)) || !(type->phases & (1u << phase)))
					continue;
				if ((int) wire_type_of(direction ? WIRE_BACKEND : WIRE_FRONTEND,
				                       WIRE_TYPE_BYTE(type->type), (WirePhase) phase, code,
				                       4) != id)
					check(false, type->name);
			}
	}
}

/*
 * Notes a message without a body.
 */
static void
pass(WirePhases *phases, WireDirection direction, WireMessageId id)
{
	WireMessage message = {.form = WIRE_FORM_WHOLE, .id = id};

	wire_stream_pass(phases, direction, &message);
}

/*
 * Tests that a count is compared with the message before any item is looked at.
 */
static void
test_counts(void)
{
	static const struct
	{
		WireMessageId id;
		const char *body;
		size_t len;
		size_t at; /* behind the count */
	} lists[] = {
	    {WIRE_MSG_ParameterDescription, "\377\377\0\0\0\27", 6, 2},
	    {WIRE_MSG_DataRow, "\0\2\377\377\377\377", 6, 2},
	    {WIRE_MSG_RowDescription, "\0\1a\0\0\0\0\0\0\0", 10, 2},
	    {WIRE_MSG_CopyInResponse, "\0\0\2\0\0", 5, 3},
	    {WIRE_MSG_NegotiateProtocolVersion, "\0\3\0\0\377\377\377\377a\0", 10, 8},
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		WireWalk walk = {.reason = NULL};

		check(!wire_walk(lists[i].id, (const uint8_t *) lists[i].body, lists[i].len, &walk, NULL,
		                 NULL) &&
		          strcmp(walk.reason, "a list is longer than the message") == 0 &&
		          walk.at == lists[i].at,
		      wire_name_of(lists[i].id));
	}
}

/*
 * Tests what a phase decides.
 */
static void
test_phases(void)
{
	static const uint8_t ok[4] = {0};
	WirePhases phases;

	check(wire_type_of(WIRE_FRONTEND, 'p', WIRE_PHASE_NORMAL, NULL, 0) == WIRE_MSG_Unknown,
	      "'p' is nothing in normal phase");
	check(wire_type_of(WIRE_BACKEND, 'p', WIRE_PHASE_SASL, NULL, 0) == WIRE_MSG_Unknown,
	      "'p' is nothing from the backend");
	check(wire_type_of(WIRE_BACKEND, 'R', WIRE_PHASE_NORMAL, (const uint8_t *) "\0\0\0\377", 4) ==
	          WIRE_MSG_Unknown,
	      "an authentication code out of range");
	check(wire_type_of(WIRE_BACKEND, 'R', WIRE_PHASE_NORMAL, ok, 3) == WIRE_MSG_Unknown,
	      "an authentication code cut short");

	wire_stream_begin(&phases, WIRE_FRONTEND, WIRE_PHASE_STARTUP);
	phases.is_alone = false;
	pass(&phases, WIRE_FRONTEND, WIRE_MSG_GSSENCRequest);
	pass(&phases, WIRE_BACKEND, WIRE_MSG_SSLResponse);
	check(phases.back == WIRE_PHASE_NORMAL, "one request, one answer");
	pass(&phases, WIRE_FRONTEND, WIRE_MSG_SSLRequest);
	check(phases.back == WIRE_PHASE_SSL_ANSWER, "another request, another answer");
	pass(&phases, WIRE_BACKEND, WIRE_MSG_SSLResponse);
	pass(&phases, WIRE_FRONTEND, WIRE_MSG_StartupMessage);
	pass(&phases, WIRE_BACKEND, WIRE_MSG_AuthenticationSASL);
	check(phases.front == WIRE_PHASE_SASL_INITIAL, "SASL begins");
	pass(&phases, WIRE_BACKEND, WIRE_MSG_AuthenticationSASLContinue);
	check(phases.front == WIRE_PHASE_SASL, "SASL goes on");
	pass(&phases, WIRE_BACKEND, WIRE_MSG_AuthenticationOk);
	check(phases.front == WIRE_PHASE_NORMAL, "let in");
	pass(&phases, WIRE_BACKEND, WIRE_MSG_CopyInResponse);
	check(phases.front == WIRE_PHASE_COPY, "COPY begins");
	pass(&phases, WIRE_BACKEND, WIRE_MSG_ErrorResponse);
	check(phases.front == WIRE_PHASE_NORMAL, "COPY fails");
}

int
main(void)
{
	for (size_t i = 0; i < SAMPLES; i++)
	{
		test_whole(&samples[i]);
		test_cut(&samples[i]);
		test_hostile(&samples[i]);
	}
	test_coverage();
	test_counts();
	test_phases();
	return finish();
}
