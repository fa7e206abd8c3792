/*
 * relay_pump.c
 *	  The pump on a transport that behaves as badly as TLS may: it holds bytes that
 *	  its socket no longer tells of, gives them out in crumbs, takes a few at a time,
 *	  and wants its socket the other way round.
 *
 * Both ends talk at once, as much as they can, through small socket buffers, and
 * neither reads in order to write.  All bytes must come through as they were sent,
 * whatever the transport does; nothing may stand still; no leg may keep more than
 * one read's worth.  An end must be passed on as what it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checks.h"
#include "relay/process.h"

#define STREAM (1024 * 1024)
#define HELD 20000

static uint32_t seed = 1;

/* What the transport holds of a leg, and how it behaves. */
typedef struct Mock
{
	uint8_t held[HELD];
	size_t start;
	size_t len;
	bool is_awkward; /* wants its socket the other way round */
	int ended;       /* 1: properly, -1: cut */
	bool is_cut;     /* its peer's end comes as a cut */
} Mock;

/* The far end of a leg: what it sends and what it got. */
typedef struct End
{
	int fd;
	uint32_t sends; /* seed of its stream */
	size_t sent;
	size_t got;
	size_t wrong;
	bool is_shut;
} End;

/*
 * Returns a number below a limit, the same in each run.
 */
static uint32_t
dice(uint32_t limit)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % limit;
}

/*
 * Returns a byte of a stream.
 */
static uint8_t
stream_byte(uint32_t which, size_t at)
{
	return (uint8_t) ((at * 2654435761u + which * 40503u) >> 13);
}

/*
 * Reads from what is held, or fills that up from the socket.
 */
static ssize_t
mock_recv(Leg *leg, uint8_t *data, size_t size)
{
	Mock *mock = leg->state;
	size_t n;

	leg->has_more = false;
	if (mock->is_awkward && dice(8) == 0)
	{
		leg->read_wants_write = true;
		errno = EAGAIN;
		return -1;
	}
	if (mock->len == 0)
	{
		ssize_t got = recv(leg->fd, mock->held, sizeof(mock->held), 0);

		if (got <= 0)
		{
			leg->is_cut = got == 0 && mock->is_cut;
			return got;
		}
		mock->start = 0;
		mock->len = (size_t) got;
	}
	n = 1 + dice(1 + dice(9000));
	n = n < mock->len ? n : mock->len;
	n = n < size ? n : size;
	memcpy(data, mock->held + mock->start, n);
	mock->start += n;
	mock->len -= n;
	leg->has_more = mock->len > 0;
	return (ssize_t) n;
}

/*
 * Tells whether the leg's socket would be readable, so that waiting for that is
 * not for ever.
 */
static bool
is_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

/*
 * Sends a little.
 */
static ssize_t
mock_send(Leg *leg, const uint8_t *data, size_t len)
{
	Mock *mock = leg->state;
	size_t n = 1 + dice(16384);

	if (mock->is_awkward && dice(8) == 0 && is_readable(leg->fd))
	{
		leg->write_wants_read = true;
		errno = EAGAIN;
		return -1;
	}
	return send(leg->fd, data, n < len ? n : len, MSG_NOSIGNAL);
}

/*
 * Notes how the end was passed on.
 */
static void
mock_end(Leg *leg, bool properly)
{
	((Mock *) leg->state)->ended = properly ? 1 : -1;
	shutdown(leg->fd, SHUT_WR);
}

/*
 * Frees nothing: the test owns the mock.
 */
static void
mock_close(Leg *leg)
{
	leg->state = NULL;
}

static const Transport mock_transport = {true, mock_recv, mock_send, mock_end, mock_close};

/*
 * Makes a relay that is just enough for a session.
 */
static Relay *
make_relay(void)
{
	Relay *relay = calloc(1, sizeof(Relay));

	relay->board = calloc(1, BOARD_SIZE(4));
	relay->board->slot_count = 4;
	relay->board->relay_count = 1;
	relay->stats = &relay->board->relays[0];
	relay->base = event_base_new();
	relay->supervisor_fd = -1;
	relay->budget.limit = 16 * 1024 * 1024;
	relay->env.budget = &relay->budget;
	relay->texts = calloc(1, sizeof(TextPool));
	relay->texts->budget = &relay->budget;
	relay->exchanges.budget = &relay->budget;
	relay->exchanges.texts = relay->texts;
	relay->env.texts = relay->texts;
	relay->env.exchanges = &relay->exchanges;
	relay->env.finished = turn_exchange_finished;
	relay->env.text_seen = turn_text_seen;
	relay->config.authentication_timeout_ms = 60000;
	return relay;
}

/*
 * Makes a pair of sockets with small buffers; returns the relay's end.
 */
static int
make_pair(int *far)
{
	int pair[2];
	int size = 16 * 1024;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0)
		abort();
	for (int i = 0; i < 2; i++)
	{
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		setsockopt(pair[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	}
	*far = pair[1];
	return pair[0];
}

/*
 * Opens a session in the middle of its life, with a mock on the legs that have
 * one.
 */
static Session *
open_session(Relay *relay, End *client, End *server, Mock *client_mock, Mock *server_mock)
{
	struct sockaddr_storage addr = {.ss_family = AF_UNIX};
	Session *session = session_open(relay, make_pair(&client->fd), &addr);

	leg_attach(relay->base, &session->server, make_pair(&server->fd), pump_server_readable,
	           pump_server_writable, session);
	session->is_recorded = false;
	session_authenticated(session);
	if (client_mock)
	{
		session->client.transport = &mock_transport;
		session->client.state = client_mock;
	}
	if (server_mock)
	{
		session->server.transport = &mock_transport;
		session->server.state = server_mock;
	}
	session_update(session);
	return session;
}

/*
 * Lets an end send and read a little.
 */
static void
play(End *end, uint32_t reads, size_t total, bool shuts)
{
	uint8_t data[8192];
	size_t n = 1 + dice(sizeof(data));
	ssize_t done;

	if (end->sent < total)
	{
		n = n < total - end->sent ? n : total - end->sent;
		for (size_t i = 0; i < n; i++)
			data[i] = stream_byte(end->sends, end->sent + i);
		done = send(end->fd, data, n, MSG_NOSIGNAL);
		if (done > 0)
			end->sent += (size_t) done;
	}
	else if (shuts && !end->is_shut)
		end->is_shut = shutdown(end->fd, SHUT_WR) == 0;
	if (dice(3) == 0)
		return; /* a slow reader */
	done = recv(end->fd, data, 1 + dice(sizeof(data)), 0);
	for (ssize_t i = 0; i < done; i++)
		end->wrong += data[i] != stream_byte(reads, end->got + (size_t) i);
	if (done > 0)
		end->got += (size_t) done;
}

/*
 * Pumps both ways until all is through.
 */
static void
run(const char *name, Mock *client_mock, Mock *server_mock)
{
	Relay *relay = make_relay();
	End client = {.sends = 1};
	End server = {.sends = 2};
	Session *session = open_session(relay, &client, &server, client_mock, server_mock);
	size_t most = 0;
	char what[128];
	int idle = 0;

	while ((client.got < STREAM || server.got < STREAM) && idle < 20000)
	{
		size_t before = client.got + server.got + client.sent + server.sent;

		play(&client, 2, STREAM, false);
		play(&server, 1, STREAM, false);
		event_base_loop(relay->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
		most = session->client.pending.len > most ? session->client.pending.len : most;
		most = session->server.pending.len > most ? session->server.pending.len : most;
		idle = before == client.got + server.got + client.sent + server.sent ? idle + 1 : 0;
	}
	snprintf(what, sizeof(what), "%s: all bytes come through (%zu, %zu of %d)", name, client.got,
	         server.got, STREAM);
	check(client.got == STREAM && server.got == STREAM, what);
	snprintf(what, sizeof(what), "%s: as they were sent (%zu, %zu wrong)", name, client.wrong,
	         server.wrong);
	check(client.wrong + server.wrong == 0, what);
	snprintf(what, sizeof(what), "%s: no leg keeps more than a read (%zu)", name, most);
	check(most <= RELAY_IO_SIZE, what);
	session_close(session, "terminate");
	relay->closed = NULL;
	session_free(session);
	check(relay->budget.used == 0, "all memory is given back");
	close(client.fd);
	close(server.fd);
	event_base_free(relay->base);
	free(relay->texts);
	free(relay->board);
	free(relay);
}

/*
 * Ends what the client says, with bytes on the way, and looks how the server heard
 * of it.
 */
static void
run_end(const char *name, bool is_cut)
{
	Relay *relay = make_relay();
	Mock client_mock = {.is_cut = is_cut};
	Mock server_mock = {.len = 0};
	End client = {.sends = 1};
	End server = {.sends = 2};
	Session *session = open_session(relay, &client, &server, &client_mock, &server_mock);

	for (int i = 0; i < 5000 && server_mock.ended == 0; i++)
	{
		play(&client, 2, 300000, true);
		play(&server, 1, 0, false);
		event_base_loop(relay->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	}
	for (int i = 0; i < 1000 && server.got < 300000; i++)
		play(&server, 1, 0, false);
	check(server.got == 300000 && server.wrong == 0, name);
	check(server_mock.ended == (is_cut ? -1 : 1), name);
	session_close(session, "terminate");
	relay->closed = NULL;
	session_free(session);
	close(client.fd);
	close(server.fd);
	event_base_free(relay->base);
	free(relay->texts);
	free(relay->board);
	free(relay);
}

int
main(void)
{
	static Mock client;
	static Mock server;

	run("in clear", NULL, NULL);
	run("crumbs from the client", &client, NULL);
	run("crumbs from the server", NULL, &server);
	run("crumbs from both", &client, &server);
	client.is_awkward = server.is_awkward = true;
	client.len = server.len = 0;
	run("awkward client", &client, NULL);
	run("awkward server", NULL, &server);
	run("awkward both", &client, &server);
	run_end("an end behind bytes is passed on properly", false);
	run_end("a cut behind bytes is passed on as a cut", true);
	return finish();
}
