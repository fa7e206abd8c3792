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
 * Makes room for `more` bytes: doubles, so that appending costs a constant a
 * byte, but never asks for more than the budget has.
 */
bool
buffer_reserve(Budget *budget, Buffer *buffer, size_t more)
{
	size_t need = buffer->len + more;
	size_t cap = buffer->cap ? buffer->cap : 256;
	size_t grows;
	uint8_t *data;

	if (need <= buffer->cap)
		return true;
	if (need < more)
		return false;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	grows = cap - buffer->cap;
	if (budget->used > budget->limit || grows > budget->limit - budget->used)
	{
		cap = need;
		grows = cap - buffer->cap;
		if (budget->used > budget->limit || grows > budget->limit - budget->used)
			return false;
	}
	data = realloc(buffer->data, cap);
	if (!data)
		return false;
	buffer->data = data;
	buffer->cap = cap;
	budget->used += grows;
	return true;
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
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
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
