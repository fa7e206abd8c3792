"""Sends one startup packet after the other to two ports, well formed and not, and compares.

    startup.py MAIN SIDE USER       prints a line for each packet that is answered differently: its
                                    name, then what the main port says, then what the side port says;
                                    and at last how many there were

Each is sent twice: by a client that stays, and by one that sends no more. An answer is told as its
messages' types, with the code of an authentication request, SQLSTATE and message of an error, and
what a NegotiateProtocolVersion holds; process ids and keys are left out.
"""
import socket
import struct
import sys

TIMEOUT = 20
TOKEN = '0' * 32
SSL, GSS, CANCEL = 80877103, 80877104, 80877102


def packet(body, version=196608, length=None):
    contents = struct.pack('!I', version) + body
    return struct.pack('!I', len(contents) + 4 if length is None else length) + contents


def pairs(*texts):
    return b''.join((text if isinstance(text, bytes) else text.encode()) + b'\0'
                    for text in texts) + b'\0'


def request(code, length=8):
    return struct.pack('!II', length, code)


def names(user):
    """Roles and databases, there and not, short, long and cut."""
    yield 'no user', pairs('database', 'postgres')
    yield 'an empty user', pairs('user', '', 'database', 'postgres')
    yield 'nothing', b'\0'
    yield 'an empty database', pairs('user', user, 'database', '')
    yield 'no database', pairs('user', user)
    for length in (62, 63, 64, 65, 200, 5000):
        yield f'a user of {length} bytes', pairs('user', 'n' * length, 'database', 'postgres')
        yield f'a database of {length} bytes', pairs('user', user, 'database', 'd' * length)
    yield 'a user cut in a letter', pairs('user', b'n' * 62 + 'é'.encode(), 'database', 'postgres')
    yield 'a user that is no text', pairs('user', b'\xff\xfe', 'database', 'postgres')
    yield 'a user with quotes', pairs('user', 'po"st', 'database', 'a b')
    yield 'two users, the last is one', pairs('user', 'nobody', 'user', user, 'database', 'postgres')
    yield 'two users, the first is one', pairs('user', user, 'user', 'nobody', 'database', 'postgres')
    yield 'two databases', pairs('user', user, 'database', 'none', 'database', 'postgres')
    yield 'User', pairs('User', user, 'database', 'postgres')


def parameters():
    """Parameters beside user and database."""
    for value in ('true', 'on', '1', 'yes', 'database', 'DATABASE', 'false', 'off', '0', '', 'bogus',
                  'tru', 'true '):
        yield 'replication', value
    for value in ('-c', '-c x', '-c work_mem=1MB', '--work-mem=1MB', '\\', '-p',
                  '-c session_preload_libraries=x', '-c pgwire_trace.carrier=' + TOKEN,
                  '-c PGWIRE_TRACE.CARRIER=' + TOKEN, '--pgwire_trace.carrier=x',
                  '--pgwire-trace.carrier=x', '-\\c\\ pgwire_trace.carrier=1',
                  '-c pgwire_trace.replay=' + TOKEN, '-c pgwire_trace.port=1', '-c foo.bar=1'):
        yield 'options', value
    for name in ('pgwire_trace.carrier ', ' pgwire_trace.carrier', 'pgwire_trace.carrierx',
                 'pgwire-trace.carrier', '_pq_.pgwire_trace.carrier', '', '_pq_.', '_pq_', '_PQ_.x',
                 'foo', 'foo.bar', 'pgwire_trace.port', 'pgwire_trace.nonsense'):
        yield name, TOKEN
    yield from (('work_mem', ''), ('work_mem', '-5'), ('client_encoding', 'NONSENSE'),
                ('client_encoding', 'LATIN1'), ('DateStyle', 'bogus'), ('role', 'nobody'),
                ('session_authorization', 'nobody'), ('is_superuser', 'on'),
                ('application_name', 'x' * 300), ('application_name', 'x\ny\x7f'),
                ('pgwire_trace.allow_replay', 'on'))


def layouts(good):
    """Packets that are not what they say."""
    yield 'garbage behind', packet(good + b'xyz')
    yield 'a zero behind', packet(good + b'\0')
    yield 'pairs behind', packet(good + pairs('user', 'nobody'))
    yield 'a token behind', packet(good + pairs('pgwire_trace.carrier', TOKEN))
    yield 'no end', packet(good[:-1])
    yield 'a name without a value', packet(good[:-1] + b'foo\0')
    yield 'a name without an end', packet(good[:-1] + b'foo')
    yield 'a value without an end', packet(good[:-1] + b'foo\0bar')
    yield 'nothing at all', packet(b'')
    for length in (0, 4, 7, 8, 10, 10001, 0x7fffffff, 0x80000000, 0xffffffff):
        yield f'length {length}', packet(good, length=length)
    yield 'one byte less', packet(good, length=len(good) + 7)
    yield 'one byte more', packet(good, length=len(good) + 9)
    yield 'one byte', b'\0'
    yield 'HTTP', b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'


def requests(good):
    """Other versions, and what is no StartupMessage."""
    for version in (0x30001, 0x30002, 0x30003, 0x3270f, 0x20000, 0x40000, 0, 1, 0xffffffff):
        yield f'version {version:x}', packet(good, version)
        yield f'version {version:x}, bare', packet(b'', version)
    yield 'SSLRequest of 12 bytes', request(SSL, 12) + b'abcd'
    yield 'GSSENCRequest of 12 bytes', request(GSS, 12) + b'abcd'
    yield 'SSLRequest and more', request(SSL) + packet(good)
    for size in (0, 4, 8, 260, 2000, 9992):
        yield f'a cancel request with {size} bytes', request(CANCEL, 8 + size) + b'k' * size


def all_packets(user):
    good = pairs('user', user, 'database', 'postgres')
    yield 'a good one', packet(good)
    for name, body in names(user):
        yield name, packet(body)
    for name, value in parameters():
        yield f'{name}={value}'[:40], packet(good[:-1] + pairs(name, value))
    yield 'replication twice', packet(good[:-1] + pairs('replication', 'true', 'replication', 'false'))
    yield 'a token', packet(good[:-1] + pairs('pgwire_trace.carrier', TOKEN))
    yield 'a Token', packet(good[:-1] + pairs('PgWire_Trace.CARRIER', TOKEN))
    yield 'two options of 3.2', packet(good[:-1] + pairs('_pq_.a', '1', '_pq_.b', '2'), 0x30002)
    yield from layouts(good)
    yield from requests(good)


def answer(port, data, is_last):
    """Returns all that is answered, up to the first ReadyForQuery."""
    received = b''
    with socket.create_connection(('127.0.0.1', port), timeout=TIMEOUT) as connection:
        try:
            connection.sendall(data)
            if is_last:
                connection.shutdown(socket.SHUT_WR)
            while b'Z\0\0\0\5' not in received:
                piece = connection.recv(65536)
                if not piece:
                    break
                received += piece
        except TimeoutError:
            received += b'?'
        except OSError:
            pass
    return received


def told(received):
    """Returns an answer in words."""
    words = []
    while received:
        kind = received[:1].decode(errors='replace')
        if len(received) < 5 or kind in 'NG':
            words.append(kind)
            received = received[1:]
            continue
        length = struct.unpack('!I', received[1:5])[0]
        body, received = received[5:1 + length], received[1 + length:]
        if kind == 'E':
            fields = {item[:1]: item[1:].decode(errors='replace') for item in body.split(b'\0')}
            # to protocol 2 and older an error is a text and nothing else
            kind = f"E {fields.get(b'C', '')} {fields.get(b'M', '')}"
        elif kind == 'R':
            kind += str(struct.unpack('!I', body[:4])[0])
        elif kind == 'v':
            kind += body.hex()
        elif kind == 'S':
            kind = body.decode(errors='replace').replace('\0', '=')
        words.append(kind)
    return '; '.join(words) or 'closed'


def main(ports, user):
    count = 0
    for name, data in all_packets(user):
        for is_last in (False, True):
            says = [told(answer(int(port), data, is_last)) for port in ports]
            count += 1
            if says[0] != says[1]:
                print(f"{name}{', no more' if is_last else ''}", *says, sep='\t')
    print(count)


main(sys.argv[1:3], sys.argv[3])
