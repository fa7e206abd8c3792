#!/usr/bin/python3
"""A proxy that records bytes and knows nothing of any protocol.

    recorder.py PORT UPSTREAM_PORT DIRECTORY

Passes connections to PORT on to UPSTREAM_PORT, both of the loopback interface, and writes what passed to
DIRECTORY/<n>.F (from the client) and <n>.B (from the server), where n is the port that its connection
to UPSTREAM_PORT comes from. It passes the bytes on in pieces of random size, from one byte up, so that
messages are cut anywhere. Prints a line when it listens, ends on SIGTERM.
"""
import asyncio
import os
import random
import signal
import socket
import sys

LARGEST = 65536


def no_delay(writer):
    writer.get_extra_info('socket').setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def pass_on(reader, writer, path):
    """Passes one direction on to its end, and the end too. What nobody takes any more is recorded."""
    taken = True
    with open(path, 'wb', buffering=0) as file:
        try:
            while data := await reader.read(2 ** random.randrange(17)):
                file.write(data)
                try:
                    if taken:
                        writer.write(data)
                        await writer.drain()
                except OSError:
                    taken = False
            writer.write_eof()
        except OSError:
            pass


async def main(port, upstream_port, directory):
    async def serve(client_reader, client_writer):
        reader, writer = await asyncio.open_connection('127.0.0.1', upstream_port, limit=LARGEST)
        no_delay(client_writer)
        no_delay(writer)
        name = os.path.join(directory, str(writer.get_extra_info('sockname')[1]))
        # who reads the files waits for this one to go
        with open(name + '.open', 'w', encoding='ascii'):
            pass
        await asyncio.gather(pass_on(client_reader, writer, name + '.F'),
                             pass_on(reader, client_writer, name + '.B'))
        writer.close()
        client_writer.close()
        os.unlink(name + '.open')

    server = await asyncio.start_server(serve, '127.0.0.1', port, limit=LARGEST)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print('listening', flush=True)
    await ended.wait()
    # at once: from Python 3.12 on, closing waits for connections that nobody ends
    server.close()
    os._exit(0)


random.seed(1)
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
