"""A client with TLS that speaks the protocol byte by byte, for what no driver does.

    tls.py PORT send FILE [crumbs]   logs in, sends the file's bytes (crumbs: a record a byte) and
                                     reads at the same time; prints MD5 and length of all answers
    tls.py PORT lazy FILE            the same, but reads only after a line on standard input
    tls.py PORT cancel               cancels its own query by a second connection; prints SQLSTATE
    tls.py PORT dribble              sends a startup packet byte by byte, slowly; prints how long that
                                     was listened to
    tls.py PORT login MINOR NAME=VALUE ...  prints the types of all answers, and an error's message
"""
import hashlib
import os
import pwd
import select
import socket
import ssl
import struct
import sys
import time

USER = os.environ.get('PGUSER', pwd.getpwuid(os.getuid()).pw_name)
SSL_REQUEST = struct.pack('!II', 8, 80877103)
PIECE = 65536


def connect(port):
    """Asks for TLS and returns the connection with it."""
    plain = socket.create_connection(('127.0.0.1', port), timeout=60)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.sendall(SSL_REQUEST)
    answer = plain.recv(1)
    if answer != b'S':
        raise SystemExit(f'SSLRequest was answered {answer!r}')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


def startup(minor=0, **parameters):
    """Builds a startup packet."""
    body = struct.pack('!I', 3 << 16 | minor)
    for name, value in {'user': USER, 'database': 'postgres', **parameters}.items():
        body += name.encode() + b'\0' + value.encode() + b'\0'
    body += b'\0'
    return struct.pack('!I', len(body) + 4) + body


class Reader:
    """Splits what comes into messages."""

    def __init__(self, connection):
        self.connection = connection
        self.buffer = b''

    def message(self):
        """Returns type and body; None at the end."""
        while len(self.buffer) < 5 or len(self.buffer) < 1 + self.length():
            piece = self.connection.recv(PIECE)
            if not piece:
                return None, b''
            self.buffer += piece
        size = 1 + self.length()
        kind, body = chr(self.buffer[0]), self.buffer[5:size]
        self.buffer = self.buffer[size:]
        return kind, body

    def length(self):
        return struct.unpack('!I', self.buffer[1:5])[0]

    def until(self, wanted):
        """Reads up to a message of that type; returns all types and bodies."""
        seen = []
        while True:
            kind, body = self.message()
            seen.append((kind, body))
            if kind is None or kind == wanted:
                return seen


def error_field(body, code):
    """Returns a field of an ErrorResponse."""
    for field in body.split(b'\0'):
        if field[:1] == code:
            return field[1:].decode()
    return ''


def log_in(port, **parameters):
    connection = connect(port)
    connection.sendall(startup(**parameters))
    reader = Reader(connection)
    seen = reader.until('Z')
    if seen[-1][0] != 'Z':
        raise SystemExit(f'not let in: {seen}')
    return connection, reader, seen


def pump(connection, data, piece, start):
    """Sends and reads at the same time until the other side closes; returns what came."""
    digest = hashlib.md5(start)
    count = len(start)
    at = 0
    connection.setblocking(False)
    while True:
        wants_write = at < len(data)
        moved = False
        if wants_write:
            try:
                at += connection.send(data[at:at + piece])
                moved = True
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                pass
        try:
            got = connection.recv(PIECE)
            if not got:
                return digest.hexdigest(), count
            digest.update(got)
            count += len(got)
            moved = True
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        if not moved:
            ready = select.select([connection], [connection] if wants_write else [], [], 60)
            if not ready[0] and not ready[1]:
                raise SystemExit(f'nothing moves: {at} of {len(data)} sent, {count} read')


def send(port, path, crumbs=False, lazy=False):
    with open(path, 'rb') as file:
        data = file.read()
    connection, reader, _ = log_in(port, application_name='lazy' if lazy else 'bytes')
    if lazy:
        connection.sendall(data)
        print('sent', flush=True)
        sys.stdin.readline()
        data = b''
    print(*pump(connection, data, 1 if crumbs else PIECE, reader.buffer))


def cancel(port):
    connection, reader, seen = log_in(port)
    key = next(body for kind, body in seen if kind == 'K')
    query = b'select pg_sleep(60)\0'
    connection.sendall(b'Q' + struct.pack('!I', len(query) + 4) + query)
    other = connect(port)
    other.sendall(struct.pack('!II', 8 + len(key), 80877102) + key)
    try:
        end = other.recv(1)
    except (ssl.SSLError, ConnectionError) as error:
        end = repr(error)
    for kind, body in reader.until('Z'):
        if kind == 'E':
            print(error_field(body, b'C'), 'closed' if end == b'' else end)


def login(port, minor, *pairs):
    connection = connect(port)
    connection.sendall(startup(int(minor), **dict(pair.split('=', 1) for pair in pairs)))
    types = ''
    message = ''
    for kind, body in Reader(connection).until('Z'):
        types += kind or ''
        if kind == 'E':
            message = error_field(body, b'M')
        if kind == 'v':
            message = body.hex()
    print(types, message)


def dribble(port):
    begun = time.monotonic()
    connection = connect(port)
    connection.settimeout(0.1)
    packet = startup(options='x' * 5000)
    try:
        for at in range(len(packet)):
            connection.send(packet[at:at + 1])
            try:
                if not connection.recv(1):
                    break
            except TimeoutError:
                pass
    except (ssl.SSLError, ConnectionError):
        pass
    print(time.monotonic() - begun)


def main(port, command, *arguments):
    if command == 'send':
        send(port, arguments[0], crumbs='crumbs' in arguments[1:])
    elif command == 'lazy':
        send(port, arguments[0], lazy=True)
    elif command == 'cancel':
        cancel(port)
    elif command == 'dribble':
        dribble(port)
    elif command == 'login':
        login(port, *arguments)
    else:
        raise SystemExit(__doc__)


if __name__ == '__main__':
    main(int(sys.argv[1]), *sys.argv[2:])
