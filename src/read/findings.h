/*
 * findings.h
 *	  What a recorded session's client did in vain.
 *
 * One pass over the session's exchanges, in order.  What is kept meanwhile grows with
 * the different texts and names of the session, not with its exchanges.
 *
 *		findings.c			the pass, and what the facts of the exchanges show
 *		findings_steps.c	what the messages of the requests show
 */
#ifndef READ_FINDINGS_H
#define READ_FINDINGS_H

#include "postgres.h"

#include "read/encoding.h"
#include "utils/hsearch.h"

#define FINDING_EXCHANGES 100 /* of a finding, at most so many are named */

/* Exchanges that show a finding: how many, and the numbers of the first. */
typedef struct ReadEvidence
{
	int64 count;
	int64 *exchanges; /* NULL: none yet */
} ReadEvidence;

typedef struct ReadFinding
{
	const char *name;
	const ReadEvidence *evidence;
	const char *query; /* NULL: not known */
	const char *detail;
} ReadFinding;

/* Called for each finding. */
typedef void (*ReadFindingPut)(void *arg, const ReadFinding *finding);

/* Reads a session; nothing is found where there is none. */
extern void read_findings(int64 session_id, ReadFindingPut put, void *arg);

/* ---- findings.c, for findings_steps.c ---- */

/* Adds an exchange. */
extern void read_evidence_add(ReadEvidence *evidence, MemoryContext context, int64 exchange_no);

/* ---- findings_steps.c ---- */

/* Statements that a session prepared, and what became of them. */
typedef struct ReadHabits
{
	MemoryContext context;
	ReadEncoding encoding; /* of the session */
	HTAB *texts;           /* of Parse messages, by hash */
	HTAB *statements;      /* by hash of their names */
} ReadHabits;

extern void read_habits_begin(ReadHabits *habits, MemoryContext context, int encoding);

/*
 * Takes a request.  What failed or was skipped behind an error prepared nothing.  Where
 * the request is not whole, names may have been used that are not seen.
 */
extern void read_habits_request(ReadHabits *habits, int64 exchange_no, WireSpan request,
                                bool is_whole, bool has_failed);

/* Takes note that something was not recorded. */
extern void read_habits_doubt(ReadHabits *habits);

/* Tells what was found; `text_of` gives an exchange's query. */
extern void read_habits_end(ReadHabits *habits, bool has_ended,
                            char *(*text_of)(void *arg, int64 exchange_no), void *text_arg,
                            ReadFindingPut put, void *put_arg);

#endif /* READ_FINDINGS_H */
