/*
 * relay_tls.c
 *	  A whole relay between a client with TLS and a server that is not one: what
 *	  no real server does, and what the server that is at hand may be too old for.
 *
 * The server is honest, an impostor with another certificate, one that talks in
 * clear behind its answer, one that cuts the line.
 */
#include "relay_harness.h"

#define CROWD 40

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
 * A server with the right certificate that does not know the token.
 */
static void
test_forgets(void)
{
	int fd = dial();
	SSL *ssl;

	set_server("ours", FORGETS);
	ssl = ask_tls(fd, TLS1_3_VERSION);
	check(log_in(ssl) == 'E', "a server that does not take the token is not believed");
	check(server.saw_token, "though it was given one");
	hang_up(ssl, fd);
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
 * A server whose name is being looked up.
 */
static void
test_pending_name(void)
{
	struct pollfd wait = {.events = POLLIN};
	int fd = dial();
	SSL *ssl;
	char byte = 0;

	relay.config.tls_upstream_count = relay.config.upstream_count = 0;
	relay.config.upstream_pending = 1;
	show("ours", false);
	wait.fd = fd;
	set_server("ours", HONEST);
	send(fd, ssl_request, sizeof(ssl_request), MSG_NOSIGNAL);
	check(poll(&wait, 1, 300) == 0, "while the server's name is looked up a client waits");
	relay.config.tls_upstream_count = relay.config.upstream_count = 1;
	relay.config.upstream_pending = 0;
	show("ours", false);
	check(recv(fd, &byte, 1, 0) == 1 && byte == 'S', "then it is answered, and not N");
	ssl = begin_tls(fd, TLS1_3_VERSION, NULL);
	check(log_in(ssl) == 'R', "and gets in");
	hang_up(ssl, fd);
}

/*
 * A client without TLS, while the server's name is being looked up.
 */
static void
test_pending_in_clear(void)
{
	struct pollfd wait = {.events = POLLIN};
	int fd = dial();

	relay.config.tls_upstream_count = relay.config.upstream_count = 0;
	relay.config.upstream_pending = 1;
	show("ours", false);
	wait.fd = fd;
	send(fd, startup, sizeof(startup), MSG_NOSIGNAL);
	check(poll(&wait, 1, 300) == 0, "so does one whose startup packet is there");
	relay.config.upstream_pending = 0;
	show("ours", false);
	check(poll(&wait, 1, 5000) == 1, "and hears when the name means nothing");
	close(fd);
	relay.config.tls_upstream_count = relay.config.upstream_count = 1;
	show("ours", false);
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
	test_forgets();
	test_refused("ours", TALKS_IN_CLEAR, "a server that talks in clear");
	test_reload();
	test_clear_behind_request();
	test_direct();
	test_pending_name();
	test_pending_in_clear();
	test_off();
	test_crowd();
	end_relay();
	return finish();
}
