/*
 * auth_cert.c
 *	  The client's certificate.
 *
 * The relay ends the client's TLS and opens its carrier over TLS too, so hostssl
 * lines and pg_stat_ssl mean what they say; the carrier shows no certificate.  The
 * client's, which the relay has verified in the handshake against the server's own
 * ssl_ca_file and ssl_crl_file, comes in the slot, and takes the place that it would
 * have had.
 */
#include "server/auth.h"

#include "libpq/hba.h"
#include "utils/memutils.h"

#ifdef USE_OPENSSL
#include <openssl/bio.h>
#include <openssl/x509.h>

/*
 * Keeps a text of the certificate as long as the connection lives.  NULL if there is
 * a zero byte in it: that would make one name look like another.
 */
static char *
keep_text(const char *text, size_t len)
{
	char *copy;

	if (memchr(text, '\0', len))
		return NULL;
	copy = MemoryContextAllocZero(TopMemoryContext, len + 1);
	memcpy(copy, text, len);
	return copy;
}

/*
 * Reads the subject's first common name, as the server does; *name is NULL if there
 * is none.  False: it cannot be used.
 */
static bool
read_common_name(X509_NAME *subject, char **name)
{
	int len = X509_NAME_get_text_by_NID(subject, NID_commonName, NULL, 0);
	char *text;

	*name = NULL;
	if (len < 0)
		return true;
	text = palloc0((Size) len + 1);
	if (X509_NAME_get_text_by_NID(subject, NID_commonName, text, len + 1) == len)
		*name = keep_text(text, (size_t) len);
	pfree(text);
	return *name != NULL;
}

/*
 * Reads the subject's distinguished name as RFC 2253 writes it.  False: it cannot be
 * used.
 */
static bool
read_distinguished_name(X509_NAME *subject, char **name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	long len;

	*name = NULL;
	if (bio && X509_NAME_print_ex(bio, subject, 0, XN_FLAG_RFC2253) != -1 &&
	    (len = BIO_get_mem_data(bio, &text)) >= 0)
		*name = keep_text(text, (size_t) len);
	BIO_free(bio);
	return *name != NULL;
}

/*
 * Puts a certificate where the server would have put it.  False: it cannot be used.
 */
static bool
set_certificate(Port *port, const uint8 *der, uint32 len)
{
	const unsigned char *at = der;
	X509 *certificate = d2i_X509(NULL, &at, (long) len);

	port->peer = certificate;
	if (!certificate || at != der + len ||
	    !read_common_name(X509_get_subject_name(certificate), &port->peer_cn) ||
	    !read_distinguished_name(X509_get_subject_name(certificate), &port->peer_dn))
		return false;
	port->peer_cert_valid = true;
	return true;
}

/*
 * Forgets the certificate of the carrier, which stands for nobody.
 */
static void
forget_certificate(Port *port)
{
	X509_free(port->peer);
	port->peer = NULL;
	port->peer_cn = NULL;
	port->peer_dn = NULL;
	port->peer_cert_valid = false;
}
#endif /* USE_OPENSSL */

/*
 * Gives the connection the client's certificate.  Both legs have TLS or neither:
 * else hostssl lines would speak of the wrong one.
 */
void
auth_take_certificate(AuthDoor *door, Port *port)
{
	uint32 len = atomic_load(&door->slot->certificate_len);
	bool has_tls = atomic_load(&door->slot->client_tls) != 0;

	if (has_tls != port->ssl_in_use || len > BOARD_CERTIFICATE || (len > 0 && !has_tls))
	{
		auth_tell(door, port, STATUS_ERROR);
		ereport(FATAL, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
		                errmsg("encryption of the client's connection and of pgwire_trace's "
		                       "to the server differ")));
	}
#ifdef USE_OPENSSL
	forget_certificate(port);
	if (len > 0)
	{
		uint8 *der = palloc(len); /* a copy: shared memory might change while it is read */

		memcpy(der, board_certificate(pgwt_board, door->slot_no), len);
		if (!set_certificate(port, der, len))
		{
			auth_tell(door, port, STATUS_ERROR);
			ereport(FATAL, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			                errmsg("client certificate cannot be used: its subject cannot be "
			                       "read, or has a zero byte")));
		}
		pfree(der);
	}
#endif
}

/*
 * Tells whether the certificate's name may be that of the user: what the server
 * checks after the password for clientcert=verify-full.
 */
bool
auth_certificate_fits(const HbaLine *line, const Port *port)
{
	const char *name = line->clientcertname == clientCertDN ? port->peer_dn : port->peer_cn;

	return name && name[0] != '\0' &&
	       check_usermap(line->usermap, port->user_name, name, false) == STATUS_OK;
}
