/*
 * open_block.c
 *	  A function for the tests: it leaves its session in a transaction block, which no
 *	  function in SQL can.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(open_block);

/*
 * Returns a label of its argument, as the test's own function does; for 3, does what
 * BEGIN does besides.
 */
Datum
open_block(PG_FUNCTION_ARGS)
{
	if (PG_GETARG_INT32(0) == 3)
		BeginTransactionBlock();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("label %d", PG_GETARG_INT32(0))));
}
