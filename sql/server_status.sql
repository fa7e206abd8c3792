-- What is said about the state of affairs, and which session this is.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;

SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute
WHERE attrelid = 'pgwire_trace.stat_relay'::regclass AND attnum > 0
ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute
WHERE attrelid = 'pgwire_trace.stat_writer'::regclass AND attnum > 0
ORDER BY attnum;

-- on the main port there is no recorded session
SELECT pgwire_trace.current_session_id() IS NULL AS main_port;

-- flush()'s argument
SELECT pgwire_trace.flush('-1 s');
SELECT pgwire_trace.flush('1 month') AS stored;
SELECT pgwire_trace.flush(NULL) IS NULL AS strict;

-- nothing is lost on the way to the tables
SELECT sum(exchanges_finished) = sum(exchanges_journalled) AS all_journalled,
	sum(exchanges_dropped_journal_full + exchanges_dropped_disk_full
		+ exchanges_lost_in_crash) AS lost
FROM pgwire_trace.stat_relay;
SELECT state IN ('idle', 'running') AS stores, pid IS NOT NULL AS runs, journal_bytes_waiting, exchanges_quarantined
FROM pgwire_trace.stat_writer;
SELECT count(*), bool_and(status <> '') AS complete FROM pgwire_trace.status() AS status;

-- nothing is for everybody, and all can be granted
CREATE ROLE regress_trace_reader;
SET ROLE regress_trace_reader;
SELECT pgwire_trace.current_session_id();
RESET ROLE;
GRANT USAGE ON SCHEMA pgwire_trace TO regress_trace_reader;
SET ROLE regress_trace_reader;
SELECT pgwire_trace.flush();
SELECT pgwire_trace.current_session_id();
SELECT pgwire_trace.last_session();
SELECT pgwire_trace.status();
SELECT count(*) FROM pgwire_trace.stat_relay;
SELECT count(*) FROM pgwire_trace.stat_writer;
RESET ROLE;
GRANT SELECT ON pgwire_trace.stat_relay, pgwire_trace.stat_writer TO regress_trace_reader;
GRANT EXECUTE ON FUNCTION pgwire_trace.stat_relay_rows(), pgwire_trace.stat_writer_row(),
	pgwire_trace.status(), pgwire_trace.flush(interval) TO regress_trace_reader;
SET ROLE regress_trace_reader;
SELECT count(*) > 0 AS granted FROM pgwire_trace.stat_relay, pgwire_trace.stat_writer;
SELECT count(*) FROM pgwire_trace.status();
SELECT pgwire_trace.flush();
RESET ROLE;
DROP OWNED BY regress_trace_reader;
DROP ROLE regress_trace_reader;

-- in another database nothing is recorded: CREATE EXTENSION and flush() say so
CREATE DATABASE regression_other;
\c regression_other
CREATE EXTENSION pgwire_trace;
DO $$
BEGIN
	PERFORM pgwire_trace.flush();
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RAISE NOTICE '% %', SQLSTATE, SQLERRM;
END $$;
\c regression_sql
DROP DATABASE regression_other;
