/*
 * relay_main.c
 *	  A relay process: its loop, its signals, its timers.
 *
 * The process was forked by the supervisor and has left the server: no server
 * function may be called here.  It lives by its loop; a turn ends with one write
 * to the journal.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/process.h"

#define HEARTBEAT_S 2
#define WATCHDOG_S 15

static Relay *the_relay; /* for libevent's fatal callback, which has no argument */

/*
 * Ends the process on an error inside libevent, which would call abort().
 */
static void
on_fatal(int error)
{
	relay_error(the_relay, "event loop failed (%d)", error);
	_exit(1);
}

/*
 * Event: the supervisor sent settings, or is gone.
 */
static void
on_supervisor(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	config_receive(arg);
}

/*
 * Event: nothing but time passed.  The turn's end does the rest.
 */
static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
}

/*
 * Event: time for a heartbeat.  A loop that stands still is ended by the alarm,
 * also when there is no supervisor any more to see it.
 */
static void
on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	Relay *relay = arg;

	(void) fd;
	(void) what;
	alarm(WATCHDOG_S);
	for (Session *session = relay->sessions; session; session = session->next)
		if (session->is_tracked)
			tracker_check_long(&session->tracker, session_now(session));
}

/*
 * Event: work for the writer has waited for flush_interval.
 */
static void
on_wake_due(evutil_socket_t fd, short what, void *arg)
{
	Relay *relay = arg;

	(void) fd;
	(void) what;
	if (relay->wake_due)
		relay_wake_writer(relay);
}

/*
 * Event: the time to let the server speak its last is over.
 */
static void
on_drained(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	turn_stop(arg);
}

/*
 * Event: TERM.  The server is ending its backends; what they tell their clients
 * may still pass for a moment.
 */
static void
on_term(evutil_socket_t fd, short what, void *arg)
{
	Relay *relay = arg;
	struct timeval wait = {0, RELAY_DRAIN_MS * 1000};

	(void) fd;
	(void) what;
	if (relay->is_stopping)
		return;
	relay->is_stopping = true;
	listen_close(relay);
	evtimer_add(relay->drain_timer, &wait);
}

/*
 * Event: INT or QUIT.
 */
static void
on_quit(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	turn_stop(arg);
}

/*
 * Adds a signal's event.
 */
static struct event *
watch_signal(Relay *relay, int number, event_callback_fn callback)
{
	struct event *event = evsignal_new(relay->base, number, callback, relay);

	event_add(event, NULL);
	return event;
}

/*
 * Makes the loop and what it always waits for.
 */
static void
make_loop(Relay *relay)
{
	struct timeval beat = {HEARTBEAT_S, 0};

	relay->base = event_base_new();
	if (!relay->base)
	{
		relay_error(relay, "could not make an event loop: %s", strerror(errno));
		_exit(1);
	}
	relay->signals[0] = watch_signal(relay, SIGTERM, on_term);
	relay->signals[1] = watch_signal(relay, SIGINT, on_quit);
	relay->signals[2] = watch_signal(relay, SIGQUIT, on_quit);
	relay->signals[3] = watch_signal(relay, SIGUSR1, on_tick);
	relay->heartbeat = event_new(relay->base, -1, EV_PERSIST, on_heartbeat, relay);
	event_add(relay->heartbeat, &beat);
	relay->retry_timer = event_new(relay->base, -1, EV_PERSIST, on_tick, relay);
	relay->wake_timer = evtimer_new(relay->base, on_wake_due, relay);
	relay->drain_timer = evtimer_new(relay->base, on_drained, relay);
	relay->supervisor_event =
	    event_new(relay->base, relay->supervisor_fd, EV_READ | EV_PERSIST, on_supervisor, relay);
	event_add(relay->supervisor_event, NULL);
}

/*
 * Notes facts that the backend has written to the slot by the time the server is
 * ready for the first query.
 */
static void
on_ready(Tracker *tracker)
{
	Session *session = (Session *) ((char *) tracker - offsetof(Session, tracker));
	Relay *relay = session->relay;

	session->authenticated_at = tracker->now;
	if (session->slot >= 0)
	{
		BoardSlot *slot = &relay->board->slots[session->slot];

		atomic_store(&slot->cancel_key, tracker->cancel_key);
		session->backend_start = atomic_load(&slot->backend_start);
		session->database_oid = atomic_load(&slot->database_oid);
		if (atomic_load(&slot->is_unrecorded) && session->is_recorded)
		{
			board_add(&relay->stats->sessions_unrecorded, 1);
			atomic_store(&slot->session_id, 0);
			session_leave_out(session);
		}
	}
}

/*
 * Makes the relay's state.
 */
static Relay *
make_relay(Board *board, uint32_t relay_no, int supervisor_fd)
{
	Relay *relay = calloc(1, sizeof(Relay));
	TextPool *texts = calloc(1, sizeof(TextPool));

	if (!relay || !texts)
		_exit(1);
	relay->board = board;
	relay->relay_no = relay_no;
	relay->stats = &board->relays[relay_no];
	relay->supervisor_fd = supervisor_fd;
	relay->journal_epoch = 1;
	relay->texts = texts;
	texts->budget = &relay->budget;
	texts->rules = &relay->rules;
	relay->exchanges.budget = &relay->budget;
	relay->exchanges.texts = texts;
	relay->env.budget = &relay->budget;
	relay->env.texts = texts;
	relay->env.exchanges = &relay->exchanges;
	relay->env.finished = turn_exchange_finished;
	relay->env.part_finished = turn_part_finished;
	relay->env.text_seen = turn_text_seen;
	relay->env.ready = on_ready;
	relay->env.is_paused = &relay->board->is_paused;
	return relay;
}

/*
 * Sets how often the loop looks again: often while the journal refuses and
 * clients or rows wait for it, else not at all.
 */
static void
set_retry(Relay *relay)
{
	struct timeval retry = {0, 100000};
	bool wanted = relay->is_held || relay->closed;

	if (wanted && !evtimer_pending(relay->retry_timer, NULL))
		event_add(relay->retry_timer, &retry);
	else if (!wanted && evtimer_pending(relay->retry_timer, NULL))
		event_del(relay->retry_timer);
}

/*
 * Runs a relay.
 */
void
relay_main(Board *board, uint32_t relay_no, int supervisor_fd)
{
	Relay *relay = make_relay(board, relay_no, supervisor_fd);

	the_relay = relay;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	fcntl(supervisor_fd, F_SETFL, fcntl(supervisor_fd, F_GETFL) | O_NONBLOCK);
	event_set_fatal_callback(on_fatal);
	alarm(WATCHDOG_S);
	make_loop(relay);
	atomic_store(&relay->stats->heartbeat, clock_wall());
	atomic_store(&relay->stats->ready, 1);
	for (;;)
	{
		if (event_base_loop(relay->base, EVLOOP_ONCE) < 0)
			on_fatal(errno);
		turn_end(relay);
		set_retry(relay);
		if (relay->is_stopping && !relay->sessions)
			turn_stop(relay);
	}
}
