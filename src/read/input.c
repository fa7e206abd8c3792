/*
 * input.c
 *	  Recorded values as data of types that the reader names; see input.h.
 *
 * What a type's input runs is looked up first, down to its parts.  A domain's checks are
 * never run: the reader is told to name the base type.  What else is not PostgreSQL's own
 * runs as the recorded role, like the functions of value.c.
 */
#include "read/input.h"

#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/transam.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_range.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "read/guard.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* What a type's input runs. */
typedef struct Runs
{
	bool has_domain;
	bool is_foreign;   /* functions that are not PostgreSQL's own */
	bool is_untrusted; /* ... of somebody whose code the recorded role must not run */
} Runs;

static void add_type(const ReadSession *session, Oid oid, Runs *runs);

/*
 * Adds a function.
 */
static void
add_function(const ReadSession *session, Oid function, Runs *runs)
{
	if (function < FirstNormalObjectId)
		return;
	runs->is_foreign = true;
	runs->is_untrusted |= !read_role_trusts_function(session, function);
}

/*
 * Adds what a composite type's columns run.
 */
static void
add_columns(const ReadSession *session, Oid oid, Runs *runs)
{
	TupleDesc columns = lookup_rowtype_tupdesc_noerror(oid, -1, true);

	if (!columns)
		return;
	for (int i = 0; i < columns->natts; i++)
		if (!TupleDescAttr(columns, i)->attisdropped)
			add_type(session, TupleDescAttr(columns, i)->atttypid, runs);
	ReleaseTupleDesc(columns);
}

/*
 * Adds what a range runs: the functions of its subtype's order, and its canonical one.
 */
static void
add_range(const ReadSession *session, Oid oid, Runs *runs)
{
	HeapTuple tuple = SearchSysCache1(RANGETYPE, ObjectIdGetDatum(oid));
	Form_pg_range form;
	Oid compared;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_range) GETSTRUCT(tuple);
	add_function(session, form->rngcanonical, runs);
	compared = get_opclass_input_type(form->rngsubopc);
	add_function(
	    session,
	    get_opfamily_proc(get_opclass_family(form->rngsubopc), compared, compared, BTORDER_PROC),
	    runs);
	add_type(session, form->rngsubtype, runs);
	ReleaseSysCache(tuple);
}

/*
 * Adds what a type runs.
 */
static void
add_form(const ReadSession *session, const FormData_pg_type *form, Runs *runs)
{
	if (!read_role_trusts(session, form->typowner))
		runs->is_untrusted = true;
	switch (form->typtype)
	{
		case TYPTYPE_DOMAIN:
			runs->has_domain = true;
			break;
		case TYPTYPE_COMPOSITE:
			add_columns(session, form->oid, runs);
			break;
		case TYPTYPE_RANGE:
			add_range(session, form->oid, runs);
			break;
		case TYPTYPE_MULTIRANGE:
			add_type(session, get_multirange_range(form->oid), runs);
			break;
		default:
			add_function(session, form->typinput, runs);
			if (form->typinput < FirstNormalObjectId && OidIsValid(form->typelem) &&
			    form->typlen == -1)
				add_type(session, form->typelem, runs);
			break;
	}
}

/*
 * Adds what a type runs, by its OID; PostgreSQL's own run nothing else.
 */
static void
add_type(const ReadSession *session, Oid oid, Runs *runs)
{
	HeapTuple tuple;

	check_stack_depth();
	if (oid < FirstNormalObjectId)
		return;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(oid));
	if (!HeapTupleIsValid(tuple))
		return;
	add_form(session, (const FormData_pg_type *) GETSTRUCT(tuple), runs);
	ReleaseSysCache(tuple);
}

/*
 * Raises that a type's input may not run.
 */
static void
refuse(Oid type, const char *reason, const char *hint)
{
	ereport(ERROR,
	        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	         errmsg("recorded values cannot be made values of type %s", format_type_be(type)),
	         errdetail_internal("%s", reason), errhint("%s", hint)));
}

/*
 * Prepares for a type; see input.h.
 */
void
read_input_init(ReadSession *session, Oid type, int32 modifier, ReadInput *input)
{
	Runs runs = {false};
	Oid function;
	const char *problem;

	add_type(session, type, &runs);
	if (runs.has_domain)
		refuse(type, "It is a domain, or contains one, and its checks may run what others wrote.",
		       "Name the base type, or text.");
	if (runs.is_foreign && (problem = read_role_problem(session)))
		refuse(type, psprintf("Its functions run as the recorded role: %s.", problem),
		       "Name type text.");
	if (runs.is_foreign && runs.is_untrusted)
		refuse(type, "It does not belong to a superuser, as the recorded role is one.",
		       "Name type text.");
	getTypeInputInfo(type, &function, &input->parameter);
	fmgr_info_cxt(function, &input->function, session->context);
	input->modifier = modifier;
	input->is_foreign = runs.is_foreign;
	input->takes_hex =
	    type == BYTEAOID || type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
}

/* Values that are made under one guard. */
typedef struct Making
{
	ReadSession *session;
	int count;
	const ReadInput *inputs;
	const ReadValue *values;
	ReadDatum *data;
} Making;

/*
 * Makes values.
 */
static void
make_values(void *arg)
{
	Making *making = arg;

	for (int i = 0; i < making->count; i++)
	{
		const ReadInput *input = &making->inputs[i];
		const ReadValue *value = &making->values[i];
		FmgrInfo function = input->function;
		char *text;
		ReadRole before;

		making->data[i] = (ReadDatum){.is_null = value->is_null};
		if (value->is_null)
			continue;
		if (!value->is_text && !input->takes_hex)
		{
			making->data[i] = (ReadDatum){.is_null = true, .reason = value->reason};
			continue;
		}
		text = value->is_text ? pnstrdup(value->text, value->len) : psprintf("\\x%s", value->text);
		if (input->is_foreign)
			read_role_enter(making->session->role, &before);
		making->data[i].value =
		    InputFunctionCall(&function, text, input->parameter, input->modifier);
		if (input->is_foreign)
			read_role_leave(&before);
	}
}

/*
 * Makes values of types; see input.h.  First under one guard; if one fails, each under
 * its own.
 */
void
read_inputs(ReadSession *session, int count, const ReadInput *inputs, const ReadValue *values,
            ReadDatum *data)
{
	Making all = {session, count, inputs, values, data};
	ErrorData *error;

	read_session_apply(session);
	if (read_guard(session, make_values, &all, &error))
		return;
	for (int i = 0; i < count; i++)
	{
		Making one = {session, 1, &inputs[i], &values[i], &data[i]};

		if (!read_guard(session, make_values, &one, &error))
			data[i] = (ReadDatum){.is_null = true, .reason = error->message};
	}
}
