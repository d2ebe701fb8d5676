"""Several workers on one outbox in virtual time, before a judge of what they send: minutes in seconds, always the same.

The workers and the store are the real ones; only the thread of the store, the disk's care and the network are left out.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from migrated import migrate

from dovecote.observability.metrics import Metrics
from dovecote.retry import RetryPolicy
from dovecote.sender import Sender
from dovecote.stores.database import outbox_url
from dovecote.stores.sqlite import SQLiteOutbox
from dovecote.unit_of_work import ClaimedOutbox
from dovecote.worker import Worker, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from dovecote.ports import Channel

T = TypeVar("T")

# Longer than by default, so that six minutes take seconds. What says 429 is never held back by it.
FLUSH = timedelta(milliseconds=250)


class Tokens:
    """The bot's token, always at hand."""

    async def token(self, bot_id: int) -> str:
        return f"{bot_id}:token"

    def forget(self, bot_id: int) -> None:
        raise AssertionError(f"nobody refused the bot {bot_id}")


class InlineOutbox(SQLiteOutbox):
    """The store without its thread, which would take time that the loop does not know of, and without a disk's care."""

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return self._or_nothing(function)

    def _connected(self) -> sqlite3.Connection:
        is_new = self._connection is None
        connection = super()._connected()
        if is_new:
            connection.execute("PRAGMA synchronous = OFF")
        return connection


def microseconds() -> int:
    """The store's time: the loop's."""
    return round(asyncio.get_running_loop().time() * 1_000_000)


@asynccontextmanager
async def working(path: Path, judge: Channel) -> AsyncIterator[None]:
    """One worker, as a process of its own has it; it ends with the test, whatever it is doing."""
    store = InlineOutbox(outbox_url(f"sqlite:///{path}"), clock=microseconds)
    monotonic = asyncio.get_running_loop().time
    sender = Sender(
        judge, Tokens(), timeout=timedelta(seconds=20), unreadable_pause=timedelta(seconds=30), monotonic=monotonic
    )
    settings = WorkerSettings(flush_interval=FLUSH)
    outbox = ClaimedOutbox(store, lease=settings.lease, policy=RetryPolicy(), random=Random(1))
    worker = Worker(store, outbox, sender, settings, Metrics())
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await running
        await store.close()


def make_outbox(folder: Path, **columns: Any) -> Path:
    """A migrated outbox with a bot that is set to 30/s; `columns` are of its row."""
    path = folder / "x.db"
    migrate(f"sqlite:///{path}")
    row = {
        "id": 1,
        "name": "shop",
        "token_variable": "TOKEN",
        "pace": 30.0,
        "created_at": 0,
        "next_slot_at": 0,
        **columns,
    }
    with sqlite3.connect(path) as connection:
        connection.execute(
            f"INSERT INTO dovecote_bot ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 (ours)
            list(row.values()),
        )
    connection.close()
    return path


def enqueue(path: Path, count: int, *, items: int = 1, prefix: str = "", **given: Any) -> None:
    """Put so many notifications into the outbox, each to a chat of its own; with `items`, albums of so many.

    The chats are numbers that begin with `prefix`; `given` are columns.
    """
    params: dict[str, Any] = {"text": "hello"} if items == 1 else {"media": [{}] * items}
    columns: dict[str, Any] = {
        "bot_id": 1, "method": "sendMessage", "params": json.dumps(params), "priority": 2, "at_most_once": 0,
        "enqueued_at": 0, "planned_at": 0, "due_at": 0, "weight": items, "attempts": 0, "failures": 0,
        "lost_leases": 0, **given,
    }  # fmt: skip
    with sqlite3.connect(path) as connection:
        connection.executemany(
            f"INSERT INTO dovecote_notification (chat, {', '.join(columns)})"  # noqa: S608 (names of ours)
            f" VALUES (?, {', '.join('?' * len(columns))})",
            [(f"{prefix}{items}{number}", *columns.values()) for number in range(count)],
        )
    connection.close()
