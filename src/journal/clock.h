/*
 * clock.h
 *	  What time it is.  Nothing that records, stores or keeps asks anybody else, so a
 *	  test of a fault build can set it (clock.c).
 */
#ifndef JOURNAL_CLOCK_H
#define JOURNAL_CLOCK_H

#include <stdint.h>

extern int64_t clock_monotonic(void); /* microseconds */
extern int64_t clock_wall(void);      /* microseconds since 2000-01-01 UTC */

#endif /* JOURNAL_CLOCK_H */
