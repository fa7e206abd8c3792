/*
 * guard.c
 *	  Calls that may fail, or that run what somebody else wrote; see guard.h.
 */
#include "read/guard.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

/*
 * Tells whether an error is not the guarded routine's own.
 */
static bool
is_from_outside(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION ||
	       error->sqlerrcode == ERRCODE_OUT_OF_MEMORY;
}

/*
 * Calls a routine in a subtransaction.
 */
static bool
guard(const ReadSession *session, void (*call)(void *arg), void *arg, bool is_undone,
      ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int encoding = pg_get_client_encoding();
	volatile bool is_done = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	/* the subtransaction is not undone by anybody else, nor is the encoding */
	PG_TRY();
	{
		SetClientEncoding(session->encoding.encoding);
		call(arg);
		SetClientEncoding(encoding);
		if (is_undone)
			RollbackAndReleaseCurrentSubTransaction();
		else
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		SetClientEncoding(encoding);
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		is_done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (!is_done && is_from_outside(*error))
		ReThrowError(*error);
	return is_done;
}

/*
 * Calls a routine that may fail; see guard.h.
 */
bool
read_guard(const ReadSession *session, void (*call)(void *arg), void *arg, ErrorData **error)
{
	return guard(session, call, arg, false, error);
}

/*
 * Calls a routine whose doings are undone; see guard.h.
 */
bool
read_guard_undone(const ReadSession *session, void (*call)(void *arg), void *arg, ErrorData **error)
{
	return guard(session, call, arg, true, error);
}

/*
 * Returns why this process may not act as the recorded role; see guard.h.
 */
const char *
read_role_problem(const ReadSession *session)
{
	if (!OidIsValid(session->role))
		return psprintf("role \"%s\", which was recorded, does not exist",
		                session->user_name ? session->user_name : "");
	if (!COMPAT_CAN_SET_ROLE(GetUserId(), session->role))
		return psprintf("role \"%s\" may not act as the recorded role \"%s\"",
		                GetUserNameFromId(GetUserId(), false), session->user_name);
	return NULL;
}

/*
 * Tells whether what a role owns may run as the recorded role: a superuser runs only
 * what superusers own.
 */
bool
read_role_trusts(const ReadSession *session, Oid owner)
{
	return !superuser_arg(session->role) || superuser_arg(owner);
}

/*
 * Tells whether a function may run as the recorded role; see guard.h.
 */
bool
read_role_trusts_function(const ReadSession *session, Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return read_role_trusts(session, owner);
}

/*
 * Takes a role; see guard.h.
 */
void
read_role_enter(Oid role, ReadRole *before)
{
	GetUserIdAndSecContext(&before->user, &before->security_context);
	SetUserIdAndSecContext(role, before->security_context | SECURITY_RESTRICTED_OPERATION);
}

/*
 * Gives the role back.
 */
void
read_role_leave(const ReadRole *before)
{
	SetUserIdAndSecContext(before->user, before->security_context);
}
