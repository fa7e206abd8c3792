/*
 * child_main.h
 *	  Where the child begins; all that the worker knows of it.
 */
#ifndef REPLAY_CHILD_MAIN_H
#define REPLAY_CHILD_MAIN_H

/* Runs the child of that number, whose end of the link is fd, to its end. */
extern void replay_child_main(int fd, int number);

#endif /* REPLAY_CHILD_MAIN_H */
