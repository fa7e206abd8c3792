# The query id of an exchange is the backend's own, so that the record joins pg_stat_statements; a
# cancel request says which session and exchange it hit.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(query parse bind_portal execute sync_message);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('ids', conf => <<'CONF');
shared_preload_libraries = 'pg_stat_statements, pgwire_trace'
pg_stat_statements.track_utility = on
pgwire_trace.relay_processes = 2
CONF
$server->sql('create extension pg_stat_statements');
$server->sql('create table t (a int, b text)');
$server->sql(<<'SQL');
create function nested(n int) returns bigint language plpgsql as
  $$ begin return (select count(*) from t where a > n); end $$
SQL
$server->sql('select pg_stat_statements_reset()');

# Returns the queries of a session with the normalised text that pg_stat_statements has for each.
sub joined
{
	my ($application) = @_;

	ok($server->flush, "$application: flush()");
	return $server->sql("select e.query, s.query from pgwire_trace.exchange e"
		  . ' left join pg_stat_statements s on s.queryid = e.query_id and s.toplevel'
		  . " where e.session_id = pgwire_trace.last_session('$application')"
		  . " and e.kind not in ('startup', 'terminate') order by exchange_no");
}

# ---- simple and extended queries ----

{
	my $client = $server->connect_client(application_name => 'plain');
	$client->run($_) for 'insert into t values (1, $$x$$)', 'select a, 17 from t where a = 1',
	  'select nested(5)', 'create table u (c int)', 'prepare p as select b from t where a = $1',
	  'execute p(4)', 'select 1 where false; select 2, 3', 'select no_such_column from t',
	  'select 1 from t; select count(*) from t';
	$client->send_bytes(parse('select b from t where a = $1', 's')
		  . bind_portal(statement => 's', values => ['7']) . execute() . sync_message());
	$client->until_ready(1, 10);
	$client->send_bytes(bind_portal(statement => 's', values => ['8']) . execute() . sync_message());
	$client->until_ready(1, 10);
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
	is(joined('plain'), <<'TEXT' =~ s/\n\z//r, 'each query has the id that pg_stat_statements has');
insert into t values (1, $$x$$)|insert into t values ($1, $2)
select a, 17 from t where a = 1|select a, $1 from t where a = $2
select nested(5)|select nested($1)
create table u (c int)|create table u (c int)
prepare p as select b from t where a = $1|
execute p(4)|prepare p as select b from t where a = $1
select 1 where false; select 2, 3|select $1 where $2
select no_such_column from t|
select 1 from t; select count(*) from t|select $1 from t
select b from t where a = $1|prepare p as select b from t where a = $1
select b from t where a = $1|prepare p as select b from t where a = $1
TEXT
}

# ---- the same by query: top_query reads like pg_stat_statements, and joins it ----

{
	my $client = $server->connect_client(application_name => 'top');
	$client->run("select a from t where a > $_ or a = 1") for 1 .. 5;
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
	ok($server->flush, 'top: flush()');
	is($server->sql('select t.query, t.calls, s.calls, t.rows, s.rows, t.errors, t.total_ms >= s.total_exec_time,'
		  . ' t.mean_ms > 0 and t.p50_ms <= t.p95_ms and t.p95_ms <= t.p99_ms and t.p99_ms <= t.max_ms'
		  . ' from pgwire_trace.top_query t join pg_stat_statements s on s.queryid = t.query_id and s.toplevel'
		  . " where t.query ~ 'or a ='"), 'select a from t where a > $1 or a = $2|5|5|5|5|0|t|t',
		'calls, rows and times beside those of pg_stat_statements');
}

# ---- many texts in one pipeline, and none computed ----

{
	my $client = $server->connect_client(application_name => 'many');
	my @texts = map { 'select ' . join(', ', ('a') x $_) . ' from t' } 1 .. 20;
	my $bytes = join '', map { parse("$_ limit 1") . bind_portal() . execute() } @texts;
	$client->send_bytes(join('', map { query($_) } @texts));
	$client->until_ready(20, 20);
	$client->send_bytes($bytes . sync_message());
	$client->until_ready(1, 20);
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
	ok($server->flush, 'flush()');
	is($server->sql("select count(*), count(distinct query_id) from pgwire_trace.exchange"
		  . " where session_id = pgwire_trace.last_session('many') and query_id is not null"),
		'21|21', 'texts that are sent at once have an id each');
	is($server->sql("set compute_query_id = off; alter role current_user set compute_query_id = off"),
		'', 'a role computes no ids');
	$client = $server->connect_client(application_name => 'none');
	$client->run('select 1 from t');
	$client->close;
	is(joined('none'), 'select 1 from t|', 'its queries have none');
	$server->sql('alter role current_user reset compute_query_id');
}

# ---- cancels ----

for my $wrong (0, 1)
{
	my $name = $wrong ? 'wrong key' : 'right key';
	my $client = $server->connect_client(application_name => $name);
	$client->run('select 1');
	$client->send_bytes(query("select pg_sleep(60), 'asleep'"));
	$server->wait_for("select wait_event = 'PgSleep' from pg_stat_activity where application_name = '$name'");
	# several times, so that it comes by either relay
	my $key = $wrong ? reverse($client->{key}) : $client->{key};
	my $canceller = PgwireTrace::Client->new($server->side_port);
	$canceller->send_bytes(pack('NNNa4', 16, 80877102, $client->{pid}, $key));
	$canceller->until_closed;
	if ($wrong)
	{
		my $right = PgwireTrace::Client->new($server->node->port);
		$right->send_bytes(pack('NNNa4', 16, 80877102, $client->{pid}, $client->{key}));
		$right->until_closed;
	}
	my $types = $client->until_ready(1, 20);
	like($types, qr/E.*Z/, "$name: the query is cancelled");
	$client->close;
	ok($server->flush, 'flush()');
	my $found = $server->sql("select c.cancelled_exchange_no, e.query, e.sqlstate"
		  . " from pgwire_trace.exchange c left join pgwire_trace.exchange e"
		  . ' on e.session_id = c.cancelled_session_id and e.exchange_no = c.cancelled_exchange_no'
		  . " where c.kind = 'cancel' order by c.recorded_at desc limit 1");
	is($found, $wrong ? '||' : "2|select pg_sleep(60), 'asleep'|57014",
		$wrong ? 'a cancel with a wrong key hit nothing' : 'a cancel tells what it hit');
}

# by whichever relay a cancel comes, it finds the session of another
ok(poll(sub {
			my $client = $server->connect_client(application_name => 'of another');
			$client->run('select 1');
			my $canceller = PgwireTrace::Client->new($server->side_port);
			$canceller->send_bytes(pack('NNNa4', 16, 80877102, $client->{pid}, $client->{key}));
			$canceller->until_closed;
			$client->close;
			$server->flush;
			return $server->sql('select count(*) > 0 from pgwire_trace.exchange c'
				  . ' join pgwire_trace.session cs using (session_id)'
				  . ' join pgwire_trace.session s on s.session_id = c.cancelled_session_id'
				  . " where s.application_name = 'of another' and s.journal_series <> cs.journal_series") eq 't';
}), 'a cancel that comes by one relay finds the session of another');

$server->node->stop;
done_testing();
