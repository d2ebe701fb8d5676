"""`dovecote worker` in a process whose wall clock is off by so many seconds: the first argument.

Everything that Python can ask for the time of day is moved; the monotonic clock is not, as on a machine that was set
wrong.
"""

from __future__ import annotations

import datetime as dt
import sys
import time


def shift(seconds: float) -> None:
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_time_ns() + round(seconds * 1e9)

    class Shifted(dt.datetime):
        __slots__ = ()

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return super().now(tz) + dt.timedelta(seconds=seconds)

    dt.datetime = Shifted  # type: ignore[misc]


if __name__ == "__main__":
    shift(float(sys.argv[1]))
    from dovecote.cli.main import main

    sys.exit(main(["worker", *sys.argv[2:]]))
