/*
 * config.c
 *	  Settings from the supervisor, and what they decide about a session.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "relay/process.h"

/*
 * Tells whether a name matches an item of a list: equal, or the item ends with
 * '*' and the name begins with the rest.
 */
static bool
matches(WireSpan name, const char *item, size_t len)
{
	if (len > 0 && item[len - 1] == '*')
		return name.len >= len - 1 && memcmp(name.data, item, len - 1) == 0;
	return name.len == len && memcmp(name.data, item, len) == 0;
}

/*
 * Tells whether a comma list names a name.  Spaces around items do not count.
 */
static bool
list_names(const char *list, WireSpan name)
{
	static const uint8_t nothing[1];
	const char *item = list;

	if (!name.data)
		name.data = nothing;
	while (*item)
	{
		size_t len = strcspn(item, ",");
		const char *next = item + len + (item[len] == ',');

		while (len > 0 && *item == ' ')
			item++, len--;
		while (len > 0 && item[len - 1] == ' ')
			len--;
		if (len > 0 && matches(name, item, len))
			return true;
		item = next;
	}
	return false;
}

/*
 * Tells whether one pair of lists leaves a name out: exclude wins; an include
 * list leaves out what it does not name.
 */
static bool
pair_filters(const char *include, const char *exclude, WireSpan name)
{
	return list_names(exclude, name) || (include[0] && !list_names(include, name));
}

/*
 * Tells whether the filters leave a session out of the record.
 */
bool
config_filtered(const RelayConfig *config, WireSpan database, WireSpan user, WireSpan application)
{
	return pair_filters(config->filters[RELAY_INCLUDE_DATABASES],
	                    config->filters[RELAY_EXCLUDE_DATABASES], database) ||
	       pair_filters(config->filters[RELAY_INCLUDE_USERS], config->filters[RELAY_EXCLUDE_USERS],
	                    user) ||
	       pair_filters(config->filters[RELAY_INCLUDE_APPLICATIONS],
	                    config->filters[RELAY_EXCLUDE_APPLICATIONS], application);
}

/*
 * Reads the key of row digests from the journal directory, or makes it: digests
 * compare within a node, and say nothing about the rows elsewhere.
 */
static uint64_t
load_digest_key(Relay *relay)
{
	char path[RELAY_PATH_SIZE + 16];
	uint64_t key = 0;
	int fd;

	if (strlen(relay->config.journal_directory) + 12 > sizeof(path))
		return 0;
	strcpy(path, relay->config.journal_directory);
	strcat(path, "/digest_key");
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
	{
		if (getrandom(&key, sizeof(key), 0) != sizeof(key) ||
		    write(fd, &key, sizeof(key)) != sizeof(key))
			relay_error(relay, "could not write file \"%s\": %s", path, strerror(errno));
		close(fd);
		return key;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, &key, sizeof(key)) != sizeof(key))
		relay_error(relay, "could not read file \"%s\": %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return key;
}

/*
 * Opens the journal when the first settings are there.
 */
static void
open_journal(Relay *relay)
{
	JournalConfig journal = {.directory = relay->config.journal_directory,
	                         .limit = relay->config.journal_limit,
	                         .node_id = relay->config.node_id};

	relay->journal = journal_appender_create(&journal);
	if (!relay->journal)
	{
		relay_error(relay, "out of memory");
		_exit(1);
	}
	atomic_store(&relay->stats->series, journal_series(relay->journal));
	relay->env.digest_seed = load_digest_key(relay);
	relay->texts->seed = relay->env.digest_seed;
}

/*
 * Puts settings into effect.  Sessions that run keep what was decided when they
 * began; capture switches for the exchanges that begin from now on.
 */
static void
apply(Relay *relay)
{
	const RelayConfig *config = &relay->config;

	relay->budget.limit = (size_t) config->capture_memory;
	relay->env.part_us = config->part_interval_us;
	relay->env.request_limit = config->request_limit;
	relay->env.response_limit = config->response_limit;
	relay->env.row_limit = config->row_limit;
	if (relay->env.keeps_bytes != (config->capture == RELAY_CAPTURE_ALL))
		text_forget_sent(relay->texts); /* other columns of them are wanted */
	relay->env.keeps_bytes = config->capture == RELAY_CAPTURE_ALL;
	if (!redact_configure(&relay->rules, config))
		relay_error(
		    relay,
		    "\"pgwire_trace.redact_queries\" is no regular expression: everything is redacted");
	if (!relay->journal)
		open_journal(relay);
	journal_set_limit(relay->journal, config->journal_limit);
	for (Session *session = relay->sessions; session; session = session->next)
		if (session->is_recorded || session->state == SESSION_STARTUP)
			session->tracker.recorded = config->capture != RELAY_CAPTURE_OFF;
}

/*
 * Receives a packet with descriptors attached.  Returns its size as recvmsg.
 */
static ssize_t
receive(int socket, RelayConfig *config, int *fds, uint32_t *fd_count)
{
	union
	{
		struct cmsghdr header;
		char space[CMSG_SPACE(RELAY_MAX_FDS * sizeof(int))];
	} control;
	struct iovec part = {config, sizeof(*config)};
	struct msghdr message = {.msg_iov = &part,
	                         .msg_iovlen = 1,
	                         .msg_control = &control,
	                         .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

	*fd_count = 0;
	if (n <= 0)
		return n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
	{
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*fd_count = (uint32_t) ((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), *fd_count * sizeof(int));
	}
	return n;
}

/*
 * Takes settings from the supervisor; its end means ours.
 */
void
config_receive(Relay *relay)
{
	static RelayConfig config;
	int fds[RELAY_MAX_FDS];
	uint32_t count;
	ssize_t n = receive(relay->supervisor_fd, &config, fds, &count);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0)
	{
		turn_stop(relay);
		return;
	}
	if ((size_t) n != sizeof(config) || config.size != sizeof(config))
	{
		for (uint32_t i = 0; i < count; i++)
			close(fds[i]);
		relay_error(relay, "settings of a wrong size came from the supervisor");
		return;
	}
	relay->config = config;
	apply(relay);
	secure_configure(relay, config.has_bundle && count > 0 ? fds[--count] : -1);
	relay->is_configured = true;
	if (!relay->is_stopping)
		listen_take(relay, fds, count);
}
