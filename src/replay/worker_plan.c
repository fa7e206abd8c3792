/*
 * worker_plan.c
 *	  From the record to a plan: which exchanges are sent, and which are not and why.
 *
 * The record is read through its SQL names and columns only.  A session is left out
 * whole where a part of it cannot be sent as it was: what follows would be
 * something else than what was recorded.  Single exchanges are left out where the
 * caller wants that, or the record overwrote something in them.
 */
#include "replay/worker_planner.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static const char sessions_sql[] =
    "SELECT s.session_id, s.started_at, s.ended_at, s.user_name, s.database_name,"
    " s.is_desynchronised, s.dropped_exchanges, s.end_reason,"
    " (SELECT pg_catalog.array_agg(p.key) FROM pg_catalog.jsonb_each_text(s.startup_parameters) p),"
    " (SELECT pg_catalog.array_agg(coalesce(p.value, ''))"
    "    FROM pg_catalog.jsonb_each_text(s.startup_parameters) p), s.database_oid"
    " FROM pgwire_trace.session s"
    /* with a session go the cancel requests that hit it */
    " WHERE ($1 IS NULL OR s.session_id = ANY ($1) OR s.end_reason = 'cancel_request'"
    "    AND EXISTS (SELECT FROM pgwire_trace.exchange c WHERE c.session_id = s.session_id"
    "       AND c.kind = 'cancel' AND c.cancelled_session_id = ANY ($1)))"
    " AND s.started_at < $3 AND coalesce(s.ended_at, 'infinity') >= $2"
    " ORDER BY s.started_at, s.session_id";

/* What decides about a session as a whole. */
static const char facts_sql[] =
    "SELECT count(DISTINCT exchange_no) FILTER (WHERE kind NOT IN ('startup', 'terminate', 'async')),"
    " coalesce(bool_or(kind = 'replication'), false),"
    " coalesce(bool_or(kind = 'cancel'), false),"
    " coalesce(bool_or(pg_catalog.octet_length(request) IS DISTINCT FROM request_bytes"
    "    AND kind NOT IN ('startup', 'terminate', 'async')), false),"
    " coalesce(bool_or(pairing_uncertain), false),"
    " max(finished_at) FILTER (WHERE kind = 'startup'),"
    " max(finished_at),"
    " coalesce(max(request_bytes + response_bytes), 0)"
    " FROM pgwire_trace.exchange WHERE session_id = $1";

/*
 * Whether there may be answers to compare by digests that the record does not have.  It
 * looks at the facts alone, as the bytes of a record are many.
 */
static const char doubts_sql[] =
    "SELECT FROM pgwire_trace.exchange"
    " WHERE ($1 IS NULL OR session_id = ANY ($1))"
    " AND (is_truncated OR response_bytes > $2)"
    " AND (is_redacted OR (data_row_count > 0 AND row_digest IS NULL)) LIMIT 1";

/* A session as it is planned. */
typedef struct SessionFacts
{
	int64 session_id;
	TimestampTz started_at;
	TimestampTz ended_at;
	char *user;
	char *database;
	List *parameters;
	Oid database_oid;
	bool is_desynchronised;
	int64 dropped;
	int64 captured;
	bool is_replication;
	bool is_cancel;
	bool is_cut;
	bool is_uncertain;
	int64 largest; /* bytes of an exchange */
	TimestampTz ready_at;
	TimestampTz last_at;
} SessionFacts;

/*
 * Notes why exchanges are not sent.
 */
void
planner_add_reason(Planner *planner, PlanOutcome outcome, const char *text, int64 exchanges,
                   int64 sessions)
{
	MemoryContext before = MemoryContextSwitchTo(planner->result);
	PlanReason *reason = NULL;
	ListCell *cell;

	foreach (cell, planner->summary->reasons)
	{
		PlanReason *other = lfirst(cell);

		if (other->outcome == outcome && strcmp(other->reason, text) == 0)
			reason = other;
	}
	if (!reason)
	{
		reason = palloc0(sizeof(PlanReason));
		reason->outcome = outcome;
		reason->reason = pstrdup(text);
		planner->summary->reasons = lappend(planner->summary->reasons, reason);
	}
	reason->exchanges += exchanges;
	reason->sessions += sessions;
	MemoryContextSwitchTo(before);
}

/*
 * Raises an error about the plan's files.
 */
void
planner_cannot_write(const Planner *planner)
{
	ereport(ERROR, (errcode_for_file_access(), errmsg("could not write the plan of the replay to "
	                                                  "\"%s\": %m",
	                                                  planner->request->settings.plan_path)));
}

/*
 * Returns a column of the row in hand; *is_null may be NULL where it can't be.
 */
static Datum
column(int number, bool *is_null)
{
	bool unused;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number,
	                     is_null ? is_null : &unused);
}

/*
 * Tells whether a startup packet asks for replication, of either kind.
 */
static bool
asks_replication(List *parameters)
{
	for (int i = 0; i + 1 < list_length(parameters); i += 2)
		if (strcmp(list_nth(parameters, i), "replication") == 0)
		{
			bool is_on;

			return !parse_bool(list_nth(parameters, i + 1), &is_on) || is_on;
		}
	return false;
}

/*
 * Decides why a session is not replayed at all; NULL: it is.
 */
static const char *
why_not(const SessionFacts *facts)
{
	if (facts->is_replication || asks_replication(facts->parameters))
		return "it is a replication connection";
	if (facts->is_desynchronised)
		return "its stream stopped making sense as protocol";
	if (facts->is_uncertain)
		return "it is not certain which answer belongs to which request";
	if (facts->dropped > 0)
		return "some of its exchanges were not recorded";
	if (facts->is_cut)
		return "not all bytes of its requests were recorded";
	return NULL;
}

/*
 * Finds what decides about a session as a whole.
 */
static void
read_facts(Planner *planner, SessionFacts *facts)
{
	static SPIPlanPtr plan;
	Oid type = INT8OID;
	Datum value = Int64GetDatum(facts->session_id);
	bool no_ready;
	bool no_last;

	if (!plan)
	{
		plan = SPI_prepare(facts_sql, 1, &type);
		if (!plan || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	}
	if (SPI_execute_plan(plan, &value, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "SPI_execute_plan failed");
	facts->captured = DatumGetInt64(column(1, NULL));
	facts->is_replication = DatumGetBool(column(2, NULL));
	facts->is_cancel = DatumGetBool(column(3, NULL));
	facts->is_cut = DatumGetBool(column(4, NULL));
	facts->is_uncertain = DatumGetBool(column(5, NULL));
	facts->ready_at = DatumGetTimestampTz(column(6, &no_ready));
	facts->last_at = DatumGetTimestampTz(column(7, &no_last));
	facts->largest = DatumGetInt64(column(8, NULL));
	if (no_ready)
		facts->ready_at = facts->started_at;
	if (no_last)
		facts->last_at = facts->started_at;
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(planner->context); /* SPI leaves its own, which lasts longer */
}

/*
 * Returns the number of a connection string, which many sessions may have.
 */
static uint32
number_conninfo(Planner *planner, const char *conninfo)
{
	MemoryContext before = MemoryContextSwitchTo(planner->result);
	PlanSummary *summary = planner->summary;
	ListCell *cell;

	foreach (cell, summary->conninfos)
		if (strcmp(lfirst(cell), conninfo) == 0)
		{
			MemoryContextSwitchTo(before);
			return (uint32) foreach_current_index(cell);
		}
	summary->conninfos = lappend(summary->conninfos, pstrdup(conninfo));
	MemoryContextSwitchTo(before);
	return (uint32) list_length(summary->conninfos) - 1;
}

/*
 * Adds a session that is replayed.
 */
static void
add_session(Planner *planner, const SessionFacts *facts, const char *conninfo)
{
	PlanWriter *writer = planner->writer;
	PlanSession session = {.session_id = facts->session_id,
	                       .started_us = facts->started_at - planner->base,
	                       .ready_us = facts->ready_at - planner->base,
	                       .ended_us = facts->ended_at - planner->base,
	                       .knows_types = facts->database_oid == MyDatabaseId};
	MemoryContext before;
	TimestampTz *moment;

	if (writer)
		session.first = writer->exchange_count;
	session.conninfo = number_conninfo(planner, conninfo);
	planner->user = facts->user;
	planner->largest = facts->largest;
	planner_read_exchanges(planner, facts->session_id);
	session.count = planner->count;
	planner_prelude_finish(planner, &session);
	if (writer && !plan_add_session(writer, &session))
		planner_cannot_write(planner);
	planner->summary->filtered += planner->filtered;
	planner->summary->skipped += planner->skipped;
	if (planner->take)
		planner->take(planner->arg, facts->session_id, -1, PLAN_SEND, NULL, facts->captured,
		              planner->filtered, planner->skipped);
	before = MemoryContextSwitchTo(planner->result);
	moment = palloc(2 * sizeof(TimestampTz));
	moment[0] = facts->started_at;
	moment[1] = facts->ended_at;
	planner->begins = lappend(planner->begins, &moment[0]);
	planner->ends = lappend(planner->ends, &moment[1]);
	MemoryContextSwitchTo(before);
}

/*
 * Leaves a session out.
 */
static void
skip_session(Planner *planner, const SessionFacts *facts, const char *reason)
{
	planner->summary->sessions_skipped++;
	planner->summary->skipped += facts->captured;
	planner_add_reason(planner, PLAN_SKIPPED, reason, facts->captured, 1);
	if (planner->take)
		planner->take(planner->arg, facts->session_id, -1, PLAN_SKIPPED, reason, facts->captured, 0,
		              facts->captured);
}

/*
 * Plans a cancel request: it is sent with the exchange that it hit, or not at all.
 */
static void
plan_cancel(Planner *planner, const SessionFacts *facts)
{
	if (!planner_sends_cancel(planner, facts->session_id))
		skip_session(planner, facts, "it is a cancel request for no exchange that is sent");
	else if (planner->take)
		planner->take(planner->arg, facts->session_id, -1, PLAN_SEND, NULL, facts->captured, 0, 0);
}

/*
 * Plans a session.
 */
static void
plan_session(Planner *planner, SessionFacts *facts)
{
	const char *reason;
	char *conninfo = NULL;

	read_facts(planner, facts);
	if (facts->captured == 0)
		return; /* it never came to anything */
	if (TIMESTAMP_IS_NOEND(facts->ended_at))
		facts->ended_at = facts->last_at;
	planner->summary->sessions++;
	planner->summary->captured += facts->captured;
	planner->summary->duration_us =
	    Max(planner->summary->duration_us,
	        Min(facts->last_at, planner->request->until) - planner->base);
	if (facts->is_cancel)
	{
		plan_cancel(planner, facts);
		return;
	}
	reason = why_not(facts);
	if (!reason)
		conninfo = replay_target_conninfo(planner->target, facts->user, facts->database,
		                                  facts->parameters, &reason);
	if (!conninfo)
		skip_session(planner, facts, reason);
	else
		add_session(planner, facts, conninfo);
}

/*
 * Returns the startup parameters of a row: name, value, ...
 */
static List *
read_parameters(HeapTuple row, TupleDesc desc)
{
	List *parameters = NIL;
	Datum *texts[2];
	int counts[2] = {0, 0};

	for (int i = 0; i < 2; i++)
	{
		bool is_null;
		Datum array = SPI_getbinval(row, desc, 9 + i, &is_null);

		if (is_null)
			return NIL;
		deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts[i],
		                  NULL, &counts[i]);
	}
	for (int i = 0; i < Min(counts[0], counts[1]); i++)
	{
		parameters = lappend(parameters, TextDatumGetCString(texts[0][i]));
		parameters = lappend(parameters, TextDatumGetCString(texts[1][i]));
	}
	return parameters;
}

/*
 * Reads a row of the sessions.
 */
static void
read_session(SessionFacts *facts, HeapTuple row, TupleDesc desc)
{
	bool is_null;
	Datum value;

	memset(facts, 0, sizeof(*facts));
	facts->session_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &is_null));
	facts->started_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 2, &is_null));
	value = SPI_getbinval(row, desc, 3, &is_null);
	facts->ended_at = is_null ? DT_NOEND : DatumGetTimestampTz(value);
	facts->user = SPI_getvalue(row, desc, 4);
	facts->database = SPI_getvalue(row, desc, 5);
	facts->user = facts->user ? facts->user : "";
	facts->database = facts->database ? facts->database : "";
	facts->is_desynchronised = DatumGetBool(SPI_getbinval(row, desc, 6, &is_null));
	facts->dropped = DatumGetInt64(SPI_getbinval(row, desc, 7, &is_null));
	facts->parameters = read_parameters(row, desc);
	value = SPI_getbinval(row, desc, 11, &is_null);
	facts->database_oid = is_null ? InvalidOid : DatumGetObjectId(value);
}

/*
 * Compares two times, for list_sort.
 */
static int
by_time(const ListCell *a, const ListCell *b)
{
	TimestampTz left = *(TimestampTz *) lfirst(a);
	TimestampTz right = *(TimestampTz *) lfirst(b);

	return left < right ? -1 : left > right;
}

/*
 * Finds how many of the sessions were open at one time.
 */
static int
find_peak(Planner *planner)
{
	int open = 0;
	int peak = 0;
	int ended = 0;
	ListCell *cell;

	list_sort(planner->begins, by_time);
	list_sort(planner->ends, by_time);
	foreach (cell, planner->begins)
	{
		while (ended < list_length(planner->ends) &&
		       *(TimestampTz *) list_nth(planner->ends, ended) < *(TimestampTz *) lfirst(cell))
		{
			ended++;
			open--;
		}
		open++;
		peak = Max(peak, open);
	}
	return peak;
}

/*
 * Opens the cursor over the sessions.
 */
static Portal
open_sessions(Planner *planner)
{
	const ReplayRequest *request = planner->request;
	Oid types[3] = {INT8ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[3] = {replay_request_sessions(request), TimestampTzGetDatum(request->since),
	                   TimestampTzGetDatum(request->until)};
	char nulls[3] = {request->session_count < 0 ? 'n' : ' ', ' ', ' '};

	planner->cancels = planner_cancels_begin(values[0], request->session_count < 0, request->until);
	return SPI_cursor_open_with_args(NULL, sessions_sql, 3, types, values, nulls, true,
	                                 CURSOR_OPT_NO_SCROLL);
}

/*
 * Plans all sessions that a fetch has brought.
 */
static void
plan_fetched(Planner *planner)
{
	SPITupleTable *fetched = SPI_tuptable;
	uint64 count = SPI_processed;

	for (uint64 i = 0; i < count; i++)
	{
		MemoryContext before = MemoryContextSwitchTo(planner->context);
		SessionFacts facts;

		read_session(&facts, fetched->vals[i], fetched->tupdesc);
		if (planner->base == DT_NOBEGIN)
			planner->base = Max(facts.started_at, planner->request->since);
		plan_session(planner, &facts);
		MemoryContextSwitchTo(before);
		MemoryContextReset(planner->context);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_freetuptable(fetched);
}

/*
 * Goes through the sessions of a request.
 */
static void
plan_sessions(Planner *planner)
{
	Portal portal;

	memset(planner->summary, 0, sizeof(*planner->summary));
	planner->base = DT_NOBEGIN;
	planner->result = CurrentMemoryContext;
	planner->target = replay_target_open(planner->request);
	planner->context =
	    AllocSetContextCreate(CurrentMemoryContext, "replay plan", ALLOCSET_DEFAULT_SIZES);
	planner_noise_begin(planner);
	portal = open_sessions(planner);
	do
	{
		SPI_cursor_fetch(portal, true, PLANNER_FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		plan_fetched(planner);
	} while (true);
	SPI_cursor_close(portal);
	MemoryContextDelete(planner->context);
}

/*
 * Reads the record; see worker.h.
 */
void
replay_plan_build(const ReplayRequest *request, PlanWriter *writer, PlanSummary *summary,
                  PlanTake take, void *arg)
{
	Planner planner = {
	    .request = request, .writer = writer, .summary = summary, .take = take, .arg = arg};

	plan_sessions(&planner);
	summary->peak = find_peak(&planner);
	if (writer && request->settings.compare >= 3)
		summary->types = replay_types_pack(planner.result);
}

/*
 * Raises an error where digests are wanted that are not there; see worker.h.
 */
void
replay_refuse_missing(const ReplayRequest *request, const PlanSummary *summary)
{
	if (request->settings.compare < 4 || summary->missing_digests == 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("comparison level %d needs digests that the record does not have",
	                       request->settings.compare),
	                errdetail_plural("%lld exchange has rows, but no digest of them.",
	                                 "%lld exchanges have rows, but no digest of them.",
	                                 (unsigned long) summary->missing_digests,
	                                 (long long) summary->missing_digests),
	                errhint("Compare at level 3.")));
}

/*
 * The same before there is a plan; see worker.h.
 */
void
replay_require_digests(const ReplayRequest *request)
{
	Oid types[2] = {INT8ARRAYOID, INT8OID};
	Datum values[2] = {replay_request_sessions(request), Int64GetDatum(PLAN_RESPONSE_KEPT)};
	PlanSummary summary;

	if (request->settings.compare < 4)
		return;
	if (SPI_execute_with_args(doubts_sql, 2, types, values,
	                          request->session_count < 0 ? "n " : "  ", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	if (SPI_processed == 0)
		return;
	replay_plan_build(request, NULL, &summary, NULL, NULL);
	replay_refuse_missing(request, &summary);
}
