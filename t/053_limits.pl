# What a stranger meets: one deadline that nothing sets back, a bounded number of clients on their
# way in, startup packets of a bounded size; and that a flood of them keeps nobody out.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(message query startup_packet);
use PgwireTrace::Tls qw(make_certificates start_with_tls tls_client);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

use constant DEADLINE => 2;

my $server = start_with_tls('limits', make_certificates(), hba => <<'HBA', conf => <<'CONF');
local all all trust
host all asked 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
HBA
authentication_timeout = 2s
pgwire_trace.max_unauthenticated = 20
pgwire_trace.max_sessions = 40
pgwire_trace.relay_processes = 2
CONF
my $node = $server->node;
my $user = getpwuid($<);

$server->sql("create role asked login password 'x'");

# Runs a query through the side port; returns psql's status, output, errors.
sub psql
{
	my ($options, $sql) = @_;
	my ($status, $out, $err) = run_client([ 'psql', '-XAtqc', $sql, $server->side_connstr
			  . ' connect_timeout=20 ' . ($options // '') ]);
	chomp $out;
	return ($status, $out, $err);
}

# Returns how long the other side holds a client that goes on sending pieces, one at a time.
sub held_for
{
	my ($client, @pieces) = @_;
	my $begun = Time::HiRes::time();

	until ($client->is_closed_within(0.1))
	{
		$client->send_bytes(shift @pieces) if @pieces;
		last if Time::HiRes::time() - $begun > 30;
	}
	return Time::HiRes::time() - $begun;
}

# Checks that a time is that of the deadline.
sub is_deadline
{
	my ($seconds, $name) = @_;
	return ok($seconds > DEADLINE - 1 && $seconds < DEADLINE + 2, $name)
	  || diag("held for $seconds s");
}

# Returns how many backends serve clients.
sub backends
{
	return $server->sql("select count(*) from pg_stat_activity where backend_type = 'client backend'");
}

# ---- the deadline ----

my $ssl_request = pack('NN', 8, 80877103);
my $packet = startup_packet(user => $user, database => 'postgres', options => 'x' x 2000);
is_deadline(held_for($server->connect_raw), 'a silent client');
is_deadline(held_for($server->connect_raw, split //, $packet), 'one that dribbles its startup packet');
is_deadline(held_for($server->connect_raw, ('') x 10, $ssl_request),
	'one that asks for TLS after a while, and says no more');
is_deadline(held_for($server->connect_raw, $ssl_request, split //, "\x16\x03\x01\x02\x00\x01" . 'x' x 500),
	'one that dribbles a handshake');
is_deadline((tls_client($server->side_port, 'dribble'))[1], 'one that dribbles by TLS');
is_deadline(held_for($server->connect_raw, pack('NN', 8, 80877104), ('') x 8, $ssl_request),
	'one that asks for everything, one by one');
{
	my $client = $server->connect_raw;
	my $begun = Time::HiRes::time();
	$client->send_bytes(startup_packet(user => 'asked', database => 'postgres'));
	$client->until_closed(30);
	is_deadline(Time::HiRes::time() - $begun, 'one that is asked for a password');
}
is((psql('', "select 'in' from pg_sleep(3)"))[1], 'in', 'nobody who is in');
for my $case ([ 'a query', query('select 1') ], [ 'a password of 65,537 bytes', message('p', 'x' x 65533) ],
	[ 'nothing of a password of 1 GB', 'p' . pack('N', 1 << 30) ], [ 'a negative length', "p\xff\xff\xff\xf0" ])
{
	my ($name, $bytes) = @$case;
	my $client = $server->connect_raw;
	my $begun = Time::HiRes::time();
	$client->send_bytes(startup_packet(user => 'asked', database => 'postgres'));
	$client->receive(10);
	$client->send_bytes($bytes);
	is($client->until_closed(30), 'E', "who answers a question with $name is refused");
	is($client->{error}{C}, '08P01', "$name: as a protocol violation");
	cmp_ok(Time::HiRes::time() - $begun, '<', DEADLINE - 0.5, "$name: at once");
}

# ---- startup packets ----

# Returns what a startup packet of a size is answered.
sub answer_to
{
	my ($port, $size) = @_;
	my $client = PgwireTrace::Client->new($port);
	my @parameters = (user => $user, database => 'postgres', application_name => '');

	$parameters[-1] = 'n' x ($size - length startup_packet(@parameters));
	$client->send_bytes(startup_packet(@parameters));
	my $types = $client->until_ready(1, 10);
	$client->close;
	return ($types, $client->{error});
}

my ($types, $error) = answer_to($server->side_port, 9946);
like($types, qr/Z$/, 'a startup packet of 9,946 bytes');
($types, $error) = answer_to($server->side_port, 9947);
is($types, 'E', 'one of 9,947 is refused');
is("$error->{S} $error->{C}", 'FATAL 08P01', 'as a protocol violation');
like($error->{M}, qr/9947.*9946.*10000/, 'that names the numbers');
($types) = answer_to($node->port, 10000);
like($types, qr/Z$/, 'the server itself takes 10,000');

# ---- answers that nobody asked for ----

{
	my $client = $server->connect_raw;
	my $answers = message('p', "x\0") x 20_000;
	my $started = startup_packet(user => 'asked', database => 'postgres', application_name => 'eager');

	$client->send_bytes($started . $answers);
	like($client->until_closed, qr/E$/, 'answers at once, unasked: refused');
	$server->wait_for("select exists (select from pgwire_trace.session where application_name = 'eager'"
		  . ' and ended_at is not null)');
	is($server->sql("select request_bytes from pgwire_trace.session where application_name = 'eager'"),
		length($started) + length(message('p', "x\0")), 'one answer a request reaches the server');
}

# ---- a flood of those who say nothing ----

{
	my $before = backends();
	my @flood = map { $server->connect_raw } 1 .. 15;
	my $in = 0;
	for my $round (1 .. 10)
	{
		push @flood, map { $server->connect_raw } 1 .. 30;
		$_->send_bytes($ssl_request) for @flood[ -10 .. -1 ];
		$in++ if (psql($round % 2 ? 'sslmode=require' : 'sslmode=disable', "select 'in'"))[1] eq 'in';
	}
	is($in, 10, 'while hundreds connect and say nothing, those who say something get in');
	is(backends(), $before, 'silent clients take no backend');
	cmp_ok($server->sql('select count(*) from pgwire_trace.stat_relay where sessions_open > 5'), '<', 1,
		'nor a session');
	cmp_ok($server->stat_relay('sessions_refused'), '>', 200, 'those who made room are counted');
}

# ---- a flood of those who wait to be asked ----

{
	my @flood;
	ok($server->wait_for("select count(*) = 0 from pg_stat_activity where usename = 'asked'"), 'nobody waits');
	for (1 .. 20)
	{
		my $client = $server->connect_raw;
		$client->send_bytes(startup_packet(user => 'asked', database => 'postgres'));
		push @flood, $client;
	}
	$_->receive(5) for @flood;
	my $client = $server->connect_raw;
	$client->send_bytes(startup_packet(user => $user, database => 'postgres'));
	is($client->until_closed(5), 'E', 'as many as there may be: the next one is refused');
	is($client->{error}{C}, '53300', 'in time');
	like($client->{error}{M}, qr/max_unauthenticated is 20/, 'and hears of which limit');
	$_->close for @flood;
	ok(poll(sub { (psql('', "select 'in'"))[1] eq 'in' }), 'when they are gone there is room');
}

# ---- as many as there may be ----

{
	my @held = map { $server->connect_client } 1 .. 40;
	my (undef, undef, $err) = psql('sslmode=require', 'select 1');
	like($err, qr/too many traced sessions: pgwire_trace.max_sessions is 40/, 'max_sessions, by TLS');
	is($server->sql("select 'main'"), 'main', 'the main port is open');
	$_->close for @held;
	ok(poll(sub { (psql('', "select 'in'"))[1] eq 'in' }), 'when they are gone there is room');
}

is($server->sql('select sum(restarts) from pgwire_trace.stat_relay'), '0', 'no relay died of it');
$node->stop;
done_testing();
