/*
 * unix_socket.c
 *	  The side port's Unix sockets: their names, their lock files, who may open them.
 *
 * All of it as the server does with its own: the socket is called .s.PGSQL.<port>,
 * beside it lies a lock file with the owner's process id in the server's format, so
 * that servers keep off it and we keep off theirs; a socket whose owner is dead is
 * replaced; unix_socket_permissions and unix_socket_group apply.  A name that begins
 * with '@' is abstract: no file, no lock, no permissions.
 *
 * The group's id is looked up once in the postmaster, as the server does it: asking
 * a directory service may take long.
 *
 *		unix_sockets_prepare		in the postmaster
 *		unix_socket_address			which socket a directory means
 *		unix_socket_path			and as text
 *		unix_socket_bind			binds it, with its lock
 *		unix_socket_remove			removes both
 *		unix_socket_touch			keeps cleaners of /tmp off them
 */
#include "server/supervisor.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utime.h>

#include "miscadmin.h"
#include "postmaster/postmaster.h"

#define NO_GROUP ((gid_t) -1)
#define LOCK_TRIES 10

static gid_t group = NO_GROUP;
static bool group_is_unknown;

/*
 * Looks the sockets' group up.
 */
void
unix_sockets_prepare(void)
{
	char *end;
	unsigned long number;
	struct group *found;

	if (!Unix_socket_group || Unix_socket_group[0] == '\0')
		return;
	number = strtoul(Unix_socket_group, &end, 10);
	if (*end == '\0')
	{
		group = (gid_t) number;
		return;
	}
	found = getgrnam(Unix_socket_group);
	group_is_unknown = found == NULL;
	if (found)
		group = found->gr_gid;
}

/*
 * Fills in the address of a directory's socket.  False: its path is too long.
 */
bool
unix_socket_address(const char *directory, int port, RelayAddress *address)
{
	struct sockaddr_un *un = (struct sockaddr_un *) &address->addr;
	int len;

	memset(address, 0, sizeof(*address));
	un->sun_family = AF_UNIX;
	len = snprintf(un->sun_path, sizeof(un->sun_path), "%s/.s.PGSQL.%d", directory, port);
	if (len >= (int) sizeof(un->sun_path))
		return false;
	address->len = sizeof(*un);
	if (un->sun_path[0] == '@')
	{
		un->sun_path[0] = '\0';
		address->len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len);
	}
	return true;
}

/*
 * Tells whether a socket's name is no file's.
 */
static bool
is_abstract(const RelayAddress *address)
{
	return ((const struct sockaddr_un *) &address->addr)->sun_path[0] == '\0';
}

/*
 * Returns a socket's path as text.
 */
const char *
unix_socket_path(const RelayAddress *address)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *) &address->addr;

	if (is_abstract(address))
		return psprintf("@%s", un->sun_path + 1);
	return pstrdup(un->sun_path);
}

/*
 * Returns the path of a socket's lock file.
 */
static const char *
lock_path(const RelayAddress *address)
{
	return psprintf("%s.lock", unix_socket_path(address));
}

/*
 * Returns the process that a lock file names, 0 if it is gone; -1: it makes no
 * sense.
 */
static pid_t
lock_owner(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	pid_t pid;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	pid = (pid_t) abs(atoi(text));
	return pid > 0 ? pid : -1;
}

/*
 * Tells whether a lock's owner lives.  Process ids are used again, so one that is
 * ours, or the postmaster's, is a dead one's.
 */
static bool
is_alive(pid_t pid)
{
	if (pid == MyProcPid || pid == PostmasterPid)
		return false;
	return kill(pid, 0) == 0 || (errno != ESRCH && errno != EPERM);
}

/*
 * Writes what a lock file says.
 */
static bool
write_lock(int fd, const RelayAddress *address)
{
	const char *path = unix_socket_path(address);
	const char *text =
	    psprintf("%d\n%s\n" INT64_FORMAT "\n%d\n%.*s\n", MyProcPid, DataDir, (int64) MyStartTime,
	             pgwt_port, (int) (strrchr(path, '/') - path), path);

	return write(fd, text, strlen(text)) == (ssize_t) strlen(text) && fsync(fd) == 0;
}

/*
 * Takes a socket's lock.  Returns what is in the way; NULL: nothing.
 */
static const char *
take_lock(const RelayAddress *address)
{
	const char *path = lock_path(address);

	for (int i = 0; i < LOCK_TRIES; i++)
	{
		int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		bool is_written;
		pid_t owner;

		if (fd >= 0)
		{
			is_written = write_lock(fd, address);
			close(fd);
			if (is_written)
				return NULL;
			unlink(path);
			return psprintf("could not write lock file \"%s\": %s", path, strerror(errno));
		}
		if (errno != EEXIST)
			return psprintf("could not create lock file \"%s\": %s", path, strerror(errno));
		owner = lock_owner(path);
		if (owner < 0)
			return psprintf("lock file \"%s\" cannot be read; if no server uses it, remove it",
			                path);
		if (owner > 0 && is_alive(owner))
			return psprintf("process %d uses it, says its lock file", (int) owner);
		if (unlink(path) != 0 && errno != ENOENT)
			return psprintf("could not remove old lock file \"%s\": %s", path, strerror(errno));
	}
	return psprintf("lock file \"%s\" comes back again and again", path);
}

/*
 * Sets who may connect, before anybody can.  Returns what failed; NULL: nothing.
 */
static const char *
set_permissions(const char *path)
{
	if (group_is_unknown)
		return psprintf("group \"%s\" does not exist", Unix_socket_group);
	if (group != NO_GROUP && chown(path, (uid_t) -1, group) != 0)
		return psprintf("could not set its group: %s", strerror(errno));
	if (chmod(path, (mode_t) Unix_socket_permissions) != 0)
		return psprintf("could not set its permissions: %s", strerror(errno));
	return NULL;
}

/*
 * Binds a socket whose lock is ours.  Returns what failed; NULL: nothing.
 */
static const char *
bind_socket(int fd, const RelayAddress *address)
{
	if (!is_abstract(address))
		unlink(unix_socket_path(address)); /* a dead one's */
	if (fd < 0 || bind(fd, (const struct sockaddr *) &address->addr, address->len) != 0)
		return strerror(errno);
	return is_abstract(address) ? NULL : set_permissions(unix_socket_path(address));
}

/*
 * Binds a socket, with its lock.  -1: *error says why not.
 */
int
unix_socket_bind(const RelayAddress *address, const char **error)
{
	int fd;

	*error = is_abstract(address) ? NULL : take_lock(address);
	if (*error)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	*error = bind_socket(fd, address);
	if (!*error && listen(fd, LISTENER_BACKLOG) != 0)
		*error = strerror(errno);
	if (!*error)
		return fd;
	if (fd >= 0)
		close(fd);
	unix_socket_remove(address);
	return -1;
}

/*
 * Removes a socket that was bound, then its lock.
 */
void
unix_socket_remove(const RelayAddress *address)
{
	if (is_abstract(address))
		return;
	unlink(unix_socket_path(address));
	unlink(lock_path(address));
}

/*
 * Gives socket and lock a fresh time.
 */
void
unix_socket_touch(const RelayAddress *address)
{
	if (is_abstract(address))
		return;
	utime(unix_socket_path(address), NULL);
	utime(lock_path(address), NULL);
}
