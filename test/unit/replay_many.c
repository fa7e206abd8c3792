/*
 * replay_many.c
 *	  A replay's network process against a target of its own kind: 1,500 sessions at one
 *	  time, and targets that hang at any point, talk nonsense or hang up.
 *
 * Three processes: the target, which answers each Query with one row; the child as the
 * worker would run it; and this one in the worker's place.  The target answers no
 * query before all sessions have logged in, so they are open together or the test
 * fails.  What a session's target does is said by the database that it asks for.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"
#include "replay/child_main.h"
#include "replay/common.h"
#include "replay/compare.h"
#include "replay/link.h"

#define SESSIONS 1500
#define EXCHANGES 4 /* of each */
#define TEST_SECONDS 60
#define PLACES (SESSIONS * EXCHANGES)

static char directory[64];

/* ---- the target ---- */

typedef struct Client
{
	uint8_t input[1024];
	size_t len;
	bool logged_in;
	bool is_asking; /* a Query waits for its answer */
	char mode;      /* first letter of the database */
} Client;

static const uint8_t login_answer[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0, 'Z', 0, 0, 0, 5, 'I'};
static const uint8_t query_answer[] =
    "T\0\0\0\x1a\0\1a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
    "D\0\0\0\x0b\0\1\0\0\0\1x"
    "C\0\0\0\x0dSELECT 1\0"
    "Z\0\0\0\5I";

/*
 * Reads a length.
 */
static uint32_t
length_at(const uint8_t *at)
{
	return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

/*
 * Takes a message off a client's input.  Returns whether there was a whole one.
 */
static bool
take_message(Client *client, uint8_t *type)
{
	size_t header = client->logged_in ? 5 : 4;
	size_t size;

	if (client->len < header)
		return false;
	size = length_at(client->input + header - 4) + (header - 4);
	if (size > sizeof(client->input) || client->len < size)
		return false;
	*type = client->logged_in ? client->input[0] : 0;
	if (!client->logged_in)
	{
		const uint8_t *name = memmem(client->input, size, "database", 9);

		client->mode = name ? (char) name[9] : 'g';
	}
	client->len -= size;
	memmove(client->input, client->input + size, client->len);
	return true;
}

/*
 * Follows what a client has sent.  Returns false when it is to be closed.
 */
static bool
serve(Client *client, int fd, int *logged_in)
{
	uint8_t type;

	while (take_message(client, &type))
	{
		if (!client->logged_in && client->mode == 's')
			continue;
		if (!client->logged_in)
		{
			client->logged_in = true;
			++*logged_in;
			if (write(fd, login_answer, sizeof(login_answer)) < 0)
				return false;
		}
		else if (type == 'X')
			return false;
		else if (client->mode == 'c')
			return false;
		else if (client->mode == 'n' && write(fd, "Z\xff\xff\xff\xffnonsense", 13) < 0)
			return false;
		else if (client->mode == 'm' && write(fd, query_answer, 20) < 0)
			return false;
		else if (client->mode == 'l' && write(fd, "D\x7f\xff\xff\xff\x7f\xff", 7) < 0)
			return false;
		else if (client->mode == 'g')
			client->is_asking = true;
	}
	return true;
}

/*
 * Runs the target until it is killed.
 */
static void
run_target(int listener)
{
	static Client clients[SESSIONS + 16];
	static struct pollfd fds[SESSIONS + 17];
	int count = 0;
	int logged_in = 0;

	fds[0] = (struct pollfd){listener, POLLIN, 0};
	for (;;)
	{
		poll(fds, (nfds_t) count + 1, 1000);
		if (getppid() == 1)
			_exit(0);
		if ((fds[0].revents & POLLIN) && count < SESSIONS + 16)
		{
			int fd = accept(listener, NULL, NULL);

			if (fd >= 0)
			{
				memset(&clients[count], 0, sizeof(Client));
				fds[++count] = (struct pollfd){fd, POLLIN, 0};
			}
		}
		for (int i = count; i > 0; i--)
		{
			Client *client = &clients[i - 1];
			bool is_open = true;

			if (fds[i].revents)
			{
				ssize_t got = read(fds[i].fd, client->input + client->len,
				                   sizeof(client->input) - client->len);

				client->len += got > 0 ? (size_t) got : 0;
				is_open = got > 0 && serve(client, fds[i].fd, &logged_in);
			}
			if (is_open && client->is_asking && logged_in >= SESSIONS)
			{
				client->is_asking = false;
				is_open = write(fds[i].fd, query_answer, sizeof(query_answer) - 1) > 0;
			}
			if (is_open)
				continue;
			close(fds[i].fd);
			fds[i] = fds[count];
			*client = clients[--count];
		}
	}
}

/*
 * Starts the target on a Unix socket as a server would have.
 */
static pid_t
start_target(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432", directory);
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
	    listen(listener, SESSIONS) != 0)
	{
		perror("listen");
		exit(1);
	}
	pid = fork();
	if (pid == 0)
	{
		signal(SIGPIPE, SIG_IGN);
		run_target(listener);
	}
	close(listener);
	return pid;
}

/* ---- the worker ---- */

/*
 * Writes a plan of equal sessions.  They take turns: each with its first exchange, then
 * each with its second one; every other session's exchanges write.
 */
static void
write_plan(const char *path, int sessions, int64_t first_id)
{
	static const char request[] = "Q\0\0\0\x0dselect 1\0";
	PlanWriter writer;
	PlanExchange exchange = {.request_len = sizeof(request) - 1,
	                         .response_len = sizeof(query_answer) - 1,
	                         .is_complete = true,
	                         .transaction_status = 'I',
	                         .statement_count = 1,
	                         .cancel_us = -1};
	bool good = plan_create(&writer, path);

	for (int i = 0; good && i < sessions; i++)
	{
		PlanSession session = {.session_id = first_id + i, .first = writer.exchange_count};

		for (int n = 0; n < EXCHANGES; n++)
		{
			exchange.exchange_no = n + 1;
			exchange.started_us = ((int64_t) n * sessions + i) * 10;
			exchange.finished_us = exchange.started_us + 15;
			exchange.turn_us = i % 2 ? exchange.finished_us : exchange.started_us;
			exchange.after = n - 1;
			good &= plan_add_bytes(&writer, request, exchange.request_len, &exchange.request_at) &&
			        plan_add_bytes(&writer, query_answer, exchange.response_len,
			                       &exchange.response_at) &&
			        plan_add_exchange(&writer, &exchange);
		}
		session.count = EXCHANGES;
		good &= plan_add_session(&writer, &session);
	}
	check(plan_finish(&writer) && good, "the plan is written");
}

/* What the child said. */
typedef struct Heard
{
	int sent;
	int answered;
	int differences;
	int verdicts[VERDICT_COUNT];
	int ended[3]; /* sessions, by state */
	uint32_t left;
	int children;            /* that are done */
	bool is_done;            /* all are */
	LinkProgress progress;   /* the last that came */
	uint64_t order_timeouts; /* of all */
	char refused[256];
} Heard;

/*
 * Takes a record of the child's.
 */
static void
hear(Heard *heard, const LinkRecord *record, const uint8_t *data)
{
	LinkExchange exchange;
	LinkDifference difference;
	LinkSession session;

	switch (record->kind)
	{
		case LINK_EXCHANGE:
			memcpy(&exchange, data, sizeof(exchange));
			heard->sent++;
			heard->answered += exchange.is_answered;
			break;
		case LINK_DIFFERENCE:
			memcpy(&difference, data, sizeof(difference));
			heard->differences++;
			heard->verdicts[difference.verdict]++;
			break;
		case LINK_SESSION:
			memcpy(&session, data, sizeof(session));
			heard->ended[session.state]++;
			if (session.state != LINK_SESSION_RUNNING)
				heard->left += session.left;
			break;
		case LINK_PROGRESS:
			memcpy(&heard->progress, data, sizeof(heard->progress));
			break;
		case LINK_REFUSED:
			snprintf(heard->refused, sizeof(heard->refused), "%.*s", (int) record->size,
			         (const char *) data);
			break;
		case LINK_DONE:
			heard->children++;
			heard->order_timeouts += heard->progress.order_timeouts;
			break;
		default:
			break;
	}
}

/*
 * Sends the child a command.
 */
static void
tell(int link, uint8_t command, const void *data, size_t len)
{
	static uint8_t packet[LINK_PACKET];

	packet[0] = command;
	if (len > 0)
		memcpy(packet + 1, data, len);
	if (send(link, packet, len + 1, 0) < 0)
		perror("send");
}

/*
 * Starts a child of a run, told all it must know; it may be told to end before it has
 * begun.  Returns its link.
 */
static int
start_child(const ReplaySettings *settings, const char *database, uint32_t number,
            bool is_cancelled)
{
	char conninfo[256];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
		exit(1);
	snprintf(conninfo, sizeof(conninfo), "host=%s port=5432 user=u dbname=%s sslmode=disable",
	         directory, database);
	tell(pair[0], LINK_SETTINGS, settings, sizeof(*settings));
	tell(pair[0], LINK_CONNINFO, conninfo, strlen(conninfo));
	tell(pair[0], LINK_GO, NULL, 0);
	if (is_cancelled)
		tell(pair[0], LINK_CANCEL, NULL, 0);
	if (fork() == 0)
	{
		close(pair[0]);
		alarm(TEST_SECONDS);
		replay_child_main(pair[1], (int) number);
	}
	close(pair[1]);
	return pair[0];
}

/*
 * Takes a packet of a child's.
 */
static void
hear_packet(Heard *heard, const uint8_t *packet, size_t len)
{
	for (size_t at = 0; at + sizeof(LinkRecord) <= len;)
	{
		LinkRecord record;

		memcpy(&record, packet + at, sizeof(record));
		hear(heard, &record, packet + at + sizeof(record));
		at += sizeof(record) + record.size;
	}
}

/*
 * Runs the children on a plan, against a database of the target's, to their end.
 */
static Heard
run_child_until(const ReplaySettings *settings, const char *database, bool is_cancelled)
{
	static uint8_t packet[LINK_PACKET];
	Heard heard = {.children = 0};
	char begun[PLAN_PATH_SIZE + 16];
	struct pollfd links[REPLAY_MAX_CHILDREN];
	uint32_t open = settings->child_count;

	if (!common_make(&replay_common, open, PLACES))
		exit(1);
	for (uint32_t i = 0; i < settings->child_count; i++)
		links[i] = (struct pollfd){start_child(settings, database, i, is_cancelled), POLLIN, 0};
	common_leave(&replay_common);
	while (open > 0 && poll(links, settings->child_count, TEST_SECONDS * 1000) > 0)
		for (uint32_t i = 0; i < settings->child_count; i++)
		{
			ssize_t got = links[i].revents ? recv(links[i].fd, packet, sizeof(packet), 0) : 0;

			if (!links[i].revents)
				continue;
			hear_packet(&heard, packet, got > 0 ? (size_t) got : 0);
			if (got > 0)
				continue;
			close(links[i].fd);
			links[i].fd = -1;
			open--;
			wait(NULL);
		}
	heard.is_done = heard.children == (int) settings->child_count;
	snprintf(begun, sizeof(begun), "%s" PLAN_BEGUN, settings->plan_path);
	unlink(begun);
	plan_remove(settings->plan_path);
	return heard;
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
 * Returns settings for a run.
 */
static ReplaySettings
make_settings(const char *name, uint32_t ordering)
{
	ReplaySettings settings = {.timing = TIMING_ASAP,
	                           .ordering = ordering,
	                           .compare = 5,
	                           .speed = 1,
	                           .idle_max_us = -1,
	                           .exchange_timeout_us = 30000000,
	                           .order_timeout_us = 5000000,
	                           .connect_timeout_us = 30000000,
	                           .max_sessions = SESSIONS,
	                           .connect_attempts = 1,
	                           .child_count = 1};

	snprintf(settings.plan_path, sizeof(settings.plan_path), "%s/%s", directory, name);
	return settings;
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
	write_plan(settings.plan_path, SESSIONS, 1);
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
	write_plan(settings.plan_path, 3, 1);
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
	write_plan(settings.plan_path, 3, 1);
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
	write_plan(settings.plan_path, 3, 1);
	heard = run_child(&settings, "closes");
	snprintf(what, sizeof(what), "closes, connects again: sent %d, answered %d, lost %d, left %u",
	         heard.sent, heard.answered, heard.ended[LINK_SESSION_LOST], heard.left);
	check(heard.is_done && heard.sent == 3 * 3 && heard.answered == 0 &&
	          heard.ended[LINK_SESSION_LOST] == 3 && heard.sent + (int) heard.left == 3 * EXCHANGES,
	      what);
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

	write_plan(settings.plan_path, 3, 1);
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
	target = start_target();
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
	run_again();
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
