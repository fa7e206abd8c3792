/*
 * inherit.c
 *	  What a process keeps of the one that forked it.
 *
 * A descriptor that stays open in another process keeps a connection open, or hides
 * that somebody has gone; a signal handler that stays runs on what is not there.
 *
 * Public routines: inherit_descriptors, inherit_no_signals.
 */
#include "relay/inherit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Tells whether a descriptor is kept.
 */
static bool
is_kept(int fd, const int *kept, int count, int one)
{
	for (int i = 0; i < count; i++)
		if (kept[i] == fd)
			return true;
	return fd == one;
}

/*
 * Closes every descriptor but those, and points the standard ones to nowhere.
 */
void
inherit_descriptors(const int *kept, int count, int one)
{
	int nowhere = open("/dev/null", O_RDWR);
	struct rlimit limit;
	DIR *dir;

	for (int fd = 0; fd < 3; fd++)
		dup2(nowhere, fd);
	dir = opendir("/proc/self/fd");
	if (dir)
	{
		struct dirent *entry;

		while ((entry = readdir(dir)))
		{
			int fd = atoi(entry->d_name);

			if (fd > 2 && !is_kept(fd, kept, count, one) && fd != dirfd(dir))
				close(fd);
		}
		closedir(dir);
		return;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 65536)
		limit.rlim_cur = 65536;
	for (int fd = 3; fd < (int) limit.rlim_cur; fd++)
		if (!is_kept(fd, kept, count, one))
			close(fd);
}

/*
 * Sets all signals back to their defaults, and blocks none.
 */
void
inherit_no_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		if (number != SIGKILL && number != SIGSTOP)
			signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
