/*
 * pass.h
 *	  One pass over the journal.
 */
#ifndef STORE_PASS_H
#define STORE_PASS_H

typedef enum PassResult
{
	PASS_DONE,  /* all that was there is stored */
	PASS_AGAIN, /* the same, but segments wait to be removed */
	PASS_WAIT   /* something is in the way */
} PassResult;

extern PassResult pass_run(void);

/* Shows what waits in the journal, without storing. */
extern void pass_measure(void);

#endif /* STORE_PASS_H */
