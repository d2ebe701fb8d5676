"""The record of runs, written for many at a time: beginnings and ends wait for each other in one transaction.

A run asks to begin and waits for the answer; its end is noted and forgotten. While the database cannot be reached both
are tried again: the lease's token makes that harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from concurrent.futures import Future
from datetime import timedelta
from typing import TYPE_CHECKING

from dovecote.errors import DovecoteError, StoreUnavailable
from dovecote.model import RunEnd, RunState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from dovecote.model import RunKey, StartedRun
    from dovecote.ports import JobRunStore

logger = logging.getLogger(__name__)

AT_ONCE = 50
# When so many wait to begin, no more are handed out: each holds objects that every pass of the collector visits.
CROWD = AT_ONCE
# So many answers are handed to the event loop before it gets a chance to do something else.
ANSWERED_AT_ONCE = 10
BREATH_SECONDS = 1.0
AGAIN_SECONDS = 0.25
STUCK_SECONDS = 60.0
"""After so long without an answer a connection is dead, whatever it says."""

Waiting = tuple["RunKey", "Future[StartedRun | None]"]


class Recorder:
    """Records the runs of one process. `begin` and `end` may be called from any thread; `run` is backstage."""

    def __init__(
        self,
        runs: JobRunStore,
        *,
        instance: str,
        term: Callable[[], int | None],
        lease: timedelta,
        application: asyncio.AbstractEventLoop,
        relieved: Callable[[], None],
    ) -> None:
        self._runs = runs
        self._instance = instance
        self._term = term
        self._lease = lease
        self._application = application
        self._relieved = relieved
        self._lock = threading.Lock()
        self._begins: list[Waiting] = []
        self._ends: list[RunEnd] = []
        self._held: dict[RunKey, StartedRun] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = False
        self._over = False

    def begin(self, key: RunKey) -> Future[StartedRun | None]:
        """Ask to begin a run. The answer is None when another process has it, or had it."""
        future: Future[StartedRun | None] = Future()
        with self._lock:
            if self._over:
                future.set_result(None)
            else:
                self._begins.append((key, future))
        self._call()
        return future

    def end(self, end: RunEnd) -> None:
        """Note what came of a run."""
        with self._lock:
            self._ends.append(end)
        self._call()

    def ended_elsewhere(self, key: RunKey) -> None:
        """A unit of work has recorded the end of this run."""
        with self._lock:
            self._held.pop(key, None)

    @property
    def busy(self) -> bool:
        """Whether there is anything that is not yet recorded."""
        with self._lock:
            return bool(self._held or self._ends or self._begins)

    @property
    def crowded(self) -> bool:
        """Whether so many wait to begin that no more should; `relieved` is called when that has changed."""
        return len(self._begins) >= CROWD

    def _call(self) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it may have ended at this moment
                loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Write what there is to write, and renew the leases, for ever."""
        self._loop = asyncio.get_running_loop()
        self._wake.set()
        renewed = time.monotonic()
        every = self._lease.total_seconds() / 3
        while True:
            try:
                async with asyncio.timeout(max(0.0, renewed + every - time.monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                self._wake.clear()
            # However much there is to write: leases come first.
            if time.monotonic() - renewed >= every:
                renewed = time.monotonic()
                await self._safely(self._renew)
            self._wake.clear()
            await self.flush()

    def close(self) -> None:
        """Answer those who wait to begin, now and later, that they do not."""
        with self._lock:
            self._over = True
            waiting, self._begins = self._begins, []
        for _, future in waiting:
            if future.running() or (not future.done() and future.set_running_or_notify_cancel()):
                future.set_result(None)

    async def flush(self) -> None:
        """Write one slice of what there is by now, unless the database cannot be reached."""
        if await self._safely(self._write_ends) and await self._safely(self._write_begins):
            with self._lock:
                if self._ends or self._begins:
                    self._wake.set()

    async def _safely(self, write: Callable[[], Awaitable[object]]) -> bool:
        """Whether it was done. What could not be written is kept, and tried again soon."""
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await write()
        except (DovecoteError, TimeoutError) as error:
            if not self._told:
                logger.warning("runs of jobs cannot be recorded, they wait: %s", error)
            self._told = True
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._wake.set)
            return False
        if self._told:
            logger.info("runs of jobs are recorded again")
        self._told = False
        return True

    async def _write_ends(self) -> None:
        with self._lock:
            ends = self._ends[:AT_ONCE]
        if not ends:
            return
        await self._runs.settle(ends)
        with self._lock:
            del self._ends[: len(ends)]
            for end in ends:
                self._held.pop(end.key, None)

    async def _write_begins(self) -> None:
        with self._lock:
            waiting = self._begins[:AT_ONCE]
        # Whoever has stopped waiting, since the scheduler was shut down, does not begin.
        wanted = [
            (key, future)
            for key, future in waiting
            if future.running() or (not future.done() and future.set_running_or_notify_cancel())
        ]
        term = self._term()
        if wanted and term is not None:
            started = await self._begin(wanted, term)
        else:
            started = {}
        with self._lock:
            crowded = self.crowded
            del self._begins[: len(waiting)]
            self._held.update(started)
            relieved = crowded and not self.crowded
        if relieved:
            self._relieved()
        for start in range(0, len(wanted), ANSWERED_AT_ONCE):
            for key, future in wanted[start : start + ANSWERED_AT_ONCE]:
                future.set_result(started.get(key))
            await self._breathe()

    async def _begin(self, wanted: Sequence[Waiting], term: int) -> dict[RunKey, StartedRun]:
        """Take these, or, while the database cannot be reached, try for as long as a lease is."""
        token, until = secrets.randbits(62), time.monotonic() + self._lease.total_seconds()
        keys = [key for key, _ in wanted]
        while True:
            try:
                return dict(
                    await self._runs.start(keys, token=token, lease=self._lease, instance=self._instance, term=term)
                )
            except StoreUnavailable as error:
                if time.monotonic() > until or self._term() != term:
                    logger.warning("%d runs of jobs did not begin: %s", len(keys), error)
                    # What was perhaps begun is given back, once the database can be reached.
                    for key in keys:
                        self.end(RunEnd(key=key, state=RunState.DUE, token=token, retry_in=timedelta(0)))
                    return {}
            await asyncio.sleep(AGAIN_SECONDS)

    async def _breathe(self) -> None:
        """Wait until the application's loop has gone round, so that answers do not heap up in one turn of it."""
        round_again, here = asyncio.Event(), asyncio.get_running_loop()
        with contextlib.suppress(RuntimeError, TimeoutError):  # it may have ended, or be held up by somebody else
            self._application.call_soon_threadsafe(here.call_soon_threadsafe, round_again.set)
            async with asyncio.timeout(BREATH_SECONDS):
                await round_again.wait()

    async def _renew(self) -> None:
        with self._lock:
            held = list(self._held.values())
        for start in range(0, len(held), AT_ONCE):
            await self._runs.renew(held[start : start + AT_ONCE], lease=self._lease)
