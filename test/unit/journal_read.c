/*
 * journal_read.c
 *	  Tests of the journal's read side: records come back as they were written,
 *	  and whatever a file looks like nothing else does.
 */
#include "journal_test.h"

#define RECORDS 50

static uint64_t series;
static char path[256];

/*
 * Writes a segment of RECORDS records, record i of 100 + i bytes of value i.
 */
static void
write_segment(void)
{
	JournalAppender *appender;
	uint64_t written;

	clean_directory();
	appender = begin_appender(UINT64_C(64) << 20);
	for (int i = 0; i < RECORDS; i++)
		add_record(appender, JOURNAL_EXCHANGE, 100 + (size_t) i, i);
	CHECK(journal_write(appender, &written) == JOURNAL_OK && written == RECORDS);
	series = journal_series(appender);
	journal_segment_path(path, sizeof(path), directory, series, 1);
	journal_appender_free(appender);
}

/*
 * Reads all of the segment.  Returns how many records there are, each of which
 * must be one that was written, in order; -1 where the segment is refused.
 */
static int
read_segment(bool final, uint64_t *skipped, JournalReadResult *last)
{
	JournalReader *reader = journal_reader_open(directory, series, 1, 0);
	JournalRecord record;
	uint64_t before = 0;
	int count = 0;

	while ((*last = journal_read(reader, final, &record)) == JOURNAL_READ_RECORD)
	{
		CHECK(record.sequence > before);
		before = record.sequence;
		CHECK(is_record(&record, JOURNAL_EXCHANGE, 100 + record.sequence - 1,
		                (int) record.sequence - 1));
		count++;
	}
	*skipped = journal_skipped_bytes(reader);
	journal_reader_close(reader);
	return count;
}

/*
 * Overwrites bytes of the segment.
 */
static void
overwrite(off_t at, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY);

	CHECK(pwrite(fd, bytes, len, at) == (ssize_t) len);
	close(fd);
}

/*
 * Returns where a record stands: after the header come records of 24 bytes and
 * their payload, padded to 8.
 */
static off_t
offset_of(int number)
{
	off_t at = sizeof(JournalSegmentHeader);

	for (int i = 0; i < number; i++)
		at += (off_t) (sizeof(JournalRecordHeader) + ((100 + (size_t) i + 7) & ~(size_t) 7));
	return at;
}

/*
 * Reading goes on from any record's end.
 */
static void
test_positions(void)
{
	JournalReader *reader;
	JournalRecord record;

	write_segment();
	for (int i = 0; i < RECORDS; i++)
	{
		reader = journal_reader_open(directory, series, 1, (uint64_t) offset_of(i));
		CHECK(journal_read(reader, false, &record) == JOURNAL_READ_RECORD);
		CHECK(record.sequence == (uint64_t) i + 1 && record.offset == (uint64_t) offset_of(i));
		CHECK(record.next_offset == (uint64_t) offset_of(i + 1));
		journal_reader_close(reader);
	}
	reader = journal_reader_open(directory, series, 1, (uint64_t) offset_of(RECORDS));
	CHECK(journal_read(reader, true, &record) == JOURNAL_READ_END);
	CHECK(journal_skipped_bytes(reader) == 0);
	journal_reader_close(reader);
	reader = journal_reader_open(directory, series, 1, UINT64_C(1) << 40);
	CHECK(journal_read(reader, true, &record) == JOURNAL_READ_END);
	CHECK(journal_skipped_bytes(reader) == 0);
	journal_reader_close(reader);
	CHECK(journal_reader_open(directory, series, 2, 0) == NULL && errno == ENOENT);
}

/*
 * Cut anywhere, a segment gives the records that are whole; the torn one is not
 * skipped while more may come.
 */
static void
test_cut_anywhere(void)
{
	uint64_t skipped;
	JournalReadResult last;

	write_segment();
	for (off_t size = offset_of(4); size > (off_t) sizeof(JournalSegmentHeader); size--)
	{
		int whole = 0;

		while (offset_of(whole + 1) <= size)
			whole++;
		CHECK(truncate(path, size) == 0);
		/* the padding of the last record is not missed */
		if (read_segment(false, &skipped, &last) != whole)
			CHECK(read_segment(false, &skipped, &last) == whole + 1 &&
			      offset_of(whole + 1) - size < 8);
		CHECK(last == JOURNAL_READ_END && skipped == 0);
		(void) read_segment(true, &skipped, &last);
		CHECK(last == JOURNAL_READ_END && skipped < (uint64_t) (offset_of(4) - offset_of(3)));
	}
}

/*
 * Any changed byte costs the record that it is in, and no other.
 */
static void
test_change_anywhere(void)
{
	uint64_t skipped;
	JournalReadResult last;

	write_segment();
	for (off_t at = offset_of(10); at < offset_of(12); at++)
	{
		uint8_t byte;
		uint8_t changed;
		int fd = open(path, O_RDONLY);
		int count;

		CHECK(pread(fd, &byte, 1, at) == 1);
		close(fd);
		changed = byte ^ 0x10;
		overwrite(at, &changed, 1);
		count = read_segment(false, &skipped, &last);
		/* padding is no part of a record */
		CHECK(count == RECORDS - 1 || (count == RECORDS && byte == 0));
		CHECK(count == RECORDS ? skipped == 0 : skipped >= 128);
		overwrite(at, &byte, 1);
	}
	CHECK(read_segment(false, &skipped, &last) == RECORDS && skipped == 0);
}

/*
 * A hostile length costs neither memory nor the records behind it.
 */
static void
test_length(void)
{
	static const uint32_t lengths[] = {
	    0,         1,         99, 101, 4000, 1 << 20, JOURNAL_MAX_PAYLOAD, JOURNAL_MAX_PAYLOAD + 1,
	    INT32_MAX, UINT32_MAX};
	uint64_t skipped;
	JournalReadResult last;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
	{
		write_segment();
		overwrite(offset_of(0) + (off_t) offsetof(JournalRecordHeader, length), &lengths[i],
		          sizeof(lengths[i]));
		CHECK(read_segment(false, &skipped, &last) == RECORDS - 1);
		CHECK(skipped == (uint64_t) (offset_of(1) - offset_of(0)));
	}
}

/*
 * A record of another series is no record, nor is one that stands twice.
 */
static void
test_left_over(void)
{
	uint8_t record[2][256];
	size_t len = (size_t) (offset_of(1) - offset_of(0));
	uint64_t skipped;
	JournalReadResult last;
	int fd;

	write_segment();
	fd = open(path, O_RDONLY);
	CHECK(pread(fd, record[0], len, offset_of(0)) == (ssize_t) len);
	close(fd);
	overwrite(offset_of(RECORDS), record[0], len); /* stands twice */
	CHECK(read_segment(true, &skipped, &last) == RECORDS && skipped == len);
	write_segment();
	overwrite(offset_of(RECORDS), record[0], len); /* another series */
	CHECK(read_segment(true, &skipped, &last) == RECORDS && skipped == len);
}

/*
 * A file that is being appended to is read on where it ended.
 */
static void
test_growing(void)
{
	JournalAppender *appender;
	JournalReader *reader;
	JournalRecord record;
	uint64_t written;

	clean_directory();
	appender = begin_appender(UINT64_C(64) << 20);
	add_record(appender, JOURNAL_SESSION, 3, 1);
	CHECK(journal_write(appender, &written) == JOURNAL_OK);
	series = journal_series(appender);
	reader = journal_reader_open(directory, series, 1, 0);
	CHECK(journal_read(reader, false, &record) == JOURNAL_READ_RECORD);
	for (int i = 2; i < 100; i++)
	{
		CHECK(journal_read(reader, false, &record) == JOURNAL_READ_END);
		add_record(appender, JOURNAL_QUERY_TEXT, (size_t) i * 1000, i);
		CHECK(journal_write(appender, &written) == JOURNAL_OK);
		CHECK(journal_read(reader, false, &record) == JOURNAL_READ_RECORD);
		CHECK(is_record(&record, JOURNAL_QUERY_TEXT, (size_t) i * 1000, i));
	}
	journal_reader_close(reader);
	CHECK(!journal_series_finished(directory, series));
	journal_appender_free(appender);
	CHECK(journal_series_finished(directory, series));
	CHECK(journal_series_finished(directory, series + 1));
}

/*
 * Checks that the segment is refused with a result.
 */
static void
check_refused(JournalReadResult expected)
{
	uint64_t skipped;
	JournalReadResult last;

	CHECK(read_segment(true, &skipped, &last) == 0);
	CHECK(last == expected);
}

/*
 * A header that is corrupt, another format's or another file's is refused.
 */
static void
test_header(void)
{
	JournalSegmentHeader header;
	uint32_t version = JOURNAL_VERSION + 1;
	char other[256];
	int fd;

	write_segment();
	fd = open(path, O_RDONLY);
	CHECK(read(fd, &header, sizeof(header)) == sizeof(header));
	close(fd);
	overwrite(offsetof(JournalSegmentHeader, version), &version, sizeof(version));
	check_refused(JOURNAL_READ_BAD_VERSION);
	overwrite(0, &header, sizeof(header));
	overwrite(0, "x", 1);
	check_refused(JOURNAL_READ_BAD_SEGMENT);
	overwrite(0, &header, sizeof(header));
	overwrite(offsetof(JournalSegmentHeader, first_sequence), "x", 1);
	check_refused(JOURNAL_READ_BAD_SEGMENT);
	overwrite(0, &header, sizeof(header));
	journal_segment_path(other, sizeof(other), directory, series, 2);
	CHECK(rename(path, other) == 0 && link(other, path) == 0);
	{
		JournalReader *reader = journal_reader_open(directory, series, 2, 0);
		JournalRecord record;

		CHECK(journal_read(reader, true, &record) == JOURNAL_READ_BAD_SEGMENT);
		journal_reader_close(reader);
	}
	CHECK(truncate(path, 63) == 0);
	check_refused(JOURNAL_READ_BAD_SEGMENT);
	CHECK(truncate(path, 0) == 0);
	check_refused(JOURNAL_READ_BAD_SEGMENT);
}

/*
 * Random bytes are survived.
 */
static void
test_noise(void)
{
	srandom(1);
	for (int round = 0; round < 200; round++)
	{
		uint8_t noise[64];
		uint64_t skipped;
		JournalReadResult last;

		write_segment();
		for (int i = 0; i < 5; i++)
		{
			for (size_t j = 0; j < sizeof(noise); j++)
				noise[j] = (uint8_t) random();
			overwrite(offset_of(0) + random() % offset_of(RECORDS), noise,
			          1 + (size_t) random() % sizeof(noise));
		}
		CHECK(read_segment(true, &skipped, &last) >= RECORDS - 15);
	}
}

/*
 * Only segments are listed, in order.
 */
static void
test_list(void)
{
	static const char *const names[] = {
	    "ffffffffffffffff.00000001.journal", "0000000000000001.0000000a.journal",
	    "0000000000000001.00000009.journal", "0000000000000001.00000009.journal.new",
	    "0000000000000001.9.journal",        "session_ids",
	    "000000000000000g.00000009.journal", "0000000000000001.00000009.journax"};
	JournalSegment *segments;
	char file[256];

	clean_directory();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		snprintf(file, sizeof(file), "%s/%s", directory, names[i]);
		close(open(file, O_WRONLY | O_CREAT, 0600));
	}
	CHECK(journal_list(directory, &segments) == 3);
	CHECK(segments[0].series == 1 && segments[0].segment == 9);
	CHECK(segments[1].series == 1 && segments[1].segment == 10);
	CHECK(segments[2].series == UINT64_MAX && segments[2].segment == 1);
	CHECK(segments[0].size == 0);
	free(segments);
	CHECK(journal_list("/nonexistent", &segments) == -1 && errno == ENOENT);
}

/*
 * CRC-32C has its published values, however it is computed in pieces.
 */
static void
test_crc(void)
{
	uint8_t bytes[300];
	uint32_t whole;

	CHECK(journal_crc32c(0, "123456789", 9) == 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	CHECK(journal_crc32c(0, bytes, 32) == 0x8a9136aa);
	memset(bytes, 0xff, 32);
	CHECK(journal_crc32c(0, bytes, 32) == 0x62a8ab43);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t) (i * 7);
	whole = journal_crc32c(0, bytes, sizeof(bytes));
	for (size_t i = 0; i <= sizeof(bytes); i++)
		CHECK(journal_crc32c(journal_crc32c(0, bytes, i), bytes + i, sizeof(bytes) - i) == whole);
	CHECK(journal_crc32c(0, bytes, 0) == 0);
}

int
main(void)
{
	test_positions();
	test_cut_anywhere();
	test_change_anywhere();
	test_length();
	test_left_over();
	test_growing();
	test_header();
	test_noise();
	test_list();
	test_crc();
	return finish_journal();
}
