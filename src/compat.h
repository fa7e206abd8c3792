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

/* The same: where a plan says which columns it reads and writes. */
#if PG_VERSION_NUM >= 160000
#define COMPAT_PERMISSIONS(planned) ((planned)->permInfos)
#define COMPAT_PERMISSION RTEPermissionInfo
#else
#define COMPAT_PERMISSIONS(planned) ((planned)->rtable)
#define COMPAT_PERMISSION RangeTblEntry
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

/* 16 moved who was authenticated, and how, out of Port, so that parallel workers know it. */
#if PG_VERSION_NUM >= 160000
#define COMPAT_AUTHN_ID(port) (MyClientConnectionInfo.authn_id)
#define COMPAT_SET_AUTH_METHOD(method) (MyClientConnectionInfo.auth_method = (method))
#else
#define COMPAT_AUTHN_ID(port) ((port)->authn_id)
#define COMPAT_SET_AUTH_METHOD(method) ((void) (method))
#endif

/* 16 lets pg_hba.conf include other files. */
#if PG_VERSION_NUM >= 160000
#define COMPAT_HBA_FILE(line) ((line)->sourcefile ? (line)->sourcefile : HbaFileName)
#else
#define COMPAT_HBA_FILE(line) ((void) (line), HbaFileName)
#endif

/* 18 made log_connections a list of what to log. */
#if PG_VERSION_NUM >= 180000
#include "tcop/backend_startup.h"
#define COMPAT_LOGS_RECEIPT ((log_connections & LOG_CONNECTION_RECEIPT) != 0)
#define COMPAT_LOGS_AUTHENTICATION ((log_connections & LOG_CONNECTION_AUTHENTICATION) != 0)
#else
#include "postmaster/postmaster.h"
#define COMPAT_LOGS_RECEIPT Log_connections
#define COMPAT_LOGS_AUTHENTICATION Log_connections
#endif

/* 18 makes a connection's row of pg_stat_activity before its authentication, not after. */
#if PG_VERSION_NUM >= 180000
#include "utils/backend_status.h"
#define COMPAT_SHOW_CLIENT(port)                                                   \
	do                                                                             \
	{                                                                              \
		volatile PgBackendStatus *entry = MyBEEntry;                               \
		const char *name = (port)->remote_hostname ? (port)->remote_hostname : ""; \
		PGSTAT_BEGIN_WRITE_ACTIVITY(entry);                                        \
		memcpy(unvolatize(SockAddr *, &entry->st_clientaddr), &(port)->raddr,      \
		       sizeof((port)->raddr));                                             \
		strlcpy(entry->st_clienthostname, name, NAMEDATALEN);                      \
		PGSTAT_END_WRITE_ACTIVITY(entry);                                          \
	} while (0)
#else
#define COMPAT_SHOW_CLIENT(port) ((void) (port))
#endif

/* 18 says that a function does not return before its declaration, no more behind it. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* 18 came with OAuth. */
#if PG_VERSION_NUM >= 180000
#define COMPAT_CASE_OAUTH case uaOAuth:
#else
#define COMPAT_CASE_OAUTH
#endif

/* 17 lets clients begin TLS without SSLRequest, and knows the protocol's name (ALPN). */
#define COMPAT_HAS_DIRECT_TLS (PG_VERSION_NUM >= 170000)

/* 18 made one curve a list of groups, and gave TLS 1.3 ciphers of its own. */
#if PG_VERSION_NUM >= 180000
#define COMPAT_TLS_GROUPS "ssl_groups"
#else
#define COMPAT_TLS_GROUPS "ssl_ecdh_curve"
#endif

/* 16 made SET ROLE a right of its own, apart from membership. */
#if PG_VERSION_NUM >= 160000
#define COMPAT_CAN_SET_ROLE(member, role) member_can_set_role(member, role)
#else
#define COMPAT_CAN_SET_ROLE(member, role) is_member_of_role(member, role)
#endif

#endif /* COMPAT_H */
