# Bytes pass through TLS as they are: much at once, one a record, both ways at the same time, to
# clients that do not read; and a relay that dies takes nothing but its sessions.
use strict;
use warnings;

use IPC::Run ();
use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(query parse bind_portal execute sync_message startup_packet message);
use PgwireTrace::Tls qw(make_certificates start_with_tls tls_client);
use PostgreSQL::Test::Utils;
use Test::More;

use constant MEMORY => 48 * 1024;    # kB

my $server = start_with_tls('tls_bytes', make_certificates(),
	conf => "wal_level = logical\nmax_wal_senders = 5\n");
my $node = $server->node;
my $directory = PostgreSQL::Test::Utils::tempdir();

# Writes bytes to a file for the client; returns its path.
sub file_of
{
	my ($name, $bytes) = @_;
	open my $file, '>:raw', "$directory/$name" or die "$name: $!";
	print $file $bytes;
	close $file;
	return "$directory/$name";
}

# Checks that a client gets the same bytes on both ports.
sub same_bytes
{
	my ($name, $bytes, $least, @how) = @_;
	my $path = file_of($name, $bytes . message('X'));
	my ($main_status, $main, $main_err) = tls_client($node->port, 'send', $path, @how);
	my ($side_status, $side, $side_err) = tls_client($server->side_port, 'send', $path, @how);
	my ($length) = $main =~ / (\d+)$/;

	is($main_status, 0, "$name: on the main port") or diag($main_err);
	is($side_status, 0, "$name: on the side port") or diag($side_err);
	cmp_ok($length // 0, '>', $least, "$name: " . ($length // 'no') . ' bytes of answer');
	is($side, $main, "$name: the same bytes");
	return;
}

# Returns the memory that the relay has in use, in kB.
sub relay_memory
{
	my $pid = $server->stat_relay('pid', 'max');
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;
	return $kb;
}

# ---- the same bytes on both ports ----

my $before = relay_memory();
same_bytes('large', query("select g, repeat(md5(g::text), 100) from generate_series(1, 10000) g")
	  . query("copy (select g, md5(g::text) from generate_series(1, 200000) g) to stdout"), 40_000_000);
same_bytes('wide', parse('select md5($1), length($1)') . bind_portal(values => [ 'x' x 20_000_000 ])
	  . execute() . sync_message(), 40);
my $small = join '', map { query("select $_, repeat('y', $_)") } 1 .. 100;
same_bytes('crumbs', $small, 5000, 'crumbs');
my $round = parse('select repeat($1, 10)') . bind_portal(values => [ 'y' x 100_000 ]) . execute()
  . sync_message();
same_bytes('both ways', $round x 40, 40_000_000);
cmp_ok(relay_memory() - $before, '<', MEMORY, 'the relay has not grown');

# ---- a client that does not read ----

{
	my ($in, $out) = ('', '');
	my $path = file_of('lazy', query("select repeat('z', 1000000) from generate_series(1, 100)")
		  . message('X'));
	my $lazy = IPC::Run::start([ 'python3', "$ENV{PGWT_CLIENTS}/tls.py", $server->side_port, 'lazy',
			$path ], '<', \$in, '>', \$out);
	ok($server->wait_for("select wait_event = 'ClientWrite' from pg_stat_activity where"
		  . " application_name = 'lazy'"), 'a client does not read: the server waits for it');
	cmp_ok(relay_memory() - $before, '<', MEMORY, 'the relay does not pile it up');
	my (undef, $other) = run_client([ 'psql', '-XAtc', "select 'served'", $server->side_connstr
			  . ' sslmode=require' ]);
	is($other, "served\n", 'others are served');
	$in .= "go on\n";
	$lazy->finish;
	like($out, qr/ 1000\d{5}$/m, 'when it reads at last, all is there');
}

# ---- bytes in clear before TLS ----

{
	my $client = $server->connect_raw;
	$client->send_bytes(pack('NN', 8, 80877103)
		  . startup_packet(user => scalar getpwuid($<), database => 'postgres'));
	my $types = $client->until_closed;
	is($types, 'E', 'a startup packet in clear behind SSLRequest is refused');
	is($client->{error}{C}, '08P01', 'as a protocol violation');
	like($client->{error}{M}, qr/unencrypted data after SSLRequest/, 'in these words');

	$client = $server->connect_raw;
	$client->send_bytes(pack('NN', 8, 80877103));
	is($client->receive_byte, 'S', 'SSLRequest is answered S');
	$client->send_bytes(startup_packet(user => scalar getpwuid($<), database => 'postgres'));
	unlike($client->until_closed, qr/[RZ]/, 'a startup packet in clear behind that gets nowhere');
}

# ---- cancelling, other versions, long exchanges ----

is((tls_client($server->side_port, 'cancel'))[1], "57014 closed\n", 'a cancel request over TLS');
is((tls_client($server->side_port, 'login', 2))[1], (tls_client($node->port, 'login', 2))[1],
	'protocol 3.2 is answered as on the main port');
is((tls_client($server->side_port, 'login', 9999, '_pq_.grease=1'))[1],
	(tls_client($node->port, 'login', 9999, '_pq_.grease=1'))[1], 'and so is 3.9999');
like((tls_client($server->side_port, 'login', 2))[1], qr/^vR.*Z 00030000|^RS.*Z/,
	'by a NegotiateProtocolVersion, or none');

my ($status, $out, $err) = run_client(
	[ 'pg_basebackup', '-D', "$directory/backup", '-X', 'stream', '-c', 'fast', '-d',
		$server->side_connstr . ' sslmode=require' ]);
is($status, 0, 'pg_basebackup over TLS') or diag($err);
is((run_client([ 'pg_verifybackup', "$directory/backup" ]))[0], 0, 'its backup is right');
mkdir "$directory/wal";
my $end = $server->sql('select pg_current_wal_lsn()');
my $receiver = IPC::Run::start([ 'pg_receivewal', '-D', "$directory/wal", '-s', '1', '-d',
		$server->side_connstr . ' sslmode=require' ], '>', \my $wal_out, '2>', \my $wal_err);
ok($server->wait_for("select count(*) = 1 from pg_stat_replication where state = 'streaming'"),
	'pg_receivewal over TLS');
$server->sql('select pg_switch_wal()');
ok(poll(sub { glob("$directory/wal/*[0-9A-F]") }), 'it receives');
is($server->sql("select bool_and(client_addr = '127.0.0.1') from pg_stat_replication"), 't',
	'as the client that it is');
$receiver->signal('INT');
$receiver->finish;

my $slot = $server->sql("select pg_create_logical_replication_slot('s', 'test_decoding')");
($status, $out, $err) = run_client([ 'pg_recvlogical', '-S', 's', '--start', '-f', '-', '-E',
		$server->sql("create table l (n int); insert into l values (4711);"
			  . ' select pg_current_wal_lsn()'), '-d', $server->side_connstr . ' sslmode=require' ]);
like($out, qr/table public.l: INSERT: n\[integer\]:4711/, 'pg_recvlogical over TLS') or diag($err);

# a subscription of another database here, whose slot is made by hand
$server->node->safe_psql('postgres', 'create database other');
$server->sql("create table copied (n int primary key); insert into copied values (1);"
	  . " create publication p for table copied");
$server->sql("select pg_create_logical_replication_slot('subscribed', 'pgoutput')");
$server->node->safe_psql('other', 'create table copied (n int primary key)');
$server->node->safe_psql('other', "create subscription subscribed connection '" . $server->side_connstr
	  . " sslmode=require' publication p with (create_slot = false, copy_data = true)");
$server->sql('insert into copied values (2)');
ok($server->wait_for('select count(*) = 2 from copied', 't', 'other'),
	'a subscription over TLS: its first copy, and what comes later');
is($server->sql("select ssl from pg_stat_replication join pg_stat_ssl using (pid) where"
	  . " application_name = 'subscribed'"), 't', 'the server sees TLS');
$server->node->safe_psql('other', 'drop subscription subscribed');

# ---- drivers ----

SKIP:
{
	my $script = "$ENV{PGWT_CLIENTS}/psycopg3.py";
	skip 'python3-psycopg is not installed', 1
	  if (run_client([ 'python3', '-c', 'import psycopg' ]))[0] != 0;
	($status, $out, $err) = run_client([ 'python3', $script, $server->side_connstr
			  . ' sslmode=require' ]);
	is($status, 0, 'psycopg 3 over TLS') or diag("$out$err");
}
SKIP:
{
	skip 'node-pg is not installed', 2 unless $ENV{PGWT_NODE_PATH};
	my $program = <<'JS';
const { Client } = require('pg');
const client = new Client({ connectionString: process.argv[2], ssl: { rejectUnauthorized: false } });
client.connect()
  .then(() => client.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()'))
  .then((r) => { console.log(r.rows[0].ssl); return client.end(); })
  .catch((e) => { console.error(e); process.exit(1); });
JS
	($status, $out, $err) = run_client([ 'node', '-', 'postgres://' . getpwuid($<) . '@127.0.0.1:'
			  . $server->side_port . '/postgres' ], stdin => $program,
		env => { NODE_PATH => $ENV{PGWT_NODE_PATH} });
	is($status, 0, 'node-pg over TLS') or diag($err);
	is($out, "true\n", 'has it');
}

# ---- the relay dies ----

{
	my ($in, $out) = ('', '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', $server->side_connstr
			  . ' sslmode=require application_name=dying' ], '<', \$in, '>', \$out, '2>', \my $errors);
	$in .= "select 'alive';\n";
	ok(poll(sub { $session->pump_nb; $out =~ /alive/ }), 'a session');
	ok($server->flush, 'flush()');
	my $pid = $server->stat_relay('pid', 'max');
	kill 'KILL', $pid;
	ok($server->wait_for("select bool_and(pid <> $pid) from pgwire_trace.stat_relay"),
		'the relay dies, there is another');
	$server->wait_for_side_port;
	(undef, $out) = run_client([ 'psql', '-XAtc', "select 'again'", $server->side_connstr
			  . ' sslmode=require' ]);
	is($out, "again\n", 'which has the certificate at once');
	$in .= "select 'dead';\n\\q\n";
	$session->finish;
	like($errors, qr/closed unexpectedly|SSL|terminated/i, 'the session is cut');
	ok($server->wait_for("select end_reason = 'relay_died' from pgwire_trace.session where session_id ="
		  . " pgwire_trace.last_session('dying')"), 'and the record says of what it died');
}

ok($server->flush, 'flush()');
is($server->sql(<<'SQL'), '0|0', 'what was recorded is certain');
select sum(sessions_desynchronised),
       (select count(*) from pgwire_trace.exchange where pairing_uncertain)
  from pgwire_trace.stat_relay
SQL
is($server->duplicates, '0', 'nothing is stored twice');
$node->stop;
done_testing();
