/*
 * tls_context.h
 *	  What tls.c, tls_context.c and tls_bundle.c share.
 */
#ifndef RELAY_TLS_CONTEXT_H
#define RELAY_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "relay/tls.h"

/* What a relay needs to be on either side of TLS. */
struct TlsContext
{
	SSL_CTX *accept;  /* on the client's leg */
	SSL_CTX *connect; /* on the server's */
};

typedef enum TlsPart
{
	TLS_CERTIFICATE, /* PEM: with its chain */
	TLS_KEY,         /* DER, PKCS #8, not encrypted */
	TLS_CA,          /* PEM */
	TLS_CRL,         /* PEM */
	TLS_DH_PARAMS,   /* PEM */
	TLS_PARTS
} TlsPart;

/* A bundle: this, then the parts, one behind the other. */
typedef struct TlsBundle
{
	uint32_t size; /* sizeof(TlsBundle) */
	uint32_t lengths[TLS_PARTS];
	TlsSettings settings;
} TlsBundle;

/* Keeps why something failed, for tls_error(). */
extern void tls_note_error(const char *what);

#endif /* RELAY_TLS_CONTEXT_H */
