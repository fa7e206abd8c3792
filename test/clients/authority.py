"""A stand-in for what servers ask about passwords: LDAP simple binds and RADIUS, on the loopback.

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


def serve_ldap(connection, password):
    """Answers the binds of a connection."""
    with connection:
        while data := connection.recv(4096):
            _, message, _ = element(data, 0)
            _, number, at = element(message, 0)
            kind, request, _ = element(message, at)
            if kind != 0x60:  # no bind: unbind ends the connection
                return
            _, _, at = element(request, 0)
            _, _, at = element(request, at)
            _, given, _ = element(request, at)
            outcome = 0 if given.decode() == password else 49
            answer = bytes([2, len(number)]) + number + bytes([0x61, 7, 10, 1, outcome, 4, 0, 4, 0])
            connection.sendall(bytes([0x30, len(answer)]) + answer)


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
