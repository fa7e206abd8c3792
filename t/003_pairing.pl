# Which answer belongs to which request: every shape of exchange, against the real server, cut in
# two at every byte and byte by byte, each followed by `select 42`, alone in its exchange.
use strict;
use warnings;

use PgwireTrace;
use PgwireTrace::Client qw(message parse bind_portal execute describe_portal query sync_message
  copy_data copy_done close_statement);
use Test::More;
use Time::HiRes qw(usleep);

my $server = PgwireTrace->start('pairing', conf => "pgwire_trace.relay_processes = 1\n");

$server->sql('create table numbers (n int); create table forbidden (n int);'
	  . ' insert into numbers values (1); create table sink (n int)');
my $int4in = $server->sql("select 'int4abs(int)'::regprocedure::oid");

my $copy_in = 'copy sink from stdin';
# fails as it starts, after which the server has read nothing of the data
my $bad_copy_in = 'copy nowhere from stdin';
my $function_call =
  message('F', pack('N n n n N n n', $int4in, 1, 1, 1, 4, 0xffff, 0xfffb) . pack('n', 1));

# name, what the client sends, how many ReadyForQuery answer it, and the exchanges that must come
# of it: frontend message types > backend message types.
my @scenarios = (
	[ 'a Query', query('select 1'), 1, 'Q>TDCZ' ],
	[ 'an empty Query', query(''), 1, 'Q>IZ' ],
	[ 'two statements in a Query, the second fails', query('select 1; select 1/0'), 1, 'Q>TDCEZ' ],
	[ 'extended query',
		parse('select 1') . bind_portal() . describe_portal() . execute() . sync_message(),
		1, 'PBDES>12TDCZ' ],
	[ 'two pipelined',
		join('', (parse('select 1') . bind_portal() . execute() . sync_message()) x 2),
		2, 'PBES>12DCZ PBES>12DCZ' ],
	[ 'two Queries at once', query('select 1') . query('select 2'), 2, 'Q>TDCZ Q>TDCZ' ],
	[ 'Parse(bad) Query Sync', parse('selec') . query('select 7') . sync_message(), 1, 'PQS>EZ' ],
	[ 'Parse(bad), FunctionCall, Sync',
		parse('selec') . $function_call . sync_message(), 1, 'PFS>EZ' ],
	[ 'Parse Bind Execute Query, no Sync',
		parse('select 1') . bind_portal() . execute() . query('select 2'),
		1, 'PBEQ>12DCTDCZ' ],
	[ 'COPY FROM STDIN as PQexecParams sends it',
		parse($copy_in) . bind_portal() . execute() . sync_message()
		  . copy_data("1\n") . copy_done() . sync_message(),
		1, 'PBESdcS>12GCZ' ],
	[ 'the same, failing before its first read',
		parse($bad_copy_in) . bind_portal() . execute() . sync_message()
		  . copy_data("1\n") . copy_done() . sync_message(),
		2, 'PBESdc>12EZ S>Z' ],
	[ 'a COPY that fails, late data, a Query',
		query($copy_in) . copy_data("x\n") . copy_done() . query('select 2'),
		2, 'Qdc>GEZ Q>TDCZ' ],
	[ 'COPY FROM STDIN by Query', query($copy_in) . copy_data("1\n") . copy_done(), 1, 'Qdc>GCZ' ],
	[ 'COPY FROM STDIN, CopyFail', query($copy_in) . message('f', "enough\0"), 1, 'Qf>GEZ' ],
	[ 'COPY TO STDOUT', query('copy numbers to stdout'), 1, 'Q>HdcCZ' ],
	[ 'a portal in two parts, with Flush',
		parse('select generate_series(1, 3)') . bind_portal() . execute(2) . message('H')
		  . execute(0) . sync_message(),
		1, 'PBEHES>12DDsDCZ' ],
	[ 'FunctionCall', $function_call, 1, 'F>VZ' ],
	[ 'Syncs alone', sync_message() x 3, 3, 'S>Z S>Z S>Z' ],
	[ 'Close of what is not there', close_statement('none') . sync_message(), 1, 'CS>3Z' ],
	[ 'an error, then Syncs', parse('selec') . sync_message() x 2, 2, 'PS>EZ S>Z' ],
	[ 'a notice on the way', query("do \$\$ begin raise notice 'x'; end \$\$"), 1, 'Q>NCZ' ]);

# Runs a scenario whole, cut at every byte, and byte by byte, all in one session, and compares
# the exchanges that are stored with the expected ones.
sub run_scenario
{
	my ($name, $bytes, $ready, $expected, $number) = @_;
	my $client = $server->connect_client(application_name => "scenario $number");
	my $runs = 0;

	for my $cut (0 .. length $bytes)
	{
		my @pieces = $cut == 0 ? ($bytes) : $cut == length $bytes ? split(//, $bytes)
		  : (substr($bytes, 0, $cut), substr($bytes, $cut));
		for my $piece (@pieces)
		{
			$client->send_bytes($piece);
			usleep(@pieces > 2 ? 200 : 1000) if @pieces > 1;
		}
		my $got = $client->until_ready($ready);
		my $answer = $client->run('select 42');
		$runs++;
		next if ($got =~ tr/Z//) == $ready && $answer eq 'TDCZ';
		fail("$name, cut at $cut: answered $got, then $answer");
		last;
	}
	$client->send_bytes(PgwireTrace::Client::terminate());
	$client->until_closed;

	ok($server->flush, "$name: $runs runs are stored");
	my $session = $server->sql("select pgwire_trace.last_session('scenario $number')");
	my $stored = $server->sql(<<"SQL");
with m as (select exchange_no, direction, message_no, type from pgwire_trace.messages($session)),
     e as (select exchange_no,
                  coalesce(string_agg(type::text, '' order by message_no)
                           filter (where direction = 'F'), '') || '>' ||
                  coalesce(string_agg(type::text, '' order by message_no)
                           filter (where direction = 'B'), '') as shape
             from m group by exchange_no)
select string_agg(shape, ' ' order by exchange_no) from e
 where exchange_no > 0 and shape <> 'X>'
SQL
	my $one = "$expected Q>TDCZ";
	my %others;
	$others{$_}++ for grep { $_ ne $one } map { "${_}Q>TDCZ" } split /Q>TDCZ(?: |\z)/, $stored;
	ok($stored eq join(' ', ($one) x $runs), "$name: $expected, then select 42 alone")
	  or diag("session $session: " . join("\n", %others ? %others : $stored));
	is($server->sql("select count(*) from pgwire_trace.exchange where session_id = $session"
		  . " and query = 'select 42' and kind = 'query' and command_tag = 'SELECT 1'"
		  . " and statement_count = 1 and row_count = 1 and request_bytes = 15 and is_complete"
		  . " and sqlstate is null"), $runs, "$name: every select 42 is itself");
	is($server->sql("select count(*) from pgwire_trace.exchange where session_id = $session"
		  . " and (pairing_uncertain or not is_complete)"), '0', "$name: nothing is uncertain");
	return;
}

my $number = 0;
run_scenario(@$_, ++$number) for @scenarios;

is($server->stat_relay('sessions_desynchronised'), '0', 'no session was desynchronised');
is($server->stat_relay('restarts'), '0', 'no relay died');
$server->node->stop;
done_testing();
