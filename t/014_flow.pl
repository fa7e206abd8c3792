# Bytes pass as they are, much or little of them at a time, whoever reads slowly or hangs up.
use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use IO::Select;
use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(query parse bind_portal execute sync_message startup_packet);
use PostgreSQL::Test::Utils;
use Test::More;

use constant MEMORY => 64 * 1024 * 1024;

my $server = PgwireTrace->start('flow',
	conf => "wal_level = replica\nmax_wal_senders = 5\npgwire_trace.relay_processes = 1\n");
my $directory = PostgreSQL::Test::Utils::tempdir();

# Returns everything that a server sends in answer to bytes, up to its closing the connection.
sub all_bytes
{
	my ($port, $bytes, $half_close) = @_;
	my $client = PgwireTrace::Client->new($port);
	my $got = '';

	$client->login(user => scalar getpwuid($<), database => 'postgres', application_name => 'bytes');
	$client->send_bytes($bytes);
	$client->socket->shutdown(1) if $half_close;
	$client->socket->blocking(1);
	$got .= $client->{buffer};
	while (sysread($client->socket, my $piece, 1 << 18)) { $got .= $piece; }
	return $got;
}

# ---- the same bytes on both ports ----

my $large = query("select g, repeat(md5(g::text), 100) from generate_series(1, 20000) g")
  . query("copy (select g, md5(g::text) from generate_series(1, 300000) g) to stdout")
  . PgwireTrace::Client::terminate();
my $direct = all_bytes($server->node->port, $large);
my $through = all_bytes($server->side_port, $large);
cmp_ok(length $direct, '>', 70_000_000, 'an answer of ' . length($direct) . ' bytes');
is(md5_hex($through), md5_hex($direct), 'comes through the side port as it is');

my $wide = 'x' x 30_000_000;
my $statement = parse('select md5($1), length($1)') . bind_portal(values => [$wide]) . execute()
  . sync_message() . PgwireTrace::Client::terminate();
is(md5_hex(all_bytes($server->side_port, $statement)),
	md5_hex(all_bytes($server->node->port, $statement)), 'a parameter of 30 MB goes the other way');

my $half = query('select generate_series(1, 1000)');
is(md5_hex(all_bytes($server->side_port, $half, 1)), md5_hex(all_bytes($server->node->port, $half, 1)),
	'a client that closes its side after the question gets the answer');

# ---- both directions full at once ----

{
	my $client = $server->connect_client(application_name => 'duplex');
	my $round = parse("select repeat(\$1, 20)") . bind_portal(values => [ 'y' x 100_000 ]) . execute()
	  . sync_message();
	ok($client->send_bytes($round x 100), '10 MB of questions with 200 MB of answers');
	my $types = $client->until_ready(100, 60);
	is($types, '12DCZ' x 100, 'neither side waits for the other for ever');
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
}

# ---- a client that does not read ----

{
	my $lazy = $server->connect_client(application_name => 'lazy');
	my $other = $server->connect_client(application_name => 'other');
	$lazy->send_bytes(query("select repeat('z', 1000000) from generate_series(1, 200)"));
	ok($server->wait_for("select wait_event = 'ClientWrite' from pg_stat_activity where"
		  . " application_name = 'lazy'"), 'a client does not read: the server waits for it');
	cmp_ok($server->stat_relay('bytes_allocated'), '<', MEMORY, 'the relay does not pile it up');
	is($other->run('select 1', 5), 'TDCZ', 'others are served');
	is($lazy->until_ready(1, 60), 'T' . 'D' x 200 . 'CZ', 'when it reads at last, all is there');
	$lazy->send_bytes(query("select repeat('z', 1000000) from generate_series(1, 200)"));
	ok($server->wait_for("select wait_event = 'ClientWrite' from pg_stat_activity where"
		  . " application_name = 'lazy'"), 'once more');
	my $pid = $lazy->{pid};
	$lazy->close(1);
	ok($server->wait_for("select count(*) = 0 from pg_stat_activity where pid = $pid"),
		'it hangs up: the server hears of it');
	ok($server->flush, 'flush()');
	is($server->sql("select end_reason in ('client_reset', 'client_closed'),"
		  . ' (select count(*) from pgwire_trace.exchange e where e.session_id = s.session_id'
		  . "   and kind = 'query' and not is_complete) from pgwire_trace.session s"
		  . " where session_id = pgwire_trace.last_session('lazy')"), 't|1',
		'the record says how it ended, with the open exchange incomplete');
	$other->close;
}

# ---- many clients that do not read ----

{
	my $pid = $server->stat_relay('pid', 'max');
	my $memory = sub { return (slurp_file("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m)[0] };
	my @lazy = map { $server->connect_client(application_name => 'many') } 1 .. 60;
	my $before = $memory->();
	$_->send_bytes(query("select repeat('z', 1000000) from generate_series(1, 50)")) for @lazy;
	ok($server->wait_for("select count(*) = 60 from pg_stat_activity where wait_event = 'ClientWrite'"),
		'60 clients do not read 3 GB of answers');
	my $each = ($memory->() - $before) / 60;
	cmp_ok($each, '<', 200, sprintf('the relay keeps %d kB for each', $each));
	is($server->side_sql('select 1'), '1', 'others are served');
	$_->close(1) for @lazy;
	ok($server->wait_for('select sum(sessions_open) = 0 from pgwire_trace.stat_relay'), 'they hang up');
}

# ---- what the server says unasked ----

{
	my $listener = $server->connect_client(application_name => 'listener');
	is($listener->run('listen news'), 'CZ', 'a client listens');
	$server->sql("notify news, 'extra'");
	my ($type, $body) = $listener->receive(10);
	is($type, 'A', 'and hears of it at once');
	like($body, qr/news\0extra\0\z/, 'what there is to hear');
	is($listener->run("select 'after'"), 'TDCZ', 'then asks on');
	$listener->send_bytes(PgwireTrace::Client::terminate());
	$listener->until_closed;
	ok($server->flush, 'flush()');
	is($server->sql("select string_agg(kind, ' ' order by exchange_no) from pgwire_trace.exchange"
		  . " where session_id = pgwire_trace.last_session('listener')"),
		'startup query async query terminate', 'a notification is an exchange of its own');
}

# ---- replication ----

my ($status, $out, $err) = run_client(
	[ 'pg_basebackup', '-D', "$directory/backup", '-X', 'stream', '-c', 'fast', '-d',
		$server->side_connstr ], env => { PGAPPNAME => 'backup' });
is($status, 0, 'pg_basebackup works through the side port') or diag($err);
($status, $out, $err) = run_client([ 'pg_verifybackup', "$directory/backup" ]);
is($status, 0, 'and its backup is right') or diag($err);
ok($server->flush, 'flush()');
is($server->sql("select count(distinct session_id), string_agg(distinct kind, ' ' order by kind)"
	  . " from pgwire_trace.exchange join pgwire_trace.session using (session_id)"
	  . " where application_name = 'backup'"), '2|copy query replication startup terminate',
	'both its connections are recorded');

is($server->sql(<<'SQL'), '0|0|0', 'what was recorded is certain');
select sum(sessions_desynchronised), sum(restarts),
       (select count(*) from pgwire_trace.exchange where pairing_uncertain)
  from pgwire_trace.stat_relay
SQL
cmp_ok($server->stat_relay('bytes_allocated'), '<', MEMORY, 'in the end the relay holds little');
is($server->duplicates, '0', 'nothing is stored twice');
$server->node->stop;
done_testing();
