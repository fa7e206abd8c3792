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
#define DEATHS_MAX 2

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
	batch->is_series_end = false;
}

/*
 * Adds a record; its payload is copied.
 */
void
batch_add(Batch *batch, const JournalRecord *record, Position after)
{
	MemoryContext before = MemoryContextSwitchTo(batch->context);
	BatchRecord *added;

	if (batch->count == batch->cap)
	{
		batch->cap = batch->cap ? batch->cap * 2 : 256;
		batch->records = batch->records ? repalloc_huge(batch->records,
														batch->cap * sizeof(BatchRecord))
										: palloc(batch->cap * sizeof(BatchRecord));
	}
	added = &batch->records[batch->count++];
	added->type = record->type;
	added->sequence = record->sequence;
	added->after = after;
	added->length = record->length;
	added->payload = MemoryContextAllocHuge(batch->context, Max(record->length, 1));
	memcpy(added->payload, record->payload, record->length);
	batch->bytes += record->length;
	MemoryContextSwitchTo(before);
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
 * Notes on the board what is in hand.
 */
static void
note_in_hand(const BatchRecord *records, int count)
{
	BoardWriter *stats = &pgwt_board->writer;

	atomic_store(&stats->batch_series, count > 0 ? records[0].after.series : 0);
	atomic_store(&stats->batch_last, count > 0 ? records[count - 1].sequence : 0);
	atomic_store(&stats->batch_first, count > 0 ? records[0].sequence : 0);
	atomic_store(&stats->current, 0);
}

/*
 * Tells whether an error is one of the surroundings.
 */
static bool
is_surroundings(int sqlstate)
{
	switch (sqlstate)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_SCHEMA:
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_DUPLICATE_TABLE:
		case ERRCODE_QUERY_CANCELED:
		case ERRCODE_READ_ONLY_SQL_TRANSACTION:
			return true;
		default:
			break;
	}
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return false;
	}
}

/*
 * Turns an error that was caught into a result, and cleans up after it.
 */
static StoreResult
handle_error(MemoryContext context, char **message)
{
	ErrorData *error;
	StoreResult result;
	BoardWriterState state = WRITER_RUNNING;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	result = is_surroundings(error->sqlerrcode) ? STORE_WAIT : STORE_RECORD_FAILED;
	*message = psprintf("%s (SQLSTATE %s)", error->message, unpack_sql_state(error->sqlerrcode));
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		state = WRITER_WAITING_LOCK;
	else if (error->sqlerrcode == ERRCODE_DISK_FULL)
		state = WRITER_WAITING_DISK;
	else if (error->sqlerrcode == ERRCODE_UNDEFINED_TABLE ||
			 error->sqlerrcode == ERRCODE_UNDEFINED_SCHEMA)
		state = WRITER_WAITING_EXTENSION;
	if (result == STORE_WAIT)
		writer_error(state, *message);
	return result;
}

/*
 * Stores records, or the reason why one is not, with the position behind them,
 * in one transaction.
 */
static StoreResult
store_once(const BatchRecord *records, int count, const char *quarantine, char **message)
{
	MemoryContext context = CurrentMemoryContext;
	StoreResult result = STORE_OK;

	note_in_hand(records, count);
	StartTransactionCommand();
	/* PG_TRY: the worker goes on after an error, in a new transaction */
	PG_TRY();
	{
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (quarantine)
			rows_quarantine(&records[0], quarantine);
		else
			rows_store(records, count);
		position_save(&records[count - 1].after);
		PopActiveSnapshot();
		SPI_finish();
		FAULT_POINT("writer_before_commit");
		CommitTransactionCommand();
		FAULT_POINT("writer_after_commit");
	}
	PG_CATCH();
	{
		result = handle_error(context, message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (result == STORE_OK)
		atomic_store(&pgwt_board->writer.batch_deaths, 0);
	note_in_hand(NULL, 0);
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
 * Puts a record into quarantine.
 */
static bool
quarantine(const BatchRecord *record, const char *reason)
{
	char *message;

	if (store_once(record, 1, reason, &message) != STORE_OK)
		return false;
	board_add(&pgwt_board->writer.exchanges_quarantined, 1);
	writer_error(WRITER_RUNNING, psprintf("record " UINT64_FORMAT " of series %016" PRIx64
										  " can't be stored, it is in quarantine: %s",
										  record->sequence, record->after.series, reason));
	return true;
}

/*
 * Stores records one by one.  False: not now; *done says how many are stored.
 */
static bool
store_singly(const Batch *batch, int *done, Position *position)
{
	for (; *done < batch->count; (*done)++)
	{
		const BatchRecord *record = &batch->records[*done];
		char *message = NULL;
		StoreResult result = store_once(record, 1, NULL, &message);

		CHECK_FOR_INTERRUPTS();
		if (result == STORE_WAIT)
			return false;
		if (result == STORE_RECORD_FAILED && !quarantine(record, message))
			return false;
		if (result == STORE_OK)
			count_stored(record, 1);
		*position = record->after;
	}
	return true;
}

/*
 * Finds out what a writer before this one died of: a record to be put into
 * quarantine, or a batch to be tried one by one.
 */
static bool
was_deadly(const Batch *batch, const BatchRecord **culprit)
{
	BoardWriter *stats = &pgwt_board->writer;
	uint64 first = atomic_load(&stats->batch_first);
	uint64 last = atomic_load(&stats->batch_last);
	uint64 crashed_on = atomic_exchange(&stats->crashed_on, 0);
	bool deadly;

	*culprit = NULL;
	if (first == 0 || batch->records[0].after.series != atomic_load(&stats->batch_series) ||
		batch->records[0].sequence > last)
		return false;
	for (int i = 0; i < batch->count && crashed_on != 0; i++)
		if (batch->records[i].sequence == crashed_on)
			*culprit = &batch->records[i];
	deadly = atomic_fetch_add(&stats->batch_deaths, 1) + 1 >= DEATHS_MAX;
	if (deadly && first == last && batch->records[0].sequence == first && !*culprit)
		*culprit = &batch->records[0];
	return deadly || *culprit != NULL;
}

/*
 * Stores a batch of which a record killed a writer.
 */
static bool
store_around(const Batch *batch, const BatchRecord *culprit, Position *position)
{
	Batch part = *batch;
	int done = 0;

	if (!culprit)
		return store_singly(batch, &done, position);
	part.count = (int) (culprit - batch->records);
	if (!store_singly(&part, &done, position))
		return false;
	if (!quarantine(culprit, "the writer died of it"))
		return false;
	*position = culprit->after;
	done++;
	return store_singly(batch, &done, position);
}

/*
 * Stores the batch, whatever it takes; *position moves on with what is stored.
 * False: not now.
 */
bool
batch_store(Batch *batch, Position *position)
{
	static bool is_first = true;
	const BatchRecord *culprit = NULL;
	char *message = NULL;
	MemoryContext before;
	bool deadly;
	int done = 0;
	bool stored;

	if (batch->count == 0)
		return true;
	deadly = is_first && was_deadly(batch, &culprit);
	is_first = false;
	before = MemoryContextSwitchTo(batch->context);
	if (deadly)
		stored = store_around(batch, culprit, position);
	else
	{
		StoreResult result = store_once(batch->records, batch->count, NULL, &message);

		stored = result == STORE_OK;
		if (stored)
		{
			count_stored(batch->records, batch->count);
			*position = batch->records[batch->count - 1].after;
		}
		else if (result == STORE_RECORD_FAILED)
			stored = store_singly(batch, &done, position);
	}
	MemoryContextSwitchTo(before);
	pgstat_report_stat(false);
	return stored;
}
