"""The connections that enqueue writes through: what the application has already, whichever it is.

Each becomes a `Caller`, which runs steps, or a function over a Connection, in the transaction that is open on it and
never begins one of the application's nor ends it. A connection that commits every statement by itself is refused:
commit and rollback would mean nothing. No driver is imported here; an object of one is met only after the application
has imported it.

Session, Connection and sqlite3 are executed directly: the event loop is blocked for as long as the statements take,
and the application that chose them blocks it with its own.
"""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only, greenlet_spawn

from dovecote.errors import UnsupportedConnection
from dovecote.stores.borrowed import OverDriver, OverSQLAlchemy, as_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovecote.stores.borrowed import Borrowed
    from dovecote.stores.enqueue_statements import Query, Rows, Steps

T = TypeVar("T")

TAKEN: Final = (
    "enqueue takes an AsyncSession, AsyncConnection, Session or Connection of SQLAlchemy, a connection of asyncpg,"
    " or a sqlite3.Connection"
)
# SQLAlchemy's words for what stands in a session that has not been told where to.
NO_BIND = "pass `await session.connection(bind_arguments=...)` for the outbox's engine, so that it is known which"


class Caller(Protocol):
    """The application's transaction. `dialect` is its SQL; `origin` tells connections to one database apart."""

    dialect: str
    origin: object | None
    """Weakly referenced by whoever remembers it; None when it cannot be."""

    async def run(self, steps: Steps[T]) -> T:
        """Run the steps in the transaction; errors of the driver come out as they are."""

    async def call(self, function: Callable[[Connection], T]) -> T:
        """Call the function with what executes Core statements in the transaction, and does nothing else."""


async def caller_of(connection: object) -> Caller:
    """Take the application's connection. Raises UnsupportedConnection for all others, and outside a transaction."""
    asyncpg = sys.modules.get("asyncpg")
    try:
        match connection:
            case AsyncSession():
                return _AwaitedSQLAlchemy(await connection.connection())
            case AsyncConnection():
                return _AwaitedSQLAlchemy(connection)
            case Session():
                return _SQLAlchemy(connection.connection())
            case Connection():
                return _SQLAlchemy(connection)
            case sqlite3.Connection():
                return _SQLite(connection)
    except UnboundExecutionError as error:
        raise UnsupportedConnection(f"the session has no single bind: {NO_BIND}.") from error
    if asyncpg is not None and isinstance(connection, (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy)):
        return _Asyncpg(connection)
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    raise UnsupportedConnection(
        f"a {kind} is no connection in a transaction that is known: {TAKEN}{_hint(connection)}."
    )


def _hint(connection: object) -> str:
    if hasattr(connection, "acquire") or hasattr(connection, "connect"):
        return "; take a connection of this one and begin a transaction on it"
    if callable(connection):
        return "; call this one and pass what it answers"
    return ""


def drive(steps: Steps[T], execute: Callable[[Query], Rows]) -> T:
    """Run steps over a driver that blocks."""
    try:
        query = next(steps)
        while True:
            query = steps.send(execute(query))
    except StopIteration as end:
        answer: T = end.value
        return answer


class _SQLAlchemy:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect.name
        self.origin: object | None = connection.engine

    async def run(self, steps: Steps[T]) -> T:
        return run_on_sqlalchemy(self._connection, steps)

    async def call(self, function: Callable[[Connection], T]) -> T:
        return _call_on_sqlalchemy(self._connection, function)


class _AwaitedSQLAlchemy:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.dialect = connection.dialect.name
        self.origin: object | None = connection.sync_engine

    async def run(self, steps: Steps[T]) -> T:
        return await self._connection.run_sync(run_on_sqlalchemy, steps)

    async def call(self, function: Callable[[Connection], T]) -> T:
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
    raw = connection.connection
    by_itself = (
        _commits_by_itself(raw.driver_connection)
        if connection.dialect.name == "sqlite"
        else bool(getattr(raw.dbapi_connection, "autocommit", False))
    )
    if by_itself:
        raise UnsupportedConnection(
            "the connection's isolation level is AUTOCOMMIT, so it would commit by itself whatever becomes of the"
            " rest: pass one with another isolation level."
        )


class _SQLite:
    dialect = "sqlite"
    # It takes no weak references, and asking SQLite each time costs microseconds.
    origin: object | None = None

    def __init__(self, connection: sqlite3.Connection) -> None:
        if _commits_by_itself(connection):
            raise UnsupportedConnection(
                "the sqlite3 connection is not in a transaction and commits each statement by itself: execute BEGIN"
                " first, or connect without isolation_level=None and autocommit=True."
            )
        self._connection = connection

    async def run(self, steps: Steps[T]) -> T:
        return self._run(steps)

    async def call(self, function: Callable[[Connection], T]) -> T:
        return function(as_connection(OverDriver(self.dialect, self._fetch, self._run)))

    def _run(self, steps: Steps[T]) -> T:
        return drive(steps, lambda query: self._fetch(query.statement.named, query.parameters))

    def _fetch(self, sql: str, parameters: Any) -> Rows:
        cursor = self._connection.cursor()
        cursor.row_factory = None  # The application's own may answer anything.
        try:
            return cursor.execute(sql, parameters).fetchall()
        finally:
            cursor.close()


def _commits_by_itself(connection: Any) -> bool:
    """Whether a connection of sqlite3, or of aiosqlite, is outside a transaction and will not begin one."""
    # `autocommit` came with Python 3.12; where it is true or false, `isolation_level` means nothing.
    autocommit = getattr(connection, "autocommit", None)
    begins = autocommit is False or (autocommit is not True and connection.isolation_level is not None)
    return not (begins or connection.in_transaction)


class _Asyncpg:
    dialect = "postgresql"

    def __init__(self, connection: Any) -> None:
        if not connection.is_in_transaction():
            raise UnsupportedConnection(
                "the asyncpg connection is not in a transaction, so each statement would commit by itself: write"
                " `async with connection.transaction():` around."
            )
        self._connection = connection
        # What a pool lends is a stand-in that takes no weak references; the connection behind it does.
        self.origin: object | None = getattr(connection, "_con", connection)

    async def run(self, steps: Steps[T]) -> T:
        try:
            query = next(steps)
            while True:
                arguments = [query.parameters[name] for name in query.statement.names]
                query = steps.send(await self._connection.fetch(query.statement.numbered, *arguments))
        except StopIteration as end:
            answer: T = end.value
            return answer

    async def call(self, function: Callable[[Connection], T]) -> T:
        # The function does not wait for anything itself: SQLAlchemy's greenlets wait for it.
        borrowed = as_connection(OverDriver(self.dialect, self._fetch, self._drive))
        answer: T = await greenlet_spawn(function, borrowed)
        return answer

    def _fetch(self, sql: str, arguments: Sequence[Any]) -> Rows:
        rows: Rows = await_only(self._connection.fetch(sql, *arguments))
        return rows

    def _drive(self, steps: Steps[T]) -> T:
        return await_only(self.run(steps))
