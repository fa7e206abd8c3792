/*
 * journal.c
 *	  The journal's reader on files that are not what a relay wrote.
 *
 * Input: flags, and pieces: a byte that says what follows (a record with a right
 * checksum, one whose header has bytes of the input, or bytes as they are), how
 * long it is, and its bytes.  So the fuzzer gets behind the checksums.
 *
 * Properties: reading comes to an end; sequence numbers and offsets rise; a record
 * that comes back has the checksum of its bytes, and lies in the file; what was
 * skipped and read is the file; records that were written well all come back where
 * nothing hostile stands between them; memory is bounded by the file.
 */
#include <fcntl.h>
#include <unistd.h>

#include "journal/journal.h"
#include "memory.h"

#define SERIES UINT64_C(0x0123456789abcdef)
#define SEGMENT 1

/* Memory that the reader may take: a buffer of one size, or the file's. */
#define MEMORY_START (260 * 1024)

static char directory[64];
static char path[4096];
static int fd = -1;

/* A segment being made. */
typedef struct File
{
	uint8_t *data;
	size_t len;
	uint64_t sequence; /* of the last record that was written well */
	int good;          /* how many there were */
	bool is_hostile;   /* something else stands in it */
} File;

/*
 * Removes the file and its directory.
 */
static void
clean_up(void)
{
	close(fd);
	unlink(path);
	rmdir(directory);
}

/*
 * Makes the directory that the reader looks into, once.
 */
static void
make_directory(void)
{
	snprintf(directory, sizeof(directory), "%s/pgwt_fuzz_XXXXXX",
	         access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	REQUIRE(mkdtemp(directory) != NULL);
	journal_segment_path(path, sizeof(path), directory, SERIES, SEGMENT);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	REQUIRE(fd >= 0);
	atexit(clean_up);
}

/*
 * Appends bytes.
 */
static void
put(File *file, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(file->data + file->len, bytes, len);
	file->len += len;
}

/*
 * Appends a segment's header: a good one, or one that the input overwrote.
 */
static void
put_header(File *file, bool is_good, Input *input)
{
	JournalSegmentHeader header = {.magic = JOURNAL_SEGMENT_MAGIC,
	                               .version = JOURNAL_VERSION,
	                               .series = SERIES,
	                               .segment = SEGMENT,
	                               .first_sequence = 1};
	Input taken;

	if (!is_good)
	{
		taken = take_bytes(input, sizeof(header));
		if (taken.len > 0)
			memcpy(&header, taken.data, taken.len);
		file->is_hostile = true;
	}
	header.crc = 0;
	header.crc = journal_crc32c(0, &header, sizeof(header));
	put(file, &header, sizeof(header));
}

/*
 * Appends a record with a right checksum.  A hostile one takes its sequence and
 * type from the input, and says that it is longer.
 */
static void
put_record(File *file, bool is_hostile, Input payload, Input *input)
{
	JournalRecordHeader header = {.magic = JOURNAL_RECORD_MAGIC,
	                              .length = (uint32_t) payload.len,
	                              .type = JOURNAL_EXCHANGE,
	                              .sequence = file->sequence + 1};
	static const uint8_t zeroes[8];

	if (is_hostile)
	{
		header.sequence = take_byte(input);
		header.type = take_byte(input);
		file->is_hostile = true;
	}
	else
	{
		file->sequence++;
		file->good++;
	}
	header.crc = journal_record_crc(SERIES, &header, payload.data);
	if (is_hostile) /* a length far beyond the file's end */
		header.length += (uint32_t) take_byte(input) << 18;
	put(file, &header, sizeof(header));
	put(file, payload.data, payload.len);
	put(file, zeroes, -payload.len & 7);
}

/*
 * Makes the file that the input asks for.
 */
static void
make_file(File *file, Input *input)
{
	uint8_t flags = take_byte(input);

	put_header(file, !(flags & 1), input);
	while (input->len > 0)
	{
		uint8_t what = take_byte(input);
		Input bytes = take_bytes(input, (size_t) (what >> 2) * 2);

		if ((what & 3) < 2)
			put_record(file, false, bytes, input);
		else if ((what & 3) == 2)
			put_record(file, true, bytes, input);
		else
		{
			put(file, bytes.data, bytes.len);
			file->is_hostile = file->is_hostile || bytes.len > 0;
		}
	}
}

/*
 * Reads all records from an offset.  Returns how many.
 */
static int
read_all(const File *file, uint64_t offset, bool final)
{
	JournalReader *reader;
	JournalRecord record = {.next_offset = 0};
	JournalReadResult result;
	uint64_t sequence = 0;
	uint64_t end = offset > 64 ? offset : 64;
	uint64_t read = 0;
	int count = 0;

	memory_begin();
	reader = journal_reader_open(directory, SERIES, SEGMENT, offset);
	REQUIRE(reader != NULL);
	while ((result = journal_read(reader, final, &record)) == JOURNAL_READ_RECORD)
	{
		REQUIRE(record.sequence > sequence && record.offset >= end);
		REQUIRE(record.offset + 24 + record.length <= file->len);
		REQUIRE(memcmp(record.payload, file->data + record.offset + 24, record.length) == 0);
		sequence = record.sequence;
		read += record.next_offset - record.offset;
		end = record.next_offset;
		count++;
	}
	REQUIRE(result != JOURNAL_READ_FAILED);
	if (result == JOURNAL_READ_END && final && offset <= file->len && file->len >= end)
		REQUIRE(read + journal_skipped_bytes(reader) == file->len - (offset > 64 ? offset : 64));
	/* the same once more: nothing has changed */
	REQUIRE(journal_read(reader, final, &record) == result);
	journal_reader_close(reader);
	REQUIRE(memory_most <= MEMORY_START + file->len);
	return count;
}

/*
 * Runs one input.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, size};
	/* a record of no bytes takes a byte of the input */
	File file = {.data = malloc(size * 40 + sizeof(JournalSegmentHeader))};
	int count;

	if (fd < 0)
		make_directory();
	make_file(&file, &input);
	REQUIRE(pwrite(fd, file.data, file.len, 0) == (ssize_t) file.len);
	REQUIRE(ftruncate(fd, (off_t) file.len) == 0);
	count = read_all(&file, 0, true);
	REQUIRE(file.is_hostile || count == file.good);
	REQUIRE(read_all(&file, 0, false) == count);
	read_all(&file, (uint64_t) (size > 0 ? data[0] : 0) * 8, true);
	free(file.data);
	return 0;
}
