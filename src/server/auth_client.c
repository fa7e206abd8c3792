/*
 * auth_client.c
 *	  The client's address in place of the carrier's.
 *
 * Everything in the server that asks where a connection comes from reads the Port:
 * pg_hba.conf, inet_client_addr(), log_line_prefix, pg_stat_activity, PAM.  What was
 * made from it before the hook (a host name, the process title, from 18 on the row
 * of pg_stat_activity) is made again.
 */
#include "server/auth.h"

#include <netdb.h>
#include <netinet/in.h>

#include "common/ip.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "libpq/pqcomm.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "postmaster/postmaster.h"
#include "replication/walsender.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"

/*
 * Reads the client's address from its slot.  False: the slot holds none.
 */
static bool
read_address(const BoardSlot *slot, SockAddr *address)
{
	uint32 family = atomic_load(&slot->client_family);
	uint16 number = htons((uint16) atomic_load(&slot->client_port));
	uint64 bytes[2] = {atomic_load(&slot->client_addr[0]), atomic_load(&slot->client_addr[1])};
	struct sockaddr_in *in = (struct sockaddr_in *) &address->addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &address->addr;

	memset(address, 0, sizeof(*address));
	address->addr.ss_family = (sa_family_t) family;
	if (family == AF_INET)
	{
		memcpy(&in->sin_addr, bytes, sizeof(in->sin_addr));
		in->sin_port = number;
		address->salen = sizeof(*in);
	}
	else if (family == AF_INET6)
	{
		memcpy(&in6->sin6_addr, bytes, sizeof(in6->sin6_addr));
		in6->sin6_port = number;
		in6->sin6_scope_id = atomic_load(&slot->client_scope);
		address->salen = sizeof(*in6);
	}
	else
		address->salen = sizeof(sa_family_t); /* as of a socket without a name */
	return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

/*
 * Names the client as the server names it on the main port, by its host name if
 * log_hostname is on.
 */
static void
name_client(Port *port)
{
	char host[NI_MAXHOST] = "";
	char number[NI_MAXSERV] = "";
	int status =
	    pg_getnameinfo_all(&port->raddr.addr, port->raddr.salen, host, sizeof(host), number,
	                       sizeof(number), (log_hostname ? 0 : NI_NUMERICHOST) | NI_NUMERICSERV);

	port->remote_host = MemoryContextStrdup(TopMemoryContext, host);
	port->remote_port = MemoryContextStrdup(TopMemoryContext, number);
	/* pg_hba.conf looks up the name by itself where it needs one */
	port->remote_hostname = NULL;
	port->remote_hostname_resolv = 0;
	port->remote_hostname_errcode = 0;
	if (log_hostname && status == 0 && strspn(host, "0123456789.") < strlen(host) &&
	    strspn(host, "0123456789ABCDEFabcdef:") < strlen(host))
		port->remote_hostname = MemoryContextStrdup(TopMemoryContext, host);
}

/*
 * Names the client in the process title.
 */
static void
title_client(const Port *port)
{
	StringInfoData title;

	initStringInfo(&title);
	if (am_walsender)
		appendStringInfo(&title, "%s %s ", GetBackendTypeDesc(B_WAL_SENDER), port->user_name);
	else
		appendStringInfo(&title, "%s %s ", port->user_name, port->database_name);
	appendStringInfoString(&title, port->remote_host);
	if (port->remote_port[0] != '\0')
		appendStringInfo(&title, "(%s)", port->remote_port);
	init_ps_display(title.data);
	set_ps_display("authentication");
	pfree(title.data);
}

/*
 * Puts the client's address in place of the carrier's.  The log line is what joins
 * the server's "connection received", which names the carrier, and the client.
 */
void
auth_show_client(AuthDoor *door, Port *port)
{
	SockAddr address;
	char *carrier = pstrdup(port->remote_port);

	if (!read_address(door->slot, &address))
	{
		auth_tell(door, port, STATUS_ERROR);
		ereport(FATAL, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
		                errmsg("carrier of pgwire_trace names no client")));
	}
	port->raddr = address;
	name_client(port);
	title_client(port);
	COMPAT_SHOW_CLIENT(port);
	if (COMPAT_LOGS_RECEIPT)
		ereport(LOG, (errmsg("pgwire_trace: connection from carrier port %s is of client "
		                     "host=%s port=%s",
		                     carrier[0] ? carrier : "[local]", port->remote_host,
		                     port->remote_port[0] ? port->remote_port : "[local]")));
	pfree(carrier);
}
