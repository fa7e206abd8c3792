# PgwireTrace::Tls: certificates made for a test, and clients that speak TLS.
#
#   my $certificates = make_certificates();
#   my $server = start_with_tls('name', $certificates, conf => "...");
#   $certificates->install($server, 'other');     # swaps the server's certificate on disk
#   my ($status, $out, $err) = tls_client($server->side_port, 'login', ...);
#
# Made: an authority (root.crt), the server's certificate (server.crt) and another of the same
# name (other.crt), clients' (alice.crt, revoked.crt and root.crl, which revokes the latter), an
# authority that nobody knows and its client (stranger.crt).
package PgwireTrace::Tls;

use strict;
use warnings;

use Exporter 'import';
use File::Copy ();
use PgwireTrace qw(run_client);
use PostgreSQL::Test::Utils;

our @EXPORT_OK = qw(make_certificates start_with_tls tls_client);

# Runs openssl; dies if it fails.
sub openssl
{
	my (@arguments) = @_;
	my ($status, $out, $err) = run_client([ 'openssl', @arguments ]);

	die "openssl @arguments: $err" if $status != 0;
	return $out;
}

# Makes a key and a certificate of it, issued by an authority or by itself.
sub make
{
	my ($self, $name, $common_name, $authority, @extensions) = @_;
	my $base = "$self->{directory}/$name";

	openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
		'-keyout', "$base.key", '-out', "$base.csr", '-subj', "/CN=$common_name");
	append_to_file("$base.ext", join("\n", @extensions) . "\n");
	my @issuer = $authority
	  ? ('-CA', "$self->{directory}/$authority.crt", '-CAkey', "$self->{directory}/$authority.key",
		'-CAcreateserial')
	  : ('-signkey', "$base.key");
	openssl('x509', '-req', '-in', "$base.csr", '-out', "$base.crt", '-days', '30', '-sha256',
		'-extfile', "$base.ext", @issuer);
	chmod 0600, "$base.key";
	return;
}

# Returns an element of DER: a tag and its contents.
sub der
{
	my ($tag, $contents) = @_;
	my $length = length $contents;
	return pack('CC', $tag, $length) . $contents if $length < 128;
	return pack('CCC', $tag, 0x81, $length) . $contents if $length < 256;
	return pack('CCn', $tag, 0x82, $length) . $contents;
}

# Makes a certificate whose common name has a zero byte where the given one has an @: what no tool
# does for one. It is made with the @, changed, and signed by the authority again.
sub make_with_zero
{
	my ($self, $name, $common_name) = @_;
	my $base = "$self->{directory}/$name";

	$self->make($name, $common_name, 'root', 'basicConstraints=CA:FALSE');
	openssl('x509', '-in', "$base.crt", '-outform', 'DER', '-out', "$base.der");
	my $signed = substr(slurp_file("$base.der"), 4);    # behind the tag and length of all
	my $tbs = substr($signed, 0, 4 + unpack('xxn', $signed));
	my $zero = $common_name =~ s/@/\0/r;
	$tbs =~ s/\Q$common_name\E/$zero/ or die 'no name in the certificate';
	append_to_file("$base.tbs", $tbs);
	openssl('dgst', '-sha256', '-sign', "$self->{directory}/root.key", '-out', "$base.sig", "$base.tbs");
	my $algorithm = der(0x30, der(6, "\x2a\x86\x48\xce\x3d\x04\x03\x02"));    # ECDSA with SHA-256
	unlink "$base.der";
	append_to_file("$base.der", der(0x30, $tbs . $algorithm . der(3, "\0" . slurp_file("$base.sig"))));
	openssl('x509', '-in', "$base.der", '-inform', 'DER', '-out', "$base.crt");
	return;
}

# Makes all certificates that a test may want.
sub make_certificates
{
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { directory => $directory }, __PACKAGE__;
	my @server = ('subjectAltName=DNS:localhost,IP:127.0.0.1');

	$self->make('root', 'test authority', undef, 'basicConstraints=critical,CA:TRUE');
	$self->make('elsewhere', 'unknown authority', undef, 'basicConstraints=critical,CA:TRUE');
	$self->make('server', 'localhost', 'root', @server);
	$self->make('other', 'localhost', 'root', @server);
	$self->make('alice', 'alice', 'root', 'basicConstraints=CA:FALSE');
	$self->make('revoked', 'revoked', 'root', 'basicConstraints=CA:FALSE');
	$self->make('stranger', 'alice', 'elsewhere', 'basicConstraints=CA:FALSE');
	append_to_file("$directory/index.txt", '');
	append_to_file("$directory/ca.conf", "[ca]\ndefault_ca=c\n[c]\ndatabase=$directory/index.txt\n"
		  . "default_md=sha256\ndefault_crl_days=30\n");
	my @ca = ('ca', '-config', "$directory/ca.conf", '-cert', "$directory/root.crt", '-keyfile',
		"$directory/root.key");
	openssl(@ca, '-revoke', "$directory/revoked.crt");
	openssl(@ca, '-gencrl', '-out', "$directory/root.crl");
	return $self;
}

# Returns the path of a file among them.
sub path
{
	my ($self, $file) = @_;
	return "$self->{directory}/$file";
}

# Puts a certificate and its key where the server reads them.
sub install
{
	my ($self, $server, $name) = @_;

	for my $kind ('crt', 'key')
	{
		my $to = $server->node->data_dir . "/server.$kind";
		File::Copy::copy($self->path("$name.$kind"), "$to.new") or die "copying to $to: $!";
		chmod 0600, "$to.new";
		rename "$to.new", $to or die "renaming to $to: $!";
	}
	return;
}

# Starts a server with TLS; takes PgwireTrace->start's options.
sub start_with_tls
{
	my ($name, $certificates, %options) = @_;
	my $server = PgwireTrace->start($name, %options, started => 0,
		conf => "ssl = on\n" . ($options{conf} // ''));

	$certificates->install($server, 'server');
	$server->node->start;
	$server->create_extension;
	return $server;
}

# Runs test/clients/tls.py; returns its status, output and error output.
sub tls_client
{
	my ($port, @arguments) = @_;
	return run_client([ 'python3', "$ENV{PGWT_CLIENTS}/tls.py", $port, @arguments ]);
}

1;
