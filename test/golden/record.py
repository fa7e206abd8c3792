#!/usr/bin/python3
"""Records golden pairs: what passed between a libpq program and a server, and what PQtrace said.

    record.py PQTRACE PORT OLD_PORT [CHROOT] > pqtrace18.tsv

PQTRACE is test/clients/pqtrace, built with the libpq whose printing is to be pinned; with CHROOT
it is run in there, and its path is one inside. PORT is that of a server of the same version on
127.0.0.1, OLD_PORT that of one before 18. See README.md beside this file for what they must be like.

Each line of the output is a message: program, mode (regress or full), number, direction, bytes in
hexadecimal, PQtrace's line (its time left out); in the text format of COPY. Messages stand in
PQtrace's order. ParameterStatus of the startup is kept once. A line of PQtrace's belongs to the message of its direction that is due, so it is
an error when there are more of the one than of the other.
"""
import re
import socket
import struct
import subprocess
import sys
import threading

STARTUPS = {'startup': 'user=postgres', 'startup scram': 'user=scram password=pw',
            'startup password': 'user=plain password=pw', 'startup md5': 'user=md5 password=pw',
            'startup refused': 'user=refused', 'startup tls': 'user=postgres sslmode=prefer',
            'startup 3.2': 'user=postgres min_protocol_version=3.2 max_protocol_version=3.2',
            'startup negotiated': 'user=postgres max_protocol_version=3.2'}

# the others print nothing more in full than these do
FULL = ('startup', 'errors', 'notifications', 'functions', 'prepared', 'copy_in', 'copy_out')


class Proxy:
    """Passes one connection on to the server and keeps all bytes of either direction."""

    def __init__(self, port):
        self.kept = {'F': b'', 'B': b''}
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.server = port
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        client = self.listener.accept()[0]
        server = socket.create_connection(('127.0.0.1', self.server))
        back = threading.Thread(target=self.pump, args=('B', server, client))
        back.start()
        self.pump('F', client, server)
        back.join()

    def pump(self, direction, source, target):
        while data := source.recv(65536):
            self.kept[direction] += data
            target.sendall(data)
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def messages(self):
        """Returns the messages of both directions, each a list; startup packets come first."""
        self.thread.join()
        front, back = self.kept['F'], self.kept['B']
        untyped, answers = [], []
        while front[:1] == b'\0':
            size = struct.unpack('>I', front[:4])[0]
            untyped.append(front[:size])
            front = front[size:]
            if size == 8 and front[:1] == b'\0':  # encryption was refused
                answers.append(back[:1])
                back = back[1:]
        return untyped + split(front), answers + split(back)


def split(data):
    """Splits bytes into messages that have a type byte."""
    found = []
    while data:
        size = 1 + struct.unpack('>I', data[1:5])[0]
        found.append(data[:size])
        data = data[size:]
    return found


def read_trace(path, mode):
    """Returns PQtrace's lines; what follows one without a direction goes on with it."""
    begin = re.compile(r'[FB]\t' if mode == 'regress' else
                       r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\t(?=[FB]\t)')
    lines = []
    with open(path, encoding='utf-8', errors='surrogateescape', newline='') as file:
        for line in file:
            match = begin.match(line)
            if match:
                lines.append(line if mode == 'regress' else line[match.end():])
            else:
                lines[-1] += line
    return [line.removesuffix('\n') for line in lines]


def escape(text):
    """Writes a text as COPY does; bytes that are not UTF-8 as \\xNN, as trace_lines() does."""
    text = re.sub('[\udc80-\udcff]', lambda byte: f'\\x{ord(byte[0]) - 0xdc00:02x}', text)
    return text.replace('\\', '\\\\').replace('\t', '\\t').replace('\n', '\\n').replace('\r', '\\r')


def record(command, chroot, port, name, mode):
    """Runs a program and prints its pairs."""
    program = name.split()[0]
    proxy = Proxy(port)
    conninfo = (f'host=127.0.0.1 port={proxy.port} dbname=postgres gssencmode=disable '
                f'client_encoding=UTF8 application_name={program} ')
    conninfo += STARTUPS.get(name, 'user=postgres')
    if 'sslmode' not in conninfo:
        conninfo += ' sslmode=disable'
    if program == 'copy_both':
        conninfo += ' replication=true'
    other = f'host=127.0.0.1 port={port} dbname=postgres user=postgres'
    subprocess.run((['chroot', chroot] if chroot else []) +
                   ['env', 'LC_ALL=C', f'PQTRACE_OTHER={other}', command, conninfo,
                    '/tmp/pqtrace.out', mode, program], check=True)
    front, back = proxy.messages()
    if program != 'startup':
        back = back[[message[:1] for message in back].index(b'Z') + 1:]
        front = [message for message in front if message[:1] not in (b'\0', b'p')]
    lines = read_trace((chroot or '') + '/tmp/pqtrace.out', mode)
    if not any('\tAuthenticationOk' in line for line in lines):  # libpq 18 does not print it
        back = [message for message in back if message != b'R\0\0\0\x08\0\0\0\0']
    due = {'F': front, 'B': back}
    for number, line in enumerate(lines, 1):
        if name == 'startup' or '\tParameterStatus\t' not in line or program != 'startup':
            print(name, mode, number, line[0], due[line[0]][0].hex(), escape(line), sep='\t')
        del due[line[0]][0]
    if due['F'] or due['B']:
        raise SystemExit(f'{name} {mode}: no line for {due}')


def main(command, port, old_port, chroot=None):
    listed = subprocess.run((['chroot', chroot] if chroot else []) + [command], check=True,
                            capture_output=True, text=True).stdout.split()
    for name in list(STARTUPS) + listed[1:]:
        for mode in ('regress', 'full') if name.split()[0] in FULL else ('regress',):
            record(command, chroot, int(old_port if 'negotiated' in name else port), name, mode)


if __name__ == '__main__':
    main(*sys.argv[1:])
