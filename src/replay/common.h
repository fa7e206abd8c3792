/*
 * common.h
 *	  What the network processes of a run have in common: whose turn it is, how far the
 *	  clock was put forward, which session begins next, how many are open.
 *
 * Sessions are dealt out to the processes, but order, clock and limits are the run's.
 * They are in a mapping that the worker makes before it forks the children, and that
 * nobody else has: nothing of it is the server's, and no byte of a target's is ever in
 * it.  It holds numbers alone: no lock that one who dies could keep, no pointer, no
 * index that one follows without having checked it.  So a child that a target took
 * over can make the others wait or hurry, which their timeouts bound, and no more.
 *
 * A child is woken through a pipe of its own.  Whoever waits for an exchange of others
 * publishes that it does and then looks whether that is past; whoever passes it says so
 * and then looks who waits.  One of the two sees the other, as these four accesses are
 * sequentially consistent: no wake-up is lost, and none is sent that nobody waits for.
 *
 * Public routines:
 *		common_make, common_fds, common_leave	the worker's
 *		common_join								a child's, once it is forked
 *		common_is_past, common_pass, common_await	the order's lanes
 *		common_wake, common_wake_all, common_woken
 *		common_put_forward, common_say_idle, common_idle_until	the clock
 */
#ifndef REPLAY_COMMON_H
#define REPLAY_COMMON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLAY_MAX_CHILDREN 64
#define COMMON_LANES 2
#define COMMON_NOWHERE UINT32_MAX /* no place is awaited */
#define COMMON_BUSY INT64_MIN     /* somebody is at work */

/* What a child says of itself; each has a cache line of its own. */
typedef struct CommonChild
{
	_Alignas(64) _Atomic uint32_t awaited[COMMON_LANES]; /* place that wakes it when it is past */
	_Atomic int64_t idle_until; /* on the replay's clock, INT64_MAX: for ever; or COMMON_BUSY */
} CommonChild;

typedef struct CommonState
{
	_Atomic int64_t skipped;      /* so far was the clock put forward */
	_Atomic int64_t last_connect; /* monotonic; 0: none yet */
	_Atomic uint32_t begun;       /* sessions; they begin in the plan's order */
	_Atomic uint32_t live;        /* sessions that are open */
	CommonChild children[REPLAY_MAX_CHILDREN];
	_Atomic uint8_t is_past[]; /* by lane, by place: not 0 */
} CommonState;

/* The mapping as one of the processes sees it. */
typedef struct Common
{
	CommonState *state;
	size_t places; /* of each lane */
	uint32_t child_count;
	uint32_t own; /* number of this child */
	int pipes[REPLAY_MAX_CHILDREN][2];
} Common;

/* The run's, which the worker makes and its children inherit. */
extern Common replay_common;

/* Makes it all for so many children and exchanges.  False: errno says why. */
extern bool common_make(Common *common, uint32_t child_count, size_t places);

/* The descriptors that a child must have.  Returns how many. */
extern int common_fds(const Common *common, int fds[2 * REPLAY_MAX_CHILDREN]);

/* Gives it back: the children have it. */
extern void common_leave(Common *common);

/* Becomes a child: only its own pipe is read from here. */
extern void common_join(Common *common, uint32_t own);

extern bool common_is_past(const Common *common, uint32_t lane, uint32_t place);

/* Says that a place is past, and wakes who waits for it. */
extern void common_pass(Common *common, uint32_t lane, uint32_t place);

/* Says that this child waits for a place.  False: it is past, nobody wakes for it. */
extern bool common_await(Common *common, uint32_t lane, uint32_t place);

extern void common_wake(const Common *common, uint32_t child);
extern void common_wake_all(const Common *common);

/* Takes notice that this child is awake; to be called before it looks what has changed. */
extern void common_woken(const Common *common);

/* The descriptor that is readable when this child was woken. */
static inline int
common_wake_fd(const Common *common)
{
	return common->pipes[common->own][0];
}

/* Puts the clock forward, unless somebody else has; the span is from what it was then. */
extern bool common_put_forward(Common *common, int64_t before, int64_t span);

/* Says until when this child has nothing to do, unless one of the others passes what it awaits. */
extern void common_say_idle(Common *common, int64_t until);

/* Returns until when no child has anything to do. */
extern int64_t common_idle_until(const Common *common);

#endif /* REPLAY_COMMON_H */
