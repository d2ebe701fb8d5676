"""What enqueue does with a connection of the application's: runs its steps in the transaction that is open there.

A `Caller` is awaited, a `BlockingCaller` is not, and none of either begins a transaction of the application's nor
ends it. A connection that commits every statement by itself is refused: commit and rollback would mean nothing.

Here are those of SQLAlchemy and of the standard library; those of other drivers are in `driver_callers`, and
Django's in `django_callers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from dovecote.errors import UnsupportedConnection
from dovecote.stores.borrowed import OverDriver, OverSQLAlchemy, as_connection

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from dovecote.stores.borrowed import Borrowed
    from dovecote.stores.enqueue_statements import Query, Rows, Steps

T = TypeVar("T")


class Target(Protocol):
    """Where a connection leads to. `dialect` is its SQL; `origin` tells connections to one database apart."""

    dialect: str
    origin: object | None
    """Weakly referenced by whoever remembers it; None when it cannot be."""


class Caller(Target, Protocol):
    """The application's transaction, awaited."""

    async def run(self, steps: Steps[T]) -> T:
        """Run the steps in the transaction; errors of the driver come out as they are."""

    async def call(self, function: Callable[[Connection], T]) -> T:
        """Call the function with what executes Core statements in the transaction, and does nothing else."""


class BlockingCaller(Target, Protocol):
    """The application's transaction, over a driver that blocks."""

    def run_blocking(self, steps: Steps[T]) -> T:
        """Run the steps in the transaction; errors of the driver come out as they are."""

    def call_blocking(self, function: Callable[[Connection], T]) -> T:
        """Call the function with what executes Core statements in the transaction, and does nothing else."""


class Directly:
    """A blocking connection under `await`: the event loop waits for it, as it waits for the application's own use."""

    def __init__(self, caller: BlockingCaller) -> None:
        """Take the connection as `enqueue_sync` would use it."""
        self._caller = caller
        self.dialect = caller.dialect
        self.origin = caller.origin

    async def run(self, steps: Steps[T]) -> T:
        """See `Caller.run`."""
        return self._caller.run_blocking(steps)

    async def call(self, function: Callable[[Connection], T]) -> T:
        """See `Caller.call`."""
        return self._caller.call_blocking(function)


def drive(steps: Steps[T], execute: Callable[[Query], Rows]) -> T:
    """Run steps over a driver that blocks."""
    try:
        query = next(steps)
        while True:
            query = steps.send(execute(query))
    except StopIteration as end:
        answer: T = end.value
        return answer


class SQLAlchemyCaller:
    """A Connection of SQLAlchemy, or a Session's."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection."""
        self._connection = connection
        self.dialect = connection.dialect.name
        self.origin: object | None = connection.engine

    def run_blocking(self, steps: Steps[T]) -> T:
        """See `BlockingCaller.run_blocking`."""
        return run_on_sqlalchemy(self._connection, steps)

    def call_blocking(self, function: Callable[[Connection], T]) -> T:
        """See `BlockingCaller.call_blocking`."""
        return _call_on_sqlalchemy(self._connection, function)


class AwaitedSQLAlchemyCaller:
    """An AsyncConnection of SQLAlchemy, or an AsyncSession's."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Take the connection."""
        self._connection = connection
        self.dialect = connection.dialect.name
        self.origin: object | None = connection.sync_engine

    async def run(self, steps: Steps[T]) -> T:
        """See `Caller.run`."""
        return await self._connection.run_sync(run_on_sqlalchemy, steps)

    async def call(self, function: Callable[[Connection], T]) -> T:
        """See `Caller.call`."""
        return await self._connection.run_sync(_call_on_sqlalchemy, function)


def run_on_sqlalchemy(connection: Connection, steps: Steps[T]) -> T:
    """Run steps over a connection of SQLAlchemy. Raises UnsupportedConnection for one that commits by itself."""
    _begin_on_sqlalchemy(connection)

    def execute(query: Query) -> Rows:
        # A cursor on the server, which the application may have chosen for its own reading, cannot write.
        result = connection.execute(query.statement.text, query.parameters, execution_options={"stream_results": False})
        return result.all() if result.returns_rows else ()

    return drive(steps, execute)


def run_within(connection: Connection | Borrowed, steps: Steps[T]) -> T:
    """Run steps over what a function of ours was called with: a connection of our own, or a borrowed one."""
    if isinstance(connection, OverSQLAlchemy | OverDriver):
        return connection.run(steps)
    return run_on_sqlalchemy(cast("Connection", connection), steps)


def _call_on_sqlalchemy(connection: Connection, function: Callable[[Connection], T]) -> T:
    _begin_on_sqlalchemy(connection)
    return function(as_connection(OverSQLAlchemy(connection, run_on_sqlalchemy)))


def _begin_on_sqlalchemy(connection: Connection) -> None:
    """Begin as its own first statement would. Raises UnsupportedConnection for one that commits by itself."""
    if not connection.in_transaction():
        connection.begin()  # As its own first statement would; the application commits it as it commits that.
    if _sqlalchemy_commits_by_itself(connection):
        raise UnsupportedConnection(
            "the connection's isolation level is AUTOCOMMIT, so it would commit by itself whatever becomes of the"
            " rest: pass one with another isolation level."
        )


def _sqlalchemy_commits_by_itself(connection: Connection) -> bool:
    raw = connection.connection
    if connection.dialect.name != "sqlite":
        return bool(getattr(raw.dbapi_connection, "autocommit", False))
    adapted: Any = raw.dbapi_connection
    if connection.dialect.is_async:
        return bool(adapted.run_async(aiosqlite_commits_by_itself))
    return commits_by_itself(raw.driver_connection)


class SQLiteCaller:
    """A connection of the standard library."""

    dialect = "sqlite"
    # It takes no weak references, and asking SQLite each time costs microseconds.
    origin: object | None = None

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take the connection. Raises UnsupportedConnection for one that commits by itself."""
        if commits_by_itself(connection):
            raise UnsupportedConnection(
                "the sqlite3 connection is not in a transaction and commits each statement by itself: execute BEGIN"
                " first, or connect without isolation_level=None and autocommit=True."
            )
        self._connection = connection

    def run_blocking(self, steps: Steps[T]) -> T:
        """See `BlockingCaller.run_blocking`."""
        return drive(steps, lambda query: self._fetch(query.statement.named, query.parameters))

    def call_blocking(self, function: Callable[[Connection], T]) -> T:
        """See `BlockingCaller.call_blocking`."""
        return function(as_connection(OverDriver(self.dialect, self._fetch, self.run_blocking)))

    def _fetch(self, sql: str, parameters: Any) -> Rows:
        cursor = self._connection.cursor()
        cursor.row_factory = None  # The application's own may answer anything.
        try:
            return cursor.execute(sql, parameters).fetchall()
        finally:
            cursor.close()


def commits_by_itself(connection: Any) -> bool:
    """Whether a connection of sqlite3 is outside a transaction and will not begin one."""
    # `autocommit` came with Python 3.12; where it is true or false, `isolation_level` means nothing.
    autocommit = getattr(connection, "autocommit", None)
    begins = autocommit is False or (autocommit is not True and connection.isolation_level is not None)
    return not (begins or connection.in_transaction)


async def aiosqlite_commits_by_itself(connection: Any) -> bool:
    """The same of a connection of aiosqlite."""
    # Since Python 3.12 the thread that it was opened in alone may ask, and no public method of aiosqlite's does.
    answer: bool = await connection._execute(commits_by_itself, connection._conn)  # noqa: SLF001 (as said above)
    return answer
