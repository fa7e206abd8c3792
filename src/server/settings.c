/*
 * settings.c
 *	  All settings of the extension.
 *
 * Those that a relay works by are handed to it whole, as a RelayConfig, when it
 * starts and after each SIGHUP.
 */
#include "server/server.h"

#include <limits.h>

#include "libpq/auth.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#define PREFIX "pgwire_trace."
#define SMALLEST_STORAGE_MB 16
#define MAX_LIMIT (256 * 1024 * 1024) /* bytes kept of a request or response */

char *pgwt_listen_addresses;
char *pgwt_unix_socket_directories;
int pgwt_port;
int pgwt_relay_processes;
int pgwt_max_sessions;
int pgwt_max_unauthenticated;
int pgwt_upstream;
char *pgwt_database;
int pgwt_flush_interval;
bool pgwt_synchronous_commit;
int pgwt_node_id;
bool pgwt_record;
char *pgwt_redact_columns;
char *pgwt_redact_types;
int pgwt_retention;
int pgwt_storage_limit;

static bool allow_replay; /* a replay's target is asked for it by its name */

static int capture;
static int request_limit;
static int response_limit;
static int row_limit;
static int capture_memory;
static double sample_rate;
static int min_duration;
static int part_interval;
static int journal_limit;
static int journal_full;
static char *journal_directory;
static char *filters[RELAY_FILTERS];
static bool redact_parameters;
static char *redact_queries;

static const struct config_enum_entry upstream_options[] = {
    {"tcp", UPSTREAM_TCP, false}, {"unix", UPSTREAM_UNIX, false}, {NULL, 0, false}};

static const struct config_enum_entry capture_options[] = {
    {"all", RELAY_CAPTURE_ALL, false},
    {"metadata", RELAY_CAPTURE_METADATA, false},
    {"off", RELAY_CAPTURE_OFF, false},
    {NULL, 0, false}};

static const struct config_enum_entry journal_full_options[] = {
    {"drop", RELAY_JOURNAL_DROP, false}, {"wait", RELAY_JOURNAL_WAIT, false}, {NULL, 0, false}};

/*
 * Checks the addresses to listen on: a list of names or numbers.  What they mean
 * is found out by the supervisor, which has the time.
 */
static bool
check_listen_addresses(char **value, void **extra, GucSource source)
{
	char *copy = pstrdup(*value);
	List *names = NIL;
	bool is_list = SplitGUCList(copy, ',', &names);

	if (!is_list)
		GUC_check_errdetail("List syntax is invalid.");
	list_free(names);
	pfree(copy);
	return is_list;
}

/*
 * Checks the directories of Unix sockets.
 */
static bool
check_directories(char **value, void **extra, GucSource source)
{
	char *copy = pstrdup(*value);
	List *names = NIL;
	bool is_list = SplitDirectoriesString(copy, ',', &names);

	if (!is_list)
		GUC_check_errdetail("List syntax is invalid.");
	list_free_deep(names);
	pfree(copy);
	return is_list;
}

/*
 * Checks the limit of what the record takes: below it there would be no room for a
 * few partitions.
 */
static bool
check_storage_limit(int *value, void **extra, GucSource source)
{
	if (*value == -1 || *value >= SMALLEST_STORAGE_MB)
		return true;
	GUC_check_errdetail("The smallest limit is %dMB; -1 is no limit.", SMALLEST_STORAGE_MB);
	return false;
}

/*
 * Checks the name of the database that the record lives in.
 */
static bool
check_database(char **value, void **extra, GucSource source)
{
	if ((*value)[0] == '\0')
		GUC_check_errdetail("The record needs a database.");
	else if (strlen(*value) >= NAMEDATALEN)
		GUC_check_errdetail("A database's name has at most %d bytes.", NAMEDATALEN - 1);
	else
		return true;
	return false;
}

/*
 * Checks a filter list: it must fit the place that relays have for it, and '*'
 * stands only at the end of an item.
 */
static bool
check_filter(char **value, void **extra, GucSource source)
{
	const char *list = *value;

	if (strlen(list) >= RELAY_FILTER_SIZE)
	{
		GUC_check_errdetail("The list has %zu bytes; at most %d are allowed.", strlen(list),
		                    RELAY_FILTER_SIZE - 1);
		return false;
	}
	for (const char *star = strchr(list, '*'); star; star = strchr(star + 1, '*'))
	{
		const char *next = star + 1 + strspn(star + 1, " ");

		if (*next != ',' && *next != '\0')
		{
			GUC_check_errdetail("\"*\" is allowed only at the end of a name.");
			return false;
		}
	}
	return true;
}

/*
 * Checks the journal's directory: absolute, or empty for the default.
 */
static bool
check_journal_directory(char **value, void **extra, GucSource source)
{
	if ((*value)[0] != '\0' && !is_absolute_path(*value))
	{
		GUC_check_errdetail("\"%s\" is not an absolute path.", *value);
		return false;
	}
	if (strlen(*value) >= RELAY_PATH_SIZE - 64)
	{
		GUC_check_errdetail("The path has %zu bytes; at most %d are allowed.", strlen(*value),
		                    RELAY_PATH_SIZE - 65);
		return false;
	}
	return true;
}

/*
 * Defines a setting that is a text.
 */
static void
define_string(const char *name, const char *help, char **variable, const char *value,
              GucContext context, int flags, GucStringCheckHook check)
{
	DefineCustomStringVariable(psprintf(PREFIX "%s", name), help, NULL, variable, value, context,
	                           flags, check, NULL, NULL);
}

/*
 * Defines a setting that is a whole number.
 */
static void
define_int(const char *name, const char *help, int *variable, int value, int low, int high,
           GucContext context, int flags)
{
	DefineCustomIntVariable(psprintf(PREFIX "%s", name), help, NULL, variable, value, low, high,
	                        context, flags, NULL, NULL, NULL);
}

/*
 * Defines a setting that is one of a few words.
 */
static void
define_enum(const char *name, const char *help, int *variable, int value,
            const struct config_enum_entry *options)
{
	DefineCustomEnumVariable(psprintf(PREFIX "%s", name), help, NULL, variable, value, options,
	                         PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/*
 * Defines where relays listen and whom they let in.
 */
static void
define_network(void)
{
	define_string("listen_addresses", "Host names or addresses that the side port listens on.",
	              &pgwt_listen_addresses, "localhost", PGC_SIGHUP, GUC_LIST_INPUT,
	              check_listen_addresses);
	define_string("unix_socket_directories", "Directories of the side port's Unix sockets.",
	              &pgwt_unix_socket_directories, "", PGC_SIGHUP, GUC_LIST_INPUT, check_directories);
	define_int("port", "TCP port of the side port; 0 for none.", &pgwt_port, 15432, 0, 65535,
	           PGC_SIGHUP, 0);
	define_int("relay_processes", "Number of relay processes.", &pgwt_relay_processes, 1, 1,
	           BOARD_MAX_RELAYS, PGC_POSTMASTER, 0);
	define_int("max_sessions", "Most sessions at a time, over all relays.", &pgwt_max_sessions,
	           1000, 1, 10000, PGC_POSTMASTER, 0);
	define_int("max_unauthenticated", "Most clients at a time that are not authenticated yet.",
	           &pgwt_max_unauthenticated, 100, 1, 10000, PGC_SIGHUP, 0);
	define_enum("upstream", "How relays connect to the server: tcp or unix.", &pgwt_upstream,
	            UPSTREAM_TCP, upstream_options);
}

/*
 * Defines what is recorded.
 */
static void
define_capture(void)
{
	static const char *const names[RELAY_FILTERS] = {
	    "include_databases", "exclude_databases",    "include_users",
	    "exclude_users",     "include_applications", "exclude_applications"};

	define_enum("capture", "What is recorded: all, metadata (no bytes, no values) or off.",
	            &capture, RELAY_CAPTURE_ALL, capture_options);
	define_int("request_limit", "Bytes kept of an exchange's request; -1 for 256 MB.",
	           &request_limit, 1024 * 1024, -1, MAX_LIMIT, PGC_SIGHUP, GUC_UNIT_BYTE);
	define_int("response_limit", "Bytes kept of an exchange's response; -1 for 256 MB.",
	           &response_limit, 64 * 1024, -1, MAX_LIMIT, PGC_SIGHUP, GUC_UNIT_BYTE);
	define_int("row_limit",
	           "Rows kept of an exchange, of its results or of COPY; -1 for as many as fit.",
	           &row_limit, -1, -1, INT_MAX, PGC_SIGHUP, 0);
	define_int("capture_memory", "Memory of a relay for what is being recorded.", &capture_memory,
	           256 * 1024, 1024, INT_MAX, PGC_SIGHUP, GUC_UNIT_KB);
	DefineCustomRealVariable(PREFIX "sample_rate", "Fraction of sessions that is recorded.", NULL,
	                         &sample_rate, 1.0, 0.0, 1.0, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_int("min_duration", "Exchanges shorter than this are counted, not stored.",
	           &min_duration, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS);
	define_int("part_interval",
	           "Exchanges that take longer are recorded in parts; 0: they are not.", &part_interval,
	           60000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS);
	DefineCustomBoolVariable(BOARD_RECORD_SETTING, "Whether this session is recorded.",
	                         "It is set when a session starts, by superusers and by roles that "
	                         "were granted SET on it.",
	                         &pgwt_record, true, PGC_SU_BACKEND,
	                         GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, NULL, NULL, NULL);
	for (int i = 0; i < RELAY_FILTERS; i++)
		define_string(names[i], "Comma list that filters sessions; * is allowed at the end.",
		              &filters[i], "", PGC_SIGHUP, GUC_LIST_INPUT, check_filter);
}

/*
 * Defines what is taken out of the record.
 */
static void
define_redaction(void)
{
	DefineCustomBoolVariable(PREFIX "redact_parameters",
	                         "Whether values of parameters are overwritten in the record.", NULL,
	                         &redact_parameters, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_string("redact_columns", "Columns (schema.table.column) whose values are overwritten.",
	              &pgwt_redact_columns, "", PGC_SIGHUP, GUC_LIST_INPUT, redaction_check_columns);
	define_string("redact_types", "Types (schema.type) whose values in results are overwritten.",
	              &pgwt_redact_types, "", PGC_SIGHUP, GUC_LIST_INPUT, redaction_check_types);
	define_string("redact_queries",
	              "Regular expression; all values of queries that it matches are overwritten.",
	              &redact_queries, "", PGC_SIGHUP, 0, redaction_check_queries);
}

/*
 * Defines where what is recorded goes.
 */
static void
define_storage(void)
{
	define_string("database", "Database that the record lives in.", &pgwt_database, "postgres",
	              PGC_SIGHUP, 0, check_database);
	define_int("journal_limit", "Most space that the journal takes.", &journal_limit, 1024, 64,
	           INT_MAX, PGC_SIGHUP, GUC_UNIT_MB);
	define_enum("journal_full", "What happens when the journal is full: drop or wait.",
	            &journal_full, RELAY_JOURNAL_DROP, journal_full_options);
	define_string("journal_directory", "Directory of the journal; empty for the default.",
	              &journal_directory, "", PGC_POSTMASTER, 0, check_journal_directory);
	define_int("flush_interval", "Time between a relay's news and the writer's work.",
	           &pgwt_flush_interval, 200, 10, 10000, PGC_SIGHUP, GUC_UNIT_MS);
	DefineCustomBoolVariable(PREFIX "synchronous_commit",
	                         "Whether the writer waits for its commits to be flushed.", NULL,
	                         &pgwt_synchronous_commit, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	define_int("retention", "How long exchanges are kept; 0 is for ever.", &pgwt_retention,
	           7 * 24 * 60, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN);
	DefineCustomIntVariable(PREFIX "storage_limit",
	                        "Space that the record may take; -1 is no limit.", NULL,
	                        &pgwt_storage_limit, 10 * 1024, -1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MB,
	                        check_storage_limit, NULL, NULL);
	define_int("node_id", "Number of this server among those whose records are merged.",
	           &pgwt_node_id, 0, 0, 32767, PGC_POSTMASTER, 0);
}

/*
 * Defines the settings of replay.
 */
static void
define_replay(void)
{
	DefineCustomBoolVariable(PREFIX "allow_replay",
	                         "Whether recorded sessions may be replayed against this database.",
	                         NULL, &allow_replay, false, PGC_SUSET, 0, NULL, NULL, NULL);
}

/*
 * Defines all settings.
 */
void
settings_define(void)
{
	define_network();
	define_capture();
	define_redaction();
	define_storage();
	define_replay();
	MarkGUCPrefixReserved("pgwire_trace");
}

/*
 * Returns the journal's absolute directory.
 */
const char *
pgwt_journal_directory_resolved(void)
{
	static char path[MAXPGPATH];

	if (journal_directory[0] != '\0')
		strlcpy(path, journal_directory, sizeof(path));
	else
		snprintf(path, sizeof(path), "%s/pgwire_trace/pgsql_tmp_journal", DataDir);
	return path;
}

/*
 * Fills in what the settings say of a relay.
 */
void
settings_fill(RelayConfig *config)
{
	config->size = sizeof(*config);
	config->max_sessions = (uint32) pgwt_max_sessions;
	config->max_unauthenticated = (uint32) pgwt_max_unauthenticated;
	config->authentication_timeout_ms = (uint32) AuthenticationTimeout * 1000;
	config->capture = (uint32) capture;
	config->request_limit = request_limit < 0 ? MAX_LIMIT : request_limit;
	config->response_limit = response_limit < 0 ? MAX_LIMIT : response_limit;
	config->row_limit = row_limit < 0 ? 0 : (uint64) row_limit + 1;
	config->capture_memory = (int64) capture_memory * 1024;
	config->sample_rate = sample_rate;
	config->min_duration_us = (int64) min_duration * 1000;
	config->part_interval_us = (int64) part_interval * 1000;
	config->redact_parameters = redact_parameters;
	strlcpy(config->redact_columns, pgwt_redact_columns, sizeof(config->redact_columns));
	strlcpy(config->redact_types, pgwt_redact_types, sizeof(config->redact_types));
	strlcpy(config->redact_queries, redact_queries, sizeof(config->redact_queries));
	config->journal_full = (uint32) journal_full;
	config->journal_limit = (uint64) journal_limit * 1024 * 1024;
	config->flush_interval_ms = (uint32) pgwt_flush_interval;
	config->node_id = (uint32) pgwt_node_id;
	strlcpy(config->journal_directory, pgwt_journal_directory_resolved(),
	        sizeof(config->journal_directory));
	for (int i = 0; i < RELAY_FILTERS; i++)
		strlcpy(config->filters[i], filters[i], RELAY_FILTER_SIZE);
}
