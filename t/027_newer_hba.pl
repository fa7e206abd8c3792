# What pg_hba.conf and pg_ident.conf know from 16 on (regular expressions, included files, `all` and
# +group in maps), and OAuth (18): through the side port as on the main port.
use strict;
use warnings;

use PgwireTrace::Net;
use PgwireTrace qw(poll run_client);
use PgwireTrace::Login qw(compare_logins login_all);
use PostgreSQL::Test::Utils;
use Test::More;

my ($major) = `postgres --version` =~ /(\d+)/;
plan skip_all => "PostgreSQL $major has nothing of what this tests; it wants 16 or newer" if $major < 16;

my $right = 'right-4711';
my $me = getpwuid($<);
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my $addresses = join ',', '127.0.0.1', PgwireTrace::Net::SERVER;
my $has_oauth = $major >= 18;
my $validator = $has_oauth ? PgwireTrace::build_module('oauth_validator') : '';
my $client = PgwireTrace::Net::CLIENT . '/32';

my $oauth = $has_oauth ? <<"HBA" : '';
host all oauth_role $client oauth issuer="https://issuer.example" scope="db"
host all oauth_mapped $client oauth issuer="https://issuer.example" scope="db" map=bearer
HBA
my $server = PgwireTrace->start('newer_hba', started => 0, hba => <<"HBA", conf => <<"CONF");
local all id_all peer map=anybody
local all id_two peer map=regex
local all three_id peer map=regex
local all id_member,id_stranger peer map=members
local all all peer map=pgwire_trace
local replication all peer map=pgwire_trace
host all $me 127.0.0.1/32 trust
host all $me $client trust
host all /^id_|_id\$ 127.0.0.1/32 trust
host "/^app(_one|_two)\$" "/^app_.*\$" $client scram-sha-256
host postgres /^open_ $client trust
host all /^closed_ $client reject
include_if_exists nowhere.conf
include more_hba.conf
$oauth
HBA
listen_addresses = '$addresses'
pgwire_trace.listen_addresses = '$addresses'
pgwire_trace.unix_socket_directories = '$directory'
@{[ $has_oauth ? "oauth_validator_libraries = '$validator'" : '' ]}
CONF
my $node = $server->node;

append_to_file($node->data_dir . '/more_hba.conf', <<"HBA");
host all included_scram $client scram-sha-256
host all included_reject $client reject
host all included_ident $client ident
HBA
append_to_file($node->data_dir . '/pg_ident.conf', <<"MAPS");
pgwire_trace /^(.*)\$ \\1
pgwire_trace $me all
anybody $me all
regex $me /^id_t
members $me +members
bearer /^(.*)[.]corp\$ \\1
MAPS
$node->start;
$server->create_extension;
$server->sql("create database app_one; create role members; set password_encryption = 'scram-sha-256';"
	  . join(';', map { "create role $_ login password '$right'" }
		qw(app_user open_user closed_user other_user included_scram included_reject included_ident
		id_all id_two three_id id_member id_stranger oauth_role oauth_mapped refused_role))
	  . '; grant members to id_member');

# ---- clients of TCP; their carriers come by the Unix socket, as anybody ----

$server->set('pgwire_trace.upstream' => 'unix');
ok(poll(sub { ($server->try_side_sql('select inet_server_addr() is null'))[1] eq 't' }),
	'a carrier of the server\'s own user as anybody: one line of pg_ident.conf with `all`');
my @rows;
for my $case (
	[ 'app_user', 'app_one', 'in' ],
	[ 'app_user', 'postgres', 'refused' ],
	[ 'open_user', 'postgres', 'in' ],
	[ 'open_user', 'app_one', 'refused' ],
	[ 'closed_user', 'postgres', 'refused' ],
	[ 'other_user', 'app_one', 'refused' ],
	[ 'included_scram', 'postgres', 'in' ],
	[ 'included_reject', 'postgres', 'refused' ])
{
	my ($user, $database, $direct) = @$case;
	push @rows, map { { name => "$user in $database, $_", user => $user, database => $database,
		password => $_, direct => $_ eq $right || $user eq 'open_user' ? $direct : 'refused',
		expect => 'same', asks => 1 } } $right, 'wrong-4712';
}
push @rows, { name => 'ident in an included file', user => 'included_ident', without_psql => 1,
	expect => [ '28000', qr/^authentication method "ident" does not work through pgwire_trace/ ] };
my $offset = -s $node->logfile;
compare_logins($server, \@rows);
my $more = $node->data_dir . '/more_hba.conf';
like(slurp_file($node->logfile, $offset), qr/Client matched file "\Q$more\E" line 3: "host all included_ident/,
	'the log names the file that the line is in');

# ---- clients of the side port's Unix socket, by map ----

$server->set('pgwire_trace.upstream' => 'tcp');
ok(poll(sub { ($server->try_side_sql('select inet_server_addr() is null'))[1] eq 'f' }), 'upstream = tcp');
compare_logins($server, [
		map { { name => "peer of $_->[0]", user => $_->[0], direct => $_->[1], expect => 'same', asks => 1,
				host => [ $node->host, $directory ] } }
		  [ id_all => 'in' ], [ id_two => 'in' ], [ three_id => 'refused' ], [ id_member => 'in' ],
		  [ id_stranger => 'refused' ] ]);
# ---- OAuth ----

SKIP:
{
	skip "PostgreSQL $major has no OAuth", 1 unless $has_oauth;
	$server->set('pgwire_trace.upstream' => 'unix');
	poll(sub { ($server->try_side_sql('select inet_server_addr() is null'))[1] eq 't' });
	compare_logins($server, [
			map { { name => "OAuth: $_->[0] with $_->[1]", user => $_->[0], password => $_->[1],
					direct => $_->[2], expect => 'same', asks => 1, without_psql => 1 } }
			  [ oauth_role => 'token-of-oauth_role', 'in' ],
			  [ oauth_role => 'token-of-somebody', 'refused' ],
			  [ oauth_role => 'token-of-refused', 'refused' ],
			  [ oauth_role => 'nonsense', 'refused' ],
			  [ oauth_role => '', 'refused' ],
			  [ oauth_mapped => 'token-of-oauth_mapped.corp', 'in' ],
			  [ oauth_mapped => 'token-of-oauth_mapped', 'refused' ],
			  [ oauth_mapped => 'token-of-' . 'x' x 20000, 'refused' ] ]);

	ok($server->flush, 'flush()');
	is($server->sql("select count(*) from pgwire_trace.exchange where position('token-of'::bytea in request) > 0"
		  . " or position('nonsense'::bytea in request) > 0"), '0', 'no token is in the record');
	is($server->sql("select string_agg(distinct name, ' ' order by name) from pgwire_trace.session s,"
		  . " pgwire_trace.messages(s.session_id, 0) where user_name = 'oauth_role' and name ~ 'SASL'"),
		'AuthenticationSASL AuthenticationSASLContinue SASLInitialResponse SASLResponse',
		'though the record shows what was said');
	is($server->sql("select distinct body from pgwire_trace.session s, pgwire_trace.messages(s.session_id, 0)"
		  . " where user_name = 'oauth_role' and name = 'AuthenticationSASL'"),
		'{"mechanisms": ["OAUTHBEARER"]}', 'and by which mechanism');
	# behind a carrier that asks for a password a token cannot be asked for
	$server->set('pgwire_trace.upstream' => 'tcp');
	poll(sub { ($server->try_side_sql('select inet_server_addr() is null'))[1] eq 'f' });
	$node->append_conf('more_hba.conf', "host all oauth_role 127.0.0.1/32 scram-sha-256\n");
	$node->reload;
	my $result;
	ok(poll(sub { ($result) = login_all({ host => PgwireTrace::Net::SERVER, port => $server->side_port,
					user => 'oauth_role', password => $right });
				($result->{message} // '') =~ /^pgwire_trace cannot pass on authentication method "oauth"/ }),
		'behind a carrier that is asked for a password it is refused') or diag(explain($result));
}

is($server->stat_relay('restarts'), '0', 'no relay died of it');
$node->stop;
done_testing();
