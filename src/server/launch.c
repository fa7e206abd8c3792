/*
 * launch.c
 *	  Starts the writer, again and again if need be.
 *
 * The supervisor alone starts it: were it restarted by the postmaster as well,
 * there would be two after a crash restart.
 */
#include "server/supervisor.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#define BACKOFF_FIRST_US INT64CONST(100000)
#define BACKOFF_MAX_US INT64CONST(5000000)
#define HEALTHY_US INT64CONST(10000000)

static BackgroundWorkerHandle *handle;
static int64 started_at;
static int64 start_at;
static int64 backoff = BACKOFF_FIRST_US;
static bool failed_before;

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
	atomic_store(&stats->pid, 0);
	failed_before = state == WRITER_WAITING_EXTENSION;
	if (state == WRITER_RUNNING || state == WRITER_IDLE)
		atomic_store(&stats->state, WRITER_STARTING);
	if (pgwt_now() - started_at > HEALTHY_US)
		backoff = BACKOFF_FIRST_US;
	start_at = pgwt_now() + backoff;
	backoff = Min(backoff * 2, BACKOFF_MAX_US);
}

/*
 * Starts the writer if it is due; see supervisor.h.
 */
int64
writer_launch(void)
{
	MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
	int64 now = pgwt_now();
	int64 hold = atomic_load(&pgwt_board->writer_hold_until);
	pid_t pid;

	if (handle && GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED)
		forget_writer();
	if (!handle && start_at <= now && hold <= now)
	{
		if (launch())
			started_at = now;
		else
		{
			BoardWriter *stats = &pgwt_board->writer;

			board_set_error(stats->last_error, &stats->last_error_at, now,
			                "no background worker is free for the writer: raise "
			                "\"max_worker_processes\"");
			start_at = now + BACKOFF_MAX_US;
		}
	}
	MemoryContextSwitchTo(before);
	if (handle)
		return 0;
	return Max(start_at, hold > now ? now + 20000 : 0);
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
