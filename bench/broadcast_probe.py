"""Asks for the progress of a broadcast until it is told to end, and looks for the longest transaction meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import Any

from bench.broadcast import LONGEST_TRANSACTION
from bench.database import connect
from bench.dovecote_run import dovecote_at

EVERY = 0.05


async def probe(url: str) -> dict[str, Any]:
    """Every so often, until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    took: list[float] = []
    longest = 0.0
    with connect(url) as connection:
        async with dovecote_at(url) as dovecote:
            while not over.is_set():
                began = time.perf_counter()
                await dovecote.broadcasts.get("news")
                took.append(time.perf_counter() - began)
                row = connection.execute(LONGEST_TRANSACTION).fetchone()
                longest = max(longest, float(row[0]) if row else 0.0)
                await asyncio.sleep(EVERY)
    took.sort()
    return {
        "progress_p50": took[len(took) // 2],
        "progress_p99": took[int(len(took) * 0.99)],
        "progress_asked": len(took),
        "longest_transaction": longest,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(probe(**json.loads(sys.argv[1])))))
