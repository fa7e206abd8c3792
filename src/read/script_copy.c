/*
 * script_copy.c
 *	  The data of COPY FROM STDIN, as psql reads it: lines, then \. alone on one.
 */
#include "read/script.h"

/*
 * Returns the data that a client sent, in the database's encoding; NULL: it is no text.
 */
static char *
data_text(const ReadSession *session, const ReadCopyData *data, size_t *len)
{
	StringInfoData bytes;
	ListCell *cell;
	const char *text;

	initStringInfo(&bytes);
	foreach (cell, data->parts)
	{
		const WireSpan *part = lfirst(cell);

		appendBinaryStringInfo(&bytes, (const char *) part->data, (int) part->len);
	}
	text = read_text(&session->encoding, (WireSpan){(const uint8 *) bytes.data, bytes.len}, len);
	return text ? pnstrdup(text, *len) : NULL;
}

/*
 * Tells whether a line of the data would end it; the client's own end mark is the last
 * line, and taken off.
 */
static bool
has_end_mark(char *text, size_t *len)
{
	for (char *line = text; line < text + *len;)
	{
		char *end = memchr(line, '\n', *len - (line - text));
		size_t line_len = end ? (size_t) (end - line) : *len - (line - text);

		if (line_len > 0 && line[line_len - 1] == '\r')
			line_len--;
		if (line_len == 2 && line[0] == '\\' && line[1] == '.')
		{
			if (end && end + 1 < text + *len)
				return true;
			*len = line - text;
			return false;
		}
		if (!end)
			break;
		line = end + 1;
	}
	return false;
}

/*
 * Appends the data of a COPY FROM STDIN; see script.h.
 */
const char *
script_append_copy(const ReadSession *session, StringInfo out, const ReadRun *run)
{
	const ReadCopyData *data = run->copy_in;
	char *text;
	size_t len;

	if (run->copy_is_binary)
		return "COPY data is binary";
	if (!data || !data->has_end)
		return "COPY data is not in the record to its end";
	text = data_text(session, data, &len);
	if (!text)
		return "COPY data is no text";
	if (has_end_mark(text, &len))
		return "COPY data has a line that would end it";
	appendBinaryStringInfo(out, text, (int) len);
	if (len > 0 && text[len - 1] != '\n')
		appendStringInfoChar(out, '\n');
	appendStringInfoString(out, "\\.\n");
	return NULL;
}
