/*
 * follow.h
 *	  What follow.c, run.c and rest.c share: an exchange that is being followed.
 *
 * Requests wait in a queue; each answer belongs to its head.  The relay has decided
 * which messages make an exchange, so pairing is simple here: behind an error to an
 * extended message nothing of the exchange is run any more.
 */
#ifndef READ_FOLLOW_H
#define READ_FOLLOW_H

#include "read/read.h"

/* A frontend message that waits for its answer. */
typedef struct Request
{
	WireMessageId id;
	WireSpan body;
} Request;

struct ReadFollow
{
	ReadSession *session;
	ReadKnown *known;
	void *arg;
	const ReadSink *sink;
	const ReadExchange *exchange;

	Request *requests; /* in order; those before `head` are answered */
	int head;
	int count;
	int size;
	int bind_count; /* Binds among them */
	int binds_done;
	List *copies; /* ReadCopyData *, a COPY FROM STDIN each */
	int copies_done;

	char *text; /* of the Query at the head; NULL: not looked at, or not text */
	bool is_split;
	ReadPiece *pieces;
	int piece_count;
	int piece; /* the one that is being answered */

	ReadRun run;
	bool is_running;
	int runs;       /* that ended */
	bool has_error; /* one of them failed */
	bool is_lost;   /* an answer did not fit: the rest is not known */
	bool is_cut;    /* not all bytes of the requests or answers were kept */
};

/* ---- run.c ---- */

/* Returns the head of the queue; NULL: nothing is unanswered, or it is not known. */
extern Request *follow_head(ReadFollow *follow);

/* Does what the server does with a Parse, Bind or Close at the head; takes it off. */
extern void follow_apply(ReadFollow *follow);

/* Begins a statement's run, if none is going on, by the head of the queue. */
extern void follow_begin_run(ReadFollow *follow);

/* Ends it: its outcome stands in `run`. */
extern void follow_end_run(ReadFollow *follow);

/* Finds the statement in a Query that an ErrorResponse belongs to. */
extern void follow_widen(ReadFollow *follow, WireSpan error);

/* Returns a string of a message as text; one that is not text, by its digits. */
extern char *follow_name(const ReadFollow *follow, WireSpan name);

/* Reads one or two strings in a body, behind some bytes; the second may be NULL. */
extern void follow_names(const ReadFollow *follow, WireSpan body, size_t skip, char **first,
                         char **second);

/* ---- rest.c ---- */

/* Gives the statements whose answers were not kept, as far as the counts tell. */
extern void follow_rest(ReadFollow *follow);

#endif /* READ_FOLLOW_H */
