# Every transaction that pgbench counts is in the tables, exactly once, in every protocol.
use strict;
use warnings;

use PgwireTrace qw(run_client);
use PostgreSQL::Test::Utils;
use Test::More;

use constant CLIENTS => 20;
use constant TRANSACTIONS => 1000;
use constant TOTAL => CLIENTS * TRANSACTIONS;

my $server = PgwireTrace->start('counts', conf => "pgwire_trace.relay_processes = 2\n");
my $script = PostgreSQL::Test::Utils::tempdir() . '/script.sql';

# A query of one row and one of three, so that rows are not just exchanges.
append_to_file($script, <<'SQL');
\set n random(1, 1000000)
select :n as pgwt_one;
select :n + g as pgwt_three from generate_series(1, 3) g;
SQL

for my $protocol ('simple', 'extended', 'prepared')
{
	my ($status, $out, $err) = run_client(
		[ 'pgbench', '-n', '-c', CLIENTS, '-j', 2, '-t', TRANSACTIONS, '-M', $protocol,
			'-f', $script, $server->side_connstr ], env => { PGAPPNAME => "bench $protocol" });
	is($status, 0, "$protocol: pgbench ends well") or diag($err);
	unlike($err, qr/error/i, "$protocol: no client saw an error");
	my ($processed) = $out =~ /actually processed: (\d+)/;
	is($processed, TOTAL, "$protocol: pgbench processed them all");

	ok($server->flush, "$protocol: everything is stored");
	my $mine = "session_id in (select session_id from pgwire_trace.session"
	  . " where application_name = 'bench $protocol')";
	my $kind = $protocol eq 'simple' ? 'query' : 'extended';
	for my $expected (['pgwt_one', 1], ['pgwt_three', 3])
	{
		my ($name, $rows) = @$expected;
		is($server->sql("select count(*), sum(row_count), sum(data_row_count), min(sqlstate) is null"
			  . " from pgwire_trace.exchange where $mine and kind = '$kind'"
			  . " and query like '%$name%' and command_tag = 'SELECT $rows'"),
			join('|', $processed, $processed * $rows, $processed * $rows, 't'),
			"$protocol: $name is there as often as it ran, with its tags and rows");
	}
	is($server->sql("select count(*) from pgwire_trace.exchange where $mine and kind = '$kind'"),
		2 * $processed + ($protocol eq 'prepared' ? 2 * CLIENTS : 0),
		"$protocol: and nothing else of that kind");
	is($server->sql("select count(*) filter (where end_reason is distinct from 'terminate'),"
		  . " count(*) filter (where dropped_exchanges > 0 or is_desynchronised),"
		  . " count(*) filter (where exchange_count <> (select count(*) from pgwire_trace.exchange e"
		  . "                                            where e.session_id = s.session_id))"
		  . " from pgwire_trace.session s where $mine"), '0|0|0',
		"$protocol: each session knows how many exchanges it has, none was dropped");
}

is($server->duplicates, '0', 'no exchange is stored twice');
is($server->sql(<<'SQL'), '0', 'exchange numbers have no gaps');
select count(*) from (select session_id from pgwire_trace.exchange group by session_id
                      having max(exchange_no) + 1 <> count(*) or min(exchange_no) <> 0) gaps
SQL
is($server->sql(<<'SQL'), 't|t|0|0|0', 'finished = journalled = stored, nothing dropped');
select sum(exchanges_finished) = sum(exchanges_journalled),
       sum(exchanges_finished) = (select count(*) from pgwire_trace.exchange),
       sum(exchanges_dropped_journal_full + exchanges_dropped_disk_full), sum(restarts),
       sum(sessions_desynchronised)
  from pgwire_trace.stat_relay
SQL
is($server->sql('select count(*) from pgwire_trace.stat_relay where sessions_total > 0'), '2',
	'both relays served clients');
is($server->sql('select count(*) from pgwire_trace.exchange where pairing_uncertain or is_truncated'),
	'0', 'no exchange is uncertain or truncated');
is($server->sql("select count(*) from pgwire_trace.exchange where not is_complete"), "0",
	'all are complete');

$server->node->stop;
done_testing();
