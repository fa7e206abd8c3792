/* sql/install/45_keeping.sql: how much is kept, and how it goes */

CREATE FUNCTION pgwire_trace.storage(
	OUT partitions integer,
	OUT bytes bigint,
	OUT oldest timestamptz,
	OUT newest timestamptz,
	OUT retention interval,
	OUT storage_limit bigint)
RETURNS record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog
AS $$
DECLARE
	part record;
	since timestamptz;
	till timestamptz;
BEGIN
	partitions := 0;
	bytes := pg_total_relation_size('pgwire_trace.session') + pg_total_relation_size('pgwire_trace.query_text')
		+ pg_total_relation_size('pgwire_trace.quarantine');
	FOR part IN
		SELECT p.oldest, p.newest, i.inhrelid::regclass AS name
		FROM pgwire_trace.partition p
			JOIN pg_inherits i ON i.inhparent = 'pgwire_trace.stored_exchange'::regclass
				AND i.inhrelid = to_regclass('pgwire_trace.stored_exchange_' || p.partition_no)
	LOOP
		partitions := partitions + 1;
		bytes := bytes + pg_total_relation_size(part.name);
		since := part.oldest;
		till := part.newest;
		IF till IS NULL THEN
			EXECUTE format('SELECT min(at), max(at) FROM (SELECT pgwire_trace.fact_time(started_at, facts, %L) AS at FROM %s) times',
				'duration', part.name) INTO since, till;
		END IF;
		oldest := least(oldest, since);
		newest := greatest(newest, till);
	END LOOP;
	retention := current_setting('pgwire_trace.retention', true)::interval;
	storage_limit := CASE current_setting('pgwire_trace.storage_limit', true)
		WHEN '-1' THEN -1
		ELSE pg_size_bytes(current_setting('pgwire_trace.storage_limit', true)) END;
END $$;
REVOKE ALL ON FUNCTION pgwire_trace.storage() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.storage() IS
'Returns in how many partitions the exchanges are, what the record takes in bytes with indexes, recorded_at of the oldest and the newest exchange, and the settings that bound it: retention (0: for ever) and storage_limit in bytes (-1: none); both NULL where the library is not loaded.';

CREATE FUNCTION pgwire_trace.forget_texts() RETURNS void
AS 'MODULE_PATHNAME', 'pgwire_trace_forget_texts'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION pgwire_trace.forget_texts() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.forget_texts() IS
'Tells the relays that the tables lost rows of sessions and texts, so that these come again with the next exchange that needs them.';

CREATE FUNCTION pgwire_trace.purge(before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog
AS $$
DECLARE
	part record;
	name text;
	young bigint;
	removed bigint := 0;
	found_rows bigint;
	doomed integer[] := '{}';
	number integer;
BEGIN
	FOR part IN SELECT p.partition_no, p.ended_at FROM pgwire_trace.partition p ORDER BY p.partition_no LOOP
		name := format('pgwire_trace.stored_exchange_%s', part.partition_no);
		CONTINUE WHEN to_regclass(name) IS NULL;
		EXECUTE format('SELECT count(*), count(*) FILTER (WHERE pgwire_trace.fact_time(started_at, facts, %L) >= $1) FROM %s',
			'duration', name) INTO found_rows, young USING before;
		CONTINUE WHEN young = found_rows;
		IF young > 0 OR part.ended_at IS NULL THEN
			EXECUTE format('DELETE FROM %s WHERE pgwire_trace.fact_time(started_at, facts, %L) < $1',
				name, 'duration') USING before;
			GET DIAGNOSTICS found_rows = ROW_COUNT;
		ELSE
			EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', name);
			doomed := doomed || part.partition_no;
		END IF;
		removed := removed + found_rows;
	END LOOP;
	-- only now, with nobody to wait for: from here on the extension is locked, and the writer
	-- needs that for a new partition
	FOREACH number IN ARRAY doomed LOOP
		EXECUTE format('ALTER EXTENSION pgwire_trace DROP TABLE pgwire_trace.stored_exchange_%s', number);
		EXECUTE format('DROP TABLE pgwire_trace.stored_exchange_%s', number);
		DELETE FROM pgwire_trace.partition p WHERE p.partition_no = number;
	END LOOP;
	DELETE FROM pgwire_trace.session s
	WHERE s.ended_at < before
		AND NOT EXISTS (SELECT FROM pgwire_trace.stored_exchange x WHERE x.session_id = s.session_id);
	RETURN removed;
END $$;
REVOKE ALL ON FUNCTION pgwire_trace.purge(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.purge(timestamptz) IS
'Removes the exchanges recorded before that moment, and the ended sessions that have none left; returns how many exchanges. Partitions that are all older are dropped, which waits for whoever reads them and gives their space back; in others rows are deleted. Query texts go later, when the writer finds that nothing kept can need them.';

CREATE FUNCTION pgwire_trace.truncate_all() RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog
AS $$
DECLARE
	part record;
BEGIN
	LOCK TABLE pgwire_trace.session, pgwire_trace.stored_exchange, pgwire_trace.query_text,
		pgwire_trace.quarantine IN ACCESS EXCLUSIVE MODE;
	FOR part IN
		SELECT p.partition_no FROM pgwire_trace.partition p
		WHERE to_regclass('pgwire_trace.stored_exchange_' || p.partition_no) IS NOT NULL
	LOOP
		EXECUTE format('ALTER EXTENSION pgwire_trace DROP TABLE pgwire_trace.stored_exchange_%s', part.partition_no);
		EXECUTE format('DROP TABLE pgwire_trace.stored_exchange_%s', part.partition_no);
	END LOOP;
	DELETE FROM pgwire_trace.partition;
	TRUNCATE pgwire_trace.session, pgwire_trace.query_text, pgwire_trace.quarantine;
	PERFORM pgwire_trace.forget_texts();
END $$;
REVOKE ALL ON FUNCTION pgwire_trace.truncate_all() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.truncate_all() IS
'Removes everything recorded: exchanges, sessions, texts, quarantine. Waits for whoever reads or stores. Sessions that are open come again with their next exchange; so do texts, but an exchange that is in the journal at that moment may be shown without its text.';

CREATE FUNCTION pgwire_trace.pause() RETURNS void
AS 'MODULE_PATHNAME', 'pgwire_trace_pause'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION pgwire_trace.pause() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.pause() IS
'Stops recording at once: no new exchange begins in the record, clients are served as before, and what is left out is counted in stat_relay.exchanges_paused. The writer stores what the journal has and shows paused. Until resume() or a restart of the server. Raises 55000 where the library was not preloaded.';

CREATE FUNCTION pgwire_trace.resume() RETURNS void
AS 'MODULE_PATHNAME', 'pgwire_trace_resume'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION pgwire_trace.resume() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.resume() IS
'Goes on recording after pause(): the exchanges that begin from now on. Raises 55000 where the library was not preloaded.';

CREATE FUNCTION pgwire_trace.tail(since timestamptz, session_id bigint DEFAULT NULL) RETURNS SETOF pgwire_trace.log
LANGUAGE sql STABLE
SET search_path = pg_catalog
AS $$
	-- two, so that a session is found by its index
	SELECT l.*
	FROM pgwire_trace.log l
	WHERE l.recorded_at > $1 AND $2 IS NULL
	UNION ALL
	SELECT l.*
	FROM pgwire_trace.log l
	WHERE l.recorded_at > $1 AND l.session_id = $2
	ORDER BY recorded_at, session_id, exchange_no
$$;
REVOKE ALL ON FUNCTION pgwire_trace.tail(timestamptz, bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.tail(timestamptz, bigint) IS
'Returns the rows of log recorded after a moment, of one session if it is named, in the order in which they were finished.';
