/*
 * writer.c
 *	  The writer: a background worker that stores what the journal holds.
 *
 * It sleeps until a relay has news, then makes a pass: all series, each from its
 * position on.  Between passes it has no transaction open and holds no lock.
 */
#include "store/store.h"

#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "store/pass.h"

#define IDLE_MS 10000
#define RETRY_MS 500
#define BLOCKED 0L /* how long to sleep: something is in the way */

/*
 * Shows a state.
 */
void
writer_set_state(BoardWriterState state)
{
	atomic_store(&pgwt_board->writer.state, state);
}

/*
 * Shows a text as last_error, cut at a character's end.  Returns whether it is
 * another one than before.
 */
static bool
show_text(char *text)
{
	BoardWriter *board = &pgwt_board->writer;
	bool is_news;

	text[pg_mbcliplen(text, (int) strlen(text), BOARD_TEXT - 1)] = '\0';
	is_news = strncmp(board->last_error, text, BOARD_TEXT - 1) != 0;
	board_set_error(board->last_error, &board->last_error_at, pgwt_now(), text);
	return is_news;
}

/*
 * Shows an error, but does not log it.
 */
void
writer_note(const char *format, ...)
{
	char text[2 * BOARD_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void) show_text(text);
}

/*
 * Shows a state and why; logs it when it is news.
 */
void
writer_error(BoardWriterState state, const char *format, ...)
{
	char text[2 * BOARD_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	writer_set_state(state);
	if (show_text(text))
		ereport(LOG, (errmsg("pgwire_trace writer: %s", text)));
}

/*
 * Signal handler: the process is to end.  Between batches that is done quietly;
 * inside one die() sees to it.
 */
static void
on_terminate(SIGNAL_ARGS)
{
	ShutdownRequestPending = true;
	die(postgres_signal_arg);
}

/*
 * Signal handler: another process has crashed.  That is no fault of the records
 * in hand.
 */
static void
on_crash_elsewhere(SIGNAL_ARGS)
{
	(void) postgres_signal_arg;
	blame_clear();
	_exit(2);
}

/*
 * Installs the signal handlers.
 */
static void
install_signals(void)
{
	static const int fatal[] = {SIGSEGV, SIGABRT, SIGBUS, SIGILL};

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_terminate);
	pqsignal(SIGQUIT, on_crash_elsewhere);
	for (size_t i = 0; i < lengthof(fatal); i++)
		signal(fatal[i], blame_on_crash);
	BackgroundWorkerUnblockSignals();
}

/*
 * Takes the writer off the board: an orderly end blames nothing.
 */
static void
on_exit_writer(int code, Datum arg)
{
	uint32 mine = (uint32) MyProcPid;

	(void) code;
	(void) arg;
	blame_clear();
	atomic_compare_exchange_strong(&pgwt_board->writer.pid, &mine, 0);
}

/*
 * Ends the process if it was asked to, rereads settings, answers interrupts.
 */
void
writer_interrupts(void)
{
	if (ShutdownRequestPending)
		proc_exit(0);
	CHECK_FOR_INTERRUPTS();
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (connect_name()[0] != '\0')
		connect_apply_settings();
}

/*
 * Waits for news, or so long.
 */
void
writer_wait(long timeout_ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms,
	                 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/*
 * Returns the flush() request that all relays have acted upon.
 */
static uint64
acked_flush(void)
{
	uint64 acked = atomic_load(&pgwt_board->flush_requested);

	for (uint32 i = 0; i < pgwt_board->relay_count; i++)
		if (atomic_load(&pgwt_board->relays[i].pid) != 0)
			acked = Min(acked, atomic_load(&pgwt_board->relays[i].flush_acked));
	return acked;
}

/*
 * Makes a pass, if storing makes sense now.  Returns how long to sleep, in
 * milliseconds.
 */
static long
work(void)
{
	BoardWriter *board = &pgwt_board->writer;
	uint64 acked = acked_flush();
	PassResult result;

	if (!ready_to_store() || !keep_has_room(0))
		return BLOCKED;
	if (atomic_load(&board->state) != WRITER_IDLE)
		writer_set_state(WRITER_RUNNING);
	result = pass_run();
	if (result == PASS_WAIT)
		return BLOCKED;
	if (atomic_load(&board->flush_acked) < acked)
		atomic_store(&board->flush_acked, acked);
	writer_set_state(atomic_load(&pgwt_board->is_paused) ? WRITER_PAUSED : WRITER_IDLE);
	return result == PASS_AGAIN ? pgwt_flush_interval : IDLE_MS;
}

/*
 * Shows an error that was caught.
 */
static void
show_error(const ErrorData *error)
{
	BoardWriterState state = WRITER_RUNNING;

	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		state = WRITER_WAITING_LOCK;
	else if (error->sqlerrcode == ERRCODE_UNDEFINED_TABLE)
		state = WRITER_WAITING_EXTENSION;
	writer_error(state, "%s", error->message);
}

/*
 * Catches what a turn raises, so that the writer goes on.
 */
static long
work_safely(MemoryContext loop)
{
	volatile long sleep = BLOCKED;

	/* PG_TRY: the worker goes on after an error */
	PG_TRY();
	{
		sleep = work();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(loop);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(loop);
		show_error(error);
	}
	PG_END_TRY();
	return sleep;
}

/*
 * Runs the writer.  The argument says that the one before could not connect.
 */
void
pgwire_trace_writer_main(Datum arg)
{
	MemoryContext loop;

	install_signals();
	on_proc_exit(on_exit_writer, (Datum) 0);
	atomic_store(&pgwt_board->writer.pid, (uint32) MyProcPid);
	connect_database(DatumGetBool(arg));
	blame_begin();
	if (!RecoveryInProgress())
		series_begin();
	pgstat_report_activity(STATE_IDLE, NULL);
	loop = AllocSetContextCreate(TopMemoryContext, "pgwire_trace writer", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		long sleep;

		MemoryContextSwitchTo(loop);
		MemoryContextReset(loop);
		writer_interrupts();
		sleep = work_safely(loop);
		if (sleep == BLOCKED)
		{
			pass_measure();
			sleep = RETRY_MS;
		}
		if (sleep >= IDLE_MS)
			pgstat_report_stat(true);
		writer_wait(sleep);
	}
}
