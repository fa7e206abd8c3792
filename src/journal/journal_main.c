/*
 * journal_main.c
 *	  pgwire_trace_journal: lists a journal and counts its records.
 *
 *		pgwire_trace_journal [--list] [--after SERIES:SEGMENT:OFFSET]... DIRECTORY
 *
 * A line a series with its records by type, then one line of totals, each a row
 * of name=value.  --list prints a line a record as well.  --after skips what the
 * writer has stored already: its positions, as table journal_position has them
 * (the series as hex digits or as the table's number).
 *
 * It only reads, so it may run beside relays and writer; what is being appended
 * meanwhile is counted or not.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/journal.h"
#include "journal/record.h"

typedef struct Position
{
	uint64_t series;
	uint32_t segment;
	uint64_t offset;
} Position;

typedef struct Counts
{
	uint64_t records[JOURNAL_EXCHANGE + 1]; /* by type; 0: unknown types */
	uint64_t skipped_bytes;
	uint64_t gaps;       /* sequence numbers that are missing */
	uint64_t unreadable; /* segments */
	uint64_t bytes;
	uint32_t segments;
} Counts;

typedef struct Options
{
	const char *directory;
	bool list;
	Position *after;
	int after_count;
} Options;

static const char *const type_names[] = {"unknown", "session", "text", "exchange"};

/*
 * Says how the program is called, and ends it.
 */
__attribute__((noreturn)) static void
usage(FILE *out, int status)
{
	fputs("pgwire_trace_journal lists a journal of pgwire_trace and counts its records.\n\n"
	      "Usage: pgwire_trace_journal [OPTION]... DIRECTORY\n\n"
	      "  -l, --list                            a line a record\n"
	      "  -a, --after=SERIES:SEGMENT:OFFSET     skip what is before; once a series\n"
	      "  -h, --help                            this text\n",
	      out);
	exit(status);
}

/*
 * Reads a position: 16 hex digits or a (perhaps negative) decimal number, the
 * segment, the offset.
 */
static bool
parse_position(const char *text, Position *position)
{
	char series[32];
	int end = 0;

	if (sscanf(text, "%31[^:]:%" SCNu32 ":%" SCNu64 "%n", series, &position->segment,
	           &position->offset, &end) != 3 ||
	    text[end] != '\0')
		return false;
	if (strlen(series) == 16 && strspn(series, "0123456789abcdef") == 16)
		return sscanf(series, "%" SCNx64, &position->series) == 1;
	return sscanf(series, "%" SCNd64, (int64_t *) &position->series) == 1;
}

/*
 * Adds a position to the options, or ends the program.
 */
static void
add_position(Options *options, const char *text)
{
	size_t count = (size_t) options->after_count + 1;
	Position *after = realloc(options->after, count * sizeof(Position));

	if (!after)
	{
		fputs("pgwire_trace_journal: out of memory\n", stderr);
		exit(1);
	}
	options->after = after;
	if (!parse_position(text, &after[options->after_count]))
	{
		fprintf(stderr, "pgwire_trace_journal: \"%s\" is not SERIES:SEGMENT:OFFSET\n", text);
		exit(2);
	}
	options->after_count++;
}

/*
 * Reads the command line.
 */
static void
parse_options(Options *options, int argc, char **argv)
{
	static const struct option known[] = {{"list", no_argument, NULL, 'l'},
	                                      {"after", required_argument, NULL, 'a'},
	                                      {"help", no_argument, NULL, 'h'},
	                                      {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "la:h", known, NULL)) >= 0)
	{
		if (option == 'l')
			options->list = true;
		else if (option == 'a')
			add_position(options, optarg);
		else
			usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : 2);
	}
	if (optind + 1 != argc)
		usage(stderr, 2);
	options->directory = argv[optind];
}

/*
 * Prints a record.
 */
static void
print_record(const JournalSegment *segment, const JournalRecord *record)
{
	RecordHeader header = {0};
	int type = record->type <= JOURNAL_EXCHANGE ? (int) record->type : 0;

	if (record->length >= sizeof(header))
		memcpy(&header, record->payload, sizeof(header));
	printf("series=%016" PRIx64 " segment=%" PRIu32 " offset=%" PRIu64 " sequence=%" PRIu64
	       " type=%s session_id=%" PRIu64 " bytes=%" PRIu32 "\n",
	       segment->series, segment->segment, record->offset, record->sequence, type_names[type],
	       header.session_id, record->length);
}

/*
 * Tells why a segment can't be read.
 */
static void
report_unreadable(const JournalSegment *segment, JournalReadResult result)
{
	const char *reason = strerror(errno);

	if (result == JOURNAL_READ_BAD_VERSION)
		reason = "it is of another format version";
	else if (result == JOURNAL_READ_BAD_SEGMENT)
		reason = "its header is corrupt";
	fprintf(stderr,
	        "pgwire_trace_journal: segment %" PRIu32 " of series %016" PRIx64
	        " can't be read: %s\n",
	        segment->segment, segment->series, reason);
}

/*
 * Counts the records of a segment from an offset on.  *expected is the sequence
 * number that should come next, 0 where any may.
 */
static void
count_segment(const Options *options, const JournalSegment *segment, uint64_t offset, bool final,
              uint64_t *expected, Counts *counts)
{
	JournalReader *reader =
	    journal_reader_open(options->directory, segment->series, segment->segment, offset);
	JournalRecord record;
	JournalReadResult result;

	if (!reader)
	{
		if (errno != ENOENT) /* else the writer has removed it meanwhile */
			report_unreadable(segment, JOURNAL_READ_FAILED);
		return;
	}
	while ((result = journal_read(reader, final, &record)) == JOURNAL_READ_RECORD)
	{
		if (*expected != 0 && record.sequence > *expected)
			counts->gaps += record.sequence - *expected;
		*expected = record.sequence + 1;
		counts->records[record.type <= JOURNAL_EXCHANGE ? record.type : 0]++;
		if (options->list)
			print_record(segment, &record);
	}
	if (result != JOURNAL_READ_END)
	{
		report_unreadable(segment, result);
		counts->unreadable++;
	}
	counts->skipped_bytes += journal_skipped_bytes(reader);
	counts->segments++;
	if (segment->size > offset)
		counts->bytes += segment->size - offset;
	journal_reader_close(reader);
}

/*
 * Finds where a series is to be read from.
 */
static Position
find_position(const Options *options, uint64_t series)
{
	for (int i = 0; i < options->after_count; i++)
		if (options->after[i].series == series)
			return options->after[i];
	return (Position){series, 0, 0};
}

/*
 * Prints counts as a row of name=value.
 */
static void
print_counts(const Counts *counts)
{
	printf("exchanges=%" PRIu64 " sessions=%" PRIu64 " texts=%" PRIu64 " unknown=%" PRIu64
	       " skipped_bytes=%" PRIu64 " gaps=%" PRIu64 " unreadable_segments=%" PRIu64
	       " segments=%" PRIu32 " bytes=%" PRIu64 "\n",
	       counts->records[JOURNAL_EXCHANGE], counts->records[JOURNAL_SESSION],
	       counts->records[JOURNAL_QUERY_TEXT], counts->records[0], counts->skipped_bytes,
	       counts->gaps, counts->unreadable, counts->segments, counts->bytes);
}

/*
 * Adds the counts of a series to the totals.
 */
static void
add_counts(Counts *total, const Counts *counts)
{
	for (int type = 0; type <= JOURNAL_EXCHANGE; type++)
		total->records[type] += counts->records[type];
	total->skipped_bytes += counts->skipped_bytes;
	total->gaps += counts->gaps;
	total->unreadable += counts->unreadable;
	total->segments += counts->segments;
	total->bytes += counts->bytes;
}

/*
 * Counts and prints a series: `count` segments in order.
 */
static void
count_series(const Options *options, const JournalSegment *segments, int count, Counts *total)
{
	Position after = find_position(options, segments[0].series);
	bool finished = journal_series_finished(options->directory, segments[0].series);
	Counts counts = {0};
	uint64_t expected = 0;

	for (int i = 0; i < count; i++)
	{
		uint64_t offset = segments[i].segment == after.segment ? after.offset : 0;

		if (segments[i].segment >= after.segment)
			count_segment(options, &segments[i], offset, finished || i + 1 < count, &expected,
			              &counts);
	}
	printf("series=%016" PRIx64 " state=%s ", segments[0].series, finished ? "finished" : "open");
	print_counts(&counts);
	add_counts(total, &counts);
}

/*
 * Runs the program.
 */
int
main(int argc, char **argv)
{
	Options options = {0};
	Counts total = {0};
	JournalSegment *segments;
	int count;

	parse_options(&options, argc, argv);
	count = journal_list(options.directory, &segments);
	if (count < 0)
	{
		fprintf(stderr, "pgwire_trace_journal: could not read directory \"%s\": %s\n",
		        options.directory, strerror(errno));
		return 1;
	}
	for (int i = 0; i < count;)
	{
		int n = 1;

		while (i + n < count && segments[i + n].series == segments[i].series)
			n++;
		count_series(&options, &segments[i], n, &total);
		i += n;
	}
	printf("total ");
	print_counts(&total);
	free(segments);
	free(options.after);
	return total.unreadable > 0 ? 3 : 0;
}
