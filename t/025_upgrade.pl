# pg_upgrade takes the record along: partitions, their membership in the extension, and the ids go on.
use strict;
use warnings;

use PgwireTrace qw(run_client);
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PgwireTrace->start('old', conf => "pgwire_trace.storage_limit = '16MB'\n");
my $script = PostgreSQL::Test::Utils::tempdir() . '/bulk.sql';

# incompressible, so that there is more than one partition
append_to_file($script, "select '" . join('', map { unpack('H*', pack('N', int(rand(2**32)))) } 1 .. 3750)
	  . "' as bulk;\n");
my ($status) = run_client([ 'pgbench', '-n', '-c', 2, '-t', 100, '-f', $script, $old->side_connstr ]);
is($status, 0, 'a load');
$old->side_sql("select 'kept' as before_upgrade");
ok($old->flush, 'is stored');
ok($old->wait_for('select count(*) > 1 from pgwire_trace.partition'), 'there are partitions');
my $account = 'select count(*), count(distinct session_id), sum(response_bytes), md5(string_agg(query,'
  . ' chr(10) order by session_id, exchange_no)) from pgwire_trace.exchange';
my $before = $old->sql($account);
my $partitions = $old->sql('select count(*) from pgwire_trace.partition');
my $highest = $old->newest_session;
$old->node->stop;

my $new = PgwireTrace->start('new', started => 0, conf => "pgwire_trace.storage_limit = '16MB'\n");
my $bindir = $old->node->config_data('--bindir');
my $work = PostgreSQL::Test::Utils::tempdir();
my ($code, $out, $err);
{
	chdir $work or die "could not change to $work: $!";
	($code, $out, $err) = run_client([
		'pg_upgrade', '--no-sync',
		'-d', $old->node->data_dir, '-D', $new->node->data_dir, '-b', $bindir, '-B', $bindir,
		'-s', $new->node->host, '-p', $old->node->port, '-P', $new->node->port ]);
}
is($code, 0, 'pg_upgrade runs') or diag($out . $err);
$new->node->start;
ok($new->wait_for_side_port, 'the side port answers');
ok($new->flush, 'the writer stores');
is($new->sql("$account where session_id <= $highest"), $before, 'the record is the same');
cmp_ok($new->newest_session, '>', $highest, 'session ids go on above those that are stored');
cmp_ok($new->sql('select count(*) from pgwire_trace.partition'), '>=', $partitions, 'so are the partitions');
is($new->sql(<<'SQL'), '0', 'each is the extension\'s');
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
$new->sql('drop extension pgwire_trace');
is($new->sql("select count(*) from pg_class where relnamespace = 'pgwire_trace'::regnamespace"), '0',
	'the extension can be dropped with all of it');

$new->node->stop;
done_testing();
