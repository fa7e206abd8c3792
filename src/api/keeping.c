/*
 * keeping.c
 *	  pause(), resume(), and what truncate_all() tells the relays.
 *
 * They set what all relays look at: a flag and a number on the board.
 */
#include "server/server.h"

#include "fmgr.h"

PG_FUNCTION_INFO_V1(pgwire_trace_pause);
PG_FUNCTION_INFO_V1(pgwire_trace_resume);
PG_FUNCTION_INFO_V1(pgwire_trace_forget_texts);

/*
 * Sets whether recording is paused, and has the writer show it.
 */
static void
set_paused(uint32 is_paused)
{
	pgwt_require_preloaded();
	atomic_store(&pgwt_board->is_paused, is_paused);
	pgwt_wake_writer();
}

/*
 * pause()
 */
Datum
pgwire_trace_pause(PG_FUNCTION_ARGS)
{
	set_paused(1);
	PG_RETURN_VOID();
}

/*
 * resume()
 */
Datum
pgwire_trace_resume(PG_FUNCTION_ARGS)
{
	set_paused(0);
	PG_RETURN_VOID();
}

/*
 * forget_texts()
 */
Datum
pgwire_trace_forget_texts(PG_FUNCTION_ARGS)
{
	if (pgwt_board)
		atomic_fetch_add(&pgwt_board->record_epoch, 1);
	PG_RETURN_VOID();
}
