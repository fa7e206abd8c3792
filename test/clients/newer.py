"""What libpq can do from 17 on, through psycopg.

    newer.py CONNINFO cancel     cancels its own query with PQcancelBlocking; prints the SQLSTATE and
                                 how long the connection's key is used for (its protocol)
    newer.py PORT alpn [NAME]    TLS without SSLRequest, with that application protocol or none;
                                 prints what becomes of a startup packet
"""
import os
import pwd
import socket
import ssl
import struct
import sys
import threading

USER = os.environ.get('PGUSER', pwd.getpwuid(os.getuid()).pw_name)


def cancel(conninfo):
    import psycopg
    if not psycopg.capabilities.has_cancel_safe():
        raise SystemExit('this libpq has no PQcancelBlocking')
    with psycopg.connect(conninfo, autocommit=True) as connection, \
            psycopg.connect(conninfo, autocommit=True) as watcher:
        pid = connection.info.backend_pid
        answer = []

        def sleep():
            try:
                connection.execute("select pg_sleep(60), 'asleep'")
            except psycopg.Error as error:
                answer.append(error.sqlstate)

        sleeper = threading.Thread(target=sleep)
        sleeper.start()
        for _ in range(600):
            if watcher.execute("select wait_event = 'PgSleep' from pg_stat_activity where pid = %s",
                               (pid,)).fetchone()[0]:
                break
            sleeper.join(0.1)
        connection.cancel_safe(timeout=30)
        sleeper.join(60)
        print(answer[0] if answer else 'not cancelled')


def alpn(port, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if names:
        context.set_alpn_protocols(list(names))
    body = struct.pack('!I', 3 << 16) + f'user\0{USER}\0database\0postgres\0\0'.encode()
    try:
        with context.wrap_socket(socket.create_connection(('127.0.0.1', port), timeout=30)) as tls:
            tls.sendall(struct.pack('!I', len(body) + 4) + body)
            answer = tls.recv(1)
        print('answered' if answer == b'R' else 'closed')
    except ssl.SSLError as error:
        print(error.reason)
    except ConnectionError:
        print('closed')


if __name__ == '__main__':
    if sys.argv[2] == 'cancel':
        cancel(sys.argv[1])
    else:
        alpn(int(sys.argv[1]), *sys.argv[3:])
