# A replay whose target is broken, or means harm: whatever it says, and however it says it, the run
# ends, in bounded memory and processor time, with verdicts that are true, and the server is none the
# worse for it.
use strict;
use warnings;

use PgwireTrace qw(poll run_client);
use PgwireTrace::Client qw(message);
use PgwireTrace::Hostile;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

my $server = PgwireTrace->start('hostile_target', initdb => [ '-E', 'UTF8' ],
	conf => "max_worker_processes = 30\n");

run_client([ 'psql', '-XAtq', $server->side_connstr ], stdin => "select 1 as a;\nselect 2 as a;\nselect 3 as a;\n");
ok($server->flush, 'recorded');
my $session = $server->sql('select pgwire_trace.last_session()');

*row_description = \&PgwireTrace::Hostile::row_description;
*data_row = \&PgwireTrace::Hostile::data_row;
*error_fields = \&PgwireTrace::Hostile::error_fields;

my $ok = message('R', pack('N', 0));
my $idle = message('Z', 'I');
my $select = message('C', "SELECT 1\0");
my $one = row_description('a') . data_row('1') . $select . $idle;
my $garbage = join('', map { chr(($_ * 7919 + ($_ >> 3)) & 255) } 1 .. 65536);
my $chunk = 'x' x 65536;

# Says something, and answers nothing more.
sub once { my (@bytes) = @_; return sub { my ($peer) = @_; $peer->put(@bytes); $peer->wait_for_end; }; }

# Says something until the client is gone.
sub forever { my ($bytes) = @_; return sub { my ($peer) = @_; $peer->put_forever($bytes); }; }

# Says something a byte at a time.
sub dribble
{
	my ($bytes) = @_;
	return sub {
		my ($peer) = @_;
		for my $byte (split //, $bytes) { $peer->put($byte); Time::HiRes::usleep(100_000); }
		$peer->wait_for_end;
	};
}

# Says something in answer to the first query, and answers the others as they want to be.
sub then_well
{
	my (@bytes) = @_;
	return sub {
		my ($peer) = @_;
		$peer->put(@bytes);
		while ($peer->read_message eq 'Q')
		{
			$peer->body =~ /select (\d)/;
			$peer->say_row($1);
		}
	};
}

# Lets a client in, whatever it sends.
sub logged_in { my ($peer) = @_; $peer->say_ready; $peer->read_message; return; }

# What the target does => verdicts (of exchanges 1, 2, 3) and state of the session that are true then.
my %cases = (
	# a login that never comes to its end, or is none
	login_silent => [ sub { $_[0]->wait_for_end }, '1:session_lost', 'lost' ],
	login_closed => [ sub { }, '1:session_lost', 'lost' ],
	login_garbage => [ forever($garbage), '1:session_lost', 'lost' ],
	login_length_0 => [ once("R\0\0\0\0" x 100), '1:session_lost', 'lost' ],
	login_length_most => [ forever("R\x7f\xff\xff\xff" . $chunk), '1:session_lost', 'lost' ],
	login_error_most => [ forever("E\x7f\xff\xff\xff" . $chunk), '1:session_lost', 'lost' ],
	login_notice_most => [ sub { $_[0]->put($ok, "N\x7f\xff\xff\xff"); $_[0]->put_forever($chunk) }, '1:session_lost', 'lost' ],
	login_asks_again => [ sub { for (;;) { $_[0]->put(message('R', pack('N', 3))); $_[0]->read_message } }, '1:session_lost', 'lost' ],
	login_unknown_method => [ once(message('R', pack('N', 4711))), '1:session_lost', 'lost' ],
	login_gss => [ once(message('R', pack('N', 7))), '1:session_lost', 'lost' ],
	login_negotiates => [ once(message('v', pack('NN', 0x30063, 0x7fffffff))), '1:session_lost', 'lost' ],
	login_parameters => [ sub { my $i = 0; $_[0]->put($ok); for (;;) { $_[0]->put(map { message('S', 'p' . $i++ . "\0v\0") } 1 .. 1000) } }, '1:session_lost', 'lost' ],
	login_notices => [ sub { $_[0]->put($ok); $_[0]->put_forever(error_fields('N', 'NOTICE', '00000', $chunk)) }, '1:session_lost', 'lost' ],
	login_notifications => [ sub { $_[0]->put($ok); $_[0]->put_forever(message('A', pack('N', 1) . "c\0$chunk\0")) }, '1:session_lost', 'lost' ],
	login_password => [ sub {
		$_[0]->put(message('R', pack('N', 3)));
		$_[0]->read_message;
		$_[0]->put(error_fields('E', 'FATAL', '28P01', 'it was ' . ($_[0]->body =~ s/\0//r)));
	}, undef, undef ],
	login_dribbles => [ dribble($ok x 100), '1:session_lost', 'lost' ],
	login_never_ready => [ once($ok), '1:session_lost', 'lost' ],

	# a target that is asked whether it agrees
	check_silent => [ sub { $_[0]->wait_for_end }, '1:session_lost', 'lost' ],
	check_garbage => [ forever($garbage), '1:session_lost', 'lost' ],
	check_rows => [ sub { $_[0]->put(row_description('a')); $_[0]->put_forever(data_row('1') x 1000) }, '1:session_lost', 'lost' ],
	check_length_most => [ sub { $_[0]->put("D\x7f\xff\xff\xff"); $_[0]->put_forever($chunk) }, '1:session_lost', 'lost' ],
	check_notifications => [ forever(message('A', pack('N', 1) . "channel\0payload\0") x 100), '1:session_lost', 'lost' ],
	check_error_of_100_mb => [ once(error_fields('E', 'ERROR', 'XX000', 'x' x 100_000_000), $idle), '1:session_lost', 'lost' ],
	check_copy_in => [ once(message('G', pack('Cnn', 0, 1, 0))), '1:session_lost', 'lost' ],
	check_copy_both => [ sub { $_[0]->put(message('W', pack('Cn', 0, 0))); $_[0]->put_forever(message('d', "1\n") x 1000) }, '1:session_lost', 'lost' ],

	# answers that are none
	closes => [ sub { }, '1:session_lost', 'lost' ],
	silent => [ sub { $_[0]->wait_for_end }, '1:timeout', 'lost' ],
	reads_nothing => [ sub { sleep 60 }, '1:timeout', 'lost' ],
	garbage => [ forever($garbage), '1:session_lost', 'lost' ],
	length_0 => [ once("D\0\0\0\0$one"), '1:session_lost', 'lost' ],
	length_1 => [ once("D\0\0\0\1$one"), '1:session_lost', 'lost' ],
	length_negative => [ once("D\xff\xff\xff\xff$one"), '1:session_lost', 'lost' ],
	length_most => [ sub { $_[0]->put("D\x7f\xff\xff\xff"); $_[0]->put_forever($chunk) }, '1:session_lost', 'lost' ],
	cut => [ sub { $_[0]->put(substr($one, 0, 20)) }, '1:session_lost', 'lost' ],
	cut_and_held => [ once(substr($one, 0, 20)), '1:timeout', 'lost' ],
	dribbles => [ dribble($one), '1:timeout', 'lost' ],

	# answers without an end
	notices => [ forever(error_fields('N', 'NOTICE', '00000', 'x' x 100)), '1:timeout', 'lost' ],
	parameters => [ sub { my $i = 0; for (;;) { $_[0]->put(map { message('S', 'p' . $i++ . "\0v\0") } 1 .. 1000) } }, '1:timeout', 'lost' ],
	notifications => [ forever(message('A', pack('N', 1) . "channel\0payload\0") x 100), '1:timeout', 'lost' ],
	rows => [ sub { $_[0]->put(row_description('a')); $_[0]->put_forever(data_row('1') x 1000) }, '1:timeout', 'lost' ],
	descriptions => [ forever(row_description('a') x 100), '1:timeout', 'lost' ],
	completions => [ forever($select x 100), '1:timeout', 'lost' ],
	copy_out => [ sub { $_[0]->put(message('H', pack('Cnn', 0, 1, 0))); $_[0]->put_forever(message('d', "1\n") x 1000) }, '1:timeout', 'lost' ],
	copy_both => [ sub { $_[0]->put(message('W', pack('Cn', 0, 0))); $_[0]->put_forever(message('d', "1\n") x 1000) }, '1:timeout', 'lost' ],
	ready_for_ever => [ forever($idle x 1000), undef, undef ],
	no_ready => [ once(row_description('a') . data_row('1') . $select), '1:timeout', 'lost' ],

	# answers to something else
	copy_in => [ once(message('G', pack('Cnn', 0, 1, 0))), '1:timeout', 'lost' ],
	copy_in_and_error => [ then_well(message('G', pack('Cnn', 0, 1, 0)), error_fields('E', 'ERROR', '57014', 'x'), $idle), '1:error_new', 'finished' ],
	authentication => [ once(message('R', pack('N', 3)), $one), undef, undef ],
	nothing_but_ready => [ then_well($idle), '1:timeout', 'lost' ],
	ready_twice => [ then_well($one, $idle), undef, undef ],
	unasked => [ then_well($one, $one), undef, undef ],
	error_changes => [ then_well(error_fields('E', 'ERROR', "\xff\xfe\xfd\xfc\xfb", "\xff\xfe not text \xc3"), $idle), '1:error_new', 'finished' ],
	error_of_100_mb => [ then_well(error_fields('E', 'ERROR', 'XX000', 'x' x 100_000_000), $idle), '1:error_new', 'finished' ],
	code_of_zeroes => [ then_well(message('E', "SERROR\0C\0Mx\0\0"), $idle), undef, 'finished' ],
	fatal => [ sub { $_[0]->put(error_fields('E', 'FATAL', '57P01', 'x')) }, '1:session_lost', 'lost' ],
	columns_65535 => [ then_well(message('T', pack('n', 65535) . ("a\0" . pack('NnNnNn', 0, 0, 25, 1, 1, 0)) x 65535), message('D', pack('n', 65535) . pack('N', -1) x 65535), $select, $idle), undef, 'finished' ],
	columns_missing => [ then_well(message('T', pack('n', 65535)), message('D', pack('n', 65535)), $select, $idle), undef, undef ],
	tag_long => [ then_well(row_description('a'), data_row('1'), message('C', 'SELECT ' . '9' x 10000 . "\0"), $idle), '1:session_lost', 'lost' ],
	text_not_utf8 => [ then_well(row_description("\xff\xfe"), data_row("\xc3\x28\0"), $select, $idle), undef, 'finished' ],
	status_unknown => [ then_well(row_description('a'), data_row('1'), $select, message('Z', "\xff")), undef, 'finished' ],
	slow_answers => [ sub { my ($peer) = @_; for (1 .. 3) { sleep 1; $peer->say_row($_); $peer->read_message } }, undef, undef ],
	well => [ then_well($one), '', 'finished' ]);

my $stub = PgwireTrace::Hostile->start(map { $_ => $cases{$_}[0] } keys %cases);
my $log_before = -s $server->node->logfile;

# Returns the most memory (MB) that a worker's network process had so far, and its processor time (s).
sub usage_of
{
	my ($worker) = @_;

	for my $file (glob('/proc/[0-9]*/stat'))
	{
		open(my $stat, '<', $file) or next;
		my $line = <$stat> // '';
		close($stat);
		next unless $line =~ /^(\d+) \(.*\) \S $worker /;
		my $pid = $1;
		my @fields = split / /, ($line =~ s/^.*\) //r);
		open(my $status, '<', "/proc/$pid/status") or return;
		local $/;
		my ($peak) = (<$status> // '') =~ /^VmHWM:\s+(\d+)/m;
		return (($peak // 0) / 1024, ($fields[11] + $fields[12]) / 100);
	}
	return;
}

# ---- each case, a few at a time ----

my (%run, %peak, %cpu, %story);
my @waiting = sort keys %cases;
@waiting = split /,/, $ENV{HOSTILE_CASES} if $ENV{HOSTILE_CASES};
my $end = Time::HiRes::time() + 150;

while ((@waiting || %run) && Time::HiRes::time() < $end)
{
	while (@waiting && keys %run < 7)
	{
		my $case = shift @waiting;

		$run{$case} = $server->sql("select pgwire_trace.replay_start('host=127.0.0.1 sslmode=disable port="
			  . $stub->port . " dbname=$case', array[$session], timing => 'asap', compare => 5, options =>"
			  . " '{\"connect_attempts\": 1,"
			  . " \"connect_timeout\": 1000, \"exchange_timeout\": 1000}')");
	}
	my %state = map { split /\|/, $_, 2 } split /\n/, $server->sql('select r.run_id, r.state || \'|\' ||'
		  . ' coalesce(s.pid, 0) from pgwire_trace.replay_run r left join pgwire_trace.replay_slots() s using (run_id)');
	for my $case (keys %run)
	{
		my ($state, $pid) = split /\|/, $state{ $run{$case} };
		my ($peak, $cpu) = $pid ? usage_of($pid) : ();

		$peak{$case} = $peak if $peak && $peak > ($peak{$case} // 0);
		$cpu{$case} = $cpu if $cpu && $cpu > ($cpu{$case} // 0);
		next if $state eq 'running' || $state eq 'planned';
		$story{$case} = $server->sql("select r.state || '|' || s.state || '|' || coalesce((select string_agg("
			  . "exchange_no || ':' || verdict, ' ' order by exchange_no, statement_no) from pgwire_trace.replay_divergence d"
			  . " where d.run_id = r.run_id and d.is_root), '') || '|' || (r.captured = r.sent + r.filtered + r.skipped + r.unsent"
			  . " and r.unsent >= 0 and r.sent = (select count(*) from pgwire_trace.replay_run_exchange x"
			  . " where x.run_id = r.run_id and outcome = 'sent'))::text || '|' || coalesce(s.reason, '') || coalesce(r.error_message, '')"
			  . " from pgwire_trace.replay_run r join pgwire_trace.replay_run_session s using (run_id)"
			  . " where run_id = $run{$case}");
		delete $run{$case};
	}
	Time::HiRes::usleep(20_000);
}
is(join(' ', sort keys %run), '', 'all runs have ended');
for my $case (sort keys %story)
{
	my ($state, $session_state, $verdicts, $adds_up, $reason) = split /\|/, $story{$case};

	is("$state $adds_up", 'finished true', "$case: the run ends, and nothing is unaccounted for");
	is($session_state, $cases{$case}[2], "$case: what became of the session") if defined $cases{$case}[2];
	is($verdicts, $cases{$case}[1], "$case: the verdicts") if defined $cases{$case}[1];
	note(sprintf('%s: %s %s (%s), %d MB, %.2f s', $case, $session_state // '', $verdicts // '', $reason // '', $peak{$case} // 0, $cpu{$case} // 0));
}
is($server->sql("select count(*) from (select convert_from(textsend(t), 'UTF8') from ("
		  . "select unnest(sqlstates) as t from pgwire_trace.replay_run_sent union all select reason from"
		  . " pgwire_trace.replay_run_session union all select error_message from pgwire_trace.replay_run_state"
		  . " union all select captured::text || replayed::text from pgwire_trace.replay_divergence) x) y") > 0, 1,
	'every text in the record is valid in its encoding');
my ($largest) = sort { $peak{$b} <=> $peak{$a} } keys %peak;
cmp_ok($peak{$largest}, '<', 60, "memory is bounded: $largest, $peak{$largest} MB");
my $lines = () = substr(slurp_file($server->node->logfile), $log_before) =~ /^\d/mg;
cmp_ok($lines, '<', 12 * keys %cases, "the log is not flooded: $lines lines");

# ---- a caller who is no superuser ----

my $here = 'host=127.0.0.1 sslmode=disable port=' . $stub->port;

# Runs SQL as a role; returns what it says, errors too.
sub as
{
	my ($role, $sql) = @_;
	my (undef, $out, $err) = run_client([ 'psql', '-XAtq', '-d',
			$server->node->connstr('postgres') . " user=$role", '-c', $sql ]);
	chomp $out;
	return $out . $err;
}

sub finished
{
	my ($run, $name, $state) = @_;
	$state //= 'finished';
	my $waited = $server->sql("select pgwire_trace.replay_wait($run, '60 s')");

	is("$waited " . $server->sql("select state from pgwire_trace.replay_run where run_id = $run"),
		"t $state", $name)
	  or diag($server->sql("select * from pgwire_trace.replay_run where run_id = $run"));
	return;
}

$server->sql('create role alice login; grant usage on schema pgwire_trace to alice;'
	  . ' grant execute on all functions in schema pgwire_trace to alice;'
	  . ' grant select on pgwire_trace.session, pgwire_trace.exchange, pgwire_trace.query_text,'
	  . ' pgwire_trace.replay_run, pgwire_trace.replay_run_state, pgwire_trace.replay_noise to alice');
for my $option ('service=x', 'passfile=/etc/passwd', 'sslcert=server.crt', 'sslkey=server.key',
	'sslrootcert=/etc/passwd', 'sslcrl=/etc/passwd', 'sslpassword=x', 'krbsrvname=x')
{
	my ($keyword) = $option =~ /^(\w+)/;

	like(as('alice', "select pgwire_trace.replay_start('$here password=x $option')"),
		qr/connection option "$keyword" of a replay's target is for superusers/, "$keyword is for superusers");
}

# what she logs in with is what she gave, and nothing of the server's
my $recorded_by = $server->sql("select user_name from pgwire_trace.session where session_id = $session");
my $run = as('alice', "select pgwire_trace.replay_start('$here user=$recorded_by dbname=login_password"
	  . " password=guessed', array[$session], options => '{\"connect_attempts\": 1}')");
finished($run, 'her password is asked for');
like($server->sql("select reason from pgwire_trace.replay_run_session where run_id = $run"),
	qr/it was guessed\b/, 'and is what she gave');
$run = as('alice', "select pgwire_trace.replay_start('$here user=$recorded_by dbname=login_gss"
	  . " password=guessed', array[$session], options => '{\"connect_attempts\": 1}')");
finished($run, 'a ticket is asked for');
unlike($server->sql("select reason from pgwire_trace.replay_run_session where run_id = $run"),
	qr/krb5cc/, 'and not taken from the server');

# a superuser who resumes her run says where to
$run = as('alice', "select pgwire_trace.replay_start('$here user=$recorded_by dbname=silent"
	  . " password=guessed', array[$session])");
finished($run, 'a target without a password', 'aborted');
like(($server->try_sql("select pgwire_trace.replay_resume($run)"))[2], qr/was started by another role/,
	'a run of another role is not resumed unseen');
like(as('alice', "select pgwire_trace.replay_resume($run)"), qr/password is required/, 'her own is hers to resume');

# what row security hides is not sent
$server->sql('alter table pgwire_trace.session enable row level security;'
	  . ' create policy mine on pgwire_trace.session using (user_name = current_user)');
like(as('alice', "select pgwire_trace.replay_start('$here password=x')"), qr/Row security hides a part/,
	'row security');
$server->sql('drop policy mine on pgwire_trace.session; alter table pgwire_trace.session disable row level security');

# ---- secrets ----

for my $target ("postgresql://u:sesame\@127.0.0.1/d?nonsense=1",
	"postgresql://u:open\@sesame\@127.0.0.1/d", 'password=open sesame host=127.0.0.1', "password='sesame",
	"host=a password=x sesame=1")
{
	my (undef, undef, $err) = $server->try_sql("select pgwire_trace.replay_start('" . ($target =~ s/'/''/gr) . "')");
	my ($shown) = $err =~ /^(.*?)(?:^LINE|\z)/ms;

	like($shown, qr/invalid connection string/, 'a bad string');
	unlike($shown =~ s/"target"//r, qr/sesame/, 'what may be a password is not quoted');
}
$run = $server->sql("select pgwire_trace.replay_start('postgresql://$recorded_by:sesame\@127.0.0.1:"
	  . $stub->port . "/silent?sslmode=disable', array[$session])");
ok($server->wait_for("select state = 'running' from pgwire_trace.replay_run_session where run_id = $run"),
	'a run with a password');
my @seen = grep { (eval { slurp_file($_) } // '') =~ /sesame/ } map { ("$_/cmdline", "$_/environ") }
  grep { $_ ne "/proc/$$" } glob('/proc/[0-9]*');
is("@seen", '', 'it is in no command line and no environment');
is($server->sql("select count(*) from pg_stat_activity a where backend_type like 'pgwire_trace%'"
		  . " and a::text like '%sesame%'"), '0', 'nor in pg_stat_activity');
is($server->sql("select pgwire_trace.replay_cancel($run)"), 't', 'it is cancelled');
like($server->sql("select pgwire_trace.replay_cancel($run)"), qr/^[tf]$/, 'twice');
finished($run, 'it ends', 'cancelled');
is(join('', map { $server->sql("select count(*) from pgwire_trace.$_ t where t::text like '%sesame%'") }
		qw(replay_run_state replay_run_session replay_divergence)), '000', 'nor in a row');
is(join('', grep { /sesame/ && !/STATEMENT|^\s/ } split /^/, slurp_file($server->node->logfile)), '',
	'nor in the log but for the statements');

# ---- settings and triggers of others ----

$server->sql(<<'SQL');
create table caught (who text);
grant insert on caught to public;
grant create on schema public to alice;
grant trigger on all tables in schema pgwire_trace to alice;
set role alice;
create function trap() returns trigger language plpgsql as
  $$begin insert into caught values (current_user); return new; end$$;
create trigger trap before insert or update on pgwire_trace.replay_run_state for each row execute function trap();
create trigger trap before insert or update on pgwire_trace.replay_run_session for each row execute function trap();
create trigger trap before insert or update on pgwire_trace.replay_run_sent for each row execute function trap();
create trigger trap before insert or update on pgwire_trace.session for each row execute function trap();
create trigger trap before insert or update on pgwire_trace.journal_position for each row execute function trap();
reset role;
create schema shadow;
create function shadow.count(anyelement) returns bigint language sql as 'insert into caught values (current_user); select 0::bigint';
grant all on schema shadow to public;
alter database postgres set role = 'alice';
alter database postgres set session_authorization = 'alice';
alter database postgres set search_path = shadow, public, pg_catalog;
alter database postgres set default_transaction_read_only = on;
alter database postgres set default_transaction_isolation = serializable;
alter database postgres set statement_timeout = 1;
alter database postgres set lock_timeout = 1;
alter database postgres set idle_in_transaction_session_timeout = 1;
alter database postgres set row_security = on;
SQL
$ENV{PGOPTIONS} = '-c statement_timeout=0'; # for us alone
my $plain = "set role none; set search_path = public; set default_transaction_read_only = off; set statement_timeout = 0;";
$run = $server->sql("$plain select pgwire_trace.replay_start('$here dbname=well', array[$session], timing => 'asap')");
is($server->sql("$plain select pgwire_trace.replay_wait($run, '60 s')"), 't', "a database's settings");
is($server->sql("$plain select state, sent from pgwire_trace.replay_run where run_id = $run"), 'finished|3',
	'do not matter to a replay');
$server->sql("$plain select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'pgwire_trace writer'");
$server->side_sql('select 1 as written');
is($server->sql("$plain select pgwire_trace.flush('30 s')"), 't', 'nor to the writer');
is($server->sql("$plain select count(*) from caught"), '0', 'nor do triggers that others may make');
$server->sql("$plain alter database postgres reset all");
delete $ENV{PGOPTIONS};

# ---- what others leave where the extension was ----

$run = $server->sql("select pgwire_trace.replay_start('$here dbname=slow_answers', array[$session], timing => 'asap')");
ok($server->wait_for("select state = 'running' from pgwire_trace.replay_run_session where run_id = $run"), 'it runs');
my $worker = $server->worker_pid('replay');
$server->sql(<<'SQL');
begin;
drop extension pgwire_trace cascade;
drop schema if exists pgwire_trace cascade;
create schema pgwire_trace;
grant all on schema pgwire_trace to alice;
set local role alice;
create function pgwire_trace.trap() returns bigint language plpgsql as
  $$begin insert into caught values (current_user); return 0; end$$;
create table pgwire_trace.replay_run_state (run_id bigint, state text, sent bigint, divergences bigint,
  root_divergences bigint, error_message text, finished_at timestamptz, x bigint default pgwire_trace.trap());
create table pgwire_trace.replay_run_sent (run_id bigint, session_ids bigint[], exchange_nos bigint[], sent_at timestamptz[],
  duration_ms float8[], late_ms float8[], target_late_ms float8[], row_counts bigint[], row_digests bigint[], sqlstates text[],
  x bigint default pgwire_trace.trap());
create table pgwire_trace.replay_run_session (run_id bigint, session_id bigint, state text, sent bigint, reason text, captured bigint,
  filtered bigint, skipped bigint, x bigint default pgwire_trace.trap());
create table pgwire_trace.replay_divergence (run_id bigint, session_id bigint, exchange_no bigint, statement_no int, verdict text,
  is_root boolean, caused_by_exchange_no bigint, captured jsonb, replayed jsonb, at timestamptz, x bigint default pgwire_trace.trap());
commit;
SQL
ok(poll(sub { $server->sql("select count(*) from pg_stat_activity where pid = $worker") eq '0' }),
	'the extension is dropped during a run, which ends');
is($server->sql('select count(*) from caught'), '0', "somebody's tables of its names are not touched");
unlike(slurp_file($server->node->logfile), qr/terminated by signal|terminating any other active/,
	'no process of the server died of anything');
$stub->stop;

done_testing();
