/*
 * auth.c
 *	  The hook that makes the server judge the real client.
 *
 * The server authenticates every connection by the line of pg_hba.conf that the
 * connection matches, here the carrier's.  Two things of the server's are used to
 * put the client in its place:
 *
 * ClientAuthentication_hook is called when the carrier's line is satisfied, or is
 * not.  If that line asked nobody anything (trust, or peer for the server's own
 * operating system user) the hook calls ClientAuthentication() again: by then the
 * connection has the client's address, so the server finds the client's line and
 * does all that it asks for.  The client sees one ordinary authentication, as the
 * AuthenticationOk of the inner call is left out.
 *
 * PqCommMethods, through which every message to a client goes, is replaced by
 * _PG_init so that all backends inherit it, until their authentication is over.
 * If the carrier's line asks something, its first request comes by there before
 * the client has seen anything; whoever cannot get in whatever it answers is
 * refused then.  So a client from an address that is rejected is not asked for a
 * password, and so learns nothing from the answer.  (From the hook it would be too
 * late: the server has put AuthenticationSASLFinal into its send buffer by then,
 * for right passwords alone.)
 *
 * Connections without a token are not touched.
 */
#include "server/auth.h"

#include "compat.h"
#include "libpq/auth.h"
#include "libpq/libpq.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"

static ClientAuthentication_hook_type previous_hook = NULL;
static const PQcommMethods *server_methods = NULL;
static PQcommMethods watching_methods;
static AuthDoor door = {.request = AUTH_REQ_NONE};

/*
 * Tells earlier hooks of other libraries how the login ended: once, and as it
 * ended for the client.
 */
void
auth_tell(AuthDoor *which, Port *port, int status)
{
	if (which->is_told)
		return;
	which->is_told = true;
	if (previous_hook)
		previous_hook(port, status);
}

/*
 * Lets the server authenticate the client by its own line, which ends the
 * connection if it fails.  Whatever the carrier's line said of who it is must be
 * forgotten: the server sets that once.
 */
void
auth_run_line(AuthDoor *which, Port *port)
{
	COMPAT_AUTHN_ID(port) = NULL;
	which->is_nested = true;
	ClientAuthentication(port);
	which->is_nested = false;
	/* both found the same line, unless the answer changed meanwhile (samenet, a host's name) */
	if (port->hba != which->line)
		ereport(FATAL, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
		                errmsg("the client's line of pg_hba.conf changed while it was "
		                       "being authenticated"),
		                errhint("Connect again.")));
}

/*
 * Finds out who is behind a carrier and by what line it is to be judged.
 */
static void
open_door(Port *port)
{
	auth_take_slot(&door, port);
	auth_take_certificate(&door, port);
	auth_show_client(&door, port);
	auth_judge(&door, port);
}

/*
 * Passes a message on to the client, unless it is the inner AuthenticationOk.
 * The first request of a carrier's line decides whether it may be asked.
 */
static int
put_message(char type, const char *body, size_t len)
{
	uint32 request;

	if (type == 'R' && len >= sizeof(request))
	{
		memcpy(&request, body, sizeof(request));
		request = pg_ntoh32(request);
		if (door.is_nested && request == AUTH_REQ_OK)
			return 0;
		if (!door.is_nested && !door.slot && MyProcPort && auth_has_token(MyProcPort))
		{
			door.request = request;
			open_door(MyProcPort);
		}
	}
	return server_methods->putmessage(type, body, len);
}

/*
 * Lets in, or refuses, a client whose carrier's line asked it for what its own
 * line wants.  A failure is the server's to report.
 */
static void
finish_asked(Port *port, int status)
{
	/* the report of a failure names the line */
	if (door.work == AUTH_DONE)
		port->hba = door.line;
	if (status == STATUS_OK && door.work == AUTH_ADMIT)
	{
		auth_run_line(&door, port); /* trust; a certificate may be wanted with it */
		return;
	}
	if (status == STATUS_OK && door.line->clientcert == clientCertFull &&
	    !auth_certificate_fits(door.line, port))
	{
		auth_tell(&door, port, STATUS_ERROR);
		ereport(FATAL, (errcode(ERRCODE_INVALID_PASSWORD), /* as the server says it */
		                errmsg("password authentication failed for user \"%s\"", port->user_name),
		                errdetail_log("Connection matched file \"%s\" line %d: \"%s\"",
		                              COMPAT_HBA_FILE(door.line), door.line->linenumber,
		                              door.line->rawline)));
	}
	COMPAT_SET_AUTH_METHOD(door.line->auth_method);
	auth_tell(&door, port, status);
}

/*
 * Authenticates the client of a carrier that was let in, or was not.
 */
static void
authenticate(Port *port, int status)
{
	if (!door.slot)
		open_door(port);
	if (door.request != AUTH_REQ_NONE)
	{
		finish_asked(port, status);
		return;
	}
	/* whom its own line refuses hears that, and not that the carrier's did too */
	if (door.work == AUTH_BY_PEER)
		auth_check_peer(&door, port);
	if (status != STATUS_OK)
		auth_refuse_carrier(&door, port);
	if (door.work == AUTH_BY_LINE)
		auth_run_line(&door, port);
	auth_tell(&door, port, STATUS_OK);
}

/*
 * Hook: a connection was authenticated, or failed to be.
 */
static void
on_authentication(Port *port, int status)
{
	if (door.is_nested)
	{
		auth_tell(&door, port, status);
		return;
	}
	if (door.slot || auth_has_token(port))
		authenticate(port, status);
	else if (auth_lacks_token(port))
		auth_refuse_token(&door, port);
	else
		auth_tell(&door, port, status);
	/* the end of the authentication: from here on nothing of ours is in the way */
	if (PqCommMethods == &watching_methods)
		PqCommMethods = server_methods;
}

/*
 * Installs the hook, and what watches the requests of carriers' lines.
 */
void
auth_install(void)
{
	previous_hook = ClientAuthentication_hook;
	ClientAuthentication_hook = on_authentication;
	server_methods = PqCommMethods;
	watching_methods = *server_methods;
	watching_methods.putmessage = put_message;
	PqCommMethods = &watching_methods;
}
