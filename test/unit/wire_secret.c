/*
 * wire_secret.c
 *	  What must never be stored is overwritten, its length kept, and nothing
 *	  else is.
 *
 * In the texts below secrets are written as one of the words in `secrets`.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checks.h"
#include "wire/wire.h"

static const char *const secrets[] = {"s3cret", "t0psecret"};

/*
 * Tells whether bytes hold a secret, or half of one.
 */
static bool
holds_secret(const char *text, size_t len)
{
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		for (size_t at = 0; at + 4 <= len; at++)
			if (memcmp(text + at, secrets[i], 4) == 0)
				return true;
	return false;
}

/*
 * Masks a copy of a text, in memory of its size.
 */
static char *
masked_copy(const char *text, size_t len, bool standard_strings, bool *masked)
{
	char *copy = malloc(len > 0 ? len : 1);

	memcpy(copy, text, len);
	*masked = wire_mask_query(copy, len, standard_strings);
	return copy;
}

/*
 * Tests that a text's secrets are gone, under either setting, and that nothing
 * outside of constants has changed; also with the text cut at every byte.
 */
static void
hidden(const char *text)
{
	size_t len = strlen(text);

	for (size_t cut = len; cut > 0; cut--)
	{
		bool masked;
		char *copy = masked_copy(text, cut, true, &masked);

		if (holds_secret(copy, cut) || (cut == len && !masked))
		{
			printf("   got: %.*s\n", (int) cut, copy);
			check(false, text);
			free(copy);
			return;
		}
		free(copy);
	}
	check(true, text);
}

/*
 * Tests that nothing in a text is masked.
 */
static void
untouched(const char *text)
{
	bool masked;
	char *copy = masked_copy(text, strlen(text), true, &masked);

	if (masked)
		printf("   got: %.*s\n", (int) strlen(text), copy);
	check(!masked && memcmp(copy, text, strlen(text)) == 0, text);
	free(copy);
}

/*
 * Tests what a text becomes.
 */
static void
becomes(const char *text, const char *expected)
{
	bool masked;
	char *copy = masked_copy(text, strlen(text), true, &masked);

	if (memcmp(copy, expected, strlen(text)) != 0)
		printf("   got: %.*s\n", (int) strlen(text), copy);
	check(masked && memcmp(copy, expected, strlen(text)) == 0, text);
	free(copy);
}

static void
test_roles(void)
{
	hidden("create role r password 's3cret'");
	hidden("CREATE USER u WITH ENCRYPTED PASSWORD 's3cret' VALID UNTIL '2030-01-01'");
	hidden("create group g password 's3cret'");
	hidden("alter role r with login password 's3cret' createdb");
	hidden("ALTER/**/USER/* /* x */ */u--\nPASSWORD\n\t's3cret'");
	hidden("alter user u password E's3\\x63ret s3cret'");
	hidden("alter user u password U&'s3cret!0061' uescape '!'");
	hidden("alter user u password $$s3cret$$");
	hidden("alter user u password $x$s3cret$x$");
	hidden("alter user u password 's3cret'\n's3cret'");
	hidden("alter user u password \"s3cret\"");
	hidden("alter user u password s3cret");
	hidden("alter user u password 'it''s3cret'");
	hidden("select 1; alter role r password 's3cret'; select 2");
	hidden("begin;create role a;create role b password 's3cret';commit");
	hidden("explain analyze; alter role \"a;b\" password 's3cret'");
	hidden("alter role r passwort 's3cret'");
	hidden("alter role r pasword 's3cret'");
	becomes("alter role r password 's3cret'; select 'x'",
	        "alter role r password '******'; select 'x'");
	becomes("select 'x'; alter role r password 's3cret'",
	        "select 'x'; alter role r password '******'");
	untouched("alter role r password null");
	untouched("alter role r set search_path = 'a'");
	untouched("create role r valid until '2030-01-01'");
	untouched("grant role to \"user\"");
}

static void
test_connections(void)
{
	hidden("create subscription s connection 'host=h password=s3cret' publication p");
	hidden("ALTER SUBSCRIPTION s CONNECTION 'host=h passfile=s3cret'");
	hidden("create server s foreign data wrapper w options (host 's3cret')");
	hidden("create server if not exists s foreign data wrapper w options (password 's3cret')");
	hidden("alter server s options (set x 's3cret')");
	hidden("create user mapping for u server s options (user 'u', password 's3cret')");
	hidden("create user mapping if not exists for u server s options (secret 's3cret')");
	hidden("alter user mapping for public server s options (set password 's3cret')");
	hidden("create foreign data wrapper w options (key 's3cret')");
	hidden("select dblink_connect('host=h password=s3cret')");
	hidden("select * from dblink('dbname=x password=''s3cret''', 'select 1') as t(a int)");
	hidden("select public.\"dblink_connect\"('c', 's3cret')");
	hidden("select U&\"dblin\\006b_connect\"('s3cret')");
	hidden("select U&\"dblin!006b_connect\" uescape '!' ('s3cret')");
	hidden("select set_config('x.y', 'host=h password = s3cret', false)");
	hidden("select 'postgresql://u:s3cret@h/d'");
	hidden("select 'POSTGRES://u:s3cret@h/d'");
	untouched("create table server (host text default 'x')");
	untouched("select * from server where subscription = 'x' and mapping = 'y'");
	untouched("select 'https://example.org/a?b=c'");
	untouched("insert into users (name, password) values ('a', 'b')");
	untouched("select pg_catalog.quote_ident('user'), 'password'");
	untouched("drop server s; select 'x'");
}

static void
test_dynamic(void)
{
	hidden("do $$ begin create role r password 's3cret'; end $$");
	hidden("do $$begin execute 'create role r password ''s3cret'''; end$$");
	hidden("do 'begin create role r password ''s3cret''; end'");
	hidden("do $a$ begin execute $b$alter role r password 's3cret'$b$; end $a$");
	hidden("do $a$ begin execute format($b$alter role %I password %L$b$, 'r', 's3cret'); end $a$");
	hidden("do $a$begin execute 'alter role r ' || 'password ' || quote_literal('s3cret'); end$a$");
	hidden("do $a$begin execute E'alter\\nuser r pass\\x77ord ''s3cret'''; end$a$");
	hidden("do $a$begin execute E'\\x61lter user r password ''s3cret'''; end$a$");
	hidden("do E'begin create \\x72ole r password ''s3cret''; end'");
	hidden("do U&'begin create \\0072ole r password ''s3cret''; end'");
	hidden("select format('alter user %I with password %L', 'u', 's3cret') \\gexec");
	hidden("create function f() returns void language plpgsql as $$\n"
	       "begin\n  perform 1;\n  alter role r password 's3cret';\nend $$");
	hidden("create or replace procedure p() language plpgsql as $x$ begin\n"
	       "perform dblink_connect('host=h password=s3cret'); end $x$");
	hidden("create function f() returns void language sql as 'alter role r password ''s3cret'''");
	hidden("create function f() returns void begin atomic select dblink_exec('s3cret'); end");
	becomes("do $$ begin perform 'x'; create role r password 's3cret'; end $$",
	        "do $$ begin perform 'x'; create role r password '******'; end $$");
	untouched("create function create_user(password text) returns text language sql as "
	          "$$ select 'x' || password $$");
	untouched("do $$ begin raise notice 'password of user %', 1; end $$");
	untouched("select E'a\\x41', 'execute'");
}

/*
 * Tests a text under the other setting of standard_conforming_strings than the
 * caller believes in.
 */
static void
test_settings(void)
{
	static const char text[] =
	    "select 'a\\'; alter role r password '; alter role r password 's3cret'";
	bool masked;
	char *copy = masked_copy(text, sizeof(text) - 1, true, &masked);

	check(masked && !holds_secret(copy, sizeof(text) - 1), "a backslash, standard");
	free(copy);
	copy = masked_copy(text, sizeof(text) - 1, false, &masked);
	check(masked && !holds_secret(copy, sizeof(text) - 1), "a backslash, not standard");
	free(copy);
}

/*
 * Tests that texts made to be read again and again are not: 256 kB of each
 * takes a moment, not minutes.
 */
static void
test_hostile(void)
{
	static const char *const pieces[] = {
	    "'create/*",  "create ",     "'create ",     "';",           "$a",
	    "$a$;",       "'password ",  "/*",           "*/",           "--",
	    "execute E'", "\\",          "\"",           "U&\"dblink\"", "create user mapping ",
	    "do $a$$b$ ", "alter role ", "postgresql:/", "server '\\x",  "$dblink$ ' ",
	};
	size_t len = 256 * 1024;
	char *text = malloc(len);
	clock_t begin = clock();

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		size_t size = strlen(pieces[i]);

		for (size_t at = 0; at < len; at++)
			text[at] = pieces[i][at % size];
		memcpy(text, "dblink\\1", 8); /* it is read at all, and both ways */
		wire_mask_query(text, len, true);
	}
	check(clock() - begin < 10 * CLOCKS_PER_SEC, "a quarter of a megabyte of anything");
	free(text);
}

/*
 * Tests a body: what it becomes.
 */
static void
body(WireMessageId id, const char *bytes, size_t len, const char *expected)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	memcpy(copy, bytes, len);
	wire_mask_body(id, copy, len, true);
	check(memcmp(copy, expected, len) == 0, wire_name_of(id));
	free(copy);
}

#define BODY(id, bytes, expected) body(WIRE_MSG_##id, bytes, sizeof(bytes) - 1, expected)

static void
test_bodies(void)
{
	BODY(PasswordMessage, "s3cret\0", "******\0");
	BODY(PasswordMessage, "s3cr", "****");
	BODY(PasswordMessage, "", "");
	/* the relay need not know which 'p' it is */
	BODY(PasswordMessage, "SCRAM-SHA-256\0\0\0\0\6s3cret", "SCRAM-SHA-256\0\0\0\0\6******");
	BODY(SASLInitialResponse, "SCRAM-SHA-256-PLUS\0\0\0\0\6s3cret",
	     "SCRAM-SHA-256-PLUS\0\0\0\0\6******");
	BODY(PasswordMessage, "SCRAM-SHA-256\0", "*************\0");
	BODY(SASLInitialResponse, "PLAIN\0\0\0\0\6s3cret", "****************");
	BODY(GSSResponse, "\0\1\2s3cret", "*********");
	BODY(SASLResponse, "c=biws,r=s3cret", "***************");
	BODY(AuthenticationSASLContinue, "\0\0\0\13r=s3cret", "\0\0\0\13********");
	BODY(AuthenticationSASLFinal, "\0\0\0\14v=s3cret", "\0\0\0\14********");
	BODY(AuthenticationGSSContinue, "\0\0\0\10s3cret", "\0\0\0\10******");
	BODY(AuthenticationMD5Password, "\0\0\0\5salt", "\0\0\0\5salt");
	BODY(AuthenticationSASLContinue, "\0\0", "\0\0");
	BODY(BackendKeyData, "\0\0\1\2abcd", "\0\0\1\2****");
	BODY(BackendKeyData, "\0\0\1\2abcdefgh01234567", "\0\0\1\2****************");
	BODY(CancelRequest, "\0\0\1\2abcd", "\0\0\1\2****");
	BODY(CancelRequest, "\0\0\1\2abcdefgh01234567", "\0\0\1\2****************");
	BODY(Query, "alter role r password 's3cret'\0", "alter role r password '******'\0");
	BODY(Query, "alter role r password 's3cr", "alter role r password '****");
	BODY(Parse, "s1\0alter role r password 's3cret'\0\0\0",
	     "s1\0alter role r password '******'\0\0\0");
	BODY(Bind, "p\0s3cret\0\0\0\0\0\0\0", "p\0s3cret\0\0\0\0\0\0\0");
	BODY(ErrorResponse, "SERROR\0C42601\0Msyntax error at or near \"'s3cret'\"\0\0",
	     "SERROR\0C42601\0Msyntax error at or near \"********\"\0\0");
	BODY(ErrorResponse, "SERROR\0C42704\0Mno role \"r\"\0qalter role r password 's3cret'\0\0",
	     "SERROR\0C42704\0Mno role \"r\"\0q******************************\0\0");
	BODY(ErrorResponse, "SFATAL\0C28P01\0Mpassword authentication failed for user \"u\"\0\0",
	     "SFATAL\0C28P01\0Mpassword authentication failed for user \"u\"\0\0");
}

/*
 * Tests whether an error quotes a secret.
 */
static void
test_errors(void)
{
	static const char context[] =
	    "SERROR\0Wwhere SQL statement \"alter role r password 's3cret'\"\0";
	static const char harmless[] = "SERROR\0Mpassword of role \"create\" is too short\0\0";

	check(wire_error_secret((const uint8_t *) context, sizeof(context) - 1),
	      "a context with a password");
	check(wire_error_secret((const uint8_t *) context, sizeof(context) - 8), "the same, cut");
	check(!wire_error_secret((const uint8_t *) harmless, sizeof(harmless) - 1), "a word alone");
	check(!wire_error_secret(NULL, 0), "nothing");
}

int
main(void)
{
	test_roles();
	test_connections();
	test_dynamic();
	test_settings();
	test_hostile();
	test_bodies();
	test_errors();
	return finish();
}
