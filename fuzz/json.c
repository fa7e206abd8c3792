/*
 * json.c
 *	  Messages to jsonb and back, by the very code that backends run.
 *
 * jsonb, numerics and encodings are the server's, so this target is a library that
 * a single-user server loads (fuzz/in_server); its function runs libFuzzer.
 *
 * Input: direction, phase, encoding, flags, and a stream.
 *
 * Properties: no bytes are an error; what is decoded is encoded to the same bytes;
 * a body is jsonb as the server itself would make it of its text, and the same by
 * either way that we have; decoding a message takes no more memory than a small
 * multiple of it.
 */
#include "postgres.h"

#include "api/decode.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fuzz_json);

/* SQL functions of ours are called as such. */
extern Datum pgwire_trace_encode_message(PG_FUNCTION_ARGS);

extern int LLVMFuzzerRunDriver(int *argc, char ***argv,
                               int (*callback)(const uint8 *data, size_t size));

/* Memory that decoding a message may take: so much a byte of it, and a start. */
#define MEMORY_PER_BYTE 100
#define MEMORY_START (64 * 1024)

#define REQUIRE(condition) \
	((condition)           \
	     ? (void) 0        \
	     : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), abort()))

static const char *const encodings[] = {"UTF8", "SQL_ASCII", "LATIN1", "EUC_JP",
                                        "SJIS", "WIN1252",   "GB18030"};

/* A stream that is decoded and encoded. */
typedef struct Round
{
	WireDirection direction;
	const char *encoding;
	JsonContext context;
	MemoryContext memory; /* of one message */
	StringInfoData again;
} Round;

/*
 * Requires that a body is what the server makes of its text, to the last byte.
 */
static void
check_canonical(Jsonb *body)
{
	char *text = JsonbToCString(NULL, &body->root, (int) VARSIZE(body));
	Jsonb *parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));

	REQUIRE(VARSIZE(parsed) == VARSIZE(body));
	REQUIRE(memcmp(parsed, body, VARSIZE(body)) == 0);
}

/*
 * Requires that a body is what events make of the message, to the last byte.
 */
static void
check_walked(const Round *round, const WireMessage *message, const Jsonb *body, bool is_cut)
{
	bool walked_is_cut;
	Jsonb *walked = json_walked_body(&round->context, message, &walked_is_cut);

	REQUIRE(walked_is_cut == is_cut);
	REQUIRE(VARSIZE(walked) == VARSIZE(body));
	REQUIRE(memcmp(walked, body, VARSIZE(body)) == 0);
}

/*
 * Encodes a body and appends its bytes.
 */
static void
append_encoded(Round *round, const char *name, Jsonb *body)
{
	char direction[2] = {(char) round->direction, '\0'};
	NameData encoding;
	bytea *bytes;

	namestrcpy(&encoding, round->encoding);
	bytes = DatumGetByteaPP(DirectFunctionCall4(
	    pgwire_trace_encode_message, CStringGetTextDatum(direction), CStringGetTextDatum(name),
	    JsonbPGetDatum(body), NameGetDatum(&encoding)));
	appendBinaryStringInfo(&round->again, VARDATA_ANY(bytes), (int) VARSIZE_ANY_EXHDR(bytes));
}

/*
 * Decodes a message and encodes it again.  False where it is cut: then nothing can.
 */
static bool
check_message(Round *round, const WireMessage *message)
{
	MemoryContext before = MemoryContextSwitchTo(round->memory);
	bool is_cut;
	Jsonb *body = json_message_body(&round->context, message, &is_cut);

	REQUIRE(MemoryContextMemAllocated(round->memory, true) <=
	        MEMORY_START + MEMORY_PER_BYTE * message->size);
	body = (Jsonb *) PG_DETOAST_DATUM_COPY(JsonbPGetDatum(body)); /* there is room for one */
	REQUIRE(is_cut == (message->form == WIRE_FORM_CUT));
	check_canonical(body);
	check_walked(round, message, body, is_cut);
	if (!is_cut)
		append_encoded(round, json_message_name(message), body);
	MemoryContextSwitchTo(before);
	MemoryContextReset(round->memory);
	return !is_cut;
}

/*
 * Decodes a stream as decode_messages() does, and compares what is encoded of it.
 */
static void
check_stream(Round *round, WirePhase phase, const uint8 *data, size_t len)
{
	WirePhases phases;
	size_t at = 0;

	wire_stream_begin(&phases, round->direction, phase);
	while (at < len)
	{
		WireMessage message;

		wire_stream_next(&phases, round->direction, data + at, len - at, &message);
		if (!check_message(round, &message))
			break;
		at += message.size;
		wire_stream_pass(&phases, round->direction, &message);
	}
	REQUIRE((size_t) round->again.len == at);
	REQUIRE(memcmp(round->again.data, data, at) == 0);
}

/*
 * Runs one input, in memory of its own.
 */
static int
run_input(const uint8 *data, size_t size)
{
	static const uint8 formats[] = {0, 1, 0, 0, 0, 1};
	MemoryContext context;
	MemoryContext before;
	Round round = {0};
	uint8 *stream;

	if (size < 4)
		return -1;
	context = AllocSetContextCreate(TopMemoryContext, "input", ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(context);
	round.memory = AllocSetContextCreate(context, "message", ALLOCSET_DEFAULT_SIZES);
	round.direction = data[0] == 'F' ? WIRE_FRONTEND : WIRE_BACKEND;
	round.encoding = encodings[data[2] % lengthof(encodings)];
	initStringInfo(&round.again);
	json_context_init(&round.context, pg_char_to_encoding(round.encoding));
	round.context.formats = (WireFormats){formats, data[3] % 4};
	round.context.data_is_binary = data[3] & 4;
	stream = malloc(size - 4 + 1); /* not palloc: a sanitizer sees what is behind it */
	memcpy(stream, data + 4, size - 4);
	check_stream(&round, (WirePhase) (data[1] % WIRE_PHASE_COUNT), stream, size - 4);
	free(stream);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
	return 0;
}

/*
 * Runs one input; an error is a property that does not hold.
 */
static int
run_guarded(const uint8 *data, size_t size)
{
	int result = 0;

	PG_TRY();
	{
		result = run_input(data, size);
	}
	PG_CATCH(); /* to tell libFuzzer, which knows of no ereport() */
	{
		EmitErrorReport();
		abort();
	}
	PG_END_TRY();
	return result;
}

/*
 * fuzz_json(arguments): runs libFuzzer with these, separated by spaces; it ends the
 * process.
 */
Datum
fuzz_json(PG_FUNCTION_ARGS)
{
	char *line = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *arguments[64] = {"json"};
	char **argv = arguments;
	int argc = 1;

	for (char *word = strtok(line, " "); word && argc < 63; word = strtok(NULL, " "))
		argv[argc++] = word;
	LLVMFuzzerRunDriver(&argc, &argv, run_guarded);
	PG_RETURN_VOID();
}
