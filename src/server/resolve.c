/*
 * resolve.c
 *	  Host names in our listen_addresses and the server's, resolved by a short-lived child.
 *
 * getaddrinfo may take many seconds, and the supervisor's loop must not wait that
 * long.  So one child at a time, which has left the server as a relay has, looks
 * one name up and sends the answer.  Answers are kept until the settings are
 * read again; a name that could not be resolved is tried again now and then.
 */
#include "server/supervisor.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME_SIZE 256
#define MAX_NAMES 16
#define RETRY_US INT64CONST(30000000)

/* What the child sends. */
typedef struct Answer
{
	int error; /* of getaddrinfo */
	int count;
	RelayAddress addresses[RESOLVE_MAX];
} Answer;

typedef struct HostName
{
	char name[NAME_SIZE];
	bool is_wanted; /* to be looked up */
	bool is_known;  /* there is an answer */
	bool is_used;   /* by the settings, since they were read last */
	Answer answer;
	int64 retry_at; /* 0: not by itself */
} HostName;

static HostName names[MAX_NAMES];
static int name_count;
static HostName *in_hand; /* what the child works on */
static int child_fd = -1;

/*
 * Looks a name up; runs in the child.
 */
static void
child_main(int fd, int arg)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	Answer answer;

	memset(&answer, 0, sizeof(answer));
	answer.error = getaddrinfo(names[arg].name, NULL, &hints, &found);
	for (struct addrinfo *one = found; one && answer.count < RESOLVE_MAX; one = one->ai_next)
	{
		RelayAddress *address = &answer.addresses[answer.count++];

		memcpy(&address->addr, one->ai_addr, one->ai_addrlen);
		address->len = one->ai_addrlen;
	}
	_exit(send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0);
}

/*
 * Gives the next name that waits to a child, unless one is at work.
 */
static void
start_child(void)
{
	for (int i = 0; i < name_count && !in_hand; i++)
	{
		if (!names[i].is_wanted)
			continue;
		names[i].is_wanted = false;
		if (spawn_detached("pgwire_trace resolver", child_main, i, &child_fd) > 0)
			in_hand = &names[i];
		else
			names[i].retry_at = pgwt_now() + RETRY_US;
	}
}

/*
 * Finds a name, or notes it as one to look up, in the place of one that is not used
 * any more if need be.  NULL: no place for more.
 */
static HostName *
find_name(const char *text)
{
	HostName *name = NULL;

	for (int i = 0; i < name_count; i++)
	{
		if (strcmp(names[i].name, text) == 0)
		{
			names[i].is_used = true;
			return &names[i];
		}
		if (!names[i].is_used && &names[i] != in_hand)
			name = &names[i];
	}
	if (name_count < MAX_NAMES)
		name = &names[name_count++];
	if (!name || strlen(text) >= NAME_SIZE)
		return NULL;
	memset(name, 0, sizeof(*name));
	strlcpy(name->name, text, NAME_SIZE);
	name->is_wanted = name->is_used = true;
	return name;
}

/*
 * Returns how many addresses a name of a setting has, and copies them; -1: that is
 * not known yet.
 */
int
resolve_name(const char *text, const char *setting, RelayAddress addresses[RESOLVE_MAX])
{
	HostName *name = find_name(text);

	if (!name)
	{
		supervisor_error(psprintf("cannot resolve host name \"%s\": names are too many or too "
		                          "long",
		                          text));
		return 0;
	}
	start_child();
	if (!name->is_known)
		return -1;
	if (name->answer.error)
		supervisor_error(psprintf("could not resolve host name \"%s\" in \"%s\": %s", text, setting,
		                          gai_strerror(name->answer.error)));
	memcpy(addresses, name->answer.addresses, sizeof(name->answer.addresses));
	return name->answer.count;
}

/*
 * Has all names looked up again; until then the answers of before hold.
 */
void
resolve_again(void)
{
	for (int i = 0; i < name_count; i++)
	{
		names[i].is_wanted = true;
		names[i].is_used = false;
	}
}

/*
 * Returns the child's socket; -1 without a child.
 */
int
resolve_fd(void)
{
	return child_fd;
}

/*
 * Takes the child's answer.  True: there is news.
 */
bool
resolve_readable(void)
{
	Answer answer;
	ssize_t n = recv(child_fd, &answer, sizeof(answer), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return false;
	if (n != (ssize_t) sizeof(answer))
	{
		memset(&answer, 0, sizeof(answer));
		answer.error = EAI_FAIL;
	}
	/* the addresses of before are better than none */
	if (!answer.error || !in_hand->is_known)
		in_hand->answer = answer;
	in_hand->is_known = true;
	in_hand->retry_at = answer.error ? pgwt_now() + RETRY_US : 0;
	in_hand = NULL;
	close(child_fd);
	child_fd = -1;
	start_child();
	return true;
}

/*
 * Looks up what is due again.  Returns when to call this again; 0: no need.
 */
int64
resolve_retry(void)
{
	int64 now = pgwt_now();
	int64 next = 0;

	for (int i = 0; i < name_count; i++)
	{
		if (names[i].retry_at != 0 && names[i].retry_at <= now)
		{
			names[i].retry_at = 0;
			names[i].is_wanted = true;
		}
		if (names[i].retry_at != 0 && (next == 0 || names[i].retry_at < next))
			next = names[i].retry_at;
	}
	start_child();
	return next;
}
