/*
 * bare_client.c
 *	  A player that only sends and receives, as fast as that goes: what the target and the
 *	  kernel allow, next to which players are seen.
 *
 *		bare_client HOST PORT simple|prepared CLIENTS COUNT
 *
 * Each client says the same as a client of pgbench -S does, COUNT times, the next when
 * the last is answered.  HOST is 127.0.0.1, or the directory of a Unix socket.  It
 * knows nothing of the protocol but that an answer ends with ReadyForQuery.  Prints
 * exchanges, seconds, processor seconds.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS 1024
#define READ_SIZE 65536

#define STARTUP         \
	"\0\0\0\27\0\3\0\0" \
	"user\0postgres\0\0"
#define QUERY    \
	"Q\0\0\0\76" \
	"SELECT abalance FROM pgbench_accounts WHERE aid = 523456;\0"
#define BIND                            \
	"B\0\0\0\31\0P_0\0\0\0\0\1\0\0\0\6" \
	"523456\0\0"
#define DESCRIBE "D\0\0\0\6P\0"
#define EXECUTE "E\0\0\0\11\0\0\0\0\0"
#define SYNC "S\0\0\0\4"

static int fds[MAX_CLIENTS];
static long left[MAX_CLIENTS];

/*
 * Ends with the reason that the system gives.
 */
static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

/*
 * Connects, and logs in.
 */
static int
log_in(const char *host, int port)
{
	static char answer[READ_SIZE];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	int is_unix = host[0] == '/';
	int on = 1;
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

	if (is_unix)
		snprintf(path.sun_path, sizeof(path.sun_path), "%s/.s.PGSQL.%d", host, port);
	else if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		exit(2);
	if (connect(fd, is_unix ? (struct sockaddr *) &path : (struct sockaddr *) &address,
	            is_unix ? sizeof(path) : sizeof(address)) != 0)
		fail("connect");
	if (!is_unix)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (write(fd, STARTUP, sizeof(STARTUP) - 1) != sizeof(STARTUP) - 1 ||
	    read(fd, answer, sizeof(answer)) <= 0)
		fail("login");
	return fd;
}

/*
 * Tells whether bytes end with ReadyForQuery.
 */
static int
is_ready(const char *data, ssize_t len)
{
	return len >= 6 && memcmp(data + len - 6, "Z\0\0\0\5", 5) == 0;
}

/*
 * Plays until all are answered.
 */
static void
play(int epoll, int clients, const char *request, size_t len)
{
	static char data[READ_SIZE];
	struct epoll_event events[64];
	int live = clients;

	for (int i = 0; i < clients; i++)
		if (send(fds[i], request, len, MSG_NOSIGNAL) != (ssize_t) len)
			fail("send");
	while (live > 0)
	{
		int count = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < count; i++)
		{
			uint32_t client = events[i].data.u32;
			ssize_t got = recv(fds[client], data, sizeof(data), 0);

			if (got <= 0)
				fail("recv");
			if (!is_ready(data, got))
				continue;
			if (--left[client] == 0)
				live--;
			else if (send(fds[client], request, len, MSG_NOSIGNAL) != (ssize_t) len)
				fail("send");
		}
	}
}

/*
 * Returns a clock, in seconds.
 */
static double
seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double) now.tv_sec + 1e-9 * (double) now.tv_nsec;
}

int
main(int argc, char **argv)
{
	static const char simple[] = QUERY;
	static const char prepared[] = BIND DESCRIBE EXECUTE SYNC;
	int is_simple;
	int clients;
	long count;
	int epoll = epoll_create1(0);
	double begin;

	if (argc != 6)
		return 2;
	is_simple = strcmp(argv[3], "simple") == 0;
	clients = atoi(argv[4]);
	count = atol(argv[5]);
	if (clients < 1 || clients > MAX_CLIENTS || count < 1)
		return 2;
	for (int i = 0; i < clients; i++)
	{
		fds[i] = log_in(argv[1], atoi(argv[2]));
		left[i] = count;
		epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i],
		          &(struct epoll_event){.events = EPOLLIN, .data.u32 = (uint32_t) i});
	}
	begin = seconds(CLOCK_MONOTONIC);
	play(epoll, clients, is_simple ? simple : prepared,
	     (is_simple ? sizeof(simple) : sizeof(prepared)) - 1);
	printf("%ld %.6f %.6f\n", clients * count, seconds(CLOCK_MONOTONIC) - begin,
	       seconds(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}
