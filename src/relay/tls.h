/*
 * tls.h
 *	  TLS in a relay: the contexts, and the transport of a leg.
 *
 * A relay makes contexts of the bundle that the supervisor gives it (see
 * tls_bundle.h): one for each leg.
 *
 * The client's leg is a TLS server with the server's own settings.  The server's
 * leg is a TLS client that is bound to what the client's leg has negotiated, and
 * takes no certificate but those that the relay itself shows.
 */
#ifndef RELAY_TLS_H
#define RELAY_TLS_H

#include "relay/leg.h"
#include "relay/tls_bundle.h"

typedef struct TlsContext TlsContext;

/* Makes contexts of a bundle. NULL: error says why. */
extern TlsContext *tls_context_make(int bundle, char error[TLS_ERROR_SIZE]);
extern void tls_context_free(TlsContext *context);

/* Turns a leg to TLS as a server; nothing was read yet. False: no memory. */
extern bool tls_accept(Leg *leg, const TlsContext *context);

/* Turns a leg to TLS as a client that is bound to what `client` negotiated. */
extern bool tls_connect(Leg *leg, const TlsContext *context, const Leg *client);

typedef enum TlsProgress
{
	TLS_DONE,
	TLS_WAITS,
	TLS_FAILED /* tls_error() says why */
} TlsProgress;

/* Goes on with the handshake. */
extern TlsProgress tls_handshake(Leg *leg);

/* What there is to know of a leg with TLS; the texts live for ever. */
extern const char *tls_version(const Leg *leg);
extern const char *tls_cipher(const Leg *leg);
extern bool tls_has_alpn(const Leg *leg);

/*
 * Writes the peer's certificate as DER, if it fits; returns its size, 0 without one.
 */
extern size_t tls_peer_certificate(const Leg *leg, uint8_t *der, size_t room);

/* Tells whether the server's leg shows what the client's leg shows, or a context's. */
extern bool tls_same_certificate(const Leg *server, const Leg *client);
extern bool tls_shows(const Leg *server, const TlsContext *context);

/* Returns why TLS last failed. */
extern const char *tls_error(void);

#endif /* RELAY_TLS_H */
