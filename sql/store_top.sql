-- What takes the time, and what clients do in vain, of sessions that are made here.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
SET timezone = 'UTC';

BEGIN;
INSERT INTO pgwire_trace.session (session_id, started_at, ended_at, user_name, database_name, application_name,
        exchange_count, request_bytes, response_bytes, dropped_exchanges, is_desynchronised, end_reason, journal_series)
SELECT -n, '2001-01-01', '2001-01-02', 'alice', 'app', 'shop', 0, 0, 0, 0, false, 'terminate', 0
FROM generate_series(1, 9) n;
INSERT INTO pgwire_trace.query_text (query_hash, query, normalised, normalised_hash, first_seen, last_used)
VALUES (-1, NULL, 'select $1', -1, '2001-01-01', '2001-01-01'),
       (-2, 'select $1 ', 'select $1', -1, '2001-01-01', '2001-01-01'),
       (-3, 'update t set a = 5', 'update t set a = $1', -3, '2001-01-01', '2001-01-01');

-- messages of a client
CREATE FUNCTION pg_temp.message(type text, VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN (SELECT convert_to(type, 'UTF8') || int4send(length(body) + 4) || body
    FROM (SELECT coalesce(string_agg(part, '' ORDER BY o), '') AS body
        FROM unnest(parts) WITH ORDINALITY AS u(part, o)) AS b);
CREATE FUNCTION pg_temp.z(string text) RETURNS bytea IMMUTABLE
RETURN convert_to(string, 'UTF8') || '\x00'::bytea;
CREATE FUNCTION pg_temp.parse(name text, query text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('P', pg_temp.z(name), pg_temp.z(query), '\x0000');
CREATE FUNCTION pg_temp.run(name text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('B', pg_temp.z(''), pg_temp.z(name), '\x000000000000')
    || pg_temp.message('E', pg_temp.z(''), '\x00000000');
CREATE FUNCTION pg_temp.describe(name text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('D', 'S', pg_temp.z(name));
CREATE FUNCTION pg_temp.sync() RETURNS bytea IMMUTABLE RETURN '\x5300000004'::bytea;

CREATE FUNCTION pg_temp.exchange(session bigint, no bigint, took float8, kind text = 'query', hash bigint = -1,
    request bytea = NULL, thought float8 = 1, sqlstate text = NULL, rows bigint = 1, status text = 'I',
    tag text = 'SELECT 1', response_bytes bigint = 100, is_complete boolean = true) RETURNS void
LANGUAGE sql AS $$
INSERT INTO pgwire_trace.exchange (session_id, exchange_no, started_at, first_response_at, finished_at, kind, query,
        query_hash, statement_count, row_count, data_row_count, request, request_bytes, response_bytes, is_complete,
        think_us, sqlstate, transaction_status, command_tag)
VALUES (session, no, '2001-01-01', '2001-01-01'::timestamptz + took / 2 * interval '1 ms',
        '2001-01-01'::timestamptz + took * interval '1 ms', kind, 'q' || hash, hash, 1, rows, rows, request, 50,
        response_bytes, is_complete, thought * 1000, sqlstate, status::"char", tag)
$$;

-- 100 calls of one normalised text, by two texts: 1 to 100 ms, three errors
SELECT count(pg_temp.exchange(-1, n, n, hash => CASE WHEN n % 2 = 0 THEN -1 ELSE -2 END,
    sqlstate => CASE WHEN n > 97 THEN '22012' END)) FROM generate_series(1, 100) n;
SELECT count(pg_temp.exchange(-1, 100 + n, 0.5, hash => -3, rows => 2, thought => NULL, tag => 'UPDATE 2'))
FROM generate_series(1, 4) n;
-- neither of these is a call that counts
SELECT pg_temp.exchange(-1, 200, 1000, is_complete => false) \gset
SELECT pg_temp.exchange(-1, 201, 1000, hash => NULL) \gset

SELECT * FROM pgwire_trace.top_query WHERE normalised_hash < 0 ORDER BY total_ms DESC \gx
SELECT * FROM pgwire_trace.top_application WHERE user_name = 'alice' AND application_name = 'shop' \gx
SELECT * FROM pgwire_trace.query_latency WHERE normalised_hash < 0 ORDER BY 1, 3;

-- steps of a request; what is cut off ends them
SELECT * FROM pgwire_trace.request_steps(pg_temp.parse('s', 'select 1') || pg_temp.describe('s') || pg_temp.run('s')
    || pg_temp.message('C', 'P', pg_temp.z('p')) || pg_temp.sync() || '\x50000000');
SELECT count(*) FROM pgwire_trace.request_steps('');
SELECT count(*) FROM pgwire_trace.request_steps('\x50ffffffff');

-- findings, a session each
SELECT count(pg_temp.exchange(-2, n, 1, 'extended', request => pg_temp.parse('', 'select 1') || pg_temp.run('')
    || pg_temp.sync(), tag => 'UPDATE 1')) FROM generate_series(1, 5) n;
SELECT count(pg_temp.exchange(-3, n, 1, 'extended', request => pg_temp.run('s') || pg_temp.sync(), thought => NULL,
    tag => 'UPDATE 1')) FROM generate_series(1, 6) n;
SELECT pg_temp.exchange(-4, 1, 1, 'extended', request => pg_temp.parse('s', 'select 1') || pg_temp.sync()) \gset
SELECT pg_temp.exchange(-4, 2, 1, 'extended', request => pg_temp.parse('t', 'select 2') || pg_temp.run('t') || pg_temp.sync()) \gset
SELECT count(pg_temp.exchange(-5, n, 1, 'extended', request => CASE WHEN n IN (1, 4) THEN pg_temp.parse('s', 'select 1')
    ELSE '' END || pg_temp.describe('s') || pg_temp.run('s') || pg_temp.sync())) FROM generate_series(1, 5) n;
SELECT count(pg_temp.exchange(-6, n, 0.25, hash => CASE WHEN n = 11 THEN -3 ELSE -1 END))
FROM generate_series(1, 20) n;
SELECT pg_temp.exchange(-7, 1, 1000, rows => 50000, response_bytes => 5000000, sqlstate => '57014') \gset
SELECT pg_temp.exchange(-7, 2, 1000, rows => 50000, response_bytes => 5000000) \gset
SELECT pg_temp.exchange(-7, 3, 1000, rows => 50000, response_bytes => 3000000, is_complete => false) \gset
SELECT pg_temp.exchange(-8, 1, 1, status => 'T') \gset
SELECT pg_temp.exchange(-8, 2, 1, status => 'I', thought => 1500) \gset
SELECT pg_temp.exchange(-8, 3, 1, thought => 60000) \gset
SELECT pg_temp.exchange(-8, 4, 1, status => 'E') \gset
SELECT pg_temp.exchange(-8, 5, 1, thought => 3000) \gset
SELECT * FROM pgwire_trace.finding WHERE session_id BETWEEN -9 AND -2 ORDER BY session_id DESC, finding;

-- what looks like a finding and is none, a session each
CREATE FUNCTION pg_temp.session(id bigint, end_reason text = 'terminate') RETURNS bigint LANGUAGE sql AS $$
INSERT INTO pgwire_trace.session (session_id, started_at, exchange_count, request_bytes, response_bytes,
        dropped_exchanges, is_desynchronised, end_reason, journal_series)
VALUES (id, '2001-01-01', 0, 0, 0, 0, false, end_reason, 0) RETURNING session_id
$$;
SELECT count(pg_temp.session(-n)) FROM generate_series(11, 21) n;
-- parsed four times
SELECT count(pg_temp.exchange(-11, n, 1, 'extended', request => pg_temp.parse('', 'select 1') || pg_temp.run('')
    || pg_temp.sync(), tag => 'UPDATE 1')) FROM generate_series(1, 4) n;
-- two runs of four statements each, waited for in between
SELECT count(pg_temp.exchange(-12, n, 1, 'extended', request => pg_temp.run('s') || pg_temp.sync(),
    thought => CASE WHEN n = 5 THEN 1 END, tag => 'UPDATE 1')) FROM generate_series(1, 9) n;
-- the Parse failed; the statement is bound in an exchange of another kind
SELECT pg_temp.exchange(-13, 1, 1, 'extended', request => pg_temp.parse('bad', 'selec') || pg_temp.sync(), sqlstate => '42601') \gset
SELECT pg_temp.exchange(-13, 2, 1, 'extended', request => pg_temp.parse('c', 'copy t from stdin') || pg_temp.sync()) \gset
SELECT pg_temp.exchange(-13, 3, 1, 'copy', request => pg_temp.run('c') || pg_temp.sync() || '\x6300000004'::bytea || pg_temp.sync()) \gset
-- the next exchanges are not in the record; the request's end is not
SELECT pg_temp.exchange(-14, 1, 1, 'extended', request => pg_temp.parse('s', 'select 1') || pg_temp.describe('s') || pg_temp.sync()) \gset
SELECT pg_temp.exchange(-14, 3, 1, 'extended', request => pg_temp.describe('s') || pg_temp.sync()) \gset
SELECT pg_temp.exchange(-14, 4, 1, 'extended', request => pg_temp.parse('t', 'select 2') || '\x42000000') \gset
-- its session may still bind it
SELECT pg_temp.session(-22, NULL) \gset
SELECT pg_temp.exchange(-22, 1, 1, 'extended', request => pg_temp.parse('s', 'select 1') || pg_temp.sync()) \gset
-- described once for each Parse, or behind a Close
SELECT count(pg_temp.exchange(-15, n, 1, 'extended', request => CASE WHEN n < 3 THEN pg_temp.parse('s', 'select 1')
    WHEN n = 3 THEN pg_temp.message('C', 'S', pg_temp.z('s')) ELSE '' END || pg_temp.describe('s') || pg_temp.run('s')
    || pg_temp.sync())) FROM generate_series(1, 3) n;
-- the same SELECT nine times, with two rows, or between others
SELECT count(pg_temp.exchange(-16, n, 0.25)) FROM generate_series(1, 9) n;
SELECT count(pg_temp.exchange(-17, n, 0.25, rows => 2, tag => 'SELECT 2')) FROM generate_series(1, 20) n;
SELECT count(pg_temp.exchange(-18, n, 0.25, hash => CASE WHEN n % 2 = 0 THEN -1 ELSE -3 END)) FROM generate_series(1, 30) n;
-- a large result that was read; one in parts; one that the server cut off
SELECT pg_temp.exchange(-19, 1, 1000, rows => 50000, response_bytes => 5000000) \gset
INSERT INTO pgwire_trace.exchange (session_id, exchange_no, part_no, started_at, finished_at, kind, statement_count,
        row_count, data_row_count, request_bytes, response_bytes, is_complete)
SELECT -19, 2, part, '2001-01-01', '2001-01-01'::timestamptz + part * interval '1 min', 'query', 1, 0, 5000, 50, 2000000,
    part = 3 FROM generate_series(1, 3) part;
SELECT pg_temp.session(-23, 'server_closed') \gset
SELECT pg_temp.exchange(-23, 1, 1000, rows => 50000, response_bytes => 5000000, is_complete => false) \gset
-- idle outside a transaction, or for less than a second in one
SELECT pg_temp.exchange(-20, 1, 1) \gset
SELECT pg_temp.exchange(-20, 2, 1, thought => 60000, status => 'T') \gset
SELECT pg_temp.exchange(-20, 3, 1, thought => 900, status => 'T') \gset
SELECT * FROM pgwire_trace.finding WHERE session_id BETWEEN -23 AND -10;

-- texts that differ in constants alone are the same SELECT, also by Parse messages
SELECT count(pg_temp.exchange(-21, n, 0.25, 'extended', hash => CASE WHEN n % 2 = 0 THEN -1 ELSE -2 END,
    request => pg_temp.parse('', 'select ' || n) || pg_temp.run('') || pg_temp.sync())) FROM generate_series(1, 10) n;
SELECT finding, exchanges, occurrences FROM pgwire_trace.finding WHERE session_id = -21;
-- only the first 100 are named
SELECT count(pg_temp.exchange(-21, n, 0.25, hash => -3, thought => 1)) FROM generate_series(100, 250) n;
SELECT finding, cardinality(exchanges), exchanges[100], occurrences FROM pgwire_trace.finding
WHERE session_id = -21 AND occurrences > 100;
SELECT * FROM pgwire_trace.session_findings(-99);
ROLLBACK;
