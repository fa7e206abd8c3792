/*
 * report.c
 *	  The child's records for the worker.
 *
 * Records are gathered in a packet, which is sent when it is full and at the end
 * of a turn now and then.  What the worker does not take at once is kept; when
 * that is much, sessions send nothing more until it is gone.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/process.h"
#include "replay/child.h"

#define BACKLOG_FULL (16 * 1024 * 1024)
#define REPORT_US 100000
#define LAG_US 1000000
#define VALUE_SHOWN 1024
#define NAME_SHOWN 128

/*
 * Tells whether much waits for the worker.
 */
bool
report_is_full(const Replay *replay)
{
	return replay->backlog.len - replay->backlog_at > BACKLOG_FULL;
}

/*
 * Sends a packet.  False: the worker does not take it now.
 */
static bool
send_packet(Replay *replay, const uint8_t *data, size_t len)
{
	ssize_t sent = send(replay->link, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent >= 0)
		return true;
	if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ENOBUFS)
		_exit(1); /* the worker is gone */
	return false;
}

/*
 * Sends what is kept.
 */
static void
send_backlog(Replay *replay)
{
	Buffer *backlog = &replay->backlog;

	while (replay->backlog_at < backlog->len)
	{
		uint32_t len;

		memcpy(&len, backlog->data + replay->backlog_at, sizeof(len));
		if (!send_packet(replay, backlog->data + replay->backlog_at + sizeof(len), len))
		{
			event_add(replay->link_write_event, NULL);
			return;
		}
		replay->backlog_at += sizeof(len) + len;
	}
	buffer_reset(&replay->budget, backlog, LINK_PACKET);
	replay->backlog_at = 0;
}

/*
 * Sends the packet in the making, or keeps it.
 */
void
report_flush(Replay *replay)
{
	bool was_full = report_is_full(replay);
	uint32_t len = (uint32_t) replay->packet_len;

	if (replay->backlog.len > 0)
		send_backlog(replay);
	if (len > 0 && (replay->backlog.len > 0 || !send_packet(replay, replay->packet, len)))
	{
		if (!buffer_keep(&replay->budget, &replay->backlog, &len, sizeof(len)) ||
		    !buffer_keep(&replay->budget, &replay->backlog, replay->packet, len))
			_exit(1);
		event_add(replay->link_write_event, NULL);
	}
	replay->packet_len = 0;
	if (was_full && !report_is_full(replay))
		for (Player *player = replay->sessions; player; player = player->next)
			replay_queue(player);
}

/*
 * Appends a record.
 */
void
report_put(Replay *replay, LinkKind kind, const void *fixed, size_t size, const void *more,
           size_t len)
{
	LinkRecord record = {kind, (uint32_t) (size + len)};

	if (replay->packet_len + sizeof(record) + size + len > LINK_PACKET)
		report_flush(replay);
	memcpy(replay->packet + replay->packet_len, &record, sizeof(record));
	replay->packet_len += sizeof(record);
	if (size > 0)
		memcpy(replay->packet + replay->packet_len, fixed, size);
	replay->packet_len += size;
	if (len > 0)
		memcpy(replay->packet + replay->packet_len, more, len);
	replay->packet_len += len;
}

/*
 * Appends a record that is a text.
 */
void
report_text(Replay *replay, LinkKind kind, const char *format, ...)
{
	char text[LINK_TEXT];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len >= (int) sizeof(text))
		len = (int) sizeof(text) - 1;
	report_put(replay, kind, NULL, 0, text, (size_t) len);
}

/* The facts of a difference in the making. */
typedef struct FactList
{
	uint8_t data[LINK_PACKET / 2];
	size_t len;
	uint8_t is_replayed;
} FactList;

/*
 * Adds a fact.
 */
static void
put_fact(FactList *facts, LinkFactKey key, WireSpan value, bool is_null, bool is_number)
{
	LinkFact fact = {.is_replayed = facts->is_replayed,
	                 .key = (uint8_t) key,
	                 .is_null = is_null,
	                 .is_number = is_number};

	fact.len = (uint32_t) (value.len < VALUE_SHOWN ? value.len : VALUE_SHOWN);
	memcpy(facts->data + facts->len, &fact, sizeof(fact));
	facts->len += sizeof(fact);
	if (fact.len > 0)
		memcpy(facts->data + facts->len, value.data, fact.len);
	facts->len += fact.len;
}

/*
 * Adds a fact that is a text, unless it is empty.
 */
static void
put_text(FactList *facts, LinkFactKey key, WireSpan text)
{
	if (text.len > 0)
		put_fact(facts, key, text, false, false);
}

/*
 * Adds a fact that is a number.
 */
static void
put_number(FactList *facts, LinkFactKey key, int64_t number)
{
	put_fact(facts, key, (WireSpan){(const uint8_t *) &number, sizeof(number)}, false, true);
}

/*
 * Returns a text as a span.
 */
static WireSpan
span_of(const char *text)
{
	return (WireSpan){(const uint8_t *) text, text ? strlen(text) : 0};
}

/*
 * Adds the column of a value: one without a name is told by its number.
 */
static void
put_column(FactList *facts, const Evidence *evidence)
{
	char number[16];

	if (evidence->column.len > 0 || evidence->column_no == 0)
	{
		put_text(facts, FACT_COLUMN, evidence->column);
		return;
	}
	snprintf(number, sizeof(number), "#%u", evidence->column_no);
	put_text(facts, FACT_COLUMN, span_of(number));
}

/*
 * Adds one side of a difference.
 */
static void
put_evidence(FactList *facts, const Evidence *evidence)
{
	put_text(facts, FACT_MESSAGE, span_of(evidence->message));
	put_text(facts, FACT_SQLSTATE, evidence->sqlstate);
	put_text(facts, FACT_ERROR_MESSAGE, evidence->text);
	put_text(facts, FACT_TAG, evidence->tag);
	if (evidence->rows >= 0)
		put_number(facts, FACT_ROWS, evidence->rows);
	if (evidence->transaction_status)
		put_text(facts, FACT_TRANSACTION_STATUS,
		         (WireSpan){(const uint8_t *) &evidence->transaction_status, 1});
	if (evidence->has_digest)
		put_number(facts, FACT_DIGEST, (int64_t) evidence->digest);
	if (evidence->row_no >= 0)
		put_number(facts, FACT_ROW_NO, evidence->row_no);
	put_column(facts, evidence);
	if (evidence->type)
		put_number(facts, FACT_TYPE, (int64_t) evidence->type);
	put_text(facts, FACT_TYPE_NAME, span_of(evidence->type_name));
	if (evidence->has_value)
		put_fact(facts, evidence->is_binary ? FACT_BINARY_VALUE : FACT_VALUE, evidence->value,
		         !evidence->value.data, false);
	put_text(facts, FACT_REASON, span_of(evidence->reason));
}

/*
 * Adds the columns that differ, which stand behind all else of their side.
 */
static void
put_columns(FactList *facts, const Difference *difference)
{
	for (int i = 0; i < difference->column_count; i++)
	{
		const DifferingColumn *column = &difference->columns[i];
		uint64_t digest = facts->is_replayed ? column->replayed : column->captured;
		size_t len = column->name.len < NAME_SHOWN ? column->name.len : NAME_SHOWN;
		uint8_t fact[sizeof(digest) + NAME_SHOWN];

		memcpy(fact, &digest, sizeof(digest));
		if (len > 0)
			memcpy(fact + sizeof(digest), column->name.data, len);
		else
			len = (size_t) snprintf((char *) fact + sizeof(digest), 16, "#%u", column->no + 1);
		put_fact(facts, FACT_DIFFERING, (WireSpan){fact, sizeof(digest) + len}, false, false);
	}
}

/*
 * Reports a difference.
 */
void
report_difference(Player *player, int64_t exchange_no, int64_t caused_by,
                  const Difference *difference)
{
	LinkDifference record = {.session_id = player->plan->session_id,
	                         .exchange_no = exchange_no,
	                         .caused_by = caused_by,
	                         .statement_no = difference->statement_no,
	                         .verdict = (int32_t) difference->verdict};
	FactList facts = {.len = 0};

	put_evidence(&facts, &difference->captured);
	put_columns(&facts, difference);
	facts.is_replayed = 1;
	put_evidence(&facts, &difference->replayed);
	put_columns(&facts, difference);
	report_put(player->replay, LINK_DIFFERENCE, &record, sizeof(record), facts.data, facts.len);
}

/*
 * Reports how far the replay is; its lag is that of this second and the last one.
 */
static void
report_lag(Replay *replay, int64_t now)
{
	LinkProgress progress = replay->progress;

	if (replay->lag_before.late_us > progress.late_us)
		progress.late_us = replay->lag_before.late_us;
	if (replay->lag_before.target_late_us > progress.target_late_us)
		progress.target_late_us = replay->lag_before.target_late_us;
	report_put(replay, LINK_PROGRESS, &progress, sizeof(progress), NULL, 0);
	if (now - replay->lag_since < LAG_US)
		return;
	replay->lag_since = now;
	replay->lag_before = replay->progress;
	replay->progress.late_us = replay->progress.target_late_us = 0;
}

/*
 * Reports how far the replay is, and sends what is gathered, now and then.
 */
void
report_tick(Replay *replay, int64_t now)
{
	if (now - replay->reported_at < REPORT_US)
		return;
	replay->reported_at = now;
	replay->progress.sessions_live = replay->live;
	replay->progress.sessions_ended = replay->ended;
	replay->progress.order_timeouts = replay->order.timeouts;
	report_lag(replay, now);
	report_flush(replay);
}

/*
 * Sends what is left, and ends the process.  The worker reads on until it sees the
 * end, or is gone itself.
 */
void
report_end(Replay *replay)
{
	report_flush(replay);
	while (replay->backlog.len > 0)
	{
		struct pollfd wait = {replay->link, POLLOUT, 0};

		poll(&wait, 1, 1000);
		report_flush(replay);
	}
	_exit(0);
}
