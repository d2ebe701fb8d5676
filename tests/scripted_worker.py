"""A worker among scripted neighbours, in virtual time: a store that answers by a list, a channel that a test steers."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from virtual_time import seconds_passed

from dovecote.model import ClaimedNotification, Cycle, Delivered, DeliveryPolicy
from dovecote.retry import RetryPolicy
from dovecote.sender import Sender
from dovecote.unit_of_work import ClaimedOutbox
from dovecote.worker import Worker, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from dovecote.model import Outcome, Settlement

NOTHING = Cycle(claimed=[])


def claimed(id: int, *, send_in: float = 0.0, **columns: Any) -> ClaimedNotification:
    """A claim; its lease token is a hundred times its id."""
    standard: dict[str, Any] = {
        "id": id,
        "lease_token": 100 * id,
        "bot_id": 1,
        "bot": "shop",
        "chat": str(id),
        "method": "sendMessage",
        "params": '{"text":"hello"}',
        "delivery": DeliveryPolicy.AT_LEAST_ONCE,
        "attempt": 1,
        "failures": 0,
        "send_in": send_in,
        "slot": None,
    }
    return ClaimedNotification(**{**standard, **columns})


@dataclass
class Call:
    """One cycle that was asked for, and when."""

    at: float
    settled: dict[int, Outcome]
    claim: int
    renewed: list[int]
    alone: bool


@dataclass
class ScriptedStore:
    """`ports.OutboxStore`: cycles that claim take the next answer, the others find nothing; `wait` until woken."""

    answers: deque[Cycle | Exception] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    statements: int = 0
    takes: float = 0.0
    """Seconds that a cycle takes."""
    refused: set[int] = field(default_factory=set)
    """The ids whose settlement the database cannot store."""
    away: Exception | None = None
    """What every cycle raises now."""
    waits: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    wait_raises: Exception | None = None

    async def cycle(
        self,
        settlements: Sequence[Settlement],
        *,
        claim: int,
        lease: timedelta,
        renew: Sequence[ClaimedNotification] = (),
        alone: bool = False,
    ) -> Cycle:
        del lease
        outcomes = {each.claimed.id: each.outcome for each in settlements}
        self.calls.append(Call(seconds_passed(), outcomes, claim, [each.id for each in renew], alone))
        # What is found is what was there when the statement began.
        answer = self.answers.popleft() if claim and self.answers else NOTHING
        if self.takes:
            await asyncio.sleep(self.takes)
        if self.away is not None:
            raise self.away
        if self.refused & outcomes.keys():
            raise ValueError("a value that no column takes")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def wait(self, timeout: timedelta) -> None:
        self.waits += 1
        if self.wait_raises is not None:
            raise self.wait_raises
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self.woken.wait()
        except TimeoutError:
            return
        self.woken.clear()

    async def close(self) -> None:
        return

    @property
    def claims(self) -> list[Call]:
        """The cycles that claimed."""
        return [call for call in self.calls if call.claim]

    @property
    def settled(self) -> dict[int, Outcome]:
        """The outcomes that arrived, the last of each id."""
        return {id_: outcome for call in self.calls for id_, outcome in call.settled.items()}


@dataclass
class SteeredChannel:
    """`ports.Channel`: an id in `held` is answered when the test sets its event, any other at once."""

    held: dict[int, asyncio.Event] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    started: list[tuple[float, int]] = field(default_factory=list)
    in_flight: set[int] = field(default_factory=set)
    most_in_flight: int = 0

    async def send(self, claimed: ClaimedNotification, token: str, *, timeout: timedelta) -> Outcome:
        del token, timeout
        self.started.append((seconds_passed(), claimed.id))
        self.in_flight.add(claimed.id)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        try:
            if claimed.id in self.held:
                await self.held[claimed.id].wait()
        finally:
            self.in_flight.discard(claimed.id)
        return self.outcomes.get(claimed.id, Delivered((7,)))

    async def close(self) -> None:
        return

    def hold(self, *ids: int) -> None:
        """Answer these only when `let_go` is called."""
        self.held.update((id_, asyncio.Event()) for id_ in ids)

    def let_go(self, *ids: int) -> None:
        """Answer these now."""
        for id_ in ids:
            self.held.pop(id_).set()


class Tokens:
    """`ports.TokenSource`: one token for all bots, or what `raises` says."""

    def __init__(self) -> None:
        self.raises: Exception | None = None
        self.forgotten: list[int] = []

    async def token(self, bot_id: int) -> str:
        del bot_id
        if self.raises is not None:
            raise self.raises
        return "42:token"

    def forget(self, bot_id: int) -> None:
        self.forgotten.append(bot_id)


class Counts:
    """`ports.Observer` that keeps what it is told."""

    def __init__(self) -> None:
        self.settlements: list[int] = []
        self.lost: list[int] = []

    def cycle_done(self, seconds: float, cycle: Cycle) -> None:
        assert seconds >= 0
        self.lost += cycle.lost

    def settled(self, settlements: Sequence[Settlement]) -> None:
        self.settlements += [each.claimed.id for each in settlements]


class ScriptedWorker:
    """A worker, and everything around it."""

    def __init__(self, *answers: Cycle | Exception, request_timeout: float = 20, **settings: Any) -> None:
        self.store = ScriptedStore(deque(answers))
        self.channel = SteeredChannel()
        self.tokens = Tokens()
        self.counts = Counts()
        chosen = WorkerSettings(**settings)
        self.sender = Sender(
            self.channel,
            self.tokens,
            timeout=timedelta(seconds=request_timeout),
            unreadable_pause=timedelta(seconds=30),
            monotonic=asyncio.get_running_loop().time,
        )
        self.outbox = ClaimedOutbox(self.store, lease=chosen.lease, policy=RetryPolicy(), random=Random(1))
        self.worker = Worker(self.store, self.outbox, self.sender, chosen, self.counts)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run it, and cancel it at the end if it still runs."""
        task = asyncio.create_task(self.worker.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
