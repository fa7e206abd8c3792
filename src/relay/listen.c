/*
 * listen.c
 *	  Accepts clients on the sockets that the supervisor bound and shares.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "relay/process.h"

#define ACCEPT_PAUSE_MS 200
#define PLACES 256 /* where silent clients are counted */

/*
 * Starts or stops accepting clients; those who come meanwhile wait.
 */
void
listen_set(Relay *relay, bool accepting)
{
	for (uint32_t i = 0; i < relay->listener_count; i++)
	{
		if (accepting)
			event_add(relay->listener_events[i], NULL);
		else
			event_del(relay->listener_events[i]);
	}
}

/*
 * Event: a pause is over.
 */
static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	Relay *relay = arg;

	(void) fd;
	(void) what;
	listen_set(relay, !relay->is_held);
}

/*
 * Stops accepting for a moment: descriptors or memory have run out, and the
 * listening socket would stay readable.
 */
static void
pause_accepting(Relay *relay, int error)
{
	struct timeval wait = {0, ACCEPT_PAUSE_MS * 1000};

	relay_error(relay, "could not accept a client, will try again: %s", strerror(error));
	listen_set(relay, false);
	if (!relay->accept_timer)
		relay->accept_timer = evtimer_new(relay->base, on_pause_over, relay);
	evtimer_add(relay->accept_timer, &wait);
}

/*
 * Counts the clients of all relays that are not authenticated: all of them, and
 * those whose startup packet has come.
 */
static void
count_unauthenticated(const Relay *relay, uint64_t *all, uint64_t *asking)
{
	*all = *asking = 0;
	for (uint32_t i = 0; i < relay->board->relay_count && i < BOARD_MAX_RELAYS; i++)
	{
		*all += board_get(&relay->board->relays[i].unauthenticated);
		*asking += board_get(&relay->board->relays[i].asking);
	}
}

/*
 * Returns where a client is counted: by its address, or its network if that is
 * IPv6, or its user.  Those who meet in a place share it.
 */
static uint32_t
place_of(const Session *session)
{
	const struct sockaddr_storage *addr = &session->client_addr;
	const struct sockaddr_in *in = (const struct sockaddr_in *) addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) addr;
	uint64_t key = session->client_uid;

	if (addr->ss_family == AF_INET)
		key = in->sin_addr.s_addr;
	else if (addr->ss_family == AF_INET6)
		memcpy(&key, &in6->sin6_addr, sizeof(key));
	return (uint32_t) (XXH3_64bits(&key, sizeof(key)) % PLACES);
}

/*
 * Makes room among the unauthenticated: ends a client of this relay that has not
 * even sent a startup packet, the oldest of those who are most in one place.  So
 * a flood from an address ends its own, and not others who are slow to come in.
 * False: there is none.
 */
static bool
evict_silent(Relay *relay)
{
	uint32_t counts[PLACES] = {0};
	uint32_t most = 0;
	Session *oldest = NULL;

	for (Session *session = relay->sessions; session; session = session->next)
	{
		if (session->state != SESSION_STARTUP)
			continue;
		session->place = place_of(session);
		if (++counts[session->place] > most)
			most = counts[session->place];
	}
	for (Session *session = relay->sessions; session; session = session->next)
		if (session->state == SESSION_STARTUP && counts[session->place] == most)
			oldest = session;
	if (!oldest)
		return false;
	board_add(&relay->stats->sessions_refused, 1);
	session_close(oldest, "authentication_timeout");
	return true;
}

/*
 * Lets an accepted client in, or refuses it.  Where there are too many, a silent
 * one makes room; one of another relay's is not ours to end, so it counts no more.
 */
static void
admit(Relay *relay, int fd, const struct sockaddr_storage *addr)
{
	uint64_t all;
	uint64_t asking;
	bool full;
	Session *session;

	count_unauthenticated(relay, &all, &asking);
	full = all >= relay->config.max_unauthenticated && !evict_silent(relay) &&
	       asking >= relay->config.max_unauthenticated;
	session = session_open(relay, fd, addr);
	if (session && full)
	{
		board_add(&relay->stats->sessions_refused, 1);
		session_refuse(session, "too_many_sessions", "53300",
		               "too many clients that are not authenticated yet: "
		               "pgwire_trace.max_unauthenticated is %u",
		               relay->config.max_unauthenticated);
	}
}

/*
 * Event: a listening socket has clients.
 */
static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	Relay *relay = arg;

	(void) what;
	for (int i = 0; i < RELAY_ACCEPTS_A_TURN; i++)
	{
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);
		int fd;

		memset(&addr, 0, sizeof(addr));
		fd = accept4(listener, (struct sockaddr *) &addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			admit(relay, fd, &addr);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		{
			pause_accepting(relay, errno);
			return;
		}
		else if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

/*
 * Closes the listening sockets.
 */
void
listen_close(Relay *relay)
{
	for (uint32_t i = 0; i < relay->listener_count; i++)
	{
		event_free(relay->listener_events[i]);
		close(relay->listeners[i]);
	}
	relay->listener_count = 0;
}

/*
 * Takes over listening sockets in place of the present ones.
 */
void
listen_take(Relay *relay, const int *fds, uint32_t count)
{
	listen_close(relay);
	for (uint32_t i = 0; i < count && i < RELAY_MAX_LISTENERS; i++)
	{
		relay->listeners[i] = fds[i];
		relay->listener_events[i] =
		    event_new(relay->base, fds[i], EV_READ | EV_PERSIST, on_accept, relay);
		relay->listener_count++;
	}
	listen_set(relay, !relay->is_held);
}
