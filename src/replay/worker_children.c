/*
 * worker_children.c
 *	  The network processes of a run: one, or as many as were asked for.
 *
 * Each maps the same plan and runs its share of the sessions; what they have in common
 * is in common.h.  One that dies, or says nothing for long, fails the run.  What they
 * send is only data, whatever it is.
 *
 * Public routines, of the one run that a worker has:
 *		replay_children_start, replay_children_tell
 *		replay_children_wait, replay_children_read
 *		replay_children_progress, replay_children_failure, replay_children_are_done
 *		replay_children_have_plan	whether the plan's files can go
 *		replay_children_end, replay_children_kill
 */
#include "replay/expect.h"
#include "replay/worker.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compat.h"
#include "miscadmin.h"
#include "replay/child_main.h"
#include "server/supervisor.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define PACKETS_A_TURN 64
#define SILENT_MS 60000 /* it says how far it is ten times a second */
#define END_MS 10000    /* who has said that it is done goes by itself */

typedef struct Child
{
	pid_t pid; /* 0: it has ended */
	int link;  /* -1: closed */
	bool has_plan;
	bool is_done;
	TimestampTz heard_at;
	LinkProgress progress;
} Child;

static Child children[REPLAY_MAX_CHILDREN];
static uint32 child_count;
static const char *failure;
static WaitEventSet *wait_set;

/*
 * Sends a child a command.  It has not begun, or has room: commands are few.
 */
static void
tell(Child *child, LinkCommand command, const void *data, Size len)
{
	char packet[LINK_PACKET];

	if (len > sizeof(packet) - 1)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("a connection string is too long for a replay")));
	packet[0] = (char) command;
	if (len > 0)
		memcpy(packet + 1, data, len);
	while (child->link >= 0 && send(child->link, packet, len + 1, MSG_NOSIGNAL) < 0)
	{
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return; /* gone: reading tells */
		CHECK_FOR_INTERRUPTS();
		(void) WaitLatchOrSocket(MyLatch, WL_SOCKET_WRITEABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
		                         child->link, 10, PG_WAIT_EXTENSION);
	}
}

/*
 * Raises an error: a child cannot be started.
 */
static void
cannot_start(void)
{
	ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR),
	                errmsg("could not start the replay's network process: %m")));
}

/*
 * Starts the children, no more than there are sessions; so many exchanges are in the
 * plan.
 */
void
replay_children_start(const ReplaySettings *settings, uint64 sessions, uint64 exchanges)
{
	int fds[2 * REPLAY_MAX_CHILDREN];
	int fd_count;

	child_count = (uint32) Max(Min(settings->child_count, sessions), 1);
	if (!common_make(&replay_common, child_count,
	                 settings->ordering == ORDERING_NONE ? 0 : exchanges))
		cannot_start();
	fd_count = common_fds(&replay_common, fds);
	for (uint32 i = 0; i < child_count; i++)
	{
		Child *child = &children[i];

		child->pid = spawn_detached_with("pgwire_trace replay network", replay_child_main, (int) i,
		                                 &child->link, fds, fd_count);
		if (child->pid < 0)
		{
			child->pid = 0;
			cannot_start();
		}
		child->heard_at = GetCurrentTimestamp();
		tell(child, LINK_SETTINGS, settings, sizeof(*settings));
	}
	common_leave(&replay_common);
}

/*
 * Sends all children a command.
 */
void
replay_children_tell(LinkCommand command, const void *data, Size len)
{
	for (uint32 i = 0; i < child_count; i++)
		tell(&children[i], command, data, len);
}

/*
 * Closes a child's link.
 */
static void
close_link(Child *child)
{
	if (child->link >= 0)
		close(child->link);
	child->link = -1;
	if (wait_set)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
}

/*
 * Takes a record that is about the child itself.
 */
static void
take_own(Child *child, LinkKind kind, const char *data, Size size)
{
	if (kind == LINK_PROGRESS && size >= sizeof(child->progress))
		memcpy(&child->progress, data, sizeof(child->progress));
	else if (kind == LINK_MAPPED)
		child->has_plan = true;
	else if (kind == LINK_DONE)
		child->is_done = true;
}

/*
 * Takes a packet apart.
 */
static void
take_packet(Child *child, const char *packet, Size len, ReplayTake take)
{
	size_t at = 0;
	LinkRecord record;
	const char *data;

	while (expect_next(packet, len, &at, &record, &data))
	{
		take_own(child, (LinkKind) record.kind, data, record.size);
		take((LinkKind) record.kind, data, record.size);
	}
	if (at != len)
		failure = "the replay's network process sent a record that is cut";
}

/*
 * Reads what a child has sent, a bounded amount.
 */
static void
read_child(Child *child, ReplayTake take)
{
	static char packet[LINK_PACKET];

	for (int i = 0; i < PACKETS_A_TURN && child->link >= 0; i++)
	{
		ssize_t got = recv(child->link, packet, sizeof(packet), MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
			return;
		if (got <= 0)
		{
			if (!child->is_done)
				failure = "the replay's network process has died";
			close_link(child);
			return;
		}
		child->heard_at = GetCurrentTimestamp();
		take_packet(child, packet, (Size) got, take);
	}
}

/*
 * Reads what the children have sent.
 */
void
replay_children_read(ReplayTake take)
{
	TimestampTz now = GetCurrentTimestamp();

	for (uint32 i = 0; i < child_count; i++)
	{
		read_child(&children[i], take);
		if (children[i].link >= 0 && !children[i].is_done &&
		    TimestampDifferenceExceeds(children[i].heard_at, now, SILENT_MS))
			failure = "the replay's network process said nothing for a minute";
	}
}

/*
 * Waits until a child has sent something, or the worker is told something.
 */
void
replay_children_wait(long timeout_ms)
{
	WaitEvent event;

	if (!wait_set)
	{
		wait_set = COMPAT_CREATE_WAIT_EVENT_SET(REPLAY_MAX_CHILDREN + 2);
		AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		for (uint32 i = 0; i < child_count; i++)
			if (children[i].link >= 0)
				AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, children[i].link, NULL, NULL);
	}
	(void) WaitEventSetWait(wait_set, timeout_ms, &event, 1, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/*
 * Adds up how far the children are.
 */
void
replay_children_progress(LinkProgress *progress)
{
	memset(progress, 0, sizeof(*progress));
	for (uint32 i = 0; i < child_count; i++)
	{
		const LinkProgress *one = &children[i].progress;

		progress->sent += one->sent;
		progress->sessions_live += one->sessions_live;
		progress->sessions_ended += one->sessions_ended;
		progress->late_us = Max(progress->late_us, one->late_us);
		progress->target_late_us = Max(progress->target_late_us, one->target_late_us);
		progress->order_timeouts += one->order_timeouts;
	}
}

/*
 * Says why the run cannot go on; NULL: it can.
 */
const char *
replay_children_failure(void)
{
	return failure;
}

/*
 * Tells whether all children are done.
 */
bool
replay_children_are_done(void)
{
	for (uint32 i = 0; i < child_count; i++)
		if (!children[i].is_done)
			return false;
	return true;
}

/*
 * Tells whether all children have mapped the plan.
 */
bool
replay_children_have_plan(void)
{
	for (uint32 i = 0; i < child_count; i++)
		if (!children[i].has_plan)
			return false;
	return true;
}

/*
 * Waits for a child that has nothing more to say, but not for ever.
 */
static void
bury(Child *child)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), END_MS);
	pid_t ended;
	int status;

	while ((ended = waitpid(child->pid, &status, WNOHANG)) == 0 || (ended < 0 && errno == EINTR))
	{
		if (GetCurrentTimestamp() > until)
			kill(child->pid, SIGKILL);
		pg_usleep(1000);
	}
	child->pid = 0;
}

/*
 * Waits for the children, which are done, or are killed.
 */
void
replay_children_end(bool kills)
{
	if (kills)
		replay_children_kill();
	for (uint32 i = 0; i < child_count; i++)
		if (children[i].pid > 0)
		{
			close_link(&children[i]);
			bury(&children[i]);
		}
	child_count = 0;
}

/*
 * Kills the children that are there.
 */
void
replay_children_kill(void)
{
	for (uint32 i = 0; i < child_count; i++)
		if (children[i].pid > 0)
			kill(children[i].pid, SIGKILL);
}
