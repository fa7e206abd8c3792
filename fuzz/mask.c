/*
 * mask.c
 *	  Masking of message bodies.
 *
 * Input: direction, phase, type byte, flags; all behind it is the body.
 *
 * Properties: bytes are overwritten in place with '*' or left alone; of a secret
 * field nothing survives; a body that was well formed still is, field by field of
 * the same length; no memory is allocated.
 */
#include "memory.h"
#include "wire/walk.h"

static const char *const mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER"};

/* The shape of a body: what its fields are and how long. */
typedef struct Shape
{
	uint64_t lengths;
	size_t count;
	bool is_masked; /* secrets must be gone */
	uint8_t type;
} Shape;

/*
 * Tells whether a byte of a 'p' body may stay: the zero byte at its end, or, as
 * nobody knows for sure which 'p' it is, a mechanism and a length at its begin.
 */
static bool
may_stay(const Shape *shape, const WireEvent *event, size_t at)
{
	const uint8_t *data = event->bytes.data;
	size_t len = event->bytes.len;

	if (shape->type != 'p')
		return false;
	if (at == len - 1 && data[at] == 0)
		return true;
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
	{
		size_t size = strlen(mechanisms[i]) + 1;

		if (len >= size + 4 && at < size + 4 && memcmp(data, mechanisms[i], size) == 0)
			return true;
	}
	return false;
}

/*
 * Takes an event: adds it to the shape; of a secret nothing may be left.
 */
static bool
note_event(void *arg, const WireEvent *event)
{
	Shape *shape = arg;
	bool is_secret = event->field == WIRE_KIND_SECRET || event->field == WIRE_KIND_SECRET_STRING ||
	                 event->field == WIRE_KIND_SECRET_VALUE;

	shape->count++;
	shape->lengths = shape->lengths * 31 + event->bytes.len * 7 + (uint64_t) event->kind;
	if (shape->is_masked && is_secret && event->kind != WIRE_EVENT_NUMBER)
		for (size_t i = 0; i < event->bytes.len; i++)
			REQUIRE(event->bytes.data[i] == '*' || may_stay(shape, event, i));
	return true;
}

/*
 * Tells whether a message carries a field of a kind that is overwritten whole, or
 * is one whose shape masking keeps.
 */
static bool
keeps_shape(WireMessageId id)
{
	/* of a 'p' a mechanism that no server offers is overwritten with its zero byte */
	return id != WIRE_MSG_SASLInitialResponse;
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
	uint8_t type = take_byte(&input);
	uint8_t flags = take_byte(&input);
	size_t len = input.len;
	uint8_t *body = exact_copy(input.data, len);
	WireMessageId id = wire_type_of(direction, type, phase, body, len);
	size_t code = wire_code_size(id) > 0 && type != 'R' ? wire_code_size(id) : 0;
	Shape before = {.is_masked = false};
	Shape after = {.is_masked = true, .type = type};
	WireWalk walk = {.reason = NULL};
	bool is_whole = wire_walk(id, body, len, &walk, note_event, &before);
	uint8_t *masked = exact_copy(body, len);

	memory_begin();
	/* the code of a CancelRequest is not part of what is masked */
	if (len >= code)
		wire_mask_body(id, masked + code, len - code, flags & 1);
	wire_error_secret(body, len);
	REQUIRE(memory_calls == 0);
	for (size_t i = 0; i < len; i++)
		REQUIRE(masked[i] == body[i] || masked[i] == '*');
	if (is_whole && keeps_shape(id))
	{
		REQUIRE(wire_walk(id, masked, len, &walk, note_event, &after));
		REQUIRE(after.lengths == before.lengths && after.count == before.count);
	}
	free(masked);
	free(body);
	return 0;
}
