/*
 * relay_filters.c
 *	  Which sessions the filter lists leave out of the record.
 */
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "relay/process.h"

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
check_session(RelayFilter include, const char *in, const char *ex, const char *name, bool filtered)
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
		check_session(kinds[i], "", "", "app", false);
		check_session(kinds[i], "app", "", "app", false);
		check_session(kinds[i], "app", "", "apps", true);
		check_session(kinds[i], "ap", "", "app", true);
		check_session(kinds[i], "app*", "", "apps", false);
		check_session(kinds[i], "app*", "", "app", false);
		check_session(kinds[i], "app*", "", "ap", true);
		check_session(kinds[i], "*", "", "anything", false);
		check_session(kinds[i], " a , app ,b", "", "app", false);
		check_session(kinds[i], "a,,b", "", "", true);
		check_session(kinds[i], "", "app", "app", true);
		check_session(kinds[i], "", "app", "other", false);
		check_session(kinds[i], "app*", "apps", "apps", true);
		check_session(kinds[i], "app*", "apps", "app1", false);
		check_session(kinds[i], "*", "*", "app", true);
		check_session(kinds[i], "", "x*", NULL, false);
		check_session(kinds[i], "app", "", NULL, true);
		check_session(kinds[i], "App", "", "app", true);
	}
	return finish();
}
