/*
 * explain.h
 *	  The plan that a recorded statement would get now.
 */
#ifndef READ_EXPLAIN_H
#define READ_EXPLAIN_H

#include "read/read.h"

/* Returns the lines of the plan, as char *; raises 0A000 where there can be none. */
extern List *read_explain(ReadSession *session, const ReadRun *run);

#endif /* READ_EXPLAIN_H */
