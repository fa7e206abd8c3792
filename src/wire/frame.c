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
 * Notes a whole header: how much body is to come.
 */
static void
begin(WireFramer *framer, WireFrame *frame)
{
	uint32_t length = header_length(framer->header);
	uint32_t limit = framer->limits ? framer->limits[framer->header[0]] : INT32_MAX;

	frame->bad = length < 4 || length > limit;
	frame->begins = !frame->bad;
	framer->have = frame->bad ? HAVE_LOST : 5;
	framer->left = length - 4;
}

/*
 * Takes header bytes, as many as there are.  Returns how many it took.
 */
static size_t
take_header(WireFramer *framer, const uint8_t *data, size_t len, WireFrame *frame)
{
	size_t used = 5u - framer->have;

	if (len >= 5 && used == 5)
		memcpy(framer->header, data, 5); /* mostly: at once, of a known size */
	else
	{
		used = used < len ? used : len;
		if (used > 0)
			memcpy(framer->header + framer->have, data, used);
	}
	framer->have += (uint8_t) used;
	if (framer->have == 5)
		begin(framer, frame);
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

	*frame = (WireFrame){.bad = framer->have == HAVE_LOST};
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
