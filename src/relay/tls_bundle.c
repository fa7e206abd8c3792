/*
 * tls_bundle.c
 *	  Reads what TLS needs into one file in memory.
 *
 * Runs in a child of the supervisor, which has all the time that a passphrase
 * command takes, and may fail without harm.  What comes out was tried: contexts
 * have been made of it.  The private key is in it without its passphrase, so the
 * file exists in memory alone, is sealed, and goes to relays and nobody else.
 *
 *		tls_bundle_make
 *		tls_bundle_new, tls_bundle_seal		the file itself, for a copy
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay/tls_context.h"

#define FILE_MAX_SIZE (64 * 1024 * 1024)

/* What is being made. */
typedef struct Maker
{
	const TlsSettings *settings;
	int fd;
	TlsBundle header;
	bool was_asked; /* the key has a passphrase */
	char *error;
} Maker;

/*
 * Says what went wrong.
 */
static bool __attribute__((format(printf, 2, 3))) fail(Maker *maker, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(maker->error, TLS_ERROR_SIZE, format, args);
	va_end(args);
	return false;
}

/*
 * Returns why OpenSSL last failed.
 */
static const char *
reason(void)
{
	tls_note_error("");
	return tls_error();
}

/*
 * Adds a part's bytes.
 */
static bool
add_part(Maker *maker, TlsPart part, const void *data, size_t len)
{
	if (write(maker->fd, data, len) != (ssize_t) len)
		return fail(maker, "could not write the certificate's bundle: %s", strerror(errno));
	maker->header.lengths[part] = (uint32_t) len;
	return true;
}

/*
 * Reads a file whole.  NULL with errno.
 */
static uint8_t *
read_file(const char *path, size_t *len)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *data = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) == 0 && status.st_size <= FILE_MAX_SIZE)
	{
		*len = (size_t) status.st_size;
		data = malloc(*len + 1);
		if (data && read(fd, data, *len) != status.st_size)
		{
			free(data);
			data = NULL;
		}
	}
	else
		errno = EFBIG;
	close(fd);
	return data;
}

/*
 * Adds a file, if the settings name one.
 */
static bool
add_file(Maker *maker, TlsPart part, const char *path, const char *what)
{
	size_t len = 0;
	uint8_t *data;
	bool is_added;

	if (!path[0])
		return true;
	data = read_file(path, &len);
	if (!data)
		return fail(maker, "could not load %s \"%s\": %s", what, path, strerror(errno));
	is_added = len > 0 ? add_part(maker, part, data, len)
	                   : fail(maker, "could not load %s \"%s\": it is empty", what, path);
	free(data);
	return is_added;
}

/*
 * Checks who may read the key file, by the server's rule.
 */
static bool
check_key_file(Maker *maker)
{
	const char *path = maker->settings->key_file;
	struct stat status;
	bool is_ours;

	if (stat(path, &status) != 0)
		return fail(maker, "could not access private key file \"%s\": %s", path, strerror(errno));
	is_ours = status.st_uid == geteuid();
	if (!S_ISREG(status.st_mode))
		return fail(maker, "private key file \"%s\" is not a regular file", path);
	if (!is_ours && status.st_uid != 0)
		return fail(maker, "private key file \"%s\" must be owned by the database user or root",
		            path);
	if (status.st_mode & (is_ours ? S_IRWXG | S_IRWXO : S_IWGRP | S_IXGRP | S_IRWXO))
		return fail(maker, "private key file \"%s\" has group or world access", path);
	return true;
}

/*
 * Writes the passphrase command, %p replaced by a prompt and %% by %.
 */
static void
expand_command(const char *command, char *out, size_t size)
{
	static const char prompt[] = "Enter PEM pass phrase:";
	size_t len = 0;

	for (const char *p = command; *p && len + sizeof(prompt) < size; p++)
	{
		if (p[0] == '%' && p[1] == 'p')
		{
			memcpy(out + len, prompt, sizeof(prompt) - 1);
			len += sizeof(prompt) - 1;
			p++;
			continue;
		}
		if (p[0] == '%' && p[1] == '%')
			p++;
		out[len++] = *p;
	}
	out[len] = '\0';
}

/*
 * OpenSSL's callback: asks the passphrase command.
 */
static int
ask_passphrase(char *buffer, int size, int rwflag, void *arg)
{
	Maker *maker = arg;
	char command[2 * TLS_TEXT_SIZE];
	FILE *pipe;
	int status;

	(void) rwflag;
	buffer[0] = '\0';
	maker->was_asked = true;
	if (!maker->settings->may_ask || !maker->settings->passphrase_command[0])
		return 0;
	expand_command(maker->settings->passphrase_command, command, sizeof(command));
	pipe = popen(command, "r");
	if (pipe && !fgets(buffer, size, pipe))
		buffer[0] = '\0';
	status = pipe ? pclose(pipe) : -1;
	if (status != 0)
	{
		OPENSSL_cleanse(buffer, (size_t) size);
		fail(maker, "command \"%s\" failed", command);
		return 0;
	}
	buffer[strcspn(buffer, "\r\n")] = '\0';
	return (int) strlen(buffer);
}

/*
 * Says why the key could not be read.
 */
static bool
fail_key(Maker *maker)
{
	const char *path = maker->settings->key_file;

	if (maker->error[0])
		return false;
	if (maker->was_asked && !maker->settings->may_ask)
		return fail(maker,
		            "private key file \"%s\" cannot be reloaded because it requires a passphrase",
		            path);
	if (maker->was_asked && !maker->settings->passphrase_command[0])
		return fail(maker,
		            "private key file \"%s\" requires a passphrase: set "
		            "\"ssl_passphrase_command\"",
		            path);
	return fail(maker, "could not load private key file \"%s\": %s", path, reason());
}

/*
 * Adds the private key, without its passphrase.
 */
static bool
add_key(Maker *maker)
{
	const char *path = maker->settings->key_file;
	unsigned char *der = NULL;
	EVP_PKEY *key = NULL;
	BIO *bio;
	int len;
	bool is_added;

	if (!check_key_file(maker))
		return false;
	errno = 0;
	bio = BIO_new_file(path, "r");
	if (bio)
		key = PEM_read_bio_PrivateKey(bio, NULL, ask_passphrase, maker);
	BIO_free(bio);
	if (!key)
		return fail_key(maker);
	len = i2d_PrivateKey(key, &der);
	EVP_PKEY_free(key);
	if (len <= 0)
		return fail(maker, "could not load private key file \"%s\": %s", path, reason());
	is_added = add_part(maker, TLS_KEY, der, (size_t) len);
	OPENSSL_cleanse(der, (size_t) len);
	OPENSSL_free(der);
	return is_added;
}

/*
 * Adds the parameters of a key exchange.  Without them it goes on, as the server
 * does, which says so.
 */
static void
add_dh_params(Maker *maker)
{
	char *error = maker->error;
	char ignored[TLS_ERROR_SIZE];

	maker->error = ignored;
	add_file(maker, TLS_DH_PARAMS, maker->settings->dh_params_file, "DH parameters file");
	maker->error = error;
}

/*
 * Fills the file in memory.
 */
static bool
fill_bundle(Maker *maker)
{
	const TlsSettings *settings = maker->settings;

	if (lseek(maker->fd, sizeof(TlsBundle), SEEK_SET) < 0)
		return fail(maker, "could not write the certificate's bundle: %s", strerror(errno));
	if (!add_file(maker, TLS_CERTIFICATE, settings->certificate_file, "server certificate file") ||
	    !add_key(maker) || !add_file(maker, TLS_CA, settings->ca_file, "root certificate file") ||
	    !add_file(maker, TLS_CRL, settings->crl_file, "SSL certificate revocation list file"))
		return false;
	add_dh_params(maker);
	maker->header.size = sizeof(maker->header);
	maker->header.settings = *settings;
	if (pwrite(maker->fd, &maker->header, sizeof(maker->header), 0) != sizeof(maker->header))
		return fail(maker, "could not write the certificate's bundle: %s", strerror(errno));
	return true;
}

/*
 * Tries what was made.
 */
static bool
try_bundle(Maker *maker)
{
	TlsContext *context = tls_context_make(maker->fd, maker->error);

	tls_context_free(context);
	return context != NULL;
}

/*
 * Makes an empty file in memory.
 */
int
tls_bundle_new(void)
{
	return memfd_create("pgwire_trace TLS", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/*
 * Sees to it that nobody changes a bundle any more.
 */
void
tls_bundle_seal(int bundle)
{
	fcntl(bundle, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
}

/*
 * Makes a bundle of what the settings name.
 */
int
tls_bundle_make(const TlsSettings *settings, char error[TLS_ERROR_SIZE])
{
	Maker maker = {.settings = settings, .error = error};

	error[0] = '\0';
	maker.fd = tls_bundle_new();
	if (maker.fd < 0)
	{
		fail(&maker, "could not make a file in memory: %s", strerror(errno));
		return -1;
	}
	if (fill_bundle(&maker) && try_bundle(&maker))
	{
		tls_bundle_seal(maker.fd);
		return maker.fd;
	}
	close(maker.fd);
	return -1;
}
