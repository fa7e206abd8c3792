# pg_hba.conf as it comes: the Docker image's, Debian's and initdb's, with clients from another
# address; the server's own deadline when the relay is no help; servers that listen elsewhere, and
# another program in their place.
use strict;
use warnings;

use PgwireTrace::Net;
use IO::Socket::INET;
use IO::Socket::IP ();
use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(startup_packet);
use PgwireTrace::Login qw(compare_logins login_all);
use PostgreSQL::Test::Utils;
use Test::More;

my $right = 'right-4711';
my $me = getpwuid($<);
my $addresses = join ',', '127.0.0.1', PgwireTrace::Net::SERVER;
my $conf = "listen_addresses = '$addresses'\npgwire_trace.listen_addresses = '$addresses'\n"
  . "authentication_timeout = 2s\nmax_wal_senders = 5\nwal_level = replica\n";
my %files = (
	docker => <<'HBA',
local all all trust
host all all 127.0.0.1/32 trust
host all all ::1/128 trust
local replication all trust
host replication all 127.0.0.1/32 trust
host replication all ::1/128 trust
host all all all scram-sha-256
HBA
	initdb => <<'HBA',
local all all trust
host all all 127.0.0.1/32 trust
host all all ::1/128 trust
local replication all trust
host replication all 127.0.0.1/32 trust
host replication all ::1/128 trust
HBA
	debian => <<"HBA",
local all $me peer
local all all peer
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
local replication all peer
host replication all 127.0.0.1/32 scram-sha-256
host replication all ::1/128 scram-sha-256
host all all 10.77.0.0/24 scram-sha-256
HBA
);

for my $name (sort keys %files)
{
	my $server = PgwireTrace->start($name, hba => $files{$name}, conf => $conf, extension => 0);
	my $is_out = $name eq 'initdb'; # nothing is said of other addresses

	$server->sql("create extension pgwire_trace; create role alice login superuser password '$right'");
	ok(poll(sub { (login_all({ host => '127.0.0.1', port => $server->side_port, user => 'alice',
						password => $right }))[0]{verdict} eq 'in' }), "$name: loopback is let in");
	compare_logins($server, [
		{ name => "$name, right password", user => 'alice', password => $right, asks => 1,
			direct => $is_out ? 'refused' : 'in', expect => 'same' },
		{ name => "$name, wrong password", user => 'alice', password => 'wrong', asks => 1,
			direct => 'refused', expect => 'same' },
		{ name => "$name, replication", user => 'alice', password => $right, asks => 1,
			replication => 'true', direct => 'refused', expect => 'same' } ]);

	my ($status, $out, $err) = run_client([ 'psql', '-XAtwqc', 'select 1', 'host='
			. PgwireTrace::Net::SERVER . ' port=' . $server->side_port
			. ' user=alice dbname=postgres' ]);
	like($err, $is_out ? qr/no pg_hba.conf entry for host "10\.77\.0\.2"/
		: qr/no password supplied/, "$name: psql without a password from another address");
	is($out, '', "$name: gets nothing");

	if ($name eq 'docker')
	{
		my $offset = -s $server->node->logfile;
		my $relay = $server->stat_relay('pid', 'max');

		# asked by the server's inner call, with nobody to answer and no relay to hang up
		my $client = PgwireTrace::Client->new($server->side_port, PgwireTrace::Net::CLIENT);
		$client->send_bytes(startup_packet(user => 'alice', database => 'postgres'));
		my ($type, $body) = $client->receive;
		is($type . unpack('N', $body), 'R10', 'asked for a password');
		kill('STOP', $relay);
		ok(poll(sub { slurp_file($server->node->logfile, $offset)
				=~ /canceling authentication due to timeout/ }),
			'authentication_timeout holds for the inner authentication');
		kill('CONT', $relay);
		unlike($client->until_closed, qr/Z/, 'and ends the connection');
	}
	$server->node->stop;
}

# ---- carriers come from where the server listens ----

for my $where ('::1', PgwireTrace::Net::OWN)
{
	my $server = PgwireTrace->start($where =~ /:/ ? 'listens6' : 'listens4', extension => 0, hba => <<"HBA", conf => <<"CONF");
local all all trust
host all all $where/${\($where =~ /:/ ? 128 : 32)} trust
host all all 10.77.0.2/32 scram-sha-256
HBA
listen_addresses = '$where'
pgwire_trace.listen_addresses = '${\PgwireTrace::Net::SERVER}'
CONF
	my %job = (host => PgwireTrace::Net::SERVER, port => $server->side_port, user => 'alice',
		password => $right, query => "select inet_client_addr() || ' ' || inet_server_addr()");

	$server->sql("create role alice login password '$right'");
	ok(poll(sub { (login_all({%job}))[0]{verdict} eq 'in' }), "server on $where: let in");
	my ($in, $out) = login_all({%job}, { %job, password => 'wrong' });
	is($in->{row}, PgwireTrace::Net::CLIENT . '/32 ' . ($where =~ /:/ ? "$where/128" : "$where/32"),
		"server on $where: client and server");
	is_deeply([ @$out{qw(verdict sqlstate)} ], [ 'refused', '28P01' ],
		"server on $where: a wrong password is refused");
	$server->node->stop;
}

# ---- a server that is named, not numbered ----

{
	# 127.0.0.1 is nobody's; another machine has a name with as many addresses as relays try
	append_to_file('/etc/hosts', join('', map { "10.66.0.7$_ alien.example.test\n" } 1 .. 8));
	my $server = PgwireTrace->start('named', extension => 0, hba => <<'HBA', conf => <<"CONF");
local all all trust
host all all 10.77.0.2/32 scram-sha-256
host all all all trust
HBA
listen_addresses = 'server.example.test'
pgwire_trace.listen_addresses = '${\PgwireTrace::Net::OWN}'
authentication_timeout = 3s
CONF
	my %job = (host => PgwireTrace::Net::OWN, port => $server->side_port, user => 'alice',
		password => $right, query => "select inet_client_addr() || ' ' || inet_server_addr()");

	$server->sql("create role alice login password '$right'; create extension pgwire_trace");
	my $result;
	ok(poll(sub { ($result) = login_all({%job}); $result->{verdict} eq 'in' }),
		'a server that listens by its name alone is found');
	is($result->{row}, PgwireTrace::Net::OWN . '/32 ' . PgwireTrace::Net::SERVER . '/32', 'by its address');
	is($server->stat_relay('last_error', 'max'), '', 'nothing to complain of');

	$server->sql("alter system set listen_addresses = 'alien.example.test, server.example.test, gone.invalid'");
	$server->node->restart;
	ok(poll(sub { (login_all({%job}))[0]{verdict} eq 'in' }), 'the same behind a name of another machine');
	ok($server->wait_for("select last_error ~ 'could not resolve host name .gone.invalid. in .listen_addresses.'"
		  . ' from pgwire_trace.stat_relay'), 'a name that nobody knows is named');
	$server->node->stop;
}

# ---- link-local addresses ----

SKIP:
{
	my $address = 'fe80::77%lo';
	my $probe = IO::Socket::IP->new(Listen => 1, LocalHost => $address) or
	  skip "no link-local address: $@", 4;
	close $probe;
	my $server = PgwireTrace->start('link_local', hba => <<"HBA", conf => <<"CONF");
local all all trust
host all $me 127.0.0.1/32 trust
host all alice,bob 127.0.0.1/32 trust
host all alice fe80::/10 scram-sha-256
HBA
listen_addresses = '127.0.0.1,$address'
pgwire_trace.listen_addresses = '127.0.0.1,$address'
log_line_prefix = '<%h> '
CONF
	$server->sql("create role $_ login password '$right'") for qw(alice bob);
	my @rows = map { { name => "link-local, $_->[0] $_->[1]", user => $_->[0], password => $_->[1],
		host => $address, direct => $_->[2], expect => 'same', asks => 1 } }
	  [ 'alice', $right, 'in' ], [ 'alice', 'wrong', 'refused' ], [ 'bob', $right, 'refused' ];
	compare_logins($server, \@rows);
	my ($refused) = login_all({ host => $address, port => $server->side_port, user => 'bob' });
	like($refused->{message}, qr/for host "fe80::\w+%lo"/, 'its interface is part of the address');
	$server->node->stop;
}

# ---- another program where relays look for the server ----

{
	# it was there first: the server has to do without that address, and says so in its log
	my $server = PgwireTrace->start('elsewhere', extension => 0, started => 0,
		hba => "local all all trust\nhost all all all trust\n", conf => <<"CONF");
listen_addresses = '127.0.0.1, ${\PgwireTrace::Net::OWN}'
pgwire_trace.listen_addresses = '${\PgwireTrace::Net::SERVER}'
CONF
	my $impostor = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1',
		LocalPort => $server->node->port, ReuseAddr => 1) or die "could not listen: $!";

	$server->node->start;
	my $client;
	ok(poll(sub { $client = IO::Socket::INET->new(PeerAddr => PgwireTrace::Net::SERVER,
				PeerPort => $server->side_port) }), 'the side port is there');
	syswrite $client, startup_packet(user => 'alice', database => 'postgres');
	my $carrier = $impostor->accept;
	sysread $carrier, my $packet, 1000;
	like($packet, qr/pgwire_trace\.carrier\0[0-9a-f]{32}/, 'an impostor gets a token');
	syswrite $carrier, pack('aNN', 'R', 8, 3); # asks for the password in clear
	sysread $client, my $answer, 1000;
	like($answer, qr/^E.*C08006/s, 'but no answer of a client: it is not asked');
	is(sysread($carrier, my $rest, 1000), 0, 'and its carrier is closed');
	$server->node->stop;
}
done_testing();
