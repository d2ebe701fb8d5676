"""Runs of real scheduler processes over a database, with faults, and the checker that judges what they left.

The checker knows when every schedule was to fire by arithmetic of its own and compares that with the occurrences and
the notifications that were committed: what is missed, what is extra, and how late the latest was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import psutil
from deliveries import until
from worker_processes import TESTS, WorkerProcess

from dovecote.app import Dovecote
from dovecote.model import CatchUp, Every, Notification, Policies, Schedule, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LEASE = 1.0
SCHEDULES = 5
ANCHOR = datetime(2026, 1, 1)
POINTS = ("after reading", "before insert", "inside the transaction", "before commit", "before renewal")
BOUND = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker found: (schedule, fire time) that lack, that are too many, and the longest delay in seconds."""

    expected: int
    missed: Sequence[tuple[str, datetime]]
    extra: Sequence[tuple[str, datetime]]
    latest: float

    @property
    def is_exact(self) -> bool:
        """Every fire time was committed exactly once."""
        return self.expected > 0 and not self.missed and not self.extra

    def __str__(self) -> str:
        return (
            f"{self.expected} expected, missed: {len(self.missed)} {self.missed[:3]}, extra: {len(self.extra)}"
            f" {self.extra[:3]}, latest {self.latest:.3f} s after its time"
        )


@dataclass
class Run:
    """Processes on one outbox, and the schedules that they fire: one a second each, at different microseconds."""

    url: str
    folder: Path
    redis: str | None = None
    dovecote: Dovecote = field(init=False)
    processes: list[WorkerProcess] = field(default_factory=list)
    begun: dict[str, datetime] = field(default_factory=dict)
    first: dict[str, datetime] = field(default_factory=dict)
    extent: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    async def __aenter__(self) -> Self:
        self.dovecote = Dovecote(self.url)
        await self.dovecote.add_bot("shop", token_variable="TOKEN", pace=None)
        for number in range(SCHEDULES):
            made = Schedule(
                name=f"s{number}",
                timing=Timing(recurrence=Every(timedelta(seconds=1), ANCHOR + timedelta(milliseconds=190 * number))),
                notification=Notification(bot="shop", chat_id=number + 1, text=f"s{number}"),
                policies=Policies(catch_up=CatchUp.ALL, catch_up_cap=1000),
            )
            record = await self.dovecote.schedules.add(made)
            self.begun[made.name] = record.cursor.at
        return self

    async def __aexit__(self, *exception: object) -> None:
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.thaw()
        self.extent.close()
        await self.dovecote.close()

    def start(self, **given: Any) -> WorkerProcess:
        """One more process; `given` is for `short_leased_scheduler`."""
        argument = json.dumps({"url": self.url, "redis": self.redis, "lease": LEASE, **given})
        log = self.folder / f"log{len(self.processes)}"
        process = WorkerProcess([str(TESTS / "faults" / "short_leased_scheduler.py"), argument], log)
        self.processes.append(self.extent.enter_context(process))
        return process

    async def clock(self) -> datetime:
        """The store's time."""
        return await self.dovecote.schedules._book.clock()

    async def fired_past(self, instant: datetime) -> bool:
        """Whether every schedule has decided everything up to an instant."""
        records = await self.dovecote.schedules.list()
        return all(record.cursor.at >= instant - timedelta(seconds=1) for record in records)

    async def go_on(self, seconds: float) -> None:
        """Until everything up to so many seconds from now is decided."""
        instant = await self.clock() + timedelta(seconds=seconds)
        ends_at = time.monotonic() + BOUND + seconds
        while not await self.fired_past(instant):
            assert time.monotonic() < ends_at, f"not all is decided up to {instant}"
            # A look is a connection: the processes are to have the machine.
            await asyncio.sleep(0.25)

    async def stopped_itself(self, process: WorkerProcess) -> None:
        """Wait until a process has met its trap: it is frozen, or gone."""
        await until(lambda: _is_cut_off(process), bound=BOUND)

    async def end(self) -> Verdict:
        """Let what is due be done, tell every process to stop, and judge."""
        await self.go_on(1)
        running = [process for process in self.processes if process.runs]
        # The others may have done all before one that was started last is there at all.
        await until(lambda: all(process.listens for process in running), bound=BOUND)
        for process in running:
            process.tell_to_stop()
        for process in running:
            code, _ = await asyncio.to_thread(process.end)
            assert code == 0, process.log
        return await self.judge()

    async def judge(self) -> Verdict:
        """Compare what was to fire with what was committed, up to where all is decided."""
        missed: list[tuple[str, datetime]] = []
        extra: list[tuple[str, datetime]] = []
        expected, latest = 0, 0.0
        notified = Counter((row[0], row[1]) for row in await self._notified())
        for record in await self.dovecote.schedules.list(limit=1000):
            name = record.schedule.name
            offset = timedelta(milliseconds=190 * int(name[1:]))
            wanted = set(_seconds(self.begun[name], record.cursor.at, ANCHOR.replace(tzinfo=UTC) + offset))
            found = await self.dovecote.schedules.occurrences(name, limit=100_000)
            fired = {each.fire_at for each in found if each.happened == "fired"}
            expected += len(wanted)
            missed += [(name, each) for each in sorted(wanted - fired)]
            extra += [(name, each) for each in sorted(fired - wanted)]
            latest = max([latest, *((each.fired_at - each.fire_at).total_seconds() for each in found)])
            for instant in sorted(wanted):
                count = notified.pop((record.id, instant), 0)
                missed += [(name, instant)] if not count else []
                extra += [(name, instant)] * (count - 1)
        extra += [(f"notification of {schedule}", instant) for schedule, instant in notified]
        return Verdict(expected, missed, extra, latest)

    async def _notified(self) -> list[tuple[int, datetime]]:
        """Schedule and fire time of each notification in the outbox, by its key."""
        table = self.dovecote.database.tables.notification
        keys = await self.dovecote.database.run(lambda c: list(c.execute(table.select()).all()))
        found = []
        for row in keys:
            _, schedule, rest = row.key.split(":", 2)
            found.append((int(schedule), datetime.fromisoformat(rest[:26]).replace(tzinfo=UTC)))
        return found


def _seconds(after: datetime, upto: datetime, anchor: datetime) -> list[datetime]:
    """The instants a second apart, counted from an anchor, after one instant and up to another."""
    second = timedelta(seconds=1)
    first = anchor + second * ((after - anchor) // second + 1)
    return [first + second * number for number in range((upto - first) // second + 1)]


def _is_cut_off(process: WorkerProcess) -> bool:
    if not process.runs:
        return True
    return bool(psutil.Process(process.process.pid).status() == psutil.STATUS_STOPPED)


async def cut_off(
    run: Run, *, processes: int, point: str, with_signal: str, frozen: float = 2.5 * LEASE, after: int = 3
) -> Verdict:
    """The leader is cut off at a point: frozen beyond its lease and thawed, or killed and replaced."""
    trapped = run.start(point=point, after=after, signal=with_signal)
    # It is to lead: the others come when it does.
    await run.go_on(1)
    for _ in range(processes - 1):
        run.start()
    await run.stopped_itself(trapped)
    if with_signal == signal.SIGKILL.name:
        run.start()
    elif processes > 1:
        await run.go_on(frozen)
    else:
        await asyncio.sleep(frozen)  # nobody else is there who could be waited for
    if with_signal == signal.SIGSTOP.name:
        trapped.thaw()
    await run.go_on(2)
    return await run.end()
