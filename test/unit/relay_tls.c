/*
 * relay_tls.c
 *	  A whole relay between a client with TLS and a server that is not one: what
 *	  no real server does, and what the server that is at hand may be too old for.
 *
 * The relay is a child process as in life, under the sanitizers.  The server is a
 * thread that plays one part a test: honest, an impostor with another certificate,
 * one that talks in clear behind its answer, one that cuts the line.
 */
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

#include "relay/relay.h"
#include "relay/tls_bundle.h"

#define STREAM (512 * 1024)
#define CRUMBS 3000
#define CROWD 40

static const uint8_t ssl_request[8] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};
static const uint8_t startup[] = {0, 0, 0, 16, 0, 3, 0, 0, 'u', 's', 'e', 'r', 0, 'a', 0, 0};
static const uint8_t auth_ok[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0};

static const uint8_t last_words[] = {'S', 0, 0, 0, 8, 'a', 0, 'b', 0};

static int passed;
static int failed;
static char directory[] = "/tmp/pgwire_trace_unit.XXXXXX";

/* What the server does, and what it saw. */
typedef enum Part
{
	HONEST,        /* lets in, then echoes */
	CUTS,          /* lets in, says something, cuts the line */
	CLOSES,        /* lets in, says something, closes properly */
	SAYS_NO,       /* has no TLS */
	TALKS_IN_CLEAR /* behind its S */
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
 * Counts a check.
 */
static void
check(bool good, const char *what)
{
	if (good)
		passed++;
	else
	{
		failed++;
		printf("FAILED %s\n", what);
	}
}

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

	if (fd < 0 || bind(fd, (struct sockaddr *) &addr, len) != 0 || listen(fd, 2 * CROWD) != 0 ||
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
 * Reads the startup packet and looks for the token in it.
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
	server.saw_token = memmem(packet, len, BOARD_TOKEN_PARAMETER, sizeof(BOARD_TOKEN_PARAMETER));
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

	relay.board = mmap(NULL, BOARD_SIZE(4 * CROWD), PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	relay.board->slot_count = 4 * CROWD;
	relay.board->relay_count = 1;
	relay.listener = make_listener(&relay.port);
	fcntl(relay.listener, F_SETFL, O_NONBLOCK);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
		abort();
	relay.socket = pair[0];
	relay.config.size = sizeof(relay.config);
	relay.config.listener_count = 1;
	relay.config.max_sessions = 2 * CROWD;
	relay.config.max_unauthenticated = 2 * CROWD;
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

/* ---- the tests ---- */

/*
 * All goes well, by a version of TLS.
 */
static void
test_honest(int version, const char *name)
{
	int fd = dial();
	SSL *ssl;
	char byte;

	set_server("ours", HONEST);
	ssl = ask_tls(fd, version);
	check(log_in(ssl) == 'R', name);
	check(server.saw_token, "the token went out over TLS");
	check(ssl && strcmp(server.version, SSL_get_version(ssl)) == 0, "the carrier's version");
	check(ssl && strcmp(server.cipher, SSL_get_cipher_name(ssl)) == 0, "the carrier's cipher");
	check(ssl && exchange_stream(ssl, fd), "a stream comes back as it was sent");
	/* a half-close: all that is on the way still comes */
	SSL_write(ssl, "the last words", 14);
	SSL_shutdown(ssl);
	for (int i = 0; i < 14; i++)
		if (SSL_read(ssl, &byte, 1) != 1)
			check(false, "words behind which the client closed");
	check(SSL_read(ssl, &byte, 1) == 0 && SSL_get_error(ssl, 0) == SSL_ERROR_ZERO_RETURN,
	      "the server's own end comes back");
	check(server.heard_end, "and it has heard ours");
	hang_up(ssl, fd);
}

/*
 * A client that wants another handshake.
 */
static void
test_renegotiation(void)
{
	int fd = dial();
	SSL *ssl;

	set_server("ours", HONEST);
	ssl = ask_tls(fd, TLS1_2_VERSION);
	check(log_in(ssl) == 'R' && SSL_renegotiate(ssl) == 1 && SSL_do_handshake(ssl) != 1,
	      "renegotiation is refused");
	hang_up(ssl, fd);
}

/*
 * The server ends: properly, or not.
 */
static void
test_end(Part part, bool properly, const char *name)
{
	int fd = dial();
	SSL *ssl;
	char words[sizeof(last_words)];
	char byte;
	int result;

	set_server("ours", part);
	ssl = ask_tls(fd, TLS1_3_VERSION);
	check(log_in(ssl) == 'R' && read_all(ssl, words, sizeof(words)) &&
	          memcmp(words, last_words, sizeof(words)) == 0,
	      name);
	errno = 0;
	ERR_clear_error();
	result = SSL_read(ssl, &byte, 1);
	check((result <= 0 && SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN) == properly, name);
	hang_up(ssl, fd);
}

/*
 * A server that must not be talked to: the client gets an error, the server no
 * startup packet.
 */
static void
test_refused(const char *certificate, Part part, const char *name)
{
	int fd = dial();
	SSL *ssl;

	set_server(certificate, part);
	ssl = ask_tls(fd, TLS1_3_VERSION);
	check(log_in(ssl) == 'E', name);
	check(memmem(answer, sizeof(answer), "could not connect to the PostgreSQL server by TLS", 49),
	      "in the relay's own words");
	check(!server.saw_startup, "it got no startup packet");
	hang_up(ssl, fd);
}

/*
 * A certificate that changes on one side, then on the other.
 */
static void
test_reload(void)
{
	int fd;
	SSL *ssl;

	asks_for_reload();
	test_refused("other", HONEST, "a server with another certificate");
	check(asks_for_reload(), "the relay has asked to read its own again");
	show("other", false);
	fd = dial();
	set_server("ours", HONEST);
	ssl = ask_tls(fd, TLS1_3_VERSION);
	check(log_in(ssl) == 'R', "the certificate of before the last reload is known");
	hang_up(ssl, fd);
	show("ours", false);
}

/*
 * Bytes in clear behind SSLRequest.
 */
static void
test_clear_behind_request(void)
{
	uint8_t both[sizeof(ssl_request) + sizeof(startup)];
	char byte = 0;
	int fd = dial();

	set_server("ours", HONEST);
	memcpy(both, ssl_request, sizeof(ssl_request));
	memcpy(both + sizeof(ssl_request), startup, sizeof(startup));
	send(fd, both, sizeof(both), MSG_NOSIGNAL);
	check(recv(fd, &byte, 1, 0) == 1 && byte == 'E', "a startup packet behind SSLRequest");
	check(!server.saw_startup, "is not passed on");
	close(fd);
}

/*
 * TLS without SSLRequest.
 */
static void
test_direct(void)
{
	int fd;
	SSL *ssl;
	char byte;

	set_server("ours", HONEST);
	show("ours", false);
	fd = dial();
	check(begin_tls(fd, TLS1_3_VERSION, "\12postgresql") == NULL, "direct TLS, not known");
	close(fd);
	show("ours", true);
	fd = dial();
	ssl = begin_tls(fd, TLS1_3_VERSION, "\12postgresql");
	check(log_in(ssl) == 'R', "direct TLS with its protocol's name");
	hang_up(ssl, fd);
	fd = dial();
	ssl = begin_tls(fd, TLS1_2_VERSION, "\10http/1.1\12postgresql");
	check(log_in(ssl) == 'R', "among others, by TLS 1.2");
	hang_up(ssl, fd);
	fd = dial();
	check(begin_tls(fd, TLS1_3_VERSION, "\10http/1.1") == NULL, "another protocol's name");
	close(fd);
	fd = dial();
	ssl = begin_tls(fd, TLS1_3_VERSION, NULL);
	check(log_in(ssl) == 0 && SSL_read(ssl, &byte, 1) <= 0, "none at all");
	hang_up(ssl, fd);
	fd = dial();
	ssl = ask_tls(fd, TLS1_3_VERSION);
	check(log_in(ssl) == 'R', "SSLRequest as ever");
	hang_up(ssl, fd);
}

/*
 * Begins TLS on many connections, all at once.
 */
static void
begin_crowd(SSL *ssl[CROWD], const int fds[CROWD])
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int done = 0;

	for (int i = 0; i < CROWD; i++)
	{
		char byte = 0;

		check(recv(fds[i], &byte, 1, 0) == 1 && byte == 'S', "one of a crowd is answered");
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		ssl[i] = SSL_new(context);
		SSL_set_fd(ssl[i], fds[i]);
	}
	for (int turn = 0; turn < 1000 && done < CROWD; turn++)
	{
		done = 0;
		for (int i = 0; i < CROWD; i++)
			done += SSL_connect(ssl[i]) == 1;
		ERR_clear_error();
		usleep(1000);
	}
	SSL_CTX_free(context);
}

/*
 * Many handshakes at a time, with clients and with the server: all come through,
 * though a turn of the loop does but a few.
 */
static void
test_crowd(void)
{
	int fds[CROWD];
	SSL *ssl[CROWD];
	int in = 0;
	size_t n;

	show("ours", false);
	set_server("ours", CLOSES);
	for (int i = 0; i < CROWD; i++)
	{
		fds[i] = dial();
		send(fds[i], ssl_request, sizeof(ssl_request), MSG_NOSIGNAL);
	}
	begin_crowd(ssl, fds);
	for (int i = 0; i < CROWD; i++)
		SSL_write_ex(ssl[i], startup, sizeof(startup), &n);
	for (int i = 0; i < CROWD; i++)
	{
		fcntl(fds[i], F_SETFL, 0);
		in += read_all(ssl[i], answer, sizeof(auth_ok)) && answer[0] == 'R';
		hang_up(ssl[i], fds[i]);
	}
	check(in == CROWD, "a crowd gets in");
}

/*
 * A certificate that takes time.
 */
static void
test_waiting(void)
{
	struct pollfd wait = {.events = POLLIN};
	int fd = dial();
	SSL *ssl;
	char byte = 0;

	wait.fd = fd;
	set_server("ours", HONEST);
	send(fd, ssl_request, sizeof(ssl_request), MSG_NOSIGNAL);
	check(poll(&wait, 1, 300) == 0, "while the certificate is read a client waits");
	show("ours", false);
	check(recv(fd, &byte, 1, 0) == 1 && byte == 'S', "then it is answered");
	ssl = begin_tls(fd, TLS1_3_VERSION, NULL);
	check(log_in(ssl) == 'R', "and gets in");
	hang_up(ssl, fd);
}

/*
 * TLS that is switched off.
 */
static void
test_off(void)
{
	int fd = dial();
	char byte = 0;

	configure(RELAY_TLS_OFF, -1);
	usleep(50000);
	send(fd, ssl_request, sizeof(ssl_request), MSG_NOSIGNAL);
	check(recv(fd, &byte, 1, 0) == 1 && byte == 'N', "without TLS: N");
	close(fd);
}

/*
 * Ends the relay and removes the files.
 */
static void
finish(void)
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

int
main(void)
{
	pthread_t thread;
	uint16_t server_port;

	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(directory))
		return 1;
	make_certificate("ours");
	make_certificate("other");
	server.listener = make_listener(&server_port);
	start_relay(server_port);
	set_server("ours", HONEST);
	pthread_create(&thread, NULL, serve, NULL);
	configure(RELAY_TLS_LOADING, -1);
	test_waiting();
	test_honest(TLS1_3_VERSION, "TLS 1.3");
	test_honest(TLS1_2_VERSION, "TLS 1.2");
	test_renegotiation();
	test_end(CLOSES, true, "a server that closes");
	test_end(CUTS, false, "a server that cuts the line");
	test_refused("ours", SAYS_NO, "a server without TLS");
	test_refused("ours", TALKS_IN_CLEAR, "a server that talks in clear");
	test_reload();
	test_clear_behind_request();
	test_direct();
	test_off();
	test_crowd();
	finish();
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
