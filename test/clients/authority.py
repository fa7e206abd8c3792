"""A stand-in for what servers ask about passwords: LDAP binds and searches, and RADIUS, on the loopback.

authority.py PASSWORD SECRET prints the ports of LDAP (TCP) and RADIUS (UDP) and serves until its
standard input is closed. One password is right for everybody.
"""
import hashlib
import socket
import sys
import threading


def element(data, at):
    """Reads a BER element; returns its tag, its contents and where the next one is."""
    length = data[at + 1]
    begin = at + 2
    if length & 0x80:
        count = length & 0x7f
        length = int.from_bytes(data[begin:begin + count], 'big')
        begin += count
    return data[at], data[begin:begin + length], begin + length


def wrap(tag, *parts):
    """Writes a BER element of less than 128 bytes."""
    contents = b''.join(parts)
    return bytes([tag, len(contents)]) + contents


def bind_outcome(request, password):
    """Returns the result code of a bind; an anonymous one, before a search, may."""
    _, _, at = element(request, 0)
    _, name, at = element(request, at)
    _, given, _ = element(request, at)
    return 0 if given.decode() == password or not name else 49


def found(number, request):
    """Returns a search's only entry: its filter's value, under the base that it names."""
    _, base, at = element(request, 0)
    for _ in range(5):
        _, _, at = element(request, at)
    _, rule, _ = element(request, at)
    _, attribute, at = element(rule, 0)
    _, value, _ = element(rule, at)
    name = attribute + b'=' + value + b',' + base
    return wrap(0x30, number, wrap(0x64, wrap(4, name), wrap(0x30)))


def serve_ldap(connection, password):
    """Answers the binds and searches of a connection."""
    with connection:
        while data := connection.recv(4096):
            _, message, _ = element(data, 0)
            _, number, at = element(message, 0)
            kind, request, _ = element(message, at)
            number = wrap(2, number)
            if kind == 0x60:
                outcome, tag = bind_outcome(request, password), 0x61
            elif kind == 0x63:
                connection.sendall(found(number, request))
                outcome, tag = 0, 0x65
            else:  # unbind
                return
            result = wrap(tag, bytes([10, 1, outcome]), wrap(4), wrap(4))
            connection.sendall(wrap(0x30, number, result))


def accept_ldap(listener, password):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_ldap, args=(connection, password), daemon=True).start()


def radius_password(data, secret):
    """Returns the password of an Access-Request."""
    at, given = 20, b''
    while at < len(data):
        kind, length = data[at], data[at + 1]
        if kind == 2:
            given = data[at + 2:at + length]
        at += length
    plain, before = b'', data[4:20]
    for i in range(0, len(given), 16):
        block = given[i:i + 16]
        key = hashlib.md5(secret + before).digest()
        plain += bytes(a ^ b for a, b in zip(block, key))
        before = block
    return plain.rstrip(b'\0').decode(errors='replace')


def serve_radius(endpoint, password, secret):
    while True:
        data, client = endpoint.recvfrom(4096)
        code = 2 if radius_password(data, secret) == password else 3
        head = bytes([code, data[1], 0, 20])
        endpoint.sendto(head + hashlib.md5(head + data[4:20] + secret).digest(), client)


def main(password, secret):
    listener = socket.create_server(('127.0.0.1', 0))
    endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.bind(('127.0.0.1', 0))
    threading.Thread(target=accept_ldap, args=(listener, password), daemon=True).start()
    threading.Thread(target=serve_radius, args=(endpoint, password, secret.encode()),
                     daemon=True).start()
    print(listener.getsockname()[1], endpoint.getsockname()[1], flush=True)
    sys.stdin.read()


main(*sys.argv[1:])
