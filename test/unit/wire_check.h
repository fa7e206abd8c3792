/*
 * wire_check.h
 *	  What the codec's unit tests share: counting checks.
 */
#ifndef WIRE_CHECK_H
#define WIRE_CHECK_H

#include <stdbool.h>
#include <stdio.h>

static int passed;
static int failed;

/*
 * Counts a check; says which one failed.
 */
static void
check(const char *what, bool ok)
{
	if (ok)
		passed++;
	else
	{
		failed++;
		printf("FAILED: %s\n", what);
	}
}

/*
 * Prints the counts and returns the program's exit status.
 */
static int
finish(void)
{
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}

#endif /* WIRE_CHECK_H */
