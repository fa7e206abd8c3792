# The supervisor: what it listens on, what it says when it can't, and that its own end, or that of
# the writer, is no more than a pause.
use strict;
use warnings;

use IO::Socket::INET ();
use PgwireTrace qw(poll);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $server = PgwireTrace->start('supervisor', database => 'recorded');
my $node = $server->node;

# Returns the supervisor's pid: the parent of its relays.
sub supervisor_pid
{
	my $relay = $server->stat_relay('pid', 'max');
	my ($parent) = slurp_file("/proc/$relay/status") =~ /^PPid:\s+(\d+)/m;
	return $parent;
}

# Says whether something listens on an address and the side port.
sub listens
{
	my ($address, $port) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port // $server->side_port,
		Proto => 'tcp', Timeout => 5);
	return defined $socket;
}

# Waits for a line in the server's log from an offset on.
sub logged
{
	my ($pattern, $offset) = @_;
	return poll(sub { slurp_file($node->logfile, $offset) =~ /$pattern/ });
}

# ---- what a relay is, seen from outside ----

{
	my $relay = $server->stat_relay('pid', 'max');
	my $status = slurp_file("/proc/$relay/status");
	my $descriptors = join ' ', map { readlink($_) // '' } glob("/proc/$relay/fd/*");
	my $postmaster = $server->postmaster_pid;

	like(slurp_file("/proc/$relay/cmdline"), qr/pgwire_trace relay 0/, 'a relay says what it is');
	unlike($status, qr/^PPid:\s+$postmaster$/m, 'it is no child of the postmaster');
	unlike(slurp_file("/proc/$relay/maps"), qr{SYSV|/dev/shm/PostgreSQL},
		'it has no part in shared memory');
	my $data = $node->data_dir;
	unlike($descriptors, qr{\Q$data\E/(?:base|global|pg_wal)}, 'nor any file of the data directory');
	is((split ' ', slurp_file("/proc/$relay/stat"))[5], $relay, 'it leads a session of its own');
}

# ---- what is listened on ----

{
	my $offset = -s $node->logfile;

	$server->set('pgwire_trace.listen_addresses' => '127.0.0.1, 192.0.2.1, no-such-host.invalid');
	ok(logged(qr/could not listen on 192\.0\.2\.1:\d+: Cannot assign requested address/, $offset),
		'an address that is not this host\'s is named, with the reason');
	ok(logged(qr/could not resolve host name "no-such-host\.invalid"/, $offset),
		'an unknown host is named');
	like($server->stat_relay('last_error', 'max'), qr/listen on|resolve/, 'in stat_relay as well');
	ok(poll(sub { listens('127.0.0.1') }), 'the others are listened on');
	is($server->side_sql('select 1'), '1', 'and serve');
}

{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $blocker = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1,
		ReuseAddr => 1, Proto => 'tcp') // die "could not listen: $!";
	my $offset = -s $node->logfile;
	my $before = $server->side_port;

	$server->set('pgwire_trace.listen_addresses' => '127.0.0.1', 'pgwire_trace.port' => $port);
	ok(logged(qr/could not listen on 127\.0\.0\.1:$port: Address already in use/, $offset),
		'a port in use is an error in the log');
	like($server->stat_relay('last_error', 'max'), qr/could not listen on 127\.0\.0\.1:$port/,
		'and in stat_relay');
	ok(poll(sub { !listens('127.0.0.1', $before) }), 'the port of before is not kept in its place');
	Time::HiRes::usleep(100_000);
	close $blocker;
	$server->{side_port} = $port;
	ok(poll(sub { listens('127.0.0.1') && ($server->try_side_sql('select 1'))[0] == 0 }),
		'it is taken as soon as it is free');
	my $errors = () = slurp_file($node->logfile, $offset) =~ /could not listen/g;
	is($errors, 1, 'the error was logged once');
}

{
	my $offset = -s $node->logfile;

	$server->set('pgwire_trace.port' => 0);
	ok(poll(sub { !listens('127.0.0.1') }), 'port 0: nothing is listened on');
	$server->set('pgwire_trace.port' => $server->side_port);
	ok(poll(sub { ($server->try_side_sql('select 1'))[0] == 0 }), 'and again with a port');
}

# ---- where the server is ----

{
	$server->set('pgwire_trace.upstream' => 'unix');
	ok(poll(sub { ($server->try_side_sql('select inet_server_addr() is null and'
					. ' inet_client_addr() is not null'))[1] eq 't' }),
		'upstream = unix goes through the Unix socket');
	$server->set('pgwire_trace.upstream' => 'tcp');
	ok(poll(sub { ($server->try_side_sql('select client_port > 0 from pg_stat_activity'
					. ' where pid = pg_backend_pid()'))[1] eq 't' }),
		'upstream = tcp goes through TCP');
	$node->adjust_conf('postgresql.conf', 'listen_addresses', "''");
	$node->restart;
	ok($server->wait_for("select max(last_error) ~ 'listens on no TCP address.*upstream'"
			. ' from pgwire_trace.stat_relay'), 'a server without TCP is an error that names the way out');
	my ($status, $out, $err) = $server->try_side_sql('select 1');
	isnt($status, 0, 'a client is refused then');
	like($err, qr/could not connect to the PostgreSQL server/, 'and told why');
	$server->set('pgwire_trace.upstream' => 'unix');
	ok(poll(sub { ($server->try_side_sql('select 1'))[0] == 0 }), 'and the way out works');
	$node->adjust_conf('postgresql.conf', 'listen_addresses', "'127.0.0.1'");
	$server->set('pgwire_trace.upstream' => 'tcp');
	$node->restart;
	$server->wait_for_side_port;
}

# ---- its own end ----

{
	my $before = supervisor_pid();
	my $start = $server->sql('select pg_postmaster_start_time()');
	my $main = $node->background_psql('recorded');

	is($main->query('select 1'), '1', 'a session on the main port') if $main->can('query');
	kill 'TERM', $before or die "could not signal the supervisor: $!";
	ok(poll(sub { !kill(0, $before) }), 'a supervisor that is told to ends');
	ok(poll(sub { ($server->try_side_sql('select 1'))[0] == 0 }), 'another one serves in its place');
	isnt(supervisor_pid(), $before, 'another one indeed');
	is($server->sql('select pg_postmaster_start_time()'), $start, 'the server did not notice');
	ok($server->wait_for("select count(*) = 1 from pg_stat_activity"
			. " where backend_type = 'pgwire_trace writer'"), 'there is one writer');
	ok($server->flush, 'which stores');
	$main->quit if $main->can('quit');
}

{
	my $before = $server->worker_pid('writer');

	$server->sql("select pg_terminate_backend($before)");
	ok($server->wait_for("select count(*) = 1 from pg_stat_activity where backend_type ="
			. " 'pgwire_trace writer' and pid <> $before"), 'a writer that was ended is started again');
	ok($server->flush, 'and stores');
}

# ---- others cannot send the writer away ----

{
	my $before = $server->worker_pid('writer');

	$server->sql('create role nobody_special login; create role creator login createdb');
	for my $command ('drop database recorded', 'alter database recorded rename to other',
		'alter database recorded set tablespace pg_default', 'create database copy template recorded')
	{
		for my $role ('nobody_special', 'creator')
		{
			my ($status) = $server->try_sql("set role $role;\n$command", 'postgres');
			isnt($status, 0, "$role may not: $command");
		}
	}
	is($server->worker_pid('writer'), $before, 'and the writer did not notice');
	$server->sql('create database copy template recorded', 'postgres');
	isnt($server->worker_pid('writer'), $before, 'it goes for a command that may run');
}

# ---- a relay that stands still ----

{
	my $relay = $server->stat_relay('pid', 'max');
	my $offset = -s $node->logfile;

	kill 'STOP', $relay or die "could not stop the relay: $!";
	ok(logged(qr/relay 0 \(PID $relay\) did not answer for \d+ seconds/, $offset),
		'a relay without a heartbeat is ended');
	ok(poll(sub { ($server->try_side_sql('select 1'))[0] == 0 }), 'the next one serves');
}

# ---- no place for workers ----

{
	$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
	$node->restart;
	ok($server->wait_for("select last_error ~ 'max_worker_processes' from pgwire_trace.stat_writer"),
		'without a place for the writer stat_writer says what to raise');
	is($server->side_sql('select 1'), '1', 'clients are served');
	my ($status, $out, $err) = $server->try_sql("select pgwire_trace.flush('50 ms')");
	isnt($status, 0, 'flush() does not pretend');
	like($err, qr/max_worker_processes/, 'and says why');
}

$node->stop;
done_testing();
