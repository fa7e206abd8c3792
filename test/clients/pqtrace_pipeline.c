/*
 * pqtrace_pipeline.c
 *	  Programs of libpq's pipeline mode.
 */
#include "pqtrace.h"

/*
 * Queues a statement with a parameter.
 */
static void
queue(PGconn *conn, const char *query, const char *value)
{
	const char *const values[1] = {value};

	if (!PQsendQueryParams(conn, query, value ? 1 : 0, NULL, values, NULL, NULL, 0))
		give_up(conn, "could not queue a query");
}

/*
 * Reads the results of a pipeline's queries up to its so many synchronisations.
 */
static void
read_syncs(PGconn *conn, int syncs)
{
	while (syncs > 0)
	{
		PGresult *result = PQgetResult(conn);

		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
			syncs--;
		else if (PQstatus(conn) != CONNECTION_OK)
			give_up(conn, "the connection is gone");
		PQclear(result);
	}
}

/*
 * Runs one query in pipeline mode, which is in lock-step all the same.
 */
static void
pipeline_one(PGconn *conn)
{
	PQenterPipelineMode(conn);
	queue(conn, "select $1::text", "1");
	PQpipelineSync(conn);
	read_syncs(conn, 1);
	PQexitPipelineMode(conn);
}

/*
 * Runs several pipelines at once, of statements of several kinds.
 */
static void
pipeline_many(PGconn *conn)
{
	const char *const values[1] = {"5"};

	PQenterPipelineMode(conn);
	for (int i = 0; i < 3; i++)
	{
		queue(conn, "select $1::int + 1", "41");
		queue(conn, "select g from generate_series(1, $1::int) g", "3");
		PQpipelineSync(conn);
	}
	PQsendPrepare(conn, "piped", "select $1::int4 * 2", 1, NULL);
	PQsendQueryPrepared(conn, "piped", 1, values, NULL, NULL, 0);
	PQsendDescribePrepared(conn, "piped");
	PQpipelineSync(conn);
	PQpipelineSync(conn);
	read_syncs(conn, 5);
	PQexitPipelineMode(conn);
	run_query(conn, "select 'after the pipeline'");
}

/*
 * Aborts pipelines: by an error at Parse, at Execute, in a transaction.
 */
static void
pipeline_abort(PGconn *conn)
{
	run_query(conn, "create temp table a (n int)");
	PQenterPipelineMode(conn);
	queue(conn, "insert into a values ($1::int)", "1");
	queue(conn, "select no_such_function($1)", "1");
	queue(conn, "insert into a values ($1::int)", "2");
	PQpipelineSync(conn);
	queue(conn, "insert into a values ($1::int)", "3");
	queue(conn, "select 1 / $1::int", "0");
	queue(conn, "select 'skipped'", NULL);
	PQpipelineSync(conn);
	queue(conn, "begin", NULL);
	queue(conn, "select 1 / $1::int", "0");
	PQpipelineSync(conn);
	queue(conn, "select 'not in a failed transaction'", NULL);
	PQpipelineSync(conn);
	queue(conn, "rollback", NULL);
	PQpipelineSync(conn);
	read_syncs(conn, 5);
	PQexitPipelineMode(conn);
	run_query(conn, "select n from a");
}

/*
 * Asks for answers by Flush, without Sync, until the end.
 */
static void
pipeline_flush(PGconn *conn)
{
	PQenterPipelineMode(conn);
	for (int i = 0; i < 3; i++)
	{
		queue(conn, "select $1::text", "flushed");
		PQsendFlushRequest(conn);
		PQflush(conn);
		drain(conn);
	}
	PQpipelineSync(conn);
	read_syncs(conn, 1);
	PQexitPipelineMode(conn);
}

/*
 * Reads a pipeline's rows one by one.
 */
static void
pipeline_single_row(PGconn *conn)
{
	PQenterPipelineMode(conn);
	queue(conn, "select g from generate_series(1, $1::int) g", "3");
	queue(conn, "select 1 / (2 - g) from generate_series(1, $1::int) g", "3");
	PQpipelineSync(conn);
	PQsetSingleRowMode(conn);
	drain(conn);
	PQsetSingleRowMode(conn);
	drain(conn);
	read_syncs(conn, 1);
	PQexitPipelineMode(conn);
}

const Program pipeline_programs[] = {
    {"pipeline_one", pipeline_one},
    {"pipeline_many", pipeline_many},
    {"pipeline_abort", pipeline_abort},
    {"pipeline_flush", pipeline_flush},
    {"pipeline_single_row", pipeline_single_row},
    {NULL, NULL},
};
