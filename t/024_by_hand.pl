# What an administrator does to the record: purge, truncate_all, pause and resume, tail; and what an
# auditor may see.
use strict;
use warnings;

use IPC::Run;
use PgwireTrace qw(poll);
use PostgreSQL::Test::Utils;
use Test::More;

my $server = PgwireTrace->start('by_hand');

# Returns how many exchanges with a mark are in the record.
sub marked
{
	my ($mark) = @_;
	return $server->sql("select count(*) from pgwire_trace.exchange where query like '%as $mark%'");
}

# ---- tail ----

$server->side_sql("select 1 as early;\nselect 2 as early_too;");
ok($server->flush, 'two exchanges');
my $since = $server->sql('select max(recorded_at) from pgwire_trace.exchange');
my ($status, undef, undef) = $server->try_side_sql("select 3 as late;\nselect 'secret value' as late, 1/0 from pg_class;");
ok($server->wait_for('select sum(sessions_open) = 0 from pgwire_trace.stat_relay') && $server->flush, 'and two more');
is($server->sql("select string_agg(kind, ' ') from pgwire_trace.tail('$since')"),
	'startup query query terminate', 'tail() shows what came since, in order');
my $last = $server->newest_session;
is($server->sql("select count(*) from pgwire_trace.tail('-infinity', $last)"), '4', 'of one session');
is($server->sql("select count(*) from pgwire_trace.tail(now() + interval '1 hour')"), '0', 'nothing is newer');

# ---- an auditor ----

# Returns the indented lines of a section of docs/keeping.md that begin with a word, up to a line that ends so.
sub documented
{
	my ($section, $begin, $end) = @_;
	my $docs = slurp_file("$ENV{PGWT_CLIENTS}/../../docs/keeping.md");
	my ($text) = $docs =~ /^## \Q$section\E\n(.*?)(?=^## |\z)/ms or die "no section $section";
	my @found = $text =~ /^ {4,}($begin.*?$end)$/msg;
	return map { s/^ +//mgr } @found;
}

$server->sql('create role auditor');
my @grants = documented('An auditor', 'GRANT', ';');
is(scalar @grants, 2, 'the documented grants');
$server->sql(join("\n", @grants));
my $as_auditor = 'set role auditor; ';
is($server->sql($as_auditor . "select query, sqlstate, user_name is not null from"
	  . " pgwire_trace.log_metadata where session_id = $last and sqlstate is not null"),
	'select $1 as late, $2/$3 from pg_class;|22012|t',
	'an auditor sees what was done, without values');
unlike($server->sql($as_auditor . 'select * from pgwire_trace.log_metadata'), qr/secret value|division/,
	'nowhere');
for my $what ('exchange', 'stored_exchange', 'stored_exchange_1', 'session', 'query_text', 'log', 'top_query', 'finding',
	'query_run', 'top_application', 'query_latency', 'statement', "statement_rows($last)", "parameters($last, 1)",
	"result($last, 1)", "result_columns($last, 1)", "psql_script($last)", "explain($last, 1)", "session_findings($last)",
	"tail('-infinity')", "messages($last)", "trace_lines($last)", "session_diff($last, $last)", 'stat_writer',
	'quarantine', 'storage()', "purge('-infinity')", 'truncate_all()')
{
	my (undef, undef, $err) = $server->try_sql($as_auditor . "select * from pgwire_trace.$what");
	like($err, qr/permission denied/, "an auditor may not read $what");
}
# a function of the auditor's that is cheap must not see rows that a view keeps from him
$server->sql('grant create on schema public to auditor');
is($server->sql("$as_auditor create function peep(text) returns boolean language plpgsql cost 0.0001 as"
	  . " \$\$begin raise notice 'peeped %', \$1; return true; end\$\$;"
	  . ' select count(*) from pgwire_trace.log_metadata where peep(query) and session_id = -1'), '0',
	'nor look through the view');

# ---- somebody who may read everything ----

$server->sql('create role reader');
$server->sql(join("\n", documented('A reader', 'GRANT', ';')));
my $as_reader = 'set role reader; ';
is($server->sql($as_reader . "select count(*) from pgwire_trace.log where session_id = $last and query ~ 'secret value'"),
	'1', 'a reader reads the log');
is($server->sql($as_reader . "select count(*) from pgwire_trace.tail('-infinity', $last)"), '4', 'tail()');
is($server->sql($as_reader . "select query from pgwire_trace.statement where session_id = $last order by exchange_no limit 1"),
	'select 3 as late', 'statements');
is($server->sql($as_reader . "select \"row\" from pgwire_trace.result($last, 1)"), '["3"]', 'results');
is($server->sql($as_reader . "select late from pgwire_trace.result_set($last, 1) as t(late int)"), '3', 'as a table');
for my $what ('top_query', 'top_application', 'query_latency', 'query_run', "messages($last)", "trace_lines($last)",
	"psql_script($last)", "result_columns($last, 1)")
{
	is($server->sql($as_reader . "select count(*) > 0 from pgwire_trace.$what"), 't', $what);
}
for my $what ('finding', "session_diff($last, $last)", "parameters($last, 1)")
{
	is($server->sql($as_reader . "select count(*) from pgwire_trace.$what"), '0', "$what: nothing to tell");
}
(undef, undef, my $refused) = $server->try_sql($as_reader . "select * from pgwire_trace.explain($last, 1)");
like($refused, qr/may not act as the recorded role/, 'explain() knows him');
for my $what ("purge('infinity')", 'truncate_all()', 'pause()', 'resume()')
{
	(undef, undef, $refused) = $server->try_sql($as_reader . "select pgwire_trace.$what");
	like($refused, qr/permission denied for function/, "a reader may not call $what");
}

# ---- watching ----

my ($watch) = documented('By hand', 'WITH', '\\\\watch 2');
my ($shown, $complaints) = ('', '');
my $watching = IPC::Run::start([ 'psql', '-XAt', '-d', $server->node->connstr('postgres'), '-f', '-' ],
	'<', \"$watch\n", '>', \$shown, '2>', \$complaints);
# what comes behind the first round is shown, round by round
ok(poll(sub {
		$watching->pump_nb;
		return $server->sql("select count(*) from pg_stat_activity where state = 'idle' and query ~ '^WITH t AS'") eq '1';
	}), 'the documented line watches') or diag($complaints);
$server->side_sql("select $_ as watched") for 1 .. 3;
my $count = 3;
ok(poll(sub {
		$watching->pump_nb;
		$server->side_sql("select $_ as watched") for ++$count;
		return $shown =~ /select 5 as watched/;
	}), 'what runs is shown');
my %times;
$times{$_}++ for $shown =~ /select (\d+) as watched/g;
my ($newest) = sort { $b <=> $a } keys %times;
is_deeply(\%times, { map { $_ => 1 } 1 .. $newest }, 'each statement once, none left out');
$watching->kill_kill;

# ---- pause ----

my $client = $server->connect_client;
$server->sql('select pgwire_trace.pause()');
ok($server->wait_for("select state = 'paused' from pgwire_trace.stat_writer"), 'paused is shown');
$client->run('select 4 as unseen');
is($server->side_sql('select 5 as unseen'), '5', 'clients are served');
ok($server->flush, 'flush() is true');
is(marked('unseen'), '0', 'nothing of it is recorded');
cmp_ok($server->stat_relay('exchanges_paused'), '>=', 4, 'what was left out is counted');
my $left_out = $server->stat_relay('exchanges_paused');
is($server->sql('select sum(exchanges_finished) = sum(exchanges_journalled) from pgwire_trace.stat_relay'),
	't', 'and in no other account');
$server->sql('select pgwire_trace.resume()');
$client->run('select 6 as seen');
ok($server->flush, 'resumed');
is(marked('seen'), '1', 'a session that was open is recorded again');
is($server->stat_relay('exchanges_paused'), $left_out, 'nothing more is left out');
ok($server->wait_for("select state = 'idle' from pgwire_trace.stat_writer"), 'the writer is idle');

# ---- purge ----

$server->sql('select pgwire_trace.flush()');
my $middle = $server->sql('select clock_timestamp()');
$server->side_sql('select 7 as young');
ok($server->flush, 'old ones and a young one');
my $old = $server->sql("select count(*) from pgwire_trace.exchange where recorded_at < '$middle'");
cmp_ok($old, '>', 5, 'there are old ones');
is($server->sql("select pgwire_trace.purge('$middle')"), $old, 'purge() tells how many it removed');
is($server->sql("select count(*) from pgwire_trace.exchange where recorded_at < '$middle'"), '0',
	'they are gone');
is(marked('young'), '1', 'the young one is not');
is($server->sql(<<'SQL'), '0', 'nor is a session kept that has none left and has ended');
select count(*) from pgwire_trace.session s where end_reason is not null
   and not exists (select from pgwire_trace.exchange e where e.session_id = s.session_id)
SQL
is($server->sql("select pgwire_trace.purge('$middle')"), '0', 'the second time there is nothing');
is($server->sql('select count(*) from pgwire_trace.session where end_reason is null'), '1',
	'the open session stays');

# ---- truncate_all ----

$client->send_bytes(PgwireTrace::Client::parse('select 8 as prepared', 's') . PgwireTrace::Client::sync_message());
$client->until_ready;
ok($server->flush, 'a prepared statement');
$server->sql('select pgwire_trace.truncate_all()');
is($server->sql('select partitions, oldest is null from pgwire_trace.storage()'), '0|t', 'nothing is left');
is($server->sql('select (select count(*) from pgwire_trace.session) + (select count(*) from'
	  . ' pgwire_trace.query_text) + (select count(*) from pgwire_trace.exchange)'), '0', 'nowhere');
$client->send_bytes(PgwireTrace::Client::bind_portal(statement => 's') . PgwireTrace::Client::execute()
	  . PgwireTrace::Client::sync_message());
$client->until_ready;
ok($server->flush, 'recording goes on');
is($server->sql("select query from pgwire_trace.log where kind = 'extended' and user_name is not null"),
	'select 8 as prepared', 'the open session comes again, and so does its text');
is($server->duplicates, '0', 'each exchange belongs to a session');

$client->send_bytes(PgwireTrace::Client::terminate());
$client->until_closed;
$server->node->stop;
done_testing();
