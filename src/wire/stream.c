/*
 * stream.c
 *	  Whole messages in bytes that are there at once, and the phases between
 *	  them.
 */
#include "wire/stream.h"

#include <string.h>

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
	*phases = (WirePhases){WIRE_PHASE_NORMAL, WIRE_PHASE_NORMAL, 0, true};
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
 * Sets the length and body of a message behind `header` bytes of it.
 */
static void
set_body(WireMessage *message, size_t header, const uint8_t *data, size_t len)
{
	size_t whole = header + message->length - 4;

	message->has_length = true;
	message->form = whole <= len ? WIRE_FORM_WHOLE : WIRE_FORM_CUT;
	message->size = whole <= len ? whole : len;
	message->body = (WireSpan){data + header, message->size - header};
}

/*
 * Finds a packet without a type byte.
 */
static void
next_untyped(const uint8_t *data, size_t len, WireMessage *message)
{
	set_rest(message, WIRE_FORM_CUT, data, len);
	if (len < 4)
		return;
	message->length = get_uint32(data);
	if (message->length < 8 || message->length > WIRE_STARTUP_MAX)
	{
		set_rest(message, WIRE_FORM_OPAQUE, data, len);
		return;
	}
	set_body(message, 4, data, len);
	message->id =
	    wire_type_of(WIRE_FRONTEND, 0, WIRE_PHASE_STARTUP, message->body.data, message->body.len);
}

/*
 * Finds a message with a type byte.
 */
static void
next_typed(WireDirection direction, WirePhase phase, const uint8_t *data, size_t len,
           WireMessage *message)
{
	set_rest(message, WIRE_FORM_CUT, data, len);
	if (len < 5)
		return;
	message->length = get_uint32(data + 1);
	if (message->length < 4 || message->length > INT32_MAX)
	{
		set_rest(message, WIRE_FORM_OPAQUE, data, len);
		return;
	}
	message->has_type = true;
	message->type = data[0];
	set_body(message, 5, data, len);
	message->id = wire_type_of(direction, data[0], phase, message->body.data, message->body.len);
}

/*
 * Finds the message at the begin of data; see stream.h.
 */
void
wire_stream_next(const WirePhases *phases, WireDirection direction, const uint8_t *data, size_t len,
                 WireMessage *message)
{
	WirePhase phase = direction == WIRE_FRONTEND ? phases->front : phases->back;
	WireMessageId id;

	if (phase == WIRE_PHASE_STARTUP && direction == WIRE_FRONTEND)
	{
		next_untyped(data, len, message);
		return;
	}
	if (phase == WIRE_PHASE_SSL_ANSWER && direction == WIRE_BACKEND)
	{
		id = wire_type_of(direction, data[0], phase, NULL, 0);
		if (id != WIRE_MSG_Unknown)
		{
			set_rest(message, WIRE_FORM_WHOLE, data, 1);
			message->id = id;
			return;
		}
	}
	if (phase == WIRE_PHASE_STARTUP || phase == WIRE_PHASE_SSL_ANSWER)
		phase = WIRE_PHASE_NORMAL; /* it means nothing in this direction, or is over */
	next_typed(direction, phase, data, len, message);
}

/*
 * Notes a frontend message.
 */
static void
pass_frontend(WirePhases *phases, WireMessageId id)
{
	switch (id)
	{
		case WIRE_MSG_SSLRequest:
		case WIRE_MSG_GSSENCRequest:
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
 * Notes a backend message.
 */
static void
pass_backend(WirePhases *phases, WireMessageId id)
{
	switch (id)
	{
		case WIRE_MSG_SSLResponse:
		case WIRE_MSG_GSSENCResponse:
			pass_answer(phases, id == WIRE_MSG_SSLResponse);
			return;
		case WIRE_MSG_CopyInResponse:
			phases->front = WIRE_PHASE_COPY;
			return;
		case WIRE_MSG_CopyBothResponse:
			phases->front = phases->back = WIRE_PHASE_COPY;
			return;
		case WIRE_MSG_CopyOutResponse:
			phases->back = WIRE_PHASE_COPY;
			return;
		case WIRE_MSG_CommandComplete:
		case WIRE_MSG_ErrorResponse:
		case WIRE_MSG_ReadyForQuery:
			if (phases->front == WIRE_PHASE_COPY)
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
 * Notes that a message passed; see stream.h.
 */
void
wire_stream_pass(WirePhases *phases, WireDirection direction, WireMessageId id)
{
	if (direction == WIRE_FRONTEND)
		pass_frontend(phases, id);
	else
		pass_backend(phases, id);
}
