/*
 * secure.c
 *	  TLS in a session: whether its client gets it, and a carrier that has the
 *	  same.
 *
 * A carrier of a client with TLS is opened in clear, asks for TLS, and is bound to
 * the version and cipher of the client's leg.  It must show the certificate that
 * the relay itself shows (or has shown before the last reload, or shows since):
 * then it is the server's, and both ends may bind a channel to it.  Where it does
 * not, one side has not been reloaded; the relay asks for that and tries again for
 * a while.  The token goes out after all this.
 *
 * Not a byte is buffered in clear across the switch to TLS, on either leg.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/process.h"

#define TLS_RECORD_HANDSHAKE 0x16
#define STRANGE_WAIT_US 3000000 /* how long a reload may take */
#define STRANGE_RETRY_MS 100

/*
 * Says what a client's SSLRequest is to be answered; 0: not yet.
 */
uint8_t
secure_answer(const Session *session)
{
	const Relay *relay = session->relay;

	if (session->client_addr.ss_family == AF_UNIX)
		return 'N';
	if (relay->config.tls_upstream_count == 0)
		return relay->config.upstream_pending ? 0 : 'N';
	if (relay->tls)
		return 'S';
	return relay->config.tls_state == RELAY_TLS_LOADING ? 0 : 'N';
}

/*
 * Tells whether a step of a handshake may be done in this turn of the loop.  They
 * are dear, and those who are in should not wait for all who want in.  The socket
 * stays readable, so the next turn asks again.
 */
bool
secure_may_step(Relay *relay)
{
	return relay->handshakes++ < RELAY_HANDSHAKES_A_TURN;
}

/*
 * Turns the client's leg to TLS.  False: the session is over.
 */
bool
secure_client(Session *session)
{
	/* what waited to be sent would go out encrypted */
	session->begins_tls =
	    session->client.pending.len == 0 && tls_accept(&session->client, session->relay->tls);
	if (session->begins_tls)
		return true;
	session_close(session, "client_reset");
	return false;
}

/*
 * Looks whether a client begins with TLS instead of asking for it, where the
 * server allows that.  False: it has to wait, or the session is over.
 */
bool
secure_look(Session *session)
{
	const Relay *relay = session->relay;
	uint8_t answer = secure_answer(session);
	uint8_t first;

	if (session->has_looked || !relay->config.tls_direct || answer == 'N')
		return true;
	if (recv(session->client.fd, &first, 1, MSG_PEEK) != 1)
		return true;
	session->waits_for_tls = first == TLS_RECORD_HANDSHAKE && answer != 'S';
	if (session->waits_for_tls)
	{
		session_update(session);
		return false;
	}
	session->has_looked = true;
	if (first != TLS_RECORD_HANDSHAKE)
		return true;
	session->is_direct = session->saw_ssl = session->saw_gss = true;
	return secure_client(session);
}

/*
 * Notes what the client's leg has come to, once it has.  False: the session is
 * over.
 */
bool
secure_note(Session *session)
{
	if (session->tls_version || !(session->tls_version = tls_version(&session->client)))
		return true;
	session->begins_tls = false;
	session->tls_cipher = tls_cipher(&session->client);
	if (!session->is_direct || tls_has_alpn(&session->client))
		return true;
	relay_log(session->relay, RELAY_LOG,
	          "client refused: TLS without SSLRequest needs the application protocol "
	          "\"postgresql\"");
	session_close(session, "protocol_violation");
	return false;
}

/*
 * Gives up on a carrier.
 */
static void
give_up(Session *session, const char *why)
{
	if (session->end_reason)
		session_close(session, NULL); /* a cancel: there is nobody to tell */
	else
		session_refuse(session, "server_unreachable", "08006",
		               "could not connect to the PostgreSQL server by TLS: %s", why);
}

/*
 * Asks the server for TLS on a carrier that is connected.
 */
void
secure_begin(Session *session)
{
	static const uint8_t request[8] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};

	session->state = SESSION_SECURING;
	session->is_answered = false;
	if (pump_send(session, &session->server, request, sizeof(request)))
		session_update(session);
	else
		give_up(session, "the server closed the connection");
}

/*
 * Reads the server's answer: one byte, so that whatever is said behind it in clear
 * stays where TLS stumbles over it.  False: not yet, or the session is over.
 */
static bool
read_answer(Session *session)
{
	Relay *relay = session->relay;
	uint8_t answer;
	ssize_t n = leg_recv(&session->server, &answer, 1);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	session->is_answered = true;
	if (n != 1)
		give_up(session, "the server closed the connection");
	else if (answer != 'S' || !relay->tls)
		give_up(session, "the server does not take it");
	else if (!tls_connect(&session->server, relay->tls, &session->client))
		give_up(session, tls_error());
	else
		return true;
	return false;
}

/*
 * Tells whether the carrier's certificate is one that the relay shows.
 */
static bool
is_known(const Session *session)
{
	const Relay *relay = session->relay;

	return tls_same_certificate(&session->server, &session->client) ||
	       tls_shows(&session->server, relay->tls) ||
	       tls_shows(&session->server, relay->tls_before);
}

/*
 * Deals with a carrier that shows an unknown certificate: asks for a reload and
 * tries again, for a while.
 */
static void
meet_stranger(Session *session)
{
	static const char why[] =
	    "it shows another certificate than pgwire_trace does; reload the server's configuration";
	int64_t now = clock_monotonic();

	leg_close(&session->relay->budget, &session->server);
	if (session->strange_since == 0)
		session->strange_since = now;
	if (now - session->strange_since > STRANGE_WAIT_US)
	{
		relay_error(session->relay, "could not connect to the PostgreSQL server by TLS: %s", why);
		give_up(session, why);
		return;
	}
	relay_ask_reload(session->relay);
	carrier_again(session, STRANGE_RETRY_MS);
}

/*
 * Goes on with a carrier that is to have TLS.
 */
void
secure_go_on(Session *session)
{
	if (!session->is_answered && !read_answer(session))
		return;
	if (!secure_may_step(session->relay))
	{
		/* at the begin it is on us to speak: no event would come */
		session->server.has_more = true;
		leg_read_on(&session->server);
		return;
	}
	switch (tls_handshake(&session->server))
	{
		case TLS_WAITS:
			session_update(session);
			return;
		case TLS_FAILED:
			give_up(session, tls_error());
			return;
		case TLS_DONE:
			break;
	}
	if (is_known(session))
		carrier_ready(session);
	else
		meet_stranger(session);
}

/*
 * Puts a bundle's certificate in the place of the present one.
 */
static void
take_bundle(Relay *relay, int bundle)
{
	char error[TLS_ERROR_SIZE];
	TlsContext *made = tls_context_make(bundle, error);

	if (!made)
	{
		relay_error(relay, "%s", error);
		return;
	}
	tls_context_free(relay->tls_before);
	relay->tls_before = relay->tls;
	relay->tls = made;
	relay->tls_generation = relay->config.tls_generation;
}

/*
 * Puts the supervisor's word on TLS into effect.  Sessions go on with what they
 * have; those whose SSLRequest had to wait are answered.
 */
void
secure_configure(Relay *relay, int bundle)
{
	Session *next;

	if (relay->config.tls_state == RELAY_TLS_OFF)
	{
		tls_context_free(relay->tls);
		tls_context_free(relay->tls_before);
		relay->tls = relay->tls_before = NULL;
		relay->tls_generation = 0;
	}
	else if (bundle >= 0 && relay->tls_generation != relay->config.tls_generation)
		take_bundle(relay, bundle);
	if (bundle >= 0)
		close(bundle);
	for (Session *session = relay->sessions; session; session = next)
	{
		next = session->next;
		if (!session->waits_for_tls)
			continue;
		session->waits_for_tls = false;
		startup_go_on(session);
	}
}
