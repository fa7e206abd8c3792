/* sql/install/50_reading.sql: what happened: statements, parameters, results */

CREATE FUNCTION pgwire_trace.statement_rows(
	session_id bigint,
	exchange_no bigint DEFAULT NULL,
	OUT session_id bigint,
	OUT exchange_no bigint,
	OUT statement_no integer,
	OUT statement_name text,
	OUT portal_name text,
	OUT query text,
	OUT prepared_query text,
	OUT function_name text,
	OUT parameter_types text[],
	OUT parameter_formats text[],
	OUT parameter_values text[],
	OUT command_tag text,
	OUT row_count bigint,
	OUT data_row_count bigint,
	OUT sqlstate text,
	OUT error_message text,
	OUT is_suspended boolean,
	OUT is_truncated boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_statement_rows'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000 -- first choose the sessions
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.statement_rows(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.statement_rows(bigint, bigint) IS
'The rows of view statement for a session, or for one of its exchanges. The session is read from its start, as statements may have been prepared at any time; no rows for a session or exchange that there is not. Needs SELECT on the tables.';

-- session_id is the table's, so that a condition on it chooses the sessions that are read.
CREATE VIEW pgwire_trace.statement WITH (security_invoker = true) AS
SELECT s.session_id,
	   r.exchange_no,
	   r.statement_no,
	   r.statement_name,
	   r.portal_name,
	   r.query,
	   r.prepared_query,
	   r.function_name,
	   r.parameter_types,
	   r.parameter_formats,
	   r.parameter_values,
	   r.command_tag,
	   r.row_count,
	   r.data_row_count,
	   r.sqlstate,
	   r.error_message,
	   r.is_suspended,
	   r.is_truncated
FROM pgwire_trace.session s
CROSS JOIN LATERAL pgwire_trace.statement_rows(s.session_id) r;
REVOKE ALL ON pgwire_trace.statement FROM PUBLIC;
COMMENT ON VIEW pgwire_trace.statement IS
'One row a statement that was run, or failed, in the order of their answers. Name a session_id: each session that is asked for is read as a whole. Statements behind an error that the server skipped were not run and have no row. Whoever reads it needs EXECUTE on statement_rows() and SELECT on the tables too.';
COMMENT ON COLUMN pgwire_trace.statement.session_id IS 'Session that it belongs to.';
COMMENT ON COLUMN pgwire_trace.statement.exchange_no IS 'Exchange of the session that it belongs to.';
COMMENT ON COLUMN pgwire_trace.statement.statement_no IS 'Number in the exchange, from 1.';
COMMENT ON COLUMN pgwire_trace.statement.statement_name IS 'Prepared statement of the extended protocol, empty for the unnamed one; NULL for a statement of a Query.';
COMMENT ON COLUMN pgwire_trace.statement.portal_name IS 'Portal, empty for the unnamed one; NULL for a statement of a Query, and for an error before Bind.';
COMMENT ON COLUMN pgwire_trace.statement.query IS 'Its text, passwords masked; of a Query with several statements the one that this row is about. NULL where it is not known: not recorded, no text in the session''s encoding, or an error that belongs to no statement, as at the end of a transaction.';
COMMENT ON COLUMN pgwire_trace.statement.prepared_query IS 'What an SQL-level EXECUTE ran, if its PREPARE was recorded.';
COMMENT ON COLUMN pgwire_trace.statement.function_name IS 'Function of a FunctionCall, with its argument types; its OID where that means nothing in this database.';
COMMENT ON COLUMN pgwire_trace.statement.parameter_types IS 'Types of the parameters as the client or a ParameterDescription gave them, NULL where neither did; the OID where the type means nothing in this database. NULL without Bind or FunctionCall.';
COMMENT ON COLUMN pgwire_trace.statement.parameter_formats IS 'text or binary, for each parameter.';
COMMENT ON COLUMN pgwire_trace.statement.parameter_values IS 'The parameters as text; what cannot be shown as text is \x and hexadecimal digits, and parameters() says why.';
COMMENT ON COLUMN pgwire_trace.statement.command_tag IS 'Command tag; NULL after an error, for an empty or suspended statement, a function call, and where it is not known.';
COMMENT ON COLUMN pgwire_trace.statement.row_count IS 'Rows that the command tag names; NULL if it names none.';
COMMENT ON COLUMN pgwire_trace.statement.data_row_count IS 'Rows of its result that are in the record; less than there were if is_truncated.';
COMMENT ON COLUMN pgwire_trace.statement.sqlstate IS 'SQLSTATE of its error; NULL without one.';
COMMENT ON COLUMN pgwire_trace.statement.error_message IS 'Message of its error; NULL without one.';
COMMENT ON COLUMN pgwire_trace.statement.is_suspended IS 'Whether it stopped at the row limit of its Execute; another Execute of the portal may go on.';
COMMENT ON COLUMN pgwire_trace.statement.is_truncated IS 'Whether its answer is not in the record to its end: cut by a limit, recorded without bytes, or the connection ended. What the exchange''s counts tell is filled in all the same.';

CREATE FUNCTION pgwire_trace.parameters(
	session_id bigint,
	exchange_no bigint,
	OUT statement_no integer,
	OUT parameter_no integer,
	OUT type text,
	OUT format text,
	OUT value text,
	OUT reason text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_parameters'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.parameters(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.parameters(bigint, bigint) IS
'The parameters of an exchange''s statements; statement_no as in view statement. type: name, or OID where it means nothing in this database, NULL where nothing told it. format: text or binary. value: as text under the session''s settings, NULL for NULL; what cannot be shown as text is \x and hexadecimal digits, and reason says why. Types of users are read as the recorded role, if the caller could act as that; domains as their base types. No rows for a session or exchange that there is not. Needs SELECT on the tables.';

CREATE FUNCTION pgwire_trace.result(
	session_id bigint,
	exchange_no bigint,
	statement_no integer DEFAULT 1,
	OUT row_no bigint,
	OUT "row" jsonb)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_result'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.result(bigint, bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.result(bigint, bigint, integer) IS
'The rows that a statement answered, in order; statement_no as in view statement. row is an array of the values as text under the session''s settings, null for NULL; {"hex": digits, "reason": text} for what cannot be shown as text. A last row {"truncated": true} says that there was more than is in the record. No rows for a session, exchange or statement that there is not. Needs SELECT on the tables.';

CREATE FUNCTION pgwire_trace.result_columns(
	session_id bigint,
	exchange_no bigint,
	statement_no integer DEFAULT 1,
	OUT column_no integer,
	OUT name text,
	OUT type text,
	OUT format text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_result_columns'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.result_columns(bigint, bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.result_columns(bigint, bigint, integer) IS
'The columns of a statement''s result: name and type (its OID where it means nothing in this database; both NULL where the client never asked for a description), format text or binary. No rows for a statement without a result, or that there is not. Needs SELECT on the tables.';

CREATE FUNCTION pgwire_trace.result_set(
	session_id bigint,
	exchange_no bigint,
	statement_no integer DEFAULT 1)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'pgwire_trace_result_set'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.result_set(bigint, bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.result_set(bigint, bigint, integer) IS
'The rows that a statement answered, as columns of the types that the caller names: FROM pgwire_trace.result_set(s, e) AS t(id int, name text). Values are read by these types'' input functions under the session''s settings. A value that does not fit is NULL, with a WARNING for the first of each column; a WARNING also says where the record of the result ends before the result did. Raises 22023 for another number of columns than there are, 0A000 for a type whose input may not be run: a domain (name its base type), or functions that would run as a recorded role that the caller could not act as. Needs SELECT on the tables.';

CREATE FUNCTION pgwire_trace.explain(
	session_id bigint,
	exchange_no bigint,
	statement_no integer DEFAULT 1)
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'pgwire_trace_explain'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.explain(bigint, bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.explain(bigint, bigint, integer) IS
'The plan that a recorded statement would get now, as EXPLAIN prints it, with the recorded parameters bound. It is planned as the role that ran it, as a restricted operation in a subtransaction that is rolled back; nothing is executed. The search path is the one that the client asked for at login or the server reported (from PostgreSQL 18 on), else "$user", public. Raises 0A000, with the reason in DETAIL, for what is not exactly one statement that has a plan, for a session of another database, for a value that is not known, for a role that the caller could not act as, and for a superuser''s statement in a database where roles that are no superusers own a function, operator, type or table. No lines for a statement that there is not. Needs SELECT on the tables.';

CREATE FUNCTION pgwire_trace.psql_script(
	session_id bigint,
	exchange_no bigint DEFAULT NULL)
RETURNS SETOF text
AS 'MODULE_PATHNAME', 'pgwire_trace_psql_script'
LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
REVOKE ALL ON FUNCTION pgwire_trace.psql_script(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION pgwire_trace.psql_script(bigint, bigint) IS
'What a recorded session ran, or one of its exchanges, as a script for psql, a row a line: psql -XAtqc "select * from pgwire_trace.psql_script(5)" > script.sql. Prepared statements are PREPARE and EXECUTE with typed literals, COPY FROM STDIN has its data, errors are comments behind what failed. What a script cannot do (binary COPY, values without text, what is not in the record) is a comment that says so. Secrets were masked. No lines for a session or exchange that there is not. Needs SELECT on the tables.';
