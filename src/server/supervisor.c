/*
 * supervisor.c
 *	  The supervisor: binds the side port, keeps the relays and the writer alive.
 *
 * It never reads a byte of a client's, and does nothing slow in its loop.  It is
 * the only process of ours that the postmaster restarts.
 */
#include "server/supervisor.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/journal.h"

#include "common/hashfn.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define CHECK_MS 1000 /* heartbeats */
#define SLOTS_US INT64CONST(10000000)
#define LOGGED_ERRORS 16

/* whose socket woke the loop, beside relays, which are 1 and up */
#define RESOLVER ((intptr_t) -1)
#define CERTIFICATE ((intptr_t) -2)

static uint32 logged_errors[LOGGED_ERRORS]; /* hashes; 0: none */
static int logged_count;

/*
 * Signal handler: a child has ended.
 */
static void
on_child(SIGNAL_ARGS)
{
	int saved = errno;

	(void) postgres_signal_arg;
	SetLatch(MyLatch);
	errno = saved;
}

/*
 * Registers the supervisor.  Should there be no place for it the server says so
 * in its log alone, so the board says it until the supervisor runs.
 */
void
supervisor_register(void)
{
	BoardWriter *writer = &pgwt_board->writer;
	BackgroundWorker worker;

	board_set_error(writer->last_error, &writer->last_error_at, pgwt_now(),
	                "the supervisor is not running: if it does not start, raise "
	                "\"max_worker_processes\"");

	memset(&worker, 0, sizeof(worker));
	strlcpy(worker.bgw_name, "pgwire_trace supervisor", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pgwire_trace supervisor", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_PostmasterStart;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pgwire_trace", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pgwire_trace_supervisor_main", BGW_MAXLEN);
	unix_sockets_prepare();
	tls_kept_prepare();
	RegisterBackgroundWorker(&worker);
}

/*
 * Tells whether an error was logged already since the settings were read.  Only
 * hashes are kept; with more different errors than that the oldest are logged
 * again.
 */
static bool
is_old_news(const char *message)
{
	uint32 hash = Max(1, string_hash(message, BOARD_TEXT));

	for (int i = 0; i < LOGGED_ERRORS; i++)
		if (logged_errors[i] == hash)
			return true;
	logged_errors[logged_count++ % LOGGED_ERRORS] = hash;
	return false;
}

/*
 * Notes an error in stat_relay, and in the log unless it is there already: most
 * are tried again and again.
 */
void
supervisor_error(const char *message)
{
	BoardRelay *stats = &pgwt_board->relays[0];

	if (!is_old_news(message))
		ereport(LOG, (errmsg("pgwire_trace: %s", message)));
	board_set_error(stats->last_error, &stats->last_error_at, pgwt_now(), message);
}

/*
 * Buries children that have ended.  Those of resolve.c and tls.c have
 * said all by then.
 */
static void
reap_children(void)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		(void) relays_reap(pid, status);
}

/*
 * Frees slots whose backend is gone without having said so.
 */
static void
sweep_slots(void)
{
	for (uint32 i = 0; i < pgwt_board->slot_count; i++)
	{
		BoardSlot *slot = &pgwt_board->slots[i];
		pid_t pid = (pid_t) atomic_load(&slot->backend_pid);

		if ((atomic_load(&slot->state) & SLOT_BACKEND) && pid != 0 && !BackendPidGetProc(pid))
			board_release_slot(pgwt_board, (int) i, SLOT_BACKEND);
	}
}

/*
 * Makes the set of what the loop waits for.
 */
static WaitEventSet *
make_wait_set(void)
{
	WaitEventSet *set = COMPAT_CREATE_WAIT_EVENT_SET(BOARD_MAX_RELAYS + 4);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < pgwt_relay_processes; i++)
		if (relays_fd(i) >= 0)
			AddWaitEventToSet(set, WL_SOCKET_READABLE, relays_fd(i), NULL,
			                  (void *) (intptr_t) (i + 1));
	if (resolve_fd() >= 0)
		AddWaitEventToSet(set, WL_SOCKET_READABLE, resolve_fd(), NULL, (void *) RESOLVER);
	if (tls_fd() >= 0)
		AddWaitEventToSet(set, WL_SOCKET_READABLE, tls_fd(), NULL, (void *) CERTIFICATE);
	return set;
}

/*
 * Waits for something to do.  Returns whether a host name's addresses came.
 */
static bool
wait_for_work(int64 until)
{
	WaitEvent events[16];
	WaitEventSet *set = make_wait_set();
	int64 wait = until > 0 ? (until - pgwt_now()) / 1000 + 1 : CHECK_MS;
	int count;
	bool resolved = false;

	count = WaitEventSetWait(set, Max(1, Min(wait, CHECK_MS)), events, lengthof(events),
	                         PG_WAIT_EXTENSION);
	for (int i = 0; i < count; i++)
	{
		intptr_t who = (intptr_t) events[i].user_data;

		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else if (who > 0)
			relays_drain((int) who - 1);
		else if (who == RESOLVER)
			resolved = resolve_readable();
		else if (who == CERTIFICATE)
		{
			tls_readable();
			relays_configure();
		}
	}
	FreeWaitEventSet(set);
	return resolved;
}

/*
 * Returns the earlier of two times, 0 being never.
 */
static int64
earlier(int64 a, int64 b)
{
	if (a == 0 || b == 0)
		return a + b;
	return Min(a, b);
}

/*
 * Makes the journal's directory.
 */
static void
make_journal_directory(void)
{
	const char *directory = pgwt_journal_directory_resolved();

	if (journal_make_directory(directory) != 0)
		supervisor_error(
		    psprintf("could not use journal directory \"%s\": %s", directory, strerror(errno)));
}

/*
 * Exit callback: leaves no socket files behind, however the process ends.
 */
static void
on_exit_close(int code, Datum arg)
{
	listeners_close();
}

/*
 * Prepares the process.
 */
static void
begin(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGCHLD, on_child);
	BackgroundWorkerUnblockSignals();
	if (atomic_load(&pgwt_board->supervisor_pid) == 0)
		board_set_error(pgwt_board->writer.last_error, &pgwt_board->writer.last_error_at, 0, "");
	atomic_store(&pgwt_board->supervisor_pid, (uint32) MyProcPid);
	/* whatever was left: no relay of an earlier supervisor lives */
	board_void_slots(pgwt_board);
	sweep_slots();
	relays_forget();
	writer_begin();
	make_journal_directory();
	on_proc_exit(on_exit_close, 0);
	listeners_update(true);
	tls_begin();
}

/*
 * Reads the settings again.
 */
static void
reload(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	memset(logged_errors, 0, sizeof(logged_errors));
	resolve_again();
	listeners_update(true);
	tls_reload();
	relays_configure();
}

/*
 * Tries again to bind what could not be bound, and binds what a name turned out
 * to mean.
 */
static void
retry_listeners(bool resolved)
{
	int64 due = listeners_retry_at();

	/* a name may be the server's too: relays are told where it listens */
	if (((due != 0 && due <= pgwt_now()) || resolved) && (listeners_update(false) || resolved))
		relays_configure();
}

/*
 * Does one turn of the loop.
 */
static void
turn(void)
{
	static int64 swept_at;
	static bool resolved;
	int64 until;

	if (ConfigReloadPending)
		reload();
	reap_children();
	retry_listeners(resolved);
	until = relays_start();
	until = earlier(until, writer_launch());
	until = earlier(until, listeners_retry_at());
	until = earlier(until, resolve_retry());
	until = earlier(until, tls_check());
	relays_check();
	listeners_touch();
	if (relays_want_reload())
		tls_reload();
	if (pgwt_now() - swept_at > SLOTS_US)
	{
		swept_at = pgwt_now();
		sweep_slots();
		pgwt_sweep_plans();
	}
	resolved = wait_for_work(until);
}

/*
 * Runs the supervisor.
 */
void
pgwire_trace_supervisor_main(Datum arg)
{
	MemoryContext loop;

	(void) arg;
	begin();
	loop =
	    AllocSetContextCreate(TopMemoryContext, "pgwire_trace supervisor", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(loop);
	while (!ShutdownRequestPending)
	{
		turn();
		MemoryContextReset(loop);
	}
	listeners_close();
	relays_stop();
	/* not 0, which would mean for good: whoever ended it, only a shutdown is that */
	proc_exit(1);
}
