/*
 * exchange.c
 *	  What view exchange computes from a row of compact storage.
 *
 * Each function decodes the facts anew: they are some 20 bytes, and only what a
 * query asks for is computed.  What a name means is looked up once a query.
 *
 *		fact_text, fact_bigint, fact_boolean, fact_time		a fact by its name
 *		exchange_bytes		request, response or chunks
 *		exchange_hashes		the hashes of the Binds' texts
 *		exchange_query		the text of the first statement
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "journal/facts.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(pgwire_trace_fact_text);
PG_FUNCTION_INFO_V1(pgwire_trace_fact_bigint);
PG_FUNCTION_INFO_V1(pgwire_trace_fact_boolean);
PG_FUNCTION_INFO_V1(pgwire_trace_fact_time);
PG_FUNCTION_INFO_V1(pgwire_trace_exchange_bytes);
PG_FUNCTION_INFO_V1(pgwire_trace_exchange_hashes);
PG_FUNCTION_INFO_V1(pgwire_trace_exchange_query);

#define QUERY_HEADER 5 /* type and length, before a Query's text */

typedef enum FactName
{
	FACT_KIND,
	FACT_COMMAND_TAG,
	FACT_SQLSTATE,
	FACT_TRANSACTION_STATUS,
	FACT_PART_NO,
	FACT_STATEMENT_COUNT,
	FACT_ROW_COUNT,
	FACT_DATA_ROW_COUNT,
	FACT_REQUEST_BYTES,
	FACT_RESPONSE_BYTES,
	FACT_ROW_DIGEST,
	FACT_ROW_SET_DIGEST,
	FACT_QUERY_ID,
	FACT_CANCELLED_SESSION_ID,
	FACT_CANCELLED_EXCHANGE_NO,
	FACT_DURATION,
	FACT_FIRST_RESPONSE,
	FACT_THINK,
	FACT_IS_COMPLETE,
	FACT_IS_TRUNCATED,
	FACT_PAIRING_UNCERTAIN,
	FACT_IS_REDACTED,
	FACT_IS_REQUEST_REDACTED,
	FACT_REQUEST,
	FACT_RESPONSE,
	FACT_CHUNKS,
	FACT_NAMES
} FactName;

static const char *const fact_names[FACT_NAMES] = {"kind",
                                                   "command_tag",
                                                   "sqlstate",
                                                   "transaction_status",
                                                   "part_no",
                                                   "statement_count",
                                                   "row_count",
                                                   "data_row_count",
                                                   "request_bytes",
                                                   "response_bytes",
                                                   "row_digest",
                                                   "row_set_digest",
                                                   "query_id",
                                                   "cancelled_session_id",
                                                   "cancelled_exchange_no",
                                                   "duration",
                                                   "first_response",
                                                   "think",
                                                   "is_complete",
                                                   "is_truncated",
                                                   "pairing_uncertain",
                                                   "is_redacted",
                                                   "is_request_redacted",
                                                   "request",
                                                   "response",
                                                   "chunks"};

/*
 * Raises the error for a name that is not one of the function's.
 */
static void
refuse_name(FunctionCallInfo fcinfo, int argument)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("an exchange has no such part: \"%s\"",
	                       text_to_cstring(PG_GETARG_TEXT_PP(argument)))));
}

/*
 * Returns which fact the argument names.  A name that stays the same for the whole
 * query is looked up once.
 */
static FactName
named_fact(FunctionCallInfo fcinfo, int argument)
{
	FactName *known = fcinfo->flinfo->fn_extra;
	const text *name;
	int fact = 0;

	if (known)
		return *known;
	name = PG_GETARG_TEXT_PP(argument);
	while (fact < FACT_NAMES &&
	       (strlen(fact_names[fact]) != VARSIZE_ANY_EXHDR(name) ||
	        memcmp(fact_names[fact], VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)) != 0))
		fact++;
	if (fact == FACT_NAMES)
		refuse_name(fcinfo, argument);
	if (get_fn_expr_arg_stable(fcinfo->flinfo, argument))
	{
		known = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(FactName));
		*known = (FactName) fact;
		fcinfo->flinfo->fn_extra = known;
	}
	return (FactName) fact;
}

/*
 * Returns the facts in an argument, decoded.  The view asks for a row's facts once a
 * column, so the last ones are kept: to compare 20 bytes takes less than to decode them.
 */
static const Facts *
read_facts(FunctionCallInfo fcinfo, int argument)
{
	static uint8 last_bytes[FACTS_SIZE];
	static size_t last_len = 0;
	static Facts last;
	const bytea *bytes = PG_GETARG_BYTEA_PP(argument);
	size_t len = VARSIZE_ANY_EXHDR(bytes);

	if (len > 0 && len == last_len && memcmp(last_bytes, VARDATA_ANY(bytes), len) == 0)
		return &last;
	last_len = 0;
	if (len > FACTS_SIZE || !facts_decode((const uint8 *) VARDATA_ANY(bytes), len, &last))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("these bytes are not the facts of an exchange")));
	memcpy(last_bytes, VARDATA_ANY(bytes), len);
	last_len = len;
	return &last;
}

/*
 * Returns text that the server sent: what is no character of the database's
 * encoding is shown as \xHH.
 */
static Datum
safe_text(const char *bytes, size_t len)
{
	StringInfoData out;

	if (pg_encoding_verifymbstr(GetDatabaseEncoding(), bytes, (int) len) == (int) len)
		return PointerGetDatum(cstring_to_text_with_len(bytes, (int) len));
	initStringInfo(&out);
	text_append_verified(&out, bytes, (int) len);
	return PointerGetDatum(cstring_to_text_with_len(out.data, out.len));
}

/*
 * fact_text(facts, name)
 */
Datum
pgwire_trace_fact_text(PG_FUNCTION_ARGS)
{
	FactName name = named_fact(fcinfo, 1);
	char tag[FACTS_TAG + 1];
	size_t len;
	const Facts *facts;

	facts = read_facts(fcinfo, 0);
	switch (name)
	{
		case FACT_KIND:
			PG_RETURN_TEXT_P(cstring_to_text(facts_kind_name(facts->kind)));
		case FACT_COMMAND_TAG:
			len = facts_tag(facts, tag);
			if (len == 0)
				PG_RETURN_NULL();
			return safe_text(tag, len);
		case FACT_SQLSTATE:
			if (!facts->sqlstate[0])
				PG_RETURN_NULL();
			return safe_text(facts->sqlstate, strnlen(facts->sqlstate, sizeof(facts->sqlstate)));
		case FACT_TRANSACTION_STATUS:
			if (!facts->transaction_status)
				PG_RETURN_NULL();
			return safe_text(&facts->transaction_status, 1);
		default:
			refuse_name(fcinfo, 1);
			PG_RETURN_NULL();
	}
}

/*
 * Finds a fact that is a number.  False: it is NULL.
 */
static bool
find_number(FunctionCallInfo fcinfo, FactName name, const Facts *facts, int64 *number)
{
	switch (name)
	{
		case FACT_PART_NO:
			*number = facts->part_no;
			return true;
		case FACT_STATEMENT_COUNT:
			*number = facts->statement_count;
			return true;
		case FACT_ROW_COUNT:
			*number = facts->row_count;
			return true;
		case FACT_DATA_ROW_COUNT:
			*number = facts->data_row_count;
			return true;
		case FACT_REQUEST_BYTES:
			*number = (int64) facts->request_bytes;
			return true;
		case FACT_RESPONSE_BYTES:
			*number = (int64) facts->response_bytes;
			return true;
		case FACT_ROW_DIGEST:
			*number = (int64) facts->row_digest;
			return facts->has_digests;
		case FACT_ROW_SET_DIGEST:
			*number = (int64) facts->row_set_digest;
			return facts->has_digests;
		case FACT_QUERY_ID:
			*number = facts->query_id;
			return facts->has_query_id;
		case FACT_CANCELLED_SESSION_ID:
			*number = facts->cancelled_session_id;
			return facts->has_cancelled;
		case FACT_CANCELLED_EXCHANGE_NO:
			*number = facts->cancelled_exchange_no;
			return facts->has_cancelled && facts->cancelled_exchange_no >= 0;
		case FACT_DURATION:
			*number = facts->duration;
			return true;
		case FACT_FIRST_RESPONSE:
			*number = facts->first_response;
			return facts->first_response >= 0;
		case FACT_THINK:
			*number = facts->think;
			return facts->think >= 0;
		default:
			refuse_name(fcinfo, 1);
			return false;
	}
}

/*
 * fact_bigint(facts, name)
 */
Datum
pgwire_trace_fact_bigint(PG_FUNCTION_ARGS)
{
	FactName name = named_fact(fcinfo, 1);
	int64 number;
	const Facts *facts;

	facts = read_facts(fcinfo, 0);
	if (!find_number(fcinfo, name, facts, &number))
		PG_RETURN_NULL();
	PG_RETURN_INT64(number);
}

/*
 * fact_boolean(facts, name)
 */
Datum
pgwire_trace_fact_boolean(PG_FUNCTION_ARGS)
{
	FactName name = named_fact(fcinfo, 1);
	const Facts *facts;

	facts = read_facts(fcinfo, 0);
	switch (name)
	{
		case FACT_IS_COMPLETE:
			PG_RETURN_BOOL(facts->is_complete);
		case FACT_IS_TRUNCATED:
			PG_RETURN_BOOL(facts->is_truncated);
		case FACT_PAIRING_UNCERTAIN:
			PG_RETURN_BOOL(facts->pairing_uncertain);
		case FACT_IS_REDACTED:
			PG_RETURN_BOOL(facts->is_redacted);
		case FACT_IS_REQUEST_REDACTED:
			PG_RETURN_BOOL(facts->is_request_redacted);
		default:
			refuse_name(fcinfo, 1);
			PG_RETURN_NULL();
	}
}

/*
 * fact_time(started_at, facts, name)
 */
Datum
pgwire_trace_fact_time(PG_FUNCTION_ARGS)
{
	TimestampTz started_at = PG_GETARG_TIMESTAMPTZ(0);
	FactName name = named_fact(fcinfo, 2);
	int64 after;
	const Facts *facts;

	facts = read_facts(fcinfo, 1);
	if (name != FACT_DURATION && name != FACT_FIRST_RESPONSE)
		refuse_name(fcinfo, 2);
	after = name == FACT_DURATION ? facts->duration : facts->first_response;
	if (name == FACT_FIRST_RESPONSE && after < 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ((TimestampTz) ((uint64) started_at + (uint64) after));
}

/*
 * Returns a stretch of the bytes; what is not there is left out.
 */
static bytea *
slice(FunctionCallInfo fcinfo, int argument, uint64 at, uint64 len)
{
	if (at > PG_INT32_MAX || len > PG_INT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("these bytes are not the facts of an exchange")));
	return PG_GETARG_BYTEA_P_SLICE(argument, (int32) at, (int32) len);
}

/*
 * Returns the chunks of a request and its response that came at once.
 */
static bytea *
plain_chunks(const Facts *facts)
{
	bytea *result = palloc(VARHDRSZ + 4 * FACTS_VARINT);
	uint8 *data = (uint8 *) VARDATA(result);
	size_t len = facts_put_varint(data, facts->request_bytes << 1);

	len += facts_put_varint(data + len, 0);
	len += facts_put_varint(data + len, facts->response_bytes << 1 | 1);
	len += facts_put_varint(data + len, (uint64) facts->duration);
	SET_VARSIZE(result, VARHDRSZ + len);
	return result;
}

/*
 * exchange_bytes(facts, bytes, name)
 */
Datum
pgwire_trace_exchange_bytes(PG_FUNCTION_ARGS)
{
	FactName name = named_fact(fcinfo, 2);
	const Facts *facts;

	facts = read_facts(fcinfo, 0);
	switch (name)
	{
		case FACT_REQUEST:
			if (!facts->has_request)
				PG_RETURN_NULL();
			return PointerGetDatum(slice(fcinfo, 1, 0, facts->request_kept));
		case FACT_RESPONSE:
			if (!facts->has_response)
				PG_RETURN_NULL();
			return PointerGetDatum(slice(fcinfo, 1, facts->request_kept, facts->response_kept));
		case FACT_CHUNKS:
			if (!facts->has_chunks)
				PG_RETURN_NULL();
			if (facts->chunks_len == 0)
				return PointerGetDatum(plain_chunks(facts));
			return PointerGetDatum(
			    slice(fcinfo, 1, facts->request_kept + facts->response_kept, facts->chunks_len));
		default:
			refuse_name(fcinfo, 2);
			PG_RETURN_NULL();
	}
}

/*
 * exchange_hashes(facts, bytes, query_hash)
 */
Datum
pgwire_trace_exchange_hashes(PG_FUNCTION_ARGS)
{
	const bytea *bytes;
	Datum *hashes;
	Datum one;
	const Facts *facts;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	facts = read_facts(fcinfo, 0);
	if (facts->hash_is_query && !PG_ARGISNULL(2))
	{
		one = PG_GETARG_DATUM(2);
		PG_RETURN_ARRAYTYPE_P(
		    construct_array(&one, 1, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	}
	if (facts->hash_count == 0 || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	bytes = slice(fcinfo, 1, facts->request_kept + facts->response_kept + facts->chunks_len,
	              (uint64) facts->hash_count * sizeof(int64));
	if (VARSIZE_ANY_EXHDR(bytes) != facts->hash_count * sizeof(int64))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("these bytes are not the facts of an exchange")));
	hashes = palloc(sizeof(Datum) * facts->hash_count);
	for (uint32 i = 0; i < facts->hash_count; i++)
	{
		int64 hash;

		memcpy(&hash, VARDATA_ANY(bytes) + i * sizeof(hash), sizeof(hash));
		hashes[i] = Int64GetDatum(hash);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(hashes, (int) facts->hash_count, INT8OID, sizeof(int64),
	                                      FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * Returns an argument, or NULL where it is that.
 */
static Datum
argument_or_null(FunctionCallInfo fcinfo, int argument)
{
	fcinfo->isnull = PG_ARGISNULL(argument);
	return fcinfo->isnull ? (Datum) 0 : PG_GETARG_DATUM(argument);
}

/*
 * exchange_query(facts, bytes, query, whole, normalised)
 */
Datum
pgwire_trace_exchange_query(PG_FUNCTION_ARGS)
{
	const bytea *request;
	const char *text;
	const Facts *facts;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	facts = read_facts(fcinfo, 0);
	switch (facts->text)
	{
		case FACTS_TEXT_COLUMN:
			return argument_or_null(fcinfo, 2);
		case FACTS_TEXT_TABLE:
			return argument_or_null(fcinfo, 3);
		case FACTS_TEXT_NORMALISED:
			return argument_or_null(fcinfo, 4);
		case FACTS_TEXT_REQUEST:
			break;
		default:
			PG_RETURN_NULL();
	}
	if (PG_ARGISNULL(1) || facts->request_kept <= QUERY_HEADER)
		PG_RETURN_NULL();
	request = slice(fcinfo, 1, QUERY_HEADER, facts->request_kept - QUERY_HEADER);
	text = VARDATA_ANY(request);
	return safe_text(text, strnlen(text, VARSIZE_ANY_EXHDR(request)));
}
