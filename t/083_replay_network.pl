# What a replay's network process does in time and against odds: cancel requests, timings, lost
# connections, a target that restarts, many sessions at once, and that nothing hangs.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client;
use PgwireTrace::Replay;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace::Replay->start('replay_network',
	conf => "pgwire_trace.max_sessions = 300\nmax_connections = 300\n",
	target => "max_connections = 300\n");
my $target = $server->target;

# What the sessions call: how long it takes is said by the server that it is called on.
sub set_nap
{
	my ($node, $seconds) = @_;
	$node->safe_psql('postgres', 'create or replace function nap(n int) returns int language sql'
		  . " as 'select n from pg_sleep($seconds)'");
	return;
}

# Says what became of a run in a line.
sub outcome
{
	my ($run) = @_;
	return $server->of_run($run, "sent || ' sent, ' || unsent || ' unsent, '")
	  . ($server->verdicts($run) || 'no divergence');
}

# ---- cancel requests ----

set_nap($server->node, 20);
my $client = $server->connect_client(application_name => 'cancelled');
$client->run('select 1');
$client->send_bytes(PgwireTrace::Client::query('select nap(1)'));
ok($server->wait_for("select count(*) = 1 from pg_stat_activity where query = 'select nap(1)'"),
	'a query runs');
my $cancel = $server->connect_raw;
$cancel->send_bytes(pack('NNN', 12 + length($client->{key}), 80877102, $client->{pid}) . $client->{key});
ok($cancel->is_closed_within(10), 'a cancel request');
$client->until_ready;
is($client->{error}{C}, '57014', 'cancels it');
is($client->run('select 2'), 'TDCZ', 'the session goes on');
$client->send_bytes(PgwireTrace::Client::terminate());
$client->close;
my $cancelled = $server->recorded('cancelled');

set_nap($target, 20);
for my $timing (qw(asap think))
{
	my $run = $server->begin_run("array[$cancelled], timing => '$timing', compare => 5");

	$server->ends($run, 'finished', "$timing: a cancelled query");
	is(outcome($run), '4 sent, 0 unsent, no divergence', "$timing: is cancelled again");
	is($server->of_run($run, 'extract(epoch from finished_at - started_at) < 15'), 't', "$timing: in time");
}
set_nap($target, 0);
my $run = $server->begin_run("array[$cancelled], timing => 'asap', compare => 5");
$server->ends($run, 'finished', 'a query that ends before it is cancelled');
is(outcome($run), '3 sent, 1 unsent, 2:cancel_missed', 'its cancel request is not sent');
is($server->sql("select captured ->> 'sqlstate', replayed ->> 'reason' from"
		  . " pgwire_trace.replay_divergence where run_id = $run"),
	'57014|it had ended before the cancel request was due', 'the verdict says why');
is($server->sql("select state, reason from pgwire_trace.replay_run_session where run_id = $run"
		  . " and session_id <> $cancelled"),
	'lost|the exchange that it is to cancel was not in flight', 'the request says so too');
$run = $server->begin_run("array[$cancelled], timing => 'asap', read_only => true");
$server->ends($run, 'finished', 'read-only');
is(outcome($run), '3 sent, 1 unsent, 2:cancel_missed', 'a cancel request is no write');
my $request = $server->sql("select session_id from pgwire_trace.session where end_reason = 'cancel_request'");
$run = $server->begin_run("array[$request], timing => 'asap'");
$server->ends($run, 'finished', 'a cancel request alone');
is($server->sql("select state, reason from pgwire_trace.replay_run_session where run_id = $run"),
	'skipped|it is a cancel request for no exchange that is sent', 'is skipped');

# ---- messages that few drivers send ----

$client = $server->connect_client(application_name => 'messages');
my $flush = PgwireTrace::Client::message('H');
my $sync = PgwireTrace::Client::sync_message();
# a named portal, suspended twice, whose answers are waited for behind a Flush
$client->send_bytes(PgwireTrace::Client::parse('select i from generate_series(1, 5) i', 's')
	  . PgwireTrace::Client::bind_portal(portal => 'p', statement => 's')
	  . PgwireTrace::Client::message('E', "p\0" . pack('N', 2)) . $flush);
$client->receive for 1 .. 5;
$client->send_bytes(PgwireTrace::Client::message('E', "p\0" . pack('N', 2))
	  . PgwireTrace::Client::message('E', "p\0" . pack('N', 0)) . $sync);
is($client->until_ready, 'DDsDCZ', 'a portal in three pieces');
# abs(int4) by its OID
$client->send_bytes(PgwireTrace::Client::message('F', pack('Nnnn', 1397, 1, 0, 1) . pack('N/a', '-5') . pack('n', 0)));
is($client->until_ready, 'VZ', 'FunctionCall');
$client->send_bytes(PgwireTrace::Client::terminate());
$client->close;
$run = $server->begin_run("array[" . $server->recorded('messages') . "], timing => 'asap', compare => 5");
$server->ends($run, 'finished', 'portals, Flush, FunctionCall');
is(outcome($run), '2 sent, 0 unsent, no divergence', 'are replayed as they were');

# ---- timings ----

set_nap($server->node, 0);
run_client([ 'psql', '-XAtq', $server->side_connstr . ' application_name=timed' ],
	stdin => "select nap(0);\n\\! sleep 0.1\nselect nap(1);\n" . "\\! sleep 0.1\nselect 2;\n" x 12);
my $timed = $server->recorded('timed');

$target->safe_psql('postgres', 'create or replace function nap(n int) returns int language sql'
	  . " as 'select n from pg_sleep(case n when 1 then 0.45 else 0 end)'");

# Replays the session above, one of whose answers is late; returns by how much the exchanges behind
# that were late, and the smallest gap between them, in milliseconds.
sub lateness
{
	my ($arguments) = @_;
	my $timed_run = $server->begin_run("array[$timed], $arguments");

	$server->ends($timed_run, 'finished', $arguments);
	return split /\|/, $server->sql(<<"SQL");
select round(max(target_late_ms) filter (where exchange_no = 3)),
       round(max(target_late_ms) filter (where exchange_no = 14)),
       round(min(gap)), round(max(late_ms))
  from (select *, 1000 * extract(epoch from sent_at - lag(sent_at) over (order by exchange_no)) as gap
          from pgwire_trace.replay_run_exchange where run_id = $timed_run) x
 where exchange_no >= 3
SQL
}

my ($first, $last, $gap, $late) = lateness("timing => 'schedule'");
ok($first >= 300 && $last < 20 && $gap < 50,
	"schedule: what is late goes at once ($first ms late, then $last, gaps from $gap)");
ok($late < 200, "the replayer itself is not late ($late ms)");
($first, $last, $gap) = lateness("timing => 'think'");
ok($first >= 400 && $last >= 400 && $gap >= 99,
	"think: gaps are kept ($first ms late, then $last, gaps from $gap)");
($first, $last, $gap) = lateness("timing => 'catch-up'");
ok($first >= 350 && $last < 100 && $gap >= 49 && $gap < 99,
	"catch-up: gaps are halved until it is on time ($first ms late, then $last, gaps from $gap)");
($first, $last, $gap) = lateness("timing => 'catch-up', options => '{\"catch_up\": 4}'");
ok($last < 20 && $gap >= 24 && $gap < 60, "catch-up: or quartered ($last ms late, gaps from $gap)");

my $took = 'extract(epoch from finished_at - started_at)';
set_nap($target, 0);
for my $timing (qw(think schedule catch-up))
{
	$run = $server->begin_run("array[$timed], timing => '$timing', options => '{\"idle_max\": 1}'");
	$server->ends($run, 'finished', "$timing, idle_max");
	is($server->of_run($run, '(select extract(epoch from max(sent_at) - min(sent_at)) from'
			  . ' pgwire_trace.replay_run_exchange e where e.run_id = r.run_id) < 1.2'), 't',
		"$timing: where nobody does anything, time is skipped");
}
$run = $server->begin_run("array[$timed], timing => 'schedule', speed => 0.01");
ok($server->wait_for("select sent >= 1 from pgwire_trace.replay_progress where run_id = $run"),
	'a slow run');
is($server->sql("select pgwire_trace.replay_set_speed($run, 100)"), 't', 'is made faster as it runs');
$server->ends($run, 'finished', 'made faster');
is($server->of_run($run, "$took < 20"), 't', 'it is faster');

# ---- lag: whose it is ----

# what the recorded answer took is a part of the schedule, five times as long here
set_nap($target, 'case n when 1 then 1.5 else 0 end');
$run = $server->begin_run("array[$timed], timing => 'think', speed => 0.2");
# what the view shows is the lag of the last moments: looked for where no moment is missed
my ($missed, undef, $why) = $server->try_sql("do \$\$ begin for i in 1 .. 1000 loop if (select target_late_ms >= 500"
	  . " and late_ms < target_late_ms from pgwire_trace.replay_progress where run_id = $run) then return;"
	  . " end if; perform pg_sleep(0.01); end loop; raise 'never'; end \$\$");
is($missed, 0, 'a slow target is late, not the replayer') or diag($why);
is($server->sql("select pgwire_trace.replay_cancel($run)"), 't', 'cancel');
$server->ends($run, 'cancelled', 'cancelled');
set_nap($target, 0);

# ---- rate of connections ----

run_client([ 'psql', '-XAtq', $server->side_connstr . ' application_name=short' ], stdin => 'select 1')
  for 1 .. 6;
$server->recorded('short');
my $short = $server->sql("select string_agg(session_id::text, ',') from pgwire_trace.session"
	  . " where application_name = 'short'");
$run = $server->begin_run("array[$short], timing => 'asap', options => '{\"connect_rate\": 10, \"max_sessions\": 6}'");
$server->ends($run, 'finished', 'connect_rate');
is($server->of_run($run, "$took >= 0.5"), 't', 'ten connections a second');

# ---- lost connections ----

run_client([ 'psql', '-XAtq', $server->side_connstr . ' application_name=lossy' ], stdin => <<'SQL');
prepare p as select 1;
begin;
select nap(2);
select 3;
commit;
execute p;
select 4;
SQL
my $lossy = $server->recorded('lossy');
set_nap($target, 'case n when 2 then 30 else 0 end');

# Replays the session above and ends its backend while it naps.
sub lose
{
	my ($options) = @_;
	my $lossy_run = $server->begin_run("array[$lossy], timing => 'asap', options => '$options'");

	ok($target->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity"
			  . " where query like 'select nap(2)%' and wait_event = 'PgSleep'"), 'it naps');
	$target->safe_psql('postgres', "select pg_terminate_backend(pid) from pg_stat_activity"
		  . " where query like 'select nap(2)%' and wait_event = 'PgSleep'");
	$server->ends($lossy_run, 'finished', "a lost connection, $options");
	return $lossy_run;
}
$run = lose('{}');
is(outcome($run), '3 sent, 4 unsent, 3:session_lost', 'a lost session is lost');
is($server->sql("select state, reason from pgwire_trace.replay_run_session where run_id = $run"),
	'lost|the target closed the connection', 'and says why');
$run = lose('{"reconnect": true, "connect_delay": 10}');
is(outcome($run), '5 sent, 2 unsent, 3:session_lost 6:error_new<3',
	'with another connection it goes on behind the transaction; what was lost explains the rest');
is($server->sql("select state, reason from pgwire_trace.replay_run_session where run_id = $run"),
	'finished|its connection was lost and made again, 1 times', 'and says so');

# ---- a target that restarts ----

$run = $server->begin_run("array[$lossy, $timed], timing => 'asap', options =>"
	  . " '{\"reconnect\": true, \"connect_delay\": 50, \"connect_attempts\": 600}'");
ok($target->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity"
		  . " where query like 'select nap(2)%' and wait_event = 'PgSleep'"), 'it naps');
set_nap($target, 0);
$target->stop('immediate');
$target->start;
$server->ends($run, 'finished', 'a target that was killed and came back');
is($server->sql("select string_agg(state, ' ') from pgwire_trace.replay_run_session where run_id = $run"),
	'finished finished', 'the sessions went on');
set_nap($target, 'case n when 2 then 30 else 0 end');
$run = $server->begin_run("array[$lossy], timing => 'asap', options => '{\"reconnect\": true, \"connect_delay\": 10}'");
ok($target->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity"
		  . " where query like 'select nap(2)%' and wait_event = 'PgSleep'"), 'it naps');
$target->stop('immediate');
$server->ends($run, 'finished', 'a target that was killed and stays away');
is($server->sql("select state from pgwire_trace.replay_run_session where run_id = $run"), 'lost',
	'its session is lost');
$target->start;
set_nap($target, 0);

# ---- many sessions at once ----

my $script = $server->node->basedir . '/many.sql';
append_to_file($script, "select 1;\nbegin;\nselect 2;\ncommit;\n");
my ($status, undef, $err) = run_client([ 'pgbench', '-n', '-f', $script, '-c', '200', '-j', '1', '-t',
		'3', $server->side_connstr . ' application_name=many' ]);
is($status, 0, 'pgbench ran') or diag($err);
my $many = $server->sessions_of('many');
is(scalar(split /,/, $many), 200, '200 sessions');
$run = $server->begin_run("array[$many], timing => 'asap', compare => 5, options => '{\"max_sessions\": 200}'");
my $most = 0;
poll(sub {
	my ($live, $state) = split /\|/, $server->sql("select sessions_live, state from"
		  . " pgwire_trace.replay_progress where run_id = $run");
	$most = $live if $live > $most;
	return $state ne 'running' && $state ne 'planned';
});
$server->ends($run, 'finished', '200 sessions at once');
is(outcome($run), '2400 sent, 0 unsent, no divergence', 'all is sent, and the same');
note("$most sessions were seen open at one time");

done_testing();
