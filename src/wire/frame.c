/*
 * frame.c
 *	  Splits a stream into messages, whatever segments it came in.
 */
#include <string.h>

#include "wire/wire.h"

/* In `have`: a length made no sense, and nothing behind it does. */
#define HAVE_LOST 255

/*
 * Reads the length field of a whole header.
 */
static uint32_t
header_length(const uint8_t header[5])
{
	return (uint32_t) header[1] << 24 | (uint32_t) header[2] << 16 | (uint32_t) header[3] << 8 |
	       header[4];
}

/*
 * Takes header bytes until there are five and checks the length among them.
 * Returns the bytes consumed.
 */
static size_t
take_header(WireFramer *framer, const uint8_t *data, size_t len, WireFrame *frame)
{
	size_t used = 5u - framer->have < len ? 5u - framer->have : len;
	uint32_t length;

	if (used > 0)
		memcpy(framer->header + framer->have, data, used);
	framer->have += (uint8_t) used;
	if (framer->have < 5)
		return used;
	length = header_length(framer->header);
	if (length < 4 || length > INT32_MAX)
	{
		framer->have = HAVE_LOST;
		frame->bad = true;
		return used;
	}
	framer->left = length - 4;
	frame->begins = true;
	return used;
}

/*
 * Takes one step; see wire.h.
 */
size_t
wire_frame_next(WireFramer *framer, const uint8_t *data, size_t len, WireFrame *frame)
{
	size_t used = 0;
	size_t body;

	memset(frame, 0, sizeof(*frame));
	if (framer->have == HAVE_LOST)
	{
		frame->bad = true;
		return 0;
	}
	if (framer->have < 5)
		used = take_header(framer, data, len, frame);
	if (framer->have != 5)
		return used;
	frame->type = framer->header[0];
	frame->length = header_length(framer->header);
	body = framer->left < len - used ? framer->left : len - used;
	frame->body.data = data + used;
	frame->body.len = body;
	framer->left -= (uint32_t) body;
	if (framer->left == 0)
	{
		frame->ends = true;
		framer->have = 0;
	}
	return used + body;
}
