/*
 * trace.c
 *	  trace_lines(): the messages of a recorded session as lines of text, as
 *	  libpq's PQtrace() prints them in PostgreSQL 18.
 *
 * A line is the time, the direction, the length and the name, with tabs
 * between them, then the fields as the message has them on the wire, counts and
 * lengths included, a space before each.  The walker's events say all of that:
 * what a kind of field prints is decided here, which fields a message has is
 * not.  In regress mode what differs between two runs is a placeholder: NNNN for
 * OIDs and process ids, 'BBBB' for bytes up to the end of a message and secrets,
 * "SSSS" for places in the server's source, NN for the length of a message that
 * names such places.
 *
 * Where PQtrace itself says that it did not print all of a message (the salt of
 * AuthenticationMD5Password, names of refused options), all of it is printed.
 *
 * PostgreSQL documentation: libpq, "Control Functions", PQtrace.
 */
#include "api/decode.h"

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(pgwire_trace_trace_lines);

/*
 * Values behind so many bytes of a line are cut: text can't be longer than 1 GB,
 * and may grow fourfold on its way to the client.
 */
#define MOST_LINE (192 * 1024 * 1024)

/* Lines being made. */
typedef struct Tracing
{
	ReturnSetInfo *result;
	bool is_regress;
	StringInfo line;
} Tracing;

/* A message being printed. */
typedef struct Printing
{
	const Tracing *tracing;
	const JsonContext *context;
	bool has_type;
} Printing;

/*
 * Tells whether C's isprint() would print a byte in the C locale.
 */
static bool
is_printable(uint8 byte)
{
	return byte >= 0x20 && byte < 0x7f;
}

/*
 * Returns how many bytes still fit a line, if each takes so many.
 */
static size_t
bytes_left(StringInfo line, size_t each)
{
	return line->len < MOST_LINE ? (size_t) (MOST_LINE - line->len) / each : 0;
}

/*
 * Prints bytes, those that are not printable as \xNN; as many as fit.
 */
static void
print_escaped(StringInfo line, WireSpan bytes)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = Min(bytes.len, bytes_left(line, 4));

	for (size_t i = 0; i < len; i++)
	{
		uint8 byte = bytes.data[i];

		if (is_printable(byte))
			appendStringInfoCharMacro(line, (char) byte);
		else
		{
			const char escaped[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 0xf]};

			appendBinaryStringInfo(line, escaped, sizeof(escaped));
		}
	}
	if (len < bytes.len)
		appendStringInfoString(line, "...");
}

/*
 * Prints text of the database, as much as fits.
 */
static void
print_database_text(StringInfo line, const char *text, size_t len)
{
	size_t left = bytes_left(line, 1);

	if (len > left)
		appendBinaryStringInfo(line, text, pg_mbcliplen(text, (int) len, (int) left));
	else
		appendBinaryStringInfo(line, text, (int) len);
	if (len > left)
		appendStringInfoString(line, "...");
}

/*
 * Prints bytes between quotes.
 */
static void
print_bytes(StringInfo line, WireSpan bytes)
{
	appendStringInfoString(line, " '");
	print_escaped(line, bytes);
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
		print_database_text(line, text, len);
	else
		print_escaped(line, bytes);
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
 * Prints a protocol version or a request's code: two integers in a message
 * without a type byte, one in others.
 */
static void
print_version(StringInfo line, uint32 version, bool has_type)
{
	if (has_type)
		appendStringInfo(line, " %d", (int) version);
	else
		appendStringInfo(line, " %u %u", version >> 16, version & 0xffff);
}

/*
 * Prints an integer by its kind.  OIDs and process ids differ between two runs.
 */
static void
print_number(const Printing *printing, const WireEvent *event)
{
	const Tracing *tracing = printing->tracing;

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
			print_version(tracing->line, (uint32) event->number, printing->has_type);
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

/*
 * Prints a string or the rest of a message.
 */
static void
print_text(const Printing *printing, const WireEvent *event)
{
	StringInfo line = printing->tracing->line;

	if (event->member == WIRE_KIND_STRING)
		print_string(printing->context, line, event->bytes);
	else if (printing->tracing->is_regress)
		appendStringInfoString(line, " 'BBBB'");
	else
		print_bytes(line, event->bytes);
}

/*
 * Prints a value: its length, and its bytes unless it is NULL.
 */
static void
print_value(const Printing *printing, const WireEvent *event)
{
	StringInfo line = printing->tracing->line;

	appendStringInfo(line, " " INT64_FORMAT, event->number);
	if (event->number < 0)
		return;
	if (event->field == WIRE_KIND_SECRET_VALUE && printing->tracing->is_regress)
		appendStringInfoString(line, " 'BBBB'");
	else
		print_bytes(line, event->bytes);
}

/*
 * Prints what ends a list that has no count.
 */
static void
print_list_end(StringInfo line, WireKind list)
{
	if (list == WIRE_KIND_ERROR_FIELDS)
		print_char(line, 0);
	else if (list == WIRE_KIND_STRINGS)
		appendStringInfoString(line, " \"\"");
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
			print_number(printing, event);
			break;
		case WIRE_EVENT_BYTES:
			print_text(printing, event);
			break;
		case WIRE_EVENT_VALUE:
			print_value(printing, event);
			break;
		case WIRE_EVENT_ERROR_FIELD:
			print_error_field(printing, event);
			break;
		case WIRE_EVENT_LIST:
			if (event->number >= 0)
				appendStringInfo(line, " " INT64_FORMAT, event->number);
			break;
		case WIRE_EVENT_LIST_END:
			print_list_end(line, event->field);
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
	else if (message->refuses_gss) /* the same byte refuses TLS; libpq names it by the request */
		appendStringInfoString(tracing->line, wire_name_of(WIRE_MSG_GSSENCResponse));
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
	Printing printing = {tracing, recorded->context, message->has_type};
	WireWalk walk = {.reason = NULL};
	bool has_code = message->has_length && !message->has_type && wire_code_size(message->id) > 0;

	if (message->id == WIRE_MSG_Unknown)
		return;
	if (has_code || wire_types[message->id].fields[0].kind != WIRE_KIND_END)
		appendStringInfoChar(tracing->line, '\t');
	if (has_code)
		print_version(tracing->line, wire_code_of(message->id), false);
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
