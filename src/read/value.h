/*
 * value.h
 *	  Recorded values as the session's client would have seen them as text.
 *
 * A value in text format is its text; no function of its type is called.  One in binary
 * format is read by what its type is:
 *
 *		text	strings and enums: the bytes are the text
 *		scalar	by the type's own receive and output functions
 *		array, record, range, multirange
 *			taken apart here, each part by its own type, and written as the
 *			server writes them
 *		domain	as its base type
 *
 * So of a user's making nothing runs but the functions of base types, and those as the
 * recorded role (guard.h).  A range's canonical function, a domain's checks, casts: none.
 * What can't be read is its hexadecimal digits, and a reason.
 */
#ifndef READ_VALUE_H
#define READ_VALUE_H

#include "read/read.h"

#include "fmgr.h"
#include "lib/stringinfo.h"

/* ---- type.c ---- */

typedef enum ReadTypeKind
{
	READ_TYPE_UNKNOWN, /* `problem` says why */
	READ_TYPE_TEXT,
	READ_TYPE_PLAIN, /* a scalar whose functions cannot fail, if its size is right */
	READ_TYPE_SCALAR,
	READ_TYPE_ARRAY,
	READ_TYPE_RECORD,
	READ_TYPE_RANGE,
	READ_TYPE_MULTIRANGE
} ReadTypeKind;

typedef struct ReadType
{
	Oid oid; /* key; a domain's entry is that of its base type */
	ReadTypeKind kind;
	const char *problem;
	Oid element;     /* subtype of a range; range of a multirange */
	char delimiter;  /* between elements of an array of this type */
	int size;        /* of plain ones; -1: any */
	bool is_foreign; /* its functions are not PostgreSQL's own */
	FmgrInfo receive;
	FmgrInfo output;
	Oid parameter; /* for these functions */
} ReadType;

/* Looks a type up. */
extern const ReadType *read_type(ReadSession *session, Oid oid);

/* Returns a type's name, or its number where it means nothing here. */
extern char *read_type_name(const ReadSession *session, Oid oid, int32 modifier);

/* Whether a type's OID means in this database what it meant in the session's. */
extern bool read_type_is_known(const ReadSession *session, Oid oid);

/* ---- value.c ---- */

typedef struct ReadValue
{
	bool is_null;
	bool is_text; /* false: `text` is hexadecimal digits */
	const char *text;
	size_t len;
	const char *reason; /* why it is not text */
} ReadValue;

/* A value to be read. */
typedef struct ReadBytes
{
	Oid type;
	int format;
	WireSpan bytes; /* no data: NULL */
} ReadBytes;

/* Reads values, in the present context. */
extern void read_values(ReadSession *session, int count, const ReadBytes *bytes, ReadValue *values);

/* Appends a binary value as text; raises an error if it is not that type's. */
extern void value_append(ReadSession *session, Oid type, WireSpan bytes, StringInfo out);

/* ---- parameter.c ---- */

/* Returns how many parameters a run had, and what they were. */
extern int read_parameters(const ReadSession *session, const ReadRun *run, ReadBytes **parameters);

/* Returns how many values a row had, and what they were. */
extern int read_row(const ReadSession *session, const ReadRun *run, WireSpan body,
                    ReadBytes **values);

/* Returns the format of a run's column. */
extern int read_column_format(const ReadRun *run, int column);

/* Returns the function that a run called: its OID, or InvalidOid; its name, or NULL. */
extern Oid read_run_function(const ReadRun *run);
extern char *read_function_name(const ReadSession *session, const ReadRun *run);

/* Whether a function's OID means in this database what it meant in the session's. */
extern bool read_function_is_known(const ReadSession *session, Oid function);

/* ---- container.c ---- */

extern void container_append(ReadSession *session, const ReadType *type, WireSpan bytes,
                             StringInfo out);

#endif /* READ_VALUE_H */
