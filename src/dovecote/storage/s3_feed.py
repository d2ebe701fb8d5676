"""Feeding an upload in several parts so that it ends well or leaves nothing.

The client takes an asynchronous iterator and reads it from its own threads' side. Cancelling its call leaves the parts
in the store for ever; an iterator that raises makes it take them back. So the caller's stream is read here, in the
caller's own task, and handed over block by block; whatever goes wrong on this side, a cancellation included, is told
to the client as a failure of its iterator, and its end is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

PATIENCE: Final = 10.0
"""Seconds that a cancelled upload waits at most for the client to take its parts back; it goes on doing so after."""

LETTING_GO: Final = 0.2
"""Seconds; 0.05 were enough on a busy machine."""

_ending: set[asyncio.Future[Any]] = set()


class Abandoned(Exception):
    """Tells the client to take back what it has uploaded."""


class Feed:
    """An iterator for the client; one block is on its way at a time."""

    def __init__(self) -> None:
        self._blocks: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._abandoned = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        block = await self._next()
        if block is None:
            raise StopAsyncIteration
        return block

    async def _next(self) -> bytes | None:
        taking = asyncio.ensure_future(self._blocks.get())
        given_up = asyncio.ensure_future(self._abandoned.wait())
        try:
            await asyncio.wait({taking, given_up}, return_when=asyncio.FIRST_COMPLETED)
            if self._abandoned.is_set():
                raise Abandoned("the upload was abandoned")
            return taking.result()
        finally:
            taking.cancel()
            given_up.cancel()

    async def put(self, block: bytes | None) -> None:
        """Hand over a block, None at the end; waits for room."""
        await self._blocks.put(block)

    def abandon(self) -> None:
        """Let the client fail at its next step."""
        self._abandoned.set()


async def fed(
    start: Callable[[Feed], asyncio.Future[Any]], blocks: AsyncIterator[bytes], told: AbstractContextManager[None]
) -> None:
    """Let the client that `start` starts upload `blocks`. Raises what either of them raises, the source's first.

    What the client raises passes through `told`; the source's errors are the caller's own. `start` answers the client's
    own future and no task: a loop that ends cancels all tasks at once, and this must not be cancelled.
    """
    feed = Feed()
    upload = start(feed)
    try:
        async for block in blocks:
            if not await _handed_over(feed, block, upload):
                break
        else:
            await _handed_over(feed, None, upload)
        with told:
            await asyncio.shield(upload)
    except BaseException:
        feed.abandon()
        await _ended(upload)
        raise


async def _handed_over(feed: Feed, block: bytes | None, upload: asyncio.Future[Any]) -> bool:
    """Whether the client has taken the block; it has not when it has failed."""
    putting: asyncio.Future[Any] = asyncio.ensure_future(feed.put(block))
    try:
        await asyncio.wait({putting, upload}, return_when=asyncio.FIRST_COMPLETED)
        return putting.done() and not putting.cancelled() and not upload.done()
    finally:
        putting.cancel()


async def _ended(upload: asyncio.Future[Any]) -> None:
    """Wait for the client's end, even if this is cancelled again, but not for ever."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not upload.done() and (left := deadline - asyncio.get_running_loop().time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({upload}, timeout=left)
    if upload.done():
        _heard(upload)
        await _let_go()
    else:
        _ending.add(upload)
        upload.add_done_callback(_ending.discard)
        upload.add_done_callback(_heard)


async def _let_go() -> None:
    """Give the client's threads the time to let go of what they hold of ours.

    They do so just after their answer, and cannot say when; a process that ends meanwhile would abort.
    """
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(LETTING_GO)


def _heard(upload: asyncio.Future[Any]) -> None:
    """Take its failure, which nobody is left to hear."""
    if not upload.cancelled():
        upload.exception()
