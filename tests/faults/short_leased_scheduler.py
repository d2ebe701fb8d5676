"""A scheduler for the faults' tests, in a process of its own: a short lease, and a point at which it stops itself.

Its one argument is JSON: `url`, `redis` (or null), `lease` in seconds, `clock_off` in seconds, `twin` (whether it takes
itself for process 1 of a host "twin", as in a container), and, for the process that is to stop, `point`, `after` (how
often the point is reached before) and `signal`. It ends in order on SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from dovecote import leadership as dovecote_leadership
from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.model import DELIVERIES
from dovecote.observability.logs import configure_logging
from dovecote.scheduler import Scheduler, SchedulerSettings
from dovecote.stores.firing import FiringStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from dovecote.leadership import Elector
    from dovecote.model import DueSchedules, Fired, Firing
    from dovecote.ports import LeaseStore
    from dovecote.stores.database import Database


class Trap:
    """Stops this process by a signal when it has been at a point often enough, while it leads; once."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._point = given.get("point")
        self._left = given.get("after", 0)
        self._signal = signal.Signals[given.get("signal", "SIGSTOP")]
        self.elector: Elector | None = None
        self.writing = threading.RLock()
        """Held while a thread of this process writes to SQLite's file."""

    def at(self, point: str) -> None:
        if point != self._point or self.elector is None or self.elector.term is None:
            return
        self._left -= 1
        if self._left < 0:
            self._point = None
            # Not in the middle of what another thread writes: that would be another point, and hold SQLite's file.
            with self.writing:
                os.kill(os.getpid(), self._signal)


class TrappedStore(FiringStore):
    """The store, with the points at which a process may be cut off."""

    trap: Trap

    async def due(self, *, limit: int, overdue_by: timedelta) -> DueSchedules:
        found = await super().due(limit=limit, overdue_by=overdue_by)
        if found.records:
            self.trap.at("after reading")
        return found

    def _insert(self, connection: Connection, *arguments: Any) -> Any:
        self.trap.at("before insert")
        return super()._insert(connection, *arguments)

    def _move(self, connection: Connection, *arguments: Any) -> None:
        self.trap.at("inside the transaction")
        super()._move(connection, *arguments)

    def _fire(self, connection: Connection, firings: Sequence[Firing], *, wait: bool) -> Fired:
        fired = super()._fire(connection, firings, wait=wait)
        self.trap.at("before commit")
        return fired


class TrappedLeases:
    """The lease store, with the point before a renewal."""

    def __init__(self, leases: LeaseStore, trap: Trap) -> None:
        self._leases = leases
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._leases, name)

    async def renew(self, *arguments: Any) -> bool:
        self._trap.at("before renewal")
        return await self._leases.renew(*arguments)


def write_in_turn(database: Database, writing: threading.RLock) -> None:
    """Let a trap know when a thread writes to SQLite's file."""
    run = database._run_in_thread

    def run_in_turn(function: Any, *, write: bool) -> Any:
        with writing if write else contextlib.nullcontext():
            return run(function, write=write)

    database._run_in_thread = run_in_turn  # type: ignore[method-assign]


def be_off(seconds: float) -> None:
    """Let this process's clock be wrong, as far as Python asks it."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def be_a_twin() -> None:
    """Have the host name and the process id that another process has too."""
    socket.gethostname = lambda: "twin"
    vars(dovecote_leadership)["os"] = SimpleNamespace(getpid=lambda: 1)


async def work(given: dict[str, Any]) -> None:
    be_off(given.get("clock_off", 0))
    if given.get("twin"):
        be_a_twin()
    lease = given["lease"]
    leadership = {"lease": lease, "renew_interval": lease / 4, "poll_interval": lease / 10}
    redis = {"url": given["redis"]} if given.get("redis") else {}
    dovecote = Dovecote(given["url"], settings=Settings.model_validate({"leadership": leadership, "redis": redis}))
    trap = Trap(given)
    write_in_turn(dovecote.database, trap.writing)
    dovecote._leading._leases[DELIVERIES] = TrappedLeases(dovecote._leading.leases(), trap)
    elector = dovecote.elector("scheduler")
    trap.elector = elector
    store = TrappedStore(dovecote.database, patience=timedelta(seconds=lease))
    store.trap = trap
    settings = SchedulerSettings(
        look_interval=timedelta(seconds=lease / 5),
        sweep_interval=timedelta(seconds=lease),
        overdue_by=timedelta(seconds=lease / 2),
    )
    scheduler = Scheduler(store, elector, settings, dovecote.metrics)

    def stop() -> None:
        scheduler.stop()
        elector.stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        await asyncio.gather(elector.run(), scheduler.run())
    finally:
        await dovecote.close()


if __name__ == "__main__":
    configure_logging(format="json")
    asyncio.run(work(json.loads(sys.argv[1])))
