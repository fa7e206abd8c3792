/*
 * diff_columns.c
 *	  What is known of an exchange whose bytes were not all kept.
 *
 * Bytes are left out by the limits, by capture = metadata and for want of memory.
 * The columns of the record hold for the whole exchange all the same, the digest
 * of its rows among them: they are compared as if they were a message of the
 * server's, named "record".
 */
#include "api/diff.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"

/* Times a group by, as a long exchange is recorded in parts. */
#define COLUMNS_QUERY                                                                 \
	"SELECT exchange_no, min(kind), min(query), pg_catalog.jsonb_build_object("       \
	"'kind', min(kind), 'query', min(query), 'command_tag', min(command_tag), "       \
	"'row_count', sum(row_count), 'data_row_count', sum(data_row_count), "            \
	"'sqlstate', min(sqlstate), 'error_message', min(error_message), 'row_digest', "  \
	"CASE WHEN count(*) OPERATOR(pg_catalog.=) 1 THEN min(row_digest) END) "          \
	"FROM pgwire_trace.exchange WHERE session_id OPERATOR(pg_catalog.=) $1 "          \
	"AND ($2 IS NULL OR exchange_no OPERATOR(pg_catalog.=) $2) GROUP BY exchange_no " \
	"HAVING pg_catalog.bool_or(is_truncated "                                         \
	"OR (request IS NULL AND request_bytes OPERATOR(pg_catalog.>) 0) "                \
	"OR (response IS NULL AND response_bytes OPERATOR(pg_catalog.>) 0)) ORDER BY exchange_no"

/* So many rows are fetched at once. */
#define FETCH_ROWS 100

/*
 * Returns the hash of a text column of the row that SPI has; NULL is the seed.
 */
static uint64
column_key(int row, int number, uint64 seed)
{
	char *text = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number);

	return text ? hash_bytes_extended((const unsigned char *) text, (int) strlen(text), seed)
	            : seed;
}

/*
 * Gives the columns in a row that SPI has.
 */
static void
give_columns(int row, DiffTakeColumns take, void *arg)
{
	HeapTuple tuple = SPI_tuptable->vals[row];
	bool is_null;
	DiffColumns columns;

	columns.exchange_no = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &is_null));
	columns.body = DatumGetJsonbP(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 4, &is_null));
	columns.keys.key[2] = column_key(row, 2, 0);
	columns.keys.key[1] = columns.keys.key[0] = column_key(row, 3, columns.keys.key[2]);
	columns.whole = hash_bytes_extended((const unsigned char *) &columns.body->root,
	                                    (int) (VARSIZE(columns.body) - VARHDRSZ), 0);
	take(arg, &columns);
}

/*
 * Gives what is known of a session's exchanges, or of one; see diff.h.
 */
void
diff_read_columns(int64 session_id, bool has_exchange, int64 exchange_no, DiffTakeColumns take,
                  void *arg)
{
	Oid types[2] = {INT8OID, INT8OID};
	Datum values[2] = {Int64GetDatum(session_id), Int64GetDatum(exchange_no)};
	char nulls[2] = {' ', has_exchange ? ' ' : 'n'};
	Portal portal;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	portal = SPI_cursor_open_with_args(NULL, COLUMNS_QUERY, 2, types, values, nulls, true, 0);
	do
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		for (uint64 i = 0; i < SPI_processed; i++)
			give_columns((int) i, take, arg);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	SPI_finish();
}
