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

/*
 * Appends a byte that is no text.
 */
static void
append_escaped(StringInfo out, uint8 byte, bool is_json)
{
	appendStringInfo(out, is_json ? "\\\\x%02x" : "\\x%02x", byte);
}

/*
 * Appends text that should be in the database's encoding already.
 */
static void
append_verified(StringInfo out, const char *text, int len, bool is_json)
{
	int encoding = GetDatabaseEncoding();

	while (len > 0)
	{
		int good = pg_encoding_verifymbstr(encoding, text, len);

		appendBinaryStringInfo(out, text, good);
		if (good == len)
			return;
		append_escaped(out, (uint8) text[good], is_json);
		text += good + 1;
		len -= good + 1;
	}
}

/*
 * Appends text converted by a conversion procedure, piece by piece.
 */
static void
append_converted(StringInfo out, Oid proc, int from, const char *text, int len, bool is_json)
{
	char piece[1024 * MAX_CONVERSION_GROWTH + 1];

	while (len > 0)
	{
		int take = Min(len, 1024);
		int done = pg_do_encoding_conversion_buf(proc, from, GetDatabaseEncoding(),
												 (unsigned char *) text, take,
												 (unsigned char *) piece, sizeof(piece), true);

		appendStringInfoString(out, piece);
		text += done;
		len -= done;
		if (done > 0 || len == 0)
			continue;
		append_escaped(out, (uint8) *text, is_json);
		text++;
		len--;
	}
}

/*
 * Appends a text in the database's encoding.
 */
static void
append_text(StringInfo out, const RecordHeader *header, const char *text, int len, bool is_json)
{
	char name[sizeof(header->encoding) + 1] = {0};
	int from;
	Oid proc;

	memcpy(name, header->encoding, sizeof(header->encoding));
	from = pg_char_to_encoding(name);
	if (from < 0 || from == PG_SQL_ASCII || from == GetDatabaseEncoding() ||
		GetDatabaseEncoding() == PG_SQL_ASCII ||
		!OidIsValid(proc = FindDefaultConversionProc(from, GetDatabaseEncoding())))
		append_verified(out, text, len, is_json);
	else
		append_converted(out, proc, from, text, len, is_json);
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
	if (kind == RECORD_TEXT || kind == RECORD_JSON)
		append_text(out, header, (const char *) value, len, kind == RECORD_JSON);
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
	const uint8 *at = tuple + 2;
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
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("journal record has a malformed tuple")));
		if (length < 0)
			appendBinaryStringInfo(out, (const char *) at, 4);
		else
			append_column(out, header, at + 4, length, kinds[i]);
		at += 4 + Max(length, 0);
	}
}
