"""The garbage collector's full passes, put off while thousands of jobs begin at once.

A full pass visits every object of the process and holds up all of its threads, the event loop's among them. What runs
of jobs leave behind is freed without it, so a crowd of them only brings one pass after another. The collections of
young objects go on.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER: Final = 1_000_000
LONGEST_SECONDS: Final = 60.0
"""So long at most, so that what the application itself leaves behind is freed in the end."""


class FullPasses:
    """Puts them off and allows them again, from one thread. An application that sets the collector anew has its way."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._before: tuple[int, int, int] | None = None
        self._until = 0.0

    def put_off(self) -> None:
        """Have none for now. Said again, it does not last longer."""
        if self._before is None:
            self._before = gc.get_threshold()
            self._until = self._monotonic() + LONGEST_SECONDS
            gc.set_threshold(*self._before[:2], NEVER)
        elif self._monotonic() >= self._until:
            self._restore()

    def allow(self) -> None:
        """Have them as before, and from the next crowd on put them off anew."""
        self._restore()
        self._before = None

    def _restore(self) -> None:
        if self._before is not None and gc.get_threshold() == (*self._before[:2], NEVER):
            gc.set_threshold(*self._before)
