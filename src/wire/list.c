/*
 * list.c
 *	  The list of messages as tables, and the lookup of a message's type.
 *
 * The lookup is by direction, byte and phase.  Most bytes mean one message in
 * all phases that have a type byte; the table has one row a phase, so that the
 * relay finds a type with two loads.
 */
#include "wire/walk.h"

#include <string.h>

#define F WIRE_DIR_F
#define B WIRE_DIR_B
#define FB WIRE_DIR_FB
#define R(code) WIRE_CODED_TYPE('R', code)
#define U(code) WIRE_CODED_TYPE(0, code)

#define PHASE(name) (1u << WIRE_PHASE_##name)
#define PHASES_STARTUP PHASE(STARTUP)
#define PHASES_SSL_ANSWER PHASE(SSL_ANSWER)
#define PHASES_PASSWORD PHASE(PASSWORD)
#define PHASES_SASL_INITIAL PHASE(SASL_INITIAL)
#define PHASES_SASL PHASE(SASL)
#define PHASES_GSS PHASE(GSS)
#define PHASES_IN_COPY_DATA PHASE(IN_COPY_DATA)
#define PHASES_IN_XLOG_DATA PHASE(IN_XLOG_DATA)
#define PHASES_ANY                                                                      \
	(PHASE(PASSWORD) | PHASE(SASL_INITIAL) | PHASE(SASL) | PHASE(GSS) | PHASE(NORMAL) | \
	 PHASE(COPY) | PHASE(REPLICATION))

/* How long messages may be: their length field, so without the type byte. */
#define LIMIT_SMALL 10000      /* PQ_SMALL_MESSAGE_LIMIT */
#define LIMIT_TOKEN 65535      /* PG_MAX_AUTH_TOKEN_LENGTH */
#define LIMIT_LIST 300000      /* 65,535 OIDs, and what stands beside them */
#define LIMIT_LARGE 0x3ffffffe /* PQ_LARGE_MESSAGE_LIMIT */

/*
 * Each message's row closes the one before it, so the first closes that of the
 * unknown message, and the last one is closed behind the list.
 */
/* clang-format off */
const WireMessageType wire_types[WIRE_MSG_COUNT] = {
	{"Unknown", NULL, 0, 0, 0, 30, LIMIT_LARGE, "a message of a type that is not known", {
#define WIRE_MESSAGE(name, directions, type, phases, since, limit, help) \
	{NULL, WIRE_KIND_END}}}, \
	{#name, NULL, directions, type, PHASES_##phases, since, LIMIT_##limit, help, {
#define WIRE_PART(name, key, directions, type, place, since, help) \
	{NULL, WIRE_KIND_END}}}, \
	{#name, #key, directions, type, PHASES_##place, since, 0, help, {
#define WIRE_FIELD(message, name, kind) {#name, WIRE_KIND_##kind},
#include "wire/messages.h"
#undef WIRE_MESSAGE
#undef WIRE_FIELD
	{NULL, WIRE_KIND_END}}}
};
/* clang-format on */

const char *const wire_phase_names[WIRE_PLACE_COUNT] = {
    [WIRE_PHASE_STARTUP] = "startup",
    [WIRE_PHASE_PASSWORD] = "password",
    [WIRE_PHASE_SASL_INITIAL] = "sasl_initial",
    [WIRE_PHASE_SASL] = "sasl",
    [WIRE_PHASE_GSS] = "gss",
    [WIRE_PHASE_NORMAL] = "normal",
    [WIRE_PHASE_COPY] = "copy",
    [WIRE_PHASE_REPLICATION] = "replication",
    [WIRE_PHASE_SSL_ANSWER] = "ssl_answer",
    [WIRE_PHASE_IN_COPY_DATA] = "copy_data",
    [WIRE_PHASE_IN_XLOG_DATA] = "xlog_data",
};

/* Filling it twice at once would write the same values. */
WireLookup wire_lookup;

_Static_assert(WIRE_MSG_COUNT < 256, "message ids fit a byte");

/*
 * Adds a message to the lookup, for each of its directions and phases.
 */
static void
add_to_table(WireMessageId id, const WireMessageType *type)
{
	for (int direction = 0; direction < 2; direction++)
	{
		if (!(type->directions & (direction == 0 ? WIRE_DIR_F : WIRE_DIR_B)))
			continue;
		for (int phase = 0; phase < WIRE_PLACE_COUNT; phase++)
			if (type->phases & (1u << phase))
				wire_lookup.ids[direction][phase][WIRE_TYPE_BYTE(type->type)] = (uint8_t) id;
		if (wire_lookup.limits[direction][WIRE_TYPE_BYTE(type->type)] < type->limit)
			wire_lookup.limits[direction][WIRE_TYPE_BYTE(type->type)] = type->limit;
	}
	if (WIRE_HAS_CODE(type->type))
		wire_lookup.authentication[WIRE_CODE(type->type)] = (uint8_t) id;
}

/*
 * Fills the lookup from the list.
 */
void
wire_fill_lookup(void)
{
	for (int id = 1; id < WIRE_MSG_COUNT; id++)
		if (WIRE_TYPE_BYTE(wire_types[id].type) != 0)
			add_to_table((WireMessageId) id, &wire_types[id]);
	/* 'N' refuses either request for encryption */
	wire_lookup.ids[1][WIRE_PHASE_SSL_ANSWER]['N'] = WIRE_MSG_SSLResponse;
	for (int direction = 0; direction < 2; direction++)
		for (int byte = 0; byte < 256; byte++)
			if (wire_lookup.limits[direction][byte] == 0)
				wire_lookup.limits[direction][byte] = LIMIT_LARGE;
	wire_lookup.is_filled = true;
}

/*
 * Returns how long messages may be in a direction, by type byte; see wire.h.
 */
const uint32_t *
wire_length_limits(WireDirection direction)
{
	if (!wire_lookup.is_filled)
		wire_fill_lookup();
	return wire_lookup.limits[direction == WIRE_BACKEND];
}

/*
 * Tells an untyped packet of a connection's begin by its code.
 */
static WireMessageId
startup_type(const uint8_t *body, size_t len)
{
	uint32_t code;

	if (len < 4)
		return WIRE_MSG_Unknown;
	code = (uint32_t) body[0] << 24 | (uint32_t) body[1] << 16 | (uint32_t) body[2] << 8 | body[3];
	for (int id = 1; id < WIRE_MSG_COUNT; id++)
		if (wire_types[id].type == WIRE_CODED_TYPE(0, code))
			return (WireMessageId) id;
	return WIRE_MSG_StartupMessage;
}

/*
 * Returns the message type that a byte is, sent in this direction and phase.
 */
WireMessageId
wire_type_of(WireDirection direction, uint8_t type, WirePhase phase, const uint8_t *body,
             size_t body_len)
{
	if (!wire_lookup.is_filled)
		wire_fill_lookup();
	if (phase == WIRE_PHASE_STARTUP)
		return direction == WIRE_FRONTEND ? startup_type(body, body_len) : WIRE_MSG_Unknown;
	return wire_typed_id(direction, type, phase, body, body_len);
}

/*
 * Returns the protocol documentation's name of a message.
 */
const char *
wire_name_of(WireMessageId id)
{
	return wire_types[id < WIRE_MSG_COUNT ? id : WIRE_MSG_Unknown].name;
}

/*
 * Returns how many bytes at the begin of a body are the code that told its type.
 */
size_t
wire_code_size(WireMessageId id)
{
	return WIRE_HAS_CODE(wire_types[id].type) ? 4 : 0;
}

/*
 * Returns that code.
 */
uint32_t
wire_code_of(WireMessageId id)
{
	return WIRE_CODE(wire_types[id].type);
}

/*
 * Returns the size of an integer kind.
 */
int
wire_number_size(WireKind kind)
{
	switch (kind)
	{
		case WIRE_KIND_CHAR:
		case WIRE_KIND_INT8:
			return 1;
		case WIRE_KIND_INT16:
			return 2;
		case WIRE_KIND_INT64:
		case WIRE_KIND_TIME:
		case WIRE_KIND_LSN:
			return 8;
		default:
			return 4;
	}
}
