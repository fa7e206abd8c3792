/*
 * connect.c
 *	  From the writer's start to a database connection as it needs it.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#define RETRY_MS 500
#define LOCK_FILE "writer.lock"

static char database[NAMEDATALEN];

/*
 * Returns the name of the database that this process is connected to.
 */
const char *
connect_name(void)
{
	return database;
}

/*
 * Waits until this is the only writer of the journal: one that a supervisor has
 * left behind, or another server's with the same directory, may still be at it.
 * The lock is the process's own and ends with it.
 */
static void
lock_journal(void)
{
	const char *directory = pgwt_journal_directory_resolved();
	char path[MAXPGPATH + sizeof(LOCK_FILE) + 1];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, LOCK_FILE);
	while ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0 ||
	       flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		if (fd >= 0)
			writer_error(WRITER_STARTING,
			             "another writer holds the lock of journal directory \"%s\"", directory);
		else
			writer_error(WRITER_STARTING, "could not open file \"%s\": %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		writer_wait(RETRY_MS);
		writer_interrupts();
	}
}

/*
 * Waits until the database exists: without a connection to one it can be looked
 * for quietly, while a failed connection is an error in the log each time.  Then
 * the process ends, and the next one connects.
 */
static void
wait_for_database(void)
{
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	for (;;)
	{
		bool exists;

		StartTransactionCommand();
		exists = OidIsValid(get_database_oid(pgwt_database, true));
		CommitTransactionCommand();
		if (exists)
			break;
		writer_error(WRITER_WAITING_EXTENSION, "database \"%s\" does not exist", pgwt_database);
		writer_wait(RETRY_MS);
		writer_interrupts();
	}
	writer_set_state(WRITER_STARTING);
	proc_exit(0);
}

/*
 * Sets what the database, or a role, may have set to something else.  A server
 * without one of the settings has no need of it.  Triggers do not fire: who may make one
 * is not a superuser, as the writer is.
 */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {{"role", "none"},
	                                          {"search_path", "pg_catalog"},
	                                          {"session_replication_role", "replica"},
	                                          {"statement_timeout", "0"},
	                                          {"lock_timeout", STORE_LOCK_TIMEOUT},
	                                          {"transaction_timeout", "0"},
	                                          {"idle_in_transaction_session_timeout", "0"},
	                                          {"idle_session_timeout", "0"},
	                                          {"default_transaction_read_only", "off"},
	                                          {"default_transaction_deferrable", "off"},
	                                          {"default_transaction_isolation", "read committed"},
	                                          {"exit_on_error", "off"},
	                                          {"max_parallel_maintenance_workers", "0"},
	                                          {"default_statistics_target", "20"},
	                                          {"row_security", "off"},
	                                          {"default_tablespace", ""},
	                                          {"default_table_access_method", "heap"},
	                                          {"DateStyle", "ISO"},
	                                          {"TimeZone", "UTC"}};

	SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	for (size_t i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i][0], true, false))
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * Follows the settings.
 */
void
connect_apply_settings(void)
{
	SetConfigOption("synchronous_commit", pgwt_synchronous_commit ? "on" : "off", PGC_SUSET,
	                PGC_S_OVERRIDE);
	if (strcmp(database, pgwt_database) != 0)
		proc_exit(0); /* the supervisor starts one for the other database */
}

/*
 * Connects.  Where that fails the process ends here, and what the board says by
 * then is why.
 */
void
connect_database(bool failed_before)
{
	BoardWriter *board = &pgwt_board->writer;
	char last_error[BOARD_TEXT];
	int64 last_error_at = atomic_load(&board->last_error_at);

	lock_journal();
	if (failed_before)
		wait_for_database();
	strlcpy(database, pgwt_database, sizeof(database));
	memcpy(last_error, board->last_error, sizeof(last_error));
	last_error[BOARD_TEXT - 1] = '\0';
	writer_set_state(WRITER_WAITING_EXTENSION);
	board_set_error(board->last_error, &board->last_error_at, pgwt_now(),
	                psprintf("could not connect to database \"%s\"", database));
	BackgroundWorkerInitializeConnection(database, NULL, 0);
	board_set_error(board->last_error, &board->last_error_at, last_error_at, last_error);
	writer_set_state(WRITER_STARTING);
	pin_settings();
	connect_apply_settings();
}
