/*
 * journal_append.c
 *	  Tests of the journal's append side: batches, segments, limits, full disks,
 *	  short and failing writes.
 */
#include "journal_test.h"

#define MB (1024 * 1024)

/*
 * Counts the records in the whole directory, which must have no gap and nothing
 * that is skipped.
 */
static uint64_t
count_records(void)
{
	JournalSegment *segments;
	int count = journal_list(directory, &segments);
	uint64_t records = 0;

	for (int i = 0; i < count; i++)
	{
		JournalReader *reader =
		    journal_reader_open(directory, segments[i].series, segments[i].segment, 0);
		JournalRecord record;

		while (journal_read(reader, true, &record) == JOURNAL_READ_RECORD)
		{
			records++;
			CHECK(record.sequence == records);
		}
		CHECK(journal_skipped_bytes(reader) == 0);
		CHECK(journal_reader_header(reader)->segment == segments[i].segment);
		journal_reader_close(reader);
	}
	free(segments);
	return records;
}

/*
 * Returns how many segments there are.
 */
static int
count_segments(void)
{
	JournalSegment *segments;
	int count = journal_list(directory, &segments);

	free(segments);
	return count;
}

/*
 * A batch is in memory until it is written, by one write().
 */
static void
test_batch(void)
{
	JournalAppender *appender;
	uint64_t written;

	clean_directory();
	appender = begin_appender(64 * MB);
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 0);
	CHECK(count_segments() == 0);
	CHECK(add_record(appender, JOURNAL_SESSION, 10, 'a'));
	CHECK(add_record(appender, JOURNAL_EXCHANGE, 0, 'b'));
	CHECK(add_record(appender, JOURNAL_EXCHANGE, 1001, 'c'));
	CHECK(journal_pending_exchanges(appender) == 2);
	CHECK(journal_pending_bytes(appender) == 3 * 24 + 16 + 0 + 1008);
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 2);
	CHECK(faults.writes == 2); /* the segment's header, the batch */
	CHECK(journal_pending_bytes(appender) == 0);
	CHECK(count_records() == 3);
	CHECK(add_record(appender, JOURNAL_EXCHANGE, 8, 'd'));
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 1);
	CHECK(faults.writes == 3);
	CHECK(count_records() == 4);

	/* what is thrown away takes no sequence numbers */
	CHECK(add_record(appender, JOURNAL_EXCHANGE, 8, 'e'));
	CHECK(journal_discard(appender) == 1);
	CHECK(journal_pending_bytes(appender) == 0 && journal_pending_exchanges(appender) == 0);
	CHECK(add_record(appender, JOURNAL_EXCHANGE, 8, 'f'));
	CHECK(!journal_series_finished(directory, journal_series(appender)));
	journal_appender_free(appender); /* writes what is pending */
	CHECK(count_records() == 5);
}

/*
 * A payload that is too long is refused and adds nothing.
 */
static void
test_too_long(void)
{
	JournalAppender *appender;
	uint8_t byte = 0;
	struct iovec parts[2] = {{&byte, 1}, {&byte, JOURNAL_MAX_PAYLOAD}};

	clean_directory();
	appender = begin_appender(64 * MB);
	CHECK(!journal_add(appender, JOURNAL_EXCHANGE, parts, 2));
	CHECK(journal_pending_bytes(appender) == 0);
	journal_appender_free(appender);
}

/*
 * A segment ends once it is over its size, also inside a batch.
 */
static void
test_segments(void)
{
	JournalAppender *appender;
	uint64_t written;

	clean_directory();
	appender = begin_appender(256 * MB);
	for (int i = 0; i < 20; i++)
		CHECK(add_record(appender, JOURNAL_EXCHANGE, MB, i));
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 20);
	CHECK(count_segments() == 3);
	CHECK(count_records() == 20);
	CHECK(add_record(appender, JOURNAL_EXCHANGE, 30 * MB, 0)); /* larger than a segment */
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 1);
	CHECK(add_record(appender, JOURNAL_EXCHANGE, 1, 0));
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 1);
	CHECK(count_segments() == 4);
	CHECK(count_records() == 22);
	journal_appender_free(appender);
}

/*
 * The limit counts every segment as a whole one, other series' too.
 */
static void
test_limit(void)
{
	JournalAppender *first;
	JournalAppender *second;
	uint64_t written;

	clean_directory();
	first = begin_appender(3 * JOURNAL_SEGMENT_SIZE);
	second = begin_appender(3 * JOURNAL_SEGMENT_SIZE);
	add_record(first, JOURNAL_EXCHANGE, 17 * MB, 0);
	CHECK(journal_write(first, &written) == JOURNAL_OK);
	add_record(second, JOURNAL_EXCHANGE, 1, 0);
	CHECK(journal_write(second, &written) == JOURNAL_FULL && written == 0);
	CHECK(strstr(journal_error(second), "journal_limit") != NULL);
	CHECK(journal_pending_exchanges(second) == 1);

	/* the refusal stands for a moment without another look */
	faults.statvfs_calls = 0;
	journal_set_limit(second, 10 * JOURNAL_SEGMENT_SIZE);
	CHECK(journal_write(second, &written) == JOURNAL_FULL);
	CHECK(faults.statvfs_calls == 0);
	wait_out_refusal();
	CHECK(journal_write(second, &written) == JOURNAL_OK && written == 1);
	CHECK(faults.statvfs_calls == 1);

	/* a segment that is removed makes room */
	CHECK(journal_remove_segment(directory, journal_series(first), 1) == 0);
	CHECK(count_segments() == 1);
	journal_appender_free(first);
	journal_appender_free(second);
}

/*
 * No segment is begun that would take the last of the file system: the smaller
 * of 1 GB and 5 % stays free.
 */
static void
test_space(void)
{
	uint64_t gigabyte = UINT64_C(1024) * MB;
	JournalAppender *appender;
	uint64_t written;

	clean_directory();
	appender = begin_appender(64 * MB);
	add_record(appender, JOURNAL_EXCHANGE, 1, 0);
	faults.capacity = 100 * gigabyte;
	faults.available = gigabyte + JOURNAL_SEGMENT_SIZE - 4096;
	CHECK(journal_write(appender, &written) == JOURNAL_DISK_FULL && written == 0);
	CHECK(count_segments() == 0);
	wait_out_refusal();
	faults.available += 4096;
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 1);
	journal_appender_free(appender);

	clean_directory();
	appender = begin_appender(64 * MB);
	add_record(appender, JOURNAL_EXCHANGE, 1, 0);
	faults.capacity = 100 * MB;
	faults.available = 12 * MB;
	CHECK(journal_write(appender, &written) == JOURNAL_DISK_FULL);
	wait_out_refusal();
	faults.available = 13 * MB;
	CHECK(journal_write(appender, &written) == JOURNAL_OK);
	journal_appender_free(appender);
}

/*
 * Short writes are gone on with.
 */
static void
test_short_writes(void)
{
	JournalAppender *appender;
	uint64_t written;

	clean_directory();
	appender = begin_appender(64 * MB);
	faults.write_most = 7;
	for (int i = 0; i < 10; i++)
		add_record(appender, JOURNAL_EXCHANGE, 100, i);
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 10);
	CHECK(count_records() == 10);
	journal_appender_free(appender);
}

/*
 * Where a write fails, whole records before the failure count, a torn one is cut
 * off, and what was not written is tried again.  budget: bytes that still fit.
 */
static void
test_failing_write(int error, JournalResult expected, size_t budget, uint64_t whole)
{
	JournalAppender *appender;
	uint64_t written;

	clean_directory();
	appender = begin_appender(64 * MB);
	add_record(appender, JOURNAL_EXCHANGE, 40, 'x');
	CHECK(journal_write(appender, &written) == JOURNAL_OK);
	for (int i = 0; i < 10; i++)
		add_record(appender, JOURNAL_EXCHANGE, 40, i); /* 64 bytes each */
	faults.write_error = error;
	faults.write_budget = budget;
	CHECK(journal_write(appender, &written) == expected);
	CHECK(written == whole);
	CHECK(journal_pending_exchanges(appender) == 10 - whole);
	CHECK(count_records() == 1 + whole);
	faults.write_error = 0;
	CHECK(journal_write(appender, &written) == expected && written == 0); /* not at once */
	wait_out_refusal();
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 10 - whole);
	CHECK(count_records() == 11);
	journal_appender_free(appender);
}

/*
 * A torn record that can't be cut off is skipped by readers.
 */
static void
test_torn(void)
{
	JournalAppender *appender;
	JournalReader *reader;
	JournalRecord record;
	uint64_t written;

	clean_directory();
	appender = begin_appender(64 * MB);
	add_record(appender, JOURNAL_EXCHANGE, 40, 'x');
	CHECK(journal_write(appender, &written) == JOURNAL_OK);
	add_record(appender, JOURNAL_EXCHANGE, 40, 'y');
	faults.write_error = EIO;
	faults.write_budget = 33;
	faults.ftruncate_error = EIO;
	CHECK(journal_write(appender, &written) == JOURNAL_FAILED && written == 0);
	memset(&faults, 0, sizeof(faults));
	wait_out_refusal();
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 1);
	CHECK(count_segments() == 2);

	reader = journal_reader_open(directory, journal_series(appender), 1, 0);
	CHECK(journal_read(reader, true, &record) == JOURNAL_READ_RECORD && record.sequence == 1);
	CHECK(journal_read(reader, true, &record) == JOURNAL_READ_END);
	CHECK(journal_skipped_bytes(reader) == 33);
	journal_reader_close(reader);
	reader = journal_reader_open(directory, journal_series(appender), 2, 0);
	CHECK(journal_read(reader, true, &record) == JOURNAL_READ_RECORD && record.sequence == 2);
	CHECK(is_record(&record, JOURNAL_EXCHANGE, 40, 'y'));
	journal_reader_close(reader);
	journal_appender_free(appender);
}

/*
 * A segment that can't be begun leaves nothing behind.
 */
static void
test_failing_begin(void)
{
	JournalAppender *appender;
	uint64_t written;

	clean_directory();
	appender = begin_appender(64 * MB);
	add_record(appender, JOURNAL_EXCHANGE, 1, 0);
	faults.open_error = EACCES;
	CHECK(journal_write(appender, &written) == JOURNAL_FAILED);
	CHECK(strstr(journal_error(appender), strerror(EACCES)) != NULL);
	wait_out_refusal();
	faults.open_error = 0;
	faults.rename_error = ENOSPC;
	CHECK(journal_write(appender, &written) == JOURNAL_DISK_FULL);
	wait_out_refusal();
	faults.rename_error = 0;
	faults.write_error = ENOSPC;
	faults.write_budget = 10;
	CHECK(journal_write(appender, &written) == JOURNAL_DISK_FULL);
	CHECK(count_segments() == 0);
	wait_out_refusal();
	faults.write_error = 0;
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == 1);
	CHECK(count_records() == 1);
	journal_appender_free(appender);

	clean_directory();
	rmdir(directory);
	appender = begin_appender(64 * MB);
	add_record(appender, JOURNAL_EXCHANGE, 1, 0);
	CHECK(journal_write(appender, &written) == JOURNAL_FAILED);
	CHECK(journal_make_directory(directory) == 0);
	wait_out_refusal();
	CHECK(journal_write(appender, &written) == JOURNAL_OK);
	journal_appender_free(appender);
}

int
main(void)
{
	test_batch();
	test_too_long();
	test_segments();
	test_limit();
	test_space();
	test_short_writes();
	test_failing_write(ENOSPC, JOURNAL_DISK_FULL, 0, 0);
	test_failing_write(ENOSPC, JOURNAL_DISK_FULL, 3 * 64 + 30, 3);
	test_failing_write(EDQUOT, JOURNAL_DISK_FULL, 64, 1);
	test_failing_write(EIO, JOURNAL_FAILED, 9 * 64 + 63, 9);
	test_torn();
	test_failing_begin();
	return finish_journal();
}
