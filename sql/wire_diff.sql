-- Where two sessions differ; here of some made by hand.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
\pset null NULL

CREATE FUNCTION pg_temp.message(type text, VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN (SELECT convert_to(type, 'UTF8') || int4send(length(body) + 4) || body
	FROM (SELECT coalesce(string_agg(part, '' ORDER BY o), '') AS body
		FROM unnest(parts) WITH ORDINALITY AS u(part, o)) AS b);
CREATE FUNCTION pg_temp.z(string text) RETURNS bytea IMMUTABLE
RETURN convert_to(string, 'UTF8') || '\x00'::bytea;

-- in one transaction that is rolled back, so that nothing of it stays in the record
BEGIN;
CREATE FUNCTION pg_temp.record(session bigint, exchange bigint, request bytea, response bytea,
	part int = 1, left_out bigint = 0, digest bigint = NULL)
RETURNS void LANGUAGE sql BEGIN ATOMIC
	INSERT INTO pgwire_trace.exchange (recorded_at, session_id, exchange_no, part_no, started_at,
		finished_at, kind, query, statement_count, row_count, data_row_count, request_bytes,
		response_bytes, is_complete, is_truncated, pairing_uncertain, request, response, row_digest, row_set_digest)
	VALUES ('2000-01-01', session, exchange, part, '2000-01-01', '2000-01-01', 'query', 'select', 0, 0,
		0, coalesce(length(request), 9), coalesce(length(response), 0) + left_out, true,
		left_out > 0, false, request, response, digest, digest);
END;

-- every kind of difference in one exchange; the other is the same in both
SELECT pg_temp.record(-1, 1, pg_temp.message('Q', pg_temp.z('select 1')),
	pg_temp.message('D', '\x0002', '\x00000001', 'a', '\xffffffff')
	|| pg_temp.message('N', pg_temp.z('SNOTICE'), pg_temp.z('Mx'), pg_temp.z('L77'), '\x00')
	|| pg_temp.message('A', '\x00000007', pg_temp.z('c'), pg_temp.z(''))
	|| pg_temp.message('C', pg_temp.z('SELECT 1')) || pg_temp.message('Z', 'I'));
SELECT pg_temp.record(-2, 1, pg_temp.message('Q', pg_temp.z('select 1')),
	pg_temp.message('D', '\x0002', '\x00000001', 'b', '\x00000000')
	|| pg_temp.message('N', pg_temp.z('SNOTICE'), pg_temp.z('Mx'), pg_temp.z('L78'), '\x00')
	|| pg_temp.message('D', '\x0002', '\x00000001', 'a', '\x00000000')
	|| pg_temp.message('A', '\x00000008', pg_temp.z('c'), pg_temp.z(''))
	|| pg_temp.message('S', pg_temp.z('a'), pg_temp.z('b'))
	|| pg_temp.message('C', pg_temp.z('SELECT 2')) || pg_temp.message('Z', 'I'));
SELECT pg_temp.record(s, 2, pg_temp.message('Q', pg_temp.z('same')), pg_temp.message('Z', 'I'))
FROM (VALUES (-1), (-2)) AS v(s);
SELECT * FROM pgwire_trace.session_diff(-1, -2);
-- the other way round
SELECT exchange_no, message_no, what FROM pgwire_trace.session_diff(-2, -1);
SELECT count(*) FROM pgwire_trace.session_diff(-1, -1);

-- an exchange in parts is the same as one in one piece
SELECT pg_temp.record(-3, 1, pg_temp.message('Q', pg_temp.z('copy')),
	pg_temp.message('d', 'one') || pg_temp.message('d', 'two') || pg_temp.message('Z', 'I'));
SELECT pg_temp.record(-4, 1, pg_temp.message('Q', pg_temp.z('copy')), pg_temp.message('d', 'one'));
SELECT pg_temp.record(-4, 1, '', pg_temp.message('d', 'two') || pg_temp.message('Z', 'I'), 2);
SELECT count(*) FROM pgwire_trace.session_diff(-3, -4);

-- bytes that do not parse, of a type that is not known, that are no protocol
SELECT pg_temp.record(-5, 1, pg_temp.message('Q', 'no end'),
	pg_temp.message('?', 'abc') || '\x5affffffff61');
SELECT pg_temp.record(-6, 1, pg_temp.message('Q', 'no END'),
	pg_temp.message('?', 'abd') || '\x5affffffff62');
SELECT what, left_body, right_body FROM pgwire_trace.session_diff(-5, -6);

-- bytes that were left out: all, or some, of which the digest knows
SELECT pg_temp.record(-7, 1, NULL, NULL, digest => 1);
SELECT pg_temp.record(-8, 1, NULL, NULL, digest => 1);
SELECT pg_temp.record(-8, 2, NULL, NULL);
SELECT * FROM pgwire_trace.session_diff(-7, -8);
SELECT pg_temp.record(s, 1, pg_temp.message('Q', pg_temp.z('select 1')),
	pg_temp.message('D', '\x0001', '\x00000001', 'a'), left_out => 100, digest => s)
FROM (VALUES (-9), (-10)) AS v(s);
SELECT exchange_no, message_no, what FROM pgwire_trace.session_diff(-9, -10);
SELECT count(*) FROM pgwire_trace.session_diff(-9, -9);

-- requests that differ in constants alone belong together, whatever stands between
SELECT pg_temp.record(-11, no, pg_temp.message('Q', pg_temp.z(query)), pg_temp.message('Z', 'I'))
FROM (VALUES (1, 'select 1'), (2, 'update t set a = 1'), (3, 'commit')) AS v(no, query);
SELECT pg_temp.record(-12, no, pg_temp.message('Q', pg_temp.z(query)), pg_temp.message('Z', 'I'))
FROM (VALUES (1, 'select 1'), (2, 'vacuum'), (3, 'update t set a = 2'), (4, 'commit')) AS v(no, query);
SELECT exchange_no, message_no, what, left_body, right_body
FROM pgwire_trace.session_diff(-11, -12);
ROLLBACK;
