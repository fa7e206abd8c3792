/*
 * connect.c
 *	  From a connection string to a session that may send.
 *
 * Host names are looked up first, as libpq would let everybody wait for that.  Then the
 * session waits for its turn, as no more than some log in at one time, and no more in a
 * second than connect_rate allows.  Authentication and TLS are libpq's.  When it has
 * logged in, the target is asked whether it agrees; from then on the socket, or TLS
 * stream, is ours, and libpq only closes it.
 *
 * What a target sends until then libpq keeps, and it would keep gigabytes: so each step
 * of a login is looked at for what memory it took.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "relay/process.h"
#include "replay/child.h"

#define LOGIN_MEMORY (32L * 1024 * 1024)
#define LOGINS_MEMORY (4 * LOGIN_MEMORY) /* of all that connect at one time */

/*
 * What the target is asked.  A server that never heard of the setting says NULL.
 * When it was started tells it from ours: a copy of our server is another one.
 */
#define QUESTION                                                                      \
	"SELECT pg_catalog.current_setting('pgwire_trace.allow_replay', true) AS agrees," \
	" extract(epoch FROM pg_catalog.pg_postmaster_start_time())::pg_catalog.text AS started"

#define LOOKUP_GRACE_US 1000000 /* for helpers to end by themselves */

static const char too_much[] = "the target sent far more than a login takes";
static const char no_answer[] = "the target's answer to whether it agrees makes no sense";
static const char question[] = QUESTION;
static const char question_and_types[] = QUESTION "; " TYPES_QUERY;

static void on_connect(evutil_socket_t fd, short what, void *arg);
static void on_answer(evutil_socket_t fd, short what, void *arg);

/*
 * Waits for the socket; libpq may have another one than before.
 */
static void
wait_io(Player *player, short what, event_callback_fn callback)
{
	if (player->io_event)
		event_free(player->io_event);
	player->io_event =
	    event_new(player->replay->base, PQsocket(player->conn), what, callback, player);
	event_add(player->io_event, NULL);
}

/*
 * Stops waiting for libpq.
 */
static void
stop_io(Player *player)
{
	if (player->io_event)
		event_free(player->io_event);
	player->io_event = NULL;
}

/*
 * Returns how much memory the process has that is its own; 0 where the system does not
 * say.
 */
static int64_t
own_memory(void)
{
	static int fd = -2;
	char text[128];
	long pages;
	ssize_t got;

	if (fd == -2)
		fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	if (got <= 0)
		return 0;
	text[got] = '\0';
	return sscanf(text, "%*d %*d %*d %*d %*d %ld", &pages) == 1 ? pages * sysconf(_SC_PAGESIZE) : 0;
}

/*
 * Counts what a step of a login took.  Returns whether that was too much.
 */
static bool
took_too_much(Player *player, int64_t before)
{
	int64_t took = own_memory() - before;

	player->login_memory += took;
	player->replay->login_memory += took;
	return took > 0 &&
	       (player->login_memory > LOGIN_MEMORY || player->replay->login_memory > LOGINS_MEMORY);
}

/*
 * Says how far a session is that connects.  A login that is through, or over, has no
 * memory to account for.
 */
static void
set_phase(Player *player, ConnectPhase phase)
{
	player->replay->connecting += (phase == CONNECT_LOGGING_IN);
	player->replay->connecting -= (player->phase == CONNECT_LOGGING_IN);
	player->phase = phase;
	if (phase == CONNECT_LOGGING_IN)
		return;
	player->replay->login_memory -= player->login_memory;
	player->login_memory = 0;
}

/*
 * Takes notice that the connection failed: tries again, or gives the session up.
 */
static void
fail(Player *player, const char *reason)
{
	const ReplaySettings *settings = &player->replay->settings;
	struct timeval wait = {settings->connect_delay_us / 1000000,
	                       (suseconds_t) (settings->connect_delay_us % 1000000)};
	char text[LINK_TEXT / 2];
	size_t len;

	snprintf(text, sizeof(text), "%s",
	         reason ? reason : (player->conn ? PQerrorMessage(player->conn) : "out of memory"));
	for (len = strlen(text); len > 0 && text[len - 1] == '\n'; len--)
		text[len - 1] = '\0';
	connect_forget(player);
	stop_io(player);
	if (player->conn)
		PQfinish(player->conn);
	player->conn = NULL;
	player->state = PLAYER_CONNECTING;
	player->failed_at = clock_monotonic();
	event_active(player->replay->kick, 0, 0); /* others may have its place */
	if (++player->attempts < settings->connect_attempts)
	{
		evtimer_add(player->timer, &wait); /* connects again */
		return;
	}
	player_end(player, text);
}

/*
 * Ends the whole run: the target does not agree.
 */
static void
refuse(Player *player, const char *reason)
{
	Replay *replay = player->replay;

	report_text(replay, LINK_REFUSED, "%s", reason);
	report_end(replay);
}

/*
 * Lets the session run.
 */
static void
finish(Player *player)
{
	stop_io(player);
	set_phase(player, CONNECT_NONE);
	player_run(player);
	schedule_start(player->replay);
}

/*
 * Tells whether the names of the target's types are wanted, and not there yet.
 */
static bool
wants_types(const Player *player)
{
	const Replay *replay = player->replay;

	return replay->captured_types.count > 0 &&
	       !replay->target_types[player->plan->conninfo].is_whole;
}

/*
 * Keeps the names of the target's types.
 */
static void
take_types(Player *player, const PGresult *result)
{
	UserTypes *types = &player->replay->target_types[player->plan->conninfo];
	bool good = true;

	if (types->is_whole)
		return; /* another session asked too */
	types_free(types);
	for (int i = 0; i < PQntuples(result) && good; i++)
		good = types_add(types, (uint32_t) strtoul(PQgetvalue(result, i, 0), NULL, 10),
		                 PQgetvalue(result, i, 1));
	if (!good)
	{
		types_free(types);
		return;
	}
	types_sort(types);
	types->agrees = types_agree(&player->replay->captured_types, types);
}

/*
 * Judges what the target answered.  Returns why the attempt failed; NULL: it did not.
 */
static const char *
judge_answer(Player *player, const PGresult *result)
{
	const ReplaySettings *settings = &player->replay->settings;

	switch (PQresultStatus(result))
	{
		case PGRES_COPY_IN:
		case PGRES_COPY_OUT:
		case PGRES_COPY_BOTH: /* libpq would have no end of these */
			return "the target answers a question with COPY";
		default:
			break;
	}
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQnfields(result) == 2 &&
	    strcmp(PQfname(result, 0), "type_oid") == 0)
		take_types(player, result);
	else if (!settings->asks_permission && !settings->refuses_self)
		return NULL; /* names of types alone are wanted, and can be done without */
	else if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return PQresultErrorMessage(result)[0] ? PQresultErrorMessage(result) : no_answer;
	else if (PQntuples(result) != 1 || PQnfields(result) != 2)
		return no_answer;
	else if (settings->asks_permission && strcmp(PQgetvalue(result, 0, 0), "on") != 0)
		refuse(player, "the target does not agree to a replay: "
		               "pgwire_trace.allow_replay is not on in its database "
		               "(ALTER DATABASE ... SET pgwire_trace.allow_replay = on)");
	else if (settings->refuses_self && strcmp(PQgetvalue(result, 0, 1), settings->own_start) == 0)
		refuse(player, "the target is this server itself (option allow_self, if that is meant)");
	return NULL;
}

/*
 * Event: something of the answer has come.
 */
static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	Player *player = arg;
	int64_t before = own_memory();

	(void) fd;
	(void) what;
	if (!PQconsumeInput(player->conn))
	{
		fail(player, NULL);
		return;
	}
	while (!PQisBusy(player->conn))
	{
		PGresult *result = PQgetResult(player->conn);
		const char *reason;

		if (!result)
		{
			finish(player);
			return;
		}
		reason = judge_answer(player, result);
		if (reason)
			fail(player, reason);
		PQclear(result);
		if (reason)
			return;
	}
	if (took_too_much(player, before))
		fail(player, too_much);
	else
		wait_io(player, EV_READ, on_answer);
}

/*
 * Takes notice that the login is through: asks the target, if it is to be asked.
 */
static void
logged_in(Player *player)
{
	const ReplaySettings *settings = &player->replay->settings;

	PQsetnonblocking(player->conn, 1);
	if (settings->requires_password && !PQconnectionUsedPassword(player->conn))
		refuse(player, "the target did not ask for a password: "
		               "a replay that no superuser started must give one");
	if (!settings->asks_permission && !settings->refuses_self && !wants_types(player))
	{
		finish(player);
		return;
	}
	player->state = PLAYER_CHECKING;
	if (!PQsendQuery(player->conn, wants_types(player) ? question_and_types : question))
	{
		fail(player, NULL);
		return;
	}
	PQflush(player->conn);
	wait_io(player, EV_READ, on_answer);
}

/*
 * Event: libpq can go on connecting.
 */
static void
on_connect(evutil_socket_t fd, short what, void *arg)
{
	Player *player = arg;
	int64_t before = own_memory();
	PostgresPollingStatusType status = PQconnectPoll(player->conn);

	(void) fd;
	(void) what;
	if (took_too_much(player, before))
	{
		fail(player, too_much);
		return;
	}
	switch (status)
	{
		case PGRES_POLLING_READING:
			wait_io(player, EV_READ, on_connect);
			break;
		case PGRES_POLLING_WRITING:
			wait_io(player, EV_WRITE, on_connect);
			break;
		case PGRES_POLLING_OK:
			logged_in(player);
			break;
		default:
			fail(player, NULL);
			break;
	}
}

/*
 * Takes a notice, which nobody wants to see.
 */
static void
ignore_notice(void *arg, const PGresult *result)
{
	(void) arg;
	(void) result;
}

/*
 * Starts libpq, with addresses beside the names that it shows to the target.
 */
static PGconn *
start_libpq(const char *conninfo, const Route *route)
{
	const char *names[] = {"dbname", "host", "hostaddr", "port", NULL};
	const char *values[] = {conninfo, route->host, route->hostaddr, route->port, NULL};

	return PQconnectStartParams(names, values, 1);
}

/*
 * Takes a session out of those that wait for their turn.
 */
static void
leave_queue(Player *player)
{
	Replay *replay = player->replay;
	Player *before = NULL;

	if (player != replay->first_to_connect)
		for (before = replay->first_to_connect; before->next_connecting != player;)
			before = before->next_connecting;
	if (before)
		before->next_connecting = player->next_connecting;
	else
		replay->first_to_connect = player->next_connecting;
	if (replay->last_to_connect == player)
		replay->last_to_connect = before;
}

/*
 * Lets libpq begin: the session's turn has come.
 */
static void
log_in(Player *player)
{
	Replay *replay = player->replay;
	Route route;
	const char *reason = NULL;

	set_phase(player, CONNECT_LOGGING_IN);
	player->connect_until = clock_monotonic() + replay->settings.connect_timeout_us;
	if (lookup_route(player, &route, &reason) != ROUTE_READY)
	{
		fail(player, reason ? reason : "its host names are not known any more");
		return;
	}
	player->conn = start_libpq(replay->conninfos[player->plan->conninfo], &route);
	route_free(&route);
	if (!player->conn || PQstatus(player->conn) == CONNECTION_BAD)
	{
		fail(player, NULL);
		return;
	}
	PQsetNoticeReceiver(player->conn, ignore_notice, NULL);
	wait_io(player, EV_WRITE, on_connect);
}

/*
 * Lets those log in whose turn it is.
 */
void
connect_next(Replay *replay)
{
	while (replay->first_to_connect && replay->connecting < MAX_CONNECTING)
	{
		Player *player = replay->first_to_connect;
		int64_t wait = schedule_claim_connect(replay);

		if (wait > 0)
		{
			struct timeval timeout = {wait / 1000000, (suseconds_t) (wait % 1000000)};

			evtimer_add(replay->start_timer, &timeout);
			return;
		}
		leave_queue(player);
		log_in(player);
	}
}

/*
 * Waits for the session's turn, when its host names are known.
 */
void
connect_names(Player *player)
{
	Replay *replay = player->replay;
	Route route;
	const char *reason = NULL;

	if (player->phase != CONNECT_NAMES)
		return;
	switch (lookup_route(player, &route, &reason))
	{
		case ROUTE_PENDING:
			return;
		case ROUTE_FAILED:
			fail(player, reason);
			return;
		case ROUTE_READY:
			break;
	}
	route_free(&route);
	set_phase(player, CONNECT_QUEUED);
	player->next_connecting = NULL;
	if (replay->last_to_connect)
		replay->last_to_connect->next_connecting = player;
	else
		replay->first_to_connect = player;
	replay->last_to_connect = player;
	event_active(replay->kick, 0, 0);
}

/*
 * Begins to connect.
 */
void
connect_begin(Player *player)
{
	const ReplaySettings *settings = &player->replay->settings;

	player->state = PLAYER_CONNECTING;
	player->began_at = clock_monotonic();
	player->connect_until = player->began_at + settings->connect_timeout_us + LOOKUP_GRACE_US;
	set_phase(player, CONNECT_NAMES);
	connect_names(player);
}

/*
 * Ends an attempt that takes too long, however slowly the target goes on.
 */
void
connect_check(Player *player, int64_t now)
{
	if (now <= player->connect_until)
		return;
	if (player->phase == CONNECT_LOGGING_IN)
		fail(player, "the target did not let the session in in time");
	else if (player->phase == CONNECT_NAMES)
		fail(player, "the target's host names were not looked up in time");
}

/*
 * Takes notice that a session ends, or its attempt.
 */
void
connect_forget(Player *player)
{
	if (player->phase == CONNECT_QUEUED)
		leave_queue(player);
	set_phase(player, CONNECT_NONE);
}
