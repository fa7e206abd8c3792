/*
 * wire_walk.c
 *	  Every message of the list: found, walked, and cut at every byte.
 *
 * From a walk's events a body is written again, which must give the same bytes:
 * so no byte is read twice, left out, or read as something else.
 */
#include <stdlib.h>
#include <string.h>

#include "wire/stream.h"
#include "wire/walk.h"
#include "wire_check.h"

/* A body being written from events. */
typedef struct Writer
{
	uint8_t data[4096];
	size_t len;
	WireKind field;
} Writer;

typedef struct Sample
{
	const char *name;
	WireMessageId id;
	WireDirection direction;
	WirePhase phase;
	char type;
	const char *body;
	size_t body_len;
} Sample;

static const Sample samples[] = {
#define SAMPLE(name, direction, phase, type, body)                                \
	{#name, WIRE_MSG_##name, (WireDirection) direction, WIRE_PHASE_##phase, type, \
	 body,  sizeof(body) - 1},
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
 * Takes an event: writes it as the protocol has it.
 */
static bool
write_event(void *arg, const WireEvent *event)
{
	Writer *writer = arg;

	switch (event->kind)
	{
		case WIRE_EVENT_NUMBER:
			put_number(writer, event->number, wire_number_size(event->member));
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
			if (event->number >= 0)
				put_number(writer, event->number,
				           event->field == WIRE_KIND_COUNTED_STRINGS ? 4 : 2);
			break;
		case WIRE_EVENT_LIST_END:
			if (is_ended(event->field))
				put_number(writer, 0, 1);
			break;
		case WIRE_EVENT_ITEM:
		case WIRE_EVENT_ITEM_END:
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

/*
 * Walks a body and tells whether writing the events gives it again.
 */
static bool
writes_again(WireMessageId id, const uint8_t *body, size_t len, bool *well_formed)
{
	Writer writer = {.len = 0};
	WireWalk walk = {.reason = NULL};

	if (wire_code_size(id) > 0)
		put_number(&writer, wire_code_of(id), 4);
	*well_formed = wire_walk(id, body, len, &walk, write_event, &writer);
	if (!*well_formed)
		return walk.reason != NULL && walk.at <= len;
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
	check(sample->name, message.form == WIRE_FORM_WHOLE && message.id == sample->id);
	check(sample->name, message.size == len);
	check(sample->name, strcmp(wire_name_of(message.id), sample->name) == 0);
	check(sample->name,
	      writes_again(message.id, message.body.data, message.body.len, &well_formed));
	check(sample->name, well_formed);
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
			check(sample->name, false);
		free(bytes);
		if (cut < header)
			continue;
		bytes = exact_copy(whole + header, cut - header);
		if (!writes_again(sample->id, bytes, cut - header, &well_formed))
			check(sample->name, false);
		free(bytes);
	}
	free(whole);
	check(sample->name, true);
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
			ok &= writes_again(sample->id, body, len, &well_formed);
			body[at] = before;
		}
	check(sample->name, ok);
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
			found |= (int) samples[i].id == id;
		check(type->name, found);
		check(type->name, type->help[0] && type->since >= 30 && type->directions != 0);
		for (int phase = WIRE_PHASE_PASSWORD; phase < WIRE_PHASE_COUNT; phase++)
			for (int direction = 0; direction < 2; direction++)
			{
				uint8_t code[4] = {0, 0, 0, (uint8_t) WIRE_CODE(type->type)};

				if (!(type->directions & (1 << direction)) || !(type->phases & (1u << phase)))
					continue;
				if ((int) wire_type_of(direction ? WIRE_BACKEND : WIRE_FRONTEND,
				                       WIRE_TYPE_BYTE(type->type), (WirePhase) phase, code,
				                       4) != id)
					check(type->name, false);
			}
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

	check("'p' is nothing in normal phase",
	      wire_type_of(WIRE_FRONTEND, 'p', WIRE_PHASE_NORMAL, NULL, 0) == WIRE_MSG_Unknown);
	check("'p' is nothing from the backend",
	      wire_type_of(WIRE_BACKEND, 'p', WIRE_PHASE_SASL, NULL, 0) == WIRE_MSG_Unknown);
	check("an authentication code out of range",
	      wire_type_of(WIRE_BACKEND, 'R', WIRE_PHASE_NORMAL, (const uint8_t *) "\0\0\0\377", 4) ==
	          WIRE_MSG_Unknown);
	check("an authentication code cut short",
	      wire_type_of(WIRE_BACKEND, 'R', WIRE_PHASE_NORMAL, ok, 3) == WIRE_MSG_Unknown);

	wire_stream_begin(&phases, WIRE_FRONTEND, WIRE_PHASE_STARTUP);
	phases.is_alone = false;
	wire_stream_pass(&phases, WIRE_FRONTEND, WIRE_MSG_GSSENCRequest);
	wire_stream_pass(&phases, WIRE_BACKEND, WIRE_MSG_SSLResponse);
	check("one request, one answer", phases.back == WIRE_PHASE_NORMAL);
	wire_stream_pass(&phases, WIRE_FRONTEND, WIRE_MSG_SSLRequest);
	check("another request, another answer", phases.back == WIRE_PHASE_SSL_ANSWER);
	wire_stream_pass(&phases, WIRE_BACKEND, WIRE_MSG_SSLResponse);
	wire_stream_pass(&phases, WIRE_FRONTEND, WIRE_MSG_StartupMessage);
	wire_stream_pass(&phases, WIRE_BACKEND, WIRE_MSG_AuthenticationSASL);
	check("SASL begins", phases.front == WIRE_PHASE_SASL_INITIAL);
	wire_stream_pass(&phases, WIRE_BACKEND, WIRE_MSG_AuthenticationSASLContinue);
	check("SASL goes on", phases.front == WIRE_PHASE_SASL);
	wire_stream_pass(&phases, WIRE_BACKEND, WIRE_MSG_AuthenticationOk);
	check("let in", phases.front == WIRE_PHASE_NORMAL);
	wire_stream_pass(&phases, WIRE_BACKEND, WIRE_MSG_CopyInResponse);
	check("COPY begins", phases.front == WIRE_PHASE_COPY);
	wire_stream_pass(&phases, WIRE_BACKEND, WIRE_MSG_ErrorResponse);
	check("COPY fails", phases.front == WIRE_PHASE_NORMAL);
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
	test_phases();
	return finish();
}
