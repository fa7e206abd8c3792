/*
 * worker_resume.c
 *	  Aborted runs go on.
 *
 * A session is run once.  What had ended, by the run's rows, is not run again; what
 * had begun is not either, as nobody knows what of it the target has done: it counts
 * as lost there, with what is known of it.  What had not begun is run from its begin.
 * That a session has begun is in a file beside the plan before its first byte is
 * sent, as rows come later than that, and may be lost with the worker.
 */
#include "replay/worker.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/fd.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include <fcntl.h>
#include <unistd.h>

#define MAX_BEGUN ((int) (MaxAllocSize / sizeof(Datum)) - 8) /* an array holds no more */

static const char cut_sql[] =
    "WITH cut AS (SELECT s.session_id, s.captured - s.filtered - s.skipped AS wanted,"
    "  count(x.exchange_no) AS sent, coalesce(max(x.exchange_no), -1) AS last_no"
    "  FROM pgwire_trace.replay_run_session s LEFT JOIN pgwire_trace.replay_run_exchange x"
    "   ON x.run_id = s.run_id AND x.session_id = s.session_id AND x.outcome = 'sent'"
    "  WHERE s.run_id = $1 AND (s.state = 'running' OR s.state = 'planned'"
    "   AND s.session_id = ANY ($2)) GROUP BY 1, 2),"
    " ended AS (UPDATE pgwire_trace.replay_run_session s SET sent = c.sent,"
    "  state = CASE WHEN c.sent < c.wanted THEN 'lost' ELSE 'finished' END,"
    "  reason = CASE WHEN c.sent < c.wanted THEN 'the run was aborted in the middle of it' END"
    "  FROM cut c WHERE s.run_id = $1 AND s.session_id = c.session_id),"
    " divergence AS (INSERT INTO pgwire_trace.replay_divergence (run_id, session_id, exchange_no,"
    "  verdict, is_root, captured, replayed, at)"
    "  SELECT $1, c.session_id, coalesce((SELECT min(e.exchange_no) FROM pgwire_trace.exchange e"
    "    WHERE e.session_id = c.session_id AND e.exchange_no > c.last_no"
    "    AND e.kind NOT IN ('startup', 'terminate', 'async')), c.last_no), 'session_lost', true,"
    "   '{}', '{\"reason\": \"the run was aborted in the middle of it\"}',"
    "   pg_catalog.clock_timestamp() FROM cut c WHERE c.sent < c.wanted RETURNING 1)"
    " UPDATE pgwire_trace.replay_run_state SET divergences = divergences + d.n,"
    "  root_divergences = root_divergences + d.n FROM (SELECT count(*) AS n FROM divergence) d"
    " WHERE run_id = $1";

static const char goes_on_sql[] =
    "UPDATE pgwire_trace.replay_run_state SET state = 'planned', finished_at = NULL,"
    " error_message = NULL, target = $2 WHERE run_id = $1";

static const char rest_sql[] =
    "SELECT (SELECT count(*) FROM pgwire_trace.replay_run_session WHERE run_id = $1),"
    " (SELECT coalesce(pg_catalog.array_agg(session_id ORDER BY session_id), '{}')"
    "  FROM pgwire_trace.replay_run_session WHERE run_id = $1 AND state = 'planned')";

/*
 * Returns the sessions that have begun, as the children noted them.
 */
static Datum
read_begun(const ReplayRequest *request)
{
	char path[PLAN_PATH_SIZE + 16];
	int64 id;
	int size = 64;
	int count = 0;
	Datum *ids = palloc((Size) size * sizeof(Datum));
	int fd;

	snprintf(path, sizeof(path), "%s" PLAN_BEGUN, request->settings.plan_path);
	fd = OpenTransientFile(path, O_RDONLY);
	while (fd >= 0 && count < MAX_BEGUN && read(fd, &id, sizeof(id)) == sizeof(id))
	{
		if (count == size)
			ids = repalloc_huge(ids, (Size) (size *= 2) * sizeof(Datum));
		ids[count++] = Int64GetDatum(id);
	}
	if (fd >= 0)
		CloseTransientFile(fd);
	return PointerGetDatum(
	    construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * Runs a command.
 */
static void
execute(const char *sql, int count, Oid *types, Datum *values)
{
	if (SPI_execute_with_args(sql, count, types, values, NULL, false, 0) < 0)
		elog(ERROR, "SPI_execute_with_args failed");
}

/*
 * Ends the sessions in whose middle a run was aborted.
 */
void
replay_resume_cut(const ReplayRequest *request)
{
	Oid types[2] = {INT8OID, INT8ARRAYOID};
	Datum values[2] = {Int64GetDatum(request->run_id), read_begun(request)};

	execute(cut_sql, 2, types, values);
}

/*
 * Returns a request for other sessions, which outlives the transaction.
 */
static ReplayRequest *
with_sessions(const ReplayRequest *request, const int64 *ids, int count)
{
	Size at = MAXALIGN(request->size - offsetof(ReplayRequest, data));
	Size size = offsetof(ReplayRequest, data) + at + (Size) count * sizeof(int64);
	ReplayRequest *other = MemoryContextAllocZero(TopMemoryContext, size);

	memcpy(other, request, request->size);
	other->size = size;
	other->sessions_at = at;
	other->session_count = count;
	if (count > 0)
		memcpy(other->data + at, ids, (Size) count * sizeof(int64));
	return other;
}

/*
 * Lets an aborted run go on; see worker.h.
 */
ReplayRequest *
replay_resume_request(ReplayRequest *request)
{
	Oid types[2] = {INT8OID, TEXTOID};
	Datum values[2] = {Int64GetDatum(request->run_id), CStringGetTextDatum(replay_target_shown(
	                                                       request->data + request->target_at))};
	ArrayType *rest;
	bool is_null;

	ForceSyncCommit();
	replay_resume_cut(request);
	execute(goes_on_sql, 2, types, values);
	/* not as read-only: that would see the rows as they were before the cut */
	if (SPI_execute_with_args(rest_sql, 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	if (DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null)) ==
	    0)
	{
		request->resumes = false; /* it was aborted before it had a plan */
		return request;
	}
	rest = DatumGetArrayTypeP(
	    SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &is_null));
	return with_sessions(request, (const int64 *) ARR_DATA_PTR(rest),
	                     ARR_NDIM(rest) == 0 ? 0 : ARR_DIMS(rest)[0]);
}

/*
 * Takes notice that a session cannot be replayed any more.
 */
void
replay_resume_without(int64 run_id, int64 session_id, const char *reason)
{
	Oid types[3] = {INT8OID, INT8OID, TEXTOID};
	Datum values[3] = {Int64GetDatum(run_id), Int64GetDatum(session_id),
	                   CStringGetTextDatum(reason)};

	execute("UPDATE pgwire_trace.replay_run_session SET state = 'lost', reason = $3"
	        " WHERE run_id = $1 AND session_id = $2",
	        3, types, values);
}
