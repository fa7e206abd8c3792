# DDL that concerns the record's own database, under traffic: nothing blocks, the writer comes and
# goes by itself, the relay goes on forwarding.
use strict;
use warnings;

use IPC::Run ();
use PgwireTrace qw(run_client);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('ddl', database => 'recorded');
my $node = $server->node;
my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';

append_to_file($script, "select :client_id as load;\n\\sleep 1 ms\n");

# Traffic all the time, in a database that no DDL is about.
my ($load_out, $load_err) = ('', '');
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 4, '-T', 3600, '-f', $script, $server->side_connstr('postgres') ],
	'<', \undef, '>', \$load_out, '2>', \$load_err);

# Runs SQL on the main port with a bound on its time; returns psql's status and error output.
sub bounded_sql
{
	my ($database, $sql) = @_;
	my ($status, $out, $err) = run_client(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database) ],
		stdin => "set statement_timeout = '20s';\n$sql", timeout => 60);
	return wantarray ? ($status, $err) : $status;
}

# Checks that SQL runs in time while the traffic goes on.
sub runs
{
	my ($name, $database, $sql) = @_;
	my ($status, $err) = bounded_sql($database, $sql);
	is($status, 0, "$name does not block") or diag($err);
	return;
}

# Checks that traffic is being forwarded and, with the extension there, stored.
sub goes_on
{
	my ($name) = @_;

	is($server->side_sql("select 'still here'", database => 'postgres'), 'still here',
		"$name: the relay forwards");
	ok($load->pumpable, "$name: no client of the load gave up");
	return;
}

# Checks that the writer stores again.
sub stores
{
	my ($name) = @_;

	ok($server->wait_for("select state in ('idle', 'running') from pgwire_trace.stat_writer"),
		"$name: the writer is back");
	$server->side_sql("select '$name is recorded'", database => 'postgres');
	ok($server->flush, "$name: flush()");
	is($server->sql("select count(*) from pgwire_trace.exchange where query ="
		  . " 'select ''$name is recorded'''"), '1', "$name: traffic is stored");
	return;
}

goes_on('at first');
stores('at first');

# ---- DROP and CREATE EXTENSION ----

runs('DROP EXTENSION, rolled back', 'recorded', 'begin; drop extension pgwire_trace cascade; rollback');
goes_on('DROP EXTENSION, rolled back');
stores('DROP EXTENSION, rolled back');
my $session = $server->newest_session;

runs('DROP EXTENSION', 'recorded', 'drop extension pgwire_trace');
goes_on('DROP EXTENSION');
runs('CREATE EXTENSION, rolled back', 'recorded', 'begin; create extension pgwire_trace; rollback');
goes_on('CREATE EXTENSION, rolled back');
runs('CREATE EXTENSION', 'recorded', 'create extension pgwire_trace');
goes_on('CREATE EXTENSION');
stores('CREATE EXTENSION');
cmp_ok($server->newest_session, '>', $session, 'session ids are not used again');

# Traffic of the time without the extension waited in the journal.
ok($server->wait_for("select count(*) = 0 from (select session_id from pgwire_trace.exchange"
	  . ' group by session_id having count(*) <> count(distinct (exchange_no, part_no))) twice'),
	'nothing is stored twice');

# ---- the database itself ----

runs('CREATE DATABASE TEMPLATE, of the recorded one', 'postgres',
	'create database copied template recorded');
goes_on('CREATE DATABASE TEMPLATE');
stores('CREATE DATABASE TEMPLATE');
my $writer_database = $server->sql("select datname from pg_stat_activity"
	  . " where backend_type = 'pgwire_trace writer'");
is($writer_database, 'recorded', 'the writer is where it should be');

# A command that fails after the writer was made to leave. CREATE DATABASE cannot be rolled back in
# a transaction block; an error is its rollback.
my ($status, $err) = bounded_sql('postgres', 'create database copied template recorded');
isnt($status, 0, 'CREATE DATABASE of a name that exists fails');
stores('after a failed CREATE DATABASE TEMPLATE');

runs('ALTER DATABASE RENAME', 'postgres', 'alter database recorded rename to elsewhere');
goes_on('ALTER DATABASE RENAME');
ok($server->wait_for("select state = 'waiting_extension' from pgwire_trace.stat_writer", 't',
		'elsewhere'), 'the writer waits for its database');
runs('renamed back', 'postgres', 'alter database elsewhere rename to recorded');
stores('renamed back');

($status, $err) = bounded_sql('postgres', "begin; alter database recorded rename to elsewhere; rollback");
is($status, 0, 'RENAME, rolled back, does not block') or diag($err);
stores('RENAME, rolled back');

runs('DROP DATABASE', 'postgres', 'drop database recorded');
goes_on('DROP DATABASE');
runs('CREATE DATABASE', 'postgres', 'create database recorded');
runs('CREATE EXTENSION in the new database', 'recorded', 'create extension pgwire_trace');
stores('CREATE EXTENSION in the new database');

runs('DROP DATABASE of the copy', 'postgres', 'drop database copied');
runs('a backend-wide barrier', 'postgres',
	"create tablespace nothing location '" . PostgreSQL::Test::Utils::tempdir() . "';"
	  . ' drop tablespace nothing');

# ---- CREATE EXTENSION where nothing is recorded ----

(undef, undef, $err) = $server->try_sql('create extension pgwire_trace', 'postgres');
like($err, qr/recorded/, 'CREATE EXTENSION in another database says which one is recorded');

$load->signal('INT');
$load->finish;
unlike($load_err, qr/error|aborted/i, 'no client of the load saw an error');
is($server->stat_relay('restarts'), '0', 'no relay died');
unlike(slurp_file($node->logfile), qr/terminating any other active server processes/,
	'the cluster was not restarted');
$node->stop;
done_testing();
