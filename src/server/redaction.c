/*
 * redaction.c
 *	  Tells the relay what redaction rules mean in the session's database.
 *
 * Rules name columns and types; results name them by OID.  Only a backend can tell
 * which OIDs those are in its database (redaction_find.c), so that of each traced
 * session does, and writes them to its slot, where the relay takes them from when it
 * records an exchange: when the session starts up, and again at the begin of a
 * statement and at a commit when the catalog or the rules have changed.  From the
 * moment that it hears of a change until it has looked, the slot says that nothing
 * is known, and the relay takes all values out.  What was found once stays found:
 * the relay may record rows after the table that they came from was dropped.
 *
 * A statement may reach a column without naming its table: through a view or a
 * function.  So each statement that starts, at whatever depth, is looked at as it
 * was planned, and the slot counts those that read or write a column of the rules.
 */
#include "server/redaction.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "compat.h"

#define TRIES 3

static RedactionSet found;
static uint64 found_hash; /* of the rules that it is about; 0: none were looked up */
static bool is_stale;

/*
 * Tells whether there are rules on columns or types.
 */
static bool
has_rules(void)
{
	return pgwt_redact_columns[0] != '\0' || pgwt_redact_types[0] != '\0';
}

/*
 * Writes to the slot what was found; hash 0: nothing is known.  The version is odd
 * meanwhile, and a relay that reads then takes it for that.
 */
static void
publish(BoardRedaction *redaction, uint64 hash)
{
	atomic_fetch_add(&redaction->version, 1);
	for (uint32 i = 0; i < BOARD_REDACTED; i++)
	{
		atomic_store(&redaction->relations[i], found.relations[i]);
		atomic_store(&redaction->columns[i], found.columns[i]);
		atomic_store(&redaction->types[i], found.types[i]);
	}
	atomic_store(&redaction->column_count, found.column_count);
	atomic_store(&redaction->type_count, found.type_count);
	atomic_store(&redaction->rules_hash, hash);
	atomic_fetch_add(&redaction->version, 1);
}

/*
 * Looks the rules up, and again if the catalog has changed meanwhile.
 */
static void
look_up(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pgwire_trace redaction",
	                                              ALLOCSET_DEFAULT_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(context);

	for (int i = 0; i < TRIES; i++)
	{
		is_stale = false;
		redaction_find(&found);
		if (!is_stale)
			break;
	}
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
}

/*
 * Tells the relay what the rules mean, if that may have changed.  Does nothing
 * outside a transaction.
 */
void
redaction_refresh(void)
{
	uint64 hash;

	if (!pgwt_my_slot || !OidIsValid(MyDatabaseId) || !IsTransactionState())
		return;
	if (found_hash != 0 && !has_rules() && found.column_count + found.type_count == 0)
		return; /* there were none before either */
	hash = redact_rules_hash(pgwt_redact_columns, pgwt_redact_types);
	if (!is_stale && hash == found_hash)
		return;
	if (hash != found_hash)
		memset(&found, 0, sizeof(found));
	found_hash = hash;
	look_up();
	publish(&pgwt_my_slot->redaction, is_stale ? 0 : hash);
}

/*
 * Callbacks: the catalog has changed, a relation or a type or schema.
 */
static void
on_relation_change(Datum arg, Oid relation)
{
	is_stale = true;
	if (pgwt_my_slot)
		atomic_store(&pgwt_my_slot->redaction.rules_hash, 0);
}

static void
on_catalog_change(Datum arg, int cache, uint32 hash)
{
	on_relation_change(arg, InvalidOid);
}

/*
 * Begins to follow the catalog, once a traced session.
 */
void
redaction_begin(void)
{
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, on_catalog_change, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_catalog_change, (Datum) 0);
}

/*
 * Tells whether a statement reads or writes a column, as far as it is to check its
 * permissions on the relation.
 */
static bool
touches(const COMPAT_PERMISSION *permission, Oid relation, uint32 column)
{
	int number = (int) column - FirstLowInvalidHeapAttributeNumber;
	int whole = InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber;
	const Bitmapset *sets[] = {permission->selectedCols, permission->insertedCols,
	                           permission->updatedCols};

	if (permission->relid != relation || !OidIsValid(relation))
		return false;
	for (int i = 0; i < (int) lengthof(sets); i++)
		if (bms_is_member(number, sets[i]) || bms_is_member(whole, sets[i]) ||
		    (column == 0 && !bms_is_empty(sets[i])))
			return true;
	return false;
}

/*
 * Notes that a statement begins: what the rules mean now, and whether it reads or
 * writes what they mean.
 */
void
redaction_start(const PlannedStmt *planned)
{
	uint32 count;
	ListCell *cell;

	redaction_refresh();
	count = has_rules() ? found.column_count : 0;
	if (count == 0 || count > BOARD_REDACTED)
		return; /* more than is known of one by one: the relay takes all out */
	foreach (cell, COMPAT_PERMISSIONS(planned))
		for (uint32 i = 0; i < count; i++)
			if (touches(lfirst(cell), found.relations[i], found.columns[i]))
			{
				atomic_fetch_add(&pgwt_my_slot->redaction.touched, 1);
				return;
			}
}

/*
 * Notes that a utility command begins.  What PREPARE means is not looked at before
 * it is executed, so it counts as a statement that means columns of the rules.
 */
void
redaction_command(const Node *command)
{
	redaction_refresh();
	if (has_rules() && found.column_count > 0 && IsA(command, PrepareStmt))
		atomic_fetch_add(&pgwt_my_slot->redaction.touched, 1);
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
