"""A process that stands for election and writes down what it believes, for ever.

Its one argument is JSON: `url`, `redis` (a URL or null), `beliefs` (a file), `clock_off` (seconds by which its time of
day is wrong) and `lease` ("1s"). A thread asks every few milliseconds and writes "INSTANT TERM", the instant on the
machine's monotonic clock, which all processes share; while it follows it writes nothing. It ends in order on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovecote.app import Dovecote
from dovecote.config import Leadership, Redis, Settings
from dovecote.observability.logs import configure_logging

if TYPE_CHECKING:
    from dovecote.leadership import Elector

EVERY = 0.004


def set_clock_off(seconds: int) -> None:
    """Let this process's time of day be wrong."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + seconds * 1_000_000_000


def write_down(elector: Elector, beliefs: Path) -> None:
    with beliefs.open("a") as file:
        while True:
            at, term = time.monotonic(), elector.term
            if term is not None:
                file.write(f"{at} {term}\n")
                file.flush()
            time.sleep(EVERY)


async def stand(given: dict[str, Any]) -> None:
    set_clock_off(given["clock_off"])
    leadership = Leadership.model_validate(
        {"lease": given["lease"], "renew_interval": "300ms", "poll_interval": "100ms"}
    )
    settings = Settings(redis=Redis(url=given["redis"]), leadership=leadership)
    async with Dovecote(given["url"], settings=settings) as dovecote:
        elector = dovecote.elector("worker")
        threading.Thread(target=write_down, args=(elector, Path(given["beliefs"])), daemon=True).start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, elector.stop)
        await elector.run()


if __name__ == "__main__":
    configure_logging(format="json")
    asyncio.run(stand(json.loads(sys.argv[1])))
