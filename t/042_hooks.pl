# Other libraries in the same hook: one that is loaded before pgwire_trace is told of each login
# once, and how it ended for the client. One that is loaded after sees the token, which is of use to
# nobody but the carrier it was made for.
use strict;
use warnings;

use PgwireTrace::Net;
use PgwireTrace qw(poll);
use PgwireTrace::Client qw(startup_packet query);
use PgwireTrace::Login qw(login_all);
use PostgreSQL::Test::Utils;
use Test::More;

my $counter = PgwireTrace::build_module('auth_counter');
my $me = getpwuid($<);
my $addresses = join ',', '127.0.0.1', PgwireTrace::Net::SERVER;
my $server = PgwireTrace->start('hooks', started => 0,
	hba => <<"HBA", conf => "listen_addresses = '$addresses'\npgwire_trace.listen_addresses = '$addresses'\n");
local all all trust
host all $me 127.0.0.1/32 trust
host all open,scrammed,closed,elsewhere 127.0.0.1/32 trust
host all asked,refused,other 127.0.0.1/32 scram-sha-256
host all shut 127.0.0.1/32 reject
host all open 10.77.0.2/32 trust
host all scrammed,asked 10.77.0.2/32 scram-sha-256
host all closed,refused 10.77.0.2/32 reject
host all other 10.77.0.2/32 pam
host all shut 10.77.0.2/32 trust
host all open 127.0.0.2/32 scram-sha-256
HBA
my $node = $server->node;

$node->append_conf('postgresql.conf', "shared_preload_libraries = '$counter, pgwire_trace'\n");
$node->start;
$server->sql('create extension pgwire_trace');
$server->sql("create role $_ login password 'right'")
  for qw(open scrammed closed elsewhere asked refused other shut);

# ---- loaded before pgwire_trace ----

# A login's user and password, whether it gets in, and what the hook is told; nothing where the
# server itself does not call it.
my @logins = (
	[ 'open', 'any', 'in', 'status=0' ],
	[ 'scrammed', 'right', 'in', 'status=0' ],
	[ 'scrammed', 'wrong', 'refused', 'status=-1' ],
	[ 'closed', 'right', 'refused', 'status=-1' ],       # its line rejects it
	[ 'elsewhere', 'right', 'refused', 'status=-1' ],    # it has no line
	[ 'asked', 'right', 'in', 'status=0' ],
	[ 'asked', 'wrong', 'refused', 'status=-1' ],
	[ 'refused', 'right', 'refused', 'status=-1' ],
	[ 'refused', 'wrong', 'refused', 'status=-1' ],
	[ 'other', 'right', 'refused', 'status=-1' ],        # the carrier's line asks for something else
	[ 'shut', 'right', 'refused' ],                      # the carrier's line rejects all
);
for my $login (@logins)
{
	my ($user, $password, $verdict, @told) = @$login;
	my $offset = -s $node->logfile;
	my ($result) = login_all({ host => PgwireTrace::Net::SERVER, port => $server->side_port,
		user => $user, password => $password });

	is($result->{verdict}, $verdict, "$user with password '$password': $verdict");
	poll(sub { slurp_file($node->logfile, $offset) =~ /auth_counter: user=$user/ }) if @told;
	my @lines = slurp_file($node->logfile, $offset) =~ /auth_counter: user=$user (.*)/g;
	is_deeply(\@lines, [ map { "$_ host=10.77.0.2 token=none" } @told ],
		"$user with password '$password': other hooks are told once, as it ended");
}
{
	my $offset = -s $node->logfile;
	my ($result) = login_all({ host => PgwireTrace::Net::SERVER, port => $node->port,
		user => 'scrammed', password => 'wrong' });
	my @lines = slurp_file($node->logfile, $offset) =~ /auth_counter: user=scrammed (.*)/g;
	is_deeply(\@lines, ['status=-1 host=10.77.0.2 token=none'], 'and of the main port, as ever');
}

# ---- loaded after pgwire_trace: what a token is good for ----

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pgwire_trace, $counter'\n");
$node->restart;
$server->wait_for_side_port;

my $hold = $node->data_dir . '/hold.open';

# Returns the token and the carrier's port of the next login of a user, held up before it is used.
sub next_token
{
	my ($user) = @_;
	my $offset = -s $node->logfile;
	my $token;

	append_to_file($hold, '');
	my $client = $server->connect_raw;
	$client->send_bytes(startup_packet(user => $user, database => 'postgres'));
	poll(sub { ($token) = slurp_file($node->logfile, $offset)
		=~ /auth_counter: user=$user .* token=([0-9a-f]{32})/ }) // die 'no token';
	return ($client, $token);
}

# Offers a token to the main port, as a user who would be let in; returns what was said of it.
sub offer
{
	my ($token, %options) = @_;
	my $client = PgwireTrace::Client->new($node->port, $options{source}, $options{port});

	$client->send_bytes(startup_packet(user => 'elsewhere', database => 'postgres',
		'pgwire_trace.carrier' => $token) . query('select 1'));
	my $types = $client->until_closed;
	return ($types, $client->{error}{C} // '', $client->{error}{M} // '');
}

# Returns the ports of the clients' ends of connections to the server: those of carriers.
sub carrier_ports
{
	my $hex = sprintf('%04X', $node->port);
	my @ports;

	for my $line (split /\n/, slurp_file('/proc/net/tcp'))
	{
		push @ports, hex($1) if $line =~ /^\s*\d+: 0100007F:([0-9A-F]{4}) 0100007F:$hex 01/;
	}
	return @ports;
}

{
	my ($client, $token) = next_token('open');
	my @said = offer($token);
	is_deeply([ @said[0, 1] ], [ 'E', '28000' ], 'an unused token from another connection: FATAL')
	  or diag(explain(\@said));
	unlink $hold;
	like($client->until_closed, qr/^E?$/, 'it is used up by that: the carrier is refused too');
	is($client->{error}{M}, 'carrier token of pgwire_trace is not valid', 'and told so');
	is((offer($token))[1], '28000', 'a token is not good for a second time');
}
{
	my ($client, $token) = next_token('open');
	my @ports = carrier_ports();
	cmp_ok(scalar @ports, '>=', 1, "carriers' ports: @ports");
	my @said = offer($token, source => '127.0.0.2', port => $ports[0]);
	is_deeply([ @said[0, 1] ], [ 'E', '28000' ],
		"a token from 127.0.0.2 with a carrier's port number: FATAL");
	unlink $hold;
	$client->close;
}
{
	my ($client, $token) = next_token('open');
	my @ports = carrier_ports();
	my $stranger = PgwireTrace::Client->new($node->port, '127.0.0.2', $ports[0]);
	unlink $hold;
	$stranger->send_bytes(startup_packet(user => 'open', database => 'postgres') . query('select 1'));
	my ($type, $body) = $stranger->receive;
	is(unpack('N', $body), 10, "127.0.0.2 with a carrier's port number is asked for its password");
	$stranger->close;
	like($client->until_ready, qr/^R.*Z$/, 'and the carrier goes on');
	is((offer($token))[1], '28000', 'its token is used');
	$client->close;
}
{
	# the lines change while a login is under way: it is judged by those that it began with, as on
	# the main port; the next one by the new ones
	my $file = $node->data_dir . '/pg_hba.conf';
	my $lines = slurp_file($file);
	my ($client, $token) = next_token('open');
	unlink $file;
	append_to_file($file, $lines =~ s/^host all open,scrammed,.* trust$/host all open 127.0.0.1\/32 reject/mr);
	$node->reload;
	ok(poll(sub { (login_all({ host => '127.0.0.1', port => $node->port, user => 'open' }))[0]{verdict}
				eq 'refused' }), 'pg_hba.conf is reloaded between the carrier\'s line and the client\'s');
	unlink $hold;
	like($client->until_ready, qr/^R.*Z$/, 'both are of the file of before');
	$client->close;
	is((login_all({ host => '127.0.0.1', port => $server->side_port, user => 'open' }))[0]{verdict},
		'refused', 'the next login is judged by the new one');
	unlink $file;
	append_to_file($file, $lines);
	$node->reload;
	ok(poll(sub { (login_all({ host => '127.0.0.1', port => $server->side_port, user => 'open' }))[0]{verdict}
				eq 'in' }), 'and back');
}
{
	# a carrier that has lost its token is no ordinary client, whatever its own line says
	my $strip = $node->data_dir . '/strip.open';
	append_to_file($strip, '');
	my $client = $server->connect_raw;
	$client->send_bytes(startup_packet(user => 'open', database => 'postgres') . query('select 1'));
	is($client->until_closed, 'E', 'a carrier without its token: FATAL');
	is("$client->{error}{S} $client->{error}{C} $client->{error}{M}",
		'FATAL 28000 carrier token of pgwire_trace is not valid', 'in these words');
	unlink $strip;
	is($server->sql("select count(*) from pg_stat_activity where usename = 'open'"), '0',
		'and no session');
}
{
	my ($client, $token) = next_token('open');
	my ($backend) = $server->sql("select pid from pg_stat_activity where backend_type ="
		  . " 'checkpointer'");
	kill('KILL', $backend);
	unlink $hold;
	ok($client->is_closed_within(30), 'the server restarts after a crash');
	ok($server->wait_for_side_port, 'and so does the side port');
	is((offer($token))[1], '28000', 'a token from before: FATAL');
}

$node->stop;
done_testing();
