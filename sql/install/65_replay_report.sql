/* sql/install/65_replay_report.sql: what a replay came to: latencies, comparison of runs, noise, the report */

CREATE FUNCTION pgwire_trace.replay_check(run_id bigint, level integer DEFAULT 0) RETURNS boolean
AS 'MODULE_PATHNAME', 'pgwire_trace_replay_check'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgwire_trace.replay_check(bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_check(bigint, integer) IS
'Serves the functions that read what replays came to. Returns true; raises 42704 for a run that never was, 22023 for one that compared at a lower level.';

CREATE FUNCTION pgwire_trace.replay_quantiles(
	run_id bigint,
	OUT is_total boolean,
	OUT query text,
	OUT exchanges bigint,
	OUT captured_ms float8[],
	OUT replayed_ms float8[],
	OUT captured_seconds float8,
	OUT replayed_seconds float8)
RETURNS SETOF record
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog
SET work_mem = '64MB'
AS $$
	WITH replayed AS MATERIALIZED (
		SELECT x.session_id, x.exchange_no, x.duration_ms, x.sent_at
		FROM pgwire_trace.replay_run_exchange x
		WHERE x.run_id = $1 AND x.duration_ms IS NOT NULL),
	captured AS MATERIALIZED (
		SELECT e.session_id, e.exchange_no, min(e.query_hash) FILTER (WHERE e.part_no = 1) AS query_hash,
			   min(e.started_at) AS started_at, max(e.finished_at) AS finished_at
		FROM pgwire_trace.exchange e
		WHERE e.session_id IN (SELECT s.session_id FROM pgwire_trace.replay_run_session s WHERE s.run_id = $1)
		GROUP BY 1, 2),
	spans AS MATERIALIZED (
		SELECT coalesce(t.normalised_hash, c.query_hash) AS hash, c.query_hash, c.started_at, c.finished_at,
			   1000 * extract(epoch FROM c.finished_at - c.started_at)::float8 AS captured_ms, r.duration_ms AS replayed_ms, r.sent_at
		FROM replayed r
		JOIN captured c USING (session_id, exchange_no)
		LEFT JOIN pgwire_trace.query_text t ON t.query_hash = c.query_hash),
	queries AS (
		SELECT min(s.query_hash) AS query_hash, count(*) AS exchanges,
			   percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY s.captured_ms) AS captured_ms,
			   percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY s.replayed_ms) AS replayed_ms
		FROM spans s
		GROUP BY s.hash)
	SELECT false, coalesce(t.normalised, left(t.query, 1000)), q.exchanges, q.captured_ms, q.replayed_ms, NULL::float8, NULL::float8
	FROM queries q
	LEFT JOIN pgwire_trace.query_text t USING (query_hash)
	UNION ALL
	SELECT true, NULL, count(*),
		   percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY s.captured_ms),
		   percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY s.replayed_ms),
		   extract(epoch FROM max(s.finished_at) - min(s.started_at))::float8,
		   extract(epoch FROM max(s.sent_at + s.replayed_ms * interval '1 ms') - min(s.sent_at))::float8
	FROM spans s
	HAVING count(*) > 0
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_quantiles(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_quantiles(bigint) IS
'Serves replay_latency and replay_report: of each normalised query of a replay, and of all together, the 50th, 95th and 99th percentile of how long its exchanges took when they were recorded and in the replay, in milliseconds, and the seconds from the begin of the first to the end of the last.';

CREATE FUNCTION pgwire_trace.replay_latency(
	run_id bigint,
	slower_than float8 DEFAULT 0,
	slower_by_ms float8 DEFAULT NULL,
	OUT query text,
	OUT exchanges bigint,
	OUT captured_p50_ms float8,
	OUT captured_p95_ms float8,
	OUT captured_p99_ms float8,
	OUT replayed_p50_ms float8,
	OUT replayed_p95_ms float8,
	OUT replayed_p99_ms float8,
	OUT ratio float8,
	OUT ratio_p95 float8,
	OUT ratio_p99 float8)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
	SELECT q.query, q.exchanges, q.c[1], q.c[2], q.c[3], q.r[1], q.r[2], q.r[3],
		   q.r[1] / nullif(q.c[1], 0), q.r[2] / nullif(q.c[2], 0), q.r[3] / nullif(q.c[3], 0)
	FROM pgwire_trace.replay_quantiles($1) q (is_total, query, exchanges, c, r)
	WHERE pgwire_trace.replay_check($1) AND NOT q.is_total
		  AND coalesce(q.r[1] / nullif(q.c[1], 0), 0) >= coalesce($2, 0) AND ($3 IS NULL OR q.r[1] - q.c[1] >= $3)
	ORDER BY q.exchanges * (q.r[1] - q.c[1]) DESC
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_latency(bigint, float8, float8) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_latency(bigint, float8, float8) IS
'Returns, for each normalised query of a replay, quantiles of how long its exchanges took when they were recorded and in the replay, in milliseconds, and the ratios of medians, 95th and 99th percentiles; those only whose median was at least so many times as long, and so many milliseconds longer. What lost most time altogether comes first. Captured times include the way from the client''s side of the relay; replayed ones that from the replayer. Raises 42704 for a run that never was.';

CREATE FUNCTION pgwire_trace.replay_compare(
	run_a bigint,
	run_b bigint,
	OUT session_id bigint,
	OUT exchange_no bigint,
	OUT what text,
	OUT a text,
	OUT b text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
	WITH found AS (
		SELECT d.run_id, d.session_id, d.exchange_no, string_agg(DISTINCT d.verdict, ' ') AS verdicts
		FROM pgwire_trace.replay_divergence d WHERE d.run_id IN ($1, $2) GROUP BY 1, 2, 3),
	both_runs AS MATERIALIZED (
		SELECT x.run_id, x.session_id, x.exchange_no, x.outcome, x.sqlstate, x.row_count, x.row_digest, f.verdicts
		FROM pgwire_trace.replay_run_exchange x LEFT JOIN found f USING (run_id, session_id, exchange_no)
		WHERE x.run_id IN ($1, $2) AND pgwire_trace.replay_check($1) AND pgwire_trace.replay_check($2)),
	sessions AS ( -- exchanges of those that were skipped whole have no row
		SELECT s.run_id, s.session_id AS id FROM pgwire_trace.replay_run_session s
		WHERE s.run_id IN ($1, $2) AND s.state = 'skipped'),
	levels AS MATERIALIZED ( -- from 4 on, rows in which neither run found a difference are the recorded ones in both
		SELECT min(r.compare) < 4 AS too_low FROM pgwire_trace.replay_run r WHERE r.run_id IN ($1, $2))
	SELECT session_id, exchange_no, v.what, v.a, v.b
	FROM (SELECT * FROM both_runs r WHERE r.run_id = $1) one
	FULL JOIN (SELECT * FROM both_runs r WHERE r.run_id = $2) two USING (session_id, exchange_no)
	LEFT JOIN sessions s_one ON s_one.run_id = $1 AND s_one.id = session_id
	LEFT JOIN sessions s_two ON s_two.run_id = $2 AND s_two.id = session_id,
	LATERAL (VALUES
		(1, 'outcome', coalesce(one.outcome, CASE WHEN s_one.id IS NULL THEN 'unsent' ELSE 'skipped' END),
			coalesce(two.outcome, CASE WHEN s_two.id IS NULL THEN 'unsent' ELSE 'skipped' END)),
		(2, 'sqlstate', one.sqlstate, two.sqlstate),
		(3, 'rows', one.row_count::text, two.row_count::text),
		(4, 'data', one.row_digest::text, two.row_digest::text),
		(5, 'verdicts', one.verdicts, two.verdicts)) v (no, what, a, b)
	WHERE v.a IS DISTINCT FROM v.b
		  AND (v.no <> 4 OR one.verdicts IS NOT NULL OR two.verdicts IS NOT NULL OR (SELECT l.too_low FROM levels l))
	ORDER BY 1, 2, v.no
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_compare(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_compare(bigint, bigint) IS
'Returns where two replays differ from one another: outcome, sqlstate, rows, data (digests) or verdicts. Between two replays against one target that is the noise: what no two runs have in common. An exchange that only one of them was to replay is unsent in the other. Data that both found no difference in are the same, whatever columns or numbers of types were left out. Raises 42704 for a run that never was.';

CREATE TABLE pgwire_trace.replay_noise (
	normalised_hash bigint NOT NULL,
	column_name text NOT NULL,
	query text,
	found_at timestamptz NOT NULL DEFAULT now(),
	run_a bigint,
	run_b bigint,
	PRIMARY KEY (normalised_hash, column_name)
);
REVOKE ALL ON pgwire_trace.replay_noise FROM PUBLIC;
COMMENT ON TABLE pgwire_trace.replay_noise IS
'Columns that no two runs have in common (now(), random()), found by replay_learn_noise or written by hand: replays leave them out of the comparison, unless told otherwise by option noise_rules.';
COMMENT ON COLUMN pgwire_trace.replay_noise.normalised_hash IS 'query_text.normalised_hash of the query.';
COMMENT ON COLUMN pgwire_trace.replay_noise.column_name IS 'Name of the column of its result; "#3" is the third, where an answer does not describe its columns.';
COMMENT ON COLUMN pgwire_trace.replay_noise.query IS 'The normalised query, for a person.';
COMMENT ON COLUMN pgwire_trace.replay_noise.found_at IS 'When the rule was made.';
COMMENT ON COLUMN pgwire_trace.replay_noise.run_a IS 'The two replays that differed in it; NULL: made by hand.';
COMMENT ON COLUMN pgwire_trace.replay_noise.run_b IS 'See run_a.';

CREATE FUNCTION pgwire_trace.replay_learn_noise(run_a bigint, run_b bigint) RETURNS bigint
LANGUAGE sql VOLATILE STRICT
SET search_path = pg_catalog
AS $$
	WITH differing AS (
		SELECT d.run_id, d.session_id, d.exchange_no, d.statement_no, c.key, c.value
		FROM pgwire_trace.replay_divergence d, jsonb_each(d.replayed -> 'columns') c
		WHERE d.run_id IN ($1, $2) AND d.verdict = 'data'
			  AND pgwire_trace.replay_check($1, 4) AND pgwire_trace.replay_check($2, 4)),
	noise AS (
		SELECT DISTINCT a.session_id, a.exchange_no, a.key
		FROM differing a
		JOIN differing b ON b.run_id = $2 AND a.session_id = b.session_id AND a.exchange_no = b.exchange_no
			 AND a.statement_no = b.statement_no AND a.key = b.key AND a.value <> b.value
		WHERE a.run_id = $1),
	made AS (
		INSERT INTO pgwire_trace.replay_noise (normalised_hash, column_name, query, run_a, run_b)
		SELECT coalesce(t.normalised_hash, t.query_hash), n.key, min(coalesce(t.normalised, left(t.query, 1000))), $1, $2
		FROM noise n
		JOIN pgwire_trace.exchange e ON e.session_id = n.session_id AND e.exchange_no = n.exchange_no AND e.part_no = 1
		JOIN pgwire_trace.query_text t ON t.query_hash = e.query_hash
		GROUP BY 1, 2
		ON CONFLICT DO NOTHING
		RETURNING 1)
	SELECT count(*) FROM made
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_learn_noise(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_learn_noise(bigint, bigint) IS
'Finds columns that differ from the record in both replays, and between the two (which must be at level 4 or 5, against one target in one state), makes a rule in replay_noise of each, and returns how many are new. A column that is the same in both, but not as recorded, is no noise. Raises 42704 for a run that never was, 22023 for one at a lower level.';

CREATE FUNCTION pgwire_trace.replay_line(text text, size integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog
AS $$
	SELECT CASE WHEN length(l.line) > $2 THEN left(l.line, $2) || '...' ELSE l.line END
	FROM (SELECT rtrim(regexp_replace(left($1, 2 * $2 + 100), '\s+', ' ', 'g'), '; ')) l (line)
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_line(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_line(text, integer) IS
'Serves replay_report: a text in one line of at most so many characters.';

CREATE FUNCTION pgwire_trace.replay_evidence(evidence jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog
AS $$
	SELECT pgwire_trace.replay_line(CASE
		WHEN $1 ? 'sqlstate' THEN ($1 ->> 'sqlstate') || coalesce(' ' || ($1 ->> 'error_message'), '')
		WHEN $1 ? 'reason' AND $1 ? 'rows' THEN format('%s rows (%s)', $1 ->> 'rows', $1 ->> 'reason')
		WHEN $1 ? 'reason' THEN $1 ->> 'reason'
		WHEN $1 ? 'row_no' THEN format('%s = %s in row %s', $1 ->> 'column',
			 CASE WHEN jsonb_typeof($1 -> 'value') = 'object' THEN '\x' || ($1 -> 'value' ->> 'hex')
				  ELSE quote_nullable(left($1 ->> 'value', 100)) END, $1 ->> 'row_no')
		WHEN $1 ? 'column' THEN format('column %s of type %s', $1 ->> 'column',
			 coalesce($1 ->> 'type', format_type(($1 ->> 'type_oid')::oid, NULL)))
		WHEN $1 ? 'command_tag' THEN $1 ->> 'command_tag'
		WHEN $1 ? 'transaction_status' THEN CASE $1 ->> 'transaction_status' WHEN 'I' THEN 'no transaction'
			 WHEN 'T' THEN 'in a transaction' ELSE 'in a failed transaction' END
		WHEN $1 ? 'columns' THEN format('other values of %s', (SELECT string_agg(k, ', ') FROM jsonb_object_keys($1 -> 'columns') k))
		WHEN $1 ? 'row_digest' THEN format('%s rows, digest %s', $1 ->> 'rows', to_hex(($1 ->> 'row_digest')::bigint))
		WHEN $1 ? 'rows' THEN format('%s rows', $1 ->> 'rows')
		ELSE coalesce($1 ->> 'message', 'nothing') END, 300)
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_evidence(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_evidence(jsonb) IS
'Says one side of a row of replay_divergence (captured or replayed) in words; replay_report uses it.';

CREATE FUNCTION pgwire_trace.replay_difference(captured jsonb, replayed jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog
AS $$
	SELECT CASE WHEN e.was IS NULL OR e.was = 'nothing' OR (e.was = e.now AND $1 ? 'columns') THEN coalesce(e.now, 'nothing')
		WHEN e.was = e.now THEN format('another %s', e.now)
		ELSE format('was %s, is %s', e.was, coalesce(e.now, 'nothing')) END
	FROM (SELECT pgwire_trace.replay_evidence($1), pgwire_trace.replay_evidence($2)) e (was, now)
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_difference(jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_difference(jsonb, jsonb) IS
'Says a row of replay_divergence in words, from its columns captured and replayed; replay_report uses it.';

CREATE FUNCTION pgwire_trace.replay_report(run_id bigint) RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
	WITH run AS MATERIALIZED (SELECT * FROM pgwire_trace.replay_run r WHERE r.run_id = $1 AND pgwire_trace.replay_check($1)),
	verdicts AS MATERIALIZED (
		SELECT d.verdict, count(*) AS found, count(*) FILTER (WHERE d.is_root) AS roots
		FROM pgwire_trace.replay_divergence d WHERE d.run_id = $1 GROUP BY 1),
	sums AS (SELECT coalesce(sum(v.found), 0) AS found, coalesce(sum(v.roots), 0) AS roots FROM verdicts v),
	roots AS (
		SELECT d.*, CASE WHEN d.verdict IN ('session_lost', 'timeout') THEN d.replayed ->> 'reason'
						 ELSE coalesce(t.normalised_hash, e.query_hash)::text END AS alike
		FROM pgwire_trace.replay_divergence d
		LEFT JOIN pgwire_trace.exchange e ON e.session_id = d.session_id AND e.exchange_no = d.exchange_no AND e.part_no = 1
		LEFT JOIN pgwire_trace.query_text t ON t.query_hash = e.query_hash
		WHERE d.run_id = $1 AND d.is_root),
	firsts AS MATERIALIZED (
		SELECT f.*, sum(f.count) OVER (ORDER BY f.session_id, f.exchange_no, f.statement_no ROWS UNBOUNDED PRECEDING) AS told
		FROM (SELECT r.*, count(*) OVER (PARTITION BY r.verdict, r.alike),
					 row_number() OVER (PARTITION BY r.verdict, r.alike ORDER BY r.session_id, r.exchange_no, r.statement_no) AS no
			  FROM roots r) f
		WHERE f.no = 1
		ORDER BY f.session_id, f.exchange_no, f.statement_no LIMIT 20),
	latency AS MATERIALIZED (SELECT * FROM pgwire_trace.replay_quantiles($1)),
	lines (part, no, place, line) AS (
		SELECT 1, 0::bigint, 0::bigint, format('replay %s: %s, %s%s against %s', r.run_id, r.state, r.timing,
			   CASE WHEN r.timing <> 'asap' AND r.speed <> 1 THEN format(' x %s', r.speed) ELSE '' END
			   || CASE WHEN r.ordering <> 'none' THEN ', in order of ' || r.ordering ELSE '' END
			   || CASE WHEN r.read_only THEN ', read-only' ELSE '' END, r.target)
		FROM run r
		UNION ALL
		SELECT 2, 0, 0, 'reason: ' || pgwire_trace.replay_line(r.error_message, 500) FROM run r WHERE r.error_message IS NOT NULL
		UNION ALL
		SELECT 3, 0, 0, format('exchanges: %s captured = %s sent + %s filtered + %s skipped + %s unsent',
			   r.captured, r.sent, r.filtered, r.skipped, r.unsent)
		FROM run r
		UNION ALL
		SELECT 4, 0, 0, format('sessions: %s', string_agg(format('%s %s', s.sessions, s.state), ', ' ORDER BY s.state))
		FROM (SELECT t.state, count(*) AS sessions FROM pgwire_trace.replay_run_session t
			  WHERE t.run_id = $1 GROUP BY 1) s
		HAVING count(*) > 0
		UNION ALL
		SELECT 5, -sum(n.exchanges)::bigint, 0, format('%s: %s exchange%s, %s', n.outcome, sum(n.exchanges),
			   CASE sum(n.exchanges) WHEN 1 THEN '' ELSE 's' END, pgwire_trace.replay_line(n.reason, 300))
		FROM (SELECT x.outcome, x.reason, count(*) AS exchanges FROM pgwire_trace.replay_run_unsent x
			  WHERE x.run_id = $1 GROUP BY 1, 2
			  UNION ALL
			  SELECT s.state, s.reason, CASE s.state WHEN 'skipped' THEN s.skipped ELSE s.unsent END
			  FROM pgwire_trace.replay_run_session s
			  WHERE s.run_id = $1 AND s.state IN ('skipped', 'lost')) n
		GROUP BY n.outcome, n.reason
		UNION ALL
		SELECT 5, 1, 0, format('order: %s exchange%s let go after order_timeout, as the turn had not come',
			   r.order_timeouts, CASE r.order_timeouts WHEN 1 THEN '' ELSE 's' END)
		FROM run r WHERE r.order_timeouts > 0
		UNION ALL
		SELECT 6, 0, 0, CASE
			   WHEN r.captured = 0 THEN 'nothing to replay: the arguments choose no recorded exchange'
			   WHEN r.compare = 0 AND d.found = 0 THEN 'nothing was compared: level 0'
			   WHEN r.sent = 0 AND d.found = 0 THEN 'nothing was compared: no exchange was sent'
			   WHEN d.found = 0 THEN format('no divergences at level %s', r.compare)
			   ELSE format('divergences at level %s: %s, %s of them roots', r.compare, d.found, d.roots) END
		FROM run r, sums d
		UNION ALL
		SELECT 7, -v.found, 0, format('%s: %s, %s of them roots', v.verdict, v.found, v.roots)
		FROM verdicts v
		UNION ALL
		SELECT 8, f.session_id, f.exchange_no, format('session %s, exchange %s: %s, %s%s%s%s',
			   f.session_id, f.exchange_no, f.verdict,
			   coalesce((SELECT pgwire_trace.replay_line(e.query, 100) || ': ' FROM pgwire_trace.exchange e
						 WHERE e.session_id = f.session_id AND e.exchange_no = f.exchange_no AND e.part_no = 1), ''),
			   pgwire_trace.replay_difference(f.captured, f.replayed),
			   coalesce((SELECT format(' (explains %s more)', count(*)) FROM pgwire_trace.replay_divergence o
						 WHERE o.run_id = $1 AND o.session_id = f.session_id
							   AND o.caused_by_exchange_no = f.exchange_no HAVING count(*) > 0), ''),
			   CASE WHEN f.count > 1 THEN format(' (and %s more like it)', f.count - 1) ELSE '' END)
		FROM firsts f
		UNION ALL
		SELECT 9, 0, 0, format('and %s roots more', d.roots - f.told)
		FROM sums d, (SELECT max(t.told) AS told FROM firsts t) f WHERE d.roots > f.told
		UNION ALL
		SELECT 10, 0, 0, format('time: %s s, recorded in %s s; latency: median %s ms (was %s), p95 %s (was %s), p99 %s (was %s)',
			   round(q.replayed_seconds::numeric, 3), round(q.captured_seconds::numeric, 3),
			   round(q.replayed_ms[1]::numeric, 3), round(q.captured_ms[1]::numeric, 3),
			   round(q.replayed_ms[2]::numeric, 3), round(q.captured_ms[2]::numeric, 3),
			   round(q.replayed_ms[3]::numeric, 3), round(q.captured_ms[3]::numeric, 3))
		FROM latency q WHERE q.is_total
		UNION ALL
		SELECT 11, 0, t.no, format('%s times as slow (median %s ms, was %s ms; p95 %s, was %s; %s exchange%s): %s',
			   round((t.replayed_ms[1] / t.captured_ms[1])::numeric, 1),
			   round(t.replayed_ms[1]::numeric, 3), round(t.captured_ms[1]::numeric, 3),
			   round(t.replayed_ms[2]::numeric, 3), round(t.captured_ms[2]::numeric, 3),
			   t.exchanges, CASE t.exchanges WHEN 1 THEN '' ELSE 's' END, pgwire_trace.replay_line(t.query, 100))
		FROM (SELECT q.*, row_number() OVER (ORDER BY q.exchanges * (q.replayed_ms[1] - q.captured_ms[1]) DESC) AS no
			  FROM latency q
			  WHERE NOT q.is_total AND q.captured_ms[1] > 0 AND q.replayed_ms[1] >= 1.5 * q.captured_ms[1]
					AND q.replayed_ms[1] >= q.captured_ms[1] + 1) t
		WHERE t.no <= 5)
	SELECT l.line FROM lines l ORDER BY l.part, l.no, l.place, l.line
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_report(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_report(bigint) IS
'Returns what came of a replay in lines for a person: counts, why exchanges were not sent, divergences by verdict, the first 20 roots (of those alike, by verdict and normalised query, the first alone), how long it took, quantiles of latency, the five queries that lost most time of those whose median is 1.5 times as long and a millisecond longer. Raises 42704 for a run that never was.';
