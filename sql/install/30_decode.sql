/* sql/install/30_decode.sql: bytes of the protocol as rows */

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
LANGUAGE C STRICT STABLE PARALLEL SAFE;
REVOKE ALL ON FUNCTION pgwire_trace.decode_messages(bytea, text, text, name) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.decode_messages(bytea, text, text, name) IS
'Decodes bytes of one direction (F or B) of the protocol, a row a message. Bytes that make no sense are a last row named Opaque. Raises 22023 for an unknown direction, phase or encoding.';

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
LANGUAGE C STABLE;
