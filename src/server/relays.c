/*
 * relays.c
 *	  The supervisor's relay processes: start, settings, log lines, death.
 */
#include "server/supervisor.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"

#define BACKOFF_FIRST_US INT64CONST(100000)
#define BACKOFF_MAX_US INT64CONST(10000000)
#define HEALTHY_US INT64CONST(60000000)
#define SILENT_US INT64CONST(10000000)
#define NOTES_A_TURN 100
#define STOP_WAIT_MS 2000

typedef struct RelayChild
{
	pid_t pid; /* 0: not running */
	int fd;
	int64 started_at;
	int64 start_at; /* not before */
	int64 backoff;  /* before the next start, if it dies soon */
	int64 checked_at;
	int64 silent_since; /* 0: its heart beats */
	bool is_behind;     /* settings wait to be sent */
} RelayChild;

static RelayChild children[BOARD_MAX_RELAYS];
static bool wants_reload; /* a relay has met another certificate than its own */

/*
 * Sends a relay its settings, with the listening sockets attached, and behind them
 * the certificate's bundle.
 */
static void
configure(RelayChild *child)
{
	static RelayConfig config;
	int fds[RELAY_MAX_FDS];
	union
	{
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(fds))];
	} control;
	struct iovec part = {&config, sizeof(config)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	int count = listeners_fds(fds);

	memset(&config, 0, sizeof(config));
	settings_fill(&config);
	config.listener_count = (uint32) count;
	upstream_fill(&config);
	tls_fill(&config);
	if (config.has_bundle)
		fds[count++] = tls_bundle();
	if (count > 0)
	{
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	/* a relay that does not read is tried again with the next check of its heart */
	child->is_behind = sendmsg(child->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0;
}

/*
 * Runs a relay in a child that has left the server.
 */
static void
run_relay(int fd, int relay_no)
{
	relay_main(pgwt_board, (uint32) relay_no, fd);
}

/*
 * Starts a relay.
 */
static void
start(int relay_no)
{
	RelayChild *child = &children[relay_no];
	BoardRelay *stats = &pgwt_board->relays[relay_no];
	int64 now = pgwt_now();

	atomic_store(&stats->ready, 0);
	atomic_store(&stats->heartbeat, now);
	child->pid = spawn_detached(psprintf("pgwire_trace relay %d", relay_no), run_relay, relay_no,
	                            &child->fd);
	if (child->pid < 0)
	{
		child->pid = 0;
		child->start_at = now + BACKOFF_FIRST_US;
		supervisor_error(psprintf("could not fork a relay: %s", strerror(errno)));
		return;
	}
	child->started_at = now;
	child->silent_since = 0;
	atomic_store(&stats->started_at, now);
	atomic_store(&stats->pid, (uint32) child->pid);
	configure(child);
}

/*
 * Starts relays that are due.
 */
int64
relays_start(void)
{
	int64 next = 0;
	int64 now = pgwt_now();

	for (int i = 0; i < pgwt_relay_processes; i++)
	{
		if (children[i].pid != 0)
			continue;
		if (children[i].start_at <= now)
			start(i);
		else if (next == 0 || children[i].start_at < next)
			next = children[i].start_at;
	}
	return next;
}

/*
 * Sends all relays their settings.
 */
void
relays_configure(void)
{
	for (int i = 0; i < pgwt_relay_processes; i++)
		if (children[i].pid != 0)
			configure(&children[i]);
}

/*
 * Kills relays whose heart has not beaten for long.  A machine that stood still
 * is no relay's fault: silence counts only while we were awake to see it.
 */
void
relays_check(void)
{
	int64 now = pgwt_now();

	for (int i = 0; i < pgwt_relay_processes; i++)
	{
		RelayChild *child = &children[i];
		int64 beat = atomic_load(&pgwt_board->relays[i].heartbeat);
		bool was_away = now - child->checked_at > SILENT_US / 2;

		child->checked_at = now;
		if (child->pid != 0 && child->is_behind)
			configure(child);
		if (child->pid == 0 || was_away || now - beat < SILENT_US / 2)
			child->silent_since = 0;
		else if (child->silent_since == 0)
			child->silent_since = now;
		else if (now - child->silent_since > SILENT_US / 2)
		{
			ereport(LOG, (errcode(ERRCODE_INTERNAL_ERROR),
			              errmsg("pgwire_trace: relay %d (PID %d) did not answer for %d seconds, "
			                     "ending it",
			                     i, (int) child->pid, (int) ((now - beat) / 1000000))));
			kill(child->pid, SIGKILL);
			child->silent_since = 0;
		}
	}
}

/*
 * Takes a dead relay's sessions off those of all relays.  It may have died between
 * counting one here and there; the sum never goes below zero for that.
 */
static void
forget_sessions(uint64 sessions)
{
	uint64 open = atomic_load(&pgwt_board->sessions_open);

	if (pgwt_relay_processes == 1)
		sessions = open;
	while (!atomic_compare_exchange_weak(&pgwt_board->sessions_open, &open,
	                                     open - Min(open, sessions)))
		;
}

/*
 * Counts what died with a relay.
 */
static void
count_losses(int relay_no)
{
	BoardRelay *stats = &pgwt_board->relays[relay_no];
	uint64 accounted = board_get(&stats->exchanges_journalled) +
	                   board_get(&stats->exchanges_dropped_journal_full) +
	                   board_get(&stats->exchanges_dropped_disk_full) +
	                   board_get(&stats->exchanges_lost_in_crash);
	uint64 finished = board_get(&stats->exchanges_finished);

	if (finished > accounted)
		board_add(&stats->exchanges_lost_in_crash, finished - accounted);
	forget_sessions(atomic_exchange(&stats->sessions_open, 0));
	atomic_store(&stats->unauthenticated, 0);
	atomic_store(&stats->asking, 0);
	atomic_store(&stats->bytes_allocated, 0);
}

/*
 * Forgets the relays of an earlier supervisor, which died with it.
 */
void
relays_forget(void)
{
	for (int i = 0; i < BOARD_MAX_RELAYS; i++)
	{
		atomic_store(&pgwt_board->relays[i].pid, 0);
		atomic_store(&pgwt_board->relays[i].ready, 0);
		count_losses(i);
	}
	atomic_store(&pgwt_board->sessions_open, 0);
}

/*
 * Takes notice of a relay's death.  False: it was another child.
 */
bool
relays_reap(pid_t pid, int status)
{
	for (int i = 0; i < pgwt_relay_processes; i++)
	{
		RelayChild *child = &children[i];
		int64 now = pgwt_now();

		if (child->pid != pid)
			continue;
		relays_drain(i);
		close(child->fd);
		child->pid = 0;
		child->fd = -1;
		atomic_store(&pgwt_board->relays[i].pid, 0);
		atomic_store(&pgwt_board->relays[i].ready, 0);
		count_losses(i);
		board_release_relay(pgwt_board, (uint32) i);
		board_add(&pgwt_board->relays[i].restarts, 1);
		pgwt_wake_writer(); /* it ends the sessions that died with the relay */
		if (now - child->started_at > HEALTHY_US)
			child->backoff = 0;
		child->start_at = now + child->backoff;
		child->backoff =
		    child->backoff == 0 ? BACKOFF_FIRST_US : Min(child->backoff * 2, BACKOFF_MAX_US);
		if (WIFSIGNALED(status))
			ereport(LOG, (errcode(ERRCODE_INTERNAL_ERROR),
			              errmsg("pgwire_trace: relay %d (PID %d) was terminated by signal %d", i,
			                     (int) pid, WTERMSIG(status)),
			              errdetail("Its sessions are cut; it is started again.")));
		else
			ereport(LOG, (errmsg("pgwire_trace: relay %d (PID %d) exited with exit code %d", i,
			                     (int) pid, WEXITSTATUS(status))));
		return true;
	}
	return false;
}

/*
 * Returns the socket of a relay; -1: it does not run.
 */
int
relays_fd(int relay_no)
{
	return children[relay_no].pid != 0 ? children[relay_no].fd : -1;
}

/*
 * Writes a relay's log line to the log, what follows its first line as detail.
 */
static void
log_note(int relay_no, RelayNote *note)
{
	int level = note->severity == RELAY_DEBUG ? DEBUG1 : LOG;
	char *detail = strchr(note->text, '\n');

	if (detail)
		*detail++ = '\0';
	ereport(level, (errmsg("pgwire_trace: relay %d: %s", relay_no, note->text),
	                detail ? errdetail("%s", detail) : 0));
}

/*
 * Reads what a relay has to tell.
 */
void
relays_drain(int relay_no)
{
	RelayChild *child = &children[relay_no];

	for (int i = 0; i < NOTES_A_TURN; i++)
	{
		RelayNote note;
		ssize_t n = recv(child->fd, &note, sizeof(note), MSG_DONTWAIT);

		if (n < (ssize_t) offsetof(RelayNote, text) + 1)
			return;
		note.text[n - offsetof(RelayNote, text) - 1] = '\0';
		if (note.kind == RELAY_NOTE_WAKE)
			pgwt_wake_writer();
		else if (note.kind == RELAY_NOTE_RELOAD)
			wants_reload = true;
		else
			log_note(relay_no, &note);
	}
}

/*
 * Tells whether a relay has asked for the certificate to be read again.
 */
bool
relays_want_reload(void)
{
	bool wanted = wants_reload;

	wants_reload = false;
	return wanted;
}

/*
 * Ends all relays and waits for them, for a bounded time.
 */
void
relays_stop(void)
{
	int running = 0;

	for (int i = 0; i < pgwt_relay_processes; i++)
		if (children[i].pid != 0)
		{
			kill(children[i].pid, SIGTERM);
			running++;
		}
	for (int waited = 0; running > 0; waited += 10)
	{
		for (int i = 0; i < pgwt_relay_processes; i++)
		{
			int status;

			if (children[i].pid == 0)
				continue;
			if (waited == STOP_WAIT_MS)
				kill(children[i].pid, SIGKILL);
			if (waitpid(children[i].pid, &status, WNOHANG) == children[i].pid)
			{
				relays_drain(i);
				children[i].pid = 0;
				atomic_store(&pgwt_board->relays[i].pid, 0);
				count_losses(i);
				running--;
			}
		}
		if (running > 0)
			pg_usleep(10000L);
	}
}
