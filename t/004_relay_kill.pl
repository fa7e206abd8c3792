# A relay that dies of a signal takes its own sessions with it, and nothing else.
use strict;
use warnings;

use IPC::Run ();
use PgwireTrace qw(poll);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('relay_kill', conf => "pgwire_trace.relay_processes = 2\n");
my $directory = PostgreSQL::Test::Utils::tempdir();
append_to_file("$directory/script.sql", "select :client_id as load_client;\n");

# ---- load on both relays, and a session on the main port ----

my $main = PgwireTrace::Client->new($server->node->port);
$main->login(user => scalar getpwuid($<), database => 'postgres');
my $started = $server->sql('select pg_postmaster_start_time()');

my ($out, $err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 12, '-j', 2, '-T', 8, '-l', "--log-prefix=$directory/log",
		'-f', "$directory/script.sql", $server->side_connstr ],
	'<', \undef, '>', \$out, '2>', \$err);
ok($server->wait_for('select count(*) = 2 from pgwire_trace.stat_relay where sessions_open > 0'),
	'both relays have sessions');
ok($server->wait_for('select min(exchanges_finished) > 1000 from pgwire_trace.stat_relay'),
	'both relays are busy');

# ---- one dies ----

my ($relay_no, $pid) = split /\|/,
  $server->sql('select relay_no, pid from pgwire_trace.stat_relay order by relay_no limit 1');
is(kill('SEGV', $pid), 1, 'a relay gets SIGSEGV');
ok($server->wait_for("select restarts = 1 and pid > 0 and pid <> $pid"
	  . " from pgwire_trace.stat_relay where relay_no = $relay_no"), 'it is started again');
ok($server->wait_for_side_port, 'the side port answers');
is($main->run('select 1'), 'TDCZ', 'the session on the main port goes on');
is($server->side_sql('select 1'), '1', 'new clients are served');
$load->finish;
is($server->sql('select pg_postmaster_start_time()'), $started, 'the server is the same');
unlike(slurp_file($server->node->logfile), qr/terminating any other active server processes/,
	'the cluster was not restarted');
like(slurp_file($server->node->logfile), qr/pgwire_trace.*relay.*(signal 11|terminated)/i,
	'the log tells of the relay');

# ---- the account ----

ok($server->flush, 'what there is is stored');
my $answered = 0;
for my $file (glob "$directory/log*")
{
	$answered += () = slurp_file($file) =~ /\n/g;
}
cmp_ok($answered, '>', 2000, "clients had $answered answers");
my $ended = $server->sql("select count(*) from pgwire_trace.session where end_reason = 'relay_died'");
cmp_ok($ended, '>=', 1, 'sessions of the dead relay are ended as relay_died');
is($server->sql(<<'SQL'), '0|t', 'their rows tell what is stored of them');
select count(*) filter (where s.exchange_count <> e.count or s.request_bytes < e.sum), max(e.count) > 1
  from pgwire_trace.session s, lateral (select count(distinct exchange_no), sum(request_bytes)
       from pgwire_trace.exchange e where e.session_id = s.session_id) e
 where end_reason = 'relay_died'
SQL
my ($stored, $of_the_dead) = split /\|/, $server->sql(<<'SQL');
select count(*), count(*) filter (where end_reason = 'relay_died')
  from pgwire_trace.exchange join pgwire_trace.session using (session_id)
 where query like '%load_client%' and is_complete
SQL
my $lost = $server->stat_relay('exchanges_lost_in_crash');
cmp_ok($stored + $lost, '>=', $answered, "stored ($stored) and lost ($lost) cover what was answered");
is($server->sql(<<'SQL'), 't', 'lost in the crash = finished - journalled');
select sum(exchanges_lost_in_crash) = sum(exchanges_finished) - sum(exchanges_journalled)
  from pgwire_trace.stat_relay
SQL
# a relay that dies between write() and counting it has journalled what it counts as lost
is($server->sql(<<'SQL'), 't', 'stored = journalled, and of what was lost at most the last write');
select (select count(*) from pgwire_trace.exchange) - sum(exchanges_journalled)
       between 0 and sum(exchanges_lost_in_crash)
  from pgwire_trace.stat_relay
SQL
is($server->duplicates, '0', 'nothing twice');

# Sessions of the other relay lost nothing: each client's log has as many lines as it has rows.
my %logged;
for my $file (glob "$directory/log*")
{
	$logged{ (split / /, $_)[0] }++ for split /\n/, slurp_file($file);
}
my %rows = map { split /\|/ } split /\n/, $server->sql(<<'SQL');
select substring(query from 'select (\d+)'), count(*)
  from pgwire_trace.exchange join pgwire_trace.session using (session_id)
 where query like '%load_client%' and end_reason <> 'relay_died' group by 1
SQL
cmp_ok(scalar keys %rows, '>=', 1, 'clients of the other relay');
is_deeply({ map { $_ => $logged{$_} } keys %rows }, \%rows, 'and all they did is stored');

$server->node->stop;
done_testing();
