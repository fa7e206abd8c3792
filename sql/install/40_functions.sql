/* sql/install/40_functions.sql: functions and views about the recording itself */

CREATE FUNCTION pgwire_trace.flush(timeout interval DEFAULT '10 s') RETURNS boolean
AS 'MODULE_PATHNAME', 'pgwire_trace_flush'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION pgwire_trace.flush(interval) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.flush(interval) IS
'Returns true once every exchange whose answer a client had before the call is in the tables; false after the timeout. The rows are visible to the next statement, but not in a REPEATABLE READ transaction begun before. Raises 55000 with the reason when nothing can be stored.';

CREATE FUNCTION pgwire_trace.current_session_id() RETURNS bigint
AS 'MODULE_PATHNAME', 'pgwire_trace_current_session_id'
LANGUAGE C STRICT STABLE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgwire_trace.current_session_id() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.current_session_id() IS
'Returns the session_id under which this connection is recorded; NULL on the main port, and where it is not recorded.';

CREATE FUNCTION pgwire_trace.last_session(application_name text DEFAULT NULL) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
	SELECT s.session_id
	FROM pgwire_trace.session s
	WHERE $1 IS NULL OR s.application_name = $1
	ORDER BY s.started_at DESC, s.session_id DESC
	LIMIT 1
$$;
REVOKE ALL ON FUNCTION pgwire_trace.last_session(text) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.last_session(text) IS
'Returns the session that started last, among those of an application if one is named; NULL for none.';

CREATE FUNCTION pgwire_trace.stat_relay_rows(
	OUT relay_no integer,
	OUT pid integer,
	OUT started_at timestamptz,
	OUT restarts bigint,
	OUT sessions_open bigint,
	OUT sessions_total bigint,
	OUT sessions_refused bigint,
	OUT sessions_filtered bigint,
	OUT sessions_sampled_out bigint,
	OUT sessions_unrecorded bigint,
	OUT startups_failed bigint,
	OUT exchanges_finished bigint,
	OUT exchanges_journalled bigint,
	OUT exchanges_dropped_journal_full bigint,
	OUT exchanges_dropped_disk_full bigint,
	OUT exchanges_lost_in_crash bigint,
	OUT exchanges_paused bigint,
	OUT exchanges_too_short bigint,
	OUT sessions_desynchronised bigint,
	OUT bytes_from_client bigint,
	OUT bytes_to_client bigint,
	OUT bytes_allocated bigint,
	OUT last_error text,
	OUT last_error_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_stat_relay'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgwire_trace.stat_relay_rows() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.stat_relay_rows() IS
'The rows of view stat_relay; whoever is to read the view needs EXECUTE on this too. Raises 55000 where the library was not preloaded.';

CREATE VIEW pgwire_trace.stat_relay AS SELECT * FROM pgwire_trace.stat_relay_rows();
REVOKE ALL ON pgwire_trace.stat_relay FROM PUBLIC;
COMMENT ON VIEW pgwire_trace.stat_relay IS 'One row a relay process; counters since the server started.';
COMMENT ON COLUMN pgwire_trace.stat_relay.relay_no IS 'Number of the relay, from 0.';
COMMENT ON COLUMN pgwire_trace.stat_relay.pid IS 'Process id; NULL while it does not run.';
COMMENT ON COLUMN pgwire_trace.stat_relay.started_at IS 'When the process was started.';
COMMENT ON COLUMN pgwire_trace.stat_relay.restarts IS 'How often the process died and was started again.';
COMMENT ON COLUMN pgwire_trace.stat_relay.sessions_open IS 'Sessions open now.';
COMMENT ON COLUMN pgwire_trace.stat_relay.sessions_total IS 'Sessions that were let through to the server.';
COMMENT ON COLUMN pgwire_trace.stat_relay.sessions_refused IS 'Clients turned away: over max_sessions or max_unauthenticated, or with a startup packet that is not allowed.';
COMMENT ON COLUMN pgwire_trace.stat_relay.sessions_filtered IS 'Sessions that the filters left out.';
COMMENT ON COLUMN pgwire_trace.stat_relay.sessions_sampled_out IS 'Sessions that sample_rate left out.';
COMMENT ON COLUMN pgwire_trace.stat_relay.sessions_unrecorded IS 'Sessions that asked not to be recorded (pgwire_trace.record = off) and may: superusers, and roles that were granted SET on that parameter.';
COMMENT ON COLUMN pgwire_trace.stat_relay.startups_failed IS 'Sessions that ended before the server was ready for a query.';
COMMENT ON COLUMN pgwire_trace.stat_relay.exchanges_finished IS 'Exchanges that came to their end and were to be recorded, counted before their last byte is forwarded: journalled, dropped, lost, or just being written.';
COMMENT ON COLUMN pgwire_trace.stat_relay.exchanges_journalled IS 'Exchanges written to the journal.';
COMMENT ON COLUMN pgwire_trace.stat_relay.exchanges_dropped_journal_full IS 'Exchanges dropped because the journal was full.';
COMMENT ON COLUMN pgwire_trace.stat_relay.exchanges_dropped_disk_full IS 'Exchanges dropped because the disk was full, or could not be written.';
COMMENT ON COLUMN pgwire_trace.stat_relay.exchanges_lost_in_crash IS 'Exchanges finished but not journalled when a relay died.';
COMMENT ON COLUMN pgwire_trace.stat_relay.exchanges_paused IS 'Exchanges left out of the record while it was paused or no session id was to be had.';
COMMENT ON COLUMN pgwire_trace.stat_relay.exchanges_too_short IS 'Exchanges left out because they took less than min_duration.';
COMMENT ON COLUMN pgwire_trace.stat_relay.sessions_desynchronised IS 'Sessions whose stream stopped making sense as protocol.';
COMMENT ON COLUMN pgwire_trace.stat_relay.bytes_from_client IS 'Bytes read from clients.';
COMMENT ON COLUMN pgwire_trace.stat_relay.bytes_to_client IS 'Bytes sent to clients.';
COMMENT ON COLUMN pgwire_trace.stat_relay.bytes_allocated IS 'Memory that holds what is being recorded now; at most capture_memory.';
COMMENT ON COLUMN pgwire_trace.stat_relay.last_error IS 'Last error; errors of the listening sockets are shown for relay 0.';
COMMENT ON COLUMN pgwire_trace.stat_relay.last_error_at IS 'When that was.';

CREATE FUNCTION pgwire_trace.stat_writer_row(
	OUT pid integer,
	OUT state text,
	OUT rows_stored bigint,
	OUT journal_bytes_waiting bigint,
	OUT lag interval,
	OUT exchanges_quarantined bigint,
	OUT last_error text,
	OUT last_error_at timestamptz)
RETURNS record
AS 'MODULE_PATHNAME', 'pgwire_trace_stat_writer'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgwire_trace.stat_writer_row() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.stat_writer_row() IS
'The row of view stat_writer; whoever is to read the view needs EXECUTE on this too. Raises 55000 where the library was not preloaded.';

CREATE VIEW pgwire_trace.stat_writer AS SELECT * FROM pgwire_trace.stat_writer_row();
REVOKE ALL ON pgwire_trace.stat_writer FROM PUBLIC;
COMMENT ON VIEW pgwire_trace.stat_writer IS 'The writer, in one row; counters since the server started.';
COMMENT ON COLUMN pgwire_trace.stat_writer.pid IS 'Process id; NULL while it does not run.';
COMMENT ON COLUMN pgwire_trace.stat_writer.state IS 'starting, running, idle, waiting_lock, waiting_extension (or the database is missing), waiting_disk, standby, refused (a FOR ALL TABLES publication) or paused.';
COMMENT ON COLUMN pgwire_trace.stat_writer.rows_stored IS 'Exchanges stored and committed.';
COMMENT ON COLUMN pgwire_trace.stat_writer.journal_bytes_waiting IS 'Bytes of the journal that are not stored yet.';
COMMENT ON COLUMN pgwire_trace.stat_writer.lag IS 'Age of the oldest exchange in the journal that is not stored yet; zero when there is none.';
COMMENT ON COLUMN pgwire_trace.stat_writer.exchanges_quarantined IS 'Records that could not be stored; see table quarantine.';
COMMENT ON COLUMN pgwire_trace.stat_writer.last_error IS 'Last error, or why nothing can be stored.';
COMMENT ON COLUMN pgwire_trace.stat_writer.last_error_at IS 'When that was.';

CREATE FUNCTION pgwire_trace.status() RETURNS SETOF text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog
AS $$
	SELECT line FROM (
		SELECT 1 AS no, format('relays: %s of %s running, %s sessions open, %s in all, %s refused',
			count(pid), count(*), sum(sessions_open), sum(sessions_total), sum(sessions_refused)) AS line
		FROM pgwire_trace.stat_relay
		UNION ALL
		SELECT 2, format('exchanges: %s finished, %s in the journal, %s dropped, %s lost in crashes',
			sum(exchanges_finished), sum(exchanges_journalled),
			sum(exchanges_dropped_journal_full + exchanges_dropped_disk_full), sum(exchanges_lost_in_crash))
		FROM pgwire_trace.stat_relay
		UNION ALL
		SELECT 3, format('writer: %s, %s exchanges stored, %s in quarantine, %s waiting, lag %s',
			state, rows_stored, exchanges_quarantined, pg_size_pretty(journal_bytes_waiting), lag)
		FROM pgwire_trace.stat_writer
		UNION ALL
		SELECT 4, format('capture: %s, into database "%s", side port %s on %s',
			current_setting('pgwire_trace.capture'), current_setting('pgwire_trace.database'),
			current_setting('pgwire_trace.port'), current_setting('pgwire_trace.listen_addresses'))
		UNION ALL
		SELECT 5, 'last error: ' || coalesce((
			SELECT format('%s (%s)', last_error, last_error_at) FROM (
				SELECT last_error, last_error_at FROM pgwire_trace.stat_relay
				UNION ALL
				SELECT last_error, last_error_at FROM pgwire_trace.stat_writer) errors
			WHERE last_error IS NOT NULL
			ORDER BY last_error_at DESC NULLS LAST
			LIMIT 1), 'none')) lines
	ORDER BY no
$$;
REVOKE ALL ON FUNCTION pgwire_trace.status() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.status() IS
'Five lines for a person: relays, exchanges, the writer, settings, the last error. Raises 55000 where the library was not preloaded.';
