/*
 * launch.c
 *	  Starts the writer, again and again if need be.
 *
 * The supervisor alone starts it: were it restarted by the postmaster as well,
 * there would be two after a crash restart.
 */
#include "server/supervisor.h"

#include <signal.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#define BACKOFF_FIRST_US INT64CONST(100000)
#define BACKOFF_MAX_US INT64CONST(5000000)
#define HEALTHY_US INT64CONST(10000000)
#define ORPHAN_US INT64CONST(20000)
#define HOLD_US INT64CONST(20000)

static BackgroundWorkerHandle *handle;
static int64 started_at;
static int64 start_at;
static int64 backoff = BACKOFF_FIRST_US;
static bool failed_before;
static pid_t orphan; /* the writer of an earlier supervisor; 0: none */

/*
 * Shows on the board that there is no writer.
 */
static void
note_gone(void)
{
	atomic_store(&pgwt_board->writer.pid, 0);
	atomic_store(&pgwt_board->writer_present, 0);
}

/*
 * Ends the writer of an earlier supervisor, should only that have died: there is
 * no handle to it any more, and there must not be two.
 */
void
writer_begin(void)
{
	orphan = (pid_t) atomic_load(&pgwt_board->writer.pid);
	if (orphan == 0)
		note_gone();
	else if (BackendPidGetProc(orphan))
		kill(orphan, SIGTERM);
}

/*
 * Tells whether the writer of an earlier supervisor still runs.
 */
static bool
orphan_lives(void)
{
	if (orphan == 0)
		return false;
	if (BackendPidGetProc(orphan))
		return true;
	orphan = 0;
	note_gone();
	return false;
}

/*
 * Registers the writer.  False: no place for it.
 */
static bool
launch(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	strlcpy(worker.bgw_name, "pgwire_trace writer", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pgwire_trace writer", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pgwire_trace", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pgwire_trace_writer_main", BGW_MAXLEN);
	worker.bgw_main_arg = BoolGetDatum(failed_before);
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &handle);
}

/*
 * Takes notice that the writer is gone.
 */
static void
forget_writer(void)
{
	BoardWriter *stats = &pgwt_board->writer;
	BoardWriterState state = atomic_load(&stats->state);

	pfree(handle);
	handle = NULL;
	note_gone();
	failed_before = state == WRITER_WAITING_EXTENSION;
	if (state == WRITER_RUNNING || state == WRITER_IDLE)
		atomic_store(&stats->state, WRITER_STARTING);
	if (pgwt_now() - started_at > HEALTHY_US)
		backoff = BACKOFF_FIRST_US;
	start_at = pgwt_now() + backoff;
	backoff = Min(backoff * 2, BACKOFF_MAX_US);
}

/*
 * Starts the writer, unless a command holds it off.  Its presence is shown first:
 * then either the command sees it, or we see the hold; see utility.c.
 */
static void
start(int64 now)
{
	BoardWriter *stats = &pgwt_board->writer;

	atomic_store(&pgwt_board->writer_present, 1);
	if (atomic_load(&pgwt_board->writer_hold_until) > now)
	{
		atomic_store(&pgwt_board->writer_present, 0);
		start_at = now + HOLD_US;
	}
	else if (launch())
		started_at = now;
	else
	{
		atomic_store(&pgwt_board->writer_present, 0);
		board_set_error(stats->last_error, &stats->last_error_at, now,
		                "no background worker is free for the writer: raise "
		                "\"max_worker_processes\"");
		start_at = now + BACKOFF_MAX_US;
	}
}

/*
 * Starts the writer if it is due; see supervisor.h.
 */
int64
writer_launch(void)
{
	MemoryContext before;
	int64 now = pgwt_now();
	pid_t pid;

	if (orphan_lives())
		return now + ORPHAN_US;
	before = MemoryContextSwitchTo(TopMemoryContext); /* the handle stays */
	if (handle && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
		forget_writer();
	if (!handle && start_at <= now)
		start(now);
	MemoryContextSwitchTo(before);
	return handle ? 0 : start_at;
}

/*
 * Wakes the writer, if it runs.
 */
void
pgwt_wake_writer(void)
{
	pid_t pid = (pid_t) atomic_load(&pgwt_board->writer.pid);
	PGPROC *proc = pid ? BackendPidGetProc(pid) : NULL;

	if (proc)
		SetLatch(&proc->procLatch);
}
