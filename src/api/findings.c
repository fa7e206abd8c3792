/*
 * findings.c
 *	  session_findings(): what a session's client did in vain, a row a finding.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "read/findings.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pgwire_trace_session_findings);

/*
 * Adds the row of a finding.
 */
static void
put_finding(void *arg, const ReadFinding *finding)
{
	ReturnSetInfo *result = arg;
	int count = (int) Min(finding->evidence->count, FINDING_EXCHANGES);
	Datum *exchanges = palloc(sizeof(Datum) * count);
	Datum values[5];
	bool nulls[5] = {false};

	for (int i = 0; i < count; i++)
		exchanges[i] = Int64GetDatum(finding->evidence->exchanges[i]);
	values[0] = CStringGetTextDatum(finding->name);
	values[1] = PointerGetDatum(construct_array(exchanges, count, INT8OID, sizeof(int64),
	                                            FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[2] = Int64GetDatum(finding->evidence->count);
	nulls[3] = finding->query == NULL;
	if (finding->query)
		values[3] = CStringGetTextDatum(finding->query);
	values[4] = CStringGetTextDatum(finding->detail);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * session_findings(session_id)
 */
Datum
pgwire_trace_session_findings(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	read_findings(PG_GETARG_INT64(0), put_finding, fcinfo->resultinfo);
	return (Datum) 0;
}
