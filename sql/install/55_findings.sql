/* sql/install/55_findings.sql: which queries take the time, and what clients do in vain */

CREATE FUNCTION pgwire_trace.request_steps(
	request bytea,
	OUT step_no integer,
	OUT type "char",
	OUT statement text,
	OUT portal text,
	OUT query text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_request_steps'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 5;
COMMENT ON FUNCTION pgwire_trace.request_steps(bytea) IS
'Returns the Parse, Bind, Describe, Execute, Close and Sync messages of a request, with their type byte, the statement or portal that they name, and the text of a Parse. What is cut off or makes no sense ends the list.';

-- One row an exchange that ran a query, with what the views below group by.
CREATE VIEW pgwire_trace.query_run AS
SELECT coalesce(t.normalised_hash, x.query_hash) AS normalised_hash,
	   t.normalised,
	   pgwire_trace.fact_bigint(x.facts, 'query_id') AS query_id,
	   x.started_at,
	   x.session_id,
	   x.exchange_no,
	   pgwire_trace.fact_bigint(x.facts, 'row_count') AS row_count,
	   pgwire_trace.fact_bigint(x.facts, 'duration') / 1000.0::double precision AS duration_ms,
	   pgwire_trace.fact_bigint(x.facts, 'first_response') / 1000.0::double precision AS first_response_ms,
	   pgwire_trace.fact_bigint(x.facts, 'think') / 1000.0::double precision AS think_ms,
	   pgwire_trace.fact_bigint(x.facts, 'request_bytes') AS request_bytes,
	   pgwire_trace.fact_bigint(x.facts, 'response_bytes') AS response_bytes,
	   pgwire_trace.fact_text(x.facts, 'sqlstate') AS sqlstate
FROM pgwire_trace.stored_exchange x
LEFT JOIN pgwire_trace.query_text t ON t.query_hash = x.query_hash
WHERE x.query_hash IS NOT NULL
  AND pgwire_trace.fact_boolean(x.facts, 'is_complete')
  AND pgwire_trace.fact_bigint(x.facts, 'part_no') = 1
  AND pgwire_trace.fact_bigint(x.facts, 'statement_count') > 0;
REVOKE ALL ON pgwire_trace.query_run FROM PUBLIC;

COMMENT ON VIEW pgwire_trace.query_run IS
'One row an exchange that ran or failed a statement and is complete, under the normalised text of its first statement. What was recorded in parts is left out.';
COMMENT ON COLUMN pgwire_trace.query_run.normalised_hash IS 'Hash of the normalised text.';
COMMENT ON COLUMN pgwire_trace.query_run.normalised IS 'The normalised text.';
COMMENT ON COLUMN pgwire_trace.query_run.query_id IS 'Query identifier of its first statement (pg_stat_statements.queryid); NULL where it is not known.';
COMMENT ON COLUMN pgwire_trace.query_run.started_at IS 'When the relay read the first byte of the request.';
COMMENT ON COLUMN pgwire_trace.query_run.session_id IS 'Session.';
COMMENT ON COLUMN pgwire_trace.query_run.exchange_no IS 'Number of the exchange in its session.';
COMMENT ON COLUMN pgwire_trace.query_run.row_count IS 'Sum of the rows that the command tags name.';
COMMENT ON COLUMN pgwire_trace.query_run.duration_ms IS 'Milliseconds from the first byte of the request to the last of the response.';
COMMENT ON COLUMN pgwire_trace.query_run.first_response_ms IS 'Milliseconds to the first answer.';
COMMENT ON COLUMN pgwire_trace.query_run.think_ms IS 'Milliseconds that the client took before it; NULL if it did not wait for the exchange before.';
COMMENT ON COLUMN pgwire_trace.query_run.request_bytes IS 'True size of the request.';
COMMENT ON COLUMN pgwire_trace.query_run.response_bytes IS 'True size of the response.';
COMMENT ON COLUMN pgwire_trace.query_run.sqlstate IS 'SQLSTATE of the first error; NULL without one.';

CREATE VIEW pgwire_trace.top_query AS
SELECT r.normalised_hash,
	   min(r.query_id) AS query_id,
	   min(r.normalised) AS query,
	   count(*) AS calls,
	   sum(r.row_count)::bigint AS rows,
	   sum(r.duration_ms) AS total_ms,
	   avg(r.duration_ms) AS mean_ms,
	   percentile_disc(0.5) WITHIN GROUP (ORDER BY r.duration_ms) AS p50_ms,
	   percentile_disc(0.95) WITHIN GROUP (ORDER BY r.duration_ms) AS p95_ms,
	   percentile_disc(0.99) WITHIN GROUP (ORDER BY r.duration_ms) AS p99_ms,
	   max(r.duration_ms) AS max_ms,
	   count(r.sqlstate) AS errors,
	   avg(r.first_response_ms) AS mean_first_response_ms,
	   avg(r.think_ms) AS mean_think_ms,
	   sum(r.request_bytes)::bigint AS request_bytes,
	   sum(r.response_bytes)::bigint AS response_bytes
FROM pgwire_trace.query_run r
GROUP BY r.normalised_hash;
REVOKE ALL ON pgwire_trace.top_query FROM PUBLIC;

COMMENT ON VIEW pgwire_trace.top_query IS
'One row a normalised query, to be read like pg_stat_statements: ORDER BY total_ms DESC LIMIT 10. A pipeline or several statements in one Query count once, under the first one.';
COMMENT ON COLUMN pgwire_trace.top_query.normalised_hash IS 'Hash of the normalised text.';
COMMENT ON COLUMN pgwire_trace.top_query.query_id IS 'Query identifier, which joins pg_stat_statements.queryid; the least where there are several, as for tables of other databases or schemas; NULL where none is known.';
COMMENT ON COLUMN pgwire_trace.top_query.query IS 'The normalised text.';
COMMENT ON COLUMN pgwire_trace.top_query.calls IS 'Exchanges that ran it.';
COMMENT ON COLUMN pgwire_trace.top_query.rows IS 'Sum of the rows that the command tags name.';
COMMENT ON COLUMN pgwire_trace.top_query.total_ms IS 'Milliseconds in all, from the first byte of the request to the last of the response.';
COMMENT ON COLUMN pgwire_trace.top_query.mean_ms IS 'The same, mean.';
COMMENT ON COLUMN pgwire_trace.top_query.p50_ms IS 'The same, median.';
COMMENT ON COLUMN pgwire_trace.top_query.p95_ms IS 'The same: 95 % took at most that.';
COMMENT ON COLUMN pgwire_trace.top_query.p99_ms IS 'The same: 99 % took at most that.';
COMMENT ON COLUMN pgwire_trace.top_query.max_ms IS 'The same, longest.';
COMMENT ON COLUMN pgwire_trace.top_query.errors IS 'Exchanges that met an error.';
COMMENT ON COLUMN pgwire_trace.top_query.mean_first_response_ms IS 'Milliseconds to the first answer, mean.';
COMMENT ON COLUMN pgwire_trace.top_query.mean_think_ms IS 'Milliseconds that the client took before it, mean.';
COMMENT ON COLUMN pgwire_trace.top_query.request_bytes IS 'Bytes from clients.';
COMMENT ON COLUMN pgwire_trace.top_query.response_bytes IS 'Bytes to clients.';

CREATE VIEW pgwire_trace.top_application AS
SELECT s.application_name,
	   s.user_name,
	   s.database_name,
	   count(DISTINCT r.session_id) AS sessions,
	   count(*) AS calls,
	   sum(r.row_count)::bigint AS rows,
	   sum(r.duration_ms) AS total_ms,
	   avg(r.duration_ms) AS mean_ms,
	   percentile_disc(0.95) WITHIN GROUP (ORDER BY r.duration_ms) AS p95_ms,
	   count(r.sqlstate) AS errors,
	   sum(r.think_ms) AS think_ms,
	   sum(r.request_bytes)::bigint AS request_bytes,
	   sum(r.response_bytes)::bigint AS response_bytes
FROM pgwire_trace.query_run r
JOIN pgwire_trace.session s ON s.session_id = r.session_id
GROUP BY s.application_name, s.user_name, s.database_name;
REVOKE ALL ON pgwire_trace.top_application FROM PUBLIC;

COMMENT ON VIEW pgwire_trace.top_application IS 'One row an application, user and database: who takes the time.';
COMMENT ON COLUMN pgwire_trace.top_application.application_name IS 'application_name as last reported.';
COMMENT ON COLUMN pgwire_trace.top_application.user_name IS 'User.';
COMMENT ON COLUMN pgwire_trace.top_application.database_name IS 'Database.';
COMMENT ON COLUMN pgwire_trace.top_application.sessions IS 'Sessions that ran a query.';
COMMENT ON COLUMN pgwire_trace.top_application.calls IS 'Exchanges that ran a query.';
COMMENT ON COLUMN pgwire_trace.top_application.rows IS 'Sum of the rows that the command tags name.';
COMMENT ON COLUMN pgwire_trace.top_application.total_ms IS 'Milliseconds that its exchanges took.';
COMMENT ON COLUMN pgwire_trace.top_application.mean_ms IS 'The same, mean.';
COMMENT ON COLUMN pgwire_trace.top_application.p95_ms IS 'The same: 95 % took at most that.';
COMMENT ON COLUMN pgwire_trace.top_application.errors IS 'Exchanges that met an error.';
COMMENT ON COLUMN pgwire_trace.top_application.think_ms IS 'Milliseconds that its clients took between exchanges.';
COMMENT ON COLUMN pgwire_trace.top_application.request_bytes IS 'Bytes from clients.';
COMMENT ON COLUMN pgwire_trace.top_application.response_bytes IS 'Bytes to clients.';

CREATE VIEW pgwire_trace.query_latency AS
SELECT b.normalised_hash,
	   min(b.normalised) AS query,
	   CASE WHEN b.bucket > 0 THEN pg_catalog.power(2.0::double precision, b.bucket - 1) / 1000 ELSE 0 END AS from_ms,
	   pg_catalog.power(2.0::double precision, b.bucket) / 1000 AS to_ms,
	   count(*) AS calls,
	   sum(b.duration_ms) AS total_ms
FROM (SELECT r.normalised_hash, r.normalised, r.duration_ms,
			 -- bits of the microseconds: no logarithm that is off by one at a power of two
			 pg_catalog.length(pg_catalog.ltrim((r.duration_ms * 1000)::bigint::bit(48)::text, '0')) AS bucket
	  FROM pgwire_trace.query_run r) b
GROUP BY b.normalised_hash, b.bucket;
REVOKE ALL ON pgwire_trace.query_latency FROM PUBLIC;

COMMENT ON VIEW pgwire_trace.query_latency IS
'A histogram of durations for each normalised query; each bucket is twice as wide as the one before, from a microsecond up.';
COMMENT ON COLUMN pgwire_trace.query_latency.normalised_hash IS 'Hash of the normalised text.';
COMMENT ON COLUMN pgwire_trace.query_latency.query IS 'The normalised text.';
COMMENT ON COLUMN pgwire_trace.query_latency.from_ms IS 'Shortest duration in the bucket, milliseconds.';
COMMENT ON COLUMN pgwire_trace.query_latency.to_ms IS 'Longer than all in the bucket, milliseconds.';
COMMENT ON COLUMN pgwire_trace.query_latency.calls IS 'Exchanges in the bucket.';
COMMENT ON COLUMN pgwire_trace.query_latency.total_ms IS 'Milliseconds that they took.';

CREATE FUNCTION pgwire_trace.session_findings(
	session_id bigint,
	OUT finding text,
	OUT exchanges bigint[],
	OUT occurrences bigint,
	OUT query text,
	OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_session_findings'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE COST 10000 ROWS 5 -- first choose the sessions
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.session_findings(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.session_findings(bigint) IS
'The rows of view finding for a session, read once from its start; no rows for one that there is not. Needs SELECT on the tables.';

CREATE VIEW pgwire_trace.finding WITH (security_invoker = true) AS
SELECT f.finding,
	   s.session_id,
	   f.exchanges,
	   f.occurrences,
	   f.query,
	   f.detail
FROM pgwire_trace.session s
CROSS JOIN LATERAL pgwire_trace.session_findings(s.session_id) f;
REVOKE ALL ON pgwire_trace.finding FROM PUBLIC;

COMMENT ON VIEW pgwire_trace.finding IS
'What clients do in vain, a row a session and reason. Each session that is asked for is read as a whole: add WHERE session_id = ... where all are too many. Whoever reads it needs EXECUTE on session_findings() and SELECT on the tables too.';
COMMENT ON COLUMN pgwire_trace.finding.finding IS 'parsed_again: the same text in 5 or more Parse messages. sync_each_statement: 5 or more statements in a row sent without waiting, each with a Sync of its own. unused_statement: prepared under a name and not bound, in a session that ended; what a gap in the record may hide is left out. described_again: Describe of a statement that was described since its Parse. n_plus_one: the same SELECT but for constants 10 or more times in a row, with a row at most. result_in_vain: over a megabyte of rows sent, and then the client left or cancelled. idle_in_transaction: a second or more between exchanges while a transaction was open.';
COMMENT ON COLUMN pgwire_trace.finding.session_id IS 'Session.';
COMMENT ON COLUMN pgwire_trace.finding.exchanges IS 'The first 100 exchanges that show it; of idle_in_transaction those before the pauses.';
COMMENT ON COLUMN pgwire_trace.finding.occurrences IS 'How often.';
COMMENT ON COLUMN pgwire_trace.finding.query IS 'Text of a statement that shows it.';
COMMENT ON COLUMN pgwire_trace.finding.detail IS 'What was seen, and what would be better.';
