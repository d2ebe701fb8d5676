"""The worker: claim, pace, send, settle; many at a time, one statement per batch.

One loop runs the cycles and a fixed set of senders makes the requests. A cycle settles what is finished and claims what
there is room for. It runs when results have waited for the flush interval or fill a batch, and when there may be
something to claim: at a wake-up, at the next due time, at the poll. What this module promises:

- at most two batches are under lease at a time: one being sent, one so that the senders never wait for the database;
- no transaction is open while something is sent;
- a lease is renewed while this worker still trusts it, and never after: trust ends with the lease as counted from
  before the statement that gave it, on the monotonic clock;
- a notification that has already lost two workers is sent with nothing else in flight, so that if it kills this one,
  it takes no other with it;
- when the database is away, sending goes on with what is claimed, results are kept, and settling them again later is
  harmless.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from dovecote.errors import StoreUnavailable
from dovecote.model import Dead, Released

if TYPE_CHECKING:
    from dovecote.model import ClaimedNotification, Cycle, Outcome
    from dovecote.ports import Observer, OutboxStore
    from dovecote.sender import Sender
    from dovecote.unit_of_work import ClaimedOutbox

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How much at a time, and how patiently."""

    batch_size: int = 500
    concurrency: int = 128
    lease: timedelta = timedelta(seconds=60)
    poll_interval: timedelta = timedelta(seconds=1)
    flush_interval: timedelta = timedelta(milliseconds=50)
    drain_deadline: timedelta = timedelta(seconds=25)
    longest_outage_pause: timedelta = timedelta(seconds=5)


@dataclass(slots=True, eq=False)
class Held:
    """A claim in this worker's hands. `lease_ends_at` is on the monotonic clock."""

    claimed: ClaimedNotification
    lease_ends_at: float
    timer: asyncio.TimerHandle | None = None
    started: bool = False
    given_back: bool = False


class Worker:
    """Delivers from one outbox until it is stopped. Run any number of them, in any number of processes."""

    def __init__(
        self, store: OutboxStore, outbox: ClaimedOutbox, sender: Sender, settings: WorkerSettings, observer: Observer
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._sender = sender
        self._settings = settings
        self._observer = observer
        self._now = sender.monotonic
        # In the order of their leases' ends: whatever renews one renews all.
        self._held: dict[Held, None] = {}
        self._queue: asyncio.Queue[Held] = asyncio.Queue()
        self._nudged = asyncio.Event()
        self._hungry = asyncio.Event()
        self._stopping = False
        # Instants on the monotonic clock.
        self._claim_at = -math.inf
        self._flush_at = math.inf
        self._look_alone_at = -math.inf
        self._resume_at = -math.inf
        self._alone = False
        self._outage_pause = 0.0

    def stop(self) -> None:
        """Begin to drain: claim no more, finish what is in flight, give back the rest. `run` then returns."""
        self._stopping = True
        self._nudged.set()

    async def run(self, *, until_empty: bool = False) -> None:
        """Deliver until `stop`; with `until_empty`, until nothing is waiting, for now or for later."""
        senders = [asyncio.create_task(self._send_forever()) for _ in range(self._settings.concurrency)]
        waker = asyncio.create_task(self._wake_forever())
        try:
            while not self._stopping:
                await self._until_something_to_do()
                cycle = await self._cycle()
                if until_empty and cycle is not None and cycle.next_due_in is None and self._is_done(cycle):
                    break
            await self._drain()
        finally:
            for task in (waker, *senders):
                task.cancel()
            # A sender that is cut off notes an unknown outcome, which is recorded here.
            await asyncio.gather(waker, *senders, return_exceptions=True)
            self._give_back_unstarted()
            if self._outbox.marked:
                await self._cycle()

    def _is_done(self, cycle: Cycle) -> bool:
        looked = self._claim_at > self._now()
        return looked and not (self._held or self._outbox.marked or cycle.claimed or cycle.suspects or self._alone)

    # When to run a cycle.

    def _next_look(self) -> float:
        """The instant of the next cycle, as far as can be told now."""
        at = self._flush_at if self._outbox.marked < self._settings.batch_size else -math.inf
        if self._alone:
            if not self._held and not self._outbox.marked:
                at = -math.inf
        elif not self._stopping and len(self._held) <= self._settings.batch_size:
            at = min(at, self._claim_at)
        return max(min(at, self._renew_at()), self._resume_at)

    def _renew_at(self) -> float:
        oldest = next(iter(self._held), None)
        return math.inf if oldest is None else oldest.lease_ends_at - self._settings.lease.total_seconds() / 2

    async def _until_something_to_do(self) -> None:
        while (pause := self._next_look() - self._now()) > 0 and not self._stopping:
            self._nudged.clear()
            try:
                async with asyncio.timeout(None if pause == math.inf else pause):
                    await self._nudged.wait()
            except TimeoutError:
                return

    async def _wake_forever(self) -> None:
        """While there is less to claim than asked for, listen for more, and look at every poll."""
        while True:
            await self._hungry.wait()
            await self._store.wait(self._settings.poll_interval)
            self._claim_at = self._now()
            self._nudged.set()

    # The cycle.

    async def _cycle(self) -> Cycle | None:
        """Settle what is finished and claim what there is room for. None when the database is away."""
        alone = self._alone and not self._held and not self._outbox.marked
        claim = self._room(alone=alone)
        started_at = self._now()
        lease = self._settings.lease.total_seconds()
        # Only while it is certain that no other worker can hold them.
        renewed = (
            [held for held in self._held if held.lease_ends_at > started_at] if started_at >= self._renew_at() else []
        )
        self._flush_at = math.inf
        try:
            cycle = await self._outbox.cycle(
                claim=claim,
                renew=[held.claimed for held in renewed],
                alone=alone,
                settled=self._observer.settled,
            )
        except StoreUnavailable as error:
            self._bear_outage(error)
            return None
        except Exception:
            logger.exception("a batch could not be recorded; its outcomes are recorded one by one")
            await self._settle_singly()
            return None
        self._outage_pause = 0.0
        for held in renewed:
            held.lease_ends_at = started_at + lease
        self._take(cycle, claim, started_at + lease, alone=alone)
        self._observer.cycle_done(self._now() - started_at, cycle)
        if cycle.lost:
            logger.warning("%d leases were lost before their outcomes were recorded", len(cycle.lost))
        return cycle

    def _room(self, *, alone: bool) -> int:
        if self._stopping:
            return 0
        if self._alone:
            return 1 if alone else 0
        if self._now() < self._claim_at or len(self._held) > self._settings.batch_size:
            return 0
        return self._settings.batch_size

    def _take(self, cycle: Cycle, claim: int, lease_ends_at: float, *, alone: bool) -> None:
        loop = asyncio.get_running_loop()
        for claimed in cycle.claimed:
            held = Held(claimed, lease_ends_at)
            self._held[held] = None
            if claimed.send_in > 0:
                held.timer = loop.call_later(claimed.send_in, self._queue.put_nowait, held)
            else:
                self._queue.put_nowait(held)
        now = self._now()
        if self._outbox.marked:
            self._flush_at = now + self._settings.flush_interval.total_seconds()
        if alone:
            self._alone = False
            # What must be claimed alone may be blocked: the others go on meanwhile.
            self._look_alone_at = -math.inf if cycle.claimed else now + self._settings.poll_interval.total_seconds()
            self._claim_at = now
        elif claim:
            full = len(cycle.claimed) == claim
            next_due_in = math.inf if cycle.next_due_in is None else cycle.next_due_in
            self._claim_at = now if full else now + next_due_in
            if full:
                self._hungry.clear()
            else:
                self._hungry.set()
        if cycle.suspects and now >= self._look_alone_at:
            self._alone = True

    def _bear_outage(self, error: StoreUnavailable) -> None:
        if not self._outage_pause:
            logger.error("%s; deliveries wait and outcomes are kept", error)
        longest = self._settings.longest_outage_pause.total_seconds()
        self._outage_pause = min(longest, self._outage_pause * 2 or 0.1)
        self._resume_at = self._now() + self._outage_pause
        self._flush_at = self._resume_at

    async def _settle_singly(self) -> None:
        try:
            for settlement in await self._outbox.settle_singly():
                claimed = settlement.claimed
                logger.error(
                    "the outcome could not be recorded: its lease will run out",
                    extra={"notification": claimed.id, "bot": claimed.bot},
                )
        except StoreUnavailable as error:
            self._bear_outage(error)

    # Sending.

    async def _send_forever(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (it runs as a task)
        while not task.cancelling():
            held = await self._queue.get()
            if held.given_back:
                continue
            held.started = True
            outcome, took = await self._sender.send(held.claimed, held.lease_ends_at)
            self._note(held, outcome, took)

    def _note(self, held: Held, outcome: Outcome, took: float) -> None:
        self._held.pop(held, None)
        self._outbox.note(held.claimed, outcome, took)
        if isinstance(outcome, Dead):
            claimed = held.claimed
            logger.warning("given up: %s", outcome.error, extra={"notification": claimed.id, "bot": claimed.bot})
        if self._flush_at == math.inf:
            self._flush_at = self._now() + self._settings.flush_interval.total_seconds()
            self._nudged.set()
        elif self._outbox.marked == self._settings.batch_size or len(self._held) in {0, self._settings.batch_size}:
            self._nudged.set()

    # The end.

    def _give_back_unstarted(self) -> None:
        for held in [held for held in self._held if not held.started]:
            held.given_back = True
            if held.timer is not None:
                held.timer.cancel()
            self._note(held, Released(), 0.0)

    async def _drain(self) -> None:
        """Give back what has not begun, and wait for what is in flight, until the deadline."""
        self._stopping = True
        self._give_back_unstarted()
        try:
            async with asyncio.timeout(self._settings.drain_deadline.total_seconds()):
                while self._held or self._outbox.marked:
                    if self._outbox.marked:
                        await self._cycle()
                    if self._held:
                        self._nudged.clear()
                        await self._nudged.wait()
                    elif self._outbox.marked:
                        await asyncio.sleep(max(0.0, self._resume_at - self._now()))
        except TimeoutError:
            logger.warning("the drain deadline is over: %d requests are cut off", len(self._held))
