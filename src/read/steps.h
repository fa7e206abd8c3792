/*
 * steps.h
 *	  What the messages of a request are about: which statement or portal each names,
 *	  without its values.
 */
#ifndef READ_STEPS_H
#define READ_STEPS_H

#include "postgres.h"

#include "wire/wire.h"

/* Bytes of a request that are being stepped through. */
typedef struct ReadSteps
{
	WireSpan left;
	WireFramer framer;
} ReadSteps;

/* A step; a span without data: the message has no such thing. */
typedef struct ReadStep
{
	WireMessageId id; /* Parse, Bind, Describe, Execute, Close or Sync */
	char type;
	WireSpan statement;
	WireSpan portal;
	WireSpan query;
} ReadStep;

/* Begins with a request. */
extern void read_steps_begin(ReadSteps *steps, WireSpan request);

/* Gives the next step; false at the end, and where bytes are left that make no whole message. */
extern bool read_steps_next(ReadSteps *steps, ReadStep *step);

#endif /* READ_STEPS_H */
