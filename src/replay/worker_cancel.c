/*
 * worker_cancel.c
 *	  Which cancel request goes with which exchange.
 *
 * The relay records a cancel request as a session of its own, with the session and
 * exchange that it hit.  It is replayed with that exchange, so it belongs to a replay
 * whenever that session does.  Two for one exchange are one: the first.
 */
#include "replay/worker_planner.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

static const char cancels_sql[] =
    "SELECT e.cancelled_session_id, e.cancelled_exchange_no, e.session_id, e.exchange_no,"
    " e.started_at FROM pgwire_trace.session s JOIN pgwire_trace.exchange e USING (session_id)"
    " WHERE s.end_reason = 'cancel_request' AND e.kind = 'cancel'"
    " AND e.cancelled_exchange_no IS NOT NULL"
    " AND ($1 IS NULL OR e.cancelled_session_id = ANY ($1) OR e.session_id = ANY ($1))"
    " AND s.started_at < $2 ORDER BY e.started_at";

/* What a request is for. */
typedef struct Victim
{
	int64 session_id;
	int64 exchange_no;
} Victim;

typedef struct CancelEntry
{
	Victim victim; /* key */
	int64 session_id;
	int64 exchange_no;
	TimestampTz at;
} CancelEntry;

struct PlannerCancels
{
	HTAB *by_victim;
	HTAB *planned; /* session ids of those that go with an exchange that is sent */
};

/*
 * Notes a request, unless there is one for its exchange already.
 */
static void
add(HTAB *by_victim, HeapTuple row, TupleDesc desc)
{
	bool is_null;
	bool found;
	Victim victim = {DatumGetInt64(SPI_getbinval(row, desc, 1, &is_null)),
	                 DatumGetInt64(SPI_getbinval(row, desc, 2, &is_null))};
	CancelEntry *entry = hash_search(by_victim, &victim, HASH_ENTER, &found);

	if (found)
		return;
	entry->session_id = DatumGetInt64(SPI_getbinval(row, desc, 3, &is_null));
	entry->exchange_no = DatumGetInt64(SPI_getbinval(row, desc, 4, &is_null));
	entry->at = DatumGetTimestampTz(SPI_getbinval(row, desc, 5, &is_null));
}

/*
 * Reads the requests that may go with the sessions of a replay.
 */
PlannerCancels *
planner_cancels_begin(Datum sessions, bool all, TimestampTz until)
{
	PlannerCancels *cancels = palloc(sizeof(PlannerCancels));
	HASHCTL control = {
	    .keysize = sizeof(Victim), .entrysize = sizeof(CancelEntry), .hcxt = CurrentMemoryContext};
	HASHCTL planned = {
	    .keysize = sizeof(int64), .entrysize = sizeof(int64), .hcxt = CurrentMemoryContext};
	Oid types[2] = {INT8ARRAYOID, TIMESTAMPTZOID};
	Datum values[2] = {sessions, TimestampTzGetDatum(until)};

	cancels->by_victim =
	    hash_create("replay cancels", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cancels->planned =
	    hash_create("planned cancels", 64, &planned, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (SPI_execute_with_args(cancels_sql, 2, types, values, all ? "n " : "  ", true, 0) !=
	    SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	for (uint64 i = 0; i < SPI_processed; i++)
		add(cancels->by_victim, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	SPI_freetuptable(SPI_tuptable);
	return cancels;
}

/*
 * Gives an exchange that is sent the request that hit it.
 */
void
planner_take_cancel(Planner *planner, PlanExchange *exchange)
{
	Victim victim = {planner->session_id, exchange->exchange_no};
	CancelEntry *entry = hash_search(planner->cancels->by_victim, &victim, HASH_FIND, NULL);

	if (!entry)
		return;
	exchange->cancel_us = Max(entry->at - planner->base - exchange->started_us, 0);
	exchange->cancel_session_id = entry->session_id;
	exchange->cancel_exchange_no = entry->exchange_no;
	hash_search(planner->cancels->planned, &entry->session_id, HASH_ENTER, NULL);
}

/*
 * Tells whether a cancel request goes with an exchange that is sent.
 */
bool
planner_sends_cancel(const Planner *planner, int64 session_id)
{
	return hash_search(planner->cancels->planned, &session_id, HASH_FIND, NULL) != NULL;
}
