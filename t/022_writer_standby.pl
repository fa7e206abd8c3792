# A standby records into its journal and stores once it is promoted; not under its primary's node_id.
use strict;
use warnings;

use PgwireTrace qw(run_client poll);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PgwireTrace->start('primary',
	conf => "wal_level = replica\nmax_wal_senders = 5\nhot_standby = on\n");
$primary->side_sql('select 1 as before_backup');
ok($primary->flush, 'the primary has a record');

my $backup = $primary->node->backup_dir . '/b';
$primary->node->backup('b');
is(scalar(my @left = glob("$backup/pgwire_trace/pgsql_tmp_journal/*")), 0,
	'a base backup leaves the journal out');

my $standby = PostgreSQL::Test::Cluster->new('standby');
my $side_port = PostgreSQL::Test::Cluster::get_free_port();
$standby->init_from_backup($primary->node, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', "pgwire_trace.port = $side_port\n");
$standby->start;

# Runs SQL through the standby's side port.
sub traffic
{
	my ($sql) = @_;
	return poll(sub {
		my ($status) = run_client([ 'psql', '-XAtqc', $sql,
			"host=127.0.0.1 port=$side_port dbname=postgres" ]);
		return $status == 0;
	});
}

# Waits until SQL on the standby gives t.
sub standby_has
{
	my ($sql) = @_;
	return $standby->poll_query_until('postgres', $sql);
}

ok(traffic("select 1 as stolen_id"), 'clients get through');
ok(standby_has("select state = 'standby' and last_error like '%pgwire_trace.node_id%'"
	  . ' from pgwire_trace.stat_writer'), 'with its primary\'s node_id it does not record, and says so');
is($standby->safe_psql('postgres', 'select sum(exchanges_finished) from pgwire_trace.stat_relay'), '0',
	'nothing was recorded');

$standby->append_conf('postgresql.conf', "pgwire_trace.node_id = 5\n");
$standby->restart;
ok(traffic('select 1'), 'clients get through');
ok(standby_has("select state = 'standby' from pgwire_trace.stat_writer"), 'standby is shown');
ok(poll(sub {
	traffic("select 1 as on_standby");
	return $standby->safe_psql('postgres',
		'select sum(exchanges_journalled) > 0 from pgwire_trace.stat_relay') eq 't';
}), 'with its own node_id it records into its journal');
my $stderr = '';
$standby->psql('postgres', 'select pgwire_trace.flush()', stderr => \$stderr);
like($stderr, qr/recovery/, 'flush() says that nothing can be stored');
ok(standby_has("select journal_bytes_waiting > 0 and lag > '0 s' from pgwire_trace.stat_writer"),
	'what waits is shown');

$standby->promote;
is($standby->safe_psql('postgres', "select pgwire_trace.flush('30 s')"), 't', 'after promotion it stores');
is($standby->safe_psql('postgres', "select count(*) > 0, min(session_id) >> 48, max(session_id) >> 48"
	  . " from pgwire_trace.exchange where query like '%on_standby%'"), 't|5|5', 'under its own ids');
is($standby->safe_psql('postgres', "select count(*) from pgwire_trace.exchange"
	  . " where query like '%before_backup%'"), '1', 'beside what its primary had stored');
ok(traffic('select 1 as after_promotion'), 'clients get through');
is($standby->safe_psql('postgres', "select pgwire_trace.flush('30 s')"), 't', 'and it goes on');
is($standby->safe_psql('postgres', "select count(*) from pgwire_trace.exchange"
	  . " where query like '%after_promotion%'"), '1', 'storing what comes');

$standby->stop;
$primary->node->stop;
done_testing();
