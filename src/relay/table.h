/*
 * table.h
 *	  Hash tables that grow with what is in them.
 *
 * An entry stands at the begin of the structure that it is part of, and belongs to
 * whoever made that.  Hashes are keyed by the caller: the names come from clients,
 * and one that knew where they go could make all of them go to one place.
 */
#ifndef RELAY_TABLE_H
#define RELAY_TABLE_H

#include <stdint.h>

#include "relay/buffer.h"

typedef struct TableEntry
{
	struct TableEntry *next; /* in its bucket */
	uint64_t hash;
} TableEntry;

typedef struct Table
{
	TableEntry **buckets; /* NULL while there was never an entry */
	size_t size;          /* a power of two */
	size_t count;
} Table;

/* Returns the first entry that may have a hash, the next one; NULL: no more. */
extern TableEntry *table_first(const Table *table, uint64_t hash);
extern TableEntry *table_next(const TableEntry *entry);

/* Adds an entry, whose hash is set.  False: no memory. */
extern bool table_add(Budget *budget, Table *table, TableEntry *entry);

/* Takes an entry out that is in the table. */
extern void table_remove(Table *table, TableEntry *entry);

/* Gives the table's own memory back; returns its entries as a list, by `next`. */
extern TableEntry *table_dissolve(Budget *budget, Table *table);

#endif /* RELAY_TABLE_H */
