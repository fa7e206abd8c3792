/*
 * stub_target.c
 *	  A target that costs next to nothing: it answers what pgbench -S asks, and nothing
 *	  else, so that what a replayer itself can do shows.
 *
 *		stub_target PORT DIRECTORY
 *
 * It listens on the loopback interface and on the Unix socket in the directory, as a
 * server would.  One process, one epoll loop, one read and one write for what came at
 * once.  It prints "ready" when it listens and ends when its standard input does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define INPUT 65536
#define OUTPUT 65536

typedef struct Client
{
	int fd;
	bool is_started;
	size_t len;
	uint8_t input[INPUT];
} Client;

/* What is to be written, of the client in hand. */
static uint8_t output[OUTPUT];
static size_t output_len;

#define LOGIN                                      \
	"R\0\0\0\10\0\0\0\0"                           \
	"S\0\0\0\x18server_version\00015.0\0"          \
	"S\0\0\0\x19"                                  \
	"client_encoding\0UTF8\0"                      \
	"S\0\0\0\x23standard_conforming_strings\0on\0" \
	"K\0\0\0\14\0\0\0\1\0\0\0\1"                   \
	"Z\0\0\0\5I"
#define DESCRIPTION   \
	"T\0\0\0\x21\0\1" \
	"abalance\0\0\0\0\0\0\0\0\0\0\27\0\4\xff\xff\xff\xff\0\0"
#define ROW                  \
	"D\0\0\0\13\0\1\0\0\0\1" \
	"0"
#define TAG "C\0\0\0\15SELECT 1\0"
#define READY "Z\0\0\0\5I"

/*
 * Appends an answer, if there is room: a client that asks so much at once is not one
 * of those that this is for.
 */
static void
put(const char *data, size_t len)
{
	if (output_len + len > OUTPUT)
		exit(1);
	memcpy(output + output_len, data, len);
	output_len += len;
}

#define PUT(text) put(text, sizeof(text) - 1)

/*
 * Reads a length.
 */
static uint32_t
length_at(const uint8_t *at)
{
	return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

/*
 * Answers a startup packet, of TLS and GSS too.
 */
static void
start(Client *client, const uint8_t *packet)
{
	if (length_at(packet + 4) >> 16 == 1234)
	{
		PUT("N");
		return;
	}
	client->is_started = true;
	PUT(LOGIN);
}

/*
 * Answers a message.  False: the client says goodbye.
 */
static bool
answer(const uint8_t *message)
{
	switch (message[0])
	{
		case 'Q':
			PUT(DESCRIPTION ROW TAG READY);
			break;
		case 'P':
			PUT("1\0\0\0\4");
			break;
		case 'B':
			PUT("2\0\0\0\4");
			break;
		case 'D':
			if (message[5] == 'S')
				PUT("t\0\0\0\12\0\1\0\0\0\27");
			PUT(DESCRIPTION);
			break;
		case 'E':
			PUT(ROW TAG);
			break;
		case 'C':
			PUT("3\0\0\0\4");
			break;
		case 'S':
			PUT(READY);
			break;
		case 'X':
			return false;
		default:
			break;
	}
	return true;
}

/*
 * Answers what a client has sent.  False: it is to be closed.
 */
static bool
serve(Client *client)
{
	size_t at = 0;
	bool goes_on = true;
	ssize_t got = read(client->fd, client->input + client->len, INPUT - client->len);

	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	client->len += (size_t) got;
	output_len = 0;
	while (goes_on)
	{
		size_t header = client->is_started ? 5 : 4;
		const uint8_t *message = client->input + at;

		if (client->len - at < header ||
		    client->len - at < length_at(message + header - 4) + header - 4)
			break;
		at += length_at(message + header - 4) + header - 4;
		if (client->is_started)
			goes_on = answer(message);
		else
			start(client, message);
	}
	client->len -= at;
	memmove(client->input, client->input + at, client->len);
	return goes_on && write(client->fd, output, output_len) == (ssize_t) output_len;
}

/*
 * Accepts a client.
 */
static void
accept_client(int listener, int epoll)
{
	int fd = accept(listener, NULL, NULL);
	int on = 1;
	Client *client = calloc(1, sizeof(Client));

	if (fd < 0 || !client)
		exit(1);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* a Unix socket has no such */
	client->fd = fd;
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd,
	          &(struct epoll_event){.events = EPOLLIN, .data.ptr = client});
}

/*
 * Listens on a port of the loopback interface.
 */
static int
open_listener(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_port = htons((uint16_t) port),
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
	    listen(listener, 128) != 0)
	{
		perror("listen");
		exit(1);
	}
	return listener;
}

/*
 * Listens on the Unix socket of a port, for everybody.
 */
static int
open_socket(const char *directory, int port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.%d", directory, port);
	if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
	    chmod(address.sun_path, 0777) != 0 || listen(listener, 128) != 0)
	{
		perror(address.sun_path);
		exit(1);
	}
	return listener;
}

int
main(int argc, char **argv)
{
	int epoll = epoll_create1(0);
	int listeners[2];
	struct epoll_event events[64];
	static char stdin_mark;

	if (argc != 3)
		return 2;
	listeners[0] = open_listener(atoi(argv[1]));
	listeners[1] = open_socket(argv[2], atoi(argv[1]));
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 2; i++)
		epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i],
		          &(struct epoll_event){.events = EPOLLIN, .data.ptr = &listeners[i]});
	epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO,
	          &(struct epoll_event){.events = EPOLLIN, .data.ptr = &stdin_mark});
	puts("ready");
	fflush(stdout);
	for (;;)
	{
		int count = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < count; i++)
		{
			Client *client = events[i].data.ptr;

			if (events[i].data.ptr == &listeners[0] || events[i].data.ptr == &listeners[1])
				accept_client(*(int *) events[i].data.ptr, epoll);
			else if (events[i].data.ptr == &stdin_mark)
				return 0;
			else if (!serve(client))
			{
				close(client->fd);
				free(client);
			}
		}
	}
}
