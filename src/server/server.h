/*
 * server.h
 *	  What the server's processes share: settings, the board, entry points.
 */
#ifndef SERVER_H
#define SERVER_H

#include "postgres.h"

#include "libpq/libpq-be.h"
#include "nodes/plannodes.h"
#include "relay/board.h"
#include "relay/relay.h"
#include "utils/guc.h"

/* NULL unless the library was loaded by shared_preload_libraries. */
extern Board *pgwt_board;

/* The slot of this backend's carrier; NULL on the main port. */
extern BoardSlot *pgwt_my_slot;

/* ---- settings.c: all settings ---- */

typedef enum UpstreamKind
{
	UPSTREAM_TCP,
	UPSTREAM_UNIX
} UpstreamKind;

extern char *pgwt_listen_addresses;
extern char *pgwt_unix_socket_directories;
extern int pgwt_port;
extern int pgwt_relay_processes;
extern int pgwt_max_sessions;
extern int pgwt_max_unauthenticated;
extern int pgwt_upstream;
extern char *pgwt_database;
extern int pgwt_flush_interval;
extern bool pgwt_synchronous_commit;
extern int pgwt_node_id;
extern bool pgwt_record;
extern char *pgwt_redact_columns;
extern char *pgwt_redact_types;
extern int pgwt_retention;     /* minutes; 0: for ever */
extern int pgwt_storage_limit; /* MB; -1: none */

extern void settings_define(void);

/* Returns the journal's absolute directory. */
extern const char *pgwt_journal_directory_resolved(void);

/* Fills in what the settings say of a relay; addresses are not settings. */
extern void settings_fill(RelayConfig *config);

/* ---- redaction.c: what redaction rules mean ---- */

/* Begins to follow the catalog, once a traced session. */
extern void redaction_begin(void);

/* Tells the relay what the rules mean in this database, if that may have changed. */
extern void redaction_refresh(void);

/* Notes that a utility command of a traced session begins. */
extern void redaction_command(const Node *command);

/* Notes that a statement of a traced session begins. */
extern void redaction_start(const PlannedStmt *planned);

/* Checks of the settings. */
extern bool redaction_check_columns(char **value, void **extra, GucSource source);
extern bool redaction_check_types(char **value, void **extra, GucSource source);
extern bool redaction_check_queries(char **value, void **extra, GucSource source);

/* ---- the rest ---- */

extern void auth_install(void);
extern void utility_install(void);
extern void query_ids_install(void);
extern void supervisor_register(void);

PGDLLEXPORT void pgwire_trace_supervisor_main(Datum arg);
PGDLLEXPORT void pgwire_trace_writer_main(Datum arg);

/* Raises 55000 where the library was not preloaded. */
extern void pgwt_require_preloaded(void);

/* Tells whether the run that a slot names still runs. */
extern bool pgwt_replay_is_live(BoardReplay *slot);

/* Removes plans of replays that nobody needs any more. */
extern void pgwt_sweep_plans(void);

/* Wakes the writer, if it runs. */
extern void pgwt_wake_writer(void);

/* Now, as the board counts time. */
extern int64 pgwt_now(void);

#endif /* SERVER_H */
