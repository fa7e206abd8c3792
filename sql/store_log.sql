-- The view log: what it computes from rows that are made here.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
SET timezone = 'UTC';

BEGIN;
CREATE TABLE pgwire_trace.exchange_2001 (LIKE pgwire_trace.exchange INCLUDING ALL);
ALTER TABLE pgwire_trace.exchange ATTACH PARTITION pgwire_trace.exchange_2001
    FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
INSERT INTO pgwire_trace.session (session_id, started_at, user_name, database_name, application_name,
        client_addr, exchange_count, request_bytes, response_bytes, dropped_exchanges,
        is_desynchronised, journal_series)
VALUES (-7, '2001-01-01', 'alice', 'app', 'shop', '192.0.2.1', 0, 0, 0, 0, false, 0);

-- when it began and how long it took, in milliseconds
CREATE FUNCTION pg_temp.exchange(no bigint, began float8, took float8, kind text,
                                 is_complete boolean DEFAULT true, part integer DEFAULT 1,
                                 session bigint DEFAULT -7, query text DEFAULT 'q') RETURNS void
LANGUAGE sql AS $$
INSERT INTO pgwire_trace.exchange (recorded_at, session_id, exchange_no, part_no, started_at,
        first_response_at, finished_at, kind, query, statement_count, row_count, data_row_count,
        request_bytes, response_bytes, is_complete, is_truncated, pairing_uncertain)
SELECT at + took * interval '1 ms', session, no, part, at, at + took / 2 * interval '1 ms',
       at + took * interval '1 ms', kind, query, 1, 1, 1, 10, 20, is_complete, false, false
FROM (SELECT '2001-01-01'::timestamptz + began * interval '1 ms' AS at) began
$$;
SELECT pg_temp.exchange(0, 0, 10, 'startup') \gset
SELECT pg_temp.exchange(1, 12.5, 1.25, 'query') \gset
-- is no answer
SELECT pg_temp.exchange(2, 14, 0, 'async') \gset
SELECT pg_temp.exchange(3, 20, 100, 'query') \gset
-- sent without waiting
SELECT pg_temp.exchange(4, 21, 99, 'extended') \gset
-- in parts
SELECT pg_temp.exchange(5, 200, 1000, 'copy', false) \gset
SELECT pg_temp.exchange(5, 1200, 500, 'copy', true, 2) \gset
-- never ended
SELECT pg_temp.exchange(6, 1800, 5, 'query', false) \gset
-- its session is not there
SELECT pg_temp.exchange(0, 1, 1, 'query', true, 1, -8, repeat('ä', 1001)) \gset

SELECT exchange_no, kind, duration_ms, first_response_ms, think_ms
FROM pgwire_trace.log WHERE session_id = -7 ORDER BY exchange_no, started_at;
SELECT user_name, database_name, application_name, client_addr, kind, query, row_count,
       request_bytes, response_bytes
FROM pgwire_trace.log WHERE session_id = -7 AND exchange_no = 1;
SELECT user_name, length(query) AS characters, octet_length(query) AS bytes
FROM pgwire_trace.log WHERE session_id = -8;

-- think_ms is computed for the rows that are shown, and not where nobody asks
SET LOCAL enable_seqscan = off;
SELECT count(pg_temp.exchange(n, 10000 + n, n % 7, 'query', true, 1, -9))
FROM generate_series(0, 999) n;
ANALYZE pgwire_trace.exchange;
CREATE FUNCTION pg_temp.subquery_loops(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
        IF line ~ 'Limit' THEN
            RETURN NEXT substring(line FROM 'Limit.*');
        END IF;
    END LOOP;
END $$;
SELECT pg_temp.subquery_loops('SELECT * FROM pgwire_trace.log ORDER BY duration_ms DESC NULLS LAST LIMIT 3');
SELECT pg_temp.subquery_loops('SELECT count(*) FROM pgwire_trace.log');
ROLLBACK;
