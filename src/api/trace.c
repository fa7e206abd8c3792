/*
 * trace.c
 *	  trace_lines(): the messages of a recorded session as lines of text, in the
 *	  format of libpq's PQtrace().
 *
 * A line is the time, the direction, the length and the name, with tabs
 * between them, then the fields as the message has them on the wire, counts and
 * lengths included, a space before each.  The walker's events say all of that.
 * In regress mode what differs between two runs is printed as a placeholder.
 *
 * PostgreSQL documentation: libpq, "Control Functions", PQtrace.
 */
#include "api/decode.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(pgwire_trace_trace_lines);

/* Lines being made. */
typedef struct Tracing
{
	ReturnSetInfo *result;
	bool is_regress;
	StringInfo line;
} Tracing;

/*
 * Tells whether C's isprint() would print a byte in the C locale.
 */
static bool
is_printable(uint8 byte)
{
	return byte >= 0x20 && byte < 0x7f;
}

/*
 * Prints bytes between quotes, those that are not printable as \xNN.
 */
static void
print_bytes(StringInfo line, WireSpan bytes)
{
	appendStringInfoString(line, " '");
	for (size_t i = 0; i < bytes.len; i++)
	{
		if (is_printable(bytes.data[i]))
			appendStringInfoCharMacro(line, (char) bytes.data[i]);
		else
			appendStringInfo(line, "\\x%02x", bytes.data[i]);
	}
	appendStringInfoChar(line, '\'');
}

/*
 * Prints a string.  libpq writes its bytes as they are; a line of the database's
 * text must be valid in its encoding, so what is not is printed as \xNN.
 */
static void
print_string(const JsonContext *context, StringInfo line, WireSpan bytes)
{
	size_t len;
	const char *text = read_text(&context->encoding, bytes, &len);

	appendStringInfoString(line, " \"");
	if (text)
		appendBinaryStringInfo(line, text, (int) len);
	else
		for (size_t i = 0; i < bytes.len; i++)
		{
			if (is_printable(bytes.data[i]))
				appendStringInfoCharMacro(line, (char) bytes.data[i]);
			else
				appendStringInfo(line, "\\x%02x", bytes.data[i]);
		}
	appendStringInfoChar(line, '"');
}

/*
 * Prints a single character.
 */
static void
print_char(StringInfo line, int64 number)
{
	if (is_printable((uint8) number))
		appendStringInfo(line, " %c", (char) number);
	else
		appendStringInfo(line, " \\x%02x", (unsigned) (number & 0xff));
}

/*
 * Prints an integer by its kind.  OIDs, process ids and keys differ between two
 * runs.
 */
static void
print_number(const Tracing *tracing, const WireEvent *event)
{
	switch (event->member)
	{
		case WIRE_KIND_CHAR:
		case WIRE_KIND_INT8:
			print_char(tracing->line, event->number);
			break;
		case WIRE_KIND_INT16: /* libpq prints these without a sign */
			appendStringInfo(tracing->line, " %u", (unsigned) (uint16) event->number);
			break;
		case WIRE_KIND_VERSION:
			appendStringInfo(tracing->line, " %u %u", (unsigned) (event->number >> 16),
			                 (unsigned) (event->number & 0xffff));
			break;
		case WIRE_KIND_UINT32:
			if (tracing->is_regress)
				appendStringInfoString(tracing->line, " NNNN");
			else
				appendStringInfo(tracing->line, " %d", (int) (uint32) event->number);
			break;
		default:
			appendStringInfo(tracing->line, " " INT64_FORMAT, event->number);
			break;
	}
}

/* What a walk prints to. */
typedef struct Printing
{
	const Tracing *tracing;
	const JsonContext *context;
} Printing;

/*
 * Prints a string or the rest of a message.
 */
static void
print_text(const Printing *printing, const WireEvent *event)
{
	StringInfo line = printing->tracing->line;
	bool is_key = event->field == WIRE_KIND_SECRET;

	if (event->member == WIRE_KIND_STRING)
		print_string(printing->context, line, event->bytes);
	else if (is_key && printing->tracing->is_regress)
		appendStringInfoString(line, " 'BBBB'");
	else
		print_bytes(line, event->bytes);
}

/*
 * Prints an error field: where in the server's source it came from differs
 * between versions.
 */
static void
print_error_field(const Printing *printing, const WireEvent *event)
{
	StringInfo line = printing->tracing->line;

	print_char(line, event->number);
	if (printing->tracing->is_regress &&
	    (event->number == 'L' || event->number == 'F' || event->number == 'R'))
		appendStringInfoString(line, " \"SSSS\"");
	else
		print_string(printing->context, line, event->bytes);
}

/*
 * Takes an event of the walk.
 */
static bool
print_event(void *arg, const WireEvent *event)
{
	const Printing *printing = arg;
	StringInfo line = printing->tracing->line;

	switch (event->kind)
	{
		case WIRE_EVENT_NUMBER:
			print_number(printing->tracing, event);
			break;
		case WIRE_EVENT_BYTES:
			print_text(printing, event);
			break;
		case WIRE_EVENT_VALUE:
			appendStringInfo(line, " " INT64_FORMAT, event->number);
			if (event->number >= 0)
				print_bytes(line, event->bytes);
			break;
		case WIRE_EVENT_ERROR_FIELD:
			print_error_field(printing, event);
			break;
		case WIRE_EVENT_LIST:
			if (event->number >= 0)
				appendStringInfo(line, " " INT64_FORMAT, event->number);
			break;
		case WIRE_EVENT_LIST_END:
			if (event->field == WIRE_KIND_ERROR_FIELDS)
				print_char(line, 0);
			break;
		default:
			break;
	}
	return true;
}

/*
 * Prints a time as PQtrace does: local, with microseconds.
 */
static void
print_time(StringInfo line, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t fsec;
	int zone;

	if (timestamp2tm(at, &zone, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	appendStringInfo(line, "%04d-%02d-%02d %02d:%02d:%02d.%06d\t", tm.tm_year, tm.tm_mon,
	                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

/*
 * Prints what stands before a message's fields.
 */
static void
print_head(const Tracing *tracing, const RecordedMessage *recorded)
{
	const WireMessage *message = recorded->message;
	bool is_error = message->id == WIRE_MSG_ErrorResponse || message->id == WIRE_MSG_NoticeResponse;

	if (!tracing->is_regress)
		print_time(tracing->line, recorded->at);
	appendStringInfo(tracing->line, "%c\t", (char) recorded->direction);
	if (is_error && tracing->is_regress)
		appendStringInfoString(tracing->line, "NN\t");
	else if (message->has_length)
		appendStringInfo(tracing->line, "%u\t", message->length);
	else
		appendStringInfo(tracing->line, "%zu\t", message->size);
	if (message->id == WIRE_MSG_Unknown && message->has_type)
		appendStringInfo(tracing->line, "Unknown message: %02x", message->type);
	else
		appendStringInfoString(tracing->line, json_message_name(message));
}

/*
 * Prints a message's fields, and what is wrong with it.
 */
static void
print_fields(const Tracing *tracing, const RecordedMessage *recorded)
{
	const WireMessage *message = recorded->message;
	Printing printing = {tracing, recorded->context};
	WireWalk walk = {.reason = NULL};

	if (message->id == WIRE_MSG_Unknown)
		return;
	if (wire_types[message->id].fields[0].kind != WIRE_KIND_END)
		appendStringInfoChar(tracing->line, '\t');
	if (!wire_walk(message->id, message->body.data, message->body.len, &walk, print_event,
	               &printing))
		appendStringInfo(tracing->line,
		                 message->form == WIRE_FORM_CUT ? " ... (cut: %s)" : " ... (malformed: %s)",
		                 walk.reason);
}

/*
 * Adds a message's line.
 */
static void
put_line(void *arg, const RecordedMessage *recorded)
{
	Tracing *tracing = arg;
	StringInfoData line;
	Datum values[1];
	bool nulls[1] = {false};

	initStringInfo(&line);
	tracing->line = &line;
	print_head(tracing, recorded);
	print_fields(tracing, recorded);
	values[0] = PointerGetDatum(cstring_to_text_with_len(line.data, line.len));
	tuplestore_putvalues(tracing->result->setResult, tracing->result->setDesc, values, nulls);
}

/*
 * trace_lines(session_id, exchange_no, regress)
 */
Datum
pgwire_trace_trace_lines(PG_FUNCTION_ARGS)
{
	bool has_exchange = !PG_ARGISNULL(1);
	Tracing tracing = {.is_regress = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2)};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	tracing.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (!PG_ARGISNULL(0))
		messages_read(PG_GETARG_INT64(0), has_exchange, has_exchange ? PG_GETARG_INT64(1) : 0,
		              put_line, &tracing);
	return (Datum) 0;
}
