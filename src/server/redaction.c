/*
 * redaction.c
 *	  Finds out what redaction rules mean in the session's database.
 *
 * Rules name columns and types; results name them by OID.  Only a backend can tell
 * which OIDs those are in its database, so that of each traced session does, when
 * the session starts up, and writes them to its slot, where the relay takes them
 * from.  Partitions and other children of a table are meant with it.  What is not
 * there at that time is not found: a table that is created later needs a new
 * session.  A relay that is told of too many, or of nothing, takes all values out.
 *
 * Names are those of the catalog, without quotes; a type without a schema is one
 * of pg_catalog's.
 */
#include "server/server.h"

#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/*
 * Adds a column of a relation and of its children.
 */
static void
add_column(BoardRedaction *redaction, uint32 *count, Oid relation, const char *column)
{
	ListCell *cell;

	foreach (cell, find_all_inheritors(relation, NoLock, NULL))
	{
		Oid child = lfirst_oid(cell);
		AttrNumber number = strcmp(column, "*") == 0 ? 0 : get_attnum(child, column);

		if (number < 0 || (number == 0 && strcmp(column, "*") != 0))
			continue;
		if (*count < BOARD_REDACTED)
		{
			atomic_store(&redaction->relations[*count], child);
			atomic_store(&redaction->columns[*count], (uint32) number);
		}
		(*count)++;
	}
}

/*
 * Adds what a rule "schema.table.column" means; nothing where that is not there.
 */
static void
find_column(BoardRedaction *redaction, uint32 *count, char *rule)
{
	char *table = strchr(rule, '.');
	char *column = table ? strchr(table + 1, '.') : NULL;
	Oid schema;
	Oid relation;

	if (!column)
		return;
	*table++ = *column++ = '\0';
	schema = get_namespace_oid(rule, true);
	relation = OidIsValid(schema) ? get_relname_relid(table, schema) : InvalidOid;
	if (OidIsValid(relation))
		add_column(redaction, count, relation, column);
}

/*
 * Adds a type.
 */
static void
add_type(BoardRedaction *redaction, uint32 *count, Oid type)
{
	if (!OidIsValid(type))
		return;
	if (*count < BOARD_REDACTED)
		atomic_store(&redaction->types[*count], type);
	(*count)++;
}

/*
 * Adds what a rule "schema.type" means: the type and its arrays.
 */
static void
find_type(BoardRedaction *redaction, uint32 *count, char *rule)
{
	char *dot = strchr(rule, '.');
	const char *name = dot ? dot + 1 : rule;
	Oid schema;
	Oid type;

	if (dot)
		*dot = '\0';
	schema = get_namespace_oid(dot ? rule : "pg_catalog", true);
	if (!OidIsValid(schema))
		return;
	type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
	                       ObjectIdGetDatum(schema));
	add_type(redaction, count, type);
	if (OidIsValid(type))
		add_type(redaction, count, get_array_type(type));
}

/*
 * Writes to the slot what the rules mean in this database.  It runs within the
 * transaction that starts the session up.
 */
void
redaction_resolve(BoardRedaction *redaction)
{
	uint32 columns = 0;
	uint32 types = 0;
	List *rules = NIL;
	ListCell *cell;

	if (OidIsValid(MyDatabaseId))
	{
		SplitGUCList(pstrdup(pgwt_redact_columns), ',', &rules);
		foreach (cell, rules)
			find_column(redaction, &columns, pstrdup(lfirst(cell)));
		SplitGUCList(pstrdup(pgwt_redact_types), ',', &rules);
		foreach (cell, rules)
			find_type(redaction, &types, pstrdup(lfirst(cell)));
	}
	atomic_store(&redaction->column_count, columns);
	atomic_store(&redaction->type_count, types);
	atomic_store(&redaction->rules_hash, redact_rules_hash(pgwt_redact_columns, pgwt_redact_types));
}

/*
 * Checks a list of names that have so many dots each.
 */
static bool
check_names(const char *list, int dots_min, int dots_max, const char *form)
{
	List *names = NIL;
	ListCell *cell;
	bool is_list = SplitGUCList(pstrdup(list), ',', &names);

	if (!is_list || strlen(list) >= RELAY_FILTER_SIZE || list_length(names) > BOARD_REDACTED)
	{
		GUC_check_errdetail("It must be a comma-separated list of at most %d names and %d bytes.",
		                    BOARD_REDACTED, RELAY_FILTER_SIZE - 1);
		return false;
	}
	foreach (cell, names)
	{
		const char *name = lfirst(cell);
		int dots = 0;

		for (const char *at = name; *at; at++)
			dots += *at == '.';
		if (dots < dots_min || dots > dots_max || strchr(name, '"'))
		{
			GUC_check_errdetail("\"%s\" is not of the form %s.", name, form);
			return false;
		}
	}
	return true;
}

/*
 * Checks redact_columns.
 */
bool
redaction_check_columns(char **value, void **extra, GucSource source)
{
	return check_names(*value, 2, 2, "schema.table.column or schema.table.*");
}

/*
 * Checks redact_types.
 */
bool
redaction_check_types(char **value, void **extra, GucSource source)
{
	return check_names(*value, 0, 1, "schema.type, or the name of a type of pg_catalog");
}

/*
 * Checks redact_queries: an extended regular expression of POSIX, without
 * references back, which take exponential time.
 */
bool
redaction_check_queries(char **value, void **extra, GucSource source)
{
	const char *pattern = *value;
	char reason[256];

	if (strlen(pattern) >= RELAY_PATTERN_SIZE)
	{
		GUC_check_errdetail("The pattern has %zu bytes; at most %d are allowed.", strlen(pattern),
		                    RELAY_PATTERN_SIZE - 1);
		return false;
	}
	for (const char *at = strchr(pattern, '\\'); at && at[1]; at = strchr(at + 2, '\\'))
		if (at[1] >= '1' && at[1] <= '9')
		{
			GUC_check_errdetail("References back (\"\\%c\") are not allowed.", at[1]);
			return false;
		}
	if (pattern[0] == '\0')
		return true;
	if (redact_check_pattern(pattern, reason, sizeof(reason)))
		return true;
	GUC_check_errdetail("\"%s\" is no extended regular expression: %s.", pattern, reason);
	return false;
}
