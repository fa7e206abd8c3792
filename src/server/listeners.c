/*
 * listeners.c
 *	  The listening sockets of the side port.
 *
 * The supervisor binds them and shares them with all relays, so a client that
 * connects while a relay is being restarted waits instead of being refused.
 *
 * Until relays let the server judge a client by its real address, nothing but
 * loopback is listened on: the server would take every client for a local one.
 *
 * Host names are resolved by a short-lived child, as that may take long.
 */
#include "server/supervisor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#define RETRY_US INT64CONST(1000000)
#define BACKLOG 1024

typedef struct Address
{
	struct sockaddr_storage addr;
	socklen_t len;
	bool is_optional; /* ::1 of localhost: hosts without IPv6 are no error */
} Address;

typedef struct Listener
{
	Address address;
	int fd;
} Listener;

/* What the resolver sends back. */
typedef struct Resolved
{
	int error;
	int count;
	Address addresses[8];
} Resolved;

static Listener listeners[RELAY_MAX_LISTENERS];
static int listener_count;
static int64 retry_at;

static char resolving[256]; /* the name that the resolver works on */
static int resolver_fd = -1;
static pid_t resolver_pid;
static char resolved_name[256]; /* ... and the one whose answer is below */
static Resolved resolved;

/*
 * Returns an address as text with its port.
 */
static const char *
address_text(const Address *address)
{
	static char text[INET6_ADDRSTRLEN + 16];
	char host[INET6_ADDRSTRLEN];
	const struct sockaddr_in *in = (const struct sockaddr_in *) &address->addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &address->addr;

	if (address->addr.ss_family == AF_INET)
	{
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, sizeof(text), "%s:%d", host, ntohs(in->sin_port));
	}
	else
	{
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, sizeof(text), "[%s]:%d", host, ntohs(in6->sin6_port));
	}
	return text;
}

/*
 * Tells whether an address is a loopback one.
 */
static bool
is_loopback(const Address *address)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *) &address->addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &address->addr;

	if (address->addr.ss_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/*
 * Reads a numeric address.  False: it is none.
 */
static bool
parse_address(const char *text, Address *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *) &address->addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &address->addr;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
	{
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16) pgwt_port);
		address->len = sizeof(*in);
		return true;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
	{
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16) pgwt_port);
		address->len = sizeof(*in6);
		return true;
	}
	return false;
}

/*
 * Resolves a name; runs in a child that has left the server.
 */
static void
resolver_main(int fd, int arg)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	Resolved answer = {0};

	(void) arg;
	answer.error = getaddrinfo(resolving, NULL, &hints, &found);
	for (struct addrinfo *one = found; one && answer.count < 8; one = one->ai_next)
	{
		Address *address = &answer.addresses[answer.count++];

		memcpy(&address->addr, one->ai_addr, one->ai_addrlen);
		address->len = one->ai_addrlen;
	}
	if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
		_exit(1);
	_exit(0);
}

/*
 * Adds the addresses of a name that must be resolved, if they are known; else
 * sees to it that they will be.
 */
static int
add_name(const char *name, Address *addresses, int count)
{
	if (strcmp(name, resolved_name) == 0)
	{
		if (resolved.error)
			supervisor_error(psprintf("could not resolve host name \"%s\" in "
									  "\"pgwire_trace.listen_addresses\": %s",
									  name, gai_strerror(resolved.error)));
		for (int i = 0; i < resolved.count && count < RELAY_MAX_LISTENERS; i++)
		{
			addresses[count] = resolved.addresses[i];
			/* the port stands in the same place for both families */
			((struct sockaddr_in *) &addresses[count++].addr)->sin_port =
				htons((uint16) pgwt_port);
		}
		return count;
	}
	if (resolver_fd < 0)
	{
		strlcpy(resolving, name, sizeof(resolving));
		resolver_pid = spawn_detached(resolver_main, 0, &resolver_fd);
	}
	return count;
}

/*
 * Adds an address, if it may be listened on.
 */
static int
add_address(const Address *address, Address *addresses, int count)
{
	if (!is_loopback(address))
	{
		supervisor_error(psprintf("will not listen on %s: pgwire_trace listens on loopback "
								  "addresses only, since the server would take every client of "
								  "the side port for a local one",
								  address_text(address)));
		return count;
	}
	if (count < RELAY_MAX_LISTENERS)
		addresses[count++] = *address;
	return count;
}

/*
 * Returns the addresses that the settings ask for.
 */
static int
wanted_addresses(Address *addresses)
{
	List *names = NIL;
	ListCell *cell;
	Address address;
	int count = 0;

	if (pgwt_port == 0)
		return 0;
	if (!SplitGUCList(pstrdup(pgwt_listen_addresses), ',', &names))
	{
		supervisor_error("invalid list syntax in \"pgwire_trace.listen_addresses\"");
		return 0;
	}
	foreach (cell, names)
	{
		const char *name = lfirst(cell);

		if (strcmp(name, "localhost") == 0)
		{
			if (parse_address("127.0.0.1", &address))
				count = add_address(&address, addresses, count);
			if (parse_address("::1", &address))
			{
				address.is_optional = true;
				count = add_address(&address, addresses, count);
			}
		}
		else if (strcmp(name, "*") == 0)
		{
			if (parse_address("0.0.0.0", &address))
				count = add_address(&address, addresses, count);
		}
		else if (parse_address(name, &address))
			count = add_address(&address, addresses, count);
		else
		{
			Address found[RELAY_MAX_LISTENERS];
			int n = add_name(name, found, 0);

			for (int i = 0; i < n; i++)
				count = add_address(&found[i], addresses, count);
		}
	}
	return count;
}

/*
 * Binds an address.  -1 with errno.
 */
static int
bind_address(const Address *address)
{
	int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	int error;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->addr.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *) &address->addr, address->len) == 0 &&
		listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/*
 * Finds a listener among those there are.  -1: none.
 */
static int
find_listener(const Listener *list, int count, const Address *address)
{
	for (int i = 0; i < count; i++)
		if (list[i].address.len == address->len &&
			memcmp(&list[i].address.addr, &address->addr, address->len) == 0)
			return i;
	return -1;
}

/*
 * Brings the listening sockets in line with the settings.
 */
bool
listeners_update(void)
{
	Address wanted[RELAY_MAX_LISTENERS];
	Listener before[RELAY_MAX_LISTENERS];
	int before_count = listener_count;
	int count = wanted_addresses(wanted);
	bool changed = false;

	memcpy(before, listeners, sizeof(before));
	listener_count = 0;
	retry_at = 0;
	for (int i = 0; i < count; i++)
	{
		int old = find_listener(before, before_count, &wanted[i]);
		int fd = old >= 0 ? before[old].fd : -1;

		if (find_listener(listeners, listener_count, &wanted[i]) >= 0)
			continue;
		if (old >= 0)
			before[old].fd = -1;
		else
		{
			fd = bind_address(&wanted[i]);
			if (fd >= 0)
			{
				changed = true;
				ereport(LOG, (errmsg("pgwire_trace listens on %s", address_text(&wanted[i]))));
			}
			else if (!wanted[i].is_optional || errno == EADDRINUSE)
			{
				supervisor_error(psprintf("could not listen on %s: %s", address_text(&wanted[i]),
										  strerror(errno)));
				retry_at = pgwt_now() + RETRY_US;
			}
		}
		if (fd >= 0)
			listeners[listener_count++] = (Listener){wanted[i], fd};
	}
	for (int i = 0; i < before_count; i++)
		if (before[i].fd >= 0)
		{
			close(before[i].fd);
			changed = true;
		}
	return changed;
}

int64
listeners_retry_at(void)
{
	return retry_at;
}

/*
 * Returns the descriptors.
 */
int
listeners_fds(int fds[RELAY_MAX_LISTENERS])
{
	for (int i = 0; i < listener_count; i++)
		fds[i] = listeners[i].fd;
	return listener_count;
}

/*
 * Closes all listening sockets.
 */
void
listeners_close(void)
{
	for (int i = 0; i < listener_count; i++)
		close(listeners[i].fd);
	listener_count = 0;
}

int
listeners_resolver_fd(void)
{
	return resolver_fd;
}

/*
 * Takes the resolver's answer.
 */
void
listeners_resolver_readable(void)
{
	Resolved answer;
	ssize_t n = recv(resolver_fd, &answer, sizeof(answer), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n != (ssize_t) sizeof(answer))
	{
		memset(&answer, 0, sizeof(answer));
		answer.error = EAI_FAIL;
	}
	resolved = answer;
	strlcpy(resolved_name, resolving, sizeof(resolved_name));
	close(resolver_fd);
	resolver_fd = -1;
}

/*
 * Takes notice of the resolver's end.  False: it was another child.
 */
bool
listeners_reap(pid_t pid)
{
	return pid == resolver_pid;
}
