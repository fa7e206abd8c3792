/*
 * spawn.c
 *	  Forks children that leave the server.
 *
 * A background worker that dies of a signal takes the whole cluster through a
 * restart.  What reads the network's bytes must not be able to do that, so it is
 * no child of the postmaster's and has no part in shared memory.
 */
#include "server/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "relay/inherit.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/pg_shmem.h"
#include "storage/proc.h"
#include "utils/ps_status.h"

#define OOM_SCORE "500\n"

/*
 * Makes this process go before any backend when memory runs out.
 */
static void
raise_oom_score(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, OOM_SCORE, sizeof(OOM_SCORE) - 1) < 0)
		errno = 0; /* not allowed: then it stays as it is */
	close(fd);
}

/*
 * Leaves the server.  The order matters: exit callbacks are dropped before
 * anything is detached, or they would run on memory that is not there.  SIGQUIT
 * at the supervisor's death lets a relay write its journal out; one that no longer
 * answers is ended by its own alarm.
 */
static void
leave_server(const char *title, pid_t supervisor, int link, const int *others, int count)
{
	struct rlimit limit;

	init_ps_display(title);
	setsid(); /* the postmaster signals process groups */
	on_exit_reset();
	dsm_detach_all();
	PGSharedMemoryDetach();
	MyProc = NULL;
	inherit_descriptors(others, count, link);
	/* elsewhere the end of the socket pair tells that the supervisor is gone */
#ifdef PR_SET_PDEATHSIG
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
#endif
	if (getppid() != supervisor)
		_exit(0);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	raise_oom_score();
	inherit_no_signals();
}

/*
 * Forks a child that has left the server, with some descriptors; see supervisor.h.
 */
pid_t
spawn_detached_with(const char *title, SpawnMain run, int arg, int *fd, const int *others,
                    int count)
{
	pid_t supervisor = getpid();
	sigset_t all;
	sigset_t before;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	fflush(NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
	{
		leave_server(title, supervisor, pair[1], others, count);
		run(pair[1], arg);
		_exit(0);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(pair[1]);
	if (pid < 0)
	{
		close(pair[0]);
		return -1;
	}
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	*fd = pair[0];
	return pid;
}

/*
 * Forks a child that has left the server; see supervisor.h.
 */
pid_t
spawn_detached(const char *title, SpawnMain run, int arg, int *fd)
{
	return spawn_detached_with(title, run, arg, fd, NULL, 0);
}
