/*
 * replay.c
 *	  SQL functions that start, steer and watch replays.
 *
 * The caller's transaction has no part in a run: the worker records and commits it
 * by itself.  What is asked while it runs is asked of the board, so a snapshot of
 * the caller's does not matter.
 */
#include "api/replay_options.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define STEP_MS 20

PG_FUNCTION_INFO_V1(pgwire_trace_replay_start);
PG_FUNCTION_INFO_V1(pgwire_trace_replay_restart);
PG_FUNCTION_INFO_V1(pgwire_trace_replay_plan);
PG_FUNCTION_INFO_V1(pgwire_trace_replay_wait);
PG_FUNCTION_INFO_V1(pgwire_trace_replay_steer);
PG_FUNCTION_INFO_V1(pgwire_trace_replay_slots);

/*
 * Waits a little.
 */
static void
wait_step(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STEP_MS,
	                 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Raises 42501 unless the caller may read what is replayed: a target could be his own.
 */
static void
require_reading(void)
{
	bool may_read;
	bool sees_less;
	bool is_null;

	SPI_connect();
	if (SPI_execute("SELECT pg_catalog.has_table_privilege('pgwire_trace.session', 'SELECT')"
	                " AND pg_catalog.has_table_privilege('pgwire_trace.exchange', 'SELECT'),"
	                " pg_catalog.row_security_active('pgwire_trace.session')"
	                " OR pg_catalog.row_security_active('pgwire_trace.exchange')"
	                " OR pg_catalog.row_security_active('pgwire_trace.stored_exchange')",
	                true, 1) != SPI_OK_SELECT ||
	    SPI_processed != 1)
		elog(ERROR, "SPI_execute failed");
	may_read =
	    DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
	sees_less =
	    DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &is_null));
	SPI_finish();
	if (!may_read)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("permission denied to replay the record"),
		                errdetail("It takes SELECT on the tables \"session\" and \"exchange\".")));
	if (sees_less)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("permission denied to replay the record"),
		                errdetail("Row security hides a part of it from you, and a replay sends "
		                          "whatever it finds.")));
}

/*
 * Returns the number of a new run.  The sequence is nobody's but the extension's, so
 * it is advanced as the superuser; an error gives the caller's rights back.
 */
static int64
next_run_id(void)
{
	Oid caller;
	int context;
	int64 run_id;
	bool is_null;

	GetUserIdAndSecContext(&caller, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (SPI_execute("SELECT pg_catalog.nextval('pgwire_trace.replay_run_id')", false, 1) !=
	        SPI_OK_SELECT ||
	    SPI_processed != 1)
		elog(ERROR, "SPI_execute failed");
	run_id =
	    DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
	SPI_finish();
	SetUserIdAndSecContext(caller, context);
	return run_id;
}

/*
 * Registers the worker.
 */
static BackgroundWorkerHandle *
register_worker(dsm_segment *segment)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	memset(&worker, 0, sizeof(worker));
	strlcpy(worker.bgw_name, "pgwire_trace replay", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pgwire_trace replay", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pgwire_trace", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pgwire_trace_replay_main", BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		                errmsg("no background worker is free for the replay"),
		                errhint("Raise \"max_worker_processes\".")));
	return handle;
}

/*
 * Finds a run, and whether the caller started it; by the newest snapshot, whatever the
 * caller's is.
 */
static bool
find_run(int64 run_id, bool *is_own)
{
	Oid types[2] = {INT8OID, OIDOID};
	Datum values[2] = {Int64GetDatum(run_id), ObjectIdGetDatum(GetUserId())};
	Oid caller;
	int context;
	bool found;
	bool is_null;

	GetUserIdAndSecContext(&caller, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_execute_with_args("SELECT started_by OPERATOR(pg_catalog.=)"
	                          " $2::pg_catalog.regrole::pg_catalog.text"
	                          " FROM pgwire_trace.replay_run_state"
	                          " WHERE run_id OPERATOR(pg_catalog.=) $1",
	                          2, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	found = SPI_processed > 0;
	if (found)
		*is_own =
		    DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
	PopActiveSnapshot();
	SPI_finish();
	SetUserIdAndSecContext(caller, context);
	return found;
}

/*
 * Raises 42704 unless there is such a run.  Returns whether the caller started it.
 */
static bool
require_run(int64 run_id)
{
	bool is_own;

	if (!find_run(run_id, &is_own))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("there is no replay %lld", (long long) run_id)));
	return is_own;
}

/*
 * Waits until the worker has recorded the run.
 */
static void
wait_recorded(BackgroundWorkerHandle *handle, const ReplayRequest *request)
{
	BoardReplay *slot = replay_slot(request->slot);
	bool is_own;
	pid_t pid;

	for (;;)
	{
		BgwHandleStatus status = GetBackgroundWorkerPid(handle, &pid);

		if (atomic_load(&slot->run_id) == request->run_id &&
		    atomic_load(&slot->state) != REPLAY_STARTING)
			return;
		if (status == BGWH_STOPPED)
		{
			if (find_run(request->run_id, &is_own))
				return; /* it is over already */
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			                errmsg("the replay's worker could not start"),
			                errhint("See the server log.")));
		}
		wait_step();
	}
}

/*
 * Raises 25006 on a standby, where nothing can be recorded.
 */
static void
refuse_in_recovery(void)
{
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
		                errmsg("a replay cannot run on a standby"),
		                errdetail("What comes of it is written to tables."),
		                errhint("Start it on the primary; a standby can be the target.")));
}

/*
 * Starts the worker of a run, and waits until it has recorded that.
 */
static void
launch(ReplayRequest *request)
{
	BackgroundWorkerHandle *handle;
	dsm_segment *segment;

	request->slot = replay_slot_claim(request->run_id);
	/* PG_TRY: the slot is nobody's until the worker has it, which its token tells */
	PG_TRY();
	{
		segment = dsm_create(request->size, 0);
		memcpy(dsm_segment_address(segment), request, request->size);
		handle = register_worker(segment);
		wait_recorded(handle, request);
		dsm_detach(segment);
	}
	PG_CATCH();
	{
		if (atomic_load(&replay_slot(request->slot)->token[0]) == 0)
			replay_slot_release(request->slot, request->run_id);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/*
 * Starts a run; see its comment in SQL.
 */
Datum
pgwire_trace_replay_start(PG_FUNCTION_ARGS)
{
	ReplayRequest *request = replay_request_make(fcinfo);

	pgwt_require_preloaded();
	refuse_in_recovery();
	require_reading();
	(void) replay_target_open(request); /* what it refuses is refused here */
	replay_check_sessions(request);
	SPI_connect();
	replay_require_digests(request);
	SPI_finish();
	request->run_id = next_run_id();
	launch(request);
	PG_RETURN_INT64(request->run_id);
}

/*
 * Lets an aborted run go on: (as replay_start(), run_id, whether the target is what the
 * run's row has).  A target that another chose must be said: it gets what the caller may
 * log in with.
 */
Datum
pgwire_trace_replay_restart(PG_FUNCTION_ARGS)
{
	ReplayRequest *request = replay_request_make(fcinfo);

	pgwt_require_preloaded();
	refuse_in_recovery();
	require_reading();
	request->run_id = PG_GETARG_INT64(10);
	if (!require_run(request->run_id) && PG_GETARG_BOOL(11))
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("replay %lld was started by another role", (long long) request->run_id),
		         errhint("Say its target: pgwire_trace.replay_resume(run_id, target).")));
	(void) replay_target_open(request);
	request->resumes = true;
	launch(request);
	PG_RETURN_BOOL(true);
}

/*
 * Puts a row of replay_plan().
 */
static void
put_plan_row(ReturnSetInfo *result, const char *item, const char *reason, int64 sessions,
             int64 exchanges)
{
	Datum values[4] = {CStringGetTextDatum(item), (Datum) 0, Int64GetDatum(sessions),
	                   Int64GetDatum(exchanges)};
	bool nulls[4] = {false, reason == NULL, sessions < 0, exchanges < 0};

	if (reason)
		values[1] = CStringGetTextDatum(reason);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Says what a run would come to.
 */
Datum
pgwire_trace_replay_plan(PG_FUNCTION_ARGS)
{
	ReplayRequest *request = replay_request_make(fcinfo);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller = CurrentMemoryContext;
	PlanSummary summary;
	ListCell *cell;

	replay_check_sessions(request);
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	MemoryContextSwitchTo(caller); /* what the plan says outlives SPI */
	replay_plan_build(request, NULL, &summary, NULL, NULL);
	SPI_finish();
	put_plan_row(result, "captured", NULL, summary.sessions, summary.captured);
	put_plan_row(result, "to send", NULL, summary.sessions - summary.sessions_skipped,
	             summary.captured - summary.filtered - summary.skipped);
	foreach (cell, summary.reasons)
	{
		const PlanReason *reason = lfirst(cell);

		put_plan_row(result, reason->outcome == PLAN_FILTERED ? "filtered" : "skipped",
		             reason->reason, reason->sessions, reason->exchanges);
	}
	put_plan_row(result, "peak sessions", NULL, summary.peak, -1);
	put_plan_row(result, "duration", psprintf("%.3f s", (double) summary.duration_us / 1e6), -1,
	             -1);
	if (summary.noisy > 0)
		put_plan_row(result, "with noise rules", NULL, -1, summary.noisy);
	put_plan_row(result, "results without a digest", NULL, -1, summary.missing_digests);
	return (Datum) 0;
}

/*
 * Waits until a run has ended.
 */
Datum
pgwire_trace_replay_wait(PG_FUNCTION_ARGS)
{
	TimestampTz end = DT_NOEND;

	pgwt_require_preloaded();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(1))
		end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
		                                              TimestampTzGetDatum(GetCurrentTimestamp()),
		                                              PG_GETARG_DATUM(1)));
	while (replay_slot_find(PG_GETARG_INT64(0)) >= 0)
	{
		if (GetCurrentTimestamp() >= end)
			PG_RETURN_BOOL(false);
		wait_step();
	}
	require_run(PG_GETARG_INT64(0));
	PG_RETURN_BOOL(true);
}

/*
 * Wakes a run's worker.
 */
static void
wake(const BoardReplay *slot)
{
	PGPROC *proc = BackendPidGetProc((pid_t) atomic_load(&slot->pid));

	if (proc)
		SetLatch(&proc->procLatch);
}

/*
 * Tells a run to pause, resume, end, or change its speed: (run_id, command, speed).
 * False: it has ended already.
 */
Datum
pgwire_trace_replay_steer(PG_FUNCTION_ARGS)
{
	int64 run_id = PG_GETARG_INT64(0);
	char *command = text_to_cstring(PG_GETARG_TEXT_PP(1));
	double speed = PG_GETARG_FLOAT8(2);
	BoardReplay *slot;
	uint64 bits;
	int slot_no;

	pgwt_require_preloaded();
	if (strcmp(command, "speed") == 0 && !(speed >= 0.001 && speed <= 1e6))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for argument \"speed\": %g", speed),
		                errdetail("The speed must be from 0.001 to 1000000.")));
	slot_no = replay_slot_find(run_id);
	if (slot_no < 0)
	{
		require_run(run_id);
		PG_RETURN_BOOL(false);
	}
	slot = replay_slot(slot_no);
	memcpy(&bits, &speed, sizeof(bits));
	if (strcmp(command, "cancel") == 0)
		atomic_fetch_or(&slot->command, REPLAY_CANCEL);
	else if (strcmp(command, "pause") == 0)
		atomic_fetch_or(&slot->command, REPLAY_PAUSE);
	else if (strcmp(command, "resume") == 0)
		atomic_fetch_and(&slot->command, ~REPLAY_PAUSE);
	else if (strcmp(command, "speed") == 0)
		atomic_store(&slot->new_speed, bits);
	wake(slot);
	PG_RETURN_BOOL(true);
}

/*
 * Lists the runs that run, as the board has them.
 */
Datum
pgwire_trace_replay_slots(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; pgwt_board && i < BOARD_MAX_REPLAYS; i++)
	{
		BoardReplay *slot = replay_slot(i);
		int64 run_id = atomic_load(&slot->run_id);
		bool nulls[8] = {false};
		Datum values[8];

		if (run_id == 0 || replay_slot_find(run_id) != i)
			continue;
		values[0] = Int64GetDatum(run_id);
		values[1] = Int32GetDatum((int32) atomic_load(&slot->pid));
		values[2] = Int64GetDatum((int64) atomic_load(&slot->sent));
		values[3] = Int32GetDatum((int32) atomic_load(&slot->sessions_live));
		values[4] = Int32GetDatum((int32) atomic_load(&slot->sessions_ended));
		values[5] = Float8GetDatum((double) atomic_load(&slot->late_us) / 1000.0);
		values[6] = Float8GetDatum((double) atomic_load(&slot->target_late_us) / 1000.0);
		values[7] = Int64GetDatum((int64) atomic_load(&slot->order_timeouts));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
