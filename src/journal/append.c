/*
 * append.c
 *	  The append side of the journal: a relay's batches, one write() each.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "journal/clock.h"
#include "journal/journal.h"

#define RESERVE_MAX (UINT64_C(1) << 30)
#define RETRY_US 100000

struct JournalAppender
{
	char *directory;
	uint64_t limit;
	uint32_t node_id;
	const JournalIo *io;
	uint64_t series;
	uint64_t sequence; /* of the last record that was written */

	int fd; /* the segment that is appended to; -1: none */
	uint32_t segment;
	uint64_t size; /* bytes of it that are whole records */

	uint8_t *batch;
	size_t batch_len;
	size_t batch_cap;
	uint64_t batch_exchanges;

	JournalResult refused; /* the last refusal to begin a segment ... */
	int64_t refused_at;    /* ... and when; 0: none */
	char error[512];
};

/*
 * Opens a file, as open() does.
 */
static int
posix_open(const char *path, int flags, mode_t mode)
{
	return open(path, flags, mode);
}

const JournalIo journal_posix_io = {posix_open, close, write, ftruncate, rename, unlink, statvfs};

/*
 * Notes why something failed.
 */
__attribute__((format(printf, 2, 3))) static void
set_error(JournalAppender *appender, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(appender->error, sizeof(appender->error), format, args);
	va_end(args);
}

/*
 * Makes an appender with a new random series.
 */
JournalAppender *
journal_appender_create(const JournalConfig *config)
{
	JournalAppender *appender = calloc(1, sizeof(JournalAppender));

	if (!appender)
		return NULL;
	appender->directory = strdup(config->directory);
	appender->limit = config->limit;
	appender->node_id = config->node_id;
	appender->io = config->io ? config->io : &journal_posix_io;
	appender->fd = -1;
	if (!appender->directory ||
	    getrandom(&appender->series, sizeof(appender->series), 0) != sizeof(appender->series))
	{
		free(appender->directory);
		free(appender);
		return NULL;
	}
	return appender;
}

/*
 * Writes what is pending, closes the segment, frees everything.
 */
void
journal_appender_free(JournalAppender *appender)
{
	uint64_t written;

	if (appender->batch_len > 0)
		journal_write(appender, &written);
	if (appender->fd >= 0)
		appender->io->close(appender->fd);
	free(appender->batch);
	free(appender->directory);
	free(appender);
}

void
journal_set_limit(JournalAppender *appender, uint64_t limit)
{
	appender->limit = limit;
}

/*
 * Makes room in the batch.
 */
static bool
reserve_batch(JournalAppender *appender, size_t more)
{
	size_t cap = appender->batch_cap ? appender->batch_cap : 64 * 1024;
	uint8_t *batch;

	if (appender->batch_cap - appender->batch_len >= more)
		return true;
	while (cap - appender->batch_len < more)
		cap *= 2;
	batch = realloc(appender->batch, cap);
	if (!batch)
		return false;
	appender->batch = batch;
	appender->batch_cap = cap;
	return true;
}

/*
 * Returns what a payload takes with its header and padding.
 */
static size_t
record_size(size_t payload)
{
	return sizeof(JournalRecordHeader) + ((payload + 7) & ~(size_t) 7);
}

/*
 * Adds a record to the batch; see journal.h.  Its sequence number and CRC are
 * set when it is written.
 */
bool
journal_add(JournalAppender *appender, JournalRecordType type, const struct iovec *parts,
            int part_count)
{
	JournalRecordHeader header = {.magic = JOURNAL_RECORD_MAGIC, .type = (uint16_t) type};
	size_t payload = 0;
	size_t size;
	uint8_t *at;

	for (int i = 0; i < part_count; i++)
		payload += parts[i].iov_len;
	if (payload > JOURNAL_MAX_PAYLOAD)
		return false;
	size = record_size(payload);
	if (!reserve_batch(appender, size))
		return false;
	header.length = (uint32_t) payload;
	at = appender->batch + appender->batch_len;
	memcpy(at, &header, sizeof(header));
	at += sizeof(header);
	for (int i = 0; i < part_count; i++)
	{
		memcpy(at, parts[i].iov_base, parts[i].iov_len);
		at += parts[i].iov_len;
	}
	memset(at, 0, size - sizeof(header) - payload);
	appender->batch_len += size;
	if (type == JOURNAL_EXCHANGE)
		appender->batch_exchanges++;
	return true;
}

size_t
journal_pending_bytes(const JournalAppender *appender)
{
	return appender->batch_len;
}

uint64_t
journal_pending_exchanges(const JournalAppender *appender)
{
	return appender->batch_exchanges;
}

uint64_t
journal_series(const JournalAppender *appender)
{
	return appender->series;
}

const char *
journal_error(const JournalAppender *appender)
{
	return appender->error;
}

/*
 * Tells whether the limit and the file system have room for a segment.
 */
static JournalResult
check_room(JournalAppender *appender)
{
	JournalSegment *segments;
	int count = journal_list(appender->directory, &segments);
	uint64_t used = 0;
	uint64_t reserve;
	uint64_t available;
	struct statvfs fs;

	if (count < 0)
	{
		set_error(appender, "could not read directory \"%s\": %s", appender->directory,
		          strerror(errno));
		return JOURNAL_FAILED;
	}
	for (int i = 0; i < count; i++)
		used += segments[i].size > JOURNAL_SEGMENT_SIZE ? segments[i].size : JOURNAL_SEGMENT_SIZE;
	free(segments);
	if (used + JOURNAL_SEGMENT_SIZE > appender->limit)
	{
		set_error(appender,
		          "the journal holds %" PRIu64 " MB of pgwire_trace.journal_limit's %" PRIu64 " MB",
		          used >> 20, appender->limit >> 20);
		return JOURNAL_FULL;
	}
	if (appender->io->statvfs(appender->directory, &fs) != 0)
	{
		set_error(appender, "could not look at the file system of \"%s\": %s", appender->directory,
		          strerror(errno));
		return JOURNAL_FAILED;
	}
	reserve = (uint64_t) fs.f_blocks * fs.f_frsize / 20;
	if (reserve > RESERVE_MAX)
		reserve = RESERVE_MAX;
	available = (uint64_t) fs.f_bavail * fs.f_frsize;
	if (available < reserve + JOURNAL_SEGMENT_SIZE)
	{
		set_error(appender,
		          "the file system of \"%s\" has %" PRIu64 " MB left, of which %" PRIu64
		          " MB are kept free",
		          appender->directory, available >> 20, reserve >> 20);
		return JOURNAL_DISK_FULL;
	}
	return JOURNAL_OK;
}

/*
 * Turns a failed system call into a result.
 */
static JournalResult
failure(JournalAppender *appender, const char *what, const char *path)
{
	set_error(appender, "could not %s \"%s\": %s", what, path, strerror(errno));
	return errno == ENOSPC || errno == EDQUOT ? JOURNAL_DISK_FULL : JOURNAL_FAILED;
}

/*
 * Writes all of some bytes, as far as it goes.  Returns how many.
 */
static size_t
write_all(JournalAppender *appender, int fd, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len)
	{
		ssize_t n = appender->io->write(fd, data + done, len - done);

		if (n > 0)
			done += (size_t) n;
		else if (n == 0)
		{
			errno = ENOSPC;
			break;
		}
		else if (errno != EINTR)
			break;
	}
	return done;
}

/*
 * Makes the header of a segment.
 */
static JournalSegmentHeader
segment_header(const JournalAppender *appender, uint32_t segment)
{
	JournalSegmentHeader header = {.magic = JOURNAL_SEGMENT_MAGIC,
	                               .version = JOURNAL_VERSION,
	                               .series = appender->series,
	                               .segment = segment,
	                               .node_id = appender->node_id,
	                               .first_sequence = appender->sequence + 1,
	                               .created_at = clock_wall()};

	header.crc = journal_crc32c(0, &header, sizeof(header));
	return header;
}

/*
 * Begins the next segment: locked and with its header before it has its name,
 * and only then the one before is let go.
 */
static JournalResult
begin_segment(JournalAppender *appender)
{
	uint32_t segment = appender->segment + 1;
	JournalSegmentHeader header = segment_header(appender, segment);
	char path[4096];
	char temporary[4096 + 8];
	int fd;

	journal_segment_path(path, sizeof(path), appender->directory, appender->series, segment);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = appender->io->open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return failure(appender, "create file", temporary);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0 ||
	    write_all(appender, fd, (const uint8_t *) &header, sizeof(header)) != sizeof(header) ||
	    appender->io->rename(temporary, path) != 0)
	{
		JournalResult result = failure(appender, "begin file", temporary);

		appender->io->close(fd);
		appender->io->unlink(temporary);
		return result;
	}
	if (appender->fd >= 0)
		appender->io->close(appender->fd);
	appender->fd = fd;
	appender->segment = segment;
	appender->size = sizeof(header);
	return JOURNAL_OK;
}

/*
 * Sees to it that there is a segment to append to.  A refusal stands for a
 * moment: looking at the directory costs more than a batch.
 */
static JournalResult
need_segment(JournalAppender *appender)
{
	JournalResult result;

	if (appender->fd >= 0 && appender->size < JOURNAL_SEGMENT_SIZE)
		return JOURNAL_OK;
	if (appender->refused_at != 0 && clock_monotonic() - appender->refused_at < RETRY_US)
		return appender->refused;
	result = check_room(appender);
	if (result == JOURNAL_OK)
		result = begin_segment(appender);
	appender->refused = result;
	appender->refused_at = result == JOURNAL_OK ? 0 : clock_monotonic();
	return result;
}

/*
 * Gives the first records of the batch, up to about a segment's end, their
 * sequence numbers and CRCs.  Returns their bytes.
 */
static size_t
seal_records(JournalAppender *appender)
{
	uint64_t sequence = appender->sequence;
	size_t at = 0;

	while (at < appender->batch_len && appender->size + at < JOURNAL_SEGMENT_SIZE)
	{
		JournalRecordHeader header;

		memcpy(&header, appender->batch + at, sizeof(header));
		header.sequence = ++sequence;
		header.crc =
		    journal_record_crc(appender->series, &header, appender->batch + at + sizeof(header));
		memcpy(appender->batch + at, &header, sizeof(header));
		at += record_size(header.length);
	}
	return at;
}

/*
 * Takes written records off the batch: whole ones among the first `len` bytes.
 * Returns their bytes.
 */
static size_t
take_written(JournalAppender *appender, size_t len, uint64_t *exchanges)
{
	size_t at = 0;

	while (at < len)
	{
		JournalRecordHeader header;
		size_t size;

		memcpy(&header, appender->batch + at, sizeof(header));
		size = record_size(header.length);
		if (at + size > len)
			break;
		at += size;
		appender->sequence = header.sequence;
		if (header.type == JOURNAL_EXCHANGE)
		{
			(*exchanges)++;
			appender->batch_exchanges--;
		}
	}
	appender->size += at;
	appender->batch_len -= at;
	memmove(appender->batch, appender->batch + at, appender->batch_len);
	return at;
}

/*
 * Gives back the memory of a batch that was unusually large.
 */
static void
trim_batch(JournalAppender *appender)
{
	if (appender->batch_len > 0 || appender->batch_cap <= 1024 * 1024)
		return;
	free(appender->batch);
	appender->batch = NULL;
	appender->batch_cap = 0;
}

/*
 * Writes the batch; see journal.h.
 */
JournalResult
journal_write(JournalAppender *appender, uint64_t *written)
{
	*written = 0;
	while (appender->batch_len > 0)
	{
		JournalResult result = need_segment(appender);
		size_t len;
		size_t done;
		int error;

		if (result != JOURNAL_OK)
			return result;
		len = seal_records(appender);
		done = write_all(appender, appender->fd, appender->batch, len);
		error = errno;
		if (take_written(appender, done, written) == len)
			continue;
		/* cut a torn record off, and let the next try begin a new segment */
		if (appender->io->ftruncate(appender->fd, (off_t) appender->size) == 0)
			lseek(appender->fd, (off_t) appender->size, SEEK_SET);
		appender->size = JOURNAL_SEGMENT_SIZE;
		appender->refused_at = clock_monotonic();
		errno = error;
		appender->refused = failure(appender, "write to the journal in", appender->directory);
		return appender->refused;
	}
	trim_batch(appender);
	return JOURNAL_OK;
}

/*
 * Throws the batch away.
 */
uint64_t
journal_discard(JournalAppender *appender)
{
	uint64_t exchanges = appender->batch_exchanges;

	appender->batch_len = 0;
	appender->batch_exchanges = 0;
	trim_batch(appender);
	return exchanges;
}
