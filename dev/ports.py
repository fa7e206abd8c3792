"""Reserves TCP ports of the loopback interface, so that no two runs on a machine take the same one.

    python3 dev/ports.py PID     prints a port that is reserved while that process lives

Between finding that nobody uses a port and using it somebody else can take it. Ports of ours are
therefore written down, a file each with the pid of whom it is for, in a directory that all runs of a
user share. They are below those that PostgreSQL's test modules choose from (10200 up), which keep
their own account in the same directory, and below those that the kernel gives to clients.
"""
import contextlib
import fcntl
import os
import pwd
import random
import socket
import stat
import sys

FIRST = 5500
LAST = 10199


def directory_of(user):
    """Returns the directory with the ports that a user's processes have reserved. Root may make it
    for others. A directory that somebody else has put there is not used."""
    path = f'/tmp/pgwire_trace_ports.{user.pw_name}'
    try:
        os.mkdir(path, 0o755)
        if os.getuid() == 0:
            os.chown(path, user.pw_uid, user.pw_gid)
    except FileExistsError:
        there = os.lstat(path)
        if not stat.S_ISDIR(there.st_mode) or there.st_uid != user.pw_uid:
            raise SystemExit(f'{path} does not belong to {user.pw_name}: remove it') from None
    return path


@contextlib.contextmanager
def locked(path):
    """Holds a lock file, for which others wait."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_alive(pid):
    """Tells whether a process is there, be it somebody else's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_unused(port):
    """Tells whether a server could listen on a port."""
    for address in ('127.0.0.1', '0.0.0.0'):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                probe.listen(1)
            except OSError:
                return False
    return True


def reserve(pid):
    """Returns a port that nobody uses, and nobody else gets from here while the process lives."""
    path = directory_of(pwd.getpwuid(os.getuid()))
    with locked(os.path.join(path, 'lock')):
        for port in random.sample(range(FIRST, LAST + 1), LAST + 1 - FIRST):
            name = os.path.join(path, str(port))
            try:
                with open(name, encoding='utf-8') as file:
                    if is_alive(int(file.read())):
                        continue
            except (FileNotFoundError, ValueError):
                pass
            if is_unused(port):
                with open(name, 'w', encoding='utf-8') as file:
                    file.write(str(pid))
                return port
    raise SystemExit(f'no port from {FIRST} to {LAST} is free')


if __name__ == '__main__':
    print(reserve(int(sys.argv[1])))
