# PgwireTrace::Net: runs a test in a network namespace of its own, with addresses to come from.
#
#   use PgwireTrace::Net;     # before anything else of the test
#
# The test starts itself again inside a user, network and mount namespace, as the same user; where
# the kernel does not allow that, it is skipped. Inside, a client that connects to SERVER comes from
# CLIENT, and so on for each pair below; other sources can be bound to. /etc/hosts names them, and
# /etc/pam.d holds what the test writes there (PAM_DIRECTORY).
package PgwireTrace::Net;

use strict;
use warnings;

use constant {
	SERVER => '10.77.0.1',       # connecting here, one comes from
	CLIENT => '10.77.0.2',       # this address; it is named client.example.test
	FAR_SERVER => '10.88.0.1',
	FAR_CLIENT => '10.88.0.2',   # in no network that the host has an address in
	SERVER6 => 'fd77::1',
	CLIENT6 => 'fd77::2',
	OWN => '10.99.0.1',          # from here to here, as it is with any address of a host
};

my $setup = <<'SH';
set -e
uid=$1 gid=$2 directory=$3
shift 3
ip link set lo up
ip address add 10.77.0.1/24 dev lo
ip address add 10.77.0.2/24 dev lo
ip address add 10.88.0.1/32 dev lo
ip address add 10.88.0.2/32 dev lo
ip address add 10.99.0.1/32 dev lo
ip -6 address add fd77::1/64 dev lo nodad
ip -6 address add fd77::2/64 dev lo nodad
ip -6 address add fe80::77/64 dev lo nodad
ip route replace local 10.77.0.1 dev lo table local src 10.77.0.2
ip route replace local 10.88.0.1 dev lo table local src 10.88.0.2
ip -6 route replace local fd77::1 dev lo table local src fd77::2
printf '%s\n' '127.0.0.1 localhost' '::1 localhost' '10.77.0.2 client.example.test' \
	'10.77.0.1 server.example.test' '10.88.0.2 wrong.example.test' \
	'10.88.0.9 wrong.example.test' > "$directory/hosts"
mkdir -p "$directory/pam.d"
mount --bind "$directory/hosts" /etc/hosts
mount --bind "$directory/pam.d" /etc/pam.d
exec unshare --user --map-user="$uid" --map-group="$gid" "$@"
SH

# Starts the test again in the namespaces, or skips it.
sub import
{
	return if $ENV{PGWT_NET_DIRECTORY};
	my $directory = File::Temp::tempdir(CLEANUP => 0);
	my @inside = ('unshare', '--user', '--map-root-user', '--net', '--mount', 'sh', '-c', $setup,
		'sh', $<, $( + 0, $directory);
	my $reason = `@{[ join ' ', map { quoted($_) } @inside, 'true' ]} 2>&1`;

	if ($? != 0)
	{
		chomp $reason;
		unlink "$directory/hosts";
		rmdir "$directory/pam.d";
		rmdir $directory;
		print "1..0 # SKIP network namespaces are not to be had: $reason\n";
		exit 0;
	}
	$ENV{PGWT_NET_DIRECTORY} = $directory;
	exec @inside, $^X, $0 or die "could not start unshare: $!";
}

# Quotes a word for the shell.
sub quoted
{
	my ($word) = @_;
	$word =~ s/'/'\\''/g;
	return "'$word'";
}

# Returns the directory that is /etc/pam.d here.
sub pam_directory
{
	return "$ENV{PGWT_NET_DIRECTORY}/pam.d";
}

# Removes what was made for the namespaces, when the test ends.
END
{
	if ($ENV{PGWT_NET_DIRECTORY})
	{
		my $status = $?;
		unlink glob("$ENV{PGWT_NET_DIRECTORY}/pam.d/*"), "$ENV{PGWT_NET_DIRECTORY}/hosts";
		rmdir "$ENV{PGWT_NET_DIRECTORY}/pam.d";
		rmdir $ENV{PGWT_NET_DIRECTORY};
		$? = $status;
	}
}

use File::Temp ();

1;
