"""The outbox on SQLite: a cycle is one short transaction in a thread of its own, and workers watch for commits."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from dovecote.errors import InvalidConfiguration, NotMigrated, StoreUnavailable
from dovecote.stores import sqlite_cycle as statements
from dovecote.stores.database import prepare_sqlite
from dovecote.stores.sqlite_transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import URL

    from dovecote.model import ClaimedNotification, Cycle, Settlement

T = TypeVar("T")

# UPDATE ... FROM came with 3.33, RETURNING with 3.35.
OLDEST_VERSION = (3, 35)
PATIENCE = timedelta(seconds=10)
POLL = timedelta(milliseconds=10)

# Primary result codes of a database that cannot be used now. Any other is a fault of ours, or a file that is broken.
OUTAGES = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)
PRIMARY_CODE = 0xFF


class SQLiteOutbox:
    """`ports.OutboxStore` on SQLite 3.35 and later.

    `clock` answers the store's time in microseconds since the epoch. `patience` is how long a cycle waits for another
    writer of the file before it raises StoreUnavailable. `poll` is how often `wait` looks for the commits of others.
    `statements` counts every statement of every cycle, BEGIN and COMMIT included, and nothing else.
    Raises InvalidConfiguration when the SQLite library is too old.
    """

    def __init__(
        self,
        url: URL,
        *,
        clock: Callable[[], int] | None = None,
        patience: timedelta = PATIENCE,
        poll: timedelta = POLL,
    ) -> None:
        if sqlite3.sqlite_version_info < OLDEST_VERSION:
            remedy = f"{'.'.join(map(str, OLDEST_VERSION))} or later is needed: use a newer Python, or PostgreSQL"
            raise InvalidConfiguration(
                [f"database.url: the SQLite library of this Python is {sqlite3.sqlite_version}; {remedy}."]
            )
        self.statements = 0
        (self._path,), self._options = SQLiteDialect_pysqlite().create_connect_args(url)
        self._clock = clock or _microseconds_since_the_epoch
        self._patience = patience
        self._poll = poll.total_seconds()
        # A connection serves one thread at a time; this thread is also where cycles queue.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dovecote-sqlite")
        self._connection: sqlite3.Connection | None = None
        self._foreign_commits: int | None = None

    async def cycle(
        self,
        settlements: Sequence[Settlement],
        *,
        claim: int,
        lease: timedelta,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
    ) -> Cycle:
        """See `ports.OutboxStore.cycle`."""

        def run() -> Cycle:
            connection = self._connected()
            self._execute(statements.BEGIN)
            if claim:
                # What others have committed until now is seen by this claim; whatever comes later wakes `wait`.
                ((self._foreign_commits,),) = self._execute(statements.FOREIGN_COMMITS)
            transaction = Transaction(self._execute, self._clock(), lease)
            transaction.halt_bots(settlements)
            lost = transaction.settle(settlements)
            transaction.renew(renew)
            cycle = transaction.claim(claim, alone=alone, lost=lost)
            self._execute(statements.COMMIT)
            assert not connection.in_transaction  # noqa: S101 (a cycle that is not over would hold the file)
            return cycle

        return await self._in_thread(run)

    async def wait(self, timeout: timedelta) -> None:
        """See `ports.OutboxStore.wait`. Polls a counter of the file, so it sees the commits of every process."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout.total_seconds()
        while not await self._in_thread(self._others_have_committed):
            left = ends_at - loop.time()
            if left <= 0:
                return
            await asyncio.sleep(min(left, self._poll))

    async def close(self) -> None:
        """See `ports.OutboxStore.close`."""
        await self._in_thread(self._disconnect)
        self._thread.shutdown()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._or_nothing, function)
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error

    def _or_nothing(self, function: Callable[[], T]) -> T:
        try:
            return function()
        except BaseException:
            # Closing rolls back. The next cycle opens the file anew, which may have been replaced.
            self._disconnect()
            raise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            options = {**self._options, "isolation_level": None, "check_same_thread": True}
            self._connection = sqlite3.connect(self._path, **options)
            prepare_sqlite(self._connection)
            self._connection.execute(f"PRAGMA busy_timeout = {self._patience // timedelta(milliseconds=1)}")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._foreign_commits = None

    def _execute(self, statement: str, **values: Any) -> list[Any]:
        self.statements += 1
        return self._connected().execute(statement, values).fetchall()

    def _others_have_committed(self) -> bool:
        try:
            (commits,) = self._connected().execute(statements.FOREIGN_COMMITS).fetchone()
        except sqlite3.OperationalError:
            # Waking is a convenience and the wait goes on; an outage is reported by the cycle, which needs the file.
            self._disconnect()
            return False
        if self._foreign_commits is None:
            self._foreign_commits = commits
        return bool(commits != self._foreign_commits)


def _microseconds_since_the_epoch() -> int:
    return time.time_ns() // 1000


def _translated(error: sqlite3.Error, path: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    if code in OUTAGES:
        return StoreUnavailable(f"the database {path} cannot be used just now: {error}")
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column", "no such index")):
        return NotMigrated(
            f"the database {path} has no Dovecote schema of this version ({error}): run `dovecote migrate`."
        )
    return error
