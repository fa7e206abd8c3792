/*
 * common.c
 *	  What the network processes of a run have in common; see common.h.
 */
#include "replay/common.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

Common replay_common;

/*
 * Returns the size of the mapping.
 */
static size_t
size_of(size_t places)
{
	return sizeof(CommonState) + COMMON_LANES * places;
}

/*
 * Returns where it says whether a place is past.
 */
static _Atomic uint8_t *
past_at(const Common *common, uint32_t lane, uint32_t place)
{
	return &common->state->is_past[lane * common->places + place];
}

/*
 * Makes a child's pipe.  Neither end ever blocks: who finds it full is not needed to
 * wake anybody.
 */
static bool
make_pipe(int ends[2])
{
	if (pipe(ends) != 0)
		return false;
	for (int i = 0; i < 2; i++)
		if (fcntl(ends[i], F_SETFL, O_NONBLOCK) != 0 || fcntl(ends[i], F_SETFD, FD_CLOEXEC) != 0)
			return false;
	return true;
}

/*
 * Makes it all.
 */
bool
common_make(Common *common, uint32_t child_count, size_t places)
{
	void *map =
	    mmap(NULL, size_of(places), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return false;
	common->state = map; /* all of it is zero */
	common->places = places;
	common->child_count = child_count;
	common->own = 0;
	for (uint32_t i = 0; i < REPLAY_MAX_CHILDREN; i++)
		common->pipes[i][0] = common->pipes[i][1] = -1;
	for (uint32_t i = 0; i < child_count; i++)
	{
		CommonChild *child = &common->state->children[i];

		for (uint32_t lane = 0; lane < COMMON_LANES; lane++)
			atomic_store(&child->awaited[lane], COMMON_NOWHERE);
		atomic_store(&child->idle_until, COMMON_BUSY);
		if (!make_pipe(common->pipes[i]))
		{
			common_leave(common);
			return false;
		}
	}
	return true;
}

/*
 * Finds the descriptors that a child must have.
 */
int
common_fds(const Common *common, int fds[2 * REPLAY_MAX_CHILDREN])
{
	int count = 0;

	for (uint32_t i = 0; i < common->child_count; i++)
		for (int end = 0; end < 2; end++)
			fds[count++] = common->pipes[i][end];
	return count;
}

/*
 * Closes an end of a pipe.
 */
static void
close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/*
 * Gives it back; keeps errno.
 */
void
common_leave(Common *common)
{
	int error = errno;

	for (uint32_t i = 0; i < common->child_count; i++)
	{
		close_end(&common->pipes[i][0]);
		close_end(&common->pipes[i][1]);
	}
	if (common->state)
		munmap(common->state, size_of(common->places));
	common->state = NULL;
	common->child_count = 0;
	errno = error;
}

/*
 * Becomes a child.
 */
void
common_join(Common *common, uint32_t own)
{
	common->own = own;
	for (uint32_t i = 0; i < common->child_count; i++)
		if (i != own)
			close_end(&common->pipes[i][0]);
}

/*
 * Wakes a child.  A pipe that is full wakes it all the same, and one that nobody reads
 * any more is that of one that has ended.
 */
void
common_wake(const Common *common, uint32_t child)
{
	while (write(common->pipes[child][1], "", 1) < 0 && errno == EINTR)
		;
}

/*
 * Wakes all others.
 */
void
common_wake_all(const Common *common)
{
	for (uint32_t i = 0; i < common->child_count; i++)
		if (i != common->own)
			common_wake(common, i);
}

/*
 * Takes notice that this child is awake.  What is left in the pipe wakes it again.
 */
void
common_woken(const Common *common)
{
	char bytes[256];

	while (read(common_wake_fd(common), bytes, sizeof(bytes)) < 0 && errno == EINTR)
		;
}

/*
 * Tells whether a place is past.
 */
bool
common_is_past(const Common *common, uint32_t lane, uint32_t place)
{
	return atomic_load(past_at(common, lane, place)) != 0;
}

/*
 * Says that a place is past, then looks who waits for it.  Who does is idle no longer,
 * whatever it has said, even if it takes its time to wake up.
 */
void
common_pass(Common *common, uint32_t lane, uint32_t place)
{
	CommonState *state = common->state;

	if (atomic_exchange(past_at(common, lane, place), 1))
		return; /* whoever was first wakes */
	for (uint32_t i = 0; i < common->child_count; i++)
		if (i != common->own && atomic_load(&state->children[i].awaited[lane]) == place)
		{
			atomic_store(&state->children[i].idle_until, COMMON_BUSY);
			common_wake(common, i);
		}
}

/*
 * Says that this child waits for a place, then looks whether it is past.
 */
bool
common_await(Common *common, uint32_t lane, uint32_t place)
{
	atomic_store(&common->state->children[common->own].awaited[lane], place);
	return !atomic_load(past_at(common, lane, place));
}

/*
 * Puts the clock forward.
 */
bool
common_put_forward(Common *common, int64_t before, int64_t span)
{
	return atomic_compare_exchange_strong(&common->state->skipped, &before, before + span);
}

/*
 * Says until when this child has nothing to do.  What it does when that has come is no
 * news to anybody: the clock is not put forward beyond it.
 */
void
common_say_idle(Common *common, int64_t until)
{
	atomic_store(&common->state->children[common->own].idle_until, until);
}

/*
 * Returns until when no child has anything to do.
 */
int64_t
common_idle_until(const Common *common)
{
	int64_t until = INT64_MAX;

	for (uint32_t i = 0; i < common->child_count; i++)
	{
		int64_t other = atomic_load(&common->state->children[i].idle_until);

		if (other < until)
			until = other; /* COMMON_BUSY is the least */
	}
	return until;
}
