/*
 * decode_args.c
 *	  Arguments that say what bytes are: direction, phase, encoding.
 */
#include "api/decode.h"

#include "mb/pg_wchar.h"

/*
 * Reads a direction.
 */
WireDirection
decode_direction(const char *argument)
{
	if (strcmp(argument, "F") == 0)
		return WIRE_FRONTEND;
	if (strcmp(argument, "B") == 0)
		return WIRE_BACKEND;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("argument \"direction\" must be \"F\" or \"B\", not \"%s\"", argument)));
}

/*
 * Reads a phase.
 */
WirePhase
decode_phase(const char *argument)
{
	for (int i = 0; i < WIRE_PHASE_COUNT; i++)
		if (strcmp(argument, wire_phase_names[i]) == 0)
			return (WirePhase) i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("argument \"phase\" must be \"startup\", \"password\", "
	                       "\"sasl_initial\", \"sasl\", \"gss\", \"normal\", \"copy\", "
	                       "\"replication\" or \"ssl_answer\", not \"%s\"",
	                       argument)));
}

/*
 * Reads an encoding.
 */
int
decode_encoding(const char *argument)
{
	int encoding = pg_char_to_encoding(argument);

	if (encoding < 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("argument \"encoding\" must be the name of a character set, not \"%s\"",
		                argument)));
	return encoding;
}
