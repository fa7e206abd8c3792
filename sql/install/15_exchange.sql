/* sql/install/15_exchange.sql: the exchanges as people read them, over compact storage */

-- These functions decode what they are given and look at nothing else.  Whoever may read a
-- view that uses them needs EXECUTE on them, so everybody has it.
CREATE FUNCTION pgwire_trace.fact_text(facts bytea, name text) RETURNS text
AS 'MODULE_PATHNAME', 'pgwire_trace_fact_text'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION pgwire_trace.fact_text(bytea, text) IS
'Returns a fact of an exchange: kind, command_tag, sqlstate or transaction_status; NULL for none. Raises 22023 for other names, XX001 for bytes that are no facts.';

CREATE FUNCTION pgwire_trace.fact_bigint(facts bytea, name text) RETURNS bigint
AS 'MODULE_PATHNAME', 'pgwire_trace_fact_bigint'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION pgwire_trace.fact_bigint(bytea, text) IS
'Returns a fact of an exchange: part_no, statement_count, row_count, data_row_count, request_bytes, response_bytes, row_digest, row_set_digest, query_id, cancelled_session_id, cancelled_exchange_no; or microseconds: duration, first_response, think. NULL for none. Raises 22023 for other names, XX001 for bytes that are no facts.';

CREATE FUNCTION pgwire_trace.fact_boolean(facts bytea, name text) RETURNS boolean
AS 'MODULE_PATHNAME', 'pgwire_trace_fact_boolean'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION pgwire_trace.fact_boolean(bytea, text) IS
'Returns a fact of an exchange: is_complete, is_truncated, pairing_uncertain, is_redacted or is_request_redacted. Raises 22023 for other names, XX001 for bytes that are no facts.';

CREATE FUNCTION pgwire_trace.fact_time(started_at timestamptz, facts bytea, name text) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'pgwire_trace_fact_time'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION pgwire_trace.fact_time(timestamptz, bytea, text) IS
'Returns when an exchange that started then had its first_response, or was finished (duration); NULL if it was not. Raises 22023 for other names, XX001 for bytes that are no facts.';

CREATE FUNCTION pgwire_trace.exchange_bytes(facts bytea, bytes bytea, name text) RETURNS bytea
AS 'MODULE_PATHNAME', 'pgwire_trace_exchange_bytes'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION pgwire_trace.exchange_bytes(bytea, bytea, text) IS
'Returns request, response or chunks of an exchange; NULL where none are kept. Raises 22023 for other names, XX001 for bytes that are no facts.';

CREATE FUNCTION pgwire_trace.exchange_hashes(facts bytea, bytes bytea, query_hash bigint) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'pgwire_trace_exchange_hashes'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION pgwire_trace.exchange_hashes(bytea, bytea, bigint) IS
'Returns the hashes of the texts of an exchange''s Binds; NULL for none. Raises XX001 for bytes that are no facts.';

CREATE FUNCTION pgwire_trace.exchange_query(facts bytea, bytes bytea, query text, whole text, normalised text) RETURNS text
AS 'MODULE_PATHNAME', 'pgwire_trace_exchange_query'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION pgwire_trace.exchange_query(bytea, bytea, text, text, text) IS
'Returns the text of an exchange''s first statement from where it is: the request, the row''s own column, or the texts of its row in query_text. Raises XX001 for bytes that are no facts.';

CREATE VIEW pgwire_trace.exchange AS
SELECT pgwire_trace.fact_time(x.started_at, x.facts, 'duration') AS recorded_at,
	   x.session_id,
	   x.exchange_no,
	   pgwire_trace.fact_bigint(x.facts, 'part_no')::integer AS part_no,
	   x.started_at,
	   pgwire_trace.fact_time(x.started_at, x.facts, 'first_response') AS first_response_at,
	   pgwire_trace.fact_time(x.started_at, x.facts, 'duration') AS finished_at,
	   pgwire_trace.fact_text(x.facts, 'kind') AS kind,
	   pgwire_trace.exchange_query(x.facts, x.bytes, x.query, t.query, t.normalised) AS query,
	   pgwire_trace.exchange_hashes(x.facts, x.bytes, x.query_hash) AS query_hashes,
	   pgwire_trace.fact_bigint(x.facts, 'query_id') AS query_id,
	   pgwire_trace.fact_text(x.facts, 'command_tag') AS command_tag,
	   pgwire_trace.fact_bigint(x.facts, 'statement_count')::integer AS statement_count,
	   pgwire_trace.fact_bigint(x.facts, 'row_count') AS row_count,
	   pgwire_trace.fact_bigint(x.facts, 'data_row_count') AS data_row_count,
	   pgwire_trace.fact_text(x.facts, 'sqlstate') AS sqlstate,
	   x.error_message,
	   pgwire_trace.fact_text(x.facts, 'transaction_status')::"char" AS transaction_status,
	   pgwire_trace.fact_bigint(x.facts, 'request_bytes') AS request_bytes,
	   pgwire_trace.fact_bigint(x.facts, 'response_bytes') AS response_bytes,
	   pgwire_trace.fact_boolean(x.facts, 'is_complete') AS is_complete,
	   pgwire_trace.fact_boolean(x.facts, 'is_truncated') AS is_truncated,
	   pgwire_trace.fact_boolean(x.facts, 'pairing_uncertain') AS pairing_uncertain,
	   pgwire_trace.fact_bigint(x.facts, 'row_digest') AS row_digest,
	   pgwire_trace.fact_bigint(x.facts, 'row_set_digest') AS row_set_digest,
	   pgwire_trace.fact_bigint(x.facts, 'cancelled_session_id') AS cancelled_session_id,
	   pgwire_trace.fact_bigint(x.facts, 'cancelled_exchange_no') AS cancelled_exchange_no,
	   pgwire_trace.exchange_bytes(x.facts, x.bytes, 'request') AS request,
	   pgwire_trace.exchange_bytes(x.facts, x.bytes, 'response') AS response,
	   pgwire_trace.exchange_bytes(x.facts, x.bytes, 'chunks') AS chunks,
	   x.query_hash,
	   pgwire_trace.fact_bigint(x.facts, 'duration') AS duration_us,
	   pgwire_trace.fact_bigint(x.facts, 'first_response') AS first_response_us,
	   pgwire_trace.fact_bigint(x.facts, 'think') AS think_us,
	   pgwire_trace.fact_boolean(x.facts, 'is_redacted') AS is_redacted,
	   pgwire_trace.fact_boolean(x.facts, 'is_request_redacted') AS is_request_redacted
FROM pgwire_trace.stored_exchange x
LEFT JOIN pgwire_trace.query_text t ON t.query_hash = x.query_hash;
REVOKE ALL ON pgwire_trace.exchange FROM PUBLIC;

COMMENT ON VIEW pgwire_trace.exchange IS
'One row an exchange: what the client sent up to and including a Query, Sync or FunctionCall, and what answered it.';
COMMENT ON COLUMN pgwire_trace.exchange.recorded_at IS 'When it was finished; the same as finished_at.';
COMMENT ON COLUMN pgwire_trace.exchange.session_id IS 'Session that it belongs to.';
COMMENT ON COLUMN pgwire_trace.exchange.exchange_no IS 'Number in the session, from 0 (the startup), in the order in which requests began.';
COMMENT ON COLUMN pgwire_trace.exchange.part_no IS 'Number of the part, from 1; an exchange that takes longer than pgwire_trace.part_interval has several. Bytes and counts are of the part alone, so that sums over the parts are the exchange''s; started_at is the exchange''s, finished_at when the part was recorded; digests are of all rows so far; is_complete is true in the last part at most.';
COMMENT ON COLUMN pgwire_trace.exchange.started_at IS 'When the relay read the first byte of the request.';
COMMENT ON COLUMN pgwire_trace.exchange.first_response_at IS 'When the first answer came, notices, notifications and parameter changes aside; NULL without one.';
COMMENT ON COLUMN pgwire_trace.exchange.finished_at IS 'When the last answer came, or the connection ended.';
COMMENT ON COLUMN pgwire_trace.exchange.kind IS 'The first that applies: cancel, startup, terminate, replication, copy, function_call, query, extended, async.';
COMMENT ON COLUMN pgwire_trace.exchange.query IS 'Text of the first statement, passwords masked; without constants in metadata mode.';
COMMENT ON COLUMN pgwire_trace.exchange.query_hashes IS 'query_text.query_hash of the texts of its Binds, in order.';
COMMENT ON COLUMN pgwire_trace.exchange.query_id IS 'Query identifier of the first statement as the server computed it (pg_stat_statements.queryid); NULL where it is not known.';
COMMENT ON COLUMN pgwire_trace.exchange.command_tag IS 'Last command tag.';
COMMENT ON COLUMN pgwire_trace.exchange.statement_count IS 'Statements that were run or failed.';
COMMENT ON COLUMN pgwire_trace.exchange.row_count IS 'Sum of the rows that the command tags name.';
COMMENT ON COLUMN pgwire_trace.exchange.data_row_count IS 'DataRow messages.';
COMMENT ON COLUMN pgwire_trace.exchange.sqlstate IS 'SQLSTATE of the first ErrorResponse; NULL without one.';
COMMENT ON COLUMN pgwire_trace.exchange.error_message IS 'Message of the first ErrorResponse; NULL in metadata mode.';
COMMENT ON COLUMN pgwire_trace.exchange.transaction_status IS 'Status of the last ReadyForQuery: I idle, T in a transaction, E in a failed one.';
COMMENT ON COLUMN pgwire_trace.exchange.request_bytes IS 'True size of the request, whole messages.';
COMMENT ON COLUMN pgwire_trace.exchange.response_bytes IS 'True size of the response, whole messages.';
COMMENT ON COLUMN pgwire_trace.exchange.is_complete IS 'Whether the answer came to its end.';
COMMENT ON COLUMN pgwire_trace.exchange.is_truncated IS 'Whether not all bytes were kept; counts are exact all the same.';
COMMENT ON COLUMN pgwire_trace.exchange.pairing_uncertain IS 'Whether an answer came that no request explains, here or just before.';
COMMENT ON COLUMN pgwire_trace.exchange.row_digest IS 'Digest of the rows, or of the data that COPY sent out, in their order, keyed by node; NULL without any, and where they were redacted and not all kept.';
COMMENT ON COLUMN pgwire_trace.exchange.row_set_digest IS 'The same in any order.';
COMMENT ON COLUMN pgwire_trace.exchange.cancelled_session_id IS 'Session that a cancel request hit; NULL for other kinds, and where its key fits no traced session.';
COMMENT ON COLUMN pgwire_trace.exchange.cancelled_exchange_no IS 'Exchange of that session that the server was working on when the request was passed on; NULL where there was none.';
COMMENT ON COLUMN pgwire_trace.exchange.request IS 'Bytes from the client, secrets masked, up to pgwire_trace.request_limit.';
COMMENT ON COLUMN pgwire_trace.exchange.response IS 'Bytes from the server, secrets masked, up to pgwire_trace.response_limit.';
COMMENT ON COLUMN pgwire_trace.exchange.chunks IS 'When which bytes of which direction passed; read by messages().';
COMMENT ON COLUMN pgwire_trace.exchange.query_hash IS 'query_text.query_hash of the first statement, or of its normalised text where it came in a Query; NULL without one.';
COMMENT ON COLUMN pgwire_trace.exchange.duration_us IS 'Microseconds from started_at to finished_at.';
COMMENT ON COLUMN pgwire_trace.exchange.first_response_us IS 'Microseconds from started_at to first_response_at.';
COMMENT ON COLUMN pgwire_trace.exchange.think_us IS 'Microseconds that the client took since the exchange before was finished; NULL if it did not wait for that, and for the first.';

COMMENT ON COLUMN pgwire_trace.exchange.is_redacted IS 'Whether something that the client or the server said was overwritten in request, response, query or error_message: by a rule (pgwire_trace.redact_*), or because it is a password in query text. What is never stored of any session (answers to authentication requests, secret keys) does not count. False in metadata mode, where there are no values to overwrite.';

COMMENT ON COLUMN pgwire_trace.exchange.is_request_redacted IS 'Whether something in request was overwritten, so that it is not what the client sent; is_redacted is true then too.';

CREATE FUNCTION pgwire_trace.exchange_insert() RETURNS trigger
AS 'MODULE_PATHNAME', 'pgwire_trace_exchange_insert'
LANGUAGE C
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.exchange_insert() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.exchange_insert() IS
'Stores a row that is inserted into view exchange. Raises 22023 for values that can''t be stored.';

CREATE TRIGGER exchange_insert INSTEAD OF INSERT ON pgwire_trace.exchange
FOR EACH ROW EXECUTE FUNCTION pgwire_trace.exchange_insert();
