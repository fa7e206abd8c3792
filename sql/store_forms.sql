-- The row that each form of exchange makes, as far as psql can say it. Forms that need a client of their own
-- (pipelines, portals that are suspended, connections that are cut) are in t/003 and t/009.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
\pset null NULL
SELECT :'HOST' AS main_host, :'PORT' AS main_port, current_setting('pgwire_trace.port') AS side_port \gset
\set side 'host=127.0.0.1 application_name=store_forms dbname=' :DBNAME ' user=' :USER ' port=' :side_port
\set main 'host=' :main_host ' port=' :main_port ' dbname=' :DBNAME ' user=' :USER

\c :side
SET client_encoding = 'UTF8';
-- a statement, none, several of which one fails
SELECT 1;
;
SELECT 1\; SELECT 2 WHERE false\; SELECT generate_series(1, 3);
SELECT 1\; SELECT 1/0\; SELECT 3;
-- a block, an error in it
BEGIN;
CREATE TABLE forms (n int PRIMARY KEY CHECK (n < 100), s text);
INSERT INTO forms SELECT n, 'row ' || n FROM generate_series(1, 20) n;
SAVEPOINT a;
INSERT INTO forms VALUES (1, 'again');
SELECT 'refused';
ROLLBACK TO a;
COMMIT;
-- a cursor
BEGIN;
DECLARE c CURSOR FOR SELECT n FROM forms ORDER BY n;
FETCH 2 FROM c;
MOVE 3 IN c;
COMMIT;
-- COPY: in, out, failing on either side
COPY forms FROM STDIN;
30	thirty
31	\N
\.
COPY (SELECT * FROM forms WHERE n >= 30 ORDER BY n) TO STDOUT;
COPY forms FROM STDIN;
40	forty
500	too much
\.
COPY (SELECT 1 / (2 - n) FROM generate_series(1, 3) n) TO STDOUT;
COPY forms (n) FROM STDIN\; SELECT 'behind COPY';
41
\.
-- notices and notifications inside a cycle
DO $$ BEGIN RAISE NOTICE 'a notice'; END $$;
LISTEN forms;
\o /dev/null
NOTIFY forms, 'said';
\o
-- statements of SQL's own
PREPARE p (int) AS SELECT s FROM forms WHERE n = $1;
EXECUTE p(3);
DEALLOCATE p;
-- function calls, one of which fails
\lo_unlink 4000000000
-- Parse, Describe, Sync
SELECT n AS number, s FROM forms \gdesc
-- a password
CREATE ROLE regress_forms PASSWORD 'Zq7secretZq7';
DROP ROLE regress_forms;
DROP TABLE forms;
\c :main
-- the connection's end comes by itself
DO $$ BEGIN
	FOR i IN 1 .. 600 LOOP
		PERFORM pgwire_trace.flush();
		EXIT WHEN EXISTS (SELECT FROM pgwire_trace.session
			WHERE session_id = pgwire_trace.last_session('store_forms') AND ended_at IS NOT NULL);
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
SELECT pgwire_trace.last_session('store_forms') AS s \gset

-- what psql asks by itself is not the same in all its versions
SELECT kind, left(query, 70) AS query, command_tag AS tag, statement_count AS st, row_count AS rows, data_row_count AS data,
	sqlstate, transaction_status AS status, is_complete AS complete, is_redacted AS redacted
FROM pgwire_trace.exchange
WHERE session_id = :s AND coalesce(query, '') !~ 'pg_catalog' ORDER BY exchange_no;
SELECT sqlstate, error_message FROM pgwire_trace.exchange
WHERE session_id = :s AND error_message IS NOT NULL ORDER BY exchange_no;
-- true sizes, all bytes, digests where there were rows or data of COPY
SELECT count(*) FROM pgwire_trace.exchange
WHERE session_id = :s AND (is_truncated OR pairing_uncertain OR request_bytes <> length(request)
	OR response_bytes <> length(response) OR (row_digest IS NULL) <> (data_row_count = 0 AND coalesce(query, '') !~ 'TO STDOUT')
	OR first_response_at < started_at OR finished_at < first_response_at);
SELECT end_reason, dropped_exchanges, is_desynchronised,
	exchange_count = (SELECT count(*) FROM pgwire_trace.exchange WHERE session_id = :s) AS all_are_there
FROM pgwire_trace.session WHERE session_id = :s;
