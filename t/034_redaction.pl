# Redaction: what the rules mean is in no file and no table; everything else is as it was.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(query parse bind_portal execute describe_portal sync_message copy_data copy_done message);
use PostgreSQL::Test::Utils;
use Test::More;

# what must never be found, by what the client does with it
use constant SECRET => 'Zq7secretZq7';

my $server = PgwireTrace->start('redaction', conf => "pgwire_trace.synchronous_commit = on\n");
my $secret = SECRET;
$server->sql(<<'SQL');
create schema crm;
create table crm.card (id int primary key, number text, note text);
create table crm.part (id int, number text) partition by range (id);
create table crm.part1 partition of crm.part for values from (0) to (100);
create table other (id int, number text, made xml);
create type crm.pin as enum ('a', 'Zq7secretZq7');
create table pins (id int, pin crm.pin);
create view crm.cards as select id, number from crm.card;
SQL

# Runs what is done in one session; checks that the secret is nowhere, or is there.
sub record
{
	my ($name, $is_gone, @bytes) = @_;
	my $client = $server->connect_client(application_name => $name);

	for my $bytes (@bytes)
	{
		$client->send_bytes($bytes);
		$client->until_ready(1, 10);
	}
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
	$server->flush or diag('flush() failed');
	my $found = $server->sql("select coalesce(string_agg(distinct place, ' '), '') from ("
		  . " select unnest(array[case when request::text like '%$secret%' or position('$secret'::bytea in request) > 0 then 'request' end,"
		  . " case when position('$secret'::bytea in response) > 0 then 'response' end,"
		  . " case when query like '%$secret%' then 'query' end,"
		  . " case when error_message like '%$secret%' then 'error' end]) as place"
		  . " from pgwire_trace.exchange where session_id = pgwire_trace.last_session('$name')"
		  . " union all select 'text' from pgwire_trace.query_text where query like '%$secret%') s");
	is($found, '', "$name: the secret is not recorded") if $is_gone;
	return $found;
}

# Returns the messages of a session's exchange in short form.
sub shown
{
	my ($name, $exchange_no) = @_;

	return $server->sql("select string_agg(name || ' ' || body::text, e'\\n' order by message_no)"
		  . " from pgwire_trace.messages(pgwire_trace.last_session('$name'), $exchange_no)"
		  . " where name in ('Query', 'Parse', 'Bind', 'DataRow', 'CopyData', 'ErrorResponse')");
}

my @bound = (parse('insert into other values ($1, $2)') . bind_portal(values => [ 1, $secret ]) . execute()
	  . sync_message());

# ---- nothing is asked for: everything is recorded ----

like(record('all', 0, @bound, query("select * from other where number = '$secret'")), qr/request response/,
	'without rules values are recorded');
$server->sql('delete from other');

# ---- parameters ----

$server->set('pgwire_trace.redact_parameters' => 'on');
record('parameters', 1, @bound,
	parse('select $1::int') . bind_portal(values => [$secret]) . execute() . sync_message());
like(shown('parameters', 1), qr/"parameters": \["\*", "\*{12}"\]/, 'lengths stay');
is($server->sql("select query from pgwire_trace.exchange where session_id = pgwire_trace.last_session('parameters')"
	  . ' and exchange_no = 1'), 'insert into other values ($1, $2)', 'and so does the query');
like($server->sql("select sqlstate, error_message from pgwire_trace.exchange where session_id ="
	  . " pgwire_trace.last_session('parameters') and exchange_no = 2"),
	qr/^22P02\|invalid input syntax for type integer: "\*+"$/, 'what an error quotes goes');
is($server->sql("select count(*) from pgwire_trace.session where application_name = 'parameters' and"
	  . ' not is_desynchronised'), '1', 'the session is whole');
$server->set('pgwire_trace.redact_parameters' => 'off');

# ---- columns ----

$server->set('pgwire_trace.redact_columns' => 'crm.card.number, crm.part.*, crm.cards.number, crm.gone.x');
record('insert', 1, query("insert into crm.card values (1, '$secret', 'a note')"),
	query("insert into crm.part values (1, E'$secret')"),
	parse('insert into crm.card values ($1, $2)') . bind_portal(values => [ 2, $secret ]) . execute() . sync_message(),
	parse('insert into CRM."card" values (3, $1)', 's') . sync_message(),
	bind_portal(statement => 's', values => [$secret]) . execute() . sync_message(),
	query("insert into crm.card values (1, '$secret')"), query("insert into crm.card values ('$secret"));
is($server->sql("select string_agg(query, ';' order by exchange_no) from pgwire_trace.exchange"
	  . " where session_id = pgwire_trace.last_session('insert') and kind = 'query'"),
	"insert into crm.card values (0, '************', '******');insert into crm.part values (0, E'************');"
	  . "insert into crm.card values (0, '************');insert into crm.card values (" . '*' x 13,
	'query text has no constants');
record('select', 1, query('select * from crm.card'), query('select id, note from crm.card'),
	query('select upper(number) || id, id from crm.card'), query('table crm.part'), query('table crm.part1'),
	query('select number from crm.cards'),
	parse('select number, id from crm.card') . bind_portal() . describe_portal() . execute() . sync_message(),
	parse('select number, note from crm.card', 'n') . sync_message(),
	bind_portal(statement => 'n') . execute() . sync_message(),
	query("begin; declare c cursor for select * from crm.card"), query('fetch all from c'),
	query('commit'), query('copy crm.card to stdout'),
	query("do \$\$ begin raise notice '%', (select number from crm.card limit 1); end \$\$"));
is(shown('select', 2) =~ s/^Query .*\n//r =~ s/\n.*//sr, 'DataRow {"values": ["1", "a note"]}',
	'columns that no rule means stay');
like(shown('select', 1), qr/DataRow \{"values": \["1", "\*{12}", "a note"\]\}/, 'those that one means go, length stays');
like(shown('select', 7), qr/DataRow \{"values": \["\*{12}", "\d"\]\}/,
	'by Describe as well');
record('copy', 1, query('copy crm.card from stdin') . copy_data("7\t$secret\tx\n") . copy_done());
like(record('others', 0, query("select '$secret', number from other")), qr/request response/,
	'other tables are recorded as they are');
is($server->sql("select row_digest is not null, row_set_digest is not null from pgwire_trace.exchange"
	  . " where session_id = pgwire_trace.last_session('select') and exchange_no = 1"), 't|t', 'there are digests');
my $digests = "select row_digest, row_set_digest from pgwire_trace.exchange where session_id ="
  . " pgwire_trace.last_session('%s') and exchange_no = %d";
$server->sql("update crm.card set number = 'another'");
record('changed', 1, query('select * from crm.card order by id'), query('select id from crm.card order by id'));
my $before = $server->sql(sprintf $digests, 'changed', 1);
$server->sql("update crm.card set number = 'a third one'");
record('again', 1, query('select * from crm.card order by id'), query('select id from crm.card order by id'));
is($server->sql(sprintf $digests, 'again', 1), $before, 'which leave redacted columns out');
isnt($server->sql(sprintf $digests, 'again', 2), $before, 'and no others');

# what reaches the column by another name, or by none
$server->sql(<<'SQL');
create view crm.wide as select id as n, number as digits, upper(number) as loud, note from crm.card;
create view crm.wider as select n, digits from crm.wide;
create function crm.one() returns text language plpgsql as 'begin return (select max(number) from crm.card); end';
create function crm.put(text) returns void language plpgsql as 'begin insert into crm.card values (100, $1); end';
create function crm.rows() returns setof crm.card language sql as 'select * from crm.card';
update crm.card set number = 'Zq7secretZq7' where id = 1;
SQL
record('views', 1, query("select * from crm.wide where digits = '$secret'"), query('select n, note from crm.wide order by n'),
	query('table crm.wider'),
	parse("select loud from crm.wide where digits <> '$secret'", 'w') . sync_message(),
	bind_portal(statement => 'w') . execute() . sync_message(),
	parse('select n from crm.wider where digits = $1') . bind_portal(values => [$secret]) . describe_portal() . execute() . sync_message(),
	query("prepare p as select n from crm.wide where digits = '$secret'"), query('execute p'),
	query("insert into crm.part1 values (2, '$secret')"),
	query('explain (analyze, costs off, timing off, summary off) select * from crm.wide'));
is(shown('views', 2) =~ s/^Query .*\n//r =~ s/\n.*//sr, 'DataRow {"values": ["1", "a note"]}',
	'columns of a view that show another column stay');
record('functions', 1, query("select crm.put('$secret')"), query('select crm.one()'), query('select * from crm.rows()'),
	query('select crm.rows()'), query("do \$\$ begin perform crm.put('$secret'); end \$\$"),
	query("begin; declare c cursor for select crm.one()"), query('fetch all from c'), query('commit'));
like(record('plain', 0, query("select '$secret', id from other"), query("select '$secret', id from crm.card where false"),
		query("select id from crm.card")), qr/request response/, 'what means no column of the rules stays');
is($server->sql("select string_agg(is_redacted::text, ' ' order by exchange_no) from pgwire_trace.exchange"
	  . " where session_id = pgwire_trace.last_session('plain')"), 'false false true false false',
	'is_redacted says where something was overwritten');
is($server->sql("select query from pgwire_trace.exchange where session_id = pgwire_trace.last_session('views')"
	  . ' and exchange_no = 1'), 'select * from crm.wide where digits = $1', 'query text without its constants');

# what comes to be while a session runs
{
	my $client = $server->connect_client(application_name => 'meanwhile');
	$client->run('select 1');
	$server->set('pgwire_trace.redact_columns' => 'crm.card.number, late.t.v, crm.part.*');
	$client->run("create schema late; create table late.t (id int, v text, w text)");
	$client->run("insert into late.t values (1, '$secret', 'seen')");
	$client->run('table late.t');
	$client->run('copy late.t to stdout');
	$client->run('alter table late.t rename v to x; alter table late.t rename w to v');
	$client->run('update late.t set x = null, v = x; select v from late.t');
	$server->sql("create view late.view as select v from late.t");
	$client->run('table late.view');
	# both are answered before the relay looks: what was meant stays so
	$client->send_bytes(query('table late.t') . query('drop table late.t cascade'));
	$client->until_ready for 1, 2;
	$client->close;
	$server->flush;
	is($server->sql("select count(*) from pgwire_trace.exchange where session_id = pgwire_trace.last_session('meanwhile')"
		  . " and (position('$secret'::bytea in request) > 0 or position('$secret'::bytea in response) > 0"
		  . " or query like '%$secret%')"), '0', 'tables, columns and views that are made while a session runs are known to it');
	like(shown('meanwhile', 4), qr/DataRow \{"values": \["1", "\*{12}", "seen"\]\}/, 'and nothing else of them goes');
}
{
	my $client = $server->connect_client(application_name => 'killed');
	$client->run('select 1');
	$server->sql("create schema later; create table later.t as select '$secret'::text as v");
	$server->set('pgwire_trace.redact_columns' => 'crm.card.number, later.t.v, crm.part.*');
	$client->run('begin; table later.t');
	$client->run("select pg_terminate_backend(pg_backend_pid()), v from later.t");
	$server->flush;
	is($server->sql("select count(*) from pgwire_trace.exchange where session_id = pgwire_trace.last_session('killed')"
		  . " and position('$secret'::bytea in response) > 0"), '0', 'also where the backend ends in the middle');
}

# ---- types ----

$server->set('pgwire_trace.redact_columns' => '');
$server->set('pgwire_trace.redact_types' => 'crm.pin, bytea');
$server->sql("insert into pins values (1, '$secret')");
record('types', 1, query('select * from pins'), query('select array_agg(pin) from pins'),
	query("select convert_to('Zq7secre' || 'tZq7', 'UTF8')"));
like(shown('types', 1), qr/DataRow \{"values": \["1", "\*{12}"\]\}/, 'values of other types stay');

record('type parameters', 1, parse('insert into pins values (3, $1)') . bind_portal(values => [$secret]) . execute() . sync_message(),
	query("insert into pins values (4, '$secret')"), query("select pins from pins"), query("select row(id, pin) from pins"), query("select array_agg(p) from pins p"));
my $typed = PgwireTrace::Client::message('P', "\0select \$1, \$2\0" . pack('nNN', 2, 25, 17));
record('declared', 0, $typed . bind_portal(values => [ 'text', '\\x00' ]) . describe_portal() . execute() . sync_message());
like(shown('declared', 1), qr/"parameters": \["text", "\*{4}"\].*DataRow \{"values": \["text", "\*{4}"\]\}/s,
	'parameters go by the types that a Parse declares');
$server->sql("create domain crm.ssn as text; create table crm.citizen (id int, ssn crm.ssn, name text);"
	  . " create view crm.citizens as select ssn, id from crm.citizen; insert into crm.citizen values (1, '$secret', 'joe')");
$server->set('pgwire_trace.redact_types' => 'crm.ssn');
record('domains', 1, query('table crm.citizen'), query('select ssn::text, lower(ssn) from crm.citizen'),
	query('select array_agg(ssn) from crm.citizen'), query('table crm.citizens'), query('select c from crm.citizen c'),
	query("select name from crm.citizen where ssn = '$secret'"), query("update crm.citizen set ssn = '$secret'"));
like(shown('domains', 1), qr/DataRow \{"values": \["1", "\*{12}", "joe"\]\}/, 'a domain means the columns that have it');

# ---- more rules than are told apart ----

$server->sql('create table crm.many (' . join(', ', map { "c$_ text" } 1 .. 70) . ')');
$server->set('pgwire_trace.redact_types' => '',
	'pgwire_trace.redact_columns' => join(', ', map { "crm.many.c$_" } 1 .. 64) . '');
$server->sql('create view crm.all_of_many as select ' . join(', ', map { "c$_ as d$_" } 1 .. 64) . ' from crm.many');
record('too many', 1, query("select '$secret'::text"), query("select * from crm.all_of_many where d64 = '$secret'"),
	parse("select '$secret'::text, \$1::text") . bind_portal(values => [$secret]) . execute() . sync_message());
$server->sql('drop table crm.many cascade');
$server->set('pgwire_trace.redact_columns' => '');

# ---- queries ----

$server->set('pgwire_trace.redact_types' => '');
$server->set('pgwire_trace.redact_queries' => 'other|vault');
record('queries', 1, @bound, query("select '$secret'::text, * from OTHER"));
# what goes on from a query that matches does not name it again
record('portals', 1, query('begin'), parse("select '$secret'::text as vault from generate_series(1, 3)", 's') . sync_message(),
	bind_portal(statement => 's', portal => 'p') . PgwireTrace::Client::message('E', "p\0" . pack('N', 1)) . sync_message(),
	PgwireTrace::Client::message('E', "p\0" . pack('N', 1)) . sync_message(),
	parse('select 1') . bind_portal() . execute() . sync_message(),
	bind_portal(statement => 's') . execute(1) . sync_message(), execute(1) . sync_message(), query('commit'));
record('cursors', 1, query("begin; declare c cursor for select '$secret'::text as vault"), query('fetch c'), query('commit'),
	query("prepare v as select '$secret'::text as vault"), query('execute v'),
	query('listen vault'), query("notify vault, '$secret'"));
like(record('no match', 0, query("select '$secret'::text")), qr/request response/, 'queries that do not match stay');

# ---- a session that began before the rule did ----

$server->set('pgwire_trace.redact_queries' => '');
{
	my $client = $server->connect_client(application_name => 'before');
	$client->send_bytes(parse('select $1::text, number from crm.card limit 1', 'early') . sync_message());
	$client->until_ready(1, 10);
	$server->sql("update crm.card set number = '$secret'");
	$server->set('pgwire_trace.redact_columns' => 'crm.card.number');
	$client->send_bytes(bind_portal(statement => 'early', values => [$secret]) . execute() . sync_message());
	$client->until_ready(1, 10);
	$client->run("select '$secret', number from crm.card");
	$client->close;
	$server->flush;
	is($server->sql("select count(*) from pgwire_trace.exchange where session_id = pgwire_trace.last_session('before')"
		  . " and (position('$secret'::bytea in request) > 0 or position('$secret'::bytea in response) > 0"
		  . " or query like '%$secret%')"), '0', 'a rule goes for sessions that run, and statements they have');
}

# ---- messages that never come whole ----

# Sends what is cut off three bytes before its end, and hangs up; checks that of the secret in it
# nothing but a begin too short to matter is found, and what kind of exchange it is.
sub cut
{
	my ($name, $kind, $bytes) = @_;
	my $client = $server->connect_client(application_name => $name);
	my $most = substr($secret, 0, 6);

	$client->send_bytes(substr($bytes, 0, -3));
	$client->close;
	$server->wait_for("select exists (select from pgwire_trace.session where application_name = '$name'"
		  . ' and ended_at is not null)');
	$server->flush;
	is($server->sql("select kind, is_complete, position('$most'::bytea in request) > 0 or coalesce(query like '%$most%', false)"
		  . " from pgwire_trace.exchange where session_id = pgwire_trace.last_session('$name')"
		  . " and exchange_no > 0 and kind <> 'async'"), $kind, "$name: the secret is not recorded");
}

$server->set("pgwire_trace.$_" => '') for qw(redact_columns redact_types redact_queries);
$server->set('pgwire_trace.redact_parameters' => 'off');
cut('query_cut', 'query|f|f', query("alter role nobody password '$secret'"));
cut('parse_cut', 'extended|f|f', parse("alter role nobody password '$secret'"));
cut('password_cut', 'copy|t|f', message('p', "$secret\0"));
$server->set('pgwire_trace.redact_parameters' => 'on');
cut('bind_cut', 'extended|f|f', parse('select $1::text') . bind_portal(values => [$secret]));
$server->set('pgwire_trace.redact_queries' => 'hide_me');
cut('rule_cut', 'query|f|f', query("select '$secret' as hide_me, 1"));

# ---- nothing is left in the journal either ----

my $journal = $server->node->data_dir . '/pgwire_trace';
my ($status, $out) = run_client([ 'grep', '-rlc', "note.*$secret", $journal ]);
is($out, '', 'nor is it in the journal');

# ---- settings ----

for my $wrong ([ redact_columns => 'card.number', 'schema.table.column' ], [ redact_types => 'a.b.c', 'schema.type' ],
	[ redact_queries => '(', 'regular expression' ], [ redact_queries => '(a)\\1', 'References back' ])
{
	my ($name, $value, $reason) = @$wrong;
	my ($result, $stdout, $stderr) = $server->node->psql('postgres', "alter system set pgwire_trace.$name = '$value'");
	like($stderr, qr/invalid value.*\n.*\Q$reason\E/, "$name = $value is refused");
}

is($server->duplicates, '0', 'nothing is stored twice');
is($server->sql('select sum(sessions_desynchronised), sum(restarts) from pgwire_trace.stat_relay'), '0|0', 'all is well');
$server->node->stop;
done_testing();
