# A client that sends its startup packet and a query at once and hangs up, while relays are stopped
# and killed at every moment of that, and at each step by name: never is a query run for a client that is not authenticated.
use strict;
use warnings;

use PgwireTrace qw(poll);
use PgwireTrace::Client qw(startup_packet query);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $rounds = 1000;
my $relays = 24;
my $me = getpwuid($<);
# the carriers come from 127.0.0.1 and are trusted, the clients from 127.0.0.2
my $server = PgwireTrace->start('startup', fault => 1,
	hba => <<"HBA", conf => "max_connections = 200\npgwire_trace.relay_processes = $relays\nlog_min_messages = fatal\n");
local all all trust
host all $me 127.0.0.1/32 trust
host all victim,guest 127.0.0.1/32 trust
host all victim 127.0.0.2/32 scram-sha-256
host all guest 127.0.0.2/32 trust
HBA

$server->sql(<<'SQL');
create role victim superuser login password 'never-sent';
create role guest login;
create table loot (who text, round int);
grant insert on loot to public;
SQL

# Opens a connection of a user that says all it has to say at once.
sub rush
{
	my ($user, $round) = @_;
	my $client = PgwireTrace::Client->new($server->side_port, '127.0.0.2');

	$client->send_bytes(startup_packet(user => $user, database => 'postgres')
		  . query("insert into loot values ('$user', $round)"));
	return $client;
}

# Returns the relays' process ids by their numbers, once all are there.
sub relay_pids
{
	my @pids;

	poll(sub {
		# all connections may be taken by clients that are gone, for a moment
		@pids = split /\n/, ($server->try_sql('select pid from pgwire_trace.stat_relay where pid > 0'
			  . ' order by relay_no'))[1];
		return @pids == $relays;
	}) or die 'relays are missing';
	return @pids;
}

my @pids = relay_pids();
is(scalar @pids, $relays, "$relays relays");

# ---- that it would be noticed ----

for my $round (1 .. 20)
{
	my $client = rush('guest', $round);
	like($client->until_ready(2, 30), qr/^R.*Z.*C?/, "round $round: a guest is let in") if $round == 1;
	$client->until_ready if $round > 1;
	$client->close;
}
cmp_ok($server->sql("select count(*) from loot where who = 'guest'"), '>=', 1,
	'a client that is let in has its query run');

# ---- stopped, killed, left alone ----

my %count = (stop => 0, kill => 0, alone => 0);
my ($turn, %deaths) = (0);
srand(4711);
for my $round (1 .. $rounds)
{
	my $delay = int(rand(4000)); # microseconds: from the accept to after the server's answer
	my $way = $round % 10 == 0 ? 'kill' : $round % 2 ? 'stop' : 'alone';

	$count{$way}++;
	if ($way eq 'kill')
	{
		# all but one are stopped, so that the one that is left takes the client, and dies of it
		my $victim = $turn++ % $relays;
		@pids = relay_pids();
		my @others = grep { $_ != $pids[$victim] } @pids;
		kill('STOP', @others);
		my $client = rush('victim', $round);
		usleep($delay);
		$client->close if $round % 20 == 0;
		kill('KILL', $pids[$victim]);
		kill('CONT', @others);
		$client->close if $round % 20;
		next;
	}
	kill('STOP', @pids) if $way eq 'stop' && $round % 4 == 1; # before the client is there
	my $client = rush('victim', $round);
	usleep($delay) if $way eq 'stop';
	kill('STOP', @pids) if $way eq 'stop' && $round % 4 == 3; # while it is being served
	usleep(200) if $way eq 'stop';
	$client->close($round % 3 == 0);
	kill('CONT', @pids) if $way eq 'stop';
}
kill('CONT', relay_pids());

# ---- at each step of a login ----

# Returns the relay that stands still, once one does.
sub stopped_relay
{
	my $stopped;
	poll(sub {
		($stopped) = grep { (eval { slurp_file("/proc/$_/stat") } // '') =~ /\) T / } relay_pids_now();
		return $stopped;
	});
	return $stopped;
}

# Returns the process ids of the relays that there are just now.
sub relay_pids_now
{
	return split /\n/, ($server->try_sql('select pid from pgwire_trace.stat_relay where pid > 0'))[1];
}

for my $step (qw(accepted packet connected claimed armed sent answered passed))
{
	my $file = $server->node->data_dir . "/pgwt_fault_relay_$step";
	my $seen = 0;

	for my $way ('kill, closed', 'kill, open', 'stop, closed', 'stop, open', 'stop and kill, closed',
		'stop and kill, open', 'stop, reset')
	{
		append_to_file("$file.new", $way =~ /^stop/ ? 'stop' : 'kill');
		rename "$file.new", $file;
		my $client = rush('victim', 0);
		$client->close if $way =~ /closed/;
		$seen++ if poll(sub { !-e $file });
		my $stopped = $way =~ /^stop/ ? stopped_relay() : undef;
		$client->close(1) if $way =~ /reset/;
		usleep(5000);
		kill($way =~ /kill/ ? 'KILL' : 'CONT', $stopped) if $stopped;
		usleep(5000);
		$client->close;
	}
	is($seen, 7, "a relay is stopped and killed when a client is $step");
}
ok($server->wait_for('select bool_and(pid > 0) from pgwire_trace.stat_relay'),
	"$rounds rounds: $count{stop} with relays stopped, $count{kill} killed, $count{alone} neither");
ok($server->wait_for_side_port, 'the side port answers');
ok($server->wait_for("select count(*) = 0 from pg_stat_activity where usename = 'victim'"),
	'no session is left of them');
is($server->sql("select count(*) from loot where who = 'victim'"), '0',
	'no query was run for a client that was not authenticated');
cmp_ok($server->sql('select sum(restarts) from pgwire_trace.stat_relay'), '>=', $count{kill} * 0.9,
	'relays died as they should');
ok($server->wait_for('select sum(sessions_open) = 0 from pgwire_trace.stat_relay'),
	'and none is left open');

$server->node->stop;
done_testing();
