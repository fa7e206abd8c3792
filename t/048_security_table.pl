# docs/security.md, as it is printed: every cell of its tables of carriers' and clients' lines is
# tried, beside a login on the main port, and every promise names a test that is there.
use strict;
use warnings;

use PgwireTrace::Net;
use Cwd ();
use File::Basename ();
use IPC::Run ();
use PgwireTrace qw(poll);
use PgwireTrace::Login qw(compare_logins);
use PgwireTrace::Tls qw(make_certificates start_with_tls);
use PostgreSQL::Test::Utils;
use Test::More;

my $right = 'right-4711';
my $wrong = 'wrong-4712';
my $me = getpwuid($<);
my $source = File::Basename::dirname(File::Basename::dirname(Cwd::abs_path($0)));
my @page = split /\n/, slurp_file("$source/docs/security.md");

# Returns the tables of a section of the page, each a list of rows, each a list of cells.
sub tables
{
	my ($title) = @_;
	my (@tables, $is_in, $is_table);

	for my $line (@page)
	{
		$is_in = $line eq "## $title" if $line =~ /^## /;
		my @cells = $line =~ /^\|(.*)\|$/ ? map { s/^\s+|\s+$//gr } split /(?<!\\)\|/, $1, -1 : ();
		push @tables, [] if $is_in && @cells && !$is_table;
		push @{ $tables[-1] }, \@cells if $is_in && @cells && !grep { /^-+$/ } @cells;
		$is_table = @cells;
	}
	return @tables;
}

# ---- the promises ----

my @promises = map { @$_ } tables('What an attacker can do');
cmp_ok(scalar @promises, '>=', 15, 'promises: ' . scalar @promises);
for my $promise (@promises)
{
	my ($text, $tests) = @$promise;
	next if ($text eq '' && $tests eq 'test') || $text =~ /^\*can\*|^gains what/;
	my @found = $tests =~ /(\d{3}|unit \w+|sql\/\w+) `([^`]+)`/g;
	my $short = substr($text, 0, 60);

	ok(@found > 0, "a promise with a test: $short") or diag($tests);
	while (my ($name, $words) = splice @found, 0, 2)
	{
		my ($path) = $name =~ /^unit (\w+)/ ? "$source/test/unit/$1.c"
		  : $name =~ /^sql/ ? "$source/$name.sql" : glob("$source/t/${name}_*.pl");
		ok($path && -e $path && index(slurp_file($path), $words) >= 0, "$name has '$words'");
	}
}

# ---- what the words of the tables mean ----

my ($in, $out) = ('', '');
my $authority = IPC::Run::start([ 'python3', "$ENV{PGWT_CLIENTS}/authority.py", $right, 'shared' ],
	'<', \$in, '>', \$out);
ok(poll(sub { $authority->pump_nb; $out =~ /\n/ }), 'LDAP and RADIUS are there');
my ($ldap_port, $radius_port) = split ' ', $out;
my $check = PostgreSQL::Test::Utils::tempdir() . '/check';
append_to_file($check, "#!/bin/sh\nIFS= read -r password\n[ \"\$password\" = $right ]\n");
chmod 0755, $check;
append_to_file(PgwireTrace::Net::pam_directory() . '/pgwt',
	"auth required pam_exec.so quiet expose_authtok $check\naccount required pam_permit.so\n");

# what a line of pg_hba.conf says for a method
my %says = (
	(map { ($_ => $_) } qw(trust reject scram-sha-256 md5 password ident gss)),
	ldap => "ldap ldapserver=127.0.0.1 ldapport=$ldap_port ldapprefix=\"cn=\" ldapsuffix=\",dc=test\"",
	radius => "radius radiusservers=127.0.0.1 radiusports=$radius_port radiussecrets=shared",
	pam => 'pam pamservice=pgwt',
	cert => 'cert map=mine',
	peer => 'peer map=mine',
	certificate => 'trust clientcert=verify-ca',
);
# the methods that a row or a column stands for
my %carriers = (
	'nothing: trust, or peer with the map above' => ['trust'],
	'nothing' => ['trust'],
	'md5, the role\'s stored password being SCRAM' => ['md5'],
	'md5, stored as md5' => ['hashed'],
	'scram-sha-256, md5, password' => [qw(scram-sha-256 md5 hashed password)],
	'ldap, radius, pam' => [qw(ldap radius pam)],
	'ldap, radius' => [qw(ldap radius)],
	'reject, or no line, or a client certificate' => [qw(reject none certificate)],
	map { ($_ => [$_]) } qw(scram-sha-256 password pam),
);
my %clients = (
	'reject, or no line' => [qw(reject none)],
	'ldap, radius' => [qw(ldap radius)],
	'ident, gss, sspi' => [qw(ident gss)], # sspi is Windows' own
	map { ($_ => [$_]) } qw(trust scram-sha-256 md5 password pam cert peer),
);
my $cannot = [ '28000', qr/^pgwire_trace cannot pass on authentication method/ ];
my $by_carrier = [ '28000', qr/host "127\.0\.0\.1"|valid client certificate/ ];
my $no_method = [ '28000', qr/^authentication method ".*" does not work through pgwire_trace/ ];
my $failed = [ qr/^28(?:000|P01)$/, qr/authentication failed for user/ ];

# Returns what a cell means for a login that would do and for one that would not.
sub meaning
{
	my ($cell) = @_;

	return ('same', 'same') if $cell =~ /^as main(?: \(\d\))*$/;
	return ('same', $failed) if $cell =~ /^as main, after the password/;
	return ($cannot, 'same') if $cell =~ /^refused \(4\), a wrong certificate as main$/;
	return ($cannot, $cannot) if $cell =~ /^refused \(4\)|, else refused \(4\)$/;
	return ($by_carrier, $by_carrier) if $cell =~ /^refused by the carrier's line \(5\)$/;
	return ($no_method, $no_method) if $cell =~ /^refused \(6\)$/;
	die "no meaning is known for the cell '$cell'";
}

# ---- a role, its lines and its logins for each pair ----

my $certificates = make_certificates();
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my (@rows, @hba, @local, @ident, @roles, %pairs);

$certificates->make('mallory', 'mallory', 'root', 'basicConstraints=CA:FALSE');
my %shows = map { $_ => [ $certificates->path("$_.crt"), $certificates->path("$_.key") ] }
  qw(alice mallory);

# Adds a role; returns its name.
sub role
{
	my ($carrier, $user) = @_;
	my $encryption = $carrier eq 'hashed' ? 'md5' : 'scram-sha-256';

	push @roles, "set password_encryption = '$encryption'; create role $user login password '$right'";
	push @ident, "pgwire_trace $me $user";
	return $user;
}

# Adds a line of pg_hba.conf, unless there is to be none.
sub line
{
	my ($lines, $kind, $user, $address, $method) = @_;
	push @$lines, "$kind all $user $address $says{$method}" if $method ne 'none';
	return;
}

# Adds what a pair of methods needs.
sub pair
{
	my ($carrier, $client, @expect) = @_;
	my $user = role($carrier, sprintf('u%03d', scalar @roles));
	my $is_tls = $client eq 'cert' || $carrier eq 'certificate';
	my @first = ($carrier eq 'certificate' ? 'hostssl' : 'host', $carrier eq 'hashed' ? 'md5' : $carrier);

	line(\@hba, $first[0], $user, '127.0.0.1/32', $first[1]);
	if ($client eq 'peer') { line(\@local, 'local', $user, '', 'peer'); }
	else { line(\@hba, $is_tls ? 'hostssl' : 'host', $user, '10.77.0.2/32', $client); }
	push @ident, "mine alice $user" if $client eq 'cert';
	for my $i (0, 1)
	{
		# who is right or wrong by peer is a matter of the map
		my $who = $i && $client eq 'peer' ? role($carrier, "${user}_other") : $user;
		if ($client eq 'peer')
		{
			push @ident, "mine $me $who" unless $i;
			line(\@local, 'local', $who, '', 'peer') if $i;
			line(\@hba, $first[0], $who, '127.0.0.1/32', $first[1]) if $i;
		}
		push @rows, { name => "carrier $carrier, client $client, " . ($i ? 'wrong' : 'right'),
			user => $who, password => $i ? $wrong : $right, expect => $expect[$i], without_psql => 1,
			asks => $carrier eq 'trust', carrier => $carrier,
			tls => $client eq 'peer' ? undef : $client eq 'cert' ? $shows{ $i ? 'mallory' : 'alice' } : $is_tls ? 1 : undef,
			host => $client eq 'peer' ? 'unix' : undef };
	}
	$pairs{"$carrier $client"}++;
	return;
}

for my $table (grep { $_->[0][0] =~ /^carrier/ } tables("Carrier's line and client's line"))
{
	my ($head, @body) = @$table;
	for my $row (@body)
	{
		my ($name, @cells) = @$row;
		for my $i (0 .. $#cells)
		{
			$cells[$i] = $cells[ $i - 1 ] if $cells[$i] eq 'same';
			my $carriers = $carriers{$name} // die "an unknown row: $name";
			my $clients = $clients{ $head->[ $i + 1 ] =~ s/^client: //r }
			  // die "an unknown column: $head->[$i + 1]";
			my @expect = meaning($cells[$i]);
			for my $carrier (@$carriers) { pair($carrier, $_, @expect) for @$clients; }
			next unless $cells[$i] =~ /^as main if it is the very same line/;
			for my $method (@$carriers)
			{
				my $user = role($method, "same_$method");
				push @hba, "host all $user all $says{$method}";
				push @rows, map { { name => "the same line, $method, $_", user => $user,
						password => $_, expect => 'same', asks => 1, without_psql => 1 } } $right, $wrong;
			}
		}
	}
}
my @all = qw(trust scram-sha-256 md5 hashed password ldap radius pam reject none certificate);
my @missing = grep { !$pairs{$_} } map { my $carrier = $_; map { "$carrier $_" }
	  qw(reject none trust scram-sha-256 md5 password ldap radius pam cert peer ident gss) } @all;
is("@missing", '', 'the tables have all ' . keys(%pairs) . ' pairs');
is((grep { $_ != 1 } values %pairs) + 0, 0, 'each once');

# ---- all of them ----

my $addresses = join ',', '127.0.0.1', PgwireTrace::Net::SERVER;
my $server = start_with_tls('security', $certificates,
	hba => join('', map { "$_\n" } @local, "local all $me trust", 'local all all peer map=pgwire_trace',
		"host all $me 127.0.0.1/32 trust", @hba),
	conf => "listen_addresses = '$addresses'\npgwire_trace.listen_addresses = '$addresses'\n"
	  . "pgwire_trace.unix_socket_directories = '$directory'\nssl_ca_file = '"
	  . $certificates->path('root.crt') . "'\n");
my $node = $server->node;

$server->sql(join(";\n", @roles));
append_to_file($node->data_dir . '/pg_ident.conf', join('', map { "$_\n" } @ident));
$node->reload;
$server->wait_for_side_port;
$_->{host} = [ $node->host, $directory ] for grep { ($_->{host} // '') eq 'unix' } @rows;
compare_logins($server, \@rows);

# the first row once more, its carriers by peer
$server->set('pgwire_trace.upstream' => 'unix');
poll(sub { $server->side_sql('select inet_server_addr() is null', env => { PGSSLMODE => 'disable' }) eq 't' })
  or die 'no Unix carrier';
compare_logins($server, [ map { { %$_, name => "$_->{name}, by peer" } }
	grep { $_->{carrier} && $_->{carrier} eq 'trust' } @rows ]);

$node->stop;
close STDIN;
$authority->finish;
done_testing();
