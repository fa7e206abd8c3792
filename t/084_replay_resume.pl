# Replays whose processes are killed, at every stage: what had ended stays, what had not begun can be
# run by replay_resume(), and nothing is run twice. Also several network processes for one run.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('replay_resume');
my $target = PostgreSQL::Test::Cluster->new('replay_resume_target');

$target->init;
$target->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pgwire_trace'\npgwire_trace.port = 0\n");
$target->start;
$target->safe_psql('postgres', 'alter database postgres set pgwire_trace.allow_replay = on');

my $conninfo = 'host=' . $target->host . ' port=' . $target->port . ' dbname=postgres';
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

# Returns the pids of a worker's children.
sub children_of
{
	my ($worker) = @_;
	my @pids;

	for my $file (glob('/proc/[0-9]*/stat'))
	{
		open(my $stat, '<', $file) or next;
		my $line = <$stat> // '';
		close($stat);
		push @pids, $1 if $line =~ /^(\d+) \(.*\) \S $worker /;
	}
	return @pids;
}

# Starts a run of the sessions, one after another, of which the second naps after its first step.
sub start_napping
{
	$target->safe_psql('postgres', 'truncate ran');
	my $run = $server->sql("select pgwire_trace.replay_start('$conninfo', array[$list],"
		  . " timing => 'asap', options => '{\"max_sessions\": 1}')");

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
my ($child) = children_of($server->worker_pid('replay'));
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
$run = $server->sql("select pgwire_trace.replay_start('$conninfo', array[$list], timing => 'asap')");
my $worker = $server->worker_pid('replay');
ok($server->wait_for("select wait_event_type = 'Lock' from pg_stat_activity where pid = $worker"),
	'it plans');
kill 9, $worker;
eval { $locker->quit };
ok($server->wait_for("select state = 'aborted' from pgwire_trace.replay_run where run_id = $run"),
	'the worker is killed while it plans');
is($server->sql("select pgwire_trace.replay_resume($run)"), 't', 'it is resumed');
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'and ends');
is($server->sql("select state, captured, sent, divergences from pgwire_trace.replay_run where run_id = $run"),
	'finished|12|12|0', 'all of it was run');
check_target('1.1 1.2 2.1 2.2 3.1 3.2 4.1 4.2', 'once');

# ---- a run that is refused, and then not ----

$target->safe_psql('postgres', 'alter database postgres reset pgwire_trace.allow_replay');
$run = $server->sql("select pgwire_trace.replay_start('$conninfo', array[$list], timing => 'asap')");
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'a target that does not agree');
$target->safe_psql('postgres', 'alter database postgres set pgwire_trace.allow_replay = on; truncate ran');
is($server->sql("select pgwire_trace.replay_resume($run)"), 't', 'now it does');
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'it is resumed');
is($server->sql("select state, captured, sent, divergences from pgwire_trace.replay_run where run_id = $run"),
	'finished|12|12|0', 'all of it was run');

# ---- the relay is killed that the target's sessions go through ----

my $side = $server->side_connstr . ' user=' . $server->sql('select current_user');
$server->sql('create or replace function nap() returns void language sql as'
	  . q( 'select pg_sleep(60)'));
$run = $server->sql("select pgwire_trace.replay_start('$side', array[$sessions[0]], timing => 'asap',"
	  . " options => '{\"allow_self\": true, \"allow_target\": true}')");
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
ok($server->flush, 'recorded');
my $many = $server->sql("select string_agg(session_id::text, ',') from pgwire_trace.session"
	  . " where application_name = 'many' and exchange_count > 2");
$run = $server->sql("select pgwire_trace.replay_start('$conninfo', array[$many], timing => 'asap',"
	  . " compare => 5, options => '{\"children\": 3}')");
my $processes = 0;
poll(sub {
	my ($pid, $state) = split /\|/, $server->sql("select (select pid from pg_stat_activity where"
		  . " backend_type = 'pgwire_trace replay'), state from pgwire_trace.replay_run where run_id = $run");
	my @now = $pid ? children_of($pid) : ();
	$processes = @now if @now > $processes;
	return $state ne 'running' && $state ne 'planned';
});
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'three network processes');
is($processes, 3, 'three were seen');
is($server->sql("select state, captured, sent, divergences from pgwire_trace.replay_run where run_id = $run"),
	'finished|600|600|0', 'all of it was run');
is($server->sql("select sent from pgwire_trace.replay_progress where run_id = $run"), '600',
	'and they are added up');
$run = $server->sql("select pgwire_trace.replay_start('$conninfo', array[$many], timing => 'think',"
	  . " speed => 0.001, options => '{\"children\": 2}')");
my @pids;
ok(poll(sub { @pids = children_of($server->worker_pid('replay')); return @pids == 2; }), 'two');
kill 9, $pids[1];
is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', 'one of two is killed');
is($server->sql("select state, error_message from pgwire_trace.replay_run where run_id = $run"),
	"aborted|the replay's network process has died", 'the run is aborted');
ok(poll(sub { !kill(0, $pids[0]) }), 'the other goes too');

done_testing();
