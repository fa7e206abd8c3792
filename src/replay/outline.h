/*
 * outline.h
 *	  An answer as a sequence of units, which are what two answers are compared by.
 *
 * A unit is a message, or a run of rows (DataRow) or of COPY data, of which only
 * the count and digests are of interest.  What the server says for reasons of its
 * own (ParameterStatus, notifications) is left out; notices are gone through
 * apart, as their place among the rows says nothing.
 *
 * Public routines:
 *		outline_split	the message that stands somewhere, by its bytes
 *		outline_message	the same, with its kind
 *		outline_begin	an answer's bytes
 *		outline_next	the next unit
 *		outline_columns, outline_column		what a RowDescription says
 *		outline_values, outline_value		the values of a DataRow
 */
#ifndef REPLAY_OUTLINE_H
#define REPLAY_OUTLINE_H

#include "wire/cursor.h"
#include "wire/wire.h"

/* Columns of a result that can be ignored; those behind are compared. */
#define OUTLINE_MAX_IGNORED 1664

/*
 * Columns that are not compared, by name or as "#3", the third: each ended by a zero
 * byte, the last by another.  The two lists, which may be NULL, are one.
 */
typedef struct OutlineIgnore
{
	const char *names;
	const char *more;
} OutlineIgnore;

/* A column of a RowDescription. */
typedef struct OutlineColumn
{
	WireSpan name;
	uint32_t type;
	uint32_t format;
} OutlineColumn;

typedef struct Unit
{
	WireMessageId id; /* DataRow and CopyData: a run */
	int statement_no; /* from 1 */
	WireSpan body;    /* of a single message */
	uint64_t count;   /* messages in the run */
	WireSpan run;     /* all bytes of the run, headers too */
	uint64_t digest;
	uint64_t set_digest; /* in any order */
	WireSpan columns;    /* run of rows: body of its RowDescription; empty: none in this answer */
} Unit;

typedef struct Outline
{
	WireSpan bytes;
	size_t at;
	bool notices; /* give notices alone, or all but them */
	int statement_no;
	WireSpan columns; /* body of the last RowDescription */
	const OutlineIgnore *ignore;
	uint8_t ignored[OUTLINE_MAX_IGNORED / 8]; /* a bit a column of the rows to come */
	bool any_ignored;
} Outline;

/* Splits off the message that stands somewhere.  Returns its size; 0: none is there whole. */
static inline size_t
outline_split(WireSpan bytes, size_t at, uint8_t *type, WireSpan *body)
{
	WireCursor cursor = {bytes.data, bytes.len, at + 1};
	uint32_t length;

	if (at >= bytes.len || !cursor_integer(&cursor, 4, &length) || length < 4 ||
	    length > bytes.len - at - 1)
		return 0;
	*type = bytes.data[at];
	*body = (WireSpan){bytes.data + at + 5, length - 4};
	return 1 + (size_t) length;
}

/* Finds a message that is there whole.  Returns its size; 0: there is none. */
extern size_t outline_message(WireDirection direction, WireSpan bytes, size_t at, WireMessageId *id,
                              WireSpan *body);

extern void outline_begin(Outline *outline, WireSpan bytes, bool notices,
                          const OutlineIgnore *ignore);

/* Finds the next unit; false: there is none. */
extern bool outline_next(Outline *outline, Unit *unit);

/* Goes through the columns of a RowDescription. */
extern bool outline_columns(WireSpan body, WireCursor *cursor, uint32_t *count);
extern bool outline_column(WireCursor *cursor, OutlineColumn *column);

/* Goes through the values of a DataRow; a NULL has no data. */
extern bool outline_values(WireSpan body, WireCursor *cursor, uint32_t *count);
extern bool outline_value(WireCursor *cursor, WireSpan *value);

/* Whether a column, which may have no name, is among those to ignore; the first is number 0. */
extern bool outline_is_ignored(const OutlineIgnore *ignore, WireSpan name, uint32_t column_no);

/* Steps to the next message of a run; false at its end. */
extern bool outline_run_next(WireSpan run, size_t *at, WireSpan *body);

#endif /* REPLAY_OUTLINE_H */
