/*
 * stream.c
 *	  Whole messages in bytes that are there at once, and the phases between
 *	  them.
 */
#include "wire/stream.h"

#include <string.h>
#include <strings.h>

#include "wire/walk.h"

/* Answers that may come one after the other: GSSENCRequest's and SSLRequest's. */
#define MAX_ANSWERS 2

/*
 * Reads a 32-bit integer in network byte order.
 */
static uint32_t
get_uint32(const uint8_t *at)
{
	return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

/*
 * Begins a stream; see stream.h.
 */
void
wire_stream_begin(WirePhases *phases, WireDirection direction, WirePhase phase)
{
	*phases = (WirePhases){.front = WIRE_PHASE_NORMAL, .back = WIRE_PHASE_NORMAL};
	phases->is_alone = true;
	phases->is_replication = phase == WIRE_PHASE_REPLICATION;
	if (direction == WIRE_FRONTEND)
		phases->front = phase;
	else
		phases->back = phase;
	if (phase == WIRE_PHASE_SSL_ANSWER)
		phases->answers = MAX_ANSWERS;
}

/*
 * Sets a message to what is neither whole nor known.
 */
static void
set_rest(WireMessage *message, WireForm form, const uint8_t *data, size_t len)
{
	memset(message, 0, sizeof(*message));
	message->form = form;
	message->id = WIRE_MSG_Unknown;
	message->body = (WireSpan){data, len};
	message->size = len;
}

/*
 * Sets a message that has a length, with the body behind `header` bytes of it.
 */
static inline void
set_body(WireMessage *message, uint32_t length, size_t header, const uint8_t *data, size_t len)
{
	size_t whole = header + length - 4;
	size_t size = whole <= len ? whole : len;

	*message = (WireMessage){.form = whole <= len ? WIRE_FORM_WHOLE : WIRE_FORM_CUT,
	                         .has_length = true,
	                         .length = length,
	                         .body = {data + header, size - header},
	                         .size = size};
}

/*
 * Finds a packet without a type byte.
 */
static void
next_untyped(const uint8_t *data, size_t len, WireMessage *message)
{
	uint32_t length;

	if (len < 4)
	{
		set_rest(message, WIRE_FORM_CUT, data, len);
		return;
	}
	length = get_uint32(data);
	if (length < 8 || length > wire_types[WIRE_MSG_StartupMessage].limit)
	{
		set_rest(message, WIRE_FORM_OPAQUE, data, len);
		return;
	}
	set_body(message, length, 4, data, len);
	message->id =
	    wire_type_of(WIRE_FRONTEND, 0, WIRE_PHASE_STARTUP, message->body.data, message->body.len);
}

/*
 * Finds a message with a type byte.
 */
static inline void
next_typed(WireDirection direction, WirePhase phase, const uint8_t *data, size_t len,
           WireMessage *message)
{
	uint32_t length;

	if (len < 5)
	{
		set_rest(message, WIRE_FORM_CUT, data, len);
		return;
	}
	length = get_uint32(data + 1);
	if (length < 4 || length > wire_lookup.limits[direction == WIRE_BACKEND][data[0]])
	{
		set_rest(message, WIRE_FORM_OPAQUE, data, len);
		return;
	}
	set_body(message, length, 5, data, len);
	message->has_type = true;
	message->type = data[0];
	message->id = wire_typed_id(direction, data[0], phase, message->body.data, message->body.len);
}

/*
 * Finds what stands before the first message with a type byte, if it does.
 */
static bool
next_first(const WirePhases *phases, WireDirection direction, WirePhase phase, const uint8_t *data,
           size_t len, WireMessage *message)
{
	WireMessageId id;

	if (phase == WIRE_PHASE_STARTUP && direction == WIRE_FRONTEND)
	{
		next_untyped(data, len, message);
		return true;
	}
	if (phase != WIRE_PHASE_SSL_ANSWER || direction != WIRE_BACKEND)
		return false;
	id = wire_typed_id(direction, data[0], phase, NULL, 0);
	if (id == WIRE_MSG_Unknown)
		return false;
	set_rest(message, WIRE_FORM_WHOLE, data, 1);
	message->id = id;
	message->refuses_gss = id == WIRE_MSG_SSLResponse && (phases->gss & 1) != 0;
	return true;
}

/*
 * Finds the message at the begin of data; see stream.h.
 */
void
wire_stream_next(const WirePhases *phases, WireDirection direction, const uint8_t *data, size_t len,
                 WireMessage *message)
{
	WirePhase phase = direction == WIRE_FRONTEND ? phases->front : phases->back;

	if (!wire_lookup.is_filled)
		wire_fill_lookup();
	if (phase == WIRE_PHASE_STARTUP || phase == WIRE_PHASE_SSL_ANSWER)
	{
		if (next_first(phases, direction, phase, data, len, message))
			return;
		phase = WIRE_PHASE_NORMAL; /* it means nothing in this direction, or is over */
	}
	next_typed(direction, phase, data, len, message);
	if (phase == WIRE_PHASE_REPLICATION && message->id == WIRE_MSG_CopyData)
		message->content = (WireContent){true, phases->in_stream, phases->plugin, direction};
}

/*
 * Steps to the next word of a command: what stands between white space.
 */
static bool
next_word(WireSpan text, size_t *at, WireSpan *word)
{
	size_t begin = *at;

	while (begin < text.len && strchr(" \t\n\r\f", text.data[begin]))
		begin++;
	*at = begin;
	while (*at < text.len && !strchr(" \t\n\r\f", text.data[*at]))
		(*at)++;
	*word = (WireSpan){text.data + begin, *at - begin};
	return word->len > 0;
}

/*
 * Tells whether a word is a keyword.
 */
static bool
is_keyword(WireSpan word, const char *keyword)
{
	return word.len == strlen(keyword) &&
	       strncasecmp((const char *) word.data, keyword, word.len) == 0;
}

/*
 * Tells whether options name pgoutput's protocol version, which it asks for.
 */
static bool
has_proto_version(WireSpan text, size_t at)
{
	static const char name[] = "proto_version";

	for (; at + sizeof(name) - 1 <= text.len; at++)
		if (strncasecmp((const char *) text.data + at, name, sizeof(name) - 1) == 0)
			return true;
	return false;
}

/*
 * Notes a command.  START_REPLICATION says what XLogData will hold.
 */
static void
pass_query(WirePhases *phases, WireSpan body)
{
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan text;
	WireSpan word;
	size_t at = 0;

	wire_decode(WIRE_MSG_Query, body.data, body.len, values);
	text = values[WIRE_Query_query].bytes;
	if (!next_word(text, &at, &word) || !is_keyword(word, "START_REPLICATION"))
		return;
	if (next_word(text, &at, &word) && is_keyword(word, "SLOT"))
	{
		next_word(text, &at, &word); /* its name */
		next_word(text, &at, &word);
	}
	phases->in_stream = false;
	phases->plugin = is_keyword(word, "LOGICAL") && has_proto_version(text, at)
	                     ? WIRE_PLUGIN_PGOUTPUT
	                     : WIRE_PLUGIN_NONE;
	if (phases->is_alone)
		phases->front = WIRE_PHASE_REPLICATION;
}

/*
 * Notes a frontend message.
 */
static void
pass_frontend(WirePhases *phases, const WireMessage *message)
{
	switch (message->id)
	{
		case WIRE_MSG_Query:
			pass_query(phases, message->body);
			break;
		case WIRE_MSG_SSLRequest:
		case WIRE_MSG_GSSENCRequest:
			if (message->id == WIRE_MSG_GSSENCRequest && phases->answers < 32)
				phases->gss |= UINT32_C(1) << phases->answers;
			phases->answers++;
			phases->back = WIRE_PHASE_SSL_ANSWER;
			break;
		case WIRE_MSG_StartupMessage:
			phases->front = WIRE_PHASE_PASSWORD;
			break;
		case WIRE_MSG_SASLInitialResponse:
			if (phases->is_alone)
				phases->front = WIRE_PHASE_SASL;
			break;
		default:
			break;
	}
}

/*
 * Notes a one-byte answer.  Of a stream that is seen alone nobody knows how
 * many requests there were: a refusal may be followed by another answer.
 */
static void
pass_answer(WirePhases *phases, bool is_refusal)
{
	phases->answers--;
	phases->gss >>= 1;
	if (phases->answers <= 0 || (phases->is_alone && !is_refusal))
	{
		phases->answers = 0;
		phases->back = WIRE_PHASE_NORMAL;
	}
}

/*
 * Notes what an authentication request says of the next 'p'.
 */
static void
pass_authentication(WirePhases *phases, WireMessageId id)
{
	switch (id)
	{
		case WIRE_MSG_AuthenticationCleartextPassword:
		case WIRE_MSG_AuthenticationMD5Password:
			phases->front = WIRE_PHASE_PASSWORD;
			break;
		case WIRE_MSG_AuthenticationSASL:
			phases->front = WIRE_PHASE_SASL_INITIAL;
			break;
		case WIRE_MSG_AuthenticationSASLContinue:
			phases->front = WIRE_PHASE_SASL;
			break;
		case WIRE_MSG_AuthenticationGSS:
		case WIRE_MSG_AuthenticationGSSContinue:
		case WIRE_MSG_AuthenticationSSPI:
			phases->front = WIRE_PHASE_GSS;
			break;
		case WIRE_MSG_AuthenticationOk:
			phases->front = WIRE_PHASE_NORMAL;
			break;
		default:
			break;
	}
}

/*
 * Tells whether a message of pgoutput's begins or ends a streamed piece.
 */
static bool
is_stream_bound(WireMessageId id)
{
	return id == WIRE_MSG_StreamStart || id == WIRE_MSG_StreamStop;
}

/*
 * Notes CopyData of a replication connection: which changes are streamed.
 */
static void
pass_content(WirePhases *phases, const WireMessage *message)
{
	WireValue values[WIRE_MAX_FIELDS];
	const WireContent *content = &message->content;
	WireSpan body = message->body;
	WireSpan data;
	WireMessageId id;
	bool in_stream;

	if (!content->is_replication || content->plugin == WIRE_PLUGIN_NONE)
		return;
	wire_decode(WIRE_MSG_XLogData, body.data, body.len, values);
	data = values[WIRE_XLogData_data].bytes;
	if (data.len == 0 || !is_stream_bound(wire_type_of(content->direction, data.data[0],
	                                                   WIRE_PHASE_IN_XLOG_DATA, NULL, 0)))
		return; /* as most: only the others are looked at closely */
	if (wire_content_id(content, WIRE_PHASE_IN_COPY_DATA, body, &in_stream) != WIRE_MSG_XLogData)
		return;
	if (content->plugin == WIRE_PLUGIN_UNKNOWN &&
	    values[WIRE_XLogData_start].number != values[WIRE_XLogData_end].number)
		return;
	id = wire_content_id(content, WIRE_PHASE_IN_XLOG_DATA, data, &in_stream);
	if (is_stream_bound(id))
		phases->in_stream = id == WIRE_MSG_StreamStart;
}

/*
 * Returns what CopyData will hold after CopyOutResponse.  On a replication
 * connection that may be a table's rows too; those have columns.
 */
static WirePhase
copy_out_phase(const WirePhases *phases, WireSpan body)
{
	bool has_columns = body.len != 3 || body.data[1] != 0 || body.data[2] != 0;

	return phases->is_replication && !has_columns ? WIRE_PHASE_REPLICATION : WIRE_PHASE_COPY;
}

/*
 * Notes a backend message.
 */
static void
pass_backend(WirePhases *phases, const WireMessage *message)
{
	WireMessageId id = message->id;

	switch (id)
	{
		case WIRE_MSG_CopyData:
			pass_content(phases, message);
			return;
		case WIRE_MSG_SSLResponse:
		case WIRE_MSG_GSSENCResponse:
			pass_answer(phases, id == WIRE_MSG_SSLResponse);
			return;
		case WIRE_MSG_CopyInResponse:
			phases->front = WIRE_PHASE_COPY;
			return;
		case WIRE_MSG_CopyBothResponse:
			phases->front = phases->back = WIRE_PHASE_REPLICATION;
			return;
		case WIRE_MSG_CopyOutResponse:
			phases->back = copy_out_phase(phases, message->body);
			return;
		case WIRE_MSG_CommandComplete:
		case WIRE_MSG_ErrorResponse:
		case WIRE_MSG_ReadyForQuery:
			if (phases->front == WIRE_PHASE_COPY || phases->front == WIRE_PHASE_REPLICATION)
				phases->front = WIRE_PHASE_NORMAL;
			break;
		default:
			pass_authentication(phases, id);
			break;
	}
	if (phases->back == WIRE_PHASE_SSL_ANSWER || id == WIRE_MSG_CommandComplete ||
	    id == WIRE_MSG_ErrorResponse || id == WIRE_MSG_ReadyForQuery)
		phases->back = WIRE_PHASE_NORMAL;
}

/*
 * Notes that a message passed that may change what others mean; see stream.h.
 */
void
wire_stream_note(WirePhases *phases, WireDirection direction, const WireMessage *message)
{
	if (message->form != WIRE_FORM_WHOLE)
		return;
	if (direction == WIRE_FRONTEND)
		pass_frontend(phases, message);
	else
		pass_backend(phases, message);
}
