/* sql/install/10_tables.sql: where the writer stores the record */

CREATE TABLE pgwire_trace.session (
	session_id bigint PRIMARY KEY,
	started_at timestamptz NOT NULL,
	authenticated_at timestamptz,
	ended_at timestamptz,
	client_addr inet,
	client_port integer,
	user_name text,
	database_name text,
	application_name text,
	database_oid oid,
	backend_pid integer,
	backend_start timestamptz,
	protocol_version text,
	tls_version text,
	tls_cipher text,
	startup_parameters jsonb,
	server_parameters jsonb,
	exchange_count bigint NOT NULL,
	request_bytes bigint NOT NULL,
	response_bytes bigint NOT NULL,
	dropped_exchanges bigint NOT NULL,
	is_desynchronised boolean NOT NULL,
	end_reason text,
	journal_series bigint NOT NULL
);
CREATE INDEX session_started_at ON pgwire_trace.session (started_at);
CREATE INDEX session_open ON pgwire_trace.session (journal_series) WHERE end_reason IS NULL;
REVOKE ALL ON pgwire_trace.session FROM PUBLIC;

COMMENT ON TABLE pgwire_trace.session IS
'One row a connection to the side port that sent a startup packet or a cancel request.';
COMMENT ON COLUMN pgwire_trace.session.session_id IS 'Id: node_id << 48 | counter; never used twice.';
COMMENT ON COLUMN pgwire_trace.session.started_at IS 'When the relay accepted the client.';
COMMENT ON COLUMN pgwire_trace.session.authenticated_at IS 'When the server was first ready for a query; NULL if it never was.';
COMMENT ON COLUMN pgwire_trace.session.ended_at IS 'When the connection ended; NULL while it is open.';
COMMENT ON COLUMN pgwire_trace.session.client_addr IS 'Address of the client; NULL for a Unix socket.';
COMMENT ON COLUMN pgwire_trace.session.client_port IS 'Port of the client; -1 for a Unix socket.';
COMMENT ON COLUMN pgwire_trace.session.user_name IS 'User that the startup packet names.';
COMMENT ON COLUMN pgwire_trace.session.database_name IS 'Database that the startup packet names, by default the user''s name.';
COMMENT ON COLUMN pgwire_trace.session.application_name IS 'application_name as last reported by the server.';
COMMENT ON COLUMN pgwire_trace.session.database_oid IS 'OID of the database; NULL if the login failed.';
COMMENT ON COLUMN pgwire_trace.session.backend_pid IS 'Process id of the backend that served the session.';
COMMENT ON COLUMN pgwire_trace.session.backend_start IS 'Start of that backend; with backend_pid it joins log_line_prefix %c.';
COMMENT ON COLUMN pgwire_trace.session.protocol_version IS 'Protocol version in use, as 3.0.';
COMMENT ON COLUMN pgwire_trace.session.tls_version IS 'TLS version of the client''s connection; NULL without TLS.';
COMMENT ON COLUMN pgwire_trace.session.tls_cipher IS 'TLS cipher of the client''s connection; NULL without TLS.';
COMMENT ON COLUMN pgwire_trace.session.startup_parameters IS 'Parameters of the client''s startup packet.';
COMMENT ON COLUMN pgwire_trace.session.server_parameters IS 'Settings that the server reported up to the first ReadyForQuery.';
COMMENT ON COLUMN pgwire_trace.session.exchange_count IS 'Exchanges of the session, dropped ones included. While it is open: those up to the login. Of one whose relay died: those that are stored; so with request_bytes and response_bytes.';
COMMENT ON COLUMN pgwire_trace.session.request_bytes IS 'Bytes from the client; see exchange_count.';
COMMENT ON COLUMN pgwire_trace.session.response_bytes IS 'Bytes to the client; see exchange_count.';
COMMENT ON COLUMN pgwire_trace.session.dropped_exchanges IS 'Exchanges that were not recorded for want of room.';
COMMENT ON COLUMN pgwire_trace.session.is_desynchronised IS 'Whether the stream stopped making sense as protocol; what followed was forwarded, not decoded.';
COMMENT ON COLUMN pgwire_trace.session.end_reason IS 'terminate, server_unreachable, protocol_violation, client_closed, client_reset, server_closed, authentication_failed, authentication_timeout, cancel_request, too_many_sessions, relay_died or server_shutdown; NULL while open.';
COMMENT ON COLUMN pgwire_trace.session.journal_series IS 'Journal series of the relay process that served the session.';

CREATE INDEX session_ended_at ON pgwire_trace.session (ended_at);

CREATE TABLE pgwire_trace.query_text (
	query_hash bigint PRIMARY KEY,
	query text,
	normalised text,
	normalised_hash bigint,
	first_seen timestamptz NOT NULL,
	last_used timestamptz NOT NULL
) WITH (fillfactor = 80); -- last_used is updated once an hour
CREATE INDEX query_text_normalised_hash ON pgwire_trace.query_text (normalised_hash);
-- equality is all that a text is asked for, and a long one has no place in a btree
CREATE INDEX query_text_normalised ON pgwire_trace.query_text USING hash (normalised);
CREATE INDEX query_text_last_used ON pgwire_trace.query_text (last_used);
REVOKE ALL ON pgwire_trace.query_text FROM PUBLIC;

COMMENT ON TABLE pgwire_trace.query_text IS
'One row a distinct text that came in a Parse, and one a distinct normalised text of Query messages; their own texts are in the requests.';
COMMENT ON COLUMN pgwire_trace.query_text.query_hash IS 'Hash of the text, passwords masked, keyed by node; where query is NULL, of the normalised text.';
COMMENT ON COLUMN pgwire_trace.query_text.query IS 'The text that came in a Parse, passwords masked; NULL if it came in Query messages alone, or in metadata mode.';
COMMENT ON COLUMN pgwire_trace.query_text.normalised IS 'The text with its constants as $n; that of a Query is cut off after 4,096 bytes, with "..." behind.';
COMMENT ON COLUMN pgwire_trace.query_text.normalised_hash IS 'Hash of the first 4,096 bytes of the normalised text: the same for all texts that differ in constants only.';
COMMENT ON COLUMN pgwire_trace.query_text.first_seen IS 'When a relay first saw it.';
COMMENT ON COLUMN pgwire_trace.query_text.last_used IS 'When it was last used, to an hour.';

-- Compact storage of the exchanges; what people read is view exchange.  The rows are in
-- tables that inherit from this one, a stretch of time each: see table partition.
CREATE TABLE pgwire_trace.stored_exchange (
	started_at timestamptz NOT NULL,
	session_id bigint NOT NULL,
	exchange_no bigint NOT NULL,
	query_hash bigint,
	facts bytea NOT NULL,
	bytes bytea,
	query text,
	error_message text
);
REVOKE ALL ON pgwire_trace.stored_exchange FROM PUBLIC;

COMMENT ON TABLE pgwire_trace.stored_exchange IS
'Compact storage of the exchanges; view exchange shows them. Itself empty: the rows are in the tables that inherit from it.';
COMMENT ON COLUMN pgwire_trace.stored_exchange.started_at IS 'When the relay read the first byte of the request.';
COMMENT ON COLUMN pgwire_trace.stored_exchange.session_id IS 'Session that it belongs to.';
COMMENT ON COLUMN pgwire_trace.stored_exchange.exchange_no IS 'Number in the session.';
COMMENT ON COLUMN pgwire_trace.stored_exchange.query_hash IS 'query_text.query_hash of the first statement, or of its normalised text; NULL without one.';
COMMENT ON COLUMN pgwire_trace.stored_exchange.facts IS 'Times, counts and flags, encoded; read by the fact functions.';
COMMENT ON COLUMN pgwire_trace.stored_exchange.bytes IS 'Request, response, chunks and query hashes, one behind the other; read by exchange_bytes() and exchange_hashes().';
COMMENT ON COLUMN pgwire_trace.stored_exchange.query IS 'Text of the first statement where neither the request nor query_text has it; NULL otherwise.';
COMMENT ON COLUMN pgwire_trace.stored_exchange.error_message IS 'Message of the first ErrorResponse.';

CREATE TABLE pgwire_trace.partition (
	partition_no integer PRIMARY KEY,
	begun_at timestamptz NOT NULL,
	ended_at timestamptz,
	oldest timestamptz,
	newest timestamptz
);
REVOKE ALL ON pgwire_trace.partition FROM PUBLIC;

COMMENT ON TABLE pgwire_trace.partition IS
'One row a table stored_exchange_<partition_no> that holds exchanges. Rows go into the last one until it is large or old enough; the oldest is dropped whole.';
COMMENT ON COLUMN pgwire_trace.partition.partition_no IS 'Number of the partition, and the end of its table''s name.';
COMMENT ON COLUMN pgwire_trace.partition.begun_at IS 'When it was begun.';
COMMENT ON COLUMN pgwire_trace.partition.ended_at IS 'When the last row went into it; NULL while it is in use.';
COMMENT ON COLUMN pgwire_trace.partition.oldest IS 'recorded_at of its oldest exchange; NULL while it is in use.';
COMMENT ON COLUMN pgwire_trace.partition.newest IS 'recorded_at of its newest exchange; NULL while it is in use.';

-- lz4 where the server has it
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_settings
			WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
		ALTER TABLE pgwire_trace.stored_exchange ALTER COLUMN bytes SET COMPRESSION lz4,
			ALTER COLUMN query SET COMPRESSION lz4;
		ALTER TABLE pgwire_trace.query_text ALTER COLUMN query SET COMPRESSION lz4,
			ALTER COLUMN normalised SET COMPRESSION lz4;
		ALTER TABLE pgwire_trace.session ALTER COLUMN startup_parameters SET COMPRESSION lz4,
			ALTER COLUMN server_parameters SET COMPRESSION lz4;
	END IF;
END $$;

CREATE TABLE pgwire_trace.journal_position (
	series bigint PRIMARY KEY,
	segment integer NOT NULL,
	next_offset bigint NOT NULL,
	next_sequence bigint NOT NULL
) WITH (fillfactor = 20); -- updated with every batch: room for that in the page
REVOKE ALL ON pgwire_trace.journal_position FROM PUBLIC;

COMMENT ON TABLE pgwire_trace.journal_position IS
'How far each series of the journal is stored; written in the transaction that stores.';
COMMENT ON COLUMN pgwire_trace.journal_position.series IS 'Series of the journal.';
COMMENT ON COLUMN pgwire_trace.journal_position.segment IS 'Number of the segment.';
COMMENT ON COLUMN pgwire_trace.journal_position.next_offset IS 'Where the next record begins in it.';
COMMENT ON COLUMN pgwire_trace.journal_position.next_sequence IS 'Sequence number of the next record.';

CREATE TABLE pgwire_trace.quarantine (
	series bigint NOT NULL,
	segment integer NOT NULL,
	sequence bigint NOT NULL,
	session_id bigint,
	record_type text NOT NULL,
	reason text NOT NULL,
	record bytea,
	quarantined_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (series, sequence)
);
REVOKE ALL ON pgwire_trace.quarantine FROM PUBLIC;

COMMENT ON TABLE pgwire_trace.quarantine IS 'Records of the journal that could not be stored.';
COMMENT ON COLUMN pgwire_trace.quarantine.series IS 'Series of the journal.';
COMMENT ON COLUMN pgwire_trace.quarantine.segment IS 'Number of the segment.';
COMMENT ON COLUMN pgwire_trace.quarantine.sequence IS 'Sequence number of the record.';
COMMENT ON COLUMN pgwire_trace.quarantine.session_id IS 'Session that the record belongs to.';
COMMENT ON COLUMN pgwire_trace.quarantine.record_type IS 'session, query_text, exchange or unknown.';
COMMENT ON COLUMN pgwire_trace.quarantine.reason IS 'Why it could not be stored: the error, or that the writer died of it.';
COMMENT ON COLUMN pgwire_trace.quarantine.record IS 'The record''s bytes as in the journal; NULL over 1 MB.';
COMMENT ON COLUMN pgwire_trace.quarantine.quarantined_at IS 'When it was given up.';
