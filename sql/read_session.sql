-- What a session did, read back: by statement, by result, as a script, as a plan.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
\pset null NULL
SELECT :'HOST' AS main_host, :'PORT' AS main_port, current_setting('pgwire_trace.port') AS side_port \gset
\set side 'host=127.0.0.1 application_name=read_session dbname=' :DBNAME ' user=' :USER ' port=' :side_port
\set main 'host=' :main_host ' port=' :main_port ' dbname=' :DBNAME ' user=' :USER

\c :side
CREATE TABLE read_t (n int PRIMARY KEY, t text, at timestamptz);
SET datestyle = 'SQL, DMY';
PREPARE "Add" (int, text) AS INSERT INTO read_t VALUES ($1, $2, '2026-02-01 00:00+00') RETURNING *;
EXECUTE "Add"(1, 'it''s :n');
EXECUTE "Add"(1, 'again');
SELECT 1 AS one\; SELECT E'a\\b' AS "Two Words", NULL::numeric(7,2)\; SELECT array[1,2]::text[];
COPY read_t (n, t) FROM STDIN;
2	two
3	\N
\.
COPY read_t (n, t) FROM STDIN;
x	not a number
\.
COPY (SELECT n, t FROM read_t ORDER BY n) TO STDOUT;
BEGIN;
DECLARE c CURSOR FOR SELECT n FROM read_t ORDER BY n;
FETCH 2 FROM c;
SELECT 1/0;
SELECT 'not run';
ROLLBACK;
SELECT * FROM read_t WHERE n = 2 OR t = 'it''s :n' ORDER BY n;
DEALLOCATE ALL;
DROP TABLE read_t;
SELECT '

-- nobody ends this';
\c :main
SELECT pgwire_trace.flush();
SELECT pgwire_trace.last_session('read_session') AS s \gset

SELECT exchange_no AS no, statement_no AS st, query, prepared_query, command_tag, row_count AS rows,
	data_row_count AS data, sqlstate
FROM pgwire_trace.statement WHERE session_id = :s ORDER BY exchange_no, statement_no;
SELECT count(*) FROM pgwire_trace.statement_rows(:s, 6);

-- columns and rows; the third statement, and one without a result
SELECT st, c.* FROM generate_series(1, 4) st, LATERAL pgwire_trace.result_columns(:s, 6, st) c;
SELECT st, r.* FROM generate_series(1, 4) st, LATERAL pgwire_trace.result(:s, 6, st) r;
SELECT * FROM pgwire_trace.result_columns(:s, 2);
SELECT * FROM pgwire_trace.result(:s, 2);
SELECT exchange_no, r.* FROM pgwire_trace.exchange, LATERAL pgwire_trace.result(:s, exchange_no) r
WHERE session_id = :s AND command_tag IN ('FETCH 2', 'SELECT 2');

-- as the caller's types, read under the session's settings
SELECT pg_typeof(n), n, t, at = '2026-02-01 00:00+00' AS is_february
FROM pgwire_trace.result_set(:s, 4) AS r(n int, t varchar, at timestamptz);
SELECT * FROM pgwire_trace.result_set(:s, 4) AS r(n int, t text, at date, more int);
SELECT * FROM pgwire_trace.result_set(:s, 6, 2) AS r(t bytea, n float8);
SELECT * FROM pgwire_trace.result_set(:s, 99) AS r(n int);
SELECT * FROM pgwire_trace.result_set(:s, 4);
CREATE DOMAIN read_positive AS int CHECK (value > 0);
SELECT * FROM pgwire_trace.result_set(:s, 4) AS r(n read_positive, t text, at text);
DROP DOMAIN read_positive;

-- as a script; from 18 on the server tells the search path too
SELECT regexp_replace(regexp_replace(line, '^-- session .*', '-- session'), '(^-- exchange \d+), [-0-9: .+]+', '\1') AS line
FROM pgwire_trace.psql_script(:s) line WHERE line !~ 'search_path';
SELECT count(*) FROM pgwire_trace.psql_script(-1);

-- as plans: the table is gone, this is no statement with a plan, these are several
SELECT * FROM pgwire_trace.explain(:s, 4);
SELECT * FROM pgwire_trace.explain(:s, 1);
SELECT * FROM pgwire_trace.explain(:s, 6, 3);
SELECT * FROM pgwire_trace.explain(:s, 6, 4);

-- arguments that are NULL ask for nothing
SELECT count(*) FROM pgwire_trace.parameters(:s, NULL);
SELECT count(*) FROM pgwire_trace.statement_rows(NULL);
SELECT count(*) FROM pgwire_trace.psql_script(NULL);
