/*
 * explain.c
 *	  explain(): the plan that a recorded statement would get now.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "read/explain.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pgwire_trace_explain);

/* A statement that is looked for. */
typedef struct Wanted
{
	ReturnSetInfo *result;
	ReadSession *session;
	int statement_no;
} Wanted;

/*
 * Takes the session that is read.
 */
static void
take_session(void *arg, ReadSession *session)
{
	((Wanted *) arg)->session = session;
}

/*
 * Takes a statement: adds the lines of its plan.
 */
static void
take_run(void *arg, const ReadRun *run)
{
	Wanted *wanted = arg;
	ListCell *cell;

	if (run->statement_no != wanted->statement_no)
		return;
	foreach (cell, read_explain(wanted->session, run))
	{
		Datum value = CStringGetTextDatum(lfirst(cell));
		bool is_null = false;

		tuplestore_putvalues(wanted->result->setResult, wanted->result->setDesc, &value, &is_null);
	}
}

/*
 * explain(session_id, exchange_no, statement_no)
 */
Datum
pgwire_trace_explain(PG_FUNCTION_ARGS)
{
	static const ReadSink sink = {.run = take_run};
	Wanted wanted = {.result = (ReturnSetInfo *) fcinfo->resultinfo,
	                 .statement_no = PG_GETARG_INT32(2)};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	read_session(PG_GETARG_INT64(0), true, PG_GETARG_INT64(1), &sink, take_session, &wanted);
	return (Datum) 0;
}
