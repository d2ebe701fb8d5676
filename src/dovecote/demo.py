"""The demonstration: the whole way from a transaction to the emulator, with a count that a person can check.

What it reports about arrivals is what the emulator recorded, not what the engine believes.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import SecretStr

from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.config.settings import Database, Encryption, Http, Telegram
from dovecote.config.values import masked_url
from dovecote.emulator import EmulatorProcess
from dovecote.errors import DovecoteError
from dovecote.model import Notification
from dovecote.service import Service
from dovecote.vault import generate_key

if TYPE_CHECKING:
    from collections.abc import Callable

BOT = "demo"
PACE = 2000.0
CHATS_SHARE = 2  # so many notifications for each chat, so that their order matters
PAGE = 100_000


class OccupiedOutbox(DovecoteError):
    """The database that the demonstration was given holds somebody's outbox."""


class _RolledBack(Exception):
    """Ends the transaction that the demonstration does not want to commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What happened. `doubles` and `rolled_back_sent` are counted from what the emulator accepted."""

    enqueued: int
    delivered: int
    dead: int
    doubles: int
    rolled_back: int
    rolled_back_sent: int
    statements_per_notification: float
    pace_per_second: float
    seconds: float

    @property
    def is_right(self) -> bool:
        """Everything that was committed arrived, once, and nothing else did."""
        return self.delivered == self.enqueued and not (self.dead or self.doubles or self.rolled_back_sent)

    def as_json(self) -> str:
        """One object, its keys as the fields."""
        return json.dumps(asdict(self))


class Demo:
    """One run of the demonstration: enter it, `run` it, and stay as long as you like."""

    def __init__(self, *, notifications: int, pace: float = PACE, database: str | None = None) -> None:
        self.notifications = notifications
        self.pace = pace
        self._folder = tempfile.TemporaryDirectory(prefix="dovecote-demo-")
        self.database = database or f"sqlite:///{Path(self._folder.name) / 'dovecote.db'}"
        self.emulator = EmulatorProcess()
        self._key = SecretStr(generate_key())

    def __enter__(self) -> Self:
        try:
            self.emulator.__enter__()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.emulator.__exit__(None, None, None)
        self._folder.cleanup()

    async def run(self, on_progress: Callable[[int], None]) -> DemoResult:
        """Enqueue, roll one back, deliver, count. `on_progress` is told how many are delivered.

        Raises OccupiedOutbox when the database holds an outbox that is not the demonstration's own.
        """
        async with Dovecote(settings=self._settings()) as dovecote:
            await self._prepare(dovecote)
            began_with = await dovecote.stats()
            started_at = time.monotonic()
            await self._enqueue(dovecote)
            enqueued_in = dovecote.store.statements
            await self._deliver(dovecote, on_progress, began_with.delivered)
            seconds = time.monotonic() - started_at
            stats = await dovecote.stats()
            on_progress(stats.delivered - began_with.delivered)
            statements = dovecote.store.statements - enqueued_in
        texts = Counter(await asyncio.to_thread(self._accepted_texts))
        rolled_back_sent = texts.pop(_rolled_back_text(), 0)
        return DemoResult(
            enqueued=self.notifications,
            delivered=stats.delivered - began_with.delivered,
            dead=stats.dead - began_with.dead,
            doubles=texts.total() - len(texts),
            rolled_back=1,
            rolled_back_sent=rolled_back_sent,
            statements_per_notification=round(statements / self.notifications, 4),
            pace_per_second=self.pace,
            seconds=round(seconds, 3),
        )

    async def stay(self, on_ready: Callable[[str], None]) -> None:
        """Deliver what is enqueued from outside until a signal; `on_ready` is told where the metrics are."""
        async with Dovecote(settings=self._settings()) as dovecote:
            service = Service(dovecote)
            listener = service.listener
            assert listener is not None  # noqa: S101 (asked for above, by default)
            await service.run(on_ready=lambda: on_ready(listener.url))

    @property
    def shown_database(self) -> str:
        """The database's URL without its password."""
        return masked_url(self.database)

    def _settings(self) -> Settings:
        return Settings(
            database=Database(url=self.database),
            telegram=Telegram(base_url=self.emulator.url),
            encryption=Encryption(keys=(self._key,)),
            http=Http(port=0),
        )

    async def _prepare(self, dovecote: Dovecote) -> None:
        await dovecote.migrate()
        strangers = [bot.name for bot in await dovecote.bots() if bot.name != BOT]
        stats = await dovecote.stats()
        if strangers or stats.due or stats.scheduled or stats.leased:
            raise OccupiedOutbox(
                f"{dovecote!r} holds an outbox in use (bots: {', '.join(strangers) or BOT}): its notifications would go"
                " to the emulator. Give the demonstration an empty database."
            )
        token = f"{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)}"
        if await dovecote.bots():
            await dovecote.set_token(BOT, token=token)
            await dovecote.set_limits(BOT, pace=self.pace, private_limit=None)
        else:
            await dovecote.add_bot(BOT, token=token, pace=self.pace, private_limit=None)

    async def _enqueue(self, dovecote: Dovecote) -> None:
        chats = max(1, self.notifications // CHATS_SHARE)
        async with dovecote.transaction() as connection:
            await dovecote.enqueue(
                connection,
                [
                    Notification(bot=BOT, chat_id=1 + number % chats, text=f"Order {number} is on its way")
                    for number in range(self.notifications)
                ],
            )
        try:
            async with dovecote.transaction() as connection:
                await dovecote.enqueue(connection, Notification(bot=BOT, chat_id=1, text=_rolled_back_text()))
                raise _RolledBack  # noqa: TRY301 (as an application's own error would)
        except _RolledBack:
            return

    async def _deliver(self, dovecote: Dovecote, on_progress: Callable[[int], None], before: int) -> None:
        working = asyncio.create_task(dovecote.worker().run(until_empty=True))
        try:
            while not working.done():
                await asyncio.wait({working}, timeout=0.2)
                on_progress((await dovecote.stats()).delivered - before)
            await working
        finally:
            # An interrupt ends this coroutine first: the worker must be over before its connections are.
            working.cancel()
            await asyncio.wait({working})

    def _accepted_texts(self) -> list[str]:
        texts: list[str] = []
        after = 0
        while True:
            url = f"{self.emulator.url}/emulator/accepted?limit={PAGE}&after={after}"
            with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 (the emulator's own address)
                records = json.load(answer)["records"]
            texts += [record["parameters"]["text"] for record in records]
            if len(records) < PAGE:
                return texts
            after = records[-1]["sequence"]


def _rolled_back_text() -> str:
    return "This one was rolled back"
