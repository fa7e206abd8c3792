/*
 * pass.c
 *	  One pass over the journal: each series from its position on, and the
 *	  removal of segments that are stored.
 *
 * A segment is removed only when the commit that consumed its end is on disk:
 * with synchronous_commit off a crash may undo commits, and the journal is then
 * the only place that has their records.
 */
#include "store/store.h"

#include <errno.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "store/fault.h"
#include "store/pass.h"

/* A segment that is stored, and where the log must be flushed to. */
typedef struct Done
{
	uint64 series;
	uint32 segment;
	XLogRecPtr flushed_at;
	bool is_last; /* of a finished series: its position goes too */
} Done;

static List *done; /* in TopMemoryContext */
static Batch batch;

/*
 * Notes a stored segment.
 */
static void
note_done(uint64 series, uint32 segment, bool is_last)
{
	MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
	Done *entry = palloc(sizeof(Done));
	ListCell *cell;

	foreach (cell, done)
	{
		Done *other = lfirst(cell);

		if (other->series != series || other->segment != segment)
			continue;
		other->is_last |= is_last;
		pfree(entry);
		MemoryContextSwitchTo(before);
		return;
	}
	entry->series = series;
	entry->segment = segment;
	entry->flushed_at = Max(XactLastCommitEnd, GetXLogInsertRecPtr());
	entry->is_last = is_last;
	done = lappend(done, entry);
	MemoryContextSwitchTo(before);
}

/*
 * Runs a function on a series in a transaction of its own.
 */
static void
in_transaction(void (*function)(uint64 series), uint64 series)
{
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	function(series);
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
}

/*
 * Removes stored segments whose commits are on disk.  Returns whether some are
 * still waiting.
 */
static bool
remove_done(void)
{
	const char *directory = pgwt_journal_directory_resolved();
	XLogRecPtr flushed = GetFlushRecPtr(NULL);
	ListCell *cell;

	foreach (cell, done)
	{
		Done *entry = lfirst(cell);

		if (entry->flushed_at > flushed)
			continue;
		if (journal_remove_segment(directory, entry->series, entry->segment) != 0)
		{
			writer_error(WRITER_RUNNING,
						 psprintf("could not remove a segment in directory \"%s\": %s", directory,
								  strerror(errno)));
			continue;
		}
		if (entry->is_last)
			in_transaction(position_forget, entry->series);
		done = foreach_delete_current(done, cell);
		pfree(entry);
	}
	return done != NIL;
}

/*
 * Counts records that are missing between two.
 */
static void
check_gap(const Position *position, const JournalRecord *record)
{
	uint64 gap = record->sequence - position->next_sequence;

	if (position->next_sequence == 0 || record->sequence == position->next_sequence)
		return;
	board_add(&pgwt_board->writer.records_skipped, gap);
	writer_error(WRITER_RUNNING, psprintf(UINT64_FORMAT " records of series %016" PRIx64
													   " are missing or can't be read",
										  gap, position->series));
}

/*
 * Shows since when the oldest exchange has waited.
 */
static void
show_oldest(const JournalRecord *record)
{
	uint64 time;

	if (record->type != JOURNAL_EXCHANGE ||
		record->length < sizeof(RecordHeader) + RECORD_EXCHANGE_TIME_AT + sizeof(time))
		return;
	memcpy(&time, record->payload + sizeof(RecordHeader) + RECORD_EXCHANGE_TIME_AT, sizeof(time));
	atomic_store(&pgwt_board->writer.oldest_waiting_at, (int64) pg_ntoh64(time));
}

/*
 * Says why a segment can't be read.
 */
static void
report_unreadable(const JournalSegment *segment, JournalReadResult result)
{
	const char *reason = result == JOURNAL_READ_BAD_VERSION
							 ? "it was written by another version of pgwire_trace"
						 : result == JOURNAL_READ_BAD_SEGMENT ? "its header is corrupt"
															  : strerror(errno);

	board_add(&pgwt_board->writer.records_skipped, 1);
	writer_error(WRITER_RUNNING,
				 psprintf("segment %u of series %016" PRIx64 " can't be read: %s",
						  segment->segment, segment->series, reason));
}

/*
 * Stores the batch and begins a new one.  False: something is in the way.
 */
static bool
store_batch(Position *position)
{
	bool stored = batch_store(&batch, position);

	batch_begin(&batch);
	return stored;
}

/*
 * Stores a segment from the position on, as far as it was long when the pass
 * began.  final: nothing will be appended to it.  False: something is in the
 * way.
 */
static bool
store_segment(const JournalSegment *segment, bool final, Position *position)
{
	const char *directory = pgwt_journal_directory_resolved();
	uint64 offset = position->segment == segment->segment ? position->offset : 0;
	JournalReader *reader =
		journal_reader_open(directory, segment->series, segment->segment, offset);
	Position reading = *position;
	JournalRecord record;
	JournalReadResult result;
	bool stored = true;

	if (!reader)
		return errno == ENOENT; /* removed by hand: its records show as a gap */
	batch_begin(&batch);
	while (stored && (result = journal_read(reader, final, &record)) == JOURNAL_READ_RECORD)
	{
		check_gap(&reading, &record);
		if (batch.count == 0)
			show_oldest(&record);
		reading.segment = segment->segment;
		reading.offset = record.next_offset;
		reading.next_sequence = record.sequence + 1;
		batch_add(&batch, &record, reading);
		if (batch_is_full(&batch))
			stored = store_batch(position);
		CHECK_FOR_INTERRUPTS();
		if (record.next_offset >= segment->size && !final)
			break;
	}
	stored = stored && store_batch(position);
	if (stored && result != JOURNAL_READ_RECORD && result != JOURNAL_READ_END)
		report_unreadable(segment, result);
	if (stored && final && journal_skipped_bytes(reader) > 0)
		writer_error(WRITER_RUNNING,
					 psprintf(UINT64_FORMAT " bytes in segment %u of series %016" PRIx64
											" are no records and were skipped",
							  journal_skipped_bytes(reader), segment->segment, segment->series));
	journal_reader_close(reader);
	return stored;
}

/*
 * Tells whether a segment waits to be removed: it is stored already.
 */
static bool
is_done(const JournalSegment *segment)
{
	ListCell *cell;

	foreach (cell, done)
	{
		const Done *entry = lfirst(cell);

		if (entry->series == segment->series && entry->segment == segment->segment)
			return true;
	}
	return false;
}

/*
 * Loads a series' position in a transaction.
 */
static Position
load_position(uint64 series)
{
	Position position;

	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	position_load(series, &position);
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	return position;
}

/*
 * Stores a series: `count` segments in order.  False: something is in the way.
 */
static bool
store_series(const JournalSegment *segments, int count)
{
	uint64 series = segments[0].series;
	bool finished =
		journal_series_finished(pgwt_journal_directory_resolved(), series);
	Position position = load_position(series);

	for (int i = 0; i < count; i++)
	{
		bool final = i + 1 < count || finished;

		if (is_done(&segments[i]))
			continue;
		if (segments[i].segment >= position.segment &&
			!store_segment(&segments[i], final, &position))
			return false;
		if (!final)
			continue;
		if (i + 1 == count)
			in_transaction(rows_end_sessions, series);
		note_done(series, segments[i].segment, i + 1 == count);
		FAULT_POINT("writer_between_segments");
	}
	return true;
}

/*
 * Shows how many bytes wait.
 */
static void
show_waiting(const JournalSegment *segments, int count)
{
	uint64 bytes = 0;

	for (int i = 0; i < count; i++)
		if (!is_done(&segments[i]))
			bytes += segments[i].size;
	atomic_store(&pgwt_board->writer.journal_bytes_waiting, bytes);
}

/*
 * Lists the journal; -1 where that fails, which is shown.
 */
static int
list_journal(JournalSegment **segments)
{
	const char *directory = pgwt_journal_directory_resolved();
	int count = journal_list(directory, segments);

	if (count < 0)
		writer_error(WRITER_RUNNING, psprintf("could not read journal directory \"%s\": %s",
											  directory, strerror(errno)));
	return count;
}

/*
 * Shows what waits in the journal, without storing.
 */
void
pass_measure(void)
{
	JournalSegment *segments;
	int count = list_journal(&segments);

	if (count < 0)
		return;
	show_waiting(segments, count);
	free(segments);
}

/*
 * Makes a pass over the journal.
 */
PassResult
pass_run(void)
{
	JournalSegment *listed;
	int count = list_journal(&listed);
	JournalSegment *segments;
	bool stored = true;

	if (count < 0)
		return PASS_WAIT;
	/* a copy that an error frees */
	segments = palloc(sizeof(JournalSegment) * Max(count, 1));
	memcpy(segments, listed, sizeof(JournalSegment) * count);
	free(listed);
	show_waiting(segments, count);
	for (int i = 0; i < count && stored;)
	{
		int n = 1;

		while (i + n < count && segments[i + n].series == segments[i].series)
			n++;
		stored = store_series(&segments[i], n);
		i += n;
	}
	if (!stored)
		return PASS_WAIT;
	atomic_store(&pgwt_board->writer.oldest_waiting_at, 0);
	atomic_store(&pgwt_board->writer.journal_bytes_waiting, 0);
	return remove_done() ? PASS_AGAIN : PASS_DONE;
}
