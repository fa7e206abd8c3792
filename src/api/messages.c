/*
 * messages.c
 *	  messages(): what a recorded session said, a row a message.
 */
#include "api/decode.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(pgwire_trace_messages);

/*
 * Adds a message's row.
 */
static void
put_row(void *arg, const RecordedMessage *recorded)
{
	ReturnSetInfo *result = arg;
	const WireMessage *message = recorded->message;
	char direction[2] = {(char) recorded->direction, '\0'};
	bool is_cut;
	Datum values[9];
	bool nulls[9] = {false};

	values[0] = Int64GetDatum(recorded->exchange_no);
	values[1] = Int32GetDatum(recorded->message_no);
	values[2] = TimestampTzGetDatum(recorded->at);
	values[3] = CStringGetTextDatum(direction);
	values[4] = CharGetDatum((char) message->type);
	nulls[4] = !message->has_type;
	values[5] = CStringGetTextDatum(json_message_name(message));
	values[6] = Int64GetDatum((int64) message->length);
	nulls[6] = !message->has_length;
	values[8] = JsonbPGetDatum(json_message_body(recorded->context, message, &is_cut));
	values[7] = BoolGetDatum(is_cut);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * messages(session_id, exchange_no)
 */
Datum
pgwire_trace_messages(PG_FUNCTION_ARGS)
{
	bool has_exchange = !PG_ARGISNULL(1);

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0))
		messages_read(PG_GETARG_INT64(0), has_exchange, has_exchange ? PG_GETARG_INT64(1) : 0,
		              put_row, fcinfo->resultinfo);
	return (Datum) 0;
}
