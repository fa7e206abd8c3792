/*
 * decode_formats.c
 *	  Which values of the answers are binary.
 *
 * A DataRow does not say what its values' formats are.  In the answer to a
 * Query the RowDescription before it does; in the answer to an Execute it was
 * the Bind that made the portal.  So the unanswered requests are kept in order,
 * each with its formats, and the portals with theirs.  Where a Bind was not
 * seen, values are shown by their bytes alone.
 */
#include "api/decode.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"

/* Portals remembered; beyond that the oldest is forgotten. */
#define MAX_PORTALS 1000
/* Unanswered requests remembered: as many as a relay tells apart. */
#define MAX_PENDING 100000

/* Format codes with a copy of their bytes. */
typedef struct Formats
{
	int count;
	uint8 codes[FLEXIBLE_ARRAY_MEMBER];
} Formats;

typedef struct KnownPortal
{
	char *name;
	size_t len;
	Formats *formats; /* shared with requests; freed with the tracker's context */
} KnownPortal;

typedef struct PendingRequest
{
	WireMessageId id;
	Formats *formats;
} PendingRequest;

struct FormatTracker
{
	MemoryContext context;  /* of portals */
	MemoryContext exchange; /* of requests and row formats */
	List *portals;
	PendingRequest *pending; /* in order; those before `head` are answered */
	int head;
	int count;
	int size;
	Formats *row_formats; /* of the last RowDescription */
	bool copy_is_binary;
};

/*
 * Makes a tracker.
 */
FormatTracker *
formats_create(void)
{
	FormatTracker *tracker = palloc0(sizeof(FormatTracker));

	tracker->context = CurrentMemoryContext;
	tracker->exchange =
	    AllocSetContextCreate(CurrentMemoryContext, "formats", ALLOCSET_SMALL_SIZES);
	return tracker;
}

/*
 * Forgets what is unanswered.
 */
void
formats_begin_exchange(FormatTracker *tracker)
{
	MemoryContextReset(tracker->exchange);
	tracker->pending = NULL;
	tracker->head = tracker->count = tracker->size = 0;
	tracker->row_formats = NULL;
	tracker->copy_is_binary = false;
}

/*
 * Copies format codes.
 */
static Formats *
copy_formats(const uint8 *codes, int count)
{
	Formats *formats = palloc(offsetof(Formats, codes) + (size_t) count * 2);

	formats->count = count;
	if (count > 0)
		memcpy(formats->codes, codes, (size_t) count * 2);
	return formats;
}

/* What is looked for in a walk: the format codes of one field or member. */
typedef struct Collect
{
	const char *name;
	bool in_list;
	WireSpan portal;
	bool has_portal;
	int64 number;
	StringInfoData codes;
} Collect;

/*
 * Takes an event: keeps the portal's name, and the codes of the field or member
 * that is looked for.
 */
static bool
collect_event(void *arg, const WireEvent *event)
{
	Collect *collect = arg;

	if (event->kind == WIRE_EVENT_BYTES && !collect->has_portal && event->name &&
	    strcmp(event->name, "portal") == 0)
	{
		collect->portal = event->bytes;
		collect->has_portal = true;
	}
	if (event->kind == WIRE_EVENT_LIST)
		collect->in_list = strcmp(event->name, collect->name) == 0;
	else if (event->kind == WIRE_EVENT_LIST_END)
		collect->in_list = false;
	else if (event->kind == WIRE_EVENT_NUMBER &&
	         (collect->in_list || (event->name && strcmp(event->name, collect->name) == 0)))
	{
		uint8 code[2] = {(uint8) (event->number >> 8), (uint8) event->number};

		appendBinaryStringInfo(&collect->codes, (const char *) code, 2);
	}
	return true;
}

/*
 * Walks a message for the format codes that a field or member of it holds.
 */
static void
collect(Collect *result, const WireMessage *message, const char *name)
{
	WireWalk walk = {0};

	memset(result, 0, sizeof(*result));
	result->name = name;
	initStringInfo(&result->codes);
	wire_walk(message->id, message->body.data, message->body.len, &walk, collect_event, result);
}

/*
 * Returns the format codes in a message, in the given context.
 */
static Formats *
formats_in(MemoryContext context, const WireMessage *message, const char *name)
{
	Collect found;
	MemoryContext before;
	Formats *formats;

	collect(&found, message, name);
	before = MemoryContextSwitchTo(context);
	formats = copy_formats((const uint8 *) found.codes.data, found.codes.len / 2);
	MemoryContextSwitchTo(before);
	return formats;
}

/*
 * Tells whether the format of a COPY is binary.
 */
static bool
is_first_binary(const WireMessage *message)
{
	Collect found;

	collect(&found, message, "format");
	return found.codes.len >= 2 && found.codes.data[0] == 0 && found.codes.data[1] == 1;
}

/*
 * Finds a portal.
 */
static KnownPortal *
find_portal(FormatTracker *tracker, WireSpan name)
{
	ListCell *cell;

	foreach (cell, tracker->portals)
	{
		KnownPortal *portal = lfirst(cell);

		if (portal->len == name.len && memcmp(portal->name, name.data, name.len) == 0)
			return portal;
	}
	return NULL;
}

/*
 * Notes a Bind: its portal's rows will have these formats.
 */
static void
note_bind(FormatTracker *tracker, const WireMessage *message)
{
	Collect found;
	MemoryContext before;
	KnownPortal *portal;

	collect(&found, message, "result_formats");
	if (!found.has_portal)
		return;
	portal = find_portal(tracker, found.portal);
	before = MemoryContextSwitchTo(tracker->context);
	if (!portal)
	{
		if (list_length(tracker->portals) >= MAX_PORTALS)
			tracker->portals = list_delete_first(tracker->portals);
		portal = palloc0(sizeof(KnownPortal));
		portal->len = found.portal.len;
		portal->name = palloc(portal->len + 1);
		memcpy(portal->name, found.portal.data, portal->len);
		tracker->portals = lappend(tracker->portals, portal);
	}
	/* pending requests may still use the formats before, so those stay */
	if (!portal->formats || portal->formats->count * 2 != found.codes.len ||
	    memcmp(portal->formats->codes, found.codes.data, found.codes.len) != 0)
		portal->formats = copy_formats((const uint8 *) found.codes.data, found.codes.len / 2);
	MemoryContextSwitchTo(before);
}

/*
 * Appends a request to the queue.
 */
static void
push_request(FormatTracker *tracker, PendingRequest request)
{
	if (tracker->count >= MAX_PENDING)
		return;
	if (tracker->count == tracker->size)
	{
		PendingRequest *larger;

		tracker->size = Max(tracker->size * 2, 16);
		larger = MemoryContextAlloc(tracker->exchange, sizeof(PendingRequest) * tracker->size);
		if (tracker->count > 0)
			memcpy(larger, tracker->pending, sizeof(PendingRequest) * tracker->count);
		if (tracker->pending)
			pfree(tracker->pending);
		tracker->pending = larger;
	}
	tracker->pending[tracker->count++] = request;
}

/*
 * Notes a request that will be answered.
 */
static void
note_request(FormatTracker *tracker, const WireMessage *message)
{
	Formats *formats = NULL;

	if (message->id == WIRE_MSG_Execute)
	{
		Collect found;
		KnownPortal *portal;

		collect(&found, message, "");
		portal = found.has_portal ? find_portal(tracker, found.portal) : NULL;
		formats = portal ? portal->formats : NULL;
	}
	else if (message->id == WIRE_MSG_FunctionCall)
		formats = formats_in(tracker->exchange, message, "result_format");
	push_request(tracker, (PendingRequest){message->id, formats});
}

/*
 * Returns the request that is being answered; NULL: none is known.
 */
static PendingRequest *
pending_head(const FormatTracker *tracker)
{
	return tracker->head < tracker->count ? &tracker->pending[tracker->head] : NULL;
}

/*
 * Tells whether a request ends an exchange: ReadyForQuery answers it.
 */
static bool
is_terminator(const PendingRequest *request)
{
	return request->id != WIRE_MSG_Execute;
}

/*
 * Takes what was answered off the queue: at an error or ReadyForQuery all that
 * was skipped before the terminator.
 */
static void
drop_to_terminator(FormatTracker *tracker)
{
	const PendingRequest *request;

	while ((request = pending_head(tracker)) && !is_terminator(request))
		tracker->head++;
}

/*
 * Notes a backend message.
 */
static void
note_answer(FormatTracker *tracker, const WireMessage *message)
{
	const PendingRequest *request = pending_head(tracker);

	switch (message->id)
	{
		case WIRE_MSG_RowDescription:
			tracker->row_formats = formats_in(tracker->exchange, message, "format");
			break;
		case WIRE_MSG_CopyInResponse:
		case WIRE_MSG_CopyOutResponse:
		case WIRE_MSG_CopyBothResponse:
			tracker->copy_is_binary = is_first_binary(message);
			break;
		case WIRE_MSG_CommandComplete:
		case WIRE_MSG_EmptyQueryResponse:
		case WIRE_MSG_PortalSuspended:
			tracker->copy_is_binary = false;
			if (request && !is_terminator(request))
				tracker->head++;
			break;
		case WIRE_MSG_ErrorResponse:
			tracker->copy_is_binary = false;
			drop_to_terminator(tracker);
			break;
		case WIRE_MSG_ReadyForQuery:
			drop_to_terminator(tracker);
			if (pending_head(tracker))
				tracker->head++;
			tracker->row_formats = NULL;
			break;
		default:
			break;
	}
}

/*
 * Notes that a message passed.
 */
void
formats_pass(FormatTracker *tracker, WireDirection direction, const WireMessage *message)
{
	if (message->form != WIRE_FORM_WHOLE)
		return;
	if (direction == WIRE_BACKEND)
		note_answer(tracker, message);
	else if (message->id == WIRE_MSG_Bind)
		note_bind(tracker, message);
	else if (message->id == WIRE_MSG_Execute || message->id == WIRE_MSG_FunctionCall ||
	         message->id == WIRE_MSG_Query || message->id == WIRE_MSG_Sync)
		note_request(tracker, message);
}

/*
 * Sets what is known of the values of a message that comes next.
 */
void
formats_apply(const FormatTracker *tracker, WireDirection direction, WireMessageId id,
              JsonContext *context)
{
	const PendingRequest *request = pending_head(tracker);
	const Formats *formats = NULL;

	context->formats = (WireFormats){NULL, 0};
	context->data_is_binary = id == WIRE_MSG_CopyData && tracker->copy_is_binary;
	if (direction != WIRE_BACKEND ||
	    (id != WIRE_MSG_DataRow && id != WIRE_MSG_FunctionCallResponse))
		return;
	if (request && is_terminator(request) && request->id != WIRE_MSG_FunctionCall)
		formats = tracker->row_formats;
	else if (request)
		formats = request->formats;
	if (formats)
		context->formats = (WireFormats){formats->codes, (size_t) formats->count};
}
