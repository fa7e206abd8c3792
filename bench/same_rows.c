/*
 * same_rows.c
 *	  What decode_messages() is measured against: a function that returns as many
 *	  rows, each with the same jsonb, which was built once.
 *
 * Nothing can return rows of jsonb much faster, so what decode_messages() takes
 * beyond this is what decoding costs.  It belongs to the bench alone and is never
 * installed.
 *
 * Public routines:
 *		bench_same_rows		rows with the columns of decode_messages()
 *		bench_same_jsonb	rows of the jsonb alone
 *		bench_clock			the backend's processor time
 */
#include "postgres.h"

#include <time.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_same_rows);
PG_FUNCTION_INFO_V1(bench_same_jsonb);
PG_FUNCTION_INFO_V1(bench_clock);

/*
 * bench_same_rows(count, body)
 */
Datum
bench_same_rows(PG_FUNCTION_ARGS)
{
	int32 count = PG_GETARG_INT32(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[6];
	bool nulls[6] = {false};

	InitMaterializedSRF(fcinfo, 0);
	values[2] = CharGetDatum('D');
	values[3] = CStringGetTextDatum("DataRow");
	values[4] = Int64GetDatum(50);
	values[5] = JsonbPGetDatum(PG_GETARG_JSONB_P(1));
	for (int32 i = 0; i < count; i++)
	{
		values[0] = Int32GetDatum(i + 1);
		values[1] = Int64GetDatum(i * INT64CONST(51));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * bench_same_jsonb(count, body)
 */
Datum
bench_same_jsonb(PG_FUNCTION_ARGS)
{
	int32 count = PG_GETARG_INT32(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum value = JsonbPGetDatum(PG_GETARG_JSONB_P(1));
	bool is_null = false;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int32 i = 0; i < count; i++)
		tuplestore_putvalues(result->setResult, result->setDesc, &value, &is_null);
	return (Datum) 0;
}

/*
 * bench_clock(): milliseconds of processor time, which other work on the machine does
 * not add to
 */
Datum
bench_clock(PG_FUNCTION_ARGS)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	PG_RETURN_FLOAT8((double) now.tv_sec * 1e3 + (double) now.tv_nsec / 1e6);
}
