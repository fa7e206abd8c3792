/*
 * tuple.h
 *	  Makes a tuple in the binary format of COPY, as journal records hold it.
 *
 *		tuple_begin(&tuple, SESSION_COLUMNS);
 *		tuple_int8(&tuple, id); ... one call a column, in order
 *		if (tuple_end(&tuple)) use tuple.data, tuple.len
 *
 * A Tuple of zeroes is ready for use; its memory grows, is used again by the
 * next tuple_begin and belongs to the Tuple's owner (tuple_free).  A failed
 * allocation makes tuple_end false; the calls between need no check.
 */
#ifndef JOURNAL_TUPLE_H
#define JOURNAL_TUPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct Tuple
{
	uint8_t *data;
	size_t len;
	size_t cap;
	int columns; /* still to come */
	bool failed;
	bool has_high_bytes; /* a text has a byte over 127 */
} Tuple;

extern void tuple_begin(Tuple *tuple, int columns);
extern void tuple_null(Tuple *tuple);
extern void tuple_text(Tuple *tuple, const void *text, size_t len); /* also JSON */
extern void tuple_bytes(Tuple *tuple, const void *bytes, size_t len);
extern void tuple_parts(Tuple *tuple, const struct iovec *parts, int count);
extern void tuple_bool(Tuple *tuple, bool value);
extern void tuple_int4(Tuple *tuple, int32_t value);
extern void tuple_int8(Tuple *tuple, int64_t value);
extern void tuple_oid(Tuple *tuple, uint32_t value);
extern void tuple_time(Tuple *tuple, int64_t value);
/* address: 4 or 16 bytes in network byte order; family: AF_INET or AF_INET6 */
extern void tuple_inet(Tuple *tuple, int family, const void *address);
/* True: every column came, memory sufficed. */
extern bool tuple_end(Tuple *tuple);
extern void tuple_free(Tuple *tuple);

#endif /* JOURNAL_TUPLE_H */
