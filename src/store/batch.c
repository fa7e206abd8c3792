/*
 * batch.c
 *	  A batch of records becomes one transaction: rows and position together.
 *
 * When that fails, because of an error or because the writer died of it, the
 * records are tried one by one, each in a transaction of its own, and what fails
 * alone is put into quarantine.  Errors of the surroundings (a lock, the disk,
 * an extension that is being dropped) are nobody's fault: they are waited out.
 */
#include "store/store.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "store/fault.h"

#define MAX_BYTES (4 * 1024 * 1024)
#define MAX_RECORDS 20000
#define LARGE_RECORD (64 * 1024 * 1024)
#define LOG_EVERY_US INT64CONST(60000000)

/*
 * Begins an empty batch.
 */
void
batch_begin(Batch *batch)
{
	if (!batch->context)
		batch->context =
		    AllocSetContextCreate(TopMemoryContext, "pgwire_trace batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(batch->context);
	batch->records = NULL;
	batch->count = batch->cap = 0;
	batch->bytes = 0;
}

/*
 * Adds a record; its payload is copied.
 */
void
batch_add(Batch *batch, const JournalRecord *record, Position after)
{
	BatchRecord *added;

	if (batch->count == batch->cap)
	{
		Size cap = batch->cap ? (Size) batch->cap * 2 : 256;

		batch->records = batch->records
		                     ? repalloc_huge(batch->records, cap * sizeof(BatchRecord))
		                     : MemoryContextAlloc(batch->context, cap * sizeof(BatchRecord));
		batch->cap = (int) cap;
	}
	added = &batch->records[batch->count++];
	added->type = record->type;
	added->sequence = record->sequence;
	added->after = after;
	added->length = record->length;
	added->payload = MemoryContextAllocHuge(batch->context, Max(record->length, 1));
	memcpy(added->payload, record->payload, record->length);
	batch->bytes += record->length;
}

/*
 * Tells whether it is time to store the batch.
 */
bool
batch_is_full(const Batch *batch)
{
	return batch->bytes >= MAX_BYTES || batch->count >= MAX_RECORDS;
}

/*
 * Tells whether an error is one of the surroundings.  own_fault: it came up when
 * the records themselves were being stored, not while that was prepared.
 */
static bool
is_surroundings(int sqlstate, bool own_fault)
{
	switch (sqlstate)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
		case ERRCODE_DATA_CORRUPTED: /* of a table, when PostgreSQL says it */
		case ERRCODE_INDEX_CORRUPTED:
			return true;
		default:
			break;
	}
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return !own_fault;
	}
}

/*
 * Returns the state that an error of the surroundings puts the writer into.
 */
static BoardWriterState
state_for(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
			return WRITER_WAITING_LOCK;
		case ERRCODE_DISK_FULL:
			return WRITER_WAITING_DISK;
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_SCHEMA:
			return WRITER_WAITING_EXTENSION;
		default:
			return WRITER_RUNNING;
	}
}

/*
 * Tells whether one of the records is so large that memory may not suffice for it,
 * now or ever.
 */
static bool
has_large(const BatchRecord *records, int count)
{
	for (int i = 0; i < count; i++)
		if (records[i].length > LARGE_RECORD)
			return true;
	return false;
}

/*
 * Turns an error that was caught into a result, and cleans up after it.
 */
static StoreResult
handle_error(MemoryContext context, bool own_fault, bool is_large, char **message)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(context);
	*message = psprintf("%s (SQLSTATE %s)", error->message, unpack_sql_state(error->sqlerrcode));
	if (!is_surroundings(error->sqlerrcode, own_fault) ||
	    (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY && is_large))
		return STORE_RECORD_FAILED;
	writer_error(state_for(error->sqlerrcode), "%s", *message);
	return STORE_WAIT;
}

/*
 * Stores records, or the reason why one is not, with the position behind them,
 * in one transaction.
 */
static StoreResult
store_once(const BatchRecord *records, int count, const char *quarantine, char **message)
{
	MemoryContext context = CurrentMemoryContext;
	volatile StoreResult result = STORE_OK;
	volatile bool own_fault = false;

	blame_note(records, count);
	/* PG_TRY: the worker goes on after an error, in a new transaction */
	PG_TRY();
	{
		StartTransactionCommand();
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (quarantine)
			rows_quarantine(&records[0], quarantine);
		else
			rows_store(records, count, &own_fault);
		position_save(&records[count - 1].after);
		PopActiveSnapshot();
		SPI_finish();
		FAULT_POINT("writer_before_commit");
		CommitTransactionCommand();
		FAULT_POINT("writer_after_commit");
	}
	PG_CATCH();
	{
		result = handle_error(context, own_fault, has_large(records, count), message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	blame_clear();
	if (result == STORE_OK)
	{
		blame_acquit(records[0].after.series, records[count - 1].sequence);
		series_stored(&records[count - 1].after);
	}
	return result;
}

/*
 * Counts what was stored.
 */
static void
count_stored(const BatchRecord *records, int count)
{
	uint64 exchanges = 0;

	for (int i = 0; i < count; i++)
		exchanges += records[i].type == JOURNAL_EXCHANGE;
	board_add(&pgwt_board->writer.rows_stored, exchanges);
}

/*
 * Tells of a record in quarantine: each is in the table, but where a trigger
 * fails for all of them the log gets a line a minute.
 */
static void
report_quarantine(const BatchRecord *record, const char *reason)
{
	static int64 logged_at;
	BoardWriter *board = &pgwt_board->writer;
	int64 now = pgwt_now();
	char *message = psprintf("record " UINT64_FORMAT " of series %016" PRIx64
	                         " can't be stored, it is in quarantine: %s",
	                         record->sequence, record->after.series, reason);

	board_add(&board->exchanges_quarantined, 1);
	writer_note("%s", message);
	if (logged_at != 0 && now >= logged_at && now - logged_at < LOG_EVERY_US)
		return;
	logged_at = now;
	ereport(LOG, (errmsg("pgwire_trace writer: %s", message),
	              errdetail("Records in quarantine since the server started: " UINT64_FORMAT ".",
	                        board_get(&board->exchanges_quarantined)),
	              errhint("See table pgwire_trace.quarantine.")));
}

/*
 * Puts a record into quarantine.
 */
static bool
quarantine(const BatchRecord *record, const char *reason)
{
	char *message;

	switch (store_once(record, 1, reason, &message))
	{
		case STORE_OK:
			report_quarantine(record, reason);
			return true;
		case STORE_RECORD_FAILED:
			/* not even that: something is wrong with the table */
			writer_error(WRITER_RUNNING, "%s", message);
			return false;
		default:
			return false;
	}
}

/*
 * Stores records one by one, but the culprit not at all.  False: not now.
 */
static bool
store_singly(const Batch *batch, const BatchRecord *culprit, Position *position)
{
	for (int i = 0; i < batch->count; i++)
	{
		const BatchRecord *record = &batch->records[i];
		char *message = NULL;
		StoreResult result = STORE_RECORD_FAILED;

		writer_interrupts();
		if (record == culprit)
			message = "the writer died of it";
		else
			result = store_once(record, 1, NULL, &message);
		if (result == STORE_WAIT || (result == STORE_RECORD_FAILED && !quarantine(record, message)))
			return false;
		if (result == STORE_OK)
			count_stored(record, 1);
		*position = record->after;
	}
	return true;
}

/*
 * Stores the records at once, or one by one where they don't let themselves.
 * False: not now.
 */
static bool
store_records(const Batch *batch, Position *position)
{
	const BatchRecord *culprit;
	char *message;

	if (blame_suspects(batch, &culprit))
		return store_singly(batch, culprit, position);
	switch (store_once(batch->records, batch->count, NULL, &message))
	{
		case STORE_OK:
			count_stored(batch->records, batch->count);
			*position = batch->records[batch->count - 1].after;
			return true;
		case STORE_RECORD_FAILED:
			return store_singly(batch, NULL, position);
		default:
			return false;
	}
}

/*
 * Stores the batch, whatever it takes; *position moves on with what is stored.
 * False: not now.
 */
bool
batch_store(Batch *batch, Position *position)
{
	MemoryContext before;
	bool stored;

	if (batch->count == 0)
		return true;
	before = MemoryContextSwitchTo(batch->context);
	stored = store_records(batch, position);
	MemoryContextSwitchTo(before);
	pgstat_report_stat(false);
	return stored;
}
