/*
 * judge.c
 *	  What ended, how it compares, and what a difference came from.
 *
 * The tracker's exchanges are matched with the plan's by the bytes of their
 * requests.  Several of the one may be one of the other: where the capture failed
 * and the server skipped, the replay may not, and the reverse.
 *
 * What a difference came from is told by cause.c.
 */
#include <stdlib.h>
#include <string.h>

#include "relay/process.h"
#include "replay/child.h"

#define MEMORY (512UL * 1024 * 1024)

#define QUERY_CANCELED "57014"

#define READY_SIZE 6 /* bytes of ReadyForQuery */

/* Where differences of an exchange go. */
typedef struct Judgement
{
	Player *player;
	const PlanExchange *exchange;
	bool found_root;
} Judgement;

/*
 * Takes a text that came in a Parse: nobody wants it.
 */
static void
ignore_text(Tracker *tracker, Text *text)
{
	(void) tracker;
	(void) text;
}

/*
 * Takes notice of the first ReadyForQuery: libpq had it.
 */
static void
ignore_ready(Tracker *tracker)
{
	(void) tracker;
}

/*
 * Takes a part of an exchange; there are none, as no interval is set.
 */
static void
ignore_part(Tracker *tracker, Exchange *exchange)
{
	(void) tracker;
	(void) exchange;
}

/*
 * Prepares what the sessions' trackers share.
 */
void
judge_begin(Replay *replay)
{
	replay->budget.limit = MEMORY;
	replay->texts.budget = replay->pool.budget = &replay->budget;
	replay->texts.keeps_none = true;
	replay->pool.texts = &replay->texts;
	replay->env =
	    (TrackerEnv){.budget = &replay->budget,
	                 .texts = &replay->texts,
	                 .exchanges = &replay->pool,
	                 .response_limit = replay->settings.compare > 0 ? PLAN_RESPONSE_KEPT : 0,
	                 .keeps_bytes = true,
	                 .digest_seed = replay->settings.digest_seed,
	                 .finished = judge_finished,
	                 .part_finished = ignore_part,
	                 .text_seen = ignore_text,
	                 .ready = ignore_ready};
	replay->rules = (CompareRules){.level = replay->settings.compare,
	                               .float_tolerance = replay->settings.float_tolerance,
	                               .ignore = {.names = replay->settings.ignored}};
}

/*
 * Reports a difference of an exchange, with what it came from.
 */
static void
take_difference(void *arg, const Difference *difference)
{
	Judgement *judgement = arg;
	Player *player = judgement->player;
	int64_t cause = cause_find(player, difference);

	if (judgement->found_root && cause < 0)
		cause = player->root_no; /* of the same exchange: the first explains the rest */
	if (cause == judgement->exchange->exchange_no && !judgement->found_root)
		cause = -1;
	report_difference(player, judgement->exchange->exchange_no, cause, difference);
	cause_note(player, (uint32_t) (judgement->exchange - player->exchanges), difference->verdict,
	           cause);
	if (cause < 0)
		judgement->found_root = true;
}

/*
 * Returns the captured answer of an exchange of the plan.
 */
static Answer
captured_answer(const Player *player, const PlanExchange *exchange)
{
	Answer answer = {
	    .bytes = {player->replay->plan.bytes + exchange->response_at, exchange->response_len},
	    .is_whole = !exchange->is_truncated,
	    .is_complete = exchange->is_complete,
	    .transaction_status = exchange->transaction_status,
	    .tag = {(const uint8_t *) exchange->tag, exchange->tag_len},
	    .statement_count = exchange->statement_count,
	    .row_count = exchange->row_count,
	    .data_row_count = exchange->data_row_count,
	    .has_digest = exchange->has_digest,
	    .row_digest = exchange->row_digest,
	    .row_set_digest = exchange->row_set_digest};

	memcpy(answer.sqlstate, exchange->sqlstate, sizeof(answer.sqlstate));
	return answer;
}

/*
 * Returns the answer that a tracker's exchange holds.
 */
static Answer
replayed_answer(const Exchange *exchange)
{
	Answer answer = {.bytes = {exchange->response.kept.data, exchange->response.kept.len},
	                 .is_whole = exchange->response.kept.len == exchange->response.bytes,
	                 .is_complete = exchange->is_complete,
	                 .transaction_status = exchange->transaction_status,
	                 .tag = {(const uint8_t *) exchange->tag, exchange->tag_len},
	                 .statement_count = exchange->statement_count,
	                 .row_count = exchange->row_count,
	                 .data_row_count = exchange->data_row_count,
	                 .has_digest = exchange->has_digest,
	                 .row_digest = exchange->row_digest,
	                 .row_set_digest = exchange->row_set_digest};

	memcpy(answer.sqlstate, exchange->sqlstate, sizeof(answer.sqlstate));
	return answer;
}

/*
 * Reports that an exchange of the plan was sent, and how it went until a monotonic time.
 */
static void
report_exchange(Player *player, const PlanExchange *exchange, const Moment *moment, int64_t at,
                const Answer *answer, int differences)
{
	LinkExchange record = {.session_id = player->plan->session_id,
	                       .exchange_no = exchange->exchange_no,
	                       .sent_at = moment->sent + player->replay->wall_offset,
	                       .duration_us = at - moment->sent,
	                       .late_us = -1,
	                       .target_late_us = -1,
	                       .differences = differences};

	if (moment->ready >= 0)
	{
		record.late_us = moment->late;
		record.target_late_us = schedule_real(player->replay, moment->ready - exchange->started_us);
	}
	if (answer)
	{
		record.is_answered = true;
		record.row_count = answer->row_count;
		record.has_digest = answer->has_digest;
		record.row_digest = answer->row_digest;
		memcpy(record.sqlstate, answer->sqlstate, sizeof(record.sqlstate));
	}
	report_put(player->replay, LINK_EXCHANGE, &record, sizeof(record), NULL, 0);
}

/*
 * Takes notice that the first exchange in flight has ended, at a monotonic time.
 */
static void
end_exchange(Player *player, int64_t at)
{
	uint32_t ended = player->done++;

	player->moments[ended].done = schedule_at(player->replay, at);
	player->done_end += player->exchanges[ended].request_len;
	order_ended(player, ended);
	cancel_missed(player, ended);
	cancel_check(player);
}

/*
 * Tells whether an exchange came to its end that a cancel request ended when it was
 * captured: then there is nothing to compare.
 */
static bool
misses_cancel(const Player *player, const PlanExchange *exchange, const Answer *replayed)
{
	return player->replay->rules.level > 0 && exchange->cancel_us >= 0 &&
	       memcmp(exchange->sqlstate, QUERY_CANCELED, 5) == 0 && replayed->sqlstate[0] == 0;
}

/*
 * Reports that a cancel request missed its exchange.
 */
static int
judge_missed(Judgement *judgement, const Answer *replayed)
{
	const Player *player = judgement->player;
	Difference difference = {
	    .verdict = VERDICT_CANCEL_MISSED,
	    .captured = {.rows = -1,
	                 .row_no = -1,
	                 .sqlstate = {(const uint8_t *) judgement->exchange->sqlstate, 5}},
	    .replayed = {.rows = -1, .row_no = -1, .tag = replayed->tag}};

	difference.replayed.reason = player->moments[player->done].is_cancelled
	                                 ? "the cancel request came too late"
	                                 : "it had ended before the cancel request was due";
	take_difference(judgement, &difference);
	return 1;
}

/*
 * Judges the answer to the first exchange in flight, which came when the tracker last
 * saw bytes.
 */
static void
judge(Player *player, const Answer *replayed)
{
	const PlanExchange *exchange = &player->exchanges[player->done];
	Answer captured = captured_answer(player, exchange);
	Judgement judgement = {.player = player, .exchange = exchange};
	CompareRules *rules = &player->replay->rules;
	const UserTypes *types = &player->replay->target_types[player->plan->conninfo];
	int found = 0;

	player->attempts = 0;
	rules->captured_types = player->plan->knows_types ? &player->replay->captured_types : NULL;
	rules->replayed_types = types;
	rules->types_agree = !rules->captured_types || !types->is_whole || types->agrees;
	rules->ignore.more = exchange->noise_at == 0
	                         ? NULL
	                         : (const char *) player->replay->plan.bytes + exchange->noise_at - 1;
	if (misses_cancel(player, exchange, replayed))
		found = judge_missed(&judgement, replayed);
	else if (exchange->is_complete)
		found = compare_answers(&player->replay->rules, &captured, replayed, take_difference,
		                        &judgement);
	report_exchange(player, exchange, &player->moments[player->done], player->tracker.now, replayed,
	                found);
	if (captured.transaction_status == 'I' && replayed->transaction_status == 'I')
		player->root_open = false;
	end_exchange(player, player->tracker.now);
}

/*
 * Judges an exchange that the target passed over, as one before it in the same
 * pipeline failed.
 */
static void
judge_covered(Player *player, int64_t covered_by)
{
	const PlanExchange *exchange = &player->exchanges[player->done];
	Difference difference = {
	    .verdict = VERDICT_SKIPPED,
	    .captured = {.rows = -1, .row_no = -1},
	    .replayed = {.rows = -1, .row_no = -1, .reason = "passed over after an error before it"}};
	int found = 0;

	if (player->replay->rules.level > 0)
	{
		report_difference(player, exchange->exchange_no, covered_by, &difference);
		cause_note(player, player->done, VERDICT_SKIPPED, covered_by);
		found = 1;
	}
	report_exchange(player, exchange, &player->moments[player->done], player->tracker.now, NULL,
	                found);
	end_exchange(player, player->tracker.now);
}

/*
 * Adds an answer to what there is of the one in flight.
 */
static void
add_piece(Player *player, const Answer *piece)
{
	Pieces *pieces = &player->pieces;
	Answer *answer = &pieces->answer;

	if (pieces->count++ == 0)
	{
		*answer = *piece;
		answer->bytes = (WireSpan){NULL, 0};
	}
	else
	{
		answer->transaction_status = piece->transaction_status;
		if (answer->sqlstate[0] == 0)
			memcpy(answer->sqlstate, piece->sqlstate, sizeof(answer->sqlstate));
		answer->statement_count += piece->statement_count;
		answer->row_count += piece->row_count;
		answer->data_row_count += piece->data_row_count;
		answer->is_whole &= piece->is_whole;
		answer->is_complete &= piece->is_complete;
		if (piece->has_digest)
			answer->has_digest = true;
	}
	if (piece->tag.len > 0)
		memcpy(pieces->tag, piece->tag.data, piece->tag.len);
	if (piece->tag.len > 0 || pieces->count == 1)
		answer->tag = (WireSpan){(const uint8_t *) pieces->tag, piece->tag.len};
	if (!buffer_append(&player->replay->budget, &pieces->bytes, piece->bytes.data,
	                   piece->bytes.len))
		answer->is_whole = false;
	answer->bytes = (WireSpan){pieces->bytes.data, pieces->bytes.len};
}

/*
 * Judges what is there of the answer in flight, and forgets it.
 */
static void
judge_pieces(Player *player)
{
	Pieces *pieces = &player->pieces;

	judge(player, &pieces->answer);
	buffer_reset(&player->replay->budget, &pieces->bytes, 0);
	pieces->count = 0;
}

/*
 * Says of an answer in a transaction of the replay's own what it would be without that:
 * the server is idle behind it.
 */
static void
unwrap(const Player *player, Exchange *exchange, Answer *answer)
{
	Buffer *kept = &exchange->response.kept;

	if (player->done >= player->plan->count ||
	    player->exchanges[player->done].transaction_status != 'I' || !answer->transaction_status)
		return;
	answer->transaction_status = 'I';
	if (kept->len >= READY_SIZE && kept->data[kept->len - READY_SIZE] == 'Z')
		kept->data[kept->len - 1] = 'I';
}

/*
 * Takes an exchange of the tracker's that has ended.  What the server says by itself
 * is no answer; one that did not come to its end is in flight until the session ends.
 */
void
judge_finished(Tracker *tracker, Exchange *exchange)
{
	Player *player = (Player *) ((char *) tracker - offsetof(Player, tracker));
	Answer answer = replayed_answer(exchange);
	int64_t covered_by;

	if (exchange->transaction_status)
		player->status = exchange->transaction_status;
	if (player->is_wrapped)
		unwrap(player, exchange, &answer);
	if (player->aside.kind != ASIDE_NONE)
		aside_answered(player, exchange);
	else if (player->state == PLAYER_RUNNING && exchange->has != 0 && exchange->is_complete)
	{
		uint64_t end;

		player->live_end += exchange->request.bytes;
		end = player->done_end + player->exchanges[player->done].request_len;
		if (player->done == player->at || player->live_end < end)
			add_piece(player, &answer);
		else
		{
			covered_by = player->exchanges[player->done].exchange_no;
			if (player->pieces.count == 0)
				judge(player, &answer);
			else
			{
				add_piece(player, &answer);
				judge_pieces(player);
			}
			while (player->done < player->at && player->exchanges[player->done].request_len > 0 &&
			       player->live_end >=
			           player->done_end + player->exchanges[player->done].request_len)
				judge_covered(player, covered_by);
		}
	}
	exchange_release(tracker->env->exchanges, exchange);
}

/*
 * Takes notice that the server owes nothing: then all that was sent has ended.
 */
void
judge_idle(Player *player)
{
	int64_t covered_by;

	if (player->aside.kind != ASIDE_NONE || player->tracker.first ||
	    player->tracker.queue.count > 0 || player->offset > 0 || player->done >= player->at ||
	    player->pieces.count == 0)
		return;
	covered_by = player->exchanges[player->done].exchange_no;
	judge_pieces(player);
	while (player->done < player->at)
		judge_covered(player, covered_by);
	player->live_end = player->sent_end;
}

/*
 * Ends what is in flight without an answer.
 */
void
judge_broken(Player *player, Verdict verdict, const char *reason)
{
	Difference difference = {.verdict = verdict,
	                         .captured = {.rows = -1, .row_no = -1},
	                         .replayed = {.rows = -1, .row_no = -1, .reason = reason}};
	Judgement judgement = {.player = player};
	int64_t now = clock_monotonic();

	if (player->state == PLAYER_RUNNING && player->offset > 0)
		player_note_sent(player); /* a part of it was: that counts */
	if (player->done == player->at && player->done < player->plan->count &&
	    verdict != VERDICT_COUNT)
	{
		judgement.exchange = &player->exchanges[player->done];
		take_difference(&judgement, &difference);
	}
	while (player->done < player->at)
	{
		judgement.exchange = &player->exchanges[player->done];
		if (verdict != VERDICT_COUNT && judgement.exchange->is_complete)
			take_difference(&judgement, &difference);
		report_exchange(player, judgement.exchange, &player->moments[player->done], now, NULL,
		                verdict != VERDICT_COUNT);
		end_exchange(player, now);
	}
}
