/*
 * diff_exchange.c
 *	  Two exchanges, message by message.
 *
 * What passes in one direction is compared with what passes in the same direction:
 * how requests and answers meet is a matter of time.  Of each message its keys
 * are held; bodies wait in tuplestores, which go to disk when they are many, and
 * are read once, in order.
 */
#include "api/diff.h"

#include "executor/tuptable.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

typedef struct DiffMessage
{
	AlignKeys keys; /* first, as alignment wants it */
	int32 message_no;
} DiffMessage;

/* What passed in one direction of an exchange. */
typedef struct Stream
{
	DiffMessage *messages;
	int64 count;
	int64 size;
	Tuplestorestate *bodies; /* rows of the result: `what` is the name, left_body the body */
	TupleTableSlot *slot;    /* the last one that was read */
	int64 read;              /* how many were */
} Stream;

/* An exchange of one session. */
typedef struct Side
{
	TupleDesc desc;    /* of the result */
	Stream streams[2]; /* frontend, backend */
} Side;

/*
 * Adds a message to a direction; returns its place, for its keys.
 */
static DiffMessage *
add_message(Side *side, Stream *stream, const char *name, int32 message_no, Jsonb *body)
{
	bool nulls[5] = {true, true, false, false, true};
	Datum values[5] = {0, 0, CStringGetTextDatum(name), JsonbPGetDatum(body), 0};

	if (stream->count == stream->size)
	{
		stream->size *= 2;
		stream->messages =
		    repalloc_huge(stream->messages, sizeof(DiffMessage) * (size_t) stream->size);
	}
	tuplestore_putvalues(stream->bodies, side->desc, values, nulls);
	stream->messages[stream->count].message_no = message_no;
	return &stream->messages[stream->count++];
}

/*
 * Adds a message to its direction.
 */
static void
take_message(void *arg, const RecordedMessage *recorded)
{
	Side *side = arg;
	AlignKeys keys;
	Jsonb *body = diff_message_body(recorded, &keys);
	Stream *stream = &side->streams[recorded->direction == WIRE_BACKEND];
	const char *name = json_message_name(recorded->message);

	add_message(side, stream, name, recorded->message_no, body)->keys = keys;
}

/*
 * Adds what is known of the exchange although its bytes were left out.
 */
static void
take_columns(void *arg, const DiffColumns *columns)
{
	Side *side = arg;
	DiffMessage *message = add_message(side, &side->streams[1], "record", 0, columns->body);

	message->keys = (AlignKeys){{columns->whole, PG_UINT64_MAX, PG_UINT64_MAX}};
}

/*
 * Reads an exchange.
 */
static void
read_side(Side *side, TupleDesc desc, int64 session_id, const DiffOutline *outline)
{
	side->desc = desc;
	for (int i = 0; i < 2; i++)
	{
		Stream *stream = &side->streams[i];

		stream->count = stream->read = 0;
		stream->size = 64;
		stream->messages = palloc(sizeof(DiffMessage) * (size_t) stream->size);
		stream->bodies = tuplestore_begin_heap(false, false, work_mem);
		stream->slot = MakeSingleTupleTableSlot(side->desc, &TTSOpsMinimalTuple);
	}
	messages_read(session_id, true, outline->exchange_no, take_message, side);
	if (outline->has_columns)
		diff_read_columns(session_id, true, outline->exchange_no, take_columns, side);
}

/*
 * Lets go of what is not memory alone.
 */
static void
end_side(Side *side)
{
	for (int i = 0; i < 2; i++)
	{
		ExecDropSingleTupleTableSlot(side->streams[i].slot);
		tuplestore_end(side->streams[i].bodies);
	}
}

/*
 * Returns a message's body, and its name; those before it are passed over.
 */
static Jsonb *
body_of(Stream *stream, int64 place, char **name)
{
	bool is_null;

	while (stream->read <= place)
	{
		if (!tuplestore_gettupleslot(stream->bodies, true, false, stream->slot))
			elog(ERROR, "message %lld is missing", (long long) place);
		stream->read++;
	}
	*name = TextDatumGetCString(slot_getattr(stream->slot, 3, &is_null));
	return DatumGetJsonbP(slot_getattr(stream->slot, 4, &is_null));
}

/*
 * Adds a row for a message that has no counterpart.
 */
static void
put_single(ReturnSetInfo *result, int64 exchange_no, Stream *stream, int64 place, bool is_left)
{
	char *name;
	Jsonb *body = body_of(stream, place, &name);

	diff_put(result, exchange_no, stream->messages[place].message_no,
	         psprintf("%s message: %s", is_left ? "missing" : "extra", name), is_left ? body : NULL,
	         is_left ? NULL : body);
}

/*
 * Adds a row for two messages if they differ.
 */
static void
put_pair(ReturnSetInfo *result, int64 exchange_no, Stream *left, int64 left_place, Stream *right,
         int64 right_place)
{
	const DiffMessage *message = &left->messages[left_place];
	char *name;
	Jsonb *left_body;
	Jsonb *right_body;

	if (message->keys.key[0] == right->messages[right_place].keys.key[0])
		return;
	left_body = body_of(left, left_place, &name);
	right_body = body_of(right, right_place, &name);
	diff_put(result, exchange_no, message->message_no,
	         psprintf("%s: %s", name, diff_places(left_body, right_body)), left_body, right_body);
}

/*
 * Compares what passed in one direction.
 */
static void
compare_streams(ReturnSetInfo *result, int64 exchange_no, Stream *left, Stream *right)
{
	AlignSequence a = {(const char *) left->messages, sizeof(DiffMessage), left->count};
	AlignSequence b = {(const char *) right->messages, sizeof(DiffMessage), right->count};
	int64 *pairs = align_sequences(&a, &b);
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "session_diff row", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	int64 next = 0; /* of those on the right */

	for (int64 i = 0; i <= left->count; i++)
	{
		int64 until = i == left->count ? right->count : pairs[i];

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		for (; next < until; next++)
			put_single(result, exchange_no, right, next, false);
		if (i == left->count)
			break;
		if (until < 0)
			put_single(result, exchange_no, left, i, true);
		else
			put_pair(result, exchange_no, left, i, right, next++);
	}
	MemoryContextSwitchTo(before);
}

/*
 * Adds a row for each message in which two exchanges differ; see diff.h.
 */
void
diff_exchanges(ReturnSetInfo *result, const int64 sessions[2], const DiffOutline *left,
               const DiffOutline *right)
{
	Side sides[2];

	read_side(&sides[0], result->setDesc, sessions[0], left);
	read_side(&sides[1], result->setDesc, sessions[1], right);
	for (int i = 0; i < 2; i++)
		compare_streams(result, left->exchange_no, &sides[0].streams[i], &sides[1].streams[i]);
	end_side(&sides[0]);
	end_side(&sides[1]);
}
