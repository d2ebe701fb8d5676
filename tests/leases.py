"""A lease for a conformance test: stores for several instances, and a clock that is moved instead of waited for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from outboxes import Outbox
from redis.asyncio import Redis

from dovecote.leases.redis import RedisLease
from dovecote.stores.lease import RowLease

if TYPE_CHECKING:
    from dovecote.ports import LeaseStore

TIMEOUT = timedelta(seconds=5)
IDENTITY = "an-outbox"
KEY = f"dovecote:{{{IDENTITY}}}:leader"


class LeaseArena(Protocol):
    """What the conformance suite needs of a kind of store."""

    async def prepare(self) -> None:
        """Let the clock stand still, where it can."""

    def store(self) -> LeaseStore:
        """A store of its own, as another instance has it."""

    async def advance(self, seconds: float) -> None:
        """Let so much of the store's time pass."""

    async def wipe(self) -> None:
        """Lose what is stored, as a flush does or an operator's hand."""

    async def close(self) -> None:
        """Give everything back."""


class DatabaseArena:
    """A row, on PostgreSQL or SQLite."""

    def __init__(self, url: str) -> None:
        self.outbox = Outbox(url)
        self._stores: list[LeaseStore] = []

    async def prepare(self) -> None:
        await self.outbox.stop_clock()

    def store(self) -> LeaseStore:
        made = RowLease(self.outbox.database, timeout=TIMEOUT, clock=self.outbox._microseconds)
        self._stores.append(made)
        return made

    async def advance(self, seconds: float) -> None:
        await self.outbox.advance(seconds)

    async def wipe(self) -> None:
        prefix = "dovecote." if self.outbox.database.is_postgresql else "dovecote_"
        await self.outbox.sql(f"DELETE FROM {prefix}leadership_lease")  # noqa: S608 (a literal)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        await self.outbox.close()


class RedisArena:
    """A key. The server's clock cannot be moved: what is left of the key's time is shortened instead."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis: Redis = Redis.from_url(url, decode_responses=True)
        self._stores: list[LeaseStore] = []

    async def prepare(self) -> None:
        """Its clock does not stand still; leases of minutes do not notice."""

    def store(self) -> LeaseStore:
        async def identity() -> str:
            return IDENTITY

        made = RedisLease(self.url, identity=identity, timeout=TIMEOUT)
        self._stores.append(made)
        return made

    async def advance(self, seconds: float) -> None:
        left = await self.redis.pttl(KEY)
        if left >= 0:
            # Rounded down: what has ended to the millisecond has ended.
            await self.redis.pexpire(KEY, max(0, left - round(seconds * 1000)))

    async def wipe(self) -> None:
        await self.redis.flushall()

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        await self.redis.aclose()
