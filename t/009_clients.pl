# Clients that people use work through the side port, and what they did is in the record.
use strict;
use warnings;

use PgwireTrace qw(run_client);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('clients');
my $clients = $ENV{PGWT_CLIENTS};

# Returns what a client's session is known by.
sub session_of
{
	my ($application) = @_;
	return "session_id = pgwire_trace.last_session('$application')";
}

# Checks what holds for every well-behaved client.
sub check_session
{
	my ($application) = @_;

	ok($server->flush, "$application: stored");
	is($server->sql("select end_reason, is_desynchronised, dropped_exchanges, exchange_count ="
		  . " (select count(*) from pgwire_trace.exchange where " . session_of($application) . ')'
		  . ' from pgwire_trace.session where ' . session_of($application)),
		'terminate|f|0|t', "$application: the session is whole");
	is($server->sql('select count(*) from pgwire_trace.exchange where ' . session_of($application)
		  . ' and (pairing_uncertain or not is_complete)'), '0', "$application: nothing is uncertain");
	return;
}

# Returns the first word of each exchange's query, its statements, its rows and how it ended.
sub exchanges
{
	my ($application, $condition) = @_;
	return $server->sql("select string_agg(concat_ws(' ', coalesce(substring(query from '\\w+'), '-'), statement_count,"
		  . " row_count, coalesce(sqlstate, command_tag, '-')), ', ' order by exchange_no) from pgwire_trace.exchange where "
		  . session_of($application) . " and ($condition)");
}

# ---- psql ----

my ($status, $out, $err) = $server->try_side_sql(<<'SQL', application => 'my psql');
create table t (n int, s text);
\copy t from program 'seq 1 1000 | sed "s/$/\trow/"'
select count(*) from t;
\copy (select * from t limit 3) to '/dev/null'
\set FETCH_COUNT 100
select sum(n) from (select n from t) x;
begin;
insert into t values (0, 'zero');
rollback;
\d t
SQL
is($status, 0, 'psql: runs its script') or diag($err);
like($out, qr/^1000\n500500\n/, 'psql: with the right results');
check_session('my psql');
is($server->sql("select string_agg(kind || ' ' || command_tag || ' ' || row_count, ', '"
	  . ' order by exchange_no) from pgwire_trace.exchange where kind = \'copy\' and '
	  . session_of('my psql')), 'copy COPY 1000 1000, copy COPY 3 3', 'psql: both COPYs');
is($server->sql("select string_agg(command_tag || ' ' || transaction_status::text, ', '"
	  . " order by exchange_no) from pgwire_trace.exchange where " . session_of('my psql')
	  . " and exchange_no >= (select exchange_no from pgwire_trace.exchange where query = 'begin;'"
	  . ' and ' . session_of('my psql') . ") and query !~ 'pg_catalog' and kind = 'query'"),
	'BEGIN T, INSERT 0 1 T, ROLLBACK I', 'psql: a transaction and its states');

# ---- psycopg 3 ----

($status, $out, $err) =
  run_client([ '/usr/bin/python3', "$clients/psycopg3.py", $server->side_connstr ]);
is($status, 0, 'psycopg: ends well') or diag($err);
is($out, <<'EXPECTED', 'psycopg: with the right results');
copied 100
prepared True
binary (1099511627776, None, b'\x00\xff')
pipeline True
pipeline error 22012
cursor 4950
EXPECTED
check_session('psycopg');
is($server->sql("select count(*), count(distinct query_hashes), sum(row_count) from"
	  . ' pgwire_trace.exchange where ' . session_of('psycopg')
	  . q{ and query = 'select s from t where n = $1' and command_tag = 'SELECT 1'}), '10|1|10',
	'psycopg: ten executions of the prepared statement');
is($server->sql('select sum(data_row_count) from pgwire_trace.exchange where ' . session_of('psycopg')
	  . q{ and query = 'select $1::int + 1'}), '50', 'psycopg: 50 pipelined queries');
is($server->sql('select count(*) from pgwire_trace.exchange where ' . session_of('psycopg')
	  . " and sqlstate = '22012'"), '1', 'psycopg: one error in the pipeline');

# ---- node-pg ----

SKIP:
{
	my $env = { NODE_PATH => $ENV{PGWT_NODE_PATH}, PGUSER => scalar getpwuid($<) };
	my ($found) = eval { run_client([ 'node', '-e', 'require("pg")' ], env => $env) };
	skip 'node-pg is not installed', 6 if !defined $found || $found != 0;

	($status, $out, $err) =
	  run_client([ 'node', "$clients/node_pg.js", $server->side_port ], env => $env);
	is($status, 0, 'node-pg: ends well') or diag($err);
	is($out, "simple 2\nparameters ab\nnamed 1\nnamed 2\nnamed 3\nerror 22012\nmany 5000\n",
		'node-pg: with the right results');
	check_session('node-pg');
	is($server->sql('select count(*) from pgwire_trace.exchange where ' . session_of('node-pg')
		  . q{ and query = 'select $1::int + 1 as next' and command_tag = 'SELECT 1'}), '3',
		'node-pg: three executions of the named statement');
}

# ---- JDBC ----

SKIP:
{
	skip 'JDBC is not installed', 27 unless -e '/usr/share/java/postgresql.jar';

	($status, $out, $err) = run_client([ 'java', '-cp', '/usr/share/java/postgresql.jar',
			"$clients/Jdbc.java", $server->side_port, scalar getpwuid($<) ]);
	is($status, 0, 'jdbc: ends well') or diag($err);
	is($out, <<'EXPECTED', 'jdbc: with the right results');
batch 500
batch failed 23514
batch in a transaction 100
rewritten 200
fetched 95
prepared row 5
error 22012
goes on true
copied 2
copied out 8
notified said
EXPECTED
	check_session($_) for 'jdbc', 'jdbc batch', 'jdbc rewritten', 'jdbc fetch', 'jdbc autosave', 'jdbc others';
	# 42.7 sends BEGIN alone, and has one exchange less to begin with
	my ($major, $minor) = join(' ', run_client([ 'java', '-jar', '/usr/share/java/postgresql.jar' ])) =~ /(\d+)\.(\d+)/;
	my $alone = "$major.$minor" >= 42.7;
	# the driver asks for the types first, then sends 256 at most before it waits
	is(exchanges('jdbc batch', "query like 'insert%'"), ($alone ? '' : 'insert 0 0 -, ') . 'insert 255 255 INSERT 0 1,'
		  . ' insert 245 245 INSERT 0 1, insert 101 100 23514' . ($alone ? ', insert 100 100 INSERT 0 1' : ''),
		'jdbc: batches, one of which fails');
	is(exchanges('jdbc batch', "query = 'BEGIN'"), $alone ? 'BEGIN 1 0 BEGIN' : 'BEGIN 101 100 INSERT 0 1',
		'jdbc: one in a transaction');
	is(exchanges('jdbc rewritten', "query like 'insert%'"), 'insert 3 200 INSERT 0 8', 'jdbc: a batch that is rewritten');
	is(exchanges('jdbc fetch', 'exchange_no > 2'), ($alone ? 'select 1 0 -, ' : 'BEGIN 2 0 BEGIN, ') . 'select 1 0 -, ' x 8 . 'select 1 5 SELECT 5'
		  . ', select 1 1 SELECT 1' x 6 . ', COMMIT 1 0 COMMIT, - 0 0 -',
		'jdbc: a portal that is suspended nine times, and a statement that gets a name');
	is($server->sql('select sum(data_row_count) from pgwire_trace.exchange where ' . session_of('jdbc fetch')), '101',
		'jdbc: with all rows');
	is(exchanges('jdbc autosave', 'exchange_no > 2'), ($alone ? 'SAVEPOINT 1 0' : 'BEGIN 2 0') . ' SAVEPOINT, select 1 1 SELECT 1, SAVEPOINT 1 0 SAVEPOINT,'
		  . ' select 1 0 22012, ROLLBACK 1 0 ROLLBACK, SAVEPOINT 1 0 SAVEPOINT, select 2 2 SELECT 1, COMMIT 1 0 COMMIT, - 0 0 -',
		'jdbc: an error, and a savepoint to go back to');
	is(exchanges('jdbc others', 'exchange_no > 2'),
		($alone ? 'copy 1 2 COPY 2, BEGIN 1 0 BEGIN, SELECT 1' : 'copy 1 2 COPY 2, copy 1 2 COPY 2, BEGIN 2') . ' 12 SELECT 12, - 1 0 -, - 1 0 -,'
		  . ' listen 2 0 NOTIFY, COMMIT 1 0 COMMIT, - 0 0 -',
		'jdbc: COPY, function calls, a notification');
}

is($server->duplicates, '0', 'nothing is stored twice');
$server->node->stop;
done_testing();
