# From an older major version to this one: a replay here of what the older one recorded, and
# pg_upgrade with the extension and its record. The older one is where PGWT_OLD_INSTALL says;
# dev/other-version puts it beside a newer one.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(parse bind_portal describe_portal execute sync_message query terminate);
use PostgreSQL::Test::Utils;
use Test::More;

my $install = $ENV{PGWT_OLD_INSTALL} // '';
plan skip_all => 'there is no older PostgreSQL beside this one (dev/other-version puts one there)'
  if $install eq '';
my ($major) = `postgres --version` =~ /(\d+)/;
my ($old_major) = `$install/bin/postgres --version` =~ /(\d+)/;
cmp_ok($old_major, '<', $major, "from $old_major to $major");

my $small = "pgwire_trace.storage_limit = '16MB'\n";
my $old = PgwireTrace->start('old', install => $install, conf => $small);
is($old->sql('show server_version_num') =~ /^$old_major/ ? 'old' : 'new', 'old', 'the old one runs');

# ---- a workload, recorded on the old one ----

my $setup = <<'SQL';
drop table if exists item cascade;
drop type if exists mood;
create type mood as enum ('sad', 'happy');
create table item (id int primary key, name text, price numeric, at timestamptz, state mood);
insert into item select i, 'item ' || i, i / 7.0, '2000-01-01'::timestamptz + i * interval '1 day', 'sad'
  from generate_series(1, 200) i;
SQL

# Runs the workload through the old one's side port; returns its session.
sub work
{
	my $client = $old->connect_client(application_name => 'work');
	my @answers;

	for my $sql ('select id, name, price, at, state from item where id < 20 order by id', 'begin',
		"update item set name = 'changed', state = 'happy' where id between 10 and 12", 'select count(*) from nothing',
		'rollback', "insert into item values (1, 'again')", 'create temp table t (n int primary key, s text[])',
		'select array_agg(id order by id), max(price), jsonb_build_object(\'a\', 1) from item',
		'select state, count(*) from item group by 1; select 2',
		'do $$ begin raise notice \'noticed\'; end $$', 'copy (select * from item order by id limit 10) to stdout',
		'set datestyle to german; select at from item where id = 3', 'delete from item where id > 190',
		'select pg_typeof(1), version() ~ \'PostgreSQL\'')
	{
		push @answers, $client->run($sql);
	}
	$client->send_bytes(parse('select name, price from item where id = $1', 'one') . sync_message());
	push @answers, $client->until_ready;
	for my $id (1 .. 20)
	{
		$client->send_bytes(bind_portal(statement => 'one', values => [$id]) . describe_portal()
			  . execute() . sync_message());
		push @answers, $client->until_ready;
	}
	$client->send_bytes(terminate());
	$client->until_closed;
	$old->flush;
	return ($old->newest_session, scalar @answers);
}

$old->sql($setup);
my ($session, $answers) = work();
is($answers, 35, 'a workload on the old one');

# ---- replayed on the new one ----

my @checksums = $major >= 18 ? ('--no-data-checksums') : ();    # the default since 18
my $target = PgwireTrace->start('target', extension => 0, initdb => \@checksums,
	conf => "pgwire_trace.port = 0\nshared_preload_libraries = 'pgwire_trace'\n");
my $conninfo = 'host=' . $target->node->host . ' port=' . $target->node->port . ' dbname=postgres';
$target->sql('alter database postgres set pgwire_trace.allow_replay = on');

# Replays the session on the new one, as it was recorded but for what SQL does before; returns the run.
sub replay
{
	my ($difference) = @_;

	$target->sql($setup);
	$target->sql($difference) if $difference;
	my $run = $old->sql("select pgwire_trace.replay_start('$conninfo', array[$session], timing => 'asap')");
	is($old->sql("select pgwire_trace.replay_wait($run, '60 s')"), 't', "run $run ends");
	is($old->sql("select state, sent, captured - sent from pgwire_trace.replay_run where run_id = $run"),
		"finished|$answers|0", 'everything is sent');
	return $run;
}

# Returns the verdicts of a run.
sub verdicts
{
	my ($run) = @_;
	return $old->sql("select coalesce(string_agg(exchange_no || ':' || verdict, ' ' order by exchange_no,"
		  . " statement_no), '') from pgwire_trace.replay_divergence where run_id = $run");
}

is(verdicts(replay()), '', "recorded on $old_major, replayed on $major: no divergence");
is(verdicts(replay("update item set name = 'other' where id = 2")), '1:data 11:data 17:data', 'a row that differs is seen where it is read');

# ---- pg_upgrade ----

my $script = PostgreSQL::Test::Utils::tempdir() . '/bulk.sql';

# incompressible, so that there is more than one partition
append_to_file($script, "select '" . join('', map { unpack('H*', pack('N', int(rand(2**32)))) } 1 .. 3750)
	  . "' as bulk;\n");
my ($status, $out, $err) = run_client([ 'pgbench', '-n', '-c', 2, '-t', 100, '-f', $script, $old->side_connstr ]);
is($status, 0, 'a load');
$old->side_sql("select 'kept' as before_upgrade");
ok($old->flush, 'is stored');
ok($old->wait_for('select count(*) > 1 from pgwire_trace.partition'), 'there are partitions');

# What is recorded of sessions up to the given one: counts, sums, and what the reading functions make
# of it, of the workload message by message.
sub account
{
	my ($server, $newest) = @_;
	return $server->sql(<<"SQL");
select count(*), count(distinct session_id), sum(response_bytes), md5(string_agg(concat(query, kind,
       command_tag, sqlstate, started_at, duration_us), chr(10) order by session_id, exchange_no)),
       md5(string_agg(response, '' order by session_id, exchange_no)),
       (select md5(string_agg(m::text, '' order by exchange_no, message_no)) from pgwire_trace.messages($session) m),
       (select md5(string_agg(line, '' order by no)) from pgwire_trace.psql_script($session)
               with ordinality as s(line, no)),
       (select md5(string_agg(s::text, '' order by exchange_no, statement_no)) from pgwire_trace.statement s
         where session_id = $session),
       (select md5(string_agg(d::text, '' order by d::text)) from pgwire_trace.replay_divergence d)
  from pgwire_trace.exchange where session_id <= $newest
SQL
}

my $highest = $old->newest_session;
my $before = account($old, $highest);
my $partitions = $old->sql('select count(*) from pgwire_trace.partition');
my $type = $old->sql("select 'mood'::regtype::oid");
($status, $out, $err) = run_client([ 'pg_dump', '-d', $old->node->connstr('postgres') ]);
is($status, 0, "the new one's pg_dump dumps the old one") or diag($err);
unlike($out, qr/before_upgrade|stored_exchange/, 'without the record');
$old->node->stop;
$target->node->stop;

my $new = PgwireTrace->start('new', started => 0, conf => $small, initdb => \@checksums);
my $work = PostgreSQL::Test::Utils::tempdir();
chdir $work or die "could not change to $work: $!";
($status, $out, $err) = run_client([
	'pg_upgrade', '--no-sync',
	'-d', $old->node->data_dir, '-D', $new->node->data_dir, '-b', "$install/bin",
	'-B', $new->node->config_data('--bindir'),
	'-s', $new->node->host, '-p', $old->node->port, '-P', $new->node->port ]);
my @logs = glob($new->node->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_dump_*.log');
my $log = join('', map { slurp_file($_) } @logs);
SKIP:
{
	# The minor releases of November 2026 mark columns in a way that only their own pg_dump knows.
	skip 'this PostgreSQL is older than the minor release of the old one, which it cannot upgrade', 1
	  if $log =~ /unrecognized parameter "pg_attver"/;
	is($status, 0, "pg_upgrade from $old_major to $major") or BAIL_OUT("$out$err$log");
	check_upgraded();
}
done_testing();

# Checks the new server, which was upgraded from the old one.
sub check_upgraded
{
	$new->node->start;
	ok($new->wait_for_side_port, 'the side port answers');
	ok($new->flush, 'the writer stores');
	is(account($new, $highest), $before, 'the record is the same, read in all ways');
	cmp_ok($new->sql('select count(*) from pgwire_trace.partition'), '>=', $partitions, 'so are the partitions');
	is($new->sql("select 'mood'::regtype::oid"), $type, 'the types of users have kept their numbers');
	cmp_ok($new->newest_session, '>', $highest, 'session ids go on above those that are stored');
	is($new->sql(<<'SQL'), '0', 'each partition is the extension\'s');
select count(*) from pg_inherits
 where inhparent = 'pgwire_trace.stored_exchange'::regclass
   and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = inhrelid
                                           and deptype = 'e')
SQL
	$new->side_sql("select 'new' as after_upgrade");
	ok($new->flush, 'traffic after it');
	is($new->sql("select count(*) from pgwire_trace.log where query ~ '(before|after)_upgrade'"), '2',
		'is stored beside that of before');
	is($new->duplicates, '0', 'nothing is there twice');
	($status, $out, $err) = run_client([ 'pg_dump', '-d', $new->node->connstr('postgres') ]);
	unlike($out, qr/after_upgrade|stored_exchange/, 'pg_dump still leaves the record out');
	ok($new->sql("select pgwire_trace.purge(now() + interval '1 day')") > 200, 'it can be purged');
	$new->sql('drop extension pgwire_trace; create extension pgwire_trace');
	$new->side_sql("select 'again'", application => 'again');
	ok($new->flush, 'dropped and made again, the extension records');
	is($new->sql("select count(*) from pgwire_trace.session where application_name = 'again'"), '1', 'as before');

	$new->node->stop;
	return;
}
