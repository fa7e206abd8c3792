/*
 * child.c
 *	  The child's begin, its loop, and the worker's commands.
 */
#include "replay/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/process.h"

#define TICK_US 50000
#define CHECK_US 500000

extern char **environ;

/*
 * Lets a session be stepped at the end of this turn: who opens the way for another
 * session does not run it there and then.
 */
void
replay_queue(Player *player)
{
	Replay *replay = player->replay;

	if (player->is_queued || player->state == PLAYER_ENDED)
		return;
	player->is_queued = true;
	player->next_queued = NULL;
	if (replay->last_queued)
		replay->last_queued->next_queued = player;
	else
		replay->queued = player;
	replay->last_queued = player;
	event_active(replay->kick, 0, 0);
}

/*
 * Ends the child when all sessions have.
 */
static void
end_if_done(Replay *replay)
{
	bool all_begun = replay->is_cancelled || replay->next_session >= replay->plan.session_count;

	if (!replay->is_going || !all_begun || replay->live > 0 || replay->cancels)
		return;
	common_say_idle(replay->common, INT64_MAX);
	replay->reported_at = 0;
	report_tick(replay, clock_monotonic());
	report_put(replay, LINK_DONE, NULL, 0, NULL, 0);
	report_end(replay);
}

/*
 * Event: steps the sessions that are queued, then begins others where some have
 * ended.
 */
static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	Replay *replay = arg;
	Player *player;

	(void) fd;
	(void) what;
	while ((player = replay->queued))
	{
		replay->queued = player->next_queued;
		if (!replay->queued)
			replay->last_queued = NULL;
		player->is_queued = false;
		if (player->state == PLAYER_ENDED)
			free(player);
		else
			player_step(player);
	}
	schedule_start(replay);
	end_if_done(replay);
}

/*
 * Ends all sessions, and begins no more.
 */
static void
cancel(Replay *replay)
{
	replay->is_cancelled = true;
	while (replay->sessions)
		player_end(replay->sessions, "the replay was cancelled");
	event_active(replay->kick, 0, 0);
}

/*
 * Timer: reports, and looks for what takes too long.
 */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	static int64_t checked_at;
	Replay *replay = arg;
	int64_t now = clock_monotonic();
	Player *next;

	(void) fd;
	(void) what;
	if (!replay->is_going)
		return;
	replay->wall_offset = clock_wall() - now;
	order_tick(replay, now);
	schedule_tick(replay);
	if (now - checked_at >= CHECK_US)
	{
		checked_at = now;
		for (Player *player = replay->sessions; player; player = next)
		{
			next = player->next;
			player_check(player, now);
		}
	}
	report_tick(replay, now);
}

/*
 * Timer: the next session is due.
 */
static void
on_start(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	schedule_start(arg);
}

/*
 * Event: another child has changed something that this one waits for.
 */
static void
on_woken(evutil_socket_t fd, short what, void *arg)
{
	Replay *replay = arg;

	(void) fd;
	(void) what;
	common_woken(replay->common);
	order_look(replay);
	schedule_look(replay);
	event_active(replay->kick, 0, 0); /* begins sessions */
}

/*
 * Event: the worker takes packets again.
 */
static void
on_link_writable(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	report_flush(arg);
}

/*
 * Ends the child with a reason that is the run's.
 */
static void
give_up(Replay *replay, const char *what)
{
	report_text(replay, LINK_REFUSED, "%s: %s", what, strerror(errno));
	report_end(replay);
}

/*
 * Opens the file that says which sessions have begun; see life.c.
 */
static void
open_begun(Replay *replay)
{
	char path[PLAN_PATH_SIZE + 16];

	snprintf(path, sizeof(path), "%s" PLAN_BEGUN, replay->settings.plan_path);
	replay->begun = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (replay->begun < 0)
		give_up(replay, "could not create a file beside the plan");
}

/*
 * Begins: everything is known.
 */
static void
go(Replay *replay, int64_t zero)
{
	if (!plan_open(&replay->plan, replay->settings.plan_path))
		give_up(replay, "could not read the plan");
	report_put(replay, LINK_MAPPED, NULL, 0, NULL, 0);
	report_flush(replay);
	for (size_t i = 0; i < replay->plan.session_count; i++)
		if (replay->plan.sessions[i].conninfo >= replay->conninfo_count)
		{
			errno = EINVAL;
			give_up(replay, "could not read the plan");
		}
	judge_begin(replay);
	types_sort(&replay->captured_types);
	replay->target_types = calloc(replay->conninfo_count + 1, sizeof(UserTypes));
	if (!replay->target_types)
		give_up(replay, "could not begin");
	if (!order_begin(replay))
		give_up(replay, "could not order the plan");
	replay->is_going = true;
	replay->wall_offset = clock_wall() - clock_monotonic();
	open_begun(replay);
	replay->next_session = replay->common->own;
	schedule_begin(replay, zero);
	event_active(replay->kick, 0, 0);
}

/*
 * Keeps a connection string.
 */
static void
add_conninfo(Replay *replay, const char *text, size_t len)
{
	char **grown =
	    realloc(replay->conninfos, (replay->conninfo_count + 1) * sizeof(*replay->conninfos));

	if (!grown || !(grown[replay->conninfo_count] = strndup(text, len)))
	{
		errno = ENOMEM;
		give_up(replay, "could not keep a connection string");
	}
	replay->conninfos = grown;
	replay->conninfo_count++;
}

/*
 * Keeps names of types.
 */
static void
add_types(Replay *replay, const uint8_t *data, size_t len)
{
	const uint8_t *end = data + len;
	uint32_t oid;

	while (data + sizeof(oid) < end &&
	       memchr(data + sizeof(oid), 0, (size_t) (end - data) - sizeof(oid)))
	{
		const char *name = (const char *) data + sizeof(oid);

		memcpy(&oid, data, sizeof(oid));
		if (!types_add(&replay->captured_types, oid, name))
		{
			errno = ENOMEM;
			give_up(replay, "could not keep the names of types");
		}
		data += sizeof(oid) + strlen(name) + 1;
	}
}

/*
 * Forgets the tickets and keys of the server's user, for a caller who is no superuser: a
 * target could ask for them before it asks for a password.
 */
static void
forget_tickets(void)
{
	setenv("KRB5CCNAME", "FILE:/nonexistent", 1);
	setenv("KRB5_CLIENT_KTNAME", "FILE:/nonexistent", 1);
	setenv("KRB5_KTNAME", "FILE:/nonexistent", 1);
}

/*
 * Follows a command of the worker's.
 */
static void
follow(Replay *replay, uint8_t command, const uint8_t *data, size_t len)
{
	int64_t zero = clock_monotonic();
	LinkPace pace;

	switch (command)
	{
		case LINK_SETTINGS:
			if (len == sizeof(replay->settings))
				memcpy(&replay->settings, data, len);
			if (replay->settings.requires_password)
				forget_tickets();
			break;
		case LINK_CONNINFO:
			add_conninfo(replay, (const char *) data, len);
			break;
		case LINK_TYPES:
			add_types(replay, data, len);
			break;
		case LINK_GO:
			if (len == sizeof(zero))
				memcpy(&zero, data, len);
			go(replay, zero);
			break;
		case LINK_PACE:
			if (len != sizeof(pace))
				break;
			memcpy(&pace, data, sizeof(pace));
			schedule_set(replay, &pace);
			break;
		case LINK_CANCEL:
			cancel(replay);
			break;
		default:
			break;
	}
}

/*
 * Event: the worker says something, or is gone.
 */
static void
on_link_readable(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t packet[LINK_PACKET];
	ssize_t got;

	(void) what;
	while ((got = recv(fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0)
		follow(arg, packet[0], packet + 1, (size_t) got - 1);
	if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		_exit(1);
}

/*
 * Forgets what libpq would take from the environment: it is the server's, not the
 * caller's.
 */
static void
clear_environment(void)
{
	char name[64];

	for (char **entry = environ; *entry;)
	{
		const char *end = strchr(*entry, '=');

		if (strncmp(*entry, "PG", 2) != 0 || !end || (size_t) (end - *entry) >= sizeof(name))
		{
			entry++;
			continue;
		}
		memcpy(name, *entry, (size_t) (end - *entry));
		name[end - *entry] = '\0';
		unsetenv(name);
		entry = environ; /* the list has changed */
	}
}

/*
 * Makes the events that are there from begin to end.
 */
static void
make_events(Replay *replay)
{
	struct timeval tick = {0, TICK_US};
	struct event_config *config = event_config_new();

	if (!config)
		_exit(1);
	/* epoll's own timeouts are whole milliseconds, and later than that */
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	replay->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!replay->base)
		_exit(1);
	replay->link_event =
	    event_new(replay->base, replay->link, EV_READ | EV_PERSIST, on_link_readable, replay);
	replay->link_write_event =
	    event_new(replay->base, replay->link, EV_WRITE, on_link_writable, replay);
	replay->woken = event_new(replay->base, common_wake_fd(replay->common), EV_READ | EV_PERSIST,
	                          on_woken, replay);
	replay->kick = event_new(replay->base, -1, 0, on_kick, replay);
	replay->tick = event_new(replay->base, -1, EV_PERSIST, on_tick, replay);
	replay->start_timer = evtimer_new(replay->base, on_start, replay);
	helper_begin(replay);
	event_add(replay->link_event, NULL);
	event_add(replay->woken, NULL);
	event_add(replay->tick, &tick);
}

/*
 * Runs a child; see child_main.h.
 */
void
replay_child_main(int fd, int number)
{
	Replay *replay = calloc(1, sizeof(Replay));

	if (!replay)
		_exit(1);
	signal(SIGPIPE, SIG_IGN);
	clear_environment();
	replay->common = &replay_common;
	common_join(replay->common, (uint32_t) number);
	replay->link = fd;
	make_events(replay);
	event_base_dispatch(replay->base);
	_exit(1);
}
