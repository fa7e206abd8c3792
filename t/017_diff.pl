# session_diff(): a program that is run twice differs from itself in nothing; what was changed, left
# out or inserted is named, and nothing else is.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(parse bind_portal describe_portal execute sync_message query terminate);
use PgwireTrace::Trace qw(build_client);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $server = PgwireTrace->start('diff', conf => "wal_level = replica\nmax_wal_senders = 5\n");
my $runs = 0;

# Runs queries through the side port, each by itself; returns the session.
sub record_queries
{
	my (@queries) = @_;
	my $name = 'run ' . ++$runs;
	my $client = $server->connect_client;

	for (my $i = 0; $i < @queries; $i += 100)
	{
		my $last = $i + 99 < $#queries ? $i + 99 : $#queries;
		$client->send_bytes(join '', map { query($_) } @queries[ $i .. $last ]);
		$client->until_ready($last - $i + 1, 60);
	}
	$client->send_bytes(terminate());
	$client->until_closed;
	$server->flush;
	return $server->newest_session;
}

# Returns the rows of session_diff() but the startup's, a line each: exchange, message, what.
sub diff
{
	my ($a, $b, $columns) = @_;
	$columns //= "exchange_no, coalesce(message_no::text, '-'), what";
	return split /\n/, $server->sql("select concat_ws(' ', $columns)"
		  . " from pgwire_trace.session_diff($a, $b) where exchange_no > 0");
}

# ---- the same twice ----

my $program = build_client();

# Runs a libpq program; returns the session.
sub run_program
{
	my ($name) = @_;
	my ($status, $out, $err) = run_client(
		[ $program, $server->side_connstr . " sslmode=disable gssencmode=disable application_name=$name"
			  . ($name eq 'copy_both' ? ' replication=true' : ''), '/dev/null', 'full', $name ],
		env => { PQTRACE_OTHER => $server->node->connstr('postgres') });

	die "$name: $err" if $status != 0;
	$server->flush;
	return $server->newest_session;
}

my %session;
for my $name (split /\n/, (run_client([$program]))[1])
{
	my ($a, $b) = map { run_program($name) } 1 .. 2;
	$session{$name} = $a;
	# places in the WAL are in the text of START_REPLICATION; what is there is never the same
	my @rows = split /\n/, $server->sql("select concat_ws(' ', exchange_no, message_no, what, left_body,"
		  . " right_body) from pgwire_trace.session_diff($a, $b) where"
		  . " coalesce(left_body::text, '') !~ 'START_REPLICATION|xlogpos|/'"
		  . " and concat(left_body, right_body) !~ '\"xlog_data\"|\"keepalive\"'");
	is_deeply(\@rows, [], "$name: twice the same");
	# ... and the same answers, had they been asked otherwise
	cmp_ok($server->sql("select count(*) from pgwire_trace.session_diff($a, $session{startup})"), '>', 0,
		"$name: another program differs") unless $name eq 'startup';
}

# OIDs, process ids, keys are not the same in both, so it is masks that make them so
my ($one, $other) = map { record_queries('create temp table masked (n int)', 'select * from masked',
		'select n from masked where no_such_column') } 1 .. 2;
is($server->sql("select count(distinct (body->>'process_id', body->>'secret_key')) from"
	  . " (select * from pgwire_trace.messages($one, 0) union all select * from pgwire_trace.messages($other, 0)) m"
	  . " where name = 'BackendKeyData'"), '2', 'the sessions have process ids of their own');
is($server->sql("select count(distinct body->'columns'->0->>'table_oid') from"
	  . " (select * from pgwire_trace.messages($one, 2) union all select * from pgwire_trace.messages($other, 2)) m"
	  . " where name = 'RowDescription'"), '2', 'and OIDs');
is_deeply([ diff($one, $other) ], [], 'which make no difference');

# a session's temporary schema has the number of its backend
my @temporary = ('create temp table c (n int check (n > 0))', 'insert into c values (-1)');
my $alone = record_queries(@temporary);
$server->wait_for('select not exists (select from pg_stat_activity where pid ='
	  . " (select backend_pid from pgwire_trace.session where session_id = $alone))");
my $beside = $server->connect_client;
my $second = record_queries(@temporary);
is($server->sql("select count(distinct body->>'schema') from (select * from pgwire_trace.messages($alone, 2)"
	  . " union all select * from pgwire_trace.messages($second, 2)) m where name = 'ErrorResponse'"), '2',
	'temporary schemas have numbers of their own');
is_deeply([ diff($alone, $second) ], [], 'which make no difference either');
$beside->close;

# ---- what differs is named ----

my @base = ('select 1 as n', "select 'same'", 'begin', 'select count(*) from pg_am', 'commit',
	"select 'last'");
my $base = record_queries(@base);
is_deeply([ diff($base, record_queries(@base)) ], [], 'queries: twice the same');

my @changed = @base;
$changed[0] = 'select 2 as m';
is_deeply([ diff($base, record_queries(@changed)) ],
	[ '1 1 Query: query', '1 2 RowDescription: columns[0].name', '1 3 DataRow: values[0]' ],
	'a changed query');

is_deeply([ diff($base, record_queries('show work_mem', @base)) ], [ '1 - extra exchange: Query' ],
	'an inserted query makes one row');
is_deeply([ diff($base, record_queries(@base[ 0, 2 .. 5 ])) ], [ '2 - missing exchange: Query' ],
	'so does one that is left out');
is_deeply([ diff($base, record_queries(@base[ 0, 1, 5 ])) ],
	[ '3 - missing exchange: Query', '4 - missing exchange: Query', '5 - missing exchange: Query' ],
	'and each of three');

my $messages = record_queries('select g from generate_series(1, 4) g', "select 'x'::int");
is_deeply([ diff($messages, record_queries('select g from generate_series(2, 5) g', "select 'x'::int")) ],
	[ '1 1 Query: query', '1 3 missing message: DataRow', '1 6 extra message: DataRow' ],
	'a row less at the begin, one more at the end');
is_deeply([ diff($messages, record_queries('select g from generate_series(1, 4) g',
			'select /* longer */ 1/0')) ],
	[ '2 1 Query: query', '2 2 ErrorResponse: message, position, sqlstate' ],
	'an error that differs, and in what');
is_deeply([ diff($messages, record_queries('select g from generate_series(1, 4) g', "select 'y'")) ],
	[ '2 1 Query: query', '2 2 missing message: ErrorResponse', '2 2 extra message: RowDescription',
		'2 3 extra message: DataRow', '2 4 extra message: CommandComplete' ],
	'an error against a result');
is($server->sql('select left_body::text, right_body::text from pgwire_trace.session_diff('
	  . "$base, " . record_queries(@changed) . ") where what ~ '^RowDescription'"),
	'{"columns": [{"name": "n", "format": 0, "type_oid": "NNNN", "column_no": 0, "table_oid": "NNNN",'
	  . ' "type_size": 4, "type_modifier": -1}]}|{"columns": [{"name": "m", "format": 0, "type_oid":'
	  . ' "NNNN", "column_no": 0, "table_oid": "NNNN", "type_size": 4, "type_modifier": -1}]}',
	'bodies are in regress mode');
# ---- the order in which both directions meet does not matter ----

my $request = join '', map { parse("select $_") . bind_portal() . describe_portal() . execute()
	  . sync_message() } 1 .. 20;
my @pieces = map {
	my $size = $_;
	my $client = $server->connect_client;
	for (my $at = 0; $at < length $request; $at += $size)
	{
		$client->send_bytes(substr($request, $at, $size));
	}
	$client->until_ready(20);
	$client->send_bytes(terminate());
	$client->until_closed;
	$server->flush;
	$server->newest_session;
} (length $request, 1000, 7);
is_deeply([ diff(@pieces[ 0, 1 ]) ], [], 'sent in larger pieces: the same');
is_deeply([ diff(@pieces[ 0, 2 ]) ], [], 'sent in small pieces: the same');

# ---- any edits: rows for them, and for nothing else ----

srand(17);
for my $round (1 .. 10)
{
	my @left = map { "select $_ as a$_" } 1 .. 40;
	my (@right, @expected);
	my $edited = 0;

	for my $no (1 .. @left)
	{
		# not beside another edit: a query that is there instead of another is one that was changed
		my $what = $edited || rand() < 0.6 ? 2 : int(rand(2));
		$edited = $what < 2;
		if ($what == 0)
		{
			push @right, "show /* $round */ work_mem";
			push @expected, [ 'extra', scalar @right ];
		}
		if ($what == 1) { push @expected, [ 'missing', $no ]; next; }
		push @right, $left[ $no - 1 ];
	}
	my ($a, $b) = (record_queries(@left), record_queries(@right));
	is_deeply([ diff($a, $b) ], [ map { "$_->[1] - $_->[0] exchange: Query" } @expected ],
		"random edits, round $round: " . @expected);
}

# ---- bytes that were left out ----

for my $limit ('response_limit', 'metadata')
{
	$server->set($limit eq 'metadata' ? ('pgwire_trace.capture' => 'metadata')
		: ('pgwire_trace.response_limit' => '4kB'));
	my @queries = ('select g from generate_series(1, 2000) g', "select 'behind'");
	my $whole = poll(sub {
		my $session = record_queries(@queries); # relays have new settings moments later
		return $session if $server->sql('select bool_or(' . ($limit eq 'metadata' ? 'request is null'
			: 'is_truncated and request is not null') . ') from pgwire_trace.exchange'
			  . " where session_id = $session") eq 't';
		return;
	});
	my $again = record_queries(@queries);
	my $later = record_queries('select g + (g = 1999)::int as g from generate_series(1, 2000) g', "select 'behind'");

	ok($whole, "$limit: bytes are missing");
	is_deeply([ diff($whole, $again) ], [], "$limit: twice the same");
	is_deeply([ grep { !/Query: query/ } diff($whole, $later) ],
		[ '1 - record: query, row_digest' ],
		"$limit: a row differs that is not there");
	$server->set('pgwire_trace.capture' => 'all', 'pgwire_trace.response_limit' => '64kB');
}

# ---- what is not there, and who may ----

is($server->sql('select count(*) from pgwire_trace.session_diff(-1, -2)'), '0', 'two unknown sessions');
is($server->sql("select count(*) from pgwire_trace.session_diff(null, $base)"), '0', 'NULL');
is($server->sql("select string_agg(distinct what, ', ') from pgwire_trace.session_diff(-1, $base)"
	  . ' where exchange_no > 0'), 'extra exchange: Query, extra exchange: Terminate',
	'an unknown session has no exchanges');
my ($status, undef, $err) = $server->try_sql("create role reader; set role reader;"
	  . " select * from pgwire_trace.session_diff($base, $base)");
like($err, qr/permission denied/, 'not for everybody');

# ---- time: it grows with the sessions, not with their square ----

# Returns how long a comparison takes at best.
sub time_diff
{
	my ($a, $b) = @_;
	my $best;

	for (1 .. 3)
	{
		my $begin = Time::HiRes::time();
		$server->sql("select count(*) from pgwire_trace.session_diff($a, $b)");
		my $seconds = Time::HiRes::time() - $begin;
		$best = $seconds if !defined $best || $seconds < $best;
	}
	return $best;
}

my %time;
for my $count (500, 5_000)
{
	my @sessions = map { my $run = $_; record_queries(map { "select $_" } 1 .. $count) } 1 .. 2;
	my $different = record_queries(map { "select 'other $_'" } 1 .. $count);
	$time{same}{$count} = time_diff(@sessions);
	$time{different}{$count} = time_diff($sessions[0], $different);
	push @sessions, record_queries(map { $_ % 3 ? "select $_" : "select $_, $count" } 1 .. $count);
	$time{'a third'}{$count} = time_diff(@sessions[ 0, 2 ]);
}
for my $case (sort keys %time)
{
	my ($few, $many) = @{ $time{$case} }{ 500, 5_000 };
	cmp_ok($many, '<', 30 * $few + 1,
		sprintf('%s: the time is linear (500 exchanges %.2f s, 5,000 %.2f s)', $case, $few, $many));
}

$server->node->stop;
done_testing();
