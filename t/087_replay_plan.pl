# What a replay is planned to be: the dry run, what goes before the first exchange of a session that
# is replayed from its middle, read-only mode, other users by SET SESSION AUTHORIZATION, counts that
# add up at every moment.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Replay;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace::Replay->start('replay_plan',
	conf => "wal_level = logical\nmax_wal_senders = 2\n", target => "max_connections = 50\n");
my $target = $server->target;
my $conninfo = $server->conninfo;

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
say(PgwireTrace::Client::parse('select 3', 's3') . PgwireTrace::Client::sync_message());
say(PgwireTrace::Client::close_statement('s3') . PgwireTrace::Client::sync_message());
my $since = $server->sql('select clock_timestamp()');
say(PgwireTrace::Client::query('execute p(1)'));
say(PgwireTrace::Client::bind_portal(statement => 's1', values => ['7']) . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message());
say(PgwireTrace::Client::query("select date '2026-01-02', interval '1 day 2 h', current_setting('search_path')"));
# names that were free then
say(PgwireTrace::Client::query($_)) for 'prepare q as select 2', 'execute q';
say(PgwireTrace::Client::parse('select 4', 's3') . PgwireTrace::Client::bind_portal(statement => 's3') . PgwireTrace::Client::execute()
	  . PgwireTrace::Client::sync_message());
$client->send_bytes(PgwireTrace::Client::terminate());
my $middle = $server->recorded;
my $run = $server->replay("array[$middle], since => '$since', timing => 'asap', compare => 5");

is($server->of_run($run, 'captured, sent, filtered, unsent'),
	'18|6|12|0', 'what began before is filtered');
is($server->verdicts($run), '', 'settings and statements of before are there');
is($server->sql("select outcome, reason, count(*) from pgwire_trace.replay_run_exchange where run_id = $run"
		  . " and outcome <> 'sent' group by 1, 2"), 'filtered|it began outside of the time range|12',
	'the reason is told');

# DISCARD ALL and DEALLOCATE ALL leave nothing of what was before
for my $discard ('discard all', 'deallocate all')
{
	$client = $server->connect_client;
	say(PgwireTrace::Client::query($_)) for ($discard eq 'discard all' ? "set datestyle = 'German'" : 'select 0'), 'prepare d as select 1';
	say(PgwireTrace::Client::parse('select 2', 'd2') . PgwireTrace::Client::sync_message());
	say(PgwireTrace::Client::query($discard));
	my $from = $server->sql('select clock_timestamp()');
	say(PgwireTrace::Client::query($_)) for "select date '2026-11-21'", 'prepare d as select 3', 'execute d';
	say(PgwireTrace::Client::parse('select 4', 'd2') . PgwireTrace::Client::sync_message());
	$client->send_bytes(PgwireTrace::Client::terminate());
	$run = $server->replay("array[" . $server->recorded . "], since => '$from', timing => 'asap', compare => 5");
	is($server->verdicts($run), '', "what was before $discard is forgotten");
}

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
my $early = $server->recorded;
is($server->sql("select count(*) from pgwire_trace.messages($early) where name = 'Parse'"), '0',
	'its Parse is not in the record');
$run = $server->replay("array[$early], timing => 'asap', compare => 5");
is($server->verdicts($run), '', 'a statement that nobody recorded is prepared from its text');
is($server->of_run($run, 'sent >= 2 and unsent = 0'), 't', 'and sent');

# ---- other users ----

$_->safe_psql('postgres', 'create role carla login; create table hers (a int); grant select on hers to carla')
  for $server->node, $target;
run_client([ 'psql', '-XAtq', $server->side_connstr . ' user=carla' ], stdin =>
	"select current_user, session_user;\nselect * from hers;\ndelete from hers;\nreset session authorization;\n"
	  . "discard all;\nselect set_config('session_authorization', 'x', false);\nselect current_user;\n");
my $carlas = $server->recorded;
my $options = 'options => \'{"session_authorization": true}\'';
$run = $server->replay("array[$carlas], timing => 'asap', compare => 5, $options");
is($server->verdicts($run), '', 'she is herself, and may what she might');
is($server->of_run($run, 'sent, skipped'), '4|3',
	'what would end that is skipped');
is($server->sql("select count(*) from pgwire_trace.replay_run_exchange where run_id = $run"
		  . " and reason like 'it would not be its user%'"), '3', 'with the reason');
$target->safe_psql('postgres', 'create role weak login');
$run = $server->replay("array[$carlas], timing => 'asap', compare => 5, $options", "$conninfo user=weak");
is($server->sql("select state, sent, unsent, reason from pgwire_trace.replay_run_session where run_id = $run"),
	'lost|0|4|what goes before its exchanges failed on the target', 'who is no superuser there cannot');

# ---- verdicts that take a target of their own ----

$_->safe_psql('postgres', 'create table shelf (a int); insert into shelf values (1);'
	  . q( create function slow() returns int language sql as 'select 1'))
  for $server->node, $target;
$client = $server->connect_client;
$client->send_bytes(PgwireTrace::Client::parse('select a from shelf') . PgwireTrace::Client::bind_portal()
	  . PgwireTrace::Client::execute() . PgwireTrace::Client::query('select 2') . PgwireTrace::Client::sync_message()
	  . PgwireTrace::Client::query('select 3'));
$client->until_ready(3);
say(PgwireTrace::Client::query('select slow()'));
say(PgwireTrace::Client::query('select 4'));
$client->send_bytes(PgwireTrace::Client::terminate());
my $shelf = $server->recorded;
is($server->verdicts($server->replay("array[$shelf], timing => 'asap', compare => 5")), '', 'no change, no verdict');
$target->safe_psql('postgres', 'drop table shelf');
$run = $server->replay("array[$shelf], timing => 'asap', compare => 1");
# versions 18 of PostgreSQL answer what stands behind such a Sync with an internal error
my $spared = $server->sql("select count(*) from pgwire_trace.exchange where session_id = $shelf and sqlstate = 'XX000'");
is($server->verdicts($run), '1:error_new 2:skipped<1' . ($spared ? ' 3:error_gone<1' : ''),
	'what the target passed over in a pipeline');
is($server->sql("select string_agg(coalesce(caused_by_exchange_no::text, 'root'), ' ' order by exchange_no)"
		  . " from pgwire_trace.replay_divergence where run_id = $run and exchange_no < 3"),
	'root 1', 'has its cause');
$target->safe_psql('postgres', q(create table shelf (a int); insert into shelf values (1);
	create or replace function slow() returns int language sql as 'select 1 from pg_sleep(30)'));
$run = $server->replay("array[$shelf], timing => 'asap', options => '{\"exchange_timeout\": 300}'");
is($server->verdicts($run), '4:timeout 5:session_lost<4', 'no answer in time');
is($server->of_run($run, 'root_divergences'), '1', 'is the root of that');
is($server->sql("select state, captured, sent, unsent from pgwire_trace.replay_run_session where run_id = $run"),
	'lost|5|4|1', 'ends the session');

# ---- roots, and what they caused ----

$_->safe_psql('postgres', 'create table origin (a int); create table fact as select 1 as a') for $server->node, $target;
$client = $server->connect_client;
say(PgwireTrace::Client::query($_))
  for ('create temp table Scratch as select * from origin', 'select a from fact', 'select * from SCRATCH',
	'prepare "P 1" as select * from origin', 'select a from fact', 'execute "P 1"',
	'begin', 'savepoint s', 'declare c cursor with hold for select * from origin', 'commit', 'fetch c',
	'select a from fact');
$client->send_bytes(PgwireTrace::Client::terminate());
my $roots = $server->recorded;
$target->safe_psql('postgres', 'drop table origin; update fact set a = 2');
$run = $server->replay("array[$roots], timing => 'asap', compare => 4");
is($server->sql("select string_agg(exchange_no || ':' || verdict || coalesce('<' || caused_by_exchange_no, ''), ' '"
		  . " order by exchange_no, statement_no) from pgwire_trace.replay_divergence where run_id = $run"),
	'1:error_new 2:data 3:error_new<1 4:error_new 5:data 6:error_new<4 9:error_new 10:shape<9 11:error_new<9 12:data',
	'each has its own, also with another in between');

# ---- the dry run ----

my $plan = "pgwire_trace.replay_plan('host=192.0.2.1 port=1 connect_timeout=1'";
is($server->sql("select string_agg(concat_ws(' ', item, reason, sessions, exchanges), ', ') from $plan,"
		  . " array[$shelf, $middle, $carlas], since => '$since') where item not in ('duration')"),
	'captured 3 30, to send 2 11, filtered it began outside of the time range 0 12,'
	  . ' skipped no credentials: its user is not the target\'s, and replay_credential has no row 1 7,'
	  . ' peak sessions 1, results without a digest 0', 'a plan of a target that is not there')
  or diag($server->sql("select * from $plan, array[$shelf, $middle, $carlas], since => '$since')"));
like($server->sql("select reason from $plan, array[$middle]) where item = 'duration'"), qr/^\d+\.\d{3} s$/, 'how long it takes');
run_client([ 'psql', '-XAtq', $server->side_connstr . ' replication=database', '-c', 'identify_system' ]);
my $replication = $server->recorded;
is($server->sql("select item, reason, exchanges from $plan, array[$replication]) where item = 'skipped'"),
	'skipped|it is a replication connection|1', 'replication is not replayed');

# several sessions at one time
my @open = map { $server->connect_client } 1 .. 3;
$_->run('select 1') for @open;
$_->close for @open;
ok($server->flush, 'recorded');
my $three = $server->sql("select string_agg(session_id::text, ',') from pgwire_trace.session where session_id > $replication");
is($server->sql("select sessions from $plan, array[$three]) where item = 'peak sessions'"), '3', 'peak concurrency');

# ---- read-only mode ----

$_->safe_psql('postgres', 'create table ro (a int); create table ro2 (a int)') for $server->node, $target;
my @cases = (    # text, whether it is sent
	[ 'select * from ro', 1 ],
	[ 'with w as (insert into ro values (1) returning a) select a from w', 0 ],
	[ 'with w as (select 1), v as (update ro set a = 2 returning a) select * from w', 0 ],
	[ 'select * from (select * from ro for update) t', 0 ],
	[ 'select * from ro for key share', 0 ],
	[ 'explain analyze delete from ro', 0 ],
	[ 'explain (analyze, costs off) select 1', 1 ],
	[ 'explain (analyze) with w as (delete from ro returning a) select a from w', 0 ],
	[ 'explain delete from ro', 1 ],
	[ 'do $$begin end$$', 0 ],
	[ 'call none()', 0 ],
	[ 'notify x', 0 ],
	[ 'listen x', 0 ],
	[ q(copy ro to program 'true'), 0 ],
	[ q(copy ro to '/nowhere/x'), 0 ],
	[ 'copy (with w as (delete from ro returning a) select * from w) to stdout', 0 ],
	[ 'copy ro to stdout', 1 ],
	[ 'select 1 as a into ro3', 0 ],
	[ 'create table ro4 as select 1', 0 ],
	[ 'create temp table ro5 (a int)', 0 ],
	[ 'select 1; delete from ro; select 2', 0 ],
	[ 'select 1; select nonsense here; delete from ro', 0 ],
	[ 'select 1; select 2', 1 ],
	[ 'prepare w1 as delete from ro', 0 ],
	[ 'execute w1', 0 ],
	[ 'prepare r1 as select 1', 1 ],
	[ 'execute r1', 1 ],
	[ 'explain analyze execute w1', 0 ],
	[ 'begin read write', 0 ],
	[ 'begin; set transaction read write; delete from ro; commit', 0 ],
	[ 'set transaction read write', 0 ],
	[ 'set session characteristics as transaction read write', 0 ],
	[ 'set default_transaction_read_only = off', 0 ],
	[ 'reset all', 0 ],
	[ 'set role none', 0 ],
	[ 'start transaction read only', 1 ],
	[ 'commit', 1 ],
	[ 'declare c cursor with hold for select 1', 1 ],
	[ 'fetch c', 1 ],
	[ 'discard all', 0 ],
	[ 'lock table ro', 0 ],
	[ 'merge into ro using ro2 on true when matched then delete', 0 ],
	[ 'vacuum ro', 0 ],
	[ 'table ro', 1 ],
	[ 'values (1)', 1 ],
	[ 'show all', 1 ],
	[ '/* delete from ro */ select $$update ro$$ as "insert"', 1 ],
	[ 'prepare transaction $$x$$', 0 ],
	# what is read otherwise on the target, and what must not end the plan (or the worker)
	[ q(select '\'';delete from ro; --'), 0 ],
	[ q(set client_encoding = 'sjis'; select E'\\';delete from ro; --'), 0 ],
	[ "select E'\x81\\';delete from ro; --'", 0 ],
	[ q(select 'a\b', E'\n', U&'\0061'), 1 ],
	[ q(set transaction snapshot 'transaction_read_only'), 1 ],
	[ q(begin; set transaction snapshot 'transaction_read_only'; commit), 1 ],
	[ 'select ' . '1 + ' x 100_000 . '1', 0 ],
	[ q(select set_config('transaction_read_only', 'off', false)), 0 ],
	[ q(select * from (select pg_catalog.set_config('Default_Transaction_Read_Only', 'off', true)) t), 0 ],
	[ q(select set_config('de' || 'fault_transaction_read_only', 'off', false)), 0 ],
	[ q(select set_config('search_path', '', false)), 1 ],
	[ q(select lo_creat(-1)), 1 ],    # a function's doings are not seen: the target refuses by itself
);
$client = $server->connect_client;
say(PgwireTrace::Client::query($_->[0])) for @cases;
# a FunctionCall, and prepared statements of the protocol
say(PgwireTrace::Client::message('F', pack('N n n n', 2026, 0, 0, 0)));
my $pieces = sub { PgwireTrace::Client::parse($_[0], $_[1]) . PgwireTrace::Client::bind_portal(statement => $_[1])
	  . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message() };
say($pieces->('delete from ro', 'd1'));
say(PgwireTrace::Client::bind_portal(statement => 'd1') . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message());
say($pieces->('select 1', 'd2'));
say(PgwireTrace::Client::bind_portal(statement => 'd2') . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message());
push @cases, [ 'function call', 0 ], [ 'parse delete', 0 ], [ 'bind delete', 0 ], [ 'parse select', 1 ], [ 'bind select', 1 ];
$client->send_bytes(PgwireTrace::Client::terminate());
my $mixed = $server->recorded;
$run = $server->replay("array[$mixed], timing => 'asap', compare => 0, read_only => true");
is($server->of_run($run, 'sent, filtered, unsent, skipped'),
	join('|', scalar(grep { $_->[1] } @cases), scalar(grep { !$_->[1] } @cases), 0, 0), 'read-only: so many are sent');
my %sent = map { $_ => 1 } split /\n/,
  $server->sql("select exchange_no from pgwire_trace.replay_run_exchange where run_id = $run and outcome = 'sent'");
for my $i (0 .. $#cases)
{
	is(!!$sent{ $i + 1 } + 0, $cases[$i][1], "$cases[$i][0]: " . ($cases[$i][1] ? 'sent' : 'filtered'));
}

# a Parse that writes does not come with what goes before the first exchange either
$client = $server->connect_client;
say(PgwireTrace::Client::parse('delete from ro', 'sly') . PgwireTrace::Client::sync_message());
$since = $server->sql('select clock_timestamp()');
say(PgwireTrace::Client::parse('select 1', 'sly') . PgwireTrace::Client::sync_message());
say(PgwireTrace::Client::bind_portal(statement => 'sly') . PgwireTrace::Client::execute() . PgwireTrace::Client::sync_message());
$client->send_bytes(PgwireTrace::Client::terminate());
my $sly = $server->recorded;
$run = $server->replay("array[$sly], since => '$since', timing => 'asap', compare => 0, read_only => true");
is($server->sql("select string_agg(exchange_no || coalesce(sqlstate, ''), ' ' order by exchange_no) from"
		  . " pgwire_trace.replay_run_exchange where run_id = $run and outcome = 'sent'"), '2 3',
	'a name means what was sent under it');

# ---- counts add up at every moment ----

run_client([ 'pgbench', '-i', '-q', '-s', '1', '-h', $_->host, '-p', $_->port, 'postgres' ]) for $server->node, $target;
run_client([ 'pgbench', '-n', '-S', '-c', '4', '-t', '1500', $server->side_connstr ]);
ok($server->flush, 'recorded');
my $bench = $server->sql("select string_agg(session_id::text, ',') from pgwire_trace.session where session_id > $sly");
$run = $server->sql("select pgwire_trace.replay_start('$conninfo', array[$bench, $carlas, $mixed, $replication],"
	  . " timing => 'asap', read_only => true)");
my ($polls, $wrong, %seen) = (0, '');
poll(sub {
	my $state = $server->sql(<<"SQL");
select r.state || case when r.captured = r.sent + r.filtered + r.skipped + r.unsent and r.unsent >= 0
	and p.captured = p.sent + p.filtered + p.skipped + p.unsent and p.unsent >= 0 and p.percent between 0 and 100
	and (select coalesce(sum(captured), 0) = coalesce(sum(sent + filtered + skipped + unsent), 0)
			and coalesce(min(unsent), 0) >= 0 and coalesce(sum(sent), 0) = r.sent
			and coalesce(sum(captured), r.captured) = r.captured
		 from pgwire_trace.replay_run_session s where s.run_id = $run)
	and (select count(*) from pgwire_trace.replay_run_exchange e where e.run_id = $run and outcome = 'sent') = r.sent
	then '' else ' wrong: ' || r::text || p::text end
from pgwire_trace.replay_run r join pgwire_trace.replay_progress p using (run_id) where run_id = $run
SQL
	$polls++;
	$wrong = $state if $state =~ /wrong/;
	$seen{$state} = 1;
	return $state eq 'finished' || $wrong;
});
is($wrong, '', "counts add up, looked at $polls times (" . join(', ', sort keys %seen) . ')');
is($server->of_run($run, 'skipped, unsent, sent > 6000'), '8|0|t', 'at the end too');

# ---- who may, and what is said ----

for my $function ($server->sql("select string_agg(oid::regprocedure::text, ';') from pg_proc where pronamespace ="
		  . " 'pgwire_trace'::regnamespace and proname like 'replay%' and (proacl is null or"
		  . " has_function_privilege('pg_database_owner', oid, 'execute'))"))
{
	is($function, '', 'no replay function is for PUBLIC');
}
is($server->sql("select string_agg(oid::regclass::text, ';') from pg_class where relnamespace ="
		  . " 'pgwire_trace'::regnamespace and relname like 'replay%' and relkind in ('r', 'v', 'S') and"
		  . " has_table_privilege('pg_database_owner', oid, 'select')"), '', 'nor is a table or view');
for my $case (
	[ "options => '{\"exchange_timeout\": \"soon\"}'", 'invalid value for option "exchange_timeout"' ],
	[ "options => '{\"float_tolerance\": 2}'", 'invalid value for option "float_tolerance"' ],
	[ "options => '{\"noise_rules\": 1}'", 'invalid value for option "noise_rules"' ],
	[ "options => '{\"ignore_columns\": [1]}'", 'invalid value for option "ignore_columns"' ],
	[ "options => '{\"allow_targets\": true}'", 'unknown replay option "allow_targets"' ])
{
	my (undef, undef, $error) = $server->try_sql("select pgwire_trace.replay_start('$conninfo', $case->[0])");
	like($error, qr/\Q$case->[1]\E/, $case->[0]);
}
my (undef, undef, $error) =
  $server->try_sql("select pgwire_trace.replay_start('host=x password=topsecret port=y = z')");
like($error, qr/invalid connection string/, 'a bad target');
unlike($error =~ s/^STATEMENT.*|^LINE.*//mgr, qr/topsecret/, 'is refused without its password');
$run = $server->replay("array[$three], timing => 'asap'", "$conninfo password=topsecret sslpassword=topsecret");
is($server->sql("select count(*) from pgwire_trace.replay_run_state r where r::text like '%topsecret%'"), '0',
	'no password is in the rows of a run');
unlike($server->sql("select pgwire_trace.replay_report($run)"), qr/topsecret/, 'nor in its report');
my $logged = slurp_file($server->node->logfile);
unlike($logged =~ s/^.*(statement|STATEMENT): .*//mgr, qr/topsecret/, 'nor in the log');

done_testing();
