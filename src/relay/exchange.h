/*
 * exchange.h
 *	  One exchange in the making: what the client sent up to and including a
 *	  Query, Sync or FunctionCall, and what answered it.
 *
 * An exchange collects the kept bytes of both directions, when they passed,
 * and the columns of its row.  It belongs to the session's list until it is
 * finished, then it goes back to the pool, which keeps some with their memory.
 * A long one is recorded in parts: what a part says of bytes and counts is of
 * that part alone, so that sums over the parts are the exchange's; its
 * begin, digests, the query and the kind go on from part to part.
 *
 * Times are monotonic microseconds since the session was accepted; -1: none.
 */
#ifndef RELAY_EXCHANGE_H
#define RELAY_EXCHANGE_H

#include "journal/facts.h"
#include "relay/buffer.h"
#include "relay/text.h"
#include "wire/wire.h"

/* What an exchange held; its kind is the first that applies. */
enum
{
	HAS_CANCEL = 1 << 0,
	HAS_STARTUP = 1 << 1,
	HAS_TERMINATE = 1 << 2,
	HAS_REPLICATION = 1 << 3,
	HAS_COPY = 1 << 4,
	HAS_FUNCTION_CALL = 1 << 5,
	HAS_QUERY = 1 << 6,
	HAS_EXTENDED = 1 << 7
};

/* When which bytes passed: (bytes << 1 | direction), at. */
typedef struct Passage
{
	int64_t at;
	uint64_t bytes; /* shifted: low bit 0 frontend, 1 backend */
} Passage;

/* One direction of an exchange. */
typedef struct ExchangeSide
{
	Buffer kept;
	uint64_t bytes;  /* true size */
	uint64_t before; /* bytes in earlier parts */
	bool is_cut;     /* bytes were left out: nothing behind them is kept */
	uint64_t rows;   /* of the exchange so far: DataRow, or CopyData of either side */
} ExchangeSide;

typedef struct Exchange
{
	struct Exchange *next; /* in the session's list, or the pool's */

	int64_t exchange_no; /* -1: not numbered yet */
	int32_t part_no;
	uint32_t has;     /* HAS_ flags */
	bool recorded;    /* it will make a row */
	bool is_paused;   /* it would, were recording not paused */
	bool terminated;  /* its Query, Sync or FunctionCall is in the queue */
	bool orphaned;    /* its terminator was dropped: what follows ends it */
	bool is_complete; /* the answer came to its end */
	bool is_truncated;
	bool uncertain;           /* pairing_uncertain */
	bool has_secret;          /* kept bytes must be walked and masked */
	bool is_redacted;         /* something was overwritten: query text, values, errors */
	bool is_request_redacted; /* in the bytes of its request */
	uint32_t redact;          /* what the rules say of its texts (redact.h) */
	bool has_bind;            /* a Bind came in it */
	bool has_failed;          /* an ErrorResponse: late CopyData belongs to it */
	char transaction_status;  /* 0: none */

	int64_t started_at; /* of the exchange, whichever its part is */
	int64_t first_response_at;
	int64_t part_started_at;
	int64_t finished_at;

	Text *query;          /* of the first statement */
	bool query_is_parsed; /* it came in a Parse */
	uint64_t query_id;    /* of its text, as the backend has it; 0: none */
	Buffer query_hashes;  /* uint64_t, of each Bind */
	char tag[64];         /* last command tag */
	uint32_t tag_len;
	int32_t statement_count;
	int64_t row_count;
	int64_t data_row_count;
	char sqlstate[5]; /* first ErrorResponse; [0] is 0 without one */
	Buffer error_message;
	bool has_digest;
	uint64_t row_digest;
	uint64_t row_set_digest;

	ExchangeSide request;
	ExchangeSide response;
	Buffer passages; /* Passage */
} Exchange;

/* Where exchanges come from; one a relay. */
typedef struct ExchangePool
{
	Budget *budget;
	TextPool *texts;
	Exchange *free;
	uint32_t free_count;
} ExchangePool;

/* Makes an empty exchange that begins now; NULL: no memory. */
extern Exchange *exchange_begin(ExchangePool *pool, int64_t now, bool recorded);

/* Takes an exchange back. */
extern void exchange_release(ExchangePool *pool, Exchange *exchange);
extern void exchange_pool_free(ExchangePool *pool);

/* Adds bytes of a direction: counts them all, keeps those under the limit. */
extern void exchange_take(ExchangePool *pool, Exchange *exchange, WireDirection direction,
                          const uint8_t *data, size_t len, int64_t now, int64_t limit);

/* Empties an exchange of what its present part holds, so that the next begins now. */
extern void exchange_next_part(ExchangePool *pool, Exchange *exchange, int64_t now);

/* Moves the last bytes of an exchange's request to a new one, which they begin. */
extern void exchange_split(ExchangePool *pool, Exchange *exchange, Exchange *late, uint64_t bytes,
                           int64_t limit);

/* Moves all that `second` holds, which has no answer yet, to the end of `first`. */
extern void exchange_merge(ExchangePool *pool, Exchange *first, Exchange *second, int64_t limit);

/* Sets the query text unless a statement before had one; takes a use of it. */
extern void exchange_set_query(Exchange *exchange, Text *text, bool is_parsed);

/* Returns the kind. */
extern FactsKind exchange_kind(const Exchange *exchange);

/* Adds a DataRow's hash to both digests. */
extern void exchange_add_digest(Exchange *exchange, uint64_t hash);

/* Whether the request came at once, and its response at once when it was finished. */
extern bool exchange_is_plain(const Exchange *exchange);

/* Encodes the passages as the record's chunks into out. False: no memory. */
extern bool exchange_chunks(Budget *budget, const Exchange *exchange, Buffer *out);

#endif /* RELAY_EXCHANGE_H */
