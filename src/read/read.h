/*
 * read.h
 *	  What happened in a recorded session: its statements, one after the other.
 *
 *		session.c	who it was, and the settings that its values were shown under
 *		exchange.c	its exchanges out of the tables, in order
 *		follow.c	an exchange's requests and answers
 *		run.c		which statement ran, and how it ended
 *		rest.c		statements whose answers were not kept: what is known of them all the same
 *		known.c		prepared statements and portals of the session so far
 *		items.c		columns, values and formats inside messages
 *		split.c		the statements in the text of a Query; PREPARE, EXECUTE, DEALLOCATE
 *		value.c, type.c, container.c, parameter.c	values as text, see value.h
 *		script.c	a session as a script for psql, see script.h
 *		explain.c	the plan of a statement, see explain.h
 *		input.c		values as data of types that the reader names, see input.h
 *		guard.c		calls that may fail, or run what somebody else wrote
 *		findings.c, findings_steps.c	what a client did in vain, see findings.h
 *		steps.c		what the messages of a request are about, see steps.h
 *		query.c		queries that are planned once, see query.h
 *
 * A session is read from its first exchange on, also when one exchange is asked
 * for: what a Bind means may have been said at any time before.  The reader calls
 * a sink as it goes; a sink that wants one exchange is not called for those before.
 *
 * Nothing is guessed.  What was not recorded (cut by a limit, left out by a pause)
 * is NULL here and marked; the counts that the relay kept fill in what they can say
 * for sure.
 */
#ifndef READ_READ_H
#define READ_READ_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "read/encoding.h"
#include "utils/hsearch.h"
#include "wire/stream.h"
#include "wire/walk.h"

/* ---- session.c ---- */

/* Settings that change how values are written. */
typedef enum ReadSetting
{
	READ_CLIENT_ENCODING,
	READ_DATESTYLE,
	READ_INTERVALSTYLE,
	READ_TIMEZONE,
	READ_STANDARD_STRINGS,
	READ_SEARCH_PATH,  /* reported from PostgreSQL 18 on; else as the client asked at login */
	READ_FLOAT_DIGITS, /* likewise */
	READ_SETTING_COUNT
} ReadSetting;

extern const char *const read_setting_names[READ_SETTING_COUNT];

typedef struct ReadSession
{
	MemoryContext context; /* lives as long as the reading */
	int64 session_id;
	char *user_name;
	char *database_name;
	bool is_here; /* its database is this one, so its types are known */
	Oid role;     /* that user's, as of now; InvalidOid: there is none */
	ReadEncoding encoding;
	bool standard_strings;
	char *settings[READ_SETTING_COUNT]; /* NULL: not known */
	bool is_applied;                    /* this process has these settings now */
	int guc_level;
	HTAB *types;  /* see type.c */
	HTAB *texts;  /* query texts by their hash; NULL: none was asked for */
	bool has_gap; /* something was not recorded: prepared statements may have changed */
} ReadSession;

/* Opens a session; NULL: there is none.  SPI must be connected. */
extern ReadSession *read_session_open(int64 session_id);

/* Gives this process its own settings back. */
extern void read_session_close(ReadSession *session);

/* Notes a ParameterStatus. */
extern void read_session_note(ReadSession *session, WireSpan name, WireSpan value);

/* Gives this process the session's settings; a failed transaction undoes it as well. */
extern void read_session_apply(ReadSession *session);

/* Returns a string of a message as text, zero-terminated; NULL if it is none. */
extern char *read_string(const ReadSession *session, WireSpan bytes);

/* Returns the text of a query by the relay's hash; NULL: not stored. */
extern const char *read_text_of_hash(ReadSession *session, int64 hash);

/* ---- items.c ---- */

/* A column of a result. */
typedef struct ReadColumn
{
	char *name; /* NULL: not text, or not known */
	Oid type;   /* InvalidOid: not known */
	int32 modifier;
	int format;
} ReadColumn;

typedef struct ReadColumns
{
	int count;
	ReadColumn columns[FLEXIBLE_ARRAY_MEMBER];
} ReadColumns;

/* Reads a RowDescription, in the present context; NULL if it is malformed. */
extern ReadColumns *read_columns(const ReadSession *session, WireSpan body);

/* Values in a message, to be stepped through. */
typedef struct ReadItems
{
	WireSpan body;
	size_t at;
	int count; /* values that there are */
	int given;
	WireFormats formats;
} ReadItems;

/* Begins with the values of a DataRow, Bind or FunctionCall; false: malformed. */
extern bool read_row_items(WireSpan body, ReadItems *items);
extern bool read_bind_items(WireSpan body, ReadItems *items);
extern bool read_call_items(WireSpan body, uint32 *function, ReadItems *items);

/* Returns the format codes of a Bind's results. */
extern WireFormats read_bind_result_formats(WireSpan body);

/* Gives the next value; false at the end.  NULL has no data. */
extern bool read_items_next(ReadItems *items, WireSpan *value, int *format);

/* Reads a list of OIDs behind a count of 16 bits; the count, or -1 if it is malformed. */
extern int read_oids(WireSpan bytes, Oid **oids);

/* ---- known.c ---- */

/* A prepared statement; counts its users, as portals outlive it. */
typedef struct ReadStatement
{
	MemoryContext context;
	int users;
	char *name;  /* "" for the unnamed one */
	char *query; /* NULL: not known */
	bool is_sql; /* made by PREPARE */
	int type_count;
	Oid *types;           /* of its parameters; InvalidOid: not known */
	ReadColumns *columns; /* NULL: not described */
	bool is_current;      /* false: something was not recorded since; it may be another by now */
} ReadStatement;

typedef struct ReadPortal
{
	char name[NAMEDATALEN];   /* key */
	ReadStatement *statement; /* with a query that is not known, if need be */
	WireSpan bind;            /* body of its Bind, a copy */
	size_t bind_size;
	bool is_suspended;
} ReadPortal;

typedef struct ReadKnown
{
	MemoryContext context;
	HTAB *statements;
	HTAB *portals;
} ReadKnown;

extern ReadKnown *read_known_create(void);
extern ReadStatement *read_known_statement(ReadKnown *known, const char *name);
extern ReadPortal *read_known_portal(ReadKnown *known, const char *name);

/* Makes a statement in place of one with this name. */
extern ReadStatement *read_known_prepare(ReadKnown *known, const char *name, const char *query);

/* Makes a portal in place of one with this name. */
extern ReadPortal *read_known_bind(ReadKnown *known, const char *name, ReadStatement *statement,
                                   WireSpan bind);

extern void read_known_drop(ReadKnown *known, const char *name);
extern void read_known_drop_all(ReadKnown *known);
extern void read_known_drop_portal(ReadKnown *known, const char *name);
extern void read_known_drop_portals(ReadKnown *known);

/* Notes that something was not recorded: no statement is sure any more. */
extern void read_known_doubt(ReadKnown *known);

/* ---- split.c ---- */

/* Where a statement stands in a text. */
typedef struct ReadPiece
{
	size_t begin;
	size_t end;
} ReadPiece;

/* Finds the statements in a text that are not empty, at least one piece; returns how many. */
extern int read_split(const char *text, size_t len, bool standard_strings, ReadPiece **pieces);

typedef enum ReadCommandKind
{
	READ_COMMAND_OTHER,
	READ_COMMAND_PREPARE,
	READ_COMMAND_EXECUTE,
	READ_COMMAND_DEALLOCATE
} ReadCommandKind;

/* What a statement says of prepared statements. */
typedef struct ReadCommand
{
	ReadCommandKind kind;
	char *name;  /* NULL: DEALLOCATE ALL */
	char *query; /* what PREPARE prepares */
} ReadCommand;

/* Reads the command in a piece of text. */
extern void read_command(const char *text, size_t len, bool standard_strings, ReadCommand *command);

/* ---- follow.c, run.c, rest.c, exchange.c ---- */

/* An exchange, as its row says; text and bytes live as long as it is read. */
typedef struct ReadExchange
{
	int64 exchange_no;
	TimestampTz started_at;
	char *kind;
	char *query;
	int hash_count;
	const int64 *hashes;
	char *command_tag;
	int64 statement_count;
	int64 row_count;
	int64 data_row_count;
	char *sqlstate;
	char *error_message;
	char status_before; /* of the transaction, at its begin; 0: not known */
	char status;        /* at its end */
	bool is_complete;
	bool is_truncated;
	bool is_uncertain;
	bool has_bytes; /* metadata mode keeps none */
} ReadExchange;

typedef enum ReadRunKind
{
	READ_RUN_SIMPLE,   /* by Query */
	READ_RUN_EXTENDED, /* by Execute, or an error on the way there */
	READ_RUN_CALL,     /* by FunctionCall */
	READ_RUN_NONE      /* no request is known; an error at the end of the transaction is such */
} ReadRunKind;

typedef enum ReadCopy
{
	READ_COPY_NONE,
	READ_COPY_IN,
	READ_COPY_OUT,
	READ_COPY_BOTH
} ReadCopy;

/* The client's data of a COPY FROM STDIN. */
typedef struct ReadCopyData
{
	List *parts; /* WireSpan *, as the client sent them */
	bool has_end;
	bool has_failed; /* CopyFail */
	WireSpan message;
} ReadCopyData;

/* A statement that was run, or failed. */
typedef struct ReadRun
{
	const ReadExchange *exchange;
	int statement_no;
	ReadRunKind kind;
	const char *statement_name; /* NULL: not by the extended protocol */
	const char *portal_name;
	const char *query;             /* NULL: not known */
	const char *prepared_query;    /* what an EXECUTE ran, if that is known */
	const ReadStatement *prepared; /* NULL: none is known */
	WireSpan bind;                 /* body of its Bind or FunctionCall; no data: none */
	WireFormats formats;           /* of its results, where `columns` do not say */
	const ReadColumns *columns;    /* of its results; NULL: not known */
	int max_rows;
	bool is_first_piece; /* it is the first of the statements in its Query, ... */
	bool is_last_piece;

	/* how it ended; all NULL or -1 where that is not known */
	const char *command_tag;
	int64 row_count;      /* what the tag says */
	int64 data_row_count; /* rows that are in the record */
	bool is_suspended;
	bool is_resumed;   /* its portal had been suspended before */
	bool is_truncated; /* not all of it is in the record */
	const char *sqlstate;
	const char *error_message;
	const char *error_severity;
	ReadCopy copy;
	bool copy_is_binary;
	const ReadCopyData *copy_in;
} ReadRun;

/* What wants to know.  NULL routines are not called. */
typedef struct ReadSink
{
	void (*exchange)(void *arg, const ReadExchange *exchange); /* one begins */
	void (*prepared)(void *arg, const ReadStatement *statement);
	void (*closed)(void *arg, const char *name);
	void (*columns)(void *arg, const ReadRun *run);
	void (*row)(void *arg, const ReadRun *run, WireSpan body); /* DataRow, FunctionCallResponse */
	void (*run)(void *arg, const ReadRun *run);                /* a statement ended */
	void (*end)(void *arg, const ReadExchange *exchange);
} ReadSink;

typedef struct ReadFollow ReadFollow;

/* Makes what follows exchanges.  `sink` is NULL while nobody wants to know. */
extern ReadFollow *read_follow_create(ReadSession *session, void *arg);
extern void read_follow_begin(ReadFollow *follow, const ReadExchange *exchange,
                              const ReadSink *sink);
extern void read_follow_bytes(ReadFollow *follow, WireSpan request, WireSpan response);
extern void read_follow_end(ReadFollow *follow, ReadExchange *exchange);

/*
 * Reads a session, or one exchange of it, to a sink.  Returns false if there is no
 * such session.  `opened` (may be NULL) is called first.
 */
extern bool read_session(int64 session_id, bool has_exchange, int64 exchange_no,
                         const ReadSink *sink, void (*opened)(void *arg, ReadSession *session),
                         void *arg);

#endif /* READ_READ_H */
