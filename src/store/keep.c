/*
 * keep.c
 *	  How long the record is kept: partitions are ended and dropped, and what
 *	  belonged to their exchanges alone goes with them.
 *
 * It runs between batches, in transactions of its own: once a second, and when as
 * much was stored as a partition should hold.  A
 * partition that somebody reads is left for later; only where storage_limit
 * presses does the writer wait for its lock, and then not long, as readers that
 * come meanwhile wait behind it.  Capture goes on through all of it: the journal
 * takes what comes.  Only where the limit is reached and nothing can be dropped does
 * storing stop; then the journal fills, and what it does not take is counted there.
 *
 *		keep_has_room	sees to all that is due, tells whether storing may go on
 */
#include "store/store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define EVERY_US INT64CONST(1000000)
#define CLEAN_EVERY_US INT64CONST(3600000000)
#define CLEAN_ROWS 1000
#define LOCK_WAIT "100ms"
#define DROPS_A_RUN 8

/* A partition's share of the limits: so much is given back at once. */
#define SIZE_SHARE 40
#define AGE_SHARE 20
#define SMALLEST (INT64CONST(1) << 20)
#define LARGEST (INT64CONST(1) << 30)
#define SHORTEST_US INT64CONST(60000000)

/* What a step found. */
typedef enum Step
{
	STEP_DONE,
	STEP_MORE,   /* something was done, there may be more */
	STEP_BLOCKED /* somebody is in the way */
} Step;

static bool is_full;
static bool cleans; /* rows may be left without exchanges */
static int64 cleaned_at;

/*
 * Returns the largest size and age of a partition that takes rows.
 */
static int64
partition_bytes(void)
{
	int64 limit = (int64) pgwt_storage_limit * 1024 * 1024;

	if (pgwt_storage_limit < 0)
		return LARGEST;
	return Min(Max(limit / SIZE_SHARE, SMALLEST), LARGEST);
}

static int64
partition_age(void)
{
	int64 age = (int64) pgwt_retention * USECS_PER_MINUTE / AGE_SHARE;

	if (pgwt_retention == 0)
		return USECS_PER_DAY;
	return Min(Max(age, SHORTEST_US), USECS_PER_DAY);
}

/*
 * Ends the partition that takes rows when it is large or old enough.
 */
static Step
end_partition(const PartitionList *list, int64 now)
{
	const Partition *last = list->count > 0 ? &list->partitions[list->count - 1] : NULL;

	if (!last || last->is_ended ||
	    (last->bytes < partition_bytes() && now - last->begun_at < partition_age()))
		return STEP_DONE;
	partition_end(last->number, now);
	return STEP_MORE;
}

/*
 * Tells whether a partition is older than what is kept.
 */
static bool
is_expired(const Partition *partition, int64 now)
{
	return pgwt_retention > 0 && partition->is_ended &&
	       partition->newest < now - (int64) pgwt_retention * USECS_PER_MINUTE;
}

/*
 * Tells whether the tables are over the limit.
 */
static bool
is_over(const PartitionList *list)
{
	return pgwt_storage_limit >= 0 && list->bytes > (int64) pgwt_storage_limit * 1024 * 1024;
}

/*
 * Drops the first partition that has to go.
 */
static Step
drop_partition(const PartitionList *list, int64 now)
{
	bool presses = is_over(list);

	for (int i = 0; i < list->count; i++)
	{
		const Partition *partition = &list->partitions[i];

		if (!is_expired(partition, now) && !presses)
			continue;
		if (!partition->is_ended)
			break;
		if (!ConditionalLockRelationOid(partition->table, AccessExclusiveLock))
		{
			if (!presses)
				continue; /* a reader: there is time */
			is_full = true;
			SetConfigOption("lock_timeout", LOCK_WAIT, PGC_SUSET, PGC_S_OVERRIDE);
			LockRelationOid(partition->table, AccessExclusiveLock);
		}
		partition_drop(partition->number);
		cleans = true;
		return STEP_MORE;
	}
	return presses ? STEP_BLOCKED : STEP_DONE;
}

/*
 * Runs a command with a time, prepared each time: it runs seldom.  Returns how
 * many rows it removed.
 */
static uint64
remove_rows(const char *command, int64 before)
{
	Oid type = TIMESTAMPTZOID;
	Datum value = TimestampTzGetDatum(before);

	if (SPI_execute_with_args(command, 1, &type, &value, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not run \"%s\"", command);
	return SPI_processed;
}

/*
 * Removes sessions and texts that no exchange refers to any more, so many of them.
 * A text's last_used is right to an hour; a day more forgives clocks that jumped.
 */
static Step
clean(const PartitionList *list, int64 now)
{
	int64 begun_at = list->count > 0 ? list->partitions[0].begun_at : now;
	uint64 most;

	most = remove_rows(
	    "DELETE FROM pgwire_trace.session WHERE session_id IN ("
	    "SELECT s.session_id FROM pgwire_trace.session s WHERE s.ended_at < $1 AND NOT EXISTS ("
	    "SELECT FROM pgwire_trace.stored_exchange x WHERE x.session_id = s.session_id) "
	    "ORDER BY s.ended_at LIMIT " CppAsString2(CLEAN_ROWS) ")",
	    begun_at);
	most =
	    Max(most, remove_rows("DELETE FROM pgwire_trace.query_text WHERE query_hash IN ("
	                          "SELECT query_hash FROM pgwire_trace.query_text WHERE last_used < $1 "
	                          "ORDER BY last_used LIMIT " CppAsString2(CLEAN_ROWS) ")",
	                          partition_oldest(list, now) - USECS_PER_DAY));
	if (pgwt_retention > 0)
		(void) remove_rows("DELETE FROM pgwire_trace.quarantine WHERE quarantined_at < $1",
		                   now - (int64) pgwt_retention * USECS_PER_MINUTE);
	return most == CLEAN_ROWS ? STEP_MORE : STEP_DONE;
}

/*
 * Does the first thing that is due.
 */
static Step
step(int64 now)
{
	PartitionList list;
	Step result;
	Oid tables[STORE_TABLES];

	tables_lock(tables);
	partition_list(&list);
	result = end_partition(&list, now);
	if (result != STEP_DONE)
		return result;
	result = drop_partition(&list, now);
	is_full = result == STEP_BLOCKED && is_over(&list);
	if (result != STEP_DONE || !(cleans || now < cleaned_at || now - cleaned_at > CLEAN_EVERY_US))
		return result;
	result = clean(&list, now);
	cleans = result == STEP_MORE;
	cleaned_at = now;
	return STEP_DONE;
}

/*
 * Does a step in a transaction of its own.  What is in the way is shown.
 */
static Step
step_safely(int64 now)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Step result = STEP_BLOCKED;

	/* PG_TRY: whatever is in the way of dropping must not be in that of storing */
	PG_TRY();
	{
		StartTransactionCommand();
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		result = step(now);
		PopActiveSnapshot();
		SPI_finish();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		writer_note("could not make room: %s", error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	SetConfigOption("lock_timeout", STORE_LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
	return result;
}

/*
 * Sees to what is due.  False: the limit is reached and nothing can be dropped.
 */
bool
keep_has_room(Size to_store)
{
	static int64 looked_at;
	static int64 stored; /* since then */
	int64 now = pgwt_now();

	stored += (int64) to_store;
	if (now >= looked_at && now - looked_at < EVERY_US && stored < partition_bytes())
		return !is_full;
	looked_at = now;
	stored = 0;
	for (int i = 0; i < DROPS_A_RUN && step_safely(now) == STEP_MORE; i++)
		writer_interrupts();
	if (is_full)
		writer_error(WRITER_WAITING_DISK,
		             "storage_limit is reached and no partition can be dropped: end the "
		             "transactions that read the record, or set "
		             "\"pgwire_trace.storage_limit\" higher");
	return !is_full;
}
