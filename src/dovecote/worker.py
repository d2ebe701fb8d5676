"""The worker: claim, pace, send, settle; many at a time, one statement per batch.

One loop runs the cycles and a fixed set of senders makes the requests. A cycle settles what is finished and claims what
there is room for. It runs when results have waited for the flush interval or fill a batch, and when there may be
something to claim: at a wake-up, at the next due time, at the poll. What this module promises:

- at most two batches wait under lease for the senders, which so need never wait for the database;
- no transaction is open while something is sent;
- a lease is renewed while this worker still trusts it, and never after: trust ends with the lease as counted from
  before the statement that gave it, on the monotonic clock;
- a notification that has already lost two workers is sent with nothing else in flight, so that if it kills this one,
  it takes no other with it;
- a slot that has long passed is given back and not used: after a stall the pace holds as before it;
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

from dovecote.errors import NotMigrated, StoreUnavailable
from dovecote.model import BotStopped, Dead, Delivered, Failed, Released, Scope, Snoozed, Unknown, eventful
from dovecote.redaction import impersonal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovecote.model import ClaimedNotification, Cycle, Outcome, Settlement
    from dovecote.ports import Observer, OutboxStore
    from dovecote.sender import Sender
    from dovecote.unit_of_work import ClaimedOutbox

logger = logging.getLogger(__name__)

TELL_AGAIN_SECONDS = 60.0
"""How often an outage of the Bot API is told of: it goes wrong with every request."""

TOLD_WAIT_SECONDS = 5.0
"""How long a worker that ends when nothing waits does so without a word."""

LATEST_START = 0.25
"""Seconds by which a request may miss its slot. Slots that many requests have missed would be used all at once."""


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
    """A claim in this worker's hands. Instants are on the monotonic clock; without a pace it may start at any time."""

    claimed: ClaimedNotification
    lease_ends_at: float
    latest_start_at: float = math.inf
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
        self._most_held = settings.batch_size + settings.concurrency  # with more in hand, nothing is claimed
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
        self._retry_at = math.inf
        # A notification is to be claimed alone, and the one that is in flight alone.
        self._alone = False
        self._lone: Held | None = None
        self._pause = 0.0
        self._is_away = False
        self._told_of_a_wait = False
        self._tell_again_at = -math.inf

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
                settling = self._outbox.marked
                cycle = await self._cycle()
                if until_empty and cycle is not None and not (self._held or self._outbox.marked):
                    if settling:
                        # A claim counts what is settled in the same statement as still waiting.
                        self._claim_at = self._now()
                    elif self._claim_at == math.inf and not (cycle.suspects or self._alone):
                        break
                    else:
                        self._tell_of_a_wait(cycle)
            await self._drain()
        finally:
            self._stopping = True
            for task in (waker, *senders):
                task.cancel()
            # A sender that is cut off notes an unknown outcome, which is recorded here.
            await asyncio.gather(waker, *senders, return_exceptions=True)
            self._give_back_unstarted()
            if self._outbox.marked:
                await self._cycle()

    def _tell_of_a_wait(self, cycle: Cycle) -> None:
        """Say once why a worker that is to end does not: what is planned, or kept for quiet hours, may be far off."""
        if not self._told_of_a_wait and (cycle.next_due_in or 0.0) >= TOLD_WAIT_SECONDS:
            self._told_of_a_wait = True
            logger.info("nothing is due by now; what is due in %.0f s is waited for", cycle.next_due_in)

    # When to run a cycle.

    def _next_look(self) -> float:
        """The instant of the next cycle, as far as can be told now."""
        at = self._flush_at if self._outbox.marked < self._settings.batch_size else -math.inf
        if self._alone:
            if not self._held and not self._outbox.marked:
                at = -math.inf
        elif self._may_claim():
            at = min(at, self._claim_at)
        return max(min(at, self._renew_at()), self._resume_at)

    def _may_claim(self) -> bool:
        return not self._stopping and self._lone not in self._held and len(self._held) <= self._most_held

    def _renew_at(self) -> float:
        now = self._now()
        # What has run out is another's, and would be the oldest for as long as its request takes.
        oldest = next((held.lease_ends_at for held in self._held if held.lease_ends_at > now), math.inf)
        return oldest - self._settings.lease.total_seconds() / 2

    async def _until_something_to_do(self) -> None:
        stopping = self._stopping
        while (pause := self._next_look() - self._now()) > 0 and self._stopping is stopping:
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
            try:
                await self._store.wait(self._settings.poll_interval)
            except Exception:
                logger.exception("waiting for notifications failed; the poll goes on")
                await asyncio.sleep(self._settings.poll_interval.total_seconds())
            # Until that claim has been made, nothing that comes needs to be told of.
            self._hungry.clear()
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
        # What comes while the statement runs puts them back: a claim does not see what is committed after its snapshot.
        self._flush_at = math.inf
        if claim:
            self._claim_at = math.inf
        try:
            cycle = await self._outbox.cycle(
                claim=claim,
                renew=[held.claimed for held in renewed],
                alone=alone,
                settled=self._recorded,
            )
        except (StoreUnavailable, NotMigrated) as error:
            self._bear_outage(error)
            return None
        except Exception:
            logger.exception("a cycle failed; its outcomes are recorded one by one")
            self._rest()
            await self._settle_singly()
            return None
        self._pause = 0.0
        self._is_away = False
        answered_at = self._now()
        for held in renewed:
            # An answer that came after the old lease's end does not say that nobody came between.
            if held.lease_ends_at > answered_at:
                held.lease_ends_at = started_at + lease
        self._take(cycle, claim, started_at + lease, alone=alone)
        self._observer.cycle_done(self._now() - started_at, cycle)
        if cycle.lost:
            logger.warning("%d leases were lost before their outcomes were recorded", len(cycle.lost))
        return cycle

    def _recorded(self, settlements: Sequence[Settlement]) -> None:
        self._observer.settled(settlements)
        events = eventful(settlements)
        stopped = {s.claimed.bot: s.outcome.error for s in events if isinstance(s.outcome, BotStopped)}
        for bot, error in stopped.items():
            logger.error(
                "Telegram refuses the bot; it is stopped until it is given a token: %s", error, extra={"bot": bot}
            )
        for settlement in events:
            self._tell(settlement)
        # The claim of the same statement has seen them still under their leases.
        due_again_in = min(map(_due_again_in, events), default=math.inf)
        self._retry_at = min(self._retry_at, self._now() + due_again_in)

    def _tell(self, settlement: Settlement) -> None:
        """Log what was given up, and, once in a while, that nothing can be sent."""
        claimed, outcome = settlement.claimed, settlement.outcome
        if not isinstance(outcome, (Failed, Unknown)):
            return
        about = {"notification": claimed.id, "bot": claimed.bot}
        words = impersonal(outcome.error)
        if settlement.retry_in is None:
            kept = "dead letter" if isinstance(outcome, Failed) else "unknown"
            logger.warning("given up after attempt %d, kept as %s: %s", claimed.attempt, kept, words, extra=about)
        elif self._now() >= self._tell_again_at:
            self._tell_again_at = self._now() + TELL_AGAIN_SECONDS
            logger.warning("an attempt went wrong and is made again, and so may others: %s", words, extra=about)

    def _room(self, *, alone: bool) -> int:
        if self._alone:
            return 1 if alone and not self._stopping else 0
        # Senders with nothing to do get what they can send at once, and the rest with the next claim.
        most = self._settings.batch_size if self._held else min(self._settings.batch_size, self._settings.concurrency)
        return most if self._may_claim() and self._now() >= self._claim_at else 0

    def _take(self, cycle: Cycle, claim: int, lease_ends_at: float, *, alone: bool) -> None:
        loop = asyncio.get_running_loop()
        now = self._now()
        for claimed in cycle.claimed:
            held = Held(claimed, lease_ends_at)
            self._held[held] = None
            if claimed.send_in > 0:
                held.latest_start_at = now + claimed.send_in + LATEST_START
                held.timer = loop.call_later(claimed.send_in, self._queue.put_nowait, held)
            else:
                self._queue.put_nowait(held)
            if alone:
                self._lone = held
        if self._outbox.marked:
            self._flush_at = now + self._settings.flush_interval.total_seconds()
        if alone:
            self._alone = False
            # What must be claimed alone may be blocked: the others go on meanwhile.
            self._look_alone_at = -math.inf if cycle.claimed else now + self._settings.poll_interval.total_seconds()
            self._claim_at = now
        elif claim and len(cycle.claimed) == claim:
            self._claim_at = now
            self._hungry.clear()
        elif claim:
            next_due_in = math.inf if cycle.next_due_in is None else cycle.next_due_in
            self._claim_at = min(self._claim_at, now + next_due_in)
            self._hungry.set()
        self._claim_at, self._retry_at = min(self._claim_at, self._retry_at), math.inf
        if cycle.suspects and now >= self._look_alone_at:
            self._alone = True

    def _bear_outage(self, error: StoreUnavailable | NotMigrated) -> None:
        if not self._is_away:
            self._is_away = True
            logger.error("%s; deliveries wait and outcomes are kept", error)
        self._rest()

    def _rest(self) -> None:
        """Let the database alone for a while, each time for longer."""
        longest = self._settings.longest_outage_pause.total_seconds()
        self._pause = min(longest, self._pause * 2 or 0.1)
        self._resume_at = self._now() + self._pause
        self._flush_at = self._claim_at = self._resume_at

    async def _settle_singly(self) -> None:
        try:
            for settlement in await self._outbox.settle_singly(self._recorded):
                claimed = settlement.claimed
                logger.error(
                    "the outcome could not be recorded: its lease will run out",
                    extra={"notification": claimed.id, "bot": claimed.bot},
                )
        except (StoreUnavailable, NotMigrated) as error:
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
            if self._now() > held.latest_start_at:
                self._note(held, Released(), 0.0)
                continue
            outcome, took = await self._sender.send(held.claimed, held.lease_ends_at)
            self._note(held, outcome, took)

    def _note(self, held: Held, outcome: Outcome, took: float) -> None:
        self._held.pop(held, None)
        self._outbox.note(held.claimed, outcome, took)
        if type(outcome) is not Delivered:
            if isinstance(outcome, Dead):
                about = {"notification": held.claimed.id, "bot": held.claimed.bot}
                logger.warning("given up: %s", impersonal(outcome.error), extra=about)
            if isinstance(outcome, BotStopped) or (isinstance(outcome, Snoozed) and outcome.scope is Scope.BOT):
                self._hold_back(held.claimed.bot_id)
        if self._flush_at == math.inf:
            self._flush_at = self._now() + self._settings.flush_interval.total_seconds()
            self._nudged.set()
        elif self._outbox.marked == self._settings.batch_size or len(self._held) in {0, self._most_held}:
            self._nudged.set()

    def _hold_back(self, bot_id: int) -> None:
        """Send nothing more of a bot that was told to wait, and let the other workers know at once.

        Whatever is sent while a 429 runs is refused as well, and makes the wait longer.
        """
        self._give_back_unstarted(bot_id)
        self._flush_at = self._now()
        self._nudged.set()

    # The end.

    def _give_back_unstarted(self, bot_id: int | None = None) -> None:
        unstarted = [held for held in self._held if not held.started and bot_id in {None, held.claimed.bot_id}]
        for held in unstarted:
            held.given_back = True
            if held.timer is not None:
                held.timer.cancel()
            self._note(held, Released(), 0.0)

    async def _drain(self) -> None:
        """Give back what has not begun, and wait for what is in flight, until the deadline."""
        self._stopping = True
        self._give_back_unstarted()
        if self._outbox.marked:
            self._flush_at = self._now()
        try:
            async with asyncio.timeout(self._settings.drain_deadline.total_seconds()):
                while self._held or self._outbox.marked:
                    await self._until_something_to_do()
                    await self._cycle()
        except TimeoutError:
            logger.warning("the drain deadline is over: %d requests are cut off", len(self._held))


def _due_again_in(settlement: Settlement) -> float:
    """Seconds until it may be claimed again; infinite for what has left the outbox."""
    match settlement.outcome:
        case Released(due_in):
            return due_in.total_seconds()
        case Snoozed(retry_after):
            return retry_after.total_seconds()
        case _:
            return math.inf if settlement.retry_in is None else settlement.retry_in.total_seconds()
