/*
 * text.c
 *	  Texts of the record in the database's encoding.
 *
 * A session's texts come in its client_encoding.  What does not convert is kept
 * as \xHH: recording must not fail over a byte.
 */
#include "store/store.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/json.h"

#define PIECE 1024

/*
 * Appends bytes that are no text.
 */
static void
append_escaped(StringInfo out, const char *bytes, int len)
{
	for (int i = 0; i < len; i++)
		appendStringInfo(out, "\\x%02x", (uint8) bytes[i]);
}

/*
 * Appends text that should be in the database's encoding already.
 */
void
text_append_verified(StringInfo out, const char *text, int len)
{
	int encoding = GetDatabaseEncoding();

	while (len > 0)
	{
		int good = pg_encoding_verifymbstr(encoding, text, len);

		appendBinaryStringInfo(out, text, good);
		if (good == len)
			return;
		append_escaped(out, text + good, 1);
		text += good + 1;
		len -= good + 1;
	}
}

/*
 * Appends text converted by a conversion procedure, piece by piece.  A character
 * that the database's encoding lacks is escaped whole.
 */
static void
append_converted(StringInfo out, Oid proc, int from, const char *text, int len)
{
	char piece[PIECE * MAX_CONVERSION_GROWTH + 2];

	while (len > 0)
	{
		int done = pg_do_encoding_conversion_buf(proc, from, GetDatabaseEncoding(),
		                                         (unsigned char *) text, Min(len, PIECE),
		                                         (unsigned char *) piece, sizeof(piece), true);

		appendStringInfoString(out, piece);
		text += done;
		len -= done;
		/* the end of a piece may cut a character in two: then it begins the next */
		if (done > 0 || len == 0)
			continue;
		done = Max(pg_encoding_verifymbchar(from, text, len), 1);
		append_escaped(out, text, done);
		text += done;
		len -= done;
	}
}

/*
 * Appends a text in the database's encoding.
 */
static void
append_text(StringInfo out, const RecordHeader *header, const char *text, int len)
{
	char name[sizeof(header->encoding) + 1] = {0};
	int from;
	Oid proc;

	memcpy(name, header->encoding, sizeof(header->encoding));
	from = pg_char_to_encoding(name);
	if (from < 0 || from == PG_SQL_ASCII || from == GetDatabaseEncoding() ||
	    GetDatabaseEncoding() == PG_SQL_ASCII ||
	    !OidIsValid(proc = FindDefaultConversionProc(from, GetDatabaseEncoding())))
		text_append_verified(out, text, len);
	else
		append_converted(out, proc, from, text, len);
}

/*
 * Takes the escapes of the relay's JSON out of a string, byte by byte: it knows
 * nothing of encodings, so it has escaped bytes that are halves of characters
 * too.  Returns the bytes up to the closing quote.
 */
static int
unescape_json(const char *json, int len, StringInfo raw)
{
	int at = 0;

	resetStringInfo(raw);
	while (at < len && json[at] != '"')
	{
		unsigned code;

		if (json[at] != '\\')
			appendStringInfoChar(raw, json[at++]);
		else if (len - at >= 6 && json[at + 1] == 'u' && sscanf(json + at + 2, "%4x", &code) == 1)
		{
			appendStringInfoChar(raw, (char) code);
			at += 6;
		}
		else if (len - at >= 2)
		{
			appendStringInfoChar(raw, json[at + 1]);
			at += 2;
		}
		else
			break;
	}
	return at;
}

/*
 * Appends the relay's JSON with its strings in the database's encoding.
 */
static void
append_json(StringInfo out, const RecordHeader *header, const char *json, int len)
{
	StringInfoData raw;
	StringInfoData converted;

	initStringInfo(&raw);
	initStringInfo(&converted);
	for (int at = 0; at < len; at++)
	{
		if (json[at] != '"')
		{
			appendStringInfoChar(out, json[at]);
			continue;
		}
		at++;
		at += unescape_json(json + at, len - at, &raw);
		resetStringInfo(&converted);
		append_text(&converted, header, raw.data, raw.len);
		escape_json(out, converted.data);
	}
	pfree(raw.data);
	pfree(converted.data);
}

/*
 * Reads a 32-bit integer in network byte order.
 */
static int32
read_int32(const uint8 *at)
{
	return (int32) ((uint32) at[0] << 24 | (uint32) at[1] << 16 | (uint32) at[2] << 8 | at[3]);
}

/*
 * Appends one column of the tuple, converted if it is a text.
 */
static void
append_column(StringInfo out, const RecordHeader *header, const uint8 *value, int32 len,
              RecordColumnKind kind)
{
	int at = out->len;
	uint32 length;

	appendBinaryStringInfo(out, "\0\0\0\0", 4);
	if (kind == RECORD_TEXT)
		append_text(out, header, (const char *) value, len);
	else if (kind == RECORD_JSON)
		append_json(out, header, (const char *) value, len);
	else
		appendBinaryStringInfo(out, (const char *) value, len);
	length = pg_hton32((uint32) (out->len - at - 4));
	memcpy(out->data + at, &length, 4);
}

/*
 * Returns the tuple of a record with its texts converted.
 */
void
text_convert_tuple(const RecordHeader *header, const uint8 *tuple, Size len,
                   const RecordColumnKind *kinds, int columns, StringInfo out)
{
	const uint8 *at = tuple + 2; /* behind the count of columns */
	const uint8 *end = tuple + len;

	if (!header->has_high_bytes)
	{
		appendBinaryStringInfo(out, (const char *) tuple, (int) len);
		return;
	}
	appendBinaryStringInfo(out, (const char *) tuple, 2);
	for (int i = 0; i < columns; i++)
	{
		int32 length = end - at >= 4 ? read_int32(at) : -2;

		if (length < -1 || length > end - at - 4)
			ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			                errmsg("journal record has a malformed tuple")));
		if (length < 0)
			appendBinaryStringInfo(out, (const char *) at, 4);
		else
			append_column(out, header, at + 4, length, kinds[i]);
		at += 4 + Max(length, 0);
	}
}
