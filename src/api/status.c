/*
 * status.c
 *	  flush(), current_session_id() and what stat_relay and stat_writer show.
 */
#include "postgres.h"

#include <signal.h>

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "server/server.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define STEP_MS 10

PG_FUNCTION_INFO_V1(pgwire_trace_check_install);
PG_FUNCTION_INFO_V1(pgwire_trace_flush);
PG_FUNCTION_INFO_V1(pgwire_trace_current_session_id);
PG_FUNCTION_INFO_V1(pgwire_trace_stat_relay);
PG_FUNCTION_INFO_V1(pgwire_trace_stat_writer);

/*
 * check_install(): called once by CREATE EXTENSION.
 */
Datum
pgwire_trace_check_install(PG_FUNCTION_ARGS)
{
	char *here = get_database_name(MyDatabaseId);

	pgwt_require_preloaded();
	if (strcmp(here, pgwt_database) != 0)
		ereport(NOTICE,
				(errmsg("nothing will be recorded in database \"%s\": \"pgwire_trace.database\" "
						"is \"%s\"",
						here, pgwt_database),
				 errhint("Set pgwire_trace.database = '%s' and reload the configuration, or create "
						 "the extension in database \"%s\".",
						 here, pgwt_database)));
	PG_RETURN_VOID();
}

/*
 * Returns the name of a writer's state.
 */
static const char *
state_name(uint32 state)
{
	static const char *const names[] = {
		[WRITER_NOT_STARTED] = "starting",
		[WRITER_STARTING] = "starting",
		[WRITER_RUNNING] = "running",
		[WRITER_IDLE] = "idle",
		[WRITER_WAITING_LOCK] = "waiting_lock",
		[WRITER_WAITING_EXTENSION] = "waiting_extension",
		[WRITER_WAITING_DISK] = "waiting_disk",
		[WRITER_STANDBY] = "standby",
		[WRITER_REFUSED] = "refused",
		[WRITER_PAUSED] = "paused",
	};

	return state < lengthof(names) ? names[state] : "unknown";
}

/*
 * Copies a text of the board, which another process may be writing.
 */
static char *
board_text(const char *from)
{
	char text[BOARD_TEXT];

	memcpy(text, from, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	return pstrdup(text);
}

/*
 * Raises 55000 where nothing can be stored.
 */
static void
check_can_store(void)
{
	const BoardWriter *writer = &pgwt_board->writer;
	uint32 state = atomic_load(&writer->state);

	if (state == WRITER_WAITING_EXTENSION || state == WRITER_REFUSED || state == WRITER_STANDBY)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recorded exchanges can't be stored now: the writer's state is \"%s\"",
						state_name(state)),
				 state == WRITER_STANDBY
					 ? errdetail("The server is a standby; they are stored after promotion.")
					 : errdetail_internal("%s", board_text(writer->last_error))));
}

/*
 * Wakes all relays.
 */
static void
wake_relays(void)
{
	for (uint32 i = 0; i < pgwt_board->relay_count; i++)
	{
		pid_t pid = (pid_t) atomic_load(&pgwt_board->relays[i].pid);

		if (pid != 0 && atomic_load(&pgwt_board->relays[i].ready))
			kill(pid, SIGUSR1);
	}
}

/*
 * Tells whether all relays have acted upon a request.
 */
static bool
relays_acked(uint64 request)
{
	for (uint32 i = 0; i < pgwt_board->relay_count; i++)
		if (atomic_load(&pgwt_board->relays[i].pid) != 0 &&
			atomic_load(&pgwt_board->relays[i].flush_acked) < request)
			return false;
	return true;
}

/*
 * Wakes the writer.
 */
static void
wake_writer(void)
{
	pid_t pid = (pid_t) atomic_load(&pgwt_board->writer.pid);
	PGPROC *proc = pid ? BackendPidGetProc(pid) : NULL;

	if (proc)
		SetLatch(&proc->procLatch);
}

/*
 * flush(timeout)
 */
Datum
pgwire_trace_flush(PG_FUNCTION_ARGS)
{
	Interval *timeout = PG_GETARG_INTERVAL_P(0);
	TimestampTz until;
	uint64 request;
	bool woken = false;

	pgwt_require_preloaded();
	check_can_store();
	until = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													TimestampTzGetDatum(GetCurrentTimestamp()),
													IntervalPGetDatum(timeout)));
	request = atomic_fetch_add(&pgwt_board->flush_requested, 1) + 1;
	wake_relays();
	while (atomic_load(&pgwt_board->writer.flush_acked) < request)
	{
		if (!woken && relays_acked(request))
		{
			wake_writer();
			woken = true;
		}
		if (GetCurrentTimestamp() >= until)
		{
			check_can_store();
			PG_RETURN_BOOL(false);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STEP_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_BOOL(true);
}

/*
 * current_session_id()
 */
Datum
pgwire_trace_current_session_id(PG_FUNCTION_ARGS)
{
	uint64 session_id = pgwt_my_slot ? atomic_load(&pgwt_my_slot->session_id) : 0;

	if (session_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) session_id);
}

/*
 * Fills in a time, NULL for none.
 */
static void
put_time(Datum *value, bool *is_null, const BoardI64 *time)
{
	int64 at = atomic_load(time);

	*value = TimestampTzGetDatum(at);
	*is_null = at == 0;
}

/*
 * Fills in a text, NULL for none.
 */
static void
put_text(Datum *value, bool *is_null, const char *from)
{
	char *text = board_text(from);

	*value = CStringGetTextDatum(text);
	*is_null = text[0] == '\0';
}

/*
 * stat_relay(): a row a relay.
 */
Datum
pgwire_trace_stat_relay(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	pgwt_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	for (uint32 i = 0; i < pgwt_board->relay_count; i++)
	{
		const BoardRelay *relay = &pgwt_board->relays[i];
		const BoardU64 *counters[] = {&relay->sessions_open,
									  &relay->sessions_total,
									  &relay->sessions_refused,
									  &relay->sessions_filtered,
									  &relay->sessions_sampled_out,
									  &relay->startups_failed,
									  &relay->exchanges_finished,
									  &relay->exchanges_journalled,
									  &relay->exchanges_dropped_journal_full,
									  &relay->exchanges_dropped_disk_full,
									  &relay->exchanges_lost_in_crash,
									  &relay->exchanges_paused,
									  &relay->exchanges_too_short,
									  &relay->sessions_desynchronised,
									  &relay->bytes_from_client,
									  &relay->bytes_to_client,
									  &relay->bytes_allocated};
		Datum values[lengthof(counters) + 6];
		bool nulls[lengthof(counters) + 6] = {false};
		uint32 pid = atomic_load(&relay->pid);
		int n = 0;

		values[n++] = Int32GetDatum((int32) i);
		nulls[n] = pid == 0;
		values[n++] = Int32GetDatum((int32) pid);
		put_time(&values[n], &nulls[n], &relay->started_at);
		n++;
		values[n++] = Int64GetDatum((int64) board_get(&relay->restarts));
		for (size_t c = 0; c < lengthof(counters); c++)
			values[n++] = Int64GetDatum((int64) board_get(counters[c]));
		put_text(&values[n], &nulls[n], relay->last_error);
		n++;
		put_time(&values[n], &nulls[n], &relay->last_error_at);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * stat_writer(): one row.
 */
Datum
pgwire_trace_stat_writer(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const BoardWriter *writer;
	Datum values[8];
	bool nulls[8] = {false};
	uint32 pid;
	int64 oldest;
	Interval *lag = palloc0(sizeof(Interval));

	pgwt_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	writer = &pgwt_board->writer;
	pid = atomic_load(&writer->pid);
	oldest = atomic_load(&writer->oldest_waiting_at);
	lag->time = oldest == 0 ? 0 : Max(GetCurrentTimestamp() - oldest, 0);

	values[0] = Int32GetDatum((int32) pid);
	nulls[0] = pid == 0;
	values[1] = CStringGetTextDatum(state_name(atomic_load(&writer->state)));
	values[2] = Int64GetDatum((int64) board_get(&writer->rows_stored));
	values[3] = Int64GetDatum((int64) board_get(&writer->journal_bytes_waiting));
	values[4] = IntervalPGetDatum(lag);
	values[5] = Int64GetDatum((int64) board_get(&writer->exchanges_quarantined));
	put_text(&values[6], &nulls[6], writer->last_error);
	put_time(&values[7], &nulls[7], &writer->last_error_at);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}
