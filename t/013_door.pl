# Who gets in through the side port, cancelling through it, and what is never stored.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(message startup_packet query);
use PostgreSQL::Test::Utils;
use Test::More;

my $password = 'correct-horse-4711';
my $server = PgwireTrace->start('door', hba => <<'HBA');
local all all trust
host all scrammed 127.0.0.1/32 scram-sha-256
host all hashed 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
host all all 127.0.0.1/32 trust
HBA
my $node = $server->node;
my $user = getpwuid($<);

# ---- the carrier token ----

{
	my $client = $server->connect_raw;
	$client->send_bytes(startup_packet(user => $user, database => 'postgres',
			'pgwire_trace.carrier' => '00' x 16));
	$client->until_closed;
	is($client->{error}{C}, '08P01', 'a client that brings a token itself is refused');

	$client = $server->connect_raw;
	$client->send_bytes(startup_packet(user => $user, database => 'postgres',
			'PgWire_Trace.CARRIER' => '00' x 16));
	$client->until_closed;
	is($client->{error}{C}, '08P01', 'in any case of letters');

	for my $token ('00' x 16, '12' x 16, 'nonsense', '')
	{
		my $direct = PgwireTrace::Client->new($node->port);
		$direct->send_bytes(startup_packet(user => $user, database => 'postgres',
				'pgwire_trace.carrier' => $token));
		my $types = $direct->until_closed;
		is($direct->{error}{S} // 'let in', 'FATAL', "unknown token '$token' on the main port");
		unlike($types, qr/Z/, 'and never ready');
	}

	# as a setting of the options parameter
	my $direct = PgwireTrace::Client->new($node->port);
	$direct->send_bytes(startup_packet(user => $user, database => 'postgres',
			options => '-c pgwire_trace.carrier=' . '00' x 16));
	unlike($direct->until_closed(5), qr/Z/, 'a token in options does not get in');
	is($direct->{error}{S} // 'let in', 'FATAL', 'but an error');
}
my ($status, $out, $err) = $server->try_side_sql('show pgwire_trace.carrier');
isnt($status, 0, 'a session cannot see its token');
is($server->sql("select count(*) from pg_settings where name ilike '%carrier%'"), '0',
	'nor is it a setting');
$server->side_sql("select 'mine'", application => 'startup');
ok($server->flush, 'flush()');
is($server->sql("select count(*) from pgwire_trace.session where startup_parameters::text ~* 'carrier'"
	  . " and end_reason <> 'protocol_violation'"), '0', 'the record keeps the startup packet as the client sent it');
is($server->sql("select position('carrier'::bytea in request) from pgwire_trace.exchange where"
	  . " session_id = pgwire_trace.last_session('startup') and exchange_no = 0"), '0', 'byte for byte');
is($server->sql("select client_addr, client_port > 0, backend_pid > 0, database_oid > 0,"
	  . " backend_start between started_at and authenticated_at from pgwire_trace.session"
	  . " where session_id = pgwire_trace.last_session('startup')"), '127.0.0.1|t|t|t|t',
	'what the backend told through the slot');

# ---- SSLRequest, GSSENCRequest ----

for my $code ([ SSLRequest => 80877103 ], [ GSSENCRequest => 80877104 ])
{
	my $client = $server->connect_raw;
	$client->send_bytes(pack('NN', 8, $code->[1]));
	is($client->receive_byte, 'N', "$code->[0] is answered N");
	$client->login(user => $user, database => 'postgres');
	is($client->run('select 1'), 'TDCZ', "$code->[0]: and the session goes on in clear");
	$client->close;
}

# ---- cancelling ----

{
	my $client = $server->connect_client(application_name => 'cancelled');
	my $bystander = $server->connect_client(application_name => 'bystander');
	$client->send_bytes(query('select pg_sleep(60)'));
	$bystander->send_bytes(query('select pg_sleep(2)'));
	ok($server->wait_for("select count(*) = 2 from pg_stat_activity where query like"
		  . " 'select pg_sleep%' and state = 'active'"), 'two are busy');

	my $cancel = $server->connect_raw;
	$cancel->send_bytes(pack('NNN', 12 + length($client->{key}), 80877102, $client->{pid})
		  . $client->{key});
	ok($cancel->is_closed_within(10), 'the cancel request is answered by closing');
	like($client->until_ready, qr/EZ$/, 'the query ends with an error');
	is($client->{error}{C}, '57014', 'it was cancelled');
	is($client->run('select 1'), 'TDCZ', 'its session goes on');
	is($bystander->until_ready, 'TDCZ', "nobody else's was");
	my $stray = $server->connect_raw;
	$stray->send_bytes(pack('NNNN', 16, 80877102, $client->{pid}, 12345));
	ok($stray->is_closed_within(10), 'a wrong key is answered by closing too');
	is($client->run('select 1'), 'TDCZ', 'and cancels nothing');
	ok($server->flush, 'flush()');
	is($server->sql("select count(*), min(kind) from pgwire_trace.exchange join pgwire_trace.session"
		  . " using (session_id) where end_reason = 'cancel_request' and kind = 'cancel'"),
		'2|cancel', 'both requests are in the record');
}

# ---- passwords ----

my %logins = (scrammed => 'scram-sha-256', hashed => 'md5', clear => 'scram-sha-256');
for my $role (sort keys %logins)
{
	$server->sql("set password_encryption = '$logins{$role}'; create role $role login password"
		  . " '$password'");
	for my $try ([ $password, 0 ], [ 'wrong-horse-4712', 2 ])
	{
		($status, $out, $err) = run_client(
			[ 'psql', '-XAtqc', 'select current_user', $server->side_connstr . " user=$role" ],
			env => { PGPASSWORD => $try->[0], PGAPPNAME => "login $role $try->[1]" });
		is($status, $try->[1], "$role: psql with password '$try->[0]'");
		is($out, $try->[1] ? '' : "$role\n", "$role: is let in as itself, or not");
	}
}

# ---- what is never stored ----

my @secrets = ($password, 'wrong-horse-4712');
for my $statement ("alter role clear password 'new-secret-1'",
	"alter user clear with login encrypted password 'new-secret-2'",
	"create role another password E'new-secret-3'",
	"/* x */ create user more with createdb password \$\$new-secret-4\$\$",
	"create server s foreign data wrapper w options (password 'new-secret-5')",
	"create user mapping for clear server s options (user 'u', password 'new-secret-6')",
	"select 1; alter role clear password 'new-secret-7'",
	"alter role clear password 'new-secret-8")
{
	push @secrets, $statement =~ /(new-secret-\d)/;
	$server->try_side_sql("$statement;", application => 'secrets');
	my $client = $server->connect_client(application_name => 'secrets');
	$client->send_bytes(PgwireTrace::Client::parse($statement)
		  . PgwireTrace::Client::bind_portal() . PgwireTrace::Client::execute()
		  . PgwireTrace::Client::sync_message());
	$client->until_ready;
	push @secrets, unpack('H*', $client->{key});
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
}

# Searches files for the secrets, as text or as the bytes of a key; returns those found.
sub find_secrets
{
	my (@files) = @_;
	my %found;

	for my $file (@files)
	{
		my $content = slurp_file($file);
		for my $secret (@secrets)
		{
			my $raw = $secret =~ /^[0-9a-f]{8}$/ ? pack('H*', $secret) : $secret;
			$found{$secret}++ if index($content, $raw) >= 0;
		}
	}
	return join ' ', sort keys %found;
}

# The journal as relays wrote it, while the writer stands still.
kill('STOP', my $writer = $server->worker_pid('writer'));
for my $role (sort keys %logins)
{
	run_client([ 'psql', '-XAtqc', "alter role $role password 'new-secret-9'",
			$server->side_connstr . " user=$role" ], env => { PGPASSWORD => $password });
}
push @secrets, 'new-secret-9';
my @segments;
# a relay writes when it has passed on what it read: psql may be gone by then
ok(poll(sub {
			@segments = $server->segments;
			join('', map { slurp_file($_) } @segments) =~ /alter role scrammed password/i;
		}), 'the statements are in the journal');
is(find_secrets(@segments), '', 'the secrets are not');
kill('CONT', $writer);

ok($server->flush, 'flush()');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/tables';
my $rows = '';
for my $table ('session', 'exchange', 'query_text', 'log')
{
	$rows .= $server->sql("select t::text from pgwire_trace.$table t");
}
append_to_file($dump, $rows);
append_to_file("$dump.bytes", pack('H*', $server->sql(
	"select string_agg(encode(coalesce(request, '') || coalesce(response, ''), 'hex'), '')"
	  . ' from pgwire_trace.exchange')));
like($rows, qr/alter role clear password/, 'the statements are in the tables');
is(find_secrets($dump, "$dump.bytes"), '', 'the secrets are neither in columns nor in bytes');
is($server->sql("select count(*) from pgwire_trace.session s, pgwire_trace.messages(s.session_id, 0)"
	  . " where s.application_name like 'login%' and name ~ '^(Password|SASL|AuthenticationSASL(C|F))'"
	  . " and body::text ~ 'n,,|r=|p=|v=|horse'"), '0', 'no SCRAM exchange can be read');
cmp_ok($server->sql("select count(*) from pgwire_trace.session s, pgwire_trace.messages(s.session_id, 0)"
	  . " where name = 'SASLInitialResponse'"), '>', 0, 'though it is seen that there was one');
is($server->sql("select count(*) from pgwire_trace.exchange where kind = 'startup'"
	  . " and request_bytes <> octet_length(request)"), '0', 'and lengths are kept');

is($server->duplicates, '0', 'nothing is stored twice');
$node->stop;
done_testing();
