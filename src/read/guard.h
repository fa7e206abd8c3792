/*
 * guard.h
 *	  Calls that may fail, or that run what somebody else wrote.
 *
 * A value that no longer fits its type must not end the reading of all others, so what
 * may fail is called in a subtransaction.  What is not PostgreSQL's own (a type's
 * functions, a statement's) is called as the recorded role and as a restricted
 * operation, and not at all where the reader could not become that role: whoever wrote
 * it gains nothing by being read.
 */
#ifndef READ_GUARD_H
#define READ_GUARD_H

#include "read/read.h"

/*
 * Calls a routine in a subtransaction, in the session's encoding.  False: it failed, its
 * doings are undone, and *error tells.  Errors that are not the routine's own (a cancel
 * request, a shutdown) are raised.
 */
extern bool read_guard(const ReadSession *session, void (*call)(void *arg), void *arg,
                       ErrorData **error);

/* The same, but its doings are undone in any case. */
extern bool read_guard_undone(const ReadSession *session, void (*call)(void *arg), void *arg,
                              ErrorData **error);

/* Who this process was before it took a role. */
typedef struct ReadRole
{
	Oid user;
	int security_context;
} ReadRole;

/* Returns why this process may not act as the recorded role; NULL: it may. */
extern const char *read_role_problem(const ReadSession *session);

/* Whether what this role owns may run as the recorded role; and whether that function may. */
extern bool read_role_trusts(const ReadSession *session, Oid owner);
extern bool read_role_trusts_function(const ReadSession *session, Oid function);

/* Takes a role, the recorded one say, restricted; a failed subtransaction gives it back as well. */
extern void read_role_enter(Oid role, ReadRole *before);
extern void read_role_leave(const ReadRole *before);

#endif /* READ_GUARD_H */
