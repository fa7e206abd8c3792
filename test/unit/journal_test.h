/*
 * journal_test.h
 *	  What the journal's unit tests share: checks that are counted, a directory of
 *	  their own, records, and system calls that fail when told to.
 */
#ifndef JOURNAL_TEST_H
#define JOURNAL_TEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checks.h"
#include "journal/journal.h"
#include "journal/record.h"

static char directory[128];

/*
 * Empties the tests' directory, making it first.
 */
static inline void
clean_directory(void)
{
	DIR *dir;
	struct dirent *entry;

	if (directory[0] == '\0')
	{
		snprintf(directory, sizeof(directory), "%s/pgwt_unit_XXXXXX",
		         getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
		if (!mkdtemp(directory))
		{
			perror(directory);
			exit(1);
		}
	}
	dir = opendir(directory);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

/*
 * Ends a test program: says how it went, removes the directory.
 */
static inline int
finish_journal(void)
{
	if (directory[0] != '\0')
	{
		clean_directory();
		rmdir(directory);
	}
	return finish();
}

/*
 * Adds a record of so many bytes, all of them `fill`.
 */
static inline bool
add_record(JournalAppender *appender, JournalRecordType type, size_t size, int fill)
{
	uint8_t *bytes = malloc(size + 1);
	struct iovec parts[2];
	bool added;

	memset(bytes, fill, size);
	/* in two parts, so that gathering is tried as well */
	parts[0] = (struct iovec){bytes, size / 3};
	parts[1] = (struct iovec){bytes + size / 3, size - size / 3};
	added = journal_add(appender, type, parts, 2);
	free(bytes);
	return added;
}

/*
 * Tells whether a record is one of add_record's.
 */
static inline bool
is_record(const JournalRecord *record, JournalRecordType type, size_t size, int fill)
{
	if (record->type != type || record->length != size)
		return false;
	for (size_t i = 0; i < size; i++)
		if (record->payload[i] != (uint8_t) fill)
			return false;
	return true;
}

/* What the failing system calls do: each counts down to its failure. */
static struct
{
	int write_error;     /* errno of writes; 0: they work */
	size_t write_budget; /* bytes that are written before they fail */
	size_t write_most;   /* bytes a call, for short writes; 0: all */
	int open_error;
	int rename_error;
	int ftruncate_error;
	uint64_t available; /* bytes that statvfs says are free; 0: the truth */
	uint64_t capacity;
	int writes; /* calls */
	int statvfs_calls;
} faults;

/*
 * Opens a file, or fails as told.
 */
static inline int
faulty_open(const char *path, int flags, mode_t mode)
{
	if (faults.open_error == 0)
		return open(path, flags, mode);
	errno = faults.open_error;
	return -1;
}

/*
 * Writes, as much as it is told to.
 */
static inline ssize_t
faulty_write(int fd, const void *data, size_t len)
{
	faults.writes++;
	if (faults.write_most != 0 && len > faults.write_most)
		len = faults.write_most;
	if (faults.write_error != 0 && len > faults.write_budget)
	{
		len = faults.write_budget;
		if (len == 0)
		{
			errno = faults.write_error;
			return -1;
		}
	}
	faults.write_budget -= faults.write_error != 0 ? len : 0;
	return write(fd, data, len);
}

/*
 * Cuts a file, or fails as told.
 */
static inline int
faulty_ftruncate(int fd, off_t length)
{
	if (faults.ftruncate_error == 0)
		return ftruncate(fd, length);
	errno = faults.ftruncate_error;
	return -1;
}

/*
 * Renames, or fails as told.
 */
static inline int
faulty_rename(const char *from, const char *to)
{
	if (faults.rename_error == 0)
		return rename(from, to);
	errno = faults.rename_error;
	return -1;
}

/*
 * Tells what is free, or what it is told to.
 */
static inline int
faulty_statvfs(const char *path, struct statvfs *result)
{
	faults.statvfs_calls++;
	if (faults.available == 0 && faults.capacity == 0)
		return statvfs(path, result);
	memset(result, 0, sizeof(*result));
	result->f_frsize = 4096;
	result->f_blocks = faults.capacity / 4096;
	result->f_bavail = faults.available / 4096;
	return 0;
}

static const JournalIo faulty_io = {faulty_open,   close,  faulty_write,  faulty_ftruncate,
                                    faulty_rename, unlink, faulty_statvfs};

/*
 * Makes an appender in a clean directory whose system calls obey `faults`.
 */
static inline JournalAppender *
begin_appender(uint64_t limit)
{
	JournalConfig config = {.directory = directory, .limit = limit, .io = &faulty_io};

	memset(&faults, 0, sizeof(faults));
	return journal_appender_create(&config);
}

/* The retry of a refused segment is held back for a moment. */
static inline void
wait_out_refusal(void)
{
	usleep(110000);
}

#endif /* JOURNAL_TEST_H */
