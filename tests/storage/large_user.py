"""Stores and reads 50 MB as a process of its own: python large_user.py URL, an empty storage's URL.

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

from dovecote.digests import Digest, checked, download_checked
from dovecote.storage.addresses import opened

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


async def main() -> dict[str, Any]:
    global longest  # noqa: PLW0603 - as above
    storage = opened(sys.argv[1])
    await storage.upload(b"warm", "warm")
    await storage.download("warm")
    base = peak()
    longest = 0.0
    digest = Digest()
    await storage.upload(digest.over(source()), "streamed", size=SIZE)
    size = 0
    async for chunk in checked(storage.stream("streamed"), name="streamed", sha256=digest.sha256, size=SIZE):
        size += len(chunk)
    grown = peak() - base
    content = await download_checked(storage, "streamed", sha256=digest.sha256)
    await storage.upload(content, "at once")
    await storage.close()
    return {"size": size, "grown_mb": grown, "held_up_ms": longest * 1000}


if __name__ == "__main__":
    setattr(asyncio.Handle, "_run", timed)  # noqa: B010 - it is not meant to be
    sys.stdout.write(json.dumps(asyncio.run(main())))
