/*
 * rules.c
 *	  What the administrator's rules of redaction mean for a session and its
 *	  exchanges.
 *
 * A session's backend says in its slot which columns and types of its database the
 * rules mean, and how many statements touched one of those columns so far.  Both are
 * looked at when an exchange is recorded: the backend has said it before it
 * answered.  It may be ahead of us by all that was sent to it; so when the count has
 * risen, all exchanges that wait for their answers count as having touched one.
 */
#include <string.h>

#include "relay/process.h"

/*
 * Takes what the backend has looked up, if it has again.
 */
static void
take_columns(Session *session, const BoardRedaction *redaction)
{
	Budget *budget = &session->relay->budget;
	RedactColumns columns;

	if (atomic_load(&redaction->version) == session->redaction_version &&
	    atomic_load(&redaction->rules_hash) == session->redaction_hash)
		return;
	session->redaction_version = atomic_load(&redaction->version);
	session->redaction_hash = 0;
	if (!redact_copy(&columns, redaction) || columns.rules_hash == 0)
		return;
	if (columns.column_count + columns.type_count == 0)
	{
		budget_free(budget, session->redaction, sizeof(columns));
		session->redaction = NULL;
	}
	else if (session->redaction || (session->redaction = budget_alloc(budget, sizeof(columns))))
		*session->redaction = columns;
	else
		return;
	session->redaction_hash = columns.rules_hash;
}

/*
 * Takes from the slot what the backend says of the rules.
 */
void
rules_follow(Session *session)
{
	const BoardRedaction *redaction;
	uint32_t touched;

	if (!session->relay->rules.has_columns || session->slot < 0)
		return;
	redaction = &session->relay->board->slots[session->slot].redaction;
	take_columns(session, redaction);
	touched = atomic_load(&redaction->touched);
	if (touched == session->touched)
		return;
	session->touched = touched;
	for (Exchange *exchange = session->tracker.first; exchange; exchange = exchange->next)
		exchange->redact |= REDACT_STATEMENT;
}

/*
 * Tells whether the backend has said what the present rules mean.
 */
bool
rules_are_known(const Session *session)
{
	const RedactRules *rules = &session->relay->rules;

	return !rules->has_columns || session->redaction_hash == rules->columns_hash;
}

/*
 * Takes out of the message of an error what it may quote of values, as if it stood
 * in its own ErrorResponse.
 */
static void
redact_message(Budget *budget, Exchange *exchange)
{
	Buffer *message = &exchange->error_message;
	Buffer body = {NULL, 0, 0};

	if (message->len > 0 && buffer_append(budget, &body, "C", 1) &&
	    buffer_append(budget, &body, exchange->sqlstate, 5) &&
	    buffer_append(budget, &body, "\0M", 2) &&
	    buffer_append(budget, &body, message->data, message->len))
	{
		exchange->is_redacted |= redact_error(exchange->redact, body.data, body.len);
		memcpy(message->data, body.data + 8, message->len);
	}
	else
		message->len = 0;
	buffer_free(budget, &body);
}

/*
 * Takes out of an exchange what the rules say.
 */
void
rules_apply(Session *session, Exchange *exchange)
{
	Relay *relay = session->relay;
	const RedactRules *rules = &relay->rules;
	uint32_t touched = session->touched;
	uint32_t bits;

	if (!redact_has_rules(rules) || (exchange->has & (HAS_STARTUP | HAS_CANCEL)))
		return;
	rules_follow(session);
	if (session->touched != touched)
		exchange->redact |= REDACT_STATEMENT;
	if (!rules_are_known(session))
		exchange->redact |= REDACT_ALL;
	bits = exchange->redact;
	if ((rules->has_columns || rules->has_queries) && session->is_replication)
		bits |= REDACT_ALL;
	if (bits & REDACT_STATEMENT)
		redact_message(&relay->budget, exchange);
	if (bits || session->redaction)
		redact_exchange(exchange, bits, session->redaction, session->tracker.standard_strings,
		                relay->env.digest_seed);
}
