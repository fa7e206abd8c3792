/*
 * request_steps.c
 *	  request_steps(): what the messages of a request are about, without decoding
 *	  their values.  messages() tells all of one.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "read/steps.h"
#include "store/store.h"

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
 * Sets a text column; without data it stays NULL.
 */
static void
set_text(Row *row, int column, WireSpan text)
{
	StringInfoData out;

	if (!text.data)
		return;
	initStringInfo(&out);
	text_append_verified(&out, (const char *) text.data, (int) text.len);
	row->values[column] = PointerGetDatum(cstring_to_text_with_len(out.data, out.len));
	row->nulls[column] = false;
}

/*
 * request_steps(request)
 */
Datum
pgwire_trace_request_steps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const bytea *request = PG_GETARG_BYTEA_PP(0);
	ReadSteps steps;
	ReadStep step;
	int step_no = 0;

	InitMaterializedSRF(fcinfo, 0);
	read_steps_begin(&steps,
	                 (WireSpan){(const uint8 *) VARDATA_ANY(request), VARSIZE_ANY_EXHDR(request)});
	while (read_steps_next(&steps, &step))
	{
		Row row;

		memset(row.nulls, true, sizeof(row.nulls));
		row.values[STEP_NO] = Int32GetDatum(++step_no);
		row.values[STEP_TYPE] = CharGetDatum(step.type);
		row.nulls[STEP_NO] = row.nulls[STEP_TYPE] = false;
		set_text(&row, STEP_STATEMENT, step.statement);
		set_text(&row, STEP_PORTAL, step.portal);
		set_text(&row, STEP_QUERY, step.query);
		tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
	}
	return (Datum) 0;
}
