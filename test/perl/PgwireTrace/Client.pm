# PgwireTrace::Client: a client of the protocol, message by message and byte by byte.
#
# It knows nothing it is not told: tests build what they send, well formed or not, and look at
# what comes back. Reading waits ten seconds at most unless told otherwise.
package PgwireTrace::Client;

use strict;
use warnings;

use Errno ();
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY SO_LINGER SOL_SOCKET);
use Time::HiRes ();

our @EXPORT_OK = qw(message startup_packet parse bind_portal execute describe_portal
  query sync_message copy_data copy_done close_statement terminate);

# ---- what a client sends ----

# Builds a message: type byte, length, body.
sub message
{
	my ($type, $body) = @_;
	$body //= '';
	return $type . pack('N', length($body) + 4) . $body;
}

# Builds a startup packet of protocol 3.0.
sub startup_packet
{
	my (@parameters) = @_;
	my $body = pack('N', 3 << 16) . join('', map { "$_\0" } @parameters) . "\0";
	return pack('N', length($body) + 4) . $body;
}

sub query { return message('Q', "$_[0]\0"); }
sub sync_message { return message('S'); }
sub parse { my ($sql, $name) = @_; return message('P', ($name // '') . "\0$sql\0" . pack('n', 0)); }

# Builds a Bind of the given parameters, all as text.
sub bind_portal
{
	my (%options) = @_;
	my @values = @{ $options{values} // [] };

	return message('B',
		($options{portal} // '') . "\0" . ($options{statement} // '') . "\0"
		  . pack('n', 0)
		  . pack('n', scalar @values)
		  . join('', map { pack('N/a', $_) } @values)
		  . pack('n', 0));
}

sub describe_portal { return message('D', "P\0"); }
sub execute { my ($rows) = @_; return message('E', "\0" . pack('N', $rows // 0)); }
sub close_statement { my ($name) = @_; return message('C', "S$name\0"); }
sub copy_data { my ($data) = @_; return message('d', $data); }
sub copy_done { return message('c'); }
sub terminate { return message('X'); }

# ---- the connection ----

# Connects to a port of the loopback interface, from an address and a port if these are given.
sub new
{
	my ($class, $port, $source, $source_port) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 10,
		$source ? (LocalAddr => $source, LocalPort => $source_port // 0) : ())
	  or die "could not connect to port $port: $!";

	$socket->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
	return bless { socket => $socket, buffer => '' }, $class;
}

sub socket { return $_[0]->{socket}; }
sub local_port { return $_[0]->{socket}->sockport; }

# Sends bytes, reading what comes meanwhile so that neither side blocks. False once the
# connection is gone.
sub send_bytes
{
	my ($self, $bytes) = @_;
	my $socket = $self->{socket};
	my $select = IO::Select->new($socket);
	my $offset = 0;
	local $SIG{PIPE} = 'IGNORE';

	$socket->blocking(0);
	while ($offset < length $bytes)
	{
		my $n = syswrite($socket, $bytes, 1 << 20, $offset);
		if (defined $n) { $offset += $n; next; }
		return 0 unless $!{EAGAIN} || $!{EINTR};
		my ($readable) = IO::Select->select($select, $select, undef, 10);
		return 0 unless defined $readable;
		$self->_fill(0) if @$readable;
	}
	return 1;
}

# Reads what there is within a time. False: nothing came, or the connection is closed.
sub _fill
{
	my ($self, $seconds) = @_;
	my $socket = $self->{socket};

	$socket->blocking(0);
	return 0 if $self->{closed};
	return 0 unless IO::Select->new($socket)->can_read($seconds);
	my $n = sysread($socket, $self->{buffer}, 1 << 16, length $self->{buffer});
	if (!defined $n)
	{
		return 1 if $!{EAGAIN} || $!{EINTR};
		$self->{reset} = 1;
	}
	$self->{closed} = 1 unless $n;
	return $n ? 1 : 0;
}

# Returns the next message as type and body; nothing if none comes.
sub receive
{
	my ($self, $seconds) = @_;
	my $end = Time::HiRes::time() + ($seconds // 10);

	while (1)
	{
		if (length $self->{buffer} >= 5)
		{
			my ($type, $length) = unpack('aN', $self->{buffer});
			if (length $self->{buffer} >= 1 + $length)
			{
				my $body = substr($self->{buffer}, 5, $length - 4);
				substr($self->{buffer}, 0, 1 + $length) = '';
				return ($type, $body);
			}
		}
		my $left = $end - Time::HiRes::time();
		return if $left <= 0 || $self->{closed};
		$self->_fill($left);
	}
}

# Returns the next byte, which is no message: the answer to SSLRequest.
sub receive_byte
{
	my ($self) = @_;
	my $end = Time::HiRes::time() + 10;

	$self->_fill(0.1) until length $self->{buffer} || $self->{closed} || Time::HiRes::time() > $end;
	return length $self->{buffer} ? substr($self->{buffer}, 0, 1, '') : undef;
}

# Reads up to the given number of ReadyForQuery (one by default); returns all messages' types as
# a string, and keeps the last error's fields.
sub until_ready
{
	my ($self, $count, $seconds) = @_;
	my $types = '';

	$count //= 1;
	while ($count > 0)
	{
		my ($type, $body) = $self->receive($seconds) or last;
		$types .= $type;
		$self->{error} = error_fields($body) if $type eq 'E';
		$count-- if $type eq 'Z';
	}
	return $types;
}

# Reads all that comes until the connection is closed; returns the types.
sub until_closed
{
	my ($self, $seconds) = @_;
	my $types = '';

	while (my ($type, $body) = $self->receive($seconds))
	{
		$types .= $type;
		$self->{error} = error_fields($body) if $type eq 'E';
	}
	return $types;
}

# Says whether the other side closes the connection within a time; what it still says is read.
sub is_closed_within
{
	my ($self, $seconds) = @_;
	my $end = Time::HiRes::time() + $seconds;

	until ($self->{closed})
	{
		my $left = $end - Time::HiRes::time();
		return 0 if $left <= 0;
		$self->_fill($left);
		$self->{seen_before_close} .= $self->{buffer};
		$self->{buffer} = '';
	}
	return 1;
}

# Returns an error's fields by their one-letter codes.
sub error_fields
{
	my ($body) = @_;
	return { map { (substr($_, 0, 1), substr($_, 1)) } grep { length } split(/\0/, $body) };
}

# Logs in with the given startup parameters; dies if that fails. Keeps pid and secret key.
sub login
{
	my ($self, %parameters) = @_;

	$self->send_bytes(startup_packet(%parameters));
	while (my ($type, $body) = $self->receive(30))
	{
		die 'refused: ' . error_fields($body)->{M} if $type eq 'E';
		($self->{pid}, $self->{key}) = unpack('Na*', $body) if $type eq 'K';
		return $self if $type eq 'Z';
	}
	die 'no answer to the startup packet';
}

# Sends a Query and returns the types of what answers it.
sub run
{
	my ($self, $sql, $seconds) = @_;
	$self->send_bytes(query($sql));
	return $self->until_ready(1, $seconds);
}

# Hangs up. `reset` makes it an RST.
sub close
{
	my ($self, $reset) = @_;

	$self->{socket}->setsockopt(SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $reset;
	CORE::close($self->{socket});
	return;
}

1;
