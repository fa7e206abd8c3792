/*
 * phase.c
 *	  What the meaning of a stream's next message depends on.
 */
#include "wire/walk.h"

/*
 * Sets the phases for a stream that begins in one.
 */
void
wire_phase_begin(WirePhases *phases, WireDirection direction, WirePhase phase)
{
	phases->front = phases->back = WIRE_PHASE_NORMAL;
	phases->answers = 0;
	if (direction == WIRE_FRONTEND)
		phases->front = phase;
	else
		phases->back = phase;
	if (phase == WIRE_PHASE_SSL_ANSWER)
		phases->answers = 1;
}

/*
 * Notes a frontend message.
 */
static void
pass_frontend(WirePhases *phases, WireMessageId id, bool is_alone)
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
			if (is_alone)
				phases->front = WIRE_PHASE_SASL;
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
			if (--phases->answers <= 0)
				phases->back = WIRE_PHASE_NORMAL;
			break;
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
		case WIRE_MSG_CopyInResponse:
		case WIRE_MSG_CopyBothResponse:
			phases->front = WIRE_PHASE_COPY;
			phases->back = id == WIRE_MSG_CopyBothResponse ? WIRE_PHASE_COPY : phases->back;
			break;
		case WIRE_MSG_CopyOutResponse:
			phases->back = WIRE_PHASE_COPY;
			break;
		case WIRE_MSG_CommandComplete:
		case WIRE_MSG_ErrorResponse:
		case WIRE_MSG_ReadyForQuery:
			if (phases->front == WIRE_PHASE_COPY)
				phases->front = WIRE_PHASE_NORMAL;
			phases->back = WIRE_PHASE_NORMAL;
			break;
		default:
			break;
	}
}

/*
 * Notes that a message passed; see walk.h.
 */
void
wire_phase_pass(WirePhases *phases, WireDirection direction, WireMessageId id, bool is_alone)
{
	if (direction == WIRE_FRONTEND)
		pass_frontend(phases, id, is_alone);
	else
		pass_backend(phases, id);
}
