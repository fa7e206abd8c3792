-- The messages of a recorded session, in wire order; here of one made by hand.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
SET timezone = 'UTC';
\pset null NULL

-- entries of chunks: microseconds since the one before, direction, bytes
CREATE FUNCTION pg_temp.varint(n bigint) RETURNS bytea IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE
	bytes bytea := '';
BEGIN
	WHILE n > 127 LOOP
		bytes := bytes || set_byte('\x00', 0, (n % 128 + 128)::int);
		n := n / 128;
	END LOOP;
	RETURN bytes || set_byte('\x00', 0, n::int);
END $$;
CREATE FUNCTION pg_temp.chunk(direction text, bytes bigint, gap bigint) RETURNS bytea IMMUTABLE
RETURN pg_temp.varint(bytes * 2 + (direction = 'B')::int) || pg_temp.varint(gap);
CREATE FUNCTION pg_temp.message(type text, VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN (SELECT convert_to(type, 'UTF8') || int4send(length(body) + 4) || body
	FROM (SELECT coalesce(string_agg(part, '' ORDER BY o), '') AS body
		FROM unnest(parts) WITH ORDINALITY AS u(part, o)) AS b);
CREATE FUNCTION pg_temp.z(string text) RETURNS bytea IMMUTABLE
RETURN convert_to(string, 'UTF8') || '\x00'::bytea;

-- in one transaction that is rolled back, so that nothing of it stays in the record
BEGIN;
CREATE FUNCTION pg_temp.record(session bigint, exchange bigint, kind text, request bytea,
	response bytea, chunks bytea, request_bytes bigint = NULL, response_bytes bigint = NULL,
	part int = 1)
RETURNS void LANGUAGE sql BEGIN ATOMIC
	INSERT INTO pgwire_trace.exchange (recorded_at, session_id, exchange_no, part_no, started_at,
		finished_at, kind, statement_count, row_count, data_row_count, request_bytes,
		response_bytes, is_complete, is_truncated, pairing_uncertain, request, response, chunks)
	VALUES ('2000-01-01', session, exchange, part, '2000-01-01 00:00:01', '2000-01-01 00:00:02',
		kind, 0, 0, 0, coalesce(request_bytes, length(request), 0),
		coalesce(response_bytes, length(response), 0), true, false, false, request, response,
		chunks);
END;
INSERT INTO pgwire_trace.session (session_id, started_at, exchange_count, request_bytes,
	response_bytes, dropped_exchanges, is_desynchronised, server_parameters, journal_series)
VALUES (-1, '2000-01-01', 3, 0, 0, 0, false, '{"client_encoding": "LATIN1"}', 0);

-- a login by SCRAM as the relay stores it: each message stands where its last byte passed
SELECT pg_temp.record(-1, 0, 'startup',
	'\x0000000804d2162f'::bytea || int4send(18) || '\x00030000' || pg_temp.z('user') || pg_temp.z('bob')
		|| '\x00'
		|| pg_temp.message('p', pg_temp.z('SCRAM-SHA-256'), '\x00000006', '******')
		|| pg_temp.message('p', '*******'),
	'N' || pg_temp.message('R', '\x0000000a', pg_temp.z('SCRAM-SHA-256'), '\x00')
		|| pg_temp.message('R', '\x0000000b', '***') || pg_temp.message('R', '\x0000000c', '**')
		|| pg_temp.message('R', '\x00000000')
		|| pg_temp.message('K', '\x00000102', '****') || pg_temp.message('Z', 'I'),
	pg_temp.chunk('F', 8, 0) || pg_temp.chunk('B', 1, 10) || pg_temp.chunk('F', 18, 10)
		|| pg_temp.chunk('B', 24, 100) || pg_temp.chunk('F', 29, 10) || pg_temp.chunk('B', 10, 10)
		|| pg_temp.chunk('B', 2, 1) || pg_temp.chunk('F', 12, 300000)
		|| pg_temp.chunk('B', 11 + 9 + 13 + 6, 10));
SELECT message_no, at, direction, type, name, length, is_truncated, body
FROM pgwire_trace.messages(-1, 0);

-- formats: by the Bind that made the portal, else by the RowDescription
SELECT pg_temp.record(-1, 1, 'extended',
	pg_temp.message('P', pg_temp.z(''), pg_temp.z('select'), '\x0000')
		|| pg_temp.message('B', pg_temp.z('p'), pg_temp.z(''), '\x000000000001', '\x0001')
		|| pg_temp.message('E', pg_temp.z('p'), '\x00000001')
		|| pg_temp.message('B', pg_temp.z(''), pg_temp.z(''), '\x00000000', '\x000200000001')
		|| pg_temp.message('E', pg_temp.z(''), '\x00000000')
		|| pg_temp.message('E', pg_temp.z('p'), '\x00000000')
		|| pg_temp.message('E', pg_temp.z('unseen'), '\x00000000') || pg_temp.message('S', ''),
	pg_temp.message('1', '') || pg_temp.message('2', '')
		|| pg_temp.message('D', '\x0001', '\x00000001', 'a') || pg_temp.message('s', '')
		|| pg_temp.message('2', '')
		|| pg_temp.message('D', '\x0002', '\x00000001', 'b', '\x00000001', 'c')
		|| pg_temp.message('C', pg_temp.z('SELECT 1'))
		|| pg_temp.message('D', '\x0002', '\x00000001', 'd', '\xffffffff')
		|| pg_temp.message('C', pg_temp.z('SELECT 1'))
		|| pg_temp.message('D', '\x0001', '\x00000001', '\xe9')
		|| pg_temp.message('C', pg_temp.z('SELECT 1')) || pg_temp.message('Z', 'I'),
	pg_temp.chunk('F', 200, 0) || pg_temp.chunk('B', 1000, 5));
SELECT direction, name, body FROM pgwire_trace.messages(-1, 1) WHERE name IN ('Bind', 'DataRow');

-- COPY: its format as well; then a late part of the same exchange
SELECT pg_temp.record(-1, 2, 'copy',
	pg_temp.message('Q', pg_temp.z('copy t from stdin (format binary)'))
		|| pg_temp.message('d', 'abc') || pg_temp.message('c', ''),
	pg_temp.message('G', '\x0100010001') || pg_temp.message('E', pg_temp.z('SERROR'), '\x00')
		|| pg_temp.message('Z', 'E'),
	pg_temp.chunk('F', 39, 0) || pg_temp.chunk('B', 10, 10) || pg_temp.chunk('F', 8, 10)
		|| pg_temp.chunk('B', 19, 10) || pg_temp.chunk('F', 5, 10));
SELECT pg_temp.record(-1, 2, 'copy', pg_temp.message('d', 'late'), '',
	pg_temp.chunk('F', 9, 7), part => 2);
SELECT message_no, at, direction, name, body FROM pgwire_trace.messages(-1, 2);

-- cut by a limit: inside a message, behind one, everything; and bytes that are no protocol
SELECT pg_temp.record(-2, 0, 'query', substr(pg_temp.message('Q', pg_temp.z('select 1')), 1, 9),
	pg_temp.message('Z', 'I'), pg_temp.chunk('F', 14, 0) || pg_temp.chunk('B', 100, 5), 14, 100);
SELECT pg_temp.record(-2, 1, 'query', '', substr(pg_temp.message('Z', 'I'), 1, 3),
	pg_temp.chunk('F', 14, 0) || pg_temp.chunk('B', 6, 5), 14, 6);
SELECT pg_temp.record(-2, 2, 'query', NULL, NULL, NULL, 14, 6);
SELECT pg_temp.record(-2, 3, 'async', '\x51ffffffff61', pg_temp.message('?', 'abc'), '\xffff');
SELECT pg_temp.record(-2, 4, 'cancel', '\x0000001004d2162e000001022a2a2a2a', '', NULL);
SELECT exchange_no, message_no, direction, type, name, length, is_truncated, body
FROM pgwire_trace.messages(-2);

-- replication in parts: what came before a part counts, unless it is not there
INSERT INTO pgwire_trace.session (session_id, started_at, exchange_count, request_bytes,
	response_bytes, dropped_exchanges, is_desynchronised, server_parameters, startup_parameters, journal_series)
VALUES (-4, '2000-01-01', 3, 0, 0, 0, false, '{"client_encoding": "UTF8"}', '{"replication": "database"}', 0);
CREATE FUNCTION pg_temp.xlog(lsn bigint, VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('d', 'w', int8send(lsn), int8send(7), int8send(1),
	(SELECT string_agg(part, '' ORDER BY o) FROM unnest(parts) WITH ORDINALITY AS u(part, o)));
CREATE FUNCTION pg_temp.relation(xid bytea) RETURNS bytea IMMUTABLE
RETURN pg_temp.xlog(7, 'R', xid, '\x00004001', pg_temp.z('public'), pg_temp.z('t'), 'd', '\x0000');
SELECT pg_temp.record(-4, e.no, 'replication', pg_temp.message('Q', pg_temp.z(e.command)), pg_temp.message('W', '\x000000')
		|| pg_temp.xlog(7, 'S', '\x000002e1', '\x01'), '\xffff03')
FROM (VALUES (1, 'START_REPLICATION SLOT a LOGICAL 0/0 (proto_version ''2'')'),
	(2, 'START_REPLICATION SLOT a LOGICAL 0/0 (format ''x'')'), (3, 'START_REPLICATION 0/0')) AS e(no, command);
SELECT pg_temp.record(-4, e, 'replication', pg_temp.message('d', 'r', int8send(1), int8send(2), int8send(3), int8send(4), '\x00'),
	pg_temp.relation('\x000002e1') || pg_temp.xlog(7, 'E') || pg_temp.relation('')
		|| pg_temp.xlog(6, 'E'), '\xffff03', part => 2)
FROM generate_series(1, 4) AS e;
-- the part before was cut inside the stream: whether it is over is not known
SELECT pg_temp.record(-4, 5, 'replication', '', pg_temp.xlog(7, 'S', '\x000002e1', '\x01') || 'd', '\xffff03', 0, 1000, part => 2);
SELECT pg_temp.record(-4, 5, 'replication', '', pg_temp.relation('') || pg_temp.relation('\x000002e1'), '\xffff03', part => 3);
SELECT exchange_no, message_no, direction, name, is_truncated, coalesce(body #> '{xlog_data,data}', body) AS body
FROM pgwire_trace.messages(-4);
-- a base backup, on such a connection alone
SELECT pg_temp.record(session, 9, 'copy', pg_temp.message('Q', pg_temp.z('BASE_BACKUP')),
	pg_temp.message('H', '\x000000') || pg_temp.message('d', 'm') || pg_temp.message('d', 'd') || pg_temp.message('c', ''), '\xffff03')
FROM unnest(ARRAY[-1, -4]) AS session;
SELECT session, name, body FROM unnest(ARRAY[-1, -4]) AS session, pgwire_trace.messages(session, 9)
WHERE name = 'CopyData';

-- what is not there is no row
SELECT count(*) FROM pgwire_trace.messages(-3);
SELECT count(*) FROM pgwire_trace.messages(-1, 77);
SELECT count(*) FROM pgwire_trace.messages(NULL);
SELECT count(*) FROM pgwire_trace.trace_lines(-3);

-- the text trace
SELECT * FROM pgwire_trace.trace_lines(-1, 0, true);
SELECT * FROM pgwire_trace.trace_lines(-1, 2, false);
SELECT * FROM pgwire_trace.trace_lines(-2, NULL, true);
ROLLBACK;
