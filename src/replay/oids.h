/*
 * oids.h
 *	  Numbers of users' types inside messages: in Parse, and in binary values that are
 *	  arrays or composites.
 *
 * A client that asks a server for the numbers of its types sends them back, and gets
 * them with values.  They are others in every database that was not copied file by
 * file.  So what a replay sends has the target's numbers, and what it got is compared
 * as if it had the record's.
 *
 * Types are told by their names; one that the other server does not have keeps its
 * number.  What a value is, its bytes alone tell: an array or composite is one that is
 * sound to its last byte, so text is hardly taken for one, and only a number that is
 * that of a type is changed.
 *
 * Public routines:
 *		oids_in_request		whether a request may hold such a number
 *		oids_translate		a request
 *		oids_translate_value	a value
 *		oids_same_number	whether two values are numbers of one type
 */
#ifndef REPLAY_OIDS_H
#define REPLAY_OIDS_H

#include "replay/types.h"
#include "wire/wire.h"

/* Finds no more than that a number may be one: it knows no types. */
extern bool oids_in_request(WireSpan request);

/* Writes the numbers of the second list where those of the first are; lists may be NULL. */
extern void oids_translate(uint8_t *request, size_t len, const UserTypes *from,
                           const UserTypes *to);

/* False: it is no array and no composite, or holds no such number. */
extern bool oids_translate_value(uint8_t *value, size_t len, const UserTypes *from,
                                 const UserTypes *to);

/* Values of type oid, as text or binary; both must be known. */
extern bool oids_same_number(WireSpan left, const UserTypes *left_types, WireSpan right,
                             const UserTypes *right_types);

#endif /* REPLAY_OIDS_H */
