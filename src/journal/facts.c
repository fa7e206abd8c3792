/*
 * facts.c
 *	  What is known of an exchange beside its bytes, in a few bytes.
 */
#include "journal/facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * The flags.  What is usual has no flag set, so that it costs no byte behind them.
 */
#define KIND_MASK UINT32_C(0x0f)
#define STATUS_SHIFT 4 /* two bits: none, I, T, E */
#define STATUS_MASK UINT32_C(3)
#define TEXT_SHIFT 6 /* three bits */
#define TEXT_MASK UINT32_C(7)
#define FLAG_COMPLETE (UINT32_C(1) << 9)
#define FLAG_TRUNCATED (UINT32_C(1) << 10)
#define FLAG_UNCERTAIN (UINT32_C(1) << 11)
#define FLAG_REQUEST (UINT32_C(1) << 12)
#define FLAG_RESPONSE (UINT32_C(1) << 13)
#define FLAG_CHUNKS (UINT32_C(1) << 14)
#define FLAG_HASH_IS_QUERY (UINT32_C(1) << 15)
#define FLAG_NO_RESPONSE_YET (UINT32_C(1) << 16) /* first_response is -1 */
/* in the order of what they announce */
#define FLAG_FIRST_RESPONSE (UINT32_C(1) << 17) /* it is not the duration */
#define FLAG_CHUNKS_LEN (UINT32_C(1) << 18)
#define FLAG_HASHES (UINT32_C(1) << 19)
#define FLAG_STATEMENTS (UINT32_C(1) << 20)     /* not one */
#define FLAG_DATA_ROWS (UINT32_C(1) << 21)      /* not row_count */
#define FLAG_PART (UINT32_C(1) << 22)           /* not 1 */
#define FLAG_REQUEST_BYTES (UINT32_C(1) << 23)  /* not what was kept */
#define FLAG_RESPONSE_BYTES (UINT32_C(1) << 24) /* the same */
#define FLAG_STATUS (UINT32_C(1) << 25)         /* another byte */
#define FLAG_SQLSTATE (UINT32_C(1) << 26)
#define FLAG_QUERY_ID (UINT32_C(1) << 27)
#define FLAG_DIGEST (UINT32_C(1) << 28)  /* of one row: both follow from its hash */
#define FLAG_DIGESTS (UINT32_C(1) << 29) /* both */
#define FLAG_CANCELLED (UINT32_C(1) << 30)
#define FLAG_THINK (UINT32_C(1) << 31)
/*
 * No bit is free: where one of these is set, the kind is KIND_MORE and stands in a
 * byte of its own, below them.
 */
#define KIND_MORE KIND_MASK
#define MORE_REDACTED UINT32_C(0x10)
#define MORE_REQUEST_REDACTED UINT32_C(0x20)

/* Known command tags; where counted is set the row count follows.  Only append. */
static const struct
{
	const char *tag;
	bool counted;
} tags[] = {
    {"SELECT ", true},         {"INSERT 0 ", true},     {"UPDATE ", true},
    {"DELETE ", true},         {"BEGIN", false},        {"COMMIT", false},
    {"ROLLBACK", false},       {"SET", false},          {"SHOW", false},
    {"COPY ", true},           {"FETCH ", true},        {"MOVE ", true},
    {"MERGE ", true},          {"DISCARD ALL", false},  {"SAVEPOINT", false},
    {"RELEASE", false},        {"PREPARE", false},      {"DEALLOCATE", false},
    {"LISTEN", false},         {"UNLISTEN", false},     {"NOTIFY", false},
    {"DECLARE CURSOR", false}, {"CLOSE CURSOR", false}, {"START TRANSACTION", false},
    {"CREATE TABLE", false},   {"DROP TABLE", false},   {"ALTER TABLE", false},
    {"TRUNCATE TABLE", false}, {"CREATE INDEX", false}, {"LOCK TABLE", false},
    {"EXPLAIN", false},        {"DO", false},           {"CALL", false},
    {"VACUUM", false},         {"ANALYZE", false},      {"RESET", false},
};

#define TAG_SPELLED 1
#define TAG_KNOWN 2 /* the number of the first */
#define TAG_COUNT (sizeof(tags) / sizeof(tags[0]))

static const char *const kind_names[FACTS_KINDS] = {"cancel",      "startup",  "terminate",
                                                    "replication", "copy",     "function_call",
                                                    "query",       "extended", "async"};

static const char statuses[] = {0, 'I', 'T', 'E'};

/* Bytes being written, or read. */
typedef struct Writer
{
	uint8_t *data;
	size_t len;
} Writer;

typedef struct Reader
{
	const uint8_t *data;
	size_t len;
	size_t at;
	bool failed;
} Reader;

/*
 * Returns a kind in the words of the record.
 */
const char *
facts_kind_name(FactsKind kind)
{
	return (unsigned) kind < FACTS_KINDS ? kind_names[kind] : "";
}

/*
 * Returns the kind of a word.
 */
FactsKind
facts_kind_of(const char *name)
{
	int kind = 0;

	while (kind < FACTS_KINDS && strcmp(kind_names[kind], name) != 0)
		kind++;
	return (FactsKind) kind;
}

/*
 * Takes a row into the digest that depends on the order of the rows.
 */
uint64_t
facts_digest_row(uint64_t digest, uint64_t row_hash)
{
	return (digest ^ row_hash) * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(0xD1B54A32D192ED03);
}

/*
 * Writes a number, 7 bits a byte, low first.
 */
size_t
facts_put_varint(uint8_t out[FACTS_VARINT], uint64_t number)
{
	size_t len = 0;

	do
	{
		out[len++] = (uint8_t) ((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
		number >>= 7;
	} while (number);
	return len;
}

/*
 * Reads such a number.
 */
bool
facts_get_varint(const uint8_t *data, size_t len, size_t *at, uint64_t *number)
{
	*number = 0;
	for (int shift = 0; shift < 64 && *at < len; shift += 7)
	{
		uint8_t byte = data[(*at)++];

		*number |= (uint64_t) (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/*
 * Writes a number.
 */
static void
put(Writer *out, uint64_t number)
{
	out->len += facts_put_varint(out->data + out->len, number);
}

/*
 * Writes bytes.
 */
static void
put_bytes(Writer *out, const void *bytes, size_t len)
{
	memcpy(out->data + out->len, bytes, len);
	out->len += len;
}

/*
 * Writes so many bytes of an integer, low first.
 */
static void
put_fixed(Writer *out, uint64_t number, int bytes)
{
	for (int i = 0; i < bytes; i++)
		out->data[out->len++] = (uint8_t) (number >> (8 * i));
}

/*
 * Reads a number; 0 where there is none.
 */
static uint64_t
get(Reader *in)
{
	uint64_t number;

	if (!facts_get_varint(in->data, in->len, &in->at, &number))
	{
		in->failed = true;
		return 0;
	}
	return number;
}

/*
 * Reads bytes, zeroes where there are not that many.
 */
static void
get_bytes(Reader *in, void *out, size_t len)
{
	memset(out, 0, len);
	if (in->len - in->at < len)
	{
		in->failed = true;
		return;
	}
	memcpy(out, in->data + in->at, len);
	in->at += len;
}

/*
 * Reads an integer of so many bytes, low first.
 */
static uint64_t
get_fixed(Reader *in, int bytes)
{
	uint8_t data[8];
	uint64_t number = 0;

	get_bytes(in, data, (size_t) bytes);
	for (int i = 0; i < bytes; i++)
		number |= (uint64_t) data[i] << (8 * i);
	return number;
}

/*
 * Tells whether a tag is this known one, with the row count where it has one.
 */
static bool
is_known_tag(const Facts *facts, size_t number)
{
	const char *prefix = tags[number].tag;
	size_t len = strlen(prefix);
	uint64_t count = 0;

	if (facts->tag_len < len || memcmp(facts->tag, prefix, len) != 0)
		return false;
	if (!tags[number].counted)
		return facts->tag_len == len;
	if (facts->tag_len == len || facts->tag_len > len + 18 ||
	    (facts->tag[len] == '0' && facts->tag_len > len + 1))
		return false; /* not as the server writes numbers, or too long to be sure */
	for (size_t i = len; i < facts->tag_len; i++)
	{
		if (facts->tag[i] < '0' || facts->tag[i] > '9')
			return false;
		count = count * 10 + (uint64_t) (facts->tag[i] - '0');
	}
	return count == (uint64_t) facts->row_count;
}

/*
 * Returns how a tag is stored.
 */
static uint64_t
tag_number(const Facts *facts)
{
	if (facts->tag_len == 0)
		return 0;
	for (size_t i = 0; i < TAG_COUNT; i++)
		if (is_known_tag(facts, i))
			return TAG_KNOWN + i;
	return TAG_SPELLED;
}

/*
 * Returns the flags that stand beside the kind.
 */
static uint32_t
more_flags(const Facts *facts)
{
	return (facts->is_redacted ? MORE_REDACTED : 0) |
	       (facts->is_request_redacted ? MORE_REQUEST_REDACTED : 0);
}

/*
 * Returns the flags of how it ended and what is kept.
 */
static uint32_t
state_flags(const Facts *facts)
{
	uint32_t kind = more_flags(facts) ? KIND_MORE : (uint32_t) facts->kind;
	uint32_t flags = kind | (uint32_t) facts->text << TEXT_SHIFT;
	uint32_t status = 0;

	while (status < sizeof(statuses) && statuses[status] != facts->transaction_status)
		status++;
	flags |= status < sizeof(statuses) ? status << STATUS_SHIFT : FLAG_STATUS;
	flags |= facts->is_complete ? FLAG_COMPLETE : 0;
	flags |= facts->is_truncated ? FLAG_TRUNCATED : 0;
	flags |= facts->pairing_uncertain ? FLAG_UNCERTAIN : 0;
	flags |= facts->has_request ? FLAG_REQUEST : 0;
	flags |= facts->has_response ? FLAG_RESPONSE : 0;
	flags |= facts->has_chunks ? FLAG_CHUNKS : 0;
	flags |= facts->chunks_len > 0 ? FLAG_CHUNKS_LEN : 0;
	flags |= facts->hash_is_query ? FLAG_HASH_IS_QUERY : 0;
	flags |= facts->hash_count > 0 ? FLAG_HASHES : 0;
	return flags;
}

/*
 * Returns the flags of what is not as usual.
 */
static uint32_t
count_flags(const Facts *facts)
{
	uint32_t flags = 0;

	if (facts->first_response < 0)
		flags |= FLAG_NO_RESPONSE_YET;
	else if (facts->first_response != facts->duration)
		flags |= FLAG_FIRST_RESPONSE;
	flags |= facts->statement_count != 1 ? FLAG_STATEMENTS : 0;
	flags |= facts->data_row_count != facts->row_count ? FLAG_DATA_ROWS : 0;
	flags |= facts->part_no != 1 ? FLAG_PART : 0;
	flags |= facts->request_bytes != facts->request_kept ? FLAG_REQUEST_BYTES : 0;
	flags |= facts->response_bytes != facts->response_kept ? FLAG_RESPONSE_BYTES : 0;
	flags |= facts->sqlstate[0] ? FLAG_SQLSTATE : 0;
	flags |= facts->has_query_id ? FLAG_QUERY_ID : 0;
	flags |= facts->has_cancelled ? FLAG_CANCELLED : 0;
	flags |= facts->think >= 0 ? FLAG_THINK : 0;
	if (facts->has_digests)
		flags |= facts->row_digest == facts_digest_row(0, facts->row_set_digest) ? FLAG_DIGEST
		                                                                         : FLAG_DIGESTS;
	return flags;
}

/*
 * Writes what the flags announce.
 */
static void
put_announced(Writer *out, const Facts *facts, uint32_t flags)
{
	if (flags & FLAG_FIRST_RESPONSE)
		put(out, (uint64_t) facts->first_response);
	if (flags & FLAG_CHUNKS_LEN)
		put(out, facts->chunks_len);
	if (flags & FLAG_HASHES)
		put(out, facts->hash_count);
	if (flags & FLAG_STATEMENTS)
		put(out, (uint32_t) facts->statement_count);
	if (flags & FLAG_DATA_ROWS)
		put(out, (uint64_t) facts->data_row_count);
	if (flags & FLAG_PART)
		put(out, (uint32_t) facts->part_no);
	if (flags & FLAG_REQUEST_BYTES)
		put(out, facts->request_bytes);
	if (flags & FLAG_RESPONSE_BYTES)
		put(out, facts->response_bytes);
	if (flags & FLAG_STATUS)
		put_fixed(out, (uint8_t) facts->transaction_status, 1);
	if (flags & FLAG_SQLSTATE)
		put_bytes(out, facts->sqlstate, sizeof(facts->sqlstate));
	if (flags & FLAG_QUERY_ID)
		put_fixed(out, (uint64_t) facts->query_id, 8);
	if (flags & FLAG_DIGESTS)
		put_fixed(out, facts->row_digest, 8);
	if (flags & (FLAG_DIGEST | FLAG_DIGESTS))
		put_fixed(out, facts->row_set_digest, 8);
	if (flags & FLAG_CANCELLED)
	{
		put(out, (uint64_t) facts->cancelled_session_id);
		put(out, (uint64_t) facts->cancelled_exchange_no + 1);
	}
	if (flags & FLAG_THINK)
		put(out, (uint64_t) facts->think);
}

/*
 * Encodes facts.  Returns how many bytes.
 */
size_t
facts_encode(const Facts *facts, uint8_t out[FACTS_SIZE])
{
	uint32_t flags = state_flags(facts) | count_flags(facts);
	uint64_t tag = tag_number(facts);
	Writer writer = {out, 0};

	put_fixed(&writer, flags, 4);
	if (more_flags(facts))
		put_fixed(&writer, (uint32_t) facts->kind | more_flags(facts), 1);
	put(&writer, (uint64_t) facts->duration);
	put(&writer, tag);
	put(&writer, (uint64_t) facts->row_count);
	if (flags & FLAG_REQUEST)
		put(&writer, facts->request_kept);
	if (flags & FLAG_RESPONSE)
		put(&writer, facts->response_kept);
	put_announced(&writer, facts, flags);
	if (tag == TAG_SPELLED)
	{
		put(&writer, facts->tag_len);
		put_bytes(&writer, facts->tag, facts->tag_len);
	}
	return writer.len;
}

/*
 * Sets what the flags say by themselves.
 */
static void
take_flags(Facts *facts, uint32_t flags)
{
	facts->text = (FactsText) (flags >> TEXT_SHIFT & TEXT_MASK);
	facts->transaction_status = statuses[flags >> STATUS_SHIFT & STATUS_MASK];
	facts->is_complete = flags & FLAG_COMPLETE;
	facts->is_truncated = flags & FLAG_TRUNCATED;
	facts->pairing_uncertain = flags & FLAG_UNCERTAIN;
	facts->has_request = flags & FLAG_REQUEST;
	facts->has_response = flags & FLAG_RESPONSE;
	facts->has_chunks = flags & FLAG_CHUNKS;
	facts->hash_is_query = flags & FLAG_HASH_IS_QUERY;
	facts->has_query_id = flags & FLAG_QUERY_ID;
	facts->has_digests = flags & (FLAG_DIGEST | FLAG_DIGESTS);
	facts->has_cancelled = flags & FLAG_CANCELLED;
}

/*
 * Reads the counts that the flags announce, or sets what is usual.
 */
static void
get_counts(Reader *in, Facts *facts, uint32_t flags)
{
	facts->first_response = flags & FLAG_NO_RESPONSE_YET ? -1 : facts->duration;
	if (flags & FLAG_FIRST_RESPONSE)
		facts->first_response = (int64_t) get(in);
	facts->chunks_len = flags & FLAG_CHUNKS_LEN ? get(in) : 0;
	facts->hash_count = flags & FLAG_HASHES ? (uint32_t) get(in) : 0;
	facts->statement_count = flags & FLAG_STATEMENTS ? (int32_t) get(in) : 1;
	facts->data_row_count = flags & FLAG_DATA_ROWS ? (int64_t) get(in) : facts->row_count;
	facts->part_no = flags & FLAG_PART ? (int32_t) get(in) : 1;
	facts->request_bytes = flags & FLAG_REQUEST_BYTES ? get(in) : facts->request_kept;
	facts->response_bytes = flags & FLAG_RESPONSE_BYTES ? get(in) : facts->response_kept;
}

/*
 * Reads what else the flags announce.
 */
static void
get_others(Reader *in, Facts *facts, uint32_t flags)
{
	if (flags & FLAG_STATUS)
		facts->transaction_status = (char) get_fixed(in, 1);
	if (flags & FLAG_SQLSTATE)
		get_bytes(in, facts->sqlstate, sizeof(facts->sqlstate));
	if (flags & FLAG_QUERY_ID)
		facts->query_id = (int64_t) get_fixed(in, 8);
	if (flags & FLAG_DIGESTS)
		facts->row_digest = get_fixed(in, 8);
	if (flags & (FLAG_DIGEST | FLAG_DIGESTS))
		facts->row_set_digest = get_fixed(in, 8);
	if (flags & FLAG_DIGEST)
		facts->row_digest = facts_digest_row(0, facts->row_set_digest);
	if (flags & FLAG_CANCELLED)
	{
		facts->cancelled_session_id = (int64_t) get(in);
		facts->cancelled_exchange_no = (int64_t) (get(in) - 1);
	}
	facts->think = flags & FLAG_THINK ? (int64_t) get(in) : -1;
}

/*
 * Reads the command tag, unless it is a known one.
 */
static void
get_tag(Reader *in, Facts *facts)
{
	if (facts->tag_number == TAG_SPELLED)
	{
		facts->tag_len = (uint32_t) get(in);
		if (facts->tag_len > FACTS_TAG)
			in->failed = true;
		else
			get_bytes(in, facts->tag, facts->tag_len);
	}
	else if (facts->tag_number >= TAG_KNOWN + TAG_COUNT)
		in->failed = true;
}

/*
 * Writes the command tag of decoded facts.
 */
size_t
facts_tag(const Facts *facts, char out[FACTS_TAG + 1])
{
	size_t number = facts->tag_number - TAG_KNOWN;

	if (facts->tag_number < TAG_KNOWN)
	{
		memcpy(out, facts->tag, facts->tag_len);
		return facts->tag_len;
	}
	if (tags[number].counted)
		return (size_t) snprintf(out, FACTS_TAG + 1, "%s%" PRId64, tags[number].tag,
		                         facts->row_count);
	return (size_t) snprintf(out, FACTS_TAG + 1, "%s", tags[number].tag);
}

/*
 * Reads the kind, and the flags that stand beside it where there are any.
 */
static void
get_kind(Reader *in, Facts *facts, uint32_t flags)
{
	uint32_t kind = flags & KIND_MASK;

	if (kind == KIND_MORE)
	{
		kind = (uint32_t) get_fixed(in, 1);
		facts->is_redacted = kind & MORE_REDACTED;
		facts->is_request_redacted = kind & MORE_REQUEST_REDACTED;
		kind &= ~(MORE_REDACTED | MORE_REQUEST_REDACTED);
	}
	if (kind >= FACTS_KINDS)
		in->failed = true; /* or flags of a later version */
	facts->kind = (FactsKind) kind;
}

/*
 * Decodes facts.
 */
bool
facts_decode(const uint8_t *data, size_t len, Facts *facts)
{
	Reader in = {data, len, 0, false};
	uint32_t flags = (uint32_t) get_fixed(&in, 4);

	memset(facts, 0, sizeof(*facts));
	get_kind(&in, facts, flags);
	if (in.failed)
		return false;
	take_flags(facts, flags);
	facts->duration = (int64_t) get(&in);
	facts->tag_number = (uint32_t) get(&in);
	facts->row_count = (int64_t) get(&in);
	facts->request_kept = flags & FLAG_REQUEST ? get(&in) : 0;
	facts->response_kept = flags & FLAG_RESPONSE ? get(&in) : 0;
	get_counts(&in, facts, flags);
	get_others(&in, facts, flags);
	get_tag(&in, facts);
	return !in.failed && in.at == len;
}
