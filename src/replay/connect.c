/*
 * connect.c
 *	  From a connection string to a session that may send.
 *
 * Authentication and TLS are libpq's.  When it has logged in, the target is asked
 * whether it agrees; from then on the socket, or TLS stream, is ours, and libpq
 * only closes it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "relay/process.h"
#include "replay/child.h"

/*
 * What the target is asked.  A server that never heard of the setting says NULL.
 * When it was started tells it from ours: a copy of our server is another one.
 */
#define QUESTION                                                                      \
	"SELECT pg_catalog.current_setting('pgwire_trace.allow_replay', true) AS agrees," \
	" extract(epoch FROM pg_catalog.pg_postmaster_start_time())::pg_catalog.text AS started"

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
	stop_io(player);
	if (player->conn)
		PQfinish(player->conn);
	player->conn = NULL;
	player->state = PLAYER_CONNECTING;
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
	player->replay->connecting--;
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

	return replay->settings.compare >= 3 && replay->captured_types.count > 0 &&
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
	types->count = 0;
	for (int i = 0; i < PQntuples(result) && good; i++)
		good = types_add(types, (uint32_t) strtoul(PQgetvalue(result, i, 0), NULL, 10),
		                 PQgetvalue(result, i, 1));
	if (!good)
	{
		types->count = 0;
		return;
	}
	types_sort(types);
	types->agrees = types_agree(&player->replay->captured_types, types);
}

/*
 * Judges what the target answered.
 */
static void
judge_answer(Player *player, const PGresult *result)
{
	const ReplaySettings *settings = &player->replay->settings;

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQnfields(result) == 2 &&
	    strcmp(PQfname(result, 0), "type_oid") == 0)
		take_types(player, result);
	else if (!settings->asks_permission && !settings->refuses_self)
		return; /* names of types alone are wanted, and can be done without */
	else if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail(player, PQresultErrorMessage(result));
	else if (PQntuples(result) != 1 || PQnfields(result) != 2)
		fail(player, "the target's answer to whether it agrees makes no sense");
	else if (settings->asks_permission && strcmp(PQgetvalue(result, 0, 0), "on") != 0)
		refuse(player, "the target does not agree to a replay: "
		               "pgwire_trace.allow_replay is not on in its database "
		               "(ALTER DATABASE ... SET pgwire_trace.allow_replay = on)");
	else if (settings->refuses_self && strcmp(PQgetvalue(result, 0, 1), settings->own_start) == 0)
		refuse(player, "the target is this server itself (option allow_self, if that is meant)");
}

/*
 * Event: something of the answer has come.
 */
static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	Player *player = arg;
	PGresult *result;

	(void) fd;
	(void) what;
	if (!PQconsumeInput(player->conn))
	{
		fail(player, NULL);
		return;
	}
	while (!PQisBusy(player->conn))
	{
		result = PQgetResult(player->conn);
		if (!result)
		{
			finish(player);
			return;
		}
		judge_answer(player, result);
		PQclear(result);
		if (!player->conn || player->state == PLAYER_ENDED)
			return;
	}
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

	(void) fd;
	(void) what;
	switch (PQconnectPoll(player->conn))
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
 * Begins to connect.
 */
void
connect_begin(Player *player)
{
	player->state = PLAYER_CONNECTING;
	player->connect_until = clock_monotonic() + player->replay->settings.connect_timeout_us;
	player->conn = PQconnectStart(player->replay->conninfos[player->plan->conninfo]);
	if (!player->conn || PQstatus(player->conn) == CONNECTION_BAD)
	{
		fail(player, NULL);
		return;
	}
	PQsetNoticeReceiver(player->conn, ignore_notice, NULL);
	wait_io(player, EV_WRITE, on_connect);
}

/*
 * Ends an attempt that takes too long, however slowly the target goes on.
 */
void
connect_check(Player *player, int64_t now)
{
	if (player->conn && now > player->connect_until)
		fail(player, "the target did not let the session in in time");
}
