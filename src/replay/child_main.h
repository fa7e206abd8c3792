/*
 * child_main.h
 *	  Where the child begins; all that the worker knows of it.
 */
#ifndef REPLAY_CHILD_MAIN_H
#define REPLAY_CHILD_MAIN_H

/* Runs a child whose end of the link is fd, to its end. */
extern void replay_child_main(int fd, int arg);

#endif /* REPLAY_CHILD_MAIN_H */
