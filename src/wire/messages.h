/*
 * messages.h
 *	  Every message of the frontend/backend protocol, 3.0 to 3.2: ONE list.
 *
 * No include guard: each includer says what a row becomes.
 *
 *		WIRE_MESSAGE(name, directions, type, phases, since, help)
 *			directions	F, B or FB
 *			type		its first byte; 0: it has none
 *			phases		a sum of ANY or single phases: where this byte is this message
 *			since		first protocol version, 30 for 3.0
 *		WIRE_FIELD(message, name, kind)
 *			a field of the message above it, in order; kinds stand in kinds.h
 *
 * Authentication requests share type 'R'; their first four bytes, the code, are
 * given as the type: R(code).  So are those of the requests that may stand in
 * for a startup packet, which have no type byte: U(code).
 *
 * Protocol documentation: "Message Formats".
 */

/* Before the startup packet is through there is no type byte. */
WIRE_MESSAGE(StartupMessage, F, 0, STARTUP, 30, "opens a connection")
WIRE_FIELD(StartupMessage, protocol_version, VERSION)
WIRE_FIELD(StartupMessage, parameters, PAIRS)
WIRE_MESSAGE(SSLRequest, F, U(80877103), STARTUP, 30, "asks for TLS")
WIRE_MESSAGE(GSSENCRequest, F, U(80877104), STARTUP, 30, "asks for GSSAPI encryption")
WIRE_MESSAGE(CancelRequest, F, U(80877102), STARTUP, 30, "asks to cancel what another session runs")
WIRE_FIELD(CancelRequest, process_id, UINT32)
WIRE_FIELD(CancelRequest, secret_key, SECRET)
WIRE_MESSAGE(SSLResponse, B, 'S', SSL_ANSWER, 30, "answers SSLRequest: S will do TLS, N will not")
WIRE_FIELD(SSLResponse, answer, CHAR)
WIRE_MESSAGE(GSSENCResponse, B, 'G', SSL_ANSWER, 30, "answers GSSENCRequest: will encrypt")
WIRE_FIELD(GSSENCResponse, answer, CHAR)

/* The answers to authentication requests: one byte, four messages. */
WIRE_MESSAGE(PasswordMessage, F, 'p', PASSWORD, 30, "sends a password, or its hash")
WIRE_FIELD(PasswordMessage, password, SECRET_STRING)
WIRE_MESSAGE(SASLInitialResponse, F, 'p', SASL_INITIAL, 30, "chooses a SASL mechanism")
WIRE_FIELD(SASLInitialResponse, mechanism, STRING)
WIRE_FIELD(SASLInitialResponse, data, SECRET_VALUE)
WIRE_MESSAGE(SASLResponse, F, 'p', SASL, 30, "goes on with SASL authentication")
WIRE_FIELD(SASLResponse, data, SECRET)
WIRE_MESSAGE(GSSResponse, F, 'p', GSS, 30, "goes on with GSSAPI or SSPI authentication")
WIRE_FIELD(GSSResponse, data, SECRET)

/* Frontend. */
WIRE_MESSAGE(Bind, F, 'B', ANY, 30, "binds a statement and its parameters to a portal")
WIRE_FIELD(Bind, portal, STRING)
WIRE_FIELD(Bind, statement, STRING)
WIRE_FIELD(Bind, parameter_formats, FORMATS)
WIRE_FIELD(Bind, parameters, VALUES)
WIRE_FIELD(Bind, result_formats, FORMATS)
WIRE_MESSAGE(Close, F, 'C', ANY, 30, "closes a statement or portal")
WIRE_FIELD(Close, kind, CHAR)
WIRE_FIELD(Close, name, STRING)
WIRE_MESSAGE(CopyFail, F, 'f', ANY, 30, "gives a COPY FROM STDIN up")
WIRE_FIELD(CopyFail, message, STRING)
WIRE_MESSAGE(Describe, F, 'D', ANY, 30, "asks for the shape of a statement or portal")
WIRE_FIELD(Describe, kind, CHAR)
WIRE_FIELD(Describe, name, STRING)
WIRE_MESSAGE(Execute, F, 'E', ANY, 30, "runs a portal")
WIRE_FIELD(Execute, portal, STRING)
WIRE_FIELD(Execute, max_rows, INT32)
WIRE_MESSAGE(Flush, F, 'H', ANY, 30, "asks for the answers that are ready")
WIRE_MESSAGE(FunctionCall, F, 'F', ANY, 30, "calls a function by its OID")
WIRE_FIELD(FunctionCall, function_oid, UINT32)
WIRE_FIELD(FunctionCall, argument_formats, FORMATS)
WIRE_FIELD(FunctionCall, arguments, VALUES)
WIRE_FIELD(FunctionCall, result_format, INT16)
WIRE_MESSAGE(Parse, F, 'P', ANY, 30, "makes a prepared statement")
WIRE_FIELD(Parse, statement, STRING)
WIRE_FIELD(Parse, query, QUERY)
WIRE_FIELD(Parse, parameter_types, OIDS)
WIRE_MESSAGE(Query, F, 'Q', ANY, 30, "runs a simple query")
WIRE_FIELD(Query, query, QUERY)
WIRE_MESSAGE(Sync, F, 'S', ANY, 30, "ends a run of extended messages")
WIRE_MESSAGE(Terminate, F, 'X', ANY, 30, "ends the session")

/* Both. */
WIRE_MESSAGE(CopyData, FB, 'd', ANY, 30, "carries data of a COPY or of replication")
WIRE_FIELD(CopyData, data, BYTES)
WIRE_MESSAGE(CopyDone, FB, 'c', ANY, 30, "ends the data of a COPY")

/* Backend: authentication requests. */
WIRE_MESSAGE(AuthenticationOk, B, R(0), ANY, 30, "lets the client in")
WIRE_MESSAGE(AuthenticationKerberosV5, B, R(2), ANY, 30, "asks for Kerberos V5, no longer used")
WIRE_MESSAGE(AuthenticationCleartextPassword, B, R(3), ANY, 30, "asks for the password")
WIRE_MESSAGE(AuthenticationMD5Password, B, R(5), ANY, 30, "asks for the password's MD5 hash")
WIRE_FIELD(AuthenticationMD5Password, salt, BYTES)
WIRE_MESSAGE(AuthenticationGSS, B, R(7), ANY, 30, "asks for GSSAPI authentication")
WIRE_MESSAGE(AuthenticationGSSContinue, B, R(8), ANY, 30, "goes on with GSSAPI or SSPI")
WIRE_FIELD(AuthenticationGSSContinue, data, SECRET)
WIRE_MESSAGE(AuthenticationSSPI, B, R(9), ANY, 30, "asks for SSPI authentication")
WIRE_MESSAGE(AuthenticationSASL, B, R(10), ANY, 30, "asks for SASL authentication")
WIRE_FIELD(AuthenticationSASL, mechanisms, STRINGS)
WIRE_MESSAGE(AuthenticationSASLContinue, B, R(11), ANY, 30, "goes on with SASL")
WIRE_FIELD(AuthenticationSASLContinue, data, SECRET)
WIRE_MESSAGE(AuthenticationSASLFinal, B, R(12), ANY, 30, "ends SASL")
WIRE_FIELD(AuthenticationSASLFinal, data, SECRET)

/* Backend. */
WIRE_MESSAGE(BackendKeyData, B, 'K', ANY, 30, "gives the key for cancel requests")
WIRE_FIELD(BackendKeyData, process_id, UINT32)
WIRE_FIELD(BackendKeyData, secret_key, SECRET)
WIRE_MESSAGE(BindComplete, B, '2', ANY, 30, "a Bind is done")
WIRE_MESSAGE(CloseComplete, B, '3', ANY, 30, "a Close is done")
WIRE_MESSAGE(CommandComplete, B, 'C', ANY, 30, "a command is done")
WIRE_FIELD(CommandComplete, tag, STRING)
WIRE_MESSAGE(CopyInResponse, B, 'G', ANY, 30, "waits for the data of a COPY FROM STDIN")
WIRE_FIELD(CopyInResponse, format, INT8)
WIRE_FIELD(CopyInResponse, column_formats, FORMATS)
WIRE_MESSAGE(CopyOutResponse, B, 'H', ANY, 30, "begins the data of a COPY TO STDOUT")
WIRE_FIELD(CopyOutResponse, format, INT8)
WIRE_FIELD(CopyOutResponse, column_formats, FORMATS)
WIRE_MESSAGE(CopyBothResponse, B, 'W', ANY, 30, "begins streaming replication")
WIRE_FIELD(CopyBothResponse, format, INT8)
WIRE_FIELD(CopyBothResponse, column_formats, FORMATS)
WIRE_MESSAGE(DataRow, B, 'D', ANY, 30, "a row of a result")
WIRE_FIELD(DataRow, values, VALUES)
WIRE_MESSAGE(EmptyQueryResponse, B, 'I', ANY, 30, "the query text was empty")
WIRE_MESSAGE(ErrorResponse, B, 'E', ANY, 30, "an error")
WIRE_FIELD(ErrorResponse, fields, ERROR_FIELDS)
WIRE_MESSAGE(FunctionCallResponse, B, 'V', ANY, 30, "the result of a FunctionCall")
WIRE_FIELD(FunctionCallResponse, value, VALUE)
WIRE_MESSAGE(NegotiateProtocolVersion, B, 'v', ANY, 30, "offers an older protocol version")
WIRE_FIELD(NegotiateProtocolVersion, newest_version, VERSION)
WIRE_FIELD(NegotiateProtocolVersion, unrecognized_options, COUNTED_STRINGS)
WIRE_MESSAGE(NoData, B, 'n', ANY, 30, "a statement or portal returns no rows")
WIRE_MESSAGE(NoticeResponse, B, 'N', ANY, 30, "a warning or notice")
WIRE_FIELD(NoticeResponse, fields, ERROR_FIELDS)
WIRE_MESSAGE(NotificationResponse, B, 'A', ANY, 30, "a notification by NOTIFY")
WIRE_FIELD(NotificationResponse, process_id, UINT32)
WIRE_FIELD(NotificationResponse, channel, STRING)
WIRE_FIELD(NotificationResponse, payload, STRING)
WIRE_MESSAGE(ParameterDescription, B, 't', ANY, 30, "the parameter types of a statement")
WIRE_FIELD(ParameterDescription, parameter_types, OIDS)
WIRE_MESSAGE(ParameterStatus, B, 'S', ANY, 30, "the value of a setting")
WIRE_FIELD(ParameterStatus, name, STRING)
WIRE_FIELD(ParameterStatus, value, STRING)
WIRE_MESSAGE(ParseComplete, B, '1', ANY, 30, "a Parse is done")
WIRE_MESSAGE(PortalSuspended, B, 's', ANY, 30, "an Execute reached its row limit")
WIRE_MESSAGE(ReadyForQuery, B, 'Z', ANY, 30, "the server waits for the next request")
WIRE_FIELD(ReadyForQuery, status, CHAR)
WIRE_MESSAGE(RowDescription, B, 'T', ANY, 30, "the columns of a result")
WIRE_FIELD(RowDescription, columns, COLUMNS)
