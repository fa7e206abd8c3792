/*
 * lookup.c
 *	  Host names of the target, looked up while the loop goes on.
 *
 * libpq would look them up itself, and everybody would wait for that.  So a helper asks
 * for each name, and libpq is given the addresses beside the names, which it still shows
 * to the target's certificate and looks for in a passfile.  A host with several
 * addresses becomes as many hosts, which libpq tries in their order, or in any
 * (load_balance_hosts), as it does with addresses.  What a service file says of hosts is
 * read here too.
 *
 * All sessions share an answer for some seconds, but one that comes behind a failure is
 * asked for anew: the name may mean another machine now.  What went wrong is not kept at
 * all.  A name that has no address is left out where the target has other hosts.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/process.h"
#include "replay/child.h"

#define MAX_LOOKUPS 16   /* in hand at one time */
#define MAX_ADDRESSES 32 /* of a name */
#define FRESH_US 5000000 /* so long an answer serves other sessions */

typedef enum HostPart
{
	PART_HOST,
	PART_ADDRESS,
	PART_PORT,
	PART_COUNT
} HostPart;

static const char *const part_names[PART_COUNT] = {"host", "hostaddr", "port"};

/* A host that a connection string names. */
typedef struct Host
{
	char *parts[PART_COUNT]; /* NULL: not given */
	HostName *name;          /* to be looked up; NULL: none is */
} Host;

/* The hosts of a connection string. */
typedef struct Hosts
{
	char *lists[PART_COUNT]; /* which the hosts' parts point into */
	bool has_list[PART_COUNT];
	unsigned count;
	Host *list;
	bool has_names;
} Hosts;

static void start_wanted(Replay *replay);

/* ---- names ---- */

/*
 * Looks a name up; runs in a helper.
 */
static bool
look_up(void *arg, char *answer, size_t size)
{
	const HostName *name = arg;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int error = getaddrinfo(name->name, NULL, &hints, &found);
	size_t len = 0;
	int count = 0;

	if (error != 0)
	{
		snprintf(answer, size, "%s", error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
		return false;
	}
	for (; found && count < MAX_ADDRESSES; found = found->ai_next)
	{
		char text[NI_MAXHOST];

		if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
		                NI_NUMERICHOST) != 0 ||
		    len + strlen(text) + 2 > size)
			continue;
		len += (size_t) snprintf(answer + len, size - len, "%s%s", count++ ? "," : "", text);
	}
	return count > 0;
}

/*
 * Takes what a helper found out.
 */
static void
take_answer(void *arg, bool good, const char *answer)
{
	HostName *name = arg;
	Replay *replay = name->replay;
	Player *next;

	replay->lookups--;
	name->is_in_hand = false;
	name->is_known = true;
	name->is_good = good;
	name->answered_at = name->asked_at;
	name->known_at = clock_monotonic();
	snprintf(name->answer, sizeof(name->answer), "%s", answer);
	start_wanted(replay);
	for (Player *player = replay->sessions; player; player = next)
	{
		next = player->next;
		connect_names(player);
	}
}

/*
 * Gives the names that are wanted to helpers.  Where there is none the next session that
 * asks tries again, or gives up in time.
 */
static void
start_wanted(Replay *replay)
{
	for (HostName *name = replay->names; name; name = name->next)
	{
		if (!name->is_wanted || name->is_in_hand || replay->lookups >= MAX_LOOKUPS)
			continue;
		name->asked_at = clock_monotonic();
		if (!helper_start(replay, replay->settings.connect_timeout_us, look_up, take_answer, name))
			continue;
		name->is_wanted = false;
		name->is_in_hand = true;
		replay->lookups++;
	}
}

/*
 * Finds a name, or notes it.  NULL: no memory; libpq looks it up then.
 */
static HostName *
find_name(Replay *replay, const char *text)
{
	HostName *name;

	for (name = replay->names; name; name = name->next)
		if (strcmp(name->name, text) == 0)
			return name;
	name = calloc(1, sizeof(HostName));
	if (!name || !(name->name = strdup(text)))
	{
		free(name);
		return NULL;
	}
	name->replay = replay;
	name->next = replay->names;
	replay->names = name;
	return name;
}

/*
 * Tells whether what is known of a name is new enough for a session; asks if it is not.
 */
static bool
is_answered(const Player *player, HostName *name)
{
	/* an answer that took long is news all the same */
	if (name->is_known && name->answered_at >= player->failed_at &&
	    name->known_at >= player->began_at - (name->is_good ? FRESH_US : 0))
		return true;
	name->is_wanted |= !name->is_in_hand;
	start_wanted(player->replay);
	return false;
}

/* ---- connection strings ---- */

/*
 * Finds an option; NULL: it is not given.
 */
static const char *
find_option(const PQconninfoOption *options, const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val && options->val[0] ? options->val : NULL;
	return NULL;
}

/*
 * Reads a service, which libpq does for a connection string only as it connects.
 */
static PQconninfoOption *
read_service(const char *service, const char *file)
{
	PQconninfoOption *options;

	setenv("PGSERVICE", service, 1);
	if (file)
		setenv("PGSERVICEFILE", file, 1);
	options = PQconndefaults();
	unsetenv("PGSERVICE");
	unsetenv("PGSERVICEFILE");
	return options;
}

/*
 * Tells whether a host is to be looked up: it is no directory of a socket, and no address.
 */
static bool
is_name(const char *host)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_family = AF_UNSPEC};
	struct addrinfo *found;

	if (host[0] == '\0' || host[0] == '/' || host[0] == '@')
		return false;
	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return true;
	freeaddrinfo(found);
	return false;
}

/*
 * Counts the elements of a list.
 */
static unsigned
count_elements(const char *list)
{
	unsigned count = list != NULL;

	for (; list && *list; list++)
		count += *list == ',';
	return count;
}

/*
 * Makes hosts of the lists.
 */
static void
split_lists(Hosts *hosts, Replay *replay)
{
	char *rest[PART_COUNT];

	hosts->list = calloc(hosts->count, sizeof(Host));
	if (!hosts->list)
		return;
	memcpy(rest, hosts->lists, sizeof(rest));
	for (unsigned i = 0; i < hosts->count; i++)
	{
		Host *host = &hosts->list[i];

		for (int part = 0; part < PART_COUNT; part++)
			host->parts[part] = strsep(&rest[part], ",");
		if ((host->parts[PART_ADDRESS] && host->parts[PART_ADDRESS][0]) ||
		    !is_name(host->parts[PART_HOST]))
			continue;
		host->name = find_name(replay, host->parts[PART_HOST]);
		hosts->has_names = true;
	}
}

/*
 * Reads the hosts of a connection string.  None are read where libpq is to complain: of
 * the string, or of lists that do not fit one another.
 */
static void
hosts_begin(Hosts *hosts, Replay *replay, const char *conninfo)
{
	PQconninfoOption *own = PQconninfoParse(conninfo, NULL);
	const char *name = find_option(own, "service");
	PQconninfoOption *service = name ? read_service(name, find_option(own, "servicefile")) : NULL;
	bool fit = true;

	memset(hosts, 0, sizeof(*hosts));
	for (int part = 0; part < PART_COUNT; part++)
	{
		const char *value = find_option(own, part_names[part]);

		if (!value)
			value = find_option(service, part_names[part]);
		hosts->lists[part] = value ? strdup(value) : NULL;
	}
	PQconninfoFree(own);
	PQconninfoFree(service);
	hosts->count = count_elements(hosts->lists[PART_HOST]);
	for (int part = 0; part < PART_COUNT; part++)
	{
		unsigned count = count_elements(hosts->lists[part]);

		hosts->has_list[part] = count > (part == PART_PORT); /* one port is for all hosts */
		fit &= !hosts->has_list[part] || count == hosts->count;
	}
	if (hosts->count > 0 && fit)
		split_lists(hosts, replay);
}

/*
 * Frees what was read of a connection string.
 */
static void
hosts_end(Hosts *hosts)
{
	for (int part = 0; part < PART_COUNT; part++)
		free(hosts->lists[part]);
	free(hosts->list);
}

/* ---- routes ---- */

/*
 * Writes a list of hosts, or of what belongs to them: once for each address that a name
 * has.  Returns how many.
 */
static unsigned
write_list(const Hosts *hosts, HostPart part, char **text)
{
	size_t size = 0;
	FILE *list = open_memstream(text, &size);
	unsigned count = 0;

	for (unsigned i = 0; list && i < hosts->count; i++)
	{
		const Host *host = &hosts->list[i];
		char addresses[HELPER_ANSWER] = "";
		char *rest = addresses;
		const char *address;

		if (host->name && !host->name->is_good)
			continue;
		if (host->name)
			memcpy(addresses, host->name->answer, sizeof(addresses));
		while ((address = strsep(&rest, ",")))
		{
			const char *value = host->name && part == PART_ADDRESS ? address : host->parts[part];

			fprintf(list, "%s%s", count++ > 0 ? "," : "", value ? value : "");
		}
	}
	if (list)
		fclose(list);
	return count;
}

/*
 * Says once that a name is left out.
 */
static void
note_left_out(HostName *name)
{
	if (!name->is_told)
		report_text(name->replay, LINK_NOTE, "host name \"%s\" of the target is left out: %s",
		            name->name, name->answer);
	name->is_told = true;
}

/*
 * Makes a route, all of whose names are answered.
 */
static RouteState
make_route(const Hosts *hosts, Route *route, const char **reason)
{
	static char text[HELPER_ANSWER + NI_MAXHOST];
	HostName *bad = NULL;

	for (unsigned i = hosts->count; i > 0; i--)
		if (hosts->list[i - 1].name && !hosts->list[i - 1].name->is_good)
			bad = hosts->list[i - 1].name;
	if (write_list(hosts, PART_HOST, &route->host) == 0)
	{
		snprintf(text, sizeof(text), "could not translate host name \"%s\" to address: %s",
		         bad ? bad->name : "", bad ? bad->answer : "out of memory");
		*reason = text;
		return ROUTE_FAILED;
	}
	write_list(hosts, PART_ADDRESS, &route->hostaddr);
	if (hosts->has_list[PART_PORT])
		write_list(hosts, PART_PORT, &route->port);
	if (bad)
		note_left_out(bad);
	return ROUTE_READY;
}

/*
 * Asks for names that are not known.  False: an answer is missing.
 */
static bool
ask_names(const Player *player, const Hosts *hosts)
{
	bool is_whole = true;

	for (unsigned i = 0; i < hosts->count; i++)
		if (hosts->list[i].name && !is_answered(player, hosts->list[i].name))
			is_whole = false;
	return is_whole;
}

/*
 * Finds where a connection string leads; see child.h.
 */
RouteState
lookup_route(Player *player, Route *route, const char **reason)
{
	Replay *replay = player->replay;
	RouteState state = ROUTE_READY;
	Hosts hosts;

	*route = (Route){NULL, NULL, NULL};
	hosts_begin(&hosts, replay, replay->conninfos[player->plan->conninfo]);
	if (hosts.has_names)
		state = ask_names(player, &hosts) ? make_route(&hosts, route, reason) : ROUTE_PENDING;
	hosts_end(&hosts);
	if (state != ROUTE_READY)
		route_free(route);
	return state;
}

/*
 * Frees a route.
 */
void
route_free(Route *route)
{
	free(route->host);
	free(route->hostaddr);
	free(route->port);
	*route = (Route){NULL, NULL, NULL};
}
