/*
 * buffer.h
 *	  Growable byte buffers whose memory is counted against one budget.
 *
 * A relay has one budget: what it holds for the record, over all its sessions.
 * Memory beyond it is refused, the caller leaves the bytes out and says so in
 * the record.  A buffer is owned by the structure that it stands in.
 */
#ifndef RELAY_BUFFER_H
#define RELAY_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Budget
{
	size_t limit; /* bytes */
	size_t used;
} Budget;

typedef struct Buffer
{
	uint8_t *data;
	size_t len;
	size_t cap;
} Buffer;

/* Allocates zeroed memory for a structure: counted, not refused. NULL: no memory. */
extern void *budget_alloc(Budget *budget, size_t size);
extern void budget_free(Budget *budget, void *memory, size_t size);

/* Appends bytes that must not be lost: counted, not refused. False: no memory. */
extern bool buffer_keep(Budget *budget, Buffer *buffer, const void *data, size_t len);

/* Appends bytes. False: refused, nothing was appended. */
extern bool buffer_append(Budget *budget, Buffer *buffer, const void *data, size_t len);

/* Makes room for `more` bytes behind len. False: refused. */
extern bool buffer_reserve(Budget *budget, Buffer *buffer, size_t more);

/* Gives the memory back. */
extern void buffer_free(Budget *budget, Buffer *buffer);

/* Empties the buffer; gives its memory back where it is over `keep` bytes. */
extern void buffer_reset(Budget *budget, Buffer *buffer, size_t keep);

#endif /* RELAY_BUFFER_H */
