/*
 * worker_exchange.c
 *	  A session's exchanges: their parts put together, which are sent, whose turn is
 *	  when.
 */
#include "replay/worker_planner.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replay/oids.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define EXCHANGE_COLUMNS 19

static const char exchanges_sql[] =
    "SELECT exchange_no, started_at, finished_at, kind, request, response, response_bytes,"
    " row_count, data_row_count, statement_count, command_tag, sqlstate, transaction_status,"
    " is_complete, row_digest, row_set_digest, query_hash, is_redacted,"
    " is_request_redacted"
    " FROM pgwire_trace.exchange WHERE session_id = $1"
    " AND kind NOT IN ('startup', 'terminate', 'async')"
    " ORDER BY exchange_no, part_no";

/*
 * Tells whether a command tag is that of a command that writes; a request may run
 * one by EXECUTE, which does not show what it runs.
 */
static bool
tag_writes(const PlanExchange *exchange)
{
	static const char *const tags[] = {"INSERT", "UPDATE", "DELETE", "MERGE"};

	for (size_t i = 0; i < lengthof(tags); i++)
		if (exchange->tag_len >= strlen(tags[i]) &&
		    memcmp(exchange->tag, tags[i], strlen(tags[i])) == 0)
			return true;
	return false;
}

/*
 * Finds the turn of an exchange in the order across sessions; see order.c.  Those of
 * a session have theirs one after another.
 */
static void
take_turn(Planner *planner, bool writes)
{
	PlanExchange *exchange = &planner->exchange;
	int64 own = writes || tag_writes(exchange) ? exchange->finished_us : exchange->started_us;

	planner->turn = Max(planner->turn, own);
	exchange->turn_us = planner->turn;
}

/*
 * Decides whether an exchange is sent.
 */
static PlanOutcome
decide(Planner *planner, const char **reason)
{
	const ReplayRequest *request = planner->request;
	WireSpan request_bytes = {(uint8 *) planner->bytes.data, (size_t) planner->bytes.len};
	TimestampTz at = planner->base + planner->exchange.started_us;
	const char *writes = NULL;

	/* in every exchange, as each may prepare what a later one runs */
	if (request->read_only || request->settings.ordering != ORDERING_NONE)
		writes = replay_request_writes(planner->kinds, (uint8 *) planner->bytes.data,
		                               (Size) planner->bytes.len);
	planner->writes = writes != NULL;
	take_turn(planner, planner->writes);
	if (at < request->since || at >= request->until)
	{
		*reason = "it began outside of the time range";
		return PLAN_FILTERED;
	}
	if (request->read_only && writes)
	{
		*reason = psprintf("not read-only: %s", writes);
		return PLAN_FILTERED;
	}
	if (planner->is_request_redacted)
	{
		*reason = "the record overwrote something in it";
		return PLAN_SKIPPED;
	}
	if (planner_prelude_lacks(planner, request_bytes))
	{
		*reason = "the record overwrote something in the statement that it runs";
		return PLAN_SKIPPED;
	}
	if (request->settings.sets_authorization &&
	    replay_request_leaves_user((uint8 *) planner->bytes.data, (Size) planner->bytes.len))
	{
		*reason = "it would not be its user's any more: see option session_authorization";
		return PLAN_SKIPPED;
	}
	return PLAN_SEND;
}

/*
 * Finds which of the session's exchanges had ended when this one began.
 */
static void
find_after(Planner *planner)
{
	PlanExchange *exchange = &planner->exchange;

	while (planner->after + 1 < planner->count &&
	       planner->finished[planner->after + 1] <= exchange->started_us)
		planner->after++;
	exchange->after = planner->after;
	if (planner->count % 1024 == 0)
		planner->finished =
		    planner->finished
		        ? repalloc_huge(planner->finished, (planner->count + 1024) * sizeof(int64))
		        : palloc(1024 * sizeof(int64));
	planner->finished[planner->count++] = exchange->finished_us;
}

/*
 * Takes from an exchange what goes into the session's prelude.
 */
static void
take_for_prelude(Planner *planner, PlanOutcome outcome)
{
	const PlanExchange *exchange = &planner->exchange;
	WireSpan request = {(uint8 *) planner->bytes.data, (size_t) planner->bytes.len};
	WireSpan answer = {(uint8 *) planner->answer.data, (size_t) planner->answer.len};
	bool is_plain = planner->status == 'I' && exchange->transaction_status == 'I' &&
	                !planner->is_request_redacted;

	if (outcome == PLAN_SEND)
		planner_prelude_send(planner, request);
	else
		planner_prelude_pass(planner, request, answer,
		                     is_plain && exchange->sqlstate[0] == 0 &&
		                         !(planner->request->read_only && planner->writes));
	planner->status = exchange->transaction_status;
}

/*
 * Finds out whether the exchange in hand can be compared by digests, which leave out what
 * was redacted, and whether it must be.
 */
static void
check_digest(Planner *planner)
{
	PlanExchange *exchange = &planner->exchange;
	bool has_rows = exchange->data_row_count > 0 || (planner->is_copy && planner->is_redacted);

	exchange->has_digest = exchange->has_digest && !planner->is_redacted;
	if (has_rows && exchange->is_complete && !exchange->has_digest &&
	    (exchange->is_truncated || planner->answer.len > PLAN_RESPONSE_KEPT))
		planner->summary->missing_digests++;
}

/*
 * Adds the exchange whose parts are together to the plan.
 */
static void
finish_exchange(Planner *planner)
{
	PlanExchange *exchange = &planner->exchange;
	PlanSummary *summary = planner->summary;
	const char *reason = NULL;
	const char *stays = NULL; /* why it cannot be rolled back */
	PlanOutcome outcome;

	if (!planner->has_exchange)
		return;
	planner->has_exchange = false;
	exchange->is_truncated = planner->response_bytes != (uint64) planner->answer.len;
	if (planner->request->settings.rolls_back)
		stays = planner_roll_back(planner);
	outcome = decide(planner, &reason);
	if (outcome == PLAN_SEND && stays)
	{
		outcome = PLAN_SKIPPED;
		reason = stays;
	}
	exchange->outcome = (uint8) outcome;
	find_after(planner);
	take_for_prelude(planner, outcome);
	if (outcome != PLAN_SEND)
	{
		planner->filtered += outcome == PLAN_FILTERED;
		planner->skipped += outcome == PLAN_SKIPPED;
		planner_add_reason(planner, outcome, reason, 1, 0);
	}
	else
	{
		summary->bytes += planner->bytes.len;
		check_digest(planner);
		planner_take_cancel(planner, exchange);
	}
	if (planner->take && outcome != PLAN_SEND)
		planner->take(planner->arg, planner->session_id, exchange->exchange_no, outcome, reason, 0,
		              0, 0);
	if (!planner->writer)
		return;
	if (outcome == PLAN_SEND)
	{
		exchange->has_oids =
		    oids_in_request((WireSpan){(uint8 *) planner->bytes.data, (size_t) planner->bytes.len});
		exchange->request_len = (uint32) planner->bytes.len;
		exchange->response_len = (uint32) planner->answer.len;
		if (!plan_add_bytes(planner->writer, planner->bytes.data, (Size) planner->bytes.len,
		                    &exchange->request_at) ||
		    !plan_add_bytes(planner->writer, planner->answer.data, (Size) planner->answer.len,
		                    &exchange->response_at))
			planner_cannot_write(planner);
	}
	if (!plan_add_exchange(planner->writer, exchange))
		planner_cannot_write(planner);
}

/*
 * Appends a bytea of a row.
 */
static void
append_bytes(StringInfo to, Datum datum, bool is_null)
{
	bytea *bytes;

	if (is_null)
		return;
	bytes = DatumGetByteaPP(datum);
	appendBinaryStringInfo(to, VARDATA_ANY(bytes), (int) VARSIZE_ANY_EXHDR(bytes));
	if ((Pointer) bytes != DatumGetPointer(datum))
		pfree(bytes);
}

/*
 * Begins an exchange with its first part.
 */
static void
begin_exchange(Planner *planner, int64 exchange_no, int64 started_us)
{
	memset(&planner->exchange, 0, sizeof(planner->exchange));
	planner->exchange.exchange_no = exchange_no;
	planner->exchange.started_us = started_us;
	planner->exchange.cancel_us = -1;
	planner->has_exchange = true;
	planner->is_copy = planner->is_redacted = planner->is_request_redacted = false;
	planner->response_bytes = 0;
	resetStringInfo(&planner->bytes);
	resetStringInfo(&planner->answer);
}

/*
 * Copies a short text of a row; returns its length.
 */
static Size
copy_text(char *to, Size size, Datum datum)
{
	text *value = DatumGetTextPP(datum);
	Size len = Min(VARSIZE_ANY_EXHDR(value), size);

	memcpy(to, VARDATA_ANY(value), len);
	return len;
}

/*
 * Tells whether a text of a row is the given one.
 */
static bool
is_text(Datum datum, const char *wanted)
{
	text *value = DatumGetTextPP(datum);

	return VARSIZE_ANY_EXHDR(value) == strlen(wanted) &&
	       memcmp(VARDATA_ANY(value), wanted, strlen(wanted)) == 0;
}

/*
 * Takes a row: a part of an exchange.
 */
static void
take_part(Planner *planner, HeapTuple row, TupleDesc desc)
{
	PlanExchange *exchange = &planner->exchange;
	Datum values[EXCHANGE_COLUMNS];
	bool nulls[EXCHANGE_COLUMNS];
	int64 exchange_no;

	for (int i = 0; i < EXCHANGE_COLUMNS; i++)
		values[i] = SPI_getbinval(row, desc, i + 1, &nulls[i]);
	exchange_no = DatumGetInt64(values[0]);
	if (!planner->has_exchange || exchange->exchange_no != exchange_no)
	{
		finish_exchange(planner);
		begin_exchange(planner, exchange_no, DatumGetTimestampTz(values[1]) - planner->base);
		if (!nulls[16])
			planner_noise_take(planner, exchange, DatumGetInt64(values[16]));
	}
	exchange->finished_us = DatumGetTimestampTz(values[2]) - planner->base;
	append_bytes(&planner->bytes, values[4], nulls[4]);
	append_bytes(&planner->answer, values[5], nulls[5]);
	planner->response_bytes += (uint64) DatumGetInt64(values[6]);
	exchange->row_count += DatumGetInt64(values[7]);
	exchange->data_row_count += DatumGetInt64(values[8]);
	exchange->statement_count += DatumGetInt32(values[9]);
	if (!nulls[10])
		exchange->tag_len = (uint8) copy_text(exchange->tag, sizeof(exchange->tag), values[10]);
	if (!nulls[11] && exchange->sqlstate[0] == 0)
		copy_text(exchange->sqlstate, sizeof(exchange->sqlstate), values[11]);
	if (!nulls[12])
		exchange->transaction_status = DatumGetChar(values[12]);
	exchange->is_complete = DatumGetBool(values[13]);
	planner->is_copy |= is_text(values[3], "copy");
	planner->is_redacted |= DatumGetBool(values[17]);
	planner->is_request_redacted |= DatumGetBool(values[18]);
	exchange->has_digest = !nulls[14];
	exchange->row_digest = nulls[14] ? 0 : (uint64) DatumGetInt64(values[14]);
	exchange->row_set_digest = nulls[15] ? 0 : (uint64) DatumGetInt64(values[15]);
}

/*
 * Returns how many rows of the session in hand to fetch at one time.
 */
static long
fetch_rows(const Planner *planner)
{
	int64 rows = PLANNER_FETCH_BYTES / Max(planner->largest, 1);

	return (long) Min(Max(rows, 1), PLANNER_FETCH_ROWS);
}

/*
 * Reads a session's exchanges into the plan.
 */
void
planner_read_exchanges(Planner *planner, int64 session_id)
{
	static SPIPlanPtr plan;
	Oid type = INT8OID;
	Datum value = Int64GetDatum(session_id);
	Portal portal;

	if (!plan)
	{
		plan = SPI_prepare_cursor(exchanges_sql, 1, &type, CURSOR_OPT_NO_SCROLL);
		if (!plan || SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));
	}
	portal = SPI_cursor_open(NULL, plan, &value, NULL, true);
	MemoryContextSwitchTo(planner->context); /* SPI leaves its own, which lasts longer */
	planner->session_id = session_id;
	planner->has_exchange = false;
	planner->count = 0;
	planner->finished = NULL;
	planner->after = -1;
	planner->turn = PG_INT64_MIN;
	planner->filtered = planner->skipped = 0;
	planner->kinds = replay_kinds_begin();
	planner->prelude = planner_prelude_begin();
	planner->rollback = planner_rollback_begin();
	planner->status = 'I';
	initStringInfo(&planner->bytes);
	initStringInfo(&planner->answer);
	for (;;)
	{
		SPITupleTable *fetched;
		uint64 count;

		SPI_cursor_fetch(portal, true, fetch_rows(planner));
		MemoryContextSwitchTo(planner->context);
		fetched = SPI_tuptable;
		count = SPI_processed;
		if (count == 0)
			break;
		for (uint64 i = 0; i < count; i++)
			take_part(planner, fetched->vals[i], fetched->tupdesc);
		SPI_freetuptable(fetched);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextSwitchTo(planner->context);
	finish_exchange(planner);
}
