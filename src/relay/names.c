/*
 * names.c
 *	  What the names in extended messages stand for: statements and portals, their
 *	  texts, and what the rules of redaction say of those.
 *
 * The maps follow what the server has confirmed.  A message may be read while the
 * server has still to answer others before it; so a statement is looked for among
 * those too, and a portal that one of those may make anew is not known.
 */
#include "relay/redact.h"
#include "relay/tracker.h"

#include <string.h>

#define SEARCHED 256 /* messages, as far back as a driver would send them */

/*
 * Notes that a portal was made of a statement.
 */
void
names_put_portal(Tracker *tracker, QueueEntry *entry, Text *text)
{
	TextPool *texts = tracker->env->texts;

	if (text)
		text->users++;
	if (entry->named)
	{
		entry->named->text = text;
		statement_put(texts, &tracker->portals, entry->named);
		entry->named = NULL;
		return;
	}
	text_release(texts, tracker->unnamed_portal);
	tracker->unnamed_portal = text;
}

/*
 * Returns the text of the statement that a portal was made of; NULL: not known.
 */
Text *
names_portal_text(const Tracker *tracker, const char *name, size_t len)
{
	const Statement *portal;

	if (len == 0)
		return tracker->unnamed_portal;
	portal = statement_find(tracker->env->texts, &tracker->portals, name, len);
	return portal ? portal->text : NULL;
}

/*
 * Drops all portals: the transaction that they lived in is over.
 */
void
names_drop_portals(Tracker *tracker)
{
	if (tracker->portals.named.count > 0)
		statement_drop_all(tracker->env->texts, &tracker->portals);
	text_release(tracker->env->texts, tracker->unnamed_portal);
	tracker->unnamed_portal = NULL;
}

/*
 * Finds the text of a statement that a Bind names: of a Parse that still waits for
 * its answer, as far back as a driver would send it, or else of the map.
 */
static Text *
statement_text(const Tracker *tracker, WireSpan name)
{
	const Queue *queue = &tracker->queue;
	const Statement *statement;

	for (uint32_t back = 1; back <= queue->count && back <= SEARCHED; back++)
	{
		const QueueEntry *entry = queue_at(queue, queue->count - back);

		statement = entry->id == WIRE_MSG_Parse ? entry->statement : NULL;
		if (statement && statement->name_len == name.len &&
		    (name.len == 0 || memcmp(statement->name, name.data, name.len) == 0))
			return statement->text;
	}
	statement = statement_find(tracker->env->texts, &tracker->statements, (const char *) name.data,
	                           name.len);
	return statement ? statement->text : NULL;
}

/*
 * Notes what the rules say of a text.  What a text that redact_queries means made
 * by SQL's own means (DECLARE, PREPARE) is shown by texts that it may not mean.
 */
void
names_note_rules(Tracker *tracker, Exchange *exchange, Text *text)
{
	TextPool *texts = tracker->env->texts;
	uint32_t bits = text_redacts(texts, text);
	bool standard_strings = tracker->standard_strings;

	exchange->redact |= bits;
	if (!text || !texts->rules || !texts->rules->has_queries)
		return;
	if (bits & REDACT_RESULTS)
		tracker->hides_results |=
		    wire_text_names(text->data, text->len, standard_strings, "declare") ||
		    wire_text_names(text->data, text->len, standard_strings, "prepare");
	else if (tracker->hides_results &&
	         (wire_text_names(text->data, text->len, standard_strings, "fetch") ||
	          wire_text_names(text->data, text->len, standard_strings, "execute")))
		exchange->redact |= REDACT_ALL;
}

/*
 * Notes what the rules say of the statement of a Bind.  One that is not known is
 * taken to mean everything.
 */
void
names_note_statement(Tracker *tracker, Exchange *exchange, WireSpan name)
{
	TextPool *texts = tracker->env->texts;

	if (texts->rules && redact_has_rules(texts->rules))
		names_note_rules(tracker, exchange, statement_text(tracker, name));
}

/*
 * Notes what the rules say of the statement of a portal that an earlier exchange
 * made.  While another one may be made before the server comes to it, it is not known;
 * nor where so much waits that looking through it for each Execute would take long.
 */
void
names_note_portal(Tracker *tracker, Exchange *exchange, WireSpan name)
{
	TextPool *texts = tracker->env->texts;
	Text *text = names_portal_text(tracker, (const char *) name.data, name.len);

	if (!texts->rules || !redact_has_rules(texts->rules))
		return;
	if (tracker->queue.count > SEARCHED)
		text = NULL;
	for (uint32_t i = 0; text && i < tracker->queue.count; i++)
		if (queue_at(&tracker->queue, i)->id == WIRE_MSG_Bind)
			text = NULL;
	names_note_rules(tracker, exchange, text);
}
