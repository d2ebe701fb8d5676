"""Asks for the progress of a broadcast and for the numbers until it is told to end, and for the longest transaction."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from bench.database import connect
from bench.dovecote_run import dovecote_at

if TYPE_CHECKING:
    from collections.abc import Awaitable

EVERY = 0.05
LONGEST_TRANSACTION = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


async def timed(question: Awaitable[object], took: list[float]) -> None:
    """Wait for an answer, and note the milliseconds until it came."""
    began = time.perf_counter()
    await question
    took.append((time.perf_counter() - began) * 1000)


def shares(name: str, took: list[float]) -> dict[str, float]:
    """The middle, the ninety-ninth of a hundred, and the longest."""
    took.sort()
    return {
        f"{name}_p50_ms": took[len(took) // 2],
        f"{name}_p99_ms": took[int(len(took) * 0.99)],
        f"{name}_longest_ms": took[-1],
    }


async def probe(url: str) -> dict[str, Any]:
    """Every so often, until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    progress: list[float] = []
    stats: list[float] = []
    overslept: list[float] = []
    ages: list[float] = []
    with connect(url) as connection:
        async with dovecote_at(url) as dovecote:
            while not over.is_set():
                await timed(dovecote.broadcasts.get("news"), progress)
                await timed(dovecote.stats(), stats)
                row = connection.execute(LONGEST_TRANSACTION).fetchone()
                ages.append(float(row[0]) * 1000 if row else 0.0)
                began = time.perf_counter()
                await asyncio.sleep(EVERY)
                overslept.append((time.perf_counter() - began - EVERY) * 1000)
    return {
        **shares("progress", progress),
        **shares("stats", stats),
        # Beside them, for how long the machine let a process stand that only wanted to go on.
        **shares("overslept", overslept),
        **shares("transaction", ages),
        "asked": len(progress),
        "longest_transaction": max(ages) / 1000,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(probe(**json.loads(sys.argv[1])))))
