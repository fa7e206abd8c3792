-- Times decode_messages() beside two functions that return as many rows with one jsonb, built once:
-- with the same columns around it, and alone. bench/codec puts the library and the number of rounds in.
SET client_min_messages = warning;
CREATE EXTENSION pgwire_trace;
CREATE FUNCTION same_rows(rows int, jsonb, OUT message_no int, OUT at_byte bigint, OUT type "char",
	OUT name text, OUT length bigint, OUT body jsonb)
RETURNS SETOF record AS ':library', 'bench_same_rows' LANGUAGE C;
CREATE FUNCTION same_jsonb(rows int, jsonb) RETURNS SETOF jsonb AS ':library', 'bench_same_jsonb' LANGUAGE C;
CREATE FUNCTION clock() RETURNS float8 AS ':library', 'bench_clock' LANGUAGE C;
CREATE FUNCTION message(type text, body bytea) RETURNS bytea IMMUTABLE
RETURN convert_to(type, 'UTF8') || int4send(length(body) + 4) || body;
CREATE FUNCTION value(text) RETURNS bytea IMMUTABLE
RETURN CASE WHEN $1 IS NULL THEN '\xffffffff' ELSE int4send(length($1)) || convert_to($1, 'UTF8') END;
CREATE FUNCTION data_row(VARIADIC text[]) RETURNS bytea IMMUTABLE
RETURN message('D', int2send(cardinality($1)::int2)
	|| (SELECT string_agg(value(v), '' ORDER BY o) FROM unnest($1) WITH ORDINALITY AS u(v, o)));
CREATE FUNCTION string(text) RETURNS bytea IMMUTABLE RETURN convert_to($1, 'UTF8') || '\x00';
CREATE FUNCTION row_description(columns int) RETURNS bytea IMMUTABLE
RETURN message('T', int2send(columns::int2) || (SELECT string_agg(convert_to('column' || i, 'UTF8')
	|| '\x00000040010001000000170004ffffffff0000', '' ORDER BY i) FROM generate_series(1, columns) AS i));

CREATE TABLE stream (kind text, rows int, data bytea, direction text DEFAULT 'B', phase text DEFAULT 'normal');
ALTER TABLE stream ALTER data SET STORAGE EXTERNAL;
INSERT INTO stream (kind, rows, data)
SELECT 'rows_of_3_columns', 100000, string_agg(data_row(i::text, 'name of ' || i, '2026-11-21 08:00:00'), '')
FROM generate_series(1, 100000) AS i;
INSERT INTO stream (kind, rows, data)
SELECT 'rows_of_10_columns', 50000, string_agg(data_row(i::text, 'name of ' || i, '2026-11-21 08:00:00', 't',
	'', '3.1415', 'some text', NULL, 'x', '1234567'), '')
FROM generate_series(1, 50000) AS i;
INSERT INTO stream (kind, rows, data)
SELECT 'pgbench_-S', 100000, string_agg(row_description(1) || data_row(i::text)
	|| message('C', convert_to('SELECT 1', 'UTF8') || '\x00') || message('Z', 'I'), '')
FROM generate_series(1, 25000) AS i;
INSERT INTO stream (kind, rows, data)
SELECT 'descriptions_of_3_columns', 20000, string_agg(row_description(3), '')
FROM generate_series(1, 20000);
INSERT INTO stream (kind, rows, data)
SELECT 'rows_that_are_not_ASCII', 50000, string_agg(message('D', '\x0002' || value(i::text) || '\x00000003c3a978'), '')
FROM generate_series(1, 50000) AS i;
INSERT INTO stream (kind, rows, data)
SELECT 'rows_in_binary_format', 50000, string_agg(message('D', '\x000300000004' || int4send(i)
	|| '\x00000008' || int8send(i) || '\xffffffff'), '')
FROM generate_series(1, 50000) AS i;
INSERT INTO stream (kind, rows, data)
SELECT 'rows_of_COPY', 100000, string_agg(message('d',
	convert_to(i || E'\tname of ' || i || E'\t2026-11-21 08:00:00\n', 'UTF8')), '')
FROM generate_series(1, 100000) AS i;
INSERT INTO stream (kind, rows, data)
SELECT 'errors', 20000, string_agg(message('E', string('SERROR') || string('VERROR') || string('C42P01')
	|| string('Mrelation "t' || i || '" does not exist') || string('P15') || string('Fparse_relation.c')
	|| string('L1392') || string('RparserOpenTable') || '\x00'), '')
FROM generate_series(1, 20000) AS i;
INSERT INTO stream (kind, rows, data, direction)
SELECT 'Parse_Bind_Describe_Execute_Sync', 100000, string_agg(message('P', '\x00'
	|| string('select * from t where id = $1') || '\x000100000017') || message('B', '\x0000000100000001'
	|| value(i::text) || '\x00010000') || message('D', '\x5000') || message('E', '\x0000000000')
	|| message('S', ''), ''), 'F'
FROM generate_series(1, 20000) AS i;
INSERT INTO stream (kind, rows, data, phase)
SELECT 'inserts_of_pgoutput', 50000, string_agg(message('d', convert_to('w', 'UTF8') || int8send(i * 100::bigint)
	|| int8send(i * 100::bigint) || int8send(815184000123456 + i) || convert_to('I', 'UTF8')
	|| '\x000040014e000374' || value(i::text) || convert_to('t', 'UTF8') || value('some text ' || i)
	|| convert_to('n', 'UTF8')), ''), 'replication'
FROM generate_series(1, 50000) AS i;

-- the jsonb that is returned again and again is the one nearest to the stream's mean size
CREATE TEMP TABLE figure (kind text, way text, ms float8);
DO $$
DECLARE
	s stream;
	one jsonb;
	times float8[];
BEGIN
	FOR s IN SELECT kind, rows, data || ''::bytea, direction, phase FROM stream LOOP
		SELECT body INTO one
		FROM (SELECT body, pg_column_size(body) AS size, avg(pg_column_size(body)) OVER () AS mean
			FROM pgwire_trace.decode_messages(s.data, s.direction, s.phase)) AS b
		ORDER BY abs(size - mean) LIMIT 1;
		FOR round IN 1 .. :rounds LOOP
			times[1] := clock();
			PERFORM count(*) FROM pgwire_trace.decode_messages(s.data, s.direction, s.phase);
			times[2] := clock();
			PERFORM count(*) FROM same_rows(s.rows, one);
			times[3] := clock();
			PERFORM count(*) FROM same_jsonb(s.rows, one);
			times[4] := clock();
			INSERT INTO figure VALUES
				(s.kind, 'decode', times[2] - times[1]),
				(s.kind, 'rows', times[3] - times[2]),
				(s.kind, 'jsonb', times[4] - times[3]);
		END LOOP;
	END LOOP;
END $$;
SELECT * FROM figure;
