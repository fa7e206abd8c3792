# PgwireTrace::Hostile: a server that says whatever a test wants it to.
#
#   my $stub = PgwireTrace::Hostile->start(silent => sub { my ($peer) = @_; $peer->wait_for_end });
#   ... host=127.0.0.1 port=$stub->port dbname=silent ...
#   $stub->stop;
#
# The database that a client names in its startup packet is the behaviour that it gets: a
# subroutine, run in a process of its own, that is given the connection. Names that begin with
# "login_" take over at the startup packet; "check_" behind a login without a password, when the
# replay asks whether the target agrees; the others at the first recorded message.
package PgwireTrace::Hostile;

use strict;
use warnings;

use IO::Socket::INET;
use PgwireTrace::Client qw(message);
use POSIX ();
use Time::HiRes ();

# Starts the server; behaviours by their names.
sub start
{
	my ($class, %behaviours) = @_;
	my $socket = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		Listen => 64,
		ReuseAddr => 1) or die "could not listen: $!";
	my $self = bless { socket => $socket, port => $socket->sockport, owner => $$ }, $class;

	$self->{pid} = fork() // die "could not fork: $!";
	if ($self->{pid} == 0)
	{
		_serve($socket, \%behaviours);
		POSIX::_exit(0);
	}
	close($socket);
	return $self;
}

# Returns the body of the message that was read last.
sub body { return $_[0]{body}; }

sub port { return $_[0]{port}; }

# Ends the server, and all that it has forked.
sub stop
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	kill 'TERM', -$self->{pid};
	waitpid($self->{pid}, 0);
	$self->{pid} = 0;
	return;
}

sub DESTROY { my ($self) = @_; local $?; $self->stop; return; }

# Accepts connections, each of which gets a process.
sub _serve
{
	my ($socket, $behaviours) = @_;

	setpgrp(0, 0);
	local $SIG{CHLD} = 'IGNORE';
	local $SIG{PIPE} = 'IGNORE';
	local $SIG{TERM} = sub { POSIX::_exit(0) };
	for (;;)
	{
		my $peer = $socket->accept or next;
		my $pid = fork() // next;

		if ($pid == 0)
		{
			close($socket);
			eval { _answer($peer, $behaviours) };
			POSIX::_exit(0);
		}
		close($peer);
	}
	return;
}

# Logs a client in, and behaves.
sub _answer
{
	my ($peer, $behaviours) = @_;
	my $self = bless { peer => $peer }, __PACKAGE__;
	my $length = unpack('N', $self->read_bytes(4));
	my %parameters = split /\0/, substr($self->read_bytes($length - 4), 4);
	my $name = $parameters{database} // '';

	die "no behaviour $name" unless $behaviours->{$name};
	unless ($name =~ /^login_/)
	{
		$self->say_ready;
		$self->read_message;
		$self->agree if $self->body =~ /allow_replay/ && $name !~ /^check_/;
	}
	$behaviours->{$name}->($self, \%parameters);
	return;
}

# Says that the login is through.
sub say_ready
{
	my ($self) = @_;
	return $self->put(message('R', pack('N', 0)), message('S', "server_version\00015.0\0"),
		message('K', pack('NN', $$, 4711)), message('Z', 'I'));
}

# Answers whether it agrees to a replay, and what types it has; then reads the first message.
sub agree
{
	my ($self) = @_;
	my $done = message('C', "SELECT 1\0");

	$self->put(row_description('agrees', 'started'), data_row('on', '0'), $done);
	$self->put(row_description('type_oid', 'name'), $done) if $self->body =~ /;/;
	$self->put(message('Z', 'I'));
	return $self->read_message;
}

# Sends bytes; dies when the client is gone.
sub put
{
	my ($self, @bytes) = @_;
	my $bytes = join('', @bytes);

	for (my $at = 0; $at < length($bytes);)
	{
		my $sent = syswrite($self->{peer}, $bytes, length($bytes) - $at, $at);
		die "gone\n" unless defined $sent;
		$at += $sent;
	}
	return;
}

# Sends bytes again and again, until the client is gone.
sub put_forever
{
	my ($self, @bytes) = @_;
	my $bytes = join('', @bytes);

	$self->put($bytes) for 0 .. 1 << 40;
	return;
}

# Reads so many bytes; dies when the client is gone.
sub read_bytes
{
	my ($self, $length) = @_;
	my $bytes = '';

	while (length($bytes) < $length)
	{
		sysread($self->{peer}, $bytes, $length - length($bytes), length($bytes)) or die "gone\n";
	}
	return $bytes;
}

# Reads a message; returns its type.
sub read_message
{
	my ($self) = @_;
	my ($type, $length) = unpack('aN', $self->read_bytes(5));

	$self->{body} = $self->read_bytes($length - 4);
	return $type;
}

# Reads, and throws away, until the client is gone.
sub wait_for_end
{
	my ($self) = @_;
	$self->read_bytes(1) for 0 .. 1 << 40;
	return;
}

# Answers a query with a row of one value.
sub say_row
{
	my ($self, $value) = @_;
	return $self->put(row_description('a'), data_row($value), message('C', "SELECT 1\0"), message('Z', 'I'));
}

# ---- messages of a server ----

sub row_description
{
	my (@names) = @_;
	return message('T', pack('n', scalar @names) . join('', map { "$_\0" . pack('NnNnNn', 0, 0, 23, 4, 0xffffffff, 0) } @names));
}

sub data_row { return message('D', pack('n', scalar @_) . join('', map { pack('N/a', $_) } @_)); }

# An ErrorResponse, or a NoticeResponse.
sub error_fields
{
	my ($type, $severity, $code, $text) = @_;
	return message($type, "S$severity\0V$severity\0C$code\0M$text\0\0");
}

1;
