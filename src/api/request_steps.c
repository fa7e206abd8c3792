/*
 * request_steps.c
 *	  request_steps(): what the messages of a request are about, without decoding
 *	  their values.
 *
 * View finding looks at many requests; messages() tells all of one.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "store/store.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(pgwire_trace_request_steps);

/* Columns, from 0. */
enum
{
	STEP_NO,
	STEP_TYPE,
	STEP_STATEMENT,
	STEP_PORTAL,
	STEP_QUERY,
	STEP_COLUMNS
};

/* A row in the making. */
typedef struct Row
{
	Datum values[STEP_COLUMNS];
	bool nulls[STEP_COLUMNS];
} Row;

/*
 * Sets a text column.
 */
static void
set_text(Row *row, int column, WireSpan text)
{
	StringInfoData out;

	initStringInfo(&out);
	text_append_verified(&out, (const char *) text.data, (int) text.len);
	row->values[column] = PointerGetDatum(cstring_to_text_with_len(out.data, out.len));
	row->nulls[column] = false;
}

/*
 * Sets what a message names.  False: it is none of those that are listed.
 */
static bool
set_names(Row *row, WireMessageId id, const uint8 *body, size_t len)
{
	WireValue values[WIRE_MAX_FIELDS];
	bool is_portal = len > 0 && body[0] == 'P';

	memset(values, 0, sizeof(values));
	wire_decode(id, body, len, values);
	switch (id)
	{
		case WIRE_MSG_Parse:
			set_text(row, STEP_STATEMENT, values[WIRE_Parse_statement].bytes);
			set_text(row, STEP_QUERY, values[WIRE_Parse_query].bytes);
			return true;
		case WIRE_MSG_Bind:
			set_text(row, STEP_STATEMENT, values[WIRE_Bind_statement].bytes);
			set_text(row, STEP_PORTAL, values[WIRE_Bind_portal].bytes);
			return true;
		case WIRE_MSG_Describe:
			set_text(row, is_portal ? STEP_PORTAL : STEP_STATEMENT,
			         values[WIRE_Describe_name].bytes);
			return true;
		case WIRE_MSG_Close:
			set_text(row, is_portal ? STEP_PORTAL : STEP_STATEMENT, values[WIRE_Close_name].bytes);
			return true;
		case WIRE_MSG_Execute:
			set_text(row, STEP_PORTAL, values[WIRE_Execute_portal].bytes);
			return true;
		case WIRE_MSG_Sync:
			return true;
		default:
			return false;
	}
}

/*
 * request_steps(request)
 */
Datum
pgwire_trace_request_steps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const bytea *request = PG_GETARG_BYTEA_PP(0);
	const uint8 *data = (const uint8 *) VARDATA_ANY(request);
	size_t left = VARSIZE_ANY_EXHDR(request);
	WireFramer framer = {.have = 0};
	WireFrame frame;
	int step_no = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (left > 0)
	{
		size_t consumed = wire_frame_next(&framer, data, left, &frame);
		WireMessageId id;
		Row row;

		if (frame.bad || !frame.begins || !frame.ends)
			break;
		memset(row.nulls, true, sizeof(row.nulls));
		id = wire_type_of(WIRE_FRONTEND, frame.type, WIRE_PHASE_NORMAL, frame.body.data,
		                  frame.body.len);
		if (set_names(&row, id, frame.body.data, frame.body.len))
		{
			row.values[STEP_NO] = Int32GetDatum(++step_no);
			row.values[STEP_TYPE] = CharGetDatum((char) frame.type);
			row.nulls[STEP_NO] = row.nulls[STEP_TYPE] = false;
			tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
		}
		data += consumed;
		left -= consumed;
	}
	return (Datum) 0;
}
