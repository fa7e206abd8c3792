# A replay's lines to its target: TLS that is verified by the target's name, before and after the
# target was away; cancel requests, and how they travel; the order of commit among sessions that lose
# their connections.
use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(query terminate);
use PgwireTrace::Replay;
use PgwireTrace::Tls qw(make_certificates);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $certificates = make_certificates();
my $server = PgwireTrace::Replay->start('replay_lines', target_started => 0,
	target => "ssl = on\nlisten_addresses = '127.0.0.1'\n");
my $target = $server->target;
my $user = getpwuid($<);

$certificates->install(bless({ node => $target }, 'PgwireTrace'), 'server');
unlink $target->data_dir . '/pg_hba.conf';
append_to_file($target->data_dir . '/pg_hba.conf', "local all all trust\nhostssl all all 127.0.0.1/32 trust\n");
$target->start;
$server->agree;

# What the sessions call: how long it takes is said by the server that it is called on.
sub set_nap
{
	my ($node, $seconds) = @_;
	$node->safe_psql('postgres', 'create or replace function nap(n int) returns int language sql'
		  . " as 'select n from pg_sleep($seconds)'");
	return;
}

# Passes connections on to the target, and writes down how each begins: s for SSLRequest, c for a
# cancel request, else o.
sub run_front
{
	my ($listener, $file) = @_;
	my $select = IO::Select->new($listener);
	my (%other, %begins);

	while (getppid() != 1)
	{
		for my $socket ($select->can_read(0.1))
		{
			if ($socket == $listener)
			{
				my $client = $listener->accept or next;
				my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $target->port);
				if (!$server)
				{
					close($client);
					next;
				}
				($other{$client}, $other{$server}) = ($server, $client);
				$begins{$client} = '';
				$select->add($client, $server);
				next;
			}
			my $to = $other{$socket} // next;
			my $bytes;
			if (!sysread($socket, $bytes, 65536))
			{
				$select->remove($socket, $to);
				delete @other{ $socket, $to };
				close($_) for $socket, $to;
				next;
			}
			if (defined $begins{$socket} && length($begins{$socket} .= $bytes) >= 8)
			{
				my $code = unpack('N', substr(delete $begins{$socket}, 4));
				append_to_file($file, { 80877103 => 's', 80877102 => 'c' }->{$code} // 'o');
			}
			syswrite($to, $bytes);
		}
	}
	return;
}

my $begins = PostgreSQL::Test::Utils::tempdir() . '/begins';
my $listener = IO::Socket::INET->new(Listen => 100, LocalAddr => '127.0.0.1') or die "listen: $!";
my $front = fork();
if ($front == 0)
{
	run_front($listener, $begins);
	POSIX::_exit(0);
}
my $port = $listener->sockport;
close($listener);

# Returns how connections have begun since the last call.
sub begun
{
	my $text = -e $begins ? slurp_file($begins) : '';
	unlink $begins;
	return $text;
}

my $root = $certificates->path('root.crt');
my $tls = "port=$port dbname=postgres user=$user sslmode=verify-full sslrootcert=$root";

# ---- names ----

$server->side_sql('select 1');
my $one = $server->recorded;
my $run = $server->replay("array[$one], timing => 'asap'", "host=localhost $tls");
is($server->verdicts($run), '', 'by its name, which the certificate has');
like(begun(), qr/^s+$/, 'over TLS');
$run = $server->replay("array[$one], options => '{\"connect_attempts\": 1}'", "host=other.test hostaddr=127.0.0.1 $tls");
like($server->sql("select reason from pgwire_trace.replay_run_session where run_id = $run"),
	qr/does not match host name "other.test"/, 'by another name: it is not let pass');
$run = $server->replay("array[$one], options => '{\"connect_attempts\": 1}'", "host=nowhere.invalid,127.0.0.1 $tls");
is($server->verdicts($run), '', 'a name without an address is left out');
ok($server->node->log_contains('host name "nowhere.invalid" of the target is left out'), 'and the log says so');
$run = $server->replay("array[$one], options => '{\"connect_attempts\": 2, \"connect_delay\": 1}'", "host=nowhere.invalid $tls");
like($server->sql("select reason from pgwire_trace.replay_run_session where run_id = $run"),
	qr/^could not translate host name "nowhere.invalid" to address: /, 'or named');

# ---- a target that restarts, over TLS ----

set_nap($server->node, 0);
set_nap($target, 'case n when 2 then 30 else 0 end');
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
my $napping = "select count(*) = 1 from pg_stat_activity where query like 'select nap(2)%' and wait_event = 'PgSleep'";
begun();
$run = $server->begin_run("array[$lossy], timing => 'asap', options =>"
	  . " '{\"reconnect\": true, \"connect_delay\": 50, \"connect_attempts\": 600}'", "host=localhost $tls");
ok($target->poll_query_until('postgres', $napping), 'it naps');
$target->stop('immediate');
$target->start;
$server->ends($run, 'finished', 'a target that was killed and came back, over TLS');
is($server->verdicts($run), '3:session_lost 6:error_new<3', 'it goes on behind what was lost');
is($server->of_run($run, 'sent, unsent'), '5|2', 'and its transaction is unsent');
like(begun(), qr/^s+$/, 'all over TLS');

# ---- cancel requests ----

set_nap($server->node, 20);
set_nap($target, 20);
my $before = $server->recorded;
for my $name ('one', 'two')
{
	my $client = $server->connect_client(application_name => $name);
	$client->run('select 1');
	$client->send_bytes(query("select nap(1) as $name"));
	ok($server->wait_for("select count(*) = 1 from pg_stat_activity where query = 'select nap(1) as $name'"),
		'a query runs');
	my $cancel = $server->connect_raw;
	$cancel->send_bytes(pack('NNN', 12 + length($client->{key}), 80877102, $client->{pid}) . $client->{key});
	ok($cancel->is_closed_within(10), 'a cancel request');
	$client->until_ready;
	is($client->{error}{C}, '57014', 'cancels it');
	$client->run('select 2');
	$client->send_bytes(terminate());
	$client->close;
	$server->recorded;
}
my $cancelled = $server->sessions_after($before);
# what it was built with is what it calls
my ($library) = `pg_config --pkglibdir` =~ /(.*)/;
my $is_new = slurp_file("$library/pgwire_trace.so") =~ /PQcancelBlocking/;
for my $children (1, 3)
{
	begun();
	$run = $server->begin_run("array[$cancelled], timing => 'asap', compare => 5, options =>"
		  . " '{\"children\": $children, \"max_sessions\": 4}'", "host=localhost $tls");
	$server->ends($run, 'finished', "cancelled queries, $children children");
	is($server->of_run($run, 'sent, unsent') . ' ' . $server->verdicts($run), '8|0 ', 'are cancelled again');
	is($server->of_run($run, 'extract(epoch from finished_at - started_at) < 15'), 't', 'in time');
	if ($is_new)
	{
		like(begun(), qr/^s+$/, 'by requests over TLS');
	}
	else
	{
		is(begun() =~ tr/c//, 2, 'by requests in the clear, as this libpq has no others');
	}
}

# ---- the order of commit, and connections that are lost ----

$server->both('create table contended (id int primary key, n int)');
$server->both('insert into contended select i, 0 from generate_series(1, 3) i');
my $script = $server->node->basedir . '/contended.sql';
append_to_file($script, <<'SQL');
\set id random(1, 3)
begin;
update contended set n = n + 1 where id = :id;
select pg_sleep(0.002);
commit;
SQL
$before = $server->recorded;
my ($status, undef, $err) = run_client([ 'pgbench', '-n', '-f', $script, '-c', '6', '-j', '1', '-t', '40',
		$server->side_connstr . ' application_name=contended' ]);
is($status, 0, 'pgbench ran') or diag($err);
$server->recorded;
my $contended = $server->sessions_after($before);
for my $children (1, 2)
{
	$target->safe_psql('postgres', 'update contended set n = 0');
	$run = $server->begin_run("array[$contended], timing => 'asap', ordering => 'commit', compare => 4, options =>"
		  . " '{\"reconnect\": true, \"connect_delay\": 5, \"connect_attempts\": 100, \"children\": $children}'",
		"host=localhost $tls application_name=x");
	my ($ended, $timeouts) = (0, 0);
	for my $kill (1 .. 6)
	{
		my $goal = 140 * $kill;
		poll(sub {
			my ($sent, $state) = split /\|/, $server->sql("select sent, state from"
				  . " pgwire_trace.replay_progress where run_id = $run");
			return $sent >= $goal || $state eq 'finished';
		});
		$ended += $target->safe_psql('postgres', "select count(pg_terminate_backend(pid)) from"
			  . " pg_stat_activity where application_name = 'pgbench' or query ~ 'contended|pg_sleep'"
			  . ' and pid <> pg_backend_pid()');
		$timeouts = $server->sql("select coalesce(max(order_timeouts), 0) from pgwire_trace.replay_progress where run_id = $run");
	}
	$server->ends($run, 'finished', "connections that are lost in the order of commit, $children children");
	cmp_ok($ended, '>', 0, "$ended connections were ended");
	is($timeouts, 0, 'nobody waits in vain for what was lost');
	is($server->of_run($run, "unsent <= 3 * (select count(*) from pgwire_trace.replay_divergence d"
		  . " where d.run_id = r.run_id and is_root)"), 't', 'no more is unsent than transactions that were lost');
	is($server->sql("select string_agg(distinct verdict, ' ') from pgwire_trace.replay_divergence where run_id = $run"),
		'session_lost', 'and nothing else differs');
	my ($commits, $lost) = split /\|/, $server->sql("select count(*), (select count(*) from"
		  . " pgwire_trace.replay_divergence d where d.run_id = r.run_id) from pgwire_trace.replay_run_exchange r"
		  . " join pgwire_trace.exchange using (session_id, exchange_no) where r.run_id = $run"
		  . " and outcome = 'sent' and command_tag = 'COMMIT' group by r.run_id");
	my $updates = $target->safe_psql('postgres', 'select sum(n) from contended');
	ok($lost > 0 && $updates >= $commits - $lost && $updates <= 240,
		"no transaction ran twice: $updates of $commits, $lost losses");
}

kill 'TERM', $front;
waitpid($front, 0);
done_testing();
