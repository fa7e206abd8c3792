/*
 * json_part.c
 *	  The messages inside CopyData as jsonb without events: replication, base
 *	  backups, pgoutput's changes.
 *
 * A change is three messages, one in the other.  By events each is checked before it
 * is read, so its bytes are walked five times; here a message is what it seems to be
 * if its fields are found to its last byte.  If they are not it may still be bytes, or
 * a change of another transaction's: then events tell.
 */
#include "api/json_flat.h"

/* A column of a change, of which the least is a byte, takes no more than this. */
#define ROOM_PER_BYTE 40

/*
 * Returns the room of CopyData's body; see json_flat.h.
 */
size_t
flat_room_of_part(size_t len)
{
	return VARHDRSZ + 3 * JSON_SHAPE_ROOM + 2 * WIRE_MAX_FIELDS * FLAT_VALUE_ROOM +
	       len * ROOM_PER_BYTE;
}

/*
 * Finds a number of 64 bits; keeps places in the WAL.
 */
static bool
find_wide(Flat *flat, WireCursor *cursor, WireKind kind, Found *found)
{
	uint64 number;

	if (!cursor_integer64(cursor, &number))
		return false;
	found->number = (int64) number;
	if (kind == WIRE_KIND_LSN)
	{
		flat->lsns[0] = flat->lsns[1];
		flat->lsns[1] = number;
	}
	return true;
}

/*
 * Finds the id of a transaction, which is there in a stream alone.
 */
static bool
find_stream_xid(const Flat *flat, WireCursor *cursor, Found *found)
{
	uint32 xid;

	found->bytes = (WireSpan){NULL, 0};
	if (!flat->content->in_stream)
		return true;
	if (!cursor_integer(cursor, 4, &xid))
		return false;
	found->bytes = (WireSpan){cursor->data, 4};
	found->number = xid;
	return true;
}

/*
 * Reads a value of a tuple: its kind, and the bytes of those that have any.
 */
static inline bool
read_tuple_value(WireCursor *cursor, uint32 *kind, WireSpan *bytes)
{
	uint32 length;

	if (!cursor_integer(cursor, 1, kind))
		return false;
	if (*kind == 'n' || *kind == 'u')
		return true;
	return (*kind == 't' || *kind == 'b') && cursor_integer(cursor, 4, &length) &&
	       cursor_bytes(cursor, length, bytes);
}

/*
 * Finds a tuple behind its tag.  Without the tag it is absent, if it may be.
 */
static bool
find_tuple(WireCursor *cursor, uint8 tag, bool may_be_absent, Found *found)
{
	size_t begin = cursor->at + 1;
	uint32 count;
	uint32 kind;
	WireSpan value;

	found->bytes = (WireSpan){NULL, 0};
	if (cursor_left(cursor) == 0 || cursor->data[cursor->at] != tag)
		return may_be_absent;
	cursor->at++;
	if (!cursor_integer(cursor, 2, &count))
		return false;
	for (uint32 i = 0; i < count; i++)
		if (!read_tuple_value(cursor, &kind, &value))
			return false;
	found->bytes = (WireSpan){cursor->data + begin, cursor->at - begin};
	return true;
}

/*
 * Finds the data of XLogData, and whether it is pgoutput's.
 */
static bool
find_plugin_data(const Flat *flat, WireCursor *cursor, Found *found)
{
	WirePlugin plugin = flat->content->plugin;

	found->number = plugin == WIRE_PLUGIN_PGOUTPUT ||
	                (plugin == WIRE_PLUGIN_UNKNOWN && flat->lsns[0] == flat->lsns[1]);
	return cursor_bytes(cursor, cursor_left(cursor), &found->bytes);
}

/*
 * Finds a field; see json_flat.h.
 */
bool
flat_find_in_part(Flat *flat, WireCursor *cursor, WireKind kind, Found *found)
{
	switch (kind)
	{
		case WIRE_KIND_INT64:
		case WIRE_KIND_TIME:
		case WIRE_KIND_LSN:
			return find_wide(flat, cursor, kind, found);
		case WIRE_KIND_STREAM_XID:
			return find_stream_xid(flat, cursor, found);
		case WIRE_KIND_KEY_TUPLE:
			return find_tuple(cursor, 'K', true, found);
		case WIRE_KIND_OLD_TUPLE:
			return find_tuple(cursor, 'O', true, found);
		case WIRE_KIND_NEW_TUPLE:
			return find_tuple(cursor, 'N', false, found);
		case WIRE_KIND_PLUGIN_DATA:
			return find_plugin_data(flat, cursor, found);
		default:
			return false;
	}
}

/*
 * Lays {"unchanged": true} out, aligned.
 */
static char *
lay_unchanged(char *at)
{
	static const char key[] = "unchanged";
	uint32 *object = (uint32 *) (at = json_pad(at));

	object[0] = 1 | JB_FOBJECT;
	object[1] = (sizeof(key) - 1) | JENTRY_HAS_OFF;
	object[2] = JENTRY_ISBOOL_TRUE;
	return json_copy((char *) (object + 3), key, sizeof(key) - 1);
}

/*
 * Lays a value of a tuple out.  NULL: its bytes should be text, but are not as they
 * stand.
 */
static inline char *
lay_tuple_value(const Flat *flat, uint32 kind, WireSpan bytes, char *at, JEntry *entry)
{
	char *begin = at;

	*entry = JENTRY_ISNULL;
	if (kind == 'n')
		return at;
	if (kind == 'u')
	{
		at = lay_unchanged(at);
		*entry = JENTRY_ISCONTAINER | (JEntry) (at - begin);
		return at;
	}
	at = flat_lay_bytes(flat, bytes, kind == 'b', at, entry);
	return kind == 't' && (*entry & JENTRY_TYPEMASK) != JENTRY_ISSTRING ? NULL : at;
}

/*
 * Lays a tuple out, aligned.
 */
static char *
lay_tuple(const Flat *flat, WireSpan bytes, char *at, JEntry *list_entry)
{
	WireCursor cursor = {bytes.data, bytes.len, 0};
	char *list = at;
	JEntry *entries;
	uint32 count;
	char *begin;

	cursor_integer(&cursor, 2, &count);
	entries = (JEntry *) json_pad(at) + 1;
	entries[-1] = count | JB_FARRAY;
	begin = at = (char *) (entries + count);
	for (uint32 i = 0; i < count; i++)
	{
		WireSpan value = {NULL, 0};
		JEntry entry;
		uint32 kind;

		read_tuple_value(&cursor, &kind, &value);
		at = lay_tuple_value(flat, kind, value, at, &entry);
		if (!at)
			return NULL;
		json_set_entry(entries, i, entry, (size_t) (at - begin));
	}
	*list_entry = JENTRY_ISCONTAINER | (JEntry) (at - list);
	return at;
}

/*
 * Lays the data of XLogData out: a message of pgoutput's, or bytes.
 */
static char *
lay_plugin_data(Flat *flat, const Found *found, char *at, JEntry *entry)
{
	char *begin = at;

	if (!found->number)
		return flat_lay_bytes(flat, found->bytes, flat->context->data_is_binary, at, entry);
	at = flat_lay_part(flat, WIRE_PHASE_IN_XLOG_DATA, found->bytes, json_pad(at));
	*entry = at ? JENTRY_ISCONTAINER | (JEntry) (at - begin) : 0;
	return at;
}

/*
 * Lays a field out; see json_flat.h.
 */
char *
flat_lay_in_part(Flat *flat, WireKind kind, const Found *found, char *at, JEntry *entry)
{
	char *begin = at;

	*entry = JENTRY_ISNULL;
	switch (kind)
	{
		case WIRE_KIND_LSN:
			at = json_lay_lsn(at, (uint64) found->number);
			*entry = (JEntry) (at - begin);
			return at;
		case WIRE_KIND_KEY_TUPLE:
		case WIRE_KIND_OLD_TUPLE:
		case WIRE_KIND_NEW_TUPLE:
			return found->bytes.data ? lay_tuple(flat, found->bytes, at, entry) : at;
		case WIRE_KIND_PLUGIN_DATA:
			return lay_plugin_data(flat, found, at, entry);
		case WIRE_KIND_STREAM_XID:
			if (!found->bytes.data)
				return at;
			/* FALLTHROUGH */
		default:
			at = json_lay_number(flat->numbers, found->number, at);
			*entry = JENTRY_ISNUMERIC | (JEntry) (at - begin);
			return at;
	}
}

/*
 * Lays a message inside another one out; see json_flat.h.
 */
char *
flat_lay_part(Flat *flat, WirePhase place, WireSpan bytes, char *at)
{
	JEntry *entries = (JEntry *) at + 1;
	WireCursor cursor = {bytes.data, bytes.len, 1};
	Found found[JSON_SHAPE_FIELDS];
	const JsonShape *shape;
	WireMessageId id;
	const char *key;
	size_t key_len;
	char *begin;

	if (bytes.len == 0)
		return NULL;
	id = wire_type_of(flat->content->direction, bytes.data[0], place, NULL, 0);
	shape = json_shape_of_message(flat->context->shapes, id);
	if (id == WIRE_MSG_Unknown || !shape->is_flat || !flat_find_fields(flat, shape, &cursor, found))
		return NULL;
	key = wire_types[id].key;
	key_len = strlen(key);
	entries[-1] = 1 | JB_FOBJECT;
	entries[0] = (JEntry) key_len | JENTRY_HAS_OFF;
	at = json_copy((char *) (entries + 2), key, key_len);
	begin = at;
	at = flat_lay_fields(flat, shape, found, json_pad(at));
	entries[1] = JENTRY_ISCONTAINER | (JEntry) (at - begin);
	return at;
}
