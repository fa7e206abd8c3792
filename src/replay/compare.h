/*
 * compare.h
 *	  What a captured answer and a replayed one differ in, and what that is called.
 *
 * Levels are cumulative: 0 nothing, 1 SQLSTATE, kinds of messages and transaction
 * status, 2 tags, rows and COPY counts, 3 columns and notices, 4 digests of rows,
 * 5 values.  Answers whose bytes are all there are compared unit by unit, and each
 * statement's first difference is given.  Where the record, or the replay, kept
 * only a part, they are compared by the record's columns, which are exact all the
 * same; then what only bytes tell (level 3, and 5) is not.
 *
 * Public routine:
 *		compare_answers
 */
#ifndef REPLAY_COMPARE_H
#define REPLAY_COMPARE_H

#include "replay/outline.h"
#include "replay/types.h"

typedef enum Verdict
{
	VERDICT_ERROR_NEW,
	VERDICT_ERROR_CHANGED,
	VERDICT_ERROR_GONE,
	VERDICT_ROWS,
	VERDICT_SHAPE,
	VERDICT_ORDER_ONLY,
	VERDICT_DATA,
	VERDICT_TRANSACTION_STATE,
	VERDICT_TIMEOUT,
	VERDICT_SESSION_LOST,
	VERDICT_SKIPPED,
	VERDICT_CANCEL_MISSED,
	VERDICT_COUNT
} Verdict;

/* What one side of a difference says; what it does not is empty, or -1. */
typedef struct Evidence
{
	const char *message; /* its kind of message; NULL: none came */
	WireSpan sqlstate;
	WireSpan text; /* of an error or notice */
	WireSpan tag;
	int64_t rows;
	char transaction_status;
	bool has_digest;
	uint64_t digest;
	int64_t row_no; /* the first that differs, from 1 */
	WireSpan column;
	uint32_t column_no; /* from 1, for one without a name; 0: none */
	uint32_t type;
	const char *type_name; /* of a type that a user made; NULL: not known */
	bool has_value;
	bool is_binary;
	WireSpan value; /* NULL where it has no data */
	const char *reason;
} Evidence;

/* Columns of rows that differ, at most: what more there are is not told. */
#define MAX_DIFFERING 16

/* A column that differs somewhere, and digests of all its values. */
typedef struct DifferingColumn
{
	WireSpan name; /* empty: it has none, or nothing describes the rows */
	uint32_t no;   /* from 0 */
	uint64_t captured;
	uint64_t replayed;
} DifferingColumn;

typedef struct Difference
{
	Verdict verdict;
	int statement_no;
	Evidence captured;
	Evidence replayed;
	int column_count;
	DifferingColumn columns[MAX_DIFFERING];
} Difference;

/* An answer, as bytes and as columns. */
typedef struct Answer
{
	WireSpan bytes;
	bool is_whole; /* no byte of it is missing */
	bool is_complete;
	char transaction_status;
	char sqlstate[5];
	WireSpan tag;
	int32_t statement_count;
	int64_t row_count;
	int64_t data_row_count;
	bool has_digest;
	uint64_t row_digest;
	uint64_t row_set_digest;
} Answer;

typedef struct CompareRules
{
	int level;
	double float_tolerance; /* relative; 0: none */
	OutlineIgnore ignore;
	const UserTypes *captured_types; /* NULL: not known */
	const UserTypes *replayed_types;
	bool types_agree; /* an OID that both know is one type: the same bytes say the same */
} CompareRules;

/* Takes a difference, whose spans point into the answers. */
typedef void (*CompareTake)(void *arg, const Difference *difference);

/* Gives each difference; returns how many there were. */
extern int compare_answers(const CompareRules *rules, const Answer *captured,
                           const Answer *replayed, CompareTake take, void *arg);

/* Returns a verdict's name. */
extern const char *verdict_name(Verdict verdict);

#endif /* REPLAY_COMPARE_H */
