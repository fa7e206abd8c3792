# Long exchanges are recorded in parts, visible while they run; the sums over their parts are exact.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(query parse bind_portal execute sync_message copy_data copy_done);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $server = PgwireTrace->start('parts', conf => <<'CONF');
pgwire_trace.part_interval = 500ms
pgwire_trace.response_limit = 10MB
CONF
$server->sql('create table t (line text)');

# Returns the parts of the exchange of a session that has some.
sub parts
{
	my ($application, $columns) = @_;

	$server->flush or diag('flush() failed');
	return $server->sql("select $columns from pgwire_trace.exchange"
		  . " where session_id = pgwire_trace.last_session('$application') and kind not in"
		  . " ('startup', 'terminate') and exchange_no = 1");
}

# ---- COPY IN that takes its time ----

{
	my $client = $server->connect_client(application_name => 'copy in');
	my ($sent, $rows, $seen) = (0, 0, 0);
	my @pieces = (query('copy t from stdin'));
	my $end = time() + 60;

	$client->send_bytes($pieces[0]);
	$sent = length $pieces[0];
	is(($client->receive(10))[0], 'G', 'COPY begins');
	while (time() < $end && $seen < 3)
	{
		my $piece = copy_data("line $rows\n");
		$client->send_bytes($piece);
		$sent += length $piece;
		$rows++;
		usleep(20_000);
		$seen = parts('copy in', 'count(*)') if $rows % 20 == 0;
	}
	cmp_ok($seen, '>=', 3, 'its parts are there while it runs');
	is(parts('copy in', "bool_or(is_complete), string_agg(distinct kind, ' '), string_agg(distinct query, ' ')"),
		'f|copy|copy t from stdin', 'as parts of a COPY that is not complete');
	$client->send_bytes(copy_done());
	$sent += length copy_done();
	is($client->until_ready(1, 10), 'CZ', 'it ends');
	is(parts('copy in', 'sum(request_bytes), sum(row_count), max(part_no) = count(*),'
		  . ' count(*) filter (where is_complete), bool_or(is_truncated or pairing_uncertain)'),
		"$sent|$rows|t|1|f", 'bytes and rows add up, the last part is complete');
	is(parts('copy in', 'count(distinct started_at), count(distinct finished_at) = count(*), count(distinct'
		  . ' first_response_at)'), '1|t|1', 'all parts began when the exchange did');
	is($server->sql("select count(*) filter (where duration_ms is null) = count(*) - 1, max(duration_ms) > 1000"
		  . " from pgwire_trace.log where session_id = pgwire_trace.last_session('copy in') and exchange_no = 1"),
		't|t', 'the last one has the duration of all');
	is($server->sql("select string_agg(body ->> 'data', '' order by message_no) ="
		  . " (select string_agg(line || e'\\n', '') from t)"
		  . " from pgwire_trace.messages(pgwire_trace.last_session('copy in'), 1) where name = 'CopyData'"),
		't', 'messages() reads over the parts');
	is($server->sql("select string_agg(pgwire_trace.encode_message(direction, name, body), ''"
		  . " order by message_no) = (select string_agg(request, '' order by part_no) from pgwire_trace.exchange"
		  . "   where session_id = pgwire_trace.last_session('copy in') and exchange_no = 1)"
		  . " from pgwire_trace.messages(pgwire_trace.last_session('copy in'), 1) where direction = 'F'"),
		't', 'and they are what passed');
	is($client->run('select 42'), 'TDCZ', 'the next exchange');
	$client->close;
	$server->flush;
	is($server->sql('select exchange_count, (select count(distinct exchange_no) from pgwire_trace.exchange e'
		  . '   where e.session_id = s.session_id) from pgwire_trace.session s'
		  . " where session_id = pgwire_trace.last_session('copy in')"), '3|3',
		'parts are not counted as exchanges of the session');
}

# ---- a flood of rows, each read of which ends within a message ----

{
	my $client = $server->connect_client(application_name => 'rows');
	my $answer = '';
	my $end = time() + 60;

	$client->send_bytes(query("select repeat('r', 30000), pg_sleep(0.02) from generate_series(1, 200)"));
	is($client->until_ready(1, 60), 'T' . 'D' x 200 . 'CZ', 'a slow flood of rows');
	is(parts('rows', 'count(*) >= 3, sum(data_row_count), sum(row_count), count(distinct row_digest) ='
		  . ' count(row_digest)'), 't|200|200|t', 'comes in parts');
	my $whole = $server->sql("select row_digest, row_set_digest from pgwire_trace.exchange"
		  . " where session_id = pgwire_trace.last_session('rows') and exchange_no = 1 order by part_no desc limit 1");
	$server->set('pgwire_trace.part_interval' => '0');
	$client->run("select repeat('r', 30000), pg_sleep(0) from generate_series(1, 200)", 60);
	$server->flush;
	is($server->sql("select row_digest, row_set_digest, part_no, data_row_count from pgwire_trace.exchange"
		  . " where session_id = pgwire_trace.last_session('rows') and exchange_no = 2"), "$whole|1|200",
		'the last part has the digests of all rows, as without parts');
	$server->set('pgwire_trace.part_interval' => '500ms');
	$client->close;
}

# ---- the relay dies ----

{
	my $client = $server->connect_client(application_name => 'dies');
	$client->send_bytes(query("select repeat('r', 30000), pg_sleep(0.05) from generate_series(1, 1000)"));
	ok(poll(sub { parts('dies', 'count(*)') >= 2 }), 'parts of what runs are stored');
	kill('KILL', $server->sql('select pid from pgwire_trace.stat_relay'));
	$client->until_closed;
	ok($server->wait_for('select sum(restarts) = 1 from pgwire_trace.stat_relay where pid is not null'),
		'the relay dies');
	cmp_ok(parts('dies', 'count(*)'), '>=', 2, 'they stay');
}

is($server->duplicates, '0', 'nothing is stored twice');
$server->node->stop;
done_testing();
