"""The application's side of a Dovecote: writing notifications in a transaction of the application's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from dovecote.stores.own_transaction import own_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

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

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A transaction of its own on the outbox's database, for whoever has none: what it yields goes to `enqueue`.

        Raises StoreUnavailable when the database cannot be reached.
        """
        return own_transaction(self.database)
