# Startup packets of every kind, well formed and not, on both ports: what the side port passes on is
# answered as on the main port, and what it refuses is refused in its own words, which are listed here.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PostgreSQL::Test::Utils;
use Test::More;

my $user = getpwuid($<);
my $server = PgwireTrace->start('packets', conf => "authentication_timeout = 1s\n");
my $node = $server->node;

$server->sql('create role ' . 'n' x 63 . ' login; create role "po""st" login');
$server->node->safe_psql('postgres', 'create database "a b"');

# What is answered differently, and how by the side port.
my $length = qr/^E 08P01 invalid length of startup packet/;
my $version = qr/^E 0A000 unsupported frontend protocol .* pgwire_trace passes on 3\.x$/;
my $reserved = qr/^E 08P01 parameter "pgwire_trace\.carrier" is reserved/;
my %own = (
	(map { $_ => $length } 'length 0', 'length 4', 'length 7', 'length 10001', 'length 2147483647',
		'length 2147483648', 'length 4294967295', 'HTTP'),
	(map { my $code = $_; map { $_ => $version } "version $code", "version $code, bare" }
		qw(20000 40000 0 1 ffffffff)),
	'a token' => $reserved,
	'a Token' => $reserved,
	'SSLRequest of 12 bytes' => $version,
	'GSSENCRequest of 12 bytes' => $version,
	'SSLRequest and more' => qr/^E 08P01 received unencrypted data after SSLRequest$/,
);

my ($status, $out, $err) = run_client([ 'python3', "$ENV{PGWT_CLIENTS}/startup.py", $node->port,
		$server->side_port, $user ]);
my @lines = split /\n/, $out;
my $count = pop @lines;
my %seen;

is($status, 0, 'packets are sent') or diag($err);
cmp_ok($count, '>=', 220, "$count packets");
for my $line (@lines)
{
	my ($name, $main, $side) = split /\t/, $line;
	my $expected = $own{ $name =~ s/, no more$//r };

	ok($expected, "$name: is refused in words of our own") or diag("main: $main\nside: $side");
	like($side, $expected // qr/^$/, "$name: these");
	unlike($main, qr/Z$/, "$name: nor does the server let it in");
	$seen{ $name =~ s/, no more$//r }++;
}
is(join(', ', grep { !$seen{$_} } sort keys %own), '', 'each is seen');
is($server->stat_relay('restarts'), '0', 'no relay died of it');
ok($server->wait_for('select sum(sessions_open) = 0 and sum(bytes_allocated) < 1000000'
	  . ' from pgwire_trace.stat_relay'), 'and nothing is left of them');
ok($server->wait_for("select count(*) = 0 from pg_stat_activity where backend_type = 'walsender'"),
	'nor in the server');

$node->stop;
done_testing();
