/*
 * turn.c
 *	  What happens at the end of each turn of the loop: one write() to the
 *	  journal, after the bytes were forwarded.
 *
 * The board counts an exchange as finished when its last byte is about to be
 * forwarded, as journalled after the write.  What the journal does not take is
 * either thrown away and counted (journal_full = drop), or kept while nothing
 * is read from any socket (wait).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "relay/process.h"

#define RETRY_US 100000
#define CLOSED_MAX 20000 /* ended sessions that wait for the journal */

/*
 * Returns the session that a tracker stands in.
 */
static Session *
session_of(Tracker *tracker)
{
	return (Session *) ((char *) tracker - offsetof(Session, tracker));
}

/*
 * Remembers whose exchange is in the batch, for the count of what is dropped.
 */
static void
note_batch(Relay *relay, Session *session)
{
	if (relay->batch_count == relay->batch_cap)
	{
		size_t cap = relay->batch_cap ? relay->batch_cap * 2 : 64;
		Session **batch = realloc(relay->batch, cap * sizeof(Session *));

		if (!batch)
			return;
		relay->batch = batch;
		relay->batch_cap = cap;
	}
	relay->batch[relay->batch_count++] = session;
}

/*
 * Tells whether an exchange is too short to be recorded.
 */
static bool
is_too_short(const Relay *relay, const Exchange *exchange)
{
	uint32_t always = HAS_CANCEL | HAS_STARTUP | HAS_TERMINATE | HAS_REPLICATION;

	return relay->config.min_duration_us > 0 && !(exchange->has & always) && exchange->has != 0 &&
	       exchange->part_no == 1 &&
	       exchange->finished_at - exchange->started_at < relay->config.min_duration_us;
}

_Static_assert(BOARD_TEXT_HASHED == TEXT_MAX, "backends and relays hash the same bytes");

/*
 * Looks up the query id of an exchange's text, which the backend has told before
 * it answered.
 */
static void
find_query_id(const Session *session, Exchange *exchange)
{
	if (exchange->query && session->slot >= 0)
		exchange->query_id =
		    board_query_id(&session->relay->board->slots[session->slot], exchange->query->hash);
}

/*
 * Looks whether the tables have lost what is believed to be in them: then rows of
 * sessions and texts must come again.
 */
static void
follow_tables(Relay *relay)
{
	uint32_t epoch = atomic_load(&relay->board->record_epoch);

	if (relay->record_epoch == epoch)
		return;
	relay->record_epoch = epoch;
	relay->journal_epoch++;
	text_forget_sent(relay->texts);
}

/*
 * Adds a finished exchange, or a part of a long one, to the batch and counts it.
 */
static void
add_exchange(Session *session, Exchange *exchange)
{
	Relay *relay = session->relay;
	BoardRelay *stats = relay->stats;

	board_add(&stats->exchanges_finished, 1);
	if (exchange->part_no == 1)
		session->exchange_count++;
	find_query_id(session, exchange);
	follow_tables(relay);
	if (session->row_epoch != relay->journal_epoch && record_session(session))
		session->row_epoch = relay->journal_epoch;
	if (record_exchange(session, exchange))
		note_batch(relay, session);
	else
	{
		board_add(&stats->exchanges_dropped_journal_full, 1);
		session->dropped_exchanges++;
	}
}

/*
 * Takes a finished exchange from a tracker.
 */
void
turn_exchange_finished(Tracker *tracker, Exchange *exchange)
{
	Session *session = session_of(tracker);
	Relay *relay = session->relay;

	if (session->is_recorded && exchange->recorded)
	{
		if (session->session_id == 0 && (session->session_id = ids_next(relay)) == 0)
			board_add(&relay->stats->exchanges_paused, 1);
		else if (is_too_short(relay, exchange))
			board_add(&relay->stats->exchanges_too_short, 1);
		else
			add_exchange(session, exchange);
	}
	else if (session->is_recorded && exchange->is_paused)
		board_add(&relay->stats->exchanges_paused, 1);
	if (exchange_kind(exchange) != FACTS_ASYNC)
		session->last_finished_at = exchange->finished_at;
	exchange_release(&relay->exchanges, exchange);
}

/*
 * Takes what there is of a long exchange from a tracker.
 */
void
turn_part_finished(Tracker *tracker, Exchange *exchange)
{
	Session *session = session_of(tracker);

	if (session->is_recorded && session->session_id != 0)
		add_exchange(session, exchange);
}

/*
 * Takes note of a text that came in a Parse, or that a Bind uses.
 */
void
turn_text_seen(Tracker *tracker, Text *text)
{
	Session *session = session_of(tracker);

	/* one that may yet ask not to be recorded leaves no texts */
	if (!session->is_recorded || (session->may_decline && !tracker->is_ready))
		return;
	follow_tables(session->relay);
	record_text_used(session, text);
}

/*
 * Reads or stops reading all sockets, as journal_full = wait asks.
 */
static void
set_held(Relay *relay, bool held)
{
	if (relay->is_held == held)
		return;
	relay->is_held = held;
	listen_set(relay, !held);
	for (Session *session = relay->sessions; session; session = session->next)
		session_update(session);
	relay_log(relay, RELAY_LOG,
	          held ? "the journal is full: clients are held back"
	               : "the journal takes records again: clients go on");
}

/*
 * Forgets whose the first exchanges of the batch were: they are in the journal.
 */
static void
forget_written(Relay *relay, uint64_t written)
{
	size_t count = written < relay->batch_count ? (size_t) written : relay->batch_count;

	if (count == 0)
		return;
	relay->batch_count -= count;
	memmove(relay->batch, relay->batch + count, relay->batch_count * sizeof(Session *));
}

/*
 * Throws the batch away and counts it.  Everything else that was in it must
 * come again: texts, and rows of sessions.
 */
static void
drop_batch(Relay *relay, JournalResult result)
{
	BoardU64 *counter = result == JOURNAL_FULL ? &relay->stats->exchanges_dropped_journal_full
	                                           : &relay->stats->exchanges_dropped_disk_full;

	if (relay->refused_at == 0)
		relay_error(relay, "exchanges are not recorded: %s", journal_error(relay->journal));
	board_add(counter, journal_discard(relay->journal));
	for (size_t i = 0; i < relay->batch_count; i++)
		relay->batch[i]->dropped_exchanges++;
	relay->batch_count = 0;
	relay->journal_epoch++;
	text_forget_sent(relay->texts);
}

/*
 * Frees the sessions that ended, as far as their rows are in the journal.
 */
static void
free_closed(Relay *relay)
{
	Session *session;

	while ((session = relay->closed))
	{
		relay->closed = session->next;
		session_free(session);
	}
	relay->closed_count = 0;
}

/*
 * Adds the rows of ended sessions to the batch: whole, so it does not matter
 * whether one was there before.
 */
static void
record_closed(Relay *relay)
{
	Session **link = &relay->closed;

	while (*link)
	{
		Session *session = *link;

		if (session->is_recorded && session->session_id != 0 &&
		    (session->exchange_count > 0 || relay->config.capture != RELAY_CAPTURE_OFF))
			record_session(session);
		link = &session->next;
	}
}

/*
 * Forgets the oldest ended sessions where too many wait for a journal that
 * takes nothing; their rows stay without an end.
 */
static void
bound_closed(Relay *relay)
{
	Session **link = &relay->closed;
	uint32_t kept = 0;

	if (relay->closed_count <= CLOSED_MAX)
		return;
	while (*link && kept < CLOSED_MAX / 2)
	{
		link = &(*link)->next;
		kept++;
	}
	relay_error(relay, "rows of %u ended sessions are lost: the journal takes nothing",
	            relay->closed_count - kept);
	while (*link)
	{
		Session *session = *link;

		*link = session->next;
		session_free(session);
	}
	relay->closed_count = kept;
}

/*
 * Writes the batch; has_closed: the rows of ended sessions are in it.
 */
static void
write_batch(Relay *relay, bool has_closed)
{
	bool is_waiting = relay->config.journal_full == RELAY_JOURNAL_WAIT && !relay->is_stopping;
	uint64_t written = 0;
	JournalResult result;

	result = journal_write(relay->journal, &written);
	board_add(&relay->stats->exchanges_journalled, written);
	forget_written(relay, written);
	if (written > 0)
		relay->wake_due = true;
	if (result == JOURNAL_OK)
	{
		if (relay->refused_at != 0 && !relay->is_held)
			relay_log(relay, RELAY_LOG, "exchanges are recorded again");
		relay->refused_at = 0;
		set_held(relay, false);
		if (has_closed)
			free_closed(relay);
		return;
	}
	if (is_waiting)
	{
		if (!relay->is_held)
			relay_error(relay, "clients wait: %s", journal_error(relay->journal));
		set_held(relay, true);
	}
	else
	{
		drop_batch(relay, result);
		set_held(relay, false);
		bound_closed(relay);
	}
	relay->refused_at = clock_monotonic();
}

/*
 * Tells whether the rows of ended sessions should be tried now: a journal that
 * has just refused is left alone for a moment.
 */
static bool
closed_are_due(const Relay *relay)
{
	return relay->closed && !relay->is_held &&
	       (relay->refused_at == 0 || clock_monotonic() - relay->refused_at > RETRY_US);
}

/*
 * Sees to it that the writer is woken: at once for a flush, else so that it
 * works in steps of flush_interval.
 */
static void
plan_wake(Relay *relay, bool flush)
{
	int64_t interval = (int64_t) relay->config.flush_interval_ms * 1000;
	int64_t since = clock_monotonic() - relay->last_wake;

	if (flush)
		relay_wake_writer(relay);
	else if (relay->wake_due && since >= interval)
		relay_wake_writer(relay);
	else if (relay->wake_due && !evtimer_pending(relay->wake_timer, NULL))
	{
		int64_t wait = interval - since;
		struct timeval tv = {wait / 1000000, wait % 1000000};

		evtimer_add(relay->wake_timer, &tv);
	}
}

/*
 * Acknowledges a flush() request: all that was finished before is written, or
 * counted as dropped.  Rows of ended sessions that the journal has just refused
 * are waited for a moment, in case it takes them now.  Returns whether there was
 * one to acknowledge.
 */
static bool
ack_flush(Relay *relay, uint64_t request)
{
	int64_t now;

	if (relay->is_held || request <= atomic_load(&relay->stats->flush_acked))
		return false;
	now = clock_monotonic();
	if (relay->flush_seen != request)
	{
		relay->flush_seen = request;
		relay->flush_seen_at = now;
	}
	if (relay->closed && now - relay->flush_seen_at < 3 * RETRY_US)
		return false;
	atomic_store(&relay->stats->flush_acked, request);
	return true;
}

/*
 * Ends a turn of the loop.
 */
void
turn_end(Relay *relay)
{
	BoardRelay *stats = relay->stats;
	uint64_t flush = atomic_load(&relay->board->flush_requested);
	bool has_closed;

	relay->handshakes = 0;
	if (!relay->journal)
		return;
	has_closed = closed_are_due(relay);
	if (has_closed)
		record_closed(relay);
	if (journal_pending_bytes(relay->journal) > 0)
		write_batch(relay, has_closed);
	else if (has_closed)
		free_closed(relay);
	plan_wake(relay, ack_flush(relay, flush));
	atomic_store_explicit(&stats->bytes_allocated, relay->budget.used, memory_order_relaxed);
	atomic_store_explicit(&stats->heartbeat, clock_wall(), memory_order_relaxed);
}

/*
 * Ends the process: what is open is recorded as incomplete, the journal is
 * written out.
 */
void
turn_stop(Relay *relay)
{
	relay->is_stopping = true;
	while (relay->sessions)
	{
		Session *session = relay->sessions;

		session_close(session, session->end_reason ? NULL : "server_shutdown");
	}
	if (relay->journal)
	{
		relay->refused_at = 0;
		turn_end(relay);
		journal_appender_free(relay->journal);
	}
	relay_wake_writer(relay);
	_exit(0);
}
