# The writer dies at its most delicate moments, and meets records that kill it or cannot be stored.
use strict;
use warnings;

use PgwireTrace qw(run_client);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('faults', fault => 1);
my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';

append_to_file($script, "select :client_id as load, repeat('x', 20000) as filler;\n");
$server->sql('alter system set restart_after_crash = off');
$server->node->reload;

# Runs a load of 4,000 exchanges of some kB each: several batches, several segments.
sub run_load
{
	my ($status, $out, $err) = run_client(
		[ 'pgbench', '-n', '-c', 4, '-t', 1000, '-f', $script, $server->side_connstr ]);
	return $status;
}

for my $point ('writer_before_commit', 'writer_after_commit', 'writer_between_segments')
{
	my $file = $server->node->data_dir . "/pgwt_fault_$point";
	my $postmaster = $server->postmaster_pid;
	my $writer = $server->worker_pid('writer');

	kill('STOP', $writer);
	my @positions = $server->journal_positions;
	my ($stored, $newest) = ($server->count_stored, $server->newest_session);
	is(run_load(), 0, "$point: clients are served");
	my $left = $server->count_journal(@positions);
	cmp_ok($left, '>', 4000, "$point: the journal has $left exchanges");
	append_to_file($file, '');
	kill('CONT', $writer);
	ok($server->wait_until_down($postmaster), "$point: the writer dies, the server goes down");
	ok(!-e $file, "$point: it died at this point");

	$server->start_again;
	ok($server->wait_for_side_port, "$point: the side port answers");
	ok($server->flush, "$point: the rest is stored");
	is($server->sql("select count(*) from pgwire_trace.exchange where query like '%load%'"
		  . " and session_id > $newest"), '4000', "$point: each of the 4,000 is stored");
	is($server->sql('select count(*) from pgwire_trace.exchange join pgwire_trace.session using'
		  . ' (session_id) where session.started_at < pg_postmaster_start_time()'), $stored + $left,
		"$point: all of the journal is in the tables");
	is($server->duplicates, '0', "$point: nothing is stored twice");
	is($server->stat_writer('exchanges_quarantined'), '0', "$point: no record is blamed");
}
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%load%'"), '12000',
	'in the end every query is stored once');

# ---- a record that kills the writer ----

$server->sql('alter system set restart_after_crash = on');
$server->node->reload;
my $writer = $server->worker_pid('writer');
kill('STOP', $writer);
$server->side_sql("select 'good' as before", application => 'poison');
$server->side_sql("select 'pgwt_poison_record'", application => 'poison');
$server->side_sql("select 'good' as after", application => 'poison');
kill('CONT', $writer);
ok($server->wait_for("select pid > 0 and pid <> $writer and exchanges_quarantined = 1"
	  . ' from pgwire_trace.stat_writer'), 'the record that kills the writer is quarantined');
$server->wait_for_side_port;
ok($server->flush, 'the rest is stored');
my $restarts = () = slurp_file($server->node->logfile) =~ /all server processes terminated; reinitializing/g;
is($restarts, 1, 'with one restart');
is($server->sql("select count(*) from pgwire_trace.exchange where query like 'select ''good''%'"),
	'2', 'what was beside it is stored once');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%pgwt_poison_record%'"),
	'0', 'it is not');
is($server->duplicates, '0', 'nothing is stored twice');

# ---- a row that cannot be stored ----

$writer = $server->worker_pid('writer');
my $partition = $server->sql('select max(partition_no) from pgwire_trace.partition');
$server->sql(<<"SQL");
create function refuse() returns trigger language plpgsql as \$\$
begin
  if position('refuse this row'::bytea in new.bytes) > 0 then raise exception 'no, not this one'; end if;
  return new;
end \$\$;
create trigger refuse before insert on pgwire_trace.stored_exchange_$partition for each row execute function refuse();
alter table pgwire_trace.stored_exchange_$partition enable always trigger refuse
SQL
my $stored = $server->sql("select count(*) from pgwire_trace.exchange where query like '%refusal%'");
my ($quarantined) = $server->stat_writer('exchanges_quarantined');
$server->side_sql(join("\n", map { "select $_ as refusal;" . ($_ == 50 ? 'select 1 as "refuse this row";' : '') }
	1 .. 100));
ok($server->flush, 'flush() does not wait for the row that cannot be stored');
is($server->stat_writer('exchanges_quarantined'), $quarantined + 1, 'it is quarantined');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%refusal%'"), '100',
	'the other rows are stored, once');
is($server->duplicates, '0', 'nothing is stored twice');
is($server->worker_pid('writer'), $writer, 'without a restart of the writer');
like($server->stat_writer('last_error'), qr/no, not this one/, 'last_error has the reason');

$server->node->stop;
done_testing();
