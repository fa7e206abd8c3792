/*
 * supervisor.h
 *	  The supervisor's parts: spawning, listening, TLS, relays, the writer.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include "server/server.h"

/* ---- spawn.c ---- */

typedef void (*SpawnMain)(int fd, int arg);

/*
 * Forks a child that has left the server: no shared memory, no descriptor but
 * its end of the socket pair.  Returns its pid and our end in *fd; -1, errno.
 */
extern pid_t spawn_detached(const char *title, SpawnMain run, int arg, int *fd);

/* The same, but it keeps some other descriptors too. */
extern pid_t spawn_detached_with(const char *title, SpawnMain run, int arg, int *fd,
                                 const int *others, int count);

/* ---- supervisor.c ---- */

/* Notes an error in stat_relay, and in the log unless it is there already. */
extern void supervisor_error(const char *message);

/* ---- resolve.c ---- */

#define RESOLVE_MAX 8 /* addresses of a name */

extern int resolve_name(const char *text, const char *setting, RelayAddress addresses[RESOLVE_MAX]);
extern void resolve_again(void);
extern int resolve_fd(void);
extern bool resolve_readable(void);
extern int64 resolve_retry(void);

/* ---- tls.c ---- */

/* Takes over what a supervisor before has left; has the server's certificate read, by a child. */
extern void tls_begin(void);
extern void tls_reload(void);
extern int tls_fd(void);
extern void tls_readable(void);
extern int64 tls_check(void);

/* What relays are told of it: a descriptor, and the rest. */
extern int tls_bundle(void);
extern void tls_fill(RelayConfig *config);

/* ---- tls_kept.c ---- */

extern void tls_kept_prepare(void);
extern void tls_keep(int bundle, int64 read_at);
extern int tls_kept_take(bool *is_stale);

/* ---- unix_socket.c ---- */

#define LISTENER_BACKLOG 1024

/* Looks up in the postmaster what may take long. */
extern void unix_sockets_prepare(void);
extern bool unix_socket_address(const char *directory, int port, RelayAddress *address);
extern const char *unix_socket_path(const RelayAddress *address);
extern int unix_socket_bind(const RelayAddress *address, const char **error);
extern void unix_socket_remove(const RelayAddress *address);
extern void unix_socket_touch(const RelayAddress *address);

/* ---- listeners.c ---- */

/* Reads a numeric address. False: it is none. */
extern bool address_parse(const char *text, int port, RelayAddress *address);

/* Brings the listening sockets in line with the settings. True: they changed. */
extern bool listeners_update(bool is_reload);
extern int64 listeners_retry_at(void);

/* The descriptors, for a relay's configuration. */
extern int listeners_fds(int fds[RELAY_MAX_LISTENERS]);
extern void listeners_touch(void);
extern void listeners_close(void);

/* ---- upstream.c ---- */

/* Fills in the addresses of the server. */
extern void upstream_fill(RelayConfig *config);

/* ---- relays.c ---- */

/* Starts relays that are due. Returns when it should be called again; 0: no need. */
extern int64 relays_start(void);
extern void relays_configure(void);
extern bool relays_want_reload(void);
extern void relays_forget(void);
extern void relays_check(void);
extern bool relays_reap(pid_t pid, int status);
extern int relays_fd(int relay_no);
extern void relays_drain(int relay_no);
extern void relays_stop(void);

/* ---- launch.c ---- */

extern void writer_begin(void);

/* Starts the writer if it is due. Returns when to look again. */
extern int64 writer_launch(void);

#endif /* SUPERVISOR_H */
