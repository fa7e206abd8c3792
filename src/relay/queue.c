/*
 * queue.c
 *	  The queue of unanswered frontend messages: a ring that grows.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/tracker.h"

/*
 * Returns entry i of the queue, 0 being its head; NULL behind its end.
 */
QueueEntry *
queue_at(const Queue *queue, uint32_t i)
{
	if (i >= queue->count)
		return NULL;
	return &queue->entries[(queue->head + i) & (queue->cap - 1)];
}

/*
 * Doubles the ring.
 */
static bool
queue_grow(Budget *budget, Queue *queue)
{
	uint32_t cap = queue->cap ? queue->cap * 2 : 16;
	QueueEntry *entries = budget_alloc(budget, cap * sizeof(QueueEntry));

	if (!entries)
		return false;
	for (uint32_t i = 0; i < queue->count; i++)
		entries[i] = *queue_at(queue, i);
	budget_free(budget, queue->entries, queue->cap * sizeof(QueueEntry));
	queue->entries = entries;
	queue->cap = cap;
	queue->head = 0;
	return true;
}

/*
 * Tells whether an entry ends an exchange.
 */
bool
queue_is_terminator(const QueueEntry *entry)
{
	return entry->id == WIRE_MSG_Query || entry->id == WIRE_MSG_Sync ||
	       entry->id == WIRE_MSG_FunctionCall || entry->id == WIRE_MSG_StartupMessage;
}

/*
 * Tells whether an entry ends the client's side of a COPY.
 */
bool
queue_is_copy_end(const QueueEntry *entry)
{
	return entry->id == WIRE_MSG_CopyDone || entry->id == WIRE_MSG_CopyFail;
}

/*
 * Frees what an entry owns.
 */
static void
entry_free(Tracker *tracker, QueueEntry *entry)
{
	statement_free(tracker->env->texts, entry->statement);
	text_release(tracker->env->texts, entry->text);
	statement_free(tracker->env->texts, entry->named);
	entry->statement = entry->named = NULL;
	entry->text = NULL;
}

/*
 * Takes the head off the queue, or one of its count.
 */
void
queue_pop(Tracker *tracker)
{
	Queue *queue = &tracker->queue;
	QueueEntry *head = queue_at(queue, 0);

	queue->answered++;
	if (--head->count > 0)
		return;
	entry_free(tracker, head);
	queue->head = (queue->head + 1) & (queue->cap - 1);
	queue->count--;
}

/*
 * Adds an unanswered message.  Takes over what the entry owns.  Returns false
 * where the queue is too long: extended messages are not told apart then.
 */
bool
queue_push(Tracker *tracker, QueueEntry entry)
{
	Queue *queue = &tracker->queue;
	QueueEntry *tail = queue->count ? queue_at(queue, queue->count - 1) : NULL;
	bool answers = queue_is_terminator(&entry);

	if (!answers && queue->count >= TRACKER_QUEUE_LIMIT)
	{
		entry_free(tracker, &entry);
		return false;
	}
	queue->pushed++;
	if (answers)
		queue->owed = queue->pushed;
	if (tail && tail->bare && entry.bare && tail->at == entry.at)
	{
		tail->count++;
		return true;
	}
	if (queue->count == queue->cap && !queue_grow(tracker->env->budget, queue))
	{
		entry_free(tracker, &entry);
		tracker->desynchronised = true;
		return false;
	}
	queue->entries[(queue->head + queue->count++) & (queue->cap - 1)] = entry;
	return true;
}

/*
 * Makes the first Sync of the bare ones at the head an entry of its own, which
 * ends the first exchange of the list.
 */
void
queue_split_bare(Tracker *tracker)
{
	Queue *queue = &tracker->queue;
	QueueEntry *head = queue_at(queue, 0);
	QueueEntry sync = {.id = WIRE_MSG_Sync, .count = 1};

	if (head->count == 1)
	{
		head->bare = false;
		return;
	}
	if (queue->count == queue->cap && !queue_grow(tracker->env->budget, queue))
	{
		tracker->desynchronised = true;
		return;
	}
	queue_at(queue, 0)->count--;
	queue->head = (queue->head - 1) & (queue->cap - 1);
	queue->count++;
	*queue_at(queue, 0) = sync;
}
