/*
 * redact_bytes.c
 *	  Takes values out of the kept bytes of an exchange.
 *
 * It runs when an exchange is recorded, before the journal sees it.  Result columns
 * are told by the RowDescription that stands before the rows; rows without one (of a
 * statement that was described earlier, or in a later part) lose all values where a
 * rule on columns or types means something.  Types of parameters are told by the
 * Parse that stands before the Bind, if it names them; else all parameters go where
 * a rule means a type.
 */
#include "relay/redact.h"

#include <string.h>
#include <xxhash.h>

#include "wire/walk.h"

#define MAX_COLUMNS 1664 /* a result has no more; a Bind may: those beyond count as meant */
#define RECORD_TYPE 2249 /* rows of no named type, which may hold any other */
#define RECORD_ARRAY_TYPE 2287

typedef struct Redactor
{
	uint32_t bits;
	const RedactColumns *rules;
	bool standard_strings;
	bool knows_columns; /* a RowDescription came */
	bool masks_some;    /* of its columns */
	bool columns[MAX_COLUMNS];
	size_t column_count;
	uint32_t relation; /* of the column in hand */
	int32_t column;
	bool has_parse; /* a Parse came, of this statement */
	WireSpan statement;
	size_t parameter_count; /* whose types it says */
	bool parameters[MAX_COLUMNS];
	Exchange *exchange;
	uint64_t seed;
	XXH3_state_t *hash;
} Redactor;

/*
 * Tells whether a rule means a type.
 */
static bool
is_type_meant(const RedactColumns *rules, uint32_t type)
{
	if (rules->type_count > 0 && (type == RECORD_TYPE || type == RECORD_ARRAY_TYPE))
		return true;
	for (uint32_t i = 0; i < rules->type_count; i++)
		if (rules->types[i] == type)
			return true;
	return false;
}

/*
 * Tells whether a rule of the backend's means a result column.
 */
static bool
is_meant(const Redactor *redactor, uint32_t type)
{
	const RedactColumns *rules = redactor->rules;

	if ((redactor->bits & REDACT_RESULTS) ||
	    (redactor->relation == 0 && (redactor->bits & REDACT_EXPRESSIONS)))
		return true;
	if (!rules)
		return false;
	for (uint32_t i = 0; i < rules->column_count; i++)
		if (rules->relations[i] == redactor->relation &&
		    (redactor->relation == 0
		         ? rules->columns[i] == type
		         : rules->columns[i] == 0 || (int32_t) rules->columns[i] == redactor->column))
			return true;
	return is_type_meant(rules, type);
}

/*
 * Takes an event of a RowDescription: the table, number and type of a column.
 */
static bool
take_column(void *arg, const WireEvent *event)
{
	Redactor *redactor = arg;

	if (event->kind != WIRE_EVENT_NUMBER || !event->name)
		return true;
	if (strcmp(event->name, "table_oid") == 0)
		redactor->relation = (uint32_t) event->number;
	else if (strcmp(event->name, "column_no") == 0)
		redactor->column = (int32_t) event->number;
	else if (strcmp(event->name, "type_oid") == 0 && redactor->column_count < MAX_COLUMNS)
	{
		bool meant = is_meant(redactor, (uint32_t) event->number);

		redactor->masks_some |= meant;
		redactor->columns[redactor->column_count++] = meant;
	}
	return true;
}

/*
 * Reads a RowDescription.  One that is cut short tells of no columns at all.
 */
static void
read_columns(Redactor *redactor, const uint8_t *body, size_t len)
{
	WireWalk walk = {0};

	redactor->column_count = 0;
	redactor->masks_some = false;
	redactor->knows_columns =
	    wire_walk(WIRE_MSG_RowDescription, body, len, &walk, take_column, redactor);
}

/*
 * Takes an event of a DataRow: adds what is not taken out to the row's hash.
 */
static bool
take_value(void *arg, const WireEvent *event)
{
	Redactor *redactor = arg;

	if (event->kind != WIRE_EVENT_VALUE)
		return true;
	if (redactor->knows_columns && redactor->column_count < MAX_COLUMNS &&
	    !redactor->columns[redactor->column_count])
	{
		XXH3_64bits_update(redactor->hash, &event->number, sizeof(event->number));
		XXH3_64bits_update(redactor->hash, event->bytes.data, event->bytes.len);
	}
	redactor->column_count++;
	return true;
}

/*
 * Adds a row to the digests that are made anew, without what is taken out.
 */
static void
digest_row(Redactor *redactor, const uint8_t *body, size_t len)
{
	WireWalk walk = {0};
	size_t columns = redactor->column_count;

	XXH3_64bits_reset_withSeed(redactor->hash, redactor->seed);
	redactor->column_count = 0; /* counts values here */
	wire_walk(WIRE_MSG_DataRow, body, len, &walk, take_value, redactor);
	redactor->column_count = columns;
	exchange_add_digest(redactor->exchange, XXH3_64bits_digest(redactor->hash));
}

/*
 * Takes values out of a row.
 */
static void
redact_row(Redactor *redactor, uint8_t *body, size_t len, bool is_whole)
{
	bool has_rules = redactor->rules || (redactor->bits & (REDACT_EXPRESSIONS | REDACT_RESULTS));

	if (!redactor->knows_columns && has_rules)
	{
		redactor->masks_some = true;
		redactor->column_count = 0;
	}
	if (redactor->hash && is_whole)
		digest_row(redactor, body, len);
	if (redactor->masks_some)
		redactor->exchange->is_redacted |= wire_redact_values(
		    WIRE_MSG_DataRow, body, len, redactor->columns, redactor->column_count);
}

/*
 * Takes an event of a Parse: the statement's name, or the type of a parameter, 0
 * where the server is to find it out.
 */
static bool
take_parameter(void *arg, const WireEvent *event)
{
	Redactor *redactor = arg;

	if (event->kind == WIRE_EVENT_BYTES && event->field == WIRE_KIND_STRING)
		redactor->statement = event->bytes;
	else if (event->kind == WIRE_EVENT_NUMBER && event->field == WIRE_KIND_OIDS &&
	         redactor->parameter_count < MAX_COLUMNS)
		redactor->parameters[redactor->parameter_count++] =
		    event->number == 0 || is_type_meant(redactor->rules, (uint32_t) event->number);
	return true;
}

/*
 * Reads a Parse: the types of the statement's parameters.
 */
static void
read_parameters(Redactor *redactor, const uint8_t *body, size_t len)
{
	WireWalk walk = {0};

	redactor->parameter_count = 0;
	redactor->has_parse =
	    redactor->rules && wire_walk(WIRE_MSG_Parse, body, len, &walk, take_parameter, redactor);
}

/*
 * Takes values out of a Bind.
 */
static void
redact_bind(Redactor *redactor, uint8_t *body, size_t len)
{
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan name;
	bool is_known = false;

	if (!(redactor->bits & REDACT_PARAMETERS))
	{
		if (!redactor->rules || redactor->rules->type_count == 0)
			return;
		wire_decode(WIRE_MSG_Bind, body, len, values);
		name = values[WIRE_Bind_statement].bytes;
		is_known = redactor->has_parse && name.len == redactor->statement.len &&
		           (name.len == 0 || memcmp(name.data, redactor->statement.data, name.len) == 0);
	}
	redactor->exchange->is_redacted |=
	    wire_redact_values(WIRE_MSG_Bind, body, len, is_known ? redactor->parameters : NULL,
	                       is_known ? redactor->parameter_count : 0);
}

/*
 * Takes the constants out of a Query or Parse.
 */
static void
redact_query(Redactor *redactor, WireMessageId id, uint8_t *body, size_t len)
{
	size_t at = id == WIRE_MSG_Parse ? strnlen((const char *) body, len) + 1 : 0;

	if (id == WIRE_MSG_Parse)
		read_parameters(redactor, body, len);
	if (at < len && ((redactor->bits & REDACT_TEXT) || (id == WIRE_MSG_Parse && redactor->rules &&
	                                                    redactor->rules->column_count > 0)))
		redactor->exchange->is_redacted |=
		    wire_redact_constants((char *) body + at, strnlen((const char *) body + at, len - at),
		                          redactor->standard_strings);
}

/*
 * Takes out what a notification says: it may be the query's own.  Returns whether
 * there was anything.
 */
static bool
redact_payload(uint8_t *body, size_t len)
{
	size_t at = 4; /* process id */

	while (at < len && body[at] != 0) /* channel */
		at++;
	at++;
	if (at >= len || body[at] == 0)
		return false;
	memset(body + at, '*', strnlen((const char *) body + at, len - at));
	return true;
}

/*
 * Takes values out of one message.
 */
static void
redact_message(Redactor *redactor, WireDirection direction, const WireFrame *frame, uint8_t *body)
{
	size_t len = frame->body.len;
	bool *changes = &redactor->exchange->is_redacted;
	WireMessageId id =
	    wire_type_of(direction, frame->type, WIRE_PHASE_NORMAL, frame->body.data, len);

	if (id == WIRE_MSG_Unknown)
		id = wire_type_of(direction, frame->type, WIRE_PHASE_COPY, frame->body.data, len);
	switch (id)
	{
		case WIRE_MSG_Query:
		case WIRE_MSG_Parse:
			redact_query(redactor, id, body, len);
			break;
		case WIRE_MSG_Bind:
			redact_bind(redactor, body, len);
			break;
		case WIRE_MSG_FunctionCall:
			if (redactor->rules || (redactor->bits & REDACT_PARAMETERS))
				*changes |= wire_redact_values(id, body, len, NULL, 0);
			break;
		case WIRE_MSG_CopyData:
		case WIRE_MSG_FunctionCallResponse:
			if (redactor->rules || (redactor->bits & (REDACT_TEXT | REDACT_RESULTS)))
				*changes |= wire_redact_values(id, body, len, NULL, 0);
			break;
		case WIRE_MSG_RowDescription:
			read_columns(redactor, body, len);
			break;
		case WIRE_MSG_DataRow:
			redact_row(redactor, body, len, frame->ends);
			break;
		case WIRE_MSG_NotificationResponse:
			if (redactor->bits & (REDACT_TEXT | REDACT_RESULTS))
				*changes |= redact_payload(body, len);
			break;
		case WIRE_MSG_ErrorResponse:
		case WIRE_MSG_NoticeResponse:
			*changes |= redact_error(redactor->bits, body, len);
			break;
		default:
			break;
	}
}

/*
 * Takes values out of one direction's kept bytes.
 */
static void
redact_side(Redactor *redactor, WireDirection direction, Buffer *kept)
{
	WireFramer framer = {.have = 0};
	size_t at = 0;

	while (at < kept->len)
	{
		WireFrame frame;
		size_t consumed = wire_frame_next(&framer, kept->data + at, kept->len - at, &frame);

		if (frame.bad)
		{
			memset(kept->data + at, '*', kept->len - at);
			redactor->exchange->is_redacted = true;
			return;
		}
		at += consumed;
		if (frame.begins && frame.body.len > 0)
			redact_message(redactor, direction, &frame, kept->data + (at - frame.body.len));
	}
}

/*
 * Takes values out of the kept bytes of an exchange.
 */
void
redact_exchange(Exchange *exchange, uint32_t bits, const RedactColumns *columns,
                bool standard_strings, uint64_t digest_seed)
{
	Redactor redactor = {.bits = bits,
	                     .rules = columns,
	                     .standard_strings = standard_strings,
	                     .exchange = exchange,
	                     .seed = digest_seed};
	bool was_redacted = exchange->is_redacted;
	bool has_results = columns || (bits & (REDACT_EXPRESSIONS | REDACT_RESULTS));
	bool has_copy = (exchange->has & HAS_COPY) && (bits & REDACT_TEXT);

	if ((has_results || has_copy) && exchange->has_digest)
	{
		/* with rows that are not there no digest can be made */
		exchange->row_digest = exchange->row_set_digest = 0;
		exchange->has_digest = false;
		if (!exchange->response.is_cut && exchange->part_no == 1 && exchange->is_complete)
			redactor.hash = XXH3_createState();
	}
	exchange->is_redacted = false;
	redact_side(&redactor, WIRE_FRONTEND, &exchange->request.kept);
	exchange->is_request_redacted |= exchange->is_redacted;
	exchange->is_redacted |= was_redacted;
	redact_side(&redactor, WIRE_BACKEND, &exchange->response.kept);
	if (redactor.hash)
		XXH3_freeState(redactor.hash);
}
