"""A thread with an event loop of its own, where everything happens that waits: database, Redis, reading definitions.

APScheduler calls its job stores in the application's event loop and cannot wait there. So those calls look at memory,
and what they need of the world is done here; `wait_for` blocks the caller, within a bound, where an answer is owed.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import threading
from concurrent.futures import TimeoutError as WaitedInVain
from typing import TYPE_CHECKING, Any, TypeVar

from dovecote.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Future

T = TypeVar("T")

logger = logging.getLogger(__name__)

END_SECONDS = 5.0
TOLD_AGAIN_SECONDS = 0.5


class Backstage:
    """The thread. `start` begins it; `stop` asks it to end."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._stopping = asyncio.Event()
        self._last: tuple[Callable[[], Awaitable[None]], ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        atexit.register(self.join)

    def wait_for(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Do it there and answer what it answers. Raises StoreUnavailable after so many seconds; it may yet be done."""
        if not self._thread.is_alive() or self._stopping.is_set():
            work.close()
            raise StoreUnavailable("the job store is shut down: start the scheduler first.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except WaitedInVain as error:
            # The database's own errors have been translated, so this is the bound.
            future.cancel()
            raise StoreUnavailable(
                f"the database did not answer within {seconds:g} s; it is not known whether it was done: try again."
            ) from error

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it there, and tell the log if it could not be done."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.add_done_callback(_told)

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call it there soon. Harmless after the end."""
        with contextlib.suppress(RuntimeError):  # it may end at this moment
            self._loop.call_soon_threadsafe(function, *arguments)

    def run(self, name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a loop there until the end; one that raises is a fault of ours, which is logged, and begins again."""
        self.call(self._begin, name, loop)

    def _begin(self, name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._loop.create_task(_again(name, loop))
        self._tasks.add(task)

    def stop(self, draining: Callable[[], Awaitable[None]], closing: Callable[[], Awaitable[None]]) -> None:
        """Ask it to end: first `draining`, while the loops still run, and last `closing`, without them."""
        self._last = (draining, closing)
        self.call(self._stopping.set)

    def join(self) -> bool:
        """Wait for the end, within a bound, if it was asked for, and say whether it has come."""
        atexit.unregister(self.join)
        if self._last and self._thread.is_alive():
            self._thread.join(END_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._work())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _work(self) -> None:
        await self._stopping.wait()
        draining, closing = self._last
        await _logged(draining)
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            # Redis's client writes with asyncio.wait_for, which in Python 3.11 swallows a cancellation that comes as
            # a write ends: whoever goes on all the same is told again.
            _, left = await asyncio.wait(left, timeout=TOLD_AGAIN_SECONDS)
        await _logged(closing)


def _told(future: Future[Any]) -> None:
    if not future.cancelled() and future.exception() is not None:
        logger.error("a change of a job was not kept: %s", future.exception())


async def _logged(action: Callable[[], Awaitable[None]]) -> None:
    try:
        await action()
    except Exception:
        logger.exception("the job store did not end in order")


async def _again(name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            await loop()
        except Exception:
            logger.exception("%s failed, and begins again", name)
            await asyncio.sleep(1)
