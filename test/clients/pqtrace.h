/*
 * pqtrace.h
 *	  Programs for libpq whose traffic is traced by PQtrace: what they share.
 *
 * A program is a function that talks to the server over a connection which is
 * being traced.  Its own results do not matter, and most go wrong on purpose:
 * what counts is what passes the wire.  Whatever differs from run to run (times,
 * paths, sizes) stays out of it.
 */
#ifndef PQTRACE_H
#define PQTRACE_H

#include <libpq-fe.h>

typedef struct Program
{
	const char *name;
	void (*run)(PGconn *conn);
} Program;

/* Each family's programs, ended by a name of NULL. */
extern const Program simple_programs[];
extern const Program extended_programs[];
extern const Program pipeline_programs[];
extern const Program copy_programs[];

/* Runs a simple query and throws its results away. */
extern void run_query(PGconn *conn, const char *query);

/* Throws away the results that are there up to the next NULL. */
extern void drain(PGconn *conn);

/* Gives up the whole program: something is not as it must be. */
extern void give_up(PGconn *conn, const char *what);

#endif /* PQTRACE_H */
