/*
 * columns.h
 *	  The columns of the record, in the order of their tables: ONE list.
 *
 * No include guard: each includer says what a row becomes by defining
 * SESSION_COLUMN, EXCHANGE_COLUMN and QUERY_TEXT_COLUMN(name, kind).  The relay
 * numbers its values by it, the writer names its COPY columns by it.  The
 * install script declares the same columns; a test compares.
 *
 * kind: TEXT (text in the session's encoding), JSON (text that the writer
 * gives to jsonb), BOOL, INT4, INT8, OID, TIME (timestamptz, microseconds since
 * 2000-01-01), INET, BYTES.
 */
SESSION_COLUMN(session_id, INT8)
SESSION_COLUMN(started_at, TIME)
SESSION_COLUMN(authenticated_at, TIME)
SESSION_COLUMN(ended_at, TIME)
SESSION_COLUMN(client_addr, INET)
SESSION_COLUMN(client_port, INT4)
SESSION_COLUMN(user_name, TEXT)
SESSION_COLUMN(database_name, TEXT)
SESSION_COLUMN(application_name, TEXT)
SESSION_COLUMN(database_oid, OID)
SESSION_COLUMN(backend_pid, INT4)
SESSION_COLUMN(backend_start, TIME)
SESSION_COLUMN(protocol_version, TEXT)
SESSION_COLUMN(tls_version, TEXT)
SESSION_COLUMN(tls_cipher, TEXT)
SESSION_COLUMN(startup_parameters, JSON)
SESSION_COLUMN(server_parameters, JSON)
SESSION_COLUMN(exchange_count, INT8)
SESSION_COLUMN(request_bytes, INT8)
SESSION_COLUMN(response_bytes, INT8)
SESSION_COLUMN(dropped_exchanges, INT8)
SESSION_COLUMN(is_desynchronised, BOOL)
SESSION_COLUMN(end_reason, TEXT)
SESSION_COLUMN(journal_series, INT8)

EXCHANGE_COLUMN(started_at, TIME)
EXCHANGE_COLUMN(session_id, INT8)
EXCHANGE_COLUMN(exchange_no, INT8)
EXCHANGE_COLUMN(query_hash, INT8)
EXCHANGE_COLUMN(facts, BYTES)
EXCHANGE_COLUMN(bytes, BYTES)
EXCHANGE_COLUMN(query, TEXT)
EXCHANGE_COLUMN(error_message, TEXT)

QUERY_TEXT_COLUMN(query_hash, INT8)
QUERY_TEXT_COLUMN(query, TEXT)
QUERY_TEXT_COLUMN(normalised, TEXT)
QUERY_TEXT_COLUMN(normalised_hash, INT8)
QUERY_TEXT_COLUMN(first_seen, TIME)
QUERY_TEXT_COLUMN(last_used, TIME)
