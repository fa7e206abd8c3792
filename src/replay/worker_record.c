/*
 * worker_record.c
 *	  A run's row: that it began, what its plan came to, how it stands.
 */
#include "replay/worker.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/*
 * Runs a command with the run's id as $1 and texts after it.
 */
static void
execute(const char *sql, int count, Oid *types, Datum *values, const char *nulls)
{
	if (SPI_execute_with_args(sql, count, types, values, nulls, false, 0) < 0)
		elog(ERROR, "SPI_execute_with_args failed");
}

/*
 * Returns the sessions that a request names, as an array.
 */
Datum
replay_request_sessions(const ReplayRequest *request)
{
	int count = Max(request->session_count, 0);
	Datum *ids = palloc((Size) (count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
	{
		int64 id;

		memcpy(&id, request->data + request->sessions_at + (Size) i * sizeof(int64), sizeof(id));
		ids[i] = Int64GetDatum(id);
	}
	return PointerGetDatum(
	    construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * Makes the run's row.
 */
void
replay_record_run(const ReplayRequest *request)
{
	static const char *const timings[] = {"asap", "think", "schedule", "catch-up"};
	static const char *const orderings[] = {"none", "arrival", "commit"};
	const ReplaySettings *settings = &request->settings;
	Oid types[12] = {INT8OID, TEXTOID,  TEXTOID, FLOAT8OID,    TEXTOID,        INT4OID,
	                 BOOLOID, JSONBOID, OIDOID,  INT8ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[12] = {
	    Int64GetDatum(request->run_id),
	    CStringGetTextDatum(replay_target_shown(request->data + request->target_at)),
	    CStringGetTextDatum(timings[settings->timing]),
	    Float8GetDatum(settings->speed),
	    CStringGetTextDatum(orderings[settings->ordering]),
	    Int32GetDatum(settings->compare),
	    BoolGetDatum(request->read_only),
	    DirectFunctionCall1(jsonb_in, CStringGetDatum(request->data + request->options_at)),
	    ObjectIdGetDatum(request->role),
	    replay_request_sessions(request),
	    TimestampTzGetDatum(request->since),
	    TimestampTzGetDatum(request->until)};
	char nulls[13] = "            ";

	nulls[9] = request->session_count < 0 ? 'n' : ' ';
	nulls[10] = TIMESTAMP_IS_NOBEGIN(request->since) ? 'n' : ' ';
	nulls[11] = TIMESTAMP_IS_NOEND(request->until) ? 'n' : ' ';

	ForceSyncCommit(); /* a crash of the server must not undo that the run was */
	execute("INSERT INTO pgwire_trace.replay_run_state (run_id, state, started_at, target, timing,"
	        " speed, ordering, compare, read_only, options, started_by, session_ids,"
	        " since, until)"
	        " VALUES ($1, 'planned', pg_catalog.clock_timestamp(), $2, $3, $4, $5, $6, $7, $8,"
	        " $9::pg_catalog.regrole::text, $10, $11, $12)",
	        12, types, values, nulls);
}

/*
 * Sets the run's state in its row.
 */
void
replay_record_state(int64 run_id, const char *state, const char *message)
{
	Oid types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[3] = {Int64GetDatum(run_id), CStringGetTextDatum(state), (Datum) 0};
	bool is_end = strcmp(state, "running") != 0 && strcmp(state, "paused") != 0;

	if (message)
		values[2] = CStringGetTextDatum(message);
	execute(is_end ? "UPDATE pgwire_trace.replay_run_state SET state = $2, error_message = $3,"
	                 " finished_at = pg_catalog.clock_timestamp() WHERE run_id = $1"
	               : "UPDATE pgwire_trace.replay_run_state SET state = $2, error_message = $3"
	                 " WHERE run_id = $1",
	        3, types, values, message ? "   " : "  n");
}

/*
 * Adds the waits for a turn that timed out to the run's row: it may be resumed.
 */
void
replay_record_timeouts(int64 run_id, int64 timeouts)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(run_id), Int64GetDatum(timeouts)};

	execute("UPDATE pgwire_trace.replay_run_state SET order_timeouts = order_timeouts + $2"
	        " WHERE run_id = $1",
	        2, types, values, NULL);
}

/*
 * Writes the plan's counts into the run's row.
 */
void
replay_record_plan(int64 run_id, const PlanSummary *summary)
{
	Oid types[4] = {INT8OID, INT8OID, INT8OID, INT8OID};
	Datum values[4] = {Int64GetDatum(run_id), Int64GetDatum(summary->captured),
	                   Int64GetDatum(summary->filtered), Int64GetDatum(summary->skipped)};

	execute("UPDATE pgwire_trace.replay_run_state SET captured = $2, filtered = $3, skipped = $4"
	        " WHERE run_id = $1",
	        4, types, values, NULL);
}
