/*
 * exchange.c
 *	  A session's exchanges out of the tables, in order, each with its parts.
 *
 * One row at a time: bytes may be many.  What is read of a row is copied before anything
 * else is asked of SPI, and lives until the exchange ends.
 */
#include "read/read.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define EXCHANGES_QUERY                                                                 \
	"SELECT exchange_no, part_no, started_at, kind, query, query_hashes, command_tag, " \
	"statement_count, row_count, data_row_count, sqlstate, error_message, "             \
	"transaction_status, is_complete, is_truncated, pairing_uncertain, request_bytes, " \
	"response_bytes, request, response FROM pgwire_trace.exchange "                     \
	"WHERE session_id OPERATOR(pg_catalog.=) $1 "                                       \
	"AND ($2 IS NULL OR exchange_no OPERATOR(pg_catalog.<=) $2) ORDER BY exchange_no, part_no"

/* Columns of that query, from 1. */
enum
{
	COLUMN_EXCHANGE_NO = 1,
	COLUMN_PART_NO,
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
	COLUMN_REQUEST_BYTES,
	COLUMN_RESPONSE_BYTES,
	COLUMN_REQUEST,
	COLUMN_RESPONSE
};

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
 * Returns a column of the row that SPI has.
 */
static Datum
column(int number, bool *is_null)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, is_null);
}

/*
 * Returns a text column; NULL for NULL.
 */
static char *
text_column(int number)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number);
}

/*
 * Returns an integer column of 64 bits; 0 for NULL.
 */
static int64
number_column(int number)
{
	bool is_null;
	Datum value = column(number, &is_null);

	return is_null ? 0 : DatumGetInt64(value);
}

/*
 * Returns a boolean column.
 */
static bool
flag_column(int number)
{
	bool is_null;
	Datum value = column(number, &is_null);

	return !is_null && DatumGetBool(value);
}

/*
 * Returns a copy of a bytea column; NULL is no data.
 */
static WireSpan
bytes_column(int number)
{
	bool is_null;
	Datum value = column(number, &is_null);
	bytea *bytes;

	if (is_null)
		return (WireSpan){NULL, 0};
	bytes = DatumGetByteaPCopy(value);
	return (WireSpan){(const uint8 *) VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ};
}

/*
 * Adds the hashes of a part's Binds.
 */
static void
add_hashes(ReadExchange *exchange)
{
	bool is_null;
	Datum value = column(COLUMN_HASHES, &is_null);
	ArrayType *array;
	int64 *hashes;
	int count;

	if (is_null)
		return;
	array = DatumGetArrayTypePCopy(value);
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
 * Reads the row that SPI has as the first part of an exchange.
 */
static void
read_first(ReadExchange *exchange)
{
	bool is_null;
	Datum value;

	memset(exchange, 0, sizeof(*exchange));
	exchange->exchange_no = number_column(COLUMN_EXCHANGE_NO);
	value = column(COLUMN_STARTED_AT, &is_null);
	exchange->started_at = is_null ? 0 : DatumGetTimestampTz(value);
	exchange->kind = text_column(COLUMN_KIND);
	exchange->query = text_column(COLUMN_QUERY);
}

/*
 * Adds what the row that SPI has says to an exchange: it is its first or a further part.
 */
static void
add_part(ReadExchange *exchange)
{
	bool is_null;
	Datum status = column(COLUMN_STATUS, &is_null);
	Datum count;
	char *tag = text_column(COLUMN_TAG);

	exchange->status = is_null ? exchange->status : DatumGetChar(status);
	add_hashes(exchange);
	if (tag)
		exchange->command_tag = tag;
	if (!exchange->sqlstate)
	{
		exchange->sqlstate = text_column(COLUMN_SQLSTATE);
		exchange->error_message = text_column(COLUMN_ERROR_MESSAGE);
	}
	count = column(COLUMN_STATEMENT_COUNT, &is_null);
	exchange->statement_count += is_null ? 0 : DatumGetInt32(count);
	exchange->row_count += number_column(COLUMN_ROW_COUNT);
	exchange->data_row_count += number_column(COLUMN_DATA_ROW_COUNT);
	exchange->is_complete = flag_column(COLUMN_IS_COMPLETE);
	exchange->is_truncated |= flag_column(COLUMN_IS_TRUNCATED);
	exchange->is_uncertain |= flag_column(COLUMN_IS_UNCERTAIN);
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
 * Begins the exchange of the row that SPI has.
 */
static void
begin_exchange(Reading *reading, bool has_bytes)
{
	ReadExchange *exchange = &reading->exchange;
	bool is_wanted;

	read_first(exchange);
	exchange->has_bytes = has_bytes;
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

	if (reading->is_open && number_column(COLUMN_EXCHANGE_NO) != reading->exchange.exchange_no)
		end_exchange(reading);
	before = MemoryContextSwitchTo(reading->context);
	request = bytes_column(COLUMN_REQUEST);
	response = bytes_column(COLUMN_RESPONSE);
	if (!reading->is_open)
		begin_exchange(reading, request.data != NULL || response.data != NULL);
	add_part(&reading->exchange);
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
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(session_id), Int64GetDatum(exchange_no)};
	char nulls[2] = {' ', has_exchange ? ' ' : 'n'};
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
		portal = SPI_cursor_open_with_args(NULL, EXCHANGES_QUERY, 2, types, values, nulls, true, 0);
		read_cursor(&reading, portal);
		SPI_cursor_close(portal);
		read_session_close(reading.session);
	}
	SPI_finish();
	return reading.session != NULL;
}
