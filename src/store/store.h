/*
 * store.h
 *	  The writer's parts: journal -> rows.
 *
 *		writer.c		the background worker: connection, states, its loop
 *		pass.c			one pass over the journal's directory
 *		batch.c			records that become one transaction, and what becomes of errors
 *		rows.c			records become rows
 *		text.c			texts in the database's encoding
 *		position.c		how far each series is stored
 *		partition.c		partitions of the exchange table
 */
#ifndef STORE_H
#define STORE_H

#include "server/server.h"

#include <inttypes.h>

#include "journal/journal.h"
#include "journal/record.h"
#include "lib/stringinfo.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"

/* How far a series is stored: everything before this place. */
typedef struct Position
{
	uint64 series;
	uint32 segment;
	uint64 offset;
	uint64 next_sequence; /* 0: nothing is known of the series */
} Position;

/* A record of a batch. */
typedef struct BatchRecord
{
	JournalRecordType type;
	uint64 sequence;
	Position after; /* the position once this record is stored */
	char *payload;
	uint32 length;
} BatchRecord;

/* Records of one series, in order. */
typedef struct Batch
{
	MemoryContext context; /* holds the records */
	BatchRecord *records;
	int count;
	int cap;
	Size bytes;
	bool is_series_end;
} Batch;

typedef enum StoreResult
{
	STORE_OK,
	STORE_RECORD_FAILED, /* a record's own fault */
	STORE_WAIT			 /* something is in the way; it is shown */
} StoreResult;

/* ---- writer.c ---- */

extern void writer_set_state(BoardWriterState state);

/* Shows a state and why; logs it when it is news. */
extern void writer_error(BoardWriterState state, const char *message);

/* ---- batch.c ---- */

extern void batch_begin(Batch *batch);
extern void batch_add(Batch *batch, const JournalRecord *record, Position after);
extern bool batch_is_full(const Batch *batch);

/* Stores the batch; *position moves on with what is stored. False: not now. */
extern bool batch_store(Batch *batch, Position *position);

/* ---- rows.c: inside a transaction ---- */

extern void rows_store(const BatchRecord *records, int count);
extern void rows_quarantine(const BatchRecord *record, const char *reason);
extern void rows_end_sessions(uint64 series);

/* ---- text.c ---- */

/* Appends a record's tuple with its texts in the database's encoding. */
extern void text_convert_tuple(const RecordHeader *header, const uint8 *tuple, Size len,
							   const RecordColumnKind *kinds, int columns, StringInfo out);

/* ---- position.c: inside a transaction ---- */

/* False: nothing of the series is stored. */
extern bool position_load(uint64 series, Position *position);
extern void position_save(const Position *position);
extern void position_forget(uint64 series);

/* ---- partition.c: inside a transaction ---- */

/* Brings an absurd time to where it can land. */
extern int64 partition_clamp(int64 recorded_at);
extern void partition_ensure(int64 recorded_at);

#endif /* STORE_H */
