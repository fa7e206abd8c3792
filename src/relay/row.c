/*
 * row.c
 *	  Makes journal records of exchanges and of the texts that they refer to.
 *
 * What a row says twice is stored once.  A text that came in a Parse is in table
 * query_text; that of a Query is in the request's bytes, and its normalised form,
 * which many share, in query_text.  Either way the row has the hash that it is
 * found under there.  A text that is in neither place as the row needs it (other
 * encodings, bytes that were cut off) goes into the row's own column.
 *
 * In metadata mode no bytes and no values are stored, and query text only with
 * its constants taken out.
 */
#include <string.h>

#include "journal/record.h"
#include "journal/tuple.h"
#include "relay/process.h"

/* Normalised text of a Query beyond this is cut off: a long list of rows is like another. */
#define NORMALISED_MAX 4096
#define CUT_MARK "..."

/* A normalised text; its data is the relay's scratch, the next one overwrites it. */
typedef struct Normalised
{
	const uint8_t *data;
	size_t len;
	uint64_t hash; /* 0: there is none */
	bool is_cut;
} Normalised;

/*
 * Turns a session's time into TimestampTz.
 */
static int64_t
wall(const Session *session, int64_t at)
{
	return session->accepted_wall + at;
}

/*
 * Tells whether a text that came in a Parse is stored as it is.  Whether it touches
 * a column of the rules is known only when it is executed, by then it is stored: so
 * not where there are such columns.
 */
static bool
keeps_text(Session *session, Text *text)
{
	const Relay *relay = session->relay;

	return relay->config.capture != RELAY_CAPTURE_METADATA && rules_are_known(session) &&
	       !(text_redacts(relay->texts, text) & REDACT_TEXT) &&
	       !(session->redaction && session->redaction->column_count > 0);
}

/*
 * Normalises a text: whole, or as much of it as is told apart.
 */
static Normalised
normalise(Session *session, const Text *text, bool whole)
{
	Relay *relay = session->relay;
	Buffer *scratch = &relay->normalised;
	size_t room = (size_t) text->len * 2 + 64;
	Normalised result = {NULL, 0, 0, false};

	if (!whole && room > NORMALISED_MAX + 1)
		room = NORMALISED_MAX + 1;
	scratch->len = 0;
	if (!buffer_reserve(&relay->budget, scratch, room + sizeof(CUT_MARK)))
		return result;
	result.data = scratch->data;
	result.len = wire_normalise(text->data, text->len, session->tracker.standard_strings,
	                            (char *) scratch->data, room);
	result.is_cut = !whole && result.len > NORMALISED_MAX;
	if (result.is_cut)
	{
		memcpy(scratch->data + NORMALISED_MAX, CUT_MARK, sizeof(CUT_MARK) - 1);
		result.len = NORMALISED_MAX + sizeof(CUT_MARK) - 1;
	}
	/* the hash is of what tells texts apart, also where there is more */
	result.hash = text_hash(relay->texts, result.data,
	                        result.len < NORMALISED_MAX ? result.len : NORMALISED_MAX);
	return result;
}

/*
 * Adds a hash, NULL for none.
 */
static void
add_hash(Tuple *tuple, uint64_t hash)
{
	if (hash)
		tuple_int8(tuple, (int64_t) hash);
	else
		tuple_null(tuple);
}

/*
 * Adds a text to the journal: whole, if there is a whole one to be stored, and
 * normalised.
 */
static bool
record_text(Session *session, uint64_t hash, const Text *text, const Normalised *normalised)
{
	Tuple *tuple = record_tuple(session->relay, QUERY_TEXT_COLUMNS);
	int64_t now = wall(session, session->tracker.now);

	tuple_int8(tuple, (int64_t) hash);
	if (text)
		tuple_text(tuple, text->data, text->len);
	else
		tuple_null(tuple);
	if (normalised->hash)
		tuple_text(tuple, normalised->data, normalised->len);
	else
		tuple_null(tuple);
	add_hash(tuple, normalised->hash);
	tuple_time(tuple, now);
	tuple_time(tuple, now);
	return record_add(session, JOURNAL_QUERY_TEXT, 0, tuple);
}

/*
 * Sends a text that came in a Parse to the journal, unless that has it.
 */
void
record_text_used(Session *session, Text *text)
{
	Relay *relay = session->relay;
	Normalised normalised;

	if (!text_must_send(relay->texts, text->entry.hash, wall(session, session->tracker.now)))
		return;
	normalised = normalise(session, text, true);
	record_text(session, text->entry.hash, keeps_text(session, text) ? text : NULL, &normalised);
	buffer_reset(&relay->budget, &relay->normalised, 64 * 1024);
}

/*
 * Tells whether the kept request begins with a Query that holds exactly this
 * text, which needs no conversion.
 */
static bool
is_in_request(const Exchange *exchange, const Text *text)
{
	const Buffer *request = &exchange->request.kept;
	uint8_t high = 0;

	if (request->len < 5 + (size_t) text->len + 1 || request->data[0] != 'Q' ||
	    request->data[5 + text->len] != 0 || memcmp(request->data + 5, text->data, text->len) != 0)
		return false;
	for (uint32_t i = 0; i < text->len; i++)
		high |= (uint8_t) text->data[i];
	return (high & 0x80) == 0;
}

/*
 * Settles where the text of a Query is to be found, and sends its normalised form
 * to the journal.  Returns the hash of that.
 */
static uint64_t
place_query(Session *session, const Exchange *exchange, bool keeps_values, Facts *facts,
            Normalised *normalised)
{
	const Text *text = exchange->query;
	TextPool *texts = session->relay->texts;

	/* the backend said that it means a column of the rules, the text did not */
	if (exchange->redact & ~text->redact & REDACT_TEXT)
		keeps_values = false;
	*normalised = normalise(session, text, false);
	if (!normalised->hash)
		return 0;
	/* a Parse may bring the same text, and then it is sent as that too: two notes */
	if (text_must_send(texts, ~normalised->hash, wall(session, session->tracker.now)))
		record_text(session, normalised->hash, NULL, normalised);
	if (keeps_values)
		facts->text = is_in_request(exchange, text) ? FACTS_TEXT_REQUEST : FACTS_TEXT_COLUMN;
	else if (!normalised->is_cut)
		facts->text = FACTS_TEXT_NORMALISED;
	else
	{
		uint64_t hash = normalised->hash;

		facts->text = FACTS_TEXT_COLUMN;
		*normalised = normalise(session, text, true);
		return hash;
	}
	return normalised->hash;
}

/*
 * Settles where the query text is to be found.  Returns the hash that it is, or
 * that its normalised form is, found under in query_text; 0 for none.
 */
static uint64_t
place_text(Session *session, const Exchange *exchange, bool keeps_values, Facts *facts,
           Normalised *normalised)
{
	*normalised = (Normalised){NULL, 0, 0, false};
	if (!exchange->query)
		return 0;
	if (!exchange->query_is_parsed)
		return place_query(session, exchange, keeps_values, facts, normalised);
	record_text_used(session, exchange->query);
	facts->text = keeps_text(session, exchange->query) ? FACTS_TEXT_TABLE : FACTS_TEXT_NORMALISED;
	return exchange->query->entry.hash;
}

/*
 * Sets the facts that count and time.
 */
static void
set_counts(const Session *session, const Exchange *exchange, Facts *facts)
{
	facts->kind = exchange_kind(exchange);
	facts->transaction_status = exchange->transaction_status;
	facts->is_complete = exchange->is_complete;
	facts->is_truncated = exchange->is_truncated;
	facts->pairing_uncertain = exchange->uncertain;
	facts->part_no = exchange->part_no;
	facts->statement_count = exchange->statement_count;
	facts->duration = exchange->finished_at - exchange->started_at;
	facts->first_response =
	    exchange->first_response_at < 0 ? -1 : exchange->first_response_at - exchange->started_at;
	facts->think = -1;
	if (exchange->exchange_no > 0 && exchange->part_no == 1 && facts->kind != FACTS_ASYNC &&
	    session->last_finished_at <= exchange->started_at)
		facts->think = exchange->started_at - session->last_finished_at;
	facts->row_count = exchange->row_count;
	facts->data_row_count = exchange->data_row_count;
	facts->request_bytes = exchange->request.bytes;
	facts->response_bytes = exchange->response.bytes;
	memcpy(facts->sqlstate, exchange->sqlstate, sizeof(facts->sqlstate));
	memcpy(facts->tag, exchange->tag, exchange->tag_len);
	facts->tag_len = exchange->tag_len;
	facts->has_digests = exchange->has_digest;
	facts->row_digest = exchange->row_digest;
	facts->row_set_digest = exchange->row_set_digest;
	facts->has_query_id = exchange->query_id != 0;
	facts->query_id = (int64_t) exchange->query_id;
	facts->has_cancelled = (exchange->has & HAS_CANCEL) && session->cancelled_session_id != 0;
	facts->cancelled_session_id = (int64_t) session->cancelled_session_id;
	facts->cancelled_exchange_no = session->cancelled_exchange_no;
}

/*
 * Gathers the row's bytes, and sets the facts that tell what is where in them.
 * Returns how many parts there are.
 */
static int
gather_bytes(Session *session, Exchange *exchange, bool keeps_values, uint64_t query_hash,
             Facts *facts, struct iovec parts[4])
{
	Relay *relay = session->relay;
	Buffer *hashes = &exchange->query_hashes;
	size_t hash_count = hashes->len / sizeof(uint64_t);
	int count = 0;

	if (keeps_values)
	{
		record_mask(session, exchange);
		facts->has_request = facts->has_response = true;
		facts->request_kept = exchange->request.kept.len;
		facts->response_kept = exchange->response.kept.len;
		parts[count++] = (struct iovec){exchange->request.kept.data, exchange->request.kept.len};
		parts[count++] = (struct iovec){exchange->response.kept.data, exchange->response.kept.len};
		facts->has_chunks = exchange_is_plain(exchange);
		relay->chunks.len = 0;
		if (!facts->has_chunks && exchange_chunks(&relay->budget, exchange, &relay->chunks))
		{
			facts->has_chunks = relay->chunks.len > 0;
			facts->chunks_len = relay->chunks.len;
			parts[count++] = (struct iovec){relay->chunks.data, relay->chunks.len};
		}
	}
	facts->hash_is_query =
	    hash_count == 1 && query_hash && memcmp(hashes->data, &query_hash, sizeof(query_hash)) == 0;
	if (!facts->hash_is_query)
	{
		facts->hash_count = (uint32_t) hash_count;
		parts[count++] = (struct iovec){hashes->data, hashes->len};
	}
	return count;
}

/*
 * Adds the two text columns.
 */
static void
add_texts(Tuple *tuple, const Exchange *exchange, bool keeps_values, const Facts *facts,
          const Normalised *normalised)
{
	const Buffer *message = &exchange->error_message;

	if (facts->text != FACTS_TEXT_COLUMN)
		tuple_null(tuple);
	else if (keeps_values)
		tuple_text(tuple, exchange->query->data, exchange->query->len);
	else
		tuple_text(tuple, normalised->data, normalised->len);
	if (keeps_values && message->len > 0)
		tuple_text(tuple, message->data, message->len);
	else
		tuple_null(tuple);
}

/*
 * Tells whether something is overwritten in the query text that the row shows, or
 * its constants are left out.
 */
static bool
hides_text(const Exchange *exchange, const Facts *facts)
{
	return exchange->query && (exchange->query->is_masked || facts->text == FACTS_TEXT_NORMALISED ||
	                           (exchange->redact & ~exchange->query->redact & REDACT_TEXT));
}

/*
 * Adds a finished exchange.
 */
bool
record_exchange(Session *session, Exchange *exchange)
{
	Relay *relay = session->relay;
	bool keeps_values = relay->config.capture != RELAY_CAPTURE_METADATA;
	Facts facts = {.text = FACTS_TEXT_NONE};
	uint8_t encoded[FACTS_SIZE];
	struct iovec parts[4];
	Normalised normalised;
	uint64_t query_hash;
	Tuple *tuple;
	int count;

	rules_apply(session, exchange);
	query_hash = place_text(session, exchange, keeps_values, &facts, &normalised);
	set_counts(session, exchange, &facts);
	count = gather_bytes(session, exchange, keeps_values, query_hash, &facts, parts);
	facts.is_request_redacted = keeps_values && exchange->is_request_redacted;
	facts.is_redacted = keeps_values && (exchange->is_redacted || hides_text(exchange, &facts));
	tuple = record_tuple(relay, EXCHANGE_COLUMNS);
	tuple_time(tuple, wall(session, exchange->started_at));
	tuple_int8(tuple, (int64_t) session->session_id);
	tuple_int8(tuple, exchange->exchange_no);
	add_hash(tuple, query_hash);
	tuple_bytes(tuple, encoded, facts_encode(&facts, encoded));
	tuple_parts(tuple, parts, count);
	add_texts(tuple, exchange, keeps_values, &facts, &normalised);
	buffer_reset(&relay->budget, &relay->normalised, 64 * 1024);
	return record_add(session, JOURNAL_EXCHANGE, wall(session, exchange->finished_at), tuple);
}
