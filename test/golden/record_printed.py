#!/usr/bin/python3
"""Records golden pairs of messages that no libpq program sends or gets: what libpq's printer makes
of them.

    record_printed.py PRINT CHROOT > pqprint18.tsv

PRINT is print.c beside this file, built with the libpq whose printing is to be pinned, run in
CHROOT. The output has the columns of pqtrace18.tsv, so that both are compared alike.
"""
import struct
import subprocess
import sys

from record import escape


def i16(*numbers):
    return b''.join(struct.pack('>h', n) for n in numbers)


def i32(*numbers):
    return b''.join(struct.pack('>i', n) for n in numbers)


def string(text):
    return text.encode() + b'\0'


def value(data):
    return i32(-1) if data is None else i32(len(data)) + data


def column(name, *rest):
    return string(name) + struct.pack('>ihihih', *rest)


STARTUP = (  # name of the answer, where it is a single byte
    ('untyped', i32(8, 80877104)), ('GSSENCResponse', b'N'),
    ('untyped', i32(8, 80877103)), ('SSLResponse', b'N'),
    ('untyped', i32(33, 196610) + string('user') + string('alice') + string('_pq_.grease') + b'\0\0'),
    ('B', b'v', i32(196608, 1) + string('_pq_.grease')),
    ('B', b'K', i32(4711) + b'0123456789abcdef'),
    ('B', b'Z', b'I'), ('F', b'X', b''))

GSS = (
    ('untyped', i32(8, 80877104)), ('GSSENCResponse', b'G'))

MESSAGES = (
    # an Execute with a limit, which libpq never sends, and what answers it
    ('F', b'P', string('') + string('select 1') + i16(0)),
    ('F', b'B', string('p') + string('') + i16(2, 0, 1) + i16(3) + value(b'text') + value(b'\0\1')
     + value(None) + i16(1, 1)),
    ('F', b'D', b'P' + string('p')), ('F', b'E', string('p') + i32(2)), ('F', b'H', b''),
    ('B', b'1', b''), ('B', b'2', b''),
    ('B', b'T', i16(2) + column('a', 16385, 1, 23, 4, -1, 1) + column('', 0, 0, 25, -1, 12, 0)),
    ('B', b'D', i16(2) + value(b'\0\0\0\1') + value('grüße'.encode())),
    ('B', b'D', i16(2) + value(None) + value(b'')), ('B', b's', b''),
    ('F', b'E', string('p') + i32(-1)), ('F', b'C', b'P' + string('p')), ('F', b'C', b'S' + string('s')),
    ('F', b'S', b''), ('B', b'C', string('SELECT 0')), ('B', b'3', b''), ('B', b'3', b''),
    ('B', b'Z', b'T'),
    # a function call in all its parts
    ('F', b'F', i32(1000) + i16(1, 1) + i16(2) + value(b'\0\0\0\7') + value(None) + i16(0)),
    ('B', b'V', value(b'7')), ('B', b'V', value(None)), ('B', b'V', value(b'')), ('B', b'Z', b'E'),
    # answers that are rare
    ('B', b'I', b''), ('B', b'n', b''), ('B', b't', i16(0)), ('B', b't', i16(2) + i32(23, 4000000)),
    ('B', b'A', i32(99) + string('channel') + string('')),
    ('B', b'S', string('empty') + string('')),
    ('B', b'N', b'S' + string('WARNING') + b'V' + string('WARNING') + b'C' + string('01000')
     + b'M' + string('a\nb') + b'F' + string('x.c') + b'L' + string('1') + b'R' + string('f') + b'\0'),
    ('B', b'E', b'C' + string('42601') + b'M' + string('no order') + b'S' + string('ERROR') + b'\0'),
    ('B', b'R', i32(7)), ('B', b'R', i32(9)), ('B', b'R', i32(8) + b'token'),
    ('B', b'R', i32(10) + string('SCRAM-SHA-256') + string('SCRAM-SHA-256-PLUS') + b'\0'),
    ('B', b'R', i32(11) + b'r=x'), ('B', b'R', i32(12) + b'v=x'),
    ('B', b'v', i32(196608, 2) + string('_pq_.a') + string('_pq_.b')),
    # COPY both ways
    ('B', b'G', b'\1' + i16(2, 1, 1)), ('F', b'd', b'1\t\\N\n'), ('F', b'f', string('given up')),
    ('F', b'c', b''), ('B', b'H', b'\0' + i16(1, 0)), ('B', b'd', b'a\0b'), ('B', b'c', b''),
    ('B', b'W', b'\0' + i16(0)))


def main(command, chroot):
    for program, messages in (('startup gss', STARTUP), ('startup gss encrypted', GSS),
                              ('printed', MESSAGES)):
        for mode in ('regress', 'full'):
            packed = [(how, rest[0] if len(rest) == 1 else rest[0] + i32(len(rest[1]) + 4) + rest[1])
                      for how, *rest in messages]
            for number, (how, data) in enumerate(packed, 1):
                line = subprocess.run(['chroot', chroot, command], check=True, encoding='utf-8',
                                      input=f'{mode} {how} {data.hex()}\n', errors='surrogateescape',
                                      stdout=subprocess.PIPE).stdout.removesuffix('\n')
                print(program, mode, number, line[0], data.hex(), escape(line), sep='\t')


if __name__ == '__main__':
    main(*sys.argv[1:])
