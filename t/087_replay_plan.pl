# What a replay is planned to be: the dry run, what goes before the first exchange of a session that
# is replayed from its middle, read-only mode, other users by SET SESSION AUTHORIZATION, counts that
# add up at every moment.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('replay_plan');
my $target = PostgreSQL::Test::Cluster->new('replay_plan_target');

$target->init;
$target->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pgwire_trace'\npgwire_trace.port = 0\nmax_connections = 50\n");
$target->start;
$target->safe_psql('postgres', 'alter database postgres set pgwire_trace.allow_replay = on');

my $conninfo = 'host=' . $target->host . ' port=' . $target->port . ' dbname=postgres';

# Starts a replay and waits for its end; returns its number.
sub replay
{
	my ($arguments, $where) = @_;
	my $run = $server->sql('select pgwire_trace.replay_start($$' . ($where // $conninfo) . "\$\$, $arguments)");

	is($server->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', "run $run ends");
	is($server->sql("select state from pgwire_trace.replay_run where run_id = $run"), 'finished',
		"run $run finishes")
	  or diag($server->sql("select * from pgwire_trace.replay_run where run_id = $run"));
	return $run;
}

# Returns the verdicts of a run.
sub verdicts
{
	my ($run) = @_;
	return $server->sql("select coalesce(string_agg(exchange_no || ':' || verdict, ' ' order by session_id,"
		  . " exchange_no), '') from pgwire_trace.replay_divergence where run_id = $run");
}

# Returns the session that was recorded last.
sub recorded
{
	ok($server->flush, 'recorded');
	return $server->sql('select pgwire_trace.last_session()');
}

# ---- from the middle of a session ----

my $client = $server->connect_client;

sub say
{
	my ($bytes) = @_;
	$client->send_bytes($bytes);
	$client->until_ready(1);
	return;
}

say(PgwireTrace::Client::query($_))
  for ("set datestyle = 'German'", "set search_path = pg_catalog, public", 'begin',
	"set intervalstyle = 'iso_8601'", 'commit', 'prepare p as select 41 + $1',
	'prepare q as select 1', 'deallocate q');
say(PgwireTrace::Client::parse('select date $$2026-11-21$$, $1::int', 's1') . PgwireTrace::Client::sync_message());
say(PgwireTrace::Client::parse('select gone', 's2') . PgwireTrace::Client::sync_message());
my $since = $server->sql('select clock_timestamp()');
say(PgwireTrace::Client::query('execute p(1)'));
say(PgwireTrace::Client::bind_portal(statement => 's1', values => ['7']) . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message());
say(PgwireTrace::Client::query("select date '2026-01-02', interval '1 day 2 h', current_setting('search_path')"));
$client->send_bytes(PgwireTrace::Client::terminate());
my $middle = recorded();
my $run = replay("array[$middle], since => '$since', timing => 'asap', compare => 5");

is($server->sql("select captured, sent, filtered, unsent from pgwire_trace.replay_run where run_id = $run"),
	'13|3|10|0', 'what began before is filtered');
is(verdicts($run), '', 'settings and statements of before are there');
is($server->sql("select outcome, reason, count(*) from pgwire_trace.replay_run_exchange where run_id = $run"
		  . " and outcome <> 'sent' group by 1, 2"), 'filtered|it began outside of the time range|10',
	'the reason is told');

# ---- a statement that was parsed before recording began ----

$client = $server->connect_client;
$server->set('pgwire_trace.capture' => 'off');
ok(poll(sub { $server->side_sql('select 1'); $server->flush; return $server->sql("select setting from pg_settings where name = 'pgwire_trace.capture'") eq 'off' }), 'capture is off');
select(undef, undef, undef, 0.1);
say(PgwireTrace::Client::parse('select $1::text || $$ was prepared unseen$$', 'early') . PgwireTrace::Client::sync_message());
$server->set('pgwire_trace.capture' => 'all');
select(undef, undef, undef, 0.1);
say(PgwireTrace::Client::bind_portal(statement => 'early', values => ['it']) . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message());
say(PgwireTrace::Client::query('select 2'));
$client->send_bytes(PgwireTrace::Client::terminate());
my $early = recorded();
is($server->sql("select count(*) from pgwire_trace.messages($early) where name = 'Parse'"), '0',
	'its Parse is not in the record');
$run = replay("array[$early], timing => 'asap', compare => 5");
is(verdicts($run), '', 'a statement that nobody recorded is prepared from its text');
is($server->sql("select sent >= 2 and unsent = 0 from pgwire_trace.replay_run where run_id = $run"), 't', 'and sent');

# ---- other users ----

$_->safe_psql('postgres', 'create role carla login; create table hers (a int); grant select on hers to carla')
  for $server->node, $target;
run_client([ 'psql', '-XAtq', $server->side_connstr . ' user=carla' ], stdin =>
	"select current_user, session_user;\nselect * from hers;\ndelete from hers;\nreset session authorization;\n"
	  . "discard all;\nselect set_config('session_authorization', 'x', false);\nselect current_user;\n");
my $carlas = recorded();
my $options = 'options => \'{"session_authorization": true}\'';
$run = replay("array[$carlas], timing => 'asap', compare => 5, $options");
is(verdicts($run), '', 'she is herself, and may what she might');
is($server->sql("select sent, skipped from pgwire_trace.replay_run where run_id = $run"), '4|3',
	'what would end that is skipped');
is($server->sql("select count(*) from pgwire_trace.replay_run_exchange where run_id = $run"
		  . " and reason like 'it would not be its user%'"), '3', 'with the reason');
$target->safe_psql('postgres', 'create role weak login');
$run = replay("array[$carlas], timing => 'asap', compare => 5, $options", "$conninfo user=weak");
is($server->sql("select state, sent, unsent, reason from pgwire_trace.replay_run_session where run_id = $run"),
	'lost|0|4|what goes before its exchanges failed on the target', 'who is no superuser there cannot');

done_testing();
