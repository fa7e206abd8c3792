/*
 * ids.c
 *	  Session ids that relays can take.
 *
 * The file of the ids is in the journal's directory, which base backups leave out
 * and pg_rewind empties.  Where it is missing it is made again, above all ids that
 * the table or the journal has seen and those that running relays may have
 * reserved.
 */
#include "store/store.h"

#include <errno.h>

#include "access/xlog.h"
#include "executor/spi.h"

#define COUNTER_BITS 48
#define COUNTER_MASK ((UINT64CONST(1) << COUNTER_BITS) - 1)

/*
 * Returns the highest counter of this node in the table; 0 for none.
 */
static uint64
highest_in_table(void)
{
	char *query = psprintf("SELECT max(session_id) FROM pgwire_trace.session WHERE session_id "
	                       "BETWEEN " INT64_FORMAT " AND " INT64_FORMAT,
	                       (int64) pgwt_node_id << COUNTER_BITS,
	                       (int64) (((uint64) pgwt_node_id << COUNTER_BITS) | COUNTER_MASK));
	Oid tables[STORE_TABLES];
	Datum highest;
	bool is_null;

	if (!RecoveryInProgress())
		tables_lock(tables);
	if (SPI_execute(query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look for the highest session id");
	highest = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
	return is_null ? 0 : (uint64) DatumGetInt64(highest) & COUNTER_MASK;
}

/*
 * Returns the highest counter of this node in a segment of the journal.
 */
static uint64
highest_in_segment(const char *directory, const JournalSegment *segment)
{
	JournalReader *reader = journal_reader_open(directory, segment->series, segment->segment, 0);
	JournalRecord record;
	uint64 highest = 0;

	if (!reader)
		return 0;
	while (journal_read(reader, true, &record) == JOURNAL_READ_RECORD)
	{
		RecordHeader header;

		if (record.length < sizeof(header))
			continue;
		memcpy(&header, record.payload, sizeof(header));
		if (header.session_id >> COUNTER_BITS == (uint64) pgwt_node_id)
			highest = Max(highest, header.session_id & COUNTER_MASK);
	}
	journal_reader_close(reader);
	return highest;
}

/*
 * Returns the highest counter of this node in the journal; 0 for none.
 */
static uint64
highest_in_journal(const char *directory)
{
	JournalSegment *segments;
	int count = journal_list(directory, &segments);
	uint64 highest = 0;

	for (int i = 0; i < count; i++)
		highest = Max(highest, highest_in_segment(directory, &segments[i]));
	free(segments);
	return highest;
}

/*
 * Makes the file of the ids, or says why not.
 */
static void
seed(const char *directory, uint64 highest)
{
	uint64 reserved = (uint64) JOURNAL_ID_BLOCK * pgwt_board->relay_count;

	if (journal_seed_ids(directory, (uint32) pgwt_node_id, highest > 0 ? highest + reserved : 0) <
	    0)
		writer_error(WRITER_RUNNING,
		             "could not write the session ids in directory "
		             "\"%s\": %s",
		             directory, strerror(errno));
	else if (highest > 0)
		ereport(LOG, (errcode(ERRCODE_UNDEFINED_FILE),
		              errmsg("pgwire_trace writer: the file of session ids in directory \"%s\" "
		                     "was missing beside recorded sessions",
		                     directory),
		              errdetail("Ids go on above " UINT64_FORMAT ".", highest + reserved)));
}

/*
 * Makes sure that relays can have session ids.  A standby that would give ids of
 * its primary must not record.
 */
void
ids_ensure(bool has_tables)
{
	const char *directory = pgwt_journal_directory_resolved();
	uint64 highest;

	if (journal_reserve_ids(directory, (uint32) pgwt_node_id, 0) != 0)
		return;
	highest = has_tables ? highest_in_table() : 0;
	if (RecoveryInProgress() && highest > 0)
	{
		writer_error(WRITER_STANDBY,
		             "sessions of this standby are not recorded: node_id %d is another "
		             "server's: set \"pgwire_trace.node_id\" to a number of its own",
		             pgwt_node_id);
		return;
	}
	highest = Max(highest, highest_in_journal(directory));
	seed(directory, highest);
}
