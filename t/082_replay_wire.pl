# Replay over TLS, and of answers that are larger than what the record or the replayer keeps: they
# are compared by digests, in memory that does not grow with them.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Replay;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace::Replay->start('replay_wire', conf => "pgwire_trace.response_limit = '1MB'\n",
	target => "ssl = on\nlisten_addresses = '127.0.0.1'\n", target_started => 0);
my $target = $server->target;
my $data = $target->data_dir;
my ($status, undef, $err) = run_client([ 'openssl', 'req', '-new', '-x509', '-nodes', '-days', '2',
		'-subj', '/CN=localhost', '-newkey', 'rsa:2048', '-out', "$data/server.crt", '-keyout',
		"$data/server.key" ]);
is($status, 0, 'a certificate') or BAIL_OUT($err);
chmod 0600, "$data/server.key";
unlink "$data/pg_hba.conf";
$target->append_conf('pg_hba.conf', "local all all trust\nhostssl all all 127.0.0.1/32 trust\n");
$target->start;
$server->agree;

my $conninfo = 'host=127.0.0.1 sslmode=require port=' . $target->port . ' dbname=postgres';
my $setup = 'create table big as select i, repeat(i::text, 100) as a from generate_series(1, 100000) i;'
  . ' create table copied (a text)';
$server->both($setup);

# Replays a session; returns the verdicts.
sub verdicts
{
	my ($session, $level) = @_;
	my $run = $server->replay("array[$session], timing => 'asap', compare => $level", $conninfo);

	is($server->of_run($run, 'unsent + skipped + filtered'), '0', 'all of it was sent');
	return $server->verdicts($run);
}

my $lines = join('', map { "line $_ of what is copied, long enough to fill a buffer or two\n" } 1 .. 10000);
($status, undef, $err) = run_client([ 'psql', '-XAtq', '-o', '/dev/null', $server->side_connstr ],
	stdin => "select * from big order by i;\ncopy copied from stdin;\n$lines\\.\n"
	  . "select count(*) from copied;\ncopy big to stdout;\nselect 1;\n");
is($status, 0, 'psql ran') or diag($err);
my $session = $server->recorded;
is($server->sql("select response_bytes > 50000000 and is_truncated from pgwire_trace.exchange"
		  . " where session_id = $session and exchange_no = 1"), 't', 'an answer of 50 MB is cut');
is(verdicts($session, 4), '', 'over TLS: no divergence');
$target->safe_psql('postgres', 'truncate copied; update big set a = 1 where i = 99999');
is(verdicts($session, 4), '1:data 4:data', 'a changed row far behind what is kept, of a result and of a COPY');
$target->safe_psql('postgres', 'truncate copied; delete from big where i = 99999');
is(verdicts($session, 2), '1:rows 4:rows', 'a missing one');

# the data of a COPY that fails at once are sent behind its answer, as its client did not wait either
$target->safe_psql('postgres', 'alter table copied rename to gone');
is(verdicts($session, 1), '2:error_new 3:error_new<2', 'a COPY that fails at once');
$target->safe_psql('postgres', 'alter table gone rename to copied');

# ---- memory ----

# Returns the most memory that the children of a worker had, in MB, when the run has ended.
sub peak_of
{
	my ($run) = @_;
	my $peak = 0;

	poll(sub {
		my ($worker, $state) = split /\|/, $server->sql("select (select pid from pg_stat_activity where"
			  . " backend_type = 'pgwire_trace replay'), state from pgwire_trace.replay_run where run_id = $run");
		for my $file ($worker ? glob('/proc/[0-9]*/stat') : ())
		{
			my $line = slurp($file) // next;
			next unless $line =~ /^(\d+) \(.*\) \S $worker /;
			my ($kilobytes) = (slurp("/proc/$1/status") // '') =~ /^VmHWM:\s+(\d+)/m;
			$peak = $kilobytes / 1024 if $kilobytes && $kilobytes / 1024 > $peak;
		}
		return $state ne 'running' && $state ne 'planned';
	});
	return $peak;
}

# Returns a file's text; nothing if it has gone.
sub slurp
{
	my ($file) = @_;
	open(my $handle, '<', $file) or return;
	local $/;
	return scalar <$handle>;
}

($status, undef, $err) = run_client([ 'psql', '-XAtq', '-o', '/dev/null', $server->side_connstr ],
	stdin => "copy (select repeat('x', 1000) from generate_series(1, 200000)) to stdout;\n"
	  . "select repeat('y', 100000000);\n");
is($status, 0, 'psql ran') or diag($err);
ok($server->flush('60 s'), 'recorded');
$session = $server->sql('select pgwire_trace.last_session()');
is($server->sql("select count(*) from pgwire_trace.exchange where session_id = $session"
		  . " and response_bytes >= 100000000"), '2', 'two answers of 100 MB and more');
my $run = $server->sql("select pgwire_trace.replay_start('$conninfo', array[$session], timing => 'asap')");
my $peak = peak_of($run);
is($server->of_run($run, 'state, sent, divergences'),
	'finished|2|0', 'they are the same');
ok($peak > 0 && $peak < 60, "in memory that does not grow with them: $peak MB");

done_testing();
