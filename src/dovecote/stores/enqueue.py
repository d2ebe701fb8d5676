"""Enqueue: notifications into the outbox, in the transaction that the application has open.

The application's commit is the enqueue's commit, and its rollback undoes both. So nothing here begins, commits or
retries: a deadlock, a serialization failure or a lost connection comes out as the driver's own error, and what the
application does about it, it does about the whole transaction.

All validation comes before anything is written. Which outbox the connection leads to is read through the connection
itself and compared with the outbox's own identity; for engines and connections that are known it is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload
from weakref import WeakSet

from dovecote.content import shown
from dovecote.errors import InvalidNotification, UnknownBot, WrongDatabase
from dovecote.model import Notification
from dovecote.stores.callers import run_within
from dovecote.stores.clock import real_microseconds
from dovecote.stores.connections import blocking_caller_of, caller_of
from dovecote.stores.enqueue_batch import Batch
from dovecote.stores.enqueue_statements import bot_ids, bot_names, is_installation, write_postgresql, write_sqlite
from dovecote.stores.own_loop import in_own_loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from dovecote.ports import EnqueueSpan
    from dovecote.stores.callers import BlockingCaller, Caller, Target
    from dovecote.stores.database import Database, Run
    from dovecote.stores.enqueue_statements import Steps

T = TypeVar("T")

LARGEST_UPLOAD: Final = 50 * 1024 * 1024
"""Bytes that Telegram's own server takes of a file."""


def untraced(_bots: Sequence[str], _notifications: int) -> AbstractContextManager[None]:
    """What stands around a call where nobody traces."""
    return nullcontext()


class Enqueuer:
    """Writes into the outbox of `database` through connections of the application's.

    A key is remembered for `key_window`; a stored file may have `largest_upload` bytes. `clock` answers microseconds
    since the epoch and is SQLite's; PostgreSQL has its own. `span` is what stands around each call.
    """

    def __init__(
        self,
        database: Database,
        *,
        key_window: timedelta = timedelta(days=30),
        largest_upload: int = LARGEST_UPLOAD,
        clock: Callable[[], int] = real_microseconds,
        span: EnqueueSpan = untraced,
    ) -> None:
        self._database = database
        self._key_window = key_window
        self._largest_upload = largest_upload
        self._clock = clock
        self._span = span
        self._bot_ids: dict[str, int] = {}
        self._installation: str | None = None
        self._known: WeakSet[Any] = WeakSet()

    @overload
    async def enqueue(self, connection: object, notifications: Notification) -> int: ...

    @overload
    async def enqueue(self, connection: object, notifications: Sequence[Notification]) -> list[int]: ...

    async def enqueue(
        self, connection: object, notifications: Notification | Sequence[Notification]
    ) -> int | list[int]:
        """Write one notification or a sequence in the transaction of `connection`; answer ids in the same order.

        A notification whose key is taken is not written, and the id of the first with that key is answered.
        Raises, before anything is written, InvalidNotification, UnknownBot, UnknownFile, FileTooLarge,
        UnsupportedConnection, WrongDatabase, NotMigrated, and StoreUnavailable when the outbox's own database cannot be
        asked for its identity. Errors of the application's driver come out as they are.
        """
        caller = await caller_of(connection)
        if isinstance(notifications, Notification):
            (notification_id,) = await self._write(caller, Batch([notifications], alone=True))
            return notification_id
        batch = Batch(_sequence(notifications))
        return await self._write(caller, batch) if len(batch) else []

    @overload
    def enqueue_sync(self, connection: object, notifications: Notification) -> int: ...

    @overload
    def enqueue_sync(self, connection: object, notifications: Sequence[Notification]) -> list[int]: ...

    def enqueue_sync(self, connection: object, notifications: Notification | Sequence[Notification]) -> int | list[int]:
        """The same without `await`, over connections that block. An awaited one is an UnsupportedConnection."""
        caller = blocking_caller_of(connection)
        if isinstance(notifications, Notification):
            (notification_id,) = self._write_blocking(caller, Batch([notifications], alone=True))
            return notification_id
        batch = Batch(_sequence(notifications))
        return self._write_blocking(caller, batch) if len(batch) else []

    def write(self, connection: Connection, notifications: Sequence[Notification]) -> list[int]:
        """Write into the outbox within a transaction, the outbox's own or one that was borrowed; answer the ids.

        Raises InvalidNotification, UnknownBot, UnknownFile and FileTooLarge before anything is written.
        """
        if not notifications:
            return []
        batch = Batch(notifications)
        with self._span(batch.bots, len(batch)) as batch.trace:
            return run_within(connection, self._steps(batch))

    async def _write(self, caller: Caller, batch: Batch) -> list[int]:
        await self._check_database(caller)
        with self._span(batch.bots, len(batch)) as batch.trace:
            return await caller.run(self._steps(batch))

    def _write_blocking(self, caller: BlockingCaller, batch: Batch) -> list[int]:
        if not self._is_known(caller):
            if self._installation is None:
                self._installation = in_own_loop(self._database.installation())
            self._learn(caller, leads_here=caller.run_blocking(self._is_ours(self._installation)))
        with self._span(batch.bots, len(batch)) as batch.trace:
            return caller.run_blocking(self._steps(batch))

    def run_within(self, connection: object) -> Run:
        """Runs functions in the transaction that is open on a connection of the application's, and ends nothing.

        Each run raises UnsupportedConnection, WrongDatabase, NotMigrated and StoreUnavailable, as `enqueue`.
        """

        async def run(function: Callable[[Connection], T], *, write: bool = False) -> T:  # noqa: ARG001 (as it began)
            caller = await caller_of(connection)
            await self._check_database(caller)
            return await caller.call(function)

        return run

    async def _check_database(self, caller: Caller) -> None:
        """Raise WrongDatabase unless the connection leads to this outbox."""
        if not self._is_known(caller):
            if self._installation is None:
                self._installation = await self._database.installation()
            self._learn(caller, leads_here=await caller.run(self._is_ours(self._installation)))

    def _is_known(self, target: Target) -> bool:
        """Whether it leads to this outbox for certain. Raises WrongDatabase for another kind of database."""
        if target.origin is not None and target.origin in self._known:
            return True
        if target.dialect != ("postgresql" if self._database.is_postgresql else "sqlite"):
            raise WrongDatabase(
                f"the connection is one to {target.dialect}, and the outbox is {self._where()}: pass a connection to"
                " it, since one commit must cover both."
            )
        return False

    def _is_ours(self, installation: str) -> Steps[bool]:
        return is_installation(installation, postgresql=self._database.is_postgresql)

    def _learn(self, target: Target, *, leads_here: bool) -> None:
        if not leads_here:
            raise WrongDatabase(
                f"the connection leads to another database than the outbox's, {self._where()}: pass a connection to"
                " that one, since one commit must cover both."
            )
        if target.origin is not None:
            self._known.add(target.origin)

    def _where(self) -> str:
        return self._database.url.render_as_string(hide_password=True)

    def _steps(self, batch: Batch) -> Steps[list[int]]:
        postgresql = self._database.is_postgresql
        missing = [name for name in batch.bots if name not in self._bot_ids]
        if missing:
            self._bot_ids.update((yield from bot_ids(missing, postgresql=postgresql)))
            for name in missing:
                if name not in self._bot_ids:
                    raise UnknownBot(name, (yield from bot_names(postgresql=postgresql)))
        if postgresql:
            return (
                yield from write_postgresql(batch, self._bot_ids, self._key_window, largest_upload=self._largest_upload)
            )
        return (
            yield from write_sqlite(
                batch, self._bot_ids, self._key_window, self._clock(), largest_upload=self._largest_upload
            )
        )


def _sequence(notifications: object) -> Sequence[Notification]:
    if isinstance(notifications, Sequence) and not isinstance(notifications, (str, bytes)):
        return notifications
    raise InvalidNotification(
        "notifications", f"{shown(notifications)} is neither a Notification nor a sequence of them: pass a list."
    )
