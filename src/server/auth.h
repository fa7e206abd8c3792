/*
 * auth.h
 *	  Who may connect through the side port: the parts of the hook.
 *
 * The postmaster sees a relay's connection, the carrier.  Its startup packet
 * holds a token; under that token the board has the client's facts.  The hook
 * makes the server judge the client instead of the carrier:
 *
 *		auth_slot.c		whose carrier is this: token, slot, where it comes from
 *		auth_client.c	the client's address, in all places where one looks for it
 *		auth_cert.c		the client's certificate
 *		auth_line.c		the line of pg_hba.conf that is the client's, and what it asks
 *		auth_carrier.c	what it means that the carrier's own line was satisfied
 *		auth.c			the order of these, and all that touches the server's own steps
 *
 * Everything that is not clearly allowed ends the connection.
 */
#ifndef AUTH_H_PGWT
#define AUTH_H_PGWT

#include "server/server.h"

#include "compat.h"
#include "libpq/hba.h"

/* No request of the carrier's own line went to the client. */
#define AUTH_REQ_NONE UINT32_MAX

/* What the client must do that it has not done when the carrier is let in. */
typedef enum AuthWork
{
	AUTH_BY_LINE, /* everything its line asks for: the carrier asked it nothing */
	AUTH_BY_PEER, /* the same; the line says peer, which is ours to check */
	AUTH_DONE,    /* the carrier's line asked for what the client's line asks for */
	AUTH_ADMIT    /* the carrier's line asked it more than its own, which is trust */
} AuthWork;

/* This backend's carrier. */
typedef struct AuthDoor
{
	BoardSlot *slot; /* NULL: an ordinary connection, or not looked at yet */
	int slot_no;
	HbaLine *carrier; /* the line that the carrier matched */
	HbaLine *line;    /* the line that the client matched */
	uint32 request;   /* first request that the carrier's line sent, or AUTH_REQ_NONE */
	AuthWork work;
	bool is_nested; /* the server authenticates the client, called by the hook */
	bool is_told;   /* earlier hooks know how it ended */
} AuthDoor;

/* ---- auth.c ---- */

/* Tells earlier hooks how the login ended, once. */
extern void auth_tell(AuthDoor *door, Port *port, int status);

/* Lets the server authenticate the client by its own line; FATAL if it fails. */
extern void auth_run_line(AuthDoor *door, Port *port);

/* ---- auth_slot.c ---- */

/* Tells whether the connection's options hold a token. */
extern bool auth_has_token(const Port *port);

/* Tells whether a connection without a token is one of a relay's all the same. */
extern bool auth_lacks_token(const Port *port);

/* Ends the connection because of its token. */
pg_noreturn extern void auth_refuse_token(AuthDoor *door, Port *port);

/* Takes the token out of the options and its slot for this backend; FATAL if it is not valid. */
extern void auth_take_slot(AuthDoor *door, Port *port);

/* ---- auth_client.c ---- */

/* Puts the client's address in place of the carrier's. */
extern void auth_show_client(AuthDoor *door, Port *port);

/* ---- auth_cert.c ---- */

/* Gives the connection the client's certificate; FATAL if TLS of both legs differs. */
extern void auth_take_certificate(AuthDoor *door, Port *port);

/* Tells whether the certificate's name may be that of the user (clientcert=verify-full). */
extern bool auth_certificate_fits(const HbaLine *line, const Port *port);

/* ---- auth_line.c ---- */

/* Finds the client's line and refuses what cannot be satisfied whatever the client does. */
extern void auth_judge(AuthDoor *door, Port *port);

/* Authenticates a client of a Unix socket by its user id; FATAL if it fails. */
extern void auth_check_peer(AuthDoor *door, Port *port);

/* Ends the connection because the carrier was not let in. */
pg_noreturn extern void auth_refuse_carrier(AuthDoor *door, Port *port);

/* ---- auth_carrier.c ---- */

/* Says what the client still has to do; false: what the carrier asked is not what it should. */
extern bool auth_carrier_stands(const AuthDoor *door, AuthWork *work);

#endif /* AUTH_H_PGWT */
