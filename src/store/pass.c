/*
 * pass.c
 *	  One pass over the journal: each series from its position on.
 *
 * What is stored in a pass is what the files held when it began, so that a pass
 * ends.  A series that killed the writer before comes first: as long as it is not
 * through, the board must remember it.
 */
#include "store/store.h"

#include <errno.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "store/fault.h"
#include "store/pass.h"

static Batch batch;

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
	writer_error(WRITER_RUNNING,
	             UINT64_FORMAT " records before record " UINT64_FORMAT " of series %016" PRIx64
	                           " are missing in the journal",
	             gap, record->sequence, position->series);
}

/*
 * Returns when an exchange was recorded; 0 for other records.
 */
static int64
time_of(const JournalRecord *record)
{
	RecordHeader header;

	if (record->type != JOURNAL_EXCHANGE || record->length < sizeof(header))
		return 0;
	memcpy(&header, record->payload, sizeof(header));
	return header.recorded_at;
}

/*
 * Says why a segment can't be read.
 */
static void
report_unreadable(const JournalSegment *segment, JournalReadResult result)
{
	const char *reason = strerror(errno);

	if (result == JOURNAL_READ_BAD_VERSION)
		reason = "it is of another format version, so it is left alone";
	else if (result == JOURNAL_READ_BAD_SEGMENT)
		reason = "its header is corrupt";
	writer_error(WRITER_RUNNING,
	             "segment %u of series %016" PRIx64 " of the journal can't be read: %s",
	             segment->segment, segment->series, reason);
}

/*
 * Stores the batch and begins a new one.  False: something is in the way.
 */
static bool
store_batch(Position *position)
{
	bool stored = keep_has_room(batch.bytes) && batch_store(&batch, position);

	batch_begin(&batch);
	return stored;
}

/*
 * Stores the records that a reader finds.  Returns what the reader said last;
 * *stored becomes false where something is in the way.
 */
static JournalReadResult
store_records(JournalReader *reader, const JournalSegment *segment, bool final, Position *position,
              bool *stored)
{
	Position reading = *position;
	JournalRecord record;
	JournalReadResult result;

	while ((result = journal_read(reader, final, &record)) == JOURNAL_READ_RECORD)
	{
		check_gap(&reading, &record);
		if (batch.count == 0 && time_of(&record) != 0)
			atomic_store(&pgwt_board->writer.oldest_waiting_at, time_of(&record));
		reading.segment = segment->segment;
		reading.offset = record.next_offset;
		reading.next_sequence = record.sequence + 1;
		batch_add(&batch, &record, reading);
		if (batch_is_full(&batch) && !(*stored = store_batch(position)))
			return result;
		CHECK_FOR_INTERRUPTS();
		if (record.next_offset >= segment->size && !final)
			break;
	}
	*stored = store_batch(position);
	return result;
}

/*
 * Opens a segment behind what is stored of it.
 */
static JournalReader *
open_segment(const JournalSegment *segment, const Position *position)
{
	return journal_reader_open(pgwt_journal_directory_resolved(), segment->series, segment->segment,
	                           position->segment == segment->segment ? position->offset : 0);
}

/*
 * Tells of bytes that are no records: torn when a relay died, or corrupt.
 */
static void
report_skipped(const JournalSegment *segment, uint64 bytes)
{
	if (bytes == 0)
		return;
	board_add(&pgwt_board->writer.records_skipped, 1);
	writer_error(WRITER_RUNNING,
	             UINT64_FORMAT " bytes in segment %u of series %016" PRIx64
	                           " of the journal are no records and were skipped",
	             bytes, segment->segment, segment->series);
}

/*
 * Stores a segment from the position on, as far as it was long when the pass
 * began.  final: nothing will be appended to it.
 */
static StoreResult
store_segment(const JournalSegment *segment, bool final, Position *position)
{
	JournalReader *reader = open_segment(segment, position);
	JournalReadResult read;
	uint64 skipped;
	bool stored = true;

	if (!reader && errno == ENOENT)
		return STORE_OK; /* removed by hand: its records show as a gap */
	if (!reader)
	{
		report_unreadable(segment, JOURNAL_READ_FAILED);
		return STORE_WAIT;
	}
	batch_begin(&batch);
	read = store_records(reader, segment, final, position, &stored);
	skipped = journal_skipped_bytes(reader);
	if (stored && read != JOURNAL_READ_RECORD && read != JOURNAL_READ_END)
		report_unreadable(segment, read);
	journal_reader_close(reader);
	if (!stored || read == JOURNAL_READ_FAILED)
		return STORE_WAIT;
	if (read == JOURNAL_READ_BAD_VERSION)
		return STORE_RECORD_FAILED;
	if (read == JOURNAL_READ_BAD_SEGMENT)
		skipped = final ? segment->size : 0;
	report_skipped(segment, skipped);
	return STORE_OK;
}

/*
 * Ends the sessions that a finished series has left open.
 */
static void
end_sessions(uint64 series)
{
	Oid tables[STORE_TABLES];

	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	tables_lock(tables);
	rows_end_sessions(series);
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
}

/*
 * Tells whether a series is finished.  What runs is known from the board.
 */
static bool
is_finished(uint64 series)
{
	for (uint32 i = 0; i < pgwt_board->relay_count; i++)
		if (atomic_load(&pgwt_board->relays[i].pid) != 0 &&
		    atomic_load(&pgwt_board->relays[i].series) == series)
			return false;
	return journal_series_finished(pgwt_journal_directory_resolved(), series);
}

/*
 * Stores a series: `count` segments in order.  False: something is in the way.
 *
 * A relay that dies between the listing and is_finished may have begun a segment
 * that is not in the list.  Its sessions are then ended with the next pass.
 */
static bool
store_series(const JournalSegment *segments, int count)
{
	uint64 series = segments[0].series;
	bool finished = is_finished(series);
	Position position = series_position(series);

	for (int i = 0; i < count; i++)
	{
		const JournalSegment *segment = &segments[i];
		bool is_last = i + 1 == count;
		StoreResult result = STORE_OK;

		if (series_segment_is_done(series, segment->segment))
			continue;
		if (segment->segment >= position.segment)
			result = store_segment(segment, finished || !is_last, &position);
		if (result == STORE_WAIT)
			return false;
		if (is_last && finished)
			end_sessions(series);
		if (result == STORE_OK && (finished || !is_last))
			series_segment_done(series, segment->segment, is_last && finished);
		FAULT_POINT("writer_between_segments");
	}
	return true;
}

/*
 * Shows how many bytes wait, as far as is known what is stored.
 */
static void
show_waiting(const JournalSegment *segments, int count)
{
	uint64 bytes = 0;

	for (int i = 0; i < count; i++)
	{
		Position position = series_remembered(segments[i].series);
		uint64 stored = sizeof(JournalSegmentHeader);

		if (segments[i].segment < position.segment ||
		    series_segment_is_done(segments[i].series, segments[i].segment))
			continue;
		if (segments[i].segment == position.segment)
			stored = Max(position.offset, stored);
		if (segments[i].size > stored)
			bytes += segments[i].size - stored;
	}
	atomic_store(&pgwt_board->writer.journal_bytes_waiting, bytes);
}

/*
 * Returns the time of the first exchange in a segment that is not stored; 0 for
 * none.
 */
static int64
oldest_in(const JournalSegment *segment)
{
	Position position = series_remembered(segment->series);
	JournalReader *reader;
	JournalRecord record;
	int64 oldest = 0;

	if (segment->segment < position.segment)
		return 0;
	reader = open_segment(segment, &position);
	if (!reader)
		return 0;
	while (oldest == 0 && journal_read(reader, false, &record) == JOURNAL_READ_RECORD)
		oldest = time_of(&record);
	journal_reader_close(reader);
	return oldest;
}

/*
 * Lists the journal into memory that an error frees; -1 where that fails, which
 * is shown.
 */
static int
list_journal(JournalSegment **segments)
{
	const char *directory = pgwt_journal_directory_resolved();
	JournalSegment *listed;
	int count = journal_list(directory, &listed);

	if (count < 0)
	{
		writer_error(WRITER_RUNNING, "could not read journal directory \"%s\": %s", directory,
		             strerror(errno));
		return -1;
	}
	*segments = palloc(sizeof(JournalSegment) * Max(count, 1));
	if (count > 0)
		memcpy(*segments, listed, sizeof(JournalSegment) * count);
	free(listed);
	return count;
}

/*
 * Returns the time of the oldest exchange that is not stored; 0 for none.
 */
static int64
find_oldest(const JournalSegment *segments, int count)
{
	int64 oldest = 0;
	int64 found = 0; /* in the series at hand */

	for (int i = 0; i < count; i++)
	{
		if (i > 0 && segments[i].series != segments[i - 1].series)
			found = 0;
		if (found != 0)
			continue;
		found = oldest_in(&segments[i]);
		if (found != 0 && (oldest == 0 || found < oldest))
			oldest = found;
	}
	return oldest;
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
	atomic_store(&pgwt_board->writer.oldest_waiting_at, find_oldest(segments, count));
}

/*
 * Stores either the series that killed the writer before, or all others.  False:
 * something is in the way.
 */
static bool
store_all(const JournalSegment *segments, int count, uint64 suspect, bool is_suspect)
{
	for (int i = 0; i < count;)
	{
		int n = 1;

		while (i + n < count && segments[i + n].series == segments[i].series)
			n++;
		if ((suspect != 0 && segments[i].series == suspect) == is_suspect &&
		    !store_series(&segments[i], n))
			return false;
		i += n;
	}
	return true;
}

/*
 * Makes a pass over the journal.
 */
PassResult
pass_run(void)
{
	uint64 suspect = blame_series();
	JournalSegment *segments;
	int count = list_journal(&segments);

	if (count < 0)
		return PASS_WAIT;
	show_waiting(segments, count);
	if (!store_all(segments, count, suspect, true) || !store_all(segments, count, suspect, false))
	{
		show_waiting(segments, count);
		return PASS_WAIT;
	}
	atomic_store(&pgwt_board->writer.oldest_waiting_at, 0);
	atomic_store(&pgwt_board->writer.journal_bytes_waiting, 0);
	return series_remove_done() ? PASS_AGAIN : PASS_DONE;
}
