/*
 * statement.c
 *	  statement_rows(), parameters(): what was run, a row a statement or parameter.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "read/value.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(pgwire_trace_statement_rows);
PG_FUNCTION_INFO_V1(pgwire_trace_parameters);

/* Rows being made. */
typedef struct Listing
{
	ReturnSetInfo *result;
	ReadSession *session;
} Listing;

/*
 * Takes the session that is read.
 */
static void
take_session(void *arg, ReadSession *session)
{
	((Listing *) arg)->session = session;
}

/*
 * Sets a column to text; NULL stays NULL.
 */
static void
set_text(Datum *value, bool *is_null, const char *text)
{
	*is_null = text == NULL;
	if (text)
		*value = CStringGetTextDatum(text);
}

/*
 * Returns a value as text: what can't be read, as bytea shows bytes.
 */
static Datum
value_datum(const ReadValue *value)
{
	const char *text = value->text;

	if (value->is_text)
		return PointerGetDatum(cstring_to_text_with_len(text, (int) value->len));
	return CStringGetTextDatum(psprintf("\\x%s", text));
}

/*
 * Makes an array of text.
 */
static Datum
text_array(Datum *values, bool *nulls, int count)
{
	int size[1] = {count};
	int bound[1] = {1};

	if (count == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	return PointerGetDatum(
	    construct_md_array(values, nulls, 1, size, bound, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Sets the columns of a run's parameters: types, formats, values.
 */
static void
set_parameters(const Listing *listing, const ReadRun *run, Datum *columns, bool *is_null)
{
	ReadBytes *bytes;
	int count = read_parameters(listing->session, run, &bytes);
	ReadValue *values = palloc(sizeof(ReadValue) * Max(count, 1));
	Datum *texts = palloc(sizeof(Datum) * Max(count, 1));
	bool *nulls = palloc(Max(count, 1));

	is_null[0] = is_null[1] = is_null[2] = run->bind.data == NULL;
	if (is_null[0])
		return;
	for (int i = 0; i < count; i++)
		set_text(&texts[i], &nulls[i], read_type_name(listing->session, bytes[i].type, -1));
	columns[0] = text_array(texts, nulls, count);
	for (int i = 0; i < count; i++)
		set_text(&texts[i], &nulls[i], bytes[i].format == 1 ? "binary" : "text");
	columns[1] = text_array(texts, nulls, count);
	read_values(listing->session, count, bytes, values);
	for (int i = 0; i < count; i++)
	{
		nulls[i] = values[i].is_null;
		texts[i] = nulls[i] ? (Datum) 0 : value_datum(&values[i]);
	}
	columns[2] = text_array(texts, nulls, count);
}

/*
 * Adds a statement's row.
 */
static void
put_statement(void *arg, const ReadRun *run)
{
	Listing *listing = arg;
	Datum values[18];
	bool nulls[18] = {false};

	values[0] = Int64GetDatum(listing->session->session_id);
	values[1] = Int64GetDatum(run->exchange->exchange_no);
	values[2] = Int32GetDatum(run->statement_no);
	set_text(&values[3], &nulls[3], run->statement_name);
	set_text(&values[4], &nulls[4], run->portal_name);
	set_text(&values[5], &nulls[5], run->query);
	set_text(&values[6], &nulls[6], run->prepared_query);
	set_text(&values[7], &nulls[7], read_function_name(listing->session, run));
	set_parameters(listing, run, &values[8], &nulls[8]);
	set_text(&values[11], &nulls[11], run->command_tag);
	values[12] = Int64GetDatum(run->row_count);
	nulls[12] = run->row_count < 0;
	values[13] = Int64GetDatum(run->data_row_count);
	set_text(&values[14], &nulls[14], run->sqlstate);
	set_text(&values[15], &nulls[15], run->error_message);
	values[16] = BoolGetDatum(run->is_suspended);
	values[17] = BoolGetDatum(run->is_truncated);
	tuplestore_putvalues(listing->result->setResult, listing->result->setDesc, values, nulls);
}

/*
 * statement_rows(session_id, exchange_no)
 */
Datum
pgwire_trace_statement_rows(PG_FUNCTION_ARGS)
{
	static const ReadSink sink = {.run = put_statement};
	bool has_exchange = !PG_ARGISNULL(1);
	Listing listing = {.result = (ReturnSetInfo *) fcinfo->resultinfo};

	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0))
		read_session(PG_GETARG_INT64(0), has_exchange, has_exchange ? PG_GETARG_INT64(1) : 0, &sink,
		             take_session, &listing);
	return (Datum) 0;
}

/*
 * Adds the rows of a run's parameters.
 */
static void
put_parameters(void *arg, const ReadRun *run)
{
	Listing *listing = arg;
	ReadBytes *bytes;
	int count = read_parameters(listing->session, run, &bytes);
	ReadValue *read = palloc(sizeof(ReadValue) * Max(count, 1));

	read_values(listing->session, count, bytes, read);
	for (int i = 0; i < count; i++)
	{
		Datum values[6];
		bool nulls[6] = {false};

		values[0] = Int32GetDatum(run->statement_no);
		values[1] = Int32GetDatum(i + 1);
		set_text(&values[2], &nulls[2], read_type_name(listing->session, bytes[i].type, -1));
		values[3] = CStringGetTextDatum(bytes[i].format == 1 ? "binary" : "text");
		nulls[4] = read[i].is_null;
		if (!nulls[4])
			values[4] = value_datum(&read[i]);
		set_text(&values[5], &nulls[5], read[i].reason);
		tuplestore_putvalues(listing->result->setResult, listing->result->setDesc, values, nulls);
	}
}

/*
 * parameters(session_id, exchange_no)
 */
Datum
pgwire_trace_parameters(PG_FUNCTION_ARGS)
{
	static const ReadSink sink = {.run = put_parameters};
	Listing listing = {.result = (ReturnSetInfo *) fcinfo->resultinfo};

	InitMaterializedSRF(fcinfo, 0);
	read_session(PG_GETARG_INT64(0), true, PG_GETARG_INT64(1), &sink, take_session, &listing);
	return (Datum) 0;
}
