/*
 * session.c
 *	  Who a recorded session was, and the settings that its values were shown under.
 *
 * The settings are those that the server reported at login and since; what it does not
 * report is taken from what the client asked for at login.  To write a binary value as
 * the session's client would have seen it this process takes the settings on, for as
 * long as the session is read.
 */
#include "read/query.h"
#include "read/read.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"

const char *const read_setting_names[READ_SETTING_COUNT] = {
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "standard_conforming_strings",
    "search_path",
    "extra_float_digits",
};

static ReadQuery session_query = {
    "SELECT user_name, database_name, database_oid, server_parameters, startup_parameters "
    "FROM pgwire_trace.session WHERE session_id OPERATOR(pg_catalog.=) $1",
    1, NULL};
static ReadQuery text_query = {
    "SELECT query FROM pgwire_trace.query_text WHERE query_hash OPERATOR(pg_catalog.=) $1", 1,
    NULL};

/* A query text that was looked up. */
typedef struct TextEntry
{
	int64 hash; /* key */
	char *text; /* NULL: not stored */
} TextEntry;

/*
 * Sets a setting to a value.
 */
static void
set(ReadSession *session, ReadSetting setting, const char *value)
{
	if (session->settings[setting])
	{
		if (strcmp(session->settings[setting], value) == 0)
			return;
		pfree(session->settings[setting]);
	}
	session->settings[setting] = MemoryContextStrdup(session->context, value);
	session->is_applied = false;
	if (setting == READ_STANDARD_STRINGS)
		session->standard_strings = strcmp(value, "off") != 0;
	else if (setting == READ_CLIENT_ENCODING)
	{
		int encoding = pg_char_to_encoding(value);

		read_encoding_init(&session->encoding, encoding >= 0 ? encoding : GetDatabaseEncoding());
	}
}

/*
 * Sets a setting by its name, if it is one of those that matter.
 */
static void
set_by_name(ReadSession *session, const char *name, const char *value)
{
	for (int i = 0; i < READ_SETTING_COUNT; i++)
		if (pg_strcasecmp(name, read_setting_names[i]) == 0)
			set(session, (ReadSetting) i, value);
}

/*
 * Notes a ParameterStatus; see read.h.
 */
void
read_session_note(ReadSession *session, WireSpan name, WireSpan value)
{
	char *name_text = read_string(session, name);
	char *value_text = read_string(session, value);

	if (name_text && value_text)
		set_by_name(session, name_text, value_text);
}

/*
 * Takes a switch of the startup option "options": -c name=value or --name=value.
 */
static void
set_by_switch(ReadSession *session, char *argument)
{
	char *value = strchr(argument, '=');

	if (!value)
		return;
	*value = '\0';
	for (char *c = argument; *c; c++)
		if (*c == '-')
			*c = '_';
	set_by_name(session, argument, value + 1);
}

/*
 * Reads the startup option "options": words, in which a backslash takes the next
 * character as it is.
 */
static void
set_by_options(ReadSession *session, const char *options)
{
	bool wants_argument = false;

	while (*options)
	{
		StringInfoData word;

		initStringInfo(&word);
		for (; *options && isspace((unsigned char) *options); options++)
			;
		for (; *options && !isspace((unsigned char) *options); options++)
		{
			if (*options == '\\' && options[1])
				options++;
			appendStringInfoChar(&word, *options);
		}
		if (wants_argument)
			set_by_switch(session, word.data);
		else if (strncmp(word.data, "--", 2) == 0 || strncmp(word.data, "-c", 2) == 0)
			set_by_switch(session, word.data + 2);
		wants_argument = strcmp(word.data, "-c") == 0;
	}
}

/*
 * Takes the settings from an object of parameters; of the startup packet's only those
 * that the server does not report.
 */
static void
set_by_object(ReadSession *session, Datum parameters, bool is_startup)
{
	Jsonb *object = DatumGetJsonbP(parameters);
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbValue value;
	JsonbIteratorToken token;
	char *key = NULL;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type == jbvString && key)
		{
			char *text = pnstrdup(value.val.string.val, value.val.string.len);

			if (is_startup && strcmp(key, "options") == 0)
				set_by_options(session, text);
			else
				set_by_name(session, key, text);
		}
	}
}

/*
 * Returns a text column of the row that SPI has.
 */
static char *
text_column(int number)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number);
}

/*
 * Fills a session from the row that SPI has.
 */
static void
read_row(ReadSession *session)
{
	bool is_null;
	Datum value;

	session->user_name = text_column(1);
	session->database_name = text_column(2);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &is_null);
	session->is_here = !is_null && DatumGetObjectId(value) == MyDatabaseId;
	session->role = session->user_name ? get_role_oid(session->user_name, true) : InvalidOid;
	/* what the server said last overrides what the client asked for */
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5, &is_null);
	if (!is_null)
		set_by_object(session, value, true);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &is_null);
	if (!is_null)
		set_by_object(session, value, false);
}

/*
 * Opens a session; see read.h.
 */
ReadSession *
read_session_open(int64 session_id)
{
	Datum key = Int64GetDatum(session_id);
	ReadSession *session;

	if (SPI_execute_plan(read_query_plan(&session_query), &key, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"session\"");
	if (SPI_processed == 0)
		return NULL;
	session = palloc0(sizeof(ReadSession));
	session->context = CurrentMemoryContext;
	session->session_id = session_id;
	session->standard_strings = true;
	read_encoding_init(&session->encoding, GetDatabaseEncoding());
	read_row(session);
	SPI_freetuptable(SPI_tuptable);
	return session;
}

/*
 * Gives this process the session's settings; see read.h.  A value that it does not
 * take (a time zone that is gone) leaves its own in place.
 */
void
read_session_apply(ReadSession *session)
{
	static const ReadSetting wanted[] = {READ_DATESTYLE, READ_INTERVALSTYLE, READ_TIMEZONE,
	                                     READ_FLOAT_DIGITS};

	if (session->is_applied)
		return;
	if (session->guc_level == 0)
		session->guc_level = NewGUCNestLevel();
	for (size_t i = 0; i < lengthof(wanted); i++)
		if (session->settings[wanted[i]])
			set_config_option(read_setting_names[wanted[i]], session->settings[wanted[i]],
			                  PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, DEBUG3, false);
	set_config_option("bytea_output", "hex", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
	                  DEBUG3, false);
	PrepareClientEncoding(session->encoding.encoding);
	session->is_applied = true;
}

/*
 * Gives this process its own settings back.
 */
void
read_session_close(ReadSession *session)
{
	if (session->guc_level > 0)
		AtEOXact_GUC(false, session->guc_level);
	session->guc_level = 0;
}

/*
 * Returns a string of a message as text; see read.h.
 */
char *
read_string(const ReadSession *session, WireSpan bytes)
{
	size_t len;
	const char *text = read_text(&session->encoding, bytes, &len);

	return text ? pnstrdup(text, len) : NULL;
}

/*
 * Returns the text of a query by the relay's hash; see read.h.
 */
const char *
read_text_of_hash(ReadSession *session, int64 hash)
{
	HASHCTL control = {.keysize = sizeof(int64), .entrysize = sizeof(TextEntry)};
	Datum key = Int64GetDatum(hash);
	TextEntry *entry;
	bool found;

	control.hcxt = session->context;
	if (!session->texts)
		session->texts =
		    hash_create("query texts", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	entry = hash_search(session->texts, &hash, HASH_ENTER, &found);
	if (found)
		return entry->text;
	entry->text = NULL;
	if (SPI_execute_plan(read_query_plan(&text_query), &key, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"query_text\"");
	if (SPI_processed == 1)
	{
		char *text = text_column(1);

		entry->text = text ? MemoryContextStrdup(session->context, text) : NULL;
	}
	SPI_freetuptable(SPI_tuptable);
	return entry->text;
}
