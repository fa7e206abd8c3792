/*
 * auth.c
 *	  Which session a carrier belongs to: the token in its startup packet.
 *
 * A relay adds a single-use token to the client's startup packet and writes the
 * client's facts to the slot of that token.  The hook takes the token out of the
 * connection's options before they are applied and the slot for this backend.
 * A token that is unknown, used or malformed ends the connection: never is it
 * taken for an ordinary client.  Connections without one are not touched.
 *
 * Loaded libraries' earlier hooks are called once, after that.
 */
#include "server/server.h"

#include "access/xact.h"
#include "libpq/auth.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

BoardSlot *pgwt_my_slot = NULL;

static ClientAuthentication_hook_type previous_hook = NULL;

/*
 * Gives up this backend's hold on its slot.
 */
static void
release_slot(int code, Datum arg)
{
	pgwt_my_slot = NULL;
	board_release_slot(pgwt_board, DatumGetInt32(arg), SLOT_BACKEND);
}

/*
 * Writes to the slot which database the session is in: known at the end of the
 * transaction that starts the session up, so before the client may query.
 */
static void
note_database(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && pgwt_my_slot &&
	    atomic_load(&pgwt_my_slot->database_oid) != MyDatabaseId)
		atomic_store(&pgwt_my_slot->database_oid, MyDatabaseId);
}

/*
 * Reads a token from its hexadecimal digits.  False: it is none.
 */
static bool
parse_token(const char *text, uint8 token[BOARD_TOKEN])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != 2 * BOARD_TOKEN)
		return false;
	for (int i = 0; i < 2 * BOARD_TOKEN; i++)
	{
		const char *digit = strchr(digits, text[i]);

		if (!digit)
			return false;
		token[i / 2] = (uint8) (token[i / 2] << 4 | (digit - digits));
	}
	return true;
}

/*
 * Takes the tokens out of the connection's options, where the reserved prefix
 * would make them an error.  Returns how many there were; *value is the last
 * one's.
 */
static int
remove_tokens(Port *port, char **value)
{
	List *options = port->guc_options; /* name, value, name, value */
	int count = 0;
	int i = 0;

	while (i + 1 < list_length(options))
	{
		if (pg_strcasecmp(list_nth(options, i), BOARD_TOKEN_PARAMETER) != 0)
		{
			i += 2;
			continue;
		}
		*value = list_nth(options, i + 1);
		options = list_delete_nth_cell(options, i + 1);
		options = list_delete_nth_cell(options, i);
		count++;
	}
	port->guc_options = options;
	return count;
}

/*
 * Takes the slot of a carrier's token, or ends the connection.
 */
static void
take_slot(const char *text, int count)
{
	uint8 token[BOARD_TOKEN] = {0};
	int slot = -1;

	if (count == 1 && parse_token(text, token))
		slot = board_take_slot(pgwt_board, token, (uint32) MyProcPid);
	if (slot < 0)
		ereport(FATAL, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
		                errmsg("carrier token of pgwire_trace is not valid"),
		                errdetail("Startup parameter \"%s\" is reserved for the relays of "
		                          "pgwire_trace.",
		                          BOARD_TOKEN_PARAMETER)));
	pgwt_my_slot = &pgwt_board->slots[slot];
	atomic_store(&pgwt_my_slot->backend_start, MyStartTimestamp);
	on_proc_exit(release_slot, Int32GetDatum(slot));
	RegisterXactCallback(note_database, NULL);
}

/*
 * Hook: a client was authenticated, or failed to be.
 */
static void
on_authentication(Port *port, int status)
{
	char *text = NULL;
	int count = remove_tokens(port, &text);

	if (count > 0)
		take_slot(text, count);
	if (previous_hook)
		previous_hook(port, status);
}

/*
 * Installs the hook.
 */
void
auth_install(void)
{
	previous_hook = ClientAuthentication_hook;
	ClientAuthentication_hook = on_authentication;
}
