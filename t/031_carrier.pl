# The carrier token: it ties a backend to its recorded session, it is used once, and whoever else
# sends one is refused on either port.
use strict;
use warnings;

use PgwireTrace qw(poll);
use PgwireTrace::Client qw(query);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('carrier', conf => "pgwire_trace.max_sessions = 3\n");
my $main_port = $server->node->port;
my $user = $ENV{PGUSER} // scalar getpwuid($<);

# Sends a startup packet to a port; returns the error's fields, or nothing if it was let in.
sub refusal
{
	my ($port, @parameters) = @_;
	my $client = PgwireTrace::Client->new($port);

	$client->send_bytes(PgwireTrace::Client::startup_packet(@parameters));
	while (my ($type, $body) = $client->receive)
	{
		return PgwireTrace::Client::error_fields($body) if $type eq 'E';
		return if $type eq 'Z';
	}
	return { C => 'closed', M => 'closed' };
}

# ---- the session knows itself ----

my $facts = $server->side_sql('select pgwire_trace.current_session_id(), pg_backend_pid(),'
	  . ' backend_start from pg_stat_activity where pid = pg_backend_pid()');
my ($session, $pid, $start) = split /\|/, $facts;

ok($session > 0, 'current_session_id() on the side port');
ok($server->flush, 'stored');
is($server->sql("select backend_pid = $pid and backend_start = '$start' and database_oid ="
		  . " (select oid from pg_database where datname = 'postgres')"
		  . " from pgwire_trace.session where session_id = $session"), 't',
	'its row names backend and database');
is($server->side_sql("select count(*) from pg_settings where name ~* 'carrier'"), '0',
	'the token is no setting of the session');

# ---- others ----

my %cases = (
	'an unknown token' => [ 'pgwire_trace.carrier', '0123456789abcdef' x 2 ],
	'a token of zeros' => [ 'pgwire_trace.carrier', '0' x 32 ],
	'a short token' => [ 'pgwire_trace.carrier', 'abcdef' ],
	'an empty token' => [ 'pgwire_trace.carrier', '' ],
	'a token that is no number' => [ 'pgwire_trace.carrier', 'x' x 32 ],
	'other case' => [ 'PGWIRE_Trace.Carrier', '0123456789abcdef' x 2 ],
	'two tokens' => [ 'pgwire_trace.carrier', 'a' x 32, 'pgwire_trace.carrier', 'b' x 32 ],
);

for my $name (sort keys %cases)
{
	for my $port ($main_port, $server->side_port)
	{
		my $where = $port == $main_port ? 'main' : 'side';
		my $error = refusal($port, user => $user, database => 'postgres', @{ $cases{$name} });

		ok($error, "$name is refused on the $where port") or next;
		like($error->{C}, $port == $main_port ? qr/^28000$/ : qr/^(?:08P01|28000)$/,
			"$name, $where port: the error's code") or diag($error->{M});
	}
}
is(refusal($main_port, user => $user, database => 'postgres'), undef,
	'an ordinary client of the main port is not touched');

# ---- slots are given back ----

for my $round (1 .. 20)
{
	my ($status, undef, $err) = $server->try_side_sql('select 1');
	last if is($status, 0, "session $round of as many as the board has slots many times") == 0;
}
my $client = $server->connect_client;
my ($backend) = $server->sql("select pid from pg_stat_activity where backend_type ="
	  . " 'client backend' and state = 'idle' limit 1");
$server->sql("select pg_terminate_backend($backend)");
ok($server->wait_for('select sum(sessions_open) = 0 from pgwire_trace.stat_relay'),
	'a terminated session is not counted as open');
is($server->side_sql('select 1'), '1', 'and the next one is served');

# ---- a full board: clients are gone, their backends are still at work ----

{
	my $busy = "select count(*) from pg_stat_activity where query = 'select pg_sleep(300)'";
	for my $round (1 .. 6) # twice max_sessions
	{
		my $gone;
		poll(sub { $gone = eval { $server->connect_client } }) // die 'no session';
		$gone->send_bytes(query('select pg_sleep(300)'));
		$server->wait_for("select ($busy) = $round");
		$gone->close(1);
		$server->wait_for('select sum(sessions_open) = 0 from pgwire_trace.stat_relay');
	}
	is($server->sql($busy), '6', 'six backends that nobody waits for');
	my $error = refusal($server->side_port, user => $user, database => 'postgres');
	is($error->{C}, '53300', 'with all slots taken a client is refused');
	like($error->{M}, qr/all slots are taken/, 'in these words');
	is($server->sql('select 1'), '1', 'the main port is open');
	$server->sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where query ="
		  . " 'select pg_sleep(300)'");
	ok(poll(sub { !refusal($server->side_port, user => $user, database => 'postgres') }),
		'when they are gone there is room');
}

# ---- earlier hooks ----

SKIP:
{
	my ($status) = $server->try_sql("load 'auth_delay'");
	skip 'contrib module auth_delay is not installed', 1 if $status != 0;
	$server->node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'auth_delay, pgwire_trace'\nauth_delay.milliseconds = 10\n");
	$server->node->restart;
	$server->wait_for_side_port;
	is($server->side_sql('select pgwire_trace.current_session_id() > 0'), 't',
		'with another library in the same hook');
}

$server->node->stop;

# ---- without the library ----

{
	my $other = PgwireTrace->start('without', preload => 0, extension => 0,
		conf => "shared_preload_libraries = 'pg_stat_statements'\n");
	my ($status, $out, $err) = $other->try_sql('create extension pgwire_trace');
	my $file = $other->node->data_dir . '/postgresql.conf';

	isnt($status, 0, 'without shared_preload_libraries CREATE EXTENSION fails');
	like($err, qr/must be loaded via "shared_preload_libraries"/, 'its error says what is missing');
	like($err, qr/\Q$file\E/, 'and in which file');
	like($err, qr/shared_preload_libraries = 'pg_stat_statements, pgwire_trace'/,
		'and what to write there, beside what is there already');
	$other->sql("alter system set shared_preload_libraries = 'pg_stat_statements', 'pgwire_trace'");
	$other->node->append_conf('postgresql.conf', "pgwire_trace.port = " . $other->side_port . "\n");
	$other->node->restart;
	is($other->sql('create extension pgwire_trace; select 1'), '1', 'that helps');
	$other->node->stop;
}

done_testing();
