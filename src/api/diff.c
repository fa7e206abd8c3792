/*
 * diff.c
 *	  session_diff(): where two recorded sessions differ.
 *
 * Exchanges are paired first, by what the client asked (see align.h), so one that
 * was inserted or left out is one row, and those behind it are still compared
 * with their counterparts.  Of a pair only those that are not the same in every
 * message are looked at again.
 */
#include "api/diff.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(pgwire_trace_session_diff);

/* The first message of an exchange. */
typedef struct FirstMessage
{
	MemoryContext context;
	const char *name; /* NULL: not come yet */
	Jsonb *body;
} FirstMessage;

/*
 * Adds a row; see diff.h.
 */
void
diff_put(ReturnSetInfo *result, int64 exchange_no, int32 message_no, const char *what,
         const Jsonb *left, const Jsonb *right)
{
	Datum values[5] = {Int64GetDatum(exchange_no), Int32GetDatum(message_no),
	                   CStringGetTextDatum(what), PointerGetDatum(left), PointerGetDatum(right)};
	bool nulls[5] = {false, message_no == 0, false, left == NULL, right == NULL};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Keeps the first message that comes.
 */
static void
take_first(void *arg, const RecordedMessage *recorded)
{
	FirstMessage *first = arg;
	MemoryContext before;

	if (first->name)
		return;
	before = MemoryContextSwitchTo(first->context);
	first->name = json_message_name(recorded->message);
	first->body =
	    (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(diff_message_body(recorded, NULL)));
	MemoryContextSwitchTo(before);
}

/*
 * Keeps what is known of an exchange that has no messages.
 */
static void
take_columns(void *arg, const DiffColumns *columns)
{
	FirstMessage *first = arg;
	MemoryContext before = MemoryContextSwitchTo(first->context);

	first->name = "record";
	first->body = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(columns->body));
	MemoryContextSwitchTo(before);
}

/*
 * Adds a row for an exchange that has no counterpart.
 */
static void
put_single(ReturnSetInfo *result, int64 session, int64 exchange_no, bool is_left)
{
	FirstMessage first = {.context = CurrentMemoryContext};

	messages_read(session, true, exchange_no, take_first, &first);
	if (!first.name)
		diff_read_columns(session, true, exchange_no, take_columns, &first);
	diff_put(result, exchange_no, 0,
	         psprintf("%s exchange: %s", is_left ? "missing" : "extra", first.name),
	         is_left ? first.body : NULL, is_left ? NULL : first.body);
}

/*
 * Adds all rows.
 */
static void
compare_sessions(ReturnSetInfo *result, const int64 sessions[2])
{
	AlignSequence a = diff_outline(sessions[0]);
	AlignSequence b = diff_outline(sessions[1]);
	const DiffOutline *left = (const DiffOutline *) a.elements;
	const DiffOutline *right = (const DiffOutline *) b.elements;
	int64 *pairs = align_sequences(&a, &b);
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "session_diff", ALLOCSET_DEFAULT_SIZES);
	int64 next = 0; /* of those on the right */

	for (int64 i = 0; i <= a.count; i++)
	{
		int64 until = i == a.count ? b.count : pairs[i];
		MemoryContext before = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		for (; next < until; next++)
			put_single(result, sessions[1], right[next].exchange_no, false);
		if (i < a.count && until < 0)
			put_single(result, sessions[0], left[i].exchange_no, true);
		else if (i < a.count)
		{
			if (left[i].whole != right[next].whole)
				diff_exchanges(result, sessions, &left[i], &right[next]);
			next++;
		}
		MemoryContextSwitchTo(before);
		MemoryContextReset(context);
	}
}

/*
 * session_diff(a, b)
 */
Datum
pgwire_trace_session_diff(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		const int64 sessions[2] = {PG_GETARG_INT64(0), PG_GETARG_INT64(1)};

		compare_sessions((ReturnSetInfo *) fcinfo->resultinfo, sessions);
	}
	return (Datum) 0;
}
