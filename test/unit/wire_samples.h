/*
 * wire_samples.h
 *	  A sample of every message: ONE list, without include guard.
 *
 *		SAMPLE(name, direction, phase, type, body)
 *			type	its first byte; 0: it has none
 *			body	all behind the length; the whole of a message without one
 *		PART_SAMPLE(name, direction, head, body)
 *			a message inside CopyData, which holds head and body; an includer that
 *			does not define it gets samples of CopyData
 */
#ifndef PART_SAMPLE
#define PART_SAMPLE(name, direction, head, body) \
	SAMPLE(CopyData, direction, REPLICATION, 'd', head body)
#endif

/* XLogData up to its data, as the server sends it for an output plugin. */
#define XLOG_HEAD "w\0\0\0\0\1\153\67\110\0\0\0\0\1\153\67\110\0\2\345\145\53\0\0\7"
#define LSN(n) "\0\0\0\1\0\0\0" n
#define TIME "\0\2\345\145\53\1\2\3"
#define XID "\0\0\2\340"
#define OID "\0\0\100\1"

SAMPLE(StartupMessage, 'F', STARTUP, 0, "\0\3\0\2user\0alice\0_pq_.x\0\0\0")
SAMPLE(SSLRequest, 'F', STARTUP, 0, "\4\322\26\57")
SAMPLE(GSSENCRequest, 'F', STARTUP, 0, "\4\322\26\60")
SAMPLE(CancelRequest, 'F', STARTUP, 0, "\4\322\26\56\0\0\1\2abcdef")
SAMPLE(SSLResponse, 'B', SSL_ANSWER, 0, "N")
SAMPLE(GSSENCResponse, 'B', SSL_ANSWER, 0, "G")
SAMPLE(PasswordMessage, 'F', PASSWORD, 'p', "secret\0")
SAMPLE(SASLInitialResponse, 'F', SASL_INITIAL, 'p', "SCRAM-SHA-256\0\0\0\0\3n,,")
SAMPLE(SASLResponse, 'F', SASL, 'p', "c=biws,")
SAMPLE(GSSResponse, 'F', GSS, 'p', "\1\2\3\4")
SAMPLE(Bind, 'F', NORMAL, 'B', "p\0s1\0\0\2\0\0\0\1\0\3\377\377\377\377\0\0\0\0\0\0\0\2ab\0\1\0\1")
SAMPLE(Close, 'F', NORMAL, 'C', "Ss1\0")
SAMPLE(CopyFail, 'F', COPY, 'f', "bad\0")
SAMPLE(Describe, 'F', NORMAL, 'D', "P\0")
SAMPLE(Execute, 'F', NORMAL, 'E', "p\0\0\0\0\5")
SAMPLE(Flush, 'F', NORMAL, 'H', "")
SAMPLE(FunctionCall, 'F', NORMAL, 'F', "\0\0\3\350\0\1\0\1\0\1\0\0\0\4\0\0\0\7\0\1")
SAMPLE(Parse, 'F', NORMAL, 'P', "s1\0select $1\0\0\1\0\0\0\27")
SAMPLE(Query, 'F', NORMAL, 'Q', "select 1\0")
SAMPLE(Sync, 'F', NORMAL, 'S', "")
SAMPLE(Terminate, 'F', NORMAL, 'X', "")
SAMPLE(CopyData, 'F', COPY, 'd', "1\tx\n")
SAMPLE(CopyDone, 'B', COPY, 'c', "")
SAMPLE(AuthenticationOk, 'B', NORMAL, 'R', "\0\0\0\0")
SAMPLE(AuthenticationKerberosV5, 'B', NORMAL, 'R', "\0\0\0\2")
SAMPLE(AuthenticationCleartextPassword, 'B', NORMAL, 'R', "\0\0\0\3")
SAMPLE(AuthenticationMD5Password, 'B', NORMAL, 'R', "\0\0\0\5salt")
SAMPLE(AuthenticationSCMCredential, 'B', NORMAL, 'R', "\0\0\0\6")
SAMPLE(AuthenticationGSS, 'B', NORMAL, 'R', "\0\0\0\7")
SAMPLE(AuthenticationGSSContinue, 'B', NORMAL, 'R', "\0\0\0\10ab")
SAMPLE(AuthenticationSSPI, 'B', NORMAL, 'R', "\0\0\0\11")
SAMPLE(AuthenticationSASL, 'B', NORMAL, 'R', "\0\0\0\12SCRAM-SHA-256\0\0")
SAMPLE(AuthenticationSASLContinue, 'B', NORMAL, 'R', "\0\0\0\13r=")
SAMPLE(AuthenticationSASLFinal, 'B', NORMAL, 'R', "\0\0\0\14v=")
SAMPLE(BackendKeyData, 'B', NORMAL, 'K', "\0\0\1\2abcdef")
SAMPLE(BindComplete, 'B', NORMAL, '2', "")
SAMPLE(CloseComplete, 'B', NORMAL, '3', "")
SAMPLE(CommandComplete, 'B', NORMAL, 'C', "INSERT 0 5\0")
SAMPLE(CopyInResponse, 'B', NORMAL, 'G', "\0\0\2\0\0\0\0")
SAMPLE(CopyOutResponse, 'B', NORMAL, 'H', "\1\0\1\0\1")
SAMPLE(CopyBothResponse, 'B', NORMAL, 'W', "\0\0\0")
SAMPLE(DataRow, 'B', NORMAL, 'D', "\0\2\0\0\0\3abc\377\377\377\377")
SAMPLE(EmptyQueryResponse, 'B', NORMAL, 'I', "")
SAMPLE(ErrorResponse, 'B', NORMAL, 'E', "SERROR\0C42P01\0Mx\0\0")
SAMPLE(FunctionCallResponse, 'B', NORMAL, 'V', "\0\0\0\2ab")
SAMPLE(NegotiateProtocolVersion, 'B', NORMAL, 'v', "\0\3\0\0\0\0\0\1_pq_.x\0")
SAMPLE(NoData, 'B', NORMAL, 'n', "")
SAMPLE(NoticeResponse, 'B', NORMAL, 'N', "Mx\0S\0\0")
SAMPLE(NotificationResponse, 'B', NORMAL, 'A', "\0\0\0\7c\0hello\0")
SAMPLE(ParameterDescription, 'B', NORMAL, 't', "\0\1\0\0\0\27")
SAMPLE(ParameterStatus, 'B', NORMAL, 'S', "a\0\0")
SAMPLE(ParseComplete, 'B', NORMAL, '1', "")
SAMPLE(PortalSuspended, 'B', NORMAL, 's', "")
SAMPLE(ReadyForQuery, 'B', NORMAL, 'Z', "I")
SAMPLE(RowDescription, 'B', NORMAL, 'T', "\0\1id\0\0\0\100\1\0\1\0\0\0\27\0\4\377\377\377\377\0\1")

PART_SAMPLE(XLogData, 'B', "", "w\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\4" TIME "\320\15\5\0")
PART_SAMPLE(PrimaryKeepalive, 'B', "", "k" LSN("\1") TIME "\1")
PART_SAMPLE(PrimaryStatusUpdate, 'B', "", "s" LSN("\1") LSN("\2") LSN("\3") TIME)
PART_SAMPLE(StandbyStatusUpdate, 'F', "", "r" LSN("\3") LSN("\2") LSN("\1") TIME "\0")
PART_SAMPLE(HotStandbyFeedback, 'F', "",
            "h" TIME XID "\0\0\0\0"
            "\377\377\377\377"
            "\0\0\0\1")
PART_SAMPLE(PrimaryStatusRequest, 'F', "", "p" TIME)
PART_SAMPLE(NewArchive, 'B', "", "nbase.tar\0\0")
PART_SAMPLE(Manifest, 'B', "", "m")
PART_SAMPLE(ArchiveData, 'B', "", "dPG_VERSION\0\0")
PART_SAMPLE(ProgressReport, 'B', "", "p\0\0\0\1\0\0\0\0")
PART_SAMPLE(Begin, 'B', XLOG_HEAD, "B" LSN("\1") TIME XID)
PART_SAMPLE(Message, 'B', XLOG_HEAD, "M\1" LSN("\1") "prefix\0\0\0\0\5hello")
PART_SAMPLE(Message, 'B', XLOG_HEAD, "M" XID "\1" LSN("\1") "prefix\0\0\0\0\0")
PART_SAMPLE(Commit, 'B', XLOG_HEAD, "C\0" LSN("\1") LSN("\2") TIME)
PART_SAMPLE(Origin, 'B', XLOG_HEAD, "O" LSN("\1") "node\0")
PART_SAMPLE(Relation, 'B', XLOG_HEAD,
            "R" OID "public\0t\0d\0\2\1id\0\0\0\0\27\377\377\377\377\0v\0\0\0\0\31\377\377\377\377")
PART_SAMPLE(Relation, 'B', XLOG_HEAD, "R" XID OID "\0pg_x\0f\0\0")
PART_SAMPLE(Type, 'B', XLOG_HEAD, "Y" OID "public\0mood\0")
PART_SAMPLE(Insert, 'B', XLOG_HEAD,
            "I" OID "N\0\4t\0\0\0\001"
            "1nub\0\0\0\2\0\7")
PART_SAMPLE(Insert, 'B', XLOG_HEAD, "I" XID OID "N\0\1t\0\0\0\0")
PART_SAMPLE(Update, 'B', XLOG_HEAD, "U" OID "N\0\1u")
PART_SAMPLE(Update, 'B', XLOG_HEAD, "U" OID "K\0\1t\0\0\0\1aN\0\1t\0\0\0\1b")
PART_SAMPLE(Update, 'B', XLOG_HEAD, "U" XID OID "O\0\1nN\0\1t\0\0\0\1b")
PART_SAMPLE(Delete, 'B', XLOG_HEAD, "D" OID "K\0\1t\0\0\0\1a")
PART_SAMPLE(Delete, 'B', XLOG_HEAD, "D" XID OID "O\0\2t\0\0\0\1an")
PART_SAMPLE(Truncate, 'B', XLOG_HEAD, "T\0\0\0\2\3" OID OID)
PART_SAMPLE(StreamStart, 'B', XLOG_HEAD, "S" XID "\1")
PART_SAMPLE(StreamStop, 'B', XLOG_HEAD, "E")
PART_SAMPLE(StreamCommit, 'B', XLOG_HEAD, "c" XID "\0" LSN("\1") LSN("\2") TIME)
PART_SAMPLE(StreamAbort, 'B', XLOG_HEAD, "A" XID XID)
PART_SAMPLE(StreamAbort, 'B', XLOG_HEAD, "A" XID XID LSN("\1") TIME)
PART_SAMPLE(BeginPrepare, 'B', XLOG_HEAD, "b" LSN("\1") LSN("\2") TIME XID "gid\0")
PART_SAMPLE(Prepare, 'B', XLOG_HEAD, "P\0" LSN("\1") LSN("\2") TIME XID "gid\0")
PART_SAMPLE(CommitPrepared, 'B', XLOG_HEAD, "K\0" LSN("\1") LSN("\2") TIME XID "gid\0")
PART_SAMPLE(RollbackPrepared, 'B', XLOG_HEAD, "r\0" LSN("\1") LSN("\2") TIME TIME XID "gid\0")
PART_SAMPLE(StreamPrepare, 'B', XLOG_HEAD, "p\0" LSN("\1") LSN("\2") TIME XID "gid\0")
#undef PART_SAMPLE
#undef XLOG_HEAD
#undef LSN
#undef TIME
#undef XID
#undef OID
