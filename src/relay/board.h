/*
 * board.h
 *	  The board: what relays, supervisor, writer and backends tell each other.
 *
 * One MAP_SHARED|MAP_ANONYMOUS mapping made in _PG_init, inherited by every
 * process.  It survives a crash restart and a relay may be killed while it
 * writes, so: atomics only, no locks, no pointers, every reader copes with any
 * value.  Texts (last_error) are written by one process, and readers copy them
 * and end them themselves.
 *
 * Who writes what:
 *		relays[i]		relay i; pid, started_at, restarts, lost and the text: the
 *						supervisor as well, while that relay is not running
 *		writer			the writer; pid and state also the supervisor, while
 *						there is no writer
 *		slots[]			see Slot
 *		replays[]		run_id and command: who starts or steers a run; the rest: its
 *						worker
 *
 * Times are microseconds since 2000-01-01 UTC (TimestampTz).
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_MAX_RELAYS 64
#define BOARD_MAX_REPLAYS 8
#define BOARD_TEXT 512          /* bytes of a last_error, zero-terminated */
#define BOARD_CERTIFICATE 16384 /* bytes of a client's certificate, DER */
#define BOARD_TOKEN 16          /* bytes of a carrier token */
#define BOARD_TOKEN_PARAMETER "pgwire_trace.carrier"
/* the setting by which a client asks not to be recorded */
#define BOARD_RECORD_SETTING "pgwire_trace.record"
/* what the token adds to a startup packet: name, 32 hex digits, two zero bytes */
#define BOARD_TOKEN_ADDS (sizeof(BOARD_TOKEN_PARAMETER) + 2 * BOARD_TOKEN + 1)

typedef _Atomic uint32_t BoardU32;
typedef _Atomic uint64_t BoardU64;
typedef _Atomic int64_t BoardI64;

/* A row of stat_relay. */
typedef struct BoardRelay
{
	BoardU32 pid;   /* 0: not running */
	BoardU32 ready; /* 1: it runs its loop */
	BoardI64 started_at;
	BoardU64 restarts;
	BoardI64 heartbeat;   /* time of the last loop turn, or timer tick */
	BoardU64 series;      /* its journal series */
	BoardU64 flush_acked; /* highest flush_requested it has acted upon */

	BoardU64 sessions_open;
	BoardU64 sessions_total;
	BoardU64 sessions_refused;
	BoardU64 sessions_filtered;
	BoardU64 sessions_sampled_out;
	BoardU64 sessions_unrecorded; /* that asked for it, and may */
	BoardU64 startups_failed;
	BoardU64 unauthenticated; /* accepted, no AuthenticationOk yet */
	BoardU64 asking;          /* those of them whose startup packet has come */
	BoardU64 exchanges_finished;
	BoardU64 exchanges_journalled;
	BoardU64 exchanges_dropped_journal_full;
	BoardU64 exchanges_dropped_disk_full;
	BoardU64 exchanges_lost_in_crash;
	BoardU64 exchanges_paused;
	BoardU64 exchanges_too_short; /* under min_duration */
	BoardU64 sessions_desynchronised;
	BoardU64 bytes_from_client;
	BoardU64 bytes_to_client;
	BoardU64 bytes_allocated;
	BoardU64 log_lines_dropped;
	BoardI64 last_error_at;
	char last_error[BOARD_TEXT];
} BoardRelay;

typedef enum BoardWriterState
{
	WRITER_NOT_STARTED = 0, /* shown as starting */
	WRITER_STARTING,
	WRITER_RUNNING,
	WRITER_IDLE,
	WRITER_WAITING_LOCK,
	WRITER_WAITING_EXTENSION,
	WRITER_WAITING_DISK,
	WRITER_STANDBY,
	WRITER_REFUSED,
	WRITER_PAUSED
} BoardWriterState;

/* The row of stat_writer. */
typedef struct BoardWriter
{
	BoardU32 pid;         /* 0: not running */
	BoardU32 state;       /* BoardWriterState */
	BoardU64 rows_stored; /* exchanges, committed */
	BoardU64 journal_bytes_waiting;
	BoardI64 oldest_waiting_at; /* time of the oldest exchange not stored; 0: none */
	BoardU64 exchanges_quarantined;
	BoardU64 records_skipped; /* bytes or sequence gaps: torn, corrupt */
	BoardU64 flush_acked;     /* everything up to this request is committed */
	BoardI64 last_error_at;
	char last_error[BOARD_TEXT];

	/*
	 * What is in hand, so that a writer that starts knows what the one before died
	 * of.  A batch is from batch_first to batch_last of a series; current is the
	 * record in hand.  crashed_on is set by the handler of a fatal signal; a death
	 * without it (SIGKILL) blames nothing until it has happened twice.
	 */
	BoardU64 batch_series;
	BoardU64 batch_first; /* sequence numbers; 0: none in hand */
	BoardU64 batch_last;
	BoardU32 batch_deaths;
	BoardU64 current;
	BoardU64 crashed_on;
} BoardWriter;

/*
 * A slot carries the client's facts from the relay to the backend, under the
 * token, and the backend's back.  It is held by up to two owners, each of whom
 * clears only its own bit; with none left the slot is free.
 *
 *		0 -> RELAY					relay claims it (compare and swap)
 *		RELAY -> RELAY|ARMED		facts and token are written
 *		ARMED -> BACKEND			the hook found the token: used, once
 *		clear RELAY					the carrier was closed by the server
 *		clear BACKEND				the backend exits
 *
 * When a relay dies the supervisor clears RELAY and ARMED of its slots; when a
 * supervisor starts it does so for all, and counts generation up.  Now and then
 * it clears BACKEND of slots whose backend is gone without having said so.
 */
#define SLOT_RELAY UINT32_C(1)
#define SLOT_ARMED UINT32_C(2)
#define SLOT_BACKEND UINT32_C(4)
/* which relay: in the same word, so that claiming a slot and naming it is one step */
#define SLOT_RELAY_SHIFT 8
#define SLOT_RELAY_NO(state) ((state) >> SLOT_RELAY_SHIFT)

/*
 * The query ids of a session's recent texts: a set of places for a text, by its
 * hash, of which a new one takes over the oldest.  A set is a cache line.
 */
#define BOARD_QUERY_SETS 16
#define BOARD_QUERY_PLACES 4
#define BOARD_TEXT_HASHED (1024 * 1024) /* bytes of a text that its hash is made of */

typedef struct BoardQueryId
{
	BoardU64 text_hash; /* XXH3 of the source text as the backend has it; 0: none */
	BoardU64 query_id;
} BoardQueryId;

typedef struct BoardQueryIds
{
	BoardQueryId places[BOARD_QUERY_SETS][BOARD_QUERY_PLACES];
	BoardU32 taken[BOARD_QUERY_SETS]; /* places of a set ever taken over */
} BoardQueryIds;

/* What of results the administrator's rules mean, as the backend has resolved them. */
#define BOARD_REDACTED 64

typedef struct BoardRedaction
{
	BoardU64 rules_hash;   /* of the rules that were resolved; 0: what they mean is not known */
	BoardU32 version;      /* counted up before and after each change: odd while one goes on */
	BoardU32 touched;      /* statements that read or wrote a column of the rules */
	BoardU32 column_count; /* over BOARD_REDACTED: too many to be told */
	BoardU32 type_count;
	BoardU32 relations[BOARD_REDACTED]; /* 0: expressions of the type in columns */
	BoardU32 columns[BOARD_REDACTED];   /* attribute number, 0: all of the relation; or a type */
	BoardU32 types[BOARD_REDACTED];
} BoardRedaction;

typedef struct BoardSlot
{
	BoardU32 state;    /* SLOT_ bits, and the relay's number above them */
	BoardU64 token[2]; /* the 16 bytes as they are in memory */
	BoardU32 generation;

	/* the client, by the relay */
	BoardU64 session_id;      /* 0: this session is not recorded */
	BoardU32 client_family;   /* AF_INET, AF_INET6, AF_UNIX */
	BoardU32 client_port;     /* host byte order */
	BoardU64 client_addr[2];  /* network byte order, as in memory */
	BoardU32 client_scope;    /* AF_INET6: the interface of a link-local address; 0: none */
	BoardU32 client_gss;      /* 1: the client asked for GSSAPI encryption, in vain */
	BoardU32 client_uid;      /* AF_UNIX: the peer's, from our own socket; UINT32_MAX: unknown */
	BoardU32 client_tls;      /* 1: the client's leg has TLS, and so has the carrier */
	BoardU32 certificate_len; /* of what board_certificate() points to; 0: it sent none */
	BoardU32 carrier_port;    /* the relay's end of a TCP carrier, host byte order; 0: Unix */
	BoardU64 carrier_addr[2]; /* its address, as client_addr */

	/* what a cancel request is linked by, by the relay */
	BoardU64 cancel_key;  /* XXH3 of BackendKeyData's body; 0: not known */
	BoardI64 exchange_no; /* that the server works on; -1: none */

	/* the server, by the backend */
	BoardU32 backend_pid;
	BoardI64 backend_start;
	BoardU32 database_oid;
	BoardU32 is_unrecorded; /* 1: the client asked for that, and may */
	BoardQueryIds query_ids;
	BoardRedaction redaction;
} BoardSlot;

typedef enum BoardReplayState
{
	REPLAY_STARTING, /* its row is not there yet */
	REPLAY_RECORDED,
	REPLAY_RUNNING,
	REPLAY_PAUSED
} BoardReplayState;

/* what a replay's token stands behind, at the begin of startup parameter "options" */
#define BOARD_REPLAY_PARAMETER "-c pgwire_trace.replay="

#define REPLAY_CANCEL UINT32_C(1)
#define REPLAY_PAUSE UINT32_C(2)

/* A replay that runs. */
typedef struct BoardReplay
{
	BoardI64 run_id;   /* 0: free */
	BoardU32 database; /* whose run that is: each counts its own */
	BoardU64 token[2]; /* its sessions are left out of the record by it; 0: none */
	BoardI64 claimed_at;
	BoardU32 pid;
	BoardU32 state;     /* BoardReplayState */
	BoardU32 command;   /* REPLAY_ bits */
	BoardU64 new_speed; /* bits of a double; 0: as it is */
	BoardU64 sent;      /* exchanges */
	BoardU32 sessions_live;
	BoardU32 sessions_ended;
	BoardI64 late_us; /* the greatest of the last report */
	BoardI64 target_late_us;
	BoardU64 order_timeouts;
} BoardReplay;

typedef struct Board
{
	BoardU32 generation; /* counted up by each supervisor before its first fork */
	BoardU32 supervisor_pid;
	BoardU32 is_paused;       /* 1: no exchange is begun in the record, until resume() */
	BoardU32 record_epoch;    /* counted up when tables lost what relays believe to be stored */
	BoardU32 record_table;    /* OID of the table that the writer stored into last */
	BoardU64 flush_requested; /* counted up by flush() */
	BoardU64 sessions_open;   /* over all relays; max_sessions is checked on it */
	BoardU32 writer_present;  /* 1: from before a writer is started until it is known to be gone */
	BoardI64 writer_hold_until; /* no writer is started before: a command needs its database */
	BoardU32 relay_count;
	BoardU32 slot_count; /* max_sessions, and as many again for those that linger */
	BoardRelay relays[BOARD_MAX_RELAYS];
	BoardWriter writer;
	BoardReplay replays[BOARD_MAX_REPLAYS];
	BoardSlot slots[];
} Board;

/* The slots are followed by a certificate's room each: pages that nobody touches cost nothing. */
#define BOARD_SLOTS_SIZE(slot_count) (sizeof(Board) + (size_t) (slot_count) * sizeof(BoardSlot))
#define BOARD_SIZE(slot_count) \
	(BOARD_SLOTS_SIZE(slot_count) + (size_t) (slot_count) *BOARD_CERTIFICATE)

/*
 * Adds to, or reads, a counter.  Relaxed: a counter stands for itself alone.
 */
static inline void
board_add(BoardU64 *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline uint64_t
board_get(const BoardU64 *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/*
 * Points to the room for a slot's client certificate.  The relay writes it before
 * it arms the slot; a relay that died in between left a slot that is not armed.
 */
static inline uint8_t *
board_certificate(Board *board, int slot)
{
	return (uint8_t *) board + BOARD_SLOTS_SIZE(board->slot_count) +
	       (size_t) slot * BOARD_CERTIFICATE;
}

/* Claims a free slot for a relay. -1: none free. */
extern int board_claim_slot(Board *board, uint32_t relay_no);

/* Makes a claimed slot's token usable; its facts must be written already. */
extern void board_arm_slot(Board *board, int slot, const uint8_t token[BOARD_TOKEN]);

/*
 * Finds the armed slot with this token in the present generation and takes it
 * for the calling backend, once.  -1: unknown or used.
 */
extern int board_take_slot(Board *board, const uint8_t token[BOARD_TOKEN], uint32_t backend_pid);

/* Gives up the relay's or the backend's hold on a slot. */
extern void board_release_slot(Board *board, int slot, uint32_t owner_bit);

/* After a relay's death: gives up all its holds and voids its unused tokens. */
extern void board_release_relay(Board *board, uint32_t relay_no);

/* At a supervisor's start: voids every token, begins a new generation. */
extern void board_void_slots(Board *board);

/* Notes, in a slot, the query id of a text.  One process writes, others read. */
extern void board_set_query_id(BoardSlot *slot, uint64_t text_hash, uint64_t query_id);

/* Returns the query id that a slot has for a text; 0: none. */
extern uint64_t board_query_id(BoardSlot *slot, uint64_t text_hash);

/* Forgets the query ids of the session that had the slot before. */
extern void board_clear_query_ids(BoardSlot *slot);

/*
 * Finds the session that a cancel request with this key hits, and the exchange
 * that its server works on, -1 for none.  0: no session.
 */
extern uint64_t board_find_cancelled(Board *board, uint64_t cancel_key, int64_t *exchange_no);

/* Whether a replay that runs has this token. */
extern bool board_knows_replay(Board *board, const uint8_t token[BOARD_TOKEN]);

/* Writes a last_error text, cut to size. */
extern void board_set_error(char text[BOARD_TEXT], BoardI64 *at, int64_t now, const char *message);

#endif /* BOARD_H */
