/*
 * input.h
 *	  Recorded values as data of types that the reader names.
 */
#ifndef READ_INPUT_H
#define READ_INPUT_H

#include "read/value.h"

/* How text becomes a value of a type. */
typedef struct ReadInput
{
	FmgrInfo function;
	Oid parameter;
	int32 modifier;
	bool is_foreign; /* it runs what is not PostgreSQL's own */
	bool takes_hex;  /* \x and digits are a value of it as well */
} ReadInput;

/* A value that was made. */
typedef struct ReadDatum
{
	Datum value;
	bool is_null;
	const char *reason; /* why it is NULL although the recorded one is not */
} ReadDatum;

/*
 * Prepares for a type; raises 0A000 if its values can't be made without running what
 * may not run.
 */
extern void read_input_init(ReadSession *session, Oid type, int32 modifier, ReadInput *input);

/* Makes values of types. */
extern void read_inputs(ReadSession *session, int count, const ReadInput *inputs,
                        const ReadValue *values, ReadDatum *data);

#endif /* READ_INPUT_H */
