/*
 * pairing.c
 *	  Which answer belongs to which request.
 *
 * ReadyForQuery does not come once for each Sync and Query, so pairing goes by
 * message (see tracker.h for the queue and its invariants):
 *
 *	 - after an ErrorResponse to an extended message the server skips everything
 *	   up to the next Sync, Query and FunctionCall included: their exchanges are
 *	   merged into the one that failed
 *	 - a Sync that the server reads while it copies in is swallowed.  When the
 *	   COPY ends well, all that was sent up to CopyDone has been read, so Syncs
 *	   before it are dropped and their exchanges merged.  When it fails it may
 *	   have read the Sync or not; if one behind CopyDone has come as well, the
 *	   ReadyForQuery is taken for that one's answer, else the first one's
 *	 - CopyData, CopyDone and CopyFail that come when no COPY reads them are
 *	   answered by nothing and belong to the exchange whose COPY failed
 *
 * Where an answer fits nowhere the exchange is marked pairing_uncertain, and
 * the queue is emptied when the client next waits.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/tracker.h"

/*
 * Tells whether the last exchange is open: its terminator has not come.
 */
bool
pairing_is_open(const Tracker *tracker)
{
	return tracker->last && !tracker->last->terminated;
}

/*
 * Returns the exchange that the next frontend message belongs to: the last one
 * while it is open, else a new one.
 */
Exchange *
pairing_front(Tracker *tracker)
{
	Exchange *exchange;

	if (pairing_is_open(tracker))
		return tracker->last;
	exchange = tracker_begin(tracker, tracker->front.header_at);
	if (!exchange)
		return NULL;
	if (tracker->last)
		tracker->last->next = exchange;
	else
		tracker->first = exchange;
	tracker->last = exchange;
	return exchange;
}

/*
 * Returns the exchange that a CopyData, CopyDone or CopyFail belongs to: the
 * last one, or with all answered one that collects late ones.
 */
Exchange *
pairing_copy_target(Tracker *tracker)
{
	if (tracker->last)
		return tracker->last;
	if (!tracker->late)
	{
		Exchange *late = tracker_begin(tracker, tracker->front.header_at);

		if (!late)
			return NULL;
		late->has = HAS_COPY;
		if (tracker->failed_copy_no >= 0)
		{
			late->exchange_no = tracker->failed_copy_no;
			late->part_no = tracker->failed_copy_parts + 1;
			late->has_failed = true;
		}
		tracker->late = late;
	}
	return tracker->late;
}

/*
 * Puts one bare Sync of the head entry into an exchange.
 */
static void
give_bare_sync(Tracker *tracker, Exchange *exchange, int64_t at)
{
	static const uint8_t sync[5] = {'S', 0, 0, 0, 4};
	const TrackerEnv *env = tracker->env;

	exchange_take(env->exchanges, exchange, WIRE_FRONTEND, sync, sizeof(sync), at,
	              env->keeps_bytes ? env->request_limit : 0);
	exchange->has |= HAS_EXTENDED;
	exchange->terminated = true;
	exchange->orphaned = false;
}

/*
 * Ends the first exchange, whose own terminator was dropped, by what follows
 * it: a bare Sync, or the exchange that comes next.  Where nothing follows yet
 * it stays open, and where the end of a COPY stands before that, which is
 * dropped before the server says anything more.
 */
static void
settle(Tracker *tracker)
{
	Exchange *first = tracker->first;
	const QueueEntry *head = queue_at(&tracker->queue, 0);

	if (head && queue_is_copy_end(head))
		return;
	while (first && first->orphaned && !first->terminated)
	{
		Exchange *second = first->next;

		if (head && head->bare)
		{
			give_bare_sync(tracker, first, head->at);
			queue_split_bare(tracker);
			return;
		}
		if (!second)
			return;
		if (tracker->last == second)
			tracker->last = first;
		if (tracker->front.target == second)
			tracker->front.target = first;
		first->next = second->next;
		exchange_merge(tracker->env->exchanges, first, second, tracker->env->request_limit);
	}
}

/*
 * Drops the head of the queue, which will not be answered.
 */
static void
drop(Tracker *tracker)
{
	const QueueEntry *head = queue_at(&tracker->queue, 0);
	bool ended = queue_is_terminator(head);

	if (ended && head->bare)
	{
		/* it ends nothing yet: give it to the first exchange, which goes on */
		give_bare_sync(tracker, tracker->first, head->at);
		queue_split_bare(tracker);
	}
	if (ended && tracker->first)
	{
		tracker->first->terminated = false;
		tracker->first->orphaned = true;
	}
	queue_pop(tracker);
	settle(tracker);
}

/*
 * Drops CopyDone and CopyFail from the head: nothing reads them any more.
 */
static void
drop_late_copy(Tracker *tracker)
{
	const QueueEntry *head;

	while ((head = queue_at(&tracker->queue, 0)) && queue_is_copy_end(head))
		queue_pop(tracker);
	settle(tracker);
}

/*
 * Decides which Sync a ReadyForQuery answers after a COPY that failed, and
 * drops what comes before it.
 */
static void
resolve_failed_copy(Tracker *tracker)
{
	Queue *queue = &tracker->queue;
	const QueueEntry *entry;
	uint32_t first_sync = UINT32_MAX;
	uint32_t second_sync = UINT32_MAX;
	bool behind_copy_end = false;

	tracker->copy_unsure = false;
	for (uint32_t i = 0; (entry = queue_at(queue, i)); i++)
	{
		behind_copy_end |= queue_is_copy_end(entry);
		if (entry->id != WIRE_MSG_Sync)
			continue;
		if (first_sync == UINT32_MAX)
			first_sync = i;
		if (behind_copy_end)
		{
			second_sync = i;
			break;
		}
	}
	if (second_sync == UINT32_MAX)
		second_sync = first_sync;
	if (second_sync == UINT32_MAX)
		return;
	/* counted from the end: dropping a bare Sync first makes it two entries */
	second_sync = queue->count - second_sync;
	while (queue->count > second_sync)
		drop(tracker);
	settle(tracker);
}

/*
 * Tells whether a ReadyForQuery now would be one that nothing asked for: only a
 * Sync is answered by it alone.
 */
static bool
is_stray_ready(const Tracker *tracker)
{
	const QueueEntry *head = queue_at(&tracker->queue, 0);

	if (!head || !tracker->first)
		return true;
	return head->id != WIRE_MSG_Sync && head->id != WIRE_MSG_StartupMessage &&
	       tracker->first->first_response_at < 0;
}

/*
 * Returns the exchange that the server speaks of: the first of the list, or
 * that of a bare Sync, made now.  NULL: none, what it says is asynchronous.
 */
Exchange *
pairing_current(Tracker *tracker, WireMessageId id)
{
	const QueueEntry *head;

	if (id == WIRE_MSG_ReadyForQuery && tracker->copy_unsure)
		resolve_failed_copy(tracker);
	drop_late_copy(tracker);
	head = queue_at(&tracker->queue, 0);
	if (head && head->bare)
	{
		Exchange *exchange = tracker_begin(tracker, head->at);

		if (!exchange)
			return NULL;
		give_bare_sync(tracker, exchange, head->at);
		exchange->next = tracker->first;
		tracker->first = exchange;
		if (!tracker->last)
			tracker->last = exchange;
		queue_split_bare(tracker);
	}
	if (id == WIRE_MSG_ReadyForQuery && is_stray_ready(tracker))
		return NULL;
	return tracker->first;
}

/*
 * Notes in the first exchange what a Bind that the server has done or refused is of.
 */
static void
apply_bind(Tracker *tracker, Exchange *exchange, QueueEntry *entry, bool done)
{
	const Statement *name = entry->statement;
	const Statement *statement = statement_find(tracker->env->texts, &tracker->statements,
	                                            name ? name->name : "", name ? name->name_len : 0);
	Text *text = statement ? statement->text : NULL;

	if (done)
		names_put_portal(tracker, entry, text);
	if (!text)
		return;
	exchange_set_query(exchange, text, true);
	if (exchange->recorded)
	{
		/* it may have been parsed while nothing was recorded */
		tracker->env->text_seen(tracker, text);
		buffer_append(tracker->env->budget, &exchange->query_hashes, &text->entry.hash,
		              sizeof(uint64_t));
	}
}

/*
 * Notes in the first exchange, and in the statement map, what the server has
 * done with the entry, or tried to.
 */
static void
apply(Tracker *tracker, QueueEntry *entry, bool done)
{
	Exchange *exchange = tracker->first;
	TextPool *texts = tracker->env->texts;
	Statement *statement = entry->statement;
	const char *name = statement ? statement->name : "";
	size_t len = statement ? statement->name_len : 0;

	if (!exchange)
		return;
	if (entry->id == WIRE_MSG_Query)
		exchange_set_query(exchange, entry->text, false);
	else if (entry->id == WIRE_MSG_Parse && statement)
	{
		exchange_set_query(exchange, statement->text, true);
		if (done)
		{
			statement_put(texts, &tracker->statements, statement);
			entry->statement = NULL;
		}
	}
	else if (entry->id == WIRE_MSG_Bind)
		apply_bind(tracker, exchange, entry, done);
	else if (entry->id == WIRE_MSG_Execute && !exchange->query)
		exchange_set_query(exchange,
		                   names_portal_text(tracker, entry->named ? entry->named->name : "",
		                                     entry->named ? entry->named->name_len : 0),
		                   true);
	else if (entry->id == WIRE_MSG_Close && entry->portal && done && len > 0)
		statement_drop(texts, &tracker->portals, name, len);
	else if (entry->id == WIRE_MSG_Close && !entry->portal && done)
		statement_drop(texts, &tracker->statements, name, len);
}

/*
 * Notes that an answer fits nowhere.
 */
static void
mismatch(Tracker *tracker)
{
	tracker->uncertain = true;
	if (tracker->first)
		tracker->first->uncertain = true;
}

/*
 * Returns the frontend message that a backend message completes.
 */
static WireMessageId
answered_by(WireMessageId id)
{
	switch (id)
	{
		case WIRE_MSG_ParseComplete:
			return WIRE_MSG_Parse;
		case WIRE_MSG_BindComplete:
			return WIRE_MSG_Bind;
		case WIRE_MSG_CloseComplete:
			return WIRE_MSG_Close;
		case WIRE_MSG_RowDescription:
		case WIRE_MSG_NoData:
			return WIRE_MSG_Describe;
		default:
			return WIRE_MSG_Execute;
	}
}

/*
 * Takes CopyDone or CopyFail out from behind a Query whose COPY has ended, and
 * gives the Syncs before it, which were swallowed, to the Query's exchange.
 */
static void
finish_query_copy(Tracker *tracker)
{
	Queue *queue = &tracker->queue;
	const QueueEntry *entry;
	uint32_t gone = 1;

	while ((entry = queue_at(queue, gone)) && entry->bare)
		gone++;
	if (!entry || !queue_is_copy_end(entry))
		return;
	for (uint32_t i = 1; i <= gone; i++)
	{
		entry = queue_at(queue, i);
		queue->answered += entry->count;
		for (uint32_t n = 0; entry->bare && n < entry->count; n++)
			give_bare_sync(tracker, tracker->first, entry->at);
	}
	/* what goes owns nothing: the Query takes the place of the last of it */
	*queue_at(queue, gone) = *queue_at(queue, 0);
	queue->head = (queue->head + gone) & (queue->cap - 1);
	queue->count -= gone;
}

/*
 * Drops what the server read while an Execute copied in: everything up to
 * CopyDone or CopyFail, Syncs among it.
 */
static void
finish_execute_copy(Tracker *tracker)
{
	const QueueEntry *head;
	bool sent = false;

	for (uint32_t i = 0; (head = queue_at(&tracker->queue, i)) && !sent; i++)
		sent = queue_is_copy_end(head);
	while (sent && (head = queue_at(&tracker->queue, 0)) && !queue_is_copy_end(head))
		drop(tracker);
	drop_late_copy(tracker);
}

/*
 * Lets a backend message answer the head of the queue.
 */
void
pairing_answer(Tracker *tracker, WireMessageId id)
{
	WireMessageId expected = answered_by(id);
	QueueEntry *head = queue_at(&tracker->queue, 0);
	bool was_copy = tracker->copy_in && id == WIRE_MSG_CommandComplete;

	if (head && queue_is_terminator(head) && !head->bare && head->id != WIRE_MSG_Sync &&
	    expected != WIRE_MSG_Parse && expected != WIRE_MSG_Bind && expected != WIRE_MSG_Close)
	{
		/* rows, tags and descriptions of a Query: it waits for ReadyForQuery */
		if (was_copy)
			finish_query_copy(tracker);
		tracker->copy_in &= !was_copy;
		return;
	}
	if (!head || head->id != expected)
	{
		mismatch(tracker);
		return;
	}
	apply(tracker, head, true);
	queue_pop(tracker);
	tracker->copy_in &= !was_copy;
	if (was_copy)
		finish_execute_copy(tracker);
}

/*
 * Notes that the server begins to copy in.
 */
void
pairing_copy_in(Tracker *tracker)
{
	const QueueEntry *head = queue_at(&tracker->queue, 0);

	tracker->copy_in = true;
	if (!head || (head->id != WIRE_MSG_Query && head->id != WIRE_MSG_Execute))
		mismatch(tracker);
}

/*
 * Follows the server after an ErrorResponse: to an extended message, it skips
 * up to the next Sync.
 */
void
pairing_error(Tracker *tracker)
{
	QueueEntry *head = queue_at(&tracker->queue, 0);
	bool was_copy = tracker->copy_in;

	tracker->copy_in = false;
	if (tracker->first)
		tracker->first->has_failed = true;
	if (!head || queue_is_terminator(head))
		return;
	apply(tracker, head, false);
	queue_pop(tracker);
	if (was_copy)
	{
		/* whether the server has read a Sync that came before is not known yet */
		tracker->copy_unsure = true;
		for (uint32_t i = 0; (head = queue_at(&tracker->queue, i)); i++)
			if (head->id == WIRE_MSG_Sync)
				return;
	}
	while ((head = queue_at(&tracker->queue, 0)) && head->id != WIRE_MSG_Sync)
		drop(tracker);
	tracker->skipping = !head;
}

/*
 * Takes the first exchange off the list and finishes it.
 */
static void
finish_first(Tracker *tracker, bool is_complete)
{
	Exchange *first = tracker->first;

	tracker->first = first->next;
	if (!tracker->first)
		tracker->last = NULL;
	first->next = NULL;
	tracker_finish(tracker, first, is_complete);
}

/*
 * Lets a ReadyForQuery end the first exchange.
 */
void
pairing_ready(Tracker *tracker)
{
	QueueEntry *head = queue_at(&tracker->queue, 0);

	tracker->copy_in = false;
	tracker->client_waits = true;
	if (tracker->async && tracker->back.target == tracker->async)
	{
		/* nothing asked for it: never silently off by one */
		tracker->async->uncertain = true;
		mismatch(tracker);
	}
	else
	{
		if (head && !queue_is_terminator(head))
			mismatch(tracker);
		while ((head = queue_at(&tracker->queue, 0)) && !queue_is_terminator(head))
		{
			apply(tracker, head, true);
			queue_pop(tracker);
		}
		if (head && tracker->first)
		{
			apply(tracker, head, true);
			queue_pop(tracker);
			finish_first(tracker, true);
		}
	}
	if (tracker->queue.count == 0)
		tracker->uncertain = false;
}

/*
 * Finishes all exchanges as incomplete, in order, and empties the queue.
 */
void
pairing_abandon(Tracker *tracker, bool is_uncertain)
{
	QueueEntry *head;

	while (tracker->first || tracker->queue.count > 0)
	{
		Exchange *first;

		drop_late_copy(tracker); /* or a bare Sync behind one is not seen */
		if ((head = queue_at(&tracker->queue, 0)) && head->bare)
			pairing_current(tracker, WIRE_MSG_Unknown);
		if (!(first = tracker->first))
		{
			if (tracker->queue.count > 0)
				queue_pop(tracker);
			continue;
		}
		while ((head = queue_at(&tracker->queue, 0)) && !queue_is_terminator(head))
		{
			apply(tracker, head, true);
			queue_pop(tracker);
		}
		if (head && first->terminated)
		{
			apply(tracker, head, true);
			queue_pop(tracker);
		}
		first->uncertain |= is_uncertain;
		finish_first(tracker, false);
	}
	tracker->uncertain = tracker->skipping = false;
	tracker->copy_in = tracker->copy_unsure = false;
}
