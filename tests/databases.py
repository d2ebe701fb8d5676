"""Databases for tests, on whatever PostgreSQL they are given: fresh ones, copies of a template, counted statements."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAINTENANCE = "postgres"
"""The database that exists in every server. The tests' own statements run there, where nothing is measured."""


class PostgresDatabases:
    """A running PostgreSQL, anybody's: fresh databases for tests, and the statements that each was asked."""

    def __init__(self, url: str) -> None:
        """Take the URL of a database on the server; its user must be allowed to create databases."""
        self.url = url
        self._templates: dict[str, str] = {}

    def url_of(self, database: str) -> str:
        """The URL of `database` on this server."""
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()

    def create_database(self, template: str = "template0") -> str:
        """Create a database from `template`, which nobody may be connected to, and answer its URL."""
        name = f"dovecote_{uuid.uuid4().hex}"
        # Copied as files: with fsync off that is the faster strategy by a half, and it needs no log.
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY = FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return self.url_of(name)

    def template(self, name: str, fill: Callable[[str], None]) -> str:
        """The template that `fill` made, given the URL of an empty database; made once for each `name`.

        `fill` must leave no connection open.
        """
        if name not in self._templates:
            url = self.create_database()
            fill(url)
            self._templates[name] = database_of(url)
        return self._templates[name]

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database_of(url))))

    def drop_templates(self) -> None:
        """Drop what `template` has made."""
        while self._templates:
            _, database = self._templates.popitem()
            self.drop_database(self.url_of(database))

    def statements(self, url: str) -> dict[str, int]:
        """How often each statement was executed in the database of `url`, as the server counted it.

        Whole statements that came from a client and succeeded, BEGIN and COMMIT among them, since the database was
        created or `forget_statements` was called. Raises RuntimeError when the server had to throw counts away.
        """
        with self._statistics() as connection:
            thrown_away = connection.execute("SELECT dealloc FROM pg_stat_statements_info").fetchone()
            if thrown_away != (0,):
                raise RuntimeError(f"the server threw counts away {thrown_away} times: raise pg_stat_statements.max")
            rows = connection.execute(
                """SELECT query, sum(calls)::bigint FROM pg_stat_statements
                   JOIN pg_database ON pg_database.oid = dbid WHERE datname = %s GROUP BY query""",
                [database_of(url)],
            )
            return dict(rows.fetchall())

    def statement_count(self, url: str) -> int:
        """How many statements the database of `url` has executed: the sum of `statements`."""
        return sum(self.statements(url).values())

    def forget_statements(self, url: str) -> None:
        """Count from zero again in the database of `url`."""
        with self._statistics() as connection:
            connection.execute(
                "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = %s", [database_of(url)]
            )

    @contextlib.contextmanager
    def _statistics(self) -> Iterator[psycopg.Connection]:
        # From another database than the one that is measured, so that measuring is not counted.
        with connect(self.url_of(MAINTENANCE)) as connection:
            connection.execute("SELECT pg_advisory_lock(hashtext('dovecote statistics'))")
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            yield connection

    def _execute(self, statement: sql.Composed) -> None:
        with connect(self.url_of(MAINTENANCE)) as connection:
            connection.execute(statement)


def connect(url: str) -> psycopg.Connection:
    """A connection for a test's own statements, each its own transaction; waits 10 s at most for the server."""
    return psycopg.connect(url, autocommit=True, connect_timeout=10)


def database_of(url: str) -> str:
    """The database that a URL names."""
    return urlsplit(url).path.removeprefix("/")
