/*
 * follow.c
 *	  An exchange's requests and answers: which statement ran, and how it ended.
 */
#include "read/follow.h"

#include "miscadmin.h"
#include "wire/cursor.h"

static const ReadSink no_sink;

/*
 * Makes what follows the exchanges of a session.
 */
ReadFollow *
read_follow_create(ReadSession *session, void *arg)
{
	ReadFollow *follow = palloc0(sizeof(ReadFollow));

	follow->session = session;
	follow->known = read_known_create();
	follow->arg = arg;
	return follow;
}

/*
 * Begins an exchange; all that it needs is allocated in the present context.
 */
void
read_follow_begin(ReadFollow *follow, const ReadExchange *exchange, const ReadSink *sink)
{
	ReadSession *session = follow->session;
	ReadKnown *known = follow->known;
	void *arg = follow->arg;

	if (session->has_gap || !exchange->has_bytes)
		read_known_doubt(known);
	session->has_gap = false;
	*follow = (ReadFollow){.session = session, .known = known, .arg = arg};
	follow->sink = sink ? sink : &no_sink;
	follow->exchange = exchange;
	if (follow->sink->exchange)
		follow->sink->exchange(arg, exchange);
}

/*
 * Takes a DataRow or a function's result.
 */
static void
take_row(ReadFollow *follow, const WireMessage *message)
{
	follow_begin_run(follow);
	follow->run.data_row_count++;
	if (follow->sink->row)
		follow->sink->row(follow->arg, &follow->run, message->body);
}

/*
 * Takes a command tag.
 */
static void
take_tag(ReadFollow *follow, WireSpan body)
{
	WireValue values[WIRE_MAX_FIELDS];
	WireSpan tag;

	wire_decode(WIRE_MSG_CommandComplete, body.data, body.len, values);
	tag = values[WIRE_CommandComplete_tag].bytes;
	follow_begin_run(follow);
	follow->run.command_tag = follow_name(follow, tag);
	follow->run.row_count = wire_tag_rows((const char *) tag.data, tag.len);
	follow_end_run(follow);
}

/*
 * Takes an ErrorResponse.
 */
static void
take_error(ReadFollow *follow, WireSpan body)
{
	ReadRun *run = &follow->run;
	WireSpan field;

	follow_begin_run(follow);
	run->sqlstate = "";
	if (wire_error_field(body.data, body.len, 'C', &field))
		run->sqlstate = follow_name(follow, field);
	if (wire_error_field(body.data, body.len, 'M', &field))
		run->error_message = follow_name(follow, field);
	if (wire_error_field(body.data, body.len, 'V', &field) ||
	    wire_error_field(body.data, body.len, 'S', &field))
		run->error_severity = follow_name(follow, field);
	follow_widen(follow, body);
	follow_end_run(follow);
}

/*
 * Takes the description of a statement, a portal or a Query's result.
 */
static void
take_columns(ReadFollow *follow, WireSpan body)
{
	Request *head = follow_head(follow);
	ReadStatement *statement = NULL;
	MemoryContext before;
	char *name;

	if (!head || head->id != WIRE_MSG_Describe || head->body.len == 0)
	{
		follow_begin_run(follow);
		follow->run.columns = read_columns(follow->session, body);
		if (follow->sink->columns)
			follow->sink->columns(follow->arg, &follow->run);
		return;
	}
	follow_names(follow, head->body, 1, &name, NULL);
	if (head->body.data[0] == 'P')
	{
		const ReadPortal *portal = read_known_portal(follow->known, name);

		statement = portal ? portal->statement : NULL;
	}
	else
		statement = read_known_statement(follow->known, name);
	follow->head++;
	if (!statement)
		return;
	before = MemoryContextSwitchTo(statement->context);
	if (statement->columns) /* a run may point to the ones before */
	{
		MemoryContextSwitchTo(before);
		return;
	}
	statement->columns = read_columns(follow->session, body);
	MemoryContextSwitchTo(before);
}

/*
 * Takes the parameter types of a statement that is described.
 */
static void
take_types(ReadFollow *follow, WireSpan body)
{
	Request *head = follow_head(follow);
	ReadStatement *statement;
	MemoryContext before;
	Oid *types;
	int count;
	char *name;

	if (!head || head->id != WIRE_MSG_Describe || head->body.len == 0 || head->body.data[0] != 'S')
		return;
	follow_names(follow, head->body, 1, &name, NULL);
	statement = read_known_statement(follow->known, name);
	if (!statement)
		return;
	before = MemoryContextSwitchTo(statement->context);
	count = read_oids(body, &types);
	if (count >= 0)
	{
		statement->type_count = count;
		statement->types = types;
	}
	MemoryContextSwitchTo(before);
}

/*
 * Takes a Copy*Response.
 */
static void
take_copy(ReadFollow *follow, const WireMessage *message, ReadCopy copy)
{
	follow_begin_run(follow);
	follow->run.copy = copy;
	follow->run.copy_is_binary = message->body.len > 0 && message->body.data[0] == 1;
}

/*
 * Takes an answer that only completes a request: it must be that one's.
 */
static void
take_done(ReadFollow *follow, WireMessageId expected)
{
	const Request *head = follow_head(follow);

	if (head && head->id == expected)
		follow_apply(follow);
	else
		follow->is_lost = true;
}

/*
 * Takes the end of an Execute without a tag, or of a function call.
 */
static void
take_end(ReadFollow *follow, bool is_suspended)
{
	follow_begin_run(follow);
	follow->run.is_suspended = is_suspended;
	follow_end_run(follow);
}

/*
 * Takes a ReadyForQuery: it ends a Query.
 */
static void
take_ready(ReadFollow *follow)
{
	const Request *head = follow_head(follow);

	if (!head || head->id != WIRE_MSG_Query)
		return;
	follow->head++;
	follow->is_split = false;
	follow->text = NULL;
}

/*
 * Takes a ParameterStatus.
 */
static void
take_setting(ReadFollow *follow, WireSpan body)
{
	WireValue values[WIRE_MAX_FIELDS];

	if (wire_decode(WIRE_MSG_ParameterStatus, body.data, body.len, values) == 2)
		read_session_note(follow->session, values[WIRE_ParameterStatus_name].bytes,
		                  values[WIRE_ParameterStatus_value].bytes);
}

/*
 * Takes a backend message.
 */
static void
take_answer(ReadFollow *follow, const WireMessage *message)
{
	switch (message->id)
	{
		case WIRE_MSG_ParseComplete:
			take_done(follow, WIRE_MSG_Parse);
			break;
		case WIRE_MSG_BindComplete:
			take_done(follow, WIRE_MSG_Bind);
			break;
		case WIRE_MSG_CloseComplete:
			take_done(follow, WIRE_MSG_Close);
			break;
		case WIRE_MSG_NoData:
			take_done(follow, WIRE_MSG_Describe);
			break;
		case WIRE_MSG_ParameterDescription:
			take_types(follow, message->body);
			break;
		case WIRE_MSG_RowDescription:
			take_columns(follow, message->body);
			break;
		case WIRE_MSG_DataRow:
			take_row(follow, message);
			break;
		case WIRE_MSG_FunctionCallResponse:
			take_row(follow, message);
			take_end(follow, false);
			break;
		case WIRE_MSG_CommandComplete:
			take_tag(follow, message->body);
			break;
		case WIRE_MSG_EmptyQueryResponse:
			take_end(follow, false);
			break;
		case WIRE_MSG_PortalSuspended:
			take_end(follow, true);
			break;
		case WIRE_MSG_ErrorResponse:
			take_error(follow, message->body);
			break;
		case WIRE_MSG_CopyInResponse:
			take_copy(follow, message, READ_COPY_IN);
			break;
		case WIRE_MSG_CopyOutResponse:
			take_copy(follow, message, READ_COPY_OUT);
			break;
		case WIRE_MSG_CopyBothResponse:
			take_copy(follow, message, READ_COPY_BOTH);
			break;
		case WIRE_MSG_ReadyForQuery:
			take_ready(follow);
			break;
		default:
			break;
	}
}

/*
 * Appends a request to the queue.
 */
static void
push_request(ReadFollow *follow, const WireMessage *message)
{
	if (follow->count == follow->size)
	{
		Size size;

		follow->size = Max(follow->size * 2, 16);
		size = sizeof(Request) * follow->size;
		follow->requests = follow->requests ? repalloc_huge(follow->requests, size)
		                                    : MemoryContextAllocHuge(CurrentMemoryContext, size);
	}
	follow->requests[follow->count++] = (Request){message->id, message->body};
	follow->bind_count += message->id == WIRE_MSG_Bind;
}

/*
 * Appends a client's COPY message to the data of the COPY that it belongs to.
 */
static void
push_copy(ReadFollow *follow, const WireMessage *message)
{
	ReadCopyData *data = follow->copies ? llast(follow->copies) : NULL;

	if (!data || data->has_end)
	{
		data = palloc0(sizeof(ReadCopyData));
		follow->copies = lappend(follow->copies, data);
	}
	if (message->id == WIRE_MSG_CopyData)
	{
		WireSpan *part = palloc(sizeof(WireSpan));

		*part = message->body;
		data->parts = lappend(data->parts, part);
		return;
	}
	data->has_end = true;
	if (message->id == WIRE_MSG_CopyFail)
	{
		WireCursor cursor = {message->body.data, message->body.len, 0};

		data->has_failed = true;
		cursor_string(&cursor, &data->message);
	}
}

/*
 * Takes a frontend message.
 */
static void
take_request(ReadFollow *follow, const WireMessage *message)
{
	switch (message->id)
	{
		case WIRE_MSG_Parse:
		case WIRE_MSG_Bind:
		case WIRE_MSG_Describe:
		case WIRE_MSG_Execute:
		case WIRE_MSG_Close:
		case WIRE_MSG_Query:
		case WIRE_MSG_FunctionCall:
			push_request(follow, message);
			break;
		case WIRE_MSG_CopyData:
		case WIRE_MSG_CopyDone:
		case WIRE_MSG_CopyFail:
			push_copy(follow, message);
			break;
		default:
			break;
	}
}

/*
 * Follows the bytes of an exchange, or of a part of it; they must stay until its end.
 */
void
read_follow_bytes(ReadFollow *follow, WireSpan request, WireSpan response)
{
	WirePhases phases;
	WireMessage message;

	wire_stream_begin(&phases, WIRE_BACKEND, WIRE_PHASE_NORMAL);
	for (size_t at = 0; at < request.len; at += message.size)
	{
		CHECK_FOR_INTERRUPTS();
		wire_stream_next(&phases, WIRE_FRONTEND, request.data + at, request.len - at, &message);
		if (message.form != WIRE_FORM_WHOLE)
		{
			follow->is_cut = true;
			break;
		}
		take_request(follow, &message);
	}
	for (size_t at = 0; at < response.len; at += message.size)
	{
		CHECK_FOR_INTERRUPTS();
		wire_stream_next(&phases, WIRE_BACKEND, response.data + at, response.len - at, &message);
		if (message.form != WIRE_FORM_WHOLE)
		{
			follow->is_cut = true;
			break;
		}
		if (message.id == WIRE_MSG_ParameterStatus)
			take_setting(follow, message.body);
		else if (!follow->is_lost)
			take_answer(follow, &message);
	}
}

/*
 * Ends an exchange.
 */
void
read_follow_end(ReadFollow *follow, ReadExchange *exchange)
{
	follow_rest(follow);
	if (exchange->status == 'I' || exchange->status == 0)
		read_known_drop_portals(follow->known);
	if (follow->sink->end)
		follow->sink->end(follow->arg, exchange);
}
