/*
 * status.c
 *	  The rows behind the views stat_relay and stat_writer, read from the board.
 *
 * The board is read as it is, without a lock: counters of one row may be a
 * moment apart.
 */
#include "server/server.h"

#include "api/status.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(pgwire_trace_stat_relay);
PG_FUNCTION_INFO_V1(pgwire_trace_stat_writer);

#define RELAY_COLUMNS 24
#define WRITER_COLUMNS 8

/* A row that is being filled, column by column. */
typedef struct Row
{
	Datum values[RELAY_COLUMNS];
	bool nulls[RELAY_COLUMNS];
	int count;
} Row;

/*
 * Adds a value to a row.
 */
static void
put(Row *row, Datum value, bool is_null)
{
	Assert(row->count < RELAY_COLUMNS);
	row->values[row->count] = value;
	row->nulls[row->count++] = is_null;
}

/*
 * Adds a counter to a row.
 */
static void
put_counter(Row *row, const BoardU64 *counter)
{
	put(row, Int64GetDatum((int64) board_get(counter)), false);
}

/*
 * Adds a process id to a row; NULL for none.
 */
static void
put_pid(Row *row, const BoardU32 *pid)
{
	uint32 value = atomic_load(pid);

	put(row, Int32GetDatum((int32) value), value == 0);
}

/*
 * Adds a time to a row; NULL for none.
 */
static void
put_time(Row *row, const BoardI64 *time)
{
	TimestampTz value = atomic_load(time);

	put(row, TimestampTzGetDatum(value), value == 0);
}

/*
 * Adds the last error and its time; NULL if there was none.  The text's writer
 * may be in the middle of it: what is copied is ended here, and made valid.
 */
static void
put_error(Row *row, const char *text, const BoardI64 *at)
{
	char copy[BOARD_TEXT];
	TimestampTz when = atomic_load(at);

	memcpy(copy, text, sizeof(copy));
	copy[sizeof(copy) - 1] = '\0';
	if (!pg_verifymbstr(copy, (int) strlen(copy), true))
		for (char *byte = copy; *byte; byte++)
			if (IS_HIGHBIT_SET(*byte))
				*byte = '?';
	put(row, CStringGetTextDatum(copy), when == 0);
	put(row, TimestampTzGetDatum(when), when == 0);
}

/*
 * Fills a row of stat_relay.
 */
static void
fill_relay(Row *row, int relay_no)
{
	const BoardRelay *relay = &pgwt_board->relays[relay_no];

	put(row, Int32GetDatum(relay_no), false);
	put_pid(row, &relay->pid);
	put_time(row, &relay->started_at);
	put_counter(row, &relay->restarts);
	put_counter(row, &relay->sessions_open);
	put_counter(row, &relay->sessions_total);
	put_counter(row, &relay->sessions_refused);
	put_counter(row, &relay->sessions_filtered);
	put_counter(row, &relay->sessions_sampled_out);
	put_counter(row, &relay->sessions_unrecorded);
	put_counter(row, &relay->startups_failed);
	put_counter(row, &relay->exchanges_finished);
	put_counter(row, &relay->exchanges_journalled);
	put_counter(row, &relay->exchanges_dropped_journal_full);
	put_counter(row, &relay->exchanges_dropped_disk_full);
	put_counter(row, &relay->exchanges_lost_in_crash);
	put_counter(row, &relay->exchanges_paused);
	put_counter(row, &relay->exchanges_too_short);
	put_counter(row, &relay->sessions_desynchronised);
	put_counter(row, &relay->bytes_from_client);
	put_counter(row, &relay->bytes_to_client);
	put_counter(row, &relay->bytes_allocated);
	put_error(row, relay->last_error, &relay->last_error_at);
}

/*
 * Returns the rows of stat_relay.
 */
Datum
pgwire_trace_stat_relay(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	pgwt_require_preloaded();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < pgwt_relay_processes; i++)
	{
		Row row = {.count = 0};

		fill_relay(&row, i);
		Assert(row.count == result->setDesc->natts);
		tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
	}
	PG_RETURN_NULL();
}

/*
 * Returns a state of the writer's as stat_writer shows it.
 */
const char *
status_writer_state(uint32 state)
{
	static const char *const names[] = {
	    [WRITER_NOT_STARTED] = "starting",      [WRITER_STARTING] = "starting",
	    [WRITER_RUNNING] = "running",           [WRITER_IDLE] = "idle",
	    [WRITER_WAITING_LOCK] = "waiting_lock", [WRITER_WAITING_EXTENSION] = "waiting_extension",
	    [WRITER_WAITING_DISK] = "waiting_disk", [WRITER_STANDBY] = "standby",
	    [WRITER_REFUSED] = "refused",           [WRITER_PAUSED] = "paused",
	};

	return state < lengthof(names) ? names[state] : "starting";
}

/*
 * Returns how old the oldest exchange is that waits to be stored; nothing waits:
 * no time at all.
 */
static Interval *
lag_since(int64 oldest)
{
	Interval *lag = palloc0(sizeof(Interval));

	if (oldest != 0)
		lag->time = Max(0, pgwt_now() - oldest);
	return lag;
}

/*
 * Returns the row of stat_writer.
 */
Datum
pgwire_trace_stat_writer(PG_FUNCTION_ARGS)
{
	const BoardWriter *writer;
	TupleDesc descriptor;
	Row row = {.count = 0};

	pgwt_require_preloaded();
	writer = &pgwt_board->writer;
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	put_pid(&row, &writer->pid);
	put(&row, CStringGetTextDatum(status_writer_state(atomic_load(&writer->state))), false);
	put_counter(&row, &writer->rows_stored);
	put_counter(&row, &writer->journal_bytes_waiting);
	put(&row, IntervalPGetDatum(lag_since(atomic_load(&writer->oldest_waiting_at))), false);
	put_counter(&row, &writer->exchanges_quarantined);
	put_error(&row, writer->last_error, &writer->last_error_at);
	Assert(row.count == WRITER_COLUMNS && descriptor->natts == WRITER_COLUMNS);
	PG_RETURN_DATUM(
	    HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), row.values, row.nulls)));
}
