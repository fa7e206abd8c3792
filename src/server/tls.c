/*
 * tls.c
 *	  The server's certificate for the relays: read by a short-lived child.
 *
 * The settings are the server's own (ssl_cert_file and its like).  Reading them may
 * take as long as ssl_passphrase_command does, so a child that has left the server
 * does it, as with host names, and sends back a file in memory (relay/tls_bundle.h) or
 * what is wrong.  The supervisor keeps that file and gives it to each relay, so a
 * relay that is restarted shows what the others show.  When the files on disk make
 * no sense, the ones of before stay in use, as the server does it; those are kept for
 * the next supervisor too (tls_kept.c).
 *
 * As with the server, a passphrase command is run at a reload only if
 * ssl_passphrase_command_supports_reload is on.
 */
#include "server/supervisor.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "compat.h"
#include "libpq/libpq.h"
#include "postmaster/postmaster.h"
#include "relay/tls_bundle.h"
#include "utils/guc.h"

#define CHILD_US INT64CONST(60000000) /* how long a passphrase command may take */
#define RETRY_FIRST_US INT64CONST(1000000)
#define RETRY_MAX_US INT64CONST(300000000)

/* What the child sends; the bundle is attached if there is no error. */
typedef struct Answer
{
	char error[TLS_ERROR_SIZE];
} Answer;

static TlsSettings settings; /* of the child in hand */
static pid_t child_pid;
static int child_fd = -1;
static int64 child_until;
static bool is_wanted;    /* to be read again when the child is done */
static int bundle = -1;   /* what relays are given */
static uint64 generation; /* of the bundle */
static int64 read_at;     /* when the child in hand was started */
static int64 retry_at;    /* 0: not by itself */
static int64 retry_after;

/*
 * Copies a setting of the server's; one that this version does not have is empty.
 * False: it is too long.
 */
static bool
copy_setting(char *to, size_t size, const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return strlcpy(to, value ? value : "", size) < size;
}

/*
 * Gathers the server's settings.  Returns the name of one that is too long; NULL:
 * all are here.
 */
static const char *
gather_settings(void)
{
	const struct
	{
		char *to;
		size_t size;
		const char *name;
	} list[] = {
	    {settings.certificate_file, sizeof(settings.certificate_file), "ssl_cert_file"},
	    {settings.key_file, sizeof(settings.key_file), "ssl_key_file"},
	    {settings.ca_file, sizeof(settings.ca_file), "ssl_ca_file"},
	    {settings.crl_file, sizeof(settings.crl_file), "ssl_crl_file"},
	    {settings.crl_directory, sizeof(settings.crl_directory), "ssl_crl_dir"},
	    {settings.dh_params_file, sizeof(settings.dh_params_file), "ssl_dh_params_file"},
	    {settings.passphrase_command, sizeof(settings.passphrase_command),
	     "ssl_passphrase_command"},
	    {settings.ciphers, sizeof(settings.ciphers), "ssl_ciphers"},
	    {settings.ciphersuites, sizeof(settings.ciphersuites), "ssl_tls13_ciphers"},
	    {settings.groups, sizeof(settings.groups), COMPAT_TLS_GROUPS},
	    {settings.min_version, sizeof(settings.min_version), "ssl_min_protocol_version"},
	    {settings.max_version, sizeof(settings.max_version), "ssl_max_protocol_version"},
	};

	memset(&settings, 0, sizeof(settings));
	for (size_t i = 0; i < lengthof(list); i++)
		if (!copy_setting(list[i].to, list[i].size, list[i].name))
			return list[i].name;
	settings.prefers_server_ciphers = SSLPreferServerCiphers;
	settings.may_ask = bundle < 0 || ssl_passphrase_command_supports_reload;
	settings.has_alpn = COMPAT_HAS_DIRECT_TLS;
	return NULL;
}

/*
 * Sends what was made; runs in the child.
 */
static void
send_answer(int socket, const Answer *answer, int fd)
{
	union
	{
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {(void *) answer, sizeof(*answer)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0)
	{
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	}
	_exit(sendmsg(socket, &message, MSG_NOSIGNAL) < 0);
}

/*
 * Reads certificate and key; runs in the child.
 */
static void
child_main(int socket, int arg)
{
	static Answer answer;
	int fd = tls_bundle_make(&settings, answer.error);

	(void) arg;
	send_answer(socket, &answer, fd);
}

/*
 * Says that the certificate could not be read, and what that means.  With none from
 * before it is tried again, ever more seldom: what a passphrase command needs may be
 * late.
 */
static void
fail(const char *error)
{
	if (bundle < 0)
	{
		retry_after = retry_after == 0 ? RETRY_FIRST_US : Min(retry_after * 2, RETRY_MAX_US);
		retry_at = pgwt_now() + retry_after;
	}
	supervisor_error(
	    psprintf("%s; %s", error,
	             bundle >= 0 ? "the certificate of before stays in use"
	                         : "clients get no TLS until it can be read, which is tried again"));
}

/*
 * Starts a child, if there is something to read and none at work.
 */
static void
start_child(void)
{
	const char *too_long;

	if (!is_wanted || child_fd >= 0)
		return;
	is_wanted = false;
	retry_at = 0;
	read_at = pgwt_now();
	too_long = gather_settings();
	if (too_long)
		fail(psprintf("\"%s\" is too long for pgwire_trace", too_long));
	else if ((child_pid = spawn_detached("pgwire_trace certificate", child_main, 0, &child_fd)) < 0)
	{
		child_fd = -1;
		fail(psprintf("could not fork: %s", strerror(errno)));
	}
	else
		child_until = pgwt_now() + CHILD_US;
}

/*
 * Puts a bundle in the place of the present one.
 */
static void
set_bundle(int fd)
{
	if (bundle >= 0)
		close(bundle);
	bundle = fd;
	generation++;
}

/*
 * Has the certificate read again; without TLS it is forgotten.
 */
void
tls_reload(void)
{
	is_wanted = EnableSSL;
	retry_at = retry_after = 0;
	if (EnableSSL)
		start_child();
	else
	{
		set_bundle(-1);
		tls_keep(-1, 0);
	}
}

/*
 * Begins with what the supervisor before has left, which is what the server shows
 * unless it has been reloaded since; else with what is on disk.
 */
void
tls_begin(void)
{
	bool is_stale = true;

	if (EnableSSL)
		set_bundle(tls_kept_take(&is_stale));
	if (is_stale)
		tls_reload();
}

/*
 * Returns the child's socket; -1 without a child.
 */
int
tls_fd(void)
{
	return child_fd;
}

/*
 * Receives the child's answer.  -1 without a descriptor in it.
 */
static int
receive_answer(Answer *answer)
{
	union
	{
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {answer, sizeof(*answer)};
	struct msghdr message = {.msg_iov = &part,
	                         .msg_iovlen = 1,
	                         .msg_control = &control,
	                         .msg_controllen = sizeof(control)};
	int fd = -1;

	memset(answer, 0, sizeof(*answer));
	if (recvmsg(child_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(*answer))
		strlcpy(answer->error, "could not read the certificate: the process that does it ended",
		        sizeof(answer->error));
	else if (CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	answer->error[sizeof(answer->error) - 1] = '\0';
	return fd;
}

/*
 * Takes the child's answer.
 */
void
tls_readable(void)
{
	Answer answer;
	int fd = receive_answer(&answer);

	close(child_fd);
	child_fd = -1;
	if (fd < 0)
		fail(answer.error);
	else if (!EnableSSL)
		close(fd);
	else
	{
		retry_after = 0;
		set_bundle(fd);
		tls_keep(fd, read_at);
	}
	start_child();
}

/*
 * Starts a child that is due, ends one that takes too long.  Returns when to look
 * again; 0: no need.
 */
int64
tls_check(void)
{
	int64 now = pgwt_now();

	if (retry_at != 0 && retry_at <= now)
	{
		is_wanted = EnableSSL;
		start_child();
	}
	if (child_fd < 0)
		return retry_at;
	if (now > child_until)
		kill(-child_pid, SIGKILL); /* with the passphrase command; its socket tells the rest */
	return child_until;
}

/*
 * Returns the bundle's descriptor; -1: there is none.
 */
int
tls_bundle(void)
{
	return bundle;
}

/*
 * Fills in what relays are told of TLS.
 */
void
tls_fill(RelayConfig *config)
{
	config->has_bundle = bundle >= 0;
	config->tls_generation = generation;
	config->tls_direct = COMPAT_HAS_DIRECT_TLS;
	if (!EnableSSL)
		config->tls_state = RELAY_TLS_OFF;
	else if (bundle < 0 && child_fd >= 0)
		config->tls_state = RELAY_TLS_LOADING;
	else
		config->tls_state = RELAY_TLS_ON;
}
