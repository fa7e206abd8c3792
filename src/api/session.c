/*
 * session.c
 *	  current_session_id(): which recorded session this connection is.
 */
#include "server/server.h"

#include "fmgr.h"

PG_FUNCTION_INFO_V1(pgwire_trace_current_session_id);

/*
 * Returns the session id of this connection; NULL when it did not come through
 * the side port, or is not recorded.
 */
Datum
pgwire_trace_current_session_id(PG_FUNCTION_ARGS)
{
	uint64 session_id = pgwt_my_slot ? atomic_load(&pgwt_my_slot->session_id) : 0;

	if (session_id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) session_id);
}
