# Replication and base backups through the side port: they work, and messages() reads what passed.
use strict;
use warnings;

use PgwireTrace qw(run_client);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('primary', conf => <<'CONF');
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
max_prepared_transactions = 10
logical_decoding_work_mem = 64kB
wal_sender_timeout = 4s
pgwire_trace.response_limit = -1
CONF
my $dir = PostgreSQL::Test::Utils::tempdir();

# What each exchange's messages give when they are encoded again, beside what was recorded of it.
$server->sql(<<'SQL');
create function encoded_again(session bigint) returns table (exchange_no bigint, kind text, ok boolean)
language sql as $$
	select e.exchange_no, e.kind, coalesce(m.front, '') = e.request and coalesce(m.back, '') = e.response
	  from (select exchange_no, kind, string_agg(request, '' order by part_no) as request,
	               string_agg(response, '' order by part_no) as response
	          from pgwire_trace.exchange where session_id = session group by 1, 2) as e,
	       lateral (select string_agg(bytes, '' order by message_no) filter (where direction = 'F'),
	                       string_agg(bytes, '' order by message_no) filter (where direction = 'B')
	                  from (select direction, message_no,
	                               pgwire_trace.encode_message(direction, name, body) as bytes
	                          from pgwire_trace.messages(session, e.exchange_no)) as b) as m(front, back)
	 where e.kind <> 'startup'
$$;
create function held(session bigint) returns table (exchange_no bigint, direction text, name text, what text, body jsonb)
language sql as $$
	select exchange_no, direction, name, k, body -> k
	  from pgwire_trace.messages(session), jsonb_object_keys(body) as k where name = 'CopyData'
$$;
create function changes(session bigint) returns table (what text, body jsonb)
language sql as $$
	select c.* from held(session) as h, jsonb_each(h.body -> 'data') as c
	 where h.what = 'xlog_data' and jsonb_typeof(h.body -> 'data') = 'object' and c.key <> 'hex'
$$;
SQL

# Checks that a session is stored whole, and that its messages give its bytes again.
sub check_session
{
	my ($session, $what) = @_;

	ok($server->flush, "$what: stored");
	is($server->sql("select is_desynchronised, dropped_exchanges from pgwire_trace.session"
		  . " where session_id = $session"), 'f|0', "$what: the session is whole");
	is($server->sql("select count(*) from pgwire_trace.exchange where session_id = $session"
		  . ' and (is_truncated or pairing_uncertain)'), '0', "$what: nothing is cut or uncertain");
	is($server->sql("select string_agg(exchange_no || ' ' || kind, ', ') from encoded_again($session)"
		  . ' where ok is not true'), '', "$what: messages() gives all bytes again");
	is($server->sql("select count(*) from pgwire_trace.messages($session)"
		  . " where name in ('Unknown', 'Opaque') or body ? 'malformed'"), '0',
		"$what: no message is unknown");
	return;
}

# Returns the session of an application that said something of that kind.
sub session_of
{
	my ($application, $kind) = @_;

	$server->flush;
	return $server->sql("select max(session_id) from pgwire_trace.session join pgwire_trace.exchange"
		  . " using (session_id) where application_name = '$application' and kind = '$kind'");
}

# ---- a base backup, with the WAL on a second connection ----

my ($status, $out, $err) = run_client([ 'pg_basebackup', '-d', $server->side_connstr('postgres')
		. ' application_name=backup', '-D', "$dir/backup", '-c', 'fast', '-X', 'stream', '-P' ]);
is($status, 0, 'pg_basebackup through the side port') or diag($err);
($status) = run_client([ 'pg_verifybackup', "$dir/backup" ]);
is($status, 0, 'and the backup is what the manifest says');

my $session = session_of('backup', 'copy');
check_session($session, 'base backup');
is($server->sql("select string_agg(distinct what, ' ' order by what) from held($session)"),
	'archive_data manifest new_archive progress_report', 'base backup: what its CopyData holds');
is($server->sql("select body ->> 'archive', body ->> 'tablespace' from held($session)"
	  . " where what = 'new_archive'"), 'base.tar|', 'base backup: its archive');
is($server->sql("select count(*) from held($session) where what = 'archive_data'"
	  . " and body ->> 'data' like '{ \"PostgreSQL-Backup-Manifest-Version\": %'"), '1',
	'base backup: its manifest is text');

$session = session_of('backup', 'replication');
check_session($session, 'WAL of the backup');
is($server->sql("select string_agg(distinct direction || ' ' || what, ', ') from held($session)"
	  . " where what in ('xlog_data', 'standby_status_update')"), 'B xlog_data, F standby_status_update',
	'WAL of the backup: what its CopyData holds');
is($server->sql("select count(*) from changes($session)"), '0', 'WAL is no change');

# ---- a standby that follows through the side port ----

$server->node->backup('standby', backup_options => [ '-c', 'fast' ]);
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($server->node, 'standby');
$standby->append_conf('postgresql.conf', "shared_preload_libraries = ''\nhot_standby_feedback = on\n"
	  . "wal_receiver_status_interval = 1s\n"
	  . "primary_conninfo = '" . $server->side_connstr('postgres') . " application_name=standby'\n");
$standby->set_standby_mode;
$standby->start;
$server->sql('create table followed as select 42 as answer');
$server->node->wait_for_catchup('standby', 'replay', $server->node->lsn('write'));
is($standby->safe_psql('postgres', 'select answer from followed'), '42',
	'a standby follows through the side port');
$standby->stop;

$session = session_of('standby', 'replication');
check_session($session, 'standby');
is($server->sql("select string_agg(distinct direction || ' ' || what, ', ') from held($session)"
	  . " where what <> 'primary_keepalive'"),
	'B xlog_data, F hot_standby_feedback, F standby_status_update',
	'standby: what its CopyData holds');
is($server->sql("select count(*) from changes($session)"), '0', 'standby: WAL is no change');
is($server->sql(<<"SQL"), 't', 'standby: places and times');
select bool_and((body ->> 'end')::pg_lsn >= (body ->> 'start')::pg_lsn
         and timestamptz '2000-01-01 00:00+00' + (body ->> 'sent_at')::bigint * interval '1 microsecond'
             between now() - interval '1 hour' and now())
  from held($session) where what = 'xlog_data'
SQL

# ---- logical replication: pgoutput in the three versions that 15 has ----

$server->sql(<<'SQL');
create type mood as enum ('sad', 'happy');
create table t (id int primary key, m mood, big text);
alter table t alter big set storage external;
create table full_row (id int, v text);
alter table full_row replica identity full;
create publication p for table t, full_row;
select pg_replication_origin_create('elsewhere');
SQL
foreach my $slot ('one', 'two', 'three', 'parts', 'text')
{
	$server->sql("select pg_create_logical_replication_slot('$slot', '"
		  . ($slot eq 'text' ? 'test_decoding' : 'pgoutput') . "', false, "
		  . ($slot eq 'three' ? 'true' : 'false') . ')');
}
$server->sql(<<'SQL');
insert into t values (1, 'sad', repeat('x', 5000)), (2, null, '');
update t set m = 'happy' where id = 1;
update t set id = 3 where id = 2;
delete from t where id = 3;
insert into full_row values (1, E'caf\u00e9'), (2, null);
update full_row set v = 'b' where id = 1;
delete from full_row where id = 2;
truncate t, full_row;
select pg_logical_emit_message(true, 'prefix', 'content');
select pg_logical_emit_message(false, 'prefix', 'at once');
SQL
$server->sql(<<'SQL');
select pg_replication_origin_session_setup('elsewhere');
begin;
select pg_replication_origin_xact_setup('0/abcdef', now());
insert into t values (4);
commit;
SQL
# larger than logical_decoding_work_mem: streamed where the version can
$server->sql(<<'SQL');
begin;
insert into t select n, 'sad', 'row ' || n from generate_series(1000, 2999) as n;
savepoint s;
insert into t select n, 'happy', 'gone ' || n from generate_series(3000, 4999) as n;
rollback to s;
select pg_logical_emit_message(true, 'in a stream', 'content');
truncate full_row;
commit;
SQL
$server->sql(<<'SQL');
begin;
insert into t select n, 'sad', 'row ' || n from generate_series(5000, 6999) as n;
rollback;
begin;
insert into t values (10);
prepare transaction 'small';
commit prepared 'small';
begin;
insert into t values (11);
prepare transaction 'undone';
rollback prepared 'undone';
begin;
insert into t select n, 'sad', 'row ' || n from generate_series(7000, 8999) as n;
prepare transaction 'large';
commit prepared 'large';
SQL
my $end = $server->sql('select pg_current_wal_flush_lsn()');

# Reads a slot up to the end through the side port; returns the session.
sub receive
{
	my ($slot, @options) = @_;

	($status, $out, $err) = run_client([ 'pg_recvlogical', '-d', $server->side_connstr('postgres')
			. " application_name=$slot", '--start', '-S', $slot, '-f', "$dir/$slot", '-E', $end,
			'--no-loop', '-s', '1', map { ('-o', $_) } @options ]);
	is($status, 0, "slot $slot: pg_recvlogical through the side port") or diag($err);
	$session = session_of($slot, 'replication');
	check_session($session, "slot $slot");
	return $session;
}

# Returns the kinds of changes that a session got.
sub kinds
{
	return $server->sql("select string_agg(distinct what, ' ' order by what) from changes($_[0])");
}

# Tells whether thousands of rows came inside streams, and whether it is those that carry the
# ids of their transactions.
sub streamed
{
	return $server->sql(<<"SQL");
with s as (
	select m.exchange_no, m.message_no, c.key as what, c.value ->> 'xid' as xid,
	       sum(case c.key when 'stream_start' then 1 when 'stream_stop' then -1 else 0 end)
	         over (order by m.exchange_no, m.message_no) as depth
	  from pgwire_trace.messages($session) as m, jsonb_each(m.body #> '{xlog_data,data}') as c
	 where m.name = 'CopyData' and jsonb_typeof(m.body #> '{xlog_data,data}') = 'object')
select count(*) filter (where depth = 1 and what = 'insert') > 4000,
       bool_and((xid is not null) = (depth = 1))
  from s where what in ('insert', 'relation', 'type', 'truncate', 'message')
SQL
}

# ---- version 1 ----

my $options = 'publication_names=p';
my $plain = 'begin commit delete insert message origin relation truncate type update';
receive('one', 'proto_version=1', $options, 'messages=true');
is(kinds($session), $plain, 'version 1: its messages');
is($server->sql(<<"SQL"), <<'EXPECTED' =~ s/\n\z//r, 'version 1: changes');
select what, body - '{xid,relation_oid}'::text[] from changes($session)
 where body ->> 'relation_oid' = 'full_row'::regclass::oid::text and what <> 'relation'
    or what in ('update', 'delete') order by 1, 2
SQL
delete|{"key": null, "old": ["2", null]}
delete|{"key": ["3", null, null], "old": null}
insert|{"new": ["1", "café"]}
insert|{"new": ["2", null]}
update|{"key": null, "new": ["1", "b"], "old": ["1", "café"]}
update|{"key": null, "new": ["1", "happy", {"unchanged": true}], "old": null}
update|{"key": ["2", null, null], "new": ["3", null, ""], "old": null}
EXPECTED
is($server->sql(<<"SQL"), 't|d|f', 'version 1: a relation is what the catalog says');
select body -> 'columns' = (select jsonb_agg(jsonb_build_object('name', attname, 'flags',
           (attnum = 1)::int, 'type_oid', atttypid::int, 'type_modifier', atttypmod) order by attnum)
         from pg_attribute where attrelid = 't'::regclass and attnum > 0),
       body ->> 'replica_identity',
       (select body ->> 'replica_identity' from changes($session)
         where what = 'relation' and body ->> 'name' = 'full_row' limit 1)
  from changes($session) where what = 'relation' and body ->> 'name' = 't' limit 1
SQL
is($server->sql("select body -> 'name', body -> 'commit' from changes($session)"
	  . " where what = 'origin'"), '"elsewhere"|"0/00ABCDEF"', 'version 1: an origin');
is($server->sql("select string_agg(body ->> 'content', ', ') from changes($session)"
	  . " where what = 'message'"), 'content, at once, content', 'version 1: messages');
is($server->sql("select bool_and(body ->> 'schema' = 'public' and body -> 'type_oid' ="
	  . " to_jsonb('mood'::regtype::oid::int)) from changes($session) where what = 'type'"), 't',
	'version 1: a type');
is($server->sql("select count(*) from changes($session) where body -> 'xid' <> 'null'"
	  . " and what not in ('begin')"), '0', 'version 1: changes have no transaction ids');

# ---- version 2: streamed transactions ----

receive('two', 'proto_version=2', $options, 'messages=true', 'streaming=on', 'binary=true');
is(kinds($session), 'begin commit delete insert message origin relation stream_abort stream_commit'
	  . ' stream_start stream_stop truncate type update', 'version 2: its messages');
is($server->sql("select body -> 'new' from changes($session) where what = 'insert' and"
	  . " body #>> '{new,0,hex}' = '000003e8'"),
	'[{"hex": "000003e8"}, {"hex": "736164"}, {"hex": "' . unpack('H*', 'row 1000') . '"}]',
	'version 2: binary values');
is(streamed(), 't|t', 'version 2: streamed changes have ids, others have none');
is($server->sql("select count(distinct body -> 'xid') = count(*), bool_and(body -> 'abort' = 'null')"
	  . " from changes($session) where what = 'stream_abort'"), 't|t', 'version 2: what is undone')
  or diag($server->sql("select body from changes($session) where what = 'stream_abort'"));

# ---- version 3: two-phase commit ----

receive('three', 'proto_version=3', $options, 'streaming=on', 'two_phase=on');
is(kinds($session), 'begin begin_prepare commit commit_prepared delete insert origin prepare relation'
	  . ' rollback_prepared stream_abort stream_commit stream_prepare stream_start stream_stop truncate'
	  . ' type update', 'version 3: its messages');
is($server->sql("select string_agg(what || ' ' || (body ->> 'gid'), ', ' order by what, body ->> 'gid')"
	  . " from changes($session) where body ? 'gid'"),
	'begin_prepare small, begin_prepare undone, commit_prepared large, commit_prepared small,'
	  . ' prepare small, prepare undone, rollback_prepared undone, stream_prepare large',
	'version 3: prepared transactions');

# ---- a long transaction, recorded in parts while it runs: each goes on where the last ended ----

$server->set('pgwire_trace.part_interval' => '1ms');
$server->sql(<<'SQL');
create procedure wait_for_parts(n int) language plpgsql as $$
begin
	for i in 1..600 loop
		exit when n <= (select count(*) from pgwire_trace.exchange where kind = 'replication' and
			session_id = (select max(session_id) from pgwire_trace.session where application_name = 'parts'));
		perform pg_sleep(0.1);
	end loop;
end $$
SQL
my $receiver = IPC::Run::start([ 'pg_recvlogical', '-d', $server->side_connstr('postgres')
		. ' application_name=parts', '--start', '-S', 'parts', '-f', "$dir/parts", '--no-loop', '-s', '1',
		map { ('-o', $_) } ('proto_version=2', $options, 'messages=true', 'streaming=on') ],
	'<', \undef, '2>', \my $complaints);
$server->sql('begin;' . join('', map { "call wait_for_parts($_); insert into t"
			. " select n, 'sad', 'long' from generate_series(" . (10000 * $_) . ", 10000 * $_ + 2999) as n;" }
		1 .. 3) . 'commit');
$server->node->wait_for_catchup('parts', 'flush');
$receiver->signal('INT');
$receiver->finish;
$session = session_of('parts', 'replication');
check_session($session, 'parts');
cmp_ok($server->sql("select count(*) from pgwire_trace.exchange where session_id = $session"
	  . " and kind = 'replication'"), '>=', 3, 'parts: there are some') or diag($complaints);
is(streamed(), 't|t', 'parts: streamed changes have ids, others have none');
is($server->sql("select count(*) from changes($session) where what = 'insert'"
	  . " and body #>> '{new,2}' = 'long'"), '9000', 'parts: no change is missing');

# ---- another plugin ----

receive('text');
is($server->sql("select count(*) from changes($session)"), '0', "another plugin's output is data");
like($server->sql("select body ->> 'data' from held($session) where what = 'xlog_data'"
	  . ' offset 1 limit 1'), qr/^table public\.t: INSERT: id\[integer\]:1 /, 'and text if it is');

# ---- a subscription: with its first copy of the tables, on connections of its own ----

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', "max_logical_replication_workers = 4\n");
$subscriber->start;
$subscriber->safe_psql('postgres', 'create table copied (v text primary key)');
$server->sql("create table copied (v text primary key); insert into copied values ('delta'), ('n'), ('m');"
	  . ' create publication c for table copied');
$subscriber->safe_psql('postgres', "create subscription s connection '"
	  . $server->side_connstr('postgres') . "' publication c with (streaming = on)");
$subscriber->wait_for_subscription_sync($server->node, 's');
$server->sql("insert into copied values ('later')");
$server->node->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', 'select v from copied order by v'), "delta\nlater\nm\nn",
	'a subscription through the side port');
$subscriber->safe_psql('postgres', 'drop subscription s');
$subscriber->stop;
$session = session_of('s', 'replication');
check_session($session, 'subscription');
is($server->sql("select string_agg(body ->> 'new', ' ') from changes($session) where what = 'insert'"),
	'["later"]', 'subscription: its change');
$session = $server->sql("select session_id from pgwire_trace.exchange where kind = 'copy'"
	  . " and query like '%copied%' and query not like '%encoded%'");
check_session($session, 'first copy');
is($server->sql("select string_agg(body ->> 'data', '' order by message_no) from"
	  . " pgwire_trace.messages($session) where name = 'CopyData' and body ? 'data'"), "delta\nn\nm\n",
	"first copy: a table's rows are data")
  or diag($server->sql("select body from pgwire_trace.messages($session) where name = 'CopyData'"));

# ---- what version 18 sent in every version of pgoutput's protocol; test/golden/README.md ----

$server->sql('create table pgoutput18 (run text, no int, data text, held jsonb)');
$server->sql("\\copy pgoutput18 from '$ENV{PGWT_CLIENTS}/../golden/pgoutput18.tsv' encoding 'UTF8'");
$server->sql(<<'SQL');
create view read18 as
	select r.run, m.message_no as no, m.name, m.body,
	       pgwire_trace.encode_message('B', m.name, m.body) as bytes
	  from (select run, string_agg(decode(data, 'hex'), '' order by no) as data from pgoutput18 group by 1) as r,
	       lateral pgwire_trace.decode_messages(r.data, 'B', 'replication') as m;
SQL
is($server->sql('select count(*), count(distinct run) from pgoutput18'), '744|6', 'version 18: all versions are there');
is($server->sql("select count(*) from pgoutput18 join read18 using (run, no)"
	  . " where name = 'CopyData' and body = held and bytes = decode(data, 'hex')"),
	'744', 'version 18: each message is read as by others, and written again')
  or diag($server->sql('select run, no, held, body from pgoutput18 full join read18 using (run, no)'
	  . ' where body is distinct from held order by 1, 2 limit 5'));
is($server->sql(<<'SQL'), '', "version 18: all messages of pgoutput's are among them");
select string_agg(name, ' ') from pgwire_trace.message_types() as t
 where phase = 'xlog_data' and not exists (select from pgoutput18, jsonb_object_keys(held #> '{xlog_data,data}') as k
	where replace(k, '_', '') = lower(t.name))
SQL

$server->node->stop;
done_testing();
