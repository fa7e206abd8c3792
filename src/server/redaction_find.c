/*
 * redaction_find.c
 *	  Finds the columns and types of the session's database that redaction rules mean.
 *
 * What shows the same values is meant with it: partitions and other children of a
 * table; columns of views that show a column, or are computed in a view over its
 * table; arrays of a type, domains and ranges over it, rows of tables that have such
 * a column.  Columns that have a type are meant like columns that are named: so that
 * statements that read or write them are known, and as results show a domain as its
 * base type; expressions of that are meant too.  Of built-in types the catalog does
 * not keep who has them.
 *
 * Names are those of the catalog, without quotes; a type without a schema is one
 * of pg_catalog's.  No relation but catalogs is opened or locked.
 */
#include "server/redaction.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/readfuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

static void add_column(RedactionSet *set, Oid relation, uint32 column);
static void add_type(RedactionSet *set, Oid type);

/* What a dependency is looked at for. */
typedef struct Dependent
{
	RedactionSet *set;
	Oid object; /* what it depends on */
	uint32 column;
} Dependent;

typedef void (*TakeDependent)(const Dependent *of, Form_pg_depend depend);

/*
 * Shows all that depends on a relation or type to a function.
 */
static void
each_dependent(const Dependent *of, Oid class, TakeDependent take)
{
	Relation depends = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple tuple;

	check_stack_depth();
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(class));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(of->object));
	scan = systable_beginscan(depends, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		take(of, (Form_pg_depend) GETSTRUCT(tuple));
	systable_endscan(scan);
	table_close(depends, AccessShareLock);
}

/*
 * Adds the columns of a view that show a relation's column, or that are computed.
 */
static void
add_view_columns(const Dependent *of, const Query *query, Oid view)
{
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		const TargetEntry *entry = lfirst(cell);
		bool shows = entry->resorigtbl == of->object &&
		             (of->column == 0 || (uint32) entry->resorigcol == of->column);

		if (!entry->resjunk && (shows || !OidIsValid(entry->resorigtbl)))
			add_column(of->set, view, (uint32) entry->resno);
	}
}

/*
 * Takes what depends on a relation: if that is a view's rule, the view's columns.
 */
static void
take_view(const Dependent *of, Form_pg_depend depend)
{
	Relation rules;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	if (depend->classid != RewriteRelationId)
		return;
	rules = table_open(RewriteRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(depend->objid));
	scan = systable_beginscan(rules, RewriteOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_rewrite rule = (Form_pg_rewrite) GETSTRUCT(tuple);
		bool is_null;
		Datum action =
		    heap_getattr(tuple, Anum_pg_rewrite_ev_action, RelationGetDescr(rules), &is_null);

		if (rule->ev_type == '1' && rule->ev_class != of->object && !is_null)
			add_view_columns(of, linitial(stringToNode(TextDatumGetCString(action))),
			                 rule->ev_class);
	}
	systable_endscan(scan);
	table_close(rules, AccessShareLock);
}

/*
 * Adds a column, 0 for all of the relation, and the views that show it; without a
 * relation, expressions of a type.
 */
static void
add_column(RedactionSet *set, Oid relation, uint32 column)
{
	Dependent of = {.set = set, .object = relation, .column = column};

	for (uint32 i = 0; i < Min(set->column_count, BOARD_REDACTED); i++)
		if (set->relations[i] == relation && set->columns[i] == column)
			return;
	if (set->column_count < BOARD_REDACTED)
	{
		set->relations[set->column_count] = relation;
		set->columns[set->column_count] = column;
	}
	else if (set->column_count > BOARD_REDACTED)
		return; /* there are too many anyway */
	set->column_count++;
	if (OidIsValid(relation))
		each_dependent(&of, RelationRelationId, take_view);
}

/*
 * Adds the columns of a name, in a relation and in its children.
 */
static void
add_named_column(RedactionSet *set, Oid relation, const char *column)
{
	bool is_whole = strcmp(column, "*") == 0;
	ListCell *cell;

	foreach (cell, find_all_inheritors(relation, NoLock, NULL))
	{
		Oid child = lfirst_oid(cell);
		AttrNumber number = is_whole ? InvalidAttrNumber : get_attnum(child, column);

		if (number > 0 || is_whole)
			add_column(set, child, (uint32) number);
	}
}

/*
 * Adds what a rule "schema.table.column" means; nothing where that is not there.
 */
static void
find_column(RedactionSet *set, char *rule)
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
	if (!OidIsValid(relation))
		return;
	add_named_column(set, relation, column);
	add_type(set, get_rel_type_id(relation)); /* a row as one value */
}

/*
 * Takes what depends on a type: other types, and columns, whose tables' rows hold it.
 */
static void
take_typed(const Dependent *of, Form_pg_depend depend)
{
	if (depend->classid == TypeRelationId)
		add_type(of->set, depend->objid);
	else if (depend->classid == RelationRelationId && depend->objsubid > 0)
	{
		add_column(of->set, depend->objid, (uint32) depend->objsubid);
		add_type(of->set, get_rel_type_id(depend->objid));
	}
}

/*
 * Adds a type, and what holds it.
 */
static void
add_type(RedactionSet *set, Oid type)
{
	Dependent of = {.set = set, .object = type};

	if (!OidIsValid(type))
		return;
	for (uint32 i = 0; i < Min(set->type_count, BOARD_REDACTED); i++)
		if (set->types[i] == type)
			return;
	if (set->type_count < BOARD_REDACTED)
		set->types[set->type_count] = type;
	else if (set->type_count > BOARD_REDACTED)
		return; /* there are too many anyway */
	set->type_count++;
	if (get_typtype(type) == TYPTYPE_DOMAIN)
		add_column(set, InvalidOid, getBaseType(type));
	each_dependent(&of, TypeRelationId, take_typed);
	add_type(set, get_array_type(type)); /* of a built-in type no dependencies are kept */
}

/*
 * Adds what a rule "schema.type" means; nothing where that is not there.
 */
static void
find_type(RedactionSet *set, char *rule)
{
	char *dot = strchr(rule, '.');
	const char *name = dot ? dot + 1 : rule;
	Oid schema;

	if (dot)
		*dot = '\0';
	schema = get_namespace_oid(dot ? rule : "pg_catalog", true);
	if (OidIsValid(schema))
		add_type(set, GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
		                              ObjectIdGetDatum(schema)));
}

/*
 * Adds what one set has to another.
 */
static void
merge(RedactionSet *set, const RedactionSet *more)
{
	for (uint32 i = 0; i < Min(more->column_count, BOARD_REDACTED); i++)
		add_column(set, more->relations[i], more->columns[i]);
	for (uint32 i = 0; i < Min(more->type_count, BOARD_REDACTED); i++)
		add_type(set, more->types[i]);
	set->column_count = Max(set->column_count, more->column_count);
	set->type_count = Max(set->type_count, more->type_count);
}

/*
 * Adds to a set what the rules mean in this database.  What is there already is
 * looked up again, as views over it may be new.
 */
void
redaction_find(RedactionSet *set)
{
	RedactionSet now = {.column_count = 0};
	List *rules = NIL;
	ListCell *cell;

	SplitGUCList(pstrdup(pgwt_redact_columns), ',', &rules);
	foreach (cell, rules)
		find_column(&now, pstrdup(lfirst(cell)));
	SplitGUCList(pstrdup(pgwt_redact_types), ',', &rules);
	foreach (cell, rules)
		find_type(&now, pstrdup(lfirst(cell)));
	merge(set, &now);
}
