-- Any bytes: decoding them is no error, and encoding what comes out gives them again.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
SELECT setseed(0.5);

-- bytes of a length, half of them from the few that mean something
CREATE FUNCTION pg_temp.some_bytes(n int) RETURNS bytea LANGUAGE sql
RETURN coalesce((SELECT string_agg(CASE WHEN random() < 0.5 THEN substr('\x000000000000000001020405ff7f804142434b4e4f6e7462'::bytea, (random() * 23)::int + 1, 1)
		ELSE set_byte('\x00', 0, (random() * 255)::int) END, '') FROM generate_series(1, n)), '');
-- a message of some type, mostly with the right length
CREATE FUNCTION pg_temp.some_message(types bytea) RETURNS bytea LANGUAGE sql
RETURN (SELECT substr(types, (random() * (length(types) - 1))::int + 1, 1)
		|| int4send(4 + length(body) + CASE WHEN random() < 0.02 THEN (random() * 8)::int - 4 ELSE 0 END) || body
	FROM pg_temp.some_bytes((random() * random() * 40)::int) AS body);
-- XLogData of what may be pgoutput's
CREATE FUNCTION pg_temp.some_change() RETURNS bytea LANGUAGE sql
RETURN (SELECT '\x64' || int4send(4 + 25 + length(data)) || '\x77' || place || place || int8send(7) || data
	FROM (SELECT int8send((random() * 1000000)::bigint) AS place,
			substr('BMCORYIUDTSEcAbPKrp'::bytea, (random() * 18)::int + 1, 1) || CASE WHEN random() < 0.5 THEN ''::bytea ELSE '\x000002e1' END
			|| CASE WHEN random() < 0.7 THEN '\x00004001'::bytea ELSE '' END
			|| pg_temp.some_bytes((random() * random() * 30)::int) AS data) AS x);

-- well-formed messages with many fields, of which a byte behind the length may be changed
CREATE TEMPORARY TABLE sample AS
SELECT direction, row_number() OVER (PARTITION BY direction) AS n, pgwire_trace.encode_message(direction, name, body) AS data
FROM (VALUES
	('F', 'Parse', '{"statement": "s", "query": "select", "parameter_types": [23, 0]}'::jsonb),
	('F', 'Bind', '{"portal": "p", "statement": "s", "parameter_formats": [1, 0], "parameters": [{"hex": "00"}, "a", null, ""], "result_formats": [1]}'),
	('F', 'FunctionCall', '{"function_oid": 7, "argument_formats": [1], "arguments": ["a", null], "result_format": 1}'),
	('F', 'CopyData', '{"standby_status_update": {"written": "0/1", "flushed": "0/1", "applied": "0/1", "sent_at": 1, "reply_requested": 0}}'),
	('B', 'RowDescription', '{"columns": [{"name": "id", "table_oid": 7, "column_no": 1, "type_oid": 23, "type_size": 4, "type_modifier": -1, "format": 1}]}'),
	('B', 'DataRow', '{"values": ["a", null, ""]}'),
	('B', 'ErrorResponse', '{"severity": "ERROR", "sqlstate": "42P01", "message": "no"}'),
	('B', 'AuthenticationSASL', '{"mechanisms": ["SCRAM-SHA-256", "X"]}'),
	('B', 'NegotiateProtocolVersion', '{"newest_version": "3.0", "unrecognized_options": ["_pq_.a"]}'),
	('B', 'CopyData', '{"new_archive": {"archive": "a", "tablespace": ""}}'),
	('B', 'CopyData', '{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 1, "data": {"relation": {"xid": 7, "relation_oid": 1, "schema": "s", "name": "t", "replica_identity": "d", "columns": [{"flags": 1, "name": "id", "type_oid": 23, "type_modifier": -1}]}}}}'),
	('B', 'CopyData', '{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 1, "data": {"update": {"xid": null, "relation_oid": 1, "key": [null], "old": ["a"], "new": ["a", null, {"unchanged": true}, {"hex": "00"}]}}}}'),
	('B', 'CopyData', '{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 1, "data": {"truncate": {"xid": 7, "options": 1, "relation_oids": [1, 2]}}}}'),
	('B', 'CopyData', '{"xlog_data": {"start": "0/1", "end": "0/1", "sent_at": 1, "data": {"message": {"xid": null, "flags": 1, "lsn": "0/1", "prefix": "p", "content": "c"}}}}')
	) AS v(direction, name, body);
CREATE FUNCTION pg_temp.near_message(direction text) RETURNS bytea LANGUAGE sql
RETURN (SELECT CASE WHEN random() < 0.3 THEN data
		ELSE set_byte(data, 5 + floor(random() * (length(data) - 5))::int, (ARRAY[0, 1, 2, 65, 127, 128, 255])[(random() * 6)::int + 1]) END
	FROM sample AS s, (SELECT floor(random() * (SELECT count(*) FROM sample AS c WHERE c.direction = near_message.direction)) + 1 AS n) AS r
	WHERE s.direction = near_message.direction AND s.n = r.n);

-- a stream that begins in some phase; some encoding
CREATE FUNCTION pg_temp.try(rounds int) RETURNS TABLE (tried int, failed int, example text) LANGUAGE plpgsql AS $$
DECLARE
	f_types CONSTANT bytea := 'BCdcfDEHFPpQSX';
	b_types CONSTANT bytea := 'RK23CdcGHWDIEVvnNAtS1sZT';
	sum_of text;
	direction text;
	phase text;
	encoding name;
	data bytea;
	again bytea;
BEGIN
	tried := 0;
	failed := 0;
	FOR i IN 1..rounds LOOP
		direction := (ARRAY['F', 'B'])[(random() * 1)::int + 1];
		phase := (ARRAY['startup', 'password', 'sasl_initial', 'sasl', 'gss', 'normal', 'copy', 'replication',
			'ssl_answer'])[(random() * 8)::int + 1];
		encoding := (ARRAY['UTF8', 'LATIN1', 'SQL_ASCII', 'EUC_JP', 'WIN1252', 'SJIS'])[(random() * 5)::int + 1];
		SELECT string_agg(CASE WHEN phase = 'startup' AND n = 1 THEN int4send(4 + length(b)) || b
				WHEN random() < 0.05 THEN b
				WHEN random() < 0.5 THEN pg_temp.near_message(direction)
				WHEN phase = 'replication' AND direction = 'B' AND random() < 0.8 THEN pg_temp.some_change()
				ELSE pg_temp.some_message(CASE direction WHEN 'F' THEN f_types ELSE b_types END) END, '')
			INTO data
			FROM generate_series(1, 1 + (random() * 4)::int) AS n, pg_temp.some_bytes(3 + (random() * 20)::int) AS b;
		tried := tried + 1;
		BEGIN
			/* what is cut off cannot be encoded: it is the last row, and its bytes are its data */
			SELECT string_agg(CASE WHEN d.body ? 'truncated'
					THEN substr(data, d.at_byte::int + 1)
					ELSE pgwire_trace.encode_message(direction, d.name, d.body, encoding) END, '' ORDER BY d.message_no)
				INTO again
				FROM pgwire_trace.decode_messages(data, direction, phase, encoding) AS d;
			sum_of := 'encoded as ' || again::text;
		EXCEPTION WHEN OTHERS THEN
			again := NULL;
			sum_of := SQLERRM;
		END;
		IF again IS DISTINCT FROM data THEN
			failed := failed + 1;
			example := format('%s in %s, %s, %s: %s', data, direction, phase, encoding, sum_of);
		END IF;
	END LOOP;
	RETURN NEXT;
END $$;
SELECT * FROM pg_temp.try(5000);
