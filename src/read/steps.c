/*
 * steps.c
 *	  The messages of a request, and what they name; see steps.h.
 */
#include "read/steps.h"

/*
 * Begins with a request; see steps.h.
 */
void
read_steps_begin(ReadSteps *steps, WireSpan request)
{
	memset(steps, 0, sizeof(*steps));
	steps->left = request;
}

/*
 * Sets what a message names.  False: it is none of those that are listed.
 */
static bool
set_names(ReadStep *step, WireSpan body)
{
	WireValue values[WIRE_MAX_FIELDS];
	bool is_portal = body.len > 0 && body.data[0] == 'P';

	memset(values, 0, sizeof(values));
	wire_decode(step->id, body.data, body.len, values);
	switch (step->id)
	{
		case WIRE_MSG_Parse:
			step->statement = values[WIRE_Parse_statement].bytes;
			step->query = values[WIRE_Parse_query].bytes;
			return true;
		case WIRE_MSG_Bind:
			step->statement = values[WIRE_Bind_statement].bytes;
			step->portal = values[WIRE_Bind_portal].bytes;
			return true;
		case WIRE_MSG_Describe:
			*(is_portal ? &step->portal : &step->statement) = values[WIRE_Describe_name].bytes;
			return true;
		case WIRE_MSG_Close:
			*(is_portal ? &step->portal : &step->statement) = values[WIRE_Close_name].bytes;
			return true;
		case WIRE_MSG_Execute:
			step->portal = values[WIRE_Execute_portal].bytes;
			return true;
		case WIRE_MSG_Sync:
			return true;
		default:
			return false;
	}
}

/*
 * Gives the next step; see steps.h.
 */
bool
read_steps_next(ReadSteps *steps, ReadStep *step)
{
	WireFrame frame;

	while (steps->left.len > 0)
	{
		size_t consumed =
		    wire_frame_next(&steps->framer, steps->left.data, steps->left.len, &frame);

		if (frame.bad || !frame.begins || !frame.ends)
			return false;
		steps->left.data += consumed;
		steps->left.len -= consumed;
		*step = (ReadStep){.type = (char) frame.type};
		step->id = wire_type_of(WIRE_FRONTEND, frame.type, WIRE_PHASE_NORMAL, frame.body.data,
		                        frame.body.len);
		if (set_names(step, frame.body))
			return true;
	}
	return false;
}
