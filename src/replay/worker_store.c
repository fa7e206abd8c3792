/*
 * worker_store.c
 *	  The child's records become rows.
 *
 * Rows wait in arrays, a column each, and are inserted many at a time.  Exchanges that
 * were sent, of which there are most by far, stay arrays: a row of replay_run_sent
 * holds a batch of them, which costs a tenth of as many rows.  The counts of run and
 * sessions change in the same transaction, so that who reads them sees what the rows
 * say.  Texts of the target's are shown as text where they are valid in the
 * database's encoding, else as {"hex": ...}.
 */
#include "replay/worker.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "replay/compare.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define DUE_ROWS 5000
#define DUE_US INT64CONST(200000)
#define MAX_COLUMNS 12

/* Rows that wait for their insert. */
typedef struct Rows
{
	const char *sql; /* $1: the run; then an array a column */
	int columns;
	Oid types[MAX_COLUMNS];
	Datum *values[MAX_COLUMNS];
	bool *nulls[MAX_COLUMNS];
	int count;
	int size;
	SPIPlanPtr plan;
} Rows;

struct ReplayStore
{
	int64 run_id;
	MemoryContext context; /* of what waits */
	Rows exchanges;        /* that were sent */
	Rows unsent;
	Rows differences;
	Rows sessions;
	int64 sent; /* since the last write */
	int64 divergences;
	int64 roots;
	TimestampTz since;
};

static const char exchanges_sql[] =
    "INSERT INTO pgwire_trace.replay_run_sent (run_id, session_ids, exchange_nos, sent_at,"
    " duration_ms, late_ms, target_late_ms, row_counts, row_digests, sqlstates)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

static const char sent_sql[] =
    "UPDATE pgwire_trace.replay_run_session s SET sent = s.sent + u.sent"
    " FROM (SELECT session_id, count(*) AS sent FROM unnest($2) u (session_id) GROUP BY 1) u"
    " WHERE s.run_id = $1 AND s.session_id = u.session_id";

static const char unsent_sql[] =
    "INSERT INTO pgwire_trace.replay_run_unsent (run_id, session_id, exchange_no, outcome, reason)"
    " SELECT $1, * FROM unnest($2, $3, $4, $5)";

static const char differences_sql[] =
    "INSERT INTO pgwire_trace.replay_divergence (run_id, session_id, exchange_no, statement_no,"
    " verdict, is_root, caused_by_exchange_no, captured, replayed, at)"
    " SELECT $1, *, pg_catalog.clock_timestamp() FROM unnest($2, $3, $4, $5, $6, $7, $8, $9)";

static const char sessions_sql[] = "UPDATE pgwire_trace.replay_run_session s"
                                   " SET state = u.state, reason = coalesce(u.reason, s.reason)"
                                   " FROM unnest($2, $3, $4) u (session_id, state, reason)"
                                   " WHERE s.run_id = $1 AND s.session_id = u.session_id";

static const char counts_sql[] =
    "UPDATE pgwire_trace.replay_run_state SET sent = sent + $2, divergences = divergences + $3,"
    " root_divergences = root_divergences + $4 WHERE run_id = $1";

/*
 * Prepares rows.
 */
static void
rows_begin(Rows *rows, const char *sql, int columns, const Oid *types)
{
	memset(rows, 0, sizeof(*rows));
	rows->sql = sql;
	rows->columns = columns;
	memcpy(rows->types, types, (Size) columns * sizeof(Oid));
}

/*
 * Begins a row; its columns are NULL until they are set.
 */
static void
rows_add(ReplayStore *store, Rows *rows)
{
	if (rows->count == rows->size)
	{
		MemoryContext before = MemoryContextSwitchTo(store->context);
		int size = rows->size ? rows->size * 2 : 256;

		for (int i = 0; i < rows->columns; i++)
		{
			rows->values[i] = rows->size ? repalloc(rows->values[i], (Size) size * sizeof(Datum))
			                             : palloc((Size) size * sizeof(Datum));
			rows->nulls[i] = rows->size ? repalloc(rows->nulls[i], (Size) size * sizeof(bool))
			                            : palloc((Size) size * sizeof(bool));
		}
		rows->size = size;
		MemoryContextSwitchTo(before);
	}
	for (int i = 0; i < rows->columns; i++)
	{
		rows->values[i][rows->count] = (Datum) 0;
		rows->nulls[i][rows->count] = true;
	}
	rows->count++;
}

/*
 * Sets a column of the row that was begun last.
 */
static void
set(Rows *rows, int column, Datum value)
{
	rows->values[column][rows->count - 1] = value;
	rows->nulls[column][rows->count - 1] = false;
}

/*
 * Runs a command, which is prepared the first time.
 */
static void
run_prepared(SPIPlanPtr *plan, const char *sql, int count, Oid *types, Datum *values)
{
	if (!*plan)
	{
		*plan = SPI_prepare(sql, count, types);
		if (!*plan || SPI_keepplan(*plan) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	}
	if (SPI_execute_plan(*plan, values, NULL, false, 0) < 0)
		elog(ERROR, "SPI_execute_plan failed");
}

/*
 * Writes the rows.
 */
static void
rows_write(ReplayStore *store, Rows *rows)
{
	static SPIPlanPtr count_sent;
	Oid types[MAX_COLUMNS + 1] = {INT8OID};
	Datum values[MAX_COLUMNS + 1] = {Int64GetDatum(store->run_id)};
	int dims[1] = {rows->count};
	int lower[1] = {1};

	if (rows->count == 0)
		return;
	for (int i = 0; i < rows->columns; i++)
	{
		int16 len;
		bool by_value;
		char align;

		get_typlenbyvalalign(rows->types[i], &len, &by_value, &align);
		types[i + 1] = get_array_type(rows->types[i]);
		values[i + 1] = PointerGetDatum(construct_md_array(
		    rows->values[i], rows->nulls[i], 1, dims, lower, rows->types[i], len, by_value, align));
	}
	run_prepared(&rows->plan, rows->sql, rows->columns + 1, types, values);
	if (rows == &store->exchanges)
		run_prepared(&count_sent, sent_sql, 2, types, values);
}

/*
 * Begins to store a run's results.
 */
ReplayStore *
replay_store_begin(int64 run_id)
{
	static const Oid exchange_types[] = {INT8OID,   INT8OID, TIMESTAMPTZOID, FLOAT8OID, FLOAT8OID,
	                                     FLOAT8OID, INT8OID, INT8OID,        TEXTOID};
	static const Oid unsent_types[] = {INT8OID, INT8OID, TEXTOID, TEXTOID};
	static const Oid difference_types[] = {INT8OID, INT8OID, INT4OID,  TEXTOID,
	                                       BOOLOID, INT8OID, JSONBOID, JSONBOID};
	static const Oid session_types[] = {INT8OID, TEXTOID, TEXTOID};
	ReplayStore *store = palloc0(sizeof(ReplayStore));

	store->run_id = run_id;
	store->context =
	    AllocSetContextCreate(CurrentMemoryContext, "replay results", ALLOCSET_DEFAULT_SIZES);
	rows_begin(&store->exchanges, exchanges_sql, lengthof(exchange_types), exchange_types);
	rows_begin(&store->unsent, unsent_sql, lengthof(unsent_types), unsent_types);
	rows_begin(&store->differences, differences_sql, lengthof(difference_types), difference_types);
	rows_begin(&store->sessions, sessions_sql, lengthof(session_types), session_types);
	store->since = GetCurrentTimestamp();
	return store;
}

/*
 * Returns milliseconds, as the rows have them.
 */
static Datum
milliseconds(int64 us)
{
	return Float8GetDatum((double) us / 1000.0);
}

/*
 * Takes an exchange that was sent.
 */
static void
take_exchange(ReplayStore *store, const LinkExchange *record)
{
	Rows *rows = &store->exchanges;

	rows_add(store, rows);
	set(rows, 0, Int64GetDatum(record->session_id));
	set(rows, 1, Int64GetDatum(record->exchange_no));
	set(rows, 2, TimestampTzGetDatum(record->sent_at));
	if (record->is_answered)
	{
		set(rows, 3, milliseconds(record->duration_us));
		set(rows, 6, Int64GetDatum(record->row_count));
	}
	if (record->late_us >= 0)
	{
		set(rows, 4, milliseconds(record->late_us));
		set(rows, 5, milliseconds(record->target_late_us));
	}
	if (record->has_digest)
		set(rows, 7, Int64GetDatum((int64) record->row_digest));
	if (record->sqlstate[0])
		set(rows, 8,
		    CStringGetTextDatum(replay_safe_text(record->sqlstate, sizeof(record->sqlstate))));
	store->sent++;
}

/*
 * Notes an exchange that is not sent.
 */
void
replay_store_unsent(ReplayStore *store, int64 session_id, int64 exchange_no, PlanOutcome outcome,
                    const char *reason)
{
	MemoryContext before = MemoryContextSwitchTo(store->context);
	Rows *rows = &store->unsent;

	rows_add(store, rows);
	set(rows, 0, Int64GetDatum(session_id));
	set(rows, 1, Int64GetDatum(exchange_no));
	set(rows, 2, CStringGetTextDatum(outcome == PLAN_FILTERED ? "filtered" : "skipped"));
	set(rows, 3, CStringGetTextDatum(reason));
	MemoryContextSwitchTo(before);
}

/*
 * Pushes a key or a string.
 */
static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *text, Size len)
{
	JsonbValue value = {.type = jbvString};

	value.val.string.val = (char *) text;
	value.val.string.len = (int) len;
	pushJsonbValue(state, token, &value);
}

/*
 * Pushes bytes of the target's: as text if they are, else as {"hex": ...}.
 */
static void
push_bytes(JsonbParseState **state, const char *data, Size len, bool is_binary)
{
	char *hex;

	if (!is_binary && pg_verify_mbstr(GetDatabaseEncoding(), data, (int) len, true) &&
	    memchr(data, 0, len) == NULL)
	{
		push_string(state, WJB_VALUE, data, len);
		return;
	}
	hex = palloc(len * 2 + 1);
	hex_encode(data, len, hex);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_string(state, WJB_KEY, "hex", 3);
	push_string(state, WJB_VALUE, hex, len * 2);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/*
 * Pushes a fact's value.
 */
static void
push_fact(JsonbParseState **state, const LinkFact *fact, const char *data)
{
	JsonbValue value;
	int64 number;

	if (fact->is_null)
	{
		value.type = jbvNull;
		pushJsonbValue(state, WJB_VALUE, &value);
	}
	else if (fact->is_number && fact->len == sizeof(number))
	{
		memcpy(&number, data, sizeof(number));
		value.type = jbvNumeric;
		value.val.numeric = int64_to_numeric(number);
		pushJsonbValue(state, WJB_VALUE, &value);
	}
	else
		push_bytes(state, data, fact->len, fact->key == FACT_BINARY_VALUE);
}

/*
 * Pushes a column that differs: its name, and the digest of its values.
 */
static void
push_differing(JsonbParseState **state, const char *data, Size len)
{
	LinkFact number = {.is_number = true, .len = sizeof(int64)};
	char *name;

	if (len < sizeof(int64))
		return;
	name = replay_safe_text(data + sizeof(int64), len - sizeof(int64));
	push_string(state, WJB_KEY, name, strlen(name));
	push_fact(state, &number, data);
}

/*
 * Makes jsonb of the facts of one side.
 */
static Datum
make_evidence(const char *facts, Size size, bool is_replayed)
{
	static const char *const names[FACT_COUNT] = {
	    "message",    "sqlstate", "error_message", "command_tag", "rows", "transaction_status",
	    "row_digest", "row_no",   "column",        "type_oid",    "type", "value",
	    "value",      "reason"};
	JsonbParseState *state = NULL;
	bool in_columns = false;
	Size at = 0;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while (at + sizeof(LinkFact) <= size)
	{
		LinkFact fact;

		memcpy(&fact, facts + at, sizeof(fact));
		at += sizeof(fact);
		if (fact.len > size - at || fact.key >= FACT_COUNT)
			break;
		if ((fact.is_replayed != 0) == is_replayed && fact.key == FACT_DIFFERING)
		{
			if (!in_columns)
			{
				push_string(&state, WJB_KEY, "columns", strlen("columns"));
				pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
			}
			in_columns = true;
			push_differing(&state, facts + at, fact.len);
		}
		else if ((fact.is_replayed != 0) == is_replayed)
		{
			push_string(&state, WJB_KEY, names[fact.key], strlen(names[fact.key]));
			push_fact(&state, &fact, facts + at);
		}
		at += fact.len;
	}
	if (in_columns)
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/*
 * Takes a difference.
 */
static void
take_difference(ReplayStore *store, const LinkDifference *record, const char *facts, Size size)
{
	Rows *rows = &store->differences;

	if (record->verdict < 0 || record->verdict >= VERDICT_COUNT)
		return;
	rows_add(store, rows);
	set(rows, 0, Int64GetDatum(record->session_id));
	set(rows, 1, Int64GetDatum(record->exchange_no));
	if (record->statement_no > 0)
		set(rows, 2, Int32GetDatum(record->statement_no));
	set(rows, 3, CStringGetTextDatum(verdict_name((Verdict) record->verdict)));
	set(rows, 4, BoolGetDatum(record->caused_by < 0));
	if (record->caused_by >= 0)
		set(rows, 5, Int64GetDatum(record->caused_by));
	set(rows, 6, make_evidence(facts, size, false));
	set(rows, 7, make_evidence(facts, size, true));
	store->divergences++;
	store->roots += record->caused_by < 0;
}

/*
 * Returns text of the child's that may stand in a row.
 */
char *
replay_safe_text(const char *data, Size len)
{
	char *copy = pnstrdup(data, len);

	if (!pg_verify_mbstr(GetDatabaseEncoding(), copy, (int) strlen(copy), true))
		for (char *at = copy; *at; at++)
			if (IS_HIGHBIT_SET(*at))
				*at = '?';
	return copy;
}

/*
 * Takes a session's begin or end.
 */
static void
take_session(ReplayStore *store, const LinkSession *record, const char *text, Size len)
{
	static const char *const states[] = {"running", "finished", "lost"};
	Rows *rows = &store->sessions;

	if (record->state < 0 || record->state >= (int32) lengthof(states))
		return;
	if (record->state != LINK_SESSION_RUNNING)
		/* a row may be updated once a statement: its begin goes */
		for (int i = 0; i < rows->count; i++)
			if (DatumGetInt64(rows->values[0][i]) == record->session_id)
				rows->values[0][i] = Int64GetDatum(0);
	rows_add(store, rows);
	set(rows, 0, Int64GetDatum(record->session_id));
	set(rows, 1, CStringGetTextDatum(states[record->state]));
	if (len > 0)
		set(rows, 2, CStringGetTextDatum(replay_safe_text(text, len)));
}

/*
 * Takes a record of the child's that makes rows.
 */
void
replay_store_record(ReplayStore *store, LinkKind kind, const char *data, Size size)
{
	MemoryContext before = MemoryContextSwitchTo(store->context);
	union
	{
		LinkExchange exchange;
		LinkDifference difference;
		LinkSession session;
	} record;
	Size fixed = kind == LINK_EXCHANGE     ? sizeof(record.exchange)
	             : kind == LINK_DIFFERENCE ? sizeof(record.difference)
	                                       : sizeof(record.session);

	if (size >= fixed)
	{
		memcpy(&record, data, fixed);
		if (kind == LINK_EXCHANGE)
			take_exchange(store, &record.exchange);
		else if (kind == LINK_DIFFERENCE)
			take_difference(store, &record.difference, data + fixed, size - fixed);
		else if (kind == LINK_SESSION)
			take_session(store, &record.session, data + fixed, size - fixed);
	}
	MemoryContextSwitchTo(before);
}

/*
 * Tells whether it is time to commit.
 */
bool
replay_store_is_due(const ReplayStore *store)
{
	int waiting = store->exchanges.count + store->unsent.count + store->differences.count +
	              store->sessions.count;

	return waiting >= DUE_ROWS || (waiting > 0 && GetCurrentTimestamp() - store->since >= DUE_US);
}

/*
 * Adds to the run's counts.
 */
static void
write_counts(ReplayStore *store)
{
	static SPIPlanPtr plan;
	Oid types[4] = {INT8OID, INT8OID, INT8OID, INT8OID};
	Datum values[4] = {Int64GetDatum(store->run_id), Int64GetDatum(store->sent),
	                   Int64GetDatum(store->divergences), Int64GetDatum(store->roots)};

	run_prepared(&plan, counts_sql, 4, types, values);
}

/*
 * Writes all that waits.
 */
void
replay_store_write(ReplayStore *store)
{
	Rows *all[] = {&store->exchanges, &store->unsent, &store->differences, &store->sessions};

	for (Size i = 0; i < lengthof(all); i++)
		rows_write(store, all[i]);
	if (store->sent > 0 || store->divergences > 0)
		write_counts(store);
	for (Size i = 0; i < lengthof(all); i++)
		all[i]->count = all[i]->size = 0;
	MemoryContextReset(store->context);
	store->sent = store->divergences = store->roots = 0;
	store->since = GetCurrentTimestamp();
}
