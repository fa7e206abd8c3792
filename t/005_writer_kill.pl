# The writer dies, the postmaster dies: what was in the journal is in the tables, exactly once.
use strict;
use warnings;

use IPC::Run ();
use PgwireTrace qw(poll run_client);
use PostgreSQL::Test::Utils;
use Test::More;

# Starts pgbench through the side port; returns its handle.
sub start_load
{
	my ($server, $seconds) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';

	append_to_file($script, "select :client_id as load, repeat('x', 500) as filler;\n");
	return IPC::Run::start(
		[ 'pgbench', '-n', '-c', 6, '-j', 1, '-T', $seconds, '-f', $script,
			$server->side_connstr ],
		'<', \undef, '>', \my $out, '2>', \my $err);
}

# Checks that every session's exchanges are stored without gap or repetition.
sub check_exactly_once
{
	my ($server, $what) = @_;

	is($server->duplicates, '0', "$what: nothing is stored twice");
	is($server->sql(<<'SQL'), '0', "$what: no exchange is missing between others");
select count(*) from (select session_id from pgwire_trace.exchange group by session_id
                      having max(exchange_no) + 1 <> count(distinct exchange_no)
                          or min(exchange_no) <> 0) gaps
SQL
	return;
}

# ---- kill -9 of the writer under load, once with a restart, once with the server left down ----

my $server = PgwireTrace->start('writer_kill');
my $load = start_load($server, 20);

ok($server->wait_for('select rows_stored > 2000 from pgwire_trace.stat_writer'), 'load is on');
my $started = $server->sql('select pid from pg_stat_activity where backend_type = \'checkpointer\'');
kill('KILL', $server->worker_pid('writer'));
$load->finish;
ok($server->wait_for("select pid <> $started from pg_stat_activity"
	  . " where backend_type = 'checkpointer'"), 'the cluster restarts');
ok($server->wait_for_side_port, 'the side port answers');
ok($server->flush, 'the rest is stored');
check_exactly_once($server, 'writer killed');
is($server->sql(<<'SQL'), 't|0', 'stored = journalled, none quarantined for it');
select (select sum(exchanges_journalled) from pgwire_trace.stat_relay)
         = (select count(*) from pgwire_trace.exchange),
       exchanges_quarantined from pgwire_trace.stat_writer
SQL

$server->sql("alter system set restart_after_crash = off");
$server->node->reload;
for my $victim ('writer', 'postmaster')
{
	$load = start_load($server, 20);
	my $before = $server->sql('select count(*) from pgwire_trace.exchange');
	ok($server->wait_for("select count(*) > $before + 3000 from pgwire_trace.exchange"),
		"$victim: load is on");
	my $postmaster = $server->postmaster_pid;
	my $writer = $server->worker_pid('writer');

	# with the writer standing still it is known what is stored and what is not
	kill('STOP', $writer);
	my $journalled = $server->stat_relay('exchanges_journalled');
	my @positions = $server->journal_positions;
	my ($stored, $newest) = ($server->count_stored, $server->newest_session);
	ok($server->wait_for("select sum(exchanges_journalled) > $journalled + 2000"
		  . ' from pgwire_trace.stat_relay'), "$victim: the journal grows");
	kill('KILL', $postmaster) if $victim eq 'postmaster';
	kill('KILL', $writer);
	$load->finish;
	ok($server->wait_until_down($postmaster), "$victim killed: the server is down");

	my $left = $server->count_journal(@positions);
	cmp_ok($left, '>=', 2000, "$victim killed: $left exchanges wait in the journal");
	$server->start_again;
	ok($server->wait_for_side_port, "$victim killed: the side port answers");
	ok($server->flush, "$victim killed: the rest is stored");
	is($server->count_stored($newest), $stored + $left, "$victim killed: all of them are stored");
	check_exactly_once($server, "$victim killed");
}

# ---- the writer stands still until segments wait ----

$load = start_load($server, 60);
my $writer = $server->worker_pid('writer');
kill('STOP', $writer);
ok(poll(sub { my @waiting = $server->segments; return @waiting >= 4 }), 'three full segments wait');
$load->signal('INT');
$load->finish;
kill('CONT', $writer);
ok($server->flush, 'the writer catches up');
check_exactly_once($server, 'writer stopped');
is($server->sql("select pid from pg_stat_activity where backend_type = 'pgwire_trace writer'"),
	$writer, 'it is the same writer');
ok(poll(sub { my @left = $server->segments; return @left <= 1 }), 'stored segments are deleted');

$server->node->stop;
done_testing();
