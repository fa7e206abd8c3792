-- What a replay would send, and what not and why, of sessions that are made here.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
SET timezone = 'UTC';

BEGIN;
CREATE FUNCTION pg_temp.message(type text, VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN (SELECT convert_to(type, 'UTF8') || int4send(length(body) + 4) || body
    FROM (SELECT coalesce(string_agg(part, '' ORDER BY o), '') AS body
        FROM unnest(parts) WITH ORDINALITY AS u(part, o)) AS b);
CREATE FUNCTION pg_temp.z(string text) RETURNS bytea IMMUTABLE
RETURN convert_to(string, 'UTF8') || '\x00'::bytea;
CREATE FUNCTION pg_temp.query(query text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('Q', pg_temp.z(query));
CREATE FUNCTION pg_temp.parse(name text, query text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('P', pg_temp.z(name), pg_temp.z(query), '\x0000') || '\x5300000004'::bytea;
CREATE FUNCTION pg_temp.run(name text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('B', pg_temp.z(''), pg_temp.z(name), '\x000000000000')
    || pg_temp.message('E', pg_temp.z(''), '\x00000000') || '\x5300000004'::bytea;

-- A session from the n-th minute of a day on, one minute long.
CREATE FUNCTION pg_temp.session(id bigint, minute int, dropped bigint = 0, desynchronised boolean = false,
    parameters jsonb = '{}', end_reason text = 'terminate', usename text = 'alice') RETURNS bigint
LANGUAGE sql AS $$
INSERT INTO pgwire_trace.session (session_id, started_at, ended_at, user_name, database_name, startup_parameters,
        exchange_count, request_bytes, response_bytes, dropped_exchanges, is_desynchronised, end_reason, journal_series)
VALUES (id, '2001-01-01'::timestamptz + minute * interval '1 min', '2001-01-01'::timestamptz + (minute + 1) * interval '1 min',
        usename, 'app', parameters, 0, 0, 0, dropped, desynchronised, end_reason, 0) RETURNING session_id
$$;

-- An exchange of it, at the n-th second of its minute.
CREATE FUNCTION pg_temp.exchange(session bigint, no bigint, request bytea = pg_temp.query('select 1'), second float8 = 1,
    kind text = 'query', part int = 1, took float8 = 1, size bigint = NULL, uncertain boolean = false, rows bigint = 1,
    digest bigint = 1, truncated boolean = false, redacted boolean = false, request_redacted boolean = false, status text = 'I',
    sqlstate text = NULL, hash bigint = NULL, cancelled bigint = NULL, complete boolean = true) RETURNS void
LANGUAGE sql AS $$
INSERT INTO pgwire_trace.exchange (session_id, exchange_no, part_no, started_at, finished_at, kind, query_hash, statement_count,
        row_count, data_row_count, row_digest, row_set_digest, request, request_bytes, response, response_bytes, is_complete, is_truncated,
        is_redacted, is_request_redacted, pairing_uncertain, transaction_status, sqlstate, command_tag, cancelled_session_id,
        cancelled_exchange_no)
SELECT session, no, part, s.started_at + second * interval '1 s', s.started_at + (second + took) * interval '1 s', kind, hash, 1,
        rows, rows, digest, digest, request, coalesce(size, length(request)), '\x5a0000000549', CASE WHEN truncated THEN 1000 ELSE 6 END,
        complete, truncated, redacted, request_redacted, uncertain, status::"char", sqlstate, 'SELECT 1', cancelled,
        CASE WHEN cancelled IS NOT NULL THEN 1 END
FROM pgwire_trace.session s WHERE s.session_id = session
$$;

CREATE FUNCTION pg_temp.plan(ids bigint[], VARIADIC more text[] = '{}') RETURNS TABLE (item text, reason text, sessions bigint, exchanges bigint)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM pgwire_trace.replay_plan(''host=192.0.2.1 user=alice'', %L%s)', ids,
        coalesce(', ' || array_to_string(nullif(more, '{}'), ', '), ''));
END $$;

-- a session whose every exchange is sent: startup, terminate and async ones do not count, parts are one
SELECT pg_temp.session(-1, 0) \gset
SELECT count(*) FROM (VALUES ('startup', 0), ('query', 1), ('extended', 2), ('copy', 3), ('function_call', 4), ('async', 5), ('terminate', 6)) k (kind, no),
    pg_temp.exchange(-1, no, kind => kind, second => no);
SELECT pg_temp.exchange(-1, 3, part => 2, second => 3.5) \gset
SELECT * FROM pg_temp.plan('{-1}');
-- nothing was sent in it
SELECT pg_temp.session(-2, 0) \gset
SELECT pg_temp.exchange(-2, 0, kind => 'startup') \gset
SELECT * FROM pg_temp.plan('{-2}');
SELECT * FROM pg_temp.plan('{}');
SAVEPOINT before;
SELECT * FROM pgwire_trace.replay_plan('user=alice', '{-1, -999}');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO before;

-- why a session is not replayed at all
SELECT pg_temp.session(-10, 1, dropped => 1), pg_temp.session(-11, 1, desynchronised => true), pg_temp.session(-12, 1),
    pg_temp.session(-13, 1), pg_temp.session(-14, 1), pg_temp.session(-15, 1), pg_temp.session(-16, 1, parameters => '{"replication": "database"}'),
    pg_temp.session(-17, 1, parameters => '{"replication": "off"}'), pg_temp.session(-18, 1, usename => 'bob') \gset
SELECT count(pg_temp.exchange(s, no)) FROM generate_series(-18, -10) s, generate_series(1, 2) no;
SELECT pg_temp.exchange(-12, 3, uncertain => true), pg_temp.exchange(-13, 3, size => 1000), pg_temp.exchange(-14, 3, request => NULL, size => 9),
    pg_temp.exchange(-15, 3, kind => 'replication') \gset
SELECT s, p.* FROM generate_series(-18, -10) s, pg_temp.plan(ARRAY[s]) p
WHERE item IN ('to send', 'skipped') ORDER BY s DESC, item;
SELECT * FROM pg_temp.plan('{-10,-11,-12,-13,-14,-15,-16,-17,-18}') WHERE item NOT IN ('duration', 'peak sessions');

-- a time range: what began at its begin is in it, what began at its end is not
SELECT pg_temp.session(-20, 10) \gset
SELECT count(pg_temp.exchange(-20, no, second => no)) FROM generate_series(1, 10) no;
SELECT * FROM pg_temp.plan('{-20}', $$since => '2001-01-01 00:10:03'$$, $$until => '2001-01-01 00:10:08'$$);
SELECT * FROM pg_temp.plan('{-20}', $$since => '2001-01-01 00:12:00'$$);
SELECT * FROM pg_temp.plan('{-20}', $$until => '2001-01-01 00:10:00'$$);

-- how many at one time: a session that ends as another begins meets it, a skipped one is not there
SELECT pg_temp.session(-30 - n, 20 + n) FROM generate_series(0, 3) n \g /dev/null
SELECT pg_temp.session(-34, 23, usename => 'bob') \gset
SELECT count(pg_temp.exchange(s, 1)) FROM generate_series(-34, -30) s;
SELECT sessions FROM pg_temp.plan('{-30,-31,-32,-33,-34}') WHERE item = 'peak sessions';
UPDATE pgwire_trace.session SET ended_at = ended_at - interval '1 us' WHERE session_id BETWEEN -34 AND -30;
SELECT sessions FROM pg_temp.plan('{-30,-31,-32,-33,-34}') WHERE item = 'peak sessions';
-- one that has not ended yet goes on to its last exchange
UPDATE pgwire_trace.session SET ended_at = NULL WHERE session_id BETWEEN -34 AND -30;
SELECT sessions FROM pg_temp.plan('{-30,-31,-32,-33,-34}') WHERE item = 'peak sessions';
SELECT reason FROM pg_temp.plan('{-30,-31,-32,-33,-34}') WHERE item = 'duration';

-- digests: where not all bytes are there to be compared there must be one, unless it is not sent or never ended
SELECT pg_temp.session(-40, 40) \gset
SELECT pg_temp.exchange(-40, 1, digest => NULL), pg_temp.exchange(-40, 2, digest => NULL, rows => 0, truncated => true),
    pg_temp.exchange(-40, 3, digest => NULL, truncated => true, complete => false),
    pg_temp.exchange(-40, 4, digest => NULL, truncated => true, redacted => true, request_redacted => true),
    pg_temp.exchange(-40, 5, truncated => true) \gset
SELECT item, reason, exchanges FROM pg_temp.plan('{-40}') WHERE item IN ('skipped', 'results without a digest');
SELECT pg_temp.exchange(-40, 6, digest => NULL, truncated => true), pg_temp.exchange(-40, 7, truncated => true, redacted => true),
    pg_temp.exchange(-40, 8, kind => 'copy', digest => NULL, rows => 0, truncated => true, redacted => true) \gset
SELECT exchanges FROM pg_temp.plan('{-40}') WHERE item = 'results without a digest';
SAVEPOINT before;
SELECT pgwire_trace.replay_start('host=192.0.2.1 user=alice', '{-40}');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO before;

-- statements whose text was overwritten, until the name has another
SELECT pg_temp.session(-50, 50) \gset
SELECT pg_temp.exchange(-50, 1, pg_temp.parse('a', 'select 1')), pg_temp.exchange(-50, 2, pg_temp.parse('b', 'select ''***'''), request_redacted => true, redacted => true),
    pg_temp.exchange(-50, 3, pg_temp.run('a')), pg_temp.exchange(-50, 4, pg_temp.run('b')), pg_temp.exchange(-50, 5, pg_temp.parse('b', 'select 2')),
    pg_temp.exchange(-50, 6, pg_temp.run('b')) \gset
SELECT * FROM pg_temp.plan('{-50}') WHERE item IN ('to send', 'skipped');

-- read-only, rolled back, other users
SELECT pg_temp.session(-60, 60) \gset
SELECT count(pg_temp.exchange(-60, no, pg_temp.query(query))) FROM unnest(ARRAY['select 1', 'delete from t', 'vacuum', 'reset session authorization',
    'select 1; commit; select 2']) WITH ORDINALITY q (query, no);
SELECT * FROM pg_temp.plan('{-60}', 'read_only => true') WHERE item IN ('to send', 'filtered', 'skipped');
SELECT * FROM pg_temp.plan('{-60}', $$options => '{"rollback": true}'$$) WHERE item IN ('to send', 'filtered', 'skipped');
SELECT * FROM pg_temp.plan('{-60,-18}', $$options => '{"session_authorization": true}'$$) WHERE item IN ('to send', 'filtered', 'skipped');

-- rules about noise
INSERT INTO pgwire_trace.query_text (query_hash, query, normalised, normalised_hash, first_seen, last_used)
VALUES (-1, NULL, 'select now()', -1, '2001-01-01', '2001-01-01'), (-2, 'select now() ', 'select now()', -1, '2001-01-01', '2001-01-01');
INSERT INTO pgwire_trace.replay_noise (normalised_hash, column_name) VALUES (-1, 'now'), (-1, '#2');
SELECT pg_temp.session(-70, 70) \gset
SELECT pg_temp.exchange(-70, 1, hash => -1), pg_temp.exchange(-70, 2, hash => -2), pg_temp.exchange(-70, 3, hash => -3) \gset
SELECT item, exchanges FROM pg_temp.plan('{-70}') WHERE item = 'with noise rules';
SELECT item, exchanges FROM pg_temp.plan('{-70}', $$options => '{"noise_rules": false}'$$) WHERE item = 'with noise rules';
SELECT item, exchanges FROM pg_temp.plan('{-70}', 'compare => 3') WHERE item = 'with noise rules';

-- a cancel request goes with the exchange that it hit, or is skipped; of two for one it is the first
SELECT pg_temp.session(-80, 80), pg_temp.session(-81, 81, end_reason => 'cancel_request'), pg_temp.session(-82, 81, end_reason => 'cancel_request'),
    pg_temp.session(-83, 81, end_reason => 'cancel_request') \gset
SELECT pg_temp.exchange(-80, 1), pg_temp.exchange(-81, 0, kind => 'cancel', second => 2, cancelled => -80),
    pg_temp.exchange(-82, 0, kind => 'cancel', second => 1.5, cancelled => -80), pg_temp.exchange(-83, 0, kind => 'cancel', cancelled => -999) \gset
SELECT * FROM pg_temp.plan('{-80}') WHERE item IN ('captured', 'to send', 'skipped');
SELECT * FROM pg_temp.plan('{-81}') WHERE item IN ('captured', 'to send', 'skipped');
SELECT * FROM pg_temp.plan('{-83}') WHERE item IN ('captured', 'to send', 'skipped');
ROLLBACK;
