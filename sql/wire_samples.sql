-- A sample of every message: each is decoded, encoded to the same bytes again, and printed.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
CREATE TEMPORARY TABLE sample (name text, direction text, phase text, data bytea, no bigint GENERATED ALWAYS AS IDENTITY);
INSERT INTO sample VALUES
	('StartupMessage', 'F', 'startup', '\x0000001c000300027573657200616c696365005f70715f2e78000000'),
	('SSLRequest', 'F', 'startup', '\x0000000804d2162f'),
	('GSSENCRequest', 'F', 'startup', '\x0000000804d21630'),
	('CancelRequest', 'F', 'startup', '\x0000001204d2162e00000102616263646566'),
	('SSLResponse', 'B', 'ssl_answer', '\x4e'),
	('GSSENCResponse', 'B', 'ssl_answer', '\x47'),
	('PasswordMessage', 'F', 'password', '\x700000000b73656372657400'),
	('SASLInitialResponse', 'F', 'sasl_initial', '\x7000000019534352414d2d5348412d32353600000000036e2c2c'),
	('SASLResponse', 'F', 'sasl', '\x700000000b633d626977732c'),
	('GSSResponse', 'F', 'gss', '\x700000000801020304'),
	('Bind', 'F', 'normal', '\x420000002370007331000002000000010003ffffffff0000000000000002616200010001'),
	('Close', 'F', 'normal', '\x430000000853733100'),
	('CopyFail', 'F', 'copy', '\x660000000862616400'),
	('Describe', 'F', 'normal', '\x44000000065000'),
	('Execute', 'F', 'normal', '\x450000000a700000000005'),
	('Flush', 'F', 'normal', '\x4800000004'),
	('FunctionCall', 'F', 'normal', '\x4600000018000003e800010001000100000004000000070001'),
	('Parse', 'F', 'normal', '\x500000001773310073656c65637420243100000100000017'),
	('Query', 'F', 'normal', '\x510000000d73656c656374203100'),
	('Sync', 'F', 'normal', '\x5300000004'),
	('Terminate', 'F', 'normal', '\x5800000004'),
	('CopyData', 'F', 'copy', '\x64000000083109780a'),
	('CopyDone', 'B', 'copy', '\x6300000004'),
	('AuthenticationOk', 'B', 'normal', '\x520000000800000000'),
	('AuthenticationKerberosV5', 'B', 'normal', '\x520000000800000002'),
	('AuthenticationCleartextPassword', 'B', 'normal', '\x520000000800000003'),
	('AuthenticationMD5Password', 'B', 'normal', '\x520000000c0000000573616c74'),
	('AuthenticationSCMCredential', 'B', 'normal', '\x520000000800000006'),
	('AuthenticationGSS', 'B', 'normal', '\x520000000800000007'),
	('AuthenticationGSSContinue', 'B', 'normal', '\x520000000a000000086162'),
	('AuthenticationSSPI', 'B', 'normal', '\x520000000800000009'),
	('AuthenticationSASL', 'B', 'normal', '\x52000000170000000a534352414d2d5348412d3235360000'),
	('AuthenticationSASLContinue', 'B', 'normal', '\x520000000a0000000b723d'),
	('AuthenticationSASLFinal', 'B', 'normal', '\x520000000a0000000c763d'),
	('BackendKeyData', 'B', 'normal', '\x4b0000000e00000102616263646566'),
	('BindComplete', 'B', 'normal', '\x3200000004'),
	('CloseComplete', 'B', 'normal', '\x3300000004'),
	('CommandComplete', 'B', 'normal', '\x430000000f494e534552542030203500'),
	('CopyInResponse', 'B', 'normal', '\x470000000b00000200000000'),
	('CopyOutResponse', 'B', 'normal', '\x48000000090100010001'),
	('CopyBothResponse', 'B', 'normal', '\x5700000007000000'),
	('DataRow', 'B', 'normal', '\x4400000011000200000003616263ffffffff'),
	('EmptyQueryResponse', 'B', 'normal', '\x4900000004'),
	('ErrorResponse', 'B', 'normal', '\x4500000016534552524f5200433432503031004d780000'),
	('FunctionCallResponse', 'B', 'normal', '\x560000000a000000026162'),
	('NegotiateProtocolVersion', 'B', 'normal', '\x760000001300030000000000015f70715f2e7800'),
	('NoData', 'B', 'normal', '\x6e00000004'),
	('NoticeResponse', 'B', 'normal', '\x4e0000000a4d7800530000'),
	('NotificationResponse', 'B', 'normal', '\x410000001000000007630068656c6c6f00'),
	('ParameterDescription', 'B', 'normal', '\x740000000a000100000017'),
	('ParameterStatus', 'B', 'normal', '\x5300000007610000'),
	('ParseComplete', 'B', 'normal', '\x3100000004'),
	('PortalSuspended', 'B', 'normal', '\x7300000004'),
	('ReadyForQuery', 'B', 'normal', '\x5a0000000549'),
	('RowDescription', 'B', 'normal', '\x540000001b0001696400000040010001000000170004ffffffff0001'),
	('XLogData', 'B', 'replication', '\x640000002177000000000100000000000000010000040002e5652b010203d00d0500'),
	('PrimaryKeepalive', 'B', 'replication', '\x64000000166b00000001000000010002e5652b01020301'),
	('PrimaryStatusUpdate', 'B', 'replication', '\x6400000025730000000100000001000000010000000200000001000000030002e5652b010203'),
	('StandbyStatusUpdate', 'F', 'replication', '\x6400000026720000000100000003000000010000000200000001000000010002e5652b01020300'),
	('HotStandbyFeedback', 'F', 'replication', '\x640000001d680002e5652b010203000002e000000000ffffffff00000001'),
	('PrimaryStatusRequest', 'F', 'replication', '\x640000000d700002e5652b010203'),
	('NewArchive', 'B', 'replication', '\x640000000f6e626173652e7461720000'),
	('Manifest', 'B', 'replication', '\x64000000056d'),
	('ArchiveData', 'B', 'replication', '\x64000000116450475f56455253494f4e0000'),
	('ProgressReport', 'B', 'replication', '\x640000000d700000000100000000'),
	('Begin', 'B', 'replication', '\x64000000327700000000016b374800000000016b37480002e5652b0000074200000001000000010002e5652b010203000002e0'),
	('Message', 'B', 'replication', '\x64000000377700000000016b374800000000016b37480002e5652b0000074d010000000100000001707265666978000000000568656c6c6f'),
	('Message', 'B', 'replication', '\x64000000367700000000016b374800000000016b37480002e5652b0000074d000002e00100000001000000017072656669780000000000'),
	('Commit', 'B', 'replication', '\x64000000377700000000016b374800000000016b37480002e5652b0000074300000000010000000100000001000000020002e5652b010203'),
	('Origin', 'B', 'replication', '\x640000002b7700000000016b374800000000016b37480002e5652b0000074f00000001000000016e6f646500'),
	('Relation', 'B', 'replication', '\x64000000457700000000016b374800000000016b37480002e5652b00000752000040017075626c69630074006400020169640000000017ffffffff00760000000019ffffffff'),
	('Relation', 'B', 'replication', '\x640000002f7700000000016b374800000000016b37480002e5652b00000752000002e0000040010070675f7800660000'),
	('Type', 'B', 'replication', '\x640000002e7700000000016b374800000000016b37480002e5652b00000759000040017075626c6963006d6f6f6400'),
	('Insert', 'B', 'replication', '\x64000000347700000000016b374800000000016b37480002e5652b00000749000040014e00047400000001316e7562000000020007'),
	('Insert', 'B', 'replication', '\x640000002e7700000000016b374800000000016b37480002e5652b00000749000002e0000040014e00017400000000'),
	('Update', 'B', 'replication', '\x64000000267700000000016b374800000000016b37480002e5652b00000755000040014e000175'),
	('Update', 'B', 'replication', '\x64000000347700000000016b374800000000016b37480002e5652b00000755000040014b00017400000001614e0001740000000162'),
	('Update', 'B', 'replication', '\x64000000337700000000016b374800000000016b37480002e5652b00000755000002e0000040014f00016e4e0001740000000162'),
	('Delete', 'B', 'replication', '\x640000002b7700000000016b374800000000016b37480002e5652b00000744000040014b0001740000000161'),
	('Delete', 'B', 'replication', '\x64000000307700000000016b374800000000016b37480002e5652b00000744000002e0000040014f00027400000001616e'),
	('Truncate', 'B', 'replication', '\x640000002b7700000000016b374800000000016b37480002e5652b0000075400000002030000400100004001'),
	('StreamStart', 'B', 'replication', '\x64000000237700000000016b374800000000016b37480002e5652b00000753000002e001'),
	('StreamStop', 'B', 'replication', '\x640000001e7700000000016b374800000000016b37480002e5652b00000745'),
	('StreamCommit', 'B', 'replication', '\x640000003b7700000000016b374800000000016b37480002e5652b00000763000002e000000000010000000100000001000000020002e5652b010203'),
	('StreamAbort', 'B', 'replication', '\x64000000267700000000016b374800000000016b37480002e5652b00000741000002e0000002e0'),
	('StreamAbort', 'B', 'replication', '\x64000000367700000000016b374800000000016b37480002e5652b00000741000002e0000002e000000001000000010002e5652b010203'),
	('BeginPrepare', 'B', 'replication', '\x640000003e7700000000016b374800000000016b37480002e5652b00000762000000010000000100000001000000020002e5652b010203000002e067696400'),
	('Prepare', 'B', 'replication', '\x640000003f7700000000016b374800000000016b37480002e5652b0000075000000000010000000100000001000000020002e5652b010203000002e067696400'),
	('CommitPrepared', 'B', 'replication', '\x640000003f7700000000016b374800000000016b37480002e5652b0000074b00000000010000000100000001000000020002e5652b010203000002e067696400'),
	('RollbackPrepared', 'B', 'replication', '\x64000000477700000000016b374800000000016b37480002e5652b0000077200000000010000000100000001000000020002e5652b0102030002e5652b010203000002e067696400'),
	('StreamPrepare', 'B', 'replication', '\x640000003f7700000000016b374800000000016b37480002e5652b0000077000000000010000000100000001000000020002e5652b010203000002e067696400');

-- each message has a sample, and each sample is of a message
SELECT direction, name FROM pgwire_trace.message_types() AS t
WHERE NOT EXISTS (SELECT FROM sample AS s WHERE s.name = t.name AND (s.direction = t.direction
	OR t.name IN ('CopyData', 'CopyDone')));
SELECT direction, name FROM sample EXCEPT SELECT direction, name FROM pgwire_trace.message_types();

-- each is one message of that name, well formed; a part stands under its key
CREATE TEMPORARY TABLE decoded AS
SELECT s.*, d.name AS found, d.body, t.phase IN ('copy_data', 'xlog_data') AS is_part,
	CASE t.phase WHEN 'xlog_data' THEN d.body #> '{xlog_data,data}' ELSE d.body END AS holder, d.message_no
FROM sample AS s LEFT JOIN pgwire_trace.message_types() AS t ON t.name = s.name AND t.direction = s.direction,
	pgwire_trace.decode_messages(s.data, s.direction, s.phase) AS d;
SELECT name, found, body FROM decoded
WHERE message_no <> 1 OR body ? 'malformed' OR body ? 'truncated'
	OR NOT CASE WHEN is_part THEN found = 'CopyData' AND (SELECT count(*) = 1 AND bool_and(replace(k, '_', '') = lower(name))
			FROM jsonb_object_keys(holder) AS k)
		ELSE found = name END;
-- its fields are those of the list
SELECT d.name, t.fields, keys
FROM decoded AS d JOIN pgwire_trace.message_types() AS t ON t.name = d.name AND t.direction = d.direction,
	LATERAL (SELECT array_agg(k) AS keys FROM jsonb_object_keys(
		CASE WHEN is_part THEN (SELECT value FROM jsonb_each(holder)) ELSE body END) AS k) AS k
WHERE NOT (coalesce(keys, '{}') @> t.fields AND t.fields @> coalesce(keys, '{}')) AND t.fields <> '{fields}';
-- it gives the same bytes again
SELECT name, data, pgwire_trace.encode_message(direction, found, body) AS again FROM decoded
WHERE data IS DISTINCT FROM pgwire_trace.encode_message(direction, found, body);
SELECT count(*) > 90 FROM decoded;

-- and it is printed, as libpq does; recorded in one transaction that is rolled back
BEGIN;
CREATE FUNCTION pg_temp.chunk(direction text, bytes int) RETURNS bytea IMMUTABLE
RETURN set_byte(set_byte('\x000000', 0, (bytes * 2 + (direction = 'B')::int) % 128 + 128), 1, bytes * 2 / 128);
WITH e AS (
	SELECT no, phase, CASE WHEN phase IN ('password', 'sasl_initial', 'sasl', 'gss', 'startup') THEN 'startup' ELSE 'query' END AS kind,
		CASE phase WHEN 'ssl_answer' THEN '\x0000000804d2162f'::bytea WHEN 'startup' THEN ''
			ELSE CASE WHEN phase IN ('password', 'sasl_initial', 'sasl', 'gss') THEN '\x000000090003000000'::bytea ELSE '' END END AS before,
		CASE phase WHEN 'password' THEN '\x520000000800000003'::bytea WHEN 'sasl_initial' THEN '\x52000000090000000a00'
			WHEN 'sasl' THEN '\x52000000080000000b' WHEN 'gss' THEN '\x520000000800000007' ELSE '' END AS asked,
		CASE direction WHEN 'F' THEN data ELSE '' END AS f, CASE direction WHEN 'B' THEN data ELSE '' END AS b
	FROM sample)
INSERT INTO pgwire_trace.exchange (recorded_at, session_id, exchange_no, part_no, started_at,
	finished_at, kind, statement_count, row_count, data_row_count, request_bytes,
	response_bytes, is_complete, is_truncated, pairing_uncertain, request, response, chunks)
SELECT '2000-01-01', -1, no, 1, '2000-01-01 00:00:01', '2000-01-01 00:00:02',
	CASE phase WHEN 'ssl_answer' THEN 'startup' ELSE kind END, 0, 0, 0, length(before || f), length(asked || b), true, false, false,
	before || f, asked || b, pg_temp.chunk('F', length(before)) || pg_temp.chunk('B', length(asked))
		|| pg_temp.chunk('F', length(f)) || pg_temp.chunk('B', length(b))
FROM e;
-- what is inside CopyData libpq prints as its data, of which a comparison of runs says nothing
SELECT s.name, lines[array_upper(lines, 1)] AS line
FROM decoded AS s, LATERAL (SELECT array_agg(line) AS lines FROM pgwire_trace.trace_lines(-1, s.no, true) AS line) AS l
WHERE NOT is_part ORDER BY s.no;
ROLLBACK;

-- whatever is wrong with a body: one of the contract's errors, which names the message, or bytes of a message
CREATE FUNCTION pg_temp.encode(direction text, name text, body jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM pgwire_trace.decode_messages(pgwire_trace.encode_message(direction, name, body), direction);
	RETURN 'bytes';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE WHEN SQLSTATE = '22023' AND SQLERRM ~ ' must be .*, (but is|not) | has no field | was truncated: '
		THEN 'error' ELSE concat_ws(' ', SQLSTATE, SQLERRM) END;
END $$;
CREATE TEMPORARY TABLE wrong AS
WITH RECURSIVE place (no, direction, found, body, path) AS (
	SELECT no, direction, found, body, ARRAY[]::text[] FROM decoded
	UNION ALL
	SELECT no, direction, found, body, path || key
	FROM place, LATERAL (SELECT jsonb_object_keys(body #> path) AS key WHERE jsonb_typeof(body #> path) = 'object'
		UNION ALL SELECT i::text FROM generate_series(0, jsonb_array_length(
			CASE jsonb_typeof(body #> path) WHEN 'array' THEN body #> path ELSE '[]' END) - 1) AS i) AS k)
SELECT no, found, path, value, pg_temp.encode(direction, found, CASE
	WHEN path = '{}' THEN coalesce(value, '{"nonsense": 1}')
	WHEN value IS NULL THEN body #- path
	ELSE jsonb_set(body, path, value) END) AS result
FROM place, unnest(ARRAY[NULL, 'null', 'true', '-1', '1.5', '1e30', '""', '"x"', '"x\ty"', '[]', '[null]', '[[]]', '[["a"]]',
	'[{}]', '{}', '{"hex": "0"}', '{"hex": "00"}', '{"hex": 1}', '{"masked": 4}', '{"nonsense": 1}', '{"truncated": true}']::jsonb[]) AS value;
SELECT count(*) > 5000 AS many, count(*) FILTER (WHERE result = 'error') > 4000 AS errors,
	count(*) FILTER (WHERE result = 'bytes') > 100 AS bytes FROM wrong;
SELECT found, path, value, result FROM wrong WHERE result NOT IN ('error', 'bytes') ORDER BY no, path LIMIT 20;
