/*
 * tracker.c
 *	  Frames what passes in a session and hands it to pairing and extraction.
 *
 * Both directions go through the same steps: split off a message, find the
 * exchange that it belongs to when its header is there, add the bytes, and when
 * its last byte has come let extract.c read it.
 */
#include "relay/tracker.h"

#include <stdlib.h>
#include <string.h>

/*
 * Makes a tracker whose memory is zeroed.
 */
void
tracker_init(Tracker *tracker, const TrackerEnv *env)
{
	memset(tracker, 0, sizeof(*tracker));
	tracker->env = env;
	tracker->failed_copy_no = -1;
	tracker->standard_strings = true;
	tracker->auth_phase = WIRE_PHASE_PASSWORD;
	tracker->front.framer.limits = wire_length_limits(WIRE_FRONTEND);
	tracker->back.framer.limits = wire_length_limits(WIRE_BACKEND);
}

/*
 * Frees everything; exchanges that are still there are dropped unseen, so
 * tracker_end comes first where they matter.
 */
void
tracker_free(Tracker *tracker)
{
	const TrackerEnv *env = tracker->env;

	statement_drop_all(env->texts, &tracker->statements);
	names_drop_portals(tracker);
	buffer_free(env->budget, &tracker->front.assembly);
	buffer_free(env->budget, &tracker->back.assembly);
	buffer_free(env->budget, &tracker->server_parameters);
	budget_free(env->budget, tracker->queue.entries, tracker->queue.cap * sizeof(QueueEntry));
	if (tracker->row_hash)
		XXH3_freeState(tracker->row_hash);
	memset(tracker, 0, sizeof(*tracker));
}

/*
 * Begins an exchange.  Without memory for it (NULL) the session can't be
 * followed any more.
 */
Exchange *
tracker_begin(Tracker *tracker, int64_t at)
{
	const TrackerEnv *env = tracker->env;
	bool is_paused = tracker->recorded && env->is_paused && atomic_load(env->is_paused);
	Exchange *exchange = exchange_begin(env->exchanges, at, tracker->recorded && !is_paused);

	if (!exchange)
		tracker->desynchronised = true;
	else
		exchange->is_paused = is_paused;
	return exchange;
}

/*
 * Tells whether a message is a row, of a result or of COPY.
 */
static bool
is_row(WireMessageId id)
{
	return id == WIRE_MSG_DataRow || id == WIRE_MSG_CopyData;
}

/*
 * Tells whether the message in hand is a row beyond those that are kept.
 */
static bool
is_row_too_many(const Tracker *tracker, const Exchange *exchange, WireDirection direction)
{
	const TrackerSide *from = direction == WIRE_FRONTEND ? &tracker->front : &tracker->back;
	const ExchangeSide *side =
	    direction == WIRE_FRONTEND ? &exchange->request : &exchange->response;

	return tracker->env->row_limit > 0 && side->rows >= tracker->env->row_limit && is_row(from->id);
}

/*
 * Adds bytes of a direction to an exchange.
 */
static void
take(Tracker *tracker, Exchange *exchange, WireDirection direction, const uint8_t *data, size_t len)
{
	const TrackerEnv *env = tracker->env;
	int64_t limit = direction == WIRE_FRONTEND ? env->request_limit : env->response_limit;

	if (!exchange)
		return;
	if (!env->keeps_bytes || is_row_too_many(tracker, exchange, direction))
		limit = 0;
	exchange_take(env->exchanges, exchange, direction, data, len, tracker->now, limit);
}

/*
 * Adds bytes to exchange 0 that the relay handled by itself.  The first call
 * makes the exchange and what waits for its ReadyForQuery.
 */
void
tracker_add_startup(Tracker *tracker, WireDirection direction, const uint8_t *data, size_t len,
                    int64_t now, uint32_t kind_flag)
{
	tracker->now = now;
	if (!tracker->first)
	{
		Exchange *exchange = tracker_begin(tracker, now);

		if (!exchange)
			return;
		exchange->terminated = true;
		exchange->has_secret = true;
		tracker->first = tracker->last = exchange;
		queue_push(tracker, (QueueEntry){.id = WIRE_MSG_StartupMessage, .count = 1});
	}
	tracker->first->has |= kind_flag;
	if (direction == WIRE_FRONTEND)
		tracker->request_bytes += len;
	else
		tracker->response_bytes += len;
	take(tracker, tracker->first, direction, data, len);
}

/*
 * Gives up decoding: the stream makes no sense as protocol.
 */
static void
desynchronise(Tracker *tracker)
{
	tracker->desynchronised = true;
	pairing_abandon(tracker, true);
	tracker->front.has_target = tracker->back.has_target = false;
}

/*
 * Returns the message type of a byte.  Outside COPY its messages may come late.
 */
static WireMessageId
identify(const Tracker *tracker, WireDirection direction, const WireFrame *frame)
{
	WirePhase phase = WIRE_PHASE_NORMAL;
	WireMessageId id;

	if (direction == WIRE_FRONTEND && !tracker->authenticated)
		phase = tracker->auth_phase;
	id = wire_type_of(direction, frame->type, phase, frame->body.data, frame->body.len);
	if (id == WIRE_MSG_Unknown)
		id = wire_type_of(direction, frame->type, WIRE_PHASE_COPY, frame->body.data,
		                  frame->body.len);
	return id;
}

/*
 * Finds the exchange that a frontend message which begins belongs to.
 */
static Exchange *
frontend_target(Tracker *tracker, WireMessageId id, uint32_t length)
{
	if (id == WIRE_MSG_CopyData || id == WIRE_MSG_CopyDone || id == WIRE_MSG_CopyFail)
		return pairing_copy_target(tracker);
	tracker_finish_late(tracker);
	tracker->failed_copy_no = -1;
	if (!tracker->authenticated && tracker->first)
		return tracker->first;
	if (id == WIRE_MSG_Terminate)
	{
		if (!tracker->terminate)
			tracker->terminate = tracker_begin(tracker, tracker->front.header_at);
		if (tracker->terminate)
			tracker->terminate->has |= HAS_TERMINATE;
		tracker->terminated_at = tracker->now;
		return tracker->terminate;
	}
	if (id == WIRE_MSG_Sync && length == 4 && tracker->authenticated && !pairing_is_open(tracker))
		return NULL; /* a bare one: no exchange object until it is answered */
	return pairing_front(tracker);
}

/*
 * Finishes the exchange of what the server said outside any.
 */
static void
finish_async(Tracker *tracker)
{
	Exchange *async = tracker->async;

	tracker->async = NULL;
	if (async)
		tracker_finish(tracker, async, true);
}

/*
 * Returns the exchange of what the server says outside any.
 */
static Exchange *
async_target(Tracker *tracker)
{
	if (!tracker->async)
		tracker->async = tracker_begin(tracker, tracker->now);
	return tracker->async;
}

/*
 * Finds the exchange that a backend message which begins belongs to.
 */
static Exchange *
backend_target(Tracker *tracker, WireMessageId id)
{
	Exchange *exchange = pairing_current(tracker, id);

	if (!exchange)
		return async_target(tracker);
	finish_async(tracker);
	if (exchange->first_response_at < 0 && id != WIRE_MSG_NoticeResponse &&
	    id != WIRE_MSG_NotificationResponse && id != WIRE_MSG_ParameterStatus)
		exchange->first_response_at = tracker->now;
	return exchange;
}

/*
 * Hands the body of a message to extraction: as it is where it came in one
 * piece, else from the assembly buffer, cut to what the handler wants.
 */
static void
read_body(Tracker *tracker, WireDirection direction, TrackerSide *side, const WireFrame *frame)
{
	const uint8_t *body = frame->body.data;
	size_t len = frame->body.len;
	bool in_one_piece = frame->begins && frame->ends;

	if ((side->id == WIRE_MSG_DataRow || side->id == WIRE_MSG_CopyData) &&
	    direction == WIRE_BACKEND)
		extract_row(tracker, body, len, frame->begins, frame->ends);
	if (side->wanted > 0 && !in_one_piece)
	{
		Budget *budget = tracker->env->budget;
		size_t room = side->wanted - side->assembly.len;
		size_t more = len < room ? len : room;

		/* until the session is ready, whether it may go on hangs on these few bytes */
		if (tracker->is_ready)
			buffer_append(budget, &side->assembly, body, more);
		else
			buffer_keep(budget, &side->assembly, body, more);
		body = side->assembly.data;
		len = side->assembly.len;
	}
	if (!frame->ends)
		return;
	if (direction == WIRE_FRONTEND)
		extract_frontend(tracker, side->id, body, side->wanted > 0 ? len : 0);
	else
		extract_backend(tracker, side->id, body, side->wanted > 0 ? len : 0);
	buffer_reset(tracker->env->budget, &side->assembly, 0);
}

/*
 * Tells whether the first exchange should be recorded in part: it takes long and
 * bytes have passed since the last part.  The startup is never cut: what is
 * secret in it goes by its position.
 */
static bool
is_part_due(const Tracker *tracker)
{
	const Exchange *first = tracker->first;

	return first && first->recorded && !(first->has & (HAS_STARTUP | HAS_CANCEL)) &&
	       tracker->env->part_us > 0 &&
	       tracker->now - first->part_started_at >= tracker->env->part_us &&
	       first->request.bytes + first->response.bytes > 0;
}

/*
 * Records what there is of the first exchange, unless that would cut a message
 * in two.
 */
static void
finish_part(Tracker *tracker)
{
	Exchange *first = tracker->first;
	const QueueEntry *head = queue_at(&tracker->queue, 0);

	tracker->part_due = is_part_due(tracker);
	if (!tracker->part_due || (tracker->front.has_target && tracker->front.target == first) ||
	    (tracker->back.has_target && tracker->back.target == first))
		return;
	tracker->part_due = false;
	if (first->exchange_no < 0)
		first->exchange_no = tracker->next_no++;
	if (head && head->id == WIRE_MSG_Query)
		exchange_set_query(first, head->text, false); /* its answer has not ended yet */
	first->finished_at = tracker->now;
	tracker->env->part_finished(tracker, first);
	exchange_next_part(tracker->env->exchanges, first, tracker->now);
}

/*
 * Looks whether the first exchange takes long: then what there is of it is
 * recorded, at once or when the next message begins.
 */
void
tracker_check_long(Tracker *tracker, int64_t now)
{
	if (!tracker->first)
		return;
	tracker->now = now;
	finish_part(tracker);
}

/*
 * Counts the rest of a message whose exchange was given up while it came in.
 * Without its begin nobody could read it, nor tell what in it is secret.
 */
static void
take_rest(Tracker *tracker, WireDirection direction, TrackerSide *side, const WireSpan *rest)
{
	side->target =
	    direction == WIRE_FRONTEND ? pairing_copy_target(tracker) : async_target(tracker);
	if (side->target)
		exchange_take(tracker->env->exchanges, side->target, direction, rest->data, rest->len,
		              tracker->now, 0);
}

/*
 * Observes one step of framing.
 */
static void
observe(Tracker *tracker, WireDirection direction, const uint8_t *data, size_t consumed,
        const WireFrame *frame, bool whole_header)
{
	bool is_front = direction == WIRE_FRONTEND;
	TrackerSide *side = is_front ? &tracker->front : &tracker->back;

	if (frame->begins)
	{
		if (tracker->part_due)
			finish_part(tracker);
		side->id = identify(tracker, direction, frame);
		side->wanted = extract_wants(tracker, side->id);
		side->target = is_front ? frontend_target(tracker, side->id, frame->length)
		                        : backend_target(tracker, side->id);
		side->has_target = true;
		if (side->target && is_row(side->id))
			(is_front ? &side->target->request : &side->target->response)->rows++;
		if (whole_header)
			take(tracker, side->target, direction, data, consumed);
		else
			take(tracker, side->target, direction, side->framer.header, 5);
	}
	else if (!side->has_target)
		return; /* a piece of a header: taken when it is whole */
	if (!side->target && frame->body.len > 0)
		take_rest(tracker, direction, side, &frame->body);
	else if (!frame->begins || !whole_header)
		take(tracker, side->target, direction, frame->body.data, frame->body.len);
	read_body(tracker, direction, side, frame);
	if (frame->ends)
	{
		side->has_target = false;
		side->target = NULL;
	}
}

/*
 * Observes a piece of one direction's stream, message by message.
 */
static void
observe_stream(Tracker *tracker, WireDirection direction, const uint8_t *data, size_t len)
{
	TrackerSide *side = direction == WIRE_FRONTEND ? &tracker->front : &tracker->back;

	while (len > 0 && !tracker->desynchronised)
	{
		WireFrame frame;
		bool fresh = !side->has_target && side->framer.have == 0;
		size_t consumed;

		if (fresh)
			side->header_at = tracker->now;
		consumed = wire_frame_next(&side->framer, data, len, &frame);
		if (frame.bad)
		{
			desynchronise(tracker);
			return;
		}
		observe(tracker, direction, data, consumed, &frame, fresh && frame.begins);
		data += consumed;
		len -= consumed;
	}
}

/*
 * Observes what the client sent.
 */
void
tracker_frontend(Tracker *tracker, const uint8_t *data, size_t len, int64_t now)
{
	tracker->now = now;
	tracker->request_bytes += len;
	if (tracker->uncertain && tracker->client_waits && tracker->queue.count > 0 &&
	    !tracker->front.has_target && tracker->front.framer.have == 0)
		pairing_abandon(tracker, true);
	tracker->client_waits = false;
	observe_stream(tracker, WIRE_FRONTEND, data, len);
}

/*
 * Observes what the server sent.  What it said outside any exchange makes one
 * of its own, as far as it came at one time.
 */
void
tracker_backend(Tracker *tracker, const uint8_t *data, size_t len, int64_t now)
{
	tracker->now = now;
	tracker->response_bytes += len;
	observe_stream(tracker, WIRE_BACKEND, data, len);
	if (!(tracker->back.has_target && tracker->back.target == tracker->async))
		finish_async(tracker);
}

/*
 * Tells whether reading from the client should stop.  Only messages up to the
 * last one that makes the server answer count: it may keep the answers to what
 * stands behind to itself, so stopping for those would be a deadlock.  In COPY
 * IN the server reads whatever it ignores, so there is nothing owed.
 */
bool
tracker_throttled(const Tracker *tracker)
{
	const Queue *queue = &tracker->queue;

	return !tracker->copy_in && !tracker->desynchronised && queue->owed > queue->answered &&
	       queue->owed - queue->answered >= TRACKER_OWED_LIMIT;
}

/*
 * Returns the number of the exchange that the server works on: as exchanges are
 * numbered when they are finished, in order, the first one's is the next.
 */
int64_t
tracker_current_no(const Tracker *tracker)
{
	if (!tracker->first)
		return -1;
	return tracker->first->exchange_no >= 0 ? tracker->first->exchange_no : tracker->next_no;
}

/*
 * Moves the message that is still coming in to the exchange that collects late
 * CopyData, so that it stays whole.
 */
static void
split_message(Tracker *tracker, Exchange *exchange)
{
	const TrackerEnv *env = tracker->env;
	const WireFramer *framer = &tracker->front.framer;
	uint32_t length = (uint32_t) framer->header[1] << 24 | (uint32_t) framer->header[2] << 16 |
	                  (uint32_t) framer->header[3] << 8 | framer->header[4];
	Exchange *late = pairing_copy_target(tracker);

	if (!late || late != tracker->late)
		return;
	exchange_split(env->exchanges, exchange, late, 1 + (uint64_t) length - framer->left,
	               env->keeps_bytes ? env->request_limit : 0);
	tracker->front.target = late;
}

/*
 * Numbers an exchange and hands it over.  A message of the client's that is
 * still coming in for it goes on as late CopyData.
 */
void
tracker_finish(Tracker *tracker, Exchange *exchange, bool is_complete)
{
	exchange->finished_at = tracker->now;
	exchange->is_complete |= is_complete;
	if (exchange->exchange_no < 0)
		exchange->exchange_no = tracker->next_no++;
	if (tracker->back.target == exchange)
	{
		if (tracker->back.framer.left > 0)
			extract_cut(tracker, exchange, WIRE_BACKEND);
		tracker->back.target = NULL;
	}
	if (exchange->has_failed)
	{
		tracker->failed_copy_no = exchange->exchange_no;
		tracker->failed_copy_parts = exchange->part_no;
	}
	if (tracker->front.target == exchange)
	{
		tracker->front.target = NULL;
		if (exchange->has_failed && tracker->front.framer.left > 0)
			split_message(tracker, exchange);
		if (tracker->front.framer.left > 0 && !tracker->front.target)
			extract_cut(tracker, exchange, WIRE_FRONTEND);
	}
	tracker->env->finished(tracker, exchange);
}

/*
 * Finishes the exchange that collects late CopyData, if there is one.  A message
 * that is still coming in for it, at the session's end, stays in it.
 */
void
tracker_finish_late(Tracker *tracker)
{
	Exchange *late = tracker->late;

	if (!late)
		return;
	tracker->late = NULL;
	if (tracker->front.target == late)
	{
		if (tracker->front.framer.left > 0)
			extract_cut(tracker, late, WIRE_FRONTEND);
		tracker->front.target = NULL;
	}
	tracker_finish(tracker, late, true);
}

/*
 * Takes the piece of a header that a direction ends with: it belongs to the exchange
 * that its message would have belonged to.
 */
static void
take_header_piece(Tracker *tracker, WireDirection direction)
{
	bool is_front = direction == WIRE_FRONTEND;
	TrackerSide *side = is_front ? &tracker->front : &tracker->back;
	WireFrame frame = {.type = side->framer.header[0]};

	if (!tracker->is_ready || tracker->desynchronised || side->has_target ||
	    side->framer.have == 0 || side->framer.have >= sizeof(side->framer.header))
		return;
	side->id = identify(tracker, direction, &frame);
	if (is_front && side->id == WIRE_MSG_Terminate)
		side->target = pairing_front(tracker); /* it was not said */
	else
		side->target =
		    is_front ? frontend_target(tracker, side->id, 0) : backend_target(tracker, side->id);
	take(tracker, side->target, direction, side->framer.header, side->framer.have);
	if (side->target)
		extract_cut(tracker, side->target, direction);
	side->target = NULL;
}

/*
 * Finishes what is open, in order.
 */
void
tracker_end(Tracker *tracker, int64_t now)
{
	Exchange *terminate = tracker->terminate;
	Exchange *async;

	tracker->now = now;
	take_header_piece(tracker, WIRE_FRONTEND);
	take_header_piece(tracker, WIRE_BACKEND);
	async = tracker->async;
	pairing_abandon(tracker, false);
	tracker_finish_late(tracker);
	tracker->async = tracker->terminate = NULL;
	if (async)
		tracker_finish(tracker, async, false);
	tracker->now = tracker->terminated_at;
	if (terminate)
		tracker_finish(tracker, terminate, true);
}
