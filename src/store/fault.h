/*
 * fault.h
 *	  Places where a fault build (-DPGWT_FAULT) dies when a test asks for it.
 *
 * A test makes the file pgwt_fault_<name> in the data directory; the process
 * that passes the point removes the file and dies.  In other builds the macros
 * are nothing.
 *
 *		writer_before_commit	rows are inserted, the transaction is open
 *		writer_after_commit		committed, the segment is not deleted yet
 *		writer_between_segments	a segment is done, the next not begun
 *		clock					(journal/clock.c) the clock is ahead by the seconds in the file, which stays
 *		poison record			an exchange whose query holds pgwt_poison_record
 */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

#ifdef PGWT_FAULT

#include <signal.h>
#include <unistd.h>

#define FAULT_POINT(name)                    \
	do                                       \
	{                                        \
		if (unlink("pgwt_fault_" name) == 0) \
			kill(getpid(), SIGKILL);         \
	} while (0)

#define FAULT_POISON(data, len)                          \
	do                                                   \
	{                                                    \
		if (memmem(data, len, "pgwt_poison_record", 18)) \
			abort();                                     \
	} while (0)

#else

#define FAULT_POINT(name) ((void) 0)
#define FAULT_POISON(data, len) ((void) 0)

#endif

#endif /* STORE_FAULT_H */
