"""For programs that move 50 MB: the content, the memory they take, and for how long their loop is held up.

Time that the machine spent on other processes meanwhile is not counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIZE = 50 * 1024 * 1024
PIECE = hashlib.shake_256(b"50 MB").digest(64 * 1024)

SCHEDULED = os.open("/proc/thread-self/schedstat", os.O_RDONLY) if sys.platform == "linux" else -1


class LoopWatch:
    """Times every callback of the loops of this process from now on. `longest` is in seconds, and may be set to 0."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._run = asyncio.Handle._run
        setattr(asyncio.Handle, "_run", lambda handle: self._timed(handle))  # noqa: B010, PLW0108 - it is not meant to be set; a function is bound to the handle

    def _timed(self, handle: asyncio.Handle) -> None:
        waited, began = kept_waiting(), time.perf_counter()
        self._run(handle)
        self.longest = max(self.longest, time.perf_counter() - began - (kept_waiting() - waited))


def kept_waiting() -> float:
    """Seconds that this thread could have run and the machine ran somebody else. Linux counts them."""
    try:
        return int(os.pread(SCHEDULED, 100, 0).split()[1]) / 1e9
    except OSError:
        return 0.0


async def source() -> AsyncIterator[bytes]:
    for _ in range(SIZE // len(PIECE)):
        yield PIECE


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
