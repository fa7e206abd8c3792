/*
 * files.c
 *	  The journal's directory: segment names, listing, locks, removal.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/journal.h"

/*
 * Writes the path of a segment into out.
 */
void
journal_segment_path(char *out, size_t size, const char *directory, uint64_t series,
                     uint32_t segment)
{
	snprintf(out, size, "%s/%016" PRIx64 ".%08" PRIx32 ".journal", directory, series, segment);
}

/*
 * Reads a segment's series and number from its file name.
 */
static bool
parse_name(const char *name, JournalSegment *segment)
{
	int end = 0;

	return strlen(name) == 16 + 1 + 8 + 8 &&
	       sscanf(name, "%16" SCNx64 ".%8" SCNx32 ".journal%n", &segment->series, &segment->segment,
	              &end) == 2 &&
	       end == (int) strlen(name);
}

/*
 * Orders segments by series and number.
 */
static int
compare_segments(const void *left, const void *right)
{
	const JournalSegment *a = left;
	const JournalSegment *b = right;

	if (a->series != b->series)
		return a->series < b->series ? -1 : 1;
	return a->segment < b->segment ? -1 : a->segment > b->segment;
}

/*
 * Adds a segment to a growing array.
 */
static bool
add_segment(JournalSegment **segments, int *count, int *cap, const JournalSegment *segment)
{
	if (*count == *cap)
	{
		int larger = *cap ? *cap * 2 : 64;
		JournalSegment *moved = realloc(*segments, (size_t) larger * sizeof(JournalSegment));

		if (!moved)
			return false;
		*segments = moved;
		*cap = larger;
	}
	(*segments)[(*count)++] = *segment;
	return true;
}

/*
 * Lists the directory's segments; see journal.h.
 */
int
journal_list(const char *directory, JournalSegment **segments)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int count = 0;
	int cap = 0;

	*segments = NULL;
	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
	{
		JournalSegment segment;
		struct stat status;

		/* one that is gone by now was removed by the writer */
		if (!parse_name(entry->d_name, &segment) ||
		    fstatat(dirfd(dir), entry->d_name, &status, 0) != 0)
			continue;
		segment.size = (uint64_t) status.st_size;
		if (!add_segment(segments, &count, &cap, &segment))
		{
			closedir(dir);
			free(*segments);
			*segments = NULL;
			errno = ENOMEM;
			return -1;
		}
	}
	closedir(dir);
	if (count > 0)
		qsort(*segments, (size_t) count, sizeof(JournalSegment), compare_segments);
	return count;
}

/*
 * Tells whether another process holds the lock of a segment.
 */
static bool
is_locked(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool locked;

	if (fd < 0)
		return false;
	locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	close(fd);
	return locked;
}

/*
 * Tells whether a series is finished: no segment of it is locked.
 */
bool
journal_series_finished(const char *directory, uint64_t series)
{
	JournalSegment *segments;
	int count = journal_list(directory, &segments);
	bool finished = count >= 0;

	for (int i = 0; i < count && finished; i++)
	{
		char path[4096];

		if (segments[i].series != series)
			continue;
		journal_segment_path(path, sizeof(path), directory, series, segments[i].segment);
		finished = !is_locked(path);
	}
	free(segments);
	return finished;
}

/*
 * Makes what happened to a directory's entries durable.
 */
static int
sync_directory(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result;

	if (fd < 0)
		return -1;
	result = fsync(fd);
	close(fd);
	return result;
}

/*
 * Removes a segment and makes the removal durable.
 */
int
journal_remove_segment(const char *directory, uint64_t series, uint32_t segment)
{
	char path[4096];

	journal_segment_path(path, sizeof(path), directory, series, segment);
	if (unlink(path) != 0 && errno != ENOENT)
		return -1;
	return sync_directory(directory);
}

/*
 * Makes the journal's directory and those above it, for the owner alone.
 */
int
journal_make_directory(const char *path)
{
	char part[4096];
	size_t len = strlen(path);

	if (len >= sizeof(part))
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	for (size_t i = 1; i <= len; i++)
	{
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return -1;
	}
	return access(path, W_OK | X_OK);
}

/* ---- session ids ---- */

#define IDS_FILE "session_ids"
#define IDS_NODES 32768

/*
 * Opens and locks the file that guards the ids; -1 with errno.
 */
static int
lock_ids(const char *directory)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s.lock", directory, IDS_FILE);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	while (flock(fd, LOCK_EX) != 0)
	{
		if (errno == EINTR)
			continue;
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Reads the next counter of a node, a line "node next" each; 0 with errno
 * ENOENT where there is none.  Copies the other nodes' lines into `others`.
 */
static uint64_t
read_ids(const char *path, uint32_t node_id, FILE *others)
{
	FILE *file = fopen(path, "re");
	unsigned node;
	uint64_t next;
	uint64_t found = 0;

	if (!file)
		return 0;
	while (fscanf(file, "%u %" SCNu64, &node, &next) == 2 && node < IDS_NODES)
	{
		if (node == node_id)
			found = next;
		else
			fprintf(others, "%u %" PRIu64 "\n", node, next);
	}
	fclose(file);
	if (found == 0)
		errno = ENOENT;
	return found;
}

/*
 * Writes the file anew: other nodes' lines, and this one's; durable when it
 * returns 0.
 */
static int
write_ids(const char *directory, const char *path, const char *others, uint32_t node_id,
          uint64_t next)
{
	char temporary[4096 + 8];
	FILE *file;
	bool written;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	file = fopen(temporary, "we");
	if (!file)
		return -1;
	written = fprintf(file, "%s%u %" PRIu64 "\n", others, node_id, next) > 0 && fflush(file) == 0 &&
	          fsync(fileno(file)) == 0;
	if (fclose(file) != 0 || !written)
		return -1;
	if (rename(temporary, path) != 0)
		return -1;
	return sync_directory(directory);
}

/*
 * Reads the next counter of a node and moves it on by `count`, or to `at_least`.
 * Returns what it was; 0 with errno.
 */
static uint64_t
move_ids(const char *directory, uint32_t node_id, uint32_t count, uint64_t seed)
{
	char path[4096];
	char *others = NULL;
	size_t others_len = 0;
	FILE *stream = open_memstream(&others, &others_len);
	int lock = lock_ids(directory);
	uint64_t next = 0;
	int error = errno;

	snprintf(path, sizeof(path), "%s/%s", directory, IDS_FILE);
	if (stream && lock >= 0)
	{
		next = read_ids(path, node_id, stream);
		error = errno;
		fflush(stream);
		if (next == 0 && error == ENOENT && seed > 0)
		{
			if (write_ids(directory, path, others, node_id, seed) == 0)
				next = seed;
			error = errno;
		}
		else if (next > 0 && count > 0 &&
		         write_ids(directory, path, others, node_id, next + count) != 0)
		{
			error = errno;
			next = 0;
		}
	}
	if (stream)
		fclose(stream);
	free(others);
	if (lock >= 0)
		close(lock);
	errno = error;
	return next;
}

/*
 * Reserves session ids; see journal.h.
 */
uint64_t
journal_reserve_ids(const char *directory, uint32_t node_id, uint32_t count)
{
	return move_ids(directory, node_id, count, 0);
}

/*
 * Makes sure that the file has a counter for this node; see journal.h.
 */
int
journal_seed_ids(const char *directory, uint32_t node_id, uint64_t highest)
{
	if (move_ids(directory, node_id, 0, 0) != 0)
		return 0;
	return move_ids(directory, node_id, 0, highest + 1) != 0 ? 1 : -1;
}
