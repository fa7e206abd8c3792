/*
 * replay_options.c
 *	  The arguments of replay_start() and replay_plan() become a request.
 *
 * Options are a jsonb object with a list of known keys; one that is not in it is an
 * error, as a misspelt option would else be silently without effect.
 */
#include "api/replay_options.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define VALUE_SHOWN 200 /* bytes of a value in a message */
#define MAX_MS (INT64CONST(1000) * 86400 * 365)

/* What an option's value must be. */
typedef enum OptionKind
{
	OPTION_BOOLEAN,
	OPTION_COUNT, /* whole number */
	OPTION_MILLISECONDS,
	OPTION_NUMBER,
	OPTION_NAMES /* array of strings */
} OptionKind;

typedef struct Option
{
	const char *name;
	OptionKind kind;
	bool for_superuser;
	double least;
	double most;
} Option;

typedef enum OptionNo
{
	ALLOW_TARGET,
	ALLOW_SELF,
	SESSION_AUTHORIZATION,
	ROLLBACK,
	IDLE_MAX,
	EXCHANGE_TIMEOUT,
	ORDER_TIMEOUT,
	CONNECT_TIMEOUT,
	MAX_SESSIONS,
	CONNECT_RATE,
	CONNECT_ATTEMPTS,
	CONNECT_DELAY,
	RECONNECT,
	CATCH_UP,
	CHILDREN,
	FLOAT_TOLERANCE,
	IGNORE_COLUMNS,
	NOISE_RULES,
	OPTION_COUNT_OF
} OptionNo;

static const Option options[OPTION_COUNT_OF] = {
    [ALLOW_TARGET] = {"allow_target", OPTION_BOOLEAN, true, 0, 0},
    [ALLOW_SELF] = {"allow_self", OPTION_BOOLEAN, true, 0, 0},
    [ROLLBACK] = {"rollback", OPTION_BOOLEAN, false, 0, 0},
    [SESSION_AUTHORIZATION] = {"session_authorization", OPTION_BOOLEAN, true, 0, 0},
    [IDLE_MAX] = {"idle_max", OPTION_MILLISECONDS, false, 0, MAX_MS},
    [EXCHANGE_TIMEOUT] = {"exchange_timeout", OPTION_MILLISECONDS, false, 1, MAX_MS},
    [ORDER_TIMEOUT] = {"order_timeout", OPTION_MILLISECONDS, false, 1, MAX_MS},
    [CONNECT_TIMEOUT] = {"connect_timeout", OPTION_MILLISECONDS, false, 1, MAX_MS},
    [MAX_SESSIONS] = {"max_sessions", OPTION_COUNT, false, 1, 100000},
    [CONNECT_RATE] = {"connect_rate", OPTION_COUNT, false, 1, 1000000},
    [CONNECT_ATTEMPTS] = {"connect_attempts", OPTION_COUNT, false, 1, 1000},
    [CONNECT_DELAY] = {"connect_delay", OPTION_MILLISECONDS, false, 0, MAX_MS},
    [RECONNECT] = {"reconnect", OPTION_BOOLEAN, false, 0, 0},
    [CATCH_UP] = {"catch_up", OPTION_NUMBER, false, 1, 1e6},
    [CHILDREN] = {"children", OPTION_COUNT, false, 1, REPLAY_MAX_CHILDREN},
    [FLOAT_TOLERANCE] = {"float_tolerance", OPTION_NUMBER, false, 0, 1},
    [IGNORE_COLUMNS] = {"ignore_columns", OPTION_NAMES, false, 0, 0},
    [NOISE_RULES] = {"noise_rules", OPTION_BOOLEAN, false, 0, 0},
};

/*
 * Finds a word in a list; raises 22023 with the list.
 */
static uint32
find_word(const char *argument, const char *word, const char *const *words, int count)
{
	StringInfoData list;

	for (int i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return (uint32) i;
	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, "%s\"%s\"", i ? ", " : "", words[i]);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid value for argument \"%s\": \"%s\"", argument, word),
	                errhint("Available values: %s.", list.data)));
}

/*
 * Raises an error about an option's value.
 */
static void
bad_option(const Option *option, const JsonbValue *value, const char *wanted)
{
	Jsonb *found = JsonbValueToJsonb(unconstify(JsonbValue *, value));
	char *text = JsonbToCString(NULL, &found->root, 0);

	text[pg_mbcliplen(text, (int) strlen(text), VALUE_SHOWN)] = '\0';
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid value for option \"%s\": %s", option->name, text),
	                errdetail("It must be %s.", wanted)));
}

/*
 * Finds an option by its key; raises 22023.
 */
static OptionNo
find_option(const JsonbValue *key)
{
	StringInfoData list;

	for (int i = 0; i < OPTION_COUNT_OF; i++)
		if ((int) strlen(options[i].name) == key->val.string.len &&
		    memcmp(options[i].name, key->val.string.val, (Size) key->val.string.len) == 0)
			return (OptionNo) i;
	initStringInfo(&list);
	for (int i = 0; i < OPTION_COUNT_OF; i++)
		appendStringInfo(&list, "%s%s", i ? ", " : "", options[i].name);
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	         errmsg("unknown replay option \"%.*s\"", key->val.string.len, key->val.string.val),
	         errhint("Options are: %s.", list.data)));
}

/*
 * Reads a number.
 */
static double
read_number(const Option *option, const JsonbValue *value)
{
	double number;
	char wanted[128];

	snprintf(wanted, sizeof(wanted), "a%s number%s from %.0f to %.0f",
	         option->kind == OPTION_COUNT ? " whole" : "",
	         option->kind == OPTION_MILLISECONDS ? " of milliseconds" : "", option->least,
	         option->most);
	if (value->type != jbvNumeric)
		bad_option(option, value, wanted);
	number =
	    DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
	if (isnan(number) || number < option->least || number > option->most ||
	    (option->kind == OPTION_COUNT && number != floor(number)))
		bad_option(option, value, wanted);
	return number;
}

/*
 * Reads a list of names: each ended by a zero byte, the last by another.
 */
static void
read_names(const Option *option, const JsonbValue *value, char names[LINK_IGNORED])
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;
	Size at = 0;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		bad_option(option, value, "an array of strings");
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (item.type != jbvString || item.val.string.len == 0)
			bad_option(option, value, "an array of strings, none of them empty");
		if (at + (Size) item.val.string.len + 2 > LINK_IGNORED)
			bad_option(option, value, "shorter");
		memcpy(names + at, item.val.string.val, (Size) item.val.string.len);
		at += (Size) item.val.string.len;
		names[at++] = '\0';
	}
	names[at] = '\0';
}

/*
 * Puts an option's value into the settings.
 */
static void
take_option(ReplaySettings *settings, OptionNo number, const JsonbValue *value)
{
	const Option *option = &options[number];

	if (option->for_superuser && !superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		                errmsg("option \"%s\" is for superusers", option->name)));
	if (option->kind == OPTION_BOOLEAN && value->type != jbvBool)
		bad_option(option, value, "true or false");
	switch (number)
	{
		case ALLOW_TARGET:
			settings->asks_permission = !value->val.boolean;
			break;
		case ALLOW_SELF:
			settings->refuses_self = !value->val.boolean;
			break;
		case ROLLBACK:
			settings->rolls_back = value->val.boolean;
			break;
		case SESSION_AUTHORIZATION:
			settings->sets_authorization = value->val.boolean;
			break;
		case IDLE_MAX:
			settings->idle_max_us = (int64) (read_number(option, value) * 1000);
			break;
		case EXCHANGE_TIMEOUT:
			settings->exchange_timeout_us = (int64) (read_number(option, value) * 1000);
			break;
		case ORDER_TIMEOUT:
			settings->order_timeout_us = (int64) (read_number(option, value) * 1000);
			break;
		case CONNECT_TIMEOUT:
			settings->connect_timeout_us = (int64) (read_number(option, value) * 1000);
			break;
		case MAX_SESSIONS:
			settings->max_sessions = (uint32) read_number(option, value);
			break;
		case CONNECT_RATE:
			settings->connect_rate = (uint32) read_number(option, value);
			break;
		case CONNECT_ATTEMPTS:
			settings->connect_attempts = (uint32) read_number(option, value);
			break;
		case CONNECT_DELAY:
			settings->connect_delay_us = (int64) (read_number(option, value) * 1000);
			break;
		case RECONNECT:
			settings->reconnects = value->val.boolean;
			break;
		case CATCH_UP:
			settings->catch_up = read_number(option, value);
			break;
		case CHILDREN:
			settings->child_count = (uint32) read_number(option, value);
			break;
		case FLOAT_TOLERANCE:
			settings->float_tolerance = read_number(option, value);
			break;
		case IGNORE_COLUMNS:
			read_names(option, value, settings->ignored);
			break;
		case NOISE_RULES:
			settings->ignores_noise_rules = !value->val.boolean;
			break;
		case OPTION_COUNT_OF:
			break;
	}
}

/*
 * Reads the options.
 */
static void
read_options(ReplaySettings *settings, Jsonb *jsonb)
{
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("argument \"options\" must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		OptionNo number;

		if (token != WJB_KEY)
			continue;
		number = find_option(&key);
		JsonbIteratorNext(&iterator, &value, true);
		take_option(settings, number, &value);
	}
}

/*
 * Raises an error where an option would leave out differences at a level that does
 * not look for them: whoever gives it counts on it.
 */
static void
refuse_idle_option(bool is_idle, OptionNo number, const char *levels)
{
	if (is_idle)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("option \"%s\" would have no effect", options[number].name),
		                errhint("It takes %s for argument \"compare\".", levels)));
}

/*
 * Reads how to replay.
 */
static void
read_settings(ReplaySettings *settings, FunctionCallInfo fcinfo)
{
	static const char *const timings[] = {"asap", "think", "schedule", "catch-up"};
	static const char *const orderings[] = {"none", "arrival", "commit"};

	memset(settings, 0, sizeof(*settings));
	settings->timing =
	    find_word("timing", text_to_cstring(PG_GETARG_TEXT_PP(4)), timings, lengthof(timings));
	settings->ordering = find_word("ordering", text_to_cstring(PG_GETARG_TEXT_PP(6)), orderings,
	                               lengthof(orderings));
	settings->speed = PG_GETARG_FLOAT8(5);
	if (!(settings->speed >= 0.001 && settings->speed <= 1e6))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for argument \"speed\": %g", settings->speed),
		                errdetail("The speed must be from 0.001 to 1000000.")));
	settings->compare = PG_GETARG_INT32(7);
	if (settings->compare < 0 || settings->compare > 5)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for argument \"compare\": %d", settings->compare),
		                errdetail("Levels of comparison are 0 to 5.")));
	settings->idle_max_us = -1;
	settings->exchange_timeout_us = INT64CONST(300000000);
	settings->order_timeout_us = INT64CONST(5000000);
	settings->connect_timeout_us = INT64CONST(30000000);
	settings->connect_delay_us = 500000;
	settings->connect_attempts = 3;
	settings->catch_up = 2;
	settings->child_count = 1;
	settings->asks_permission = settings->refuses_self = true;
	settings->requires_password = !superuser();
	read_options(settings, PG_GETARG_JSONB_P(9));
	refuse_idle_option(settings->compare < 4 && settings->ignored[0] != '\0', IGNORE_COLUMNS,
	                   "4 or 5");
	refuse_idle_option(settings->compare < 5 && settings->float_tolerance > 0, FLOAT_TOLERANCE,
	                   "5");
}

/*
 * Returns the sessions that the call names; NULL: all.
 */
static ArrayType *
read_sessions(FunctionCallInfo fcinfo, int *count)
{
	ArrayType *array;

	*count = -1;
	if (PG_ARGISNULL(1))
		return NULL;
	array = PG_GETARG_ARRAYTYPE_P(1);
	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("invalid value for argument \"session_ids\""),
		                errdetail("It must be a list of session ids without NULLs.")));
	*count = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];
	return array;
}

/*
 * Raises an error where an argument that has no default is NULL.
 */
static void
refuse_nulls(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"target", NULL,       NULL,      NULL,        "timing",
	                                    "speed",  "ordering", "compare", "read_only", "options"};

	for (size_t i = 0; i < lengthof(names); i++)
		if (names[i] && PG_ARGISNULL((int) i))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("argument \"%s\" must not be NULL", names[i])));
}

/*
 * Makes a request; see replay_options.h.
 */
ReplayRequest *
replay_request_make(FunctionCallInfo fcinfo)
{
	ReplaySettings settings;
	ReplayRequest *request;
	ArrayType *sessions;
	char *target;
	char *shown_options;
	int count;
	Size ids;
	Size size;

	refuse_nulls(fcinfo);
	read_settings(&settings, fcinfo);
	sessions = read_sessions(fcinfo, &count);
	target = text_to_cstring(PG_GETARG_TEXT_PP(0));
	pfree(replay_target_shown(target)); /* it can be read */
	shown_options = JsonbToCString(NULL, &PG_GETARG_JSONB_P(9)->root, 0);
	ids = (Size) Max(count, 0) * sizeof(int64);
	size = offsetof(ReplayRequest, data) + ids + strlen(target) + strlen(shown_options) + 2;
	request = palloc0(size);
	request->size = size;
	request->database = MyDatabaseId;
	request->role = GetUserId();
	request->by_superuser = superuser();
	request->read_only = PG_GETARG_BOOL(8);
	request->settings = settings;
	request->since = PG_ARGISNULL(2) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(2);
	request->until = PG_ARGISNULL(3) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(3);
	if (request->since >= request->until)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("argument \"since\" must be before \"until\""),
		                errdetail("The time range is from %s to %s.",
		                          pstrdup(timestamptz_to_str(request->since)),
		                          pstrdup(timestamptz_to_str(request->until)))));
	request->session_count = count;
	request->sessions_at = 0;
	request->target_at = ids;
	request->options_at = ids + strlen(target) + 1;
	if (ids > 0)
		memcpy(request->data, ARR_DATA_PTR(sessions), ids);
	strcpy(request->data + request->target_at, target);
	strcpy(request->data + request->options_at, shown_options);
	return request;
}
