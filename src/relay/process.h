/*
 * process.h
 *	  The state of a relay process and its sessions: shared by the room's files
 *	  that do input and output.
 *
 * A session has two legs, the client's socket and the server's (the carrier).
 * What is read from one leg is observed, then sent to the other at once.  What
 * the socket does not take stays in that leg's `pending`, and the other leg is
 * not read until it is gone: so a session holds at most one read's worth of
 * bytes a direction.  Whether a leg is read or waits to be written is never
 * switched by hand: session_update() derives it from the session's state.
 *
 *		STARTUP --------> CONNECTING --> SECURING --> AUTHENTICATING ----> OPEN
 *		untyped packets	  id, carrier	 only if	  only 'p' passes	  both ways
 *		TLS with the client	  |			 that has TLS
 *							  `-> CANCELLING: a CancelRequest, on its own carrier
 *		any state -> FLUSHING: pending bytes to the client, then the end
 */
#ifndef RELAY_PROCESS_H
#define RELAY_PROCESS_H

#include <sys/socket.h>

#include "journal/clock.h"
#include "journal/journal.h"
#include "journal/tuple.h"
#include "relay/leg.h"
#include "relay/redact.h"
#include "relay/relay.h"
#include "relay/tls.h"
#include "relay/tracker.h"

#define RELAY_IO_SIZE (64 * 1024) /* bytes of one read */
#define RELAY_READS_A_TURN 4      /* reads of a socket before others have their turn */
#define RELAY_ACCEPTS_A_TURN 16
#define RELAY_HANDSHAKES_A_TURN 8 /* steps; each may cost a millisecond */
#define STARTUP_PACKET_MAX 10000  /* the server's own limit */
#define AUTH_MESSAGE_MAX 65536    /* the server takes no longer answer */
#define CANCEL_WAIT_MS 5000
#define FLUSH_WAIT_S 60 /* an ended session waits so long for a client that does not read */

struct Relay;

typedef enum SessionState
{
	SESSION_STARTUP,
	SESSION_CONNECTING,
	SESSION_SECURING,
	SESSION_CANCELLING,
	SESSION_AUTHENTICATING,
	SESSION_OPEN,
	SESSION_FLUSHING,
	SESSION_CLOSED
} SessionState;

typedef struct Session
{
	struct Relay *relay;
	struct Session *prev; /* in the relay's list of open ones; closed ones use next */
	struct Session *next;
	SessionState state;
	Leg client;
	Leg server;
	struct event *deadline; /* authentication, cancel */
	struct event *retry;    /* session id, or carrier, tried again */

	const char *tls_version; /* of the client's leg; NULL: none */
	const char *tls_cipher;
	bool has_looked;       /* whether it begins with TLS */
	bool begins_tls;       /* its handshake goes on */
	bool is_direct;        /* it began TLS without SSLRequest */
	bool waits_for_tls;    /* its SSLRequest, for what is being read or looked up */
	bool is_answered;      /* our own SSLRequest, by the server */
	bool is_cut;           /* the server's leg ended as if the line were cut */
	int64_t strange_since; /* the server shows a certificate that we do not know; 0: no */

	Tracker tracker;
	bool is_tracked; /* bytes are decoded */
	bool is_replication;
	bool is_recorded; /* it makes rows: has an id, is not filtered */
	bool may_decline; /* its packet names the setting by which one asks not to be recorded */
	bool has_packet;  /* its startup packet came whole */
	bool is_counted;  /* in sessions_open */
	bool is_waiting;  /* in unauthenticated */
	bool saw_ssl;
	bool saw_gss;
	bool asked_gss;   /* by a GSSENCRequest, which was declined */
	uint32_t answers; /* one-byte answers, the first bytes of exchange 0 */
	Buffer input;     /* startup: what came; later: bytes kept back until AuthenticationOk */
	Buffer packet;    /* the client's own StartupMessage or CancelRequest */
	size_t packet_at; /* where it begins in exchange 0's request */

	uint64_t session_id; /* 0: none */
	int slot;            /* -1: none */
	uint32_t upstream;   /* index of the address being tried */
	int64_t ids_waited_since;
	int64_t accepted_wall;    /* microseconds since 2000-01-01 */
	int64_t accepted_at;      /* monotonic microseconds */
	int64_t authenticated_at; /* since accepted_at; -1 */
	int64_t ended_at;
	struct sockaddr_storage client_addr;
	uint32_t place;           /* where it is counted while it is silent (listen.c) */
	uint32_t client_uid;      /* of a client on a Unix socket; UINT32_MAX: unknown */
	int64_t last_finished_at; /* of the exchange before, async ones aside */
	uint32_t exchange_count;
	uint64_t dropped_exchanges;
	int64_t backend_start;
	uint32_t database_oid;
	uint64_t row_epoch; /* the journal epoch its row was written in; 0: never */
	const char *end_reason;
	RedactColumns *redaction;   /* NULL: its backend has told of none */
	uint64_t redaction_hash;    /* of the rules that its backend has looked up; 0: none */
	uint32_t redaction_version; /* of what it told, as the slot had it */
	uint32_t touched;           /* statements that touched columns of the rules, as it had them */
	uint64_t cancelled_session_id; /* a cancel: whom it hits; 0: nobody that is recorded */
	int64_t cancelled_exchange_no; /* -1: none was open */
} Session;

typedef struct Relay
{
	struct event_base *base;
	Board *board;
	BoardRelay *stats;
	uint32_t relay_no;
	int supervisor_fd;
	RelayConfig config;
	bool is_configured;

	int listeners[RELAY_MAX_LISTENERS];
	struct event *listener_events[RELAY_MAX_LISTENERS];
	uint32_t listener_count;

	TlsContext *tls;         /* NULL: clients get no TLS */
	TlsContext *tls_before;  /* what sessions that began before a reload show */
	uint64_t tls_generation; /* of the bundle that tls was made of */
	int64_t reload_asked_at;
	uint32_t handshakes; /* steps in this turn of the loop */

	Budget budget;
	TextPool *texts;
	RedactRules rules;
	ExchangePool exchanges;
	TrackerEnv env;
	JournalAppender *journal;
	uint64_t next_id; /* counters left from the reserved block */
	uint64_t ids_left;
	bool ids_given_up; /* the file was missing for too long once */

	Session *sessions;
	Session *closed; /* ended, kept until their row is in the journal */
	uint32_t closed_count;
	Session **batch; /* whose exchanges are in the journal's batch */
	size_t batch_count;
	size_t batch_cap;
	uint32_t record_epoch;  /* as the board had it last */
	uint64_t journal_epoch; /* counted up when a batch was thrown away; from 1 */
	int64_t refused_at;     /* when the journal last refused a batch; 0: it takes them */
	bool is_held;           /* journal_full = wait: nothing is read */
	bool is_stopping;
	bool wake_due;
	int64_t last_wake;
	uint64_t flush_seen; /* the last flush() request, and when it was seen */
	int64_t flush_seen_at;
	Tuple tuple;       /* of the record being made */
	Buffer normalised; /* scratch */
	Buffer chunks;     /* scratch */

	struct event *heartbeat;
	struct event *wake_timer;
	struct event *retry_timer;
	struct event *accept_timer;
	struct event *drain_timer;
	struct event *supervisor_event;
	struct event *signals[5];
	uint8_t io[RELAY_IO_SIZE];
} Relay;

/* note.c */
extern void relay_log(Relay *relay, RelaySeverity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
extern void relay_error(Relay *relay, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
extern void relay_wake_writer(Relay *relay);
extern void relay_ask_reload(Relay *relay);

/* config.c */
extern void config_receive(Relay *relay);
extern bool config_filtered(const RelayConfig *config, WireSpan database, WireSpan user,
                            WireSpan application);

/* listen.c */
extern void listen_take(Relay *relay, const int *fds, uint32_t count);
extern void listen_close(Relay *relay);
extern void listen_set(Relay *relay, bool accepting);

/* session.c */
extern Session *session_open(Relay *relay, int fd, const struct sockaddr_storage *addr);
extern void session_close(Session *session, const char *reason);
extern void session_free(Session *session);
extern void session_update(Session *session);
extern void session_authenticated(Session *session);
extern void session_leave_out(Session *session);
extern void session_stop_tracking(Session *session);
extern void session_flush(Session *session);
extern void session_refuse(Session *session, const char *reason, const char *sqlstate,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));
extern int64_t session_now(const Session *session);

/* startup.c */
extern void startup_readable(Session *session);
extern void startup_go_on(Session *session);
extern WireSpan startup_parameter(WireSpan pairs, const char *wanted);

/* carrier.c */
extern void carrier_open(Session *session);
extern void carrier_writable(Session *session);
extern void carrier_release(Session *session);
extern void carrier_ready(Session *session);
extern void carrier_again(Session *session, int wait_ms);

/* secure.c */
extern uint8_t secure_answer(const Session *session);
extern bool secure_client(Session *session);
extern bool secure_look(Session *session);
extern bool secure_note(Session *session);
extern bool secure_may_step(Relay *relay);
extern void secure_begin(Session *session);
extern void secure_go_on(Session *session);
extern void secure_configure(Relay *relay, int bundle);

/* pump.c */
extern bool pump_send(Session *session, Leg *leg, const uint8_t *data, size_t len);
extern void pump_client_readable(evutil_socket_t fd, short what, void *arg);
extern void pump_server_readable(evutil_socket_t fd, short what, void *arg);
extern void pump_client_writable(evutil_socket_t fd, short what, void *arg);
extern void pump_server_writable(evutil_socket_t fd, short what, void *arg);
extern void pump_release_held(Session *session);
extern void pump_server_gone(Session *session);

/* record.c */
extern bool record_session(Session *session);
/* Masks what must never be stored in the kept bytes of an exchange. */
extern void record_mask(const Session *session, Exchange *exchange);
/* The relay's tuple, empty; and the same added to the journal's batch, when it is full. */
extern Tuple *record_tuple(Relay *relay, int columns);
extern bool record_add(Session *session, JournalRecordType type, int64_t recorded_at, Tuple *tuple);

/* row.c */
extern bool record_exchange(Session *session, Exchange *exchange);
/* Sends a text that came in a Parse to the journal, unless that has it. */
extern void record_text_used(Session *session, Text *text);

/* rules.c */
/* Takes from the slot what the backend says of the administrator's rules. */
extern void rules_follow(Session *session);
extern bool rules_are_known(const Session *session);
/* Takes out of an exchange what they say. */
extern void rules_apply(Session *session, Exchange *exchange);

/* turn.c */
extern void turn_exchange_finished(Tracker *tracker, Exchange *exchange);
extern void turn_part_finished(Tracker *tracker, Exchange *exchange);
extern void turn_text_seen(Tracker *tracker, Text *text);
extern void turn_end(Relay *relay);
extern void turn_stop(Relay *relay);

/* ids.c */
extern uint64_t ids_next(Relay *relay);

#endif /* RELAY_PROCESS_H */
