# Methods that ask somebody else: LDAP, RADIUS and PAM, on stand-ins made here, compared with logins
# on the main port.
use strict;
use warnings;

use PgwireTrace::Net;
use IPC::Run ();
use PgwireTrace qw(poll);
use PgwireTrace::Login qw(compare_logins);
use PostgreSQL::Test::Utils;
use Test::More;

my $right = 'right-4711';
my $wrong = 'wrong-4712';
my $me = getpwuid($<);
my $directory = PostgreSQL::Test::Utils::tempdir();
my $cannot = [ '28000', qr/^pgwire_trace cannot pass on authentication method/ ];

# ---- the stand-ins ----

my ($in, $out) = ('', '');
my $authority = IPC::Run::start([ 'python3', "$ENV{PGWT_CLIENTS}/authority.py", $right, 'shared' ],
	'<', \$in, '>', \$out);
ok(poll(sub { $authority->pump_nb; $out =~ /\n/ }), 'LDAP and RADIUS are there');
my ($ldap_port, $radius_port) = split ' ', $out;

append_to_file("$directory/check", <<"SH");
#!/bin/sh
IFS= read -r password
echo "\$PAM_USER \$PAM_RHOST" >> $directory/asked
[ "\$password" = $right ]
SH
chmod 0755, "$directory/check";
append_to_file(PgwireTrace::Net::pam_directory() . '/pgwt', <<"PAM");
auth required pam_exec.so quiet expose_authtok $directory/check
account required pam_permit.so
PAM

my %methods = (
	ldap => "ldap ldapserver=127.0.0.1 ldapport=$ldap_port ldapprefix=\"cn=\" ldapsuffix=\",dc=test\"",
	radius => "radius radiusservers=127.0.0.1 radiusports=$radius_port radiussecrets=shared",
	pam => 'pam pamservice=pgwt',
);

# ---- roles, their lines, and what is expected ----

my (@rows, @hba, @roles);
for my $method (sort keys %methods)
{
	# what the carrier's line says, and the client's: the very same line, or one of its own
	my %kinds = (
		trusted => [ "host all USER 127.0.0.1/32 trust", "host all USER all $methods{$method}" ],
		same => [ "host all USER all $methods{$method}" ],
		equal => [ "host all USER 127.0.0.1/32 $methods{$method}",
			"host all USER all $methods{$method}" ],
		scrammed => [ "host all USER 127.0.0.1/32 scram-sha-256",
			"host all USER all $methods{$method}" ],
		unasked => [ "host all USER 127.0.0.1/32 $methods{$method}", "host all USER all trust" ],
		wants_scram => [ "host all USER 127.0.0.1/32 $methods{$method}",
			'host all USER all scram-sha-256' ],
		wants_md5 => [ "host all USER 127.0.0.1/32 $methods{$method}", 'host all USER all md5' ],
		wants_password => [ "host all USER 127.0.0.1/32 $methods{$method}",
			'host all USER all password' ],
		hashed => [ 'host all USER 127.0.0.1/32 md5', "host all USER all $methods{$method}" ],
		in_clear => [ 'host all USER 127.0.0.1/32 password', "host all USER all $methods{$method}" ],
		rejected => [ "host all USER 127.0.0.1/32 $methods{$method}", "host all USER all reject" ],
	);
	for my $kind (sort keys %kinds)
	{
		my $user = "${method}_$kind";
		my %expect = (
			same => $method eq 'pam' ? $cannot : 'same', # PAM was told the relay's address
			equal => $cannot,
			map { $_ => $cannot } qw(scrammed hashed in_clear wants_scram wants_md5 wants_password),
		);

		push @roles, $user;
		push @hba, map { s/USER/$user/r } @{ $kinds{$kind} };
		for my $password ($right, $wrong)
		{
			my $expect = $expect{$kind} // 'same';
			$expect = [ '28000', qr/authentication failed for user/ ]
			  if $kind eq 'unasked' && $password eq $wrong;
			push @rows, { name => "$user, $password", user => $user, password => $password,
				expect => $expect, asks => $kind eq 'trusted' || $kind eq 'same',
				direct => $kind eq 'unasked' ? 'in' : $kind eq 'rejected' ? 'refused'
				: $password eq $right ? 'in' : 'refused' };
		}
	}
}

# the other ways to ask LDAP and RADIUS
my %ways = (
	ldap_search => "ldap ldapserver=127.0.0.1 ldapport=$ldap_port ldapbasedn=\"dc=test\""
	  . ' ldapsearchattribute=uid',
	ldap_filter => "ldap ldapserver=127.0.0.1 ldapport=$ldap_port ldapbasedn=\"dc=test\""
	  . ' ldapsearchfilter="(mail=$username)"',
	ldap_url => "ldap ldapurl=\"ldap://127.0.0.1:$ldap_port/dc=test?uid?sub\"",
	radius_two => "radius radiusservers=\"127.0.0.1,127.0.0.1\" radiusports=\"$radius_port,$radius_port\""
	  . ' radiussecrets="shared,shared" radiusidentifiers="one,two"',
);
for my $way (sort keys %ways)
{
	push @roles, $way;
	push @hba, "host all $way 127.0.0.1/32 trust", "host all $way all $ways{$way}";
	push @rows, map { { name => "$way, $_", user => $way, password => $_, expect => 'same', asks => 1,
		direct => $_ eq $right ? 'in' : 'refused' } } $right, $wrong;
}

my $addresses = join ',', '127.0.0.1', PgwireTrace::Net::SERVER;
my $server = PgwireTrace->start('methods',
	hba => join('', map { "$_\n" } 'local all all trust', "host all $me 127.0.0.1/32 trust", @hba),
	conf => "listen_addresses = '$addresses'\npgwire_trace.listen_addresses = '$addresses'\n");
$server->sql(join(';', map { "create role $_ login password '$right'" } @roles));
compare_logins($server, \@rows);

# ---- who PAM was told of ----

my %asked = map { $_ => 1 } split /\n/, slurp_file("$directory/asked");
is(join(' ', sort grep { /^pam_trusted/ } keys %asked), 'pam_trusted 10.77.0.2',
	'PAM is told the address of the client');
ok(!grep({ /127\.0\.0\.1/ && !/pam_unasked/ } keys %asked),
	"and never the relay's, where the client's line says pam") or diag(join "\n", sort keys %asked);

$server->node->stop;
close STDIN;
$authority->finish;
done_testing();
