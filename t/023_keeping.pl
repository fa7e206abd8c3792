# How the record goes: by age, by size, by hand; and what happens while somebody reads it.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('keeping', fault => 1,
	conf => "pgwire_trace.storage_limit = '16MB'\npgwire_trace.request_limit = '1MB'\n");
my $clock = $server->node->data_dir . '/pgwt_fault_clock';
my $script = PostgreSQL::Test::Utils::tempdir() . '/bulk.sql';

# 200 exchanges of some 30 kB that do not compress: 6 MB a run.
append_to_file($script, "select '" . join('', map { unpack('H*', pack('N', int(rand(2**32)))) } 1 .. 3750)
	  . "' as bulk;\n");

# Runs so many loads.
sub run_load
{
	my ($count) = @_;
	for (1 .. $count)
	{
		my ($status, $out, $err) = run_client(
			[ 'pgbench', '-n', '-c', 2, '-t', 100, '-f', $script, $server->side_connstr ]);
		return 0 if $status != 0;
	}
	return 1;
}

# Returns a column of storage().
sub storage
{
	my ($column) = @_;
	return $server->sql("select $column from pgwire_trace.storage()");
}

# Returns how many tables hold exchanges.
sub partitions
{
	return $server->sql("select count(*) from pg_inherits"
		  . " where inhparent = 'pgwire_trace.stored_exchange'::regclass");
}

# ---- settings ----

is($server->sql("select retention, storage_limit from pgwire_trace.storage()"), '7 days|16777216',
	'storage() shows the settings');
my (undef, undef, $err) = $server->try_sql("alter system set pgwire_trace.storage_limit = '1MB'");
like($err, qr/The smallest limit is 16MB; -1 is no limit/, 'a limit that leaves no room is refused');

# ---- partitions ----

$server->side_sql('select 1 as first_of_all');
ok(run_load(1), 'a load');
ok($server->flush, 'is stored');
ok($server->wait_for("select count(*) > 2 from pgwire_trace.partition"),
	'a few MB make some partitions of a limit of 16 MB');
is($server->sql(<<'SQL'), '0', 'each that is ended has its indexes');
select count(*) from pgwire_trace.partition p where ended_at is not null
   and (select count(*) from pg_index where indrelid
          = to_regclass('pgwire_trace.stored_exchange_' || partition_no)) <> 5
SQL
is($server->sql(<<'SQL'), 't', 'and knows the time of its exchanges');
select bool_and(oldest <= newest and newest <= ended_at and oldest >= begun_at - interval '1 min')
  from pgwire_trace.partition where ended_at is not null
SQL
is($server->sql(<<'SQL'), '0', 'and is explained, with its columns');
select count(*) from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
   where c.relname like 'stored_exchange_%' and c.relkind = 'r'
      and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null)
SQL
is($server->sql(<<'SQL'), 't', 'long bytes are compressed by lz4 where the server has it');
select bool_and(attcompression = case when (select 'lz4' = any (enumvals) from pg_settings
                                             where name = 'default_toast_compression') then 'l' else '' end)
  from pg_attribute join pg_class on pg_class.oid = attrelid
 where relname like 'stored\_exchange%' and relkind = 'r' and attname in ('bytes', 'query')
SQL
my $ended = $server->sql('select min(partition_no) from pgwire_trace.partition');
for my $case (
	[ "sqlstate is not null", "started_at_idx1" ],
	[ "sqlstate = '22012'", "started_at_idx1" ],
	[ "started_at > '2100-01-01'", "started_at_idx" ],
	[ "query_hash = 1", "query_hash_idx" ])
{
	my ($condition, $index) = @$case;
	like($server->sql('set enable_seqscan = off; explain (costs off)'
		  . " select * from pgwire_trace.exchange where $condition"),
		qr/Index Scan.* stored_exchange_${ended}_$index\b/, "which serve: $condition");
}
like($server->sql('set enable_seqscan = off; explain (costs off) select * from'
	  . " pgwire_trace.stored_exchange_$ended where session_id = 1 and exchange_no = 0"),
	qr/Index Scan.* stored_exchange_${ended}_session_id_exchange_no_idx\b/, 'and by session');
my $by_text = $server->sql(<<'SQL');
set enable_seqscan = off; explain (costs off) select * from pgwire_trace.exchange where query_hash = any (array(
    select query_hash from pgwire_trace.query_text where normalised = 'select * from t where id = $1'))
SQL
like($by_text, qr/Scan .*query_text_normalised\b/, 'normalised text leads to the hashes of its texts');
like($by_text, qr/Scan.* stored_exchange_${ended}_query_hash_idx\b/, 'and these to the exchanges');
is(storage('partitions'), partitions(), 'storage() counts them');
is(storage('oldest = (select min(recorded_at) from pgwire_trace.exchange)'
	  . ' and newest = (select max(recorded_at) from pgwire_trace.exchange)'), 't',
	'storage() knows the oldest and the newest exchange');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%bulk%'"), '200',
	'all exchanges are there, in whatever partition');

# ---- the limit ----

ok(run_load(4), 'more than the limit');
ok($server->flush, 'is stored');
ok($server->wait_for("select bytes < 17 * 1024 * 1024 from pgwire_trace.storage()"),
	'the record does not take more than the limit and a partition');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%first_of_all%'"), '0',
	'the oldest went');
cmp_ok($server->sql("select count(*) from pgwire_trace.exchange where query like '%bulk%'"), '>', 200,
	'the newest stay');
ok($server->wait_for("select count(*) = 0 from pgwire_trace.session s where end_reason is not null and"
	  . ' ended_at < (select min(begun_at) from pgwire_trace.partition) and not exists'
	  . ' (select from pgwire_trace.exchange e where e.session_id = s.session_id)'),
	'sessions without exchanges went too');

# ---- a reader ----

my $reader = $server->node->background_psql('postgres');
$reader->query_safe('begin; select count(*) from pgwire_trace.exchange');
ok(run_load(2), 'while somebody reads, clients are served');
ok($server->wait_for("select state = 'waiting_disk' from pgwire_trace.stat_writer"),
	'what cannot be dropped stops the writer at the limit');
like($server->stat_writer('last_error'), qr/storage_limit is reached/, 'last_error says why');
cmp_ok(storage('bytes'), '<', 20 * 1024 * 1024, 'the record does not grow on');
(undef, undef, $err) = $server->try_sql("select pgwire_trace.flush('1 s')");
like($err, qr/storage_limit is reached/, 'flush() says why');
$reader->query_safe('commit');
ok($server->flush, 'when the reader is gone all is stored');
ok($server->wait_for("select bytes < 17 * 1024 * 1024 from pgwire_trace.storage()"),
	'and the limit holds');
is($server->stat_relay('exchanges_dropped_journal_full'), '0', 'nothing was dropped: the journal had room');
$reader->quit;

# ---- age ----

my $client = $server->connect_client;
$client->send_bytes(PgwireTrace::Client::parse("select 'a text of a Parse'")
	  . PgwireTrace::Client::sync_message());
$client->until_ready;
ok($server->flush, 'a session that stays open');
is($server->sql("select count(*) from pgwire_trace.query_text where query like '%text of a Parse%'"), '1',
	'its text is there');
# the clock is everybody's: what is recorded four days later is stored as of then, and kept when the rest goes
append_to_file($clock, 4 * 86400);
$server->side_sql('select 1 as day_four');
ok($server->flush, 'the clock goes four days ahead');
ok($server->wait_for("select bool_and(ended_at is not null) from pgwire_trace.partition where begun_at < now()"),
	'what takes rows for longer than a day is ended');
is($server->sql("select count(*) from pgwire_trace.exchange e join pgwire_trace.session s using (session_id)"
	  . " where query like '%day_four%' and s.started_at > now() + interval '3 days' and e.recorded_at > now() + interval '3 days'"),
	'1', 'the relay records by the same clock');
unlink $clock;
append_to_file($clock, 8 * 86400);
ok($server->wait_for("select count(*) = 0 from pgwire_trace.exchange where recorded_at < now() + interval '1 day'"),
	'four days later what is older than retention is gone');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%day_four%'"), '1', 'and nothing else');
unlink $clock;
# what is to be cleaned must be older than a day before the oldest exchange
$server->sql("update pgwire_trace.query_text set last_used = last_used - interval '3 days'"
	  . " where query like '%text of a Parse%'");
append_to_file($clock, 12 * 86400);
ok($server->wait_for("select count(*) = 0 from pgwire_trace.partition where ended_at is null"),
	'a partition that is old is ended, though no row comes');
ok($server->wait_for('select count(*) = 0 from pgwire_trace.exchange'), 'what is older than retention goes');
is(partitions(), '0', 'with its tables');
ok($server->wait_for('select bool_and(end_reason is null) from pgwire_trace.session'),
	'and its sessions, but not one that is open')
  or diag($server->sql('select session_id, ended_at, end_reason, exchange_count from pgwire_trace.session'
	  . ' order by 1'), $server->stat_writer('last_error'));
ok($server->wait_for("select count(*) = 0 from pgwire_trace.query_text where query like '%text of a Parse%'"),
	'and its texts');
unlink $clock;
$server->side_sql('select 1 as afterwards');
ok($server->flush, 'storing goes on');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%afterwards%'"), '1',
	'in a new partition');

# ---- for ever ----

$server->set('pgwire_trace.retention' => '0', 'pgwire_trace.storage_limit' => '-1');
append_to_file($clock, 800 * 86400);
$server->side_sql('select 1 as kept');
ok($server->flush, 'without limits');
is($server->sql("select count(*) from pgwire_trace.exchange where query like '%afterwards%'"), '1',
	'nothing goes, however old');
is($server->sql("select retention, storage_limit from pgwire_trace.storage()"), '00:00:00|-1',
	'storage() shows that there are none');
unlink $clock;

$client->send_bytes(PgwireTrace::Client::terminate());
$client->until_closed;
$server->node->stop;
done_testing();
