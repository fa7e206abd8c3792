# The server's Unix socket as the way to the server, with the lines of pg_hba.conf and pg_ident.conf
# that docs/security.md recommends; and clients of the side port's own Unix socket. Compared with
# logins on the main port.
use strict;
use warnings;

use PgwireTrace::Net;
use PgwireTrace qw(poll run_client);
use PgwireTrace::Login qw(compare_logins login_all);
use PgwireTrace::Tls qw(make_certificates);
use PostgreSQL::Test::Utils;
use Test::More;

my $right = 'right-4711';
my $wrong = 'wrong-4712';
my $me = getpwuid($<);
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my (@hba, @roles, @tcp_rows, @unix_rows);

# Adds a role, with lines of its own.
sub role
{
	my ($user, @lines) = @_;
	push @roles, $user;
	push @hba, map { s/USER/$user/r } @lines;
	return $user;
}

# ---- clients of TCP; their carriers match the first line, local and peer ----

for my $method (qw(trust reject none scram-sha-256 md5 password))
{
	my $user = role("tcp_$method" =~ s/-/_/gr,
		$method eq 'none' ? () : "host all USER 10.77.0.2/32 $method");
	my $is_out = $method eq 'reject' || $method eq 'none';

	push @tcp_rows, { name => "client $method, right", user => $user, password => $right,
		direct => $is_out ? 'refused' : 'in', expect => 'same', asks => 1 };
	push @tcp_rows, { name => "client $method, wrong", user => $user, password => $wrong,
		direct => $method eq 'trust' ? 'in' : 'refused', expect => 'same', asks => 1 };
}
role('tcp_walsender', 'host replication USER 10.77.0.2/32 scram-sha-256');
push @tcp_rows, { name => 'replication', user => 'tcp_walsender', password => $right,
	replication => 'true', direct => 'in', expect => 'same', asks => 1 };
my $with_tls = role('tcp_tls', 'hostssl all USER 127.0.0.1/32 trust',
	'hostssl all USER 10.77.0.2/32 scram-sha-256');
push @tcp_rows, map { { name => "TLS goes by TCP, $_", user => $with_tls, password => $_, tls => 1,
	direct => $_ eq $right ? 'in' : 'refused', expect => 'same', asks => 1 } } $right, $wrong;

# ---- clients of the Unix socket, with local lines before the carriers' ----

my @local;
for my $line (
	[ 'loc_trust', 'trust', 'in', 'in' ],
	[ 'loc_reject', 'reject', 'refused', 'refused' ],
	[ 'loc_scram', 'scram-sha-256', 'in', 'refused' ],
	[ 'loc_md5', 'md5', 'in', 'refused' ],
	[ 'loc_password', 'password', 'in', 'refused' ],
	[ 'loc_peer', 'peer', 'refused', 'refused' ],
	[ 'loc_map', 'peer map=mine', 'in', 'in' ],
	[ 'loc_other_map', 'peer map=other', 'refused', 'refused' ],
	[ 'loc_ident', 'ident map=mine', 'in', 'in' ])
{
	my ($user, $method, @direct) = @$line;
	push @roles, $user;
	push @local, "local all $user $method";
	push @hba, "host all $user 127.0.0.1/32 trust";
	for my $i (0, 1)
	{
		push @unix_rows, { name => "local $method, " . ($i ? 'wrong' : 'right'), user => $user,
			password => $i ? $wrong : $right, direct => $direct[$i], expect => 'same', asks => 1 };
	}
}

# peer behind a carrier by TCP that asks for a password: it could not ask for nothing instead
my @asked_rows;
for my $method (qw(scram-sha-256 md5 password))
{
	my $user = "loc_asked_$method" =~ s/-/_/gr;
	push @roles, $user;
	push @local, "local all $user peer map=mine";
	push @hba, "host all $user 127.0.0.1/32 $method";
	push @asked_rows, { name => "carrier $method, client peer", user => $user, password => $right,
		direct => 'in', expect => [ '28000', qr/^pgwire_trace cannot pass on/ ] };
}

my $addresses = join ',', '127.0.0.1', PgwireTrace::Net::SERVER;
my $server = PgwireTrace->start('unix_carrier', started => 0,
	hba => join('', map { "$_\n" } @local, 'local all all peer map=pgwire_trace',
		'local replication all peer map=pgwire_trace', "host all $me 127.0.0.1/32 trust",
		"host all $me 10.77.0.2/32 trust", @hba),
	conf => "ssl = on\nlisten_addresses = '$addresses'\npgwire_trace.listen_addresses = '$addresses'\n"
	  . "pgwire_trace.unix_socket_directories = '$directory'\nmax_wal_senders = 5\n"
	  . "wal_level = replica\n");
my $node = $server->node;
my ($major) = `postgres --version` =~ /(\d+)/;

# What docs/security.md says for each major version: every user under its own name, and the server's
# user as everybody.
append_to_file($node->data_dir . '/pg_ident.conf', join('', map { "$_\n" }
	'pgwire_trace /^(.*)$ \1',
	($major >= 16 ? "pgwire_trace $me all" : map { "pgwire_trace $me $_" } @roles),
	"mine $me loc_map", "mine $me loc_ident",
	(map { "mine $me $_->{user}" } @asked_rows), 'other nobody loc_other_map'));
make_certificates()->install($server, 'server');
$node->start;
$server->create_extension;
$server->sql(join(";\n", map { "create role $_ login password '$right'" } @roles)
	  . '; alter role tcp_walsender replication');

# Waits until carriers come by the given way.
sub upstream
{
	my ($way) = @_;
	$server->set('pgwire_trace.upstream' => $way);
	return poll(sub { ($server->try_side_sql('select inet_server_addr() is null',
				env => { PGSSLMODE => 'disable' }))[1] eq ($way eq 'unix' ? 't' : 'f') });
}

for my $row (@unix_rows, @asked_rows)
{
	$row->{host} = [ $node->host, $directory ];
}
compare_logins($server, [ @unix_rows, @asked_rows ]);
ok(upstream('unix'), 'upstream = unix');
compare_logins($server, \@unix_rows);
compare_logins($server, \@tcp_rows);

# ---- ordinary logins by peer are as they were ----

is($node->safe_psql('postgres', 'select current_user'), $me, 'the server\'s own user, as itself');
is($server->sql('select current_user'), $me, 'peer on the main port');

# ---- a carrier that is not let in ----

{
	$server->sql('create role unmapped login');
	$node->append_conf('pg_hba.conf', "host all unmapped all trust\n");
	my @lines = split /\n/, slurp_file($node->data_dir . '/pg_hba.conf');
	unlink $node->data_dir . '/pg_hba.conf';
	append_to_file($node->data_dir . '/pg_hba.conf', join('', map { "$_\n" }
		'local all unmapped peer', @lines));
	$node->reload;
	poll(sub { (login_all({ host => PgwireTrace::Net::SERVER, port => $node->port,
					user => 'unmapped' }))[0]{verdict} eq 'in' });
	my ($result) = login_all({ host => PgwireTrace::Net::SERVER, port => $server->side_port,
		user => 'unmapped' });
	is($result->{sqlstate}, '28000', 'a carrier that is not let in: refused');
	is($result->{message},
		'the server does not let pgwire_trace in as user "unmapped" by method "peer"',
		'with what is the matter');
	like($result->{hint}, qr/local all all peer map=pgwire_trace/, 'and the line to write');
}

$node->stop;
done_testing();
