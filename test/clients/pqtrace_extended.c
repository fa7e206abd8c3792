/*
 * pqtrace_extended.c
 *	  Programs of the extended protocol, a request at a time.
 */
#include "pqtrace.h"

#define INT4OID 23
#define BYTEAOID 17

/*
 * Runs statements with parameters of both formats.
 */
static void
parameters(PGconn *conn)
{
	const Oid types[3] = {INT4OID, BYTEAOID, 0};
	const char four[4] = {0, 0, 0, 4};
	const char bytes[5] = {'a', 0, '\xff', '\'', '\n'};
	const char *const values[3] = {four, bytes, "text"};
	const char *const nulls[3] = {NULL, NULL, NULL};
	const int lengths[3] = {4, 5, 4};
	const int formats[3] = {1, 1, 0};

	PQclear(PQexecParams(conn, "select $1, $2, $3::text", 3, types, values, lengths, formats, 0));
	PQclear(PQexecParams(conn, "select $1, $2, $3::text", 3, types, values, lengths, formats, 1));
	PQclear(PQexecParams(conn, "select $1, $2, $3::text", 3, types, nulls, NULL, NULL, 0));
	PQclear(PQexecParams(conn, "select 1", 0, NULL, NULL, NULL, NULL, 1));
	PQclear(PQexecParams(conn, "", 0, NULL, NULL, NULL, NULL, 0));
	PQclear(PQexecParams(conn, "create temp table p (n int)", 0, NULL, NULL, NULL, NULL, 0));
	PQclear(PQexecParams(conn, "insert into p values ($1)", 1, types, values, lengths, formats, 0));
}

/*
 * Makes prepared statements, has them described, runs and frees them.
 */
static void
prepared(PGconn *conn)
{
	const Oid types[2] = {INT4OID, 0};
	const char *const values[2] = {"41", "some text"};

	PQclear(PQprepare(conn, "one", "select $1 + 1 as sum, $2::varchar(20) as s", 2, types));
	PQclear(PQdescribePrepared(conn, "one"));
	PQclear(PQexecPrepared(conn, "one", 2, values, NULL, NULL, 0));
	PQclear(PQexecPrepared(conn, "one", 2, values, NULL, NULL, 1));
	PQclear(PQprepare(conn, "none", "set work_mem to '4MB'", 0, NULL));
	PQclear(PQdescribePrepared(conn, "none"));
	PQclear(PQexecPrepared(conn, "none", 0, NULL, NULL, NULL, 0));
	PQclear(PQprepare(conn, "", "select 1 as unnamed", 0, NULL));
	PQclear(PQexecPrepared(conn, "", 0, NULL, NULL, NULL, 0));
	run_query(conn, "begin");
	run_query(conn, "declare walk cursor for select 1 as n");
	PQclear(PQdescribePortal(conn, "walk"));
	run_query(conn, "commit");
#ifdef LIBPQ_HAS_CLOSE_PREPARED
	PQclear(PQclosePrepared(conn, "one"));
	PQclear(PQclosePortal(conn, "no such portal"));
#endif
	run_query(conn, "deallocate all");
}

/*
 * Fails at each step: Parse, Bind, Describe, Execute.
 */
static void
failures(PGconn *conn)
{
	const char *const word[1] = {"word"};
	const char *const zero[1] = {"0"};

	PQclear(PQexecParams(conn, "selec 1", 0, NULL, NULL, NULL, NULL, 0));
	PQclear(PQexecParams(conn, "select 1; select 2", 0, NULL, NULL, NULL, NULL, 0));
	PQclear(PQexecParams(conn, "select $1::int", 1, NULL, word, NULL, NULL, 0));
	PQclear(PQexecParams(conn, "select 1 / $1::int", 1, NULL, zero, NULL, NULL, 0));
	PQclear(PQexecPrepared(conn, "missing", 0, NULL, NULL, NULL, 0));
	PQclear(PQdescribePrepared(conn, "missing"));
	PQclear(PQdescribePortal(conn, "missing"));
	PQclear(PQprepare(conn, "twice", "select 1", 0, NULL));
	PQclear(PQprepare(conn, "twice", "select 2", 0, NULL));
	PQclear(PQexecPrepared(conn, "twice", 1, word, NULL, NULL, 0));
	PQclear(PQexecParams(conn, "select g from generate_series(1, 3) g where 1 / (3 - g) >= 0", 0,
	                     NULL, NULL, NULL, NULL, 0));
}

const Program extended_programs[] = {
    {"parameters", parameters},
    {"prepared", prepared},
    {"failures", failures},
    {NULL, NULL},
};
