/*
 * list.h
 *	  The list of messages as tables: what the room's files walk.
 */
#ifndef WIRE_LIST_H
#define WIRE_LIST_H

#include "wire/kinds.h"
#include "wire/wire.h"

/* Directions, as bits. */
#define WIRE_DIR_F 1
#define WIRE_DIR_B 2
#define WIRE_DIR_FB 3

/* A type byte, 0 for none, with the code that goes with it above. */
#define WIRE_CODED_TYPE(byte, code) ((byte) | ((int64_t) (code) + 1) << 8)
#define WIRE_TYPE_BYTE(type) ((uint8_t) ((type) &0xff))
#define WIRE_HAS_CODE(type) ((type) > 0xff)
#define WIRE_CODE(type) ((uint32_t) (((type) >> 8) - 1))

typedef struct WireField
{
	const char *name;
	WireKind kind;
} WireField;

typedef struct WireMessageType
{
	const char *name;
	const char *key; /* of a part of another message; else NULL */
	uint8_t directions;
	int64_t type;    /* 0: none; see WIRE_CODED_TYPE */
	uint16_t phases; /* bits 1 << WirePhase */
	int since;       /* 30: protocol 3.0; in XLogData, 1: pgoutput's version 1 */
	uint32_t limit;  /* of its length field; a part has none of its own */
	const char *help;
	WireField fields[WIRE_MAX_FIELDS + 1]; /* ended by WIRE_KIND_END */
} WireMessageType;

/* One entry a WireMessageId. */
extern const WireMessageType wire_types[WIRE_MSG_COUNT];

/* The phases' names, by WirePhase. */
extern const char *const wire_phase_names[WIRE_PLACE_COUNT];

/*
 * Messages by [direction][phase][type byte], direction 1 being the backend's; requests
 * of authentication, which share a byte, by code; how long messages may be, by
 * [direction][type byte].  Filled on first use.
 */
typedef struct WireLookup
{
	bool is_filled;
	uint8_t ids[2][WIRE_PLACE_COUNT][256];
	uint8_t authentication[16];
	uint32_t limits[2][256];
} WireLookup;

extern WireLookup wire_lookup;

extern void wire_fill_lookup(void);

/*
 * Returns the message that a type byte is, as wire_type_of() does, once the lookup is
 * filled.
 */
static inline WireMessageId
wire_typed_id(WireDirection direction, uint8_t type, WirePhase phase, const uint8_t *body,
              size_t body_len)
{
	if (type != 'R' || direction != WIRE_BACKEND || phase >= WIRE_PHASE_SSL_ANSWER)
		return (WireMessageId) wire_lookup.ids[direction == WIRE_BACKEND][phase][type];
	if (body_len < 4 || body[0] || body[1] || body[2] ||
	    body[3] >= sizeof(wire_lookup.authentication))
		return WIRE_MSG_Unknown;
	return (WireMessageId) wire_lookup.authentication[body[3]];
}

/* Returns the size of an integer kind, in bytes. */
extern int wire_number_size(WireKind kind);

#endif /* WIRE_LIST_H */
