/* sql/install/60_replay.sql: recorded sessions run again, and what came of it */

CREATE SEQUENCE pgwire_trace.replay_run_id;
REVOKE ALL ON SEQUENCE pgwire_trace.replay_run_id FROM PUBLIC;
COMMENT ON SEQUENCE pgwire_trace.replay_run_id IS 'Numbers of replays.';

CREATE TABLE pgwire_trace.replay_credential (
	user_name text NOT NULL,
	database_name text NOT NULL DEFAULT '',
	conninfo text NOT NULL,
	PRIMARY KEY (user_name, database_name)
);
REVOKE ALL ON pgwire_trace.replay_credential FROM PUBLIC;
COMMENT ON TABLE pgwire_trace.replay_credential IS
'How recorded users log in when a superuser replays them. Holds secrets: better a service or a passfile than a password.';
COMMENT ON COLUMN pgwire_trace.replay_credential.user_name IS 'User of the recorded session.';
COMMENT ON COLUMN pgwire_trace.replay_credential.database_name IS 'Database of the recorded session; empty: any that has no row of its own.';
COMMENT ON COLUMN pgwire_trace.replay_credential.conninfo IS 'Connection string whose parts replace those of the target: user, password, dbname, service, passfile and others.';

CREATE TABLE pgwire_trace.replay_run_state (
	run_id bigint PRIMARY KEY,
	state text NOT NULL,
	started_at timestamptz NOT NULL,
	finished_at timestamptz,
	started_by text NOT NULL,
	target text NOT NULL,
	timing text NOT NULL,
	speed float8 NOT NULL,
	ordering text NOT NULL,
	compare integer NOT NULL,
	read_only boolean NOT NULL,
	options jsonb NOT NULL,
	captured bigint NOT NULL DEFAULT 0,
	sent bigint NOT NULL DEFAULT 0,
	filtered bigint NOT NULL DEFAULT 0,
	skipped bigint NOT NULL DEFAULT 0,
	divergences bigint NOT NULL DEFAULT 0,
	root_divergences bigint NOT NULL DEFAULT 0,
	order_timeouts bigint NOT NULL DEFAULT 0,
	error_message text,
	session_ids bigint[],
	since timestamptz,
	until timestamptz
);
REVOKE ALL ON pgwire_trace.replay_run_state FROM PUBLIC;
COMMENT ON TABLE pgwire_trace.replay_run_state IS 'One row a replay, as its worker writes it; read view replay_run.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.run_id IS 'Replay.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.state IS 'planned, running, paused, finished, cancelled or aborted, as the worker last wrote it.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.started_at IS 'When it was started.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.finished_at IS 'When it ended; NULL while it runs, and where its worker died.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.started_by IS 'Who started it.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.target IS 'Connection string of the target, without what is secret.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.timing IS 'asap, think, schedule or catch-up.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.speed IS 'Speed that it was started with.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.ordering IS 'none, arrival or commit.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.compare IS 'Level of comparison, 0 to 5.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.read_only IS 'Whether only what reads was to be sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.options IS 'Options that it was started with.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.captured IS 'Exchanges of the sessions that were chosen.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.sent IS 'Exchanges that were sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.filtered IS 'Exchanges that were not to be sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.skipped IS 'Exchanges that could not be sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.divergences IS 'Rows of replay_divergence.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.order_timeouts IS 'Exchanges that were let go because their turn did not come; written when it ends.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.root_divergences IS 'Those of them that nothing before explains.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.error_message IS 'Why it was aborted.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.session_ids IS 'Sessions that it was to replay; NULL: not by their ids.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.since IS 'Begin of the time range; NULL without one.';
COMMENT ON COLUMN pgwire_trace.replay_run_state.until IS 'End of the time range; NULL without one.';

CREATE TABLE pgwire_trace.replay_run_session (
	run_id bigint NOT NULL REFERENCES pgwire_trace.replay_run_state ON DELETE CASCADE,
	session_id bigint NOT NULL,
	state text NOT NULL,
	captured bigint NOT NULL,
	sent bigint NOT NULL,
	filtered bigint NOT NULL,
	skipped bigint NOT NULL,
	unsent bigint GENERATED ALWAYS AS (captured - sent - filtered - skipped) STORED,
	reason text,
	PRIMARY KEY (run_id, session_id)
);
REVOKE ALL ON pgwire_trace.replay_run_session FROM PUBLIC;
COMMENT ON TABLE pgwire_trace.replay_run_session IS 'One row a session that a replay was to run; captured = sent + filtered + skipped + unsent.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.run_id IS 'Replay.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.session_id IS 'Recorded session.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.state IS 'planned, running, finished, lost or skipped.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.captured IS 'Its exchanges; startup, terminate and async ones are not counted.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.sent IS 'Exchanges that were sent and have ended, one way or another.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.filtered IS 'Exchanges that were not to be sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.skipped IS 'Exchanges that could not be sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.unsent IS 'Exchanges that were to be sent, and are not yet, or never were.';
COMMENT ON COLUMN pgwire_trace.replay_run_session.reason IS 'Why it was skipped or lost.';

CREATE TABLE pgwire_trace.replay_run_sent (
	run_id bigint NOT NULL REFERENCES pgwire_trace.replay_run_state ON DELETE CASCADE,
	session_ids bigint[] NOT NULL,
	exchange_nos bigint[] NOT NULL,
	sent_at timestamptz[] NOT NULL,
	duration_ms float8[] NOT NULL,
	late_ms float8[] NOT NULL,
	target_late_ms float8[] NOT NULL,
	row_counts bigint[] NOT NULL,
	row_digests bigint[] NOT NULL,
	sqlstates text[] NOT NULL
);
CREATE INDEX replay_run_sent_key ON pgwire_trace.replay_run_sent (run_id);
REVOKE ALL ON pgwire_trace.replay_run_sent FROM PUBLIC;
COMMENT ON TABLE pgwire_trace.replay_run_sent IS 'Exchanges that replays sent, many a row: an array a column of view replay_run_exchange, which is what to read.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.run_id IS 'Replay.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.session_ids IS 'Recorded sessions.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.exchange_nos IS 'Their exchanges.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.sent_at IS 'When the first byte of each was sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.duration_ms IS 'As in replay_run_exchange, as all that follow.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.late_ms IS 'Milliseconds that the replayer was late.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.target_late_ms IS 'Milliseconds behind the recorded schedule because of the target.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.row_counts IS 'Sums of the rows that command tags name.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.row_digests IS 'Digests of rows.';
COMMENT ON COLUMN pgwire_trace.replay_run_sent.sqlstates IS 'SQLSTATEs of first errors.';

CREATE TABLE pgwire_trace.replay_run_unsent (
	run_id bigint NOT NULL REFERENCES pgwire_trace.replay_run_state ON DELETE CASCADE,
	session_id bigint NOT NULL,
	exchange_no bigint NOT NULL,
	outcome text NOT NULL,
	reason text NOT NULL
);
CREATE INDEX replay_run_unsent_key ON pgwire_trace.replay_run_unsent (run_id, session_id, exchange_no);
REVOKE ALL ON pgwire_trace.replay_run_unsent FROM PUBLIC;
COMMENT ON TABLE pgwire_trace.replay_run_unsent IS 'Exchanges that replays filtered or skipped, those of sessions that were skipped whole aside; read view replay_run_exchange.';
COMMENT ON COLUMN pgwire_trace.replay_run_unsent.run_id IS 'Replay.';
COMMENT ON COLUMN pgwire_trace.replay_run_unsent.session_id IS 'Recorded session.';
COMMENT ON COLUMN pgwire_trace.replay_run_unsent.exchange_no IS 'Its exchange.';
COMMENT ON COLUMN pgwire_trace.replay_run_unsent.outcome IS 'filtered or skipped.';
COMMENT ON COLUMN pgwire_trace.replay_run_unsent.reason IS 'Why it was not sent.';

CREATE VIEW pgwire_trace.replay_run_exchange WITH (security_invoker = true) AS
SELECT s.run_id, u.session_id, u.exchange_no, 'sent' AS outcome, NULL::text AS reason, u.sent_at,
	   u.duration_ms, u.late_ms, u.target_late_ms, u.row_count, u.row_digest, u.sqlstate
FROM pgwire_trace.replay_run_sent s,
	 ROWS FROM (unnest(s.session_ids), unnest(s.exchange_nos), unnest(s.sent_at), unnest(s.duration_ms),
		unnest(s.late_ms), unnest(s.target_late_ms), unnest(s.row_counts), unnest(s.row_digests), unnest(s.sqlstates))
	 u (session_id, exchange_no, sent_at, duration_ms, late_ms, target_late_ms, row_count, row_digest, sqlstate)
UNION ALL
SELECT n.run_id, n.session_id, n.exchange_no, n.outcome, n.reason, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM pgwire_trace.replay_run_unsent n;
REVOKE ALL ON pgwire_trace.replay_run_exchange FROM PUBLIC;
COMMENT ON VIEW pgwire_trace.replay_run_exchange IS 'One row an exchange that a replay sent, filtered or skipped; those of sessions that were skipped whole have none.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.run_id IS 'Replay.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.session_id IS 'Recorded session.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.exchange_no IS 'Its exchange.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.outcome IS 'sent, filtered or skipped.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.reason IS 'Why it was not sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.sent_at IS 'When its first byte was sent.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.duration_ms IS 'Milliseconds from there to the last byte of the answer; NULL without one.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.late_ms IS 'Milliseconds that the replayer was late; NULL with timing asap.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.target_late_ms IS 'Milliseconds behind the recorded schedule because earlier answers were; NULL with timing asap.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.row_count IS 'Sum of the rows that the command tags name.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.row_digest IS 'Digest of the rows in their order; NULL without rows.';
COMMENT ON COLUMN pgwire_trace.replay_run_exchange.sqlstate IS 'SQLSTATE of the first error; NULL without one.';

CREATE TABLE pgwire_trace.replay_divergence (
	run_id bigint NOT NULL REFERENCES pgwire_trace.replay_run_state ON DELETE CASCADE,
	session_id bigint NOT NULL,
	exchange_no bigint NOT NULL,
	statement_no integer,
	verdict text NOT NULL,
	is_root boolean NOT NULL,
	caused_by_exchange_no bigint,
	captured jsonb,
	replayed jsonb,
	at timestamptz NOT NULL
);
CREATE INDEX replay_divergence_key ON pgwire_trace.replay_divergence (run_id, session_id, exchange_no);
REVOKE ALL ON pgwire_trace.replay_divergence FROM PUBLIC;
COMMENT ON TABLE pgwire_trace.replay_divergence IS 'Where a replay''s answers differ from the recorded ones.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.run_id IS 'Replay.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.session_id IS 'Recorded session.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.exchange_no IS 'Its exchange.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.statement_no IS 'Statement in the exchange, from 1; NULL where it is about none.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.verdict IS 'error_new, error_changed, error_gone, rows, shape, order_only, data, transaction_state, timeout, session_lost, skipped or cancel_missed.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.is_root IS 'Whether nothing before it in its session explains it.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.caused_by_exchange_no IS 'The exchange that explains it; NULL for a root.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.captured IS 'What was recorded: message, sqlstate, error_message, command_tag, rows, transaction_status, row_digest, row_no, column, type_oid, type, value, reason and columns (digests of all columns that differ), as far as they apply.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.replayed IS 'What came of the replay, with the same keys.';
COMMENT ON COLUMN pgwire_trace.replay_divergence.at IS 'When it was stored.';

CREATE FUNCTION pgwire_trace.replay_slots(
	OUT run_id bigint,
	OUT pid integer,
	OUT sent bigint,
	OUT sessions_live integer,
	OUT sessions_ended integer,
	OUT late_ms float8,
	OUT target_late_ms float8,
	OUT order_timeouts bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_replay_slots'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
REVOKE ALL ON FUNCTION pgwire_trace.replay_slots() FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_slots() IS
'The replays that run now; whoever is to read the views replay_run and replay_progress needs EXECUTE on this too.';

CREATE VIEW pgwire_trace.replay_run WITH (security_invoker = true) AS
SELECT r.run_id,
	   CASE WHEN r.state IN ('planned', 'running', 'paused')
				 AND NOT EXISTS (SELECT FROM pgwire_trace.replay_slots() s WHERE s.run_id = r.run_id)
			THEN 'aborted' ELSE r.state END AS state,
	   r.started_at,
	   r.finished_at,
	   r.started_by,
	   r.target,
	   r.timing,
	   r.speed,
	   r.ordering,
	   r.compare,
	   r.read_only,
	   r.options,
	   r.captured,
	   r.sent,
	   r.filtered,
	   r.skipped,
	   r.captured - r.sent - r.filtered - r.skipped AS unsent,
	   r.divergences,
	   r.root_divergences,
	   r.order_timeouts,
	   r.error_message,
	   r.session_ids,
	   r.since,
	   r.until
FROM pgwire_trace.replay_run_state r;
REVOKE ALL ON pgwire_trace.replay_run FROM PUBLIC;
COMMENT ON VIEW pgwire_trace.replay_run IS
'One row a replay. Its counts are of exchanges, startup, terminate and async ones not counted; captured = sent + filtered + skipped + unsent.';
COMMENT ON COLUMN pgwire_trace.replay_run.run_id IS 'Replay.';
COMMENT ON COLUMN pgwire_trace.replay_run.state IS 'planned, running, paused, finished, cancelled or aborted (its worker or network process died, or error_message says why).';
COMMENT ON COLUMN pgwire_trace.replay_run.started_at IS 'When it was started.';
COMMENT ON COLUMN pgwire_trace.replay_run.finished_at IS 'When it ended; NULL while it runs, and where its worker died.';
COMMENT ON COLUMN pgwire_trace.replay_run.started_by IS 'Who started it.';
COMMENT ON COLUMN pgwire_trace.replay_run.target IS 'Connection string of the target, without what is secret.';
COMMENT ON COLUMN pgwire_trace.replay_run.timing IS 'asap, think, schedule or catch-up.';
COMMENT ON COLUMN pgwire_trace.replay_run.speed IS 'Speed that it was started with.';
COMMENT ON COLUMN pgwire_trace.replay_run.ordering IS 'none, arrival or commit.';
COMMENT ON COLUMN pgwire_trace.replay_run.compare IS 'Level of comparison, 0 to 5.';
COMMENT ON COLUMN pgwire_trace.replay_run.read_only IS 'Whether only what reads was to be sent.';
COMMENT ON COLUMN pgwire_trace.replay_run.options IS 'Options that it was started with.';
COMMENT ON COLUMN pgwire_trace.replay_run.captured IS 'Exchanges of the sessions that were chosen.';
COMMENT ON COLUMN pgwire_trace.replay_run.sent IS 'Exchanges that were sent.';
COMMENT ON COLUMN pgwire_trace.replay_run.filtered IS 'Exchanges that were not to be sent.';
COMMENT ON COLUMN pgwire_trace.replay_run.skipped IS 'Exchanges that could not be sent.';
COMMENT ON COLUMN pgwire_trace.replay_run.unsent IS 'Exchanges that were to be sent, and are not yet, or never were.';
COMMENT ON COLUMN pgwire_trace.replay_run.divergences IS 'Rows of replay_divergence.';
COMMENT ON COLUMN pgwire_trace.replay_run.root_divergences IS 'Those of them that nothing before explains.';
COMMENT ON COLUMN pgwire_trace.replay_run.order_timeouts IS 'Exchanges that were let go because their turn did not come within order_timeout; known when it has ended, and not of a worker that was killed.';
COMMENT ON COLUMN pgwire_trace.replay_run.error_message IS 'Why it was aborted.';
COMMENT ON COLUMN pgwire_trace.replay_run.session_ids IS 'Sessions that it was to replay; NULL: not by their ids.';
COMMENT ON COLUMN pgwire_trace.replay_run.since IS 'Begin of the time range; NULL without one.';
COMMENT ON COLUMN pgwire_trace.replay_run.until IS 'End of the time range; NULL without one.';

CREATE VIEW pgwire_trace.replay_progress WITH (security_invoker = true) AS
SELECT r.run_id,
	   r.state,
	   CASE WHEN r.captured - r.filtered - r.skipped > 0
			THEN pg_catalog.round(100.0 * coalesce(s.sent, r.sent) / (r.captured - r.filtered - r.skipped), 1)::float8
			WHEN r.state = 'planned' THEN 0.0
			ELSE 100.0 END AS percent,
	   coalesce(s.sent, r.sent) AS sent,
	   r.captured,
	   r.filtered,
	   r.skipped,
	   r.captured - r.filtered - r.skipped - coalesce(s.sent, r.sent) AS unsent,
	   coalesce(s.sessions_live, 0) AS sessions_live,
	   coalesce(s.sessions_ended, 0) AS sessions_ended,
	   s.late_ms,
	   s.target_late_ms,
	   r.order_timeouts + coalesce(s.order_timeouts, 0) AS order_timeouts
FROM pgwire_trace.replay_run r
LEFT JOIN pgwire_trace.replay_slots() s ON s.run_id = r.run_id;
REVOKE ALL ON pgwire_trace.replay_progress FROM PUBLIC;
COMMENT ON VIEW pgwire_trace.replay_progress IS 'How far each replay is; captured = sent + filtered + skipped + unsent.';
COMMENT ON COLUMN pgwire_trace.replay_progress.run_id IS 'Replay.';
COMMENT ON COLUMN pgwire_trace.replay_progress.state IS 'As in replay_run.';
COMMENT ON COLUMN pgwire_trace.replay_progress.percent IS 'Of the exchanges to send, how many were.';
COMMENT ON COLUMN pgwire_trace.replay_progress.sent IS 'Exchanges sent so far.';
COMMENT ON COLUMN pgwire_trace.replay_progress.captured IS 'As in replay_run.';
COMMENT ON COLUMN pgwire_trace.replay_progress.filtered IS 'As in replay_run.';
COMMENT ON COLUMN pgwire_trace.replay_progress.skipped IS 'As in replay_run.';
COMMENT ON COLUMN pgwire_trace.replay_progress.unsent IS 'Exchanges to send that are not sent.';
COMMENT ON COLUMN pgwire_trace.replay_progress.sessions_live IS 'Sessions that are open on the target.';
COMMENT ON COLUMN pgwire_trace.replay_progress.sessions_ended IS 'Sessions that have ended.';
COMMENT ON COLUMN pgwire_trace.replay_progress.late_ms IS 'Most that the replayer itself was late with an exchange just now; NULL when it does not run.';
COMMENT ON COLUMN pgwire_trace.replay_progress.target_late_ms IS 'Most that an exchange was behind the recorded schedule just now because the target''s answers were; NULL when it does not run.';
COMMENT ON COLUMN pgwire_trace.replay_progress.order_timeouts IS 'Exchanges that were let go because their turn did not come within order_timeout.';

CREATE FUNCTION pgwire_trace.replay_start(
	target text,
	session_ids bigint[] DEFAULT NULL,
	since timestamptz DEFAULT NULL,
	until timestamptz DEFAULT NULL,
	timing text DEFAULT 'think',
	speed float8 DEFAULT 1,
	ordering text DEFAULT 'none',
	compare integer DEFAULT 4,
	read_only boolean DEFAULT false,
	options jsonb DEFAULT '{}')
RETURNS bigint
AS 'MODULE_PATHNAME', 'pgwire_trace_replay_start'
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog;
REVOKE ALL ON FUNCTION pgwire_trace.replay_start(text, bigint[], timestamptz, timestamptz, text, float8, text, integer, boolean, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_start(text, bigint[], timestamptz, timestamptz, text, float8, text, integer, boolean, jsonb) IS
'Starts to replay recorded sessions (all, those named, or those of a time range) against the server that the connection string names, and returns the run''s number. timing: asap, think, schedule, catch-up; ordering: none, arrival, commit; compare: 0 to 5; docs/replay.md has the options. The target must agree (pgwire_trace.allow_replay). Raises 22023, 42501, 42704 (a session that is not in the record), 0A000, 53400.';

CREATE FUNCTION pgwire_trace.replay_plan(
	target text,
	session_ids bigint[] DEFAULT NULL,
	since timestamptz DEFAULT NULL,
	until timestamptz DEFAULT NULL,
	timing text DEFAULT 'think',
	speed float8 DEFAULT 1,
	ordering text DEFAULT 'none',
	compare integer DEFAULT 4,
	read_only boolean DEFAULT false,
	options jsonb DEFAULT '{}',
	OUT item text,
	OUT reason text,
	OUT sessions bigint,
	OUT exchanges bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_replay_plan'
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog;
REVOKE ALL ON FUNCTION pgwire_trace.replay_plan(text, bigint[], timestamptz, timestamptz, text, float8, text, integer, boolean, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_plan(text, bigint[], timestamptz, timestamptz, text, float8, text, integer, boolean, jsonb) IS
'Says what replay_start() with these arguments would do, without a connection: what is captured and to be sent, what is filtered or skipped and why, the most sessions at one time, the duration as recorded.';

CREATE FUNCTION pgwire_trace.replay_wait(run_id bigint, timeout interval DEFAULT NULL) RETURNS boolean
AS 'MODULE_PATHNAME', 'pgwire_trace_replay_wait'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION pgwire_trace.replay_wait(bigint, interval) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_wait(bigint, interval) IS
'Waits until a replay has ended; false after the timeout. What came of it is visible to the next statement. Raises 42704 for a run that never was.';

CREATE FUNCTION pgwire_trace.replay_steer(run_id bigint, command text, speed float8) RETURNS boolean
AS 'MODULE_PATHNAME', 'pgwire_trace_replay_steer'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION pgwire_trace.replay_steer(bigint, text, float8) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_steer(bigint, text, float8) IS
'Serves replay_cancel, replay_pause, replay_resume and replay_set_speed.';

CREATE FUNCTION pgwire_trace.replay_cancel(run_id bigint) RETURNS boolean
LANGUAGE sql VOLATILE STRICT
SET search_path = pg_catalog
AS $$ SELECT pgwire_trace.replay_steer($1, 'cancel', 1) $$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_cancel(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_cancel(bigint) IS
'Tells a replay to end: its sessions are closed. False if it has ended already. Raises 42704 for a run that never was.';

CREATE FUNCTION pgwire_trace.replay_pause(run_id bigint) RETURNS boolean
LANGUAGE sql VOLATILE STRICT
SET search_path = pg_catalog
AS $$ SELECT pgwire_trace.replay_steer($1, 'pause', 1) $$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_pause(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_pause(bigint) IS
'Tells a replay to begin no more exchanges; what is in flight comes to its end. False if it has ended already.';

CREATE FUNCTION pgwire_trace.replay_restart(
	target text,
	session_ids bigint[],
	since timestamptz,
	until timestamptz,
	timing text,
	speed float8,
	ordering text,
	compare integer,
	read_only boolean,
	options jsonb,
	run_id bigint,
	same_target boolean)
RETURNS boolean
AS 'MODULE_PATHNAME', 'pgwire_trace_replay_restart'
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog;
REVOKE ALL ON FUNCTION pgwire_trace.replay_restart(text, bigint[], timestamptz, timestamptz, text, float8, text, integer, boolean, jsonb, bigint, boolean) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_restart(text, bigint[], timestamptz, timestamptz, text, float8, text, integer, boolean, jsonb, bigint, boolean) IS
'Serves replay_resume.';

CREATE FUNCTION pgwire_trace.replay_resume(run_id bigint, target text DEFAULT NULL) RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog
AS $$
	SELECT coalesce(
		(SELECT pgwire_trace.replay_restart(coalesce($2, r.target), r.session_ids, r.since, r.until, r.timing,
				r.speed, r.ordering, r.compare, r.read_only, r.options, r.run_id, $2 IS NULL)
		 FROM pgwire_trace.replay_run r
		 WHERE r.run_id = $1 AND r.state = 'aborted'),
		pgwire_trace.replay_steer($1, 'resume', 1))
$$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_resume(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_resume(bigint, text) IS
'Lets a paused replay go on, whose clock stood still; or an aborted one, with the sessions that had not begun: those in whose middle it was aborted are lost. The target is needed where the first one held what is not kept, a password, and where another role started the run. False if it has ended otherwise. Raises 42704 for a run that never was.';

CREATE FUNCTION pgwire_trace.replay_set_speed(run_id bigint, speed float8) RETURNS boolean
LANGUAGE sql VOLATILE STRICT
SET search_path = pg_catalog
AS $$ SELECT pgwire_trace.replay_steer($1, 'speed', $2) $$;
REVOKE ALL ON FUNCTION pgwire_trace.replay_set_speed(bigint, float8) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.replay_set_speed(bigint, float8) IS
'Changes the speed of a replay whose timing is not asap. False if it has ended already. Raises 22023 for a speed that is not from 0.001 to 1000000.';
