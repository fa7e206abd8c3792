/*
 * content.c
 *	  What is inside CopyData: messages of streaming replication and of base
 *	  backups, and in XLogData those of the output plugin pgoutput.
 *
 * Such a message is a type byte and fields, without a length of its own.  It is
 * taken for one only if it is well formed to its last byte; anything else is
 * bytes, as CopyData may hold whatever it likes.
 *
 * WAL itself and what other plugins write also come in XLogData.  The command
 * that began replication tells which it is.  Where it was not seen, each message
 * does: WAL ends behind the place where it starts, whereas the server gives one
 * place for both with what comes from a plugin.
 *
 * Between StreamStart and StreamStop the changes carry their transaction's id.
 * Bytes do not say whether it is there; what was before them does, and where that
 * was not recorded the reading that is well formed.
 */
#include "wire/walker.h"

/*
 * Begins an empty field, and ends it.
 */
static bool
give_absent(Walker *walker)
{
	return walker_give_name(walker, WIRE_EVENT_ABSENT, walker->field->name);
}

/*
 * Walks a number that is not always there.
 */
static bool
walk_optional(Walker *walker, bool is_there, WireKind kind)
{
	return is_there ? walker_number(walker, kind, walker->field->name) : give_absent(walker);
}

/*
 * Walks a value of a tuple: its kind, and for two of the four its bytes.
 */
static bool
walk_tuple_value(Walker *walker)
{
	WireEvent event = {.kind = WIRE_EVENT_TUPLE_VALUE, .member = WIRE_KIND_VALUE};
	uint32_t kind;
	uint32_t length;

	if (!cursor_integer(&walker->cursor, 1, &kind))
		return walker_malformed(walker, "the message ends inside a tuple");
	event.number = kind;
	if (kind == 'n' || kind == 'u')
		return walker_give(walker, &event);
	if (kind != 't' && kind != 'b')
		return walker_malformed(walker, "a value is of no known kind");
	if (!cursor_integer(&walker->cursor, 4, &length))
		return walker_malformed(walker, "the message ends inside a number");
	if (!cursor_bytes(&walker->cursor, length, &event.bytes))
		return walker_malformed(walker, "a value is longer than the message");
	event.is_binary = kind == 'b';
	return walker_give(walker, &event);
}

/*
 * Walks a tuple behind its tag, if that is what comes next.
 */
static bool
walk_tuple(Walker *walker, uint8_t tag, bool may_be_absent)
{
	WireCursor *cursor = &walker->cursor;
	uint32_t count;

	if (cursor_left(cursor) == 0 || cursor->data[cursor->at] != tag)
		return may_be_absent ? give_absent(walker) : walker_malformed(walker, "a tuple is missing");
	cursor->at++;
	if (!walker_begin_list(walker, 2, 1, &count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!walk_tuple_value(walker))
			return false;
	return walker_end_list(walker);
}

/*
 * Walks the count of a list, and the number that stands before the list.
 */
static bool
walk_count(Walker *walker)
{
	return (cursor_integer(&walker->cursor, 4, &walker->count) ||
	        walker_malformed(walker, "the message ends inside a number")) &&
	       walker_number(walker, WIRE_KIND_INT8, walker->field->name);
}

/*
 * Walks OIDs whose count came before.
 */
static bool
walk_counted_oids(Walker *walker)
{
	WireEvent event = {
	    .kind = WIRE_EVENT_LIST, .name = walker->field->name, .number = walker->count};

	if (walker->count > cursor_left(&walker->cursor) / 4)
		return walker_malformed(walker, "a list is longer than the message");
	if (walker->count > WIRE_MAX_ITEMS)
		return walker_malformed(walker, "a list has too many items");
	if (!walker_give(walker, &event))
		return false;
	for (uint32_t i = 0; i < walker->count; i++)
		if (!walker_number(walker, WIRE_KIND_UINT32, NULL))
			return false;
	return walker_end_list(walker);
}

/*
 * Tells whether bytes are a part's, to the last.
 */
static bool
is_well_formed(WireMessageId id, const WireContent *content, WireSpan bytes, bool in_stream)
{
	WireWalk walk = {.content = *content};

	walk.content.in_stream = in_stream;
	return wire_walk(id, bytes.data, bytes.len, &walk, NULL, NULL);
}

/*
 * Finds the message that CopyData or XLogData holds; see walk.h.
 */
WireMessageId
wire_content_id(const WireContent *content, WirePhase place, WireSpan bytes, bool *in_stream)
{
	WireMessageId id;

	*in_stream = content->in_stream;
	if (bytes.len == 0)
		return WIRE_MSG_Unknown;
	id = wire_type_of(content->direction, bytes.data[0], place, NULL, 0);
	if (id == WIRE_MSG_Unknown || is_well_formed(id, content, bytes, *in_stream))
		return id;
	*in_stream = !*in_stream;
	if (wire_types[id].fields[0].kind == WIRE_KIND_STREAM_XID &&
	    is_well_formed(id, content, bytes, *in_stream))
		return id;
	return WIRE_MSG_Unknown;
}

/*
 * Walks a message that a field holds.
 */
static bool
walk_part(Walker *walker, WireMessageId id, WireSpan bytes, bool in_stream)
{
	const WireMessageType *type = &wire_types[id];
	Walker part = {.cursor = {bytes.data, bytes.len, 1},
	               .walk = walker->walk,
	               .take = walker->take,
	               .arg = walker->arg,
	               .in_stream = in_stream};
	WireEvent event = {.kind = WIRE_EVENT_PART, .part = type->key};

	event.number = WIRE_TYPE_BYTE(type->type);
	event.name = walker->field->kind == WIRE_KIND_CONTENT ? NULL : walker->field->name;
	if (!walker_give(walker, &event) || !walker_fields(&part, id))
		return false;
	event.kind = WIRE_EVENT_PART_END;
	return walker_give(walker, &event);
}

/*
 * Walks the rest of CopyData or XLogData: a message, if it holds one.  A walk that
 * only checks is content with any.
 */
static bool
walk_content(Walker *walker)
{
	const WireContent *content = &walker->walk->content;
	WireCursor *cursor = &walker->cursor;
	WireCursor behind = *cursor;
	WireSpan rest;
	WirePhase place = WIRE_PHASE_IN_COPY_DATA;
	bool has_message = content->is_replication;
	WireMessageId id;
	bool in_stream;

	if (walker->field->kind == WIRE_KIND_PLUGIN_DATA)
	{
		place = WIRE_PHASE_IN_XLOG_DATA;
		has_message =
		    content->plugin == WIRE_PLUGIN_PGOUTPUT ||
		    (content->plugin == WIRE_PLUGIN_UNKNOWN && walker->lsns[0] == walker->lsns[1]);
	}
	cursor_bytes(&behind, cursor_left(cursor), &rest);
	if (!has_message || !walker->take ||
	    (id = wire_content_id(content, place, rest, &in_stream)) == WIRE_MSG_Unknown)
		return walker_rest(walker, walker->field->name);
	*cursor = behind;
	return walk_part(walker, id, rest, in_stream);
}

/*
 * Walks a field of the kinds that stand inside CopyData alone.
 */
bool
walker_content_field(Walker *walker)
{
	bool is_over = cursor_left(&walker->cursor) == 0;

	switch (walker->field->kind)
	{
		case WIRE_KIND_CONTENT:
		case WIRE_KIND_PLUGIN_DATA:
			return walk_content(walker);
		case WIRE_KIND_STREAM_XID:
			return walk_optional(walker, walker->in_stream, WIRE_KIND_UINT32);
		case WIRE_KIND_LAST_LSN:
			return walk_optional(walker, !is_over, WIRE_KIND_LSN);
		case WIRE_KIND_LAST_TIME:
			return walk_optional(walker, !is_over, WIRE_KIND_TIME);
		case WIRE_KIND_KEY_TUPLE:
			return walk_tuple(walker, 'K', true);
		case WIRE_KIND_OLD_TUPLE:
			return walk_tuple(walker, 'O', true);
		case WIRE_KIND_NEW_TUPLE:
			return walk_tuple(walker, 'N', false);
		case WIRE_KIND_COUNT_INT8:
			return walk_count(walker);
		case WIRE_KIND_COUNTED_OIDS:
			return walk_counted_oids(walker);
		default:
			return false;
	}
}
