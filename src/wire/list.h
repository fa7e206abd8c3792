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

/* A message's type byte; an Authentication's is 'R' with its code above. */
#define WIRE_AUTH_TYPE(code) ('R' | ((code) + 1) << 8)

typedef struct WireField
{
	const char *name;
	WireKind kind;
} WireField;

typedef struct WireMessageType
{
	const char *name;
	uint8_t directions;
	int type;		 /* 0: none; see WIRE_AUTH_TYPE */
	uint16_t phases; /* bits 1 << WirePhase */
	int since;
	const char *help;
	WireField fields[WIRE_MAX_FIELDS + 1]; /* ended by WIRE_KIND_END */
} WireMessageType;

/* One entry a WireMessageId. */
extern const WireMessageType wire_types[WIRE_MSG_COUNT];

#endif /* WIRE_LIST_H */
