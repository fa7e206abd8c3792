/*
 * helper.c
 *	  Processes for what blocks: the look-up of a host name, a cancel request.
 *
 * The loop that sends and receives for all sessions must not wait.  So a helper is
 * forked, which keeps nothing open of what it inherits (what others watch the end of
 * must end when this process closes it), does one thing, writes a text to a pipe and
 * exits.  A timer that the kernel keeps ends it in any case, and it does not outlive
 * the network process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/inherit.h"
#include "replay/child.h"

/*
 * Runs a helper, in its process.
 */
static void
run_helper(pid_t parent, int pipe_end, int64_t timeout_us, HelperMain run, void *arg)
{
	struct itimerval limit = {.it_value = {.tv_sec = timeout_us / 1000000,
	                                       .tv_usec = (suseconds_t) (timeout_us % 1000000)}};
	char answer[HELPER_ANSWER] = "";
	bool good;

	inherit_descriptors(NULL, 0, pipe_end);
	inherit_no_signals();
	signal(SIGPIPE, SIG_IGN);
#ifdef PR_SET_PDEATHSIG
	prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
	if (getppid() != parent)
		_exit(1);
	setitimer(ITIMER_REAL, &limit, NULL);
	good = run(arg, answer, sizeof(answer));
	if (write(pipe_end, answer, strlen(answer)) < 0)
		_exit(1);
	_exit(good ? 0 : 1);
}

/*
 * Starts a helper; see child.h.
 */
bool
helper_start(Replay *replay, int64_t timeout_us, HelperMain run, HelperEnded ended, void *arg)
{
	Helper *helper = calloc(1, sizeof(Helper));
	pid_t parent = getpid();
	int ends[2];

	if (!helper || pipe(ends) != 0)
	{
		free(helper);
		return false;
	}
	helper->pid = fork();
	if (helper->pid == 0)
		run_helper(parent, ends[1], timeout_us, run, arg);
	close(ends[1]);
	if (helper->pid < 0)
	{
		close(ends[0]);
		free(helper);
		return false;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	helper->answer = ends[0];
	helper->ended = ended;
	helper->arg = arg;
	helper->next = replay->helpers;
	replay->helpers = helper;
	return true;
}

/*
 * Tells whether a helper has ended, and how.
 */
static bool
has_ended(const Helper *helper, int *status)
{
	pid_t pid = waitpid(helper->pid, status, WNOHANG);

	if (pid == 0 || (pid < 0 && errno == EINTR))
		return false;
	if (pid < 0)
		*status = -1; /* nobody knows */
	return true;
}

/*
 * Takes what a helper has said; or why it said nothing.
 */
static void
take_answer(Helper *helper, int status)
{
	char answer[HELPER_ANSWER];
	ssize_t got = read(helper->answer, answer, sizeof(answer) - 1);

	while (got > 0 && answer[got - 1] == '\n') /* as libpq ends its messages */
		got--;
	answer[got > 0 ? got : 0] = '\0';
	close(helper->answer);
	if (got <= 0)
		strcpy(answer, WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM
		                   ? "no answer in time"
		                   : "the process that was to ask has died");
	helper->ended(helper->arg, WIFEXITED(status) && WEXITSTATUS(status) == 0, answer);
}

/*
 * Event: a process has ended.
 */
static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	Replay *replay = arg;
	Helper **at = &replay->helpers;
	int status;

	(void) fd;
	(void) what;
	while (*at)
	{
		Helper *helper = *at;

		if (!has_ended(helper, &status))
		{
			at = &helper->next;
			continue;
		}
		*at = helper->next;
		take_answer(helper, status);
		free(helper);
		at = &replay->helpers; /* others may have been started */
	}
}

/*
 * Watches for the ends of helpers.
 */
void
helper_begin(Replay *replay)
{
	replay->reaper = evsignal_new(replay->base, SIGCHLD, on_child, replay);
	event_add(replay->reaper, NULL);
}
