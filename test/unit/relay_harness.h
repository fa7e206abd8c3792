/*
 * relay_harness.h
 *	  A relay with a client and a server to play with, for its unit tests.
 *
 * The relay is a child process as in life, under the sanitizers.  The server is a
 * thread that plays one part a test; the client is the test itself.
 *
 *		make_certificate		a key and a certificate that vouches for itself
 *		set_server, serve		the server's certificate and part
 *		start_relay, configure, show, asks_for_reload, end_relay
 *		dial, begin_tls, ask_tls, log_in, read_all, hang_up
 *		exchange_stream			both ways at once
 */
#ifndef RELAY_HARNESS_H
#define RELAY_HARNESS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checks.h"
#include "relay/relay.h"
#include "relay/tls_bundle.h"

#define STREAM (512 * 1024)
#define CRUMBS 3000
#define PEERS 80 /* at a time */

static const uint8_t ssl_request[8] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};
static const uint8_t startup[] = {0, 0, 0, 16, 0, 3, 0, 0, 'u', 's', 'e', 'r', 0, 'a', 0, 0};
static const uint8_t auth_ok[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0};

static const uint8_t last_words[] = {'S', 0, 0, 0, 8, 'a', 0, 'b', 0};

static char directory[] = "/tmp/pgwire_trace_unit.XXXXXX";

/* What the server does, and what it saw. */
typedef enum Part
{
	HONEST,         /* lets in, then echoes */
	CUTS,           /* lets in, says something, cuts the line */
	CLOSES,         /* lets in, says something, closes properly */
	SAYS_NO,        /* has no TLS */
	TALKS_IN_CLEAR, /* behind its S */
	FORGETS         /* lets in without having taken the token */
} Part;

static struct
{
	int listener;
	SSL_CTX *context;
	Part part;
	char version[16];
	char cipher[64];
	bool saw_startup;
	bool saw_token;
	bool heard_end; /* a close_notify */
} server;

static struct
{
	Board *board;
	pid_t pid;
	int socket;
	int listener;
	uint16_t port;
	RelayConfig config;
} relay;

/*
 * Returns a path in the test's directory.
 */
static const char *
path(const char *name)
{
	static char paths[4][256];
	static int next;
	char *result = paths[next++ % 4];

	snprintf(result, sizeof(paths[0]), "%s/%s", directory, name);
	return result;
}

/*
 * Makes a certificate that vouches for itself, and its key.
 */
static void
make_certificate(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	char file[64];
	FILE *out;

	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
	                           (const unsigned char *) name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_sign(certificate, key, EVP_sha256());
	snprintf(file, sizeof(file), "%s.crt", name);
	out = fopen(path(file), "w");
	PEM_write_X509(out, certificate);
	fclose(out);
	snprintf(file, sizeof(file), "%s.key", name);
	out = fopen(path(file), "w");
	fchmod(fileno(out), 0600);
	PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	fclose(out);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/*
 * Listens on a free port.
 */
static int
make_listener(uint16_t *port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &addr, len) != 0 || listen(fd, PEERS) != 0 ||
	    getsockname(fd, (struct sockaddr *) &addr, &len) != 0)
		abort();
	*port = ntohs(addr.sin_port);
	return fd;
}

/* ---- the server ---- */

/*
 * Reads exactly so many bytes.
 */
static bool
read_all(SSL *ssl, void *data, size_t len)
{
	size_t done = 0;
	size_t n;

	while (done < len && SSL_read_ex(ssl, (char *) data + done, len - done, &n))
		done += n;
	return done == len;
}

/*
 * Takes the slot of a token, as a backend does.
 */
static void
take_token(const uint8_t *packet, size_t len)
{
	const char *at = memmem(packet, len, BOARD_TOKEN_PARAMETER, sizeof(BOARD_TOKEN_PARAMETER));
	uint8_t token[BOARD_TOKEN];

	server.saw_token = at != NULL;
	if (!at || server.part == FORGETS)
		return;
	for (int i = 0; i < BOARD_TOKEN; i++)
		sscanf(at + sizeof(BOARD_TOKEN_PARAMETER) + 2 * i, "%2hhx", &token[i]);
	board_take_slot(relay.board, token, (uint32_t) getpid());
}

/*
 * Reads the startup packet and takes the token in it.
 */
static bool
read_startup(SSL *ssl)
{
	uint8_t packet[10000];
	uint32_t len;

	if (!read_all(ssl, packet, 4))
		return false;
	len = (uint32_t) packet[2] << 8 | packet[3];
	if (len < 8 || len > sizeof(packet) || !read_all(ssl, packet + 4, len - 4))
		return false;
	server.saw_startup = true;
	take_token(packet, len);
	return true;
}

/*
 * Returns what it is sent, until an end.
 */
static void
echo(SSL *ssl)
{
	static uint8_t data[16384];
	size_t n;

	while (SSL_read_ex(ssl, data, sizeof(data), &n))
		if (!SSL_write_ex(ssl, data, n, &n))
			return;
	server.heard_end = SSL_get_error(ssl, 0) == SSL_ERROR_ZERO_RETURN;
	SSL_shutdown(ssl);
}

/*
 * Plays the server over TLS.
 */
static void
serve_tls(int fd)
{
	SSL *ssl = SSL_new(server.context);
	size_t n;

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1 && read_startup(ssl))
	{
		snprintf(server.version, sizeof(server.version), "%s", SSL_get_version(ssl));
		snprintf(server.cipher, sizeof(server.cipher), "%s", SSL_get_cipher_name(ssl));
		SSL_write_ex(ssl, auth_ok, sizeof(auth_ok), &n);
		if (server.part == HONEST)
			echo(ssl);
		else
			SSL_write_ex(ssl, last_words, sizeof(last_words), &n);
		if (server.part == CLOSES)
			SSL_shutdown(ssl);
	}
	SSL_free(ssl);
}

/*
 * Plays the server for connections as they come.
 */
static void *
serve(void *arg)
{
	(void) arg;
	for (;;)
	{
		uint8_t request[8];
		int fd = accept(server.listener, NULL, NULL);

		if (fd < 0)
			return NULL;
		if (recv(fd, request, sizeof(request), MSG_WAITALL) == 8 &&
		    memcmp(request, ssl_request, 8) == 0)
		{
			if (server.part == SAYS_NO)
				send(fd, "N", 1, MSG_NOSIGNAL);
			else if (server.part == TALKS_IN_CLEAR)
			{
				send(fd, "SE\0\0\0\10evil", 10, MSG_NOSIGNAL);
				recv(fd, request, sizeof(request), 0);
			}
			else
			{
				send(fd, "S", 1, MSG_NOSIGNAL);
				serve_tls(fd);
			}
		}
		close(fd);
	}
}

/*
 * Gives the server a certificate and a part.
 */
static void
set_server(const char *name, Part part)
{
	char file[64];
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	snprintf(file, sizeof(file), "%s.crt", name);
	SSL_CTX_use_certificate_file(context, path(file), SSL_FILETYPE_PEM);
	snprintf(file, sizeof(file), "%s.key", name);
	SSL_CTX_use_PrivateKey_file(context, path(file), SSL_FILETYPE_PEM);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_free(server.context);
	memset(server.version, 0, sizeof(server.version));
	server.context = context;
	server.part = part;
	server.saw_startup = server.saw_token = server.heard_end = false;
}

/* ---- the relay ---- */

/*
 * Sends the relay settings, with the listener and a bundle.
 */
static void
configure(RelayTls state, int bundle)
{
	int fds[2] = {relay.listener, bundle};
	size_t count = bundle >= 0 ? 2 : 1;
	union
	{
		struct cmsghdr header;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec part = {&relay.config, sizeof(relay.config)};
	struct msghdr message = {.msg_iov = &part,
	                         .msg_iovlen = 1,
	                         .msg_control = &control,
	                         .msg_controllen = CMSG_SPACE(count * sizeof(int))};

	relay.config.tls_state = state;
	relay.config.has_bundle = bundle >= 0;
	relay.config.tls_generation++;
	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	if (sendmsg(relay.socket, &message, 0) < 0)
		abort();
}

/*
 * Has the relay show a certificate, and know of direct TLS or not.
 */
static void
show(const char *name, bool has_alpn)
{
	static TlsSettings settings;
	char error[TLS_ERROR_SIZE];
	char file[64];
	int bundle;

	memset(&settings, 0, sizeof(settings));
	snprintf(file, sizeof(file), "%s.crt", name);
	strcpy(settings.certificate_file, path(file));
	snprintf(file, sizeof(file), "%s.key", name);
	strcpy(settings.key_file, path(file));
	strcpy(settings.ciphers, "HIGH:!aNULL");
	strcpy(settings.groups, "prime256v1");
	strcpy(settings.ca_file, path("other.crt")); /* clients are asked, and have none */
	strcpy(settings.min_version, "TLSv1.2");
	settings.has_alpn = has_alpn;
	relay.config.tls_direct = has_alpn;
	bundle = tls_bundle_make(&settings, error);
	if (bundle < 0)
	{
		printf("FAILED tls_bundle_make: %s\n", error);
		exit(1);
	}
	configure(RELAY_TLS_ON, bundle);
	close(bundle);
	usleep(50000);
}

/*
 * Starts the relay.
 */
static void
start_relay(uint16_t server_port)
{
	struct sockaddr_in *upstream = (struct sockaddr_in *) &relay.config.tls_upstreams[0].addr;
	int pair[2];

	relay.board = mmap(NULL, BOARD_SIZE((2 * PEERS)), PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	relay.board->slot_count = (2 * PEERS);
	relay.board->relay_count = 1;
	relay.listener = make_listener(&relay.port);
	fcntl(relay.listener, F_SETFL, O_NONBLOCK);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
		abort();
	relay.socket = pair[0];
	relay.config.size = sizeof(relay.config);
	relay.config.listener_count = 1;
	relay.config.max_sessions = PEERS;
	relay.config.max_unauthenticated = PEERS;
	relay.config.authentication_timeout_ms = 10000;
	relay.config.capture_memory = 16 * 1024 * 1024;
	relay.config.sample_rate = 1;
	relay.config.journal_limit = 64 * 1024 * 1024;
	relay.config.flush_interval_ms = 200;
	relay.config.tls_upstream_count = 1;
	relay.config.tls_upstreams[0].len = sizeof(*upstream);
	upstream->sin_family = AF_INET;
	upstream->sin_port = htons(server_port);
	upstream->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	strcpy(relay.config.journal_directory, directory);
	strcpy(relay.config.filters[RELAY_EXCLUDE_USERS], "*"); /* ids come from elsewhere */
	relay.pid = fork();
	if (relay.pid == 0)
	{
		close(pair[0]);
		close(server.listener);
		relay_main(relay.board, 0, pair[1]);
	}
	close(pair[1]);
}

/*
 * Tells whether the relay has asked for the certificate to be read again; the log
 * lines that come before are thrown away.
 */
static bool
asks_for_reload(void)
{
	RelayNote note;
	bool asked = false;

	while (recv(relay.socket, &note, sizeof(note), MSG_DONTWAIT) > 0)
		asked = asked || note.kind == RELAY_NOTE_RELOAD;
	return asked;
}

/* ---- the client ---- */

/*
 * Connects to the relay.
 */
static int
dial(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
	                           .sin_port = htons(relay.port),
	                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {10, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0)
		abort();
	return fd;
}

/*
 * Begins TLS on a connection.  NULL: it was refused.
 */
static SSL *
begin_tls(int fd, int version, const char *alpn)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	SSL_CTX_set_max_proto_version(context, version);
	ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(ssl, fd);
	if (alpn)
		SSL_set_alpn_protos(ssl, (const unsigned char *) alpn, (unsigned int) strlen(alpn));
	if (SSL_connect(ssl) == 1)
		return ssl;
	ERR_clear_error();
	SSL_free(ssl);
	return NULL;
}

/*
 * Asks for TLS and begins it.
 */
static SSL *
ask_tls(int fd, int version)
{
	char byte = 0;

	send(fd, ssl_request, sizeof(ssl_request), MSG_NOSIGNAL);
	if (recv(fd, &byte, 1, 0) != 1 || byte != 'S')
		return NULL;
	return begin_tls(fd, version, NULL);
}

static uint8_t answer[512]; /* the first, to the last startup packet */

/*
 * Sends the startup packet; returns the type of the first answer, 0 for none.
 */
static char
log_in(SSL *ssl)
{
	size_t n;

	memset(answer, 0, sizeof(answer));
	if (!ssl || !SSL_write_ex(ssl, startup, sizeof(startup), &n) || !read_all(ssl, answer, 5))
		return 0;
	n = (size_t) answer[3] << 8 | answer[4];
	if (n < 4 || n > sizeof(answer) || !read_all(ssl, answer + 5, n - 4))
		return 0;
	return (char) answer[0];
}

/*
 * Ends a client.
 */
static void
hang_up(SSL *ssl, int fd)
{
	SSL_free(ssl);
	close(fd);
	ERR_clear_error();
}

/*
 * Sends a stream and reads its echo at the same time; pieces of a byte first, then
 * large ones, with new keys asked for now and then.  Returns whether it came back
 * as it was.
 */
static bool
exchange_stream(SSL *ssl, int fd)
{
	static uint8_t in[16384];
	static uint8_t out[16384];
	size_t sent = 0;
	size_t got = 0;
	bool good = true;
	size_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int idle = 0; got < STREAM && idle < 500;)
	{
		size_t size = sent < CRUMBS ? 1 : sizeof(out);
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		bool moved = false;

		size = size < STREAM - sent ? size : STREAM - sent;
		for (size_t i = 0; i < size; i++)
			out[i] = (uint8_t) ((sent + i) * 2654435761u >> 11);
		if (size > 0 && SSL_write_ex(ssl, out, size, &n))
		{
			sent += n;
			moved = true;
			if (SSL_version(ssl) == TLS1_3_VERSION && sent % 7 == 0)
				SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
		}
		while (SSL_read_ex(ssl, in, sizeof(in), &n))
		{
			for (size_t i = 0; i < n; i++)
				good = good && in[i] == (uint8_t) ((got + i) * 2654435761u >> 11);
			got += n;
			moved = true;
		}
		ERR_clear_error();
		idle = moved ? 0 : idle + 1;
		if (!moved)
			poll(&wait, 1, 20);
	}
	fcntl(fd, F_SETFL, 0);
	return good && got == STREAM;
}

/*
 * Ends the relay and removes the files.
 */
static void
end_relay(void)
{
	static const char *const names[] = {"ours.crt", "ours.key", "other.crt", "other.key"};
	char command[300];
	int status = -1;

	kill(relay.pid, SIGTERM);
	waitpid(relay.pid, &status, 0);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the relay ends well");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path(names[i]));
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	if (system(command) != 0)
		printf("could not remove %s\n", directory);
}

#endif /* RELAY_HARNESS_H */
