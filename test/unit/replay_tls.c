/*
 * replay_tls.c
 *	  A target that wants another TLS handshake in the middle of a replay: what is to be
 *	  sent waits until TLS has heard the target, and nothing turns in circles meanwhile.
 */
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

#include "replay_harness.h"

#define BUSY_MS 500 /* of processor time are far too much for a session that waits */

static int port;

/*
 * Makes a context with a certificate of its own.
 */
static SSL_CTX *
make_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
	                           (const unsigned char *) "target", -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_set_pubkey(certificate, key);
	X509_sign(certificate, key, EVP_sha256());
	SSL_CTX_use_certificate(context, certificate);
	SSL_CTX_use_PrivateKey(context, key);
	SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION); /* later ones have no renegotiation */
	SSL_CTX_set_session_id_context(context, (const unsigned char *) "x", 1);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}

/*
 * Reads a message.  Returns its type, 0 at the end.
 */
static uint8_t
read_message(SSL *ssl, bool is_first)
{
	uint8_t message[1024];
	size_t header = is_first ? 4 : 5;
	size_t got = 0;
	size_t size = header;

	while (got < size)
	{
		int n = SSL_read(ssl, message + got, (int) (size - got));

		if (n <= 0)
			return 0;
		got += (size_t) n;
		if (got == header)
			size = length_at(message + header - 4) + header - 4;
		if (size > sizeof(message))
			return 0;
	}
	return is_first ? 1 : message[0];
}

/*
 * Serves a session that asks for one whose database begins with h hangs in the new
 * handshake, others take a moment for it.
 */
static void
serve_tls(SSL_CTX *context, int fd, bool hangs)
{
	SSL *ssl = SSL_new(context);
	struct timespec moment = {0, 300000000};
	char request[8];

	if (read(fd, request, 8) != 8 || write(fd, "S", 1) != 1)
		_exit(1);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) != 1 || !read_message(ssl, true))
		_exit(1);
	SSL_write(ssl, login_answer, sizeof(login_answer));
	for (int i = 0; read_message(ssl, false) == 'Q'; i++)
	{
		SSL_write(ssl, query_answer, sizeof(query_answer) - 1);
		if (i != 0)
			continue;
		SSL_renegotiate(ssl);
		SSL_do_handshake(ssl); /* says that it wants one */
		nanosleep(&moment, NULL);
		while (hangs)
			pause();
	}
	_exit(0);
}

/*
 * Starts a target that takes one session.
 */
static pid_t
start_tls(bool hangs)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pid_t pid;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &address, len) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *) &address, &len) != 0)
	{
		perror("bind");
		exit(1);
	}
	port = ntohs(address.sin_port);
	pid = fork();
	if (pid == 0)
	{
		signal(SIGPIPE, SIG_IGN);
		alarm(TEST_SECONDS);
		serve_tls(make_context(), accept(listener, NULL, NULL), hangs);
	}
	close(listener);
	return pid;
}

/*
 * Returns how much processor time children have taken that have ended.
 */
static int64_t
children_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/*
 * Replays a session in whose middle the target wants another handshake.
 */
static void
run(bool hangs, int answered)
{
	ReplaySettings settings = make_settings("tls", ORDERING_NONE);
	int64_t before = children_ms();
	char conninfo[256];
	const char *conninfos[] = {conninfo};
	pid_t target = start_tls(hangs);
	Heard heard;
	char what[1024];
	int64_t took;

	settings.exchange_timeout_us = 3000000;
	/* exchanges are 100 ms apart: the next one is due in the middle of the handshake */
	settings.timing = TIMING_SCHEDULE;
	settings.speed = 0.0001;
	snprintf(conninfo, sizeof(conninfo),
	         "hostaddr=127.0.0.1 port=%d user=u dbname=good sslmode=require", port);
	write_plan(settings.plan_path, 1, 1, 1);
	heard = run_child_with(&settings, conninfos, 1, false);
	took = children_ms() - before;
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	snprintf(what, sizeof(what),
	         "a handshake that %s: done %d, sent %d, answered %d, lost %d (%s), %lld ms of"
	         " processor time",
	         hangs ? "hangs" : "goes on", heard.is_done, heard.sent, heard.answered,
	         heard.ended[LINK_SESSION_LOST], heard.reason, (long long) took);
	check(heard.is_done && heard.answered == answered && heard.ended[LINK_SESSION_LOST] == hangs &&
	          took < BUSY_MS,
	      what);
}

/*
 * Runs the tests.
 */
int
main(void)
{
	snprintf(directory, sizeof(directory), "/tmp/replay_tls.%d", (int) getpid());
	mkdir(directory, 0700);
	run(false, EXCHANGES);
	run(true, 1);
	rmdir(directory);
	return finish();
}
