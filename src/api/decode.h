/*
 * decode.h
 *	  Bytes of the protocol as rows of messages.
 *
 * A Decoder walks the streams of one session or piece of one.  It keeps what the
 * meaning of bytes depends on: the phase, and the formats of values.
 */
#ifndef API_DECODE_H
#define API_DECODE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "wire/wire.h"

typedef struct Decoder
{
	WirePhase phase;	/* what a frontend 'p' means, or the caller's phase */
	bool is_startup;	/* the frontend's next packet has no type byte */
	int answers_due;	/* one-byte answers to requests for encryption */
	bool is_masked;		/* secrets were overwritten before the bytes came here */
	bool knows_formats; /* values are shown by the formats below */
	int encoding;
	List *bind_formats; /* of Binds that wait for BindComplete: int lists */
	List *row_formats;	/* of the rows that come: an int list */
	bool rows_by_bind;
	int copy_format;
} Decoder;

typedef struct DecodedMessage
{
	char type;	 /* 0: it has none */
	const char *name;
	int64 length; /* the length field; -1: none */
	bool is_truncated;
	Jsonb *body;
} DecodedMessage;

/*
 * Decodes the message at the begin of data.  Returns its size; 0: nothing that
 * makes sense as protocol stands there, or it is cut off, and all that is left
 * is in the message.
 */
extern size_t decode_message(Decoder *decoder, WireDirection direction, const uint8 *data,
							 size_t len, DecodedMessage *message);

/* Argument checks: raise 22023 and name what was expected. */
extern WireDirection decode_direction_argument(text *argument);

/* json.c: a body by its message's field program. */
extern Jsonb *json_body(Decoder *decoder, WireMessageId id, const uint8 *body, size_t len);
extern Jsonb *json_data(Decoder *decoder, const char *what, const uint8 *data, size_t len);

#endif /* API_DECODE_H */
