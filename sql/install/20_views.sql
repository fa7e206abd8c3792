/* sql/install/20_views.sql: what people read */

CREATE VIEW pgwire_trace.log WITH (security_invoker = true) AS
SELECT e.started_at,
	   e.session_id,
	   e.exchange_no,
	   s.user_name,
	   s.database_name,
	   s.application_name,
	   s.client_addr,
	   e.kind,
	   pg_catalog.left(e.query, 1000) AS query,
	   e.command_tag,
	   e.row_count,
	   e.sqlstate,
	   e.error_message,
	   CASE WHEN e.is_complete THEN e.duration_us / 1000.0::double precision END AS duration_ms,
	   e.first_response_us / 1000.0::double precision AS first_response_ms,
	   e.think_us / 1000.0::double precision AS think_ms,
	   e.request_bytes,
	   e.response_bytes,
	   e.recorded_at
FROM pgwire_trace.exchange e
LEFT JOIN pgwire_trace.session s ON s.session_id = e.session_id;
REVOKE ALL ON pgwire_trace.log FROM PUBLIC;

COMMENT ON VIEW pgwire_trace.log IS
'What people read: one row an exchange, without bytes. Reading it takes SELECT on the tables too.';
COMMENT ON COLUMN pgwire_trace.log.started_at IS 'When the relay read the first byte of the request.';
COMMENT ON COLUMN pgwire_trace.log.session_id IS 'Session.';
COMMENT ON COLUMN pgwire_trace.log.exchange_no IS 'Number of the exchange in its session.';
COMMENT ON COLUMN pgwire_trace.log.user_name IS 'User of the session.';
COMMENT ON COLUMN pgwire_trace.log.database_name IS 'Database of the session.';
COMMENT ON COLUMN pgwire_trace.log.application_name IS 'application_name as last reported.';
COMMENT ON COLUMN pgwire_trace.log.client_addr IS 'Address of the client; NULL for a Unix socket.';
COMMENT ON COLUMN pgwire_trace.log.kind IS 'Kind of the exchange.';
COMMENT ON COLUMN pgwire_trace.log.query IS 'First 1,000 characters of the first statement.';
COMMENT ON COLUMN pgwire_trace.log.command_tag IS 'Last command tag.';
COMMENT ON COLUMN pgwire_trace.log.row_count IS 'Sum of the rows that the command tags name.';
COMMENT ON COLUMN pgwire_trace.log.sqlstate IS 'SQLSTATE of the first error.';
COMMENT ON COLUMN pgwire_trace.log.error_message IS 'Message of the first error.';
COMMENT ON COLUMN pgwire_trace.log.duration_ms IS 'Milliseconds from the first byte of the request to the last of the response; NULL while unfinished.';
COMMENT ON COLUMN pgwire_trace.log.first_response_ms IS 'Milliseconds to the first answer.';
COMMENT ON COLUMN pgwire_trace.log.think_ms IS 'Milliseconds that the client took since the exchange before was finished; NULL if it did not wait for that.';
COMMENT ON COLUMN pgwire_trace.log.request_bytes IS 'True size of the request.';
COMMENT ON COLUMN pgwire_trace.log.response_bytes IS 'True size of the response.';
COMMENT ON COLUMN pgwire_trace.log.recorded_at IS 'When the last answer came, or the connection ended.';

-- For whoever may know what was done and when, but no value of it:
--	  GRANT USAGE ON SCHEMA pgwire_trace TO auditor;
--	  GRANT SELECT ON pgwire_trace.log_metadata TO auditor;
-- It runs as its owner, so nothing else is needed, and the barrier keeps functions of the
-- reader's own away from rows that a view upon it leaves out.
CREATE VIEW pgwire_trace.log_metadata WITH (security_barrier = true) AS
SELECT e.started_at,
	   e.session_id,
	   e.exchange_no,
	   s.user_name,
	   s.database_name,
	   s.application_name,
	   s.client_addr,
	   e.kind,
	   (SELECT pg_catalog.left(t.normalised, 1000) FROM pgwire_trace.query_text t
		WHERE t.query_hash = e.query_hash) AS query,
	   e.command_tag,
	   e.row_count,
	   e.sqlstate,
	   CASE WHEN e.is_complete THEN e.duration_us / 1000.0::double precision END AS duration_ms,
	   e.first_response_us / 1000.0::double precision AS first_response_ms,
	   e.think_us / 1000.0::double precision AS think_ms,
	   e.request_bytes,
	   e.response_bytes,
	   e.recorded_at
FROM pgwire_trace.exchange e
LEFT JOIN pgwire_trace.session s ON s.session_id = e.session_id;
REVOKE ALL ON pgwire_trace.log_metadata FROM PUBLIC;

COMMENT ON VIEW pgwire_trace.log_metadata IS
'The log without values, for an auditor who is GRANTed SELECT on it (and USAGE on the schema) and nothing else: query text with constants as $n, no error messages. It runs as its owner.';
-- its columns are those of log, but for the query
DO $$
DECLARE
	col record;
BEGIN
	FOR col IN
		SELECT a.attname, pg_catalog.col_description(l.attrelid, l.attnum) AS description
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_attribute l ON l.attname = a.attname
		WHERE a.attrelid = 'pgwire_trace.log_metadata'::pg_catalog.regclass
			AND l.attrelid = 'pgwire_trace.log'::pg_catalog.regclass AND l.attnum > 0
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN pgwire_trace.log_metadata.%I IS %L', col.attname, col.description);
	END LOOP;
END $$;
COMMENT ON COLUMN pgwire_trace.log_metadata.query IS 'First 1,000 characters of the first statement, constants as $n.';
