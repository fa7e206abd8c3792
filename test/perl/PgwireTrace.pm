# PgwireTrace: a throwaway server that records, for the TAP tests.
#
#   my $server = PgwireTrace->start('name', conf => "pgwire_trace.capture = off\n");
#   $server->side_sql('select 1');          # through the side port
#   $server->flush;                         # everything answered is in the tables
#   is($server->sql('select ...'), '1');    # on the main port
#
# The server itself is a PostgreSQL::Test::Cluster ({node}), on TCP and on a Unix socket. Waiting is
# polling: every 50 ms, for 60 s at most. PgwireTrace::Client beside this file speaks the protocol
# byte by byte.
package PgwireTrace;

use strict;
use warnings;

use Exporter 'import';
use File::Temp ();
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PgwireTrace::Client;
use Test::More;
use Time::HiRes ();

our @EXPORT_OK = qw(poll run_client);

use constant POLL_SECONDS => 60;

# Polls until the code returns something true; returns that, or nothing after a minute.
sub poll
{
	my ($code) = @_;
	my $end = Time::HiRes::time() + POLL_SECONDS;

	while (Time::HiRes::time() < $end)
	{
		my $result = $code->();
		return $result if $result;
		Time::HiRes::usleep(50_000);
	}
	return;
}

# Runs a program with its output caught; returns exit status, output and error output.
sub run_client
{
	my ($command, %options) = @_;
	my ($out, $err) = ('', '');
	my $in = $options{stdin} // '';

	local %ENV = (%ENV, %{ $options{env} // {} });
	my @input = $in eq '' ? ('<', \undef) : ('<', \$in);
	# a client that ends before it has read everything is no reason to die
	eval {
		IPC::Run::run($command, @input, '>', \$out, '2>', \$err,
			IPC::Run::timeout($options{timeout} // 180));
		1;
	} or return (255, $out, "$err$@");
	return ($? >> 8 || $? & 127, $out, $err);
}

# Makes a server and starts it. Options: conf (more settings), fault (the build that dies on
# request), install (another installation), preload (0: without the library), extension (0: not
# created), database (recorded one), hba (contents of pg_hba.conf), initdb (more of its options),
# started (0: not).
sub start
{
	my ($class, $name, %options) = @_;
	my $install = $options{fault} ? $ENV{PGWT_FAULT_INSTALL} : $options{install};
	my @where = $install ? (install_path => $install) : ();
	my $node = PostgreSQL::Test::Cluster->new($name, @where);
	my $self = bless {
		node => $node,
		side_port => PostgreSQL::Test::Cluster::get_free_port(),
		database => $options{database} // 'postgres',
	}, $class;

	$node->init(extra => $options{initdb} // []);
	$node->append_conf('postgresql.conf', $self->_settings(%options));
	if (defined $options{hba})
	{
		unlink $node->data_dir . '/pg_hba.conf';
		$node->append_conf('pg_hba.conf', $options{hba});
	}
	return $self unless $options{started} // 1;
	$node->start;
	$self->create_extension if $options{extension} // 1;
	return $self;
}

# Returns the settings of a test server.
sub _settings
{
	my ($self, %options) = @_;
	my $conf = "listen_addresses = '127.0.0.1'\nmax_connections = 100\n"
	  . "restart_after_crash = on\nlog_statement = none\n";

	if ($options{preload} // 1)
	{
		$conf .= "shared_preload_libraries = 'pgwire_trace'\n"
		  . "pgwire_trace.listen_addresses = '127.0.0.1'\n"
		  . "pgwire_trace.port = $self->{side_port}\n"
		  . "pgwire_trace.flush_interval = 50ms\n"
		  . "pgwire_trace.database = '$self->{database}'\n";
	}
	return $conf . ($options{conf} // '');
}

# Creates the extension where the record lives, and waits until the side port answers.
sub create_extension
{
	my ($self) = @_;

	$self->node->safe_psql('postgres', "create database \"$self->{database}\"")
	  if $self->{database} ne 'postgres';
	$self->sql('create extension pgwire_trace');
	$self->wait_for_side_port;
}

# Waits until a client can log in through the side port.
sub wait_for_side_port
{
	my ($self) = @_;

	return poll(sub {
		my ($status) = run_client([ 'psql', '-XAtqc', 'select 1', $self->side_connstr ]);
		return $status == 0;
	}) // die "the side port does not answer";
}

# Compiles a library of test/modules; returns what shared_preload_libraries calls it.
sub build_module
{
	my ($name) = @_;
	my $library = PostgreSQL::Test::Utils::tempdir() . "/$name";
	my ($status, $out, $err) = run_client([ $ENV{CC} // 'cc', '-shared', '-fPIC', '-O1',
			"-I$ENV{PGWT_INCLUDE}", '-o', "$library.so", "$ENV{PGWT_MODULES}/$name.c" ]);

	die "could not compile $name: $out$err" if $status != 0;
	return $library;
}

sub node
{
	return $_[0]->{node};
}

sub side_port
{
	return $_[0]->{side_port};
}

# Returns a connection string for the side port.
sub side_connstr
{
	my ($self, $database) = @_;
	$database //= $self->{database};
	return "host=127.0.0.1 port=$self->{side_port} dbname=$database";
}

# Runs SQL on the main port in the database of the record; dies on an error.
sub sql
{
	my ($self, $sql, $database) = @_;
	return $self->node->safe_psql($database // $self->{database}, $sql);
}

# Runs SQL on the main port; returns psql's status, output, error output, also when there is no
# server.
sub try_sql
{
	my ($self, $sql, $database) = @_;
	my ($status, $out, $err) = run_client([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d',
			$self->node->connstr($database // $self->{database}), '-c', $sql ]);
	chomp $out;
	return ($status, $out, $err);
}

# Runs SQL through the side port with psql; returns its output, dies on an error.
sub side_sql
{
	my ($self, $sql, %options) = @_;
	my ($status, $out, $err) = $self->try_side_sql($sql, %options);

	die "psql through the side port failed: $err" if $status != 0;
	return $out;
}

# Runs SQL through the side port with psql; returns its status, output, error output.
sub try_side_sql
{
	my ($self, $sql, %options) = @_;
	my ($status, $out, $err) = run_client(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', $self->side_connstr($options{database}) ],
		stdin => $sql,
		env => { PGAPPNAME => $options{application} // 'psql', %{ $options{env} // {} } });
	chomp $out;
	return ($status, $out, $err);
}

# Waits until SQL on the main port gives the expected text (default t).
sub wait_for
{
	my ($self, $sql, $expected, $database) = @_;
	$expected //= 't';
	my ($out, $err);
	my $seen = poll(sub {
		(undef, $out, $err) = $self->try_sql($sql, $database);
		return $out eq $expected;
	});

	diag("waited in vain for '$expected' of: $sql\ngot: $out $err") unless $seen;
	return $seen;
}

# Waits until everything answered so far is in the tables.
sub flush
{
	my ($self) = @_;
	my ($status, $out, $err) = $self->try_sql("select pgwire_trace.flush('30 s')");

	diag("flush() said '$out' $err") unless $out eq 't';
	return $out eq 't';
}

# Returns a column of stat_relay, summed (or its greatest text) over all relays.
sub stat_relay
{
	my ($self, $column, $aggregate) = @_;
	$aggregate //= 'sum';
	return $self->sql("select $aggregate($column) from pgwire_trace.stat_relay");
}

# Returns a column of stat_writer.
sub stat_writer
{
	my ($self, $column) = @_;
	return $self->sql("select $column from pgwire_trace.stat_writer");
}

# Changes settings and waits until the server has read them; its relays have them moments later.
sub set
{
	my ($self, %settings) = @_;
	my $before = $self->sql('select clock_timestamp()');

	$self->sql("alter system set $_ = '$settings{$_}'") for sort keys %settings;
	$self->node->reload;
	return $self->wait_for("select pg_conf_load_time() > '$before'");
}

# Returns the directory of the journal.
sub journal_directory
{
	my ($self) = @_;
	return $self->{journal_directory}
	  // $self->node->data_dir . '/pgwire_trace/pgsql_tmp_journal';
}

# Returns the journal's segment files.
sub segments
{
	my ($self) = @_;
	return glob($self->journal_directory . '/*.journal');
}

# Returns how far the writer has stored, as pgwire_trace_journal wants it.
sub journal_positions
{
	my ($self) = @_;
	return split /\n/, $self->sql("select lpad(to_hex(series), 16, '0') || ':' || segment || ':' ||"
		  . ' next_offset from pgwire_trace.journal_position');
}

# Returns how many exchanges the journal holds after the given positions.
sub count_journal
{
	my ($self, @positions) = @_;
	my ($status, $out, $err) = run_client([ 'pgwire_trace_journal', (map { "--after=$_" } @positions),
		$self->journal_directory ]);

	my ($count) = $out =~ /^total exchanges=(\d+)/m;
	die "pgwire_trace_journal: $out $err" unless $status == 0 && defined $count;
	return $count;
}

# Returns how many exchanges are stored, of sessions up to the given one if there is one.
sub count_stored
{
	my ($self, $newest) = @_;
	return $self->sql('select count(*) from pgwire_trace.exchange'
		  . (defined $newest ? " where session_id <= $newest" : ''));
}

# Returns the greatest session_id that is stored.
sub newest_session
{
	my ($self) = @_;
	return $self->sql('select max(session_id) from pgwire_trace.session');
}

# Returns the postmaster's pid.
sub postmaster_pid
{
	my ($self) = @_;
	return (split /\n/, slurp_file($self->node->data_dir . '/postmaster.pid'))[0];
}

# Waits until the postmaster with this pid is gone, of itself or by a signal.
sub wait_until_down
{
	my ($self, $pid) = @_;
	my $gone = poll(sub { !kill(0, $pid) });

	# kill -9 leaves postmaster.pid behind, which _update_pid() would not have
	$self->node->{_pid} = undef if $gone;
	return $gone;
}

# Starts a server that went down by itself; its last processes may take a moment to go.
sub start_again
{
	my ($self) = @_;
	return poll(sub { $self->node->start(fail_ok => 1) }) // die 'the server does not start again';
}

# Returns the pid of a background worker; waits for it to be there.
sub worker_pid
{
	my ($self, $title) = @_;
	return poll(sub {
		my (undef, $pid) = $self->try_sql(
			"select pid from pg_stat_activity where backend_type = 'pgwire_trace $title'");
		return $pid;
	}) // die "there is no $title";
}

# Opens a raw connection to the side port.
sub connect_raw
{
	my ($self) = @_;
	return PgwireTrace::Client->new($self->{side_port});
}

# Opens a raw connection and logs in; dies if the server refuses.
sub connect_client
{
	my ($self, %parameters) = @_;
	my $client = $self->connect_raw;

	$client->login(user => $ENV{PGUSER} // scalar getpwuid($<), database => $self->{database},
		%parameters);
	return $client;
}

# Counts what the record must never show: an exchange stored twice. Also that every stored
# exchange belongs to a stored session.
sub duplicates
{
	my ($self) = @_;
	return $self->sql(<<'SQL');
select (select count(*) - count(distinct (session_id, exchange_no, part_no))
          from pgwire_trace.exchange)
     + (select count(*) from pgwire_trace.exchange e
         where not exists (select from pgwire_trace.session s where s.session_id = e.session_id))
SQL
}

1;
