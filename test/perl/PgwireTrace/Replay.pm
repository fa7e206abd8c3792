# PgwireTrace::Replay: a server that records and a target, for the tests of replay.
#
#   my $server = PgwireTrace::Replay->start('name', conf => "...", target => "max_connections = 9\n");
#   $server->both('create table t (a int)');          # on both
#   $server->side_sql('select * from t');
#   my $session = $server->recorded;                  # its number, when it is stored
#   my $run = $server->replay("array[$session], timing => 'asap'");
#   is($server->verdicts($run), '', 'no divergence');
#
# It is a PgwireTrace with a PostgreSQL::Test::Cluster beside it ({target}), which agrees to replays.
# Each wait ends after a minute, and each run that ended is checked: nothing of it may be unaccounted
# for.
package PgwireTrace::Replay;

use strict;
use warnings;

use parent -norequire, 'PgwireTrace';

use PgwireTrace;
use PostgreSQL::Test::Cluster;
use Test::More;

# Makes and starts both. Options: those of PgwireTrace's, target (the target's settings), agrees (0:
# the target does not agree yet), target_started (0: not).
sub start
{
	my ($class, $name, %options) = @_;
	my $target = PostgreSQL::Test::Cluster->new("${name}_target");
	my $self = $class->SUPER::start($name, %options);

	$target->init;
	$target->append_conf('postgresql.conf', "shared_preload_libraries = 'pgwire_trace'\n"
		  . "pgwire_trace.port = 0\nlog_statement = none\n" . ($options{target} // ''));
	$self->{target} = $target;
	return $self unless $options{target_started} // 1;
	$target->start;
	$self->agree if $options{agrees} // 1;
	return $self;
}

# Lets the target agree to replays.
sub agree
{
	my ($self) = @_;
	return $self->target->safe_psql('postgres',
		'alter database postgres set pgwire_trace.allow_replay = on');
}

sub target
{
	return $_[0]->{target};
}

# Returns a connection string for the target.
sub conninfo
{
	my ($self) = @_;
	return 'host=' . $self->target->host . ' port=' . $self->target->port . ' dbname=postgres';
}

# Runs SQL on the server and on the target.
sub both
{
	my ($self, $sql) = @_;

	$_->safe_psql('postgres', $sql) for $self->node, $self->target;
	return;
}

# Waits until all is stored; returns the session that was recorded last, of an application if one is
# named.
sub recorded
{
	my ($self, $application) = @_;

	ok($self->flush, 'recorded');
	return $self->sql('select pgwire_trace.last_session('
		  . (defined $application ? "'$application'" : '') . ')');
}

# Returns the sessions that were recorded after one, in a list.
sub sessions_after
{
	my ($self, $session) = @_;
	return $self->sql("select string_agg(session_id::text, ',' order by session_id)"
		  . " from pgwire_trace.session where session_id > $session");
}

# Waits until all of an application's sessions have ended and are stored; returns those that did
# something, in a list. What a session has is known at its end, which its client does not wait for.
sub sessions_of
{
	my ($self, $application) = @_;
	my $from = "from pgwire_trace.session where application_name = '$application'";

	ok($self->flush && $self->wait_for("select bool_and(ended_at is not null) $from"),
		"$application: all is recorded");
	return $self->sql("select string_agg(session_id::text, ',' order by session_id) $from"
		  . ' and exchange_count > 2');
}

# Starts a replay against the target, or what another connection string names; returns its number.
sub begin_run
{
	my ($self, $arguments, $where) = @_;

	$where //= $self->conninfo;
	return $self->sql("select pgwire_trace.replay_start(\$\$$where\$\$, $arguments)");
}

# Waits for a run's end, which is to be the given one, with nothing unaccounted for.
sub ends
{
	my ($self, $run, $state, $name) = @_;
	my $waited = $self->sql("select pgwire_trace.replay_wait($run, '60 s')");

	is("$waited " . $self->of_run($run, 'state'), "t $state", "$name: $state")
	  or diag($self->of_run($run, '*'));
	is($self->of_run($run, <<'SQL'), 't', "$name: captured = sent + filtered + skipped + unsent")
r.captured = r.sent + r.filtered + r.skipped + r.unsent and r.unsent >= 0
   and r.sent = (select count(*) from pgwire_trace.replay_run_exchange e
                  where e.run_id = r.run_id and outcome = 'sent')
   and r.sent = (select count(distinct (session_id, exchange_no)) from pgwire_trace.replay_run_exchange e
                  where e.run_id = r.run_id and outcome = 'sent')
   and (r.captured, r.sent) = (select coalesce(sum(captured), 0), coalesce(sum(sent), 0)
                                 from pgwire_trace.replay_run_session s where s.run_id = r.run_id)
   and (r.captured, r.sent, r.filtered, r.skipped, r.unsent)
       = (select captured, sent, filtered, skipped, unsent from pgwire_trace.replay_progress p
           where p.run_id = r.run_id)
SQL
	  or diag($self->of_run($run, '*'),
		$self->sql("select * from pgwire_trace.replay_run_session where run_id = $run"));
	return;
}

# Replays, and waits until that is finished; returns the run's number.
sub replay
{
	my ($self, $arguments, $where) = @_;
	my $run = $self->begin_run($arguments, $where);

	$self->ends($run, 'finished', "run $run");
	return $run;
}

# Returns columns of a run's row, r.
sub of_run
{
	my ($self, $run, $columns) = @_;
	return $self->sql("select $columns from pgwire_trace.replay_run r where run_id = $run");
}

# Returns the verdicts of a run: exchange:verdict, with < and the cause behind what is no root.
sub verdicts
{
	my ($self, $run) = @_;
	return $self->sql("select coalesce(string_agg(exchange_no || ':' || verdict"
		  . " || coalesce('<' || caused_by_exchange_no, ''), ' ' order by session_id, exchange_no,"
		  . " statement_no), '') from pgwire_trace.replay_divergence where run_id = $run");
}

# Returns the pids of a process's children.
sub children_of
{
	my ($parent) = @_;
	my @pids;

	for my $file (glob('/proc/[0-9]*/stat'))
	{
		open(my $stat, '<', $file) or next;
		my $line = <$stat> // '';
		close($stat);
		push @pids, $1 if $line =~ /^(\d+) \(.*\) \S $parent /;
	}
	return @pids;
}

1;
