/*
 * json_flat.h
 *	  A body being laid out without events: what json_flat.c and json_part.c share.
 */
#ifndef API_JSON_FLAT_H
#define API_JSON_FLAT_H

#include "api/json_lay.h"
#include "api/json_shape.h"
#include "wire/cursor.h"

/* What a value may take besides its bytes, or the two hex digits of each. */
#define FLAT_VALUE_ROOM 32

/* A field as it was found. */
typedef struct Found
{
	int64 number;
	WireSpan bytes;      /* of strings, lists, values */
	WireFormats formats; /* of values */
} Found;

/* A body being made. */
typedef struct Flat
{
	const JsonContext *context;
	JsonNumbers *numbers;
	const JsonShape *column;
	const WireContent *content; /* of CopyData */
	WireFormats formats;        /* the last that the message gave */
	size_t room;                /* that the jsonb needs at most */
	uint64 lsns[2];             /* the last two */
} Flat;

/*
 * Lays bytes out: as text if they are that, else {"hex": ...}.  NULL: they need
 * conversion.
 */
static inline char *
flat_lay_bytes(const Flat *flat, WireSpan bytes, bool is_binary, char *at, JEntry *entry)
{
	const ReadEncoding *encoding = &flat->context->encoding;
	char *end;
	size_t len;

	*entry = (JEntry) bytes.len; /* a string */
	if (likely(!is_binary && json_copy_plain(at, bytes.data, bytes.len)))
		return at + bytes.len;
	if (!is_binary && encoding->is_converted)
		return NULL;
	if (!is_binary && read_text(encoding, bytes, &len))
		return at + bytes.len; /* they were copied */
	end = json_lay_hex(at, bytes.data, bytes.len);
	*entry = JENTRY_ISCONTAINER | (JEntry) (end - at);
	return end;
}

/* ---- json_flat.c ---- */

/* Finds the fields of a message, to its last byte.  False: they are not for here. */
extern bool flat_find_fields(Flat *flat, const JsonShape *shape, WireCursor *cursor, Found *found);

/*
 * Lays an object of fields out, in the order of their keys, from a place that is
 * aligned.  Returns the place behind it; NULL: it can't be here.
 */
extern char *flat_lay_fields(Flat *flat, const JsonShape *shape, const Found *found, char *at);

/* ---- json_part.c: what is inside CopyData ---- */

/* Returns the room that the body of so much CopyData takes at most. */
extern size_t flat_room_of_part(size_t len);

/*
 * Lays the message that CopyData or XLogData holds out, under its key, from a place
 * that is aligned.  NULL: there is none, or it can't be here.
 */
extern char *flat_lay_part(Flat *flat, WirePhase place, WireSpan bytes, char *at);

/* Find and lay out a field of the kinds that only such messages have. */
extern bool flat_find_in_part(Flat *flat, WireCursor *cursor, WireKind kind, Found *found);
extern char *flat_lay_in_part(Flat *flat, WireKind kind, const Found *found, char *at,
                              JEntry *entry);

#endif /* API_JSON_FLAT_H */
