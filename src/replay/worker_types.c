/*
 * worker_types.c
 *	  The names of this database's types, for the child to compare columns by.
 */
#include "replay/worker.h"

#include "executor/spi.h"
#include "replay/types.h"

#define PACKET_FULL (LINK_PACKET / 2)

/*
 * Packs the names of this database's types; see worker.h.
 */
List *
replay_types_pack(MemoryContext result)
{
	StringInfo packet = NULL;
	List *packets = NIL;

	if (SPI_execute(TYPES_QUERY, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		TupleDesc desc = SPI_tuptable->tupdesc;
		const char *name = SPI_getvalue(SPI_tuptable->vals[i], desc, 2);
		MemoryContext before = MemoryContextSwitchTo(result);
		bool is_null;
		Oid oid = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], desc, 1, &is_null));

		if (!packet || packet->len > PACKET_FULL)
		{
			packet = makeStringInfo();
			packets = lappend(packets, packet);
		}
		appendBinaryStringInfo(packet, (char *) &oid, sizeof(oid));
		appendBinaryStringInfo(packet, name, (int) strlen(name) + 1);
		MemoryContextSwitchTo(before);
	}
	SPI_freetuptable(SPI_tuptable);
	return packets;
}
