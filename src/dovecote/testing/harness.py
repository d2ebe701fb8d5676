"""One test's own Dovecote, emulator and clock, and the thread that they work in."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

from pydantic import SecretStr

from dovecote.app import Dovecote
from dovecote.config import Database as DatabaseSettings
from dovecote.config import Encryption, Settings
from dovecote.emulator import Emulator
from dovecote.errors import BotExists, TokenUnreadable
from dovecote.storage.memory import MemoryStorage
from dovecote.stores.clock import time_from
from dovecote.testing import ownership
from dovecote.testing.background import Background
from dovecote.testing.clock import EmulatorClock, ManualClock
from dovecote.testing.courier import Courier
from dovecote.testing.sent import Sent, sent_of
from dovecote.vault import generate_key

if TYPE_CHECKING:
    from datetime import datetime

    from dovecote.model import Bot

SHORTEST_STEP: Final = timedelta(milliseconds=100)
"""By how much the time goes on at least from one delivery to the next."""


class Harness:
    """What a test has to itself: enter it, and leave it at the end.

    `url` is a database for tests alone; without it, a SQLite file that ends with this. `start` is what the clock begins
    at. `settings` stand in for those that are made here; of them, the database and the Bot API server are still those
    of the test. Raises DatabaseInUse on entering.
    """

    dovecote: Dovecote
    """The test's and its application's."""

    def __init__(
        self, url: str | None = None, *, start: datetime | None = None, settings: Settings | None = None
    ) -> None:
        self._url = url
        self.settings = settings or Settings()
        self.background = Background()
        self.clock = ManualClock(start)
        self.emulator = Emulator(clock=EmulatorClock(self.clock), seed=1)
        self.deliveries = 0
        """How often it was delivered."""
        self._names: dict[int, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._set_up(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _set_up(self, stack: ExitStack) -> None:
        wait_for = stack.enter_context(self.background).wait_for
        stack.enter_context(time_from(self.clock.microseconds))
        wait_for(self.emulator.start())
        stack.callback(lambda: wait_for(self.emulator.stop()))
        given = self.settings
        self.settings = given.model_copy(
            update={
                "database": DatabaseSettings(url=self._url or _own_file(stack)),
                "telegram": given.telegram.model_copy(update={"base_url": self.emulator.url}),
                "encryption": given.encryption if given.encryption.ring() else _own_key(),
            }
        )
        storage = MemoryStorage(clock=lambda: self.clock.now)
        # Two on one database: what the test uses may be bound to the test's event loop, and this one works in ours.
        self.engine = Dovecote(settings=self.settings, storage=storage)
        stack.callback(lambda: wait_for(self.engine.close()))
        database = self.engine.database
        wait_for(ownership.take(database))
        stack.callback(lambda: wait_for(ownership.give_back(database)))
        self._tell_time(self.clock.now)
        self.clock.tell(self._tell_time)
        self._courier = Courier(self.engine)
        # The one that was made last is the one that UnitOfWork() means.
        self.dovecote = Dovecote(settings=self.settings, storage=storage)
        stack.callback(lambda: wait_for(self.dovecote.close()))

    def _tell_time(self, now: datetime) -> None:
        if self.engine.database.is_postgresql:
            self.background.wait_for(ownership.stop_clock(self.engine.database, now))

    # What works in the thread.

    async def add_bot(self, name: str) -> Bot:
        """Add a bot with a made-up token and without limits; one that is there already is made so."""
        token = f"{zlib.crc32(name.encode()) + 10**9}:{'made-up-for-a-test-and-known-nowhere'}"
        limits = {"pace": None, "private_limit": None, "group_limit": None}
        try:
            return await self.engine.add_bot(name, token=token, pace=None, private_limit=None, group_limit=None)
        except BotExists:
            await self.engine.set_paid_broadcasts(name, pace=None)
            await self.engine.set_limits(name, **limits)
            await self.engine.set_token(name, token=token)
            return next(bot for bot in await self.engine.bots() if bot.name == name)

    async def deliver(self) -> list[Sent]:
        """Deliver what is due now, and answer what was sent by it."""
        sent, _ = await self._deliver()
        return sent

    async def let_pass(self, time: timedelta) -> list[Sent]:
        """Let so much time pass, delivering at each instant at which something is due; answer what was sent."""
        if time < timedelta(0):
            raise ValueError(f"{time} cannot pass: the clock only goes forward.")
        until = self.clock.now + time
        sent, due_in = await self._deliver()
        while self.clock.now < until:
            step = until - self.clock.now
            if due_in is not None:
                step = min(step, max(timedelta(seconds=due_in), SHORTEST_STEP))
            await self._step(step)
            new, due_in = await self._deliver()
            sent += new
        return sent

    async def _step(self, step: timedelta) -> None:
        # The clock waits for this thread to tell the database, so another one has to move it.
        await asyncio.to_thread(self.clock.advance, step)

    async def _deliver(self) -> tuple[list[Sent], float | None]:
        self.deliveries += 1
        before = len(self.emulator.accepted)
        due_in = await self._courier.deliver()
        await self._learn_names()
        return self.sent(before), due_in

    async def _learn_names(self) -> None:
        """Know bots by the numbers in their tokens."""
        for bot in await self.engine.bots():
            try:
                number = self.engine.unseal(bot).partition(":")[0]
            except TokenUnreadable:
                continue
            self._names[int(number)] = bot.name

    def sent(self, after: int = 0) -> list[Sent]:
        """What Telegram would have acted on, in order, without the first `after`."""
        return [sent_of(record, self._names) for record in self.emulator.accepted[after:]]


def _own_key() -> Encryption:
    return Encryption(keys=(SecretStr(generate_key()),))


def _own_file(stack: ExitStack) -> str:
    folder = stack.enter_context(TemporaryDirectory(prefix="dovecote-testing-"))
    path = Path(folder) / "outbox.db"
    path.write_bytes(ownership.migrated_file())
    return f"sqlite:///{path}"
