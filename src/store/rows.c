/*
 * rows.c
 *	  Journal records become rows.
 *
 * Exchanges go through COPY's own machinery, from memory: a tuple of the journal
 * is a tuple of COPY's binary format.  Sessions and texts are few; they go
 * through prepared plans, as they may be there already.
 *
 * Everything here runs inside a transaction and raises errors.
 */
#include "store/store.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/copy.h"
#include "executor/spi.h"
#include "libpq/pqformat.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "store/fault.h"

#define QUARANTINE_BYTES (1024 * 1024)

/* A column as columns.h lists it. */
typedef struct Column
{
	const char *name;
	RecordColumnKind kind;
} Column;

static const Column session_columns[] = {
#define SESSION_COLUMN(name, kind) {#name, RECORD_##kind},
#define EXCHANGE_COLUMN(name, kind)
#define QUERY_TEXT_COLUMN(name, kind)
#include "journal/columns.h"
#undef SESSION_COLUMN
#undef EXCHANGE_COLUMN
#undef QUERY_TEXT_COLUMN
};

static const Column exchange_columns[] = {
#define SESSION_COLUMN(name, kind)
#define EXCHANGE_COLUMN(name, kind) {#name, RECORD_##kind},
#define QUERY_TEXT_COLUMN(name, kind)
#include "journal/columns.h"
#undef SESSION_COLUMN
#undef EXCHANGE_COLUMN
#undef QUERY_TEXT_COLUMN
};

static const Column query_text_columns[] = {
#define SESSION_COLUMN(name, kind)
#define EXCHANGE_COLUMN(name, kind)
#define QUERY_TEXT_COLUMN(name, kind) {#name, RECORD_##kind},
#include "journal/columns.h"
#undef SESSION_COLUMN
#undef EXCHANGE_COLUMN
#undef QUERY_TEXT_COLUMN
};

/* What COPY reads: the exchanges among records of a batch, one after the other. */
static struct
{
	const BatchRecord *records;
	int count;
	int next;
	const char *bytes; /* of the tuple at hand */
	Size left;         /* of them */
	StringInfoData converted;
	bool at_end;
} source;

/*
 * Appends the tuple of a record, its texts converted.
 */
static void
append_tuple(StringInfo out, const BatchRecord *record, const Column *columns, int count)
{
	RecordColumnKind kinds[SESSION_COLUMNS]; /* more than the others have */
	RecordHeader header;

	if (record->length < sizeof(header) + 2)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
		                errmsg("journal record is too short")));
	memcpy(&header, record->payload, sizeof(header));
	for (int i = 0; i < count; i++)
		kinds[i] = columns[i].kind;
	text_convert_tuple(&header, (const uint8 *) record->payload + sizeof(header),
	                   record->length - sizeof(header), kinds, count, out);
}

/*
 * Makes an exchange's tuple what COPY reads: the journal's own bytes, unless texts
 * have to be converted.
 */
static void
take_tuple(const BatchRecord *record)
{
	if (record->length < sizeof(RecordHeader))
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
		                errmsg("journal record is too short")));
	source.bytes = record->payload + sizeof(RecordHeader);
	source.left = record->length - sizeof(RecordHeader);
	if (!((const RecordHeader *) record->payload)->has_high_bytes)
		return;
	resetStringInfo(&source.converted);
	append_tuple(&source.converted, record, exchange_columns, EXCHANGE_COLUMNS);
	source.bytes = source.converted.data;
	source.left = source.converted.len;
}

/*
 * Goes on to the next exchange; behind the last comes COPY's trailer.
 */
static void
next_tuple(void)
{
	const BatchRecord *record;

	while (source.next < source.count && source.records[source.next].type != JOURNAL_EXCHANGE)
		source.next++;
	if (source.next == source.count)
	{
		source.bytes = "\377\377";
		source.left = source.at_end ? 0 : 2;
		source.at_end = true;
		return;
	}
	record = &source.records[source.next++];
	blame_current(record->sequence);
	FAULT_POISON(record->payload, record->length);
	take_tuple(record);
	blame_current(0); /* COPY works on many at a time */
}

/*
 * Gives COPY bytes; its data source callback.
 */
static int
read_source(void *out, int least, int most)
{
	int done = 0;

	while (done < least)
	{
		int n;

		if (source.left == 0)
			next_tuple();
		n = (int) Min(source.left, (Size) (most - done));
		if (n == 0)
			break;
		memcpy((char *) out + done, source.bytes, n);
		source.bytes += n;
		source.left -= n;
		done += n;
	}
	return done;
}

/*
 * Tells whether there is an exchange among the records.
 */
static bool
has_exchanges(const BatchRecord *records, int count)
{
	for (int i = 0; i < count; i++)
		if (records[i].type == JOURNAL_EXCHANGE)
			return true;
	return false;
}

/*
 * Prepares to copy the exchanges among the records into their table.
 */
static CopyFromState
begin_copy(const BatchRecord *records, int count, Relation relation)
{
	ParseState *parse_state = make_parsestate(NULL);
	ParseNamespaceItem *item;
	List *names = NIL;

	for (int i = 0; i < EXCHANGE_COLUMNS; i++)
		names = lappend(names, makeString(pstrdup(exchange_columns[i].name)));
	item =
	    addRangeTableEntryForRelation(parse_state, relation, RowExclusiveLock, NULL, false, false);
	COMPAT_SET_INSERT_PERMISSION(item);
	addNSItemToQuery(parse_state, item, true, true, true);

	memset(&source, 0, sizeof(source));
	source.records = records;
	source.count = count;
	initStringInfo(&source.converted);
	/* COPY's header: signature, flags, length of the extension area */
	source.bytes = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
	source.left = 19;

	return BeginCopyFrom(parse_state, relation, NULL, NULL, false, read_source, names,
	                     list_make1(makeDefElem("format", (Node *) makeString("binary"), -1)));
}

/*
 * Reads a column's value in its type's binary format.
 */
static Datum
receive(const Column *column, StringInfo value)
{
	switch (column->kind)
	{
		case RECORD_TEXT:
			return PointerGetDatum(cstring_to_text_with_len(value->data, value->len));
		case RECORD_JSON:
			return DirectFunctionCall1(jsonb_in,
			                           CStringGetDatum(pnstrdup(value->data, value->len)));
		case RECORD_BOOL:
			return BoolGetDatum(pq_getmsgbyte(value) != 0);
		case RECORD_INT4:
			return Int32GetDatum((int32) pq_getmsgint(value, 4));
		case RECORD_OID:
			return ObjectIdGetDatum((Oid) pq_getmsgint(value, 4));
		case RECORD_INT8:
		case RECORD_TIME:
			return Int64GetDatum(pq_getmsgint64(value));
		case RECORD_INET:
			return DirectFunctionCall1(inet_recv, PointerGetDatum(value));
		default:
			elog(ERROR, "unexpected kind of column \"%s\"", column->name);
	}
}

/*
 * Returns the type of a column.
 */
static Oid
column_type(RecordColumnKind kind)
{
	static const Oid types[] = {TEXTOID, JSONBOID,       BOOLOID, INT4OID, INT8OID,
	                            OIDOID,  TIMESTAMPTZOID, INETOID, BYTEAOID};

	return types[kind];
}

/* What to do where the row is there already. */
#define SESSION_CONFLICT "(session_id) DO UPDATE SET "
#define TEXT_CONFLICT                                                                 \
	"(query_hash) DO UPDATE SET query = coalesce(query_text.query, excluded.query), " \
	"last_used = greatest(query_text.last_used, excluded.last_used)"

/*
 * Returns the command that stores a row, with a parameter a column.  A session's
 * row is replaced by its newer state.
 */
static char *
insert_command(const char *table, const Column *columns, int count, const char *conflict)
{
	StringInfoData command;

	initStringInfo(&command);
	appendStringInfo(&command, "INSERT INTO pgwire_trace.%s (", table);
	for (int i = 0; i < count; i++)
		appendStringInfo(&command, "%s%s", i ? ", " : "", columns[i].name);
	appendStringInfoString(&command, ") VALUES (");
	for (int i = 0; i < count; i++)
		appendStringInfo(&command, "%s$%d", i ? ", " : "", i + 1);
	appendStringInfo(&command, ") ON CONFLICT %s", conflict);
	for (int i = 1; i < count && columns == session_columns; i++)
		appendStringInfo(&command, "%s%s = excluded.%s", i > 1 ? ", " : "", columns[i].name,
		                 columns[i].name);
	return command.data;
}

/*
 * Prepares the command that stores a row, once.
 */
static void
prepare(SPIPlanPtr *plan, const char *table, const Column *columns, int count, const char *conflict)
{
	Oid types[SESSION_COLUMNS];

	if (*plan)
		return;
	for (int i = 0; i < count; i++)
		types[i] = column_type(columns[i].kind);
	*plan = SPI_prepare(insert_command(table, columns, count, conflict), count, types);
	if (!*plan || SPI_keepplan(*plan) != 0)
		elog(ERROR, "could not prepare the command that stores into table \"%s\"", table);
}

/*
 * Reads the columns of a tuple into values.
 */
static void
read_columns(StringInfo tuple, const Column *columns, int count, Datum *values, char *nulls)
{
	if (pq_getmsgint(tuple, 2) != (unsigned) count)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
		                errmsg("journal record has a wrong number of columns")));
	for (int i = 0; i < count; i++)
	{
		int32 len = (int32) pq_getmsgint(tuple, 4);
		StringInfoData value;

		nulls[i] = len < 0 ? 'n' : ' ';
		values[i] = (Datum) 0;
		if (len < 0)
			continue;
		initStringInfo(&value);
		appendBinaryStringInfo(&value, pq_getmsgbytes(tuple, len), len);
		values[i] = receive(&columns[i], &value);
	}
}

/*
 * Stores a record as a row by a prepared plan.
 */
static void
store_row(const BatchRecord *record, const Column *columns, int count, SPIPlanPtr plan)
{
	Datum values[SESSION_COLUMNS];
	char nulls[SESSION_COLUMNS];
	StringInfoData tuple;

	blame_current(record->sequence);
	initStringInfo(&tuple);
	append_tuple(&tuple, record, columns, count);
	read_columns(&tuple, columns, count, values, nulls);
	if (SPI_execute_plan(plan, values, nulls, false, 0) < 0)
		elog(ERROR, "could not store a record");
	blame_current(0);
}

/*
 * Stores sessions and texts, in order.
 */
static void
store_others(const BatchRecord *records, int count, SPIPlanPtr session_plan, SPIPlanPtr text_plan)
{
	for (int i = 0; i < count; i++)
	{
		switch (records[i].type)
		{
			case JOURNAL_SESSION:
				store_row(&records[i], session_columns, SESSION_COLUMNS, session_plan);
				break;
			case JOURNAL_QUERY_TEXT:
				store_row(&records[i], query_text_columns, QUERY_TEXT_COLUMNS, text_plan);
				break;
			case JOURNAL_EXCHANGE:
				break;
			default:
				ereport(ERROR,
				        (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				         errmsg("unknown type %d of journal record", (int) records[i].type)));
		}
	}
}

/*
 * Notes which table is stored into.  Where it is another than last time the
 * extension was made anew, and lacks what relays believe to be stored.
 */
static void
note_table(Oid table)
{
	uint32 before = atomic_exchange(&pgwt_board->record_table, table);

	if (before != 0 && before != table)
		atomic_fetch_add(&pgwt_board->record_epoch, 1);
}

/*
 * Stores records: sessions and texts in order, then the exchanges.
 */
void
rows_store(const BatchRecord *records, int count, volatile bool *own_fault)
{
	static SPIPlanPtr session_plan;
	static SPIPlanPtr text_plan;
	Oid tables[STORE_TABLES];
	Relation relation = NULL;
	CopyFromState copy = NULL;

	tables_lock(tables);
	note_table(tables[TABLE_STORED_EXCHANGE]);
	prepare(&session_plan, "session", session_columns, SESSION_COLUMNS, SESSION_CONFLICT);
	prepare(&text_plan, "query_text", query_text_columns, QUERY_TEXT_COLUMNS, TEXT_CONFLICT);
	if (has_exchanges(records, count))
	{
		relation = table_open(partition_current(pgwt_now()), RowExclusiveLock);
		copy = begin_copy(records, count, relation);
	}
	*own_fault = true;
	store_others(records, count, session_plan, text_plan);
	if (!copy)
		return;
	CopyFrom(copy);
	EndCopyFrom(copy);
	table_close(relation, NoLock);
}

/*
 * Notes a record that can't be stored, with its bytes if they are few.
 */
void
rows_quarantine(const BatchRecord *record, const char *reason)
{
	static const char *const kinds[] = {"unknown", "session", "query_text", "exchange"};
	Oid types[7] = {INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, BYTEAOID};
	char nulls[7] = {' ', ' ', ' ', ' ', ' ', ' ', ' '};
	bool is_known = record->type >= JOURNAL_SESSION && record->type <= JOURNAL_EXCHANGE;
	RecordHeader header = {0};
	Oid tables[STORE_TABLES];
	Datum values[7];

	tables_lock(tables);
	memcpy(&header, record->payload, Min(sizeof(header), record->length));
	values[0] = Int64GetDatum((int64) record->after.series);
	values[1] = Int64GetDatum(record->after.segment);
	values[2] = Int64GetDatum((int64) record->sequence);
	values[3] = Int64GetDatum((int64) header.session_id);
	values[4] = CStringGetTextDatum(kinds[is_known ? record->type : 0]);
	values[5] = CStringGetTextDatum(reason);
	if (record->length <= QUARANTINE_BYTES)
		values[6] =
		    PointerGetDatum(cstring_to_text_with_len(record->payload, (int) record->length));
	else
		nulls[6] = 'n';
	if (SPI_execute_with_args("INSERT INTO pgwire_trace.quarantine (series, segment, sequence, "
	                          "session_id, record_type, reason, record) "
	                          "VALUES ($1, $2::integer, $3, $4, $5, $6, $7)",
	                          7, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not store into table \"quarantine\"");
}

/*
 * Ends the sessions that a relay left open when it died.  Their rows are from when
 * they began; what is stored of them tells the rest.
 */
void
rows_end_sessions(uint64 series)
{
	Oid type = INT8OID;
	Datum value = Int64GetDatum((int64) series);

	if (SPI_execute_with_args(
	        "UPDATE pgwire_trace.session s SET end_reason = 'relay_died', "
	        "ended_at = greatest(x.finished_at, s.authenticated_at, s.started_at), "
	        "exchange_count = greatest(s.exchange_count, x.exchange_count), "
	        "request_bytes = greatest(s.request_bytes, x.request_bytes), "
	        "response_bytes = greatest(s.response_bytes, x.response_bytes) "
	        "FROM pgwire_trace.session open, LATERAL "
	        "(SELECT max(e.finished_at) AS finished_at, "
	        "count(DISTINCT e.exchange_no) AS exchange_count, "
	        "sum(e.request_bytes)::bigint AS request_bytes, "
	        "sum(e.response_bytes)::bigint AS response_bytes "
	        "FROM pgwire_trace.exchange e WHERE e.session_id = open.session_id) x "
	        "WHERE open.journal_series = $1 AND open.end_reason IS NULL "
	        "AND s.session_id = open.session_id",
	        1, &type, &value, NULL, false, 0) < 0)
		elog(ERROR, "could not end sessions");
}
