# Runs of replays: order across sessions under contention, steering, the death of each process, who
# may log in as whom, read-only mode. Every wait is bounded: a replay that hangs fails the test.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Replay;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace::Replay->start('replay_runs', conf => "pgwire_trace.max_sessions = 300\n",
	target => "max_connections = 300\n");
my $target = $server->target;
my $conninfo = $server->conninfo;

# ---- contention ----

my $setup = 'drop table if exists counter; create table counter (id int primary key, n int);'
  . ' insert into counter select i, 0 from generate_series(1, 3) i';
my $script = $server->node->basedir . '/contention.sql';

append_to_file($script, <<'SQL');
\set id random(1, 3)
begin;
update counter set n = n + 1 where id = :id;
select n from counter where id = :id;
end;
SQL
$server->both($setup);
$server->side_sql('select 1');
my $before = $server->recorded;
my ($status, undef, $err) = run_client(
	[ 'pgbench', '-n', '-f', $script, '-c', '8', '-j', '1', '-t', '40', $server->side_connstr ]);
is($status, 0, 'pgbench ran') or diag($err);
ok($server->flush, 'recorded');
my $sessions = $server->sessions_after($before);

for my $ordering (qw(none arrival commit))
{
	for my $timing (qw(asap think schedule))
	{
		$target->safe_psql('postgres', $setup);
		my $run = $server->begin_run("array[$sessions], timing => '$timing', speed => 2, ordering => '$ordering',"
			  . " compare => 4, options => '{\"order_timeout\": 1000}'");

		$server->ends($run, 'finished', "$ordering, $timing");
		is($target->safe_psql('postgres', 'select sum(n) from counter'), '320',
			"$ordering, $timing: all updates were made");
		is($server->of_run($run, 'unsent'), '0', "$ordering, $timing: all was sent");
		my $divergences =
		  $server->sql("select count(*) from pgwire_trace.replay_divergence where run_id = $run");
		note("$ordering, $timing: $divergences divergences, "
			  . $server->sql("select finished_at - started_at from pgwire_trace.replay_run"
				  . " where run_id = $run"));
		is($divergences, '0', "$timing: in commit order each reads what it read")
		  if $ordering eq 'commit';
	}
}

# ---- pauses, speed, end ----

$server->side_sql("select 1;\n\\! sleep 0.4\nselect 2;\n\\! sleep 0.4\nselect 3;\n" x 2);
my $slow = $server->recorded;

# Replays that with its pauses; returns the shortest of them in milliseconds. (The machine may be busy
# in one, not in all.)
sub shortest_pause
{
	my ($arguments, $name) = @_;
	my $paused = $server->begin_run("array[$slow], timing => 'think'$arguments");

	$server->ends($paused, 'finished', $name);
	return $server->sql(<<"SQL");
select round(min(pause)) from (select exchange_no, 1000 * extract(epoch from sent_at - lag(sent_at)
                                                          over (order by exchange_no)) as pause
                                 from pgwire_trace.replay_run_exchange where run_id = $paused) p
 where exchange_no in (2, 3, 5, 6)
SQL
}

my $pause = shortest_pause('', 'think');
ok($pause >= 400 && $pause < 800, "pauses are kept ($pause ms)");
$pause = shortest_pause(', speed => 4', 'four times as fast');
ok($pause >= 100 && $pause < 400, "pauses are a quarter ($pause ms)");
$pause = shortest_pause(q(, options => '{"idle_max": 10}'), 'idle_max');
ok($pause >= 10 && $pause < 400, "pauses are cut ($pause ms)");

my $run = $server->begin_run("array[$slow], timing => 'think', speed => 0.001");
ok($server->wait_for("select sessions_live = 1 from pgwire_trace.replay_progress where run_id = $run"),
	'it runs');
is($server->sql("select pgwire_trace.replay_wait($run, '10 ms')"), 'f', 'waiting has a timeout');
is($server->sql("select pgwire_trace.replay_pause($run)"), 't', 'pause');
ok($server->wait_for("select state = 'paused' from pgwire_trace.replay_run where run_id = $run"),
	'it is paused');
is($server->sql("select pgwire_trace.replay_set_speed($run, 1000)"), 't', 'another speed');
my $sent = $server->sql("select sent from pgwire_trace.replay_progress where run_id = $run");
is($server->sql("select pg_sleep(0.3), sent from pgwire_trace.replay_progress where run_id = $run"),
	"|$sent", 'nothing is sent in a pause');
is($server->sql("select pgwire_trace.replay_resume($run)"), 't', 'on');
$server->ends($run, 'finished', 'paused, and made faster');

$run = $server->begin_run("array[$slow], timing => 'think', speed => 0.001");
is($server->sql("select pgwire_trace.replay_cancel($run)"), 't', 'cancel');
$server->ends($run, 'cancelled', 'cancelled');
isnt($server->of_run($run, 'unsent'), '0', 'what was not sent is counted');
is($server->sql("select pgwire_trace.replay_cancel($run)"), 'f', 'it has ended already');
my ($failed, undef, $message) = $server->try_sql('select pgwire_trace.replay_wait(12345)');
like($message, qr/there is no replay 12345/, 'a run that never was');

# ---- read-only ----

my $fixture = 'drop table if exists fixture; create table fixture as select 1 as a';
$server->both($fixture);
run_client([ 'psql', '-XAtq', $server->side_connstr ], stdin => <<'SQL');
select a from fixture;
insert into fixture values (2);
with gone as (delete from fixture where a = 2 returning a) select a from gone;
select a from fixture for update;
explain (analyze) delete from fixture where false;
explain (costs off) delete from fixture;
explain analyze select 1;
do $$ begin perform 1; end $$;
notify something;
copy (select 1) to program 'cat';
copy fixture to stdout;
copy fixture from stdin;
7
\.
select 1 as x into fixture2;
begin;
select 1;
commit;
begin read write;
rollback;
set transaction_read_only = off;
prepare w as delete from fixture;
prepare r as select a from fixture;
execute r;
/* insert */ select 1;
truncate fixture;
create temp table t2 (a int);
lock table fixture;
select 'insert into fixture' as text;
SQL
my $mixed = $server->recorded;
$run = $server->begin_run("array[$mixed], timing => 'asap', compare => 0, read_only => true");
$server->ends($run, 'finished', 'read-only');
is($server->sql("select string_agg(split_part(e.query, ' ', 1) || ' ' || split_part(e.query, ' ', 2), ', '"
		  . " order by e.exchange_no) from pgwire_trace.replay_run_exchange x join pgwire_trace.exchange e"
		  . " using (session_id, exchange_no) where x.run_id = $run and outcome = 'sent'"),
	'select a, explain (costs, explain analyze, copy fixture, begin; , select 1;, commit; ,'
	  . ' rollback; , prepare r, execute r;, /* insert, select \'insert',
	'what only reads is sent');
is($target->safe_psql('postgres', 'select count(*) from fixture'), '1', 'the target is as it was');
is($server->sql("select exchanges from pgwire_trace.replay_plan('$conninfo', array[$mixed],"
		  . " read_only => true) where item = 'to send'"),
	$server->of_run($run, 'sent'), 'as the plan said');

# ---- through the own side port ----

my $own = $server->side_connstr . " user=" . $server->sql('select current_user');
my $count = $server->sql('select count(*) from pgwire_trace.session');
is($server->sql('select pgwire_trace.flush()'), 't', 'flushed');
$run = $server->begin_run("array[$slow], timing => 'asap', compare => 5, options => '{\"allow_self\": true,"
	  . " \"allow_target\": true}'", $own);
$server->ends($run, 'finished', 'through the side port');
is($server->of_run($run, "sent || '|' || divergences"),
	'6|0', 'all was sent');
ok($server->flush, 'flushed');
is($server->sql('select count(*) from pgwire_trace.session'), $count,
	"a replay's own sessions are left out of the record");
($status, undef, $err) = run_client([ 'psql', '-XAtq', $server->side_connstr
		  . " options='-c pgwire_trace.replay=" . '0123456789abcdef' x 2 . "'", '-c', 'select 1' ]);
isnt($status, 0, 'a token that no replay has is refused');
run_client([ 'psql', '-XAtq', $server->side_connstr . ' application_name=pgwire_trace_replay', '-c', 'select 1' ]);
ok($server->flush, 'flushed');
is($server->sql('select count(*) from pgwire_trace.session') > $count, 1, 'others are recorded');

# ---- users ----

$server->sql('create role alice login');
$target->safe_psql('postgres', "create role alice login; create role bob login password 'secret word'");
run_client([ 'psql', '-XAtq', $server->side_connstr . ' user=alice' ], stdin => 'select current_user');
my $alices = $server->recorded;
is($server->sql("select user_name from pgwire_trace.session where session_id = $alices"), 'alice',
	"alice's session");
$run = $server->begin_run("array[$alices], timing => 'asap', compare => 5");
$server->ends($run, 'finished', 'without credentials');
is($server->sql("select skipped || reason from pgwire_trace.replay_run_session where run_id = $run"),
	'1no credentials: its user is not the target\'s, and replay_credential has no row',
	'another user is skipped');
$server->sql("insert into pgwire_trace.replay_credential values ('alice', '', 'application_name=x')");
$run = $server->begin_run("array[$alices], timing => 'asap', compare => 5");
$server->ends($run, 'finished', 'with credentials');
is($server->of_run($run, "sent || '|' || divergences"),
	'1|0', 'alice ran as alice');
$server->sql("update pgwire_trace.replay_credential set conninfo = 'user=bob password=''secret word'''");
$run = $server->begin_run("array[$alices], timing => 'asap', compare => 5");
$server->ends($run, 'finished', 'with credentials of another');
is($server->sql("select captured ->> 'value', replayed ->> 'value' from pgwire_trace.replay_divergence"
		  . " where run_id = $run"), 'alice|bob', 'alice ran as bob');
is($server->sql("select count(*) from pgwire_trace.replay_run_state r where r::text ~ 'secret'"), '0',
	'no secret is in the rows');

$server->sql('grant usage on schema pgwire_trace to alice;'
	  . ' grant execute on all functions in schema pgwire_trace to alice');
(undef, undef, $err) = run_client([ 'psql', '-XAtq', '-d',
		$server->node->connstr('postgres') . ' user=alice', '-c',
		"select pgwire_trace.replay_start('$conninfo password=x')" ]);
like($err, qr/permission denied to replay the record/, 'who may not read the record');
$server->sql('grant select on pgwire_trace.session, pgwire_trace.exchange, pgwire_trace.query_text,'
	  . ' pgwire_trace.replay_noise to alice');
for my $case (
	[ $conninfo, '{}', 'password is required', 'no password' ],
	[ "$conninfo password=x", '{"allow_target": true}', 'is for superusers', 'allow_target' ],
	[ "$conninfo password=x", '{"allow_self": true}', 'is for superusers', 'allow_self' ])
{
	my ($where, $options, $error, $name) = @$case;

	($status, undef, $err) = run_client([ 'psql', '-XAtq', '-d',
			$server->node->connstr('postgres') . ' user=alice', '-c',
			"select pgwire_trace.replay_start('$where', options => '$options')" ]);
	like($err, qr/$error/, "who is no superuser: $name");
}
(undef, my $alices_run, $err) = run_client([ 'psql', '-XAtq', '-d',
		$server->node->connstr('postgres') . ' user=alice', '-c',
		"select pgwire_trace.replay_start('$conninfo user=alice password=x', array[$alices])" ]);
chomp $alices_run;
is($err, '', 'who is no superuser may start one');
(undef, my $alices_plan, $err) = run_client([ 'psql', '-XAtq', '-d',
		$server->node->connstr('postgres') . ' user=alice', '-c',
		"select exchanges from pgwire_trace.replay_plan('$conninfo user=alice password=x', array[$alices]) where item = 'to send'" ]);
is("$alices_plan$err", "1\n", 'and plan one');
$server->ends($alices_run, 'aborted', 'a target that wants no password');
like($server->of_run($alices_run, 'error_message'),
	qr/did not ask for a password/, 'is not for who is no superuser');

# ---- what is refused ----

for my $case (
	[ "timing => 'fast'", 'invalid value for argument "timing": "fast"' ],
	[ "options => '{\"catch_up\": 0.5}'", 'invalid value for option "catch_up": 0.5' ],
	[ "options => '{\"idle_max\": \"1s\"}'", 'invalid value for option "idle_max": "1s"' ],
	[ "options => '{\"rollback\": {\"a\": 1}}'", 'invalid value for option "rollback": {"a": 1}' ],
	[ "compare => 3, options => '{\"ignore_columns\": [\"a\"]}'", 'option "ignore_columns" would have no effect' ],
	[ "options => '{\"float_tolerance\": 0.1}'", 'option "float_tolerance" would have no effect' ],
	[ "since => '2030-01-01', until => '2029-01-01'", 'argument "since" must be before "until"' ],
	[ "session_ids => array[$slow, 987654321]", 'session 987654321 is not in the record' ],
	[ "ordering => 'some'", 'invalid value for argument "ordering": "some"' ],
	[ 'compare => 6', 'invalid value for argument "compare": 6' ],
	[ 'speed => 0', 'invalid value for argument "speed": 0' ],
	[ "options => '[]'", 'must be a JSON object' ],
	[ "options => '{\"sped\": 1}'", 'unknown replay option "sped"' ],
	[ "options => '{\"max_sessions\": 1.5}'", 'invalid value for option "max_sessions"' ],
	[ "options => '{\"ignore_columns\": \"a\"}'", 'invalid value for option "ignore_columns"' ],
	[ 'session_ids => array[null]::bigint[]', 'invalid value for argument "session_ids"' ],
	[ 'timing => null', 'argument "timing" must not be NULL' ])
{
	(undef, undef, $err) = $server->try_sql("select pgwire_trace.replay_start('$conninfo', $case->[0])");
	like($err, qr/\Q$case->[1]\E/, $case->[0]);
}
(undef, undef, $err) = $server->try_sql("select * from pgwire_trace.replay_plan('$conninfo', array[987654321])");
like($err, qr/session 987654321 is not in the record/, 'nor does a plan leave an unknown session out');
for my $call ('replay_report(987)', 'replay_latency(987)', "replay_compare($run, 987)", 'replay_learn_noise(987, 988)',
	'replay_wait(987)', 'replay_cancel(987)', 'replay_resume(987)')
{
	(undef, undef, $err) = $server->try_sql("select pgwire_trace.$call");
	like($err, qr/there is no replay 987/, $call);
}
(undef, undef, $err) = $server->try_sql("select pgwire_trace.replay_start('nonsense=1')");
like($err, qr/invalid connection string/, 'a target that is none');
$run = $server->begin_run("array[$slow], timing => 'asap', options => '{\"connect_attempts\": 1}'",
	'host=127.0.0.1 port=1');
$server->ends($run, 'finished', 'a target that is not there');
is($server->sql("select state from pgwire_trace.replay_run_session where run_id = $run"), 'lost',
	'its session is lost');
isnt($server->of_run($run, 'unsent'), '0', 'and nothing was sent');
my @lines = $server->sql("select line from pgwire_trace.replay_report($run) with ordinality r (line, no) order by no");
like("@lines", qr/session_lost, .*: connection to server at "127.0.0.1", port 1 failed: Connection refused Is the server running/,
	'the report says why');
is($server->sql("select count(*) from pgwire_trace.replay_report($run) r where r ~ '\n'"), '0', 'a line a row');
$run = $server->begin_run("since => '2100-01-01'");
$server->ends($run, 'finished', 'a time range without a session');
like($server->sql("select pgwire_trace.replay_report($run)"), qr/^nothing to replay: the arguments choose no recorded exchange$/m,
	'the report says so');

# ---- death ----

# Returns the pid of a replay's network process: the child of its worker.
sub child_of
{
	my ($worker) = @_;
	return poll(sub { (PgwireTrace::Replay::children_of($worker))[0] });
}

$run = $server->begin_run("array[$slow], timing => 'think', speed => 0.001");
my $child = child_of($server->worker_pid('replay'));
kill 9, $child;
$server->ends($run, 'aborted', 'the network process is killed');
is($server->of_run($run, 'error_message'),
	"the replay's network process has died", 'the run says so');

$run = $server->begin_run("array[$slow], timing => 'think', speed => 0.001");
my $worker = $server->worker_pid('replay');
is($server->sql("select pg_terminate_backend($worker)"), 't', 'the worker is told to end');
$server->ends($run, 'aborted', 'the worker was told to end');

$run = $server->begin_run("array[$slow], timing => 'think', speed => 0.001");
$worker = $server->worker_pid('replay');
$child = child_of($worker);
kill 9, $worker;
ok(poll(sub { !kill(0, $child) }), 'the network process goes with the worker');
ok($server->wait_for("select state = 'aborted' from pgwire_trace.replay_run where run_id = $run"),
	'the run of a killed worker is aborted');
$server->ends($run, 'aborted', 'the worker was killed');
$run = $server->begin_run("array[$slow], timing => 'asap'");
$server->ends($run, 'finished', 'the next one runs');
# the run's row is finished a moment before its worker has removed the files
my @left;
poll(sub { return !(@left = grep { !/\d\.begun$/ } glob($server->node->data_dir . '/pgwire_trace/pgsql_tmp_replay/*')) });
is("@left", '', 'no plan is left behind');

done_testing();
