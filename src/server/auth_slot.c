/*
 * auth_slot.c
 *	  Whose carrier a connection is: the token in its startup packet.
 *
 * A relay adds a single-use token to the client's startup packet and writes the
 * client's facts to the slot of that token.  Here the token is taken out of the
 * connection's options, where the reserved prefix would make it an error, and the
 * slot for this backend.  A token that is unknown, used or malformed ends the
 * connection: never is it taken for an ordinary client.  So does one that does not
 * come from where the relay's carrier does.
 *
 *		auth_has_token		tells whether there is one
 *		auth_lacks_token	tells whether there should be one
 *		auth_take_slot		takes the slot, or ends the connection
 */
#include "server/auth.h"

#include <netinet/in.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

BoardSlot *pgwt_my_slot = NULL;

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
 * Writes to the slot which database the session is in, and whether it is recorded:
 * known at the end of the transaction that starts the session up, so before the
 * client may query.
 */
static void
note_database(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT && pgwt_my_slot)
	{
		atomic_store(&pgwt_my_slot->is_unrecorded, !pgwt_record);
		redaction_refresh();
	}
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
 * Tells whether the connection's options hold a token, valid or not.
 */
bool
auth_has_token(const Port *port)
{
	for (int i = 0; i + 1 < list_length(port->guc_options); i += 2)
		if (pg_strcasecmp(list_nth(port->guc_options, i), BOARD_TOKEN_PARAMETER) == 0)
			return true;
	return false;
}

/*
 * Takes the tokens out of the connection's options.  Returns how many there were;
 * *value is the last one's.
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
 * Tells whether a connection by TCP comes from the slot's address and port.
 */
static bool
comes_from_address(const BoardSlot *slot, const Port *port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *) &port->raddr.addr;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &port->raddr.addr;
	uint64 bytes[2] = {atomic_load(&slot->carrier_addr[0]), atomic_load(&slot->carrier_addr[1])};
	uint32 number = atomic_load(&slot->carrier_port);

	if (number == 0)
		return false;
	if (in->sin_family == AF_INET)
		return memcmp(&in->sin_addr, bytes, sizeof(in->sin_addr)) == 0 &&
		       ntohs(in->sin_port) == number;
	return in6->sin6_family == AF_INET6 &&
	       memcmp(&in6->sin6_addr, bytes, sizeof(in6->sin6_addr)) == 0 &&
	       ntohs(in6->sin6_port) == number;
}

/*
 * Tells whether the connection comes from where the slot's relay made it.
 */
static bool
comes_from_relay(const BoardSlot *slot, const Port *port)
{
	uid_t uid;
	gid_t gid;

	if (port->raddr.addr.ss_family != AF_UNIX)
		return comes_from_address(slot, port);
	return atomic_load(&slot->carrier_port) == 0 && getpeereid(port->sock, &uid, &gid) == 0 &&
	       uid == geteuid();
}

/*
 * Tells whether a relay is at a login just now, so that there may be tokens in use.
 */
static bool
relays_are_busy(void)
{
	for (uint32 i = 0; i < pgwt_board->relay_count && i < BOARD_MAX_RELAYS; i++)
		if (board_get(&pgwt_board->relays[i].asking) != 0)
			return true;
	return false;
}

/*
 * Tells whether a connection without a token comes from where a relay has just
 * opened a carrier with one.  That is the carrier, with its token lost on the way.
 */
bool
auth_lacks_token(const Port *port)
{
	int family = port->raddr.addr.ss_family;

	if ((family != AF_INET && family != AF_INET6) || !relays_are_busy())
		return false;
	for (uint32 i = 0; i < pgwt_board->slot_count; i++)
		if ((atomic_load(&pgwt_board->slots[i].state) & SLOT_ARMED) &&
		    comes_from_address(&pgwt_board->slots[i], port))
			return true;
	return false;
}

/*
 * Ends a connection whose token is not what it should be.
 */
void
auth_refuse_token(AuthDoor *door, Port *port)
{
	auth_tell(door, port, STATUS_ERROR);
	ereport(FATAL, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
	                errmsg("carrier token of pgwire_trace is not valid"),
	                errdetail("Startup parameter \"%s\" is reserved for the relays of "
	                          "pgwire_trace.",
	                          BOARD_TOKEN_PARAMETER)));
	pg_unreachable();
}

/*
 * Takes the slot of the connection's token for this backend, or ends the
 * connection.
 */
void
auth_take_slot(AuthDoor *door, Port *port)
{
	char *text = NULL;
	int count = remove_tokens(port, &text);
	uint8 token[BOARD_TOKEN] = {0};
	int slot = -1;

	if (count == 1 && parse_token(text, token))
		slot = board_take_slot(pgwt_board, token, (uint32) MyProcPid);
	if (slot >= 0)
		on_proc_exit(release_slot, Int32GetDatum(slot));
	if (slot < 0 || !comes_from_relay(&pgwt_board->slots[slot], port))
		auth_refuse_token(door, port);
	door->slot = pgwt_my_slot = &pgwt_board->slots[slot];
	door->slot_no = slot;
	atomic_store(&pgwt_my_slot->backend_start, MyStartTimestamp);
	RegisterXactCallback(note_database, NULL);
	redaction_begin();
}
