# The bytes of messages() are exactly those that a proxy saw which records bytes and knows no protocol: for
# every program of a corpus, in every session, both ways. What is masked is compared by its length.
use strict;
use warnings;

use IPC::Run ();
use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(message query parse bind_portal execute describe_portal sync_message copy_data
  copy_done close_statement terminate startup_packet);
use PgwireTrace::Trace qw(build_client);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('bytes',
	conf => "wal_level = logical\nmax_wal_senders = 5\npgwire_trace.response_limit = -1\n"
	  . "pgwire_trace.request_limit = -1\npgwire_trace.part_interval = 300ms\n");
my $user = getpwuid($<);
my $clients = $ENV{PGWT_CLIENTS};
my $directory = PostgreSQL::Test::Utils::tempdir();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $connstr = "host=127.0.0.1 port=$port dbname=postgres";

# sessions from before the proxy, whose ports it may get again
ok($server->flush, 'the first session is stored');
my $before = $server->newest_session || 0;
my $proxy_out = '';
my $proxy = IPC::Run::start([ '/usr/bin/python3', "$clients/recorder.py", $port, $server->side_port, $directory ],
	'<', \undef, '>', \$proxy_out, '2>&1');
poll(sub { $proxy->pump_nb; $proxy_out =~ /listening/ }) or die "the proxy does not listen: $proxy_out";

# Runs a program; it must end well.
sub run_program
{
	my ($name, $command, %options) = @_;
	my ($status, $out, $err) = run_client($command, %options);

	is($status, 0, "$name: it ran") or diag("$out\n$err");
	return;
}

# ---- the corpus ----

$server->sql('create table t (n int, s text); create table sink (n int check (n < 100), s text)');
run_program('psql', [ 'psql', '-XAtq', $connstr ], stdin => <<'SQL');
insert into t select n, repeat('x', n) from generate_series(1, 1000) n;
\copy t to '/dev/null'
\copy t from program 'seq 1 1000 | sed "s/$/\trow/"'
\set FETCH_COUNT 100
select n from t order by n;
begin; savepoint a; select 1/0; rollback to a; commit;
select 1; select 2 \; select 3 \; selec 4;
listen here; notify here, 'said';
do $$ begin raise notice 'a notice'; raise warning 'another'; end $$;
\copy sink from program 'seq 1 1000'
set client_min_messages = debug1; select n'é', E'\x41', ''; alter role current_user password 'Zq7secretZq7';
prepare p as select $1::int; execute p(1); deallocate p;
SQL
run_program('psycopg', [ '/usr/bin/python3', "$clients/psycopg3.py", $connstr ]);
SKIP:
{
	my $env = { NODE_PATH => $ENV{PGWT_NODE_PATH}, PGUSER => $user };
	my ($found) = eval { run_client([ 'node', '-e', 'require("pg")' ], env => $env) };
	skip 'node-pg is not installed', 1 if !defined $found || $found != 0;
	run_program('node-pg', [ 'node', "$clients/node_pg.js", $port ], env => $env);
}
SKIP:
{
	skip 'JDBC is not installed', 1 unless -e '/usr/share/java/postgresql.jar';
	run_program('jdbc', [ 'java', '-cp', '/usr/share/java/postgresql.jar', "$clients/Jdbc.java", $port, $user ]);
}
my $script = "$directory/pipeline.sql";
append_to_file($script, "\\startpipeline\n" . "select 1;\nselect * from t where n = 5;\n" x 50 . "\\endpipeline\n");
run_program('pgbench -i', [ 'pgbench', '-i', '-I', 'dtGvp', '-q', $connstr ]);
run_program("pgbench $_", [ 'pgbench', '-n', '-c', 3, '-t', 20, '-M', $_, $connstr ]) for qw(simple extended prepared);
run_program('pgbench, pipelines', [ 'pgbench', '-n', '-c', 2, '-t', 5, '-M', 'extended', '-f', $script, $connstr ]);
run_program('pg_dump', [ 'pg_dump', '-f', "$directory/dump.sql", '-t', 't', $connstr ]);
run_program('pg_receivewal', [ 'pg_receivewal', '-d', $connstr, '-D', $directory, '--create-slot', '-S', 'bytes' ]);
# a stream that goes on until it is recorded in parts
my $stream_out = '';
my $stream = IPC::Run::start([ 'pg_receivewal', '-d', $connstr, '-D', $directory, '-S', 'bytes', '--no-loop' ],
	'<', \undef, '>&', \$stream_out);
ok(poll(sub {
			$server->sql("insert into t select 1, 'wal' from generate_series(1, 100)");
			$stream->pump_nb;
			return $server->sql("select count(*) > 1 from pgwire_trace.exchange where kind = 'replication'") eq 't';
}), 'replication is recorded in parts while it runs') or diag($stream_out);
$stream->signal('INT');
$stream->finish;

my $pqtrace = build_client();
for my $program (split /\n/, (run_client([$pqtrace]))[1])
{
	run_program("libpq: $program", [ $pqtrace, "$connstr sslmode=prefer" . ($program eq 'copy_both' ? ' replication=true' : ''),
			"$directory/trace", 'regress', $program ],
		env => { LC_ALL => 'C', PQTRACE_OTHER => $server->node->connstr('postgres') });
}

# Logs in through the proxy, sends something byte by byte or at once, and goes without a word or with one.
sub send_by_hand
{
	my ($name, $bytes, $readies, %options) = @_;
	my $client = PgwireTrace::Client->new($port);

	$client->login(user => $user, database => 'postgres', application_name => $name);
	$client->send_bytes($bytes);
	$client->until_ready for 1 .. $readies;
	$client->send_bytes(terminate()) unless $options{rude};
	$client->{socket}->close if $options{rude};
	$client->until_closed unless $options{rude};
	return;
}
send_by_hand('a Query is skipped', parse('selec') . query('select 1') . sync_message(), 1);
send_by_hand('no Sync', parse('select 1') . bind_portal() . execute() . query('select 2'), 1);
send_by_hand('COPY and a swallowed Sync', parse('copy sink from stdin') . bind_portal() . execute() . sync_message()
	  . copy_data("1\ta\n") . copy_done() . sync_message(), 1);
send_by_hand('late CopyData', query('copy nosuch from stdin') . copy_data("1\ta\n") x 3 . copy_done() . query('select 1'), 2);
send_by_hand('COPY fails half way', query('copy sink from stdin') . copy_data("1\ta\n") . copy_data("500\ta\n") x 100
	  . copy_done() . query('select 1'), 2);
send_by_hand('portals', query('begin') . parse('select generate_series(1, 10)', 's') . bind_portal(statement => 's')
	  . execute(3) . execute(3) . message('H') . execute(0) . close_statement('s') . sync_message() . query('commit'), 3);
send_by_hand('bare Syncs', sync_message() x 100 . query('') . sync_message(), 102);
send_by_hand('cut in a message', query('select 1') . substr(query('select 2'), 0, 7), 1, rude => 1);
send_by_hand('cut in COPY', query('copy sink from stdin') . copy_data("1\ta\n") . substr(copy_data('x' x 1000), 0, 500), 0,
	rude => 1);
# cut at any byte, with a Terminate that nobody reads behind it or without
my $whole = parse('select $1::text', 's') . bind_portal(statement => 's', values => ['x']) . execute() . sync_message()
  . query('select 2');
for (my $at = 1; $at < length $whole; $at += 3)
{
	send_by_hand("cut at $at", substr($whole, 0, $at), 0, rude => 1);
}
my $stranger = PgwireTrace::Client->new($port);
$stranger->send_bytes(pack('NN', 8, 80877103));
is($stranger->receive_byte, 'N', 'a stranger is offered no encryption');
$stranger->send_bytes(startup_packet(user => 'nobody_at_all', database => 'postgres'));
$stranger->until_closed;

# ---- comparison ----

ok(poll(sub { !glob "$directory/*.open" }), 'all connections are closed');
ok($server->wait_for('select sum(sessions_open) = 0 from pgwire_trace.stat_relay'), 'all sessions are over');
ok($server->flush, 'and stored');

# Returns the messages of a session as direction, name, size and bytes in hexadecimal ("-" where they can't be
# made: a secret key), one a line.
sub recorded_messages
{
	my ($session) = @_;
	return $server->sql(<<"SQL");
select direction, name, m.length + case when m.type is null then 0 else 1 end,
       case when name in ('BackendKeyData', 'CancelRequest') then '-'
            when m.is_truncated then encode(coalesce(type::text::bytea || int4send(m.length::int), '')
              || coalesce(decode(body #>> '{data,hex}', 'hex'), (body ->> 'data')::bytea), 'hex')
            else encode(pgwire_trace.encode_message(direction, name, body, encoding::name), 'hex') end
from (select coalesce(server_parameters ->> 'client_encoding', 'UTF8') as encoding from pgwire_trace.session
       where session_id = $session) s,
     pgwire_trace.messages($session) with ordinality
       m(exchange_no, message_no, at, direction, type, name, length, is_truncated, body, no)
order by no
SQL
}

# Compares a stretch of bytes with a message; what is an asterisk in the message may be anything where
# secrets are masked. Returns what is wrong.
sub difference
{
	my ($bytes, $name, $hex, $masks) = @_;

	return if $hex eq '-';
	my $recorded = pack('H*', $hex);
	return if $bytes eq $recorded;
	return "$name: " . unpack('H*', $bytes) . " was recorded as $hex" unless $masks && length $bytes == length $recorded;
	for my $at (0 .. length($bytes) - 1)
	{
		my $byte = substr($recorded, $at, 1);
		return "$name: byte $at differs" if $byte ne substr($bytes, $at, 1) && $byte ne '*';
	}
	return;
}

# what is a secret of the protocol's, in part or whole
my $secret = qr/^(?:PasswordMessage|SASL|GSS|AuthenticationSASL|AuthenticationGSS)/;
my ($sessions, $messages, $bytes, %seen) = (0, 0, 0);
for my $path (sort glob "$directory/*.F")
{
	my ($client_port) = $path =~ m{/(\d+)\.F$};
	my ($session, $name) = split /\|/, $server->sql('select session_id, coalesce(application_name, user_name) from'
		  . " pgwire_trace.session where client_port = $client_port order by started_at desc limit 1");
	if (!$session)
	{
		fail("the session of port $client_port is recorded");
		next;
	}
	my %raw = (F => slurp_file($path), B => slurp_file($path =~ s/F$/B/r));
	my %at = (F => 0, B => 0);
	my @wrong;

	for my $line (split /\n/, recorded_messages($session))
	{
		my ($direction, $message, $size, $hex) = split /\|/, $line;
		$size = length($hex) / 2 if $hex ne '-'; # less than it says where the connection was cut
		my $masks = $message =~ $secret || ($message eq 'Query' && $line =~ /2a2a2a/);
		my $wrong = difference(substr($raw{$direction}, $at{$direction}, $size), $message, $hex, $masks);
		push @wrong, "at $direction $at{$direction}: $wrong" if $wrong;
		$at{$direction} += $size;
		$messages++;
		$seen{"$direction $message"}++;
	}
	push @wrong, "$at{$_} of " . length($raw{$_}) . " bytes of $_" for grep { $at{$_} != length $raw{$_} } qw(F B);
	is(scalar @wrong, 0, "session of $name: all bytes") or diag(join "\n", @wrong[ 0 .. ($#wrong < 4 ? $#wrong : 4) ]);
	$sessions++;
	$bytes += length($raw{F}) + length($raw{B});
}
is($sessions, $server->sql('select count(*) from pgwire_trace.session where session_id > ' . $before . ' and client_port in ('
	  . join(',', map { m{/(\d+)\.F$} } glob "$directory/*.F") . ')'), 'every session is compared');
note("$sessions sessions, $messages messages of " . keys(%seen) . " kinds, $bytes bytes");
cmp_ok(scalar(keys %seen), '>=', 38, 'with many kinds of messages');
is($server->sql('select sum(sessions_desynchronised), sum(restarts), sum(exchanges_dropped_journal_full) from'
	  . ' pgwire_trace.stat_relay'), '0|0|0', 'nothing went wrong');

$proxy->signal('TERM');
$proxy->finish;
$server->node->stop;
done_testing();
