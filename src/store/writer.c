/*
 * writer.c
 *	  The writer: a background worker that stores what the journal holds.
 *
 * It sleeps until a relay has news, then makes a pass: all series, each from its
 * position on.  Between passes it has no transaction open and holds no lock.
 */
#include "store/store.h"

#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "store/pass.h"

#define IDLE_MS 10000
#define RETRY_MS 500
#define SPACE_KEPT (UINT64CONST(1) << 30)

static char connected_database[NAMEDATALEN];

/*
 * Shows a state.
 */
void
writer_set_state(BoardWriterState state)
{
	atomic_store(&pgwt_board->writer.state, state);
}

/*
 * Shows a state and why; logs it when it is news.
 */
void
writer_error(BoardWriterState state, const char *message)
{
	BoardWriter *stats = &pgwt_board->writer;

	writer_set_state(state);
	if (strncmp(stats->last_error, message, BOARD_TEXT - 1) != 0)
		ereport(LOG, (errmsg("pgwire_trace writer: %s", message)));
	board_set_error(stats->last_error, &stats->last_error_at, pgwt_now(), message);
}

/*
 * Signal handler: a fatal signal.  Tells which record was in hand and dies of it.
 */
static void
on_crash(int number)
{
	BoardWriter *stats = &pgwt_board->writer;

	atomic_store(&stats->crashed_on, atomic_load(&stats->current));
	signal(number, SIG_DFL);
	raise(number);
}

/*
 * Installs the signal handlers.
 */
static void
install_signals(void)
{
	static const int fatal[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	for (size_t i = 0; i < lengthof(fatal); i++)
		signal(fatal[i], on_crash);
	BackgroundWorkerUnblockSignals();
}

/*
 * Takes the writer off the board.
 */
static void
on_exit_writer(int code, Datum arg)
{
	(void) code;
	(void) arg;
	atomic_store(&pgwt_board->writer.pid, 0);
}

/*
 * Sets what a database or role may have set to something else.
 */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {{"search_path", "pg_catalog"},
											  {"statement_timeout", "0"},
											  {"lock_timeout", "2s"},
											  {"idle_in_transaction_session_timeout", "0"},
											  {"default_transaction_read_only", "off"},
											  {"default_transaction_isolation", "read committed"},
											  {"row_security", "off"},
											  {"default_tablespace", ""},
											  {"default_table_access_method", "heap"},
											  {"check_function_bodies", "on"},
											  {"DateStyle", "ISO"},
											  {"TimeZone", "UTC"}};

	for (size_t i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Follows the settings.
 */
static void
apply_settings(void)
{
	SetConfigOption("synchronous_commit", pgwt_synchronous_commit ? "on" : "off", PGC_SUSET,
					PGC_S_OVERRIDE);
	if (strcmp(connected_database, pgwt_database) != 0)
		proc_exit(0); /* the supervisor starts one for the other database */
}

/*
 * Waits until the database exists: without a connection to one it can be looked
 * for quietly, while a failed connection is an error in the log each time.
 */
static void
wait_for_database(void)
{
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	writer_set_state(WRITER_WAITING_EXTENSION);
	for (;;)
	{
		bool exists;

		StartTransactionCommand();
		exists = OidIsValid(get_database_oid(pgwt_database, true));
		CommitTransactionCommand();
		if (exists)
		{
			writer_set_state(WRITER_STARTING);
			proc_exit(0);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RETRY_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

/*
 * Connects.  Where the database is missing this does not return, and what the
 * board says by then is why.
 */
static void
connect_database(void)
{
	BoardWriter *stats = &pgwt_board->writer;

	strlcpy(connected_database, pgwt_database, sizeof(connected_database));
	writer_set_state(WRITER_WAITING_EXTENSION);
	board_set_error(stats->last_error, &stats->last_error_at, pgwt_now(),
					psprintf("could not connect to database \"%s\"", pgwt_database));
	BackgroundWorkerInitializeConnection(connected_database, NULL, 0);
	board_set_error(stats->last_error, &stats->last_error_at, 0, "");
	writer_set_state(WRITER_STARTING);
	pin_settings();
	apply_settings();
}

/*
 * Tells whether the data directory's file system has room for rows.
 */
static bool
has_space(void)
{
	struct statvfs fs;
	uint64 kept;

	if (statvfs(DataDir, &fs) != 0)
		return true;
	kept = Min((uint64) fs.f_blocks * fs.f_frsize / 20, SPACE_KEPT);
	return (uint64) fs.f_bavail * fs.f_frsize >= kept;
}

/*
 * Tells whether a publication FOR ALL TABLES is in the database: it would
 * publish the record, and stop subscribers that lack its tables.
 */
static bool
is_published(void)
{
	bool published;

	SPI_connect();
	if (SPI_execute("SELECT FROM pg_publication WHERE puballtables LIMIT 1", true, 1) < 0)
		elog(ERROR, "could not look at publications");
	published = SPI_processed > 0;
	SPI_finish();
	return published;
}

/*
 * Makes sure that session ids can be had: above what the table holds.
 */
static void
seed_ids(bool has_tables)
{
	const char *directory = pgwt_journal_directory_resolved();
	int64 highest = 0;
	int seeded;

	if (has_tables)
	{
		char *query = psprintf("SELECT max(session_id & 281474976710655) FROM "
							   "pgwire_trace.session WHERE session_id >> 48 = %d",
							   pgwt_node_id);
		bool is_null;

		SPI_connect();
		if (SPI_execute(query, true, 1) == SPI_OK_SELECT && SPI_processed == 1)
			highest = DatumGetInt64(
				SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
		SPI_finish();
	}
	seeded = journal_seed_ids(directory, (uint32) pgwt_node_id, (uint64) highest);
	if (seeded < 0)
		writer_error(WRITER_RUNNING, psprintf("could not write the session ids in directory "
											  "\"%s\": %s",
											  directory, strerror(errno)));
	else if (seeded > 0 && highest > 0)
		ereport(LOG, (errmsg("pgwire_trace writer: the file of session ids in directory \"%s\" "
							 "was missing beside recorded sessions",
							 directory),
					  errdetail("Ids go on above " INT64_FORMAT ".", highest)));
}

/*
 * Looks whether storing makes sense now, and shows why if not.
 */
static bool
can_store(void)
{
	bool has_tables;
	bool published = false;

	if (RecoveryInProgress())
	{
		writer_set_state(WRITER_STANDBY);
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		seed_ids(OidIsValid(get_extension_oid("pgwire_trace", true)));
		PopActiveSnapshot();
		CommitTransactionCommand();
		return false;
	}
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	has_tables = OidIsValid(get_extension_oid("pgwire_trace", true));
	if (has_tables)
		published = is_published();
	seed_ids(has_tables);
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (!has_tables)
		writer_error(WRITER_WAITING_EXTENSION,
					 psprintf("extension \"pgwire_trace\" is not in database \"%s\": run CREATE "
							  "EXTENSION pgwire_trace there",
							  connected_database));
	else if (published)
		writer_error(WRITER_REFUSED,
					 psprintf("database \"%s\" has a publication FOR ALL TABLES, which would "
							  "publish the record: name its tables instead, or record into "
							  "another database",
							  connected_database));
	else if (!has_space())
		writer_error(WRITER_WAITING_DISK, "the data directory's file system is nearly full");
	else
		return true;
	return false;
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
	BoardWriter *stats = &pgwt_board->writer;
	uint64 acked = acked_flush();
	PassResult result;

	if (!can_store())
	{
		pass_measure();
		return RETRY_MS;
	}
	if (atomic_load(&stats->state) != WRITER_IDLE)
		writer_set_state(WRITER_RUNNING);
	result = pass_run();
	if (result == PASS_WAIT)
		return RETRY_MS;
	if (atomic_load(&stats->flush_acked) < acked)
		atomic_store(&stats->flush_acked, acked);
	writer_set_state(WRITER_IDLE);
	return result == PASS_AGAIN ? pgwt_flush_interval : IDLE_MS;
}

/*
 * Catches what a turn raises, so that the writer is not restarted for it.
 */
static long
work_safely(MemoryContext loop)
{
	volatile long sleep = RETRY_MS;

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
		AbortCurrentTransaction();
		MemoryContextSwitchTo(loop);
		writer_error(error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ? WRITER_WAITING_LOCK
																	 : WRITER_RUNNING,
					 error->message);
	}
	PG_END_TRY();
	return sleep;
}

/*
 * Runs the writer.  The argument says that the one before found no database.
 */
void
pgwire_trace_writer_main(Datum arg)
{
	MemoryContext loop;

	install_signals();
	on_proc_exit(on_exit_writer, (Datum) 0);
	atomic_store(&pgwt_board->writer.pid, (uint32) MyProcPid);
	if (DatumGetBool(arg))
		wait_for_database();
	connect_database();
	pgstat_report_activity(STATE_IDLE, NULL);
	loop = AllocSetContextCreate(TopMemoryContext, "pgwire_trace writer", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		long sleep;

		MemoryContextSwitchTo(loop);
		MemoryContextReset(loop);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			apply_settings();
		}
		sleep = work_safely(loop);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, sleep,
						 PG_WAIT_EXTENSION);
	}
}
