/*
 * relay.h
 *	  What the supervisor and a relay process agree upon: the entry point, the
 *	  settings, and the messages on the socket pair between them.
 *
 * The socket pair is SOCK_SEQPACKET: one message a packet, non-blocking on both
 * sides.  Its end-of-file tells either side that the other is gone.
 *
 *		supervisor -> relay		RelayConfig with the listening sockets and the
 *								certificate's bundle attached (SCM_RIGHTS), once at
 *								start and after each change
 *		relay -> supervisor		RelayNote: a log line, a wake-up for the writer, a
 *								request to read the certificate again
 *
 * Signals to a relay: TERM: stop accepting, let what the server still says
 * pass for at most RELAY_DRAIN_MS, record open exchanges as incomplete, write
 * the journal out, exit 0.  INT, QUIT: the same without the wait.  USR1: a
 * flush() is waiting, look at the board.
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "relay/board.h"

#define RELAY_MAX_LISTENERS 32
#define RELAY_MAX_FDS (RELAY_MAX_LISTENERS + 1) /* attached to a RelayConfig */
#define RELAY_MAX_UPSTREAMS 8
#define RELAY_FILTER_SIZE 2048 /* bytes of a filter list, with its zero byte */
#define RELAY_PATH_SIZE 1024
#define RELAY_PATTERN_SIZE 1024
#define RELAY_DRAIN_MS 300

typedef enum RelayCapture
{
	RELAY_CAPTURE_ALL,
	RELAY_CAPTURE_METADATA,
	RELAY_CAPTURE_OFF
} RelayCapture;

typedef enum RelayJournalFull
{
	RELAY_JOURNAL_DROP,
	RELAY_JOURNAL_WAIT
} RelayJournalFull;

/* Which side of a pair of filter lists, and of what. */
typedef enum RelayFilter
{
	RELAY_INCLUDE_DATABASES,
	RELAY_EXCLUDE_DATABASES,
	RELAY_INCLUDE_USERS,
	RELAY_EXCLUDE_USERS,
	RELAY_INCLUDE_APPLICATIONS,
	RELAY_EXCLUDE_APPLICATIONS,
	RELAY_FILTERS
} RelayFilter;

/* An address the server listens on, tried in order. */
typedef struct RelayAddress
{
	struct sockaddr_storage addr;
	socklen_t len;
} RelayAddress;

/* Whether clients may have TLS. */
typedef enum RelayTls
{
	RELAY_TLS_OFF,
	RELAY_TLS_LOADING, /* the certificate is being read for the first time */
	RELAY_TLS_ON
} RelayTls;

/* Everything a relay needs to know; plain data, sent whole. */
typedef struct RelayConfig
{
	uint32_t size;           /* sizeof(RelayConfig) */
	uint32_t listener_count; /* descriptors attached; the previous ones are closed */
	uint32_t upstream_count;
	RelayAddress upstreams[RELAY_MAX_UPSTREAMS];
	uint32_t tls_upstream_count; /* for clients with TLS: by TCP */
	RelayAddress tls_upstreams[RELAY_MAX_UPSTREAMS];
	uint32_t upstream_pending; /* 1: host names among them are being looked up */

	uint32_t tls_state;      /* RelayTls */
	uint32_t tls_direct;     /* 1: clients may begin TLS without SSLRequest */
	uint32_t has_bundle;     /* 1: the last descriptor attached is see tls_bundle.h */
	uint64_t tls_generation; /* of the bundle: counted up when it is read again */

	uint32_t max_sessions;              /* over all relays */
	uint32_t max_unauthenticated;       /* over all relays */
	uint32_t authentication_timeout_ms; /* the server's authentication_timeout */

	uint32_t capture;      /* RelayCapture */
	int64_t request_limit; /* bytes kept per exchange; resolved, never -1 */
	int64_t response_limit;
	uint64_t row_limit;     /* the first row that is not kept; 0: none */
	int64_t capture_memory; /* bytes, this relay */
	double sample_rate;
	int64_t min_duration_us;
	int64_t part_interval_us; /* long exchanges are recorded in parts; 0: they are not */

	bool redact_parameters;
	char redact_columns[RELAY_FILTER_SIZE];  /* schema.table.column, comma list */
	char redact_types[RELAY_FILTER_SIZE];    /* schema.type, comma list */
	char redact_queries[RELAY_PATTERN_SIZE]; /* extended regular expression */

	uint32_t journal_full;  /* RelayJournalFull */
	uint64_t journal_limit; /* bytes */
	uint32_t flush_interval_ms;
	uint32_t node_id;
	char journal_directory[RELAY_PATH_SIZE];

	uint8_t digest_key[16];                         /* reserved: zero means the directory's own */
	char filters[RELAY_FILTERS][RELAY_FILTER_SIZE]; /* comma lists */
} RelayConfig;

typedef enum RelayNoteKind
{
	RELAY_NOTE_LOG,   /* severity and text */
	RELAY_NOTE_WAKE,  /* the journal has news for the writer */
	RELAY_NOTE_RELOAD /* the server shows another certificate than we do */
} RelayNoteKind;

typedef enum RelaySeverity
{
	RELAY_DEBUG,
	RELAY_LOG,
	RELAY_WARNING
} RelaySeverity;

typedef struct RelayNote
{
	uint32_t kind;
	uint32_t severity;
	char text[1000]; /* zero-terminated; DETAIL after the first newline */
} RelayNote;

/*
 * Runs a relay: waits for the first RelayConfig on supervisor_fd, then serves
 * until a signal or the end of supervisor_fd.  Never returns.  The caller has
 * forked, detached from the server and closed every other descriptor.
 */
extern void relay_main(Board *board, uint32_t relay_no, int supervisor_fd)
    __attribute__((noreturn));

/* Returns the hash by which relays and backends tell whether they have the same rules. */
extern uint64_t redact_rules_hash(const char *columns, const char *types);

/*
 * Checks a pattern of redact_queries, in a process of the server's; the reason
 * that it is none goes to `reason`.
 */
extern bool redact_check_pattern(const char *pattern, char *reason, size_t size);

#endif /* RELAY_H */
