"""The outbox on SQLite: a cycle is one short transaction in a thread of its own, and workers watch for commits.

A worker that waits polls a counter in the file, which the commits of every process change; its own cycles do not, for
it polls on their connection. Whoever has committed an enqueue in the worker's process can spare it the poll: `wake`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sqlite3
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from dovecote.errors import InvalidConfiguration, NotMigrated, StoreUnavailable
from dovecote.stores import sqlite_cycle as statements
from dovecote.stores.clock import real_microseconds
from dovecote.stores.database import BROKEN_FILE, PRIMARY_CODE, no_database, prepare_sqlite
from dovecote.stores.rows import Move, moves
from dovecote.stores.sqlite_transaction import MOVED_AT_ONCE, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import URL

    from dovecote.model import ClaimedNotification, Cycle, Settlement

T = TypeVar("T")

logger = logging.getLogger(__name__)

# UPDATE ... FROM came with 3.33, RETURNING with 3.35.
OLDEST_VERSION = (3, 35)
PATIENCE = timedelta(seconds=10)
# A look at the counter wakes two threads, and that is what it costs: often after activity, seldom when long idle.
SHORTEST_POLL = timedelta(milliseconds=10)
LONGEST_POLL = timedelta(milliseconds=100)
POLLS_PER_IDLE_TIME = 10

# Primary result codes of a database that cannot be used now. Any other but a broken file's is a fault of ours.
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


class SQLiteOutbox:
    """`ports.OutboxStore` on SQLite 3.35 and later.

    `clock` answers the store's time in microseconds since the epoch. `patience` is how long a cycle waits for another
    writer of the file before it raises StoreUnavailable. `polls` are the shortest and the longest pause between two
    looks for the commits of others while it waits: a tenth of the time since the last activity, between the two.
    `statements` counts every statement of every cycle, BEGIN and COMMIT included, and nothing else.
    Raises InvalidConfiguration when the SQLite library is too old.
    """

    def __init__(
        self,
        url: URL,
        *,
        clock: Callable[[], int] | None = None,
        patience: timedelta = PATIENCE,
        polls: tuple[timedelta, timedelta] = (SHORTEST_POLL, LONGEST_POLL),
    ) -> None:
        if sqlite3.sqlite_version_info < OLDEST_VERSION:
            remedy = f"{'.'.join(map(str, OLDEST_VERSION))} or later is needed: use a newer Python, or PostgreSQL"
            raise InvalidConfiguration(
                [f"database.url: the SQLite library of this Python is {sqlite3.sqlite_version}; {remedy}."]
            )
        self.statements = 0
        (self._path,), self._options = SQLiteDialect_pysqlite().create_connect_args(url)
        self._clock = clock or real_microseconds
        self._patience = patience
        self._polls = [pause.total_seconds() for pause in polls]
        self._active_at = -math.inf
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # A connection serves one thread at a time; this thread is also where cycles queue.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dovecote-sqlite")
        self._connection: sqlite3.Connection | None = None
        self._foreign_commits: int | None = None
        self._schema: int | None = None

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
            ((foreign_commits, schema),) = self._execute(statements.VERSIONS)
            if claim:
                # What others have committed until now is seen by this claim; whatever comes later wakes `wait`.
                self._foreign_commits = foreign_commits
            if schema != self._schema:
                self._plan_without_statistics(connection)
                self._schema = schema
            transaction = Transaction(self._execute, self._clock(), lease)
            transaction.halt_bots(settlements)
            lost = transaction.settle(settlements)
            transaction.move(settlements, lost)
            transaction.renew(renew)
            cycle = transaction.claim(claim, alone=alone, lost=lost)
            self._execute(statements.COMMIT)
            assert not connection.in_transaction  # noqa: S101 (a cycle that is not over would hold the file)
            return cycle

        cycle = await self._in_thread(run)
        for move in moves(settlements, cycle.lost):
            await self._move(move)
        if settlements or cycle.claimed:
            self._active_at = asyncio.get_running_loop().time()
        return cycle

    async def _move(self, move: Move) -> None:
        """Move what waits for a group to the supergroup that it has become, in bounded batches.

        What is left behind by an outage meets the same answer of Telegram's, and moves then.
        """
        values = {"bot": move.bot_id, "old": move.old, "new": move.new, "limit": MOVED_AT_ONCE}
        try:
            while await self._in_thread(lambda: self._execute(statements.MOVE, **values)):
                continue
        except StoreUnavailable:
            logger.warning("what waits for a group that became a supergroup could not be moved yet", exc_info=True)

    async def wait(self, timeout: timedelta) -> None:
        """See `ports.OutboxStore.wait`. What wakes it once does not wake it again."""
        loop = asyncio.get_running_loop()
        self._listen(loop)
        ends_at = loop.time() + timeout.total_seconds()
        while not await self._in_thread(self._others_have_committed):
            now = loop.time()
            if now >= ends_at:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self._pause(now - self._active_at), ends_at - now)):
                    await self._woken.wait()
            if self._woken.is_set():
                break
        self._woken.clear()
        self._active_at = loop.time()

    def _pause(self, idle: float) -> float:
        """Seconds until the next look, after so many without activity."""
        shortest, longest = self._polls
        return min(longest, max(shortest, idle / POLLS_PER_IDLE_TIME))

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be found by `wake` from now on."""
        self._loop = loop
        with _waiting_lock:
            _waiting[_key(self._path)].add(self)

    def be_woken(self) -> None:
        """Let `wait` return. From any thread."""
        # A loop that is closed has nobody left to wake.
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._woken.set)

    async def close(self) -> None:
        """See `ports.OutboxStore.close`."""
        with _waiting_lock:
            _waiting[_key(self._path)].discard(self)
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
        self._connection = self._foreign_commits = self._schema = None

    def _execute(self, statement: str, **values: Any) -> list[Any]:
        self.statements += 1
        return self._connected().execute(statement, values).fetchall()

    def _plan_without_statistics(self, connection: sqlite3.Connection) -> None:
        """Read the statistics again while their tables read as empty. The file keeps them, for whoever wants them."""
        if self._execute(statements.HAS_STATISTICS) == [(1,)]:
            connection.set_authorizer(_hiding_statistics)
            self._execute(statements.READ_STATISTICS)
            connection.set_authorizer(None)

    def _others_have_committed(self) -> bool:
        try:
            (commits,) = self._connected().execute(statements.FOREIGN_COMMITS).fetchone()
        except sqlite3.OperationalError:
            # Waking is a convenience and the wait goes on; an outage is reported by the cycle, which needs the file.
            self._disconnect()
            return False
        seen, self._foreign_commits = self._foreign_commits, commits
        return seen is not None and seen != commits


def _hiding_statistics(action: int, table: str | None, *_: str | None) -> int:
    hidden = action == sqlite3.SQLITE_READ and table is not None and table.startswith("sqlite_stat")
    return sqlite3.SQLITE_IGNORE if hidden else sqlite3.SQLITE_OK


def wake(path: str) -> None:
    """Wake the workers of this process that wait for this database file, after a commit to it. From any thread."""
    with _waiting_lock:
        outboxes = list(_waiting.get(_key(path), ()))
    for outbox in outboxes:
        outbox.be_woken()


# Which outboxes wait for which file.
_waiting: defaultdict[str, set[SQLiteOutbox]] = defaultdict(set)
_waiting_lock = threading.Lock()


def _key(path: str) -> str:
    return os.path.realpath(path)


def _translated(error: sqlite3.Error, path: str) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    if code in OUTAGES:
        return StoreUnavailable(f"the database {path} cannot be used just now: {error}")
    if code in BROKEN_FILE:
        return StoreUnavailable(f"{path}: {no_database(str(error))}")
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column", "no such index")):
        return NotMigrated(
            f"the database {path} has no Dovecote schema of this version ({error}): run `dovecote migrate`."
        )
    return error
