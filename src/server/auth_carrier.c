/*
 * auth_carrier.c
 *	  What it means that a carrier's line asks the client for something.
 *
 * The carrier is authenticated by the line that it matches itself.  If that line
 * asks the client, the client's answers are used up when the hook is called, and
 * cannot be asked for again.  So what it asks must be what the client's own line
 * asks for, or more:
 *
 *		client's line			carrier's line asked for
 *		trust					anything
 *		scram, md5, password	a SCRAM exchange (an md5 line makes one too, for a role
 *								whose stored password is a SCRAM verifier)
 *		md5						md5
 *		password				password
 *		ldap, radius, bsd		the same, by the very same line of pg_hba.conf
 *
 * Nothing else will do: a password sent in clear proves less than a SCRAM exchange,
 * an md5 answer is made from the hash alone, and PAM was told the carrier's address.
 */
#include "server/auth.h"

#include "libpq/pqcomm.h"

/*
 * Tells whether the carrier's line, with its first request, proves what a password
 * line of the client's wants.
 */
static bool
proves_password(const AuthDoor *door)
{
	UserAuth carrier = door->carrier->auth_method;
	UserAuth wanted = door->line->auth_method;

	if (door->request == AUTH_REQ_SASL)
		return carrier == uaSCRAM || carrier == uaMD5;
	if (door->request == AUTH_REQ_MD5)
		return carrier == uaMD5 && wanted == uaMD5;
	return door->request == AUTH_REQ_PASSWORD && carrier == uaPassword && wanted == uaPassword;
}

/*
 * Says what the client still has to do when the carrier's line is satisfied.
 * False: that would not prove what the client's line wants.
 */
bool
auth_carrier_stands(const AuthDoor *door, AuthWork *work)
{
	*work = AUTH_DONE;
	if (door->request == AUTH_REQ_NONE)
	{
		*work = door->line->auth_method == uaPeer ? AUTH_BY_PEER : AUTH_BY_LINE;
		return true;
	}
	switch (door->line->auth_method)
	{
		case uaTrust:
			*work = AUTH_ADMIT;
			return true;
		case uaSCRAM:
		case uaMD5:
		case uaPassword:
			return proves_password(door);
		case uaLDAP:
		case uaRADIUS:
		case uaBSD:
			return door->line == door->carrier;
		default:
			return false;
	}
}
