"""A scheduler instance of a campaign: an `AsyncIOScheduler` under the election, with jobs that enqueue.

    python -m chaos.node JSON

Its one argument has `url`, `redis` (host and port, or null), `settings` (of Dovecote), `log`, the file in which it says
when the jobs were added, and `start`, the file that names them: objects with `name`, `chat`, `start`, `end` (seconds
since the epoch) and `interval`. Any number of these processes add the same jobs.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from chaos import start
from chaos.log import Log
from chaos.node_jobs import fire
from dovecote import Dovecote
from dovecote.config import Settings
from dovecote.errors import StoreUnavailable
from dovecote.integrations.apscheduler import RedisJobStore, Timing, elected
from dovecote.observability.logs import configure_logging

JOB_LEASE = timedelta(seconds=4)
PAUSE = 0.5
CLOSED_PORT = 9
"""Where nobody listens: jobs go on without Redis."""


async def main() -> None:
    """Run until SIGTERM."""
    given = json.loads(sys.argv[1])
    dovecote = Dovecote(given["url"], settings=Settings.model_validate(given["settings"]))
    host, port = given["redis"] or ("127.0.0.1", CLOSED_PORT)
    store = RedisJobStore(host=host, port=port, db=1)
    scheduler: Any = elected(
        AsyncIOScheduler(jobstores={"default": store}, timezone="UTC"), dovecote, timing=Timing(lease=JOB_LEASE)
    )
    scheduler.start()
    stopped = asyncio.Event()
    log = Log(Path(given["log"]))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    sys.stdout.write("the scheduler runs\n")
    sys.stdout.flush()
    times = await start.given(Path(given["start"]), stopped)
    for job in [] if times is None else times["jobs"]:
        while not _added(scheduler, job, log):
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), PAUSE)
                break
    await stopped.wait()
    scheduler.shutdown()
    await asyncio.sleep(PAUSE)
    await dovecote.close()


def _added(scheduler: Any, job: dict[str, Any], log: Log) -> bool:
    """Add a job, unless the database is away. An end that has passed leaves nothing to be added."""
    if datetime.fromtimestamp(job["end"], UTC) <= datetime.now(UTC):
        return True
    begun = time.time()
    try:
        scheduler.add_job(
            fire,
            "interval",
            seconds=job["interval"],
            start_date=datetime.fromtimestamp(job["start"], UTC),
            end_date=datetime.fromtimestamp(job["end"], UTC),
            id=job["name"],
            args=[job["chat"]],
            replace_existing=True,
            coalesce=False,
            max_instances=1000,
            misfire_grace_time=None,
        )
    except StoreUnavailable:
        return False
    log.write("job_added", name=job["name"], begun=begun)
    return True


if __name__ == "__main__":
    configure_logging(format="json")
    asyncio.run(main())
