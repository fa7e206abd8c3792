# How the server's ways to stop look to a traced session, and in the record.
use strict;
use warnings;

use PgwireTrace qw(poll);
use PgwireTrace::Client qw(query);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('shutdown');

# Asks the postmaster to stop in a mode, without waiting.
sub stop_without_waiting
{
	my ($mode) = @_;
	system_or_bail('pg_ctl', '-D', $server->node->data_dir, '-m', $mode, '-W', 'stop');
	return;
}

# Waits until the postmaster is gone.
sub wait_until_stopped
{
	my $pid_file = $server->node->data_dir . '/postmaster.pid';
	my $gone = poll(sub { !-e $pid_file });
	$server->node->_update_pid(0) if $gone;
	return $gone;
}

# ---- smart: traced sessions finish as on the main port ----

my $client = $server->connect_client(application_name => 'smart');
is($client->run("select 'before'"), 'TDCZ', 'a session is open');
stop_without_waiting('smart');
ok(poll(sub { slurp_file($server->node->logfile) =~ /received smart shutdown request/ }),
	'smart shutdown has begun');
is($client->run("select 'during'"), 'TDCZ', 'the session goes on');
my $late = eval { $server->connect_raw };
SKIP:
{
	skip 'the side port refuses connections altogether', 1 unless $late;
	$late->send_bytes(PgwireTrace::Client::startup_packet(
			user => scalar getpwuid($<), database => 'postgres'));
	$late->until_closed;
	is($late->{error}{C} // 'closed', '57P03', 'a new client is told that the server shuts down');
}
is($client->run("select 'last'"), 'TDCZ', 'the session still goes on');
$client->send_bytes(PgwireTrace::Client::terminate());
$client->until_closed;
ok(wait_until_stopped(), 'the server stops when the session has ended');

$server->node->start;
$server->wait_for_side_port;
ok($server->flush, 'the journal is stored after the restart');
is($server->sql("select string_agg(query, ' ' order by exchange_no) from pgwire_trace.exchange"
	  . " where session_id = pgwire_trace.last_session('smart') and kind = 'query'"),
	"select 'before' select 'during' select 'last'", 'all of the session is there');
is($server->sql("select end_reason from pgwire_trace.session"
	  . " where session_id = pgwire_trace.last_session('smart')"), 'terminate', 'and how it ended');

# ---- fast and immediate: relays end at once ----

for my $mode ('fast', 'immediate')
{
	my $open = $server->connect_client(application_name => $mode);
	is($open->run("select '$mode'"), 'TDCZ', "$mode: a session is open");
	$open->send_bytes(query("select pg_sleep(60), '$mode sleeps'"));
	ok($server->wait_for("select count(*) = 1 from pg_stat_activity where state = 'active'"
		  . " and query like '%$mode sleeps%' and pid <> pg_backend_pid()"), "$mode: and busy");
	stop_without_waiting($mode);
	ok($open->is_closed_within(20), "$mode: the client is let go");
	ok(wait_until_stopped(), "$mode: the server stops");

	$server->node->start;
	$server->wait_for_side_port;
	ok($server->flush, "$mode: the journal is stored after the restart");
	is($server->sql("select string_agg(is_complete || ' ' || query, ', ' order by exchange_no)"
		  . " from pgwire_trace.exchange where session_id = pgwire_trace.last_session('$mode')"
		  . " and kind = 'query'"),
		"true select '$mode', false select pg_sleep(60), '$mode sleeps'",
		"$mode: the open exchange is recorded as incomplete");
	like($server->sql("select coalesce(end_reason, 'NULL') from pgwire_trace.session"
		  . " where session_id = pgwire_trace.last_session('$mode')"),
		qr/^(server_shutdown|server_closed)$/, "$mode: and the session as ended by the server");
}

is($server->duplicates, '0', 'nothing twice');
$server->node->stop;
done_testing();
