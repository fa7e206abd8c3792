-- What CopyData holds on a replication connection: messages inside messages.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
\pset null NULL

CREATE FUNCTION pg_temp.z(string text) RETURNS bytea IMMUTABLE
RETURN convert_to(string, 'UTF8') || '\x00'::bytea;
CREATE FUNCTION pg_temp.message(type text, VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN (SELECT convert_to(type, 'UTF8') || int4send(length(body) + 4) || body
	FROM (SELECT coalesce(string_agg(part, '' ORDER BY o), '') AS body
		FROM unnest(parts) WITH ORDINALITY AS u(part, o)) AS b);
-- XLogData as the server sends it for an output plugin: one place for begin and end
CREATE FUNCTION pg_temp.change(VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('d', '\x77', '\x00000000016b3748', '\x00000000016b3748', '\x0002e5652b000007',
	(SELECT string_agg(part, '' ORDER BY o) FROM unnest(parts) WITH ORDINALITY AS u(part, o)));
CREATE FUNCTION pg_temp.lsn(n int) RETURNS bytea IMMUTABLE
RETURN '\x0000000a'::bytea || int4send(n);

-- what decode_messages() shows, and whether encode_message() gives the same bytes again
CREATE FUNCTION pg_temp.show(data bytea, direction text = 'B', phase text = 'replication',
	encoding name = 'UTF8', OUT n int, OUT name text, OUT body jsonb)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	again bytea;
BEGIN
	RETURN QUERY SELECT d.message_no, d.name, d.body
		FROM pgwire_trace.decode_messages(data, direction, phase, encoding) AS d;
	SELECT string_agg(pgwire_trace.encode_message(show.direction, d.name, d.body, encoding), ''
			ORDER BY d.message_no) INTO again
	FROM pgwire_trace.decode_messages(data, direction, phase, encoding) AS d;
	IF again IS DISTINCT FROM data THEN
		RAISE WARNING 'encoded otherwise: %', again;
	END IF;
END $$;

-- physical replication: WAL stays data, whatever its first byte is
SELECT n, body FROM pg_temp.show(
	pg_temp.message('W', '\x000000')
	|| pg_temp.message('d', 'w', '\x00000000016b3748', '\x00000000016b3749', int8send(815184000123456), 'E')
	|| pg_temp.message('d', 'k', '\xffffffff016b3749', int8send(-1), '\x01')
	|| pg_temp.message('d', 's', pg_temp.lsn(1), int8send(740), int8send(4294967297), int8send(7)),
	phase => 'normal');
SELECT n, body FROM pg_temp.show(
	pg_temp.message('d', 'r', pg_temp.lsn(3), pg_temp.lsn(2), pg_temp.lsn(1), int8send(7), '\x00')
	|| pg_temp.message('d', 'h', int8send(7), '\x000002e0', '\x00000000', '\xffffffff', '\x00000001')
	|| pg_temp.message('d', 'p', int8send(7)) || pg_temp.message('c', ''), 'F');

-- a base backup; the rows of a table on such a connection
SELECT n, name, body FROM pg_temp.show(
	pg_temp.message('H', '\x000000')
	|| pg_temp.message('d', 'n', pg_temp.z('base.tar'), pg_temp.z(''))
	|| pg_temp.message('d', 'd', 'PG_VERSION', '\x0000') || pg_temp.message('d', 'p', int8send(1024))
	|| pg_temp.message('d', 'm') || pg_temp.message('d', 'd{ "PostgreSQL-Backup-Manifest-Version": 1')
	|| pg_temp.message('c', '') || pg_temp.message('C', pg_temp.z('SELECT'))
	|| pg_temp.message('H', '\x0000010000') || pg_temp.message('d', E'delta\n')
	|| pg_temp.message('c', '') || pg_temp.message('C', pg_temp.z('COPY 1')) || pg_temp.message('Z', 'I'));

-- pgoutput: every message, and the changes of a streamed transaction with its id
SELECT n, body -> 'xlog_data' -> 'data' AS data FROM pg_temp.show(
	pg_temp.change('B', pg_temp.lsn(1), int8send(7), '\x000002e0')
	|| pg_temp.change('O', pg_temp.lsn(1), pg_temp.z('node'))
	|| pg_temp.change('Y', '\x00004002', pg_temp.z('public'), pg_temp.z('mood'))
	|| pg_temp.change('R', '\x00004001', pg_temp.z('public'), pg_temp.z('t'), 'd', '\x0002',
		'\x01', pg_temp.z('id'), '\x00000017ffffffff', '\x00', pg_temp.z('v'), '\x00000019ffffffff')
	|| pg_temp.change('M', '\x01', pg_temp.lsn(1), pg_temp.z('prefix'), '\x00000002', 'hi')
	|| pg_temp.change('I', '\x00004001', 'N', '\x0006', 't', '\x00000001', '1', 'n', 'u',
		'b', '\x00000002', '\x0007', 't', '\x00000001', '\xff', 't', '\x00000000')
	|| pg_temp.change('U', '\x00004001', 'N', '\x0001', 'u')
	|| pg_temp.change('U', '\x00004001', 'K', '\x0001', 'n', 'N', '\x0001', 'u')
	|| pg_temp.change('U', '\x00004001', 'O', '\x0001', 'n', 'N', '\x0000')
	|| pg_temp.change('D', '\x00004001', 'K', '\x0001', 'n')
	|| pg_temp.change('T', '\x00000002', '\x03', '\x00004001', '\x00004002')
	|| pg_temp.change('C', '\x00', pg_temp.lsn(1), pg_temp.lsn(2), int8send(7))
	|| pg_temp.change('S', '\x000002e1', '\x01')
	|| pg_temp.change('R', '\x000002e1', '\x00004001', pg_temp.z('public'), pg_temp.z('t'), 'n', '\x0000')
	|| pg_temp.change('Y', '\x000002e1', '\x00004002', pg_temp.z('public'), pg_temp.z('mood'))
	|| pg_temp.change('I', '\x000002e1', '\x00004001', 'N', '\x0001', 't', '\x00000001', '1')
	|| pg_temp.change('T', '\x000002e1', '\x00000000', '\x00')
	|| pg_temp.change('M', '\x000002e1', '\x01', pg_temp.lsn(1), pg_temp.z(''), '\x00000000')
	|| pg_temp.change('E')
	|| pg_temp.change('A', '\x000002e1', '\x000002e2')
	|| pg_temp.change('A', '\x000002e1', '\x000002e2', pg_temp.lsn(1), int8send(7))
	|| pg_temp.change('c', '\x000002e1', '\x00', pg_temp.lsn(1), pg_temp.lsn(2), int8send(7))
	|| pg_temp.change('b', pg_temp.lsn(1), pg_temp.lsn(2), int8send(7), '\x000002e3', pg_temp.z('gid'))
	|| pg_temp.change('P', '\x00', pg_temp.lsn(1), pg_temp.lsn(2), int8send(7), '\x000002e3', pg_temp.z('gid'))
	|| pg_temp.change('K', '\x00', pg_temp.lsn(1), pg_temp.lsn(2), int8send(7), '\x000002e3', pg_temp.z('gid'))
	|| pg_temp.change('r', '\x00', pg_temp.lsn(1), pg_temp.lsn(2), int8send(7), int8send(8), '\x000002e3', pg_temp.z('gid'))
	|| pg_temp.change('p', '\x00', pg_temp.lsn(1), pg_temp.lsn(2), int8send(7), '\x000002e3', pg_temp.z('gid')));
-- after a message outside any stream there is no id; a part begun in a stream finds it
SELECT body -> 'xlog_data' -> 'data' AS data FROM pg_temp.show(
	pg_temp.change('D', '\x000002e1', '\x00004001', 'O', '\x0000')
	|| pg_temp.change('R', '\x00004001', pg_temp.z('public'), pg_temp.z('t'), 'n', '\x0000'));

-- what does not parse, and other plugins' output, is data
SELECT body #> '{xlog_data,data}' AS data FROM pg_temp.show(
	pg_temp.change('BEGIN 736') || pg_temp.change('table public.t: INSERT: id[integer]:1')
	|| pg_temp.change('I', '\x00004001', 'N', '\x0002', 'n') || pg_temp.change('I', '\x00004001', 'N', '\x0001', 'x')
	|| pg_temp.change('I', '\x00004001') || pg_temp.change('T', '\x7fffffff', '\x00') || pg_temp.change('E', 'E')
	|| pg_temp.change('R', '\x00004001', pg_temp.z('p'), pg_temp.z('t'), 'd', '\xffff') || pg_temp.change(''));
SELECT body FROM pg_temp.show(
	pg_temp.message('d', 'w', '\x00000000016b3748') || pg_temp.message('d', '') || pg_temp.message('d', '?')
	|| pg_temp.message('d', 'k', pg_temp.lsn(1), int8send(7), '\x00', 'more')
	|| pg_temp.message('d', 'r', pg_temp.lsn(3), pg_temp.lsn(2), pg_temp.lsn(1), int8send(7), '\x00'));
-- not in these phases
SELECT phase, body FROM unnest(ARRAY['normal', 'copy']) AS phase,
	pg_temp.show(pg_temp.message('d', 'm'), 'B', phase);
-- the command begins the phase; what it says of XLogData is told in the TAP test
SELECT c.command, d.body FROM unnest(ARRAY['START_REPLICATION 0/1',
	'start_replication slot logical physical 0/1', 'START_REPLICATION SLOT "s" LOGICAL 0/1 (x)', 'SELECT']) AS c(command),
	pg_temp.show(pg_temp.message('Q', pg_temp.z(c.command))
		|| pg_temp.message('d', 'r', pg_temp.lsn(3), pg_temp.lsn(2), pg_temp.lsn(1), int8send(7), '\x00'), 'F', 'normal') AS d
WHERE d.n = 2;

-- encode_message() says what is wrong inside
CREATE FUNCTION pg_temp.encode(body jsonb, direction text = 'B') RETURNS bytea
RETURN pgwire_trace.encode_message(direction, 'CopyData', body);
SELECT pg_temp.encode('{"primary_keepalive": {"end": "1/A", "sent_at": 0, "reply_requested": 0}}');
SELECT pg_temp.encode('{"primary_keepalive": {"end": "1/A", "sent_at": 0, "reply_requested": 0}}', 'F');
SELECT pg_temp.encode('{"primary_keepalive": {"end": "1/A", "sent_at": 0}}');
SELECT pg_temp.encode('{"primary_keepalive": {"end": "1/A", "sent_at": 0, "reply_requested": 0}, "data": ""}');
SELECT pg_temp.encode('{"primary_keepalive": {"end": "1/A/2", "sent_at": 0, "reply_requested": 0}}');
SELECT pg_temp.encode('{"primary_keepalive": {"end": "/A", "sent_at": 0, "reply_requested": 0}}');
SELECT pg_temp.encode('{"primary_keepalive": {"end": "0/123456789", "sent_at": 0, "reply_requested": 0}}');
SELECT pg_temp.encode('{"primary_keepalive": {"end": "1/A", "sent_at": 9223372036854775808, "reply_requested": 0}}');
SELECT pg_temp.encode('{"primary_keepalive": 1}');
SELECT pg_temp.encode('{}');
SELECT pg_temp.encode('{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 0, "data": {"inserted": {}}}}');
SELECT pg_temp.encode('{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 0, "data": {"insert": {"xid": null, "relation_oid": 1, "new": null}}}}');
SELECT pg_temp.encode('{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 0, "data": {"insert": {"xid": null, "relation_oid": 1, "new": [1]}}}}');
SELECT pg_temp.encode('{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 0, "data": {"insert": {"xid": null, "relation_oid": 1, "new": [{"unchanged": false}]}}}}');
SELECT pg_temp.encode('{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 0, "data": {"insert": {"xid": null, "relation_oid": 1, "new": [{"hexa": ""}]}}}}');
SELECT pg_temp.encode('{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 0, "data": {"truncate": {"xid": null, "options": 0, "relation_oids": [-1]}}}}');
SELECT pgwire_trace.encode_message('B', 'XLogData', '{"start": "0/1", "end": "0/1", "sent_at": 0, "data": ""}');
