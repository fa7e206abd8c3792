/*
 * walker.h
 *	  A walk under way: what the walker's files share.
 *
 * walk.c has a function for each shape of field that any message may have;
 * content.c for what is inside CopyData.
 */
#ifndef WIRE_WALKER_H
#define WIRE_WALKER_H

#include "wire/cursor.h"
#include "wire/walk.h"

typedef struct Walker
{
	WireCursor cursor;
	WireWalk *walk;
	WireTake take; /* NULL: the walk only checks */
	void *arg;
	const WireField *field;
	WireFormats formats; /* the last that the message gave */
	bool in_stream;      /* transaction ids are there */
	uint64_t lsns[2];    /* the last two */
	uint32_t count;      /* of a list that comes behind another field */
} Walker;

/* ---- walk.c ---- */

/* Notes why the body is not well formed; false. */
extern bool walker_malformed(Walker *walker, const char *reason);

/* Notes that the taker did not want more; false. */
extern bool walker_stopped(Walker *walker);

/*
 * Hands an event to the taker.
 */
static inline bool
walker_give(Walker *walker, WireEvent *event)
{
	event->field = walker->field->kind;
	return !walker->take || walker->take(walker->arg, event) || walker_stopped(walker);
}

/*
 * Hands over an event that has nothing but a name.
 */
static inline bool
walker_give_name(Walker *walker, WireEventKind kind, const char *name)
{
	WireEvent event = {.kind = kind, .name = name};

	return walker_give(walker, &event);
}

extern bool walker_number(Walker *walker, WireKind kind, const char *name);
extern bool walker_string(Walker *walker, const char *name);
extern bool walker_rest(Walker *walker, const char *name);

/*
 * Reads the count of a list, of which each item takes at least `least` bytes, and
 * begins the list.
 */
extern bool walker_begin_list(Walker *walker, int count_bytes, size_t least, uint32_t *count);
extern bool walker_end_list(Walker *walker);

/* Walks all fields of a message, up to its last byte. */
extern bool walker_fields(Walker *walker, WireMessageId id);

/* ---- content.c ---- */

/* Walks a field of the kinds that stand inside CopyData alone. */
extern bool walker_content_field(Walker *walker);

#endif /* WIRE_WALKER_H */
