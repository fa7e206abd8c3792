# Replays whose processes are killed, at every stage: what had ended stays, what had not begun can be
# run by replay_resume(), and nothing is run twice. Also several network processes for one run.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Hostile;
use PgwireTrace::Replay;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace::Replay->start('replay_resume', conf => "wal_level = replica\n");
my $target = $server->target;
my $conninfo = $server->conninfo;
my $setup = 'create table ran (session int, step int); create function nap() returns void language'
  . ' plpgsql as $$ begin perform %s; end $$';

$server->node->safe_psql('postgres', sprintf($setup, '1'));
$target->safe_psql('postgres', sprintf($setup, "pg_sleep(60) from ran having count(*) = 3"));
run_client([ 'psql', '-XAtq', $server->side_connstr . ' application_name=ran' ],
	stdin => "insert into ran values ($_, 1);\nselect nap();\ninsert into ran values ($_, 2);\n")
  for 1 .. 4;
ok($server->flush, 'recorded');
my @sessions = split /\n/, $server->sql("select session_id from pgwire_trace.session"
	  . " where application_name = 'ran' order by started_at");
is(scalar(@sessions), 4, 'four sessions');
my $list = join(',', @sessions);

# Starts a run of the sessions, one after another, of which the second naps after its first step.
sub start_napping
{
	$target->safe_psql('postgres', 'truncate ran');
	my $run = $server->begin_run("array[$list],"
		  . " timing => 'asap', options => '{\"max_sessions\": 1}'");

	ok($target->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity"
			  . " where wait_event = 'PgSleep'"), 'the second session naps');
	return $run;
}

# Says what became of each session, and of the run.
sub story
{
	my ($run) = @_;
	return $server->sql("select (select string_agg(state || ' ' || sent, ', ' order by session_id) from"
		  . " pgwire_trace.replay_run_session s where s.run_id = r.run_id) || ': ' || state || ', '"
		  . " || sent || ' sent, ' || unsent || ' unsent, ' || (select string_agg(verdict, ' ') from"
		  . " pgwire_trace.replay_divergence d where d.run_id = r.run_id)"
		  . " from pgwire_trace.replay_run r where run_id = $run");
}

# Checks what the target has seen: the naps' sessions once, and what was cut off, cut off.
sub check_target
{
	my ($expected, $name) = @_;
	is($target->safe_psql('postgres', "select string_agg(session || '.' || step, ' ' order by session, step)"
			  . ' from ran'), $expected, $name);
	return;
}

sub wake
{
	$target->safe_psql('postgres', "select pg_terminate_backend(pid) from pg_stat_activity"
		  . " where wait_event = 'PgSleep'");
	return;
}

# ---- the network process is killed ----

my $run = start_napping();
$server->wait_for("select state = 'finished' from pgwire_trace.replay_run_session"
	  . " where run_id = $run and session_id = $sessions[0]");
my ($child) = PgwireTrace::Replay::children_of($server->worker_pid('replay'));
kill 9, $child;
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'the network process is killed');
wake();
is(story($run), 'finished 3, lost 1, planned 0, planned 0: aborted, 4 sent, 8 unsent, session_lost',
	'what was in the middle is lost');
check_target('1.1 1.2 2.1', 'and the rest has not begun');
is($server->sql("select pgwire_trace.replay_resume($run)"), 't', 'it is resumed');
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'and ends');
is(story($run), 'finished 3, lost 1, finished 3, finished 3: finished, 10 sent, 2 unsent, session_lost',
	'what had not begun was run');
check_target('1.1 1.2 2.1 3.1 3.2 4.1 4.2', 'nothing was run twice');
is($server->sql("select pgwire_trace.replay_resume($run)"), 'f', 'a finished run is not resumed');

# ---- the worker is killed, and with it the server restarts ----

$run = start_napping();
ok($server->wait_for("select state = 'finished' from pgwire_trace.replay_run_session"
		  . " where run_id = $run and session_id = $sessions[0]"), 'the first session is stored');
$server->sql('create table flushes_the_log ()');
kill 9, $server->worker_pid('replay');
ok($server->wait_for("select state = 'aborted' from pgwire_trace.replay_run where run_id = $run"),
	'the worker is killed');
wake();
is($server->sql("select captured = sent + filtered + skipped + unsent from pgwire_trace.replay_run"
		  . " where run_id = $run"), 't', 'nothing is unaccounted for');
like($server->sql("select pgwire_trace.replay_resume($run, '$conninfo')"), qr/^t$/, 'it is resumed');
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'and ends');
is(story($run), 'finished 3, lost 1, finished 3, finished 3: finished, 10 sent, 2 unsent, session_lost',
	'what had not begun was run');
check_target('1.1 1.2 2.1 3.1 3.2 4.1 4.2', 'nothing was run twice');

# ---- the worker is killed while it plans ----

my $locker = $server->node->background_psql('postgres');
$locker->query_safe('begin; lock table pgwire_trace.replay_run_session in access exclusive mode');
$target->safe_psql('postgres', 'truncate ran; create or replace function nap() returns void language'
	  . ' plpgsql as $$ begin perform 1; end $$');
$run = $server->begin_run("array[$list], timing => 'asap'");
my $worker = $server->worker_pid('replay');
ok($server->wait_for("select wait_event_type = 'Lock' from pg_stat_activity where pid = $worker"),
	'it plans');
kill 9, $worker;
eval { $locker->quit };
ok($server->wait_for("select state = 'aborted' from pgwire_trace.replay_run where run_id = $run"),
	'the worker is killed while it plans');
is($server->sql("select pgwire_trace.replay_resume($run)"), 't', 'it is resumed');
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'and ends');
is($server->of_run($run, 'state, captured, sent, divergences'),
	'finished|12|12|0', 'all of it was run');
check_target('1.1 1.2 2.1 2.2 3.1 3.2 4.1 4.2', 'once');

# ---- a run that is refused, and then not ----

$target->safe_psql('postgres', 'alter database postgres reset pgwire_trace.allow_replay');
$run = $server->begin_run("array[$list], timing => 'asap'");
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'a target that does not agree');
$server->agree;
$target->safe_psql('postgres', 'truncate ran');
is($server->sql("select pgwire_trace.replay_resume($run)"), 't', 'now it does');
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'it is resumed');
is($server->of_run($run, 'state, captured, sent, divergences'),
	'finished|12|12|0', 'all of it was run');

# ---- the relay is killed that the target's sessions go through ----

my $side = $server->side_connstr . ' user=' . $server->sql('select current_user');
$server->sql('create or replace function nap() returns void language sql as'
	  . q( 'select pg_sleep(60)'));
$run = $server->begin_run("array[$sessions[0]], timing => 'asap',"
	  . " options => '{\"allow_self\": true, \"allow_target\": true}'", $side);
ok($server->wait_for("select count(*) = 1 from pg_stat_activity where wait_event = 'PgSleep'"), 'it naps');
kill 9, $server->sql('select pid from pgwire_trace.stat_relay');
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'the relay is killed');
is(story($run), 'lost 2: finished, 2 sent, 1 unsent, session_lost', 'the session is lost');

# ---- several network processes ----

my $script = $server->node->basedir . '/many.sql';
append_to_file($script, "select 1;\nselect pg_sleep(0.02);\n");
my ($status, undef, $err) = run_client([ 'pgbench', '-n', '-f', $script, '-c', '30', '-j', '1', '-t',
		'10', $server->side_connstr . ' application_name=many' ]);
is($status, 0, 'pgbench ran') or diag($err);
my $many = $server->sessions_of('many');
$run = $server->begin_run("array[$many], timing => 'think', speed => 0.001,"
	  . " compare => 5, options => '{\"children\": 3}'");
ok(poll(sub { PgwireTrace::Replay::children_of($server->worker_pid('replay') || -1) == 3 }),
	'three network processes');
is($server->sql("select pgwire_trace.replay_set_speed($run, 1000)"), 't', 'fast enough');
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'they end');
is($server->of_run($run, 'state, captured, sent, divergences'),
	'finished|600|600|0', 'all of it was run');
is($server->sql("select sent from pgwire_trace.replay_progress where run_id = $run"), '600',
	'and they are added up');
$run = $server->begin_run("array[$many], timing => 'think',"
	  . " speed => 0.001, options => '{\"children\": 2}'");
my @pids;
ok(poll(sub { @pids = PgwireTrace::Replay::children_of($server->worker_pid('replay')); return @pids == 2; }), 'two');
kill 9, $pids[1];
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'one of two is killed');
is($server->of_run($run, 'state, error_message'),
	"aborted|the replay's network process has died", 'the run is aborted');
ok(poll(sub { !kill(0, $pids[0]) }), 'the other goes too');

# ---- killed at every stage ----

$server->node->safe_psql('postgres', "create or replace function nap() returns void language sql as 'select'");
$target->safe_psql('postgres', "create or replace function nap() returns void language sql as 'select'");
my $stub = PgwireTrace::Hostile->start(login_silent => sub { $_[0]->wait_for_end },
	check_silent => sub { $_[0]->wait_for_end }, silent => sub { $_[0]->wait_for_end },
	check_late => sub { my ($peer) = @_; sleep 1; $peer->agree; $peer->wait_for_end });
my $silent = 'host=127.0.0.1 sslmode=disable port=' . $stub->port;
my $plans = $server->node->data_dir . '/pgwire_trace/pgsql_tmp_replay';

# Starts a run of the four sessions.
sub start_run
{
	my ($where) = @_;
	return $server->begin_run("array[$list], timing => 'asap',"
		  . " options => '{\"max_sessions\": 1}'", $where);
}

# Holds a row that the worker is about to write, so that it stands in the middle of a transaction.
sub hold
{
	my ($sql) = @_;
	my $holder = $server->node->background_psql('postgres', on_error_stop => 0);

	$holder->query_safe("begin; set local session_replication_role = replica; $sql");
	return $holder;
}

# Waits until the worker waits for what is held; returns its pid.
sub worker_waits
{
	my ($run) = @_;
	my $pid;

	ok($server->wait_for("select count(*) = 1 from pg_stat_activity where wait_event_type = 'Lock'"
			  . " and backend_type = 'pgwire_trace replay'"), "run $run: the worker waits");
	return $server->worker_pid('replay');
}

# Each stage brings a run there; returns the run, who holds it up, and whether a plan's files are there.
my %stages = (
	planning => sub {
		my $next = $server->sql("select last_value + 1 from pgwire_trace.replay_run_id");
		my $holder = hold("insert into pgwire_trace.replay_run_session (run_id, session_id, state, captured, sent,"
			  . " filtered, skipped) values ($next, $sessions[0], 'x', 0, 0, 0, 0)");
		my $run = start_run($conninfo);

		worker_waits($run);
		ok(scalar(() = glob("$plans/*.bytes")), 'the plan is being written');
		return ($run, $holder);
	},
	connecting => sub {
		my $run = start_run("$silent dbname=login_silent");

		ok($server->wait_for("select state = 'running' from pgwire_trace.replay_run where run_id = $run"), 'it runs');
		return $run;
	},
	checking => sub {
		my $run = start_run("$silent dbname=check_silent");

		ok($server->wait_for("select sessions_live = 1 from pgwire_trace.replay_progress where run_id = $run"), 'it checks');
		return $run;
	},
	playing => sub {
		my $run = start_run("$silent dbname=silent");

		ok($server->wait_for("select state = 'running' from pgwire_trace.replay_run_session where run_id = $run"
				  . " and session_id = $sessions[0]"), 'it plays');
		return $run;
	},
	begun => sub { # so that the file says so, and no row
		my $run = start_run("$silent dbname=check_late");

		ok($server->wait_for("select count(*) = 4 from pgwire_trace.replay_run_session where run_id = $run"), 'planned');
		my $holder = hold("select from pgwire_trace.replay_run_session where run_id = $run for update");

		worker_waits($run);
		is($server->sql("select count(*) from pgwire_trace.replay_run_session where run_id = $run and state = 'planned'"),
			'4', 'no row says that a session has begun');
		return ($run, $holder);
	},
	storing => sub {
		my $run = start_run("$silent dbname=silent");

		ok($server->wait_for("select state = 'running' from pgwire_trace.replay_run_session where run_id = $run"
				  . " and session_id = $sessions[0]"), 'it plays');
		my $holder = hold("select from pgwire_trace.replay_run_state where run_id = $run for update");

		$server->sql("select pgwire_trace.replay_pause($run)"); # makes it write
		worker_waits($run);
		return ($run, $holder);
	});

# Checks that a run is over in the middle, without a trace of its processes, and that the rest of it runs.
sub check_aborted
{
	my ($run, $name, @processes) = @_;

	ok($server->wait_for("select state = 'aborted' from pgwire_trace.replay_run where run_id = $run"),
		"$name: the run is aborted");
	ok(poll(sub { !grep { kill(0, $_) } @processes }), "$name: its processes are gone");
	ok(poll(sub { !grep { !/\d\.begun$/ } glob("$plans/*") }), "$name: its plan is gone");
	is($server->sql("select captured = sent + filtered + skipped + unsent from pgwire_trace.replay_run"
			  . " where run_id = $run"), 't', "$name: nothing is unaccounted for");
	$target->safe_psql('postgres', 'truncate ran');
	is($server->sql("select pgwire_trace.replay_resume($run, '$conninfo')"), 't', "$name: it is resumed");
	is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', "$name: and ends");
	is($server->sql("select state || ' ' || (captured = 12 and captured = sent + unsent) from pgwire_trace.replay_run"
			  . " where run_id = $run"), 'finished true', "$name: with all accounted for");
	is($target->safe_psql('postgres', "select count(*) from (select session, step from ran group by 1, 2"
			  . ' having count(*) > 1) x'), '0', "$name: nothing was run twice");
	is($target->safe_psql('postgres', 'select count(*) from ran')
		  . ' of ' . $server->sql("select 2 * count(*) from pgwire_trace.replay_run_session where run_id = $run"
			  . " and state = 'finished'"), ($name =~ /plan|connect|check|caller/ ? '8 of 8' : '6 of 6'),
		"$name: what had not begun was run");
	ok(poll(sub { !glob("$plans/*.$run.begun") }), "$name: and nothing is left of it");
	return;
}

for my $case ([qw(child connecting)], [qw(child checking)], [qw(child playing)], [qw(worker planning)],
	[qw(worker checking)], [qw(worker begun)], [qw(worker storing)])
{
	my ($victim, $stage) = @$case;
	my ($stage_run, $holder) = $stages{$stage}->();
	my $stage_worker = $server->worker_pid('replay');
	my @children = PgwireTrace::Replay::children_of($stage_worker);

	is(scalar(@children), ($stage eq 'planning' ? 0 : 1), "$stage: as many children as there should be");
	kill 9, $victim eq 'child' ? $children[0] : $stage_worker;
	eval { $holder->quit } if $holder;
	check_aborted($stage_run, "$victim killed $stage", @children, $stage_worker);
}

# a caller's backend, as it waits: the server restarts
my ($caller_run) = $stages{connecting}->();
my $caller_worker = $server->worker_pid('replay');
my @callers_children = PgwireTrace::Replay::children_of($caller_worker);
my $caller = $server->node->background_psql('postgres', on_error_stop => 0);
my $caller_pid = $caller->query_safe('select pg_backend_pid()');
$caller->query_until(qr/on its way/, "\\echo on its way\nselect pgwire_trace.replay_wait($caller_run);\n");
ok($server->wait_for("select count(*) = 1 from pg_stat_activity where pid = $caller_pid and state = 'active'"), 'a caller waits');
kill 9, $caller_pid;
check_aborted($caller_run, 'caller killed', @callers_children, $caller_worker);
eval { $caller->quit };

# the postmaster, and each way to end it
for my $way (qw(killed smart fast immediate))
{
	my ($way_run, $holder) = $stages{ $way eq 'killed' ? 'planning' : 'playing' }->();
	my $way_worker = $server->worker_pid('replay');
	my @children = PgwireTrace::Replay::children_of($way_worker);

	if ($way eq 'killed')
	{
		my $postmaster = $server->postmaster_pid;

		kill 9, $postmaster;
		$server->wait_until_down($postmaster);
		eval { $holder->quit };
		$server->start_again;
	}
	else
	{
		$server->node->stop($way, timeout => 30);
		$server->node->start;
	}
	$server->wait_for_side_port;
	check_aborted($way_run, "server $way" . ($way eq 'killed' ? ' planning' : ''), @children, $way_worker);
}

# a standby
my ($resumable) = $stages{playing}->();
$server->node->stop('fast');
append_to_file($server->node->data_dir . '/standby.signal', '');
$server->node->start;
for my $call ("replay_start('$conninfo')", "replay_resume($resumable, '$conninfo')")
{
	like(($server->try_sql("select pgwire_trace.$call"))[2], qr/a replay cannot run on a standby/, "$call on a standby");
}
$server->node->stop('fast');
unlink $server->node->data_dir . '/standby.signal';
$server->node->start;
$server->wait_for_side_port;

# ---- what else goes on in the server ----

my ($busy) = $stages{playing}->();
$server->sql("vacuum full pgwire_trace.$_") for qw(replay_run_state replay_run_session replay_run_sent replay_divergence);
is($server->sql("select pgwire_trace.replay_cancel($busy)"), 't', 'tables are rewritten during a run, which goes on');
is($server->sql("select pgwire_trace.replay_wait($busy, '60 s')"), 't', 'until it is cancelled');
is($server->of_run($busy, 'state'), 'cancelled', 'it was');

# more runs than there are places for, at once
my $crowd = $server->node->basedir . '/crowd.sql';
append_to_file($crowd, "select pgwire_trace.replay_start('$silent dbname=silent', array[$sessions[0]]);\n");
my $last_run = $server->sql('select max(run_id) from pgwire_trace.replay_run');
(undef, undef, $err) = run_client([ 'pgbench', '-n', '-f', $crowd, '-c', '20', '-j', '4', '-t', '1', '-d', 'dbname=postgres host='
		. $server->node->host . ' port=' . $server->node->port ]);
my $running = $server->sql('select count(*) from pgwire_trace.replay_slots()');
my $refused = () = $err =~ /no background worker is free for the replay|8 replays are running already/g;
ok($running >= 3 && $running <= 8, "$running of 20 runs have a place");
is($running + $refused, 20, 'the others are told why not');
is($server->sql("select count(*) from pgwire_trace.replay_run where run_id > $last_run"), $running,
	'and leave no run behind');
is($server->sql("select count(*) from (select pgwire_trace.replay_cancel(run_id) from pgwire_trace.replay_slots()) x"), $running,
	'all are cancelled');
ok($server->wait_for('select count(*) = 0 from pgwire_trace.replay_slots()'), 'and end');
is($server->sql("select count(*) from pgwire_trace.replay_run where run_id > $last_run and state = 'cancelled'"), $running,
	'as cancelled');
$stub->stop;

done_testing();
