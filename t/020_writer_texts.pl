# Texts of sessions in any encoding land in the database's: converted, or with what does not convert
# as \xHH. Recording does not fail over a byte.
use strict;
use warnings;

use PgwireTrace qw(poll);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('texts');

# Runs SQL through the side port in a client encoding; $name is the application_name as sent.
sub run_as
{
	my ($encoding, $sql, $name, $database) = @_;
	return $server->side_sql($sql, application => $name,
		(defined $database ? (database => $database) : ()), env => { PGCLIENTENCODING => $encoding });
}

# Returns, as hex digits of UTF8, the query that carries a mark, or another column of its session.
sub stored
{
	my ($mark, $column) = @_;
	$column //= 'e.query';
	return $server->sql("select encode(convert_to($column, 'UTF8'), 'escape')"
		  . ' from pgwire_trace.exchange e join pgwire_trace.session s using (session_id)'
		  . " where e.query like '%$mark%' and e.kind = 'query'");
}

# Texts as encode(..., 'escape') shows them: bytes over 127 as \ooo, a backslash as two.
sub shown
{
	my ($bytes) = @_;
	$bytes =~ s/\\/\\\\/g;
	$bytes =~ s/([\x80-\xff])/sprintf('\\%03o', ord $1)/ge;
	return $bytes;
}

$server->sql("create database ascii encoding 'SQL_ASCII' locale 'C' template template0");

run_as('UTF8', "select '\xc3\xa4' as mark1;", "n\xc3\xa4me");
run_as('LATIN1', "select '\xe4' as mark2;", "n\xe4me");
# a character whose second byte is a backslash, one whose second byte is a letter, and a quote
run_as('SJIS', "select '\x83\x5c\x83\x41' as mark3;", "\x83\x5c\"\\x");
run_as('SQL_ASCII', "select '\xff\xc3\xa4\xe4' as mark4;", "\xff\"", 'ascii');
run_as('LATIN1', "select '\xe4' as mark5;", 'plain', 'ascii');
# an error message and a long text that is cut into pieces for conversion
$server->try_side_sql("select mark6, '" . ("\xe4" x 5000) . "' from \"m\xe4rk\";",
	env => { PGCLIENTENCODING => 'LATIN1' });

ok($server->flush, 'everything is stored');
is(stored('mark1'), shown("select '\xc3\xa4' as mark1;"), 'UTF8 is kept');
is(stored('mark2'), shown("select '\xc3\xa4' as mark2;"), 'LATIN1 is converted');
is(stored('mark3'), shown("select '\xe3\x82\xbd\xe3\x82\xa2' as mark3;"), 'SJIS is converted');
is(stored('mark4'), shown("select '\\xff\xc3\xa4\\xe4' as mark4;"), 'what is no UTF8 is escaped');
is(stored('mark5'), shown("select '\xc3\xa4' as mark5;"), 'a SQL_ASCII database changes nothing');
is(stored('mark6'), shown("select mark6, '" . ("\xc3\xa4" x 5000) . "' from \"m\xc3\xa4rk\";"),
	'a long text is converted whole');
is(stored('mark6', 'e.error_message'), shown("relation \"m\xc3\xa4rk\" does not exist"),
	'so is an error message');
is(stored('mark2', "s.startup_parameters ->> 'application_name'"), shown("n\xc3\xa4me"),
	'parameters of the startup packet are converted');
is(stored('mark3', "s.startup_parameters ->> 'application_name'"), shown("\xe3\x82\xbd\"\\x"),
	'also where half a character is a backslash');
is(stored('mark4', "s.startup_parameters ->> 'application_name'"), shown('\\xff"'),
	'and escaped where they are no text');
is($server->stat_writer('exchanges_quarantined'), '0', 'nothing is in quarantine');
$server->node->stop;

# ---- a record whose database has another encoding than UTF8 ----

$server = PgwireTrace->start('latin', extension => 0, database => 'latin');
$server->node->safe_psql('postgres',
	"create database latin encoding 'LATIN1' locale 'C' template template0");
$server->sql('create extension pgwire_trace');
$server->wait_for_side_port;
# without the database there are no session ids yet
ok($server->wait_for("select state = 'idle' from pgwire_trace.stat_writer"), 'the writer is there');
run_as('UTF8', "select '\xc3\xa4\xe6\x97\xa5' as mark1;", "n\xc3\xa4\xe6\x97\xa5", 'postgres');
run_as('LATIN1', "select '\xe4\xff' as mark2;", "n\xe4me");
ok($server->flush, 'everything is stored in LATIN1');
is(stored('mark1'), shown("select '\xc3\xa4\\xe6\\x97\\xa5' as mark1;"),
	'a character that the database lacks is escaped whole');
is(stored('mark1', "s.startup_parameters ->> 'application_name'"),
	shown("n\xc3\xa4\\xe6\\x97\\xa5"), 'in JSON too');
is(stored('mark2'), shown("select '\xc3\xa4\xc3\xbf' as mark2;"), 'LATIN1 is kept');
is($server->stat_writer('exchanges_quarantined'), '0', 'nothing is in quarantine');
$server->node->stop;
done_testing();
