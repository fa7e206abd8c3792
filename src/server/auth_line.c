/*
 * auth_line.c
 *	  The line of pg_hba.conf that is the client's, and what it asks.
 *
 * A client whose line rejects it, or asks for what cannot be had through a relay, is
 * refused at once: whether the carrier's own line was satisfied must not show, or a
 * password could be tried from an address that has no business with it.
 *
 * The line itself goes to the server's log, never to the client.
 */
#include "server/auth.h"

#include <pwd.h>

#include "compat.h"
#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define CARRIER_HINT                                                                        \
	"With \"pgwire_trace.upstream\" set to \"unix\" and a first line \"local all all peer " \
	"map=pgwire_trace\", and that map in pg_ident.conf, the server asks the client by the " \
	"client's own line alone; clients with TLS need a line for TCP. See docs/security.md."

/*
 * Tells the server's log which lines were matched, in what an ereport() adds.
 */
static int
detail_lines(const AuthDoor *door)
{
	return errdetail_log("Client matched file \"%s\" line %d: \"%s\"; the carrier matched file "
	                     "\"%s\" line %d: \"%s\".",
	                     COMPAT_HBA_FILE(door->line), door->line->linenumber,
	                     door->line->rawline ? door->line->rawline : "",
	                     COMPAT_HBA_FILE(door->carrier), door->carrier->linenumber,
	                     door->carrier->rawline ? door->carrier->rawline : "");
}

/*
 * Refuses a method that asks the client's host or its Kerberos ticket: the server
 * would ask the relay instead.
 */
static void
refuse_method(AuthDoor *door, Port *port)
{
	auth_tell(door, port, STATUS_ERROR);
	ereport(FATAL,
	        (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
	         errmsg("authentication method \"%s\" does not work through pgwire_trace",
	                hba_authname(door->line->auth_method)),
	         detail_lines(door),
	         errhint("Connect to the server's own port, or have a line of pg_hba.conf for your "
	                 "address that says scram-sha-256, cert or another method.")));
}

/*
 * Refuses a client whose carrier's line asks for something else than its own.
 */
static void
refuse_carrier_line(AuthDoor *door, Port *port)
{
	auth_tell(door, port, STATUS_ERROR);
	ereport(
	    FATAL,
	    (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
	     errmsg("pgwire_trace cannot pass on authentication method \"%s\": the server would "
	            "ask for \"%s\" first",
	            hba_authname(door->line->auth_method), hba_authname(door->carrier->auth_method)),
	     detail_lines(door), errhint(CARRIER_HINT)));
}

/*
 * Ends the connection because the carrier was not let in.
 */
void
auth_refuse_carrier(AuthDoor *door, Port *port)
{
	auth_tell(door, port, STATUS_ERROR);
	ereport(FATAL,
	        (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
	         errmsg("the server does not let pgwire_trace in as user \"%s\" by method \"%s\"",
	                port->user_name, hba_authname(door->carrier->auth_method)),
	         detail_lines(door), errhint(CARRIER_HINT)));
	pg_unreachable();
}

/*
 * Tells whether the server ends the connection by the client's line alone, whatever
 * the client answers: it is rejected, or its certificate is.  (With a password line
 * the name in the certificate is looked at after the password, as the server does.)
 */
static bool
rejects(const HbaLine *line, const Port *port)
{
	bool by_certificate = line->auth_method == uaTrust || line->auth_method == uaCert;

	if (line->auth_method == uaReject || line->auth_method == uaImplicitReject)
		return true;
	if (line->clientcert == clientCertOff)
		return false;
	return !port->peer_cert_valid || (by_certificate && line->clientcert == clientCertFull &&
	                                  !auth_certificate_fits(line, port));
}

/*
 * Adds a hint to what the server says of a client that asked for GSSAPI encryption:
 * on the main port it might have been let in.  It is told whether or not there are
 * such lines, so it gives nothing away.
 */
static void
hint_at_gss(void *arg)
{
	(void) arg;
	if (geterrcode() == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION)
		errhint("GSSAPI encryption does not work through pgwire_trace, so lines that begin with "
		        "\"hostgssenc\" never match. Connect to the server's own port, or use TLS with "
		        "scram-sha-256, cert or another method.");
}

/*
 * Has the server end the connection of a client that its line rejects.
 */
static void
reject(AuthDoor *door, Port *port)
{
	ErrorContextCallback context = {error_context_stack, hint_at_gss, NULL};

	auth_tell(door, port, STATUS_ERROR);
#ifdef ENABLE_GSS
	if (atomic_load(&door->slot->client_gss))
		error_context_stack = &context;
#endif
	auth_run_line(door, port);
	ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR),
	                errmsg("the server let in a client that pg_hba.conf line %d rejects",
	                       door->line->linenumber)));
}

/*
 * Tells whether a method can work through a relay: those that put their questions
 * to the client itself.  A method that is not known here cannot.
 */
static bool
works(UserAuth method)
{
	switch (method)
	{
		case uaTrust:
		case uaPassword:
		case uaMD5:
		case uaSCRAM:
		case uaPAM:
		case uaBSD:
		case uaLDAP:
		case uaRADIUS:
		case uaCert:
		case uaPeer:
			COMPAT_CASE_OAUTH
			return true;
		default:
			return false;
	}
}

/*
 * Finds the client's line and refuses, in the server's own words where it has some,
 * what cannot be satisfied whatever the client does.  The carrier's line is put back,
 * as the server may be in the midst of it.
 */
void
auth_judge(AuthDoor *door, Port *port)
{
	door->carrier = port->hba;
	hba_getauthmethod(port);
	door->line = port->hba;
	if (rejects(door->line, port))
		reject(door, port);
	if (!works(door->line->auth_method))
		refuse_method(door, port);
	if (!auth_carrier_stands(door, &door->work))
		refuse_carrier_line(door, port);
	port->hba = door->carrier;
}

/*
 * Returns the name of the user at the other end of our Unix socket; NULL: unknown.
 */
static char *
peer_name(const BoardSlot *slot)
{
	uint32 uid = atomic_load(&slot->client_uid);
	struct passwd *entry = uid == UINT32_MAX ? NULL : getpwuid((uid_t) uid);

	if (!entry)
	{
		ereport(LOG, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
		              errmsg("could not look up local user ID %lu of a client of pgwire_trace",
		                     (unsigned long) uid)));
		return NULL;
	}
	return MemoryContextStrdup(TopMemoryContext, entry->pw_name);
}

/*
 * Authenticates a client of a Unix socket by its user id, which the relay took from
 * the socket.  By hand: the server would ask the carrier's socket, and find itself.
 */
void
auth_check_peer(AuthDoor *door, Port *port)
{
	char *name = peer_name(door->slot);

	port->hba = door->line;
	COMPAT_AUTHN_ID(port) = name;
	COMPAT_SET_AUTH_METHOD(uaPeer);
	if (name && COMPAT_LOGS_AUTHENTICATION)
		ereport(LOG, (errmsg("connection authenticated: identity=\"%s\" method=peer (%s:%d)", name,
		                     COMPAT_HBA_FILE(door->line), door->line->linenumber)));
	if (name && check_usermap(door->line->usermap, port->user_name, name, false) == STATUS_OK)
		return;
	auth_tell(door, port, STATUS_ERROR);
	ereport(FATAL, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
	                errmsg("Peer authentication failed for user \"%s\"", port->user_name),
	                errdetail_log("Connection matched file \"%s\" line %d: \"%s\"",
	                              COMPAT_HBA_FILE(door->line), door->line->linenumber,
	                              door->line->rawline)));
}
