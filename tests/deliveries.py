"""Deliveries for tests: a fresh migrated outbox, applications that enqueue into it, and workers on real parts."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from migrated import migrate

from dovecote.app import Dovecote
from dovecote.config import Encryption, Retry, Settings
from dovecote.model import Notification
from dovecote.retry import RetryPolicy
from dovecote.sender import Sender
from dovecote.tokens import BotTokens
from dovecote.unit_of_work import ClaimedOutbox
from dovecote.vault import generate_key
from dovecote.worker import Worker, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest
    from databases import PostgresDatabases
    from sqlalchemy import Connection

    from dovecote.ports import Channel, OutboxStore

TOKEN = "4242:" + "A" * 35
OTHER_TOKEN = "777:" + "B" * 35
BOUND = 30.0
"""Seconds that a condition is waited for before the test fails; on a good day it takes a hundredth of that."""


def fresh_outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """For a fixture whose parameter is `sqlite` or `postgresql`: the URL of a fresh, migrated database."""
    if request.param == "sqlite":
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        template = factory.getbasetemp() / "migrated.db"
        if not template.exists():
            migrate(f"sqlite:///{template}")
        shutil.copy(template, tmp_path / "x.db")
        yield f"sqlite:///{tmp_path}/x.db"
        return
    server: PostgresDatabases = request.getfixturevalue("postgres")
    url = server.create_database(server.template("migrated", migrate))
    yield url
    server.drop_database(url)


async def until(condition: Callable[[], bool | Awaitable[bool]], *, bound: float = BOUND) -> None:
    """Wait for a condition, looking often. Raises TimeoutError, which fails the test, after `bound` seconds.

    The looks take a quarter of the time at most: they shall not hold up what they wait for.
    """
    ends_at = time.monotonic() + bound
    while True:
        began = time.monotonic()
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        now = time.monotonic()
        if now > ends_at:
            raise TimeoutError(f"after {bound} s it is still not so")
        await asyncio.sleep(min(max(0.005, 3 * (now - began)), 0.2))


class Delivery:
    """An outbox, its bots, and workers on it. `base_url` is a Bot API; `channel`, where given, is used instead.

    `files` is the folder of the files; `telegram` are more settings of that section.
    """

    def __init__(
        self,
        url: str,
        base_url: str = "http://127.0.0.1:9",
        *,
        timeout: float = 20,
        retry: Mapping[str, Any] | None = None,
        worker: Mapping[str, Any] | None = None,
        keys: Sequence[str] | None = None,
        files: Path | None = None,
        telegram: Mapping[str, Any] | None = None,
    ) -> None:
        self.keys = [generate_key()] if keys is None else keys
        self.settings = Settings.model_validate(
            {
                "telegram": {"base_url": base_url, "timeout": timedelta(seconds=timeout), **(telegram or {})},
                "encryption": Encryption.model_validate({"keys": list(self.keys)}),
                "retry": Retry.model_validate(retry or {}),
                "worker": dict(worker or {}),
                "storage": {"url": None if files is None else files.as_uri()},
            }
        )
        self.dovecote = Dovecote(url, settings=self.settings)

    async def bot(
        self,
        name: str = "shop",
        token: str = TOKEN,
        *,
        pace: float | None = None,
        limit: tuple[int, float] | None = None,
    ) -> None:
        """Add a bot, without limits unless given."""
        await self.dovecote.add_bot(name, token=token, pace=pace, private_limit=limit, group_limit=limit)

    async def enqueue(self, *notifications: Notification) -> list[int]:
        """In a transaction of its own."""
        async with self.dovecote.transaction() as connection:
            return await self.dovecote.enqueue(connection, list(notifications))

    async def backlog(self, count: int, *, bot: str = "shop", first: int = 1, **columns: Any) -> list[int]:
        """Enqueue so many, each to a chat of its own, the text being its number."""
        numbers = range(first, first + count)
        return await self.enqueue(*(Notification(bot=bot, chat_id=n, text=str(n), **columns) for n in numbers))

    @asynccontextmanager
    async def working(self, worker: Worker | None = None) -> AsyncIterator[Worker]:
        """Run a worker, by default the Dovecote's own, and drain it at the end."""
        worker = worker or self.dovecote.worker()
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await task

    def worker_with(
        self, channel: Channel, *, store: OutboxStore | None = None, timeout: float = 20, **settings: Any
    ) -> Worker:
        """A worker that sends through `channel`; `settings` are those of `WorkerSettings`."""
        chosen = WorkerSettings(**settings)
        used = store or self.dovecote.store
        sender = Sender(
            channel,
            BotTokens(self.dovecote._bots, self.dovecote.unseal),
            timeout=timedelta(seconds=timeout),
            unreadable_pause=timedelta(seconds=30),
        )
        outbox = ClaimedOutbox(used, lease=chosen.lease, policy=RetryPolicy(), random=Random(1))
        return Worker(used, outbox, sender, chosen, self.dovecote.metrics)

    async def settled(self, count: int) -> bool:
        """Whether so many have left the outbox."""
        stats = await self.dovecote.stats()
        return stats.delivered + stats.dead + stats.unknown == count

    async def outcomes(self, id_: int) -> list[tuple[int, str]]:
        """Number and outcome of each attempt."""
        record = await self.dovecote.notification(id_)
        return [(attempt.number, attempt.outcome) for attempt in record.attempts]

    async def places(self) -> dict[int, str]:
        """Where each notification is by its id: `waiting` or `leased` in the outbox, else its outcome."""
        outbox = self.dovecote.database.tables.notification.c.keys().index("lease_token")
        history = self.dovecote.database.tables.history.c.keys().index("outcome")
        waiting = {row[0]: "waiting" if row[outbox] is None else "leased" for row in await self.rows("notification")}
        return waiting | {row[0]: row[history] for row in await self.rows("history")}

    async def all_outcomes(self) -> dict[int, list[str]]:
        """The outcomes of each notification's attempts, those before the one that decided, by its id."""
        outcome = self.dovecote.database.tables.attempt.c.keys().index("outcome")
        found: dict[int, list[str]] = {}
        for row in await self.rows("attempt"):
            found.setdefault(row[0], []).append(row[outcome])
        return found

    async def rows(self, table: str) -> list[tuple[Any, ...]]:
        """All rows of a table, by its primary key. It is named without schema and prefix."""
        metadata = self.dovecote.database.tables.metadata
        which = metadata.tables[f"{metadata.schema}.{table}" if metadata.schema else f"dovecote_{table}"]

        def read(connection: Connection) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in connection.execute(which.select().order_by(*which.primary_key))]

        return await self.dovecote.database.run(read)


@asynccontextmanager
async def delivery(url: str, base_url: str = "http://127.0.0.1:9", **settings: Any) -> AsyncIterator[Delivery]:
    """A `Delivery` with one bot, "shop", closed at the end."""
    made = Delivery(url, base_url, **settings)
    try:
        await made.bot()
        yield made
    finally:
        await made.dovecote.close()
