/*
 * pqtrace.c
 *	  Runs one of the programs with PQtrace on.
 *
 *		pqtrace CONNINFO FILE regress|full PROGRAM
 *		pqtrace			lists the programs
 *
 * Tracing begins when the connection is there, except in programs called
 * startup...: those are traced from the first message on.
 */
#include "pqtrace.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const Program *const families[] = {
    simple_programs,
    extended_programs,
    pipeline_programs,
    copy_programs,
};

#define FAMILIES (sizeof(families) / sizeof(families[0]))

/*
 * Gives up the whole program.
 */
void
give_up(PGconn *conn, const char *what)
{
	fprintf(stderr, "%s: %s\n", what, PQerrorMessage(conn));
	exit(1);
}

/*
 * Throws away the results that are there up to the next NULL.
 */
void
drain(PGconn *conn)
{
	PGresult *result;

	while ((result = PQgetResult(conn)) != NULL)
		PQclear(result);
}

/*
 * Runs a simple query and throws its results away.
 */
void
run_query(PGconn *conn, const char *query)
{
	PQclear(PQexec(conn, query));
}

/*
 * Keeps notices off the terminal.
 */
static void
ignore_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

/*
 * Begins to trace a connection.
 */
static void
trace(PGconn *conn, FILE *file, const char *mode)
{
	PQtrace(conn, file);
	if (strcmp(mode, "regress") == 0)
		PQsetTraceFlags(conn, PQTRACE_SUPPRESS_TIMESTAMPS | PQTRACE_REGRESS_MODE);
}

/*
 * Connects, and begins to trace; before the first message if early is set.
 */
static PGconn *
connect_traced(const char *conninfo, FILE *file, const char *mode, int early)
{
	PGconn *conn = PQconnectStart(conninfo);
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	if (early)
		trace(conn, file, mode);
	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED)
	{
		struct pollfd socket = {PQsocket(conn), POLLIN, 0};

		if (status == PGRES_POLLING_WRITING)
			socket.events = POLLOUT;
		if (poll(&socket, 1, 30000) != 1)
			give_up(conn, "connection timed out");
		status = PQconnectPoll(conn);
	}
	if (status == PGRES_POLLING_FAILED && !early)
		give_up(conn, "no connection");
	PQsetNoticeProcessor(conn, ignore_notice, NULL);
	if (!early)
		trace(conn, file, mode);
	return conn;
}

/*
 * Finds a program by its name.
 */
static const Program *
find_program(const char *name)
{
	for (size_t family = 0; family < FAMILIES; family++)
		for (const Program *program = families[family]; program->name; program++)
			if (strcmp(program->name, name) == 0)
				return program;
	return NULL;
}

/*
 * Lists the programs.
 */
static int
list_programs(void)
{
	for (size_t family = 0; family < FAMILIES; family++)
		for (const Program *program = families[family]; program->name; program++)
			puts(program->name);
	return 0;
}

int
main(int argc, char **argv)
{
	const Program *program;
	PGconn *conn;
	FILE *file;

	if (argc == 1)
		return list_programs();
	program = argc == 5 ? find_program(argv[4]) : NULL;
	file = program ? fopen(argv[2], "w") : NULL;
	if (!file)
	{
		fprintf(stderr, "usage: pqtrace CONNINFO FILE regress|full PROGRAM\n");
		return 1;
	}
	conn = connect_traced(argv[1], file, argv[3], strncmp(program->name, "startup", 7) == 0);
	if (PQstatus(conn) == CONNECTION_OK)
		program->run(conn);
	PQfinish(conn);
	return fclose(file) == 0 ? 0 : 1;
}
