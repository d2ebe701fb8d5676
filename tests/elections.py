"""Elections in virtual time: a lease server and a table of terms in memory, and a network that can be made bad.

The servers' clock is the event loop's; an elector's own may run at another rate. What a request does and what its
client learns of it are two things here: either may be late or never.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, TypeVar

from dovecote.errors import LeaseStoreUnavailable, StoreUnavailable
from dovecote.leadership import ElectionSettings, Elector
from dovecote.model import Instance, InstanceRecord, Term
from dovecote.stores.tables import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

T = TypeVar("T")

TIMEOUT = 3.0
SETTINGS = ElectionSettings(
    lease=timedelta(seconds=15), renew_interval=timedelta(seconds=5), poll_interval=timedelta(milliseconds=500)
)


def now() -> float:
    """True time, in seconds."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Trip:
    """What becomes of one request: seconds until it is carried out, and from then until the answer is there.

    A request that is lost is never carried out. `frozen` are the seconds for which the client stands still with the
    answer at its door: it takes it then, however late.
    """

    there: float = 0.0
    back: float = 0.0
    lost: bool = False
    frozen: float = 0.0


@dataclass(slots=True)
class Network:
    """Between the instances and one server. `trip` says what becomes of the next request of an instance."""

    error: type[Exception]
    trip: Callable[[str], Trip] = lambda _: Trip()
    dead: set[str] = field(default_factory=set)
    is_down: bool = False
    requests: int = 0

    async def ask(self, instance: str, effect: Callable[[], T]) -> T:
        """Carry a request out. Raises `error` where no answer comes in time."""
        self.requests += 1
        if self.is_down or instance in self.dead:
            await asyncio.sleep(0.01)
            raise self.error("nothing answers there")
        trip = self.trip(instance)
        answered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not trip.lost:
            asyncio.get_running_loop().call_later(trip.there, self._carry_out, effect, answered)
        if trip.lost or trip.there + trip.back > TIMEOUT:
            await asyncio.sleep(TIMEOUT)
            raise self.error("no answer in time")
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await answered
        except TimeoutError:
            raise self.error("no answer in time") from None
        await asyncio.sleep(trip.back + trip.frozen)
        return answer

    def _carry_out(self, effect: Callable[[], T], answered: asyncio.Future[T]) -> None:
        # A process that is gone may still have something under way, a server that is down has nothing.
        if self.is_down:
            return
        answer = effect()
        if not answered.done():
            answered.set_result(answer)


class LeaseServer:
    """`ports.LeaseStore` for every instance at once. `granted` is until when each token was ever given the lease."""

    kind = "memory"

    def __init__(self) -> None:
        self.network = Network(LeaseStoreUnavailable)
        self.held: tuple[str, int, float] | None = None
        self.granted: dict[tuple[str, int], float] = {}

    async def acquire(self, instance: str, token: int, lease: timedelta) -> bool:
        def effect() -> bool:
            held = self._current()
            if held is not None and (held[0] != instance or held[1] >= token):
                return False
            self._grant(instance, token, lease)
            return True

        return await self.network.ask(instance, effect)

    async def renew(self, instance: str, token: int, lease: timedelta) -> bool:
        def effect() -> bool:
            held = self._current()
            if held is None or held[:2] != (instance, token):
                return False
            self._grant(instance, token, lease)
            return True

        return await self.network.ask(instance, effect)

    async def release(self, instance: str, token: int) -> bool:
        def effect() -> bool:
            held = self._current()
            if held is None or held[0] != instance or held[1] > token:
                return False
            self.held = None
            return True

        return await self.network.ask(instance, effect)

    async def holder(self) -> str | None:
        held = self._current()
        return None if held is None else held[0]

    async def close(self) -> None:
        """There is nothing to give back."""

    def flush(self) -> None:
        """Lose everything."""
        self.held = None

    def _current(self) -> tuple[str, int, float] | None:
        return self.held if self.held is not None and now() < self.held[2] else None

    def _grant(self, instance: str, token: int, lease: timedelta) -> None:
        until = now() + lease.total_seconds()
        self.held = (instance, token, until)
        self.granted[instance, token] = until


class TermTable:
    """`ports.TermStore` for every instance at once."""

    def __init__(self) -> None:
        self.network = Network(StoreUnavailable)
        self.terms: list[Term] = []
        self.seen: dict[str, InstanceRecord] = {}

    async def beat(self, instance: Instance) -> int:
        def effect() -> int:
            record = self.seen.get(instance.id)
            started_at = record.started_at if record else self._now()
            self.seen[instance.id] = InstanceRecord(instance, started_at, self._now())
            return len(self.terms)

        return await self.network.ask(instance.id, effect)

    async def leave(self, instance: str) -> None:
        await self.network.ask(instance, lambda: self.seen.pop(instance, None))

    async def begin(self, instance: str) -> int:
        def effect() -> int:
            self.terms.append(Term(len(self.terms) + 1, instance, self._now()))
            return len(self.terms)

        return await self.network.ask(instance, effect)

    async def end(self, number: int) -> None:
        term = self.terms[number - 1]

        def effect() -> None:
            self.terms[number - 1] = Term(number, term.instance, term.begun_at, self._now())

        await self.network.ask(term.instance, effect)

    async def newest(self) -> Term | None:
        return self.terms[-1] if self.terms else None

    async def instances(self) -> tuple[datetime, Sequence[InstanceRecord]]:
        return await self.network.ask("", lambda: (self._now(), list(self.seen.values())))

    async def close(self) -> None:
        """There is nothing to give back."""

    @staticmethod
    def _now() -> datetime:
        return EPOCH + timedelta(seconds=now())


class Candidate:
    """An instance that stands for election, until it is stopped or killed."""

    def __init__(
        self,
        name: str,
        leases: LeaseServer,
        terms: TermTable,
        *,
        settings: ElectionSettings = SETTINGS,
        rate: float = 1.0,
        random: Random | None = None,
    ) -> None:
        self.name = name
        self.rate = rate
        self._networks = (leases.network, terms.network)
        instance = Instance(id=name, host="one-host", pid=1, version="0", role="worker")
        self.elector = Elector(
            leases,
            terms,
            instance,
            settings,
            monotonic=lambda: now() * self.rate,
            random=random or Random(name),
        )
        self._task = asyncio.create_task(self.elector.run())

    @property
    def term(self) -> int | None:
        return self.elector.term

    async def stop(self) -> None:
        """End it in order."""
        self.elector.stop()
        await self._task

    async def kill(self) -> None:
        """End it without a word: nothing of it reaches a server any more."""
        for network in self._networks:
            network.dead.add(self.name)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
