# View statement and parameters(): one row a statement that was run, whatever the protocol made
# of it: pipelines, errors in them, suspended portals, names from exchanges before, COPY, function
# calls, and what was not kept.
use strict;
use warnings;

use PgwireTrace qw(poll);
use PgwireTrace::Client qw(message query sync_message copy_data copy_done);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('statements', conf => "pgwire_trace.response_limit = '8kB'\n");
my $user = $ENV{PGUSER} // scalar getpwuid($<);

# ---- messages ----

sub parse
{
	my ($name, $sql, @types) = @_;
	return message('P', "$name\0$sql\0" . pack('nN*', scalar @types, @types));
}

# A Bind: portal, statement, formats of parameters, values (undef is NULL), formats of results.
sub bind_values
{
	my ($portal, $statement, $formats, $values, $results) = @_;
	return message('B', "$portal\0$statement\0"
		  . pack('nn*', scalar @$formats, @$formats)
		  . pack('n', scalar @$values)
		  . join('', map { defined $_ ? pack('N/a*', $_) : pack('N', 0xffffffff) } @$values)
		  . pack('nn*', scalar @$results, @$results));
}

sub describe { my ($kind, $name) = @_; return message('D', "$kind$name\0"); }
sub execute { my ($portal, $rows) = @_; return message('E', "$portal\0" . pack('N', $rows // 0)); }
sub close_name { my ($kind, $name) = @_; return message('C', "$kind$name\0"); }

# ---- sessions ----

# Logs in through the side port; the application's name finds the session later.
sub client
{
	my ($name, %more) = @_;
	my $client = PgwireTrace::Client->new($server->side_port);

	$client->login(user => $user, database => 'postgres', application_name => $name, %more);
	return $client;
}

# Sends bytes and reads up to so many ReadyForQuery; checks the answers' types.
sub talk
{
	my ($client, $bytes, $expected, $what, $ready) = @_;

	$client->send_bytes($bytes);
	is($client->until_ready($ready // 1), $expected, "$what: answered");
	return;
}

# Returns columns of a session's statements, a line each.
sub statements
{
	my ($name, $columns) = @_;

	$server->flush;
	return $server->sql("select $columns from pgwire_trace.statement where session_id ="
		  . " pgwire_trace.last_session('$name') order by exchange_no, statement_no");
}

my $basic = 'statement_no, statement_name, portal_name, query, parameter_values, command_tag,'
  . ' row_count, sqlstate, is_suspended, is_truncated';

# ---- a pipeline, an error in its middle ----

my $client = client('pipeline');
talk($client,
	parse('', 'select $1::int4 + 1', 23) . bind_values('', '', [1], [ pack('N', 41) ], [1])
	  . execute('') . parse('s', 'select $1', 25) . bind_values('p', 's', [], ['text'], [])
	  . execute('p') . sync_message(), '12DC12DCZ', 'two statements before a Sync');
talk($client,
	bind_values('', 's', [0], ['one'], []) . execute('') . bind_values('', 's', [0], ['1'], [])
	  . parse('bad', 'select 1/0') . bind_values('', 'bad', [], [], []) . execute('')
	  . bind_values('', 's', [0], ['skipped'], []) . execute('') . sync_message(),
	'2DC21EZ', 'an error in the middle');
talk($client, parse('', 'selec 1') . bind_values('', '', [], [], []) . execute('') . sync_message(),
	'EZ', 'an error at Parse');
talk($client, bind_values('', 'nobody', [0], ['x'], []) . execute('') . sync_message(), 'EZ',
	'a Bind to a statement that there is not');
$client->send_bytes(PgwireTrace::Client::terminate());
is(statements('pipeline', "exchange_no, $basic"), <<'ROWS' =~ s/\n\z//r, 'a pipeline, row by row');
1|1|||select $1::int4 + 1|{41}|SELECT 1|1||f|f
1|2|s|p|select $1|{text}|SELECT 1|1||f|f
2|1|s||select $1|{one}|SELECT 1|1||f|f
2|2|bad||select 1/0|{}|||22012|f|f
3|1|||selec 1||||42601|f|f
4|1|nobody|||{x}|||26000|f|f
ROWS
is($server->sql('select statement_no, parameter_no, type, format, value from'
	  . " pgwire_trace.parameters(pgwire_trace.last_session('pipeline'), 1)"),
	"1|1|integer|binary|41\n2|1|text|text|text", 'parameters()');

# ---- portals: suspended, resumed in another exchange, several at once ----

$client = client('portals');
$client->run('begin');
talk($client,
	parse('g', 'select generate_series(1, $1)', 23) . bind_values('a', 'g', [], ['5'], [])
	  . bind_values('b', 'g', [1], [ pack('N', 3) ], [1]) . describe('P', 'b')
	  . execute('a', 2) . execute('b', 1) . sync_message(), '122TDDsDsZ', 'two portals, suspended');
talk($client, execute('a', 2) . execute('b') . execute('a') . close_name('P', 'a') . sync_message(),
	'DDsDDCDC3Z', 'both go on');
talk($client, parse('', 'select 2') . bind_values('b', '', [], [], []) . sync_message(), '1EZ',
	'a name that is taken');
$client->run('rollback');
$client->send_bytes(PgwireTrace::Client::terminate());
is(statements('portals', "portal_name, query, parameter_values, command_tag, data_row_count,"
	  . ' sqlstate, is_suspended'), <<'ROWS' =~ s/\n\z//r, 'portals, row by row');
|begin||BEGIN|0||f
a|select generate_series(1, $1)|{5}||2||t
b|select generate_series(1, $1)|{3}||1||t
a|select generate_series(1, $1)|{5}||2||t
b|select generate_series(1, $1)|{3}|SELECT 2|2||f
a|select generate_series(1, $1)|{5}|SELECT 1|1||f
b|select 2|{}||0|42P03|f
|rollback||ROLLBACK|0||f
ROWS
is($server->sql("select string_agg(\"row\"::text, ' ' order by statement_no, row_no) from"
	  . ' generate_series(1, 3) statement_no, lateral pgwire_trace.result('
	  . "pgwire_trace.last_session('portals'), 3, statement_no)"),
	'["3"] ["4"] ["2"] ["3"] ["5"]', 'result() of what went on, text and binary');

# ---- names: parsed again, closed, by SQL ----

$client = client('names');
talk($client, parse('n', 'select 1') . parse('', 'select 2') . sync_message(), '11Z', 'parsed');
talk($client, bind_values('', 'n', [], [], []) . execute('') . sync_message(), '2DCZ', 'first');
talk($client, close_name('S', 'n') . parse('n', 'select 3') . sync_message(), '31Z', 'parsed again');
talk($client, bind_values('', 'n', [], [], []) . execute('') . bind_values('', '', [], [], [])
	  . execute('') . sync_message(), '2DC2DCZ', 'both');
talk($client, query('prepare "N 2" (int) as select $1 * 2; execute "N 2"(7); execute n'),
	'CTDCTDCZ', 'PREPARE, EXECUTE');
talk($client, bind_values('', 'N 2', [], ['4'], []) . execute('') . sync_message(), '2DCZ',
	'Bind to what SQL prepared');
talk($client, query('deallocate n; deallocate prepare all'), 'CCZ', 'DEALLOCATE');
talk($client, query('execute n'), 'EZ', 'gone');
$client->send_bytes(PgwireTrace::Client::terminate());
is(statements('names', 'statement_name, query, prepared_query, command_tag, sqlstate'),
	<<'ROWS' =~ s/\n\z//r, 'names, row by row');
n|select 1||SELECT 1|
n|select 3||SELECT 1|
|select 2||SELECT 1|
|prepare "N 2" (int) as select $1 * 2||PREPARE|
|execute "N 2"(7)|select $1 * 2|SELECT 1|
|execute n|select 3|SELECT 1|
N 2|select $1 * 2||SELECT 1|
|deallocate n||DEALLOCATE|
|deallocate prepare all||DEALLOCATE ALL|
|execute n|||26000
ROWS

# ---- several statements in a Query ----

$client = client('query');
$client->run($_)
  for 'select 1;; ;select 2 -- ;', '', "select ';' as a, (select 1); select 1/0; select 3",
  'select 1; selec 2', 'create function f() returns int begin atomic select case when true then 1'
  . ' end; end; select f()', 'create table q (n int); create rule r as on insert to q do also'
  . ' (select 1; select 2); drop table q';
$client->send_bytes(PgwireTrace::Client::terminate());
is(statements('query', 'statement_no, query, command_tag, sqlstate'), <<'ROWS' =~ s/\n\z//r,
1|select 1|SELECT 1|
2|select 2|SELECT 1|
1|||
1|select ';' as a, (select 1)|SELECT 1|
2|select 1/0||22012
1|select 1; selec 2||42601
1|create function f() returns int begin atomic select case when true then 1 end; end|CREATE FUNCTION|
2|select f()|SELECT 1|
1|create table q (n int)|CREATE TABLE|
2|create rule r as on insert to q do also (select 1; select 2)|CREATE RULE|
3|drop table q|DROP TABLE|
ROWS
	'several statements in a Query, row by row');

# ---- COPY, and an error at the end of the transaction ----

$client = client('copy');
$client->run('create table c (n int primary key, m int references c deferrable initially deferred)');
talk($client, parse('', 'copy c from stdin') . bind_values('', '', [], [], []) . execute('')
	  . sync_message() . copy_data("1\t1\n") . copy_done() . sync_message(), '12GCZ',
	'COPY as libpq does it');
talk($client, query('copy c from stdin; select 1') . copy_data("x\t1\n") . copy_done(), 'GEZ',
	'COPY that fails');
talk($client, query('copy c to stdout; copy c from stdin; copy c from stdin') . copy_data("2\t2\n")
	  . copy_done() . copy_data("3\t3\n") . copy_done(), 'HdcCGCGCZ', 'three COPYs in a Query');
talk($client, parse('', 'insert into c values (4, 5)') . bind_values('', '', [], [], [])
	  . execute('') . sync_message(), '12CEZ', 'a deferred constraint');
$client->send_bytes(PgwireTrace::Client::terminate());
is(statements('copy', 'exchange_no, query, command_tag, row_count, sqlstate'), <<'ROWS' =~ s/\n\z//r,
1|create table c (n int primary key, m int references c deferrable initially deferred)|CREATE TABLE||
2|copy c from stdin|COPY 1|1|
3|copy c from stdin|||22P02
4|copy c to stdout|COPY 1|1|
4|copy c from stdin|COPY 1|1|
4|copy c from stdin|COPY 1|1|
5|insert into c values (4, 5)|INSERT 0 1|1|
5||||23503
ROWS
	'COPY and a late error, row by row');

# ---- function calls ----

$client = client('call');
talk($client, message('F', pack('NnnnNNNNn', 177, 1, 1, 2, 4, 20, 4, 22, 1)), 'VZ', 'int4pl');
talk($client, message('F', pack('NnnN/a*n', 1 << 30, 0, 1, 'x', 0)), 'EZ', 'a function that is not');
$client->send_bytes(PgwireTrace::Client::terminate());
is(statements('call', 'function_name, parameter_types, parameter_values, sqlstate'),
	"pg_catalog.int4pl(integer,integer)|{integer,integer}|{20,22}|\n1073741824|{NULL}|{x}|42883",
	'function calls, row by row');
is($server->sql("select \"row\" from pgwire_trace.result(pgwire_trace.last_session('call'), 1)"),
	'["42"]', 'result() of a function call');

# ---- habits that cost, and a client that has none ----

my $once = parse('', 'select 1') . bind_values('', '', [], [], []) . execute('') . sync_message();
$client = client('habits');
for (1 .. 5)
{
	$client->send_bytes($once);
	$client->until_ready;
}
$client->send_bytes(parse('u', 'select 2') . parse('s', 'select $1::int', 23) . describe('S', 's') . sync_message());
$client->until_ready;
$client->send_bytes(describe('S', 's') . bind_values('', 's', [], ['1'], []) . execute('') . sync_message());
$client->until_ready;
$client->send_bytes(join('', (bind_values('', 's', [], ['1'], []) . execute('') . sync_message()) x 6));
$client->until_ready(6);
$client->run("select $_ as n") for 1 .. 10;
$client->send_bytes(PgwireTrace::Client::terminate());
$client = client('frugal');
$client->send_bytes(parse('s', 'select $1::int', 23) . describe('S', 's') . sync_message());
$client->until_ready;
$client->send_bytes(join('', (bind_values('', 's', [], ['1'], []) . execute('')) x 6) . sync_message());
$client->until_ready;
$client->run('begin; select 1; commit');
$client->send_bytes(PgwireTrace::Client::terminate());
my $large = "select repeat('x', 1000) from generate_series(1, 20000)";
$client = client('in vain');
$client->send_bytes(query($large));
my $received = 0;
while ($received < 2_000_000 and my ($type, $body) = $client->receive)
{
	$received += length $body;
}
$client->close('reset');
$client = client('read whole');
$client->run($large);
$client->send_bytes(PgwireTrace::Client::terminate());
ok(poll(sub {
		$server->flush;
		return $server->sql("select end_reason is not null from pgwire_trace.session where session_id ="
			  . " pgwire_trace.last_session('in vain')") eq 't';
	}), 'the client that left is noticed');
is($server->sql("select s.application_name, f.finding, f.occurrences, f.exchanges, f.query from pgwire_trace.finding f"
	  . " join pgwire_trace.session s using (session_id) where s.application_name in ('habits', 'frugal', 'in vain',"
	  . " 'read whole') order by s.session_id, f.finding"), <<'ROWS' =~ s/\n\z//r . $large, 'findings of real sessions');
habits|described_again|1|{7}|select $1::int
habits|n_plus_one|10|{14,15,16,17,18,19,20,21,22,23}|select 1 as n
habits|parsed_again|5|{1,2,3,4,5}|select 1
habits|sync_each_statement|5|{9,10,11,12,13}|select $1::int
habits|unused_statement|1|{6}|select 2
in vain|result_in_vain|1|{1}|
ROWS

# ---- what was not kept ----

$client = client('cut');
$client->run("select repeat('x', 100) from generate_series(1, 1000)");
talk($client, parse('', 'select repeat($1, 100) from generate_series(1, 1000)')
	  . bind_values('', '', [], ['y'], []) . execute('') . parse('t', 'select $1::int')
	  . bind_values('', 't', [], ['1'], []) . execute('') . bind_values('', 't', [], ['2'], [])
	  . execute('') . sync_message(),
	'12' . 'D' x 1000 . 'C12DC2DCZ', 'a long answer, then short ones');
talk($client, bind_values('', 't', [], ['3'], []) . execute('') . sync_message(), '2DCZ',
	'what was prepared behind the cut');
$client->run("select repeat('x', 100) from generate_series(1, 1000); select 1/0");
$client->send_bytes(PgwireTrace::Client::terminate());
is(statements('cut', 'statement_no, query, parameter_values, command_tag, row_count,'
	  . ' data_row_count < 1000, sqlstate, is_truncated'), <<'ROWS' =~ s/\n\z//r,
1|select repeat('x', 100) from generate_series(1, 1000)||SELECT 1000|1000|t||t
1|select repeat($1, 100) from generate_series(1, 1000)|{y}|||t||t
2|select $1::int|{1}|||t||t
3|select $1::int|{2}|SELECT 1|1|t||t
1|select $1::int|{3}|SELECT 1|1|t||f
1|select repeat('x', 100) from generate_series(1, 1000)||||t||t
2|select 1/0||||t|22012|t
ROWS
	'what a limit cut off, row by row');
is($server->sql("select count(*) > 50, count(*) filter (where \"row\" = '{\"truncated\": true}'),"
	  . " (array_agg(\"row\" order by row_no desc))[1] from pgwire_trace.result("
	  . "pgwire_trace.last_session('cut'), 1)"), 't|1|{"truncated": true}',
	'result() says where it was cut');

# ---- prepared before the record began, and in a gap of it ----

$server->set('pgwire_trace.capture' => 'off');
$client = client('gap');
ok(poll(sub {
		$client->run('select 1');
		$server->flush;
		return $server->sql("select count(*) from pgwire_trace.exchange e join pgwire_trace.session s"
			  . " using (session_id) where application_name = 'gap' and kind = 'query'") eq '0';
	}), 'capture is off');
talk($client, parse('old', 'select $1 || \'!\'', 25) . parse('two', 'select 2') . sync_message(),
	'11Z', 'parsed unseen');
$server->set('pgwire_trace.capture' => 'all');
$client->run('select 7');
ok(poll(sub {
		$client->run('select 7');
		$server->flush;
		return $server->sql("select count(*) > 0 from pgwire_trace.exchange where query = 'select 7'"
			  . ' and request is not null') eq 't';
	}), 'capture is on again');
talk($client, bind_values('', 'old', [0], ['hey'], []) . execute('') . bind_values('', 'two', [], [],
		[]) . execute('') . sync_message(), '2DC2DCZ', 'bound');
$client->send_bytes(PgwireTrace::Client::terminate());
like(statements('gap', 'statement_name, query, parameter_types, parameter_values, command_tag'),
	qr/\nold\|select \$1 \|\| '!'\|\{NULL\}\|\{hey\}\|SELECT 1\ntwo\|select 2\|\{\}\|\{\}\|SELECT 1$/,
	'the relay knew what was parsed unseen');

# ---- metadata mode ----

$server->set('pgwire_trace.capture' => 'metadata');
ok(poll(sub {
		$server->side_sql('select 11; select 12', application => 'metadata');
		$server->flush;
		return $server->sql("select bool_and(request is null) from pgwire_trace.exchange where"
			  . " session_id = pgwire_trace.last_session('metadata') and kind = 'query'") eq 't';
	}), 'metadata mode');
like(statements('metadata', 'query, command_tag, row_count, is_truncated'),
	qr/^select \$\d\|SELECT 1\|1\|t$/m, 'what the counts say of a statement without bytes');

# ---- nothing there, and who may read ----

is($server->sql('select count(*) from pgwire_trace.parameters(-1, 1)'), '0', 'no such session');
is($server->sql("select count(*) from pgwire_trace.result(pgwire_trace.last_session('call'), 99)"),
	'0', 'no such exchange');
is($server->sql("select count(*) from pgwire_trace.result(pgwire_trace.last_session('call'), 1, 9)"),
	'0', 'no such statement');
$server->sql('create role reader; grant usage on schema pgwire_trace to reader');
for my $call ('parameters(1, 1)', 'result(1, 1)', 'result_columns(1, 1)', 'statement_rows(1)',
	'statement')
{
	my ($status, undef, $err) = $server->try_sql("set role reader; select * from pgwire_trace.$call");
	like($err, qr/permission denied for (?:function|view)/, "$call is not for everybody");
}

$server->node->stop;
done_testing();
