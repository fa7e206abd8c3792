/*
 * kinds.h
 *	  The kinds of fields that the list of messages is written in.
 */
#ifndef WIRE_KINDS_H
#define WIRE_KINDS_H

typedef enum WireKind
{
	WIRE_KIND_END, /* no more fields */
	WIRE_KIND_CHAR,
	WIRE_KIND_INT8,
	WIRE_KIND_INT16,
	WIRE_KIND_INT32,
	WIRE_KIND_UINT32,
	WIRE_KIND_VERSION,         /* protocol version */
	WIRE_KIND_STRING,          /* ended by a zero byte */
	WIRE_KIND_QUERY,           /* the same; may hold passwords */
	WIRE_KIND_SECRET_STRING,   /* the same; is one */
	WIRE_KIND_BYTES,           /* the rest of the message */
	WIRE_KIND_SECRET,          /* the same; never stored */
	WIRE_KIND_VALUE,           /* 32-bit length, -1 for NULL, and bytes */
	WIRE_KIND_SECRET_VALUE,    /* the same; never stored */
	WIRE_KIND_FORMATS,         /* 16-bit count, 16-bit format codes */
	WIRE_KIND_OIDS,            /* 16-bit count, OIDs */
	WIRE_KIND_VALUES,          /* 16-bit count, values */
	WIRE_KIND_COLUMNS,         /* 16-bit count, column descriptions */
	WIRE_KIND_PAIRS,           /* names and values, ended by a zero byte */
	WIRE_KIND_STRINGS,         /* strings, ended by a zero byte */
	WIRE_KIND_COUNTED_STRINGS, /* 32-bit count, strings */
	WIRE_KIND_ERROR_FIELDS,    /* code and string each, ended by a zero byte */

	/* in the messages inside CopyData */
	WIRE_KIND_INT64,
	WIRE_KIND_TIME,        /* 64 bits: microseconds since 2000-01-01 */
	WIRE_KIND_LSN,         /* 64 bits: a place in the WAL */
	WIRE_KIND_CONTENT,     /* the rest: a message under a key of its own, or bytes */
	WIRE_KIND_PLUGIN_DATA, /* the rest: a message of pgoutput's, or bytes */
	WIRE_KIND_STREAM_XID,  /* 32 bits; there between StreamStart and StreamStop alone */
	WIRE_KIND_LAST_LSN,    /* an LSN if the message is not over */
	WIRE_KIND_LAST_TIME,   /* a time, likewise */
	WIRE_KIND_KEY_TUPLE,   /* if a K is next: 16-bit count, kind and value each */
	WIRE_KIND_OLD_TUPLE,   /* the same with an O */
	WIRE_KIND_NEW_TUPLE,   /* the same with an N, which must be there */
	WIRE_KIND_ATTRIBUTES,  /* 16-bit count, descriptions of a relation's columns */
	WIRE_KIND_COUNT_INT8,  /* 32-bit count of the list behind it, and 8 bits */
	WIRE_KIND_COUNTED_OIDS /* that list: OIDs */
} WireKind;

#endif /* WIRE_KINDS_H */
