# The main job: a client on the side port, its exchanges in tables.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use PgwireTrace;
use Test::More;

my $server = PgwireTrace->start('basic');

# ---- what psql says through the side port is in the tables ----

my ($status, $out, $err) =
  $server->try_side_sql("select 42 as answer;\nselect 1/0;", application => 'one');
is($out, '42', 'the client gets its answer');
like($err, qr/division by zero/, 'and its error');
ok($server->flush, 'flush() returns true');

my $session = $server->sql("select pgwire_trace.last_session('one')");
like($session, qr/^[1-9]\d*$/, 'last_session() finds the session');
is($server->sql(<<"SQL"), <<'EXPECTED' =~ s/\n\z//r, 'the exchanges, in their order');
select exchange_no, kind, query, command_tag, row_count, data_row_count, sqlstate, error_message,
       is_complete, is_truncated, pairing_uncertain
  from pgwire_trace.exchange where session_id = $session order by exchange_no
SQL
0|startup|||0|0|||t|f|f
1|query|select 42 as answer;|SELECT 1|1|1|||t|f|f
2|query|select 1/0;||0|0|22012|division by zero|t|f|f
3|terminate|||0|0|||t|f|f
EXPECTED

is($server->sql(<<"SQL"), 't|t|t|t|127.0.0.1|t|t|one|3.0|4|terminate|f', 'the session');
select started_at <= authenticated_at, authenticated_at <= ended_at, backend_pid > 0,
       backend_start is not null, client_addr, client_port > 0, user_name = current_user,
       application_name, protocol_version, exchange_count, end_reason, is_desynchronised
  from pgwire_trace.session where session_id = $session
SQL
is($server->sql(<<"SQL"), 'postgres|t|UTF8', 'its database, and what server and client told');
select database_name, database_oid = (select oid from pg_database where datname = 'postgres'),
       server_parameters ->> 'client_encoding'
  from pgwire_trace.session where session_id = $session
SQL
is($server->sql(<<"SQL"), '0', 'no time runs backwards');
select count(*) from pgwire_trace.exchange
 where session_id = $session
   and (first_response_at < started_at or finished_at < first_response_at)
SQL
is($server->sql(<<"SQL"), 't|t', 'sizes are those of whole messages');
select request_bytes = octet_length(request) and request_bytes = 1 + 4 + 21,
       response_bytes = octet_length(response)
  from pgwire_trace.exchange where session_id = $session and exchange_no = 1
SQL

# ---- the messages of an exchange ----

is($server->sql(<<"SQL"), <<'EXPECTED' =~ s/\n\z//r, 'messages() decodes an exchange');
select message_no, direction, type, name from pgwire_trace.messages($session, 1) order by 1
SQL
1|F|Q|Query
2|B|T|RowDescription
3|B|D|DataRow
4|B|C|CommandComplete
5|B|Z|ReadyForQuery
EXPECTED
is($server->sql("select body ->> 'sqlstate', body ->> 'message'"
	  . " from pgwire_trace.messages($session, 2) where name = 'ErrorResponse'"),
	'22012|division by zero', 'messages() decodes an error');
is($server->sql("select body -> 'values' from pgwire_trace.messages($session, 1)"
	  . " where name = 'DataRow'"), '["42"]', 'messages() decodes a row');
is($server->sql("select count(*) from pgwire_trace.messages($session, 4711)"), '0',
	'messages() of an unknown exchange gives no row');
cmp_ok($server->sql("select count(*) from pgwire_trace.trace_lines($session)"), '>=', 9,
	'trace_lines() prints the session');

# ---- log ----

is($server->sql("select kind, query, command_tag, sqlstate, duration_ms >= 0, first_response_ms >= 0"
	  . " from pgwire_trace.log where session_id = $session and exchange_no = 1"),
	'query|select 42 as answer;|SELECT 1||t|t', 'log');

# ---- extended query ----

{
	my $client = $server->connect_client(application_name => 'extended');
	my $sql = 'select $1::int + 1';

	$client->send_bytes(PgwireTrace::Client::parse($sql, 's1') . PgwireTrace::Client::sync_message());
	is($client->until_ready, '1Z', 'a statement is prepared');
	$client->send_bytes(PgwireTrace::Client::bind_portal(statement => 's1', values => ['41'])
		  . PgwireTrace::Client::describe_portal() . PgwireTrace::Client::execute()
		  . PgwireTrace::Client::sync_message());
	is($client->until_ready, '2TDCZ', 'and executed');
	ok($server->flush, 'flush() while the session is open');
	my $id = $server->sql("select pgwire_trace.last_session('extended')");
	is($server->sql("select exchange_no, kind, query, command_tag, row_count from"
		  . " pgwire_trace.exchange where session_id = $id and kind <> 'startup' order by 1"),
		"1|extended|$sql||0\n2|extended|$sql|SELECT 1|1",
		'the query of a Bind is the one that was parsed');
	is($server->sql("select end_reason is null and ended_at is null and authenticated_at is not null"
		  . " from pgwire_trace.session where session_id = $id"), 't', 'an open session is shown as open');
	is($server->sql("select query from pgwire_trace.query_text where query_hash ="
		  . " (select query_hashes[1] from pgwire_trace.exchange"
		  . "   where session_id = $id and exchange_no = 2)"), $sql, 'query_text has its text');
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;
}

# ---- what tells about itself ----

is($server->side_sql('select pgwire_trace.current_session_id() > 0'), 't',
	'current_session_id() on the side port');
is($server->sql('select pgwire_trace.current_session_id() is null'), 't', 'and on the main port');
is($server->sql('select count(*) from pgwire_trace.status()'), '5', 'status() has five lines');
is($server->stat_writer('state in (\'idle\', \'running\')'), 't', 'the writer is at work');
ok($server->flush, 'flush() again');
is($server->sql(<<'SQL'), 't|t|t', 'finished = journalled = stored');
select (select sum(exchanges_finished) = sum(exchanges_journalled) from pgwire_trace.stat_relay),
       (select sum(exchanges_finished) from pgwire_trace.stat_relay)
         = (select count(*) from pgwire_trace.exchange),
       (select rows_stored from pgwire_trace.stat_writer) = (select count(*) from pgwire_trace.exchange)
SQL
is($server->duplicates, '0', 'nothing twice');

# ---- a server without the library ----

my $bare = PgwireTrace->start('bare', preload => 0, extension => 0);
($status, $out, $err) = $bare->try_sql('create extension pgwire_trace');
isnt($status, 0, 'CREATE EXTENSION fails without shared_preload_libraries');
like($err, qr/shared_preload_libraries/, 'the error says what to set');
like($err, qr/\Q${\ $bare->node->data_dir}\E\/postgresql\.conf/, 'and in which file');

$bare->node->stop;
$server->node->stop;
done_testing();
