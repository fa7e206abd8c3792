/*
 * init.c
 *	  _PG_init: settings, the board, the hooks, the supervisor.
 *
 * Loaded in any other way than by shared_preload_libraries the library offers
 * its SQL functions and nothing else; CREATE EXTENSION says what to do then.
 */
#include "server/server.h"

#include <sys/mman.h>

#include "fmgr.h"
#include "journal/clock.h"
#include "miscadmin.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

Board *pgwt_board = NULL;

PGDLLEXPORT void _PG_init(void);

/*
 * Makes the board: shared by all processes forked from here on, and, since it is
 * not the server's shared memory, kept by relays that have left that.
 */
static Board *
make_board(void)
{
	uint32 slots = (uint32) pgwt_max_sessions * 2;
	Board *board =
	    mmap(NULL, BOARD_SIZE(slots), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (board == MAP_FAILED)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY),
		                errmsg("could not map %zu bytes of memory for pgwire_trace: %m",
		                       BOARD_SIZE(slots)),
		                errhint("Reduce \"pgwire_trace.max_sessions\".")));
	board->slot_count = slots;
	board->relay_count = (uint32) pgwt_relay_processes;
	return board;
}

/*
 * Starts up, in the postmaster alone: neither in a single-user server, nor in
 * those that pg_upgrade runs, which would start workers like any other.
 */
void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	settings_define();
	if (IsBinaryUpgrade || !IsPostmasterEnvironment)
		return;
	pgwt_board = make_board();
	auth_install();
	utility_install();
	query_ids_install();
	supervisor_register();
}

/*
 * Raises 55000 where the library was not preloaded.
 */
void
pgwt_require_preloaded(void)
{
	if (pgwt_board)
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("pgwire_trace must be loaded via \"shared_preload_libraries\""),
	                errhint("Add pgwire_trace to \"shared_preload_libraries\" in "
	                        "postgresql.conf and restart the server.")));
}

/*
 * Returns the time as the board counts it, which is as TimestampTz does.
 */
int64
pgwt_now(void)
{
	return clock_wall();
}
