/*
 * position.c
 *	  How far each series of the journal is stored: rows of journal_position,
 *	  written in the transaction that stores the records.
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

/*
 * Runs a command with bigint parameters, prepared once.
 */
static void
run(SPIPlanPtr *plan, const char *command, int count, const int64 *values)
{
	Oid types[4] = {INT8OID, INT8OID, INT8OID, INT8OID};
	Datum datums[4];

	if (!*plan)
	{
		*plan = SPI_prepare(command, count, types);
		if (!*plan || SPI_keepplan(*plan) != 0)
			elog(ERROR, "could not prepare \"%s\"", command);
	}
	for (int i = 0; i < count; i++)
		datums[i] = Int64GetDatum(values[i]);
	if (SPI_execute_plan(*plan, datums, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", command);
}

/*
 * Reads a column of the first row of the result.
 */
static int64
result_column(int column)
{
	bool is_null;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);

	return is_null ? 0 : DatumGetInt64(value);
}

/*
 * Loads the position of a series.  False: nothing of it is stored.
 */
bool
position_load(uint64 series, Position *position)
{
	static SPIPlanPtr plan;
	int64 key = (int64) series;

	memset(position, 0, sizeof(*position));
	position->series = series;
	run(&plan,
	    "SELECT segment::bigint, next_offset, next_sequence FROM pgwire_trace.journal_position "
	    "WHERE series = $1",
	    1, &key);
	if (SPI_processed == 0)
		return false;
	position->segment = (uint32) result_column(1);
	position->offset = (uint64) result_column(2);
	position->next_sequence = (uint64) result_column(3);
	return true;
}

/*
 * Saves the position of a series.
 */
void
position_save(const Position *position)
{
	static SPIPlanPtr plan;
	int64 values[4] = {(int64) position->series, position->segment, (int64) position->offset,
	                   (int64) position->next_sequence};

	run(&plan,
	    "INSERT INTO pgwire_trace.journal_position (series, segment, next_offset, next_sequence) "
	    "VALUES ($1, $2::integer, $3, $4) ON CONFLICT (series) DO UPDATE SET segment = "
	    "excluded.segment, next_offset = excluded.next_offset, next_sequence = "
	    "excluded.next_sequence",
	    4, values);
}

/*
 * Forgets a series whose files are gone.
 */
void
position_forget(uint64 series)
{
	static SPIPlanPtr plan;
	int64 key = (int64) series;

	run(&plan, "DELETE FROM pgwire_trace.journal_position WHERE series = $1", 1, &key);
}
