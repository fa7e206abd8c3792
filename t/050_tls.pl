# TLS on the side port, as people use it: the server's own certificate and settings, verified by
# libpq, with channel binding; what the record and the server say of it; settings that change
# while sessions go on.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Tls qw(make_certificates start_with_tls);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $certificates = make_certificates();
my $server = start_with_tls('tls', $certificates, hba => <<'HBA');
local all all trust
hostssl all scrammed 127.0.0.1/32 scram-sha-256
hostnossl all plain_only 127.0.0.1/32 trust
hostssl all tls_only 127.0.0.1/32 trust
host all scrammed,plain_only,tls_only 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
HBA
my $node = $server->node;
my $root = $certificates->path('root.crt');

$server->sql("set password_encryption = 'scram-sha-256'; create role scrammed login password 'x';"
	  . ' create role plain_only login; create role tls_only login');

# Runs a query through the side port with libpq's options; returns psql's status, output, errors.
sub psql
{
	my ($options, $sql, %env) = @_;
	my ($status, $out, $err) = run_client([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', $sql,
			$server->side_connstr . " $options" ], env => \%env);
	chomp $out;
	return ($status, $out, $err);
}

# Returns what a query gives with TLS required.
sub with_tls
{
	my ($options, $sql, %env) = @_;
	my ($status, $out, $err) = psql("sslmode=require $options", $sql, %env);
	return $status == 0 ? $out : $err;
}

# Waits until TLS through the side port says something.
sub becomes
{
	my ($options, $pattern, $name) = @_;
	my $last;
	my $seen = poll(sub { $last = with_tls($options, "select 'in'"); $last =~ $pattern });
	return ok($seen, $name) || diag("last: $last");
}

# ---- libpq ----

my $ssl = 'select ssl, version, cipher from pg_stat_ssl where pid = pg_backend_pid()';
is(with_tls('', $ssl), 't|TLSv1.3|TLS_AES_256_GCM_SHA384', 'sslmode=require: the server sees TLS');
is(with_tls('application_name=twelve ssl_max_protocol_version=TLSv1.2', $ssl),
	't|TLSv1.2|ECDHE-ECDSA-AES256-GCM-SHA384', 'the carrier has the version that the client has');
my ($status, $out, $err) = psql("sslmode=verify-full sslrootcert=$root host=localhost"
	  . ' hostaddr=127.0.0.1', "select 'verified'");
is($out, 'verified', 'sslmode=verify-full') or diag($err);
(undef, $out, $err) = psql("sslmode=verify-full sslrootcert=" . $certificates->path('elsewhere.crt'),
	'select 1');
like($err, qr/certificate verify failed/, 'a client that trusts another authority says so');
($status, $out, $err) = psql('user=scrammed sslmode=require channel_binding=require',
	"select 'bound'", PGPASSWORD => 'x');
is($out, 'bound', 'channel_binding=require') or diag($err);
is(with_tls('user=tls_only', 'select current_user'), 'tls_only', 'a hostssl line lets TLS in');
like(with_tls('user=plain_only', 'select 1'), qr/rejects connection/, 'a hostnossl line does not');
($status, $out, $err) = psql('user=tls_only sslmode=disable', 'select 1');
like($err, qr/rejects connection/, 'and the other way round');
is((psql('user=plain_only sslmode=disable', 'select current_user'))[1], 'plain_only', 'in clear');
is((psql('sslmode=prefer', 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'))[1], 't',
	'sslmode=prefer gets it');

ok($server->flush, 'flush()');
is($server->sql("select tls_version, tls_cipher from pgwire_trace.session where session_id ="
	  . " pgwire_trace.last_session('twelve')"), 'TLSv1.2|ECDHE-ECDSA-AES256-GCM-SHA384',
	'the record has version and cipher');
is($server->sql("select string_agg(distinct coalesce(tls_version, 'none'), ' ') from"
	  . ' pgwire_trace.session'), 'TLSv1.2 TLSv1.3 none', 'of each session its own');
is($server->sql("select string_agg(name || coalesce(body ->> 'answer', ''), ' ' order by message_no)"
	  . " filter (where message_no <= 3) from pgwire_trace.messages("
	  . " pgwire_trace.last_session('twelve'), 0)"), 'SSLRequest SSLResponseS StartupMessage',
	'and exchange 0 how it began');

$server->set('pgwire_trace.upstream' => 'unix');
is((psql('sslmode=disable', 'select inet_server_port() is null'))[1], 't', 'upstream = unix: in clear');
is(with_tls('', 'select ssl, inet_server_port() is null from pg_stat_ssl where pid = pg_backend_pid()'),
	't|f', 'clients with TLS have a carrier by TCP none the less');
$server->set('pgwire_trace.upstream' => 'tcp');

# ---- settings, while a session goes on ----

my ($in, $held_out) = ('', '');
my $held = IPC::Run::start([ 'psql', '-XAtq', $server->side_connstr
		  . ' sslmode=require application_name=held' ], '<', \$in, '>', \$held_out);
$in .= "select 'one';\n";
ok(poll(sub { $held->pump_nb; $held_out =~ /one/ }), 'a session with TLS');

$server->set(ssl_min_protocol_version => 'TLSv1.3');
becomes('ssl_max_protocol_version=TLSv1.2', qr/protocol version|alert/, 'ssl_min_protocol_version');
is(with_tls('', "select 'in'"), 'in', 'others still get in');
$server->set(ssl_min_protocol_version => 'TLSv1.2', ssl_max_protocol_version => 'TLSv1.2',
	ssl_ciphers => 'ECDHE-ECDSA-CHACHA20-POLY1305');
becomes('', qr/^in$/, 'ssl_max_protocol_version, ssl_ciphers');
ok(poll(sub { with_tls('', $ssl) eq 't|TLSv1.2|ECDHE-ECDSA-CHACHA20-POLY1305' }),
	'are those of both legs');
$server->set(ssl_max_protocol_version => '', ssl_ciphers => 'HIGH', ssl_ecdh_curve => 'secp384r1');
ok(poll(sub { with_tls('', $ssl) =~ /TLSv1.3/ }), 'ssl_ecdh_curve: another curve');

PgwireTrace::Tls::openssl('dhparam', '-dsaparam', '-out', $node->data_dir . '/dh.pem', '2048');
$server->set(ssl_dh_params_file => 'dh.pem');
is(with_tls('', "select 'in'"), 'in', 'ssl_dh_params_file');
$server->set(ssl_dh_params_file => 'none.pem');
is(with_tls('', "select 'in'"), 'in', 'one that is not there changes nothing');

$server->set(ssl => 'off');
becomes('', qr/does not support SSL/, 'ssl = off: N');
is((psql('sslmode=prefer', 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'))[1], 'f',
	'sslmode=prefer goes on in clear');
$server->set(ssl => 'on', ssl_ecdh_curve => 'prime256v1');
becomes('', qr/^in$/, 'ssl = on: TLS again');
$in .= "select ssl from pg_stat_ssl where pid = pg_backend_pid();\n\\q\n";
ok(poll(sub { $held->pump_nb; $held_out =~ /t$/m }), 'the session has gone on all the while');
$held->finish;

# ---- a new certificate ----

$certificates->install($server, 'other');
$node->reload;
ok(poll(sub { (psql("user=scrammed sslmode=require channel_binding=require", "select 'bound'",
			PGPASSWORD => 'x'))[1] eq 'bound' }), 'a new certificate: channel binding works');

my $offset = -s $node->logfile;
unlink $node->data_dir . '/server.crt';
append_to_file($node->data_dir . '/server.crt', "no certificate\n");
$node->reload;
ok(poll(sub { slurp_file($node->logfile, $offset) =~ /pgwire_trace: could not load server certificate/ }),
	'a bad one: the log says so');
like($server->stat_relay('last_error', 'max'), qr/server certificate.*stays in use/, 'and stat_relay');
is(with_tls('', "select 'in'"), 'in', 'the one of before stays in use');
$certificates->install($server, 'server');
chmod 0644, $node->data_dir . '/server.key';
$offset = -s $node->logfile;
$node->reload;
ok(poll(sub { slurp_file($node->logfile, $offset) =~ /pgwire_trace: private key file .* has group or world/ }),
	'a key that others may read');
is(with_tls('', "select 'in'"), 'in', 'the same');
chmod 0600, $node->data_dir . '/server.key';
$node->reload;
becomes('', qr/^in$/, 'all is well again');
is((psql('user=scrammed sslmode=require channel_binding=require', "select 'bound'",
		PGPASSWORD => 'x'))[1], 'bound', 'bound to it');

is($server->sql('select sum(restarts) from pgwire_trace.stat_relay'), '0', 'no relay died of it');
$node->stop;
done_testing();
