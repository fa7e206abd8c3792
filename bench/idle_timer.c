/*
 * idle_timer.c
 *	  How late a process is woken that does nothing but wait: what the machine itself
 *	  makes of a timer, while something else is measured.
 *
 *		idle_timer RATE		wakes RATE times a second until its input ends
 *
 * Prints the 50th and the 99th percentile, and the most, in milliseconds.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MOST 4000000

static int64_t late[MOST];

/*
 * Returns nanoseconds of the monotonic clock.
 */
static int64_t
now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (int64_t) at.tv_sec * 1000000000 + at.tv_nsec;
}

/*
 * Compares two numbers, for qsort.
 */
static int
by_size(const void *a, const void *b)
{
	int64_t left = *(const int64_t *) a;
	int64_t right = *(const int64_t *) b;

	return left < right ? -1 : left > right;
}

/*
 * Tells whether the input has ended.
 */
static int
is_over(void)
{
	struct pollfd input = {STDIN_FILENO, POLLIN, 0};

	return poll(&input, 1, 0) > 0;
}

/*
 * Wakes again and again.
 */
int
main(int argc, char **argv)
{
	int64_t step = argc > 1 && atoi(argv[1]) > 0 ? 1000000000 / atoi(argv[1]) : 1000000;
	int64_t due = now() + step;
	size_t count = 0;

	for (; count < MOST && !is_over(); due += step)
	{
		struct timespec at = {due / 1000000000, due % 1000000000};

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		late[count++] = now() - due;
	}
	if (count == 0)
		return 1;
	qsort(late, count, sizeof(late[0]), by_size);
	printf("%.3f %.3f %.3f\n", (double) late[count / 2] / 1e6,
	       (double) late[count * 99 / 100] / 1e6, (double) late[count - 1] / 1e6);
	return 0;
}
