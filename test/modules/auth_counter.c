/*
 * auth_counter.c
 *	  A library in ClientAuthentication_hook, for the tests: says what it is told.
 *
 * Each call is a line of the server's log.  It names the carrier token if there is
 * one, which only a library that is loaded after pgwire_trace gets to see; while a
 * file hold.USER is in the data directory, such a connection of that user waits, and
 * while there is a file strip.USER it loses its token.
 */
#include "postgres.h"

#include <unistd.h>

#include "fmgr.h"
#include "libpq/auth.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static ClientAuthentication_hook_type previous_hook;

/*
 * Returns the token among a connection's options; NULL: none.
 */
static const char *
find_token(const Port *port)
{
	for (int i = 0; i + 1 < list_length(port->guc_options); i += 2)
		if (pg_strcasecmp(list_nth(port->guc_options, i), "pgwire_trace.carrier") == 0)
			return list_nth(port->guc_options, i + 1);
	return NULL;
}

/*
 * Hook: logs the call, then calls the hook of before.
 */
static void
count(Port *port, int status)
{
	const char *token = find_token(port);
	char *hold = psprintf("hold.%s", port->user_name);

	elog(LOG, "auth_counter: user=%s status=%d host=%s token=%s", port->user_name, status,
	     port->remote_host, token ? token : "none");
	while (token && access(hold, F_OK) == 0)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(20000);
	}
	if (token && access(psprintf("strip.%s", port->user_name), F_OK) == 0)
		port->guc_options = NIL;
	if (previous_hook)
		previous_hook(port, status);
}

/*
 * Installs the hook.
 */
void
_PG_init(void)
{
	previous_hook = ClientAuthentication_hook;
	ClientAuthentication_hook = count;
}
