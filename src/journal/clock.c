/*
 * clock.c
 *	  What time it is, for everything that records, stores and keeps.
 *
 * In a fault build a test sets the wall clock: it is ahead by as many seconds as
 * the file pgwt_fault_clock in the data directory says.  Relays, supervisor, writer
 * and backends all see that at once, as they would see a clock that is set.
 */
#include "journal/clock.h"

#include <stdio.h>
#include <time.h>

/* Seconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch. */
#define EPOCH_DIFFERENCE INT64_C(946684800)

/*
 * Returns the seconds by which a test has set the wall clock ahead.
 */
static int64_t
seconds_ahead(void)
{
	long ahead = 0;
#ifdef PGWT_FAULT
	FILE *file = fopen("pgwt_fault_clock", "r");

	if (file && fscanf(file, "%ld", &ahead) != 1)
		ahead = 0;
	if (file)
		fclose(file);
#endif
	return ahead;
}

/*
 * Reads one of the system's clocks, in microseconds.
 */
static int64_t
read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * Returns monotonic microseconds.
 */
int64_t
clock_monotonic(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/*
 * Returns microseconds since 2000-01-01 UTC, as TimestampTz counts them.
 */
int64_t
clock_wall(void)
{
	return read_clock(CLOCK_REALTIME) + (seconds_ahead() - EPOCH_DIFFERENCE) * 1000000;
}
