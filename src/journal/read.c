/*
 * read.c
 *	  The read side of the journal: records in order, whatever their files look
 *	  like.
 *
 * A segment is read with pread() into a buffer that holds at least one record.
 * Bytes that are no record are skipped, eight at a time (records are aligned),
 * up to the next whole record of this series.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/journal.h"

#define READ_SIZE (256 * 1024)

struct JournalReader
{
	int fd;
	JournalSegmentHeader header;
	JournalReadResult header_result; /* JOURNAL_READ_RECORD: it is good */
	uint64_t offset;                 /* of the next record */
	uint64_t skipped;
	uint64_t last_sequence; /* 0: none read yet */

	uint8_t *buffer;
	size_t cap;
	size_t len;
	uint64_t buffer_offset; /* in the file */
};

/*
 * Checks a segment's header.
 */
static JournalReadResult
check_header(const JournalSegmentHeader *header, uint64_t series, uint32_t segment)
{
	JournalSegmentHeader copy = *header;

	if (header->magic != JOURNAL_SEGMENT_MAGIC)
		return JOURNAL_READ_BAD_SEGMENT;
	if (header->version != JOURNAL_VERSION)
		return JOURNAL_READ_BAD_VERSION;
	copy.crc = 0;
	if (journal_crc32c(0, &copy, sizeof(copy)) != header->crc || header->series != series ||
	    header->segment != segment)
		return JOURNAL_READ_BAD_SEGMENT;
	return JOURNAL_READ_RECORD;
}

/*
 * Opens a segment at an offset; see journal.h.
 */
JournalReader *
journal_reader_open(const char *directory, uint64_t series, uint32_t segment, uint64_t offset)
{
	JournalReader *reader = calloc(1, sizeof(JournalReader));
	char path[4096];

	if (!reader)
		return NULL;
	journal_segment_path(path, sizeof(path), directory, series, segment);
	reader->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (reader->fd < 0)
	{
		free(reader);
		return NULL;
	}
	reader->header_result = JOURNAL_READ_BAD_SEGMENT;
	if (pread(reader->fd, &reader->header, sizeof(reader->header), 0) ==
	    (ssize_t) sizeof(reader->header))
		reader->header_result = check_header(&reader->header, series, segment);
	reader->offset = offset > sizeof(reader->header) ? offset : sizeof(reader->header);
	return reader;
}

/*
 * Closes a reader.
 */
void
journal_reader_close(JournalReader *reader)
{
	if (!reader)
		return;
	close(reader->fd);
	free(reader->buffer);
	free(reader);
}

uint64_t
journal_skipped_bytes(const JournalReader *reader)
{
	return reader->skipped;
}

const JournalSegmentHeader *
journal_reader_header(const JournalReader *reader)
{
	return &reader->header;
}

/*
 * Reads the file from an offset into the buffer, as much as fits.
 */
static bool
fill(JournalReader *reader, uint64_t offset, size_t cap)
{
	if (cap > reader->cap)
	{
		uint8_t *larger = realloc(reader->buffer, cap);

		if (!larger)
			return false;
		reader->buffer = larger;
		reader->cap = cap;
	}
	reader->buffer_offset = offset;
	reader->len = 0;
	while (reader->len < reader->cap)
	{
		ssize_t n = pread(reader->fd, reader->buffer + reader->len, reader->cap - reader->len,
		                  (off_t) (offset + reader->len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
			break;
		reader->len += (size_t) n;
	}
	return true;
}

/*
 * Makes `size` bytes from an offset available.  NULL: the file has not so many;
 * *failed: it could not be read.
 */
static const uint8_t *
look(JournalReader *reader, uint64_t offset, size_t size, bool *failed)
{
	if (offset < reader->buffer_offset || offset + size > reader->buffer_offset + reader->len)
	{
		struct stat status;

		if (fstat(reader->fd, &status) != 0)
		{
			*failed = true;
			return NULL;
		}
		if (offset + size > (uint64_t) status.st_size)
			return NULL; /* before a buffer for a hostile length is made */
		if (!fill(reader, offset, size > READ_SIZE ? size : READ_SIZE))
		{
			*failed = true;
			return NULL;
		}
		if (reader->len < size)
			return NULL;
	}
	return reader->buffer + (offset - reader->buffer_offset);
}

/*
 * Reads a record at an offset, if a whole and good one stands there.
 */
static bool
read_at(JournalReader *reader, uint64_t offset, JournalRecord *record, bool *failed)
{
	const uint8_t *at = look(reader, offset, sizeof(JournalRecordHeader), failed);
	JournalRecordHeader header;

	if (!at)
		return false;
	memcpy(&header, at, sizeof(header));
	if (header.magic != JOURNAL_RECORD_MAGIC || header.length > JOURNAL_MAX_PAYLOAD ||
	    header.sequence < reader->header.first_sequence || header.sequence <= reader->last_sequence)
		return false;
	at = look(reader, offset, sizeof(header) + header.length, failed);
	if (!at)
		return false;
	if (journal_record_crc(reader->header.series, &header, at + sizeof(header)) != header.crc)
		return false;
	record->type = (JournalRecordType) header.type;
	record->sequence = header.sequence;
	record->offset = offset;
	record->next_offset = offset + sizeof(header) + ((header.length + 7) & ~UINT64_C(7));
	record->payload = at + sizeof(header);
	record->length = header.length;
	return true;
}

/*
 * Reads the next record; see journal.h.
 */
JournalReadResult
journal_read(JournalReader *reader, bool final, JournalRecord *record)
{
	uint64_t offset = reader->offset;
	struct stat status;
	bool failed = false;

	if (reader->header_result != JOURNAL_READ_RECORD)
		return reader->header_result;
	if (fstat(reader->fd, &status) != 0)
		return JOURNAL_READ_FAILED;
	for (;; offset += 8)
	{
		if (read_at(reader, offset, record, &failed))
		{
			reader->skipped += offset - reader->offset;
			reader->offset = record->next_offset;
			reader->last_sequence = record->sequence;
			return JOURNAL_READ_RECORD;
		}
		if (failed)
			return JOURNAL_READ_FAILED;
		if (offset + 8 >= (uint64_t) status.st_size)
			break;
	}
	if (!final || (uint64_t) status.st_size <= reader->offset)
		return JOURNAL_READ_END;
	reader->skipped += (uint64_t) status.st_size - reader->offset;
	reader->offset = (uint64_t) status.st_size;
	return JOURNAL_READ_END;
}
