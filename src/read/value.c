/*
 * value.c
 *	  Recorded values as text; see value.h.
 */
#include "read/value.h"

#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "read/guard.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/*
 * Raises that bytes are not text of the session's encoding.
 */
static const char *
not_text(const ReadSession *session)
{
	return psprintf("it is no text in encoding \"%s\" that database encoding \"%s\" has as well",
	                pg_encoding_to_char(session->encoding.encoding), GetDatabaseEncodingName());
}

/*
 * Calls a type's receive and output functions.
 */
static char *
call_functions(const ReadType *type, StringInfo buffer)
{
	FmgrInfo receive = type->receive;
	FmgrInfo output = type->output;
	Datum datum = ReceiveFunctionCall(&receive, buffer, type->parameter, -1);

	if (buffer->cursor != buffer->len)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
		                errmsg("bytes are left over behind the value")));
	return OutputFunctionCall(&output, datum);
}

/*
 * Returns a scalar as text, by its type's functions; foreign ones run as the recorded
 * role.
 */
static char *
scalar_text(const ReadSession *session, const ReadType *type, WireSpan bytes)
{
	StringInfoData buffer;
	ReadRole before;
	char *text;

	if (bytes.len >= MaxAllocSize - 1)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("value is too long")));
	initStringInfo(&buffer);
	appendBinaryStringInfo(&buffer, (const char *) bytes.data, (int) bytes.len);
	if (!type->is_foreign)
		return call_functions(type, &buffer);
	read_role_enter(session->role, &before);
	text = call_functions(type, &buffer);
	read_role_leave(&before);
	return text;
}

/*
 * Returns a plain value as text; its size is right.
 */
static char *
plain_text(const ReadType *type, WireSpan bytes)
{
	StringInfoData buffer = {.data = (char *) unconstify(uint8 *, bytes.data),
	                         .len = (int) bytes.len,
	                         .maxlen = (int) bytes.len};

	return call_functions(type, &buffer);
}

/*
 * Appends a binary value as text; see value.h.
 */
void
value_append(ReadSession *session, Oid type_oid, WireSpan bytes, StringInfo out)
{
	const ReadType *type = read_type(session, type_oid);
	const char *text;
	size_t len;

	check_stack_depth();
	switch (type->kind)
	{
		case READ_TYPE_UNKNOWN:
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("%s", type->problem)));
		case READ_TYPE_TEXT:
			text = read_text(&session->encoding, bytes, &len);
			if (!text)
				ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				                errmsg("%s", not_text(session))));
			appendBinaryStringInfo(out, text, (int) len);
			break;
		case READ_TYPE_PLAIN:
		case READ_TYPE_SCALAR:
			appendStringInfoString(out, scalar_text(session, type, bytes));
			break;
		default:
			container_append(session, type, bytes, out);
			break;
	}
}

/*
 * Sets a value to its hexadecimal digits, and why.
 */
static void
set_hex(ReadValue *value, WireSpan bytes, const char *reason)
{
	char *digits;

	value->is_text = false;
	value->reason = reason;
	if (bytes.len > (MaxAllocHugeSize - 1) / 2 || bytes.len * 2 >= MaxAllocSize)
	{
		value->text = "";
		value->len = 0;
		value->reason = psprintf("it is too long to be shown: %zu bytes", bytes.len);
		return;
	}
	digits = palloc(bytes.len * 2 + 1);
	value->len = hex_encode((const char *) bytes.data, bytes.len, digits);
	digits[value->len] = '\0';
	value->text = digits;
}

/*
 * Reads a value without calling anything that may fail; false: it takes a guard.
 */
static bool
read_easily(ReadSession *session, const ReadBytes *bytes, ReadValue *value)
{
	const ReadType *type;

	*value = (ReadValue){.is_null = bytes->bytes.data == NULL, .is_text = true};
	if (value->is_null)
		return true;
	type = bytes->format == 1 ? read_type(session, bytes->type) : NULL;
	if (!type || type->kind == READ_TYPE_TEXT)
	{
		value->text = read_text(&session->encoding, bytes->bytes, &value->len);
		if (!value->text)
			set_hex(value, bytes->bytes, not_text(session));
		return true;
	}
	if (type->kind == READ_TYPE_UNKNOWN)
	{
		set_hex(value, bytes->bytes, type->problem);
		return true;
	}
	if (type->kind != READ_TYPE_PLAIN || bytes->bytes.len >= MaxAllocSize / 4 ||
	    (type->size >= 0 && bytes->bytes.len != (size_t) type->size))
		return false;
	read_session_apply(session);
	value->text = plain_text(type, bytes->bytes);
	value->len = strlen(value->text);
	return true;
}

/* Values that are read under one guard. */
typedef struct Guarded
{
	ReadSession *session;
	int count;
	const ReadBytes *bytes;
	ReadValue *values;
	const bool *is_easy;
} Guarded;

/*
 * Reads the values that are not easy.
 */
static void
read_guarded(void *arg)
{
	Guarded *guarded = arg;

	for (int i = 0; i < guarded->count; i++)
	{
		StringInfoData out;

		if (guarded->is_easy[i])
			continue;
		initStringInfo(&out);
		value_append(guarded->session, guarded->bytes[i].type, guarded->bytes[i].bytes, &out);
		guarded->values[i].text = out.data;
		guarded->values[i].len = out.len;
	}
}

/*
 * Reads values; see value.h.  First under one guard; if one fails, each under its own.
 */
void
read_values(ReadSession *session, int count, const ReadBytes *bytes, ReadValue *values)
{
	bool *is_easy = palloc(Max(count, 1));
	Guarded all = {session, count, bytes, values, is_easy};
	bool are_all_easy = true;
	ErrorData *error;

	for (int i = 0; i < count; i++)
	{
		is_easy[i] = read_easily(session, &bytes[i], &values[i]);
		are_all_easy &= is_easy[i];
	}
	if (are_all_easy)
		return;
	read_session_apply(session);
	if (read_guard(session, read_guarded, &all, &error))
		return;
	for (int i = 0; i < count; i++)
	{
		Guarded one = {session, 1, &bytes[i], &values[i], &is_easy[i]};

		if (!is_easy[i] && !read_guard(session, read_guarded, &one, &error))
			set_hex(&values[i], bytes[i].bytes, error->message);
	}
}
