# Captures of others (../shared/corpora/pcap, optional): logins, TLS, broken messages, other protocols
# on a PostgreSQL port. Whatever was on the wire is rows, says where sense ended, and is encoded to
# the same bytes again; thrown at the side port it harms nobody.
use strict;
use warnings;

use PgwireTrace;
use PostgreSQL::Test::Utils;
use Test::More;

my $captures = ($ENV{PGWT_CORPORA} // '') . '/pcap';
plan skip_all => "there are no captures in ../shared/corpora/pcap" unless -d $captures;

# Returns the TCP segments of a capture (little-endian pcap of Ethernet frames): source, target,
# sequence number, flags, payload.
sub segments
{
	my ($path) = @_;
	my $data = slurp_file($path);
	my $at = 24;
	my @segments;

	die "$path is no pcap of Ethernet frames" unless $data =~ /^\xd4\xc3\xb2\xa1.{16}\x01\0\0\0/s;
	while ($at < length $data)
	{
		my $size = unpack 'V', substr($data, $at + 8, 4);
		my $frame = substr $data, $at + 16, $size;
		my $type = unpack 'n', substr($frame, 12, 2);
		my $ip = substr $frame, 14;
		my ($header, $whole, $source, $target);

		$at += 16 + $size;
		if ($type == 0x0800)
		{
			($header, $whole) = ((unpack('C', $ip) & 15) * 4, unpack('n', substr($ip, 2, 2)));
			($source, $target) = (substr($ip, 12, 4), substr($ip, 16, 4));
		}
		elsif ($type == 0x86dd)
		{
			($header, $whole) = (40, 40 + unpack('n', substr($ip, 4, 2)));
			($source, $target) = (substr($ip, 8, 16), substr($ip, 24, 16));
		}
		else { next; }

		my $tcp = substr $ip, $header, $whole - $header;
		my ($from, $to, $sequence) = unpack 'nnN', $tcp;
		my ($offset, $flags) = unpack 'CC', substr($tcp, 12, 2);
		push @segments, {source => unpack('H*', $source) . ":$from", target => unpack('H*', $target) . ":$to",
			from => $from, to => $to, sequence => $sequence, flags => $flags,
			payload => substr($tcp, ($offset >> 4) * 4)};
	}
	return @segments;
}

# Returns the connections of a capture: what the client and what the server sent, as far as it is
# there without a hole.
sub connections
{
	my ($path) = @_;
	my (%streams, @order);

	for my $segment (segments($path))
	{
		my $way = "$segment->{source} $segment->{target}";
		my $stream = $streams{$way};

		if (!$stream)
		{
			# the first segment, SYN or not, says where the stream begins
			$stream = $streams{$way} = {bytes => '', is_server => $segment->{from} =~ /^1?5432$/ ? 1 : 0,
				next => $segment->{sequence} + ($segment->{flags} & 2 ? 1 : 0),
				other => "$segment->{target} $segment->{source}"};
			push @order, $way;
		}
		my $old = $stream->{next} - $segment->{sequence}; # bytes that came before
		next if $old < 0 || $old >= length $segment->{payload};
		$stream->{bytes} .= substr $segment->{payload}, $old;
		$stream->{next} += length($segment->{payload}) - $old;
	}
	return map { +{client => $streams{$_}{bytes}, server => $streams{$streams{$_}{other}}{bytes} // ''} }
	  grep { !$streams{$_}{is_server} } @order;
}

my $server = PgwireTrace->start('corpora');
my $pid = $server->sql("select pid from pgwire_trace.stat_relay");

# Decodes a stream; returns the names in order, and checks what holds for any.
sub decode
{
	my ($what, $bytes, $direction, $phase) = @_;
	my $literal = "'\\x" . unpack('H*', $bytes) . "'::bytea";
	my $messages = "pgwire_trace.decode_messages($literal, '$direction', '$phase') as m";

	is($server->sql("select string_agg(pgwire_trace.encode_message('$direction', name, body), ''"
		  . " order by message_no) filter (where not body ? 'truncated')"
		  . " is not distinct from nullif(substr($literal, 1, coalesce(min(at_byte)"
		  . " filter (where body ? 'truncated'), length($literal))::int), '') from $messages"),
		't', "$what: encoded to the same bytes");
	return join ' ', split /\n/, $server->sql("select m.name || case when m.body ?| '{truncated,malformed}'"
		  . " then '!' || at_byte else '' end from $messages order by message_no");
}

# What is to be seen of a connection: client, then server.
my %expected = (
	'bad-backend-message-1' => ['StartupMessage', 'Opaque'],
	'bad-startup-message-1' => ['Opaque', 'ErrorResponse!0 Opaque!21'],
	'http-on-port-5432' => ['Opaque', 'Opaque'],
	'mysql-on-port-5432' => ['Opaque', 'EmptyQueryResponse!0 Unknown Opaque'],
	# a TLS record after the answer: a length that does not end here
	'psql-aws-ssl-require' => ['SSLRequest Opaque', 'SSLResponse Unknown!1'],
	'psql-login-no-role' => ['SSLRequest StartupMessage', 'SSLResponse AuthenticationOk ErrorResponse'],
);
my (%names, $connections);
for my $path (sort { $a cmp $b } glob "$captures/*.pcap")
{
	my ($name) = $path =~ m{([^/]+)\.pcap$};

	for my $connection (connections($path))
	{
		my $phase = $connection->{client} =~ /^\0\0\0\x08\x04\xd2\x16\x2f/ ? 'ssl_answer' : 'normal';
		my $client = decode("$name, client", $connection->{client}, 'F', 'startup');
		my $answers = decode("$name, server", $connection->{server}, 'B', $phase);

		$connections++;
		note("$name: $client | $answers");
		$names{$_}++ for split / /, "$client $answers";
		is_deeply([$client, $answers], $expected{$name}, "$name: says where sense ends")
		  if $expected{$name};
		like($client, qr/^(SSLRequest )?StartupMessage.* Query.* Terminate$/,
			"$name: a session from its begin to its end") if $name =~ /^psql-(select|create|insert)/;
		like($answers, qr/AuthenticationOk .*ReadyForQuery .*CommandComplete ReadyForQuery/,
			"$name: and its answers") if $name =~ /^psql-(select|create|insert)/;
	}
}
cmp_ok($connections, '>=', 18, 'every capture holds a connection');
ok($names{$_}, "there is a $_")
  for qw(AuthenticationSASL AuthenticationSASLFinal AuthenticationMD5Password BackendKeyData
  ParameterStatus RowDescription DataRow CommandComplete ErrorResponse);

# ---- at the side port ----

my $unended = 0;
for my $path (sort { $a cmp $b } glob "$captures/*.pcap")
{
	for my $connection (connections($path))
	{
		for my $bytes ($connection->{client}, $connection->{server})
		{
			my $client = $server->connect_raw;

			$client->socket->syswrite($bytes);
			shutdown $client->socket, 1;
			$unended++ unless $client->is_closed_within(30);
			$client->close;
		}
	}
}
is($unended, 0, 'every connection ends');
is($server->sql('select pid, restarts from pgwire_trace.stat_relay'), "$pid|0",
	'the relay outlives them all');
is($server->side_sql('select 1'), '1', 'and serves others');

done_testing();
