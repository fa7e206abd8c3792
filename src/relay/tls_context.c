/*
 * tls_context.c
 *	  Makes OpenSSL's contexts of a bundle: the server's own rules on the client's
 *	  leg, none but the certificate's identity on the server's.
 *
 * What is set here, and in which order, follows what the server does with the same
 * settings (be-secure-openssl.c), so that whatever a client negotiates with a relay
 * it could have negotiated with the server, and the other way round.
 *
 *		tls_context_make, tls_context_free
 */
#include "relay/tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUNDLE_MAX (256 * 1024 * 1024)

/* What PostgreSQL's clients call its protocol, with the length before it. */
static const unsigned char alpn_name[] = {10, 'p', 'o', 's', 't', 'g', 'r', 'e', 's', 'q', 'l'};

/* A bundle in memory, and where its parts are. */
typedef struct Parts
{
	uint8_t *memory;
	size_t size;
	const TlsSettings *settings;
	const uint8_t *data[TLS_PARTS];
	size_t lengths[TLS_PARTS];
} Parts;

/*
 * Frees a bundle's memory, in which there is a private key.
 */
static void
free_parts(Parts *parts)
{
	if (parts->memory)
		OPENSSL_cleanse(parts->memory, parts->size);
	free(parts->memory);
}

/*
 * Reads a bundle whole.  False: it is none.
 */
static bool
read_parts(int fd, Parts *parts)
{
	const TlsBundle *bundle;
	struct stat status;
	size_t at = sizeof(TlsBundle);

	memset(parts, 0, sizeof(*parts));
	if (fstat(fd, &status) != 0 || status.st_size < (off_t) at || status.st_size > BUNDLE_MAX)
		return false;
	parts->size = (size_t) status.st_size;
	parts->memory = malloc(parts->size);
	if (!parts->memory || pread(fd, parts->memory, parts->size, 0) != status.st_size)
		return false;
	bundle = (const TlsBundle *) (const void *) parts->memory;
	if (bundle->size != sizeof(TlsBundle))
		return false;
	parts->settings = &bundle->settings;
	for (int i = 0; i < TLS_PARTS; i++)
	{
		if (bundle->lengths[i] > parts->size - at)
			return false;
		parts->data[i] = parts->memory + at;
		parts->lengths[i] = bundle->lengths[i];
		at += bundle->lengths[i];
	}
	return true;
}

/*
 * Opens a part for reading.
 */
static BIO *
open_part(const Parts *parts, TlsPart part)
{
	return BIO_new_mem_buf(parts->data[part], (int) parts->lengths[part]);
}

/*
 * Takes over the certificate and those that lead from it to a root.
 */
static bool
use_certificate(SSL_CTX *context, const Parts *parts)
{
	BIO *bio = open_part(parts, TLS_CERTIFICATE);
	X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	bool is_good = certificate && SSL_CTX_use_certificate(context, certificate) == 1;
	X509 *next;

	X509_free(certificate);
	while (is_good && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
	{
		is_good = SSL_CTX_add0_chain_cert(context, next) == 1;
		if (!is_good)
			X509_free(next);
	}
	/* the end of the file is an error of the last read, and fine */
	if (is_good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		ERR_clear_error();
	BIO_free(bio);
	return is_good && ERR_peek_last_error() == 0;
}

/*
 * Takes over the private key, and sees whether it is the certificate's.
 */
static bool
use_key(SSL_CTX *context, const Parts *parts)
{
	const unsigned char *der = parts->data[TLS_KEY];
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &der, (long) parts->lengths[TLS_KEY]);
	bool is_good = key && SSL_CTX_use_PrivateKey(context, key) == 1;

	EVP_PKEY_free(key);
	return is_good && SSL_CTX_check_private_key(context) == 1;
}

/*
 * Returns OpenSSL's number of a version; 0: any; -1: unknown.
 */
static int
version_number(const char *name)
{
	static const struct
	{
		const char *name;
		int number;
	} versions[] = {{"", 0},
	                {"TLSv1", TLS1_VERSION},
	                {"TLSv1.1", TLS1_1_VERSION},
	                {"TLSv1.2", TLS1_2_VERSION},
	                {"TLSv1.3", TLS1_3_VERSION}};

	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strcmp(versions[i].name, name) == 0)
			return versions[i].number;
	return -1;
}

/*
 * Sets which versions of the protocol are taken.
 */
static bool
set_versions(SSL_CTX *context, const TlsSettings *settings)
{
	int low = version_number(settings->min_version);
	int high = version_number(settings->max_version);

	return low >= 0 && high >= 0 && (low == 0 || high == 0 || low <= high) &&
	       SSL_CTX_set_min_proto_version(context, low) &&
	       SSL_CTX_set_max_proto_version(context, high);
}

/*
 * Sets the parameters of the Diffie-Hellman key exchange: the administrator's, or
 * the library's.  A file that makes no sense is no error: the server has said so.
 */
static bool
set_dh(SSL_CTX *context, const Parts *parts)
{
	BIO *bio = open_part(parts, TLS_DH_PARAMS);
	bool is_set = false;
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	EVP_PKEY *dh = PEM_read_bio_Parameters(bio, NULL);

	is_set = dh && SSL_CTX_set0_tmp_dh_pkey(context, dh) == 1;
	if (!is_set)
		EVP_PKEY_free(dh);
#else
	DH *dh = PEM_read_bio_DHparams(bio, NULL, NULL, NULL);

	is_set = dh && SSL_CTX_set_tmp_dh(context, dh) == 1;
	DH_free(dh);
#endif
	BIO_free(bio);
	ERR_clear_error();
	return is_set || SSL_CTX_set_dh_auto(context, 1) == 1;
}

/*
 * Sets ciphers and groups.
 */
static bool
set_ciphers(SSL_CTX *context, const TlsSettings *settings)
{
	if (settings->groups[0] && SSL_CTX_set1_groups_list(context, settings->groups) != 1)
		return false;
	if (SSL_CTX_set_cipher_list(context, settings->ciphers) != 1)
		return false;
	if (settings->ciphersuites[0] && SSL_CTX_set_ciphersuites(context, settings->ciphersuites) != 1)
		return false;
	if (settings->prefers_server_ciphers)
		SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
	return true;
}

/*
 * Adds certificates and revocation lists to what a store knows.  Returns how many;
 * -1: one makes no sense.
 */
static int
add_to_store(X509_STORE *store, STACK_OF(X509_NAME) * names, const Parts *parts, TlsPart part)
{
	BIO *bio = open_part(parts, part);
	STACK_OF(X509_INFO) *infos = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
	bool is_good = infos != NULL;
	int count = 0;

	for (int i = 0; is_good && i < sk_X509_INFO_num(infos); i++)
	{
		X509_INFO *info = sk_X509_INFO_value(infos, i);

		if (info->x509)
		{
			X509_NAME *name = X509_NAME_dup(X509_get_subject_name(info->x509));

			is_good = X509_STORE_add_cert(store, info->x509) == 1;
			if (!name || !names || sk_X509_NAME_push(names, name) == 0)
				X509_NAME_free(name);
			count++;
		}
		if (is_good && info->crl)
		{
			is_good = X509_STORE_add_crl(store, info->crl) == 1;
			count++;
		}
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	BIO_free(bio);
	return is_good ? count : -1;
}

/*
 * Asks clients for a certificate, where the server knows who may issue one.  A
 * client without one goes on: pg_hba.conf decides.
 */
static bool
set_ca(SSL_CTX *context, const Parts *parts)
{
	STACK_OF(X509_NAME) * names;

	if (parts->lengths[TLS_CA] == 0)
		return true;
	names = sk_X509_NAME_new_null();
	if (!names || add_to_store(SSL_CTX_get_cert_store(context), names, parts, TLS_CA) <= 0)
	{
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return false;
	}
	SSL_CTX_set_client_CA_list(context, names);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, NULL);
	return true;
}

/*
 * Sets where revoked certificates are listed.  The directory is looked into when
 * a certificate is checked, as the server does it.
 */
static bool
set_crl(SSL_CTX *context, const Parts *parts)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	const char *directory = parts->settings->crl_directory;

	if (parts->lengths[TLS_CRL] == 0 && !directory[0])
		return true;
	if (parts->lengths[TLS_CRL] > 0 && add_to_store(store, NULL, parts, TLS_CRL) <= 0)
		return false;
	if (directory[0] && X509_STORE_load_locations(store, NULL, directory) != 1)
		return false;
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return true;
}

/*
 * Chooses the application's protocol among those that a client names.
 */
static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
            unsigned int in_len, void *arg)
{
	unsigned char *chosen;

	(void) ssl;
	(void) arg;
	if (SSL_select_next_proto(&chosen, out_len, alpn_name, sizeof(alpn_name), in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/*
 * Makes a context of either side: no tickets, no sessions that are resumed, no
 * compression, no renegotiation; records are read ahead, buffers of idle
 * connections given back.
 */
static SSL_CTX *
new_context(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (!context)
		return NULL;
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                              SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
	                                 SSL_OP_NO_RENEGOTIATION | SSL_OP_SINGLE_DH_USE |
	                                 SSL_OP_SINGLE_ECDH_USE);
	return context;
}

/*
 * Makes the context of clients' legs.  Returns what failed; NULL: nothing.
 */
static const char *
make_accept(TlsContext *made, const Parts *parts)
{
	const TlsSettings *settings = parts->settings;

	made->accept = new_context(TLS_server_method());
	if (!made->accept)
		return "could not create an SSL context";
	if (!use_certificate(made->accept, parts))
		return "could not load server certificate file";
	if (!use_key(made->accept, parts))
		return "check of private key failed";
	if (!set_versions(made->accept, settings))
		return "could not set SSL protocol version range";
	if (!set_dh(made->accept, parts))
		return "could not set DH parameters";
	if (!set_ciphers(made->accept, settings))
		return "could not set the cipher list, or \"ssl_ecdh_curve\"";
	if (!set_ca(made->accept, parts))
		return "could not load root certificate file";
	if (!set_crl(made->accept, parts))
		return "could not load SSL certificate revocation list";
	if (settings->has_alpn)
		SSL_CTX_set_alpn_select_cb(made->accept, choose_alpn, NULL);
	return NULL;
}

/*
 * Makes the context of the server's legs.  It takes what a client's leg has come
 * to, so there are no rules of its own; groups are tried as the server has them.
 */
static const char *
make_connect(TlsContext *made, const TlsSettings *settings)
{
	made->connect = new_context(TLS_client_method());
	if (!made->connect)
		return "could not create an SSL context";
	SSL_CTX_set_security_level(made->connect, 0);
	SSL_CTX_set_verify(made->connect, SSL_VERIFY_NONE, NULL);
	if (settings->groups[0] && SSL_CTX_set1_groups_list(made->connect, settings->groups) != 1)
		return "could not set \"ssl_ecdh_curve\"";
	return NULL;
}

/*
 * Makes contexts of a bundle.
 */
TlsContext *
tls_context_make(int bundle, char error[TLS_ERROR_SIZE])
{
	TlsContext *made = calloc(1, sizeof(TlsContext));
	Parts parts = {0};
	const char *failed = "out of memory";

	errno = 0;
	ERR_clear_error();
	if (made && !read_parts(bundle, &parts))
		failed = "could not read the certificate's bundle";
	else if (made)
	{
		failed = make_accept(made, &parts);
		if (!failed)
			failed = make_connect(made, parts.settings);
	}
	free_parts(&parts);
	if (!failed)
		return made;
	tls_note_error(failed);
	snprintf(error, TLS_ERROR_SIZE, "%s", tls_error());
	tls_context_free(made);
	return NULL;
}

/*
 * Frees a context.  Connections made of it go on.
 */
void
tls_context_free(TlsContext *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->accept);
	SSL_CTX_free(context->connect);
	free(context);
}
