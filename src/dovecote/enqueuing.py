"""The application's side of a Dovecote: writing notifications in a transaction of the application's."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy.exc import DBAPIError

from dovecote.errors import StoreUnavailable
from dovecote.stores.database import to_the_end, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from dovecote.model import Notification
    from dovecote.stores.database import Database
    from dovecote.stores.enqueue import Enqueuer


class Enqueuing:
    """A part of `Dovecote`, which sets both of these."""

    database: Database
    _enqueuer: Enqueuer

    @overload
    async def enqueue(self, connection: Any, notifications: Notification) -> int: ...

    @overload
    async def enqueue(self, connection: Any, notifications: Sequence[Notification]) -> list[int]: ...

    async def enqueue(self, connection: Any, notifications: Notification | Sequence[Notification]) -> int | list[int]:
        """Write notifications in the transaction of `connection`, and answer their ids. Never commits.

        Takes SQLAlchemy's AsyncSession, AsyncConnection, Session and Connection, connections of asyncpg, psycopg 3,
        aiosqlite and sqlite3, and Django's, on the outbox's database and in a transaction. A key that is known already
        changes nothing and answers the id of the first. Raises InvalidNotification and UnknownBot before anything is
        written, UnsupportedConnection, WrongDatabase, NotMigrated.
        """
        return await self._enqueuer.enqueue(connection, notifications)

    @overload
    def enqueue_sync(self, connection: Any, notifications: Notification) -> int: ...

    @overload
    def enqueue_sync(self, connection: Any, notifications: Sequence[Notification]) -> list[int]: ...

    def enqueue_sync(self, connection: Any, notifications: Notification | Sequence[Notification]) -> int | list[int]:
        """`enqueue` for code that awaits nothing: the same promises, the same errors.

        Takes the connections that block: SQLAlchemy's Session and Connection, those of psycopg 3 and sqlite3, and
        Django's. One that is awaited is an UnsupportedConnection.
        """
        return self._enqueuer.enqueue_sync(connection, notifications)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A transaction of its own on the outbox's database, for whoever has none: what it yields goes to `enqueue`.

        Raises StoreUnavailable when the database cannot be reached.
        """
        engine = self.database.async_engine
        if engine is not None:
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(engine.begin())
                except (DBAPIError, OSError, TimeoutError) as error:
                    raise translated(error, self.database.url) from error
                yield connection
            return
        # Another writer may hold the file for a while, which must not hold the loop. Who is cut off meanwhile leaves no
        # transaction behind that keeps all other writers out.
        path = str(self.database.url.database)
        lite = await to_the_end(lambda: _begun(path), undo=lambda begun: begun.close())
        try:
            yield lite
            lite.execute("COMMIT")
        finally:
            lite.close()


def _begun(path: str) -> sqlite3.Connection:
    """A connection in a transaction that writes. Raises StoreUnavailable."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the database {path} cannot be used just now: {error}") from error
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        connection.close()
        raise StoreUnavailable(f"the database {path} cannot be used just now: {error}") from error
    return connection
