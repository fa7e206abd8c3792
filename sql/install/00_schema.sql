/* sql/install/00_schema.sql: the schema's rights, and the check of the server */

-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION pgwire_trace" to load this file. \quit

CREATE FUNCTION pgwire_trace.check_install() RETURNS void
AS 'MODULE_PATHNAME', 'pgwire_trace_check_installation' LANGUAGE C STRICT;
REVOKE ALL ON FUNCTION pgwire_trace.check_install() FROM PUBLIC;

SELECT pgwire_trace.check_install();

DROP FUNCTION pgwire_trace.check_install();

COMMENT ON SCHEMA pgwire_trace IS
'What the side port of pgwire_trace recorded, and functions that read it.';
