/*
 * parameter.c
 *	  The parameters and rows of a run, with the types and formats that other messages
 *	  gave them.
 */
#include "read/value.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "utils/builtins.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/*
 * Returns the row of a function that a FunctionCall names; NULL: it is not known here.
 * ReleaseSysCache() it.
 */
static HeapTuple
find_function(const ReadSession *session, Oid function)
{
	HeapTuple tuple = NULL;

	if (function < FirstNormalObjectId || session->is_here)
		tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	return HeapTupleIsValid(tuple) ? tuple : NULL;
}

/*
 * Tells whether a function's OID means here what it meant in the session's database.
 */
bool
read_function_is_known(const ReadSession *session, Oid function)
{
	HeapTuple tuple = OidIsValid(function) ? find_function(session, function) : NULL;

	if (tuple)
		ReleaseSysCache(tuple);
	return tuple != NULL;
}

/*
 * Returns the OID of the function that a run called; InvalidOid: none.
 */
Oid
read_run_function(const ReadRun *run)
{
	ReadItems items;
	uint32 function;

	if (run->kind != READ_RUN_CALL || !run->bind.data ||
	    !read_call_items(run->bind, &function, &items))
		return InvalidOid;
	return function;
}

/*
 * Returns the name of that function, with its arguments; its number where that means
 * nothing here; NULL: none.
 */
char *
read_function_name(const ReadSession *session, const ReadRun *run)
{
	Oid function = read_run_function(run);
	HeapTuple tuple;

	if (!OidIsValid(function))
		return NULL;
	tuple = find_function(session, function);
	if (!tuple)
		return psprintf("%u", function);
	ReleaseSysCache(tuple);
	return format_procedure_qualified(function);
}

/*
 * Gives the types of a function's arguments and result, as far as they are known.
 */
static void
function_types(const ReadSession *session, Oid function, int count, ReadBytes *arguments,
               Oid *result)
{
	HeapTuple tuple = find_function(session, function);
	Form_pg_proc form;

	if (!tuple)
		return;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	for (int i = 0; i < count && i < form->pronargs; i++)
		arguments[i].type = form->proargtypes.values[i];
	if (result)
		*result = form->prorettype;
	ReleaseSysCache(tuple);
}

/*
 * Returns the parameters of a run; see value.h.
 */
int
read_parameters(const ReadSession *session, const ReadRun *run, ReadBytes **parameters)
{
	ReadItems items;
	uint32 function = 0;
	bool is_call = run->kind == READ_RUN_CALL;
	int count = 0;

	*parameters = NULL;
	if (!run->bind.data || !(is_call ? read_call_items(run->bind, &function, &items)
	                                 : read_bind_items(run->bind, &items)))
		return 0;
	*parameters = palloc0(sizeof(ReadBytes) * Max(items.count, 1));
	for (ReadBytes *bytes = *parameters; read_items_next(&items, &bytes->bytes, &bytes->format);
	     bytes++, count++)
		if (run->prepared && count < run->prepared->type_count)
			bytes->type = run->prepared->types[count];
	if (is_call)
		function_types(session, function, count, *parameters, NULL);
	return count;
}

/*
 * Returns the format of a run's column.
 */
int
read_column_format(const ReadRun *run, int column)
{
	if (run->kind != READ_RUN_EXTENDED && run->columns && column < run->columns->count)
		return run->columns->columns[column].format;
	return wire_is_binary(&run->formats, column) ? 1 : 0;
}

/*
 * Gives the result of a function call.
 */
static int
read_call_result(const ReadSession *session, const ReadRun *run, WireSpan body, ReadBytes **values)
{
	ReadItems items = {.body = body, .count = 1};
	ReadItems arguments;
	ReadBytes *value = palloc0(sizeof(ReadBytes));
	uint32 function;

	*values = value;
	if (!read_items_next(&items, &value->bytes, &value->format))
		return 0;
	if (run->bind.data && read_call_items(run->bind, &function, &arguments))
	{
		WireSpan skipped;
		int format;

		function_types(session, function, 0, NULL, &value->type);
		while (read_items_next(&arguments, &skipped, &format))
			;
		if (arguments.at + 2 <= run->bind.len)
			value->format = run->bind.data[arguments.at + 1];
	}
	return 1;
}

/*
 * Returns the values of a DataRow, or of a function's result; see value.h.
 */
int
read_row(const ReadSession *session, const ReadRun *run, WireSpan body, ReadBytes **values)
{
	ReadItems items;
	int count = 0;

	*values = NULL;
	if (run->kind == READ_RUN_CALL)
		return read_call_result(session, run, body, values);
	if (!read_row_items(body, &items))
		return 0;
	*values = palloc0(sizeof(ReadBytes) * Max(items.count, 1));
	for (ReadBytes *bytes = *values; read_items_next(&items, &bytes->bytes, &bytes->format);
	     bytes++, count++)
	{
		bytes->format = read_column_format(run, count);
		if (run->columns && count < run->columns->count)
			bytes->type = run->columns->columns[count].type;
	}
	return count;
}
