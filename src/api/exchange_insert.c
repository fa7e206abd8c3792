/*
 * exchange_insert.c
 *	  INSERT INTO exchange: a row of the view becomes one of compact storage.
 *
 * The writer does not come this way.  It is for records that come from elsewhere:
 * another server's, a test's.  Columns that are left out are what the view would
 * show for nothing: no bytes, no rows, one part.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "journal/facts.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(pgwire_trace_exchange_insert);

/* The row that is inserted. */
typedef struct Row
{
	HeapTuple tuple;
	TupleDesc desc;
} Row;

/*
 * Returns a column; false for NULL.
 */
static bool
get_column(const Row *row, const char *name, Datum *value)
{
	bool is_null;

	*value = SPI_getbinval(row->tuple, row->desc, SPI_fnumber(row->desc, name), &is_null);
	return !is_null;
}

/*
 * Raises the error for a column's value.
 */
static void
refuse(const char *name, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid value of column \"%s\" of an exchange", name),
	                errdetail("Expected is %s.", expected)));
}

/*
 * Returns a column that must not be NULL.
 */
static Datum
needed(const Row *row, const char *name)
{
	Datum value;

	if (!get_column(row, name, &value))
		refuse(name, "a value that is not NULL");
	return value;
}

/*
 * Returns a number that is not negative.
 */
static int64
number(const Row *row, const char *name, bool is_integer, int64 missing)
{
	Datum value;
	int64 result;

	if (!get_column(row, name, &value))
		return missing;
	result = is_integer ? DatumGetInt32(value) : DatumGetInt64(value);
	if (result < 0)
		refuse(name, "a number that is not negative");
	return result;
}

/*
 * Returns a boolean, false for NULL.
 */
static bool
flag(const Row *row, const char *name)
{
	Datum value;

	return get_column(row, name, &value) && DatumGetBool(value);
}

/*
 * Copies a short text into out.  Returns its length, 0 for NULL.
 */
static size_t
short_text(const Row *row, const char *name, char *out, size_t least, size_t most,
           const char *expected)
{
	Datum value;
	const text *data;

	if (!get_column(row, name, &value))
		return 0;
	data = DatumGetTextPP(value);
	if (VARSIZE_ANY_EXHDR(data) < least || VARSIZE_ANY_EXHDR(data) > most)
		refuse(name, expected);
	memcpy(out, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	return VARSIZE_ANY_EXHDR(data);
}

/*
 * Returns the microseconds from started_at to a time; -1 for NULL.
 */
static int64
time_after_start(const Row *row, const char *name)
{
	TimestampTz started_at = DatumGetTimestampTz(needed(row, "started_at"));
	Datum value;

	if (!get_column(row, name, &value))
		return -1;
	if (DatumGetTimestampTz(value) < started_at || TIMESTAMP_NOT_FINITE(started_at) ||
	    TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
		refuse(name, "a time that is not before started_at");
	return DatumGetTimestampTz(value) - started_at;
}

/*
 * Sets the facts that are numbers and flags.
 */
static void
set_numbers(const Row *row, Facts *facts)
{
	Datum value;

	facts->part_no = (int32) number(row, "part_no", true, 1);
	facts->statement_count = (int32) number(row, "statement_count", true, 0);
	facts->row_count = number(row, "row_count", false, 0);
	facts->data_row_count = number(row, "data_row_count", false, 0);
	facts->is_complete = flag(row, "is_complete");
	facts->is_truncated = flag(row, "is_truncated");
	facts->pairing_uncertain = flag(row, "pairing_uncertain");
	facts->is_redacted = flag(row, "is_redacted");
	facts->is_request_redacted = flag(row, "is_request_redacted");
	if (get_column(row, "transaction_status", &value))
		facts->transaction_status = DatumGetChar(value);
	if ((facts->has_query_id = get_column(row, "query_id", &value)))
		facts->query_id = DatumGetInt64(value);
	if ((facts->has_digests = get_column(row, "row_digest", &value)))
	{
		facts->row_digest = (uint64) DatumGetInt64(value);
		if (get_column(row, "row_set_digest", &value))
			facts->row_set_digest = (uint64) DatumGetInt64(value);
	}
	if ((facts->has_cancelled = get_column(row, "cancelled_session_id", &value)))
	{
		facts->cancelled_session_id = DatumGetInt64(value);
		facts->cancelled_exchange_no = number(row, "cancelled_exchange_no", false, -1);
	}
}

/*
 * Sets the facts that are times and texts.
 */
static void
set_texts(const Row *row, Facts *facts)
{
	Datum value;
	char *kind = text_to_cstring(DatumGetTextPP(needed(row, "kind")));

	facts->kind = facts_kind_of(kind);
	if (facts->kind == FACTS_KINDS)
		refuse("kind", "one of the kinds of exchanges");
	facts->duration = time_after_start(row, "finished_at");
	if (facts->duration < 0)
		facts->duration = time_after_start(row, "recorded_at");
	if (facts->duration < 0)
		refuse("finished_at", "a value that is not NULL");
	facts->first_response = time_after_start(row, "first_response_at");
	facts->think = number(row, "think_us", false, -1);
	facts->tag_len = (uint32) short_text(row, "command_tag", facts->tag, 0, FACTS_TAG,
	                                     "a command tag of at most 64 bytes");
	(void) short_text(row, "sqlstate", facts->sqlstate, sizeof(facts->sqlstate),
	                  sizeof(facts->sqlstate), "five characters");
	facts->text = get_column(row, "query", &value) ? FACTS_TEXT_COLUMN : FACTS_TEXT_NONE;
}

/*
 * Appends a column of bytes.  Returns how many; *present tells NULL from none.
 */
static uint64
append_bytes(const Row *row, const char *name, StringInfo out, bool *present)
{
	Datum value;
	const bytea *bytes;

	*present = get_column(row, name, &value);
	if (!*present)
		return 0;
	bytes = DatumGetByteaPP(value);
	appendBinaryStringInfo(out, VARDATA_ANY(bytes), (int) VARSIZE_ANY_EXHDR(bytes));
	return VARSIZE_ANY_EXHDR(bytes);
}

/*
 * Appends the hashes of the Binds' texts, unless the only one is the query's.
 */
static void
append_hashes(const Row *row, Facts *facts, StringInfo out)
{
	Datum value;
	Datum query_hash;
	Datum *hashes;
	bool *nulls;
	int count;

	if (!get_column(row, "query_hashes", &value))
		return;
	deconstruct_array(DatumGetArrayTypeP(value), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
	                  TYPALIGN_DOUBLE, &hashes, &nulls, &count);
	facts->hash_is_query = count == 1 && !nulls[0] && get_column(row, "query_hash", &query_hash) &&
	                       DatumGetInt64(query_hash) == DatumGetInt64(hashes[0]);
	if (facts->hash_is_query)
		return;
	facts->hash_count = (uint32) count;
	for (int i = 0; i < count; i++)
	{
		int64 hash = DatumGetInt64(hashes[i]);

		if (nulls[i])
			refuse("query_hashes", "an array without NULLs");
		appendBinaryStringInfo(out, (char *) &hash, sizeof(hash));
	}
}

/*
 * Gathers the bytes of the row, and sets the facts that tell what is where.
 */
static void
set_bytes(const Row *row, Facts *facts, StringInfo out)
{
	facts->request_kept = append_bytes(row, "request", out, &facts->has_request);
	facts->response_kept = append_bytes(row, "response", out, &facts->has_response);
	facts->chunks_len = append_bytes(row, "chunks", out, &facts->has_chunks);
	facts->has_chunks = facts->chunks_len > 0;
	facts->request_bytes =
	    (uint64) number(row, "request_bytes", false, (int64) facts->request_kept);
	facts->response_bytes =
	    (uint64) number(row, "response_bytes", false, (int64) facts->response_kept);
	append_hashes(row, facts, out);
}

/*
 * Stores the row.
 */
static void
store(const Row *row, const Facts *facts, const StringInfo bytes)
{
	static const char *const copied[] = {"started_at", "session_id",   "exchange_no",
	                                     "query_hash", NULL,           NULL,
	                                     "query",      "error_message"};
	Oid types[8] = {TIMESTAMPTZOID, INT8OID,  INT8OID, INT8OID,
	                BYTEAOID,       BYTEAOID, TEXTOID, TEXTOID};
	char nulls[8] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
	uint8 encoded[FACTS_SIZE];
	size_t len = facts_encode(facts, encoded);
	Datum values[8];

	for (int i = 0; i < 8; i++)
		if (copied[i] && !get_column(row, copied[i], &values[i]))
			nulls[i] = 'n';
	values[4] = PointerGetDatum(cstring_to_text_with_len((char *) encoded, (int) len));
	values[5] = PointerGetDatum(cstring_to_text_with_len(bytes->data, bytes->len));
	if (SPI_execute_with_args(
	        psprintf("INSERT INTO pgwire_trace.%s VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
	                 get_rel_name(partition_current(pgwt_now()))),
	        8, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not store an exchange");
}

/*
 * The trigger.
 */
Datum
pgwire_trace_exchange_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	StringInfoData bytes;
	Facts facts = {.kind = FACTS_ASYNC};
	Row row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_INSTEAD(trigger->tg_event) ||
	    !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
		                errmsg("exchange_insert is a trigger function of view exchange")));
	row = (Row){trigger->tg_trigtuple, trigger->tg_relation->rd_att};
	SPI_connect();
	initStringInfo(&bytes);
	set_texts(&row, &facts);
	set_numbers(&row, &facts);
	set_bytes(&row, &facts, &bytes);
	store(&row, &facts, &bytes);
	SPI_finish();
	return PointerGetDatum(trigger->tg_trigtuple);
}
