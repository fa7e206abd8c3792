/*
 * replay_many.c
 *	  A replay's network process against a target of its own kind: 1,500 sessions at one
 *	  time, and targets that hang at any point, talk nonsense or hang up.
 *
 * The target answers no query before all sessions have logged in, so they are open
 * together or the test fails.
 */
#include <sys/un.h>

#include "journal/clock.h"
#include "replay_harness.h"

#define SESSIONS 1500

/*
 * Starts the target on a Unix socket as a server would have.
 */
static pid_t
start_unix_target(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432", directory);
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0)
	{
		perror("bind");
		exit(1);
	}
	return start_target(listener, SESSIONS);
}

/*
 * Runs the child against a database of the target's; it may be told to end before it has
 * begun.
 */
static Heard
run_child_until(const ReplaySettings *settings, const char *database, bool is_cancelled)
{
	char conninfo[256];
	const char *conninfos[] = {conninfo};

	snprintf(conninfo, sizeof(conninfo), "host=%s port=5432 user=u dbname=%s sslmode=disable",
	         directory, database);
	return run_child_with(settings, conninfos, 1, is_cancelled);
}

/*
 * Runs it undisturbed.
 */
static Heard
run_child(const ReplaySettings *settings, const char *database)
{
	return run_child_until(settings, database, false);
}

/*
 * Replays all sessions at once.
 */
static void
run_many(uint32_t ordering, uint32_t children)
{
	ReplaySettings settings = make_settings("many", ordering);
	Heard heard;
	char what[256];

	settings.child_count = children;
	write_plan(settings.plan_path, SESSIONS, 1, 1);
	heard = run_child(&settings, "good");
	snprintf(what, sizeof(what),
	         "%d sessions, ordering %u, %u children, %d done: sent %d, answered %d, differences %d,"
	         " finished %d, order timeouts %d, %s",
	         SESSIONS, ordering, children, heard.children, heard.sent, heard.answered,
	         heard.differences, heard.ended[LINK_SESSION_FINISHED], (int) heard.order_timeouts,
	         heard.refused);
	check(heard.is_done && heard.sent == SESSIONS * EXCHANGES &&
	          heard.answered == SESSIONS * EXCHANGES && heard.differences == 0 &&
	          heard.ended[LINK_SESSION_FINISHED] == SESSIONS && heard.left == 0 &&
	          heard.order_timeouts == 0,
	      what);
}

/*
 * Replays three sessions against a target that misbehaves.
 */
static void
run_bad(const char *database, Verdict verdict)
{
	ReplaySettings settings = make_settings(database, ORDERING_COMMIT);
	Heard heard;
	char what[256];

	settings.exchange_timeout_us = 300000;
	write_plan(settings.plan_path, 3, 1, 1);
	heard = run_child(&settings, database);
	snprintf(what, sizeof(what), "%s: sent %d, answered %d, differences %d, lost %d, left %u",
	         database, heard.sent, heard.answered, heard.differences,
	         heard.ended[LINK_SESSION_LOST], heard.left);
	check(heard.is_done && heard.sent == 3 && heard.answered == 0 && heard.verdicts[verdict] >= 3 &&
	          heard.ended[LINK_SESSION_LOST] == 3 && heard.sent + (int) heard.left == 3 * EXCHANGES,
	      what);
}

/*
 * Replays sessions against a target that does not let them in, or does not answer
 * whether it agrees: nothing is sent.
 */
static void
run_closed(const char *database, bool asks)
{
	ReplaySettings settings = make_settings(database, ORDERING_NONE);
	Heard heard;
	char what[256];

	settings.connect_timeout_us = 200000;
	settings.connect_attempts = 2;
	settings.connect_delay_us = 1000;
	settings.asks_permission = asks;
	write_plan(settings.plan_path, 3, 1, 1);
	heard = run_child(&settings, database);
	snprintf(what, sizeof(what), "%s, at its door: sent %d, lost %d, left %u", database, heard.sent,
	         heard.ended[LINK_SESSION_LOST], heard.left);
	check(heard.is_done && heard.sent == 0 && heard.ended[LINK_SESSION_LOST] == 3 &&
	          heard.left == 3 * EXCHANGES,
	      what);
}

/*
 * Replays sessions that connect again, against a target that hangs up at each query: a
 * query a connection is sent, and it comes to an end.
 */
static void
run_again(void)
{
	ReplaySettings settings = make_settings("again", ORDERING_ARRIVAL);
	Heard heard;
	char what[256];

	settings.reconnects = true;
	settings.connect_attempts = 3;
	settings.connect_delay_us = 1000;
	write_plan(settings.plan_path, 3, 1, 1);
	heard = run_child(&settings, "closes");
	snprintf(what, sizeof(what), "closes, connects again: sent %d, answered %d, lost %d, left %u",
	         heard.sent, heard.answered, heard.ended[LINK_SESSION_LOST], heard.left);
	check(heard.is_done && heard.sent == 3 * 3 && heard.answered == 0 &&
	          heard.ended[LINK_SESSION_LOST] == 3 && heard.sent + (int) heard.left == 3 * EXCHANGES,
	      what);
}

/*
 * Replays more sessions than there are files for, each of which connects again and again:
 * the target hangs up at each second query.  No file stays open.
 */
static void
run_few_files(void)
{
	ReplaySettings settings = make_settings("files", ORDERING_NONE);
	Heard heard;
	char what[1024];

	settings.reconnects = true;
	settings.connect_attempts = 2;
	settings.connect_delay_us = 1000;
	child_files = 90;
	write_plan(settings.plan_path, 400, 1, 1);
	heard = run_child(&settings, "wears_out");
	child_files = 0;
	snprintf(what, sizeof(what), "few files: sent %d, answered %d, finished %d, lost %d (%s) %s",
	         heard.sent, heard.answered, heard.ended[LINK_SESSION_FINISHED],
	         heard.ended[LINK_SESSION_LOST], heard.reason, heard.note);
	check(heard.is_done && heard.sent == 400 * EXCHANGES && heard.answered == 400 * EXCHANGES / 2 &&
	          heard.verdicts[VERDICT_SESSION_LOST] == 400 * EXCHANGES / 2 &&
	          strstr(heard.note, "may open no more files"),
	      what);
}

/*
 * Replays sessions that connect again, no more often than so many times a second.
 */
static void
run_rate(void)
{
	ReplaySettings settings = make_settings("rate", ORDERING_NONE);
	int64_t begin = clock_monotonic();
	int64_t took;
	Heard heard;
	char what[256];

	settings.reconnects = true;
	settings.connect_attempts = 2;
	settings.connect_rate = 100;
	write_plan(settings.plan_path, 30, 1, 1);
	heard = run_child(&settings, "wears_out");
	took = (clock_monotonic() - begin) / 1000;
	snprintf(what, sizeof(what), "60 connections, 100 a second: sent %d, answered %d, %d ms",
	         heard.sent, heard.answered, (int) took);
	check(heard.is_done && heard.answered == 30 * EXCHANGES / 2 && took >= 580, what);
}

/*
 * Replays sessions whose target has more to say behind its login, in the same breath.
 */
static void
run_talkative(void)
{
	ReplaySettings settings = make_settings("talkative", ORDERING_NONE);
	Heard heard;
	char what[256];

	write_plan(settings.plan_path, 3, 1, 1);
	heard = run_child(&settings, "and_more");
	snprintf(what, sizeof(what), "more behind the login: sent %d, answered %d, differences %d",
	         heard.sent, heard.answered, heard.differences);
	check(heard.is_done && heard.answered == 3 * EXCHANGES && heard.differences == 0, what);
}

/*
 * Cancels a replay before its first session has begun: none begins.
 */
static void
run_cancelled(void)
{
	ReplaySettings settings = make_settings("cancelled", ORDERING_NONE);
	Heard heard;
	char what[256];

	write_plan(settings.plan_path, 3, 1, 1);
	heard = run_child_until(&settings, "good", true);
	snprintf(what, sizeof(what), "cancelled at once: sent %d, finished %d", heard.sent,
	         heard.ended[LINK_SESSION_FINISHED]);
	check(heard.is_done && heard.sent == 0 && heard.ended[LINK_SESSION_FINISHED] == 0, what);
}

/*
 * Runs the tests.
 */
int
main(void)
{
	struct rlimit limit;
	pid_t target;
	char path[128];

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	snprintf(directory, sizeof(directory), "/tmp/replay_many.%d", (int) getpid());
	mkdir(directory, 0700);
	target = start_unix_target();
	run_many(ORDERING_NONE, 1);
	run_many(ORDERING_ARRIVAL, 1);
	run_many(ORDERING_NONE, 3);
	run_many(ORDERING_ARRIVAL, 3);
	run_many(ORDERING_COMMIT, 2);
	run_bad("hang", VERDICT_TIMEOUT);
	run_bad("mid-message", VERDICT_TIMEOUT);
	run_bad("length", VERDICT_SESSION_LOST);
	run_closed("silent", false);
	run_closed("hang", true);
	run_closed("error", true);
	tells_types = true;
	run_closed("out", false);
	tells_types = false;
	run_again();
	run_few_files();
	run_rate();
	run_talkative();
	run_cancelled();
	run_bad("nonsense", VERDICT_SESSION_LOST);
	run_bad("closes", VERDICT_SESSION_LOST);
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", directory);
	unlink(path);
	rmdir(directory);
	return finish();
}
