# Settings that change while clients are connected, limits, and a server that lets nobody in.
use strict;
use warnings;

use PgwireTrace qw(poll);
use PgwireTrace::Client qw(parse bind_portal execute sync_message startup_packet);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('settings',
	conf => "pgwire_trace.max_sessions = 5\nwal_level = replica\nmax_wal_senders = 2\n");
my $user = getpwuid($<);
my $number = 0;

# Changes settings, and waits until the relay has them: what it records of a probe tells.
sub set_and_wait
{
	my ($probe, %settings) = @_;

	$server->set(%settings);
	return poll(sub {
		$number++;
		$server->side_sql("select 1 as probe_$number", application => "probe $number");
		return unless $server->flush;
		my $seen = $server->sql("select count(*) from pgwire_trace.exchange"
			  . " where query like '%probe%' and session_id = pgwire_trace.last_session('probe $number')");
		return $seen == $probe;
	});
}

# ---- capture ----

my $client = $server->connect_client(application_name => 'capture');
is($client->run("select 'recorded'"), 'TDCZ', 'capture = all');
ok(set_and_wait(0, 'pgwire_trace.capture' => 'off'), 'capture = off: nothing new is recorded');
is($client->run("select 'unseen'"), 'TDCZ', 'capture = off: an open session goes on');
$client->send_bytes(parse("select 'parsed unseen'", 'named') . sync_message());
is($client->until_ready, '1Z', 'capture = off: a statement is prepared');
ok(set_and_wait(1, 'pgwire_trace.capture' => 'all'), 'capture = all again');
$client->send_bytes(bind_portal(statement => 'named') . execute() . sync_message());
is($client->until_ready, '2DCZ', 'the statement is executed');
ok($server->flush, 'flush()');
my $mine = "session_id = pgwire_trace.last_session('capture')";
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%unseen%'"
	  . " and kind = 'query'"), '0', 'what passed while it was off is not there');
is($server->sql("select query, command_tag from pgwire_trace.exchange where $mine"
	  . " and kind = 'extended'"), "select 'parsed unseen'|SELECT 1",
	'a statement that was parsed while it was off has its text');

ok(set_and_wait(1, 'pgwire_trace.capture' => 'metadata'), 'capture = metadata');
is($client->run("select 'secret 4711' as word"), 'TDCZ', 'capture = metadata: the session goes on');
ok(poll(sub {
			$client->run("select 'secret 4711' as word");
			$server->flush;
			return $server->sql("select count(*) > 0 from pgwire_trace.exchange where $mine"
				  . " and query like '%as word' and request is null") eq 't';
}), 'capture = metadata: exchanges without bytes');
is($server->sql("select count(*) from pgwire_trace.exchange where $mine and query like '%as word'"
	  . " and request is null and (query like '%secret%' or response is not null"
	  . ' or row_count <> 1 or command_tag <> \'SELECT 1\')'), '0',
	'capture = metadata: no values, but tags and counts');
$client->close;
ok(set_and_wait(1, 'pgwire_trace.capture' => 'all'), 'back to all');

# ---- rows that are kept ----

ok(set_and_wait(1, 'pgwire_trace.row_limit' => '3'), 'row_limit');
$server->sql('create table row_sink (n int)');
my $rows = $server->connect_client(application_name => 'rows');
$rows->run('select generate_series(1, 3)');
$rows->run('select generate_series(1, 5)');
$rows->run('select generate_series(1, 5); select 1/0');
$rows->run('copy (select generate_series(1, 5)) to stdout');
$rows->send_bytes(PgwireTrace::Client::query('copy row_sink from stdin')
	  . join('', map { PgwireTrace::Client::copy_data("$_\n") } 1 .. 5) . PgwireTrace::Client::copy_done());
$rows->until_ready;
$rows->close;
ok($server->flush, 'flush()');
is($server->sql(<<'SQL'), <<'EXPECTED' =~ s/\n\z//r, 'so many rows are kept, and all are counted');
select is_truncated, data_row_count, row_count, coalesce(sqlstate, command_tag), row_digest is not null,
       (select count(*) from pgwire_trace.messages(e.session_id, e.exchange_no)
         where name in ('DataRow', 'CopyData') and not is_truncated)
  from pgwire_trace.exchange e where session_id = pgwire_trace.last_session('rows')
   and kind in ('query', 'copy') order by exchange_no
SQL
f|3|3|SELECT 3|t|3
t|5|5|SELECT 5|t|3
t|5|5|22012|t|3
t|0|5|COPY 5|t|3
t|0|5|COPY 5|f|3
EXPECTED
ok(set_and_wait(1, 'pgwire_trace.row_limit' => '-1'), 'all rows again');

# ---- filters ----

ok(set_and_wait(0, 'pgwire_trace.exclude_applications' => 'probe*, other'), 'exclude_applications');
my $filtered = $server->stat_relay('sessions_filtered');
$server->side_sql("select 'not for the record'", application => 'other');
$server->side_sql("select 'for the record'", application => 'another');
ok($server->flush, 'flush()');
is($server->sql("select count(*) filter (where query like '%not for the record%'),"
	  . " count(*) filter (where query = 'select ''for the record''') from pgwire_trace.exchange"),
	'0|1', 'sessions of excluded applications are left out');
cmp_ok($server->stat_relay('sessions_filtered'), '>', $filtered, 'and counted');
is($server->sql("select count(*) from pgwire_trace.session where application_name = 'other'"), '0',
	'and have no row');
ok(set_and_wait(1, 'pgwire_trace.exclude_applications' => '',
		'pgwire_trace.include_users' => "$user, nobody"), 'include_users');
ok(set_and_wait(0, 'pgwire_trace.include_users' => 'nobody'), 'include_users without this one');
ok(set_and_wait(0, 'pgwire_trace.include_users' => "$user",
		'pgwire_trace.exclude_databases' => 'post*'), 'exclude wins');
ok(set_and_wait(1, 'pgwire_trace.exclude_databases' => ''), 'no filter');
ok(set_and_wait(0, 'pgwire_trace.sample_rate' => '0'), 'sample_rate = 0');
cmp_ok($server->stat_relay('sessions_sampled_out'), '>', 0, 'such sessions are counted');
ok(set_and_wait(0, 'pgwire_trace.sample_rate' => '1', 'pgwire_trace.min_duration' => '10s'),
	'min_duration');
cmp_ok($server->stat_relay('exchanges_too_short'), '>', 0, 'shorter exchanges are counted');
ok(set_and_wait(1, 'pgwire_trace.min_duration' => '0', 'pgwire_trace.include_users' => ''), 'back');

# ---- a client that asks not to be recorded ----

$server->sql('create role payroll login; create role anybody login;'
	  . ' grant set on parameter pgwire_trace.record to payroll');

# Runs a text as a role that asks by PGOPTIONS; returns status and error.
sub ask
{
	my ($role, $options, $word) = @_;
	my ($status, $out, $err) = $server->try_side_sql("select '$word', pgwire_trace.current_session_id() is null",
		application => $word, env => { PGUSER => $role, PGOPTIONS => $options });
	return ($status, $status == 0 ? $out : $err);
}
$server->sql('grant usage on schema pgwire_trace to public;'
	  . ' grant execute on function pgwire_trace.current_session_id() to public');
is((ask('payroll', '-c pgwire_trace.record=off', 'w_granted'))[1], 'w_granted|t',
	'a role that was granted SET on pgwire_trace.record may ask, and has no session id');
is((ask($user, '--PGWIRE_TRACE.record=no', 'w_super'))[1], 'w_super|t', 'so may a superuser');
is((ask('payroll', '-c pgwire_trace.record=on', 'w_on'))[1], 'w_on|f', 'who asks to be recorded is');
is((ask('anybody', '', 'w_plain'))[1], 'w_plain|f', 'and who asks nothing');
my ($asked, $answer) = ask('anybody', '-c pgwire_trace.record=off', 'w_refused');
isnt($asked, 0, 'others are refused');
like($answer, qr/permission denied to set parameter "pgwire_trace.record"/, 'and told why');
my $eager = $server->connect_raw;
$eager->send_bytes(startup_packet(user => 'payroll', database => 'postgres',
		'pgwire_trace.record' => 'off') . parse("select 'w_eager'") . bind_portal() . execute() . sync_message());
$eager->until_ready;
is($eager->until_ready, '12DCZ', 'a client that sends its first query with the packet');
$eager->close;
my ($walsender) = PgwireTrace::run_client([ 'psql', '-XAtqc', 'IDENTIFY_SYSTEM',
		$server->side_connstr . " replication=true user=$user application_name=w_wal options='-c pgwire_trace.record=off'" ]);
is($walsender, 0, 'a connection for replication may ask as well');
my $unknown = $server->connect_raw;
$unknown->send_bytes(startup_packet(user => 'w_nobody', database => 'postgres', 'pgwire_trace.record' => 'off'));
$unknown->until_closed;
ok($server->flush, 'flush()');
ok($server->wait_for("select count(*) = 1 from pgwire_trace.session where application_name = 'w_refused'"),
	'a refused session is stored');
is($server->sql("select string_agg(distinct application_name, ' ' order by application_name)"
	  . " from pgwire_trace.session where application_name like 'w\_%'"), 'w_on w_plain w_refused',
	'who is refused, or does not ask, is in the record');
is($server->sql("select e.sqlstate from pgwire_trace.session s join pgwire_trace.exchange e"
	  . " using (session_id) where application_name = 'w_refused' and exchange_no = 0"), '42501',
	'as a login that failed');
is($server->sql("select count(*) from pgwire_trace.session where user_name = 'w_nobody'"), '1',
	'a login that fails is recorded, whatever it asks');
is($server->sql("select (select count(*) from pgwire_trace.exchange where query ~ 'w_(granted|super|eager)'),"
	  . " (select count(*) from pgwire_trace.query_text where query ~ 'w_(granted|super|eager)')"), '0|0',
	'nothing of the others is');
is($server->stat_relay('sessions_unrecorded'), '4', 'they are counted');
is($server->stat_relay('restarts'), '0', 'the relay is the same');
my (undef, undef, $err) = $server->try_sql('set pgwire_trace.record = off');
like($err, qr/cannot be set after connection start/, 'nobody leaves the record halfway');
my $before;
for my $round (1, 2)
{
	$server->side_sql('select 1', env => { PGOPTIONS => '-c pgwire_trace.record=off' }) for 1 .. 10;
	$server->set('pgwire_trace.sample_rate' => $round == 1 ? '1' : '0');
	ok($server->wait_for('select sum(sessions_open) = 0 from pgwire_trace.stat_relay'), 'they leave');
	$before //= $server->stat_relay('bytes_allocated');
}
$server->side_sql('select 1') for 1 .. 10;
ok($server->wait_for("select bytes_allocated <= $before from pgwire_trace.stat_relay"),
	'sessions that are not recorded leave no memory behind') or diag("before: $before");
$server->set('pgwire_trace.sample_rate' => '1');

# ---- another port ----

my $old = $server->side_port;
my $open = $server->connect_client(application_name => 'moved');
$server->{side_port} = PostgreSQL::Test::Cluster::get_free_port();
$server->set('pgwire_trace.port' => $server->side_port);
ok($server->wait_for_side_port, 'a new port is opened');
is($open->run('select 1'), 'TDCZ', 'sessions of the old one go on');
ok(poll(sub { !eval { PgwireTrace::Client->new($old) } }), 'the old one is closed');
$open->close;
my $status;
($status, undef, $err) = $server->try_sql("alter system set pgwire_trace.max_sessions = 7");
$server->node->reload;
ok($server->wait_for("select pending_restart from pg_settings where name = 'pgwire_trace.max_sessions'"),
	'max_sessions wants a restart');
($status, undef, $err) = $server->try_sql("alter system set pgwire_trace.nonsense = 7");
isnt($status, 0, 'the prefix is reserved');
$server->sql('alter system reset pgwire_trace.max_sessions');

# ---- max_sessions ----

ok($server->wait_for('select sum(sessions_open) = 0 from pgwire_trace.stat_relay'), 'nobody is there');
my $refused = $server->stat_relay('sessions_refused');
my @five = map { $server->connect_client(application_name => 'five') } 1 .. 5;
my $sixth = $server->connect_raw;
$sixth->send_bytes(startup_packet(user => $user, database => 'postgres'));
is($sixth->until_closed, 'E', 'the sixth client gets an error');
is($sixth->{error}{C}, '53300', 'with SQLSTATE 53300');
is($server->stat_relay('sessions_refused'), $refused + 1, 'it is counted');
is($five[4]->run('select 1'), 'TDCZ', 'the others go on');
$five[0]->close;
ok(poll(sub { eval { $server->connect_client } }), 'when one leaves, another may come');
$_->close for @five[ 1 .. 4 ];

# ---- the server says no ----

$server->sql('create role shy login connection limit 0; create database closed allow_connections false');
for my $case ([ 'no such role', '28000', user => 'nobody_at_all', database => 'postgres' ],
	[ 'no such database', '3D000', user => $user, database => 'no_such_database' ],
	[ 'database that lets nobody in', '55000', user => $user, database => 'closed' ],
	[ 'role with no connection left', '53300', user => 'shy', database => 'postgres' ])
{
	my ($name, $sqlstate, %parameters) = @$case;
	my $stranger = $server->connect_raw;
	$stranger->send_bytes(startup_packet(%parameters));
	$stranger->until_closed;
	is($stranger->{error}{C}, $sqlstate, "$name: the server's own SQLSTATE");
}
ok($server->flush, 'flush()');
is($server->sql("select end_reason, authenticated_at is null, sqlstate, error_message"
	  . ' from pgwire_trace.session join pgwire_trace.exchange using (session_id)'
	  . " where user_name = 'nobody_at_all'"),
	'authentication_failed|t|28000|role "nobody_at_all" does not exist',
	'a refused client is in the record, with what it was told');

# The postmaster takes connections before the server is ready; here it never gets ready.
$server->node->stop;
my $standby_port = $server->side_port;
$server->node->append_conf('postgresql.conf',
	"hot_standby = off\nrestore_command = 'false'\n");
append_to_file($server->node->data_dir . '/standby.signal', '');
system_or_bail('pg_ctl', '-D', $server->node->data_dir, '-l', $server->node->logfile, '-W', 'start');
my $starting = poll(sub {
	my $early = eval { $server->connect_raw } or return;
	$early->send_bytes(startup_packet(user => $user, database => 'postgres'));
	$early->until_closed;
	return $early->{error}{C};
});
is($starting // 'none', '57P03', 'a server that is starting up: the client hears 57P03');
system_or_bail('pg_ctl', '-D', $server->node->data_dir, '-m', 'immediate', '-w', 'stop');
done_testing();
