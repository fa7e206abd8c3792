"""psycopg 3 through the side port: prepared statements, pipeline mode, COPY both ways, binary.

Prints one line for each thing that went as it should.
"""
import sys

import psycopg


def main(conninfo):
    with psycopg.connect(conninfo, application_name='psycopg', autocommit=True) as connection:
        connection.execute('create temp table t (n int primary key, s text)')

        with connection.cursor().copy('copy t from stdin') as copy:
            for n in range(100):
                copy.write_row((n, f'row {n}'))
        with connection.cursor().copy('copy t to stdout') as copy:
            print('copied', sum(1 for _ in copy.rows()))

        rows = [connection.execute('select s from t where n = %s', (n,), prepare=True).fetchone()[0]
                for n in range(10)]
        print('prepared', rows == [f'row {n}' for n in range(10)])

        binary = connection.cursor(binary=True)
        print('binary', binary.execute('select %s::int8, null::text, %b::bytea',
                                       (2**40, b'\x00\xff')).fetchone())

        with connection.pipeline():
            cursors = [connection.execute('select %s::int + 1', (n,)) for n in range(50)]
        print('pipeline', [c.fetchone()[0] for c in cursors] == list(range(1, 51)))

        try:
            with connection.pipeline():
                connection.execute('select 1/%s', (0,))
                connection.execute('select 2')
        except psycopg.Error as error:
            print('pipeline error', error.sqlstate)

        with connection.transaction():
            server_side = connection.cursor('walk')
            server_side.execute('select n from t order by n')
            server_side.itersize = 7
            print('cursor', sum(row[0] for row in server_side))


if __name__ == '__main__':
    main(sys.argv[1])
