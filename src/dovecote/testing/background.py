"""An event loop in a thread of its own, which coroutines are handed to from anywhere."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Background:
    """Enter it to start the loop; it ends with all that is left in it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dovecote-testing", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._loop is not None  # noqa: S101 (it was entered)
        assert self._over is not None  # noqa: S101 (likewise)
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        with self._runner as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._over.wait()

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it to its end and answer what it answers; this thread waits."""
        assert self._loop is not None  # noqa: S101 (it was entered)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it to its end and answer what it answers; the caller's loop goes on meanwhile."""
        assert self._loop is not None  # noqa: S101 (it was entered)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))
