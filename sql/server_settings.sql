-- The settings: their defaults, ranges and contexts, and what their checks refuse.
SELECT name, boot_val, unit, min_val, max_val, enumvals, context
FROM pg_settings
WHERE name LIKE 'pgwire_trace.%'
ORDER BY name COLLATE "C";

-- each says what it is for
SELECT name FROM pg_settings WHERE name LIKE 'pgwire_trace.%' AND short_desc = '';

-- the prefix is reserved: a misspelt setting is an error, not a placeholder
SET pgwire_trace.nosuch = 1;
-- none can be changed by a session, or by a database's or role's owner
SET pgwire_trace.capture = off;
ALTER DATABASE regression_sql SET pgwire_trace.capture = off;

-- what the checks refuse
ALTER SYSTEM SET pgwire_trace.database = '';
ALTER SYSTEM SET pgwire_trace.database = 'a_name_that_is_longer_than_the_server_allows_for_names_of_any_kind';
ALTER SYSTEM SET pgwire_trace.listen_addresses = 'localhost,,127.0.0.1';
ALTER SYSTEM SET pgwire_trace.include_users = 'a*b';
ALTER SYSTEM SET pgwire_trace.exclude_applications = 'pg_*, *';
ALTER SYSTEM RESET pgwire_trace.exclude_applications;
ALTER SYSTEM SET pgwire_trace.journal_directory = 'relative/path';
ALTER SYSTEM SET pgwire_trace.capture = 'some';
-- from 17 on the message has units for the range
\set VERBOSITY sqlstate
ALTER SYSTEM SET pgwire_trace.response_limit = '1GB';
ALTER SYSTEM SET pgwire_trace.response_limit = '-1';
ALTER SYSTEM RESET pgwire_trace.response_limit;
ALTER SYSTEM SET pgwire_trace.sample_rate = 1.5;
ALTER SYSTEM SET pgwire_trace.journal_limit = '63MB';
ALTER SYSTEM SET pgwire_trace.flush_interval = '5ms';
