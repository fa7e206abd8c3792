/*
 * upstream.c
 *	  Where the relays find the server: its own port, on this machine.
 *
 * Names among its listen_addresses are looked up by a child (resolve.c); what they
 * mean comes with a later call.
 */
#include "server/supervisor.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libpq/libpq.h"
#include "postmaster/postmaster.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

/*
 * Adds a TCP address of the server's, if it is numeric.
 */
static void
add_address(RelayConfig *config, const char *host)
{
	uint32 *count = &config->tls_upstream_count;

	if (*count < RELAY_MAX_UPSTREAMS &&
	    address_parse(host, PostPortNumber, &config->tls_upstreams[*count]))
		(*count)++;
}

/*
 * Tells whether an item of the server's listen_addresses is one of three words.
 */
static bool
is_one_of(const char *item, const char *a, const char *b, const char *c)
{
	return strcmp(item, a) == 0 || strcmp(item, b) == 0 || strcmp(item, c) == 0;
}

/*
 * Tells whether an address is this machine's: the server could listen nowhere else,
 * whatever a name may mean by now.
 */
static bool
is_own(const RelayAddress *address)
{
	struct sockaddr_storage any_port = address->addr;
	int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_bound;

	/* the port stands in the same place for both families */
	((struct sockaddr_in *) &any_port)->sin_port = 0;
	is_bound = fd >= 0 && bind(fd, (struct sockaddr *) &any_port, address->len) == 0;
	if (fd >= 0)
		close(fd);
	return is_bound;
}

/*
 * Adds the addresses of a host name, those that are known by now.
 */
static void
add_name(RelayConfig *config, const char *name)
{
	RelayAddress found[RESOLVE_MAX];
	int count = resolve_name(name, "listen_addresses", found);

	if (count < 0)
		config->upstream_pending = 1;
	for (int i = 0; i < count; i++)
	{
		uint32 *to = &config->tls_upstream_count;

		((struct sockaddr_in *) &found[i].addr)->sin_port = htons((uint16) PostPortNumber);
		if (*to < RELAY_MAX_UPSTREAMS && is_own(&found[i]))
			config->tls_upstreams[(*to)++] = found[i];
	}
}

/*
 * Adds an item of the server's listen_addresses that is not a loopback address.
 */
static void
add_item(RelayConfig *config, const char *item)
{
	RelayAddress address;

	if (is_one_of(item, "*", "0.0.0.0", "::") || is_one_of(item, "127.0.0.1", "::1", "localhost"))
		return;
	if (address_parse(item, PostPortNumber, &address))
		add_address(config, item);
	else
		add_name(config, item);
}

/*
 * Lists where the server listens by TCP: 127.0.0.1, ::1, then what else it names.
 * A loopback address that it does not listen on is left out, as another server may
 * listen there.
 */
static void
fill_tcp(RelayConfig *config)
{
	List *items = NIL;
	ListCell *cell;
	bool ipv4 = false;
	bool ipv6 = false;

	if (!SplitGUCList(pstrdup(ListenAddresses), ',', &items) || items == NIL)
	{
		if (pgwt_upstream == UPSTREAM_TCP)
			supervisor_error("the server listens on no TCP address: set \"listen_addresses\", or "
			                 "\"pgwire_trace.upstream\" to \"unix\"");
		else if (EnableSSL && pgwt_port != 0)
			supervisor_error("clients get no TLS: the server listens on no TCP address, and takes "
			                 "none on a Unix socket");
		return;
	}
	foreach (cell, items)
	{
		const char *item = lfirst(cell);
		bool is_any = strcmp(item, "*") == 0;

		ipv4 = ipv4 || is_any || is_one_of(item, "0.0.0.0", "127.0.0.1", "localhost");
		ipv6 = ipv6 || is_any || is_one_of(item, "::", "::1", "localhost");
	}
	if (ipv4)
		add_address(config, "127.0.0.1");
	if (ipv6)
		add_address(config, "::1");
	foreach (cell, items)
		add_item(config, lfirst(cell));
}

/*
 * Names the server's first Unix socket.
 */
static void
fill_unix(RelayConfig *config)
{
	List *items = NIL;

	if (!SplitDirectoriesString(pstrdup(Unix_socket_directories), ',', &items) || items == NIL)
	{
		supervisor_error("the server has no Unix socket: set \"unix_socket_directories\", or "
		                 "\"pgwire_trace.upstream\" to \"tcp\"");
		return;
	}
	if (!unix_socket_address(linitial(items), PostPortNumber, &config->upstreams[0]))
		return; /* the server could not bind it either */
	config->upstream_count = 1;
}

/*
 * Fills in the addresses of the server: those by TCP in any case, as it takes TLS
 * nowhere else.
 */
void
upstream_fill(RelayConfig *config)
{
	config->upstream_count = config->tls_upstream_count = config->upstream_pending = 0;
	memset(config->upstreams, 0, sizeof(config->upstreams));
	memset(config->tls_upstreams, 0, sizeof(config->tls_upstreams));
	fill_tcp(config);
	if (pgwt_upstream == UPSTREAM_UNIX)
	{
		fill_unix(config);
		return;
	}
	config->upstream_count = config->tls_upstream_count;
	memcpy(config->upstreams, config->tls_upstreams, sizeof(config->upstreams));
}
