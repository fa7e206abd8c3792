# A replay that rolls back: nothing of it stays on the target, and what can be the same is the same.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client;
use PgwireTrace::Replay;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace::Replay->start('replay_rollback');
my $target = $server->target;
my $setup = 'drop table if exists t cascade; create table t (a int primary key, b text);'
  . " insert into t select i, 'b' from generate_series(1, 10) i";

sub record
{
	my ($sql) = @_;
	$server->node->safe_psql('postgres', $setup);
	run_client([ 'psql', '-XAtq', $server->side_connstr ], stdin => $sql);
	return $server->recorded;
}

# Replays a session with every transaction rolled back; returns the run. The target is as before.
sub roll_back
{
	my ($session, $name) = @_;

	$target->safe_psql('postgres', $setup);
	my $run = $server->replay("array[$session], timing => 'asap', compare => 5,"
		  . " options => '{\"rollback\": true}'");
	is($server->of_run($run, 'unsent'), '0', "$name: nothing is unsent");
	is($target->safe_psql('postgres', "select count(*), string_agg(distinct b, ',') from t"), '10|b',
		"$name: the target is as it was");
	is($target->safe_psql('postgres', "select count(*) from pg_class where relname like 'made%'"), '0',
		"$name: nothing was made");
	return $run;
}

# What does not see its own changes again is the same.
my $same = record(<<'SQL');
select count(*) from t;
update t set b = 'c' where a = 1;
begin;
update t set b = 'd' where a = 2;
select b from t where a = 2;
commit;
begin;
insert into t values (1, 'x');
rollback;
begin;
delete from t;
end;
insert into t values (11, 'x') returning a;
insert into t values (11, 'x') on conflict do nothing;
create table made (a int);
copy t from stdin;
30	x
31	y
\.
begin \; insert into t values (50, 'x') \; commit \; select 1;
update t set b = 'e' \; select 1 / 0;
set datestyle = german;
select date '2026-01-02';
prepare p as update t set b = 'f';
execute p;
start transaction;
savepoint s;
delete from t;
rollback to s;
commit and chain;
select 2;
commit;
do $$ begin update t set b = 'g'; end $$;
select 1 \; commit;
select repeat('x', 100000);
SQL
my $run = roll_back($same, 'simple');
is($server->sql("select outcome, reason from pgwire_trace.replay_run_exchange where run_id = $run"
		  . " and outcome <> 'sent'"), 'skipped|it goes on behind the end of a transaction',
	'statements behind a commit are not sent');
is($server->verdicts($run), '14:rows 18:rows 22:rows 25:rows 31:shape',
	'but for what sees earlier changes, and a warning about no transaction, all is the same')
  or diag($server->sql("select d.*, e.query from pgwire_trace.replay_divergence d join"
	  . " pgwire_trace.exchange e using (session_id, exchange_no) where run_id = $run"));

# Drivers that prepare BEGIN and COMMIT, and pipelines.
my $client = $server->connect_client;
my $do = sub { PgwireTrace::Client::bind_portal(statement => $_[0]) . PgwireTrace::Client::execute() };
my $sync = PgwireTrace::Client::sync_message();
$server->node->safe_psql('postgres', $setup);
for my $bytes (
	PgwireTrace::Client::parse('begin', 'b') . PgwireTrace::Client::parse('commit', 'c')
	  . PgwireTrace::Client::parse("update t set b = 'h'", 'u') . $sync,
	$do->('b') . $do->('u') . $sync,
	$do->('c') . $sync,
	$do->('u') . $sync,
	$do->('b') . $do->('u') . $do->('c') . $sync)
{
	$client->send_bytes($bytes);
	$client->until_ready;
}
$client->send_bytes(($do->('u') . $sync) x 3 . PgwireTrace::Client::query("insert into t values (99, 'x')"));
$client->until_ready(4);
$client->send_bytes(PgwireTrace::Client::terminate());
$client->close;
$run = roll_back($server->recorded, 'prepared');
is($server->verdicts($run), '', 'prepared: all is the same')
  or diag($server->sql("select * from pgwire_trace.replay_divergence where run_id = $run"));

# What cannot be rolled back is not sent.
$run = roll_back(record(<<'SQL'), 'refused');
vacuum t;
create index concurrently made_index on t (b);
insert into t values (60, 'x') \; commit \; insert into t values (61, 'x');
create database made;
select 1;
drop index made_index;
drop database made;
set standard_conforming_strings = off;
select '\'' \; commit \; --'
;
SQL
is($server->sql("select string_agg(exchange_no || ':' || outcome, ' ' order by exchange_no) from"
		  . " pgwire_trace.replay_run_exchange where run_id = $run"),
	'1:skipped 2:skipped 3:skipped 4:skipped 5:sent 6:sent 7:skipped 8:sent 9:skipped', 'what cannot be rolled back');

done_testing();
