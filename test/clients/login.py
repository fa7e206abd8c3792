"""Logs in, message by message, and says how it went: what a driver would not tell.

Reads one JSON object a line: host, port, source (address to come from; none: the kernel's choice),
user, password (of OAuth: the token), database, replication, query, tls (true, or a list of certificate and key files),
gss (true: asks for GSSAPI encryption first, and goes on without).
Writes one a line: verdict (in, refused, closed), requests (the authentication codes that the server
sent), bytes (everything that the server sent, as hex), sqlstate, message, hint, error (of the connection), the query's only row, and the port that it came from.
"""
import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
import sys

TIMEOUT = 30


class Connection:
    """A connection with just enough of the protocol to log in and run a query."""

    def __init__(self, job):
        self.job = job
        self.received = b''
        family = socket.AF_INET6 if ':' in job['host'] else socket.AF_INET
        if job['host'].startswith('/'):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(TIMEOUT)
            self.socket.connect(f"{job['host']}/.s.PGSQL.{job['port']}")
        else:
            self.socket = socket.socket(family)
            self.socket.settimeout(TIMEOUT)
            if job.get('source'):
                self.socket.bind((job['source'], 0))
            self.socket.connect(socket.getaddrinfo(job['host'], job['port'], family)[0][4])
        if job.get('gss'):
            self.socket.sendall(struct.pack('!II', 8, 80877104))
            if self.socket.recv(1) != b'N':
                raise ConnectionError('GSSAPI encryption is not declined')
        if job.get('tls'):
            self.start_tls(job['tls'])

    def start_tls(self, tls):
        self.socket.sendall(struct.pack('!II', 8, 80877103))
        if self.socket.recv(1) != b'S':
            raise ConnectionError('the server declines TLS')
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if isinstance(tls, list):
            context.load_cert_chain(*tls)
        self.socket = context.wrap_socket(self.socket)

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack('!I', len(body) + 4) + body)

    def exactly(self, size):
        data = b''
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        self.received += data
        return data

    def receive(self):
        kind, length = struct.unpack('!cI', self.exactly(5))
        return kind, self.exactly(length - 4)

    def send_startup(self):
        parameters = {'user': self.job['user'], 'database': self.job.get('database', 'postgres')}
        if self.job.get('replication'):
            parameters['replication'] = self.job['replication']
        body = struct.pack('!I', 196608)
        for name, value in parameters.items():
            body += name.encode() + b'\0' + value.encode() + b'\0'
        self.send(b'', body + b'\0')


class Login:
    """The client's part of an authentication."""

    def __init__(self, connection):
        self.connection = connection
        self.password = connection.job.get('password', '').encode()
        self.first_bare = self.salted = self.nonce = b''
        self.is_bearer = False

    def answer(self, code, data):
        if code == 3:
            self.connection.send(b'p', self.password + b'\0')
        elif code == 5:
            user = self.connection.job['user'].encode()
            inner = hashlib.md5(self.password + user).hexdigest().encode()
            self.connection.send(b'p', b'md5' + hashlib.md5(inner + data).hexdigest().encode()
                                 + b'\0')
        elif code == 10 and data.startswith(b'OAUTHBEARER\0'):
            self.is_bearer = True
            self.send_initial(b'OAUTHBEARER', b'n,,\1auth=Bearer ' + self.password + b'\1\1')
        elif code == 10:
            self.nonce = base64.b64encode(os.urandom(18))
            self.first_bare = b'n=,r=' + self.nonce
            self.send_initial(b'SCRAM-SHA-256', b'n,,' + self.first_bare)
        elif code == 11:
            self.connection.send(b'p', b'\1' if self.is_bearer else self.final(data))

    def send_initial(self, mechanism, data):
        self.connection.send(b'p', mechanism + b'\0' + struct.pack('!I', len(data)) + data)

    def final(self, server_first):
        fields = dict(item.split(b'=', 1) for item in server_first.split(b','))
        salted = hashlib.pbkdf2_hmac('sha256', self.password, base64.b64decode(fields[b's']),
                                     int(fields[b'i']))
        without_proof = b'c=biws,r=' + fields[b'r']
        message = self.first_bare + b',' + server_first + b',' + without_proof
        client_key = hmac.digest(salted, b'Client Key', 'sha256')
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, 'sha256')
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        return without_proof + b',p=' + base64.b64encode(proof)


def error_fields(body):
    return {item[:1].decode(): item[1:].decode(errors='replace')
            for item in body.split(b'\0') if item}


def talk(connection, login, result):
    """Answers what the server asks, and notes what it says."""
    query = connection.job.get('query')
    while True:
        kind, body = connection.receive()
        if kind == b'R':
            code = struct.unpack('!I', body[:4])[0]
            result['requests'].append(code)
            if code in (7, 9):
                return  # GSSAPI and SSPI: there is no ticket
            login.answer(code, body[4:])
        elif kind == b'E':
            fields = error_fields(body)
            result.update(sqlstate=fields['C'], message=fields['M'], hint=fields.get('H'))
            if result['verdict'] == 'closed':
                result['verdict'] = 'refused'
                return
        elif kind == b'D':
            size = struct.unpack('!I', body[2:6])[0]
            result['row'] = body[6:6 + size].decode()
        elif kind == b'Z':
            is_over = result['verdict'] == 'in' or not query
            result['verdict'] = 'in'
            if is_over:
                connection.send(b'X', b'')
                return
            connection.send(b'Q', query.encode() + b'\0')


def run(job):
    """Logs in and runs the query; returns what is to be told."""
    result = {'verdict': 'closed', 'requests': []}
    connection = Connection(job)
    if not job['host'].startswith('/'):
        result['port'] = connection.socket.getsockname()[1]
    connection.send_startup()
    try:
        talk(connection, Login(connection), result)
    except (EOFError, ConnectionResetError):
        pass
    result['bytes'] = connection.received.hex()
    return result


def main():
    for line in sys.stdin:
        try:
            result = run(json.loads(line))
        except (OSError, ConnectionError) as error:
            result = {'verdict': 'closed', 'requests': [], 'error': str(error)}
        print(json.dumps(result), flush=True)


main()
