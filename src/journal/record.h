/*
 * record.h
 *	  What a journal record's payload holds, and how to make one.
 *
 * A payload is RecordHeader followed by one tuple in the binary format of
 * COPY (section "Binary Format" of the COPY reference page): a 16-bit count of
 * fields, then each field as a 32-bit length (-1: NULL) and its bytes, in
 * network byte order and in each type's send/receive format.  So the writer
 * passes the tuple of an exchange on as it is.  Only where has_high_bytes is
 * set may its TEXT and JSON fields need conversion from the session's
 * encoding.  JSON fields are plain JSON text, without jsonb's version byte.
 *
 * An exchange's columns are few; most of what the record tells of it is in its
 * facts and bytes, see facts.h.
 *
 * chunks, a part of an exchange's bytes, tell when which bytes passed: a series
 * of entries, each two varints (7 bits a byte, low first, high bit: more):
 *		bytes << 1 | direction	(0 frontend, 1 backend)
 *		microseconds since the previous entry (first: since started_at)
 * The lengths are of the true streams, also where bytes were not kept.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct RecordHeader
{
	uint64_t session_id;
	int64_t recorded_at;    /* when the exchange was finished; 0 for other records */
	uint8_t has_high_bytes; /* a TEXT or JSON field has a byte over 127 */
	uint8_t reserved[7];
	char encoding[16]; /* client_encoding as last reported, zero-padded; '' unknown */
} RecordHeader;

_Static_assert(sizeof(RecordHeader) == 40, "record header has no holes");

typedef enum RecordColumnKind
{
	RECORD_TEXT,
	RECORD_JSON,
	RECORD_BOOL,
	RECORD_INT4,
	RECORD_INT8,
	RECORD_OID,
	RECORD_TIME,
	RECORD_INET,
	RECORD_BYTES
} RecordColumnKind;

/* Column numbers SESSION_<column>, EXCHANGE_<column>, QUERY_TEXT_<column>, from 0. */
enum
{
#define SESSION_COLUMN(name, kind) SESSION_##name,
#define EXCHANGE_COLUMN(name, kind)
#define QUERY_TEXT_COLUMN(name, kind)
#include "journal/columns.h"
#undef SESSION_COLUMN
#undef EXCHANGE_COLUMN
#undef QUERY_TEXT_COLUMN
	SESSION_COLUMNS
};

enum
{
#define SESSION_COLUMN(name, kind)
#define EXCHANGE_COLUMN(name, kind) EXCHANGE_##name,
#define QUERY_TEXT_COLUMN(name, kind)
#include "journal/columns.h"
#undef SESSION_COLUMN
#undef EXCHANGE_COLUMN
#undef QUERY_TEXT_COLUMN
	EXCHANGE_COLUMNS
};

enum
{
#define SESSION_COLUMN(name, kind)
#define EXCHANGE_COLUMN(name, kind)
#define QUERY_TEXT_COLUMN(name, kind) QUERY_TEXT_##name,
#include "journal/columns.h"
#undef SESSION_COLUMN
#undef EXCHANGE_COLUMN
#undef QUERY_TEXT_COLUMN
	QUERY_TEXT_COLUMNS
};

#endif /* RECORD_H */
