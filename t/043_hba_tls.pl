# pg_hba.conf for clients with TLS, with and without certificates: hostssl, cert, clientcert, ident
# maps; compared with a login from the same address on the main port.
use strict;
use warnings;

use PgwireTrace::Net;
use PgwireTrace::Login qw(compare_logins);
use PgwireTrace::Tls qw(make_certificates start_with_tls);
use PostgreSQL::Test::Utils;
use Test::More;

my $right = 'right-4711';
my $wrong = 'wrong-4712';
my $me = getpwuid($<);
my $certificates = make_certificates();
my %shows = map { $_ => [ $certificates->path("$_.crt"), $certificates->path("$_.key") ] }
  qw(alice revoked stranger);
my $cannot = [ '28000', qr/^pgwire_trace cannot pass on authentication method/ ];
my $bad_password = [ '28P01', qr/^password authentication failed for user/ ];
my (@rows, @hba, @ident, @roles);
my ($major) = `postgres --version` =~ /(\d+)/;

# Adds a role with its lines for carrier and client, and a row for each way to log in: what the client
# shows (a certificate of alice or of the role's own name, nothing, plain: no TLS), its password, what the main port does, what is expected.
sub lines
{
	my ($carrier, $client, @logins) = @_;
	my $user = sprintf('t%02d', scalar @roles);

	push @roles, "create role $user login password '$right'";
	push @hba, map { s/USER/$user/r } "$carrier", "$client";
	push @ident, "mine alice $user", "dn \"CN=alice\" $user", "other bob $user";
	if (grep { $_->[0] eq 'own' } @logins)
	{
		$certificates->make($user, $user, 'root', 'basicConstraints=CA:FALSE');
		$shows{own} = [ $certificates->path("$user.crt"), $certificates->path("$user.key") ];
	}
	for my $login (@logins)
	{
		my ($shown, $password, $direct, $expect) = @$login;
		my $tls = $shown eq 'plain' ? undef : $shows{$shown} // 1;
		my $name = (split ' ', $carrier)[-1] . " -> $client, $shown, "
		  . ($password eq $right ? 'right' : 'wrong');
		push @rows, { name => $name, user => $user, password => $password, tls => $tls,
			direct => $direct, expect => $expect // 'same', asks => $carrier =~ /trust$/ };
	}
	return;
}

my $trust = 'host all USER 127.0.0.1/32 trust';
my $asks = 'host all USER 127.0.0.1/32 scram-sha-256';

for my $carrier ($trust, $asks)
{
	my $is_asked = $carrier eq $asks;

	lines($carrier, 'hostssl all USER all scram-sha-256', [ 'nothing', $right, 'in' ],
		[ 'nothing', $wrong, 'refused' ], [ 'alice', $right, 'in' ], [ 'plain', $right, 'refused' ]);
	lines($carrier, 'hostnossl all USER all scram-sha-256', [ 'nothing', $right, 'refused' ],
		[ 'plain', $right, 'in' ]);
	lines($carrier, 'hostssl all USER all md5', [ 'nothing', $right, 'in' ]);
	lines($carrier, 'hostssl all USER all reject', [ 'nothing', $right, 'refused' ],
		[ 'alice', $wrong, 'refused' ]);
	lines($carrier, 'hostssl all USER all trust', [ 'nothing', $right, 'in' ],
		[ 'nothing', $wrong, 'in', $is_asked ? $bad_password : 'same' ]);
	lines($carrier, 'hostssl all USER all cert map=mine',
		[ 'alice', $right, 'in', $is_asked ? $cannot : 'same' ], [ 'nothing', $right, 'refused' ]);
	lines($carrier, 'hostssl all USER all cert map=other', [ 'alice', $right, 'refused' ]);
	lines($carrier, 'hostssl all USER all cert', [ 'alice', $right, 'refused' ]);
	lines($carrier, 'hostssl all USER all cert clientname=DN map=dn',
		[ 'alice', $right, 'in', $is_asked ? $cannot : 'same' ]);
	lines($carrier, 'hostssl all USER all scram-sha-256 clientcert=verify-ca',
		[ 'alice', $right, 'in' ], [ 'alice', $wrong, 'refused' ], [ 'nothing', $right, 'refused' ],
		[ 'nothing', $wrong, 'refused' ]);
	lines($carrier, 'hostssl all USER all scram-sha-256 clientcert=verify-full',
		[ 'own', $right, 'in' ], [ 'own', $wrong, 'refused' ], [ 'nothing', $right, 'refused' ],
		[ 'alice', $right, 'refused' ], [ 'alice', $wrong, 'refused' ]);
	lines($carrier, 'hostssl all USER all trust clientcert=verify-full',
		[ 'own', $right, 'in' ], [ 'nothing', $right, 'refused' ], [ 'alice', $right, 'refused' ]);
	lines($carrier, 'hostssl all USER all md5 clientcert=verify-full clientname=DN',
		[ 'own', $right, 'refused' ]);
}
# the certificate is the client's: a carrier has none to show
lines('hostssl all USER 127.0.0.1/32 trust clientcert=verify-ca', 'hostssl all USER all trust',
	[ 'alice', $right, 'in', [ '28000', qr/^connection requires a valid client certificate/ ] ]);
# a name without a map: the role's own
push @roles, "create role alice login password '$right'";
push @hba, 'host all alice 127.0.0.1/32 trust', 'hostssl all alice all cert';
push @rows, { name => 'cert without a map', user => 'alice', tls => $shows{alice}, direct => 'in',
	expect => 'same', asks => 1 };
# maps that say more than one name for one name
$certificates->make('mail', 'mapped_by_regex@example.org', 'root', 'basicConstraints=CA:FALSE');
$shows{mail} = [ $certificates->path('mail.crt'), $certificates->path('mail.key') ];
push @ident, 'byregex /^(.*)@example\.org$ \1';
my @maps = ([ 'mapped_by_regex', 'byregex', 'mail', 'in' ], [ 'not_by_regex', 'byregex', 'mail', 'refused' ]);
if ($major >= 16)
{
	push @ident, 'byall alice all', 'bygroup alice +grouped', 'byuser alice /^mapped_by_u';
	push @maps, [ 'mapped_by_all', 'byall', 'alice', 'in' ], [ 'mapped_by_group', 'bygroup', 'alice', 'in' ],
	  [ 'not_by_group', 'bygroup', 'alice', 'refused' ], [ 'mapped_by_user', 'byuser', 'alice', 'in' ],
	  [ 'not_by_all', 'byall', 'mail', 'refused' ];
}
for my $map (@maps)
{
	my ($user, $name, $shown, $direct) = @$map;
	push @roles, "create role $user login";
	push @hba, "host all $user 127.0.0.1/32 trust", "hostssl all $user all cert map=$name";
	push @rows, { name => "$user, map $name", user => $user, tls => $shows{$shown}, direct => $direct,
		expect => 'same', asks => 1 };
}
push @roles, 'create role grouped; grant grouped to mapped_by_group' if $major >= 16;
# a name with a zero byte: the server refuses it in the handshake
$certificates->make_with_zero('zero', 'alice@zero.invalid');
push @rows, { name => 'a zero byte in the name', user => 'alice', direct => 'closed', without_psql => 1,
	tls => [ $certificates->path('zero.crt'), $certificates->path('zero.key') ],
	expect => [ '28000', qr/^client certificate cannot be used: its subject .* has a zero byte/ ] };
# certificates that the handshake refuses, in words of libpq's and OpenSSL's
push @rows, map { { name => "a certificate that is $_", user => 'alice', tls => $shows{$_},
	direct => 'closed', expect => 'same', without_psql => 1 } } qw(revoked stranger);

my $addresses = join ',', '127.0.0.1', PgwireTrace::Net::SERVER;
my $server = start_with_tls('hba_tls', $certificates,
	hba => join('', map { "$_\n" } 'local all all trust', "host all $me 127.0.0.1/32 trust", @hba),
	conf => "listen_addresses = '$addresses'\npgwire_trace.listen_addresses = '$addresses'\n"
	  . "ssl_ca_file = '" . $certificates->path('root.crt') . "'\nssl_crl_file = '"
	  . $certificates->path('root.crl') . "'\n");
my $node = $server->node;

$server->sql(join(";\n", @roles));
append_to_file($node->data_dir . '/pg_ident.conf', join('', map { "$_\n" } @ident));
$node->reload;
$server->wait_for_side_port;

cmp_ok(scalar @rows, '>=', 50, 'combinations: ' . scalar @rows);
compare_logins($server, \@rows);

$node->stop;
done_testing();
