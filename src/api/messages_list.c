/*
 * messages_list.c
 *	  message_types(): the list of messages as rows.
 */
#include "api/decode.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "catalog/pg_type.h"

PG_FUNCTION_INFO_V1(pgwire_trace_message_types);

/*
 * Returns the names of the phases in which a message's byte is this message.
 */
static char *
phase_names(const WireMessageType *type)
{
	StringInfoData names;

	/* all that have a type byte */
	if (type->phases & (1u << WIRE_PHASE_NORMAL))
		return pstrdup("any");
	initStringInfo(&names);
	for (int phase = 0; phase < WIRE_PLACE_COUNT; phase++)
		if (type->phases & (1u << phase))
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", wire_phase_names[phase]);
	return names.data;
}

/*
 * Returns the names of a message's fields as an array.
 */
static Datum
field_names(const WireMessageType *type)
{
	Datum names[WIRE_MAX_FIELDS];
	int count = 0;

	for (; type->fields[count].kind != WIRE_KIND_END; count++)
		names[count] = CStringGetTextDatum(type->fields[count].name);
	return PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Returns the first version of the protocol that has a message.
 */
static char *
first_version(const WireMessageType *type)
{
	if (type->phases & (1u << WIRE_PHASE_IN_XLOG_DATA))
		return psprintf("pgoutput %d", type->since);
	return psprintf("%d.%d", type->since / 10, type->since % 10);
}

/*
 * Adds the row of a message in one direction.
 */
static void
put_row(ReturnSetInfo *result, const WireMessageType *type, WireDirection direction)
{
	char direction_text[2] = {(char) direction, '\0'};
	bool has_type =
	    WIRE_TYPE_BYTE(type->type) != 0 && (type->phases & (1u << WIRE_PHASE_SSL_ANSWER)) == 0;
	Datum values[7];
	bool nulls[7] = {false};

	values[0] = CStringGetTextDatum(direction_text);
	values[1] = CharGetDatum((char) WIRE_TYPE_BYTE(type->type));
	nulls[1] = !has_type;
	values[2] = CStringGetTextDatum(type->name);
	values[3] = CStringGetTextDatum(phase_names(type));
	values[4] = CStringGetTextDatum(first_version(type));
	values[5] = CStringGetTextDatum(type->help);
	values[6] = field_names(type);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * message_types()
 */
Datum
pgwire_trace_message_types(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int id = 1; id < WIRE_MSG_COUNT; id++)
	{
		if (wire_types[id].directions & WIRE_DIR_F)
			put_row(result, &wire_types[id], WIRE_FRONTEND);
		if (wire_types[id].directions & WIRE_DIR_B)
			put_row(result, &wire_types[id], WIRE_BACKEND);
	}
	return (Datum) 0;
}
