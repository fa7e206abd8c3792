/*
 * blame.c
 *	  Which record a writer died of.
 *
 * A writer that dies of a signal restarts the whole server, so it must not die of
 * the same record twice.  What is in hand stands on the board, which outlives the
 * server's shared memory; the next writer reads there what the last one died of:
 *
 *		a fatal signal, in our own code		the record in hand is to blame
 *		a fatal signal, anywhere else		one of the batch is: they are tried alone
 *		no word (SIGKILL)					perhaps nobody's fault; the same batch
 *											is tried again, the second time alone
 *		again, of a record tried alone		it is to blame
 *
 * An orderly exit, and a server that goes down for another process's crash, leave
 * nothing in hand.
 */
#include "store/store.h"

#include <signal.h>

#define UNKNOWN_RECORD UINT64_MAX
#define DEATHS_MAX 2

/* What the writer before has left; first is 0 for nothing. */
static struct
{
	uint64 series;
	uint64 first;
	uint64 last;
	uint64 culprit; /* UNKNOWN_RECORD: one of them */
	uint32 deaths;
} suspects;

/*
 * Takes over what a writer that died has left on the board.
 */
void
blame_begin(void)
{
	BoardWriter *board = &pgwt_board->writer;

	suspects.first = atomic_load(&board->batch_first);
	suspects.last = atomic_load(&board->batch_last);
	suspects.series = atomic_load(&board->batch_series);
	suspects.culprit = atomic_exchange(&board->crashed_on, 0);
	if (suspects.first == 0)
		return;
	suspects.deaths = atomic_fetch_add(&board->batch_deaths, 1) + 1;
	ereport(LOG, (errcode(ERRCODE_INTERNAL_ERROR),
	              errmsg("pgwire_trace writer: the writer before this one died while it stored "
	                     "records " UINT64_FORMAT " to " UINT64_FORMAT " of series %016" PRIx64,
	                     suspects.first, suspects.last, suspects.series)));
}

/*
 * Returns the series that the writer before died of; 0 for none.
 */
uint64
blame_series(void)
{
	return suspects.first != 0 ? suspects.series : 0;
}

/*
 * Notes on the board which records are in hand.
 */
void
blame_note(const BatchRecord *records, int count)
{
	BoardWriter *board = &pgwt_board->writer;

	atomic_store(&board->batch_first, 0);
	atomic_store(&board->current, 0);
	atomic_store(&board->batch_series, records[0].after.series);
	atomic_store(&board->batch_last, records[count - 1].sequence);
	atomic_store(&board->batch_first, records[0].sequence);
}

/*
 * Notes the record whose bytes our own code works on now.
 */
void
blame_current(uint64 sequence)
{
	atomic_store_explicit(&pgwt_board->writer.current, sequence, memory_order_relaxed);
}

/*
 * Notes that nothing is in hand.
 */
void
blame_clear(void)
{
	atomic_store(&pgwt_board->writer.batch_first, 0);
	atomic_store(&pgwt_board->writer.current, 0);
}

/*
 * Signal handler: a fatal signal.  Says which record was in hand and dies of it.
 */
void
blame_on_crash(int signal_number)
{
	uint64 current = atomic_load(&pgwt_board->writer.current);

	atomic_store(&pgwt_board->writer.crashed_on, current ? current : UNKNOWN_RECORD);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/*
 * Finds out whether a batch holds what the writer before died of; *culprit is
 * the record to blame, NULL where the records should be tried alone.
 */
bool
blame_suspects(const Batch *batch, const BatchRecord **culprit)
{
	const BatchRecord *records = batch->records;
	uint64 blamed = suspects.culprit;

	*culprit = NULL;
	if (suspects.first == 0 || records[0].after.series != suspects.series)
		return false;
	if (records[0].sequence > suspects.last)
	{
		suspects.first = 0; /* stored meanwhile: it died behind the commit */
		return false;
	}
	/* tried alone already */
	if (suspects.first == suspects.last && (blamed != 0 || suspects.deaths >= DEATHS_MAX))
		blamed = suspects.first;
	for (int i = 0; i < batch->count && blamed != 0 && blamed != UNKNOWN_RECORD; i++)
		if (records[i].sequence == blamed)
			*culprit = &records[i];
	return *culprit || blamed != 0 || suspects.deaths >= DEATHS_MAX ||
	       suspects.first == suspects.last;
}

/*
 * Notes that the records up to a sequence number are stored, or in quarantine.
 */
void
blame_acquit(uint64 series, uint64 sequence)
{
	blame_clear();
	atomic_store(&pgwt_board->writer.batch_deaths, 0);
	if (series == suspects.series && sequence >= suspects.last)
		suspects.first = 0;
}
