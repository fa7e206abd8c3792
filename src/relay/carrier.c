/*
 * carrier.c
 *	  The relay's own connection to the server, and the token that tells the
 *	  server whose it is.
 *
 * The carrier is opened only for a complete startup packet.  The client's facts
 * go to a slot of the board first; then the packet is sent with the slot's token
 * as one more parameter.  The slot is given up when the server has closed the
 * carrier, or we did.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>

#include "relay/fault.h"
#include "relay/process.h"

#define IDS_WAIT_US 2000000 /* how long a session waits for its id, once */
#define RETRY_MS 20

/*
 * Event: time to try again what could not be had.
 */
static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	Session *session = arg;

	(void) fd;
	(void) what;
	if (session->state == SESSION_CONNECTING && session->server.fd < 0)
		carrier_open(session);
}

/*
 * Tries again in a moment, from the first address on.
 */
void
carrier_again(Session *session, int wait_ms)
{
	struct timeval wait = {0, wait_ms * 1000};

	session->state = SESSION_CONNECTING;
	session->upstream = 0;

	if (!session->retry)
		session->retry = evtimer_new(session->relay->base, on_retry, session);
	evtimer_add(session->retry, &wait);
}

/*
 * Gives a session its id.  False: wait for it.  The file that ids come from is
 * seeded by the writer, which needs the server to be up: the first sessions
 * after that may be faster than it is.
 */
static bool
assign_id(Session *session)
{
	Relay *relay = session->relay;
	int64_t now = clock_monotonic();

	if (!session->is_recorded || session->session_id != 0)
		return true;
	session->session_id = ids_next(relay);
	if (session->session_id != 0)
	{
		relay->ids_given_up = false;
		return true;
	}
	if (errno == ENOENT && !relay->ids_given_up)
	{
		if (session->ids_waited_since == 0)
			session->ids_waited_since = now;
		if (now - session->ids_waited_since < IDS_WAIT_US)
			return false;
	}
	if (!relay->ids_given_up)
		relay_error(relay,
		            "sessions are forwarded but not recorded: no session id can be had "
		            "from directory \"%s\": %s",
		            relay->config.journal_directory, strerror(errno));
	relay->ids_given_up = true;
	session_leave_out(session);
	board_add(&relay->stats->exchanges_paused, 1);
	return true;
}

/*
 * Refuses a session because no address of the server's takes it.
 */
static void
unreachable(Session *session, int error)
{
	if (session->end_reason)
		session_close(session, NULL); /* a cancel: there is nobody to tell */
	else
		session_refuse(session, "server_unreachable", "08006",
		               "could not connect to the PostgreSQL server: %s",
		               error ? strerror(error) : "no address to connect to");
}

/*
 * Takes an address of TCP apart.  Returns its port; 0: it is of another kind.
 */
static uint32_t
take_address(const struct sockaddr_storage *addr, uint64_t bytes[2])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *) addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) addr;

	bytes[0] = bytes[1] = 0;
	if (addr->ss_family == AF_INET)
	{
		memcpy(bytes, &in->sin_addr, 4);
		return ntohs(in->sin_port);
	}
	if (addr->ss_family != AF_INET6)
		return 0;
	memcpy(bytes, &in6->sin6_addr, 16);
	return ntohs(in6->sin6_port);
}

/*
 * Writes to the slot where the carrier comes from.
 */
static void
fill_carrier(BoardSlot *slot, int fd)
{
	struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(addr);
	uint64_t bytes[2];
	uint32_t port;

	if (getsockname(fd, (struct sockaddr *) &addr, &len) != 0)
		addr.ss_family = AF_UNSPEC;
	port = take_address(&addr, bytes);
	atomic_store(&slot->carrier_port, port);
	atomic_store(&slot->carrier_addr[0], bytes[0]);
	atomic_store(&slot->carrier_addr[1], bytes[1]);
}

/*
 * Writes the client's certificate to the slot.  False: the session was refused.
 */
static bool
fill_certificate(Session *session, BoardSlot *slot)
{
	uint8_t *room = board_certificate(session->relay->board, session->slot);
	size_t len = 0;

	if (session->tls_version)
		len = tls_peer_certificate(&session->client, room, BOARD_CERTIFICATE);
	atomic_store(&slot->client_tls, session->tls_version != NULL);
	atomic_store(&slot->certificate_len, (uint32_t) len);
	if (len <= BOARD_CERTIFICATE)
		return true;
	session_refuse(session, "protocol_violation", "08P01",
	               "client certificate of %zu bytes is too long for pgwire_trace, which takes %d; "
	               "connect to the server's own port",
	               len, BOARD_CERTIFICATE);
	return false;
}

/*
 * Writes the client's facts to the slot.
 */
static void
fill_slot(Session *session, BoardSlot *slot)
{
	const struct sockaddr_storage *addr = &session->client_addr;
	uint64_t bytes[2];
	uint32_t port = take_address(addr, bytes);
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) addr;

	atomic_store(&slot->session_id, session->session_id);
	atomic_store(&slot->client_family, addr->ss_family);
	atomic_store(&slot->client_port, port);
	atomic_store(&slot->client_addr[0], bytes[0]);
	atomic_store(&slot->client_addr[1], bytes[1]);
	atomic_store(&slot->client_scope, addr->ss_family == AF_INET6 ? in6->sin6_scope_id : 0);
	atomic_store(&slot->client_gss, session->asked_gss);
	atomic_store(&slot->client_uid, session->client_uid);
	fill_carrier(slot, session->server.fd);
	atomic_store(&slot->cancel_key, 0);
	atomic_store(&slot->exchange_no, -1);
	board_clear_query_ids(slot);
	atomic_store(&slot->redaction.rules_hash, 0);
	atomic_store(&slot->redaction.version, 0);
	atomic_store(&slot->redaction.touched, 0);
	atomic_store(&slot->backend_pid, 0);
	atomic_store(&slot->backend_start, 0);
	atomic_store(&slot->database_oid, 0);
	atomic_store(&slot->is_unrecorded, 0);
}

/*
 * Sends the client's startup packet with the token in it.  False: the session
 * is over.
 */
static bool
send_startup(Session *session)
{
	static const char hex[] = "0123456789abcdef";
	Relay *relay = session->relay;
	uint8_t packet[STARTUP_PACKET_MAX];
	uint8_t token[BOARD_TOKEN];
	size_t len = session->packet.len;
	uint32_t length = (uint32_t) (len + BOARD_TOKEN_ADDS);
	uint8_t *at = packet + len - 1; /* over the terminator */

	session->slot = board_claim_slot(relay->board, relay->relay_no);
	if (session->slot < 0 || getrandom(token, sizeof(token), 0) != sizeof(token))
	{
		session_refuse(session, "too_many_sessions", "53300",
		               "too many traced sessions: all slots are taken");
		return false;
	}
	RELAY_FAULT("claimed");
	if (!fill_certificate(session, &relay->board->slots[session->slot]))
		return false;
	fill_slot(session, &relay->board->slots[session->slot]);
	board_arm_slot(relay->board, session->slot, token);
	RELAY_FAULT("armed");

	memcpy(packet, session->packet.data, len);
	for (int i = 0; i < 4; i++)
		packet[i] = (uint8_t) (length >> (24 - 8 * i));
	memcpy(at, BOARD_TOKEN_PARAMETER, sizeof(BOARD_TOKEN_PARAMETER));
	at += sizeof(BOARD_TOKEN_PARAMETER);
	for (int i = 0; i < BOARD_TOKEN; i++)
	{
		*at++ = (uint8_t) hex[token[i] >> 4];
		*at++ = (uint8_t) hex[token[i] & 15];
	}
	*at++ = 0;
	*at++ = 0;
	return pump_send(session, &session->server, packet, length);
}

/*
 * Passes a CancelRequest on.  Whom it hits is looked up before the server does:
 * afterwards that exchange may be over.
 */
static void
send_cancel(Session *session)
{
	const Buffer *packet = &session->packet;

	session->state = SESSION_CANCELLING;
	session->cancelled_session_id =
	    board_find_cancelled(session->relay->board, XXH3_64bits(packet->data + 8, packet->len - 8),
	                         &session->cancelled_exchange_no);
	if (pump_send(session, &session->server, packet->data, packet->len) && session->tracker.first)
		session->tracker.first->is_complete = true; /* nothing will answer it */
	session_update(session);
}

/*
 * Goes on with a carrier that is connected, and has TLS if the client has.
 */
void
carrier_ready(Session *session)
{
	if (session->end_reason)
	{
		send_cancel(session);
		return;
	}
	session->state = SESSION_AUTHENTICATING;
	if (!send_startup(session))
	{
		if (session->state == SESSION_AUTHENTICATING)
			pump_server_gone(session);
		return;
	}
	RELAY_FAULT("sent");
	session_update(session);
}

/*
 * Goes on with a carrier that is connected.
 */
static void
connected(Session *session)
{
	int on = 1;

	RELAY_FAULT("connected");
	setsockopt(session->server.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (session->tls_version)
		secure_begin(session);
	else
		carrier_ready(session);
}

/*
 * Returns the addresses that a session's carrier may go to: with TLS, only TCP.
 */
static const RelayAddress *
upstreams(const Session *session, uint32_t *count)
{
	const RelayConfig *config = &session->relay->config;

	*count = session->tls_version ? config->tls_upstream_count : config->upstream_count;
	return session->tls_version ? config->tls_upstreams : config->upstreams;
}

/*
 * Connects to the present address of the server's, or the next that does not
 * fail at once.
 */
static void
try_upstream(Session *session)
{
	uint32_t count;
	const RelayAddress *addresses = upstreams(session, &count);
	int error = 0;

	if (count == 0 && session->relay->config.upstream_pending)
	{
		carrier_again(session, RETRY_MS);
		return;
	}
	for (; session->upstream < count; session->upstream++)
	{
		const RelayAddress *address = &addresses[session->upstream];
		int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0)
		{
			error = errno;
			break;
		}
		leg_attach(session->relay->base, &session->server, fd, pump_server_readable,
		           pump_server_writable, session);
		if (connect(fd, (const struct sockaddr *) &address->addr, address->len) == 0)
		{
			connected(session);
			return;
		}
		if (errno == EINPROGRESS)
		{
			session_update(session);
			return;
		}
		error = errno;
		leg_close(&session->relay->budget, &session->server);
		if (error == EAGAIN)
		{
			carrier_again(session, RETRY_MS); /* a Unix socket's backlog is full */
			return;
		}
	}
	unreachable(session, error);
}

/*
 * Opens the carrier for a session whose startup packet is whole.
 */
void
carrier_open(Session *session)
{
	session->state = SESSION_CONNECTING;
	session_update(session);
	if (assign_id(session))
		try_upstream(session);
	else
		carrier_again(session, RETRY_MS);
}

/*
 * Event: the carrier is connected, or failed to be.
 */
void
carrier_writable(Session *session)
{
	int error = 0;
	socklen_t len = sizeof(error);
	uint32_t count;

	getsockopt(session->server.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error == 0)
	{
		connected(session);
		return;
	}
	leg_close(&session->relay->budget, &session->server);
	session->upstream++;
	upstreams(session, &count);
	if (session->upstream < count)
		try_upstream(session);
	else
		unreachable(session, error);
}

/*
 * Gives the slot up, having taken from it what the backend wrote.
 */
void
carrier_release(Session *session)
{
	if (session->slot < 0)
		return;
	rules_follow(session); /* for what is still to be recorded */
	board_release_slot(session->relay->board, session->slot, SLOT_RELAY);
	session->slot = -1;
}
