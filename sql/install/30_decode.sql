/* sql/install/30_decode.sql: the protocol's messages as rows */

CREATE FUNCTION pgwire_trace.decode_messages(
	data bytea,
	direction text,
	phase text DEFAULT 'normal',
	encoding name DEFAULT 'UTF8',
	OUT message_no integer,
	OUT at_byte bigint,
	OUT type "char",
	OUT name text,
	OUT length bigint,
	OUT body jsonb)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_decode_messages'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION pgwire_trace.decode_messages(bytea, text, text, name) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.decode_messages(bytea, text, text, name) IS
'The messages in bytes that one side sent: direction F (frontend) or B (backend). phase says what the first of them are: startup, password, sasl_initial, sasl, gss, normal, copy, replication or ssl_answer; encoding is the client''s. at_byte counts from 0; length is the message''s length field, with itself and without the type byte; type and length are NULL for messages without them. body is an object of all fields: values are strings where they are text, else {"hex": ...}, NULL is null. A body that does not parse is {"malformed": reason, "at": n, "data": ...}; one that is cut off is {"truncated": true, "data": ...}; a type that is not known has the name Unknown; bytes that make no sense as protocol are a last row with the name Opaque. In phase replication the body of CopyData is the message that it holds, under its key: xlog_data, primary_keepalive, standby_status_update, new_archive, ...; the data of xlog_data is pgoutput''s message likewise, or bytes. Raises 22023 for a direction, phase or encoding that there is not.';

CREATE FUNCTION pgwire_trace.encode_message(
	direction text,
	name text,
	body jsonb,
	encoding name DEFAULT 'UTF8')
RETURNS bytea
AS 'MODULE_PATHNAME', 'pgwire_trace_encode_message'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION pgwire_trace.encode_message(text, text, jsonb, name) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.encode_message(text, text, jsonb, name) IS
'The bytes of a message from its direction, name and body as decode_messages() gives them: what that function decodes, this one encodes to the same bytes. A value may be a string or {"hex": ...}. Raises 22023 for a message that there is not, a field that is missing, unknown or of the wrong kind, and for what was masked or truncated.';

CREATE FUNCTION pgwire_trace.message_types(
	OUT direction text,
	OUT type "char",
	OUT name text,
	OUT phase text,
	OUT since text,
	OUT description text,
	OUT fields text[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_message_types'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
REVOKE ALL ON FUNCTION pgwire_trace.message_types() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.message_types() IS
'All messages of the protocol, a row for each direction: type byte (NULL without one), the phases in which that byte is this message (any: all that have type bytes), first protocol version, what it is for, and the keys of its body. The phases copy_data and xlog_data are of messages inside CopyData and XLogData, which are shown there under their names in snake case.';

CREATE FUNCTION pgwire_trace.messages(
	session_id bigint,
	exchange_no bigint DEFAULT NULL,
	OUT exchange_no bigint,
	OUT message_no integer,
	OUT at timestamptz,
	OUT direction text,
	OUT type "char",
	OUT name text,
	OUT length bigint,
	OUT is_truncated boolean,
	OUT body jsonb)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_messages'
LANGUAGE C STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.messages(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.messages(bigint, bigint) IS
'The messages of a recorded session, or of one of its exchanges, in the order in which they passed; at is when the last byte of a message passed the relay. Columns and bodies are those of decode_messages(); values that the Bind or RowDescription before them calls binary are {"hex": ...}, what was overwritten before it was stored is {"masked": length}. Where a limit cut bytes off, the last row of that direction is {"truncated": true, "data": ...} with is_truncated. No rows for a session or exchange that there is not, and for one recorded without bytes. Needs SELECT on the tables.';

CREATE FUNCTION pgwire_trace.trace_lines(
	session_id bigint,
	exchange_no bigint DEFAULT NULL,
	regress boolean DEFAULT false)
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'pgwire_trace_trace_lines'
LANGUAGE C STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.trace_lines(bigint, bigint, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.trace_lines(bigint, bigint, boolean) IS
'The messages of a recorded session, or of one of its exchanges, as lines in the format of libpq''s PQtrace(): time in the session''s time zone, F or B, length, name, fields. With regress times are left out, and OIDs, process ids, keys and places in the server''s source are placeholders, so that the lines of two runs can be compared. No lines for a session or exchange that there is not. Needs SELECT on the tables.';

CREATE FUNCTION pgwire_trace.session_diff(
	a bigint,
	b bigint,
	OUT exchange_no bigint,
	OUT message_no integer,
	OUT what text,
	OUT left_body jsonb,
	OUT right_body jsonb)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_session_diff'
LANGUAGE C STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.session_diff(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.session_diff(bigint, bigint) IS
'Where session b (right) differs from session a (left); no rows when the same was said. what is "<message>: <places>", the places of the body that differ as in jsonpath; "missing message: <message>" or "missing exchange: <first message>" for what is in a alone, "extra ..." for what is in b alone. Bodies are those of messages(), of an exchange its first message''s, but OIDs, process ids, places in the WAL and times are NNNN, keys and secrets BBBB, and places in the server''s source SSSS, so that two runs of a program are the same. Exchanges are paired by their requests: one that was inserted is one row, those behind it are compared with their counterparts. Numbers are those of a, of what is in b alone those of b, and message_no is NULL for an exchange. In an exchange differences of the request come before those of the answer. Where bytes were left out (by the limits, by capture = metadata) what the columns of the exchange know of all of it, the digest of its rows among it, is compared as a message "record". A session that there is not has no exchanges. Needs SELECT on the tables.';
