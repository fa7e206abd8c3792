/*
 * rest.c
 *	  Statements whose answers were not kept.
 *
 * Past a limit bytes are left out, but the relay counts on: how many statements were
 * run, their rows in all, the last command tag, the first error.  So it is known that
 * they ran, from the requests what they were, and of the last one how it ended.
 */
#include "read/follow.h"

#include "miscadmin.h"
#include "wire/wire.h"

/*
 * Takes requests off the queue up to one that runs something; false: there is none.
 */
static bool
find_runnable(ReadFollow *follow)
{
	Request *head;

	while ((head = follow_head(follow)))
	{
		if (head->id == WIRE_MSG_Execute || head->id == WIRE_MSG_FunctionCall)
			return true;
		if (head->id != WIRE_MSG_Query)
			follow_apply(follow);
		else if (follow->is_split && follow->piece >= follow->piece_count)
		{
			follow->is_split = false;
			follow->head++;
		}
		else
			return true;
	}
	return false;
}

/*
 * Sets how the last statement of an exchange ended: what the exchange's row says,
 * less what is known of the others.
 */
static void
conclude_last(ReadFollow *follow)
{
	const ReadExchange *exchange = follow->exchange;
	ReadRun *run = &follow->run;
	int64 rows;

	if (exchange->sqlstate)
	{
		if (!follow->has_error)
		{
			run->sqlstate = exchange->sqlstate;
			run->error_message = exchange->error_message;
		}
		return;
	}
	/* with a row limit it may have been suspended; without a tag it was empty */
	if (run->max_rows > 0 || !exchange->command_tag)
		return;
	run->command_tag = exchange->command_tag;
	rows = wire_tag_rows(exchange->command_tag, strlen(exchange->command_tag));
	if (rows >= 0)
		run->row_count = rows;
}

/*
 * Splits the text that the exchange's row has, where no bytes were kept.
 */
static void
use_row_text(ReadFollow *follow)
{
	const ReadExchange *exchange = follow->exchange;

	if (follow->count > 0 || exchange->has_bytes || !exchange->query ||
	    strcmp(exchange->kind, "query") != 0)
		return;
	follow->text = exchange->query;
	follow->piece_count = read_split(exchange->query, strlen(exchange->query),
	                                 follow->session->standard_strings, &follow->pieces);
	follow->is_split = follow->piece_count >= exchange->statement_count;
}

/*
 * Gives a run what the exchange's row says, where no request is known.
 */
static void
describe_by_row(ReadFollow *follow)
{
	const ReadExchange *exchange = follow->exchange;
	ReadRun *run = &follow->run;

	if (follow->is_split && follow->text && run->kind == READ_RUN_NONE && !exchange->has_bytes)
	{
		const ReadPiece *piece = &follow->pieces[follow->piece++];

		run->query = pnstrdup(follow->text + piece->begin, piece->end - piece->begin);
	}
	else if (run->kind == READ_RUN_NONE && run->statement_no == 1)
		run->query = exchange->query;
	if (run->kind == READ_RUN_NONE && strcmp(exchange->kind, "query") == 0)
		run->kind = READ_RUN_SIMPLE;
}

/*
 * Gives one more statement.
 */
static void
give_one(ReadFollow *follow, bool is_last)
{
	if (!follow->is_running)
	{
		find_runnable(follow);
		follow_begin_run(follow);
		describe_by_row(follow);
	}
	follow->run.is_truncated = true;
	if (is_last)
		conclude_last(follow);
	follow_end_run(follow);
}

/*
 * Brings what is known of prepared statements up to date.
 */
static void
settle_known(ReadFollow *follow)
{
	bool is_sure = follow->is_cut && !follow->is_lost && follow->exchange->is_complete &&
	               !follow->exchange->sqlstate;

	if (!follow->is_cut && !follow->is_lost)
		return;
	while (is_sure && find_runnable(follow))
	{
		follow->head++;
		follow->is_split = false;
	}
	/* requests that were cut off, and errors, leave it open what the server has */
	if (!is_sure || follow->exchange->is_truncated)
		read_known_doubt(follow->known);
}

/*
 * Gives the statements whose answers were not kept; see follow.h.
 */
void
follow_rest(ReadFollow *follow)
{
	const ReadExchange *exchange = follow->exchange;

	use_row_text(follow);
	while (follow->runs < exchange->statement_count)
	{
		CHECK_FOR_INTERRUPTS();
		give_one(follow, follow->runs + 1 == exchange->statement_count);
	}
	/* a connection that was cut: what was running then has no end */
	if (!exchange->is_complete && !follow->has_error &&
	    (follow->is_running || find_runnable(follow)))
		give_one(follow, false);
	settle_known(follow);
}
