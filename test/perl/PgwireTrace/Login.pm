# PgwireTrace::Login: the same login on the main port and on the side port, compared.
#
#   compare_logins($server, \@rows)
#
# A row is a hash: name (of the check), user, password, host (default PgwireTrace::Net::SERVER; a pair
# of directories, the server's and the side port's, for Unix sockets), database, replication, source,
# tls (1, or a pair of certificate and key), and expect:
#
#   same              verdict, SQLSTATE and message are the same, and so is what the session is told
#                     of its client
#   [code, pattern]   the side port refuses with this SQLSTATE and a message that matches, whatever
#                     the main port does
#
# direct => 'in' or 'refused' says besides what the main port must do, so that no row passes because
# both refuse by mistake. asks => 1: the client is asked the same questions on both. without_psql => 1 leaves psql out.
package PgwireTrace::Login;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();
use PgwireTrace qw(run_client);
use PgwireTrace::Net ();
use Test::More;

our @EXPORT_OK = qw(compare_logins login_all psql_login);

# What a session knows of its client, its port last.
use constant FACTS => "select concat_ws(' ', current_user, inet_client_addr(),"
  . ' (select concat_ws(\' \', client_addr, coalesce(client_hostname, \'-\'), s.ssl,'
  . ' coalesce(s.client_dn, \'-\'), client_port = inet_client_port())'
  . ' from pg_stat_activity a join pg_stat_ssl s using (pid) where pid = pg_backend_pid()),'
  . ' inet_client_port())';

# Logs in once for each job, a hash as login.py wants it; returns what it says.
sub login_all
{
	my (@jobs) = @_;
	my $json = JSON::PP->new->canonical;
	my ($status, $out, $err) = run_client([ 'python3', "$ENV{PGWT_CLIENTS}/login.py" ],
		stdin => join('', map { $json->encode($_) . "\n" } @jobs));
	my @results = map { $json->decode($_) } split /\n/, $out;

	die "login.py: $err" if $status != 0 || @results != @jobs;
	return @results;
}

# Makes a row's job for a port.
sub job
{
	my ($row, $port, $is_side) = @_;
	my $host = $row->{host} // PgwireTrace::Net::SERVER;
	my %job = (host => ref $host ? $host->[ $is_side ? 1 : 0 ] : $host, port => $port,
		user => $row->{user}, password => $row->{password} // '');

	defined $row->{$_} and $job{$_} = $row->{$_} for qw(database replication source tls);
	$job{query} = FACTS unless ($row->{replication} // '') eq 'true';
	return \%job;
}

# Logs in with psql; returns whether it got in and what it said.
sub psql_login
{
	my ($row, $port, $is_side) = @_;
	my $job = job($row, $port, $is_side);
	my $conninfo = "host=$job->{host} port=$port user=$job->{user} dbname="
	  . ($job->{database} // 'postgres') . ' sslmode=' . ($row->{tls} ? 'require' : 'disable')
	  . (ref $row->{tls} ? " sslcert=$row->{tls}[0] sslkey=$row->{tls}[1]" : ' sslcert=none');
	my ($status, $out, $err) = run_client([ 'psql', '-XAtqc', 'select current_user', $conninfo ],
		env => { PGPASSWORD => $job->{password} });

	$err =~ s/^psql: error: .*?failed: (?:FATAL:  )?//s;
	return ($status, "$out$err");
}

# Checks a row's outcome against what is expected.
sub check
{
	my ($row, $direct, $side) = @_;
	my $name = $row->{name};

	is($direct->{verdict}, $row->{direct}, "$name: main port") if $row->{direct};
	if (ref $row->{expect})
	{
		my ($code, $pattern) = @{ $row->{expect} };
		is($side->{verdict}, 'refused', "$name: refused");
		like($side->{sqlstate} // '', ref $code ? $code : qr/^$code$/, "$name: SQLSTATE")
		  or diag(explain($side));
		like($side->{message} // '', $pattern, "$name: message");
		return;
	}
	is_deeply($side->{requests}, $direct->{requests}, "$name: asked as on the main port")
	  if $row->{asks} || $direct->{verdict} eq 'refused' && !@{ $direct->{requests} };
	my @facts = map { (split / (?=\d+$)/, $_->{row} // '')[0] // '' } $direct, $side;
	is_deeply([ @$side{qw(verdict sqlstate message)}, $facts[1] ],
		[ @$direct{qw(verdict sqlstate message)}, $facts[0] ], "$name: as on the main port")
	  or diag(explain([ $direct, $side ]));
	like($side->{row}, qr/ t \Q$side->{port}\E$/, "$name: the client's own port")
	  if $side->{row} && $side->{port};
}

# Logs in by each row on both ports, byte by byte and with psql where it can, and compares.
sub compare_logins
{
	my ($server, $rows) = @_;
	my @ports = ($server->node->port, $server->side_port);
	my @results = login_all(map { (job($_, $ports[0]), job($_, $ports[1], 1)) } @$rows);

	for my $row (@$rows)
	{
		my ($direct, $side) = splice(@results, 0, 2);
		check($row, $direct, $side);
		next if grep { $row->{$_} } qw(replication source without_psql);
		my ($main_status, $main_said) = psql_login($row, $ports[0]);
		my ($side_status, $side_said) = psql_login($row, $ports[1], 1);
		if (ref $row->{expect})
		{
			isnt($side_status, 0, "$row->{name}: psql is refused");
			like($side_said, $row->{expect}[1], "$row->{name}: and told why");
		}
		else
		{
			is("$side_status $side_said", "$main_status $main_said", "$row->{name}: psql the same");
		}
	}
	return;
}

1;
