# A journal that is full, a disk that is full: clients go on, what is left out is counted exactly.
use strict;
use warnings;

use IPC::Run ();
use PgwireTrace qw(poll run_client);
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir();

# Some 60 kB an exchange: 64 MB are soon full.
append_to_file("$directory/large.sql", "select repeat('x', 60000) as large;\n");
append_to_file("$directory/small.sql", "select 1 as small;\n");

# Runs pgbench through the side port; returns its status.
sub run_load
{
	my ($server, $script, $transactions) = @_;
	my ($status, $out, $err) = run_client(
		[ 'pgbench', '-n', '-c', 4, '-t', $transactions / 4, '-f', "$directory/$script.sql",
			$server->side_connstr ], timeout => 120);
	diag($err) if $status != 0;
	return $status;
}

# Checks the account: what was finished is stored or was dropped, and counted.
sub check_account
{
	my ($server, $what) = @_;

	is($server->sql(<<'SQL'), 't|t', "$what: finished = stored + dropped, journalled = stored");
select sum(exchanges_finished) = sum(exchanges_dropped_journal_full + exchanges_dropped_disk_full)
                               + (select count(*) from pgwire_trace.exchange),
       sum(exchanges_journalled) = (select count(*) from pgwire_trace.exchange)
  from pgwire_trace.stat_relay
SQL
	is($server->duplicates, '0', "$what: nothing is stored twice");
	return;
}

# ---- journal_full = drop ----

my $server = PgwireTrace->start('full', conf => <<'CONF');
pgwire_trace.journal_limit = 64MB
pgwire_trace.journal_full = drop
CONF
my $writer = $server->worker_pid('writer');
kill('STOP', $writer);
is(run_load($server, 'large', 2000), 0, 'drop: clients get all their answers');
my $dropped = $server->stat_relay('exchanges_dropped_journal_full');
cmp_ok($dropped, '>', 500, "drop: $dropped exchanges were dropped");
my $size = 0;
$size += -s $_ for $server->segments;
cmp_ok($size, '<=', 64 * 1024 * 1024, "drop: the journal keeps to its limit ($size bytes)");
cmp_ok($size, '>', 40 * 1024 * 1024, 'drop: and uses it');
kill('CONT', $writer);
ok($server->flush, 'drop: the rest is stored');
check_account($server, 'drop');
is($server->stat_relay('exchanges_dropped_journal_full'), $dropped, 'drop: nothing else was dropped');
is($server->sql("select 2000 - $dropped = count(*) from pgwire_trace.exchange where query like '%large%'"
	  ) , 't', 'drop: of the queries, exactly those were dropped')
  if $server->sql("select count(*) from pgwire_trace.exchange where kind in ('startup', 'terminate')"
	  . " and session_id in (select session_id from pgwire_trace.exchange where query like '%large%')") == 8;
# rows of ended sessions come when the journal has room again
ok($server->wait_for("select sum(dropped_exchanges) = $dropped and bool_and(ended_at is not null)"
	  . ' from pgwire_trace.session'), 'drop: sessions know what was dropped of them')
  or diag($server->sql('select session_id, end_reason, exchange_count, dropped_exchanges'
	  . ' from pgwire_trace.session order by 1'));
is(run_load($server, 'small', 400), 0, 'drop: later');
ok($server->flush, 'drop: stored');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%small%'"), '400',
	'drop: later traffic is recorded again');

# ---- journal_full = wait ----

$server->set('pgwire_trace.journal_full' => 'wait');
$server->sql('create table before as select sum(exchanges_dropped_journal_full) as dropped,'
	  . " (select count(*) from pgwire_trace.exchange where query like '%large%') as stored"
	  . ' from pgwire_trace.stat_relay');
kill('STOP', $writer);
my ($out, $err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 4, '-t', 500, '-f', "$directory/large.sql", $server->side_connstr ],
	'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
my ($last, $same) = ('', 0);
my $held = poll(sub {
	my $now = $server->stat_relay('exchanges_finished');
	$same = $now eq $last ? $same + 1 : 0;
	$last = $now;
	return $same >= 20;
});
ok($held, 'wait: clients are held');
ok($load->pumpable, 'wait: none gave up');
is($server->sql('select 1'), '1', 'wait: the main port is not');
kill('CONT', $writer);
$load->finish;
is($load->result(0), 0, 'wait: clients are released and get all their answers') or diag($err);
ok($server->flush, 'wait: stored');
is($server->sql("select sum(exchanges_dropped_journal_full) - (select dropped from before)"
	  . ' from pgwire_trace.stat_relay'), '0', 'wait: nothing was dropped');
is($server->sql("select count(*) - (select stored from before) from pgwire_trace.exchange"
	  . " where query like '%large%'"), '2000', 'wait: every query is stored');
check_account($server, 'wait');
$server->node->stop;

# ---- a full disk ----

SKIP:
{
	skip 'no small file system could be mounted', 10 unless $ENV{PGWT_SMALL_DISK};

	my $small = PgwireTrace->start('small_disk',
		conf => "pgwire_trace.journal_directory = '$ENV{PGWT_SMALL_DISK}/journal'\n");
	$small->{journal_directory} = "$ENV{PGWT_SMALL_DISK}/journal";
	is(run_load($small, 'small', 40), 0, 'disk: clients are served');
	ok($small->flush, 'disk: and recorded');

	$writer = $small->worker_pid('writer');
	kill('STOP', $writer);
	system_or_bail('dd', 'if=/dev/zero', "of=$ENV{PGWT_SMALL_DISK}/ballast", 'bs=1M', 'count=48',
		'status=none');
	is(run_load($small, 'large', 1000), 0, 'disk: full, writer stopped: 1,000 queries finish');
	cmp_ok($small->stat_relay('exchanges_dropped_disk_full'), '>', 500, 'disk: the drop is counted');
	like($small->stat_relay('last_error', 'max'), qr/space|disk|full/i, 'disk: last_error says why');
	unlink "$ENV{PGWT_SMALL_DISK}/ballast";
	kill('CONT', $writer);
	ok($small->flush, 'disk: what was kept is stored');
	ok(poll(sub {
				$small->side_sql('select 4711 as again');
				$small->flush;
				return $small->sql("select count(*) > 0 from pgwire_trace.exchange"
					  . " where query like '%4711 as again%'") eq 't';
	}), 'disk: with room again recording resumes');
	check_account($small, 'disk');
	is($small->stat_relay('restarts'), '0', 'disk: no relay died');
	$small->node->stop;
}
done_testing();
