/*
 * store.h
 *	  The writer's parts: journal -> rows.
 *
 *		writer.c		the background worker: signals, states, its loop
 *		connect.c		from its start to a database connection as it needs it
 *		ready.c			whether storing makes sense now
 *		ids.c			session ids that relays can take
 *		pass.c			one pass over the journal's directory
 *		series.c		what is known of each series; segments to be removed
 *		batch.c			records that become one transaction
 *		blame.c			which record a writer died of
 *		rows.c			records become rows
 *		text.c			texts in the database's encoding
 *		position.c		how far each series is stored: table journal_position
 *		tables.c		the extension's tables, found and locked
 *		keep.c			how long the record is kept
 *		partition.c		the tables that hold the exchanges
 */
#ifndef STORE_H
#define STORE_H

#include "server/server.h"

#include <inttypes.h>

#include "access/xlogdefs.h"
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
} Batch;

typedef enum StoreResult
{
	STORE_OK,
	STORE_RECORD_FAILED, /* a record's own fault */
	STORE_WAIT           /* something is in the way; it is shown */
} StoreResult;

/* The extension's tables, in the order in which they are locked. */
typedef enum StoreTable
{
	TABLE_SESSION,
	TABLE_STORED_EXCHANGE,
	TABLE_QUERY_TEXT,
	TABLE_JOURNAL_POSITION,
	TABLE_QUARANTINE,
	TABLE_PARTITION,
	STORE_TABLES
} StoreTable;

/* How long the writer waits for a lock. */
#define STORE_LOCK_TIMEOUT "500ms"

/* ---- writer.c ---- */

extern void writer_set_state(BoardWriterState state);

/* Shows a state and why; logs it when it is news. */
extern void writer_error(BoardWriterState state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Shows an error that is logged otherwise. */
extern void writer_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the process if it was asked to, rereads settings, answers interrupts. */
extern void writer_interrupts(void);

/* Waits for news, or so long. */
extern void writer_wait(long timeout_ms);

/* ---- connect.c ---- */

/* Connects; where the database is missing the process ends in it. */
extern void connect_database(bool failed_before);
extern const char *connect_name(void);

/* Follows the settings after a reload. */
extern void connect_apply_settings(void);

/* ---- ready.c ---- */

/* Looks whether storing makes sense now, and shows why if not. */
extern bool ready_to_store(void);

/* ---- ids.c: inside a transaction ---- */

/* Makes sure that relays can have session ids: above all that were given. */
extern void ids_ensure(bool has_tables);

/* ---- series.c ---- */

/* Returns how far a series is stored, from the table, else from memory. */
extern Position series_position(uint64 series);

/* Remembers how far a series is stored. */
extern void series_stored(const Position *position);

/* The same without looking at the table. */
extern Position series_remembered(uint64 series);

/* Makes sure that what was committed before this process is flushed. */
extern void series_begin(void);

/* Notes a stored segment, which may be removed once its commit is flushed. */
extern void series_segment_done(uint64 series, uint32 segment, bool is_last);
extern bool series_segment_is_done(uint64 series, uint32 segment);

/* Removes stored segments whose commits are flushed. Returns whether some wait. */
extern bool series_remove_done(void);

/* ---- batch.c ---- */

extern void batch_begin(Batch *batch);
extern void batch_add(Batch *batch, const JournalRecord *record, Position after);
extern bool batch_is_full(const Batch *batch);

/* Stores the batch; *position moves on with what is stored. False: not now. */
extern bool batch_store(Batch *batch, Position *position);

/* ---- blame.c ---- */

/* Takes over what a writer that died has left on the board; once, at the start. */
extern void blame_begin(void);

/* The series that it died of; 0: none. */
extern uint64 blame_series(void);

/* Notes on the board which records are in hand. */
extern void blame_note(const BatchRecord *records, int count);

/* Notes the record whose bytes our own code works on now; 0: none. */
extern void blame_current(uint64 sequence);

/* Nothing is in hand: for signal handlers and exits too. */
extern void blame_clear(void);

/* The handler of fatal signals. */
extern void blame_on_crash(int signal_number);

/* Whether a batch holds what killed a writer, and which record if that is known. */
extern bool blame_suspects(const Batch *batch, const BatchRecord **culprit);

/* The records up to a sequence number are stored: they are no suspects any more. */
extern void blame_acquit(uint64 series, uint64 sequence);

/* ---- rows.c: inside a transaction ---- */

/* Stores records. From *fault on a failure is a record's own. */
extern void rows_store(const BatchRecord *records, int count, volatile bool *own_fault);
extern void rows_quarantine(const BatchRecord *record, const char *reason);
extern void rows_end_sessions(uint64 series);

/* ---- text.c ---- */

/* Appends a record's tuple with its texts in the database's encoding. */
extern void text_convert_tuple(const RecordHeader *header, const uint8 *tuple, Size len,
                               const RecordColumnKind *kinds, int columns, StringInfo out);

/* Appends text that should be in the database's encoding; other bytes as \xHH. */
extern void text_append_verified(StringInfo out, const char *text, int len);

/* ---- position.c: inside a transaction ---- */

/* False: nothing of the series is stored. */
extern bool position_load(uint64 series, Position *position);
extern void position_save(const Position *position);
extern void position_forget(uint64 series);

/* ---- tables.c: inside a transaction ---- */

/* Whether the extension and its tables are in the database. */
extern bool tables_exist(void);

/* Locks the extension's tables for a batch; raises an error where they are not all there. */
extern void tables_lock(Oid tables[STORE_TABLES]);

/* ---- partition.c: inside a transaction ---- */

/* Returns the table that takes rows, makes it where there is none. */
extern Oid partition_current(TimestampTz now);

/* A partition as it was listed. */
typedef struct Partition
{
	int number;
	Oid table;
	bool is_ended; /* no rows go into it any more */
	TimestampTz begun_at;
	TimestampTz oldest; /* of its exchanges; where it is not ended, when it was begun */
	TimestampTz newest;
	int64 bytes;
} Partition;

typedef struct PartitionList
{
	Partition *partitions; /* oldest first; palloc()ed */
	int count;
	int64 bytes; /* of all tables of the record */
} PartitionList;

extern void partition_end(int number, TimestampTz now);

/* The caller has locked its table. */
extern void partition_drop(int number);
extern void partition_list(PartitionList *list);
extern TimestampTz partition_oldest(const PartitionList *list, TimestampTz now);

/* ---- keep.c ---- */

/* Ends and drops what is due.  False: there is no room, which is shown. */
extern bool keep_has_room(Size to_store);

#endif /* STORE_H */
