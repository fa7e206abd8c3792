# Several network processes that keep one order: transactions that contend for rows, in order of arrival
# and of commit, and what may not disturb it: pauses, limits, sessions that are lost, a process that is
# killed. Every wait is bounded: a replay that hangs, or wakes nobody, fails the test.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PostgreSQL::Test::Utils;
use Test::More;

# the target is another database of the same server
my $server = PgwireTrace->start('replay_order');
my $conninfo = 'host=' . $server->node->host . ' port=' . $server->node->port . ' dbname=copy';

$server->sql('create database copy');
$server->sql('alter database copy set pgwire_trace.allow_replay = on');

# Runs SQL on the target.
sub target_sql
{
	my ($sql) = @_;
	return $server->node->safe_psql('copy', $sql);
}

# Records what a command does through the side port; returns the ids of its sessions.
sub record
{
	my ($name, $command, %options) = @_;
	my ($status, undef, $err) =
	  run_client([ @$command, $server->side_connstr . " application_name=$name" ], %options);

	is($status, 0, "$name ran") or diag($err);
	ok($server->flush, 'recorded');
	return $server->sql("select string_agg(session_id::text, ',') from pgwire_trace.session"
		  . " where application_name = '$name' and exchange_count > 2");
}

# Starts a replay; options are those of the run besides allow_self.
sub start
{
	my ($sessions, $arguments, $options) = @_;
	return $server->sql("select pgwire_trace.replay_start('$conninfo', array[$sessions], $arguments,"
		  . " options => '{\"allow_self\": true, $options}')");
}

# Waits for the end of a run, and checks that all is accounted for.
sub ends
{
	my ($run, $state, $name) = @_;
	my $waited = $server->sql("select pgwire_trace.replay_wait($run, '60 s')");

	is("$waited " . $server->sql("select state from pgwire_trace.replay_run where run_id = $run"),
		"t $state", $name)
	  or diag($server->sql("select * from pgwire_trace.replay_run where run_id = $run"));
	is($server->sql("select captured = sent + filtered + skipped + unsent and unsent >= 0 and sent ="
			  . " (select count(*) from pgwire_trace.replay_run_exchange e where e.run_id = r.run_id"
			  . " and outcome = 'sent') from pgwire_trace.replay_run r where run_id = $run"), 't',
		"$name: nothing is unaccounted for");
	return;
}

# Returns what a run came to: exchanges not sent, divergences, waits for a turn that timed out.
sub outcome
{
	my ($run) = @_;
	my $timeouts = () = slurp_file($server->node->logfile) =~ /replay $run: an exchange waited/g;

	return $server->sql("select unsent || ' unsent, ' || divergences || ' divergences'"
		  . " from pgwire_trace.replay_run where run_id = $run") . ", $timeouts timeouts";
}

# Returns how many seconds a run took.
sub seconds
{
	my ($run) = @_;
	return $server->sql("select round(extract(epoch from finished_at - started_at)::numeric, 3)"
		  . " from pgwire_trace.replay_run where run_id = $run");
}

# Returns the pids of the network processes.
sub children
{
	my $worker = $server->worker_pid('replay') or return;
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

# ---- contention ----

my $setup = 'drop table if exists counter; create table counter (id int primary key, n int);'
  . ' insert into counter select i, 0 from generate_series(1, 20) i';

# Records pgbench, 8 clients.
sub record_script
{
	my ($name, $script) = @_;
	my $file = $server->node->basedir . "/$name.sql";

	append_to_file($file, $script);
	$server->sql($setup);
	return record($name, [ qw(pgbench -n -c 8 -j 1 -t 25 -f), $file ]);
}

my %sessions = (
	# all fight for three rows, and read what they have written
	commit => record_script('fight', <<'SQL'),
\set id random(1, 3)
begin;
update counter set n = n + 1 where id = :id;
select n from counter where id = :id;
end;
update counter set n = n + 1 where id = :id;
SQL
	# order of arrival says nothing of who gets a lock: here nobody waits for another's transaction
	arrival => record_script('arrive', <<'SQL'));
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

	target_sql($setup);
	my $run = start($sessions{$ordering}, "timing => '$timing', speed => 2, ordering => '$ordering',"
		  . ' compare => 4', "\"children\": $children");
	ends($run, 'finished', $name);
	is(target_sql('select sum(n) from counter'), '400', "$name: all updates were made");
	note("$name: " . outcome($run) . ', ' . seconds($run) . ' s');
	is(outcome($run), '0 unsent, 0 divergences, 0 timeouts', "$name: each had its turn");
	cmp_ok(seconds($run), '<', 20, "$name: turns do not wait for a tick");
}

done_testing();
