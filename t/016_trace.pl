# trace_lines() beside libpq's PQtrace: what libpq 18 printed of recorded bytes, what the installed
# libpq prints of live traffic, what libpq's own tests expect.
use strict;
use warnings;

use JSON::PP ();
use PgwireTrace qw(run_client);
use PgwireTrace::Client;
use PgwireTrace::Trace qw(build_client read_records session_records trace_message);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $server = PgwireTrace->start('trace',
	conf => "wal_level = replica\nmax_wal_senders = 5\npgwire_trace.response_limit = -1\n"
	  . "pgwire_trace.request_limit = -1\n");

# Returns the records of one direction.
sub of
{
	my ($direction, @records) = @_;
	return [ grep { /^$direction/ } @records ];
}

# Returns the first column of a query's rows, whatever is in them.
sub column
{
	my ($sql) = @_;
	my $json = $server->sql("set timezone = 'UTC'; select coalesce(json_agg(x order by no), '[]')"
		  . " from ($sql) as rows(x, no)");
	return @{ JSON::PP->new->utf8->decode($json) };
}

# ---- what libpq 18 printed; test/golden/README.md says how the pairs were made ----

$server->sql(<<'SQL');
create table golden (program text, mode text, no int, direction text, data text, line text);
-- an integer below 2^14 as chunks have it
create function varint(n int) returns bytea immutable language sql
return case when n < 128 then set_byte('\x00', 0, n)
	else set_byte('\x00', 0, n % 128 + 128) || set_byte('\x00', 0, n / 128) end;
create view golden_session as
	select program, mode, -row_number() over (order by program, mode) as session_id
	from golden group by program, mode;
SQL
$server->sql("\\copy golden from '$ENV{PGWT_CLIENTS}/../golden/$_'") for qw(pqtrace18.tsv pqprint18.tsv);
$server->sql(<<'SQL');
insert into pgwire_trace.exchange (recorded_at, session_id, exchange_no, part_no, started_at,
	finished_at, kind, statement_count, row_count, data_row_count, request_bytes, response_bytes,
	is_complete, is_truncated, pairing_uncertain, request, response, chunks)
select '2000-01-01', session_id, 0, 1, '2000-01-01 12:34:56.000789+00', '2000-01-01 12:34:57+00',
	case when program ~ '^startup' then 'startup' else 'query' end, 0, 0, 0, 0, 0, true, false,
	false, string_agg(data, '' order by no) filter (where direction = 'F'),
	string_agg(data, '' order by no) filter (where direction = 'B'),
	string_agg(varint(length(data) * 2 + (direction = 'B')::int) || '\x00', '' order by no)
from (select program, mode, no, direction, decode(data, 'hex') as data from golden) g
join golden_session s using (program, mode) group by session_id, program;
SQL

my $complaint = qr/\nmismatched message length: .*/;
my $complaints = 0;
for my $pair (split /\n/, $server->sql('select session_id, mode, program from golden_session order by 1'))
{
	my ($session, $mode, $program) = split /\|/, $pair;
	my @expected = column("select line, no from golden where program = '$program' and mode = '$mode'");
	my @lines = column('select * from pgwire_trace.trace_lines('
		  . "$session, null, '$mode' = 'regress') with ordinality");

	if ($mode eq 'full')
	{
		my $timed = grep { s/^2000-01-01 12:34:56\.000789\t// } @lines;
		is($timed, scalar @lines, "libpq 18: $program: every line has its time");
	}
	# where libpq says itself that it left bytes out, they are there
	for my $no (grep { $expected[$_] =~ s/$complaint// } 0 .. $#expected)
	{
		$complaints++;
		like($lines[$no], qr/^\Q$expected[$no]\E\t '.+'$/, "libpq 18: $program: $mode: and the rest");
		$lines[$no] = $expected[$no];
	}
	is_deeply(\@lines, \@expected, "libpq 18: $program: $mode") or diag(explain(\@lines));
}
is($complaints, 2, 'libpq 18 leaves out the salt of AuthenticationMD5Password, and nothing else');

# ---- the installed libpq, live ----

# What libpq 15 prints otherwise than 18, apart from messages of the startup, which is left out:
# - CopyData: a line without a name and a complaint that there was more; from the server nothing;
# - ReadyForQuery behind the answer to a FunctionCall: nothing.
my $copy_data = qr/^[FB]\t\d+\t(?:CopyData\t|\nmismatched message length)/;
my $ready = qr/^B\t5\tReadyForQuery/;
# Programs in which the client does not wait for an answer before it goes on: libpq prints what it
# reads when it reads it.
my $ahead = qr/^(?:pipeline_(?!one)|copy_both)/;

# A byte that is no UTF-8 is escaped: a line is text of the database.
sub escape_invalid
{
	my ($record) = @_;
	utf8::decode($record) or $record =~ s/([\x80-\xff])/sprintf '\\x%02x', ord $1/ge;
	return $record;
}

# Runs a program in a mode and compares its trace with the record.
sub compare_live
{
	my ($client, $program, $mode) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$program.$mode";
	my $application = "$program $mode";
	my $connstr = $server->side_connstr
	  . " sslmode=disable gssencmode=disable client_encoding=UTF8 application_name='$application'"
	  . ($program eq 'copy_both' ? ' replication=true' : '');
	my ($status, $out, $err) = run_client([ $client, $connstr, $file, $mode, $program ],
		env => { LC_ALL => 'C', PQTRACE_OTHER => $server->node->connstr('postgres') });

	is($status, 0, "live: $program: $mode: the program ran") or diag($err);
	$server->flush;
	my $session = $server->sql('select max(session_id) from pgwire_trace.session'
		  . " where startup_parameters::text like '%\"$application\"%'");
	my @expected = map { escape_invalid($_) } read_records($file, $mode);
	my @records = session_records($server, $session, $mode);
	is(scalar(grep { /^F/ && /$copy_data/ } @records), scalar(grep { /^F/ && /$copy_data/ } @expected),
		"live: $program: $mode: as many CopyData of the client's") if $program =~ /^copy/;
	my $left_out = $program eq 'functions' ? qr/$copy_data|$ready/ : $copy_data;
	@expected = grep { !/$left_out/ } @expected;
	@records = grep { !/$left_out/ } @records;
	if ($program =~ $ahead)
	{
		is_deeply(of('F', @records), of('F', @expected), "live: $program: $mode: the frontend");
		is_deeply(of('B', @records), of('B', @expected), "live: $program: $mode: the backend");
	}
	else
	{
		is_deeply(\@records, \@expected, "live: $program: $mode");
	}
	cmp_ok(scalar @records, '>', 9, "live: $program: $mode: it had something to say");
	return $session;
}

my $client = build_client();
my @programs = grep { $_ ne 'startup' } split /\n/, (run_client([$client]))[1];
cmp_ok(scalar @programs, '>=', 21, 'there are programs');
my %sessions = map { my $program = $_;
	map { ("$program $_" => compare_live($client, $program, $_)) } qw(regress full) } @programs;

# all at once gives the same as exchange by exchange
for my $program ('notifications', 'pipeline_abort', 'copy_in_fails')
{
	my $session = $sessions{"$program regress"};
	my @whole = column("select * from pgwire_trace.trace_lines($session, null, true) with ordinality");
	my @startup = column("select * from pgwire_trace.trace_lines($session, 0, true) with ordinality");
	is_deeply(\@whole, [ @startup, session_records($server, $session, 'regress') ],
		"$program: the whole session");
	cmp_ok(scalar @startup, '>', 9, "$program: the startup is exchange 0");
}

# ---- what libpq's own tests expect: their requests, sent by hand, and all that follows ----

# Here libpq sends on before it has read, or the server answered, all that it asked for.
my $ahead_corpus = qr/^(?:multi_pipelines|nosync|pipeline_abort|transaction)$/;
my $corpus = "$ENV{PGWT_CORPORA}/pqtrace";
SKIP:
{
	skip "no traces of libpq's own tests in $corpus", 1 unless -d $corpus;
	compare_corpus($_) for glob("$corpus/*.trace");
}

# Sends what a trace says that the client sent, waits for as many answers as it says, and so on;
# then compares it with the record.
sub compare_corpus
{
	my ($file) = @_;
	my ($name) = $file =~ m{([^/]+)\.trace$};
	my @expected = read_records($file, 'regress');
	my $raw = $server->connect_client(application_name => $name);
	my @messages = map { [ $_, trace_message($_, 23) ] } @expected;

	while (@messages)
	{
		my $request = '';
		while (@messages && $messages[0][0] =~ /^F/)
		{
			my ($record, $message) = @{ shift @messages };
			die "not understood: $record" unless defined $message;
			$request .= $message;
		}
		$raw->send_bytes($request);
		while (@messages && $messages[0][0] =~ /^B/)
		{
			shift @messages;
			my ($type) = $raw->receive;
			die "$name: an answer is missing" unless defined $type;
		}
	}
	$raw->until_closed;
	$server->flush;
	my $session = $server->sql("select pgwire_trace.last_session('$name')");
	my @records = session_records($server, $session, 'regress');
	is_deeply(of('F', @records), of('F', @expected), "libpq's tests: $name: the frontend");
	is_deeply(of('B', @records), of('B', @expected), "libpq's tests: $name: the backend");
	is_deeply(\@records, \@expected, "libpq's tests: $name: both") unless $name =~ $ahead_corpus;
	return;
}

# ---- time: twice the messages, twice the time ----

# Returns how many lines a session has, and in how many seconds they are made at best.
sub time_lines
{
	my ($session) = @_;
	my ($lines, $best);

	for (1 .. 3)
	{
		my $begin = Time::HiRes::time();
		$lines = $server->sql("select count(*) from pgwire_trace.trace_lines($session, null, true)");
		my $seconds = Time::HiRes::time() - $begin;
		$best = $seconds if !defined $best || $seconds < $best;
	}
	return ($lines, $best);
}

for my $shape ('one exchange', 'many exchanges')
{
	my %result;
	for my $rows (20_000, 200_000)
	{
		my $raw = $server->connect_client(application_name => "$shape $rows");
		if ($shape eq 'one exchange')
		{
			$raw->send_bytes(PgwireTrace::Client::query("select generate_series(1, $rows)"));
			$raw->until_ready(1, 60);
		}
		else
		{
			my $syncs = $rows / 4;
			for (1 .. $syncs / 500)
			{
				$raw->send_bytes(PgwireTrace::Client::query('select') x 500);
				$raw->until_ready(500, 60);
			}
		}
		$raw->send_bytes(PgwireTrace::Client::terminate());
		$raw->until_closed;
		$server->flush;
		$result{$rows} = [ time_lines($server->sql("select pgwire_trace.last_session('$shape $rows')")) ];
	}
	my ($few, $many) = @result{ 20_000, 200_000 };
	cmp_ok($many->[0], '>=', 200_000, "$shape: there are 200,000 lines");
	cmp_ok($many->[1] / $few->[1], '<', 3 * $many->[0] / $few->[0],
		sprintf('%s: the time is linear (%d lines %.2f s, %d lines %.2f s)', $shape, @$few, @$many));
}

$server->node->stop;
done_testing();
