# pg_hba.conf decides for the client's real address: what the carrier's line and the client's own
# line make of each other, compared with a login from the same address on the main port.
use strict;
use warnings;

use PgwireTrace::Net;
use JSON::PP ();
use PgwireTrace qw(poll run_client);
use PgwireTrace::Login qw(compare_logins login_all);
use PostgreSQL::Test::Utils;
use Test::More;

my $right = 'right-4711';
my $wrong = 'wrong-4712';
my $rejects = [ '28000', qr/^pg_hba.conf rejects connection for host "127\.0\.0\.1"/ ];
my $no_entry = [ '28000', qr/^no pg_hba.conf entry for host "127\.0\.0\.1"/ ];
my $cannot = [ '28000', qr/^pgwire_trace cannot pass on authentication method/ ];
my $bad_password = [ '28P01', qr/^password authentication failed for user/ ];

# What a carrier's line and a client's line make of each other, for a role whose stored password is
# a SCRAM verifier; 'same' unless it is said here. A pair is for the right and the wrong password.
my @methods = qw(trust reject none scram-sha-256 md5 password);
my %differs = (
	(map { ("reject $_" => $rejects, "none $_" => $no_entry) } @methods),
	'scram-sha-256 trust' => [ 'same', $bad_password ],
	'md5 trust' => [ 'same', $bad_password ],
	'password trust' => [ 'same', $bad_password ],
	'password scram-sha-256' => $cannot,
	'password md5' => $cannot,
);
# The same where the stored password is an md5 hash, for the methods that can tell.
my %differs_md5 = (
	'scram-sha-256 md5' => [ $bad_password, 'same' ],
	'scram-sha-256 password' => [ $bad_password, 'same' ],
	'md5 scram-sha-256' => $cannot,
	'md5 password' => $cannot,
	'md5 md5' => 'same',
	'trust md5' => 'same',
	'trust scram-sha-256' => 'same',
);

my (@rows, @hba, @roles);
my ($major) = `postgres --version` =~ /(\d+)/;

# Adds a line of pg_hba.conf, unless the method is none.
sub line
{
	my ($database, $user, $address, $method) = @_;
	push @hba, "host $database $user $address $method" if $method ne 'none';
	return;
}

# Adds a combination of lines: a role and two rows, with the right and the wrong password.
sub combination
{
	my ($carrier, $client, $secret, $expect) = @_;
	my $user = sprintf('u%02d', scalar @roles);
	my ($good, $bad) = ref $expect eq 'ARRAY' && @$expect == 2 && ref $expect->[1] ne 'Regexp'
	  ? @$expect : ($expect, $expect);

	push @roles, "set password_encryption = '$secret'; create role $user login password '$right'";
	line('all', $user, '127.0.0.1/32', $carrier);
	line('all', $user, '10.77.0.2/32', $client);
	my $name = "carrier $carrier, client $client, $secret password";
	my $asks = $carrier eq 'trust' || $carrier eq $client;
	push @rows, { name => "$name right", user => $user, password => $right, expect => $good, asks => $asks,
		direct => $client eq 'reject' || $client eq 'none' || ($client eq 'scram-sha-256'
			&& $secret eq 'md5') ? 'refused' : 'in' };
	push @rows, { name => "$name wrong", user => $user, password => $wrong, expect => $bad, asks => $asks,
		direct => $client eq 'trust' ? 'in' : 'refused', without_psql => 1 };
	return;
}

for my $carrier (@methods)
{
	combination($carrier, $_, 'scram-sha-256', $differs{"$carrier $_"} // 'same') for @methods;
}
combination(split(/ /, $_), 'md5', $differs_md5{$_}) for sort keys %differs_md5;

# ---- lines of other kinds, the carrier's being trust ----

# Adds a role with lines of its own for the client; returns its row.
sub single
{
	my ($user, $lines, %row) = @_;

	push @roles, "set password_encryption = 'scram-sha-256'; create role \"$user\" login password '$right'";
	line('all', $user, '127.0.0.1/32', 'trust');
	line('all', $user, '::1/128', 'trust');
	push @hba, map { s/USER/$user/r } @$lines;
	my $row = { name => $user, user => $user, password => $right, expect => 'same', asks => 1, %row };
	push @rows, $row;
	return $row;
}

single('at_mask', ['host all USER 10.77.0.0 255.255.255.0 md5'], direct => 'in');
single('at_network', ['host all USER 10.0.0.0/8 scram-sha-256'], direct => 'in');
single('at_other_network', ['host all USER 10.78.0.0/16 trust'], direct => 'refused');
single('at_all', ['host all USER all password'], direct => 'in');
single('at_samenet', ['host all USER samenet md5'], direct => 'in');
single('at_samehost', ['host all USER samehost trust'], direct => 'in');
single('at_name', ['host all USER client.example.test scram-sha-256'], direct => 'in');
single('at_suffix', ['host all USER .example.test scram-sha-256'], direct => 'in');
single('at_other_name', ['host all USER server.example.test trust'], direct => 'refused');
single('at_unknown_name', ['host all USER no-such-host.invalid trust'], direct => 'refused');
single('by_far', ['host all USER 10.88.0.2/32 md5'], direct => 'in',
	host => PgwireTrace::Net::FAR_SERVER);
single('by_ipv6', [ 'host all USER fd77::/64 md5', 'host all USER 10.0.0.0/8 trust' ],
	direct => 'in', host => PgwireTrace::Net::SERVER6);
single('by_ipv6_rejected', [ 'host all USER fd77::/64 reject' ],
	direct => 'refused', host => PgwireTrace::Net::SERVER6);
single('no_tls', ['hostssl all USER all trust'], direct => 'refused');
single('without_tls', ['hostnossl all USER all md5'], direct => 'in');
single('no_gss', ['hostgssenc all USER all trust'], direct => 'refused');
single('without_gss', ['hostnogssenc all USER all md5'], direct => 'in');
single('database_list', ['host other,postgres USER all md5'], direct => 'in');
single('other_database', ['host other USER all trust'], direct => 'refused');
single('sameuser', ['host sameuser USER all trust'], direct => 'in', database => 'sameuser');
single('not_sameuser', ['host sameuser USER all trust'], direct => 'refused');
single('samerole', ['host samerole USER all trust'], direct => 'in', database => 'grouped');
single('not_samerole', ['host samerole USER all trust'], direct => 'refused',
	database => 'grouped');
single('member', ['host all +grouped all md5'], direct => 'in');
single('not_member', ['host all +grouped all trust'], direct => 'refused');
single('no_database', ['host all USER all md5'], direct => 'refused',
	database => 'no_such_database');
single('walsender', ['host replication USER all md5'], direct => 'in', replication => 'true');
single('no_walsender', ['host postgres USER all trust'], direct => 'refused',
	replication => 'true');
single('logical', ['host postgres USER all md5'], direct => 'in', replication => 'database');
single('file_list', ['host @databases,other @users all md5'], direct => 'in');
single('not_in_file', ['host @databases @users all trust'], direct => 'refused');
single('quoted_list', [ 'host "all",postgres "USER",nobody all md5' ], direct => 'in');
single('With_Capitals', [ 'host postgres "With_Capitals" all password' ], direct => 'in');
single('later_line', [ 'host other USER all trust', 'host postgres,other USER 10.78.0.0/16 trust',
		'host all USER 10.77.0.2/32 md5', 'host all USER all trust' ], direct => 'in');
if ($major >= 16)
{
	single('regex_user', ['host all /^regex_us(er|ed)$ all md5'], direct => 'in');
	single('regex_database', [ 'host "/^post(gres)?$" USER all md5' ], direct => 'in');
	single('no_regex', [ 'host /^other$ /^no_.*x$ all trust' ], direct => 'refused');
}
single('expired', ['host all USER all scram-sha-256'], direct => 'refused');
single('no_login', ['host all USER all md5'], direct => 'refused');
single('asks_ident', ['host all USER all ident'], direct => 'refused',
	expect => [ '28000', qr/^authentication method "ident" does not work through pgwire_trace/ ]);
single('asks_gss', ['host all USER all gss'], direct => 'closed',
	expect => [ '28000', qr/^authentication method "gss" does not work through pgwire_trace/ ]);
for my $method (qw(ident gss))
{
	for my $carrier (qw(scram-sha-256 md5 password))
	{
		my $user = "${method}_of_$carrier" =~ s/-/_/gr;
		push @hba, "host all $user 127.0.0.1/32 $carrier";
		push @roles, "create role $user login password '$right'";
		push @hba, "host all $user all $method";
		push @rows, map { { name => "carrier $carrier, client $method, $_", user => $user,
			password => $_, expect => [ '28000',
				qr/^authentication method "$method" does not work through pgwire_trace/ ] } }
		  $right, $wrong;
	}
}
push @hba, 'host all no_such_role 127.0.0.1/32 trust', 'host all no_such_role all scram-sha-256',
  'host all no_such_too 127.0.0.1/32 scram-sha-256', 'host all no_such_too all scram-sha-256',
  'host all no_such_third 127.0.0.1/32 trust', 'host all no_such_third all trust';
push @rows, map { { name => $_, user => $_, password => $right, expect => 'same',
	direct => 'refused' } } qw(no_such_role no_such_too no_such_third);
push @hba, 'host replication walsender,no_walsender,logical 127.0.0.1/32 trust';

my $addresses = join ',', '127.0.0.1', PgwireTrace::Net::SERVER, PgwireTrace::Net::FAR_SERVER,
  PgwireTrace::Net::SERVER6;
my $server = PgwireTrace->start('hba', started => 0,
	hba => join('', map { "$_\n" } 'local all all trust', 'host all ' . getpwuid($<) . ' 127.0.0.1/32 trust',
		@hba),
	conf => "listen_addresses = '$addresses'\npgwire_trace.listen_addresses = '$addresses'\n"
	  . "wal_level = logical\nmax_wal_senders = 5\n"
	  . "log_line_prefix = '<%h %r> '\nlog_connections = on\nlog_disconnections = on\n");
my $node = $server->node;

append_to_file($node->data_dir . '/databases', "postgres\n");
append_to_file($node->data_dir . '/users', "nobody, file_list\n");
$node->start;
$server->create_extension;
$server->sql("create database $_") for qw(other sameuser grouped);
$server->sql(join(";\n", 'create role grouped', @roles, 'grant grouped to samerole, member',
	'alter role walsender replication', 'alter role no_walsender replication',
	'alter role logical replication', "alter role expired valid until '2001-01-01'",
	'alter role no_login nologin'));

cmp_ok(scalar @rows, '>=', 60, 'combinations: ' . scalar @rows);
compare_logins($server, \@rows);

# ---- no oracle ----

for my $carrier (qw(trust scram-sha-256 md5 password))
{
	my ($row) = grep { $_->{name} eq "carrier $carrier, client reject, scram-sha-256 password right" } @rows;
	my %job = (host => PgwireTrace::Net::SERVER, port => $server->side_port, user => $row->{user});
	my ($good, $bad) = login_all({ %job, password => $right }, { %job, password => $wrong });
	is($bad->{bytes}, $good->{bytes}, "carrier $carrier, rejected: the same bytes for a right and a wrong password");
	like($good->{bytes}, qr/^45/, "carrier $carrier, rejected: and nothing is asked");
}

# ---- GSSAPI encryption, which the side port declines ----

{
	my %where = (host => PgwireTrace::Net::SERVER, port => $server->side_port, password => $right);
	for my $user ('no_gss', 'at_other_network', 'u01')
	{
		my ($with, $without, $main) = login_all({ %where, user => $user, gss => JSON::PP::true },
			{ %where, user => $user }, { %where, user => $user, port => $node->port });
		is($without->{hint}, $main->{hint}, "$user: the same hint, or none, as on the main port");
		is($with->{message}, $main->{message}, "$user asked for GSSAPI encryption: the server's message");
		like($with->{hint}, qr/"hostgssenc" never match\. Connect to the server's own port, or use TLS/,
			"$user asked for GSSAPI encryption: what to use instead");
	}
	my ($in) = login_all({ %where, user => 'at_all', gss => JSON::PP::true });
	is($in->{verdict}, 'in', 'who asked for GSSAPI encryption goes on without it, by a line that lets it');
}

# ---- what the log says ----

{
	my $offset = -s $node->logfile;
	my ($result) = login_all({ host => PgwireTrace::Net::SERVER, port => $server->side_port,
		user => 'at_all', password => $right, query => 'select 1/0' });
	my $from = PgwireTrace::Net::CLIENT . " " . PgwireTrace::Net::CLIENT . "($result->{port})";
	ok(poll(sub { slurp_file($node->logfile, $offset) =~ /^<\Q$from\E> ERROR:  division/m }),
		'log_line_prefix names the client by %h and %r');
	like(slurp_file($node->logfile, $offset),
		qr/pgwire_trace: connection from carrier port \d+ is of client host=10\.77\.0\.2 port=\d+/,
		'one line joins carrier and client');
	my $end = "user=at_all database=postgres host=10.77.0.2 port=$result->{port}";
	ok(poll(sub { slurp_file($node->logfile, $offset) =~ /^<\Q$from\E> LOG:  disconnection: .* \Q$end\E$/m }),
		'log_disconnections names the client');
}

# ---- the process title ----

{
	$server->sql('grant pg_read_server_files to at_all;'
		  . ' grant execute on function pg_read_binary_file(text) to at_all');
	my ($result) = login_all({ host => PgwireTrace::Net::SERVER, port => $server->side_port,
		user => 'at_all', password => $right,
		query => "select encode(pg_read_binary_file('/proc/self/cmdline'), 'escape')" });
	like($result->{row}, qr/^postgres: (?:\S+: )?at_all postgres 10\.77\.0\.2\($result->{port}\) SELECT/,
		'the process title names the client');
}

# ---- log_hostname ----

{
	$server->set(log_hostname => 'on');
	compare_logins($server, [ map { { %$_, name => "$_->{name}, log_hostname" } }
		grep { $_->{user} =~ /^at_(?:name|suffix|all|other_name)$/ } @rows ]);
	$server->set(log_hostname => 'off');
}

$node->stop;
done_testing();
