/*
 * clock.c
 *	  Time: one wall-clock reading a session, monotonic differences after it.
 */
#include <time.h>

#include "relay/process.h"

/* Seconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch. */
#define EPOCH_DIFFERENCE INT64_C(946684800)

/*
 * Returns monotonic microseconds.
 */
int64_t
clock_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/*
 * Returns microseconds since 2000-01-01 UTC, as TimestampTz counts them.
 */
int64_t
clock_wall(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((int64_t) now.tv_sec - EPOCH_DIFFERENCE) * 1000000 + now.tv_nsec / 1000;
}
