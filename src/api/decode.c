/*
 * decode.c
 *	  decode_messages(): the messages in any bytes.
 *
 * Bytes that are no protocol are data, never an error: a row says where sense
 * ended and holds the rest.
 *
 * Bodies are laid out with room in front of them (json_room), so that a row is made
 * by putting its other columns there: forming a tuple of values would take longer
 * than decoding most messages does.  What comes before the body differs between two
 * messages of one type in three numbers alone, so it is kept for each type.
 */
#include "api/decode.h"

#include "fmgr.h"
#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pgwire_trace_decode_messages);

/* Memory is emptied behind so many bytes: for each small message it would cost. */
#define RESET_BYTES 8192

/* Where columns of a row stand: as in a structure, up to the first that varies in length. */
typedef struct RowBegin
{
	int32 message_no;
	int64 at_byte;
	char type;
	char name[FLEXIBLE_ARRAY_MEMBER];
} RowBegin;

/* A type's row, up to its body. */
typedef struct RowHead
{
	uint32 len;                                                  /* 0: not made yet */
	char bytes[JSON_LEAD] pg_attribute_aligned(MAXIMUM_ALIGNOF); /* a tuple's header, columns */
} RowHead;

/* A stream being decoded into rows. */
typedef struct Decoding
{
	ReturnSetInfo *result;
	WireDirection direction;
	WirePhases phases;
	JsonContext context;
	RowHead heads[WIRE_MSG_COUNT];
	int32 message_no;
} Decoding;

/*
 * Forms the tuple of a message's row.
 */
static HeapTuple
form_row(const Decoding *decoding, const WireMessage *message, size_t at, Jsonb *body)
{
	Datum values[6];
	bool nulls[6] = {false};

	values[0] = Int32GetDatum(decoding->message_no);
	values[1] = Int64GetDatum((int64) at);
	values[2] = CharGetDatum((char) message->type);
	nulls[2] = !message->has_type;
	values[3] = CStringGetTextDatum(json_message_name(message));
	values[4] = Int64GetDatum((int64) message->length);
	nulls[4] = !message->has_length;
	values[5] = JsonbPGetDatum(body);
	return heap_form_tuple(decoding->result->setDesc, values, nulls);
}

/*
 * Keeps what the rows of a message's type begin with: a formed row of it up to the
 * body, which is the last column.
 */
static void
make_head(Decoding *decoding, const WireMessage *message, RowHead *head)
{
	Jsonb *empty = palloc0(sizeof(Jsonb));
	HeapTuple row;

	SET_VARSIZE(empty, VARHDRSZ);
	row = form_row(decoding, message, 0, empty);
	head->len = row->t_len - VARHDRSZ_SHORT;
	Assert(head->len == MAXALIGN(head->len) && head->len <= JSON_LEAD);
	memcpy(head->bytes, row->t_data, head->len);
}

/*
 * Makes the row of a message that has a type and a length in front of its body.
 */
static void
begin_row(Decoding *decoding, const WireMessage *message, size_t at, Jsonb *body, HeapTuple row)
{
	RowHead *head = &decoding->heads[message->id];
	RowBegin *begin;

	if (unlikely(head->len == 0))
		make_head(decoding, message, head);
	row->t_data = (HeapTupleHeader) ((char *) body - head->len);
	row->t_len = head->len + VARSIZE(body);
	memcpy(row->t_data, head->bytes, head->len);
	begin = (RowBegin *) ((char *) row->t_data + row->t_data->t_hoff);
	begin->message_no = decoding->message_no;
	begin->at_byte = (int64) at;
	*(int64 *) ((char *) body - sizeof(int64)) = (int64) message->length;
}

/*
 * Adds a message's row.
 */
static void
put_row(Decoding *decoding, const WireMessage *message, size_t at)
{
	HeapTupleData row = {0};
	bool is_cut;
	Jsonb *body;

	if (decoding->message_no == PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many messages")));
	decoding->message_no++;
	body = json_message_body(&decoding->context, message, &is_cut);
	if (message->id != WIRE_MSG_Unknown && message->has_type && message->has_length)
		begin_row(decoding, message, at, body, &row);
	else
		row = *form_row(decoding, message, at, body);
	tuplestore_puttuple(decoding->result->setResult, &row);
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
 * Sets the function's result to rows in memory of their own, where a row takes no
 * more than it needs: in the query's, as InitMaterializedSRF() has it, its size is
 * rounded up to a power of two.  What is left of the call before goes: its rows were
 * read, or there would be no other call.
 */
static void
begin_rows(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool has_random_access;
	MemoryContext before;

	InitMaterializedSRF(fcinfo, 0);
	tuplestore_end(result->setResult);
	if (fcinfo->flinfo->fn_extra)
		MemoryContextDelete(fcinfo->flinfo->fn_extra);
	has_random_access = (result->allowedModes & SFRM_Materialize_Random) != 0;
	fcinfo->flinfo->fn_extra = GenerationContextCreate(
	    fcinfo->flinfo->fn_mcxt, "decode_messages rows", ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(fcinfo->flinfo->fn_extra);
	result->setResult = tuplestore_begin_heap(has_random_access, false, work_mem);
	MemoryContextSwitchTo(before);
}

/*
 * decode_messages(data, direction, phase, encoding)
 */
Datum
pgwire_trace_decode_messages(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	WirePhase phase = decode_phase(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	Decoding *decoding = palloc0(sizeof(Decoding));

	decoding->direction = decode_direction(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	json_context_init(&decoding->context, decode_encoding(NameStr(*PG_GETARG_NAME(3))));
	wire_stream_begin(&decoding->phases, decoding->direction, phase);
	begin_rows(fcinfo);
	decoding->result = (ReturnSetInfo *) fcinfo->resultinfo;
	decode_all(decoding, (const uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	return (Datum) 0;
}
