/*
 * values.h
 *	  Rows value by value: where two results differ, and whether that counts.
 */
#ifndef REPLAY_VALUES_H
#define REPLAY_VALUES_H

#include "replay/compare.h"

/*
 * Compares two runs of rows whose digests differ.  False: no difference counts, as
 * all are within the tolerance for floats.  Else, from level 5 on, the first one is
 * put into the difference.
 */
extern bool values_differ(const CompareRules *rules, const Unit *captured, const Unit *replayed,
                          Difference *difference);

/* Whether the record has nothing but asterisks in place of a value, as many as came. */
extern bool value_is_masked(WireSpan captured, WireSpan replayed);

#endif /* REPLAY_VALUES_H */
