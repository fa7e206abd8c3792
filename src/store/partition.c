/*
 * partition.c
 *	  The tables that hold the exchanges, a stretch of time each.
 *
 * They inherit from stored_exchange.  Rows go into the last one until it is large
 * or old enough; then it is ended, and the next row makes another.  So each is of
 * the size that is given back when it is dropped, whatever the traffic was like and
 * whatever the clock said, and dropping one locks nothing else.  (Declarative
 * partitions have bounds that are fixed before the first row comes: too large in a
 * rush, too many in a quiet week; and dropping one locks them all.)
 *
 * Each becomes part of the extension in the transaction that makes it, so pg_dump
 * leaves recorded traffic out.
 *
 *		partition_current	the one that takes rows, made if there is none
 *		partition_end		ends it
 *		partition_drop		drops one
 *		partition_list		all of them, and what the record takes
 *		partition_oldest	when the oldest exchange was recorded
 */
#include "store/store.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define TABLE_NAME "stored_exchange_%d"
#define SQLSTATE "pgwire_trace.fact_text(facts, 'sqlstate')"
#define RECORDED_AT "pgwire_trace.fact_time(started_at, facts, 'duration')"

/*
 * Runs a command of ours.
 */
static void
run(const char *command)
{
	if (SPI_execute(command, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", command);
}

/*
 * Runs a query of ours that gives a number; false for NULL or no row.
 */
static bool
look_up(const char *query, int *number)
{
	bool is_null = true;
	Datum value = (Datum) 0;

	if (SPI_execute(query, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", query);
	if (SPI_processed == 1)
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
	*number = is_null ? 0 : DatumGetInt32(value);
	return !is_null;
}

/*
 * Runs a command of ours on a partition's number and a time.
 */
static void
run_with(const char *command, int number, TimestampTz time)
{
	Oid types[2] = {INT4OID, TIMESTAMPTZOID};
	Datum values[2] = {Int32GetDatum(number), TimestampTzGetDatum(time)};

	if (SPI_execute_with_args(command, 2, types, values, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", command);
}

/*
 * Returns the table of a partition; InvalidOid where it is not the extension's.
 */
static Oid
partition_table(int number)
{
	Oid extension = get_extension_oid("pgwire_trace", true);
	Oid namespace = get_namespace_oid("pgwire_trace", true);
	char name[NAMEDATALEN];
	Oid table;

	snprintf(name, sizeof(name), TABLE_NAME, number);
	table = OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;
	if (OidIsValid(table) &&
	    (getExtensionOfObject(RelationRelationId, table) != extension || !has_superclass(table)))
		return InvalidOid; /* nor one that was taken away from the others */
	return table;
}

/*
 * Finds the partition that takes rows; false for none.
 */
static bool
find_current(int *number)
{
	return look_up("SELECT max(partition_no) FROM pgwire_trace.partition WHERE ended_at IS NULL",
	               number) &&
	       OidIsValid(partition_table(*number));
}

/*
 * Explains a partition's columns as those that they come from.
 */
static void
copy_comments(const char *name)
{
	uint64 count;
	char **commands;

	if (SPI_execute(
	        psprintf("SELECT pg_catalog.format('COMMENT ON COLUMN pgwire_trace.%s.%%I IS %%L', "
	                 "attname, pg_catalog.col_description(attrelid, attnum)) "
	                 "FROM pg_catalog.pg_attribute WHERE attrelid OPERATOR(pg_catalog.=) "
	                 "'pgwire_trace.stored_exchange'::pg_catalog.regclass "
	                 "AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped",
	                 name),
	        false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"pg_attribute\"");
	count = SPI_processed;
	commands = palloc(sizeof(char *) * count);
	for (uint64 i = 0; i < count; i++)
		commands[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
	for (uint64 i = 0; i < count; i++)
		run(commands[i]);
	run(psprintf("COMMENT ON TABLE pgwire_trace.%s IS 'A stretch of the exchanges; view exchange "
	             "shows them all.'",
	             name));
}

/*
 * Makes a partition.
 */
static void
create(int number, TimestampTz now)
{
	char name[NAMEDATALEN];

	snprintf(name, sizeof(name), TABLE_NAME, number);
	run(psprintf("CREATE TABLE pgwire_trace.%s () INHERITS (pgwire_trace.stored_exchange) "
	             "WITH (autovacuum_vacuum_insert_threshold = -1)",
	             name));
	run(psprintf("REVOKE ALL ON pgwire_trace.%s FROM PUBLIC", name));
	copy_comments(name);
	run(psprintf("CREATE INDEX ON pgwire_trace.%s (session_id, exchange_no)", name));
	run(psprintf("ALTER EXTENSION pgwire_trace ADD TABLE pgwire_trace.%s", name));
	run_with("INSERT INTO pgwire_trace.partition (partition_no, begun_at) VALUES ($1, $2)", number,
	         now);
}

/*
 * Returns the table that takes rows, makes it where there is none.
 */
Oid
partition_current(TimestampTz now)
{
	int number;

	if (!find_current(&number))
	{
		/* nobody else may be about it */
		run("LOCK TABLE pgwire_trace.partition IN SHARE ROW EXCLUSIVE MODE");
		if (!find_current(&number))
		{
			(void) look_up("SELECT max(partition_no) FROM pgwire_trace.partition", &number);
			do
				number++;
			while (OidIsValid(get_relname_relid(psprintf(TABLE_NAME, number),
			                                    get_namespace_oid("pgwire_trace", false))));
			create(number, now);
			CommandCounterIncrement();
		}
	}
	return partition_table(number);
}

/*
 * Ends a partition: no rows go into it any more, so it gets the indexes that
 * searches need and that would cost each row too much before.
 */
void
partition_end(int number, TimestampTz now)
{
	char *table = psprintf("pgwire_trace." TABLE_NAME, number);

	run_with(psprintf("UPDATE pgwire_trace.partition SET ended_at = $2, (oldest, newest) = "
	                  "(SELECT coalesce(min(at), $2), coalesce(max(at), $2) FROM "
	                  "(SELECT " RECORDED_AT " AS at FROM %s) times) WHERE partition_no = $1",
	                  table),
	         number, now);
	run(psprintf("CREATE INDEX ON %s (started_at)", table));
	run(psprintf("CREATE INDEX ON %s (query_hash)", table));
	run(psprintf("CREATE INDEX ON %s (started_at) WHERE " SQLSTATE " IS NOT NULL", table));
	/* with statistics of the expressions, by which the planner knows how few errors are */
	run(psprintf("CREATE INDEX ON %s USING brin ((" RECORDED_AT "), (" SQLSTATE "))", table));
	run(psprintf("ANALYZE %s", table));
}

/*
 * Drops a partition, or what is left of one that was taken away.
 */
void
partition_drop(int number)
{
	Oid table = partition_table(number);

	if (OidIsValid(table))
	{
		run(psprintf("ALTER EXTENSION pgwire_trace DROP TABLE pgwire_trace." TABLE_NAME, number));
		run(psprintf("DROP TABLE pgwire_trace." TABLE_NAME, number));
	}
	run(psprintf("DELETE FROM pgwire_trace.partition WHERE partition_no = %d", number));
}

/*
 * Returns the size of a table with all that belongs to it.
 */
static int64
table_bytes(Oid table)
{
	Datum bytes = DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(table));

	return DatumGetInt64(bytes);
}

/*
 * Reads a time of the row that SPI has; the other one where it is NULL.
 */
static TimestampTz
time_column(uint64 row, int column, TimestampTz otherwise)
{
	bool is_null;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);

	return is_null ? otherwise : DatumGetTimestampTz(value);
}

/*
 * Lists the partitions, oldest first, and adds up what the record takes.  Those
 * that lost their tables are forgotten.
 */
void
partition_list(PartitionList *list)
{
	static const char *const others[] = {"session", "query_text", "quarantine"};
	Oid namespace = get_namespace_oid("pgwire_trace", false);
	bool is_null;

	memset(list, 0, sizeof(*list));
	if (SPI_execute("SELECT partition_no, begun_at, ended_at, oldest, newest "
	                "FROM pgwire_trace.partition ORDER BY partition_no",
	                false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"partition\"");
	list->partitions = palloc0(sizeof(Partition) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Partition *partition = &list->partitions[list->count];

		partition->number =
		    DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
		partition->table = partition_table(partition->number);
		if (!OidIsValid(partition->table))
			continue;
		partition->begun_at = time_column(i, 2, 0);
		partition->is_ended = time_column(i, 3, 0) != 0;
		partition->oldest = time_column(i, 4, partition->begun_at);
		/* a row from a clock that was ahead does not keep the others */
		partition->newest = Min(time_column(i, 5, 0), time_column(i, 3, 0));
		partition->bytes = table_bytes(partition->table);
		list->bytes += partition->bytes;
		list->count++;
	}
	for (size_t i = 0; i < lengthof(others); i++)
		list->bytes += table_bytes(get_relname_relid(others[i], namespace));
}

/*
 * Returns when the oldest exchange of all was recorded.
 */
TimestampTz
partition_oldest(const PartitionList *list, TimestampTz now)
{
	TimestampTz oldest = now;

	for (int i = 0; i < list->count; i++)
	{
		const Partition *partition = &list->partitions[i];
		char *query;

		oldest = Min(oldest, partition->oldest);
		if (partition->is_ended)
			continue;
		query = psprintf("SELECT min(" RECORDED_AT ") FROM pgwire_trace." TABLE_NAME,
		                 partition->number);
		if (SPI_execute(query, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
			elog(ERROR, "could not run \"%s\"", query);
		oldest = Min(oldest, time_column(0, 1, oldest));
	}
	return oldest;
}
