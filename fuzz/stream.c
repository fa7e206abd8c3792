/*
 * stream.c
 *	  A whole stream, by the framer in pieces and by the stream decoder at once.
 *
 * Input: direction, phase, how it is cut, and the stream.
 *
 * Properties: messages follow each other without a gap up to the end; each body
 * is walked; framing gives the same messages whatever the pieces, and the same as
 * decoding at once; a stream that is cut gives the messages that are whole, and no
 * others; no memory is allocated.
 */
#include "memory.h"
#include "rewrite.h"
#include "wire/stream.h"

/* A digest of the messages of a stream, and how many. */
typedef struct Digest
{
	uint64_t value;
	size_t count;
} Digest;

/*
 * Adds a number to a digest.
 */
static void
add(Digest *digest, uint64_t number)
{
	digest->value = (digest->value ^ number) * UINT64_C(0x100000001b3) + 1;
}

/*
 * Adds a message to a digest.
 */
static void
add_message(Digest *digest, const WireMessage *message)
{
	digest->count++;
	add(digest, (uint64_t) message->id);
	add(digest, message->type);
	add(digest, message->size);
	for (size_t i = 0; i < message->body.len; i++)
		add(digest, message->body.data[i]);
}

/*
 * Decodes all of a stream.  Returns the digest of its whole messages, at most
 * `most` of them, and sets *whole to where they end.
 */
static Digest
decode_all(WireDirection direction, WirePhase phase, const uint8_t *data, size_t len, size_t most,
           size_t *whole)
{
	Digest digest = {0, 0};
	WirePhases phases;
	size_t at = 0;

	*whole = 0;
	memory_begin();
	wire_stream_begin(&phases, direction, phase);
	while (at < len && digest.count < most)
	{
		WireMessage message;
		WireWalk walk = {.reason = NULL};

		wire_stream_next(&phases, direction, data + at, len - at, &message);
		REQUIRE(message.size > 0 && message.size <= len - at);
		walk.content = message.content;
		REQUIRE(message.body.data >= data + at);
		REQUIRE(message.body.data + message.body.len == data + at + message.size);
		at += message.size;
		if (message.form != WIRE_FORM_WHOLE)
		{
			REQUIRE(at == len);
			break;
		}
		if (message.id != WIRE_MSG_Unknown)
			rewrites(message.id, message.body.data, message.body.len, &walk);
		add_message(&digest, &message);
		wire_stream_pass(&phases, direction, &message);
		*whole = at;
	}
	REQUIRE(memory_calls == 0);
	return digest;
}

/*
 * Frames one piece, in memory of its own.  Returns false where framing gives up.
 */
static bool
frame_piece(WireFramer *framer, const uint8_t *data, size_t len, Digest *digest)
{
	uint8_t *piece = exact_copy(data, len);
	bool is_good = true;
	size_t at = 0;

	memory_begin();
	while (is_good && at < len)
	{
		WireFrame frame;
		size_t used = wire_frame_next(framer, piece + at, len - at, &frame);

		is_good = !frame.bad;
		REQUIRE(used <= len - at && (used > 0 || frame.bad));
		if (is_good && frame.begins)
		{
			REQUIRE(frame.length >= 4 && frame.length <= INT32_MAX);
			add(digest, frame.type);
			add(digest, frame.length);
		}
		for (size_t i = 0; is_good && i < frame.body.len; i++)
			add(digest, frame.body.data[i]);
		digest->count += is_good && frame.ends;
		at += used;
	}
	REQUIRE(memory_calls == 0);
	free(piece);
	return is_good;
}

/*
 * Frames a stream in pieces of up to `most` bytes, of sizes that a seed says.
 */
static Digest
frame_all(const uint8_t *data, size_t len, size_t most, uint32_t seed)
{
	WireFramer framer = {.limits = wire_length_limits(WIRE_BACKEND)};
	Digest digest = {0, 0};

	while (len > 0)
	{
		size_t n;

		seed = seed * 1664525 + 1013904223;
		n = 1 + (seed >> 8) % most;
		n = n < len ? n : len;
		if (!frame_piece(&framer, data, n, &digest))
			break;
		data += n;
		len -= n;
	}
	return digest;
}

/*
 * Compares framing in pieces with framing at once.
 */
static void
check_framing(const uint8_t *data, size_t len, uint8_t cut)
{
	Digest whole = frame_all(data, len, len + 1, 0);
	Digest single = frame_all(data, len, 1, 0);
	Digest pieces = frame_all(data, len, 1 + cut, cut);

	REQUIRE(single.value == whole.value && single.count == whole.count);
	REQUIRE(pieces.value == whole.value && pieces.count == whole.count);
}

/*
 * Runs one input.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, size};
	WireDirection direction = take_byte(&input) == 'F' ? WIRE_FRONTEND : WIRE_BACKEND;
	WirePhase phase = (WirePhase) (take_byte(&input) % WIRE_PHASE_COUNT);
	uint8_t cut = take_byte(&input);
	uint8_t *stream = exact_copy(input.data, input.len);
	size_t part_len = input.len * cut / 255;
	uint8_t *part = exact_copy(input.data, part_len);
	size_t whole;
	size_t part_whole;
	Digest digest;
	Digest all = decode_all(direction, phase, stream, input.len, SIZE_MAX, &whole);

	check_framing(stream, input.len, cut);
	digest = decode_all(direction, phase, part, part_len, SIZE_MAX, &part_whole);
	REQUIRE(digest.count <= all.count && part_whole <= whole);
	all = decode_all(direction, phase, stream, input.len, digest.count, &whole);
	REQUIRE(all.value == digest.value && whole == part_whole);
	free(part);
	free(stream);
	return 0;
}
