#!/usr/bin/python3
"""Records what pgoutput sends in all versions of its protocol, beside an independent reading of it.

    record_pgoutput.py PORT > pgoutput18.tsv

PORT is that of a server of the version to be pinned, on 127.0.0.1; README.md beside this file says
what it must be like. The same work is done once, and read through a slot for each protocol version.

Each line of the output is a CopyData message: version of the protocol (and whether transactions
were streamed), number, bytes in hexadecimal, and what they hold, as JSON in the form that
decode_messages() gives. That reading is made here, after the documentation's chapter on logical
replication messages; nothing of the extension's is used.
"""
import json
import socket
import struct
import sys

OPTIONS = {'1': "messages 'true'",
           '2': "messages 'true', streaming 'on'",
           '3': "messages 'true', streaming 'on', two_phase 'on'",
           '4': "messages 'true', streaming 'parallel', two_phase 'on'"}

# with what versions, and whether transactions are sent before they end
RUNS = (('1', False), ('2', True), ('3', False), ('3', True), ('4', False), ('4', True))

SETUP = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE keyed (id int PRIMARY KEY, name text, feeling mood, large text);
ALTER TABLE keyed ALTER large SET STORAGE EXTERNAL;
CREATE TABLE whole (a int, b text);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT pg_replication_origin_create('elsewhere')
"""

# a line a statement
WORK = """
INSERT INTO keyed VALUES (1, 'first', 'ok', repeat('x', 2100)), (2, NULL, NULL, '')
UPDATE keyed SET name = 'grüße' WHERE id = 1
UPDATE keyed SET id = 3 WHERE id = 2
DELETE FROM keyed WHERE id = 3
BEGIN
INSERT INTO whole VALUES (1, 'a'), (2, NULL)
UPDATE whole SET b = 'b' WHERE a = 1
DELETE FROM whole WHERE a = 2
SELECT pg_logical_emit_message(true, 'inside', 'a message of the transaction')
COMMIT
SELECT pg_logical_emit_message(false, 'outside', '\\x00ff'::bytea)
TRUNCATE keyed, whole RESTART IDENTITY CASCADE
SELECT pg_replication_origin_session_setup('elsewhere')
BEGIN
SELECT pg_replication_origin_xact_setup('0/ABCDEF', '2020-01-01 00:00:00+00')
INSERT INTO whole VALUES (7, 'from elsewhere')
COMMIT
SELECT pg_replication_origin_session_reset()
BEGIN
INSERT INTO whole VALUES (10, 'prepared')
PREPARE TRANSACTION 'gid one'
COMMIT PREPARED 'gid one'
BEGIN
INSERT INTO whole VALUES (11, 'rolled back')
PREPARE TRANSACTION 'gid two'
ROLLBACK PREPARED 'gid two'
"""

STREAMED = """
BEGIN
INSERT INTO keyed VALUES (100, 'streamed', 'sad', '')
SAVEPOINT s
INSERT INTO whole VALUES (101, 'of a subtransaction')
ROLLBACK TO s
SELECT pg_logical_emit_message(true, 'streamed', 'a message of the transaction')
UPDATE keyed SET name = 'changed' WHERE id = 100
TRUNCATE whole
COMMIT
BEGIN
INSERT INTO whole VALUES (102, 'never')
ROLLBACK
BEGIN
INSERT INTO whole VALUES (103, 'streamed and prepared')
PREPARE TRANSACTION 'gid three'
COMMIT PREPARED 'gid three'
"""


class Connection:
    """Speaks just enough of the protocol."""

    def __init__(self, port, **parameters):
        self.socket = socket.create_connection(('127.0.0.1', port))
        self.left = b''
        parameters = {'user': 'postgres', 'database': 'postgres', **parameters}
        body = struct.pack('>i', 196608) + b''.join(
            k.encode() + b'\0' + v.encode() + b'\0' for k, v in parameters.items()) + b'\0'
        self.socket.sendall(struct.pack('>i', len(body) + 4) + body)
        self.until(b'Z')

    def read(self, count):
        while len(self.left) < count:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.left += data
        data, self.left = self.left[:count], self.left[count:]
        return data

    def message(self):
        head = self.read(5)
        message = head + self.read(struct.unpack('>I', head[1:])[0] - 4)
        if head[:1] == b'E':
            raise RuntimeError(message)
        return message

    def until(self, kind):
        while self.message()[:1] != kind:
            pass

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack('>I', len(body) + 4) + body)

    def run(self, text):
        self.send(b'Q', text.encode() + b'\0')
        self.until(b'Z')


class Reader:
    """Reads fields one after the other, as the documentation lists them."""

    def __init__(self, data):
        self.data = data

    def take(self, count):
        data, self.data = self.data[:count], self.data[count:]
        assert len(data) == count
        return data

    def number(self, count, signed=False):
        return int.from_bytes(self.take(count), 'big', signed=signed)

    def lsn(self):
        return '%X/%08X' % (self.number(4), self.number(4))

    def time(self):
        return self.number(8, True)

    def string(self):
        text, _, self.data = self.data.partition(b'\0')
        return text.decode()

    def value(self, size=None):
        data = self.take(self.number(4) if size is None else size)
        if b'\0' in data:
            return {'hex': data.hex()}
        return data.decode()

    def tuple(self):
        def column():
            kind = self.take(1)
            return {b'n': lambda: None, b'u': lambda: {'unchanged': True}, b't': self.value}[kind]()
        return [column() for _ in range(self.number(2))]


def read_change(data, state):
    """Reads a message of pgoutput's."""
    r = Reader(data)
    kind = r.take(1)
    streamed = kind in b'MRYIUDT'
    body = {'xid': r.number(4) if state['in_stream'] else None} if streamed else {}
    if kind == b'B':
        name, body = 'begin', {'final': r.lsn(), 'committed_at': r.time(), 'xid': r.number(4)}
    elif kind == b'M':
        name = 'message'
        body |= {'flags': r.number(1), 'lsn': r.lsn(), 'prefix': r.string(), 'content': r.value()}
    elif kind == b'C':
        name = 'commit'
        body = {'flags': r.number(1), 'commit': r.lsn(), 'end': r.lsn(), 'committed_at': r.time()}
    elif kind == b'O':
        name, body = 'origin', {'commit': r.lsn(), 'name': r.string()}
    elif kind == b'R':
        name = 'relation'
        body |= {'relation_oid': r.number(4), 'schema': r.string(), 'name': r.string(),
                 'replica_identity': r.take(1).decode()}
        body['columns'] = [{'flags': r.number(1), 'name': r.string(), 'type_oid': r.number(4),
                            'type_modifier': r.number(4, True)} for _ in range(r.number(2))]
    elif kind == b'Y':
        name = 'type'
        body |= {'type_oid': r.number(4), 'schema': r.string(), 'name': r.string()}
    elif kind in (b'I', b'U', b'D'):
        name = {b'I': 'insert', b'U': 'update', b'D': 'delete'}[kind]
        body['relation_oid'] = r.number(4)
        if kind != b'I':
            body |= {'key': None, 'old': None}
        while r.data:
            key = {b'K': 'key', b'O': 'old', b'N': 'new'}[r.take(1)]
            body[key] = r.tuple()
    elif kind == b'T':
        name, count = 'truncate', r.number(4)
        body |= {'options': r.number(1), 'relation_oids': [r.number(4) for _ in range(count)]}
    elif kind == b'S':
        name, body = 'stream_start', {'xid': r.number(4), 'is_first': r.number(1)}
        state['in_stream'] = True
    elif kind == b'E':
        name, body = 'stream_stop', {}
        state['in_stream'] = False
    elif kind == b'c':
        name = 'stream_commit'
        body = {'xid': r.number(4), 'flags': r.number(1), 'commit': r.lsn(), 'end': r.lsn(),
                'committed_at': r.time()}
    elif kind == b'A':
        name, body = 'stream_abort', {'xid': r.number(4), 'subtransaction_xid': r.number(4)}
        body['abort'] = r.lsn() if r.data else None
        body['aborted_at'] = r.time() if r.data else None
    elif kind == b'b':
        name = 'begin_prepare'
        body = {'prepare': r.lsn(), 'end': r.lsn(), 'prepared_at': r.time(), 'xid': r.number(4),
                'gid': r.string()}
    elif kind in (b'P', b'p'):
        name = 'prepare' if kind == b'P' else 'stream_prepare'
        body = {'flags': r.number(1), 'prepare': r.lsn(), 'end': r.lsn(), 'prepared_at': r.time(),
                'xid': r.number(4), 'gid': r.string()}
    elif kind == b'K':
        name = 'commit_prepared'
        body = {'flags': r.number(1), 'commit': r.lsn(), 'end': r.lsn(), 'committed_at': r.time(),
                'xid': r.number(4), 'gid': r.string()}
    elif kind == b'r':
        name = 'rollback_prepared'
        body = {'flags': r.number(1), 'prepare_end': r.lsn(), 'end': r.lsn(), 'prepared_at': r.time(),
                'rolled_back_at': r.time(), 'xid': r.number(4), 'gid': r.string()}
    else:
        raise ValueError(data)
    assert not r.data, (data, r.data)
    return {name: body}


def read_copy_data(body, state):
    """Reads what a CopyData message holds."""
    r = Reader(body)
    if r.take(1) == b'k':
        return {'primary_keepalive': {'end': r.lsn(), 'sent_at': r.time(),
                                      'reply_requested': r.number(1)}}
    return {'xlog_data': {'start': r.lsn(), 'end': r.lsn(), 'sent_at': r.time(),
                          'data': read_change(r.data, state)}}


def receive(port, version, is_streamed, end):
    """Prints all that a slot sends, up to the place where the work ended."""
    when = 'immediate' if is_streamed else 'buffered'
    connection = Connection(port, replication='database',
                            options=f'-c debug_logical_replication_streaming={when}')
    run = version + ' streamed' if is_streamed else version
    connection.send(b'Q', (f"START_REPLICATION SLOT v{version} LOGICAL 0/0 (proto_version '{version}', "
                           f"publication_names 'everything', {OPTIONS[version]})").encode() + b'\0')
    connection.until(b'W')
    state = {'in_stream': False}
    number = 0
    while True:
        message = connection.message()
        held = read_copy_data(message[5:], state)
        keepalive = held.get('primary_keepalive')
        if keepalive and number > 0 and keepalive['reply_requested'] == 0 and keepalive['end'] < end:
            continue  # how many there are is chance
        number += 1
        text = json.dumps(held, ensure_ascii=False).replace('\\', '\\\\')
        print(run, number, message.hex(), text, sep='\t')
        if keepalive and keepalive['end'] >= end:
            break
    connection.socket.close()


def main(port):
    work = Connection(port)
    for statement in SETUP.strip().split(';\n'):
        work.run(statement)
    for version in OPTIONS:
        slots = Connection(port, replication='database')
        slots.run(f'CREATE_REPLICATION_SLOT v{version} LOGICAL pgoutput'
                  + (' (TWO_PHASE)' if version in '34' else ''))
        slots.socket.close()
    for statement in (WORK + STREAMED).strip().split('\n'):
        if statement:
            work.run(statement)
    work.send(b'Q', b"SELECT pg_current_wal_lsn()\0")
    end = work.message() and work.message()
    end = '%X/%08X' % tuple(int(part, 16) for part in end[11:].decode().split('/'))
    work.until(b'Z')
    for version, is_streamed in RUNS:
        receive(port, version, is_streamed, end)  # nothing is confirmed, so all is sent again


if __name__ == '__main__':
    main(int(sys.argv[1]))
