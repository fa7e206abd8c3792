/*
 * series.c
 *	  What the writer knows of each series, and the removal of stored segments.
 *
 * A segment is removed only when the commit that consumed its end is on disk:
 * with synchronous_commit off a crash may undo commits, and the journal is then
 * the only place that has their records.
 *
 * The table has the positions.  They are remembered here too, so that an
 * extension that was dropped and made again does not get the traffic of before.
 */
#include "store/store.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"

/* A segment that is stored, and where the log must be flushed to. */
typedef struct Done
{
	uint64 series;
	uint32 segment;
	XLogRecPtr flushed_at;
	bool is_last; /* of a finished series: its position goes too */
} Done;

static List *done;      /* of Done, in TopMemoryContext */
static List *positions; /* of Position, in TopMemoryContext */

/*
 * Finds the remembered position of a series.
 */
static Position *
find_position(uint64 series)
{
	ListCell *cell;

	foreach (cell, positions)
		if (((Position *) lfirst(cell))->series == series)
			return lfirst(cell);
	return NULL;
}

/*
 * Returns how far a series is stored, as far as this process knows.
 */
Position
series_remembered(uint64 series)
{
	const Position *known = find_position(series);

	if (known)
		return *known;
	return (Position){.series = series};
}

/*
 * Remembers how far a series is stored.
 */
void
series_stored(const Position *position)
{
	Position *known = find_position(position->series);

	if (!known)
	{
		MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);

		known = palloc(sizeof(Position));
		positions = lappend(positions, known);
		MemoryContextSwitchTo(before);
	}
	*known = *position;
}

/*
 * Runs a function on a series in a transaction of its own.
 */
static bool
in_transaction(bool (*function)(uint64 series, Position *position), uint64 series,
               Position *position)
{
	Oid tables[STORE_TABLES];
	bool result;

	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	tables_lock(tables);
	result = function(series, position);
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
	return result;
}

/*
 * Returns how far a series is stored.
 */
Position
series_position(uint64 series)
{
	Position position;

	if (in_transaction(position_load, series, &position))
	{
		series_stored(&position);
		return position;
	}
	return series_remembered(series);
}

/*
 * Makes sure that what was committed before this process began is flushed, so
 * that segments which that consumed may be removed.
 */
void
series_begin(void)
{
	StartTransactionCommand();
	(void) GetTopTransactionId();
	ForceSyncCommit();
	CommitTransactionCommand();
}

/*
 * Finds a stored segment.
 */
static Done *
find_done(uint64 series, uint32 segment)
{
	ListCell *cell;

	foreach (cell, done)
	{
		Done *entry = lfirst(cell);

		if (entry->series == series && entry->segment == segment)
			return entry;
	}
	return NULL;
}

/*
 * Tells whether a segment is stored and waits to be removed.
 */
bool
series_segment_is_done(uint64 series, uint32 segment)
{
	return find_done(series, segment) != NULL;
}

/*
 * Notes that no segment of a series is the last: the one that was thought to be
 * has a successor.
 */
static void
clear_last(uint64 series)
{
	ListCell *cell;

	foreach (cell, done)
		if (((Done *) lfirst(cell))->series == series)
			((Done *) lfirst(cell))->is_last = false;
}

/*
 * Notes a stored segment.
 */
void
series_segment_done(uint64 series, uint32 segment, bool is_last)
{
	Done *entry = find_done(series, segment);

	if (!entry)
	{
		MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);

		entry = palloc0(sizeof(Done));
		entry->series = series;
		entry->segment = segment;
		done = lappend(done, entry);
		MemoryContextSwitchTo(before);
	}
	clear_last(series);
	entry->flushed_at = XactLastCommitEnd;
	entry->is_last = is_last;
}

/*
 * Forgets a series whose files are gone; in_transaction's function.
 */
static bool
forget(uint64 series, Position *position)
{
	(void) position;
	position_forget(series);
	return true;
}

/*
 * Forgets a series whose files are gone.
 */
static void
forget_series(uint64 series)
{
	Position *known = find_position(series);

	in_transaction(forget, series, NULL);
	if (!known)
		return;
	positions = list_delete_ptr(positions, known);
	pfree(known);
}

/*
 * Removes a stored segment.  False: it could not be removed.
 */
static bool
remove_segment(const Done *entry)
{
	const char *directory = pgwt_journal_directory_resolved();

	if (journal_remove_segment(directory, entry->series, entry->segment) == 0)
		return true;
	writer_error(WRITER_RUNNING, "could not remove a segment in directory \"%s\": %s", directory,
	             strerror(errno));
	return false;
}

/*
 * Removes stored segments whose commits are flushed.
 */
bool
series_remove_done(void)
{
	XLogRecPtr flushed = GetFlushRecPtr(NULL);
	ListCell *cell;

	foreach (cell, done)
	{
		Done *entry = lfirst(cell);

		if (entry->flushed_at > flushed || !remove_segment(entry))
			continue;
		done = foreach_delete_current(done, cell);
		if (entry->is_last)
			forget_series(entry->series);
		pfree(entry);
	}
	return done != NIL;
}
