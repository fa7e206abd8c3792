/*
 * messages_read.c
 *	  The messages of a recorded session, in wire order.
 *
 * An exchange keeps the first bytes of each direction, and when which of all
 * bytes passed (its chunks, see record.h).  A message stands where its last byte
 * passed.  Parts of an exchange are streams that begin anew: a part ends where a
 * message does.
 */
#include "api/decode.h"

#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "read/query.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* One direction of an exchange. */
typedef struct Side
{
	WireDirection direction;
	const uint8 *data;
	size_t len;    /* bytes kept */
	size_t at;     /* ... of which so many were shown */
	uint64 passed; /* bytes that had passed up to the present chunk */
	int64 bytes;   /* bytes that there were */
	bool is_over;  /* nothing more is kept, or makes sense */
} Side;

/* A session being read. */
typedef struct Reading
{
	RecordedTake take;
	void *arg;
	MemoryContext message_context;
	JsonContext json;
	FormatTracker *formats;
	bool is_replication; /* of the session */
	WirePhases phases;
	int32 part_no; /* of which the phases are those at the end; 0: none */
	bool is_cut;   /* not all of that part's answer is there */
	Side sides[2]; /* frontend, backend */
	RecordedMessage recorded;
} Reading;

/* Columns of the query below, from 1. */
enum
{
	COLUMN_EXCHANGE_NO = 1,
	COLUMN_PART_NO,
	COLUMN_STARTED_AT,
	COLUMN_KIND,
	COLUMN_REQUEST,
	COLUMN_RESPONSE,
	COLUMN_CHUNKS,
	COLUMN_REQUEST_BYTES,
	COLUMN_RESPONSE_BYTES
};

#define SESSION_EXCHANGES_QUERY                                                                 \
	"SELECT exchange_no, part_no, started_at, kind, request, response, chunks, request_bytes, " \
	"response_bytes FROM pgwire_trace.exchange WHERE session_id OPERATOR(pg_catalog.=) $1 "
#define IN_ORDER "ORDER BY exchange_no, part_no"

static ReadQuery session_query = {
    "SELECT server_parameters OPERATOR(pg_catalog.->>) 'client_encoding', "
    "startup_parameters OPERATOR(pg_catalog.->>) 'replication' "
    "FROM pgwire_trace.session WHERE session_id OPERATOR(pg_catalog.=) $1",
    1, NULL};
static ReadQuery all_exchanges_query = {SESSION_EXCHANGES_QUERY IN_ORDER, 1, NULL};
static ReadQuery exchange_query = {
    SESSION_EXCHANGES_QUERY "AND exchange_no OPERATOR(pg_catalog.=) $2 " IN_ORDER, 2, NULL};

/*
 * Gives a message to the taker, in the context of messages.
 */
static void
give(Reading *reading, const Side *side, const WireMessage *message)
{
	MemoryContext before = MemoryContextSwitchTo(reading->message_context);

	reading->recorded.message_no++;
	reading->recorded.direction = side->direction;
	reading->recorded.message = message;
	formats_apply(reading->formats, side->direction, message->id, &reading->json);
	reading->take(reading->arg, &reading->recorded);
	formats_pass(reading->formats, side->direction, message);
	MemoryContextSwitchTo(before);
	MemoryContextReset(reading->message_context);
}

/*
 * Gives the messages of a side that have passed whole; at the exchange's end
 * also one that is cut.
 */
static void
give_passed(Reading *reading, Side *side, bool is_end)
{
	while (!side->is_over && side->at < side->len)
	{
		WireMessage message;

		CHECK_FOR_INTERRUPTS();
		wire_stream_next(&reading->phases, side->direction, side->data + side->at,
		                 side->len - side->at, &message);
		if (!is_end && (message.form == WIRE_FORM_CUT || side->at + message.size > side->passed))
			return;
		give(reading, side, &message);
		side->at += message.size;
		side->is_over = message.form != WIRE_FORM_WHOLE;
		wire_stream_pass(&reading->phases, side->direction, &message);
	}
}

/*
 * Ends a side: what a limit cut off exactly behind a message is a row as well.
 */
static void
end_side(Reading *reading, Side *side)
{
	WireMessage message = {.form = WIRE_FORM_CUT, .id = WIRE_MSG_Unknown};

	give_passed(reading, side, true);
	if (side->is_over || side->bytes <= (int64) side->len)
		return;
	message.body = (WireSpan){side->data + side->len, 0};
	give(reading, side, &message);
}

/*
 * Reads a number of the chunks: 7 bits a byte, low first.
 */
static bool
read_varint(const uint8 *data, size_t len, size_t *at, uint64 *number)
{
	*number = 0;
	for (int shift = 0; shift < 64 && *at < len; shift += 7)
	{
		uint8 byte = data[(*at)++];

		*number |= (uint64) (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/*
 * Gives the messages of an exchange, chunk by chunk.
 */
static void
read_chunks(Reading *reading, const uint8 *chunks, size_t len)
{
	size_t at = 0;
	uint64 bytes;
	uint64 gap;

	while (read_varint(chunks, len, &at, &bytes) && read_varint(chunks, len, &at, &gap))
	{
		Side *side = &reading->sides[bytes & 1];

		reading->recorded.at += (int64) Min(gap, (uint64) PG_INT32_MAX * USECS_PER_SEC);
		side->passed += bytes >> 1;
		give_passed(reading, side, false);
	}
	end_side(reading, &reading->sides[0]);
	end_side(reading, &reading->sides[1]);
}

/*
 * Returns a column of the row that SPI has, in the present context.
 */
static Datum
column(int number, bool *is_null)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, is_null);
}

/*
 * Returns a bytea column; NULL is no bytes.
 */
static const uint8 *
bytes_column(int number, size_t *len)
{
	bool is_null;
	Datum value = column(number, &is_null);
	bytea *bytes;

	*len = 0;
	if (is_null)
		return NULL;
	bytes = DatumGetByteaPP(value);
	*len = VARSIZE_ANY_EXHDR(bytes);
	return (const uint8 *) VARDATA_ANY(bytes);
}

/*
 * Sets a side to what the row that SPI has holds of it.  Where no bytes were
 * recorded at all there is nothing to show as cut.
 */
static void
read_side(Side *side, WireDirection direction, int data_column, int bytes_number)
{
	bool is_null;
	Datum bytes = column(bytes_number, &is_null);

	memset(side, 0, sizeof(*side));
	side->direction = direction;
	side->bytes = is_null ? 0 : DatumGetInt64(bytes);
	side->data = bytes_column(data_column, &side->len);
	side->is_over = side->data == NULL;
}

/*
 * Returns the phase that an exchange begins in; or a part of one, where the part
 * before it is not there.
 */
static WirePhase
first_phase(const char *kind, bool is_first)
{
	if (strcmp(kind, "startup") == 0 || strcmp(kind, "cancel") == 0)
		return WIRE_PHASE_STARTUP;
	if (is_first)
		return WIRE_PHASE_NORMAL;
	if (strcmp(kind, "replication") == 0)
		return WIRE_PHASE_REPLICATION;
	return strcmp(kind, "copy") == 0 ? WIRE_PHASE_COPY : WIRE_PHASE_NORMAL;
}

/*
 * Sets the phases for an exchange, or a part of one.  A part goes on where the one
 * before it ended.
 */
static void
begin_phases(Reading *reading, const char *kind, int32 part_no, bool is_other)
{
	WirePhase phase = first_phase(kind, part_no <= 1);
	bool is_behind = !is_other && part_no == reading->part_no + 1;

	if (!is_behind)
	{
		wire_stream_begin(&reading->phases, WIRE_FRONTEND, phase);
		reading->phases.is_alone = false;
		reading->phases.is_replication = reading->is_replication;
	}
	if (part_no > 1 && (!is_behind || reading->is_cut))
	{
		reading->phases.front = reading->phases.back = phase;
		reading->phases.in_stream = false;
	}
	reading->part_no = part_no;
}

/*
 * Gives the messages of the exchange in the row that SPI has.
 */
static void
read_exchange(Reading *reading)
{
	bool is_null;
	size_t len;
	const uint8 *chunks = bytes_column(COLUMN_CHUNKS, &len);
	int32 part_no = DatumGetInt32(column(COLUMN_PART_NO, &is_null));
	int64 exchange_no = DatumGetInt64(column(COLUMN_EXCHANGE_NO, &is_null));
	bool is_other = part_no <= 1 || exchange_no != reading->recorded.exchange_no;
	Datum kind = column(COLUMN_KIND, &is_null);

	begin_phases(reading, is_null ? "" : TextDatumGetCString(kind), part_no, is_other);
	reading->recorded.exchange_no = exchange_no;
	reading->recorded.at = DatumGetTimestampTz(column(COLUMN_STARTED_AT, &is_null));
	if (is_other)
	{
		reading->recorded.message_no = 0;
		formats_begin_exchange(reading->formats);
	}
	read_side(&reading->sides[0], WIRE_FRONTEND, COLUMN_REQUEST, COLUMN_REQUEST_BYTES);
	read_side(&reading->sides[1], WIRE_BACKEND, COLUMN_RESPONSE, COLUMN_RESPONSE_BYTES);
	read_chunks(reading, chunks, len);
	reading->is_cut = reading->sides[1].bytes > (int64) reading->sides[1].len;
}

/*
 * Tells whether a startup packet's "replication" asks for a replication connection,
 * as the server reads it.
 */
static bool
is_replication_value(const char *value)
{
	bool is_on;

	return value && (strcmp(value, "database") == 0 || (parse_bool(value, &is_on) && is_on));
}

/*
 * Reads what the session's row says of its messages: whether it is a replication
 * connection, and the encoding of values, which it returns.
 */
static int
read_session(Reading *reading, int64 session_id)
{
	Datum value = Int64GetDatum(session_id);
	int encoding = -1;

	if (SPI_execute_plan(read_query_plan(&session_query), &value, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"session\"");
	if (SPI_processed == 1)
	{
		char *name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		encoding = name ? pg_char_to_encoding(name) : -1;
		reading->is_replication =
		    is_replication_value(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	}
	return encoding >= 0 ? encoding : GetDatabaseEncoding();
}

/*
 * Reads the exchanges that the cursor gives, one at a time: each may be large.
 */
static void
read_cursor(Reading *reading, Portal portal)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "exchange", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContext before;

		SPI_cursor_fetch(portal, true, 1);
		if (SPI_processed == 0)
			break;
		before = MemoryContextSwitchTo(context);
		read_exchange(reading);
		MemoryContextSwitchTo(before);
		MemoryContextReset(context);
		SPI_freetuptable(SPI_tuptable);
	}
}

/*
 * Reads a session's messages, or those of one exchange; see decode.h.
 */
void
messages_read(int64 session_id, bool has_exchange, int64 exchange_no, RecordedTake take, void *arg)
{
	Datum values[2] = {Int64GetDatum(session_id), Int64GetDatum(exchange_no)};
	ReadQuery *query = has_exchange ? &exchange_query : &all_exchanges_query;
	Reading reading = {.take = take, .arg = arg};
	Portal portal;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	json_context_init(&reading.json, read_session(&reading, session_id));
	reading.json.is_masked = true;
	reading.recorded.context = &reading.json;
	reading.formats = formats_create();
	reading.message_context =
	    AllocSetContextCreate(CurrentMemoryContext, "message", ALLOCSET_DEFAULT_SIZES);
	portal = SPI_cursor_open(NULL, read_query_plan(query), values, NULL, true);
	read_cursor(&reading, portal);
	SPI_cursor_close(portal);
	SPI_finish();
}
