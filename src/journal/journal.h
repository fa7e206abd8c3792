/*
 * journal.h
 *	  The files that join relay and writer: append-only segments of records.
 *
 * A relay process appends to one *series* of segments, named by a random
 * 64-bit id that is never used again; nobody else writes to it.  The writer
 * (and the listing program) reads.  Layout of a segment, all integers little
 * endian:
 *
 *		header	 JournalSegmentHeader, 64 bytes, own CRC
 *		record*	 JournalRecordHeader, 24 bytes, then its payload, padded with
 *				 zeroes to 8 bytes
 *
 * A record's CRC-32C covers the series, its header (with crc = 0) and its
 * payload.  The sequence number counts the records of a series from 1 without gaps, over
 * all its segments: a gap seen by a reader is a loss, and is counted.
 *
 * The relay holds an exclusive flock() on the segment it appends to, from
 * before the segment has its final name until the next one is there.  A
 * series none of whose segments is locked is finished: its relay is gone.
 *
 * Segment files are named <series, 16 hex digits>.<segment number, 8 hex
 * digits>.journal; the first segment is number 1.
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

#define JOURNAL_VERSION 2
#define JOURNAL_SEGMENT_MAGIC UINT64_C(0x4c4e52554a574750) /* "PGWJURNL" */
#define JOURNAL_RECORD_MAGIC UINT32_C(0x4a574750)          /* "PGWJ" */
#define JOURNAL_SEGMENT_SIZE (8 * 1024 * 1024)             /* a new one is begun beyond it */
#define JOURNAL_MAX_PAYLOAD (600 * 1024 * 1024)            /* refused before allocation */

/* What a record is; its payload is laid out in record.h. */
typedef enum JournalRecordType
{
	JOURNAL_SESSION = 1,    /* whole state of a session: at login, at end */
	JOURNAL_QUERY_TEXT = 2, /* a text seen in a Parse */
	JOURNAL_EXCHANGE = 3    /* a finished exchange, or a part of one */
} JournalRecordType;

typedef struct JournalSegmentHeader
{
	uint64_t magic;
	uint32_t version;
	uint32_t crc; /* of this header, with crc = 0 */
	uint64_t series;
	uint32_t segment; /* from 1 */
	uint32_t node_id;
	uint64_t first_sequence; /* of the first record in this segment */
	int64_t created_at;      /* microseconds since 2000-01-01 UTC */
	uint8_t reserved[16];
} JournalSegmentHeader;

typedef struct JournalRecordHeader
{
	uint32_t magic;
	uint32_t crc;
	uint32_t length; /* of the payload, without padding */
	uint16_t type;
	uint16_t reserved;
	uint64_t sequence;
} JournalRecordHeader;

_Static_assert(sizeof(JournalSegmentHeader) == 64, "segment header has no holes");
_Static_assert(sizeof(JournalRecordHeader) == 24, "record header has no holes");

/*
 * System calls go through this table so that tests can fail them.  Each
 * returns what its namesake returns and sets errno.
 */
typedef struct JournalIo
{
	int (*open)(const char *path, int flags, mode_t mode);
	int (*close)(int fd);
	ssize_t (*write)(int fd, const void *data, size_t len);
	int (*ftruncate)(int fd, off_t length);
	int (*rename)(const char *from, const char *to);
	int (*unlink)(const char *path);
	int (*statvfs)(const char *path, struct statvfs *result);
} JournalIo;

extern const JournalIo journal_posix_io;

/* Why records could not be written. */
typedef enum JournalResult
{
	JOURNAL_OK,
	JOURNAL_FULL,      /* journal_limit is reached */
	JOURNAL_DISK_FULL, /* too little free space, or ENOSPC */
	JOURNAL_FAILED     /* another error: see journal_error() */
} JournalResult;

/* ---- append side (relay) ---- */

typedef struct JournalConfig
{
	const char *directory; /* absolute; copied */
	uint64_t limit;        /* bytes, over all series in the directory */
	uint32_t node_id;
	const JournalIo *io; /* NULL: journal_posix_io */
} JournalConfig;

typedef struct JournalAppender JournalAppender;

/* Makes an appender with a new random series; opens nothing yet. NULL: no memory. */
extern JournalAppender *journal_appender_create(const JournalConfig *config);

/* Writes what is pending, closes the segment, frees everything. */
extern void journal_appender_free(JournalAppender *appender);

/* Changes the limit (SIGHUP). */
extern void journal_set_limit(JournalAppender *appender, uint64_t limit);

/*
 * Adds a record, gathered from parts, to the batch in memory.  False: no
 * memory or payload too long; nothing was added.
 */
extern bool journal_add(JournalAppender *appender, JournalRecordType type,
                        const struct iovec *parts, int part_count);

/* Bytes and JOURNAL_EXCHANGE records that wait in the batch. */
extern size_t journal_pending_bytes(const JournalAppender *appender);
extern uint64_t journal_pending_exchanges(const JournalAppender *appender);

/*
 * Writes the batch with one write() (two where a segment ends inside it),
 * beginning a segment when there is none or the last is over its size.  No
 * segment is begun unless the directory's files plus a segment stay within
 * the limit and the smaller of 1 GB and 5 % of the file system stays free.
 * On anything but JOURNAL_OK what was not written stays in the batch, a torn
 * record is cut off again, and *written counts the exchanges that made it.
 */
extern JournalResult journal_write(JournalAppender *appender, uint64_t *written);

/* Throws the batch away (its records take no sequence numbers). Returns its exchanges. */
extern uint64_t journal_discard(JournalAppender *appender);

extern uint64_t journal_series(const JournalAppender *appender);
extern const char *
journal_error(const JournalAppender *appender); /* last failure, for a log line */

/* ---- read side (writer, listing program) ---- */

/* A segment file in the directory. */
typedef struct JournalSegment
{
	uint64_t series;
	uint32_t segment;
	uint64_t size; /* bytes, when it was listed */
} JournalSegment;

/*
 * Lists the directory's segments, ordered by series and number, into a
 * malloc()ed array that the caller frees.  Returns their count, -1 with errno.
 */
extern int journal_list(const char *directory, JournalSegment **segments);

/* Whether a series is finished: no segment of it is locked. */
extern bool journal_series_finished(const char *directory, uint64_t series);

typedef enum JournalReadResult
{
	JOURNAL_READ_RECORD,
	JOURNAL_READ_END,         /* no whole record there (yet) */
	JOURNAL_READ_BAD_VERSION, /* the segment has another format version */
	JOURNAL_READ_BAD_SEGMENT, /* its header is corrupt, or it is not one */
	JOURNAL_READ_FAILED       /* errno */
} JournalReadResult;

typedef struct JournalReader JournalReader;

typedef struct JournalRecord
{
	JournalRecordType type;
	uint64_t sequence;
	uint64_t offset;        /* of its header in the segment */
	uint64_t next_offset;   /* where the following record would begin */
	const uint8_t *payload; /* valid until the next call */
	uint32_t length;
} JournalRecord;

/* Opens a segment at an offset (0: its first record). NULL with errno. */
extern JournalReader *journal_reader_open(const char *directory, uint64_t series, uint32_t segment,
                                          uint64_t offset);
extern void journal_reader_close(JournalReader *reader);

/*
 * Reads the next record.  Bytes that are none are skipped up to the next
 * readable record of this series and counted; at the end of a file that may
 * still grow they are not skipped until `final` says that nothing follows.
 */
extern JournalReadResult journal_read(JournalReader *reader, bool final, JournalRecord *record);

extern uint64_t journal_skipped_bytes(const JournalReader *reader);
extern const JournalSegmentHeader *journal_reader_header(const JournalReader *reader);

/* Writes the path of a segment into out. */
extern void journal_segment_path(char *out, size_t size, const char *directory, uint64_t series,
                                 uint32_t segment);

/* Makes the directory and those above it (0700). Returns 0 or -1 with errno. */
extern int journal_make_directory(const char *path);

/* Removes a segment and makes the removal durable. Returns 0 or -1 with errno. */
extern int journal_remove_segment(const char *directory, uint64_t series, uint32_t segment);

/* ---- session ids ---- */

/*
 * Reserves the next `count` session ids of this node from the file
 * session_ids in the directory, under a lock, fsynced before it returns.
 * Returns the first one's counter (from 1); 0 with errno, ENOENT when the
 * file is missing: then the writer must seed it first.
 */
extern uint64_t journal_reserve_ids(const char *directory, uint32_t node_id, uint32_t count);

/*
 * Makes sure that the file exists, with a next counter above `highest`, for
 * this node id (the file keeps one counter a node id).  Returns 1 if it had
 * to be written, 0 if it was there, -1 with errno.
 */
extern int journal_seed_ids(const char *directory, uint32_t node_id, uint64_t highest);

#define JOURNAL_ID_BLOCK 1000

/* ---- CRC ---- */

/* CRC-32C (Castagnoli) of data, going on from crc (start with 0). */
extern uint32_t journal_crc32c(uint32_t crc, const void *data, size_t len);

/* What stands in a record's header as crc. */
extern uint32_t journal_record_crc(uint64_t series, const JournalRecordHeader *header,
                                   const void *payload);

#endif /* JOURNAL_H */
