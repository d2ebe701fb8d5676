"""Puts and reads 50 MB as a process of its own: python large_put.py DATABASE FOLDER, a migrated and an empty one.

Prints JSON: by how much memory grew at most, in MB, and for how long the loop was held up at most, in milliseconds,
less what the machine spent on other processes meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import sys
import time
from typing import TYPE_CHECKING, Any

from dovecote import Dovecote
from dovecote.config import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIZE = 50 * 1024 * 1024
PIECE = hashlib.shake_256(b"50 MB").digest(64 * 1024)
SCHEDULED = os.open("/proc/thread-self/schedstat", os.O_RDONLY) if sys.platform == "linux" else -1

longest = 0.0
real_run = asyncio.Handle._run


def kept_waiting() -> float:
    """Seconds that this thread could have run and the machine ran somebody else. Linux counts them."""
    try:
        return int(os.pread(SCHEDULED, 100, 0).split()[1]) / 1e9
    except OSError:
        return 0.0


def timed(handle: asyncio.Handle) -> None:
    global longest  # noqa: PLW0603 - of this process, which measures nothing else
    waited, began = kept_waiting(), time.perf_counter()
    real_run(handle)
    longest = max(longest, time.perf_counter() - began - (kept_waiting() - waited))


async def source() -> AsyncIterator[bytes]:
    for _ in range(SIZE // len(PIECE)):
        yield PIECE


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def main(database: str, folder: str) -> dict[str, Any]:
    global longest
    settings = Settings.model_validate({"database": {"url": database}, "storage": {"url": folder}})
    async with Dovecote(settings=settings) as dovecote:
        warm = await dovecote.files.put(b"warm")
        await dovecote.files.get(warm.id)
        base, longest = peak(), 0.0
        file = await dovecote.files.put(source(), name="large")
        size = 0
        async for chunk in dovecote.files.stream(file.id):
            size += len(chunk)
        await dovecote.files.save(file.id, "saved")
        again = await dovecote.files.put("saved")
        assert again.id == file.id
    return {"size": size, "grown_mb": peak() - base, "held_up_ms": longest * 1000}


if __name__ == "__main__":
    setattr(asyncio.Handle, "_run", timed)  # noqa: B010 - it is not meant to be
    sys.stdout.write(json.dumps(asyncio.run(main(*sys.argv[1:]))))
