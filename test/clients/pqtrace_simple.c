/*
 * pqtrace_simple.c
 *	  Programs of the simple protocol: queries, errors, notices, notifications,
 *	  parameter changes, single-row mode, function calls.
 */
#include "pqtrace.h"

#include <poll.h>
#include <stdlib.h>

/*
 * Does nothing but connect.
 */
static void
startup(PGconn *conn)
{
	(void) conn;
}

/*
 * Runs queries of all sorts of results.
 */
static void
queries(PGconn *conn)
{
	run_query(conn, "select 1 as one, null as nothing, '' as empty, -1::int8 as minus");
	run_query(conn, "select");
	run_query(conn, "select 1 where false");
	run_query(conn, "values (1, 'a'), (2, 'b'), (3, null)");
	run_query(conn, "create temp table t (n int primary key, s varchar(10), c char(5), b bytea)");
	run_query(conn, "insert into t values (1, 'x', 'y', '\\x00ff41'), (2, null, null, null)");
	run_query(conn, "select * from t order by n");
	run_query(conn, "update t set s = 'z' where n = 2 returning n, s");
	run_query(conn, "delete from t");
	run_query(conn, "set work_mem to '5MB'");
	run_query(conn, "show work_mem");
}

/*
 * Runs several statements in a query, and none.
 */
static void
several(PGconn *conn)
{
	run_query(conn, "select 1; select 2, 3; select 'four'");
	run_query(conn, "");
	run_query(conn, ";");
	run_query(conn, " -- nothing but a comment");
	run_query(conn, "select 1; select 1/0; select 3");
	run_query(conn, "begin; select 1; commit; select 2");
}

/*
 * Sends text that is hard to print: other alphabets, control characters, quotes.
 */
static void
texts(PGconn *conn)
{
	run_query(conn, "select 'h\303\251llo \342\202\254', E'tab\\there', 'a \"quoted\" word', "
	                "E'back\\\\slash'");
	run_query(conn, "select\n\t'two lines'\n");
	run_query(conn, "select E'line one\\nline two\\r\\001\\177'");
	run_query(conn, "select 1 as \"\303\204 b\tc\"");
	run_query(conn, "select no_such_column as \"\303\251\"");
	run_query(conn, "do $$ begin raise notice 'gr\303\274n %', E'\\x01'; end $$");
}

/*
 * Brings about errors with every kind of field.
 */
static void
errors(PGconn *conn)
{
	run_query(conn, "selec 1");
	run_query(conn, "select no_such_column");
	run_query(conn, "select * from no_such_table");
	run_query(conn, "select 'x'::int");
	run_query(conn, "create temp table e (n int constraint positive check (n > 0), "
	                "m int not null, u int unique)");
	run_query(conn, "insert into e values (-1, 1, 1)");
	run_query(conn, "insert into e values (1, null, 1)");
	run_query(conn, "insert into e values (1, 1, 1), (1, 1, 1)");
	run_query(conn, "do $$ begin execute 'select 1 +'; end $$");
	run_query(conn, "do $$ begin raise exception 'own error' using errcode = 'P1234', "
	                "detail = 'its detail', hint = 'its hint', column = 'c', table = 't', "
	                "schema = 's', datatype = 'd', constraint = 'k'; end $$");
	run_query(conn, "create domain pg_temp.small as int check (value < 10)");
	run_query(conn, "select 11::pg_temp.small");
	run_query(conn, "begin");
	run_query(conn, "select 1/0");
	run_query(conn, "select 1");
	run_query(conn, "rollback");
}

/*
 * Brings about notices and warnings, and changes settings that are reported.
 */
static void
notices(PGconn *conn)
{
	run_query(conn, "drop table if exists no_such_table");
	run_query(conn, "do $$ begin raise notice 'a notice'; raise warning 'a warning' using "
	                "detail = 'more', hint = 'do it'; raise info 'an info'; end $$");
	run_query(conn, "commit");
	run_query(conn, "set client_min_messages to debug1");
	run_query(conn, "create temp table n (i int primary key)");
	run_query(conn, "set client_min_messages to warning");
	run_query(conn, "set application_name to 'renamed'");
	run_query(conn, "set timezone to 'Europe/Vienna'");
	run_query(conn, "set datestyle to 'German'");
	run_query(conn, "set client_encoding to latin1");
	run_query(conn, "select 'h\351llo'");
	run_query(conn, "reset client_encoding");
}

/*
 * Waits until the server says something by itself.
 */
static void
await_notification(PGconn *conn)
{
	PGnotify *notification = NULL;

	while (notification == NULL)
	{
		struct pollfd socket = {PQsocket(conn), POLLIN, 0};

		if (poll(&socket, 1, 30000) != 1 || !PQconsumeInput(conn))
			give_up(conn, "no notification");
		notification = PQnotifies(conn);
	}
	PQfreemem(notification);
}

/*
 * Is notified, by itself and, while idle, by another session.
 */
static void
notifications(PGconn *conn)
{
	char *conninfo = NULL;
	PGconn *other;

	run_query(conn, "listen tracing");
	run_query(conn, "notify tracing");
	run_query(conn, "notify tracing, 'a payload'");
	/* the other session is not traced */
	conninfo = getenv("PQTRACE_OTHER");
	if (conninfo)
	{
		other = PQconnectdb(conninfo);
		if (PQstatus(other) != CONNECTION_OK)
			give_up(other, "no other connection");
		while (PQnotifies(conn))
			;
		run_query(other, "notify tracing, 'from elsewhere'");
		PQfinish(other);
		await_notification(conn);
	}
	run_query(conn, "unlisten *");
}

/*
 * Reads a result row by row, and one that fails behind its first rows.
 */
static void
single_row(PGconn *conn)
{
	PQsendQuery(conn, "select g, 'row ' || g from generate_series(1, 5) g");
	PQsetSingleRowMode(conn);
	drain(conn);
	PQsendQueryParams(conn, "select 10 / (3 - g) from generate_series(1, 5) g", 0, NULL, NULL, NULL,
	                  NULL, 1);
	PQsetSingleRowMode(conn);
	drain(conn);
	PQsendQuery(conn, "select 1; select 2; select 3 where false");
	PQsetSingleRowMode(conn);
	drain(conn);
}

/*
 * Runs transactions and a cursor.
 */
static void
transactions(PGconn *conn)
{
	run_query(conn, "begin");
	run_query(conn, "declare c cursor for select generate_series(1, 5)");
	run_query(conn, "fetch 2 from c");
	run_query(conn, "move 1 in c");
	run_query(conn, "fetch all from c");
	run_query(conn, "close c");
	run_query(conn, "savepoint s");
	run_query(conn, "select 1/0");
	run_query(conn, "rollback to s");
	run_query(conn, "commit");
}

/*
 * Calls functions by their OIDs, which are the same in every server.
 */
static void
functions(PGconn *conn)
{
	PQArgBlock args[2] = {{4, 1, {NULL}}, {4, 1, {NULL}}};
	int buffer[64] = {0};
	int length;

	args[0].u.integer = 7;
	args[1].u.integer = -9;
	PQclear(PQfn(conn, 177, buffer, &length, 1, args, 2)); /* int4pl */
	PQclear(PQfn(conn, 154, buffer, &length, 1, args, 2)); /* int4div */
	args[1].u.integer = 0;
	PQclear(PQfn(conn, 154, buffer, &length, 1, args, 2)); /* fails */
	PQclear(PQfn(conn, 1, buffer, &length, 1, args, 2));   /* there is none */
	for (int i = 0; i < 2; i++)
	{
		args[i].isint = 0;
		args[i].len = 3;
		args[i].u.ptr = (int *) (void *) (i == 0 ? "abc" : "de\n");
	}
	PQclear(PQfn(conn, 1258, buffer, &length, 0, args, 2)); /* textcat */
	args[1].len = -1;
	PQclear(PQfn(conn, 1258, buffer, &length, 0, args, 2)); /* of NULL */
}

const Program simple_programs[] = {
    {"startup", startup},
    {"queries", queries},
    {"several", several},
    {"texts", texts},
    {"errors", errors},
    {"notices", notices},
    {"notifications", notifications},
    {"single_row", single_row},
    {"transactions", transactions},
    {"functions", functions},
    {NULL, NULL},
};
