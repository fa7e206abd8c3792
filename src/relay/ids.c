/*
 * ids.c
 *	  Session ids, taken from blocks that the journal directory reserves.
 */
#include <errno.h>
#include <string.h>

#include "relay/process.h"

/*
 * Returns the next session id; 0 where none can be had, with errno (ENOENT:
 * the writer has not seeded the file yet).
 */
uint64_t
ids_next(Relay *relay)
{
	uint64_t counter;

	if (relay->ids_left == 0)
	{
		uint64_t first = journal_reserve_ids(relay->config.journal_directory, relay->config.node_id,
		                                     JOURNAL_ID_BLOCK);

		if (first == 0)
			return 0;
		relay->next_id = first;
		relay->ids_left = JOURNAL_ID_BLOCK;
	}
	relay->ids_left--;
	counter = relay->next_id++;
	return (uint64_t) relay->config.node_id << 48 | counter;
}
