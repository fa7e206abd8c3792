/*
 * facts.h
 *	  What is known of an exchange beside its bytes, in a few bytes.
 *
 * A table row of an exchange holds what is searched for in columns of its own
 * (when it started, session, number, query), and in two byte strings all else:
 *
 *		facts	this file's encoding, some 15 bytes: durations, counts, flags
 *		bytes	request, response, chunks and hashes, one behind the other, at
 *				the places that the facts tell; toasted where it is long
 *
 * Nothing is in the facts that the bytes or the usual case already say: sizes only
 * where not all bytes were kept, chunks only where more happened than one request
 * and one response, the command tag as a number where it is one of the known ones.
 *
 *		flags			4 bytes, low first: kind, status, what follows
 *		more			1 byte, only where the flags' kind is 15: kind, more flags
 *		duration		varint, microseconds from started_at to finished_at
 *		tag				varint: 0 none, 1 spelled out below, else a known tag's
 *						number + 1
 *		row count		varint
 *		request kept	varint, bytes		only with FLAG_REQUEST
 *		response kept	varint, bytes		only with FLAG_RESPONSE
 *		...				what the other flags announce, in their order
 *
 * A varint is 7 bits a byte, low first, high bit: more follow.
 *
 *		facts_encode		Facts -> bytes
 *		facts_decode		bytes -> Facts
 *		facts_tag			the command tag of decoded facts
 *		facts_kind_name		a kind in the words of the record
 *		facts_kind_of		the kind of such a word
 *		facts_put_varint	a number as facts and chunks hold it
 *		facts_get_varint	the reverse
 *		facts_digest_row	the row digest that depends on the order, a row further
 */
#ifndef JOURNAL_FACTS_H
#define JOURNAL_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FACTS_SIZE 256  /* more is never encoded */
#define FACTS_TAG 64    /* bytes of a command tag */
#define FACTS_VARINT 10 /* bytes of the longest varint */

/* Kinds of exchanges; the first that applies.  Stored: never change a number. */
typedef enum FactsKind
{
	FACTS_CANCEL,
	FACTS_STARTUP,
	FACTS_TERMINATE,
	FACTS_REPLICATION,
	FACTS_COPY,
	FACTS_FUNCTION_CALL,
	FACTS_QUERY,
	FACTS_EXTENDED,
	FACTS_ASYNC,
	FACTS_KINDS
} FactsKind;

/* Where the query text is.  Stored: never change a number. */
typedef enum FactsText
{
	FACTS_TEXT_NONE,
	FACTS_TEXT_COLUMN,    /* in the row's own column */
	FACTS_TEXT_REQUEST,   /* the request begins with a Query that holds it */
	FACTS_TEXT_TABLE,     /* in table query_text, under query_hash */
	FACTS_TEXT_NORMALISED /* the same, its normalised text */
} FactsText;

typedef struct Facts
{
	FactsKind kind;
	FactsText text;
	char transaction_status; /* 0: none */
	bool is_complete;
	bool is_truncated;
	bool pairing_uncertain;
	bool is_redacted;         /* something was overwritten by a rule, or was a password */
	bool is_request_redacted; /* the same, in the request's bytes */
	bool has_request;         /* its bytes were to be kept: the column is not NULL */
	bool has_response;
	bool has_chunks;
	int32_t part_no;
	int32_t statement_count;
	int64_t duration;       /* microseconds */
	int64_t first_response; /* the same; -1: none came */
	int64_t think;          /* the same, from the end of the exchange before; -1: not known */
	int64_t row_count;
	int64_t data_row_count;
	uint64_t request_bytes; /* true sizes */
	uint64_t response_bytes;
	uint64_t request_kept; /* in bytes, in this order */
	uint64_t response_kept;
	uint64_t chunks_len; /* 0 with has_chunks: as a request and its response make them */
	uint32_t hash_count;
	bool hash_is_query; /* one hash, that of the query: not in bytes */
	char sqlstate[5];   /* [0] is 0: none */
	char tag[FACTS_TAG];
	uint32_t tag_len;    /* 0: none */
	uint32_t tag_number; /* set by decoding alone, where facts_tag() looks for it */
	bool has_query_id;
	int64_t query_id;
	bool has_digests;
	uint64_t row_digest;
	uint64_t row_set_digest;
	bool has_cancelled;
	int64_t cancelled_session_id;
	int64_t cancelled_exchange_no; /* -1: none */
} Facts;

extern size_t facts_encode(const Facts *facts, uint8_t out[FACTS_SIZE]);

/* False: no facts, or made by a later version. */
extern bool facts_decode(const uint8_t *data, size_t len, Facts *facts);

/* Writes the command tag of decoded facts; returns its length, 0 for none. */
extern size_t facts_tag(const Facts *facts, char out[FACTS_TAG + 1]);

extern const char *facts_kind_name(FactsKind kind);

/* FACTS_KINDS: no such kind. */
extern FactsKind facts_kind_of(const char *name);

extern size_t facts_put_varint(uint8_t out[FACTS_VARINT], uint64_t number);

/* Moves *at behind the number.  False: none there. */
extern bool facts_get_varint(const uint8_t *data, size_t len, size_t *at, uint64_t *number);

extern uint64_t facts_digest_row(uint64_t digest, uint64_t row_hash);

#endif /* JOURNAL_FACTS_H */
