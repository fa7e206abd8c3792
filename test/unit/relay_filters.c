/*
 * relay_filters.c
 *	  Which sessions the filter lists leave out of the record.
 */
#include <stdio.h>
#include <string.h>

#include "relay/process.h"

static int passed;
static int failed;

/*
 * Makes a span of a string; NULL: a parameter that the client did not send.
 */
static WireSpan
span(const char *text)
{
	return (WireSpan){(const uint8_t *) text, text ? strlen(text) : 0};
}

/*
 * Checks one session against two lists.
 */
static void
check(RelayFilter include, const char *in, const char *ex, const char *name, bool filtered)
{
	RelayConfig config;
	WireSpan other = span("x");
	bool got;

	memset(&config, 0, sizeof(config));
	strcpy(config.filters[include], in);
	strcpy(config.filters[include + 1], ex);
	got = config_filtered(&config, include == RELAY_INCLUDE_DATABASES ? span(name) : other,
	                      include == RELAY_INCLUDE_USERS ? span(name) : other,
	                      include == RELAY_INCLUDE_APPLICATIONS ? span(name) : other);
	if (got == filtered)
		passed++;
	else
	{
		failed++;
		printf("FAILED include \"%s\" exclude \"%s\" name \"%s\": expected %d\n", in, ex,
		       name ? name : "(none)", filtered);
	}
}

int
main(void)
{
	static const RelayFilter kinds[] = {RELAY_INCLUDE_DATABASES, RELAY_INCLUDE_USERS,
	                                    RELAY_INCLUDE_APPLICATIONS};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		check(kinds[i], "", "", "app", false);
		check(kinds[i], "app", "", "app", false);
		check(kinds[i], "app", "", "apps", true);
		check(kinds[i], "ap", "", "app", true);
		check(kinds[i], "app*", "", "apps", false);
		check(kinds[i], "app*", "", "app", false);
		check(kinds[i], "app*", "", "ap", true);
		check(kinds[i], "*", "", "anything", false);
		check(kinds[i], " a , app ,b", "", "app", false);
		check(kinds[i], "a,,b", "", "", true);
		check(kinds[i], "", "app", "app", true);
		check(kinds[i], "", "app", "other", false);
		check(kinds[i], "app*", "apps", "apps", true);
		check(kinds[i], "app*", "apps", "app1", false);
		check(kinds[i], "*", "*", "app", true);
		check(kinds[i], "", "x*", NULL, false);
		check(kinds[i], "app", "", NULL, true);
		check(kinds[i], "App", "", "app", true);
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
