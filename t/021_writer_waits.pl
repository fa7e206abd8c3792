# The writer waits where storing makes no sense, says why, and goes on by itself; nothing is lost and
# nothing comes twice.
use strict;
use warnings;

use PgwireTrace qw(poll);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('waits', extension => 0);
my $journal = $server->journal_directory;

# Runs $count queries with a mark through the side port.
sub traffic
{
	my ($mark, $count) = @_;
	return $server->side_sql(join("\n", map { "select $_ as $mark;" } 1 .. $count // 10));
}

# Checks that the queries with a mark are stored once each.
sub check_stored
{
	my ($mark, $what) = @_;
	ok($server->flush, "$what: flush() is true");
	is($server->sql("select count(*), count(distinct query) from pgwire_trace.exchange"
		  . " where query like '%as $mark;'"), '10|10', "$what: all is stored once");
	return;
}

# Returns the writer's state without the extension.
sub log_has
{
	my ($pattern) = @_;
	return poll(sub { slurp_file($server->node->logfile) =~ $pattern });
}

# ---- somebody else's tables of the same name ----

$server->sql(<<'SQL');
create role mallory;
grant create on database postgres to mallory;
set role mallory;
create schema den;
create schema pgwire_trace;
create table pgwire_trace.session (session_id bigint);
create table pgwire_trace.stored_exchange (started_at timestamptz);
create table pgwire_trace.partition (partition_no int, ended_at timestamptz);
create table pgwire_trace.query_text (query_hash bigint);
create table pgwire_trace.journal_position (series bigint primary key, segment int, next_offset bigint, next_sequence bigint);
create table pgwire_trace.quarantine (series bigint);
create table den.caught (who text);
create function den.trap() returns trigger language plpgsql as
  $$begin insert into den.caught values (current_user); return new; end$$;
create trigger trap before insert on pgwire_trace.session for each row execute function den.trap();
create trigger trap before insert on pgwire_trace.journal_position for each row execute function den.trap();
SQL
ok(log_has(qr/extension "pgwire_trace" is not in database "postgres"/), 'the writer says what it lacks');
$server->wait_for_side_port;
traffic('spoofed');
ok(!poll_briefly(sub { $server->sql('select count(*) from den.caught') > 0 }),
	'tables that are not the extension\'s are not touched');
$server->sql('drop schema pgwire_trace cascade');

# ---- the extension comes ----

$server->sql('create extension pgwire_trace');
check_stored('spoofed', 'recorded before the extension was there');
is($server->stat_writer('state'), 'idle', 'then the writer is idle');

# Polls for a second.
sub poll_briefly
{
	my ($code) = @_;
	for (1 .. 20)
	{
		return 1 if $code->();
		Time::HiRes::usleep(50_000);
	}
	return 0;
}

# ---- a lock ----

my $holder = $server->node->background_psql('postgres');
$holder->query_safe('begin; lock table pgwire_trace.exchange in access exclusive mode');
traffic('locked');
ok($server->wait_for("select state = 'waiting_lock' from pgwire_trace.stat_writer"),
	'waiting_lock is shown');
ok($server->wait_for("select lag > '0.2 s' and journal_bytes_waiting > 1000"
	  . ' from pgwire_trace.stat_writer'), 'so is what waits');
$holder->query_safe('commit');
check_stored('locked', 'after a lock');
is($server->sql('select journal_bytes_waiting, lag from pgwire_trace.stat_writer'), '0|00:00:00',
	'nothing waits any more');

# ---- a publication ----

$server->sql('create publication everything for all tables');
traffic('published');
ok($server->wait_for("select state = 'refused' from pgwire_trace.stat_writer"), 'refused is shown');
like($server->stat_writer('last_error'), qr/FOR ALL TABLES/, 'last_error says why');
my ($status, undef, $err) = $server->try_sql("select pgwire_trace.flush('5 s')");
like($err, qr/FOR ALL TABLES/, 'so does flush()');
$server->sql('drop publication everything');
check_stored('published', 'after a publication');

# ---- settings of the database ----

$server->sql(<<'SQL');
alter database postgres set default_transaction_read_only = on;
alter database postgres set default_transaction_isolation = 'serializable';
alter database postgres set exit_on_error = on;
alter database postgres set search_path = public;
alter database postgres set client_encoding = 'SQL_ASCII';
alter database postgres set lock_timeout = '1ms';
alter database postgres set DateStyle = 'German';
SQL
my $writer = $server->worker_pid('writer');
kill('TERM', $writer);
ok($server->wait_for("select pid <> $writer and state = 'idle' from pgwire_trace.stat_writer"),
	'a writer that is ended comes again');
traffic('pinned');
check_stored('pinned', 'whatever the database\'s settings');
$server->sql('set default_transaction_read_only = off; alter database postgres reset all');

# ---- the extension is made anew: what was stored before is not stored again ----

traffic('dropped');
check_stored('dropped', 'before the extension is dropped');
$server->sql('drop extension pgwire_trace');
traffic('waiting');
$server->sql('create extension pgwire_trace');
check_stored('waiting', 'recorded while there was no extension');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%as dropped;'"), '0',
	'what was dropped with the extension does not come back');

# ---- a partition that was taken away ----

my $partition = $server->sql("select inhrelid::regclass from pg_inherits"
	  . " where inhparent = 'pgwire_trace.stored_exchange'::regclass order by inhrelid desc limit 1");
$server->sql("alter table $partition no inherit pgwire_trace.stored_exchange");
traffic('detached');
check_stored('detached', 'after its partition was detached');
is($server->sql(<<'SQL'), '0', 'each partition is the extension\'s');
select count(*) from pg_inherits
 where inhparent = 'pgwire_trace.stored_exchange'::regclass
   and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = inhrelid
                                           and deptype = 'e')
SQL
is($server->sql(<<'SQL'), '0', 'and nobody else may read it');
select count(*) from pg_inherits, aclexplode((select relacl from pg_class where oid = inhrelid)) a
 where inhparent = 'pgwire_trace.stored_exchange'::regclass and a.grantee = 0
SQL

# ---- a dump leaves the record out ----

my $dump = $server->node->data_dir . '/../dump.sql';
$server->node->command_ok([ 'pg_dump', '-f', $dump, '-d', $server->node->connstr('postgres') ],
	'pg_dump runs');
like(slurp_file($dump), qr/CREATE EXTENSION .*pgwire_trace/, 'the dump has the extension');
unlike(slurp_file($dump), qr/pgwire_trace\.\w/, 'and nothing of what it recorded');

# ---- a relay dies: its sessions are ended ----

my $client = $server->connect_client;
traffic('died');
check_stored('died', 'before a relay dies');
ok($server->sql("select count(*) from pgwire_trace.session where ended_at is null") > 0,
	'a session is open');
my $relay = $server->stat_relay('pid', 'min');
kill('KILL', $relay);
ok($server->wait_for("select count(*) = 1 and bool_and(ended_at >= authenticated_at) and"
	  . " bool_and(ended_at < now()) from pgwire_trace.session where end_reason = 'relay_died'"),
	'it ends as relay_died');
is($server->sql('select count(*) from pgwire_trace.session where ended_at is null'), '0',
	'no session stays open');

# ---- the file of the ids is lost, the journal has strangers ----

my $highest = $server->newest_session;
$server->node->stop;
unlink glob("$journal/session_ids*");
# a whole segment, but of another format version
my $other = "$journal/00000000000000aa.00000001.journal";
append_to_file($other, 'PGWJURNL' . pack('V V x48', 99, 0));
# and one that is rubbish
my $rubbish = "$journal/00000000000000bb.00000001.journal";
append_to_file($rubbish, 'rubbish' x 1000);
$server->node->start;
$server->wait_for_side_port;
traffic('seeded');
check_stored('seeded', 'after the file of the ids was lost');
cmp_ok($server->newest_session, '>', $highest, 'ids go on above those that are stored');
ok(log_has(qr/the file of session ids in directory .* was missing beside recorded sessions/),
	'the log says that the file was lost');
ok(log_has(qr/segment 1 of series 00000000000000aa of the journal can't be read: it is of another format version/),
	'the log names the segment of another version');
ok(log_has(qr/segment 1 of series 00000000000000bb of the journal can't be read: its header is corrupt/),
	'the log names the corrupt one');
ok(-e $other, 'a segment of another version is left alone');
ok(poll(sub { !-e $rubbish }), 'a corrupt one is removed');

$server->node->stop;
done_testing();
