/*
 * wire_properties.c
 *	  What holds for any stream: it is the same messages however it was cut into
 *	  pieces, nothing behind a piece is read, and nothing is allocated.
 *
 * The streams are all samples of a direction, one behind the other.  Streams under
 * 4 kB are cut at every byte; longer ones at each byte and at random, 200 times
 * from a fixed seed.  Each piece lies in memory of its own size, so that a
 * sanitizer sees a read behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "wire/stream.h"
#include "wire/walk.h"

/* of the sanitizer's runtime, which has no header everywhere */
extern int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *,
                                                                       size_t),
                                                     void (*on_free)(const volatile void *));

#define RANDOM_CUTS 200
#define STREAM_MAX (64 * 1024)

typedef struct Sample
{
	WireDirection direction;
	WirePhase phase;
	char type;
	const char *body;
	size_t body_len;
} Sample;

static const Sample samples[] = {
#define SAMPLE(name, direction, phase, type, body) \
	{(WireDirection) direction, WIRE_PHASE_##phase, type, body, sizeof(body) - 1},
#define PART_SAMPLE(name, direction, head, body) \
	{(WireDirection) direction, WIRE_PHASE_REPLICATION, 'd', head body, sizeof(head body) - 1},
#include "wire_samples.h"
#undef SAMPLE
#undef PART_SAMPLE
};

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* A stream, and what its messages came to. */
typedef struct Stream
{
	uint8_t data[STREAM_MAX];
	size_t len;
	WireDirection direction;
} Stream;

typedef struct Digest
{
	uint64_t value;
	int messages;
} Digest;

static volatile long allocations; /* volatile: compilers think that malloc() leaves it alone */

/*
 * Counts an allocation.
 */
static void
on_malloc(const volatile void *memory, size_t size)
{
	(void) memory;
	(void) size;
	allocations++;
}

static void
on_free(const volatile void *memory)
{
	(void) memory;
}

/*
 * Adds bytes to a digest.
 */
static void
add(Digest *digest, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		digest->value = (digest->value ^ at[i]) * UINT64_C(0x100000001b3);
}

/*
 * Takes an event: adds it to a digest.
 */
static bool
add_event(void *arg, const WireEvent *event)
{
	Digest *digest = arg;

	add(digest, &event->kind, sizeof(event->kind));
	add(digest, &event->number, sizeof(event->number));
	add(digest, event->bytes.data, event->bytes.len);
	return true;
}

/*
 * Adds a whole message to a digest.
 */
static void
add_message(Digest *digest, WireDirection direction, uint8_t type, const uint8_t *body, size_t len)
{
	WireMessageId id = wire_type_of(direction, type, WIRE_PHASE_NORMAL, body, len);
	WireWalk walk = {.content = {.is_replication = true, .direction = direction}};

	add(digest, &type, 1);
	if (id != WIRE_MSG_Unknown)
		wire_walk(id, body, len, &walk, add_event, digest);
	add(digest, &walk.at, sizeof(walk.at));
	digest->messages++;
}

/*
 * Decodes a stream that is there at once.
 */
static Digest
decode_at_once(const Stream *stream)
{
	Digest digest = {0, 0};
	WirePhases phases;

	wire_stream_begin(&phases, stream->direction, WIRE_PHASE_NORMAL);
	for (size_t at = 0; at < stream->len;)
	{
		WireMessage message;

		wire_stream_next(&phases, stream->direction, stream->data + at, stream->len - at, &message);
		if (message.form != WIRE_FORM_WHOLE)
			break;
		add_message(&digest, stream->direction, message.type, message.body.data, message.body.len);
		at += message.size;
	}
	return digest;
}

/* A stream that comes in pieces: its framer and the body so far. */
typedef struct Reader
{
	WireFramer framer;
	WireDirection direction;
	uint8_t body[STREAM_MAX];
	size_t len;
	Digest digest;
} Reader;

/*
 * Takes a piece, in memory of its size.
 */
static void
read_piece(Reader *reader, const uint8_t *data, size_t len)
{
	uint8_t *piece = malloc(len > 0 ? len : 1);
	size_t at = 0;

	memcpy(piece, data, len);
	while (at < len)
	{
		WireFrame frame;

		at += wire_frame_next(&reader->framer, piece + at, len - at, &frame);
		if (frame.bad)
			break;
		if (frame.begins)
			reader->len = 0;
		if (frame.body.len > 0)
			memcpy(reader->body + reader->len, frame.body.data, frame.body.len);
		reader->len += frame.body.len;
		if (frame.ends)
			add_message(&reader->digest, reader->direction, frame.type, reader->body, reader->len);
	}
	free(piece);
}

/*
 * Decodes a stream in pieces that end at ascending places.
 */
static Digest
decode_in_pieces(const Stream *stream, const size_t *cuts, size_t count)
{
	static Reader reader;
	size_t at = 0;

	memset(&reader, 0, sizeof(reader));
	reader.direction = stream->direction;
	for (size_t i = 0; i <= count; i++)
	{
		size_t end = i < count ? cuts[i] : stream->len;

		read_piece(&reader, stream->data + at, end - at);
		at = end;
	}
	return reader.digest;
}

/*
 * Tells whether two digests are equal.
 */
static bool
is_equal(Digest a, Digest b)
{
	return a.value == b.value && a.messages == b.messages;
}

/*
 * Tests a stream byte by byte.
 */
static void
test_single_bytes(const char *what, const Stream *stream, Digest expected)
{
	static size_t cuts[STREAM_MAX];

	for (size_t i = 0; i < stream->len; i++)
		cuts[i] = i;
	check(is_equal(decode_in_pieces(stream, cuts, stream->len), expected), what);
}

/*
 * Tests a stream cut in two at every byte.
 */
static void
test_every_cut(const char *what, const Stream *stream, Digest expected)
{
	bool ok = true;

	for (size_t cut = 0; cut <= stream->len; cut++)
		ok &= is_equal(decode_in_pieces(stream, &cut, 1), expected);
	check(ok, what);
}

/*
 * Tests a stream cut at random.
 */
static void
test_random_cuts(const char *what, const Stream *stream, Digest expected)
{
	static size_t cuts[STREAM_MAX];
	uint32_t seed = 20261121;
	bool ok = true;

	for (int i = 0; i < RANDOM_CUTS; i++)
	{
		size_t most = (size_t) 1 << (i % 12); /* pieces of up to so many bytes */
		size_t count = 0;

		for (size_t at = 0; at < stream->len; at = cuts[count - 1])
		{
			seed = seed * 1664525 + 1013904223;
			cuts[count++] = at + 1 + (seed >> 8) % most;
			if (cuts[count - 1] >= stream->len)
				cuts[count - 1] = stream->len;
		}
		ok &= is_equal(decode_in_pieces(stream, cuts, count), expected);
	}
	check(ok, what);
}

/*
 * Appends a sample to a stream, if it has a type byte and a length.
 */
static void
append_sample(Stream *stream, const Sample *sample)
{
	uint32_t length = (uint32_t) sample->body_len + 4;

	if (sample->direction != stream->direction || !sample->type ||
	    sample->phase == WIRE_PHASE_SSL_ANSWER ||
	    stream->len + sample->body_len + 5 > sizeof(stream->data))
		return;
	stream->data[stream->len++] = (uint8_t) sample->type;
	for (int shift = 24; shift >= 0; shift -= 8)
		stream->data[stream->len++] = (uint8_t) (length >> shift);
	memcpy(stream->data + stream->len, sample->body, sample->body_len);
	stream->len += sample->body_len;
}

/*
 * Tests the samples of a direction: once, and so often that they are over 4 kB.
 */
static void
test_direction(WireDirection direction)
{
	static Stream stream;
	Digest expected;

	stream.direction = direction;
	stream.len = 0;
	for (size_t i = 0; i < SAMPLES; i++)
		append_sample(&stream, &samples[i]);
	expected = decode_at_once(&stream);
	check(expected.messages > 15 && stream.len < 4096, "the samples are messages");
	test_single_bytes("byte by byte", &stream, expected);
	test_every_cut("cut at every byte", &stream, expected);
	while (stream.len < 3 * 4096)
		for (size_t i = 0; i < SAMPLES; i++)
			append_sample(&stream, &samples[i]);
	expected = decode_at_once(&stream);
	test_single_bytes("a long stream byte by byte", &stream, expected);
	test_random_cuts("a long stream cut at random", &stream, expected);
}

/*
 * Tests that the codec allocates nothing, whatever it does with a body.
 */
static void
test_allocations(void)
{
	static uint8_t body[4096];
	char out[256];
	long before = allocations;
	void *volatile one = malloc(1);

	check(allocations == before + 1, "allocations are counted");
	free(one);
	before = allocations;
	for (size_t i = 0; i < SAMPLES; i++)
	{
		const Sample *sample = &samples[i];
		const uint8_t *bytes = (const uint8_t *) sample->body;
		WireMessageId id = wire_type_of(sample->direction, (uint8_t) sample->type, sample->phase,
		                                bytes, sample->body_len);
		WireWalk walk = {.content = {.is_replication = true, .direction = sample->direction}};
		WireValue values[WIRE_MAX_FIELDS];
		Digest digest = {0, 0};

		wire_walk(id, bytes, sample->body_len, &walk, add_event, &digest);
		wire_decode(id, bytes, sample->body_len, values);
		memcpy(body, bytes, sample->body_len);
		wire_mask_body(id, body, sample->body_len, true);
		wire_normalise(sample->body, sample->body_len, true, out, sizeof(out));
	}
	check(allocations == before, "nothing is allocated");
}

int
main(void)
{
	check(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0,
	      "allocations can be counted");
	test_direction(WIRE_FRONTEND);
	test_direction(WIRE_BACKEND);
	test_allocations();
	return finish();
}
