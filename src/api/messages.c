/*
 * messages.c
 *	  messages(): what a recorded session said, in wire order.
 *
 * An exchange keeps the bytes of each direction, and when which of them passed
 * (chunks, see record.h).  A message stands where its last byte passed.
 */
#include "api/decode.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(pgwire_trace_messages);

/* One direction of an exchange. */
typedef struct Side
{
	const uint8 *data;
	size_t len;	   /* bytes kept */
	size_t at;	   /* ... and decoded */
	uint64 passed; /* bytes that had passed up to the present chunk */
	bool is_over;  /* nothing more makes sense, or is kept */
} Side;

/* An exchange being shown. */
typedef struct Show
{
	ReturnSetInfo *result;
	Decoder decoder;
	Side sides[2]; /* frontend, backend */
	int64 exchange_no;
	int32 message_no;
	TimestampTz at;
} Show;

/*
 * Adds a message's row.
 */
static void
put_row(Show *show, WireDirection direction, const DecodedMessage *message)
{
	char direction_text[2] = {(char) direction, '\0'};
	Datum values[9];
	bool nulls[9] = {false};

	values[0] = Int64GetDatum(show->exchange_no);
	values[1] = Int32GetDatum(++show->message_no);
	values[2] = TimestampTzGetDatum(show->at);
	values[3] = CStringGetTextDatum(direction_text);
	values[4] = CharGetDatum(message->type);
	nulls[4] = message->type == 0;
	values[5] = CStringGetTextDatum(message->name);
	values[6] = Int64GetDatum(message->length);
	nulls[6] = message->length < 0;
	values[7] = BoolGetDatum(message->is_truncated);
	values[8] = JsonbPGetDatum(message->body);
	tuplestore_putvalues(show->result->setResult, show->result->setDesc, values, nulls);
}

/*
 * Returns how many bytes the next message takes; SIZE_MAX where that can't be
 * told from what is kept.
 */
static size_t
next_size(const Show *show, const Side *side, bool is_front)
{
	const uint8 *at = side->data + side->at;
	size_t left = side->len - side->at;
	size_t header = is_front && show->decoder.is_startup ? 0 : 1;

	if (!is_front && show->decoder.answers_due > 0)
		return 1;
	if (left < header + 4)
		return SIZE_MAX;
	return header + ((size_t) at[header] << 24 | (size_t) at[header + 1] << 16 |
					 (size_t) at[header + 2] << 8 | at[header + 3]);
}

/*
 * Shows the messages of a side that have passed whole.
 */
static void
show_passed(Show *show, WireDirection direction, bool is_last)
{
	Side *side = &show->sides[direction == WIRE_BACKEND];

	while (!side->is_over && side->at < side->len)
	{
		DecodedMessage message;
		size_t size = next_size(show, side, direction == WIRE_FRONTEND);

		/* one that is not whole yet comes with a later chunk, or is cut */
		if (!is_last && (size == SIZE_MAX || side->at + size > side->passed))
			return;
		size = decode_message(&show->decoder, direction, side->data + side->at,
							  side->len - side->at, &message);
		put_row(show, direction, &message);
		side->is_over = size == 0;
		side->at += size;
		CHECK_FOR_INTERRUPTS();
	}
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
 * Shows an exchange.
 */
static void
show_exchange(Show *show, TimestampTz started_at, const uint8 *chunks, size_t chunks_len)
{
	size_t at = 0;
	uint64 bytes;
	uint64 gap;

	show->at = started_at;
	while (read_varint(chunks, chunks_len, &at, &bytes) &&
		   read_varint(chunks, chunks_len, &at, &gap))
	{
		Side *side = &show->sides[bytes & 1];

		show->at += (int64) gap;
		side->passed += bytes >> 1;
		show_passed(show, bytes & 1 ? WIRE_BACKEND : WIRE_FRONTEND, false);
	}
	show_passed(show, WIRE_FRONTEND, true);
	show_passed(show, WIRE_BACKEND, true);
}

/*
 * Reads a bytea column of a row of SPI's result.
 */
static const uint8 *
bytes_column(int row, int column, size_t *len)
{
	bool is_null;
	Datum value =
		SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
	bytea *bytes;

	*len = 0;
	if (is_null)
		return NULL;
	bytes = DatumGetByteaPP(value);
	*len = VARSIZE_ANY_EXHDR(bytes);
	return (const uint8 *) VARDATA_ANY(bytes);
}

/*
 * Reads a column that is not NULL.
 */
static Datum
column(int row, int number)
{
	bool is_null;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, &is_null);
}

/*
 * Returns the encoding that a session was recorded in.
 */
static int
session_encoding(int64 session_id)
{
	Oid type = INT8OID;
	Datum value = Int64GetDatum(session_id);
	int encoding = -1;
	char *name;

	if (SPI_execute_with_args("SELECT server_parameters->>'client_encoding' FROM "
							  "pgwire_trace.session WHERE session_id = $1",
							  1, &type, &value, NULL, true, 1) < 0)
		elog(ERROR, "could not read table \"session\"");
	if (SPI_processed == 1)
	{
		name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		encoding = name ? pg_char_to_encoding(name) : -1;
	}
	return encoding >= 0 ? encoding : GetDatabaseEncoding();
}

/*
 * Shows the exchange in a row of SPI's result.
 */
static void
show_row(ReturnSetInfo *result, int row, int encoding)
{
	Show show = {.result = result,
				 .decoder = {.phase = WIRE_PHASE_PASSWORD,
							 .is_masked = true,
							 .knows_formats = true,
							 .encoding = encoding}};
	char *kind = TextDatumGetCString(column(row, 3));
	const uint8 *chunks;
	size_t chunks_len;

	show.exchange_no = DatumGetInt64(column(row, 1));
	show.decoder.is_startup = strcmp(kind, "startup") == 0 || strcmp(kind, "cancel") == 0;
	show.sides[0].data = bytes_column(row, 4, &show.sides[0].len);
	show.sides[1].data = bytes_column(row, 5, &show.sides[1].len);
	chunks = bytes_column(row, 6, &chunks_len);
	show_exchange(&show, DatumGetTimestampTz(column(row, 2)), chunks, chunks_len);
}

/*
 * messages(session_id, exchange_no)
 */
Datum
pgwire_trace_messages(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2];
	char nulls[2] = {' ', PG_ARGISNULL(1) ? 'n' : ' '};
	MemoryContext context;
	Portal portal;
	int encoding;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	SPI_connect();
	encoding = session_encoding(PG_GETARG_INT64(0));
	portal = SPI_cursor_open_with_args(
		NULL,
		"SELECT exchange_no, started_at, kind, request, response, chunks FROM "
		"pgwire_trace.exchange WHERE session_id = $1 AND ($2 IS NULL OR exchange_no = $2) "
		"ORDER BY exchange_no, part_no",
		2, types, values, nulls, true, 0);
	context = AllocSetContextCreate(CurrentMemoryContext, "messages", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		MemoryContext before;

		SPI_cursor_fetch(portal, true, 1);
		if (SPI_processed == 0)
			break;
		before = MemoryContextSwitchTo(context);
		show_row(result, 0, encoding);
		MemoryContextSwitchTo(before);
		MemoryContextReset(context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
	return (Datum) 0;
}
