/*
 * query.h
 *	  Queries of the record that are planned once for the backend's life: planning takes
 *	  longer than reading an exchange does, and more so the more partitions there are.
 */
#ifndef READ_QUERY_H
#define READ_QUERY_H

#include "postgres.h"

#include "executor/spi.h"

typedef struct ReadQuery
{
	const char *text;
	int arguments;   /* of type bigint, two at most */
	SPIPlanPtr plan; /* NULL at first */
} ReadQuery;

/* Returns a query's plan, which gives its first rows as early as can be.  SPI must be connected. */
extern SPIPlanPtr read_query_plan(ReadQuery *query);

#endif /* READ_QUERY_H */
