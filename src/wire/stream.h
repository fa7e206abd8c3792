/*
 * stream.h
 *	  Whole messages in bytes that are there at once, and the phases between
 *	  them.
 *
 * The relay frames a stream as it comes (wire_frame_next); who reads a record
 * has it before him and wants message after message, each with its name.  What
 * the next message means depends on those before it, of both directions: that
 * is kept in WirePhases.  For what CopyData holds that includes the command that
 * began replication.
 *
 * Public routines:
 *		wire_stream_begin	phases of a stream that begins in one
 *		wire_stream_next	the message at the begin of some bytes
 *		wire_stream_pass	note that it passed
 */
#ifndef WIRE_STREAM_H
#define WIRE_STREAM_H

#include "wire/wire.h"

typedef enum WireForm
{
	WIRE_FORM_WHOLE,
	WIRE_FORM_CUT,   /* its end is not there */
	WIRE_FORM_OPAQUE /* no sense as protocol from here on */
} WireForm;

/* A message and where it stands. */
typedef struct WireMessage
{
	WireForm form;
	WireMessageId id; /* Unknown for opaque ones, and without a whole header */
	bool has_type;
	bool has_length;
	uint8_t type;
	uint32_t length;     /* the length field: with itself, without the type */
	WireSpan body;       /* all behind the length, as far as it is there */
	size_t size;         /* bytes that it takes, as far as they are there */
	WireContent content; /* of CopyData */
	bool refuses_gss;    /* SSLResponse: it answers GSSENCRequest, as the request was seen */
} WireMessage;

/* What the next message of either direction means. */
typedef struct WirePhases
{
	WirePhase front;
	WirePhase back;
	int answers;         /* one-byte answers that the server still owes */
	uint32_t gss;        /* which of them, from the lowest bit, are to GSSENCRequest */
	bool is_alone;       /* the other direction is not seen */
	bool is_replication; /* a replication connection: a COPY without columns is a base backup */
	bool in_stream;      /* pgoutput: between StreamStart and StreamStop */
	WirePlugin plugin;   /* as START_REPLICATION said */
} WirePhases;

/* Begins a stream; a single one of which the other direction is not seen. */
extern void wire_stream_begin(WirePhases *phases, WireDirection direction, WirePhase phase);

/* Finds the message at the begin of data, which is not empty. */
extern void wire_stream_next(const WirePhases *phases, WireDirection direction, const uint8_t *data,
                             size_t len, WireMessage *message);

/* Notes a message that may change what those behind it mean. */
extern void wire_stream_note(WirePhases *phases, WireDirection direction,
                             const WireMessage *message);

/*
 * Notes that a message passed.  One that is not whole is not noted; rows, which are
 * most of what passes, change nothing.
 */
static inline void
wire_stream_pass(WirePhases *phases, WireDirection direction, const WireMessage *message)
{
	if (message->id != WIRE_MSG_DataRow)
		wire_stream_note(phases, direction, message);
}

#endif /* WIRE_STREAM_H */
