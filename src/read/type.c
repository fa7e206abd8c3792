/*
 * type.c
 *	  What is known of a type, by its OID.
 */
#include "read/value.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_range.h"
#include "catalog/pg_type.h"
#include "read/guard.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Tells whether a type's OID means here what it meant in the session's database: those
 * made by initdb are the same in all databases.
 */
bool
read_type_is_known(const ReadSession *session, Oid oid)
{
	return OidIsValid(oid) && (oid < FirstNormalObjectId || session->is_here) &&
	       SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(oid));
}

/*
 * Returns a type's name, or its number where it means nothing here.
 */
char *
read_type_name(const ReadSession *session, Oid oid, int32 modifier)
{
	if (read_type_is_known(session, oid))
		return format_type_extended(oid, modifier, FORMAT_TYPE_TYPEMOD_GIVEN);
	return OidIsValid(oid) ? psprintf("%u", oid) : NULL;
}

/*
 * Tells whether a function reads bytes that are text.
 */
static bool
reads_text(Oid function)
{
	static const Oid functions[] = {F_TEXTRECV,    F_VARCHARRECV,  F_BPCHARRECV, F_NAMERECV,
	                                F_UNKNOWNRECV, F_CSTRING_RECV, F_ENUM_RECV,  F_JSON_RECV};

	for (size_t i = 0; i < lengthof(functions); i++)
		if (functions[i] == function)
			return true;
	return false;
}

/*
 * Tells whether a function gives the name of an object by its number, which means
 * nothing for an object of another database.
 */
static bool
names_object(Oid oid)
{
	return oid == REGPROCOID || oid == REGPROCEDUREOID || oid == REGOPEROID ||
	       oid == REGOPERATOROID || oid == REGCLASSOID || oid == REGTYPEOID ||
	       oid == REGCONFIGOID || oid == REGDICTIONARYOID || oid == REGNAMESPACEOID ||
	       oid == REGCOLLATIONOID || oid == REGROLEOID;
}

/*
 * Returns the size of values whose functions cannot fail then; 0: they may fail.
 */
static int
plain_size(Oid oid)
{
	switch (oid)
	{
		case BOOLOID:
		case CHAROID:
			return 1;
		case INT2OID:
			return 2;
		case INT4OID:
		case OIDOID:
		case XIDOID:
		case CIDOID:
		case FLOAT4OID:
			return 4;
		case INT8OID:
		case FLOAT8OID:
			return 8;
		case UUIDOID:
			return 16;
		case BYTEAOID:
			return -1;
		default:
			return 0;
	}
}

/*
 * Sets what it takes to call a type's functions, or why they are not called.
 */
static void
set_functions(ReadSession *session, ReadType *type, const FormData_pg_type *form)
{
	type->is_foreign =
	    form->typreceive >= FirstNormalObjectId || form->typoutput >= FirstNormalObjectId;
	if (!OidIsValid(form->typreceive) || !OidIsValid(form->typoutput))
		type->problem = psprintf("type %s has no binary format", format_type_be(form->oid));
	else if (type->is_foreign && !(type->problem = read_role_problem(session)) &&
	         !(read_role_trusts(session, form->typowner) &&
	           read_role_trusts_function(session, form->typreceive) &&
	           read_role_trusts_function(session, form->typoutput)))
		type->problem = psprintf("functions of type %s do not belong to a superuser, "
		                         "as the recorded role is one",
		                         format_type_be(form->oid));
	if (type->problem)
	{
		type->kind = READ_TYPE_UNKNOWN;
		return;
	}
	fmgr_info_cxt(form->typreceive, &type->receive, session->context);
	fmgr_info_cxt(form->typoutput, &type->output, session->context);
	type->parameter = OidIsValid(form->typelem) ? form->typelem : form->oid;
}

/*
 * Sets a type by its row of pg_type.
 */
static void
set_by_form(ReadSession *session, ReadType *type, const FormData_pg_type *form)
{
	type->delimiter = form->typdelim;
	type->kind = READ_TYPE_UNKNOWN;
	if (!form->typisdefined)
		type->problem = psprintf("type %s is only a shell", format_type_be(form->oid));
	else if (form->typtype == TYPTYPE_ENUM || reads_text(form->typreceive))
		type->kind = READ_TYPE_TEXT;
	else if (form->typreceive == F_ARRAY_RECV || form->typreceive == F_ANYARRAY_RECV)
		type->kind = READ_TYPE_ARRAY;
	else if (form->typreceive == F_RECORD_RECV)
		type->kind = READ_TYPE_RECORD;
	else if (form->typtype == TYPTYPE_RANGE)
	{
		type->kind = READ_TYPE_RANGE;
		type->element = get_range_subtype(form->oid);
	}
	else if (form->typtype == TYPTYPE_MULTIRANGE)
	{
		type->kind = READ_TYPE_MULTIRANGE;
		type->element = get_multirange_range(form->oid);
	}
	else
	{
		type->size = plain_size(form->oid);
		type->kind = type->size != 0 ? READ_TYPE_PLAIN : READ_TYPE_SCALAR;
		set_functions(session, type, form);
	}
}

/*
 * Fills the entry of a type.
 */
static void
fill(ReadSession *session, ReadType *type)
{
	Oid oid = type->oid;
	HeapTuple tuple;

	if (!OidIsValid(oid))
		type->problem = "its type is not known";
	else if (oid >= FirstNormalObjectId && !session->is_here)
		type->problem = psprintf("type %u is one of database \"%s\"", oid,
		                         session->database_name ? session->database_name : "");
	if (type->problem)
		return;
	if (!session->is_here && names_object(oid))
		oid = OIDOID;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(oid));
	if (HeapTupleIsValid(tuple) && ((Form_pg_type) GETSTRUCT(tuple))->typtype == TYPTYPE_DOMAIN)
	{
		char delimiter = ((Form_pg_type) GETSTRUCT(tuple))->typdelim;

		ReleaseSysCache(tuple);
		tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(getBaseType(oid)));
		type->delimiter = delimiter;
	}
	if (!HeapTupleIsValid(tuple))
	{
		type->problem = psprintf("type %u does not exist", oid);
		return;
	}
	set_by_form(session, type, (const FormData_pg_type *) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
}

/*
 * Looks a type up; see value.h.
 */
const ReadType *
read_type(ReadSession *session, Oid oid)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(ReadType)};
	ReadType *type;
	bool found;

	control.hcxt = session->context;
	if (!session->types)
		session->types = hash_create("types", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	type = hash_search(session->types, &oid, HASH_ENTER, &found);
	if (!found)
	{
		MemoryContext before = MemoryContextSwitchTo(session->context);

		memset((char *) type + sizeof(Oid), 0, sizeof(ReadType) - sizeof(Oid));
		fill(session, type);
		MemoryContextSwitchTo(before);
	}
	return type;
}
