/*
 * redaction.h
 *	  What the files of redaction share: the columns and types that rules mean.
 */
#ifndef REDACTION_H
#define REDACTION_H

#include "server/server.h"

typedef struct RedactionSet
{
	uint32 column_count; /* over BOARD_REDACTED: there are more than it holds */
	uint32 type_count;
	Oid relations[BOARD_REDACTED];  /* 0: expressions of the type in columns */
	uint32 columns[BOARD_REDACTED]; /* attribute number, 0: all; or a type */
	Oid types[BOARD_REDACTED];
} RedactionSet;

/* Adds to a set what the rules mean in this database. */
extern void redaction_find(RedactionSet *set);

#endif /* REDACTION_H */
