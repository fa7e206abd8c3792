/*
 * cause.c
 *	  What a difference came from: itself, or one before it in its session.
 *
 * A difference is a root unless one before it explains it: it lies in the transaction
 * of an error, or what it misses (a statement, cursor, savepoint or table) was to be
 * made by an exchange that failed, or went with a connection.  Which exchange that was
 * is told by the name that the error quotes: the last failed one whose request has it.
 */
#include <ctype.h>
#include <string.h>

#include "replay/child.h"

#define FAILED_TRANSACTION "25P02"
#define UNDEFINED_TABLE "42P01"

/* SQLSTATEs that say that something is not there: statement, cursor, savepoint, transaction. */
static const char *const missing[] = {"26000", "34000", "3B001", "25P01", UNDEFINED_TABLE};

/*
 * Tells whether a SQLSTATE is the given one.
 */
static bool
is_state(WireSpan state, const char *wanted)
{
	return state.len == 5 && memcmp(state.data, wanted, 5) == 0;
}

/*
 * Tells whether an error says that something is not there.
 */
static bool
says_missing(const Evidence *evidence)
{
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
		if (is_state(evidence->sqlstate, missing[i]))
			return true;
	return false;
}

/*
 * Returns the name that an error quotes; empty: none.
 */
static WireSpan
quoted_name(WireSpan text)
{
	const uint8_t *begin = text.len > 0 ? memchr(text.data, '"', text.len) : NULL;
	const uint8_t *end =
	    begin ? memchr(begin + 1, '"', (size_t) (text.data + text.len - begin) - 1) : NULL;

	return end ? (WireSpan){begin + 1, (size_t) (end - begin) - 1} : (WireSpan){NULL, 0};
}

/*
 * Tells whether bytes hold a text here, in capitals or not.
 */
static bool
stands_at(WireSpan bytes, size_t at, WireSpan text)
{
	if (text.len > bytes.len - at)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (tolower(bytes.data[at + i]) != tolower(text.data[i]))
			return false;
	return true;
}

/*
 * Tells whether what stands here is the name of a table that is made.
 */
static bool
is_made_here(WireSpan request, size_t at)
{
	static const char *const words[] = {"table", "exists", "into", "view"};

	while (at > 0 && (isspace(request.data[at - 1]) || request.data[at - 1] == '"'))
		at--;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		WireSpan word = {(const uint8_t *) words[i], strlen(words[i])};

		if (at >= word.len && stands_at(request, at - word.len, word))
			return true;
	}
	return false;
}

/*
 * Tells whether a request makes what has a name, as far as its words tell.
 */
static bool
makes(WireSpan request, WireSpan name, bool is_table)
{
	for (size_t at = 0; at + name.len <= request.len; at++)
		if (stands_at(request, at, name) && (!is_table || is_made_here(request, at)))
			return true;
	return false;
}

/*
 * Tells whether an exchange that failed was to make what an error misses.
 */
static bool
was_to_make(const Player *player, const Failure *failure, const Evidence *evidence)
{
	const PlanExchange *exchange = &player->exchanges[failure->exchange];
	WireSpan request = {player->replay->plan.bytes + exchange->request_at, exchange->request_len};
	WireSpan name = quoted_name(evidence->text);

	/* a query of a table that is missing fails for itself */
	if (name.len == 0)
		return !is_state(evidence->sqlstate, UNDEFINED_TABLE);
	return makes(request, name, is_state(evidence->sqlstate, UNDEFINED_TABLE));
}

/*
 * Finds what made one side's error; -1: nothing that is known.
 */
static int64_t
find_maker(const Player *player, const Evidence *evidence)
{
	uint32_t oldest = player->failed > CAUSE_FAILURES ? player->failed - CAUSE_FAILURES : 0;

	if (!says_missing(evidence))
		return -1;
	for (uint32_t i = player->failed; i > oldest; i--)
	{
		const Failure *failure = &player->failures[(i - 1) % CAUSE_FAILURES];

		if (was_to_make(player, failure, evidence))
			return failure->root_no;
	}
	return player->lost_no;
}

/*
 * Returns the exchange that a difference comes from; see child.h.
 */
int64_t
cause_find(const Player *player, const Difference *difference)
{
	int64_t maker;

	if (player->root_no < 0)
		return -1;
	if (player->root_open && player->root_is_error)
		return player->root_no;
	if (difference->verdict == VERDICT_TRANSACTION_STATE && player->root_open)
		return player->root_no;
	if (difference->verdict == VERDICT_SESSION_LOST && player->root_timed_out)
		return player->root_no; /* who does not answer in time is given up */
	if (is_state(difference->replayed.sqlstate, FAILED_TRANSACTION) ||
	    is_state(difference->captured.sqlstate, FAILED_TRANSACTION))
		return player->root_no;
	maker = find_maker(player, &difference->replayed);
	return maker >= 0 ? maker : find_maker(player, &difference->captured);
}

/*
 * Tells whether a verdict is about an error.
 */
static bool
is_error_verdict(Verdict verdict)
{
	return verdict == VERDICT_ERROR_NEW || verdict == VERDICT_ERROR_CHANGED ||
	       verdict == VERDICT_ERROR_GONE;
}

/*
 * Takes notice of a difference, so that it may explain others; see child.h.
 */
void
cause_note(Player *player, uint32_t exchange, Verdict verdict, int64_t cause)
{
	int64_t own = player->exchanges[exchange].exchange_no;

	if (is_error_verdict(verdict) || verdict == VERDICT_SKIPPED)
		player->failures[player->failed++ % CAUSE_FAILURES] =
		    (Failure){exchange, cause >= 0 ? cause : own};
	if (cause >= 0 && !is_error_verdict(verdict))
		return;
	player->root_no = cause >= 0 ? cause : own;
	player->root_open = true;
	player->root_is_error = is_error_verdict(verdict);
	player->root_timed_out = verdict == VERDICT_TIMEOUT;
}

/*
 * Takes notice that all that was made on a connection is gone with it; see child.h.
 */
void
cause_lost(Player *player)
{
	player->lost_no = player->root_no;
	player->root_open = player->root_timed_out = false;
	player->failed = 0;
}
