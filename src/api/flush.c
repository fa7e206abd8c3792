/*
 * flush.c
 *	  flush(): waits until everything that clients have had an answer to is stored.
 *
 * A call takes a number, the next flush_requested.  Each relay puts that number
 * into its flush_acked at the end of a loop turn, when all that it has forwarded
 * before is written to the journal; the writer puts it into its own after a pass
 * that began when all relays had acknowledged it.  So the call waits twice, and
 * any number of calls wait at the same time.
 */
#include "server/server.h"

#include <signal.h>

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "common/int.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "api/status.h"

PG_FUNCTION_INFO_V1(pgwire_trace_flush);

#define STEP_MS 5
#define STEP_MAX_MS 20
#define WAKE_US INT64CONST(200000)      /* a writer that was restarted meanwhile hears again */
#define PATIENCE_US INT64CONST(3000000) /* for a writer that can't store to find out otherwise */

/*
 * Raises an error where nothing will ever be stored for this caller.
 */
static void
require_recording_here(void)
{
	const char *here = get_database_name(MyDatabaseId);

	pgwt_require_preloaded();
	if (RecoveryInProgress())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("recorded exchanges cannot be stored during recovery"),
		                errhint("They are stored once this server is promoted.")));
	if (here && strcmp(here, pgwt_database) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("exchanges are recorded in database \"%s\", not in \"%s\"",
		                       pgwt_database, here),
		                errhint("Connect to database \"%s\", or set \"pgwire_trace.database\" to "
		                        "\"%s\" and reload the configuration.",
		                        pgwt_database, here)));
}

/*
 * Tells whether the writer can't store.  With no writer and a reason for that, it
 * can't either; a writer that is just being started has none.
 */
static bool
cannot_store(const BoardWriter *writer)
{
	switch (atomic_load(&writer->state))
	{
		case WRITER_WAITING_EXTENSION:
		case WRITER_REFUSED:
		case WRITER_WAITING_DISK:
		case WRITER_STANDBY:
			return true;
		default:
			return atomic_load(&writer->pid) == 0 && atomic_load(&writer->last_error_at) != 0;
	}
}

/*
 * Raises an error if the writer can't store.  It may not have seen yet that it
 * can, so this is asked only after some patience.
 */
static void
require_storing(void)
{
	const BoardWriter *writer = &pgwt_board->writer;
	char reason[BOARD_TEXT];

	if (!cannot_store(writer))
		return;
	memcpy(reason, writer->last_error, sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("recorded exchanges cannot be stored: the writer is in state \"%s\"",
	                       status_writer_state(atomic_load(&writer->state))),
	                reason[0] ? errdetail_internal("%s", reason) : 0));
}

/*
 * Returns a timeout in microseconds.
 */
static int64
timeout_us(const Interval *timeout)
{
	int64 days = (int64) timeout->month * DAYS_PER_MONTH + timeout->day;
	int64 us;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &us) ||
	    pg_add_s64_overflow(us, timeout->time, &us) || us < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for argument \"timeout\""),
		                errdetail("The timeout must not be negative.")));
	return us;
}

/*
 * Asks every relay to acknowledge.  One that is not ready yet has no handler for
 * the signal; it looks at the board by itself before it serves anybody.
 */
static void
ask_relays(void)
{
	for (uint32 i = 0; i < pgwt_board->relay_count; i++)
	{
		pid_t pid = (pid_t) atomic_load(&pgwt_board->relays[i].pid);

		if (pid > 0 && atomic_load(&pgwt_board->relays[i].ready))
			kill(pid, SIGUSR1);
	}
}

/*
 * Tells whether all relays that run have acknowledged a request.
 */
static bool
relays_acked(uint64 request)
{
	for (uint32 i = 0; i < pgwt_board->relay_count; i++)
		if (atomic_load(&pgwt_board->relays[i].pid) != 0 &&
		    atomic_load(&pgwt_board->relays[i].flush_acked) < request)
			return false;
	return true;
}

/*
 * Waits until a request is served: relays first, then the writer.
 */
static bool
wait_until_stored(uint64 request, int64 timeout)
{
	int64 began = pgwt_now();
	int64 woken = 0;

	for (long step = STEP_MS;; step = Min(step + 1, STEP_MAX_MS))
	{
		int64 now = pgwt_now();
		bool timed_out = now - began >= timeout;

		if (relays_acked(request))
		{
			if (atomic_load(&pgwt_board->writer.flush_acked) >= request)
				return true;
			if (now - woken >= WAKE_US)
			{
				pgwt_wake_writer();
				woken = now;
			}
		}
		if (timed_out || now - began >= PATIENCE_US)
			require_storing();
		if (timed_out)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
		                 Min(step, (timeout - (now - began)) / 1000 + 1), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Waits until what was answered before the call is stored.
 */
Datum
pgwire_trace_flush(PG_FUNCTION_ARGS)
{
	int64 timeout = timeout_us(PG_GETARG_INTERVAL_P(0));
	uint64 request;

	require_recording_here();
	request = atomic_fetch_add(&pgwt_board->flush_requested, 1) + 1;
	ask_relays();
	PG_RETURN_BOOL(wait_until_stored(request, timeout));
}
