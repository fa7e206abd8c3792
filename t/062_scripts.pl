# psql_script(): pasted into a fresh database it does what was recorded. explain(): the plan, or
# why there is none; and nobody gains by being planned.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(message query sync_message copy_data copy_done);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('scripts', conf => "pgwire_trace.response_limit = '-1'\n");
my $user = $ENV{PGUSER} // scalar getpwuid($<);
my $clients = $ENV{PGWT_CLIENTS};

# ---- messages ----

sub parse
{
	my ($name, $sql, @types) = @_;
	return message('P', "$name\0$sql\0" . pack('nN*', scalar @types, @types));
}

# A Bind with all values in one format (undef is NULL).
sub bind_values
{
	my ($portal, $statement, $format, @values) = @_;
	return message('B', "$portal\0$statement\0" . pack('nnn', 1, $format, scalar @values)
		  . join('', map { defined $_ ? pack('N/a*', $_) : pack('N', 0xffffffff) } @values)
		  . pack('nn', 1, $format));
}

sub execute { my ($portal, $rows) = @_; return message('E', "$portal\0" . pack('N', $rows // 0)); }

# Parse, Bind, Execute of the unnamed ones, all values as text.
sub statement
{
	my ($sql, $types, @values) = @_;
	return parse('', $sql, @$types) . bind_values('', '', 0, @values) . execute('');
}

sub client
{
	my ($name, %more) = @_;
	my $client = PgwireTrace::Client->new($server->side_port);

	$client->login(user => $user, database => 'postgres', application_name => $name, %more);
	return $client;
}

# ---- what came of a session ----

# The outcomes of a session's statements, a line each; what the script adds or leaves out aside.
sub outcomes
{
	my ($name) = @_;
	return $server->sql("select coalesce(sqlstate, command_tag) from pgwire_trace.statement where"
		  . " session_id = pgwire_trace.last_session('$name') and coalesce(sqlstate, command_tag) !~"
		  . " '^(PREPARE|DEALLOCATE.*|BEGIN|COMMIT|ROLLBACK|SET)\$' and query !~ '^SELECT (.text|pg_catalog\.)'"
		  . " and coalesce(prepared_query, query) !~ 'generate_series.1, .1'"
		  . ' order by exchange_no, statement_no');
}

# Pastes the script of a session into a fresh database; compares outcomes and the tables there.
sub paste
{
	my ($name, $database, @tables) = @_;

	$server->flush;
	my $script = $server->sql("select * from pgwire_trace.psql_script(pgwire_trace.last_session("
		  . "'$name'))");
	$server->sql("create database \"into_$name\"");
	my ($status, $out, $err) = run_client([ 'psql', '-Xq', '-f', '-', $server->side_connstr("into_$name") ],
		stdin => "$script\n", env => { PGAPPNAME => "pasted $name" });
	is($status, 0, "$name: psql reads the script to its end") or diag($err);
	$server->flush;
	is(outcomes("pasted $name"), outcomes($name), "$name: each statement ends the same way")
	  or diag($script);
	for my $table (@tables)
	{
		my $contents = "select * from $table order by $table";
		is($server->sql($contents, "into_$name"), $server->sql($contents, $database), "$name: $table");
	}
	return $script;
}

# ---- by hand: what a script can meet ----

my $client = client('by_hand');
my $numbers = 0;

# Sends bytes, expects so many ReadyForQuery.
sub talk
{
	my ($bytes, $ready) = @_;
	$client->send_bytes($bytes);
	like($client->until_ready($ready // 1), qr/Z$/, 'by_hand: exchange ' . ++$numbers);
	return;
}
talk(query('create table a (n int primary key, t text, b bytea, x numeric, at timestamptz);'
	  . ' create table log (line text)'));
talk(parse('add', 'insert into a (n, t, b, x) values ($1, $2, $3, $4)', 23, 25, 17) . sync_message());
talk(bind_values('', 'add', 1, pack('N', 1), "it's \\ \$\$", "\0\xff", undef) . execute('') . sync_message());
talk(bind_values('', 'add', 0, '2', "two\nlines", '\x00', '1.50') . execute('')
	  . bind_values('', 'add', 0, '2', 'again', '', '1') . execute('') . bind_values('', 'add', 0,
		'3', 'skipped', '', '1') . execute('') . sync_message());
talk(statement('insert into a (n) values (10)', []) . statement('insert into a (n) values ($1)', [23], 11)
	  . sync_message());
talk(statement('create table copy_of_a as select n, $1 || $2 as t from a', [ 25, 25 ], "'", '\\') . sync_message());
talk(query("select 'a;b' as \"c;d\"; select /* ; */ 2 -- ;"));
talk(query("select 1; select '\n\\echo no"));
talk(query('select \\1'));
talk(query("select array[1, 2][1:n] from (select 1 as n) s"));
talk(query("select (array[10, 20, 30])[n :n + 1], :n, 1::text, '::n' from (select 1 as n) s"));
talk(query("select (array[10, 20, 30])[n:n] from (select 2 as n) s"));
talk(query("create function f(i int) returns int begin atomic select case when i > 0 then i else 0 end; end;"
	  . ' select f(7)'));
talk(query("insert into log select 'x' from generate_series(1, 3); select 1/0; insert into log values ('no')"));
talk(query(''));
talk(query('begin; insert into log values (\'begun\')'));
talk(query('select 1/0'));
talk(statement('select $1', [23], 5) . sync_message());
talk(query('commit'));
talk(query('begin'));
talk(statement('insert into log values ($1)', [25], 'in a block') . sync_message());
talk(query('copy a (n, t) from stdin') . copy_data("20\tx\\ty\n21\t\\N") . copy_data("\n") . copy_done());
talk(query('copy a (n) from stdin; copy log from stdin') . copy_data("30\n") . copy_done()
	  . copy_data("a line\n\\.\n") . copy_done());
talk(query('commit'));
talk(query('copy a (n) from stdin') . copy_data("x\n") . copy_done());
talk(query('copy a (n) from stdin (format csv)') . copy_data("40\n") . copy_done());
talk(parse('', 'copy log from stdin') . bind_values('', '', 0) . execute('') . sync_message()
	  . copy_data("by Execute\n") . copy_done() . sync_message());
talk(parse('', 'select generate_series(1, $1)', 23) . bind_values('p', '', 1, pack('N', 5))
	  . execute('p', 2) . execute('p') . sync_message());
talk(message('F', pack('NnnnNNNNn', 177, 1, 1, 2, 4, 20, 4, 22, 1)));
talk(query("set standard_conforming_strings = off; set datestyle = 'German'"));
talk(query("insert into log values ('a\\'b\\\\c')"));
talk(statement('insert into a (n, at) values (50, $1)', [1184], '01.02.2026 03:04:05 CET') . sync_message());
talk(query('prepare add2 (int) as insert into a (n) values ($1); execute add2(60); deallocate add'));
talk(query('prepare add3 (int) as insert into a (n) values ($1)'));
talk(bind_values('', 'add3', 0, 70) . execute('') . sync_message());
talk(query('selec'));
talk(parse('', 'selec $1') . bind_values('', '', 0, 'x') . execute('') . sync_message());
talk(query("alter role \"$user\" password null; alter role nobody password 'secret'"));
$client->send_bytes(PgwireTrace::Client::terminate());
my $script = paste('by_hand', 'postgres', qw(a log copy_of_a));
like($script, qr/^-- exchange \d+, [^\n]*\nBEGIN;\ninsert into a \(n\) values \(10\);\nPREPARE \w+ \(integer\)/m,
	'statements without a Sync between them are a transaction');
like($script, qr/^EXECUTE add\('1'::integer, /m, 'typed literals');
like($script, qr/^-- ERROR:  22012: division by zero$/m, 'errors are comments');
like($script, qr/^-- \(suspended after 2 rows\)\n-- \(portal "p" goes on: 3 rows\)$/m, 'a suspended portal');
like($script, qr/a secret in it was masked/, 'a masked secret is said to be that');
unlike($script, qr/secret'/, 'and is not there');
like($script, qr/\\gexec$/m, 'what psql would misread');

# literals of users' types have their names; the fresh database has them under other OIDs
$client = client('typed');
$numbers = 50;
talk(query("create type mood as enum ('sad', 'it''s :ok'); create domain small as int check (value < 100);"
	  . ' create type pair as (m mood, n small); create type span as range (subtype = float8);'
	  . ' create table typed (m mood, ms mood[], s small, p pair, ps pair[], r span, rs int4multirange, x bit varying(3), i interval)'));
my @types = split /\n/, $server->sql("select to_regtype(t)::oid from unnest('{mood,mood[],small,pair,pair[],span,int4multirange,varbit,interval}'::text[]) t");
talk(parse('', 'insert into typed values ($1, $2, $3, $4, $5, $6, $7, $8, $9)', @types)
	  . bind_values('', '', 0, "it's :ok", q({sad,"it's :ok",NULL}), 7, q[("it's :ok",)], '{"(sad,1)"}', '[1.5,2)', '{[1,3)}', '101', '1 mon')
	  . execute('') . sync_message());
talk(parse('', 'insert into typed values ($1, $2, $3, null, null, $4)', @types[ 0, 1, 2, 5 ])
	  . bind_values('', '', 1, 'sad', pack('NNNNNN/a*', 1, 0, $types[0], 1, 1, 'sad'), pack('N', 8), "\x02" . pack('N/a*N/a*', pack('d>', 0.1), pack('d>', 3)))
	  . execute('') . sync_message());
talk(parse('', 'insert into typed (s) values ($1)', $types[2]) . bind_values('', '', 0, 100) . execute('') . sync_message());
$client->send_bytes(PgwireTrace::Client::terminate());
like(paste('typed', 'postgres', 'typed'), qr/'it''s :ok'::public\.mood, /, 'typed: by name');
$server->sql('drop table typed; drop type pair; drop type span; drop domain small; drop type mood');

# what others sent is never a command to the psql that reads the script
my $evil = PostgreSQL::Test::Utils::tempdir() . '/evil';
my $command = "\\! touch $evil";
$client = client('hostile');
$numbers = 100;
talk(query('create table h (line text)'));
talk(query('copy h from stdin') . copy_data("$command\nselect pg_catalog.set_config('a.b', 'c', false);\n\\\\! no\n") . copy_done());
talk(query('copy h from stdin (format csv)') . copy_data("\"$command\n$command\"\n'\n") . copy_done());
talk(query('copy h (nothing) from stdin') . copy_data("$command\n") . copy_done());
talk(statement('copy h from stdin', []) . sync_message() . copy_data("$command\n") . copy_done() . sync_message());
talk(query("do \$\$ begin raise exception E'x\\r\\\\! touch $evil\\n\\\\! touch $evil'; end \$\$"));
talk(query("select 1 -- \r$command"));
talk(query("select \\1 \$text"));
talk(parse("s\r$command\n$command", 'select generate_series(1, $1)', 23) . bind_values("p\r$command", "s\r$command\n$command", 0, '3')
	  . execute("p\r$command", 1) . execute("p\r$command") . sync_message());
talk(statement('select $1', [25], "'; \r$command\n; $command") . sync_message());
talk(query("alter role \"nobody\r$command\" password 'x'"));
$client->send_bytes(PgwireTrace::Client::terminate());
my $hostile = paste('hostile', 'postgres', 'h');
like($hostile, qr/^\\encoding UTF8$/m, 'the encoding in which it was read');
ok(!-e $evil, 'nothing of it is run');
for my $exchange (2, 3, 5)
{
	my $alone = $server->sql("select * from pgwire_trace.psql_script(pgwire_trace.last_session('hostile'), $exchange)");
	$server->sql('create database without_h');
	my ($status, undef, $err) = run_client([ 'psql', '-Xq', '-f', '-', $server->side_connstr('without_h') ],
		stdin => "$alone\n");
	is($status, 3, "where the COPY of exchange $exchange does not begin the script ends") or diag($err);
	like($err, qr/^[^\n]*ERROR:  relation "h" does not exist\s*\z/, 'with that error');
	$server->sql('drop database without_h');
}
ok(!-e $evil, 'and its data are no commands');
# a Query of which a part can't be in the script is not in it, nor are the data of its other COPYs
$client = client('hostile_parts');
$numbers = 200;
talk(query('copy h from stdin; select 1/0') . copy_data("$command\n") . copy_done());
talk(query('copy h from stdin; copy h from stdin (format binary)') . copy_data("$command\n") . copy_done()
	  . copy_data("PGCOPY\n\xff\r\n\0" . pack('NNn', 0, 0, 0xffff)) . copy_done());
$client->send_bytes(PgwireTrace::Client::terminate());
$server->flush;
$hostile = $server->sql("select * from pgwire_trace.psql_script(pgwire_trace.last_session('hostile_parts'))");
like($hostile, qr/^-- not in this script: it has COPY data and failed\n-- copy h from stdin\\; select 1\/0\nDO /m, 'COPY, then an error');
like($hostile, qr/^-- not in this script: COPY data is binary\n-- copy h from stdin\\; copy h/m, 'a text and a binary COPY');
unlike($hostile, qr/touch/, 'no data without its COPY');

# what a script cannot do
$client = client('by_comment');
$client->run('create table c (n int)');
$client->send_bytes(query('copy c from stdin (format binary)') . copy_data("PGCOPY\n\xff\r\n\0"
		  . pack('NNnNNn', 0, 0, 1, 4, 7, 0xffff)) . copy_done());
$client->until_ready;
$client->send_bytes(query('copy c from stdin') . copy_data("1\n") . message('f', "no more\0"));
$client->until_ready;
$client->send_bytes(parse('', 'insert into c values ($1)', 23) . bind_values('', '', 1, 'abc')
	  . execute('') . sync_message());
$client->until_ready;
$client->send_bytes(PgwireTrace::Client::terminate());
$server->flush;
$script = $server->sql("select * from pgwire_trace.psql_script(pgwire_trace.last_session('by_comment'))");
like($script, qr/^-- not in this script: COPY data is binary\n-- copy c from stdin \(format binary\)$/m,
	'binary COPY is a comment');
like($script, qr/^-- not in this script: the client gave the COPY up\n[^\n]*\nDO /m, 'CopyFail');
like($script, qr/^-- not in this script: parameter 1 has no text: .*\n-- insert into c values \(\$1\)\nDO /m,
	'a value without text');
is($server->sql("select count(*) from pgwire_trace.psql_script(pgwire_trace.last_session('by_comment'), 99)"),
	'0', 'an exchange that there is not');
like($server->sql("select string_agg(line, '\n') from pgwire_trace.psql_script("
	  . "pgwire_trace.last_session('by_hand'), 3) line"),
	qr/^-- session.*\nPREPARE add \(integer, pg_catalog.text, pg_catalog.bytea, unknown\) AS .*\nEXECUTE add\('1'::integer, /s,
	'a single exchange prepares what it needs');

# ---- drivers ----

my ($status, $out, $err) = $server->try_side_sql(<<'SQL', application => 'psql');
create table p (n int, s text);
\copy p from program 'seq 1 1000 | sed "s/$/\trow/"'
prepare q (int) as select count(*) from p where n < $1;
execute q(10);
begin;
declare c cursor for select n from p order by n;
fetch 5 from c;
rollback;
create type color as enum ('red');
alter table p add c color default 'red';
SQL
is($status, 0, 'psql runs') or diag($err);
paste('psql', 'postgres', 'p');

($status, $out, $err) = run_client([ '/usr/bin/python3', "$clients/psycopg3.py", $server->side_connstr ]);
is($status, 0, 'psycopg runs') or diag($err);
paste('psycopg', 'postgres');
is($server->sql("select string_agg(v, ' ' order by v) from (select distinct parameter_values[1] as v from"
	  . " pgwire_trace.statement where session_id = pgwire_trace.last_session('psycopg') and"
	  . " query = 'select s from t where n = \$1') s"), '0 1 2 3 4 5 6 7 8 9', 'psycopg: parameters');
is($server->sql("select count(*), sum((r.\"row\"->>0)::int) from pgwire_trace.statement s, lateral"
	  . ' pgwire_trace.result(s.session_id, s.exchange_no, s.statement_no) r where s.session_id ='
	  . " pgwire_trace.last_session('psycopg') and query = 'select \$1::int + 1'"), '50|1275',
	'psycopg: results of a pipeline');
is($server->sql("select r.\"row\" from pgwire_trace.statement s, lateral pgwire_trace.result(s.session_id,"
	  . " s.exchange_no) r where s.session_id = pgwire_trace.last_session('psycopg') and query ~ 'int8'"),
	'["1099511627776", null, "\\\\x00ff"]', 'psycopg: a binary result');

$server->sql('create table bench (id int primary key, n int default 0); insert into bench'
	  . ' select generate_series(1, 100)');
my $bench = PostgreSQL::Test::Utils::tempdir() . '/bench.sql';
append_to_file($bench, "\\set id random(1, 100)\nupdate bench set n = n + 1 where id = :id;\n"
	  . "select n from bench where id = :id;\n");
for my $mode ('prepared', 'extended', 'simple')
{
	($status, $out, $err) = run_client([ 'pgbench', '-n', '-c', 1, '-t', 50, '-M', $mode, '-f', $bench,
			$server->side_connstr ], env => { PGAPPNAME => "pgbench $mode" });
	is($status, 0, "pgbench -M $mode runs") or diag($err);
	$server->flush;
	is($server->sql("select command_tag, count(*), count(distinct query) = 1 from pgwire_trace.statement where"
		  . " session_id = pgwire_trace.last_session('pgbench $mode') and query ~ 'bench' group by 1 order by 1")
		  =~ s/\|[tf]//gr, "SELECT 1|50\nUPDATE 1|50", "pgbench -M $mode: each statement")
	  ;
	$script = $server->sql("select * from pgwire_trace.psql_script(pgwire_trace.last_session('pgbench $mode'))");
	is(scalar(() = $script =~ /^EXECUTE/mg), $mode eq 'simple' ? 0 : 100, "pgbench -M $mode: its script");
}

SKIP:
{
	my $env = { NODE_PATH => $ENV{PGWT_NODE_PATH}, PGUSER => $user };
	my ($found) = eval { run_client([ 'node', '-e', 'require("pg")' ], env => $env) };
	skip 'node-pg is not installed', 4 if !defined $found || $found != 0;

	($status, $out, $err) = run_client([ 'node', "$clients/node_pg.js", $server->side_port ], env => $env);
	is($status, 0, 'node-pg runs') or diag($err);
	paste('node-pg', 'postgres');
	is($server->sql("select string_agg(statement_name || parameter_values::text, ' ' order by exchange_no) from"
		  . " pgwire_trace.statement where session_id = pgwire_trace.last_session('node-pg') and"
		  . " statement_name = 'add'"), 'add{0} add{1} add{2}', 'node-pg: a named statement');
}

# ---- explain() ----

# Returns the plan of an exchange's first statement, or the error's detail; as superuser.
sub explained
{
	my ($name, $exchange) = @_;
	my (undef, $out, $err) = $server->try_sql("select * from pgwire_trace.explain("
		  . "pgwire_trace.last_session('$name'), $exchange)");
	return $out if $err eq '';
	like($err, qr/^ERROR:  statement 1 of recorded exchange $exchange cannot be explained\n/, 'refused');
	return $err =~ s/.*\nDETAIL:  ([^\n]*)\n.*/$1/sr;
}

$client = client('plan');
$client->send_bytes(statement('select * from bench where id = $1', [23], 7) . sync_message());
$client->until_ready;
$client->send_bytes(statement('update bench set n = $1 where id < $2 returning *', [], 1, 5) . sync_message());
$client->until_ready;
$client->send_bytes(parse('', 'select $1, $2 + 1', 23) . bind_values('', '', 1, pack('N', 5), pack('N', 7))
	  . execute('') . sync_message());
$client->until_ready;
$client->run($_)
  for 'select 1; select 2', 'create table never_made as select * from bench', 'declare c cursor with hold'
  . ' for select * from bench', 'vacuum bench', 'begin; create temp table tt (n int); select 1 from tt; commit',
  'select * from tt', 'delete from bench where id = 1';
$client->send_bytes(message('F', pack('NnnnNNNNn', 177, 1, 1, 2, 4, 20, 4, 22, 1)));
$client->until_ready;
$client->send_bytes(PgwireTrace::Client::terminate());
$server->flush;
$server->sql('drop table never_made');
my $before = $server->sql('select sum(n), count(*) from bench');
like(explained('plan', 1), qr/(?:Index|Seq|Bitmap).* on bench[\s\S]*id = 7/, 'explain(): parameters are bound');
like(explained('plan', 2), qr/^Update on bench[\s\S]*id < 5/, 'explain(): types that the server infers');
like(explained('plan', 3), qr/^Result/, 'explain(): binary parameters');
like(explained('plan', 4), qr/^Result/, 'explain(): each statement of a Query');
like(explained('plan', 5), qr/^Seq Scan on bench/, 'explain(): what a table is made from');
like(explained('plan', 6), qr/^Seq Scan on bench/, 'explain(): what a cursor is for');
is(explained('plan', 7), 'Planning it fails: it is no statement that has a plan.', 'explain(): VACUUM');
is(explained('plan', 9), 'Planning it fails: relation "tt" does not exist.', 'explain(): a table that is gone');
like(explained('plan', 10), qr/^Delete on bench/, 'explain(): DELETE');
is(explained('plan', 11), 'It is a function call.', 'explain(): a function call');
is($server->sql('select sum(n), count(*) from bench'), $before, 'nothing was executed');
is($server->sql("select to_regclass('never_made') is null"), 't', 'nothing was made');
$server->sql('create database elsewhere');
$server->side_sql('select 5', database => 'elsewhere', application => 'elsewhere');
$server->flush;
is(explained('elsewhere', 1), 'It ran in database "elsewhere".', 'explain(): another database');

# a superuser's names are looked up by a role that can find them all, under the session's search path
$server->sql("create schema \"$user\"; create table \"$user\".mine (n int)");
$server->side_sql('select * from mine', application => 'mine');
$server->flush;
like(explained('mine', 1), qr/^Seq Scan on mine/, 'explain(): "$user" is the recorded role');
$server->sql("drop schema \"$user\" cascade");

# ---- code of others runs as whoever ran the statement, or not at all ----

# what is there is asked now, also by a transaction that began before it was
$server->try_side_sql('select * from bench where id = folded()', application => 'early');
$server->flush;
my $before_others = PgwireTrace::Client->new($server->side_port);
$before_others->login(user => $user, database => 'postgres', application_name => 'before others');
$before_others->run('begin isolation level repeatable read; select 1');

$server->sql(<<'SQL');
create role alice login;
create role mallory login;
create role reader login;
grant usage on schema pgwire_trace to reader;
grant execute on all functions in schema pgwire_trace to reader;
grant select on all tables in schema pgwire_trace to reader;
grant create on schema public to mallory;
create table diary (who text);
grant insert on diary to public;
grant select on bench to alice;
set role mallory;
create function harm() returns int language plpgsql as $$
begin
	begin
		execute 'alter role mallory superuser';
	exception when insufficient_privilege then null;
	end;
	insert into diary values (current_user);
	return 1;
end $$;
create function folded() returns int language plpgsql immutable as $$ begin return 1; end $$;
create domain trap as int check (folded() > 0);
SQL
my @traps = ('select * from bench where id = folded()', "select '1'::trap", 'select $1 from bench');
my $trap = $server->sql("select 'trap'::regtype::oid");
for my $who ('alice', $user)
{
	$client = client("trap of $who", user => $who);
	$client->run($_) for @traps[ 0, 1 ];
	$client->send_bytes(statement($traps[2], [$trap], 1) . sync_message());
	$client->until_ready;
	$client->send_bytes(PgwireTrace::Client::terminate());
}
$server->flush;
$server->sql('create or replace function folded() returns int language plpgsql immutable as'
	  . ' $$ begin raise warning \'planned as %\', current_user; return harm(); end $$');
for my $i (1 .. 3)
{
	like(explained("trap of $user", $i), qr/^Planning it fails: it was run by superuser "$user", and could run functions/,
		"a superuser's statement is not planned where others own something: $traps[$i - 1]");
}
$before_others->{error} = undef;
$before_others->send_bytes(query("select * from pgwire_trace.explain(pgwire_trace.last_session('early'), 1)"));
while (my ($type, $body) = $before_others->receive)
{
	$before_others->{error} = PgwireTrace::Client::error_fields($body) if $type eq 'E';
	last if $type eq 'Z';
}
like($before_others->{error}{D}, qr/it was run by superuser/, 'nor by a transaction that began before they did');
$before_others->close;
(undef, $out, $err) = $server->try_sql("select * from pgwire_trace.explain("
	  . "pgwire_trace.last_session('trap of alice'), 1)");
like($err, qr/planned as alice/, 'what is folded runs as who ran it, not as the superuser who reads');
is($server->sql("select count(*) from diary"), '0', 'what it did is undone');
is($server->sql("select rolsuper from pg_roles where rolname = 'mallory'"), 'f', 'she gained nothing');
(undef, $out, $err) = $server->try_sql("set role reader; select * from pgwire_trace.explain("
	  . "pgwire_trace.last_session('trap of alice'), 1)");
like($err, qr/DETAIL:  It is planned as the role that ran it: role "reader" may not act as the recorded role "alice"\./,
	'a reader who could not be that role is told so');
$server->sql('grant alice to reader');
like($server->sql("set role reader; select * from pgwire_trace.explain("
	  . "pgwire_trace.last_session('trap of alice'), 1)"), qr/bench/, 'one who could sees the plan');
is($server->sql('select count(*), current_user = session_user from diary group by 2'), '', 'still nothing');

$server->node->stop;
done_testing();
