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

# ---- types ----

$server->set('pgwire_trace.redact_columns' => '');
$server->set('pgwire_trace.redact_types' => 'crm.pin, bytea');
$server->sql("insert into pins values (1, '$secret')");
record('types', 1, query('select * from pins'), query('select array_agg(pin) from pins'),
	query("select convert_to('Zq7secre' || 'tZq7', 'UTF8')"));
like(shown('types', 1), qr/DataRow \{"values": \["1", "\*{12}"\]\}/, 'values of other types stay');

# ---- queries ----

$server->set('pgwire_trace.redact_types' => '');
$server->set('pgwire_trace.redact_queries' => 'other|vault');
record('queries', 1, @bound, query("select '$secret'::text, * from OTHER"));
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
