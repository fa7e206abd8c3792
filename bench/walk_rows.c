/*
 * walk_rows.c
 *	  Walks the DataRows of a file with our codec, as often as asked, and prints how
 *	  many a second.
 *
 * Each message is found by its type byte, phase and direction; then its values are
 * stepped through, checks and all, as decode_messages() does it, or it is
 * walked event by event, as all messages can be.  The third number is the
 * bytes of all values, which must be what the program beside it finds.  Calls of
 * malloc() are counted: there must be none a message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire/stream.h"
#include "wire/values.h"
#include "wire/walk.h"

static volatile long allocations; /* volatile: compilers think that malloc() leaves it alone */

extern void *__libc_malloc(size_t size);

/*
 * Counts an allocation.
 */
void *
malloc(size_t size)
{
	allocations++;
	return __libc_malloc(size);
}

/*
 * Takes an event: adds up the bytes of values.
 */
static bool
take_event(void *arg, const WireEvent *event)
{
	size_t *bytes = arg;

	if (event->kind == WIRE_EVENT_VALUE)
		*bytes += event->bytes.len;
	return true;
}

/*
 * Steps through a row's values.  False: it is not well formed.
 */
static inline bool
step_row(WireSpan body, size_t *bytes)
{
	WireValues values = wire_values_begin(body.data, body.len);
	WireSpan value;

	while (wire_values_next(&values, &value))
		*bytes += value.len;
	return !values.reason && cursor_left(&values.cursor) == 0;
}

/*
 * Walks a row by events.
 */
static bool
walk_row(WireSpan body, size_t *bytes)
{
	WireWalk walk = {.reason = NULL};

	return wire_walk(WIRE_MSG_DataRow, body.data, body.len, &walk, take_event, bytes);
}

/*
 * Walks all messages.  Returns how many.
 */
static size_t
walk(const uint8_t *data, size_t len, bool by_events, size_t *bytes)
{
	size_t messages = 0;
	WirePhases phases;

	wire_stream_begin(&phases, WIRE_BACKEND, WIRE_PHASE_NORMAL);
	for (size_t at = 0; at < len; messages++)
	{
		WireMessage message;

		wire_stream_next(&phases, WIRE_BACKEND, data + at, len - at, &message);
		if (message.id != WIRE_MSG_DataRow ||
		    !(by_events ? walk_row(message.body, bytes) : step_row(message.body, bytes)))
		{
			fprintf(stderr, "walk_rows: not a DataRow at %zu\n", at);
			exit(1);
		}
		wire_stream_pass(&phases, WIRE_BACKEND, &message);
		at += message.size;
	}
	return messages;
}

/*
 * Returns a file's bytes.
 */
static uint8_t *
read_file(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;

	if (!file || fseek(file, 0, SEEK_END) != 0)
	{
		perror(path);
		exit(1);
	}
	*len = (size_t) ftell(file);
	data = malloc(*len);
	rewind(file);
	if (!data || fread(data, 1, *len, file) != *len)
	{
		perror(path);
		exit(1);
	}
	fclose(file);
	return data;
}

/*
 * Returns seconds of the processor's time, which other work on the machine does not
 * add to.
 */
static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	size_t len;
	size_t messages = 0;
	size_t bytes = 0;
	uint8_t *data;
	double begun;
	double ended;

	if (argc != 4)
	{
		fprintf(stderr, "usage: walk_rows FILE TIMES values|events\n");
		return 1;
	}
	data = read_file(argv[1], &len);
	allocations = 0;
	begun = seconds();
	for (int i = atoi(argv[2]); i > 0; i--)
		messages += walk(data, len, argv[3][0] == 'e', &bytes);
	ended = seconds();
	if (allocations > 0)
	{
		fprintf(stderr, "walk_rows: %ld allocations\n", allocations);
		return 1;
	}
	printf("%.0f %zu %zu\n", (double) messages / (ended - begun), messages, bytes);
	free(data);
	return 0;
}
