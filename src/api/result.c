/*
 * result.c
 *	  result(), result_columns(): what a statement answered.
 *
 * Rows go to the result's tuplestore one by one, as the answer is walked, in a memory
 * context that is reset behind each: time grows with the answer, memory does not.
 */
#include "postgres.h"

#include "api/json.h"
#include "fmgr.h"
#include "funcapi.h"
#include "read/value.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(pgwire_trace_result);
PG_FUNCTION_INFO_V1(pgwire_trace_result_columns);

/* Rows being made. */
typedef struct Answer
{
	ReturnSetInfo *result;
	ReadSession *session;
	int statement_no;
	int64 rows;
	bool has_columns;
	JsonWriter *writer;
	MemoryContext context; /* of a row */
} Answer;

/*
 * Takes the session that is read.
 */
static void
take_session(void *arg, ReadSession *session)
{
	Answer *answer = arg;

	answer->session = session;
	answer->writer = json_writer_create();
	answer->context = AllocSetContextCreate(CurrentMemoryContext, "row", ALLOCSET_DEFAULT_SIZES);
}

/*
 * Adds a value to a row's array: text, null, or {"hex": ..., "reason": ...}.  False: it
 * does not fit.
 */
static bool
put_value(JsonWriter *writer, const ReadValue *value)
{
	if (value->is_null)
		return json_put_constant(writer, NULL, JSON_NULL);
	if (value->is_text)
		return json_put_string(writer, NULL, value->text, value->len);
	if (!json_begin(writer, NULL, JSON_OBJECT) ||
	    !json_put_string(writer, "hex", value->text, value->len) ||
	    !json_put_string(writer, "reason", value->reason, strlen(value->reason)))
		return false;
	json_end(writer);
	return true;
}

/*
 * Adds a row's values as an array; false: they do not fit.
 */
static bool
put_values(JsonWriter *writer, const ReadValue *values, int count)
{
	if (!json_begin(writer, NULL, JSON_ARRAY))
		return false;
	for (int i = 0; i < count; i++)
		if (!put_value(writer, &values[i]))
			return false;
	json_end(writer);
	return true;
}

/*
 * Adds the row that the writer has.
 */
static void
put(Answer *answer)
{
	Datum columns[2];
	bool nulls[2] = {false};

	columns[0] = Int64GetDatum(++answer->rows);
	columns[1] = JsonbPGetDatum(json_finish(answer->writer));
	tuplestore_putvalues(answer->result->setResult, answer->result->setDesc, columns, nulls);
}

/*
 * Adds a row that says that there was more.
 */
static void
put_truncated(Answer *answer)
{
	json_reset(answer->writer);
	json_begin(answer->writer, NULL, JSON_OBJECT);
	json_put_constant(answer->writer, "truncated", JSON_TRUE);
	json_end(answer->writer);
	put(answer);
}

/*
 * Takes a row of the answer.
 */
static void
take_row(void *arg, const ReadRun *run, WireSpan body)
{
	Answer *answer = arg;
	MemoryContext before;
	ReadBytes *bytes;
	ReadValue *values;
	int count;

	if (run->statement_no != answer->statement_no)
		return;
	before = MemoryContextSwitchTo(answer->context);
	count = read_row(answer->session, run, body, &bytes);
	values = palloc(sizeof(ReadValue) * Max(count, 1));
	read_values(answer->session, count, bytes, values);
	if (put_values(answer->writer, values, count))
		put(answer);
	else
		put_truncated(answer);
	MemoryContextSwitchTo(before);
	MemoryContextReset(answer->context);
}

/*
 * Takes the end of a statement.
 */
static void
take_end(void *arg, const ReadRun *run)
{
	Answer *answer = arg;

	if (run->statement_no == answer->statement_no && run->is_truncated)
		put_truncated(answer);
}

/*
 * result(session_id, exchange_no, statement_no)
 */
Datum
pgwire_trace_result(PG_FUNCTION_ARGS)
{
	static const ReadSink sink = {.row = take_row, .run = take_end};
	Answer answer = {.result = (ReturnSetInfo *) fcinfo->resultinfo,
	                 .statement_no = PG_GETARG_INT32(2)};

	InitMaterializedSRF(fcinfo, 0);
	read_session(PG_GETARG_INT64(0), true, PG_GETARG_INT64(1), &sink, take_session, &answer);
	return (Datum) 0;
}

/*
 * Adds the rows of a run's columns.
 */
static void
put_columns(Answer *answer, const ReadRun *run, int count)
{
	for (int i = 0; i < count; i++)
	{
		const ReadColumn *column =
		    run->columns && i < run->columns->count ? &run->columns->columns[i] : NULL;
		Datum values[4];
		bool nulls[4] = {false};
		char *type =
		    column ? read_type_name(answer->session, column->type, column->modifier) : NULL;

		values[0] = Int32GetDatum(i + 1);
		nulls[1] = !column || !column->name;
		if (!nulls[1])
			values[1] = CStringGetTextDatum(column->name);
		nulls[2] = type == NULL;
		if (type)
			values[2] = CStringGetTextDatum(type);
		values[3] = CStringGetTextDatum(read_column_format(run, i) == 1 ? "binary" : "text");
		tuplestore_putvalues(answer->result->setResult, answer->result->setDesc, values, nulls);
	}
	answer->has_columns = true;
}

/*
 * Takes the first row: where the columns were never described their number stands there.
 */
static void
take_row_columns(void *arg, const ReadRun *run, WireSpan body)
{
	Answer *answer = arg;
	ReadBytes *bytes;

	if (run->statement_no == answer->statement_no && !answer->has_columns && !run->columns)
		put_columns(answer, run, read_row(answer->session, run, body, &bytes));
}

/*
 * Takes a statement's end: by now its columns are known, if ever.
 */
static void
take_end_columns(void *arg, const ReadRun *run)
{
	Answer *answer = arg;

	if (run->statement_no == answer->statement_no && !answer->has_columns && run->columns)
		put_columns(answer, run, run->columns->count);
}

/*
 * result_columns(session_id, exchange_no, statement_no)
 */
Datum
pgwire_trace_result_columns(PG_FUNCTION_ARGS)
{
	static const ReadSink sink = {.row = take_row_columns, .run = take_end_columns};
	Answer answer = {.result = (ReturnSetInfo *) fcinfo->resultinfo,
	                 .statement_no = PG_GETARG_INT32(2)};

	InitMaterializedSRF(fcinfo, 0);
	read_session(PG_GETARG_INT64(0), true, PG_GETARG_INT64(1), &sink, take_session, &answer);
	return (Datum) 0;
}
