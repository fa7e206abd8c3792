/*
 * align.c
 *	  What belongs together in two sequences.
 *
 * Equal elements at both ends are paired at once.  What is between is searched by
 * the greedy algorithm of E. W. Myers ("An O(ND) Difference Algorithm and Its
 * Variations"): the furthest place that can be reached with 0, 1, 2, ... elements
 * left alone.  It finds the least number of those, in time that grows with it.
 *
 * Two sequences that have little in common would take the square of their length.
 * So after MOST_EDITS such elements the search goes on from the furthest place
 * that it has reached; the result is then not always the shortest, and the time
 * is linear.
 */
#include "api/align.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#define MOST_EDITS 256

/* Room for the furthest places of 0 to MOST_EDITS edits: 1 + 2 + ... */
#define PLACES ((MOST_EDITS + 1) * (MOST_EDITS + 2) / 2)

/*
 * A search under way.  After `edits` edits the diagonals -edits, -edits + 2, ...,
 * edits can be reached: on each, how far in a; -1: not at all.  A diagonal is the
 * place in a less that in b.
 */
typedef struct Aligning
{
	const AlignSequence *a;
	const AlignSequence *b;
	int64 *pairs;
	int64 *places; /* of all edits, one after the other */
} Aligning;

/* A part of both sequences: from the first place to before the last. */
typedef struct Range
{
	int64 a;
	int64 a_end;
	int64 b;
	int64 b_end;
} Range;

/*
 * Tells whether two elements have the same key.
 */
static bool
same(const Aligning *aligning, int level, int64 a, int64 b)
{
	const AlignKeys *left =
	    (const AlignKeys *) (aligning->a->elements + (size_t) a * aligning->a->width);
	const AlignKeys *right =
	    (const AlignKeys *) (aligning->b->elements + (size_t) b * aligning->b->width);

	return left->key[level] == right->key[level];
}

/*
 * Returns the furthest places of a number of edits.
 */
static int64 *
places_of(const Aligning *aligning, int edits)
{
	return aligning->places + (size_t) edits * (edits + 1) / 2;
}

/*
 * Returns how far in a a diagonal can be reached with one more edit, before equal
 * elements are passed; -1: not at all.  *skips_a: by leaving alone one of a.
 */
static int64
step(const Aligning *aligning, const Range *range, int edits, int64 diagonal, bool *skips_a)
{
	const int64 *before = places_of(aligning, edits - 1);
	int64 slot = (diagonal + edits) / 2; /* that of diagonal + 1 in `before` */
	int64 over_a = slot > 0 ? before[slot - 1] : -1;
	int64 over_b = slot < edits ? before[slot] : -1;

	if (over_a >= 0 && ++over_a > range->a_end - range->a)
		over_a = -1;
	if (over_b - diagonal > range->b_end - range->b)
		over_b = -1;
	*skips_a = over_a > over_b;
	return Max(over_a, over_b);
}

/*
 * Finds the furthest place on a diagonal.
 */
static int64
reach(const Aligning *aligning, const Range *range, int level, int edits, int64 diagonal)
{
	bool skips_a;
	int64 at = edits == 0 ? 0 : step(aligning, range, edits, diagonal, &skips_a);

	if (at < 0)
		return -1;
	while (range->a + at < range->a_end && range->b + at - diagonal < range->b_end &&
	       same(aligning, level, range->a + at, range->b + at - diagonal))
		at++;
	return at;
}

/*
 * Goes back from a place and pairs what was passed as equal.
 */
static void
trace_back(const Aligning *aligning, const Range *range, int edits, int64 diagonal)
{
	for (; edits >= 0; edits--)
	{
		int64 at = places_of(aligning, edits)[(diagonal + edits) / 2];
		bool skips_a = false;
		int64 from = edits == 0 ? 0 : step(aligning, range, edits, diagonal, &skips_a);

		while (at > from)
		{
			at--;
			aligning->pairs[range->a + at] = range->b + at - diagonal;
		}
		diagonal += skips_a ? -1 : 1;
	}
}

/*
 * Pairs equal elements from the begin of a range on, to its end or as far as
 * MOST_EDITS edits reach; moves the begin there.
 */
static void
search(const Aligning *aligning, Range *range, int level)
{
	int64 length = range->a_end - range->a + range->b_end - range->b;
	int64 furthest = -1;
	int64 found = 0;
	int edits;

	for (edits = 0; edits <= MOST_EDITS; edits++)
	{
		int64 *places = places_of(aligning, edits);

		CHECK_FOR_INTERRUPTS();
		furthest = -1;
		for (int64 diagonal = -edits; diagonal <= edits; diagonal += 2)
		{
			int64 at = reach(aligning, range, level, edits, diagonal);

			places[(diagonal + edits) / 2] = at;
			if (at >= 0 && 2 * at - diagonal > furthest)
			{
				furthest = 2 * at - diagonal;
				found = diagonal;
			}
		}
		if (furthest == length || edits == MOST_EDITS)
			break;
	}
	trace_back(aligning, range, edits, found);
	range->a += (furthest + found) / 2;
	range->b += (furthest - found) / 2;
}

/*
 * Pairs what is equal at the ends of a range, and takes it off.
 */
static void
trim(const Aligning *aligning, Range *range, int level)
{
	while (range->a < range->a_end && range->b < range->b_end &&
	       same(aligning, level, range->a, range->b))
		aligning->pairs[range->a++] = range->b++;
	while (range->a < range->a_end && range->b < range->b_end &&
	       same(aligning, level, range->a_end - 1, range->b_end - 1))
		aligning->pairs[--range->a_end] = --range->b_end;
}

static void align_range(const Aligning *aligning, Range range, int level);

/*
 * Goes on with the next key in each gap between the pairs of a range.
 */
static void
align_gaps(const Aligning *aligning, Range range, int level)
{
	Range gap = range;

	for (int64 a = range.a; a <= range.a_end; a++)
	{
		bool is_end = a == range.a_end;

		if (!is_end && aligning->pairs[a] < 0)
			continue;
		gap.a_end = a;
		gap.b_end = is_end ? range.b_end : aligning->pairs[a];
		align_range(aligning, gap, level);
		gap.a = a + 1;
		gap.b = gap.b_end + 1;
	}
}

/*
 * Pairs the elements of a range by a key, then by those behind it.
 */
static void
align_range(const Aligning *aligning, Range range, int level)
{
	Range left = range;

	if (level == ALIGN_LEVELS || range.a == range.a_end || range.b == range.b_end)
		return;
	trim(aligning, &left, level);
	range = left;
	while (left.a < left.a_end && left.b < left.b_end)
		search(aligning, &left, level);
	align_gaps(aligning, range, level + 1);
}

/*
 * Returns the counterparts; see align.h.
 */
int64 *
align_sequences(const AlignSequence *a, const AlignSequence *b)
{
	size_t size = sizeof(int64) * (size_t) Max(a->count, 1);
	Aligning aligning = {.a = a, .b = b};

	aligning.pairs = MemoryContextAllocHuge(CurrentMemoryContext, size);
	for (int64 i = 0; i < a->count; i++)
		aligning.pairs[i] = -1;
	aligning.places = palloc(sizeof(int64) * PLACES);
	align_range(&aligning, (Range){0, a->count, 0, b->count}, 0);
	pfree(aligning.places);
	return aligning.pairs;
}
