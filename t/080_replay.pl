# Replay: a deterministic workload run again on a server in the same state gives no divergence at
# any level; each difference that is put into the target gives its own verdict; what is captured is
# sent, filtered, skipped or unsent, whatever happens.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Replay;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace::Replay->start('replay', target => "max_connections = 100\n", agrees => 0);
my $target = $server->target;
my $conninfo = $server->conninfo;
my $setup = <<'SQL';
drop table if exists item, place cascade;
drop function if exists label(int);
create table item (id int primary key, name text, price float8, tag text);
insert into item select i, 'item ' || i, i / 7.0, null from generate_series(1, 200) i;
create table place (id int, name text);
insert into place select i, 'place ' || i from generate_series(1, 20) i;
create function label(n int) returns text language sql as $$ select 'label ' || n $$;
SQL

sub reset_all
{
	$server->both($setup);
}

# Checks that what a run captured is what was recorded of its sessions.
sub check_captured
{
	my ($run, $sessions) = @_;

	is($server->of_run($run, 'captured'), $server->sql('select count(distinct (session_id, exchange_no))'
		  . ' from pgwire_trace.exchange where kind not in ($$startup$$, $$terminate$$, $$async$$)'
		  . " and session_id in ($sessions)"), "run $run: all of the record");
	return;
}

# ---- the target must agree ----

reset_all();
$server->side_sql('select 1');
my $session = $server->recorded;
my $run = $server->begin_run("array[$session], timing => 'asap'");
$server->ends($run, 'aborted', 'a target that was not asked is left alone');
is($server->of_run($run, 'error_message'),
	'the target does not agree to a replay: pgwire_trace.allow_replay is not on in its database'
	  . ' (ALTER DATABASE ... SET pgwire_trace.allow_replay = on)',
	'and the run says why');
check_captured($run, $session);
$server->agree;
$server->replay("array[$session], timing => 'asap', compare => 5");

my $own = 'host=' . $server->node->host . ' port=' . $server->node->port . ' dbname=postgres';
$server->sql('alter database postgres set pgwire_trace.allow_replay = on');
$run = $server->begin_run("array[$session], timing => 'asap'", $own);
$server->ends($run, 'aborted', 'a server does not replay against itself');
is($server->of_run($run, 'error_message'), 'the target is this server itself (option allow_self, if that is meant)',
	'and says why');
$server->replay("array[$session], timing => 'asap', options => '{\"allow_self\": true}'", $own);

# ---- a deterministic workload ----

my $script = $server->node->basedir . '/script.sql';
append_to_file($script, <<'SQL');
\set id 17
select name, price from item where id = :id;
begin;
update item set tag = 'seen' where id = :id;
select tag from item where id = :id;
commit;
\startpipeline
select label(:id);
select count(*) from item where price < 10;
insert into place values (:id, 'new');
select 1 / 0;
select 2;
\endpipeline
SQL

reset_all();
# psql does not stop at the errors that belong to the workload
run_client([ 'psql', '-XAtq', $server->side_connstr ], stdin => <<'SQL');
select * from item order by id;
begin;
declare c cursor for select * from place;
fetch 5 from c;
fetch all from c;
commit;
select 1 / 0;
begin;
select * from nowhere;
select 1;
rollback;
copy place from stdin;
100	copied
101	copied too
\.
copy item to stdout;
copy place from stdin;
not a number
\.
select 1 as a \; select 2 as b \; select 'three' as c;
do $$ begin raise notice 'hello'; end $$;
create temp table scratch as select 1 as a;
select * from scratch;

;
prepare p (int) as select name from item where id = $1;
execute p(5);
set datestyle = german;
select date '2026-01-02', null, '';
SQL
# requests that do not wait for the answers to those before them
my $client = $server->connect_client;
my $piece = PgwireTrace::Client::parse('select count(*) from place') . PgwireTrace::Client::bind_portal()
  . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message();
$client->send_bytes(PgwireTrace::Client::query('select pg_sleep(0.1)')
	  . PgwireTrace::Client::query('select 2') . $piece
	  . PgwireTrace::Client::parse('select 1 / 0') . $piece . $piece);
$client->until_ready(5);
$client->send_bytes(PgwireTrace::Client::terminate());
for my $mode (qw(extended prepared))
{
	my @command = ('pgbench', '-n', '-f', $script, '-M', $mode, '-t', '3', $server->side_connstr);
	run_client(\@command);
}
ok($server->flush, 'the workload is recorded');
my $sessions = $server->sql("select string_agg(session_id::text, ',' order by session_id) from"
	  . " pgwire_trace.session where session_id > $session and exchange_count > 2");
my @sessions = split /,/, $sessions;
is(scalar(@sessions), 4, 'four sessions') or diag($sessions);

for my $level (0 .. 5)
{
	reset_all();
	my $level_run = $server->replay("array[$sessions], timing => 'asap', compare => $level,"
		  . " options => '{\"max_sessions\": 1}'");

	is($server->verdicts($level_run), '', "level $level: no divergence")
	  or diag($server->sql("select * from pgwire_trace.replay_divergence where run_id = $level_run"));
	is($server->of_run($level_run, 'captured = sent'), 't', "level $level: all of it was sent");
	check_captured($level_run, $sessions);
}
is($server->sql("select count(*) > 0 from pgwire_trace.exchange e join pgwire_trace.exchange p"
		  . " on p.session_id = e.session_id and p.exchange_no = e.exchange_no - 1"
		  . " where e.session_id in ($sessions) and e.started_at < p.finished_at"), 't',
	'some of it was pipelined');

# ---- each difference has its verdict ----

my $sql = <<'SQL';
select * from item order by id;
select * from item where id < 50;
select * from place where id = 3;
begin;
insert into item (id, name) values (1000, 'x');
select 1;
commit;
select 2;
SQL
reset_all();
$server->side_sql($sql);
my $plain = $server->recorded;

sub judge
{
	my ($change, $expected, $name, $level) = @_;
	$level //= 5;

	reset_all();
	$target->safe_psql('postgres', $change);
	my $judged = $server->replay("array[$plain], timing => 'asap', compare => $level");
	is($server->verdicts($judged), $expected, $name)
	  or diag($server->sql("select * from pgwire_trace.replay_divergence where run_id = $judged"));
	check_captured($judged, $plain);
	return $judged;
}

judge('select 1', '', 'no change');
my $data = judge("update item set name = 'other' where id = 60", '1:data', 'a changed row');
is($server->sql("select captured ->> 'row_no', captured ->> 'column', captured ->> 'value',"
		  . " replayed ->> 'value' from pgwire_trace.replay_divergence where run_id = $data"),
	'60|name|item 60|other', 'level 5 names row, column and values');
judge("update item set name = 'other' where id = 60", '1:data', 'a changed row, level 4', 4);
judge("update item set name = 'other' where id = 60", '', 'level 3 does not look at values', 3);
for my $tolerance (qw(0 1e-8 1e-6))
{
	reset_all();
	$target->safe_psql('postgres', 'update item set price = price * 1.0000001 where id = 60');
	my $tolerant = $server->replay("array[$plain], timing => 'asap', compare => 5, options => '{\"float_tolerance\": $tolerance}'");
	is($server->verdicts($tolerant), $tolerance eq '1e-6' ? '' : '1:data', "a float that is a little larger, within $tolerance");
}
judge('delete from item where id = 60', '1:rows', 'a missing row', 2);
judge('delete from item where id = 60', '', 'level 1 does not count rows', 1);
judge('create table other as select * from item order by id desc; truncate item;'
	  . ' insert into item select * from other', '2:order_only', 'rows in another order');
judge('alter table item alter price type numeric using price::numeric(10, 2)', '1:shape 2:shape',
	'another type', 3);
judge('drop table place', '3:error_new', 'a missing table');
my $failed = judge('alter table item add check (id < 1000)',
	'5:error_new 6:error_new<5 7:shape<5', 'an error in a transaction explains what follows');
is($server->of_run($failed, 'root_divergences'), '1', 'one of them is the root');

# ---- other errors, other states ----

reset_all();
$client = $server->connect_client;
for my $bytes (
	PgwireTrace::Client::query("insert into item (id, name) values (7, 'twice')"),
	PgwireTrace::Client::parse('select label(1)') . PgwireTrace::Client::bind_portal() . PgwireTrace::Client::execute()
	  . PgwireTrace::Client::parse('begin') . PgwireTrace::Client::bind_portal() . PgwireTrace::Client::execute()
	  . PgwireTrace::Client::sync_message(),
	PgwireTrace::Client::query('select 2'),
	PgwireTrace::Client::query('commit'),
	PgwireTrace::Client::query('select label(3)'),
	PgwireTrace::Client::query('select 4'))
{
	$client->send_bytes($bytes);
	$client->until_ready(1);
}
$client->send_bytes(PgwireTrace::Client::terminate());
ok($server->flush, 'recorded');
$plain = $server->sql('select pgwire_trace.last_session()');
judge('select 1', '', 'no change');
judge('alter table item drop constraint item_pkey; alter table item add check (id > 7) not valid',
	'1:error_changed', 'an error that is another', 1);
judge(q(create or replace function label(n int) returns text language plpgsql as
	$$ begin if n = 1 then raise 'no'; end if; return 'label ' || n; end $$),
	'2:error_new 3:transaction_state<2', 'a transaction that did not begin', 1);
my $module = PgwireTrace::build_module('open_block');
my $state = judge("create or replace function label(n int) returns text language c as '$module', 'open_block'",
	'5:transaction_state 6:transaction_state<5', 'one that nobody began');
is($server->sql("select statement_no, captured ->> 'transaction_status', replayed ->> 'transaction_status'"
		  . " from pgwire_trace.replay_divergence where run_id = $state and is_root"), '2|I|T', 'both states are told');

# ---- types of users, which have another OID in every database ----

my $types = "create schema if not exists app; drop type if exists mood, app.size cascade;"
  . " create type mood as enum ('sad', 'ok'); create type app.size as (w int, h int);"
  . ' drop table if exists feeling; create table feeling (m mood, s app.size);'
  . q( insert into feeling values ('ok', '(1,2)'););
$server->node->safe_psql('postgres', $types);
$target->safe_psql('postgres', "create type first_here as enum ('x'); $types");
$server->side_sql("select m, array[m] as ms, s from feeling;\n");
$plain = $server->recorded;
isnt($server->sql("select 'mood'::regtype::oid"),
	$target->safe_psql('postgres', "select 'mood'::regtype::oid"), 'OIDs differ');
judge('select 1', '', 'types of the same name');
# a client that asks a server for the numbers of types, as many drivers do, says them again
my %oid;
@oid{'mood', '_mood'} = split /\|/, $server->sql("select 'mood'::regtype::oid, 'mood[]'::regtype::oid");
my $moods = pack('N6a*N', 1, 0, $oid{mood}, 2, 1, 3, 'sad', 2) . 'ok';
my $numbers = pack('N7', 1, 0, 26, 1, 1, 4, $oid{mood});
my $talks = $server->connect_client;
$talks->send_bytes(PgwireTrace::Client::message('P', "s\0select \$1 as m, \$2 as ms, \$3 as numbers\0" . pack('nN3', 3, $oid{mood}, $oid{_mood}, 1028))
	  . PgwireTrace::Client::message('D', "Ss\0") . PgwireTrace::Client::sync_message());
$talks->until_ready;
$talks->send_bytes(PgwireTrace::Client::message('B', "\0s\0" . pack('n4n', 3, 0, 1, 1, 3) . pack('N/a N/a N/a', 'ok', $moods, $numbers) . pack('nn', 1, 1))
	  . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message());
$talks->until_ready;
$talks->send_bytes(PgwireTrace::Client::query("select t.oid, s, array[m] as ms from feeling join pg_type t on typname = 'mood'") . PgwireTrace::Client::terminate());
$talks->until_closed;
$plain = $server->recorded;
is($server->sql("select count(*) filter (where sqlstate is null) from pgwire_trace.exchange where session_id = $plain and kind in ('extended', 'query')"),
	'3', 'recorded without an error');
judge('select 1', '', 'numbers of types are those of the target, in what is sent and what is compared');
judge("update feeling set m = 'sad'", '3:data', 'values beside them are compared all the same');
$target->safe_psql('postgres', "update feeling set m = 'ok'");
$server->side_sql("select m, array[m] as ms, s from feeling;\n");
$plain = $server->recorded;
my $renamed = judge('alter type mood rename to humour', '1:shape', 'a type of another name', 3);
is($server->sql("select captured ->> 'type', replayed ->> 'type', captured ->> 'column'"
		  . " from pgwire_trace.replay_divergence where run_id = $renamed"),
	'public.mood|public.humour|m', 'both names are told');
judge('alter type humour rename to mood; alter type app.size set schema public', '1:shape',
	'a type in another schema', 3);
$target->safe_psql('postgres', 'drop table feeling; drop type first_here, mood, size');

# ---- what was wrong and is right ----

reset_all();
run_client([ 'psql', '-XAtq', $server->side_connstr ],
	stdin => "select * from missing;\nselect 1;\nbegin;\nselect * from missing;\nselect 2;\nrollback;\n");
$plain = $server->recorded;
judge('create table missing ()', '1:error_gone 4:error_gone 5:error_gone<4', 'an error that is gone');
$target->safe_psql('postgres', 'drop table missing');

# ---- noise ----

reset_all();
$server->side_sql("select 1 as a, clock_timestamp() as now, random() as r;\n");
$plain = $server->recorded;
judge('select 1', '1:data', 'what no two runs have in common');
$run = $server->replay("array[$plain], timing => 'asap', options => '{\"ignore_columns\": [\"now\", \"r\"]}'");
is($server->verdicts($run), '', 'can be left out');

my $left_out = $server->replay("array[$plain], timing => 'asap', options => '{\"ignore_columns\": [\"now\", \"r\"]}'");
is($server->sql("select count(*) from pgwire_trace.replay_compare($run, $left_out)"), '0',
	'two runs that leave them out do not differ');
my $again = $server->replay("array[$plain], timing => 'asap'");
is($server->sql("select string_agg(what, ',' order by what) from pgwire_trace.replay_compare("
		  . " (select max(run_id) - 1 from pgwire_trace.replay_run), $again)"), 'data,verdicts',
	'two runs differ in what is noise');
is($server->sql("select count(*) from pgwire_trace.replay_compare($again, $again)"), '0',
	'a run does not differ from itself');

# what is noise is found by replaying twice; a column that both replays have otherwise than recorded is none
reset_all();
$client = $server->connect_client;
$client->send_bytes(PgwireTrace::Client::query("select name, clock_timestamp() as at from item where id = 3; select random() as r")
	  . PgwireTrace::Client::parse('select clock_timestamp(), id, name from item where id = $1', 'undescribed')
	  . join('', map { PgwireTrace::Client::bind_portal(statement => 'undescribed', values => [$_])
			. PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message() } 3, 4));
$client->until_ready(3);
$client->send_bytes(PgwireTrace::Client::terminate());
my $noisy = $server->recorded;
my @runs;
$target->safe_psql('postgres', q(update item set name = 'changed' where id = 3));
push @runs, $server->replay("array[$noisy], timing => 'asap', compare => $_") for 4, 5;
is($server->verdicts($runs[$_]), '1:data 1:data<1 2:data 3:data', 'all of it differs') for 0, 1;
is($server->sql("select pgwire_trace.replay_learn_noise($runs[0], $runs[0])"), '0', 'one replay tells nothing');
like(($server->try_sql("select pgwire_trace.replay_learn_noise($runs[0], " . $server->replay("array[$noisy], timing => 'asap', compare => 3") . ')'))[2],
	qr/replay \d+ compared at level 3: level 4 is needed/, 'nor one that compared no values');
is($server->sql("select pgwire_trace.replay_learn_noise($runs[0], $runs[1])"), '3', 'two tell what is noise');
is($server->sql("select string_agg(column_name, ' ' order by column_name) from pgwire_trace.replay_noise"),
	'#1 at r', 'by name, or by number where nothing describes the rows');
is($server->sql("select exchanges from pgwire_trace.replay_plan('$conninfo', array[$noisy]) where item = 'with noise rules'"),
	'3', 'the plan says so');
is($server->verdicts($server->replay("array[$noisy], timing => 'asap', compare => 5")), '1:data 2:data',
	'then what was changed is left');
$target->safe_psql('postgres', q(update item set name = 'item 3' where id = 3));
is($server->verdicts($server->replay("array[$noisy], timing => 'asap', compare => 4")), '', 'and without a change nothing');
is($server->verdicts($server->replay("array[$noisy], timing => 'asap', options => '{\"noise_rules\": false}'")),
	'1:data 1:data<1 2:data 3:data', 'rules can be left out');
$server->sql('delete from pgwire_trace.replay_noise');

# ---- digests that are not there ----

$_->safe_psql('postgres', q(create table hidden as select repeat('x', 10) a from generate_series(1, 9000)))
  for $server->node, $target;
$server->set('pgwire_trace.redact_columns' => 'public.hidden.a');
my $hidden;
ok(poll(sub {
		$server->side_sql("select a from hidden;\n");
		$server->flush;
		$hidden = $server->sql('select pgwire_trace.last_session()');
		return $server->sql("select row_digest is null from pgwire_trace.exchange"
			  . " where session_id = $hidden and exchange_no = 1") eq 't';
	}), 'rows of which not all were kept, and that are redacted, have no digest');
$server->set('pgwire_trace.redact_columns' => '');
is($server->sql("select exchanges from pgwire_trace.replay_plan('$conninfo', array[$hidden])"
		  . " where item = 'results without a digest'"), '1', 'the plan says so');
my (undef, undef, $refused) = $server->try_sql('do $$ begin'
	  . " perform pgwire_trace.replay_start('$conninfo', array[$hidden]);"
	  . " exception when feature_not_supported then raise exception '% %', sqlstate, sqlerrm; end \$\$");
like($refused, qr/0A000 comparison level 4 needs digests/, 'replay_start itself refuses level 4');
(undef, undef, $refused) = $server->try_sql("select pgwire_trace.replay_start('$conninfo')");
like($refused, qr/DETAIL:  1 exchange has rows, but no digest of them\./, 'with their number, whichever sessions');
is($server->verdicts($server->replay("array[$hidden], timing => 'asap', compare => 3")), '', 'level 3 needs none');

# all bytes are kept, but not all are compared: the digest leaves the redacted column out
$server->set('pgwire_trace.redact_columns' => 'public.hidden.a', 'pgwire_trace.response_limit' => '2MB');
ok(poll(sub {
		$server->side_sql("select a from hidden cross join (select true union all select false) v;\n");
		$server->flush;
		$hidden = $server->sql('select pgwire_trace.last_session()');
		return $server->sql("select row_digest is not null and is_redacted and not is_truncated from"
			  . " pgwire_trace.exchange where session_id = $hidden and exchange_no = 1") eq 't';
	}), 'redacted, and kept');
$server->set('pgwire_trace.redact_columns' => '', 'pgwire_trace.response_limit' => '64kB');
(undef, undef, $refused) = $server->try_sql("select pgwire_trace.replay_start('$conninfo', array[$hidden])");
like($refused, qr/DETAIL:  1 exchange has rows, but no digest of them\./, 'such a digest does not count');

# ---- what was redacted ----

$server->set('pgwire_trace.redact_columns' => 'public.hidden.a');
ok(poll(sub {
		$server->side_sql("select a, count(*) from hidden group by a;\nselect count(*) from hidden where a = 'secret';\n");
		$server->flush;
		$hidden = $server->sql('select pgwire_trace.last_session()');
		return $server->sql("select bool_and(is_redacted) from pgwire_trace.exchange"
			  . " where session_id = $hidden and kind = 'query'") eq 't';
	}), 'redacted');
$server->set('pgwire_trace.redact_columns' => '');
$run = $server->replay("array[$hidden], timing => 'asap', compare => 5");
is($server->verdicts($run), '', 'values that the record masked are not compared');
is($server->sql("select exchange_no, outcome, reason from pgwire_trace.replay_run_exchange where run_id = $run order by 1"),
	"1|sent|\n2|skipped|the record overwrote something in it", 'a request whose values are not those that were is not sent');
my $redacted = $hidden;
$target->safe_psql('postgres', "update hidden set a = repeat('y', 10)");
$server->set('pgwire_trace.redact_queries' => 'hidden|p.ssword');
ok(poll(sub {
		$client = $server->connect_client;
		for my $bytes (
			PgwireTrace::Client::query('copy (select distinct a from hidden) to stdout'),
			PgwireTrace::Client::parse("select count(*) from hidden where a <> 'x'", 'h') . PgwireTrace::Client::sync_message(),
			PgwireTrace::Client::bind_portal(statement => 'h') . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message(),
			PgwireTrace::Client::query("alter role current_user password 'not this'"),
			PgwireTrace::Client::parse('select 1', 'h2') . PgwireTrace::Client::bind_portal(statement => 'h2')
			  . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message())
		{
			$client->send_bytes($bytes);
			$client->until_ready(1);
		}
		$client->send_bytes(PgwireTrace::Client::terminate());
		$server->flush;
		$hidden = $server->sql('select pgwire_trace.last_session()');
		return $server->sql("select string_agg(is_redacted::int || '' || is_request_redacted::int, ' ' order by exchange_no)"
			  . " from pgwire_trace.exchange where session_id = $hidden and kind not in ('startup', 'terminate')") eq '10 11 10 11 00';
	}), 'redacted in the request, the answer, or both')
  or diag($server->sql("select string_agg(is_redacted::int || '' || is_request_redacted::int, ' ' order by exchange_no)"
			  . " from pgwire_trace.exchange where session_id = $hidden and kind not in ('startup', 'terminate')"));
$server->set('pgwire_trace.redact_queries' => '');
$run = $server->replay("array[$hidden], timing => 'asap', compare => 5");
is($server->verdicts($run), '', 'masked data of a COPY are not compared');
is($server->sql("select exchange_no, reason from pgwire_trace.replay_run_exchange where run_id = $run and outcome <> 'sent' order by 1"),
	"2|the record overwrote something in it\n3|the record overwrote something in the statement that it runs\n"
	  . '4|the record overwrote something in it', 'what is not what it was is not sent');
$target->safe_psql('postgres', 'insert into hidden select * from hidden');
is($server->verdicts($server->replay("array[$redacted], timing => 'asap', compare => 5")), '1:data', 'others in the same row are');

# ---- time ----

reset_all();
$server->side_sql("select label($_);") for 1 .. 5;
ok($server->flush, 'recorded');
my $labels = $server->sql('select string_agg(session_id::text, $$,$$) from pgwire_trace.session'
	  . " where session_id > $hidden");
$target->safe_psql('postgres', 'create or replace function label(n int) returns text language sql'
	  . q( as $$ select 'label ' || n from pg_sleep(0.3) $$));
$run = $server->replay("array[$labels], timing => 'asap', compare => 5");
is($server->verdicts($run), '', 'a slower function answers the same');
is($server->sql("select query, exchanges, replayed_p50_ms > 300, replayed_p99_ms >= replayed_p50_ms,"
		  . " ratio > 2, captured_p50_ms < 150 from pgwire_trace.replay_latency($run, 2)"),
	'select label($1);|5|t|t|t|t', 'and its query is found slower');

$target->safe_psql('postgres', q(create or replace function label(n int) returns text language sql as $$ select 'other ' || n $$));
my $alike = $server->replay("array[$labels], timing => 'asap'");

# ---- the report ----

my @report = split /\n/, $server->sql("select pgwire_trace.replay_report($data)");
like($report[0], qr/^replay $data: finished, asap against dbname='postgres' host=/, 'the report');
is($report[1], 'exchanges: 8 captured = 8 sent + 0 filtered + 0 skipped + 0 unsent', 'its counts');
is($report[2], 'sessions: 1 finished', 'its sessions');
is($report[3], 'divergences at level 5: 1, 1 of them roots', 'its divergences');
is($report[4], 'data: 1, 1 of them roots', 'by verdict');
like($report[5], qr/^session \d+, exchange 1: data, select \* from item order by id: was name = 'item 60' in row 60, is name = 'other' in row 60$/,
	'each root');
like($server->sql("select pgwire_trace.replay_report($failed)"),
	qr/exchange 5: error_new, insert .*: was INSERT 0 1, is 23514 new row .* \(explains 2 more\)/,
	'and what it explains');
like($server->sql("select pgwire_trace.replay_report($run)"),
	qr/\ntime: \d+\.\d{3} s, recorded in \d+\.\d{3} s; latency: median [3-9]\d\d\.\d{3} ms \(was \d+\.\d{3}\), p95 .*
.* times as slow \(median [3-9]\d\d\..*5 exchanges\): select label/, 'what is slower');
like($server->sql("select pgwire_trace.replay_report($run)"), qr/\nno divergences at level 5\n/, 'that there is no difference');
like($server->sql("select pgwire_trace.replay_report($alike)"),
	qr/\ndata: 5, 5 of them roots\nsession \d+, exchange 1: data, select label\(1\): other values of label \(and 4 more like it\)\ntime: /,
	'differences that are alike are told once');

# ---- what is shown of a difference ----

is($server->sql(<<'SQL'), <<'SHAPES' =~ s/\n\z//r, 'each verdict has the same facts whenever it comes');
select verdict || ': ' || string_agg(distinct captured || ' > ' || replayed, '; ' order by captured || ' > ' || replayed)
  from (select verdict, (select string_agg(k, ' ' order by k) from jsonb_object_keys(captured) k) as captured,
               (select string_agg(k, ' ' order by k) from jsonb_object_keys(replayed) k) as replayed
          from pgwire_trace.replay_divergence) d
 group by verdict order by verdict collate "C"
SQL
data: column columns message row_digest row_no rows type_oid value > column columns message row_digest row_no rows type_oid value; column columns message row_digest row_no rows value > column columns message row_digest row_no rows value; columns message row_digest rows > columns message row_digest rows
error_changed: error_message message sqlstate > error_message message sqlstate
error_gone: error_message message sqlstate > message
error_new: command_tag message rows > error_message message sqlstate; message > error_message message sqlstate; message rows > error_message message sqlstate
order_only: message row_digest rows > message row_digest rows
rows: message rows > message rows
shape: column message type type_oid > column message type type_oid; column message type_oid > column message type_oid; command_tag message > command_tag message
transaction_state: message transaction_status > message transaction_status
SHAPES

done_testing();
