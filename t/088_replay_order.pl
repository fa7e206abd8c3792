# Several network processes that keep one order: transactions that contend for rows, in order of arrival
# and of commit, and what may not disturb it: pauses, limits, sessions that are lost, turns that do not
# come, a process that is killed. Every wait is bounded: a replay that hangs, or wakes nobody, fails.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Replay;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $server = PgwireTrace::Replay->start('replay_order');
my $target = $server->target;

# Records pgbench, 8 clients with 25 transactions each; returns the sessions.
sub record
{
	my ($name, $script) = @_;
	my $file = $server->node->basedir . "/$name.sql";

	append_to_file($file, $script);
	my ($status, undef, $err) = run_client([ qw(pgbench -n -c 8 -j 1 -t 25 -f),
			$file, $server->side_connstr . " application_name=$name" ]);
	is($status, 0, "$name ran") or diag($err);
	return $server->sessions_of($name);
}

# Starts a run of so many network processes, with more options.
sub begin
{
	my ($sessions, $arguments, $children, $options) = @_;
	$options = join(', ', "\"children\": $children", $options // ());
	return $server->begin_run("array[$sessions], $arguments, options => '{$options}'");
}

# Returns what a run came to: exchanges not sent, divergences, waits for a turn that timed out.
sub outcome
{
	my ($run) = @_;
	return $server->of_run($run, "unsent || ' unsent, ' || divergences || ' divergences, '"
		  . " || order_timeouts || ' timeouts'");
}

# Returns how many seconds a run took.
sub seconds
{
	my ($run) = @_;
	return $server->of_run($run, 'round(extract(epoch from finished_at - started_at)::numeric, 3)');
}

# Returns the pids of the network processes.
sub children
{
	my $worker = $server->worker_pid('replay');
	return $worker ? PgwireTrace::Replay::children_of($worker) : ();
}

# Waits until a run has sent so many exchanges.
sub has_sent
{
	my ($run, $count) = @_;
	return $server->wait_for("select sent >= $count from pgwire_trace.replay_progress where run_id = $run");
}

# ---- contention ----

my $setup = 'drop table if exists counter; create table counter (id int primary key, n int);'
  . ' insert into counter select i, 0 from generate_series(1, 20) i';

$server->both($setup);
my %sessions = (
	# all fight for three rows, and read what they have written
	commit => record('fight', <<'SQL'),
\set id random(1, 3)
begin;
update counter set n = n + 1 where id = :id;
select n from counter where id = :id;
update counter set n = n + 1 where id = :id;
end;
SQL
	# order of arrival says nothing of who gets a lock: here nobody waits for another's transaction
	arrival => record('arrive', <<'SQL'));
\set id random(1, 3)
update counter set n = n + 1 where id = :id;
begin;
update counter set n = n + 1 where id = :client_id + 4;
select n from counter where id = :client_id + 4;
end;
SQL

for my $case ([ 'commit', 'asap', 1 ], [ 'commit', 'asap', 2 ], [ 'commit', 'asap', 3 ],
	[ 'commit', 'schedule', 3 ], [ 'commit', 'think', 2 ], [ 'arrival', 'asap', 1 ],
	[ 'arrival', 'asap', 2 ], [ 'arrival', 'asap', 3 ], [ 'arrival', 'think', 3 ])
{
	my ($ordering, $timing, $children) = @$case;
	my $name = "$ordering, $timing, $children";

	$target->safe_psql('postgres', $setup);
	my $run = begin($sessions{$ordering}, "timing => '$timing', speed => 2, ordering => '$ordering'",
		$children);
	$server->ends($run, 'finished', $name);
	is($target->safe_psql('postgres', 'select sum(n) from counter'), '400',
		"$name: all updates were made");
	note("$name: " . outcome($run) . ', ' . seconds($run) . ' s');
	is(outcome($run), '0 unsent, 0 divergences, 0 timeouts', "$name: each had its turn");
	cmp_ok(seconds($run), '<', 20, "$name: turns do not wait for a tick");
}

# ---- steering ----

my $duration = $server->sql("select extract(epoch from max(ended_at) - min(started_at))"
	  . " from pgwire_trace.session where application_name = 'fight'");

# Starts a run that takes three seconds: there is time to do something to it.
sub begin_slowly
{
	my ($options) = @_;
	my $speed = $duration / 3;

	$target->safe_psql('postgres', $setup);
	return begin($sessions{commit}, "timing => 'schedule', speed => $speed, ordering => 'commit'", 3,
		$options);
}

my $run = begin_slowly();
ok(has_sent($run, 100), 'it runs');
is(scalar(children()), 3, 'three processes');
is($server->sql("select pgwire_trace.replay_pause($run)"), 't', 'pause');
ok($server->wait_for("select state = 'paused' from pgwire_trace.replay_run where run_id = $run"), 'paused');
Time::HiRes::usleep(100_000);
my $sent = $server->sql("select sent from pgwire_trace.replay_progress where run_id = $run");
is($server->sql("select pg_sleep(0.5), sent from pgwire_trace.replay_progress where run_id = $run"),
	"|$sent", 'none of them sends in a pause');
is($server->sql("select pgwire_trace.replay_resume($run)"), 't', 'on');
ok(has_sent($run, $sent + 50), 'all go on');
is($server->sql("select pgwire_trace.replay_set_speed($run, 50)"), 't', 'faster');
$server->ends($run, 'finished', 'steered');
is(outcome($run), '0 unsent, 0 divergences, 0 timeouts', 'steered: their clocks are one');

$run = begin_slowly();
ok(has_sent($run, 100), 'it runs');
is($server->sql("select pgwire_trace.replay_cancel($run)"), 't', 'cancel');
$server->ends($run, 'cancelled', 'cancelled in the middle');

# ---- losses ----

# Ends a session of a replay on the target that has sent something.
sub cut_session
{
	return $target->safe_psql('postgres', "select pg_terminate_backend(pid) from pg_stat_activity where"
		  . " application_name = 'fight' limit 1");
}

for my $options ('"reconnect": false', '"reconnect": true, "connect_delay": 10')
{
	$run = begin_slowly($options);
	ok(has_sent($run, 100), 'it runs');
	is(cut_session(), 't', 'a session is cut off');
	$server->sql("select pgwire_trace.replay_set_speed($run, 10)");
	$server->ends($run, 'finished', "one is lost, $options");
	like($server->verdicts($run), qr/session_lost/, "$options: it is told");
	like(outcome($run), qr/ 0 timeouts$/, "$options: nobody waits for it");
	is($server->sql("select count(*) from pgwire_trace.replay_run_session where run_id = $run"
			  . " and state = 'finished' and unsent = 0"), '7', "$options: all others are run");
}

$run = begin_slowly();
ok(has_sent($run, 100), 'it runs');
my @pids = children();
kill 9, $pids[1];
$server->ends($run, 'aborted', 'one process is killed');
ok(poll(sub { !grep { kill(0, $_) } @pids }), 'the others go too');
is($server->sql("select pgwire_trace.replay_resume($run)"), 't', 'on');
$server->ends($run, 'finished', 'what had not begun is run');

# ---- turns that do not come ----

my $nap = 'create function nap() returns void language plpgsql as $$ begin perform %s; end $$';
my $user = $server->sql('select current_user');
my ($napper, $waiter) =
  map { PgwireTrace::Client->new($server->{side_port})->login(user => $user, application_name => 'nap') }
  1 .. 2;

$server->node->safe_psql('postgres', sprintf($nap, '1'));
$target->safe_psql('postgres', sprintf($nap, 'pg_sleep(1)'));
$_->run('select 1') for $napper, $waiter;
$napper->run('select nap()');
$napper->run('select 2');
$waiter->run("select $_") for 3 .. 5;
$_->close for $napper, $waiter;
my $naps = $server->sessions_of('nap');
$run = begin($naps, "timing => 'asap', ordering => 'arrival'", 2, '"order_timeout": 300');
$server->ends($run, 'finished', 'turns that do not come');
# the second of the napper is let go when it can be sent, so only the waiter's turn is forced
is(outcome($run), '0 unsent, 0 divergences, 1 timeouts', 'one wait timed out');
like(slurp_file($server->node->logfile), qr/replay $run: an exchange waited 300 ms for its turn/,
	'it is logged');
is(scalar(grep { /^order: 1 exchange let go/ } split /\n/,
		$server->sql("select pgwire_trace.replay_report($run)")), 1, 'it is reported');

# ---- limits, idle time, filtered exchanges ----

$run = begin($sessions{arrival}, "timing => 'asap', ordering => 'none'", 2, '"max_sessions": 3');
my $most = 0;
poll(sub {
	my ($live, $state) = split /\|/, $target->safe_psql('postgres', "select count(*) from"
		  . " pg_stat_activity where application_name = 'arrive'")
	  . '|' . $server->of_run($run, 'state');
	$most = $live if $live > $most;
	return $state eq 'finished';
});
$server->ends($run, 'finished', 'max_sessions');
note("at most $most sessions");
cmp_ok($most, '<=', 3, 'the limit is that of all processes');

$run = begin($naps, "timing => 'schedule', speed => 0.001, ordering => 'arrival'", 2,
	'"idle_max": 20');
$server->ends($run, 'finished', 'idle_max');
is(outcome($run), '0 unsent, 0 divergences, 0 timeouts', 'idle_max: their clocks are one');

$run = begin($sessions{commit}, "timing => 'asap', ordering => 'commit', read_only => true,"
	  . ' compare => 1', 3);
$server->ends($run, 'finished', 'read_only');
like(outcome($run), qr/^0 unsent, .* 0 timeouts$/, 'nobody waits for what is not sent');
is($server->of_run($run, 'filtered'), '400', 'updates are not sent');

done_testing();
