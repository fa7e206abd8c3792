/*
 * plan.c
 *	  The plan's files: written once, mapped once.
 */
#include "replay/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const ends[] = {".sessions", ".exchanges", ".bytes"};

/*
 * Opens one of the files.
 */
static FILE *
create_file(const char *path, const char *end)
{
	char name[PLAN_PATH_SIZE + 16];
	FILE *file;
	int fd;

	snprintf(name, sizeof(name), "%s%s", path, end);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	file = fdopen(fd, "w");
	if (!file)
		close(fd);
	return file;
}

/*
 * Makes the files.
 */
bool
plan_create(PlanWriter *writer, const char *path)
{
	memset(writer, 0, sizeof(*writer));
	writer->sessions = create_file(path, ends[0]);
	writer->exchanges = create_file(path, ends[1]);
	writer->bytes = create_file(path, ends[2]);
	return writer->sessions && writer->exchanges && writer->bytes;
}

/*
 * Appends bytes.
 */
bool
plan_add_bytes(PlanWriter *writer, const void *data, size_t len, uint64_t *at)
{
	*at = writer->byte_count;
	if (len == 0)
		return true;
	writer->byte_count += len;
	return fwrite(data, 1, len, writer->bytes) == len;
}

/*
 * Appends an exchange to the session that is added next.
 */
bool
plan_add_exchange(PlanWriter *writer, const PlanExchange *exchange)
{
	writer->exchange_count++;
	return fwrite(exchange, sizeof(*exchange), 1, writer->exchanges) == 1;
}

/*
 * Appends a session.
 */
bool
plan_add_session(PlanWriter *writer, const PlanSession *session)
{
	writer->session_count++;
	return fwrite(session, sizeof(*session), 1, writer->sessions) == 1;
}

/*
 * Closes the files that are open.
 */
bool
plan_finish(PlanWriter *writer)
{
	FILE *files[] = {writer->sessions, writer->exchanges, writer->bytes};
	bool done = true;

	for (int i = 0; i < 3; i++)
		if (files[i] && fclose(files[i]) != 0)
			done = false;
	writer->sessions = writer->exchanges = writer->bytes = NULL;
	return done;
}

/*
 * Maps a file.  One that is empty is NULL with size 0.
 */
static bool
map_file(const char *path, const char *end, const void **data, size_t *size)
{
	char name[PLAN_PATH_SIZE + 16];
	struct stat status;
	void *map = NULL;
	int fd;

	snprintf(name, sizeof(name), "%s%s", path, end);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &status) == 0 && status.st_size > 0)
		map = mmap(NULL, (size_t) status.st_size, PROT_READ, MAP_SHARED, fd, 0);
	else
		status.st_size = 0;
	close(fd);
	if (map == MAP_FAILED)
		return false;
	*data = map;
	*size = (size_t) status.st_size;
	return true;
}

/*
 * Tells whether everything that the plan names is in it.
 */
static bool
is_sound(const ReplayPlan *plan)
{
	for (size_t i = 0; i < plan->session_count; i++)
		if (plan->sessions[i].first > plan->exchange_count ||
		    plan->sessions[i].count > plan->exchange_count - plan->sessions[i].first ||
		    plan->sessions[i].prelude_at > plan->byte_count ||
		    plan->sessions[i].prelude_len > plan->byte_count - plan->sessions[i].prelude_at)
			return false;
	for (size_t i = 0; i < plan->exchange_count; i++)
	{
		const PlanExchange *exchange = &plan->exchanges[i];

		if (exchange->request_at > plan->byte_count || exchange->response_at > plan->byte_count ||
		    exchange->request_len > plan->byte_count - exchange->request_at ||
		    exchange->response_len > plan->byte_count - exchange->response_at ||
		    exchange->tag_len > PLAN_TAG_SIZE)
			return false;
		if (exchange->noise_at > 0 &&
		    (exchange->noise_len < 2 || exchange->noise_at - 1 > plan->byte_count ||
		     exchange->noise_len > plan->byte_count - (exchange->noise_at - 1) ||
		     memcmp(plan->bytes + exchange->noise_at + exchange->noise_len - 3, "\0", 2) != 0))
			return false;
	}
	return true;
}

/*
 * Maps the files.
 */
bool
plan_open(ReplayPlan *plan, const char *path)
{
	const void *data[3];
	size_t size[3];

	memset(plan, 0, sizeof(*plan));
	for (int i = 0; i < 3; i++)
		if (!map_file(path, ends[i], &data[i], &size[i]))
			return false;
	plan->sessions = data[0];
	plan->exchanges = data[1];
	plan->bytes = data[2];
	plan->session_count = size[0] / sizeof(PlanSession);
	plan->exchange_count = size[1] / sizeof(PlanExchange);
	plan->byte_count = size[2];
	if (is_sound(plan))
		return true;
	errno = EINVAL;
	return false;
}

/*
 * Unmaps the files.
 */
void
plan_close(ReplayPlan *plan)
{
	if (plan->sessions)
		munmap((void *) plan->sessions, plan->session_count * sizeof(PlanSession));
	if (plan->exchanges)
		munmap((void *) plan->exchanges, plan->exchange_count * sizeof(PlanExchange));
	if (plan->bytes)
		munmap((void *) plan->bytes, plan->byte_count);
	memset(plan, 0, sizeof(*plan));
}

/*
 * Removes the files, those that are there.
 */
void
plan_remove(const char *path)
{
	char name[PLAN_PATH_SIZE + 16];

	for (int i = 0; i < 3; i++)
	{
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
}
