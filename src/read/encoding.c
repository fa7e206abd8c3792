/*
 * encoding.c
 *	  Bytes of a recorded session as text of this database; see encoding.h.
 */
#include "read/encoding.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

/*
 * Looks up what it takes to show bytes in an encoding.
 */
void
read_encoding_init(ReadEncoding *encoding, int from)
{
	int to = GetDatabaseEncoding();

	memset(encoding, 0, sizeof(*encoding));
	encoding->encoding = from;
	if (from == PG_SQL_ASCII) /* it says nothing: take the bytes as the database's own */
		encoding->encoding = to;
	if (encoding->encoding == to || to == PG_SQL_ASCII)
		return;
	encoding->is_converted = true;
	encoding->to_database = FindDefaultConversionProc(from, to);
	encoding->from_database = FindDefaultConversionProc(to, from);
}

/*
 * Converts all of some text.  Returns NULL if it has no equivalent.
 */
static char *
convert(Oid function, int from, int to, const char *text, size_t len, size_t *out_len)
{
	size_t size = len * MAX_CONVERSION_GROWTH + 1;
	char *out;

	if (!OidIsValid(function) || size > MaxAllocSize)
		return NULL;
	out = palloc(size);
	if (pg_do_encoding_conversion_buf(function, from, to,
	                                  (unsigned char *) unconstify(char *, text), (int) len,
	                                  (unsigned char *) out, (int) size, true) != (int) len)
	{
		pfree(out);
		return NULL;
	}
	*out_len = strlen(out);
	return out;
}

/*
 * Converts bytes to the database's encoding, if that loses nothing.
 */
static const char *
convert_there_and_back(const ReadEncoding *encoding, const char *text, size_t len, size_t *out_len)
{
	int database = GetDatabaseEncoding();
	size_t back_len;
	char *back;
	char *out = convert(encoding->to_database, encoding->encoding, database, text, len, out_len);

	if (!out)
		return NULL;
	back = convert(encoding->from_database, database, encoding->encoding, out, *out_len, &back_len);
	if (back && back_len == len && memcmp(back, text, len) == 0)
	{
		pfree(back);
		return out;
	}
	pfree(out);
	return NULL;
}

/*
 * Returns bytes as text in the database's encoding; see encoding.h.
 */
const char *
read_text(const ReadEncoding *encoding, WireSpan bytes, size_t *len)
{
	const char *text = (const char *) bytes.data;

	*len = bytes.len;
	if (bytes.len == 0)
		return "";
	if (read_is_plain(bytes.data, bytes.len))
		return text;
	if (bytes.len > MaxAllocSize ||
	    !pg_verify_mbstr(encoding->encoding, text, (int) bytes.len, true))
		return NULL;
	if (!encoding->is_converted)
		return text;
	return convert_there_and_back(encoding, text, bytes.len, len);
}

/*
 * Returns text of the database's as bytes in the encoding; see encoding.h.
 */
const char *
read_bytes(const ReadEncoding *encoding, const char *text, size_t len, size_t *out_len)
{
	*out_len = len;
	if (!encoding->is_converted || read_is_plain((const uint8 *) (const uint8 *) text, len))
		return text;
	return convert(encoding->from_database, GetDatabaseEncoding(), encoding->encoding, text, len,
	               out_len);
}
