/*
 * worker.c
 *	  A replay's worker: records the run, plans it, starts the children, stores what they
 *	  say.
 *
 * It is a dynamic background worker that the postmaster does not restart.  Between
 * batches it has no transaction open.  When it ends before the run has, its children
 * go with it and the run counts as aborted: nothing says so but that no worker is
 * there, so nothing can forget to.
 */
#include "replay/expect.h"
#include "replay/worker.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "journal/clock.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define WAIT_MS 100
#define MAX_NOTES 100 /* that are logged, a run */

/* How a run ends. */
typedef enum RunEnd
{
	RUN_GOES_ON,
	RUN_FINISHED,
	RUN_CANCELLED,
	RUN_ABORTED
} RunEnd;

typedef struct Run
{
	ReplayRequest *request;
	BoardReplay *slot;
	PlanSummary summary;
	ReplayStore *store;
	ReplayPlan plan; /* as the children have it */
	Expect expect;
	MemoryContext loop;
	RunEnd end;
	char *message;       /* why it was aborted */
	double plan_seconds; /* of processor time */
	uint64 sessions;     /* in the plan */
	uint64 exchanges;
	int64 notes;    /* of the children */
	bool is_mapped; /* the children have the plan */
	bool is_paused;
	bool is_cancelled;
} Run;

static Run run;

/*
 * Removes the file that says which sessions have begun: nobody resumes this run.
 */
static void
forget_begun(void)
{
	char path[PLAN_PATH_SIZE + 16];

	snprintf(path, sizeof(path), "%s" PLAN_BEGUN, run.request->settings.plan_path);
	unlink(path);
}

/*
 * Gives the slot back, and removes the plan.
 */
static void
on_exit_replay(int code, Datum arg)
{
	(void) code;
	(void) arg;
	plan_remove(run.request->settings.plan_path);
	if (run.end == RUN_FINISHED || run.end == RUN_CANCELLED)
		forget_begun();
	replay_children_kill();
	replay_slot_release(run.request->slot, run.request->run_id);
}

/*
 * Begins a transaction that SPI can be used in, for all tables or the runs' alone.
 */
static void
begin(bool all)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	replay_guard_tables(all);
}

/*
 * Commits it.
 */
static void
commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(run.loop);
}

/*
 * Takes what the plan says of a session, or of an exchange that is not sent.
 */
static void
take_planned(void *arg, int64 session_id, int64 exchange_no, PlanOutcome outcome,
             const char *reason, int64 captured, int64 filtered, int64 skipped)
{
	static SPIPlanPtr plan;
	Oid types[7] = {INT8OID, INT8OID, TEXTOID, INT8OID, INT8OID, INT8OID, TEXTOID};
	Datum values[7] = {Int64GetDatum(run.request->run_id),
	                   Int64GetDatum(session_id),
	                   CStringGetTextDatum(outcome == PLAN_SEND ? "planned" : "skipped"),
	                   Int64GetDatum(captured),
	                   Int64GetDatum(filtered),
	                   Int64GetDatum(skipped),
	                   (Datum) 0};

	(void) arg;
	if (run.request->resumes)
	{
		if (exchange_no < 0 && outcome != PLAN_SEND)
			replay_resume_without(run.request->run_id, session_id, reason);
		return; /* the rest is known from before */
	}
	if (exchange_no >= 0)
	{
		replay_store_unsent(run.store, session_id, exchange_no, outcome, reason);
		return;
	}
	if (!plan)
	{
		plan = SPI_prepare("INSERT INTO pgwire_trace.replay_run_session (run_id, session_id, state,"
		                   " captured, filtered, skipped, sent, reason)"
		                   " VALUES ($1, $2, $3, $4, $5, $6, 0, $7)",
		                   7, types);
		if (!plan || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	}
	if (reason)
		values[6] = CStringGetTextDatum(reason);
	if (SPI_execute_plan(plan, values, reason ? "       " : "      n", false, 0) < 0)
		elog(ERROR, "SPI_execute_plan failed");
}

/*
 * Says where the plan's files are.
 */
static void
name_plan(void)
{
	char directory[MAXPGPATH];
	struct stat status;

	snprintf(directory, sizeof(directory), "%s/pgwire_trace/pgsql_tmp_replay", DataDir);
	if (stat(directory, &status) != 0 && mkdir(directory, S_IRWXU) != 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not create directory \"%s\": %m", directory)));
	snprintf(run.request->settings.plan_path, PLAN_PATH_SIZE, "%.800s/%u.%lld", directory,
	         MyDatabaseId, (long long) run.request->run_id);
}

/*
 * Finds out what the child must know of this server: when it started, and the key of
 * its digests.
 */
static void
learn_own(void)
{
	ReplaySettings *settings = &run.request->settings;
	char path[MAXPGPATH + 16];
	char *started;
	int fd;

	if (SPI_execute("SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time())"
	                "::pg_catalog.text",
	                true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed");
	started = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	strlcpy(settings->own_start, started, sizeof(settings->own_start));
	snprintf(path, sizeof(path), "%s/digest_key", pgwt_journal_directory_resolved());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, &settings->digest_seed, sizeof(settings->digest_seed)) !=
	                   (ssize_t) sizeof(settings->digest_seed))
		settings->digest_seed = 0;
	if (fd >= 0)
		close(fd);
}

/*
 * Plans the run.
 */
static void
plan(void)
{
	ReplaySettings *settings = &run.request->settings;
	PlanWriter writer;
	MemoryContext before;

	begin(true);
	learn_own();
	if (!plan_create(&writer, settings->plan_path))
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not create the plan of the replay at \"%s\": %m",
		                       settings->plan_path)));
	before = MemoryContextSwitchTo(TopMemoryContext);
	replay_plan_build(run.request, &writer, &run.summary, take_planned, NULL);
	MemoryContextSwitchTo(before);
	replay_refuse_missing(run.request, &run.summary);
	if (!plan_finish(&writer))
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not write the plan of the replay to \"%s\": %m",
		                       settings->plan_path)));
	run.sessions = writer.session_count;
	run.exchanges = writer.exchange_count;
	if (!plan_open(&run.plan, settings->plan_path) || !expect_begin(&run.expect, &run.plan))
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("could not read the plan of the replay at \"%s\": %m",
		                       settings->plan_path)));
	if (!run.request->resumes)
		replay_record_plan(run.request->run_id, &run.summary);
	replay_store_write(run.store);
	replay_record_state(run.request->run_id, "running", NULL);
	ForceSyncCommit(); /* a run that has sessions without rows would be planned, and run, anew */
	commit();
	if (settings->max_sessions == 0)
		settings->max_sessions =
		    settings->timing == TIMING_ASAP ? (uint32) Max(run.summary.peak, 1) : UINT32_MAX;
}

/*
 * Starts the children, and tells them what to do.
 */
static void
start_children(void)
{
	ReplaySettings *settings = &run.request->settings;
	int64 zero;
	ListCell *cell;

	replay_children_start(settings, run.sessions, run.exchanges);
	foreach (cell, run.summary.conninfos)
		replay_children_tell(LINK_CONNINFO, lfirst(cell), strlen(lfirst(cell)));
	foreach (cell, run.summary.types)
		replay_children_tell(LINK_TYPES, ((StringInfo) lfirst(cell))->data,
		                     (Size) ((StringInfo) lfirst(cell))->len);
	zero = clock_monotonic();
	replay_children_tell(LINK_GO, &zero, sizeof(zero));
	atomic_store(&run.slot->state, REPLAY_RUNNING);
}

/*
 * Shows on the board how far the children are.
 */
static void
show_progress(const LinkProgress *progress)
{
	atomic_store(&run.slot->sent, progress->sent);
	atomic_store(&run.slot->sessions_live, progress->sessions_live);
	atomic_store(&run.slot->sessions_ended, progress->sessions_ended);
	atomic_store(&run.slot->late_us, progress->late_us);
	atomic_store(&run.slot->target_late_us, progress->target_late_us);
	atomic_store(&run.slot->order_timeouts, progress->order_timeouts);
}

/*
 * Ends the run.
 */
static void
abort_run(const char *message)
{
	run.end = RUN_ABORTED;
	run.message = MemoryContextStrdup(TopMemoryContext, message);
}

/*
 * Logs what a child has noted; of a run that has a lot to note, not all.
 */
static void
log_note(const char *data, Size size)
{
	if (run.notes++ < MAX_NOTES)
		ereport(LOG, (errmsg("pgwire_trace replay %lld: %s", (long long) run.request->run_id,
		                     replay_safe_text(data, size))));
}

/*
 * Takes a record of a child's.
 */
static void
take_record(LinkKind kind, const char *data, Size size)
{
	const char *wrong = expect_record(&run.expect, kind, data, size);

	if (wrong && run.end == RUN_GOES_ON)
		abort_run(psprintf("the replay's network process reported %s", wrong));
	if (wrong)
		return;
	switch (kind)
	{
		case LINK_EXCHANGE:
		case LINK_DIFFERENCE:
		case LINK_SESSION:
			replay_store_record(run.store, kind, data, size);
			break;
		case LINK_NOTE:
			log_note(data, size);
			break;
		case LINK_REFUSED:
			if (run.end == RUN_GOES_ON)
				abort_run(replay_safe_text(data, size));
			break;
		default:
			break;
	}
}

/*
 * Reads what the children have sent, a bounded amount, and sees how they are.
 */
static void
read_children(void)
{
	LinkProgress progress;
	const char *failure;

	replay_children_read(take_record);
	replay_children_progress(&progress);
	show_progress(&progress);
	if (run.end != RUN_GOES_ON)
		return;
	failure = replay_children_failure();
	if (failure)
		abort_run(failure);
	else if (replay_children_are_done() && run.is_cancelled)
		run.end = RUN_CANCELLED;
	else if (replay_children_are_done() && expect_no_more(&run.expect))
		run.end = RUN_FINISHED;
	else if (replay_children_are_done())
		abort_run("the replay's network process ended before all sessions had");
	if (!run.is_mapped && replay_children_have_plan())
	{
		run.is_mapped = true;
		plan_remove(run.request->settings.plan_path);
	}
}

/*
 * Passes on to the children what the board says.
 */
static void
follow_commands(void)
{
	uint32 command = atomic_load(&run.slot->command);
	bool paused = (command & REPLAY_PAUSE) != 0;
	uint64 bits = atomic_exchange(&run.slot->new_speed, 0);
	LinkPace pace = {.at = clock_monotonic(), .is_paused = paused};

	if (bits != 0)
		memcpy(&run.request->settings.speed, &bits, sizeof(bits));
	pace.speed = run.request->settings.speed;
	if (bits != 0 || paused != run.is_paused)
		replay_children_tell(LINK_PACE, &pace, sizeof(pace));
	if (paused != run.is_paused)
	{
		run.is_paused = paused;
		begin(true);
		replay_record_state(run.request->run_id, paused ? "paused" : "running", NULL);
		commit();
		atomic_store(&run.slot->state, paused ? REPLAY_PAUSED : REPLAY_RUNNING);
	}
	if ((command & REPLAY_CANCEL) && !run.is_cancelled)
	{
		run.is_cancelled = true;
		replay_children_tell(LINK_CANCEL, NULL, 0);
	}
}

/*
 * Stores what waits.
 */
static void
store(void)
{
	begin(true);
	replay_store_write(run.store);
	commit();
	pgstat_report_stat(false);
}

/*
 * Runs until the child is done, or gone.
 */
static void
loop(void)
{
	while (run.end == RUN_GOES_ON)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		follow_commands();
		read_children();
		if (replay_store_is_due(run.store))
			store();
		MemoryContextReset(run.loop);
		if (run.end != RUN_GOES_ON)
			break;
		replay_children_wait(WAIT_MS);
	}
}

/*
 * Makes the token that leaves the run's sessions out of this server's record, should
 * they come through its side port.
 */
static void
make_token(void)
{
	uint8 token[BOARD_TOKEN];
	uint64 words[2];

	if (!pg_strong_random(token, sizeof(token)))
		ereport(ERROR,
		        (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random token")));
	hex_encode((char *) token, sizeof(token), run.request->token);
	run.request->token[2 * BOARD_TOKEN] = '\0';
	memcpy(words, token, sizeof(words));
	atomic_store(&run.slot->token[1], words[1]);
	atomic_store(&run.slot->token[0], words[0]);
}

/*
 * Takes the request out of the segment that the caller made.
 */
static void
take_request(dsm_handle handle)
{
	dsm_segment *segment;
	const ReplayRequest *shared;

	CurrentResourceOwner = ResourceOwnerCreate(NULL, "pgwire_trace replay");
	segment = dsm_attach(handle);
	if (!segment)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("the caller of replay_start() is gone")));
	shared = dsm_segment_address(segment);
	run.request = MemoryContextAlloc(TopMemoryContext, shared->size);
	memcpy(run.request, shared, shared->size);
	dsm_detach(segment);
	run.slot = replay_slot(run.request->slot);
	before_shmem_exit(on_exit_replay, (Datum) 0);
	make_token();
}

/*
 * Returns the processor time that a process, or its ended children, took.
 */
static double
processor_seconds(int whose)
{
	struct rusage usage;

	getrusage(whose, &usage);
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/*
 * Writes the run's end, and logs what it took.
 */
static void
finish_run(void)
{
	static const char *const states[] = {"", "finished", "cancelled", "aborted"};

	begin(true);
	replay_store_write(run.store);
	if (run.end == RUN_ABORTED)
		replay_resume_cut(run.request);
	replay_record_timeouts(run.request->run_id,
	                       (int64) atomic_exchange(&run.slot->order_timeouts, 0));
	replay_record_state(run.request->run_id, states[run.end], run.message);
	ForceSyncCommit();
	commit();
	if (run.notes > MAX_NOTES)
		ereport(LOG, (errmsg("pgwire_trace replay %lld: %lld notes more were not logged",
		                     (long long) run.request->run_id, (long long) run.notes - MAX_NOTES)));
	ereport(LOG, (errmsg("pgwire_trace replay %lld: %s%s%s", (long long) run.request->run_id,
	                     states[run.end], run.message ? ": " : "", run.message ? run.message : ""),
	              errdetail("Processor time: network %.3f s, plan %.3f s, storing %.3f s.",
	                        processor_seconds(RUSAGE_CHILDREN), run.plan_seconds,
	                        processor_seconds(RUSAGE_SELF) - run.plan_seconds)));
}

/*
 * Plans and runs, once the run's row is there.
 */
static void
plan_and_run(void)
{
	plan();
	run.plan_seconds = processor_seconds(RUSAGE_SELF);
	start_children();
	loop();
	replay_children_end(run.end == RUN_ABORTED);
}

/*
 * Records that the run begins, or goes on.
 */
static void
record(void)
{
	bool resumes = run.request->resumes;

	begin(resumes);
	if (resumes)
		run.request = replay_resume_request(run.request);
	else
		replay_record_run(run.request);
	commit();
	if (resumes)
		forget_begun(); /* the rows say it now, on disk */
}

/*
 * Runs a replay.
 */
void
pgwire_trace_replay_main(Datum arg)
{
	MemoryContext before;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	unsetenv("PGUSER"); /* the target's default user is the server's, not its environment's */
	take_request(DatumGetUInt32(arg));
	BackgroundWorkerInitializeConnectionByOid(run.request->database, InvalidOid, 0);
	/* not before: others would not find it among the server's processes, and take the slot */
	atomic_store(&run.slot->pid, (uint32) MyProcPid);
	replay_guard_settings();
	run.loop = AllocSetContextCreate(TopMemoryContext, "replay", ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(TopMemoryContext);
	run.store = replay_store_begin(run.request->run_id);
	MemoryContextSwitchTo(before);
	name_plan();
	record();
	atomic_store(&run.slot->state, REPLAY_RECORDED);
	pgstat_report_activity(STATE_RUNNING, "replay");
	/* PG_TRY: the run's row must say why it ended */
	PG_TRY();
	{
		plan_and_run();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
			PG_RE_THROW();
		EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		replay_children_end(true);
		run.end = RUN_ABORTED;
		run.message = error->message;
		run.store = replay_store_begin(run.request->run_id);
	}
	PG_END_TRY();
	finish_run();
	proc_exit(0);
}
