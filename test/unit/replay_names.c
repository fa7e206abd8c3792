/*
 * replay_names.c
 *	  How a replay's network process finds a target by its name: slow resolvers, hanging
 *	  ones, names with several addresses, with none, and names that move.
 *
 * The resolver is this program's own getaddrinfo(), which libpq calls too: so it sees
 * who asks, and how often.  The loop itself must never ask for a name.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <time.h>

#include "replay_harness.h"

#define OTHERS 200      /* sessions that want other names than the slow one */
#define SLOW_SECONDS 20 /* so long a slow name waits for others */

/* What all processes see. */
typedef struct Seen
{
	int in_loop; /* names that the network process asked for itself */
	int asked;   /* names that helpers asked for */
	int answered;
	bool is_late; /* the slow name was answered before all others were done */
	bool moves;   /* the name that moves, when it is asked for again */
} Seen;

static Seen *seen;
static int port;

/*
 * Returns addresses as getaddrinfo() does.
 */
static struct addrinfo *
make_addresses(const char *const *texts, int count, const char *service)
{
	struct addrinfo *first = NULL;

	while (count-- > 0)
	{
		struct addrinfo *one = calloc(1, sizeof(*one) + sizeof(struct sockaddr_in));
		struct sockaddr_in *address = (struct sockaddr_in *) (one + 1);

		address->sin_family = AF_INET;
		address->sin_port = htons((uint16_t) (service ? atoi(service) : 0));
		inet_pton(AF_INET, texts[count], &address->sin_addr);
		*one = (struct addrinfo){.ai_family = AF_INET,
		                         .ai_socktype = SOCK_STREAM,
		                         .ai_addrlen = sizeof(*address),
		                         .ai_addr = (struct sockaddr *) address,
		                         .ai_next = first};
		first = one;
	}
	return first;
}

/*
 * Takes until the sessions of other names are done: if those wait for it they never are.
 */
static void
be_slow(void)
{
	struct timespec wait = {0, 10000000};

	for (int i = 0; i < SLOW_SECONDS * 100; i++)
	{
		if (__atomic_load_n(&seen->answered, __ATOMIC_SEQ_CST) >= OTHERS * EXCHANGES)
			return;
		nanosleep(&wait, NULL);
	}
	seen->is_late = true;
}

/*
 * Resolves the tests' names, and addresses.
 */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **found)
{
	static const char *const here[] = {"127.0.0.1"};
	static const char *const nowhere[] = {"127.0.0.2"};
	static const char *const several[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1"};
	struct in_addr address;
	bool is_address = inet_pton(AF_INET, name, &address) == 1;

	if (is_address || (hints->ai_flags & AI_NUMERICHOST))
	{
		*found = is_address ? make_addresses(&name, 1, service) : NULL;
		return is_address ? 0 : EAI_NONAME;
	}
	if (service) /* libpq gives the port, helpers do not */
		__atomic_add_fetch(&seen->in_loop, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&seen->asked, 1, __ATOMIC_SEQ_CST);
	if (strcmp(name, "hang.test") == 0 && service)
		return EAI_AGAIN;
	if (strcmp(name, "hang.test") == 0)
		for (;;)
			pause();
	if (strcmp(name, "dies.test") == 0)
		raise(SIGKILL);
	if (strcmp(name, "slow.test") == 0)
		be_slow();
	if (strcmp(name, "several.test") == 0)
		*found = make_addresses(several, 3, service);
	else if (strcmp(name, "moving.test") == 0)
		*found = make_addresses(
		    __atomic_exchange_n(&seen->moves, true, __ATOMIC_SEQ_CST) ? here : nowhere, 1, service);
	else if (strcmp(name, "slow.test") == 0 || strcmp(name, "good.test") == 0)
		*found = make_addresses(here, 1, service);
	else
		return EAI_NONAME;
	return 0;
}

/*
 * Frees what the above has made.
 */
void
freeaddrinfo(struct addrinfo *first)
{
	while (first)
	{
		struct addrinfo *next = first->ai_next;

		free(first);
		first = next;
	}
}

/*
 * Starts the target at a free port of 127.0.0.1.
 */
static pid_t
start_tcp_target(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &address, len) != 0 ||
	    getsockname(listener, (struct sockaddr *) &address, &len) != 0)
	{
		perror("bind");
		exit(1);
	}
	port = ntohs(address.sin_port);
	return start_target(listener, 0);
}

/* What is expected of a run. */
typedef struct Expected
{
	int sent;
	int lost;           /* sessions */
	int asked;          /* names, at most */
	const char *reason; /* part of why they were lost, or NULL */
} Expected;

/*
 * Runs sessions with connection strings, which begin with `where`, by turns.
 */
static void
run(const char *what, const ReplaySettings *settings, int sessions, const char *const *where,
    uint32_t count, const Expected *expected)
{
	char conninfos[4][512];
	const char *pointers[4];
	char text[1024];
	Heard heard;

	for (uint32_t i = 0; i < count; i++)
	{
		snprintf(conninfos[i], sizeof(conninfos[i]), "%s user=u dbname=good sslmode=disable%s",
		         where[i], strstr(where[i], "port=") ? "" : " port=");
		if (!strstr(where[i], "port="))
			snprintf(conninfos[i] + strlen(conninfos[i]), 16, "%d", port);
		pointers[i] = conninfos[i];
	}
	seen->asked = seen->in_loop = seen->answered = 0;
	write_plan(settings->plan_path, sessions, 1, count);
	heard = run_child_with(settings, pointers, count, false);
	snprintf(
	    text, sizeof(text),
	    "%s: done %d, sent %d, answered %d, lost %d (%s), left %u, asked %d times, %d in the loop",
	    what, heard.is_done, heard.sent, heard.answered, heard.ended[LINK_SESSION_LOST],
	    heard.reason, heard.left, seen->asked, seen->in_loop);
	check(heard.is_done && heard.sent == expected->sent && heard.answered == expected->sent &&
	          heard.ended[LINK_SESSION_LOST] == expected->lost &&
	          heard.sent + (int) heard.left == sessions * EXCHANGES &&
	          seen->asked <= expected->asked && seen->in_loop == 0 &&
	          (!expected->reason || strstr(heard.reason, expected->reason)),
	      text);
}

/*
 * A slow name holds up those that want it, and nobody else.
 */
static void
run_slow(void)
{
	static const char *const where[] = {"host=slow.test", "host=127.0.0.1", "host=good.test"};
	ReplaySettings settings = make_settings("slow", ORDERING_NONE);

	run("slow", &settings, OTHERS / 2 * 3, where, 3,
	    &(Expected){OTHERS / 2 * 3 * EXCHANGES, 0, 2, NULL});
	check(!seen->is_late, "slow: all others were answered before the slow name was");
}

/*
 * A name that is never answered is given up in time; who has another host goes there.
 */
static void
run_hanging(void)
{
	static const char *const where[] = {"host=hang.test", "host=127.0.0.1",
	                                    "host=hang.test,good.test"};
	ReplaySettings settings = make_settings("hanging", ORDERING_NONE);

	settings.connect_timeout_us = 300000;
	settings.connect_attempts = 2;
	settings.connect_delay_us = 1000;
	run("hanging", &settings, 30, where, 3,
	    &(Expected){20 * EXCHANGES, 10, 4,
	                "could not translate host name \"hang.test\" to address: no answer in time"});
}

/*
 * Names with several addresses, lists of hosts, names without an address.
 */
static void
run_lists(void)
{
	static const char *const several[] = {"host=several.test"};
	static const char *const none[] = {"host=none.test"};
	static const char *const dies[] = {"host=dies.test"};
	static const char *const given[] = {"host=none.test hostaddr=127.0.0.1"};
	char lists[3][256];
	const char *where[3] = {lists[0], lists[1], lists[2]};
	ReplaySettings settings = make_settings("lists", ORDERING_NONE);

	settings.connect_attempts = 3;
	settings.connect_delay_us = 1000;
	run("several addresses", &settings, 20, several, 1, &(Expected){20 * EXCHANGES, 0, 1, NULL});
	run("no such name", &settings, 2, none, 1,
	    &(Expected){0, 2, 6, "host name \"none.test\" to address: Name or service not known"});
	run("a resolver that dies", &settings, 2, dies, 1,
	    &(Expected){0, 2, 6, "\"dies.test\" to address: the process that was to ask has died"});
	run("an address beside the name", &settings, 2, given, 1,
	    &(Expected){2 * EXCHANGES, 0, 0, NULL});
	snprintf(lists[0], sizeof(lists[0]), "host=none.test,%s,good.test port=1,1,%d", directory,
	         port);
	snprintf(lists[1], sizeof(lists[1]), "host=several.test,good.test port=1,%d", port);
	snprintf(lists[2], sizeof(lists[2]), "host=good.test,none.test hostaddr=,127.0.0.1 port=1,%d",
	         port);
	run("lists of hosts", &settings, 6, where, 3, &(Expected){6 * EXCHANGES, 0, 4, NULL});
	snprintf(lists[0], sizeof(lists[0]), "host=good.test,none.test port=1,2,3");
	run("lists that do not fit", &settings, 2, where, 1,
	    &(Expected){0, 2, 0, "could not match 3 port numbers to 2 hosts"});
}

/*
 * A name that means another machine when it is asked for again, behind a failure.
 */
static void
run_moving(void)
{
	static const char *const where[] = {"host=moving.test"};
	ReplaySettings settings = make_settings("moving", ORDERING_COMMIT);

	settings.child_count = 2;
	settings.connect_attempts = 2;
	settings.connect_delay_us = 1000;
	run("moving", &settings, 200, where, 1, &(Expected){200 * EXCHANGES, 0, 200, NULL});
}

/*
 * Hosts that a service file names.
 */
static void
run_service(void)
{
	static const char *const where[] = {"service=here", "service=none"};
	ReplaySettings settings = make_settings("service", ORDERING_NONE);
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/.pg_service.conf", directory);
	file = fopen(path, "w");
	fprintf(file, "[here]\nhost=several.test\nport=%d\n", port);
	fclose(file);
	setenv("HOME", directory, 1);
	run("service", &settings, 4, where, 2,
	    &(Expected){2 * EXCHANGES, 2, 1, "definition of service \"none\" not found"});
	unlink(path);
}

/*
 * Runs the tests.
 */
int
main(void)
{
	pid_t target;

	seen = mmap(NULL, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(directory, sizeof(directory), "/tmp/replay_names.%d", (int) getpid());
	mkdir(directory, 0700);
	answered_so_far = &seen->answered;
	target = start_tcp_target();
	run_slow();
	run_hanging();
	run_lists();
	run_moving();
	run_service();
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	rmdir(directory);
	return finish();
}
