/*
 * replay_check.c
 *	  Whether there is what a call names: a run to be read about, sessions to replay.
 *
 * The functions that read what replays came to are SQL; an unknown run would give
 * them no rows, which looks like a run without a difference.
 */
#include "api/replay_options.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"

PG_FUNCTION_INFO_V1(pgwire_trace_replay_check);

/*
 * Returns the level that a run compared at; -1: there is no such run.  Read as the
 * superuser: who may call, may know which runs there are.
 */
static int32
level_of(int64 run_id)
{
	Oid type = INT8OID;
	Datum value = Int64GetDatum(run_id);
	int32 level = -1;
	Oid caller;
	int context;
	bool is_null;

	GetUserIdAndSecContext(&caller, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (SPI_execute_with_args("SELECT compare FROM pgwire_trace.replay_run_state "
	                          "WHERE run_id OPERATOR(pg_catalog.=) $1",
	                          1, &type, &value, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	if (SPI_processed > 0)
		level =
		    DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
	SPI_finish();
	SetUserIdAndSecContext(caller, context);
	return level;
}

/*
 * Raises an error unless there is such a run, compared at a level at least: (run_id,
 * level).
 */
Datum
pgwire_trace_replay_check(PG_FUNCTION_ARGS)
{
	int64 run_id = PG_GETARG_INT64(0);
	int32 least = PG_GETARG_INT32(1);
	int32 level = level_of(run_id);

	if (level < 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("there is no replay %lld", (long long) run_id),
		                errhint("View \"replay_run\" lists them.")));
	if (level < least)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("replay %lld compared at level %d: level %d is needed",
		                       (long long) run_id, level, least),
		                errhint("Replay with argument \"compare\" => %d.", least)));
	PG_RETURN_BOOL(true);
}

/*
 * Raises 42704 where a session that the request names is not in the record: to leave
 * it out in silence would look like a replay of it.
 */
void
replay_check_sessions(const ReplayRequest *request)
{
	Oid type = INT8ARRAYOID;
	Datum value;
	bool is_null;

	if (request->session_count <= 0)
		return;
	value = replay_request_sessions(request);
	SPI_connect();
	if (SPI_execute_with_args(
	        "SELECT i FROM pg_catalog.unnest($1) i WHERE NOT EXISTS (SELECT FROM pgwire_trace.session s"
	        " WHERE s.session_id OPERATOR(pg_catalog.=) i) LIMIT 1",
	        1, &type, &value, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	if (SPI_processed > 0)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_UNDEFINED_OBJECT),
		     errmsg("session %lld is not in the record",
		            (long long) DatumGetInt64(
		                SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null))),
		     errhint(
		         "What has just been recorded is there once pgwire_trace.flush() has returned.")));
	SPI_finish();
}
