/*
 * decode.c
 *	  Each message's body: the walker, the flat decoder, and what reads single
 *	  fields.
 *
 * Input: direction, phase or place in another message, type byte, flags; all behind
 * is the body.
 *
 * Properties: the walk's events are the body, or it says where the body is not
 * well formed; the flat decoder's fields lie in the body and agree with the walk; no
 * memory is allocated.
 */
#include "memory.h"
#include "rewrite.h"
#include "wire/wire.h"

/*
 * Requires that bytes lie in a body.
 */
static void
require_inside(WireSpan span, const uint8_t *body, size_t len)
{
	if (span.len > 0)
		REQUIRE(span.data >= body && span.len <= len - (size_t) (span.data - body));
}

/* The first fields of a walk, to compare with the flat decoder's. */
typedef struct FirstFields
{
	const WireField *fields;
	const WireValue *values;
	int count; /* values that are whole */
} FirstFields;

/*
 * Takes an event: one of a field without list must be the flat decoder's value.
 */
static bool
compare_event(void *arg, const WireEvent *event)
{
	FirstFields *first = arg;

	for (int i = 0; i < first->count; i++)
	{
		const WireValue *value = &first->values[i];

		if (event->name != first->fields[i].name)
			continue;
		if (event->kind == WIRE_EVENT_NUMBER)
			REQUIRE(value->number == event->number);
		else if (event->kind == WIRE_EVENT_BYTES)
			REQUIRE(value->bytes.len == event->bytes.len &&
			        (value->bytes.len == 0 || value->bytes.data == event->bytes.data));
	}
	return true;
}

/*
 * Decodes a body flat and compares that with a walk.
 */
static void
check_flat(WireMessageId id, const uint8_t *body, size_t len)
{
	WireValue values[WIRE_MAX_FIELDS];
	WireWalk walk = {.reason = NULL};
	FirstFields first = {wire_types[id].fields, values, wire_decode(id, body, len, values)};

	for (int i = 0; i < WIRE_MAX_FIELDS; i++)
		require_inside(values[i].bytes, body, len);
	if (first.count > 0 && !values[first.count - 1].complete)
		first.count--;
	if (len >= wire_code_size(id) && wire_types[id].type <= 0xff)
		wire_walk(id, body, len, &walk, compare_event, &first);
}

/*
 * Reads fields of errors and pairs of a startup packet, whatever the bytes are.
 */
static void
check_fields(const uint8_t *body, size_t len)
{
	WireSpan all = {body, len};
	WireSpan name;
	WireSpan value;
	size_t at = 0;

	for (const char *code = "SVCMDHWP"; *code; code++)
		if (wire_error_field(body, len, *code, &value))
			require_inside(value, body, len);
	for (size_t before = 0; wire_pair_next(all, &at, &name, &value); before = at)
	{
		REQUIRE(at > before && at <= len);
		require_inside(name, body, len);
		require_inside(value, body, len);
	}
	REQUIRE(wire_tag_rows((const char *) body, len) >= -1);
}

/*
 * Runs one input.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t formats[] = {0, 1, 0, 0, 0, 1};
	Input input = {data, size};
	WireDirection direction = take_byte(&input) == 'F' ? WIRE_FRONTEND : WIRE_BACKEND;
	WirePhase phase = (WirePhase) (take_byte(&input) % WIRE_PLACE_COUNT);
	uint8_t type = take_byte(&input);
	uint8_t flags = take_byte(&input);
	uint8_t *body = exact_copy(input.data, input.len);
	WireMessageId id = wire_type_of(direction, type, phase, body, input.len);
	WireWalk walk = {.formats = {formats, flags % 4}, .data_is_binary = flags & 4};

	walk.content = (WireContent){.is_replication = flags & 8,
	                             .in_stream = flags & 16,
	                             .plugin = (WirePlugin) ((flags >> 5) % 3),
	                             .direction = direction};

	memory_begin();
	REQUIRE(wire_name_of(id) != NULL);
	if (id != WIRE_MSG_Unknown)
	{
		rewrites(id, body, input.len, &walk);
		if (!wire_types[id].key)
			check_flat(id, body, input.len);
	}
	check_fields(body, input.len);
	REQUIRE(memory_calls == 0);
	free(body);
	return 0;
}
