"""The thread behind a job store ends when it is told to, whatever its loops do with a cancellation."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from dovecote.integrations.apscheduler import backstage
from dovecote.integrations.apscheduler.backstage import Backstage

if TYPE_CHECKING:
    import pytest


async def nothing() -> None:
    """There is nothing to do at the end."""


async def deaf(waits: list[bool]) -> None:
    """Go on after the first cancellation, as Redis's client may on Python 3.11."""
    while True:
        try:
            waits.append(True)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if len(waits) > 1:
                raise


async def test_a_loop_that_swallows_a_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backstage, "TOLD_AGAIN_SECONDS", 0.01)
    waits: list[bool] = []
    thread = Backstage("deaf")
    thread.start()
    thread.run("a deaf loop", partial(deaf, waits))
    thread.stop(nothing, nothing)

    assert await asyncio.to_thread(thread.join)
    assert len(waits) == 2
