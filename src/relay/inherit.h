/*
 * inherit.h
 *	  What a process keeps of the one that forked it: next to nothing.
 */
#ifndef RELAY_INHERIT_H
#define RELAY_INHERIT_H

/* Closes every descriptor but some, and one; points the standard ones to nowhere. */
extern void inherit_descriptors(const int *kept, int count, int one);

/* Sets all signals back to their defaults, and blocks none. */
extern void inherit_no_signals(void);

#endif /* RELAY_INHERIT_H */
