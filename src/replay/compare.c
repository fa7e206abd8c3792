/*
 * compare.c
 *	  What a captured answer and a replayed one differ in.
 *
 * Two outlines are gone through side by side.  A difference in kind ends that, as
 * what follows has no counterpart; others are given once a statement, and the
 * comparison goes on.
 */
#include "replay/compare.h"

#include <stdlib.h>
#include <string.h>

#include "replay/values.h"

/* An exchange gives no more differences than this. */
#define MAX_DIFFERENCES 16

typedef struct Comparison
{
	const CompareRules *rules;
	CompareTake take;
	void *arg;
	int found;
	int last_statement; /* that a difference was given for */
} Comparison;

/*
 * Returns a verdict's name.
 */
const char *
verdict_name(Verdict verdict)
{
	static const char *const names[VERDICT_COUNT] = {
	    "error_new", "error_changed",     "error_gone", "rows",         "shape",   "order_only",
	    "data",      "transaction_state", "timeout",    "session_lost", "skipped", "cancel_missed",
	};

	return names[verdict];
}

/*
 * Tells whether two spans hold the same bytes.
 */
static bool
is_same(WireSpan a, WireSpan b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/*
 * Says of a unit what a difference shows of it; NULL: it is not there.
 */
static Evidence
describe(const Unit *unit)
{
	Evidence evidence = {.rows = -1, .row_no = -1};
	WireValue values[WIRE_MAX_FIELDS];

	if (!unit)
		return evidence;
	evidence.message = wire_name_of(unit->id);
	if (unit->id == WIRE_MSG_ErrorResponse || unit->id == WIRE_MSG_NoticeResponse)
	{
		wire_error_field(unit->body.data, unit->body.len, 'C', &evidence.sqlstate);
		wire_error_field(unit->body.data, unit->body.len, 'M', &evidence.text);
	}
	else if (unit->id == WIRE_MSG_CommandComplete)
	{
		wire_decode(unit->id, unit->body.data, unit->body.len, values);
		evidence.tag = values[WIRE_CommandComplete_tag].bytes;
		evidence.rows = wire_tag_rows((const char *) evidence.tag.data, evidence.tag.len);
	}
	else if (unit->id == WIRE_MSG_ReadyForQuery && unit->body.len > 0)
		evidence.transaction_status = (char) unit->body.data[0];
	else if (unit->id == WIRE_MSG_DataRow || unit->id == WIRE_MSG_CopyData)
		evidence.rows = (int64_t) unit->count;
	return evidence;
}

/*
 * Gives a difference, unless its statement had one.
 */
static void
give(Comparison *comparison, const Difference *difference)
{
	if (difference->statement_no == comparison->last_statement ||
	    comparison->found >= MAX_DIFFERENCES)
		return;
	comparison->last_statement = difference->statement_no;
	comparison->found++;
	comparison->take(comparison->arg, difference);
}

/*
 * Gives the difference between two units.
 */
static void
give_units(Comparison *comparison, Verdict verdict, const Unit *captured, const Unit *replayed)
{
	Difference difference = {.verdict = verdict,
	                         .statement_no =
	                             replayed ? replayed->statement_no : captured->statement_no,
	                         .captured = describe(captured),
	                         .replayed = describe(replayed)};

	give(comparison, &difference);
}

/*
 * Compares the kinds of two units, either of which may be missing.
 */
static bool
same_kind(Comparison *comparison, const Unit *captured, const Unit *replayed)
{
	bool was_error = captured && captured->id == WIRE_MSG_ErrorResponse;
	bool is_error = replayed && replayed->id == WIRE_MSG_ErrorResponse;
	Verdict verdict = VERDICT_SHAPE;

	if (captured && replayed && captured->id == replayed->id)
		return true;
	if (is_error)
		verdict = VERDICT_ERROR_NEW;
	else if (was_error)
		verdict = VERDICT_ERROR_GONE;
	else if ((captured && captured->id == WIRE_MSG_DataRow) ||
	         (replayed && replayed->id == WIRE_MSG_DataRow))
	{
		/* rows where there were none: that is for level 2 */
		if (comparison->rules->level < 2)
			return false;
		verdict = VERDICT_ROWS;
	}
	give_units(comparison, verdict, captured, replayed);
	return false;
}

/*
 * Finds the tag without the numbers at its end.
 */
static size_t
tag_word(WireSpan tag)
{
	size_t len = tag.len;

	while (len > 0 &&
	       ((tag.data[len - 1] >= '0' && tag.data[len - 1] <= '9') || tag.data[len - 1] == ' '))
		len--;
	return len;
}

/*
 * Compares two command tags.
 */
static Verdict
compare_tags(WireSpan captured, WireSpan replayed)
{
	size_t word = tag_word(captured);

	if (is_same(captured, replayed))
		return VERDICT_COUNT;
	if (word == tag_word(replayed) && memcmp(captured.data, replayed.data, word) == 0)
		return VERDICT_ROWS;
	return VERDICT_SHAPE;
}

/*
 * Tells whether two types are the same: those of users by their names.
 */
static bool
same_type(const CompareRules *rules, uint32_t captured, uint32_t replayed)
{
	return types_are_same(rules->captured_types, captured, rules->replayed_types, replayed);
}

/*
 * Puts a column into a difference.
 */
static void
show_column(Evidence *evidence, const OutlineColumn *column, const UserTypes *types)
{
	evidence->column = column->name;
	evidence->type = column->type;
	evidence->type_name = types_find(types, column->type);
}

/* Two RowDescriptions side by side. */
typedef struct ColumnPair
{
	uint32_t had; /* columns */
	uint32_t has;
	OutlineColumn before; /* the first that differ */
	OutlineColumn after;
} ColumnPair;

/*
 * Finds the first columns of two RowDescriptions that differ; false: all that both have
 * are the same.  Where a column comes from is no difference: tables have other OIDs there.
 */
static bool
find_column(const CompareRules *rules, WireSpan captured, WireSpan replayed, ColumnPair *pair)
{
	WireCursor left;
	WireCursor right;

	*pair = (ColumnPair){.had = 0};
	if (!outline_columns(captured, &left, &pair->had) ||
	    !outline_columns(replayed, &right, &pair->has))
		return false;
	for (uint32_t i = 0; i < pair->had && i < pair->has; i++)
	{
		if (!outline_column(&left, &pair->before) || !outline_column(&right, &pair->after))
			return false;
		if (pair->before.format != pair->after.format ||
		    !is_same(pair->before.name, pair->after.name) ||
		    !same_type(rules, pair->before.type, pair->after.type))
			return true;
	}
	return false;
}

/*
 * Compares two RowDescriptions.  Gives what differs first.
 */
static void
compare_columns(Comparison *comparison, const Unit *captured, const Unit *replayed)
{
	const CompareRules *rules = comparison->rules;
	Difference difference = {.verdict = VERDICT_SHAPE, .statement_no = replayed->statement_no};
	ColumnPair pair;
	bool is_found = find_column(rules, captured->body, replayed->body, &pair);

	if (!is_found && pair.had == pair.has)
		return;
	difference.captured = describe(captured);
	difference.replayed = describe(replayed);
	if (is_found)
	{
		show_column(&difference.captured, &pair.before, rules->captured_types);
		show_column(&difference.replayed, &pair.after, rules->replayed_types);
	}
	else
	{
		difference.captured.reason = difference.replayed.reason = "number of columns";
		difference.captured.rows = pair.had;
		difference.replayed.rows = pair.has;
	}
	give(comparison, &difference);
}

/*
 * Compares two ParameterDescriptions.
 */
static bool
same_parameters(const CompareRules *rules, const Unit *captured, const Unit *replayed)
{
	WireCursor left = {captured->body.data, captured->body.len, 0};
	WireCursor right = {replayed->body.data, replayed->body.len, 0};
	uint32_t before;
	uint32_t after;

	if (captured->body.len != replayed->body.len)
		return false;
	cursor_integer(&left, 2, &before);
	cursor_integer(&right, 2, &after);
	while (cursor_integer(&left, 4, &before) && cursor_integer(&right, 4, &after))
		if (!same_type(rules, before, after))
			return false;
	return true;
}

/*
 * Tells whether two runs of COPY data differ in more than what the record masked.
 */
static bool
copies_differ(const Unit *captured, const Unit *replayed)
{
	size_t left = 0;
	size_t right = 0;
	WireSpan before;
	WireSpan after;

	while (outline_run_next(captured->run, &left, &before) &&
	       outline_run_next(replayed->run, &right, &after))
		if (!is_same(before, after) && !value_is_masked(before, after))
			return true;
	return false;
}

/*
 * Compares two runs of rows or COPY data.
 */
static void
compare_runs(Comparison *comparison, const Unit *captured, const Unit *replayed)
{
	const CompareRules *rules = comparison->rules;
	Difference difference = {.verdict = VERDICT_DATA,
	                         .statement_no = replayed->statement_no,
	                         .captured = describe(captured),
	                         .replayed = describe(replayed)};

	if (rules->level >= 2 && captured->count != replayed->count)
		difference.verdict = VERDICT_ROWS;
	else if (rules->level < 4 || captured->digest == replayed->digest)
		return;
	else if (captured->set_digest == replayed->set_digest)
		difference.verdict = VERDICT_ORDER_ONLY;
	else if (captured->id == WIRE_MSG_DataRow
	             ? !values_differ(rules, captured, replayed, &difference)
	             : !copies_differ(captured, replayed))
		return;
	difference.captured.has_digest = difference.replayed.has_digest = rules->level >= 4;
	difference.captured.digest = captured->digest;
	difference.replayed.digest = replayed->digest;
	give(comparison, &difference);
}

/*
 * Compares two units of one kind.
 */
static void
compare_units(Comparison *comparison, const Unit *captured, const Unit *replayed)
{
	int level = comparison->rules->level;
	Evidence before = describe(captured);
	Evidence after = describe(replayed);
	Verdict verdict = VERDICT_COUNT;

	switch (captured->id)
	{
		case WIRE_MSG_ErrorResponse:
			if (!is_same(before.sqlstate, after.sqlstate))
				verdict = VERDICT_ERROR_CHANGED;
			break;
		case WIRE_MSG_ReadyForQuery:
			if (before.transaction_status != after.transaction_status)
				verdict = VERDICT_TRANSACTION_STATE;
			break;
		case WIRE_MSG_CommandComplete:
			if (level >= 2)
				verdict = compare_tags(before.tag, after.tag);
			break;
		case WIRE_MSG_RowDescription:
			if (level >= 3)
				compare_columns(comparison, captured, replayed);
			break;
		case WIRE_MSG_ParameterDescription:
			if (level >= 3 && !same_parameters(comparison->rules, captured, replayed))
				verdict = VERDICT_SHAPE;
			break;
		case WIRE_MSG_CopyInResponse:
		case WIRE_MSG_CopyOutResponse:
			if (level >= 3 && !is_same(captured->body, replayed->body))
				verdict = VERDICT_SHAPE;
			break;
		case WIRE_MSG_FunctionCallResponse:
			if (level >= 4 && !is_same(captured->body, replayed->body))
				verdict = VERDICT_DATA;
			break;
		case WIRE_MSG_DataRow:
		case WIRE_MSG_CopyData:
			compare_runs(comparison, captured, replayed);
			break;
		default:
			break;
	}
	if (verdict != VERDICT_COUNT)
		give_units(comparison, verdict, captured, replayed);
}

/*
 * Compares the notices of two answers by their SQLSTATE.
 */
static void
compare_notices(Comparison *comparison, const Answer *captured, const Answer *replayed)
{
	Outline left;
	Outline right;
	Unit before;
	Unit after;
	bool had;
	bool has;

	outline_begin(&left, captured->bytes, true, NULL);
	outline_begin(&right, replayed->bytes, true, NULL);
	do
	{
		had = outline_next(&left, &before);
		has = outline_next(&right, &after);
		if (had != has || (had && !is_same(describe(&before).sqlstate, describe(&after).sqlstate)))
		{
			give_units(comparison, VERDICT_SHAPE, had ? &before : NULL, has ? &after : NULL);
			return;
		}
	} while (had && has);
}

/*
 * Finds the error that ends a statement; false: it ends without one.
 */
static bool
find_error(Outline ahead, int statement_no, Unit *error)
{
	while (outline_next(&ahead, error) && error->statement_no == statement_no)
		if (error->id == WIRE_MSG_ErrorResponse)
			return true;
	return false;
}

/*
 * Puts an error in a unit's place where two units differ because the statement ends with
 * it, on one side alone: fewer rows, or none, are what comes of it.
 */
static void
look_for_error(const Outline *left, Unit *before, const Outline *right, Unit *after)
{
	Unit was;
	Unit is;
	bool had;
	bool has;

	if ((before->id == after->id && before->count == after->count) ||
	    before->id == WIRE_MSG_ErrorResponse || after->id == WIRE_MSG_ErrorResponse)
		return;
	had = find_error(*left, before->statement_no, &was);
	has = find_error(*right, after->statement_no, &is);
	if (has && !had)
		*after = is;
	else if (had && !has)
		*before = was;
}

/*
 * Compares two answers of which all bytes are there.
 */
static void
compare_bytes(Comparison *comparison, const Answer *captured, const Answer *replayed)
{
	Outline left;
	Outline right;
	Unit before;
	Unit after;

	outline_begin(&left, captured->bytes, false, &comparison->rules->ignore);
	outline_begin(&right, replayed->bytes, false, &comparison->rules->ignore);
	for (;;)
	{
		bool had = outline_next(&left, &before);
		bool has = outline_next(&right, &after);

		if (!had && !has)
			break;
		if (had && has)
			look_for_error(&left, &before, &right, &after);
		if (!same_kind(comparison, had ? &before : NULL, has ? &after : NULL))
		{
			bool had_run = had && before.id == WIRE_MSG_DataRow;
			bool has_run = has && after.id == WIRE_MSG_DataRow;

			/* with no rows on one side the rest may well agree */
			if (had_run == has_run || !had || !has || (had_run && !outline_next(&left, &before)) ||
			    (has_run && !outline_next(&right, &after)) || before.id != after.id)
				break;
		}
		compare_units(comparison, &before, &after);
	}
	if (comparison->rules->level >= 3 && comparison->found == 0)
		compare_notices(comparison, captured, replayed);
}

/*
 * Tells whether two answers are message for message the same, as most are.  False: they
 * may be, for who looks closer.
 */
static bool
says_the_same(const CompareRules *rules, WireSpan captured, WireSpan replayed)
{
	ColumnPair pair;
	WireSpan before;
	WireSpan after;
	uint8_t had = 0;
	uint8_t has = 0;
	size_t left = 0;
	size_t right = 0;

	if (!rules->types_agree)
		return false;
	while (left < captured.len && right < replayed.len)
	{
		size_t size = outline_split(captured, left, &had, &before);
		size_t other = outline_split(replayed, right, &has, &after);

		if (size == 0 || other == 0 || had != has)
			return false;
		left += size;
		right += other;
		if (is_same(before, after))
			continue;
		if (had != 'T' || find_column(rules, before, after, &pair) || pair.had != pair.has)
			return false;
	}
	return left == captured.len && right == replayed.len;
}

/*
 * Says of an answer's columns what a difference shows of it.
 */
static Evidence
describe_columns(const Answer *answer)
{
	Evidence evidence = {.rows = answer->row_count,
	                     .row_no = -1,
	                     .tag = answer->tag,
	                     .transaction_status = answer->transaction_status,
	                     .has_digest = answer->has_digest,
	                     .digest = answer->row_digest};

	if (answer->sqlstate[0])
		evidence.sqlstate = (WireSpan){(const uint8_t *) answer->sqlstate, 5};
	return evidence;
}

/*
 * Compares the rows of two answers by their columns.
 */
static Verdict
compare_digests(const Answer *captured, const Answer *replayed)
{
	/* there are as many rows; of data of a COPY that were redacted there is no digest */
	if (!captured->has_digest || !replayed->has_digest ||
	    captured->row_digest == replayed->row_digest)
		return VERDICT_COUNT;
	return captured->row_set_digest == replayed->row_set_digest ? VERDICT_ORDER_ONLY : VERDICT_DATA;
}

/*
 * Compares two answers by their columns.
 */
static Verdict
compare_by_columns(int level, const Answer *captured, const Answer *replayed)
{
	Verdict verdict;

	if (memcmp(captured->sqlstate, replayed->sqlstate, 5) != 0)
		return captured->sqlstate[0] == 0   ? VERDICT_ERROR_NEW
		       : replayed->sqlstate[0] == 0 ? VERDICT_ERROR_GONE
		                                    : VERDICT_ERROR_CHANGED;
	if (captured->transaction_status != replayed->transaction_status)
		return VERDICT_TRANSACTION_STATE;
	if (level < 2)
		return VERDICT_COUNT;
	verdict = compare_tags(captured->tag, replayed->tag);
	if (verdict != VERDICT_COUNT)
		return verdict;
	if (captured->statement_count != replayed->statement_count)
		return VERDICT_SHAPE;
	if (captured->row_count != replayed->row_count ||
	    captured->data_row_count != replayed->data_row_count)
		return VERDICT_ROWS;
	return level < 4 ? VERDICT_COUNT : compare_digests(captured, replayed);
}

/*
 * Compares two answers of which not all bytes are there.
 */
static void
give_columns(Comparison *comparison, const Answer *captured, const Answer *replayed)
{
	Difference difference = {.verdict =
	                             compare_by_columns(comparison->rules->level, captured, replayed),
	                         .statement_no = 1,
	                         .captured = describe_columns(captured),
	                         .replayed = describe_columns(replayed)};

	difference.captured.reason = difference.replayed.reason =
	    "compared by columns: not all bytes were kept";
	if (difference.verdict != VERDICT_COUNT)
		give(comparison, &difference);
}

/*
 * Gives each difference; see compare.h.  Most answers are the same, byte for byte.
 */
int
compare_answers(const CompareRules *rules, const Answer *captured, const Answer *replayed,
                CompareTake take, void *arg)
{
	Comparison comparison = {.rules = rules, .take = take, .arg = arg, .last_statement = -1};

	if (rules->level < 1)
		return 0;
	if (!captured->is_whole || !replayed->is_whole)
		give_columns(&comparison, captured, replayed);
	else if (!says_the_same(rules, captured->bytes, replayed->bytes))
		compare_bytes(&comparison, captured, replayed);
	return comparison.found;
}
