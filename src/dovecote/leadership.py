"""Leadership: at most one instance does the work that needs only one.

Leadership saves work; it is never what makes a result correct. An occurrence fires once because a row is unique and a
notification is sent once because its lease is fenced. Two leaders for a moment cost double effort, no leader for a
moment costs delay, and neither costs a notification. What this module promises, and how:

Who. An instance is a process: its id is drawn at random when it starts. Two processes of one host are two, and a
process that was started again is another one. Host name and process id are shown to people and compare nothing.

The lease. A lease store (Redis, or a row of the database) gives a lease of `lease` to one instance at a time, by its
own clock. The instance numbers its acquisitions, and renews and releases by that token: a request that was given up on
and is carried out late by the server moves nothing that came after it, be it of another instance or its own.

The term. Whoever has the lease begins a term: a row of the database, whose number is one more than the last. The
number does not come from the lease store, so a Redis that was flushed, or came back from an old snapshot, cannot turn
it back; if it lets two instances hold the lease, they lead in different terms. Each instance reads the newest number
with every heartbeat, and a leader that finds one newer than its own ceases to lead: the newer term fences the older.

Trust. A leader trusts itself until `lease - margin` after the START of the acquisition or the last renewal that was
granted, by its own monotonic clock. The store's lease began later than that, so a slow answer never lengthens the
trust. The margin is a second, or a fifth of a lease that is shorter than five: it stands for clocks that run at
different rates and for the moment between asking `term` and acting on it. `term` asks the clock each time, so a process
that was frozen and wakes up does not believe it leads for as long as one line of code; nothing has to run first.

Loss. A renewal without an answer is tried again, sooner than the next was due, until the trust ends; at that instant
leadership is lost, not later. A renewal that is refused means that the lease is another's or gone, and ends it at
once. A term that is lost does not come back: an answer that arrives after the end of the trust is not believed, and
the next acquisition begins a new term.

Handing over. `stop` first ceases to lead, then releases the lease, then notes the end of the term: at no instant does
the next leader meet one that still believes. Followers ask for the lease every poll interval, so a clean stop is
followed by the next leader within one; a crash within what is left of the lease.

The time of day is read nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from dovecote.clocks import monotonic as boot_clock
from dovecote.errors import LeaseStoreUnavailable, NotMigrated, StoreUnavailable
from dovecote.model import Instance, LeadershipReport, Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovecote.ports import LeaseStore, TermStore

logger = logging.getLogger(__name__)

LONGEST_MARGIN = timedelta(seconds=1)
SHARE_OF_MARGIN = 5
LONGEST_ANSWER = timedelta(seconds=3)
A_MOMENT = 0.001
"""Seconds that are waited at least: the loop's clock is not the elector's, and a wait may end a little early."""
SHORTEST_PAUSE = 0.05
"""Seconds until a renewal without an answer is tried again; it doubles with each, up to the renewal interval."""

TOO_LATE = "its lease was not renewed in time"
AWAY = (LeaseStoreUnavailable, StoreUnavailable, NotMigrated)


def trusted(lease: timedelta) -> timedelta:
    """How long a leader trusts a lease, from the start of the request that got it."""
    return lease - min(LONGEST_MARGIN, lease / SHARE_OF_MARGIN)


def answer_within(lease: timedelta) -> timedelta:
    """How long a store may take over one request: one may stay without an answer and another still be in time."""
    return min(LONGEST_ANSWER, trusted(lease) / 2)


def this_process(role: str, version: str) -> Instance:
    """A new identity for this process."""
    return Instance(id=uuid.uuid4().hex, host=socket.gethostname(), pid=os.getpid(), version=version, role=role)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionSettings:
    """How long a lease lasts, how often a leader renews it, and how often a follower asks for it."""

    lease: timedelta = timedelta(seconds=15)
    renew_interval: timedelta = timedelta(seconds=5)
    poll_interval: timedelta = timedelta(milliseconds=500)


@dataclass(slots=True)
class _Tenure:
    """A lease that is held and the term it is held in. Instants are on the elector's clock."""

    term: int
    token: int
    trusted_until: float
    renew_at: float


class Elector:
    """`ports.Election` for one instance: stands for election from `run` until `stop`.

    `monotonic` answers seconds; it must go on while the process is frozen. `run` may be called again when it has
    ended, with the same identity.
    """

    name = "elector"

    def __init__(
        self,
        leases: LeaseStore,
        terms: TermStore,
        instance: Instance,
        settings: ElectionSettings,
        *,
        monotonic: Callable[[], float] = boot_clock,
        random: Random | None = None,
    ) -> None:
        self.instance = instance
        self._leases = leases
        self._terms = terms
        self._settings = settings
        self._now = monotonic
        self._random = random or Random()  # noqa: S311 (it spreads out requests and decides nothing)
        self._tenure: _Tenure | None = None
        # The term to be ended in order: one that was lost is not.
        self._to_end: int | None = None
        self._token = 0
        self._pause = 0.0
        self._stopping = False
        self._nudged = asyncio.Event()
        self._change = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None
        self._beat: asyncio.Future[int] | None = None
        # What is away, in words: the lease store, the database.
        self._faults: dict[type[Exception], str] = {}

    @property
    def term(self) -> int | None:
        """See `ports.Leadership.term`."""
        tenure = self._tenure
        return tenure.term if tenure is not None and self._now() < tenure.trusted_until else None

    async def changed(self) -> None:
        """See `ports.Leadership.changed`. Read `term` and wait without an await between, and no change is missed."""
        await self._change.wait()

    @property
    def available(self) -> bool:
        """See `ports.Election.available`."""
        return not self._faults

    @property
    def problem(self) -> str | None:
        """Why nobody can be elected at present, in a sentence; None while somebody can."""
        return "; ".join(self._faults.values()) or None

    def stop(self) -> None:
        """Cease to lead and hand over; `run` then returns."""
        self._stopping = True
        self._cease()
        self._nudged.set()

    async def run(self) -> None:
        """Stand for election until `stop`. Outages of the stores are borne."""
        beating = asyncio.create_task(self._beat_forever(), name="heartbeat")
        try:
            while not self._stopping:
                self._nudged.clear()
                pause = await self._look()
                if not self._stopping:
                    await self._rest(pause)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await self._hand_over()

    async def _rest(self, pause: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(A_MOMENT, pause)):
                await self._nudged.wait()

    # The lease.

    async def _look(self) -> float:
        """Renew what is held, or ask for the lease. Answers the seconds until the next look."""
        held = self._tenure
        try:
            if held is None or self.term is None:
                return await self._stand()
            if self._now() < held.renew_at:
                return held.renew_at - self._now()
            return await self._renew(held)
        except AWAY as error:
            self._bear(error)
            return self._longer_pause()

    async def _stand(self) -> float:
        if self._tenure is not None:
            # Its timer has not run yet: this process was held up.
            self._lose(TOO_LATE)
        self._token += 1
        token, started_at = self._token, self._now()
        granted = await self._leases.acquire(self.instance.id, token, self._settings.lease)
        self._recovered(LeaseStoreUnavailable)
        if not granted or self._stopping:
            self._pause = 0.0
            return self._spread(self._settings.poll_interval)
        try:
            term = await self._terms.begin(self.instance.id)
        except AWAY:
            # Somebody who reaches the database is to have it.
            await self._leases.release(self.instance.id, token)
            raise
        self._recovered(StoreUnavailable)
        self._pause = 0.0
        tenure = _Tenure(term, token, 0.0, 0.0)
        self._extend(tenure, started_at)
        if not self._may_lead(tenure):
            return 0.0
        self._tenure, self._to_end = tenure, term
        self._watch()
        self._announce()
        logger.info("this instance leads now, in term %d", term, extra={"instance": self.instance.id, "term": term})
        return tenure.renew_at - self._now()

    def _may_lead(self, tenure: _Tenure) -> bool:
        """Whether it is not too late, after all that was waited for."""
        return not self._stopping and self._now() < tenure.trusted_until

    async def _renew(self, held: _Tenure) -> float:
        started_at = self._now()
        renewed = await self._leases.renew(self.instance.id, held.token, self._settings.lease)
        self._recovered(LeaseStoreUnavailable)
        self._pause = 0.0
        # A newer term may have ended it meanwhile, and an answer that came after the trust does not bring it back.
        if self._tenure is not held or self.term is None:
            return 0.0
        if not renewed:
            self._lose("the lease is no longer this instance's")
            return 0.0
        self._extend(held, started_at)
        self._watch()
        return held.renew_at - self._now()

    def _extend(self, tenure: _Tenure, started_at: float) -> None:
        tenure.trusted_until = started_at + trusted(self._settings.lease).total_seconds()
        tenure.renew_at = started_at + self._settings.renew_interval.total_seconds()

    def _longer_pause(self) -> float:
        """Seconds to leave the stores alone for, each time longer."""
        longest = self._settings.renew_interval.total_seconds()
        self._pause = min(longest, self._pause * 2 or SHORTEST_PAUSE)
        return self._spread(timedelta(seconds=self._pause))

    def _spread(self, pause: timedelta) -> float:
        """Somewhat less than `pause`, in seconds: instances that were started together are not to ask together."""
        return pause.total_seconds() * (1 - self._random.random() / 4)

    # Leading, and ceasing to.

    def _watch(self) -> None:
        """Say at the end of the trust, should it come to that, that leadership is lost."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = None
        if self._tenure is not None:
            left = max(A_MOMENT, self._tenure.trusted_until - self._now())
            self._expiry = asyncio.get_running_loop().call_later(left, self._at_the_end_of_trust)

    def _at_the_end_of_trust(self) -> None:
        if self._tenure is None:
            return
        if self.term is not None:
            self._watch()
            return
        self._lose(TOO_LATE)
        self._nudged.set()

    def _lose(self, reason: str) -> None:
        if self._tenure is not None:
            term = self._tenure.term
            logger.warning(
                "this instance leads no longer: %s (term %d)",
                reason,
                term,
                extra={"instance": self.instance.id, "term": term},
            )
        self._to_end = None
        self._cease()

    def _cease(self) -> None:
        if self._tenure is None:
            return
        self._tenure = None
        self._watch()
        self._announce()

    def _announce(self) -> None:
        """Wake everybody who waits for a change, and let the next wait for the next one."""
        self._change.set()
        self._change = asyncio.Event()

    async def _hand_over(self) -> None:
        """Give back what is held, as far as the stores can be reached: else it runs out by itself."""
        self._cease()
        try:
            if await self._leases.release(self.instance.id, self._token):
                logger.info("the lease is handed over", extra={"instance": self.instance.id})
        except AWAY as error:
            logger.warning("the lease could not be handed over and runs out by itself: %s", error)
        if self._beat is not None:
            # It may be written although nobody waits for it any more, and after the farewell it would be a return.
            await asyncio.gather(self._beat, return_exceptions=True)
        with contextlib.suppress(*AWAY):
            if self._to_end is not None:
                await self._terms.end(self._to_end)
                self._to_end = None
            await self._terms.leave(self.instance.id)

    # The heartbeat.

    async def _beat_forever(self) -> None:
        while True:
            try:
                self._beat = asyncio.ensure_future(self._terms.beat(self.instance))
                newest = await asyncio.shield(self._beat)
            except AWAY as error:
                self._bear(error)
            except Exception:
                logger.exception("a heartbeat failed; the next is tried")
            else:
                self._recovered(StoreUnavailable)
                if self._tenure is not None and newest > self._tenure.term:
                    self._lose(f"term {newest} has begun")
                    self._nudged.set()
            await asyncio.sleep(self._spread(self._settings.renew_interval))

    # Outages: told of once, and once when they are over.

    def _bear(self, error: Exception) -> None:
        kind = LeaseStoreUnavailable if isinstance(error, LeaseStoreUnavailable) else StoreUnavailable
        if kind not in self._faults:
            meanwhile = "deliveries go on, and " if kind is LeaseStoreUnavailable else ""
            logger.warning("%s; %sno leader is elected until it is back", error, meanwhile)
        self._faults[kind] = str(error)

    def _recovered(self, kind: type[Exception]) -> None:
        if self._faults.pop(kind, None) is not None:
            logger.info("the %s is back", "lease store" if kind is LeaseStoreUnavailable else "database")


async def report(leases: LeaseStore, terms: TermStore, *, stale_after: timedelta) -> LeadershipReport:
    """Who leads and who follows. Raises StoreUnavailable and NotMigrated; a Redis that is away is told in it.

    Whoever holds the lease leads in the newest term, if that is its own; in the moment between, nobody does.
    """
    problem = holder = None
    try:
        holder = await leases.holder()
    except LeaseStoreUnavailable as error:
        problem = str(error)
    term = await terms.newest()
    now, records = await terms.instances()
    leads = term if term is not None and term.ended_at is None and term.instance == holder else None
    peers = [
        Peer(
            **asdict(record.instance),
            started_at=record.started_at,
            seen_at=record.seen_at,
            leads=leads is not None and record.instance.id == leads.instance,
            stale=now - record.seen_at > stale_after,
            silent_for=max(0.0, (now - record.seen_at).total_seconds()),
        )
        for record in records
    ]
    return LeadershipReport(
        leader=None if leads is None else leads.instance,
        term=None if leads is None else leads.number,
        since=None if leads is None else leads.begun_at,
        elected_by=leases.kind,
        problem=problem,
        instances=tuple(sorted(peers, key=lambda peer: (not peer.leads, peer.started_at, peer.id))),
    )
