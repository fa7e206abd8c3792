# Peer through the side port's Unix socket, as another user of the operating system: the uid that
# counts is the client's, not the relay's.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PostgreSQL::Test::Utils;
use Test::More;

# a psql that runs as another user: dev/test makes one where it may
my $psql = $ENV{PGWT_OTHER_PSQL};
plan skip_all => 'no psql that runs as another user: dev/test makes one when it is run by root'
  unless $psql;

my $other = getpwuid((stat $psql)[4]);
my $me = getpwuid($<);
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my $server = PgwireTrace->start('peer', started => 0,
	hba => <<"HBA", conf => "pgwire_trace.unix_socket_directories = '$directory'\nlog_connections = on\n");
local all $me peer
local all mapped peer map=mine
local all all peer
host all all 127.0.0.1/32 trust
HBA
my $node = $server->node;
append_to_file($node->data_dir . '/pg_ident.conf', "mine $other mapped\n");
chmod 0755, $directory, $node->host;
$node->start;
$server->create_extension;
$server->sql("create role \"$other\" login; create role mapped login; create role third login");

# Logs in as a role with the given psql through the server's socket and the side port's; returns
# what each says.
sub both
{
	my ($program, $role) = @_;
	my @said;

	for my $where ([ $node->host, $node->port ], [ $directory, $server->side_port ])
	{
		my (undef, $out, $err) = run_client([ $program, '-XAtqc', 'select current_user',
				"host=$where->[0] port=$where->[1] dbname=postgres user=$role" ]);
		$err =~ s/^\S+: error: .*?failed: //s;
		push @said, $out . $err;
	}
	return @said;
}

my ($direct) = both($psql, $other);
SKIP:
{
	skip "psql does not run as $other here: $direct", 1 if $direct ne "$other\n";

	for my $upstream ('tcp', 'unix')
	{
		if ($upstream eq 'unix')
		{
			# the carrier is the server's own user
			append_to_file($node->data_dir . '/pg_ident.conf',
				map { "mine $me $_\n" } 'mapped');
			$server->set('pgwire_trace.upstream' => 'unix');
			poll(sub { $server->side_sql('select inet_server_addr() is null') eq 't' })
			  or BAIL_OUT('no Unix carrier');
		}
		my %in = ($other => $upstream eq 'tcp', mapped => 1, third => 0, $me => 0);
		for my $role ($other, 'mapped', 'third', $me)
		{
			my ($main, $side) = both($psql, $role);
			like($main, $role eq $other || $role eq 'mapped' ? qr/^\Q$role\E$/m
				: qr/Peer authentication failed/, "$other as $role on the main port");
			next if $upstream eq 'unix' && $role eq $other; # see below
			is($side, $main, "upstream $upstream: $other as $role is told the same");
		}
		my ($main, $side) = both('psql', 'third');
		like($side, qr/Peer authentication failed for user "third"/,
			"upstream $upstream: the relay's own user is no other role either");
		($main, $side) = both('psql', $me);
		is($side, "$me\n", "upstream $upstream: but its own");
	}
	my ($main, $side) = both($psql, $other);
	like($side, qr/the server does not let pgwire_trace in as user "$other" by method "peer"/,
		'a carrier without a map is refused, though the client is who it says');
	ok(poll(sub { slurp_file($node->logfile) =~ /authenticated: identity="$other" method=peer/ }),
		'the log says who was authenticated');
}

$node->stop;
done_testing();
