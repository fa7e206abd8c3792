/*
 * pqtrace_copy.c
 *	  Programs of COPY: in, out and both, with and without failures.
 */
#include "pqtrace.h"

#include <stdio.h>

/*
 * Begins a COPY.
 */
static void
begin_copy(PGconn *conn, const char *query)
{
	PQclear(PQexec(conn, query));
}

/*
 * Sends data of a COPY.
 */
static void
put(PGconn *conn, const char *data, int len)
{
	if (PQputCopyData(conn, data, len) != 1)
		give_up(conn, "could not send COPY data");
}

/*
 * Ends a COPY, in failure if there is a reason.
 */
static void
end_copy(PGconn *conn, const char *reason)
{
	if (PQputCopyEnd(conn, reason) != 1)
		give_up(conn, "could not end COPY");
	drain(conn);
}

/*
 * Reads a COPY to its end.
 */
static void
read_copy(PGconn *conn)
{
	char *data;

	while (PQgetCopyData(conn, &data, 0) > 0)
		PQfreemem(data);
	drain(conn);
}

/*
 * Copies into a table: as it should be, with nothing, in binary.
 */
static void
copy_in(PGconn *conn)
{
	static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

	run_query(conn, "create temp table c (n int, s text)");
	begin_copy(conn, "copy c from stdin");
	put(conn, "1\tone\n", 6);
	put(conn, "2\t\\N\n3\tth", 9);
	put(conn, "ree\n", 4);
	end_copy(conn, NULL);
	begin_copy(conn, "copy c from stdin");
	end_copy(conn, NULL);
	begin_copy(conn, "copy c (n) from stdin (format binary)");
	put(conn, header, 19);
	put(conn, "\0\1\0\0\0\4\0\0\0\7", 10);
	put(conn, "\377\377", 2);
	end_copy(conn, NULL);
	run_query(conn, "select count(*) from c");
}

/*
 * Fails to copy in: by bad data, by the client's wish, by a bad statement.
 */
static void
copy_in_fails(PGconn *conn)
{
	run_query(conn, "create temp table c (n int)");
	begin_copy(conn, "copy c from stdin");
	put(conn, "1\nword\n", 7);
	end_copy(conn, NULL);
	begin_copy(conn, "copy c from stdin");
	put(conn, "1\n", 2);
	end_copy(conn, "the client gave up");
	begin_copy(conn, "copy no_such_table from stdin");
	begin_copy(conn, "copy c from stdin; select 'behind it'");
	put(conn, "1\n", 2);
	end_copy(conn, NULL);
	PQclear(PQexecParams(conn, "copy c from stdin", 0, NULL, NULL, NULL, NULL, 0));
	put(conn, "2\n", 2);
	end_copy(conn, NULL);
	PQclear(PQexecParams(conn, "copy c from stdin", 0, NULL, NULL, NULL, NULL, 0));
	put(conn, "word\n", 5);
	end_copy(conn, NULL);
	run_query(conn, "select count(*) from c");
}

/*
 * Copies out: text, binary, several columns, an error behind some rows.
 */
static void
copy_out(PGconn *conn)
{
	begin_copy(conn, "copy (select g, 'row' || g from generate_series(1, 3) g) to stdout");
	read_copy(conn);
	begin_copy(conn, "copy (select 1, null, 'x'::bytea) to stdout (format binary)");
	read_copy(conn);
	begin_copy(conn, "copy (select 1 where false) to stdout (format csv, header)");
	read_copy(conn);
	begin_copy(conn, "copy (select 6 / (3 - g) from generate_series(1, 4) g) to stdout");
	read_copy(conn);
	begin_copy(conn, "copy (select 1) to stdout; select 'behind it'");
	read_copy(conn);
}

/*
 * Asks a walsender what it knows, has it begin to stream where the WAL ends at
 * present, and ends that.
 */
static void
copy_both(PGconn *conn)
{
	PGresult *system = PQexec(conn, "IDENTIFY_SYSTEM");
	char query[100];

	if (PQntuples(system) != 1)
		give_up(conn, "this is no replication connection");
	snprintf(query, sizeof(query), "START_REPLICATION %s", PQgetvalue(system, 0, 2));
	PQclear(system);
	run_query(conn, "SHOW wal_segment_size");
	run_query(conn, "IDENTIFY_SYSTEM now");
	begin_copy(conn, query);
	if (PQputCopyEnd(conn, NULL) != 1)
		give_up(conn, "could not end the stream");
	read_copy(conn);
	begin_copy(conn, "START_REPLICATION FFFFFFFF/0");
	read_copy(conn);
}

const Program copy_programs[] = {
    {"copy_in", copy_in},   {"copy_in_fails", copy_in_fails},
    {"copy_out", copy_out}, {"copy_both", copy_both},
    {NULL, NULL},
};
