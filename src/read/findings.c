/*
 * findings.c
 *	  What a session's client did in vain; see findings.h.
 *
 * An exchange that was recorded in parts is judged as a whole, when all of them are read.
 */
#include "read/findings.h"

#include "access/htup_details.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "read/query.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SYNC_RUN 5           /* so many statements with a Sync each are a finding */
#define SELECT_RUN 10        /* so many times the same SELECT */
#define LARGE_RESULT 1000000 /* bytes */
#define LONG_PAUSE USECS_PER_SEC

static ReadQuery session_query = {
    "SELECT end_reason, server_parameters OPERATOR(pg_catalog.->>) 'client_encoding' "
    "FROM pgwire_trace.session WHERE session_id OPERATOR(pg_catalog.=) $1",
    1, NULL};
static ReadQuery exchanges_query = {
    "SELECT exchange_no, kind, statement_count, data_row_count, command_tag, sqlstate, "
    "transaction_status, request_bytes, response_bytes, is_complete, is_truncated, query_hash, "
    "duration_us, think_us, "
    "CASE WHEN kind OPERATOR(pg_catalog.=) ANY ('{extended,copy}') THEN request END "
    "FROM pgwire_trace.exchange WHERE session_id OPERATOR(pg_catalog.=) $1 "
    "ORDER BY exchange_no, part_no",
    1, NULL};
static ReadQuery text_query = {
    "SELECT query FROM pgwire_trace.exchange WHERE session_id OPERATOR(pg_catalog.=) $1 "
    "AND exchange_no OPERATOR(pg_catalog.=) $2 ORDER BY part_no LIMIT 1",
    2, NULL};
static ReadQuery normalised_query = {
    "SELECT coalesce(normalised_hash, query_hash) FROM pgwire_trace.query_text "
    "WHERE query_hash OPERATOR(pg_catalog.=) $1",
    1, NULL};

/* Columns of exchanges_query. */
enum
{
	COLUMN_EXCHANGE_NO,
	COLUMN_KIND,
	COLUMN_STATEMENT_COUNT,
	COLUMN_DATA_ROW_COUNT,
	COLUMN_TAG,
	COLUMN_SQLSTATE,
	COLUMN_STATUS,
	COLUMN_REQUEST_BYTES,
	COLUMN_RESPONSE_BYTES,
	COLUMN_IS_COMPLETE,
	COLUMN_IS_TRUNCATED,
	COLUMN_QUERY_HASH,
	COLUMN_DURATION,
	COLUMN_THINK,
	COLUMN_REQUEST,
	COLUMNS
};

typedef struct Row
{
	Datum values[COLUMNS];
	bool nulls[COLUMNS];
} Row;

/* An exchange, of its parts so far. */
typedef struct Exchange
{
	int64 no; /* -1: none */
	char kind[16];
	int64 statements;
	int64 data_rows;
	int64 response_bytes;
	int64 duration;
	int64 think; /* -1: the client did not wait */
	bool has_hash;
	int64 hash;
	bool is_select;
	bool has_failed;
	bool is_cancelled;
	bool is_complete;
	char status; /* of the transaction; 0: not known */
} Exchange;

/* Exchanges with consecutive numbers. */
typedef struct Run
{
	ReadEvidence evidence;
	int64 last_no;
	int64 hash;
	int64 duration;
} Run;

/* A hash of a text, and that of its normalised text. */
typedef struct HashEntry
{
	int64 hash; /* key */
	int64 normalised;
} HashEntry;

typedef struct Pass
{
	int64 session_id;
	MemoryContext context;
	ReadFindingPut put;
	void *arg;
	bool has_ended;
	bool has_left; /* the client ended the session */
	int64 last_no;
	Exchange exchange;
	char status_before; /* of the transaction, behind the exchange before, ... */
	int64 exchange_before;
	HTAB *hashes;
	ReadHabits habits;
	Run syncs;
	Run selects;
	ReadEvidence results;
	int64 result_bytes;
	ReadEvidence pauses;
	int64 pause_sum;
	int64 pause_max;
} Pass;

/*
 * Adds an exchange; see findings.h.
 */
void
read_evidence_add(ReadEvidence *evidence, MemoryContext context, int64 exchange_no)
{
	if (!evidence->exchanges)
		evidence->exchanges = MemoryContextAlloc(context, sizeof(int64) * FINDING_EXCHANGES);
	if (evidence->count < FINDING_EXCHANGES)
		evidence->exchanges[evidence->count] = exchange_no;
	evidence->count++;
}

/*
 * Returns the text of an exchange; NULL: not known.
 */
static char *
text_of(void *arg, int64 exchange_no)
{
	const Pass *pass = arg;
	Datum values[2] = {Int64GetDatum(pass->session_id), Int64GetDatum(exchange_no)};
	char *text = NULL;

	if (SPI_execute_plan(read_query_plan(&text_query), values, NULL, true, 1) == SPI_OK_SELECT &&
	    SPI_processed == 1)
		text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	return text;
}

/*
 * Returns the hash of the normalised text of a text.
 */
static int64
normalised_hash(Pass *pass, int64 hash)
{
	bool found;
	HashEntry *entry = hash_search(pass->hashes, &hash, HASH_ENTER, &found);
	Datum key = Int64GetDatum(hash);
	bool is_null;

	if (found)
		return entry->normalised;
	entry->normalised = hash;
	if (SPI_execute_plan(read_query_plan(&normalised_query), &key, NULL, true, 1) ==
	        SPI_OK_SELECT &&
	    SPI_processed == 1)
		entry->normalised =
		    DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
	SPI_freetuptable(SPI_tuptable);
	return entry->normalised;
}

/*
 * Tells of a finding whose text is that of its first exchange.
 */
static void
put(Pass *pass, const char *name, const ReadEvidence *evidence, const char *detail)
{
	pass->put(pass->arg,
	          &(ReadFinding){name, evidence, text_of(pass, evidence->exchanges[0]), detail});
}

/*
 * Ends a run of statements that were sent without waiting, each with a Sync.
 */
static void
end_syncs(Pass *pass)
{
	Run *run = &pass->syncs;

	if (run->evidence.count >= SYNC_RUN)
		put(pass, "sync_each_statement", &run->evidence,
		    psprintf("%lld statements sent without waiting, a Sync after each: one at the end "
		             "would do",
		             (long long) run->evidence.count));
	run->evidence.count = 0;
}

/*
 * Ends a run of the same SELECT.
 */
static void
end_selects(Pass *pass)
{
	Run *run = &pass->selects;

	if (run->evidence.count >= SELECT_RUN)
		put(pass, "n_plus_one", &run->evidence,
		    psprintf("%lld times in a row, at most a row each, %.1f ms in all: one query could "
		             "fetch them",
		             (long long) run->evidence.count, (double) run->duration / 1000));
	run->evidence.count = 0;
	run->duration = 0;
}

/*
 * Adds an exchange to a run.
 */
static void
add_to_run(Pass *pass, Run *run, const Exchange *exchange)
{
	read_evidence_add(&run->evidence, pass->context, exchange->no);
	run->last_no = exchange->no;
	run->duration += exchange->duration;
}

/*
 * Judges what the exchange in hand shows by itself and beside its neighbours.
 */
static void
judge_runs(Pass *pass)
{
	const Exchange *exchange = &pass->exchange;
	bool is_extended = strcmp(exchange->kind, "extended") == 0;
	bool is_query = is_extended || strcmp(exchange->kind, "query") == 0;
	int64 hash = 0;

	if (pass->syncs.last_no != exchange->no - 1)
		end_syncs(pass);
	if (is_extended && exchange->statements == 1 && exchange->think < 0)
		add_to_run(pass, &pass->syncs, exchange);
	if (!is_query || exchange->statements != 1 || exchange->data_rows > 1 || !exchange->is_select ||
	    !exchange->has_hash)
		return;
	hash = normalised_hash(pass, exchange->hash);
	if (pass->selects.last_no != exchange->no - 1 || pass->selects.hash != hash)
		end_selects(pass);
	pass->selects.hash = hash;
	add_to_run(pass, &pass->selects, exchange);
}

/*
 * Judges whether rows were sent in vain.
 */
static void
judge_result(Pass *pass)
{
	const Exchange *exchange = &pass->exchange;

	if (exchange->data_rows == 0 || exchange->response_bytes <= LARGE_RESULT ||
	    (strcmp(exchange->kind, "query") != 0 && strcmp(exchange->kind, "extended") != 0 &&
	     strcmp(exchange->kind, "copy") != 0))
		return;
	if (!exchange->is_cancelled && (exchange->is_complete || !pass->has_left))
		return;
	read_evidence_add(&pass->results, pass->context, exchange->no);
	pass->result_bytes += exchange->response_bytes;
}

/*
 * Judges the time before the exchange in hand, and notes what is behind it.
 */
static void
judge_pause(Pass *pass)
{
	const Exchange *exchange = &pass->exchange;

	if (strcmp(exchange->kind, "async") == 0)
		return;
	if (exchange->think >= LONG_PAUSE && (pass->status_before == 'T' || pass->status_before == 'E'))
	{
		read_evidence_add(&pass->pauses, pass->context, pass->exchange_before);
		pass->pause_sum += exchange->think;
		pass->pause_max = Max(pass->pause_max, exchange->think);
	}
	pass->status_before = exchange->status;
	pass->exchange_before = exchange->no;
}

/*
 * Ends the exchange in hand.
 */
static void
end_exchange(Pass *pass)
{
	if (pass->exchange.no < 0)
		return;
	judge_runs(pass);
	judge_result(pass);
	judge_pause(pass);
	pass->exchange.no = -1;
}

/*
 * Returns an integer column of 64 bits; another value for NULL.
 */
static int64
number_column(const Row *row, int column, int64 otherwise)
{
	return row->nulls[column] ? otherwise : DatumGetInt64(row->values[column]);
}

/*
 * Tells whether a text column begins with a text.
 */
static bool
begins_with(const Row *row, int column, const char *start)
{
	const text *value;

	if (row->nulls[column])
		return false;
	value = DatumGetTextPP(row->values[column]);
	return VARSIZE_ANY_EXHDR(value) >= strlen(start) &&
	       memcmp(VARDATA_ANY(value), start, strlen(start)) == 0;
}

/*
 * Begins the exchange of a row.
 */
static void
begin_exchange(Pass *pass, const Row *row)
{
	Exchange *exchange = &pass->exchange;

	memset(exchange, 0, sizeof(*exchange));
	exchange->no = number_column(row, COLUMN_EXCHANGE_NO, 0);
	text_to_cstring_buffer(DatumGetTextPP(row->values[COLUMN_KIND]), exchange->kind,
	                       sizeof(exchange->kind));
	exchange->think = number_column(row, COLUMN_THINK, -1);
	exchange->has_hash = !row->nulls[COLUMN_QUERY_HASH];
	exchange->hash = number_column(row, COLUMN_QUERY_HASH, 0);
	if (exchange->no != pass->last_no + 1)
		read_habits_doubt(&pass->habits);
	pass->last_no = exchange->no;
}

/*
 * Adds a row to the exchange in hand: it is its first or a further part.
 */
static void
add_part(Pass *pass, const Row *row)
{
	Exchange *exchange = &pass->exchange;

	if (!row->nulls[COLUMN_STATEMENT_COUNT])
		exchange->statements += DatumGetInt32(row->values[COLUMN_STATEMENT_COUNT]);
	exchange->data_rows += number_column(row, COLUMN_DATA_ROW_COUNT, 0);
	exchange->response_bytes += number_column(row, COLUMN_RESPONSE_BYTES, 0);
	exchange->duration = number_column(row, COLUMN_DURATION, 0);
	exchange->is_select = begins_with(row, COLUMN_TAG, "SELECT ");
	exchange->has_failed |= !row->nulls[COLUMN_SQLSTATE];
	exchange->is_cancelled |= begins_with(row, COLUMN_SQLSTATE, "57014");
	exchange->is_complete = DatumGetBool(row->values[COLUMN_IS_COMPLETE]);
	if (!row->nulls[COLUMN_STATUS])
		exchange->status = DatumGetChar(row->values[COLUMN_STATUS]);
}

/*
 * Looks at the messages of the request in a row.
 */
static void
read_request(Pass *pass, const Row *row)
{
	const Exchange *exchange = &pass->exchange;
	const bytea *bytes;
	WireSpan request;
	bool is_whole;

	if (strcmp(exchange->kind, "extended") != 0 && strcmp(exchange->kind, "copy") != 0)
		return;
	if (row->nulls[COLUMN_REQUEST])
	{
		read_habits_doubt(&pass->habits);
		return;
	}
	bytes = DatumGetByteaPP(row->values[COLUMN_REQUEST]);
	request = (WireSpan){(const uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)};
	is_whole = !DatumGetBool(row->values[COLUMN_IS_TRUNCATED]) ||
	           number_column(row, COLUMN_REQUEST_BYTES, 0) <= (int64) request.len;
	read_habits_request(&pass->habits, exchange->no, request, is_whole, exchange->has_failed);
}

/*
 * Reads the exchanges, one at a time: each may be large.
 */
static void
read_exchanges(Pass *pass)
{
	Datum key = Int64GetDatum(pass->session_id);
	Portal portal = SPI_cursor_open(NULL, read_query_plan(&exchanges_query), &key, NULL, true);
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "exchange", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		SPITupleTable *table;
		MemoryContext before;
		Row row;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, 1);
		if (SPI_processed == 0)
			break;
		table = SPI_tuptable;
		before = MemoryContextSwitchTo(context);
		heap_deform_tuple(table->vals[0], table->tupdesc, row.values, row.nulls);
		if (number_column(&row, COLUMN_EXCHANGE_NO, 0) != pass->exchange.no)
		{
			end_exchange(pass);
			begin_exchange(pass, &row);
		}
		add_part(pass, &row);
		read_request(pass, &row);
		SPI_freetuptable(table);
		MemoryContextSwitchTo(before);
		MemoryContextReset(context);
	}
	end_exchange(pass);
	SPI_cursor_close(portal);
}

/*
 * Tells what is known only at the end.
 */
static void
end_pass(Pass *pass)
{
	end_syncs(pass);
	end_selects(pass);
	read_habits_end(&pass->habits, pass->has_ended, text_of, pass, pass->put, pass->arg);
	if (pass->results.count > 0)
		put(pass, "result_in_vain", &pass->results,
		    psprintf("%lld bytes of rows were sent, then the client left or cancelled: ask for "
		             "fewer rows",
		             (long long) pass->result_bytes));
	if (pass->pauses.count > 0)
		put(pass, "idle_in_transaction", &pass->pauses,
		    psprintf("%.1f s in all, %.1f s at most, with a transaction open",
		             (double) pass->pause_sum / USECS_PER_SEC,
		             (double) pass->pause_max / USECS_PER_SEC));
}

/*
 * Begins with a session; false: there is none.
 */
static bool
begin_pass(Pass *pass)
{
	HASHCTL control = {.keysize = sizeof(int64), .entrysize = sizeof(HashEntry)};
	Datum key = Int64GetDatum(pass->session_id);
	int encoding;
	char *name;
	char *reason;

	if (SPI_execute_plan(read_query_plan(&session_query), &key, NULL, true, 1) != SPI_OK_SELECT ||
	    SPI_processed == 0)
		return false;
	reason = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	name = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	SPI_freetuptable(SPI_tuptable);
	encoding = name ? pg_char_to_encoding(name) : -1;
	pass->has_ended = reason != NULL;
	pass->has_left =
	    reason && (strcmp(reason, "client_closed") == 0 || strcmp(reason, "client_reset") == 0 ||
	               strcmp(reason, "terminate") == 0);
	pass->context = CurrentMemoryContext;
	control.hcxt = pass->context;
	pass->hashes = hash_create("query hashes", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	read_habits_begin(&pass->habits, pass->context,
	                  encoding >= 0 ? encoding : GetDatabaseEncoding());
	return true;
}

/*
 * Reads a session; see findings.h.
 */
void
read_findings(int64 session_id, ReadFindingPut put_finding, void *arg)
{
	Pass pass = {.session_id = session_id, .put = put_finding, .arg = arg, .last_no = -1};

	pass.exchange.no = -1;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (begin_pass(&pass))
	{
		read_exchanges(&pass);
		end_pass(&pass);
	}
	SPI_finish();
}
