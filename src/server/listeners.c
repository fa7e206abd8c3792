/*
 * listeners.c
 *	  The listening sockets of the side port.
 *
 * The supervisor binds them and shares them with all relays, so a client that
 * connects while a relay is being restarted waits instead of being refused.
 *
 * An address that cannot be bound is tried again, ever more seldom; it is never
 * replaced by another one.
 */
#include "server/supervisor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "utils/varlena.h"

#define RETRY_FIRST_US INT64CONST(250000)
#define RETRY_MAX_US INT64CONST(5000000)
#define TOUCH_US (58 * INT64CONST(60000000)) /* as the server does with its own */

typedef struct Listener
{
	RelayAddress address;
	bool is_optional; /* IPv6 of localhost and *: a host without IPv6 is no error */
	int fd;           /* -1: not bound */
} Listener;

/* Addresses while they are being gathered. */
typedef struct Wanted
{
	Listener entries[RELAY_MAX_LISTENERS];
	int count;
} Wanted;

static Listener listeners[RELAY_MAX_LISTENERS];
static int listener_count;
static int64 retry_at;
static int64 retry_after = RETRY_FIRST_US;

/*
 * Returns an address as text with its port.
 */
static const char *
address_text(const RelayAddress *address)
{
	char host[INET6_ADDRSTRLEN];
	const struct sockaddr_in *in = (const struct sockaddr_in *) &address->addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &address->addr;

	if (address->addr.ss_family == AF_UNIX)
		return psprintf("Unix socket \"%s\"", unix_socket_path(address));
	if (address->addr.ss_family == AF_INET)
		return psprintf("%s:%d", inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)),
		                ntohs(in->sin_port));
	return psprintf("[%s]:%d", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)),
	                ntohs(in6->sin6_port));
}

/*
 * Reads a numeric address.  False: it is none.
 */
bool
address_parse(const char *text, int port, RelayAddress *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *) &address->addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &address->addr;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
	{
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16) port);
		address->len = sizeof(*in);
		return true;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
	{
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16) port);
		address->len = sizeof(*in6);
		return true;
	}
	return false;
}

/*
 * Finds a listener among those there are.  -1: none.
 */
static int
find_listener(const Listener *list, int count, const RelayAddress *address)
{
	for (int i = 0; i < count; i++)
		if (list[i].address.len == address->len &&
		    memcmp(&list[i].address.addr, &address->addr, address->len) == 0)
			return i;
	return -1;
}

/*
 * Adds an address to what is wanted.
 */
static void
add_address(Wanted *wanted, const RelayAddress *address, bool is_optional)
{
	if (find_listener(wanted->entries, wanted->count, address) >= 0)
		return;
	if (wanted->count == RELAY_MAX_LISTENERS)
		supervisor_error(psprintf("will not listen on %s: there are %d addresses already",
		                          address_text(address), RELAY_MAX_LISTENERS));
	else
		wanted->entries[wanted->count++] = (Listener){*address, is_optional, -1};
}

/*
 * Adds an address given as numbers.
 */
static void
add_numeric(Wanted *wanted, const char *text, bool is_optional)
{
	RelayAddress address;

	if (address_parse(text, pgwt_port, &address))
		add_address(wanted, &address, is_optional);
}

/*
 * Adds the loopback addresses, whatever the resolver thinks of "localhost".
 */
static void
add_localhost(Wanted *wanted)
{
	add_numeric(wanted, "127.0.0.1", false);
	add_numeric(wanted, "::1", true);
}

/*
 * Adds the addresses of a host name, those that are known by now.
 */
static void
add_name(Wanted *wanted, const char *name)
{
	RelayAddress found[RESOLVE_MAX];
	int count = resolve_name(name, "pgwire_trace.listen_addresses", found);

	for (int i = 0; i < count; i++)
	{
		/* the port stands in the same place for both families */
		((struct sockaddr_in *) &found[i].addr)->sin_port = htons((uint16) pgwt_port);
		add_address(wanted, &found[i], false);
	}
}

/*
 * Adds an item of listen_addresses.  "*" is all addresses of either family.
 */
static void
add_item(Wanted *wanted, const char *item)
{
	RelayAddress address;

	if (strcmp(item, "*") == 0)
	{
		add_numeric(wanted, "0.0.0.0", false);
		add_numeric(wanted, "::", true);
	}
	else if (strcmp(item, "localhost") == 0)
		add_localhost(wanted);
	else if (address_parse(item, pgwt_port, &address))
		add_address(wanted, &address, false);
	else
		add_name(wanted, item);
}

/*
 * Gathers the Unix sockets that the settings ask for.
 */
static void
gather_unix(Wanted *wanted)
{
	List *directories = NIL;
	ListCell *cell;

	if (!SplitDirectoriesString(pstrdup(pgwt_unix_socket_directories), ',', &directories))
		return;
	foreach (cell, directories)
	{
		const char *directory = lfirst(cell);
		RelayAddress address;

		if (pgwt_port == 0)
			supervisor_error(
			    "Unix sockets are named by \"pgwire_trace.port\", which is 0; for Unix "
			    "sockets alone, empty \"pgwire_trace.listen_addresses\" instead");
		else if (!unix_socket_address(directory, pgwt_port, &address))
			supervisor_error(
			    psprintf("the path of a Unix socket in \"%s\" is too long", directory));
		else
			add_address(wanted, &address, false);
	}
}

/*
 * Gathers the addresses that the settings ask for.
 */
static void
gather(Wanted *wanted)
{
	List *items = NIL;
	ListCell *cell;

	wanted->count = 0;
	gather_unix(wanted);
	/* the check of the setting has seen to its syntax */
	if (pgwt_port == 0 || !SplitGUCList(pstrdup(pgwt_listen_addresses), ',', &items))
		return;
	foreach (cell, items)
		add_item(wanted, lfirst(cell));
}

/*
 * Binds an address and listens on it.  -1 with errno.
 */
static int
bind_address(const RelayAddress *address)
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
	    listen(fd, LISTENER_BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/*
 * Binds a Unix socket.  True: it is bound.
 */
static bool
open_unix(Listener *listener)
{
	const char *error;
	const char *text = address_text(&listener->address);

	listener->fd = unix_socket_bind(&listener->address, &error);
	if (listener->fd >= 0)
		ereport(LOG, (errmsg("pgwire_trace listens on %s", text)));
	else
		supervisor_error(psprintf("could not listen on %s: %s", text, error));
	return listener->fd >= 0;
}

/*
 * Closes a listener that is bound.
 */
static void
close_listener(Listener *listener)
{
	if (listener->fd < 0)
		return;
	close(listener->fd);
	listener->fd = -1;
	if (listener->address.addr.ss_family == AF_UNIX)
		unix_socket_remove(&listener->address);
}

/*
 * Tries to bind a listener.  True: it is bound, or need not be.
 */
static bool
open_listener(Listener *listener, bool is_reload)
{
	const char *text = address_text(&listener->address);

	if (listener->address.addr.ss_family == AF_UNIX)
		return open_unix(listener);
	listener->fd = bind_address(&listener->address);
	if (listener->fd >= 0)
	{
		ereport(LOG, (errmsg("pgwire_trace listens on %s", text)));
		return true;
	}
	if (listener->is_optional && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT))
	{
		if (is_reload)
			ereport(LOG, (errcode_for_socket_access(),
			              errmsg("pgwire_trace does not listen on %s: %m", text)));
		return true;
	}
	supervisor_error(psprintf("could not listen on %s: %s%s", text, strerror(errno),
	                          errno == EADDRINUSE ? " (is another server using the port? it is "
	                                                "tried again)"
	                                              : ""));
	return false;
}

/*
 * Takes over from the listeners of before what is still wanted and closes the
 * others.  True: something was closed.
 */
static bool
carry_over(Wanted *wanted)
{
	bool closed = false;

	for (int i = 0; i < listener_count; i++)
	{
		int same = find_listener(wanted->entries, wanted->count, &listeners[i].address);

		if (same >= 0)
			wanted->entries[same].fd = listeners[i].fd;
		else if (listeners[i].fd >= 0)
		{
			close_listener(&listeners[i]);
			closed = true;
		}
	}
	return closed;
}

/*
 * Brings the listening sockets in line with the settings.
 */
bool
listeners_update(bool is_reload)
{
	Wanted wanted;
	bool is_done = true;
	bool changed;

	gather(&wanted);
	changed = carry_over(&wanted);
	for (int i = 0; i < wanted.count; i++)
	{
		Listener *listener = &wanted.entries[i];

		if (listener->fd >= 0)
			continue;
		is_done = open_listener(listener, is_reload) && is_done;
		changed = changed || listener->fd >= 0;
	}
	memcpy(listeners, wanted.entries, sizeof(listeners));
	listener_count = wanted.count;
	retry_after = is_reload ? RETRY_FIRST_US : Min(retry_after * 2, RETRY_MAX_US);
	retry_at = is_done ? 0 : pgwt_now() + retry_after;
	return changed;
}

/*
 * Returns when listeners_update should be called again without news; 0: no need.
 */
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
	int count = 0;

	for (int i = 0; i < listener_count; i++)
		if (listeners[i].fd >= 0)
			fds[count++] = listeners[i].fd;
	return count;
}

/*
 * Touches the files of Unix sockets once in a while.
 */
void
listeners_touch(void)
{
	static int64 touched_at;
	int64 now = pgwt_now();

	if (touched_at == 0)
		touched_at = now;
	if (now - touched_at < TOUCH_US)
		return;
	touched_at = now;
	for (int i = 0; i < listener_count; i++)
		if (listeners[i].fd >= 0 && listeners[i].address.addr.ss_family == AF_UNIX)
			unix_socket_touch(&listeners[i].address);
}

/*
 * Closes all listening sockets.
 */
void
listeners_close(void)
{
	for (int i = 0; i < listener_count; i++)
		close_listener(&listeners[i]);
	listener_count = 0;
}
