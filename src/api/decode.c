/*
 * decode.c
 *	  One message at a time, and decode_messages().
 */
#include "api/decode.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "wire/list.h"

PG_FUNCTION_INFO_V1(pgwire_trace_decode_messages);

/*
 * Reads a 32-bit integer in network byte order.
 */
static uint32
get_u32(const uint8 *at)
{
	return (uint32) at[0] << 24 | (uint32) at[1] << 16 | (uint32) at[2] << 8 | at[3];
}

/*
 * Shows all that is left as one row.
 */
static size_t
give_up(Decoder *decoder, const uint8 *data, size_t len, DecodedMessage *message)
{
	size_t shown = Min(len, 1024 * 1024);

	message->type = 0;
	message->name = "Opaque";
	message->length = -1;
	message->is_truncated = shown < len;
	message->body = json_data(decoder, shown < len ? "truncated" : NULL, data, shown);
	return 0;
}

/*
 * Shows a message of which the end is missing.
 */
static size_t
show_cut(Decoder *decoder, WireMessageId id, const uint8 *body, size_t len,
		 DecodedMessage *message)
{
	message->name = wire_name_of(id);
	message->is_truncated = true;
	message->body = json_data(decoder, "truncated", body, Min(len, 1024 * 1024));
	return 0;
}

/*
 * Decodes a packet without a type byte.
 */
static size_t
decode_untyped(Decoder *decoder, const uint8 *data, size_t len, DecodedMessage *message)
{
	WireMessageId id;
	uint32 length;
	size_t skip;

	if (len < 8 || (length = get_u32(data)) < 8 || length > INT32_MAX)
		return give_up(decoder, data, len, message);
	id = wire_type_of(WIRE_FRONTEND, 0, WIRE_PHASE_STARTUP, data + 4, len - 4);
	message->type = 0;
	message->length = length;
	/* the requests are told by a code, which is no field of theirs */
	skip = id == WIRE_MSG_StartupMessage ? 4 : 8;
	if (length > len)
		return show_cut(decoder, id, data + skip, len - skip, message);
	message->name = wire_name_of(id);
	message->body = json_body(decoder, id, data + skip, length - skip);
	if (id == WIRE_MSG_StartupMessage || id == WIRE_MSG_CancelRequest)
		decoder->is_startup = false;
	else
		decoder->answers_due++;
	return length;
}

/*
 * Decodes a one-byte answer to a request for encryption.
 */
static size_t
decode_answer(Decoder *decoder, const uint8 *data, size_t len, DecodedMessage *message)
{
	WireMessageId id = wire_type_of(WIRE_BACKEND, data[0], WIRE_PHASE_SSL_ANSWER, NULL, 0);

	if (id == WIRE_MSG_Unknown)
		return give_up(decoder, data, len, message);
	message->type = 0;
	message->name = wire_name_of(id);
	message->length = -1;
	message->body = json_body(decoder, id, data, 1);
	return 1;
}

/*
 * Learns from an authentication request what the next 'p' is.
 */
static void
follow_authentication(Decoder *decoder, WireMessageId id)
{
	switch (id)
	{
		case WIRE_MSG_AuthenticationSASL:
			decoder->phase = WIRE_PHASE_SASL_INITIAL;
			break;
		case WIRE_MSG_AuthenticationSASLContinue:
			decoder->phase = WIRE_PHASE_SASL;
			break;
		case WIRE_MSG_AuthenticationGSS:
		case WIRE_MSG_AuthenticationGSSContinue:
		case WIRE_MSG_AuthenticationSSPI:
			decoder->phase = WIRE_PHASE_GSS;
			break;
		case WIRE_MSG_AuthenticationCleartextPassword:
		case WIRE_MSG_AuthenticationMD5Password:
			decoder->phase = WIRE_PHASE_PASSWORD;
			break;
		default:
			break;
	}
}

/*
 * Decodes a message with a type byte.
 */
static size_t
decode_typed(Decoder *decoder, WireDirection direction, const uint8 *data, size_t len,
			 DecodedMessage *message)
{
	WireMessageId id;
	uint32 length;

	if (len < 5 || (length = get_u32(data + 1)) < 4 || length > INT32_MAX)
		return give_up(decoder, data, len, message);
	id = wire_type_of(direction, data[0], decoder->phase, data + 5, Min(len - 5, length - 4));
	message->type = (char) data[0];
	message->length = length;
	if ((size_t) length + 1 > len)
		return show_cut(decoder, id, data + 5, len - 5, message);
	message->name = wire_name_of(id);
	if (id == WIRE_MSG_Unknown)
	{
		/* the type and what follows its length, as one run of bytes */
		uint8 *bytes = palloc(length - 3);

		bytes[0] = data[0];
		memcpy(bytes + 1, data + 5, length - 4);
		message->body = json_data(decoder, "type", bytes, length - 3);
	}
	else
		message->body = json_body(decoder, id, data + 5, length - 4);
	follow_authentication(decoder, id);
	return (size_t) length + 1;
}

/*
 * Decodes the message at the begin of data; see decode.h.
 */
size_t
decode_message(Decoder *decoder, WireDirection direction, const uint8 *data, size_t len,
			   DecodedMessage *message)
{
	memset(message, 0, sizeof(*message));
	if (direction == WIRE_FRONTEND && decoder->is_startup)
		return decode_untyped(decoder, data, len, message);
	if (direction == WIRE_BACKEND &&
		(decoder->phase == WIRE_PHASE_SSL_ANSWER || decoder->answers_due > 0))
	{
		if (decoder->answers_due > 0)
			decoder->answers_due--;
		return decode_answer(decoder, data, len, message);
	}
	return decode_typed(decoder, direction, data, len, message);
}

/*
 * Reads a direction argument.
 */
WireDirection
decode_direction_argument(text *argument)
{
	char *direction = text_to_cstring(argument);

	if (strcmp(direction, "F") == 0)
		return WIRE_FRONTEND;
	if (strcmp(direction, "B") == 0)
		return WIRE_BACKEND;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid direction: \"%s\"", direction),
					errhint("Expected \"F\" (frontend) or \"B\" (backend).")));
}

/*
 * Reads a phase argument.
 */
static WirePhase
phase_argument(text *argument)
{
	static const char *const names[WIRE_PHASE_COUNT] = {
		[WIRE_PHASE_STARTUP] = "startup",
		[WIRE_PHASE_PASSWORD] = "password",
		[WIRE_PHASE_SASL_INITIAL] = "sasl_initial",
		[WIRE_PHASE_SASL] = "sasl",
		[WIRE_PHASE_GSS] = "gss",
		[WIRE_PHASE_NORMAL] = "normal",
		[WIRE_PHASE_COPY] = "copy",
		[WIRE_PHASE_REPLICATION] = "replication",
		[WIRE_PHASE_SSL_ANSWER] = "ssl_answer",
	};
	char *phase = text_to_cstring(argument);

	for (int i = 0; i < WIRE_PHASE_COUNT; i++)
		if (strcmp(phase, names[i]) == 0)
			return (WirePhase) i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid phase: \"%s\"", phase),
					errhint("Expected startup, password, sasl_initial, sasl, gss, normal, copy, "
							"replication or ssl_answer.")));
}

/*
 * Reads an encoding argument.
 */
static int
encoding_argument(Name argument)
{
	int encoding = pg_char_to_encoding(NameStr(*argument));

	if (encoding < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid encoding: \"%s\"", NameStr(*argument)),
						errhint("Expected the name of an encoding that the server knows, as "
								"\"UTF8\".")));
	return encoding;
}

/*
 * decode_messages(data, direction, phase, encoding)
 */
Datum
pgwire_trace_decode_messages(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	WireDirection direction = decode_direction_argument(PG_GETARG_TEXT_PP(1));
	Decoder decoder = {.phase = phase_argument(PG_GETARG_TEXT_PP(2)),
					   .encoding = encoding_argument(PG_GETARG_NAME(3))};
	const uint8 *data = (const uint8 *) VARDATA_ANY(bytes);
	size_t len = VARSIZE_ANY_EXHDR(bytes);
	size_t at = 0;
	MemoryContext context;

	InitMaterializedSRF(fcinfo, 0);
	decoder.is_startup = decoder.phase == WIRE_PHASE_STARTUP;
	if (decoder.is_startup)
		decoder.phase = WIRE_PHASE_PASSWORD;
	context = AllocSetContextCreate(CurrentMemoryContext, "decode", ALLOCSET_DEFAULT_SIZES);
	for (int32 number = 1; at < len; number++)
	{
		MemoryContext before = MemoryContextSwitchTo(context);
		DecodedMessage message;
		size_t size = decode_message(&decoder, direction, data + at, len - at, &message);
		Datum values[6];
		bool nulls[6] = {false};

		values[0] = Int32GetDatum(number);
		values[1] = Int64GetDatum((int64) at);
		values[2] = CharGetDatum(message.type);
		nulls[2] = message.type == 0;
		values[3] = CStringGetTextDatum(message.name);
		values[4] = Int64GetDatum(message.length);
		nulls[4] = message.length < 0;
		values[5] = JsonbPGetDatum(message.body);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		MemoryContextSwitchTo(before);
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
		if (size == 0)
			break;
		at += size;
	}
	return (Datum) 0;
}
