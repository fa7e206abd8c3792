-- What a replay is called with, and what is read of it afterwards, by rows that are made here.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
SET timezone = 'UTC';

-- functions and views as docs/replay.md and its readers' scripts know them
SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
FROM pg_proc p
WHERE p.pronamespace = 'pgwire_trace'::regnamespace AND p.proname IN ('replay_start', 'replay_plan', 'replay_wait', 'replay_cancel', 'replay_pause',
          'replay_resume', 'replay_set_speed', 'replay_report', 'replay_latency', 'replay_compare', 'replay_learn_noise')
ORDER BY 1 \gx (format=unaligned)
SELECT c.relname, c.relkind AS kind, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'pgwire_trace'::regnamespace
      AND c.relname IN ('replay_run', 'replay_progress', 'replay_divergence', 'replay_run_session', 'replay_run_exchange',
          'replay_noise', 'replay_credential')
GROUP BY 1, 2 ORDER BY 1 \gx (format=unaligned)

-- what is refused, and how
CREATE FUNCTION pg_temp.refused(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE sql;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
SELECT arguments, pg_temp.refused(format('SELECT pgwire_trace.replay_start(%s)', arguments))
FROM unnest(ARRAY[$$NULL$$, $$'nonsense=1'$$, $$'host=x', ARRAY[[1]]$$, $$'host=x', ARRAY[NULL]::bigint[]$$, $$'host=x', timing => 'fast'$$,
    $$'host=x', timing => NULL$$, $$'host=x', speed => 0$$, $$'host=x', speed => 'NaN'$$, $$'host=x', speed => 2000000$$, $$'host=x', speed => NULL$$,
    $$'host=x', ordering => 'some'$$, $$'host=x', compare => -1$$, $$'host=x', compare => 6$$, $$'host=x', read_only => NULL$$,
    $$'host=x', options => NULL$$, $$'host=x', options => '[]'$$, $$'host=x', options => '{"sped": 1}'$$,
    $$'host=x', options => '{"rollback": 1}'$$, $$'host=x', options => '{"max_sessions": 0}'$$,
    $$'host=x', options => '{"connect_rate": 1.5}'$$, $$'host=x', options => '{"children": 65}'$$,
    $$'host=x', options => '{"idle_max": -1}'$$, $$'host=x', options => '{"catch_up": 0.5}'$$,
    $$'host=x', options => '{"ignore_columns": [""]}'$$, $$'host=x', options => '{"ignore_columns": {"a": 1}}'$$,
    $$'host=x', options => jsonb_build_object('ignore_columns', jsonb_build_array(repeat('x', 5000)))$$]) arguments;
SELECT call, pg_temp.refused('SELECT * FROM pgwire_trace.' || call)
FROM unnest(ARRAY['replay_wait(-5)', 'replay_cancel(-5)', 'replay_pause(-5)', 'replay_resume(-5)', 'replay_set_speed(-5, 2)',
    'replay_set_speed(-5, 0)', 'replay_set_speed(-5, ''NaN'')']) call;
SELECT call, pg_temp.refused('SELECT pgwire_trace.' || call) FROM unnest(ARRAY['replay_report(-5)', 'replay_latency(-5)', 'replay_compare(-5, -6)',
    'replay_learn_noise(-5, -6)']) call;
SELECT pgwire_trace.replay_wait(NULL), pgwire_trace.replay_cancel(NULL);
CREATE ROLE regress_replayer;
SET ROLE regress_replayer;
SELECT pg_temp.refused('SELECT * FROM pgwire_trace.replay_run');
SELECT pg_temp.refused('SELECT pgwire_trace.replay_start(''host=x'')');
RESET ROLE;
GRANT USAGE ON SCHEMA pgwire_trace TO regress_replayer;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgwire_trace TO regress_replayer;
SET ROLE regress_replayer;
SELECT arguments, pg_temp.refused(format('SELECT pgwire_trace.replay_start(%s)', arguments))
FROM unnest(ARRAY[$$'host=x password=y'$$, $$'host=x', options => '{"allow_target": true}'$$, $$'host=x', options => '{"allow_self": true}'$$,
    $$'host=x', options => '{"session_authorization": true}'$$]) arguments;
RESET ROLE;

BEGIN;
GRANT SELECT ON pgwire_trace.session, pgwire_trace.exchange TO regress_replayer;
SET LOCAL ROLE regress_replayer;
SELECT pg_temp.refused('SELECT pgwire_trace.replay_start(''host=x'')');
RESET ROLE;
ROLLBACK;
DROP OWNED BY regress_replayer;
DROP ROLE regress_replayer;

-- two runs of 100 exchanges of one query, which took 1 to 100 ms and then twice and three times that, and of one
-- that took no time
BEGIN;
INSERT INTO pgwire_trace.session (session_id, started_at, ended_at, user_name, database_name, application_name,
        exchange_count, request_bytes, response_bytes, dropped_exchanges, is_desynchronised, end_reason, journal_series)
VALUES (-1, '2001-01-01', '2001-01-02', 'alice', 'app', 'shop', 0, 0, 0, 0, false, 'terminate', 0);
INSERT INTO pgwire_trace.query_text (query_hash, query, normalised, normalised_hash, first_seen, last_used)
VALUES (-1, NULL, 'select $1', -1, '2001-01-01', '2001-01-01'), (-2, 'select  $1', 'select $1', -1, '2001-01-01', '2001-01-01'),
       (-3, E'select 1 as column;\n', NULL, NULL, '2001-01-01', '2001-01-01');
INSERT INTO pgwire_trace.exchange (session_id, exchange_no, started_at, finished_at, kind, query, query_hash, statement_count,
        row_count, data_row_count, request_bytes, response_bytes, is_complete)
SELECT -1, n, '2001-01-01'::timestamptz, '2001-01-01'::timestamptz + n * interval '1 ms', 'query', 'select ' || n, -1 - n % 2, 1, 1, 1, 50, 50, true
FROM generate_series(1, 100) n
UNION ALL SELECT -1, 101, '2001-01-01', '2001-01-01', 'query', E'select 1 as column;\n', -3, 1, 0, 0, 50, 50, true;
INSERT INTO pgwire_trace.replay_run_state (run_id, state, started_at, started_by, target, timing, speed, ordering, compare, read_only, options,
        captured, sent, filtered, skipped, divergences, root_divergences, error_message)
VALUES (-1, 'finished', '2001-01-01', 'alice', 'host=''x''', 'asap', 1, 'none', 5, false, '{}', 110, 101, 3, 4, 13, 12, NULL),
       (-2, 'aborted', '2001-01-01', 'alice', 'host=''y''', 'think', 2.5, 'commit', 4, true, '{}', 1, 0, 0, 0, 0, 0, 'it died'),
       (-3, 'running', '2001-01-01', 'alice', 'host=''y''', 'think', 1, 'none', 4, false, '{}', 0, 0, 0, 0, 0, 0, NULL),
       (-4, 'planned', '2001-01-01', 'alice', 'host=''y''', 'think', 1, 'none', 4, false, '{}', 8, 1, 2, 1, 0, 0, NULL);
INSERT INTO pgwire_trace.replay_run_session (run_id, session_id, state, captured, sent, filtered, skipped, reason)
VALUES (-1, -1, 'finished', 104, 101, 3, 0, NULL), (-1, -2, 'skipped', 4, 0, 0, 4, 'it is a replication connection'),
       (-1, -3, 'lost', 2, 0, 0, 0, 'the target closed the connection'), (-2, -1, 'skipped', 104, 0, 0, 104, 'it is a replication connection');
INSERT INTO pgwire_trace.replay_run_sent
SELECT run, array_agg(-1::bigint), array_agg(n::bigint), array_agg('2001-01-01'::timestamptz), array_agg((CASE WHEN n = 101 THEN 0 ELSE n * (1 - run) END)::float8),
       array_agg(NULL::float8), array_agg(NULL::float8), array_agg((CASE WHEN n = 7 AND run = -2 THEN 2 ELSE 1 END)::bigint),
       array_agg((CASE WHEN n = 8 AND run = -2 THEN 9 ELSE n END)::bigint), array_agg(CASE WHEN n = 9 AND run = -2 THEN '22012' END)
FROM generate_series(-2, -1) run, generate_series(1, 101) n WHERE NOT (run = -2 AND n = 10) GROUP BY run;
INSERT INTO pgwire_trace.replay_run_unsent
VALUES (-1, -1, 102, 'filtered', 'it began outside of the time range'), (-1, -1, 103, 'filtered', 'it began outside of the time range'),
       (-1, -1, 104, 'filtered', 'not read-only: it changes rows'), (-2, -1, 10, 'skipped', 'the record overwrote something in it');
INSERT INTO pgwire_trace.replay_divergence (run_id, session_id, exchange_no, statement_no, verdict, is_root, caused_by_exchange_no, captured, replayed, at)
VALUES (-1, -1, 1, 1, 'error_new', true, NULL, '{"message": "CommandComplete", "command_tag": "INSERT 0 1", "rows": 1}',
        '{"message": "ErrorResponse", "sqlstate": "23505", "error_message": "duplicate key"}', '2001-01-01'),
       (-1, -1, 2, 1, 'shape', false, 1, '{"message": "CommandComplete", "command_tag": "COMMIT", "rows": 0}',
        '{"message": "CommandComplete", "command_tag": "ROLLBACK", "rows": 0}', '2001-01-01'),
       (-1, -1, 3, 1, 'rows', true, NULL, '{"message": "DataRow", "rows": 3}', '{"message": "DataRow", "rows": 2}', '2001-01-01'),
       (-1, -1, 4, 1, 'data', true, NULL, '{"message": "DataRow", "rows": 1, "row_no": 1, "column": "a", "type_oid": 25, "value": "x''y"}',
        '{"message": "DataRow", "rows": 1, "row_no": 1, "column": "a", "type_oid": 25, "value": {"hex": "00ff"}}', '2001-01-01'),
       (-1, -1, 5, 1, 'data', true, NULL, '{"message": "DataRow", "rows": 1, "row_no": 1, "column": "a", "type_oid": 25, "value": null}',
        '{"message": "DataRow", "rows": 1, "row_no": 1, "column": "a", "type_oid": 25, "value": ""}', '2001-01-01'),
       (-1, -1, 6, 1, 'order_only', true, NULL, '{"message": "DataRow", "rows": 2, "row_digest": 255}', '{"message": "DataRow", "rows": 2, "row_digest": -1}', '2001-01-01'),
       (-1, -1, 7, 1, 'shape', true, NULL, '{"message": "RowDescription", "column": "a", "type_oid": 23}',
        '{"message": "RowDescription", "column": "b", "type_oid": 16999, "type": "app.mood"}', '2001-01-01'),
       (-1, -1, 8, 1, 'shape', true, NULL, '{"rows": 2, "reason": "number of columns"}', '{"rows": 3, "reason": "number of columns"}', '2001-01-01'),
       (-1, -1, 9, 2, 'transaction_state', true, NULL, '{"transaction_status": "I"}', '{"transaction_status": "T"}', '2001-01-01'),
       (-1, -1, 10, 2, 'transaction_state', true, NULL, '{"transaction_status": "E"}', '{"message": "EmptyQueryResponse"}', '2001-01-01'),
       (-1, -1, 11, 1, 'data', true, NULL, '{"message": "DataRow", "rows": 1, "columns": {"a": 1, "b": 2}}', '{}', '2001-01-01'),
       (-1, -3, 1, NULL, 'session_lost', true, NULL, '{}', '{"reason": "the target closed the connection"}', '2001-01-01'),
       (-1, -1, 101, 1, 'cancel_missed', true, NULL, '{"sqlstate": "57014"}', '{"command_tag": "SELECT 1", "reason": "the cancel request came too late"}', '2001-01-01');

SELECT run_id, state, captured, sent, filtered, skipped, unsent, divergences, root_divergences FROM pgwire_trace.replay_run WHERE run_id < 0 ORDER BY 1 DESC;
SELECT run_id, state, percent, sent, captured, filtered, skipped, unsent, sessions_live, late_ms IS NULL AS no_lag
FROM pgwire_trace.replay_progress WHERE run_id < 0 ORDER BY 1 DESC;
SELECT exchange_no, pgwire_trace.replay_difference(captured, replayed) FROM pgwire_trace.replay_divergence WHERE run_id = -1 ORDER BY 1, 2;
SELECT * FROM pgwire_trace.replay_report(-1);
SELECT * FROM pgwire_trace.replay_report(-2);
SELECT * FROM pgwire_trace.replay_latency(-1) \gx
-- thresholds are of the median: so many times as long, and so many milliseconds longer
SELECT query, ratio FROM pgwire_trace.replay_latency(-1, 2);
SELECT count(*) FROM pgwire_trace.replay_latency(-1, 2.001);
SELECT query FROM pgwire_trace.replay_latency(-1, 0, 50.5);
SELECT count(*) FROM pgwire_trace.replay_latency(-1, 0, 50.6);
SELECT * FROM pgwire_trace.replay_compare(-1, -2);
SELECT * FROM pgwire_trace.replay_compare(-2, -1);

-- noise: a column that differs from the record in both runs, and between them
INSERT INTO pgwire_trace.replay_divergence (run_id, session_id, exchange_no, statement_no, verdict, is_root, captured, replayed, at)
VALUES (-3, -1, 1, 1, 'data', true, '{}', '{"columns": {"both": 1, "same": 3, "first": 4}}', '2001-01-01'),
       (-4, -1, 1, 1, 'data', true, '{}', '{"columns": {"both": 2, "same": 3, "second": 5}}', '2001-01-01'),
       (-3, -1, 2, 1, 'data', true, '{}', '{"columns": {"place": 1}}', '2001-01-01'),
       (-4, -1, 2, 2, 'data', true, '{}', '{"columns": {"place": 2}}', '2001-01-01'),
       (-3, -1, 4, 1, 'rows', true, '{}', '{"columns": {"rows": 1}}', '2001-01-01'),
       (-4, -1, 4, 1, 'rows', true, '{}', '{"columns": {"rows": 2}}', '2001-01-01');
SELECT pgwire_trace.replay_learn_noise(-3, -4);
SELECT pgwire_trace.replay_learn_noise(-4, -3);
SELECT normalised_hash, column_name, query, run_a, run_b FROM pgwire_trace.replay_noise WHERE normalised_hash < 0;
-- a run takes its rows with it
DELETE FROM pgwire_trace.replay_run_state WHERE run_id < 0;
SELECT (SELECT count(*) FROM pgwire_trace.replay_run_exchange WHERE run_id < 0) + (SELECT count(*) FROM pgwire_trace.replay_run_session WHERE run_id < 0)
    + (SELECT count(*) FROM pgwire_trace.replay_divergence WHERE run_id < 0) AS rows_left;
ROLLBACK;
