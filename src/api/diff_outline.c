/*
 * diff_outline.c
 *	  A session as keys of its exchanges, so that those of two sessions can be
 *	  paired without holding what was said.
 *
 * Exchanges are told apart by their requests: the same program says the same, and
 * what it is answered is what one wants to compare.  The startup is always the
 * counterpart of the startup.
 */
#include "api/diff.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

/* Longest query text whose constants are looked for. */
#define MOST_NORMALISED 65536

/* A session whose messages are read. */
typedef struct Outlining
{
	DiffOutline *list; /* in a context that outlives the reading */
	int64 count;
	int64 size;
	bool has_request; /* of the last exchange */
	uint64 request;
	uint64 answer;
	AlignKeys answer_keys;
} Outlining;

/*
 * Adds a key to one that stands for those before it.
 */
uint64
diff_add_key(uint64 before, uint64 key)
{
	return hash_combine64(before, key);
}

/*
 * Returns the key of a message's query without its constants, or of its name
 * where it has none.
 */
static uint64
statement_key(const WireMessage *message, uint64 name)
{
	WireValue values[WIRE_MAX_FIELDS];
	const WireField *fields = wire_types[message->id].fields;
	int count;

	if (message->form != WIRE_FORM_WHOLE || message->id == WIRE_MSG_Unknown)
		return name;
	count = wire_decode(message->id, message->body.data, message->body.len, values);
	for (int i = 0; i < count; i++)
	{
		WireSpan text = values[i].bytes;
		char *normalised;
		size_t len;

		if (fields[i].kind != WIRE_KIND_QUERY || text.len == 0)
			continue;
		normalised = palloc(MOST_NORMALISED);
		len = wire_normalise((const char *) text.data, text.len, true, normalised, MOST_NORMALISED);
		name = hash_bytes_extended((const unsigned char *) normalised, (int) len, name);
		pfree(normalised);
	}
	return name;
}

/*
 * Sets a message's keys.  What is too long for its body counts by its bytes.
 */
static void
set_keys(AlignKeys *keys, const WireMessage *message, const Jsonb *body, bool is_cut)
{
	const char *text = json_message_name(message);
	uint64 name = hash_bytes_extended((const unsigned char *) text, (int) strlen(text), 0);

	keys->key[0] = hash_bytes_extended((const unsigned char *) &body->root,
	                                   (int) (VARSIZE(body) - VARHDRSZ), name);
	if (is_cut)
		keys->key[0] =
		    hash_bytes_extended(message->body.data, (int) message->body.len, keys->key[0]);
	keys->key[1] = statement_key(message, name);
	keys->key[2] = name;
}

/*
 * Returns a message's body in regress mode, and its keys; see diff.h.
 */
Jsonb *
diff_message_body(const RecordedMessage *recorded, AlignKeys *keys)
{
	JsonContext context = *recorded->context;
	bool is_cut;
	Jsonb *body;

	context.is_regress = true;
	body = json_message_body(&context, recorded->message, &is_cut);
	if (keys)
		set_keys(keys, recorded->message, body, is_cut);
	return body;
}

/*
 * Begins an exchange; returns its outline.
 */
static DiffOutline *
begin_exchange(Outlining *outlining, int64 exchange_no)
{
	if (outlining->count == outlining->size)
	{
		outlining->size = Max(outlining->size * 2, 64);
		outlining->list = repalloc_huge(outlining->list, sizeof(DiffOutline) * outlining->size);
	}
	outlining->list[outlining->count] = (DiffOutline){.exchange_no = exchange_no};
	outlining->count++;
	outlining->has_request = false;
	outlining->request = outlining->answer = 0;
	outlining->answer_keys = (AlignKeys){{0}};
	return &outlining->list[outlining->count - 1];
}

/*
 * Ends the last exchange.
 */
static void
end_exchange(Outlining *outlining)
{
	DiffOutline *outline;

	if (outlining->count == 0)
		return;
	outline = &outlining->list[outlining->count - 1];
	outline->whole = diff_add_key(outlining->request, outlining->answer);
	if (!outlining->has_request)
		outline->keys = outlining->answer_keys;
	if (outline->exchange_no == 0)
		outline->keys = (AlignKeys){{0}};
}

/*
 * Takes a message.
 */
static void
take_message(void *arg, const RecordedMessage *recorded)
{
	Outlining *outlining = arg;
	DiffOutline *last = outlining->count > 0 ? &outlining->list[outlining->count - 1] : NULL;
	bool is_request = recorded->direction == WIRE_FRONTEND;
	AlignKeys keys;
	AlignKeys *sum;

	if (!last || last->exchange_no != recorded->exchange_no)
	{
		end_exchange(outlining);
		last = begin_exchange(outlining, recorded->exchange_no);
	}
	diff_message_body(recorded, &keys);
	sum = is_request ? &last->keys : &outlining->answer_keys;
	for (int level = 0; level < ALIGN_LEVELS; level++)
		sum->key[level] = diff_add_key(sum->key[level], keys.key[level]);
	if (is_request)
		outlining->request = diff_add_key(outlining->request, keys.key[0]);
	else
		outlining->answer = diff_add_key(outlining->answer, keys.key[0]);
	outlining->has_request |= is_request;
}

/*
 * Takes what is known of an exchange whose bytes were not all kept.
 */
static void
take_columns(void *arg, const DiffColumns *columns)
{
	Outlining *outlining = arg;

	DiffOutline *outline = begin_exchange(outlining, columns->exchange_no);

	outline->whole = columns->whole;
	outline->has_columns = true;
	if (columns->exchange_no != 0)
		outline->keys = columns->keys;
}

/*
 * Merges outlines from `second` on with those before, both in the order of their
 * numbers.  Two of one number become one, with the keys of the messages.
 */
static void
merge_outlines(Outlining *outlining, int64 second)
{
	const DiffOutline *from = outlining->list;
	DiffOutline *to = MemoryContextAllocHuge(CurrentMemoryContext,
	                                         sizeof(DiffOutline) * (size_t) outlining->count);
	int64 count = 0;

	for (int64 i = 0, j = second; i < second || j < outlining->count; count++)
	{
		if (j == outlining->count || (i < second && from[i].exchange_no < from[j].exchange_no))
			to[count] = from[i++];
		else if (i == second || from[i].exchange_no > from[j].exchange_no)
			to[count] = from[j++];
		else
		{
			to[count] = from[i++];
			to[count].whole = diff_add_key(to[count].whole, from[j++].whole);
			to[count].has_columns = true;
		}
	}
	pfree(outlining->list);
	outlining->list = to;
	outlining->count = count;
}

/*
 * Returns the outlines of a session's exchanges; see diff.h.
 */
AlignSequence
diff_outline(int64 session_id)
{
	Outlining outlining = {.list = palloc(sizeof(DiffOutline))};
	int64 messages;

	messages_read(session_id, false, 0, take_message, &outlining);
	end_exchange(&outlining);
	messages = outlining.count;
	diff_read_columns(session_id, false, 0, take_columns, &outlining);
	if (outlining.count > messages)
		merge_outlines(&outlining, messages);
	return (AlignSequence){(const char *) outlining.list, sizeof(DiffOutline), outlining.count};
}
