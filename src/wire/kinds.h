/*
 * kinds.h
 *	  The kinds of fields that the list of messages is written in: ONE list.
 *
 *		KIND(name, wire, json)
 *			wire	what it is in a message
 *			json	how it is shown
 */
#ifndef WIRE_KINDS_H
#define WIRE_KINDS_H

/* clang-format off */
#define WIRE_KINDS(KIND) \
	KIND(CHAR, "a byte", "a string") \
	KIND(INT8, "8 bits", "a number") \
	KIND(INT16, "16 bits", "a number, signed") \
	KIND(INT32, "32 bits", "a number, signed") \
	KIND(UINT32, "32 bits", "a number, without a sign") \
	KIND(VERSION, "32 bits", "a protocol version, `\"3.2\"`") \
	KIND(STRING, "bytes up to a zero byte", "a value") \
	KIND(QUERY, "the same; may hold passwords", "a value") \
	KIND(SECRET_STRING, "the same; is never stored", "a value; recorded: `{\"masked\": length}`") \
	KIND(BYTES, "the rest of the message", "a value") \
	KIND(SECRET, "the same; is never stored", "a value; recorded: `{\"masked\": length}`") \
	KIND(VALUE, "32-bit length and bytes; -1 for NULL", "a value or null") \
	KIND(SECRET_VALUE, "the same; is never stored", "a value; recorded: `{\"masked\": length}`") \
	KIND(FORMATS, "16-bit count, 16-bit format codes", "an array of numbers") \
	KIND(OIDS, "16-bit count, OIDs", "an array of numbers") \
	KIND(VALUES, "16-bit count, VALUEs", "an array of values and nulls") \
	KIND(COLUMNS, "16-bit count, columns", "an array of objects: name, table_oid, column_no, type_oid, type_size, type_modifier, format") \
	KIND(PAIRS, "two strings each, ended by a zero byte", "an array of arrays of two values") \
	KIND(STRINGS, "strings, ended by a zero byte", "an array of values") \
	KIND(COUNTED_STRINGS, "32-bit count, strings", "an array of values") \
	KIND(ERROR_FIELDS, "code and string each, ended by a zero byte", "keys of the body: severity, sqlstate, message, ...; where that would lose their order or one of them an array of arrays of code and value") \
	/* in the messages inside CopyData */ \
	KIND(INT64, "64 bits", "a number, signed") \
	KIND(TIME, "64 bits", "a number: microseconds since 2000-01-01 UTC") \
	KIND(LSN, "64 bits", "a place in the WAL, `\"0/016B3748\"`") \
	KIND(CONTENT, "the rest of the message", "a value; or, in its place, a message under its own key") \
	KIND(PLUGIN_DATA, "the rest of the message", "a value, or an object of a single key: a message of pgoutput's") \
	KIND(STREAM_XID, "32 bits, between StreamStart and StreamStop alone", "a number, or null where it is not there") \
	KIND(LAST_LSN, "an LSN, if the message is not over", "like LSN, or null") \
	KIND(LAST_TIME, "a TIME, if the message is not over", "like TIME, or null") \
	KIND(KEY_TUPLE, "a K, 16-bit count, kind and value each; may be left out", "an array of values, or null") \
	KIND(OLD_TUPLE, "the same with an O", "an array of values, or null") \
	KIND(NEW_TUPLE, "the same with an N, never left out", "an array of values") \
	KIND(ATTRIBUTES, "16-bit count, columns of a relation", "an array of objects: flags (1: part of the key), name, type_oid, type_modifier") \
	KIND(COUNT_INT8, "32-bit count of the list behind it, 8 bits", "a number: the 8 bits") \
	KIND(COUNTED_OIDS, "that list: OIDs", "an array of numbers")
/* clang-format on */

typedef enum WireKind
{
	WIRE_KIND_END, /* no more fields */
#define WIRE_KIND_ID(name, wire, json) WIRE_KIND_##name,
	WIRE_KINDS(WIRE_KIND_ID)
#undef WIRE_KIND_ID
} WireKind;

#endif /* WIRE_KINDS_H */
