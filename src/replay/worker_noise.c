/*
 * worker_noise.c
 *	  Columns that a plan leaves out of the comparison, as replay_noise has them.
 *
 * A rule goes for a normalised query.  All texts that it stands for are looked up at
 * the begin, so that an exchange finds its rules by the hash of its own text.
 */
#include "replay/worker_planner.h"

#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "catalog/pg_type.h"

static const char rules_sql[] =
    "SELECT t.query_hash, n.columns FROM (SELECT normalised_hash,"
    "  pg_catalog.array_agg(column_name ORDER BY column_name) AS columns"
    "  FROM pgwire_trace.replay_noise GROUP BY normalised_hash) n"
    " JOIN pgwire_trace.query_text t"
    " ON coalesce(t.normalised_hash, t.query_hash) = n.normalised_hash";

/* What is left out for a text. */
typedef struct NoiseRule
{
	int64 query_hash; /* key */
	uint64 at;        /* in the plan's bytes, plus 1 */
	uint32 len;
} NoiseRule;

/*
 * Writes names into the plan: each ended by a zero byte, the last by another.
 */
static void
write_names(Planner *planner, NoiseRule *rule, ArrayType *names)
{
	StringInfoData bytes;
	Datum *values;
	int count;

	initStringInfo(&bytes);
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		char *name = TextDatumGetCString(values[i]);

		appendBinaryStringInfo(&bytes, name, (int) strlen(name) + 1);
	}
	appendStringInfoChar(&bytes, '\0');
	rule->len = (uint32) bytes.len;
	if (planner->writer &&
	    !plan_add_bytes(planner->writer, bytes.data, (Size) bytes.len, &rule->at))
		planner_cannot_write(planner);
	rule->at++;
	pfree(bytes.data);
}

/*
 * Tells whether who plans may read the rules: a dry run goes without, the worker may.
 */
static bool
may_read_rules(void)
{
	bool is_null;

	if (SPI_execute("SELECT pg_catalog.has_table_privilege('pgwire_trace.replay_noise', 'SELECT')"
	                " AND pg_catalog.has_table_privilege('pgwire_trace.query_text', 'SELECT')",
	                true, 1) != SPI_OK_SELECT ||
	    SPI_processed != 1)
		elog(ERROR, "SPI_execute failed");
	return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

/*
 * Reads the rules; see worker_planner.h.
 */
void
planner_noise_begin(Planner *planner)
{
	HASHCTL control = {
	    .keysize = sizeof(int64), .entrysize = sizeof(NoiseRule), .hcxt = planner->result};
	SPITupleTable *fetched;
	uint64 count;

	if (planner->request->settings.ignores_noise_rules || planner->request->settings.compare < 4 ||
	    !may_read_rules())
		return;
	if (SPI_execute(rules_sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed");
	fetched = SPI_tuptable;
	count = SPI_processed;
	if (count > 0)
		planner->noise =
		    hash_create("replay noise", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (uint64 i = 0; i < count; i++)
	{
		bool is_null;
		int64 hash = DatumGetInt64(SPI_getbinval(fetched->vals[i], fetched->tupdesc, 1, &is_null));
		NoiseRule *rule = hash_search(planner->noise, &hash, HASH_ENTER, NULL);

		write_names(
		    planner, rule,
		    DatumGetArrayTypeP(SPI_getbinval(fetched->vals[i], fetched->tupdesc, 2, &is_null)));
	}
	SPI_freetuptable(fetched);
}

/*
 * Gives an exchange the rules for its text; see worker_planner.h.
 */
void
planner_noise_take(Planner *planner, PlanExchange *exchange, int64 query_hash)
{
	const NoiseRule *rule =
	    planner->noise ? hash_search(planner->noise, &query_hash, HASH_FIND, NULL) : NULL;

	if (!rule)
		return;
	exchange->noise_at = rule->at;
	exchange->noise_len = rule->len;
	planner->summary->noisy++;
}
