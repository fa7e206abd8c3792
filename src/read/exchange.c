/*
 * exchange.c
 *	  A session's exchanges out of the tables, in order, each with its parts.
 *
 * One row at a time: bytes may be many.  What is read of a row is copied before anything
 * else is asked of SPI, and lives until the exchange ends.
 */
#include "read/query.h"
#include "read/read.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* the index on a session's exchanges gives them in order, without a sort of all */
static ReadQuery exchanges_query = {
    "SELECT exchange_no, started_at, kind, query, query_hashes, command_tag, statement_count, "
    "row_count, data_row_count, sqlstate, error_message, transaction_status, is_complete, "
    "is_truncated, pairing_uncertain, request, response FROM pgwire_trace.exchange "
    "WHERE session_id OPERATOR(pg_catalog.=) $1 AND exchange_no OPERATOR(pg_catalog.<=) $2 "
    "ORDER BY exchange_no, part_no",
    2, NULL};

/* Columns of that query. */
enum
{
	COLUMN_EXCHANGE_NO,
	COLUMN_STARTED_AT,
	COLUMN_KIND,
	COLUMN_QUERY,
	COLUMN_HASHES,
	COLUMN_TAG,
	COLUMN_STATEMENT_COUNT,
	COLUMN_ROW_COUNT,
	COLUMN_DATA_ROW_COUNT,
	COLUMN_SQLSTATE,
	COLUMN_ERROR_MESSAGE,
	COLUMN_STATUS,
	COLUMN_IS_COMPLETE,
	COLUMN_IS_TRUNCATED,
	COLUMN_IS_UNCERTAIN,
	COLUMN_REQUEST,
	COLUMN_RESPONSE,
	COLUMNS
};

/* A row of it. */
typedef struct Row
{
	Datum values[COLUMNS];
	bool nulls[COLUMNS];
} Row;

/* A session being read. */
typedef struct Reading
{
	ReadSession *session;
	ReadFollow *follow;
	const ReadSink *sink;
	bool has_exchange; /* only one is wanted */
	int64 wanted;
	int64 last_no;         /* of the exchange before, -1 at first */
	char last_status;      /* of the transaction behind it */
	MemoryContext context; /* of the exchange in hand */
	bool is_open;
	ReadExchange exchange;
} Reading;

/*
 * Returns a text column; NULL for NULL.
 */
static char *
text_column(const Row *row, int column)
{
	return row->nulls[column] ? NULL : TextDatumGetCString(row->values[column]);
}

/*
 * Returns an integer column of 64 bits; 0 for NULL.
 */
static int64
number_column(const Row *row, int column)
{
	return row->nulls[column] ? 0 : DatumGetInt64(row->values[column]);
}

/*
 * Returns a boolean column.
 */
static bool
flag_column(const Row *row, int column)
{
	return !row->nulls[column] && DatumGetBool(row->values[column]);
}

/*
 * Returns a copy of a bytea column; NULL is no data.
 */
static WireSpan
bytes_column(const Row *row, int column)
{
	bytea *bytes;

	if (row->nulls[column])
		return (WireSpan){NULL, 0};
	bytes = DatumGetByteaPCopy(row->values[column]);
	return (WireSpan){(const uint8 *) VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ};
}

/*
 * Adds the hashes of a part's Binds.
 */
static void
add_hashes(ReadExchange *exchange, const Row *row)
{
	ArrayType *array;
	int64 *hashes;
	int count;

	if (row->nulls[COLUMN_HASHES])
		return;
	array = DatumGetArrayTypePCopy(row->values[COLUMN_HASHES]);
	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array) || ARR_ELEMTYPE(array) != INT8OID)
		return;
	count = ARR_DIMS(array)[0];
	hashes = palloc(sizeof(int64) * (exchange->hash_count + count));
	if (exchange->hash_count > 0)
		memcpy(hashes, exchange->hashes, sizeof(int64) * exchange->hash_count);
	memcpy(hashes + exchange->hash_count, ARR_DATA_PTR(array), sizeof(int64) * count);
	exchange->hashes = hashes;
	exchange->hash_count += count;
}

/*
 * Reads a row as the first part of an exchange.
 */
static void
read_first(ReadExchange *exchange, const Row *row)
{
	memset(exchange, 0, sizeof(*exchange));
	exchange->exchange_no = number_column(row, COLUMN_EXCHANGE_NO);
	exchange->started_at = number_column(row, COLUMN_STARTED_AT);
	exchange->kind = text_column(row, COLUMN_KIND);
	exchange->query = text_column(row, COLUMN_QUERY);
}

/*
 * Adds what a row says to an exchange: it is its first or a further part.
 */
static void
add_part(ReadExchange *exchange, const Row *row)
{
	char *tag = text_column(row, COLUMN_TAG);

	if (!row->nulls[COLUMN_STATUS])
		exchange->status = DatumGetChar(row->values[COLUMN_STATUS]);
	add_hashes(exchange, row);
	if (tag)
		exchange->command_tag = tag;
	if (!exchange->sqlstate)
	{
		exchange->sqlstate = text_column(row, COLUMN_SQLSTATE);
		exchange->error_message = text_column(row, COLUMN_ERROR_MESSAGE);
	}
	if (!row->nulls[COLUMN_STATEMENT_COUNT])
		exchange->statement_count += DatumGetInt32(row->values[COLUMN_STATEMENT_COUNT]);
	exchange->row_count += number_column(row, COLUMN_ROW_COUNT);
	exchange->data_row_count += number_column(row, COLUMN_DATA_ROW_COUNT);
	exchange->is_complete = flag_column(row, COLUMN_IS_COMPLETE);
	exchange->is_truncated |= flag_column(row, COLUMN_IS_TRUNCATED);
	exchange->is_uncertain |= flag_column(row, COLUMN_IS_UNCERTAIN);
}

/*
 * Ends the exchange in hand.
 */
static void
end_exchange(Reading *reading)
{
	MemoryContext before;

	if (!reading->is_open)
		return;
	before = MemoryContextSwitchTo(reading->context);
	read_follow_end(reading->follow, &reading->exchange);
	if (reading->exchange.status != 0)
		reading->last_status = reading->exchange.status;
	MemoryContextSwitchTo(before);
	MemoryContextReset(reading->context);
	reading->is_open = false;
}

/*
 * Tells whether exchanges of a kind run statements.  What a startup says of settings is
 * in the session's row.
 */
static bool
runs_statements(const char *kind)
{
	static const char *const others[] = {"startup", "cancel", "async", "terminate"};

	for (size_t i = 0; i < lengthof(others); i++)
		if (strcmp(kind, others[i]) == 0)
			return false;
	return true;
}

/*
 * Begins the exchange of a row.
 */
static void
begin_exchange(Reading *reading, const Row *row)
{
	ReadExchange *exchange = &reading->exchange;
	bool is_wanted;

	read_first(exchange, row);
	exchange->has_bytes = !row->nulls[COLUMN_REQUEST] || !row->nulls[COLUMN_RESPONSE];
	exchange->status_before = reading->last_status;
	if (exchange->exchange_no != reading->last_no + 1)
		reading->session->has_gap = true;
	reading->last_no = exchange->exchange_no;
	reading->is_open = true;
	is_wanted = !reading->has_exchange || exchange->exchange_no == reading->wanted;
	is_wanted &= runs_statements(exchange->kind);
	read_follow_begin(reading->follow, exchange, is_wanted ? reading->sink : NULL);
}

/*
 * Reads the row that SPI has, and frees it.
 */
static void
read_row(Reading *reading)
{
	MemoryContext before;
	WireSpan request;
	WireSpan response;
	Row row;

	heap_deform_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, row.values, row.nulls);
	if (reading->is_open &&
	    number_column(&row, COLUMN_EXCHANGE_NO) != reading->exchange.exchange_no)
		end_exchange(reading);
	before = MemoryContextSwitchTo(reading->context);
	if (!reading->is_open)
		begin_exchange(reading, &row);
	add_part(&reading->exchange, &row);
	request = bytes_column(&row, COLUMN_REQUEST);
	response = bytes_column(&row, COLUMN_RESPONSE);
	SPI_freetuptable(SPI_tuptable);
	if (!runs_statements(reading->exchange.kind))
		reading->exchange.statement_count = 0;
	if (strcmp(reading->exchange.kind, "startup") != 0)
		read_follow_bytes(reading->follow, request, response);
	MemoryContextSwitchTo(before);
}

/*
 * Reads all rows that the cursor gives.
 */
static void
read_cursor(Reading *reading, Portal portal)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, 1);
		if (SPI_processed == 0)
			break;
		read_row(reading);
	}
	end_exchange(reading);
}

/*
 * Reads a session, or one exchange of it; see read.h.
 */
bool
read_session(int64 session_id, bool has_exchange, int64 exchange_no, const ReadSink *sink,
             void (*opened)(void *arg, ReadSession *session), void *arg)
{
	Datum values[2] = {Int64GetDatum(session_id),
	                   Int64GetDatum(has_exchange ? exchange_no : PG_INT64_MAX)};
	Reading reading = {
	    .sink = sink, .has_exchange = has_exchange, .wanted = exchange_no, .last_no = -1};
	Portal portal;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	reading.session = read_session_open(session_id);
	if (reading.session)
	{
		reading.follow = read_follow_create(reading.session, arg);
		reading.context =
		    AllocSetContextCreate(CurrentMemoryContext, "exchange", ALLOCSET_DEFAULT_SIZES);
		if (opened)
			opened(arg, reading.session);
		portal = SPI_cursor_open(NULL, read_query_plan(&exchanges_query), values, NULL, true);
		read_cursor(&reading, portal);
		SPI_cursor_close(portal);
		read_session_close(reading.session);
	}
	SPI_finish();
	return reading.session != NULL;
}
