/*
 * worker_slot.c
 *	  A run's slot on the board: who runs it, what it is told to do, how far it is.
 *
 * The starter claims it, the worker gives it back as it exits.  One whose worker is
 * gone without having done so (a crash of the server) is found by its pid.
 */
#include "replay/worker.h"

#include "miscadmin.h"
#include "storage/lwlock.h"

/*
 * Returns a slot.
 */
BoardReplay *
replay_slot(int slot)
{
	return &pgwt_board->replays[slot];
}

/*
 * Tells whether a slot names a run of this database.
 */
static bool
is_for(BoardReplay *slot, int64 run_id)
{
	return atomic_load(&slot->run_id) == run_id && atomic_load(&slot->database) == MyDatabaseId;
}

/*
 * Makes a slot that of a run.
 */
static void
take(BoardReplay *slot, int64 run_id)
{
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
	atomic_store(&slot->claimed_at, pgwt_now());
	atomic_store(&slot->database, MyDatabaseId);
	atomic_store(&slot->pid, 0);
	atomic_store(&slot->run_id, run_id);
}

/*
 * Claims a slot for a run.  Under the lock, which is the server's for what happens
 * rarely: two could take one slot that still names a worker that is gone, or one run.
 */
int
replay_slot_claim(int64 run_id)
{
	bool is_running;
	int taken = -1;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	is_running = replay_slot_find(run_id) >= 0;
	for (int i = 0; i < BOARD_MAX_REPLAYS && taken < 0 && !is_running; i++)
		if (!pgwt_replay_is_live(replay_slot(i)))
			take(replay_slot(taken = i), run_id);
	LWLockRelease(AddinShmemInitLock);
	if (is_running)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("replay %lld is running already", (long long) run_id)));
	if (taken < 0)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
		                errmsg("%d replays are running already", BOARD_MAX_REPLAYS),
		                errhint("Wait for one with pgwire_trace.replay_wait(), or cancel one with "
		                        "pgwire_trace.replay_cancel().")));
	return taken;
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
		if (is_for(replay_slot(i), run_id) && pgwt_replay_is_live(replay_slot(i)))
			return i;
	return -1;
}
