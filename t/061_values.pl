# Values as parameters() and result() show them: each type in both formats, types of users, text
# of other encodings, what does not fit, and code that must not run.
use strict;
use warnings;

use PgwireTrace qw(poll);
use PgwireTrace::Client qw(message query sync_message);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('values', conf => "pgwire_trace.response_limit = '-1'\n");
my $user = $ENV{PGUSER} // scalar getpwuid($<);

# A client of the side port.
sub client
{
	my ($name, %more) = @_;
	my $client = PgwireTrace::Client->new($server->side_port);

	$client->login(user => $user, database => 'postgres', application_name => $name, %more);
	return $client;
}

# Runs a statement by the extended protocol with one parameter type per value; returns the rows.
sub extended
{
	my ($client, $sql, %o) = @_;
	my @values = @{ $o{values} // [] };
	my @types = @{ $o{types} // [] };
	my $format = $o{format} // 0;
	my @rows;

	$client->send_bytes(message('P', "\0$sql\0" . pack('nN*', scalar @types, @types))
		  . message('B', "\0\0" . pack('nnn', 1, $format, scalar @values)
			  . join('', map { defined $_ ? pack('N/a*', $_) : pack('N', 0xffffffff) } @values)
			  . pack('nn', 1, $format))
		  . message('D', "P\0") . message('E', "\0" . pack('N', 0)) . sync_message());
	while (my ($type, $body) = $client->receive)
	{
		last if $type eq 'Z';
		$client->{error} = PgwireTrace::Client::error_fields($body) if $type eq 'E';
		next if $type ne 'D';
		my $at = 2;
		my @row;
		for (1 .. unpack('n', $body))
		{
			my $length = unpack('l>', substr($body, $at, 4));
			$at += 4;
			push @row, $length < 0 ? undef : substr($body, $at, $length);
			$at += $length > 0 ? $length : 0;
		}
		push @rows, \@row;
	}
	return @rows;
}

# Returns the result of an exchange of the last session of a name, a line a row.
sub result
{
	my ($name, $exchange) = @_;
	return $server->sql("select \"row\" from pgwire_trace.result("
		  . "pgwire_trace.last_session('$name'), $exchange) order by row_no");
}

sub parameters
{
	my ($name, $exchange) = @_;
	return $server->sql("select type, format, value, reason from pgwire_trace.parameters("
		  . "pgwire_trace.last_session('$name'), $exchange) order by parameter_no");
}

# ---- every type of PostgreSQL's ----

my %sample = (
	bool => 't', bytea => '\x00ff27', char => 'c', name => 'a name', int8 => '-9223372036854775808',
	int2 => '-32768', int2vector => '1 2 3', int4 => '2147483647', regproc => 'pg_catalog.int4in',
	text => 'ä "q" \\ ', oid => '4294967295', tid => '(7,9)', xid => '4000000000', cid => '7',
	oidvector => '1 2 4294967295', json => '{"a":  [1, null]}', xml => '<a b="c">d</a>',
	point => '(1.5,-2)', lseg => '[(1,2),(3,4)]', path => '((1,2),(3,4),(5,6))',
	box => '(3,4),(1,2)', polygon => '((1,2),(3,4),(5,6))', line => '{1,-1,0}',
	float4 => '1.17549e-38', float8 => '0.1', unknown => 'x', circle => '<(1,2),3>', money => '12.34',
	macaddr => '08:00:2b:01:02:03', inet => '10.1.2.3/8', cidr => '2001:db8::/32',
	macaddr8 => '08:00:2b:01:02:03:04:05', bpchar => 'pad   ', varchar => 'v', date => '4713-01-01 BC',
	time => '24:00:00', timestamp => 'infinity', timestamptz => '2026-07-01 12:00:00.000001+02',
	interval => '-1 year 2 mons -3 days 04:05:06.7', timetz => '12:00:00+05:30',
	bit => '10101', varbit => '1', numeric => '-0.00012300', refcursor => 'cursor 1',
	regprocedure => 'pg_catalog.int4in(cstring)', regoper => 'pg_catalog.||/',
	regoperator => 'pg_catalog.+(integer,integer)', regclass => 'pg_catalog.pg_class',
	regtype => 'integer[]', regrole => 'pg_monitor', regnamespace => 'pg_catalog',
	regconfig => 'pg_catalog.english', regdictionary => 'pg_catalog.simple',
	regcollation => 'pg_catalog."C"', uuid => 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
	pg_lsn => '16/B374D848', tsvector => q('a':1A,2B 'b c':3), tsquery => q('a':* & !'b' <-> 'c'),
	jsonb => '{"a": [1, null, "ü"]}', jsonpath => '$."a"[*]?(@ > 1)', txid_snapshot => '10:20:10,14',
	pg_snapshot => '10:20:10,14', xid8 => '18446744073709551615',
	int4range => '[1,10)', numrange => '(1.5,)', tsrange => '["2026-01-01 00:00:00",infinity]',
	tstzrange => 'empty', daterange => '[2026-01-01,2026-02-01)', int8range => '(,5)',
	int4multirange => '{[1,3),[5,7)}', nummultirange => '{(,1.5],[2,)}',
	tsmultirange => '{["2026-01-01 00:00:00","2026-01-02 00:00:00")}', tstzmultirange => '{}',
	datemultirange => '{[2026-01-01,2026-01-03)}', int8multirange => '{[1,2)}',
);
my $xml = $server->sql("select count(*) from pg_proc where proname = 'xml_in' and prosrc = 'xml_in'"
	  . ' and (select setting from pg_config() where name = \'CONFIGURE\') ~ \'libxml\'');
delete $sample{xml} unless $xml;

my %oid = split /[|\n]/, $server->sql('select typname, oid from pg_type where oid < 16384');
my @without = split /\n/, $server->sql("select typname from pg_type t where oid < 16384 and typtype in"
	  . " ('b', 'r', 'm', 'd') and typreceive <> 0 and typcategory <> 'A' and typnamespace ="
	  . " 'pg_catalog'::regnamespace order by 1");
is_deeply([ grep { !exists $sample{$_} && !/^(?:pg_(?:node_tree|ndistinct|dependencies|mcv_list|brin_.*)|xml)$/ } @without ],
	[], 'each type of PostgreSQL has a sample here');

my $client = client('types');
my @names = sort keys %sample;
my $exchange = 0;
my %at;
for my $name (@names)
{
	(my $literal = $sample{$name}) =~ s/'/''/g;
	my $type = $name eq 'char' || $name eq 'name' || $name eq 'unknown' ? "\"$name\"" : $name;
	my $array = $name eq 'unknown' ? 'null::int[]' : "array['$literal', null, '$literal']::${type}[]";
	my $sql = "select '$literal'::$type, row('$literal'::$type, null, 1), $array";
	my ($text) = extended($client, $sql);
	my ($binary) = extended($client, $sql, format => 1);
	# and back: what the server sent is a parameter's value as well
	extended($client, 'select $1', types => [ $oid{$name} ], values => [ $binary->[0] ], format => 1);
	$at{$name} = [ $exchange + 1, $exchange + 2, $exchange + 3 ];
	$exchange += 3;
	diag("$name: $client->{error}{M}") if !$text || !$binary || $client->{error};
	$client->{error} = undef;
}
$client->close;
$server->flush;
for my $name (@names)
{
	my ($text, $binary, $back) = @{ $at{$name} };
	my $expected = result('types', $text);
	is(result('types', $binary), $expected, "$name: binary as text, in a record, in an array");
	is(parameters('types', $back), $server->sql("select format_type($oid{$name}, -1), 'binary',"
		  . " \"row\"->>0, null from pgwire_trace.result(pgwire_trace.last_session('types'), $text)"),
		"$name: a binary parameter");
}

# ---- styles of the session ----

$client = client('styles', options => '-c extra_float_digits=-5 -c bytea_output=escape');
$client->run("set datestyle = 'SQL, DMY'; set intervalstyle = 'iso_8601'; set timezone = 'Asia/Tokyo'");
my $sql = "select '2026-02-01 00:00+00'::timestamptz, '1 day 2 hours'::interval, 1/3.0::float8,"
  . " daterange('2026-01-31', '2026-02-05'), '2026-02-01'::date, now()";
extended($client, "select g.* from ($sql) g", format => 0);
$client->run("begin; set local timezone = 'America/New_York'");
extended($client, $sql, format => 1);
$client->run('rollback');
extended($client, $sql, format => 1);
$client->close;
$server->flush;
is($server->sql("select \"row\" - 5 from pgwire_trace.result(pgwire_trace.last_session('styles'), 6)"),
	$server->sql("select \"row\" - 5 from pgwire_trace.result(pgwire_trace.last_session('styles'), 2)"),
	'DateStyle, IntervalStyle, TimeZone, extra_float_digits of the session');
like(result('styles', 4), qr/^\["31\/01\/2026 19:00:00 EST"/, 'and what a transaction set');
is($server->sql("set datestyle = 'ISO'; select count(*) from pgwire_trace.result("
	  . "pgwire_trace.last_session('styles'), 4); select '2026-02-01'::date"), "1\n2026-02-01",
	'the reader keeps his own');

# ---- types of users ----

$server->sql(<<'SQL');
create extension if not exists hstore;
create extension if not exists citext;
create type mood as enum ('sad', 'so so', 'happy');
create domain positive as int check (value > 0);
create domain positives as positive[];
create type pair as (p positive, m mood, t text);
create type moods as range (subtype = mood, multirange_type_name = many_moods);
create domain short as varchar(5);
create type spans as range (subtype = short, multirange_type_name = many_spans);
SQL
my @user = ("'so so'::mood", "array['sad', null, 'happy']::mood[]", "'7'::positive",
	"array[1, 2]::positives", "row(1, 'sad', 'a \"b\"')::pair",
	"array[row(1, 'so so', null)::pair, null]", "moods('sad', 'happy')", "'{[sad,sad],[happy,happy]}'::many_moods",
	"spans('a,b', 'c')", "array[spans('a', null)]", "row(row(null, null, '')::pair, 1)",
	"'a=>1, \"b c\"=>NULL'::hstore", "array['a=>\"\"'::hstore]", "'CaSe'::citext",
	"row('CaSe'::citext, 'x=>y'::hstore)", "'[0:1]={1,2}'::int[]", "'{{1,2},{3,4}}'::int[]",
	"'{}'::pair[]", "array['(1,2),(0,0)'::box, '(3,4),(1,1)']", "(select anyarray from (select"
	  . " histogram_bounds as anyarray from pg_stats where tablename = 'pg_proc' and attname = 'prorettype') s)",
	'null::hstore', "''::text", "array['null', '', 'nul', ' ', '{', '\"', '\\']");
$server->sql('analyze pg_proc');
$client = client('user');
for my $value (@user)
{
	extended($client, "select $value", format => 0);
	extended($client, "select $value", format => 1);
}
$client->close;
$server->flush;
for my $i (0 .. $#user)
{
	is(result('user', 2 * $i + 2), result('user', 2 * $i + 1), "binary as text: $user[$i]");
}
like(result('user', 1), qr/^\["so so"\]$/, 'what there is to compare with');

# a composite whose columns changed, an enum whose labels changed, a type that is gone
my $mood = $server->sql("select 'mood'::regtype::oid");
my $pair = $server->sql("select 'pair'::regtype::oid");
my $hstore = $server->sql("select 'hstore'::regtype::oid");
$server->sql("alter type mood rename value 'so so' to 'meh'; alter type pair drop attribute t;"
	  . ' drop extension hstore; drop domain positives');
is(result('user', 2), '["so so"]', 'an enum whose label has another name now');
is(result('user', 10), '["(1,sad,\"a \"\"b\"\"\")"]', 'a composite that has lost a column');
like(result('user', 24), qr/^\[\{"hex": "00000002[0-9a-f]+", "reason": "type $hstore does not exist"\}\]$/,
	'a type that is gone: digits and the reason');
is(result('user', 23), '["\"a\"=>\"1\", \"b c\"=>NULL"]', 'its text is still its text');
like(result('user', 30), qr/^\[\{"hex": "[0-9a-f]+", "reason": "type $hstore does not exist"\}\]$/,
	'a record with a type that is gone');
# ---- values that are not what their type says ----

$client = client('broken');
my @broken = ([ 23, 'abc' ], [ 1700, "\0\1" ], [ 1007, pack('NNNNN', 1, 0, 23, 1 << 30, 1) ],
	[ 1007, pack('NNNNNNN', 2, 0, 23, 1 << 16, 1, 1 << 16, 1) ], [ 3904, "\2" ],
	[ 2249, pack('NNN', 1, 23, 100) ], [ 4451, pack('NN', 3, 0) ], [ 16, '' ], [ 25, "\xff\xfe" ],
	[ 3802, "\2{}" ], [ 1007, pack('NNN', 7, 0, 23) ], [ 3904, "\x02" . pack('N', 4) . 'abc' ],
	[ 2950, 'short' ], [ 1114, pack('N', 1) ], [ 3614, pack('N', 1 << 28) ]);
for my $case (@broken)
{
	extended($client, 'select $1', types => [ $case->[0] ], values => [ $case->[1] ], format => 1);
}
extended($client, 'select $1::int4, $2::text', types => [ 23, 25 ],
	values => [ pack('N', 5), "\xc3" ], format => 1);
extended($client, 'select $1::int4', types => [ 23 ], values => [ "\xe9\xff" ], format => 0);
$client->close;
$server->flush;
for my $i (0 .. $#broken)
{
	my $digits = unpack('H*', $broken[$i][1]);
	like(parameters('broken', $i + 1), qr/\|binary\|\\x$digits\|.+/,
		"not a value of type $broken[$i][0]: digits and a reason");
}
like(parameters('broken', @broken + 1), qr/^integer\|binary\|5\|\ntext\|binary\|\\xc3\|.+/,
	'one of two values');
like(parameters('broken', @broken + 2), qr/^integer\|text\|\\xe9ff\|it is no text in encoding "UTF8"/,
	'text that is none');

# ---- encodings ----

my %encoded = (LATIN1 => "\xe4\xf6", SJIS => "\x83\x5c\x95\x5c", SQL_ASCII => "\xc3\xa4",
	EUC_JP => "\xc9\xbd", WIN1252 => "\x80");
my %decoded = (LATIN1 => 'äö', SJIS => 'ソ表', SQL_ASCII => 'ä', EUC_JP => '表', WIN1252 => '€');
for my $encoding (sort keys %encoded)
{
	$client = client("in $encoding", client_encoding => $encoding);
	extended($client, "select \$1 as \"$encoded{$encoding}\", '$encoded{$encoding}'::text, array[\$1]",
		types => [25], values => [ $encoded{$encoding} ], format => $_) for 0, 1;
	extended($client, 'select $1', types => [25], values => ["\xff\x81\xfe"], format => 0);
	$client->close;
	$server->flush;
	my $text = $decoded{$encoding};
	is(result("in $encoding", $_), "[\"$text\", \"$text\", \"{$text}\"]", "$encoding, format " . ($_ - 1))
	  for 1, 2;
	is($server->sql("select query, parameter_values[1] from pgwire_trace.statement where session_id ="
		  . " pgwire_trace.last_session('in $encoding') and exchange_no = 2"),
		"select \$1 as \"$text\", '$text'::text, array[\$1]|$text", "$encoding: statement and parameter");
	is($server->sql("select name from pgwire_trace.result_columns(pgwire_trace.last_session("
		  . "'in $encoding'), 2) where column_no = 1"), $text, "$encoding: a column's name");
	# each byte is a character in LATIN1 alone
	like(parameters("in $encoding", 3), $encoding eq 'LATIN1' ? qr/^text\|text\|ÿ\xc2\x81þ\|$/
		: qr/^text\|text\|\\xff81fe\|it is no text in encoding/, "$encoding: bytes that are none");
}

# ---- bytes that nobody would send ----

# Each exchange of these sessions with some of its bytes changed or cut off, read in every way.
$server->sql(<<'SQL');
create function mutate(b bytea, times int) returns bytea language plpgsql as $$
begin
	for i in 1 .. times loop
		b := set_byte(b, (random() * (length(b) - 1))::int, (array[0, 255, 1, 127, (random() * 255)::int])[1 + (random() * 4)::int]);
	end loop;
	return case when random() < 0.1 then substr(b, 1, (random() * length(b))::int) else b end;
end $$;
create function read_mutated(of bigint, is_read out bigint, errors out text) language plpgsql as $$
declare
	s constant bigint := -of;
	call text;
	n bigint;
begin
	insert into pgwire_trace.session (session_id, started_at, user_name, database_name, database_oid, server_parameters,
		exchange_count, request_bytes, response_bytes, dropped_exchanges, is_desynchronised, end_reason, journal_series)
	select s, started_at, user_name, database_name, database_oid, server_parameters,
		0, 0, 0, 0, false, 'terminate', 0 from pgwire_trace.session where session_id = of;
	insert into pgwire_trace.exchange (session_id, exchange_no, started_at, finished_at, kind, statement_count,
		data_row_count, is_complete, request, response, chunks)
	select s, exchange_no, started_at, finished_at,
		case when random() < 0.1 then (array['query', 'copy', 'function_call', 'replication'])[1 + (random() * 3)::int] else kind end,
		statement_count, data_row_count, is_complete, mutate(request, (random() * 3)::int), mutate(response, (random() * 4)::int), chunks
	from pgwire_trace.exchange where session_id = of and request <> '' and response <> '';
	is_read := 0;
	for call in
		select format(f, s) from unnest('{statement_rows(%s),psql_script(%s),session_findings(%s),messages(%s),trace_lines(%s)}'::text[]) f
		union all
		select format(f, s, exchange_no) from pgwire_trace.exchange,
			unnest('{"parameters(%s, %s)","result(%s, %s)","result_columns(%s, %s)"}'::text[]) f where session_id = s
	loop
		begin
			execute format('select count(x) from pgwire_trace.%s x', call) into n;
			is_read := is_read + n;
		exception when others then
			errors := concat_ws(E'\n', errors, call || ': ' || sqlerrm);
		end;
	end loop;
end $$;
SQL
for my $name ('types', 'user', 'broken', 'in SJIS')
{
	is($server->sql("select is_read > 10, errors from read_mutated(pgwire_trace.last_session('$name'))"), 't|',
		"$name: no bytes make an error of reading");
}

# ---- sessions of another database ----

$server->sql('create database elsewhere');
$server->node->safe_psql('elsewhere', "create type pair2 as (a int); create type mood2 as enum ('x')");
$client = client('elsewhere', database => 'elsewhere');
extended($client, "select 1::int4, array[1,2], 'x'::mood2, row(1)::pair2, 'mood2'::regtype, 'int4'::regtype",
	format => $_) for 0, 1;
$client->close;
$server->flush;
like(result('elsewhere', 1), qr/^\["1", "\{1,2\}", "x", "\(1\)", "mood2", "integer"\]$/, 'text is text');
my $mood2 = $server->sql("select 'mood2'::regtype::oid", 'elsewhere');
is(result('elsewhere', 2), "[\"1\", \"{1,2}\", {\"hex\": \"78\", \"reason\": \"type $mood2 is one of database"
	  . " \\\"elsewhere\\\"\"}, {\"hex\": \"00000001000000170000000400000001\", \"reason\": \"type "
	  . $server->sql("select 'pair2'::regtype::oid", 'elsewhere')
	  . " is one of database \\\"elsewhere\\\"\"}, \"$mood2\", \"23\"]", 'binary: what means something here');
is($server->sql("select string_agg(coalesce(type, '?'), ' ' order by column_no) from pgwire_trace.result_columns("
	  . "pgwire_trace.last_session('elsewhere'), 2)"),
	"integer integer[] $mood2 " . $server->sql("select 'pair2'::regtype::oid", 'elsewhere')
	  . ' regtype regtype', 'types that mean nothing here are numbers');

# ---- code of others ----

$server->sql(<<'SQL');
create role mallory login;
create role reader login;
grant usage on schema pgwire_trace to reader;
grant execute on all functions in schema pgwire_trace to reader;
grant select on all tables in schema pgwire_trace to reader;
grant create on schema public to mallory;
set role mallory;
create table diary (who text);
grant insert on diary to public;
create function note(int) returns bool language plpgsql immutable as $$
begin
	return true;
end $$;
create domain trap as int check (note(value));
create type trapped as (a trap);
create function distance(trap, trap) returns float8 language plpgsql immutable as
	$$ begin return note($1::int)::int; end $$;
create type trap_range as range (subtype = trap, subtype_diff = distance, multirange_type_name = trap_ranges);
create domain deep as trapped check (note((value).a::int));
create type deeper as (d deep, l deep[]);
create domain list as trap[] check (note(1));
create domain deepest as deeper;
reset role;
create type bait as enum ('first', 'second');
set role mallory;
create function compare(bait, bait) returns int language plpgsql immutable as
	$$ begin return note(1)::int - ($1 = $2)::int; end $$;
reset role;
-- what a superuser made of her function
create operator class bait_ops for type bait using btree as function 1 compare(bait, bait);
create type bait_range as range (subtype = bait, subtype_opclass = bait_ops);
SQL
$client = client('trap');
my @traps = ('1::trap', 'row(1)::trapped', 'array[1]::trap[]', "trap_range(1, 5)", 'array[row(2)::trapped]',
	"'{[1,2]}'::trap_ranges", 'row(1)::trapped::deep', 'array[row(1)::trapped::deep]', "'{1,2}'::list",
	"row(row(1)::trapped::deep, array[row(2)]::deep[])::deeper::deepest", "array['first']::bait[]",
	"bait_range('first', 'second', '[]')");
for my $value (@traps)
{
	extended($client, "select $value", format => 0);
	extended($client, "select $value", format => 1);
}
my $trap = $server->sql("select 'trap'::regtype::oid");
extended($client, 'select $1', types => [$trap], values => [ pack('N', 3) ], format => 1);
$client->close;
$server->flush;
# from now on the functions do harm to whoever runs them
$server->sql(<<'SQL');
set role mallory;
create function harm() returns bool language plpgsql as $$
begin
	begin
		execute 'alter role mallory superuser';
	exception when insufficient_privilege then null;
	end;
	insert into diary values (current_user);
	return true;
end $$;
-- what is immutable may not write, but call what does
create or replace function note(int) returns bool language plpgsql immutable as $$
begin
	return harm();
end $$;
create or replace function compare(bait, bait) returns int language plpgsql immutable as
	$$ begin return harm()::int; end $$;
SQL
for my $i (0 .. $#traps)
{
	is(result('trap', 2 * $i + 2), result('trap', 2 * $i + 1), "read as a superuser: $traps[$i]");
}
is(parameters('trap', 2 * @traps + 1), 'public.trap|binary|3|', 'a parameter of a domain');
like(scalar(($server->try_sql("select * from pgwire_trace.result_set(pgwire_trace.last_session('trap'), 23) as t(v bait_range)"))[2]),
	qr/DETAIL:  It does not belong to a superuser, as the recorded role is one/, "a range that compares by a function of hers");
for my $type ('trap', 'trapped', 'trap_range', 'trap[]', 'deep', 'deep[]', 'deeper', 'list', 'deepest')
{
	my ($status, undef, $err) = $server->try_sql('select * from pgwire_trace.result_set('
		  . "pgwire_trace.last_session('trap'), 1) as t(v $type)");
	like($err, qr/cannot be made values of type public\.\Q$type\E\n.*\nHINT:  Name the base type/,
		"result_set() does not make a $type");
}
# what she puts before the server's own, in a search path that lets her
$server->sql(<<'SQL');
set role mallory;
create function shadow(bigint, bigint) returns bool language sql as $$ select harm() $$;
create function shadow(bigint, integer) returns bool language sql as $$ select harm() $$;
create function shadow(timestamptz, timestamptz) returns bool language sql as $$ select harm() $$;
create function shadow(text, text) returns bool language sql as $$ select harm() $$;
create function "left"(text, integer) returns text language sql as $$ select harm()::text $$;
create function format(text, text) returns text language sql as $$ select harm()::text $$;
create function min(text) returns text language sql as $$ select harm()::text $$;
create function max(integer) returns integer language sql as $$ select harm()::int $$;
SQL
{
	$server->sql("set role mallory; create operator public.$_ (leftarg = bigint, rightarg = bigint, function = shadow);"
		  . " create operator public.$_ (leftarg = bigint, rightarg = integer, function = shadow);"
		  . " create operator public.$_ (leftarg = timestamptz, rightarg = timestamptz, function = shadow);"
		  . " create operator public.$_ (leftarg = text, rightarg = text, function = shadow)") for '=', '<>', '<', '>', '>=';
}
my $trapped = $server->sql("select pgwire_trace.last_session('trap')");
for my $what ($server->sql("select string_agg(relname, ' ') from pg_class where relnamespace = 'pgwire_trace'::regnamespace"
		  . " and relkind in ('r', 'v')") =~ /\S+/g, "tail('-infinity')", "messages($trapped)", "trace_lines($trapped)",
	"psql_script($trapped)", "session_diff($trapped, $trapped)", "statement_rows($trapped)", 'storage()', 'status()',
	"purge('-infinity')", "last_session('trap')", 'flush()', "replay_report(1)", "replay_wait(1, '1 s')")
{
	$server->try_sql("set search_path = public, pg_catalog; select * from pgwire_trace.$what");
}
is($server->sql("set search_path = public, pg_catalog; insert into pgwire_trace.exchange (session_id, exchange_no,"
	  . " started_at, finished_at, kind, is_complete) values (-1, 1, now(), now(), 'query', true) returning session_id"),
	'-1', 'a row is inserted');
is($server->sql("select count(*) from diary"), '0', 'no function of hers was run');
is($server->sql("select rolsuper from pg_roles where rolname = 'mallory'"), 'f', 'she gained nothing');
ok($server->sql("select note(1)") eq 't' && $server->sql('select count(*) from diary') eq '1'
	  && $server->sql("select rolsuper from pg_roles where rolname = 'mallory'") eq 't',
	'though the trap works');
is($server->sql("set search_path = public, pg_catalog; select 1::bigint = 1::bigint;"
	  . ' select count(*) from diary'), "t\n2", 'that in the search path too');
$server->sql('alter role mallory nosuperuser');

# functions of an extension's types run as the recorded role, for those who could be that
$server->sql('create extension hstore');
$client = client('extension');
extended($client, "select 'a=>1'::hstore, 1", format => 1);
$client->close;
$server->flush;
is(result('extension', 1), '["\"a\"=>\"1\"", "1"]', 'hstore, read by a superuser');
like($server->sql("set role reader; select \"row\" from pgwire_trace.result("
	  . "pgwire_trace.last_session('extension'), 1)"),
	qr/^\[\{"hex": "00000001[0-9a-f]+", "reason": "role \\"reader\\" may not act as the recorded role \\"$user\\""\}, "1"\]$/,
	'and by somebody who could not act as that');
$server->sql('create role gone login superuser');
$client = client('gone', user => 'gone');
extended($client, "select 'a=>1'::hstore", format => 1);
$client->close;
$server->flush;
$server->sql('drop role gone');
like(result('extension', 1), qr/a/, 'as before');
like(result('gone', 1), qr/role \\"gone\\", which was recorded, does not exist/, 'a role that is gone');

# ---- result_set() ----

$client = client('set');
extended($client, "select g, 'row ' || g, g * 1.5, array[g], '2026-01-01'::date + g from generate_series(1, 3) g",
	format => $_) for 0, 1;
$client->close;
$server->flush;
for my $exchange (1, 2)
{
	is($server->sql("select sum(n), max(t), sum(d), sum(a[1]), max(v) from pgwire_trace.result_set("
		  . "pgwire_trace.last_session('set'), $exchange) as t(n bigint, t text, d numeric(5,2), a int[], v date)"),
		'6|row 3|9.00|6|2026-01-04', "result_set() of exchange $exchange");
}
my (undef, $out, $err) = $server->try_sql("select * from pgwire_trace.result_set("
	  . "pgwire_trace.last_session('set'), 2) as t(n int, t int, d text, a text, v text)");
is($out, "1||1.5|{1}|2026-01-02\n2||3.0|{2}|2026-01-03\n3||4.5|{3}|2026-01-04", 'what does not fit is NULL');
like($err, qr/^WARNING:  recorded value in column 2 of row 1 is shown as NULL\nDETAIL:[^\n]*"row 1"/,
	'with a warning');
is(scalar(() = $err =~ /WARNING/g), 1, 'a single one for the column');
(undef, undef, $err) = $server->try_sql("select * from pgwire_trace.result_set("
	  . "pgwire_trace.last_session('set'), 2) as t(n int)");
like($err, qr/recorded result has 5 columns, but the column definition list names 1/, 'another number of columns')
  or diag($err);

$server->node->stop;
done_testing();
