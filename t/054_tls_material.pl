# Certificates and keys: with a passphrase, slow to come, swapped on disk with one side reloaded;
# and those of clients, by which the server judges them.
use strict;
use warnings;

use IPC::Run ();
use PgwireTrace qw(poll run_client);
use PgwireTrace::Tls qw(make_certificates start_with_tls);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $certificates = make_certificates();
my $calls = PostgreSQL::Test::Utils::tempdir() . '/calls';
my $server = start_with_tls('material', $certificates, hba => <<'HBA', conf => <<"CONF");
local all all trust
hostssl all scrammed 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
HBA
ssl_ca_file = '@{[$certificates->path('root.crt')]}'
ssl_crl_file = '@{[$certificates->path('root.crl')]}'
ssl_passphrase_command = 'echo %p >> $calls; echo secret'
CONF
my $node = $server->node;

$server->sql("set password_encryption = 'scram-sha-256'; create role scrammed login password 'x'");


# Runs a query with TLS; returns its output, or the error without its address.
sub ask
{
	my ($port, $options, $sql) = @_;
	my ($status, $out, $err) = run_client([ 'psql', '-XAtqc', $sql // "select 'in'",
			"host=127.0.0.1 port=$port dbname=postgres sslmode=require connect_timeout=30 $options" ],
		env => { PGPASSWORD => 'x' });
	chomp $out;
	$err =~ s/^.*?failed: //s;
	return $status == 0 ? $out : $err;
}

sub side { return ask($server->side_port, @_); }
sub bound { return side('user=scrammed channel_binding=require'); }

# Returns a client's certificate and key as libpq's options.
sub shows
{
	my ($name) = @_;
	return "sslcert=" . $certificates->path("$name.crt") . " sslkey=" . $certificates->path("$name.key");
}

# Returns the supervisor's pid.
sub supervisor_pid
{
	my $relay = $server->stat_relay('pid', 'max');
	my ($parent) = slurp_file("/proc/$relay/status") =~ /^PPid:\s+(\d+)/m;
	return $parent;
}

# Puts a certificate on disk with its key encrypted.
sub install_encrypted
{
	my ($name, $passphrase) = @_;
	my $key = $node->data_dir . '/server.key';

	$certificates->install($server, $name);
	PgwireTrace::Tls::openssl('ec', '-in', $certificates->path("$name.key"), '-aes256', '-passout',
		"pass:$passphrase", '-out', "$key.new");
	chmod 0600, "$key.new";
	rename "$key.new", $key;
	return;
}

# Waits for a line in the server's log from an offset on.
sub logged
{
	my ($pattern, $offset) = @_;
	return poll(sub { slurp_file($node->logfile, $offset) =~ /$pattern/ });
}

# Says what certificate a port shows.
sub shown
{
	my ($port) = @_;
	my (undef, $out) = run_client([ 'openssl', 's_client', '-starttls', 'postgres', '-connect',
			"127.0.0.1:$port" ], stdin => "\n");
	my ($certificate) = $out =~ /(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)/s;
	return $certificate // 'none';
}

# ---- clients' certificates ----

for my $case ([ '', 'none' ], [ shows('alice'), 'a good one' ], [ shows('server'), "the server's own" ],
	[ shows('stranger'), 'of an authority that nobody knows' ], [ shows('revoked'), 'one that is revoked' ])
{
	my ($options, $name) = @$case;
	my $facts = 'select client_dn, client_serial, issuer_dn, ssl from pg_stat_ssl where pid = pg_backend_pid()';
	for my $version ('TLSv1.3', 'TLSv1.2')
	{
		my $how = "user=scrammed $options ssl_max_protocol_version=$version";
		is(side($how, $facts), ask($node->port, $how, $facts),
			"a client's certificate: $name: as on the main port, $version");
	}
}
like(side(shows('alice'), 'select client_dn from pg_stat_ssl where pid = pg_backend_pid()'),
	qr/^.CN=alice$/, 'the server sees the good one');

my $directory = PostgreSQL::Test::Utils::tempdir();
PgwireTrace::Tls::openssl('x509', '-in', $certificates->path('root.crt'), '-out', "$directory/root.pem");
run_client([ 'cp', $certificates->path('root.crl'), "$directory/root.crl" ]);
PgwireTrace::Tls::openssl('rehash', $directory);
$server->set(ssl_crl_file => '', ssl_crl_dir => $directory);
ok(poll(sub { side(shows('revoked')) =~ /revoked/ }), 'ssl_crl_dir');
is(side(shows('alice')), 'in', 'only those who are in it');

$certificates->make('huge', 'alice', 'root', 'nsComment=' . 'x' x 17_000);
like(side(shows('huge')), qr/client certificate of \d{5} bytes is too long.*16384/,
	'a certificate of more than 16 kB is refused by name');

# ---- one side reloaded ----

$certificates->install($server, 'other');
my $old = shown($node->port);
my $relay = $server->stat_relay('pid', 'max');
is(shown($server->side_port), $old, 'a new certificate on disk: both show the old one');
kill 'KILL', $relay;
ok($server->wait_for("select pid not in (0, $relay) from pgwire_trace.stat_relay"), 'a relay dies');
is(shown($server->side_port), $old, 'so does the next relay');
is(bound(), 'in', 'channel binding works');

kill 'HUP', supervisor_pid();
ok(poll(sub { shown($server->side_port) ne $old }), 'our side alone is reloaded');
is(shown($node->port), $old, 'the server shows the old one');
is(side(''), 'in', 'the server is known by the certificate of before');
like(bound(), qr/channel binding/, 'a channel cannot be bound to it');

$certificates->install($server, 'server');
kill 'HUP', supervisor_pid();
ok(poll(sub { shown($server->side_port) eq $old }), 'back');
$certificates->make('third', 'localhost', 'root', 'subjectAltName=IP:127.0.0.1');
for my $name (qw(third other))
{
	$certificates->install($server, $name);
	my $before = shown($server->side_port);
	kill 'HUP', supervisor_pid();
	ok(poll(sub { shown($server->side_port) ne $before }), 'our side is reloaded once more');
}
like(side(''), qr/another certificate than pgwire_trace does; reload/, 'then nobody knows the server');
like($server->stat_relay('last_error', 'max'), qr/another certificate/, 'as stat_relay says');
$node->reload;
ok(poll(sub { bound() eq 'in' }), 'the server is reloaded: all is well');

my $supervisor = supervisor_pid();
kill 'STOP', $supervisor;
$certificates->install($server, 'server');
$node->reload;
ok(poll(sub { shown($node->port) eq $old }), 'the server alone is reloaded');
my ($waiting_in, $waiting_out) = ('', '');
my $waiting = IPC::Run::start([ 'psql', '-XAtqc', "select 'in'", $server->side_connstr
		  . ' sslmode=require' ], '<', \$waiting_in, '>', \$waiting_out);
Time::HiRes::usleep(100_000) for 1 .. 3;
kill 'CONT', $supervisor;
$waiting->finish;
is($waiting_out, "in\n", 'a client waits until we are, and gets in');

# ---- a key with a passphrase ----

ok(!-e $calls, 'the command is not run for a key without passphrase');
install_encrypted('other', 'secret');
my $offset = -s $node->logfile;
$node->reload;
ok(logged('pgwire_trace: private key file .* cannot be reloaded because it requires a passphrase', $offset),
	'at a reload the command is not run');
is(bound(), 'in', 'the certificate of before stays in use');
$node->restart;
$server->wait_for_side_port;
ok(poll(sub { bound() eq 'in' }), 'at a start it is');
like(slurp_file($calls), qr/^Enter PEM pass phrase:$/m, 'with its prompt');

$server->set(ssl_passphrase_command_supports_reload => 'on');
install_encrypted('server', 'secret');
$node->reload;
ok(poll(sub { shown($server->side_port) eq $old && bound() eq 'in' }), 'at a reload, if it may be');
install_encrypted('other', 'unknown');
$offset = -s $node->logfile;
$node->reload;
ok(logged('pgwire_trace: could not load private key file', $offset), 'a wrong passphrase');
is(bound(), 'in', 'changes nothing');

# the server itself waits for its command; ours alone is asked here
install_encrypted('server', 'secret');
$server->sql("alter system set ssl_passphrase_command = 'sleep 3; echo secret'");
$server->sql('create database dropped');
$supervisor = supervisor_pid();
kill 'HUP', $supervisor;
ok(poll(sub { slurp_file("/proc/$supervisor/task/$supervisor/children") =~ /\d+ \d+/ }),
	'a slow command runs in a child');
my $begun = Time::HiRes::time();
$server->sql('drop database dropped');
cmp_ok(Time::HiRes::time() - $begun, '<', 2, 'the supervisor answers the server meanwhile');
ok(poll(sub { slurp_file("/proc/$supervisor/task/$supervisor/children") !~ /\d+ \d+/ }), 'it ends');

# ---- a supervisor that dies ----

{
	my $before = shown($node->port);
	is(shown($server->side_port), $before, 'both show the same');
	$certificates->install($server, $before eq $old ? 'other' : 'server');
	my $supervisor = supervisor_pid();
	kill 'KILL', $supervisor;
	ok(poll(sub { (eval { supervisor_pid() } // $supervisor) != $supervisor && side('') eq 'in' }),
		'the supervisor dies, and the server restarts its sessions');
	is(shown($node->port), $before, 'the server goes on with the certificate that it has');
	is(shown($server->side_port), $before, 'and so do we, whatever is on disk');
	$supervisor = supervisor_pid();
	kill 'TERM', $supervisor;
	ok(poll(sub { (eval { supervisor_pid() } // $supervisor) != $supervisor && side('') eq 'in' }),
		'the supervisor is ended');
	is(shown($server->side_port), $before, 'the same');
	$certificates->install($server, 'server');
	$node->reload;
	ok(poll(sub { shown($server->side_port) eq $old && bound() eq 'in' }), 'a reload reads what is on disk');
}

# ---- a first time that fails ----

{
	# it works for the server, then not at all until later
	my $once = PostgreSQL::Test::Utils::tempdir() . '/once';
	install_encrypted('server', 'secret');
	$server->sql('alter system set ssl_passphrase_command = $$test -e ' . "$once.late && echo secret || "
		  . "{ test ! -e $once && touch $once && echo secret; }" . '$$');
	$node->restart;
	ok(poll(sub { ($server->try_sql("select 1 from pgwire_trace.stat_relay where last_error ~"
			. " 'clients get no TLS until it can be read'"))[1] }),
		'a passphrase command that fails at the start: stat_relay says so');
	like(side(''), qr/does not support SSL/, 'and there is no TLS');
	append_to_file("$once.late", '');
	ok(poll(sub { bound() eq 'in' }), 'it is tried again without a reload');
	$server->sql("alter system set ssl_passphrase_command = 'sleep 3; echo secret'");
	$node->reload;
}

$node->stop;
$node->start;
my $answer = side('');
is($answer, 'in', 'a client that comes while the first one runs waits for it');

is($server->stat_relay('restarts'), '0', 'no relay died of it');
$node->stop;
done_testing();
