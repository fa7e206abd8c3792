/*
 * buffer.c
 *	  Growable byte buffers whose memory is counted against one budget.
 */
#include "relay/buffer.h"

#include <stdlib.h>
#include <string.h>

/*
 * Allocates zeroed memory for a structure.  The budget counts it but does not
 * refuse it: without its structures the relay could not tell what it leaves
 * out, and their number is bounded by other limits.
 */
void *
budget_alloc(Budget *budget, size_t size)
{
	void *memory = calloc(1, size);

	if (memory)
		budget->used += size;
	return memory;
}

/*
 * Frees memory that was allocated against the budget with this size.
 */
void
budget_free(Budget *budget, void *memory, size_t size)
{
	if (!memory)
		return;
	free(memory);
	budget->used -= size;
}

/*
 * Gives a buffer a capacity.
 */
static bool
set_capacity(Budget *budget, Buffer *buffer, size_t cap)
{
	uint8_t *data = realloc(buffer->data, cap);

	if (!data)
		return false;
	budget->used += cap - buffer->cap;
	buffer->data = data;
	buffer->cap = cap;
	return true;
}

/*
 * Tells whether the budget has so many bytes left.
 */
static bool
has_left(const Budget *budget, size_t size)
{
	return budget->used <= budget->limit && size <= budget->limit - budget->used;
}

/*
 * Returns a capacity for so many bytes: doubled, so that appending costs a
 * constant a byte.
 */
static size_t
next_capacity(const Buffer *buffer, size_t need)
{
	size_t cap = buffer->cap ? buffer->cap : 256;

	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	return cap;
}

/*
 * Makes room for `more` bytes: generously, or just so many where the budget has
 * no more.
 */
bool
buffer_reserve(Budget *budget, Buffer *buffer, size_t more)
{
	size_t need = buffer->len + more;
	size_t cap = next_capacity(buffer, need);

	if (need <= buffer->cap)
		return need >= more;
	if (need < more)
		return false;
	if (!has_left(budget, cap - buffer->cap))
		cap = need;
	return has_left(budget, cap - buffer->cap) && set_capacity(budget, buffer, cap);
}

/*
 * Puts bytes behind those that are there; the room has been made.
 */
static void
put(Buffer *buffer, const void *data, size_t len)
{
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
}

/*
 * Appends bytes, or nothing.
 */
bool
buffer_append(Budget *budget, Buffer *buffer, const void *data, size_t len)
{
	if (len == 0)
		return true;
	if (!buffer_reserve(budget, buffer, len))
		return false;
	put(buffer, data, len);
	return true;
}

/*
 * Appends bytes that must not be lost, whatever the budget says.
 */
bool
buffer_keep(Budget *budget, Buffer *buffer, const void *data, size_t len)
{
	size_t need = buffer->len + len;

	if (len == 0)
		return true;
	if (need > buffer->cap && !set_capacity(budget, buffer, next_capacity(buffer, need)))
		return false;
	put(buffer, data, len);
	return true;
}

/*
 * Gives the memory back.
 */
void
buffer_free(Budget *budget, Buffer *buffer)
{
	budget_free(budget, buffer->data, buffer->cap);
	memset(buffer, 0, sizeof(*buffer));
}

/*
 * Empties the buffer for its next use.
 */
void
buffer_reset(Budget *budget, Buffer *buffer, size_t keep)
{
	if (buffer->cap > keep)
		buffer_free(budget, buffer);
	buffer->len = 0;
}
