/*
 * tls_bundle.h
 *	  What TLS needs, as one file in memory.
 *
 * Certificate, key and the rest are read by a child of the supervisor, which may
 * wait for a passphrase command.  The supervisor keeps the file and gives it to
 * every relay, so all relays show what was read at the last reload, also those
 * started since.
 */
#ifndef RELAY_TLS_BUNDLE_H
#define RELAY_TLS_BUNDLE_H

#include <stdbool.h>

#define TLS_PATH_SIZE 1024
#define TLS_TEXT_SIZE 2048
#define TLS_ERROR_SIZE 512

/* The server's settings; empty: not set. */
typedef struct TlsSettings
{
	char certificate_file[TLS_PATH_SIZE];
	char key_file[TLS_PATH_SIZE];
	char ca_file[TLS_PATH_SIZE];
	char crl_file[TLS_PATH_SIZE];
	char crl_directory[TLS_PATH_SIZE];
	char dh_params_file[TLS_PATH_SIZE];
	char passphrase_command[TLS_TEXT_SIZE];
	char ciphers[TLS_TEXT_SIZE];      /* up to TLS 1.2 */
	char ciphersuites[TLS_TEXT_SIZE]; /* of TLS 1.3; empty: the library's */
	char groups[TLS_TEXT_SIZE];       /* a list */
	char min_version[16];             /* 'TLSv1.2' */
	char max_version[16];
	bool prefers_server_ciphers;
	bool may_ask;  /* the passphrase command may be run */
	bool has_alpn; /* the server knows of the application protocol "postgresql" */
} TlsSettings;

/* Makes a bundle of what the settings name. Returns its descriptor; -1: error says why. */
extern int tls_bundle_make(const TlsSettings *settings, char error[TLS_ERROR_SIZE]);

/* Makes an empty file for a bundle; -1 with errno. And makes it one that nobody can change. */
extern int tls_bundle_new(void);
extern void tls_bundle_seal(int bundle);

#endif /* RELAY_TLS_BUNDLE_H */
