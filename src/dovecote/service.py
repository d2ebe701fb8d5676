"""One lifecycle for every loop of a process: run until told to stop, then drain.

A process delivers (the worker), stands for election (the elector), and has the loops that only a leader's work is for.
A loop that fails is told of in the log and run again after a pause; the others go on meanwhile.

SIGTERM and SIGINT begin the end. The worker claims no more and finishes what is in flight. At the same time the loops
of the leader end, and when the last of them has ended the elector hands the lease over: the next leader does not wait
for what this one still sends. A second signal cuts everything off at once, and what was in flight is then settled by
its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from typing import TYPE_CHECKING

from dovecote.errors import DovecoteError
from dovecote.observability.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovecote.app import Dovecote
    from dovecote.leadership import Elector
    from dovecote.model import Schedule, Stats
    from dovecote.ports import Loop
    from dovecote.scheduler import Scheduler
    from dovecote.worker import Worker

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds until a loop that failed is run again: it doubles with each, and begins anew after a while without any."""
MOST_BROADCASTS = 1000
"""So many broadcasts under way are counted for a scrape."""


def delivery_only() -> None:
    """Tell the garbage collector that this process does nothing but deliver: it has no cycles worth looking for often.

    The default looks at every few hundred new objects, a tenth of the time that a worker spends in Python.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


class Delivering:
    """The worker as a loop of a process: a fresh one for each run, since one that has failed cannot go on."""

    name = "worker"

    def __init__(self, make: Callable[[], Worker], *, until_empty: bool) -> None:
        self._make = make
        self._until_empty = until_empty
        self._worker: Worker | None = None
        self._stopping = False

    async def run(self) -> None:
        """Deliver until `stop`, or until nothing is waiting."""
        if self._stopping:
            return
        self._worker = self._make()
        await self._worker.run(until_empty=self._until_empty)

    def stop(self) -> None:
        """Begin to drain."""
        self._stopping = True
        if self._worker is not None:
            self._worker.stop()


class Supervised:
    """Runs a loop until it is told to stop, again and again if it must be.

    `first_pause` is in seconds. With `may_end` the loop ends by itself when its work is done; any other that returns
    unasked has failed as well.
    """

    def __init__(self, loop: Loop, *, may_end: bool = False, first_pause: float = FIRST_PAUSE) -> None:
        self.loop = loop
        self._may_end = may_end
        self._first_pause = first_pause
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Tell the loop to stop, and run it no more."""
        self._stopping.set()
        self.loop.stop()

    async def run(self) -> None:
        """Return when the loop has ended in order. Raises nothing but what cancels it."""
        clock = asyncio.get_running_loop()
        pause = self._first_pause
        while not self._stopping.is_set():
            started_at = clock.time()
            try:
                await self.loop.run()
            except Exception:
                logger.exception("the loop %s failed and is run again in a while", self.loop.name)
            else:
                if self._may_end or self._stopping.is_set():
                    return
                logger.error("the loop %s ended by itself and is run again in a while", self.loop.name)
            if clock.time() - started_at > LONGEST_PAUSE:
                pause = self._first_pause
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(LONGEST_PAUSE, pause * 2)


class Service:
    """A worker, the elector with the leader's loops, and with `http` the listener, in this process.

    `role` is what other instances are told that this one is. `leader_loops` stand in for those of the Dovecote.
    `schedules` are those of the settings file, applied before anything starts; None where there is no file.
    """

    def __init__(
        self,
        dovecote: Dovecote,
        *,
        http: bool = True,
        role: str = "worker",
        leader_loops: Sequence[Loop] | None = None,
        schedules: Sequence[Schedule] | None = None,
    ) -> None:
        self._dovecote = dovecote
        self._schedules = schedules
        self._elector: Elector = dovecote.elector(role)
        self._leader_loops = list(dovecote.leader_loops() if leader_loops is None else leader_loops)
        self._delivering: Supervised | None = None
        self._firing: Scheduler | None = None
        self._leading: list[Supervised] = []
        self._electing: Supervised | None = None
        self._told = False
        self._over = asyncio.Event()
        self.listener = _listener(dovecote, self._elector) if http else None

    @property
    def loops(self) -> list[str]:
        """The names of the loops that run in this process now."""
        running = [self._delivering, *self._leading, self._electing]
        return [each.loop.name for each in running if each is not None]

    async def run(self, *, until_empty: bool = False, on_ready: Callable[[], None] | None = None) -> None:
        """Run until `stop` or a signal, or, with `until_empty`, until nothing is waiting.

        `on_ready` is called once the listener listens. Raises before anything starts when the configuration or schema
        is not right. A process that only empties the outbox stands for no election; it fires once what is due when it
        begins, and raises StoreUnavailable if the database goes away meanwhile.
        """
        await self._dovecote.check()
        if self._schedules is not None:
            applied = await self._dovecote.schedules.apply(self._schedules)
            for verb, names in (("added", applied.added), ("changed", applied.changed), ("removed", applied.removed)):
                if names:
                    logger.info("schedules of the settings file %s: %s", verb, ", ".join(names))
        loop = asyncio.get_running_loop()
        working = asyncio.current_task()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, working)
        try:
            if self.listener is not None:
                await self.listener.start()
            logger.info("delivering from %r", self._dovecote)
            if on_ready is not None:
                on_ready()
            await (self._empty() if until_empty else self._run_loops(until_empty=False))
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)
            if self.listener is not None:
                await self.listener.stop()
            logger.info("stopped")

    async def _empty(self) -> None:
        """Deliver until nothing is waiting: what is due fires first, what is broadcast comes a window at a time."""
        if not self._over.is_set():
            await self._fire_due()
        await self._run_loops(until_empty=True)
        while not self._over.is_set() and await self._broadcast_on():
            await self._run_loops(until_empty=True)

    async def _fire_due(self) -> None:
        """Fire what is due and fan out what is open: what it makes is part of what is to be emptied."""
        self._firing = self._dovecote.scheduler()
        try:
            await self._firing.fire_due()
        finally:
            await self._firing.close()
            self._firing = None

    async def _broadcast_on(self) -> bool:
        """Let what is broadcast come into the outbox, which holds a window of it at most; answers whether any does."""
        broadcaster = self._dovecote.broadcaster()
        try:
            return await broadcaster.fill()
        finally:
            await broadcaster.close()

    async def _run_loops(self, *, until_empty: bool) -> None:
        delivering = Delivering(self._dovecote.worker, until_empty=until_empty)
        self._delivering = Supervised(delivering, may_end=until_empty)
        if not until_empty:
            self._leading = [Supervised(each) for each in self._leader_loops]
            self._electing = Supervised(self._elector)
        if self._over.is_set():
            self.stop()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._delivering.run(), name="worker")
                if self._electing is not None:
                    group.create_task(self._lead(self._electing), name="leadership")
        finally:
            self._delivering, self._leading, self._electing = None, [], None

    async def _lead(self, electing: Supervised) -> None:
        """Stand for election until the leader's loops have ended: only then may another lead."""
        election = asyncio.create_task(electing.run(), name="elector")
        try:
            async with asyncio.TaskGroup() as group:
                for each in self._leading:
                    group.create_task(each.run(), name=each.loop.name)
                group.create_task(self._over.wait())
        finally:
            electing.stop()
            await election

    def stop(self) -> None:
        """Begin to drain."""
        self._over.set()
        for each in (self._firing, self._delivering, *self._leading):
            if each is not None:
                each.stop()

    def _on_signal(self, working: asyncio.Task[None] | None) -> None:
        if self._told and working is not None:
            logger.warning("told to stop twice: what is in flight is cut off")
            working.cancel()
            return
        self._told = True
        logger.info("draining")
        self.stop()


def _listener(dovecote: Dovecote, elector: Elector) -> Listener:
    http = dovecote.settings.http

    async def stats() -> Stats:
        oldest = await dovecote.oldest_snapshot()
        dovecote.metrics.set_oldest_snapshot(0.0 if oldest is None else oldest.seconds)
        dovecote.metrics.broadcasts.set(await dovecote.broadcasts.under_way(limit=MOST_BROADCASTS))
        return await dovecote.stats()

    async def election() -> str | None:
        return elector.problem

    return Listener(
        metrics=dovecote.metrics,
        stats=stats,
        checks={"database": lambda: _database_fault(dovecote)},
        information={"election": election},
        host=http.host,
        port=http.port,
        token=http.token,
    )


async def _database_fault(dovecote: Dovecote) -> str | None:
    try:
        await dovecote.database.check_migrated()
    except DovecoteError as error:
        return str(error)
    return None
