/*
 * messages.h
 *	  Every message of the frontend/backend protocol, 3.0 to 3.2: ONE list.
 *
 * No include guard: each includer says what a row becomes.
 *
 *		WIRE_MESSAGE(name, directions, type, phases, since, limit, help)
 *			directions	F, B or FB
 *			type		its first byte; 0: it has none
 *			phases		a sum of ANY or single phases: where this byte is this message
 *			since		first protocol version, 30 for 3.0
 *			limit		how long it may be: a longer one makes no sense
 *				SMALL	10,000 bytes, as the server has it
 *				TOKEN	what authentication methods exchange
 *				LIST	a list with a 16-bit count
 *				LARGE	1 GB, the server's limit too
 *		WIRE_PART(name, key, directions, type, place, since, help)
 *			a message that is part of another one, without a length of its own
 *			key			what it is called in that one's JSON
 *			place		IN_COPY_DATA or IN_XLOG_DATA
 *			since		in XLogData: first version of pgoutput's protocol, 1 to 4
 *			An includer that does not define it gets these as messages.
 *		WIRE_FIELD(message, name, kind)
 *			a field of the message above it, in order; kinds stand in kinds.h
 *
 * Authentication requests share type 'R'; their first four bytes, the code, are
 * given as the type: R(code).  So are those of the requests that may stand in
 * for a startup packet, which have no type byte: U(code).
 *
 * Protocol documentation: "Message Formats", "Streaming Replication Protocol",
 * "Logical Replication Message Formats".
 */
#ifndef WIRE_PART
#define WIRE_PART(name, key, directions, type, place, since, help) \
	WIRE_MESSAGE(name, directions, type, place, since, LARGE, help)
#endif

/* Before the startup packet is through there is no type byte. */
WIRE_MESSAGE(StartupMessage, F, 0, STARTUP, 30, SMALL, "opens a connection")
WIRE_FIELD(StartupMessage, protocol_version, VERSION)
WIRE_FIELD(StartupMessage, parameters, PAIRS)
WIRE_MESSAGE(SSLRequest, F, U(80877103), STARTUP, 30, SMALL, "asks for TLS")
WIRE_MESSAGE(GSSENCRequest, F, U(80877104), STARTUP, 30, SMALL, "asks for GSSAPI encryption")
WIRE_MESSAGE(CancelRequest, F, U(80877102), STARTUP, 30, SMALL,
             "asks to cancel what another session runs")
WIRE_FIELD(CancelRequest, process_id, UINT32)
WIRE_FIELD(CancelRequest, secret_key, SECRET)
WIRE_MESSAGE(SSLResponse, B, 'S', SSL_ANSWER, 30, SMALL,
             "answers SSLRequest: S will do TLS, N will not; N refuses GSSENCRequest too")
WIRE_FIELD(SSLResponse, answer, CHAR)
WIRE_MESSAGE(GSSENCResponse, B, 'G', SSL_ANSWER, 30, SMALL, "answers GSSENCRequest: will encrypt")
WIRE_FIELD(GSSENCResponse, answer, CHAR)

/* The answers to authentication requests: one byte, four messages. */
WIRE_MESSAGE(PasswordMessage, F, 'p', PASSWORD, 30, TOKEN, "sends a password, or its hash")
WIRE_FIELD(PasswordMessage, password, SECRET_STRING)
WIRE_MESSAGE(SASLInitialResponse, F, 'p', SASL_INITIAL, 30, TOKEN, "chooses a SASL mechanism")
WIRE_FIELD(SASLInitialResponse, mechanism, STRING)
WIRE_FIELD(SASLInitialResponse, data, SECRET_VALUE)
WIRE_MESSAGE(SASLResponse, F, 'p', SASL, 30, TOKEN, "goes on with SASL authentication")
WIRE_FIELD(SASLResponse, data, SECRET)
WIRE_MESSAGE(GSSResponse, F, 'p', GSS, 30, TOKEN, "goes on with GSSAPI or SSPI authentication")
WIRE_FIELD(GSSResponse, data, SECRET)

/* Frontend. */
WIRE_MESSAGE(Bind, F, 'B', ANY, 30, LARGE, "binds a statement and its parameters to a portal")
WIRE_FIELD(Bind, portal, STRING)
WIRE_FIELD(Bind, statement, STRING)
WIRE_FIELD(Bind, parameter_formats, FORMATS)
WIRE_FIELD(Bind, parameters, VALUES)
WIRE_FIELD(Bind, result_formats, FORMATS)
WIRE_MESSAGE(Close, F, 'C', ANY, 30, SMALL, "closes a statement or portal")
WIRE_FIELD(Close, kind, CHAR)
WIRE_FIELD(Close, name, STRING)
WIRE_MESSAGE(CopyFail, F, 'f', ANY, 30, SMALL, "gives a COPY FROM STDIN up")
WIRE_FIELD(CopyFail, message, STRING)
WIRE_MESSAGE(Describe, F, 'D', ANY, 30, SMALL, "asks for the shape of a statement or portal")
WIRE_FIELD(Describe, kind, CHAR)
WIRE_FIELD(Describe, name, STRING)
WIRE_MESSAGE(Execute, F, 'E', ANY, 30, SMALL, "runs a portal")
WIRE_FIELD(Execute, portal, STRING)
WIRE_FIELD(Execute, max_rows, INT32)
WIRE_MESSAGE(Flush, F, 'H', ANY, 30, SMALL, "asks for the answers that are ready")
WIRE_MESSAGE(FunctionCall, F, 'F', ANY, 30, LARGE, "calls a function by its OID")
WIRE_FIELD(FunctionCall, function_oid, UINT32)
WIRE_FIELD(FunctionCall, argument_formats, FORMATS)
WIRE_FIELD(FunctionCall, arguments, VALUES)
WIRE_FIELD(FunctionCall, result_format, INT16)
WIRE_MESSAGE(Parse, F, 'P', ANY, 30, LARGE, "makes a prepared statement")
WIRE_FIELD(Parse, statement, STRING)
WIRE_FIELD(Parse, query, QUERY)
WIRE_FIELD(Parse, parameter_types, OIDS)
WIRE_MESSAGE(Query, F, 'Q', ANY, 30, LARGE, "runs a simple query")
WIRE_FIELD(Query, query, QUERY)
WIRE_MESSAGE(Sync, F, 'S', ANY, 30, SMALL, "ends a run of extended messages")
WIRE_MESSAGE(Terminate, F, 'X', ANY, 30, SMALL, "ends the session")

/* Both. */
WIRE_MESSAGE(CopyData, FB, 'd', ANY, 30, LARGE, "carries data of a COPY or of replication")
WIRE_FIELD(CopyData, data, CONTENT)
WIRE_MESSAGE(CopyDone, FB, 'c', ANY, 30, SMALL, "ends the data of a COPY")

/* Backend: authentication requests. */
WIRE_MESSAGE(AuthenticationOk, B, R(0), ANY, 30, TOKEN, "lets the client in")
WIRE_MESSAGE(AuthenticationKerberosV5, B, R(2), ANY, 30, TOKEN,
             "asks for Kerberos V5, no longer used")
WIRE_MESSAGE(AuthenticationCleartextPassword, B, R(3), ANY, 30, TOKEN, "asks for the password")
WIRE_MESSAGE(AuthenticationMD5Password, B, R(5), ANY, 30, TOKEN, "asks for the password's MD5 hash")
WIRE_FIELD(AuthenticationMD5Password, salt, BYTES)
WIRE_MESSAGE(AuthenticationSCMCredential, B, R(6), ANY, 30, TOKEN,
             "asks for SCM credentials, no longer used")
WIRE_MESSAGE(AuthenticationGSS, B, R(7), ANY, 30, TOKEN, "asks for GSSAPI authentication")
WIRE_MESSAGE(AuthenticationGSSContinue, B, R(8), ANY, 30, TOKEN, "goes on with GSSAPI or SSPI")
WIRE_FIELD(AuthenticationGSSContinue, data, SECRET)
WIRE_MESSAGE(AuthenticationSSPI, B, R(9), ANY, 30, TOKEN, "asks for SSPI authentication")
WIRE_MESSAGE(AuthenticationSASL, B, R(10), ANY, 30, TOKEN, "asks for SASL authentication")
WIRE_FIELD(AuthenticationSASL, mechanisms, STRINGS)
WIRE_MESSAGE(AuthenticationSASLContinue, B, R(11), ANY, 30, TOKEN, "goes on with SASL")
WIRE_FIELD(AuthenticationSASLContinue, data, SECRET)
WIRE_MESSAGE(AuthenticationSASLFinal, B, R(12), ANY, 30, TOKEN, "ends SASL")
WIRE_FIELD(AuthenticationSASLFinal, data, SECRET)

/* Backend. */
WIRE_MESSAGE(BackendKeyData, B, 'K', ANY, 30, SMALL, "gives the key for cancel requests")
WIRE_FIELD(BackendKeyData, process_id, UINT32)
WIRE_FIELD(BackendKeyData, secret_key, SECRET)
WIRE_MESSAGE(BindComplete, B, '2', ANY, 30, SMALL, "a Bind is done")
WIRE_MESSAGE(CloseComplete, B, '3', ANY, 30, SMALL, "a Close is done")
WIRE_MESSAGE(CommandComplete, B, 'C', ANY, 30, SMALL, "a command is done")
WIRE_FIELD(CommandComplete, tag, STRING)
WIRE_MESSAGE(CopyInResponse, B, 'G', ANY, 30, LIST, "waits for the data of a COPY FROM STDIN")
WIRE_FIELD(CopyInResponse, format, INT8)
WIRE_FIELD(CopyInResponse, column_formats, FORMATS)
WIRE_MESSAGE(CopyOutResponse, B, 'H', ANY, 30, LIST, "begins the data of a COPY TO STDOUT")
WIRE_FIELD(CopyOutResponse, format, INT8)
WIRE_FIELD(CopyOutResponse, column_formats, FORMATS)
WIRE_MESSAGE(CopyBothResponse, B, 'W', ANY, 30, LIST, "begins streaming replication")
WIRE_FIELD(CopyBothResponse, format, INT8)
WIRE_FIELD(CopyBothResponse, column_formats, FORMATS)
WIRE_MESSAGE(DataRow, B, 'D', ANY, 30, LARGE, "a row of a result")
WIRE_FIELD(DataRow, values, VALUES)
WIRE_MESSAGE(EmptyQueryResponse, B, 'I', ANY, 30, SMALL, "the query text was empty")
WIRE_MESSAGE(ErrorResponse, B, 'E', ANY, 30, LARGE, "an error")
WIRE_FIELD(ErrorResponse, fields, ERROR_FIELDS)
WIRE_MESSAGE(FunctionCallResponse, B, 'V', ANY, 30, LARGE, "the result of a FunctionCall")
WIRE_FIELD(FunctionCallResponse, value, VALUE)
WIRE_MESSAGE(NegotiateProtocolVersion, B, 'v', ANY, 30, LIST, "offers an older protocol version")
WIRE_FIELD(NegotiateProtocolVersion, newest_version, VERSION)
WIRE_FIELD(NegotiateProtocolVersion, unrecognized_options, COUNTED_STRINGS)
WIRE_MESSAGE(NoData, B, 'n', ANY, 30, SMALL, "a statement or portal returns no rows")
WIRE_MESSAGE(NoticeResponse, B, 'N', ANY, 30, LARGE, "a warning or notice")
WIRE_FIELD(NoticeResponse, fields, ERROR_FIELDS)
WIRE_MESSAGE(NotificationResponse, B, 'A', ANY, 30, LARGE, "a notification by NOTIFY")
WIRE_FIELD(NotificationResponse, process_id, UINT32)
WIRE_FIELD(NotificationResponse, channel, STRING)
WIRE_FIELD(NotificationResponse, payload, STRING)
WIRE_MESSAGE(ParameterDescription, B, 't', ANY, 30, LIST, "the parameter types of a statement")
WIRE_FIELD(ParameterDescription, parameter_types, OIDS)
WIRE_MESSAGE(ParameterStatus, B, 'S', ANY, 30, LARGE, "the value of a setting")
WIRE_FIELD(ParameterStatus, name, STRING)
WIRE_FIELD(ParameterStatus, value, STRING)
WIRE_MESSAGE(ParseComplete, B, '1', ANY, 30, SMALL, "a Parse is done")
WIRE_MESSAGE(PortalSuspended, B, 's', ANY, 30, SMALL, "an Execute reached its row limit")
WIRE_MESSAGE(ReadyForQuery, B, 'Z', ANY, 30, SMALL, "the server waits for the next request")
WIRE_FIELD(ReadyForQuery, status, CHAR)
WIRE_MESSAGE(RowDescription, B, 'T', ANY, 30, LARGE, "the columns of a result")
WIRE_FIELD(RowDescription, columns, COLUMNS)

/* Inside CopyData: streaming replication. */
WIRE_PART(XLogData, xlog_data, B, 'w', IN_COPY_DATA, 30,
          "a piece of WAL, or what an output plugin made of it")
WIRE_FIELD(XLogData, start, LSN)
WIRE_FIELD(XLogData, end, LSN)
WIRE_FIELD(XLogData, sent_at, TIME)
WIRE_FIELD(XLogData, data, PLUGIN_DATA)
WIRE_PART(PrimaryKeepalive, primary_keepalive, B, 'k', IN_COPY_DATA, 30,
          "says how far the primary is")
WIRE_FIELD(PrimaryKeepalive, end, LSN)
WIRE_FIELD(PrimaryKeepalive, sent_at, TIME)
WIRE_FIELD(PrimaryKeepalive, reply_requested, INT8)
WIRE_PART(PrimaryStatusUpdate, primary_status_update, B, 's', IN_COPY_DATA, 30,
          "says which transactions the primary runs, from PostgreSQL 19 on")
WIRE_FIELD(PrimaryStatusUpdate, written, LSN)
WIRE_FIELD(PrimaryStatusUpdate, oldest_committing_xid, INT64)
WIRE_FIELD(PrimaryStatusUpdate, next_xid, INT64)
WIRE_FIELD(PrimaryStatusUpdate, sent_at, TIME)
WIRE_PART(StandbyStatusUpdate, standby_status_update, F, 'r', IN_COPY_DATA, 30,
          "says how far the standby is")
WIRE_FIELD(StandbyStatusUpdate, written, LSN)
WIRE_FIELD(StandbyStatusUpdate, flushed, LSN)
WIRE_FIELD(StandbyStatusUpdate, applied, LSN)
WIRE_FIELD(StandbyStatusUpdate, sent_at, TIME)
WIRE_FIELD(StandbyStatusUpdate, reply_requested, INT8)
WIRE_PART(HotStandbyFeedback, hot_standby_feedback, F, 'h', IN_COPY_DATA, 30,
          "says which rows the standby still needs")
WIRE_FIELD(HotStandbyFeedback, sent_at, TIME)
WIRE_FIELD(HotStandbyFeedback, xmin, UINT32)
WIRE_FIELD(HotStandbyFeedback, xmin_epoch, UINT32)
WIRE_FIELD(HotStandbyFeedback, catalog_xmin, UINT32)
WIRE_FIELD(HotStandbyFeedback, catalog_xmin_epoch, UINT32)
WIRE_PART(PrimaryStatusRequest, primary_status_request, F, 'p', IN_COPY_DATA, 30,
          "asks for a PrimaryStatusUpdate, from PostgreSQL 19 on")
WIRE_FIELD(PrimaryStatusRequest, sent_at, TIME)

/* Inside CopyData: a base backup, from PostgreSQL 15 on. */
WIRE_PART(NewArchive, new_archive, B, 'n', IN_COPY_DATA, 30, "begins an archive of a base backup")
WIRE_FIELD(NewArchive, archive, STRING)
WIRE_FIELD(NewArchive, tablespace, STRING)
WIRE_PART(Manifest, manifest, B, 'm', IN_COPY_DATA, 30, "begins the manifest of a base backup")
WIRE_PART(ArchiveData, archive_data, B, 'd', IN_COPY_DATA, 30,
          "a piece of an archive or of the manifest")
WIRE_FIELD(ArchiveData, data, BYTES)
WIRE_PART(ProgressReport, progress_report, B, 'p', IN_COPY_DATA, 30,
          "says how far a base backup is")
WIRE_FIELD(ProgressReport, bytes_done, INT64)

/* Inside XLogData: the output plugin pgoutput. */
WIRE_PART(Begin, begin, B, 'B', IN_XLOG_DATA, 1, "begins a transaction")
WIRE_FIELD(Begin, final, LSN)
WIRE_FIELD(Begin, committed_at, TIME)
WIRE_FIELD(Begin, xid, UINT32)
WIRE_PART(Message, message, B, 'M', IN_XLOG_DATA, 1, "a message of pg_logical_emit_message()")
WIRE_FIELD(Message, xid, STREAM_XID)
WIRE_FIELD(Message, flags, INT8)
WIRE_FIELD(Message, lsn, LSN)
WIRE_FIELD(Message, prefix, STRING)
WIRE_FIELD(Message, content, VALUE)
WIRE_PART(Commit, commit, B, 'C', IN_XLOG_DATA, 1, "ends a transaction")
WIRE_FIELD(Commit, flags, INT8)
WIRE_FIELD(Commit, commit, LSN)
WIRE_FIELD(Commit, end, LSN)
WIRE_FIELD(Commit, committed_at, TIME)
WIRE_PART(Origin, origin, B, 'O', IN_XLOG_DATA, 1, "says where a transaction came from")
WIRE_FIELD(Origin, commit, LSN)
WIRE_FIELD(Origin, name, STRING)
WIRE_PART(Relation, relation, B, 'R', IN_XLOG_DATA, 1, "describes a table")
WIRE_FIELD(Relation, xid, STREAM_XID)
WIRE_FIELD(Relation, relation_oid, UINT32)
WIRE_FIELD(Relation, schema, STRING)
WIRE_FIELD(Relation, name, STRING)
WIRE_FIELD(Relation, replica_identity, CHAR)
WIRE_FIELD(Relation, columns, ATTRIBUTES)
WIRE_PART(Type, type, B, 'Y', IN_XLOG_DATA, 1, "names a data type")
WIRE_FIELD(Type, xid, STREAM_XID)
WIRE_FIELD(Type, type_oid, UINT32)
WIRE_FIELD(Type, schema, STRING)
WIRE_FIELD(Type, name, STRING)
WIRE_PART(Insert, insert, B, 'I', IN_XLOG_DATA, 1, "a new row")
WIRE_FIELD(Insert, xid, STREAM_XID)
WIRE_FIELD(Insert, relation_oid, UINT32)
WIRE_FIELD(Insert, new, NEW_TUPLE)
WIRE_PART(Update, update, B, 'U', IN_XLOG_DATA, 1, "a changed row")
WIRE_FIELD(Update, xid, STREAM_XID)
WIRE_FIELD(Update, relation_oid, UINT32)
WIRE_FIELD(Update, key, KEY_TUPLE)
WIRE_FIELD(Update, old, OLD_TUPLE)
WIRE_FIELD(Update, new, NEW_TUPLE)
WIRE_PART(Delete, delete, B, 'D', IN_XLOG_DATA, 1, "a row that is gone")
WIRE_FIELD(Delete, xid, STREAM_XID)
WIRE_FIELD(Delete, relation_oid, UINT32)
WIRE_FIELD(Delete, key, KEY_TUPLE)
WIRE_FIELD(Delete, old, OLD_TUPLE)
WIRE_PART(Truncate, truncate, B, 'T', IN_XLOG_DATA, 1, "tables were emptied")
WIRE_FIELD(Truncate, xid, STREAM_XID)
WIRE_FIELD(Truncate, options, COUNT_INT8)
WIRE_FIELD(Truncate, relation_oids, COUNTED_OIDS)
WIRE_PART(StreamStart, stream_start, B, 'S', IN_XLOG_DATA, 2,
          "begins a piece of a transaction that is still running")
WIRE_FIELD(StreamStart, xid, UINT32)
WIRE_FIELD(StreamStart, is_first, INT8)
WIRE_PART(StreamStop, stream_stop, B, 'E', IN_XLOG_DATA, 2, "ends that piece")
WIRE_PART(StreamCommit, stream_commit, B, 'c', IN_XLOG_DATA, 2, "ends a streamed transaction")
WIRE_FIELD(StreamCommit, xid, UINT32)
WIRE_FIELD(StreamCommit, flags, INT8)
WIRE_FIELD(StreamCommit, commit, LSN)
WIRE_FIELD(StreamCommit, end, LSN)
WIRE_FIELD(StreamCommit, committed_at, TIME)
WIRE_PART(StreamAbort, stream_abort, B, 'A', IN_XLOG_DATA, 2,
          "a streamed transaction or subtransaction is rolled back; LSN and time from version 4 on")
WIRE_FIELD(StreamAbort, xid, UINT32)
WIRE_FIELD(StreamAbort, subtransaction_xid, UINT32)
WIRE_FIELD(StreamAbort, abort, LAST_LSN)
WIRE_FIELD(StreamAbort, aborted_at, LAST_TIME)
WIRE_PART(BeginPrepare, begin_prepare, B, 'b', IN_XLOG_DATA, 3,
          "begins a transaction that will be prepared")
WIRE_FIELD(BeginPrepare, prepare, LSN)
WIRE_FIELD(BeginPrepare, end, LSN)
WIRE_FIELD(BeginPrepare, prepared_at, TIME)
WIRE_FIELD(BeginPrepare, xid, UINT32)
WIRE_FIELD(BeginPrepare, gid, STRING)
WIRE_PART(Prepare, prepare, B, 'P', IN_XLOG_DATA, 3, "a transaction is prepared")
WIRE_FIELD(Prepare, flags, INT8)
WIRE_FIELD(Prepare, prepare, LSN)
WIRE_FIELD(Prepare, end, LSN)
WIRE_FIELD(Prepare, prepared_at, TIME)
WIRE_FIELD(Prepare, xid, UINT32)
WIRE_FIELD(Prepare, gid, STRING)
WIRE_PART(CommitPrepared, commit_prepared, B, 'K', IN_XLOG_DATA, 3,
          "a prepared transaction is committed")
WIRE_FIELD(CommitPrepared, flags, INT8)
WIRE_FIELD(CommitPrepared, commit, LSN)
WIRE_FIELD(CommitPrepared, end, LSN)
WIRE_FIELD(CommitPrepared, committed_at, TIME)
WIRE_FIELD(CommitPrepared, xid, UINT32)
WIRE_FIELD(CommitPrepared, gid, STRING)
WIRE_PART(RollbackPrepared, rollback_prepared, B, 'r', IN_XLOG_DATA, 3,
          "a prepared transaction is rolled back")
WIRE_FIELD(RollbackPrepared, flags, INT8)
WIRE_FIELD(RollbackPrepared, prepare_end, LSN)
WIRE_FIELD(RollbackPrepared, end, LSN)
WIRE_FIELD(RollbackPrepared, prepared_at, TIME)
WIRE_FIELD(RollbackPrepared, rolled_back_at, TIME)
WIRE_FIELD(RollbackPrepared, xid, UINT32)
WIRE_FIELD(RollbackPrepared, gid, STRING)
WIRE_PART(StreamPrepare, stream_prepare, B, 'p', IN_XLOG_DATA, 3,
          "a streamed transaction is prepared")
WIRE_FIELD(StreamPrepare, flags, INT8)
WIRE_FIELD(StreamPrepare, prepare, LSN)
WIRE_FIELD(StreamPrepare, end, LSN)
WIRE_FIELD(StreamPrepare, prepared_at, TIME)
WIRE_FIELD(StreamPrepare, xid, UINT32)
WIRE_FIELD(StreamPrepare, gid, STRING)
#undef WIRE_PART
