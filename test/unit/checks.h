/*
 * checks.h
 *	  What every unit test has: checks that are counted, and the line that dev/test
 *	  reads at the end.
 */
#ifndef CHECKS_H
#define CHECKS_H

#include <stdbool.h>
#include <stdio.h>

static int passed;
static int failed;

#define CHECKS_TEXT(line) #line
#define CHECKS_LINE(line) CHECKS_TEXT(line)

/* Checks a condition that says itself what it is about. */
#define CHECK(condition) check((condition), __FILE__ ":" CHECKS_LINE(__LINE__) ": " #condition)

/*
 * Counts a check; says which one failed.
 */
static inline void
check(bool good, const char *what)
{
	if (good)
		passed++;
	else
	{
		failed++;
		printf("FAILED %s\n", what);
	}
}

/*
 * Prints the counts and returns the program's exit status.
 */
static inline int
finish(void)
{
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}

#endif /* CHECKS_H */
