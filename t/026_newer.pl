# What servers newer than 15 have, through the side port: TLS without SSLRequest, cancelling over
# TLS, incremental backups (17); protocol 3.2 with its long keys, new settings of TLS and of the log
# (18).
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(startup_packet query terminate);
use PgwireTrace::Tls qw(make_certificates start_with_tls);
use PostgreSQL::Test::Utils;
use Test::More;

my ($major) = `postgres --version` =~ /(\d+)/;
plan skip_all => "PostgreSQL $major has nothing of what this tests; it wants 17 or newer" if $major < 17;

my $certificates = make_certificates();
my $server = start_with_tls('newer', $certificates, conf => <<'CONF', hba => <<'HBA');
wal_level = replica
max_wal_senders = 5
summarize_wal = on
pgwire_trace.response_limit = -1
pgwire_trace.request_limit = -1
CONF
local all all trust
local replication all trust
hostssl all scrammed 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
HBA
my $node = $server->node;
my $root = $certificates->path('root.crt');
my $user = getpwuid($<);

$server->sql("set password_encryption = 'scram-sha-256'; create role scrammed login password 'x'");

# Runs SQL through a port with psql; returns its output, or the error.
sub ask
{
	my ($options, $sql, $port) = @_;
	$port //= $server->side_port;
	my ($status, $out, $err) = run_client([ 'psql', '-XAtqc', $sql,
			"host=localhost hostaddr=127.0.0.1 port=$port dbname=postgres $options" ],
		env => { PGPASSWORD => 'x' });
	chomp $out;
	$err =~ s/^.*?failed: //s;
	return $status == 0 ? $out : $err;
}

# Runs test/clients/newer.py; returns what it prints.
sub newer
{
	my ($status, $out, $err) = run_client([ 'python3', "$ENV{PGWT_CLIENTS}/newer.py", @_ ]);
	chomp $out;
	return $status == 0 ? $out : $err;
}

# ---- TLS without SSLRequest ----

my $direct = 'sslmode=require sslnegotiation=direct';
is(ask("$direct application_name=direct", 'select ssl, version from pg_stat_ssl where pid = pg_backend_pid()'),
	't|TLSv1.3', 'sslnegotiation=direct');
is(ask("sslmode=verify-full sslnegotiation=direct sslrootcert=$root", "select 'in'"), 'in', 'and verify-full');
is(ask("$direct user=scrammed channel_binding=require require_auth=scram-sha-256", "select 'in'"), 'in',
	'and channel_binding=require');
ok($server->flush, 'flush()');
is($server->sql("select s.tls_version, m.name from pgwire_trace.session s,"
	  . " pgwire_trace.messages(s.session_id, 0) m where s.session_id = pgwire_trace.last_session('direct')"
	  . ' and message_no = 1'), 'TLSv1.3|StartupMessage', 'the record: TLS, and no SSLRequest');
for my $names ([], ['postgresql'], ['http/1.1'])
{
	my @said = map { newer($_, 'alpn', @$names) } $node->port, $server->side_port;
	is($said[1], $said[0], "application protocol '@$names': $said[0], as on the main port");
}
is(newer($server->side_port, 'alpn', 'postgresql'), 'answered', 'the right one gets in');
is(newer($server->side_port, 'alpn'), 'closed', 'none does not');
is(ask("$direct ssl_max_protocol_version=TLSv1.2", 'select version from pg_stat_ssl where pid ='
	  . ' pg_backend_pid()'), 'TLSv1.2', 'the carrier has the version that the client has');

# ---- cancelling over TLS, as libpq does it since 17 ----

# Returns the newest cancel request: TLS, and the exchange that it hit.
sub last_cancel
{
	$server->flush;
	return $server->sql(<<'SQL');
select s.tls_version is not null, hit.application_name, e.query, e.sqlstate
  from pgwire_trace.exchange c
  join pgwire_trace.session s using (session_id)
  left join pgwire_trace.exchange e
         on (e.session_id, e.exchange_no) = (c.cancelled_session_id, c.cancelled_exchange_no)
  left join pgwire_trace.session hit on hit.session_id = e.session_id
 where c.kind = 'cancel' order by c.started_at desc limit 1
SQL
}

my $asleep = "select pg_sleep(60), 'asleep'|57014";
my $psycopg = (run_client([ 'python3', '-c', 'import psycopg' ]))[0] == 0;
SKIP:
{
	skip 'python3-psycopg is not installed', 4 unless $psycopg;
	for my $options ('sslmode=require', $direct)
	{
		is(newer($server->side_connstr . " $options application_name=cancelled", 'cancel'), '57014',
			"PQcancelBlocking with $options");
		is(last_cancel(), "t|cancelled|$asleep", 'came by TLS, and the record says what it hit');
	}
}

# ---- an incremental backup ----

my $directory = PostgreSQL::Test::Utils::tempdir();

# Takes a base backup through the side port.
sub backup
{
	my ($name, @options) = @_;
	my ($status, $out, $err) = run_client([ 'pg_basebackup', '-D', "$directory/$name", '-X', 'none',
			'--no-sync', '-c', 'fast', '-d', $server->side_connstr . " application_name=$name sslmode=disable",
			@options ]);
	is($status, 0, "pg_basebackup: $name") or diag($err);
	return;
}

# a small record, so that there is not much to back up
backup('full');
$server->sql('create table changed as select generate_series(1, 1000) as n');
backup('incremental', "--incremental=$directory/full/backup_manifest");
my ($status, $out, $err) = run_client([ 'pg_combinebackup', '--no-sync', "$directory/full",
		"$directory/incremental", '-o', "$directory/combined" ]);
is($status, 0, 'the two make a whole one') or diag($err);
($status, $out, $err) = run_client([ 'pg_verifybackup', '-n', "$directory/combined" ]);
is($status, 0, 'which is what its manifest says') or diag($err);
ok($server->flush, 'flush()');
my $uploaded = "session_id = pgwire_trace.last_session('incremental') and query ~ '^UPLOAD_MANIFEST'";
is($server->sql("select kind, is_complete, is_truncated, pairing_uncertain, sqlstate is null from"
	  . " pgwire_trace.exchange where $uploaded"), 'copy|t|f|f|t', 'the upload of the manifest is an exchange');
is($server->sql("select string_agg(distinct name, ' ' order by name) from pgwire_trace.exchange e,"
	  . " pgwire_trace.messages(e.session_id, e.exchange_no) where $uploaded"),
	'CommandComplete CopyData CopyDone CopyInResponse Query ReadyForQuery', 'of these messages');
is($server->sql("select string_agg(pgwire_trace.encode_message(direction, name, body), '' order by message_no)"
	  . " filter (where direction = 'F') = e.request from pgwire_trace.exchange e,"
	  . " pgwire_trace.messages(e.session_id, e.exchange_no) where $uploaded group by e.request"), 't',
	'which give its bytes again');
is($server->sql("select is_desynchronised from pgwire_trace.session where session_id ="
	  . " pgwire_trace.last_session('incremental')"), 'f', 'the session is whole');

# ---- 18 ----

SKIP:
{
	skip "PostgreSQL $major has no protocol 3.2", 25 if $major < 18;

	# ---- protocol 3.2 ----

	# Logs in with a minor version of the protocol; returns the client and the versions that the
	# server would rather have.
	my $log_in = sub {
		my ($minor, @parameters) = @_;
		my $client = $server->connect_raw;
		my $packet = startup_packet(user => $user, database => 'postgres', @parameters);
		my $negotiated = '';
		substr($packet, 4, 4) = pack('N', 3 << 16 | $minor);
		$client->send_bytes($packet);
		while (my ($type, $body) = $client->receive(30))
		{
			die 'refused: ' . PgwireTrace::Client::error_fields($body)->{M} if $type eq 'E';
			$negotiated = unpack('x2n', $body) if $type eq 'v';
			($client->{pid}, $client->{key}) = unpack('Na*', $body) if $type eq 'K';
			last if $type eq 'Z';
		}
		return ($client, $negotiated);
	};
	my ($client, $negotiated) = $log_in->(2, application_name => 'three two');
	is($negotiated, '', 'protocol 3.2 is passed on, and the server agrees');
	is(length $client->{key}, 32, 'it gives a long key');
	my ($old) = $log_in->(0, application_name => 'three zero');
	is(length $old->{key}, 4, 'a client of 3.0 gets a short one');
	(my $future, $negotiated) = $log_in->(9, application_name => 'three nine', '_pq_.nonsense' => 'x');
	is($negotiated, 2, 'a client of 3.9 is told of 3.2');
	is(length $future->{key}, 32, 'and has its key');

	for my $wrong (1, 0)
	{
		my $key = $wrong ? substr($client->{key}, 0, 31) . chr(ord(substr($client->{key}, 31)) ^ 1) : $client->{key};
		$client->send_bytes(query("select pg_sleep(60), 'asleep'")) if $wrong;
		$server->wait_for("select wait_event = 'PgSleep' from pg_stat_activity where"
			  . " application_name = 'three two'");
		my $cancel = $server->connect_raw;
		$cancel->send_bytes(pack('NNN', 12 + length $key, 80877102, $client->{pid}) . $key);
		ok($cancel->is_closed_within(10), ($wrong ? 'a wrong' : 'the right') . ' key is answered by closing');
		if ($wrong)
		{
			is($client->run('select 1', 0.3), '', 'and cancels nothing');
			is(last_cancel(), 'f|||', 'nor does the record say so');
		}
	}
	like($client->until_ready(2, 20), qr/EZTDCZ$/, 'which cancels');
	is($client->{error}{C}, '57014', 'the query');
	is(last_cancel(), "f|three two|$asleep", 'and the record links the two');
	for my $one ($client, $old, $future)
	{
		$one->send_bytes(terminate());
		$one->until_closed;
	}
	ok($server->flush, 'flush()');
	is($server->sql("select string_agg(application_name || '=' || protocol_version, ', ' order by"
		  . " application_name) from pgwire_trace.session where application_name like 'three %'"),
		'three nine=3.2, three two=3.2, three zero=3.0', 'the record knows the version in use');
	is($server->sql("select body from pgwire_trace.messages(pgwire_trace.last_session('three nine'), 0)"
		  . " where name = 'NegotiateProtocolVersion'"),
		'{"newest_version": "3.2", "unrecognized_options": ["_pq_.nonsense"]}', 'and what the server had to say');
	is($server->sql("select string_agg(distinct (body -> 'secret_key')::text, ' ') from pgwire_trace.session,"
		  . " pgwire_trace.messages(session_id, 0) where name = 'BackendKeyData' and application_name ="
		  . " 'three two'"), '{"masked": 32}', 'long keys are masked');
	is($server->sql("select string_agg(distinct (body -> 'secret_key')::text, ' ') from pgwire_trace.exchange"
		  . " c, pgwire_trace.messages(session_id, 0) where kind = 'cancel' and name = 'CancelRequest' and"
		  . " octet_length(request) = 44"), '{"masked": 32}', 'those of cancel requests too');
	my $hex = unpack('H*', $client->{key});
	is($server->sql("select count(*) from pgwire_trace.exchange where position('\\x$hex'::bytea in"
		  . " coalesce(request, '') || coalesce(response, '')) > 0"), '0', 'no byte of them is kept');
	SKIP:
	{
		skip 'python3-psycopg is not installed', 2 unless $psycopg;
		is(newer($server->side_connstr . ' sslmode=require min_protocol_version=3.2 application_name=libpq',
				'cancel'), '57014', 'libpq with protocol 3.2 cancels over TLS');
		is(last_cancel(), "t|libpq|$asleep", 'linked');
	}

	# ---- settings ----

	$server->set(ssl_groups => 'X25519:secp384r1', ssl_tls13_ciphers => 'TLS_CHACHA20_POLY1305_SHA256');
	ok(poll(sub { ask('sslmode=require', 'select cipher from pg_stat_ssl where pid = pg_backend_pid()') eq
			  'TLS_CHACHA20_POLY1305_SHA256' }), 'ssl_tls13_ciphers and ssl_groups are those of both legs');
	ok($server->flush, 'flush()');
	is($server->sql("select tls_cipher from pgwire_trace.session where tls_cipher is not null order by"
		  . " started_at desc limit 1"), 'TLS_CHACHA20_POLY1305_SHA256', 'and the client\'s own in the record');

	my $tells = qr/pgwire_trace: connection from carrier port \d+ is of client host=127\.0\.0\.1/;
	for my $case ([ 'receipt', 1 ], [ 'authorization', 0 ], [ 'all', 1 ])
	{
		my ($what, $is_told) = @$case;
		$server->set(log_connections => $what);
		my $offset = -s $node->logfile;
		$server->side_sql('select 1');
		my $log = slurp_file($node->logfile, $offset);
		is($log =~ $tells ? 1 : 0, $is_told, "log_connections = $what: "
			  . ($is_told ? 'the client is named' : 'it is not'));
	}
}

is($server->stat_relay('restarts'), '0', 'no relay died of it');
is($server->duplicates, '0', 'nothing is stored twice');
$node->stop;
done_testing();
