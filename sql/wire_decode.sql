-- Bytes of the protocol as rows, and rows as bytes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
\pset null NULL

-- text with \0 for zero bytes, and a message of its type and body
CREATE FUNCTION pg_temp.bytes(string text) RETURNS bytea IMMUTABLE
RETURN (SELECT string_agg(convert_to(part, 'UTF8'), '\x00' ORDER BY o)
	FROM unnest(string_to_array(string, '\0')) WITH ORDINALITY AS u(part, o));
CREATE FUNCTION pg_temp.message(type text, VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN (SELECT convert_to(type, 'UTF8') || int4send(length(body) + 4) || body
	FROM (SELECT coalesce(string_agg(part, '' ORDER BY o), '') AS body
		FROM unnest(parts) WITH ORDINALITY AS u(part, o)) AS b);

-- what decode_messages() shows, and whether encode_message() gives the same bytes again
CREATE FUNCTION pg_temp.show(data bytea, direction text, phase text = 'normal',
	encoding name = 'UTF8', OUT n int, OUT at bigint, OUT type "char", OUT name text,
	OUT length bigint, OUT body jsonb)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	again bytea;
BEGIN
	RETURN QUERY SELECT * FROM pgwire_trace.decode_messages(data, direction, phase, encoding);
	SELECT string_agg(pgwire_trace.encode_message(show.direction, d.name, d.body, encoding), ''
			ORDER BY d.message_no) INTO again
	FROM pgwire_trace.decode_messages(data, direction, phase, encoding) AS d
	WHERE NOT d.body ? 'truncated';
	IF again IS DISTINCT FROM data AND again IS NOT NULL THEN
		RAISE WARNING 'encoded otherwise: %', again;
	END IF;
END $$;

-- the start of a connection
SELECT * FROM pg_temp.show('\x0000000804d2162f'::bytea || '\x0000000804d21630', 'F', 'startup');
SELECT * FROM pg_temp.show(int4send(30) || '\x00030000'
	|| pg_temp.bytes('user\0alice\0database\0\0\0'), 'F', 'startup');
SELECT * FROM pg_temp.show(int4send(19) || '\x00030f0f' || pg_temp.bytes('_pq_.a\0on\0\0')
	|| pg_temp.message('p', pg_temp.bytes('secret\0')), 'F', 'startup');
SELECT * FROM pg_temp.show('\x0000001204d2162e00000102616263646566', 'F', 'startup');
SELECT * FROM pg_temp.show('\x4e4e520000000800000000', 'B', 'ssl_answer');
SELECT * FROM pg_temp.show('\x47', 'B', 'ssl_answer');
SELECT * FROM pg_temp.show('N' || pg_temp.message('E', pg_temp.bytes('SFATAL\0\0')), 'B', 'ssl_answer');
-- versions: the highest minor one, what libpq sends to see that servers negotiate, another major one
SELECT n, name, body FROM unnest(ARRAY['\x00030002', '\x0003270f', '\x0003ffff', '\x00020000', '\x04d21600']::bytea[]) AS v(version),
	pg_temp.show(int4send(40) || version
		|| pg_temp.bytes('user\0alice\0_pq_.test_protocol\0\0\0'), 'F', 'startup');
SELECT name, body FROM pg_temp.show(int4send(9) || '\x00030000'::bytea || '\x00', 'F', 'startup');
-- keys of 256 bytes
SELECT name, length, length(body ->> 'secret_key') FROM pg_temp.show(
	int4send(12 + 256) || '\x04d2162e00000102' || repeat('k', 256)::bytea, 'F', 'startup');
SELECT name, length, length(body ->> 'secret_key') FROM pg_temp.show(
	pg_temp.message('K', '\x00000102', repeat('k', 256)::bytea), 'B');

-- one byte, four messages
SELECT phase, d.name, d.body
FROM unnest(ARRAY['password', 'sasl_initial', 'sasl', 'gss', 'normal', 'copy']) AS phase,
	pg_temp.show(pg_temp.message('p', pg_temp.bytes('SCRAM-SHA-256\0'), '\x00000003', 'n,,'),
		'F', phase) AS d;
SELECT * FROM pg_temp.show(pg_temp.message('R', '\x00000000')
	|| pg_temp.message('R', '\x00000005', 'salt')
	|| pg_temp.message('R', '\x0000000a', pg_temp.bytes('SCRAM-SHA-256\0SCRAM-SHA-256-PLUS\0\0'))
	|| pg_temp.message('R', '\x0000000b', 'r=x') || pg_temp.message('R', '\x00000063'), 'B');
SELECT * FROM pg_temp.show((SELECT string_agg(pg_temp.message('R', int4send(code), 'x'), '' ORDER BY code)
	FROM generate_series(0, 14) AS code) || pg_temp.message('R', '\x00') || pg_temp.message('R', '\xffffffff'), 'B');
SELECT * FROM pg_temp.show((SELECT string_agg(pg_temp.message('R', int4send(code)), '' ORDER BY code)
	FROM unnest(ARRAY[0, 2, 3, 6, 7, 9]) AS code) || pg_temp.message('R', '\x0000000a00'), 'B');
SELECT name, body FROM pg_temp.show(pg_temp.message('p', pg_temp.bytes('OAUTHBEARER\0'), '\xffffffff')
	|| pg_temp.message('p', 'x'), 'F', 'sasl_initial');

-- the extended query
SELECT * FROM pg_temp.show(
	pg_temp.message('P', pg_temp.bytes('s1\0select $1::int4, $2\0'), '\x00020000001700000000')
	|| pg_temp.message('B', pg_temp.bytes('p\0s1\0'), '\x000200010000', '\x0002', '\x000000040000002a', '\x00000003616263', '\x00010001')
	|| pg_temp.message('B', pg_temp.bytes('\0\0'), '\x00010001', '\x0003', '\x00000001', 'a', '\xffffffff', '\x00000000', '\x0000')
	|| pg_temp.message('D', pg_temp.bytes('Pp\0')) || pg_temp.message('E', pg_temp.bytes('p\0'), '\xffffffff')
	|| pg_temp.message('C', pg_temp.bytes('Ss1\0')) || pg_temp.message('H', '') || pg_temp.message('S', '')
	|| pg_temp.message('F', '\xfffffffe', '\x0000', '\x0001', '\x00000000', '\x0000')
	|| pg_temp.message('X', ''), 'F');
SELECT * FROM pg_temp.show(
	pg_temp.message('T', '\x0001', pg_temp.bytes('id\0'), '\x00004001000100000017', '\x0004ffffffff0001')
	|| pg_temp.message('D', '\x0004', '\x000000040000002a', '\x00000003616263', '\xffffffff', '\x00000000')
	|| pg_temp.message('D', '\x0000')
	|| pg_temp.message('C', pg_temp.bytes('SELECT 1\0')) || pg_temp.message('Z', 'I'), 'B');

-- errors: an object, or a list where that would lose something
SELECT * FROM pg_temp.show(pg_temp.message('E', pg_temp.bytes('SERROR\0VERROR\0C42P01\0Mno\0P15\0Fa.c\0L1\0Rf\0\0'))
	|| pg_temp.message('E', pg_temp.bytes('C42P01\0SERROR\0\0'))
	|| pg_temp.message('E', pg_temp.bytes('Ma\0Mb\0\0')) || pg_temp.message('N', pg_temp.bytes('?new\0\0'))
	|| pg_temp.message('N', '\x00'), 'B');

-- COPY, notifications, versions
SELECT * FROM pg_temp.show(pg_temp.message('G', '\x00000200000000') || pg_temp.message('d', E'1\tabc\n')
	|| pg_temp.message('d', '\xff00') || pg_temp.message('d', '') || pg_temp.message('c', '')
	|| pg_temp.message('W', '\x000000')
	|| pg_temp.message('A', '\xffffffff', pg_temp.bytes('c\0hello\0'))
	|| pg_temp.message('v', '\x00030000', '\x00000001', pg_temp.bytes('_pq_.a\0'))
	|| pg_temp.message('K', '\x00000102', 'abcdefghijkl') || pg_temp.message('V', '\xffffffff'), 'B');

-- one byte means different things each way
SELECT b.type, d.direction, m.name
FROM (VALUES ('F'), ('B')) AS d(direction),
	unnest(ARRAY['S', 'D', 'C', 'E', 'H', 'd']) AS b(type),
	pgwire_trace.decode_messages(pg_temp.message(type, ''), d.direction) AS m
ORDER BY b.type COLLATE "C", d.direction;

-- values: text if it is, comes back unchanged and has no zero byte
SELECT encoding, d.body
FROM (VALUES ('UTF8'), ('LATIN1'), ('SQL_ASCII'), ('EUC_JP')) AS e(encoding),
	pg_temp.show(pg_temp.message('D', '\x0004', '\x00000002c3a9', '\x00000001e9', '\x000000026100', '\x00000001', 'z'), 'B', 'normal', encoding::name) AS d;

-- what does not parse is a row
SELECT * FROM pg_temp.show(pg_temp.message('Q', 'select 1'), 'F');
SELECT * FROM pg_temp.show(pg_temp.message('Q', pg_temp.bytes('a\0b\0')), 'F');
SELECT * FROM pg_temp.show(pg_temp.message('D', '\x0001fffffffe'), 'B');
SELECT * FROM pg_temp.show(pg_temp.message('D', '\x0001000000ff'), 'B');
SELECT * FROM pg_temp.show(pg_temp.message('D', '\xffff'), 'B');
SELECT * FROM pg_temp.show(pg_temp.message('T', '\xffff', repeat('x', 20)::bytea), 'B');
SELECT * FROM pg_temp.show(pg_temp.message('E', 'SERROR'), 'B');
SELECT * FROM pg_temp.show(pg_temp.message('v', '\x0003000000ffffff'), 'B');
SELECT * FROM pg_temp.show(pg_temp.message('y', 'z') || pg_temp.message('S', ''), 'F');
SELECT * FROM pg_temp.show('\x5300000004'::bytea || '\x5300000003' || 'rest', 'F');
SELECT * FROM pg_temp.show('\x53ffffffff'::bytea || 'rest', 'F');
SELECT * FROM pg_temp.show('\x00000007'::bytea || 'rest', 'F', 'startup');
SELECT * FROM pg_temp.show('\x7fffffff'::bytea || 'rest', 'F', 'startup');
SELECT * FROM pg_temp.show('', 'F');
SELECT * FROM pgwire_trace.decode_messages('\x517fffffff'::bytea || 'rest', 'F');
SELECT * FROM pgwire_trace.decode_messages('\x513ffffffe'::bytea || 'rest', 'F');
SELECT * FROM pgwire_trace.decode_messages('\x5300002711'::bytea || 'rest', 'F');
SELECT * FROM pgwire_trace.decode_messages('\x5300002711'::bytea || 'rest', 'B');
SELECT * FROM pgwire_trace.decode_messages('\x530000', 'F');

-- bodies are laid out by hand: the server finds everything in them, and would make the same
SELECT m.name, m.body = m.body::text::jsonb AS equal,
	pg_column_size(m.body) = pg_column_size(m.body::text::jsonb) AS as_large,
	(SELECT bool_and(m.body->'values'->i = v) AND bool_and((m.body->'values'->>i) IS NOT DISTINCT FROM (v#>>'{}'))
		FROM jsonb_array_elements(m.body->'values') WITH ORDINALITY AS e(v, o), int4(o - 1) AS i) AS in_place
FROM (SELECT string_agg(CASE i % 4 WHEN 0 THEN '\xffffffff' WHEN 1 THEN '\x00000001ff'
			WHEN 2 THEN int4send(i / 4) || convert_to(repeat('v', i / 4), 'UTF8')
			ELSE '\x00000003313233' END, '' ORDER BY i) AS list
		FROM generate_series(1, 300) AS i) AS v,
	pgwire_trace.decode_messages(pg_temp.message('D', '\x012c', list)
		|| pg_temp.message('T', '\x0002', pg_temp.bytes('a\0'), '\xffffffff7fff00000000', '\x8000000027100001', pg_temp.bytes('b\0'), '\x00000001ffff0000ffff', '\x0001800000000000')
		|| pg_temp.message('E', pg_temp.bytes('SERROR\0VERROR\0C42P01\0Mno\0Dd\0Hh\0Ww\0ss\0tt\0cc\0dd\0nn\0P15\0p1\0qq\0Fa.c\0L1\0Rf\0\0'))
		|| pg_temp.message('E', pg_temp.bytes('C42P01\0SERROR\0M' || repeat('x', 200) || '\0\0')), 'B') AS m;

-- arguments
SELECT * FROM pgwire_trace.decode_messages('', 'f');
SELECT * FROM pgwire_trace.decode_messages('', 'F', 'norma');
SELECT * FROM pgwire_trace.decode_messages('', 'F', 'copy_data');
SELECT * FROM pgwire_trace.decode_messages('', 'F', 'normal', 'utf9');
SELECT count(*) FROM pgwire_trace.decode_messages(NULL, 'F');
SELECT pgwire_trace.encode_message('x', 'Sync', '{}');
SELECT pgwire_trace.encode_message('B', 'Sync', '{}');
SELECT pgwire_trace.encode_message('F', 'Sync', '[]');
SELECT pgwire_trace.encode_message('F', 'Sync', '{"query": "x"}');
SELECT pgwire_trace.encode_message('F', 'Query', '{}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": 1}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": {"hex": "00"}}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": {"hexa": "00"}}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": {"masked": 4}}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": {"hex": "0"}}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": {"hex": "0g"}}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": {"hex": "61 62"}}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": {"hex": 61}}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": "\u20ac"}', 'LATIN1');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": "\u20ac"}', 'LATIN9');
SELECT pgwire_trace.encode_message('F', 'Query', '{"query": "plain"}', 'EUC_TW');
SELECT pgwire_trace.encode_message('F', 'Query', '"truncated"');
SELECT pgwire_trace.encode_message('F', 'Opaque', '{"type": "Q", "data": ""}');
SELECT pgwire_trace.encode_message('F', 'Unknown', '{"data": ""}');
SELECT pgwire_trace.encode_message('F', 'Describe', jsonb_build_object('kind', 'S', 'name', repeat('x', 10000)));
SELECT pgwire_trace.encode_message('F', 'StartupMessage', jsonb_build_object('protocol_version', '3.0', 'parameters',
	jsonb_build_array(jsonb_build_array('options', repeat('x', 10000)))));
SELECT length(pgwire_trace.encode_message('F', 'Describe', jsonb_build_object('kind', 'S', 'name', repeat('x', 9994))));
SELECT pgwire_trace.encode_message(NULL, 'Sync', '{}') IS NULL;
SELECT pgwire_trace.encode_message('F', 'Query', '{"truncated": true, "data": "x"}');
SELECT pgwire_trace.encode_message('F', 'Query', '{"malformed": "x", "data": "x", "to": 1}');
SELECT pgwire_trace.encode_message('F', 'Execute', '{"portal": "", "max_rows": 2147483648}');
SELECT pgwire_trace.encode_message('F', 'Execute', '{"portal": "", "max_rows": 1.5}');
SELECT pgwire_trace.encode_message('F', 'Describe', '{"kind": "PS", "name": ""}');
SELECT pgwire_trace.encode_message('F', 'StartupMessage', '{"protocol_version": "3", "parameters": []}');
SELECT pgwire_trace.encode_message('F', 'StartupMessage', '{"protocol_version": "3.0", "parameters": [["user"]]}');
SELECT pgwire_trace.encode_message('B', 'DataRow', '{"values": {"a": 1}}');
SELECT pgwire_trace.encode_message('B', 'DataRow', '{"values": [true]}');
SELECT pgwire_trace.encode_message('B', 'ErrorResponse', '{"mesage": "x"}');
SELECT pgwire_trace.encode_message('B', 'RowDescription', '{"columns": [{"name": "a"}]}');
SELECT pgwire_trace.encode_message('F', 'Bind', '{"portal": "", "statement": "", "parameter_formats": [40000], "parameters": [], "result_formats": []}');

-- bodies that take the most room for their bytes: values of a byte that is no text, columns without names, ...
CREATE TEMPORARY TABLE dense (what text, direction text, phase text, data bytea);
INSERT INTO dense VALUES
	('bytes', 'B', 'normal', pg_temp.message('D', int2send(9999::int2), decode(repeat('00000001ff', 9999), 'hex'))),
	('nulls', 'B', 'normal', pg_temp.message('D', int2send(9999::int2), decode(repeat('ffffffff', 9999), 'hex'))),
	('columns', 'B', 'normal', pg_temp.message('T', int2send(9999::int2), decode(repeat('00' || repeat('ff', 18), 9999), 'hex'))),
	('names', 'B', 'normal', pg_temp.message('T', int2send(9999::int2), decode(repeat('ff00' || repeat('9c', 18), 9999), 'hex'))),
	('OIDs', 'B', 'normal', pg_temp.message('t', int2send(9999::int2), decode(repeat('ffffffff', 9999), 'hex'))),
	('formats', 'F', 'normal', pg_temp.message('B', '\x0000', int2send(9999::int2), decode(repeat('8000', 9999), 'hex'),
		int2send(9999::int2), decode(repeat('00000001ff', 9999), 'hex'), int2send(9999::int2), decode(repeat('8001', 9999), 'hex'))),
	('error', 'B', 'normal', pg_temp.message('E', (SELECT string_agg(convert_to(code, 'UTF8') || '\xff00', '' ORDER BY o)
		FROM regexp_split_to_table('SVCMDHWstcdnPpqFLR', '') WITH ORDINALITY AS u(code, o)), '\x00')),
	('unchanged', 'B', 'replication', pg_temp.message('d', '\x77', decode(repeat('ff', 24), 'hex'), '\x49', decode(repeat('ff', 4), 'hex'),
		'\x4e', int2send(9999::int2), convert_to(repeat('u', 9999), 'UTF8'))),
	('binary', 'B', 'replication', pg_temp.message('d', '\x77', decode(repeat('ff', 24), 'hex'), '\x49', decode(repeat('ff', 4), 'hex'),
		'\x4e', int2send(9999::int2), decode(repeat('6200000001ff', 9999), 'hex')));
SELECT what, count(*) AS messages, bool_and(body = body::text::jsonb) AS same,
	string_agg(pgwire_trace.encode_message(direction, name, body), '') = data AS again,
	string_agg(DISTINCT (SELECT string_agg(key, ' ') FROM jsonb_object_keys(body) AS key), ', ') AS keys
FROM dense, pgwire_trace.decode_messages(data, direction, phase) GROUP BY what, data ORDER BY what;

-- the list
SELECT direction, type, name, phase, since, array_to_string(fields, ' ') AS fields
FROM pgwire_trace.message_types() ORDER BY direction DESC, name COLLATE "C";
SELECT count(*) FROM pgwire_trace.message_types() WHERE description = '';
