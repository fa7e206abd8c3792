/*
 * script.c
 *	  psql_script(): a recorded session as a script for psql, a row a line.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "read/script.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pgwire_trace_psql_script);

/*
 * Adds a line's row.
 */
static void
put_line(void *arg, const char *line, size_t len)
{
	ReturnSetInfo *result = arg;
	Datum value = PointerGetDatum(cstring_to_text_with_len(line, (int) len));
	bool is_null = false;

	tuplestore_putvalues(result->setResult, result->setDesc, &value, &is_null);
	pfree(DatumGetPointer(value));
}

/*
 * psql_script(session_id, exchange_no)
 */
Datum
pgwire_trace_psql_script(PG_FUNCTION_ARGS)
{
	bool has_exchange = !PG_ARGISNULL(1);

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (!PG_ARGISNULL(0))
		read_script(PG_GETARG_INT64(0), has_exchange, has_exchange ? PG_GETARG_INT64(1) : 0,
		            put_line, fcinfo->resultinfo);
	return (Datum) 0;
}
