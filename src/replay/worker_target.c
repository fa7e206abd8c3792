/*
 * worker_target.c
 *	  From the target's connection string to that of each session.
 *
 * A session is replayed as its own user in its own database, with the startup
 * parameters that it had.  How that user logs in is said by a row of
 * replay_credential; without one the target's own conninfo serves its own user.
 * The strings hold passwords: they go to the child and nowhere else.
 */
#include "replay/worker.h"

#include <libpq-fe.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

struct ReplayTarget
{
	PQconninfoOption *options; /* libpq's memory; the process ends before it matters */
	bool by_superuser;
	bool read_only;
	bool sets_authorization;
	const char *token;    /* to show to this server's relays; NULL: the target is another */
	const char *user;     /* that the conninfo names, or libpq's default */
	const char *database; /* NULL: the session's own */
};

/*
 * What a caller who is no superuser may say of a target.  All else names files of the
 * server's user, or identities that are his.
 */
static const char *const options_for_all[] = {"host",
                                              "hostaddr",
                                              "port",
                                              "dbname",
                                              "user",
                                              "password",
                                              "connect_timeout",
                                              "client_encoding",
                                              "options",
                                              "application_name",
                                              "fallback_application_name",
                                              "keepalives",
                                              "keepalives_idle",
                                              "keepalives_interval",
                                              "keepalives_count",
                                              "tcp_user_timeout",
                                              "target_session_attrs",
                                              "load_balance_hosts",
                                              "sslmode",
                                              "sslnegotiation",
                                              "sslcompression",
                                              "sslsni",
                                              "ssl_min_protocol_version",
                                              "ssl_max_protocol_version",
                                              "min_protocol_version",
                                              "max_protocol_version",
                                              "channel_binding",
                                              "require_auth",
                                              "requirepeer",
                                              "gssencmode"};

/* What libpq would take of the server's user, and what it gets instead. */
static const char *const not_his[][2] = {
    {"passfile", "/nonexistent"}, {"sslcert", "/nonexistent"}, {"sslkey", "/nonexistent"}};

/*
 * Parses a conninfo; raises 22023.  libpq quotes what it does not understand, which may
 * be a part of a password, or all of a URI.
 */
static PQconninfoOption *
parse(const char *conninfo, const char *argument)
{
	char *message = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &message);

	if (options)
		return options;
	if (strstr(conninfo, "password") || strchr(conninfo, '@'))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid connection string in %s", argument),
		                errdetail("What is wrong is not shown, as the string may hold a password."),
		                errhint("Try the string in psql; in a URI, special characters are written "
		                        "as \"%%\" and two hexadecimal digits.")));
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid connection string in %s", argument),
	                errdetail_internal("%s", message ? pchomp(message) : "out of memory")));
}

/*
 * Finds an option; NULL: it is not given.
 */
static const char *
find(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val && options->val[0] ? options->val : NULL;
	return NULL;
}

/*
 * Appends an option to a conninfo.
 */
static void
put(StringInfo out, const char *keyword, const char *value)
{
	appendStringInfo(out, "%s%s='", out->len ? " " : "", keyword);
	for (; *value; value++)
	{
		if (*value == '\'' || *value == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *value);
	}
	appendStringInfoChar(out, '\'');
}

/*
 * Tells whether an option is a secret.
 */
static bool
is_secret(const PQconninfoOption *option)
{
	return option->dispchar[0] == '*' || strstr(option->keyword, "password") ||
	       strstr(option->keyword, "secret") || strncmp(option->keyword, "scram_", 6) == 0;
}

/*
 * Raises 22023 where a host name is the end of a password: libpq ends the password of a
 * URI at the first @.
 */
static void
refuse_split_password(const PQconninfoOption *options)
{
	const char *host = find(options, "host");

	if (host && host[0] != '@' && host[0] != '/' && strchr(host, '@'))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid connection string in argument \"target\""),
		                errdetail("Its host name has an \"@\"."),
		                errhint("In a URI, write \"@\" in a password as \"%%40\".")));
}

/*
 * Raises 42501 where a caller who is no superuser says what only one may.
 */
static void
require_options_for_all(const PQconninfoOption *options)
{
	for (; options->keyword; options++)
	{
		bool is_for_all = !options->val || !options->val[0];

		for (size_t i = 0; i < lengthof(options_for_all) && !is_for_all; i++)
			is_for_all = strcmp(options->keyword, options_for_all[i]) == 0;
		if (!is_for_all && strcmp(options->keyword, "sslrootcert") == 0)
			is_for_all = strcmp(options->val, "system") == 0; /* names no file */
		if (!is_for_all)
			ereport(ERROR,
			        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			         errmsg("connection option \"%s\" of a replay's target is for superusers",
			                options->keyword),
			         errdetail("It would use files or an identity of the server's.")));
	}
}

/*
 * Returns a conninfo without what is secret.
 */
char *
replay_target_shown(const char *target)
{
	PQconninfoOption *options = parse(target, "argument \"target\"");
	StringInfoData shown;

	refuse_split_password(options);
	initStringInfo(&shown);
	for (PQconninfoOption *option = options; option->keyword; option++)
		if (option->val && option->val[0] && !is_secret(option))
			put(&shown, option->keyword, option->val);
	PQconninfoFree(options);
	return shown.data;
}

/*
 * Tells whether the target may be this server's side port.  Another one with that port
 * would refuse the token, or not know it.
 */
static bool
may_be_side_port(const ReplayRequest *request, const PQconninfoOption *options)
{
	const char *port = find(options, "port");

	return !request->settings.refuses_self && request->token[0] && pgwt_port != 0 && port &&
	       atoi(port) == pgwt_port;
}

/*
 * Takes the target of a request apart.
 */
ReplayTarget *
replay_target_open(const ReplayRequest *request)
{
	ReplayTarget *target = palloc0(sizeof(ReplayTarget));
	const char *conninfo = request->data + request->target_at;
	PQconninfoOption *defaults = NULL;

	target->options = parse(conninfo, "argument \"target\"");
	if (!request->by_superuser)
		require_options_for_all(target->options);
	target->by_superuser = request->by_superuser;
	target->read_only = request->read_only;
	target->sets_authorization = request->settings.sets_authorization;
	target->token = may_be_side_port(request, target->options) ? request->token : NULL;
	target->user = find(target->options, "user");
	target->database = find(target->options, "dbname");
	if (!target->user && (defaults = PQconndefaults()) && find(defaults, "user"))
		target->user = pstrdup(find(defaults, "user"));
	if (defaults)
		PQconninfoFree(defaults);
	if (!request->by_superuser && !find(target->options, "password"))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("password is required"),
		                errdetail("A replay that no superuser starts must give a password in its "
		                          "target.")));
	return target;
}

/*
 * Returns the conninfo parts that replay_credential has for a user and database;
 * NULL: no row.
 */
static char *
find_credential(const char *user, const char *database)
{
	Oid types[2] = {TEXTOID, TEXTOID};
	Datum values[2] = {CStringGetTextDatum(user), CStringGetTextDatum(database)};
	char *conninfo;

	if (SPI_execute_with_args("SELECT conninfo FROM pgwire_trace.replay_credential"
	                          " WHERE user_name = $1"
	                          " AND (database_name = $2 OR database_name = '')"
	                          " ORDER BY database_name DESC LIMIT 1",
	                          2, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	if (SPI_processed == 0)
		return NULL;
	conninfo = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SPI_freetuptable(SPI_tuptable);
	return conninfo;
}

/*
 * Appends a setting to the options of a startup packet, in which a backslash guards
 * spaces.
 */
static void
put_setting(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, "%s-c ", out->len ? " " : "");
	for (; *name; name++)
		if (*name != ' ' && *name != '\\')
			appendStringInfoChar(out, *name);
	appendStringInfoChar(out, '=');
	for (; *value; value++)
	{
		if (isspace((unsigned char) *value) || *value == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *value);
	}
}

/*
 * Tells whether a startup parameter is said to libpq in another way, or not at all.
 */
static bool
is_said_otherwise(const char *name)
{
	return strcmp(name, "user") == 0 || strcmp(name, "database") == 0 ||
	       strcmp(name, "application_name") == 0 || strcmp(name, "client_encoding") == 0 ||
	       strcmp(name, "options") == 0 || strcmp(name, "replication") == 0 ||
	       strncmp(name, "_pq_.", 5) == 0 || pg_strncasecmp(name, "pgwire_trace.", 13) == 0;
}

/*
 * Returns the options of a session's startup packet.
 */
static char *
startup_options(const ReplayTarget *target, List *parameters)
{
	StringInfoData options;

	initStringInfo(&options);
	if (target->token)
		appendStringInfo(&options, BOARD_REPLAY_PARAMETER "%s", target->token);
	for (int i = 0; i + 1 < list_length(parameters); i += 2)
		if (strcmp(list_nth(parameters, i), "options") == 0)
			appendStringInfo(&options, " %s", (char *) list_nth(parameters, i + 1));
	for (int i = 0; i + 1 < list_length(parameters); i += 2)
		if (!is_said_otherwise(list_nth(parameters, i)))
			put_setting(&options, list_nth(parameters, i), list_nth(parameters, i + 1));
	if (target->read_only)
		put_setting(&options, "default_transaction_read_only", "on");
	return options.data;
}

/*
 * Returns a startup parameter; NULL: it was not sent.
 */
static const char *
startup_value(List *parameters, const char *name)
{
	for (int i = 0; i + 1 < list_length(parameters); i += 2)
		if (strcmp(list_nth(parameters, i), name) == 0)
			return list_nth(parameters, i + 1);
	return NULL;
}

/*
 * Appends the options of a conninfo that a session does not set itself.
 */
static void
put_base(StringInfo out, const PQconninfoOption *options, const PQconninfoOption *over)
{
	static const char *const own[] = {"user",       "dbname",          "application_name",
	                                  "options",    "client_encoding", "gssencmode",
	                                  "replication"};

	for (; options->keyword; options++)
	{
		bool is_own = over && find(over, options->keyword) != NULL;

		for (size_t i = 0; i < lengthof(own); i++)
			is_own |= strcmp(options->keyword, own[i]) == 0;
		if (options->val && options->val[0] && !is_own)
			put(out, options->keyword, options->val);
	}
}

/*
 * Appends what keeps libpq from using what is the server's, for a caller who is no
 * superuser.
 */
static void
put_limits(StringInfo out, const PQconninfoOption *options)
{
	for (size_t i = 0; i < lengthof(not_his); i++)
		put(out, not_his[i][0], not_his[i][1]);
	for (; options->keyword; options++)
		/* from libpq 16 on; a target that asks for nothing is refused when it is known, see connect.c */
		if (strcmp(options->keyword, "require_auth") == 0 && !options->val)
			put(out, "require_auth", "none,password,md5,scram-sha-256");
}

/*
 * Returns the connection string for a session.
 */
char *
replay_target_conninfo(ReplayTarget *target, const char *user, const char *database,
                       List *parameters, const char **reason)
{
	/* whoever else named the target could name one that is after the passwords */
	char *credential = target->by_superuser && !target->sets_authorization
	                       ? find_credential(user, database)
	                       : NULL;
	PQconninfoOption *over = credential ? parse(credential, "replay_credential") : NULL;
	const char *login = over ? find(over, "user") : NULL;
	const char *connect_to = over ? find(over, "dbname") : NULL;
	const char *application = startup_value(parameters, "application_name");
	const char *encoding = startup_value(parameters, "client_encoding");
	char *options = startup_options(target, parameters);
	StringInfoData out;

	if (target->sets_authorization)
		login = target->user;
	else if (!over && (!target->user || strcmp(user, target->user) != 0))
	{
		*reason = "no credentials: its user is not the target's, and replay_credential has no row";
		return NULL;
	}
	initStringInfo(&out);
	put_base(&out, target->options, over);
	if (over)
		put_base(&out, over, NULL);
	put(&out, "user", login ? login : user);
	put(&out, "dbname", connect_to ? connect_to : target->database ? target->database : database);
	put(&out, "gssencmode", "disable");
	if (application)
		put(&out, "application_name", application);
	if (encoding)
		put(&out, "client_encoding", encoding);
	if (options[0])
		put(&out, "options", options);
	if (!target->by_superuser)
		put_limits(&out, target->options);
	if (over)
		PQconninfoFree(over);
	return out.data;
}
