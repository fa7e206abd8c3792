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
COMMENT ON COLUMN pgwire_trace.session.exchange_count IS 'Exchanges of the session so far, dropped ones included.';
COMMENT ON COLUMN pgwire_trace.session.request_bytes IS 'Bytes from the client so far.';
COMMENT ON COLUMN pgwire_trace.session.response_bytes IS 'Bytes to the client so far.';
COMMENT ON COLUMN pgwire_trace.session.dropped_exchanges IS 'Exchanges that were not recorded for want of room.';
COMMENT ON COLUMN pgwire_trace.session.is_desynchronised IS 'Whether the stream stopped making sense as protocol; what followed was forwarded, not decoded.';
COMMENT ON COLUMN pgwire_trace.session.end_reason IS 'terminate, server_unreachable, protocol_violation, client_closed, client_reset, server_closed, authentication_failed, authentication_timeout, cancel_request, too_many_sessions, relay_died or server_shutdown; NULL while open.';
COMMENT ON COLUMN pgwire_trace.session.journal_series IS 'Journal series of the relay process that served the session.';

CREATE TABLE pgwire_trace.exchange (
	recorded_at timestamptz NOT NULL,
	session_id bigint NOT NULL,
	exchange_no bigint NOT NULL,
	part_no integer NOT NULL,
	started_at timestamptz NOT NULL,
	first_response_at timestamptz,
	finished_at timestamptz NOT NULL,
	kind text NOT NULL,
	query text,
	query_hashes bigint[],
	query_id bigint,
	command_tag text,
	statement_count integer NOT NULL,
	row_count bigint NOT NULL,
	data_row_count bigint NOT NULL,
	sqlstate text,
	error_message text,
	transaction_status "char",
	request_bytes bigint NOT NULL,
	response_bytes bigint NOT NULL,
	is_complete boolean NOT NULL,
	is_truncated boolean NOT NULL,
	pairing_uncertain boolean NOT NULL,
	row_digest bigint,
	row_set_digest bigint,
	cancelled_session_id bigint,
	cancelled_exchange_no bigint,
	request bytea,
	response bytea,
	chunks bytea
) PARTITION BY RANGE (recorded_at);
CREATE INDEX exchange_session ON pgwire_trace.exchange (session_id, exchange_no);
CREATE INDEX exchange_recorded_at ON pgwire_trace.exchange USING brin (recorded_at);
REVOKE ALL ON pgwire_trace.exchange FROM PUBLIC;

COMMENT ON TABLE pgwire_trace.exchange IS
'One row an exchange: what the client sent up to and including a Query, Sync or FunctionCall, and what answered it.';
COMMENT ON COLUMN pgwire_trace.exchange.recorded_at IS 'When it was finished; the key of the partitions, one a UTC day.';
COMMENT ON COLUMN pgwire_trace.exchange.session_id IS 'Session that it belongs to.';
COMMENT ON COLUMN pgwire_trace.exchange.exchange_no IS 'Number in the session, from 0 (the startup), in the order in which requests began.';
COMMENT ON COLUMN pgwire_trace.exchange.part_no IS 'Number of the part, from 1; an exchange that takes longer than pgwire_trace.part_interval has several. Times, bytes and counts are of the part alone; digests are of all rows so far; is_complete is true in the last part at most.';
COMMENT ON COLUMN pgwire_trace.exchange.started_at IS 'When the relay read the first byte of the request.';
COMMENT ON COLUMN pgwire_trace.exchange.first_response_at IS 'When the first answer came, notices, notifications and parameter changes aside; NULL without one.';
COMMENT ON COLUMN pgwire_trace.exchange.finished_at IS 'When the last answer came, or the connection ended.';
COMMENT ON COLUMN pgwire_trace.exchange.kind IS 'The first that applies: cancel, startup, terminate, replication, copy, function_call, query, extended, async.';
COMMENT ON COLUMN pgwire_trace.exchange.query IS 'Text of the first statement, passwords masked; without constants in metadata mode.';
COMMENT ON COLUMN pgwire_trace.exchange.query_hashes IS 'query_text.query_hash of the texts of its Binds, in order.';
COMMENT ON COLUMN pgwire_trace.exchange.query_id IS 'Query identifier of the first statement as the server computed it (pg_stat_statements.queryid); NULL where it is not known.';
COMMENT ON COLUMN pgwire_trace.exchange.command_tag IS 'Last command tag.';
COMMENT ON COLUMN pgwire_trace.exchange.statement_count IS 'Statements that were run or failed.';
COMMENT ON COLUMN pgwire_trace.exchange.row_count IS 'Sum of the rows that the command tags name.';
COMMENT ON COLUMN pgwire_trace.exchange.data_row_count IS 'DataRow messages.';
COMMENT ON COLUMN pgwire_trace.exchange.sqlstate IS 'SQLSTATE of the first ErrorResponse; NULL without one.';
COMMENT ON COLUMN pgwire_trace.exchange.error_message IS 'Message of the first ErrorResponse; NULL in metadata mode.';
COMMENT ON COLUMN pgwire_trace.exchange.transaction_status IS 'Status of the last ReadyForQuery: I idle, T in a transaction, E in a failed one.';
COMMENT ON COLUMN pgwire_trace.exchange.request_bytes IS 'True size of the request, whole messages.';
COMMENT ON COLUMN pgwire_trace.exchange.response_bytes IS 'True size of the response, whole messages.';
COMMENT ON COLUMN pgwire_trace.exchange.is_complete IS 'Whether the answer came to its end.';
COMMENT ON COLUMN pgwire_trace.exchange.is_truncated IS 'Whether not all bytes were kept; counts are exact all the same.';
COMMENT ON COLUMN pgwire_trace.exchange.pairing_uncertain IS 'Whether an answer came that no request explains, here or just before.';
COMMENT ON COLUMN pgwire_trace.exchange.row_digest IS 'Digest of the rows in their order, keyed by node; NULL without rows.';
COMMENT ON COLUMN pgwire_trace.exchange.row_set_digest IS 'Digest of the rows in any order, keyed by node; NULL without rows.';
COMMENT ON COLUMN pgwire_trace.exchange.cancelled_session_id IS 'Session that a cancel request hit; NULL for other kinds, and where its key fits no traced session.';
COMMENT ON COLUMN pgwire_trace.exchange.cancelled_exchange_no IS 'Exchange of that session that the server was working on when the request was passed on; NULL where there was none.';
COMMENT ON COLUMN pgwire_trace.exchange.request IS 'Bytes from the client, secrets masked, up to pgwire_trace.request_limit.';
COMMENT ON COLUMN pgwire_trace.exchange.response IS 'Bytes from the server, secrets masked, up to pgwire_trace.response_limit.';
COMMENT ON COLUMN pgwire_trace.exchange.chunks IS 'When which bytes of which direction passed; read by messages().';

CREATE TABLE pgwire_trace.query_text (
	query_hash bigint PRIMARY KEY,
	query text,
	normalised text,
	first_seen timestamptz NOT NULL
);
REVOKE ALL ON pgwire_trace.query_text FROM PUBLIC;

COMMENT ON TABLE pgwire_trace.query_text IS 'One row a distinct text that came in a Parse.';
COMMENT ON COLUMN pgwire_trace.query_text.query_hash IS 'Hash of the text, passwords masked.';
COMMENT ON COLUMN pgwire_trace.query_text.query IS 'The text, passwords masked.';
COMMENT ON COLUMN pgwire_trace.query_text.normalised IS 'The text with its constants as $n.';
COMMENT ON COLUMN pgwire_trace.query_text.first_seen IS 'When a relay first saw it.';

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
