"""How much of Telegram's true limit is used, and what it costs: minutes of several workers, in virtual time.

The workers and the store are the real ones. The judge is a token bucket of capacity 30, refilled at the true rate, that
says 429 with a `retry_after` of one second.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from migrated import migrate
from virtual_time import VirtualTimeLoop, seconds_passed

from dovecote.model import Delivered, Snoozed
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

    from dovecote.model import ClaimedNotification, Outcome

T = TypeVar("T")

MINUTE = 60.0
MEASURED = 5 * MINUTE
CAPACITY = 30.0
# Longer than by default, so that six minutes take seconds. What says 429 is never held back by it.
FLUSH = timedelta(milliseconds=250)


@dataclass
class TokenBucket:
    """A Bot API that takes `rate` messages a second, and a burst of 30. Requests and answers travel for a while.

    An album counts as its items, and is taken whole while there is a token left.
    """

    rate: float
    random: Random = field(default_factory=lambda: Random(20260105))
    tokens: float = CAPACITY
    filled_at: float = 0.0
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    sent: set[int] = field(default_factory=set)

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        await asyncio.sleep(self.random.uniform(0.01, 0.08))
        outcome = self._judge(claimed)
        await asyncio.sleep(self.random.uniform(0.01, 0.08))
        return outcome

    def _judge(self, claimed: ClaimedNotification) -> Outcome:
        now = seconds_passed()
        self.tokens = min(CAPACITY, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1:
            self.refused.append(now)
            return Snoozed(timedelta(seconds=1))
        assert claimed.id not in self.sent, "it was sent twice"
        self.sent.add(claimed.id)
        items = len(json.loads(claimed.params).get("media", "1"))
        self.tokens -= items
        self.accepted += [now] * items
        return Delivered((claimed.id,))

    async def close(self) -> None:
        return


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
async def working(path: Path, judge: TokenBucket) -> AsyncIterator[None]:
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


@pytest.fixture
def outbox_path(tmp_path: Path) -> Path:
    """A migrated outbox with a bot that is set to 30/s."""
    path = tmp_path / "x.db"
    migrate(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO dovecote_bot (id, name, token_variable, pace, created_at, next_slot_at)"
            " VALUES (1, 'shop', 'TOKEN', 30.0, 0, 0)"
        )
    connection.close()
    return path


def enqueue(path: Path, count: int, *, items: int = 1) -> None:
    """Put so many notifications into the outbox, each to a chat of its own; with `items`, albums of so many."""
    params: dict[str, Any] = {"text": "hello"} if items == 1 else {"media": [{}] * items}
    columns: dict[str, Any] = {
        "bot_id": 1, "method": "sendMessage", "params": json.dumps(params), "priority": 2, "at_most_once": 0,
        "enqueued_at": 0, "planned_at": 0, "due_at": 0, "weight": items, "attempts": 0, "failures": 0,
        "lost_leases": 0,
    }  # fmt: skip
    with sqlite3.connect(path) as connection:
        connection.executemany(
            f"INSERT INTO dovecote_notification (chat, {', '.join(columns)})"  # noqa: S608 (names of ours)
            f" VALUES (?, {', '.join('?' * len(columns))})",
            [(f"{items}{number}", *columns.values()) for number in range(count)],
        )
    connection.close()


async def judged(path: Path, workers: int, judge: TokenBucket) -> None:
    """Let so many workers work for a minute, and five more."""
    async with AsyncExitStack() as stack:
        for _ in range(workers):
            await stack.enter_async_context(working(path, judge))
        await asyncio.sleep(MINUTE + MEASURED)


def shares(path: Path, workers: int, rate: float) -> tuple[float, float]:
    """The used share of the true limit and the refused share of the requests, after the first minute."""
    judge = TokenBucket(rate)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(judged(path, workers, judge))
    accepted, refused = (
        len([at for at in ats if MINUTE <= at < MINUTE + MEASURED]) for ats in (judge.accepted, judge.refused)
    )
    return accepted / (rate * MEASURED), refused / (accepted + refused)


@pytest.mark.parametrize("workers", [1, 4])
def test_set_to_thirty_against_a_true_limit_of_twenty(outbox_path: Path, workers: int) -> None:
    enqueue(outbox_path, 11_500)

    used, refused = shares(outbox_path, workers, 20.0)

    assert used >= 0.95
    assert refused < 0.01


@pytest.mark.parametrize("workers", [1, 4])
def test_set_to_thirty_against_a_true_limit_of_thirty(outbox_path: Path, workers: int) -> None:
    enqueue(outbox_path, 11_500)

    used, refused = shares(outbox_path, workers, 30.0)

    assert used >= 0.98
    assert refused == 0


def test_an_album_counts_as_its_items(outbox_path: Path) -> None:
    enqueue(outbox_path, 600, items=10)
    enqueue(outbox_path, 5_500)

    used, refused = shares(outbox_path, 1, 30.0)

    assert used >= 0.98
    assert refused == 0
