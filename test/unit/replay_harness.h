/*
 * replay_harness.h
 *	  For tests of a replay's network process: a target of their own kind, and what the
 *	  worker does.
 *
 * Three processes: the target, which answers each Query with one row; the child as the
 * worker would run it; and the test in the worker's place.  What a session's target
 * does is said by the first letter of the database that it asks for.
 */
#ifndef REPLAY_HARNESS_H
#define REPLAY_HARNESS_H

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
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"
#include "replay/child_main.h"
#include "replay/common.h"
#include "replay/compare.h"
#include "replay/link.h"

#define MAX_CLIENTS 1600 /* of a target */
#define EXCHANGES 4      /* of each */
#define TEST_SECONDS 60
#define PLACES (MAX_CLIENTS * 16)

static char directory[64];
static int *answered_so_far; /* for other processes to see, or NULL */
static rlim_t child_files;   /* that a child may open; 0: as it is */
static bool tells_types;     /* the child asks the target for its own then */

/* ---- the target ---- */

typedef struct Client
{
	uint8_t input[1024];
	size_t len;
	bool logged_in;
	bool is_asking; /* a Query waits for its answer */
	bool is_served; /* one Query was answered */
	char mode;      /* first letter of the database */
} Client;

static const uint8_t login_answer[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0, 'Z', 0, 0, 0, 5, 'I'};
static const uint8_t login_and_more[] = "R\0\0\0\10\0\0\0\0Z\0\0\0\5I"
                                        "S\0\0\0\x0fTimeZone\0x\0"
                                        "N\0\0\0\x14SNOTICE\0Mhello\0\0";
static const uint8_t query_answer[] =
    "T\0\0\0\x1a\0\1a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
    "D\0\0\0\x0b\0\1\0\0\0\1x"
    "C\0\0\0\x0dSELECT 1\0"
    "Z\0\0\0\5I";

static const uint8_t error_answer[] = "E\0\0\0\x1bSERROR\0C42501\0Mdenied\0\0"
                                      "Z\0\0\0\5I";

/*
 * Reads a length.
 */
static inline uint32_t
length_at(const uint8_t *at)
{
	return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

/*
 * Takes a message off a client's input.  Returns whether there was a whole one.
 */
static inline bool
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
static inline bool
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
			if (client->mode == 'a' ? write(fd, login_and_more, sizeof(login_and_more) - 1) < 0
			                        : write(fd, login_answer, sizeof(login_answer)) < 0)
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
		else if (client->mode == 'w' && client->is_served)
			return false;
		else if (client->mode == 'w' &&
		         write(fd, query_answer, sizeof(query_answer) - 1) != sizeof(query_answer) - 1)
			return false;
		else if (client->mode == 'o' && write(fd, "H\0\0\0\7\0\0\0", 8) < 0)
			return false;
		else if (client->mode == 'e' && write(fd, error_answer, sizeof(error_answer) - 1) < 0)
			return false;
		else if (client->mode == 'w')
			client->is_served = true;
		else if (client->mode == 'g' || client->mode == 'a')
			client->is_asking = true;
	}
	return true;
}

/*
 * Runs the target until it is killed.  It answers nothing before so many have logged in.
 */
static inline void
run_target(int listener, int needed)
{
	static Client clients[MAX_CLIENTS];
	static struct pollfd fds[MAX_CLIENTS + 1];
	int count = 0;
	int logged_in = 0;

	fds[0] = (struct pollfd){listener, POLLIN, 0};
	for (;;)
	{
		poll(fds, (nfds_t) count + 1, 1000);
		if (getppid() == 1)
			_exit(0);
		if ((fds[0].revents & POLLIN) && count < MAX_CLIENTS)
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
			if (is_open && client->is_asking && logged_in >= needed)
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
 * Starts the target on a socket that is bound; the caller has no more use for that.
 */
static inline pid_t
start_target(int listener, int needed)
{
	pid_t pid;

	if (listen(listener, MAX_CLIENTS) != 0)
	{
		perror("listen");
		exit(1);
	}
	pid = fork();
	if (pid == 0)
	{
		signal(SIGPIPE, SIG_IGN);
		run_target(listener, needed);
	}
	close(listener);
	return pid;
}

/* ---- the worker ---- */

/*
 * Writes a plan of equal sessions.  They take turns: each with its first exchange, then
 * each with its second one; every other session's exchanges write.  They have connection
 * strings by turns.
 */
static inline void
write_plan(const char *path, int sessions, int64_t first_id, uint32_t conninfos)
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
		PlanSession session = {.session_id = first_id + i,
		                       .first = writer.exchange_count,
		                       .conninfo = (uint32_t) i % conninfos};

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
	char reason[512]; /* why a session was lost */
	char note[256];   /* the last one */
} Heard;

/* What the child said of a session. */
typedef struct HeardSession
{
	int sent; /* exchanges, by their records */
	int answered;
	uint64_t seen; /* exchanges that have a record, a bit each */
	bool is_twice; /* one has two */
	int lost;      /* verdicts session_lost, */
	int roots;     /* of which so many are roots */
	int others;    /* other verdicts */
	LinkSession end;
	char reason[256];
} HeardSession;

static HeardSession *by_session; /* from session_id 1, or NULL */

/*
 * Keeps what a record says of its session.
 */
static void
hear_session(const LinkRecord *record, const uint8_t *data)
{
	HeardSession *heard;
	LinkExchange exchange;
	LinkDifference difference;
	int64_t id;

	if (!by_session || record->size < sizeof(id) || record->kind > LINK_SESSION)
		return;
	memcpy(&id, data, sizeof(id)); /* which all these begin with */
	heard = &by_session[id - 1];
	switch (record->kind)
	{
		case LINK_EXCHANGE:
			memcpy(&exchange, data, sizeof(exchange));
			heard->sent++;
			heard->answered += exchange.is_answered;
			heard->is_twice |= heard->seen >> exchange.exchange_no & 1;
			heard->seen |= (uint64_t) 1 << exchange.exchange_no;
			break;
		case LINK_DIFFERENCE:
			memcpy(&difference, data, sizeof(difference));
			heard->lost += difference.verdict == VERDICT_SESSION_LOST;
			heard->roots += difference.verdict == VERDICT_SESSION_LOST && difference.caused_by < 0;
			heard->others += difference.verdict != VERDICT_SESSION_LOST;
			break;
		default:
			memcpy(&heard->end, data, sizeof(heard->end));
			snprintf(heard->reason, sizeof(heard->reason), "%.*s",
			         (int) (record->size - sizeof(heard->end)),
			         (const char *) data + sizeof(heard->end));
			break;
	}
}

/*
 * Takes a record of the child's.
 */
static void
hear(Heard *heard, const LinkRecord *record, const uint8_t *data)
{
	LinkExchange exchange;
	LinkDifference difference;
	LinkSession session;

	hear_session(record, data);
	switch (record->kind)
	{
		case LINK_EXCHANGE:
			memcpy(&exchange, data, sizeof(exchange));
			heard->sent++;
			heard->answered += exchange.is_answered;
			if (answered_so_far)
				*answered_so_far = heard->answered;
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
			if (session.state == LINK_SESSION_LOST)
				snprintf(heard->reason, sizeof(heard->reason), "%.*s",
				         (int) (record->size - sizeof(session)),
				         (const char *) data + sizeof(session));
			break;
		case LINK_PROGRESS:
			memcpy(&heard->progress, data, sizeof(heard->progress));
			break;
		case LINK_NOTE:
			snprintf(heard->note, sizeof(heard->note), "%.*s", (int) record->size,
			         (const char *) data);
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
start_child(const ReplaySettings *settings, const char *const *conninfos, uint32_t count,
            uint32_t number, bool is_cancelled)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
		exit(1);
	if (fork() == 0)
	{
		close(pair[0]);
		alarm(TEST_SECONDS);
		if (child_files > 0)
			setrlimit(RLIMIT_NOFILE, &(struct rlimit){child_files, child_files});
		replay_child_main(pair[1], (int) number);
	}
	close(pair[1]);
	tell(pair[0], LINK_SETTINGS, settings, sizeof(*settings));
	for (uint32_t i = 0; i < count; i++)
		tell(pair[0], LINK_CONNINFO, conninfos[i], strlen(conninfos[i]));
	if (tells_types)
		tell(pair[0], LINK_TYPES, "\xff\xff\0\0public.t", 13);
	tell(pair[0], LINK_GO, NULL, 0);
	if (is_cancelled)
		tell(pair[0], LINK_CANCEL, NULL, 0);
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
 * Runs the children on a plan to their end.
 */
static Heard
run_child_with(const ReplaySettings *settings, const char *const *conninfos, uint32_t count,
               bool is_cancelled)
{
	static uint8_t packet[LINK_PACKET];
	Heard heard = {.children = 0};
	char begun[PLAN_PATH_SIZE + 16];
	struct pollfd links[REPLAY_MAX_CHILDREN];
	uint32_t open = settings->child_count;

	if (!common_make(&replay_common, open, PLACES))
		exit(1);
	for (uint32_t i = 0; i < settings->child_count; i++)
		links[i] =
		    (struct pollfd){start_child(settings, conninfos, count, i, is_cancelled), POLLIN, 0};
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
	                           .max_sessions = MAX_CLIENTS,
	                           .connect_attempts = 1,
	                           .child_count = 1};

	snprintf(settings.plan_path, sizeof(settings.plan_path), "%s/%s", directory, name);
	return settings;
}

#endif /* REPLAY_HARNESS_H */
