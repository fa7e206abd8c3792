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
 *		partition_list		all of them
 *		partition_drop		drops one
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
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define TABLE_NAME "stored_exchange_%d"

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
Oid
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
