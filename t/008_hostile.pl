# Wrong settings and wrong input: a clear error or a counted refusal, bounded memory, and other
# clients go on.
use strict;
use warnings;

use IO::Socket::INET;
use PgwireTrace qw(poll);
use PgwireTrace::Client
  qw(message startup_packet parse bind_portal execute describe_portal query sync_message);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use constant MEMORY => 64 * 1024 * 1024;

my $user = getpwuid($<);

# Returns the IPv4 addresses, as the kernel prints them, that are listened on with a port.
sub listening
{
	my ($port) = @_;
	my $hex = sprintf('%04X', $port);

	return map { join '', reverse($_ =~ /../g) }
	  map { /^\s*\d+: ([0-9A-F]{8}):$hex \S+ 0A / ? $1 : () } split /\n/, slurp_file('/proc/net/tcp');
}

# ---- settings that cannot be ----

{
	my $server = PgwireTrace->start('settings', started => 0);
	my $squatter = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1',
		LocalPort => $server->side_port, ReuseAddr => 1) or die "could not listen: $!";
	$server->node->start;
	$server->sql('create extension pgwire_trace');

	my $port = $server->side_port;
	ok($server->wait_for("select bool_or(last_error ~ '$port') from pgwire_trace.stat_relay"),
		'port in use: stat_relay says so');
	like(slurp_file($server->node->logfile), qr/could not bind.*$port|$port.*in use/i,
		'port in use: the log too');
	is($server->sql('select 1'), '1', 'port in use: the server runs');
	close $squatter;
	ok($server->wait_for_side_port, 'port in use: tried again when it is free');

	$server->set('pgwire_trace.listen_addresses' => 'no-such-host.invalid');
	ok($server->wait_for("select bool_or(last_error ~ 'no-such-host.invalid')"
		  . ' from pgwire_trace.stat_relay'), 'unknown host: stat_relay says so');
	is($server->sql('select 1'), '1', 'unknown host: the server runs');

	for my $number (1 .. 20)
	{
		$server->set('pgwire_trace.listen_addresses' => "no-such-host-$number.invalid");
	}
	ok($server->wait_for("select bool_or(last_error ~ 'resolve host name .no-such-host-20.invalid')"
		  . ' from pgwire_trace.stat_relay'), 'however many names there were before');
	for my $address ('*', '0.0.0.0')
	{
		$server->set('pgwire_trace.listen_addresses' => $address);
		ok(poll(sub { return join(' ', listening($server->side_port)) eq '00000000' }),
			"listen_addresses $address: all IPv4 addresses are listened on");
	}
	$server->set('pgwire_trace.listen_addresses' => '127.0.0.1');
	ok($server->wait_for_side_port, 'a right setting mends it');
	$server->node->stop;

	$server->node->append_conf('postgresql.conf', "pgwire_trace.journal_directory = '/proc/nowhere'\n");
	$server->node->start;
	ok($server->wait_for_side_port, 'journal directory not writable: clients are served');
	ok($server->wait_for("select coalesce((select bool_or(last_error ~ '/proc/nowhere') from"
		  . " pgwire_trace.stat_relay), false) or coalesce((select last_error ~ '/proc/nowhere'"
		  . " from pgwire_trace.stat_writer), false)"), 'and the reason is shown');
	$server->node->stop;
}

# ---- clients that send what they should not ----

my $server = PgwireTrace->start('hostile',
	conf => "authentication_timeout = 2s\npgwire_trace.max_unauthenticated = 50\n");
my $witness = $server->connect_client(application_name => 'witness');

# Checks that others are served and that the relay keeps little.
sub others_go_on
{
	my ($what) = @_;
	is($witness->run('select 1', 5), 'TDCZ', "$what: an open session goes on");
	is($server->side_sql('select 1'), '1', "$what: a new client is served");
	cmp_ok($server->stat_relay('bytes_allocated'), '<', MEMORY, "$what: memory is bounded");
	return;
}

# Sends bytes on a new connection and checks that it is refused, in words or by closing it.
sub refused
{
	my ($what, $bytes, $sqlstate) = @_;
	my $before = $server->stat_relay('startups_failed');
	my $client = $server->connect_raw;

	$client->send_bytes($bytes);
	my $types = $client->until_closed(10);
	ok($client->{closed}, "$what: the connection is closed");
	is($client->{error}{C}, $sqlstate, "$what: with SQLSTATE $sqlstate") if $sqlstate;
	ok($server->wait_for("select sum(startups_failed) > $before from pgwire_trace.stat_relay"),
		"$what: it is counted");
	return;
}

refused('garbage', "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" . join('', map { chr(int(rand(256))) } 1 .. 4000));
refused('a startup packet of 2 GB', pack('NN', 0x7fffffff, 3 << 16), '08P01');
refused('a startup packet of negative length', pack('NN', 0xfffffff0, 3 << 16), '08P01');
refused('a startup packet of 4 bytes', pack('N', 4));
refused('a startup packet of 20,000 bytes',
	startup_packet(user => $user, database => 'postgres', options => 'x' x 20000), '08P01');
refused('another protocol', pack('NN', 8, 7 << 16));
refused('a startup packet without a user', startup_packet(database => 'postgres'), '28000');
others_go_on('bad startup packets');

{
	my $client = $server->connect_raw;
	for my $byte (split //, startup_packet(user => $user, database => 'postgres',
			application_name => 'slow'))
	{
		$client->send_bytes($byte);
		usleep(2000);
	}
	like($client->until_ready, qr/^RS+KZ$/, 'one byte at a time: the client gets in');
	for my $byte (split //, query("select 'slowly'")) { $client->send_bytes($byte); usleep(2000); }
	is($client->until_ready, 'TDCZ', 'one byte at a time: and gets its answer');
	ok($server->flush, 'one byte at a time: stored');
	is($server->sql("select query, is_complete, request_bytes from pgwire_trace.exchange where"
		  . " session_id = pgwire_trace.last_session('slow') and kind = 'query'"),
		"select 'slowly'|t|21", 'one byte at a time: as one exchange');
	$client->close;
}

{
	my $before = $server->stat_relay('startups_failed');
	my @silent = map { $server->connect_raw } 1 .. 20;
	my $half = $server->connect_raw;
	$half->send_bytes(substr(startup_packet(user => $user, database => 'postgres'), 0, 11));
	others_go_on('clients that say nothing');
	my $closed = grep { $_->is_closed_within(10) } @silent, $half;
	is($closed, 21, 'clients that say nothing are let go after authentication_timeout');
	ok($server->wait_for("select sum(startups_failed) >= $before + 21 from pgwire_trace.stat_relay"),
		'and counted');
}

# ---- a flood from one address, and somebody slow from another ----

{
	my $slow = $server->connect_raw;
	my @flood;
	for my $round (1 .. 4)
	{
		push @flood, map { PgwireTrace::Client->new($server->side_port, '127.0.0.2') } 1 .. 40;
		is($server->side_sql('select 1'), '1', "flood, round $round: a new client is served");
	}
	my $ended = grep { $_->is_closed_within(0.01) } @flood;
	cmp_ok($ended, '>=', 100, "$ended of 160 silent clients of one address have made room");
	$slow->send_bytes(startup_packet(user => $user, database => 'postgres'));
	like($slow->until_ready, qr/^RS+KZ$/, 'who came before them from another address gets in');
	$_->close for @flood, $slow;
}

# ---- sessions that stop making sense ----

for my $case ([ '2 GB', 0x7fffffff ], [ 'negative', 0xfffffff0 ], [ '3 bytes', 3 ])
{
	my ($name, $length) = @$case;
	my $client = $server->connect_client(application_name => "length $name");
	is($client->run('select 1'), 'TDCZ', "a message length of $name: a session is open");
	$client->send_bytes('Q' . pack('N', $length) . ('x' x 100000));
	if ($length == 0x7fffffff)
	{
		# the server waits for 2 GB to come
		others_go_on("a message length of $name");
		$client->close;
	}
	else
	{
		$client->until_closed;
		ok($client->{closed}, "a message length of $name: the server hangs up");
		my $direct = PgwireTrace::Client->new($server->node->port);
		$direct->login(user => $user, database => 'postgres');
		$direct->send_bytes('Q' . pack('N', $length) . ('x' x 100000));
		$direct->until_closed;
		is($client->{error}{C} // 'nothing', $direct->{error}{C} // 'nothing',
			"a message length of $name: the client hears what it would on the main port");
	}
	ok($server->wait_for("select count(*) = 1 from pgwire_trace.session where ended_at is not null"
		  . " and session_id = pgwire_trace.last_session('length $name')"),
		"a message length of $name: the session is recorded as ended");
}
others_go_on('sessions that stopped making sense');

{
	my $client = $server->connect_client(application_name => 'unknown type');
	$client->send_bytes(message('y', 'what is this'));
	$client->until_closed;
	is($client->{error}{C}, '08P01', 'an unknown message type: the server refuses it');
	$server->flush;
	is($server->sql("select count(*) > 0 from pgwire_trace.session where application_name ="
		  . " 'unknown type' and ended_at is not null"), 't', 'an unknown message type: recorded');
}

# ---- the memory for what is recorded is used up ----

{
	$server->set('pgwire_trace.capture_memory' => '1MB');
	my @held;
	for (1 .. 4)
	{
		my $client = $server->connect_client(application_name => 'hoarder');
		$client->send_bytes('Q' . pack('N', 100_000_000) . "select 'x" x 100_000);
		push @held, $client;
	}
	ok($server->wait_for('select sum(bytes_allocated) > 900000 from pgwire_trace.stat_relay'),
		'the memory for captured bytes is used up');
	others_go_on('no memory to capture with');
	my $slow = $server->connect_raw;
	for my $byte (split //, startup_packet(user => $user, database => 'postgres'))
	{
		$slow->send_bytes($byte);
	}
	like($slow->until_ready, qr/^RS+KZ$/, 'no memory to capture with: nor is who comes byte by byte kept out');
	is(length $server->side_sql("select repeat('x', 3000000)"), 3_000_000,
		'no memory to capture with: answers pass');
	$_->close(1) for @held, $slow;
	$server->set('pgwire_trace.capture_memory' => '256MB');
}

# ---- a great many messages at once ----

{
	my $client = $server->connect_client(application_name => 'syncs');
	my $bytes = sync_message() x 900_000;
	ok($client->send_bytes($bytes), '900,000 Syncs are sent');
	is($client->until_ready(900_000, 60) =~ tr/Z//, 900_000, '900,000 Syncs are answered');
	is($client->run('select 42'), 'TDCZ', '900,000 Syncs: the session goes on');
	others_go_on('900,000 Syncs');
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
	ok($server->flush, '900,000 Syncs are stored, or what there is of them');
	is($server->sql("select query, request_bytes, pairing_uncertain, is_complete"
		  . " from pgwire_trace.exchange"
		  . " where session_id = pgwire_trace.last_session('syncs') and kind = 'query'"),
		'select 42|15|f|t', '900,000 Syncs: select 42 is itself');
}

{
	my $client = $server->connect_client(application_name => 'deletes');
	$client->run('create table emptiness (n int)');
	$client->send_bytes(parse('delete from emptiness', 'd') . sync_message());
	is($client->until_ready, '1Z', 'a DELETE is prepared');
	my $round = bind_portal(statement => 'd') . describe_portal() . execute();
	ok($client->send_bytes($round x 5000 . sync_message()), '5,000 Bind Describe Execute are sent');
	is($client->until_ready(1, 60), '2nC' x 5000 . 'Z', 'all of them are answered');
	is($client->run('select 42'), 'TDCZ', 'and the session goes on');
	others_go_on('5,000 Bind Describe Execute');
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
	ok($server->flush, '5,000 Bind Describe Execute: stored');
	is($server->sql("select statement_count, command_tag, is_complete, pairing_uncertain"
		  . " from pgwire_trace.exchange where session_id = pgwire_trace.last_session('deletes')"
		  . " and command_tag = 'DELETE 0'"), '5000|DELETE 0|t|f', 'as one exchange of 5,000 statements');
}

# ---- answers larger than what is kept ----

is(length $server->side_sql("select repeat('x', 20000000)", application => 'large'), 20_000_000,
	'a row of 20 MB passes');
ok($server->flush, 'a row of 20 MB: stored');
is($server->sql("select is_truncated, response_bytes > 20000000, octet_length(response) <= 65536,"
	  . " data_row_count, command_tag from pgwire_trace.exchange"
	  . " where session_id = pgwire_trace.last_session('large') and kind = 'query'"),
	't|t|t|1|SELECT 1', 'cut to response_limit, with its true size');
others_go_on('in the end');

is($server->stat_relay('restarts'), '0', 'no relay died');
is($server->duplicates, '0', 'nothing is stored twice');
unlike(slurp_file($server->node->logfile), qr/terminating any other active server processes/,
	'the cluster was not restarted');
$server->node->stop;
done_testing();
