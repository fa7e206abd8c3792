/*
 * supervisor.h
 *	  The supervisor's parts: spawning, listening, relays, the writer.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include "server/server.h"

/* ---- spawn.c ---- */

typedef void (*SpawnMain) (int fd, int arg);

/*
 * Forks a child that has left the server: no shared memory, no descriptor but
 * its end of the socket pair.  Returns its pid and our end in *fd; -1, errno.
 */
extern pid_t spawn_detached(SpawnMain main, int arg, int *fd);

/* ---- listeners.c ---- */

/* Brings the listening sockets in line with the settings. True: they changed. */
extern bool listeners_update(void);

/* When listeners_update should be called again without news; 0: no need. */
extern int64 listeners_retry_at(void);

/* The descriptors, for a relay's configuration. */
extern int listeners_fds(int fds[RELAY_MAX_LISTENERS]);

/* The socket of the child that resolves names, -1 without one; and its answer. */
extern int listeners_resolver_fd(void);
extern void listeners_resolver_readable(void);
extern bool listeners_reap(pid_t pid);
extern void listeners_close(void);

/* Notes an error in the log and in stat_relay. */
extern void supervisor_error(const char *message);

/* ---- relays.c ---- */

/* Starts relays that are due. Returns when it should be called again; 0: no need. */
extern int64 relays_start(void);
extern void relays_configure(void);
extern void relays_forget(void);
extern void relays_check(void);
extern bool relays_reap(pid_t pid, int status);
extern int relays_fd(int relay_no);
extern void relays_drain(int relay_no);
extern void relays_stop(void);

/* ---- launch.c ---- */

/* Starts the writer if it is due. Returns when to look again. */
extern int64 writer_launch(void);

#endif /* SUPERVISOR_H */
