-- The view log: what it computes from rows that are made here.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
SET timezone = 'UTC';

BEGIN;
INSERT INTO pgwire_trace.session (session_id, started_at, user_name, database_name, application_name,
        client_addr, exchange_count, request_bytes, response_bytes, dropped_exchanges,
        is_desynchronised, journal_series)
VALUES (-7, '2001-01-01', 'alice', 'app', 'shop', '192.0.2.1', 0, 0, 0, 0, false, 0);

-- when it began, how long it took, and how long the client had thought, in milliseconds
CREATE FUNCTION pg_temp.exchange(no bigint, began float8, took float8, kind text,
                                 is_complete boolean DEFAULT true, part integer DEFAULT 1,
                                 session bigint DEFAULT -7, query text DEFAULT 'q',
                                 thought float8 DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
INSERT INTO pgwire_trace.exchange (recorded_at, session_id, exchange_no, part_no, started_at,
        first_response_at, finished_at, kind, query, statement_count, row_count, data_row_count,
        request_bytes, response_bytes, is_complete, is_truncated, pairing_uncertain, think_us)
SELECT at + took * interval '1 ms', session, no, part, at, at + took / 2 * interval '1 ms',
       at + took * interval '1 ms', kind, query, 1, 1, 1, 10, 20, is_complete, false, false,
       thought * 1000
FROM (SELECT '2001-01-01'::timestamptz + began * interval '1 ms' AS at) began
$$;
SELECT pg_temp.exchange(0, 0, 10, 'startup') \gset
SELECT pg_temp.exchange(1, 12.5, 1.25, 'query', thought => 2.5) \gset
-- is no answer
SELECT pg_temp.exchange(2, 14, 0, 'async') \gset
SELECT pg_temp.exchange(3, 20, 100, 'query', thought => 6.25) \gset
-- sent without waiting
SELECT pg_temp.exchange(4, 21, 99, 'extended') \gset
-- in parts
SELECT pg_temp.exchange(5, 200, 1000, 'copy', false, thought => 80) \gset
SELECT pg_temp.exchange(5, 1200, 500, 'copy', true, 2) \gset
-- never ended
SELECT pg_temp.exchange(6, 1800, 5, 'query', false, thought => 100) \gset
-- its session is not there
SELECT pg_temp.exchange(0, 1, 1, 'query', true, 1, -8, repeat('ä', 1001)) \gset

SELECT exchange_no, kind, duration_ms, first_response_ms, think_ms
FROM pgwire_trace.log WHERE session_id = -7 ORDER BY exchange_no, started_at;
SELECT user_name, database_name, application_name, client_addr, kind, query, row_count,
       request_bytes, response_bytes
FROM pgwire_trace.log WHERE session_id = -7 AND exchange_no = 1;
SELECT user_name, length(query) AS characters, octet_length(query) AS bytes
FROM pgwire_trace.log WHERE session_id = -8;

-- indexes serve: a session and its exchanges by number, and nobody reads query_text for
-- a count
SET LOCAL enable_seqscan = off;
SELECT count(pg_temp.exchange(n, 10000 + n, n % 7, 'query', true, 1, -9))
FROM generate_series(0, 999) n;
CREATE FUNCTION pg_temp.plan_line(query text, pattern text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ pattern THEN
            RETURN NEXT trim(regexp_replace(line, 'stored_exchange_\d+( x_\d+)?', 'stored_exchange_N', 'g'));
        END IF;
    END LOOP;
END $$;
SELECT pg_temp.plan_line('SELECT * FROM pgwire_trace.log WHERE session_id = -9 AND exchange_no = 7', 'stored_exchange_\d|Index Cond.*exchange');
SELECT pg_temp.plan_line('SELECT count(*) FROM pgwire_trace.exchange', 'query_text');
-- these read the sessions that are asked for, and no other
SELECT pg_temp.plan_line('SELECT * FROM pgwire_trace.' || v || ' WHERE session_id = -9', 'Index Cond|Seq Scan')
FROM unnest('{statement,finding}'::text[]) v;
ROLLBACK;
