# PgwireTrace::Trace: lines of PQtrace, as libpq prints them and as trace_lines() does.
#
# A record is a message's line without its time; a string with line ends in it makes a record of
# several lines.
package PgwireTrace::Trace;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();
use PgwireTrace::Client qw(message);
use PostgreSQL::Test::Utils;

our @EXPORT_OK = qw(build_client read_records session_records trace_message);

use constant TIME => qr/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\t/;

# Builds the client program of test/clients with the installed libpq; returns its path.
sub build_client
{
	my $program = PostgreSQL::Test::Utils::tempdir() . '/pqtrace';
	my @flags = map { chomp(my $out = `$ENV{PGWT_PG_CONFIG} $_`); $out } qw(--includedir --libdir);

	system_or_bail('cc', '-o', $program, glob("$ENV{PGWT_CLIENTS}/pqtrace*.c"), "-I$flags[0]",
		"-L$flags[1]", '-lpq');
	return $program;
}

# Reads a file of PQtrace's; returns its records. Dies where a line lacks its time, or has one that
# should have none.
sub read_records
{
	my ($path, $mode) = @_;
	my $begin = $mode eq 'full' ? TIME : qr//;
	my @records;

	for my $line (split /^/m, slurp_file($path))
	{
		chomp $line;
		if ($line =~ /^$begin([FB]\t.*)/s) { push @records, $1; }
		elsif (@records) { $records[-1] .= "\n$line"; }
		else { die "no line of PQtrace's: $line"; }
	}
	return @records;
}

# Returns what trace_lines() says of a recorded session, its startup left out, exchange by exchange.
sub session_records
{
	my ($server, $session, $mode) = @_;
	my $regress = $mode eq 'full' ? 'false' : 'true';
	my $json = $server->sql(
		'select coalesce(json_agg(line order by exchange_no, no), $$[]$$) from (select distinct'
		  . " exchange_no from pgwire_trace.exchange where session_id = $session and exchange_no > 0) e,"
		  . " pgwire_trace.trace_lines($session, exchange_no, $regress) with ordinality t(line, no)");
	my @lines = @{ JSON::PP->new->utf8->decode($json) };

	return @lines unless $mode eq 'full';
	return map { my $time = TIME; s/^$time// ? $_ : die "no time: $_" } @lines;
}

# How a frontend message's fields look in a line, and what they are on the wire.
my $string = qr/ "(.*?)"/s;
my $number = qr/ (-?\d+)/;
my %frontend = (
	Query => sub { $_[0] =~ /^ "(.*)"$/s or return; return ('Q', "$1\0") },
	Sync => sub { return ('S', '') },
	Flush => sub { return ('H', '') },
	Terminate => sub { return ('X', '') },
	Describe => sub { $_[0] =~ /^ (.)$string$/ or return; return ('D', "$1$2\0") },
	Close => sub { $_[0] =~ /^ (.)$string$/ or return; return ('C', "$1$2\0") },
	Execute => sub { $_[0] =~ /^$string$number$/ or return; return ('E', "$1\0" . pack('N', $2)) },
	Parse => sub {
		my ($text, $oid) = @_;
		$text =~ /^$string "(.*)"$number((?: NNNN)*)$/s or return;
		return ('P', "$1\0$2\0" . pack('nN*', $3, ($oid) x $3));
	},
	Bind => sub {
		my ($text) = @_;
		$text =~ s/^$string$string// or return;
		my $body = "$1\0$2\0";
		for my $list ('formats', 'values', 'formats')
		{
			$text =~ s/^$number// or return;
			my $count = $1;
			$body .= pack('n', $count);
			for (1 .. $count)
			{
				$text =~ s/^$number// or return;
				my $item = $1;
				$body .= pack($list eq 'formats' ? 'n' : 'N', $item);
				next if $list eq 'formats' || $item == -1;
				$text =~ s/^ '(.{$item})'//s or return;
				$body .= $1;
			}
		}
		return ('B', $body);
	});

# Makes a frontend message of its line in regress mode; OIDs are not in there, so one is given for
# all. Returns nothing for a line that is not understood.
sub trace_message
{
	my ($record, $oid) = @_;
	my ($name, $text) = $record =~ /^F\t\d+\t(\w+)\t?(.*)$/s or return;
	my $build = $frontend{$name} or return;
	my ($type, $body) = $build->($text, $oid) or return;
	return message($type, $body);
}

1;
