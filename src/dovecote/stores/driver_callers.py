"""Callers over the drivers themselves: asyncpg, psycopg 3 (blocking and awaited), aiosqlite.

No driver is imported before the application has imported it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from dovecote.errors import UnsupportedConnection
from dovecote.stores.borrowed import OverDriver, as_connection, is_answered
from dovecote.stores.callers import aiosqlite_commits_by_itself, drive

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from sqlalchemy import Connection

    from dovecote.stores.enqueue_statements import Query, Rows, Steps

T = TypeVar("T")


async def drive_awaited(steps: Steps[T], execute: Callable[[Query], Awaitable[Rows]]) -> T:
    """Run steps over a driver that is awaited."""
    try:
        query = next(steps)
        while True:
            query = steps.send(await execute(query))
    except StopIteration as end:
        answer: T = end.value
        return answer


async def call_awaited(
    function: Callable[[Connection], T],
    dialect: str,
    fetch: Callable[[str, Sequence[Any]], Awaitable[Rows]],
    run: Callable[[Steps[Any]], Coroutine[Any, Any, Any]],
) -> T:
    """Call a function that awaits nothing over a driver that is awaited: SQLAlchemy's greenlets wait for it."""

    def fetched(sql: str, arguments: Sequence[Any]) -> Rows:
        rows: Rows = await_only(fetch(sql, arguments))
        return rows

    borrowed = as_connection(OverDriver(dialect, fetched, lambda steps: await_only(run(steps))))
    answer: T = await greenlet_spawn(function, borrowed)
    return answer


class AsyncpgCaller:
    """A connection of asyncpg, also one that a pool lends."""

    dialect = "postgresql"

    def __init__(self, connection: Any) -> None:
        """Take the connection. Raises UnsupportedConnection outside of a transaction."""
        if not connection.is_in_transaction():
            raise UnsupportedConnection(
                "the asyncpg connection is not in a transaction, so each statement would commit by itself: write"
                " `async with connection.transaction():` around."
            )
        self._connection = connection
        # What a pool lends is a stand-in that takes no weak references; the connection behind it does.
        self.origin: object | None = getattr(connection, "_con", connection)

    async def run(self, steps: Steps[T]) -> T:
        """See `Caller.run`."""
        return await drive_awaited(steps, self._execute)

    async def call(self, function: Callable[[Connection], T]) -> T:
        """See `Caller.call`."""
        return await call_awaited(function, self.dialect, self._fetch, self.run)

    async def _fetch(self, sql: str, arguments: Sequence[Any]) -> Rows:
        rows: Rows = await self._connection.fetch(sql, *arguments)
        return rows

    async def _execute(self, query: Query) -> Rows:
        arguments = [query.parameters[name] for name in query.statement.names]
        rows: Rows = await self._connection.fetch(query.statement.numbered, *arguments)
        return rows


class PsycopgCaller:
    """A blocking connection of psycopg 3."""

    dialect = "postgresql"

    def __init__(self, connection: Any) -> None:
        """Take the connection."""
        self._connection = connection
        self.origin: object | None = connection

    def run_blocking(self, steps: Steps[T]) -> T:
        """See `BlockingCaller.run_blocking`. Raises UnsupportedConnection outside of a transaction."""
        from psycopg import Cursor  # noqa: PLC0415 (the application has imported it)
        from psycopg.rows import tuple_row  # noqa: PLC0415 (as above)

        # Neither the connection's own class of cursors nor its row factory: they may be of any kind.
        with _plain(Cursor(self._connection, row_factory=tuple_row)) as cursor:
            if _is_unsure(self._connection):
                cursor.execute("SELECT 1").fetchall()
            _refuse_outside(self._connection, "with connection.transaction():")

            def execute(query: Query) -> Rows:
                cursor.execute(query.statement.formatted, query.parameters)
                return cursor.fetchall() if query.statement.answers else ()

            return drive(steps, execute)

    def call_blocking(self, function: Callable[[Connection], T]) -> T:
        """See `BlockingCaller.call_blocking`. Raises UnsupportedConnection outside of a transaction."""
        from psycopg import RawCursor  # noqa: PLC0415 (the application has imported it)
        from psycopg.rows import tuple_row  # noqa: PLC0415 (as above)

        def fetch(sql: str, arguments: Sequence[Any]) -> Rows:
            with _plain(RawCursor(self._connection, row_factory=tuple_row)) as cursor:
                cursor.execute(sql, list(arguments))
                return cursor.fetchall() if is_answered(sql) else ()

        # Whether there is a transaction, is looked at on the way.
        self.run_blocking(_nothing())
        return function(as_connection(OverDriver(self.dialect, fetch, self.run_blocking)))


class AwaitedPsycopgCaller:
    """An AsyncConnection of psycopg 3."""

    dialect = "postgresql"

    def __init__(self, connection: Any) -> None:
        """Take the connection."""
        self._connection = connection
        self.origin: object | None = connection

    async def run(self, steps: Steps[T]) -> T:
        """See `Caller.run`. Raises UnsupportedConnection outside of a transaction."""
        from psycopg import AsyncCursor  # noqa: PLC0415 (the application has imported it)
        from psycopg.rows import tuple_row  # noqa: PLC0415 (as above)

        async with _plain(AsyncCursor(self._connection, row_factory=tuple_row)) as cursor:
            if _is_unsure(self._connection):
                await (await cursor.execute("SELECT 1")).fetchall()
            _refuse_outside(self._connection, "async with connection.transaction():")

            async def execute(query: Query) -> Rows:
                await cursor.execute(query.statement.formatted, query.parameters)
                return await cursor.fetchall() if query.statement.answers else ()

            return await drive_awaited(steps, execute)

    async def call(self, function: Callable[[Connection], T]) -> T:
        """See `Caller.call`. Raises UnsupportedConnection outside of a transaction."""
        from psycopg import AsyncRawCursor  # noqa: PLC0415 (the application has imported it)
        from psycopg.rows import tuple_row  # noqa: PLC0415 (as above)

        async def fetch(sql: str, arguments: Sequence[Any]) -> Rows:
            async with _plain(AsyncRawCursor(self._connection, row_factory=tuple_row)) as cursor:
                await cursor.execute(sql, list(arguments))
                rows: Rows = await cursor.fetchall() if is_answered(sql) else ()
                return rows

        # Whether there is a transaction, is looked at on the way.
        await self.run(_nothing())
        return await call_awaited(function, self.dialect, fetch, self.run)


def _nothing() -> Steps[None]:
    """Steps without a statement."""
    yield from ()


def _plain(cursor: Any) -> Any:
    """The cursor with psycopg's own idea of text and integers, whatever the application has registered."""
    from psycopg.types.numeric import IntLoader  # noqa: PLC0415 (the application has imported it)
    from psycopg.types.string import StrDumper, TextLoader  # noqa: PLC0415 (as above)

    cursor.adapters.register_dumper(str, StrDumper)
    cursor.adapters.register_loader("text", TextLoader)
    for name in ("int4", "int8"):
        cursor.adapters.register_loader(name, IntLoader)
    return cursor


def _is_unsure(connection: Any) -> bool:
    """Whether something under way keeps it from being known if there is a transaction, as in a pipeline."""
    from psycopg.pq import TransactionStatus  # noqa: PLC0415 (the application has imported it)

    return bool(connection.autocommit and connection.info.transaction_status == TransactionStatus.ACTIVE)


def _refuse_outside(connection: Any, around: str) -> None:
    """Raise UnsupportedConnection for autocommit without a transaction; without autocommit it begins by itself."""
    from psycopg.pq import TransactionStatus  # noqa: PLC0415 (the application has imported it)

    if connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        raise UnsupportedConnection(
            "the psycopg connection is in autocommit and not in a transaction, so each statement would commit by"
            f" itself: write `{around}` around, or connect without autocommit=True."
        )


class AiosqliteCaller:
    """A connection of aiosqlite."""

    dialect = "sqlite"

    def __init__(self, connection: Any) -> None:
        """Take the connection."""
        self._connection = connection
        self.origin: object | None = connection

    async def run(self, steps: Steps[T]) -> T:
        """See `Caller.run`. Raises UnsupportedConnection for one that commits by itself."""
        await self._refuse()
        return await drive_awaited(steps, lambda query: self._fetch(query.statement.named, query.parameters))

    async def call(self, function: Callable[[Connection], T]) -> T:
        """See `Caller.call`. Raises UnsupportedConnection for one that commits by itself."""
        await self._refuse()
        return await call_awaited(function, self.dialect, self._fetch, self.run)

    async def _refuse(self) -> None:
        if await aiosqlite_commits_by_itself(self._connection):
            raise UnsupportedConnection(
                "the aiosqlite connection is not in a transaction and commits each statement by itself: execute BEGIN"
                " first, or connect without isolation_level=None and autocommit=True."
            )

    async def _fetch(self, sql: str, parameters: Any) -> Rows:
        async with self._connection.cursor() as cursor:
            cursor.row_factory = None  # The application's own may answer anything.
            await cursor.execute(sql, parameters)
            return list(await cursor.fetchall())
