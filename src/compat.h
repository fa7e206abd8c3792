/*
 * compat.h
 *	  The differences between the server versions that the extension builds for.
 *
 * The only file that tests PG_VERSION_NUM; each difference says what made it.
 */
#ifndef COMPAT_H
#define COMPAT_H

#if PG_VERSION_NUM < 150000
#error "pgwire_trace needs PostgreSQL 15 or newer"
#endif

/* 16 moved a relation's permissions from its range table entry to RTEPermissionInfo. */
#if PG_VERSION_NUM >= 160000
#define COMPAT_SET_INSERT_PERMISSION(item) ((item)->p_perminfo->requiredPerms = ACL_INSERT)
#else
#define COMPAT_SET_INSERT_PERMISSION(item) ((item)->p_rte->requiredPerms = ACL_INSERT)
#endif

/* 17 lets a resource owner, not a memory context, own a WaitEventSet. */
#if PG_VERSION_NUM >= 170000
#define COMPAT_CREATE_WAIT_EVENT_SET(n) CreateWaitEventSet(NULL, n)
#else
#define COMPAT_CREATE_WAIT_EVENT_SET(n) CreateWaitEventSet(TopMemoryContext, n)
#endif

/* 16 made one ownership check of those for each kind of object. */
#if PG_VERSION_NUM >= 160000
#define COMPAT_DATABASE_OWNERCHECK(oid, role) object_ownercheck(DatabaseRelationId, oid, role)
#else
#define COMPAT_DATABASE_OWNERCHECK(oid, role) pg_database_ownercheck(oid, role)
#endif

#endif /* COMPAT_H */
