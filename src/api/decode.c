/*
 * decode.c
 *	  decode_messages(): the messages in any bytes.
 *
 * Bytes that are no protocol are data, never an error: a row says where sense
 * ended and holds the rest.
 */
#include "api/decode.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pgwire_trace_decode_messages);

/* Memory is emptied behind so many bytes: for each small message it would cost. */
#define RESET_BYTES 8192

/* A stream being decoded into rows. */
typedef struct Decoding
{
	ReturnSetInfo *result;
	WireDirection direction;
	WirePhases phases;
	JsonContext context;
	MemoryContext lasting;       /* for what outlives a message */
	Datum names[WIRE_MSG_COUNT]; /* as text; 0: not made yet */
	int32 message_no;
} Decoding;

/*
 * Returns the name that a message is shown by, as text.  Those of the list are
 * made once.
 */
static Datum
name_of(Decoding *decoding, const WireMessage *message)
{
	Datum *name = &decoding->names[message->id];
	MemoryContext before;

	if (message->id == WIRE_MSG_Unknown) /* or opaque */
		return CStringGetTextDatum(json_message_name(message));
	if (*name == 0)
	{
		before = MemoryContextSwitchTo(decoding->lasting);
		*name = CStringGetTextDatum(json_message_name(message));
		MemoryContextSwitchTo(before);
	}
	return *name;
}

/*
 * Adds a message's row.
 */
static void
put_row(Decoding *decoding, const WireMessage *message, size_t at)
{
	bool is_cut;
	Datum values[6];
	bool nulls[6] = {false};

	if (decoding->message_no == PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many messages")));
	values[0] = Int32GetDatum(++decoding->message_no);
	values[1] = Int64GetDatum((int64) at);
	values[2] = CharGetDatum((char) message->type);
	nulls[2] = !message->has_type;
	values[3] = name_of(decoding, message);
	values[4] = Int64GetDatum((int64) message->length);
	nulls[4] = !message->has_length;
	values[5] = JsonbPGetDatum(json_message_body(&decoding->context, message, &is_cut));
	tuplestore_putvalues(decoding->result->setResult, decoding->result->setDesc, values, nulls);
}

/*
 * Decodes all bytes, in a context that is emptied now and then.
 */
static void
decode_all(Decoding *decoding, const uint8 *data, size_t len)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "decode_messages", 0,
	                                              RESET_BYTES * 4, ALLOCSET_DEFAULT_MAXSIZE);
	MemoryContext before = MemoryContextSwitchTo(context);
	size_t at = 0;
	size_t reset_at = 0;

	while (at < len)
	{
		WireMessage message;

		CHECK_FOR_INTERRUPTS();
		wire_stream_next(&decoding->phases, decoding->direction, data + at, len - at, &message);
		put_row(decoding, &message, at);
		at += message.size;
		wire_stream_pass(&decoding->phases, decoding->direction, &message);
		if (at - reset_at >= RESET_BYTES)
		{
			MemoryContextReset(context);
			reset_at = at;
		}
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
}

/*
 * decode_messages(data, direction, phase, encoding)
 */
Datum
pgwire_trace_decode_messages(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	WirePhase phase = decode_phase(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	Decoding decoding = {.direction = decode_direction(text_to_cstring(PG_GETARG_TEXT_PP(1)))};

	json_context_init(&decoding.context, decode_encoding(NameStr(*PG_GETARG_NAME(3))));
	decoding.lasting = CurrentMemoryContext;
	wire_stream_begin(&decoding.phases, decoding.direction, phase);
	InitMaterializedSRF(fcinfo, 0);
	decoding.result = (ReturnSetInfo *) fcinfo->resultinfo;
	decode_all(&decoding, (const uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	return (Datum) 0;
}
