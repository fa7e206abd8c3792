/*
 * table.c
 *	  Hash tables that grow with what is in them.
 */
#include "relay/table.h"

#include <string.h>

#define FIRST_SIZE 64

/*
 * Returns the bucket of a hash.
 */
static TableEntry **
bucket_of(const Table *table, uint64_t hash)
{
	return &table->buckets[hash & (table->size - 1)];
}

/*
 * Skips the entries of a bucket that have another hash.
 */
static TableEntry *
skip_others(TableEntry *entry, uint64_t hash)
{
	while (entry && entry->hash != hash)
		entry = entry->next;
	return entry;
}

/*
 * Returns the first entry of a hash.
 */
TableEntry *
table_first(const Table *table, uint64_t hash)
{
	return table->buckets ? skip_others(*bucket_of(table, hash), hash) : NULL;
}

/*
 * Returns the next entry of the same hash.
 */
TableEntry *
table_next(const TableEntry *entry)
{
	return skip_others(entry->next, entry->hash);
}

/*
 * Gives the table its first buckets, or twice as many.  False: no memory, it stays
 * as it is.
 */
static bool
grow(Budget *budget, Table *table)
{
	Table grown = {.size = table->size ? table->size * 2 : FIRST_SIZE, .count = table->count};

	grown.buckets = budget_alloc(budget, grown.size * sizeof(TableEntry *));
	if (!grown.buckets)
		return false;
	for (size_t i = 0; i < table->size; i++)
	{
		TableEntry *entry;

		while ((entry = table->buckets[i]))
		{
			TableEntry **bucket = bucket_of(&grown, entry->hash);

			table->buckets[i] = entry->next;
			entry->next = *bucket;
			*bucket = entry;
		}
	}
	budget_free(budget, table->buckets, table->size * sizeof(TableEntry *));
	*table = grown;
	return true;
}

/*
 * Adds an entry.
 */
bool
table_add(Budget *budget, Table *table, TableEntry *entry)
{
	TableEntry **bucket;

	/* a table that cannot grow goes on with longer buckets */
	if (table->count >= table->size && !grow(budget, table) && !table->buckets)
		return false;
	bucket = bucket_of(table, entry->hash);
	entry->next = *bucket;
	*bucket = entry;
	table->count++;
	return true;
}

/*
 * Takes an entry out.
 */
void
table_remove(Table *table, TableEntry *entry)
{
	TableEntry **link = bucket_of(table, entry->hash);

	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	table->count--;
}

/*
 * Gives the table's own memory back, and returns its entries as a list.
 */
TableEntry *
table_dissolve(Budget *budget, Table *table)
{
	TableEntry *all = NULL;

	for (size_t i = 0; i < table->size; i++)
	{
		TableEntry *entry;

		while ((entry = table->buckets[i]))
		{
			table->buckets[i] = entry->next;
			entry->next = all;
			all = entry;
		}
	}
	budget_free(budget, table->buckets, table->size * sizeof(TableEntry *));
	memset(table, 0, sizeof(*table));
	return all;
}
