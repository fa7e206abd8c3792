/*
 * partition.c
 *	  The partitions of the exchange table: one a UTC day, made on demand.
 *
 * CREATE TABLE (LIKE) and ATTACH, not PARTITION OF: that takes the strongest lock
 * on the parent.  A partition becomes part of the extension in the transaction
 * that makes it, so pg_dump leaves recorded traffic out.
 */
#include "store/store.h"

#include "catalog/partition.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define PAST_DAYS 366

/*
 * Brings an absurd time to where it can land: the clock of a machine may jump.
 */
int64
partition_clamp(int64 recorded_at)
{
	int64 now = GetCurrentTimestamp();

	if (recorded_at > now + USECS_PER_DAY)
		return now;
	return Max(recorded_at, now - PAST_DAYS * USECS_PER_DAY);
}

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
 * Writes the date of a day into text, with a separator.
 */
static void
put_date(char *text, Size size, int64 day, const char *format)
{
	struct pg_tm tm;
	fsec_t fraction;

	if (timestamp2tm(day * USECS_PER_DAY, NULL, &tm, &fraction, NULL, NULL) != 0)
		elog(ERROR, "day out of range");
	snprintf(text, size, format, tm.tm_year, tm.tm_mon, tm.tm_mday);
}

/*
 * Finds a name for a day's partition.  False: there is a partition already.  A
 * table that has the name and is none was detached: it is left alone.
 */
static bool
choose_name(char *name, int64 day, Oid exchange)
{
	Oid namespace = get_rel_namespace(exchange);
	char base[NAMEDATALEN - 12];

	put_date(base, sizeof(base), day, "exchange_%04d%02d%02d");
	strlcpy(name, base, NAMEDATALEN);
	for (int i = 1;; i++)
	{
		Oid found = get_relname_relid(name, namespace);

		if (!OidIsValid(found))
			return true;
		if (get_rel_relispartition(found) && get_partition_parent(found, false) == exchange)
			return false;
		snprintf(name, NAMEDATALEN, "%s_%d", base, i);
	}
}

/*
 * Makes the partition that a time lands in, unless it is there.
 */
void
partition_ensure(int64 recorded_at, Oid exchange)
{
	int64 day = recorded_at / USECS_PER_DAY - (recorded_at % USECS_PER_DAY < 0);
	char name[NAMEDATALEN];
	char from[32];
	char to[32];

	if (!choose_name(name, day, exchange))
		return;
	put_date(from, sizeof(from), day, "%04d-%02d-%02d");
	put_date(to, sizeof(to), day + 1, "%04d-%02d-%02d");
	run(psprintf("CREATE TABLE pgwire_trace.%s (LIKE pgwire_trace.exchange INCLUDING ALL)", name));
	run(psprintf("REVOKE ALL ON pgwire_trace.%s FROM PUBLIC", name));
	run(psprintf("ALTER TABLE pgwire_trace.exchange ATTACH PARTITION pgwire_trace.%s "
	             "FOR VALUES FROM ('%s 00:00:00+00') TO ('%s 00:00:00+00')",
	             name, from, to));
	run(psprintf("ALTER EXTENSION pgwire_trace ADD TABLE pgwire_trace.%s", name));
}
