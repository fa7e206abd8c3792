/*
 * print.c
 *	  Prints messages as libpq's PQtrace() does, whoever would have sent them.
 *
 * What libpq never sends or never gets can't be recorded from a client, but its
 * printer knows it all the same.  This calls that printer, which only the static
 * library lets one do; see README.md beside this file.
 *
 * Input, a message a line: regress or full, how it is printed (F or B: a message with
 * a type byte; untyped; or the name of a one-byte answer), bytes in hexadecimal.
 */
#include "postgres_fe.h"

#include "libpq-fe.h"
#include "libpq-int.h"

/*
 * Prints a message.
 */
static void
print_message(PGconn *conn, const char *how, const char *bytes)
{
	if (strcmp(how, "F") == 0 || strcmp(how, "B") == 0)
		pqTraceOutputMessage(conn, bytes, how[0] == 'F');
	else if (strcmp(how, "untyped") == 0)
		pqTraceOutputNoTypeByteMessage(conn, bytes);
	else
		pqTraceOutputCharResponse(conn, how, bytes[0]);
}

int
main(void)
{
	PGconn *conn = PQconnectStart("host=/nonexistent");
	char mode[16];
	char how[32];
	char hex[8192];

	PQtrace(conn, stdout);
	while (scanf("%15s %31s %8191s", mode, how, hex) == 3)
	{
		char bytes[4096];
		int is_regress = strcmp(mode, "regress") == 0;
		unsigned byte;

		for (size_t i = 0; sscanf(hex + i * 2, "%2x", &byte) == 1; i++)
			bytes[i] = (char) byte;
		PQsetTraceFlags(conn, PQTRACE_SUPPRESS_TIMESTAMPS | (is_regress ? PQTRACE_REGRESS_MODE : 0));
		print_message(conn, how, bytes);
	}
	PQfinish(conn);
	return 0;
}
