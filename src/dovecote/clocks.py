"""The clock that trust is measured by: it only goes forward, at one rate, whatever is done to the time of day.

Where the system has one that goes on while the machine is suspended, it is that one: a laptop that is opened, or a
virtual machine that is resumed, must not find its lease as fresh as when it was put to sleep.
"""

from __future__ import annotations

import time
from typing import Final

_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def monotonic_nanoseconds() -> int:
    """Nanoseconds since some instant that is the same for every process of this machine until it starts again."""
    return time.monotonic_ns() if _BOOT_CLOCK is None else time.clock_gettime_ns(_BOOT_CLOCK)


def monotonic() -> float:
    """The same in seconds."""
    return monotonic_nanoseconds() / 1e9
