/*
 * script.h
 *	  A recorded session as a script for psql.
 *
 *		script.c		what becomes of statements, in which order
 *		script_text.c	text that psql sends as it was sent; literals; comments
 *		script_copy.c	the data of COPY FROM STDIN
 */
#ifndef READ_SCRIPT_H
#define READ_SCRIPT_H

#include "read/value.h"

/* Takes a line of the script. */
typedef void (*ReadPutLine)(void *arg, const char *line, size_t len);

/* Reads a session, or one exchange of it, to a script; false: there is none. */
extern bool read_script(int64 session_id, bool has_exchange, int64 exchange_no, ReadPutLine put,
                        void *arg);

/* ---- script_text.c ---- */

/*
 * Appends a statement's text, without a semicolon behind it, so that psql sends it as it
 * is.  False: psql cannot, as it ends inside a quote or has a backslash.
 */
extern bool script_append_text(StringInfo out, const char *text, bool standard_strings);

/* Appends a statement that psql cannot read, so that it sends it all the same. */
extern void script_append_generated(StringInfo out, const char *text);

/* Appends text as comments, a line each. */
extern void script_append_comment(StringInfo out, const char *text);

/* Returns a parameter as a literal of its type; NULL: it can't be one. */
extern char *script_literal(const ReadSession *session, Oid type, const ReadValue *value);

/* Returns a text with its parameters replaced by literals. */
extern char *script_replace(const char *text, bool standard_strings, int count,
                            char *const *literals);

/* Tells whether a text can be PREPAREd. */
extern bool script_is_preparable(const char *text, bool standard_strings);

/* Tells whether a statement begins, ends or divides a transaction. */
extern bool script_is_transaction(const char *text, bool standard_strings);

/* Tells whether a text has a COPY FROM STDIN. */
extern bool script_has_copy_in(const char *text, bool standard_strings);

/* Tells whether secrets in a text were masked. */
extern bool script_is_masked(const char *text, bool standard_strings);

/* ---- script_copy.c ---- */

/*
 * Appends the data of a COPY FROM STDIN; returns NULL, or why it can't be in a script.
 */
extern const char *script_append_copy(const ReadSession *session, StringInfo out,
                                      const ReadRun *run);

#endif /* READ_SCRIPT_H */
