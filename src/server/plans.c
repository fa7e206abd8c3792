/*
 * plans.c
 *	  What replays leave behind whose worker is killed: plans, and slots of the board.
 *
 * A plan's files hold recorded traffic, and are gone as soon as the run's network
 * processes have mapped them; but a worker that is killed before that leaves them.  They
 * are named by database and run, so whether somebody still needs them is on the board.
 * What says which sessions of an aborted run have begun is not touched: who resumes the
 * run wants it.
 *
 * Public routines:
 *		pgwt_replay_is_live		whether the run of a slot still runs
 *		pgwt_sweep_plans		removes what nobody needs; the supervisor calls it now and then
 */
#include "server/server.h"

#include <dirent.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"

#define CLAIM_US INT64CONST(60000000) /* a worker has started by then */

/*
 * Tells whether the run that a slot names still runs.
 */
bool
pgwt_replay_is_live(BoardReplay *slot)
{
	pid_t pid = (pid_t) atomic_load(&slot->pid);

	if (atomic_load(&slot->run_id) == 0)
		return false;
	if (pid == 0)
		return pgwt_now() - atomic_load(&slot->claimed_at) < CLAIM_US;
	return BackendPidGetProc(pid) != NULL;
}

/*
 * Tells whether a run of a database runs.
 */
static bool
runs(Oid database, int64 run_id)
{
	for (int i = 0; i < BOARD_MAX_REPLAYS; i++)
	{
		BoardReplay *slot = &pgwt_board->replays[i];

		if (atomic_load(&slot->run_id) == run_id && atomic_load(&slot->database) == database &&
		    pgwt_replay_is_live(slot))
			return true;
	}
	return false;
}

/*
 * Frees the slots of workers that are gone without a word, before another process gets
 * the pid of one.
 */
static void
free_slots(void)
{
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < BOARD_MAX_REPLAYS; i++)
		if (!pgwt_replay_is_live(&pgwt_board->replays[i]))
			atomic_store(&pgwt_board->replays[i].run_id, 0);
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Removes plans that nobody needs.  Files that are no plans are left alone.
 */
void
pgwt_sweep_plans(void)
{
	const char *directory = "pgwire_trace/pgsql_tmp_replay";
	DIR *entries = AllocateDir(directory);
	struct dirent *entry;

	free_slots();
	while (entries && (entry = ReadDirExtended(entries, directory, LOG)))
	{
		char path[MAXPGPATH];
		unsigned int database;
		long long run_id;
		int end = 0;

		if (sscanf(entry->d_name, "%u.%lld.%n", &database, &run_id, &end) < 2 || end == 0 ||
		    (strcmp(entry->d_name + end, "sessions") != 0 &&
		     strcmp(entry->d_name + end, "exchanges") != 0 &&
		     strcmp(entry->d_name + end, "bytes") != 0) ||
		    runs(database, run_id))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		unlink(path);
	}
	if (entries)
		FreeDir(entries);
}
