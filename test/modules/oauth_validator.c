/*
 * oauth_validator.c
 *	  A validator of OAuth tokens, for the tests: "token of NAME" is NAME's.
 *
 * PostgreSQL leaves it to such a library what a bearer token is worth, from 18 on.
 * A token of somebody that begins with "refused" is not good enough.
 */
#include "postgres.h"

#include "fmgr.h"
#include "libpq/oauth.h"

PG_MODULE_MAGIC;

#define PREFIX "token-of-"

/*
 * Says whose a token is.
 */
static bool
validate(const ValidatorModuleState *state, const char *token, const char *role,
         ValidatorModuleResult *result)
{
	if (strncmp(token, PREFIX, strlen(PREFIX)) != 0)
		return true;
	result->authn_id = pstrdup(token + strlen(PREFIX));
	result->authorized = strncmp(result->authn_id, "refused", strlen("refused")) != 0;
	return true;
}

static const OAuthValidatorCallbacks callbacks = {
    .magic = PG_OAUTH_VALIDATOR_MAGIC,
    .validate_cb = validate,
};

/*
 * Entry point.
 */
const OAuthValidatorCallbacks *
_PG_oauth_validator_module_init(void)
{
	return &callbacks;
}
