-- What a replay would send, and what not and why, of sessions that are made here.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgwire_trace;
RESET client_min_messages;
SET timezone = 'UTC';

BEGIN;
CREATE FUNCTION pg_temp.message(type text, VARIADIC parts bytea[]) RETURNS bytea IMMUTABLE
RETURN (SELECT convert_to(type, 'UTF8') || int4send(length(body) + 4) || body
    FROM (SELECT coalesce(string_agg(part, '' ORDER BY o), '') AS body
        FROM unnest(parts) WITH ORDINALITY AS u(part, o)) AS b);
CREATE FUNCTION pg_temp.z(string text) RETURNS bytea IMMUTABLE
RETURN convert_to(string, 'UTF8') || '\x00'::bytea;
CREATE FUNCTION pg_temp.query(query text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('Q', pg_temp.z(query));
CREATE FUNCTION pg_temp.parse(name text, query text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('P', pg_temp.z(name), pg_temp.z(query), '\x0000') || '\x5300000004'::bytea;
CREATE FUNCTION pg_temp.run(name text) RETURNS bytea IMMUTABLE
RETURN pg_temp.message('B', pg_temp.z(''), pg_temp.z(name), '\x000000000000')
    || pg_temp.message('E', pg_temp.z(''), '\x00000000') || '\x5300000004'::bytea;

-- A session from the n-th minute of a day on, one minute long.
CREATE FUNCTION pg_temp.session(id bigint, minute int, dropped bigint = 0, desynchronised boolean = false,
    parameters jsonb = '{}', end_reason text = 'terminate', usename text = 'alice') RETURNS bigint
LANGUAGE sql AS $$
INSERT INTO pgwire_trace.session (session_id, started_at, ended_at, user_name, database_name, startup_parameters,
        exchange_count, request_bytes, response_bytes, dropped_exchanges, is_desynchronised, end_reason, journal_series)
VALUES (id, '2001-01-01'::timestamptz + minute * interval '1 min', '2001-01-01'::timestamptz + (minute + 1) * interval '1 min',
        usename, 'app', parameters, 0, 0, 0, dropped, desynchronised, end_reason, 0) RETURNING session_id
$$;

-- An exchange of it, at the n-th second of its minute.
CREATE FUNCTION pg_temp.exchange(session bigint, no bigint, request bytea = pg_temp.query('select 1'), second float8 = 1,
    kind text = 'query', part int = 1, took float8 = 1, size bigint = NULL, uncertain boolean = false, rows bigint = 1,
    digest bigint = 1, truncated boolean = false, redacted boolean = false, request_redacted boolean = false, status text = 'I',
    sqlstate text = NULL, hash bigint = NULL, cancelled bigint = NULL, complete boolean = true) RETURNS void
LANGUAGE sql AS $$
INSERT INTO pgwire_trace.exchange (session_id, exchange_no, part_no, started_at, finished_at, kind, query_hash, statement_count,
        row_count, data_row_count, row_digest, row_set_digest, request, request_bytes, response, response_bytes, is_complete, is_truncated,
        is_redacted, is_request_redacted, pairing_uncertain, transaction_status, sqlstate, command_tag, cancelled_session_id,
        cancelled_exchange_no)
SELECT session, no, part, s.started_at + second * interval '1 s', s.started_at + (second + took) * interval '1 s', kind, hash, 1,
        rows, rows, digest, digest, request, coalesce(size, length(request)), '\x5a0000000549', CASE WHEN truncated THEN 1000 ELSE 6 END,
        complete, truncated, redacted, request_redacted, uncertain, status::"char", sqlstate, 'SELECT 1', cancelled,
        CASE WHEN cancelled IS NOT NULL THEN 1 END
FROM pgwire_trace.session s WHERE s.session_id = session
$$;

CREATE FUNCTION pg_temp.plan(ids bigint[], VARIADIC more text[] = '{}') RETURNS TABLE (item text, reason text, sessions bigint, exchanges bigint)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM pgwire_trace.replay_plan(''host=192.0.2.1 user=alice'', %L%s)', ids,
        coalesce(', ' || array_to_string(nullif(more, '{}'), ', '), ''));
END $$;

-- a session whose every exchange is sent: startup, terminate and async ones do not count, parts are one
SELECT pg_temp.session(-1, 0) \gset
SELECT count(*) FROM (VALUES ('startup', 0), ('query', 1), ('extended', 2), ('copy', 3), ('function_call', 4), ('async', 5), ('terminate', 6)) k (kind, no),
    pg_temp.exchange(-1, no, kind => kind, second => no);
SELECT pg_temp.exchange(-1, 3, part => 2, second => 3.5) \gset
SELECT * FROM pg_temp.plan('{-1}');
-- nothing was sent in it
SELECT pg_temp.session(-2, 0) \gset
SELECT pg_temp.exchange(-2, 0, kind => 'startup') \gset
SELECT * FROM pg_temp.plan('{-2}');
SELECT * FROM pg_temp.plan('{}');
SAVEPOINT before;
SELECT * FROM pgwire_trace.replay_plan('user=alice', '{-1, -9999}');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO before;

-- why a session is not replayed at all
SELECT pg_temp.session(-10, 1, dropped => 1), pg_temp.session(-11, 1, desynchronised => true), pg_temp.session(-12, 1),
    pg_temp.session(-13, 1), pg_temp.session(-14, 1), pg_temp.session(-15, 1), pg_temp.session(-16, 1, parameters => '{"replication": "database"}'),
    pg_temp.session(-17, 1, parameters => '{"replication": "off"}'), pg_temp.session(-18, 1, usename => 'bob') \gset
SELECT count(pg_temp.exchange(s, no)) FROM generate_series(-18, -10) s, generate_series(1, 2) no;
SELECT pg_temp.exchange(-12, 3, uncertain => true), pg_temp.exchange(-13, 3, size => 1000), pg_temp.exchange(-14, 3, request => NULL, size => 9),
    pg_temp.exchange(-15, 3, kind => 'replication') \gset
SELECT s, p.* FROM generate_series(-18, -10) s, pg_temp.plan(ARRAY[s]) p
WHERE item IN ('to send', 'skipped') ORDER BY s DESC, item;
SELECT * FROM pg_temp.plan('{-10,-11,-12,-13,-14,-15,-16,-17,-18}') WHERE item NOT IN ('duration', 'peak sessions');

-- a time range: what began at its begin is in it, what began at its end is not
SELECT pg_temp.session(-20, 10) \gset
SELECT count(pg_temp.exchange(-20, no, second => no)) FROM generate_series(1, 10) no;
SELECT * FROM pg_temp.plan('{-20}', $$since => '2001-01-01 00:10:03'$$, $$until => '2001-01-01 00:10:08'$$);
SELECT * FROM pg_temp.plan('{-20}', $$since => '2001-01-01 00:12:00'$$);
SELECT * FROM pg_temp.plan('{-20}', $$until => '2001-01-01 00:10:00'$$);

-- how many at one time: a session that ends as another begins meets it, a skipped one is not there
SELECT pg_temp.session(-30 - n, 20 + n) FROM generate_series(0, 3) n \g /dev/null
SELECT pg_temp.session(-34, 23, usename => 'bob') \gset
SELECT count(pg_temp.exchange(s, 1)) FROM generate_series(-34, -30) s;
SELECT sessions FROM pg_temp.plan('{-30,-31,-32,-33,-34}') WHERE item = 'peak sessions';
UPDATE pgwire_trace.session SET ended_at = ended_at - interval '1 us' WHERE session_id BETWEEN -34 AND -30;
SELECT sessions FROM pg_temp.plan('{-30,-31,-32,-33,-34}') WHERE item = 'peak sessions';
-- one that has not ended yet goes on to its last exchange
UPDATE pgwire_trace.session SET ended_at = NULL WHERE session_id BETWEEN -34 AND -30;
SELECT sessions FROM pg_temp.plan('{-30,-31,-32,-33,-34}') WHERE item = 'peak sessions';
SELECT reason FROM pg_temp.plan('{-30,-31,-32,-33,-34}') WHERE item = 'duration';

-- digests: where not all bytes are there to be compared there must be one, unless it is not sent or never ended
SELECT pg_temp.session(-40, 40) \gset
SELECT pg_temp.exchange(-40, 1, digest => NULL), pg_temp.exchange(-40, 2, digest => NULL, rows => 0, truncated => true),
    pg_temp.exchange(-40, 3, digest => NULL, truncated => true, complete => false),
    pg_temp.exchange(-40, 4, digest => NULL, truncated => true, redacted => true, request_redacted => true),
    pg_temp.exchange(-40, 5, truncated => true) \gset
SELECT item, reason, exchanges FROM pg_temp.plan('{-40}') WHERE item IN ('skipped', 'results without a digest');
SELECT pg_temp.exchange(-40, 6, digest => NULL, truncated => true), pg_temp.exchange(-40, 7, truncated => true, redacted => true),
    pg_temp.exchange(-40, 8, kind => 'copy', digest => NULL, rows => 0, truncated => true, redacted => true) \gset
SELECT exchanges FROM pg_temp.plan('{-40}') WHERE item = 'results without a digest';
SAVEPOINT before;
SELECT pgwire_trace.replay_start('host=192.0.2.1 user=alice', '{-40}');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO before;

-- statements whose text was overwritten, until the name has another
SELECT pg_temp.session(-50, 50) \gset
SELECT pg_temp.exchange(-50, 1, pg_temp.parse('a', 'select 1')), pg_temp.exchange(-50, 2, pg_temp.parse('b', 'select ''***'''), request_redacted => true, redacted => true),
    pg_temp.exchange(-50, 3, pg_temp.run('a')), pg_temp.exchange(-50, 4, pg_temp.run('b')), pg_temp.exchange(-50, 5, pg_temp.parse('b', 'select 2')),
    pg_temp.exchange(-50, 6, pg_temp.run('b')) \gset
SELECT * FROM pg_temp.plan('{-50}') WHERE item IN ('to send', 'skipped');

-- read-only, rolled back, other users
SELECT pg_temp.session(-60, 60) \gset
SELECT count(pg_temp.exchange(-60, no, pg_temp.query(query))) FROM unnest(ARRAY['select 1', 'delete from t', 'vacuum', 'reset session authorization',
    'select 1; commit; select 2']) WITH ORDINALITY q (query, no);
SELECT * FROM pg_temp.plan('{-60}', 'read_only => true') WHERE item IN ('to send', 'filtered', 'skipped');
SELECT * FROM pg_temp.plan('{-60}', $$options => '{"rollback": true}'$$) WHERE item IN ('to send', 'filtered', 'skipped');
SELECT * FROM pg_temp.plan('{-60,-18}', $$options => '{"session_authorization": true}'$$) WHERE item IN ('to send', 'filtered', 'skipped');

-- read-only, of all versions: whatever could write, lock, or lift the mode is filtered, where it stands deep in a query too
CREATE TEMP TABLE texts (no serial, writes boolean, query text);
INSERT INTO texts (writes, query) SELECT true, unnest(ARRAY[
    'insert into t values (1)', 'update t set a = 1', 'delete from t', 'truncate t', 'merge into t using s on true when matched then delete',
    'with w as (insert into t values (1) returning a) select a from w', 'with w as (delete from t) select 1',
    'with w as (merge into t using s on true when matched then delete returning a) select a from w',
    'with w as (update t set a = 1 returning old.a) select a from w',
    'with w as materialized (select 1), x as (update t set a = 1 returning a) table x',
    'select (with w as (delete from t returning a) select count(*) from w)', 'select * from (with w as (delete from t returning a) select * from w) s',
    'select 1 where exists (with w as (delete from t returning a) select 1 from w)', 'select 1 union (with w as (delete from t returning a) select a from w)',
    'select * from t for update', 'select * from t for no key update', 'select * from t for share', 'select * from t for key share',
    'select * from (select * from t for update skip locked) s', 'select 1 where 1 in (select a from t for share)', 'select 1 union all (select a from t for update nowait)',
    'select array(select a from t for update)', 'select * from s, lateral (select * from t for update of t) x', 'with w as (select * from t for update) select 1',
    'select 1 as a into n', 'select 1 into temp n', 'create table n as select 1', 'create materialized view n as select 1', 'create temp table n (a int)', 'create view v as select 1',
    'explain analyze insert into t values (1)', 'explain (analyze) with w as (delete from t returning a) select a from w', 'explain (analyze off) delete from t',
    'explain analyze create table n as select 1', 'explain (verbose, analyze true) select 1 into n', 'explain analyze select * from t for update',
    'explain (analyze, serialize) delete from t returning a', 'explain analyze execute unseen', 'explain analyze declare c cursor for select * from t for update',
    'explain analyze refresh materialized view v', 'explain (analyze, analyze false) delete from t',
    'copy t from stdin', 'copy t from program $$true$$', 'copy t to program $$true$$', 'copy (select 1) to program $$true$$', 'copy t to $$/x$$', 'copy t from $$/x$$',
    'copy (delete from t returning a) to stdout', 'copy (with w as (insert into t values (1) returning a) select a from w) to stdout', 'copy (select * from t for update) to stdout',
    'copy (merge into t using s on true when matched then delete returning 1) to stdout', 'do $$begin end$$', 'call p()',
    'prepare p as delete from t', 'prepare p as with w as (delete from t returning a) select a from w', 'execute p', 'execute unseen', 'prepare p as select 1; execute unseen',
    'declare c cursor for select * from t for update', 'declare c cursor with hold for with w as (delete from t returning a) select a from w',
    'listen c', 'notify c', 'notify c, $$x$$', 'unlisten c', 'lock t', 'lock table only t in access share mode nowait',
    'set transaction_read_only = off', 'set local transaction_read_only to off', 'set default_transaction_read_only to default', 'set session default_transaction_read_only = 0',
    'set "transaction_read_only" = off', 'set Transaction_Read_Only = off', 'reset transaction_read_only', 'reset default_transaction_read_only', 'reset all',
    'set transaction read write', 'set local transaction isolation level serializable, read write', 'set session characteristics as transaction read write',
    'set session characteristics as transaction read only', 'begin read write', 'begin transaction isolation level repeatable read read write', 'start transaction read write',
    'begin; set transaction read write', 'select 1; begin read write', 'set role r', 'set local role none', 'reset role', 'set session authorization r', 'reset session authorization',
    'select set_config($$transaction_read_only$$, $$off$$, true)', 'select pg_catalog.set_config($$DEFAULT_transaction_read_only$$, $$off$$, false) from t',
    'select set_config(a, b, false) from t', 'select set_config($$x$$ || $$$$, $$off$$, false)', 'select set_config(setting_name => $$role$$, new_value => $$r$$, is_local => false)',
    'values (set_config($$role$$, $$r$$, false))', 'select 1 order by set_config($$role$$, $$r$$, false)', 'select set_config($1, $$off$$, false)',
    'select set_config(variadic array[$$role$$])', 'select set_config()',
    'update pg_settings set setting = $$off$$ where name = $$transaction_read_only$$', 'discard all', 'discard plans', 'alter system set work_mem = 1', 'alter database d set work_mem = 1',
    'vacuum', 'vacuum (analyze) t', 'analyze', 'cluster', 'reindex table t', 'refresh materialized view v', 'load $$x$$', 'checkpoint', 'security label on table t is $$x$$',
    'comment on table t is $$x$$', 'import foreign schema s from server f into public', 'grant select on t to r', 'create function f() returns int language sql as $$select 1$$',
    'prepare transaction $$x$$', 'commit prepared $$x$$', 'rollback prepared $$x$$', 'set constraints all deferred', 'alter table t add a int', 'drop table t', 'reassign owned by a to b',
    'create database d', 'create subscription s connection $$x$$ publication p', 'select 1; select is nonsense; select 2', 'wait for lsn $$0/0$$',
    'select ''\'';delete from t; --''', 'select E''' || U&'\00e4' || '\''; delete from t; --', 'select 1; delete from t', 'select 1;;; truncate t;']);
INSERT INTO texts (writes, query) SELECT false, unnest(ARRAY[
    '', ';', '-- delete', 'select 1', 'table t', 'values (1), (2)', 'select * from t where a in (select a from s) group by grouping sets ((), a) order by 1 limit 1',
    'with recursive w as (select 1 union all select 2 from w) search depth first by a set b select * from w', 'select xmlforest(a as b), coalesce(a, 1), case a when 1 then 2 end from t',
    'select 1 as "insert", ''delete from t'', $$update t$$ /* truncate */', 'explain delete from t', 'explain analyze select 1', 'explain (costs off, analyze) table t',
    'explain create table n as select 1', 'copy t to stdout', 'copy (select 1) to stdout (format csv)', 'copy (values (1)) to stdout',
    'prepare r as select 1; execute r', 'prepare r (int) as select $1; execute r(1); explain analyze execute r(1)', 'deallocate r', 'deallocate all',
    'declare c cursor with hold for select 1', 'fetch all c', 'move 2 in c', 'close c', 'close all', 'begin', 'begin read only', 'start transaction isolation level serializable, read only, deferrable',
    'commit', 'end and chain', 'rollback', 'abort', 'savepoint s', 'release s', 'rollback to s', 'set transaction isolation level serializable', 'set transaction read only', 'set transaction snapshot $$0-1$$',
    'set search_path = x', 'set local work_mem to $$1MB$$', 'reset work_mem', 'set names $$utf8$$', 'set time zone $$UTC$$', 'show all', 'show transaction_read_only',
    'select set_config($$search_path$$, $$$$, false)', 'select pg_catalog.set_config($$a.b$$, $1, true)', 'select set_configs($$role$$)',
    'select E''a\n'', ''C:\dir'', ''' || U&'\00e4' || '''']);
SELECT count(pg_temp.session(-1000 - no, 61)) > 150 AS many, count(pg_temp.exchange(-1000 - no, 1, pg_temp.query(query))) FROM texts;
-- neither of these lists has a row
SELECT query AS "is sent" FROM texts, pg_temp.plan(ARRAY[-1000 - no], 'read_only => true') WHERE writes AND item = 'to send' AND exchanges <> 0;
SELECT query AS "is not sent" FROM texts, pg_temp.plan(ARRAY[-1000 - no], 'read_only => true') WHERE NOT writes AND item = 'to send' AND exchanges <> 1;
-- a function call by its OID
SELECT pg_temp.session(-999, 62) \gset
SELECT pg_temp.exchange(-999, 1, pg_temp.message('F', int4send(953), '\x00000000', '\x0000')) \gset
SELECT item, reason, exchanges FROM pg_temp.plan('{-999}', 'read_only => true') WHERE item IN ('to send', 'filtered');

-- rules about noise
INSERT INTO pgwire_trace.query_text (query_hash, query, normalised, normalised_hash, first_seen, last_used)
VALUES (-1, NULL, 'select now()', -1, '2001-01-01', '2001-01-01'), (-2, 'select now() ', 'select now()', -1, '2001-01-01', '2001-01-01');
INSERT INTO pgwire_trace.replay_noise (normalised_hash, column_name) VALUES (-1, 'now'), (-1, '#2');
SELECT pg_temp.session(-70, 70) \gset
SELECT pg_temp.exchange(-70, 1, hash => -1), pg_temp.exchange(-70, 2, hash => -2), pg_temp.exchange(-70, 3, hash => -3) \gset
SELECT item, exchanges FROM pg_temp.plan('{-70}') WHERE item = 'with noise rules';
SELECT item, exchanges FROM pg_temp.plan('{-70}', $$options => '{"noise_rules": false}'$$) WHERE item = 'with noise rules';
SELECT item, exchanges FROM pg_temp.plan('{-70}', 'compare => 3') WHERE item = 'with noise rules';

-- a cancel request goes with the exchange that it hit, or is skipped; of two for one it is the first
SELECT pg_temp.session(-80, 80), pg_temp.session(-81, 81, end_reason => 'cancel_request'), pg_temp.session(-82, 81, end_reason => 'cancel_request'),
    pg_temp.session(-83, 81, end_reason => 'cancel_request') \gset
SELECT pg_temp.exchange(-80, 1), pg_temp.exchange(-81, 0, kind => 'cancel', second => 2, cancelled => -80),
    pg_temp.exchange(-82, 0, kind => 'cancel', second => 1.5, cancelled => -80), pg_temp.exchange(-83, 0, kind => 'cancel', cancelled => -9999) \gset
SELECT * FROM pg_temp.plan('{-80}') WHERE item IN ('captured', 'to send', 'skipped');
SELECT * FROM pg_temp.plan('{-81}') WHERE item IN ('captured', 'to send', 'skipped');
SELECT * FROM pg_temp.plan('{-83}') WHERE item IN ('captured', 'to send', 'skipped');
ROLLBACK;
