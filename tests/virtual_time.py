"""An event loop whose time passes only by waiting: an hour of timers runs in milliseconds, the same way every time.

For code that waits for timers and for nothing outside of the process. `loop.time` is the injected clock.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

BEGINNING = 1000.0
"""The loop's time when a test begins, in seconds."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Instead of sleeping until the next timer, it moves its clock there."""

    def __init__(self) -> None:
        self.now = BEGINNING
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("everything waits, and no timer will end it")
            self._loop.now += timeout
        return events


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test to its end on a loop of virtual time."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*arguments, **named))

    return run


def seconds_passed() -> float:
    """Since the test began; whole microseconds, for a sum of floats is never quite what was added."""
    return round(asyncio.get_running_loop().time() - BEGINNING, 6)
