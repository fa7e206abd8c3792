/*
 * result_set.c
 *	  result_set(): a recorded result as rows of the types that the caller names.
 *
 * The values' text goes through these types' input functions, under the session's
 * settings.  What does not fit is NULL, with a warning for the first of each column.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "read/input.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(pgwire_trace_result_set);

/* Rows being made. */
typedef struct RowMaking
{
	ReturnSetInfo *result;
	ReadSession *session;
	int statement_no;
	int64 rows;
	ReadInput *inputs;
	bool *has_warned;      /* by column */
	MemoryContext context; /* of a row */
} RowMaking;

/*
 * Takes the session that is read; prepares for the caller's types.
 */
static void
take_session(void *arg, ReadSession *session)
{
	RowMaking *making = arg;
	TupleDesc columns = making->result->setDesc;

	making->session = session;
	making->context = AllocSetContextCreate(CurrentMemoryContext, "row", ALLOCSET_DEFAULT_SIZES);
	making->inputs = palloc0(sizeof(ReadInput) * Max(columns->natts, 1));
	making->has_warned = palloc0(Max(columns->natts, 1));
	for (int i = 0; i < columns->natts; i++)
		read_input_init(session, TupleDescAttr(columns, i)->atttypid,
		                TupleDescAttr(columns, i)->atttypmod, &making->inputs[i]);
}

/*
 * Raises if the caller named another number of columns than there are.
 */
static void
check_count(const RowMaking *making, int count)
{
	if (count != making->result->setDesc->natts)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("recorded result has %d columns, but the column definition list names %d",
		                count, making->result->setDesc->natts),
		         errhint("result_columns() lists them.")));
}

/*
 * Warns of the first value of a column that did not fit.
 */
static void
warn(RowMaking *making, int column, const char *reason)
{
	if (making->has_warned[column])
		return;
	making->has_warned[column] = true;
	ereport(WARNING, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
	                  errmsg("recorded value in column %d of row %lld is shown as NULL", column + 1,
	                         (long long) making->rows),
	                  errdetail("It does not fit the type that was named: %s.", reason),
	                  errhint("Name type text, or use result(). Later values of the column are not "
	                          "reported.")));
}

/*
 * Takes a row of the answer.
 */
static void
take_row(void *arg, const ReadRun *run, WireSpan body)
{
	RowMaking *making = arg;
	MemoryContext before;
	ReadBytes *bytes;
	ReadValue *values;
	ReadDatum *data;
	Datum *columns;
	bool *nulls;
	int count;

	if (run->statement_no != making->statement_no)
		return;
	before = MemoryContextSwitchTo(making->context);
	count = read_row(making->session, run, body, &bytes);
	check_count(making, count);
	making->rows++;
	values = palloc(sizeof(ReadValue) * Max(count, 1));
	data = palloc(sizeof(ReadDatum) * Max(count, 1));
	columns = palloc(sizeof(Datum) * Max(count, 1));
	nulls = palloc(Max(count, 1));
	read_values(making->session, count, bytes, values);
	read_inputs(making->session, count, making->inputs, values, data);
	for (int i = 0; i < count; i++)
	{
		columns[i] = data[i].value;
		nulls[i] = data[i].is_null;
		if (data[i].reason)
			warn(making, i, data[i].reason);
	}
	tuplestore_putvalues(making->result->setResult, making->result->setDesc, columns, nulls);
	MemoryContextSwitchTo(before);
	MemoryContextReset(making->context);
}

/*
 * Takes the end of a statement.
 */
static void
take_end(void *arg, const ReadRun *run)
{
	RowMaking *making = arg;

	if (run->statement_no != making->statement_no)
		return;
	if (run->columns)
		check_count(making, run->columns->count);
	if (run->is_truncated)
		ereport(WARNING,
		        (errcode(ERRCODE_WARNING),
		         errmsg("result is in the record only up to row %lld", (long long) making->rows)));
}

/*
 * result_set(session_id, exchange_no, statement_no)
 */
Datum
pgwire_trace_result_set(PG_FUNCTION_ARGS)
{
	static const ReadSink sink = {.row = take_row, .run = take_end};
	RowMaking making = {.result = (ReturnSetInfo *) fcinfo->resultinfo,
	                    .statement_no = PG_GETARG_INT32(2)};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	read_session(PG_GETARG_INT64(0), true, PG_GETARG_INT64(1), &sink, take_session, &making);
	return (Datum) 0;
}
