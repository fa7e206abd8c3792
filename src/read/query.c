/*
 * query.c
 *	  Queries that are planned once; see query.h.
 */
#include "read/query.h"

#include "catalog/pg_type.h"
#include "nodes/parsenodes.h"

/*
 * Returns a query's plan; see query.h.  The server makes it anew when a partition came or
 * went.  One for any value will do: what is asked for is a stretch of an index.
 */
SPIPlanPtr
read_query_plan(ReadQuery *query)
{
	Oid types[2] = {INT8OID, INT8OID};

	if (!query->plan)
	{
		SPIPlanPtr plan = SPI_prepare_cursor(query->text, query->arguments, types,
		                                     CURSOR_OPT_FAST_PLAN | CURSOR_OPT_GENERIC_PLAN);

		if (!plan || SPI_keepplan(plan) != 0)
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
			                errmsg("could not prepare a query of the record: %s",
			                       SPI_result_code_string(SPI_result))));
		query->plan = plan;
	}
	return query->plan;
}
