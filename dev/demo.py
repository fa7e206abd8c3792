"""The demo's application: what a program of some years looks like to the server.

It uses an enum and a composite type, a prepared statement, a COPY, and swallows an error, as
programs do. Run as: demo.py <connection string>; prints nothing.
"""
import sys

import psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum

SCHEMA = """
    create type mood as enum ('grumpy', 'fine', 'happy');
    create type place as (city text, floor int);
    create table person (name text primary key, mood mood, home place);
"""
PEOPLE = [('ann', 'happy', '(Graz,3)'), ('bob', 'grumpy', '(Linz,1)'), ('eve', 'fine', '(Wien,7)')]
LOOK_UP = 'select name, mood, home from person where mood = %t and (home).floor > %t'


def main(conninfo):
    with psycopg.connect(conninfo, application_name='demo.py', autocommit=True) as connection:
        connection.execute(SCHEMA)
        mood = EnumInfo.fetch(connection, 'mood')
        register_enum(mood, connection)
        register_composite(CompositeInfo.fetch(connection, 'place'), connection)

        with connection.cursor().copy('copy person from stdin') as copy:
            for person in PEOPLE:
                copy.write_row(person)

        for wanted in mood.enum:
            connection.execute(LOOK_UP, (wanted, 0), prepare=True).fetchall()

        try:
            connection.execute("insert into person values ('ann', 'fine', null)")
        except psycopg.Error:
            pass  # nobody will ever know


if __name__ == '__main__':
    main(sys.argv[1])
