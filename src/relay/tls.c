/*
 * tls.c
 *	  The transport of a leg with TLS: OpenSSL on the leg's own socket.
 *
 * OpenSSL reads ahead, so a record costs one system call and several may come at
 * once.  What it holds then, decrypted or not, is drained before the leg waits
 * for its socket: has_more says so.  A read ends after a bounded number of
 * records, however short they are.  A write is done record by record; one that
 * the socket did not take is tried again with the same bytes, which wait at the
 * head of the leg's pending ones.
 *
 *		tls_accept, tls_connect		turn a leg to TLS
 *		tls_handshake				explicitly; reading does it as well
 *		tls_version, tls_cipher, tls_has_alpn, tls_peer_certificate
 *		tls_same_certificate, tls_shows
 *		tls_error
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/tls_context.h"

#define RECORDS_A_READ 16
#define LARGE_RECORD 4096 /* bytes; behind such a one there is probably another */

static char last_error[TLS_ERROR_SIZE];

/*
 * Keeps why something failed: what OpenSSL says, else the system's error.
 */
void
tls_note_error(const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (!reason && errno != 0)
		reason = strerror(errno);
	snprintf(last_error, sizeof(last_error), "%s%s%s", what, what[0] ? ": " : "",
	         reason ? reason : "connection closed");
	ERR_clear_error();
}

/*
 * Returns why TLS last failed.
 */
const char *
tls_error(void)
{
	return last_error;
}

/*
 * Tells whether an error means that the peer's bytes ended without a close_notify.
 */
static bool
is_cut(int error)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
	if (error == SSL_ERROR_SSL &&
	    ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return true;
#endif
	return error == SSL_ERROR_SYSCALL && errno == 0;
}

/*
 * Turns what OpenSSL says of a read that gave nothing into recv()'s words.
 */
static ssize_t
read_result(Leg *leg, int error)
{
	bool was_open = SSL_is_init_finished(leg->state);

	switch (error)
	{
		case SSL_ERROR_WANT_WRITE:
			leg->read_wants_write = true;
			errno = EAGAIN;
			return -1;
		case SSL_ERROR_WANT_READ:
			errno = EAGAIN;
			return -1;
		case SSL_ERROR_ZERO_RETURN:
			return 0;
		default:
			break;
	}
	if (is_cut(error))
	{
		leg->is_cut = true;
		ERR_clear_error();
		return 0;
	}
	if (error == SSL_ERROR_SYSCALL && errno != 0 && was_open)
		return -1; /* as the socket says */
	tls_note_error("");
	errno = EPROTO;
	return -1;
}

/*
 * Reads what there is, from a bounded number of records.  Behind a small one the
 * socket is not asked again unless it tells: mostly there is nothing.
 */
static ssize_t
tls_recv(Leg *leg, uint8_t *data, size_t size)
{
	SSL *ssl = leg->state;
	size_t done = 0;
	size_t n;
	int error;

	leg->has_more = false;
	for (int i = 0; i < RECORDS_A_READ && done < size; i++)
	{
		errno = 0;
		ERR_clear_error();
		if (SSL_read_ex(ssl, data + done, size - done, &n))
		{
			done += n;
			if (n < LARGE_RECORD && !SSL_has_pending(ssl))
				return (ssize_t) done;
			continue;
		}
		error = SSL_get_error(ssl, 0);
		if (done == 0)
			return read_result(leg, error);
		/* an end, or an error, is met again by the next read */
		leg->has_more = error != SSL_ERROR_WANT_READ;
		return (ssize_t) done;
	}
	leg->has_more = SSL_has_pending(ssl);
	return (ssize_t) done;
}

/*
 * Sends one record.
 */
static ssize_t
tls_send(Leg *leg, const uint8_t *data, size_t len)
{
	SSL *ssl = leg->state;
	size_t n;

	errno = 0;
	ERR_clear_error();
	if (SSL_write_ex(ssl, data, len, &n))
		return (ssize_t) n;
	switch (SSL_get_error(ssl, 0))
	{
		case SSL_ERROR_WANT_READ:
			leg->write_wants_read = true;
			errno = EAGAIN;
			break;
		case SSL_ERROR_WANT_WRITE:
			errno = EAGAIN;
			break;
		default:
			tls_note_error("");
			errno = EPROTO;
			break;
	}
	return -1;
}

/*
 * Tells the peer that no more comes: by a close_notify, unless the line was cut
 * for us too.
 */
static void
tls_end(Leg *leg, bool properly)
{
	if (properly && SSL_is_init_finished(leg->state))
	{
		SSL_shutdown(leg->state);
		ERR_clear_error();
	}
	shutdown(leg->fd, SHUT_WR);
}

/*
 * Frees the connection.
 */
static void
tls_close(Leg *leg)
{
	SSL_free(leg->state);
	leg->state = NULL;
}

static const Transport tls_transport = {true, tls_recv, tls_send, tls_end, tls_close};

/*
 * Gives a leg a connection of a context.  NULL: no memory.
 */
static SSL *
attach(Leg *leg, SSL_CTX *context)
{
	SSL *ssl = SSL_new(context);

	if (!ssl || !SSL_set_fd(ssl, leg->fd))
	{
		SSL_free(ssl);
		tls_note_error("");
		return NULL;
	}
	leg->state = ssl;
	leg->transport = &tls_transport;
	leg->has_more = false;
	return ssl;
}

/*
 * Turns a leg to TLS as a server.
 */
bool
tls_accept(Leg *leg, const TlsContext *context)
{
	SSL *ssl = attach(leg, context->accept);

	if (ssl)
		SSL_set_accept_state(ssl);
	return ssl != NULL;
}

/*
 * Binds a connection to one version and one cipher.  The client's leg has agreed
 * to them by the server's own rules, so no level of security is asked for twice.
 */
static bool
bind_to(SSL *ssl, SSL *client)
{
	int version = SSL_version(client);
	const char *cipher = SSL_get_cipher_name(client);
	char list[128];

	if (!SSL_set_min_proto_version(ssl, version) || !SSL_set_max_proto_version(ssl, version))
		return false;
	if (version >= TLS1_3_VERSION)
		return SSL_set_ciphersuites(ssl, cipher) == 1;
	snprintf(list, sizeof(list), "%s:@SECLEVEL=0", cipher);
	return SSL_set_cipher_list(ssl, list) == 1;
}

/*
 * Turns a leg to TLS as a client.
 */
bool
tls_connect(Leg *leg, const TlsContext *context, const Leg *client)
{
	SSL *ssl = attach(leg, context->connect);

	if (!ssl)
		return false;
	SSL_set_connect_state(ssl);
	if (bind_to(ssl, client->state))
		return true;
	tls_note_error("");
	return false;
}

/*
 * Goes on with the handshake.
 */
TlsProgress
tls_handshake(Leg *leg)
{
	int result;

	errno = 0;
	ERR_clear_error();
	leg->read_wants_write = false;
	result = SSL_do_handshake(leg->state);
	if (result == 1)
		return TLS_DONE;
	switch (SSL_get_error(leg->state, result))
	{
		case SSL_ERROR_WANT_WRITE:
			leg->read_wants_write = true;
			return TLS_WAITS;
		case SSL_ERROR_WANT_READ:
			return TLS_WAITS;
		default:
			tls_note_error("");
			return TLS_FAILED;
	}
}

/*
 * Returns the version in use; NULL without TLS, or before it is agreed upon.
 */
const char *
tls_version(const Leg *leg)
{
	if (leg->transport != &tls_transport || !SSL_is_init_finished(leg->state))
		return NULL;
	return SSL_get_version(leg->state);
}

/*
 * Returns the cipher in use.
 */
const char *
tls_cipher(const Leg *leg)
{
	return SSL_get_cipher_name((SSL *) leg->state);
}

/*
 * Tells whether the client and we agreed upon the application's protocol.
 */
bool
tls_has_alpn(const Leg *leg)
{
	const unsigned char *name;
	unsigned int len;

	SSL_get0_alpn_selected(leg->state, &name, &len);
	return len > 0;
}

/*
 * Writes the peer's certificate as DER, if it fits.
 */
size_t
tls_peer_certificate(const Leg *leg, uint8_t *der, size_t room)
{
	X509 *peer = SSL_get_peer_certificate(leg->state);
	int len = peer ? i2d_X509(peer, NULL) : 0;

	if (len > 0 && (size_t) len <= room)
		i2d_X509(peer, &der);
	X509_free(peer);
	return len > 0 ? (size_t) len : 0;
}

/*
 * Tells whether the peer of the server's leg shows a certificate.
 */
static bool
peer_shows(const Leg *server, const X509 *expected)
{
	X509 *shown = SSL_get_peer_certificate(server->state);
	bool is_same = shown && expected && X509_cmp(shown, expected) == 0;

	X509_free(shown);
	return is_same;
}

/*
 * Tells whether the server's leg shows what the client's leg shows.
 */
bool
tls_same_certificate(const Leg *server, const Leg *client)
{
	return peer_shows(server, SSL_get_certificate(client->state));
}

/*
 * Tells whether the server's leg shows a context's certificate.
 */
bool
tls_shows(const Leg *server, const TlsContext *context)
{
	return context && peer_shows(server, SSL_CTX_get0_certificate(context->accept));
}
