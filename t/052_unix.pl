# The side port's Unix sockets: reachable, named and locked as the server's own, with their
# permissions, never left behind, never taken from a living owner.
use strict;
use warnings;

use IO::Socket::UNIX ();
use PgwireTrace qw(poll run_client);
use PgwireTrace::Tls qw(make_certificates);
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir_short();
my $other = PostgreSQL::Test::Utils::tempdir_short();
my $group = (split ' ', $( )[0];
my $server = PgwireTrace->start('unix', started => 0, hba => <<'HBA', conf => <<"CONF");
local all by_peer peer
local all all trust
host all all 127.0.0.1/32 trust
HBA
ssl = on
unix_socket_permissions = 0750
unix_socket_group = '$group'
pgwire_trace.unix_socket_directories = '$directory'
pgwire_trace.max_sessions = 20
CONF
my $node = $server->node;
my $socket = "$directory/.s.PGSQL." . $server->side_port;

make_certificates()->install($server, 'server');
$node->start;
$server->create_extension;

# Runs a query through a Unix socket of the side port; returns psql's status, output, errors.
sub psql
{
	my ($where, $sql, $options) = @_;
	my ($status, $out, $err) = run_client([ 'psql', '-XAtq', '-c', $sql,
			"host=$where port=" . $server->side_port . " dbname=postgres " . ($options // '') ]);
	chomp $out;
	return ($status, $out, $err);
}

# Waits until a client gets in through a directory's socket.
sub reachable
{
	my ($where) = @_;
	return poll(sub { (psql($where, "select 'in'"))[1] eq 'in' });
}

# Returns the first line of the socket's lock file.
sub lock_owner
{
	my ($path) = @_;
	return (split /\n/, slurp_file("$path.lock"))[0];
}

# Returns the supervisor's pid.
sub supervisor_pid
{
	my $relay = $server->stat_relay('pid', 'max');
	my ($parent) = slurp_file("/proc/$relay/status") =~ /^PPid:\s+(\d+)/m;
	return $parent;
}

# ---- connecting ----

is((psql($directory, "select 'in', inet_client_addr(), inet_client_port()",
			'application_name=socket'))[1], 'in||', 'psql through the Unix socket');
ok($server->flush, 'flush()');
is($server->sql("select client_addr is null, client_port, tls_version is null, end_reason from"
	  . " pgwire_trace.session where session_id = pgwire_trace.last_session('socket')"),
	't|-1|t|terminate', 'its row has no address');
{
	my $raw = IO::Socket::UNIX->new(Peer => $socket) or die "connecting: $!";
	syswrite $raw, pack('NN', 8, 80877103);
	sysread $raw, my $answer, 1;
	is($answer, 'N', 'SSLRequest is answered N, as the server does');
}
$server->sql('create role by_peer login');
like((psql($directory, 'select 1', 'user=by_peer'))[2], qr/Peer authentication failed|peer/i,
	'peer: another name is refused');
$server->set('pgwire_trace.upstream' => 'unix');
is((psql($directory, "select 'in'"))[1], 'in', 'upstream = unix');
$server->set('pgwire_trace.upstream' => 'tcp');

# ---- what lies in the directory ----

my @status = stat $socket;
is(sprintf('%o', $status[2] & 07777), '750', 'unix_socket_permissions');
is($status[5], $group, 'unix_socket_group');
is(lock_owner($socket), supervisor_pid(), 'the lock file names its owner');
is((split /\n/, slurp_file("$socket.lock"))[1], $node->data_dir, 'and the data directory');

# ---- other directories ----

$server->set('pgwire_trace.unix_socket_directories' => "$other, \@pgwt" . $server->side_port);
ok(reachable($other), 'another directory by a reload');
ok(reachable('@pgwt' . $server->side_port), 'an abstract socket');
ok(poll(sub { !-e $socket && !-e "$socket.lock" }), 'the old one is removed');
$server->set('pgwire_trace.unix_socket_directories' => '/tmp/' . 'x' x 100);
ok($server->wait_for("select bool_or(last_error ~ 'too long') from pgwire_trace.stat_relay"),
	'a path that is too long');

# ---- somebody else's ----

append_to_file("$socket.lock", "$$\n/elsewhere\n");
append_to_file($socket, '');
$server->set('pgwire_trace.unix_socket_directories' => $directory);
ok($server->wait_for("select bool_or(last_error ~ 'process $$ uses it') from"
	  . ' pgwire_trace.stat_relay'), 'a living owner keeps it');
ok(-f $socket, 'nothing is removed');
is($server->side_sql("select 'tcp'"), 'tcp', 'other ways in are open');
unlink "$socket.lock";
ok(reachable($directory), 'once its lock is gone it is ours');

# ---- deaths ----

my $before = lock_owner($socket);
kill 'KILL', $before;
ok(poll(sub { (-e "$socket.lock" && lock_owner($socket) ne $before) && reachable($directory) }),
	'the supervisor dies: the next one takes over');
my $postmaster = $server->postmaster_pid;
kill 'KILL', $postmaster;
ok($server->wait_until_down($postmaster), 'the postmaster dies');
$server->start_again;
ok(reachable($directory), 'the next server takes over');
$node->stop('immediate');
$node->start;
ok(reachable($directory), 'after an immediate shutdown too');
$node->stop;
ok(!-e $socket && !-e "$socket.lock", 'a stop leaves nothing behind');

# ---- a server without TCP ----

$node->start;
$server->sql("alter system set listen_addresses = ''");
$server->sql("alter system set pgwire_trace.upstream = 'unix'");
$node->restart;
ok(reachable('127.0.0.1'), 'a server without TCP has a side port with it');
(undef, undef, my $err) = psql('127.0.0.1', 'select 1', 'sslmode=require');
like($err, qr/does not support SSL/, 'where there is no TLS');
like($server->stat_relay('last_error', 'max'), qr/clients get no TLS: the server listens on no TCP/,
	'and stat_relay says why');
$node->stop;

done_testing();
