/*
 * align.h
 *	  What belongs together in two sequences.
 *
 * Each element has keys, from the most to the least exact.  Elements are paired
 * in order: as many as possible of those with the same first key, then, between
 * two such pairs, those with the same second key, and so on.  So what was
 * inserted or left out stays alone, and what was changed meets its counterpart.
 */
#ifndef API_ALIGN_H
#define API_ALIGN_H

#include "postgres.h"

#define ALIGN_LEVELS 3

typedef struct AlignKeys
{
	uint64 key[ALIGN_LEVELS];
} AlignKeys;

/* A sequence of elements that begin with their keys. */
typedef struct AlignSequence
{
	const char *elements;
	size_t width; /* of an element, in bytes */
	int64 count;
} AlignSequence;

/*
 * Returns for each element of a the place of its counterpart in b, or -1.  Places
 * ascend.
 */
extern int64 *align_sequences(const AlignSequence *a, const AlignSequence *b);

#endif /* API_ALIGN_H */
