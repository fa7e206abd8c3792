/*
 * worker_slot.c
 *	  A run's slot on the board: who runs it, what it is told to do, how far it is.
 *
 * The starter claims it, the worker gives it back as it exits.  One whose worker is
 * gone without having done so (a crash of the server) is found by its pid.
 */
#include "replay/worker.h"

#include "storage/proc.h"
#include "storage/procarray.h"

#define CLAIM_US INT64CONST(60000000) /* a worker has started by then */

/*
 * Returns a slot.
 */
BoardReplay *
replay_slot(int slot)
{
	return &pgwt_board->replays[slot];
}

/*
 * Tells whether the run that a slot names still runs.
 */
static bool
is_live(BoardReplay *slot)
{
	pid_t pid = (pid_t) atomic_load(&slot->pid);

	if (atomic_load(&slot->run_id) == 0)
		return false;
	if (pid == 0)
		return pgwt_now() - atomic_load(&slot->claimed_at) < CLAIM_US;
	return BackendPidGetProc(pid) != NULL;
}

/*
 * Raises 55000 where a run has a slot already.  Of two that resume it at one time the
 * one with the earlier slot does.
 */
static void
refuse_twice(int mine, int64 run_id)
{
	for (int i = 0; i < BOARD_MAX_REPLAYS; i++)
	{
		BoardReplay *slot = replay_slot(i);

		if (i == mine || atomic_load(&slot->run_id) != run_id || !is_live(slot) ||
		    (i > mine && atomic_load(&slot->pid) == 0))
			continue;
		replay_slot_release(mine, run_id);
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("replay %lld is running already", (long long) run_id)));
	}
}

/*
 * Claims a slot for a run.
 */
int
replay_slot_claim(int64 run_id)
{
	for (int i = 0; i < BOARD_MAX_REPLAYS; i++)
	{
		BoardReplay *slot = replay_slot(i);
		int64 held = atomic_load(&slot->run_id);

		if (is_live(slot) || !atomic_compare_exchange_strong(&slot->run_id, &held, run_id))
			continue;
		atomic_store(&slot->claimed_at, pgwt_now());
		atomic_store(&slot->pid, 0);
		atomic_store(&slot->token[0], 0);
		atomic_store(&slot->state, REPLAY_STARTING);
		atomic_store(&slot->command, 0);
		atomic_store(&slot->new_speed, 0);
		atomic_store(&slot->sent, 0);
		atomic_store(&slot->sessions_live, 0);
		atomic_store(&slot->sessions_ended, 0);
		atomic_store(&slot->late_us, 0);
		atomic_store(&slot->target_late_us, 0);
		atomic_store(&slot->order_timeouts, 0);
		refuse_twice(i, run_id);
		return i;
	}
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
	                errmsg("%d replays are running already", BOARD_MAX_REPLAYS),
	                errhint("Wait for one with pgwire_trace.replay_wait(), or cancel one with "
	                        "pgwire_trace.replay_cancel().")));
}

/*
 * Gives a slot back.
 */
void
replay_slot_release(int slot, int64 run_id)
{
	int64 mine = run_id;

	if (atomic_load(&replay_slot(slot)->run_id) == run_id)
		atomic_store(&replay_slot(slot)->token[0], 0);

	atomic_compare_exchange_strong(&replay_slot(slot)->run_id, &mine, 0);
}

/*
 * Finds the slot of a run that runs.
 */
int
replay_slot_find(int64 run_id)
{
	for (int i = 0; i < BOARD_MAX_REPLAYS; i++)
		if (atomic_load(&replay_slot(i)->run_id) == run_id && is_live(replay_slot(i)))
			return i;
	return -1;
}
