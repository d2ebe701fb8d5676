"""An elected scheduler in a process of its own, for tests that kill and freeze it.

Its one argument is JSON: `url`, `redis` (host and port), `jobs` (names of functions of this module by the id of the
job, added where they are not known), `lease` (seconds), `ahead` (seconds by which this process's clock is wrong),
`grace` (the jobs' `misfire_grace_time`), `points` (a folder: at a point of a run whose name is a file there, the
process writes NAME.reached and waits until the file is gone), `knows` (functions that this process's code has; all, if
it is not given), `twin` (whether it takes itself for process 1 of a host "twin", as in a container).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import socket
import sys
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from dovecote import leadership
from dovecote.app import Dovecote
from dovecote.config import Settings
from dovecote.config.settings import Leadership, Redis
from dovecote.integrations.apscheduler import JobUnit, RedisJobStore, Timing, elected, keeper
from dovecote.model import JOBS, Notification
from dovecote.observability.logs import configure_logging
from dovecote.stores.job_runs import JobRuns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GIVEN: dict[str, Any] = {}


async def exact(uow: JobUnit) -> None:
    """One notification for each fire time."""
    point("in the function")
    await uow.enqueue(Notification(bot="shop", chat_id=7, text=f"{uow.job_id} {uow.fire_time.isoformat()}"))
    point("before the commit")


async def once() -> None:
    """A line in a file for each time that it is called."""
    with Path(GIVEN["points"], "once").open("a") as lines:  # noqa: ASYNC230 (a line)
        lines.write(f"{os.getpid()}\n")


async def newer(uow: JobUnit) -> None:
    """What old code does not have."""
    await exact(uow)


def point(name: str) -> None:
    """Stand still here, if the test wants it, until it does not."""
    wanted = Path(GIVEN["points"], name)
    if not wanted.exists():
        return
    mine = Path(GIVEN["points"], f"{name}.reached")
    if mine.exists():
        return  # another process stands here
    mine.write_text(str(os.getpid()))
    while wanted.exists():
        time.sleep(0.005)


class Points(JobRuns):
    """The store of runs, with points before and after what it does."""

    async def plan(self, *args: Any, **options: Any) -> Any:
        """See `JobRuns.plan`."""
        point("before the plan")
        answer = await super().plan(*args, **options)
        point("after the plan")
        return answer

    async def start(self, *args: Any, **options: Any) -> Any:
        """See `JobRuns.start`."""
        point("before the record")
        answer = await super().start(*args, **options)
        point("after the record")
        return answer

    @asynccontextmanager
    async def unit(self, run: Any) -> AsyncIterator[Any]:
        """See `JobRuns.unit`."""
        point("before the transaction")
        async with super().unit(run) as connection:
            yield connection
        point("after the commit")


class PointedLeases:
    """The lease store, with a point before a renewal."""

    def __init__(self, leases: Any) -> None:
        self._leases = leases

    def __getattr__(self, name: str) -> Any:
        return getattr(self._leases, name)

    async def renew(self, *arguments: Any) -> Any:
        point("before the renewal")
        return await self._leases.renew(*arguments)


def be_a_twin() -> None:
    """Have the host name and the process id that another process has too, as far as Dovecote asks."""
    socket.gethostname = lambda: "twin"
    for module in (leadership, keeper):
        vars(module)["os"] = SimpleNamespace(getpid=lambda: 1)


def shift_clock(seconds: float) -> None:
    """Let everything in this process that asks for the time of day get a wrong one; what it gets are real datetimes."""
    real = dt.datetime

    class Clock(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return real(*args, **kwargs)

        def __getattr__(cls, name: str) -> Any:
            return getattr(real, name)

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

    class Shifted(metaclass=Clock):
        @staticmethod
        def now(tz: Any = None) -> Any:
            return real.now(tz) + timedelta(seconds=seconds)

    for module in list(sys.modules.values()):
        ours = getattr(module, "__name__", "").startswith(("apscheduler", "dovecote"))
        if ours and vars(module).get("datetime") is real:
            vars(module)["datetime"] = Shifted


async def main() -> None:
    host, port = GIVEN["redis"]
    lease = GIVEN["lease"]
    settings = Settings(
        redis=Redis(url=f"redis://{host}:{port}/1"),
        leadership=Leadership(
            lease=timedelta(seconds=lease),
            renew_interval=timedelta(seconds=lease / 4),
            poll_interval=timedelta(seconds=lease / 10),
        ),
    )
    Dovecote.jobs_of = with_points(Dovecote.jobs_of)  # type: ignore[method-assign]
    dovecote = Dovecote(GIVEN["url"], settings=settings)
    dovecote._leading._leases[JOBS] = PointedLeases(dovecote._leading.leases(JOBS))
    scheduler: Any = elected(
        AsyncIOScheduler(jobstores={"default": RedisJobStore(host=host, port=port, db=1)}, timezone="UTC"),
        dovecote,
        timing=Timing(lease=timedelta(seconds=lease)),
    )
    for job_id, name in GIVEN["jobs"].items():
        each = {"coalesce": False, "max_instances": 1000, "misfire_grace_time": GIVEN.get("grace")}
        scheduler.add_job(f"job_process:{name}", "interval", seconds=0.5, id=job_id, replace_existing=True, **each)
    scheduler.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    await stopped.wait()
    scheduler.shutdown()
    await asyncio.sleep(0.5)
    await dovecote.close()


def with_points(jobs_of: Any) -> Any:
    def wrapped(self: Dovecote, store: str) -> Any:
        jobs, _ = jobs_of(self, store)
        return jobs, Points(self._planning._job_database, store)  # type: ignore[arg-type]

    return wrapped


if __name__ == "__main__":
    import job_process

    job_process.GIVEN.update(json.loads(sys.argv[1]))
    configure_logging(format="json")
    if known := job_process.GIVEN.get("knows"):
        for function in ("exact", "once", "newer"):
            if function not in known:
                delattr(job_process, function)
    if job_process.GIVEN.get("twin"):
        job_process.be_a_twin()
    if job_process.GIVEN.get("ahead"):
        shift_clock(job_process.GIVEN["ahead"])
    asyncio.run(job_process.main())
